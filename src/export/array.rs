//! A column as an array of NumPy's: its first axis are the rows, the others those of lists and pictures.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Result, exec_err, plan_err};
use seedbed_udfs::images::DECODE;
use seedbed_udfs::images::value::{Images, Shape, data_type, is_image};

use super::pictures::is_picture;

/// How long headers are, whatever is in them: so the number of rows can be written at the end. NumPy leaves room in
/// the same way, and its headers of arrays of up to four axes have the same length.
pub const HEADER: usize = 128;

/// How many lists may be within each other: more would not fit the header.
const MOST_LISTS: usize = 3;

/// What the items of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// Of a fixed number of bytes; the type as NumPy writes it, without the order of bytes.
    Fixed(&'static str),
    Text,
    Picture,
}

/// A column that can be an array.
#[derive(Debug)]
pub struct Column {
    pub format: &'static str,
    pub name: String,
    /// Its place in a batch.
    index: usize,
    pub item: Item,
    /// The type it is cast to: lists with offsets of 64 bits, dates and times as integers.
    plain: DataType,
    /// The sides of a row's array, if the type tells them.
    pub sides: Option<Vec<usize>>,
}

/// Some rows of an array.
#[derive(Debug)]
pub struct Part {
    pub first: u64,
    pub rows: usize,
    /// Rows that are NULL or have NULL in them; there are no bytes if there are any.
    pub missing: usize,
    /// The sides of a row's array; none without rows.
    pub sides: Option<Vec<usize>>,
    /// The items, one after the other; texts with their lengths before them.
    pub bytes: Buffer,
    /// The characters of the longest text.
    pub longest: usize,
}

/// The item of a type that is no list, and the type to cast to.
fn item(of: &DataType) -> Option<(Item, DataType)> {
    let unit = |unit: &TimeUnit, names: [&'static str; 4]| match unit {
        TimeUnit::Second => names[0],
        TimeUnit::Millisecond => names[1],
        TimeUnit::Microsecond => names[2],
        TimeUnit::Nanosecond => names[3],
    };
    let fixed = |name| Some((Item::Fixed(name), of.clone()));
    let count = |name| Some((Item::Fixed(name), DataType::Int64));
    match of {
        DataType::Boolean => fixed("b1"),
        DataType::Int8 => fixed("i1"),
        DataType::Int16 => fixed("i2"),
        DataType::Int32 => fixed("i4"),
        DataType::Int64 => fixed("i8"),
        DataType::UInt8 => fixed("u1"),
        DataType::UInt16 => fixed("u2"),
        DataType::UInt32 => fixed("u4"),
        DataType::UInt64 => fixed("u8"),
        DataType::Float16 => fixed("f2"),
        DataType::Float32 => fixed("f4"),
        DataType::Float64 => fixed("f8"),
        DataType::Date32 => count("M8[D]"),
        DataType::Date64 => count("M8[ms]"),
        DataType::Timestamp(of, _) => count(unit(of, ["M8[s]", "M8[ms]", "M8[us]", "M8[ns]"])),
        DataType::Duration(of) => count(unit(of, ["m8[s]", "m8[ms]", "m8[us]", "m8[ns]"])),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Some((Item::Text, DataType::LargeUtf8))
        }
        DataType::Dictionary(_, value) => item(value),
        of if is_image(of) => Some((Item::Picture, data_type())),
        of if is_picture(of) => Some((Item::Picture, DataType::BinaryView)),
        _ => None,
    }
}

/// As [`item`], within lists: their number and what sides they have are told, too.
fn items(of: &DataType, sides: &mut Vec<Option<usize>>) -> Option<(Item, DataType)> {
    let (inner, side) = match of {
        DataType::FixedSizeList(inner, side) => (inner, usize::try_from(*side).ok()),
        DataType::List(inner) | DataType::LargeList(inner) => (inner, None),
        other => return item(other),
    };
    sides.push(side);
    let (item, plain) = items(inner.data_type(), sides)?;
    let plain = Arc::new(Field::new_list_field(plain, true));
    let list = match of {
        DataType::FixedSizeList(_, side) => DataType::FixedSizeList(plain, *side),
        _ => DataType::LargeList(plain),
    };
    Some((item, list))
}

