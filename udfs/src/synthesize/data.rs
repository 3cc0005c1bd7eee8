//! The rows a model learns from.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion_common::{Result, exec_err};

use super::rng;

/// Rows in an order that depends on their content alone, so that what is learnt from them does not
/// depend on how they were partitioned or in which order they came.
#[derive(Debug, Clone)]
pub struct Data {
    rows: RecordBatch,
    query: Option<String>,
}

impl Data {
    pub fn new(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        let fields: Vec<SortField> = schema
            .fields()
            .iter()
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        if let Some(field) = schema.fields().iter().find(|field| {
            !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())])
        }) {
            return exec_err!(
                "column {} has type {}, which no model can learn; leave it out of the query",
                field.name(),
                field.data_type()
            );
        }
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if u32::try_from(count).is_err() {
            return exec_err!(
                "{count} rows are more than a model can learn from; train on a sample of them"
            );
        }
        let mut hashes: Vec<u128> = Vec::with_capacity(count);
        if !schema.fields().is_empty() {
            let converter = RowConverter::new(fields)?;
            for batch in batches {
                let rows = converter.convert_columns(batch.columns())?;
                hashes.extend(rows.iter().map(|row| {
                    let low = rng::hash(0, row.data());
                    let high = rng::hash(1, row.data());
                    u128::from(high) << 64 | u128::from(low)
                }));
            }
        }
        // Rows of one hash are equal: which of them comes first makes no difference.
        let mut order: Vec<u32> = (0..hashes.len() as u32).collect();
        order.sort_unstable_by_key(|&row| hashes[row as usize]);
        let all = concat_batches(schema, batches)?;
        let rows = match schema.fields().is_empty() {
            true => all,
            false => take_record_batch(&all, &UInt32Array::from(order))?,
        };
        Ok(Self { rows, query: None })
    }

    /// The query that gave the rows, for a training that goes on later.
    pub fn of_query(mut self, query: Option<String>) -> Self {
        self.query = query;
        self
    }

    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
