//! Randomness that depends on what it is for, never on when or where it is drawn.
//!
//! Every stream is keyed by a seed, a name and an index (a row, a step), so a row's noise is the same
//! for any number of partitions and any batch size, and an initial weight the same on every run.

use candle_core::{Device, Tensor};
use rand::distr::{Distribution, StandardUniform};
use rand::{RngCore, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

/// The generator of one stream.
pub type Stream = Xoshiro256PlusPlus;

/// A bijection of 64 bits in which every input bit reaches every output bit.
pub fn mix(x: u64) -> u64 {
    SplitMix64::seed_from_u64(x).next_u64()
}

/// Combines two words into one; the order matters.
pub fn key(a: u64, b: u64) -> u64 {
    mix(mix(a) ^ b.rotate_left(32))
}

/// A hash of bytes that is the same on every machine and in every version.
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let mut state = key(seed, bytes.len() as u64);
    for word in &mut words {
        let mut value = [0; 8];
        value.copy_from_slice(word);
        state = mix(state ^ u64::from_le_bytes(value));
    }
    let rest = words.remainder();
    if rest.is_empty() {
        return state;
    }
    let mut value = [0; 8];
    value[..rest.len()].copy_from_slice(rest);
    mix(state ^ u64::from_le_bytes(value))
}

/// The stream of one row (or step) of one use.
pub fn stream(seed: u64, name: &str, index: u64) -> Stream {
    Stream::seed_from_u64(key(hash(seed, name.as_bytes()), index))
}

/// Uniform in [0, 1).
pub fn uniform(stream: &mut Stream) -> f32 {
    StandardUniform.sample(stream)
}

/// Uniforms in (0, 1), both ends excluded, of 23 bits each.
pub fn uniforms(stream: &mut Stream, out: &mut [f32]) {
    const STEP: f32 = 1.0 / 8_388_608.0;
    let uniform = |bits: u32| ((bits >> 9) as f32 + 0.5) * STEP;
    for pair in out.chunks_mut(2) {
        let word = stream.next_u64();
        let halves = [(word >> 32) as u32, word as u32];
        for (out, half) in pair.iter_mut().zip(halves) {
            *out = uniform(half);
        }
    }
}

/// A standard normal.
pub fn normal(stream: &mut Stream) -> f32 {
    StandardNormal.sample(stream)
}

/// A standard Gumbel: the argmax of logits plus Gumbels is a draw from their softmax.
pub fn gumbel(stream: &mut Stream) -> f32 {
    // Away from 0, whose logarithm is infinite; f32's uniform has 24 bits.
    let u = uniform(stream).max(1.0e-7);
    -(-u.ln()).max(1.0e-7).ln()
}

/// A tensor of independent draws from one stream.
pub fn tensor(
    mut stream: Stream,
    shape: &[usize],
    draw: impl Fn(&mut Stream) -> f32,
) -> candle_core::Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| draw(&mut stream))
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// `0..n` in an order that depends on the seed, the name and the index alone.
pub fn permutation(n: usize, seed: u64, name: &str, index: u64) -> Vec<u32> {
    let mut stream = stream(seed, name, index);
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        // Multiply-shift: the bias, n in 2^64, is far below anything that could be seen.
        let j = ((u128::from(stream.next_u64()) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_name_and_index_and_repeat() {
        let first = |seed, name, index| stream(seed, name, index).next_u64();
        assert_eq!(first(1, "a", 2), first(1, "a", 2));
        assert_ne!(first(1, "a", 2), first(2, "a", 2));
        assert_ne!(first(1, "a", 2), first(1, "b", 2));
        assert_ne!(first(1, "a", 2), first(1, "a", 3));
    }

    #[test]
    fn the_hash_sees_lengths_and_positions() {
        assert_ne!(hash(0, b""), hash(0, b"\0"));
        assert_ne!(hash(0, b"12345678\0"), hash(0, b"12345678"));
        assert_ne!(hash(0, b"12345678abcdefgh"), hash(0, b"abcdefgh12345678"));
    }

    #[test]
    fn gumbels_have_their_mean() {
        let mut stream = stream(7, "gumbel", 0);
        let n = 100_000;
        let mean = (0..n).map(|_| f64::from(gumbel(&mut stream))).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5772).abs() < 0.02, "{mean}");
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = permutation(1000, 3, "p", 0);
        assert_ne!(order, permutation(1000, 3, "p", 1));
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, &x)| i as u32 == x));
    }
}
