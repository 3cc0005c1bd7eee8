//! What is put into a store is there when it is opened again, whole.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, IntervalUnit, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::DFParser;
use futures::{TryStreamExt, stream};
use seedbed_udfs::synthesize::{self, Data, Model, Unwatched};
use tempfile::TempDir;

use super::Store;
use super::folder::{decode, encode};
use crate::Options;
use crate::plan::ModelSink;
use crate::session::{Env, context};

fn open(dir: &TempDir) -> Store {
    Store::open(Some(dir.path().join("db"))).unwrap()
}

fn both() -> (TempDir, [Store; 2]) {
    let dir = TempDir::new().unwrap();
    let stores = [Store::default(), open(&dir)];
    (dir, stores)
}

fn model() -> Arc<dyn Model> {
    let batch = batch(0..300);
    let kind = synthesize::kind("gan").unwrap();
    let given = [("epochs".to_string(), "1".to_string())];
    let options = synthesize::parse_options(kind.as_ref(), &given).unwrap();
    let data = Data::new(&batch.schema(), &[batch]).unwrap();
    kind.train(&data, &options, &Unwatched).unwrap()
}

fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
    let words = rows
        .clone()
        .map(|i| format!("a word long enough to be a view {i}"));
    RecordBatch::try_from_iter([
        (
            "number",
            Arc::new(Int64Array::from_iter_values(rows)) as ArrayRef,
        ),
        (
            "word",
            Arc::new(StringViewArray::from_iter_values(words)) as ArrayRef,
        ),
    ])
    .unwrap()
}

fn streams(
    partitions: Vec<Vec<Result<RecordBatch>>>,
) -> (Vec<SendableRecordBatchStream>, SchemaRef) {
    let schema = batch(0..0).schema();
    let streams = partitions
        .into_iter()
        .map(|batches| {
            let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter(batches));
            Box::pin(stream) as SendableRecordBatchStream
        })
        .collect();
    (streams, schema)
}

fn session(memory_limit: Option<usize>) -> SessionContext {
    let options = Options {
        threads: Some(4),
        memory_limit,
        ..Options::default()
    };
    context(&options, &Env::default()).unwrap()
}

async fn create(
    store: &Store,
    ctx: &SessionContext,
    name: &str,
    partitions: Vec<Vec<Result<RecordBatch>>>,
) -> Result<(Arc<dyn TableProvider>, u64)> {
    let (streams, schema) = streams(partitions);
    store
        .create_table(name.to_string(), streams, schema, ctx.task_ctx())
        .await
}

async fn try_run(ctx: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let statement = DFParser::parse_sql(sql)?.pop_front().unwrap();
    let plan = seedbed_boundary::statement_to_plan(ctx.state(), statement).await?;
    let rows = seedbed_boundary::execute(ctx.clone(), plan).await?;
    let schema = rows.schema();
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    Ok(concat_batches(&schema, &batches)?)
}

async fn run(ctx: &SessionContext, sql: &str) -> RecordBatch {
    try_run(ctx, sql).await.unwrap()
}

/// A column of numbers, partition after partition: read side by side they would come as they are ready.
async fn numbers(ctx: &SessionContext, sql: &str) -> Vec<i64> {
    let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
    let plan = seedbed_boundary::statement_to_plan(ctx.state(), statement).await;
    let plan = seedbed_boundary::physical_plan(ctx.state(), plan.unwrap()).await;
    let plan = plan.unwrap();
    let mut numbers = Vec::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let mut rows = plan.execute(partition, ctx.task_ctx()).unwrap();
        while let Some(batch) = rows.try_next().await.unwrap() {
            numbers.extend(batch.column(0).as_primitive::<Int64Type>().values());
        }
    }
    numbers
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn names_become_file_names_and_back() {
    for name in [
        "plain_1",
        "With Space",
        "größe",
        "..",
        "a/b",
        "a.tmp",
        "%41",
        "表",
    ] {
        let encoded = encode(name);
        assert!(
            encoded
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'%'),
            "{encoded}"
        );
        assert_eq!(decode(&encoded).as_deref(), Some(name));
    }
    for other in ["A", "a.b", "%4", "%zz", "%61", "", "%FF"] {
        assert_eq!(decode(other), None, "{other}");
    }
}

