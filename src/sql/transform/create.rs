//! `CREATE TRANSFORM name AS SELECT ...`: the fits are run and kept.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ListArray, RecordBatch, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Fields};
use datafusion::common::{Column, Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, GroupByExpr, JoinOperator, Query, Select, SetExpr, TableAlias, TableFactor,
    Visit, Visitor,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use seedbed_udfs::spec::Kind;

use super::apply::replace_input;
use super::outputs::{Output, outputs};
use super::{About, Dropped, Fact, INPUT, Transform, innermost, joined, lower};
use crate::plan::{is_cheap, substitute};
use crate::session::Env;
use crate::sql::calls::registered;
use crate::sql::parse::Create;
use crate::sql::relation::{parse_query, plan_query};

/// The most rows of a joined table: they are kept with the transform.
const MOST_ROWS: usize = 100_000;

/// The source of a transform and the SELECTs above it.
struct Parts {
    /// A query of the rows it is fitted on.
    source: String,
    /// The SELECTs over the placeholder.
    sql: String,
    /// What the source is called, if it is a table.
    name: Option<String>,
    /// The joined tables: what they are called, and a query of their rows.
    tables: Vec<(String, String)>,
}

fn parts(query: &Query) -> Result<Parts> {
    let mut query = query.clone();
    let with = query.with.clone();
    let mut tables = Vec::new();
    let (source, name) = take_source(&mut query, &HashMap::new(), &mut tables)?;
    let with = with.map(|w| format!("{w} ")).unwrap_or_default();
    for (_, query) in &mut tables {
        query.insert_str(0, &with);
    }
    Ok(Parts {
        source: format!("{with}{source}"),
        sql: query.to_string(),
        name,
        tables,
    })
}

/// Finds the innermost SELECT of a query that has fitted calls above it, puts placeholders in the place of
/// what it reads and of what is joined, and gives the former as a query and by name.
fn take_source(
    query: &mut Query,
    ctes: &HashMap<String, Query>,
    tables: &mut Vec<(String, String)>,
) -> Result<(String, Option<String>)> {
    let mut ctes = ctes.clone();
    if let Some(with) = query.with.take() {
        for cte in with.cte_tables {
            let name = cte.alias.name.value.to_ascii_lowercase();
            ctes.insert(name, *cte.query);
        }
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return plan_err!(
            "CREATE TRANSFORM: a LIMIT chooses rows, which a transform cannot do again; put it into a subquery in FROM"
        );
    }
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return plan_err!("CREATE TRANSFORM: it is one SELECT; UNION and VALUES go into FROM");
    };
    check(select)?;
    let select: &mut Select = select;
    let [from] = select.from.as_mut_slice() else {
        return plan_err!("CREATE TRANSFORM: it reads one table. Write SELECT ... FROM my_table");
    };
    for join in &mut from.joins {
        take_table(&mut join.relation, &join.join_operator, tables)?;
    }
    let inner = match &from.relation {
        TableFactor::Derived { subquery, .. } if fits_in(subquery) => Some(subquery.clone()),
        TableFactor::Table {
            name, args: None, ..
        } => ctes
            .get(&name.to_string().to_ascii_lowercase())
            .filter(|q| fits_in(q))
            .map(|q| Box::new(q.clone())),
        _ => None,
    };
    let alias = alias_of(&from.relation);
    if let Some(mut inner) = inner {
        if select.selection.is_some() {
            return plan_err!(
                "CREATE TRANSFORM: a WHERE above a fitted layer chooses rows, which a transform cannot do again; put it into the innermost SELECT"
            );
        }
        let source = take_source(&mut inner, &ctes, tables)?;
        from.relation = TableFactor::Derived {
            lateral: false,
            subquery: inner,
            alias,
            sample: None,
        };
        return Ok(source);
    }
    let rows = select.selection.take();
    let rows = rows.map(|w| format!(" WHERE {w}")).unwrap_or_default();
    let source = format!("SELECT * FROM {}{rows}", from.relation);
    let name = match &from.relation {
        TableFactor::Table {
            name, args: None, ..
        } => Some(name.to_string()),
        _ => None,
    };
    from.relation = placeholder(INPUT, alias)?;
    Ok((source, name))
}

