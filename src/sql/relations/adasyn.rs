//! `adasyn((q), label)`: synthetic rows where a class is hard to learn.

use datafusion::common::Result;
use seedbed_udfs::neighbours::Method;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::neighbours::{COLUMNS, Columns, LABEL, QUERY, SEED, STRATEGY, oversampled};

const SPEC: Spec = Spec {
    name: "adasyn",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "SMOTE that starts the more often from a row the more of its nearest rows are of other classes.",
    params: &[
        QUERY,
        LABEL,
        Param::option(
            "k",
            "5",
            "how many nearest rows say how hard a row is, and how many of its own class are neighbours",
        ),
        STRATEGY,
        COLUMNS,
        SEED,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT y, is_synthetic, count(*) FROM adasyn((SELECT * FROM (VALUES (-1, 'a'), (0, 'a'), (1, 'a'), (2, 'a'), (3, 'a'), (4, 'a'), (6.0, 'a'), (5.0, 'b'), (7.0, 'b'), (8.0, 'b')) AS t(x, y)), label => y, k => 2) GROUP BY y, is_synthetic ORDER BY y, is_synthetic",
        result: "a,false,7\nb,false,3\nb,true,4",
    }],
    source: "He et al. 2008, as in imbalanced-learn; adds the column is_synthetic. The number of rows from each row is rounded, so a class may \
        get a few more or less than asked for. It is an error if no row of a class has one of another class near it. Distances are \
        nan-euclidean. The numbers and the label of all rows are held in memory",
    also: &["imblearn.over_sampling.ADASYN"],
};

#[derive(Debug)]
pub struct Adasyn;

impl Relation for Adasyn {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        oversampled(call, &Columns::of(call)?, Method::Adasyn)
    }
}
