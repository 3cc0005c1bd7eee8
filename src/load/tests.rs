//! Files as they are found in the world: written to a temporary directory, read, compared.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlanBuilder;
use tempfile::TempDir;

use super::*;

struct Fixture {
    directory: TempDir,
    context: SessionContext,
    env: LoadEnv,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        Self::with(2, 8192)
    }

    fn with(partitions: usize, batch_size: usize) -> Self {
        let mut config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_batch_size(batch_size);
        config.options_mut().optimizer.repartition_file_min_size = 0;
        let context = SessionContext::new_with_config(config);
        let env = LoadEnv {
            state: context.state(),
            rejects: Rejects::default(),
            progress: Progress::default(),
            notices: Notices::default(),
        };
        Self {
            directory: TempDir::new().unwrap(),
            context,
            env,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn csv(&self, path: &str, args: &[(&str, ScalarValue)]) -> Result<Arc<dyn TableProvider>> {
        self.open(Reader::Csv, path, args)
    }

    fn open(
        &self,
        reader: Reader,
        path: &str,
        args: &[(&str, ScalarValue)],
    ) -> Result<Arc<dyn TableProvider>> {
        let args: Vec<_> = args
            .iter()
            .map(|(n, v)| ((*n).to_string(), v.clone()))
            .collect();
        let _guard = self.runtime.enter();
        open(reader, &[path.to_string()], &args, &self.env)
    }

    /// The rows of a table, partition after partition.
    fn rows(&self, table: Arc<dyn TableProvider>) -> Result<RecordBatch> {
        self.select(table, None, None)
    }

    fn select(
        &self,
        table: Arc<dyn TableProvider>,
        projection: Option<Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<RecordBatch> {
        self.runtime.block_on(async {
            let state = self.context.state();
            let plan = table.scan(&state, projection.as_ref(), &[], limit).await?;
            let schema = plan.schema();
            let mut batches = Vec::new();
            for partition in 0..plan.properties().partitioning.partition_count() {
                let mut stream = plan.execute(partition, self.context.task_ctx())?;
                while let Some(batch) = futures::StreamExt::next(&mut stream).await {
                    batches.push(batch?);
                }
            }
            Ok(concat_batches(&schema, &batches)?)
        })
    }

    /// The table as text, cells joined by `|`.
    fn text(&self, table: Arc<dyn TableProvider>) -> Vec<String> {
        lines(&self.rows(table).unwrap())
    }

    fn load(&self, content: impl AsRef<[u8]>, args: &[(&str, ScalarValue)]) -> Vec<String> {
        let path = self.write("t.csv", content);
        self.text(self.csv(&path, args).unwrap())
    }

    fn error(&self, content: impl AsRef<[u8]>, args: &[(&str, ScalarValue)]) -> String {
        let path = self.write("t.csv", content);
        match self.csv(&path, args).and_then(|table| self.rows(table)) {
            Ok(rows) => panic!("no error but {:?}", lines(&rows)),
            Err(e) => e.to_string(),
        }
    }

    fn rejected(&self) -> Vec<(u64, Option<String>, String, String)> {
        self.env
            .rejects
            .rows()
            .into_iter()
            .map(|r| {
                (
                    r.line,
                    r.column.map(|c| c.to_string()),
                    r.value,
                    r.reason.to_string(),
                )
            })
            .collect()
    }
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut lines = vec![names.join("|")];
    let format = arrow::util::display::FormatOptions::new().with_null("∅");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &format).unwrap())
        .collect();
    for row in 0..batch.num_rows() {
        let cells: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
        lines.push(cells.join("|"));
    }
    lines
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::from(value)
}

fn yes() -> ScalarValue {
    ScalarValue::from(true)
}

fn number(value: i64) -> ScalarValue {
    ScalarValue::from(value)
}

fn list(values: &[&str]) -> ScalarValue {
    let values: Vec<ScalarValue> = values.iter().map(|v| text(v)).collect();
    ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8))
}

fn structure(values: &[(&str, &str)]) -> ScalarValue {
    let pairs: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, text(value)))
        .collect();
    datafusion::common::scalar::ScalarStructBuilder::new().with_scalar_fields(pairs)
}

trait WithFields {
    fn with_scalar_fields(self, fields: Vec<(&str, ScalarValue)>) -> ScalarValue;
}

