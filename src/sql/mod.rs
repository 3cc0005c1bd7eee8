//! Our statements and relation functions: text to logical plan.

pub mod bigquery;
pub mod calls;
pub mod expand;
pub mod leakage;
pub mod model;
pub mod ordered;
pub mod parse;
pub mod relation;
pub mod relations;
pub mod selectors;
pub mod share;
pub mod transform;
pub mod walk;
