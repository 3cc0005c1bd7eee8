//! Rows made of a table's rows.

pub mod mixup;
mod pictures;
