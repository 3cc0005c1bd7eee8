//! `npy`: one column as an array of NumPy's.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{Result, exec_err, plan_err};

use super::appended::Appended;
use super::array::{Column, HEADER, Item, Part, shown};
use super::sink::Format;
use super::staging::{Staging, refused};

/// What an array of texts may take, each as much as the longest.
const MOST_TEXT_BYTES: u64 = 8 << 30;

/// The format.
#[derive(Debug)]
pub struct Npy(Arc<Column>);

impl Npy {
    pub fn new(schema: &Schema) -> Result<Self> {
        match schema.fields().as_ref() {
            [field] => Ok(Self(Arc::new(Column::new(Self::NAME, 0, field)?))),
            fields => {
                let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
                let names = names.join(", ");
                plan_err!(
                    "npy: the file holds one array, but the query has {} columns. Write SELECT vectorize({names}) for a \
                     row of numbers each, or TO 'file.npz' for an array a column",
                    fields.len()
                )
            }
        }
    }
}

impl Format for Npy {
    const NAME: &'static str = "npy";
    type Part = Part;
    type Files = ArrayFile;

    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Part> {
        self.0.encode(batch.columns(), first)
    }

    fn create(&self, staging: &Staging) -> Result<ArrayFile> {
        ArrayFile::create(&self.0, staging.path())
    }

    fn write(&self, file: &mut ArrayFile, part: Part) -> Result<()> {
        file.write(part)
    }

    fn finish(&self, file: ArrayFile, _: &mut Staging) -> Result<()> {
        file.finish().map(|_| ())
    }
}

/// An array that is being written.
pub struct ArrayFile {
    column: Arc<Column>,
    file: Appended,
    rows: u64,
    missing: u64,
    sides: Option<Vec<usize>>,
    items: u64,
    longest: usize,
}

impl ArrayFile {
    pub fn create(column: &Arc<Column>, path: PathBuf) -> Result<Self> {
        let mut file = Appended::new(path);
        if column.item != Item::Text {
            file.write(&[b' '; HEADER])?;
        }
        Ok(Self {
            column: Arc::clone(column),
            file,
            rows: 0,
            missing: 0,
            sides: None,
            items: 0,
            longest: 0,
        })
    }

    /// Adds rows.
    pub fn write(&mut self, part: Part) -> Result<()> {
        self.rows += part.rows as u64;
        self.missing += part.missing as u64;
        // with a NULL there will be no file; the others are still counted
        if self.missing > 0 {
            return Ok(());
        }
        if let Some(sides) = part.sides {
            match &self.sides {
                Some(before) if *before != sides => {
                    let column = &self.column;
                    return column.uneven(part.first, &shown(&sides), &shown(before));
                }
                Some(_) => {}
                None => self.sides = Some(sides.clone()),
            }
            self.items += (part.rows * sides.iter().product::<usize>()) as u64;
        }
        self.longest = self.longest.max(part.longest);
        self.file.write(&part.bytes)
    }

    /// Ends the array; gives its file.
    pub fn finish(mut self) -> Result<PathBuf> {
        let Column { format, name, .. } = self.column.as_ref();
        if self.missing > 0 {
            let (missing, rows) = (self.missing, self.rows);
            let vector = self.column.is_vector();
            let what = if vector {
                "is NULL, or has NULL in it,"
            } else {
                "is NULL"
            };
            let instead = match self.column.item {
                _ if vector => {
                    "impute(x, 'median') OVER () for the columns that it is made of, or "
                        .to_string()
                }
                Item::Fixed(of) if of.starts_with(['i', 'u', 'f']) => {
                    format!("impute({name}, 'median') OVER (), or ")
                }
                Item::Fixed(_) | Item::Text => format!("impute({name}, 'mode') OVER (), or "),
                Item::Picture => String::new(),
            };
            return exec_err!(
                "{format}: column {name} {what} in {missing} of {rows} rows, and an array has no NULL. Write \
                 {instead}WHERE {name} IS NOT NULL"
            );
        }
        let sides = self.sides.take().or_else(|| self.column.sides.clone());
        let mut shape = vec![self.rows];
        shape.extend(sides.iter().flatten().map(|side| *side as u64));
        let header = self.column.header(self.longest, &shape);
        self.file.flush()?;
        let path = self.file.path().to_path_buf();
        if self.column.item == Item::Text {
            self.widen(&header)?;
            return Ok(path);
        }
        let file = File::options().write(true).open(&path);
        file.and_then(|mut file| file.write_all(&header))
            .map_err(refused(&path))?;
        Ok(path)
    }

    /// Writes the texts again, each with as many characters as the longest has, of four bytes.
    fn widen(&self, header: &[u8]) -> Result<()> {
        let Column { format, name, .. } = self.column.as_ref();
        let width = 4 * self.longest.max(1);
        let bytes = self.items.saturating_mul(width as u64);
        if bytes > MOST_TEXT_BYTES {
            return exec_err!(
                "{format}: an array gives each text the room of the longest: with {} characters, column {name} would \
                 take {} GB. Write Parquet, or left({name}, 100)",
                self.longest,
                bytes / 1_000_000_000
            );
        }
        let path = self.file.path();
        let mut wide = path.as_os_str().to_owned();
        wide.push(".wide");
        let write = || {
            let mut texts = BufReader::with_capacity(1 << 16, File::open(path)?);
            let mut out = BufWriter::with_capacity(1 << 16, File::create_new(&wide)?);
            out.write_all(header)?;
            let (mut text, mut row) = (Vec::new(), Vec::new());
            for _ in 0..self.items {
                let mut length = [0; 4];
                texts.read_exact(&mut length)?;
                text.resize(u32::from_le_bytes(length) as usize, 0);
                texts.read_exact(&mut text)?;
                row.clear();
                let characters = String::from_utf8_lossy(&text);
                row.extend(characters.chars().flat_map(|c| u32::from(c).to_ne_bytes()));
                row.resize(width, 0);
                out.write_all(&row)?;
            }
            out.flush()?;
            std::fs::rename(&wide, path)
        };
        write().map_err(refused(path))
    }
}
