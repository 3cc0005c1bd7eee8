//! The split stage.

mod fold;
mod group_split;
#[allow(clippy::module_inception)] // a function's file has its name
mod split;
mod stratified;
mod time_split;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::row_wise(split::Split),
        Function::row_wise(group_split::GroupSplit),
        Function::row_wise(fold::Fold),
        Function::fitted::<stratified::StratifiedFold>(),
        Function::fitted::<stratified::StratifiedSplit>(),
        Function::fitted::<time_split::TimeSplit>(),
    ]
}
