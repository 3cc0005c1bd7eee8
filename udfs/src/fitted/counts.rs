//! Counts of the values of a column of text, numbers, booleans, dates or times, and the look-up of values
//! among known ones.
//!
//! Values become keys of a fixed size: numbers and times an integer of the same order, a text of up to 12
//! bytes its Utf8View. Only longer texts are hashed as bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray,
    StringArray, StringViewArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion_common::{Result, exec_err, internal_err, plan_err};
use rayon::slice::ParallelSliceMut;

use super::numbers::{Reader, of_group};
use super::quantiles::{of_order_key, order_key};
use super::table::{FastState, Table};
use super::{Groups, State};
use crate::arrays::is_text;
use crate::spec::Spec;

/// The type categories of a type are gathered in: text becomes `Utf8View`, dictionaries stay.
///
/// # Errors
/// If the values of the type are no categories: names the function, the parameter and the cast to write.
pub fn category_type(spec: &Spec, param: &str, t: &DataType) -> Result<DataType> {
    match t {
        DataType::Dictionary(_, value) if is_text(value) => Ok(t.clone()),
        DataType::Dictionary(_, value) => category_type(spec, param, value),
        DataType::Float16 => Ok(DataType::Float32),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => Ok(DataType::Decimal128(*p, *s)),
        _ if is_text(t) => Ok(DataType::Utf8View),
        _ if KeyKind::of(t).is_some() => Ok(t.clone()),
        _ => plan_err!(
            "{}: {param} must be text, a number, a boolean, a date or a time, not {t}. Write {}(CAST({param} AS VARCHAR), ...)",
            spec.name,
            spec.name
        ),
    }
}

/// The type categories are given back in: that of the values, text as `Utf8`.
pub fn listed_type(t: &DataType) -> DataType {
    match t {
        DataType::Dictionary(_, value) => listed_type(value),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        _ => t.clone(),
    }
}

/// How the values of a type become keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    /// An integer of the same order.
    Small,
    /// A `Decimal128`.
    Wide,
    Text,
}

impl KeyKind {
    fn of(t: &DataType) -> Option<Self> {
        match t {
            DataType::Boolean
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_)
            | DataType::Float32
            | DataType::Float64 => Some(Self::Small),
            _ if t.is_integer() => Some(Self::Small),
            DataType::Decimal128(..) => Some(Self::Wide),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text),
            _ => None,
        }
    }
}

/// A native value as an integer of the same order.
trait Small: Copy {
    fn key(self) -> i64;
    fn of_key(key: i64) -> Self;
    /// Whether the value counts as missing.
    fn missing(self) -> bool {
        false
    }
}

macro_rules! small_integers {
    ($($native:ty),*) => {
        $(impl Small for $native {
            #[inline]
            fn key(self) -> i64 {
                i64::from(self)
            }
            fn of_key(key: i64) -> Self {
                key as $native
            }
        })*
    };
}

small_integers!(i8, i16, i32, u8, u16, u32);

impl Small for i64 {
    #[inline]
    fn key(self) -> i64 {
        self
    }
    fn of_key(key: i64) -> Self {
        key
    }
}

impl Small for u64 {
    #[inline]
    fn key(self) -> i64 {
        (self ^ (1 << 63)).cast_signed()
    }
    fn of_key(key: i64) -> Self {
        key.cast_unsigned() ^ (1 << 63)
    }
}

impl Small for f64 {
    #[inline]
    fn key(self) -> i64 {
        order_key(self)
    }
    fn of_key(key: i64) -> Self {
        of_order_key(key)
    }
    fn missing(self) -> bool {
        self.is_nan()
    }
}

impl Small for f32 {
    #[inline]
    fn key(self) -> i64 {
        order_key(f64::from(self))
    }
    #[expect(clippy::cast_possible_truncation, reason = "the key of a f32")]
    fn of_key(key: i64) -> Self {
        of_order_key(key) as Self
    }
    fn missing(self) -> bool {
        self.is_nan()
    }
}

/// The keys of a batch.
#[derive(Debug)]
pub(crate) enum BatchKeys {
    Small(Vec<i64>, Option<NullBuffer>),
    Wide(Vec<u128>, Option<NullBuffer>),
    Text(StringViewArray),
}