impl Column {
    /// # Errors
    /// If NumPy has nothing for its type: says what to write.
    pub fn new(format: &'static str, index: usize, field: &Field) -> Result<Self> {
        let name = field.name().clone();
        let mut sides = Vec::new();
        let of = field.data_type();
        let (item, plain) = match items(of, &mut sides) {
            Some((Item::Picture, _)) if !sides.is_empty() => {
                return plan_err!(
                    "{format}: column {name} has lists of images. Write unnest({name}), for an image a row"
                );
            }
            Some(found) => found,
            None => {
                return plan_err!(
                    "{format}: column {name} is {of}, and NumPy has nothing like it. Write a number, a text, a list of \
                     numbers or an image, as with CAST({name} AS DOUBLE), CAST({name} AS VARCHAR) or {name}['part']"
                );
            }
        };
        if sides.len() > MOST_LISTS {
            return plan_err!(
                "{format}: column {name} has more than {MOST_LISTS} lists within each other. Write flatten({name})"
            );
        }
        let sides = match item {
            Item::Picture => None,
            _ => sides.into_iter().collect(),
        };
        Ok(Self {
            format,
            name,
            index,
            item,
            plain,
            sides,
        })
    }

    /// Whether its rows are lists of numbers.
    pub fn is_vector(&self) -> bool {
        let list = matches!(
            self.plain,
            DataType::LargeList(_) | DataType::FixedSizeList(..)
        );
        list && matches!(self.item, Item::Fixed(_))
    }

    /// The rows of a batch.
    pub fn encode(&self, batch: &[ArrayRef], first: u64) -> Result<Part> {
        self.rows(&batch[self.index], first)
    }

    /// The rows of an array of its type.
    pub fn rows(&self, array: &ArrayRef, first: u64) -> Result<Part> {
        let array = cast(array, &self.plain)?;
        let rows = array.len();
        let mut part = Part {
            first,
            rows,
            missing: missing(&array),
            sides: None,
            bytes: Vec::<u8>::new().into(),
            longest: 0,
        };
        if part.missing > 0 || rows == 0 {
            return Ok(part);
        }
        if self.item == Item::Picture {
            return self.pictures(&array, part);
        }
        let mut sides = Vec::new();
        let mut items = array;
        loop {
            let inner = if let Some(list) = items.as_fixed_size_list_opt() {
                sides.push(usize::try_from(list.value_length()).unwrap_or(0));
                Arc::clone(list.values())
            } else if let Some(list) = items.as_list_opt::<i64>() {
                let offsets = list.value_offsets();
                let side = offsets.get(1).map_or(0, |end| end - offsets[0]);
                if let Some(at) = offsets.windows(2).position(|o| o[1] - o[0] != side) {
                    let row = first + (at * rows / items.len()) as u64;
                    let length = offsets[at + 1] - offsets[at];
                    return self.uneven(row, &format!("a list of {length}"), &format!("{side}"));
                }
                sides.push(usize::try_from(side).unwrap_or(0));
                let begin = usize::try_from(offsets[0]).unwrap_or(0);
                let length = usize::try_from(side).unwrap_or(0) * items.len();
                list.values().slice(begin, length)
            } else {
                break;
            };
            items = inner;
        }
        part.sides = Some(sides);
        match self.item {
            Item::Text => self.texts(&items, &mut part)?,
            _ => part.bytes = bytes(&items),
        }
        Ok(part)
    }

    fn pictures(&self, array: &ArrayRef, mut part: Part) -> Result<Part> {
        let images = Images::new(&DECODE, array)?;
        let mut pixels = Vec::with_capacity(images.bytes());
        let mut room = Vec::new();
        let mut shape: Option<Shape> = None;
        for row in 0..array.len() {
            let number = part.first + row as u64;
            if images.nulls().is_some_and(|n| n.is_null(row)) {
                part.missing += 1;
                continue;
            }
            let Some(image) = images.get(&DECODE, row, &mut room)? else {
                return exec_err!(
                    "{}: the bytes of column {} are no image in row {number} (from 0). Write WHERE \
                     image_decode({}) IS NOT NULL",
                    self.format,
                    self.name,
                    self.name
                );
            };
            if let Some(shape) = shape.replace(image.shape)
                && shape != image.shape
            {
                return self.uneven(number, &shown(&sides(image.shape)), &shown(&sides(shape)));
            }
            pixels.extend_from_slice(image.pixels);
        }
        part.sides = shape.map(sides);
        part.bytes = pixels.into();
        Ok(part)
    }

