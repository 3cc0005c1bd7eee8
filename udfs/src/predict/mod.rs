//! Models that predict a label, and the relations that say how well.
//!
//! A [`Learner`] learns from rows which class they are of, and gives a [`Scorer`] that says how probable each class
//! is for other rows. What stands around both is common to all: the label and its classes, rows without one, the
//! model's file ([`Classifier`]). A new kind is one file and one line in [`kinds`].

mod boosting;
mod classifier;
mod cnn;
mod evaluation;
pub mod features;
mod kind;
mod labels;
mod logistic;
mod mlp;
mod network;
mod predict_udf;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion_common::{Result, plan_err};

use crate::synthesize::{History, Kind, ModelFile, OptionSpec, Options, Watch};
use features::Feature;

pub use classifier::{Classifier, UNLABELLED};
pub(crate) use cnn::{Looker, Pictures};
pub use evaluation::Evaluate;
pub(crate) use labels::Labels;
pub use predict_udf::PredictUdf;

/// Every kind of model that predicts.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(kind::Predicting(logistic::Logistic)),
        Arc::new(kind::Predicting(mlp::Perceptron)),
        Arc::new(kind::Predicting(boosting::Boosting)),
        Arc::new(kind::Predicting(cnn::Cnn)),
    ]
}

/// A way to learn which class rows are of.
pub trait Learner: Debug + Send + Sync + 'static {
    /// The name after `USING`.
    const NAME: &'static str;
    /// One line for a list of kinds.
    const SUMMARY: &'static str;
    /// Options that a model must share with the one it is started from; none where it cannot start from one.
    const ARCHITECTURE: &'static [&'static str] = &[];

    /// What can stand in `OPTIONS (...)` beside the label and the seed.
    fn options(&self) -> Vec<OptionSpec>;

    /// An error if a column cannot be learnt from: says what to write instead.
    fn check(&self, columns: &[&Field]) -> Result<()> {
        for column in columns {
            feature(Self::NAME, column)?;
        }
        Ok(())
    }

    /// Learns; what is learnt goes into the file. Same task: same file, to the bit.
    fn fit(&self, task: &Task<'_>, file: &mut ModelFile) -> Result<History>;

    /// Reads back what was learnt.
    fn load(&self, about: &About<'_>, file: &ModelFile) -> Result<Box<dyn Scorer>>;
}

/// What a learner is given.
pub struct Task<'a> {
    /// The columns it learns from, of rows that have a label.
    pub inputs: &'a RecordBatch,
    /// The place of each row's class.
    pub labels: &'a [u32],
    pub classes: &'a [String],
    pub options: &'a Options,
    /// The file of the model to start from.
    pub base: Option<&'a ModelFile>,
    pub watch: &'a dyn Watch,
}

/// What a model is of, when it is read back.
pub struct About<'a> {
    pub inputs: &'a Schema,
    pub classes: usize,
    pub options: &'a Options,
}

/// Says how probable the classes of rows are.
pub trait Scorer: Debug + Send + Sync {
    /// The classes' probabilities, row by row; NaN of a row that cannot be looked at. Those of a row depend on
    /// nothing but the row.
    fn probabilities(&self, inputs: &[ArrayRef], rows: usize) -> Result<Vec<f64>>;

    /// What DESCRIBE MODEL shows: item and value.
    fn describe(&self) -> Result<Vec<(String, String)>>;
}

/// How a column is taken as a feature.
fn feature(kind: &str, column: &Field) -> Result<Feature> {
    match Feature::of(column.data_type()) {
        Some(feature) => Ok(feature),
        None => {
            let name = column.name();
            plan_err!(
                "column {name} has type {}, which a {kind} cannot learn from: it takes numbers, text, booleans, dates and \
                 times. Write SELECT * EXCEPT ({name}) FROM ...",
                column.data_type()
            )
        }
    }
}

/// The same of all columns.
fn features(kind: &str, columns: &Schema) -> Result<Vec<Feature>> {
    let fields = columns.fields().iter();
    fields.map(|column| feature(kind, column)).collect()
}

#[cfg(test)]
mod tests;
