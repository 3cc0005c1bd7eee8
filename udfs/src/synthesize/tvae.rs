//! `tvae`: the variational autoencoder for tables (Xu et al., 2019).
//!
//! The encoder turns a row into a normal distribution of a code, mean and logarithm of the variance; the
//! decoder turns a code into a row: a normal distribution for each value, of a spread that is learnt a
//! column, and a categorical one for each column's states. Both: (Linear, ReLU) a layer, then Linear. The
//! loss is the evidence lower bound, the reconstruction counted `loss_factor` times:
//! `factor E -log p(x | code) + KL(code | standard normal)`. Rows are drawn by decoding standard normals.
//! A value counts where the row's state carries one; NULLs are states of their column.

use datafusion_common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use super::codec::Encoded;
use super::layers::math::{exp, ln, softmax};
use super::layers::{
    Axis, Heads, Init, Matrix, Mlp, MlpShape, Network, Parameter, Statistics, Tape,
};
use super::neural::{NeuralKind, Task};
use super::optim::{Adam, AdamConfig};
use super::options::{integer, number, widths};
use super::quality::Differences;
use super::trained::{Start, Trained};
use super::training::{self, Batch, Common, History, Schedule, Trainee};
use super::{ModelFile, OptionSpec, Options, rng};

/// The paper's, and its authors' program's.
const DEFAULTS: training::Defaults = training::Defaults {
    epochs: 300,
    batch_size: 500,
};
const EMBEDDING: i64 = 128;
const WIDTHS: &[i64] = &[128, 128];
const RATE: f64 = 1e-3;
const L2: f64 = 1e-5;
const LOSS_FACTOR: f64 = 2.0;

/// Every value's spread at the start, and what it stays within.
const FIRST_SPREAD: f32 = 0.1;
const LEAST_SPREAD: f32 = 0.01;
const MOST_SPREAD: f32 = 1.0;

/// The logarithm of a code's variance stays within plus or minus this, so that none is infinite.
const MOST_LOG_VARIANCE: f32 = 20.0;

/// The kind `tvae`.
#[derive(Debug, Clone, Copy)]
pub struct TvaeKind;

/// The settings, by the names of the options.
#[derive(Debug, Clone)]
struct Config {
    embedding: usize,
    encoder: Vec<usize>,
    decoder: Vec<usize>,
    adam: AdamConfig,
    loss_factor: f32,
}

impl Config {
    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            embedding: options.integer("embedding")?,
            encoder: options.integers("encoder")?,
            decoder: options.integers("decoder")?,
            adam: AdamConfig {
                learning_rate: options.number("rate")?,
                beta1: 0.9,
                beta2: 0.999,
                l2: options.number("l2")?,
                ..AdamConfig::default()
            },
            loss_factor: options.number("loss_factor")? as f32,
        })
    }

    fn shapes(&self, cells: usize) -> [MlpShape<'_>; 2] {
        let shape = |name, inputs, hidden, outputs| MlpShape {
            name,
            inputs,
            hidden,
            outputs,
            conditions: 0,
            norm: false,
            residual: false,
        };
        let code = (self.embedding, Axis::Units);
        let moments = (2 * self.embedding, Axis::Units);
        let row = (cells, Axis::Cells);
        [
            shape("encoder", row, &self.encoder, moments),
            shape("decoder", code, &self.decoder, row),
        ]
    }
}

impl NeuralKind for TvaeKind {
    const NAME: &'static str = "tvae";
    const SUMMARY: &'static str = "variational autoencoder for tables";

    fn own_options(&self) -> Vec<OptionSpec> {
        let mut specs = Common::options(&DEFAULTS);
        specs.extend([
            integer("embedding", EMBEDDING, 1..=4096, "width of a row's code"),
            widths("encoder", WIDTHS, "widths of the encoder's hidden layers"),
            widths("decoder", WIDTHS, "widths of the decoder's hidden layers"),
            number("rate", RATE, 1e-8..=1.0, "Adam's learning rate"),
            number("l2", L2, 0.0..=1.0, "weight decay"),
            number(
                "loss_factor",
                LOSS_FACTOR,
                1e-3..=1e3,
                "weight of the reconstruction against the code's distribution",
            ),
        ]);
        specs
    }

