//! The session: settings, the registry of functions, the catalog.

mod build;
mod env;
mod progress;
mod settings;

pub use build::context;
pub use env::Env;
pub use progress::{Progress, Snapshot, Unit};
pub use settings::Settings;