/// Calls a macro with the Arrow type of a type whose keys are [`Small`].
macro_rules! with_small_type {
    ($data_type:expr, $then:ident, $other:expr) => {
        match $data_type {
            DataType::Int8 => $then!(Int8Type),
            DataType::Int16 => $then!(Int16Type),
            DataType::Int32 => $then!(Int32Type),
            DataType::Int64 => $then!(Int64Type),
            DataType::UInt8 => $then!(UInt8Type),
            DataType::UInt16 => $then!(UInt16Type),
            DataType::UInt32 => $then!(UInt32Type),
            DataType::UInt64 => $then!(UInt64Type),
            DataType::Float32 => $then!(Float32Type),
            DataType::Float64 => $then!(Float64Type),
            DataType::Date32 => $then!(Date32Type),
            DataType::Date64 => $then!(Date64Type),
            DataType::Time32(TimeUnit::Second) => $then!(Time32SecondType),
            DataType::Time32(_) => $then!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => $then!(Time64MicrosecondType),
            DataType::Time64(_) => $then!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => $then!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $then!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $then!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $then!(TimestampNanosecondType),
            DataType::Duration(TimeUnit::Second) => $then!(DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => $then!(DurationMillisecondType),
            DataType::Duration(TimeUnit::Microsecond) => $then!(DurationMicrosecondType),
            DataType::Duration(TimeUnit::Nanosecond) => $then!(DurationNanosecondType),
            _ => $other,
        }
    };
}

fn small_keys<T: ArrowPrimitiveType<Native: Small>>(array: &dyn Array) -> BatchKeys {
    let array: &PrimitiveArray<T> = array.as_primitive();
    let keys = array.values().iter().map(|v| v.key()).collect();
    let missing = array.values().iter().any(|v| v.missing());
    let present = missing.then(|| {
        array
            .values()
            .iter()
            .map(|v| !v.missing())
            .collect::<Vec<_>>()
    });
    let present = present.map(NullBuffer::from);
    BatchKeys::Small(keys, NullBuffer::union(array.nulls(), present.as_ref()))
}

/// A decimal as an unsigned key; the key that marks empty slots is beyond all 38 digits.
fn wide_key(v: i128) -> u128 {
    !(v.cast_unsigned() ^ (1 << 127))
}

/// The decimal of a [`wide_key`].
pub(crate) fn of_wide_key(key: u128) -> i128 {
    (!key ^ (1 << 127)).cast_signed()
}

impl BatchKeys {
    /// The keys of an array that is not dictionary-encoded.
    pub(crate) fn of(array: &ArrayRef) -> Result<Self> {
        macro_rules! keys {
            ($t:ty) => {
                Ok(small_keys::<$t>(array.as_ref()))
            };
        }
        match array.data_type() {
            DataType::Utf8View => Ok(Self::Text(array.as_string_view().clone())),
            DataType::Utf8 | DataType::LargeUtf8 => {
                let views = cast(array, &DataType::Utf8View)?;
                Ok(Self::Text(views.as_string_view().clone()))
            }
            DataType::Boolean => {
                let array = array.as_boolean();
                let keys = array.values().iter().map(i64::from).collect();
                Ok(Self::Small(keys, array.nulls().cloned()))
            }
            DataType::Decimal128(..) => {
                let array: &Decimal128Array = array.as_primitive();
                let keys = array.values().iter().map(|v| wide_key(*v)).collect();
                Ok(Self::Wide(keys, array.nulls().cloned()))
            }
            other => with_small_type!(
                other,
                keys,
                internal_err!("values of {other} are not counted")
            ),
        }
    }

    /// Which rows are missing.
    pub(crate) fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Self::Small(_, nulls) | Self::Wide(_, nulls) => nulls.as_ref(),
            Self::Text(texts) => texts.nulls(),
        }
    }
}

/// The array of small keys, of the type they were made of.
pub(crate) fn of_small_keys(t: &DataType, keys: &[i64]) -> Result<ArrayRef> {
    macro_rules! values {
        ($t:ty) => {{
            let natives = keys
                .iter()
                .map(|k| <<$t as ArrowPrimitiveType>::Native as Small>::of_key(*k));
            let array = PrimitiveArray::<$t>::from_iter_values(natives);
            Ok(Arc::new(array.with_data_type(t.clone())))
        }};
    }
    match t {
        DataType::Boolean => {
            let values: BooleanArray = keys.iter().map(|k| Some(*k != 0)).collect();
            Ok(Arc::new(values))
        }
        other => with_small_type!(
            other,
            values,
            internal_err!("values of {other} are not counted")
        ),
    }
}