impl WithFields for datafusion::common::scalar::ScalarStructBuilder {
    fn with_scalar_fields(mut self, fields: Vec<(&str, ScalarValue)>) -> ScalarValue {
        for (name, value) in fields {
            let field = arrow::datatypes::Field::new(name, value.data_type(), true);
            self = self.with_scalar(field, value);
        }
        self.build().unwrap()
    }
}

#[test]
fn types_and_header_are_found() {
    let f = Fixture::new();
    let path = f.write(
        "t.csv",
        "id,x,ok,day,at,zip,note\n1,1.5,true,2020-01-02,2020-01-02T03:04:05Z,0123,a\n2,NA,false,,2020-01-02 03:04,4567,\"b, \"\"c\"\"\"\n",
    );
    let table = f.csv(&path, &[]).unwrap();
    let types: Vec<DataType> = table
        .schema()
        .fields()
        .iter()
        .map(|f| f.data_type().clone())
        .collect();
    assert_eq!(
        types,
        [
            DataType::Int64,
            DataType::Float64,
            DataType::Boolean,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Utf8View,
            DataType::Utf8View
        ]
    );
    assert_eq!(
        f.text(table),
        [
            "id|x|ok|day|at|zip|note",
            "1|1.5|true|2020-01-02|2020-01-02T03:04:05|0123|a",
            "2|∅|false|∅|2020-01-02T03:04:00|4567|b, \"c\"",
        ]
    );
}

#[test]
fn a_file_without_header() {
    let f = Fixture::new();
    assert_eq!(
        f.load("39, State-gov, ?\n50, Private, x\n", &[]),
        [
            "column_1|column_2|column_3",
            "39|State-gov|∅",
            "50|Private|x"
        ]
    );
    assert_eq!(
        f.load("39, a\n50, b\n", &[("names", list(&["age", "work"]))]),
        ["age|work", "39|a", "50|b"]
    );
}

#[test]
fn text_under_text_names() {
    let f = Fixture::new();
    assert_eq!(f.load("name,city\nann,rome\nbob,oslo\n", &[]).len(), 3);
    assert_eq!(
        f.load("ann,rome\nbob,rome\nann,oslo\n", &[])[0],
        "column_1|column_2"
    );
    assert_eq!(
        f.load(
            "ann,rome\nbob,oslo\n",
            &[("header", ScalarValue::from(false))]
        )[1],
        "ann|rome"
    );
}

#[test]
fn delimiters_are_found() {
    let f = Fixture::new();
    for content in [
        "a;b\n1,5;2\n2,5;3\n3,5;4\n",
        "a\tb\n1,5\t2\n2,5\t3\n",
        "a|b\n1,5|2\n2,5|3\n",
    ] {
        let rows = f.load(content, &[]);
        assert_eq!(rows[1], "1,5|2", "{content}");
    }
    assert_eq!(
        f.load("a^b\n1^2\n", &[("delimiter", text("^"))]),
        ["a|b", "1|2"]
    );
    assert_eq!(
        f.load("a b\n1 2\n", &[("delimiter", text(" "))]),
        ["a|b", "1|2"]
    );
}

#[test]
fn byte_order_mark_crlf_and_old_mac() {
    let f = Fixture::new();
    assert_eq!(
        f.load("\u{feff}a,b\r\n1,x\r\n\r\n2,y", &[]),
        ["a|b", "1|x", "2|y"]
    );
    assert_eq!(f.load("a,b\r1,x\r2,y\r", &[]), ["a|b", "1|x", "2|y"]);
}

#[test]
fn other_encodings() {
    let f = Fixture::new();
    let error = f.error(b"a,b\n1,caf\xe9\n", &[]);
    assert!(
        error.contains("line 2, column 'b'") && error.contains("encoding => 'latin1'"),
        "{error}"
    );
    assert_eq!(
        f.load(b"a,b\n1,caf\xe9 \x80\n", &[("encoding", text("latin1"))])[1],
        "1|café €"
    );
    let utf16: Vec<u8> = "\u{feff}a,b\n1,grüß 😀\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(f.load(&utf16, &[])[1], "1|grüß 😀");
    assert_eq!(
        f.load(b"a,b\n1,caf\xe9\n2,x\n", &[("on_error", text("null"))]),
        ["a|b", "1|∅", "2|x"]
    );
    let rejected = f.rejected();
    assert_eq!(rejected[0].3, "not UTF-8");
}

