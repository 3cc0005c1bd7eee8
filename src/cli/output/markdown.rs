//! Markdown tables, row by row.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::ArrayFormatter;
use datafusion::common::Result;

use super::Writer;
use super::values::{format_options, is_number};

pub struct MarkdownWriter {
    schema: SchemaRef,
    header: bool,
}

impl MarkdownWriter {
    pub fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            header: true,
        }
    }

    fn header(&mut self, out: &mut dyn Write) -> Result<()> {
        if !std::mem::take(&mut self.header) || self.schema.fields().is_empty() {
            return Ok(());
        }
        for field in self.schema.fields() {
            write!(out, "| {} ", escape(field.name()))?;
        }
        out.write_all(b"|\n")?;
        for field in self.schema.fields() {
            let rule = if is_number(field.data_type()) {
                "|---:"
            } else {
                "|---"
            };
            out.write_all(rule.as_bytes())?;
        }
        out.write_all(b"|\n")?;
        Ok(())
    }
}

impl Writer for MarkdownWriter {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        self.header(out)?;
        let options = format_options();
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            for column in &columns {
                let text = column.value(row).try_to_string()?;
                write!(out, "| {} ", escape(&text))?;
            }
            out.write_all(b"|\n")?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        self.header(out)?;
        // A table ends at an empty line; the next one would be taken for more rows.
        out.write_all(b"\n")?;
        Ok(())
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace("\r\n", "<br>")
        .replace('\n', "<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(escape("a|b\nc"), "a\\|b<br>c");
    }
}