/// The bytes of a text that its view holds.
#[inline]
fn inline(view: u128) -> Option<usize> {
    let length = view as u32 as usize;
    (length <= 12).then_some(length)
}

/// A number for each value: how often it was seen, or its code.
#[derive(Debug, Clone)]
enum Values {
    Small(Table<i64>),
    Wide(Table<u128>),
    Text {
        short: Table<u128>,
        long: HashMap<Box<[u8]>, u64, FastState>,
        /// Bytes of the long texts.
        bytes: usize,
    },
}

impl Values {
    fn new(t: &DataType) -> Result<Self> {
        match KeyKind::of(&listed_type(t)) {
            Some(KeyKind::Small) => Ok(Self::Small(Table::default())),
            Some(KeyKind::Wide) => Ok(Self::Wide(Table::default())),
            Some(KeyKind::Text) => Ok(Self::Text {
                short: Table::default(),
                long: HashMap::default(),
                bytes: 0,
            }),
            None => internal_err!("values of {t} are not counted"),
        }
    }

    /// Adds `amount(row)` to the number of each row's value; missing values are passed over.
    fn add(&mut self, array: &ArrayRef, amount: impl Fn(usize) -> u64) -> Result<()> {
        match (self, BatchKeys::of(array)?) {
            (Self::Small(table), BatchKeys::Small(keys, nulls)) => {
                for_each_valid(keys.len(), nulls.as_ref(), |i| {
                    table.add(keys[i], amount(i))
                });
            }
            (Self::Wide(table), BatchKeys::Wide(keys, nulls)) => {
                for_each_valid(keys.len(), nulls.as_ref(), |i| {
                    table.add(keys[i], amount(i))
                });
            }
            (Self::Text { short, long, bytes }, BatchKeys::Text(array)) => {
                let views = array.views();
                for_each_valid(array.len(), array.nulls(), |i| {
                    let n = amount(i);
                    if inline(views[i]).is_some() {
                        short.add(views[i], n);
                    } else {
                        let text = array.value(i).as_bytes();
                        if let Some(number) = long.get_mut(text) {
                            *number += n;
                        } else {
                            *bytes += text.len();
                            long.insert(text.into(), n);
                        }
                    }
                });
            }
            _ => return internal_err!("values of another type are counted"),
        }
        Ok(())
    }

    /// How many values there are.
    fn len(&self) -> usize {
        match self {
            Self::Small(table) => table.len(),
            Self::Wide(table) => table.len(),
            Self::Text { short, long, .. } => short.len() + long.len(),
        }
    }

    fn absorb(&mut self, mut other: Self) -> Result<()> {
        if self.len() < other.len() {
            std::mem::swap(self, &mut other);
        }
        match (self, other) {
            (Self::Small(a), Self::Small(b)) => a.absorb(&b),
            (Self::Wide(a), Self::Wide(b)) => a.absorb(&b),
            (
                Self::Text { short, long, bytes },
                Self::Text {
                    short: other_short,
                    long: other_long,
                    ..
                },
            ) => {
                short.absorb(&other_short);
                long.reserve(other_long.len().saturating_sub(long.len()));
                for (text, n) in other_long {
                    let length = text.len();
                    *long.entry(text).or_insert_with(|| {
                        *bytes += length;
                        0
                    }) += n;
                }
            }
            _ => return internal_err!("counts of different types are merged"),
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Small(table) => table.bytes(),
            Self::Wide(table) => table.bytes(),
            Self::Text { short, long, bytes } => {
                // an entry has the box, the number and a control byte; tables are at most 7/8 full
                let entry = size_of::<(Box<[u8]>, u64)>() + 1;
                short.bytes() + long.capacity() * 8 / 7 * entry + bytes
            }
        }
    }
}

/// Calls `f` with each row that is not NULL.
#[inline]
pub(crate) fn for_each_valid(rows: usize, nulls: Option<&NullBuffer>, mut f: impl FnMut(usize)) {
    match nulls.filter(|n| n.null_count() > 0) {
        None => (0..rows).for_each(f),
        Some(nulls) => {
            for (start, end) in nulls.valid_slices() {
                (start..end).for_each(&mut f);
            }
        }
    }
}

