//! Prediction as a function: a model's input columns in, prediction and probabilities as a struct out.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::Classifier;
use crate::synthesize::Model;

/// The function bound to a model: its arguments are the columns of [`Classifier::inputs`].
#[derive(Debug)]
pub struct PredictUdf {
    model: Arc<dyn Model>,
    /// The name the model has in the session: what makes two bound functions equal.
    name: String,
    signature: Signature,
}

impl PredictUdf {
    pub fn new(name: impl Into<String>, model: Arc<dyn Model>) -> Self {
        Self {
            model,
            name: name.into(),
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    fn classifier(&self) -> Result<&Classifier> {
        match self.model.classifier() {
            Some(classifier) => Ok(classifier),
            None => exec_err!("model {} does not predict", self.name),
        }
    }
}

impl PartialEq for PredictUdf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.model, &other.model)
    }
}

impl Eq for PredictUdf {}

impl Hash for PredictUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for PredictUdf {
    fn name(&self) -> &str {
        "predict"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(self.classifier()?.outputs().clone()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let told = self.classifier()?.predict(&arrays, rows)?;
        Ok(ColumnarValue::Array(Arc::new(told)))
    }
}
