//! Formats for machines: rows are written as they come.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, LineDelimited};
use arrow::json::{Writer as ArrowJson, WriterBuilder as JsonBuilder};
use datafusion::common::{Result, internal_datafusion_err};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use seedbed::export::as_json;

use super::Writer;
use super::values::{TIMESTAMP, TIMESTAMP_TZ};

/// CSV as RFC 4180 has it, or with tabs. Lists and structs are written as JSON, NULL as nothing.
pub struct CsvWriter {
    schema: SchemaRef,
    delimiter: u8,
    header: bool,
}

impl CsvWriter {
    pub fn new(schema: SchemaRef, delimiter: u8) -> Self {
        Self {
            schema,
            delimiter,
            header: true,
        }
    }
}

impl Writer for CsvWriter {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let header = std::mem::take(&mut self.header);
        let mut writer = WriterBuilder::new()
            .with_header(header)
            .with_delimiter(self.delimiter)
            .with_timestamp_format(TIMESTAMP.to_string())
            .with_timestamp_tz_format(TIMESTAMP_TZ.to_string())
            .with_datetime_format(TIMESTAMP.to_string())
            .build(out);
        writer.write(&flat(batch)?)?;
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        // A result without rows still has its header.
        if self.header && !self.schema.fields().is_empty() {
            let empty = RecordBatch::new_empty(Arc::clone(&self.schema));
            self.write(&empty, out)?;
        }
        Ok(())
    }
}

/// The batch with lists, structs and maps as JSON text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !batch.columns().iter().any(|c| c.data_type().is_nested()) {
        return Ok(batch.clone());
    }
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if column.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(as_json(field, column)?);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// An array with an object a line, as people and line-based tools read it best.
#[derive(Debug, Default)]
pub struct ArrayOfLines;

impl JsonFormat for ArrayOfLines {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        writer.write_all(b"[")?;
        Ok(())
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        if !is_first_row {
            writer.write_all(b",\n")?;
        }
        Ok(())
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        writer.write_all(b"]")?;
        Ok(())
    }
}

/// JSON: an array of objects, or an object a line. NULL is written, so that every object has all keys.
pub enum JsonWriter {
    Array(Option<ArrowJson<Vec<u8>, ArrayOfLines>>),
    Lines(Option<ArrowJson<Vec<u8>, LineDelimited>>),
}

impl JsonWriter {
    pub fn array() -> Self {
        Self::Array(Some(json_writer()))
    }

    pub fn lines() -> Self {
        Self::Lines(Some(json_writer()))
    }
}

fn json_writer<F: JsonFormat>() -> ArrowJson<Vec<u8>, F> {
    JsonBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, F>(Vec::new())
}

impl Writer for JsonWriter {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let json = match self {
            Self::Array(Some(writer)) => {
                writer.write(batch)?;
                writer.get_mut()
            }
            Self::Lines(Some(writer)) => {
                writer.write(batch)?;
                writer.get_mut()
            }
            Self::Array(None) | Self::Lines(None) => return Ok(()),
        };
        out.write_all(json)?;
        json.clear();
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        match self {
            Self::Array(writer) => {
                if let Some(mut writer) = writer.take() {
                    writer.finish()?;
                    out.write_all(writer.get_ref())?;
                    out.write_all(b"\n")?;
                }
            }
            Self::Lines(writer) => {
                if let Some(mut writer) = writer.take() {
                    writer.finish()?;
                    out.write_all(writer.get_ref())?;
                }
            }
        }
        Ok(())
    }
}

/// Parquet, compressed with zstd.
pub struct ParquetWriter {
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl ParquetWriter {
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // a reader of a wide table holds a row group of it
            .set_max_row_group_bytes(Some(64 << 20))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
        Ok(Self {
            writer: Some(writer),
        })
    }
}

impl Writer for ParquetWriter {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        writer.write(batch)?;
        // The writer counts what it has written itself, so the buffer may be emptied under it.
        writer.sync()?;
        let bytes = writer.inner_mut();
        out.write_all(bytes)?;
        bytes.clear();
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        let writer = self
            .writer
            .take()
            .ok_or_else(|| internal_datafusion_err!("a Parquet file was ended twice"))?;
        out.write_all(&writer.into_inner()?)?;
        Ok(())
    }
}
