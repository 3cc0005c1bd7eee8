//! `spline_features`: the B-splines of a number.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, PrimitiveArray,
    StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion_common::{Result, exec_err, internal_err};

use super::bins::evenly;
use crate::arrays::{float_type, only};
use crate::fitted::extent::Extent;
use crate::fitted::numbers::{of_group, present, read_params, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "spline_features",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "The values of n_knots + degree - 1 B-splines at a number, which sum to 1 and let a linear model bend: a \
        fixed-size list. The knots are evenly spaced from the smallest to the largest value; beyond them the splines \
        keep their values. A constant gives zeros. NULL and NaN give NULL; infinite values take no part in the statistics.",
    params: &[
        Param::data("x", "a number; FLOAT gives FLOAT items, all else DOUBLE"),
        Param::option("n_knots", "5", "the number of knots, at least 2"),
        Param::option(
            "degree",
            "3",
            "the degree of the splines, at least 0: 1 is piecewise linear, 3 cubic",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT spline_features(x, n_knots => 3, degree => 1) OVER () FROM (VALUES (0), (1), (3), (4)) AS t(x)",
            result: "\"[1.0, 0.0, 0.0]\"\n\"[0.5, 0.5, 0.0]\"\n\"[0.0, 0.5, 0.5]\"\n\"[0.0, 0.0, 1.0]\"",
        },
        Example {
            sql: "SELECT spline_features(x, 2, 2) OVER () FROM (VALUES (0), (2), (1)) AS t(x)",
            result: "\"[0.5, 0.5, 0.0]\"\n\"[0.0, 0.5, 0.5]\"\n\"[0.125, 0.75, 0.125]\"",
        },
    ],
    source: "scikit-learn's SplineTransformer(knots='uniform', extrapolation='constant'); de Boor's recurrence",
    also: &[
        "sklearn.preprocessing.SplineTransformer",
        "scipy.interpolate.BSpline",
        "patsy.bs",
    ],
};

/// The most knots.
const MOST_KNOTS: i64 = 10_000;
/// The highest degree.
const MOST_DEGREE: i64 = 100;

/// `spline_features(x, n_knots => 5, degree => 3) OVER (...)`.
#[derive(Debug, Clone)]
pub struct SplineFeatures {
    knots: u32,
    degree: u32,
}

impl SplineFeatures {
    /// How many splines there are.
    fn width(&self) -> usize {
        (self.knots + self.degree - 1) as usize
    }

    fn item(types: &[DataType]) -> Field {
        Field::new_list_field(types[0].clone(), true)
    }
}

fn number(options: &Options, name: &str, least: i64, most: i64) -> Result<u32> {
    match options.integer(name, least)? {
        n if n <= most => Ok(u32::try_from(n).unwrap_or_default()),
        _ => options.wrong(name, format!("a whole number from {least} to {most}")),
    }
}

impl Fitted for SplineFeatures {
    type State = Extent;
    type Prepared = Vec<Option<Vec<f64>>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            knots: number(options, "n_knots", 2, MOST_KNOTS)?,
            degree: number(options, "degree", 0, MOST_DEGREE)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        let Ok(width) = i32::try_from(self.width()) else {
            return internal_err!("{} splines", self.width());
        };
        Ok(DataType::FixedSizeList(Arc::new(Self::item(types)), width))
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

    /// The knots of each group.
    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let knots = |[min, max]: [f64; 2]| evenly(min, max, self.knots - 1);
        let ranges = read_params(params)?;
        Ok(ranges.into_iter().map(|range| range.map(knots)).collect())
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let numbers = cast(&args[0], &DataType::Float64)?;
        let numbers: &PrimitiveArray<Float64Type> = numbers.as_primitive();
        let (rows, width) = (numbers.len(), self.width());
        let Some(cells) = rows.checked_mul(width) else {
            return exec_err!("spline_features: {width} splines of {rows} rows are too many");
        };
        let types = [args[0].data_type().clone()];
        let mut values = vec![0.0; cells];
        let mut weights = vec![0.0; self.degree as usize + 1];
        let mut fitted = vec![true; rows];
        for (row, x) in numbers.values().iter().enumerate() {
            match of_group(prepared, groups, row)? {
                Some(knots) if !x.is_nan() => {
                    if let Some(first) = splines(*x, knots, &mut weights) {
                        let start = row * width + first;
                        values[start..start + weights.len()].copy_from_slice(&weights);
                    }
                }
                Some(_) => {}
                None => fitted[row] = false,
            }
        }
        let fitted = NullBuffer::new(BooleanBuffer::from(fitted));
        let nulls = NullBuffer::union(present(numbers).as_ref(), Some(&fitted))
            .filter(|n| n.null_count() > 0);
        let values: ArrayRef = if types[0] == DataType::Float32 {
            Arc::new(Float32Array::from_iter_values(
                values.into_iter().map(|v| v as f32),
            ))
        } else {
            Arc::new(Float64Array::from(values))
        };
        let item = Arc::new(Self::item(&types));
        let width = i32::try_from(width).unwrap_or_default();
        Ok(Arc::new(FixedSizeListArray::try_new_with_length(
            item, width, values, nulls, rows,
        )?))
    }
}

