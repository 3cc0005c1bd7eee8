//! Fields to Arrow columns, a column at a time, so that each loop does one kind of work.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, NullBufferBuilder,
    PrimitiveArray, StringBuilder, StringViewBuilder, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::FormatOptions;
use datafusion::common::Result;

use super::tokenize::{Field, Records};
use super::value::{self, Nulls};

/// What all columns of a file share.
#[derive(Debug, Clone)]
pub struct Reading {
    pub nulls: Nulls,
    pub trim: bool,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
}

/// Records and the bytes they are cut from.
pub struct Block<'a> {
    pub buffer: &'a [u8],
    pub records: &'a Records,
    /// Fields a row.
    pub width: usize,
    pub reading: &'a Reading,
}

/// A cell that is not of its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCell {
    /// Its row in the block.
    pub row: usize,
    pub not_utf8: bool,
}

impl Block<'_> {
    fn cells(&self, at: Option<usize>) -> impl Iterator<Item = Field> {
        let at = at.unwrap_or(usize::MAX);
        self.records
            .fields
            .chunks_exact(self.width.max(1))
            .map(move |row| row.get(at).copied().unwrap_or(Field::MISSING))
    }

    /// The text of a cell, its doubled quotes undone; `None` where it is missing.
    #[inline]
    pub fn text<'b>(&'b self, field: Field, scratch: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        if field.is_missing() {
            return None;
        }
        let text = field.trimmed(self.buffer, self.reading.trim);
        if field.is_escaped() {
            self.unescape(text, scratch);
            return Some(scratch);
        }
        Some(text)
    }

    #[cold]
    fn unescape(&self, text: &[u8], scratch: &mut Vec<u8>) {
        scratch.clear();
        let Reading { quote, escape, .. } = *self.reading;
        let mut bytes = text.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let literal = Some(byte) == escape && escape != quote;
            let doubled = Some(byte) == quote && bytes.peek().copied() == quote;
            match bytes.next_if(|_| literal || doubled) {
                Some(next) => scratch.push(next),
                None => scratch.push(byte),
            }
        }
    }

    #[inline]
    fn is_null(&self, field: Field, text: &[u8]) -> bool {
        (self.reading.nulls.quoted || !field.is_quoted()) && self.reading.nulls.contains(text)
    }
}

/// A column that grows.
pub trait Column: Send {
    /// Appends a cell of each row: the field at `at`, or NULL where the file has none. Cells that
    /// are not of the type become NULL and are listed.
    fn append(&mut self, block: &Block, at: Option<usize>, bad: &mut Vec<BadCell>) -> Result<()>;

    /// Takes what has grown.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// The column for a type.
pub fn column(data_type: &DataType) -> Box<dyn Column> {
    /// A column of numbers whose parser is compiled into its loop.
    fn numbers<T: ArrowPrimitiveType>(
        parse: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static,
    ) -> Box<dyn Column> {
        Box::new(Numbers::<T, _> {
            values: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            parse,
        })
    }
    fn whole<T>() -> Box<dyn Column>
    where
        T: ArrowPrimitiveType,
        T::Native: TryFrom<i64>,
    {
        numbers::<T>(|text| T::Native::try_from(value::integer(text)?).ok())
    }
    match data_type {
        DataType::Int8 => whole::<Int8Type>(),
        DataType::Int16 => whole::<Int16Type>(),
        DataType::Int32 => whole::<Int32Type>(),
        DataType::Int64 => whole::<Int64Type>(),
        DataType::UInt8 => whole::<UInt8Type>(),
        DataType::UInt16 => whole::<UInt16Type>(),
        DataType::UInt32 => whole::<UInt32Type>(),
        DataType::UInt64 => {
            numbers::<UInt64Type>(|text| std::str::from_utf8(text).ok()?.parse().ok())
        }
        DataType::Float64 => numbers::<Float64Type>(value::float),
        DataType::Float32 => numbers::<Float32Type>(|text| {
            // Not through a double, which would round twice.
            std::str::from_utf8(text).ok()?.parse().ok()
        }),
        DataType::Date32 => numbers::<Date32Type>(value::date),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            numbers::<TimestampMicrosecondType>(value::timestamp)
        }
        DataType::Boolean => Box::new(Booleans::default()),
        DataType::Utf8View => Box::new(Texts::default()),
        other => Box::new(Others {
            data_type: other.clone(),
            parts: Vec::new(),
        }),
    }
}

struct Numbers<T: ArrowPrimitiveType, P> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    parse: P,
}

