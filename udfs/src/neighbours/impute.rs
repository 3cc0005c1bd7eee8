//! Missing numbers from the rows nearest to theirs, as scikit-learn's `KNNImputer` does.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::Result;

use super::index::{Collect, Index, Nearest, Queries};
use super::rows::{Gathered, interleave, numbers};
use super::{CHUNK, stop_if};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub struct Imputing {
    pub k: usize,
    /// Whether nearer rows count for more.
    pub by_distance: bool,
}

/// Fills rows.
#[derive(Debug)]
pub struct Imputer {
    by_distance: bool,
    index: Index,
    columns: Vec<Donors>,
}

/// The rows that have a number in a column.
#[derive(Debug, Clone, Copy)]
struct Donors {
    column: usize,
    /// As many of them as are taken.
    k: usize,
    mean: Option<f64>,
}

impl Imputer {
    /// An imputer of the rows that give numbers.
    pub fn new(task: &Imputing, gathered: &Gathered) -> Self {
        let rows = &gathered.rows;
        let index = Index::new(rows, 0..rows.len() as u32, task.k, 0.0);
        let columns = gathered
            .means
            .iter()
            .enumerate()
            .map(|(column, mean)| Donors {
                column,
                k: task.k.min(index.count(column)),
                mean: *mean,
            })
            .collect();
        Self {
            by_distance: task.by_distance,
            index,
            columns,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }

    /// The type of a column when it is filled.
    pub fn filled_type(t: &DataType) -> DataType {
        match t {
            DataType::Float16 | DataType::Float32 => DataType::Float32,
            DataType::Dictionary(_, value) => Self::filled_type(value),
            _ => DataType::Float64,
        }
    }

    /// The columns of a batch with their missing numbers filled.
    pub fn fill(
        &self,
        arrays: &[ArrayRef],
        rows: usize,
        cancelled: &AtomicBool,
    ) -> Result<Vec<ArrayRef>> {
        let mut columns = arrays.iter().map(numbers).collect::<Result<Vec<_>>>()?;
        let floats = arrays
            .iter()
            .map(|a| Ok(cast(a, &DataType::Float64)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        // an infinity is of no use as a distance, but it is there
        let absent = |column: usize, row: usize| {
            let array = floats[column].as_primitive::<Float64Type>();
            array.is_null(row) || array.value(row).is_nan()
        };
        let mut values = Vec::new();
        interleave(&columns, rows, &mut values);
        let width = columns.len();
        let wanting: Vec<(usize, Vec<usize>)> = (0..rows)
            .map(|row| (row, (0..width).filter(|c| absent(*c, row)).collect()))
            .filter(|(_, absent): &(usize, Vec<usize>)| !absent.is_empty())
            .collect();
        let mut queries = Queries::default();
        for chunk in wanting.chunks(CHUNK) {
            stop_if(cancelled)?;
            queries.clear();
            let mut near = Vec::with_capacity(chunk.len());
            for (row, absent) in chunk {
                let numbers = &values[row * width..][..width];
                self.index.query(&mut queries, numbers, &[]);
                let donors = absent.iter().map(|column| self.columns[*column]);
                near.push(Near {
                    index: &self.index,
                    of: donors
                        .filter(|d| d.k > 0)
                        .map(|d| (d.column, Nearest::new(d.k)))
                        .collect(),
                });
            }
            self.index.search(&queries, &mut near);
            for ((row, absent), near) in chunk.iter().zip(near) {
                let mut near = near.of.iter();
                for column in absent {
                    let donors = self.columns[*column];
                    let found = match donors.k {
                        0 => None,
                        _ => near.next(),
                    };
                    let mean = found.and_then(|(_, nearest)| self.mean(donors.column, nearest));
                    columns[*column][*row] = mean.or(donors.mean).unwrap_or(f64::NAN);
                }
            }
        }
        (columns.into_iter().zip(&floats).zip(arrays))
            .map(|((filled, given), array)| {
                let given = given.as_primitive::<Float64Type>();
                let values = filled.iter().enumerate().map(|(row, filled)| {
                    if given.is_valid(row) && !given.value(row).is_nan() {
                        Some(given.value(row))
                    } else {
                        (!filled.is_nan()).then_some(*filled)
                    }
                });
                let values: ArrayRef = Arc::new(values.collect::<Float64Array>());
                Ok(cast(&values, &Self::filled_type(array.data_type()))?)
            })
            .collect()
    }

    /// The mean of what the nearest rows have.
    fn mean(&self, column: usize, nearest: &Nearest) -> Option<f64> {
        let found = &nearest.found;
        let at_zero = found.first().is_some_and(|f| f.0 == 0.0);
        let weight = |distance: f64| match (self.by_distance, at_zero) {
            (false, _) => 1.0,
            (true, true) => f64::from(u8::from(distance == 0.0)),
            (true, false) => 1.0 / distance.sqrt(),
        };
        let total: f64 = found.iter().map(|f| weight(f.0)).sum();
        let value = |slot: u32| self.index.number(slot, column);
        let sum: f64 = found.iter().map(|f| weight(f.0) * value(f.2)).sum();
        match (found.is_empty(), sum.is_finite() && total > 0.0) {
            (true, _) => None,
            (_, true) => Some(sum / total),
            // numbers so large, or distances so small or large, that their sums are beyond floats
            _ => {
                let n = found.len() as f64;
                Some(found.iter().map(|f| value(f.2) / n).sum())
            }
        }
    }
}

/// The nearest rows that have a number, for each of some columns.
struct Near<'a> {
    index: &'a Index,
    of: Vec<(usize, Nearest)>,
}

impl Collect for Near<'_> {
    fn bound(&self) -> f64 {
        let bounds = self.of.iter().map(|(_, nearest)| nearest.bound());
        bounds.fold(-1.0, f64::max)
    }

    fn offer(&mut self, distance: f64, rank: u32, slot: u32) {
        for (column, nearest) in &mut self.of {
            if distance <= nearest.bound() && !self.index.number(slot, *column).is_nan() {
                nearest.offer(distance, rank, slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int32Array};
    use arrow::datatypes::Float32Type;

    use super::super::testing::{floats, gathered};
    use super::*;

    fn filled(k: usize, by_distance: bool, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let gathered = gathered(columns.len(), 0, false, false, columns)?;
        let imputer = Imputer::new(&Imputing { k, by_distance }, &gathered);
        let rows = columns.first().map_or(0, |c| c.len());
        imputer.fill(columns, rows, &AtomicBool::new(false))
    }

    fn values(array: &ArrayRef) -> Vec<Option<f64>> {
        array.as_primitive::<Float64Type>().iter().collect()
    }

    #[test]
    fn means_of_the_nearest() -> Result<()> {
        let x = floats([1.0, 2.0, 4.0, 8.0, 3.0]);
        let y = floats([10.0, 20.0, 40.0, f64::NAN, f64::NAN]);
        let columns = [x, y];
        let uniform = filled(2, false, &columns)?;
        assert_eq!(values(&uniform[1])[3..], [Some(30.0), Some(30.0)]);
        let weighted = filled(2, true, &columns)?;
        // at distances of 4 and 6, times the root of 2
        assert_eq!(values(&weighted[1])[3].map(f64::round), Some(32.0));
        assert_eq!(
            values(&filled(50, false, &columns)?[1])[4],
            Some(70.0 / 3.0)
        );
        Ok(())
    }

    #[test]
    fn rows_at_no_distance_count_alone() -> Result<()> {
        let x = floats([1.0, 1.0, 2.0, 1.0]);
        let y = floats([10.0, 20.0, 90.0, f64::NAN]);
        assert_eq!(values(&filled(3, true, &[x, y])?[1])[3], Some(15.0));
        Ok(())
    }

    #[test]
    fn missing_infinite_and_huge() -> Result<()> {
        let x: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(3)]));
        let y = floats([f64::INFINITY, f64::NAN, f64::NAN, 8.0]);
        let nothing = floats([f64::NAN; 4]);
        let all = filled(1, false, &[x, y, nothing])?;
        assert_eq!(
            values(&all[0]),
            [Some(1.0), Some(2.0), Some(2.0), Some(3.0)]
        );
        assert_eq!(
            values(&all[1]),
            [Some(f64::INFINITY), Some(8.0), Some(8.0), Some(8.0)]
        );
        assert_eq!(all[2].null_count(), 4);
        let x = floats([0.0, 0.0, 0.0]);
        let y = floats([f64::MAX, f64::MAX, f64::NAN]);
        assert!(values(&filled(2, false, &[x, y])?[1])[2] > Some(1.7e308));
        Ok(())
    }

    #[test]
    fn float32_stays_and_nothing_is_nothing() -> Result<()> {
        let x: ArrayRef = Arc::new(Float32Array::from(vec![Some(0.1), None]));
        let all = filled(1, false, &[x])?;
        assert!(
            all[0]
                .as_primitive::<Float32Type>()
                .iter()
                .eq([Some(0.1), Some(0.1)])
        );
        assert!(filled(1, false, &[floats([])])?[0].is_empty());
        Ok(())
    }
}
