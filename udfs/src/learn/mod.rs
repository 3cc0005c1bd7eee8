//! Models that are learnt while a query runs, and what is told by them.

pub mod boosting;
pub mod eigen;
pub mod label_issues;
pub mod logistic;

/// The place of the first of the largest.
pub(crate) fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}
