//! The layers networks are made of, each with its backward pass written out over buffers that stay.
//!
//! The networks of tables are small: on a CPU the products of matrices are a third of what automatic
//! differentiation spends on a step, the rest is memory that comes and goes, gradients that are not
//! contiguous, and reductions. So every layer has a `forward` and a `backward`, each checked against
//! finite differences, and writes into matrices that the next step uses again. All are the same to the
//! bit for any number of cores: work is divided by shapes, and sums of parts are added in their order.

mod activation;
mod batch_norm;
mod conv;
mod discriminator;
mod heads;
mod linear;
pub mod math;
mod matrix;
mod mlp;
mod parameters;
mod patches;
mod pool;
#[cfg(test)]
pub(crate) mod tests;

pub use activation::Activation;
pub use batch_norm::{BatchNorm, Moments, Place, Statistics};
pub use conv::Conv;
pub use discriminator::{Discriminator, Judgement};
pub use heads::{Head, Heads};
pub use linear::{Linear, NO_CONDITION, Shape};
pub use matrix::Matrix;
pub use mlp::{Mlp, MlpShape, Tape};
pub use parameters::{Axis, Init, Mapping, Network, Parameter};
pub use patches::{Frame, Window};
pub use pool::MaxPool;
