//! Fitted transforms: a SELECT with each fitted call replaced by what it learnt.
//!
//! A transform is kept as its SQL over a placeholder in the place of its source, the source's schema, and
//! the values of its fits in the order in which the lowering asks for them. Applying it plans the SQL over
//! the placeholder, lowers it, puts the values in the place of the subqueries, and puts the new table in
//! the place of the placeholder: nothing is fitted again.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::catalog::empty::EmptyTable;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Subquery, Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, GroupByExpr, Query, Select, SetExpr, TableAlias, TableFactor, Visit, Visitor,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use seedbed_udfs::fitted::without_fit_args;
use seedbed_udfs::options::nearest;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};
use serde::{Deserialize, Serialize};

use super::calls::registered;
use super::parse::Create;
use super::relation::{Call, Expansion, Relation, parse_query};
use crate::plan::{FITS, LowerFits, is_cheap, prune, substitute};
use crate::session::Env;

/// The name that stands for the source in a transform's SQL.
const INPUT: &str = "__seedbed_input";

/// A fitted transform.
#[derive(Debug, Clone)]
pub struct Transform {
    pub name: String,
    pub about: About,
    /// The source's columns.
    pub inputs: Fields,
    /// The fits, in the order of the lowering.
    pub fits: Vec<ScalarValue>,
}

/// The texts of a transform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// The SELECT as it was written.
    pub written: String,
    /// The SELECT over the placeholder, with columns expanded.
    pub sql: String,
    /// How many rows it was fitted on.
    pub rows: u64,
}

impl Transform {
    /// The transform as an Arrow IPC stream: a row of fits, with the texts and the inputs in its schema.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let about = serde_json::to_string(&self.about)
            .map_err(|e| datafusion::common::DataFusionError::External(Box::new(e)))?;
        let mut fields = vec![Field::new(
            "inputs",
            DataType::Struct(self.inputs.clone()),
            true,
        )];
        let mut columns: Vec<ArrayRef> = vec![new_null_array(fields[0].data_type(), 1)];
        for (i, fit) in self.fits.iter().enumerate() {
            fields.push(Field::new(format!("fit_{i}"), fit.data_type(), true));
            columns.push(fit.to_array()?);
        }
        let metadata = HashMap::from([("seedbed.transform".to_string(), about)]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
        writer.write(&batch)?;
        writer.finish()?;
        drop(writer);
        Ok(bytes)
    }

    /// Reads back what [`Self::to_bytes`] wrote.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
        let schema = reader.schema();
        let about = schema.metadata().get("seedbed.transform").map(|text| {
            serde_json::from_str(text)
                .map_err(|e| datafusion::common::DataFusionError::External(Box::new(e)))
        });
        let (Some(about), Some(batch)) = (about.transpose()?, reader.next().transpose()?) else {
            return exec_err!("transform {name}: its file is damaged; create it again");
        };
        let DataType::Struct(inputs) = schema.field(0).data_type() else {
            return exec_err!("transform {name}: its file is damaged; create it again");
        };
        let fits = batch.columns()[1..]
            .iter()
            .map(|c| ScalarValue::try_from_array(c, 0))
            .collect::<Result<_>>()?;
        Ok(Self {
            name: name.to_string(),
            about,
            inputs: inputs.clone(),
            fits,
        })
    }
}

/// The source of a transform and the SELECTs above it.
struct Parts {
    /// A query of the rows it is fitted on.
    source: String,
    /// The SELECTs over the placeholder.
    sql: String,
}

fn parts(query: &Query) -> Result<Parts> {
    let mut query = query.clone();
    let with = query.with.clone();
    let source = take_source(&mut query, &HashMap::new())?;
    let with = with.map(|w| format!("{w} ")).unwrap_or_default();
    Ok(Parts {
        source: format!("{with}{source}"),
        sql: query.to_string(),
    })
}

