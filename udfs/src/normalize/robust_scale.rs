//! `robust_scale`: by median and interquartile range, which outliers do not move.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, plan_err};

use super::min_max_scale::is_constant;
use crate::arrays::{float_type, only};
use crate::fitted::numbers::{map_floats, read_params, scaled_sql, write_params};
use crate::fitted::quantiles::{Method, QUANTILE_METHOD, Quantiles};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "robust_scale",
    stage: Stage::Normalize,
    kind: Kind::Fitted,
    summary: "Subtracts the median and divides by the distance of two quantiles, the quartiles by default; if that \
        distance is 0, only the median is subtracted. NULL and NaN take no part in the statistics and give NULL; an \
        infinity counts as beyond all other values, and stays.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option("q_lo", "0.25", "the lower quantile, from 0 to 1"),
        Param::option("q_hi", "0.75", "the upper quantile, from 0 to 1"),
        Param::option("with_centering", "true", "whether the median is subtracted"),
        Param::option(
            "with_scaling",
            "true",
            "whether to divide by the quantiles' distance",
        ),
        QUANTILE_METHOD,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT robust_scale(x) OVER () FROM (VALUES (1), (2), (3), (4), (1000)) AS t(x)",
        result: "-1.0\n-0.5\n0.0\n0.5\n498.5",
    }],
    source: "scikit-learn's RobustScaler; quantiles are exact, with numpy's interpolation",
    also: &[
        "sklearn.preprocessing.RobustScaler",
        "ML.ROBUST_SCALER (BigQuery)",
        "RobustScaler (Spark ML)",
    ],
};

/// `robust_scale(x, q_lo => 0.25, q_hi => 0.75, with_centering => true, with_scaling => true,
/// quantile_method => 'linear') OVER (...)`.
#[derive(Debug, Clone)]
pub struct RobustScale {
    q_lo: f64,
    q_hi: f64,
    with_centering: bool,
    with_scaling: bool,
    method: Method,
}

impl Fitted for RobustScale {
    type State = Quantiles;
    type Prepared = Vec<Option<[f64; 2]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let q_lo = options.float_in("q_lo", 0.0, 1.0)?;
        let q_hi = options.float_in("q_hi", 0.0, 1.0)?;
        if q_lo >= q_hi {
            return plan_err!(
                "robust_scale: q_lo must be below q_hi, but q_lo is {q_lo} and q_hi is {q_hi}. Write robust_scale(x, q_lo => 0.25, q_hi => 0.75)"
            );
        }
        Ok(Self {
            q_lo,
            q_hi,
            with_centering: options.bool("with_centering")?,
            with_scaling: options.bool("with_scaling")?,
            method: Method::new(options)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![
            Field::new("median", DataType::Float64, true),
            Field::new("scale", DataType::Float64, true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Quantiles> {
        Ok(Quantiles::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Quantiles>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .into_iter()
            .map(|mut state| {
                let quantiles = state.quantiles_by(&[self.q_lo, 0.5, self.q_hi], self.method)?;
                let [lo, median, hi] = quantiles[..] else {
                    return None;
                };
                let range = hi - lo;
                let scale = if self.with_scaling && !is_constant(lo, hi, range) {
                    range
                } else {
                    1.0
                };
                Some([if self.with_centering { median } else { 0.0 }, scale])
            })
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
        map_floats(&args[0], prepared, groups, |x, [median, scale]| {
            (x - median) / scale
        })
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        scaled_sql(&args[0], fit)
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
        map_floats(values, prepared, groups, |y, [median, scale]| {
            y * scale + median
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{assert_floats, bind_error, fit_apply, floats};

    #[test]
    fn scales_as_scikit_learn() {
        let x = floats([
            Some(1.0),
            Some(2.0),
            None,
            Some(4.0),
            Some(1000.0),
            Some(f64::NAN),
        ]);
        // quartiles 1.75 and 253, median 3
        let y = fit_apply::<RobustScale>(&[], &[x]);
        let z = |x: f64| Some((x - 3.0) / 251.25);
        let expected = [z(1.0), z(2.0), None, z(4.0), z(1000.0), None];
        assert_floats(&y, &expected);
    }

    #[test]
    fn no_spread_only_centres() {
        let x = floats([Some(3.0), Some(3.0), Some(3.0), Some(3.0), Some(9.0)]);
        let y = fit_apply::<RobustScale>(&[], &[x]);
        assert_floats(&y, &[Some(0.0), Some(0.0), Some(0.0), Some(0.0), Some(6.0)]);
    }

    #[test]
    fn wrong_quantiles_are_refused() {
        let error = bind_error::<RobustScale>(&[("q_lo", 0.9.into())]);
        assert!(error.contains("q_lo must be below q_hi"), "{error}");
        let error = bind_error::<RobustScale>(&[("q_hi", 75.into())]);
        assert!(error.contains("between 0 and 1"), "{error}");
    }
}
