//! Logical nodes, analyzer rules and physical operators; a logical and its physical node share a file.

mod distinct;
mod fit;
mod gan_sample;
mod neighbours;
mod sample;
mod spool;
mod train;

pub use distinct::{Distinct, DistinctExec, DistinctPlanner, StreamDistinct};
pub use fit::{FITS, LowerFits, has_fits, is_cheap, prune, substitute};
pub use gan_sample::GanSample;
pub use neighbours::{Neighbours, NeighboursExec, NeighboursPlanner, Role, Search, Task};
pub use sample::{Sample, SampleExec, SampleTable};
pub use spool::{ShareSpools, Spool, SpoolExec, SpoolPlanner};
pub use train::{ModelSink, TrainExec, TrainNode, TrainSpec, Trainer};

#[cfg(test)]
mod tests;
