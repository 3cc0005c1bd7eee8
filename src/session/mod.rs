//! The session: settings, the registry of functions, the catalog.

mod env;
mod progress;
mod settings;

pub use env::Env;
pub use progress::{Progress, Snapshot, Unit};
pub use settings::{Settings, config, runtime};
