//! The session: settings, the registry of functions, the catalog.

mod env;
mod progress;

pub use env::Env;
pub use progress::{Progress, Snapshot, Unit};
