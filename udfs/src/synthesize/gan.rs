//! `gan`: the generative adversarial network (Goodfellow et al., 2014) for tables.
//!
//! A generator G turns noise z into rows, a discriminator D tells them from the table's:
//! `min_G max_D  E log D(x) + E log(1 - D(G(z)))`. With `loss => 'non_saturating'` G maximises
//! `E log D(G(z))` instead, which has the same fixed point and gradients that do not vanish early on.
//!
//! G: (Linear, BatchNorm, ReLU) a layer, then Linear onto the columns; values as they are, states by
//! Gumbel-softmax. D: (Linear, LeakyReLU 0.2, dropout) a layer on `pac` rows side by side, then Linear
//! onto one logit.

use datafusion_common::Result;

use super::adversarial::{self, Config, Defaults, Objective};
use super::layers::math::{sigmoid, softplus};
use super::layers::{Heads, Mlp};
use super::neural::{NeuralKind, Task};
use super::options::number;
use super::trained::Trained;
use super::{Accepts, OptionSpec, Options, training};

const DEFAULTS: Defaults = Defaults {
    common: training::Defaults {
        epochs: 30,
        batch_size: 250,
    },
    noise: 64,
    generator: &[128, 128],
    discriminator: &[256, 256],
    generator_rate: 1e-3,
    discriminator_rate: 1e-3,
    beta1: 0.5,
    beta2: 0.9,
    l2: 1e-6,
    discriminator_steps: 1,
    dropout: 0.5,
    pac: 5,
    tau: 0.2,
    average: 0.99,
};

/// The kind `gan`.
#[derive(Debug, Clone, Copy)]
pub struct GanKind;

/// The game of the logarithms.
#[derive(Debug, Clone, Copy)]
pub struct Logarithmic {
    pub non_saturating: bool,
    /// Real rows count as real to 1 minus this (one-sided label smoothing, Salimans et al., 2016).
    pub smoothing: f32,
}

impl Objective for Logarithmic {
    /// `-E log D(x) - E log(1 - D(G(z)))`.
    fn discriminator(&self, real: &[f32], drawn: &[f32], gradient: &mut [f32]) -> f32 {
        let share = 1.0 / real.len().max(1) as f32;
        let (of_real, of_drawn) = gradient.split_at_mut(real.len());
        let s = self.smoothing;
        let mut loss = 0.0;
        for (logit, gradient) in real.iter().zip(of_real) {
            loss += (1.0 - s) * softplus(-logit) + s * softplus(*logit);
            *gradient = share * (sigmoid(*logit) - (1.0 - s));
        }
        for (logit, gradient) in drawn.iter().zip(of_drawn) {
            loss += softplus(*logit);
            *gradient = share * sigmoid(*logit);
        }
        share * loss
    }

    /// `E log(1 - D(G(z)))`, or `-E log D(G(z))`.
    fn generator(&self, drawn: &[f32], gradient: &mut [f32]) -> f32 {
        let share = 1.0 / drawn.len().max(1) as f32;
        let mut loss = 0.0;
        for (logit, gradient) in drawn.iter().zip(gradient) {
            if self.non_saturating {
                loss += softplus(-logit);
                *gradient = share * (sigmoid(*logit) - 1.0);
            } else {
                loss -= softplus(*logit);
                *gradient = -share * sigmoid(*logit);
            }
        }
        share * loss
    }
}

impl NeuralKind for GanKind {
    const NAME: &'static str = "gan";
    const SUMMARY: &'static str =
        "generative adversarial network, minimax or non-saturating, for tables";

    fn own_options(&self) -> Vec<OptionSpec> {
        let mut specs = vec![OptionSpec {
            name: "loss",
            accepts: Accepts::Choice {
                default: "non_saturating",
                among: &["minimax", "non_saturating"],
            },
            help: "what the generator minimises: log(1 - D(G(z))) or -log D(G(z))",
        }];
        specs.extend(DEFAULTS.options());
        specs.push(number(
            "label_smoothing",
            0.1,
            0.0..=0.5,
            "real rows count as real to 1 minus this",
        ));
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
        let objective = Logarithmic {
            non_saturating: task.options.choice("loss")? == "non_saturating",
            smoothing: task.options.number("label_smoothing")? as f32,
        };
        adversarial::fit(&task, &config, &objective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesize::layers::tests::check;
    use crate::synthesize::wgan_gp::Wasserstein;

    #[test]
    fn objectives_have_their_gradients() {
        let logarithmic = |non_saturating| Logarithmic {
            non_saturating,
            smoothing: 0.1,
        };
        let wasserstein = Wasserstein { lambda: 10.0 };
        let objectives: [&dyn Objective; 3] =
            [&logarithmic(true), &logarithmic(false), &wasserstein];
        for objective in objectives {
            let answers = [0.3, -1.2, 2.0, 0.1, -0.4, 1.7];
            let mut gradient = [0.0; 6];
            objective.discriminator(&answers[..3], &answers[3..], &mut gradient);
            check("answer", &gradient, |i, step| {
                let mut moved = answers;
                moved[i] += step;
                objective.discriminator(&moved[..3], &moved[3..], &mut [0.0; 6])
            });
            objective.generator(&answers, &mut gradient);
            check("answer", &gradient, |i, step| {
                let mut moved = answers;
                moved[i] += step;
                objective.generator(&moved, &mut [0.0; 6])
            });
        }
    }
}
