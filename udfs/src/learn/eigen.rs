//! Eigenvalues and eigenvectors of symmetric matrices.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, MatRef, Par};

/// The eigenvalues in ascending order, and their vectors, a column each; `None` of a matrix that has none, as one with
/// NaN.
pub fn eigen(matrix: MatRef<'_, f64>) -> Option<(Vec<f64>, Mat<f64>)> {
    let count = matrix.nrows();
    let mut values = Mat::<f64>::zeros(count, 1);
    let mut vectors = Mat::<f64>::zeros(count, count);
    let request = self_adjoint_evd_scratch::<f64>(
        count,
        ComputeEigenvectors::Yes,
        Par::Seq,
        Default::default(),
    );
    self_adjoint_evd(
        matrix,
        values.as_mut().col_mut(0).as_diagonal_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(request)),
        Default::default(),
    )
    .ok()?;
    Some(((0..count).map(|i| values[(i, 0)]).collect(), vectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_matrix_has_its_values_and_vectors() {
        let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
        let (values, vectors) = eigen(matrix.as_ref()).unwrap();
        assert!((values[0] - 1.0).abs() < 1e-12 && (values[1] - 3.0).abs() < 1e-12);
        assert!((vectors[(0, 0)] + vectors[(1, 0)]).abs() < 1e-12);
        assert!(eigen(Mat::zeros(0, 0).as_ref()).unwrap().0.is_empty());
    }
}
