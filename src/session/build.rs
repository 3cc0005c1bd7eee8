//! The DataFusion session with everything of ours in it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::execution::context::{QueryPlanner, SessionContext};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use seedbed_udfs::fitted::FittedWindow;
use seedbed_udfs::fitted::nested::NestedFit;
use seedbed_udfs::registry::{Function, functions};
use seedbed_udfs::series::{self, OrderedWindow};
use seedbed_udfs::spec::Spec;

use super::{Env, settings};
use crate::Options;
use crate::export;
use crate::plan::{
    CheckPlanner, DistinctPlanner, FasterWindows, FitsPlanner, GanSample, HideFits, LowerFits,
    NeighboursPlanner, ShareSpools, SpoolPlanner, StreamDistinct, TablePlanner, Trainer,
};
use crate::sql::relation::{Relations, fold};
use crate::sql::relations;

/// Opens the session.
pub fn context(options: &Options, env: &Env) -> Result<SessionContext> {
    let limit = settings::memory_limit(options)?;
    let config = settings::config(options, limit.clone())?;
    let runtime = settings::runtime(limit)?;
    let trainer = Trainer::new(Arc::new(env.store()?), env.progress().clone(), 1);
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_query_planner(Arc::new(Planner {
            extensions: vec![
                Arc::new(trainer),
                Arc::new(SpoolPlanner),
                Arc::new(DistinctPlanner),
                Arc::new(NeighboursPlanner),
                Arc::new(TablePlanner),
                Arc::new(CheckPlanner),
                Arc::new(FitsPlanner),
            ],
        }))
        .with_analyzer_rule(Arc::new(StreamDistinct))
        .with_analyzer_rule(Arc::new(LowerFits))
        .with_analyzer_rule(Arc::new(HideFits))
        .with_physical_optimizer_rule(Arc::new(ShareSpools))
        .with_physical_optimizer_rule(Arc::new(FasterWindows))
        .with_relation_planners(vec![Arc::new(Relations::new(
            relations::all(),
            env.clone(),
        ))]);
    builder
        .expr_planners()
        .get_or_insert_default()
        .insert(0, Arc::new(BindFits));
    let formats = builder.file_formats().get_or_insert_default();
    formats.extend(export::formats());
    let ctx = SessionContext::new_with_state(builder.build());
    // It makes a semi join of an inner join with a side it takes to be unique. It takes a grouped side for
    // unique still after `unnest` has multiplied its rows, and rows are lost.
    ctx.remove_optimizer_rule("eliminate_join");
    for function in functions() {
        match function {
            Function::RowWise(_, udf) => ctx.register_udf(udf.as_ref().clone()),
            Function::Fitted(_, fitted) => {
                ctx.register_udwf(fitted.window_udf());
                ctx.register_udf(NestedFit::udf(fitted));
            }
            Function::Ordered(_, ordered) => ctx.register_udwf(ordered.window_udf()),
            Function::Aggregate(_, udf) => ctx.register_udaf(udf.as_ref().clone()),
            Function::Expanding(_) => {}
        }
    }
    ctx.register_udf(series::between());
    ctx.register_udf(GanSample::udf(env.clone()));
    ctx.register_udf(relations::Holds::udf());
    env.attach(&ctx);
    Ok(ctx)
}

/// DataFusion's planner with our operators.
struct Planner {
    extensions: Vec<Arc<dyn ExtensionPlanner + Send + Sync>>,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(self.extensions.clone())
            .create_physical_plan(plan, session)
            .await
    }
}

/// Reads constants while planning: lists, and the options among the arguments of a fitted call.
#[derive(Debug)]
struct BindFits;

impl ExprPlanner for BindFits {
    /// A list of constants is a constant, so that options can be read while planning.
    fn plan_array_literal(
        &self,
        exprs: Vec<Expr>,
        _: &DFSchema,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let mut values = Vec::with_capacity(exprs.len());
        for expr in &exprs {
            match expr {
                Expr::Literal(value, _) => values.push(value.clone()),
                _ => return Ok(PlannerResult::Original(exprs)),
            }
        }
        match values.first().map(ScalarValue::data_type) {
            Some(of) if values.iter().all(|v| v.data_type() == of) => {
                let list = ScalarValue::List(ScalarValue::new_list(&values, &of, true));
                Ok(PlannerResult::Planned(Expr::Literal(list, None)))
            }
            _ => Ok(PlannerResult::Original(exprs)),
        }
    }

    fn plan_window(&self, mut raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let WindowFunctionDefinition::WindowUDF(udf) = &raw.func_def else {
            return Ok(PlannerResult::Original(raw));
        };
        let window = if let Some(window) = udf.inner().downcast_ref::<FittedWindow>() {
            let function = window.function();
            let bound = function.bind(read_options(function.spec(), &mut raw.args)?)?;
            bound.window_udf()
        } else if let Some(window) = udf.inner().downcast_ref::<OrderedWindow>() {
            window.bind(read_options(window.spec(), &mut raw.args)?)?
        } else {
            return Ok(PlannerResult::Original(raw));
        };
        raw.func_def = WindowFunctionDefinition::WindowUDF(Arc::new(window));
        Ok(PlannerResult::Original(raw))
    }
}

/// The values of the options among a call's arguments, which become literals.
fn read_options(spec: &Spec, args: &mut [Expr]) -> Result<Vec<ScalarValue>> {
    let options = spec.params.iter().filter(|p| p.option);
    let Some(first) = args.len().checked_sub(options.clone().count()) else {
        return internal_err!("{}: its defaults are not filled in", spec.name);
    };
    args[first..]
        .iter_mut()
        .zip(options)
        .map(|(arg, param)| {
            let value = fold(arg.clone()).map_err(|e| {
                e.context(format!("{}: {} must be a constant", spec.name, param.name))
            })?;
            *arg = Expr::Literal(value.clone(), None);
            Ok(value)
        })
        .collect()
}
