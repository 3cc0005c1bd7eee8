//! `missing_indicator(x)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, ScalarValue};

use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::Arg;

const SPEC: Spec = Spec {
    name: "missing_indicator",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "1 where a value is missing (NULL or NaN), else 0; never NULL.",
    params: &[Param::data("x", "a column of any type")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT missing_indicator(x) FROM (VALUES (1.5), (NULL), ('NaN'::DOUBLE)) AS t(x)",
        result: "0\n1\n1",
    }],
    source: "scikit-learn's MissingIndicator",
    also: &["sklearn.impute.MissingIndicator", "pandas.isna", "IS NULL"],
};

#[derive(Debug)]
pub struct MissingIndicator;

impl RowWise for MissingIndicator {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Int8)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let x = args.array(0)?;
        let indicator: Int8Array = if x.data_type().is_floating() {
            let x = cast(&x, &DataType::Float64)?;
            x.as_primitive::<Float64Type>()
                .iter()
                .map(|v| Some(i8::from(v.is_none_or(f64::is_nan))))
                .collect()
        } else {
            match x.logical_nulls() {
                None => Int8Array::from(vec![0; x.len()]),
                Some(nulls) => nulls.iter().map(|valid| Some(i8::from(!valid))).collect(),
            }
        };
        // collected items are never None
        let (_, values, _) = indicator.into_parts();
        Ok(Arc::new(Int8Array::new(values, None)))
    }

    fn sql(&self, args: &[Arg], _options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        let x = args[0].present();
        Ok(Some(format!("CASE WHEN {x} IS NULL THEN 1 ELSE 0 END")))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Float64Array, Int64Array};
    use arrow::datatypes::Int8Type;

    use super::*;
    use crate::testing::{call, column, constant, empty, null, text_forms};

    fn indicator(x: datafusion_expr::ColumnarValue) -> Result<Vec<i8>> {
        let result = call(MissingIndicator, &[x])?;
        assert_eq!(result.null_count(), 0);
        Ok(result.as_primitive::<Int8Type>().values().to_vec())
    }

    #[test]
    fn null_and_nan() -> Result<()> {
        let x = Float64Array::from(vec![Some(0.0), None, Some(f64::NAN), Some(f64::INFINITY)]);
        assert_eq!(indicator(column(x))?, [0, 1, 1, 0]);
        let x = Float32Array::from(vec![Some(-f32::NAN), None]);
        assert_eq!(indicator(column(x))?, [1, 1]);
        assert_eq!(
            indicator(column(Int64Array::from(vec![Some(1), None])))?,
            [0, 1]
        );
        for form in text_forms(&[Some(""), None, Some("NaN")]) {
            assert_eq!(indicator(form)?, [0, 1, 0]);
        }
        Ok(())
    }

    #[test]
    fn constants_and_nothing() -> Result<()> {
        assert_eq!(indicator(null())?, [1]);
        assert_eq!(indicator(constant(5))?, [0]);
        assert!(indicator(empty(&DataType::Float64))?.is_empty());
        Ok(())
    }
}
