//! Partial rows continued by a model, as a function: key and columns in, the model's columns as a struct out.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, UInt64Type};
use datafusion_common::{Result, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::{Fill, Model, rng};

/// The function bound to a model: its arguments are a key and the columns that are given, of the model's
/// types; it gives the columns that are wanted.
#[derive(Debug)]
pub struct CompleteUdf {
    model: Arc<dyn Model>,
    /// The name the model has in the session: what makes two bound functions equal.
    name: String,
    fill: Fill,
    given: Vec<usize>,
    wanted: Vec<usize>,
    signature: Signature,
}

impl CompleteUdf {
    pub fn new(
        name: impl Into<String>,
        model: Arc<dyn Model>,
        fill: Fill,
        given: Vec<usize>,
        wanted: Vec<usize>,
    ) -> Self {
        Self {
            model,
            name: name.into(),
            fill,
            signature: Signature::any(given.len() + 1, Volatility::Immutable),
            given,
            wanted,
        }
    }

    fn fields(&self, columns: &[usize]) -> Vec<FieldRef> {
        let fields = self.model.schema().fields();
        let nullable = |&column: &usize| fields[column].as_ref().clone().with_nullable(true);
        columns.iter().map(nullable).map(Arc::new).collect()
    }
}

impl PartialEq for CompleteUdf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.fill == other.fill
            && self.given == other.given
            && self.wanted == other.wanted
            && Arc::ptr_eq(&self.model, &other.model)
    }
}

impl Eq for CompleteUdf {}

impl Hash for CompleteUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.fill, &self.given, &self.wanted).hash(state);
    }
}

impl ScalarUDFImpl for CompleteUdf {
    fn name(&self) -> &str {
        match self.fill {
            Fill::Absent => "complete",
            Fill::Nulls => "impute_model",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(Fields::from(self.fields(&self.wanted))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(args.number_rows))
            .collect::<Result<Vec<_>>>()?
            .into_iter();
        let Some(keys) = arrays.next() else {
            return exec_err!("{} takes a key", self.name());
        };
        // Of signed keys the bits count.
        let keys = match keys.data_type() {
            DataType::UInt64 => keys,
            _ => {
                let signed = cast(&keys, &DataType::Int64)?;
                let data = signed.to_data().into_builder().data_type(DataType::UInt64);
                arrow::array::make_array(data.build()?)
            }
        };
        let keys = keys.as_primitive::<UInt64Type>().values().iter();
        let keys: Vec<u64> = keys.map(|&key| rng::mix(key)).collect();
        let fields: Vec<Field> = self
            .fields(&self.given)
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
        let schema = Arc::new(Schema::new(fields));
        let rows = RecordBatch::try_new_with_options(schema, arrays.collect(), &options)?;
        let drawn = self
            .model
            .complete(&rows, self.fill, &keys, Some(&self.wanted))?;
        let drawn = StructArray::try_new_with_length(
            drawn.schema().fields().clone(),
            drawn.columns().to_vec(),
            None,
            keys.len(),
        )?;
        Ok(ColumnarValue::Array(Arc::new(drawn)))
    }
}
