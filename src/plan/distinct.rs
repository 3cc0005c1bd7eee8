//! `DISTINCT` that streams: of each row only a fingerprint of 128 bits is kept.
//!
//! DataFusion's own `DISTINCT` is an aggregate that holds every distinct row and gives none before the
//! last is read. Here a row passes at once if its fingerprint is new, so the rows are never held: a table of
//! 10 million distinct rows takes 300 MB, however wide. Two different rows have the same fingerprint with
//! a probability of about 2^-126 (two NH hashes of 64 bits, Black et al., "UMAC", 1999, with keys that are drawn
//! anew for each run), 10^-24 for any two of 10 million.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{BatchCoalescer, cast};
use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, internal_err, resources_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Distinct as LogicalDistinct, Expr, Extension, LogicalPlan, UserDefinedLogicalNode,
    UserDefinedLogicalNodeCore,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use super::one_input;
use crate::session::Settings;

/// The analyzer rule that puts [`Distinct`] in the place of `DISTINCT`, where all columns have a type it takes.
#[derive(Debug, Default)]
pub struct StreamDistinct;

impl AnalyzerRule for StreamDistinct {
    fn name(&self) -> &str {
        "stream_distinct"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let settings = config.extensions.get::<Settings>();
        if settings.is_some_and(|s| s.distinct_strategy != "hash") {
            return Ok(plan);
        }
        plan.transform_up(|node| match node {
            LogicalPlan::Distinct(LogicalDistinct::All(input))
                if input.schema().fields().iter().all(|f| takes(f.data_type()))
                    && !input.schema().fields().is_empty()
                    && !input.contains_outer_reference() =>
            {
                let node = Arc::new(Distinct {
                    input: Arc::unwrap_or_clone(input),
                });
                Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
            }
            node => Ok(Transformed::no(node)),
        })
        .data()
    }
}

/// The distinct rows of an input, in no order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Distinct {
    input: LogicalPlan,
}

impl PartialOrd for Distinct {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Distinct {
    fn name(&self) -> &str {
        "Distinct"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// None: rows that are equal pass a filter, or not, together.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Distinct")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = one_input("Distinct", inputs)?;
        Ok(Self { input })
    }
}

/// Plans [`Distinct`].
#[derive(Debug, Default)]
pub struct DistinctPlanner;

#[async_trait]
impl ExtensionPlanner for DistinctPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match (node.as_any().is::<Distinct>(), physical_inputs) {
            (true, [input]) => Ok(Some(Arc::new(DistinctExec::new(Arc::clone(input))))),
            _ => Ok(None),
        }
    }
}

/// Lets rows pass that were not seen before, in any partition.
#[derive(Debug)]
pub struct DistinctExec {
    input: Arc<dyn ExecutionPlan>,
    run: Mutex<Run>,
    metrics: ExecutionPlanMetricsSet,
}

/// One execution: the partitions that take part, and what they have seen, until all have started: from then on
/// it lives as long as the last of them reads its input.
#[derive(Debug, Default)]
struct Run {
    started: HashSet<usize>,
    seen: Option<Arc<Seen>>,
}

impl DistinctExec {
    /// The distinct rows of `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            input,
            run: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for DistinctExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "DistinctExec: by fingerprint")
    }
}

