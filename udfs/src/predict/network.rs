//! How networks that predict are trained: mini-batches of some rows, and early stopping by the loss on the others.

use std::time::Instant;

use datafusion_common::Result;

use crate::synthesize::layers::{Matrix, math};
use crate::synthesize::training::{Batch, Done, Schedule, Stopping};
use crate::synthesize::{History, OptionSpec, Options, Watch, integer, number, rng};

/// Of fewer rows none are held out: too few to tell one epoch from another by.
const LEAST_ROWS: usize = 200;

/// The options of every network.
#[derive(Debug, Clone, Copy)]
pub struct Training {
    epochs: usize,
    batch_size: usize,
    patience: usize,
    holdout: f64,
    pub learning_rate: f64,
    pub l2: f64,
    pub seed: u64,
}

/// What is trained.
pub trait Network {
    /// Trains on rows; the loss before the step, their mean. The key is the step's.
    fn step(&mut self, rows: &[u32], key: u64) -> f32;

    /// The mean loss on rows.
    fn loss(&mut self, rows: &[u32]) -> f32;

    /// The present weights are those the model is to get, unless better ones come.
    fn keep(&mut self);
}

impl Training {
    /// What can stand in OPTIONS: kinds differ in how long they train, and whether they can spare rows.
    pub fn options(epochs: i64, batch_size: i64, holdout: f64) -> Vec<OptionSpec> {
        vec![
            integer(
                "epochs",
                epochs,
                1..=100_000,
                "passes over the rows at most",
            ),
            integer("batch_size", batch_size, 1..=100_000, "rows a mini-batch"),
            number("learning_rate", 1e-3, 1e-7..=10.0, "Adam's"),
            number("l2", 1e-4, 0.0..=100.0, "pulls weights towards 0"),
            number(
                "holdout",
                holdout,
                0.0..=0.5,
                "the share of rows that are not trained on, to stop by their loss; of fewer than 200 rows none are held \
                 out, and all epochs are trained",
            ),
            integer(
                "patience",
                10,
                0..=100_000,
                "ends after so many epochs without a lower loss of the rows held out, and takes the best epoch's weights; \
                 0 never ends early",
            ),
        ]
    }

    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            epochs: options.integer("epochs")?,
            batch_size: options.integer("batch_size")?,
            patience: options.integer("patience")?,
            holdout: options.number("holdout")?,
            learning_rate: options.number("learning_rate")?,
            l2: options.number("l2")?,
            seed: options.word("seed")?,
        })
    }

    /// Trains a network on so many rows.
    pub fn run(
        &self,
        rows: usize,
        watch: &dyn Watch,
        network: &mut dyn Network,
    ) -> Result<History> {
        let begin = Instant::now();
        let held = match rows < LEAST_ROWS {
            true => 0,
            false => (rows as f64 * self.holdout) as usize,
        };
        let mut train = rng::permutation(rows, self.seed, "held out", 0);
        let held = train.split_off(rows - held);
        let names: &[&str] = match held.is_empty() {
            true => &["training"],
            false => &["training", "held-out"],
        };
        let schedule = Schedule {
            rows: train.len(),
            batch_size: self.batch_size.min(train.len().div_ceil(8)).max(16),
            epochs: self.epochs,
            seed: self.seed,
            stopping: Stopping {
                patience: self.patience,
                best: true,
            },
            done: Done::default(),
        };
        let mut history = History {
            names: names.iter().map(|name| name.to_string()).collect(),
            ..History::default()
        };
        let mut done = Done::default();
        let (mut best, mut since) = (f32::INFINITY, 0);
        let mut chosen = Vec::new();
        for epoch in 0..self.epochs {
            let mut step = |batch: Batch<'_>| {
                chosen.clear();
                chosen.extend(batch.rows.iter().map(|row| train[*row as usize]));
                vec![network.step(&chosen, rng::key(self.seed, batch.step))]
            };
            let mut figures = schedule.epoch(&mut step, &names[..1], watch, &mut done)?;
            if !held.is_empty() {
                figures.push(network.loss(&held));
            }
            let figure = figures[figures.len() - 1];
            since += 1;
            // Of rows that are trained on a lower loss tells nothing: the last weights are taken.
            if held.is_empty() || figure < best || epoch == 0 {
                (best, since) = (figure, 0);
                network.keep();
            }
            let told: Vec<String> = names
                .iter()
                .zip(&figures)
                .map(|(name, figure)| format!("{name} loss {figure:.4}"))
                .collect();
            watch.epoch(epoch as u64 + 1, self.epochs as u64, &told.join(", "));
            history.epochs.push(figures);
            if self.patience > 0 && since >= self.patience {
                break;
            }
        }
        history.seconds = begin.elapsed().as_secs_f64();
        Ok(history)
    }
}

/// The mean of the rows' losses, -ln of the probability of their class; the scores become the loss's gradient.
pub fn cross_entropy(scores: &mut Matrix, labels: impl Iterator<Item = u32>) -> f32 {
    let (rows, classes) = (scores.rows(), scores.columns());
    let share = 1.0 / rows.max(1) as f32;
    let mut loss = 0.0;
    for (scores, label) in scores.cells_mut().chunks_exact_mut(classes).zip(labels) {
        math::softmax(scores);
        let own = &mut scores[label as usize];
        loss -= math::ln(own.max(1e-30));
        *own -= 1.0;
        scores.iter_mut().for_each(|score| *score *= share);
    }
    share * loss
}
