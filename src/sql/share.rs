//! A CTE that several places use is computed once.
//!
//! DataFusion inlines CTEs: each use gets a copy of the plan. The copies share their input, by which they
//! are known here; where computing it twice is dear, each reads from one [`Spool`].

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use crate::plan::{Spool, is_cheap};

/// Lets the uses of a CTE read from one spool.
pub fn share_ctes(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut uses: HashMap<usize, usize> = HashMap::new();
    let mut recursive = false;
    plan.apply_with_subqueries(|node| {
        recursive |= matches!(node, LogicalPlan::RecursiveQuery(_));
        if let LogicalPlan::SubqueryAlias(alias) = node {
            *uses.entry(Arc::as_ptr(&alias.input) as usize).or_default() += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    // a recursive term reads other rows each time round
    if recursive || uses.values().all(|n| *n < 2) {
        return Ok(plan);
    }
    let mut spools: HashMap<usize, LogicalPlan> = HashMap::new();
    plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::SubqueryAlias(mut alias) = node else {
            return Ok(Transformed::no(node));
        };
        let key = Arc::as_ptr(&alias.input) as usize;
        if uses.get(&key).is_none_or(|n| *n < 2) || is_cheap(&alias.input)? {
            return Ok(Transformed::no(LogicalPlan::SubqueryAlias(alias)));
        }
        let spool = match spools.get(&key) {
            Some(spool) => spool.clone(),
            None => {
                // CTEs that this one uses are shared within it
                let input = share_ctes(alias.input.as_ref().clone())?;
                let spool = Spool::over(input);
                spools.insert(key, spool.clone());
                spool
            }
        };
        alias.input = Arc::new(spool);
        Ok(Transformed::new(
            LogicalPlan::SubqueryAlias(alias),
            true,
            TreeNodeRecursion::Jump,
        ))
    })
    .data()
}
