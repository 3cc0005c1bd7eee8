//! The numbers that networks learn, with what their optimiser keeps beside them.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use datafusion_common::{Result, exec_err};
use faer::MatRef;

use super::matrix;
use crate::synthesize::{ModelFile, rng, tensor_error};

/// What a row or column of a parameter stands for: what it becomes when the network is taken to another
/// table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Units of the network itself.
    Units,
    /// The cells of a table's row, of one or of several rows side by side.
    Cells,
    /// The cells of a condition, likewise.
    Conditions,
}

/// How a fresh parameter begins.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    Constant(f32),
    /// Uniform in plus or minus the bound.
    Uniform(f32),
}

/// A matrix, or a vector as one row, that gradients move.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub name: String,
    pub rows: usize,
    pub columns: usize,
    pub axes: [Axis; 2],
    pub values: Vec<f32>,
    /// Written by a backward pass; empty before the first.
    pub gradient: Vec<f32>,
    /// Adam's moments; empty before its first step.
    pub first: Vec<f32>,
    pub second: Vec<f32>,
    /// Whether an optimiser moves it; not so for running statistics and frozen weights.
    pub learns: bool,
}

impl Parameter {
    /// Its start depends on the seed and its name.
    pub fn fresh(name: String, shape: [usize; 2], axes: [Axis; 2], init: Init, seed: u64) -> Self {
        let count = shape[0] * shape[1];
        let values = match init {
            Init::Constant(value) => vec![value; count],
            Init::Uniform(bound) => {
                let mut stream = rng::stream(seed, &name, 0);
                (0..count)
                    .map(|_| bound * (2.0 * rng::uniform(&mut stream) - 1.0))
                    .collect()
            }
        };
        Self {
            name,
            rows: shape[0],
            columns: shape[1],
            axes,
            values,
            gradient: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
            learns: true,
        }
    }

    /// A vector of a layer's units that is set, not learnt.
    pub fn buffer(name: String, columns: usize, value: f32) -> Self {
        let axes = [Axis::Units; 2];
        let mut buffer = Self::fresh(name, [1, columns], axes, Init::Constant(value), 0);
        buffer.learns = false;
        buffer
    }

    pub fn view(&self) -> MatRef<'_, f32> {
        matrix::view(&self.values, self.rows, self.columns)
    }

    /// The gradient, to be written.
    pub fn gradient_mut(&mut self) -> &mut [f32] {
        self.gradient.resize(self.values.len(), 0.0);
        &mut self.gradient
    }
}

/// Something that has parameters, always in the same order.
pub trait Network {
    fn parameters(&self) -> Vec<&Parameter>;

    fn parameters_mut(&mut self) -> Vec<&mut Parameter>;

    /// How many numbers all parameters are.
    fn count(&self) -> usize {
        self.parameters().iter().map(|p| p.values.len()).sum()
    }

    /// Writes the parameters into a model's file; numbers that are none are no model.
    fn save(&self, prefix: &str, file: &mut ModelFile) -> Result<()> {
        for parameter in self.parameters() {
            let name = format!("{prefix}{}", parameter.name);
            if parameter.values.iter().any(|value| !value.is_finite()) {
                return exec_err!(
                    "the training came apart: {name} holds values that are no numbers; \
                     lower the learning rates"
                );
            }
            let shape = (parameter.rows, parameter.columns);
            let tensor = |values: &[f32]| {
                Tensor::from_slice(values, shape, &Device::Cpu).map_err(tensor_error)
            };
            file.set_tensor(&name, tensor(&parameter.values)?);
        }
        Ok(())
    }

    /// Writes what the optimiser keeps.
    fn save_moments(&self, prefix: &str, file: &mut ModelFile) -> Result<()> {
        for parameter in self.parameters() {
            if parameter.first.is_empty() {
                continue;
            }
            let shape = (parameter.rows, parameter.columns);
            for (moment, values) in [("first", &parameter.first), ("second", &parameter.second)] {
                let name = format!("{prefix}{}.{moment}", parameter.name);
                let tensor = Tensor::from_slice(values, shape, &Device::Cpu);
                file.set_tensor(name, tensor.map_err(tensor_error)?);
            }
        }
        Ok(())
    }

