//! A model as bytes: the safetensors format, with what is not a tensor as text in its metadata.
//!
//! The layout is an 8-byte little-endian length, a JSON header that gives each tensor its type, shape
//! and place, and the tensors' bytes. Floating-point values never go through JSON, so a model that was
//! saved and loaded gives the same bits.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use datafusion_common::{Result, exec_err};
use serde_json::{Map, Value, json};

use super::tensor_error;

/// The tensors and texts of a model.
#[derive(Debug, Clone, Default)]
pub struct ModelFile {
    texts: BTreeMap<String, String>,
    tensors: HashMap<String, Tensor>,
}

impl ModelFile {
    pub fn set_text(&mut self, name: &str, text: impl Into<String>) {
        self.texts.insert(name.to_string(), text.into());
    }

    pub fn text(&self, name: &str) -> Result<&str> {
        match self.texts.get(name) {
            Some(text) => Ok(text),
            None => exec_err!("the model file has no {name}: it is damaged, or not a model"),
        }
    }

    pub fn set_tensor(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor);
    }

    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => exec_err!("the model file has no tensor {name}: it is damaged"),
        }
    }

    pub fn set_numbers(&mut self, name: impl Into<String>, values: &[f64]) -> Result<()> {
        let tensor =
            Tensor::from_slice(values, values.len(), &Device::Cpu).map_err(tensor_error)?;
        self.set_tensor(name, tensor);
        Ok(())
    }

    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        self.tensor(name)?.to_vec1::<f64>().map_err(tensor_error)
    }

    pub fn set_blob(&mut self, name: impl Into<String>, bytes: &[u8]) -> Result<()> {
        let tensor = Tensor::from_slice(bytes, bytes.len(), &Device::Cpu).map_err(tensor_error)?;
        self.set_tensor(name, tensor);
        Ok(())
    }

    pub fn blob(&self, name: &str) -> Result<Vec<u8>> {
        self.tensor(name)?.to_vec1::<u8>().map_err(tensor_error)
    }

    /// The tensors whose names begin with a prefix, in the order of their names.
    pub fn tensors(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        self.tensors
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect()
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut names: Vec<&String> = self.tensors.keys().collect();
        // Wider types first, so that every tensor is aligned.
        names.sort_by_key(|name| {
            let width = self.tensors[*name].dtype().size_in_bytes();
            (std::cmp::Reverse(width), *name)
        });
        let mut header = Map::new();
        header.insert("__metadata__".to_string(), json!(self.texts));
        let mut data = Vec::new();
        for name in names {
            let tensor = &self.tensors[name];
            let begin = data.len();
            append(tensor, &mut data)?;
            header.insert(
                name.clone(),
                json!({
                    "dtype": type_name(tensor.dtype())?,
                    "shape": tensor.dims(),
                    "data_offsets": [begin, data.len()],
                }),
            );
        }
        let mut head = Value::Object(header).to_string().into_bytes();
        head.resize(head.len().next_multiple_of(8), b' ');
        let mut bytes = Vec::with_capacity(8 + head.len() + data.len());
        bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&data);
        Ok(bytes)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Some(texts) = metadata(bytes) else {
            return exec_err!("these {} bytes are not a model file", bytes.len());
        };
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu);
        match tensors {
            Ok(tensors) => Ok(Self { texts, tensors }),
            Err(error) => exec_err!("the model file is damaged: {error}"),
        }
    }
}

fn metadata(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    serde_json::from_value(header.get("__metadata__")?.clone()).ok()
}

fn type_name(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::U8 => Ok("U8"),
        DType::F32 => Ok("F32"),
        DType::F64 => Ok("F64"),
        other => exec_err!("a model file holds no tensors of type {other:?}"),
    }
}

fn append(tensor: &Tensor, data: &mut Vec<u8>) -> Result<()> {
    let flat = tensor.flatten_all().map_err(tensor_error)?;
    match tensor.dtype() {
        DType::U8 => data.extend(flat.to_vec1::<u8>().map_err(tensor_error)?),
        DType::F32 => {
            for value in flat.to_vec1::<f32>().map_err(tensor_error)? {
                data.extend_from_slice(&value.to_le_bytes());
            }
        }
        DType::F64 => {
            for value in flat.to_vec1::<f64>().map_err(tensor_error)? {
                data.extend_from_slice(&value.to_le_bytes());
            }
        }
        other => return exec_err!("a model file holds no tensors of type {other:?}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_to_the_bit() {
        let mut file = ModelFile::default();
        file.set_text("kind", "gan");
        file.set_text("note", "a \"quoted\" text, äöü");
        file.set_blob("bytes", &[1, 2, 3]).unwrap();
        let numbers = [0.1, f64::MIN_POSITIVE, -0.0, 1.0 / 3.0, 1e300];
        file.set_numbers("numbers", &numbers).unwrap();
        file.set_numbers("none", &[]).unwrap();
        let weight = Tensor::from_slice(&[0.1f32, 0.2, 0.3, 0.4], (2, 2), &Device::Cpu).unwrap();
        file.set_tensor("weight", weight);
        let bytes = file.to_bytes().unwrap();
        let read = ModelFile::from_bytes(&bytes).unwrap();
        assert_eq!(read.text("note").unwrap(), "a \"quoted\" text, äöü");
        assert_eq!(read.blob("bytes").unwrap(), [1, 2, 3]);
        let bits: Vec<u64> = read
            .numbers("numbers")
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect();
        assert_eq!(bits, numbers.map(f64::to_bits));
        assert!(read.numbers("none").unwrap().is_empty());
        assert_eq!(read.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn damaged_files_are_errors() {
        let mut file = ModelFile::default();
        file.set_numbers("numbers", &[1.0, 2.0]).unwrap();
        let bytes = file.to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(ModelFile::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert!(ModelFile::from_bytes(b"PAR1 is another format entirely").is_err());
    }
}
