//! A model as bytes: the safetensors format, with what is not a tensor as text in its metadata.
//!
//! The layout is an 8-byte little-endian length, a JSON header that gives each tensor its type, shape
//! and place, and the tensors' bytes. Floating-point values never go through JSON, so a model that was
//! saved and loaded gives the same bits. The metadata also holds the format's name and version, and a
//! checksum over the whole file, so that a file which was cut off, changed or made by another program is
//! known before anything in it is used.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use candle_core::{DType, Device, Tensor};
use datafusion_common::{Result, exec_datafusion_err, exec_err, internal_err};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{rng, tensor_error};

/// What marks a file as one of ours.
const FORMAT: &str = "seedbed model";

/// The version that is written, and the newest that is read.
const VERSION: u64 = 1;

/// Where the checksum stands in the header; texts have their quotes escaped, so it stands there once.
const CHECKSUM: &str = "\"checksum\":\"";

/// Hexadecimal digits of the checksum.
const DIGITS: usize = 32;

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

    /// What a text says as JSON.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_str(self.text(name)?)
            .map_err(|error| exec_datafusion_err!("the model file is damaged: {error}"))
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

    /// Rows, as an Arrow IPC file within the file.
    pub fn set_batch(&mut self, name: impl Into<String>, batch: &RecordBatch) -> Result<()> {
        self.set_blob(name, &to_ipc(&batch.schema(), Some(batch))?)
    }

    pub fn batch(&self, name: &str) -> Result<RecordBatch> {
        match from_ipc(self.blob(name)?)? {
            (_, Some(batch)) => Ok(batch),
            (schema, None) => Ok(RecordBatch::new_empty(schema)),
        }
    }

    pub fn set_schema(&mut self, name: impl Into<String>, schema: &SchemaRef) -> Result<()> {
        self.set_blob(name, &to_ipc(schema, None)?)
    }

    pub fn schema(&self, name: &str) -> Result<SchemaRef> {
        Ok(from_ipc(self.blob(name)?)?.0)
    }

    /// One array.
    pub fn set_column(&mut self, name: impl Into<String>, values: &ArrayRef) -> Result<()> {
        let field = Field::new("values", values.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        self.set_batch(
            name,
            &RecordBatch::try_new(schema, vec![Arc::clone(values)])?,
        )
    }

    pub fn column(&self, name: &str) -> Result<ArrayRef> {
        let batch = self.batch(name)?;
        match batch.columns() {
            [column] => Ok(Arc::clone(column)),
            _ => exec_err!("the model file is damaged: {name} is not one column"),
        }
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
        let mut texts = self.texts.clone();
        texts.insert("format".to_string(), FORMAT.to_string());
        texts.insert("version".to_string(), VERSION.to_string());
        texts.insert("checksum".to_string(), "0".repeat(DIGITS));
        let mut header = Map::new();
        header.insert("__metadata__".to_string(), json!(texts));
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
        let Some(at) = checksum_place(&bytes) else {
            return internal_err!("a model file has no place for its checksum");
        };
        let sum = checksum(&bytes);
        bytes[at..at + DIGITS].copy_from_slice(sum.as_bytes());
        Ok(bytes)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Some(mut texts) = metadata(bytes) else {
            return exec_err!(
                "these {} bytes are not a model file: they are of another format, or cut off",
                bytes.len()
            );
        };
        if texts.remove("format").as_deref() != Some(FORMAT) {
            return exec_err!("this safetensors file is not a model of Seedbed's");
        }
        let version = texts.remove("version").unwrap_or_default();
        if version
            .parse::<u64>()
            .is_ok_and(|version| version > VERSION)
        {
            return exec_err!(
                "the model file is of version {version}, and this program reads versions up to \
                 {VERSION}; read it with a newer one"
            );
        }
        let (Some(at), Some(_)) = (checksum_place(bytes), texts.remove("checksum")) else {
            return exec_err!("the model file is damaged: it has no checksum");
        };
        let mut zeroed = bytes.to_vec();
        zeroed[at..at + DIGITS].fill(b'0');
        if checksum(&zeroed).as_bytes() != &bytes[at..at + DIGITS] {
            return exec_err!(
                "the model file is damaged: its checksum does not fit what it holds; it was cut off or changed"
            );
        }
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu);
        match tensors {
            Ok(tensors) => Ok(Self { texts, tensors }),
            Err(error) => exec_err!("the model file is damaged: {error}"),
        }
    }
}

/// Where the digits of the checksum begin.
fn checksum_place(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let at = header
        .windows(CHECKSUM.len())
        .position(|window| window == CHECKSUM.as_bytes())?;
    let begin = at + CHECKSUM.len();
    (header.len() >= begin + DIGITS).then_some(8 + begin)
}

/// Of a file whose own checksum is all zeros.
fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}{:016x}", rng::hash(0, bytes), rng::hash(1, bytes))
}

fn to_ipc(schema: &SchemaRef, batch: Option<&RecordBatch>) -> Result<Vec<u8>> {
    let mut writer = FileWriter::try_new(Vec::new(), schema)?;
    if let Some(batch) = batch {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?)
}

fn from_ipc(bytes: Vec<u8>) -> Result<(SchemaRef, Option<RecordBatch>)> {
    let mut reader = FileReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    Ok((schema, reader.next().transpose()?))
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
        let message = |bytes: &[u8]| ModelFile::from_bytes(bytes).unwrap_err().to_string();
        assert!(message(b"PAR1 is another format entirely").contains("another format"));
        // Every bit counts.
        for place in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                assert!(ModelFile::from_bytes(&changed).is_err(), "{place} {bit}");
            }
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(&[0; 8]);
        assert!(message(&longer).contains("checksum"));
    }

    #[test]
    fn foreign_and_newer_files_say_so() {
        let header = |metadata: &str| {
            let mut bytes = (metadata.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(metadata.as_bytes());
            ModelFile::from_bytes(&bytes).unwrap_err().to_string()
        };
        let foreign = header("{\"__metadata__\":{\"format\":\"pt\"}}");
        assert!(foreign.contains("not a model of Seedbed's"), "{foreign}");
        let newer = header("{\"__metadata__\":{\"format\":\"seedbed model\",\"version\":\"9\"}}");
        assert!(newer.contains("version 9"), "{newer}");
        // A header that claims to be longer than the memory there is.
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.extend_from_slice(b"{}");
        assert!(ModelFile::from_bytes(&huge).is_err());
    }
}
