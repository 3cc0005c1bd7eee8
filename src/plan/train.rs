//! `CREATE MODEL`: trains when it is executed, never while it is planned.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{
    DFSchema, DFSchemaRef, DataFusionError, Result, exec_datafusion_err, exec_err, internal_err,
};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{TryStreamExt, stream};
use seedbed_udfs::synthesize::{self, Data, Model, Start, Watch};
use tokio::sync::Semaphore;

use super::one_input;
use crate::session::{Progress, Unit};

/// Where trained models go.
pub trait ModelSink: fmt::Debug + Send + Sync {
    /// Whether a model of that name is there.
    fn exists(&self, name: &str) -> bool;

    /// The model of a name, or an error that says what there is. Called off the async workers.
    fn model(&self, name: &str) -> Result<Arc<dyn Model>>;

    /// Keeps a model, in place of one of the same name if there is one. Called off the async workers.
    fn register(&self, name: &str, model: Arc<dyn Model>) -> Result<()>;
}

/// What trainings of one session share.
#[derive(Debug, Clone)]
pub struct Trainer {
    sink: Arc<dyn ModelSink>,
    progress: Progress,
    /// A training takes one: no more run at once than there are.
    pub(super) permits: Arc<Semaphore>,
}

impl Trainer {
    /// At most `parallel` trainings run at once; more wait.
    pub fn new(sink: Arc<dyn ModelSink>, progress: Progress, parallel: usize) -> Self {
        Self {
            sink,
            progress,
            permits: Arc::new(Semaphore::new(parallel.max(1))),
        }
    }
}

#[async_trait]
impl ExtensionPlanner for Trainer {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(train) = node.as_any().downcast_ref::<TrainNode>() else {
            return Ok(None);
        };
        let [input] = physical_inputs else {
            return internal_err!("CREATE MODEL takes one input");
        };
        let exec = TrainExec::new(train.spec.clone(), Arc::clone(input), self.clone());
        Ok(Some(Arc::new(exec)))
    }
}

/// What `CREATE MODEL` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct TrainSpec {
    pub name: String,
    pub kind: String,
    /// As written; checked when the node is made.
    pub options: Vec<(String, String)>,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub base: Option<Base>,
    /// The query that gives the rows, as text: kept in the model, to go on with it.
    pub query: String,
}

/// The trained model to start from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Base {
    pub model: String,
    /// Whether its training goes on; otherwise it is taken to another table.
    pub resume: bool,
}

/// `CREATE MODEL name USING kind OPTIONS (...) AS input`. Gives one row: name, kind, rows, epochs,
/// seconds, and why the kind was chosen where it was; none where IF NOT EXISTS found a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrainNode {
    pub spec: TrainSpec,
    pub input: LogicalPlan,
    schema: DFSchemaRef,
}

impl TrainNode {
    /// Checks kind and options, so that a mistake shows before anything runs.
    pub fn try_new(spec: TrainSpec, input: LogicalPlan) -> Result<Self> {
        let kind = synthesize::kind(&spec.kind)?;
        let options = synthesize::parse_options(kind.as_ref(), &spec.options)?;
        kind.check(&options, input.schema().as_arrow())?;
        let schema = Arc::new(DFSchema::try_from(answer_schema())?);
        Ok(Self {
            spec,
            input,
            schema,
        })
    }
}

fn answer_schema() -> Schema {
    Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("epochs", DataType::Int64, false),
        Field::new("seconds", DataType::Float64, false),
        Field::new("chosen", DataType::Utf8, true),
    ])
}

impl PartialOrd for TrainNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.spec.partial_cmp(&other.spec) {
            Some(Ordering::Equal) => self.input.partial_cmp(&other.input),
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for TrainNode {
    fn name(&self) -> &str {
        "Train"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Train: {}", self.spec)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = one_input("Train", inputs)?;
        Ok(Self {
            spec: self.spec.clone(),
            input,
            schema: Arc::clone(&self.schema),
        })
    }
}

impl fmt::Display for TrainSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model={}, kind={}", self.name, self.kind)?;
        if let Some(base) = &self.base {
            write!(f, ", from={}", base.model)?;
        }
        for (name, value) in &self.options {
            write!(f, ", {name}={value}")?;
        }
        Ok(())
    }
}

/// Collects its input and trains on it, on a thread of its own; dropping its stream cancels.
#[derive(Debug)]
pub struct TrainExec {
    spec: TrainSpec,
    input: Arc<dyn ExecutionPlan>,
    pub(super) trainer: Trainer,
    properties: Arc<PlanProperties>,
}

impl TrainExec {
    pub fn new(spec: TrainSpec, input: Arc<dyn ExecutionPlan>, trainer: Trainer) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(answer_schema())),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            spec,
            input,
            trainer,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for TrainExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "TrainExec: {}", self.spec)
    }
}

