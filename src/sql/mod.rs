//! Our statements and relation functions: text to logical plan.

pub mod bigquery;
pub mod calls;
pub mod expand;
pub mod parse;
pub mod relation;
pub mod relations;
pub mod share;
pub mod transform;
