//! `borderline_smote((q), label)`: SMOTE from the rows near the border of their class.

use datafusion::common::Result;
use seedbed_udfs::neighbours::{Borderline, Method};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::neighbours::{COLUMNS, Columns, LABEL, QUERY, SEED, STRATEGY, count, oversampled};

const SPEC: Spec = Spec {
    name: "borderline_smote",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "SMOTE that starts from the rows in danger only: those of which at least half of the nearest m rows, but not all, are of \
        other classes.",
    params: &[
        QUERY,
        LABEL,
        Param::option(
            "k",
            "5",
            "how many nearest rows are neighbours to go towards. A smaller class has fewer; a row that is alone is repeated",
        ),
        Param::option(
            "m",
            "10",
            "how many nearest rows say whether a row is in danger",
        ),
        Param::option(
            "kind",
            "'borderline-1'",
            "'borderline-1' to go towards rows of the same class, 'borderline-2' towards any, less than half of the way to those of \
             another class",
        ),
        STRATEGY,
        COLUMNS,
        SEED,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT is_synthetic, count(*), bool_and(x BETWEEN 5 AND 8) FROM borderline_smote((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'a'), (6.0, 'a'), (5.0, 'b'), (7.0, 'b'), (8.0, 'b')) AS t(x, y)), label => y, m => 2) WHERE y = 'b' GROUP BY is_synthetic ORDER BY is_synthetic",
        result: "false,3,true\ntrue,2,true",
    }],
    source: "Han et al. 2005, as in imbalanced-learn; adds the column is_synthetic. A class without rows in danger stays as it is. \
        Distances are nan-euclidean. The numbers and the label of all rows are held in memory",
    also: &["imblearn.over_sampling.BorderlineSMOTE"],
};

#[derive(Debug)]
pub struct BorderlineSmote;

impl Relation for BorderlineSmote {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let kinds = ["borderline-1", "borderline-2"];
        let kind = match call.options().choice("kind", &kinds)? {
            "borderline-2" => Borderline::Two,
            _ => Borderline::One,
        };
        let m = count(call, "m")?;
        let method = Method::Borderline { m, kind };
        oversampled(call, &Columns::of(call)?, method)
    }
}
