//! `gan`: the generative adversarial network (Goodfellow et al., 2014) for tables.
//!
//! A generator G turns noise z into rows, a discriminator D tells them from the table's:
//! `min_G max_D  E log D(x) + E log(1 - D(G(z)))`. With `loss => 'non_saturating'` G maximises
//! `E log D(G(z))` instead, which has the same fixed point and gradients that do not vanish early on.
//!
//! G: (Linear, BatchNorm, ReLU) a layer, then Linear onto the columns' layout; values as they are,
//! states by Gumbel-softmax. D: (Linear, LeakyReLU 0.2, dropout) a layer on `pac` rows side by side
//! (PacGAN, Lin et al., 2018: a D that sees several rows at once notices when they are all alike),
//! then Linear onto one logit. G is sampled with a running average of its weights, and with batch-norm
//! statistics taken over noise once training is done.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use candle_core::{Device, Result as TensorResult, Tensor};
use datafusion_common::{DataFusionError, Result, exec_err};

use super::codec::{self, Encoded, Layout};
use super::layers::{BatchNorm, Linear, Parameters, dropout, leaky_relu, softplus};
use super::optim::{Adam, AdamConfig, Average};
use super::training::{History, Schedule};
use super::{
    Accepts, BLOCK, Codec, Data, Kind, Model, ModelFile, OptionSpec, Options, Watch, parse_options,
    rng, tensor_error,
};

const NAME: &str = "gan";

/// Batches of noise that the batch-norm statistics of sampling are taken over.
const CALIBRATION_BATCHES: u64 = 50;

/// The kind `gan`.
#[derive(Debug, Clone, Copy)]
pub struct GanKind;

/// The settings, by the names of the options.
#[derive(Debug, Clone)]
struct Config {
    non_saturating: bool,
    epochs: usize,
    batch_size: usize,
    noise: usize,
    generator: Vec<usize>,
    discriminator: Vec<usize>,
    generator_adam: AdamConfig,
    discriminator_adam: AdamConfig,
    discriminator_steps: usize,
    dropout: f64,
    label_smoothing: f64,
    pac: usize,
    tau: f64,
    average: f64,
    max_categories: usize,
    seed: u64,
}

impl Config {
    fn new(options: &Options) -> Result<Self> {
        let adam = |rate: &str| -> Result<AdamConfig> {
            Ok(AdamConfig {
                learning_rate: options.number(rate)?,
                beta1: options.number("beta1")?,
                beta2: options.number("beta2")?,
                l2: options.number("l2")?,
                ..AdamConfig::default()
            })
        };
        Ok(Self {
            non_saturating: options.choice("loss")? == "non_saturating",
            epochs: options.integer("epochs")?,
            batch_size: options.integer("batch_size")?,
            noise: options.integer("noise")?,
            generator: options.integers("generator")?,
            discriminator: options.integers("discriminator")?,
            generator_adam: adam("generator_rate")?,
            discriminator_adam: AdamConfig {
                l2: 0.0,
                ..adam("discriminator_rate")?
            },
            discriminator_steps: options.integer("discriminator_steps")?,
            dropout: options.number("dropout")?,
            label_smoothing: options.number("label_smoothing")?,
            pac: options.integer("pac")?,
            tau: options.number("tau")?,
            average: options.number("average")?,
            max_categories: options.integer("max_categories")?,
            seed: options.word("seed")?,
        })
    }
}

fn integer(
    name: &'static str,
    default: i64,
    range: std::ops::RangeInclusive<i64>,
    help: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        accepts: Accepts::Integer {
            default,
            min: *range.start(),
            max: *range.end(),
        },
        help,
    }
}

fn number(
    name: &'static str,
    default: f64,
    range: std::ops::RangeInclusive<f64>,
    help: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        accepts: Accepts::Number {
            default,
            min: *range.start(),
            max: *range.end(),
        },
        help,
    }
}

fn widths(name: &'static str, default: &'static [i64], help: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        accepts: Accepts::Integers {
            default,
            min: 1,
            max: 8192,
        },
        help,
    }
}