/// Puts a placeholder in the place of a joined table.
fn take_table(
    relation: &mut TableFactor,
    join: &JoinOperator,
    tables: &mut Vec<(String, String)>,
) -> Result<()> {
    if !matches!(
        join,
        JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
    ) {
        return plan_err!(
            "CREATE TRANSFORM: tables are joined to its rows by LEFT JOIN or JOIN; put other joins into a subquery: FROM (SELECT ... FROM a, b) AS t"
        );
    }
    let alias = alias_of(relation);
    let Some(name) = alias.as_ref().map(|a| a.name.value.clone()) else {
        return plan_err!(
            "CREATE TRANSFORM: a joined table needs a name. Write JOIN {relation} AS d ON ..."
        );
    };
    tables.push((name, format!("SELECT * FROM {relation}")));
    *relation = placeholder(&joined(tables.len() - 1), alias)?;
    Ok(())
}

fn placeholder(name: &str, alias: Option<TableAlias>) -> Result<TableFactor> {
    let query = parse_query(&format!("SELECT * FROM {name}"))?;
    match *query.body {
        SetExpr::Select(mut select) if select.from.len() == 1 => {
            let mut relation = select.from.remove(0).relation;
            if let TableFactor::Table { alias: a, .. } = &mut relation {
                *a = alias;
            }
            Ok(relation)
        }
        _ => internal_err!("a placeholder is a table"),
    }
}

/// What a table in FROM is called in the SELECT.
fn alias_of(relation: &TableFactor) -> Option<TableAlias> {
    match relation {
        TableFactor::Table { name, alias, .. } => {
            let last = name.0.last().and_then(|p| p.as_ident()).cloned();
            alias.clone().or_else(|| {
                last.map(|name| TableAlias {
                    explicit: true,
                    name,
                    columns: Vec::new(),
                    at: None,
                })
            })
        }
        TableFactor::Derived { alias, .. } => alias.clone(),
        _ => None,
    }
}

fn check(select: &Select) -> Result<()> {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
        GroupByExpr::All(_) => true,
    };
    let what = if grouped {
        "GROUP BY"
    } else if select.distinct.is_some() {
        "DISTINCT"
    } else if select.having.is_some() || select.qualify.is_some() {
        "HAVING or QUALIFY"
    } else {
        return Ok(());
    };
    plan_err!(
        "CREATE TRANSFORM: it gives a row for each row; {what} does not. Put it into a subquery in FROM"
    )
}

/// Whether a query has fitted calls.
fn fits_in(query: &Query) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
            match expr {
                SqlExpr::Function(f)
                    if registered(f).is_some_and(|f| f.spec().kind == Kind::Fitted) =>
                {
                    ControlFlow::Break(())
                }
                // what an expanded one_hot left
                SqlExpr::Function(f) if f.name.to_string().starts_with("one_hot_") => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Find).is_break()
}

