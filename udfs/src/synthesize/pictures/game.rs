//! The game of a generator of pictures G and a discriminator D.
//!
//! A step: G draws a picture of the class of each real one. D learns to tell both apart, as changed by
//! [`DiffAugment`], with the penalty on the real ones; then G learns from what D says of the same pictures, changed
//! anew. G is sampled with a running average of its weights.

use super::diff_augment::DiffAugment;
use super::discriminator::{Discriminator, Judgement};
use super::generator::{Generator, GeneratorShape, Tape};
use super::judge::{Sample, sample};
use super::pixels::{Pictures, Shares};
use crate::synthesize::adversarial::Objective;
use crate::synthesize::layers::{Matrix, Statistics};
use crate::synthesize::optim::{Adam, AdamConfig, Average};
use crate::synthesize::rng;

/// What both networks look like and how they learn.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub generator: GeneratorShape,
    /// Channels after the discriminator's first layer.
    pub discriminator: usize,
    pub generator_adam: AdamConfig,
    pub discriminator_adam: AdamConfig,
    /// The weight of the penalty.
    pub lambda: f32,
    pub augment: DiffAugment,
    /// The decay of the average.
    pub average: f64,
    pub seed: u64,
}

/// Both networks while they are trained.
#[derive(Debug)]
pub struct Game<'a> {
    settings: Settings,
    objective: &'a dyn Objective,
    pictures: &'a Pictures,
    pub generator: Generator,
    pub discriminator: Discriminator,
    pub generator_adam: Adam,
    pub discriminator_adam: Adam,
    pub average: Average,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Buffers {
    tape: Tape,
    judgement: Judgement,
    answers: Vec<f32>,
    real: Vec<f32>,
    gradient: Matrix,
}

impl<'a> Game<'a> {
    pub fn new(settings: Settings, objective: &'a dyn Objective, pictures: &'a Pictures) -> Self {
        let GeneratorShape { frame, classes, .. } = settings.generator;
        let seed = settings.seed;
        let generator = Generator::new("generator", settings.generator, seed);
        Self {
            average: Average::new(&generator, settings.average),
            discriminator: Discriminator::new(frame, classes, settings.discriminator, seed),
            generator_adam: Adam::new(settings.generator_adam),
            discriminator_adam: Adam::new(settings.discriminator_adam),
            buffers: Buffers::default(),
            generator,
            objective,
            pictures,
            settings,
        }
    }

    /// The average begins anew with the present weights.
    pub fn forget(&mut self) {
        self.average.restore(&self.generator, 0);
    }

    /// Both networks' turns on some of the pictures; the number of the step keys their noise. Gives the
    /// losses of G and of D.
    pub fn step(&mut self, rows: &[u32], step: u64) -> [f32; 2] {
        let key = rng::key(self.settings.seed, step);
        let tape = &mut self.buffers.tape;
        tape.noise(rows.len(), self.generator.inputs(), key);
        self.pictures.write_classes(rows, &mut tape.classes);
        self.generator.forward(tape, Statistics::Batch);
        let of_discriminator = self.discriminator_turn(rows, rng::hash(key, b"discriminator"));
        let of_generator = self.generator_turn(rng::hash(key, b"generator"));
        [of_generator, of_discriminator]
    }

    /// D's turn: on real pictures, on drawn ones, and for the penalty on the real ones again, all at once.
    fn discriminator_turn(&mut self, rows: &[u32], key: u64) -> f32 {
        let Buffers {
            tape,
            judgement,
            answers,
            real,
            ..
        } = &mut self.buffers;
        let (frame, count) = (self.pictures.frame, rows.len());
        let lambda = self.settings.lambda;
        let portions = if lambda > 0.0 { 3 } else { 2 };
        real.resize(count * frame.cells(), 0.0);
        self.pictures.write(rows, real);
        let cells = judgement.input(portions * count, frame);
        let (of_real, rest) = cells.split_at_mut(count * frame.cells());
        let (of_drawn, again) = rest.split_at_mut(count * frame.cells());
        let augment = self.settings.augment;
        augment.forward(frame, key, real, of_real);
        let drawn_key = rng::hash(key, b"drawn");
        augment.forward(frame, drawn_key, tape.output.cells(), of_drawn);
        if lambda > 0.0 {
            again.copy_from_slice(of_real);
        }
        judgement.classes.clear();
        for _ in 0..portions {
            judgement.classes.extend_from_slice(&tape.classes);
        }
        let discriminator = &mut self.discriminator;
        discriminator.forward(judgement);
        // The answers to the third portion are what the penalty takes the gradient of.
        answers.clear();
        answers.resize(portions * count, 1.0);
        let (real, drawn) = judgement.answers()[..2 * count].split_at(count);
        let gradient = &mut answers[..2 * count];
        let mut loss = self.objective.discriminator(real, drawn, gradient);
        discriminator.backward(judgement, answers);
        if lambda > 0.0 {
            loss += discriminator.penalise(judgement, 2 * count, lambda);
        }
        discriminator.gradients(judgement, 2 * count);
        self.discriminator_adam.step(discriminator);
        loss
    }

    /// G's turn, on the pictures that it drew for D's.
    fn generator_turn(&mut self, key: u64) -> f32 {
        let Buffers {
            tape,
            judgement,
            answers,
            gradient,
            ..
        } = &mut self.buffers;
        let (frame, count) = (self.pictures.frame, tape.output.rows());
        let augment = self.settings.augment;
        let cells = judgement.input(count, frame);
        augment.forward(frame, key, tape.output.cells(), cells);
        judgement.classes.clone_from(&tape.classes);
        let discriminator = &self.discriminator;
        discriminator.forward(judgement);
        answers.clear();
        answers.resize(count, 0.0);
        let loss = self.objective.generator(judgement.answers(), answers);
        discriminator.backward(judgement, answers);
        discriminator.pictures_gradient(judgement, 0);
        gradient.reshape(count, frame.cells());
        augment.backward(frame, key, judgement.gradient(), gradient.cells_mut());
        self.generator.backward(tape, gradient.cells(), false);
        self.generator_adam.step(&mut self.generator);
        self.average.update(&self.generator);
        loss
    }

    /// What [`super::judge`] looks at.
    pub fn sample(&mut self, shares: &Shares, rows: usize) -> Sample {
        let key = rng::hash(self.settings.seed, b"sample");
        sample(&self.averaged(), &mut self.buffers.tape, shares, rows, key)
    }

    /// G as the model would get it, but for the statistics.
    pub fn averaged(&self) -> Generator {
        let mut averaged = self.generator.clone();
        self.average.apply(&mut averaged);
        averaged
    }
}
