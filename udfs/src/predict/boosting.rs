//! `boosting`: gradient-boosted trees over histograms, with XGBoost's defaults.

use std::cell::Cell;

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};

use super::features::Features;
use super::{About, Learner, Scorer, Task, features};
use crate::learn::boosting::{Boosted, Objective, Settings, pool};
use crate::synthesize::{History, ModelFile, OptionSpec, integer, number};

/// Categories of a column that trees tell apart; the others together are one more.
const MOST_CATEGORIES: usize = 254;

/// The kind `boosting`.
#[derive(Debug)]
pub struct Boosting;

impl Learner for Boosting {
    const NAME: &'static str = "boosting";
    const SUMMARY: &'static str =
        "gradient-boosted trees over histograms, as XGBoost's hist, for tables; predicts a label";

    fn options(&self) -> Vec<OptionSpec> {
        vec![
            integer("rounds", 100, 1..=100_000, "trees, of each class"),
            integer("depth", 6, 1..=16, "splits from the root to a leaf at most"),
            number(
                "learning_rate",
                0.3,
                1e-6..=1.0,
                "how much of a tree's answer is taken",
            ),
            number("l2", 1.0, 0.0..=1e9, "the penalty of a leaf's square"),
            number(
                "min_child_weight",
                1.0,
                0.0..=1e9,
                "the least sum of second derivatives of a leaf",
            ),
        ]
    }

    fn fit(&self, task: &Task<'_>, file: &mut ModelFile) -> Result<History> {
        let taken = features(Self::NAME, &task.inputs.schema())?;
        let columns = task.inputs.columns();
        let fitted = Features::fit(columns.iter().zip(&taken), MOST_CATEGORIES)?;
        let options = task.options;
        let settings = Settings {
            rounds: options.integer("rounds")?,
            depth: options.integer("depth")?,
            rate: options.number("learning_rate")?,
            penalty: options.number("l2")?,
            least_weight: options.number("min_child_weight")?,
        };
        let target: Vec<f64> = task.labels.iter().map(|class| f64::from(*class)).collect();
        let rounds = Cell::new(0);
        let round = || {
            if task.watch.cancelled() {
                return exec_err!("the training was cancelled in round {}", rounds.get() + 1);
            }
            if rounds.get() > 0 {
                task.watch
                    .epoch(rounds.get(), settings.rounds as u64, "trees");
            }
            rounds.set(rounds.get() + 1);
            Ok(())
        };
        let trees = Boosted::fit(
            &fitted.columns(columns)?,
            &target,
            objective(task.classes.len()),
            &settings,
            &pool(rayon::current_num_threads())?,
            &round,
        )?;
        fitted.save(file)?;
        trees.save(file)?;
        Ok(History::default())
    }

    fn load(&self, about: &About<'_>, file: &ModelFile) -> Result<Box<dyn Scorer>> {
        let names = about.inputs.fields().iter().map(|f| f.name().clone());
        let columns = about.inputs.fields().len();
        Ok(Box::new(Trees {
            names: names.collect(),
            features: Features::load(&features(Self::NAME, about.inputs)?, file)?,
            trees: Boosted::load(objective(about.classes), columns, file)?,
            classes: about.classes,
        }))
    }
}

fn objective(classes: usize) -> Objective {
    match classes {
        2 => Objective::Logistic,
        many => Objective::Softmax(many),
    }
}

/// Learnt trees.
#[derive(Debug)]
struct Trees {
    names: Vec<String>,
    features: Features,
    trees: Boosted,
    classes: usize,
}

impl Scorer for Trees {
    fn probabilities(&self, inputs: &[ArrayRef], _: usize) -> Result<Vec<f64>> {
        let told = self.trees.told(&self.features.columns(inputs)?);
        Ok(match self.classes {
            2 => told.into_iter().flat_map(|p| [1.0 - p, p]).collect(),
            _ => told,
        })
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        let mut items = vec![("trees".to_string(), self.trees.trees().to_string())];
        items.extend(self.features.describe(&self.names)?);
        Ok(items)
    }
}
