//! Calls of our functions, made whole before planning: named arguments are put in order, defaults are
//! filled in, and a call written the wrong way is an error that says what to write.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    Ident, Query, Select, SelectFlavor, SelectItem, TableFactor, Visit, VisitMut, Visitor,
    VisitorMut, WindowType,
};
use seedbed_udfs::fitted::nested::PREFIX;
use seedbed_udfs::options::nearest;
use seedbed_udfs::registry::{Function as Registered, functions};
use seedbed_udfs::spec::{Kind, Spec};

use super::bigquery;
use super::expand::EXPANDING;
use super::ordered;
use super::relation::{parse_expr, parse_query};
use super::selectors;
use super::walk::{expressions, expressions_mut};

static FUNCTIONS: LazyLock<HashMap<&'static str, Registered>> = LazyLock::new(|| {
    functions()
        .into_iter()
        .map(|f| (f.spec().name, f))
        .collect()
});

/// The function of ours that is called, if it is one.
pub fn registered(call: &Function) -> Option<&'static Registered> {
    match call.name.0.as_slice() {
        [part] => {
            let name = part.as_ident()?.value.to_ascii_lowercase();
            FUNCTIONS.get(name.as_str())
        }
        _ => None,
    }
}

/// Makes every call of our functions in a statement whole.
pub fn complete<T: VisitMut>(ast: &mut T) -> Result<()> {
    match ast.visit(&mut Complete) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The walk that makes calls whole.
pub struct Complete;

/// The declarations of the relation functions.
static RELATIONS: LazyLock<HashMap<&'static str, &'static Spec>> = LazyLock::new(|| {
    super::relations::all()
        .iter()
        .map(|r| (r.spec().name, r.spec()))
        .collect()
});

impl VisitorMut for Complete {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        bigquery::rewrite(query)
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        let TableFactor::Table {
            name,
            args: Some(args),
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        let name = name.to_string().to_ascii_lowercase();
        match RELATIONS.get(name.as_str()) {
            Some(spec) => match tables(spec, &mut args.args) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            },
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        // `FROM t` alone: all columns
        if select.projection.is_empty() && select.flavor == SelectFlavor::FromFirstNoSelect {
            select.flavor = SelectFlavor::FromFirst;
            select.projection = vec![SelectItem::Wildcard(Default::default())];
        }
        if let Err(error) = places(select).and_then(|()| ordered::places(select)) {
            return ControlFlow::Break(error);
        }
        for item in &mut select.projection {
            // an output without an alias is named as it was written, not with the defaults filled in
            if let SelectItem::UnnamedExpr(expr) = item
                && expands(expr).is_none()
                && !selectors::multiplies(expr)
                && Visit::visit(&*expr, &mut Ours).is_break()
            {
                let alias = Ident::with_quote('"', expr.to_string());
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias,
                };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        if let Err(error) = field_of_call(expr) {
            return ControlFlow::Break(error);
        }
        let Expr::Function(call) = expr else {
            return ControlFlow::Continue(());
        };
        let completed = match (registered(call), selectors::selector(call)) {
            (Some(function), _) => complete_call(function.spec(), call),
            (None, Some(spec)) => {
                selectors::plain_form(call).and_then(|()| complete_call(spec, call))
            }
            (None, None) => Ok(()),
        };
        match completed {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    /// What is fitted in a fitted call is made ready for the planner, which takes no window in a window. Calls
    /// that become several columns do not stay windows.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        let Expr::Function(call) = expr else {
            return ControlFlow::Continue(());
        };
        match registered(call).map(|f| f.spec()) {
            Some(spec) if spec.kind == Kind::Fitted && !EXPANDING.contains(&spec.name) => {
                expressions_mut(&mut call.args, nest_one)
            }
            Some(spec) if spec.kind == Kind::Ordered && !EXPANDING.contains(&spec.name) => {
                match ordered::written(spec, call) {
                    Ok(written) => {
                        *expr = written;
                        ControlFlow::Continue(())
                    }
                    Err(error) => ControlFlow::Break(error),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Writes a fitted call as the scalar call that stands for it ([`seedbed_udfs::fitted::nested`]).
fn nest_one(expr: &mut Expr) -> ControlFlow<DataFusionError> {
    let Expr::Function(call) = expr else {
        return ControlFlow::Continue(());
    };
    match registered(call).map(|f| f.spec()) {
        Some(spec) if spec.kind == Kind::Fitted => match nest(spec, call) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        },
        _ => ControlFlow::Continue(()),
    }
}

fn nest(spec: &Spec, call: &mut Function) -> Result<()> {
    let keys = match call.over.take() {
        Some(WindowType::WindowSpec(window))
            if window.order_by.is_empty() && window.window_name.is_none() =>
        {
            window.partition_by
        }
        _ => {
            return plan_err!(
                "{0}: within another fitted call it takes OVER () or OVER (PARTITION BY ...), and neither ORDER BY nor the name of a window",
                spec.name
            );
        }
    };
    let FunctionArguments::List(list) = &mut call.args else {
        return Ok(());
    };
    let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let count = parse_expr(&keys.len().to_string())?;
    list.args.insert(0, unnamed(count));
    list.args.extend(keys.into_iter().map(unnamed));
    call.name = Ident::new(format!("{PREFIX}{}", spec.name)).into();
    Ok(())
}

/// The first fitted call in an expression; those of subqueries in it are theirs.
fn fitted_in<T: Visit>(ast: &T) -> Option<&'static Spec> {
    let found = expressions(ast, |expr| match expr {
        Expr::Function(call) => match registered(call) {
            Some(f) if f.spec().kind == Kind::Fitted => ControlFlow::Break(f.spec()),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}

/// An error for a fitted call where its rows are not known yet: in WHERE and GROUP BY.
fn places(select: &Select) -> Result<()> {
    let wrong = |spec: &Spec, clause: &str| {
        plan_err!(
            "{0}: a fitted call stands in the SELECT list, not in {clause}. Write SELECT ... FROM (SELECT {0}(x) OVER () AS y, * FROM t) and use y",
            spec.name
        )
    };
    if let Some(spec) = select.selection.as_ref().and_then(fitted_in) {
        return wrong(spec, "WHERE");
    }
    let GroupByExpr::Expressions(keys, _) = &select.group_by else {
        return Ok(());
    };
    for key in keys {
        let meant = match key {
            Expr::Value(value) => value
                .value
                .to_string()
                .parse::<usize>()
                .ok()
                .and_then(|n| select.projection.get(n.wrapping_sub(1))),
            Expr::Identifier(name) => select.projection.iter().find(
                |item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value == name.value),
            ),
            _ => None,
        };
        if let Some(spec) = fitted_in(key).or_else(|| meant.and_then(fitted_in)) {
            return wrong(spec, "GROUP BY");
        }
    }
    Ok(())
}

/// The call that stands for several columns, if an expression is one.
pub fn expands(expr: &Expr) -> Option<&'static str> {
    let Expr::Function(call) = expr else {
        return None;
    };
    let name = registered(call)?.spec().name;
    EXPANDING.contains(&name).then_some(name)
}

/// Stops at a call of one of our functions.
struct Ours;

impl Visitor for Ours {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(call) if registered(call).is_some() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Makes `get_field(f(x), 'name')` of `f(x).name`, which the planner does not know.
fn field_of_call(expr: &mut Expr) -> Result<()> {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else {
        return Ok(());
    };
    let names: Option<Vec<String>> = access_chain
        .iter()
        .map(|access| match access {
            AccessExpr::Dot(Expr::Identifier(name)) => Some(name.value.clone()),
            _ => None,
        })
        .collect();
    if let (Expr::Function(_), Some(names)) = (root.as_ref(), names) {
        let mut text = root.to_string();
        for name in names {
            text = format!("get_field({text}, '{}')", name.replace('\'', "''"));
        }
        *expr = parse_expr(&text)?;
    }
    Ok(())
}

/// Makes queries of the tables that a relation function is given by name, so that the names are looked up
/// as those in FROM are.
fn tables(spec: &'static Spec, args: &mut [FunctionArg]) -> Result<()> {
    for (i, arg) in args.iter_mut().enumerate() {
        let (param, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (spec.params.get(i), expr),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => {
                let param = spec.params.iter().find(|p| p.name == name.value);
                (param, expr)
            }
            _ => continue,
        };
        let table = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if table && param.is_some_and(|p| !p.option) {
            let query = parse_query(&format!("SELECT * FROM {expr}"))?;
            *expr = Expr::Subquery(Box::new(query));
        }
    }
    Ok(())
}

fn complete_call(spec: &'static Spec, call: &mut Function) -> Result<()> {
    let written = call.to_string();
    match (spec.kind, &call.over) {
        (Kind::Fitted, None) => {
            return plan_err!(
                "{}: it learns from all rows first, so it needs a window. Write {written} OVER ()",
                spec.name
            );
        }
        (Kind::Ordered, over) if !ordered::has_order(over.as_ref()) => {
            call.over = None;
            return plan_err!(
                "{0}: it looks at the rows in an order, so it needs one. Write {call} OVER (ORDER BY t)",
                spec.name
            );
        }
        (Kind::RowWise | Kind::Selector, Some(_)) => {
            call.over = None;
            let what = match spec.kind {
                Kind::Selector => "stands for columns",
                _ => "looks at one row",
            };
            return plan_err!("{}: it {what} and takes no OVER. Write {call}", spec.name);
        }
        _ => {}
    }
    let FunctionArguments::List(list) = &mut call.args else {
        return Ok(());
    };
    let args = ordered(spec, std::mem::take(&mut list.args))?;
    list.args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
        .collect();
    Ok(())
}

/// Puts arguments in the order of the parameters, with defaults for those left out.
///
/// # Errors
/// Too many, missing, repeated or unknown arguments; the message shows how the call is written.
pub fn ordered(spec: &'static Spec, args: Vec<FunctionArg>) -> Result<Vec<Expr>> {
    let data = spec.data_params();
    let mut positional = Vec::new();
    let mut named: HashMap<&'static str, Expr> = HashMap::new();
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                if !named.is_empty() {
                    return plan_err!(
                        "{}: {expr} has no name but follows named arguments. Write {}",
                        spec.name,
                        spec.syntax()
                    );
                }
                positional.push(expr);
            }
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => {
                let wanted = name.value.to_ascii_lowercase();
                let Some(param) = spec.params.iter().find(|p| p.name == wanted) else {
                    let near = nearest(&wanted, spec.params.iter().map(|p| p.name))
                        .map(|n| format!(" Did you mean {n}?"))
                        .unwrap_or_default();
                    return plan_err!(
                        "{}: there is no argument {wanted}.{near} Write {}",
                        spec.name,
                        spec.syntax()
                    );
                };
                if named.insert(param.name, expr).is_some() {
                    return plan_err!("{}: {wanted} is given twice", spec.name);
                }
            }
            other => {
                return plan_err!(
                    "{}: {other} cannot be an argument. Write {}",
                    spec.name,
                    spec.syntax()
                );
            }
        }
    }
    if positional.len() > spec.params.len() && !spec.variadic {
        return plan_err!(
            "{}: {} arguments given, at most {} taken. Write {}",
            spec.name,
            positional.len(),
            spec.params.len(),
            spec.syntax()
        );
    }
    let mut positional = positional.into_iter();
    let mut out = Vec::new();
    for (i, param) in spec.params.iter().enumerate() {
        let given = if spec.variadic && i >= data {
            None
        } else {
            positional.next()
        };
        let value = match (given, named.remove(param.name), param.default) {
            (Some(_), Some(_), _) => {
                return plan_err!("{}: {} is given twice", spec.name, param.name);
            }
            (Some(value), None, _) | (None, Some(value), _) => value,
            // a repeated parameter may be given no value at all
            (None, None, None) if spec.variadic && i + 1 == data && i > 0 => continue,
            (None, None, Some(default)) => parse_expr(default)?,
            (None, None, None) => {
                return plan_err!(
                    "{}: {} is missing. Write {}",
                    spec.name,
                    param.name,
                    spec.syntax()
                );
            }
        };
        out.push(value);
        if spec.variadic && i + 1 == data {
            out.extend(positional.by_ref());
        }
    }
    Ok(out)
}
