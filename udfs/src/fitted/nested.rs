//! A fitted call within a fitted call, as the SQL planner can take it.
//!
//! SQL has no window function within a window function. `f(g(x) OVER (PARTITION BY k)) OVER ()` is planned as
//! `f(__fitted_g(1, x, k)) OVER ()`, with a scalar function that only stands for the inner call: what it
//! is called with, and the type that comes out. The engine puts a window below the outer one in its place.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, internal_err, plan_err};
use datafusion_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, WindowFrame, WindowFunctionDefinition,
};

use super::udf::{Bound, FittedUdf};
use crate::spec::Spec;

/// What the scalar functions' names begin with.
pub const PREFIX: &str = "__fitted_";

/// Stands for an inner fitted call. Its arguments are the number of keys, the call's data and options, and the keys
/// of its `PARTITION BY`.
#[derive(Debug)]
pub struct NestedFit {
    function: FittedUdf,
    name: String,
    signature: Signature,
}

impl PartialEq for NestedFit {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for NestedFit {}

impl Hash for NestedFit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Where the data, the options and the keys are among the arguments.
struct Parts {
    options: usize,
    keys: usize,
}

impl NestedFit {
    /// The scalar function that stands for inner calls of `function`.
    pub fn udf(function: FittedUdf) -> ScalarUDF {
        ScalarUDF::from(Self {
            name: format!("{PREFIX}{}", function.spec().name),
            function,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }

    /// The declaration of the function it stands for.
    pub fn spec(&self) -> &'static Spec {
        self.function.spec()
    }

    /// The window function that a call stands for, with its arguments cast to the types it takes.
    ///
    /// # Errors
    /// If an option is no constant, or has a wrong value.
    pub fn window(
        &self,
        args: &[Expr],
        schema: &dyn datafusion_common::ExprSchema,
    ) -> Result<Expr> {
        let literals: Vec<Option<&ScalarValue>> = args.iter().map(literal).collect();
        let parts = self.parts(&literals)?;
        let bound = self.bound(&literals, &parts)?;
        let types = args[1..parts.options]
            .iter()
            .map(|a| a.get_type(schema))
            .collect::<Result<Vec<_>>>()?;
        let mut given = args[1..parts.options]
            .iter()
            .zip(bound.coerce(&types)?)
            .map(|(arg, of)| arg.clone().cast_to(&of, schema))
            .collect::<Result<Vec<_>>>()?;
        given.extend_from_slice(&args[parts.options..parts.keys]);
        Ok(Expr::from(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(Arc::new(bound.window_udf())),
            params: WindowFunctionParams {
                args: given,
                partition_by: args[parts.keys..].to_vec(),
                order_by: Vec::new(),
                window_frame: WindowFrame::new(None),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }))
    }

    fn parts(&self, literals: &[Option<&ScalarValue>]) -> Result<Parts> {
        let options = self
            .function
            .spec()
            .params
            .iter()
            .filter(|p| p.option)
            .count();
        let keys = match literals.first() {
            Some(Some(ScalarValue::Int64(Some(keys)))) => usize::try_from(*keys).ok(),
            _ => None,
        };
        let keys = keys.and_then(|keys| literals.len().checked_sub(keys));
        match keys.and_then(|keys| Some((keys, keys.checked_sub(options)?))) {
            Some((keys, options)) if options > 0 => Ok(Parts { options, keys }),
            _ => internal_err!("{} is called by hand", self.name),
        }
    }

    fn bound(&self, literals: &[Option<&ScalarValue>], parts: &Parts) -> Result<Bound> {
        let spec = self.function.spec();
        let options = spec.params.iter().filter(|p| p.option);
        let values = literals[parts.options..parts.keys]
            .iter()
            .zip(options)
            .map(|(value, param)| match value {
                Some(value) => Ok((*value).clone()),
                None => plan_err!("{}: {} must be a constant", spec.name, param.name),
            })
            .collect::<Result<Vec<_>>>()?;
        self.function.bind(values)
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

impl ScalarUDFImpl for NestedFit {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{}: the type depends on its arguments", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let parts = self.parts(args.scalar_arguments)?;
        let bound = self.bound(args.scalar_arguments, &parts)?;
        let types: Vec<_> = args.arg_fields[1..parts.options]
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        let output = bound.output(&bound.coerce(&types)?)?;
        Ok(Arc::new(Field::new(self.name(), output, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!(
            "{0}: it stands where its rows are not known. Compute it first: SELECT ... FROM (SELECT {0}(x) OVER () AS y, * FROM t)",
            self.function.spec().name
        )
    }
}
