//! Seedbed prepares training data in SQL.
//!
//! [`Seedbed`] is the whole public interface: open a session, run statements.

pub mod export;
pub mod load;
mod packed;
pub mod plan;
pub mod report;
mod seedbed;
pub mod session;
pub mod sql;
pub mod store;

pub use seedbed::{Answer, Options, Seedbed, Statement};
