//! `clip_outliers`: outliers are brought to the nearest number that is none.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::Result;

use super::spread::{self, Method};
use crate::arrays::{float_type, only};
use crate::fitted::any::AnyState;
use crate::fitted::numbers::{clamped_sql, map_floats, read_params, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "clip_outliers",
    stage: Stage::Clean,
    kind: Kind::Fitted,
    summary: "Brings what is_outlier calls an outlier to the nearest number that is none. NULL and NaN take no part in \
        the statistics and give NULL; an infinity counts as beyond all other values, but not for the mean and deviation \
        of 'zscore', and is clipped.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option("method", "'iqr'", spread::METHOD),
        Param::option("k", "NULL", spread::K),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT x, clip_outliers(x) OVER () FROM (VALUES (1), (2), (3), (4), (1000), (NULL)) AS t(x)",
        result: "1,1.0\n2,2.0\n3,3.0\n4,4.0\n1000,7.0\n,",
    }],
    source: "Tukey (1977) for 'iqr'; Iglewicz and Hoaglin (1993) for 'mad'",
    also: &[
        "feature_engine.outliers.Winsorizer",
        "Series.clip (pandas)",
        "box plot whiskers",
    ],
};

/// `clip_outliers(x, method => 'iqr', k => NULL) OVER (...)`.
#[derive(Debug, Clone)]
pub struct ClipOutliers {
    method: Method,
    k: f64,
}

impl Fitted for ClipOutliers {
    type State = AnyState;
    type Prepared = Vec<Option<[f64; 2]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let (method, k) = spread::method(options)?;
        Ok(Self { method, k })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![
            Field::new("lower", DataType::Float64, true),
            Field::new("upper", DataType::Float64, true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<AnyState> {
        Ok(self.method.state())
    }

    fn finish(&self, _types: &[DataType], states: Vec<AnyState>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .into_iter()
            .map(|state| {
                let measures = self.method.measure(state)?;
                Some(self.method.fences(measures, self.k))
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
        map_floats(&args[0], prepared, groups, |x, [lower, upper]| {
            x.max(*lower).min(*upper)
        })
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        clamped_sql(&args[0], fit)
    }

    fn inverse(&self, types: &[DataType]) -> Option<DataType> {
        Some(types[0].clone())
    }

    /// What was cut off is not known.
    fn invert(
        &self,
        values: &ArrayRef,
        _params: &StructArray,
        _prepared: &Self::Prepared,
        _groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        Ok(ArrayRef::clone(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{assert_floats, bind_error, fit_apply, floats, grouped};

    fn sample() -> ArrayRef {
        floats([
            Some(1.0),
            Some(2.0),
            Some(3.0),
            Some(4.0),
            None,
            Some(30.0),
            Some(f64::NAN),
            Some(3.0),
        ])
    }

    fn clipped(low: f64, high: f64) -> [Option<f64>; 8] {
        [1.0, 2.0, 3.0, 4.0, f64::NAN, 30.0, f64::NAN, 3.0]
            .map(|x| (!x.is_nan()).then(|| x.clamp(low, high)))
    }

    #[test]
    fn each_method() {
        // quartiles 2.25 and 3.75: the fences are 0 and 6
        let y = fit_apply::<ClipOutliers>(&[], &[sample()]);
        assert_floats(&y, &clipped(0.0, 6.0));
        // median 3, MAD 1
        let y = fit_apply::<ClipOutliers>(&[("method", "mad".into())], &[sample()]);
        let reach = 3.5 / 0.6745;
        assert_floats(&y, &clipped(3.0 - reach, 3.0 + reach));
        let y = fit_apply::<ClipOutliers>(
            &[("method", "zscore".into()), ("k", 1.into())],
            &[floats([
                Some(-1.0),
                Some(1.0),
                Some(0.0),
                None,
                Some(f64::INFINITY),
            ])],
        );
        let deviation = (2.0f64 / 3.0).sqrt();
        let expected = [
            Some(-deviation),
            Some(deviation),
            Some(0.0),
            None,
            Some(deviation),
        ];
        assert_floats(&y, &expected);
    }

    #[test]
    fn without_spread_all_is_one_number() {
        for method in ["iqr", "mad"] {
            let x = floats([Some(5.0), Some(5.0), Some(5.0), Some(5.0), Some(5.1)]);
            let y = fit_apply::<ClipOutliers>(&[("method", method.into())], &[x]);
            assert_floats(&y, &[Some(5.0); 5]);
        }
        for method in ["iqr", "mad", "zscore"] {
            let options = [("method", method.into())];
            let y = fit_apply::<ClipOutliers>(&options, &[floats([Some(0.1), Some(0.1), None])]);
            assert_floats(&y, &[Some(0.1), Some(0.1), None]);
            let y = fit_apply::<ClipOutliers>(&options, &[floats([None, Some(f64::NAN)])]);
            assert_floats(&y, &[None, None]);
            let y = fit_apply::<ClipOutliers>(&options, &[floats([Some(f64::INFINITY)])]);
            let expected = (method != "zscore").then_some(f64::INFINITY);
            assert_floats(&y, &[expected]);
        }
    }

    #[test]
    fn by_group() {
        let x = floats([Some(1.0), Some(1.0), Some(9.0), Some(1.0), Some(1.0), None]);
        let y = grouped::<ClipOutliers>(&[], &[x], &[0, 0, 0, 0, 0, 1]);
        let one = Some(1.0);
        assert_floats(&y, &[one, one, one, one, one, None]);
    }

    #[test]
    fn wrong_options() {
        let error = bind_error::<ClipOutliers>(&[("method", "irq".into())]);
        assert!(error.contains("did you mean 'iqr'?"), "{error}");
        let error = bind_error::<ClipOutliers>(&[("k", (-1).into())]);
        assert!(
            error.contains("clip_outliers: k must be a number of at least 0"),
            "{error}"
        );
    }
}
