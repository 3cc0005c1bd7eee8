//! The session: settings, the registry of functions, the catalog.

mod progress;

pub use progress::{Progress, Snapshot, Unit};
