//! `conv_gan`: a convolutional GAN of pictures and their classes (Radford et al., 2016).
//!
//! [`Generator`] G and [`super::discriminator`] D play the non-saturating game of [`super::game`]: G with a picture
//! of its own for every class, D with a direction for each; D sees real and drawn pictures through the same
//! random changes, so that a few thousand of them are enough, and pays for steep gradients at real ones; G is
//! sampled with a running average of its weights.

use datafusion_common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use super::data::Format;
use super::diff_augment::DiffAugment;
use super::game::{Game, Settings};
use super::generator::{Generator, GeneratorShape, Tape};
use super::judge::{Looks, Sample};
use super::pixels::Shares;
use super::trunk::Trunk;
use super::{PictureKind, Task};
use crate::synthesize::gan::Logarithmic;
use crate::synthesize::layers::Network;
use crate::synthesize::optim::AdamConfig;
use crate::synthesize::options::{integer, number};
use crate::synthesize::trained::{Start, Trained};
use crate::synthesize::training::{self, Batch, Common, Schedule, Trainee};
use crate::synthesize::{ModelFile, OptionSpec, Options};

const DEFAULTS: training::Defaults = training::Defaults {
    epochs: 100,
    batch_size: 64,
};

/// The game of the logarithms, G's part of which has gradients that do not vanish early on.
const OBJECTIVE: Logarithmic = Logarithmic {
    non_saturating: true,
    smoothing: 0.0,
};

/// The kind `conv_gan`.
#[derive(Debug, Clone, Copy)]
pub struct ConvGan;

impl PictureKind for ConvGan {
    const NAME: &'static str = "conv_gan";
    const SUMMARY: &'static str = "convolutional GAN, for small pictures with a label";
    const ARCHITECTURE: &'static [&'static str] = &["noise", "width", "discriminator_width"];

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = Common::options(&DEFAULTS);
        specs.extend([
            integer(
                "noise",
                64,
                1..=4096,
                "width of the noise a picture starts from",
            ),
            integer(
                "width",
                32,
                1..=512,
                "channels of the generator at full size; twice as many at half of it",
            ),
            integer(
                "discriminator_width",
                32,
                1..=512,
                "channels of the discriminator's first layer; twice as many in the next",
            ),
            number(
                "generator_rate",
                5e-4,
                1e-8..=1.0,
                "Adam's learning rate of the generator",
            ),
            number(
                "discriminator_rate",
                5e-4,
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
                0.99,
                0.0..=0.99999,
                "Adam's decay of the second moment",
            ),
            number(
                "lambda",
                0.1,
                0.0..=1e4,
                "weight of the penalty on the discriminator's gradients at real pictures",
            ),
            number(
                "shift",
                0.1,
                0.0..=0.5,
                "largest shift of what the discriminator sees, as a share of the sides",
            ),
            number(
                "cutout",
                0.25,
                0.0..=1.0,
                "sides of the square that is cut out of it, as a share of the picture's",
            ),
            number(
                "brightness",
                0.2,
                0.0..=1.0,
                "largest change of its brightness where pictures are in colour, as a share of the range",
            ),
            number(
                "average",
                0.995,
                0.0..=0.99999,
                "decay of the running average of the generator's weights; 0 takes the last",
            ),
        ]);
        specs
    }

    fn generator(&self, options: &Options, format: &Format) -> Result<Generator> {
        Ok(Generator::new("generator", shape(options, format)?, 0))
    }

    fn fit(&self, task: &Task<'_>) -> Result<Trained> {
        let options = task.options;
        let adam = |rate: &str| -> Result<AdamConfig> {
            Ok(AdamConfig {
                learning_rate: options.number(rate)?,
                beta1: options.number("beta1")?,
                beta2: options.number("beta2")?,
                ..AdamConfig::default()
            })
        };
        let settings = Settings {
            generator: shape(options, task.format)?,
            discriminator: options.integer("discriminator_width")?,
            generator_adam: adam("generator_rate")?,
            discriminator_adam: adam("discriminator_rate")?,
            lambda: options.number("lambda")? as f32,
            augment: DiffAugment {
                shift: options.number("shift")? as f32,
                cutout: options.number("cutout")? as f32,
                brightness: options.number("brightness")? as f32,
            },
            average: options.number("average")?,
            seed: task.common.seed,
        };
        let seen = Trunk::count(task.format.frame, settings.discriminator);
        task.check_size(settings.generator.count() + seen)?;
        let mut game = Game::new(settings, &OBJECTIVE, task.pictures);
        task.start.begin(&mut game.generator, "", "training.")?;
        task.start
            .begin(&mut game.discriminator, "training.", "training.")?;
        if task.common.freeze {
            game.generator.freeze();
        }
        game.forget();
        if let Start::Resume { file, .. } = &task.start {
            let steps: Steps = file.json("steps")?;
            let mut averaged = game.generator.clone();
            averaged.restore("average.", file)?;
            game.average.restore(&averaged, steps.average);
            game.generator_adam.steps = steps.generator;
            game.discriminator_adam.steps = steps.discriminator;
        }
        let shares = task.format.shares();
        let schedule = Schedule::new(task.pictures.count(), 1, task.common, task.start.done());
        let judge = Looks::new(task.pictures, task.format.names());
        let mut play = Play {
            game,
            shares: &shares,
            kept: None,
        };
        let (history, done) = schedule.run(&mut play, &judge, task.watch)?;
        Ok(Trained {
            file: play.finish(schedule.batch_size, task.common.seed)?,
            history,
            done,
        })
    }
}

fn shape(options: &Options, format: &Format) -> Result<GeneratorShape> {
    Ok(GeneratorShape {
        frame: format.frame,
        inputs: options.integer("noise")?,
        classes: format.count(),
        width: options.integer("width")?,
    })
}

/// What goes on where a training is resumed, beside weights.
#[derive(Debug, Serialize, Deserialize)]
struct Steps {
    generator: u64,
    discriminator: u64,
    average: u64,
}

/// The game as it is trained, and the generator that the model gets.
struct Play<'a> {
    game: Game<'a>,
    shares: &'a Shares,
    kept: Option<Generator>,
}

impl Play<'_> {
    fn finish(mut self, batch_size: usize, seed: u64) -> Result<ModelFile> {
        let game = &self.game;
        let mut kept = self.kept.take().unwrap_or_else(|| game.averaged());
        kept.settle(&mut Tape::default(), self.shares, batch_size, seed);
        let mut file = ModelFile::default();
        kept.save("", &mut file)?;
        game.generator.save("training.", &mut file)?;
        game.generator.save_moments("training.", &mut file)?;
        game.averaged().save("average.", &mut file)?;
        game.discriminator.save("training.", &mut file)?;
        game.discriminator.save_moments("training.", &mut file)?;
        let steps = serde_json::to_string(&Steps {
            generator: game.generator_adam.steps,
            discriminator: game.discriminator_adam.steps,
            average: game.average.steps,
        });
        let steps = steps.map_err(|error| DataFusionError::External(Box::new(error)))?;
        file.set_text("steps", steps);
        Ok(file)
    }
}

impl Trainee for Play<'_> {
    type Sample = Sample;

    fn losses(&self) -> &'static [&'static str] {
        &["generator", "discriminator"]
    }

    fn step(&mut self, batch: Batch<'_>) -> Vec<f32> {
        self.game.step(batch.rows, batch.step).to_vec()
    }

    fn draw(&mut self, rows: usize) -> Sample {
        self.game.sample(self.shares, rows)
    }

    fn keep(&mut self) {
        self.kept = Some(self.game.averaged());
    }
}