#[test]
fn transforms_and_views_persist() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    assert!(store.persists());
    store.put_transform("Größe", vec![1, 2, 3]).unwrap();
    store.put_transform("a", vec![1]).unwrap();
    store.put_transform("a", vec![2]).unwrap();
    store.put_view("v", "CREATE VIEW v AS SELECT 1").unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.transform_names(), ["Größe", "a"]);
    assert_eq!(*store.transform("Größe").unwrap(), [1, 2, 3]);
    assert_eq!(*store.transform("a").unwrap(), [2]);
    let views = [("v".to_string(), "CREATE VIEW v AS SELECT 1".to_string())];
    assert_eq!(store.views().unwrap(), views);
    store.drop_view("v").unwrap();
    store.drop_view("v").unwrap();
    store.drop_transform("a", false).unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.transform_names(), ["Größe"]);
    assert!(store.views().unwrap().is_empty());
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let (_dir, stores) = both();
    for store in stores {
        let error = store.transform("prep").unwrap_err().to_string();
        assert!(error.contains("CREATE TRANSFORM makes one"), "{error}");
        store.put_transform("prepare", vec![]).unwrap();
        let error = store.transform("prepar").unwrap_err().to_string();
        assert!(error.contains("there is no transform prepar"), "{error}");
        assert!(error.contains("did you mean prepare?"), "{error}");
        assert!(error.contains("SHOW TRANSFORMS"), "{error}");
        let error = store.drop_transform("zzz", false).unwrap_err().to_string();
        assert!(error.contains("SHOW TRANSFORMS"), "{error}");
        store.drop_transform("zzz", true).unwrap();
        let error = store.model("m").unwrap_err().to_string();
        assert!(error.contains("there is no model m"), "{error}");
        assert!(store.drop_model("m", false).is_err());
        store.drop_model("m", true).unwrap();
    }
}

#[test]
fn models_draw_the_same_rows_when_opened_again() {
    let model = model();
    let rows = model.sample(0..10, 7, None).unwrap();
    let (dir, stores) = both();
    for store in stores {
        assert!(!store.exists("people"));
        store.register("people", Arc::clone(&model)).unwrap();
        assert!(store.exists("people"));
        assert_eq!(
            store
                .model("people")
                .unwrap()
                .sample(0..10, 7, None)
                .unwrap(),
            rows
        );
        let error = store.model("poeple").unwrap_err().to_string();
        assert!(error.contains("did you mean people?"), "{error}");
    }
    let store = open(&dir);
    assert_eq!(store.model_names(), ["people"]);
    let loaded = store.model("people").unwrap();
    assert_eq!(loaded.sample(0..10, 7, None).unwrap(), rows);
    assert!(Arc::ptr_eq(&loaded, &store.model("people").unwrap()));
    // another session on the same directory drops it
    open(&dir).drop_model("people", false).unwrap();
    assert!(store.model("people").is_err());
    fs::write(dir.path().join("db/models/broken.safetensors"), b"no").unwrap();
    let error = store.model("broken").unwrap_err().to_string();
    assert!(
        error.contains("broken") && error.contains("CREATE OR REPLACE MODEL"),
        "{error}"
    );
}

#[tokio::test]
async fn a_table_holds_its_rows_in_order_and_takes_more() {
    let (_dir, stores) = both();
    for store in stores {
        let ctx = session(None);
        let partitions = vec![
            vec![Ok(batch(0..3)), Ok(batch(3..3)), Ok(batch(3..5))],
            vec![],
            vec![Ok(batch(5..9))],
        ];
        let (table, rows) = create(&store, &ctx, "t", partitions).await.unwrap();
        assert_eq!(rows, 9);
        ctx.register_table("t", table).unwrap();
        assert_eq!(
            numbers(&ctx, "SELECT number FROM t").await,
            Vec::from_iter(0..9)
        );
        let inserted = run(
            &ctx,
            "INSERT INTO t SELECT number + 9, word FROM t WHERE number < 2",
        )
        .await;
        assert_eq!(inserted.num_rows(), 1);
        assert_eq!(
            numbers(&ctx, "SELECT number FROM t").await,
            Vec::from_iter(0..11)
        );
        assert_eq!(numbers(&ctx, "SELECT count(*) FROM t").await, [11]);
        let words = run(&ctx, "SELECT word FROM t WHERE number = 4").await;
        let word = words.column(0).as_string_view().value(0).to_string();
        assert_eq!(word, "a word long enough to be a view 4");
        let refused = try_run(&ctx, "INSERT OVERWRITE t SELECT * FROM t").await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("CREATE OR REPLACE TABLE t"), "{error}");
    }
}

