//! Results, written in a format to standard output or to a file.

mod markdown;
pub mod pictures;
mod rows;
pub mod table;
pub mod values;

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use datafusion::common::{DataFusionError, Result, exec_err};
use tempfile::NamedTempFile;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Csv,
    Tsv,
    Json,
    Ndjson,
    Markdown,
    Parquet,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Markdown => "markdown",
            Self::Parquet => "parquet",
        }
    }

    /// What a file's name says about its format.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "md" | "markdown" => Some(Self::Markdown),
            "parquet" => Some(Self::Parquet),
            "txt" => Some(Self::Table),
            _ => None,
        }
    }

    /// True where a second result in the same file would make the file unreadable.
    fn holds_one_result(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Json | Self::Parquet)
    }

    /// True where rows are written as they come, rather than at the end.
    pub fn streams(self) -> bool {
        !matches!(self, Self::Table)
    }
}

/// How a table is shown.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Columns of the terminal; unlimited without one.
    pub width: Option<usize>,
    pub color: bool,
    /// Rows shown before the middle is cut.
    pub rows: usize,
}

/// Writes one result after the other in its format.
trait Writer {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()>;
    fn finish(&mut self, out: &mut dyn Write) -> Result<()>;
}

fn writer(format: Format, schema: SchemaRef, view: View) -> Result<Box<dyn Writer>> {
    Ok(match format {
        Format::Table => Box::new(table::TableWriter::new(schema, view)),
        Format::Csv => Box::new(rows::CsvWriter::new(schema, b',')),
        Format::Tsv => Box::new(rows::CsvWriter::new(schema, b'\t')),
        Format::Json => Box::new(rows::JsonWriter::array()),
        Format::Ndjson => Box::new(rows::JsonWriter::lines()),
        Format::Markdown => Box::new(markdown::MarkdownWriter::new(schema)),
        Format::Parquet => Box::new(rows::ParquetWriter::new(schema)?),
    })
}

/// Where results go.
pub struct Output {
    pub format: Format,
    pub rows: usize,
    target: Target,
    /// Results written since the target was opened.
    results: usize,
    current: Option<Current>,
}

/// The result being written.
struct Current {
    writer: Box<dyn Writer>,
    /// Where it begins in a file, to take it back if it fails.
    begin: u64,
}

enum Target {
    Stdout {
        out: BufWriter<io::Stdout>,
        /// The reader has gone: `seedbed ... | head`.
        closed: bool,
    },
    File {
        path: PathBuf,
        out: BufWriter<File>,
        /// The name the file has until it is complete; none for a pipe or a device.
        temporary: Option<NamedTempFile>,
    },
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout { out, closed } => note_closed(out.write(bytes), closed),
            Self::File { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout { out, closed } => note_closed(out.flush(), closed),
            Self::File { out, .. } => out.flush(),
        }
    }
}

fn note_closed<T>(result: io::Result<T>, closed: &mut bool) -> io::Result<T> {
    if let Err(error) = &result {
        *closed |= error.kind() == io::ErrorKind::BrokenPipe;
    }
    result
}

impl Output {
    pub fn stdout(format: Format, rows: usize) -> Self {
        Self {
            format,
            rows,
            target: Target::Stdout {
                out: BufWriter::with_capacity(1 << 16, io::stdout()),
                closed: false,
            },
            results: 0,
            current: None,
        }
    }

    /// Opens the file now, so that an unwritable directory is known before any work is done.
    pub fn file(format: Format, rows: usize, path: &Path) -> Result<Self> {
        let (file, temporary) = open(path).map_err(|error| cannot_write(path, &error))?;
        Ok(Self {
            format,
            rows,
            target: Target::File {
                path: path.to_path_buf(),
                out: BufWriter::with_capacity(1 << 20, file),
                temporary,
            },
            results: 0,
            current: None,
        })
    }

    pub fn path(&self) -> Option<&Path> {
        match &self.target {
            Target::Stdout { .. } => None,
            Target::File { path, .. } => Some(path),
        }
    }

    /// True when results are read by a person as they are written.
    pub fn is_terminal(&self) -> bool {
        matches!(self.target, Target::Stdout { .. }) && io::stdout().is_terminal()
    }

    /// True once the reader of standard output has gone: there is nothing left to do.
    pub fn is_closed(&self) -> bool {
        matches!(self.target, Target::Stdout { closed: true, .. })
    }

    pub fn results(&self) -> usize {
        self.results
    }

    /// What comes next is the first result again: at the prompt each stands by itself.
    pub fn restart(&mut self) {
        self.results = 0;
    }

    /// Begins a result.
    pub fn begin(&mut self, schema: SchemaRef) -> Result<()> {
        if self.results > 0 && self.format.holds_one_result() {
            match &self.target {
                Target::File { path, .. } => {
                    return exec_err!(
                        "{} holds one result in format {}, and this is the second one. Write each \
                         with COPY (SELECT ...) TO 'file', or use --format ndjson",
                        path.display(),
                        self.format.name()
                    );
                }
                Target::Stdout { .. } if self.format == Format::Parquet => {
                    return exec_err!(
                        "format parquet holds one result, and this is the second one"
                    );
                }
                // On standard output results are told apart by an empty line.
                Target::Stdout { .. } => self.put(b"\n")?,
            }
        }
        if self.format == Format::Parquet && self.is_terminal() {
            return exec_err!("format parquet is not for a terminal: name a file with -o FILE");
        }
        let begin = match &mut self.target {
            Target::File { out, temporary, .. } if temporary.is_some() => out.stream_position()?,
            _ => 0,
        };
        let view = self.view();
        self.current = Some(Current {
            writer: writer(self.format, schema, view)?,
            begin,
        });
        Ok(())
    }

