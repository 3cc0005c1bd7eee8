//! Categories: a column's distinct values in their order, each an index.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion_common::Result;

/// Rows converted at once: bounds the memory that the bytes of long texts take.
const CHUNK: usize = 8192;

/// Whether a column of this type can be categories: text, booleans, numbers, moments.
pub fn supports(data_type: &DataType) -> bool {
    data_type.is_primitive()
        || matches!(
            data_type,
            DataType::Null
                | DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
        )
}

/// The distinct values of a column.
#[derive(Debug, Clone)]
pub struct Categories {
    values: ArrayRef,
    index: Arc<HashMap<Box<[u8]>, u32>>,
}

impl Categories {
    /// The distinct values of an array, in ascending order; NULL is none of them.
    pub fn fit(array: &ArrayRef) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())])?;
        let mut distinct: BTreeSet<OwnedRow> = BTreeSet::new();
        for begin in (0..array.len()).step_by(CHUNK) {
            let chunk = array.slice(begin, CHUNK.min(array.len() - begin));
            let nulls = chunk.logical_nulls();
            let rows = converter.convert_columns(&[chunk])?;
            for (i, row) in rows.iter().enumerate() {
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
                    continue;
                }
                let row = row.owned();
                if !distinct.contains(&row) {
                    distinct.insert(row);
                }
            }
        }
        let values = converter.convert_rows(distinct.iter().map(OwnedRow::row))?;
        Self::new(Arc::clone(&values[0]))
    }

    /// Categories that are given.
    pub fn new(values: ArrayRef) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
        let rows = converter.convert_columns(&[Arc::clone(&values)])?;
        let index = rows
            .iter()
            .enumerate()
            .map(|(i, row)| (row.data().into(), i as u32))
            .collect();
        Ok(Self {
            values,
            index: Arc::new(index),
        })
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn values(&self) -> &ArrayRef {
        &self.values
    }

    /// The index of every value, `null` for NULL; nothing if a value (or NULL) is not among them.
    pub fn encode(&self, array: &ArrayRef, null: Option<u32>) -> Result<Option<Vec<u32>>> {
        let converter = RowConverter::new(vec![SortField::new(self.values.data_type().clone())])?;
        let mut states = Vec::with_capacity(array.len());
        for begin in (0..array.len()).step_by(CHUNK) {
            let chunk = array.slice(begin, CHUNK.min(array.len() - begin));
            let nulls = chunk.logical_nulls();
            let rows = converter.convert_columns(&[chunk])?;
            for (i, row) in rows.iter().enumerate() {
                let state = match &nulls {
                    Some(nulls) if nulls.is_null(i) => null,
                    _ => self.index.get(row.data()).copied(),
                };
                let Some(state) = state else { return Ok(None) };
                states.push(state);
            }
        }
        Ok(Some(states))
    }

    /// The values of states; a state past the last category is NULL.
    pub fn decode(&self, states: &[u32]) -> Result<ArrayRef> {
        let count = self.len() as u32;
        let indices: UInt32Array = states
            .iter()
            .map(|&state| (state < count).then_some(state))
            .collect();
        Ok(take(&self.values, &indices, None)?)
    }
}
