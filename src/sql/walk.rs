//! Walks over the expressions of a piece of SQL; those of subqueries in it are theirs.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Visit, VisitMut,
    Visitor, VisitorMut,
};

/// Calls `f` with each expression, outer ones first, until it breaks.
pub fn expressions<T: Visit, B>(ast: &T, f: impl FnMut(&Expr) -> ControlFlow<B>) -> ControlFlow<B> {
    ast.visit(&mut Walk { depth: 0, f })
}

/// As [`expressions`], with expressions that may be changed.
pub fn expressions_mut<T: VisitMut, B>(
    ast: &mut T,
    f: impl FnMut(&mut Expr) -> ControlFlow<B>,
) -> ControlFlow<B> {
    ast.visit(&mut WalkMut { depth: 0, f })
}

/// The arguments of a complete call.
pub fn arguments(call: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &call.args else {
        return Vec::new();
    };
    list.args
        .iter()
        .filter_map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

struct Walk<F> {
    depth: usize,
    f: F,
}

impl<B, F: FnMut(&Expr) -> ControlFlow<B>> Visitor for Walk<F> {
    type Break = B;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<B> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<B> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<B> {
        match self.depth {
            0 => (self.f)(expr),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct WalkMut<F> {
    depth: usize,
    f: F,
}

impl<B, F: FnMut(&mut Expr) -> ControlFlow<B>> VisitorMut for WalkMut<F> {
    type Break = B;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<B> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<B> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<B> {
        match self.depth {
            0 => (self.f)(expr),
            _ => ControlFlow::Continue(()),
        }
    }
}
