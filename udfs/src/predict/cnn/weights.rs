//! Weights that another program trained: a plain safetensors file, its layers named and laid out as PyTorch has them.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use super::network::{LeNet, Shape};
use super::pictures::Scale;
use crate::synthesize::layers::{Network, Parameter};
use crate::synthesize::tensor_error;

/// A file's tensors.
#[derive(Debug)]
pub struct Weights {
    path: String,
    tensors: HashMap<String, Tensor>,
}

impl Weights {
    pub fn read(path: &str) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            exec_datafusion_err!("option weights: {path} cannot be read: {error}")
        })?;
        Self::of(path, &bytes)
    }

    /// The tensors of a file that has been read.
    fn of(path: &str, bytes: &[u8]) -> Result<Self> {
        let tensors =
            candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|error| {
                exec_datafusion_err!("option weights: {path} is no safetensors file: {error}")
            })?;
        Ok(Self {
            path: path.to_string(),
            tensors,
        })
    }

    /// Gives a network the file's weights; the pictures' scale, if the file has it.
    pub fn begin(&self, shape: &Shape, network: &mut LeNet) -> Result<Option<Scale>> {
        for parameter in network.parameters_mut() {
            let outputs = parameter.columns;
            let found = self.tensors.get(&parameter.name);
            let fits = found.is_some_and(|tensor| tensor.dims().first() == Some(&outputs));
            if LeNet::is_head(parameter) && !fits {
                continue;
            }
            let Some(tensor) = found else {
                let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
                names.sort_unstable();
                return exec_err!(
                    "option weights: {} has no tensor {}; it has {}",
                    self.path,
                    parameter.name,
                    names.join(", ")
                );
            };
            self.take(tensor, shape, parameter)?;
        }
        let Some(scale) = self.tensors.get("input.scale") else {
            return Ok(None);
        };
        let scale = self.numbers(scale)?;
        let scale: Vec<[f64; 2]> = scale
            .chunks_exact(2)
            .map(|c| [f64::from(c[0]), f64::from(c[1])])
            .collect();
        if scale.len() != shape.input.channels || scale.iter().any(|[_, scale]| *scale <= 0.0) {
            return exec_err!(
                "option weights: input.scale of {} is not a mean and a deviation above 0 of each of {} channels",
                self.path,
                shape.input.channels
            );
        }
        Ok(Some(Scale(scale)))
    }

    /// Takes a tensor as a parameter's values, laid out as ours.
    fn take(&self, tensor: &Tensor, shape: &Shape, parameter: &mut Parameter) -> Result<()> {
        let (rows, outputs) = (parameter.rows, parameter.columns);
        let is_conv = parameter.name.starts_with("conv.");
        // Of a convolution's weight the window's rows are outside; of the first dense one the picture's.
        let (wanted, pixels) = match parameter.name.as_str() {
            name if name.ends_with(".bias") => (vec![outputs], 1),
            _ if is_conv => {
                let pixels = shape.window * shape.window;
                let inputs = rows / pixels;
                (vec![outputs, inputs, shape.window, shape.window], pixels)
            }
            "dense.0.weight" => (vec![outputs, rows], shape.last().pixels()),
            // without hidden layers the last is the first
            "dense.output.weight" if shape.hidden.is_empty() => {
                (vec![outputs, rows], shape.last().pixels())
            }
            _ => (vec![outputs, rows], 1),
        };
        if tensor.dims() != wanted {
            return exec_err!(
                "option weights: {} of {} has shape {:?}, not {wanted:?}",
                parameter.name,
                self.path,
                tensor.dims()
            );
        }
        let values = self.numbers(tensor)?;
        if rows == 1 && parameter.name.ends_with(".bias") {
            parameter.values = values;
            return Ok(());
        }
        // Theirs is (output, channel, pixel), ours (pixel, channel, output).
        let channels = rows / pixels.max(1);
        for output in 0..outputs {
            for channel in 0..channels {
                for pixel in 0..pixels {
                    parameter.values[(pixel * channels + channel) * outputs + output] =
                        values[(output * channels + channel) * pixels + pixel];
                }
            }
        }
        Ok(())
    }

    fn numbers(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        let flat = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all());
        let values = flat
            .and_then(|t| t.to_vec1::<f32>())
            .map_err(tensor_error)?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => exec_err!(
                "option weights: {} holds values that are no numbers",
                self.path
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::network::Passes;
    use super::*;
    use crate::synthesize::ModelFile;
    use crate::synthesize::layers::Frame;

    fn numbers(value: &Value) -> Vec<f32> {
        serde_json::from_value(value.clone()).unwrap()
    }

    /// What a network of PyTorch's with these weights says of pictures: `tests/golden/pictures.py`.
    #[test]
    fn weights_of_another_program_give_its_scores() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/layers/pictures.json"
        );
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let golden = &golden["lenet"];
        let mut file = ModelFile::default();
        for (name, tensor) in golden["weights"].as_object().unwrap() {
            let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
            let tensor = Tensor::from_vec(numbers(&tensor["values"]), shape, &Device::Cpu).unwrap();
            file.set_tensor(name, tensor);
        }
        let weights = Weights::of("file", &file.to_bytes().unwrap()).unwrap();
        let mut shape = Shape {
            input: Frame {
                height: 9,
                width: 8,
                channels: 2,
            },
            channels: vec![3, 4],
            window: 3,
            hidden: vec![5],
            classes: 3,
        };
        let mut network = LeNet::new(&shape, 7);
        assert!(weights.begin(&shape, &mut network).unwrap().is_none());
        let (mut passes, mut room) = (Passes::default(), Vec::new());
        let pictures = golden["pictures"].as_array().unwrap();
        for (picture, expected) in pictures.iter().zip(golden["scores"].as_array().unwrap()) {
            passes.input = numbers(picture);
            let mut scores = vec![0.0; 3];
            network.look(&mut passes, &mut room, &mut scores);
            for (score, expected) in scores.iter().zip(numbers(expected)) {
                assert!((score - expected).abs() < 1e-5, "{score} {expected}");
            }
        }
        // other classes get a fresh last layer, other layers are an error
        shape.classes = 5;
        weights.begin(&shape, &mut LeNet::new(&shape, 7)).unwrap();
        shape.hidden = vec![6];
        let wrong = weights.begin(&shape, &mut LeNet::new(&shape, 7));
        let wrong = wrong.unwrap_err().to_string();
        assert!(
            wrong.contains("dense.0.weight of") && wrong.contains("[5, 16], not [6, 16]"),
            "{wrong}"
        );
        shape.channels = vec![3];
        shape.hidden = vec![5, 5];
        let lacks = weights.begin(&shape, &mut LeNet::new(&shape, 7));
        assert!(lacks.is_err());
        let error = Weights::of("file", b"PAR1").unwrap_err();
        assert!(
            error.to_string().contains("file is no safetensors file"),
            "{error}"
        );
    }
}
