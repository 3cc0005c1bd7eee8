//! The game of a generator G that turns noise into rows and a discriminator D that tells them from a
//! table's, for all kinds that are trained by it; a kind gives the objective and the defaults.
//!
//! G is sampled with a running average of its weights, and with batch-norm statistics taken over noise
//! once training is done.

use std::fmt::Debug;

use datafusion_common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use super::codec::Encoded;
use super::layers::{
    Axis, Discriminator, Heads, Judgement, Matrix, Mlp, MlpShape, Network, Statistics, Tape,
};
use super::neural::Task;
use super::optim::{Adam, AdamConfig, Average};
use super::options::{integer, number, widths};
use super::quality::Differences;
use super::trained::{Start, Trained};
use super::training::{self, Batch, Common, History, Schedule, Trainee};
use super::training_by_sampling::{Conditions, Drawn, TrainingBySampling};
use super::{ModelFile, OptionSpec, Options, rng};

/// Batches of noise that the batch-norm statistics of sampling are taken over.
const CALIBRATION_BATCHES: u64 = 50;

/// Options that a model must share with one that starts from it.
pub const ARCHITECTURE: &[&str] = &["noise", "generator", "discriminator", "pac"];

/// What G and D play for: the losses of D's answers, one a group of rows, and their gradients.
pub trait Objective: Debug {
    /// D's loss; its gradient by the answers on real rows, then by those on drawn ones.
    fn discriminator(&self, real: &[f32], drawn: &[f32], gradient: &mut [f32]) -> f32;

    /// G's loss, and its gradient by the answers.
    fn generator(&self, drawn: &[f32], gradient: &mut [f32]) -> f32;

    /// The weight of the gradient penalty, where there is one.
    fn penalty(&self) -> Option<f32> {
        None
    }
}

/// A kind's defaults.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    pub common: training::Defaults,
    pub noise: i64,
    pub generator: &'static [i64],
    pub discriminator: &'static [i64],
    pub generator_rate: f64,
    pub discriminator_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub l2: f64,
    pub discriminator_steps: i64,
    pub dropout: f64,
    pub pac: i64,
    pub tau: f64,
    pub average: f64,
}

impl Defaults {
    pub fn options(&self) -> Vec<OptionSpec> {
        let mut specs = Common::options(&self.common);
        specs.extend([
            integer(
                "noise",
                self.noise,
                1..=4096,
                "width of the noise the generator starts from",
            ),
            widths(
                "generator",
                self.generator,
                "widths of the generator's hidden layers",
            ),
            widths(
                "discriminator",
                self.discriminator,
                "widths of the discriminator's hidden layers",
            ),
            number(
                "generator_rate",
                self.generator_rate,
                1e-8..=1.0,
                "Adam's learning rate of the generator",
            ),
            number(
                "discriminator_rate",
                self.discriminator_rate,
                1e-8..=1.0,
                "Adam's learning rate of the discriminator",
            ),
            number(
                "beta1",
                self.beta1,
                0.0..=0.9999,
                "Adam's decay of the first moment",
            ),
            number(
                "beta2",
                self.beta2,
                0.0..=0.99999,
                "Adam's decay of the second moment",
            ),
            number("l2", self.l2, 0.0..=1.0, "weight decay of both networks"),
            integer(
                "discriminator_steps",
                self.discriminator_steps,
                1..=100,
                "discriminator steps a generator step",
            ),
            number(
                "dropout",
                self.dropout,
                0.0..=0.95,
                "dropout in the discriminator",
            ),
            integer(
                "pac",
                self.pac,
                1..=64,
                "rows the discriminator judges together",
            ),
            number(
                "tau",
                self.tau,
                0.01..=10.0,
                "temperature of the Gumbel-softmax",
            ),
            number(
                "average",
                self.average,
                0.0..=0.99999,
                "decay of the running average of the generator's weights; 0 takes the last",
            ),
        ]);
        specs
    }
}

