//! `batch_plan((q), memory, workers)`: how many rows fit, and how many batches and rounds that makes.

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use seedbed_udfs::options::Options;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};

const SPEC: Spec = Spec {
    name: "batch_plan",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "One row that says how large batches can be: rows, bytes_per_row, batch_size, batches, rounds.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::option(
            "memory",
            "'1GB'",
            "the memory for all workers together: a number of bytes, or a text as '4GB' (10^9) or '512MiB' (2^20)",
        ),
        Param::option(
            "workers",
            "1",
            "how many batches are held at once, at least 1",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT * FROM batch_plan((SELECT value AS x, value * 0.5 AS y FROM generate_series(1, 1000)), memory => '4KB', workers => 2)",
            result: "1000,16.0,125,8,4",
        },
        Example {
            sql: "SELECT bytes_per_row, batch_size FROM batch_plan((SELECT CAST(value AS INT) AS x, value > 5 AS y FROM generate_series(1, 10)), memory => 33)",
            result: "4.125,8",
        },
    ],
    source: "batch_size = floor(memory / (workers * bytes_per_row)), batches = ceil(rows / batch_size), rounds = \
             ceil(batches / workers). A row's bytes are those of its values in Arrow's layout: the width of the type; \
             for text and lists the mean, with what points to them; booleans take a bit",
    also: &[],
};

#[derive(Debug)]
pub struct BatchPlan;

impl Relation for BatchPlan {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let memory = memory(options)?;
        let workers = options.integer("workers", 1)?;
        let table = call.table(0);
        let mut fixed = 0.0;
        let mut varying = vec![];
        for (column, field) in call.columns(0).iter().zip(call.schema(0).fields()) {
            let bytes = bytes(column, field)?;
            fixed += bytes.fixed;
            varying.extend(bytes.varying.map(|v| format!("coalesce({v}, 0)")));
        }
        let varying = if varying.is_empty() {
            "0".to_string()
        } else {
            // of no rows there is no mean: the fixed part remains
            let sum = varying.join(" + ");
            format!("coalesce(avg({sum}), 0)")
        };
        // a batch of no rows, where not even one fits, makes no number of batches: NULL
        Ok(Expansion::Sql(format!(
            "SELECT \"rows\", bytes_per_row, batch_size, batches, (batches + {workers} - 1) / {workers} AS rounds
             FROM (
                 SELECT *, (\"rows\" + batch_size - 1) / nullif(batch_size, 0) AS batches
                 FROM (
                     SELECT *, CAST(floor({memory} / ({workers} * nullif(bytes_per_row, 0))) AS BIGINT) AS batch_size
                     FROM (
                         SELECT count(*) AS \"rows\", CAST({fixed:?} AS DOUBLE) + CAST({varying} AS DOUBLE) AS bytes_per_row
                         FROM {table}
                     )
                 )
             )"
        )))
    }
}

/// What a value takes: some bytes always, and some that differ from row to row, as SQL.
#[derive(Debug, Default, PartialEq)]
struct Bytes {
    fixed: f64,
    varying: Option<String>,
}

fn bytes(value: &str, field: &FieldRef) -> Result<Bytes> {
    let fixed = |fixed| Bytes {
        fixed,
        varying: None,
    };
    let with = |fixed, varying: String| Bytes {
        fixed,
        varying: Some(varying),
    };
    // a view of at most 12 bytes holds them itself
    let viewed = |length: &str| format!("CASE WHEN {length} > 12 THEN {length} ELSE 0 END");
    let text = format!("octet_length({value})");
    let binary = format!("octet_length(encode({value}, 'hex')) / 2");
    Ok(match field.data_type() {
        DataType::Null => fixed(0.0),
        DataType::Boolean => fixed(0.125),
        DataType::Utf8 => with(4.0, text),
        DataType::LargeUtf8 => with(8.0, text),
        DataType::Utf8View => with(16.0, viewed(&text)),
        DataType::Binary => with(4.0, binary),
        DataType::LargeBinary => with(8.0, binary),
        DataType::BinaryView => with(16.0, viewed(&binary)),
        DataType::FixedSizeBinary(width) => fixed(f64::from(*width)),
        DataType::FixedSizeList(item, length) => {
            let item_bytes = items(value, item)?;
            Bytes {
                fixed: item_bytes.fixed * f64::from(*length),
                ..item_bytes
            }
        }
        DataType::List(item) => list(4.0, value, item)?,
        DataType::LargeList(item) => list(8.0, value, item)?,
        DataType::Struct(fields) => {
            let mut total = 0.0;
            let mut varying = vec![];
            for field in fields {
                let name = field.name().replace('\'', "''");
                let part = bytes(&format!("get_field({value}, '{name}')"), field)?;
                total += part.fixed;
                varying.extend(part.varying.map(|v| format!("coalesce({v}, 0)")));
            }
            Bytes {
                fixed: total,
                varying: (!varying.is_empty()).then(|| varying.join(" + ")),
            }
        }
        // the values are few, and shared by the rows
        DataType::Dictionary(key, _) => fixed(width(key)),
        t if t.primitive_width().is_some() => fixed(width(t)),
        t => {
            return plan_err!(
                "{0}: the bytes of a {t} cannot be told. Leave the column out: \
                 {0}((SELECT * EXCEPT (...) FROM ...))",
                SPEC.name
            );
        }
    })
}

fn width(t: &DataType) -> f64 {
    t.primitive_width().map_or(0.0, |bytes| bytes as f64)
}

/// A list: what points to its items, and the items.
fn list(offset: f64, value: &str, item: &FieldRef) -> Result<Bytes> {
    let item = items(value, item)?;
    let fixed = format!("array_length({value}) * {:?}", item.fixed);
    Ok(Bytes {
        fixed: offset,
        varying: Some(match item.varying {
            Some(varying) => format!("coalesce({fixed}, 0) + {varying}"),
            None => fixed,
        }),
    })
}

/// What the items of a list take: some bytes each, and some all together.
fn items(value: &str, item: &FieldRef) -> Result<Bytes> {
    match item.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            // the items as one text are as long as they are together
            bytes(&format!("array_to_string({value}, '')"), item)
        }
        t => match bytes(value, item)? {
            Bytes {
                varying: Some(_), ..
            } => plan_err!(
                "{}: the bytes of a list of {t} cannot be told. Leave the column out: \
                 {0}((SELECT * EXCEPT (...) FROM ...))",
                SPEC.name
            ),
            fixed => Ok(fixed),
        },
    }
}

/// The bytes that `memory` says.
fn memory(options: &Options) -> Result<i64> {
    let Ok(text) = options.text("memory") else {
        return options.integer("memory", 1);
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => 0.0,
    };
    match number.replace('_', "").parse::<f64>() {
        // beyond the range it is the largest number there is
        Ok(number) if number * factor >= 1.0 => Ok((number * factor) as i64),
        _ => options.wrong(
            "memory",
            "a number of bytes, or one with a unit, as in '512MB' or '4GiB'",
        ),
    }
}
