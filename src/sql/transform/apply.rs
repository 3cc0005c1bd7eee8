//! `transform('name', (SELECT ...))`: a fitted transform applied to a table.

use arrow::datatypes::{DataType, Fields};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, SubqueryAlias, Volatility, lit,
};
use seedbed_udfs::fitted::without_fit_args;
use seedbed_udfs::options::nearest;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::outputs::outputs;
use super::{INPUT, Transform};
use crate::plan::prune;
use crate::session::Env;
use crate::sql::relation::{Call, Expansion, Relation, quoted};

/// Puts a table in the place of the placeholder.
pub(super) fn replace_input(plan: LogicalPlan, input: &LogicalPlan) -> Result<LogicalPlan> {
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
                    Ok(Expr::Column(Column::from((qualifier, found))))
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

/// `transform('name', (SELECT ...), passthrough => false)`.
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
        Param::option(
            "passthrough",
            "false",
            "whether columns of the table that the transform does not read follow its outputs, as they are",
        ),
    ],
    variadic: false,
    examples: &[] as &[Example],
    source: "scikit-learn's Pipeline.transform, and ColumnTransformer(remainder='passthrough'); BigQuery ML's TRANSFORM clause",
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
        let transform = Transform::load(call.env(), &call.options().text("name")?)?;
        let pass = call.options().bool("passthrough")?;
        let sql = transform.sql(call.env())?;
        let input = call.input(0)?.clone();
        let env = call.env().clone();
        Ok(Expansion::Then(
            sql,
            Box::new(move |plan| apply(&env, &transform, plan, &input, pass)),
        ))
    }
}

