//! The tables that are compared: columns of numbers and of categories whose codes all tables share.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::Result;

use crate::fitted::State;
use crate::fitted::counts::{Counts, Lookup};
use crate::learn::boosting::Column;
use crate::random::key;

/// A column that all tables have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub name: String,
    /// Numbers and times are DOUBLE, all others VARCHAR.
    pub is_number: bool,
}

/// One of the tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub rows: usize,
    pub columns: Vec<Column>,
}

impl Table {
    /// Some of the rows.
    pub fn take(&self, rows: &[u32]) -> Self {
        Self {
            rows: rows.len(),
            columns: self.columns.iter().map(|c| c.take(rows)).collect(),
        }
    }

    /// The rows, and those of another table after them.
    pub fn and(mut self, other: &Self) -> Self {
        self.rows += other.rows;
        for pair in self.columns.iter_mut().zip(&other.columns) {
            match pair {
                (Column::Numbers(all), Column::Numbers(more)) => all.extend_from_slice(more),
                (Column::Categories(all), Column::Categories(more)) => all.extend_from_slice(more),
                // columns of the same place are of the same kind
                _ => {}
            }
        }
        self
    }

    /// As many rows as there are, the values of each column drawn for themselves.
    pub fn independent(&self, seed: u64) -> Self {
        let drawn = |(at, column): (u64, &Column)| {
            let hash = mixed(seed, at);
            let rows: Vec<u32> = (0..self.rows as u64)
                .map(|row| key::below(mixed(hash, row), self.rows as i64) as u32)
                .collect();
            column.take(&rows)
        };
        Self {
            rows: self.rows,
            columns: (0..).zip(&self.columns).map(drawn).collect(),
        }
    }
}

/// All tables.
#[derive(Debug)]
pub struct Tables {
    pub shared: Vec<Shared>,
    /// Of each column the values of its codes; none for numbers.
    pub categories: Vec<Option<StringArray>>,
    pub real: Table,
    pub synthetic: Table,
    pub holdout: Option<Table>,
}

impl Tables {
    /// From rows in order: the first column says of which table a row is, 0, 1 or 2.
    pub fn read(shared: &[Shared], batch: &RecordBatch, with_holdout: bool) -> Result<Self> {
        let parts = cast(batch.column(0), &DataType::Float64)?;
        let parts = parts.as_primitive::<Float64Type>().values();
        let begin = |part: f64| parts.partition_point(|p| *p < part);
        let ranges = [
            0..begin(1.0),
            begin(1.0)..begin(2.0),
            begin(2.0)..batch.num_rows(),
        ];
        let mut tables = ranges.clone().map(|range| Table {
            rows: range.len(),
            columns: Vec::with_capacity(shared.len()),
        });
        let mut categories = Vec::with_capacity(shared.len());
        for (shared, array) in shared.iter().zip(&batch.columns()[1..]) {
            if shared.is_number {
                categories.push(None);
                let array = cast(array, &DataType::Float64)?;
                for (table, range) in tables.iter_mut().zip(&ranges) {
                    table.columns.push(Column::Numbers(numbers(&array, range)));
                }
            } else {
                let array = cast(array, &DataType::Utf8View)?;
                let mut counts = Counts::new(array.data_type())?;
                counts.update(std::slice::from_ref(&array))?;
                let (values, counts) = counts.sorted()?;
                let codes: Vec<u32> = (0..counts.len() as u32).collect();
                let codes = Lookup::new(&values, &codes)?.codes(&array)?;
                categories.push(Some(values.as_string::<i32>().clone()));
                for (table, range) in tables.iter_mut().zip(&ranges) {
                    let codes = codes[range.clone()].to_vec();
                    table.columns.push(Column::Categories(codes));
                }
            }
        }
        let [real, synthetic, holdout] = tables;
        Ok(Self {
            shared: shared.to_vec(),
            categories,
            real,
            synthetic,
            holdout: with_holdout.then_some(holdout),
        })
    }

    /// How many categories a column has in all tables.
    pub fn many(&self, column: usize) -> usize {
        self.categories[column].as_ref().map_or(0, Array::len)
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> usize {
        let rows = self.real.rows + self.synthetic.rows;
        let rows = rows + self.holdout.as_ref().map_or(0, |h| h.rows);
        let widths = self.shared.iter().map(|s| if s.is_number { 8 } else { 4 });
        let texts = self.categories.iter().flatten();
        rows * widths.sum::<usize>() + texts.map(Array::get_array_memory_size).sum::<usize>()
    }
}

/// NULL is NaN, and there is one zero.
fn numbers(array: &ArrayRef, range: &Range<usize>) -> Vec<f64> {
    let floats = array.as_primitive::<Float64Type>();
    range
        .clone()
        .map(|i| match floats.is_valid(i) {
            true => floats.value(i) + 0.0,
            false => f64::NAN,
        })
        .collect()
}

/// A hash of a hash and a number.
pub fn mixed(hash: u64, number: u64) -> u64 {
    let mut x = hash ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// At most so many of `rows` rows, drawn by a hash, in order.
pub fn chosen(rows: usize, at_most: usize, hash: u64) -> Vec<u32> {
    if rows <= at_most {
        return (0..rows as u32).collect();
    }
    let mut drawn: Vec<(u64, u32)> = (0..rows as u32)
        .map(|row| (mixed(hash, u64::from(row)), row))
        .collect();
    drawn.select_nth_unstable(at_most);
    drawn.truncate(at_most);
    let mut rows: Vec<u32> = drawn.into_iter().map(|(_, row)| row).collect();
    rows.sort_unstable();
    rows
}
