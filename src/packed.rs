//! Batches that are kept for a while, in less memory.
//!
//! [`compact`] gives a batch that holds no more than its rows need. A [`Packed`] batch goes further, at the cost of
//! a pass over it each way: whole numbers are kept as small offsets from their minimum (frame of reference,
//! Goldstein et al., "Compressing relations and indexes", 1998), texts that repeat as codes of a dictionary.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StructArray, UInt32Array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{
    ArrowNativeType, BinaryViewType, ByteViewType, DataType, SchemaRef, StringViewType, UInt8Type,
    UInt16Type,
};
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::common::{Result, internal_datafusion_err};

/// A batch that holds no more memory than its rows need: a slice keeps all of what it was cut from, and a
/// view all of the text that it points into.
pub fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(compact_array).collect();
    with_columns(batch.schema(), columns, batch.num_rows())
}

fn with_columns(
    schema: SchemaRef,
    columns: Result<Vec<ArrayRef>>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema, columns?, &options,
    )?)
}

fn compact_array(array: &ArrayRef) -> Result<ArrayRef> {
    let held = array.get_buffer_memory_size();
    Ok(match array.data_type() {
        DataType::Utf8View => compact_views::<StringViewType>(array, held)?,
        DataType::BinaryView => compact_views::<BinaryViewType>(array, held)?,
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().map(compact_array);
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns.collect::<Result<_>>()?,
                array.nulls().cloned(),
                array.len(),
            )?)
        }
        _ if wasteful(held, array.to_data().get_slice_memory_size()?) => copy(array)?,
        _ => Arc::clone(array),
    })
}

fn compact_views<T: ByteViewType>(array: &ArrayRef, held: usize) -> Result<ArrayRef> {
    let views = array.as_byte_view::<T>();
    if !wasteful(held, views.total_bytes_len() + 16 * views.len()) {
        return Ok(Arc::clone(array));
    }
    match views.data_buffers() {
        // `gc` leaves views alone that point nowhere
        [] => copy(array),
        _ => Ok(Arc::new(views.gc())),
    }
}

fn copy(array: &ArrayRef) -> Result<ArrayRef> {
    let rows = u32::try_from(array.len())
        .map_err(|_| internal_datafusion_err!("a batch has {} rows", array.len()))?;
    Ok(take(array, &UInt32Array::from_iter_values(0..rows), None)?)
}

/// Whether a copy is worth its time.
fn wasteful(held: usize, needed: usize) -> bool {
    const SMALL: usize = 4096;
    held > SMALL && held / 2 > needed
}

/// A batch in less memory.
#[derive(Debug)]
pub struct Packed {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Column {
    /// As it was.
    Plain(ArrayRef),
    /// Each value is `base` and an offset, as two's complement of the type's width; of floats, of the whole number.
    Offsets {
        base: i64,
        offsets: Offsets,
        nulls: Option<NullBuffer>,
        of: DataType,
    },
    /// Each value is an entry of `dictionary`.
    Codes {
        codes: ArrayRef,
        dictionary: ArrayRef,
    },
}

#[derive(Debug)]
enum Offsets {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
}

impl Packed {
    /// Packs the columns for which that is worth it.
    pub fn new(batch: &RecordBatch) -> Result<Self> {
        let columns = batch
            .columns()
            .iter()
            .map(pack)
            .collect::<Result<Vec<_>>>()?;
        // arrays that were left as they are may share buffers, which count once
        let plain = columns.iter().zip(batch.schema_ref().fields());
        let (fields, plain): (Vec<_>, Vec<_>) = plain
            .filter_map(|(column, field)| match column {
                Column::Plain(array) => Some((Arc::clone(field), Arc::clone(array))),
                _ => None,
            })
            .unzip();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let plain = with_columns(schema, Ok(plain), batch.num_rows())?;
        let packed: usize = columns.iter().map(Column::packed_bytes).sum();
        Ok(Self {
            schema: batch.schema(),
            columns,
            rows: batch.num_rows(),
            bytes: packed + get_record_batch_memory_size(&plain),
        })
    }