/// Puts the learnt values and the new table into a planned transform.
fn apply(
    env: &Env,
    transform: &Transform,
    template: LogicalPlan,
    input: &LogicalPlan,
    pass: bool,
) -> Result<LogicalPlan> {
    let mut plan = without_targets(transform.learnt(env, template)?)?;
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
        let passed = Expr::Column(Column::from_name(name));
        let keep: Vec<Expr> = outputs(&plan)?
            .into_iter()
            .zip(plan.schema().iter())
            .filter(|(output, _)| output.expr.as_ref() != Some(&passed))
            .map(|(_, field)| Expr::Column(Column::from(field)))
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
    let passed = if pass {
        passed(transform, &plan, input, &needed)?
    } else {
        Vec::new()
    };
    let mut columns = transform
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
                // a column that is given its own name is another to the optimizer
                return Ok(match column {
                    Expr::Column(_) => column,
                    other => other.alias(name),
                });
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
    for (name, column) in &passed {
        columns.push(Expr::Column(column.clone()).alias(carried(name)));
    }
    let adapted = LogicalPlanBuilder::from(input.clone())
        .project(columns)?
        .build()?;
    let names: Vec<String> = passed.iter().map(|(name, _)| carried(name)).collect();
    // columns that nobody needs may be absent altogether
    let all = fill(adapted, &transform.inputs, &names)?;
    if passed.is_empty() {
        return replace_input(plan, &all);
    }
    let mut columns: Vec<Expr> = columns_of(&plan);
    for (name, _) in &passed {
        columns.push(Expr::Column(Column::from_name(carried(name))).alias(name));
    }
    let plan = carry(transform, plan, &all, &names)?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn columns_of(plan: &LogicalPlan) -> Vec<Expr> {
    let columns = plan.schema().iter();
    columns.map(|c| Expr::Column(Column::from(c))).collect()
}

/// What a column is called on its way past a transform.
fn carried(name: &str) -> String {
    format!("__seedbed_passed_{name}")
}

/// The columns of a table that pass a transform by: those that it does not read.
fn passed(
    transform: &Transform,
    plan: &LogicalPlan,
    input: &LogicalPlan,
    needed: &[String],
) -> Result<Vec<(String, Column)>> {
    let mut passed = Vec::new();
    for (qualifier, field) in input.schema().iter() {
        let name = field.name();
        if needed.contains(name) {
            continue;
        }
        if plan.schema().has_column_with_unqualified_name(name) {
            let column = quoted(name);
            return plan_err!(
                "transform {}: passthrough: the table has a column {name}, which the transform does not read, and an output has that name. Write (SELECT * EXCEPT ({column}) FROM ...) to leave it out, or (SELECT *, {column} AS another FROM ...) without it to keep both",
                transform.name
            );
        }
        if passed.iter().any(|(other, _)| other == name) {
            return plan_err!(
                "transform {}: passthrough: the table has two columns {name}. Write SELECT ... AS another for one of them",
                transform.name
            );
        }
        passed.push((name.clone(), Column::from((qualifier, field))));
    }
    Ok(passed)
}

/// Puts a table in the place of the placeholder, and has some of its columns follow those of every step.
fn carry(
    transform: &Transform,
    plan: LogicalPlan,
    input: &LogicalPlan,
    names: &[String],
) -> Result<LogicalPlan> {
    let carried = || names.iter().map(Column::from_name);
    match plan {
        LogicalPlan::TableScan(scan) if scan.table_name.table() == INPUT => {
            let mut columns: Vec<Expr> = Vec::new();
            let read = scan.projected_schema.fields().iter();
            for name in read.map(|f| f.name()).chain(names) {
                columns.push(Expr::Column(Column::from_name(name)));
            }
            LogicalPlanBuilder::from(input.clone())
                .project(columns)?
                .alias(INPUT)?
                .build()
        }
        LogicalPlan::Projection(Projection {
            expr, input: below, ..
        }) => {
            let below = carry(transform, below.as_ref().clone(), input, names)?;
            let mut columns = expr;
            for column in carried() {
                // without what qualifies it, so that the steps above find it
                let from = below
                    .schema()
                    .qualified_field_with_unqualified_name(&column.name)?;
                columns.push(Expr::Column(Column::from(from)));
            }
            LogicalPlanBuilder::from(below).project(columns)?.build()
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias {
            input: below,
            alias,
            ..
        }) => {
            let below = carry(transform, below.as_ref().clone(), input, names)?;
            LogicalPlanBuilder::from(below).alias(alias)?.build()
        }
        LogicalPlan::Join(mut join) => {
            join.left =
                std::sync::Arc::new(carry(transform, join.left.as_ref().clone(), input, names)?);
            LogicalPlan::Join(join).recompute_schema()
        }
        LogicalPlan::Window(mut window) => {
            let below = carry(transform, window.input.as_ref().clone(), input, names)?;
            window.input = std::sync::Arc::new(below);
            LogicalPlan::Window(window).recompute_schema()
        }
        other => plan_err!(
            "transform {}: passthrough: columns cannot pass by its {}. Write the columns that are to pass into the transform's SELECT",
            transform.name,
            other.display()
        ),
    }
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

fn fill(plan: LogicalPlan, inputs: &Fields, others: &[String]) -> Result<LogicalPlan> {
    let mut columns = inputs
        .iter()
        .map(|field| {
            let found = plan
                .schema()
                .qualified_field_with_unqualified_name(field.name());
            match found {
                Ok((qualifier, f)) => Ok(Expr::Column(Column::from((qualifier, f)))),
                Err(_) => Ok(lit(ScalarValue::try_from(field.data_type())?).alias(field.name())),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    for name in others {
        columns.push(Expr::Column(Column::from_name(name)));
    }
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Whether values of one type can be taken for another's: both are numbers, texts or times.
pub fn compatible(from: &DataType, to: &DataType) -> bool {
    use seedbed_udfs::arrays::{is_number, is_text};
    from.is_null()
        || (is_number(from) && is_number(to))
        || (is_text(from) && is_text(to))
        || (from.is_temporal() && to.is_temporal())
}

/// The columns of the placeholder that a plan reads.
pub(super) fn needed(plan: &LogicalPlan) -> Result<Vec<String>> {
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
