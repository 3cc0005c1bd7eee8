//! `edited_nearest_neighbours((q), label)`: without the rows that their neighbours contradict.

use datafusion::common::Result;
use seedbed_udfs::neighbours::Rule;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::neighbours::{EDITED, LABEL, NEAR, QUERY, count, edited};

const SPEC: Spec = Spec {
    name: "edited_nearest_neighbours",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "The rows but for those that are of another class than their nearest neighbours.",
    params: &[
        QUERY,
        LABEL,
        Param::option("k", "3", "how many nearest rows are neighbours"),
        Param::option(
            "kind",
            "'all'",
            "'all': a row stays if all of its neighbours are of its class; 'mode': if its class is the most frequent among them, \
             of several the first in order",
        ),
        EDITED,
        NEAR,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT x, y FROM edited_nearest_neighbours((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (8, 'a'), (9, 'b'), (10, 'b')) AS t(x, y)), label => y, k => 2) ORDER BY x",
            result: "1,a\n2,a\n3,a\n9,b\n10,b",
        },
        Example {
            sql: "SELECT x, y FROM edited_nearest_neighbours((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (8, 'a'), (9, 'b'), (10, 'b')) AS t(x, y)), label => y, k => 3, kind => 'mode', strategy => 'all') ORDER BY x",
            result: "1,a\n2,a\n3,a",
        },
    ],
    source: "Wilson 1972, as in imbalanced-learn; neighbours at the same distance go by what they hold. Distances are nan-euclidean. \
        The numbers and the label of all rows are held in memory",
    also: &["imblearn.under_sampling.EditedNearestNeighbours"],
};

#[derive(Debug)]
pub struct EditedNearestNeighbours;

impl Relation for EditedNearestNeighbours {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let k = count(call, "k")?;
        let rule = match call.options().choice("kind", &["all", "mode"])? {
            "mode" => Rule::Mode { k },
            _ => Rule::All { k },
        };
        edited(call, rule)
    }
}
