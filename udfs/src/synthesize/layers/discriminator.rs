//! The network that tells real rows from drawn ones, with its backward pass and the gradient penalty's.
//!
//! D: (Linear, LeakyReLU 0.2, dropout) a layer on `pac` rows side by side (PacGAN, Lin et al., 2018: a
//! D that sees several rows at once notices when they are all alike), then Linear onto one number.
//!
//! With the slopes and the dropout of a pass as fixed masks `m`, a layer is `h = m (h' W + b)`, and the
//! gradient of D by a layer's sums is `u = m g`, `g' = u W^T` from the last layer to the first. The
//! penalty `P = lambda mean (|g_0| - 1)^2` is a function of these products alone. Its derivative goes
//! back along them, from the first layer to the last: with `r = dP/dg_0`, `dP/dW = r^T u`, and
//! `r W m` is the next layer's `r`. So `r` takes the place of `h` where the weights' gradients are
//! `h^T delta`, and one product a layer gives the gradient of the loss and of the penalty together.

use faer::Accum;
use rayon::prelude::*;

use super::linear::{Linear, Shape};
use super::matrix::{Matrix, product};
use super::{Axis, Network, Parameter};
use crate::synthesize::rng;

/// The slope of the leaky rectifier below 0.
const SLOPE: f32 = 0.2;

#[derive(Debug, Clone)]
pub struct Discriminator {
    layers: Vec<Linear>,
    output: Linear,
    pac: usize,
    dropout: f32,
}

/// What a forward pass leaves; buffers to be used again.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Rows side by side, and then every layer's output.
    h: Vec<Matrix>,
    masks: Vec<Matrix>,
    /// The gradients of the layers' sums, ahead of masks and behind.
    deltas: Vec<Matrix>,
    output: Matrix,
    conditions: Vec<u32>,
    /// The gradient of the rows.
    gradient: Matrix,
    chain: Matrix,
}

impl Judgement {
    /// Room for groups of rows side by side; the rows are to be written, one after the other.
    pub fn input(&mut self, groups: usize, width: usize) -> &mut [f32] {
        if self.h.is_empty() {
            self.h.push(Matrix::default());
        }
        self.h[0].reshape(groups, width);
        self.h[0].cells_mut()
    }

    /// What was given.
    pub fn rows(&self) -> &[f32] {
        self.h.first().map_or(&[], Matrix::cells)
    }

    /// D's answers, one a group.
    pub fn answers(&self) -> &[f32] {
        self.output.cells()
    }

    /// The gradient of the rows, as [`Discriminator::rows_gradient`] gave it.
    pub fn gradient(&self) -> &[f32] {
        self.gradient.cells()
    }
}

impl Discriminator {
    /// For rows of so many cells, and of so many cells of conditions beside them.
    pub fn new(
        cells: usize,
        conditions: usize,
        widths: &[usize],
        pac: usize,
        dropout: f64,
        seed: u64,
    ) -> Self {
        let mut inputs = (cells * pac, Axis::Cells);
        let mut conditions = conditions * pac;
        let mut layers = Vec::with_capacity(widths.len());
        for (i, &width) in widths.iter().enumerate() {
            let shape = Shape {
                name: &format!("discriminator.{i}"),
                inputs,
                outputs: (width, Axis::Units),
                conditions,
            };
            layers.push(Linear::new(shape, seed));
            inputs = (width, Axis::Units);
            conditions = 0;
        }
        let shape = Shape {
            name: "discriminator.output",
            inputs,
            outputs: (1, Axis::Units),
            conditions,
        };
        Self {
            layers,
            output: Linear::new(shape, seed),
            pac,
            dropout: dropout as f32,
        }
    }

    /// Judges what is in the judgement's input. `conditions` holds a cell a row, or nothing at all; it is
    /// repeated for as many rows as there are. `key` is the key of the dropout's noise.
    pub fn forward(&self, judgement: &mut Judgement, conditions: &[u32], width: usize, key: u64) {
        let Judgement {
            h,
            masks,
            output,
            conditions: cells,
            ..
        } = judgement;
        h.resize_with(self.layers.len() + 1, Matrix::default);
        masks.resize_with(self.layers.len(), Matrix::default);
        let groups = h[0].rows();
        cells.clear();
        if !conditions.is_empty() {
            cells.extend((0..groups * self.pac).map(|row| {
                let cell = conditions[row % conditions.len()];
                // Each row of a group has cells of its own.
                match cell {
                    super::NO_CONDITION => cell,
                    cell => (row % self.pac * width) as u32 + cell,
                }
            }));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let (seen, given) = h.split_at_mut(i + 1);
            let conditions = if i == 0 { cells.as_slice() } else { &[] };
            let out = &mut given[0];
            layer.forward(seen[i].view(), conditions, out);
            let width = out.columns();
            masks[i].reshape(groups, width);
            let key = rng::key(key, i as u64);
            out.cells_mut()
                .par_chunks_exact_mut(width)
                .zip(masks[i].cells_mut().par_chunks_exact_mut(width))
                .enumerate()
                .with_min_len(4)
                .for_each(|(row, (out, mask))| {
                    self.drop(mask, rng::stream(key, "dropout", row as u64));
                    for (out, mask) in out.iter_mut().zip(mask) {
                        *mask *= if *out > 0.0 { 1.0 } else { SLOPE };
                        *out *= *mask;
                    }
                });
        }
        self.output
            .forward(h[self.layers.len()].view(), &[], output);
    }

