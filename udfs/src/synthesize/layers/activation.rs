//! Functions of single numbers between layers, in place; their slopes follow from what they gave.

use rayon::prelude::*;

use super::math;

/// Numbers that are worth another core.
const PIECE: usize = 16_384;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Positive numbers as they are, others times the slope; 0 for the plain rectifier.
    Leaky(f32),
    Tanh,
    Sigmoid,
}

impl Activation {
    pub fn forward(self, x: &mut [f32]) {
        x.par_chunks_mut(PIECE).for_each(|x| match self {
            Activation::Leaky(slope) => {
                for x in x {
                    *x *= if *x > 0.0 { 1.0 } else { slope };
                }
            }
            Activation::Tanh => x.iter_mut().for_each(|x| *x = math::tanh(*x)),
            Activation::Sigmoid => x.iter_mut().for_each(|x| *x = math::sigmoid(*x)),
        });
    }

    /// Multiplies gradients by the slopes where the function gave `out`.
    pub fn backward(self, out: &[f32], delta: &mut [f32]) {
        delta
            .par_chunks_mut(PIECE)
            .zip(out.par_chunks(PIECE))
            .for_each(|(delta, out)| {
                let pairs = delta.iter_mut().zip(out);
                match self {
                    Activation::Leaky(slope) => pairs
                        .for_each(|(delta, out)| *delta *= if *out > 0.0 { 1.0 } else { slope }),
                    Activation::Tanh => pairs.for_each(|(delta, out)| *delta *= 1.0 - out * out),
                    Activation::Sigmoid => {
                        pairs.for_each(|(delta, out)| *delta *= out * (1.0 - out))
                    }
                }
            });
    }
}
