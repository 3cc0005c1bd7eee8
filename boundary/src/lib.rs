//! DataFusion's async entry points, each behind a boxed future.
//!
//! The body of an `async fn` is generated again in every crate that awaits it, and DataFusion's are
//! large: awaiting one directly costs minutes of compile time. Here they are instantiated once; the
//! crates above await `BoxFuture`s. Only what is awaited elsewhere belongs here, so that this crate
//! seldom changes.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, TableReference};
use datafusion::datasource::listing::{ListingOptions, ListingTableUrl};
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use futures::FutureExt;
use futures::future::BoxFuture;

/// Plans one parsed statement: names are resolved, types are not yet coerced.
pub fn statement_to_plan(
    state: SessionState,
    statement: Statement,
) -> BoxFuture<'static, Result<LogicalPlan>> {
    async move { state.statement_to_plan(statement).await }.boxed()
}

/// Optimises a logical plan and turns it into operators.
pub fn physical_plan(
    state: SessionState,
    plan: LogicalPlan,
) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>>> {
    async move { state.create_physical_plan(&plan).await }.boxed()
}

/// Runs DataFusion's own handling of DDL and settings; gives the rows of what remains.
///
/// For `CREATE`, `DROP` and `SET` the effect has happened when the future is done, and the stream is
/// empty. For a query nothing is read before the stream is polled.
pub fn execute(
    ctx: SessionContext,
    plan: LogicalPlan,
) -> BoxFuture<'static, Result<SendableRecordBatchStream>> {
    async move {
        let frame = ctx.execute_logical_plan(plan).await?;
        frame.execute_stream().await
    }
    .boxed()
}

/// Runs a plan to its end and gives all its rows.
pub fn collect(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
) -> BoxFuture<'static, Result<Vec<RecordBatch>>> {
    async move { datafusion::physical_plan::collect(plan, task).await }.boxed()
}

/// The schema of files, read from the files themselves.
pub fn infer_schema(
    state: SessionState,
    options: ListingOptions,
    url: ListingTableUrl,
) -> BoxFuture<'static, Result<SchemaRef>> {
    async move { options.infer_schema(&state, &url).await }.boxed()
}

/// The provider of a registered table.
pub fn table_provider(
    ctx: SessionContext,
    name: TableReference,
) -> BoxFuture<'static, Result<Arc<dyn TableProvider>>> {
    async move { ctx.table_provider(name).await }.boxed()
}
