//! A table as a dense matrix for networks: all values first, then the states of each column one-hot.

use std::ops::Range;

use candle_core::{DType, Device, Result as TensorResult, Tensor};
use datafusion_common::{Result, plan_err};

use super::{Codec, Encoded, EncodedColumn};
use crate::synthesize::layers::GroupedSoftmax;
use crate::synthesize::{rng, tensor_error};

/// Where each column stands in a row of the matrix.
#[derive(Debug)]
pub struct Layout {
    places: Vec<Place>,
    values: usize,
    states: usize,
    softmax: GroupedSoftmax,
    /// states x values: 1 where the state carries the value.
    carriers: Tensor,
    /// 1 x values: 1 where the column has no states, so that its value is always carried.
    always: Tensor,
}

#[derive(Debug)]
struct Place {
    /// The value's column in the matrix.
    value: Option<usize>,
    /// The states' columns, counted from the first state; empty for a column of one state.
    states: Range<usize>,
    /// How many of the states carry the value; they come first.
    carriers: usize,
}

impl Layout {
    /// Lays the columns out; one of more than `max_states` is an error that says what to do.
    pub fn new(codec: &Codec, max_states: usize) -> Result<Self> {
        let mut places = Vec::with_capacity(codec.columns().len());
        let (mut values, mut states) = (0, 0);
        for (column, field) in codec.columns().iter().zip(codec.schema().fields()) {
            let count = column.states();
            if count > max_states {
                return plan_err!(
                    "column {} has {count} categories, more than the {max_states} allowed: leave it \
                     out of the query, gather its rare values, or set max_categories to {count} \
                     (every category is a column of the network)",
                    field.name()
                );
            }
            let width = if count > 1 { count } else { 0 };
            places.push(Place {
                value: column.has_value().then_some(values),
                states: states..states + width,
                carriers: column.carriers(),
            });
            values += usize::from(column.has_value());
            states += width;
        }
        Self::build(places, values, states).map_err(tensor_error)
    }

    fn build(places: Vec<Place>, values: usize, states: usize) -> TensorResult<Self> {
        let mut carriers = vec![0f32; states * values];
        let mut always = vec![0f32; values];
        for place in &places {
            let Some(value) = place.value else { continue };
            match place.states.is_empty() {
                true => always[value] = 1.0,
                false => {
                    for state in place.states.clone().take(place.carriers) {
                        carriers[state * values + value] = 1.0;
                    }
                }
            }
        }
        let sizes: Vec<usize> = places
            .iter()
            .map(|place| place.states.len())
            .filter(|size| *size > 0)
            .collect();
        Ok(Self {
            places,
            values,
            states,
            softmax: GroupedSoftmax::new(&sizes)?,
            carriers: Tensor::from_vec(carriers, (states, values), &Device::Cpu)?,
            always: Tensor::from_vec(always, (1, values), &Device::Cpu)?,
        })
    }

    /// Columns of the matrix.
    pub fn width(&self) -> usize {
        self.values + self.states
    }

    /// Rows of the table as rows of the matrix.
    pub fn batch(&self, encoded: &Encoded, rows: &[u32]) -> TensorResult<Tensor> {
        let width = self.width();
        let mut cells = vec![0f32; rows.len() * width];
        for (place, column) in self.places.iter().zip(&encoded.columns) {
            for (i, &row) in rows.iter().enumerate() {
                if let Some(value) = place.value {
                    cells[i * width + value] = column.values[row as usize];
                }
                if !place.states.is_empty() {
                    let state = place.states.start + column.states[row as usize] as usize;
                    cells[i * width + self.values + state] = 1.0;
                }
            }
        }
        Tensor::from_vec(cells, (rows.len(), width), &Device::Cpu)
    }

    /// A network's output as rows like [`Layout::batch`]'s, but differentiable: the states by
    /// Gumbel-softmax (Jang et al., 2017) of temperature `tau`, and each value as far as it is carried.
    pub fn relax(&self, output: &Tensor, tau: f64, stream: rng::Stream) -> TensorResult<Tensor> {
        let values = output.narrow(1, 0, self.values)?;
        if self.states == 0 {
            return Ok(values);
        }
        let logits = output.narrow(1, self.values, self.states)?;
        let noise = rng::tensor(stream, logits.dims(), rng::gumbel)?;
        let states = self.softmax.forward(&((logits + noise)? / tau)?)?;
        if self.values == 0 {
            return Ok(states);
        }
        let carried = states.matmul(&self.carriers)?.broadcast_add(&self.always)?;
        Tensor::cat(&[(values * carried)?, states], 1)
    }

    /// Draws rows from a network's output: states from the softmax of their logits. A row's draws
    /// depend on its key alone.
    pub fn draw(&self, output: &Tensor, keys: &[u64]) -> TensorResult<Encoded> {
        let width = self.width();
        let cells = output
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let mut columns: Vec<EncodedColumn> = self
            .places
            .iter()
            .map(|place| EncodedColumn {
                states: Vec::with_capacity(keys.len()),
                values: Vec::with_capacity(place.value.map_or(0, |_| keys.len())),
            })
            .collect();
        for (row, &key) in cells.chunks_exact(width.max(1)).zip(keys) {
            let mut stream = rng::stream(key, "states", 0);
            for (place, column) in self.places.iter().zip(&mut columns) {
                if let Some(value) = place.value {
                    column.values.push(row[value]);
                }
                let logits = &row[self.values..][place.states.clone()];
                column
                    .states
                    .push(choose(logits, rng::uniform(&mut stream)));
            }
        }
        // A table of nothing but constants has no cells, and no states but the first.
        if width == 0 {
            for column in &mut columns {
                column.states = vec![0; keys.len()];
            }
        }
        Ok(Encoded { columns })
    }
}

/// The index that `uniform` falls on when 0..1 is divided by the softmax of the logits.
fn choose(logits: &[f32], uniform: f32) -> u32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    let mut left = uniform * total;
    for (i, logit) in logits.iter().enumerate() {
        left -= (logit - largest).exp();
        if left < 0.0 {
            return i as u32;
        }
    }
    logits.len().saturating_sub(1) as u32
}
