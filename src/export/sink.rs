//! The operator that all formats share: batches become parts on many threads, and parts files on one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;

use super::staging::Staging;

/// How rows become files.
pub trait Format: fmt::Debug + Send + Sync + 'static {
    /// What stands behind STORED AS.
    const NAME: &'static str;
    /// What becomes of a batch.
    type Part: Send + 'static;
    /// Files in the making.
    type Files;

    /// Does what can be done to a batch by itself; `first` is the number of its first row.
    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Self::Part>;

    /// Begins the files.
    fn create(&self, staging: &Staging) -> Result<Self::Files>;

    /// Adds a part, in the order of the rows.
    fn write(&self, files: &mut Self::Files, part: Self::Part) -> Result<()>;

    /// Ends the files: the folder then holds them, and nothing else.
    fn finish(&self, files: Self::Files, staging: &mut Staging) -> Result<()>;
}

/// The operator that writes.
pub fn plan<F: Format>(
    format: F,
    target: PathBuf,
    input: Arc<dyn ExecutionPlan>,
    order: Option<LexRequirement>,
) -> Arc<dyn ExecutionPlan> {
    let sink = ExportSink {
        format: Arc::new(format),
        target,
        schema: input.schema(),
    };
    Arc::new(DataSinkExec::new(input, Arc::new(sink), order))
}

#[derive(Debug)]
struct ExportSink<F> {
    format: Arc<F>,
    target: PathBuf,
    schema: SchemaRef,
}

impl<F: Format> DisplayAs for ExportSink<F> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.display();
        write!(f, "ExportSink(format={}, path={target})", F::NAME)
    }
}

#[async_trait]
impl<F: Format> DataSink for ExportSink<F> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(
        &self,
        data: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let threads = context.session_config().target_partitions().max(1);
        let format = Arc::clone(&self.format);
        write(format, self.target.clone(), data, threads).await
    }
}

fn broke_off(error: impl fmt::Display) -> DataFusionError {
    exec_datafusion_err!("writing broke off: {error}")
}

/// Writes all rows; gives their number.
fn write<F: Format>(
    format: Arc<F>,
    target: PathBuf,
    data: SendableRecordBatchStream,
    threads: usize,
) -> BoxFuture<'static, Result<u64>> {
    async move {
        let (send, receive) = mpsc::channel(2);
        let writer = Arc::clone(&format);
        let writer = SpawnedTask::spawn_blocking(move || files(writer.as_ref(), target, receive));
        let fed = feed(format, data, threads, send).await;
        let staging = writer.join().await.map_err(broke_off)?;
        // of two errors the first is that of the rows
        let rows = fed?;
        if let Some(staging) = staging? {
            staging.publish()?;
        }
        Ok(rows)
    }
    .boxed()
}

/// Hands the parts over in the order of the rows, and `None` behind the last: without it, writing was broken off.
fn feed<F: Format>(
    format: Arc<F>,
    data: SendableRecordBatchStream,
    threads: usize,
    send: mpsc::Sender<Option<F::Part>>,
) -> BoxFuture<'static, Result<u64>> {
    async move {
        let mut rows = 0;
        let parts = data.map(|batch| {
            let first = rows;
            if let Ok(batch) = &batch {
                rows += batch.num_rows() as u64;
            }
            let format = Arc::clone(&format);
            async move {
                let batch = batch?;
                let part = SpawnedTask::spawn_blocking(move || format.encode(&batch, first));
                part.join().await.map_err(broke_off)?
            }
        });
        let mut parts = parts.buffered(threads);
        while let Some(part) = parts.next().await {
            if send.send(Some(part?)).await.is_err() {
                // the writer has failed, and says why
                return Ok(0);
            }
        }
        drop(parts);
        // as above
        let _ = send.send(None).await;
        Ok(rows)
    }
    .boxed()
}

/// The thread that writes. None if no more rows come although there are some.
fn files<F: Format>(
    format: &F,
    target: PathBuf,
    mut receive: mpsc::Receiver<Option<F::Part>>,
) -> Result<Option<Staging>> {
    let mut staging = Staging::beside(&target)?;
    let mut files = format.create(&staging)?;
    while let Some(part) = receive.blocking_recv() {
        match part {
            Some(part) => format.write(&mut files, part)?,
            None => {
                format.finish(files, &mut staging)?;
                return Ok(Some(staging));
            }
        }
    }
    Ok(None)
}
