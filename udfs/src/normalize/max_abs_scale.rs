//! `max_abs_scale`: to [-1, 1], with zero where it was.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::Result;

use crate::arrays::{float_type, only};
use crate::fitted::extent::Extent;
use crate::fitted::numbers::{map_floats, read_params, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind, null, number, rounded};

const SPEC: Spec = Spec {
    name: "max_abs_scale",
    stage: Stage::Normalize,
    kind: Kind::Fitted,
    summary: "Divides by the largest absolute value, so that 0 stays 0; a column of zeros stays. NULL, NaN and infinite \
        values take no part in the statistics; NULL and NaN give NULL, an infinity stays.",
    params: &[Param::data(
        "x",
        "a number; FLOAT stays FLOAT, all else gives DOUBLE",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT max_abs_scale(x) OVER () FROM (VALUES (-4), (0), (1), (2), (NULL)) AS t(x)",
        result: "-1.0\n0.0\n0.25\n0.5\n",
    }],
    source: "scikit-learn's MaxAbsScaler, but columns of very small numbers are scaled as others are",
    also: &[
        "sklearn.preprocessing.MaxAbsScaler",
        "ML.MAX_ABS_SCALER (BigQuery)",
        "MaxAbsScaler (Spark ML)",
    ],
};

/// `max_abs_scale(x) OVER (...)`.
#[derive(Debug, Clone)]
pub struct MaxAbsScale;

impl Fitted for MaxAbsScale {
    type State = Extent;
    type Prepared = Vec<Option<[f64; 1]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(_options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        let max_abs = Field::new("max_abs", DataType::Float64, true);
        Ok(Fields::from(vec![max_abs]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Extent> {
        Ok(Extent::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Extent>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .iter()
            .map(|state| state.max_abs().map(|max_abs| [max_abs]))
            .collect();
        Ok(write_params(&rows))
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        read_params(params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        map_floats(&args[0], prepared, groups, |x, [max_abs]| {
            if *max_abs == 0.0 { x } else { x / max_abs }
        })
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        let x = &args[0];
        let scaled = match read_params::<1>(fit)?[..] {
            [Some([0.0])] => x.number(),
            [Some([max_abs])] => format!("{} / {}", x.number(), number(max_abs)),
            _ => return Ok(Some(null(&x.data_type))),
        };
        Ok(Some(rounded(scaled, &x.data_type)))
    }

    fn inverse(&self, types: &[DataType]) -> Option<DataType> {
        Some(types[0].clone())
    }

    fn invert(
        &self,
        values: &ArrayRef,
        _params: &StructArray,
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        map_floats(values, prepared, groups, |y, [max_abs]| {
            if *max_abs == 0.0 { y } else { y * max_abs }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{apply_to, assert_floats, fit_apply, floats, grouped};

    #[test]
    fn scales_by_the_largest() {
        let x = floats([Some(-4.0), None, Some(0.0), Some(1.0), Some(f64::NAN)]);
        let y = fit_apply::<MaxAbsScale>(&[], std::slice::from_ref(&x));
        assert_floats(&y, &[Some(-1.0), None, Some(0.0), Some(0.25), None]);
        let other = floats([Some(8.0), Some(f64::NEG_INFINITY)]);
        let y = apply_to::<MaxAbsScale>(&[], &[x], &[other]);
        assert_floats(&y, &[Some(2.0), Some(f64::NEG_INFINITY)]);
    }

    #[test]
    fn zeros_missing_and_extremes() {
        let y = fit_apply::<MaxAbsScale>(&[], &[floats([Some(0.0), Some(-0.0)])]);
        assert_floats(&y, &[Some(0.0), Some(0.0)]);
        let y = fit_apply::<MaxAbsScale>(&[], &[floats([None, Some(f64::NAN)])]);
        assert_floats(&y, &[None, None]);
        for largest in [f64::MAX, 1e-300, f64::from_bits(2)] {
            let x = floats([Some(largest), Some(-largest / 2.0)]);
            let y = fit_apply::<MaxAbsScale>(&[], &[x]);
            assert_floats(&y, &[Some(1.0), Some(-0.5)]);
        }
    }

    #[test]
    fn by_group() {
        let x = floats([Some(2.0), Some(-5.0), Some(1.0), None]);
        let y = grouped::<MaxAbsScale>(&[], &[x], &[0, 1, 0, 2]);
        assert_floats(&y, &[Some(1.0), Some(-1.0), Some(0.5), None]);
    }
}
