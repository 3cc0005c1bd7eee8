//! The public interface: a session that runs statements.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::config::ParquetOptions;
use datafusion::common::{Column, Result, TableReference, internal_err, plan_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::logical_expr::logical_plan::{CreateMemoryTable, DdlStatement};
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, Statement as LogicalStatement, cast,
};
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement, VisitMut};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use seedbed_udfs::predict::UNLABELLED;

use crate::export::{self, Staging};
use crate::plan::{Base, TrainNode, TrainSpec};
use crate::session::{Env, Progress, Settings, follow};
use crate::sql::expand::expand;
use crate::sql::parse::{self, Create, CreateModel, Import, Object, Parsed};
use crate::sql::relation::{parse_query, plan_query, quoted};
use crate::sql::transform::{self, Transform};
use crate::sql::{calls, leakage, model, share};
use crate::store::Store;

/// What a row group is to have at most before it is compressed.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Bytes of a value, those of texts and lists guessed.
fn width(t: &DataType) -> usize {
    match t {
        DataType::FixedSizeList(item, n) => {
            width(item.data_type()).saturating_mul(usize::try_from(*n).unwrap_or(0))
        }
        DataType::FixedSizeBinary(n) => usize::try_from(*n).unwrap_or(0),
        DataType::Struct(fields) => {
            let widths = fields.iter().map(|f| width(f.data_type()));
            widths.fold(0, usize::saturating_add)
        }
        DataType::Boolean => 1,
        other => other.primitive_width().unwrap_or(16),
    }
}

/// How a session is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory tables, views, transforms and models persist in; nothing persists without one.
    pub db: Option<PathBuf>,
    /// Partitions run at once; all cores by default.
    pub threads: Option<usize>,
    /// Bytes; 80 % of the machine's memory by default.
    pub memory_limit: Option<usize>,
    /// The seed of every sample and training that is given none; 0 by default.
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
    pub(crate) env: Env,
}

impl Seedbed {
    /// Opens a session, in memory or on a directory.
    ///
    /// # Errors
    /// If the directory cannot be made, read or written.
    pub fn open(options: Options) -> Result<Self> {
        let store = Store::open(options.db.clone())?;
        let env = Env::default().with_store(store.clone());
        let ctx = crate::session::context(&options, &env)?;
        ctx.register_table("rejects", env.rejects().provider())?;
        for (name, table) in store.tables()? {
            ctx.register_table(TableReference::bare(name), table)?;
        }
        Ok(Self { ctx, env })
    }

    /// Splits a text into its statements; comments and empty statements are dropped.
    ///
    /// # Errors
    /// If a quote or a comment has no end.
    pub fn split(&self, text: &str) -> Result<Vec<Statement>> {
        let spans = parse::split(text)?;
        Ok(spans
            .into_iter()
            .map(|span| Statement {
                text: text[span.clone()].to_string(),
                span,
            })
            .collect())
    }

