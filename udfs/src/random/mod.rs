//! The random stage.

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![]
}
