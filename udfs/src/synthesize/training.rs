//! The loop that every network is trained in: epochs of shuffled mini-batches, watched and cancellable.

use datafusion_common::{Result, exec_err};
use serde::{Deserialize, Serialize};

use super::{Watch, rng};

/// The mean losses of every epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// What the losses are of: `generator`, `discriminator`.
    pub names: Vec<String>,
    /// An epoch's losses, in the order of the names.
    pub epochs: Vec<Vec<f32>>,
    /// Seconds the training took. Not saved: it would make equal models differ.
    #[serde(skip)]
    pub seconds: f64,
}

/// How often and in which portions the rows are seen.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub rows: usize,
    pub batch_size: usize,
    pub epochs: usize,
    pub seed: u64,
}

/// A mini-batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Indices into the rows.
    pub rows: &'a [u32],
    /// Counts the mini-batches of the whole training; keys their noise.
    pub step: u64,
}

impl Schedule {
    /// A table too small for eight batches an epoch gets smaller batches, of a multiple of `unit` rows.
    pub fn new(rows: usize, batch_size: usize, unit: usize, epochs: usize, seed: u64) -> Self {
        let batch_size = batch_size
            .min(rows.div_ceil(8))
            .max(16)
            .next_multiple_of(unit);
        Self {
            rows,
            batch_size,
            epochs,
            seed,
        }
    }

    /// A rest that does not fill a batch is left to the next epoch's shuffle.
    pub fn steps_per_epoch(&self) -> usize {
        (self.rows / self.batch_size).max(1)
    }

    /// Calls `step` for every mini-batch; it trains on it and gives the losses.
    pub fn run<const LOSSES: usize>(
        &self,
        names: [&str; LOSSES],
        watch: &dyn Watch,
        mut step: impl FnMut(Batch<'_>) -> Result<[f32; LOSSES]>,
    ) -> Result<History> {
        let begin = std::time::Instant::now();
        let mut history = History {
            names: names.map(str::to_string).to_vec(),
            ..History::default()
        };
        let steps = self.steps_per_epoch();
        for epoch in 0..self.epochs {
            let mut order = rng::permutation(self.rows, self.seed, "epoch", epoch as u64);
            // Fewer rows than a batch holds: they are seen several times in it.
            let wanted = steps * self.batch_size;
            while order.len() < wanted {
                order.extend_from_within(..(wanted - order.len()).min(order.len()));
            }
            let mut sums = [0f64; LOSSES];
            for (i, rows) in order[..wanted].chunks_exact(self.batch_size).enumerate() {
                if watch.cancelled() {
                    return exec_err!("the training was cancelled in epoch {}", epoch + 1);
                }
                let losses = step(Batch {
                    rows,
                    step: (epoch * steps + i) as u64,
                })?;
                for ((name, loss), sum) in names.iter().zip(losses).zip(&mut sums) {
                    if !loss.is_finite() {
                        return exec_err!(
                            "the training came apart: the {name}'s loss is {loss} in epoch {}; \
                             lower the learning rates",
                            epoch + 1
                        );
                    }
                    *sum += f64::from(loss);
                }
            }
            let means = sums.map(|sum| (sum / steps as f64) as f32);
            history.epochs.push(means.to_vec());
            let detail: Vec<String> = names
                .iter()
                .zip(means)
                .map(|(name, mean)| format!("{name} {mean:.3}"))
                .collect();
            watch.epoch(epoch as u64 + 1, self.epochs as u64, &detail.join(", "));
        }
        history.seconds = begin.elapsed().as_secs_f64();
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::synthesize::Unwatched;

    fn schedule(rows: usize) -> Schedule {
        Schedule::new(rows, 64, 8, 3, 1)
    }

    #[test]
    fn every_batch_is_full_even_of_one_row() {
        for rows in [1, 5, 16, 17, 1000] {
            let schedule = schedule(rows);
            let mut steps = 0;
            let history = schedule
                .run(["loss"], &Unwatched, |batch| {
                    assert_eq!(batch.rows.len(), schedule.batch_size);
                    assert_eq!(batch.step, steps);
                    assert!(batch.rows.iter().all(|&row| (row as usize) < rows));
                    steps += 1;
                    Ok([1.0])
                })
                .unwrap();
            assert_eq!(history.epochs, vec![vec![1.0]; 3]);
        }
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_training() {
        let error = schedule(100)
            .run(["generator"], &Unwatched, |batch| {
                Ok([if batch.step == 9 { f32::NAN } else { 1.0 }])
            })
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("generator's loss is NaN in epoch 2"),
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
        let mut steps = 0;
        let result = schedule(1000).run(["loss"], &After(AtomicU64::new(0)), |_| {
            steps += 1;
            Ok([0.0])
        });
        assert!(result.unwrap_err().to_string().contains("cancelled"));
        assert_eq!(steps, 4);
    }
}
