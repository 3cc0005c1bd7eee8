//! The encode stage.

mod bucketize;
mod cyclic;
mod vectorize;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::row_wise(bucketize::Bucketize),
        Function::row_wise(cyclic::Cyclic),
        Function::row_wise(vectorize::Vectorize),
    ]
}
