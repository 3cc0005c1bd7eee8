//! The network that turns numbers into pictures: the generator of a GAN, the decoder of an autoencoder.
//!
//! Linear onto a small picture of many channels, to which every class adds one of its own; then for every
//! doubling of the sides a transposed convolution (window 4, stride 2) onto half the channels; BatchNorm and ReLU
//! behind each; a convolution of window 3 onto the colours, and tanh: pixels in -1 to 1. Sides that
//! doublings do not give are the middle of the next larger ones.

use rayon::prelude::*;

use crate::synthesize::layers::{
    Activation, Axis, BatchNorm, Conv, Frame, Linear, Matrix, Moments, Network, Parameter, Place,
    Shape, Statistics, Window,
};
use crate::synthesize::rng;

use super::pixels::{Shares, noise};

/// Batches of noise that the batch-norm statistics of sampling are taken over.
const CALIBRATION_BATCHES: u64 = 50;

/// The smaller side is halved while it stays at least this.
const LEAST_SIDE: usize = 6;

/// The most channels, as a multiple of those of the full size.
const MOST_WIDENING: usize = 8;

/// How a picture is halved and doubled.
pub const HALVING: Window = Window {
    side: 4,
    stride: 2,
    padding: 1,
};

/// How a picture is looked at without a change of its size.
const KEEPING: Window = Window {
    side: 3,
    stride: 1,
    padding: 1,
};

/// How often networks halve the sides of pictures, or double them.
pub fn halvings(frame: Frame) -> usize {
    let mut side = frame.height.min(frame.width);
    let mut count = 0;
    while count == 0 || side.div_ceil(2) >= LEAST_SIDE {
        side = side.div_ceil(2);
        count += 1;
    }
    count
}

/// The channels after so many halvings, of so many at full size.
pub fn channels(width: usize, halvings: usize) -> usize {
    width * (1 << halvings.min(16)).min(MOST_WIDENING)
}

/// What a generator looks like.
#[derive(Debug, Clone, Copy)]
pub struct GeneratorShape {
    pub frame: Frame,
    /// Numbers that a picture begins with.
    pub inputs: usize,
    /// Classes of pictures; 0 where there are none.
    pub classes: usize,
    /// Channels at full size.
    pub width: usize,
}

impl GeneratorShape {
    /// The picture after so many doublings.
    fn level(&self, doublings: usize) -> Frame {
        let rest = halvings(self.frame) - doublings;
        let side = |pixels: usize| pixels.div_ceil(1 << halvings(self.frame)) << doublings;
        Frame {
            height: side(self.frame.height),
            width: side(self.frame.width),
            channels: channels(self.width, rest),
        }
    }

    /// How many weights it has, but for biases and the like.
    pub fn count(&self) -> usize {
        let first = (self.inputs + self.classes) * self.level(0).cells();
        let levels = 0..halvings(self.frame);
        let doublings = levels.map(|i| self.level(i).channels * self.level(i + 1).channels);
        first + 16 * doublings.sum::<usize>()
    }
}

#[derive(Debug, Clone)]
pub struct Generator {
    shape: GeneratorShape,
    start: Linear,
    doublings: Vec<Conv>,
    /// One more than there are doublings.
    norms: Vec<BatchNorm>,
    output: Conv,
}

/// What a forward pass leaves for the backward pass; buffers to be used again.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    /// What pictures begin with, one a row.
    pub input: Matrix,
    /// Their classes, where the network knows any.
    pub classes: Vec<u32>,
    normal: Vec<Matrix>,
    moments: Vec<Moments>,
    statistics: Vec<Statistics>,
    x: Vec<Matrix>,
    /// Before the middle is taken.
    grown: Matrix,
    /// The pictures, one a row.
    pub output: Matrix,
    delta: Matrix,
    gradient: Matrix,
    /// The gradient of the input, if it was asked for.
    pub by_input: Matrix,
}

impl Tape {
    /// A batch of noise that the key gives.
    pub fn noise(&mut self, rows: usize, width: usize, key: u64) {
        self.input.reshape(rows, width);
        let cells = self.input.cells_mut().par_chunks_exact_mut(width);
        cells
            .enumerate()
            .for_each(|(row, cells)| noise(rng::key(key, row as u64), cells));
    }
}

