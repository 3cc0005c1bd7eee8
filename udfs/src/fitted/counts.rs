//! Counts of the values of a column of text, numbers, booleans, dates or times, and the look-up of values
//! among known ones.
//!
//! Values become keys of a fixed size: numbers and times an integer of the same order, a text of up to 12
//! bytes its Utf8View. Only longer texts are hashed as bytes.

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
use super::table::{Key, Table};
use super::texts::Texts;
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

/// Bytes of a text that its view holds.
const INLINE: usize = 12;

/// Whether a view holds its text.
#[inline]
fn inline(view: u128) -> bool {
    view as u32 as usize <= INLINE
}

/// The view of a text of no more than [`INLINE`] bytes.
#[inline]
fn view_of(text: &[u8]) -> u128 {
    let mut view = [0; 16];
    view[4..4 + text.len()].copy_from_slice(text);
    u128::from_le_bytes(view) | text.len() as u128
}

/// A short text's view in the order of texts: the bytes, the first foremost, then how many they are.
fn text_order([low, high]: [u64; 2]) -> [u64; 2] {
    let turned = |bytes: u64| u64::from((bytes as u32).swap_bytes());
    let length = u64::from(low as u32);
    [
        turned(low >> 32) << 32 | turned(high),
        turned(high >> 32) << 32 | length,
    ]
}

/// The bytes of a short text from its [`text_order`], and how many they are.
fn of_text_order([first, last]: [u64; 2]) -> ([u8; INLINE], usize) {
    let mut bytes = [0; INLINE];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[8..].copy_from_slice(&last.to_be_bytes()[..4]);
    (bytes, (last as usize & 0xff).min(INLINE))
}

/// A number for each value: how often it was seen, or its code.
#[derive(Debug, Clone)]
enum Values {
    Small(Table<i64>),
    Wide(Table<u128>),
    Text { short: Table<u128>, long: Texts },
}

