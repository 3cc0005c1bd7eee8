//! `smote_nc((q), label)`: SMOTE for tables that have categories too.

use datafusion::common::Result;
use seedbed_udfs::neighbours::Method;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::neighbours::{Columns, LABEL, QUERY, SEED, STRATEGY, oversampled};

const SPEC: Spec = Spec {
    name: "smote_nc",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "SMOTE for numbers and categories: a synthetic row's numbers are between those of two neighbours, its categories the most \
        frequent ones among the neighbours.",
    params: &[
        QUERY,
        LABEL,
        Param::option(
            "categorical",
            "NULL",
            "columns that are categories although they are numbers, as [zip, code]; all that are no numbers are categories in any case. \
             NULL is a category",
        ),
        Param::option(
            "k",
            "5",
            "how many nearest rows of the same class are neighbours. A smaller class has fewer; a row that is alone is repeated",
        ),
        STRATEGY,
        Param::option(
            "columns",
            "NULL",
            "the numbers and categories that say how near rows are to each other, as [a, b]; all columns but the label by default. \
             Columns left out are NULL in synthetic rows. Scale the numbers first",
        ),
        SEED,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT y, c, bool_and(x BETWEEN 8 AND 9), count(*) FROM smote_nc((SELECT * FROM (VALUES (1, 'p', 'a'), (2, 'p', 'a'), (3, 'q', 'a'), (4, 'q', 'a'), (8.0, 'r', 'b'), (9.0, 'r', 'b')) AS t(x, c, y)), label => y) WHERE is_synthetic GROUP BY y, c",
        result: "b,r,true,2",
    }],
    source: "Chawla et al. 2002, as in imbalanced-learn; adds the column is_synthetic. A category that differs adds the squared median of the \
        numbers' standard deviations (of the class) to the squared distance; between categories that are equally frequent it is drawn",
    also: &["imblearn.over_sampling.SMOTENC"],
};

#[derive(Debug)]
pub struct SmoteNc;

impl Relation for SmoteNc {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        oversampled(call, &Columns::mixed(call)?, Method::Smote)
    }
}
