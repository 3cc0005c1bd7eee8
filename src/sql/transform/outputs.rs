//! What each output of a transform computes of its inputs, as one expression.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SubqueryAlias, lit, when};
use seedbed_udfs::fitted::{Apply, GroupIndex, group_keys};
use seedbed_udfs::row_wise::function_of;

use super::INPUT;
use crate::session::Env;

/// A column that a transform gives.
#[derive(Debug)]
pub(super) struct Output {
    pub name: String,
    pub data_type: DataType,
    /// What it computes of the inputs (columns without a qualifier) and of joined tables (columns with one);
    /// `None` if that is more than an expression.
    pub expr: Option<Expr>,
}

/// The columns of a plan over the placeholder.
pub(super) fn outputs(plan: &LogicalPlan) -> Result<Vec<Output>> {
    plan.schema()
        .iter()
        .map(|(qualifier, field)| {
            Ok(Output {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                expr: resolve(plan, &Column::from((qualifier, field)))?,
            })
        })
        .collect()
}

fn resolve(plan: &LogicalPlan, column: &Column) -> Result<Option<Expr>> {
    let below = |input: &LogicalPlan| -> Result<Option<Expr>> {
        let index = plan.schema().index_of_column(column)?;
        resolve(input, &Column::from(input.schema().qualified_field(index)))
    };
    match plan {
        LogicalPlan::TableScan(scan) if scan.table_name.table() == INPUT => {
            Ok(Some(Expr::Column(Column::from_name(&column.name))))
        }
        LogicalPlan::TableScan(_) => Ok(Some(Expr::Column(column.clone()))),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => below(input),
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let index = plan.schema().index_of_column(column)?;
            let mut whole = true;
            let expr = map_columns(expr[index].clone().unalias_nested().data, |c| {
                let resolved = resolve(input, &c)?;
                whole &= resolved.is_some();
                Ok(resolved.unwrap_or(Expr::Column(c)))
            })?;
            let mut above = false;
            expr.apply(|e| {
                above |= matches!(
                    e,
                    Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)
                );
                Ok(TreeNodeRecursion::Continue)
            })?;
            Ok((whole && !above).then_some(expr))
        }
        LogicalPlan::Join(join) => {
            for side in [&join.left, &join.right] {
                if side.schema().has_column(column) {
                    return resolve(side, column);
                }
            }
            Ok(None)
        }
        LogicalPlan::Window(window) if window.input.schema().has_column(column) => {
            resolve(&window.input, column)
        }
        _ => Ok(None),
    }
}

/// An expression with others in the place of its columns.
pub(super) fn map_columns(
    expr: Expr,
    mut instead: impl FnMut(Column) -> Result<Expr>,
) -> Result<Expr> {
    expr.transform(|e| match e {
        // what was put in has columns of its own
        Expr::Column(column) => Ok(Transformed::new(
            instead(column)?,
            true,
            TreeNodeRecursion::Jump,
        )),
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// A fitted call with its fits in place.
pub(super) struct Fitted<'a> {
    pub apply: &'a Apply,
    /// Its data.
    pub args: &'a [Expr],
    pub fits: Arc<StructArray>,
    /// Its fits and, with `PARTITION BY`, its group, as arguments.
    pub rest: &'a [Expr],
    /// The columns of its `PARTITION BY`.
    pub keys: &'a [Expr],
}

/// The fitted call that an expression is, if it is one.
pub(super) fn fitted(expr: &Expr) -> Option<Fitted<'_>> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let apply = call.func.inner().downcast_ref::<Apply>()?;
    let (args, rest) = call.args.split_at_checked(apply.data_args())?;
    let Expr::Literal(ScalarValue::Struct(fits), _) = rest.first()? else {
        return None;
    };
    let keys = match rest.get(1) {
        Some(Expr::ScalarFunction(group)) if group.func.inner().is::<GroupIndex>() => {
            group.args.split_last().map_or(&[][..], |(_, keys)| keys)
        }
        _ => &[],
    };
    Some(Fitted {
        apply,
        args,
        fits: Arc::clone(fits),
        rest,
        keys,
    })
}

/// The field of a struct that an expression takes: of what, and which.
pub(super) fn part(expr: &Expr) -> Option<(&ScalarFunction, &str)> {
    let Expr::ScalarFunction(outer) = expr else {
        return None;
    };
    match outer.args.as_slice() {
        [Expr::ScalarFunction(inner), Expr::Literal(part, _)] if outer.name() == "get_field" => {
            Some((inner, part.try_as_str()??))
        }
        _ => None,
    }
}

/// An expression without the casts around it that were put there for its types alone.
pub(super) fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => uncast(&cast.expr),
        Expr::Alias(alias) => uncast(&alias.expr),
        other => other,
    }
}

/// The indicator of `one_hot` that an expression is: its name, its argument, its options.
pub(super) fn indicator(expr: &Expr) -> Option<(&'static str, &Expr, &[Expr])> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let name = function_of(&call.func)?.spec().name;
    let (x, options) = call.args.split_first()?;
    let x = match uncast(x) {
        Expr::ScalarFunction(known) if known.name() == "one_hot_known" => known.args.first()?,
        _ => x,
    };
    (name.starts_with("one_hot_") && name != "one_hot_known").then_some((name, x, options))
}

