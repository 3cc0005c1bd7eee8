//! The series stage: functions that look at a row's neighbours in an order, `f(x) OVER (ORDER BY t)`.
//!
//! They walk over the rows of one group after another and hold what they need of those before. The engine
//! sorts the rows, within the memory there is, and has several walks over different groups at once.

mod fill;
mod interpolate;
mod lags;
mod rolling;
mod window;

use crate::registry::Function;
use crate::row_wise::row_wise;

pub use window::{Ordered, OrderedUdf, OrderedWindow, PREFIX, Walk};

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
