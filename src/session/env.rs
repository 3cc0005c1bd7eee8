//! What planners and operators share: the session's state, progress, notices.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::SessionState;

use super::Progress;

/// Shared by everything in a session. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Env {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Weak: the state owns the planners, and they own this.
    state: OnceLock<Weak<RwLock<SessionState>>>,
    progress: Progress,
    notices: Mutex<Vec<String>>,
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

    /// What the running statement tells about itself.
    pub fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    /// Leaves a warning for the person at the prompt.
    pub fn notice(&self, text: impl Into<String>) {
        let mut notices = self.inner.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let text = text.into();
        if !notices.contains(&text) {
            notices.push(text);
        }
    }

    /// Takes the warnings left so far, oldest first.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.inner.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
