//! `tomek_links((q), label)`: without the rows that meet those of another class.

use datafusion::common::Result;
use seedbed_udfs::neighbours::Rule;
use seedbed_udfs::spec::{Example, Kind, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::neighbours::{EDITED, LABEL, NEAR, QUERY, edited};

const SPEC: Spec = Spec {
    name: "tomek_links",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "The rows but for those in a Tomek link: two rows of different classes that are each other's nearest.",
    params: &[QUERY, LABEL, EDITED, NEAR],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT x, y FROM tomek_links((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (4, 'a'), (4.5, 'b'), (9, 'b')) AS t(x, y)), label => y) ORDER BY x",
            result: "1.0,a\n2.0,a\n4.5,b\n9.0,b",
        },
        Example {
            sql: "SELECT x, y FROM tomek_links((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (4, 'a'), (4.5, 'b'), (9, 'b')) AS t(x, y)), label => y, strategy => 'all') ORDER BY x",
            result: "1.0,a\n2.0,a\n9.0,b",
        },
    ],
    source: "Tomek 1976, as in imbalanced-learn; where several rows are equally near, one of another class among them makes a link. \
        Distances are nan-euclidean. The numbers and the label of all rows are held in memory",
    also: &["imblearn.under_sampling.TomekLinks"],
};

#[derive(Debug)]
pub struct TomekLinks;

impl Relation for TomekLinks {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        edited(call, Rule::Tomek)
    }
}