/// Fits a transform; the query's calls are complete and its columns expanded.
pub fn create<'a>(
    env: &'a Env,
    create: &'a Create,
    written: String,
    dropped: Vec<Dropped>,
) -> BoxFuture<'a, Result<Transform>> {
    async move {
        let parts = parts(&create.query)?;
        let state = env.state()?;
        let mut tables = Vec::with_capacity(parts.tables.len());
        for (name, query) in &parts.tables {
            tables.push(table(env, &create.name, name, query).await?);
        }
        let source = parse_query(&parts.source)?;
        let source = match plan_query(env, source).await {
            Err(error) if !tables.is_empty() && parts.source.contains(" WHERE ") => {
                return plan_err!(
                    "CREATE TRANSFORM {}: WHERE beside a join names columns of the first table only; put the rest into a subquery in FROM ({})",
                    create.name,
                    error.message()
                );
            }
            planned => planned?,
        };
        // each layer's fit reads the source again: what is dear to compute is computed once
        let source = env.settle(source, is_cheap).await?;
        let inputs: Fields = source
            .schema()
            .fields()
            .iter()
            .map(|f| Field::new(f.name(), f.data_type().clone(), true))
            .collect();
        let mut transform = Transform {
            name: create.name.clone(),
            about: About {
                written,
                sql: parts.sql,
                rows: 0,
                source: parts.name,
                joined: parts.tables.into_iter().map(|(name, _)| name).collect(),
                facts: Vec::new(),
                dropped,
            },
            inputs,
            fits: Vec::new(),
            tables,
        };
        let template = transform.template(env).await?;
        let lowered = lower(template.clone(), state.config_options())?;
        let mut plan = replace_input(lowered, &source)?;
        while let Some(next) = innermost(&plan)? {
            let value = scalar(env, next.subquery.as_ref().clone()).await?;
            plan = substitute(plan, &next, &value)?;
            transform.fits.push(value);
        }
        let learnt = transform.learnt(env, template)?;
        let (rows, facts) = facts(env, &transform, &learnt, &source).await?;
        transform.about.rows = rows;
        transform.about.facts = facts;
        if !transform.tables.is_empty() {
            let after = counts(env, plan, vec![count(lit(1))]).await?;
            partners(env, &transform, after[0])?;
        }
        Ok(transform)
    }
    .boxed()
}

/// What a join makes of the rows: it may not multiply them, and what it loses is said.
fn partners(env: &Env, transform: &Transform, after: u64) -> Result<()> {
    let rows = transform.about.rows;
    if after > rows {
        return exec_err!(
            "CREATE TRANSFORM {}: its join makes {after} rows of {rows}, but it gives a row for each row. Join a table that has one row a key: (SELECT k, ... GROUP BY k)",
            transform.name
        );
    }
    if after < rows {
        env.notice(format!(
            "transform {}: {} of {rows} rows have no partner in the joined table and are left out, here and wherever it is applied. LEFT JOIN keeps them",
            transform.name,
            rows - after
        ));
    }
    Ok(())
}

/// The rows of a joined table.
fn table<'a>(
    env: &'a Env,
    transform: &'a str,
    name: &'a str,
    query: &'a str,
) -> BoxFuture<'a, Result<ScalarValue>> {
    async move {
        let plan = plan_query(env, parse_query(query)?).await?;
        let plan = LogicalPlanBuilder::from(plan)
            .limit(0, Some(MOST_ROWS + 1))?
            .build()?;
        let state = env.state()?;
        let physical = seedbed_boundary::physical_plan(state.clone(), plan).await?;
        let schema = physical.schema();
        let batches = seedbed_boundary::collect(physical, state.task_ctx()).await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows > MOST_ROWS {
            return exec_err!(
                "CREATE TRANSFORM {transform}: the joined table {name} has more than {MOST_ROWS} rows, too many to be kept with the transform. Join it before: FROM (SELECT ... JOIN {name} ...) AS t"
            );
        }
        let rows = StructArray::from(concat_batches(&schema, &batches)?);
        let item = Arc::new(Field::new_list_field(
            arrow::array::Array::data_type(&rows).clone(),
            true,
        ));
        let offsets = OffsetBuffer::from_lengths([arrow::array::Array::len(&rows)]);
        let list = ListArray::try_new(item, offsets, Arc::new(rows), None)?;
        Ok(ScalarValue::List(Arc::new(list)))
    }
    .boxed()
}