#[tokio::test]
async fn tables_persist_and_are_replaced_whole() {
    let dir = TempDir::new().unwrap();
    let ctx = session(None);
    for name in ["T ä%[*]", "empty"] {
        let store = open(&dir);
        let rows = if name == "empty" { 0..0 } else { 0..5 };
        let (table, _) = create(&store, &ctx, name, vec![vec![Ok(batch(rows))]])
            .await
            .unwrap();
        ctx.register_table(format!("\"{name}\""), table).unwrap();
        let (table, rows) = create(
            &store,
            &ctx,
            "r",
            vec![vec![Ok(batch(0..7))], vec![Ok(batch(7..9))]],
        )
        .await
        .unwrap();
        assert_eq!(rows, 9);
        ctx.deregister_table("r").unwrap();
        ctx.register_table("r", table).unwrap();
        assert_eq!(numbers(&ctx, "SELECT count(*) FROM r").await, [9]);
        // in place of the other, at once
        let (table, _) = create(&store, &ctx, "r", vec![vec![Ok(batch(5..6))]])
            .await
            .unwrap();
        ctx.deregister_table("r").unwrap();
        ctx.register_table("r", table).unwrap();
        assert_eq!(numbers(&ctx, "SELECT number FROM r").await, [5]);
    }
    let ctx = session(None);
    let store = open(&dir);
    let tables = store.tables().unwrap();
    let found: Vec<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, ["T ä%[*]", "empty", "r"]);
    for (name, table) in &tables {
        assert_eq!(table.schema(), batch(0..0).schema());
        ctx.register_table(format!("\"{name}\""), Arc::clone(table))
            .unwrap();
    }
    assert_eq!(
        numbers(&ctx, "SELECT number FROM \"T ä%[*]\"").await,
        [0, 1, 2, 3, 4]
    );
    assert_eq!(numbers(&ctx, "SELECT count(*) FROM empty").await, [0]);
    run(&ctx, "INSERT INTO empty SELECT * FROM r").await;
    assert_eq!(numbers(&ctx, "SELECT number FROM empty").await, [5]);
    for name in found {
        store.drop_table(name).unwrap();
        store.drop_table(name).unwrap();
    }
    assert!(names(&dir.path().join("db/tables")).is_empty());
}

#[tokio::test]
async fn a_failed_table_leaves_the_old_one() {
    let dir = TempDir::new().unwrap();
    let ctx = session(None);
    let store = open(&dir);
    create(&store, &ctx, "t", vec![vec![Ok(batch(0..3))]])
        .await
        .unwrap();
    let partitions = vec![
        vec![Ok(batch(0..9))],
        vec![Ok(batch(9..12)), exec_err!("no more")],
    ];
    let error = create(&store, &ctx, "t", partitions).await.unwrap_err();
    assert!(error.to_string().contains("no more"), "{error}");
    let (_, table) = store.tables().unwrap().remove(0);
    ctx.register_table("t", table).unwrap();
    assert_eq!(numbers(&ctx, "SELECT number FROM t").await, [0, 1, 2]);
    let failed = try_run(
        &ctx,
        "INSERT INTO t SELECT 9, CAST(1 / (number - 2) AS VARCHAR) FROM t",
    )
    .await;
    assert!(failed.is_err());
    assert_eq!(
        names(&dir.path().join("db/tables/t")),
        ["part-00000.parquet"]
    );
    assert_eq!(names(&dir.path().join("db/tables")), ["t"]);
}