/// The settings, by the names of the options.
#[derive(Debug, Clone)]
pub struct Config {
    noise: usize,
    generator: Vec<usize>,
    discriminator: Vec<usize>,
    generator_adam: AdamConfig,
    discriminator_adam: AdamConfig,
    discriminator_steps: usize,
    dropout: f64,
    pac: usize,
    tau: f32,
    average: f64,
    residual: bool,
}

impl Config {
    /// `residual` generators are CTGAN's.
    pub fn new(options: &Options, residual: bool) -> Result<Self> {
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
            noise: options.integer("noise")?,
            generator: options.integers("generator")?,
            discriminator: options.integers("discriminator")?,
            generator_adam: adam("generator_rate")?,
            discriminator_adam: adam("discriminator_rate")?,
            discriminator_steps: options.integer("discriminator_steps")?,
            dropout: options.number("dropout")?,
            pac: options.integer("pac")?,
            tau: options.number("tau")? as f32,
            average: options.number("average")?,
            residual,
        })
    }

    fn shape(&self, cells: usize, conditions: usize) -> MlpShape<'_> {
        MlpShape {
            name: "generator",
            inputs: (self.noise, Axis::Units),
            hidden: &self.generator,
            outputs: (cells, Axis::Cells),
            conditions,
            norm: true,
            residual: self.residual,
        }
    }

    /// G, and how much noise it begins with.
    pub fn network(&self, cells: usize, conditions: usize, seed: u64) -> (Mlp, usize) {
        (Mlp::new(&self.shape(cells, conditions), seed), self.noise)
    }
}

/// What goes on where a training is resumed, beside weights.
#[derive(Debug, Serialize, Deserialize)]
struct Steps {
    generator: u64,
    discriminator: u64,
    average: u64,
}

/// Both networks while they are trained.
#[derive(Debug)]
struct Game<'a> {
    config: &'a Config,
    objective: &'a dyn Objective,
    heads: &'a Heads,
    encoded: &'a Encoded,
    conditions: &'a Conditions,
    sampling: TrainingBySampling<'a>,
    seed: u64,
    generator: Mlp,
    discriminator: Discriminator,
    generator_adam: Adam,
    discriminator_adam: Adam,
    average: Average,
    /// The generator the model gets.
    kept: Option<Mlp>,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Buffers {
    tape: Tape,
    judgement: Judgement,
    drawn: Drawn,
    rows: Vec<u32>,
    answers: Vec<f32>,
    gradient: Matrix,
}

/// Plays the game on a table.
pub fn fit(task: &Task<'_>, config: &Config, objective: &dyn Objective) -> Result<Trained> {
    let (cells, conditions) = (task.heads.width(), task.conditions.width());
    let seed = task.common.seed;
    let first = config.discriminator.first().copied().unwrap_or(1);
    let judged = (cells + conditions) * config.pac * first;
    let hidden: usize = config.discriminator.windows(2).map(|w| w[0] * w[1]).sum();
    task.check_size(judged + hidden + config.shape(cells, conditions).count())?;
    let (mut generator, _) = config.network(cells, conditions, seed);
    let mut discriminator = Discriminator::new(
        cells,
        conditions,
        &config.discriminator,
        config.pac,
        config.dropout,
        seed,
    );
    task.start.begin(&mut generator, "", "training.")?;
    task.start
        .begin(&mut discriminator, "training.", "training.")?;
    if task.common.freeze {
        generator.freeze_hidden();
    }
    let mut game = Game {
        config,
        objective,
        heads: task.heads,
        encoded: task.encoded,
        conditions: task.conditions,
        sampling: TrainingBySampling::new(task.conditions, task.encoded, task.rows),
        seed,
        average: Average::new(&generator, config.average),
        generator,
        discriminator,
        generator_adam: Adam::new(config.generator_adam),
        discriminator_adam: Adam::new(config.discriminator_adam),
        kept: None,
        buffers: Buffers::default(),
    };
    if let Start::Resume { file, .. } = &task.start {
        game.resume(file)?;
    }
    let schedule = Schedule::new(task.rows, config.pac, task.common, task.start.done());
    // A table of constants leaves the networks nothing to learn.
    let (history, done) = match cells {
        0 => (History::default(), task.start.done()),
        _ => {
            let judge = Differences::new(task.codec, task.encoded, task.rows);
            schedule.run(&mut game, &judge, task.watch)?
        }
    };
    Ok(Trained {
        file: game.finish(schedule.batch_size)?,
        history,
        done,
    })
}

