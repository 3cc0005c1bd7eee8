//! `mlp`: a multi-layer perceptron with ReLU, trained by Adam, as scikit-learn's `MLPClassifier` with early stopping.

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};
use rayon::prelude::*;

use super::features::{Features, MOST_CATEGORIES};
use super::network::{Network, Training, cross_entropy};
use super::{About, Learner, Scorer, Task, features};
use crate::learn::logistic::{Design, softmax};
use crate::synthesize::layers::{
    Axis, Matrix, Mlp, MlpShape, Network as Parameters, Statistics, Tape,
};
use crate::synthesize::optim::{Adam, AdamConfig};
use crate::synthesize::{History, ModelFile, OptionSpec, widths};

/// The most numbers that a network may have.
const MOST_PARAMETERS: usize = 100_000_000;
/// Standardised numbers beyond this are as good as infinite, which no network bears.
const MOST: f64 = 1e6;
/// Rows that are worth another core.
const ROWS: usize = 64;

/// The kind `mlp`.
#[derive(Debug)]
pub struct Perceptron;

impl Learner for Perceptron {
    const NAME: &'static str = "mlp";
    const SUMMARY: &'static str =
        "a multi-layer perceptron with early stopping, for tables; predicts a label";

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = vec![widths(
            "hidden",
            &[100],
            "the widths of the hidden layers, as [100, 50]",
        )];
        specs.extend(Training::options(200, 200, 0.1));
        specs
    }

    fn fit(&self, task: &Task<'_>, file: &mut ModelFile) -> Result<History> {
        let taken = features(Self::NAME, &task.inputs.schema())?;
        let columns = task.inputs.columns();
        let fitted = Features::fit(columns.iter().zip(&taken), MOST_CATEGORIES)?;
        let training = Training::new(task.options)?;
        let hidden = task.options.integers("hidden")?;
        let shape = shape(fitted.width(), &hidden, task.classes.len());
        if shape.count() > MOST_PARAMETERS {
            return exec_err!(
                "the network would have {} weights, more than the {MOST_PARAMETERS} allowed: write narrower layers",
                shape.count()
            );
        }
        let design = fitted.design(columns)?;
        // Weights, the best so far, gradients and two moments.
        task.watch.reserve(20 * shape.count() + design.bytes())?;
        let network = Mlp::new(&shape, training.seed);
        let mut trained = Trained {
            design: &design,
            labels: task.labels,
            adam: Adam::new(AdamConfig {
                learning_rate: training.learning_rate,
                beta1: 0.9,
                beta2: 0.999,
                l2: training.l2,
                ..AdamConfig::default()
            }),
            kept: network.clone(),
            network,
            tape: Tape::default(),
            scores: Matrix::default(),
        };
        let history = training.run(task.labels.len(), task.watch, &mut trained)?;
        fitted.save(file)?;
        trained.kept.save("", file)?;
        Ok(history)
    }

    fn load(&self, about: &About<'_>, file: &ModelFile) -> Result<Box<dyn Scorer>> {
        let features = Features::load(&features(Self::NAME, about.inputs)?, file)?;
        let hidden = about.options.integers("hidden")?;
        let mut network = Mlp::new(&shape(features.width(), &hidden, about.classes), 0);
        network.restore("", file)?;
        let names = about.inputs.fields().iter().map(|f| f.name().clone());
        Ok(Box::new(Learnt {
            names: names.collect(),
            features,
            network,
            classes: about.classes,
        }))
    }
}

fn shape(inputs: usize, hidden: &[usize], classes: usize) -> MlpShape<'_> {
    MlpShape {
        name: "mlp",
        inputs: (inputs, Axis::Units),
        hidden,
        outputs: (classes, Axis::Units),
        conditions: 0,
        norm: false,
        residual: false,
    }
}

/// A row of a design, all its features as numbers.
fn write(design: &Design, row: usize, cells: &mut [f32]) {
    cells.fill(0.0);
    for (cell, x) in cells.iter_mut().zip(design.numbers(row)) {
        *cell = x.clamp(-MOST, MOST) as f32;
    }
    for feature in design.codes(row) {
        cells[feature] = 1.0;
    }
}

/// A network while it is trained.
struct Trained<'a> {
    design: &'a Design,
    labels: &'a [u32],
    network: Mlp,
    kept: Mlp,
    adam: Adam,
    tape: Tape,
    scores: Matrix,
}

impl Trained<'_> {
    /// The mean loss of rows; its gradient is left in the scores.
    fn forward(&mut self, rows: &[u32]) -> f32 {
        let features = self.design.features;
        let (cells, stride) = self.tape.input(&self.network, rows.len());
        for (cells, row) in cells.chunks_exact_mut(stride).zip(rows) {
            write(self.design, *row as usize, &mut cells[..features]);
        }
        self.network.forward(&mut self.tape, &[], Statistics::Batch);
        self.scores.reshape(rows.len(), self.tape.output.columns());
        self.scores
            .cells_mut()
            .copy_from_slice(self.tape.output.cells());
        let labels = rows.iter().map(|row| self.labels[*row as usize]);
        cross_entropy(&mut self.scores, labels)
    }
}

impl Network for Trained<'_> {
    fn step(&mut self, rows: &[u32], _: u64) -> f32 {
        let loss = self.forward(rows);
        self.network
            .backward(&mut self.tape, &[], &self.scores, false);
        self.adam.step(&mut self.network);
        loss
    }

    fn loss(&mut self, rows: &[u32]) -> f32 {
        let mut sum = 0.0;
        for rows in rows.chunks(1024) {
            sum += self.forward(rows) * rows.len() as f32;
        }
        sum / rows.len().max(1) as f32
    }

    fn keep(&mut self) {
        self.kept.clone_from(&self.network);
    }
}

/// A learnt network.
#[derive(Debug)]
struct Learnt {
    names: Vec<String>,
    features: Features,
    network: Mlp,
    classes: usize,
}

impl Scorer for Learnt {
    fn probabilities(&self, inputs: &[ArrayRef], rows: usize) -> Result<Vec<f64>> {
        let design = self.features.design(inputs)?;
        let mut told = vec![0.0; rows * self.classes];
        let room = || {
            let (cells, scores) = (vec![0.0; design.features], vec![0.0; self.classes]);
            (cells, Vec::new(), scores)
        };
        told.par_chunks_exact_mut(self.classes)
            .enumerate()
            .with_min_len(ROWS)
            .for_each_init(room, |(cells, room, scores), (row, told)| {
                write(&design, row, cells);
                self.network.row(cells, room, scores);
                for (told, score) in told.iter_mut().zip(scores.iter()) {
                    *told = f64::from(*score);
                }
                softmax(told);
            });
        Ok(told)
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        let count = self.network.count().to_string();
        let mut items = vec![("parameters".to_string(), count)];
        items.extend(self.features.describe(&self.names)?);
        Ok(items)
    }
}
