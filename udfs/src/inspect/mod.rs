//! The inspect stage: kernels that look at all columns of a table in one pass.

pub mod correlations;
pub mod profile;
