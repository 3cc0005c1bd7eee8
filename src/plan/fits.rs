//! The subquery of fits as a leaf: what a SELECT fits is planned once, however many of its calls read it.
//!
//! Each call that applies a fit holds the subquery that computes all of them, and each optimizer rule would walk
//! that plan anew for each call: two hundred calls of two hundred fits are forty thousand expressions a rule.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::logical_plan::Subquery;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::fit::FITS;

/// A plan that the optimizer does not look into; it is optimised when it is planned.
#[derive(Debug, Clone)]
pub struct Fits(Arc<LogicalPlan>);

impl Fits {
    fn address(&self) -> *const LogicalPlan {
        Arc::as_ptr(&self.0)
    }
}

// the plans of different leaves may be the same, but the copies of a leaf share theirs
impl PartialEq for Fits {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Fits {}

impl Hash for Fits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl PartialOrd for Fits {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.address().partial_cmp(&other.address())
    }
}

impl UserDefinedLogicalNodeCore for Fits {
    fn name(&self) -> &str {
        "Fits"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.0.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Fits: computed once")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (exprs.is_empty(), inputs.is_empty()) {
            (true, true) => Ok(self.clone()),
            _ => internal_err!("Fits takes no input"),
        }
    }
}

/// The analyzer rule that puts subqueries of fits into leaves, after [`super::LowerFits`] has made them.
#[derive(Debug, Default)]
pub struct HideFits;

impl AnalyzerRule for HideFits {
    fn name(&self) -> &str {
        "hide_fits"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        hide(plan, &mut Vec::new())
    }
}

/// `hidden` are the subqueries that have their leaf.
fn hide(plan: LogicalPlan, hidden: &mut Vec<(Subquery, Subquery)>) -> Result<LogicalPlan> {
    plan.transform_up(|node| {
        node.map_expressions(|expr| {
            expr.transform(|e| match e {
                Expr::ScalarSubquery(subquery) if is_of_fits(&subquery) => Ok(Transformed::yes(
                    Expr::ScalarSubquery(leaf(subquery, hidden)?),
                )),
                Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => {
                    within(e, hidden).map(Transformed::yes)
                }
                e => Ok(Transformed::no(e)),
            })
        })
    })
    .data()
}

fn is_of_fits(subquery: &Subquery) -> bool {
    subquery.outer_ref_columns.is_empty() && subquery.subquery.schema().field(0).name() == FITS
}

fn leaf(subquery: Subquery, hidden: &mut Vec<(Subquery, Subquery)>) -> Result<Subquery> {
    if matches!(subquery.subquery.as_ref(), LogicalPlan::Extension(Extension { node }) if node.as_any().is::<Fits>())
    {
        return Ok(subquery);
    }
    if let Some((_, leaf)) = hidden.iter().find(|(from, _)| *from == subquery) {
        return Ok(leaf.clone());
    }
    let plan = hide(subquery.subquery.as_ref().clone(), hidden)?;
    let node = Arc::new(Fits(Arc::new(plan)));
    let leaf = subquery.with_plan(Arc::new(LogicalPlan::Extension(Extension { node })));
    hidden.push((subquery, leaf.clone()));
    Ok(leaf)
}

/// Another subquery, what is of fits in it hidden.
fn within(expr: Expr, hidden: &mut Vec<(Subquery, Subquery)>) -> Result<Expr> {
    let mut plan = |subquery: Subquery| -> Result<Subquery> {
        let plan = hide(subquery.subquery.as_ref().clone(), hidden)?;
        Ok(subquery.with_plan(Arc::new(plan)))
    };
    Ok(match expr {
        Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(plan(subquery)?),
        Expr::Exists(mut exists) => {
            exists.subquery = plan(exists.subquery)?;
            Expr::Exists(exists)
        }
        Expr::InSubquery(mut within) => {
            within.subquery = plan(within.subquery)?;
            Expr::InSubquery(within)
        }
        other => other,
    })
}

/// Plans [`Fits`].
#[derive(Debug, Default)]
pub struct FitsPlanner;

#[async_trait]
impl ExtensionPlanner for FitsPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match node.as_any().downcast_ref::<Fits>() {
            Some(fits) => Ok(Some(session.create_physical_plan(&fits.0).await?)),
            None => Ok(None),
        }
    }
}