/// Finds the innermost SELECT of a query that has fitted calls above it, puts the placeholder in the
/// place of what it reads, and gives that as a query.
fn take_source(query: &mut Query, ctes: &HashMap<String, Query>) -> Result<String> {
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
    if !from.joins.is_empty() {
        return plan_err!(
            "CREATE TRANSFORM: it reads one table; put the join into a subquery: FROM (SELECT ... JOIN ...) AS t"
        );
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
    let alias = match &from.relation {
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
    };
    if let Some(mut inner) = inner {
        if select.selection.is_some() {
            return plan_err!(
                "CREATE TRANSFORM: a WHERE above a fitted layer chooses rows, which a transform cannot do again; put it into the innermost SELECT"
            );
        }
        let source = take_source(&mut inner, &ctes)?;
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
    from.relation = placeholder(alias)?;
    Ok(source)
}

fn placeholder(alias: Option<TableAlias>) -> Result<TableFactor> {
    let query = parse_query(&format!("SELECT * FROM {INPUT}"))?;
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
) -> BoxFuture<'a, Result<Transform>> {
    async move {
        let parts = parts(&create.query)?;
        let state = env.state()?;
        let source = parse_query(&parts.source)?;
        let source = plan_query(env, source).await?;
        // each layer's fit reads the source again: what is dear to compute is computed once
        let source = env.settle(source, is_cheap).await?;
        let count = LogicalPlanBuilder::from(source.clone())
            .aggregate(
                Vec::<Expr>::new(),
                vec![datafusion::functions_aggregate::expr_fn::count(lit(1)).alias("n")],
            )?
            .build()?;
        let rows = match scalar(env, count).await? {
            ScalarValue::Int64(Some(n)) => u64::try_from(n).unwrap_or(0),
            _ => 0,
        };
        let inputs: Fields = source
            .schema()
            .fields()
            .iter()
            .map(|f| Field::new(f.name(), f.data_type().clone(), true))
            .collect();
        let template = template(env, &parts.sql, &inputs).await?;
        let mut plan = replace_input(lower(template, state.config_options())?, &source)?;
        let mut fits = Vec::new();
        while let Some(next) = innermost(&plan)? {
            let value = scalar(env, next.subquery.as_ref().clone()).await?;
            plan = substitute(plan, &next, &value)?;
            fits.push(value);
        }
        Ok(Transform {
            name: create.name.clone(),
            about: About {
                written,
                sql: parts.sql,
                rows,
            },
            inputs,
            fits,
        })
    }
    .boxed()
}

fn plan_query<'a>(env: &'a Env, query: Query) -> BoxFuture<'a, Result<LogicalPlan>> {
    async move {
        let statement = datafusion::sql::sqlparser::ast::Statement::Query(Box::new(query));
        let statement = datafusion::sql::parser::Statement::Statement(Box::new(statement));
        seedbed_boundary::statement_to_plan(env.state()?, statement).await
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

/// Plans a transform's SQL over the placeholder.
fn template<'a>(
    env: &'a Env,
    sql: &'a str,
    inputs: &'a Fields,
) -> BoxFuture<'a, Result<LogicalPlan>> {
    async move {
        let key = env.keep_plan(empty(inputs)?);
        let call = format!("__seedbed_planned({key})");
        let sql = sql.replace(INPUT, &call);
        plan_query(env, parse_query(&sql)?).await
    }
    .boxed()
}

fn empty(inputs: &Fields) -> Result<LogicalPlan> {
    let table = EmptyTable::new(Arc::new(Schema::new(inputs.clone())));
    LogicalPlanBuilder::scan(INPUT, provider_as_source(Arc::new(table)), None)?.build()
}

fn lower(plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
    let plan = TypeCoercion::new().analyze(plan, config)?;
    let mut config = config.clone();
    if let Some(settings) = config.extensions.get_mut::<crate::session::Settings>() {
        settings.fit_strategy = "rescan".to_string();
    }
    LowerFits.analyze(plan, &config)
}

/// The first scalar subquery of fits that has none in it.
fn innermost(plan: &LogicalPlan) -> Result<Option<Subquery>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let Expr::ScalarSubquery(subquery) = e
                    && found.is_none()
                    && subquery.subquery.schema().field(0).name() == FITS
                    && innermost(&subquery.subquery)?.is_none()
                {
                    found = Some(subquery.clone());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if found.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

fn replace_input(plan: LogicalPlan, input: &LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) if scan.table_name.table() == INPUT => {
            let columns = scan
                .projected_schema
                .fields()
                .iter()
                .map(|f| {
                    let (qualifier, found) = input
                        .schema()
                        .qualified_field_with_unqualified_name(f.name())?;
                    Ok(Expr::Column(Column::from((qualifier, found))).alias(f.name()))
                })
                .collect::<Result<Vec<_>>>()?;
            let plan = LogicalPlanBuilder::from(input.clone())
                .project(columns)?
                .alias(INPUT)?
                .build()?;
            Ok(Transformed::yes(plan))
        }
        node => Ok(Transformed::no(node)),
    })
    .data()
}