    /// Runs all statements of a text, each to its end; gives the rows of the last.
    ///
    /// # Errors
    /// Those of the first statement that fails; the ones before it have happened.
    pub fn sql<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Vec<RecordBatch>>> {
        async move {
            let mut last = Vec::new();
            for statement in self.split(text)? {
                last = match self.run(&statement).await? {
                    Answer::Rows { rows, .. } => rows.try_collect().await?,
                    Answer::Done { .. } => Vec::new(),
                };
            }
            Ok(last)
        }
        .boxed()
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// If it does not parse or plan, or fails before its first row; later errors come with the rows.
    pub fn run<'a>(&'a self, statement: &'a Statement) -> BoxFuture<'a, Result<Answer>> {
        async move {
            self.restore_views().await?;
            let parsed = parse::parse(&statement.text)?;
            let answer = self.dispatch(parsed, &statement.text).await;
            self.env.forget_plans();
            answer
        }
        .boxed()
    }

    fn dispatch<'a>(&'a self, parsed: Parsed, text: &'a str) -> BoxFuture<'a, Result<Answer>> {
        match parsed {
            Parsed::DataFusion(statement) => self.data_fusion(*statement, text).boxed(),
            Parsed::CreateTransform(create) => self.create_transform(create, text).boxed(),
            Parsed::CreateModel { create, explain } => self.create_model(create, explain).boxed(),
            Parsed::Drop {
                object,
                name,
                if_exists,
            } => async move { self.drop(object, &name, if_exists) }.boxed(),
            Parsed::Show { object, name } => {
                async move { self.show(object, name.as_deref()) }.boxed()
            }
            Parsed::ShowSql { name } => self.show_sql(name).boxed(),
            Parsed::Describe { object, name } => self.describe(object, name).boxed(),
            Parsed::Export { object, name, path } => {
                async move { self.export(object, &name, &path) }.boxed()
            }
            Parsed::ExportHistory { name, path } => async move {
                model::plot_history(&name, self.store()?.model(&name)?.history(), &path)?;
                done(format!("EXPORT MODEL HISTORY {name}: {path}"))
            }
            .boxed(),
            Parsed::Import(import) => async move {
                match import.object {
                    Object::Transform => self.import_transform(&import),
                    Object::Model => self.import_model(&import),
                }
            }
            .boxed(),
            Parsed::Summarize(query) => self.summarize(*query).boxed(),
        }
    }

    /// What the running statement tells about itself.
    pub fn progress(&self) -> Progress {
        self.env.progress().clone()
    }

    /// Whether the progress is to be shown: the setting `seedbed.progress`.
    pub fn shows_progress(&self) -> bool {
        let state = self.ctx.state_ref();
        let state = state.read();
        let settings = state.config_options().extensions.get::<Settings>();
        settings.is_none_or(|s| s.progress)
    }

    /// Warnings since the last call, oldest first; to be shown, not errors.
    pub fn take_notices(&self) -> Vec<String> {
        self.env.take_notices()
    }

    /// The DataFusion session underneath: catalog, functions, settings.
    pub fn context(&self) -> &SessionContext {
        &self.ctx
    }

    fn store(&self) -> Result<Store> {
        self.env.store()
    }

    /// Views are planned when first needed, not at every start: their tables may be files.
    async fn restore_views(&self) -> Result<()> {
        if !self.env.first_statement() {
            return Ok(());
        }
        for (name, sql) in self.store()?.views()? {
            let statement = match parse::parse(&sql)? {
                Parsed::DataFusion(statement) => *statement,
                _ => continue,
            };
            if let Err(error) = self.data_fusion(statement, &sql).await {
                self.env
                    .notice(format!("view {name} could not be restored: {error}"));
            }
        }
        Ok(())
    }

    /// Plans a statement of DataFusion's, with our calls in it.
    async fn plan(&self, mut statement: DfStatement) -> Result<LogicalPlan> {
        let mut complete = calls::Complete;
        if let std::ops::ControlFlow::Break(error) = parse::visit(&mut statement, &mut complete) {
            return Err(error);
        }
        export::check(&self.ctx, &statement)?;
        expand(&self.env, &mut statement, parse::visit).await?;
        let plan = seedbed_boundary::statement_to_plan(self.ctx.state(), statement).await?;
        leakage::check(&self.env, &plan).await?;
        share::share_ctes(plan)
    }

    async fn query(&self, query: Query) -> Result<LogicalPlan> {
        let statement = SqlStatement::Query(Box::new(query));
        self.plan(DfStatement::Statement(Box::new(statement))).await
    }

    async fn data_fusion(&self, statement: DfStatement, text: &str) -> Result<Answer> {
        match self.plan(statement).await? {
            LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(create)) => {
                self.create_table(create).await
            }
            LogicalPlan::Ddl(ddl) => self.ddl(ddl, text).await,
            LogicalPlan::Copy(copy) => self.copy(copy).await,
            plan @ (LogicalPlan::Statement(_) | LogicalPlan::Dml(_)) => {
                let what = first_words(text, 1);
                let set = match &plan {
                    LogicalPlan::Statement(LogicalStatement::SetVariable(set)) => {
                        Some(set.variable.clone())
                    }
                    _ => None,
                };
                let rows = self.execute(plan).await?;
                let rows = total(rows).await?;
                if let Some(variable) = set {
                    follow(&self.ctx, &variable);
                }
                let count = rows.map(|n| format!(": {n} rows")).unwrap_or_default();
                done(format!("{what}{count}"))
            }
            plan => {
                let rows = self.execute(plan).await?;
                Ok(Answer::Rows {
                    schema: rows.schema(),
                    rows,
                })
            }
        }
    }

