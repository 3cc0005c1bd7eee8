//! Batch normalisation (Ioffe and Szegedy, 2015), with the running statistics that sampling needs.

use rayon::prelude::*;

use super::matrix::{Matrix, sum_rows};
use super::{Axis, Init, Parameter};

/// Keeps a constant feature's deviation away from 0.
const EPSILON: f32 = 1e-5;

/// Rows that are worth another core.
const ROWS: usize = 32;

#[derive(Debug, Clone)]
pub struct BatchNorm {
    scale: Parameter,
    shift: Parameter,
    mean: Parameter,
    variance: Parameter,
}

/// Whose statistics batch normalisation uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistics {
    /// The batch's own.
    Batch,
    /// The running ones, which are constants to a gradient.
    Running,
}

/// Mean and variance of every feature.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl Moments {
    /// One over the deviations.
    fn inverse(&self) -> Vec<f32> {
        let inverse = |variance: &f32| 1.0 / (variance + EPSILON).sqrt();
        self.variance.iter().map(inverse).collect()
    }
}

/// The columns of a wider matrix that a layer writes to or reads from.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub begin: usize,
    pub width: usize,
    /// Columns of the whole matrix.
    pub stride: usize,
}

impl Place {
    pub fn of<'a>(&self, row: &'a [f32]) -> &'a [f32] {
        &row[self.begin..self.begin + self.width]
    }

    pub fn of_mut<'a>(&self, row: &'a mut [f32]) -> &'a mut [f32] {
        &mut row[self.begin..self.begin + self.width]
    }
}

impl BatchNorm {
    pub fn new(name: &str, width: usize, seed: u64) -> Self {
        let parameter = |part: &str, value| {
            let (name, axes) = (format!("{name}.{part}"), [Axis::Units; 2]);
            Parameter::fresh(name, [1, width], axes, Init::Constant(value), seed)
        };
        Self {
            scale: parameter("scale", 1.0),
            shift: parameter("shift", 0.0),
            mean: Parameter::buffer(format!("{name}.mean"), width, 0.0),
            variance: Parameter::buffer(format!("{name}.variance"), width, 1.0),
        }
    }

    /// Normalises `x` in place, and writes `relu(scale x + shift)`. Gives the moments it went by.
    pub fn forward(
        &self,
        x: &mut Matrix,
        statistics: Statistics,
        out: &mut [f32],
        place: Place,
    ) -> Moments {
        let width = x.columns();
        let moments = match statistics {
            Statistics::Running => Moments {
                mean: self.mean.values.clone(),
                variance: self.variance.values.clone(),
            },
            Statistics::Batch => moments(x),
        };
        let (mean, inverse) = (&moments.mean, moments.inverse());
        let (scale, shift) = (&self.scale.values, &self.shift.values);
        x.cells_mut()
            .par_chunks_exact_mut(width)
            .zip(out.par_chunks_exact_mut(place.stride))
            .with_min_len(ROWS)
            .for_each(|(x, out)| {
                let out = place.of_mut(out);
                for i in 0..width {
                    x[i] = (x[i] - mean[i]) * inverse[i];
                    out[i] = (scale[i] * x[i] + shift[i]).max(0.0);
                }
            });
        moments
    }

    /// Moves the running statistics by a share to those of a batch of so many rows.
    pub fn calibrate(&mut self, batch: &Moments, rows: usize, share: f32) {
        // The running variance is the unbiased one, as for any estimate of a population's.
        let unbiased = rows as f32 / (rows as f32 - 1.0).max(1.0);
        for (running, batch) in self.mean.values.iter_mut().zip(&batch.mean) {
            *running += share * (batch - *running);
        }
        for (running, batch) in self.variance.values.iter_mut().zip(&batch.variance) {
            *running += share * (unbiased * batch - *running);
        }
    }

    /// The gradient of what came in, of the gradient of what went out; and the parameters' gradients.
    /// `normal` and `moments` are what the forward pass left.
    pub fn backward(
        &mut self,
        normal: &Matrix,
        moments: &Moments,
        statistics: Statistics,
        gradient: &[f32],
        place: Place,
        out: &mut Matrix,
    ) {
        let (rows, width) = (normal.rows(), normal.columns());
        out.reshape(rows, width);
        let inverse = moments.inverse();
        let (scale, shift) = (&self.scale.values, &self.shift.values);
        let normal = normal.cells();
        // Through the rectifier.
        out.cells_mut()
            .par_chunks_exact_mut(width)
            .zip(normal.par_chunks_exact(width))
            .zip(gradient.par_chunks_exact(place.stride))
            .with_min_len(ROWS)
            .for_each(|((out, normal), gradient)| {
                let gradient = place.of(gradient);
                for i in 0..width {
                    let open = scale[i] * normal[i] + shift[i] > 0.0;
                    out[i] = if open { gradient[i] } else { 0.0 };
                }
            });
        let through = out.cells();
        let sums = sum_rows(rows, 2 * width, |row, sums| {
            let cells = row * width..(row + 1) * width;
            let (shifts, scales) = sums.split_at_mut(width);
            let (through, normal) = (&through[cells.clone()], &normal[cells]);
            for i in 0..width {
                shifts[i] += through[i];
                scales[i] += through[i] * normal[i];
            }
        });
        let (shifts, scales) = sums.split_at(width);
        let share = match statistics {
            Statistics::Running => 0.0,
            Statistics::Batch => 1.0 / rows as f32,
        };
        out.cells_mut()
            .par_chunks_exact_mut(width)
            .zip(normal.par_chunks_exact(width))
            .with_min_len(ROWS)
            .for_each(|(out, normal)| {
                for i in 0..width {
                    let common = share * (shifts[i] + normal[i] * scales[i]);
                    out[i] = scale[i] * inverse[i] * (out[i] - common);
                }
            });
        self.shift.gradient_mut().copy_from_slice(shifts);
        self.scale.gradient_mut().copy_from_slice(scales);
    }

    /// The normalisation by the running statistics as one factor and one summand a feature.
    pub fn folded(&self) -> (Vec<f32>, Vec<f32>) {
        let factors: Vec<f32> = (self.scale.values.iter().zip(&self.variance.values))
            .map(|(scale, variance)| scale / (variance + EPSILON).sqrt())
            .collect();
        let summands = (self.shift.values.iter().zip(&self.mean.values))
            .zip(&factors)
            .map(|((shift, mean), factor)| shift - mean * factor)
            .collect();
        (factors, summands)
    }

    pub fn freeze(&mut self) {
        self.scale.learns = false;
        self.shift.learns = false;
    }

    pub fn frozen(&self) -> bool {
        !self.scale.learns
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        [&self.scale, &self.shift, &self.mean, &self.variance].into_iter()
    }

    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        [
            &mut self.scale,
            &mut self.shift,
            &mut self.mean,
            &mut self.variance,
        ]
        .into_iter()
    }
}

fn moments(x: &Matrix) -> Moments {
    let (rows, width) = (x.rows(), x.columns());
    let share = 1.0 / rows.max(1) as f32;
    let row = |i: usize| &x.cells()[i * width..(i + 1) * width];
    let mut mean = sum_rows(rows, width, |i, sums| super::matrix::add_to(sums, row(i)));
    for mean in &mut mean {
        *mean *= share;
    }
    let mut variance = sum_rows(rows, width, |i, sums| {
        for ((sum, x), mean) in sums.iter_mut().zip(row(i)).zip(&mean) {
            *sum += (x - mean) * (x - mean);
        }
    });
    for variance in &mut variance {
        *variance *= share;
    }
    Moments { mean, variance }
}
