//! The loop that every network is trained in: epochs of shuffled mini-batches, watched, judged and
//! cancellable.

use std::time::Instant;

use candle_core::{Device, Tensor};
use datafusion_common::{DataFusionError, Result, exec_err};
use serde::{Deserialize, Serialize};

use super::options::integer;
use super::{Accepts, ModelFile, OptionSpec, Options, Watch, rng, tensor_error};

/// What the last figure of every epoch is.
const DIFFERENCE: &str = "difference";

/// The mean losses of every epoch, and how far a sample was from the rows after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// What the figures are of: `generator`, `discriminator`, `difference`.
    pub names: Vec<String>,
    /// An epoch's figures, in the order of the names.
    pub epochs: Vec<Vec<f32>>,
    /// Seconds the training took. Not saved: it would make equal models differ.
    #[serde(skip)]
    pub seconds: f64,
}

impl History {
    /// Writes the figures into a model's file.
    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        let names = serde_json::to_string(&self.names)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        file.set_text("history_names", names);
        let losses: Vec<f32> = self.epochs.concat();
        let losses = Tensor::from_slice(&losses, losses.len(), &Device::Cpu);
        file.set_tensor("history", losses.map_err(tensor_error)?);
        Ok(())
    }

    /// Reads back what [`Self::save`] wrote.
    pub fn load(file: &ModelFile) -> Result<Self> {
        let losses = file.tensor("history")?.to_vec1::<f32>();
        let losses = losses.map_err(tensor_error)?;
        let names: Vec<String> = file.json("history_names")?;
        let epochs = losses.chunks(names.len().max(1));
        Ok(Self {
            epochs: epochs.map(<[f32]>::to_vec).collect(),
            names,
            seconds: 0.0,
        })
    }
}

/// When a training ends, and which of its weights the model gets.
#[derive(Debug, Clone, Copy)]
pub struct Stopping {
    /// Ends after so many epochs without a better sample; 0 never.
    pub patience: usize,
    /// Takes the weights of the epoch with the best sample, not the last.
    pub best: bool,
}

impl Stopping {
    pub fn options() -> Vec<OptionSpec> {
        vec![
            integer(
                "patience",
                0,
                0..=100_000,
                "ends after so many epochs without a better sample; 0 never ends early",
            ),
            OptionSpec {
                name: "keep",
                accepts: Accepts::Choice {
                    default: "best",
                    among: &["best", "last"],
                },
                help: "weights the model gets: of the epoch with the best sample, or the last's",
            },
        ]
    }

    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            patience: options.integer("patience")?,
            best: options.choice("keep")? == "best",
        })
    }
}

/// How often and in which portions the rows are seen.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub rows: usize,
    pub batch_size: usize,
    pub epochs: usize,
    pub seed: u64,
    pub stopping: Stopping,
    /// Epochs and mini-batches that an earlier training has done.
    pub done: Done,
}

/// How far a training has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub epochs: u64,
    pub steps: u64,
}

/// A mini-batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Indices into the rows.
    pub rows: &'a [u32],
    /// Counts the mini-batches of the whole training; keys their noise.
    pub step: u64,
}

/// What is trained.
pub trait Trainee {
    /// Rows that it draws, for a judge to look at.
    type Sample;

    /// What the losses are of.
    fn losses(&self) -> &'static [&'static str];

    /// Trains on a mini-batch, and gives the losses.
    fn step(&mut self, batch: Batch<'_>) -> Vec<f32>;

    /// Draws rows as the model would.
    fn draw(&mut self, rows: usize) -> Self::Sample;

    /// The present weights are those the model is to get, unless better ones come.
    fn keep(&mut self);
}

/// Who looks after every epoch at what is drawn.
pub trait Judge {
    type Sample;

    /// How many rows a sample should have.
    fn rows(&self) -> usize;

    /// How far a sample is from the rows that are learnt, 0 to 1.
    fn difference(&self, sample: &Self::Sample) -> f32;

    /// What of a sample is all the same although the rows are not, and what may help.
    fn collapsed(&self, sample: &Self::Sample) -> Option<String>;
}

impl Schedule {
    /// A table too small for eight batches an epoch gets smaller batches, of a multiple of `unit` rows.
    pub fn new(rows: usize, unit: usize, defaults: &Common, done: Done) -> Self {
        let batch_size = defaults
            .batch_size
            .min(rows.div_ceil(8))
            .max(16)
            .next_multiple_of(unit.max(1));
        Self {
            rows,
            batch_size,
            epochs: defaults.epochs,
            seed: defaults.seed,
            stopping: defaults.stopping,
            done,
        }
    }

    /// A rest that does not fill a batch is left to the next epoch's shuffle.
    pub fn steps_per_epoch(&self) -> usize {
        (self.rows / self.batch_size).max(1)
    }