impl ExecutionPlan for TrainExec {
    fn name(&self) -> &str {
        "TrainExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = one_input("TrainExec", children)?;
        Ok(Arc::new(Self::new(
            self.spec.clone(),
            input,
            self.trainer.clone(),
        )))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("TrainExec has no partition {partition}");
        }
        // The order of rows does not matter to a training, so the partitions are read as they come.
        let input = match self.input.output_partitioning().partition_count() {
            1 => Arc::clone(&self.input),
            _ => Arc::new(CoalescePartitionsExec::new(Arc::clone(&self.input))),
        };
        let answer = train(self.spec.clone(), input, self.trainer.clone(), context);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            stream::once(answer),
        )))
    }
}

async fn train(
    spec: TrainSpec,
    input: Arc<dyn ExecutionPlan>,
    trainer: Trainer,
    context: Arc<TaskContext>,
) -> Result<RecordBatch> {
    let name = spec.name.clone();
    if trainer.sink.exists(&name) && !spec.or_replace {
        if spec.if_not_exists {
            return Ok(RecordBatch::new_empty(Arc::new(answer_schema())));
        }
        return exec_err!(
            "model {name} exists already; write CREATE OR REPLACE MODEL to train it anew"
        );
    }
    let permit = Arc::clone(&trainer.permits)
        .acquire_owned()
        .await
        .map_err(|_| exec_datafusion_err!("the session is closing"))?;
    let reservation =
        MemoryConsumer::new(format!("training of model {name}")).register(context.memory_pool());
    let reservation = Arc::new(reservation);
    let schema = input.schema();
    let mut rows = input.execute(0, context)?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        // The rows, the rows in order, and the rows in model space.
        let size = batch.get_array_memory_size().saturating_mul(3);
        reservation.try_grow(size).map_err(|error| {
            DataFusionError::Context(
                format!(
                    "the training data of model {name} do not fit into the memory limit; train on \
                     a sample of the rows, on fewer columns, or raise the limit"
                ),
                Box::new(error),
            )
        })?;
        batches.push(batch);
    }
    let cancelled = CancelOnDrop::default();
    let watch = Watching {
        task: format!("training {name}"),
        progress: trainer.progress.clone(),
        cancelled: Arc::clone(&cancelled.0),
        reservation: Arc::clone(&reservation),
    };
    let training = tokio::task::spawn_blocking(move || {
        // Held until the training has really ended, also where nobody waits for it any more.
        let _held = (permit, reservation);
        let kind = synthesize::kind(&spec.kind)?;
        let options = synthesize::parse_options(kind.as_ref(), &spec.options)?;
        let begin = std::time::Instant::now();
        let data = Data::new(&schema, &batches)?.of_query(Some(spec.query.clone()));
        drop(batches);
        // How many epochs there are shows with the first; until then the columns are learnt.
        watch.progress.start(&watch.task, Unit::Epochs, None);
        let base = match &spec.base {
            None => Ok(None),
            Some(base) => trainer.sink.model(&base.model).map(Some),
        };
        let model = base.and_then(|from| {
            let start = match (&from, &spec.base) {
                (Some(model), Some(base)) if base.resume => Start::Resume(model.as_ref()),
                (Some(model), _) => Start::Transfer(model.as_ref()),
                (None, _) => Start::Fresh,
            };
            synthesize::train(kind.as_ref(), &data, &options, start, &watch)
        });
        watch.progress.finish();
        let model = model?;
        if watch.cancelled() {
            return exec_err!("the training of model {} was cancelled", spec.name);
        }
        let chosen = model.describe().into_iter();
        let chosen = chosen
            .filter(|(item, _)| item == "chosen")
            .map(|(_, why)| why)
            .next();
        let answer = RecordBatch::try_new(
            Arc::new(answer_schema()),
            vec![
                Arc::new(StringArray::from(vec![spec.name.as_str()])),
                Arc::new(StringArray::from(vec![model.kind()])),
                Arc::new(Int64Array::from(vec![data.num_rows() as i64])),
                Arc::new(Int64Array::from(vec![model.history().epochs.len() as i64])),
                Arc::new(Float64Array::from(vec![begin.elapsed().as_secs_f64()])),
                Arc::new(StringArray::from(vec![chosen])),
            ],
        )?;
        trainer.sink.register(&spec.name, model)?;
        Ok(answer)
    });
    let answer = training
        .await
        .map_err(|error| exec_datafusion_err!("the training of model {name} broke off: {error}"))?;
    drop(cancelled);
    answer.map_err(|error| error.context(format!("model {name}")))
}

/// Set when the stream that asked for the training is dropped.
#[derive(Debug, Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Atomic::Relaxed);
    }
}

struct Watching {
    task: String,
    progress: Progress,
    cancelled: Arc<AtomicBool>,
    reservation: Arc<MemoryReservation>,
}

impl Watch for Watching {
    fn epoch(&self, done: u64, total: u64, detail: &str) {
        if done == 1 {
            self.progress.start(&self.task, Unit::Epochs, Some(total));
        }
        self.progress.advance(1);
        self.progress.detail(detail);
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Atomic::Relaxed)
    }

    fn reserve(&self, bytes: usize) -> Result<()> {
        self.reservation.try_grow(bytes).map_err(|error| {
            let what = "the networks do not fit into the memory limit; write narrower layers, leave \
                        out columns of many categories, or raise the limit";
            DataFusionError::Context(what.to_string(), Box::new(error))
        })
    }
}
