//! What planners and operators share: the session's state, what is stored, progress, notices.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream_partitioned;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};

use super::{Progress, Settings};
use crate::load::{Notices, Rejects};
use crate::store::Store;

/// Shared by everything in a session. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Env {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Weak: the state owns the planners, and they own this.
    state: OnceLock<Weak<RwLock<SessionState>>>,
    store: OnceLock<Store>,
    progress: Progress,
    notices: Notices,
    rejects: Rejects,
    counter: AtomicU64,
    started: AtomicBool,
    /// Table arguments of relation functions that were planned and are about to be used in a template.
    plans: Mutex<HashMap<String, LogicalPlan>>,
}

impl Env {
    /// Ties the environment to its session; once.
    pub fn attach(&self, ctx: &SessionContext) {
        // a second call would change nothing: the first session stays
        let _ = self.inner.state.set(ctx.state_weak_ref());
    }

    /// The session's state as it is now.
    pub fn state(&self) -> Result<SessionState> {
        self.inner
            .state
            .get()
            .and_then(Weak::upgrade)
            .map(|state| state.read().clone())
            .ok_or_else(|| internal_datafusion_err!("the session is closed"))
    }

    /// What persists.
    pub fn store(&self) -> Result<Store> {
        Ok(self.inner.store.get_or_init(Store::default).clone())
    }

    /// Uses a store; to be called before anything else asks for it.
    pub fn with_store(self, store: Store) -> Self {
        // a second call would change nothing: the first store stays
        let _ = self.inner.store.set(store);
        self
    }

    /// The seed of functions that are given none.
    pub fn seed(&self) -> Result<u64> {
        let state = self.state()?;
        let settings = state.config_options().extensions.get::<Settings>();
        Ok(settings.map_or(0, |s| s.seed))
    }

    /// A plan that gives a plan's rows without computing them again, if `cheap` says that is dear.
    ///
    /// The rows are held in memory, within the session's limit.
    pub fn settle<'a>(
        &'a self,
        plan: LogicalPlan,
        cheap: fn(&LogicalPlan) -> Result<bool>,
    ) -> BoxFuture<'a, Result<LogicalPlan>> {
        async move {
            if cheap(&plan)? {
                return Ok(plan);
            }
            let state = self.state()?;
            let physical = seedbed_boundary::physical_plan(state.clone(), plan).await?;
            let task = state.task_ctx();
            let streams = execute_stream_partitioned(Arc::clone(&physical), Arc::clone(&task))?;
            let name = format!("settled_{}", self.fresh());
            let (table, _) = Store::default()
                .create_table(name.clone(), streams, physical.schema(), task)
                .await?;
            LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.build()
        }
        .boxed()
    }

    /// What the running statement tells about itself.
    pub fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    /// The rows that loading refused.
    pub fn rejects(&self) -> &Rejects {
        &self.inner.rejects
    }

    /// Leaves a warning for the person at the prompt.
    pub fn notice(&self, text: impl Into<String>) {
        self.inner.notices.push(text);
    }

    /// Where loaders leave their warnings.
    pub fn load_notices(&self) -> &Notices {
        &self.inner.notices
    }

    /// Takes the warnings left so far, oldest first.
    pub fn take_notices(&self) -> Vec<String> {
        self.inner.notices.take()
    }

    /// A number that was not given before.
    pub fn fresh(&self) -> u64 {
        self.inner.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether this is the first time it is asked.
    pub fn first_statement(&self) -> bool {
        !self.inner.started.swap(true, Ordering::Relaxed)
    }

    /// Keeps a plan until the statement is planned; gives the key to find it by.
    pub fn keep_plan(&self, plan: LogicalPlan) -> String {
        let key = self.fresh().to_string();
        self.inner.plans.lock().insert(key.clone(), plan);
        key
    }

    /// A plan that was kept.
    pub fn kept_plan(&self, key: &str) -> Result<LogicalPlan> {
        let plan = self.inner.plans.lock().get(key).cloned();
        plan.ok_or_else(|| internal_datafusion_err!("no plan was kept as {key}"))
    }

    /// Forgets the kept plans; to be called when a statement is planned.
    pub fn forget_plans(&self) {
        self.inner.plans.lock().clear();
    }
}