    /// Trains for so many epochs. Gives the history, and how far the training has come.
    pub fn run<S>(
        &self,
        trainee: &mut dyn Trainee<Sample = S>,
        judge: &dyn Judge<Sample = S>,
        watch: &dyn Watch,
    ) -> Result<(History, Done)> {
        let begin = Instant::now();
        let losses = trainee.losses();
        let names = losses.iter().copied().chain([DIFFERENCE]);
        let mut history = History {
            names: names.map(str::to_string).collect(),
            ..History::default()
        };
        let mut done = self.done;
        let (mut best, mut since, mut collapsed) = (f32::INFINITY, 0, None);
        for epoch in 0..self.epochs {
            let mut step = |batch: Batch<'_>| trainee.step(batch);
            let mut figures = self.epoch(&mut step, losses, watch, &mut done)?;
            let sample = trainee.draw(judge.rows());
            let difference = judge.difference(&sample);
            figures.push(difference);
            since += 1;
            if difference < best || epoch == 0 {
                (best, since) = (difference, 0);
            }
            if since == 0 || !self.stopping.best {
                trainee.keep();
                collapsed = judge.collapsed(&sample);
            }
            watch.epoch(
                epoch as u64 + 1,
                self.epochs as u64,
                &detail(&history.names, &figures),
            );
            history.epochs.push(figures);
            if self.stopping.patience > 0 && since >= self.stopping.patience {
                break;
            }
        }
        if let Some(what) = collapsed {
            return exec_err!("the training collapsed: {what}");
        }
        history.seconds = begin.elapsed().as_secs_f64();
        Ok((history, done))
    }

    /// The mean losses of one epoch: `step` trains on a mini-batch, and gives its losses.
    pub fn epoch(
        &self,
        step: &mut dyn FnMut(Batch<'_>) -> Vec<f32>,
        names: &[&str],
        watch: &dyn Watch,
        done: &mut Done,
    ) -> Result<Vec<f32>> {
        let steps = self.steps_per_epoch();
        let mut order = rng::permutation(self.rows, self.seed, "epoch", done.epochs);
        // Fewer rows than a batch holds: they are seen several times in it.
        let wanted = steps * self.batch_size;
        while order.len() < wanted {
            order.extend_from_within(..(wanted - order.len()).min(order.len()));
        }
        done.epochs += 1;
        let mut sums = vec![0f64; names.len()];
        for rows in order[..wanted].chunks_exact(self.batch_size) {
            if watch.cancelled() {
                return exec_err!("the training was cancelled in epoch {}", done.epochs);
            }
            let losses = step(Batch {
                rows,
                step: done.steps,
            });
            done.steps += 1;
            for ((name, loss), sum) in names.iter().zip(losses).zip(&mut sums) {
                if !loss.is_finite() {
                    return exec_err!(
                        "the training came apart: the {name}'s loss is {loss} in epoch {}; \
                         lower the learning rates",
                        done.epochs
                    );
                }
                *sum += f64::from(loss);
            }
        }
        Ok(sums.iter().map(|sum| (sum / steps as f64) as f32).collect())
    }
}

/// `generator 0.120, discriminator -0.340, difference 8.1%`; the time left is the shell's to tell.
fn detail(names: &[String], figures: &[f32]) -> String {
    let items: Vec<String> = names
        .iter()
        .zip(figures)
        .map(|(name, figure)| match name.as_str() {
            DIFFERENCE => format!("{name} {:.1}%", 100.0 * figure),
            _ => format!("{name} {figure:.3}"),
        })
        .collect();
    items.join(", ")
}

/// What kinds differ in of the options that all have.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    pub epochs: i64,
    pub batch_size: i64,
}

/// The options of every kind that is trained in epochs.
#[derive(Debug, Clone)]
pub struct Common {
    pub epochs: usize,
    pub batch_size: usize,
    pub freeze: bool,
    pub seed: u64,
    pub stopping: Stopping,
}

impl Common {
    pub fn options(defaults: &Defaults) -> Vec<OptionSpec> {
        let mut specs = vec![
            integer(
                "epochs",
                defaults.epochs,
                1..=100_000,
                "passes over the rows",
            ),
            integer(
                "batch_size",
                defaults.batch_size,
                1..=100_000,
                "rows a mini-batch",
            ),
        ];
        specs.extend(Stopping::options());
        specs.extend([
            OptionSpec {
                name: "freeze",
                accepts: Accepts::Choice {
                    default: "none",
                    among: &["none", "trunk"],
                },
                help: "what a model started FROM another keeps as it is: trunk, the hidden layers of \
                       what draws rows",
            },
            integer("seed", 0, 0..=i64::MAX, "same seed, same data: same model"),
        ]);
        specs
    }

    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            epochs: options.integer("epochs")?,
            batch_size: options.integer("batch_size")?,
            freeze: options.choice("freeze")? == "trunk",
            seed: options.word("seed")?,
            stopping: Stopping::new(options)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::synthesize::codec::{self, Codec, Encoded, EncodedColumn};
    use crate::synthesize::quality::Differences;
    use crate::synthesize::{Data, Unwatched};

