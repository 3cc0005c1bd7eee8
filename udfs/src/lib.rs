//! Every SQL function of Seedbed: a folder a stage of the pipeline, a file a function.
//!
//! A function is written in one of two ways. A *row-wise* function ([`row_wise::RowWise`]) looks at
//! one row; a *fitted* function ([`fitted::Fitted`]) learns from all rows first and is called with
//! `OVER ()`. Both declare a [`spec::Spec`], from which signatures, defaults, error messages and the
//! reference are made. To add one: write its file, add a line to its stage's `functions()`.
//!
//! This crate knows Arrow and DataFusion's expressions, never the engine.

pub mod arrays;
pub mod augment;
pub mod bigquery;
pub mod clean;
pub mod encode;
pub mod evaluate;
pub mod fitted;
pub mod images;
pub mod inspect;
pub mod learn;
pub mod neighbours;
pub mod normalize;
pub mod options;
pub mod predict;
pub mod random;
pub mod registry;
pub mod row_wise;
pub mod series;
pub mod spec;
pub mod split;
pub mod sql;
pub mod synthesize;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