#[test]
fn empty_header_only_one_row_all_null() {
    let f = Fixture::new();
    let error = f.error("", &[]);
    assert!(
        error.contains("has no record") && error.contains("names =>"),
        "{error}"
    );
    assert_eq!(f.load("", &[("names", list(&["a", "b"]))]), ["a|b"]);
    assert_eq!(f.load("a,b\n", &[]), ["a|b"]);
    assert_eq!(f.load("a,b", &[]), ["a|b"]);
    assert_eq!(f.load("1,2\n", &[]), ["column_1|column_2", "1|2"]);
    assert_eq!(f.load("a,b\n,NA\n?,\n", &[]), ["a|b", "∅|∅", "∅|∅"]);
    assert_eq!(f.load("a\n1\n2", &[]), ["a", "1", "2"]);
}

#[test]
fn ragged_rows() {
    let f = Fixture::new();
    let content = "a,b,c\n1,2,3\n4,5\n6,7,8,9\n7,8,9,,\n";
    let error = f.error(content, &[]);
    assert!(
        error.contains("line 3: 2 fields where 3 are expected: '4,5'")
            && error.contains("on_error => 'skip'"),
        "{error}"
    );
    assert_eq!(
        f.load(content, &[("on_error", text("null"))]),
        ["a|b|c", "1|2|3", "4|5|∅", "6|7|8", "7|8|9"]
    );
    assert_eq!(
        f.rejected(),
        [
            (
                3,
                Some("c".to_string()),
                "4,5".to_string(),
                "2 fields where 3 are expected".to_string()
            ),
            (
                4,
                None,
                "6,7,8,9".to_string(),
                "4 fields where 3 are expected".to_string()
            ),
        ]
    );
    assert_eq!(
        f.load(content, &[("on_error", text("skip"))]),
        ["a|b|c", "1|2|3", "7|8|9"]
    );
}

#[test]
fn a_stray_first_line() {
    let f = Fixture::new();
    let content = "|1x3 Cross validator\n25, Private\n38, Private\n28, Local-gov\n\n";
    let error = f.error(content, &[]);
    assert!(error.contains("skip_rows => 1"), "{error}");
    assert_eq!(f.load(content, &[("skip_rows", number(1))]).len(), 4);
    assert_eq!(f.load(content, &[("on_error", text("skip"))]).len(), 4);
}

#[test]
fn values_of_another_type() {
    let f = Fixture::new();
    let content = "a,b\n1,x\noops,y\n3,z\n";
    let declared = ("types", structure(&[("a", "BIGINT")]));
    let error = f.error(content, std::slice::from_ref(&declared));
    for part in [
        "line 3, column 'a': 'oops' is not BIGINT",
        "on_error => 'null'",
        "types => {'a': 'VARCHAR'}",
        "'oops'] if it stands for a missing value",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(
        f.load(content, &[declared.clone(), ("on_error", text("null"))]),
        ["a|b", "1|x", "∅|y", "3|z"]
    );
    assert_eq!(
        f.load(content, &[declared.clone(), ("on_error", text("skip"))]),
        ["a|b", "1|x", "3|z"]
    );
    // The same row, read twice by different rules: kept once.
    assert_eq!(f.rejected().len(), 1);
    // A dropped row is dropped whatever columns are asked for.
    let path = f.write("t.csv", content);
    let table = f
        .csv(&path, &[declared, ("on_error", text("skip"))])
        .unwrap();
    let rows = f.select(table, Some(vec![1]), None).unwrap();
    assert_eq!(lines(&rows), ["b", "x", "z"]);
    // Without a declaration the column is text.
    assert_eq!(f.load(content, &[])[2], "oops|y");
}

#[test]
fn quotes_that_do_not_work_out() {
    let f = Fixture::new();
    let content = "a,b\n1,\"x\ny\"\n2,\"un\"closed\n3,say \"hi\"\n4,\"never\n5,z\n";
    let error = f.error(content, &[]);
    assert!(
        error.contains("line 4: there is text after a closing quote"),
        "{error}"
    );
    assert_eq!(
        f.load(content, &[("on_error", text("skip"))]),
        ["a|b", "1|x\ny", "3|say \"hi\"", "5|z"]
    );
    let rejected = f.rejected();
    assert_eq!(
        (rejected[0].0, rejected[0].2.as_str()),
        (4, "2,\"un\"closed")
    );
    assert_eq!((rejected[1].0, rejected[1].2.as_str()), (6, "4,\"never"));
    assert_eq!(
        f.load("a,b\n1,\"x\n2,y\n", &[("quote", text(""))]),
        ["a|b", "1|\"x", "2|y"]
    );
    assert_eq!(
        f.load("a,b\n1,\"x\\\"y\"\n", &[("escape", text("\\"))])[1],
        "1|x\"y"
    );
}

#[test]
fn nulls_and_trimming() {
    let f = Fixture::new();
    let content = "n,t\n -999 , x \n5,\"\"\nna,\" q \"\n";
    assert_eq!(f.load(content, &[]), ["n|t", "-999|x", "5|∅", "∅| q "]);
    assert_eq!(
        f.load(
            content,
            &[
                ("nulls", list(&["-999", "na"])),
                ("quoted_nulls", ScalarValue::from(false))
            ]
        ),
        ["n|t", "∅|x", "5|", "∅| q "]
    );
    assert_eq!(
        f.load("a,b\n x ,y\n", &[("trim", ScalarValue::from(false))])[1],
        " x |y"
    );
}

#[test]
fn comments_and_skipped_lines() {
    let f = Fixture::new();
    assert_eq!(
        f.load(
            "junk\n# a \"comment\na,b\n1,2\n# more, commas, here\n3,4\n",
            &[("skip_rows", number(1)), ("comment", text("#"))]
        ),
        ["a|b", "1|2", "3|4"]
    );
}

#[test]
fn repeated_and_blank_names() {
    let f = Fixture::new();
    assert_eq!(
        f.load("a,a,,a_2\n1,2,3,4\n", &[("header", yes())]),
        ["a|a_3|column_3|a_2", "1|2|3|4"]
    );
    let notices = f.env.notices.take();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[1].contains("column 3 has no name"), "{notices:?}");
}

