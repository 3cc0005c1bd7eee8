//! `read_images`: a row a picture, of folders and of archives. Nothing is decoded; sizes are those that the files
//! begin with.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BinaryViewBuilder, StringViewBuilder, UInt8Builder, UInt32Builder,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err};
use seedbed_udfs::images::value::{MOST_BYTES, Shape, header};
use tar::Archive;
use zip::ZipArchive;

use super::args::{Args, Param};
use super::path::Reader;
use super::rejects::Writer;
use super::rows::{Rows, RowsTable, Sink};
use super::source::{Encoding, Source};
use super::{LoadEnv, OnError, Rejects};

const FUNCTION: &str = "read_images";

/// What `read_images` takes beside the path.
pub const IMAGES_PARAMS: &[Param] = &[(
    "on_error",
    "'null'",
    "what becomes of files that are no images: 'null' keeps their bytes, with no size; 'skip' leaves them out; \
     both note them in the table rejects. 'fail' is an error",
)];

// what must be read of a file, of the columns path, label, bytes, width, height and channels
const BYTES: usize = 2;
const CHANNELS: usize = 5;

/// Bytes of the files of a batch, and of its images once they are decoded: a batch is cut before it has more.
const BATCH_BYTES: usize = 32 << 20;

/// Pictures to read.
#[derive(Debug)]
pub struct Images {
    files: Vec<PathBuf>,
    schema: SchemaRef,
    on_error: OnError,
    rejects: Rejects,
}

impl Images {
    /// Takes the files as they are; they are opened when rows are wanted.
    pub fn open(
        files: Vec<PathBuf>,
        args: &[(String, ScalarValue)],
        env: &LoadEnv,
    ) -> Result<RowsTable> {
        let args = Args::new(FUNCTION, IMAGES_PARAMS, args)?;
        let on_error = match args.choice("on_error", &OnError::CHOICES)? {
            Some("fail") => OnError::Fail,
            Some("skip") => OnError::Skip,
            _ => OnError::Null,
        };
        let schema = Schema::new(vec![
            Field::new("path", DataType::Utf8View, false),
            Field::new("label", DataType::Utf8View, true),
            Field::new("bytes", DataType::BinaryView, false),
            Field::new("width", DataType::UInt32, true),
            Field::new("height", DataType::UInt32, true),
            Field::new("channels", DataType::UInt8, true),
        ]);
        Ok(RowsTable(Arc::new(Self {
            files,
            schema: Arc::new(schema),
            on_error,
            rejects: env.rejects.clone(),
        })))
    }
}

/// How a file holds pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    One,
    Tar,
    Zip,
}

impl Holds {
    fn of(path: &Path) -> Self {
        match super::path::extension(path).as_deref() {
            Some("zip") => Self::Zip,
            Some("tar" | "tgz") => Self::Tar,
            _ => Self::One,
        }
    }
}

/// Whether a name is one of a picture: what else is in an archive is left out.
fn is_picture(name: &str) -> bool {
    let path = Path::new(name);
    let hidden = path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.starts_with('.') && part.len() > 2 || part == "__MACOSX"
    });
    !hidden && Holds::of(path) == Holds::One && Reader::Images.reads(path)
}

fn failed(name: &str) -> impl Fn(io::Error) -> DataFusionError + '_ {
    move |e| exec_datafusion_err!("cannot read '{name}': {e}")
}

/// Rows that are not handed over yet.
struct Batch<'a> {
    images: &'a Images,
    sink: &'a mut Sink,
    rows: usize,
    bytes: usize,
    decoded: usize,
    path: StringViewBuilder,
    label: StringViewBuilder,
    content: BinaryViewBuilder,
    width: UInt32Builder,
    height: UInt32Builder,
    channels: UInt8Builder,
}

