//! The operators of models, run through DataFusion's own planning.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParser;
use futures::StreamExt;
use seedbed_udfs::synthesize::{self, Data, Model, Unwatched};

use super::{ModelSink, SampleTable, TrainExec, TrainNode, TrainSpec, Trainer};
use crate::session::Progress;

fn table(rows: i64) -> RecordBatch {
    let names = (0..rows).map(|i| if i % 3 == 0 { "rare" } else { "common" });
    let numbers = (0..rows).map(|i| i * 7919 % 1000);
    let fractions = (0..rows).map(|i| (i as f64).sin());
    RecordBatch::try_from_iter([
        (
            "name",
            Arc::new(StringArray::from_iter_values(names)) as ArrayRef,
        ),
        (
            "number",
            Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef,
        ),
        (
            "fraction",
            Arc::new(Float64Array::from_iter_values(fractions)) as ArrayRef,
        ),
    ])
    .unwrap()
}

fn model() -> Arc<dyn Model> {
    let batch = table(500);
    let kind = synthesize::kind("gan").unwrap();
    let given = [("epochs".to_string(), "1".to_string())];
    let options = synthesize::parse_options(kind.as_ref(), &given).unwrap();
    let data = Data::new(&batch.schema(), &[batch]).unwrap();
    kind.train(&data, &options, &Unwatched).unwrap()
}

fn session(partitions: usize, batch_size: usize) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(batch_size);
    SessionContext::new_with_config(config)
}

async fn plan(ctx: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
    let plan = seedbed_boundary::statement_to_plan(ctx.state(), statement)
        .await
        .unwrap();
    seedbed_boundary::physical_plan(ctx.state(), plan)
        .await
        .unwrap()
}

async fn query(ctx: &SessionContext, sql: &str) -> RecordBatch {
    let plan = plan(ctx, sql).await;
    let schema = plan.schema();
    let batches = seedbed_boundary::collect(plan, ctx.task_ctx())
        .await
        .unwrap();
    concat_batches(&schema, &batches).unwrap()
}

#[tokio::test]
async fn the_same_rows_for_any_partitions_and_batches() {
    let model = model();
    let rows = |partitions, batch_size| {
        let ctx = session(partitions, batch_size);
        let table = SampleTable::new("m", Arc::clone(&model), 5000, 7);
        ctx.register_table("s", Arc::new(table)).unwrap();
        async move { query(&ctx, "SELECT * FROM s ORDER BY number, fraction, name").await }
    };
    let one = rows(1, 8192).await;
    assert_eq!(one.num_rows(), 5000);
    for (partitions, batch_size) in [(2, 8192), (7, 100), (64, 1000)] {
        assert_eq!(rows(partitions, batch_size).await, one);
    }
}

#[tokio::test]
async fn projection_and_limit_are_pushed_into_the_scan() {
    let ctx = session(4, 8192);
    let table = SampleTable::new("m", model(), 1_000_000_000_000, 7);
    ctx.register_table("s", Arc::new(table)).unwrap();
    let sql = "SELECT number FROM s LIMIT 10";
    let plan = plan(&ctx, sql).await;
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    assert!(
        shown.contains("SampleExec: model=m, kind=gan, rows=10, seed=7, columns=[number]"),
        "{shown}"
    );
    assert_eq!(query(&ctx, sql).await.num_rows(), 10);
    // Known without drawing a row.
    let count = query(&ctx, "SELECT count(*) FROM s").await;
    assert_eq!(
        count.column(0).as_primitive::<Int64Type>().value(0),
        1_000_000_000_000
    );
}

#[derive(Debug, Default)]
struct Shelf(Mutex<HashMap<String, Arc<dyn Model>>>);

impl ModelSink for Shelf {
    fn exists(&self, name: &str) -> bool {
        self.models().contains_key(name)
    }

    fn model(&self, name: &str) -> Result<Arc<dyn Model>> {
        match self.models().get(name) {
            Some(model) => Ok(Arc::clone(model)),
            None => datafusion::common::exec_err!("there is no model {name}"),
        }
    }

    fn register(&self, name: &str, model: Arc<dyn Model>) -> Result<()> {
        self.models().insert(name.to_string(), model);
        Ok(())
    }
}

