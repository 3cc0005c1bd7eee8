//! Logical nodes, analyzer rules and physical operators; a logical and its physical node share a file.

mod sample;
mod train;

pub use sample::{Sample, SampleExec, SampleTable};
pub use train::{ModelSink, TrainExec, TrainNode, TrainSpec, Trainer};

#[cfg(test)]
mod tests;
