//! What a running statement tells about itself. Operators write, the prompt's bar reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    #[default]
    Rows,
    Bytes,
    Epochs,
}

/// A moment of a running statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// What is being done: `reading adult.data`, `training people`.
    pub task: String,
    pub unit: Unit,
    pub done: u64,
    /// Unknown for streams and filtered inputs.
    pub total: Option<u64>,
    /// Free text beside the bar: both losses of a GAN, say.
    pub detail: String,
}

/// Shared by a session's operators and whoever shows the progress. Cheap to clone and to update.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    done: AtomicU64,
    about: Mutex<Snapshot>,
}

impl Progress {
    /// Begins a task; what was counted before is forgotten.
    pub fn start(&self, task: impl Into<String>, unit: Unit, total: Option<u64>) {
        self.inner.done.store(0, Ordering::Relaxed);
        *self.about() = Snapshot {
            task: task.into(),
            unit,
            done: 0,
            total,
            detail: String::new(),
        };
    }

    /// Counts `n` more units.
    pub fn advance(&self, n: u64) {
        self.inner.done.fetch_add(n, Ordering::Relaxed);
    }

    /// Replaces the text beside the bar.
    pub fn detail(&self, text: impl Into<String>) {
        self.about().detail = text.into();
    }

    /// Ends the task: the snapshot becomes empty.
    pub fn finish(&self) {
        self.start(String::new(), Unit::Rows, None);
    }

    /// Where things stand.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.about().clone();
        snapshot.done = self.inner.done.load(Ordering::Relaxed);
        snapshot
    }

    fn about(&self) -> std::sync::MutexGuard<'_, Snapshot> {
        self.inner
            .about
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
