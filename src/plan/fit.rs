//! Fitted functions, lowered: from windows that buffer everything to fits that are computed once and
//! applied to rows as they stream.
//!
//! `f(x) OVER ()` becomes `f_apply(x, fits)`, where `fits` is ONE scalar subquery that computes all fits of
//! a SELECT in one pass. `OVER (PARTITION BY k)` becomes `f_apply(x, fits, group_index(k, fits))`, where
//! the subquery gives the fits of all groups. The subquery's input is the window's, read again where that is
//! cheap and gives the same rows; elsewhere a [`Spool`] computes it once. Fitted calls within fitted calls
//! become windows below windows first.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Spans, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction};
use datafusion::logical_expr::logical_plan::Window;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery, WindowFunctionDefinition, col,
    lit,
};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{AnalyzerRule, Optimizer, OptimizerContext, OptimizerRule};
use seedbed_udfs::fitted::nested::NestedFit;
use seedbed_udfs::fitted::{Bound, FittedWindow, GroupIndex, collect_groups};

use super::spool::Spool;
use crate::load::{CsvTable, JsonTable};
use crate::session::Settings;

/// Puts a window below a window for each fitted call in a fitted call.
fn unnest(window: Window) -> Result<Transformed<LogicalPlan>> {
    let mut inner: Vec<Expr> = Vec::new();
    let mut outer = Vec::with_capacity(window.window_expr.len());
    for call in &window.window_expr {
        let call = call.clone().transform_down(|expr| {
            let Some((nested, args)) = nested(&expr) else {
                return Ok(Transformed::no(expr));
            };
            let call = nested.window(args, window.input.schema().as_ref())?;
            let name = call.schema_name().to_string();
            // the same call may have been made below, for a column of its own
            if !inner.contains(&call)
                && !window
                    .input
                    .schema()
                    .has_column_with_unqualified_name(&name)
            {
                inner.push(call);
            }
            let column = Column::from_name(name);
            Ok(Transformed::new(
                Expr::Column(column),
                true,
                TreeNodeRecursion::Jump,
            ))
        })?;
        outer.push(call.data);
    }
    if outer == window.window_expr {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let mut plan = Arc::unwrap_or_clone(window.input);
    if !inner.is_empty() {
        let below = Window::try_new(inner.clone(), Arc::new(plan))?;
        plan = unnest(below)?.data;
    }
    let column = |call: &Expr| Expr::Column(Column::from_name(call.schema_name().to_string()));
    let columns = outputs(&window.schema, &window.window_expr, |i| {
        Some(column(&outer[i]))
    });
    // one that is an inner call as well is there already
    let same = |a: &Expr, b: &Expr| a.schema_name().to_string() == b.schema_name().to_string();
    outer.retain(|call| !inner.iter().any(|i| same(i, call)));
    let mut plan = LogicalPlanBuilder::from(plan);
    if !outer.is_empty() {
        plan = plan.window(outer)?;
    }
    Ok(Transformed::yes(plan.project(columns)?.build()?))
}

/// The inner fitted call that an expression stands for, with its arguments.
pub fn nested(expr: &Expr) -> Option<(&NestedFit, &[Expr])> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let nested = call.func.inner().downcast_ref::<NestedFit>()?;
    Some((nested, &call.args))
}

/// The analyzer rule that lowers fitted functions.
#[derive(Debug, Default)]
pub struct LowerFits;

impl AnalyzerRule for LowerFits {
    fn name(&self) -> &str {
        "lower_fits"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let strategy = Strategy::of(config)?;
        let plan = plan
            .transform_up_with_subqueries(|node| match node {
                LogicalPlan::Window(window) => unnest(window),
                node => Ok(Transformed::no(node)),
            })
            .data()?;
        if strategy == Strategy::Window || !has_fits(&plan)? {
            return Ok(plan);
        }
        // a spool keeps all columns of its input, so those nobody reads are dropped before
        prune(plan)?
            .transform_up_with_subqueries(|node| match node {
                LogicalPlan::Window(window) => lower(window, strategy),
                node => Ok(Transformed::no(node)),
            })
            .data()
    }
}

/// A plan without the columns that nobody reads.
pub fn prune(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(OptimizeProjections::new())];
    Optimizer::with_rules(rules).optimize(plan, &OptimizerContext::new(), |_, _| {})
}

/// How the fit reads its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Auto,
    Rescan,
    Spool,
    /// Not lowered: the plain window, to compare with.
    Window,
}

impl Strategy {
    fn of(config: &ConfigOptions) -> Result<Self> {
        let chosen = config
            .extensions
            .get::<Settings>()
            .map_or("auto", |s| s.fit_strategy.as_str());
        match chosen {
            "auto" => Ok(Self::Auto),
            "rescan" => Ok(Self::Rescan),
            "spool" => Ok(Self::Spool),
            "window" => Ok(Self::Window),
            other => {
                plan_err!(
                    "seedbed.fit_strategy must be 'auto', 'rescan', 'spool' or 'window', not '{other}'"
                )
            }
        }
    }
}

