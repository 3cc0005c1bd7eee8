//! How near synthetic rows are to those that were learnt from.
//!
//! The distance of two rows is the sum over their columns: of numbers the difference over the range of the real table, at most
//! 1, which is also the distance from what is missing; of categories 2 where they differ, as if they were one-hot.

use std::collections::HashSet;

use datafusion_common::Result;

use super::Table;
use super::shape::extent;
use super::tables::mixed;
use crate::fitted::counts::MISSING;
use crate::learn::boosting::Column;
use crate::table::{Stop, in_parallel};

/// Rows that are compared with at once.
const LANES: usize = 16;
/// Columns after which it is looked whether any of them is still near.
const STRIDE: usize = 4;
/// Rows of a piece of work.
const CHUNK: usize = 256;
/// What is missing, farther than 1 from all numbers, which are held within -2 and 3.
const GONE: f32 = 8.0;

/// Where the columns of a table are put, so that differences are distances.
#[derive(Debug)]
pub struct Scale {
    /// The least of each number and the width of its range.
    numbers: Vec<[f64; 2]>,
}

impl Scale {
    /// By the ranges of a table.
    pub fn of(table: &Table) -> Self {
        let numbers = table.columns.iter().filter_map(|column| match column {
            Column::Numbers(values) => {
                let finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
                let [low, high] = extent(&finite).unwrap_or([0.0, 0.0]);
                let half = high / 2.0 - low / 2.0;
                Some([low, if half > 0.0 { half } else { 0.5 }])
            }
            Column::Categories(_) => None,
        });
        Self {
            numbers: numbers.collect(),
        }
    }

    /// The rows as floats, one after another: categories first, since they tell rows apart soonest.
    pub fn rows(&self, table: &Table) -> Points {
        let categories = (table.columns.iter())
            .filter_map(|c| match c {
                Column::Categories(codes) => Some(codes),
                Column::Numbers(_) => None,
            })
            .collect::<Vec<_>>();
        let numbers = (table.columns.iter())
            .filter_map(|c| match c {
                Column::Numbers(values) => Some(values),
                Column::Categories(_) => None,
            })
            .collect::<Vec<_>>();
        let width = categories.len() + numbers.len();
        let mut values = vec![0.0f32; table.rows * width];
        for (at, codes) in categories.iter().enumerate() {
            for (row, code) in codes.iter().enumerate() {
                values[row * width + at] = if *code == MISSING { -1.0 } else { *code as f32 };
            }
        }
        for (at, (column, [low, half])) in numbers.iter().zip(&self.numbers).enumerate() {
            for (row, x) in column.iter().enumerate() {
                let scaled = (x / 2.0 - low / 2.0) / half;
                let scaled = if x.is_nan() {
                    f64::from(GONE)
                } else {
                    scaled.clamp(-2.0, 3.0)
                };
                values[row * width + categories.len() + at] = scaled as f32;
            }
        }
        Points {
            categories: categories.len(),
            width,
            values,
        }
    }
}

/// Rows as floats.
#[derive(Debug)]
pub struct Points {
    categories: usize,
    width: usize,
    values: Vec<f32>,
}

impl Points {
    fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Columns of a few rows side by side, like rows together.
    fn tiles(&self) -> Vec<[f32; LANES]> {
        let row = |at: usize| &self.values[at * self.width..][..self.width];
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_unstable_by(|a, b| {
            let mut differ = row(*a).iter().zip(row(*b)).map(|(x, y)| x.total_cmp(y));
            differ.find(|o| o.is_ne()).unwrap_or(a.cmp(b))
        });
        let mut tiles = Vec::with_capacity(order.len().div_ceil(LANES) * self.width);
        for rows in order.chunks(LANES) {
            for column in 0..self.width {
                // a tile that is not full holds its last row several times
                let lane = |i: usize| rows[i.min(rows.len() - 1)];
                tiles.push(std::array::from_fn(|i| row(lane(i))[column]));
            }
        }
        tiles
    }
}

/// The distance from each of `points` to the nearest of `others`; none if there are no others.
pub fn nearest(points: &Points, others: &Points, threads: usize, stop: &Stop) -> Result<Vec<f32>> {
    if others.len() == 0 {
        return Ok(Vec::new());
    }
    let tiles = others.tiles();
    let width = points.width;
    let chunks: Vec<&[f32]> = points.values.chunks(CHUNK * width).collect();
    let near = in_parallel(chunks, threads, |chunk| {
        stop.check()?;
        let rows = chunk.chunks_exact(width);
        Ok(rows
            .map(|row| nearest_to(row, points.categories, &tiles))
            .collect::<Vec<f32>>())
    })?;
    Ok(near.concat())
}

