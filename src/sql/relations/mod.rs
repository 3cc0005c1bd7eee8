//! Relation functions: each takes tables and gives one, as a SQL template over other functions.
//!
//! What makes them the same for any number of partitions: rows are told apart, and put in order, by what
//! they hold. Rows that hold the same are numbered; which of them gets which number makes no difference.

mod adasyn;
mod balanced_sample;
mod batch_plan;
mod batches;
mod borderline_smote;
mod by_column;
mod clean_names;
mod compare_histograms;
mod compared;
mod complete;
mod correlations;
mod cutmix_images;
mod deduplicate;
mod drift;
mod edited_nearest_neighbours;
mod evaluate_synthesis;
mod expect;
mod fuzzy_duplicates;
mod impute_knn;
mod label_issues;
mod mixup;
mod mixup_images;
mod model_history;
mod neighbours;
mod oversample;
mod predict;
mod profile;
mod read;
mod sample;
mod smote;
mod smote_nc;
mod tomek_links;
mod undersample;

pub use expect::Holds;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};

use seedbed_udfs::spec::Spec;

use super::relation::{Call, Relation};
use super::transform::{InverseTransform, Parameters, TransformRelation};

/// All relation functions.
pub fn all() -> Vec<Arc<dyn Relation>> {
    let mut all: Vec<Arc<dyn Relation>> = vec![
        Arc::new(adasyn::Adasyn),
        Arc::new(balanced_sample::BalancedSample),
        Arc::new(batch_plan::BatchPlan),
        Arc::new(batches::Batches),
        Arc::new(borderline_smote::BorderlineSmote),
        Arc::new(clean_names::CleanNames),
        Arc::new(compare_histograms::CompareHistograms),
        Arc::new(correlations::Correlations),
        Arc::new(cutmix_images::CutmixImages),
        Arc::new(deduplicate::Deduplicate),
        Arc::new(drift::Drift),
        Arc::new(edited_nearest_neighbours::EditedNearestNeighbours),
        Arc::new(evaluate_synthesis::EvaluateSynthesis),
        Arc::new(expect::Expect),
        Arc::new(impute_knn::ImputeKnn),
        Arc::new(fuzzy_duplicates::FuzzyDuplicates),
        Arc::new(label_issues::LabelIssues),
        Arc::new(mixup::Mixup),
        Arc::new(mixup_images::MixupImages),
        Arc::new(model_history::ModelHistory),
        Arc::new(oversample::Oversample),
        Arc::new(predict::Evaluate),
        Arc::new(predict::Predict),
        Arc::new(profile::Profile),
        Arc::new(smote::Smote),
        Arc::new(smote_nc::SmoteNc),
        Arc::new(tomek_links::TomekLinks),
        Arc::new(undersample::Undersample),
        Arc::new(TransformRelation),
        Arc::new(InverseTransform),
        Arc::new(Parameters),
    ];
    all.extend(complete::Complete::both());
    all.extend(sample::Sample::both());
    all
}

/// The declarations of all relation functions, those of the readers among them.
pub fn specs() -> Vec<&'static Spec> {
    let relations = all();
    let relations = relations.iter().map(|r| r.spec());
    relations.chain(read::specs()).collect()
}

/// Names, quoted, for a template's own columns: none is the name of a column of the table.
fn free<const N: usize>(columns: &[String], names: [&str; N]) -> [String; N] {
    names.map(|name| {
        let mut quoted = format!("\"{name}\"");
        while columns.contains(&quoted) {
            quoted.insert(quoted.len() - 1, '_');
        }
        quoted
    })
}

/// An error if the table has a column that the function is to add.
fn check_added(call: &Call<'_>, added: &[&str]) -> Result<()> {
    let name = call.options().spec().name;
    let columns = call.columns(0);
    match added.iter().find(|a| columns.contains(&format!("\"{a}\""))) {
        Some(column) => plan_err!(
            "{name}: it adds a column {column}, but the table has one already. \
             Write {name}((SELECT * EXCEPT ({column}) FROM ...), ...)"
        ),
        None => Ok(()),
    }
}

/// Columns of the first table, as keys to sort by.
fn sort_keys(call: &Call<'_>, columns: &[String]) -> Vec<String> {
    let fields = call.schema(0).fields();
    call.columns(0)
        .into_iter()
        .zip(fields)
        .filter(|(column, _)| columns.contains(column))
        .map(|(column, field)| match field.data_type() {
            // the only type that has keys but no order
            DataType::Map(_, _) => format!("random_key(0, {column})"),
            _ => column,
        })
        .collect()
}

/// The first table in an order drawn by a seed.
struct Shuffled {
    /// A query that gives the table's rows and two more columns.
    query: String,
    /// What to order its rows by.
    order: String,
    /// A key of each row, of its own.
    key: String,
}

/// Shuffles the first table: rows go by a key of what they hold and of their number among their equals,
/// so that rows that are the same do not stay together.
fn shuffled(call: &Call<'_>, seed: i64) -> Shuffled {
    let table = call.table(0);
    let columns = call.columns(0);
    let [hash, copy] = free(&columns, ["hash", "copy"]);
    let order = sort_keys(call, &columns).join(", ");
    let columns = columns.join(", ");
    Shuffled {
        query: format!(
            "SELECT *, row_number() OVER (PARTITION BY {hash} ORDER BY {order}) AS {copy}
             FROM (SELECT *, random_key({seed}, {columns}) AS {hash} FROM {table})"
        ),
        order: format!("random_key({hash}, {copy}), {hash}, {copy}"),
        key: format!("random_key({hash}, {copy})"),
    }
}

/// A query that draws rows of each class of the first table with replacement.
///
/// `wanted` says how many, in terms of `members`, the number of rows the class has. The j-th draw takes
/// row `floor(random_uniform(0, members, random_key(seed, class, j)))` in the order of the columns.
fn drawn(call: &Call<'_>, label: &str, wanted: &str, seed: i64) -> String {
    let table = call.table(0);
    let columns = call.columns(0);
    let [rank] = free(&columns, ["rank"]);
    let order = sort_keys(call, &columns).join(", ");
    let columns: Vec<_> = columns.iter().map(|c| format!("ranked.{c}")).collect();
    let columns = columns.join(", ");
    // ranks are never NULL, but classes may be: with both compared in this way the join is one of equals
    format!(
        "SELECT {columns}
         FROM (
             SELECT *, CAST(row_number() OVER (PARTITION BY {label} ORDER BY {order}) AS BIGINT) - 1 AS {rank}
             FROM {table}
         ) AS ranked
         JOIN (
             SELECT class, CAST(floor(random_uniform(0, members, random_key({seed}, class, draw))) AS BIGINT) AS rank
             FROM (
                 SELECT class, members, unnest(range(1, wanted + 1)) AS draw
                 FROM (
                     SELECT class, members, {wanted} AS wanted
                     FROM (SELECT {label} AS class, count(*) AS members FROM {table} GROUP BY {label})
                 )
                 WHERE wanted > 0
             )
         ) AS draws
         ON (ranked.{label} IS NOT DISTINCT FROM draws.class)
         AND (ranked.{rank} IS NOT DISTINCT FROM draws.rank)"
    )
}
