//! `cnn`: a convolutional network of LeNet's size for pictures of one size; the kind that says what is in a picture.

mod augment;
mod looker;
mod network;
mod pictures;
mod start;
mod weights;

use arrow::datatypes::Field;
use datafusion_common::{Result, exec_err, plan_err};

use super::network::Training;
use super::{About, Learner, Scorer, Task};
use crate::images::value::is_picture;
use crate::synthesize::layers::Frame;
use crate::synthesize::{
    Accepts, History, ModelFile, OptionSpec, Options, integer, number, widths,
};
use augment::Augment;
use looker::Lesson;
use network::Shape;
use start::Start;

pub(crate) use looker::Looker;
pub(crate) use pictures::Pictures;

/// The most numbers that a network may have.
const MOST_PARAMETERS: usize = 100_000_000;

/// The kind `cnn`.
#[derive(Debug)]
pub struct Cnn;

impl Learner for Cnn {
    const NAME: &'static str = "cnn";
    const SUMMARY: &'static str =
        "a convolutional network of LeNet's size, for pictures; predicts a label";
    const ARCHITECTURE: &'static [&'static str] = &["channels", "window", "hidden"];

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = vec![
            widths(
                "channels",
                &[16, 32],
                "what each convolution gives; a pooling that halves the sides follows it",
            ),
            integer(
                "window",
                5,
                1..=15,
                "a convolution looks at a square of so many pixels",
            ),
            widths(
                "hidden",
                &[120, 84],
                "the widths of the dense layers before the last",
            ),
        ];
        specs.push(number(
            "dropout",
            0.3,
            0.0..=0.9,
            "the share of what the convolutions give that each training step hides from the dense layers",
        ));
        specs.extend(Augment::options());
        specs.extend(Training::options(40, 64, 0.0));
        specs.extend([
            OptionSpec {
                name: "freeze",
                accepts: Accepts::Choice {
                    default: "none",
                    among: &["none", "features"],
                },
                help: "what a model started FROM another, or with weights, keeps as it is: features, all layers but the last",
            },
            OptionSpec {
                name: "weights",
                accepts: Accepts::Text,
                help: "a safetensors file of weights to start with: conv.0.weight (out, in, rows, columns), conv.0.bias, ..., \
                       dense.0.weight (out, in), dense.0.bias, ..., and dense.output, all as PyTorch has them; without \
                       dense.output, or with another number of classes, the last layer is fresh. input.scale (channels, 2), if \
                       it is there, is each channel's mean and deviation, in 0 to 255",
            },
        ]);
        specs
    }

    fn check(&self, columns: &[&Field]) -> Result<()> {
        let picture = |field: &&&Field| is_picture(field.data_type());
        let names = |picture: bool| {
            let of = columns
                .iter()
                .filter(|f| is_picture(f.data_type()) == picture);
            of.map(|f| f.name().as_str()).collect::<Vec<_>>()
        };
        match (columns.iter().filter(picture).count(), columns.len()) {
            (1, 1) => Ok(()),
            (1, _) => plan_err!(
                "a cnn learns from one column of pictures alone. Write SELECT * EXCEPT ({}) FROM ...",
                names(false).join(", ")
            ),
            (0, _) => plan_err!(
                "a cnn learns from a column of pictures, and the training query has none. Write SELECT bytes, label FROM \
                 read_images('folder'), or image_from_pixels(pixels, width => 28, height => 28) AS image"
            ),
            _ => plan_err!(
                "a cnn learns from one column of pictures, and the training query has several: {}",
                names(true).join(", ")
            ),
        }
    }

    fn fit(&self, task: &Task<'_>, file: &mut ModelFile) -> Result<History> {
        let options = task.options;
        let start = Start::of(task)?;
        let (pictures, rows) = Pictures::read(task.inputs.column(0), start.frame()?)?;
        let labels: Vec<u32> = rows.iter().map(|row| task.labels[*row as usize]).collect();
        let shape = shape(options, pictures.frame, task.classes.len())?;
        let (looker, history) = Looker::train(
            Lesson {
                pictures: &pictures,
                labels: &labels,
                watch: task.watch,
                options,
            },
            &shape,
            |network| start.begin(task.classes, &shape, network),
        )?;
        looker.save(file)?;
        let without = task.labels.len() - labels.len();
        file.set_text("without", without.to_string());
        Ok(history)
    }

    fn load(&self, about: &About<'_>, file: &ModelFile) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(Looker::load(about.options, about.classes, file)?))
    }
}

fn shape(options: &Options, input: Frame, classes: usize) -> Result<Shape> {
    let shape = Shape {
        input,
        channels: options.integers("channels")?,
        window: options.integer("window")?,
        hidden: options.integers("hidden")?,
        classes,
    };
    if shape.last().pixels() == 0 {
        return exec_err!(
            "pictures of {} x {} pixels are too small for {} convolutions that halve their sides. Write fewer channels, as in \
             OPTIONS (channels [16])",
            input.width,
            input.height,
            shape.channels.len()
        );
    }
    if shape.count() > MOST_PARAMETERS {
        return exec_err!(
            "the network would have {} weights, more than the {MOST_PARAMETERS} allowed: make the pictures smaller with \
             image_resize, or write more channels, each of which halves the sides",
            shape.count()
        );
    }
    Ok(shape)
}
