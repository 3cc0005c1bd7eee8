//! `log_transform(x)` and `signed_log(x)`: long tails made short.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue};

use crate::arrays::float_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, case, number, rounded};

const LOG_TRANSFORM: Spec = Spec {
    name: "log_transform",
    stage: Stage::Normalize,
    kind: Kind::RowWise,
    summary: "ln(1 + x), exact also for small x: counts and amounts whose few large values would drown the others.",
    params: &[Param::data(
        "x",
        "a number above -1; as in numpy, -1 gives -infinity and what is below gives NaN \
         (signed_log takes any number)",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT log_transform(0), log_transform(-1), log_transform(-2), log_transform(NULL)",
        result: "0.0,-inf,NaN,",
    }],
    source: "numpy.log1p",
    also: &["numpy.log1p", "pyspark.sql.functions.log1p"],
};

const SIGNED_LOG: Spec = Spec {
    name: "signed_log",
    stage: Stage::Normalize,
    kind: Kind::RowWise,
    summary: "sign(x) * ln(1 + |x|): a logarithm for numbers of either sign that keeps the sign, and 0 where it is.",
    params: &[Param::data("x", "a number")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT signed_log(0), signed_log(-9) = -log_transform(9), signed_log(NULL)",
        result: "0.0,true,",
    }],
    source: "numpy.sign(x) * numpy.log1p(numpy.abs(x))",
    also: &["symlog"],
};

#[derive(Debug)]
pub struct LogTransform;

#[derive(Debug)]
pub struct SignedLog;

impl RowWise for LogTransform {
    fn spec(&self) -> &'static Spec {
        &LOG_TRANSFORM
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&LOG_TRANSFORM, "x", &types[0])?])
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        Ok(each(&args.array(0)?, f64::ln_1p))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }

    fn sql(&self, args: &[Arg], _options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        let x = &args[0].sql;
        let log = case(
            [
                (format!("{x} > -1"), format!("LN(1e0 + {x})")),
                (format!("{x} = -1"), number(f64::NEG_INFINITY)),
                (format!("{x} IS NOT NULL"), number(f64::NAN)),
            ],
            None,
        );
        Ok(Some(rounded(log, &args[0].data_type)))
    }

    fn inverse(&self) -> Option<fn(f64) -> f64> {
        Some(f64::exp_m1)
    }
}

impl RowWise for SignedLog {
    fn spec(&self) -> &'static Spec {
        &SIGNED_LOG
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SIGNED_LOG, "x", &types[0])?])
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        // no -0
        Ok(each(&args.array(0)?, |x| x.abs().ln_1p().copysign(x) + 0.0))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }

    fn sql(&self, args: &[Arg], _options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        let x = &args[0].sql;
        let log = case(
            [(format!("{x} < 0"), format!("-LN(1e0 - {x})"))],
            Some(&format!("LN(1e0 + {x})")),
        );
        Ok(Some(rounded(log, &args[0].data_type)))
    }

    fn inverse(&self) -> Option<fn(f64) -> f64> {
        Some(|y| y.abs().exp_m1().copysign(y) + 0.0)
    }
}

/// Float32 is computed in double precision and rounded once.
fn each(x: &ArrayRef, f: impl Fn(f64) -> f64) -> ArrayRef {
    match x.data_type() {
        DataType::Float32 => map::<Float32Type>(x, |x| f(f64::from(x)) as f32),
        _ => map::<Float64Type>(x, f),
    }
}

fn map<T: ArrowPrimitiveType>(x: &ArrayRef, f: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    Arc::new(x.as_primitive::<T>().unary::<_, T>(f))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float32Array, Float64Array};

    use super::*;
    use crate::testing::{call, column, empty, error, null, texts};

    #[test]
    fn values_and_edges() -> Result<()> {
        let x = [1.0, 1e-300, -1.0, -2.0, f64::INFINITY, f64::NAN, -0.5];
        let x = || column(Float64Array::from(x.to_vec()));
        let y = call(LogTransform, &[x()])?;
        let y = y.as_primitive::<Float64Type>().values().to_vec();
        assert_eq!(y[..3], [std::f64::consts::LN_2, 1e-300, f64::NEG_INFINITY]);
        assert!(y[3].is_nan() && y[4] == f64::INFINITY && y[5].is_nan());
        let y = call(SignedLog, &[x()])?;
        let y = y.as_primitive::<Float64Type>().values().to_vec();
        assert_eq!(y[2], -std::f64::consts::LN_2);
        assert_eq!(y[6], -(0.5f64.ln_1p()));
        assert!(y[4] == f64::INFINITY && y[5].is_nan());
        Ok(())
    }

    #[test]
    fn nothing_null_and_float32() -> Result<()> {
        assert!(call(LogTransform, &[empty(&DataType::Int32)])?.is_empty());
        assert_eq!(call(SignedLog, &[null()])?.null_count(), 1);
        let x = Float32Array::from(vec![Some(1.0), None]);
        let y = call(SignedLog, &[column(x)])?;
        assert_eq!(y.data_type(), &DataType::Float32);
        assert!(y.is_null(1));
        Ok(())
    }

    #[test]
    fn text_is_an_error() {
        let message = error(call(LogTransform, &[texts([Some("a")])]));
        assert!(
            message.contains("log_transform: x must be a number"),
            "{message}"
        );
    }
}
