//! Sorting by keys that repeat: rows are put together group by group first, and sorted within their group.
//!
//! A window `OVER (PARTITION BY k ORDER BY t)` needs its rows sorted by k and t. Comparing rows by k again and
//! again is dear, and rows often come in the order of t already: this takes one lookup a row, one pass where
//! a group is in order, and a sort of the group by numbers where it is not.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortOptions, cast, interleave, interleave_record_batch};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int64Type, Schema, SchemaRef, UInt64Type,
};
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::common::{DataFusionError, Result, Statistics, exec_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ChildrenPropertiesMode};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::one_input;

/// What a row costs beside its values: its group, its key, and its place.
const ROW: usize = 4 + 8 + size_of::<Entry>();

/// Sorts as a [`SortExec`] does whose first keys are those of groups. Where memory does not suffice, it is one.
#[derive(Debug, Clone)]
pub struct GroupSortExec {
    sort: SortExec,
    /// How many of the keys are those of groups.
    keys: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl GroupSortExec {
    /// In place of a sort; `None` where the sort is better.
    pub fn instead_of(sort: &SortExec, keys: usize) -> Result<Option<Self>> {
        let schema = sort.input().schema();
        if sort.fetch().is_some() || keys == 0 || keys > sort.expr().len() {
            return Ok(None);
        }
        for by in sort.expr().iter().take(keys) {
            // floats that are equal in a group may differ in an order
            let of = by.expr.data_type(&schema)?;
            if of.is_floating() || of.is_nested() || of.is_null() {
                return Ok(None);
            }
        }
        Ok(Some(Self {
            sort: sort.clone(),
            keys,
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

impl DisplayAs for GroupSortExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let (groups, within) = self.sort.expr().split_at(self.keys);
        let list = |keys: &[PhysicalSortExpr]| -> String {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            keys.join(", ")
        };
        write!(
            f,
            "GroupSortExec: groups=[{}], within=[{}]",
            list(groups),
            list(within)
        )
    }
}

impl ExecutionPlan for GroupSortExec {
    fn name(&self) -> &str {
        "GroupSortExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.sort.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sort.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.sort.input_distribution_requirements()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.sort.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = one_input("GroupSortExec", children)?;
        let sort = SortExec::new(self.sort.expr().clone(), input)
            .with_preserve_partitioning(self.sort.preserve_partitioning());
        Ok(Arc::new(Self {
            sort,
            ..Arc::unwrap_or_clone(self)
        }))
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
        let input = self.sort.input().execute(partition, Arc::clone(&context))?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        let rows = sorted(self.sort.expr().clone(), self.keys, input, context, metrics);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            stream::once(rows).try_flatten(),
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.sort.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// Where a row is, and a number that never orders it wrongly within its group.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    key: u64,
    batch: u32,
    row: u32,
}

impl Entry {
    fn place(&self) -> (usize, usize) {
        (self.batch as usize, self.row as usize)
    }
}

/// Rows as they came, with their groups.
struct Gathered {
    by: LexOrdering,
    keys: usize,
    batches: Vec<RecordBatch>,
    /// A row's group, and the first eight bytes of what it is sorted by within it.
    rows: Vec<(Vec<u32>, Vec<u64>)>,
    groups: Box<dyn GroupValues>,
    reservation: MemoryReservation,
}

async fn sorted(
    by: LexOrdering,
    keys: usize,
    mut input: SendableRecordBatchStream,
    context: Arc<TaskContext>,
    metrics: BaselineMetrics,
) -> Result<SendableRecordBatchStream> {
    let schema = input.schema();
    let mut gathered = Gathered::new(by, keys, &schema, &context)?;
    let mut fits = true;
    while let Some(batch) = input.try_next().await? {
        let _timer = metrics.elapsed_compute().timer();
        fits = gathered.add(batch)?;
        if !fits {
            break;
        }
    }
    let order = match fits {
        true => {
            let _timer = metrics.elapsed_compute().timer();
            gathered.order(&schema)?
        }
        false => None,
    };
    let Some(order) = order else {
        return gathered.spill(schema, input, context);
    };
    let batch_size = context.session_config().batch_size().max(1);
    let Gathered {
        batches,
        reservation,
        ..
    } = gathered;
    let mut at = 0;
    let output = std::iter::from_fn(move || {
        let _held = &reservation;
        if at == order.len() {
            return None;
        }
        let _timer = metrics.elapsed_compute().timer();
        let end = order.len().min(at + batch_size);
        let places: Vec<(usize, usize)> = order[at..end].iter().map(Entry::place).collect();
        at = end;
        let refs: Vec<&RecordBatch> = batches.iter().collect();
        metrics.record_output(places.len());
        Some(interleave_record_batch(&refs, &places).map_err(DataFusionError::from))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(
        schema,
        stream::iter(output),
    )))
}

impl Gathered {
    fn new(by: LexOrdering, keys: usize, schema: &Schema, context: &TaskContext) -> Result<Self> {
        let fields = by
            .iter()
            .take(keys)
            .map(|by| {
                Ok(Field::new(
                    by.expr.to_string(),
                    by.expr.data_type(schema)?,
                    true,
                ))
            })
            .collect::<Result<Vec<Field>>>()?;
        Ok(Self {
            groups: new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?,
            reservation: MemoryConsumer::new("GroupSortExec").register(context.memory_pool()),
            by,
            keys,
            batches: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Takes a batch in; false if there is no memory for more.
    fn add(&mut self, batch: RecordBatch) -> Result<bool> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(true);
        }
        let Ok(count) = u32::try_from(rows) else {
            return exec_err!("a batch of {rows} rows cannot be sorted");
        };
        let (groups, within) = self.by.split_at(self.keys);
        let evaluate = |by: &PhysicalSortExpr| by.expr.evaluate(&batch)?.into_array(rows);
        let keys = groups.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let before = self.groups.size();
        let mut of = Vec::with_capacity(rows);
        self.groups.intern(&keys, &mut of)?;
        let of = of.into_iter().map(|g| g as u32).collect();
        let order = match within.first() {
            Some(by) => prefixes(&evaluate(by)?, by.options),
            None => vec![0; count as usize],
        };
        let more = get_record_batch_memory_size(&batch)
            + rows * ROW
            + self.groups.size().saturating_sub(before);
        self.batches.push(batch);
        self.rows.push((of, order));
        Ok(self.reservation.try_grow(more).is_ok() && self.groups.len() < u32::MAX as usize)
    }

    /// The rows in order; `None` if there is no memory to find it.
    fn order(&mut self, schema: &Schema) -> Result<Option<Vec<Entry>>> {
        let ends = self.group_ends()?;
        let mut next: Vec<usize> = ends.iter().map(|(start, _)| *start).collect();
        let mut order = vec![Entry::default(); ends.iter().map(|(start, end)| end - start).sum()];
        for (batch, (groups, keys)) in self.rows.iter().enumerate() {
            for (row, (group, key)) in groups.iter().zip(keys).enumerate() {
                let place = &mut next[*group as usize];
                order[*place] = Entry {
                    key: *key,
                    batch: batch as u32,
                    row: row as u32,
                };
                *place += 1;
            }
        }
        if self.by.len() == self.keys {
            return Ok(Some(order));
        }
        // runs of rows whose numbers leave their order open
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (start, end) in ends {
            let group = &mut order[start..end];
            if !group.is_sorted_by(|a, b| a.key <= b.key) {
                group.sort_unstable_by_key(|e| (e.key, e.batch, e.row));
            }
            let mut at = start;
            for run in group.chunk_by(|a, b| a.key == b.key) {
                if run.len() > 1 {
                    open.push((at, at + run.len()));
                }
                at += run.len();
            }
        }
        Ok(self.settle(schema, &mut order, &open)?.then_some(order))
    }

    /// Where each group begins and ends in the order, by its number.
    fn group_ends(&mut self) -> Result<Vec<(usize, usize)>> {
        let mut counts = vec![0; self.groups.len()];
        for (groups, _) in &self.rows {
            for group in groups {
                counts[*group as usize] += 1;
            }
        }
        let values = self.groups.emit(EmitTo::All)?;
        let fields = self
            .by
            .iter()
            .zip(&values)
            .map(|(by, values)| SortField::new_with_options(values.data_type().clone(), by.options))
            .collect();
        let rows = RowConverter::new(fields)?.convert_columns(&values)?;
        let mut ranked: Vec<usize> = (0..counts.len()).collect();
        ranked.sort_unstable_by(|a, b| rows.row(*a).cmp(&rows.row(*b)));
        let mut ends = vec![(0, 0); counts.len()];
        let mut start = 0;
        for group in ranked {
            ends[group] = (start, start + counts[group]);
            start += counts[group];
        }
        Ok(ends)
    }

    /// Sorts the runs whose order is open by all there is to sort by; false if there is no memory for it.
    fn settle(
        &self,
        schema: &Schema,
        order: &mut [Entry],
        open: &[(usize, usize)],
    ) -> Result<bool> {
        if open.is_empty() {
            return Ok(true);
        }
        let places: Vec<(usize, usize)> = open
            .iter()
            .flat_map(|(start, end)| order[*start..*end].iter().map(Entry::place))
            .collect();
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for by in &self.by[self.keys..] {
            let all = self
                .batches
                .iter()
                .map(|batch| by.expr.evaluate(batch)?.into_array(batch.num_rows()))
                .collect::<Result<Vec<ArrayRef>>>()?;
            let refs: Vec<&dyn Array> = all.iter().map(AsRef::as_ref).collect();
            let column = interleave(&refs, &places)?;
            let bytes = 3 * column.get_array_memory_size();
            if self.reservation.try_grow(bytes).is_err() {
                return Ok(false);
            }
            columns.push(column);
            fields.push(SortField::new_with_options(
                by.expr.data_type(schema)?,
                by.options,
            ));
        }
        let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
        let mut first = 0;
        let mut run: Vec<(usize, Entry)> = Vec::new();
        for (start, end) in open {
            run.clear();
            run.extend((first..).zip(order[*start..*end].iter().copied()));
            first += end - start;
            run.sort_by(|a, b| rows.row(a.0).cmp(&rows.row(b.0)));
            for (place, (_, entry)) in order[*start..*end].iter_mut().zip(&run) {
                *place = *entry;
            }
        }
        Ok(true)
    }

    /// Sorts as DataFusion does, on disk.
    fn spill(
        self,
        schema: SchemaRef,
        rest: SendableRecordBatchStream,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        drop(self.reservation);
        let rows = stream::iter(self.batches.into_iter().map(Ok)).chain(rest);
        let replay = Replay {
            schema: Arc::clone(&schema),
            rows: Mutex::new(Some(Box::pin(RecordBatchStreamAdapter::new(
                Arc::clone(&schema),
                rows,
            )))),
        };
        let input = StreamingTableExec::try_new(
            Arc::clone(&schema),
            vec![Arc::new(replay)],
            None,
            Vec::<LexOrdering>::new(),
            false,
            None,
        )?;
        SortExec::new(self.by, Arc::new(input)).execute(0, context)
    }
}

/// A stream that is read once.
struct Replay {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay")
    }
}

impl PartitionStream for Replay {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.rows.lock().take() {
            Some(rows) => rows,
            None => Box::pin(RecordBatchStreamAdapter::new(
                Arc::clone(&self.schema),
                stream::once(async { exec_err!("rows to sort were read twice") }),
            )),
        }
    }
}

/// For each value a number that does not order it wrongly: equal numbers say nothing.
fn prefixes(values: &ArrayRef, options: SortOptions) -> Vec<u64> {
    const SIGN: u64 = 1 << 63;
    let text = |bytes: &[u8]| {
        let mut first = [0; 8];
        let len = bytes.len().min(8);
        first[..len].copy_from_slice(&bytes[..len]);
        u64::from_be_bytes(first)
    };
    let rows = 0..values.len();
    let mut prefixes: Vec<u64> = match values.data_type() {
        DataType::UInt64 => values.as_primitive::<UInt64Type>().values().to_vec(),
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>().values().iter();
            let order = |bits: u64| if bits & SIGN == 0 { bits | SIGN } else { !bits };
            values.map(|v| order(v.to_bits())).collect()
        }
        DataType::Float32 => {
            const SIGN: u32 = 1 << 31;
            let values = values.as_primitive::<Float32Type>().values().iter();
            let order = |bits: u32| if bits & SIGN == 0 { bits | SIGN } else { !bits };
            values.map(|v| u64::from(order(v.to_bits()))).collect()
        }
        DataType::Boolean => {
            let values = values.as_boolean();
            rows.map(|i| u64::from(values.value(i))).collect()
        }
        DataType::Utf8 => {
            let values = values.as_string::<i32>();
            rows.map(|i| text(values.value(i).as_bytes())).collect()
        }
        DataType::LargeUtf8 => {
            let values = values.as_string::<i64>();
            rows.map(|i| text(values.value(i).as_bytes())).collect()
        }
        DataType::Utf8View => {
            let values = values.as_string_view();
            rows.map(|i| text(values.value(i).as_bytes())).collect()
        }
        of if of.is_integer() || of.is_temporal() => match cast(values, &DataType::Int64) {
            Ok(whole) => {
                let whole = whole.as_primitive::<Int64Type>().values().iter();
                whole.map(|v| v.cast_unsigned() ^ SIGN).collect()
            }
            Err(_) => vec![0; values.len()],
        },
        _ => vec![0; values.len()],
    };
    if options.descending {
        prefixes.iter_mut().for_each(|p| *p = !*p);
    }
    if let Some(nulls) = values.logical_nulls().filter(|n| n.null_count() > 0) {
        let null = if options.nulls_first { 0 } else { u64::MAX };
        for (row, prefix) in prefixes.iter_mut().enumerate() {
            if nulls.is_null(row) {
                *prefix = null;
            }
        }
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringViewArray, TimestampSecondArray};
    use arrow::datatypes::TimeUnit;
    use datafusion::catalog::memory::MemorySourceConfig;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_expr::expressions::col;
    use datafusion::prelude::SessionConfig;
    use seedbed_boundary as boundary;

    use super::*;

    /// Rows with ties, NULLs, NaN, both zeros, long texts, and a number of their own.
    fn input(rows: i64) -> Result<Vec<RecordBatch>> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("k", DataType::Utf8View, true),
            Field::new("g", DataType::Int64, true),
            Field::new("t", DataType::Timestamp(TimeUnit::Second, None), true),
            Field::new("x", DataType::Float64, true),
            Field::new("name", DataType::Utf8View, true),
            Field::new("id", DataType::Int64, false),
        ]));
        let draw = |i: i64, n: i64| {
            let mixed = i.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ (i >> 3).wrapping_mul(n + 77);
            (mixed >> 20).rem_euclid(n)
        };
        let numbers = [0.0, -0.0, f64::NAN, f64::INFINITY, -1.5, f64::NEG_INFINITY];
        let ids: Vec<i64> = (0..rows).collect();
        let batch = |ids: &[i64]| {
            let some = |i: i64, n: i64| (draw(i, n) > 0).then(|| draw(i, n));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringViewArray::from_iter(ids.iter().map(|i| {
                    some(*i, 7).map(|k| format!("a key longer than twelve {k}"))
                }))),
                Arc::new(Int64Array::from_iter(ids.iter().map(|i| some(i + 1, 3)))),
                Arc::new(TimestampSecondArray::from_iter(
                    ids.iter().map(|i| some(i + 2, 40).map(|t| t - 20)),
                )),
                Arc::new(Float64Array::from_iter(ids.iter().map(|i| {
                    some(i + 3, 7).map(|x| numbers[(x as usize) % numbers.len()])
                }))),
                Arc::new(StringViewArray::from_iter(
                    ids.iter()
                        .map(|i| some(i + 4, 9).map(|k| format!("the same start {k}"))),
                )),
                Arc::new(Int64Array::from(ids.to_vec())),
            ];
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        };
        ids.chunks(97).map(batch).collect()
    }

    /// A column, whether it descends, and whether NULL is first.
    type By<'a> = (&'a str, bool, bool);

    fn sort(batches: &[RecordBatch], by: &[By]) -> Result<SortExec> {
        let schema = batches[0].schema();
        let by = by
            .iter()
            .map(|(name, descending, nulls_first)| {
                Ok(PhysicalSortExpr::new(
                    col(name, &schema)?,
                    SortOptions::new(*descending, *nulls_first),
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let input = MemorySourceConfig::try_new_exec(&[batches.to_vec()], schema, None)?;
        let by = LexOrdering::new(by).map_or_else(|| exec_err!("no order"), Ok)?;
        Ok(SortExec::new(by, input))
    }

    fn context(memory: usize) -> Result<Arc<TaskContext>> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
            .build_arc()?;
        let config = SessionConfig::new()
            .with_batch_size(64)
            .with_sort_spill_reservation_bytes(1 << 16);
        Ok(Arc::new(
            TaskContext::default()
                .with_session_config(config)
                .with_runtime(runtime),
        ))
    }

    async fn rows(plan: Arc<dyn ExecutionPlan>, memory: usize) -> Result<RecordBatch> {
        let schema = plan.schema();
        let batches = boundary::collect(plan, context(memory)?).await?;
        assert!(batches.iter().all(|b| b.num_rows() <= 64));
        Ok(arrow::compute::concat_batches(&schema, &batches)?)
    }

    #[tokio::test]
    async fn rows_are_sorted_as_datafusion_sorts_them() -> Result<()> {
        let batches = input(3_000)?;
        // the last key makes every order complete
        let orders: [(usize, &[By]); 5] = [
            (
                1,
                &[
                    ("k", false, false),
                    ("t", false, false),
                    ("id", false, false),
                ],
            ),
            (
                2,
                &[
                    ("g", true, true),
                    ("k", true, false),
                    ("x", true, true),
                    ("id", true, false),
                ],
            ),
            (
                1,
                &[
                    ("g", false, true),
                    ("name", true, false),
                    ("x", false, false),
                    ("id", false, false),
                ],
            ),
            (2, &[("k", false, false), ("id", true, false)]),
            (1, &[("id", false, false)]),
        ];
        for (keys, by) in orders {
            let sort = sort(&batches, by)?;
            let grouped = GroupSortExec::instead_of(&sort, keys)?;
            let Some(grouped) = grouped else {
                return exec_err!("the sort by {by:?} stayed as it was");
            };
            let expected = rows(Arc::new(sort.clone()), 1 << 30).await?;
            assert_eq!(rows(Arc::new(grouped.clone()), 1 << 30).await?, expected);
            // too little for all rows: sorted on disk
            assert_eq!(rows(Arc::new(grouped), 1 << 19).await?, expected);
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_sort_by_floats_or_of_a_few_rows_stays() -> Result<()> {
        let batches = input(10)?;
        let by_float = sort(&batches, &[("x", false, false), ("id", false, false)])?;
        assert!(GroupSortExec::instead_of(&by_float, 1)?.is_none());
        let first = sort(&batches, &[("k", false, false)])?.with_fetch(Some(3));
        assert!(GroupSortExec::instead_of(&first, 1)?.is_none());
        let none = sort(
            &[RecordBatch::new_empty(batches[0].schema())],
            &[("k", false, false)],
        )?;
        let Some(none) = GroupSortExec::instead_of(&none, 1)? else {
            return exec_err!("the sort of no rows stayed as it was");
        };
        assert_eq!(rows(Arc::new(none), 1 << 20).await?.num_rows(), 0);
        Ok(())
    }
}