    fn execute(&self, plan: LogicalPlan) -> BoxFuture<'static, Result<SendableRecordBatchStream>> {
        seedbed_boundary::execute(self.ctx.clone(), plan)
    }

    async fn ddl(&self, ddl: DdlStatement, text: &str) -> Result<Answer> {
        let store = self.store()?;
        let what = match &ddl {
            DdlStatement::CreateView(view) => format!("CREATE VIEW {}", view.name),
            _ => first_words(text, 2),
        };
        let (keep_view, drop_view, drop_table) = match &ddl {
            DdlStatement::CreateView(view) if !view.temporary => {
                (Some(view.name.table().to_string()), None, None)
            }
            DdlStatement::DropView(view) => (None, Some(view.name.table().to_string()), None),
            DdlStatement::DropTable(table) => (None, None, Some(table.name.table().to_string())),
            _ => (None, None, None),
        };
        self.execute(LogicalPlan::Ddl(ddl)).await?;
        if let Some(name) = keep_view {
            store.put_view(&name, text)?;
        }
        if let Some(name) = drop_view {
            store.drop_view(&name)?;
        }
        if let Some(name) = drop_table {
            store.drop_table(&name)?;
        }
        done(what)
    }

    async fn create_table(&self, create: CreateMemoryTable) -> Result<Answer> {
        let name = create.name.clone();
        if self.ctx.table_exist(name.clone())? {
            if create.if_not_exists {
                return done(format!("CREATE TABLE {name}: it exists already"));
            }
            if !create.or_replace {
                return plan_err!(
                    "table {name} exists already. Write CREATE OR REPLACE TABLE {name} ..., or DROP TABLE {name} first"
                );
            }
        }
        let (streams, schema, task) = self.streams(create.input.as_ref().clone()).await?;
        let (table, rows) = self
            .store()?
            .create_table(name.table().to_string(), streams, schema, task)
            .await?;
        self.ctx.deregister_table(name.clone())?;
        self.ctx.register_table(name.clone(), table)?;
        done(format!("CREATE TABLE {name}: {rows} rows"))
    }

    async fn streams(
        &self,
        plan: LogicalPlan,
    ) -> Result<(
        Vec<SendableRecordBatchStream>,
        SchemaRef,
        Arc<datafusion::execution::TaskContext>,
    )> {
        let state = self.ctx.state();
        let physical = seedbed_boundary::physical_plan(state.clone(), plan).await?;
        let schema = physical.schema();
        let task = state.task_ctx();
        let streams = execute_stream_partitioned(physical, Arc::clone(&task))?;
        Ok((streams, schema, task))
    }

    /// Writes under another name and renames at the end: no half-written file has the final name.
    async fn copy(&self, mut copy: CopyTo) -> Result<Answer> {
        let target = copy.output_url.clone();
        let path = Path::new(&target);
        let mut staging = None;
        // our formats do so themselves
        if !export::is_ours(&copy) {
            copy.input = Arc::new(without_views(Arc::unwrap_or_clone(copy.input))?);
            self.bound_row_groups(&mut copy);
            let single = path.extension().is_some() && copy.partition_by.is_empty();
            if single && !target.contains("://") {
                let beside = Staging::beside(path)?;
                copy.output_url = beside.path().to_string_lossy().into_owned();
                staging = Some(beside);
            }
        }
        let rows = total(self.execute(LogicalPlan::Copy(copy)).await?).await?;
        if let Some(staging) = staging {
            staging.publish()?;
        }
        done(format!("COPY {target}: {} rows", rows.unwrap_or(0)))
    }

    /// Lets a wide table have row groups of fewer rows: whoever writes or reads one holds it in memory. What is
    /// chosen in OPTIONS or with SET stays.
    fn bound_row_groups(&self, copy: &mut CopyTo) {
        const ROWS: &str = "format.max_row_group_size";
        const DICTIONARY: &str = "format.dictionary_page_size_limit";
        let state = self.ctx.state_ref();
        let state = state.read();
        let set = &state.config_options().execution.parquet;
        let default = ParquetOptions::default();
        let chosen = |option: &str| copy.options.contains_key(option);
        let parquet = copy.file_type.get_ext() == "parquet";
        if !parquet || chosen(ROWS) || set.max_row_group_size != default.max_row_group_size {
            return;
        }
        let fields = copy.input.schema().fields().iter();
        let row = fields
            .map(|f| width(f.data_type()))
            .fold(0, usize::saturating_add);
        let rows = (ROW_GROUP_BYTES / row.max(1)).clamp(8192, default.max_row_group_size);
        // values of 8 bytes of which more than every fourth is another are not worth a dictionary
        let dictionary = (2 * rows).clamp(1 << 16, default.dictionary_page_size_limit);
        let unset = set.dictionary_page_size_limit == default.dictionary_page_size_limit;
        if unset && !chosen(DICTIONARY) {
            copy.options
                .insert(DICTIONARY.into(), dictionary.to_string());
        }
        copy.options.insert(ROWS.into(), rows.to_string());
    }

    async fn create_transform(&self, mut create: Create, text: &str) -> Result<Answer> {
        let store = self.store()?;
        let name = create.name.clone();
        if store.transform_names().contains(&name) {
            if create.if_not_exists {
                return done(format!("CREATE TRANSFORM {name}: it exists already"));
            }
            if !create.or_replace {
                return plan_err!(
                    "transform {name} exists already. Write CREATE OR REPLACE TRANSFORM {name} AS ..."
                );
            }
        }
        let written = text.to_string();
        calls::complete(create.query.as_mut())?;
        let dropped = expand(&self.env, create.query.as_mut(), |q: &mut Query, v| {
            q.visit(v)
        })
        .await?;
        let plan = plan_query(&self.env, create.query.as_ref().clone()).await?;
        leakage::check(&self.env, &plan).await?;
        let transform = transform::create(&self.env, &create, written, dropped).await?;
        store.put_transform(&name, transform.to_bytes()?)?;
        done(format!(
            "CREATE TRANSFORM {name}: fitted on {} rows",
            transform.about.rows
        ))
    }

    async fn create_model(&self, create: CreateModel, explain: bool) -> Result<Answer> {
        let store = self.store()?;
        let base = match &create.base {
            Some(base) => Some(store.model(base)?),
            None => None,
        };
        if store.model_names().contains(&create.name) && !create.or_replace && !create.if_not_exists
        {
            let begun = match (&create.kind, &create.base) {
                (Some(kind), _) => format!("USING {kind} AS ..."),
                (None, base) => format!("FROM {}", base.as_deref().unwrap_or_default()),
            };
            return plan_err!(
                "model {0} exists already. Write CREATE OR REPLACE MODEL {0} {begun}",
                create.name
            );
        }
        let resume = create.kind.is_none();
        let mut options = create.options;
        // A training goes on with its options; another table's has the networks of the first.
        let inherited = match (&base, &create.kind) {
            (Some(base), None) => base.options(),
            (Some(base), Some(kind)) if base.kind().eq_ignore_ascii_case(kind) => {
                base.architecture()
            }
            _ => Vec::new(),
        };
        for (name, value) in inherited {
            if !options
                .iter()
                .any(|(key, _)| key.eq_ignore_ascii_case(&name))
            {
                options.push((name, value));
            }
        }
        if !options.iter().any(|(key, _)| key == "seed") {
            options.push(("seed".to_string(), self.env.seed()?.to_string()));
        }
        let kind = match (create.kind, &base) {
            (Some(kind), _) => kind,
            (None, Some(base)) => base.kind().to_string(),
            (None, None) => return internal_err!("CREATE MODEL without a kind"),
        };
        let query = match (create.query, base.as_ref().and_then(|base| base.query())) {
            (Some(query), _) => *query,
            (None, Some(text)) => parse_query(text)?,
            (None, None) => {
                return plan_err!(
                    "CREATE MODEL {}: the model does not know the query that it was trained on. Add AS \
                     SELECT ...",
                    create.name
                );
            }
        };
        let spec = TrainSpec {
            name: create.name.clone(),
            kind,
            options,
            or_replace: create.or_replace,
            if_not_exists: create.if_not_exists,
            base: create.base.map(|model| Base { model, resume }),
            query: query.to_string(),
        };
        let input = self.query(query).await?;
        let node = Arc::new(TrainNode::try_new(spec, input)?);
        let plan = LogicalPlan::Extension(Extension { node });
        leakage::check(&self.env, &plan).await?;
        if explain {
            let plan = LogicalPlanBuilder::from(plan)
                .explain(false, false)?
                .build()?;
            let rows = self.execute(plan).await?;
            return Ok(Answer::Rows {
                schema: rows.schema(),
                rows,
            });
        }
        let rows = self.execute(plan).await?;
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        let trained = self.store()?.model(&create.name)?;
        let message = if batches.iter().any(|b| b.num_rows() > 0) {
            let items = trained.describe();
            let chosen = items.iter().find(|(item, _)| item == "chosen");
            let chosen = chosen.map(|(_, why)| format!(" (chosen {why})"));
            let unlabelled = items.iter().find(|(item, _)| item == UNLABELLED);
            let unlabelled =
                unlabelled.map(|(_, n)| format!("; {n} without a label were left out"));
            format!(
                "CREATE MODEL {}: {} trained on {} rows{}{}",
                create.name,
                trained.kind(),
                trained.trained_on(),
                chosen.unwrap_or_default(),
                unlabelled.unwrap_or_default()
            )
        } else {
            format!("CREATE MODEL {}: it exists already", create.name)
        };
        done(message)
    }

    fn drop(&self, object: Object, name: &str, if_exists: bool) -> Result<Answer> {
        let store = self.store()?;
        match object {
            Object::Transform => store.drop_transform(name, if_exists)?,
            Object::Model => store.drop_model(name, if_exists)?,
        }
        done(match object {
            Object::Transform => format!("DROP TRANSFORM {name}"),
            Object::Model => format!("DROP MODEL {name}"),
        })
    }

    fn show(&self, object: Object, name: Option<&str>) -> Result<Answer> {
        let store = self.store()?;
        match (object, name) {
            (Object::Transform, None) => {
                let mut rows = Vec::new();
                for name in store.transform_names() {
                    let t = Transform::from_bytes(&name, &store.transform(&name)?)?;
                    rows.push(vec![name, t.about.rows.to_string(), t.about.written]);
                }
                texts(&["name", "fitted_on", "sql"], rows)
            }
            (Object::Transform, Some(name)) => {
                let t = Transform::from_bytes(name, &store.transform(name)?)?;
                texts(&["name", "sql"], vec![vec![t.name, t.about.written]])
            }
            (Object::Model, None) => {
                let mut rows = Vec::new();
                for name in store.model_names() {
                    let m = store.model(&name)?;
                    let columns = m.schema().fields();
                    let columns: Vec<&str> = columns.iter().map(|f| f.name().as_str()).collect();
                    let items = m.describe();
                    let seed = items.iter().find(|(item, _)| item == "option seed");
                    rows.push(vec![
                        name,
                        m.kind().to_string(),
                        m.trained_on().to_string(),
                        columns.join(", "),
                        m.history().epochs.len().to_string(),
                        seed.map(|(_, seed)| seed.clone()).unwrap_or_default(),
                    ]);
                }
                let names = ["name", "kind", "trained_on", "columns", "epochs", "seed"];
                texts(&names, rows)
            }
            (Object::Model, Some(name)) => model_items(&store, name),
        }
    }

    async fn show_sql(&self, name: String) -> Result<Answer> {
        let t = Transform::load(&self.env, &name)?;
        let sql = transform::as_sql(&self.env, &t).await?;
        texts(&["sql"], vec![vec![sql]])
    }

    fn export(&self, object: Object, name: &str, path: &str) -> Result<Answer> {
        let what = match object {
            Object::Transform => {
                transform::export(&Transform::load(&self.env, name)?, path)?;
                "TRANSFORM"
            }
            Object::Model => {
                model::export(self.store()?.model(name)?.as_ref(), path)?;
                "MODEL"
            }
        };
        done(format!("EXPORT {what} {name}: {path}"))
    }

    fn import_model(&self, import: &Import) -> Result<Answer> {
        let store = self.store()?;
        let (name, model) = model::import(&import.path, import.name.as_deref())?;
        if store.model_names().contains(&name) {
            if import.if_not_exists {
                return done(format!("IMPORT MODEL {name}: it exists already"));
            }
            if !import.or_replace {
                return plan_err!(
                    "model {name} exists already. Write IMPORT OR REPLACE MODEL {name} FROM '{}', or another name",
                    import.path
                );
            }
        }
        let message = format!(
            "IMPORT MODEL {name}: {} trained on {} rows",
            model.kind(),
            model.trained_on()
        );
        store.put_model(&name, model)?;
        done(message)
    }

    fn import_transform(&self, import: &Import) -> Result<Answer> {
        let store = self.store()?;
        let t = transform::import(&import.path, import.name.as_deref())?;
        let name = t.name.clone();
        if store.transform_names().contains(&name) {
            if import.if_not_exists {
                return done(format!("IMPORT TRANSFORM {name}: it exists already"));
            }
            if !import.or_replace {
                return plan_err!(
                    "transform {name} exists already. Write IMPORT OR REPLACE TRANSFORM {name} FROM '{}', or another name",
                    import.path
                );
            }
        }
        store.put_transform(&name, t.to_bytes()?)?;
        done(format!(
            "IMPORT TRANSFORM {name}: fitted on {} rows",
            t.about.rows
        ))
    }

    async fn describe(&self, object: Object, name: String) -> Result<Answer> {
        let store = self.store()?;
        match object {
            Object::Model => model_items(&store, &name),
            Object::Transform => {
                let t = Transform::load(&self.env, &name)?;
                answer(transform::describe(&self.env, &t).await?)
            }
        }
    }

    /// A row a column: type, rows, missing, distinct, smallest, largest, mean, standard deviation.
    async fn summarize(&self, query: Query) -> Result<Answer> {
        let plan = self.query(query.clone()).await?;
        let mut columns = Vec::new();
        for field in plan.schema().fields() {
            let name = quoted(field.name());
            let text = field.name().replace('\'', "''");
            let number = field.data_type().is_numeric();
            let ordered = !field.data_type().is_nested();
            let (low, high) = if ordered {
                (
                    format!("CAST(min({name}) AS VARCHAR)"),
                    format!("CAST(max({name}) AS VARCHAR)"),
                )
            } else {
                (
                    "CAST(NULL AS VARCHAR)".into(),
                    "CAST(NULL AS VARCHAR)".into(),
                )
            };
            let (mean, deviation) = if number {
                (
                    format!("CAST(avg({name}) AS DOUBLE)"),
                    format!("CAST(stddev_pop({name}) AS DOUBLE)"),
                )
            } else {
                ("CAST(NULL AS DOUBLE)".into(), "CAST(NULL AS DOUBLE)".into())
            };
            let distinct = if ordered {
                // the sketch takes texts, and not all other types
                format!(
                    "least(CAST(approx_distinct(CAST({name} AS VARCHAR)) AS BIGINT), count({name}))"
                )
            } else {
                "CAST(NULL AS BIGINT)".into()
            };
            columns.push(format!(
                "named_struct('column', '{text}', 'type', '{}', 'rows', count(*), 'missing', count(*) - count({name}), \
                 'distinct', {distinct}, 'min', {low}, 'max', {high}, 'mean', {mean}, 'std', {deviation})",
                field.data_type().to_string().replace('\'', "''")
            ));
        }
        if columns.is_empty() {
            return plan_err!("SUMMARIZE: the query has no columns");
        }
        let parts = [
            "column", "type", "rows", "missing", "distinct", "min", "max", "mean", "std",
        ]
        .map(|part| format!("get_field(c, '{part}') AS \"{part}\""))
        .join(", ");
        let sql = format!(
            "SELECT {parts} FROM (SELECT unnest(make_array({})) AS c FROM ({query}) AS q)",
            columns.join(", ")
        );
        let plan = self.query(crate::sql::relation::parse_query(&sql)?).await?;
        let rows = self.execute(plan).await?;
        Ok(Answer::Rows {
            schema: rows.schema(),
            rows,
        })
    }
}

