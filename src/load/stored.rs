//! Arrays in files, IDX, NPY and members of NPZ: what their headers say, and their numbers as columns.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StructArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{
    DataFusionError, Result, exec_datafusion_err, plan_datafusion_err, plan_err,
};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use seedbed_udfs::images::value;
use zip::ZipArchive;

use super::source::{Encoding, Source, read_full};

/// The longest header of an NPY file, and how deep its brackets may be: that of an array has 128 bytes, and 2.
const MOST_HEADER_BYTES: usize = 1 << 16;
const MOST_HEADER_DEPTH: usize = 8;

/// The numbers an array has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Bool,
    Signed,
    Unsigned,
    Float,
}

/// An array in a file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The column.
    pub name: String,
    pub path: PathBuf,
    /// The member of an archive.
    pub member: Option<String>,
    format: Format,
    number: Number,
    /// Bytes of a number.
    pub size: usize,
    little: bool,
    shape: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Idx,
    Npy,
}

/// What a column's rows are.
enum Layout {
    Scalar,
    /// Height, width, channels.
    Image(value::Shape),
    List(usize),
}

impl Stored {
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// How many numbers a row has.
    pub fn items(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    fn layout(&self) -> Layout {
        let bytes = self.number == Number::Unsigned && self.size == 1;
        match *self.shape.as_slice() {
            [_] => Layout::Scalar,
            [_, height, width] if bytes && height * width > 0 => Layout::Image(value::Shape {
                height,
                width,
                channels: 1,
            }),
            [_, height, width, channels @ (1 | 3 | 4)] if bytes && height * width > 0 => {
                Layout::Image(value::Shape {
                    height,
                    width,
                    channels,
                })
            }
            _ => Layout::List(self.items()),
        }
    }

    fn number_type(&self) -> Result<DataType> {
        Ok(match (self.number, self.size) {
            (Number::Bool, 1) => DataType::Boolean,
            (Number::Signed, 1) => DataType::Int8,
            (Number::Signed, 2) => DataType::Int16,
            (Number::Signed, 4) => DataType::Int32,
            (Number::Signed, 8) => DataType::Int64,
            (Number::Unsigned, 1) => DataType::UInt8,
            (Number::Unsigned, 2) => DataType::UInt16,
            (Number::Unsigned, 4) => DataType::UInt32,
            (Number::Unsigned, 8) => DataType::UInt64,
            (Number::Float, 4) => DataType::Float32,
            (Number::Float, 8) => DataType::Float64,
            (number, size) => {
                return plan_err!(
                    "'{}': numbers of {size} bytes ({number:?}) cannot be read. Save the array as float32 or int64",
                    self.path.display()
                );
            }
        })
    }

    pub fn field(&self) -> Result<Field> {
        let number = self.number_type()?;
        Ok(match self.layout() {
            Layout::Scalar => Field::new(&self.name, number, false),
            Layout::Image(_) => value::field(&self.name),
            Layout::List(items) => {
                let Ok(items) = i32::try_from(items) else {
                    return plan_err!(
                        "'{}': {items} numbers a row are too many",
                        self.path.display()
                    );
                };
                let item = Arc::new(Field::new_list_field(number, true));
                Field::new(&self.name, DataType::FixedSizeList(item, items), false)
            }
        })
    }

    /// The rows that bytes are.
    pub fn array(&self, bytes: Vec<u8>, rows: usize) -> Result<ArrayRef> {
        match self.layout() {
            Layout::Scalar => self.numbers(&bytes),
            Layout::List(items) => {
                let numbers = self.numbers(&bytes)?;
                let item = Arc::new(Field::new_list_field(numbers.data_type().clone(), true));
                let items = i32::try_from(items).unwrap_or(i32::MAX);
                Ok(Arc::new(FixedSizeListArray::try_new_with_length(
                    item, items, numbers, None, rows,
                )?))
            }
            Layout::Image(shape) => {
                let side = |v: usize| -> ArrayRef {
                    Arc::new(UInt32Array::from_value(
                        u32::try_from(v).unwrap_or(u32::MAX),
                        rows,
                    ))
                };
                let offsets = OffsetBuffer::from_repeated_length(shape.bytes(), rows);
                let columns: Vec<ArrayRef> = vec![
                    side(shape.height),
                    side(shape.width),
                    Arc::new(UInt8Array::from_value(shape.channels as u8, rows)),
                    Arc::new(BinaryArray::try_new(offsets, bytes.into(), None)?),
                ];
                Ok(Arc::new(StructArray::try_new_with_length(
                    value::fields(),
                    columns,
                    None,
                    rows,
                )?))
            }
        }
    }

    fn numbers(&self, bytes: &[u8]) -> Result<ArrayRef> {
        macro_rules! read {
            ($array:ty, $number:ty) => {{
                let (parts, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
                let of = if self.little {
                    <$number>::from_le_bytes
                } else {
                    <$number>::from_be_bytes
                };
                Arc::new(<$array>::from_iter_values(parts.iter().map(|p| of(*p)))) as ArrayRef
            }};
        }
        Ok(match self.number_type()? {
            DataType::Boolean => {
                let bits: Vec<bool> = bytes.iter().map(|b| *b != 0).collect();
                Arc::new(BooleanArray::from(bits))
            }
            DataType::Int8 => read!(Int8Array, i8),
            DataType::Int16 => read!(Int16Array, i16),
            DataType::Int32 => read!(Int32Array, i32),
            DataType::Int64 => read!(Int64Array, i64),
            DataType::UInt8 => read!(UInt8Array, u8),
            DataType::UInt16 => read!(UInt16Array, u16),
            DataType::UInt32 => read!(UInt32Array, u32),
            DataType::UInt64 => read!(UInt64Array, u64),
            DataType::Float32 => read!(Float32Array, f32),
            _ => read!(Float64Array, f64),
        })
    }

    /// Its numbers' bytes, through `f`.
    pub fn with_reader<T>(&self, f: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        let failed = failed(&self.path);
        if let Some(member) = &self.member {
            let file = File::open(&self.path).map_err(&failed)?;
            let mut archive = ZipArchive::new(BufReader::new(file))
                .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", self.path.display()))?;
            let mut entry = archive
                .by_name(member)
                .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", self.path.display()))?;
            header(&mut entry).map_err(&failed)?;
            return f(&mut entry);
        }
        let mut reader = BufReader::with_capacity(1 << 16, open(&self.path)?);
        match self.format {
            Format::Npy => {
                header(&mut reader).map_err(&failed)?;
            }
            Format::Idx => {
                let mut header = vec![0; 4 + 4 * self.shape.len()];
                reader.read_exact(&mut header).map_err(&failed)?;
            }
        }
        f(&mut reader)
    }
}

pub fn failed(path: &Path) -> impl Fn(io::Error) -> DataFusionError + '_ {
    move |e| exec_datafusion_err!("cannot read '{}': {e}", path.display())
}

/// A file's bytes, its compression undone.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let source = Source::open(path, Encoding::Utf8)?;
    let source = Source {
        encoding: Encoding::Utf8,
        ..source
    };
    source.read(0, None)
}

