//! `min_max_scale`: to a range.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, plan_err};

use crate::arrays::{float_type, only};
use crate::fitted::extent::Extent;
use crate::fitted::numbers::{map_floats, read_params, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind, clamp, null, number, rounded};

const SPEC: Spec = Spec {
    name: "min_max_scale",
    stage: Stage::Normalize,
    kind: Kind::Fitted,
    summary: "Brings the smallest value to `lo`, the largest to `hi` and those between in proportion; a constant \
        becomes `lo`. NULL, NaN and infinite values take no part in the statistics; NULL and NaN give NULL, an infinity stays.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option("lo", "0", "where the minimum goes"),
        Param::option("hi", "1", "where the maximum goes"),
        Param::option(
            "clip",
            "false",
            "whether values outside the range fitted, which other tables may have, are clipped to it",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT min_max_scale(x) OVER () FROM (VALUES (10), (20), (15), (NULL)) AS t(x)",
            result: "0.0\n1.0\n0.5\n",
        },
        Example {
            sql: "SELECT min_max_scale(x, lo => -1, hi => 1) OVER () FROM (VALUES (10), (20), (15)) AS t(x)",
            result: "-1.0\n1.0\n0.0",
        },
    ],
    source: "scikit-learn's MinMaxScaler",
    also: &[
        "sklearn.preprocessing.MinMaxScaler",
        "ML.MIN_MAX_SCALER (BigQuery)",
        "MinMaxScaler (Spark ML)",
    ],
};

/// `min_max_scale(x, lo => 0, hi => 1, clip => false) OVER (...)`.
#[derive(Debug, Clone)]
pub struct MinMaxScale {
    lo: f64,
    hi: f64,
    clip: bool,
}

