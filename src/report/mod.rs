//! The report on a synthetic table: one HTML file for people, which needs nothing but itself.
//!
//! What it shows is asked for in SQL, of `evaluate_synthesis` and `compare_histograms`; here it is only drawn.

mod draw;
mod page;

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use datafusion::common::{Result, exec_datafusion_err};
use futures::TryStreamExt;

use crate::sql::relation::quoted;
use crate::{Answer, Seedbed};

/// What is to be reported on.
#[derive(Debug, Clone)]
pub struct Request {
    /// A file or a table, as are the others.
    pub real: String,
    pub synthetic: String,
    pub holdout: Option<String>,
    /// The column that models predict.
    pub target: Option<String>,
}

/// A row of `evaluate_synthesis`.
#[derive(Debug, Clone, Default)]
struct Metric {
    name: String,
    column: Option<String>,
    value: Option<f64>,
    meaning: String,
}

/// A row of `compare_histograms`.
#[derive(Debug, Clone)]
struct Bin {
    kind: String,
    range: Option<[f64; 2]>,
    category: Option<String>,
    /// Of the real and of the synthetic rows.
    shares: [f64; 2],
}

/// A column and its distributions.
#[derive(Debug)]
struct Column {
    name: String,
    data_type: DataType,
    bins: Vec<Bin>,
}

/// All that the page shows.
#[derive(Debug)]
struct Findings {
    request: Request,
    /// Of the real, the synthetic and the held out rows.
    rows: Vec<i64>,
    columns: Vec<Column>,
    metrics: Vec<Metric>,
}

/// The report as HTML.
///
/// # Errors
/// If a table cannot be read, or the tables do not go together.
pub async fn html(seedbed: &Seedbed, request: Request) -> Result<String> {
    let [real, synthetic] = [&request.real, &request.synthetic].map(|t| source(t));
    let holdout = request.holdout.as_deref().map(source);
    let schema = ask(seedbed, &format!("SELECT * FROM {real} LIMIT 0"))
        .await?
        .0;
    let mut rows = Vec::new();
    for table in [Some(&real), Some(&synthetic), holdout.as_ref()]
        .into_iter()
        .flatten()
    {
        let (_, batch) = ask(seedbed, &format!("SELECT count(*) FROM {table}")).await?;
        rows.push(batch.column(0).as_primitive::<Int64Type>().value(0));
    }
    let tables = format!("(SELECT * FROM {real}), (SELECT * FROM {synthetic})");
    let mut options = String::new();
    if let Some(holdout) = &holdout {
        options += &format!(", holdout => (SELECT * FROM {holdout})");
    }
    if let Some(target) = &request.target {
        options += &format!(", target => '{}'", target.replace('\'', "''"));
    }
    let sql = format!(
        "SELECT metric, column, value, meaning FROM evaluate_synthesis({tables}{options}, detail => 'pairs')"
    );
    let metrics = metrics(&ask(seedbed, &sql).await?.1);
    let sql = format!(
        "SELECT column_name, kind, low, high, category, reference, current FROM compare_histograms({tables}, categories => 12)"
    );
    let columns = columns(&schema, &ask(seedbed, &sql).await?.1);
    Ok(page::page(&Findings {
        request,
        rows,
        columns,
        metrics,
    }))
}

/// What a name is in SQL: a file, or a table.
fn source(name: &str) -> String {
    if Path::new(name).exists() || crate::load::looks_like_path(name) {
        format!("'{}'", name.replace('\'', "''"))
    } else {
        quoted(name)
    }
}

async fn ask(seedbed: &Seedbed, sql: &str) -> Result<(SchemaRef, RecordBatch)> {
    let statements = seedbed.split(sql)?;
    let statement = statements.first();
    let statement = statement.ok_or_else(|| exec_datafusion_err!("no statement in {sql}"))?;
    match seedbed.run(statement).await? {
        Answer::Rows { schema, rows } => {
            let batches: Vec<RecordBatch> = rows.try_collect().await?;
            Ok((schema.clone(), concat_batches(&schema, &batches)?))
        }
        Answer::Done { .. } => Err(exec_datafusion_err!("{sql} gives no rows")),
    }
}

/// The texts of a column.
fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    let cast = arrow::compute::cast(batch.column(column), &DataType::Utf8);
    match cast {
        Ok(array) => array
            .as_string::<i32>()
            .iter()
            .map(|t| t.map(str::to_string))
            .collect(),
        Err(_) => vec![None; batch.num_rows()],
    }
}

fn numbers(batch: &RecordBatch, column: usize) -> Vec<Option<f64>> {
    match batch.column(column).as_primitive_opt::<Float64Type>() {
        Some(array) => array.iter().collect(),
        None => vec![None; batch.num_rows()],
    }
}

fn metrics(batch: &RecordBatch) -> Vec<Metric> {
    let (names, columns) = (texts(batch, 0), texts(batch, 1));
    let (values, meanings) = (numbers(batch, 2), texts(batch, 3));
    (0..batch.num_rows())
        .map(|i| Metric {
            name: names[i].clone().unwrap_or_default(),
            column: columns[i].clone(),
            value: values[i],
            meaning: meanings[i].clone().unwrap_or_default(),
        })
        .collect()
}

fn columns(schema: &SchemaRef, batch: &RecordBatch) -> Vec<Column> {
    let (names, kinds, categories) = (texts(batch, 0), texts(batch, 1), texts(batch, 4));
    let (low, high) = (numbers(batch, 2), numbers(batch, 3));
    let (reference, current) = (numbers(batch, 5), numbers(batch, 6));
    let fields = schema.fields().iter().map(|field| Column {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        bins: (0..batch.num_rows())
            .filter(|i| names[*i].as_ref() == Some(field.name()))
            .map(|i| Bin {
                kind: kinds[i].clone().unwrap_or_default(),
                range: low[i].zip(high[i]).map(|(low, high)| [low, high]),
                category: categories[i].clone(),
                shares: [reference[i], current[i]].map(|s| s.unwrap_or(0.0)),
            })
            .collect(),
    });
    fields.collect()
}
