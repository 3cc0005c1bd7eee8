//! A table's columns as the cells of a network's rows: all values first, then each column's states, of
//! which a drawn row has one.
//!
//! A generator's output becomes a row by Gumbel-softmax over a column's states (Jang et al., 2017); a
//! value counts as far as a state that carries it is drawn, since a real row without one holds 0 there.

use std::ops::Range;

use rayon::prelude::*;

use super::NO_CONDITION;
use super::math;
use super::matrix::Matrix;
use crate::synthesize::codec::{Codec, Encoded, EncodedColumn};
use crate::synthesize::rng;

/// Rows that are worth another core.
const ROWS: usize = 16;

/// Where each column stands in a row.
#[derive(Debug, Clone)]
pub struct Heads {
    heads: Vec<Head>,
    values: usize,
    width: usize,
}

/// One column's cells.
#[derive(Debug, Clone)]
pub struct Head {
    pub value: Option<usize>,
    /// Empty for a column of one state.
    pub states: Range<usize>,
    /// How many states, from the first, carry the value.
    pub carriers: usize,
    /// Whether the value lies between -1 and 1 and comes from a hyperbolic tangent.
    bounded: bool,
}

impl Heads {
    /// Lays the columns out.
    pub fn new(codec: &Codec) -> Self {
        let columns = codec.columns();
        let values = columns.iter().filter(|column| column.has_value()).count();
        let mut heads = Vec::with_capacity(columns.len());
        let (mut value, mut end) = (0, values);
        for column in columns {
            let count = column.states();
            let width = if count > 1 { count } else { 0 };
            let carriers = column.carriers();
            heads.push(Head {
                value: column.has_value().then_some(value),
                states: end..end + width,
                carriers,
                bounded: carriers > 1,
            });
            value += usize::from(column.has_value());
            end += width;
        }
        Self {
            heads,
            values,
            width: end,
        }
    }

    /// Cells of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many of them are values.
    pub fn values(&self) -> usize {
        self.values
    }

    /// The columns' cells, in the columns' order.
    pub fn columns(&self) -> &[Head] {
        &self.heads
    }

    /// Rows of the table as rows of cells.
    pub fn write(&self, encoded: &Encoded, rows: &[u32], out: &mut [f32]) {
        out.par_chunks_exact_mut(self.width.max(1))
            .zip(rows)
            .with_min_len(ROWS)
            .for_each(|(out, &row)| {
                out.fill(0.0);
                for (head, column) in self.heads.iter().zip(&encoded.columns) {
                    if let Some(value) = head.value {
                        out[value] = column.values[row as usize];
                    }
                    if !head.states.is_empty() {
                        out[head.states.start + column.states[row as usize] as usize] = 1.0;
                    }
                }
            });
    }

    /// A generator's output as rows like [`Heads::write`]'s, but differentiable.
    pub fn relax(&self, output: &Matrix, tau: f32, key: u64, out: &mut [f32]) {
        let width = self.width.max(1);
        out.par_chunks_exact_mut(width)
            .zip(output.cells().par_chunks_exact(width))
            .enumerate()
            .with_min_len(ROWS)
            .for_each(|(row, (out, logits))| {
                let (_, states) = out.split_at_mut(self.values);
                rng::uniforms(&mut rng::stream(key, "gumbel", row as u64), states);
                math::to_gumbel(states);
                for (state, logit) in states.iter_mut().zip(&logits[self.values..]) {
                    *state = (*state + logit) / tau;
                }
                self.softmax(out);
                for head in &self.heads {
                    let Some(value) = head.value else { continue };
                    out[value] = head.value_of(logits[value]) * head.carried(out);
                }
            });
    }

    /// The softmax of every column's states, in place; the exponentials of all columns at once.
    fn softmax(&self, row: &mut [f32]) {
        for head in &self.heads {
            let states = &mut row[head.states.clone()];
            let largest = states.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for state in states {
                *state -= largest;
            }
        }
        for state in &mut row[self.values..] {
            *state = math::exp(*state);
        }
        for head in &self.heads {
            let states = &mut row[head.states.clone()];
            let total: f32 = states.iter().sum();
            for state in states {
                *state /= total;
            }
        }
    }

