//! Functions of a whole table as a node and an operator: all rows are read, then rows are given.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{
    DFSchema, DFSchemaRef, DataFusionError, Result, exec_datafusion_err, internal_err,
};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{TryStreamExt, stream};
use seedbed_udfs::table::{Host, Rows, Stop, TableFunction};

use super::one_input;

/// A function of the whole of its input.
#[derive(Debug, Clone)]
pub struct TableNode {
    function: Arc<dyn TableFunction>,
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl TableNode {
    /// The function's rows.
    pub fn over(function: Arc<dyn TableFunction>, input: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::new(DFSchema::try_from(function.schema())?);
        let node = Arc::new(Self {
            function,
            input,
            schema,
        });
        Ok(LogicalPlan::Extension(Extension { node }))
    }
}

impl PartialEq for TableNode {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name()
            && self.function.describe() == other.function.describe()
            && self.schema == other.schema
            && self.input == other.input
    }
}

impl Eq for TableNode {}

impl Hash for TableNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
        self.function.describe().hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for TableNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.function.describe().cmp(&other.function.describe()) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for TableNode {
    fn name(&self) -> &str {
        "Table"
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
        write!(
            f,
            "Table: {}({})",
            self.function.name(),
            self.function.describe()
        )
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = one_input(self.function.name(), inputs)?;
        Ok(Self {
            input,
            ..self.clone()
        })
    }
}

/// Plans [`TableNode`].
#[derive(Debug, Default)]
pub struct TablePlanner;

#[async_trait]
impl ExtensionPlanner for TablePlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match (node.as_any().downcast_ref::<TableNode>(), physical_inputs) {
            (Some(node), [input]) => Ok(Some(Arc::new(TableExec::new(
                Arc::clone(&node.function),
                Arc::clone(input),
            )))),
            _ => Ok(None),
        }
    }
}

/// Hands its input to a kernel, which works on a thread of its own; dropping the stream cancels it.
#[derive(Debug)]
pub struct TableExec {
    function: Arc<dyn TableFunction>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TableExec {
    /// The function's rows, in one partition.
    pub fn new(function: Arc<dyn TableFunction>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(function.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            function,
            input,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for TableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "TableExec: {}({})",
            self.function.name(),
            self.function.describe()
        )
    }
}

impl ExecutionPlan for TableExec {
    fn name(&self) -> &str {
        "TableExec"
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
        let input = one_input("TableExec", children)?;
        Ok(Arc::new(Self::new(Arc::clone(&self.function), input)))
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
            return internal_err!("TableExec has no partition {partition}");
        }
        // the order of rows does not matter to a kernel, so the partitions are read as they come
        let input = match self.input.output_partitioning().partition_count() {
            1 => Arc::clone(&self.input),
            _ => Arc::new(CoalescePartitionsExec::new(Arc::clone(&self.input))),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = run(Arc::clone(&self.function), input, context);
        let batches = stream::once(rows)
            .map_ok(move |run| {
                let metrics = metrics.clone();
                stream::iter(run).inspect_ok(move |batch| metrics.record_output(batch.num_rows()))
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A kernel's rows, in batches of the size the session asks for, and the memory they need.
struct Run {
    rows: Rows,
    current: Option<RecordBatch>,
    batch_size: usize,
    _reservation: MemoryReservation,
}

impl Iterator for Run {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.current.take() {
            Some(batch) => batch,
            None => match self.rows.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            },
        };
        let rows = batch.num_rows();
        if rows <= self.batch_size {
            return Some(Ok(batch));
        }
        self.current = Some(batch.slice(self.batch_size, rows - self.batch_size));
        Some(Ok(batch.slice(0, self.batch_size)))
    }
}

struct KernelHost {
    reservation: MemoryReservation,
    function: Arc<dyn TableFunction>,
    threads: usize,
    stop: Arc<Stop>,
}

impl Host for KernelHost {
    fn resize(&mut self, bytes: usize) -> Result<()> {
        resize(&self.reservation, self.function.name(), bytes)
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn stop(&self) -> Arc<Stop> {
        Arc::clone(&self.stop)
    }
}

fn resize(reservation: &MemoryReservation, name: &str, bytes: usize) -> Result<()> {
    reservation.try_resize(bytes).map_err(|error| {
        DataFusionError::Context(
            format!(
                "{name} holds what it needs of the whole table, and that does not fit into the memory limit; \
                 take fewer columns or a sample of the rows, or raise --memory-limit"
            ),
            Box::new(error),
        )
    })
}

async fn run(
    function: Arc<dyn TableFunction>,
    input: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> Result<Run> {
    let name = function.name();
    let reservation = MemoryConsumer::new(name).register(context.memory_pool());
    let mut kernel = function.kernel()?;
    let batch_size = context.session_config().batch_size().max(1);
    let threads = context.session_config().target_partitions().max(1);
    let mut batches = input.execute(0, context)?;
    while let Some(batch) = batches.try_next().await? {
        kernel.push(&batch)?;
        resize(&reservation, name, kernel.size())?;
    }
    drop(batches);
    let stop = StopOnDrop::default();
    let mut host = KernelHost {
        reservation,
        function,
        threads,
        stop: Arc::clone(&stop.0),
    };
    let work = tokio::task::spawn_blocking(move || {
        let rows = kernel.finish(&mut host)?;
        Ok(Run {
            rows,
            current: None,
            batch_size,
            _reservation: host.reservation,
        })
    });
    let done = work
        .await
        .map_err(|error| exec_datafusion_err!("{name} broke off: {error}"))?;
    drop(stop);
    done
}

/// Set when the stream that waits for the rows is dropped.
#[derive(Default)]
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}
