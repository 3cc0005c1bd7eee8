//! `undersample((q), label)`: frequent classes brought down to the size of the rarest one.

use datafusion::common::Result;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::{free, shuffled};

const SPEC: Spec = Spec {
    name: "undersample",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "As many rows of each class as the rarest one has, drawn at random without replacement.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::required(
            "label",
            "the column of the class. NULL is a class of its own",
        ),
        Param::option(
            "strategy",
            "'auto'",
            "'auto' for as many rows as the rarest class has, or how many rows a class shall keep; a class that has \
             fewer keeps them all",
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
            sql: "SELECT y, count(*) FROM undersample((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b')) AS t(x, y)), label => y) GROUP BY y ORDER BY y",
            result: "a,1\nb,1",
        },
        Example {
            sql: "SELECT y, count(*) FROM undersample((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b')) AS t(x, y)), label => y, strategy => 2) GROUP BY y ORDER BY y",
            result: "a,2\nb,1",
        },
    ],
    source: "random under-sampling, as in imbalanced-learn",
    also: &["imblearn.under_sampling.RandomUnderSampler"],
};

#[derive(Debug)]
pub struct Undersample;

impl Relation for Undersample {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let label = call.column(0, "label")?;
        let seed = options.integer("seed", 0)?;
        let table = call.table(0);
        let wanted = match options.text("strategy") {
            Ok(word) if word.eq_ignore_ascii_case("auto") => format!(
                "(SELECT min(members) FROM (SELECT count(*) AS members FROM {table} GROUP BY {label}))"
            ),
            Ok(_) => return options.wrong("strategy", "'auto' or a number of rows"),
            Err(_) => options.integer("strategy", 1)?.to_string(),
        };
        let columns = call.columns(0);
        let [rank] = free(&columns, ["rank"]);
        let columns = columns.join(", ");
        let shuffled = shuffled(call, seed);
        let (query, order) = (shuffled.query, shuffled.order);
        Ok(Expansion::Sql(format!(
            "SELECT {columns}
             FROM (
                 SELECT *, row_number() OVER (PARTITION BY {label} ORDER BY {order}) AS {rank}
                 FROM ({query})
             )
             WHERE {rank} <= {wanted}"
        )))
    }
}