impl Generator {
    pub fn new(name: &str, shape: GeneratorShape, seed: u64) -> Self {
        let first = shape.level(0);
        let start = Shape {
            name: &format!("{name}.start"),
            inputs: (shape.inputs, Axis::Units),
            outputs: (first.cells(), Axis::Units),
            conditions: shape.classes,
        };
        let count = halvings(shape.frame);
        let doublings = (0..count).map(|i| {
            let (from, to) = (shape.level(i), shape.level(i + 1));
            let name = format!("{name}.doubling.{i}");
            Conv::transposed(&name, HALVING, from.channels, to, seed)
        });
        let norms = (0..=count).map(|i| {
            let name = format!("{name}.norm.{i}");
            BatchNorm::new(&name, shape.level(i).channels, seed)
        });
        let (name, last) = (format!("{name}.output"), shape.level(count));
        Self {
            start: Linear::new(start, seed),
            doublings: doublings.collect(),
            norms: norms.collect(),
            output: Conv::new(&name, KEEPING, last, shape.frame.channels, seed),
            shape,
        }
    }

    pub fn inputs(&self) -> usize {
        self.shape.inputs
    }

    /// Pictures from the tape's input and classes.
    pub fn forward(&self, tape: &mut Tape, statistics: Statistics) {
        let levels = self.norms.len();
        tape.normal.resize_with(levels, Matrix::default);
        tape.x.resize_with(levels, Matrix::default);
        tape.moments.resize_with(levels, Moments::default);
        tape.statistics.resize(levels, statistics);
        let count = tape.input.rows();
        for (i, norm) in self.norms.iter().enumerate() {
            let frame = self.shape.level(i);
            let sums = &mut tape.normal[i];
            match i.checked_sub(1) {
                None => {
                    self.start.forward(tape.input.view(), &tape.classes, sums);
                    sums.reshape(count * frame.pixels(), frame.channels);
                }
                Some(below) => self.doublings[below].forward(tape.x[below].cells(), sums),
            }
            let out = &mut tape.x[i];
            out.reshape(count * frame.pixels(), frame.channels);
            // What is frozen does not adapt to the batch either.
            tape.statistics[i] = match norm.frozen() {
                true => Statistics::Running,
                false => statistics,
            };
            let place = whole(frame);
            tape.moments[i] = norm.forward(sums, tape.statistics[i], out.cells_mut(), place);
        }
        self.output
            .forward(tape.x[levels - 1].cells(), &mut tape.grown);
        let frame = self.shape.frame;
        tape.output.reshape(count, frame.cells());
        let (grown, output) = (tape.grown.cells(), tape.output.cells_mut());
        let of_grown = self.output.output();
        output
            .par_chunks_exact_mut(frame.cells())
            .zip(grown.par_chunks_exact(of_grown.cells()))
            .for_each(|(picture, grown)| {
                for (row, from) in middle(of_grown, frame) {
                    let (to, width) = (row * frame.width * frame.channels, row_cells(frame));
                    picture[to..to + width].copy_from_slice(&grown[from..from + width]);
                }
            });
        Activation::Tanh.forward(output);
    }

