//! Pictures as networks learn them: bytes of one size, and which class each is of.

use rayon::prelude::*;

use crate::synthesize::layers::Frame;
use crate::synthesize::rng;

/// The pictures that are learnt.
#[derive(Debug, Clone)]
pub struct Pictures {
    pub frame: Frame,
    /// One picture after the other, channels last.
    pub pixels: Vec<u8>,
    /// The class of each; none at all where there are no classes.
    pub classes: Vec<u32>,
}

impl Pictures {
    pub fn count(&self) -> usize {
        self.pixels.len() / self.frame.cells().max(1)
    }

    /// Writes some pictures one after the other, in -1 to 1.
    pub fn write(&self, rows: &[u32], out: &mut [f32]) {
        let cells = self.frame.cells();
        out.par_chunks_exact_mut(cells)
            .zip(rows)
            .for_each(|(out, &row)| {
                let begin = row as usize * cells;
                for (out, &byte) in out.iter_mut().zip(&self.pixels[begin..begin + cells]) {
                    *out = of_byte(byte);
                }
            });
    }

    /// The classes of some pictures.
    pub fn write_classes(&self, rows: &[u32], out: &mut Vec<u32>) {
        out.clear();
        if !self.classes.is_empty() {
            out.extend(rows.iter().map(|&row| self.classes[row as usize]));
        }
    }
}

pub fn of_byte(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

pub fn to_byte(pixel: f32) -> u8 {
    ((pixel + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

/// How often classes come, and a class that a row's key draws.
#[derive(Debug, Clone)]
pub struct Shares {
    /// Rows of the classes up to each.
    ends: Vec<u64>,
}

impl Shares {
    pub fn new(counts: impl IntoIterator<Item = u64>) -> Self {
        let mut end = 0u64;
        let ends = counts.into_iter().map(|count| {
            end += count;
            end
        });
        Self {
            ends: ends.collect(),
        }
    }

    /// Nothing where there are no classes, or none that comes.
    pub fn draw(&self, key: u64) -> Option<u32> {
        let total = self.ends.last().copied().filter(|&total| total > 0)?;
        let word = rng::hash(key, b"class");
        // Multiply-shift: the bias, the rows in 2^64, is far below anything that could be seen.
        let at = ((u128::from(word) * u128::from(total)) >> 64) as u64;
        Some(self.ends.partition_point(|&end| end <= at) as u32)
    }
}

/// Standard normals that a row's key gives.
pub fn noise(key: u64, out: &mut [f32]) {
    let mut stream = rng::stream(key, "noise", 0);
    out.fill_with(|| rng::normal(&mut stream));
}