impl Values {
    fn new(t: &DataType) -> Result<Self> {
        match KeyKind::of(&listed_type(t)) {
            Some(KeyKind::Small) => Ok(Self::Small(Table::default())),
            Some(KeyKind::Wide) => Ok(Self::Wide(Table::default())),
            Some(KeyKind::Text) => Ok(Self::Text {
                short: Table::default(),
                long: Texts::default(),
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
            (Self::Text { short, long }, BatchKeys::Text(array)) => {
                room_for(long, array.len())?;
                let views = array.views();
                for_each_valid(array.len(), array.nulls(), |i| {
                    let n = amount(i);
                    if inline(views[i]) {
                        short.add(views[i], n);
                    } else {
                        *long.entry(array.value(i).as_bytes(), 0) += n;
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
                Self::Text { short, long },
                Self::Text {
                    short: other_short,
                    long: other_long,
                },
            ) => {
                short.absorb(&other_short);
                room_for(long, other_long.len())?;
                long.reserve(other_long.len(), other_long.text_bytes());
                for (text, n) in other_long.iter() {
                    *long.entry(text, 0) += n;
                }
            }
            _ => return internal_err!("counts of different types are merged"),
        }
        Ok(())
    }

    /// Bytes held on the heap, and those that the sorted values take up beside them.
    fn bytes(&self) -> usize {
        let (held, sorted) = match self {
            Self::Small(table) => (table.bytes(), size_of::<u64>()),
            Self::Wide(table) => (table.bytes(), size_of::<u128>()),
            Self::Text { short, long } => (
                short.bytes() + long.bytes() + long.text_bytes(),
                INLINE + size_of::<u32>(),
            ),
        };
        held + self.len() * (sorted + size_of::<u64>())
    }
}

/// An error if so many more texts would be too many.
fn room_for(long: &Texts, more: usize) -> Result<()> {
    if long.len() + more > Texts::MOST {
        return exec_err!("{} categories are too many", long.len() + more);
    }
    Ok(())
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
        self.of_entries(match &self.values {
            Values::Small(table) => Entries::Small(held(table)),
            Values::Wide(table) => Entries::Wide(held(table)),
            Values::Text { short, long } => Entries::Text(held(short), long),
        })
    }

    /// As [`Self::sorted`], where the values are: of many categories there is no second copy.
    pub fn into_sorted(mut self) -> Result<(ArrayRef, Vec<u64>)> {
        let values = std::mem::replace(&mut self.values, Values::Small(Table::default()));
        match values {
            Values::Small(table) => self.of_entries(Entries::Small(table.into_entries())),
            Values::Wide(table) => self.of_entries(Entries::Wide(table.into_entries())),
            Values::Text { short, long } => {
                self.of_entries(Entries::Text(short.into_entries(), &long))
            }
        }
    }

    fn of_entries(&self, entries: Entries<'_>) -> Result<(ArrayRef, Vec<u64>)> {
        match entries {
            Entries::Small(mut entries) => {
                entries.sort_unstable();
                let (keys, counts): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
                Ok((of_small_keys(&self.data_type, &keys)?, counts))
            }
            Entries::Wide(entries) => {
                let wide = |(k, n): ([u64; 2], u64)| (of_wide_key(u128::of_held(k)), n);
                let mut entries: Vec<_> = entries.into_iter().map(wide).collect();
                entries.sort_unstable();
                let values = entries.iter().map(|(v, _)| *v);
                let values = PrimitiveArray::<Decimal128Type>::from_iter_values(values);
                let counts = entries.iter().map(|(_, n)| *n).collect();
                Ok((
                    Arc::new(values.with_data_type(self.data_type.clone())),
                    counts,
                ))
            }
            Entries::Text(short, long) => sorted_texts(short, long),
        }
    }
}

/// Keys, as a table holds them, and numbers.
type Held<K> = Vec<(<K as Key>::Held, u64)>;

/// What is to be sorted.
enum Entries<'a> {
    Small(Held<i64>),
    Wide(Held<u128>),
    Text(Held<u128>, &'a Texts),
}

fn held<K: Key>(table: &Table<K>) -> Held<K> {
    table.iter().map(|(key, n)| (key.held(), n)).collect()
}

fn sorted_texts(mut short: Held<u128>, long: &Texts) -> Result<(ArrayRef, Vec<u64>)> {
    for (key, _) in &mut short {
        *key = text_order(*key);
    }
    short.par_sort_unstable();
    let places = long.sorted();
    let short_bytes: usize = short.iter().map(|(key, _)| of_text_order(*key).1).sum();
    let total = short_bytes + long.text_bytes();
    if i32::try_from(total).is_err() {
        return exec_err!(
            "the categories are {total} bytes of text, and no more than 2^31 fit. Bring them to fewer with hash_bucket(...)"
        );
    }
    let categories = short.len() + places.len();
    let mut bytes = Vec::with_capacity(total);
    let mut lengths = Vec::with_capacity(categories);
    let mut numbers = Vec::with_capacity(categories);
    let mut push = |text: &[u8], n: u64| {
        bytes.extend_from_slice(text);
        lengths.push(text.len());
        numbers.push(n);
    };
    let mut places = places.into_iter().map(|place| place as usize).peekable();
    for (key, n) in short {
        let (text, length) = of_text_order(key);
        let text = &text[..length];
        while let Some(place) = places.next_if(|place| long.text(*place) < text) {
            push(long.text(place), long.number(place));
        }
        push(text, n);
    }
    for place in places {
        push(long.text(place), long.number(place));
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    match StringArray::try_new(offsets, bytes.into(), None) {
        Ok(texts) => Ok((Arc::new(texts), numbers)),
        Err(e) => exec_err!("a category is not UTF-8: {e}"),
    }
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
            Values::Text { short, long } => {
                // a few bytes of length and number each, which is more than most take
                out.reserve_exact(
                    16 + short.len() * (INLINE + 2) + long.text_bytes() + 4 * long.len(),
                );
                out.extend((short.len() as u64).to_le_bytes());
                for (view, n) in short.iter() {
                    let text = &view.to_le_bytes()[4..];
                    let length = (view as u32 as usize).min(INLINE);
                    write_text(&text[..length], n, out);
                }
                out.extend((long.len() as u64).to_le_bytes());
                long.iter().for_each(|(text, n)| write_text(text, n, out));
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

    fn merge_encoded(&mut self, bytes: &[u8], _: impl FnOnce() -> Result<Self>) -> Result<()> {
        self.decode(bytes)
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
            (Values::Text { short, long }, BatchKeys::Text(array)) => {
                room_for(long, array.len())?;
                let views = array.views();
                for_each_valid(array.len(), array.nulls(), |i| {
                    out[i] = match inline(views[i]) {
                        true => number_of(short, views[i], next),
                        false => number_of_text(long, array.value(i).as_bytes(), next),
                    };
                });
            }
            _ => return internal_err!("values of another type are numbered"),
        }
        self.check()?;
        Ok(out)
    }

    fn check(&self) -> Result<()> {
        if self.next >= u64::from(UNKNOWN) {
            return exec_err!("{} categories are too many", self.next);
        }
        Ok(())
    }

    /// Takes the values of another numbering; gives the number here of each that has one there.
    pub fn absorb(&mut self, other: &Self) -> Result<Vec<u32>> {
        let mut numbers = vec![MISSING; other.len()];
        let next = &mut self.next;
        let mut note = |number: u64, here: u32| {
            if let Some(noted) = numbers.get_mut(number as usize) {
                *noted = here;
            }
        };
        match (&mut self.numbers.values, &other.numbers.values) {
            (Values::Small(table), Values::Small(others)) => {
                table.reserve(others.len());
                others
                    .iter()
                    .for_each(|(k, n)| note(n, number_of(table, k, next)));
            }
            (Values::Wide(table), Values::Wide(others)) => {
                table.reserve(others.len());
                others
                    .iter()
                    .for_each(|(k, n)| note(n, number_of(table, k, next)));
            }
            (
                Values::Text { short, long },
                Values::Text {
                    short: other_short,
                    long: other_long,
                },
            ) => {
                short.reserve(other_short.len());
                let others = other_short.iter();
                others.for_each(|(k, n)| note(n, number_of(short, k, next)));
                room_for(long, other_long.len())?;
                long.reserve(other_long.len(), other_long.text_bytes());
                let others = other_long.iter();
                others.for_each(|(k, n)| note(n, number_of_text(long, k, next)));
            }
            _ => return internal_err!("numbers of different types are merged"),
        }
        self.check()?;
        Ok(numbers)
    }

    /// The values in ascending order and of the type [`listed_type`], and the number of each.
    pub fn into_sorted(self) -> Result<(ArrayRef, Vec<u64>)> {
        self.numbers.into_sorted()
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
fn number_of<K: Key>(table: &mut Table<K>, key: K, next: &mut u64) -> u32 {
    let number = table.get(key).unwrap_or_else(|| {
        table.add(key, *next);
        *next += 1;
        *next - 1
    });
    // more categories than that are an error
    number as u32
}

#[inline]
fn number_of_text(texts: &mut Texts, text: &[u8], next: &mut u64) -> u32 {
    let number = *texts.entry(text, *next);
    *next += u64::from(number == *next);
    // as above
    number as u32
}

/// Appends a number, seven bits a byte, the lowest first.
fn write_number(mut n: u64, out: &mut Vec<u8>) {
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads what [`write_number`] wrote.
fn read_number(input: &mut Reader<'_>) -> Option<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let byte = input.u8()?;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

fn write_text(text: &[u8], n: u64, out: &mut Vec<u8>) {
    write_number(text.len() as u64, out);
    out.extend_from_slice(text);
    write_number(n, out);
}

fn read_text<'a>(input: &mut Reader<'a>) -> Option<(&'a [u8], u64)> {
    let length = usize::try_from(read_number(input)?).ok()?;
    Some((input.bytes(length)?, read_number(input)?))
}

/// How many keys and numbers come; the table is made to have room for them.
fn expected<K: Key>(table: &mut Table<K>, input: &mut Reader<'_>) -> Option<u64> {
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
        Values::Text { short, long } => {
            // each has a length and a number
            let at_most =
                |n: u64, input: &Reader<'_>| Some(usize::try_from(n).ok()?.min(input.0.len() / 2));
            let texts = input.u64()?;
            short.reserve(at_most(texts, input)?);
            for _ in 0..texts {
                let (text, n) = read_text(input)?;
                if text.len() > INLINE {
                    return None;
                }
                short.add(view_of(text), n);
            }
            let texts = input.u64()?;
            let more = at_most(texts, input)?;
            room_for(long, more).ok()?;
            long.reserve(more, 0);
            for _ in 0..texts {
                let (text, n) = read_text(input)?;
                *long.entry(text, 0) += n;
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
    long: &Texts,
    array: &StringViewArray,
    row: usize,
) -> Option<u64> {
    let view = array.views()[row];
    if inline(view) {
        short.get(view)
    } else {
        long.get(array.value(row).as_bytes())
    }
}

impl Lookup {
    /// Known values and the code of each.
    pub fn new(values: &ArrayRef, codes: &[u32]) -> Result<Self> {
        Self::of(values, |i| codes[i])
    }

    /// Known values and the code of each, by its place.
    pub fn of(values: &ArrayRef, code: impl Fn(usize) -> u32) -> Result<Self> {
        let mut known = Values::new(values.data_type())?;
        let code = |i| u64::from(code(i));
        match (&mut known, values.as_string_opt::<i32>()) {
            // without views of them
            (Values::Text { short, long }, Some(texts)) => {
                let is_short = |i: &usize| texts.is_valid(*i) && texts.value(*i).len() <= INLINE;
                short.reserve((0..texts.len()).filter(is_short).count());
                room_for(long, texts.len())?;
                for_each_valid(texts.len(), texts.nulls(), |i| {
                    let text = texts.value(i).as_bytes();
                    match text.len() <= INLINE {
                        true => short.add(view_of(text), code(i)),
                        false => *long.entry(text, 0) += code(i),
                    }
                });
            }
            (known, _) => known.add(values, code)?,
        }
        Ok(Self(known))
    }

    #[inline]
    fn code(&self, keys: &BatchKeys, row: usize) -> u32 {
        match (&self.0, keys) {
            (Values::Small(table), BatchKeys::Small(keys, _)) => found(table.get(keys[row])),
            (Values::Wide(table), BatchKeys::Wide(keys, _)) => found(table.get(keys[row])),
            (Values::Text { short, long }, BatchKeys::Text(array)) => {
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
            (Values::Text { short, long }, BatchKeys::Text(array)) => {
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
            let mut bytes = Vec::new();
            before.encode(&mut bytes).expect("an encoding");
            let empty = || Counts::new(array.data_type());
            let mut twice = before.clone();
            twice.merge_encoded(&bytes, empty).expect("a merge");
            let doubled = expected.1.iter().map(|n| 2 * n).collect();
            let doubled = (Arc::clone(&expected.0), doubled);
            assert_eq!(twice.into_sorted().expect("counts"), doubled);
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
        let other = Numbering::new(array.data_type()).expect("a type");
        assert_eq!(decoded.absorb(&other).expect("numbers"), [0; 0]);
        let mut other = other;
        let more = texts([Some("c"), Some(long)]);
        other.number(&more).expect("numbers");
        assert_eq!(decoded.absorb(&other).expect("numbers"), [3, 1]);
        assert_eq!(other.absorb(&decoded).expect("numbers"), [2, 1, 3, 0]);
        let (values, numbers) = decoded.into_sorted().expect("values");
        assert_eq!(values.len(), 4);
        assert_eq!(numbers, [2, 0, 3, 1]);
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
