//! What the operators that read files have in common: how they run, and what EXPLAIN says of them.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

/// The batches that `read` sends from a thread of its own. Nothing is read before the stream is polled.
pub fn on_a_thread(
    schema: SchemaRef,
    read: impl FnOnce(Sender<Result<RecordBatch>>) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let of_stream = Arc::clone(&schema);
    let stream = futures::stream::once(async move {
        let mut builder = RecordBatchReceiverStream::builder(of_stream, 2);
        let send = builder.tx();
        builder.spawn_blocking(move || read(send));
        builder.build()
    })
    .flatten();
    Box::pin(RecordBatchStreamAdapter::new(schema, stream))
}

/// The first files of all there are.
pub fn first_files(all: usize, name: impl Fn(usize) -> String) -> String {
    let shown: Vec<String> = (0..all.min(5)).map(name).collect();
    let more = if shown.len() < all { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// A line of EXPLAIN, after what it begins with.
pub fn explain(
    f: &mut fmt::Formatter<'_>,
    begin: &str,
    files: &str,
    partitions: usize,
    schema: &SchemaRef,
    limit: Option<usize>,
) -> fmt::Result {
    let columns: Vec<&str> = schema.fields().iter().map(|c| c.name().as_str()).collect();
    write!(
        f,
        "{begin}files=[{files}], partitions={partitions}, projection=[{}]",
        columns.join(", ")
    )?;
    match limit {
        Some(limit) => write!(f, ", limit={limit}"),
        None => Ok(()),
    }
}
