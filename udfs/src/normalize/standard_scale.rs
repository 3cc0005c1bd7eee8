//! `standard_scale`: to mean 0 and standard deviation 1.

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
    name: "standard_scale",
    stage: Stage::Normalize,
    kind: Kind::Fitted,
    summary: "Subtracts the mean and divides by the standard deviation; a constant becomes 0. \
        NULL, NaN and infinite values take no part in the statistics; NULL and NaN give NULL, an infinity stays.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option(
            "ddof",
            "0",
            "the deviation divides by the count less this: 0 as in scikit-learn, 1 as in BigQuery and Spark",
        ),
        Param::option("with_mean", "true", "whether the mean is subtracted"),
        Param::option("with_std", "true", "whether to divide by the deviation"),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT standard_scale(x) OVER () FROM (VALUES (2), (4), (4), (4), (5), (5), (7), (9)) AS t(x)",
            result: "-1.5\n-0.5\n-0.5\n-0.5\n0.0\n0.0\n1.0\n2.0",
        },
        Example {
            sql: "SELECT standard_scale(x) OVER (PARTITION BY k) AS z FROM (VALUES ('a', 1.0), ('a', 3.0), ('b', 7.0)) AS t(k, x) ORDER BY k, x",
            result: "-1.0\n1.0\n0.0",
        },
    ],
    source: "scikit-learn's StandardScaler; mean and variance are exact and rounded once",
    also: &[
        "sklearn.preprocessing.StandardScaler",
        "ML.STANDARD_SCALER (BigQuery)",
        "StandardScaler (Spark ML)",
        "z-score",
    ],
};

/// `standard_scale(x, ddof => 0, with_mean => true, with_std => true) OVER (...)`.
#[derive(Debug, Clone)]
pub struct StandardScale {
    ddof: u64,
    with_mean: bool,
    with_std: bool,
}

impl Fitted for StandardScale {
    type State = Moments;
    type Prepared = Vec<Option<[f64; 2]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            ddof: options.integer("ddof", 0)?.unsigned_abs(),
            with_mean: options.bool("with_mean")?,
            with_std: options.bool("with_std")?,
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
            Field::new("scale", DataType::Float64, true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Moments> {
        Ok(Moments::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Moments>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .iter()
            .map(|state| {
                let [mean, scale] = state.mean_and_scale(self.ddof)?;
                Some([
                    if self.with_mean { mean } else { 0.0 },
                    if self.with_std { scale } else { 1.0 },
                ])
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
        map_floats(&args[0], prepared, groups, |x, [mean, scale]| {
            (x - mean) / scale
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
        map_floats(values, prepared, groups, |y, [mean, scale]| {
            y * scale + mean
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{assert_floats, fit_apply, floats};

    #[test]
    fn scales_as_scikit_learn() {
        let x = floats([Some(1.0), None, Some(2.0), Some(f64::NAN), Some(4.0)]);
        let z = fit_apply::<StandardScale>(&[], &[x]);
        // StandardScaler().fit_transform([[1], [2], [4]])
        let expected = [
            Some(-1.069_044_967_649_697_8),
            None,
            Some(-0.267_261_241_912_424_4),
            None,
            Some(1.336_306_209_562_122),
        ];
        assert_floats(&z, &expected);
    }

    #[test]
    fn constants_and_single_values_become_zero() {
        for options in [vec![], vec![("ddof", 1.into())]] {
            let z = fit_apply::<StandardScale>(&options, &[floats([Some(0.1), Some(0.1), None])]);
            assert_floats(&z, &[Some(0.0), Some(0.0), None]);
            let z = fit_apply::<StandardScale>(&options, &[floats([Some(7.0)])]);
            assert_floats(&z, &[Some(0.0)]);
        }
    }

    #[test]
    fn all_missing_fits_to_missing() {
        let z = fit_apply::<StandardScale>(&[], &[floats([None, Some(f64::NAN), None])]);
        assert_floats(&z, &[None, None, None]);
    }

    #[test]
    fn infinities_pass_through_and_do_not_count() {
        let x = floats([Some(-1.0), Some(1.0), Some(f64::INFINITY)]);
        let z = fit_apply::<StandardScale>(&[], &[x]);
        assert_floats(&z, &[Some(-1.0), Some(1.0), Some(f64::INFINITY)]);
    }

    #[test]
    fn sample_deviation_without_mean() {
        let options = [("ddof", 1.into()), ("with_mean", false.into())];
        let z = fit_apply::<StandardScale>(&options, &[floats([Some(1.0), Some(3.0)])]);
        let sqrt2 = std::f64::consts::SQRT_2;
        assert_floats(&z, &[Some(1.0 / sqrt2), Some(3.0 / sqrt2)]);
    }
}