impl Kind for GanKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "generative adversarial network, minimax or non-saturating, for tables"
    }

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = vec![
            OptionSpec {
                name: "loss",
                accepts: Accepts::Choice {
                    default: "non_saturating",
                    among: &["minimax", "non_saturating"],
                },
                help: "what the generator minimises: log(1 - D(G(z))) or -log D(G(z))",
            },
            integer("epochs", 30, 1..=100_000, "passes over the rows"),
            integer("batch_size", 250, 1..=100_000, "rows a mini-batch"),
            integer(
                "noise",
                64,
                1..=4096,
                "width of the noise the generator starts from",
            ),
            widths(
                "generator",
                &[128, 128],
                "widths of the generator's hidden layers",
            ),
            widths(
                "discriminator",
                &[256, 256],
                "widths of the discriminator's hidden layers",
            ),
            number(
                "generator_rate",
                1e-3,
                1e-8..=1.0,
                "Adam's learning rate of the generator",
            ),
            number(
                "discriminator_rate",
                1e-3,
                1e-8..=1.0,
                "Adam's learning rate of the discriminator",
            ),
            number(
                "beta1",
                0.5,
                0.0..=0.9999,
                "Adam's decay of the first moment",
            ),
            number(
                "beta2",
                0.9,
                0.0..=0.99999,
                "Adam's decay of the second moment",
            ),
            number("l2", 1e-6, 0.0..=1.0, "weight decay of the generator"),
            integer(
                "discriminator_steps",
                1,
                1..=100,
                "discriminator steps a generator step",
            ),
            number("dropout", 0.5, 0.0..=0.95, "dropout in the discriminator"),
            number(
                "label_smoothing",
                0.1,
                0.0..=0.5,
                "real rows count as real to 1 minus this",
            ),
            integer("pac", 5, 1..=64, "rows the discriminator judges together"),
            number("tau", 0.2, 0.01..=10.0, "temperature of the Gumbel-softmax"),
            number(
                "average",
                0.99,
                0.0..=0.99999,
                "decay of the running average of the generator's weights",
            ),
            integer("seed", 0, 0..=i64::MAX, "same seed, same data: same model"),
        ];
        specs.extend(codec::options());
        specs
    }

    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>> {
        let config = Config::new(options)?;
        let codec = Codec::fit(data, options)?;
        let layout = Layout::new(&codec, config.max_categories)?;
        let encoded = codec.encode(data.rows(), config.seed)?;
        let (weights, history) = Training::new(&config, &layout).map_err(tensor_error)?.run(
            &encoded,
            data.num_rows(),
            watch,
        )?;
        let about = About {
            options: options.clone(),
            codec,
            rows: data.num_rows() as u64,
            history,
        };
        // The same way as from a file, so a saved model cannot differ from a fresh one.
        Ok(Arc::new(Gan::new(about, weights)?))
    }

    fn load(&self, file: &ModelFile) -> Result<Arc<dyn Model>> {
        let damaged = |error: serde_json::Error| {
            DataFusionError::Execution(format!("the model file is damaged: {error}"))
        };
        let given: Vec<(String, String)> =
            serde_json::from_str(file.text("options")?).map_err(damaged)?;
        let losses: Vec<f32> = file
            .tensor("history")?
            .to_vec1::<f32>()
            .map_err(tensor_error)?;
        let names: Vec<String> =
            serde_json::from_str(file.text("history_names")?).map_err(damaged)?;
        let about = About {
            options: parse_options(self, &given)?,
            codec: Codec::load(file)?,
            rows: serde_json::from_str(file.text("rows")?).map_err(damaged)?,
            history: History {
                epochs: losses
                    .chunks(names.len().max(1))
                    .map(<[f32]>::to_vec)
                    .collect(),
                names,
                seconds: 0.0,
            },
        };
        Ok(Arc::new(Gan::new(
            about,
            Parameters::saved(file.tensors("generator.")),
        )?))
    }
}

/// G.
#[derive(Debug)]
struct Generator {
    hidden: Vec<(Linear, BatchNorm)>,
    output: Linear,
}