    /// Writes rows of the current result; those of a stream appear as they come.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(current) = &mut self.current {
            let written = current.writer.write(batch, &mut self.target);
            self.explain(written)?;
            if self.format.streams() && matches!(self.target, Target::Stdout { .. }) {
                let flushed = self.target.flush();
                self.explain(flushed.map_err(DataFusionError::from))?;
            }
        }
        Ok(())
    }

    /// Ends the current result.
    pub fn end(&mut self) -> Result<()> {
        if let Some(mut current) = self.current.take() {
            let written = current.writer.finish(&mut self.target);
            self.explain(written)?;
            let flushed = self.target.flush();
            self.explain(flushed.map_err(DataFusionError::from))?;
            self.results += 1;
        }
        Ok(())
    }

    /// Takes the current result back from a file; what has gone to standard output is gone.
    pub fn abandon(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        match &mut self.target {
            // A reader who has gone is noted by the flush.
            Target::Stdout { .. } => {
                let _ = self.target.flush();
            }
            Target::File { out, temporary, .. } if temporary.is_some() => {
                // If the file cannot be cut, it is incomplete and must not get its name.
                let cut = out
                    .flush()
                    .and_then(|()| out.get_ref().set_len(current.begin))
                    .and_then(|()| out.seek(SeekFrom::Start(current.begin)));
                if cut.is_err() {
                    *temporary = None;
                }
            }
            Target::File { .. } => {}
        }
    }

    /// Writes text as it is: lists of the prompt's own commands.
    pub fn put(&mut self, text: &[u8]) -> Result<()> {
        let written = self
            .target
            .write_all(text)
            .and_then(|()| self.target.flush());
        self.explain(written.map_err(DataFusionError::from))
    }

    /// Gives the file its name. Without a result there is no file.
    pub fn close(self) -> Result<()> {
        match self.target {
            Target::Stdout { mut out, .. } => match out.flush() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
                _ => Ok(()),
            },
            Target::File {
                path,
                out,
                temporary,
            } => {
                let file = out
                    .into_inner()
                    .map_err(|error| cannot_write(&path, error.error()))?;
                let Some(temporary) = temporary else {
                    return Ok(());
                };
                if self.results == 0 {
                    return Ok(());
                }
                file.sync_all()
                    .map_err(|error| cannot_write(&path, &error))?;
                temporary
                    .persist(real_path(&path))
                    .map_err(|error| cannot_write(&path, &error.error))?;
                Ok(())
            }
        }
    }

    pub fn view(&self) -> View {
        let (width, color) = match &self.target {
            Target::Stdout { .. } => (terminal_width(), super::style::on_stdout()),
            Target::File { .. } => (None, false),
        };
        View {
            width,
            color,
            rows: self.rows,
        }
    }

    /// Adds the file's name to what the system said.
    fn explain(&self, written: Result<()>) -> Result<()> {
        written.map_err(|error| match &self.target {
            Target::File { path, .. } => DataFusionError::Execution(format!(
                "cannot write {}: {}",
                path.display(),
                error.find_root().message()
            )),
            Target::Stdout { .. } => error,
        })
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> DataFusionError {
    DataFusionError::Execution(format!("cannot write {}: {error}", path.display()))
}

/// Writes a file, which appears under its name only when complete.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let explained = |error: io::Error| cannot_write(path, &error);
    let (mut file, temporary) = open(path).map_err(explained)?;
    file.write_all(bytes)
        .and_then(|()| file.flush())
        .map_err(explained)?;
    if let Some(temporary) = temporary {
        let persisted = temporary.persist(real_path(path));
        persisted.map_err(|error| explained(error.error))?;
    }
    Ok(())
}

/// A file beside `path` that takes its name when it is complete. A pipe or a device is opened as it
/// is: renaming over `/dev/null` would replace it.
fn open(path: &Path) -> io::Result<(File, Option<NamedTempFile>)> {
    if fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        return Ok((File::options().write(true).open(path)?, None));
    }
    let real = real_path(path);
    if real.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    let directory = match real.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(io::Error::other(format!(
            "the directory {} does not exist",
            directory.display()
        )));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".seedbed-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: the user's umask is taken off by the system.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(directory)?;
    let file = temporary.as_file().try_clone()?;
    Ok((file, Some(temporary)))
}

/// Where a link leads: the file is replaced, the link stays.
fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// True for names that promise a compressed file.
pub fn is_compressed(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    end.is_some_and(|end| matches!(end, "gz" | "zst" | "bz2" | "xz" | "lz4"))
}

/// The columns of the terminal; of a pipe only if COLUMNS is set.
pub fn terminal_width() -> Option<usize> {
    comfy_table::Table::new()
        .width()
        .map(usize::from)
        .or_else(|| std::env::var("COLUMNS").ok()?.parse().ok())
        .filter(|width| *width > 0)
}
