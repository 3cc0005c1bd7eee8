//! `balanced_sample((q), label, n)`: the class-balanced batch.

use datafusion::common::Result;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::{drawn, free, shuffled};

const SPEC: Spec = Spec {
    name: "balanced_sample",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "n rows of each class, drawn at random: a class-balanced batch.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::required(
            "label",
            "the column of the class. NULL is a class of its own",
        ),
        Param::required("n", "how many rows of each class, at least 1"),
        Param::option(
            "replace",
            "false",
            "whether a row may be drawn more than once: then every class gives n rows exactly. Otherwise a class \
             with fewer than n rows gives all it has",
        ),
        Param::option(
            "seed",
            "0",
            "another seed draws other rows; the same seed draws the same, whatever the order and number of partitions",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT y, count(*) FROM balanced_sample((SELECT value AS x, value <= 90 AS y FROM generate_series(1, 100)), label => y, n => 5) GROUP BY y ORDER BY y",
            result: "false,5\ntrue,5",
        },
        Example {
            sql: "SELECT y, count(*) FROM balanced_sample((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b')) AS t(x, y)), label => y, n => 2) GROUP BY y ORDER BY y",
            result: "a,2\nb,1",
        },
        Example {
            sql: "SELECT y, count(*) FROM balanced_sample((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b')) AS t(x, y)), label => y, n => 2, replace => true) GROUP BY y ORDER BY y",
            result: "a,2\nb,2",
        },
    ],
    source: "simple random sampling within classes, by the order of the rows' keys",
    also: &[
        "pandas.DataFrameGroupBy.sample",
        "imblearn.under_sampling.RandomUnderSampler",
        "pyspark.sql.DataFrame.sampleBy",
    ],
};

#[derive(Debug)]
pub struct BalancedSample;

impl Relation for BalancedSample {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let label = call.column(0, "label")?;
        let n = options.integer("n", 1)?;
        let seed = options.integer("seed", 0)?;
        Ok(Expansion::Sql(if options.bool("replace")? {
            drawn(call, &label, &n.to_string(), seed)
        } else {
            without_replacement(call, &label, n, seed)
        }))
    }
}

fn without_replacement(call: &Call<'_>, label: &str, n: i64, seed: i64) -> String {
    let columns = call.columns(0);
    let [rank] = free(&columns, ["rank"]);
    let columns = columns.join(", ");
    let shuffled = shuffled(call, seed);
    let (query, order) = (shuffled.query, shuffled.order);
    format!(
        "SELECT {columns}
         FROM (
             SELECT *, row_number() OVER (PARTITION BY {label} ORDER BY {order}) AS {rank}
             FROM ({query})
         )
         WHERE {rank} <= {n}"
    )
}