    /// Mode-specific normalisation.
    fn form(&self) -> &'static str {
        "gmm"
    }

    fn architecture(&self) -> &'static [&'static str] {
        &["embedding", "encoder", "decoder"]
    }

    fn generator(&self, options: &Options, heads: &Heads, _: usize) -> Result<(Mlp, usize)> {
        let config = Config::new(options)?;
        let [_, decoder] = config.shapes(heads.width());
        Ok((Mlp::new(&decoder, 0), config.embedding))
    }

    fn fit(&self, task: Task<'_>) -> Result<Trained> {
        let config = Config::new(task.options)?;
        let cells = task.heads.width();
        let [encoder, decoder] = config.shapes(cells);
        task.check_size(encoder.count() + decoder.count())?;
        let seed = task.common.seed;
        let mut coder = Autoencoder {
            config: &config,
            heads: task.heads,
            encoded: task.encoded,
            seed,
            networks: Networks {
                encoder: Mlp::new(&encoder, seed),
                decoder: Mlp::new(&decoder, seed),
                spread: spread(task.heads.values()),
            },
            adam: Adam::new(config.adam),
            kept: None,
            buffers: Buffers::default(),
        };
        task.start
            .begin(&mut coder.networks, "training.", "training.")?;
        if let Start::Transfer { .. } = task.start {
            // The decoder that the other model draws with, which may not be its last.
            task.start.begin(&mut coder.networks.decoder, "", "")?;
        }
        if task.common.freeze {
            coder.networks.decoder.freeze_hidden();
        }
        if let Start::Resume { file, .. } = &task.start {
            let steps: Steps = file.json("steps")?;
            coder.adam.steps = steps.adam;
        }
        let schedule = Schedule::new(task.rows, 1, task.common, task.start.done());
        // A table of constants leaves the networks nothing to learn.
        let (history, done) = match cells {
            0 => (History::default(), task.start.done()),
            _ => {
                let judge = Differences::new(task.codec, task.encoded, task.rows);
                schedule.run(&mut coder, &judge, task.watch)?
            }
        };
        Ok(Trained {
            file: coder.finish()?,
            history,
            done,
        })
    }
}

fn spread(values: usize) -> Parameter {
    let axes = [Axis::Units, Axis::Cells];
    let init = Init::Constant(FIRST_SPREAD);
    Parameter::fresh("spread".to_string(), [1, values], axes, init, 0)
}

/// What goes on where a training is resumed, beside weights.
#[derive(Debug, Serialize, Deserialize)]
struct Steps {
    adam: u64,
}

/// All that is learnt.
#[derive(Debug, Clone)]
struct Networks {
    encoder: Mlp,
    decoder: Mlp,
    /// What each value varies by.
    spread: Parameter,
}

impl Network for Networks {
    fn parameters(&self) -> Vec<&Parameter> {
        let mut all = self.encoder.parameters();
        all.extend(self.decoder.parameters());
        all.push(&self.spread);
        all
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let mut all = self.encoder.parameters_mut();
        all.extend(self.decoder.parameters_mut());
        all.push(&mut self.spread);
        all
    }
}

/// The networks while they are trained.
#[derive(Debug)]
struct Autoencoder<'a> {
    config: &'a Config,
    heads: &'a Heads,
    encoded: &'a Encoded,
    seed: u64,
    networks: Networks,
    adam: Adam,
    /// The decoder the model gets, with its spread.
    kept: Option<(Mlp, Parameter)>,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Buffers {
    encoder: Tape,
    decoder: Tape,
    cells: Vec<f32>,
    noise: Vec<f32>,
    moments: Matrix,
    gradient: Matrix,
}

