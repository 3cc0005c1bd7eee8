//! The session: settings, the registry of functions, the catalog.

mod build;
mod env;
mod memory;
mod progress;
mod settings;

pub use build::context;
pub use env::Env;
pub use memory::parse_size;
pub use progress::{Progress, Snapshot, Unit};
pub use settings::{Settings, follow};
