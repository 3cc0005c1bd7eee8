//! `gan_sample('model', key)`: the scalar form of sampling; the model is found while planning.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use seedbed_udfs::synthesize::{SampleUdf, check_draws};

use crate::session::Env;

/// The function before its model is found.
#[derive(Debug)]
pub struct GanSample {
    env: Env,
    signature: Signature,
}

impl GanSample {
    /// The function, for a session.
    pub fn udf(env: Env) -> ScalarUDF {
        ScalarUDF::from(Self {
            env,
            signature: Signature::any(2, Volatility::Immutable),
        })
    }

    fn bind(&self, model: Option<&ScalarValue>) -> Result<SampleUdf> {
        match model.map(ScalarValue::try_as_str) {
            Some(Some(Some(name))) => {
                let model = self.env.store()?.model(name)?;
                check_draws(self.name(), name, model.as_ref())?;
                Ok(SampleUdf::new(name, model))
            }
            _ => plan_err!(
                "gan_sample: the model must be a constant. Write gan_sample('model', random_key(seed, id))"
            ),
        }
    }
}

impl PartialEq for GanSample {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for GanSample {}

impl Hash for GanSample {
    fn hash<H: Hasher>(&self, state: &mut H) {
        "gan_sample".hash(state);
    }
}

impl ScalarUDFImpl for GanSample {
    fn name(&self) -> &str {
        "gan_sample"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        plan_err!("gan_sample: its type depends on the model")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let bound = self.bind(args.scalar_arguments.first().copied().flatten())?;
        let key = args.arg_fields[1].data_type().clone();
        let row = bound.return_type(&[key])?;
        Ok(Arc::new(Field::new(self.name(), row, true)))
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let bound = match &args[0] {
            Expr::Literal(model, _) => self.bind(Some(model))?,
            _ => self.bind(None)?,
        };
        let udf = Arc::new(ScalarUDF::from(bound));
        let call = ScalarFunction::new_udf(udf, vec![args[1].clone()]);
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(call)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let model = match args.args.remove(0) {
            ColumnarValue::Scalar(model) => Some(model),
            ColumnarValue::Array(_) => None,
        };
        args.arg_fields.remove(0);
        self.bind(model.as_ref())?.invoke_with_args(args)
    }
}
