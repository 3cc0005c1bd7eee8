//! `profile((q))`: what is in each column.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, lit, when};
use seedbed_udfs::inspect::profile::{Profile as Kernel, ProfileColumn, ProfileValues};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values};
use crate::plan::TableNode;

const SPEC: Spec = Spec {
    name: "profile",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "A row a column: how many values it has, which, how they are distributed, and what is odd about it.",
    params: &[Param::data(
        "query",
        "the rows: (SELECT ...) or TABLE t. NULL and NaN are missing; all statistics are exact",
    )],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT column_name, rows, missing, \"distinct\", min, max, mean, std, median FROM profile((SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL), (4, 'a')) AS t(x, y))) ORDER BY column_name",
            result: "x,4,0,4,1,4,2.5,1.118033988749895,2.5\ny,4,1,2,a,b,,,",
        },
        Example {
            sql: "SELECT column_name, most_frequent, frequency, histogram, warning FROM profile((SELECT value AS id, value * value AS x, CASE WHEN value < 3 THEN 'a' END AS y, 1 AS z FROM generate_series(1, 20))) ORDER BY column_name",
            result: "id,1,1,██████████,identifier\nx,1,1,█▃▃▃▃▂▂▂▂▃,identifier\ny,a,2,,\"constant, mostly missing\"\nz,1,20,,constant",
        },
    ],
    source: "definitions as of pandas and numpy: quartiles by linear interpolation, std of the population (ddof 0), the smallest \
        of the most frequent values. Booleans are numbers, 0 and 1. histogram: ten bins of the same width from min to max, as \
        heights. warning: empty (no rows), constant (one value), identifier (every row another text or whole number, from two \
        rows on), mostly missing (more than half of the rows), all missing",
    also: &[
        "pandas.DataFrame.describe",
        "SUMMARIZE (DuckDB)",
        "ML.DESCRIBE_DATA (BigQuery ML)",
        "ydata_profiling.ProfileReport",
    ],
};

#[derive(Debug)]
pub struct Profile;

impl Relation for Profile {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let columns = Column::of(call, 0);
        if columns.is_empty() {
            return plan_err!("profile: the table has no columns");
        }
        let mut values = Vec::with_capacity(columns.len());
        let mut profiled = Vec::with_capacity(columns.len());
        for (i, (column, expr)) in columns.iter().zip(call.exprs(0)).enumerate() {
            let data_type = counted_type(column);
            values.push(counted(call, column, expr, &data_type)?.alias(format!("c{i}")));
            profiled.push(ProfileColumn {
                name: column.name.clone(),
                shown: column.data_type.to_string(),
                data_type,
                values: match column.values {
                    Values::Number => ProfileValues::Number,
                    Values::Time | Values::Category => ProfileValues::Ordered,
                    Values::Opaque => ProfileValues::Opaque,
                },
                names_rows: column.values == Values::Category || column.data_type.is_integer(),
            });
        }
        let input = LogicalPlanBuilder::from(call.input(0)?.clone())
            .project(values)?
            .build()?;
        let kernel = Arc::new(Kernel::new(profiled));
        Ok(Expansion::Plan(TableNode::over(kernel, input)?))
    }
}

/// The type a column's values are counted in.
fn counted_type(column: &Column) -> DataType {
    let plain = match &column.data_type {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    match (column.values, plain) {
        (_, DataType::Null) => DataType::Null,
        (Values::Opaque, _) => DataType::UInt64,
        (_, DataType::Utf8 | DataType::LargeUtf8) => DataType::Utf8View,
        (_, DataType::Float16) => DataType::Float32,
        (_, DataType::Decimal32(p, s) | DataType::Decimal64(p, s)) => DataType::Decimal128(*p, *s),
        (_, DataType::Decimal256(..)) => DataType::Float64,
        (_, other) => other.clone(),
    }
}

/// A column's values as they are counted.
fn counted(call: &Call<'_>, column: &Column, expr: Expr, data_type: &DataType) -> Result<Expr> {
    if column.values != Values::Opaque || data_type == &DataType::Null {
        return Ok(if &column.data_type == data_type {
            expr
        } else {
            cast(expr, data_type.clone())
        });
    }
    let state = call.env().state()?;
    let key = state
        .scalar_functions()
        .get("random_key")
        .ok_or_else(|| plan_datafusion_err!("profile: there is no function random_key"))?;
    let key = key.call(vec![lit(0i64), expr.clone()]);
    when(expr.is_not_null(), key).end()
}
