//! `npz`: an archive with an array of NumPy's a column.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{Result, plan_err};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::array::{Column, Part};
use super::npy::ArrayFile;
use super::options::Options;
use super::sink::Format;
use super::staging::{Staging, refused};

/// The format.
#[derive(Debug)]
pub struct Npz {
    columns: Vec<Arc<Column>>,
    compress: bool,
}

impl Npz {
    pub fn new(schema: &Schema, options: &Options) -> Result<Self> {
        let mut columns: Vec<Arc<Column>> = Vec::with_capacity(schema.fields().len());
        for (i, field) in schema.fields().iter().enumerate() {
            if columns.iter().any(|c| c.name == *field.name()) {
                return plan_err!(
                    "npz: two columns are called {0}, and arrays are found by their names. Write {0} AS another",
                    field.name()
                );
            }
            columns.push(Arc::new(Column::new(Self::NAME, i, field)?));
        }
        let compress = options.boolean("compress")?;
        Ok(Self { columns, compress })
    }

    /// Puts the arrays' files into one, and removes them.
    fn archive(&self, files: Vec<ArrayFile>, target: &Path) -> Result<()> {
        let mut paths = Vec::with_capacity(files.len());
        for file in files {
            paths.push(file.finish()?);
        }
        let refused = refused(target);
        let method = match self.compress {
            true => CompressionMethod::Deflated,
            false => CompressionMethod::Stored,
        };
        // a time of its own would make other bytes of the same rows
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(DateTime::default());
        let out = File::create_new(target).map_err(&refused)?;
        let mut archive = ZipWriter::new(BufWriter::with_capacity(1 << 16, out));
        let mut add = |column: &Column, path: &Path| -> io::Result<()> {
            let mut file = File::open(path)?;
            let large = file.metadata()?.len() >= u64::from(u32::MAX);
            archive.start_file(format!("{}.npy", column.name), options.large_file(large))?;
            io::copy(&mut file, &mut archive)?;
            std::fs::remove_file(path)
        };
        for (column, path) in self.columns.iter().zip(&paths) {
            add(column, path).map_err(&refused)?;
        }
        let end = archive.finish().map_err(io::Error::from);
        end.and_then(|mut out| out.flush()).map_err(&refused)
    }
}

impl Format for Npz {
    const NAME: &'static str = "npz";
    type Part = Vec<Part>;
    type Files = Vec<ArrayFile>;

    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Vec<Part>> {
        let parts = self.columns.iter();
        parts.map(|c| c.encode(batch.columns(), first)).collect()
    }

    fn create(&self, staging: &Staging) -> Result<Vec<ArrayFile>> {
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(i, column)| ArrayFile::create(column, staging.named(format!(".{i}"))))
            .collect()
    }

    fn write(&self, files: &mut Vec<ArrayFile>, parts: Vec<Part>) -> Result<()> {
        for (file, part) in files.iter_mut().zip(parts) {
            file.write(part)?;
        }
        Ok(())
    }

    fn finish(&self, files: Vec<ArrayFile>, staging: &mut Staging) -> Result<()> {
        self.archive(files, &staging.path())
    }
}