pub fn idx(path: &Path, name: &str) -> Result<Stored> {
    let mut reader = open(path)?;
    let mut magic = [0; 4];
    let n = read_full(&mut reader, &mut magic).map_err(failed(path))?;
    let (number, size) = match magic {
        [0, 0, 0x08, _] => (Number::Unsigned, 1),
        [0, 0, 0x09, _] => (Number::Signed, 1),
        [0, 0, 0x0b, _] => (Number::Signed, 2),
        [0, 0, 0x0c, _] => (Number::Signed, 4),
        [0, 0, 0x0d, _] => (Number::Float, 4),
        [0, 0, 0x0e, _] => (Number::Float, 8),
        _ => (Number::Bool, 0),
    };
    if n < 4 || size == 0 || magic[3] == 0 {
        return plan_err!(
            "read_idx: '{}' is no IDX file: those begin with two zeros, a type and the number of axes",
            path.display()
        );
    }
    let mut sides = vec![0; 4 * usize::from(magic[3])];
    reader.read_exact(&mut sides).map_err(failed(path))?;
    let (sides, _) = sides.as_chunks::<4>();
    let shape: Vec<usize> = sides
        .iter()
        .map(|b| u32::from_be_bytes(*b) as usize)
        .collect();
    let there = behind(path, 4 + 4 * shape.len())?;
    let stored = Stored {
        name: name.to_string(),
        path: path.to_path_buf(),
        member: None,
        format: Format::Idx,
        number,
        size,
        little: false,
        shape,
    };
    checked(stored, there)
}

/// An array that a table can hold, of which `there` bytes are there, if that is known.
fn checked(stored: Stored, there: Option<u64>) -> Result<Stored> {
    let path = stored.path.display();
    let (rows, sides) = (stored.rows(), &stored.shape[1..]);
    let bytes = sides
        .iter()
        .try_fold(stored.size, |product, side| product.checked_mul(*side));
    let Some(bytes) = bytes.filter(|bytes| *bytes <= value::MOST_BYTES) else {
        return plan_err!("'{path}': a row of shape {sides:?} is too large");
    };
    if bytes == 0 && rows > 0 {
        return plan_err!("'{path}': its {rows} rows of shape {sides:?} have no numbers");
    }
    let all = (rows as u64).checked_mul(bytes as u64);
    // rows are counted in integers of 64 bits, those of other files among them
    let countable = all.is_some_and(|all| all < 1 << 56);
    if !countable || there.is_some_and(|there| all > Some(there)) {
        return plan_err!(
            "'{path}' is cut off: it does not have the bytes of its {rows} rows of shape {sides:?}"
        );
    }
    Ok(stored)
}

