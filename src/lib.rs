//! Seedbed prepares training data in SQL.
//!
//! [`Seedbed`] is the whole public interface: open a session, run statements.

pub mod session;
mod seedbed;

pub use seedbed::{Answer, Options, Seedbed, Statement};
