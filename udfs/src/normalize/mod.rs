//! The normalise stage.

mod log;
mod max_abs_scale;
mod min_max_scale;
#[allow(clippy::module_inception)] // a function's file has its name
mod normalize;
mod power_transform;
mod quantile_transform;
mod robust_scale;
mod standard_scale;
mod zca_whiten;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::fitted::<standard_scale::StandardScale>(),
        Function::fitted::<min_max_scale::MinMaxScale>(),
        Function::fitted::<robust_scale::RobustScale>(),
        Function::fitted::<max_abs_scale::MaxAbsScale>(),
        Function::fitted::<quantile_transform::QuantileTransform>(),
        Function::fitted::<power_transform::PowerTransform>(),
        Function::fitted::<zca_whiten::ZcaWhiten>(),
        Function::row_wise(normalize::Normalize),
        Function::row_wise(log::LogTransform),
        Function::row_wise(log::SignedLog),
    ]
}
