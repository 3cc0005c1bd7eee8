//! `gan_sample('model', key)`: one row a key, as a struct.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::{Model, rng};

/// The function bound to a model: the engine resolves the model's name while planning, and calls this
/// with what remains, the key. A key's row is the same wherever it is drawn; NULL keys give NULL.
#[derive(Debug)]
pub struct SampleUdf {
    model: Arc<dyn Model>,
    /// The name the model has in the session: what makes two bound functions equal.
    name: String,
    signature: Signature,
}

impl SampleUdf {
    pub fn new(name: impl Into<String>, model: Arc<dyn Model>) -> Self {
        Self {
            model,
            name: name.into(),
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl PartialEq for SampleUdf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.model, &other.model)
    }
}

impl Eq for SampleUdf {}

impl Hash for SampleUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for SampleUdf {
    fn name(&self) -> &str {
        "gan_sample"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [key] if key.is_integer() || key.is_null() => {
                Ok(DataType::Struct(self.model.schema().fields().clone()))
            }
            [other] => plan_err!(
                "gan_sample takes a model and an integer key, such as random_key(7, id), \
                 but the key is {other}"
            ),
            _ => plan_err!("gan_sample takes a model and a key"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(keys) = args.args.first() else {
            return exec_err!("gan_sample takes a model and a key");
        };
        let keys = keys.to_array(args.number_rows)?;
        let keys = match keys.data_type() {
            DataType::UInt64 => keys,
            // Negative keys are keys as well: their bits are.
            _ => {
                let signed = cast(&keys, &DataType::Int64)?;
                let data = signed.to_data().into_builder().data_type(DataType::UInt64);
                arrow::array::make_array(data.build()?)
            }
        };
        let keys = keys.as_primitive::<UInt64Type>();
        let mixed: Vec<u64> = keys.values().iter().map(|&key| rng::mix(key)).collect();
        let rows = self.model.draw(&mixed, None)?;
        let fields = self.model.schema().fields().clone();
        let rows = StructArray::try_new_with_length(
            fields,
            rows.columns().to_vec(),
            keys.nulls().cloned(),
            keys.len(),
        )?;
        Ok(ColumnarValue::Array(Arc::new(rows)))
    }
}