/// `transform('name', (SELECT ...))`.
#[derive(Debug)]
pub struct TransformRelation;

const SPEC: Spec = Spec {
    name: "transform",
    stage: Stage::Clean,
    kind: Kind::Relation,
    summary: "Applies a fitted transform to a table: replays what CREATE TRANSFORM learnt and fits nothing. Columns are \
        matched by name; a column that is only passed through (a label) may be absent, and is then left out.",
    params: &[
        Param::required("name", "the transform's name, as SHOW TRANSFORMS lists it"),
        Param::data("input", "the table to transform"),
    ],
    variadic: false,
    examples: &[] as &[Example],
    source: "scikit-learn's Pipeline.transform; BigQuery ML's TRANSFORM clause",
    also: &[
        "Pipeline.transform (scikit-learn)",
        "ML.TRANSFORM (BigQuery)",
    ],
};

impl Relation for TransformRelation {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let name = call.options().text("name")?;
        let bytes = call.env().store()?.transform(&name)?;
        let transform = Transform::from_bytes(&name, &bytes)?;
        let key = call.env().keep_plan(empty(&transform.inputs)?);
        let sql = transform
            .about
            .sql
            .replace(INPUT, &format!("__seedbed_planned({key})"));
        let input = call.input(0)?.clone();
        let env = call.env().clone();
        Ok(Expansion::Then(
            sql,
            Box::new(move |plan| apply(&env, &transform, plan, &input)),
        ))
    }
}

/// Puts the learnt values and the new table into a planned transform.
fn apply(
    env: &Env,
    transform: &Transform,
    template: LogicalPlan,
    input: &LogicalPlan,
) -> Result<LogicalPlan> {
    let mut plan = lower(template, env.state()?.config_options())?;
    let mut fits = transform.fits.iter();
    while let Some(next) = innermost(&plan)? {
        let Some(value) = fits.next() else {
            return exec_err!(
                "transform {}: it was made by another version; create it again",
                transform.name
            );
        };
        plan = substitute(plan, &next, value)?;
    }
    plan = without_targets(plan)?;
    let mut have: Vec<&str> = Vec::new();
    for field in input.schema().fields() {
        have.push(field.name());
    }
    let needed = needed(&plan)?;
    let mut absent = Vec::new();
    for name in &needed {
        if !have.contains(&name.as_str()) {
            absent.push(name.clone());
        }
    }
    for name in &absent {
        let keep: Vec<Expr> = outputs(&plan)?
            .into_iter()
            .filter(|(_, from)| from.as_deref() != Some(name.as_str()))
            .map(|(column, _)| column)
            .collect();
        let without = LogicalPlanBuilder::from(plan.clone())
            .project(keep)?
            .build()?;
        if self::needed(&without)?.contains(name) {
            let near = nearest(name, have.iter().copied())
                .map(|n| format!(" The nearest is {n}: write SELECT {n} AS {name}, ... FROM ..."))
                .unwrap_or_default();
            return plan_err!(
                "transform {}: it needs a column {name}, which the table lacks.{near}",
                transform.name
            );
        }
        if let Some(near) = nearest(name, have.iter().copied())
            && near.eq_ignore_ascii_case(name)
        {
            return plan_err!(
                "transform {}: the table lacks {name} but has {near}: write SELECT {near} AS {name}, ... FROM ...",
                transform.name
            );
        }
        env.notice(format!(
            "transform {}: the table has no column {name}; it was left out of the result",
            transform.name
        ));
        plan = without;
    }
    let columns = transform
        .inputs
        .iter()
        .filter(|f| needed.contains(f.name()) || have.contains(&f.name().as_str()))
        .map(|field| {
            let name = field.name();
            if !have.contains(&name.as_str()) {
                let null = ScalarValue::try_from(field.data_type())?;
                return Ok(lit(null).alias(name));
            }
            let (qualifier, found) = input.schema().qualified_field_with_unqualified_name(name)?;
            let mut column = Expr::Column(Column::from((qualifier, found)));
            if !found.is_nullable() {
                // whatever the table, the result has one schema
                column = Nullable::udf().call(vec![column]);
            }
            let (from, to) = (found.data_type(), field.data_type());
            if from == to {
                return Ok(column.alias(name));
            }
            if !compatible(from, to) {
                return plan_err!(
                    "transform {}: column {name} was {to} when it was fitted and is {from} now. Write CAST({name} AS ...), or the cleaning function that makes it {to}",
                    transform.name
                );
            }
            Ok(column.cast_to(to, input.schema())?.alias(name))
        })
        .collect::<Result<Vec<_>>>()?;
    let adapted = LogicalPlanBuilder::from(input.clone())
        .project(columns)?
        .build()?;
    // columns that nobody needs may be absent altogether
    let all = fill(adapted, &transform.inputs)?;
    replace_input(plan, &all)
}