impl Game<'_> {
    fn resume(&mut self, file: &ModelFile) -> Result<()> {
        let steps: Steps = file.json("steps")?;
        self.generator_adam.steps = steps.generator;
        self.discriminator_adam.steps = steps.discriminator;
        let mut averaged = self.generator.clone();
        averaged.restore("average.", file)?;
        self.average.restore(&averaged, steps.average);
        Ok(())
    }

    /// D's turn: rows of the table, drawn rows, and for the penalty rows between them, all at once.
    fn discriminator_step(&mut self, given: Option<&[u32]>, key: u64) -> f32 {
        let Buffers {
            tape,
            judgement,
            drawn,
            rows,
            answers,
            ..
        } = &mut self.buffers;
        if let Some(given) = given {
            drawn.clear();
            rows.clear();
            rows.extend_from_slice(given);
        }
        let (count, width) = (rows.len(), self.heads.width());
        let groups = count / self.config.pac;
        let penalty = self.objective.penalty();
        let portions = if penalty.is_some() { 3 } else { 2 };
        generate(
            &self.generator,
            tape,
            count,
            self.config.noise,
            &drawn.vector,
            key,
        );
        let cells = judgement.input(portions * groups, self.config.pac * width);
        let (real, rest) = cells.split_at_mut(count * width);
        let (fake, between) = rest.split_at_mut(count * width);
        self.heads.write(self.encoded, rows, real);
        self.heads.relax(&tape.output, self.config.tau, key, fake);
        if penalty.is_some() {
            let mut stream = rng::stream(key, "between", 0);
            let group = self.config.pac * width;
            let ends = real.chunks_exact(group).zip(fake.chunks_exact(group));
            for (between, (real, fake)) in between.chunks_exact_mut(group).zip(ends) {
                let share = rng::uniform(&mut stream);
                for (between, (real, fake)) in between.iter_mut().zip(real.iter().zip(fake)) {
                    *between = share * real + (1.0 - share) * fake;
                }
            }
        }
        let discriminator = &mut self.discriminator;
        discriminator.forward(judgement, &drawn.vector, self.conditions.width(), key);
        // The answers between are what the penalty takes the gradient of.
        answers.clear();
        answers.resize(portions * groups, 1.0);
        let (real, rest) = judgement.answers().split_at(groups);
        let gradient = &mut answers[..2 * groups];
        let mut loss = self
            .objective
            .discriminator(real, &rest[..groups], gradient);
        discriminator.backward(judgement, answers);
        if let Some(lambda) = penalty {
            loss += discriminator.penalise(judgement, 2 * groups, lambda);
        }
        discriminator.gradients(judgement, 2 * groups);
        self.discriminator_adam.step(discriminator);
        loss
    }

    /// G's turn.
    fn generator_step(&mut self, count: usize, key: u64) -> f32 {
        let Buffers {
            tape,
            judgement,
            drawn,
            rows,
            answers,
            gradient,
        } = &mut self.buffers;
        drawn.clear();
        if self.conditions.width() > 0 {
            self.sampling.draw(count, key, drawn, rows);
        }
        let groups = count / self.config.pac;
        generate(
            &self.generator,
            tape,
            count,
            self.config.noise,
            &drawn.vector,
            key,
        );
        let cells = judgement.input(groups, self.config.pac * self.heads.width());
        self.heads.relax(&tape.output, self.config.tau, key, cells);
        let discriminator = &self.discriminator;
        discriminator.forward(judgement, &drawn.vector, self.conditions.width(), key);
        answers.clear();
        answers.resize(groups, 0.0);
        let mut loss = self.objective.generator(judgement.answers(), answers);
        discriminator.backward(judgement, answers);
        discriminator.rows_gradient(judgement, 0);
        self.heads.backward(
            &tape.output,
            judgement.rows(),
            judgement.gradient(),
            self.config.tau,
            gradient,
        );
        loss += self
            .heads
            .cross_entropy(&tape.output, &drawn.cells, gradient);
        self.generator
            .backward(tape, &drawn.vector, gradient, false);
        self.generator_adam.step(&mut self.generator);
        self.average.update(&self.generator);
        loss
    }

    /// G as the model would get it, but for the statistics.
    fn averaged(&self) -> Mlp {
        let mut averaged = self.generator.clone();
        self.average.apply(&mut averaged);
        averaged
    }

    /// The running statistics over noise, and everything as a file.
    fn finish(mut self, batch_size: usize) -> Result<ModelFile> {
        let mut kept = self.kept.take().unwrap_or_else(|| self.averaged());
        let mut drawn = Drawn::default();
        for i in 0..CALIBRATION_BATCHES {
            let key = rng::key(rng::hash(self.seed, b"calibration"), i);
            drawn.clear();
            for row in 0..batch_size as u64 {
                self.conditions.draw(rng::key(key, row), None, &mut drawn);
            }
            let tape = &mut self.buffers.tape;
            generate(
                &kept,
                tape,
                batch_size,
                self.config.noise,
                &drawn.vector,
                key,
            );
            // The running statistics become the mean of all batches' statistics.
            kept.calibrate(tape, 1.0 / (i + 1) as f32);
        }
        let mut file = ModelFile::default();
        kept.save("", &mut file)?;
        self.generator.save("training.", &mut file)?;
        self.generator.save_moments("training.", &mut file)?;
        self.averaged().save("average.", &mut file)?;
        self.discriminator.save("training.", &mut file)?;
        self.discriminator.save_moments("training.", &mut file)?;
        let steps = Steps {
            generator: self.generator_adam.steps,
            discriminator: self.discriminator_adam.steps,
            average: self.average.steps,
        };
        let steps = serde_json::to_string(&steps);
        let steps = steps.map_err(|error| DataFusionError::External(Box::new(error)))?;
        file.set_text("steps", steps);
        Ok(file)
    }
}

