//! `x W + b`, and a row of a second matrix for every condition: a one-hot input without its zeros.

use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

use super::matrix::{Matrix, add_to, product, sum_rows};
use super::{Axis, Init, Parameter};

/// A row without a condition.
pub const NO_CONDITION: u32 = u32::MAX;

/// Rows that are worth another core.
const ROWS: usize = 32;

#[derive(Debug, Clone)]
pub struct Linear {
    weight: Parameter,
    bias: Parameter,
    condition: Option<Parameter>,
}

/// A layer's name and what its inputs and outputs are.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub name: &'a str,
    pub inputs: (usize, Axis),
    pub outputs: (usize, Axis),
    /// How many cells the one-hot conditions have that are further inputs.
    pub conditions: usize,
}

impl Linear {
    pub fn new(shape: Shape<'_>, seed: u64) -> Self {
        let Shape {
            name,
            inputs: (inputs, of_inputs),
            outputs: (outputs, of_outputs),
            conditions,
        } = shape;
        let bound = 1.0 / ((inputs + conditions).max(1) as f32).sqrt();
        let parameter = |part: &str, rows, axis| {
            let (name, axes) = (format!("{name}.{part}"), [axis, of_outputs]);
            Parameter::fresh(name, [rows, outputs], axes, Init::Uniform(bound), seed)
        };
        Self {
            weight: parameter("weight", inputs, of_inputs),
            bias: parameter("bias", 1, Axis::Units),
            condition: (conditions > 0)
                .then(|| parameter("condition", conditions, Axis::Conditions)),
        }
    }

    pub fn weight(&self) -> MatRef<'_, f32> {
        self.weight.view()
    }

    /// `out = x W + b`; `conditions` are the conditions' cells, equally many a row.
    pub fn forward(&self, x: MatRef<'_, f32>, conditions: &[u32], out: &mut Matrix) {
        let (rows, width) = (x.nrows(), self.weight.columns);
        out.reshape(rows, width);
        let each = conditions.len() / rows.max(1);
        out.cells_mut()
            .par_chunks_exact_mut(width.max(1))
            .enumerate()
            .with_min_len(ROWS)
            .for_each(|(i, row)| {
                row.copy_from_slice(&self.bias.values);
                if let Some(condition) = &self.condition {
                    for &cell in &conditions[i * each..(i + 1) * each] {
                        add_to(row, cell_row(condition, cell));
                    }
                }
            });
        product(out.view_mut(), Accum::Add, x, self.weight());
    }

    /// `x W + b` of one row, summed in an order that nothing but the shape decides: a row's bits do not depend on the
    /// rows beside it.
    pub fn row(&self, x: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&self.bias.values);
        for (x, weights) in x.iter().zip(self.weight.values.chunks_exact(out.len())) {
            if *x != 0.0 {
                for (out, weight) in out.iter_mut().zip(weights) {
                    *out += x * weight;
                }
            }
        }
    }

    /// The gradients of the parameters, of the rows' outputs' gradients `delta`. Biases and conditions
    /// see the first `rows` rows alone.
    pub fn backward(&mut self, x: MatRef<'_, f32>, conditions: &[u32], delta: &[f32], rows: usize) {
        let width = self.weight.columns;
        let inputs = self.weight.rows;
        let outer = super::matrix::view(delta, x.nrows(), width);
        if self.weight.learns {
            let gradient = self.weight.gradient_mut();
            let gradient = super::matrix::view_mut(gradient, inputs, width);
            product(gradient, Accum::Replace, x.transpose(), outer);
        }
        if self.bias.learns {
            let sums = sum_rows(rows, width, |row, sums| {
                add_to(sums, &delta[row * width..(row + 1) * width]);
            });
            self.bias.gradient_mut().copy_from_slice(&sums);
        }
        let each = conditions.len() / x.nrows().max(1);
        if let Some(condition) = &mut self.condition {
            let gradient = condition.gradient_mut();
            gradient.fill(0.0);
            for (i, &cell) in conditions.iter().take(rows * each).enumerate() {
                let row = i / each;
                let begin = cell as usize * width;
                if let Some(sums) = gradient.get_mut(begin..begin + width) {
                    add_to(sums, &delta[row * width..(row + 1) * width]);
                }
            }
        }
    }

    /// The gradient of the inputs from `from` on.
    pub fn inputs_gradient(
        &self,
        delta: MatRef<'_, f32>,
        from: usize,
        out: MatMut<'_, f32>,
        accum: Accum,
    ) {
        let weight = self.weight();
        let weight = weight.subrows(from, weight.nrows() - from);
        product(out, accum, delta, weight.transpose());
    }

    /// The weights scaled and the biases moved, output by output: a normalisation that follows.
    pub fn fold(&mut self, scale: &[f32], shift: &[f32]) {
        let width = self.weight.columns;
        let condition = self.condition.as_mut().map(|c| &mut c.values);
        for values in [&mut self.weight.values, &mut self.bias.values]
            .into_iter()
            .chain(condition)
        {
            for row in values.chunks_exact_mut(width) {
                for (value, scale) in row.iter_mut().zip(scale) {
                    *value *= scale;
                }
            }
        }
        add_to(&mut self.bias.values, shift);
    }

    /// Keeps weights and biases as they are; conditions go on learning.
    pub fn freeze(&mut self) {
        self.weight.learns = false;
        self.bias.learns = false;
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        [&self.weight, &self.bias]
            .into_iter()
            .chain(&self.condition)
    }

    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        [&mut self.weight, &mut self.bias]
            .into_iter()
            .chain(&mut self.condition)
    }
}

/// Nothing for a row without a condition.
fn cell_row(condition: &Parameter, cell: u32) -> &[f32] {
    let begin = cell as usize * condition.columns;
    condition
        .values
        .get(begin..begin + condition.columns)
        .unwrap_or_default()
}
