//! `robust_zscore`: the z-score of median and MAD, which outliers do not move.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::Result;

use super::spread::{MAD_FACTOR, Method, modified_z};
use crate::arrays::{float_type, only};
use crate::fitted::any::AnyState;
use crate::fitted::numbers::{map_floats, read_params, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind, case, null, number, rounded};

const SPEC: Spec = Spec {
    name: "robust_zscore",
    stage: Stage::Clean,
    kind: Kind::Fitted,
    summary: "The modified z-score, 0.6745 * (x - median) / MAD, where MAD is the median of the distances from the \
        median. If more than half of the values are one number, the MAD is 0: that number is 0, and all others are \
        infinite, since they are outliers at any k of is_outlier. NULL and NaN take no part in the statistics and give \
        NULL; an infinity counts as beyond all other values, and stays.",
    params: &[Param::data(
        "x",
        "a number; FLOAT stays FLOAT, all else gives DOUBLE",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT x, robust_zscore(x) OVER () FROM (VALUES (1), (2), (3), (4), (1003), (NULL)) AS t(x)",
        result: "1,-1.349\n2,-0.6745\n3,0.0\n4,0.6745\n1003,674.5\n,",
    }],
    source: "Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers; medians are exact",
    also: &[
        "modified z-score",
        "pyod.models.mad.MAD",
        "is_outlier with method => 'mad'",
    ],
};

/// `robust_zscore(x) OVER (...)`.
#[derive(Debug, Clone)]
pub struct RobustZScore;

impl Fitted for RobustZScore {
    type State = AnyState;
    type Prepared = Vec<Option<[f64; 2]>>;

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
        Ok(Fields::from(vec![
            Field::new("median", DataType::Float64, true),
            Field::new("mad", DataType::Float64, true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<AnyState> {
        Ok(Method::Mad.state())
    }

    fn finish(&self, _types: &[DataType], states: Vec<AnyState>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .into_iter()
            .map(|state| Method::Mad.measure(state))
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
        map_floats(&args[0], prepared, groups, |x, measures| {
            modified_z(x, *measures)
        })
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        let t = &args[0].data_type;
        let x = args[0].number();
        let [Some([median, mad])] = read_params::<2>(fit)?[..] else {
            return Ok(Some(null(t)));
        };
        let middle = number(median);
        let z = if mad == 0.0 {
            case(
                [("<", f64::NEG_INFINITY), ("=", 0.0), (">", f64::INFINITY)]
                    .map(|(sign, z)| (format!("{x} {sign} {middle}"), number(z))),
                None,
            )
        } else if mad.is_infinite() {
            return Ok(None);
        } else {
            let factor = number(MAD_FACTOR);
            format!("{factor} * ({x} - {middle}) / {}", number(mad))
        };
        Ok(Some(rounded(z, t)))
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
        map_floats(values, prepared, groups, |z, [median, mad]| {
            if *mad == 0.0 {
                *median
            } else {
                z * mad / MAD_FACTOR + median
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{assert_floats, fit_apply, floats, grouped};

    #[test]
    fn distances_from_the_median() {
        let x = floats([
            Some(1.0),
            Some(2.0),
            Some(3.0),
            Some(4.0),
            None,
            Some(30.0),
            Some(f64::NAN),
            Some(3.0),
        ]);
        // median 3, MAD 1
        let y = fit_apply::<RobustZScore>(&[], &[x]);
        let z = |x: f64| Some(0.6745 * (x - 3.0));
        let expected = [z(1.0), z(2.0), z(3.0), z(4.0), None, z(30.0), None, z(3.0)];
        assert_floats(&y, &expected);
    }

    #[test]
    fn no_spread() {
        let x = floats([Some(5.0), Some(5.0), Some(5.0), Some(5.1), Some(4.0)]);
        let y = fit_apply::<RobustZScore>(&[], &[x]);
        let (low, high) = (Some(f64::NEG_INFINITY), Some(f64::INFINITY));
        assert_floats(&y, &[Some(0.0), Some(0.0), Some(0.0), high, low]);
        let y = fit_apply::<RobustZScore>(&[], &[floats([Some(0.1), None, Some(0.1)])]);
        assert_floats(&y, &[Some(0.0), None, Some(0.0)]);
        assert_floats(&fit_apply::<RobustZScore>(&[], &[floats([None])]), &[None]);
    }

    #[test]
    fn infinities_stay() {
        let (low, high) = (Some(f64::NEG_INFINITY), Some(f64::INFINITY));
        let x = floats([high, low, Some(1.0), low, high]);
        let y = fit_apply::<RobustZScore>(&[], &[x]);
        assert_floats(&y, &[high, low, Some(0.0), low, high]);
        let y = fit_apply::<RobustZScore>(&[], &[floats([high, high, Some(1.0)])]);
        assert_floats(&y, &[Some(0.0), Some(0.0), low]);
    }

    #[test]
    fn by_group() {
        let x = floats([Some(1.0), Some(5.0), Some(3.0), None, Some(2.0)]);
        let y = grouped::<RobustZScore>(&[], &[x], &[0, 1, 0, 2, 0]);
        let one = Some(0.6745);
        assert_floats(&y, &[Some(-0.6745), Some(0.0), one, None, Some(0.0)]);
    }
}