/// The bytes of a file behind so many; None if it is compressed.
fn behind(path: &Path, header: usize) -> Result<Option<u64>> {
    let source = Source::open(path, Encoding::Utf8)?;
    let plain = source.compression == FileCompressionType::UNCOMPRESSED;
    Ok(plain.then(|| source.size.saturating_sub(header as u64)))
}

/// The header of an NPY file. npyz, which understands it, would take one of any length, with lists to any depth.
/// Its length is told, too.
fn header(mut reader: impl Read) -> io::Result<(NpyHeader, usize)> {
    let wrong = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut bytes = vec![0; 10];
    reader.read_exact(&mut bytes)?;
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(wrong("it does not begin like one"));
    }
    let mut length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    if bytes[6] > 1 {
        let mut more = [0; 2];
        reader.read_exact(&mut more)?;
        bytes.extend_from_slice(&more);
        length |= usize::from(u16::from_le_bytes(more)) << 16;
    }
    if length > MOST_HEADER_BYTES {
        return Err(wrong("its header is too long"));
    }
    let begin = bytes.len();
    bytes.resize(begin + length, 0);
    reader.read_exact(&mut bytes[begin..])?;
    let mut depth = 0;
    for byte in &bytes[begin..] {
        match byte {
            b'(' | b'[' | b'{' if depth == MOST_HEADER_DEPTH => {
                return Err(wrong("its header has too many brackets"));
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok((NpyHeader::from_reader(bytes.as_slice())?, bytes.len()))
}

/// An array in a file, or in a member of an archive: its name, and how many bytes it has.
pub fn npy(
    path: &Path,
    member: Option<(&str, u64)>,
    name: &str,
    mut reader: impl Read,
) -> Result<Stored> {
    let shown = path.display();
    let (header, length) =
        header(&mut reader).map_err(|e| plan_datafusion_err!("'{shown}' is no NPY file: {e}"))?;
    let DType::Plain(of) = header.dtype() else {
        return plan_err!(
            "'{shown}': arrays of records cannot be read. Save each field as an array of its own"
        );
    };
    let number = match of.type_char() {
        TypeChar::Bool => Number::Bool,
        TypeChar::Int => Number::Signed,
        TypeChar::Uint => Number::Unsigned,
        TypeChar::Float => Number::Float,
        other => {
            return plan_err!(
                "'{shown}': an array of type '{}' cannot be read. Save it as numbers",
                other.to_str()
            );
        }
    };
    let shape: Vec<usize> = header
        .shape()
        .iter()
        .map(|side| usize::try_from(*side).unwrap_or(usize::MAX))
        .collect();
    if header.order() == Order::Fortran && shape.len() > 1 {
        return plan_err!(
            "'{shown}': its columns are stored one after the other. Save numpy.ascontiguousarray(array)"
        );
    }
    if shape.is_empty() {
        return plan_err!("'{shown}': a single number has no rows. Save an array");
    }
    let there = match member {
        Some((_, size)) => Some(size.saturating_sub(length as u64)),
        None => behind(path, length)?,
    };
    let stored = Stored {
        name: name.to_string(),
        path: path.to_path_buf(),
        member: member.map(|(member, _)| member.to_string()),
        format: Format::Npy,
        number,
        size: usize::try_from(of.size_field()).unwrap_or(0),
        little: of.endianness() != Endianness::Big,
        shape,
    };
    checked(stored, there)
}

/// The arrays of an NPZ file, by name.
pub fn archive(path: &Path) -> Result<Vec<Stored>> {
    let wrong =
        |e: zip::result::ZipError| plan_datafusion_err!("'{}' is no NPZ file: {e}", path.display());
    let file = File::open(path).map_err(failed(path))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(wrong)?;
        let member = entry.name().map_err(wrong)?.into_owned();
        if let Some(name) = member.strip_suffix(".npy") {
            let size = entry.size();
            arrays.push(npy(path, Some((&member, size)), name, entry)?);
        }
    }
    if arrays.is_empty() {
        return plan_err!("'{}' has no arrays in it", path.display());
    }
    if let Some(taken) = arrays.iter().find(|a| a.name == "row_id") {
        return plan_err!(
            "'{}': the array '{}' has the name of the rows' numbers",
            path.display(),
            taken.name
        );
    }
    Ok(arrays)
}

/// The name of a column of its own: images have theirs.
pub fn column(stored: Stored) -> Stored {
    let name = match stored.layout() {
        Layout::Image(_) => "image",
        Layout::Scalar => "value",
        Layout::List(_) => "vector",
    };
    Stored {
        name: name.to_string(),
        ..stored
    }
}