    /// Reads back what [`Network::save`] wrote.
    fn restore(&mut self, prefix: &str, file: &ModelFile) -> Result<()> {
        for parameter in self.parameters_mut() {
            let name = format!("{prefix}{}", parameter.name);
            parameter.values = saved(file, &name, [parameter.rows, parameter.columns])?;
        }
        Ok(())
    }

    /// Reads back what [`Network::save_moments`] wrote.
    fn restore_moments(&mut self, prefix: &str, file: &ModelFile) -> Result<()> {
        for parameter in self.parameters_mut() {
            let shape = [parameter.rows, parameter.columns];
            let name = |moment: &str| format!("{prefix}{}.{moment}", parameter.name);
            if file.tensor(&name("first")).is_ok() {
                parameter.first = saved(file, &name("first"), shape)?;
                parameter.second = saved(file, &name("second"), shape)?;
            }
        }
        Ok(())
    }
}

fn saved(file: &ModelFile, name: &str, shape: [usize; 2]) -> Result<Vec<f32>> {
    let tensor = file.tensor(name)?;
    if tensor.dims() != shape {
        return exec_err!(
            "the model file is damaged: {name} has shape {:?}, not {shape:?}",
            tensor.dims()
        );
    }
    let flat = tensor.flatten_all().map_err(tensor_error)?;
    flat.to_vec1::<f32>().map_err(tensor_error)
}

/// The cells of a new table's row and of its conditions, each with the old table's cell it is the same
/// as, if any.
#[derive(Debug, Default)]
pub struct Mapping {
    pub cells: Vec<Option<usize>>,
    pub old_cells: usize,
    pub conditions: Vec<Option<usize>>,
    pub old_conditions: usize,
}

impl Mapping {
    /// The old table's row or column of a parameter for the new one's.
    fn old(&self, axis: Axis, index: usize) -> Option<usize> {
        let within = |cells: &[Option<usize>], old: usize| {
            // Several rows side by side: the same one of them.
            let (turn, cell) = (index / cells.len(), index % cells.len());
            cells[cell].map(|cell| turn * old + cell)
        };
        match axis {
            Axis::Units => Some(index),
            Axis::Cells => within(&self.cells, self.old_cells),
            Axis::Conditions => within(&self.conditions, self.old_conditions),
        }
    }

    /// Takes a trained network's values wherever the new one has a place for them.
    pub fn adopt(
        &self,
        network: &mut impl Network,
        saved: &BTreeMap<String, Tensor>,
    ) -> Result<()> {
        for parameter in network.parameters_mut() {
            let Some(tensor) = saved.get(&parameter.name) else {
                continue;
            };
            let (old_rows, old_columns) = tensor.dims2().map_err(tensor_error)?;
            let flat = tensor.flatten_all().map_err(tensor_error)?;
            let values = flat.to_vec1::<f32>().map_err(tensor_error)?;
            let [rows, columns] = parameter.axes;
            for row in 0..parameter.rows {
                let Some(old_row) = self.old(rows, row).filter(|&row| row < old_rows) else {
                    continue;
                };
                for column in 0..parameter.columns {
                    let old = self.old(columns, column).filter(|&c| c < old_columns);
                    if let Some(old) = old {
                        parameter.values[row * parameter.columns + column] =
                            values[old_row * old_columns + old];
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_parameters_depend_on_seed_and_name() {
        let values = |seed, name: &str| {
            let axes = [Axis::Units; 2];
            Parameter::fresh(name.to_string(), [2, 4], axes, Init::Uniform(1.0), seed).values
        };
        assert_eq!(values(1, "a"), values(1, "a"));
        assert_ne!(values(1, "a"), values(2, "a"));
        assert_ne!(values(1, "a"), values(1, "b"));
    }
}
