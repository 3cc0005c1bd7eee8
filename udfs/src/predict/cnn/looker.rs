//! A network that is trained on pictures, and then looks at others.

use arrow::array::ArrayRef;
use datafusion_common::{DataFusionError, Result, exec_err};
use rayon::prelude::*;

use super::super::Scorer;
use super::super::kind::Predicting;
use super::super::network::{Network, Training, cross_entropy};
use super::augment::Augment;
use super::network::{LeNet, Passes, Shape};
use super::pictures::{Column, Pictures, Scale, check};
use super::{Cnn, shape};
use crate::learn::largest;
use crate::learn::logistic::softmax;
use crate::synthesize::layers::{Frame, Matrix, Network as Parameters};
use crate::synthesize::optim::{Adam, AdamConfig, Average};
use crate::synthesize::{History, ModelFile, Options, Watch, parse_options, rng};

/// Pictures whose loss is computed at once.
const PORTION: usize = 256;
/// How much of the average of the weights a step keeps: the model gets the average, which steps back and forth do not move.
const DECAY: f64 = 0.99;

pub fn read_frame(file: &ModelFile) -> Result<Frame> {
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

pub fn read_scale(file: &ModelFile, frame: Frame) -> Result<Scale> {
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
    view: View<'a>,
    network: LeNet,
    average: Average,
    /// Room for the network of the average weights.
    mean: LeNet,
    kept: LeNet,
    adam: Adam,
}

/// The pictures as a network that is trained sees them.
struct View<'a> {
    pictures: &'a Pictures,
    scale: &'a Scale,
    labels: &'a [u32],
    augment: Augment,
    dropout: f32,
    passes: Passes,
    scores: Matrix,
}

impl View<'_> {
    /// The mean loss of a network on pictures, changed by a step's key; its gradient is left in the scores.
    fn forward(&mut self, network: &LeNet, rows: &[u32], key: Option<u64>) -> f32 {
        let frame = self.pictures.frame;
        let input = &mut self.passes.input;
        input.resize(rows.len() * frame.cells(), 0.0);
        input
            .par_chunks_exact_mut(frame.cells())
            .zip(rows)
            .enumerate()
            .for_each(|(i, (out, row))| {
                let pixels = self.pictures.get(*row as usize);
                match key.and_then(|key| self.augment.draw(key, i)) {
                    Some(change) => change.write(self.scale, frame, pixels, out),
                    None => self.scale.write(pixels, out),
                }
            });
        self.passes.mask.clear();
        if let Some(key) = key.filter(|_| self.dropout > 0.0) {
            let width = network.dense_inputs();
            self.passes.mask.resize(rows.len() * width, 0.0);
            let kept = 1.0 / (1.0 - self.dropout);
            let masks = self.passes.mask.par_chunks_exact_mut(width);
            masks.enumerate().for_each(|(i, mask)| {
                let mut stream = rng::stream(key, "dropout", i as u64);
                mask.fill_with(|| match rng::uniform(&mut stream) < self.dropout {
                    true => 0.0,
                    false => kept,
                });
            });
        }
        let scores = network.forward(&mut self.passes);
        self.scores.reshape(scores.rows(), scores.columns());
        self.scores.cells_mut().copy_from_slice(scores.cells());
        let labels = rows.iter().map(|row| self.labels[*row as usize]);
        cross_entropy(&mut self.scores, labels)
    }
}

impl Network for Trained<'_> {
    fn step(&mut self, rows: &[u32], key: u64) -> f32 {
        let loss = self.view.forward(&self.network, rows, Some(key));
        self.network
            .backward(&mut self.view.passes, &self.view.scores);
        self.adam.step(&mut self.network);
        self.average.update(&self.network);
        loss
    }

    fn loss(&mut self, rows: &[u32]) -> f32 {
        self.average.apply(&mut self.mean);
        let mut sum = 0.0;
        for rows in rows.chunks(PORTION) {
            sum += self.view.forward(&self.mean, rows, None) * rows.len() as f32;
        }
        sum / rows.len().max(1) as f32
    }

    fn keep(&mut self) {
        self.average.apply(&mut self.kept);
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
pub struct Lesson<'a> {
    pub pictures: &'a Pictures,
    pub labels: &'a [u32],
    pub options: &'a Options,
    pub watch: &'a dyn Watch,
}

impl Looker {
    /// Learns pictures; `begin` gives the network its first weights, and says what the pictures' scale is if it knows.
    pub fn train(
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
        // Weights, their average, twice, the best so far, gradients and two moments; the pictures; what layers give.
        let batch = 24 * PORTION * shape.input.pixels() * shape.channels.iter().sum::<usize>();
        watch.reserve(28 * shape.count() + pictures.bytes() + batch)?;
        let mut network = LeNet::new(shape, training.seed);
        let scale = begin(&mut network)?.unwrap_or_else(|| pictures.scale());
        let mut dropout = options.number("dropout")? as f32;
        if options.choice("freeze")? == "features" {
            network.freeze_features();
            dropout = 0.0;
        }
        let mut trained = Trained {
            view: View {
                pictures,
                scale: &scale,
                labels,
                augment: Augment::new(options)?,
                dropout,
                passes: Passes::default(),
                scores: Matrix::default(),
            },
            adam: Adam::new(AdamConfig {
                learning_rate: training.learning_rate,
                beta1: 0.9,
                beta2: 0.999,
                l2: training.l2,
                ..AdamConfig::default()
            }),
            average: Average::new(&network, DECAY),
            mean: network.clone(),
            kept: network.clone(),
            network,
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
                self.scale.write(pictures.get(row), &mut passes.input);
                scores.resize(self.classes, 0.0);
                self.network.look(passes, layers, scores);
                features.copy_from_slice(&layers[layers.len() - width..]);
                let scores: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
                largest(&scores) as u32
            })
            .collect();
        (features, told)
    }

    /// Writes what was learnt into a model's file.
    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        self.network.save("", file)?;
        let Frame {
            height,
            width,
            channels,
        } = self.frame;
        let frame = [height, width, channels].map(|side| side as f64);
        file.set_numbers("input.frame", &frame)?;
        file.set_numbers("input.scale", &self.scale.0.concat())
    }

    /// Reads back what [`Self::save`] wrote.
    pub fn load(options: &Options, classes: usize, file: &ModelFile) -> Result<Self> {
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
                self.scale.write(picture.pixels, &mut passes.input);
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
