//! Seedbed prepares training data in SQL.
//!
//! [`Seedbed`] is the whole public interface: open a session, run statements.

mod seedbed;
pub mod session;

pub use seedbed::{Answer, Options, Seedbed, Statement};
