//! Windows, made faster than DataFusion's: functions of ordered rows walk over whole batches, and rows of groups are
//! sorted group by group.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat, partition};
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ChildrenPropertiesMode};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, InputOrderMode,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use seedbed_udfs::series::{OrderedWindow, Walk};

use super::group_sort::GroupSortExec;
use super::one_input;

/// The physical rule that puts [`WalkExec`] and [`GroupSortExec`] in place.
#[derive(Debug, Default)]
pub struct FasterWindows;

impl PhysicalOptimizerRule for FasterWindows {
    fn name(&self) -> &str {
        "faster_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(calls) = calls(&plan) else {
                return Ok(Transformed::no(plan));
            };
            let keys = calls[0].partition_by().len();
            let input = plan.children()[0];
            let input: &dyn Any = input.as_ref();
            let sort = match input.downcast_ref::<SortExec>() {
                Some(sort) if leads_with(sort, calls[0].partition_by()) => {
                    GroupSortExec::instead_of(sort, keys)?
                }
                _ => None,
            };
            let plan = match sort {
                Some(sort) => plan.replace_children(
                    vec![Arc::new(sort)],
                    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
                )?,
                None => plan,
            };
            Ok(Transformed::yes(match WalkExec::instead_of(&plan) {
                Some(walk) => Arc::new(walk),
                None => plan,
            }))
        })
        .data()
    }
}

/// The calls of a window that has its rows sorted by groups.
fn calls(plan: &Arc<dyn ExecutionPlan>) -> Option<&[Arc<dyn WindowExpr>]> {
    let any: &dyn Any = plan.as_ref();
    let calls = match any.downcast_ref::<BoundedWindowAggExec>() {
        Some(window) if window.input_order_mode == InputOrderMode::Sorted => window.window_expr(),
        Some(_) => return None,
        None => any.downcast_ref::<WindowAggExec>()?.window_expr(),
    };
    (!calls.is_empty()).then_some(calls)
}

/// Whether a sort is by these keys first.
fn leads_with(sort: &SortExec, keys: &[Arc<dyn PhysicalExpr>]) -> bool {
    keys.len() <= sort.expr().len()
        && sort
            .expr()
            .iter()
            .take(keys.len())
            .all(|by| keys.contains(&by.expr))
}

/// The function of ordered rows that a call is of, and its arguments.
fn ordered(call: &dyn WindowExpr) -> Option<(&OrderedWindow, &[Arc<dyn PhysicalExpr>])> {
    let standard = call.as_any().downcast_ref::<StandardWindowExpr>()?;
    let function = standard.get_standard_func_expr().as_any();
    let function = function.downcast_ref::<WindowUDFExpr>()?;
    let window = function.fun().inner().downcast_ref::<OrderedWindow>()?;
    Some((window, function.args()))
}

/// Functions of ordered rows over rows that are sorted: a window all of whose calls are ours.
#[derive(Debug, Clone)]
pub struct WalkExec {
    /// The window it stands for, which knows all but how to run.
    window: Arc<dyn ExecutionPlan>,
    calls: Vec<Arc<dyn WindowExpr>>,
    metrics: ExecutionPlanMetricsSet,
}

impl WalkExec {
    /// In place of a window; `None` where it has calls of other functions.
    pub fn instead_of(window: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let calls = calls(window)?;
        let ours = calls.iter().all(|call| ordered(call.as_ref()).is_some());
        ours.then(|| Self {
            window: Arc::clone(window),
            calls: calls.to_vec(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for WalkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<&str> = self.calls.iter().map(|call| call.name()).collect();
        write!(f, "WalkExec: {}", calls.join(", "))
    }
}

impl ExecutionPlan for WalkExec {
    fn name(&self) -> &str {
        "WalkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.window.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let window = Arc::clone(&self.window).replace_children(children, options)?;
        Ok(match Self::instead_of(&window) {
            Some(walk) => Arc::new(walk),
            None => window,
        })
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
        let children = self.children().into_iter().cloned().collect();
        let input = one_input("WalkExec", children)?;
        let input_schema = input.schema();
        let walks = self
            .calls
            .iter()
            .filter_map(|call| ordered(call.as_ref()))
            .map(|(window, args)| {
                let types = args
                    .iter()
                    .map(|arg| arg.data_type(&input_schema))
                    .collect::<Result<Vec<_>>>()?;
                let (walk, data) = window.walk(&types)?;
                Ok((walk, args[..data].to_vec()))
            })
            .collect::<Result<Vec<Walking>>>()?;
        let mut walkers = Walkers {
            walks,
            keys: self.calls[0].partition_by().to_vec(),
            last: None,
            schema: self.schema(),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = input.execute(partition, context)?.map(move |batch| {
            let _timer = metrics.elapsed_compute().timer();
            let batch = walkers.next(&batch?)?;
            metrics.record_output(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
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
        self.window.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// A walk, and the arguments it is given.
type Walking = (Box<dyn Walk>, Vec<Arc<dyn PhysicalExpr>>);

/// The walks over a partition, on their way.
struct Walkers {
    walks: Vec<Walking>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The keys of the last row.
    last: Option<Vec<ArrayRef>>,
    schema: SchemaRef,
}

impl Walkers {
    /// A batch with the results.
    fn next(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let (groups, goes_on) = self.groups(batch)?;
        let mut columns = batch.columns().to_vec();
        for (walk, args) in &mut self.walks {
            let values = args
                .iter()
                .map(|arg| arg.evaluate(batch)?.into_array(rows))
                .collect::<Result<Vec<ArrayRef>>>()?;
            columns.push(walk.next(&values, &groups, goes_on)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }

    /// The ranges of rows of one group, and whether the first goes on with that of the batch before.
    fn groups(&mut self, batch: &RecordBatch) -> Result<(Vec<Range<usize>>, bool)> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok((Vec::new(), true));
        }
        let keys = self
            .keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let first: Vec<ArrayRef> = keys.iter().map(|key| key.slice(0, 1)).collect();
        let goes_on = match &self.last {
            None => false,
            Some(_) if keys.is_empty() => true,
            Some(last) => {
                let both = last
                    .iter()
                    .zip(&first)
                    .map(|(last, first)| Ok(concat(&[last, first])?))
                    .collect::<Result<Vec<ArrayRef>>>()?;
                partition(&both)?.len() == 1
            }
        };
        let groups = match keys.is_empty() {
            true => vec![Range {
                start: 0,
                end: rows,
            }],
            false => partition(&keys)?.ranges(),
        };
        self.last = Some(keys.iter().map(|key| key.slice(rows - 1, 1)).collect());
        Ok((groups, goes_on))
    }
}