/// Whose statistics batch normalisation uses.
#[derive(Debug, Clone, Copy)]
enum Statistics {
    /// The batch's, moving the running ones by this much to them.
    Batch {
        momentum: f64,
    },
    Running,
}

impl Generator {
    fn new(parameters: &mut Parameters, config: &Config, outputs: usize) -> TensorResult<Self> {
        let mut width = config.noise;
        let mut hidden = Vec::with_capacity(config.generator.len());
        for (i, &next) in config.generator.iter().enumerate() {
            let name = format!("generator.{i}");
            hidden.push((
                Linear::new(parameters, &name, width, next)?,
                BatchNorm::new(parameters, &name, next)?,
            ));
            width = next;
        }
        Ok(Self {
            hidden,
            output: Linear::new(parameters, "generator.output", width, outputs)?,
        })
    }

    fn forward(&self, noise: &Tensor, statistics: Statistics) -> TensorResult<Tensor> {
        let mut x = noise.clone();
        for (linear, norm) in &self.hidden {
            let sums = linear.forward(&x)?;
            let normal = match statistics {
                Statistics::Batch { momentum } => norm.forward_train(&sums, momentum)?,
                Statistics::Running => norm.forward(&sums)?,
            };
            x = normal.relu()?;
        }
        self.output.forward(&x)
    }
}

/// D.
#[derive(Debug)]
struct Discriminator {
    hidden: Vec<Linear>,
    output: Linear,
    pac: usize,
    dropout: f64,
}

impl Discriminator {
    fn new(parameters: &mut Parameters, config: &Config, inputs: usize) -> TensorResult<Self> {
        let mut width = inputs * config.pac;
        let mut hidden = Vec::with_capacity(config.discriminator.len());
        for (i, &next) in config.discriminator.iter().enumerate() {
            let name = format!("discriminator.{i}");
            hidden.push(Linear::new(parameters, &name, width, next)?);
            width = next;
        }
        Ok(Self {
            hidden,
            output: Linear::new(parameters, "discriminator.output", width, 1)?,
            pac: config.pac,
            dropout: config.dropout,
        })
    }

    /// The logit of D; `key` is the key of the dropout's noise.
    fn forward(&self, rows: &Tensor, key: u64) -> TensorResult<Tensor> {
        let (count, width) = rows.dims2()?;
        let mut x = rows.reshape((count / self.pac, width * self.pac))?;
        for (i, linear) in self.hidden.iter().enumerate() {
            x = leaky_relu(&linear.forward(&x)?, 0.2)?;
            x = dropout(&x, self.dropout, rng::stream(key, "dropout", i as u64))?;
        }
        self.output.forward(&x)
    }
}

/// Both networks while they are trained.
struct Training<'a> {
    config: &'a Config,
    layout: &'a Layout,
    generator_parameters: Parameters,
    generator: Generator,
    discriminator: Discriminator,
    generator_adam: Adam,
    discriminator_adam: Adam,
    average: Average,
}

impl<'a> Training<'a> {
    fn new(config: &'a Config, layout: &'a Layout) -> TensorResult<Self> {
        let mut generator_parameters = Parameters::fresh(config.seed);
        let generator = Generator::new(&mut generator_parameters, config, layout.width())?;
        let mut parameters = Parameters::fresh(config.seed);
        let discriminator = Discriminator::new(&mut parameters, config, layout.width())?;
        let weights = generator_parameters.trainable();
        Ok(Self {
            config,
            layout,
            generator,
            discriminator,
            average: Average::new(weights.clone(), config.average)?,
            generator_adam: Adam::new(weights, config.generator_adam),
            discriminator_adam: Adam::new(parameters.trainable(), config.discriminator_adam),
            generator_parameters,
        })
    }

