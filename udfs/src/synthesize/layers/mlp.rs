//! A multi-layer perceptron with its backward pass: generators, encoders and decoders.
//!
//! A hidden layer is (Linear, BatchNorm, ReLU), or (Linear, ReLU) without `norm`; `residual` layers see
//! what all layers before them saw and gave, side by side, as the residual layers of CTGAN's generator
//! do. One wide matrix holds the input and all layers' outputs, so nothing is ever put together by copying.

use faer::Accum;
use rayon::prelude::*;

use super::batch_norm::{Moments, Place};
use super::linear::{Linear, Shape};
use super::matrix::Matrix;
use super::{Axis, BatchNorm, Network, Parameter, Statistics};
use crate::synthesize::rng;

/// Weights between conditions and outputs; where there would be more there are none.
const MOST_OUTPUT_CONDITIONS: usize = 4_000_000;

/// What a network looks like.
#[derive(Debug, Clone)]
pub struct MlpShape<'a> {
    /// Begins the names of its parameters.
    pub name: &'a str,
    pub inputs: (usize, Axis),
    pub hidden: &'a [usize],
    pub outputs: (usize, Axis),
    /// Cells of the conditions that the layers see.
    pub conditions: usize,
    pub norm: bool,
    pub residual: bool,
}

impl MlpShape<'_> {
    /// How many weights it has, but for biases and the like.
    pub fn count(&self) -> usize {
        let mut seen = self.inputs.0;
        let mut count = 0;
        for &width in self.hidden {
            count += (seen + self.conditions) * width;
            seen = if self.residual { seen + width } else { width };
        }
        count + (seen + self.output_conditions()) * self.outputs.0
    }

    /// Conditions that the output sees itself: of wide tables the hidden layers tell it, since every
    /// category would have a weight for every other.
    fn output_conditions(&self) -> usize {
        match self.conditions.saturating_mul(self.outputs.0) > MOST_OUTPUT_CONDITIONS {
            true => 0,
            false => self.conditions,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Mlp {
    inputs: usize,
    residual: bool,
    hidden: Vec<Hidden>,
    output: Linear,
}

#[derive(Debug, Clone)]
struct Hidden {
    linear: Linear,
    norm: Option<BatchNorm>,
    /// Where in the wide matrix it writes to.
    begin: usize,
    width: usize,
}

/// What a forward pass leaves for the backward pass, and what that gives; buffers to be used again.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    /// The input, then the layers' outputs.
    x: Matrix,
    normal: Vec<Matrix>,
    moments: Vec<Moments>,
    statistics: Vec<Statistics>,
    pub output: Matrix,
    /// The gradients of `x`.
    dx: Matrix,
    delta: Matrix,
    inputs: usize,
}

impl Tape {
    /// The input of so many rows, to be written: cells of a row, then the cells of the other layers.
    pub fn input(&mut self, network: &Mlp, rows: usize) -> (&mut [f32], usize) {
        self.x.reshape(rows, network.width());
        self.inputs = network.inputs;
        let stride = self.x.columns();
        (self.x.cells_mut(), stride)
    }

    /// An input of standard normals that the key gives, so many a row.
    pub fn noise(&mut self, network: &Mlp, rows: usize, width: usize, key: u64) {
        let (cells, stride) = self.input(network, rows);
        cells
            .par_chunks_exact_mut(stride)
            .enumerate()
            .with_min_len(16)
            .for_each(|(row, cells)| {
                let mut stream = rng::stream(key, "noise", row as u64);
                cells[..width].fill_with(|| rng::normal(&mut stream));
            });
    }

    /// The gradient of the input, row by row.
    pub fn input_gradients(&self) -> impl Iterator<Item = &[f32]> {
        let rows = self.dx.cells().chunks_exact(self.dx.columns().max(1));
        rows.map(|row| &row[..self.inputs])
    }
}

impl Mlp {
    pub fn new(shape: &MlpShape<'_>, seed: u64) -> Self {
        let (inputs, of_inputs) = shape.inputs;
        let mut end = inputs;
        let mut seen = (inputs, of_inputs);
        let mut hidden = Vec::with_capacity(shape.hidden.len());
        for (i, &width) in shape.hidden.iter().enumerate() {
            let name = format!("{}.{i}", shape.name);
            let linear = Shape {
                name: &name,
                inputs: seen,
                outputs: (width, Axis::Units),
                conditions: shape.conditions,
            };
            hidden.push(Hidden {
                linear: Linear::new(linear, seed),
                norm: shape.norm.then(|| BatchNorm::new(&name, width, seed)),
                begin: end,
                width,
            });
            end += width;
            seen = match shape.residual {
                true => (end, Axis::Units),
                false => (width, Axis::Units),
            };
        }
        let output = Shape {
            name: &format!("{}.output", shape.name),
            inputs: seen,
            outputs: shape.outputs,
            conditions: shape.output_conditions(),
        };
        Self {
            inputs,
            residual: shape.residual,
            hidden,
            output: Linear::new(output, seed),
        }
    }

    /// How many numbers go in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many numbers the output layer sees: the last in the room of [`Self::row`].
    pub fn features(&self) -> usize {
        self.seen(self.hidden.len()).1
    }

    /// Columns of the wide matrix.
    fn width(&self) -> usize {
        self.inputs + self.hidden.iter().map(|layer| layer.width).sum::<usize>()
    }

    /// The columns that the layer sees that would write from `end` on.
    fn seen(&self, layer: usize) -> (usize, usize) {
        let end = match self.hidden.get(layer) {
            Some(hidden) => hidden.begin,
            None => self.width(),
        };
        let before = layer.checked_sub(1).map(|i| &self.hidden[i]);
        let begin = match before {
            Some(before) if !self.residual => before.begin,
            _ => 0,
        };
        (begin, end - begin)
    }

    /// From the tape's input to the tape's output.
    pub fn forward(&self, tape: &mut Tape, conditions: &[u32], statistics: Statistics) {
        let stride = tape.x.columns();
        tape.normal.resize_with(self.hidden.len(), Matrix::default);
        tape.moments
            .resize_with(self.hidden.len(), Moments::default);
        tape.statistics.resize(self.hidden.len(), statistics);
        for i in 0..self.hidden.len() {
            let (begin, width) = self.seen(i);
            let layer = &self.hidden[i];
            let place = Place {
                begin: layer.begin,
                width: layer.width,
                stride,
            };
            let sums = &mut tape.normal[i];
            let seen = tape.x.view().subcols(begin, width);
            layer.linear.forward(seen, conditions, sums);
            match &layer.norm {
                Some(norm) => {
                    // A frozen layer does not adapt to the batch either.
                    let statistics = match norm.frozen() {
                        true => Statistics::Running,
                        false => statistics,
                    };
                    tape.statistics[i] = statistics;
                    tape.moments[i] = norm.forward(sums, statistics, tape.x.cells_mut(), place);
                }
                None => {
                    let rows = tape.x.cells_mut().chunks_exact_mut(stride);
                    for (out, sums) in rows.zip(sums.cells().chunks_exact(layer.width)) {
                        for (out, sum) in place.of_mut(out).iter_mut().zip(sums) {
                            *out = sum.max(0.0);
                        }
                    }
                }
            }
        }
        let (begin, width) = self.seen(self.hidden.len());
        let seen = tape.x.view().subcols(begin, width);
        self.output.forward(seen, conditions, &mut tape.output);
    }

    /// The output of one row of a network without conditions that is [`Self::folded`]: its bits depend on nothing but
    /// the row. `room` is for the layers between.
    pub fn row(&self, input: &[f32], room: &mut Vec<f32>, out: &mut [f32]) {
        room.clear();
        room.extend_from_slice(input);
        room.resize(self.width(), 0.0);
        for (i, layer) in self.hidden.iter().enumerate() {
            let (begin, width) = self.seen(i);
            let (before, after) = room.split_at_mut(layer.begin);
            let sums = &mut after[..layer.width];
            layer.linear.row(&before[begin..begin + width], sums);
            sums.iter_mut().for_each(|sum| *sum = sum.max(0.0));
        }
        let (begin, width) = self.seen(self.hidden.len());
        self.output.row(&room[begin..begin + width], out);
    }

    /// The gradients of all parameters, of the gradient of the output; with `inputs` the input's too.
    pub fn backward(
        &mut self,
        tape: &mut Tape,
        conditions: &[u32],
        gradient: &Matrix,
        inputs: bool,
    ) {
        let (rows, stride) = (tape.x.rows(), tape.x.columns());
        tape.dx.reshape(rows, stride);
        // Where nobody asks for it the input's gradient is not computed.
        let wanted = if inputs { 0 } else { self.inputs };
        let last = self.hidden.len();
        for i in (0..=last).rev() {
            let (begin, width) = self.seen(i);
            let seen = tape.x.view().subcols(begin, width);
            let (linear, delta) = match self.hidden.get_mut(i) {
                None => (&mut self.output, gradient),
                Some(layer) => {
                    let place = Place {
                        begin: layer.begin,
                        width: layer.width,
                        stride,
                    };
                    let normal = &tape.normal[i];
                    match &mut layer.norm {
                        Some(norm) => norm.backward(
                            normal,
                            &tape.moments[i],
                            tape.statistics[i],
                            tape.dx.cells(),
                            place,
                            &mut tape.delta,
                        ),
                        None => {
                            tape.delta.reshape(rows, layer.width);
                            let deltas = tape.delta.cells_mut().chunks_exact_mut(layer.width);
                            let sums = normal.cells().chunks_exact(layer.width);
                            let gradients = tape.dx.cells().chunks_exact(stride);
                            for ((delta, sums), gradient) in deltas.zip(sums).zip(gradients) {
                                let gradient = place.of(gradient);
                                for j in 0..layer.width {
                                    delta[j] = if sums[j] > 0.0 { gradient[j] } else { 0.0 };
                                }
                            }
                        }
                    }
                    (&mut layer.linear, &tape.delta)
                }
            };
            linear.backward(seen, conditions, delta.cells(), rows);
            let from = begin.max(wanted);
            if from < begin + width {
                // Only a residual layer's inputs have been given gradients before.
                let accum = match self.residual && i < last {
                    true => Accum::Add,
                    false => Accum::Replace,
                };
                let out = tape.dx.view_mut().subcols_mut(from, begin + width - from);
                linear.inputs_gradient(delta.view(), from - begin, out, accum);
            }
        }
    }

    /// Moves the running statistics by a share to those of the pass that the tape holds; frozen ones stay.
    pub fn calibrate(&mut self, tape: &Tape, share: f32) {
        for (layer, moments) in self.hidden.iter_mut().zip(&tape.moments) {
            if let Some(norm) = layer.norm.as_mut().filter(|norm| !norm.frozen()) {
                norm.calibrate(moments, tape.x.rows(), share);
            }
        }
    }

    /// The same network for sampling: the normalisations by the running statistics are folded into the
    /// weights.
    pub fn folded(&self) -> Self {
        let mut folded = self.clone();
        for layer in &mut folded.hidden {
            if let Some(norm) = layer.norm.take() {
                let (scale, shift) = norm.folded();
                layer.linear.fold(&scale, &shift);
            }
        }
        folded
    }

    /// Keeps the hidden layers as they are.
    pub fn freeze_hidden(&mut self) {
        for layer in &mut self.hidden {
            layer.linear.freeze();
            if let Some(norm) = &mut layer.norm {
                norm.freeze();
            }
        }
    }
}

impl Network for Mlp {
    fn parameters(&self) -> Vec<&Parameter> {
        let hidden = self.hidden.iter().flat_map(|layer| {
            let norm = layer.norm.iter().flat_map(BatchNorm::parameters);
            layer.linear.parameters().chain(norm)
        });
        hidden.chain(self.output.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let hidden = self.hidden.iter_mut().flat_map(|layer| {
            let norm = layer.norm.iter_mut().flat_map(BatchNorm::parameters_mut);
            layer.linear.parameters_mut().chain(norm)
        });
        hidden.chain(self.output.parameters_mut()).collect()
    }
}
