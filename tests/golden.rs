//! Golden values: what scikit-learn, pandas, numpy or exact arithmetic say; `golden/README.md` has the format.

#[path = "golden/export.rs"]
mod export;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use futures::StreamExt;
use seedbed::{Answer, Options, Seedbed};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn data_type(sql: &str) -> Outcome<DataType> {
    Ok(match sql {
        "BIGINT" => DataType::Int64,
        "INTEGER" => DataType::Int32,
        "SMALLINT" => DataType::Int16,
        "DOUBLE" => DataType::Float64,
        "REAL" => DataType::Float32,
        "BOOLEAN" => DataType::Boolean,
        "VARCHAR" => DataType::Utf8,
        "DECIMAL(12,2)" => DataType::Decimal128(12, 2),
        _ => return Err(format!("type {sql}").into()),
    })
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn table(golden: &Value) -> Outcome<RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    let strict = CastOptions {
        safe: false,
        ..Default::default()
    };
    for column in items(&golden["table"]["columns"]) {
        let kind = data_type(column["type"].as_str().unwrap_or_default())?;
        let texts: StringArray = items(&column["values"])
            .iter()
            .map(|v| match v {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            })
            .collect();
        arrays.push(cast_with_options(&texts, &kind, &strict)?);
        fields.push(Field::new(
            column["name"].as_str().unwrap_or_default(),
            kind,
            true,
        ));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

async fn query(seedbed: &Seedbed, sql: &str) -> Outcome<RecordBatch> {
    let statements = seedbed.split(sql)?;
    let Some((last, before)) = statements.split_last() else {
        return Err("no statement".into());
    };
    for statement in before {
        seedbed.run(statement).await?;
    }
    let Answer::Rows { schema, mut rows } = seedbed.run(last).await? else {
        return Err("no rows".into());
    };
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        batches.push(batch?);
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// A number of JSON, or one of the floats JSON lacks.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

fn numbers(expected: &[Value], actual: &Float64Array, tolerance: f64) -> Outcome<()> {
    let largest = expected
        .iter()
        .filter_map(number)
        .filter(|v| v.is_finite())
        .fold(0.0, |largest: f64, v| largest.max(v.abs()));
    for (row, value) in expected.iter().enumerate() {
        // A missing value may have stayed the NaN it was.
        let missing = actual.is_null(row) || actual.value(row).is_nan();
        let agrees = match number(value) {
            None => missing,
            Some(_) if missing => false,
            Some(want) => {
                let got = actual.value(row);
                got == want || (got - want).abs() <= tolerance * largest
            }
        };
        if !agrees {
            return Err(format!("row {row}: {} instead of {value}", shown(actual, row)).into());
        }
    }
    Ok(())
}

fn shown(array: &dyn Array, row: usize) -> String {
    arrow::util::display::array_value_to_string(array, row).unwrap_or_default()
}

fn compare(expected: &[Value], actual: &ArrayRef, tolerance: f64) -> Outcome<()> {
    if actual.len() != expected.len() {
        return Err(format!("{} rows instead of {}", actual.len(), expected.len()).into());
    }
    if let DataType::FixedSizeList(item, _) | DataType::List(item) = actual.data_type() {
        let lists = cast(actual, &DataType::List(Arc::clone(item)))?;
        for (row, list) in lists.as_list::<i32>().iter().enumerate() {
            let list = list.ok_or_else(|| format!("row {row} is NULL"))?;
            compare(items(&expected[row]), &list, tolerance)
                .map_err(|e| format!("list of row {row}: {e}"))?;
        }
        return Ok(());
    }
    let kind = actual.data_type();
    if kind.is_numeric() {
        let actual = cast(actual, &DataType::Float64)?;
        return numbers(expected, actual.as_primitive::<Float64Type>(), tolerance);
    }
    let actual = cast(actual, &DataType::Utf8)?;
    let texts = actual.as_string::<i32>();
    for (row, value) in expected.iter().enumerate() {
        let want = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let got = texts.is_valid(row).then(|| texts.value(row).to_string());
        if got != want {
            return Err(format!("row {row}: {got:?} instead of {want:?}").into());
        }
    }
    Ok(())
}

async fn case(seedbed: &Seedbed, case: &Value) -> Outcome<()> {
    let answer = query(seedbed, case["sql"].as_str().unwrap_or_default()).await?;
    let columns = items(&case["columns"]);
    if answer.num_columns() != columns.len() {
        return Err(format!(
            "{} columns instead of {}",
            answer.num_columns(),
            columns.len()
        )
        .into());
    }
    let tolerance = case["tolerance"].as_f64().unwrap_or(0.0);
    for (at, expected) in columns.iter().enumerate() {
        compare(items(expected), answer.column(at), tolerance)
            .map_err(|e| format!("column {at}, {e}"))?;
    }
    Ok(())
}

/// Runs the cases of one file; gives how many there were and what went wrong.
async fn file(path: &Path) -> Outcome<(usize, Vec<String>)> {
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let seedbed = Seedbed::open(Options::default())?;
    seedbed.context().register_batch("t", table(&golden)?)?;
    let cases = items(&golden["cases"]);
    let mut wrong = Vec::new();
    for one in cases {
        if let Err(error) = case(&seedbed, one).await {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            wrong.push(format!("{name}: {}\n    {error}", one["sql"]));
        }
    }
    Ok((cases.len(), wrong))
}

/// Functions without golden values, and what stands in their place.
const WITHOUT: [(&str, &[&str]); 5] = [
    (
        "they read files; tests of the readers",
        &[
            "read_arrow",
            "read_avro",
            "read_idx",
            "read_images",
            "read_json",
            "read_npy",
            "read_npz",
            "read_parquet",
        ],
    ),
    (
        "they tell of what is stored; SQL tests",
        &[
            "complete",
            "gan_sample",
            "impute_model",
            "sample",
            "transform_parameters",
        ],
    ),
    (
        "what one_hot is written out as; golden values of one_hot",
        &[
            "one_hot_any",
            "one_hot_is",
            "one_hot_known",
            "one_hot_other",
            "one_hot_vector",
        ],
    ),
    (
        "they draw by rules of their own; unit and SQL tests of the rules",
        &[
            "augment_image",
            "color_jitter",
            "cutout",
            "fresh_key",
            "group_split",
            "jitter_scaled",
            "random_affine",
            "random_blur",
            "random_crop",
            "random_elastic",
            "random_erase",
            "random_flip",
            "random_noise",
            "random_resized_crop",
            "random_rotate",
            "random_shear",
            "random_shift",
            "random_zoom",
        ],
    ),
    (
        "their meaning is ours alone; unit and SQL tests",
        &[
            "batch_plan",
            "clean_name",
            "clean_names",
            "compare_histograms",
            "feature_cross",
            "model_history",
        ],
    ),
];

/// Every function has golden values, or is named above.
#[test]
fn golden_values_of_all_functions() -> Outcome<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut texts = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            texts.push_str(&std::fs::read_to_string(path)?);
        }
    }
    let functions = seedbed_udfs::registry::functions();
    let ours = functions.iter().map(|f| f.spec());
    let specs = ours.chain(seedbed::sql::relations::specs());
    let names: Vec<&str> = specs
        // BigQuery's are tested by the examples of its documentation
        .filter(|s| s.stage != seedbed_udfs::spec::Stage::BigQuery)
        .map(|s| s.name)
        .collect();
    let without: Vec<&str> = WITHOUT
        .iter()
        .flat_map(|(_, w)| w.iter().copied())
        .collect();
    let covered = |name: &str| {
        let call = format!("{name}(");
        texts.match_indices(&call).any(|(at, _)| {
            let before = texts[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    };
    let wrong: Vec<&&str> = names
        .iter()
        .filter(|name| covered(name) == without.contains(name))
        .collect();
    assert!(
        wrong.is_empty(),
        "{wrong:?}: without golden values and not named, or named and with them"
    );
    println!(
        "{} of {} functions have golden values",
        names.len() - without.len(),
        names.len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_values() -> Outcome<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for path in &paths {
        let (cases, failures) = file(path).await?;
        count += cases;
        wrong.extend(failures);
    }
    assert!(count > 0, "no golden files");
    assert!(
        wrong.is_empty(),
        "{} of {count} cases are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}
