//! An autoencoder of pictures, and how it learns.
//!
//! The encoder, a [`Trunk`] and Linear, turns a picture and its class into a normal distribution of a code, mean
//! and logarithm of the variance; the decoder, a [`Generator`], turns a code and a class into a picture. The
//! loss is the evidence lower bound, the reconstruction counted `factor` times, with the one spread of all
//! pixels that is the likeliest for a batch (Rybkin et al., 2021): `cells / 2 ln E (x - y)^2`. Counted
//! fully it makes codes that say more than standard normals do (of digits 55 nats), so that what is drawn from those
//! looks like less: a factor of a tenth leaves 18.

use super::generator::{Generator, GeneratorShape, Tape};
use super::judge::{Sample, sample};
use super::pixels::{Pictures, Shares};
use super::trunk::{Pass, Trunk};
use crate::synthesize::layers::math::{exp, ln};
use crate::synthesize::layers::{Axis, Linear, Matrix, Network, Parameter, Shape, Statistics};
use crate::synthesize::optim::{Adam, AdamConfig};
use crate::synthesize::rng;

/// Pixels are not taken to be more exact than this, as a variance in -1 to 1: a step of a byte.
const LEAST_VARIANCE: f32 = 6e-5;

/// The logarithm of a code's variance stays within plus or minus this, so that none is infinite.
const MOST_LOG_VARIANCE: f32 = 20.0;

/// What the networks look like and how they learn.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Its inputs are the code.
    pub decoder: GeneratorShape,
    /// Channels after the encoder's first layer.
    pub encoder: usize,
    pub adam: AdamConfig,
    pub factor: f32,
    pub seed: u64,
}

/// All that is learnt.
#[derive(Debug, Clone)]
pub struct Networks {
    trunk: Trunk,
    code: Linear,
    pub decoder: Generator,
}

impl Network for Networks {
    fn parameters(&self) -> Vec<&Parameter> {
        let encoder = self.trunk.parameters().chain(self.code.parameters());
        encoder.chain(self.decoder.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let encoder = self.trunk.parameters_mut();
        let encoder = encoder.chain(self.code.parameters_mut());
        encoder.chain(self.decoder.parameters_mut()).collect()
    }
}

/// The networks while they are trained.
#[derive(Debug)]
pub struct Autoencoder<'a> {
    settings: Settings,
    pictures: &'a Pictures,
    pub networks: Networks,
    pub adam: Adam,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Buffers {
    pass: Pass,
    tape: Tape,
    moments: Matrix,
    noise: Vec<f32>,
    real: Vec<f32>,
    gradient: Vec<f32>,
}

impl<'a> Autoencoder<'a> {
    pub fn new(settings: Settings, pictures: &'a Pictures) -> Self {
        let Settings { decoder, seed, .. } = settings;
        let trunk = Trunk::new("encoder", decoder.frame, settings.encoder, seed);
        let code = Shape {
            name: "encoder.code",
            inputs: (trunk.features, Axis::Units),
            outputs: (2 * decoder.inputs, Axis::Units),
            conditions: decoder.classes,
        };
        Self {
            networks: Networks {
                code: Linear::new(code, seed),
                decoder: Generator::new("decoder", decoder, seed),
                trunk,
            },
            adam: Adam::new(settings.adam),
            buffers: Buffers::default(),
            settings,
            pictures,
        }
    }

    /// Learns from some of the pictures; the number of the step keys their noise. Gives the losses,
    /// reconstruction and divergence.
    pub fn step(&mut self, rows: &[u32], step: u64) -> [f32; 2] {
        let losses = self.losses(rows, rng::key(self.settings.seed, step));
        self.adam.step(&mut self.networks);
        losses
    }

    /// The losses, with their gradients left in the networks.
    pub fn losses(&mut self, rows: &[u32], key: u64) -> [f32; 2] {
        let Buffers {
            pass,
            tape,
            moments,
            noise,
            real,
            gradient,
        } = &mut self.buffers;
        let Networks {
            trunk,
            code,
            decoder,
        } = &mut self.networks;
        let (frame, count) = (self.pictures.frame, rows.len());
        let width = decoder.inputs();
        real.resize(count * frame.cells(), 0.0);
        self.pictures.write(rows, real);
        pass.input(count, frame).copy_from_slice(real);
        trunk.forward(pass);
        self.pictures.write_classes(rows, &mut tape.classes);
        code.forward(pass.features().view(), &tape.classes, moments);
        // A code is its mean plus its deviation times noise: differentiable by both.
        tape.noise(count, width, key);
        noise.clear();
        noise.extend_from_slice(tape.input.cells());
        let codes = tape.input.cells_mut().chunks_exact_mut(width);
        for (code, moments) in codes.zip(moments.cells().chunks_exact(2 * width)) {
            for (i, cell) in code.iter_mut().enumerate() {
                *cell = moments[i] + deviation(moments[width + i]) * *cell;
            }
        }
        decoder.forward(tape, Statistics::Batch);
        let drawn = tape.output.cells();
        let pairs = || drawn.iter().zip(real.iter());
        let squares: f64 = pairs().map(|(x, y)| f64::from((x - y) * (x - y))).sum();
        let mean = (squares / real.len().max(1) as f64) as f32;
        let variance = mean.max(LEAST_VARIANCE);
        let factor = self.settings.factor;
        let half = 0.5 * factor * frame.cells() as f32;
        let reconstruction = half * (ln(variance) + mean / variance - 1.0);
        let scale = factor / (count.max(1) as f32 * variance);
        gradient.clear();
        gradient.extend(pairs().map(|(x, y)| scale * (x - y)));
        decoder.backward(tape, gradient, true);
        let share = 1.0 / count.max(1) as f32;
        let mut divergence = 0.0;
        let by_code = tape.by_input.cells().chunks_exact(width);
        let rows = moments.cells_mut().chunks_exact_mut(2 * width);
        for ((row, by_code), noise) in rows.zip(by_code).zip(noise.chunks_exact(width)) {
            let (means, logarithms) = row.split_at_mut(width);
            for i in 0..width {
                let (mean, log_variance) = (means[i], bounded(logarithms[i]));
                let variance = exp(log_variance);
                divergence += 0.5 * (mean * mean + variance - 1.0 - log_variance);
                means[i] = by_code[i] + share * mean;
                let through = by_code[i] * noise[i] * 0.5 * deviation(log_variance);
                let inside = logarithms[i].abs() < MOST_LOG_VARIANCE;
                logarithms[i] = match inside {
                    true => through + 0.5 * share * (variance - 1.0),
                    false => 0.0,
                };
            }
        }
        let features = pass.features().view();
        code.backward(features, &tape.classes, moments.cells(), count);
        trunk.backward(pass, |delta| {
            delta.reshape(count, trunk.features);
            code.inputs_gradient(moments.view(), 0, delta.view_mut(), faer::Accum::Replace);
        });
        trunk.gradients(pass, count);
        [reconstruction, share * divergence]
    }

    /// What [`super::judge`] looks at.
    pub fn sample(&mut self, shares: &Shares, rows: usize) -> Sample {
        let key = rng::hash(self.settings.seed, b"sample");
        let tape = &mut self.buffers.tape;
        sample(&self.networks.decoder, tape, shares, rows, key)
    }
}

fn bounded(log_variance: f32) -> f32 {
    log_variance.clamp(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
}

fn deviation(log_variance: f32) -> f32 {
    exp(0.5 * bounded(log_variance))
}
