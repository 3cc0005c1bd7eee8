//! Tables in memory, which the session's memory limit counts as long as they live.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::common::{Constraints, DataFusionError, Result, SchemaExt, not_impl_err};
use datafusion::datasource::MemTable;
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use futures::{FutureExt, TryStreamExt};
use parking_lot::Mutex;

use super::tables::{conform, join_all};
use crate::packed::compact;

/// Collects the partitions side by side; rows keep their order, partitions theirs.
pub(super) async fn create(
    name: String,
    streams: Vec<SendableRecordBatchStream>,
    schema: SchemaRef,
    task: Arc<TaskContext>,
) -> Result<(Arc<dyn TableProvider>, u64)> {
    let room = Arc::new(Room::new(name, &task));
    // shared: batches of different partitions may be slices of the same buffers
    let counter = Arc::new(Mutex::new(RecordBatchMemoryCounter::new()));
    let collecting = streams.into_iter().map(|stream| {
        collect(
            stream,
            Arc::clone(&schema),
            Arc::clone(&room),
            Arc::clone(&counter),
        )
        .boxed()
    });
    let mut partitions = join_all(collecting).await?;
    let rows = partitions
        .iter()
        .flatten()
        .map(RecordBatch::num_rows)
        .sum::<usize>();
    if partitions.is_empty() {
        partitions.push(Vec::new());
    }
    let table = MemoryTable {
        table: MemTable::try_new(schema, partitions)?,
        room,
    };
    Ok((Arc::new(table), rows as u64))
}

/// Takes in a stream as far as there is room.
async fn collect(
    mut stream: SendableRecordBatchStream,
    schema: SchemaRef,
    room: Arc<Room>,
    counter: Arc<Mutex<RecordBatchMemoryCounter>>,
) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        if batch.num_rows() == 0 {
            continue;
        }
        let batch = conform(compact(&batch)?, &schema)?;
        let bytes = counter.lock().count_batch(&batch);
        room.grow(bytes)?;
        batches.push(batch);
    }
    Ok(batches)
}

/// A table's share of the memory.
#[derive(Debug)]
struct Room {
    name: String,
    reservation: MemoryReservation,
}

impl Room {
    fn new(name: String, task: &TaskContext) -> Self {
        let reservation =
            MemoryConsumer::new(format!("CREATE TABLE {name}")).register(task.memory_pool());
        Self { name, reservation }
    }

    fn grow(&self, bytes: usize) -> Result<()> {
        self.reservation.try_grow(bytes).map_err(|error| {
            DataFusionError::ResourcesExhausted(format!(
                "table {} does not fit in memory: open with --db DIR to keep tables on disk, or raise \
                 --memory-limit. {error}",
                self.name
            ))
        })
    }
}

/// A table in memory with its share of the memory limit.
#[derive(Debug)]
struct MemoryTable {
    table: MemTable,
    room: Arc<Room>,
}

impl MemoryTable {
    /// Counts anew after rows were changed in place.
    async fn recount(&self) {
        let mut counter = RecordBatchMemoryCounter::new();
        for partition in &self.table.batches {
            for batch in partition.read().await.iter() {
                counter.count_batch(batch);
            }
        }
        // the rows are there already: what they take is counted whether or not the limit allows it
        self.room.reservation.resize(counter.memory_usage());
    }
}

#[async_trait]
impl TableProvider for MemoryTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.table.constraints()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.table.get_column_default(column)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.table.scan(state, projection, filters, limit).await
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.schema()
            .logically_equivalent_names_and_types(&input.schema())?;
        if insert_op != InsertOp::Append {
            return not_impl_err!(
                "{insert_op} into table {}; write CREATE OR REPLACE TABLE {} AS ... instead",
                self.room.name,
                self.room.name
            );
        }
        let sink = MemorySink {
            schema: self.schema(),
            // the last: rows stay in the order they were inserted
            partition: self.table.batches.last().cloned(),
            room: Arc::clone(&self.room),
        };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }

    async fn delete_from(
        &self,
        state: &dyn Session,
        filters: Vec<Expr>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.table.delete_from(state, filters).await?;
        self.recount().await;
        Ok(plan)
    }

    async fn update(
        &self,
        state: &dyn Session,
        assignments: Vec<(String, Expr)>,
        filters: Vec<Expr>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.table.update(state, assignments, filters).await?;
        self.recount().await;
        Ok(plan)
    }

    async fn truncate(&self, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.table.truncate(state).await?;
        self.recount().await;
        Ok(plan)
    }
}

/// Adds rows to a table in memory: all of them or none.
#[derive(Debug)]
struct MemorySink {
    schema: SchemaRef,
    partition: Option<datafusion::datasource::memory::PartitionData>,
    room: Arc<Room>,
}

impl DisplayAs for MemorySink {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "table={}", self.room.name)
    }
}

#[async_trait]
impl DataSink for MemorySink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(
        &self,
        data: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        // reserved apart first, so that a failed insert gives everything back
        let room = Arc::new(Room::new(self.room.name.clone(), context));
        let counter = Arc::new(Mutex::new(RecordBatchMemoryCounter::new()));
        let mut batches =
            collect(data, Arc::clone(&self.schema), Arc::clone(&room), counter).await?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        if let Some(partition) = &self.partition {
            let mut partition = partition.write().await;
            let bytes = room.reservation.free();
            self.room.grow(bytes)?;
            partition.append(&mut batches);
        }
        Ok(rows as u64)
    }
}
