//! The covariance of the items of vectors, of exact sums: no order of rows matters. Rows of whole numbers, as pixels
//! are, are added by a product of matrices, which is exact for them in floats; others as [`super::comoments`] does.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use super::comoments::Products;
use super::moments::{Moments, ROUNDER};
use super::numbers::{Numbers, Reader};

/// Whole numbers up to this are added together: sums of so many products stay below 2^53, and sums of those in 64 bits.
const WHOLE: f64 = 32_768.0;
const ROWS: usize = 4096;
/// Columns whose products with all before them are computed at a time.
const STRIPE: usize = 256;

/// Sums of vectors of one length, and of the products of their items.
#[derive(Debug, Clone, Default)]
pub struct Scatter {
    /// How long the vectors are; 0 until the first is seen.
    length: usize,
    /// Of rows of whole numbers: how many, their sum, and the lower triangle of the sums of products.
    count: u64,
    sums: Vec<i64>,
    products: Vec<i64>,
    /// Of other rows.
    exact: Option<Box<Exact>>,
}

#[derive(Debug, Clone)]
struct Exact {
    columns: Vec<Moments>,
    products: Vec<Products>,
}

/// The mean of vectors and the covariance of their items, whose upper half is left 0.
pub struct Covariance {
    pub mean: Vec<f64>,
    pub matrix: Mat<f64>,
}

/// The number of pairs of items, an item with itself among them.
fn pairs(length: usize) -> usize {
    length * (length + 1) / 2
}

impl Scatter {
    /// Sets how long the vectors are.
    pub fn open(&mut self, length: usize) {
        if self.length == 0 {
            self.length = length;
            self.sums = vec![0; length];
            self.products = vec![0; pairs(length)];
        }
    }

    /// Takes vectors, one after another; all their numbers are finite.
    pub fn add(&mut self, vectors: &[f64]) {
        let is_whole = |x: &f64| (x + ROUNDER) - ROUNDER == *x && x.abs() <= WHOLE;
        let (mut whole, mut others) = (Vec::new(), Vec::new());
        for vector in vectors.chunks_exact(self.length.max(1)) {
            let side = match vector.iter().all(is_whole) {
                true => &mut whole,
                false => &mut others,
            };
            side.extend_from_slice(vector);
        }
        for block in whole.chunks(ROWS * self.length.max(1)) {
            self.add_whole(block);
        }
        if !others.is_empty() {
            self.add_exactly(&others);
        }
    }

    fn add_whole(&mut self, block: &[f64]) {
        let rows = block.len() / self.length;
        self.count += rows as u64;
        for vector in block.chunks_exact(self.length) {
            for (sum, x) in self.sums.iter_mut().zip(vector) {
                *sum += *x as i64;
            }
        }
        let block = MatRef::from_row_major_slice(block, rows, self.length);
        for first in (0..self.length).step_by(STRIPE) {
            let end = (first + STRIPE).min(self.length);
            let mut stripe = Mat::<f64>::zeros(end, end - first);
            matmul(
                stripe.as_mut(),
                Accum::Replace,
                block.subcols(0, end).transpose(),
                block.subcols(first, end - first),
                1.0,
                Par::Seq,
            );
            for i in first..end {
                let of_row = &mut self.products[pairs(i)..=pairs(i) + i];
                for (j, sum) in of_row.iter_mut().enumerate() {
                    // a whole number below 2^53
                    *sum += stripe[(j, i - first)] as i64;
                }
            }
        }
    }

    fn add_exactly(&mut self, vectors: &[f64]) {
        let length = self.length;
        let exact = self.exact.get_or_insert_with(|| Exact::new(length));
        let column = |i: usize| vectors[i..].iter().step_by(length).copied();
        let columns: Vec<Vec<f64>> = (0..length).map(|i| column(i).collect()).collect();
        for (moments, column) in exact.columns.iter_mut().zip(&columns) {
            moments.add(column);
        }
        let mut products = exact.products.iter_mut();
        for (i, x) in columns.iter().enumerate() {
            for (y, products) in columns[..=i].iter().zip(&mut products) {
                products.add(x, y);
            }
        }
    }

