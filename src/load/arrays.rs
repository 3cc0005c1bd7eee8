//! `read_idx` (the format of MNIST), `read_npy` and `read_npz` (NumPy's): a row an entry along the first axis.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StructArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{
    DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err, plan_datafusion_err,
    plan_err,
};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use seedbed_udfs::images::value;
use zip::ZipArchive;

use super::LoadEnv;
use super::args::{Args, Param};
use super::path::{Reader, expand};
use super::rows::{Rows, RowsTable, Sink};
use super::source::{Encoding, Source, read_full};

/// What `read_idx` takes beside the path.
pub const IDX_PARAMS: &[Param] = &[(
    "labels",
    "none",
    "a file of as many numbers, which become a column label",
)];

/// What `read_npy` and `read_npz` take beside the path.
pub const NPY_PARAMS: &[Param] = &[];

/// Bytes of a batch: it is cut before it has more, unless a single row has.
const BATCH_BYTES: usize = 32 << 20;

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
struct Stored {
    /// The column.
    name: String,
    path: PathBuf,
    /// The member of an archive.
    member: Option<String>,
    format: Format,
    number: Number,
    /// Bytes of a number.
    size: usize,
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
    fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// How many numbers a row has.
    fn items(&self) -> usize {
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

    fn field(&self) -> Result<Field> {
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
    fn array(&self, bytes: Vec<u8>, rows: usize) -> Result<ArrayRef> {
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
    fn with_reader<T>(&self, f: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        let failed = failed(&self.path);
        if let Some(member) = &self.member {
            let file = File::open(&self.path).map_err(&failed)?;
            let mut archive = ZipArchive::new(BufReader::new(file))
                .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", self.path.display()))?;
            let mut entry = archive
                .by_name(member)
                .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", self.path.display()))?;
            NpyHeader::from_reader(&mut entry).map_err(&failed)?;
            return f(&mut entry);
        }
        let mut reader = BufReader::with_capacity(1 << 16, open(&self.path)?);
        match self.format {
            Format::Npy => {
                NpyHeader::from_reader(&mut reader).map_err(&failed)?;
            }
            Format::Idx => {
                let mut header = vec![0; 4 + 4 * self.shape.len()];
                reader.read_exact(&mut header).map_err(&failed)?;
            }
        }
        f(&mut reader)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> DataFusionError + '_ {
    move |e| exec_datafusion_err!("cannot read '{}': {e}", path.display())
}

/// A file's bytes, its compression undone.
fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let source = Source::open(path, Encoding::Utf8)?;
    let source = Source {
        encoding: Encoding::Utf8,
        ..source
    };
    source.read(0, None)
}

fn idx(path: &Path, name: &str) -> Result<Stored> {
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
    let shape = sides
        .iter()
        .map(|b| u32::from_be_bytes(*b) as usize)
        .collect();
    checked(Stored {
        name: name.to_string(),
        path: path.to_path_buf(),
        member: None,
        format: Format::Idx,
        number,
        size,
        little: false,
        shape,
    })
}

/// An array that a table can hold.
fn checked(stored: Stored) -> Result<Stored> {
    let bytes = stored
        .shape
        .iter()
        .skip(1)
        .try_fold(stored.size, |product, side| product.checked_mul(*side));
    match bytes {
        Some(bytes) if bytes <= value::MOST_BYTES => Ok(stored),
        _ => plan_err!(
            "'{}': a row of shape {:?} is too large",
            stored.path.display(),
            &stored.shape[1..]
        ),
    }
}

fn npy(path: &Path, member: Option<&str>, name: &str, mut reader: impl Read) -> Result<Stored> {
    let shown = path.display();
    let header = NpyHeader::from_reader(&mut reader)
        .map_err(|e| plan_datafusion_err!("'{shown}' is no NPY file: {e}"))?;
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
    checked(Stored {
        name: name.to_string(),
        path: path.to_path_buf(),
        member: member.map(str::to_string),
        format: Format::Npy,
        number,
        size: usize::try_from(of.size_field()).unwrap_or(0),
        little: of.endianness() != Endianness::Big,
        shape,
    })
}

/// Arrays side by side, one file after the other.
#[derive(Debug)]
pub struct Arrays {
    function: &'static str,
    /// The arrays of each file: its columns.
    files: Vec<Vec<Stored>>,
    schema: SchemaRef,
}

/// The name of a column of its own: images have theirs.
fn column(stored: Stored) -> Stored {
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

impl Arrays {
    /// Looks at the files' headers.
    pub fn open(
        reader: Reader,
        files: Vec<PathBuf>,
        args: &[(String, ScalarValue)],
        _: &LoadEnv,
    ) -> Result<RowsTable> {
        let function = reader.function();
        let args = Args::new(function, super::params(reader), args)?;
        let mut arrays = Vec::with_capacity(files.len());
        for path in &files {
            arrays.push(match reader {
                Reader::Idx => vec![column(idx(path, "")?)],
                Reader::Npz => archive(path)?,
                _ => vec![column(npy(path, None, "", open(path)?)?)],
            });
        }
        if reader == Reader::Idx
            && let Some(paths) = args.texts("labels")?
        {
            let mut labels = Vec::new();
            for path in &paths {
                labels.extend(expand(path, Some(Reader::Idx))?);
            }
            if labels.len() != arrays.len() {
                return plan_err!(
                    "{function}: labels has {} files, but there are {}; give as many, in the same order",
                    labels.len(),
                    arrays.len()
                );
            }
            for (columns, path) in arrays.iter_mut().zip(&labels) {
                columns.push(idx(path, "label")?);
            }
        }
        let mut fields = vec![Field::new("row_id", DataType::Int64, false)];
        for stored in arrays.first().into_iter().flatten() {
            fields.push(stored.field()?);
        }
        for columns in &arrays {
            let Some(first) = columns.first() else {
                return plan_err!("{function}: there is no array in it");
            };
            if let Some(other) = columns.iter().find(|c| c.rows() != first.rows()) {
                return plan_err!(
                    "{function}: '{}' has {} rows, but '{}' has {}",
                    other
                        .member
                        .as_deref()
                        .unwrap_or(&other.path.display().to_string()),
                    other.rows(),
                    first
                        .member
                        .as_deref()
                        .unwrap_or(&first.path.display().to_string()),
                    first.rows()
                );
            }
            let found = columns
                .iter()
                .map(Stored::field)
                .collect::<Result<Vec<_>>>()?;
            if found != fields[1..] {
                return plan_err!(
                    "{function}: '{}' and '{}' have arrays of different types or shapes; read them one by one",
                    arrays[0][0].path.display(),
                    first.path.display()
                );
            }
        }
        Ok(RowsTable(Arc::new(Self {
            function,
            files: arrays,
            schema: Arc::new(Schema::new(fields)),
        })))
    }
}

/// The arrays of an NPZ file, by name.
fn archive(path: &Path) -> Result<Vec<Stored>> {
    let wrong =
        |e: zip::result::ZipError| plan_datafusion_err!("'{}' is no NPZ file: {e}", path.display());
    let file = File::open(path).map_err(failed(path))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(wrong)?;
        let member = entry.name().map_err(wrong)?.into_owned();
        if let Some(name) = member.strip_suffix(".npy") {
            arrays.push(npy(path, Some(&member), name, entry)?);
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

impl Rows for Arrays {
    fn function(&self) -> &'static str {
        self.function
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn files(&self) -> usize {
        self.files.len()
    }

    fn file(&self, i: usize) -> String {
        let first = self.files[i].first();
        first.map_or_else(String::new, |f| f.path.display().to_string())
    }

    fn read(&self, files: Range<usize>, sink: &mut Sink) -> Result<()> {
        for at in files {
            let before: usize = self.files[..at].iter().map(|f| f[0].rows()).sum();
            let columns: Vec<&Stored> = self.files[at]
                .iter()
                .enumerate()
                .filter(|(i, _)| sink.wants(i + 1))
                .map(|(_, column)| column)
                .collect();
            if !beside(&columns, &mut Vec::new(), &mut |readers| {
                self.rows_of(at, before, &columns, readers, sink)
            })? {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Opens all columns, each within the one before it, and calls `f` with the readers.
fn beside(
    columns: &[&Stored],
    readers: &mut Vec<&mut dyn Read>,
    f: &mut dyn FnMut(&mut [&mut dyn Read]) -> Result<bool>,
) -> Result<bool> {
    let Some((first, rest)) = columns.split_first() else {
        return f(readers);
    };
    first.with_reader(|reader| {
        let mut all: Vec<&mut dyn Read> = Vec::with_capacity(readers.len() + 1);
        for reader in readers.iter_mut() {
            all.push(&mut **reader);
        }
        all.push(reader);
        beside(rest, &mut all, f)
    })
}

impl Arrays {
    /// Reads the rows of a file. False if no more rows are wanted.
    fn rows_of(
        &self,
        at: usize,
        before: usize,
        columns: &[&Stored],
        readers: &mut [&mut dyn Read],
        sink: &mut Sink,
    ) -> Result<bool> {
        let all = self.files[at][0].rows();
        let row_bytes: usize = columns.iter().map(|c| c.items() * c.size).sum();
        let most = (BATCH_BYTES / row_bytes.max(1)).max(1);
        let mut done = 0;
        while done < all {
            let rows = sink.room().min(most).min(all - done);
            if rows == 0 {
                return Ok(false);
            }
            let mut read: Vec<(&str, ArrayRef)> = Vec::with_capacity(columns.len());
            for (column, reader) in columns.iter().zip(readers.iter_mut()) {
                let mut bytes = vec![0; rows * column.items() * column.size];
                let n = read_full(*reader, &mut bytes).map_err(failed(&column.path))?;
                if n < bytes.len() {
                    return exec_err!(
                        "{}: '{}' ends before its {all} rows do: it is cut off",
                        self.function,
                        column.path.display()
                    );
                }
                read.push((&column.name, column.array(bytes, rows)?));
            }
            let first = (before + done) as i64;
            let mut arrays: Vec<ArrayRef> = Vec::with_capacity(sink.columns.len());
            for column in &sink.columns {
                arrays.push(if *column == 0 {
                    Arc::new(Int64Array::from_iter_values(first..first + rows as i64))
                } else {
                    let name = self.schema.field(*column).name();
                    match read.iter().find(|(n, _)| n == name) {
                        Some((_, array)) => Arc::clone(array),
                        None => return exec_err!("{}: column {name} was not read", self.function),
                    }
                });
            }
            done += rows;
            if !sink.send(arrays, rows)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
