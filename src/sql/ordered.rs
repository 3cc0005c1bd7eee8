//! Functions of ordered rows: their calls are rewritten to window functions over an order that is complete.
//!
//! Rows at the same place of an ORDER BY come in any order. So that results do not depend on it, the values
//! themselves decide: those with a value come before those without.

use std::ops::ControlFlow;

use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, Ident, OrderByExpr, Select, SelectItem, Visit, Visitor, WindowSpec, WindowType,
};
use seedbed_udfs::options::Options;
use seedbed_udfs::series::PREFIX;
use seedbed_udfs::spec::{Kind, Spec};

use super::calls::registered;
use super::relation::parse_expr;
use super::walk::arguments;

/// Whether a window says an order.
pub fn has_order(over: Option<&WindowType>) -> bool {
    match over {
        Some(WindowType::WindowSpec(window)) => !window.order_by.is_empty(),
        Some(WindowType::NamedWindow(_)) => true,
        None => false,
    }
}

/// An error for a call that would need rows that are not there yet.
pub fn places(select: &Select) -> Result<()> {
    for item in &select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        let ControlFlow::Break((inner, outer)) = Visit::visit(expr, &mut Within::default()) else {
            continue;
        };
        let Some(outer) = outer else {
            return plan_err!(
                "{inner}: it stands for several columns, so it is an item of the SELECT list by itself"
            );
        };
        return plan_err!(
            "{inner}: it looks at rows in an order and cannot stand within {outer}, nor around it. \
             Write SELECT {outer}(y) OVER (...) FROM (SELECT {inner}(x) OVER (ORDER BY t) AS y, * FROM my_table)"
        );
    }
    Ok(())
}

/// Finds a call of ordered rows within another window, or around one.
#[derive(Default)]
struct Within {
    /// The calls that the walk is in, with what they are.
    calls: Vec<Option<(&'static str, Kind)>>,
    queries: usize,
}

impl Visitor for Within {
    /// What is within, and what is around it.
    type Break = (&'static str, Option<&'static str>);

    fn pre_visit_query(
        &mut self,
        _: &datafusion::sql::sqlparser::ast::Query,
    ) -> ControlFlow<Self::Break> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(
        &mut self,
        _: &datafusion::sql::sqlparser::ast::Query,
    ) -> ControlFlow<Self::Break> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        let call = match expr {
            Expr::Function(call) if self.queries == 0 => registered(call).map(|f| f.spec()),
            _ => None,
        };
        let windows = |kind: Kind| matches!(kind, Kind::Ordered | Kind::Fitted);
        if let Some(spec) = call.filter(|s| windows(s.kind)) {
            let around = self.calls.iter().flatten().next();
            if let Some((outer, kind)) = around
                && (*kind == Kind::Ordered || spec.kind == Kind::Ordered)
            {
                let (inner, outer) = match spec.kind {
                    Kind::Ordered => (spec.name, *outer),
                    _ => (*outer, spec.name),
                };
                return ControlFlow::Break((inner, Some(outer)));
            }
            if spec.name == "lags" && !self.calls.is_empty() {
                return ControlFlow::Break((spec.name, None));
            }
        }
        let of = call.map(|s| (s.name, s.kind));
        self.calls.push(of.filter(|(_, kind)| windows(*kind)));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Self::Break> {
        self.calls.pop();
        ControlFlow::Continue(())
    }
}

/// What a complete call is rewritten to.
pub fn written(spec: &Spec, call: &Function) -> Result<Expr> {
    let args = arguments(call);
    let Some(x) = args.first() else {
        return plan_err!("{}: write {}", spec.name, spec.syntax());
    };
    let forward = complete(spec, call, x)?;
    let backward = reversed(&forward);
    let hidden = |name: &str, args: &[Expr], over: &WindowSpec| {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        format!("{PREFIX}{name}({}) OVER ({over})", args.join(", "))
    };
    let text = match (spec.name, args.as_slice()) {
        ("fill_backward", _) => {
            // a row with a value comes before its equals in this direction too
            let mut order = reversed(&WindowSpec {
                order_by: forward.order_by[..forward.order_by.len() - 1].to_vec(),
                ..forward.clone()
            });
            order.order_by.extend(forward.order_by.last().cloned());
            hidden(spec.name, &args, &order)
        }
        ("interpolate", [x, at]) => {
            // a value whose place is not known is no neighbour
            let known = match at.to_string().as_str() {
                "NULL" => x.clone(),
                _ => parse_expr(&format!("CASE WHEN ({at}) IS NOT NULL THEN {x} END"))?,
            };
            let none = parse_expr("NULL")?;
            let [before, after] = [&forward, &backward].map(|over| {
                let value = hidden("fill_forward", &[known.clone(), none.clone()], over);
                let distance = hidden("interpolate", &[known.clone(), at.clone()], over);
                format!("{value}, {distance}")
            });
            format!("{PREFIX}between({x}, {before}, {after})")
        }
        _ => hidden(spec.name, &args, &forward),
    };
    parse_expr(&text)
}

/// The items of a SELECT list that a call of `lags` stands for.
pub fn lags(call: &Function, n: Vec<ScalarValue>, prefix: &str) -> Result<Vec<SelectItem>> {
    let Some(spec) = registered(call).map(|f| f.spec()) else {
        return Ok(Vec::new());
    };
    let args = arguments(call);
    let Some(x) = args.first() else {
        return Ok(Vec::new());
    };
    let over = complete(spec, call, x)?;
    let options = Options::new(spec, n)?;
    let numbers = match options.float("n") {
        Ok(one) => vec![one],
        Err(_) => options.floats("n")?,
    };
    numbers
        .into_iter()
        .map(|n| {
            if n.fract() != 0.0 || n == 0.0 || n.abs() > 1e9 {
                return options.wrong("n", "whole numbers other than 0, as in [1, 7]");
            }
            let (function, name) = if n > 0.0 {
                ("lag", format!("{prefix}_lag_{n}"))
            } else {
                ("lead", format!("{prefix}_lead_{}", -n))
            };
            Ok(SelectItem::ExprWithAlias {
                expr: parse_expr(&format!("{function}({x}, {}) OVER ({over})", n.abs()))?,
                alias: Ident::with_quote('"', name),
            })
        })
        .collect()
}

/// A call's window, with the values as the last thing to order by.
fn complete(spec: &Spec, call: &Function, x: &Expr) -> Result<WindowSpec> {
    let Some(WindowType::WindowSpec(window)) = &call.over else {
        return plan_err!(
            "{}: it takes no name of a window. Write OVER (ORDER BY t) out",
            spec.name
        );
    };
    if window.window_frame.is_some() || window.window_name.is_some() {
        return plan_err!(
            "{}: which rows it looks at is its own matter. Write OVER (ORDER BY t), without a frame and the name of a window",
            spec.name
        );
    }
    let mut window = window.clone();
    window.order_by.push(OrderByExpr {
        expr: x.clone(),
        options: datafusion::sql::sqlparser::ast::OrderByOptions {
            asc: Some(true),
            nulls_first: Some(false),
        },
        with_fill: None,
    });
    Ok(window)
}

/// The same rows the other way round.
fn reversed(window: &WindowSpec) -> WindowSpec {
    let mut window = window.clone();
    for by in &mut window.order_by {
        let ascending = by.options.asc.unwrap_or(true);
        // NULL is the largest value, if nothing else is said
        let nulls_first = by.options.nulls_first.unwrap_or(!ascending);
        by.options.asc = Some(!ascending);
        by.options.nulls_first = Some(!nulls_first);
    }
    window
}