#[test]
fn ten_thousand_columns() {
    let f = Fixture::new();
    let names: Vec<String> = (0..10_000).map(|i| format!("c{i}")).collect();
    let values: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    let content = format!(
        "{}\n{}\n{}\n",
        names.join(","),
        values.join(","),
        values.join(",")
    );
    let path = f.write("wide.csv", content);
    let rows = f.rows(f.csv(&path, &[]).unwrap()).unwrap();
    assert_eq!((rows.num_columns(), rows.num_rows()), (10_000, 2));
}

#[test]
fn paths() {
    let f = Fixture::new();
    let spaced = f.write("with space/my file.csv", "a\n1\n");
    assert_eq!(f.text(f.csv(&spaced, &[]).unwrap()), ["a", "1"]);
    let error = |path: &str| f.csv(path, &[]).unwrap_err().to_string();
    let e = error(&f.path("with space/my fil.csv"));
    assert!(e.contains("did you mean 'my file.csv'?"), "{e}");
    let e = error(&f.path("withspace/my file.csv"));
    assert!(
        e.contains("there is no 'withspace'") && e.contains("did you mean 'with space'?"),
        "{e}"
    );
    let e = error(&f.path("*.tsv"));
    assert!(e.contains("no file matches"), "{e}");
    f.write("none/readme.md", "x");
    let e = error(&f.path("none"));
    assert!(e.contains("is a directory without .csv"), "{e}");
    let e = error("s3://bucket/x.csv");
    assert!(e.contains("not a local file"), "{e}");
    f.write("many/a/1.csv", "a\n1\n");
    f.write("many/b/2.csv", "a\n2\n");
    f.write("many/3.csv", "a\n3\n");
    for (pattern, expected) in [
        ("many", vec!["3", "1", "2"]),
        ("many/**/*.csv", vec!["3", "1", "2"]),
        ("many/*/*.csv", vec!["1", "2"]),
        ("many/[ab]/[!2].csv", vec!["1"]),
        ("many/{a,b}/?.csv", vec!["1", "2"]),
    ] {
        let rows = f.text(f.csv(&f.path(pattern), &[]).unwrap());
        assert_eq!(rows[1..], expected, "{pattern}");
    }
    // A name with wildcards in it is a name first.
    let literal = f.write("data[1].csv", "a\n7\n");
    assert_eq!(f.text(f.csv(&literal, &[]).unwrap()), ["a", "7"]);
}

