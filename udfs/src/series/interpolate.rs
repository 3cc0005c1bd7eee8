//! `interpolate(x, at) OVER (ORDER BY t)`: missing values on the line between their neighbours.
//!
//! A call is rewritten: walks in the order and against it find the nearest values before and after (as
//! `fill_forward` does) and how far away they are; [`Between`] makes values of what they found.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion_common::{Result, ScalarValue, plan_err};

use super::window::{Ordered, Walk};
use crate::arrays::{float_type, is_number};
use crate::fitted::numbers::present_in;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "interpolate",
    stage: Stage::Series,
    kind: Kind::Ordered,
    summary: "Missing values get what lies on the straight line between the values before and after them. After the last \
        value they get that one; before the first they stay NULL.",
    params: &[
        Param::data("x", "a number; NULL and NaN are missing"),
        Param::optional_data(
            "at",
            "NULL",
            "where the rows lie on the line: a number, a date or a timestamp, as a rule the column of ORDER BY; left out, all \
             rows lie equally far apart",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT t, interpolate(x) OVER (ORDER BY t) AS x FROM (VALUES (1, NULL), (2, 1.0), (3, NULL), (10, 3.0), (11, NULL)) AS s(t, x) ORDER BY t",
            result: "1,\n2,1.0\n3,2.0\n10,3.0\n11,3.0",
        },
        Example {
            sql: "SELECT t, interpolate(x, at => t) OVER (ORDER BY t) AS x FROM (VALUES (2, 1.0), (3, NULL), (10, 3.0)) AS s(t, x) ORDER BY t",
            result: "2,1.0\n3,1.25\n10,3.0",
        },
    ],
    source: "pandas' interpolate with the methods linear and index",
    also: &[
        "pandas.DataFrame.interpolate",
        "polars.Expr.interpolate",
        "polars.Expr.interpolate_by",
    ],
};

/// The window function of `interpolate`: how far the nearest value in one direction is.
#[derive(Debug)]
pub struct Interpolate;

impl Ordered for Interpolate {
    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(_: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [x, at] = types else {
            return plan_err!("interpolate: write {}", SPEC.syntax());
        };
        float_type(&SPEC, "x", x)?;
        let at = match at {
            DataType::Null => DataType::Null,
            // differences of times are exact in whole units
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            other if other.is_integer() && *other != DataType::UInt64 => DataType::Int64,
            other if is_number(other) => DataType::Float64,
            other => {
                return plan_err!(
                    "interpolate: at must be a number, a date or a timestamp, not {other}"
                );
            }
        };
        Ok(vec![DataType::Float64, at])
    }

    fn output(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn walk(&self, types: &[DataType]) -> Result<Box<dyn Walk>> {
        Ok(Box::new(Distance {
            last: None,
            by_row: types[1].is_null(),
        }))
    }
}

/// Where a row lies.
#[derive(Debug, Clone, Copy)]
enum Place {
    Whole(i64),
    Number(f64),
}

#[derive(Debug)]
struct Distance {
    /// Where the last value was.
    last: Option<Place>,
    by_row: bool,
}

impl Distance {
    fn place(at: &ArrayRef, row: usize) -> Option<Place> {
        if at.is_null(row) {
            return None;
        }
        match at.data_type() {
            DataType::Int64 => Some(Place::Whole(at.as_primitive::<Int64Type>().value(row))),
            DataType::Timestamp(_, _) => Some(Place::Whole(
                at.as_primitive::<TimestampMicrosecondType>().value(row),
            )),
            DataType::Float64 => Some(Place::Number(at.as_primitive::<Float64Type>().value(row))),
            _ => None,
        }
    }
}

impl Distance {
    fn row(&mut self, at: &ArrayRef, row: usize, missing: bool) -> Option<f64> {
        let now = match (self.by_row, self.last) {
            (false, _) => Self::place(at, row),
            // counted from the last value
            (true, Some(Place::Whole(rows))) if missing => Some(Place::Whole(rows - 1)),
            (true, _) => Some(Place::Whole(0)),
        };
        if !missing {
            self.last = now;
            return now.map(|_| 0.0);
        }
        match (self.last, now) {
            (Some(Place::Whole(_)), Some(Place::Whole(rows))) if self.by_row => {
                self.last = now;
                Some(rows.unsigned_abs() as f64)
            }
            (Some(Place::Whole(last)), Some(Place::Whole(now))) => {
                Some((i128::from(now) - i128::from(last)).unsigned_abs() as f64)
            }
            (Some(Place::Number(last)), Some(Place::Number(now))) => Some((now - last).abs()),
            _ => None,
        }
    }
}

impl Walk for Distance {
    fn next(
        &mut self,
        values: &[ArrayRef],
        groups: &[Range<usize>],
        goes_on: bool,
    ) -> Result<ArrayRef> {
        let present = present_in(&values[0]);
        let mut distances = Float64Builder::with_capacity(values[0].len());
        for (i, group) in groups.iter().enumerate() {
            if i > 0 || !goes_on {
                self.last = None;
            }
            for row in group.clone() {
                let missing = present.as_ref().is_some_and(|p| p.is_null(row));
                distances.append_option(self.row(&values[1], row, missing));
            }
        }
        Ok(Arc::new(distances.finish()))
    }
}

const BETWEEN: Spec = Spec {
    name: "__between",
    summary: "What `interpolate` makes of a value and its neighbours.",
    kind: Kind::RowWise,
    params: &[
        Param::data("x", "the value"),
        Param::data("before", "the nearest value before"),
        Param::data("since", "how far away it is"),
        Param::data("after", "the nearest value after"),
        Param::data("until", "how far away it is"),
    ],
    examples: &[],
    ..SPEC
};

/// The value of a row from those before and after it.
#[derive(Debug)]
pub struct Between;

impl RowWise for Between {
    fn spec(&self) -> &'static Spec {
        &BETWEEN
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Float64; types.len()])
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let columns = (0..5)
            .map(|i| args.array(i))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let column = |i: usize| columns[i].as_primitive::<Float64Type>();
        let [x, before, since, after, until] = [0, 1, 2, 3, 4].map(column);
        let value = |of: &Float64Array, row: usize| of.is_valid(row).then(|| of.value(row));
        let filled: Float64Array = (0..args.rows())
            .map(|row| {
                let own = value(x, row).filter(|v| !v.is_nan());
                let from = value(before, row).zip(value(since, row));
                let to = value(after, row).zip(value(until, row));
                match (own, from, to) {
                    (Some(own), _, _) => Some(own),
                    (None, None, _) => None,
                    (None, Some((from, _)), None) => Some(from),
                    (None, Some((from, since)), Some((to, until))) => {
                        let whole = since + until;
                        // all at one place: the value before is as good as that after
                        let slope = if whole == 0.0 {
                            0.0
                        } else {
                            (to - from) / whole
                        };
                        Some(slope * since + from)
                    }
                }
            })
            .collect();
        Ok(Arc::new(filled))
    }
}
