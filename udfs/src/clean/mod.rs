//! The clean stage.

mod impute;
mod is_outlier;
mod winsorize;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::fitted::<impute::Impute>(),
        Function::fitted::<is_outlier::IsOutlier>(),
        Function::fitted::<winsorize::Winsorize>(),
    ]
}