/// The name of the one column of a subquery of fits.
pub const FITS: &str = "fits";

/// The fitted call that an expression is, and its function.
pub fn fitted(expr: &Expr) -> Option<(&WindowFunction, &FittedWindow)> {
    let Expr::WindowFunction(function) = expr else {
        return None;
    };
    let WindowFunctionDefinition::WindowUDF(udf) = &function.fun else {
        return None;
    };
    let fitted = udf.inner().downcast_ref::<FittedWindow>()?;
    Some((function, fitted))
}

/// Whether a plan has a fitted call anywhere.
pub fn has_fits(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Window(window) = node
            && window.window_expr.iter().any(|e| fitted(e).is_some())
        {
            found = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn lower(window: Window, strategy: Strategy) -> Result<Transformed<LogicalPlan>> {
    if !window.window_expr.iter().any(|e| fitted(e).is_some()) {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let output = Arc::clone(&window.schema);
    let calls = window.window_expr;
    let input = Arc::unwrap_or_clone(window.input);
    let input = match strategy {
        Strategy::Rescan => input,
        Strategy::Auto => match share_fits(input)? {
            input if is_cheap(&input)? => input,
            input => Spool::over(input),
        },
        _ => Spool::over(input),
    };
    let mut sets: Vec<(Vec<Expr>, Vec<usize>)> = Vec::new();
    let mut others = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let Some((function, _)) = fitted(call) else {
            others.push(call.clone());
            continue;
        };
        check(function)?;
        let by = &function.params.partition_by;
        match sets.iter_mut().find(|(keys, _)| keys == by) {
            Some((_, members)) => members.push(i),
            None => sets.push((by.clone(), vec![i])),
        }
    }
    let mut applied: Vec<Expr> = calls.clone();
    let mut main = input.clone();
    if !others.is_empty() {
        main = LogicalPlanBuilder::from(main).window(others)?.build()?;
    }
    for (n, (keys, members)) in sets.iter().enumerate() {
        let fits = fits(&input, keys, members.iter().map(|i| &calls[*i]))?;
        let group = if keys.is_empty() {
            None
        } else {
            // a column of its own, so that all calls with these keys look a row's group up once
            let name = format!("__group_{n}");
            let mut args = keys.clone();
            args.push(fits.clone());
            let index = GroupIndex::udf(keys.len()).call(args).alias(&name);
            let mut columns = all_columns(&main);
            columns.push(index);
            main = LogicalPlanBuilder::from(main).project(columns)?.build()?;
            Some(Expr::Column(Column::from_name(name)))
        };
        for (field, i) in members.iter().enumerate() {
            let (bound, mut args) = data_args(&calls[*i])?;
            let types = types(&args, &input)?;
            args.push(fits.clone());
            args.extend(group.clone());
            let udf = Arc::new(bound.apply_udf(types, field, group.is_some()));
            applied[*i] = Expr::ScalarFunction(ScalarFunction::new_udf(udf, args));
        }
    }
    let columns = outputs(&output, &calls, |i| {
        fitted(&calls[i]).map(|_| applied[i].clone())
    });
    let plan = LogicalPlanBuilder::from(main).project(columns)?.build()?;
    Ok(Transformed::yes(plan))
}

/// The columns of a window's output: those of calls as `instead` has them, under the calls' names.
fn outputs(
    schema: &DFSchema,
    calls: &[Expr],
    instead: impl Fn(usize) -> Option<Expr>,
) -> Vec<Expr> {
    let names = calls.iter().map(|c| c.schema_name().to_string());
    // of calls of one name the first
    let calls: HashMap<String, usize> = names.zip(0..calls.len()).rev().collect();
    schema
        .iter()
        .map(|(qualifier, field)| {
            let call = calls.get(field.name()).filter(|_| qualifier.is_none());
            match call.and_then(|i| instead(*i)) {
                Some(expr) => expr.alias(field.name()),
                None => Expr::Column(Column::from((qualifier, field))),
            }
        })
        .collect()
}

fn check(function: &WindowFunction) -> Result<()> {
    let name = function.fun.name();
    let params = &function.params;
    if !params.order_by.is_empty() {
        return plan_err!(
            "{name}: it learns from all rows, whatever their order; leave out ORDER BY in OVER (...)"
        );
    }
    if params.filter.is_some() || params.distinct {
        return plan_err!(
            "{name}: FILTER and DISTINCT are not taken; choose the rows in a subquery in FROM"
        );
    }
    Ok(())
}

fn data_args(call: &Expr) -> Result<(&Bound, Vec<Expr>)> {
    let Some((function, window)) = fitted(call) else {
        return plan_err!("{call} is not fitted");
    };
    let bound = window.bound()?;
    let data = bound.data_args(function.params.args.len());
    Ok((bound, function.params.args[..data].to_vec()))
}

fn types(args: &[Expr], input: &LogicalPlan) -> Result<Vec<arrow::datatypes::DataType>> {
    args.iter().map(|a| a.get_type(input.schema())).collect()
}

fn all_columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema()
        .iter()
        .map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))))
        .collect()
}

