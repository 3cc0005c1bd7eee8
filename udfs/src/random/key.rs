//! Keys: the one way rows become random, whatever the partitions, batches, threads or machines.
//!
//! A key is a 64-bit hash of values. It starts at a number and takes in one value after another:
//!
//! ```text
//! hash' = XXH64(bytes of the value, seed = hash + tag of its kind)
//! ```
//!
//! with the bytes little-endian and sums modulo 2^64. The kinds, their tags and their bytes:
//!
//! | kind | tag | bytes |
//! |---|---|---|
//! | NULL | 1 | none |
//! | whole number in the range of BIGINT, of any type; booleans are 0 and 1 | 2 | 8, two's complement |
//! | other unsigned number | 3 | 8 |
//! | other float | 4 | 8, IEEE 754 double; every NaN is 0x7ff8000000000000 |
//! | other decimal | 5 | 16 (32 where they do not hold it) of the unscaled number, trailing zeros removed; 1 of the scale |
//! | text, binary | 6 | the UTF-8 bytes, the bytes |
//! | date | 7 | 8, days since 1970-01-01 |
//! | timestamp | 8 | 8 of the seconds since 1970-01-01 UTC, 4 of the nanoseconds |
//! | time of day | 9 | 8, nanoseconds since midnight |
//! | duration | 10 | 8 of the seconds, 4 of the nanoseconds |
//! | interval | 11 | 4 of the months, 4 of the days, 8 of the nanoseconds |
//! | list | 12 | 8 an item, the item's hash from 0 |
//! | struct | 13 | none; then the fields, each taken in as a value |
//!
//! So a value hashes the same in every type that holds it: 5 as SMALLINT, UBIGINT, DOUBLE or DECIMAL, a
//! text dictionary-encoded or not. -0 is 0. A function of a key starts at `XXH64(its name, seed = 0)`.
//! None of this may ever change: splits and samples that people have stored depend on it.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, OffsetSizeTrait};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float64Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type, i256,
};
use datafusion_common::{Result, exec_err, plan_err};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::SeedableRng;

use crate::spec::Spec;

const NULL: u64 = 1;
const WHOLE: u64 = 2;
const UNSIGNED: u64 = 3;
const FLOAT: u64 = 4;
const DECIMAL: u64 = 5;
const BYTES: u64 = 6;
const DATE: u64 = 7;
const TIMESTAMP: u64 = 8;
const TIME: u64 = 9;
const DURATION: u64 = 10;
const INTERVAL: u64 = 11;
const LIST: u64 = 12;
const STRUCT: u64 = 13;

/// The number at which a function's keys start, so that two functions of one key differ.
pub fn start(function: &str) -> u64 {
    xxh64(function.as_bytes(), 0)
}

/// The hash of each row's value of a key as function `function` sees it.
pub fn hashes(function: &str, key: &ArrayRef) -> Result<Vec<u64>> {
    let mut hashes = vec![start(function); key.len()];
    fold(&mut hashes, key)?;
    Ok(hashes)
}

/// The random numbers of a row, from its hash.
pub fn rng(hash: u64) -> SplitMix64 {
    SplitMix64::seed_from_u64(hash)
}

/// A whole number from 0 to `n` - 1, all equally likely, from a row's hash: `hash * n / 2^64`.
pub fn below(hash: u64, n: i64) -> i64 {
    let n = n.max(1);
    // the product is below n * 2^64
    ((u128::from(hash) * n as u128) >> 64) as i64
}

/// An error if values of a type cannot be part of a key.
pub fn check_type(spec: &Spec, param: &str, t: &DataType) -> Result<()> {
    if can_hash(t) {
        Ok(())
    } else {
        plan_err!(
            "{}: {param} cannot be a {t}. Write CAST({param} AS VARCHAR), or use other columns",
            spec.name
        )
    }
}

