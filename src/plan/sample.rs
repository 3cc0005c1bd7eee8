//! `sample('model', n)`: a table whose rows a model draws as they are read.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::stream;
use seedbed_udfs::synthesize::{BLOCK, Condition, Given, Model};

use super::conditions;

/// The first `rows` rows of the endless table that a model and a seed stand for. DataFusion pushes
/// projections, limits and filters into its scan: columns not asked for are not decoded, rows past the
/// limit not drawn, and rows are drawn as the filters say: all `rows` of them, from the model's
/// distribution given the conditions. A filter that is no condition on a column is left to DataFusion.
#[derive(Debug)]
pub struct SampleTable {
    name: String,
    model: Arc<dyn Model>,
    rows: u64,
    seed: u64,
}

impl SampleTable {
    /// `name` is the model's name, for EXPLAIN.
    pub fn new(name: impl Into<String>, model: Arc<dyn Model>, rows: u64, seed: u64) -> Self {
        Self {
            name: name.into(),
            model,
            rows,
            seed,
        }
    }
}

#[async_trait]
impl TableProvider for SampleTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.model.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = limit.map_or(self.rows, |limit| self.rows.min(limit as u64));
        let conditions: Vec<Condition> = filters
            .iter()
            .filter_map(|filter| conditions::of_filter(filter, self.model.schema()))
            .flatten()
            .collect();
        let given = match conditions.is_empty() {
            true => None,
            false => {
                let given = Given::new(&self.model, conditions);
                let given = given.map_err(|e| e.context(format!("model {}", self.name)))?;
                Some(Arc::new(given))
            }
        };
        let sample = Sample {
            name: self.name.clone(),
            model: Arc::clone(&self.model),
            given,
            columns: projection.cloned(),
            rows,
            seed: self.seed,
        };
        let partitions = state.config().target_partitions();
        Ok(Arc::new(SampleExec::try_new(sample, partitions)?))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let schema = self.model.schema();
        let support = |filter: &&Expr| match conditions::of_filter(filter, schema) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let unknown = Statistics::new_unknown(self.model.schema());
        Some(unknown.with_num_rows(exact(self.rows)))
    }
}

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub model: Arc<dyn Model>,
    /// The model given what filters ask of its rows.
    pub given: Option<Arc<Given>>,
    pub columns: Option<Vec<usize>>,
    pub rows: u64,
    pub seed: u64,
}

/// Draws a model's rows, a range of row numbers a partition. A row depends on its number and the seed
/// alone, so the number of partitions and the size of batches change nothing.
#[derive(Debug, Clone)]
pub struct SampleExec {
    sample: Sample,
    /// The limit that was pushed in; `sample.rows` counts it already.
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SampleExec {
    /// Spreads the rows over at most `partitions` partitions; none is smaller than a block.
    pub fn try_new(sample: Sample, partitions: usize) -> Result<Self> {
        let schema = match &sample.columns {
            Some(columns) => Arc::new(sample.model.schema().project(columns)?),
            None => Arc::clone(sample.model.schema()),
        };
        let blocks = usize::try_from(sample.rows.div_ceil(BLOCK)).unwrap_or(usize::MAX);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.min(blocks).max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            sample,
            fetch: None,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn partitions(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }

    /// The row numbers of a partition: whole blocks but for the last.
    fn range(&self, partition: usize) -> std::ops::Range<u64> {
        let blocks = self.sample.rows.div_ceil(BLOCK);
        let partitions = self.partitions() as u64;
        let (share, rest) = (blocks / partitions, blocks % partitions);
        let begin = |partition: u64| {
            let block = partition * share + partition.min(rest);
            (block * BLOCK).min(self.sample.rows)
        };
        begin(partition as u64)..begin(partition as u64 + 1)
    }
}

impl DisplayAs for SampleExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Sample {
            name,
            model,
            given,
            rows,
            seed,
            ..
        } = &self.sample;
        let columns: Vec<&str> = self
            .properties
            .eq_properties
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "SampleExec: model={name}, kind={}, rows={rows}, seed={seed}, columns=[{}]",
            model.kind(),
            columns.join(", ")
        )?;
        match given {
            Some(given) => write!(f, ", given={}", given.describe()),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for SampleExec {
    fn name(&self) -> &str {
        "SampleExec"
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

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
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
        if partition >= self.partitions() {
            return internal_err!("SampleExec has no partition {partition}");
        }
        let range = self.range(partition);
        // Batches of whole blocks: a block drawn in two batches would be computed twice.
        let step = (context.session_config().batch_size() as u64 / BLOCK).max(1) * BLOCK;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let sample = self.sample.clone();
        let batches = (range.start..range.end)
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
            .map(move |begin| {
                let _timer = metrics.elapsed_compute().timer();
                let rows = begin..(begin + step).min(range.end);
                metrics.record_output((rows.end - rows.start) as usize);
                let columns = sample.columns.as_deref();
                match &sample.given {
                    Some(given) => given.sample(rows, sample.seed, columns),
                    None => sample.model.sample(rows, sample.seed, columns),
                }
            });
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(
            self.schema(),
            stream::iter(batches),
        ))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows = match args.partition() {
            Some(partition) => {
                let range = self.range(partition);
                range.end - range.start
            }
            None => self.sample.rows,
        };
        let unknown = Statistics::new_unknown(&self.schema());
        Ok(Arc::new(unknown.with_num_rows(exact(rows))))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let mut sample = self.sample.clone();
        sample.rows = sample.rows.min(limit? as u64);
        let mut limited = Self::try_new(sample, self.partitions()).ok()?;
        limited.fetch = limit;
        Some(Arc::new(limited))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }
}

fn exact(rows: u64) -> Precision<usize> {
    match usize::try_from(rows) {
        Ok(rows) => Precision::Exact(rows),
        Err(_) => Precision::Absent,
    }
}
