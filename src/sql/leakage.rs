//! The guard against leakage: what is fitted must not have seen the rows it will be judged by, nor may a
//! feature hold the target.
//!
//! A plan says where rows come from. Rows are *marked* where a column says which part of a split they belong to;
//! a filter on that column takes the mark away. A fit, or the training of a model, on marked rows is told.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::functions::expr_fn::lower;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use futures::FutureExt;
use futures::future::BoxFuture;
use seedbed_udfs::arrays::is_text;
use seedbed_udfs::spec::{Spec, Stage};

use crate::plan::{self, TrainNode};
use crate::session::{Env, Settings};

/// The functions that give the name of a row's part.
const SPLITS: [&str; 4] = ["split", "stratified_split", "group_split", "time_split"];

/// The names by which a column of a stored table is taken to say a row's part, if it holds one of [`KEPT_OUT`].
const PARTS: [&str; 4] = ["split", "part", "subset", "data_split"];

/// The names of parts that nothing is fitted on.
const KEPT_OUT: [&str; 7] = [
    "test",
    "validation",
    "valid",
    "val",
    "holdout",
    "eval",
    "dev",
];

/// Warns of leakage in a plan, or refuses it, as the setting `seedbed.leakage` says.
pub fn check<'a>(env: &'a Env, plan: &'a LogicalPlan) -> BoxFuture<'a, Result<()>> {
    async move {
        let mode = match env.state()?.config_options().extensions.get::<Settings>() {
            Some(settings) => settings.leakage.clone(),
            None => return Ok(()),
        };
        if mode == "off" || matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) {
            return Ok(());
        }
        let plan = with_views(plan.clone())?;
        let mut found = targets(&plan)?;
        for (what, mark) in fits_on_marked(&plan)? {
            if mark.seen(env).await? {
                found.push(format!(
                    "{what}: it learns from rows that {} marks as kept out. Fit on the training rows alone: \
                     CREATE TRANSFORM prep AS SELECT ... FROM ... WHERE {} = 'train', and then transform('prep', (...)) for all",
                    mark.name, mark.name
                ));
            }
        }
        found.dedup();
        if mode == "error" && !found.is_empty() {
            return plan_err!(
                "{} (SET seedbed.leakage = 'warn' lets it pass)",
                found.join("; ")
            );
        }
        for warning in found {
            env.notice(format!("leakage: {warning}"));
        }
        Ok(())
    }
    .boxed()
}