    /// Calls a function for every mini-batch, and draws what it is told to.
    struct Steps<F> {
        step: F,
        drawn: Vec<Vec<u32>>,
        kept: usize,
        epochs: usize,
    }

    impl<F: FnMut(Batch<'_>) -> f32> Trainee for Steps<F> {
        type Sample = Encoded;

        fn losses(&self) -> &'static [&'static str] {
            &["loss"]
        }

        fn step(&mut self, batch: Batch<'_>) -> Vec<f32> {
            vec![(self.step)(batch)]
        }

        fn draw(&mut self, rows: usize) -> Encoded {
            let states = &self.drawn[self.epochs.min(self.drawn.len() - 1)];
            self.epochs += 1;
            let states = states.iter().copied().cycle().take(rows).collect();
            let values = Vec::new();
            Encoded {
                columns: vec![EncodedColumn { states, values }],
            }
        }

        fn keep(&mut self) {
            self.kept = self.epochs;
        }
    }

    fn steps<F: FnMut(Batch<'_>) -> f32>(step: F) -> Steps<F> {
        Steps {
            step,
            drawn: vec![vec![0, 1]],
            kept: 0,
            epochs: 0,
        }
    }

    fn judge() -> Differences {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100).map(|i| i % 2)));
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let options = Options::parse("test", &codec::options(), &[]).unwrap();
        let data = Data::new(&batch.schema(), &[batch]).unwrap();
        let codec = Codec::fit(&data, &options).unwrap();
        let encoded = codec.encode(data.rows(), 0).unwrap();
        Differences::new(&codec, &encoded, 100)
    }

    fn schedule(rows: usize, epochs: usize, patience: usize) -> Schedule {
        let common = Common {
            epochs,
            batch_size: 64,
            freeze: false,
            seed: 1,
            stopping: Stopping {
                patience,
                best: true,
            },
        };
        Schedule::new(rows, 8, &common, Done::default())
    }

    #[test]
    fn every_batch_is_full_even_of_one_row() {
        for rows in [1, 5, 16, 17, 1000] {
            let schedule = schedule(rows, 3, 0);
            let mut count = 0;
            let mut trainee = steps(|batch| {
                assert_eq!(batch.rows.len(), schedule.batch_size);
                assert_eq!(batch.step, count);
                assert!(batch.rows.iter().all(|&row| (row as usize) < rows));
                count += 1;
                1.0
            });
            let (history, done) = schedule.run(&mut trainee, &judge(), &Unwatched).unwrap();
            assert_eq!(history.names, ["loss", "difference"]);
            assert_eq!(history.epochs, vec![vec![1.0, 0.0]; 3]);
            assert_eq!(done.epochs, 3);
            assert_eq!(done.steps, count);
        }
    }

    #[test]
    fn the_best_weights_are_kept_and_patience_ends() {
        let mut trainee = steps(|_| 1.0);
        trainee.drawn = vec![vec![0, 0, 0, 1], vec![0, 1], vec![0, 0, 1]];
        let result = schedule(100, 50, 5).run(&mut trainee, &judge(), &Unwatched);
        let (history, _) = result.unwrap();
        assert_eq!(trainee.kept, 2);
        assert_eq!(history.epochs.len(), 7);
        assert!(history.epochs[0][1] > 0.2 && history.epochs[1][1] < 0.01);
    }

    #[test]
    fn a_sample_of_one_value_is_no_model() {
        let mut trainee = steps(|_| 1.0);
        trainee.drawn = vec![vec![1]];
        let result = schedule(100, 2, 0).run(&mut trainee, &judge(), &Unwatched);
        let error = result.unwrap_err().to_string();
        assert!(error.contains("collapsed: column x"), "{error}");
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_training() {
        let mut trainee = steps(|batch| if batch.step == 9 { f32::NAN } else { 1.0 });
        let result = schedule(100, 3, 0).run(&mut trainee, &judge(), &Unwatched);
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("the loss's loss is NaN in epoch 2"),
            "{error}"
        );
    }

    #[test]
    fn cancelling_stops_at_the_next_batch() {
        struct After(AtomicU64);
        impl Watch for After {
            fn epoch(&self, _: u64, _: u64, _: &str) {}
            fn cancelled(&self) -> bool {
                self.0.fetch_add(1, Ordering::Relaxed) >= 4
            }
        }
        let mut count = 0;
        let mut trainee = steps(|_| {
            count += 1;
            0.0
        });
        let watch = After(AtomicU64::new(0));
        let result = schedule(1000, 3, 0).run(&mut trainee, &judge(), &watch);
        assert!(result.unwrap_err().to_string().contains("cancelled"));
        assert_eq!(count, 4);
    }

    #[test]
    fn the_figures_are_told() {
        let names = ["generator".to_string(), DIFFERENCE.to_string()];
        assert_eq!(
            detail(&names, &[0.5, 0.081]),
            "generator 0.500, difference 8.1%"
        );
    }
}