/// How often each value was seen. NULL and NaN are missing and not counted.
#[derive(Debug, Clone)]
pub struct Counts {
    data_type: DataType,
    values: Values,
}

impl Counts {
    /// Counts of nothing yet; the type is one that [`category_type`] gave.
    pub fn new(t: &DataType) -> Result<Self> {
        Ok(Self {
            data_type: listed_type(t),
            values: Values::new(t)?,
        })
    }

    /// The values seen, in ascending order and of the type [`listed_type`], and how often each was seen.
    pub fn sorted(&self) -> Result<(ArrayRef, Vec<u64>)> {
        match &self.values {
            Values::Small(table) => {
                let (keys, counts): (Vec<_>, Vec<_>) = table.sorted().into_iter().unzip();
                Ok((of_small_keys(&self.data_type, &keys)?, counts))
            }
            Values::Wide(table) => {
                let mut entries: Vec<_> = table.iter().map(|(k, n)| (of_wide_key(k), n)).collect();
                entries.sort_unstable();
                let values = entries.iter().map(|(v, _)| *v);
                let values = PrimitiveArray::<Decimal128Type>::from_iter_values(values);
                let counts = entries.iter().map(|(_, n)| *n).collect();
                Ok((
                    Arc::new(values.with_data_type(self.data_type.clone())),
                    counts,
                ))
            }
            Values::Text { short, long, .. } => sorted_texts(short, long),
        }
    }
}

/// A short text's view as a number of the order of texts: its bytes, the first one highest, and then its length.
fn text_key(view: u128) -> u128 {
    (view >> 32).swap_bytes() | u128::from(view as u32)
}

/// Texts in ascending order and the number of each.
fn sorted_texts(
    short: &Table<u128>,
    long: &HashMap<Box<[u8]>, u64, FastState>,
) -> Result<(ArrayRef, Vec<u64>)> {
    let mut short: Vec<_> = short.iter().map(|(v, n)| (text_key(v), n)).collect();
    short.par_sort_unstable();
    let mut long: Vec<_> = long.iter().map(|(text, n)| (text.as_ref(), *n)).collect();
    long.par_sort_unstable();
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    let mut numbers = Vec::with_capacity(short.len() + long.len());
    let mut add = |text: &[u8], n: u64| {
        bytes.extend_from_slice(text);
        numbers.push(n);
        match i32::try_from(bytes.len()) {
            Ok(end) => ends.push(end),
            Err(_) => return exec_err!("the categories have more than 2 GB of text"),
        }
        Ok(())
    };
    let mut long = long.into_iter().peekable();
    for (key, n) in short {
        let text = key.to_be_bytes();
        let text = &text[..usize::from(text[15])];
        while let Some((before, n)) = long.next_if(|(l, _)| *l < text) {
            add(before, n)?;
        }
        add(text, n)?;
    }
    for (text, n) in long {
        add(text, n)?;
    }
    let texts = StringArray::try_new(OffsetBuffer::new(ends.into()), bytes.into(), None)?;
    Ok((Arc::new(texts), numbers))
}

impl State for Counts {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let array = &values[0];
        let Some(dictionary) = array.as_any_dictionary_opt() else {
            return self.values.add(array, |_| 1);
        };
        let distinct = dictionary.values();
        if distinct.is_empty() {
            return Ok(());
        }
        let mut seen = vec![0u64; distinct.len()];
        let keys = dictionary.normalized_keys();
        for_each_valid(keys.len(), array.nulls(), |i| seen[keys[i]] += 1);
        // a value that no row has is no category
        let rows: UInt32Array = (0u32..)
            .zip(&seen)
            .filter(|(_, n)| **n > 0)
            .map(|(i, _)| i)
            .collect::<Vec<_>>()
            .into();
        let present = take(distinct, &rows, None)?;
        self.values.add(&present, |i| seen[rows.value(i) as usize])
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.values.absorb(other.values)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        match &self.values {
            Values::Small(table) => table.write(out),
            Values::Wide(table) => table.write(out),
            Values::Text { short, long, .. } => {
                short.write(out);
                out.extend((long.len() as u64).to_le_bytes());
                for (text, n) in long {
                    out.extend((text.len() as u64).to_le_bytes());
                    out.extend_from_slice(text);
                    out.extend(n.to_le_bytes());
                }
            }
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        match read(&mut self.values, &mut Reader(bytes)) {
            Some(()) => Ok(()),
            None => internal_err!("counts of {} bytes cannot be read", bytes.len()),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.bytes()
    }
}

/// Distinct values, numbered from 0 in the order in which they come.
#[derive(Debug)]
pub struct Numbering {
    numbers: Counts,
    next: u64,
}

impl Numbering {
    /// No values yet; the type is one that [`category_type`] gave.
    pub fn new(t: &DataType) -> Result<Self> {
        Ok(Self {
            numbers: Counts::new(t)?,
            next: 0,
        })
    }

