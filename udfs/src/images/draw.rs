//! Draws from a row's key.

use rand::RngCore;
use rand_xoshiro::SplitMix64;

use crate::random::key;
use crate::spec::Param;

/// The key of a function that draws.
pub const KEY: Param = Param::optional_data(
    "key",
    "fresh_key()",
    "draws the same for the same key: random_key(seed, id), or random_key(seed, epoch, id) for other images in \
     every epoch; left out, every run draws afresh. A NULL key gives NULL",
);

/// Random numbers, one after another.
pub struct Draw(SplitMix64);

impl Draw {
    /// Begins at the hash of a key.
    pub fn new(hash: u64) -> Self {
        Self(key::rng(hash))
    }

    /// All 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `lo` to `hi`.
    pub fn uniform(&mut self, lo: f64, hi: f64) -> f64 {
        lo + self.unit() * (hi - lo)
    }

    /// From `-range` to `range`.
    pub fn around(&mut self, range: f64) -> f64 {
        self.uniform(-range, range)
    }

    /// From `lo` to `hi`, both above 0, with all ratios equally likely.
    pub fn ratio(&mut self, lo: f64, hi: f64) -> f64 {
        self.uniform(lo.ln(), hi.ln()).exp()
    }

    /// A whole number from 0 to `n`, which may be reached.
    pub fn up_to(&mut self, n: usize) -> usize {
        let n = i64::try_from(n).unwrap_or(i64::MAX - 1);
        usize::try_from(key::below(self.bits(), n + 1)).unwrap_or(0)
    }

    /// True in a part of all cases.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// The generator, for distributions.
    pub fn generator(&mut self) -> &mut SplitMix64 {
        &mut self.0
    }
}
