//! `oversample((q), label)`: rare classes brought to the size of the most frequent one.

use datafusion::common::Result;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::{check_added, drawn};

const SPEC: Spec = Spec {
    name: "oversample",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "All rows, and more of each rare class, drawn with replacement until every class has as many rows.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::required(
            "label",
            "the column of the class. NULL is a class of its own",
        ),
        Param::option(
            "strategy",
            "'auto'",
            "'auto' for as many rows as the most frequent class has, or how many rows a class shall have; a class \
             that has more keeps them all",
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
            sql: "SELECT y, is_synthetic, count(*) FROM oversample((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b')) AS t(x, y)), label => y) GROUP BY y, is_synthetic ORDER BY y, is_synthetic",
            result: "a,false,3\nb,false,1\nb,true,2",
        },
        Example {
            sql: "SELECT y, count(*) FROM oversample((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b')) AS t(x, y)), label => y, strategy => 2) GROUP BY y ORDER BY y",
            result: "a,3\nb,2",
        },
    ],
    source: "random over-sampling, as in imbalanced-learn; adds the column is_synthetic, true for the drawn rows",
    also: &["imblearn.over_sampling.RandomOverSampler"],
};

#[derive(Debug)]
pub struct Oversample;

impl Relation for Oversample {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        check_added(call, &["is_synthetic"])?;
        let label = call.column(0, "label")?;
        let seed = options.integer("seed", 0)?;
        let wanted = match options.text("strategy") {
            Ok(word) if word.eq_ignore_ascii_case("auto") => {
                "max(members) OVER () - members".to_string()
            }
            Ok(_) => return options.wrong("strategy", "'auto' or a number of rows"),
            Err(_) => format!("{} - members", options.integer("strategy", 1)?),
        };
        let table = call.table(0);
        let columns = call.columns(0).join(", ");
        let drawn = drawn(call, &label, &wanted, seed);
        Ok(Expansion::Sql(format!(
            "SELECT {columns}, false AS is_synthetic FROM {table}
             UNION ALL
             SELECT *, true AS is_synthetic FROM ({drawn})"
        )))
    }
}
