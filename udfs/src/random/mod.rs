//! The random stage: keys, and the random values that are made of them.

pub mod key;

mod draw;
mod dropout_value;
mod fresh_key;
mod jitter;
mod jitter_scaled;
mod random_choice;
mod random_key;
mod random_normal;
mod random_uniform;
mod swap_noise;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::row_wise(dropout_value::DropoutValue),
        Function::row_wise(fresh_key::FreshKey),
        Function::row_wise(jitter::Jitter),
        Function::row_wise(random_choice::RandomChoice),
        Function::row_wise(random_key::RandomKey),
        Function::row_wise(random_normal::RandomNormal),
        Function::row_wise(random_uniform::RandomUniform),
        Function::fitted::<jitter_scaled::JitterScaled>(),
        Function::fitted::<swap_noise::SwapNoise>(),
    ]
}
