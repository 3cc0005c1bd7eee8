//! `impute_knn((q), columns)`: missing numbers from the nearest rows.

use datafusion::common::Result;
use seedbed_udfs::neighbours::{Imputing, Shape};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::neighbours::{QUERY, check_number, count, places};
use crate::plan::{Neighbours, Search, Task};

const SPEC: Spec = Spec {
    name: "impute_knn",
    stage: Stage::Clean,
    kind: Kind::Relation,
    summary: "The rows with each missing number replaced by the mean of those of the nearest rows that have one.",
    params: &[
        QUERY,
        Param::required(
            "columns",
            "the numbers to fill, as [a, b]; they also say how near rows are to each other. Scale them first: the widest counts for \
             most. Other columns stay as they are",
        ),
        Param::option(
            "k",
            "5",
            "of how many nearest rows the mean is; of fewer, where fewer have the number",
        ),
        Param::option(
            "weights",
            "'uniform'",
            "'uniform', or 'distance' for a mean weighted by 1 / distance; rows at distance 0 then count alone",
        ),
        Param::option(
            "donors",
            "NULL",
            "from how many rows at most to take numbers, drawn by the seed; NULL for all, which are then held in memory. Each \
             row with a missing number is compared with all donors where there are many columns: with 10000 a million rows of 20 columns take less than a minute",
        ),
        Param::option("seed", "0", "another seed draws other donors"),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT id, x, y FROM impute_knn((SELECT * FROM (VALUES (1, 1, 10), (2, 2, 20), (3, 9, 90), (4, 2, NULL)) AS t(id, x, y)), columns => [x, y], k => 2) ORDER BY id",
            result: "1,1.0,10.0\n2,2.0,20.0\n3,9.0,90.0\n4,2.0,15.0",
        },
        Example {
            sql: "SELECT id, x, y FROM impute_knn((SELECT * FROM (VALUES (1, 1, 10), (2, 2, 20), (3, 9, 90), (4, NULL, NULL)) AS t(id, x, y)), columns => [x, y], k => 2) ORDER BY id",
            result: "1,1.0,10.0\n2,2.0,20.0\n3,9.0,90.0\n4,4.0,40.0",
        },
    ],
    source: "scikit-learn's KNNImputer: nan-euclidean distances; the mean of the column for a row that shares no number with any other. \
        FLOAT stays FLOAT, all else gives DOUBLE. NULL and NaN are missing; an infinity stays and is of no use to others. A column \
        without numbers stays missing",
    also: &["sklearn.impute.KNNImputer"],
};

#[derive(Debug)]
pub struct ImputeKnn;

impl Relation for ImputeKnn {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let names = call.column_list(0, "columns")?;
        let columns = places(call, &names);
        if columns.is_empty() {
            return options.wrong("columns", "a list of columns, as in [a, b]");
        }
        for column in &columns {
            check_number(call, *column)?;
        }
        let k = count(call, "k")?;
        let by_distance = options.choice("weights", &["uniform", "distance"])? == "distance";
        let seed = options.integer("seed", 0)?;
        let all = call.columns(0);
        let listed: Vec<&str> = columns.iter().map(|c| all[*c].as_str()).collect();
        let listed = listed.join(", ");
        let donors = match options.is_null("donors") {
            true => String::new(),
            false => format!(
                "ORDER BY random_key({seed}, {listed}) LIMIT {}",
                options.integer("donors", 1)?
            ),
        };
        let search = Search {
            name: SPEC.name,
            shape: Shape {
                numbers: columns.len(),
                categories: 0,
                label: false,
                wanted: false,
            },
            task: Task::Impute(Imputing { k, by_distance }, columns),
        };
        let (node, table) = (call.node(), call.table(0));
        let sql = format!(
            "SELECT * FROM {node}((SELECT {listed} FROM {table} {donors}), (SELECT * FROM {table}))"
        );
        let make = move |inputs| Neighbours::plan(search, inputs, None);
        Ok(Expansion::Around(node, sql, Box::new(make)))
    }
}