fn can_hash(t: &DataType) -> bool {
    match t {
        DataType::Union(_, _) | DataType::ListView(_) | DataType::LargeListView(_) => false,
        DataType::Dictionary(_, value) => can_hash(value),
        DataType::RunEndEncoded(_, value) => can_hash(value.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => can_hash(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|f| can_hash(f.data_type())),
        _ => true,
    }
}

/// Takes the values of an array, one a row, into the rows' hashes.
pub fn fold(hashes: &mut [u64], array: &ArrayRef) -> Result<()> {
    let array = array.as_ref();
    if hashes.len() != array.len() {
        return exec_err!("{} hashes of {} rows", hashes.len(), array.len());
    }
    match array.data_type() {
        DataType::Null => hashes.iter_mut().for_each(|h| *h = null(*h)),
        DataType::Boolean => {
            let values = array.as_boolean();
            each(hashes, values.nulls(), |i, h| {
                whole(i64::from(values.value(i)), h)
            });
        }
        DataType::Int64 => primitive::<Int64Type>(hashes, array, whole),
        DataType::UInt64 => primitive::<UInt64Type>(hashes, array, |v, h| {
            i64::try_from(v)
                .map_or_else(|_| xxh64_of_8(v, h.wrapping_add(UNSIGNED)), |v| whole(v, h))
        }),
        t if t.is_integer() => return fold(hashes, &cast(array, &DataType::Int64)?),
        DataType::Float64 => primitive::<Float64Type>(hashes, array, float),
        DataType::Float16 | DataType::Float32 => {
            return fold(hashes, &cast(array, &DataType::Float64)?);
        }
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            return fold(hashes, &cast(array, &DataType::Decimal128(38, *scale))?);
        }
        DataType::Decimal128(_, scale) => {
            primitive::<Decimal128Type>(hashes, array, |v, h| decimal(v, *scale, h));
        }
        DataType::Decimal256(_, scale) => {
            primitive::<Decimal256Type>(hashes, array, |v, h| wide_decimal(v, *scale, h));
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            each(hashes, values.nulls(), |i, h| {
                bytes(values.value(i).as_bytes(), h)
            });
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            each(hashes, values.nulls(), |i, h| {
                bytes(values.value(i).as_bytes(), h)
            });
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            each(hashes, values.nulls(), |i, h| {
                bytes(values.value(i).as_bytes(), h)
            });
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            each(hashes, values.nulls(), |i, h| bytes(values.value(i), h));
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            each(hashes, values.nulls(), |i, h| bytes(values.value(i), h));
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            each(hashes, values.nulls(), |i, h| bytes(values.value(i), h));
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            each(hashes, values.nulls(), |i, h| bytes(values.value(i), h));
        }
        DataType::Date32 => {
            primitive::<Date32Type>(hashes, array, |v, h| tagged(DATE, i64::from(v), h));
        }
        DataType::Date64 => {
            primitive::<Date64Type>(hashes, array, |v, h| {
                tagged(DATE, v.div_euclid(86_400_000), h)
            });
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => seconds::<TimestampSecondType>(TIMESTAMP, 1, hashes, array),
            TimeUnit::Millisecond => {
                seconds::<TimestampMillisecondType>(TIMESTAMP, 1_000, hashes, array);
            }
            TimeUnit::Microsecond => {
                seconds::<TimestampMicrosecondType>(TIMESTAMP, 1_000_000, hashes, array);
            }
            TimeUnit::Nanosecond => {
                seconds::<TimestampNanosecondType>(TIMESTAMP, 1_000_000_000, hashes, array);
            }
        },
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => seconds::<DurationSecondType>(DURATION, 1, hashes, array),
            TimeUnit::Millisecond => {
                seconds::<DurationMillisecondType>(DURATION, 1_000, hashes, array);
            }
            TimeUnit::Microsecond => {
                seconds::<DurationMicrosecondType>(DURATION, 1_000_000, hashes, array);
            }
            TimeUnit::Nanosecond => {
                seconds::<DurationNanosecondType>(DURATION, 1_000_000_000, hashes, array);
            }
        },
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(hashes, array, |v, h| {
                tagged(TIME, i64::from(v) * 1_000_000_000, h)
            });
        }
        DataType::Time32(_) => {
            primitive::<Time32MillisecondType>(hashes, array, |v, h| {
                tagged(TIME, i64::from(v) * 1_000_000, h)
            });
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(hashes, array, |v, h| {
                tagged(TIME, v.wrapping_mul(1_000), h)
            });
        }
        DataType::Time64(_) => {
            primitive::<Time64NanosecondType>(hashes, array, |v, h| tagged(TIME, v, h));
        }
        DataType::Interval(unit) => match unit {
            IntervalUnit::YearMonth => {
                primitive::<IntervalYearMonthType>(hashes, array, |v, h| interval(v, 0, 0, h));
            }
            IntervalUnit::DayTime => primitive::<IntervalDayTimeType>(hashes, array, |v, h| {
                interval(0, v.days, i64::from(v.milliseconds) * 1_000_000, h)
            }),
            IntervalUnit::MonthDayNano => {
                primitive::<IntervalMonthDayNanoType>(hashes, array, |v, h| {
                    interval(v.months, v.days, v.nanoseconds, h)
                });
            }
        },
        DataType::Dictionary(_, value) => return fold(hashes, &cast(array, value)?),
        DataType::RunEndEncoded(_, value) => {
            return fold(hashes, &cast(array, value.data_type())?);
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            fold_lists(hashes, lists.values(), lists.value_offsets(), lists.nulls())?;
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            fold_lists(hashes, lists.values(), lists.value_offsets(), lists.nulls())?;
        }
        DataType::FixedSizeList(_, _) => {
            let lists = array.as_fixed_size_list();
            let items = item_hashes(lists.values())?;
            let n = lists.value_length() as usize;
            each(hashes, lists.nulls(), |i, h| {
                list(&items[i * n..(i + 1) * n], h)
            });
        }
        DataType::Map(_, _) => {
            let maps = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(maps.entries().clone());
            fold_lists(hashes, &entries, maps.value_offsets(), maps.nulls())?;
        }
        DataType::Struct(_) => {
            let structs = array.as_struct();
            let mut inner: Vec<u64> = hashes
                .iter()
                .map(|h| xxh64(&[], h.wrapping_add(STRUCT)))
                .collect();
            for column in structs.columns() {
                fold(&mut inner, column)?;
            }
            each(hashes, structs.nulls(), |i, _| inner[i]);
        }
        t => return exec_err!("a {t} cannot be part of a key"),
    }
    Ok(())
}

