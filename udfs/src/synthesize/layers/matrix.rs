//! Dense matrices, a row after the other, and their products over all cores.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// A product of at least this many multiplications is given to another core.
const PIECE: usize = 4_000_000;

/// Rows summed up one after the other; sums of such parts are added in their order.
const PART: usize = 64;

/// Rows of numbers. A matrix is a buffer: its shape changes from step to step, its memory stays.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    cells: Vec<f32>,
}

impl Matrix {
    /// Gives it a shape; what the cells hold afterwards is left open.
    pub fn reshape(&mut self, rows: usize, columns: usize) {
        self.cells.resize(rows * columns, 0.0);
        self.rows = rows;
        self.columns = columns;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn cells(&self) -> &[f32] {
        &self.cells
    }

    pub fn cells_mut(&mut self) -> &mut [f32] {
        &mut self.cells
    }

    pub fn view(&self) -> MatRef<'_, f32> {
        view(&self.cells, self.rows, self.columns)
    }

    pub fn view_mut(&mut self) -> MatMut<'_, f32> {
        view_mut(&mut self.cells, self.rows, self.columns)
    }
}

/// Numbers as a matrix, a row after the other.
pub fn view(cells: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(cells, rows, columns)
}

pub fn view_mut(cells: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(cells, rows, columns)
}

/// `out = a b`, or `out += a b`. How the work is divided depends on the shapes alone, so the result is
/// the same to the bit for any number of cores.
pub fn product(out: MatMut<'_, f32>, accum: Accum, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    if out.nrows() < out.ncols() {
        by_rows(out.transpose_mut(), accum, b.transpose(), a.transpose());
    } else {
        by_rows(out, accum, a, b);
    }
}

fn by_rows(mut out: MatMut<'_, f32>, accum: Accum, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    let (rows, columns, depth) = (out.nrows(), out.ncols(), a.ncols());
    if rows == 0 || columns == 0 {
        return;
    }
    if depth == 0 {
        if matches!(accum, Accum::Replace) {
            out.fill(0.0);
        }
        return;
    }
    let pieces = (rows * columns * depth / PIECE).clamp(1, 32);
    let piece = rows.div_ceil(pieces).next_multiple_of(16);
    if piece >= rows {
        matmul(out, accum, a, b, 1.0, Par::Seq);
        return;
    }
    out.par_row_chunks_mut(piece)
        .zip(a.par_row_chunks(piece))
        .for_each(|(out, a)| matmul(out, accum, a, b, 1.0, Par::Seq));
}

/// Sums over rows: `add` adds row `i` to a vector of so many sums. In an order that depends on the
/// number of rows alone.
pub fn sum_rows(rows: usize, sums: usize, add: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = (0..rows.div_ceil(PART))
        .into_par_iter()
        .map(|part| {
            let mut sum = vec![0.0; sums];
            for row in part * PART..((part + 1) * PART).min(rows) {
                add(row, &mut sum);
            }
            sum
        })
        .collect();
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| vec![0.0; sums]);
    for part in parts {
        add_to(&mut total, &part);
    }
    total
}

/// Adds one vector to another.
pub fn add_to(sum: &mut [f32], other: &[f32]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_of_products_however_they_are_divided() {
        for (m, k, n) in [
            (3, 4, 2),
            (300, 200, 150),
            (70, 500, 700),
            (2, 0, 3),
            (0, 2, 2),
        ] {
            let numbers = |count: usize, step: usize| -> Vec<f32> {
                (0..count).map(|i| (i * step % 17) as f32 - 8.0).collect()
            };
            let (a, b) = (numbers(m * k, 7), numbers(k * n, 5));
            let mut out = vec![1.0; m * n];
            let (x, y) = (view(&a, m, k), view(&b, k, n));
            product(view_mut(&mut out, m, n), Accum::Replace, x, y);
            product(view_mut(&mut out, m, n), Accum::Add, x, y);
            for i in (0..m).step_by(7) {
                for j in (0..n).step_by(5) {
                    let sum: f32 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                    assert_eq!(out[i * n + j], 2.0 * sum);
                }
            }
        }
    }

    #[test]
    fn rows_are_summed() {
        let sums = sum_rows(1000, 2, |row, sums| {
            sums[0] += row as f32;
            sums[1] += 1.0;
        });
        assert_eq!(sums, [499_500.0, 1000.0]);
        assert_eq!(sum_rows(0, 1, |_, _| {}), [0.0]);
    }
}