    /// Trains both, and gives the generator's parameters and the losses.
    fn run(
        mut self,
        encoded: &Encoded,
        rows: usize,
        watch: &dyn Watch,
    ) -> Result<(Parameters, History)> {
        let config = self.config;
        let schedule = Schedule::new(
            rows,
            config.batch_size,
            config.pac,
            config.epochs,
            config.seed,
        );
        // A table of constants leaves the networks nothing to learn.
        if self.layout.width() == 0 {
            let history = History::default();
            return Ok((saved(self.generator_parameters)?, history));
        }
        let history = schedule.run(["generator", "discriminator"], watch, |batch| {
            self.step(encoded, batch.rows, batch.step)
                .map_err(tensor_error)
        })?;
        self.average.apply().map_err(tensor_error)?;
        for i in 0..CALIBRATION_BATCHES {
            let noise = noise(
                schedule.batch_size,
                config.noise,
                rng::stream(config.seed, "calibration", i),
            );
            // The running statistics become the mean of all batches' statistics.
            let momentum = 1.0 / (i + 1) as f64;
            noise
                .and_then(|noise| {
                    self.generator
                        .forward(&noise, Statistics::Batch { momentum })
                })
                .map_err(tensor_error)?;
        }
        Ok((saved(self.generator_parameters)?, history))
    }

    /// One mini-batch: D's steps, then G's. Gives G's and D's loss.
    fn step(&mut self, encoded: &Encoded, rows: &[u32], step: u64) -> TensorResult<[f32; 2]> {
        let key = rng::key(self.config.seed, step);
        let real = self.layout.batch(encoded, rows)?;
        let mut discriminator_loss = 0.0;
        for turn in 0..self.config.discriminator_steps as u64 {
            let key = rng::key(key, turn);
            let fake = self.fake(rows.len(), key)?.detach();
            let real = self.discriminator.forward(&real, rng::hash(key, b"real"))?;
            let fake = self.discriminator.forward(&fake, rng::hash(key, b"fake"))?;
            let loss = self.discriminator_loss(&real, &fake)?;
            self.discriminator_adam.step(&loss.backward()?)?;
            discriminator_loss = loss.to_scalar::<f32>()?;
        }
        let key = rng::hash(key, b"generator");
        let fake = self.fake(rows.len(), key)?;
        let loss = self.generator_loss(&self.discriminator.forward(&fake, key)?)?;
        self.generator_adam.step(&loss.backward()?)?;
        self.average.update()?;
        Ok([loss.to_scalar::<f32>()?, discriminator_loss])
    }

    /// Rows of G's, differentiable.
    fn fake(&self, rows: usize, key: u64) -> TensorResult<Tensor> {
        let noise = noise(rows, self.config.noise, rng::stream(key, "noise", 0))?;
        let statistics = Statistics::Batch { momentum: 0.1 };
        let output = self.generator.forward(&noise, statistics)?;
        let stream = rng::stream(key, "gumbel", 0);
        self.layout.relax(&output, self.config.tau, stream)
    }

    /// `-E log D(x) - E log(1 - D(G(z)))`, with real rows counted as real to 1 - s (one-sided label
    /// smoothing, Salimans et al., 2016).
    fn discriminator_loss(&self, real: &Tensor, fake: &Tensor) -> TensorResult<Tensor> {
        let s = self.config.label_smoothing;
        let seen_as_real = (softplus(&real.neg()?)? * (1.0 - s))?;
        let seen_as_fake = (softplus(real)? * s)?;
        (seen_as_real + seen_as_fake)?.mean_all()? + softplus(fake)?.mean_all()?
    }

    /// `E log(1 - D(G(z)))`, or `-E log D(G(z))`.
    fn generator_loss(&self, fake: &Tensor) -> TensorResult<Tensor> {
        match self.config.non_saturating {
            true => softplus(&fake.neg()?)?.mean_all(),
            false => softplus(fake)?.mean_all()?.neg(),
        }
    }
}

fn noise(rows: usize, width: usize, stream: rng::Stream) -> TensorResult<Tensor> {
    rng::tensor(stream, &[rows, width], rng::normal)
}

/// The parameters as a saved model's. Weights that are no numbers are not a model.
fn saved(parameters: Parameters) -> Result<Parameters> {
    let tensors = parameters.snapshot().map_err(tensor_error)?;
    for (name, tensor) in &tensors {
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        if values
            .map_err(tensor_error)?
            .iter()
            .any(|value| !value.is_finite())
        {
            return exec_err!(
                "the training came apart: {name} holds values that are no numbers; \
                 lower the learning rates"
            );
        }
    }
    Ok(Parameters::saved(tensors))
}

