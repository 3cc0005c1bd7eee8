//! `time_split(t, test, validation)`: the last rows are for testing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt8Array, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Fields, UInt64Type};
use datafusion_common::{Result, internal_err, plan_err};

use super::split::{named, shares};
use crate::arrays::{is_number, is_text, only};
use crate::fitted::numbers::of_group;
use crate::fitted::ranks::{Ranks, keys, of_keys};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "time_split",
    stage: Stage::Split,
    kind: Kind::Fitted,
    summary: "'train', then 'validation', then 'test', in the order of time: the last rows are for testing. Rows of one \
        time stay together, on the side that brings the parts nearer to what is asked. NULL and NaN give NULL.",
    params: &[
        Param::data(
            "t",
            "a date, timestamp, time of day or number; a DECIMAL counts as the DOUBLE nearest to it",
        ),
        Param::option(
            "test",
            "0.2",
            "the fraction of the rows in 'test', the last",
        ),
        Param::option(
            "validation",
            "0",
            "the fraction of the rows in 'validation', those before 'test', which does not change",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT d, time_split(d, test => 0.2, validation => 0.2) OVER () FROM (VALUES (DATE '2026-01-05'), \
                  (DATE '2026-01-02'), (DATE '2026-01-04'), (DATE '2026-01-01'), (DATE '2026-01-03')) AS t(d) ORDER BY d",
            result: "2026-01-01,train\n2026-01-02,train\n2026-01-03,train\n2026-01-04,validation\n2026-01-05,test",
        },
        Example {
            sql: "SELECT part, min(day), max(day), count(*) FROM (SELECT i / 10 AS day, time_split(i / 10, test => 0.25) OVER () AS part \
                  FROM generate_series(0, 99) AS t(i)) GROUP BY part ORDER BY part",
            result: "test,7,9,30\ntrain,0,6,70",
        },
    ],
    source: "the last share of the rows by rank, as scikit-learn's train_test_split(shuffle=False) takes of a sorted table",
    also: &[
        "sklearn.model_selection.train_test_split(shuffle=False)",
        "sklearn.model_selection.TimeSeriesSplit",
        "DATA_SPLIT_METHOD = 'SEQ'",
        "rsample::initial_time_split",
    ],
};

/// `time_split(t, test => 0.2, validation => 0) OVER (...)`.
#[derive(Debug, Clone)]
pub struct TimeSplit {
    test: f64,
    validation: f64,
}

/// The first values of 'validation' and of 'test', of those that have any.
type Starts = [Option<i64>; 2];

/// The first of the last `wanted` values, or of as near to as many as ties allow; of two as near, the more.
#[expect(clippy::cast_precision_loss, reason = "rows times a fraction")]
fn first_of_last(ascending: &[(i64, u64)], wanted: f64) -> Option<i64> {
    let mut first = None;
    let (mut rows, mut nearest) = (0, wanted);
    for (value, n) in ascending.iter().rev() {
        rows += n;
        let off = (rows as f64 - wanted).abs();
        if off > nearest {
            break;
        }
        nearest = off;
        first = Some(*value);
    }
    first
}