/// The scalar subquery that gives the fits of some calls: a struct `{f0, f1, ...}`, or, for groups,
/// `{keys, f0, f1, ...}` of lists.
fn fits<'a>(
    input: &LogicalPlan,
    keys: &[Expr],
    calls: impl Iterator<Item = &'a Expr>,
) -> Result<Expr> {
    let mut aggregates = Vec::new();
    for (i, call) in calls.enumerate() {
        let (bound, args) = data_args(call)?;
        let types = types(&args, input)?;
        aggregates.push(bound.fit_udaf(types).call(args).alias(format!("f{i}")));
    }
    let mut packed = Vec::new();
    if !keys.is_empty() {
        let fields = (0..keys.len()).flat_map(|k| [lit(format!("k{k}")), col(format!("k{k}"))]);
        packed.push(lit("keys"));
        packed.push(named_struct(fields.collect()));
    }
    for i in 0..aggregates.len() {
        packed.push(lit(format!("f{i}")));
        packed.push(col(format!("f{i}")));
    }
    let keys: Vec<Expr> = keys
        .iter()
        .enumerate()
        .map(|(k, key)| key.clone().alias(format!("k{k}")))
        .collect();
    let grouped = !keys.is_empty();
    let mut plan = LogicalPlanBuilder::from(input.clone())
        .aggregate(keys, aggregates)?
        .project(vec![named_struct(packed).alias(FITS)])?
        .build()?;
    if grouped {
        let arrow::datatypes::DataType::Struct(fields) = plan.schema().field(0).data_type() else {
            return plan_err!("fits are a struct");
        };
        let collect = collect_groups(fields.clone()).call(vec![col(FITS)]);
        plan = LogicalPlanBuilder::from(plan)
            .aggregate(Vec::<Expr>::new(), vec![collect.alias(FITS)])?
            .build()?;
    }
    Ok(Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns: Vec::new(),
        spans: Spans::new(),
    }))
}

fn named_struct(args: Vec<Expr>) -> Expr {
    datafusion::functions::core::named_struct().call(args)
}

/// A plan whose fits are computed once though its rows are read again: what was fitted is spooled, not the rows.
fn share_fits(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut shared: Vec<(Subquery, Subquery)> = Vec::new();
    let mut share = |subquery: &Subquery| match shared.iter().find(|(from, _)| from == subquery) {
        Some((_, to)) => to.clone(),
        None => {
            let spool = Spool::over(subquery.subquery.as_ref().clone());
            let to = subquery.with_plan(Arc::new(spool));
            shared.push((subquery.clone(), to.clone()));
            to
        }
    };
    plan.transform_down(|node| {
        if Spool::is(&node) {
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
        }
        node.map_expressions(|expr| {
            expr.transform(|e| match e {
                Expr::ScalarSubquery(s)
                    if s.outer_ref_columns.is_empty()
                        && s.subquery.schema().field(0).name() == FITS
                        && !Spool::is(&s.subquery) =>
                {
                    Ok(Transformed::yes(Expr::ScalarSubquery(share(&s))))
                }
                e => Ok(Transformed::no(e)),
            })
        })
    })
    .data()
}

/// Whether reading a plan's rows again costs little and gives the same rows.
pub fn is_cheap(plan: &LogicalPlan) -> Result<bool> {
    let mut cheap = true;
    plan.apply_with_subqueries(|node| {
        cheap = match node {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                let provider: &dyn std::any::Any = provider.as_ref();
                !provider.is::<CsvTable>() && !provider.is::<JsonTable>()
            }
            LogicalPlan::Extension(_) => Spool::is(node),
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Union(_) => {
                let mut volatile = false;
                node.apply_expressions(|e| {
                    volatile |= e.is_volatile();
                    Ok(TreeNodeRecursion::Continue)
                })?;
                !volatile
            }
            _ => false,
        };
        Ok(match (cheap, node) {
            (false, _) => TreeNodeRecursion::Stop,
            // what lies under a spool is computed once
            (true, LogicalPlan::Extension(_)) => TreeNodeRecursion::Jump,
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(cheap)
}

/// Replaces a scalar subquery, wherever it stands in a plan, by its value.
pub fn substitute(plan: LogicalPlan, from: &Subquery, to: &ScalarValue) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform(|e| match &e {
                Expr::ScalarSubquery(s) if s == from => {
                    Ok(Transformed::yes(Expr::Literal(to.clone(), None)))
                }
                _ => Ok(Transformed::no(e)),
            })
        })
    })
    .data()
}