/// What a model knows beside its weights.
#[derive(Debug)]
struct About {
    options: Options,
    codec: Codec,
    rows: u64,
    history: History,
}

/// A trained GAN.
#[derive(Debug)]
struct Gan {
    about: About,
    noise: usize,
    layout: Layout,
    parameters: Parameters,
    generator: Generator,
}

impl Gan {
    fn new(about: About, mut parameters: Parameters) -> Result<Self> {
        let config = Config::new(&about.options)?;
        let layout = Layout::new(&about.codec, config.max_categories)?;
        let generator =
            Generator::new(&mut parameters, &config, layout.width()).map_err(tensor_error)?;
        Ok(Self {
            about,
            noise: config.noise,
            layout,
            parameters,
            generator,
        })
    }

    /// At most a block of rows, computed in a block's shape whatever their number.
    fn draw_block(&self, keys: &[u64]) -> TensorResult<Encoded> {
        let mut noise = Vec::with_capacity(BLOCK as usize * self.noise);
        for &key in keys {
            let mut stream = rng::stream(key, "noise", 0);
            noise.extend((0..self.noise).map(|_| rng::normal(&mut stream)));
        }
        noise.resize(BLOCK as usize * self.noise, 0.0);
        let noise = Tensor::from_vec(noise, (BLOCK as usize, self.noise), &Device::Cpu)?;
        let output = self.generator.forward(&noise, Statistics::Running)?;
        self.layout.draw(&output, keys)
    }
}

impl Model for Gan {
    fn kind(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> &SchemaRef {
        self.about.codec.schema()
    }

    fn trained_on(&self) -> u64 {
        self.about.rows
    }

    fn codec(&self) -> Option<&Codec> {
        Some(&self.about.codec)
    }

    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        let mut drawn = Encoded::empty(self.about.codec.columns().len());
        for block in keys.chunks(BLOCK as usize) {
            drawn.append(self.draw_block(block).map_err(tensor_error)?);
        }
        self.about.codec.decode(&drawn, keys.len(), columns)
    }

    fn describe(&self) -> Vec<(String, String)> {
        let item = |name: &str, value: String| (name.to_string(), value);
        let parameters = self.parameters.count();
        let mut items = vec![
            item("kind", NAME.to_string()),
            item("rows", self.about.rows.to_string()),
            item("columns", self.schema().fields().len().to_string()),
            item("generator parameters", parameters.to_string()),
        ];
        if let Some(last) = self.about.history.epochs.last() {
            for (name, loss) in self.about.history.names.iter().zip(last) {
                items.push(item(&format!("{name} loss"), format!("{loss:.4}")));
            }
        }
        for (name, value) in self.about.options.pairs() {
            items.push((format!("option {name}"), value));
        }
        for (name, what) in self.about.codec.describe() {
            items.push((format!("column {name}"), what));
        }
        items
    }

    fn history(&self) -> &History {
        &self.about.history
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = |error: serde_json::Error| DataFusionError::External(Box::new(error));
        let mut file = ModelFile::default();
        file.set_text("kind", NAME);
        file.set_text("rows", self.about.rows.to_string());
        let options = serde_json::to_string(&self.about.options.pairs()).map_err(json)?;
        file.set_text("options", options);
        let names = serde_json::to_string(&self.about.history.names).map_err(json)?;
        file.set_text("history_names", names);
        let losses: Vec<f32> = self.about.history.epochs.concat();
        let count = losses.len();
        let losses = Tensor::from_vec(losses, count, &Device::Cpu).map_err(tensor_error)?;
        file.set_tensor("history", losses);
        self.about.codec.save(&mut file)?;
        for (name, tensor) in self.parameters.snapshot().map_err(tensor_error)? {
            file.set_tensor(name, tensor);
        }
        file.to_bytes()
    }
}

#[cfg(test)]
mod tests;
