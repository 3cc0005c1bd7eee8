//! `cnn`: a convolutional network of LeNet's size for pictures of one size; the kind that says what is in a picture.

mod network;
mod pictures;
mod weights;

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use datafusion_common::{DataFusionError, Result, exec_err, plan_err};
use rayon::prelude::*;

use super::kind::Predicting;
use super::network::{Network, Training, cross_entropy};
use super::{About, Learner, Scorer, Task};
use crate::images::value::is_image;
use crate::learn::largest;
use crate::learn::logistic::softmax;
use crate::synthesize::layers::{Frame, Matrix, Network as Parameters};
use crate::synthesize::optim::{Adam, AdamConfig};
use crate::synthesize::{
    Accepts, History, ModelFile, OptionSpec, Options, Watch, integer, parse_options, tensor_error,
    widths,
};
use network::{LeNet, Passes, Shape};
pub(crate) use pictures::Pictures;
use pictures::{Column, Scale, check, shift};

/// The most numbers that a network may have.
const MOST_PARAMETERS: usize = 100_000_000;
/// Pictures whose loss is computed at once.
const PORTION: usize = 256;

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
            integer(
                "shift",
                2,
                0..=64,
                "each picture is moved by up to so many pixels each way, anew in every step; 0 leaves pictures as they are",
            ),
        ];
        specs.extend(Training::options(40, 64));
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
        let picture = |field: &&&Field| is_picture(field);
        let names = |picture: bool| {
            let of = columns.iter().filter(|f| is_picture(f) == picture);
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
        looker.network.save("", file)?;
        let Frame {
            height,
            width,
            channels,
        } = pictures.frame;
        let frame = [height, width, channels].map(|side| side as f64);
        file.set_numbers("input.frame", &frame)?;
        file.set_numbers("input.scale", &looker.scale.0.concat())?;
        let without = task.labels.len() - labels.len();
        file.set_text("without", without.to_string());
        Ok(history)
    }

    fn load(&self, about: &About<'_>, file: &ModelFile) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(Looker::load(about.options, about.classes, file)?))
    }
}

fn is_picture(field: &Field) -> bool {
    field.data_type().is_binary() || is_image(field.data_type())
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

/// Where weights begin.
enum Start<'a> {
    Fresh,
    Model(&'a ModelFile),
    Weights(weights::Weights),
}

impl<'a> Start<'a> {
    fn of(task: &Task<'a>) -> Result<Self> {
        let path = task.options.text("weights");
        match task.base {
            Some(_) if !path.is_empty() => {
                plan_err!("a cnn starts from a model or from weights, not from both: leave one out")
            }
            Some(base) => Ok(Self::Model(base)),
            None if !path.is_empty() => Ok(Self::Weights(weights::Weights::read(path)?)),
            None if task.options.choice("freeze")? != "none" => plan_err!(
                "freeze keeps what another model has learnt: write CREATE MODEL ... USING cnn FROM model, or OPTIONS \
                 (weights 'file.safetensors', freeze 'features')"
            ),
            None => Ok(Self::Fresh),
        }
    }

    /// The size of pictures, if it is known.
    fn frame(&self) -> Result<Option<Frame>> {
        match self {
            Self::Model(file) => read_frame(file).map(Some),
            Self::Fresh | Self::Weights(_) => Ok(None),
        }
    }

    /// Gives a network its first weights; the pictures' scale, if it is known.
    fn begin(
        &self,
        classes: &[String],
        shape: &Shape,
        network: &mut LeNet,
    ) -> Result<Option<Scale>> {
        match self {
            Self::Fresh => Ok(None),
            Self::Weights(weights) => weights.begin(shape, network),
            Self::Model(file) => {
                let column = arrow::compute::cast(
                    &file.column("classes")?,
                    &arrow::datatypes::DataType::Utf8,
                )?;
                let column = arrow::array::AsArray::as_string::<i32>(&column);
                let old: Vec<&str> = column.iter().flatten().collect();
                adopt(network, file, classes, &old)?;
                read_scale(file, shape.input).map(Some)
            }
        }
    }
}

/// Takes a trained network's weights: of the last layer those of the classes that both have.
fn adopt(network: &mut LeNet, file: &ModelFile, classes: &[String], old: &[&str]) -> Result<()> {
    for parameter in network.parameters_mut() {
        let tensor = file.tensor(&parameter.name)?;
        let flat = tensor.flatten_all().map_err(tensor_error)?;
        let values = flat.to_vec1::<f32>().map_err(tensor_error)?;
        let columns = match LeNet::is_head(parameter) {
            true => old.len(),
            false => parameter.columns,
        };
        if values.len() != parameter.rows * columns {
            return exec_err!(
                "the model to start from has other layers: {} has shape {:?}, not {:?}",
                parameter.name,
                tensor.dims(),
                [parameter.rows, columns]
            );
        }
        if !LeNet::is_head(parameter) {
            parameter.values = values;
            continue;
        }
        for (to, class) in classes.iter().enumerate() {
            let Some(from) = old.iter().position(|other| other == class) else {
                continue;
            };
            for row in 0..parameter.rows {
                parameter.values[row * parameter.columns + to] = values[row * columns + from];
            }
        }
    }
    Ok(())
}

fn read_frame(file: &ModelFile) -> Result<Frame> {
    match file.numbers("input.frame")?[..] {
        [height, width, channels] if height >= 1.0 && width >= 1.0 && channels >= 1.0 => {
            Ok(Frame {
                height: height as usize,
                width: width as usize,
                channels: channels as usize,
            })
        }
        _ => exec_err!("the model file is damaged: input.frame"),
    }
}

fn read_scale(file: &ModelFile, frame: Frame) -> Result<Scale> {
    let numbers = file.numbers("input.scale")?;
    let scale: Vec<[f64; 2]> = numbers.chunks_exact(2).map(|c| [c[0], c[1]]).collect();
    let fits = scale
        .iter()
        .all(|[mean, scale]| mean.is_finite() && *scale > 0.0);
    match scale.len() == frame.channels && fits {
        true => Ok(Scale(scale)),
        false => exec_err!("the model file is damaged: input.scale"),
    }
}

/// A network while it is trained.
struct Trained<'a> {
    pictures: &'a Pictures,
    scale: &'a Scale,
    labels: &'a [u32],
    shift: usize,
    network: LeNet,
    kept: LeNet,
    adam: Adam,
    passes: Passes,
    scores: Matrix,
}

