//! `ctgan`: the conditional tabular GAN (Xu et al., 2019).
//!
//! The generator gets noise and a conditional vector, one category of one categorical column, drawn by
//! the logarithm of its frequency in training ([`super::conditions`]). G: two residual layers, each (Linear,
//! BatchNorm, ReLU) with its input put beside its output, then Linear onto the columns; states by
//! Gumbel-softmax. The critic D: (Linear, LeakyReLU 0.2, dropout) a layer on `pac` rows and their conditions
//! side by side. D's loss is WGAN-GP's; G's adds the cross-entropy between the conditioned column and its
//! condition. Three things are done otherwise than in the authors' program: rows are sampled under
//! conditions of the true frequencies, with running statistics of the batch normalisation and averaged
//! weights; real and drawn rows are compared under the same conditions; NULLs are states of their column.

use datafusion_common::Result;

use super::adversarial::{self, Config, Defaults};
use super::layers::{Heads, Mlp};
use super::neural::{NeuralKind, Task};
use super::trained::Trained;
use super::wgan_gp::Wasserstein;
use super::{OptionSpec, Options, training};

/// The paper's, and its authors' program's.
const DEFAULTS: Defaults = Defaults {
    common: training::Defaults {
        epochs: 300,
        batch_size: 500,
    },
    noise: 128,
    generator: &[256, 256],
    discriminator: &[256, 256],
    generator_rate: 2e-4,
    discriminator_rate: 2e-4,
    beta1: 0.5,
    beta2: 0.9,
    l2: 1e-6,
    discriminator_steps: 1,
    dropout: 0.5,
    pac: 10,
    tau: 0.2,
    average: 0.99,
};

/// The kind `ctgan`.
#[derive(Debug, Clone, Copy)]
pub struct CtganKind;

impl NeuralKind for CtganKind {
    const NAME: &'static str = "ctgan";
    const SUMMARY: &'static str =
        "conditional tabular GAN: categories balanced in training, true frequencies when sampled";

    fn own_options(&self) -> Vec<OptionSpec> {
        let mut specs = DEFAULTS.options();
        specs.push(Wasserstein::option());
        specs
    }

    fn architecture(&self) -> &'static [&'static str] {
        adversarial::ARCHITECTURE
    }

    /// Mode-specific normalisation.
    fn form(&self) -> &'static str {
        "gmm"
    }

    fn conditional(&self) -> bool {
        true
    }

    fn generator(
        &self,
        options: &Options,
        heads: &Heads,
        conditions: usize,
    ) -> Result<(Mlp, usize)> {
        Ok(Config::new(options, true)?.network(heads.width(), conditions, 0))
    }

    fn fit(&self, task: Task<'_>) -> Result<Trained> {
        let config = Config::new(task.options, true)?;
        adversarial::fit(&task, &config, &Wasserstein::new(task.options)?)
    }
}