#[tokio::test]
async fn what_a_crash_leaves_is_cleared_away() {
    let dir = TempDir::new().unwrap();
    let ctx = session(None);
    let store = open(&dir);
    create(&store, &ctx, "t", vec![vec![Ok(batch(0..3))]])
        .await
        .unwrap();
    create(&store, &ctx, "u", vec![vec![Ok(batch(0..3))]])
        .await
        .unwrap();
    let db = dir.path().join("db");
    fs::write(db.join("models/.tmpx.tmp"), b"half").unwrap();
    fs::create_dir(db.join("tables/.tmpy.tmp")).unwrap();
    fs::write(db.join("tables/t/.tmpz.tmp"), b"half").unwrap();
    // between the two renames of a replacement, and after them
    fs::rename(db.join("tables/t"), db.join("tables/t.old")).unwrap();
    fs::create_dir(db.join("tables/u.old")).unwrap();
    // a second session leaves alone what the first may be writing
    let second = open(&dir);
    assert_eq!(names(&db.join("models")), [".tmpx.tmp"]);
    drop((store, second));
    let store = open(&dir);
    assert!(names(&db.join("models")).is_empty());
    assert_eq!(names(&db.join("tables")), ["t", "u"]);
    assert_eq!(store.tables().unwrap().len(), 2);
    let third = open(&dir);
    drop(third);
    drop(store);
    assert_eq!(names(&db.join("tables/t")), ["part-00000.parquet"]);
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_a_way_out() {
    let dir = TempDir::new().unwrap();
    let error = Store::open(Some(dir.path().join("no/where")))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no/where") && error.contains("mkdir -p"),
        "{error}"
    );
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(Some(file)).unwrap_err().to_string();
    assert!(error.contains("a file is in the way"), "{error}");
    let store = open(&dir);
    let error = store
        .put_view(&"ä".repeat(200), "")
        .unwrap_err()
        .to_string();
    assert!(error.contains("too long"), "{error}");
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    let error = store.put_view("v", "").unwrap_err().to_string();
    assert!(
        error.contains("v.sql") && error.contains("mkdir -p"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn an_unwritable_directory_is_named_with_a_way_out() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    // whoever may write everywhere sees nothing of this
    if fs::write(locked.join("probe"), b"").is_err() {
        let error = Store::open(Some(locked.join("db")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("locked/db") && error.contains("--db DIR"),
            "{error}"
        );
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_table_that_does_not_fit_in_memory_says_what_to_do() {
    let store = Store::default();
    let ctx = session(Some(200_000));
    let pool = Arc::clone(&ctx.runtime_env().memory_pool);
    let (table, _) = create(&store, &ctx, "small", vec![vec![Ok(batch(0..1000))]])
        .await
        .unwrap();
    let held = pool.reserved();
    assert!(held > 40_000, "{held}");
    let many = (0..10)
        .map(|i| Ok(batch(i * 1000..i * 1000 + 1000)))
        .collect();
    let error = create(&store, &ctx, "big", vec![many])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("table big does not fit in memory"),
        "{error}"
    );
    assert!(
        error.contains("--db DIR") && error.contains("--memory-limit"),
        "{error}"
    );
    assert!(error.contains("CREATE TABLE small"), "{error}");
    assert_eq!(pool.reserved(), held);
    ctx.register_table("t", table).unwrap();
    run(&ctx, "INSERT INTO t SELECT * FROM t WHERE number < 100").await;
    assert!(pool.reserved() > held);
    let refused = try_run(
        &ctx,
        "INSERT INTO t SELECT a.number + b.number, a.word FROM t AS a, (SELECT * FROM t LIMIT 50) AS b",
    )
    .await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("--db DIR"), "{error}");
    assert_eq!(numbers(&ctx, "SELECT count(*) FROM t").await, [1100]);
    run(&ctx, "DELETE FROM t WHERE number >= 10").await;
    assert!(pool.reserved() < held);
    ctx.deregister_table("t").unwrap();
    // what the refused statement had begun ends when its tasks are next looked at
    for _ in 0..1000 {
        if pool.reserved() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pool.reserved(), 0, "{pool:?}");
}

#[tokio::test]
async fn slices_of_a_batch_are_counted_once() {
    let ctx = session(Some(200_000));
    let whole = batch(0..1000);
    let slices = (0..100).map(|i| Ok(whole.slice(i * 10, 10))).collect();
    let (_table, rows) = create(&Store::default(), &ctx, "t", vec![slices])
        .await
        .unwrap();
    assert_eq!(rows, 1000);
}

#[tokio::test]
async fn a_column_that_parquet_cannot_hold_is_refused_before_anything_runs() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let list = DataType::new_list(interval, true);
    let schema = Arc::new(Schema::new(vec![Field::new("wait", list, true)]));
    let task = session(None).task_ctx();
    let made = store.create_table("t".to_string(), Vec::new(), schema, task);
    let error = made.await.unwrap_err().to_string();
    assert!(error.contains("column wait of table t"), "{error}");
    assert!(error.contains("CAST(wait AS VARCHAR)"), "{error}");
    assert!(names(&dir.path().join("db/tables")).is_empty());
}
