//! Functions of nearest neighbours: some rows are held and made ready to be searched, then others stream.
//!
//! The first input gives the rows that are searched, as numbers, codes and nothing else; it is read to its end by all
//! partitions at once, held within the memory pool, and put in order by content. Oversampling then draws
//! its rows, a range of them a partition. Editing and imputing let the second input pass, and look up each row
//! of it. The work is done off the async workers, and ends early where no one waits for it any more.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{
    DFSchema, DFSchemaRef, DataFusionError, Result, exec_datafusion_err, internal_err,
    resources_datafusion_err,
};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};
use parking_lot::Mutex;
use seedbed_udfs::neighbours::{
    Editing, Editor, Gather, Gathered, Imputer, Imputing, Oversampling, Shape, Synthetic, typed,
};

/// What a column of synthetic rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum Role {
    /// So manieth number.
    Number(usize),
    /// So manieth category.
    Category(usize),
    Label,
    /// Nothing is known of it.
    Null,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub enum Task {
    /// Rows are made: the columns of each by role.
    Oversample(Oversampling, Vec<Role>),
    /// Rows are taken out, by the columns of numbers and that of the class.
    Edit(Editing, Vec<usize>, usize),
    /// The numbers of some columns are filled.
    Impute(Imputing, Vec<usize>),
}

impl Task {
    fn inputs(&self) -> usize {
        match self {
            Self::Oversample(..) => 1,
            Self::Edit(..) | Self::Impute(..) => 2,
        }
    }
}

/// Who asks, for what, and what the rows that are searched look like.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Search {
    /// The SQL function.
    pub name: &'static str,
    pub task: Task,
    pub shape: Shape,
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Shape {
            numbers,
            categories,
            ..
        } = self.shape;
        write!(f, "{}, numbers={numbers}", self.name)?;
        if categories > 0 {
            write!(f, ", categories={categories}")?;
        }
        Ok(())
    }
}

/// A function of nearest neighbours over the rows that are searched and, but for oversampling, those that
/// are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Neighbours {
    search: Search,
    inputs: Vec<LogicalPlan>,
    schema: DFSchemaRef,
    /// Volatile predicates that name no columns: rows are drawn of the result, not of the inputs.
    drawn: Vec<Expr>,
}

impl Neighbours {
    /// The plan of `search`. `schema` is that of the synthetic rows, where there are some.
    pub fn plan(
        search: Search,
        inputs: Vec<LogicalPlan>,
        schema: Option<Schema>,
    ) -> Result<LogicalPlan> {
        if inputs.len() != search.task.inputs() {
            return internal_err!("{} of {} tables", search.name, inputs.len());
        }
        let schema = match (&search.task, schema) {
            (_, Some(schema)) => Arc::new(DFSchema::try_from(schema)?),
            (Task::Impute(_, columns), None) => {
                let rows = inputs[1].schema();
                let filled = filled_schema(rows.as_arrow(), columns);
                let qualifiers = rows.iter().map(|(qualifier, _)| qualifier.cloned());
                let fields = qualifiers.zip(filled.fields().iter().cloned()).collect();
                Arc::new(DFSchema::new_with_metadata(fields, filled.metadata)?)
            }
            _ => Arc::clone(inputs[inputs.len() - 1].schema()),
        };
        let node = Self {
            search,
            inputs,
            schema,
            drawn: Vec::new(),
        };
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        }))
    }
}

fn filled_schema(rows: &Schema, columns: &[usize]) -> Schema {
    let fields = rows.fields().iter().enumerate().map(|(at, field)| {
        if columns.contains(&at) {
            let filled = Imputer::filled_type(field.data_type());
            let field = field.as_ref().clone();
            Arc::new(field.with_data_type(filled).with_nullable(true))
        } else {
            Arc::clone(field)
        }
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), rows.metadata().clone())
}

