//! Rows that are held against a rule: counted, and on request left out.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::StreamExt;
use parking_lot::Mutex;

use super::one_input;
use crate::load::Notices;

/// A rule, and the column that says where it holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    /// The boolean column of the input.
    pub holds: String,
    /// Whether rows that violate it are left out.
    pub drops: bool,
}

/// The rows of an input; how many violate a rule is a notice when all are read.
#[derive(Debug, Clone)]
pub struct Check {
    rule: Rule,
    input: LogicalPlan,
    notices: Notices,
}

impl Check {
    /// Holds the rows of `input` against a rule.
    pub fn over(rule: Rule, input: LogicalPlan, notices: Notices) -> LogicalPlan {
        let node = Arc::new(Self {
            rule,
            input,
            notices,
        });
        LogicalPlan::Extension(Extension { node })
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule && self.input == other.input
    }
}

impl Eq for Check {}

impl std::hash::Hash for Check {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.rule.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for Check {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.rule.partial_cmp(&other.rule) {
            Some(Ordering::Equal) => self.input.partial_cmp(&other.input),
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for Check {
    fn name(&self) -> &str {
        "Check"
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

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let does = if self.rule.drops { "drops" } else { "keeps" };
        write!(f, "Check: {does} violations of {}", self.rule.text)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = one_input("Check", inputs)?;
        Ok(Self {
            input,
            ..self.clone()
        })
    }

    /// What is asked for, and the rule's column.
    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let holds = schema.index_of_column_by_name(None, &self.rule.holds)?;
        let mut columns = output.to_vec();
        columns.push(holds);
        columns.sort_unstable();
        columns.dedup();
        Some(vec![columns])
    }
}

/// Plans [`Check`].
#[derive(Debug, Default)]
pub struct CheckPlanner;

#[async_trait]
impl ExtensionPlanner for CheckPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match (node.as_any().downcast_ref::<Check>(), physical_inputs) {
            (Some(check), [input]) => Ok(Some(Arc::new(CheckExec::new(
                check.rule.clone(),
                Arc::clone(input),
                check.notices.clone(),
            )))),
            _ => Ok(None),
        }
    }
}

/// Counts rows that violate a rule as they pass.
#[derive(Debug)]
pub struct CheckExec {
    rule: Rule,
    input: Arc<dyn ExecutionPlan>,
    notices: Notices,
    run: Mutex<Run>,
    metrics: ExecutionPlanMetricsSet,
}

/// One execution: the partitions that take part, and what they have counted, until all have started.
#[derive(Debug, Default)]
struct Run {
    started: HashSet<usize>,
    tally: Option<Arc<Tally>>,
}

impl CheckExec {
    /// The rows of `input`, held against a rule.
    pub fn new(rule: Rule, input: Arc<dyn ExecutionPlan>, notices: Notices) -> Self {
        Self {
            rule,
            input,
            notices,
            run: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// What all partitions of an execution count in.
    fn tally(&self, partition: usize) -> Arc<Tally> {
        let partitions = self.input.output_partitioning().partition_count();
        let mut run = self.run.lock();
        // the same partition again is another execution
        if !run.started.insert(partition) {
            run.started = HashSet::from([partition]);
            run.tally = None;
        }
        let tally = match run.tally.take() {
            Some(tally) => tally,
            None => Arc::new(Tally {
                rule: self.rule.clone(),
                notices: self.notices.clone(),
                rows: AtomicUsize::new(0),
                violations: AtomicUsize::new(0),
                unfinished: AtomicUsize::new(partitions),
            }),
        };
        if run.started.len() == partitions {
            run.started.clear();
        } else {
            run.tally = Some(Arc::clone(&tally));
        }
        tally
    }
}

/// What the partitions of an execution count; told when the last of them lets go.
#[derive(Debug)]
struct Tally {
    rule: Rule,
    notices: Notices,
    rows: AtomicUsize,
    violations: AtomicUsize,
    /// Partitions that were not read to their end.
    unfinished: AtomicUsize,
}

impl Tally {
    fn take(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let Some(holds) = batch.column_by_name(&self.rule.holds) else {
            return internal_err!("Check has no column {}", self.rule.holds);
        };
        let holds: &BooleanArray = holds.as_boolean();
        let violations = holds.len() - holds.true_count();
        self.rows.fetch_add(holds.len(), Atomic::Relaxed);
        self.violations.fetch_add(violations, Atomic::Relaxed);
        if !self.rule.drops || violations == 0 {
            return Ok(Some(batch.clone()));
        }
        if violations == holds.len() {
            return Ok(None);
        }
        Ok(Some(filter_record_batch(batch, holds)?))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let rows = self.rows.load(Atomic::Relaxed);
        let violations = self.violations.load(Atomic::Relaxed);
        if violations == 0 {
            return;
        }
        let read = match self.unfinished.load(Atomic::Relaxed) {
            0 => format!("{violations} of {rows} rows"),
            _ => format!("{violations} of the {rows} rows read"),
        };
        let what = match (self.rule.drops, violations) {
            (true, _) => "dropped",
            (false, 1) => "violates the rule",
            (false, _) => "violate the rule",
        };
        self.notices
            .push_once(format!("expect: {read} {what}: {}", self.rule.text));
    }
}

impl DisplayAs for CheckExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let does = if self.rule.drops { "drops" } else { "keeps" };
        write!(f, "CheckExec: {does} violations of {}", self.rule.text)
    }
}

impl ExecutionPlan for CheckExec {
    fn name(&self) -> &str {
        "CheckExec"
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
        let input = one_input("CheckExec", children)?;
        Ok(Arc::new(Self::new(
            self.rule.clone(),
            input,
            self.notices.clone(),
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
        let mut tally = Some(self.tally(partition));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut input = self.input.execute(partition, context)?;
        let batches = futures::stream::poll_fn(move |cx| {
            loop {
                let Some(counting) = &tally else {
                    return std::task::Poll::Ready(None);
                };
                match std::task::ready!(input.poll_next_unpin(cx)) {
                    Some(Ok(batch)) => {
                        let _timer = metrics.elapsed_compute().timer();
                        match counting.take(&batch).transpose() {
                            Some(taken) => {
                                if let Ok(batch) = &taken {
                                    metrics.record_output(batch.num_rows());
                                }
                                return std::task::Poll::Ready(Some(taken));
                            }
                            None => continue,
                        }
                    }
                    Some(Err(error)) => return std::task::Poll::Ready(Some(Err(error))),
                    None => {
                        counting.unfinished.fetch_sub(1, Atomic::Relaxed);
                        tally = None;
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