impl Trainee for Game<'_> {
    type Sample = Encoded;

    fn losses(&self) -> &'static [&'static str] {
        &["generator", "discriminator"]
    }

    fn step(&mut self, batch: Batch<'_>) -> Vec<f32> {
        let key = rng::key(self.seed, batch.step);
        let count = batch.rows.len();
        let mut loss = 0.0;
        for turn in 0..self.config.discriminator_steps as u64 {
            let key = rng::key(key, turn);
            // The epoch's rows where no conditions choose others, and none have been judged yet.
            let given = (turn == 0 && self.conditions.width() == 0).then_some(batch.rows);
            if given.is_none() {
                let Buffers { drawn, rows, .. } = &mut self.buffers;
                self.sampling.draw(count, key, drawn, rows);
            }
            loss = self.discriminator_step(given, key);
        }
        let key = rng::hash(key, b"generator");
        vec![self.generator_step(count, key), loss]
    }

    fn draw(&mut self, rows: usize) -> Encoded {
        let network = self.averaged();
        let key = rng::hash(self.seed, b"sample");
        let keys: Vec<u64> = (0..rows as u64).map(|row| rng::key(key, row)).collect();
        let mut drawn = Drawn::default();
        for &key in &keys {
            self.conditions.draw(key, None, &mut drawn);
        }
        let tape = &mut self.buffers.tape;
        generate(&network, tape, rows, self.config.noise, &drawn.vector, key);
        self.heads.draw(&tape.output, &keys, &drawn.cells, &[])
    }

    fn keep(&mut self) {
        self.kept = Some(self.averaged());
    }
}

/// Rows of G's, of noise that the key gives; normalised by the batch's own statistics.
fn generate(
    generator: &Mlp,
    tape: &mut Tape,
    rows: usize,
    noise: usize,
    conditions: &[u32],
    key: u64,
) {
    tape.noise(generator, rows, noise, key);
    generator.forward(tape, conditions, Statistics::Batch);
}
