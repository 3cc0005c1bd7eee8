//! Relation functions: functions that take tables and named arguments and stand where a table can.
//!
//! Stock DataFusion drops subqueries and names in table functions; a `RelationPlanner` is the way in. Most
//! relations are SQL over their table arguments, so they are written as such ([`Expansion::Sql`]).

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Array, Expr as SqlExpr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query,
    Statement as SqlStatement, TableAlias, TableFactor, TableFunctionArgs, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use seedbed_udfs::options::{Options, nearest};
use seedbed_udfs::spec::Spec;

use super::calls;
use crate::load;
use crate::session::Env;

/// A function that stands where a table can.
pub trait Relation: Debug + Send + Sync {
    /// Its declaration: data parameters are tables, options are constants.
    fn spec(&self) -> &'static Spec;

    /// What the call stands for.
    fn plan(&self, call: &Call<'_>) -> Result<Expansion>;
}

/// What a relation function's call stands for.
pub enum Expansion {
    /// A query over [`Call::table`]s.
    Sql(String),
    /// A plan over [`Call::input`]s.
    Plan(LogicalPlan),
    /// A table of its own.
    Table(Arc<dyn TableProvider>),
    /// A query over [`Call::table`]s, whose plan is changed before it is used.
    Then(String, Box<dyn FnOnce(LogicalPlan) -> Result<LogicalPlan>>),
    /// A query over [`Call::table`]s, in which a name of [`Call::node`] is called with queries: `name((SELECT ...))`.
    /// What is made of their plans stands in its place.
    Around(String, String, MakeNode),
}

/// Makes a plan of the plans of queries.
pub type MakeNode = Box<dyn FnOnce(Vec<LogicalPlan>) -> Result<LogicalPlan> + Send>;

/// A call's arguments.
pub struct Call<'a> {
    tables: Vec<(String, LogicalPlan)>,
    options: Options,
    env: &'a Env,
}

impl Call<'_> {
    /// The name of a table argument in [`Expansion::Sql`], quoted; it may be used any number of times.
    pub fn table(&self, i: usize) -> &str {
        self.tables.get(i).map_or("", |(name, _)| name.as_str())
    }

    /// The plan of a table argument.
    pub fn input(&self, i: usize) -> Result<&LogicalPlan> {
        match self.tables.get(i) {
            Some((_, plan)) => Ok(plan),
            None => plan_err!("{}: a table is missing", self.options.spec().name),
        }
    }

    /// The columns of a table argument.
    pub fn schema(&self, i: usize) -> &DFSchema {
        self.tables[i].1.schema()
    }

    /// The names of its columns, quoted, in order.
    pub fn columns(&self, i: usize) -> Vec<String> {
        let fields = self.schema(i).fields().iter();
        fields.map(|f| quoted(f.name())).collect()
    }

    /// A name that no one else calls, for [`Expansion::Around`].
    pub fn node(&self) -> String {
        format!("{NODE}{}", self.env.fresh())
    }

    /// Its columns as expressions over [`Self::input`], in order.
    pub fn exprs(&self, i: usize) -> Vec<Expr> {
        let columns = self.schema(i).columns();
        columns.into_iter().map(Expr::Column).collect()
    }

    /// A plan as a table that [`Expansion`]'s SQL can read.
    pub fn planned(&self, plan: LogicalPlan) -> String {
        format!("{PLANNED}({})", self.env.keep_plan(plan))
    }

    /// The constant arguments.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The option `seed`; seedbed.seed where it is left out.
    pub fn seed(&self) -> Result<u64> {
        match self.options.is_null("seed") {
            true => self.env.seed(),
            false => Ok(self.options.integer("seed", 0)?.unsigned_abs()),
        }
    }

    /// What planners share.
    pub fn env(&self) -> &Env {
        self.env
    }

    /// The column of table `i` that an option names, quoted.
    ///
    /// # Errors
    /// If there is no such column: names the nearest.
    pub fn column(&self, i: usize, option: &str) -> Result<String> {
        self.find(i, option, &self.options.text(option)?)
    }

    /// The columns of table `i` that an option lists, quoted.
    ///
    /// # Errors
    /// If there is no such column: names the nearest.
    pub fn column_list(&self, i: usize, option: &str) -> Result<Vec<String>> {
        let names = match self.options.text(option) {
            Ok(one) => vec![one],
            Err(_) => self.options.texts(option)?,
        };
        names.iter().map(|n| self.find(i, option, n)).collect()
    }

    fn find(&self, i: usize, option: &str, name: &str) -> Result<String> {
        let names: Vec<&str> = self
            .schema(i)
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        let exact = names.iter().find(|n| **n == name);
        let found = exact.or_else(|| names.iter().find(|n| n.eq_ignore_ascii_case(name)));
        match found {
            Some(found) => Ok(quoted(found)),
            None => {
                let near = nearest(name, names.iter().copied())
                    .map(|n| format!(" Did you mean {n}?"))
                    .unwrap_or_default();
                plan_err!(
                    "{}: {option} names a column {name}, which the table does not have.{near} It has {}",
                    self.options.spec().name,
                    names.join(", ")
                )
            }
        }
    }
}