impl Trained<'_> {
    /// The mean loss of pictures, moved by so many pixels at most; its gradient is left in the scores.
    fn forward(&mut self, rows: &[u32], most: usize, key: u64) -> f32 {
        let frame = self.pictures.frame;
        let input = &mut self.passes.input;
        input.resize(rows.len() * frame.cells(), 0.0);
        input
            .par_chunks_exact_mut(frame.cells())
            .zip(rows)
            .enumerate()
            .for_each(|(i, (out, row))| {
                let pixels = self.pictures.get(*row as usize);
                self.scale.write(frame, pixels, shift(most, key, i), out);
            });
        let scores = self.network.forward(&mut self.passes);
        self.scores.reshape(scores.rows(), scores.columns());
        self.scores.cells_mut().copy_from_slice(scores.cells());
        let labels = rows.iter().map(|row| self.labels[*row as usize]);
        cross_entropy(&mut self.scores, labels)
    }
}

impl Network for Trained<'_> {
    fn step(&mut self, rows: &[u32], key: u64) -> f32 {
        let loss = self.forward(rows, self.shift, key);
        self.network.backward(&mut self.passes, &self.scores);
        self.adam.step(&mut self.network);
        loss
    }

    fn loss(&mut self, rows: &[u32]) -> f32 {
        let mut sum = 0.0;
        for rows in rows.chunks(PORTION) {
            sum += self.forward(rows, 0, 0) * rows.len() as f32;
        }
        sum / rows.len().max(1) as f32
    }

    fn keep(&mut self) {
        self.kept.clone_from(&self.network);
    }
}

/// A learnt network.
#[derive(Debug)]
pub struct Looker {
    network: LeNet,
    frame: Frame,
    scale: Scale,
    classes: usize,
    /// Rows that had no picture when it learnt.
    without: u64,
}

/// What looking at a picture needs; to be used again.
#[derive(Debug, Default)]
struct Room {
    bytes: Vec<u8>,
    passes: Passes,
    layers: Vec<f32>,
    scores: Vec<f32>,
}

/// What a network learns.
struct Lesson<'a> {
    pictures: &'a Pictures,
    labels: &'a [u32],
    options: &'a Options,
    watch: &'a dyn Watch,
}