    /// The gradient of a generator's output, of the gradient of the rows that [`Heads::relax`] made of it.
    pub fn backward(
        &self,
        output: &Matrix,
        relaxed: &[f32],
        gradient: &[f32],
        tau: f32,
        out: &mut Matrix,
    ) {
        let width = self.width.max(1);
        out.reshape(output.rows(), output.columns());
        out.cells_mut()
            .par_chunks_exact_mut(width)
            .zip(output.cells().par_chunks_exact(width))
            .zip(relaxed.par_chunks_exact(width))
            .zip(gradient.par_chunks_exact(width))
            .with_min_len(ROWS)
            .for_each(|(((out, logits), relaxed), gradient)| {
                for head in &self.heads {
                    // What the states that carry the value gain with it.
                    let mut carrying = 0.0;
                    if let Some(value) = head.value {
                        let by_value = gradient[value] * head.carried(relaxed);
                        out[value] = by_value * head.slope_of(logits[value]);
                        carrying = gradient[value] * head.value_of(logits[value]);
                    }
                    let states = head.states.clone();
                    let of = |i: usize| {
                        let carrier = i - head.states.start < head.carriers;
                        gradient[i] + if carrier { carrying } else { 0.0 }
                    };
                    let mean: f32 = states.clone().map(|i| of(i) * relaxed[i]).sum();
                    for i in states {
                        out[i] = relaxed[i] * (of(i) - mean) / tau;
                    }
                }
            });
    }

    /// The mean cross-entropy between the drawn states and those that conditions ask for, a state's cell
    /// a row; adds its gradient to the output's.
    pub fn cross_entropy(&self, output: &Matrix, wanted: &[u32], gradient: &mut Matrix) -> f32 {
        let width = self.width.max(1);
        let share = 1.0 / output.rows().max(1) as f32;
        let mut total = 0.0;
        let mut powers = Vec::new();
        let rows = output.cells().chunks_exact(width);
        let gradients = gradient.cells_mut().chunks_exact_mut(width);
        for ((logits, gradient), &cell) in rows.zip(gradients).zip(wanted) {
            let cell = cell as usize;
            let Some(head) = self.heads.iter().find(|head| head.states.contains(&cell)) else {
                continue;
            };
            powers.clear();
            powers.extend_from_slice(&logits[head.states.clone()]);
            math::softmax(&mut powers);
            let at = cell - head.states.start;
            total -= math::ln(powers[at].max(1e-30));
            for (gradient, power) in gradient[head.states.clone()].iter_mut().zip(&powers) {
                *gradient += share * power;
            }
            gradient[cell] -= share;
        }
        total * share
    }

    /// Draws rows from a network's output, states from the softmax of their logits. A row's draws depend
    /// on its key alone. `wanted` gives rows a state that they have; `spread` is what a value varies by.
    pub fn draw(&self, output: &Matrix, keys: &[u64], wanted: &[u32], spread: &[f32]) -> Encoded {
        let mut columns: Vec<EncodedColumn> = self
            .heads
            .iter()
            .map(|head| EncodedColumn {
                states: Vec::with_capacity(keys.len()),
                values: Vec::with_capacity(head.value.map_or(0, |_| keys.len())),
            })
            .collect();
        let mut powers = vec![0.0; self.width];
        for (i, &key) in keys.iter().enumerate() {
            let logits = &output.cells()[i * self.width..(i + 1) * self.width];
            powers.copy_from_slice(logits);
            self.softmax(&mut powers);
            let wanted = wanted.get(i).copied().unwrap_or(NO_CONDITION) as usize;
            let mut stream = rng::stream(key, "states", 0);
            for (head, column) in self.heads.iter().zip(&mut columns) {
                let uniform = rng::uniform(&mut stream);
                column.states.push(match head.states.contains(&wanted) {
                    true => (wanted - head.states.start) as u32,
                    false => choose(&powers[head.states.clone()], uniform),
                });
                if let Some(value) = head.value {
                    let spread = match spread.get(value) {
                        Some(spread) => spread * rng::normal(&mut stream),
                        None => 0.0,
                    };
                    column.values.push(head.value_of(logits[value]) + spread);
                }
            }
        }
        Encoded { columns }
    }
}

impl Head {
    /// The value of a network's output.
    pub fn value_of(&self, output: f32) -> f32 {
        match self.bounded {
            true => math::tanh(output),
            false => output,
        }
    }

    /// The derivative of [`Head::value_of`].
    pub fn slope_of(&self, output: f32) -> f32 {
        match self.bounded {
            true => 1.0 - math::tanh(output).powi(2),
            false => 1.0,
        }
    }

