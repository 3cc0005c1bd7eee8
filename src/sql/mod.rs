//! Our statements and relation functions: text to logical plan.

pub mod calls;
pub mod relation;
pub mod relations;
