//! `fill_forward(x) OVER (ORDER BY t)`, `fill_backward(x) OVER (ORDER BY t)`: missing values from their neighbours.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::PartitionEvaluator;

use super::window::Ordered;
use crate::arrays::only;
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

fn walk(limit: Option<usize>, types: &[DataType]) -> Result<Box<dyn PartitionEvaluator>> {
    let null = ScalarValue::try_new_null(&types[0])?;
    Ok(Box::new(Walk {
        limit,
        last: null.clone(),
        null,
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

    fn walk(&self, types: &[DataType]) -> Result<Box<dyn PartitionEvaluator>> {
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

    fn walk(&self, types: &[DataType]) -> Result<Box<dyn PartitionEvaluator>> {
        walk(self.0, types)
    }
}

/// Whether a row has no value: NULL, or NaN in floats.
pub fn is_missing(values: &ArrayRef, row: usize) -> bool {
    values.is_null(row)
        || match values.data_type() {
            DataType::Float64 => values.as_primitive::<Float64Type>().value(row).is_nan(),
            DataType::Float32 => values.as_primitive::<Float32Type>().value(row).is_nan(),
            DataType::Float16 => values.as_primitive::<Float16Type>().value(row).is_nan(),
            DataType::Null => true,
            _ => false,
        }
}

#[derive(Debug)]
struct Walk {
    limit: Option<usize>,
    null: ScalarValue,
    last: ScalarValue,
    /// How many rows ago that was.
    since: usize,
}

impl PartitionEvaluator for Walk {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let row = range.start;
        if !is_missing(&values[0], row) {
            self.last = ScalarValue::try_from_array(&values[0], row)?;
            self.since = 0;
            return Ok(self.last.clone());
        }
        self.since += 1;
        if self.limit.is_some_and(|limit| self.since > limit) {
            return Ok(self.null.clone());
        }
        Ok(self.last.clone())
    }

    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn is_causal(&self) -> bool {
        true
    }
}
