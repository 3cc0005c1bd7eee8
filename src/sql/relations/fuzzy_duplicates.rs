//! `fuzzy_duplicates((q), column)`: rows whose texts are nearly the same.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{LogicalPlanBuilder, cast};
use seedbed_udfs::arrays::is_text;
use seedbed_udfs::clean::fuzzy_duplicates::{FuzzyDuplicates as Kernel, Method};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::{check_added, free};
use crate::plan::{Spool, TableNode, is_cheap};

const SPEC: Spec = Spec {
    name: "fuzzy_duplicates",
    stage: Stage::Clean,
    kind: Kind::Relation,
    summary: "Rows whose texts are nearly the same, as clusters with the text to put in their place, or as pairs.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::required(
            "column",
            "a column of text. It is compared as it is: where capitals or punctuation do not count, compare clean_text(lower(x)) or fingerprint(x)",
        ),
        Param::option(
            "threshold",
            "0.9",
            "how similar two texts must be at least, above 0 and at most 1",
        ),
        Param::option(
            "method",
            "'jaro_winkler'",
            "'jaro_winkler': matching characters near each other, and a common beginning; 'jaccard': the share of character \
             n-grams in common",
        ),
        Param::option(
            "output",
            "'clusters'",
            "'clusters': the table's rows and columns cluster_id (texts that are similar, or have similar texts between them, \
             numbered from 0 in the order of their smallest texts), cluster_size (its rows), canonical (its most frequent text, \
             of these the smallest) and similarity (of the row's text to canonical); 'pairs': a row a pair of different texts, \
             value_a, value_b and similarity",
        ),
        Param::option(
            "ngram",
            "2",
            "characters of an n-gram, from 1 to 8: of 'jaccard', and of the choice of pairs to look at",
        ),
        Param::option(
            "bands",
            "40",
            "bands of MinHash values: more of them miss fewer pairs and take longer. Up to 20000 different texts all pairs are \
             looked at; beyond, those that agree in a band, each text with the next 256 of those in order",
        ),
        Param::option(
            "band_size",
            "3",
            "MinHash values of a band: fewer of them miss fewer pairs and take much longer",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT name, cluster_id, cluster_size, canonical, round(similarity, 3) FROM fuzzy_duplicates((SELECT * FROM (VALUES ('Martha'), ('Marhta'), ('Marhta'), ('Dwayne'), (NULL)) AS t(name)), column => name) ORDER BY cluster_id, name",
            result: "Dwayne,0,1,Dwayne,1.0\nMarhta,1,3,Marhta,1.0\nMarhta,1,3,Marhta,1.0\nMartha,1,3,Marhta,0.961\n,,,,",
        },
        Example {
            sql: "SELECT value_a, value_b, similarity FROM fuzzy_duplicates((SELECT * FROM (VALUES ('night'), ('nights'), ('day')) AS t(x)), column => x, method => 'jaccard', threshold => 0.7, output => 'pairs')",
            result: "night,nights,0.8",
        },
    ],
    source: "Jaro (1989) and Winkler (1990), as strsim and rapidfuzz compute them; Jaccard's index of sets of character n-grams. \
        Candidates by locality-sensitive hashing with MinHash (Broder, 1997)",
    also: &[
        "rapidfuzz.process.cdist",
        "recordlinkage",
        "splink",
        "pyspark.ml.feature.MinHashLSH",
        "cluster and edit (OpenRefine)",
    ],
};

#[derive(Debug)]
pub struct FuzzyDuplicates;

impl Relation for FuzzyDuplicates {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let column = call.column(0, "column")?;
        let threshold = options.float("threshold")?;
        if !(threshold > 0.0 && threshold <= 1.0) {
            return options.wrong("threshold", "above 0 and at most 1");
        }
        let method = match options.choice("method", &["jaro_winkler", "jaccard"])? {
            "jaccard" => Method::Jaccard,
            _ => Method::JaroWinkler,
        };
        let pairs = options.choice("output", &["clusters", "pairs"])? == "pairs";
        let whole = |name: &str, most: i64| -> Result<usize> {
            match options.integer(name, 1) {
                Ok(n) if n <= most => Ok(n.unsigned_abs() as usize),
                _ => options.wrong(name, format!("a whole number from 1 to {most}")),
            }
        };
        let kernel = Kernel {
            threshold,
            method,
            ngram: whole("ngram", 8)?,
            bands: whole("bands", 1000)?,
            band_size: whole("band_size", 20)?,
            pairs,
        };
        let at = call.columns(0).iter().position(|c| *c == column);
        let Some(expr) = at.and_then(|at| call.exprs(0).into_iter().nth(at)) else {
            return options.wrong("column", "a column of the table");
        };
        let data_type = call.schema(0).field(at.unwrap_or(0)).data_type();
        if !is_text(data_type) {
            return plan_err!(
                "{0}: column must be text, not {data_type}. Write {0}((SELECT *, CAST({column} AS VARCHAR) AS text FROM ...), column => text)",
                SPEC.name
            );
        }
        let rows = call.input(0)?.clone();
        // the clusters are held while the rows they were found in pass
        let rows = if pairs || is_cheap(&rows)? {
            rows
        } else {
            Spool::over(rows)
        };
        let input = LogicalPlanBuilder::from(rows.clone())
            .project([cast(expr, DataType::Utf8View).alias("value")])?
            .build()?;
        let found = TableNode::over(Arc::new(kernel), input)?;
        if pairs {
            return Ok(Expansion::Plan(found));
        }
        check_added(
            call,
            &["cluster_id", "cluster_size", "canonical", "similarity"],
        )?;
        let table = call.table(0);
        let found = call.planned(found);
        let rows = call.planned(rows);
        let [of] = free(&call.columns(0), ["of"]);
        Ok(Expansion::Sql(format!(
            "SELECT {table}.*, {of}.cluster_id, {of}.cluster_size, {of}.canonical, {of}.similarity
             FROM {found} AS {of}
             RIGHT JOIN {rows} AS {table} ON CAST({table}.{column} AS VARCHAR) = {of}.value"
        )))
    }
}