    /// Texts with the number of their bytes before them.
    fn texts(&self, items: &ArrayRef, part: &mut Part) -> Result<()> {
        let texts = items.as_string::<i64>();
        let mut bytes = Vec::with_capacity(texts.value_data().len() + 4 * texts.len());
        for (i, text) in texts.iter().enumerate() {
            let text = text.unwrap_or_default();
            if text.ends_with('\0') {
                let row = part.first + (i * part.rows / texts.len()) as u64;
                return exec_err!(
                    "{0}: column {1} ends with the character of code 0 in row {row} (from 0), which NumPy takes away. \
                     Write rtrim({1}, chr(0))",
                    self.format,
                    self.name
                );
            }
            part.longest = part.longest.max(text.chars().count());
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        part.bytes = bytes.into();
        Ok(())
    }

    /// The error of a row of another shape than those before it.
    pub fn uneven<T>(&self, row: u64, found: &str, before: &str) -> Result<T> {
        let (format, name) = (self.format, &self.name);
        let write = match self.item {
            Item::Picture => {
                format!("image_resize({name}, 64, 64), and image_convert({name}, 'rgb')")
            }
            _ => format!("array_resize({name}, 10, 0), for lists of 10"),
        };
        exec_err!(
            "{format}: an array has rows of one shape, but column {name} is {found} in row {row} (from 0) and {before} \
             before it. Write {write}"
        )
    }

    /// What comes before the numbers of an array of this shape, in NumPy's words.
    pub fn header(&self, longest: usize, shape: &[u64]) -> Vec<u8> {
        let of = match self.item {
            Item::Fixed(of) => of.to_string(),
            Item::Text => format!("U{}", longest.max(1)),
            Item::Picture => "u1".to_string(),
        };
        let order = match (
            of.ends_with('1') && self.item != Item::Text,
            cfg!(target_endian = "little"),
        ) {
            (true, _) => '|',
            (false, true) => '<',
            (false, false) => '>',
        };
        let sides: Vec<String> = shape.iter().map(u64::to_string).collect();
        let comma = if sides.len() == 1 { "," } else { "" };
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend_from_slice(&((HEADER - 10) as u16).to_le_bytes());
        header.extend_from_slice(
            format!(
                "{{'descr': '{order}{of}', 'fortran_order': False, 'shape': ({}{comma}), }}",
                sides.join(", ")
            )
            .as_bytes(),
        );
        header.resize(HEADER - 1, b' ');
        header.push(b'\n');
        header
    }

    /// The file of one row's list of numbers.
    pub fn one(&self, part: &Part) -> Vec<u8> {
        let sides = part.sides.iter().flatten();
        let shape: Vec<u64> = sides.map(|side| *side as u64).collect();
        let mut file = self.header(0, &shape);
        file.extend_from_slice(&part.bytes);
        file
    }
}

/// The axes of a picture: as with Pillow, a grey one has none for its channel.
fn sides(shape: Shape) -> Vec<usize> {
    match shape.channels {
        1 => vec![shape.height, shape.width],
        channels => vec![shape.height, shape.width, channels],
    }
}

/// Sides as `28 x 28`.
pub fn shown(sides: &[usize]) -> String {
    let sides: Vec<String> = sides.iter().map(usize::to_string).collect();
    sides.join(" x ")
}

/// How many rows are NULL, or lists with NULL in them.
fn missing(array: &ArrayRef) -> usize {
    fn whole(array: &ArrayRef) -> Vec<bool> {
        let valid = |row| array.is_valid(row);
        if let Some(list) = array.as_fixed_size_list_opt() {
            let items = whole(list.values());
            let side = usize::try_from(list.value_length()).unwrap_or(0);
            let all = |row: usize| items[row * side..(row + 1) * side].iter().all(|v| *v);
            return (0..list.len()).map(|row| valid(row) && all(row)).collect();
        }
        if let Some(list) = array.as_list_opt::<i64>() {
            let items = whole(list.values());
            let offsets = list.value_offsets();
            let all = |row: usize| {
                items[offsets[row] as usize..offsets[row + 1] as usize]
                    .iter()
                    .all(|v| *v)
            };
            return (0..list.len()).map(|row| valid(row) && all(row)).collect();
        }
        (0..array.len()).map(valid).collect()
    }
    fn any(array: &ArrayRef) -> bool {
        let inner = array.as_fixed_size_list_opt().map(|list| list.values());
        let inner = inner.or_else(|| array.as_list_opt::<i64>().map(|list| list.values()));
        array.null_count() > 0 || inner.is_some_and(any)
    }
    match any(array) {
        true => whole(array).iter().filter(|whole| !**whole).count(),
        false => 0,
    }
}

/// The values of an array as they are in memory; booleans as bytes.
fn bytes(array: &ArrayRef) -> Buffer {
    if let Some(bits) = array.as_boolean_opt() {
        let bytes: Vec<u8> = bits.values().iter().map(u8::from).collect();
        return bytes.into();
    }
    let width = array.data_type().primitive_width().unwrap_or(0);
    let data = array.to_data();
    match data.buffers() {
        [values, ..] => values.slice_with_length(data.offset() * width, data.len() * width),
        [] => Vec::<u8>::new().into(),
    }
}
