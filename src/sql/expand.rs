//! Calls in a SELECT list that stand for several columns: `one_hot(x) OVER ()`, `cyclic(x, period)`,
//! `date_parts(t)`, `lags(x, n) OVER (ORDER BY t)`, and selectors of columns.
//!
//! Which columns a `one_hot` gives depends on the rows: its categories are read first, by a query of its
//! own, as a pivot does in other engines. The AST is walked anew after each such query.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::{
    Column, DFSchema, DataFusionError, Result, ScalarValue, exec_err, plan_err,
};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr as SqlExpr, Function, Ident, Query, Select, SelectItem, VisitorMut, WindowType, With,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use seedbed_udfs::encode::date_parts;
use seedbed_udfs::encode::one_hot::{Call, OneHot};
use seedbed_udfs::fitted::FittedUdf;
use seedbed_udfs::options::Options;

use super::calls;
use super::ordered;
use super::relation::{fold, parse_expr, parse_query, plan_query};
use super::selectors::{self, Columns};
use super::transform::Dropped;
use super::walk::arguments;
use crate::plan::prune;
use crate::session::Env;

/// Functions whose calls stand for several columns.
pub const EXPANDING: [&str; 4] = ["one_hot", "cyclic", "date_parts", "lags"];

/// Replaces the calls, and gives the categories that `one_hot` gave no column; `visit` walks the statement's queries.
pub fn expand<'a, T: Send>(
    env: &'a Env,
    ast: &'a mut T,
    visit: fn(&mut T, &mut Expand) -> ControlFlow<Stop>,
) -> BoxFuture<'a, Result<Vec<Dropped>>> {
    async move {
        let mut expander = Expand {
            env: env.clone(),
            scope: Vec::new(),
            fits: HashMap::new(),
            columns: HashMap::new(),
            dropped: Vec::new(),
        };
        loop {
            expander.scope.clear();
            match visit(ast, &mut expander) {
                ControlFlow::Continue(()) => return Ok(expander.dropped),
                ControlFlow::Break(Stop::Error(error)) => return Err(*error),
                ControlFlow::Break(Stop::Fit(sql)) => {
                    let fit = fit(env, &sql).await?;
                    expander.fits.insert(sql, fit);
                }
                ControlFlow::Break(Stop::Columns(sql)) => {
                    let columns = columns(env, &sql).await?;
                    expander.columns.insert(sql, columns);
                }
            }
        }
    }
    .boxed()
}

/// Why the walk stopped.
pub enum Stop {
    Error(Box<DataFusionError>),
    /// The categories that this query's column `x` has are to be read.
    Fit(String),
    /// The columns that this query has are to be known.
    Columns(String),
}

impl From<DataFusionError> for Stop {
    fn from(error: DataFusionError) -> Self {
        Self::Error(Box::new(error))
    }
}

/// The walk through a statement's queries.
pub struct Expand {
    env: Env,
    scope: Vec<Frame>,
    /// By the query that was asked: the parameters of its fit.
    fits: HashMap<String, Arc<StructArray>>,
    /// By the query that was asked: its columns.
    columns: HashMap<String, Columns>,
    dropped: Vec<Dropped>,
}

/// A query that is being walked: how many of its CTEs are done, and these.
#[derive(Default)]
struct Frame {
    ctes: Vec<Cte>,
    done: Vec<Cte>,
}