impl<'a> Batch<'a> {
    fn new(images: &'a Images, sink: &'a mut Sink) -> Self {
        Self {
            images,
            sink,
            rows: 0,
            bytes: 0,
            decoded: 0,
            path: StringViewBuilder::new(),
            label: StringViewBuilder::new(),
            content: BinaryViewBuilder::new(),
            width: UInt32Builder::new(),
            height: UInt32Builder::new(),
            channels: UInt8Builder::new(),
        }
    }

    /// Whether the files must be opened.
    fn wants_content(&self) -> bool {
        // a file that is no picture must be known where it is left out or an error
        self.images.on_error != OnError::Null || (BYTES..=CHANNELS).any(|c| self.sink.wants(c))
    }

    /// Adds a picture. False if no more rows are wanted.
    fn add(
        &mut self,
        name: &str,
        content: Vec<u8>,
        writer: &mut Writer,
        place: u64,
    ) -> Result<bool> {
        if self.sink.room() == 0 {
            return Ok(false);
        }
        let shape = if self.wants_content() {
            let shape = header(&content);
            if shape.is_none() {
                if self.images.on_error == OnError::Fail {
                    return Err(exec_datafusion_err!(
                        "{FUNCTION}: '{name}' is no image that can be read. Write on_error => 'skip' to leave such \
                         files out, or on_error => 'null' to keep them"
                    ));
                }
                let reason: Arc<str> = "no image that can be read".into();
                writer.add(place, None, &reason, || name.to_string());
                if self.images.on_error == OnError::Skip {
                    return Ok(true);
                }
            }
            shape
        } else {
            None
        };
        let decoded = shape.map_or(0, Shape::bytes);
        let full = self.rows >= self.sink.room()
            || self.bytes + content.len() > BATCH_BYTES
            || self.decoded.saturating_add(decoded) > 2 * BATCH_BYTES;
        if full && !self.flush()? {
            return Ok(false);
        }
        self.rows += 1;
        self.bytes += content.len();
        self.decoded = self.decoded.saturating_add(decoded);
        self.path.append_value(name);
        let label = Path::new(name).parent().and_then(Path::file_name);
        self.label
            .append_option(label.map(|label| label.to_string_lossy()));
        if self.sink.wants(BYTES) {
            append(&mut self.content, content)?;
        }
        self.width.append_option(shape.map(|s| s.width as u32));
        self.height.append_option(shape.map(|s| s.height as u32));
        self.channels.append_option(shape.map(|s| s.channels as u8));
        Ok(true)
    }

    /// Hands over what is there. False if no more rows are wanted.
    fn flush(&mut self) -> Result<bool> {
        if self.rows == 0 {
            return Ok(self.sink.room() > 0);
        }
        let content: BinaryViewArray = self.content.finish();
        let all: [ArrayRef; 6] = [
            Arc::new(self.path.finish()),
            Arc::new(self.label.finish()),
            Arc::new(content),
            Arc::new(self.width.finish()),
            Arc::new(self.height.finish()),
            Arc::new(self.channels.finish()),
        ];
        let arrays = self.sink.columns.iter().map(|c| Arc::clone(&all[*c]));
        let arrays = arrays.collect();
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        self.decoded = 0;
        self.sink.send(arrays, rows)
    }
}

/// Appends bytes without copying them.
fn append(builder: &mut BinaryViewBuilder, content: Vec<u8>) -> Result<()> {
    let Ok(length) = u32::try_from(content.len()) else {
        return Err(exec_datafusion_err!(
            "a file of more than 4 GiB is no image"
        ));
    };
    if length < 4096 {
        builder.append_value(&content);
        return Ok(());
    }
    let block = builder.append_block(Buffer::from_vec(content));
    builder.try_append_view(block, 0, length)?;
    Ok(())
}

/// A file's bytes, of which a picture has no more than so many.
fn content(reader: impl Read, size: u64) -> io::Result<Vec<u8>> {
    let most = MOST_BYTES as u64;
    let mut content = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or(0));
    reader.take(most).read_to_end(&mut content)?;
    Ok(content)
}

