//! `smote((q), label)`: rare classes brought to the size of the most frequent one with rows between neighbours.

use datafusion::common::Result;
use seedbed_udfs::neighbours::Method;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::neighbours::{COLUMNS, Columns, LABEL, QUERY, SEED, STRATEGY, oversampled};

const SPEC: Spec = Spec {
    name: "smote",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "All rows, and more of each rare class: each of them somewhere between a row of it and one of its nearest neighbours.",
    params: &[
        QUERY,
        LABEL,
        Param::option(
            "k",
            "5",
            "how many nearest rows of the same class are neighbours. A smaller class has fewer; a row that is alone is repeated",
        ),
        STRATEGY,
        COLUMNS,
        SEED,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT y, is_synthetic, count(*) FROM smote((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'a'), (8.0, 'b'), (9.0, 'b')) AS t(x, y)), label => y) GROUP BY y, is_synthetic ORDER BY y, is_synthetic",
            result: "a,false,4\nb,false,2\nb,true,2",
        },
        Example {
            sql: "SELECT bool_and(x BETWEEN 8 AND 9), count(id) FROM smote((SELECT * FROM (VALUES (1, 1, 'a'), (2, 2, 'a'), (3, 3, 'a'), (4, 8.0, 'b'), (5, 9.0, 'b')) AS t(id, x, y)), label => y, columns => [x]) WHERE is_synthetic",
            result: "true,0",
        },
    ],
    source: "Chawla et al. 2002, as in imbalanced-learn; adds the column is_synthetic. Distances are nan-euclidean; a number that one of two \
        rows lacks is that of the nearer row, or missing. Whole numbers are rounded. Only the rare classes' rows are held in memory",
    also: &["imblearn.over_sampling.SMOTE"],
};

#[derive(Debug)]
pub struct Smote;

impl Relation for Smote {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        oversampled(call, &Columns::of(call)?, Method::Smote)
    }
}
