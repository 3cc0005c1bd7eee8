//! `logistic`: multinomial logistic regression with an L2 penalty, as scikit-learn's `LogisticRegression`.

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};
use rayon::prelude::*;

use super::features::{Features, MOST_CATEGORIES};
use super::{About, Learner, Scorer, Task, features};
use crate::learn::logistic::{self, Design, Settings};
use crate::synthesize::{History, ModelFile, OptionSpec, integer, number};

/// Rows that are worth another core.
const ROWS: usize = 512;

/// The kind `logistic`.
#[derive(Debug)]
pub struct Logistic;

impl Learner for Logistic {
    const NAME: &'static str = "logistic";
    const SUMMARY: &'static str = "logistic regression with an L2 penalty, for tables; predicts a label of two or more classes";

    fn options(&self) -> Vec<OptionSpec> {
        vec![
            number(
                "c",
                1.0,
                1e-9..=1e9,
                "the inverse of the penalty: small values keep the model simple",
            ),
            integer(
                "steps",
                1000,
                1..=1_000_000,
                "steps of L-BFGS at most; it ends where the loss is lowest",
            ),
        ]
    }

    fn fit(&self, task: &Task<'_>, file: &mut ModelFile) -> Result<History> {
        let taken = features(Self::NAME, &task.inputs.schema())?;
        let columns = task.inputs.columns();
        let fitted = Features::fit(columns.iter().zip(&taken), MOST_CATEGORIES)?;
        let design = fitted.design(columns)?;
        let settings = Settings {
            penalty: 1.0 / task.options.number("c")?,
            most_steps: task.options.integer("steps")?,
            ..Settings::default()
        };
        let rows: Vec<u32> = (0..design.rows as u32).collect();
        let stop = || match task.watch.cancelled() {
            true => exec_err!("the training was cancelled"),
            false => Ok(()),
        };
        let classes = task.classes.len();
        let learnt =
            logistic::Logistic::fit(&design, &rows, task.labels, classes, &settings, &stop)?;
        fitted.save(file)?;
        file.set_numbers("weights", learnt.weights())?;
        Ok(History::default())
    }

    fn load(&self, about: &About<'_>, file: &ModelFile) -> Result<Box<dyn Scorer>> {
        let features = Features::load(&features(Self::NAME, about.inputs)?, file)?;
        let weights = file.numbers("weights")?;
        let Some(model) = logistic::Logistic::new(about.classes, features.width(), weights) else {
            return exec_err!("the model file is damaged: weights");
        };
        let names = about.inputs.fields().iter().map(|f| f.name().clone());
        Ok(Box::new(Linear {
            names: names.collect(),
            features,
            model,
            classes: about.classes,
        }))
    }
}

/// A learnt model.
#[derive(Debug)]
struct Linear {
    names: Vec<String>,
    features: Features,
    model: logistic::Logistic,
    classes: usize,
}

impl Scorer for Linear {
    fn probabilities(&self, inputs: &[ArrayRef], rows: usize) -> Result<Vec<f64>> {
        let design: Design = self.features.design(inputs)?;
        let mut told = vec![0.0; rows * self.classes];
        told.par_chunks_exact_mut(self.classes)
            .enumerate()
            .with_min_len(ROWS)
            .for_each(|(row, told)| self.model.predict(&design, row, told));
        Ok(told)
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        self.features.describe(&self.names)
    }
}
