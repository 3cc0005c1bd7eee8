//! Tables whose rows are read on threads of their own, file after file: what the readers of images and of
//! arrays share.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use tokio::sync::mpsc::Sender;

use super::leaf;

/// What a table of this kind reads.
pub trait Rows: fmt::Debug + Send + Sync + 'static {
    /// The SQL function.
    fn function(&self) -> &'static str;

    /// All columns.
    fn schema(&self) -> &SchemaRef;

    /// How many files there are that can be read beside each other.
    fn files(&self) -> usize;

    /// The file's name, for EXPLAIN.
    fn file(&self, i: usize) -> String;

    /// Reads some files, until the sink wants no more.
    fn read(&self, files: Range<usize>, sink: &mut Sink) -> Result<()>;
}

/// Where rows go: what is wanted of them.
pub struct Sink {
    /// Which columns.
    pub columns: Vec<usize>,
    /// How many rows a batch has at most.
    pub batch_rows: usize,
    left: usize,
    schema: SchemaRef,
    metrics: BaselineMetrics,
    send: Sender<Result<RecordBatch>>,
}

impl Sink {
    /// Whether a column is wanted.
    pub fn wants(&self, column: usize) -> bool {
        self.columns.contains(&column)
    }

    /// How many rows the next batch may have: 0 when no more are wanted.
    pub fn room(&self) -> usize {
        if self.send.is_closed() {
            0
        } else {
            self.left.min(self.batch_rows)
        }
    }

    /// Hands over a batch of the wanted columns. False if no more rows are wanted.
    pub fn send(&mut self, arrays: Vec<ArrayRef>, rows: usize) -> Result<bool> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        let batch = batch.slice(0, rows.min(self.left));
        self.left -= batch.num_rows();
        self.metrics.record_output(batch.num_rows());
        let sent = batch.num_rows() == 0 || self.send.blocking_send(Ok(batch)).is_ok();
        Ok(sent && self.left > 0)
    }
}

/// The table.
#[derive(Debug)]
pub struct RowsTable(pub Arc<dyn Rows>);

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = self.0.schema();
        let columns: Vec<usize> = match projection {
            Some(columns) => columns.clone(),
            None => (0..all.fields().len()).collect(),
        };
        let schema = Arc::new(all.project(&columns)?);
        let files = self.0.files();
        let partitions = state.config().target_partitions().clamp(1, files.max(1));
        let ends: Vec<usize> = (0..=partitions).map(|i| i * files / partitions).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(RowsExec {
            rows: Arc::clone(&self.0),
            columns,
            parts: ends.windows(2).map(|e| e[0]..e[1]).collect(),
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

/// Reads the table.
#[derive(Debug)]
struct RowsExec {
    rows: Arc<dyn Rows>,
    columns: Vec<usize>,
    /// The files of each partition.
    parts: Vec<Range<usize>>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for RowsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let files = leaf::first_files(self.rows.files(), |i| self.rows.file(i));
        let begin = format!("RowsExec: {}, ", self.rows.function());
        let partitions = self.parts.len();
        leaf::explain(f, &begin, &files, partitions, &self.schema(), self.limit)
    }
}

impl ExecutionPlan for RowsExec {
    fn name(&self) -> &str {
        "RowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            Ok(self)
        } else {
            internal_err!("RowsExec has no children")
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(files) = self.parts.get(partition).cloned() else {
            return internal_err!("RowsExec has no partition {partition}");
        };
        let schema = self.schema();
        let rows = Arc::clone(&self.rows);
        let columns = self.columns.clone();
        let batch_rows = context.session_config().batch_size().max(1);
        let left = self.limit.unwrap_or(usize::MAX);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Ok(leaf::on_a_thread(Arc::clone(&schema), move |send| {
            let mut sink = Sink {
                columns,
                batch_rows,
                left,
                schema,
                metrics,
                send,
            };
            rows.read(files, &mut sink)?;
            sink.metrics.done();
            Ok(())
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