fn done(message: String) -> Result<Answer> {
    Ok(Answer::Done { message })
}

fn model_items(store: &Store, name: &str) -> Result<Answer> {
    let rows = store.model(name)?.describe();
    let rows = rows.into_iter().map(|(k, v)| vec![k, v]).collect();
    texts(&["item", "value"], rows)
}

/// Rows of texts as an answer.
fn texts(names: &[&str], rows: Vec<Vec<String>>) -> Result<Answer> {
    let fields: Vec<Field> = names
        .iter()
        .map(|n| Field::new(*n, DataType::Utf8, false))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = (0..names.len())
        .map(|i| {
            let column: StringArray = rows.iter().map(|r| r.get(i)).collect();
            Arc::new(column) as ArrayRef
        })
        .collect();
    answer(RecordBatch::try_new(schema, columns)?)
}

/// A batch as an answer.
fn answer(batch: RecordBatch) -> Result<Answer> {
    let schema = batch.schema();
    let rows = MemoryStream::try_new(vec![batch], Arc::clone(&schema), None)?;
    let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), rows.boxed());
    Ok(Answer::Rows {
        schema,
        rows: Box::pin(rows),
    })
}

/// Runs a statement to its end; the count of rows that COPY and INSERT give.
async fn total(rows: SendableRecordBatchStream) -> Result<Option<u64>> {
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    let counts = batches.iter().filter_map(|b| {
        let column = b.columns().first()?;
        let counts = arrow::compute::cast(column, &DataType::UInt64).ok()?;
        arrow::compute::sum(arrow::array::AsArray::as_primitive::<
            arrow::datatypes::UInt64Type,
        >(&counts))
    });
    Ok(counts.reduce(|a, b| a + b))
}

