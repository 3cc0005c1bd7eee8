//! `conv_vae`: a convolutional variational autoencoder of pictures and their classes (Kingma and Welling, 2014).
//!
//! [`super::autoencoder`] has the networks and the loss. A picture is drawn by decoding a standard normal: its pixels are
//! the means, so it is smoother than a GAN's, and never far from what was learnt.

use datafusion_common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use super::autoencoder::{Autoencoder, Settings};
use super::data::Format;
use super::generator::{Generator, GeneratorShape, Tape};
use super::judge::{Looks, Sample};
use super::pixels::Shares;
use super::trunk::Trunk;
use super::{PictureKind, Task};
use crate::synthesize::layers::Network;
use crate::synthesize::optim::AdamConfig;
use crate::synthesize::options::{integer, number};
use crate::synthesize::trained::{Start, Trained};
use crate::synthesize::training::{self, Batch, Common, Schedule, Trainee};
use crate::synthesize::{ModelFile, OptionSpec, Options};

const DEFAULTS: training::Defaults = training::Defaults {
    epochs: 60,
    batch_size: 64,
};

/// The kind `conv_vae`.
#[derive(Debug, Clone, Copy)]
pub struct ConvVae;

impl PictureKind for ConvVae {
    const NAME: &'static str = "conv_vae";
    const SUMMARY: &'static str =
        "convolutional variational autoencoder, for small pictures with a label";
    const ARCHITECTURE: &'static [&'static str] = &["embedding", "width", "encoder_width"];

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = Common::options(&DEFAULTS);
        specs.extend([
            integer("embedding", 16, 1..=4096, "width of a picture's code"),
            integer(
                "width",
                32,
                1..=512,
                "channels of the decoder at full size; twice as many at half of it",
            ),
            integer(
                "encoder_width",
                32,
                1..=512,
                "channels of the encoder's first layer; twice as many in the next",
            ),
            number("rate", 1e-3, 1e-8..=1.0, "Adam's learning rate"),
            number(
                "loss_factor",
                0.1,
                1e-3..=1e3,
                "weight of the reconstruction against the code's distribution",
            ),
        ]);
        specs
    }

    fn generator(&self, options: &Options, format: &Format) -> Result<Generator> {
        Ok(Generator::new("decoder", shape(options, format)?, 0))
    }

    fn fit(&self, task: &Task<'_>) -> Result<Trained> {
        let options = task.options;
        let settings = Settings {
            decoder: shape(options, task.format)?,
            encoder: options.integer("encoder_width")?,
            adam: AdamConfig {
                learning_rate: options.number("rate")?,
                beta1: 0.9,
                beta2: 0.999,
                ..AdamConfig::default()
            },
            factor: options.number("loss_factor")? as f32,
            seed: task.common.seed,
        };
        let seen = Trunk::count(task.format.frame, settings.encoder);
        task.check_size(settings.decoder.count() + seen)?;
        let mut coder = Autoencoder::new(settings, task.pictures);
        task.start
            .begin(&mut coder.networks, "training.", "training.")?;
        if let Start::Transfer { .. } = task.start {
            // The decoder that the other model draws with, which may not be its last.
            task.start.begin(&mut coder.networks.decoder, "", "")?;
        }
        if task.common.freeze {
            coder.networks.decoder.freeze();
        }
        if let Start::Resume { file, .. } = &task.start {
            let steps: Steps = file.json("steps")?;
            coder.adam.steps = steps.adam;
        }
        let shares = task.format.shares();
        let schedule = Schedule::new(task.pictures.count(), 1, task.common, task.start.done());
        let judge = Looks::new(task.pictures, task.format.names());
        let mut learner = Learner {
            coder,
            shares: &shares,
            kept: None,
        };
        let (history, done) = schedule.run(&mut learner, &judge, task.watch)?;
        Ok(Trained {
            file: learner.finish(schedule.batch_size, task.common.seed)?,
            history,
            done,
        })
    }
}

fn shape(options: &Options, format: &Format) -> Result<GeneratorShape> {
    Ok(GeneratorShape {
        frame: format.frame,
        inputs: options.integer("embedding")?,
        classes: format.count(),
        width: options.integer("width")?,
    })
}

/// What goes on where a training is resumed, beside weights.
#[derive(Debug, Serialize, Deserialize)]
struct Steps {
    adam: u64,
}

/// The autoencoder as it is trained, and the decoder that the model gets.
struct Learner<'a> {
    coder: Autoencoder<'a>,
    shares: &'a Shares,
    kept: Option<Generator>,
}

impl Learner<'_> {
    fn finish(mut self, batch_size: usize, seed: u64) -> Result<ModelFile> {
        let networks = &self.coder.networks;
        let mut kept = self.kept.take().unwrap_or_else(|| networks.decoder.clone());
        kept.settle(&mut Tape::default(), self.shares, batch_size, seed);
        let mut file = ModelFile::default();
        kept.save("", &mut file)?;
        networks.save("training.", &mut file)?;
        networks.save_moments("training.", &mut file)?;
        let steps = serde_json::to_string(&Steps {
            adam: self.coder.adam.steps,
        });
        let steps = steps.map_err(|error| DataFusionError::External(Box::new(error)))?;
        file.set_text("steps", steps);
        Ok(file)
    }
}

impl Trainee for Learner<'_> {
    type Sample = Sample;

    fn losses(&self) -> &'static [&'static str] {
        &["reconstruction", "divergence"]
    }

    fn step(&mut self, batch: Batch<'_>) -> Vec<f32> {
        self.coder.step(batch.rows, batch.step).to_vec()
    }

    fn draw(&mut self, rows: usize) -> Sample {
        self.coder.sample(self.shares, rows)
    }

    fn keep(&mut self) {
        self.kept = Some(self.coder.networks.decoder.clone());
    }
}
