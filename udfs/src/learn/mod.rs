//! Models that are learnt while a query runs, and what is told by them.

pub mod boosting;
pub mod label_issues;
pub mod logistic;
