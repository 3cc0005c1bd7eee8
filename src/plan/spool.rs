//! One input computed once and read by several places of a plan: a CTE used twice, a fit and its apply.
//!
//! A logical [`Spool`] carries a handle; its copies have the same. The planner makes a [`SpoolExec`] of each,
//! and [`ShareSpools`], the last physical rule, gives those of one handle one [`Run`]. A run keeps a log of
//! batches for every partition. A reader that wants the next batch takes it from the log, or else polls the
//! input itself and appends what it gets: nothing runs in the background, and no reader waits for another
//! to go on. Batches are kept packed; those that the memory pool refuses are logged on disk, and those that all readers have passed
//! are dropped.

use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{
    DFSchemaRef, DataFusionError, Result, Statistics, internal_datafusion_err, internal_err,
};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::UnKnownColumn;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions, SpillManager, StatisticsArgs,
    replace_children_if_necessary,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{Stream, StreamExt};

use super::one_input;
use crate::packed::Packed;

/// Says which spools of a plan are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(u64);

impl Handle {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Atomic::Relaxed))
    }
}

/// An input that is computed once, however often the node stands in a plan. Nothing is pushed into it:
/// what one reader can do without, another may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    handle: Handle,
    input: LogicalPlan,
    /// The input's, as it was. A rule that adds a column to the input to take it out above sees here that
    /// it does not come through, and leaves it.
    schema: DFSchemaRef,
}

impl Spool {
    /// A new spool. Clones of the plan it gives read the same rows.
    pub fn over(input: LogicalPlan) -> LogicalPlan {
        Self {
            handle: Handle::fresh(),
            schema: Arc::clone(input.schema()),
            input,
        }
        .again()
    }

    /// Whether a plan's top node is a spool.
    pub fn is(plan: &LogicalPlan) -> bool {
        matches!(plan, LogicalPlan::Extension(Extension { node }) if node.as_any().is::<Self>())
    }

    /// Another place that reads this spool.
    pub fn again(&self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self.clone()),
        })
    }

    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }
}

impl Hash for Spool {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.handle.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for Spool {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.handle.cmp(&other.handle) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for Spool {
    fn name(&self) -> &str {
        "Spool"
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
        write!(f, "Spool: computed once")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => {
                let columns = input.schema().columns();
                let schema = if columns == self.schema.columns() {
                    input.schema()
                } else {
                    &self.schema
                };
                // A predicate without columns, as `false`, is pushed down past any node. This reader then reads
                // other rows than the others.
                let handle = match &input {
                    LogicalPlan::Filter(filter)
                        if filter.predicate.column_refs().is_empty()
                            && *filter.input == self.input =>
                    {
                        Handle::fresh()
                    }
                    _ => self.handle,
                };
                Ok(Self {
                    handle,
                    schema: Arc::clone(schema),
                    input,
                })
            }
            _ => internal_err!("Spool takes one input"),
        }
    }
}

/// Plans [`Spool`].
#[derive(Debug, Default)]
pub struct SpoolPlanner;

#[async_trait]
impl ExtensionPlanner for SpoolPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(spool) = node.as_any().downcast_ref::<Spool>() else {
            return Ok(None);
        };
        let ([logical], [physical]) = (logical_inputs, physical_inputs) else {
            return internal_err!("Spool takes one input");
        };
        // The operators read a scalar subquery's value where the plan level they were planned for keeps
        // it. The readers of a spool stand on different levels, that need not have it yet: such an input
        // is planned as a plan of its own, that computes its subqueries itself.
        let input = if has_scalar_subquery(logical)? {
            planner.create_physical_plan(logical, session).await?
        } else {
            Arc::clone(physical)
        };
        Ok(Some(Arc::new(SpoolExec::new(spool.handle, input))))
    }
}