    /// 0 where a unit is dropped, and else what makes up for it.
    fn drop(&self, mask: &mut [f32], mut stream: rng::Stream) {
        if self.dropout <= 0.0 {
            mask.fill(1.0);
            return;
        }
        let kept = 1.0 / (1.0 - self.dropout);
        rng::uniforms(&mut stream, mask);
        for mask in mask {
            *mask = if *mask < self.dropout { 0.0 } else { kept };
        }
    }

    /// The gradients of all layers' sums, of the gradients of the answers.
    pub fn backward(&self, judgement: &mut Judgement, answers: &[f32]) {
        let Judgement {
            masks,
            deltas,
            output,
            ..
        } = judgement;
        deltas.resize_with(self.layers.len() + 1, Matrix::default);
        let groups = output.rows();
        let last = self.layers.len();
        deltas[last].reshape(groups, 1);
        deltas[last].cells_mut().copy_from_slice(answers);
        for i in (0..last).rev() {
            let above = self.layers.get(i + 1).unwrap_or(&self.output);
            let (below, given) = deltas.split_at_mut(i + 1);
            let out = &mut below[i];
            out.reshape(groups, masks[i].columns());
            above.inputs_gradient(given[0].view(), 0, out.view_mut(), Accum::Replace);
            multiply(out.cells_mut(), masks[i].cells());
        }
    }

    /// The gradient of the groups from `from` on, after [`Discriminator::backward`].
    pub fn rows_gradient(&self, judgement: &mut Judgement, from: usize) {
        let first = self.layers.first().unwrap_or(&self.output);
        let groups = judgement.h[0].rows() - from;
        judgement.gradient.reshape(groups, judgement.h[0].columns());
        let delta = judgement.deltas[0].view().subrows(from, groups);
        let out = judgement.gradient.view_mut();
        first.inputs_gradient(delta, 0, out, Accum::Replace);
    }

    /// The gradient penalty of the groups from `from` on, whose answers' gradients were 1. Afterwards
    /// [`Discriminator::gradients`] gives the penalty's gradient with the loss's.
    pub fn penalise(&self, judgement: &mut Judgement, from: usize, lambda: f32) -> f32 {
        self.rows_gradient(judgement, from);
        let Judgement {
            h,
            masks,
            gradient,
            chain,
            ..
        } = judgement;
        let (groups, width) = (gradient.rows(), gradient.columns());
        let mut penalty = 0.0;
        for gradient in gradient.cells_mut().chunks_exact_mut(width.max(1)) {
            let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let excess = norm - 1.0;
            penalty += excess * excess;
            // Without a gradient there is no direction to move it in.
            let factor = match norm > 1e-12 {
                true => 2.0 * lambda * excess / (norm * groups as f32),
                false => 0.0,
            };
            for gradient in gradient {
                *gradient *= factor;
            }
        }
        tail(&mut h[0], from).copy_from_slice(gradient.cells());
        for (i, layer) in self.layers.iter().enumerate() {
            chain.reshape(groups, masks[i].columns());
            let seen = h[i].view().subrows(from, groups);
            product(chain.view_mut(), Accum::Replace, seen, layer.weight());
            multiply(chain.cells_mut(), tail(&mut masks[i], from));
            tail(&mut h[i + 1], from).copy_from_slice(chain.cells());
        }
        lambda * penalty / groups.max(1) as f32
    }

    /// The gradients of the parameters; the groups from `penalised` on are those of the penalty.
    pub fn gradients(&mut self, judgement: &Judgement, penalised: usize) {
        for i in 0..=self.layers.len() {
            let conditions: &[u32] = match i {
                0 => &judgement.conditions,
                _ => &[],
            };
            let layer = self.layers.get_mut(i).unwrap_or(&mut self.output);
            let delta = judgement.deltas[i].cells();
            layer.backward(judgement.h[i].view(), conditions, delta, penalised);
        }
    }
}

fn tail(matrix: &mut Matrix, from: usize) -> &mut [f32] {
    let begin = from * matrix.columns();
    &mut matrix.cells_mut()[begin..]
}

fn multiply(cells: &mut [f32], factors: &[f32]) {
    for (cell, factor) in cells.iter_mut().zip(factors) {
        *cell *= factor;
    }
}

impl Network for Discriminator {
    fn parameters(&self) -> Vec<&Parameter> {
        let layers = self.layers.iter().chain([&self.output]);
        layers.flat_map(Linear::parameters).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let layers = self.layers.iter_mut().chain([&mut self.output]);
        layers.flat_map(Linear::parameters_mut).collect()
    }
}