impl PartialOrd for Neighbours {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.search.partial_cmp(&other.search) {
            Some(Ordering::Equal) => self.inputs.partial_cmp(&other.inputs),
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for Neighbours {
    fn name(&self) -> &str {
        "Neighbours"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Neighbours: {}", self.search)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if inputs.len() != self.inputs.len() {
            return internal_err!("{} of {} tables", self.search.name, inputs.len());
        }
        let mut node = Self {
            search: self.search.clone(),
            schema: Arc::clone(&self.schema),
            drawn: self.drawn.clone(),
            inputs,
        };
        // a predicate without columns is pushed down past any node
        if let Some(LogicalPlan::Filter(filter)) = node.inputs.first()
            && filter.predicate.is_volatile()
            && filter.predicate.column_refs().is_empty()
            && *filter.input == self.inputs[0]
        {
            node.drawn.push(filter.predicate.clone());
            node.inputs.clone_from(&self.inputs);
        }
        Ok(node)
    }
}

/// Plans [`Neighbours`].
#[derive(Debug, Default)]
pub struct NeighboursPlanner;

#[async_trait]
impl ExtensionPlanner for NeighboursPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<Neighbours>() else {
            return Ok(None);
        };
        let exec = NeighboursExec::try_new(
            node.search.clone(),
            physical_inputs.to_vec(),
            Arc::clone(node.schema.inner()),
            session.config().target_partitions(),
        )?;
        let exec: Arc<dyn ExecutionPlan> = Arc::new(exec);
        let Some(drawn) = conjunction(node.drawn.iter().cloned()) else {
            return Ok(Some(exec));
        };
        let drawn = planner.create_physical_expr(&drawn, &node.schema, session, planning)?;
        Ok(Some(Arc::new(FilterExec::try_new(drawn, exec)?)))
    }
}