impl Autoencoder<'_> {
    /// The losses of a batch, reconstruction and divergence, with their gradients left in the networks.
    fn losses_of(&mut self, rows: &[u32], key: u64) -> [f32; 2] {
        let Buffers {
            encoder,
            decoder,
            cells,
            noise,
            moments,
            gradient,
        } = &mut self.buffers;
        let (count, width) = (rows.len(), self.heads.width());
        let embedding = self.config.embedding;
        let networks = &mut self.networks;
        cells.resize(count * width, 0.0);
        self.heads.write(self.encoded, rows, cells);
        let (input, stride) = encoder.input(&networks.encoder, count);
        let inputs = input.chunks_exact_mut(stride);
        for (input, cells) in inputs.zip(cells.chunks_exact(width)) {
            input[..width].copy_from_slice(cells);
        }
        networks.encoder.forward(encoder, &[], Statistics::Batch);
        // A code is its mean plus its deviation times noise: differentiable by both.
        noise.resize(count * embedding, 0.0);
        let mut stream = rng::stream(key, "code", 0);
        noise.fill_with(|| rng::normal(&mut stream));
        let (codes, stride) = decoder.input(&networks.decoder, count);
        let codes = codes.chunks_exact_mut(stride);
        let coded = encoder.output.cells().chunks_exact(2 * embedding);
        for ((code, coded), noise) in codes.zip(coded).zip(noise.chunks_exact(embedding)) {
            for i in 0..embedding {
                code[i] = coded[i] + deviation(coded[embedding + i]) * noise[i];
            }
        }
        networks.decoder.forward(decoder, &[], Statistics::Batch);
        let reconstruction = reconstruct(
            self.heads,
            &decoder.output,
            cells,
            &mut networks.spread,
            self.config.loss_factor,
            gradient,
        );
        networks.decoder.backward(decoder, &[], gradient, true);
        moments.reshape(count, 2 * embedding);
        let share = 1.0 / count.max(1) as f32;
        let mut divergence = 0.0;
        let by_code = decoder.input_gradients();
        let rows = moments.cells_mut().chunks_exact_mut(2 * embedding);
        let coded = encoder.output.cells().chunks_exact(2 * embedding);
        for (i, ((out, coded), by_code)) in rows.zip(coded).zip(by_code).enumerate() {
            let noise = &noise[i * embedding..(i + 1) * embedding];
            for j in 0..embedding {
                let (mean, log_variance) = (coded[j], bounded(coded[embedding + j]));
                let variance = exp(log_variance);
                divergence += 0.5 * (mean * mean + variance - 1.0 - log_variance);
                out[j] = by_code[j] + share * mean;
                let through = by_code[j] * noise[j] * 0.5 * deviation(log_variance);
                let inside = coded[embedding + j].abs() < MOST_LOG_VARIANCE;
                out[embedding + j] = match inside {
                    true => through + 0.5 * share * (variance - 1.0),
                    false => 0.0,
                };
            }
        }
        networks.encoder.backward(encoder, &[], moments, false);
        [reconstruction, share * divergence]
    }

    fn finish(self) -> Result<ModelFile> {
        let mut file = ModelFile::default();
        let kept = self.kept;
        let (decoder, spread) =
            kept.unwrap_or_else(|| (self.networks.decoder.clone(), self.networks.spread.clone()));
        decoder.save("", &mut file)?;
        Spread(spread).save("", &mut file)?;
        self.networks.save("training.", &mut file)?;
        self.networks.save_moments("training.", &mut file)?;
        let steps = serde_json::to_string(&Steps {
            adam: self.adam.steps,
        });
        let steps = steps.map_err(|error| DataFusionError::External(Box::new(error)))?;
        file.set_text("steps", steps);
        Ok(file)
    }
}

/// The spread alone, to be saved.
struct Spread(Parameter);

impl Network for Spread {
    fn parameters(&self) -> Vec<&Parameter> {
        vec![&self.0]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        vec![&mut self.0]
    }
}

