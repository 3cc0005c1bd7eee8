//! `read_idx` (the format of MNIST), `read_npy` and `read_npz` (NumPy's): a row an entry along the first axis.

use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};

use super::LoadEnv;
use super::args::{Args, Param};
use super::path::{Reader, expand};
use super::rows::{Rows, RowsTable, Sink};
use super::source::read_full;
use super::stored::{Stored, archive, column, failed, idx, npy, open};

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

/// Arrays side by side, one file after the other.
#[derive(Debug)]
pub struct Arrays {
    function: &'static str,
    /// The arrays of each file: its columns.
    files: Vec<Vec<Stored>>,
    schema: SchemaRef,
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