/// A plan with views written out.
fn with_views(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|node| match &node {
        LogicalPlan::TableScan(scan) => match scan.source.get_logical_plan() {
            Some(view) => {
                let view = LogicalPlanBuilder::from(view.into_owned())
                    .alias(scan.table_name.clone())?
                    .build()?;
                Ok(Transformed::yes(view))
            }
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

/// Rows of which a column says the part.
#[derive(Debug, Clone)]
struct Mark {
    /// The column's name, for people.
    name: String,
    /// The column in the plan the mark was last seen in; `None` once it is not selected any more.
    column: Option<Column>,
    /// The rows to look at; `None` where a split function in the plan says that some are kept out.
    rows: Option<LogicalPlan>,
}

impl Mark {
    /// Whether there are rows that are kept out.
    fn seen<'a>(&'a self, env: &'a Env) -> BoxFuture<'a, Result<bool>> {
        async move {
            let Some(rows) = &self.rows else {
                return Ok(true);
            };
            let part = Expr::Column(Column::from_name(&self.name));
            let part = lower(cast(part, arrow::datatypes::DataType::Utf8));
            let plan = LogicalPlanBuilder::from(rows.clone())
                .filter(part.in_list(KEPT_OUT.map(lit).to_vec(), false))?
                .limit(0, Some(1))?
                .build()?;
            let state = env.state()?;
            let physical = seedbed_boundary::physical_plan(state.clone(), plan).await?;
            let rows = seedbed_boundary::collect(physical, state.task_ctx()).await?;
            Ok(rows.iter().any(|batch| batch.num_rows() > 0))
        }
        .boxed()
    }
}

/// What is fitted on marked rows, with their marks.
fn fits_on_marked(plan: &LogicalPlan) -> Result<Vec<(String, Mark)>> {
    let mut found: Vec<(String, Mark)> = Vec::new();
    plan.apply_with_subqueries(|node| {
        let (fits, input, keys): (Vec<String>, &LogicalPlan, Vec<Expr>) = match node {
            LogicalPlan::Window(window) => {
                let mut names = Vec::new();
                let mut keys = Vec::new();
                for call in &window.window_expr {
                    // the parts themselves may be fitted, to be exact in each class
                    let specs = fitted(call)?;
                    names.extend(
                        specs
                            .iter()
                            .filter(|s| s.stage != Stage::Split)
                            .map(|s| s.name.to_string()),
                    );
                    if let Expr::WindowFunction(call) = call {
                        keys.extend(call.params.partition_by.clone());
                    }
                }
                (names, &window.input, keys)
            }
            LogicalPlan::Extension(extension) => {
                let train = extension.node.as_any().downcast_ref::<TrainNode>();
                match (train, extension.node.inputs().first()) {
                    (Some(train), Some(input)) => (
                        vec![format!("model {}", train.spec.name)],
                        *input,
                        Vec::new(),
                    ),
                    _ => return Ok(TreeNodeRecursion::Continue),
                }
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        let Some(first) = fits.into_iter().next() else {
            return Ok(TreeNodeRecursion::Continue);
        };
        for mark in marks(input)? {
            // each part by itself
            let by_part = mark
                .column
                .as_ref()
                .is_some_and(|c| keys.contains(&Expr::Column(c.clone())));
            if !by_part && !found.iter().any(|(_, other)| other.name == mark.name) {
                found.push((first.clone(), mark));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The fitted functions called in an expression.
fn fitted(expr: &Expr) -> Result<Vec<&'static Spec>> {
    let mut found = Vec::new();
    expr.apply(|e| {
        found.extend(called(e).map(|(spec, _)| spec));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The fitted function that an expression calls, with the arguments.
fn called(expr: &Expr) -> Option<(&'static Spec, &[Expr])> {
    if let Some((call, window)) = plan::fitted(expr) {
        return Some((window.function().spec(), &call.params.args));
    }
    let (nested, args) = plan::nested(expr)?;
    // the number of keys comes first
    Some((nested.spec(), args.get(1..)?))
}

/// Whether an expression says the part of a row.
fn says_part(expr: &Expr) -> Result<bool> {
    expr.exists(|e| {
        Ok(match e {
            Expr::ScalarFunction(call) => SPLITS.contains(&call.func.name()),
            e => called(e).is_some_and(|(spec, _)| SPLITS.contains(&spec.name)),
        })
    })
}

/// The marks of a plan's rows.
fn marks(plan: &LogicalPlan) -> Result<Vec<Mark>> {
    let below = || -> Result<Vec<Mark>> {
        let mut all = Vec::new();
        for input in plan.inputs() {
            all.extend(marks(input)?);
        }
        Ok(all)
    };
    match plan {
        LogicalPlan::TableScan(scan) => Ok(scan
            .projected_schema
            .iter()
            .filter(|(_, field)| {
                PARTS.iter().any(|p| field.name().eq_ignore_ascii_case(p))
                    && is_text(field.data_type())
            })
            .map(|(qualifier, field)| Mark {
                name: field.name().clone(),
                column: Some(Column::from((qualifier, field))),
                rows: Some(plan.clone()),
            })
            .collect()),
        LogicalPlan::Filter(filter) => {
            if says_part(&filter.predicate)? {
                return Ok(Vec::new());
            }
            let used = filter.predicate.column_refs();
            let chosen = |m: &Mark| m.column.as_ref().is_some_and(|c| used.contains(c));
            Ok(below()?.into_iter().filter(|m| !chosen(m)).collect())
        }
        LogicalPlan::Projection(projection) => {
            let mut all = Vec::new();
            for mark in below()? {
                let index = projection.expr.iter().position(|e| {
                    let e = e.clone().unalias_nested().data;
                    matches!((&e, &mark.column), (Expr::Column(c), Some(m)) if c == m)
                });
                all.push(at(mark, &projection.schema, index));
            }
            for (i, expr) in projection.expr.iter().enumerate() {
                if says_part(expr)? {
                    all.push(made(&projection.schema, i));
                }
            }
            Ok(all)
        }
        LogicalPlan::Window(window) => {
            let mut all = below()?;
            let columns = window.input.schema().fields().len();
            for (i, call) in window.window_expr.iter().enumerate() {
                if says_part(call)? {
                    all.push(made(&window.schema, columns + i));
                }
            }
            Ok(all)
        }
        LogicalPlan::SubqueryAlias(alias) => Ok(below()?
            .into_iter()
            .map(|mark| {
                let index = mark
                    .column
                    .as_ref()
                    .and_then(|c| alias.input.schema().maybe_index_of_column(c));
                at(mark, &alias.schema, index)
            })
            .collect()),
        // rows that stand for many are rows of no part
        LogicalPlan::Aggregate(_) => Ok(Vec::new()),
        _ => below(),
    }
}

/// A mark as it is in a plan above.
fn at(mark: Mark, schema: &DFSchema, index: Option<usize>) -> Mark {
    let column = index.map(|i| Column::from(schema.qualified_field(i)));
    let name = match (&column, &mark.rows) {
        // what a call made is known by the name it is given
        (Some(column), None) => column.name.clone(),
        _ => mark.name,
    };
    Mark {
        name,
        column,
        ..mark
    }
}

/// The mark that a split function makes in a column.
fn made(schema: &DFSchema, i: usize) -> Mark {
    let (qualifier, field) = schema.qualified_field(i);
    Mark {
        name: field.name().clone(),
        column: Some(Column::from((qualifier, field))),
        rows: None,
    }
}

/// The names of the columns an expression is made of, at the bottom of a plan.
fn bases(plan: &LogicalPlan, expr: &Expr, found: &mut BTreeSet<String>) -> Result<()> {
    expr.apply(|e| {
        if says_part(e)? && !matches!(e, Expr::Alias(_)) {
            return Ok(TreeNodeRecursion::Jump);
        }
        // an encoder by the target is made to use it; the feature is what it encodes
        if let Some((spec, args)) = called(e)
            && let Some(target) = target_of(spec)
        {
            for (i, arg) in args.iter().enumerate() {
                if i != target {
                    bases(plan, arg, found)?;
                }
            }
            return Ok(TreeNodeRecursion::Jump);
        }
        if let Expr::Column(column) = e {
            base(plan, column, found)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// What a column of a plan's input is made of.
fn base(plan: &LogicalPlan, column: &Column, found: &mut BTreeSet<String>) -> Result<()> {
    for input in plan.inputs() {
        let Some(index) = input.schema().maybe_index_of_column(column) else {
            continue;
        };
        match input {
            LogicalPlan::Projection(projection) => bases(input, &projection.expr[index], found)?,
            LogicalPlan::Window(window) => {
                let columns = window.input.schema().fields().len();
                match index.checked_sub(columns) {
                    Some(i) => bases(input, &window.window_expr[i], found)?,
                    None => base(input, column, found)?,
                }
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = Column::from(alias.input.schema().qualified_field(index));
                base(input, &below, found)?;
            }
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
                base(input, column, found)?;
            }
            _ => {
                found.insert(column.name.clone());
            }
        }
        return Ok(());
    }
    Ok(())
}

/// Which argument of a fitted function is the target.
fn target_of(spec: &Spec) -> Option<usize> {
    spec.params.iter().position(|p| p.name == "y" && !p.option)
}

/// Features that hold the target: what is given as `y` to an encoder is used elsewhere together with others.
fn targets(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::Window(window) = node else {
            return Ok(TreeNodeRecursion::Continue);
        };
        for call in &window.window_expr {
            call.apply(|e| {
                let Some((spec, args)) = called(e) else {
                    return Ok(TreeNodeRecursion::Continue);
                };
                let Some(y) = target_of(spec).and_then(|i| args.get(i)) else {
                    return Ok(TreeNodeRecursion::Continue);
                };
                let mut target = BTreeSet::new();
                bases(node, y, &mut target)?;
                let mut feature = BTreeSet::new();
                if let Some(x) = args.first() {
                    bases(node, x, &mut feature)?;
                }
                if let Some(name) = feature.intersection(&target).next() {
                    found.push(format!(
                        "{}: the target {name} is in the feature it encodes, and is not known when predicting",
                        spec.name
                    ));
                }
                known.extend(target);
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if known.is_empty() {
        return Ok(found);
    }
    let mut root = plan;
    while let LogicalPlan::Copy(_)
    | LogicalPlan::Ddl(_)
    | LogicalPlan::Dml(_)
    | LogicalPlan::Sort(_) = root
        && let Some(input) = root.inputs().into_iter().next()
    {
        root = input;
    }
    let LogicalPlan::Projection(projection) = root else {
        return Ok(found);
    };
    for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
        let mut made_of = BTreeSet::new();
        bases(root, expr, &mut made_of)?;
        let others = made_of.difference(&known).next();
        if let (Some(target), Some(_)) = (made_of.intersection(&known).next(), others) {
            found.push(format!(
                "column {}: it is made of the target {target} and of others, and the target is not known when predicting. \
                 Leave {target} out of it",
                field.name()
            ));
        }
    }
    Ok(found)
}