fn has_scalar_subquery(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_))))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(match node {
            _ if found => TreeNodeRecursion::Stop,
            // what a spool below reads is its own business
            _ if Spool::is(node) => TreeNodeRecursion::Jump,
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// Lets the [`SpoolExec`]s of one handle share one input and one run. It must be the last rule: others
/// rebuild operators one by one, and would part what is shared.
#[derive(Debug, Default)]
pub struct ShareSpools;

impl PhysicalOptimizerRule for ShareSpools {
    fn name(&self) -> &str {
        "share_spools"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        share(plan, &mut HashMap::new())
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Only the first input of a handle is looked into: the others' copies of it, and the spools in them, are
/// dropped and must not count as readers.
fn share(
    plan: Arc<dyn ExecutionPlan>,
    shared: &mut HashMap<Handle, (Arc<dyn ExecutionPlan>, Arc<Run>)>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(spool) = plan.downcast_ref::<SpoolExec>() else {
        let children = plan
            .children()
            .into_iter()
            .map(|child| share(Arc::clone(child), shared))
            .collect::<Result<_>>()?;
        return replace_children_if_necessary(plan, children);
    };
    let (input, run) = match shared.get(&spool.handle) {
        Some((input, run)) => (Arc::clone(input), Arc::clone(run)),
        None => {
            let input = share(Arc::clone(&spool.input), shared)?;
            let run = Arc::new(Run::default());
            shared.insert(spool.handle, (Arc::clone(&input), Arc::clone(&run)));
            (input, run)
        }
    };
    if input.schema() != spool.input.schema() {
        return internal_err!(
            "the readers of a spool expect different columns: {} and {}",
            input.schema(),
            spool.input.schema()
        );
    }
    run.readers.fetch_add(1, Atomic::Relaxed);
    let mut reader = SpoolExec::of_run(spool.handle, input, run);
    if fits(
        reader.properties.output_partitioning(),
        spool.properties.output_partitioning(),
    ) {
        // The very same properties: the operators above need not work theirs out again.
        reader.properties = Arc::clone(&spool.properties);
        return Ok(Arc::new(reader));
    }
    partition_as(Arc::new(reader), spool.properties.output_partitioning())
}

/// Whether operators that were planned for one partitioning can do with another.
fn fits(is: &Partitioning, wanted: &Partitioning) -> bool {
    match wanted {
        Partitioning::Hash(..) | Partitioning::Range(_) => is == wanted,
        _ => is.partition_count() == wanted.partition_count(),
    }
}

/// A partitioning by columns that a projection below dropped cannot be told, nor made anew.
fn known(partitioning: &Partitioning) -> Partitioning {
    match partitioning {
        Partitioning::Hash(by, partitions)
            if by
                .iter()
                .any(|e| e.downcast_ref::<UnKnownColumn>().is_some()) =>
        {
            Partitioning::UnknownPartitioning(*partitions)
        }
        known => known.clone(),
    }
}

/// A plan spread anew.
fn partition_as(
    plan: Arc<dyn ExecutionPlan>,
    wanted: &Partitioning,
) -> Result<Arc<dyn ExecutionPlan>> {
    let wanted = match wanted {
        Partitioning::Range(_) => {
            return internal_err!("the readers of a spool expect different ranges");
        }
        Partitioning::Hash(..) => wanted.clone(),
        _ if wanted.partition_count() == 1 => {
            return Ok(Arc::new(CoalescePartitionsExec::new(plan)));
        }
        _ => Partitioning::RoundRobinBatch(wanted.partition_count()),
    };
    Ok(Arc::new(RepartitionExec::try_new(plan, wanted)?))
}

/// A reader of a spool.
#[derive(Debug)]
pub struct SpoolExec {
    handle: Handle,
    input: Arc<dyn ExecutionPlan>,
    run: Arc<Run>,
    /// Kept when an operator below is replaced: it is still the same reader.
    history: Arc<History>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// How often a reader was started. All readers of a run count alike, so that they agree on which of
/// several executions of one plan they take part in.
#[derive(Debug, Default)]
struct History {
    opened: Mutex<HashMap<usize, usize>>,
    resets: AtomicUsize,
}

impl SpoolExec {
    /// A reader that has the input for itself.
    pub fn new(handle: Handle, input: Arc<dyn ExecutionPlan>) -> Self {
        let run = Arc::new(Run::default());
        run.readers.store(1, Atomic::Relaxed);
        Self::of_run(handle, input, run)
    }

    fn of_run(handle: Handle, input: Arc<dyn ExecutionPlan>, run: Arc<Run>) -> Self {
        // The input's order is kept but not told. A rule that knew of it could change the input of one
        // reader for the sake of what stands above that reader, and the inputs must stay alike.
        let mut equivalences = input.equivalence_properties().clone();
        equivalences.clear_orderings();
        let properties = PlanProperties::new(
            equivalences,
            known(input.output_partitioning()),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Self {
            handle,
            input,
            run,
            history: Arc::default(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn partitions(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }
}

impl DisplayAs for SpoolExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let readers = self.run.readers.load(Atomic::Relaxed);
        write!(f, "SpoolExec: computed once, read {readers} times")
    }
}

impl ExecutionPlan for SpoolExec {
    fn name(&self) -> &str {
        "SpoolExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = one_input("SpoolExec", children)?;
        let mut spool = Self::of_run(self.handle, input, Arc::clone(&self.run));
        if options.children_properties == ChildrenPropertiesMode::Keep {
            spool.properties = Arc::clone(&self.properties);
        }
        spool.history = Arc::clone(&self.history);
        Ok(Arc::new(spool))
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

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let resets = self.history.resets.fetch_add(1, Atomic::Relaxed);
        let run = self.run.successor(resets);
        run.readers.fetch_add(1, Atomic::Relaxed);
        let mut spool = Self::of_run(self.handle, Arc::clone(&self.input), run);
        spool.properties = Arc::clone(&self.properties);
        Ok(Arc::new(spool))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition >= self.partitions() {
            return internal_err!("SpoolExec has no partition {partition}");
        }
        let execution = {
            let mut opened = lock(&self.history.opened);
            let opened = opened.entry(partition).or_default();
            *opened += 1;
            *opened - 1
        };
        let spill = SpillManager::new(
            context.runtime_env(),
            SpillMetrics::new(&self.metrics, partition),
            self.schema(),
        )
        .with_compression_type(context.session_config().spill_compression());
        let log = self
            .run
            .log(execution, partition, &self.input, context, spill);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Ok(Box::pin(cooperative(Reader::open(log, metrics)?)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(Arc::clone(input)),
            _ => internal_err!("SpoolExec takes one input"),
        }
    }
}

/// What the readers of one handle share.
#[derive(Debug, Default)]
struct Run {
    /// How many readers there are.
    readers: AtomicUsize,
    /// The input of the reader that was started first; the others' are not executed.
    input: OnceLock<Arc<dyn ExecutionPlan>>,
    /// By execution and partition.
    logs: Mutex<HashMap<(usize, usize), Arc<Log>>>,
    /// The run of the readers that were reset last, and the how manieth reset that was.
    successor: Mutex<Option<(usize, Weak<Run>)>>,
}

impl Run {
    fn log(
        &self,
        execution: usize,
        partition: usize,
        input: &Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        spill: SpillManager,
    ) -> Arc<Log> {
        match lock(&self.logs).entry((execution, partition)) {
            Entry::Occupied(log) => Arc::clone(log.get()),
            Entry::Vacant(place) => {
                let input = Arc::clone(self.input.get_or_init(|| Arc::clone(input)));
                let readers = self.readers.load(Atomic::Relaxed);
                let log = Log::new(readers, input, partition, context, spill);
                Arc::clone(place.insert(Arc::new(log)))
            }
        }
    }

    /// Readers are reset one by one; those reset as often as each other meet in one new run.
    fn successor(&self, resets: usize) -> Arc<Run> {
        let mut successor = lock(&self.successor);
        if let Some((of, run)) = successor.as_ref()
            && *of == resets
            && let Some(run) = run.upgrade()
        {
            return run;
        }
        let run = Arc::new(Run::default());
        *successor = Some((resets, Arc::downgrade(&run)));
        run
    }
}

/// One partition of the input. Batches are numbered as they come.
struct Log {
    /// How many readers will come.
    expected: usize,
    partition: usize,
    spill: SpillManager,
    /// Whom to wake when the input has more.
    waiting: Arc<Waiting>,
    state: Mutex<State>,
}

struct State {
    producer: Producer,
    /// Whether a reader came by while another polled the input.
    contended: bool,
    segments: VecDeque<Segment>,
    /// The number of the next batch from the input.
    end: usize,
    /// How many readers came.
    opened: usize,
    /// The number of the next batch of each reader that has not gone.
    positions: HashMap<usize, usize>,
    /// What the segments in memory take; given back when the last reader goes.
    reservation: Option<MemoryReservation>,
}

/// Where the next batch comes from.
enum Producer {
    Unopened(Arc<dyn ExecutionPlan>, Arc<TaskContext>),
    Idle(SendableRecordBatchStream),
    /// A reader polls it.
    Taken,
    Ended,
    Failed(Arc<DataFusionError>),
}

/// Batches `first..end`, of which none is lost before all readers have passed it.
struct Segment {
    first: usize,
    end: usize,
    content: Content,
}

enum Content {
    /// A batch, and whether memory was reserved for it.
    Memory(Arc<Packed>, bool),
    /// A file that still grows.
    Writing(Writer),
    File(Arc<dyn SpillFile>),
}

/// Appends a batch to a file or, given none, ends it.
type Writer = Box<dyn FnMut(Option<&RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

/// What a reader finds at its position.
enum Found {
    Batch(RecordBatch),
    Packed(Arc<Packed>),
    /// The batches from the one with this number on.
    File(usize, usize, Arc<dyn SpillFile>),
    End,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("partition", &self.partition)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl Log {
    fn new(
        expected: usize,
        input: Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
        spill: SpillManager,
    ) -> Self {
        let reservation = MemoryConsumer::new(format!("Spool[{partition}]"))
            .with_can_spill(true)
            .register(context.memory_pool());
        Self {
            expected,
            partition,
            spill,
            waiting: Arc::default(),
            state: Mutex::new(State {
                producer: Producer::Unopened(input, context),
                contended: false,
                segments: VecDeque::new(),
                end: 0,
                opened: 0,
                positions: HashMap::new(),
                reservation: Some(reservation),
            }),
        }
    }

    /// Lets a reader in; gives its number.
    fn open(&self) -> Result<usize> {
        let mut state = lock(&self.state);
        if state.opened >= self.expected {
            return internal_err!("a spool has more than its {} readers", self.expected);
        }
        let reader = state.opened;
        state.opened += 1;
        state.positions.insert(reader, 0);
        Ok(reader)
    }

    fn close(&self, reader: usize) {
        self.waiting.forget(reader);
        let mut state = lock(&self.state);
        state.positions.remove(&reader);
        state.drop_passed(self.expected);
        let all_gone = state.opened == self.expected && state.positions.is_empty();
        if all_gone {
            // Dropped once the lock is free: what the input does then is its own business.
            let input = std::mem::replace(&mut state.producer, Producer::Ended);
            let reservation = state.reservation.take();
            drop(state);
            drop((input, reservation));
        }
    }

    /// The reader has had all batches before `position`.
    fn advance(&self, reader: usize, position: usize) {
        let mut state = lock(&self.state);
        state.positions.insert(reader, position);
        state.drop_passed(self.expected);
    }

    /// What is at a reader's position: from the log or, at its end, from the input.
    fn poll_at(&self, reader: usize, position: usize, cx: &mut Context<'_>) -> Poll<Result<Found>> {
        let mut state = lock(&self.state);
        if position < state.end {
            return Poll::Ready(state.find(position));
        }
        let taken = match std::mem::replace(&mut state.producer, Producer::Taken) {
            Producer::Ended => {
                state.producer = Producer::Ended;
                return Poll::Ready(Ok(Found::End));
            }
            Producer::Failed(error) => {
                let shared = DataFusionError::Shared(Arc::clone(&error));
                state.producer = Producer::Failed(error);
                return Poll::Ready(Err(shared));
            }
            Producer::Taken => {
                self.waiting.remember(reader, cx.waker());
                state.contended = true;
                return Poll::Pending;
            }
            producer => producer,
        };
        self.waiting.remember(reader, cx.waker());
        drop(state);

        // From here on the producer is with this reader; the guard puts it back.
        let mut guard = Guard {
            log: self,
            reader,
            back: None,
            ready: true,
        };
        let mut stream = match taken {
            Producer::Unopened(input, context) => match input.execute(self.partition, context) {
                Ok(stream) => stream,
                Err(error) => return Poll::Ready(Err(guard.fail(error))),
            },
            Producer::Idle(stream) => stream,
            _ => return Poll::Ready(internal_err!("a spool polls what it has not")),
        };
        let waker = Waker::from(Arc::clone(&self.waiting));
        match stream.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                guard.ready = false;
                guard.back = Some(Producer::Idle(stream));
                Poll::Pending
            }
            Poll::Ready(None) => {
                guard.back = Some(Producer::Ended);
                Poll::Ready(Ok(Found::End))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(guard.fail(error))),
            Poll::Ready(Some(Ok(batch))) => match self.append(batch) {
                Ok(batch) => {
                    guard.back = Some(Producer::Idle(stream));
                    Poll::Ready(Ok(Found::Batch(batch)))
                }
                Err(error) => Poll::Ready(Err(guard.fail(error))),
            },
        }
    }

    /// Logs a batch from the input. Only the reader that holds the producer gets here.
    fn append(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let last = {
            let mut state = lock(&self.state);
            let last = state.opened == self.expected && state.positions.len() <= 1;
            if last {
                // Nobody else will want it.
                state.end += 1;
            }
            last
        };
        if last {
            return Ok(batch);
        }
        let packed = Packed::new(&batch)?;

        let mut state = lock(&self.state);
        let number = state.end;
        if let Some(Segment {
            end,
            content: Content::Writing(writer),
            ..
        }) = state.segments.back_mut()
        {
            writer(Some(&batch))?;
            *end = number + 1;
            state.end = number + 1;
            return Ok(batch);
        }
        let fits = match &state.reservation {
            Some(reservation) => reservation.try_grow(packed.bytes()).is_ok(),
            None => false,
        };
        state.segments.push_back(Segment {
            first: number,
            end: number + 1,
            content: Content::Memory(Arc::new(packed), fits),
        });
        state.end = number + 1;
        if !fits {
            state.spill(&self.spill)?;
        }
        Ok(batch)
    }
}

impl State {
    fn find(&mut self, position: usize) -> Result<Found> {
        let at = self.segments.partition_point(|s| s.end <= position);
        let Some(segment) = self.segments.get_mut(at).filter(|s| s.first <= position) else {
            return internal_err!(
                "a spool has dropped batch {position}, which a reader still wants"
            );
        };
        if let Content::Writing(writer) = &mut segment.content {
            let Some(file) = writer(None)? else {
                return internal_err!("a spool has written no file");
            };
            segment.content = Content::File(file);
        }
        match &segment.content {
            Content::Memory(packed, _) => Ok(Found::Packed(Arc::clone(packed))),
            Content::File(file) => Ok(Found::File(segment.first, segment.end, Arc::clone(file))),
            Content::Writing(_) => internal_err!("a spool reads a file that it writes"),
        }
    }

    /// Writes the batches in memory, which are the newest ones, to a file that takes further ones too.
    fn spill(&mut self, manager: &SpillManager) -> Result<()> {
        let mut file =
            manager.create_in_progress_file("spooling rows that are read more than once")?;
        let mut writer: Writer = Box::new(move |batch| match batch {
            Some(batch) => file.append_batch(batch).map(|_| None),
            None => file.finish(),
        });
        let in_memory = |s: &Segment| matches!(s.content, Content::Memory(..));
        let begin = self
            .segments
            .iter()
            .rposition(|s| !in_memory(s))
            .map_or(0, |at| at + 1);
        let mut freed = 0;
        for segment in self.segments.range(begin..) {
            if let Content::Memory(packed, reserved) = &segment.content {
                writer(Some(&packed.unpack()?))?;
                freed += if *reserved { packed.bytes() } else { 0 };
            }
        }
        let Some(first) = self.segments.get(begin).map(|s| s.first) else {
            return internal_err!("a spool has nothing to spill");
        };
        self.segments.truncate(begin);
        self.segments.push_back(Segment {
            first,
            end: self.end,
            content: Content::Writing(writer),
        });
        if let Some(reservation) = &self.reservation {
            reservation.try_shrink(freed)?;
        }
        Ok(())
    }

    /// Drops the segments that all readers have passed, which is known once all have come.
    fn drop_passed(&mut self, expected: usize) {
        if self.opened < expected {
            return;
        }
        let passed = self.positions.values().min().copied().unwrap_or(usize::MAX);
        while let Some(segment) = self.segments.pop_front_if(|s| s.end <= passed) {
            if let (Content::Memory(packed, true), Some(reservation)) =
                (segment.content, &self.reservation)
            {
                reservation.shrink(packed.bytes().min(reservation.size()));
            }
        }
    }
}

/// Puts the producer back in its place, whatever becomes of the reader that took it.
struct Guard<'a> {
    log: &'a Log,
    reader: usize,
    back: Option<Producer>,
    /// Whether the input answered, be it with a batch, its end or an error.
    ready: bool,
}

impl Guard<'_> {
    /// All readers get the error.
    fn fail(&mut self, error: DataFusionError) -> DataFusionError {
        let error = Arc::new(error);
        self.back = Some(Producer::Failed(Arc::clone(&error)));
        DataFusionError::Shared(error)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let back = self.back.take().unwrap_or_else(|| {
            let error = internal_datafusion_err!("the input of a spool panicked");
            Producer::Failed(Arc::new(error))
        });
        let mut state = lock(&self.log.state);
        // An input that answers need not wake those who asked it before. One that has nothing yet wakes
        // all who asked; those who came while it was polled have not, and must.
        let wake = self.ready || state.contended;
        state.contended = false;
        state.producer = back;
        drop(state);
        if self.ready {
            self.log.waiting.forget(self.reader);
        }
        if wake {
            self.log.waiting.wake_all();
        }
    }
}

/// The readers that found nothing. As a waker it wakes them all: whichever comes first polls the input, so
/// that one which has stopped reading holds up no other.
#[derive(Default)]
struct Waiting(Mutex<HashMap<usize, Waker>>);

impl Waiting {
    fn remember(&self, reader: usize, waker: &Waker) {
        lock(&self.0).insert(reader, waker.clone());
    }

    fn forget(&self, reader: usize) {
        lock(&self.0).remove(&reader);
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *lock(&self.0));
        wakers.into_values().for_each(Waker::wake);
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

/// A reader's way through a log.
struct Reader {
    log: Arc<Log>,
    schema: SchemaRef,
    number: usize,
    /// The number of the next batch.
    position: usize,
    file: Option<OpenFile>,
    ended: bool,
    metrics: BaselineMetrics,
}

struct OpenFile {
    stream: SendableRecordBatchStream,
    /// The number of the next batch in the file; behind the reader's where it had some from memory.
    next: usize,
    end: usize,
}

impl Reader {
    fn open(log: Arc<Log>, metrics: BaselineMetrics) -> Result<Self> {
        Ok(Self {
            number: log.open()?,
            schema: Arc::clone(log.spill.schema()),
            log,
            position: 0,
            file: None,
            ended: false,
            metrics,
        })
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>>> {
        loop {
            let found = match &mut self.file {
                None => ready!(self.log.poll_at(self.number, self.position, cx))?,
                Some(file) => {
                    let Some(batch) = ready!(file.stream.poll_next_unpin(cx)).transpose()? else {
                        return Poll::Ready(internal_err!("a file of a spool ends early"));
                    };
                    let skipped = file.next < self.position;
                    file.next += 1;
                    if file.next == file.end {
                        self.file = None;
                    }
                    if skipped {
                        continue;
                    }
                    Found::Batch(batch)
                }
            };
            let batch = match found {
                Found::Batch(batch) => batch,
                Found::Packed(packed) => packed.unpack()?,
                Found::File(next, end, file) => {
                    let stream = self.log.spill.read_spill_as_stream_unbuffered(file, None)?;
                    self.file = Some(OpenFile { stream, next, end });
                    continue;
                }
                Found::End => return Poll::Ready(Ok(None)),
            };
            self.position += 1;
            self.log.advance(self.number, self.position);
            return Poll::Ready(Ok(Some(batch)));
        }
    }
}

impl Stream for Reader {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let poll = this.poll_batch(cx).map(Result::transpose);
        this.ended = matches!(poll, Poll::Ready(None | Some(Err(_))));
        this.metrics.record_poll(poll)
    }
}

impl RecordBatchStream for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.close(self.number);
    }
}

/// A panic elsewhere leaves nothing half done here: states change in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::common::{ScalarValue, Spans, exec_err};
    use datafusion::datasource::{MemTable, provider_as_source};
    use datafusion::execution::context::{QueryPlanner, SessionContext};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::functions_aggregate::expr_fn::{max, sum};
    use datafusion::logical_expr::{LogicalPlanBuilder, Subquery, col};
    use datafusion::physical_expr::EquivalenceProperties;
    use datafusion::physical_plan::displayable;
    use datafusion::physical_plan::execution_plan::{Boundedness, reset_plan_states};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::union::UnionExec;
    use datafusion::physical_planner::DefaultPhysicalPlanner;
    use datafusion::prelude::SessionConfig;
    use futures::{FutureExt, stream};
    use seedbed_boundary as boundary;
    use tokio::sync::Notify;

    use super::*;

    const BATCHES: i64 = 20;
    const ROWS: i64 = 100;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("text", DataType::Utf8View, false),
        ]))
    }

    fn batch(first: i64) -> Result<RecordBatch> {
        let texts = (first..first + ROWS).map(|id| format!("the text that goes with row {id}"));
        Ok(RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(Int64Array::from_iter_values(first..first + ROWS)),
                Arc::new(StringViewArray::from_iter_values(texts)),
            ],
        )?)
    }

    /// A partition's batches, the last of them perhaps an error.
    fn batches(partition: usize, fails: bool) -> Vec<Result<RecordBatch>> {
        let begin = partition as i64 * BATCHES * ROWS;
        let mut batches: Vec<_> = (0..BATCHES).map(|i| batch(begin + i * ROWS)).collect();
        if fails {
            batches.push(exec_err!("the disk is on fire"));
        }
        batches
    }

    /// Counts how often it is executed, and gives nothing while its gate is shut.
    #[derive(Debug)]
    struct Source {
        executed: Arc<AtomicUsize>,
        gate: Option<Arc<Notify>>,
        fails: bool,
        properties: Arc<PlanProperties>,
    }

    impl Source {
        fn new(partitions: usize) -> Self {
            let properties = PlanProperties::new(
                EquivalenceProperties::new(schema()),
                Partitioning::UnknownPartitioning(partitions),
                EmissionType::Incremental,
                Boundedness::Bounded,
            );
            Self {
                executed: Arc::default(),
                gate: None,
                fails: false,
                properties: Arc::new(properties),
            }
        }
    }

    impl DisplayAs for Source {
        fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "Source")
        }
    }

    impl ExecutionPlan for Source {
        fn name(&self) -> &str {
            "Source"
        }

        fn properties(&self) -> &Arc<PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            Vec::new()
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            Ok(TreeNodeRecursion::Continue)
        }

        fn with_new_children(
            self: Arc<Self>,
            _: Vec<Arc<dyn ExecutionPlan>>,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(self)
        }

        fn execute(
            &self,
            partition: usize,
            _: Arc<TaskContext>,
        ) -> Result<SendableRecordBatchStream> {
            self.executed.fetch_add(1, Atomic::Relaxed);
            let gate = self.gate.clone();
            let batches = stream::iter(batches(partition, self.fails)).then(move |batch| {
                let gate = gate.clone();
                async move {
                    if let Some(gate) = gate {
                        gate.notified().await;
                    }
                    batch
                }
            });
            Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), batches)))
        }
    }

    /// Readers of one spool, and how often its input was executed.
    fn readers(count: usize, source: Source) -> Result<(Arc<dyn ExecutionPlan>, Arc<AtomicUsize>)> {
        let executed = Arc::clone(&source.executed);
        let handle = Handle::fresh();
        let source: Arc<dyn ExecutionPlan> = Arc::new(source);
        let readers = (0..count)
            .map(|_| Arc::new(SpoolExec::new(handle, Arc::clone(&source))) as _)
            .collect();
        let plan = UnionExec::try_new(readers)?;
        Ok((ShareSpools.optimize(plan, &ConfigOptions::new())?, executed))
    }

    fn context(memory: usize) -> Result<(Arc<TaskContext>, Arc<dyn MemoryPool>)> {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&pool))
            .build_arc()?;
        let context = TaskContext::default().with_runtime(runtime);
        Ok((Arc::new(context), pool))
    }

    fn sorted_ids(batches: &[RecordBatch]) -> Vec<i64> {
        let mut ids: Vec<i64> = batches
            .iter()
            .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        ids.sort_unstable();
        ids
    }

    fn spill_files(plan: &Arc<dyn ExecutionPlan>) -> usize {
        plan.children()
            .iter()
            .filter_map(|reader| reader.metrics()?.spill_count())
            .sum()
    }

    async fn check_partition(
        first: &mut SendableRecordBatchStream,
        second: &mut SendableRecordBatchStream,
        partition: usize,
        interleaved: bool,
    ) -> Result<()> {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        if interleaved {
            // now the one is ahead, now the other
            while a.len() < BATCHES as usize {
                a.extend(first.next().await.transpose()?);
                b.extend(second.next().await.transpose()?);
                b.extend(second.next().await.transpose()?);
                a.extend(first.next().await.transpose()?);
            }
        }
        while let Some(batch) = first.next().await {
            a.push(batch?);
        }
        while let Some(batch) = second.next().await {
            b.push(batch?);
        }
        let expected = batches(partition, false)
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let expected = concat_batches(&schema(), &expected)?;
        assert_eq!(concat_batches(&schema(), &a)?, expected);
        assert_eq!(concat_batches(&schema(), &b)?, expected);
        Ok(())
    }

    #[tokio::test]
    async fn readers_get_the_same_rows_in_order() -> Result<()> {
        for partitions in [1, 2, 8] {
            for memory in [1 << 30, 20_000, 1] {
                for interleaved in [false, true] {
                    let (plan, executed) = readers(2, Source::new(partitions))?;
                    let (context, pool) = context(memory)?;
                    let mut streams = (0..2 * partitions)
                        .map(|p| plan.execute(p, Arc::clone(&context)))
                        .collect::<Result<Vec<_>>>()?;
                    let mut seconds = streams.split_off(partitions);
                    for (partition, (a, b)) in streams.iter_mut().zip(&mut seconds).enumerate() {
                        check_partition(a, b, partition, interleaved).await?;
                    }
                    assert_eq!(executed.load(Atomic::Relaxed), partitions);
                    assert_eq!(pool.reserved(), 0);
                    // two that go side by side keep one batch or so
                    if memory == 1 || (memory == 20_000 && !interleaved) {
                        assert!(spill_files(&plan) >= partitions);
                    }
                    if memory == 1 << 30 {
                        assert_eq!(spill_files(&plan), 0);
                    }
                }
            }
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn readers_may_run_at_once() -> Result<()> {
        for memory in [1 << 30, 20_000, 1] {
            let (plan, executed) = readers(3, Source::new(8))?;
            let (context, pool) = context(memory)?;
            let batches = boundary::collect(plan, context).await?;
            let mut expected: Vec<i64> = (0..8 * BATCHES * ROWS).flat_map(|id| [id; 3]).collect();
            expected.sort_unstable();
            assert_eq!(sorted_ids(&batches), expected);
            assert_eq!(executed.load(Atomic::Relaxed), 8);
            assert_eq!(pool.reserved(), 0);
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_reader_may_go_early_or_come_late() -> Result<()> {
        for memory in [1 << 30, 1] {
            let (plan, executed) = readers(2, Source::new(1))?;
            let (context, pool) = context(memory)?;
            let mut first = plan.execute(0, Arc::clone(&context))?;
            assert!(first.next().await.is_some());
            assert!(first.next().await.is_some());
            drop(first);
            let second: Vec<_> = plan.execute(1, context)?.collect().await;
            let second = second.into_iter().collect::<Result<Vec<_>>>()?;
            assert_eq!(sorted_ids(&second), Vec::from_iter(0..BATCHES * ROWS));
            assert_eq!(executed.load(Atomic::Relaxed), 1);
            assert_eq!(pool.reserved(), 0);
        }
        Ok(())
    }

    /// One that waits for the input and is not polled again, or dropped, holds up nobody and loses nothing.
    #[tokio::test]
    async fn a_reader_that_stops_in_the_middle_holds_up_no_other() -> Result<()> {
        for dropped in [false, true] {
            let gate = Arc::new(Notify::new());
            let mut source = Source::new(1);
            source.gate = Some(Arc::clone(&gate));
            let (plan, _) = readers(2, source)?;
            let (context, _) = context(1 << 30)?;
            let mut first = plan.execute(0, Arc::clone(&context))?;
            let mut second = plan.execute(1, context)?;
            assert!(first.next().now_or_never().is_none());
            assert!(second.next().now_or_never().is_none());
            let waits = tokio::spawn(async move {
                let batch = second.next().await;
                (batch, second)
            });
            tokio::task::yield_now().await;
            let first = (!dropped).then_some(first);
            gate.notify_one();
            let (from_second, second) = waits
                .await
                .map_err(|e| DataFusionError::External(Box::new(e)))?;
            let from_second = from_second.transpose()?;
            assert_eq!(from_second, Some(batch(0)?));
            drop(second);
            if let Some(mut first) = first {
                assert_eq!(first.next().await.transpose()?, from_second);
                gate.notify_one();
                assert_eq!(first.next().await.transpose()?, Some(batch(ROWS)?));
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn all_readers_get_the_error() -> Result<()> {
        let mut source = Source::new(1);
        source.fails = true;
        let (plan, executed) = readers(2, source)?;
        let (context, _) = context(1 << 30)?;
        for reader in 0..2 {
            let mut found: Vec<_> = plan.execute(reader, Arc::clone(&context))?.collect().await;
            let Some(Err(error)) = found.pop() else {
                return internal_err!("reader {reader} got no error");
            };
            assert!(error.to_string().contains("the disk is on fire"));
            assert_eq!(found.len(), BATCHES as usize);
        }
        assert_eq!(executed.load(Atomic::Relaxed), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_plan_may_be_executed_again() -> Result<()> {
        let (plan, executed) = readers(2, Source::new(2))?;
        let expected: Vec<i64> = (0..2 * BATCHES * ROWS).flat_map(|id| [id; 2]).collect();
        let mut reset = Arc::clone(&plan);
        for executions in 1..=3 {
            let (context, _) = context(1 << 30)?;
            let batches = boundary::collect(Arc::clone(&plan), Arc::clone(&context)).await?;
            assert_eq!(sorted_ids(&batches), expected);
            assert_eq!(executed.load(Atomic::Relaxed), 4 * executions - 2);
            // as a recursive query does
            reset = reset_plan_states(if executions == 2 {
                reset
            } else {
                Arc::clone(&plan)
            })?;
            let batches = boundary::collect(Arc::clone(&reset), context).await?;
            assert_eq!(sorted_ids(&batches), expected);
            assert_eq!(executed.load(Atomic::Relaxed), 4 * executions);
        }
        Ok(())
    }

    /// Readers of another partitioning than the first get theirs.
    #[tokio::test]
    async fn readers_keep_their_partitioning() -> Result<()> {
        let handle = Handle::fresh();
        let inputs = [Source::new(3), Source::new(1), Source::new(2)];
        let readers = inputs
            .into_iter()
            .map(|source| Arc::new(SpoolExec::new(handle, Arc::new(source))) as _)
            .collect();
        let plan = ShareSpools.optimize(UnionExec::try_new(readers)?, &ConfigOptions::new())?;
        let counts: Vec<usize> = plan
            .children()
            .iter()
            .map(|reader| reader.output_partitioning().partition_count())
            .collect();
        assert_eq!(counts, [3, 1, 2]);
        let (context, _) = context(1 << 30)?;
        let batches = boundary::collect(plan, context).await?;
        let expected: Vec<i64> = (0..3 * BATCHES * ROWS).flat_map(|id| [id; 3]).collect();
        assert_eq!(sorted_ids(&batches), expected);
        Ok(())
    }

    #[derive(Debug)]
    struct Planner;

    #[async_trait]
    impl QueryPlanner for Planner {
        async fn create_physical_plan(
            &self,
            plan: &LogicalPlan,
            session: &dyn Session,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            let planner =
                DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(SpoolPlanner)]);
            PhysicalPlanner::create_physical_plan(&planner, plan, session).await
        }
    }

    fn session() -> SessionContext {
        let state = SessionStateBuilder::new()
            .with_config(SessionConfig::new().with_target_partitions(3))
            .with_default_features()
            .with_query_planner(Arc::new(Planner))
            .with_physical_optimizer_rule(Arc::new(ShareSpools))
            .build();
        SessionContext::new_with_state(state)
    }

    fn value_of(plan: LogicalPlan, aggregate: Expr) -> Result<Expr> {
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(Vec::<Expr>::new(), vec![aggregate])?
            .build()?;
        Ok(Expr::ScalarSubquery(Subquery {
            subquery: Arc::new(plan),
            outer_ref_columns: Vec::new(),
            spans: Spans::new(),
        }))
    }

    /// A spool read by a query and by its subquery, over another such spool.
    #[tokio::test]
    async fn queries_and_their_subqueries_share_spools() -> Result<()> {
        let rows = vec![vec![batch(0)?], vec![batch(ROWS)?]];
        let table = Arc::new(MemTable::try_new(schema(), rows)?);
        let scan = LogicalPlanBuilder::scan("t", provider_as_source(table), None)?.build()?;
        let below = Spool::over(scan);
        // id - max(id): 0 at most
        let shifted = col("id") - value_of(below.clone(), max(col("id")))?;
        let below = LogicalPlanBuilder::from(below)
            .project(vec![shifted.alias("shifted"), col("text")])?
            .build()?;
        let above = Spool::over(below);
        let total = value_of(above.clone(), sum(col("shifted")))?;
        let plan = LogicalPlanBuilder::from(above)
            .project(vec![(col("shifted") - total).alias("answer")])?
            .aggregate(Vec::<Expr>::new(), vec![sum(col("answer"))])?
            .build()?;
        let context = session();
        for _ in 0..2 {
            let physical = boundary::physical_plan(context.state(), plan.clone()).await?;
            let shown = displayable(physical.as_ref()).indent(false).to_string();
            assert!(
                shown.contains("SpoolExec: computed once, read 2 times"),
                "{shown}"
            );
            let batches = boundary::collect(physical, context.task_ctx()).await?;
            let answer = ScalarValue::try_from_array(batches[0].column(0), 0)?;
            // n = 200 values from -199 to 0: their sum s = -19900, and s - n * s
            assert_eq!(answer, ScalarValue::Int64(Some(-19_900 + 200 * 19_900)));
        }
        Ok(())
    }
}