/// A name as an SQL identifier that is taken literally.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Finds relation functions and paths in FROM.
pub struct Relations {
    relations: HashMap<&'static str, Arc<dyn Relation>>,
    /// Of templates that are being planned.
    nodes: Mutex<HashMap<String, MakeNode>>,
    env: Env,
}

impl fmt::Debug for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relations")
            .field("relations", &self.relations)
            .finish_non_exhaustive()
    }
}

/// The name under which a template's table arguments are found again.
const PLANNED: &str = "__seedbed_planned";

/// How the names of a template's nodes begin.
const NODE: &str = "__seedbed_node_";

impl Relations {
    /// All relations of a session.
    pub fn new(relations: Vec<Arc<dyn Relation>>, env: Env) -> Self {
        let relations = relations.into_iter().map(|r| (r.spec().name, r)).collect();
        Self {
            relations,
            nodes: Mutex::default(),
            env,
        }
    }

    fn call(
        &self,
        relation: &Arc<dyn Relation>,
        args: TableFunctionArgs,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let spec = relation.spec();
        let args = calls::ordered(spec, args.args)?;
        let mut tables = Vec::new();
        let mut options = Vec::new();
        for (param, arg) in spec.params.iter().zip(args) {
            if param.option {
                options.push(constant(arg, context).map_err(|e| {
                    e.context(format!("{}: {} must be a constant", spec.name, param.name))
                })?);
            } else if param.default.is_none() || !is_null(&arg) {
                let plan = context.plan(table_argument(spec, param.name, arg)?)?;
                let name = format!("{}_{}_{}", spec.name, param.name, self.env.fresh());
                tables.push((quoted(&name), plan));
            }
        }
        let call = Call {
            tables,
            options: Options::new(spec, options)?,
            env: &self.env,
        };
        match relation.plan(&call)? {
            Expansion::Then(sql, change) => {
                let mut query = parse_query(&sql)?;
                calls::complete(&mut query)?;
                change(context.plan(derived(query))?)
            }
            Expansion::Plan(plan) => Ok(plan),
            Expansion::Table(provider) => {
                let given: Vec<_> = call.options.iter().collect();
                scan(spec.name, &format!("{given:?}"), provider)
            }
            Expansion::Around(name, sql, make) => {
                self.nodes.lock().insert(name, make);
                self.template(&sql, call.tables, context)
            }
            Expansion::Sql(sql) => self.template(&sql, call.tables, context),
        }
    }

    /// The plan of a query over table arguments.
    fn template(
        &self,
        sql: &str,
        tables: Vec<(String, LogicalPlan)>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let mut with = Vec::new();
        for (name, plan) in tables {
            let key = self.env.keep_plan(plan);
            with.push(format!("{name} AS (SELECT * FROM {PLANNED}({key}))"));
        }
        let sql = if with.is_empty() {
            sql.to_string()
        } else {
            format!("WITH {} SELECT * FROM ({sql})", with.join(", "))
        };
        let mut query = parse_query(&sql)?;
        calls::complete(&mut query)?;
        context.plan(derived(query))
    }

    /// The plan that a template's node stands for.
    fn node(
        &self,
        make: MakeNode,
        args: TableFunctionArgs,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let mut plans = Vec::new();
        for arg in args.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Subquery(query))) => {
                    plans.push(context.plan(derived(*query))?);
                }
                other => return plan_err!("{other} is no query"),
            }
        }
        make(plans)
    }

    fn load_env(&self) -> Result<load::LoadEnv> {
        Ok(load::LoadEnv {
            state: self.env.state()?,
            rejects: self.env.rejects().clone(),
            progress: self.env.progress().clone(),
            notices: self.env.load_notices().clone(),
        })
    }

    /// A reader reads its own arguments: which were given matters, and defaults depend on the file.
    fn read(
        &self,
        reader: load::Reader,
        args: TableFunctionArgs,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let mut paths = Vec::new();
        let mut named = Vec::new();
        for arg in args.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    let value = constant(expr, context)?;
                    match load::texts(&value)? {
                        Some(texts) => paths.extend(texts),
                        None => {
                            return plan_err!(
                                "{0}: a path must be a text. Write {0}('file')",
                                reader.function()
                            );
                        }
                    }
                }
                FunctionArg::Named {
                    name,
                    arg: FunctionArgExpr::Expr(expr),
                    ..
                } => named.push((name.value.to_ascii_lowercase(), constant(expr, context)?)),
                other => return plan_err!("{}: {other} is no argument", reader.function()),
            }
        }
        let provider = load::open(reader, &paths, &named, &self.load_env()?)?;
        scan(reader.function(), &format!("{paths:?} {named:?}"), provider)
    }
}