    /// How many values have a number. Values of dictionaries have one though no row has them.
    pub fn len(&self) -> usize {
        self.next as usize
    }

    /// Whether no value has a number.
    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// The number of each row's value, a new one for a value that has none; [`MISSING`] for what is missing.
    pub fn number(&mut self, array: &ArrayRef) -> Result<Vec<u32>> {
        let mut out = vec![MISSING; array.len()];
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            if dictionary.values().is_empty() {
                return Ok(out);
            }
            let numbers = self.number(dictionary.values())?;
            let keys = dictionary.normalized_keys();
            for_each_valid(out.len(), array.nulls(), |i| out[i] = numbers[keys[i]]);
            return Ok(out);
        }
        let next = &mut self.next;
        let known = &mut self.numbers.values;
        match (known, BatchKeys::of(array)?) {
            (Values::Small(table), BatchKeys::Small(keys, nulls)) => {
                for_each_valid(keys.len(), nulls.as_ref(), |i| {
                    out[i] = number_of(table, keys[i], next);
                });
            }
            (Values::Wide(table), BatchKeys::Wide(keys, nulls)) => {
                for_each_valid(keys.len(), nulls.as_ref(), |i| {
                    out[i] = number_of(table, keys[i], next);
                });
            }
            (Values::Text { short, long, bytes }, BatchKeys::Text(array)) => {
                let views = array.views();
                for_each_valid(array.len(), array.nulls(), |i| {
                    if inline(views[i]).is_some() {
                        out[i] = number_of(short, views[i], next);
                        return;
                    }
                    let text = array.value(i).as_bytes();
                    let number = long.get(text).copied().unwrap_or_else(|| {
                        *bytes += text.len();
                        long.insert(text.into(), *next);
                        *next += 1;
                        *next - 1
                    });
                    out[i] = number as u32;
                });
            }
            _ => return internal_err!("values of another type are numbered"),
        }
        if self.next >= u64::from(UNKNOWN) {
            return exec_err!("{} categories are too many", self.next);
        }
        Ok(out)
    }

    /// The values in ascending order and of the type [`listed_type`], and the number of each.
    pub fn sorted(&self) -> Result<(ArrayRef, Vec<u64>)> {
        self.numbers.sorted()
    }

    /// Appends values and numbers to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.numbers.encode(out)
    }

    /// Takes up in an empty numbering what [`Self::encode`] wrote; `None` if it is something else.
    pub fn read(&mut self, input: &mut Reader<'_>) -> Option<()> {
        read(&mut self.numbers.values, input)?;
        self.next = self.numbers.values.len() as u64;
        Some(())
    }

    /// Bytes held, the numbering itself included.
    pub fn size(&self) -> usize {
        self.numbers.size() + size_of::<u64>()
    }
}

#[inline]
fn number_of<K: super::table::Key>(table: &mut Table<K>, key: K, next: &mut u64) -> u32 {
    let number = table.get(key).unwrap_or_else(|| {
        table.add(key, *next);
        *next += 1;
        *next - 1
    });
    // more categories than that are an error
    number as u32
}

/// How many keys and numbers come; the table is made to have room for them.
fn expected<K: super::table::Key>(table: &mut Table<K>, input: &mut Reader<'_>) -> Option<u64> {
    let keys = input.u64()?;
    let held = input.0.len() / (size_of::<K>() + size_of::<u64>());
    table.reserve(usize::try_from(keys).ok()?.min(held));
    Some(keys)
}