#[test]
fn files_with_different_columns() {
    let f = Fixture::new();
    f.write("u/1.csv", "a,b\n1,x\n");
    f.write("u/2.csv", "b,c\ny,2.5\n");
    f.write("u/3.csv", "");
    let rows = f.text(f.csv(&f.path("u/*.csv"), &[("filename", yes())]).unwrap());
    assert!(rows[0].starts_with("a|b|c|filename"));
    assert!(
        rows[1].starts_with("1|x|∅|") && rows[1].ends_with("1.csv"),
        "{rows:?}"
    );
    assert!(rows[2].starts_with("∅|y|2.5|"), "{rows:?}");
    assert_eq!(f.env.notices.take().len(), 3);
}

#[test]
fn hive_partitions() {
    let f = Fixture::new();
    f.write("h/year=2013/kind=a%20b/x.csv", "v\n1\n");
    f.write(
        "h/year=2014/kind=__HIVE_DEFAULT_PARTITION__/x.csv",
        "v\n2\n",
    );
    let table = f.csv(&f.path("h"), &[]).unwrap();
    assert_eq!(f.text(table), ["v|year|kind", "1|2013|a b", "2|2014|∅"]);
    let table = f
        .csv(&f.path("h"), &[("hive", ScalarValue::from(false))])
        .unwrap();
    assert_eq!(f.text(table), ["v", "1", "2"]);
}

#[test]
fn compressed_files_are_known_by_their_content() {
    use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
    let f = Fixture::new();
    let mut content = String::from("a,b\n");
    for i in 0..50_000 {
        content.push_str(&format!("{i},text {i}\n"));
    }
    let _guard = f.runtime.enter();
    for kind in [
        FileCompressionType::GZIP,
        FileCompressionType::BZIP2,
        FileCompressionType::XZ,
        FileCompressionType::ZSTD,
    ] {
        let bytes = bytes_of(content.clone());
        let stream = futures::stream::once(async move { Ok(bytes) });
        let compressed: Vec<u8> = f.runtime.block_on(async {
            let mut out = Vec::new();
            let mut chunks = kind.convert_to_compress_stream(Box::pin(stream)).unwrap();
            while let Some(chunk) = futures::StreamExt::next(&mut chunks).await {
                out.extend_from_slice(&chunk.unwrap());
            }
            out
        });
        let path = f.write("compressed.data", compressed);
        let rows = f.rows(f.csv(&path, &[("row_id", yes())]).unwrap()).unwrap();
        assert_eq!(rows.num_rows(), 50_000, "{kind:?}");
        assert_eq!(lines(&rows)[50_000], "49999|text 49999|49999");
    }
}

fn bytes_of<T: From<String>>(text: String) -> T {
    T::from(text)
}

#[test]
fn the_same_rows_for_any_partitions_and_batches() {
    let mut content = String::from("id,note,x\n");
    for i in 0..3000 {
        match i % 7 {
            0 => content.push_str(&format!("{i},\"line\nbreak, {i}\",{i}.5\n")),
            1 => content.push_str(&format!("{i},\"a \"\"quote\"\"\",\n")),
            2 => content.push_str(&format!("{i},5\" pipe,1\n\n")),
            3 => content.push_str(&format!("{i},\"broken\" quote,1\n")),
            4 => content.push_str(&format!("{i},short\n")),
            5 => content.push_str(&format!("{i},\"\n\n\n\",bad\n")),
            _ => content.push_str(&format!("{i},plain,-{i}\r\n")),
        }
    }
    for mode in ["null", "skip"] {
        let mut expected: Option<(Vec<String>, Vec<_>, u64)> = None;
        for partitions in [1, 2, 8, 61] {
            for batch_size in [1, 7, 8192] {
                let f = Fixture::with(partitions, batch_size);
                let path = f.write("p/1.csv", &content);
                f.write("p/2.csv", "id,note,x\n1,a,2\n");
                let args = [
                    ("on_error", text(mode)),
                    ("row_id", yes()),
                    ("types", structure(&[("x", "DOUBLE")])),
                ];
                let table = f.csv(&f.path("p"), &args).unwrap();
                let rows = f.text(Arc::clone(&table));
                // Read twice, rejected once.
                f.rows(table).unwrap();
                let got = (rows, f.rejected(), f.env.rejects.count());
                match &expected {
                    None => {
                        assert!(got.1.len() > 500);
                        assert!(
                            got.0.last().unwrap().ends_with("|3000"),
                            "{:?}",
                            got.0.last()
                        );
                        expected = Some(got);
                    }
                    Some(expected) => {
                        assert_eq!(expected, &got, "{partitions} {batch_size} {mode} {path}");
                    }
                }
            }
        }
    }
}

