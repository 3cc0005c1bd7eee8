//! Tables: Parquet files on disk, record batches in memory.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::runtime::JoinSet;
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::disk::Tables as DiskTables;
use super::folder::Directory;
use super::memory;

/// Where tables are made.
#[derive(Debug, Default)]
pub(super) enum Tables {
    #[default]
    Memory,
    Disk(Arc<DiskTables>),
}

impl Tables {
    pub(super) fn on_disk(dir: Directory) -> Result<Self> {
        Ok(Self::Disk(Arc::new(DiskTables::open(dir)?)))
    }

    pub(super) fn create(
        &self,
        name: String,
        streams: Vec<SendableRecordBatchStream>,
        schema: SchemaRef,
        task: Arc<TaskContext>,
    ) -> BoxFuture<'static, Result<(Arc<dyn TableProvider>, u64)>> {
        match self {
            Self::Memory => memory::create(name, streams, schema, task).boxed(),
            Self::Disk(tables) => Arc::clone(tables)
                .create(name, streams, schema, task)
                .boxed(),
        }
    }

    pub(super) fn all(&self) -> Result<Vec<(String, Arc<dyn TableProvider>)>> {
        match self {
            Self::Memory => Ok(Vec::new()),
            Self::Disk(tables) => tables.all(),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Disk(tables) => tables.remove(name),
        }
    }
}

/// The results of all tasks in the order they were given. Dropped before its end it aborts them.
pub(super) async fn join_all<T: Send + 'static>(
    tasks: impl IntoIterator<Item = BoxFuture<'static, Result<T>>>,
) -> Result<Vec<T>> {
    let mut set = JoinSet::new();
    for (index, task) in tasks.into_iter().enumerate() {
        set.spawn(async move { (index, task.await) });
    }
    let mut results = Vec::with_capacity(set.len());
    while let Some(joined) = set.join_next().await {
        match joined {
            Ok((index, result)) => results.push((index, result?)),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return exec_err!("the session ended while a table was being made"),
        }
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// The batch under the table's schema: metadata and nullability may differ, names and types not.
pub(super) fn conform(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        batch.columns().to_vec(),
        &options,
    )?)
}
