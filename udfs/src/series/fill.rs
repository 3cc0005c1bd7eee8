//! `fill_forward(x) OVER (ORDER BY t)`, `fill_backward(x) OVER (ORDER BY t)`: missing values from their neighbours.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use datafusion_common::Result;

use super::window::{Ordered, Walk};
use crate::arrays::only;
use crate::fitted::numbers::present_in;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const LIMIT: Param = Param::option(
    "limit",
    "NULL",
    "how many missing values in a row are filled at most; NULL for all",
);

const FORWARD: Spec = Spec {
    name: "fill_forward",
    stage: Stage::Series,
    kind: Kind::Ordered,
    summary: "Missing values become the last value before them in the order; those before the first value stay NULL. Of rows \
        at the same place in the order, those with a value come first.",
    params: &[
        Param::data("x", "a column of any type; in floats NaN is missing too"),
        LIMIT,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT t, fill_forward(x) OVER (ORDER BY t) AS x FROM (VALUES (1, NULL), (2, 5.0), (3, NULL), (4, NULL), (5, 7.0)) AS s(t, x) ORDER BY t",
            result: "1,\n2,5.0\n3,5.0\n4,5.0\n5,7.0",
        },
        Example {
            sql: "SELECT t, fill_forward(x, limit => 1) OVER (PARTITION BY k ORDER BY t) AS x FROM (VALUES ('a', 1, 'on'), ('a', 2, NULL), ('a', 3, NULL), ('b', 4, NULL)) AS s(k, t, x) ORDER BY t",
            result: "1,on\n2,on\n3,\n4,",
        },
    ],
    source: "pandas' ffill; last observation carried forward",
    also: &[
        "pandas.DataFrame.ffill",
        "polars.Expr.forward_fill",
        "LAST_VALUE(x IGNORE NULLS)",
    ],
};

const BACKWARD: Spec = Spec {
    name: "fill_backward",
    summary: "Missing values become the next value after them in the order; those after the last value stay NULL. Of rows at \
        the same place in the order, those with a value count as next.",
    examples: &[Example {
        sql: "SELECT t, fill_backward(x) OVER (ORDER BY t) AS x FROM (VALUES (1, NULL), (2, 5.0), (3, NULL)) AS s(t, x) ORDER BY t",
        result: "1,5.0\n2,5.0\n3,",
    }],
    source: "pandas' bfill; next observation carried backward",
    also: &[
        "pandas.DataFrame.bfill",
        "polars.Expr.backward_fill",
        "FIRST_VALUE(x IGNORE NULLS)",
    ],
    ..FORWARD
};

/// `fill_forward`.
#[derive(Debug)]
pub struct Forward(Option<usize>);

/// `fill_backward`: a walk like that of [`Forward`], on rows in the opposite order.
#[derive(Debug)]
pub struct Backward(Option<usize>);

fn limit(options: &Options) -> Result<Option<usize>> {
    if options.is_null("limit") {
        return Ok(None);
    }
    let limit = options.integer("limit", 1)?;
    Ok(Some(usize::try_from(limit).unwrap_or(usize::MAX)))
}

fn walk(limit: Option<usize>, types: &[DataType]) -> Result<Box<dyn Walk>> {
    let none = new_null_array(&types[0], 1);
    Ok(Box::new(Fill {
        limit: limit.unwrap_or(usize::MAX),
        last: none.clone(),
        none,
        since: 0,
    }))
}

impl Ordered for Forward {
    fn spec() -> &'static Spec {
        &FORWARD
    }

    fn new(options: &Options) -> Result<Self> {
        limit(options).map(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        only(&FORWARD, types).map(|t| vec![t.clone()])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn walk(&self, types: &[DataType]) -> Result<Box<dyn Walk>> {
        walk(self.0, types)
    }
}

impl Ordered for Backward {
    fn spec() -> &'static Spec {
        &BACKWARD
    }

    fn new(options: &Options) -> Result<Self> {
        limit(options).map(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        only(&BACKWARD, types).map(|t| vec![t.clone()])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn walk(&self, types: &[DataType]) -> Result<Box<dyn Walk>> {
        walk(self.0, types)
    }
}

#[derive(Debug)]
struct Fill {
    limit: usize,
    /// A row without a value.
    none: ArrayRef,
    /// The last value, of a batch before.
    last: ArrayRef,
    /// How many rows ago that was.
    since: usize,
}

impl Walk for Fill {
    fn next(
        &mut self,
        values: &[ArrayRef],
        groups: &[Range<usize>],
        goes_on: bool,
    ) -> Result<ArrayRef> {
        const NONE: (usize, usize) = (0, 0);
        const LAST: (usize, usize) = (1, 0);
        let values = &values[0];
        let present = present_in(values);
        let has = |row: usize| present.as_ref().is_none_or(|p| p.is_valid(row));
        let mut from = Vec::with_capacity(values.len());
        // where the value to fill with is
        let mut at = LAST;
        for (i, group) in groups.iter().enumerate() {
            if i > 0 || !goes_on {
                at = NONE;
                self.since = 0;
            }
            for row in group.clone() {
                if has(row) {
                    at = (2, row);
                    self.since = 0;
                    from.push(at);
                } else {
                    self.since = self.since.saturating_add(1);
                    from.push(if self.since > self.limit { NONE } else { at });
                }
            }
        }
        let filled = match present {
            Some(_) => interleave(&[&self.none, &self.last, values], &from)?,
            None => values.clone(),
        };
        self.last = match at {
            NONE => self.none.clone(),
            LAST => self.last.clone(),
            (_, row) => values.slice(row, 1),
        };
        Ok(filled)
    }
}