impl Looker {
    /// Learns pictures; `begin` gives the network its first weights, and says what the pictures' scale is if it knows.
    fn train(
        lesson: Lesson<'_>,
        shape: &Shape,
        begin: impl FnOnce(&mut LeNet) -> Result<Option<Scale>>,
    ) -> Result<(Self, History)> {
        let Lesson {
            pictures,
            labels,
            options,
            watch,
        } = lesson;
        let training = Training::new(options)?;
        // Weights, the best so far, gradients and two moments; the pictures; what layers give of a batch.
        let batch = 24 * PORTION * shape.input.pixels() * shape.channels.iter().sum::<usize>();
        watch.reserve(20 * shape.count() + pictures.bytes() + batch)?;
        let mut network = LeNet::new(shape, training.seed);
        let scale = begin(&mut network)?.unwrap_or_else(|| pictures.scale());
        if options.choice("freeze")? == "features" {
            network.freeze_features();
        }
        let mut trained = Trained {
            pictures,
            scale: &scale,
            labels,
            shift: options.integer("shift")?,
            adam: Adam::new(AdamConfig {
                learning_rate: training.learning_rate,
                beta1: 0.9,
                beta2: 0.999,
                l2: training.l2,
                ..AdamConfig::default()
            }),
            kept: network.clone(),
            network,
            passes: Passes::default(),
            scores: Matrix::default(),
        };
        let history = training.run(labels.len(), watch, &mut trained)?;
        let looker = Self {
            network: trained.kept,
            frame: pictures.frame,
            classes: shape.classes,
            without: 0,
            scale,
        };
        Ok((looker, history))
    }

    /// Learns labelled pictures with the default options.
    pub fn learn(
        pictures: &Pictures,
        labels: &[u32],
        classes: usize,
        seed: i64,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let seed = ("seed".to_string(), seed.unsigned_abs().to_string());
        let options = parse_options(&Predicting(Cnn), &[seed])?;
        let shape = shape(&options, pictures.frame, classes)?;
        let lesson = Lesson {
            pictures,
            labels,
            options: &options,
            watch,
        };
        Ok(Self::train(lesson, &shape, |_| Ok(None))?.0)
    }

    /// How many features a picture has.
    pub fn features(&self) -> usize {
        self.network.features()
    }

    /// What the last layer but one says of each picture, and the most probable class.
    pub fn look(&self, pictures: &Pictures) -> (Vec<f32>, Vec<u32>) {
        let width = self.features();
        let cells = self.frame.cells();
        let mut features = vec![0.0; width * pictures.len()];
        let told = features
            .par_chunks_exact_mut(width)
            .enumerate()
            .map_init(Room::default, |room, (row, features)| {
                let Room {
                    passes,
                    layers,
                    scores,
                    ..
                } = room;
                passes.input.resize(cells, 0.0);
                self.scale
                    .write(self.frame, pictures.get(row), [0, 0], &mut passes.input);
                scores.resize(self.classes, 0.0);
                self.network.look(passes, layers, scores);
                features.copy_from_slice(&layers[layers.len() - width..]);
                let scores: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
                largest(&scores) as u32
            })
            .collect();
        (features, told)
    }

    fn load(options: &Options, classes: usize, file: &ModelFile) -> Result<Self> {
        let frame = read_frame(file)?;
        let mut network = LeNet::new(&shape(options, frame, classes)?, 0);
        network.restore("", file)?;
        Ok(Self {
            network,
            scale: read_scale(file, frame)?,
            without: file.json("without")?,
            frame,
            classes,
        })
    }
}

impl Scorer for Looker {
    fn probabilities(&self, inputs: &[ArrayRef], rows: usize) -> Result<Vec<f64>> {
        let mut told = vec![f64::NAN; rows * self.classes];
        let Some(column) = inputs.first() else {
            return exec_err!("a cnn looks at a column of pictures");
        };
        let column = Column::new(column)?;
        told.par_chunks_exact_mut(self.classes)
            .enumerate()
            .try_for_each_init(Room::default, |room, (row, told)| {
                let Room {
                    bytes,
                    passes,
                    layers,
                    scores,
                } = room;
                let Some(picture) = column.get(row, bytes)? else {
                    return Ok(());
                };
                check(picture.shape, self.frame)?;
                passes.input.resize(self.frame.cells(), 0.0);
                self.scale
                    .write(self.frame, picture.pixels, [0, 0], &mut passes.input);
                scores.resize(self.classes, 0.0);
                self.network.look(passes, layers, scores);
                for (told, score) in told.iter_mut().zip(scores.iter()) {
                    *told = f64::from(*score);
                }
                softmax(told);
                Ok::<(), DataFusionError>(())
            })?;
        Ok(told)
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        let Frame {
            height,
            width,
            channels,
        } = self.frame;
        let mut items = vec![
            (
                "pictures".to_string(),
                format!("{width} x {height} pixels of {channels} channels"),
            ),
            ("parameters".to_string(), self.network.count().to_string()),
        ];
        if self.without > 0 {
            items.push((
                "rows without a picture".to_string(),
                self.without.to_string(),
            ));
        }
        Ok(items)
    }
}