/// A plan whose fits are not told what only the rows they were fitted on have.
fn without_targets(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|e| {
                Ok(match without_fit_args(&e)? {
                    Some(without) => Transformed::yes(without),
                    None => Transformed::no(e),
                })
            })
        })
    })
    .data()
}

fn fill(plan: LogicalPlan, inputs: &Fields) -> Result<LogicalPlan> {
    let columns = inputs
        .iter()
        .map(|field| {
            let found = plan
                .schema()
                .qualified_field_with_unqualified_name(field.name());
            match found {
                Ok((qualifier, f)) => {
                    Ok(Expr::Column(Column::from((qualifier, f))).alias(f.name()))
                }
                Err(_) => Ok(lit(ScalarValue::try_from(field.data_type())?).alias(field.name())),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn compatible(from: &DataType, to: &DataType) -> bool {
    use seedbed_udfs::arrays::{is_number, is_text};
    from.is_null()
        || (is_number(from) && is_number(to))
        || (is_text(from) && is_text(to))
        || (from.is_temporal() && to.is_temporal())
}

/// The columns of the placeholder that a plan reads.
fn needed(plan: &LogicalPlan) -> Result<Vec<String>> {
    let plan = prune(plan.clone())?;
    let mut names = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.table() == INPUT
        {
            for field in scan.projected_schema.fields() {
                if !names.contains(field.name()) {
                    names.push(field.name().clone());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(names)
}

/// A plan's columns, and for those that only pass a column of the placeholder through, its name.
fn outputs(plan: &LogicalPlan) -> Result<Vec<(Expr, Option<String>)>> {
    plan.schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Column::from((qualifier, field));
            let from = trace(plan, &column)?;
            Ok((Expr::Column(column), from))
        })
        .collect()
}

fn trace(plan: &LogicalPlan, column: &Column) -> Result<Option<String>> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.table_name.table() == INPUT => {
            Ok(Some(column.name.clone()))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let index = plan.schema().index_of_column(column)?;
            let below = Column::from(alias.input.schema().qualified_field(index));
            trace(&alias.input, &below)
        }
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let index = plan.schema().index_of_column(column)?;
            match expr[index].clone().unalias_nested().data {
                Expr::Column(below) => trace(input, &below),
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The identity, but for the type: what it gives may be NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Nullable {
    signature: Signature,
}

impl Nullable {
    fn udf() -> ScalarUDF {
        ScalarUDF::from(Self {
            signature: Signature::any(1, Volatility::Immutable),
        })
    }
}

impl ScalarUDFImpl for Nullable {
    fn name(&self) -> &str {
        "nullable"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}

/// What DESCRIBE TRANSFORM shows: rows of (column, type, role, detail).
pub fn describe(
    env: &Env,
    transform: &Transform,
    template: LogicalPlan,
) -> Result<Vec<[String; 4]>> {
    let mut rows = Vec::new();
    let lowered = lower(template, env.state()?.config_options())?;
    let needed = needed(&lowered)?;
    for field in &transform.inputs {
        if needed.contains(field.name()) {
            let kind = field.data_type().to_string();
            rows.push([field.name().clone(), kind, "input".into(), String::new()]);
        }
    }
    let from = outputs(&lowered)?;
    for (field, (_, from)) in lowered.schema().fields().iter().zip(from) {
        let detail = from.map(|f| format!("{f}, as it is")).unwrap_or_default();
        let kind = field.data_type().to_string();
        rows.push([field.name().clone(), kind, "output".into(), detail]);
    }
    for (i, fit) in transform.fits.iter().enumerate() {
        let kind = fit.data_type().to_string();
        rows.push([format!("fit_{i}"), kind, "fit".into(), fit.to_string()]);
    }
    Ok(rows)
}

/// The template of a transform, for [`describe`].
pub fn planned<'a>(env: &'a Env, transform: &'a Transform) -> BoxFuture<'a, Result<LogicalPlan>> {
    template(env, &transform.about.sql, &transform.inputs)
}