impl ExecutionPlan for DistinctExec {
    fn name(&self) -> &str {
        "DistinctExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        let input = one_input("DistinctExec", children)?;
        Ok(Arc::new(Self::new(input)))
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
        let seen = {
            let mut run = self.run.lock();
            // the same partition again is another execution
            if !run.started.insert(partition) {
                run.started = HashSet::from([partition]);
                run.seen = None;
            }
            let seen = match run.seen.take() {
                Some(seen) => seen,
                None => Arc::new(Seen::new(&context)),
            };
            if run.started.len() == self.properties().partitioning.partition_count() {
                run.started.clear();
            } else {
                run.seen = Some(Arc::clone(&seen));
            }
            seen
        };
        let mut seen = Some(seen);
        let schema = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut input = self.input.execute(partition, Arc::clone(&context))?;
        let rows = context.session_config().batch_size();
        let mut out = BatchCoalescer::new(Arc::clone(&schema), rows);
        let mut scratch = Scratch::default();
        let mut done = false;
        let batches = stream::poll_fn(move |cx| {
            loop {
                if let Some(batch) = out.next_completed_batch() {
                    metrics.record_output(batch.num_rows());
                    return std::task::Poll::Ready(Some(Ok(batch)));
                }
                if done {
                    return std::task::Poll::Ready(None);
                }
                let next = std::task::ready!(input.poll_next_unpin(cx));
                let _timer = metrics.elapsed_compute().timer();
                let pushed = match (next, &seen) {
                    (Some(Ok(batch)), Some(seen)) => seen
                        .new_rows(&batch, &mut scratch)
                        .and_then(|new| Ok(out.push_batch_with_filter(batch, &new)?)),
                    (Some(Err(error)), _) => Err(error),
                    _ => {
                        done = true;
                        seen = None;
                        out.finish_buffered_batch().map_err(Into::into)
                    }
                };
                if let Err(error) = pushed {
                    done = true;
                    return std::task::Poll::Ready(Some(Err(error)));
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// How many locks share the fingerprints, so that partitions seldom wait for each other.
const SHARDS: usize = 64;

type Shard = HashSet<u128, BuildHasherDefault<Fingerprint>>;

/// The fingerprints of the rows that have passed.
#[derive(Debug)]
struct Seen {
    shards: Vec<Mutex<Shard>>,
    keys: RandomState,
    reservation: Mutex<MemoryReservation>,
}

/// What a partition uses again for each batch.
#[derive(Debug, Default)]
struct Scratch {
    sums: Vec<[u128; 2]>,
    prints: Vec<u128>,
    by_shard: Vec<u32>,
}

impl Seen {
    fn new(context: &TaskContext) -> Self {
        let reservation = MemoryConsumer::new("DISTINCT").register(context.memory_pool());
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            keys: RandomState::new(),
            reservation: Mutex::new(reservation),
        }
    }

    /// Which rows of a batch were not seen before; they are from now on.
    fn new_rows(&self, batch: &RecordBatch, scratch: &mut Scratch) -> Result<BooleanArray> {
        let rows = batch.num_rows();
        self.fingerprints(batch, scratch)?;
        // rows by shard: each lock is taken once a batch
        let shard = |print: u128| (print >> 122) as usize;
        let mut ends = [0u32; SHARDS];
        for print in &scratch.prints {
            ends[shard(*print)] += 1;
        }
        let mut starts = [0u32; SHARDS];
        for s in 1..SHARDS {
            starts[s] = starts[s - 1] + ends[s - 1];
        }
        let mut next = starts;
        scratch.by_shard.clear();
        scratch.by_shard.resize(rows, 0);
        for (row, print) in (0u32..).zip(&scratch.prints) {
            let place = &mut next[shard(*print)];
            scratch.by_shard[*place as usize] = row;
            *place += 1;
        }
        let mut new = vec![false; rows];
        let mut grown = 0;
        for (s, lock) in self.shards.iter().enumerate() {
            let rows = &scratch.by_shard[starts[s] as usize..next[s] as usize];
            if rows.is_empty() {
                continue;
            }
            let mut seen = lock.lock();
            let before = seen.capacity();
            for row in rows {
                new[*row as usize] = seen.insert(scratch.prints[*row as usize]);
            }
            grown += seen.capacity() - before;
        }
        if grown > 0 {
            // a slot is a fingerprint and a byte of control; an eighth of them stays empty
            let bytes = grown * (size_of::<u128>() + 1) * 8 / 7;
            self.reservation.lock().try_grow(bytes).map_err(|error| {
                resources_datafusion_err!(
                    "DISTINCT keeps 20 bytes a distinct row, and has no more memory. Give more with --memory-limit, or SET seedbed.distinct_strategy = 'aggregate', which is slower but goes to disk. {error}"
                )
            })?;
        }
        Ok(BooleanArray::from(new))
    }

    fn fingerprints(&self, batch: &RecordBatch, scratch: &mut Scratch) -> Result<()> {
        scratch.sums.clear();
        scratch.sums.resize(batch.num_rows(), [0; 2]);
        for (i, column) in (0u64..).zip(batch.columns()) {
            let keys = [0, 1, 2, 3, 4, 5].map(|k| self.keys.hash_one((i, k)));
            add_column(column, keys, &self.keys, &mut scratch.sums)?;
        }
        let (a, b) = (self.keys.hash_one(7u64), self.keys.hash_one(8u64));
        scratch.prints.clear();
        let prints = scratch
            .sums
            .iter()
            .map(|[x, y]| (u128::from(fold(*x, a)) << 64) | u128::from(fold(*y, b)));
        scratch.prints.extend(prints);
        Ok(())
    }
}

/// 128 bits to 64 (the finaliser of splitmix64, twice).
#[inline]
fn fold(sum: u128, key: u64) -> u64 {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    mix((sum as u64) ^ mix(((sum >> 64) as u64) ^ key))
}

/// Adds a column's values, as pairs of 64 bits, to the sums of NH: `(low + key) * (high + key)`, twice with
/// different keys. NULL adds two of the keys themselves.
#[inline]
fn add<I: Iterator<Item = (u64, u64)>>(
    values: I,
    column: &dyn Array,
    keys: [u64; 6],
    sums: &mut [[u128; 2]],
) {
    let term = |low: u64, high: u64| {
        let product =
            |a: u64, b: u64| u128::from(low.wrapping_add(a)) * u128::from(high.wrapping_add(b));
        [product(keys[0], keys[1]), product(keys[2], keys[3])]
    };
    let null = term(keys[4], keys[5]);
    match column.nulls().filter(|n| n.null_count() > 0) {
        None => {
            for (sum, (low, high)) in sums.iter_mut().zip(values) {
                let [x, y] = term(low, high);
                sum[0] = sum[0].wrapping_add(x);
                sum[1] = sum[1].wrapping_add(y);
            }
        }
        Some(nulls) => {
            for ((sum, (low, high)), valid) in sums.iter_mut().zip(values).zip(nulls.iter()) {
                let [x, y] = if valid { term(low, high) } else { null };
                sum[0] = sum[0].wrapping_add(x);
                sum[1] = sum[1].wrapping_add(y);
            }
        }
    }
}

/// A text or bytes as 128 bits: itself with its length if it is short, a hash if not.
#[inline]
fn bytes(value: &[u8], hash: &RandomState) -> (u64, u64) {
    if value.len() <= 12 {
        let mut view = [0u8; 16];
        view[0] = value.len() as u8;
        view[4..4 + value.len()].copy_from_slice(value);
        let view = u128::from_le_bytes(view);
        return (view as u64, (view >> 64) as u64);
    }
    (hash.hash_one((0u8, value)), hash.hash_one((1u8, value)))
}

fn add_column(
    column: &ArrayRef,
    keys: [u64; 6],
    hash: &RandomState,
    sums: &mut [[u128; 2]],
) -> Result<()> {
    let array = column.as_ref();
    match column.data_type() {
        DataType::Null => {}
        DataType::Dictionary(_, value) => {
            return add_column(&cast(column, value)?, keys, hash, sums);
        }
        DataType::Boolean => {
            let values = column.as_boolean().values().iter();
            add(values.map(|v| (u64::from(v), 0)), array, keys, sums);
        }
        DataType::Utf8View => {
            let values = column.as_string_view();
            let views = values.views().iter().enumerate();
            let pair = |(i, view): (usize, &u128)| {
                // a short text is its view: length, bytes, zeros
                if *view as u32 <= 12 {
                    (*view as u64, (*view >> 64) as u64)
                } else {
                    bytes(values.value(i).as_bytes(), hash)
                }
            };
            // views of NULLs may be anything, and are not looked at
            match values.nulls().filter(|n| n.null_count() > 0).cloned() {
                None => add(views.map(pair), array, keys, sums),
                Some(nulls) => {
                    let valid = |(i, view)| {
                        if nulls.is_valid(i) {
                            pair((i, view))
                        } else {
                            (0, 0)
                        }
                    };
                    add(views.map(valid), array, keys, sums);
                }
            }
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            let pairs = (0..values.len()).map(|i| bytes(values.value(i).as_bytes(), hash));
            add(pairs, array, keys, sums);
        }
        DataType::LargeUtf8 => {
            let values = column.as_string::<i64>();
            let pairs = (0..values.len()).map(|i| bytes(values.value(i).as_bytes(), hash));
            add(pairs, array, keys, sums);
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            let pairs = (0..values.len()).map(|i| bytes(values.value(i), hash));
            add(pairs, array, keys, sums);
        }
        DataType::LargeBinary => {
            let values = column.as_binary::<i64>();
            let pairs = (0..values.len()).map(|i| bytes(values.value(i), hash));
            add(pairs, array, keys, sums);
        }
        // NaNs are one value, as in GROUP BY, whatever their bits
        DataType::Float64 => {
            let values = column.as_primitive::<arrow::datatypes::Float64Type>();
            let canonical = |v: &f64| if v.is_nan() { f64::NAN } else { *v };
            let pairs = values.values().iter().map(|v| (canonical(v).to_bits(), 0));
            add(pairs, array, keys, sums);
        }
        DataType::Float32 => {
            let values = column.as_primitive::<arrow::datatypes::Float32Type>();
            let canonical = |v: &f32| if v.is_nan() { f32::NAN } else { *v };
            let pairs = values
                .values()
                .iter()
                .map(|v| (u64::from(canonical(v).to_bits()), 0));
            add(pairs, array, keys, sums);
        }
        other => {
            let data = column.to_data();
            let rows = column.len();
            match other.primitive_width() {
                Some(1) => {
                    let values = data.buffer::<u8>(0)[..rows].iter();
                    add(values.map(|v| (u64::from(*v), 0)), array, keys, sums);
                }
                Some(2) => {
                    let values = data.buffer::<u16>(0)[..rows].iter();
                    add(values.map(|v| (u64::from(*v), 0)), array, keys, sums);
                }
                Some(4) => {
                    let values = data.buffer::<u32>(0)[..rows].iter();
                    add(values.map(|v| (u64::from(*v), 0)), array, keys, sums);
                }
                Some(8) => {
                    let values = data.buffer::<u64>(0)[..rows].iter();
                    add(values.map(|v| (*v, 0)), array, keys, sums);
                }
                Some(16) => {
                    let values = data.buffer::<i128>(0)[..rows].iter();
                    let pair = |v: &i128| (*v as u64, (*v >> 64) as u64);
                    add(values.map(pair), array, keys, sums);
                }
                _ => return internal_err!("DISTINCT by fingerprint does not take {other}"),
            }
        }
    }
    Ok(())
}

/// Whether [`add_column`] takes a type.
fn takes(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, value) => takes(value),
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8View
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Binary
        | DataType::LargeBinary => true,
        DataType::Float16 => false,
        other => matches!(other.primitive_width(), Some(1 | 2 | 4 | 8 | 16)),
    }
}

/// A fingerprint is its own hash.
#[derive(Debug, Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }
}