fn bounded(log_variance: f32) -> f32 {
    log_variance.clamp(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
}

fn deviation(log_variance: f32) -> f32 {
    exp(0.5 * bounded(log_variance))
}

/// `factor E -log p(x | code)` without constants, with its gradients by the decoder's output and the spread.
fn reconstruct(
    heads: &Heads,
    output: &Matrix,
    cells: &[f32],
    spread: &mut Parameter,
    factor: f32,
    gradient: &mut Matrix,
) -> f32 {
    let width = heads.width();
    let scale = factor / output.rows().max(1) as f32;
    gradient.reshape(output.rows(), width);
    let mut loss = 0.0;
    let mut by_spread = vec![0.0; spread.values.len()];
    let mut powers = Vec::new();
    let rows = output.cells().chunks_exact(width);
    let gradients = gradient.cells_mut().chunks_exact_mut(width);
    for ((output, gradient), cells) in rows.zip(gradients).zip(cells.chunks_exact(width)) {
        for head in heads.columns() {
            let states = head.states.clone();
            let state = cells[states.clone()].iter().position(|&cell| cell > 0.0);
            if let Some(state) = state {
                powers.clear();
                powers.extend_from_slice(&output[states.clone()]);
                softmax(&mut powers);
                loss -= ln(powers[state].max(1e-30));
                for (gradient, power) in gradient[states.clone()].iter_mut().zip(&powers) {
                    *gradient = scale * power;
                }
                gradient[states.start + state] -= scale;
            }
            let Some(value) = head.value else { continue };
            if state.is_some_and(|state| state >= head.carriers) {
                gradient[value] = 0.0;
                continue;
            }
            let spread = spread.values[value];
            let off = (head.value_of(output[value]) - cells[value]) / spread;
            loss += 0.5 * off * off + ln(spread);
            gradient[value] = scale * off / spread * head.slope_of(output[value]);
            by_spread[value] += scale * (1.0 - off * off) / spread;
        }
    }
    spread.gradient_mut().copy_from_slice(&by_spread);
    scale * loss
}

impl Trainee for Autoencoder<'_> {
    type Sample = Encoded;

    fn losses(&self) -> &'static [&'static str] {
        &["reconstruction", "divergence"]
    }

    fn step(&mut self, batch: Batch<'_>) -> Vec<f32> {
        let losses = self.losses_of(batch.rows, rng::key(self.seed, batch.step));
        self.adam.step(&mut self.networks);
        for spread in &mut self.networks.spread.values {
            *spread = spread.clamp(LEAST_SPREAD, MOST_SPREAD);
        }
        losses.to_vec()
    }

    fn draw(&mut self, rows: usize) -> Encoded {
        let key = rng::hash(self.seed, b"sample");
        let keys: Vec<u64> = (0..rows as u64).map(|row| rng::key(key, row)).collect();
        let Networks {
            decoder, spread, ..
        } = &self.networks;
        let tape = &mut self.buffers.decoder;
        tape.noise(decoder, rows, self.config.embedding, key);
        decoder.forward(tape, &[], Statistics::Batch);
        self.heads.draw(&tape.output, &keys, &[], &spread.values)
    }

    fn keep(&mut self) {
        let Networks {
            decoder, spread, ..
        } = &self.networks;
        self.kept = Some((decoder.clone(), spread.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};

    use super::*;
    use crate::synthesize::layers::tests::check_parameters;
    use crate::synthesize::{Codec, Data, codec};

    #[test]
    fn the_bound_has_its_gradients() {
        let names = (0..40).map(|i| ["a", "b", "c"][i % 3]);
        let values = (0..40).map(|i| (i % 5 != 0).then(|| f64::from(i as u8).sin()));
        let batch = RecordBatch::try_from_iter([
            (
                "name",
                Arc::new(StringArray::from_iter_values(names)) as ArrayRef,
            ),
            (
                "value",
                Arc::new(Float64Array::from_iter(values)) as ArrayRef,
            ),
        ])
        .unwrap();
        let given = Options::parse("test", &codec::options(), &[]).unwrap();
        let data = Data::new(&batch.schema(), &[batch]).unwrap();
        let codec = Codec::fit(&data, &given).unwrap();
        let heads = Heads::new(&codec);
        let encoded = codec.encode(data.rows(), 0).unwrap();
        let config = Config {
            embedding: 3,
            encoder: vec![5],
            decoder: vec![6],
            adam: AdamConfig::default(),
            loss_factor: 2.0,
        };
        let [encoder, decoder] = config.shapes(heads.width());
        let mut coder = Autoencoder {
            config: &config,
            heads: &heads,
            encoded: &encoded,
            seed: 1,
            networks: Networks {
                encoder: Mlp::new(&encoder, 1),
                decoder: Mlp::new(&decoder, 1),
                spread: spread(heads.values()),
            },
            adam: Adam::new(config.adam),
            kept: None,
            buffers: Buffers::default(),
        };
        // Spread enough that the squares do not drown everything else.
        coder.networks.spread.values.fill(0.8);
        let rows = [0, 3, 7, 11, 20, 31];
        coder.losses_of(&rows, 5);
        let mut networks = coder.networks.clone();
        check_parameters(&mut networks, |networks| {
            coder.networks = networks.clone();
            let [reconstruction, divergence] = coder.losses_of(&rows, 5);
            reconstruction + divergence
        });
    }
}