/// A table by the name `called`. DataFusion takes scans of one name for the same, whatever they read, and gives
/// one's rows for the other's in a statement that has both: so the scan's own name says what it reads.
fn scan(called: &str, reads: &str, provider: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let name = TableReference::bare(format!("{called} {reads}"));
    LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?
        .alias(TableReference::bare(called))?
        .build()
}

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let original = |relation| Ok(RelationPlanning::Original(Box::new(relation)));
        let TableFactor::Table {
            name, args, alias, ..
        } = &relation
        else {
            return original(relation);
        };
        let [part] = name.0.as_slice() else {
            return original(relation);
        };
        let Some(ident) = part.as_ident() else {
            return original(relation);
        };
        let called = ident.value.to_ascii_lowercase();
        let Some(args) = args.clone() else {
            if ident.quote_style != Some('\'') && !load::looks_like_path(&ident.value) {
                return original(relation);
            }
            let reference = TableReference::bare(ident.value.as_str());
            if ident.quote_style != Some('\'')
                && context
                    .context_provider()
                    .get_table_source(reference)
                    .is_ok()
            {
                return original(relation);
            }
            let provider = load::open_path(&ident.value, &self.load_env()?)?;
            let table = std::path::Path::new(&ident.value)
                .file_stem()
                .map_or("file".into(), |s| s.to_string_lossy());
            let plan = scan(&table, &ident.value, provider)?;
            let planned = PlannedRelation::new(plan, alias.clone());
            return Ok(RelationPlanning::Planned(Box::new(planned)));
        };
        let alias = alias.clone();
        if called == PLANNED {
            let plan = match args.args.first() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Value(v)))) => {
                    self.env.kept_plan(&v.value.to_string())?
                }
                _ => return original(relation),
            };
            let planned = PlannedRelation::new(plan, alias);
            return Ok(RelationPlanning::Planned(Box::new(planned)));
        }
        let reader = load::Reader::ALL
            .into_iter()
            .find(|r| r.function() == called);
        let node = self.nodes.lock().remove(&called);
        let plan = if let Some(make) = node {
            self.node(make, args, context)?
        } else if let Some(reader) = reader {
            self.read(reader, args, context)?
        } else if let Some(found) = self.relations.get(called.as_str()) {
            self.call(found, args, context)?
        } else {
            return original(relation);
        };
        let alias = alias.unwrap_or(TableAlias {
            explicit: true,
            name: Ident::new(called),
            columns: Vec::new(),
            at: None,
        });
        let planned = PlannedRelation::new(plan, Some(alias));
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

fn derived(query: Query) -> TableFactor {
    TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query),
        alias: None,
        sample: None,
    }
}

/// Whether an argument is left out.
fn is_null(arg: &SqlExpr) -> bool {
    matches!(arg, SqlExpr::Value(value) if value.value == Value::Null)
}

/// A table argument: a subquery, or a table's name.
fn table_argument(spec: &Spec, param: &str, arg: SqlExpr) -> Result<TableFactor> {
    let name = match arg {
        SqlExpr::Subquery(query) => return Ok(derived(*query)),
        SqlExpr::Identifier(name) => vec![name],
        SqlExpr::CompoundIdentifier(names) => names,
        other => {
            return plan_err!(
                "{}: {param} must be a table, not {other}. Write {}((SELECT ...), ...) or {}(my_table, ...)",
                spec.name,
                spec.name,
                spec.name
            );
        }
    };
    let query = parse_query(&format!("SELECT * FROM {}", ObjectName::from(name)))?;
    Ok(derived(query))
}

/// Parses one query.
pub fn parse_query(sql: &str) -> Result<Query> {
    let query = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .and_then(|mut p| p.parse_query());
    match query {
        Ok(query) => Ok(*query),
        Err(error) => plan_err!("{error} in {sql}"),
    }
}

/// Plans a query whose calls are complete and whose columns are expanded.
pub fn plan_query<'a>(env: &'a Env, query: Query) -> BoxFuture<'a, Result<LogicalPlan>> {
    async move {
        let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
        seedbed_boundary::statement_to_plan(env.state()?, statement).await
    }
    .boxed()
}

/// Parses one expression.
pub fn parse_expr(sql: &str) -> Result<SqlExpr> {
    let expr = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .and_then(|mut p| p.parse_expr());
    match expr {
        Ok(expr) => Ok(expr),
        Err(error) => plan_err!("{error} in {sql}"),
    }
}

/// The value of a constant argument; an identifier stands for its name (`label => income`).
fn constant(arg: SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<ScalarValue> {
    let schema = DFSchema::empty();
    let expr = context.sql_to_expr(named(arg), &schema)?;
    fold(expr)
}

fn named(expr: SqlExpr) -> SqlExpr {
    match expr {
        SqlExpr::Identifier(name) => SqlExpr::Value(Value::SingleQuotedString(name.value).into()),
        SqlExpr::Array(Array { elem, named: n }) => SqlExpr::Array(Array {
            elem: elem.into_iter().map(named).collect(),
            named: n,
        }),
        other => other,
    }
}

/// Evaluates an expression without columns.
pub fn fold(expr: Expr) -> Result<ScalarValue> {
    let schema = Arc::new(DFSchema::empty());
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(&schema))
        .with_current_time()
        .build();
    let simplifier = ExprSimplifier::new(context);
    let expr = simplifier.coerce(expr, &schema)?;
    match simplifier.simplify(expr)? {
        Expr::Literal(value, _) => Ok(value),
        other => plan_err!("{other} is not a constant"),
    }
}