impl Fitted for TimeSplit {
    type State = Ranks;
    type Prepared = Vec<Option<Starts>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let (test, validation) = shares(options)?;
        Ok(Self { test, validation })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let t = match only(&SPEC, types)? {
            DataType::Dictionary(_, value) => value.as_ref(),
            t => t,
        };
        let coerced = match t {
            DataType::Null => DataType::Int64,
            DataType::Float16 => DataType::Float32,
            _ if t.is_decimal() => DataType::Float64,
            _ if is_number(t) => t.clone(),
            DataType::Interval(_) => {
                return plan_err!("time_split: t must be a time, not an interval");
            }
            _ if t.is_temporal() => t.clone(),
            _ if is_text(t) => {
                return plan_err!(
                    "time_split: t must be a date, a time or a number, not text. Write time_split(parse_timestamp(t)) OVER ()"
                );
            }
            _ => return plan_err!("time_split: t must be a date, a time or a number, not {t}"),
        };
        Ok(vec![coerced])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![
            Field::new("rows", DataType::UInt64, true),
            Field::new("validation_from", types[0].clone(), true),
            Field::new("test_from", types[0].clone(), true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Ranks> {
        Ok(Ranks::default())
    }

    #[expect(clippy::cast_precision_loss, reason = "rows times a fraction")]
    fn finish(&self, types: &[DataType], states: Vec<Ranks>) -> Result<Vec<ArrayRef>> {
        let (mut rows, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for state in states {
            let ascending = state.ascending();
            let n: u64 = ascending.iter().map(|(_, n)| n).sum();
            let start = |fraction: f64| first_of_last(&ascending, n as f64 * fraction);
            rows.push(n);
            test.push(start(self.test));
            validation.push(start(self.test + self.validation));
        }
        Ok(vec![
            Arc::new(UInt64Array::from(rows)),
            of_keys(&types[0], &validation)?,
            of_keys(&types[0], &test)?,
        ])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let [rows, validation, test] = params.columns() else {
            return internal_err!("time_split: {} parameters", params.num_columns());
        };
        let Some(rows) = rows.as_primitive_opt::<UInt64Type>() else {
            return internal_err!("time_split: no number of rows");
        };
        let starts = [keys(validation)?, keys(test)?];
        Ok((0..params.len())
            .map(|i| {
                let fitted = params.is_valid(i) && rows.is_valid(i) && rows.value(i) > 0;
                let start = |(keys, nulls): &(Vec<i64>, Option<NullBuffer>)| {
                    let there = nulls.as_ref().is_none_or(|n| n.is_valid(i));
                    there.then(|| keys[i])
                };
                fitted.then(|| [start(&starts[0]), start(&starts[1])])
            })
            .collect())
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let (times, nulls) = keys(&args[0])?;
        let mut parts = Vec::with_capacity(times.len());
        let mut fitted = Vec::with_capacity(times.len());
        for (row, time) in times.iter().enumerate() {
            let starts = of_group(prepared, groups, row)?;
            let before = |start: &Option<i64>| u8::from(start.is_none_or(|s| *time < s));
            fitted.push(starts.is_some());
            parts.push(starts.as_ref().map_or(0, |s| s.iter().map(before).sum()));
        }
        let fitted = NullBuffer::new(BooleanBuffer::from(fitted));
        let nulls = NullBuffer::union(nulls.as_ref(), Some(&fitted));
        named(&UInt8Array::new(parts.into(), nulls))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Decimal128Array, Int64Array, UInt64Array, new_empty_array};

    use super::*;
    use crate::fitted::testing::{apply_to, coerce_error, fit, fit_apply, floats, grouped};

    /// The rows of 'test', 'validation' and 'train'.
    fn count(array: &ArrayRef) -> [usize; 3] {
        ["test", "validation", "train"].map(|part| {
            let parts = array.as_string_view().iter();
            parts.filter(|p| *p == Some(part)).count()
        })
    }

    fn whole(values: impl IntoIterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    #[test]
    fn exact_shares_in_order() {
        let t = whole((0..1000).map(|i| i * 617 % 1000));
        let given = [("test", 0.2.into()), ("validation", 0.1.into())];
        let split = fit_apply::<TimeSplit>(&given, std::slice::from_ref(&t));
        assert_eq!(count(&split), [200, 100, 700]);
        let times = t.as_primitive::<arrow::datatypes::Int64Type>().values();
        for (time, part) in times.iter().zip(split.as_string_view()) {
            let expected = match time {
                800.. => "test",
                700.. => "validation",
                _ => "train",
            };
            assert_eq!(part, Some(expected));
        }
        for (test, validation, expected) in [
            (0.0, 0.0, [0, 0, 1000]),
            (1.0, 0.0, [1000, 0, 0]),
            (0.0, 1.0, [0, 1000, 0]),
            (0.7, 0.3, [700, 300, 0]),
        ] {
            let given = [("test", test.into()), ("validation", validation.into())];
            let split = fit_apply::<TimeSplit>(&given, std::slice::from_ref(&t));
            assert_eq!(count(&split), expected);
        }
    }

    #[test]
    fn ties_stay_together() {
        let split = |times: &[i64], test: f64| {
            let t = whole(times.iter().copied());
            count(&fit_apply::<TimeSplit>(&[("test", test.into())], &[t]))[0]
        };
        // 3 of 10 rows have the last time: nearer to 2 than none are
        let times = [1, 1, 1, 2, 2, 2, 2, 3, 3, 3];
        assert_eq!(split(&times, 0.2), 3);
        assert_eq!(split(&times, 0.1), 0);
        assert_eq!(split(&times, 0.5), 7, "as near as 3");
        assert_eq!(split(&[5; 8], 0.2), 0);
        assert_eq!(split(&[5; 8], 0.5), 8);
        assert_eq!(split(&[5], 0.2), 0);
    }

    #[test]
    fn types_and_missing() {
        let t = floats([
            Some(1.0),
            None,
            Some(f64::INFINITY),
            Some(f64::NAN),
            Some(-1.0),
        ]);
        let given = [("test", 0.34.into())];
        let split = fit_apply::<TimeSplit>(&given, &[t]);
        assert!(split.is_null(1) && split.is_null(3) && split.null_count() == 2);
        assert_eq!(count(&split), [1, 0, 2]);
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(3), None, Some(1), Some(2)]));
        let params = fit::<TimeSplit>(&given, &[dates]);
        let from = params.column_by_name("test_from").expect("a parameter");
        assert_eq!(from.as_ref(), &Date32Array::from(vec![3]) as &dyn Array);
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 0, u64::MAX - 1]));
        assert_eq!(count(&fit_apply::<TimeSplit>(&given, &[large]))[0], 1);
        let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![300, 100, 200]));
        assert_eq!(count(&fit_apply::<TimeSplit>(&given, &[decimals]))[0], 1);
        let nothing = fit_apply::<TimeSplit>(&[], &[new_empty_array(&DataType::Date32)]);
        assert_eq!(nothing.len(), 0);
        let missing = fit_apply::<TimeSplit>(&[], &[floats([None, None])]);
        assert_eq!(missing.null_count(), 2);
    }

    #[test]
    fn by_group_and_other_rows() {
        let t = whole(0..40);
        let groups: Vec<u32> = (0..40).map(|i| i % 2).collect();
        let split = grouped::<TimeSplit>(&[("test", 0.5.into())], &[Arc::clone(&t)], &groups);
        assert_eq!(count(&split), [20, 0, 20]);
        let later = apply_to::<TimeSplit>(&[], &[t], &[whole([31, 32, 1000, -5])]);
        let later: Vec<_> = later.as_string_view().iter().flatten().collect();
        assert_eq!(later, ["train", "test", "test", "train"]);
        // nothing was learnt
        let none = apply_to::<TimeSplit>(&[], &[floats([None])], &[floats([Some(1.0)])]);
        assert_eq!(none.null_count(), 1);
    }

    #[test]
    fn texts_are_read_first() {
        let error = coerce_error::<TimeSplit>(&[], &[DataType::Utf8]);
        assert!(error.contains("parse_timestamp"), "{error}");
    }
}