fn nearest_to(row: &[f32], categories: usize, tiles: &[[f32; LANES]]) -> f32 {
    let (codes, numbers) = row.split_at(categories);
    let mut best = f32::INFINITY;
    'tiles: for tile in tiles.chunks_exact(row.len()) {
        let (of_codes, of_numbers) = tile.split_at(categories);
        let mut sums = [0.0f32; LANES];
        for (codes, tile) in codes.chunks(STRIDE).zip(of_codes.chunks(STRIDE)) {
            for (code, others) in codes.iter().zip(tile) {
                for (sum, other) in sums.iter_mut().zip(others) {
                    *sum += if code == other { 0.0 } else { 2.0 };
                }
            }
            if !sums.iter().fold(false, |near, sum| near | (*sum < best)) {
                continue 'tiles;
            }
        }
        for (numbers, tile) in numbers.chunks(STRIDE).zip(of_numbers.chunks(STRIDE)) {
            for (x, others) in numbers.iter().zip(tile) {
                for (sum, other) in sums.iter_mut().zip(others) {
                    let apart = (x - other).abs();
                    *sum += if apart < 1.0 { apart } else { 1.0 };
                }
            }
            if !sums.iter().fold(false, |near, sum| near | (*sum < best)) {
                continue 'tiles;
            }
        }
        best = sums
            .iter()
            .fold(best, |best, sum| if *sum < best { *sum } else { best });
    }
    best
}

/// The share of rows that are nearer to the one than to the other; those as near to both count half.
pub fn share_nearer(to_one: &[f32], to_other: &[f32]) -> Option<f64> {
    let halves = to_one
        .iter()
        .zip(to_other)
        .map(|(a, b)| match a.total_cmp(b) {
            std::cmp::Ordering::Less => 2u64,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Greater => 0,
        });
    let n = to_one.len().min(to_other.len());
    (n > 0).then(|| halves.sum::<u64>() as f64 / (2 * n) as f64)
}

/// The share of a table's rows that another table has to the letter.
pub fn copies(table: &Table, of: &Table) -> Option<f64> {
    let known: HashSet<u64> = hashes(of).into_iter().collect();
    let rows = hashes(table);
    let same = rows.iter().filter(|hash| known.contains(hash)).count();
    (!rows.is_empty()).then(|| same as f64 / rows.len() as f64)
}

fn hashes(table: &Table) -> Vec<u64> {
    let mut hashes = vec![0; table.rows];
    for column in &table.columns {
        match column {
            Column::Numbers(values) => {
                for (hash, x) in hashes.iter_mut().zip(values) {
                    let x = if x.is_nan() { f64::NAN } else { *x };
                    *hash = mixed(*hash, x.to_bits());
                }
            }
            Column::Categories(codes) => {
                for (hash, code) in hashes.iter_mut().zip(codes) {
                    *hash = mixed(*hash, u64::from(*code));
                }
            }
        }
    }
    hashes
}

/// A quantile by linear interpolation, as numpy's.
pub fn quantile(values: &mut [f32], q: f64) -> Option<f64> {
    values.sort_unstable_by(f32::total_cmp);
    let at = q * (values.len().checked_sub(1)?) as f64;
    let low = f64::from(*values.get(at as usize)?);
    let high = values.get(at as usize + 1).map_or(low, |x| f64::from(*x));
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(n: usize, shift: u64) -> Table {
        let draw = |i: usize, k: u64| mixed(shift + 100 * k, i as u64);
        let number = |k: u64| {
            let value = move |i| match draw(i, k) % 10 {
                0 => f64::NAN,
                1 if k == 1 => f64::INFINITY,
                _ => (draw(i, k) % 1000) as f64,
            };
            Column::Numbers((0..n).map(value).collect())
        };
        let category = |k: u64| {
            let code = move |i| match draw(i, k) % 4 {
                3 => MISSING,
                code => code as u32,
            };
            Column::Categories((0..n).map(code).collect())
        };
        Table {
            rows: n,
            columns: vec![
                number(1),
                category(2),
                number(3),
                category(4),
                number(5),
                number(6),
                number(7),
                category(8),
            ],
        }
    }

    #[test]
    fn the_same_as_by_looking_at_all() {
        let (a, b) = (table(40, 1), table(77, 2));
        let scale = Scale::of(&b);
        let (points, others) = (scale.rows(&a), scale.rows(&b));
        let near = nearest(&points, &others, 2, &Stop::default()).unwrap();
        for (i, near) in near.iter().enumerate() {
            let mut best = f32::INFINITY;
            for j in 0..77 {
                let pair = points.values[i * 8..][..8]
                    .iter()
                    .zip(&others.values[j * 8..][..8]);
                let sum = pair
                    .enumerate()
                    .fold(0.0f32, |sum, (at, (x, y))| match at < 3 {
                        true => sum + if x == y { 0.0 } else { 2.0 },
                        false => sum + (x - y).abs().min(1.0),
                    });
                best = best.min(sum);
            }
            assert_eq!(*near, best);
        }
    }

    #[test]
    fn a_copy_is_told() {
        let a = table(300, 5);
        let b = table(300, 6);
        assert_eq!(copies(&a, &a), Some(1.0));
        assert_eq!(copies(&a, &b), Some(0.0));
        let scale = Scale::of(&a);
        let (points, others) = (scale.rows(&a), scale.rows(&b));
        let stop = Stop::default();
        let itself = nearest(&points, &points, 1, &stop).unwrap();
        assert!(itself.iter().all(|d| *d == 0.0));
        let other = nearest(&points, &others, 1, &stop).unwrap();
        assert_eq!(share_nearer(&itself, &other), Some(1.0));
        assert_eq!(share_nearer(&other, &other), Some(0.5));
        assert_eq!(share_nearer(&[], &[]), None);
        assert!(
            nearest(&points, &scale.rows(&table(0, 1)), 1, &stop)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&mut [1.0, 2.0], 0.25), Some(1.25));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
