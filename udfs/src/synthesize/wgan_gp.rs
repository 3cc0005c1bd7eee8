//! `wgan_gp`: the Wasserstein GAN with gradient penalty (Gulrajani et al., 2017) for tables.
//!
//! The critic D estimates the distance between the table's rows and the drawn ones,
//! `max_D  E D(x) - E D(G(z)) - lambda E (|grad D(x')| - 1)^2`, the last between rows of both; the
//! generator makes it smaller, `min_G  -E D(G(z))`. D takes several steps a step of G's, and has neither
//! batch normalisation nor dropout. G: (Linear, BatchNorm, ReLU) a layer, then Linear onto the columns.

use datafusion_common::Result;

use super::adversarial::{self, Config, Defaults, Objective};
use super::layers::{Heads, Mlp};
use super::neural::{NeuralKind, Task};
use super::options::number;
use super::trained::Trained;
use super::{OptionSpec, Options, training};

/// The paper's: its networks for images are convolutions, ours are those of the tables here.
const DEFAULTS: Defaults = Defaults {
    common: training::Defaults {
        epochs: 100,
        batch_size: 250,
    },
    noise: 128,
    generator: &[256, 256],
    discriminator: &[256, 256],
    generator_rate: 1e-4,
    discriminator_rate: 1e-4,
    beta1: 0.0,
    beta2: 0.9,
    l2: 0.0,
    discriminator_steps: 5,
    dropout: 0.0,
    pac: 1,
    tau: 0.2,
    average: 0.99,
};

/// The penalty's weight.
const LAMBDA: f64 = 10.0;

/// The kind `wgan_gp`.
#[derive(Debug, Clone, Copy)]
pub struct WganGpKind;

/// The Wasserstein distance, with the weight of the gradient penalty.
#[derive(Debug, Clone, Copy)]
pub struct Wasserstein {
    pub lambda: f32,
}

impl Wasserstein {
    /// The option of the penalty's weight.
    pub fn option() -> OptionSpec {
        number(
            "lambda",
            LAMBDA,
            0.0..=1e4,
            "weight of the penalty on gradients that are not of length 1",
        )
    }

    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            lambda: options.number("lambda")? as f32,
        })
    }
}

impl Objective for Wasserstein {
    /// `E D(G(z)) - E D(x)`.
    fn discriminator(&self, real: &[f32], drawn: &[f32], gradient: &mut [f32]) -> f32 {
        let share = 1.0 / real.len().max(1) as f32;
        let (of_real, of_drawn) = gradient.split_at_mut(real.len());
        of_real.fill(-share);
        of_drawn.fill(share);
        share * (drawn.iter().sum::<f32>() - real.iter().sum::<f32>())
    }

    /// `-E D(G(z))`.
    fn generator(&self, drawn: &[f32], gradient: &mut [f32]) -> f32 {
        let share = 1.0 / drawn.len().max(1) as f32;
        gradient.fill(-share);
        -share * drawn.iter().sum::<f32>()
    }

    fn penalty(&self) -> Option<f32> {
        (self.lambda > 0.0).then_some(self.lambda)
    }
}

impl NeuralKind for WganGpKind {
    const NAME: &'static str = "wgan_gp";
    const SUMMARY: &'static str = "Wasserstein GAN with gradient penalty, for tables";

    fn own_options(&self) -> Vec<OptionSpec> {
        let mut specs = DEFAULTS.options();
        specs.push(Wasserstein::option());
        specs
    }

    fn architecture(&self) -> &'static [&'static str] {
        adversarial::ARCHITECTURE
    }

    fn generator(&self, options: &Options, heads: &Heads, _: usize) -> Result<(Mlp, usize)> {
        Ok(Config::new(options, false)?.network(heads.width(), 0, 0))
    }

    fn fit(&self, task: Task<'_>) -> Result<Trained> {
        let config = Config::new(task.options, false)?;
        adversarial::fit(&task, &config, &Wasserstein::new(task.options)?)
    }
}