/// A plan without Arrow's views: files that say their columns are views are read by few programs in full.
fn without_views(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    if !schema
        .fields()
        .iter()
        .any(|f| plain(f.data_type()) != *f.data_type())
    {
        return Ok(plan);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        let of = plain(field.data_type());
        if of == *field.data_type() {
            column
        } else {
            cast(column, of).alias_qualified(qualifier.cloned(), field.name())
        }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// A type with texts and bytes in place of views of them, at any depth.
fn plain(of: &DataType) -> DataType {
    let inner = |field: &FieldRef| {
        let of = plain(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(of))
    };
    match of {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, n) => DataType::FixedSizeList(inner(field), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

/// The first words of a statement, to say what happened.
fn first_words(text: &str, n: usize) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .filter(|w| !w.starts_with("--"))
        .take(n)
        .map(str::to_uppercase)
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[tokio::test]
    async fn files_hold_texts_and_no_views_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.parquet");
        let seedbed = Seedbed::open(Options::default()).unwrap();
        let query = "SELECT 1 AS n, x, [x] AS l, named_struct('x', x) AS s FROM (SELECT arrow_cast('a', 'Utf8View') AS x)";
        let sql = format!("COPY ({query}) TO '{}'", path.display());
        seedbed.sql(&sql).await.unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let file = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = file.schema();
        assert_eq!(*schema.field(0).data_type(), DataType::Int64);
        assert_eq!(*schema.field(1).data_type(), DataType::Utf8);
        for field in schema.fields() {
            assert_eq!(plain(field.data_type()), *field.data_type());
        }
    }
}