impl Shelf {
    fn models(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<dyn Model>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spec(epochs: &str) -> TrainSpec {
    TrainSpec {
        name: "m".to_string(),
        kind: "gan".to_string(),
        options: vec![("epochs".to_string(), epochs.to_string())],
        or_replace: false,
        if_not_exists: false,
        base: None,
        query: "SELECT * FROM t".to_string(),
    }
}

/// A training on 3 partitions of a table.
async fn training(ctx: &SessionContext, spec: TrainSpec, shelf: &Arc<Shelf>) -> Arc<TrainExec> {
    let batch = table(3000);
    let parts = (0..3).map(|i| vec![batch.slice(i * 1000, 1000)]).collect();
    let memory = MemTable::try_new(batch.schema(), parts).unwrap();
    ctx.deregister_table("t").unwrap();
    ctx.register_table("t", Arc::new(memory)).unwrap();
    let input = plan(ctx, "SELECT * FROM t").await;
    let sink = Arc::clone(shelf) as Arc<dyn ModelSink>;
    let trainer = Trainer::new(sink, Progress::default(), 1);
    Arc::new(TrainExec::new(spec, input, trainer))
}

#[tokio::test]
async fn training_registers_the_model_and_says_so() {
    let (ctx, shelf) = (session(3, 8192), Arc::new(Shelf::default()));
    let exec = training(&ctx, spec("2"), &shelf).await;
    // Planning and explaining train nothing.
    let shown = displayable(exec.as_ref()).indent(false).to_string();
    assert!(
        shown.contains("TrainExec: model=m, kind=gan, epochs=2"),
        "{shown}"
    );
    assert!(!shelf.exists("m"));
    let answer = seedbed_boundary::collect(exec, ctx.task_ctx())
        .await
        .unwrap();
    assert_eq!(
        answer[0].column(2).as_primitive::<Int64Type>().value(0),
        3000
    );
    assert_eq!(answer[0].column(3).as_primitive::<Int64Type>().value(0), 2);
    assert!(shelf.exists("m"));

    let again = training(&ctx, spec("2"), &shelf).await;
    let error = seedbed_boundary::collect(again, ctx.task_ctx())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    let mut lenient = spec("2");
    lenient.if_not_exists = true;
    let skipped = training(&ctx, lenient, &shelf).await;
    let answer = seedbed_boundary::collect(skipped, ctx.task_ctx())
        .await
        .unwrap();
    assert_eq!(answer.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_stream_cancels() {
    let (ctx, shelf) = (session(3, 8192), Arc::new(Shelf::default()));
    let exec = training(&ctx, spec("100000"), &shelf).await;
    let trainer = exec.trainer.clone();
    let mut rows = exec.execute(0, ctx.task_ctx()).unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(500), rows.next()).await;
    assert!(waited.is_err(), "a training this long cannot have ended");
    drop(rows);
    // The permit comes back once the training has stopped.
    let permit = tokio::time::timeout(Duration::from_secs(30), trainer.permits.acquire()).await;
    assert!(permit.is_ok());
    assert!(!shelf.exists("m"));
}

#[tokio::test]
async fn too_little_memory_is_a_clear_error() {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(10_000, 1.0)
        .build_arc()
        .unwrap();
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    let shelf = Arc::new(Shelf::default());
    let exec = training(&ctx, spec("1"), &shelf).await;
    let error = seedbed_boundary::collect(exec, ctx.task_ctx())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("do not fit into the memory limit"),
        "{error}"
    );
}

#[tokio::test]
async fn mistakes_show_when_planned() {
    let ctx = session(1, 8192);
    ctx.register_batch("t", table(10)).unwrap();
    let statement = DFParser::parse_sql("SELECT * FROM t")
        .unwrap()
        .pop_front()
        .unwrap();
    let input = seedbed_boundary::statement_to_plan(ctx.state(), statement)
        .await
        .unwrap();
    let message = |spec: TrainSpec| {
        TrainNode::try_new(spec, input.clone())
            .unwrap_err()
            .to_string()
    };
    let mut other = spec("1");
    other.kind = "gam".to_string();
    let other = message(other);
    assert!(other.contains("did you mean gan?"), "{other}");
    assert!(message(spec("-1")).contains("1 to 100000"));
}
