//! The normalise stage.

mod log;
mod min_max_scale;
mod robust_scale;
mod standard_scale;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::fitted::<standard_scale::StandardScale>(),
        Function::fitted::<min_max_scale::MinMaxScale>(),
        Function::fitted::<robust_scale::RobustScale>(),
        Function::row_wise(log::LogTransform),
        Function::row_wise(log::SignedLog),
    ]
}