/// Replaces each hash by `f` of its row and itself, or by the hash of NULL.
#[inline]
fn each(hashes: &mut [u64], nulls: Option<&NullBuffer>, f: impl Fn(usize, u64) -> u64) {
    match nulls.filter(|n| n.null_count() > 0) {
        None => {
            for (i, h) in hashes.iter_mut().enumerate() {
                *h = f(i, *h);
            }
        }
        Some(nulls) => {
            for (i, h) in hashes.iter_mut().enumerate() {
                *h = if nulls.is_valid(i) {
                    f(i, *h)
                } else {
                    null(*h)
                };
            }
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    hashes: &mut [u64],
    array: &dyn Array,
    f: impl Fn(T::Native, u64) -> u64,
) {
    let array = array.as_primitive::<T>();
    let values = array.values();
    each(hashes, array.nulls(), |i, h| f(values[i], h));
}

fn seconds<T: ArrowPrimitiveType<Native = i64>>(
    tag: u64,
    per_second: i64,
    hashes: &mut [u64],
    array: &dyn Array,
) {
    let nanos = 1_000_000_000 / per_second;
    primitive::<T>(hashes, array, |v, h| {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&v.div_euclid(per_second).to_le_bytes());
        let nanos = (v.rem_euclid(per_second) * nanos) as u32;
        bytes[8..].copy_from_slice(&nanos.to_le_bytes());
        xxh64(&bytes, h.wrapping_add(tag))
    });
}

fn item_hashes(items: &ArrayRef) -> Result<Vec<u64>> {
    let mut hashes = vec![0; items.len()];
    fold(&mut hashes, items)?;
    Ok(hashes)
}

fn fold_lists<O: OffsetSizeTrait>(
    hashes: &mut [u64],
    items: &ArrayRef,
    offsets: &[O],
    nulls: Option<&NullBuffer>,
) -> Result<()> {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
        return Ok(());
    };
    // a slice of lists has the items of all
    let (first, last) = (first.as_usize(), last.as_usize());
    let items = item_hashes(&items.slice(first, last - first))?;
    each(hashes, nulls, |i, h| {
        let (from, to) = (offsets[i].as_usize(), offsets[i + 1].as_usize());
        list(&items[from - first..to - first], h)
    });
    Ok(())
}

fn list(items: &[u64], h: u64) -> u64 {
    let bytes: Vec<u8> = items.iter().flat_map(|i| i.to_le_bytes()).collect();
    xxh64(&bytes, h.wrapping_add(LIST))
}

#[inline]
fn null(h: u64) -> u64 {
    xxh64(&[], h.wrapping_add(NULL))
}

#[inline]
fn tagged(tag: u64, value: i64, h: u64) -> u64 {
    xxh64_of_8(value as u64, h.wrapping_add(tag))
}

#[inline]
fn whole(value: i64, h: u64) -> u64 {
    tagged(WHOLE, value, h)
}

#[inline]
fn bytes(value: &[u8], h: u64) -> u64 {
    xxh64(value, h.wrapping_add(BYTES))
}

#[inline]
fn float(value: f64, h: u64) -> u64 {
    // 2^63 itself is outside of i64, -2^63 is inside
    const END: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() == 0.0 && (-END..END).contains(&value) {
        whole(value as i64, h)
    } else if value.is_nan() {
        xxh64_of_8(0x7ff8_0000_0000_0000, h.wrapping_add(FLOAT))
    } else {
        xxh64_of_8(value.to_bits(), h.wrapping_add(FLOAT))
    }
}

