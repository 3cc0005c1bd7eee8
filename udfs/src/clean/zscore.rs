//! `zscore`: how many standard deviations a number is from the mean.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::Result;

use crate::arrays::{float_type, only};
use crate::fitted::moments::Moments;
use crate::fitted::numbers::{map_floats, read_params, scaled_sql, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "zscore",
    stage: Stage::Clean,
    kind: Kind::Fitted,
    summary: "How many standard deviations a number is above the mean; a constant is 0. NULL, NaN and infinite values \
        take no part in the statistics; NULL and NaN give NULL, an infinity stays.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option(
            "ddof",
            "0",
            "the deviation divides by the count less this: 0 as in scipy, 1 as in SQL's stddev",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT zscore(x) OVER () FROM (VALUES (2), (4), (4), (4), (5), (5), (7), (9)) AS t(x)",
        result: "-1.5\n-0.5\n-0.5\n-0.5\n0.0\n0.0\n1.0\n2.0",
    }],
    source: "scipy.stats.zscore, but for constants; mean and variance are exact and rounded once",
    also: &["scipy.stats.zscore", "standard_scale"],
};

/// `zscore(x, ddof => 0) OVER (...)`.
#[derive(Debug, Clone)]
pub struct ZScore {
    ddof: u64,
}

impl Fitted for ZScore {
    type State = Moments;
    type Prepared = Vec<Option<[f64; 2]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            ddof: options.integer("ddof", 0)?.unsigned_abs(),
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
            Field::new("mean", DataType::Float64, true),
            Field::new("deviation", DataType::Float64, true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Moments> {
        Ok(Moments::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Moments>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .iter()
            .map(|state| state.mean_and_scale(self.ddof))
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
        map_floats(&args[0], prepared, groups, |x, [mean, deviation]| {
            (x - mean) / deviation
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
        map_floats(values, prepared, groups, |y, [mean, deviation]| {
            y * deviation + mean
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{assert_floats, bind_error, fit_apply, floats, grouped};

    #[test]
    fn deviations_from_the_mean() {
        let x = floats([
            Some(1.0),
            None,
            Some(3.0),
            Some(f64::NAN),
            Some(f64::INFINITY),
        ]);
        let y = fit_apply::<ZScore>(&[], std::slice::from_ref(&x));
        let far = Some(f64::INFINITY);
        assert_floats(&y, &[Some(-1.0), None, Some(1.0), None, far]);
        let y = fit_apply::<ZScore>(&[("ddof", 1.into())], &[x]);
        let half = std::f64::consts::FRAC_1_SQRT_2;
        assert_floats(&y, &[Some(-half), None, Some(half), None, far]);
    }

    #[test]
    fn constants_and_missing() {
        for ddof in [0, 1] {
            let options = [("ddof", ddof.into())];
            let y = fit_apply::<ZScore>(&options, &[floats([Some(0.1), Some(0.1), None])]);
            assert_floats(&y, &[Some(0.0), Some(0.0), None]);
            let y = fit_apply::<ZScore>(&options, &[floats([Some(7.0)])]);
            assert_floats(&y, &[Some(0.0)]);
        }
        assert_floats(&fit_apply::<ZScore>(&[], &[floats([None])]), &[None]);
        let x = floats([Some(1.0), Some(5.0), Some(3.0), None]);
        let y = grouped::<ZScore>(&[], &[x], &[0, 1, 0, 2]);
        assert_floats(&y, &[Some(-1.0), Some(0.0), Some(1.0), None]);
    }

    #[test]
    fn wrong_options() {
        let error = bind_error::<ZScore>(&[("ddof", (-1).into())]);
        assert!(
            error.contains("zscore: ddof must be a whole number"),
            "{error}"
        );
    }
}