/// The value of a cell: `None` for missing, an error for text that is not of the type.
#[inline]
fn parsed<V>(
    block: &Block,
    field: Field,
    scratch: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Option<V>,
) -> std::result::Result<Option<V>, ()> {
    let Some(text) = block.text(field, scratch) else {
        return Ok(None);
    };
    // Numbers and dates have no blanks of their own, quoted or not.
    let text = super::tokenize::trim_blanks(text);
    let nulls = &block.reading.nulls;
    if nulls.any_value && block.is_null(field, text) {
        return Ok(None);
    }
    match text.first() {
        // `nan` and `none` begin as numbers can; a missing value goes before them.
        Some(b'0'..=b'9' | b'-' | b'+') => {}
        _ if block.is_null(field, text) => return Ok(None),
        _ => {}
    }
    match parse(text) {
        Some(value) => Ok(Some(value)),
        // A number cannot be empty text, however it is quoted.
        None if text.is_empty() || block.is_null(field, text) => Ok(None),
        None => Err(()),
    }
}

impl<T, P> Column for Numbers<T, P>
where
    T: ArrowPrimitiveType,
    P: Fn(&[u8]) -> Option<T::Native> + Send,
{
    fn append(&mut self, block: &Block, at: Option<usize>, bad: &mut Vec<BadCell>) -> Result<()> {
        self.values.reserve(block.records.rows.len());
        let mut scratch = Vec::new();
        for (row, field) in block.cells(at).enumerate() {
            match parsed(block, field, &mut scratch, &self.parse) {
                Ok(Some(value)) => {
                    self.values.push(value);
                    self.nulls.append_non_null();
                }
                Ok(None) => {
                    self.values.push(T::Native::default());
                    self.nulls.append_null();
                }
                Err(()) => {
                    self.values.push(T::Native::default());
                    self.nulls.append_null();
                    bad.push(BadCell {
                        row,
                        not_utf8: false,
                    });
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = std::mem::take(&mut self.values);
        let array = PrimitiveArray::<T>::try_new(values.into(), self.nulls.finish())?;
        Ok(Arc::new(array))
    }
}

struct Booleans {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Default for Booleans {
    fn default() -> Self {
        Self {
            values: BooleanBufferBuilder::new(0),
            nulls: NullBufferBuilder::new(0),
        }
    }
}

impl Column for Booleans {
    fn append(&mut self, block: &Block, at: Option<usize>, bad: &mut Vec<BadCell>) -> Result<()> {
        let mut scratch = Vec::new();
        for (row, field) in block.cells(at).enumerate() {
            let value = parsed(block, field, &mut scratch, value::boolean);
            self.values.append(matches!(value, Ok(Some(true))));
            self.nulls.append(matches!(value, Ok(Some(_))));
            if value.is_err() {
                bad.push(BadCell {
                    row,
                    not_utf8: false,
                });
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = self.values.finish();
        Ok(Arc::new(BooleanArray::new(values, self.nulls.finish())))
    }
}

#[derive(Default)]
struct Texts {
    builder: StringViewBuilder,
}

impl Column for Texts {
    fn append(&mut self, block: &Block, at: Option<usize>, bad: &mut Vec<BadCell>) -> Result<()> {
        let mut scratch = Vec::new();
        for (row, field) in block.cells(at).enumerate() {
            let Some(text) = block.text(field, &mut scratch) else {
                self.builder.append_null();
                continue;
            };
            if block.is_null(field, super::tokenize::trim_blanks(text)) {
                self.builder.append_null();
                continue;
            }
            match std::str::from_utf8(text) {
                Ok(text) => self.builder.append_value(text),
                Err(_) => {
                    self.builder.append_null();
                    bad.push(BadCell {
                        row,
                        not_utf8: true,
                    });
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(self.builder.finish()))
    }
}

/// Types that are rare enough to go through Arrow's cast from text.
struct Others {
    data_type: DataType,
    parts: Vec<ArrayRef>,
}

impl Column for Others {
    fn append(&mut self, block: &Block, at: Option<usize>, bad: &mut Vec<BadCell>) -> Result<()> {
        let mut texts = StringBuilder::new();
        let mut scratch = Vec::new();
        for (row, field) in block.cells(at).enumerate() {
            let text = block
                .text(field, &mut scratch)
                .filter(|text| !block.is_null(field, super::tokenize::trim_blanks(text)));
            match text.map(std::str::from_utf8) {
                None => texts.append_null(),
                Some(Ok(text)) => texts.append_value(text),
                Some(Err(_)) => {
                    texts.append_null();
                    bad.push(BadCell {
                        row,
                        not_utf8: true,
                    });
                }
            }
        }
        let texts = texts.finish();
        let options = CastOptions {
            safe: true,
            format_options: FormatOptions::default(),
        };
        let values = cast_with_options(&texts, &self.data_type, &options)?;
        if values.null_count() > texts.null_count() {
            for row in 0..values.len() {
                if values.is_null(row) && texts.is_valid(row) {
                    bad.push(BadCell {
                        row,
                        not_utf8: false,
                    });
                }
            }
        }
        self.parts.push(values);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let parts = std::mem::take(&mut self.parts);
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        match parts.as_slice() {
            [] => Ok(new_null_array(&self.data_type, 0)),
            parts => Ok(concat(parts)?),
        }
    }
}