    /// The probability of a state that carries the value.
    fn carried(&self, row: &[f32]) -> f32 {
        match self.states.is_empty() {
            true => 1.0,
            false => {
                let end = (self.states.start + self.carriers).min(self.states.end);
                row[self.states.start..end].iter().sum()
            }
        }
    }
}

/// The index that `uniform` falls on when 0..1 is divided by the probabilities.
fn choose(probabilities: &[f32], uniform: f32) -> u32 {
    let mut left = uniform;
    for (i, probability) in probabilities.iter().enumerate() {
        left -= probability;
        if left < 0.0 {
            return i as u32;
        }
    }
    // Where rounding left a rest it is the last state that has a probability.
    let last = probabilities.iter().rposition(|&p| p > 1e-20);
    last.unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, weight};
    use super::*;

    /// A value alone, one that two of three states carry, and a category.
    fn heads() -> Heads {
        let head = |value, states, carriers, bounded| Head {
            value,
            states,
            carriers,
            bounded,
        };
        Heads {
            heads: vec![
                head(Some(0), 0..0, 1, false),
                head(Some(1), 2..5, 2, true),
                head(None, 5..7, 0, false),
            ],
            values: 2,
            width: 7,
        }
    }

    fn output() -> Matrix {
        let mut output = Matrix::default();
        output.reshape(4, 7);
        for (i, cell) in output.cells_mut().iter_mut().enumerate() {
            *cell = (i * 29 % 17) as f32 * 0.1 - 0.8;
        }
        output
    }

    #[test]
    fn relaxed_rows_have_their_gradient() {
        let (heads, mut output) = (heads(), output());
        let mut relaxed = vec![0.0; 28];
        heads.relax(&output, 0.7, 3, &mut relaxed);
        for row in relaxed.chunks_exact(7) {
            assert!((row[2..5].iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!((row[5..].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        let weights: Vec<f32> = (0..28).map(weight).collect();
        let mut gradient = Matrix::default();
        heads.backward(&output, &relaxed, &weights, 0.7, &mut gradient);
        check("output", gradient.cells(), |i, step| {
            output.cells_mut()[i] += step;
            heads.relax(&output, 0.7, 3, &mut relaxed);
            output.cells_mut()[i] -= step;
            relaxed.iter().zip(&weights).map(|(x, w)| x * w).sum()
        });
    }

    #[test]
    fn the_cross_entropy_has_its_gradient() {
        let (heads, mut output) = (heads(), output());
        let wanted = [2, 4, 6, NO_CONDITION];
        let mut gradient = output.clone();
        gradient.cells_mut().fill(0.0);
        heads.cross_entropy(&output, &wanted, &mut gradient);
        let mut other = gradient.clone();
        check("output", gradient.cells(), |i, step| {
            output.cells_mut()[i] += step;
            let loss = heads.cross_entropy(&output, &wanted, &mut other);
            output.cells_mut()[i] -= step;
            loss
        });
    }

    #[test]
    fn states_are_drawn_by_their_softmax() {
        let heads = heads();
        let mut output = Matrix::default();
        output.reshape(4000, 7);
        for row in output.cells_mut().chunks_exact_mut(7) {
            row.copy_from_slice(&[1.5, 9.0, 0.0, 0.0, 2f32.ln(), 3f32.ln(), 0.0]);
        }
        let keys: Vec<u64> = (0..4000).map(rng::mix).collect();
        let drawn = heads.draw(&output, &keys, &[], &[]);
        let share = |column: usize, state: u32| {
            let states = &drawn.columns[column].states;
            states.iter().filter(|&&s| s == state).count() as f64 / 4000.0
        };
        assert!((share(1, 2) - 0.5).abs() < 0.03 && (share(2, 0) - 0.75).abs() < 0.03);
        assert_eq!(share(0, 0), 1.0);
        assert!(drawn.columns[0].values.iter().all(|&value| value == 1.5));
        assert!(drawn.columns[1].values.iter().all(|&value| value > 0.99));
        let wanted = [6u32; 4000];
        let drawn = heads.draw(&output, &keys, &wanted, &[]);
        assert!(drawn.columns[2].states.iter().all(|&state| state == 1));
    }

    #[test]
    fn a_choice_never_falls_on_what_has_no_probability() {
        assert_eq!(choose(&[0.0, 1.0, 0.0], 0.0), 1);
        assert_eq!(choose(&[0.5, 0.5, 0.0], 0.999_999_9), 1);
        assert_eq!(choose(&[], 0.5), 0);
    }
}
