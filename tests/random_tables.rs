//! Random tables: what scikit-learn's pipelines make of them, `golden/random_tables.py` says.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema};
use seedbed::{Options, Seedbed};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// An expression over a table, and the values that the rows not fitted on get by it.
struct Expected {
    kind: String,
    sql: String,
    tolerance: f64,
    values: Float64Array,
}

#[derive(Default)]
struct Table {
    fit: Vec<(Field, ArrayRef)>,
    rest: Vec<(Field, ArrayRef)>,
    expected: Vec<Expected>,
}

async fn query(seedbed: &Seedbed, sql: &str) -> Outcome<RecordBatch> {
    let batches = seedbed.sql(sql).await?;
    let schema = batches.first().ok_or("no rows")?.schema();
    Ok(concat_batches(&schema, &batches)?)
}

async fn tables(seedbed: &Seedbed) -> Outcome<Vec<Table>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/random_tables.parquet");
    let text = |column: &str| format!("arrow_cast({column}, 'Utf8') AS {column}");
    let sql = format!(
        "SELECT \"table\", {}, {}, {}, {}, tolerance, numbers, arrow_cast(texts, 'List(Utf8)') AS texts FROM '{}'",
        text("role"),
        text("name"),
        text("type"),
        text("sql"),
        path.display()
    );
    let all = query(seedbed, &sql).await?;
    let text = |i: usize, row: usize| all.column(i).as_string::<i32>().value(row).to_string();
    let mut tables: BTreeMap<i32, Table> = BTreeMap::new();
    for row in 0..all.num_rows() {
        let number = all.column(0).as_primitive::<Int32Type>().value(row);
        let table = tables.entry(number).or_default();
        let role = text(1, row);
        if role == "expected" {
            table.expected.push(Expected {
                kind: text(2, row),
                sql: text(4, row),
                tolerance: all.column(5).as_primitive::<Float64Type>().value(row),
                values: all
                    .column(6)
                    .as_list::<i32>()
                    .value(row)
                    .as_primitive()
                    .clone(),
            });
            continue;
        }
        let (values, kind) = match text(3, row).as_str() {
            "VARCHAR" => (all.column(7).as_list::<i32>().value(row), DataType::Utf8),
            "BIGINT" => (all.column(6).as_list::<i32>().value(row), DataType::Int64),
            "BOOLEAN" => (all.column(6).as_list::<i32>().value(row), DataType::Boolean),
            _ => (all.column(6).as_list::<i32>().value(row), DataType::Float64),
        };
        let column = (
            Field::new(text(2, row), kind.clone(), true),
            cast(&values, &kind)?,
        );
        if role == "fit" {
            table.fit.push(column);
        } else {
            table.rest.push(column);
        }
    }
    Ok(tables.into_values().collect())
}

fn batch(columns: &[(Field, ArrayRef)]) -> Outcome<RecordBatch> {
    let rows = columns.first().map_or(0, |(_, array)| array.len());
    let id = Int64Array::from_iter_values((0i64..).take(rows));
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(id)];
    for (field, array) in columns {
        fields.push(field.clone());
        arrays.push(Arc::clone(array));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Whether two columns agree: missing values are NULL or NaN.
fn agree(expected: &Float64Array, actual: &Float64Array, tolerance: f64) -> Result<(), String> {
    let largest = expected.iter().flatten().filter(|v| v.is_finite());
    let largest = largest.fold(0.0, |max: f64, v| max.max(v.abs()));
    for row in 0..expected.len() {
        let value =
            |a: &Float64Array| (a.is_valid(row) && !a.value(row).is_nan()).then(|| a.value(row));
        let agrees = match (value(expected), value(actual)) {
            (Some(want), Some(got)) => got == want || (got - want).abs() <= tolerance * largest,
            (want, got) => want == got,
        };
        if !agrees {
            return Err(format!(
                "row {row}: {:?} instead of {:?}",
                value(actual),
                value(expected)
            ));
        }
    }
    Ok(())
}

/// Fits a table's expressions on its first rows and compares what they give for the rest.
async fn check(seedbed: &Seedbed, number: usize, table: &Table, wrong: &mut String) -> Outcome<()> {
    let (fit, rest) = (format!("fit_{number}"), format!("rest_{number}"));
    seedbed.context().register_batch(&fit, batch(&table.fit)?)?;
    seedbed
        .context()
        .register_batch(&rest, batch(&table.rest)?)?;
    let calls = table.expected.iter().enumerate();
    let calls: Vec<String> = calls.map(|(i, e)| format!("{} AS y{i}", e.sql)).collect();
    let list = calls.join(", ");
    seedbed
        .sql(&format!(
            "CREATE OR REPLACE TRANSFORM random AS SELECT id, {list} FROM {fit}"
        ))
        .await?;
    let sql = format!("SELECT * FROM transform('random', (SELECT * FROM {rest})) ORDER BY id");
    let answer = query(seedbed, &sql).await?;
    let mut at = 1;
    for expected in &table.expected {
        let columns = expected.values.len() / answer.num_rows();
        for i in 0..columns {
            let rows = answer.num_rows();
            let want = expected.values.slice(i * rows, rows);
            let got = answer.columns().get(at).ok_or("too few columns")?;
            let got = cast(got, &DataType::Float64)?;
            if let Err(error) = agree(&want, got.as_primitive(), expected.tolerance) {
                let Expected { kind, sql, .. } = expected;
                writeln!(
                    wrong,
                    "table {number}, {kind}: {sql}, column {i}\n    {error}"
                )?;
            }
            at += 1;
        }
    }
    if at != answer.num_columns() {
        writeln!(
            wrong,
            "table {number}: {} columns instead of {at}",
            answer.num_columns()
        )?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_tables() -> Outcome<()> {
    let seedbed = Seedbed::open(Options::default())?;
    let tables = tables(&seedbed).await?;
    let mut wrong = String::new();
    for (number, table) in tables.iter().enumerate() {
        if table.expected.is_empty() {
            continue;
        }
        if let Err(error) = check(&seedbed, number, table, &mut wrong).await {
            writeln!(wrong, "table {number}: {error}")?;
        }
    }
    assert_eq!(tables.len(), 200);
    assert!(wrong.is_empty(), "{wrong}");
    Ok(())
}