    /// The batch as it was, but for what lay under its NULLs.
    pub fn unpack(&self) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(Column::unpack).collect();
        with_columns(Arc::clone(&self.schema), columns, self.rows)
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Column {
    /// Bytes of what was packed.
    fn packed_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Offsets { offsets, nulls, .. } => {
                let bytes = match offsets {
                    Offsets::One(o) => o.capacity(),
                    Offsets::Two(o) => 2 * o.capacity(),
                    Offsets::Four(o) => 4 * o.capacity(),
                };
                bytes + nulls.as_ref().map_or(0, |n| n.buffer().capacity())
            }
            Self::Codes { codes, dictionary } => {
                codes.get_buffer_memory_size() + dictionary.get_buffer_memory_size()
            }
        }
    }

    fn unpack(&self) -> Result<ArrayRef> {
        match self {
            Self::Plain(array) => Ok(Arc::clone(array)),
            Self::Offsets {
                base,
                offsets,
                nulls,
                of,
            } => {
                let values = match offsets {
                    Offsets::One(o) => widen(*base, o, of),
                    Offsets::Two(o) => widen(*base, o, of),
                    Offsets::Four(o) => widen(*base, o, of),
                };
                let len = match offsets {
                    Offsets::One(o) => o.len(),
                    Offsets::Two(o) => o.len(),
                    Offsets::Four(o) => o.len(),
                };
                let data = ArrayData::builder(of.clone())
                    .len(len)
                    .add_buffer(values)
                    .nulls(nulls.clone())
                    .build()?;
                Ok(arrow::array::make_array(data))
            }
            Self::Codes { codes, dictionary } => Ok(take(dictionary, codes, None)?),
        }
    }
}

fn pack(array: &ArrayRef) -> Result<Column> {
    let packed = match array.data_type() {
        DataType::Float64 => pack_floats(array),
        DataType::Utf8View => pack_views::<StringViewType>(array)?,
        DataType::BinaryView => pack_views::<BinaryViewType>(array)?,
        of if of.is_integer() || of.is_temporal() => {
            let data = array.to_data();
            match of.primitive_width() {
                Some(8) => narrow(array, data.buffer::<i64>(0), |v| v),
                Some(4) => narrow(array, data.buffer::<i32>(0), i64::from),
                _ => None,
            }
        }
        _ => None,
    };
    match packed {
        Some(packed) => Ok(packed),
        None => Ok(Column::Plain(compact_array(array)?)),
    }
}

