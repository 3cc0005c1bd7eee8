//! The series stage: functions that look at a row's neighbours in an order, `f(x) OVER (ORDER BY t)`.
//!
//! They walk over the rows of a group one by one and hold what they need of those before: a window runs them
//! group after group, in parallel over groups, on rows that were sorted within the memory there is.

mod fill;
mod interpolate;
mod lags;
mod rolling;
mod window;

use crate::registry::Function;
use crate::row_wise::row_wise;

pub use window::{Ordered, OrderedUdf, OrderedWindow, PREFIX};

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::ordered::<fill::Forward>(),
        Function::ordered::<fill::Backward>(),
        Function::ordered::<interpolate::Interpolate>(),
        Function::ordered::<rolling::Rolling>(),
        Function::Expanding(&lags::SPEC),
    ]
}

/// The function that makes values of what [`interpolate`](interpolate::Interpolate) found in both directions.
pub fn between() -> datafusion_expr::ScalarUDF {
    row_wise(interpolate::Between)
}
