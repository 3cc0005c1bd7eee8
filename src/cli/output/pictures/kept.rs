//! The pictures of the last result, kept for the prompt's commands.

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Schema;
use datafusion::common::Result;
use seedbed_udfs::images::picture::{Picture, may_hold};

/// Rows whose pictures are kept, and the bytes they may have together.
const ROWS: usize = 100;
const BYTES: usize = 1 << 28;

/// The first rows of the last result, of columns that may hold pictures.
#[derive(Debug, Default)]
pub struct Kept {
    columns: Vec<usize>,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Kept {
    /// A new result begins.
    pub fn begin(&mut self, schema: &Schema) {
        let fields = schema.fields().iter().enumerate();
        let columns = fields.filter(|(_, field)| may_hold(field.data_type()));
        *self = Self {
            columns: columns.map(|(column, _)| column).collect(),
            ..Self::default()
        };
    }

    /// Takes rows of the result. They are copied, so that what they were a part of may go.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let held: usize = self
            .batches
            .iter()
            .map(RecordBatch::get_array_memory_size)
            .sum();
        let wanted = ROWS.saturating_sub(self.rows).min(batch.num_rows());
        self.rows += batch.num_rows();
        if self.columns.is_empty() || wanted == 0 || held > BYTES {
            return Ok(());
        }
        let first = UInt32Array::from_iter_values(0..wanted as u32);
        let columns = batch.project(&self.columns)?;
        self.batches.push(take_record_batch(&columns, &first)?);
        Ok(())
    }

    /// The pictures, row by row.
    pub fn pictures(&self) -> Result<Vec<Picture>> {
        let mut pictures = Vec::new();
        for batch in &self.batches {
            let columns = batch.columns().iter().filter(|c| c.null_count() < c.len());
            let columns = columns.map(Picture::of).collect::<Result<Vec<_>>>()?;
            for row in 0..batch.num_rows() {
                pictures.extend(columns.iter().filter_map(|column| column[row].clone()));
            }
        }
        Ok(pictures)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array};

    use super::*;

    #[test]
    fn pictures_of_the_first_rows() {
        let png = Picture::new(1, 1, vec![3]).png().unwrap();
        let values = [Some(png.as_slice()), None, Some(b"no picture".as_slice())];
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
            (
                "bytes",
                Arc::new(BinaryArray::from(values.to_vec())) as ArrayRef,
            ),
        ])
        .unwrap();
        let mut kept = Kept::default();
        kept.begin(&batch.schema());
        for _ in 0..50 {
            kept.take(&batch).unwrap();
        }
        // of the first hundred rows every third
        assert_eq!(
            kept.pictures().unwrap(),
            vec![Picture::new(1, 1, vec![3]); 34]
        );
        kept.begin(&batch.schema());
        kept.take(&batch.slice(0, 1)).unwrap();
        assert_eq!(kept.pictures().unwrap().len(), 1);
        kept.begin(&Schema::empty());
        assert_eq!(kept.pictures().unwrap(), []);
    }
}
