//! `correlations((q))`: how columns go together, pair by pair.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{LogicalPlanBuilder, cast, lit, when};
use seedbed_udfs::inspect::correlations::Correlations as Kernel;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values};
use crate::plan::TableNode;

const SPEC: Spec = Spec {
    name: "correlations",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "A row a pair of columns: how strongly they go together.",
    params: &[Param::data(
        "query",
        "the rows: (SELECT ...) or TABLE t. Rows where one of a pair is NULL or NaN do not count for it. Each pair is \
         looked at by itself: choose columns where there are many",
    )],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT column_a, column_b, rows, round(pearson, 6), spearman, cramers_v FROM correlations((SELECT value AS x, value * value AS y FROM generate_series(1, 10)))",
            result: "x,y,10,0.974559,1.0,",
        },
        Example {
            sql: "SELECT column_a, column_b, pearson, cramers_v FROM correlations((SELECT * FROM (VALUES (1, 'a', 'u'), (2, 'a', 'u'), (3, 'b', 'v'), (4, NULL, 'v')) AS t(x, y, z))) ORDER BY column_a, column_b",
            result: "x,y,,\nx,z,,\ny,z,,1.0",
        },
        Example {
            sql: "SELECT column_a, column_b, round(mutual_information, 6) FROM correlations((SELECT value % 2 = 0 AS even, CAST(value % 4 AS VARCHAR) AS rest FROM generate_series(1, 100)))",
            result: "even,rest,0.693147",
        },
    ],
    source: "pearson and spearman (of average ranks) for numbers and booleans; cramers_v, not corrected for bias, for texts and \
        booleans, as of scipy.stats.contingency.association; mutual_information for the same, in nats, as of \
        sklearn.metrics.mutual_info_score. NULL where a pair has none, or a column is constant (its mutual information is 0). \
        A text column with more than 65536 different values is no category: note says so",
    also: &[
        "pandas.DataFrame.corr",
        "scipy.stats.spearmanr",
        "scipy.stats.contingency.association",
        "sklearn.metrics.mutual_info_score",
        "pyspark.ml.stat.Correlation",
    ],
};

#[derive(Debug)]
pub struct Correlations;

impl Relation for Correlations {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let columns = Column::of(call, 0);
        if columns.len() < 2 {
            return plan_err!("correlations: the table must have two columns or more");
        }
        let mut values = Vec::with_capacity(columns.len());
        let mut paired = Vec::with_capacity(columns.len());
        for (i, (column, expr)) in columns.iter().zip(call.exprs(0)).enumerate() {
            let boolean = match &column.data_type {
                DataType::Dictionary(_, values) => values.as_ref() == &DataType::Boolean,
                other => other == &DataType::Boolean,
            };
            let (value, data_type) = match column.values {
                _ if boolean => (cast(expr, DataType::Boolean), DataType::Boolean),
                Values::Number => (cast(expr, DataType::Float64), DataType::Float64),
                Values::Category => (cast(expr, DataType::Utf8View), DataType::Utf8View),
                // only whether it is there
                Values::Time | Values::Opaque => {
                    let there = when(expr.is_not_null(), lit(0i8)).end()?;
                    (there, DataType::Int8)
                }
            };
            values.push(value.alias(format!("c{i}")));
            paired.push((column.name.clone(), data_type));
        }
        let input = LogicalPlanBuilder::from(call.input(0)?.clone())
            .project(values)?
            .build()?;
        let kernel = Arc::new(Kernel::new(paired));
        Ok(Expansion::Plan(TableNode::over(kernel, input)?))
    }
}
