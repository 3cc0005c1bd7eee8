//! `winsorize`: extreme values are brought to a quantile.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, plan_err};

use crate::arrays::{float_type, only};
use crate::fitted::numbers::{clamped_sql, map_floats, read_params, write_params};
use crate::fitted::quantiles::Quantiles;
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "winsorize",
    stage: Stage::Clean,
    kind: Kind::Fitted,
    summary: "Clips at two quantiles. NULL and NaN take no part in the statistics and give NULL; an infinity \
        counts as beyond all other values, and is clipped.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option("lo", "0.01", "the lower quantile, from 0 to 1"),
        Param::option("hi", "0.99", "the upper quantile, from 0 to 1"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT winsorize(x, 0.25, 0.75) OVER () FROM (VALUES (1), (2), (3), (4), (1000)) AS t(x)",
        result: "2.0\n2.0\n3.0\n4.0\n4.0",
    }],
    source: "Winsorizing at quantiles with numpy's linear interpolation (numpy.quantile and numpy.clip)",
    also: &[
        "Series.clip at Series.quantile (pandas)",
        "scipy.stats.mstats.winsorize",
    ],
};

/// `winsorize(x, lo => 0.01, hi => 0.99) OVER (...)`.
#[derive(Debug, Clone)]
pub struct Winsorize {
    lo: f64,
    hi: f64,
}

impl Fitted for Winsorize {
    type State = Quantiles;
    type Prepared = Vec<Option<[f64; 2]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let lo = options.float_in("lo", 0.0, 1.0)?;
        let hi = options.float_in("hi", 0.0, 1.0)?;
        if lo > hi {
            return plan_err!(
                "winsorize: lo must not be above hi, but lo is {lo} and hi is {hi}. Write winsorize(x, lo => {hi}, hi => {lo})"
            );
        }
        Ok(Self { lo, hi })
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

    fn state(&self, _types: &[DataType]) -> Result<Quantiles> {
        Ok(Quantiles::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Quantiles>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .into_iter()
            .map(|mut state| {
                let quantiles = state.quantiles(&[self.lo, self.hi])?;
                <[f64; 2]>::try_from(quantiles).ok()
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

    #[test]
    fn clips_at_the_quantiles() {
        let x = floats([
            Some(0.0),
            Some(10.0),
            Some(20.0),
            None,
            Some(30.0),
            Some(40.0),
            Some(f64::NAN),
        ]);
        let options = [("lo", 0.1.into()), ("hi", 0.9.into())];
        let y = fit_apply::<Winsorize>(&options, &[x]);
        let expected = [
            Some(4.0),
            Some(10.0),
            Some(20.0),
            None,
            Some(30.0),
            Some(36.0),
            None,
        ];
        assert_floats(&y, &expected);
    }

    #[test]
    fn groups_have_their_own_quantiles() {
        let x = floats([
            Some(0.0),
            Some(100.0),
            Some(10.0),
            Some(100.0),
            Some(4.0),
            None,
        ]);
        let options = [("lo", 0.5.into()), ("hi", 0.5.into())];
        let y = grouped::<Winsorize>(&options, &[x], &[0, 1, 0, 1, 2, 3]);
        assert_floats(
            &y,
            &[
                Some(5.0),
                Some(100.0),
                Some(5.0),
                Some(100.0),
                Some(4.0),
                None,
            ],
        );
    }

    #[test]
    fn infinities_are_clipped() {
        let mut x: Vec<_> = (0..99).map(|i| Some(f64::from(i))).collect();
        x.push(Some(f64::INFINITY));
        x.push(Some(f64::NEG_INFINITY));
        // the places 1 and 99 of 100
        let mut expected = x.clone();
        expected[99] = Some(98.0);
        expected[100] = Some(0.0);
        assert_floats(&fit_apply::<Winsorize>(&[], &[floats(x)]), &expected);
    }

    #[test]
    fn percent_is_refused() {
        let error = bind_error::<Winsorize>(&[("lo", 1.into()), ("hi", 99.into())]);
        assert!(
            error.contains("hi must be between 0 and 1, not 99"),
            "{error}"
        );
    }
}