impl Fitted for MinMaxScale {
    type State = Extent;
    type Prepared = Vec<Option<[f64; 2]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let lo = options.float("lo")?;
        let hi = options.float("hi")?;
        if lo >= hi {
            return plan_err!(
                "min_max_scale: lo must be below hi, but lo is {lo} and hi is {hi}. Write min_max_scale(x, lo => {hi}, hi => {lo})"
            );
        }
        Ok(Self {
            lo,
            hi,
            clip: options.bool("clip")?,
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
            Field::new("min", DataType::Float64, true),
            Field::new("max", DataType::Float64, true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Extent> {
        Ok(Extent::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Extent>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .iter()
            .map(|state| state.range().map(|(min, max)| [min, max]))
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
        let prepared: Vec<_> = prepared.iter().map(|p| p.map(unit)).collect();
        let span = self.hi - self.lo;
        let scale = |x: f64, unit: &Unit| self.lo + (x * unit.half - unit.min) / unit.range * span;
        if self.clip {
            map_floats(&args[0], &prepared, groups, |x, p| {
                scale(x, p).clamp(self.lo, self.hi)
            })
        } else {
            map_floats(&args[0], &prepared, groups, scale)
        }
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, bind: &mut Bind<'_>) -> Result<Option<String>> {
        let x = &args[0];
        let [Some(extent)] = read_params::<2>(fit)?[..] else {
            return Ok(Some(null(&x.data_type)));
        };
        let unit = unit(extent);
        let mut scaled = x.number();
        if unit.half != 1.0 {
            scaled = format!("{scaled} * {}", number(unit.half));
        }
        scaled = format!("({scaled} - {}) / {}", number(unit.min), number(unit.range));
        if self.hi - self.lo != 1.0 {
            scaled = format!("{scaled} * {}", number(self.hi - self.lo));
        }
        if self.lo != 0.0 {
            scaled = format!("{} + {scaled}", number(self.lo));
        }
        if self.clip {
            scaled = clamp(&bind(scaled), self.lo, self.hi);
        }
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
        let prepared: Vec<_> = prepared.iter().map(|p| p.map(unit)).collect();
        let span = self.hi - self.lo;
        map_floats(values, &prepared, groups, |y, unit| {
            ((y - self.lo) / span * unit.range + unit.min) / unit.half
        })
    }
}

/// What the numbers of a group are measured with.
#[derive(Debug, Clone, Copy)]
struct Unit {
    min: f64,
    range: f64,
    /// 1, or 1/2 where the range is too wide for a float.
    half: f64,
}

fn unit([min, max]: [f64; 2]) -> Unit {
    let half = if (max - min).is_finite() { 1.0 } else { 0.5 };
    let range = max * half - min * half;
    Unit {
        min: min * half,
        range: if is_constant(min, max, range) {
            1.0
        } else {
            range
        },
        half,
    }
}

/// Whether a range is no more than what rounding makes of a constant: as scikit-learn has it, below ten times
/// the precision of floats; but also in proportion, so that small numbers are not all taken to be equal.
pub(super) fn is_constant(lo: f64, hi: f64, range: f64) -> bool {
    let slack = 10.0 * f64::EPSILON;
    range == 0.0 || (range < slack && range < slack * lo.abs().max(hi.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{apply_to, assert_floats, fit_apply, floats, grouped};

    #[test]
    fn scales_to_the_range() {
        let x = floats([Some(10.0), None, Some(30.0), Some(f64::NAN), Some(15.0)]);
        let y = fit_apply::<MinMaxScale>(&[], std::slice::from_ref(&x));
        let expected = [Some(0.0), None, Some(1.0), None, Some(0.25)];
        assert_floats(&y, &expected);
        let y = fit_apply::<MinMaxScale>(&[("lo", (-1).into()), ("hi", 3.into())], &[x]);
        let expected = [Some(-1.0), None, Some(3.0), None, Some(0.0)];
        assert_floats(&y, &expected);
    }

    #[test]
    fn other_tables_may_be_clipped() {
        let fit = floats([Some(0.0), Some(10.0)]);
        let other = floats([Some(-5.0), Some(20.0), Some(f64::INFINITY)]);
        let y = apply_to::<MinMaxScale>(
            &[],
            std::slice::from_ref(&fit),
            std::slice::from_ref(&other),
        );
        assert_floats(&y, &[Some(-0.5), Some(2.0), Some(f64::INFINITY)]);
        let y = apply_to::<MinMaxScale>(&[("clip", true.into())], &[fit], &[other]);
        assert_floats(&y, &[Some(0.0), Some(1.0), Some(1.0)]);
    }

    #[test]
    fn extreme_ranges() {
        let y =
            fit_apply::<MinMaxScale>(&[], &[floats([Some(1e-300), Some(2e-300), Some(3e-300)])]);
        assert_floats(&y, &[Some(0.0), Some(0.5), Some(1.0)]);
        let y =
            fit_apply::<MinMaxScale>(&[], &[floats([Some(-f64::MAX), Some(0.0), Some(f64::MAX)])]);
        assert_floats(&y, &[Some(0.0), Some(0.5), Some(1.0)]);
        let constant = floats([Some(0.1 + 0.2), Some(0.3)]);
        assert_floats(
            &fit_apply::<MinMaxScale>(
                &[("lo", 1.into()), ("hi", 2.into())],
                &[floats([Some(5.0), Some(5.0)])],
            ),
            &[Some(1.0), Some(1.0)],
        );
        let y = fit_apply::<MinMaxScale>(&[], &[constant]);
        assert!(
            y.as_any()
                .downcast_ref::<arrow::array::Float64Array>()
                .is_some_and(|y| y.value(0) < 1e-15)
        );
    }

    #[test]
    fn groups_scale_by_themselves() {
        let x = floats([
            Some(0.0),
            Some(10.0),
            Some(5.0),
            Some(20.0),
            None,
            Some(7.0),
        ]);
        let y = grouped::<MinMaxScale>(&[], &[x], &[0, 1, 0, 1, 2, 3]);
        assert_floats(
            &y,
            &[Some(0.0), Some(0.0), Some(1.0), Some(1.0), None, Some(0.0)],
        );
    }
}
