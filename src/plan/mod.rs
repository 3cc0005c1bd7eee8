//! Logical nodes, analyzer rules and physical operators; a logical and its physical node share a file.

mod check;
mod distinct;
mod fit;
mod gan_sample;
mod neighbours;
mod sample;
mod spool;
mod table;
mod train;

pub use check::{Check, CheckExec, CheckPlanner, Rule};
pub use distinct::{Distinct, DistinctExec, DistinctPlanner, StreamDistinct};
pub use fit::{FITS, LowerFits, has_fits, is_cheap, prune, substitute};
pub use gan_sample::GanSample;
pub use neighbours::{Neighbours, NeighboursExec, NeighboursPlanner, Role, Search, Task};
pub use sample::{Sample, SampleExec, SampleTable};
pub use spool::{ShareSpools, Spool, SpoolExec, SpoolPlanner};
pub use table::{TableExec, TableNode, TablePlanner};
pub use train::{ModelSink, TrainExec, TrainNode, TrainSpec, Trainer};

#[cfg(test)]
mod tests;
