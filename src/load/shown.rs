//! The progress of a scan, as long as nothing else shows its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::source::Source;
use crate::session::{Progress, Unit};

/// Held by each running partition of a scan; the last one ends the task.
pub struct Shown {
    progress: Option<Progress>,
    running: Arc<AtomicUsize>,
}

impl Shown {
    pub fn begin(progress: &Progress, sources: &[&Source], running: &Arc<AtomicUsize>) -> Self {
        let first = running.fetch_add(1, Ordering::AcqRel) == 0;
        let name = sources.first().map_or("", |source| &*source.name);
        let short = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let task = match sources.len() {
            1 => format!("reading {short}"),
            n => format!("reading {short} and {} more", n.saturating_sub(1)),
        };
        if first && progress.snapshot().task.is_empty() {
            let total = sources.iter().map(|source| source.size).sum();
            progress.start(task.clone(), Unit::Bytes, Some(total));
        }
        let mine = progress.snapshot().task == task;
        Self {
            progress: mine.then(|| progress.clone()),
            running: Arc::clone(running),
        }
    }

    /// Where to count bytes, if they are shown.
    pub fn progress(&self) -> Option<Progress> {
        self.progress.clone()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(progress) = &self.progress
        {
            progress.finish();
        }
    }
}