#[test]
fn limit_and_projection() {
    let f = Fixture::with(4, 100);
    let mut content = String::from("a,b,c\n");
    for i in 0..10_000 {
        content.push_str(&format!("{i},{},x\n", i * 2));
    }
    let path = f.write("t.csv", content);
    let table = f.csv(&path, &[]).unwrap();
    let rows = f
        .select(Arc::clone(&table), Some(vec![2, 0]), Some(3))
        .unwrap();
    assert!(rows.num_rows() >= 3 && rows.num_rows() <= 12);
    assert_eq!(lines(&rows)[..4], ["c|a", "x|0", "x|1", "x|2"]);
    let rows = f.select(Arc::clone(&table), Some(vec![]), None).unwrap();
    assert_eq!(rows.num_rows(), 10_000);
    assert_eq!(f.env.progress.snapshot().task, "");
}

#[test]
fn rejects_are_bounded_and_counted() {
    let f = Fixture::new();
    let mut content = String::from("a\n");
    for i in 0..30_000 {
        content.push_str(&format!("x{i}\n"));
    }
    let args = [
        ("types", structure(&[("a", "BIGINT")])),
        ("on_error", text("null")),
        ("header", yes()),
    ];
    let path = f.write("t.csv", content);
    let table = f.csv(&path, &args).unwrap();
    f.rows(Arc::clone(&table)).unwrap();
    f.rows(table).unwrap();
    assert_eq!(f.env.rejects.count(), 30_000);
    let rejects = f.rows(f.env.rejects.provider()).unwrap();
    assert_eq!(rejects.num_rows(), 10_001);
    let last = lines(&rejects).pop().unwrap();
    assert!(last.contains("20000 more were rejected"), "{last}");
    f.env.rejects.clear();
    assert_eq!(f.env.rejects.count(), 0);
}

#[test]
fn declared_types() {
    let f = Fixture::new();
    let rows = f.load(
        "a,b,c,d,e\n1,2.5,12.34,10:30:00,yes\n",
        &[(
            "types",
            list(&["SMALLINT", "REAL", "DECIMAL(10, 2)", "TIME", "BOOLEAN"]),
        )],
    );
    assert_eq!(rows[1], "1|2.5|12.34|10:30:00|true");
    let e = f.error(
        "a,b\n70000,1\n",
        &[("types", structure(&[("a", "SMALLINT")]))],
    );
    assert!(e.contains("'70000' is not SMALLINT"), "{e}");
    let e = f.error(
        "age,b\n1,1\n",
        &[("types", structure(&[("agee", "SMALLINT")]))],
    );
    assert!(e.contains("did you mean 'age'?"), "{e}");
    let e = f.error("a,b\n1,1\n", &[("types", structure(&[("a", "BIGIN")]))]);
    assert!(e.contains("did you mean 'BIGINT'?"), "{e}");
}