/// Runs a query of one row and one column.
fn scalar<'a>(env: &'a Env, plan: LogicalPlan) -> BoxFuture<'a, Result<ScalarValue>> {
    async move {
        let state = env.state()?;
        let physical = seedbed_boundary::physical_plan(state.clone(), plan).await?;
        let batches = seedbed_boundary::collect(physical, state.task_ctx()).await?;
        match batches.iter().find(|b| b.num_rows() > 0) {
            Some(batch) => ScalarValue::try_from_array(batch.column(0), 0),
            None => exec_err!("a fit gave no row"),
        }
    }
    .boxed()
}

/// Counts over all rows of a plan.
fn counts<'a>(
    env: &'a Env,
    plan: LogicalPlan,
    counts: Vec<Expr>,
) -> BoxFuture<'a, Result<Vec<u64>>> {
    async move {
        let counts: Vec<Expr> = counts
            .into_iter()
            .enumerate()
            .map(|(i, count)| count.alias(format!("n{i}")))
            .collect();
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(Vec::<Expr>::new(), counts)?
            .build()?;
        let state = env.state()?;
        let physical = seedbed_boundary::physical_plan(state.clone(), plan).await?;
        let batches = seedbed_boundary::collect(physical, state.task_ctx()).await?;
        let Some(batch) = batches.iter().find(|b| b.num_rows() > 0) else {
            return exec_err!("a count gave no row");
        };
        let numbers = batch.columns().iter().map(|column| {
            Ok(match ScalarValue::try_from_array(column, 0)? {
                ScalarValue::Int64(Some(n)) => u64::try_from(n).unwrap_or(0),
                _ => 0,
            })
        });
        numbers.collect()
    }
    .boxed()
}

/// How many rows there are, and what is to be counted of each output: all in one pass.
fn facts<'a>(
    env: &'a Env,
    transform: &'a Transform,
    learnt: &'a LogicalPlan,
    source: &'a LogicalPlan,
) -> BoxFuture<'a, Result<(u64, Vec<Fact>)>> {
    async move {
        let outputs = outputs(learnt)?;
        let mut wanted = vec![count(lit(1))];
        let mut place = |expr: Expr| match wanted.iter().position(|w| *w == expr) {
            Some(at) => at,
            None => {
                wanted.push(expr);
                wanted.len() - 1
            }
        };
        let mut places = Vec::with_capacity(outputs.len());
        for output in &outputs {
            let missing = match missing(transform, output) {
                Some(missing) => Some(place(rows_where(missing, source)?)),
                None => None,
            };
            let other = match output.other(env)? {
                Some(other) if !output.joins() => Some(place(rows_where(other, source)?)),
                _ => None,
            };
            places.push((missing, other));
        }
        let found = counts(env, source.clone(), wanted).await?;
        let facts = outputs
            .iter()
            .zip(places)
            .map(|(output, (missing, other))| Fact {
                output: output.name.clone(),
                missing: missing.map_or(0, |at| found[at]),
                other: other.map(|at| found[at]),
            });
        Ok((found[0], facts.collect()))
    }
    .boxed()
}

/// Whether one of an output's inputs is missing; `None` if it has none.
fn missing(transform: &Transform, output: &Output) -> Option<Expr> {
    let inputs = output.inputs();
    let columns = inputs.iter().filter_map(|name| {
        let (_, field) = transform.inputs.find(name)?;
        let column = Expr::Column(Column::from_name(name));
        let null = column.clone().is_null();
        Some(if field.data_type().is_floating() {
            let double =
                datafusion::logical_expr::cast(column, arrow::datatypes::DataType::Float64);
            null.or(datafusion::functions::math::expr_fn::isnan(double))
        } else {
            null
        })
    });
    columns.reduce(Expr::or)
}

/// How many rows of a table satisfy a condition on its columns.
fn rows_where(condition: Expr, table: &LogicalPlan) -> Result<Expr> {
    let condition = super::outputs::map_columns(condition, |column| {
        let found = table
            .schema()
            .qualified_field_with_unqualified_name(&column.name)?;
        Ok(Expr::Column(Column::from(found)))
    })?;
    Ok(count(when(condition, lit(1i64)).end()?))
}