fn read(values: &mut Values, input: &mut Reader<'_>) -> Option<()> {
    match values {
        Values::Small(table) => {
            for _ in 0..expected(table, input)? {
                table.add(input.u64()?.cast_signed(), input.u64()?);
            }
        }
        Values::Wide(table) => {
            for _ in 0..expected(table, input)? {
                table.add(input.u128()?, input.u64()?);
            }
        }
        Values::Text { short, long, bytes } => {
            for _ in 0..expected(short, input)? {
                short.add(input.u128()?, input.u64()?);
            }
            let texts = input.u64()?;
            // each has a length and a number
            long.reserve(usize::try_from(texts).ok()?.min(input.0.len() / 16));
            for _ in 0..texts {
                let length = input.length()?;
                let text = input.bytes(length)?;
                *bytes += length;
                long.insert(text.into(), input.u64()?);
            }
        }
    }
    Some(())
}

/// The code of a row whose value is missing.
pub const MISSING: u32 = u32::MAX;
/// The code of a row whose value is not among the known ones.
pub const UNKNOWN: u32 = u32::MAX - 1;

/// The codes of known values.
#[derive(Debug, Clone)]
pub struct Lookup(Values);

fn found(code: Option<u64>) -> u32 {
    code.and_then(|c| u32::try_from(c).ok()).unwrap_or(UNKNOWN)
}

#[inline]
fn text_code(
    short: &Table<u128>,
    long: &HashMap<Box<[u8]>, u64, FastState>,
    array: &StringViewArray,
    row: usize,
) -> Option<u64> {
    let view = array.views()[row];
    if inline(view).is_some() {
        short.get(view)
    } else {
        long.get(array.value(row).as_bytes()).copied()
    }
}

impl Lookup {
    /// Known values and the code of each.
    pub fn new(values: &ArrayRef, codes: &[u32]) -> Result<Self> {
        let mut known = Values::new(values.data_type())?;
        known.add(values, |i| u64::from(codes[i]))?;
        Ok(Self(known))
    }

    #[inline]
    fn code(&self, keys: &BatchKeys, row: usize) -> u32 {
        match (&self.0, keys) {
            (Values::Small(table), BatchKeys::Small(keys, _)) => found(table.get(keys[row])),
            (Values::Wide(table), BatchKeys::Wide(keys, _)) => found(table.get(keys[row])),
            (Values::Text { short, long, .. }, BatchKeys::Text(array)) => {
                found(text_code(short, long, array, row))
            }
            _ => UNKNOWN,
        }
    }

    /// The code of each row that is not missing: as [`Self::code`], the type looked at once.
    fn write(&self, keys: &BatchKeys, out: &mut [u32]) {
        let (rows, nulls) = (out.len(), keys.nulls());
        match (&self.0, keys) {
            (Values::Small(table), BatchKeys::Small(keys, _)) => {
                for_each_valid(rows, nulls, |i| out[i] = found(table.get(keys[i])));
            }
            (Values::Text { short, long, .. }, BatchKeys::Text(array)) => {
                for_each_valid(rows, nulls, |i| {
                    out[i] = found(text_code(short, long, array, i))
                });
            }
            _ => for_each_valid(rows, nulls, |i| out[i] = self.code(keys, i)),
        }
    }

    /// The code of each row: [`MISSING`] or [`UNKNOWN`] for a row that has none.
    pub fn codes(&self, array: &ArrayRef) -> Result<Vec<u32>> {
        Self::codes_by_group(&[Some(self)], array, Groups::One)
    }