/// The indicators of one `one_hot` call: the outputs that stand side by side with one of them, are of the same
/// `x`, and repeat no category. What is shared by rare categories comes last.
pub(super) fn siblings<'a>(outputs: &'a [Output], one: &Output) -> &'a [Output] {
    let Some(at) = outputs.iter().position(|o| std::ptr::eq(o, one)) else {
        return &[];
    };
    let of = |i: usize| outputs.get(i)?.expr.as_ref().and_then(indicator);
    let single = |i: usize| of(i).filter(|(name, ..)| *name != "one_hot_vector");
    let mut start = 0;
    for i in 1..=outputs.len() {
        let goes_on = match (single(i - 1), single(i)) {
            (Some((before, x, _)), Some((_, same, listed))) => {
                let repeated = (start..i).any(|j| single(j).is_some_and(|s| s.2 == listed));
                before == "one_hot_is" && x == same && !repeated
            }
            _ => false,
        };
        if !goes_on {
            if (start..i).contains(&at) {
                return &outputs[start..i];
            }
            start = i;
        }
    }
    &[]
}

/// The texts of a constant: one, or a list.
pub(super) fn texts(expr: &Expr) -> Vec<String> {
    let Expr::Literal(value, _) = uncast(expr) else {
        return Vec::new();
    };
    match value {
        ScalarValue::List(list) if list.is_valid(0) => {
            let items = list.value(0);
            let items = (0..items.len()).filter_map(|i| {
                let item = ScalarValue::try_from_array(&items, i).ok()?;
                item.try_as_str().flatten().map(str::to_string)
            });
            items.collect()
        }
        value => value
            .try_as_str()
            .flatten()
            .map(str::to_string)
            .into_iter()
            .collect(),
    }
}

impl Output {
    fn columns(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        if let Some(expr) = &self.expr {
            // the walk does not fail
            let _ = expr.apply(|e| {
                if let Expr::Column(column) = e
                    && !columns.contains(column)
                {
                    columns.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        columns
    }

    /// The inputs it is computed of.
    pub(super) fn inputs(&self) -> Vec<String> {
        let columns = self.columns().into_iter();
        let columns = columns.filter(|c| c.relation.is_none());
        columns.map(|c| c.name).collect()
    }

    /// Whether it is computed of a joined table.
    pub(super) fn joins(&self) -> bool {
        self.columns().iter().any(|c| c.relation.is_some())
    }

    /// The columns of joined tables it is computed of.
    pub(super) fn joined(&self) -> Vec<Column> {
        let columns = self.columns().into_iter();
        columns.filter(|c| c.relation.is_some()).collect()
    }

    /// The calls it is made of, the outermost first.
    pub(super) fn calls(&self) -> Vec<Expr> {
        let mut calls: Vec<Expr> = Vec::new();
        if let Some(expr) = &self.expr {
            // the walk does not fail
            let _ = expr.apply(|e| {
                if (fitted(e).is_some() || indicator(e).is_some()) && !calls.contains(e) {
                    calls.push(e.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        calls
    }

    /// Whether a row is of a category so rare that it shares its code or column; `None` if there are none such.
    pub(super) fn other(&self, env: &Env) -> Result<Option<Expr>> {
        for call in self.calls() {
            if let Some(found) = fitted(&call)
                && found.apply.bound().spec().name == "ordinal_encode"
            {
                return other_code(&call, &found);
            }
            if let Some((name, x, options)) = indicator(&call) {
                return Ok(match (name, options) {
                    ("one_hot_any" | "one_hot_other", _) => Some(call.eq(lit(1i8))),
                    ("one_hot_vector", [_, rare, ..]) if !texts(rare).is_empty() => {
                        let state = env.state()?;
                        let any = state.scalar_functions().get("one_hot_any").cloned();
                        any.map(|any| any.call(vec![x.clone(), rare.clone()]).eq(lit(1i8)))
                    }
                    _ => None,
                });
            }
        }
        Ok(None)
    }
}

/// Whether a code is the one after those of the categories that have their own.
fn other_code(call: &Expr, found: &Fitted<'_>) -> Result<Option<Expr>> {
    let params = found.apply.params(&found.fits)?;
    let [own, rare] = params.columns() else {
        return Ok(None);
    };
    let length = |list: &arrow::array::ArrayRef, row: usize| -> Option<usize> {
        let list = list.as_list_opt::<i32>()?;
        list.is_valid(row).then(|| list.value_length(row) as usize)
    };
    let code = |row: usize| -> Option<i64> {
        let any = length(rare, row)? > 0;
        any.then_some(i64::try_from(length(own, row)?).ok()?)
    };
    if group_keys(&found.fits).is_none() {
        return Ok(code(0).map(|code| call.clone().eq(lit(code))));
    }
    let Some(group) = found.rest.get(1) else {
        return Ok(None);
    };
    let mut codes =
        (0..params.len()).filter_map(|row| Some((u32::try_from(row).ok()?, code(row)?)));
    let Some((first, code)) = codes.next() else {
        return Ok(None);
    };
    let mut of_group = when(group.clone().eq(lit(first)), lit(code));
    for (group_of, code) in codes {
        of_group = of_group.when(group.clone().eq(lit(group_of)), lit(code));
    }
    Ok(Some(call.clone().eq(of_group.end()?)))
}