impl VisitorMut for Expand {
    type Break = Stop;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Stop> {
        let ctes = query.with.as_ref().map(|w| w.cte_tables.clone());
        self.scope.push(Frame {
            ctes: ctes.unwrap_or_default(),
            done: Vec::new(),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Stop> {
        self.scope.pop();
        if let Err(error) = selectors::order_places(query) {
            return ControlFlow::Break(error.into());
        }
        // the CTEs of a query are walked before its body, in order
        if let Some(parent) = self.scope.last_mut()
            && let Some(cte) = parent.ctes.get(parent.done.len())
        {
            let mut cte = cte.clone();
            cte.query = Box::new(query.clone());
            parent.done.push(cte);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Stop> {
        match self.select_columns(select) {
            Ok(None) => {}
            Ok(Some(items)) => select.projection = items,
            Err(stop) => return ControlFlow::Break(stop),
        }
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            match self.item(select, item) {
                Ok(None) => items.push(item.clone()),
                Ok(Some(columns)) => items.extend(columns),
                Err(stop) => return ControlFlow::Break(stop),
            }
        }
        select.projection = items;
        ControlFlow::Continue(())
    }
}

impl Expand {
    /// The SELECT list with its selectors written out, if it has any.
    fn select_columns(&self, select: &Select) -> Result<Option<Vec<SelectItem>>, Stop> {
        selectors::places(select)?;
        if !selectors::has(&select.projection) {
            return Ok(None);
        }
        let from: Vec<String> = select.from.iter().map(ToString::to_string).collect();
        if from.is_empty() {
            let wrong: Result<()> =
                plan_err!("a selector of columns needs a table. Write SELECT ... FROM my_table");
            wrong?;
        }
        let sql = format!("{}SELECT * FROM {}", self.with(), from.join(", "));
        let Some(columns) = self.columns.get(&sql) else {
            return Err(Stop::Columns(sql));
        };
        let constants = |args: &[SqlExpr]| constants(&self.env, args);
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            items.extend(columns.items(item, &constants)?);
        }
        Ok(Some(items))
    }

    /// The CTEs that a SELECT of the walk can see, as they are written before it.
    fn with(&self) -> String {
        let ctes: Vec<Cte> = self.scope.iter().flat_map(|f| f.done.clone()).collect();
        if ctes.is_empty() {
            return String::new();
        }
        let with = With {
            with_token:
                datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
            recursive: false,
            cte_tables: ctes,
        };
        format!("{with} ")
    }

    fn item(
        &mut self,
        select: &Select,
        item: &SelectItem,
    ) -> Result<Option<Vec<SelectItem>>, Stop> {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
            _ => return Ok(None),
        };
        let SqlExpr::Function(call) = expr else {
            return Ok(None);
        };
        let Some(function) = calls::registered(call) else {
            return Ok(None);
        };
        let prefix = alias.or_else(|| first_name(call));
        match function.spec().name {
            name @ "cyclic" => Ok(Some(fields(expr, prefix, name, &["sin", "cos"])?)),
            name @ "date_parts" => Ok(Some(fields(expr, prefix, name, &date_parts::PARTS)?)),
            "lags" => {
                let prefix = prefix.unwrap_or_else(|| "x".to_string());
                let args = arguments(call);
                let n = constants(&self.env, args.get(1..).unwrap_or_default())?;
                Ok(Some(ordered::lags(call, n, &prefix)?))
            }
            "one_hot" => {
                let prefix = prefix.unwrap_or_else(|| "one_hot".to_string());
                self.one_hot(select, call, &prefix).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn one_hot(
        &mut self,
        select: &Select,
        call: &Function,
        prefix: &str,
    ) -> Result<Vec<SelectItem>, Stop> {
        if let Some(WindowType::WindowSpec(window)) = &call.over
            && (!window.partition_by.is_empty() || !window.order_by.is_empty())
        {
            let wrong: Result<()> = plan_err!(
                "one_hot: its columns are the same for all rows, so it takes no PARTITION BY or ORDER BY. Write OVER ()"
            );
            wrong?;
        }
        let args = arguments(call);
        let Some((x, options)) = args.split_first() else {
            return Ok(Vec::new());
        };
        let mut source = select.clone();
        source.projection = vec![SelectItem::ExprWithAlias {
            expr: x.clone(),
            alias: Ident::new("x"),
        }];
        source.distinct = None;
        source.qualify = None;
        source.named_window = Vec::new();
        let text: Vec<String> = options.iter().map(ToString::to_string).collect();
        let with = self.with();
        let sql = format!("{with}{source}\u{0}{}", text.join(","));
        let Some(params) = self.fits.get(&sql) else {
            return Err(Stop::Fit(sql));
        };
        let options = constants(&self.env, options)?;
        let options = Options::new(<OneHot as seedbed_udfs::fitted::Fitted>::spec(), options)?;
        let (columns, known) = OneHot::expand(&options, params, prefix)?;
        if let Some(category) = OneHot::dropped(params) {
            let dropped = Dropped {
                columns: columns.iter().map(|c| c.name.clone()).collect(),
                category,
            };
            // a walk that stopped comes by again
            if !self.dropped.contains(&dropped) {
                self.dropped.push(dropped);
            }
        }
        let x = match known {
            Some(known) => written(&known, &x.to_string()),
            None => x.to_string(),
        };
        Ok(columns
            .iter()
            .map(|column| {
                Ok(SelectItem::ExprWithAlias {
                    expr: parse_expr(&written(column, &x))?,
                    alias: Ident::with_quote('"', column.name.clone()),
                })
            })
            .collect::<Result<_>>()?)
    }
}

/// The fields of a struct as columns, named after its argument, or else its function.
fn fields(
    expr: &SqlExpr,
    prefix: Option<String>,
    name: &str,
    parts: &[&str],
) -> Result<Vec<SelectItem>> {
    let prefix = prefix.unwrap_or_else(|| name.to_string());
    parts
        .iter()
        .map(|part| {
            Ok(SelectItem::ExprWithAlias {
                expr: parse_expr(&format!("get_field({expr}, '{part}')"))?,
                alias: Ident::with_quote('"', format!("{prefix}_{part}")),
            })
        })
        .collect()
}

/// The name of the first argument, if it is a column.
fn first_name(call: &Function) -> Option<String> {
    match arguments(call).first()? {
        SqlExpr::Identifier(ident) => Some(ident.value.clone()),
        SqlExpr::CompoundIdentifier(idents) => Some(idents.last()?.value.clone()),
        SqlExpr::Function(inner) => first_name(inner),
        _ => None,
    }
}

fn written(call: &Call, x: &str) -> String {
    let arguments: Vec<String> = call.arguments.iter().map(literal).collect();
    format!("{}({x}, {})", call.function, arguments.join(", "))
}

/// A constant as SQL.
fn literal(value: &ScalarValue) -> String {
    match value {
        ScalarValue::List(list) if list.len() == 1 => {
            let items = list.value(0);
            let items: Vec<String> = (0..items.len())
                .filter_map(|i| ScalarValue::try_from_array(&items, i).ok())
                .map(|v| literal(&v))
                .collect();
            format!("[{}]", items.join(", "))
        }
        other => seedbed_udfs::options::display(other),
    }
}

fn constants(env: &Env, args: &[SqlExpr]) -> Result<Vec<ScalarValue>> {
    let state = env.state()?;
    args.iter()
        .map(|arg| {
            let expr = datafusion::sql::sqlparser::ast::ExprWithAlias {
                expr: arg.clone(),
                alias: None,
            };
            fold(state.create_logical_expr_from_sql_expr(expr, &DFSchema::empty())?)
        })
        .collect()
}

/// The columns of a query, which is not run.
fn columns<'a>(env: &'a Env, sql: &'a str) -> BoxFuture<'a, Result<Columns>> {
    async move {
        let plan = plan_query(env, parse_query(sql)?).await?;
        Ok(Columns::of(plan.schema()))
    }
    .boxed()
}

/// Reads the categories: runs the fit of `one_hot` over a query's column `x`.
fn fit<'a>(env: &'a Env, job: &'a str) -> BoxFuture<'a, Result<Arc<StructArray>>> {
    async move {
        let (sql, options) = job.split_once('\u{0}').unwrap_or((job, ""));
        let state = env.state()?;
        let plan = plan_query(env, parse_query(sql)?).await?;
        let call = parse_expr(&format!("f({options})"))?;
        let options = match &call {
            SqlExpr::Function(call) => constants(env, &arguments(call))?,
            _ => Vec::new(),
        };
        let bound = FittedUdf::of::<OneHot>().bind(options)?;
        let given = bound.options();
        let plan = if given.is_null("min_frequency") && given.is_null("max_categories") {
            without_distinct(pruned(plan, state.config_options())?)?
        } else {
            plan
        };
        let x = Expr::Column(Column::from_name("x"));
        let given = x.get_type(plan.schema())?;
        let wanted: DataType = bound.coerce(&[given])?.remove(0);
        let fit = bound.fit_udaf(vec![wanted.clone()]);
        let x = x.cast_to(&wanted, plan.schema())?;
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(Vec::<Expr>::new(), vec![fit.call(vec![x]).alias("fit")])?
            .build()?;
        let physical = seedbed_boundary::physical_plan(state.clone(), plan).await?;
        let batches = seedbed_boundary::collect(physical, state.task_ctx()).await?;
        let batch = batches.iter().find(|b| b.num_rows() > 0);
        match batch.map(|b| ScalarValue::try_from_array(b.column(0), 0)) {
            Some(Ok(ScalarValue::Struct(params))) => Ok(params),
            _ => exec_err!("one_hot: its categories could not be read"),
        }
    }
    .boxed()
}

/// A plan without what its columns do not need: windows of other columns among it.
fn pruned(plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
    let plan = TypeCoercion::new().analyze(plan, config)?;
    prune(plan)
}

/// A plan of the same rows, some of them more than once: which categories there are is the same.
fn without_distinct(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            without_distinct(Arc::unwrap_or_clone(input))
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => {
            let inputs = plan.inputs().into_iter().cloned();
            let inputs = inputs.map(without_distinct).collect::<Result<_>>()?;
            plan.with_new_exprs(plan.expressions(), inputs)
        }
        other => Ok(other),
    }
}
