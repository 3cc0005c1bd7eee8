//! Logical nodes, analyzer rules and physical operators; a logical and its physical node share a file.

mod check;
mod conditions;
mod distinct;
mod fit;
mod fits;
mod gan_sample;
mod group_sort;
mod neighbours;
mod sample;
mod spool;
mod table;
mod train;
mod walk;

pub use check::{Check, CheckExec, CheckPlanner, Rule};
pub use distinct::{Distinct, DistinctExec, DistinctPlanner, StreamDistinct};
pub use fit::{FITS, LowerFits, fitted, has_fits, is_cheap, nested, prune, substitute};
pub use fits::{FitsPlanner, HideFits};
pub use gan_sample::GanSample;
pub use neighbours::{Neighbours, NeighboursExec, NeighboursPlanner, Role, Search, Task};
pub use sample::{Sample, SampleExec, SampleTable};
pub use spool::{ShareSpools, Spool, SpoolExec, SpoolPlanner};
pub use table::{TableExec, TableNode, TablePlanner};
pub use train::{Base, ModelSink, TrainExec, TrainNode, TrainSpec, Trainer};
pub use walk::FasterWindows;

use datafusion::common::{Result, internal_err};

/// The input of a node or an operator that has one.
pub(crate) fn one_input<T>(of: &str, mut inputs: Vec<T>) -> Result<T> {
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        _ => internal_err!("{of} takes one input"),
    }
}

#[cfg(test)]
mod tests;