fn decimal(mut value: i128, mut scale: i8, h: u64) -> u64 {
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    while scale < 0 {
        let Some(scaled) = value.checked_mul(10) else {
            break;
        };
        value = scaled;
        scale += 1;
    }
    match i64::try_from(value) {
        Ok(value) if scale == 0 => whole(value, h),
        _ => {
            let mut bytes = [0; 17];
            bytes[..16].copy_from_slice(&value.to_le_bytes());
            bytes[16..].copy_from_slice(&scale.to_le_bytes());
            xxh64(&bytes, h.wrapping_add(DECIMAL))
        }
    }
}

fn wide_decimal(mut value: i256, mut scale: i8, h: u64) -> u64 {
    let ten = i256::from_i128(10);
    while scale > 0 && value.mod_wrapping(ten) == i256::ZERO {
        value = value.div_wrapping(ten);
        scale -= 1;
    }
    match value.to_i128() {
        Some(value) => decimal(value, scale, h),
        None => {
            let mut bytes = [0; 33];
            bytes[..32].copy_from_slice(&value.to_le_bytes());
            bytes[32..].copy_from_slice(&scale.to_le_bytes());
            xxh64(&bytes, h.wrapping_add(DECIMAL))
        }
    }
}

fn interval(months: i32, days: i32, nanos: i64, h: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&months.to_le_bytes());
    bytes[4..8].copy_from_slice(&days.to_le_bytes());
    bytes[8..].copy_from_slice(&nanos.to_le_bytes());
    xxh64(&bytes, h.wrapping_add(INTERVAL))
}

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

#[inline]
fn round(acc: u64, lane: u64) -> u64 {
    acc.wrapping_add(lane.wrapping_mul(P2))
        .rotate_left(31)
        .wrapping_mul(P1)
}

#[inline]
fn avalanche(mut h: u64) -> u64 {
    h = (h ^ (h >> 33)).wrapping_mul(P2);
    h = (h ^ (h >> 29)).wrapping_mul(P3);
    h ^ (h >> 32)
}

#[inline]
fn lane(h: u64, lane: u64) -> u64 {
    (h ^ round(0, lane))
        .rotate_left(27)
        .wrapping_mul(P1)
        .wrapping_add(P4)
}

/// XXH64 of the 8 little-endian bytes of a number.
#[inline]
fn xxh64_of_8(value: u64, seed: u64) -> u64 {
    avalanche(lane(seed.wrapping_add(P5).wrapping_add(8), value))
}

/// XXH64, as in the specification of xxHash (version 0.1.1).
fn xxh64(input: &[u8], seed: u64) -> u64 {
    let mut rest = input;
    let mut h = if input.len() < 32 {
        seed.wrapping_add(P5)
    } else {
        let mut acc = [
            seed.wrapping_add(P1).wrapping_add(P2),
            seed.wrapping_add(P2),
            seed,
            seed.wrapping_sub(P1),
        ];
        while let Some((stripe, after)) = rest.split_first_chunk::<32>() {
            for (acc, lane) in acc.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *acc = round(*acc, u64::from_le_bytes(*lane));
            }
            rest = after;
        }
        let [a, b, c, d] = acc;
        let joined = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        acc.iter().fold(joined, |h, acc| {
            (h ^ round(0, *acc)).wrapping_mul(P1).wrapping_add(P4)
        })
    };
    h = h.wrapping_add(input.len() as u64);
    while let Some((bytes, after)) = rest.split_first_chunk::<8>() {
        h = lane(h, u64::from_le_bytes(*bytes));
        rest = after;
    }
    if let Some((bytes, after)) = rest.split_first_chunk::<4>() {
        let word = u64::from(u32::from_le_bytes(*bytes)).wrapping_mul(P1);
        h = (h ^ word).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = after;
    }
    for byte in rest {
        h = (h ^ u64::from(*byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }
    avalanche(h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh64_is_the_published_one() {
        for (text, seed, hash) in [
            ("", 0, 0xEF46_DB37_51D8_E999),
            ("a", 0, 0xD24E_C4F1_A98C_6E5B),
            ("abc", 0, 0x44BC_2CF5_AD77_0999),
            ("", 0x9E37_79B1, 0xAC75_FDA2_929B_17EF),
            (
                "Nobody inspects the spammish repetition",
                0,
                0xFBCE_A83C_8A37_8BF1,
            ),
        ] {
            assert_eq!(xxh64(text.as_bytes(), seed), hash, "{text}");
        }
        for value in [0, 1, u64::MAX, 0x0123_4567_89AB_CDEF] {
            assert_eq!(xxh64_of_8(value, 77), xxh64(&value.to_le_bytes(), 77));
        }
    }
}