/// Holds the rows of its first input, then makes rows or looks up those of its second.
#[derive(Debug)]
pub struct NeighboursExec {
    search: Search,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    threads: usize,
    run: Mutex<Run>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// One execution: the partitions that take part and what they wait for, until all have started.
#[derive(Default)]
struct Run {
    started: HashSet<usize>,
    prepared: Option<Preparation>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Run")
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

type Preparation = Shared<BoxFuture<'static, Result<Arc<Prepared>, Arc<DataFusionError>>>>;

/// What all partitions use.
struct Prepared {
    ready: Ready,
    _held: MemoryReservation,
}

enum Ready {
    Oversample(Synthetic),
    Edit(Editor),
    Impute(Imputer),
}

impl NeighboursExec {
    fn try_new(
        search: Search,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        schema: SchemaRef,
        threads: usize,
    ) -> Result<Self> {
        if inputs.len() != search.task.inputs() {
            return internal_err!("{} of {} tables", search.name, inputs.len());
        }
        let partitions = match inputs.get(1) {
            Some(rows) => rows.output_partitioning().partition_count(),
            None => threads.max(1),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            search,
            inputs,
            threads,
            run: Mutex::default(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn partitions(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }

    /// The preparation of the execution that a partition starts or takes part in.
    fn preparation(&self, partition: usize, context: &Arc<TaskContext>) -> Preparation {
        let mut run = self.run.lock();
        // the same partition again is another execution
        if !run.started.insert(partition) {
            run.started = HashSet::from([partition]);
            run.prepared = None;
        }
        let prepared = match run.prepared.take() {
            Some(prepared) => prepared,
            None => {
                let rows = Arc::clone(&self.inputs[0]);
                prepare(self.search.clone(), rows, Arc::clone(context), self.threads)
                    .map_err(Arc::new)
                    .boxed()
                    .shared()
            }
        };
        if run.started.len() == self.partitions() {
            run.started.clear();
        } else {
            run.prepared = Some(prepared.clone());
        }
        prepared
    }
}

impl DisplayAs for NeighboursExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "NeighboursExec: {}", self.search)
    }
}

impl ExecutionPlan for NeighboursExec {
    fn name(&self) -> &str {
        "NeighboursExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![true; self.inputs.len()]
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
        Ok(Arc::new(Self::try_new(
            self.search.clone(),
            children,
            self.schema(),
            self.threads,
        )?))
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
        let partitions = self.partitions();
        if partition >= partitions {
            return internal_err!("NeighboursExec has no partition {partition}");
        }
        let prepared = self.preparation(partition, &context);
        let schema = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let task = self.search.task.clone();
        let batches = match self.inputs.get(1) {
            Some(rows) => {
                let rows = rows.execute(partition, context)?;
                let out = Arc::clone(&schema);
                let cancelled = CancelOnDrop::default();
                let looked_up = async move {
                    let prepared = prepared.await.map_err(DataFusionError::Shared)?;
                    Ok::<_, DataFusionError>(rows.and_then(move |batch| {
                        let flag = Arc::clone(&cancelled.0);
                        let (prepared, task) = (Arc::clone(&prepared), task.clone());
                        let out = Arc::clone(&out);
                        SpawnedTask::spawn_blocking(move || {
                            look_up(&prepared.ready, &task, &batch, out, &flag)
                        })
                        .map(|done| done.unwrap_or_else(|e| Err(broke_off(e))))
                    }))
                };
                looked_up.try_flatten_stream().boxed()
            }
            None => {
                let step = context.session_config().batch_size().max(1) as u64;
                let out = Arc::clone(&schema);
                let drawn = async move {
                    let prepared = prepared.await.map_err(DataFusionError::Shared)?;
                    let total = match &prepared.ready {
                        Ready::Oversample(synthetic) => synthetic.len(),
                        _ => 0,
                    };
                    // whole batches, but for the last
                    let share = total.div_ceil(step).div_ceil(partitions as u64) * step;
                    let begin = (partition as u64).saturating_mul(share).min(total);
                    let end = begin.saturating_add(share).min(total);
                    let begins = (begin..end).step_by(usize::try_from(step).unwrap_or(1));
                    Ok::<_, DataFusionError>(stream::iter(begins.map(move |begin| {
                        let rows = begin..end.min(begin + step);
                        draw(&prepared.ready, &task, rows, Arc::clone(&out))
                    })))
                };
                drawn.try_flatten_stream().boxed()
            }
        };
        let counted = batches.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(
            schema, counted,
        ))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

fn broke_off(error: impl fmt::Display) -> DataFusionError {
    exec_datafusion_err!("a search of neighbours broke off: {error}")
}

/// Set when the one who waits is dropped.
#[derive(Debug, Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Atomic::Relaxed);
    }
}

/// Reads the rows and makes them ready.
async fn prepare(
    search: Search,
    rows: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    threads: usize,
) -> Result<Arc<Prepared>> {
    let held = MemoryConsumer::new(search.name).register(context.memory_pool());
    let held = Arc::new(Mutex::new(held));
    let readers: Vec<_> = (0..rows.output_partitioning().partition_count())
        .map(|partition| {
            let (search, rows, context) = (search.clone(), Arc::clone(&rows), Arc::clone(&context));
            let held = Arc::clone(&held);
            SpawnedTask::spawn(async move {
                gather(&search, rows.execute(partition, context)?, &held).await
            })
        })
        .collect();
    let mut gathers = Vec::with_capacity(readers.len());
    for reader in readers {
        gathers.push(reader.join().await.map_err(broke_off)??);
    }
    let cancelled = CancelOnDrop::default();
    let flag = Arc::clone(&cancelled.0);
    let ready = SpawnedTask::spawn_blocking(move || {
        let gathered = Gathered::new(search.shape, gathers)?;
        Ok::<_, DataFusionError>(match &search.task {
            Task::Oversample(task, _) => {
                Ready::Oversample(Synthetic::new(task, gathered, threads, &flag)?)
            }
            Task::Edit(task, ..) => Ready::Edit(Editor::new(task, gathered)?),
            Task::Impute(task, _) => Ready::Impute(Imputer::new(task, &gathered)),
        })
    });
    let ready = ready.join().await.map_err(broke_off)??;
    drop(cancelled);
    let bytes = match &ready {
        Ready::Oversample(synthetic) => synthetic.bytes(),
        Ready::Edit(editor) => editor.bytes(),
        Ready::Impute(imputer) => imputer.bytes(),
    };
    let held = held.lock().take();
    held.try_resize(bytes)?;
    Ok(Arc::new(Prepared { ready, _held: held }))
}

/// Takes in one partition.
async fn gather(
    search: &Search,
    mut rows: SendableRecordBatchStream,
    held: &Mutex<MemoryReservation>,
) -> Result<Gather> {
    let with_means = matches!(search.task, Task::Impute(..));
    // the rows as they come, in order, and in the index
    let mut row_bytes = 3 * search.shape.row_bytes() + size_of::<f32>() * search.shape.numbers;
    if let Task::Oversample(task, _) = &search.task {
        row_bytes += size_of::<u32>() * task.k;
    }
    let mut gather = Gather::new(search.shape, with_means);
    let mut interned = 0;
    while let Some(batch) = rows.try_next().await? {
        let bytes = batch.num_rows().saturating_mul(row_bytes);
        hold(search, held, bytes)?;
        gather.add(batch.columns(), batch.num_rows())?;
        let more = gather.interned_bytes() - interned;
        interned += more;
        hold(search, held, 2 * more)?;
    }
    Ok(gather)
}

fn hold(search: &Search, held: &Mutex<MemoryReservation>, bytes: usize) -> Result<()> {
    held.lock().try_grow(bytes).map_err(|error| {
        let help = match &search.task {
            Task::Impute(..) => "limit the rows that give values with donors => 10000",
            Task::Oversample(..) | Task::Edit(..) => "name fewer columns, take a sample of the rows",
        };
        resources_datafusion_err!(
            "{} holds the rows to search for neighbours in memory, and has no more of it. Give more with --memory-limit, or {help}. {error}",
            search.name
        )
    })
}

fn with_columns(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// The rows of a batch that stay, or with what they lack.
fn look_up(
    ready: &Ready,
    task: &Task,
    batch: &RecordBatch,
    schema: SchemaRef,
    cancelled: &AtomicBool,
) -> Result<RecordBatch> {
    let pick = |columns: &[usize]| -> Vec<ArrayRef> {
        let columns = columns.iter().map(|c| Arc::clone(batch.column(*c)));
        columns.collect()
    };
    match (ready, task) {
        (Ready::Edit(editor), Task::Edit(_, columns, label)) => {
            let keep = editor.keeps(&pick(columns), batch.column(*label), cancelled)?;
            Ok(filter_record_batch(batch, &keep)?)
        }
        (Ready::Impute(imputer), Task::Impute(_, columns)) => {
            let filled = imputer.fill(&pick(columns), batch.num_rows(), cancelled)?;
            let mut all = batch.columns().to_vec();
            for (at, filled) in columns.iter().zip(filled) {
                all[*at] = filled;
            }
            with_columns(schema, all, batch.num_rows())
        }
        _ => internal_err!("neighbours were prepared for something else"),
    }
}

/// Some of the synthetic rows.
fn draw(
    ready: &Ready,
    task: &Task,
    rows: std::ops::Range<u64>,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let (Ready::Oversample(synthetic), Task::Oversample(_, roles)) = (ready, task) else {
        return internal_err!("neighbours were prepared for something else");
    };
    let n = (rows.end - rows.start) as usize;
    let drawn = synthetic.draw(rows)?;
    let numbers = roles
        .iter()
        .filter(|r| matches!(r, Role::Number(_)))
        .count();
    let columns = roles
        .iter()
        .zip(schema.fields())
        .map(|(role, field)| match role {
            Role::Number(at) => typed(&drawn[*at], field.data_type()),
            Role::Category(at) => Ok(cast(&drawn[numbers + at], field.data_type())?),
            Role::Label => Ok(cast(&drawn[drawn.len() - 1], field.data_type())?),
            Role::Null => Ok(new_null_array(field.data_type(), n)),
        })
        .collect::<Result<Vec<_>>>()?;
    with_columns(schema, columns, n)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Answer, Options, Seedbed};

    async fn count(memory_limit: Option<usize>, sql: &str) -> Result<usize> {
        let seedbed = Seedbed::open(Options {
            memory_limit,
            threads: Some(2),
            ..Default::default()
        })?;
        let statements = seedbed.split(sql)?;
        let Answer::Rows { mut rows, .. } = seedbed.run(&statements[0]).await? else {
            return internal_err!("no rows");
        };
        let mut n = 0;
        while let Some(batch) = rows.try_next().await? {
            n += batch.num_rows();
        }
        Ok(n)
    }

    const ROWS: &str =
        "(SELECT CAST(value AS DOUBLE) AS x, value % 100 = 0 AS y FROM generate_series(1, 300000))";

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_that_stream_are_not_held() -> Result<()> {
        let sql = format!("SELECT x FROM smote({ROWS}, label => y)");
        assert_eq!(count(Some(8 << 20), &sql).await?, 594_000);
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn too_little_memory_is_a_clear_error() {
        for (call, help) in [
            ("tomek_links", "label => y"),
            ("impute_knn", "columns => [x]"),
        ] {
            let sql = format!("SELECT x FROM {call}({ROWS}, {help})");
            let error = count(Some(4 << 20), &sql).await.map_err(|e| e.to_string());
            let expected = format!("{call} holds the rows to search for neighbours in memory");
            assert!(
                error.as_ref().is_err_and(|e| e.contains(&expected)),
                "{error:?}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_one_waits_for_a_search_that_is_dropped() -> Result<()> {
        // all pairs of 100,000 rows whose many columns keep none out
        let columns: Vec<String> = (0..24)
            .map(|i| format!("random_uniform(0, 1, random_key({i}, value)) AS x{i}"))
            .collect();
        let sql = format!(
            "SELECT * FROM edited_nearest_neighbours((SELECT {}, value % 2 AS y FROM generate_series(1, 100000)), label => y, strategy => 'all')",
            columns.join(", ")
        );
        let start = Instant::now();
        let ended = tokio::time::timeout(Duration::from_millis(500), count(None, &sql)).await;
        assert!(ended.is_err() && start.elapsed() < Duration::from_secs(5));
        Ok(())
    }
}