    /// Takes what another has gathered; the vectors of both are equally long.
    pub fn absorb(&mut self, other: Self) {
        if other.length == 0 {
            return;
        }
        self.open(other.length);
        self.count += other.count;
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum += more;
        }
        for (sum, more) in self.products.iter_mut().zip(&other.products) {
            *sum += more;
        }
        if let Some(other) = other.exact {
            let length = self.length;
            let exact = self.exact.get_or_insert_with(|| Exact::new(length));
            for (column, more) in exact.columns.iter_mut().zip(other.columns) {
                column.absorb(more);
            }
            for (products, more) in exact.products.iter_mut().zip(&other.products) {
                products.absorb(more);
            }
        }
    }

    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.length as u64).to_le_bytes());
        out.extend(self.count.to_le_bytes());
        for sum in self.sums.iter().chain(&self.products) {
            out.extend(sum.to_le_bytes());
        }
        out.push(u8::from(self.exact.is_some()));
        if let Some(exact) = &self.exact {
            exact.columns.iter().for_each(|c| c.write(out));
            exact.products.iter().for_each(|p| p.write(out));
        }
    }

    /// Reads what [`Self::write`] wrote; `None` if it is something else.
    pub fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        let length = bytes.length()?;
        let count = bytes.u64()?;
        let mut sums = |n: usize| -> Option<Vec<i64>> {
            (0..n).map(|_| Some(bytes.u64()?.cast_signed())).collect()
        };
        let (sums, products) = (sums(length)?, sums(pairs(length))?);
        let exact = match bytes.u8()? {
            0 => None,
            _ => Some(Box::new(Exact {
                columns: (0..length)
                    .map(|_| Moments::read(bytes))
                    .collect::<Option<_>>()?,
                products: (0..pairs(length))
                    .map(|_| Products::read(bytes))
                    .collect::<Option<_>>()?,
            })),
        };
        Some(Self {
            length,
            count,
            sums,
            products,
            exact,
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let exact = self.exact.as_ref().map_or(0, |exact| {
            let columns = exact.columns.iter().map(Numbers::bytes);
            let products = exact.products.iter().map(Products::bytes);
            columns.chain(products).sum()
        });
        size_of::<Self>() + 8 * (self.sums.capacity() + self.products.capacity()) + exact
    }

    /// Mean and covariance, the divisor of which is the count; `None` if no vectors were seen.
    pub fn covariance(&self) -> Option<Covariance> {
        let found = match &self.exact {
            None => self.of_whole_numbers()?,
            Some(exact) => self.of_all(exact)?,
        };
        Some(found)
    }

    fn of_whole_numbers(&self) -> Option<Covariance> {
        if self.count == 0 {
            return None;
        }
        let (n, count) = (self.count as f64, i128::from(self.count));
        let mean = self.sums.iter().map(|s| *s as f64 / n).collect();
        let mut matrix = Mat::zeros(self.length, self.length);
        for (i, x) in self.sums.iter().enumerate() {
            let products = &self.products[pairs(i)..=pairs(i) + i];
            for (j, (products, y)) in products.iter().zip(&self.sums).enumerate() {
                let exact = count * i128::from(*products) - i128::from(*x) * i128::from(*y);
                matrix[(i, j)] = exact as f64 / (n * n);
            }
        }
        Some(Covariance { mean, matrix })
    }

    fn of_all(&self, exact: &Exact) -> Option<Covariance> {
        let columns: Vec<Moments> = exact
            .columns
            .iter()
            .enumerate()
            .map(|(i, column)| {
                let mut column = column.clone();
                let squares = self.products[pairs(i) + i].cast_unsigned();
                column.add_sums(self.count, self.sums[i], squares);
                column
            })
            .collect();
        let mean = columns.iter().map(Moments::mean).collect::<Option<_>>()?;
        let mut matrix = Mat::zeros(self.length, self.length);
        let mut products = exact.products.iter().zip(&self.products);
        for (i, x) in columns.iter().enumerate() {
            for (j, (y, (products, whole))) in columns[..=i].iter().zip(&mut products).enumerate() {
                let mut products = products.clone();
                products.add_whole(*whole);
                matrix[(i, j)] = products.covariance(x, y)?;
            }
        }
        Some(Covariance { mean, matrix })
    }
}

impl Exact {
    fn new(length: usize) -> Box<Self> {
        Box::new(Self {
            columns: vec![Moments::default(); length],
            products: vec![Products::default(); pairs(length)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(rows: usize, length: usize, whole: impl Fn(usize) -> bool) -> Vec<f64> {
        let item = |row: usize, i: usize| (row * (i + 3) * 7919 % 1009) as f64;
        (0..rows)
            .flat_map(|row| (0..length).map(move |i| (row, i)))
            .map(|(row, i)| item(row, i) * if whole(row) { 1.0 } else { 0.01 })
            .collect()
    }

    fn bits(scatter: &Scatter) -> Vec<u64> {
        let found = scatter.covariance().unwrap();
        let matrix = (0..found.mean.len()).flat_map(|j| found.matrix.col_as_slice(j).to_vec());
        found
            .mean
            .iter()
            .copied()
            .chain(matrix)
            .map(f64::to_bits)
            .collect()
    }

    #[test]
    fn by_definition_whatever_the_batches() {
        for (length, whole) in [(3, 2), (300, 1), (5, 1000)] {
            let rows = if length == 300 { 50 } else { 5000 };
            let vectors = vectors(rows, length, |row| row % whole == 0);
            let mut all = Scatter::default();
            all.open(length);
            all.add(&vectors);
            let found = all.covariance().unwrap();
            let n = rows as f64;
            let column = |i: usize| vectors[i..].iter().step_by(length);
            for (i, j) in [(0, 0), (length - 1, 0), (length - 1, length - 2)] {
                let mean = |i: usize| column(i).sum::<f64>() / n;
                let (a, b) = (mean(i), mean(j));
                let products = column(i).zip(column(j)).map(|(x, y)| (x - a) * (y - b));
                let expected = products.sum::<f64>() / n;
                assert!((found.matrix[(i, j)] - expected).abs() < 1e-8 * expected.abs().max(1.0));
                assert!((found.mean[i] - a).abs() < 1e-10 * a);
            }
            let mut merged = Scatter::default();
            for part in vectors.chunks(7 * length).rev() {
                let mut other = Scatter::default();
                other.open(length);
                other.add(part);
                let mut bytes = Vec::new();
                other.write(&mut bytes);
                merged.absorb(Scatter::read(&mut Reader(&bytes)).unwrap());
            }
            assert_eq!(bits(&merged), bits(&all));
            assert!(merged.bytes() > 8 * pairs(length));
        }
        assert!(Scatter::default().covariance().is_none());
    }
}