    /// The gradients of all parameters, of the gradient of the pictures; with `inputs` the input's too.
    pub fn backward(&mut self, tape: &mut Tape, gradient: &[f32], inputs: bool) {
        let frame = self.shape.frame;
        let count = tape.output.rows();
        let delta = &mut tape.delta;
        delta.reshape(count, frame.cells());
        delta.cells_mut().copy_from_slice(gradient);
        Activation::Tanh.backward(tape.output.cells(), delta.cells_mut());
        let of_grown = self.output.output();
        let grown = &mut tape.grown;
        grown.cells_mut().fill(0.0);
        grown
            .cells_mut()
            .par_chunks_exact_mut(of_grown.cells())
            .zip(delta.cells().par_chunks_exact(frame.cells()))
            .for_each(|(grown, delta)| {
                for (row, to) in middle(of_grown, frame) {
                    let (from, width) = (row * frame.width * frame.channels, row_cells(frame));
                    grown[to..to + width].copy_from_slice(&delta[from..from + width]);
                }
            });
        let last = self.doublings.len();
        let by_grown = grown.cells();
        self.output.backward(tape.x[last].cells(), by_grown, count);
        self.output.inputs_gradient(by_grown, &mut tape.gradient);
        for i in (0..=last).rev() {
            self.norms[i].backward(
                &tape.normal[i],
                &tape.moments[i],
                tape.statistics[i],
                tape.gradient.cells(),
                whole(self.shape.level(i)),
                &mut tape.delta,
            );
            let delta = &tape.delta;
            if i > 0 {
                let conv = &mut self.doublings[i - 1];
                conv.backward(tape.x[i - 1].cells(), delta.cells(), count);
                conv.inputs_gradient(delta.cells(), &mut tape.gradient);
            }
        }
        let delta = &mut tape.delta;
        delta.reshape(count, self.shape.level(0).cells());
        let start = &mut self.start;
        start.backward(tape.input.view(), &tape.classes, delta.cells(), count);
        if inputs {
            tape.by_input.reshape(count, self.shape.inputs);
            let out = tape.by_input.view_mut();
            start.inputs_gradient(delta.view(), 0, out, faer::Accum::Replace);
        }
    }

    /// Pictures of noise that the key gives, of classes by their shares; normalised by the batch's own
    /// statistics.
    pub fn draw(&self, tape: &mut Tape, shares: &Shares, rows: usize, key: u64) {
        let keys = (0..rows as u64).map(|row| rng::key(key, row));
        tape.classes.clear();
        tape.classes.extend(keys.filter_map(|key| shares.draw(key)));
        tape.noise(rows, self.shape.inputs, key);
        self.forward(tape, Statistics::Batch);
    }

    /// The running statistics become the mean of those of many batches of noise.
    pub fn settle(&mut self, tape: &mut Tape, shares: &Shares, rows: usize, seed: u64) {
        for i in 0..CALIBRATION_BATCHES {
            let key = rng::key(rng::hash(seed, b"calibration"), i);
            self.draw(tape, shares, rows, key);
            self.calibrate(tape, 1.0 / (i + 1) as f32);
        }
    }

    /// Moves the running statistics by a share to those of the pass that the tape holds; frozen ones stay.
    pub fn calibrate(&mut self, tape: &Tape, share: f32) {
        for (i, norm) in self.norms.iter_mut().enumerate() {
            if !norm.frozen() {
                norm.calibrate(&tape.moments[i], tape.x[i].rows(), share);
            }
        }
    }

    /// Keeps everything as it is but for what the classes add and the last layer.
    pub fn freeze(&mut self) {
        self.start.freeze();
        self.doublings.iter_mut().for_each(Conv::freeze);
        self.norms.iter_mut().for_each(BatchNorm::freeze);
    }
}

impl Network for Generator {
    fn parameters(&self) -> Vec<&Parameter> {
        let doublings = self.doublings.iter().flat_map(Conv::parameters);
        let norms = self.norms.iter().flat_map(BatchNorm::parameters);
        let all = self.start.parameters().chain(doublings).chain(norms);
        all.chain(self.output.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let doublings = self.doublings.iter_mut().flat_map(Conv::parameters_mut);
        let norms = self.norms.iter_mut().flat_map(BatchNorm::parameters_mut);
        let all = self.start.parameters_mut().chain(doublings).chain(norms);
        all.chain(self.output.parameters_mut()).collect()
    }
}

/// Pixels as the rows of a matrix of their own.
fn whole(frame: Frame) -> Place {
    Place {
        begin: 0,
        width: frame.channels,
        stride: frame.channels,
    }
}

fn row_cells(frame: Frame) -> usize {
    frame.width * frame.channels
}

/// The rows of a picture, each with the cell of a larger picture at which it begins there in the middle.
fn middle(of: Frame, frame: Frame) -> impl Iterator<Item = (usize, usize)> {
    let top = (of.height - frame.height) / 2;
    let left = (of.width - frame.width) / 2;
    (0..frame.height).map(move |row| (row, ((top + row) * of.width + left) * of.channels))
}