#[test]
fn arguments_are_checked() {
    let f = Fixture::new();
    for (name, value, part) in [
        ("delimeter", text(","), "did you mean 'delimiter'?"),
        ("sep", text(","), "did you mean 'delimiter'?"),
        ("delimiter", text(",,"), "one ASCII character"),
        ("on_error", text("nul"), "did you mean 'null'?"),
        ("header", number(1), "header => true"),
        ("skip_rows", number(-1), "a whole number from 0 up"),
        ("names", list(&["a"]), "names has 1 names"),
    ] {
        let error = f.error("a,b\n1,2\n", &[(name, value)]);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn late_types_are_seen() {
    let f = Fixture::new();
    let mut content = String::from("a,b\n");
    for i in 0..700_000 {
        content.push_str(&format!("{i},{}\n", i % 10));
    }
    content.push_str("1,0.5\n");
    let path = f.write("t.csv", content);
    let table = f.csv(&path, &[]).unwrap();
    assert_eq!(table.schema().field(1).data_type(), &DataType::Float64);
}

#[test]
fn json_in_three_layouts() {
    let f = Fixture::new();
    let lines_text =
        "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"c\":[1,2]}\n\n{\"b\":null,\"d\":{\"e\":true}}\n";
    let array = "[ {\"a\":1,\"b\":\"x\"},\n {\"a\":2.5,\n \"c\":[1,2]} , {\"b\":null,\"d\":{\"e\":true}} ]\n";
    let pretty =
        "{\n \"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\n\"c\":[1,2]} {\"b\":null,\"d\":{\"e\":true}}";
    for content in [lines_text, array, pretty] {
        let path = f.write("t.json", content);
        let rows = f.text(f.open(Reader::Json, &path, &[("row_id", yes())]).unwrap());
        assert_eq!(
            rows,
            [
                "a|b|c|d|row_id",
                "1.0|x|∅|∅|0",
                "2.5|∅|[1, 2]|∅|1",
                "∅|∅|∅|{e: true}|2"
            ]
        );
    }
}

#[test]
fn bad_json() {
    let f = Fixture::new();
    let content = "{\"a\":1}\n{\"a\":\n{\"a\":\"x\"}\n{\"a\":4}\n";
    let path = f.write("t.jsonl", content);
    let declared = ("types", structure(&[("a", "BIGINT")]));
    let e = f.open(Reader::Json, &path, &[]).unwrap_err().to_string();
    assert!(
        e.contains("line 2") && e.contains("on_error => 'skip'"),
        "{e}"
    );
    let table = f
        .open(
            Reader::Json,
            &path,
            &[declared.clone(), ("on_error", text("null"))],
        )
        .unwrap();
    assert_eq!(f.text(table), ["a", "1", "∅", "4"]);
    let rejected = f.rejected();
    assert_eq!((rejected[0].0, rejected[0].2.as_str()), (2, "{\"a\":"));
    assert_eq!(
        rejected[1],
        (3, Some("a".into()), "x".into(), "not BIGINT".into())
    );
    let table = f
        .open(Reader::Json, &path, &[declared, ("on_error", text("skip"))])
        .unwrap();
    assert_eq!(f.text(table), ["a", "1", "4"]);
    let empty = f.write("e.json", "");
    let e = f.open(Reader::Json, &empty, &[]).unwrap_err().to_string();
    assert!(e.contains("has no objects"), "{e}");
}

#[test]
fn parquet_and_arrow() {
    let f = Fixture::new();
    let csv = f.write("t.csv", "a,b\n1,x\n2,y\n");
    let rows = f.rows(f.csv(&csv, &[]).unwrap()).unwrap();
    for year in [2013, 2014] {
        let path = f.path(&format!("pq/year={year}/t.parquet"));
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }
    let mut expected = vec!["a|b|year", "1|x|2013", "2|y|2013", "1|x|2014", "2|y|2014"];
    let got = f.text(f.open(Reader::Parquet, &f.path("pq"), &[]).unwrap());
    assert_eq!(got, expected);
    let by_path = {
        let _guard = f.runtime.enter();
        open_path(&f.path("pq/**/*.parquet"), &f.env).unwrap()
    };
    assert_eq!(f.text(by_path), expected);
    // The count comes from the files' own statistics.
    let table = f
        .open(Reader::Parquet, &f.path("pq/*/*.parquet"), &[])
        .unwrap();
    let plan = LogicalPlanBuilder::scan("t", provider_as_source(table), None)
        .unwrap()
        .build()
        .unwrap();
    let plan = f
        .runtime
        .block_on(seedbed_boundary::physical_plan(f.context.state(), plan))
        .unwrap();
    let batches = f
        .runtime
        .block_on(seedbed_boundary::collect(plan, f.context.task_ctx()))
        .unwrap();
    assert!(
        pretty_format_batches(&batches)
            .unwrap()
            .to_string()
            .contains("2014")
    );

    let path = f.path("t.arrow");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(&mut file, &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    file.flush().unwrap();
    expected.truncate(1);
    let got = f.text(f.open(Reader::Arrow, &path, &[]).unwrap());
    assert_eq!(got, ["a|b", "1|x", "2|y"]);
    let e = f
        .csv(&f.path("pq/year=2013/t.parquet"), &[])
        .unwrap_err()
        .to_string();
    assert!(e.contains("write read_parquet("), "{e}");
    let e = f.open(Reader::Parquet, &csv, &[]).unwrap_err().to_string();
    assert!(e.contains("perhaps write read_csv("), "{e}");
    let _: PathBuf = PathBuf::from(path);
}

mod damaged;
mod pictures;