    /// The code of each row by the look-up of its group; where that is lacking, rows are [`MISSING`].
    pub fn codes_by_group(
        lookups: &[Option<&Self>],
        array: &ArrayRef,
        groups: Groups<'_>,
    ) -> Result<Vec<u32>> {
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            return match groups {
                Groups::One if dictionary.values().is_empty() => Ok(vec![MISSING; array.len()]),
                Groups::One => {
                    let codes = Self::codes_by_group(lookups, dictionary.values(), groups)?;
                    let mut out = vec![MISSING; array.len()];
                    let keys = dictionary.normalized_keys();
                    for_each_valid(out.len(), array.nulls(), |i| out[i] = codes[keys[i]]);
                    Ok(out)
                }
                Groups::Each(_) => {
                    let plain = cast(array, dictionary.values().data_type())?;
                    Self::codes_by_group(lookups, &plain, groups)
                }
            };
        }
        let keys = BatchKeys::of(array)?;
        let nulls = keys.nulls();
        let mut out = vec![MISSING; array.len()];
        match groups {
            Groups::One => {
                if let (false, Some(lookup)) = (out.is_empty(), of_group(lookups, groups, 0)?) {
                    lookup.write(&keys, &mut out);
                }
            }
            Groups::Each(index) => {
                for row in 0..out.len() {
                    let lookup = lookups.get(index[row] as usize);
                    let Some(lookup) = lookup else {
                        return exec_err!("the fits have no group {}", index[row]);
                    };
                    if let Some(lookup) = lookup
                        && nulls.is_none_or(|n| n.is_valid(row))
                    {
                        out[row] = lookup.code(&keys, row);
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Which categories are rare, by scikit-learn's rules: those counted less than `min_frequency` (a count, or
/// below 1 a fraction), and the least frequent beyond `max_categories`, of which the rare ones together are one.
/// Of equally frequent ones the earlier in order are rare first.
pub fn rare(
    counts: &[u64],
    min_frequency: Option<f64>,
    max_categories: Option<usize>,
) -> Vec<bool> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts are compared with a float"
    )]
    let float = |n: u64| n as f64;
    let mut rare = vec![false; counts.len()];
    if let Some(min) = min_frequency {
        let min = if min < 1.0 {
            min * float(counts.iter().sum())
        } else {
            min
        };
        for (rare, n) in rare.iter_mut().zip(counts) {
            *rare = float(*n) < min;
        }
    }
    if let Some(max) = max_categories {
        let frequent = rare.iter().filter(|r| !**r).count();
        if max < frequent + 1 {
            let mut order: Vec<usize> = (0..counts.len()).collect();
            order.sort_by_key(|i| counts[*i]);
            let keep = max.saturating_sub(1);
            for i in &order[..counts.len().saturating_sub(keep)] {
                rare[*i] = true;
            }
        }
    }
    rare
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float64Array, Int64Array, TimestampSecondArray, UInt64Array, new_empty_array,
    };

    use super::*;
    use crate::fitted::testing::texts;

    /// Counts in pieces, merged in both orders and through encoding.
    fn counted(array: &ArrayRef) -> (ArrayRef, Vec<u64>) {
        let mut whole = Counts::new(array.data_type()).expect("a type");
        whole.update(&[Arc::clone(array)]).expect("an update");
        let expected = whole.sorted().expect("counts");
        for size in [1, 3] {
            let mut after = Counts::new(array.data_type()).expect("a type");
            let mut before = Counts::new(array.data_type()).expect("a type");
            for start in (0..array.len()).step_by(size) {
                let mut part = Counts::new(array.data_type()).expect("a type");
                let piece = array.slice(start, size.min(array.len() - start));
                part.update(&[piece]).expect("an update");
                let mut bytes = Vec::new();
                part.encode(&mut bytes).expect("an encoding");
                let mut decoded = Counts::new(array.data_type()).expect("a type");
                decoded.decode(&bytes).expect("a decoding");
                assert!(decoded.decode(&bytes[..bytes.len() / 2]).is_err());
                let mut decoded = Counts::new(array.data_type()).expect("a type");
                decoded.decode(&bytes).expect("a decoding");
                after.merge(decoded).expect("a merge");
                part.merge(before).expect("a merge");
                before = part;
            }
            assert_eq!(after.sorted().expect("counts"), expected);
            assert_eq!(before.sorted().expect("counts"), expected);
        }
        expected
    }

    #[test]
    fn numbers_in_the_order_of_values() {
        let long = "longer than twelve bytes";
        let array = texts([
            Some("b"),
            None,
            Some(long),
            Some("b"),
            Some("a"),
            Some(long),
        ]);
        let mut numbering = Numbering::new(array.data_type()).expect("a type");
        let expected = [0, MISSING, 1, 0, 2, 1];
        assert_eq!(numbering.number(&array).expect("numbers"), expected);
        let mut bytes = Vec::new();
        numbering.encode(&mut bytes).expect("an encoding");
        let mut decoded = Numbering::new(array.data_type()).expect("a type");
        decoded.read(&mut Reader(&bytes)).expect("a decoding");
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let encoded = cast(&array, &dictionary).expect("a dictionary");
        assert_eq!(decoded.number(&encoded).expect("numbers"), expected);
        assert_eq!((decoded.len(), decoded.is_empty()), (3, false));
        let (values, numbers) = decoded.sorted().expect("values");
        assert_eq!(values.len(), 3);
        assert_eq!(numbers, [2, 0, 1]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, f64::NAN, 0.0, 1.5]));
        let mut numbering = Numbering::new(floats.data_type()).expect("a type");
        let numbers = numbering.number(&floats).expect("numbers");
        assert_eq!(numbers, [0, MISSING, 0, 1]);
    }

    #[test]
    fn texts_short_and_long() {
        let long = "longer than twelve bytes";
        let (values, counts) = counted(&texts([
            Some("b"),
            Some(""),
            None,
            Some(long),
            Some("twelve bytes"),
            Some("b"),
            Some("日本"),
            Some(long),
        ]));
        let expected: ArrayRef = Arc::new(StringArray::from(vec![
            "",
            "b",
            long,
            "twelve bytes",
            "日本",
        ]));
        assert_eq!(&values, &expected);
        assert_eq!(counts, [1, 2, 2, 1, 1]);
    }

    #[test]
    fn types_keep_their_order_and_extremes() {
        let (values, counts) = counted(
            &(Arc::new(Int64Array::from(vec![
                Some(i64::MAX),
                Some(i64::MIN),
                None,
                Some(i64::MIN),
                Some(-1),
            ])) as ArrayRef),
        );
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, -1, i64::MAX]));
        assert_eq!((&values, counts), (&expected, vec![2, 1, 1]));

        let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1 << 63, 0]));
        let expected: ArrayRef = Arc::new(UInt64Array::from(vec![0, 1 << 63, u64::MAX]));
        assert_eq!(counted(&unsigned), (expected, vec![2, 1, 1]));

        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            f64::NAN,
            0.0,
            -0.0,
            -1.5,
            f64::INFINITY,
        ]));
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![-1.5, 0.0, f64::INFINITY]));
        assert_eq!(counted(&floats), (expected, vec![1, 2, 1]));

        let times = TimestampSecondArray::from(vec![5, -5, 5]).with_timezone("+01:00");
        let expected = TimestampSecondArray::from(vec![-5, 5]).with_timezone("+01:00");
        let (values, counts) = counted(&(Arc::new(times) as ArrayRef));
        assert_eq!(&values, &(Arc::new(expected) as ArrayRef));
        assert_eq!(counts, [1, 2]);

        let decimals = Decimal128Array::from(vec![Some(250), Some(-5), None, Some(250)]);
        let decimals = decimals.with_precision_and_scale(38, 2).expect("a scale");
        let (values, counts) = counted(&(Arc::new(decimals) as ArrayRef));
        let expected = Decimal128Array::from(vec![-5, 250]);
        let expected = expected.with_precision_and_scale(38, 2).expect("a scale");
        assert_eq!(&values, &(Arc::new(expected) as ArrayRef));
        assert_eq!(counts, [1, 2]);
    }

    #[test]
    fn nothing() {
        let none = new_empty_array(&DataType::Utf8View);
        assert_eq!(counted(&none).1.len(), 0);
        assert_eq!(counted(&texts([None, None])).1.len(), 0);
    }

    #[test]
    fn memory_is_reported() {
        let mut counts = Counts::new(&DataType::Utf8View).expect("a type");
        let before = counts.size();
        let long: Vec<String> = (0..1000)
            .map(|i| format!("a long category no. {i}"))
            .collect();
        let array: ArrayRef = Arc::new(StringViewArray::from_iter_values(&long));
        counts.update(&[array]).expect("an update");
        let bytes: usize = long.iter().map(String::len).sum();
        assert!(counts.size() > before + bytes);
    }

    #[test]
    fn rare_as_in_scikit_learn() {
        let counts = [5, 1, 3, 1];
        assert_eq!(rare(&counts, None, None), [false; 4]);
        assert_eq!(rare(&counts, Some(2.0), None), [false, true, false, true]);
        assert_eq!(rare(&counts, Some(0.3), None), [false, true, false, true]);
        assert_eq!(rare(&counts, Some(0.31), None), [false, true, true, true]);
        // two columns: one category, and the rest
        assert_eq!(rare(&counts, None, Some(2)), [false, true, true, true]);
        assert_eq!(rare(&counts, None, Some(1)), [true; 4]);
        assert_eq!(rare(&counts, None, Some(5)), [false; 4]);
        // as many as there are leaves no room for the column of the rare
        assert_eq!(rare(&counts, None, Some(4)), [false, true, false, false]);
        assert_eq!(
            rare(&counts, Some(2.0), Some(3)),
            [false, true, false, true]
        );
    }
}