/// Works out the splines that are not 0 at `x`, and says which is the first of them; `None` if the knots are all
/// one.
fn splines(x: f64, knots: &[f64], weights: &mut [f64]) -> Option<usize> {
    let (min, max) = (*knots.first()?, *knots.last()?);
    if min == max {
        return None;
    }
    let x = x.clamp(min, max);
    let inner = &knots[1..knots.len() - 1];
    let interval = inner.partition_point(|knot| *knot <= x);
    let (from, to) = (knots[interval], knots[interval + 1]);
    let width = to - from;
    // how far x is from its knot to the next
    let part = if width == 0.0 {
        0.0
    } else if width.is_finite() {
        (x - from) / width
    } else {
        (x * 0.5 - from * 0.5) / (to * 0.5 - from * 0.5)
    };
    weights[0] = 1.0;
    for degree in 1..weights.len() {
        let mut saved = 0.0;
        let mut right = 1.0 - part;
        let mut left = degree as f64 - 1.0 + part;
        for weight in &mut weights[..degree] {
            let share = *weight / degree as f64;
            *weight = saved + right * share;
            saved = left * share;
            right += 1.0;
            left -= 1.0;
        }
        weights[degree] = saved;
    }
    Some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{apply_to, bind_error, fit_apply, floats, grouped};

    /// The rows as vectors.
    fn vectors(array: &ArrayRef) -> Vec<Option<Vec<f64>>> {
        array
            .as_fixed_size_list()
            .iter()
            .map(|list| list.map(|l| l.as_primitive::<Float64Type>().values().to_vec()))
            .collect()
    }

    #[test]
    fn cubic_splines() {
        let x = floats([Some(0.0), None, Some(4.0), Some(f64::NAN), Some(1.5)]);
        let rows = vectors(&fit_apply::<SplineFeatures>(&[], &[x]));
        let sixth = |values: [f64; 7]| values.map(|v| v / 6.0);
        let expected = [
            Some(sixth([1.0, 4.0, 1.0, 0.0, 0.0, 0.0, 0.0])),
            None,
            Some(sixth([0.0, 0.0, 0.0, 0.0, 1.0, 4.0, 1.0])),
            None,
            Some(sixth([0.0, 0.125, 2.875, 2.875, 0.125, 0.0, 0.0])),
        ];
        for (row, expected) in rows.iter().zip(expected) {
            assert_eq!(row.is_some(), expected.is_some());
            for (a, b) in row.iter().flatten().zip(expected.iter().flatten()) {
                assert!((a - b).abs() < 1e-15, "{rows:?}");
            }
        }
    }

    #[test]
    fn sums_are_one_for_every_degree() {
        let x = floats((0..200).map(|i| Some(f64::from(i * 37 % 101) / 7.0)));
        for degree in [0, 1, 2, 5, 20] {
            for knots in [2, 3, 11] {
                let options = [("n_knots", knots.into()), ("degree", degree.into())];
                let y = fit_apply::<SplineFeatures>(&options, std::slice::from_ref(&x));
                for row in vectors(&y).into_iter().flatten() {
                    assert_eq!(row.len() as i32, knots + degree - 1);
                    assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    assert!(row.iter().all(|w| *w >= 0.0));
                }
            }
        }
    }

    #[test]
    fn beyond_the_knots_nothing_changes() {
        let fit = floats([Some(-1.0), Some(1.0)]);
        let far = [f64::NEG_INFINITY, -1.0, 1.0, 7.0].map(Some);
        let rows = vectors(&apply_to::<SplineFeatures>(&[], &[fit], &[floats(far)]));
        assert_eq!(rows[0], rows[1]);
        assert_eq!(rows[2], rows[3]);
        let x = floats([Some(-f64::MAX), Some(f64::MAX), Some(0.0)]);
        let options = [("n_knots", 2.into()), ("degree", 1.into())];
        let rows = vectors(&fit_apply::<SplineFeatures>(&options, &[x]));
        assert_eq!(rows[2], Some(vec![0.5, 0.5]));
    }

    #[test]
    fn constants_missing_and_floats() {
        let rows = vectors(&fit_apply::<SplineFeatures>(
            &[],
            &[floats([Some(3.0), Some(3.0), None])],
        ));
        assert_eq!(rows, [Some(vec![0.0; 7]), Some(vec![0.0; 7]), None]);
        let rows = vectors(&fit_apply::<SplineFeatures>(&[], &[floats([None])]));
        assert_eq!(rows, [None]);
        let x: ArrayRef = Arc::new(Float32Array::from(vec![0.0, 1.0]));
        let y = fit_apply::<SplineFeatures>(&[], &[x]);
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        assert_eq!(y.data_type(), &DataType::FixedSizeList(item, 7));
    }

    #[test]
    fn by_group() {
        let x = floats([Some(0.0), Some(5.0), Some(2.0), Some(1.0), None]);
        let options = [("n_knots", 2.into()), ("degree", 1.into())];
        let rows = vectors(&grouped::<SplineFeatures>(&options, &[x], &[0, 1, 0, 0, 2]));
        let pair = |a, b| Some(vec![a, b]);
        let expected = [
            pair(1.0, 0.0),
            pair(0.0, 0.0),
            pair(0.0, 1.0),
            pair(0.5, 0.5),
            None,
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn wrong_options() {
        let error = bind_error::<SplineFeatures>(&[("n_knots", 1.into())]);
        assert!(
            error.contains("n_knots must be a whole number of at least 2"),
            "{error}"
        );
        let error = bind_error::<SplineFeatures>(&[("degree", 101.into())]);
        assert!(
            error.contains("degree must be a whole number from 0 to 100"),
            "{error}"
        );
    }
}
