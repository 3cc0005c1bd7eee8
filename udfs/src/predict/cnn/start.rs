//! Where a network's weights begin: fresh, with those of another model, or with those of a file.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err, plan_err};

use super::super::Task;
use super::looker::{read_frame, read_scale};
use super::network::{LeNet, Shape};
use super::pictures::Scale;
use super::weights::Weights;
use crate::synthesize::layers::{Frame, Network};
use crate::synthesize::{ModelFile, tensor_error};

/// Where weights begin.
pub enum Start<'a> {
    Fresh,
    Model(&'a ModelFile),
    Weights(Weights),
}

impl<'a> Start<'a> {
    pub fn of(task: &Task<'a>) -> Result<Self> {
        let path = task.options.text("weights");
        match task.base {
            Some(_) if !path.is_empty() => {
                plan_err!("a cnn starts from a model or from weights, not from both: leave one out")
            }
            Some(base) => Ok(Self::Model(base)),
            None if !path.is_empty() => Ok(Self::Weights(Weights::read(path)?)),
            None if task.options.choice("freeze")? != "none" => plan_err!(
                "freeze keeps what another model has learnt: write CREATE MODEL ... USING cnn FROM model, or OPTIONS \
                 (weights 'file.safetensors', freeze 'features')"
            ),
            None => Ok(Self::Fresh),
        }
    }

    /// The size of pictures, if it is known.
    pub fn frame(&self) -> Result<Option<Frame>> {
        match self {
            Self::Model(file) => read_frame(file).map(Some),
            Self::Fresh | Self::Weights(_) => Ok(None),
        }
    }

    /// Gives a network its first weights; the pictures' scale, if it is known.
    pub fn begin(
        &self,
        classes: &[String],
        shape: &Shape,
        network: &mut LeNet,
    ) -> Result<Option<Scale>> {
        match self {
            Self::Fresh => Ok(None),
            Self::Weights(weights) => weights.begin(shape, network),
            Self::Model(file) => {
                let column = cast(&file.column("classes")?, &DataType::Utf8)?;
                let column = column.as_string::<i32>();
                let old: Vec<&str> = column.iter().flatten().collect();
                adopt(network, file, classes, &old)?;
                read_scale(file, shape.input).map(Some)
            }
        }
    }
}

/// Takes a trained network's weights: of the last layer those of the classes that both have.
fn adopt(network: &mut LeNet, file: &ModelFile, classes: &[String], old: &[&str]) -> Result<()> {
    for parameter in network.parameters_mut() {
        let tensor = file.tensor(&parameter.name)?;
        let flat = tensor.flatten_all().map_err(tensor_error)?;
        let values = flat.to_vec1::<f32>().map_err(tensor_error)?;
        let columns = match LeNet::is_head(parameter) {
            true => old.len(),
            false => parameter.columns,
        };
        if values.len() != parameter.rows * columns {
            return exec_err!(
                "the model to start from has other layers: {} has shape {:?}, not {:?}",
                parameter.name,
                tensor.dims(),
                [parameter.rows, columns]
            );
        }
        if !LeNet::is_head(parameter) {
            parameter.values = values;
            continue;
        }
        for (to, class) in classes.iter().enumerate() {
            let Some(from) = old.iter().position(|other| other == class) else {
                continue;
            };
            for row in 0..parameter.rows {
                parameter.values[row * parameter.columns + to] = values[row * columns + from];
            }
        }
    }
    Ok(())
}
