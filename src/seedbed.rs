//! The public interface: a session that runs statements.

use std::ops::Range;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionContext;
use datafusion::sql::parser::DFParser;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::session::Progress;

/// How a session is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory tables, views, transforms and models persist in; nothing persists without one.
    pub db: Option<PathBuf>,
    /// Partitions run at once; all cores by default.
    pub threads: Option<usize>,
    /// Bytes; 80 % of the machine's memory by default.
    pub memory_limit: Option<usize>,
    /// The seed of every function that is given none; 0 by default.
    pub seed: Option<u64>,
    /// Rows a batch.
    pub batch_size: Option<usize>,
}

/// One statement of a text.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The statement as written, without its semicolon.
    pub text: String,
    /// Where it stands in the whole text, in bytes.
    pub span: Range<usize>,
}

/// What a statement gives.
pub enum Answer {
    /// A query's rows. Nothing has run before the stream is polled; dropping it cancels.
    Rows {
        schema: SchemaRef,
        rows: SendableRecordBatchStream,
    },
    /// The statement's effect has happened; the message says what it was.
    Done { message: String },
}

/// A session. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Seedbed {
    ctx: SessionContext,
    progress: Progress,
}

impl Seedbed {
    /// Opens a session, in memory or on a directory.
    pub fn open(_options: Options) -> Result<Self> {
        Ok(Self {
            ctx: SessionContext::new(),
            progress: Progress::default(),
        })
    }

    /// Splits a text into its statements; comments and empty statements are dropped.
    pub fn split(&self, text: &str) -> Result<Vec<Statement>> {
        Ok(vec![Statement {
            text: text.to_string(),
            span: 0..text.len(),
        }])
    }

    /// Runs one statement.
    pub fn run<'a>(&'a self, statement: &'a Statement) -> BoxFuture<'a, Result<Answer>> {
        async move {
            let parsed = DFParser::parse_sql(&statement.text)?;
            let Some(parsed) = parsed.into_iter().next() else {
                return Ok(Answer::Done {
                    message: String::new(),
                });
            };
            let plan = seedbed_boundary::statement_to_plan(self.ctx.state(), parsed).await?;
            let rows = seedbed_boundary::execute(self.ctx.clone(), plan).await?;
            Ok(Answer::Rows {
                schema: rows.schema(),
                rows,
            })
        }
        .boxed()
    }

    /// What the running statement tells about itself.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Warnings since the last call, oldest first; to be shown, not errors.
    pub fn take_notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// The DataFusion session underneath: catalog, functions, settings.
    pub fn context(&self) -> &SessionContext {
        &self.ctx
    }
}