/// Whole numbers as offsets from their minimum, where the range is narrow; what lies under NULLs counts as well.
fn narrow<T: ArrowNativeType>(
    array: &ArrayRef,
    values: &[T],
    number: impl Fn(T) -> i64 + Copy,
) -> Option<Column> {
    let values = values[..array.len()].iter().map(|v| number(*v));
    let (low, high) = values.clone().fold((i64::MAX, i64::MIN), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    let range = high.wrapping_sub(low).cast_unsigned();
    let offsets = values.map(move |v| v.wrapping_sub(low).cast_unsigned());
    let wide = size_of::<T>();
    let offsets = match range {
        ..=0xff => Offsets::One(offsets.map(|o| o as u8).collect()),
        0x100..=0xffff => Offsets::Two(offsets.map(|o| o as u16).collect()),
        0x1_0000..=0xffff_ffff if wide == 8 => Offsets::Four(offsets.map(|o| o as u32).collect()),
        _ => return None,
    };
    Some(Column::Offsets {
        base: low,
        offsets,
        nulls: array.nulls().cloned(),
        of: array.data_type().clone(),
    })
}

/// Floats that are all whole numbers, none of them -0.0, as those.
fn pack_floats(array: &ArrayRef) -> Option<Column> {
    let values = array
        .as_primitive::<arrow::datatypes::Float64Type>()
        .values();
    let whole = |v: f64| f64::from(v as i32).to_bits() == v.to_bits();
    // in parts, so that a column of fractions is left early
    if !values
        .chunks(1024)
        .all(|part| part.iter().fold(true, |all, v| all & whole(*v)))
    {
        return None;
    }
    narrow(array, values, |v| i64::from(v as i32))
}

/// The values of [`narrow`], as the type has them.
fn widen<O: Copy + Into<u64>>(base: i64, offsets: &[O], of: &DataType) -> Buffer {
    let values = offsets
        .iter()
        .map(|o| base.wrapping_add_unsigned((*o).into()));
    match of {
        DataType::Float64 => values
            .map(|v| f64::from(v as i32))
            .collect::<Vec<_>>()
            .into(),
        _ if of.primitive_width() == Some(4) => values.map(|v| v as i32).collect::<Vec<_>>().into(),
        _ => values.collect::<Vec<_>>().into(),
    }
}

/// Texts or bytes as codes of their distinct views, where those are few.
fn pack_views<T: ByteViewType>(array: &ArrayRef) -> Result<Option<Column>> {
    const FREE: u16 = u16::MAX;
    let views = array.as_byte_view::<T>().views();
    let most = (views.len() / 4).min(usize::from(FREE));
    let slots = (2 * most).next_power_of_two();
    let mut table = vec![FREE; slots];
    let mut distinct: Vec<u128> = Vec::new();
    let mut rows: Vec<u32> = Vec::new();
    let mut codes = vec![0u16; views.len()];
    let nulls = array.nulls().filter(|n| n.null_count() > 0);
    for (row, (view, code)) in views.iter().zip(&mut codes).enumerate() {
        if nulls.is_some_and(|n| n.is_null(row)) {
            continue;
        }
        let folded = (*view as u64) ^ ((*view >> 64) as u64).rotate_left(29);
        let mut slot = (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & (slots - 1);
        *code = loop {
            match table[slot] {
                FREE if distinct.len() == most => return Ok(None),
                FREE => {
                    table[slot] = distinct.len() as u16;
                    distinct.push(*view);
                    rows.push(row as u32);
                    break table[slot];
                }
                code if distinct[usize::from(code)] == *view => break code,
                _ => slot = (slot + 1) & (slots - 1),
            }
        };
    }
    if distinct.is_empty() {
        return Ok(None);
    }
    let dictionary = compact_array(&take(array, &UInt32Array::from(rows), None)?)?;
    let nulls = nulls.cloned();
    let codes: ArrayRef = if distinct.len() <= 256 {
        let codes: ScalarBuffer<u8> = codes.iter().map(|c| *c as u8).collect();
        Arc::new(PrimitiveArray::<UInt8Type>::new(codes, nulls))
    } else {
        Arc::new(PrimitiveArray::<UInt16Type>::new(codes.into(), nulls))
    };
    Ok(Some(Column::Codes { codes, dictionary }))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryViewArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array,
        StringArray, StringViewArray, TimestampMicrosecondArray, UInt64Array,
    };
    use arrow::compute::concat_batches;

    use super::*;

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        RecordBatch::try_from_iter_with_nullable(
            names.into_iter().zip(columns).map(|(n, c)| (n, c, true)),
        )
        .unwrap()
    }

    /// A batch of 1000 rows, some NULL, and whether each column can be packed.
    fn mixed() -> (RecordBatch, Vec<bool>) {
        let some = |i: i64, v: i64| (i % 7 != 0).then_some(v);
        let range = || 0..1000i64;
        let long = |i: i64| format!("a text that is longer than a view {}", i % 5);
        let columns: Vec<(ArrayRef, bool)> = vec![
            (
                Arc::new(Int64Array::from_iter(range().map(|i| some(i, i - 500)))),
                true,
            ),
            (
                Arc::new(Int64Array::from_iter_values(
                    range().map(|i| i * (i64::MAX / 1000)),
                )),
                false,
            ),
            (
                Arc::new(Int64Array::from_iter_values(
                    range().map(|i| if i == 3 { i64::MIN } else { i64::MAX }),
                )),
                false,
            ),
            (
                Arc::new(UInt64Array::from_iter_values(
                    range().map(|i| u64::MAX - i as u64),
                )),
                true,
            ),
            (
                Arc::new(Int32Array::from_iter_values(
                    range().map(|i| i32::MIN + i as i32),
                )),
                true,
            ),
            (
                Arc::new(Date32Array::from_iter_values(
                    range().map(|i| 19_000 + i as i32),
                )),
                true,
            ),
            (
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(range().map(|i| 1 << 40 | i << 20))
                        .with_timezone("UTC"),
                ),
                true,
            ),
            (
                Arc::new(Float64Array::from_iter(
                    range().map(|i| some(i, i - 9).map(|v| v as f64)),
                )),
                true,
            ),
            (
                Arc::new(Float64Array::from_iter_values(
                    range().map(|i| if i == 999 { -0.0 } else { 1.0 }),
                )),
                false,
            ),
            (
                Arc::new(StringViewArray::from_iter(range().map(|i| {
                    some(i, i).map(|i| if i % 2 == 0 { String::new() } else { long(i) })
                }))),
                false,
            ),
            (
                Arc::new(StringViewArray::from_iter(
                    range().map(|i| some(i, i).map(|i| format!("{}", i % 9))),
                )),
                true,
            ),
            (
                Arc::new(BooleanArray::from_iter(range().map(|i| Some(i % 3 == 0)))),
                false,
            ),
        ];
        let (columns, packs): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        (batch(columns), packs)
    }

    fn packs(packed: &Packed) -> Vec<bool> {
        let plain = |c: &Column| matches!(c, Column::Plain(_));
        packed.columns.iter().map(|c| !plain(c)).collect()
    }

    #[test]
    fn what_is_packed_comes_back() {
        let (whole, expected) = mixed();
        let packed = Packed::new(&whole).unwrap();
        assert_eq!(packs(&packed), expected);
        for batch in [
            whole.clone(),
            whole.slice(13, 400),
            whole.slice(7, 1),
            whole.slice(0, 0),
        ] {
            let packed = Packed::new(&batch).unwrap();
            assert_eq!(packed.unpack().unwrap(), batch);
        }
        let more = [
            Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY])) as ArrayRef,
            Arc::new(Int64Array::from(vec![None, None])),
            Arc::new(StringViewArray::from(vec![None::<&str>, None])),
            Arc::new(StringArray::from(vec![Some("x"), None])),
            Arc::new(BinaryViewArray::from(vec![Some(b"\xff" as &[u8]), None])),
        ];
        let batch = batch(more.to_vec());
        let unpacked = Packed::new(&batch).unwrap().unpack().unwrap();
        assert_eq!(unpacked.columns()[1..], batch.columns()[1..]);
        assert!(
            unpacked
                .column(0)
                .as_primitive::<arrow::datatypes::Float64Type>()
                .value(0)
                .is_nan()
        );
    }

    /// An empty text has the view that a NULL often has.
    #[test]
    fn an_empty_text_after_a_null_is_no_null() {
        let texts = (0..100).map(|i| (i > 0).then_some(""));
        let batch = batch(vec![Arc::new(StringViewArray::from_iter(texts))]);
        let packed = Packed::new(&batch).unwrap();
        assert_eq!(packs(&packed), [true]);
        assert_eq!(packed.unpack().unwrap(), batch);
    }

    #[test]
    fn packing_saves_memory() {
        // as a reader gives them: rows of the same text share its view
        let airports = ["EWR", "JFK", "LGA", "a name that is longer than a view"];
        let rows = UInt32Array::from_iter_values((0..8192).map(|i| i % 4));
        let texts = take(&StringViewArray::from_iter_values(airports), &rows, None).unwrap();
        let hours = Int64Array::from_iter_values((0..8192).map(|i| i % 24));
        let delays = Float64Array::from_iter_values((0..8192).map(|i| f64::from(i - 60)));
        let batch = batch(vec![texts, Arc::new(hours), Arc::new(delays)]);
        let packed = Packed::new(&batch).unwrap();
        let plain = get_record_batch_memory_size(&batch);
        assert!(packed.bytes() * 7 < plain, "{} of {plain}", packed.bytes());
    }

    #[test]
    fn a_slice_does_not_keep_what_it_was_cut_from() {
        let (part, _) = mixed();
        let whole = concat_batches(&part.schema(), &vec![part.clone(); 50]).unwrap();
        let slice = whole.slice(10, 50);
        let compacted = compact(&slice).unwrap();
        assert_eq!(compacted, slice);
        let bytes = get_record_batch_memory_size(&compacted);
        assert!(bytes < 20_000, "{bytes} bytes for 50 rows");
    }
}