impl Rows for Images {
    fn function(&self) -> &'static str {
        FUNCTION
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn files(&self) -> usize {
        self.files.len()
    }

    fn file(&self, i: usize) -> String {
        self.files[i].display().to_string()
    }

    fn read(&self, files: Range<usize>, sink: &mut Sink) -> Result<()> {
        let mut batch = Batch::new(self, sink);
        for path in &self.files[files] {
            let name: Arc<str> = path.to_string_lossy().into();
            let rules = super::rules(&format!("{:?}", self.on_error));
            let mut writer = self.rejects.writer(Arc::clone(&name), rules, 0);
            let more = match Holds::of(path) {
                Holds::One => one(path, &name, &mut batch, &mut writer)?,
                Holds::Tar => tarred(path, &name, &mut batch, &mut writer)?,
                Holds::Zip => zipped(path, &name, &mut batch, &mut writer)?,
            };
            if !more {
                return Ok(());
            }
        }
        batch.flush().map(|_| ())
    }
}

fn one(path: &Path, name: &str, batch: &mut Batch<'_>, writer: &mut Writer) -> Result<bool> {
    let content = if batch.wants_content() {
        let file = File::open(path).map_err(failed(name))?;
        let size = file.metadata().map_err(failed(name))?.len();
        if batch.sink.wants(BYTES) {
            content(file, size).map_err(failed(name))?
        } else {
            beginning(file).map_err(failed(name))?
        }
    } else {
        Vec::new()
    };
    batch.add(name, content, writer, 1)
}

/// As much of a file as its header takes: the whole file only where the first part does not do.
fn beginning(mut file: impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(1 << 16);
    (&mut file).take(1 << 16).read_to_end(&mut start)?;
    if start.len() == 1 << 16 && header(&start).is_none() {
        file.take(MOST_BYTES as u64).read_to_end(&mut start)?;
    }
    Ok(start)
}

/// A picture in an archive.
fn member(
    archive: &str,
    inner: &str,
    place: usize,
    file: &mut dyn Read,
    size: u64,
    batch: &mut Batch<'_>,
    writer: &mut Writer,
) -> Result<bool> {
    let content = match batch.wants_content() {
        true => content(file, size).map_err(failed(archive))?,
        false => Vec::new(),
    };
    let name = format!("{archive}/{inner}");
    batch.add(&name, content, writer, place as u64 + 1)
}

fn tarred(path: &Path, name: &str, batch: &mut Batch<'_>, writer: &mut Writer) -> Result<bool> {
    let source = Source::open(path, Encoding::Latin1)?;
    let source = Source {
        encoding: Encoding::Utf8,
        ..source
    };
    let mut archive = Archive::new(source.read(0, None)?);
    for (place, entry) in archive.entries().map_err(failed(name))?.enumerate() {
        let mut entry = entry.map_err(failed(name))?;
        let inner = entry.path().map_err(failed(name))?;
        let inner = inner.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_file() || !is_picture(&inner) {
            continue;
        }
        let size = entry.size();
        if !member(name, &inner, place, &mut entry, size, batch, writer)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn zipped(path: &Path, name: &str, batch: &mut Batch<'_>, writer: &mut Writer) -> Result<bool> {
    let wrong = |e: zip::result::ZipError| exec_datafusion_err!("cannot read '{name}': {e}");
    let file = File::open(path).map_err(failed(name))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    for place in 0..archive.len() {
        let mut entry = archive.by_index(place).map_err(wrong)?;
        let inner = entry.name().map_err(wrong)?.into_owned();
        if !entry.is_file() || !is_picture(&inner) {
            continue;
        }
        let size = entry.size();
        if !member(name, &inner, place, &mut entry, size, batch, writer)? {
            return Ok(false);
        }
    }
    Ok(true)
}
