//! Behaviour as SQL: the files of `tests/sql`, and the examples that functions carry in their declarations.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result};
use futures::TryStreamExt;
use seedbed::{Answer, Options, Seedbed};
use seedbed_udfs::spec::Example;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Record, Runner, parse_file};

const NULL: &str = "NULL";

/// What a result must not depend on.
#[derive(Debug, Clone, Copy)]
struct Setup {
    threads: usize,
    batch_size: usize,
}

impl Setup {
    fn open(self) -> Result<Seedbed> {
        Seedbed::open(Options {
            threads: Some(self.threads),
            batch_size: Some(self.batch_size),
            ..Default::default()
        })
    }
}

/// The values of a row as text, one after another: floats with at least one digit after the point, timestamps
/// as ISO 8601, `null` for NULL.
fn texts(batch: &RecordBatch, null: &'static str) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::new()
        .with_display_error(false)
        .with_null(null);
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for row in 0..batch.num_rows() {
        let values = columns.iter().map(|c| c.value(row).try_to_string());
        rows.push(values.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(rows)
}

/// A session as sqllogictest drives it.
struct Session(Seedbed);

#[async_trait]
impl AsyncDB for Session {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>> {
        let mut output = DBOutput::StatementComplete(0);
        for statement in self.0.split(sql)? {
            output = match self.0.run(&statement).await? {
                Answer::Done { .. } => DBOutput::StatementComplete(0),
                Answer::Rows { schema, rows } => {
                    let batches: Vec<RecordBatch> = rows.try_collect().await?;
                    let mut rows = Vec::new();
                    for batch in &batches {
                        rows.extend(texts(batch, NULL)?);
                    }
                    for value in rows.iter_mut().flatten() {
                        if value.is_empty() {
                            value.push_str("(empty)");
                        }
                    }
                    let types = vec![DefaultColumnType::Any; schema.fields().len()];
                    DBOutput::Rows { types, rows }
                }
            };
        }
        Ok(output)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "seedbed"
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "slt"))
        .collect();
    files.sort();
    files
}

/// Runs all records of a file; what failed, as text.
async fn failures(file: &Path, setup: Setup) -> String {
    let mut failed = String::new();
    let records: Vec<Record<DefaultColumnType>> = parse_file(file).unwrap();
    let session = setup.open().unwrap();
    let mut runner = Runner::new(|| {
        let session = session.clone();
        async { Ok::<_, DataFusionError>(Session(session)) }
    });
    for record in records {
        if let Record::Halt { .. } = record {
            break;
        }
        if let Err(error) = runner.run_async(record).await {
            let _ = writeln!(failed, "{setup:?}\n{}", error.display(false));
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_sql() {
    let setups = [(1, 8192), (2, 7), (8, 64)];
    let mut failed = String::new();
    for file in files() {
        for (threads, batch_size) in setups {
            let setup = Setup {
                threads,
                batch_size,
            };
            failed += &failures(&file, setup).await;
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

/// A field of CSV, quoted where it must be.
fn field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_string()
    }
}

/// The rows of a text's last statement as CSV.
async fn lines(setup: Setup, sql: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for batch in setup.open()?.sql(sql).await? {
        for row in texts(&batch, "")? {
            let fields: Vec<String> = row.iter().map(|v| field(v)).collect();
            lines.push(fields.join(","));
        }
    }
    Ok(lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_of_functions() {
    let functions = seedbed_udfs::registry::functions();
    let relations = seedbed::sql::relations::all();
    let specs = functions
        .iter()
        .map(|f| f.spec())
        .chain(relations.iter().map(|r| r.spec()))
        .chain(seedbed::sql::selectors::SPECS);
    let examples: Vec<(&str, &Example)> = specs
        .flat_map(|spec| spec.examples.iter().map(|e| (spec.name, e)))
        .collect();
    let mut failed = String::new();
    for (name, example) in examples {
        let ordered = example.sql.to_uppercase().contains("ORDER BY");
        let mut expected: Vec<String> = example.result.split('\n').map(str::to_string).collect();
        if !ordered {
            expected.sort();
        }
        for threads in [1, 2, 8] {
            for batch_size in [1, 7, 8192] {
                let setup = Setup {
                    threads,
                    batch_size,
                };
                let found = match lines(setup, example.sql).await {
                    Ok(mut lines) => {
                        if !ordered {
                            lines.sort();
                        }
                        lines
                    }
                    Err(error) => vec![format!("error: {error}")],
                };
                if found != expected {
                    let _ = writeln!(
                        failed,
                        "{name}, {setup:?}: {}\nexpected {expected:#?}\nfound {found:#?}\n",
                        example.sql
                    );
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_the_readme() {
    let readme = include_str!("../README.md");
    let session = Seedbed::open(Options::default()).unwrap();
    let blocks = readme.split("```sql\n").skip(1);
    for block in blocks.filter_map(|b| b.split("```").next()) {
        if let Err(error) = session.sql(block).await {
            panic!("{error}\n{block}");
        }
    }
}
