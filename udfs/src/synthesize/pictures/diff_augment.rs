//! Changes of pictures that a discriminator sees them by, real and drawn ones alike (DiffAugment, Zhao et
//! al., 2020): from few pictures it cannot learn them by heart, and the generator does not learn the
//! changes, since its gradient goes back through them.
//!
//! A shift by up to a share of the sides, of which the border's pixels fill what comes in; a square, cut out; and
//! of colour pictures the brightness. Each is linear, so its backward pass is its transpose.

use rayon::prelude::*;

use crate::synthesize::layers::Frame;
use crate::synthesize::rng;

/// How much pictures are changed; 0 leaves out a change.
#[derive(Debug, Clone, Copy)]
pub struct DiffAugment {
    /// The largest shift, as a share of the sides.
    pub shift: f32,
    /// The sides of the square that is cut out, as a share of the picture's.
    pub cutout: f32,
    /// The largest change of brightness, as a share of the whole range.
    pub brightness: f32,
}

/// What happens to one picture.
#[derive(Debug, Clone, Copy)]
struct Change {
    down: isize,
    right: isize,
    /// The first row and column of the square, and those behind it.
    rows: [usize; 2],
    columns: [usize; 2],
    brighter: f32,
}

impl DiffAugment {
    /// The change of a picture, which its number and the key of the batch give.
    fn change(&self, frame: Frame, key: u64, picture: usize) -> Change {
        let mut stream = rng::stream(key, "augment", picture as u64);
        let mut within = |low: f32, high: f32| low + (high - low) * rng::uniform(&mut stream);
        let mut shift = |side: usize| {
            let most = (self.shift * side as f32).round();
            within(-most - 0.5, most + 0.5).round().clamp(-most, most) as isize
        };
        let (down, right) = (shift(frame.height), shift(frame.width));
        let mut square = |side: usize| {
            let size = (self.cutout * side as f32).round() as usize;
            // Its middle is anywhere, so that the borders are cut out as often as the rest.
            let middle = within(0.0, side as f32) as usize;
            let begin = middle.saturating_sub(size / 2).min(side);
            [begin, (middle + size.div_ceil(2)).min(side)]
        };
        let (rows, columns) = (square(frame.height), square(frame.width));
        let colour = frame.channels > 1 && self.brightness > 0.0;
        let brighter = match colour {
            // Pixels are in -1 to 1.
            true => 2.0 * within(-self.brightness, self.brightness),
            false => 0.0,
        };
        Change {
            down,
            right,
            rows,
            columns,
            brighter,
        }
    }

    /// Writes the changed pictures.
    pub fn forward(&self, frame: Frame, key: u64, pictures: &[f32], out: &mut [f32]) {
        let cells = frame.cells();
        out.par_chunks_exact_mut(cells)
            .zip(pictures.par_chunks_exact(cells))
            .enumerate()
            .for_each(|(i, (out, picture))| {
                let change = self.change(frame, key, i);
                change.pixels(frame, |to, from| {
                    let to = &mut out[to..to + frame.channels];
                    match from {
                        Some(from) => {
                            for (to, from) in to.iter_mut().zip(&picture[from..]) {
                                *to = from + change.brighter;
                            }
                        }
                        None => to.fill(0.0),
                    }
                });
            });
    }

    /// Writes the gradient of the pictures, of that of the changed ones.
    pub fn backward(&self, frame: Frame, key: u64, delta: &[f32], out: &mut [f32]) {
        let cells = frame.cells();
        out.par_chunks_exact_mut(cells)
            .zip(delta.par_chunks_exact(cells))
            .enumerate()
            .for_each(|(i, (out, delta))| {
                out.fill(0.0);
                let change = self.change(frame, key, i);
                change.pixels(frame, |to, from| {
                    if let Some(from) = from {
                        let delta = &delta[to..to + frame.channels];
                        for (out, delta) in out[from..].iter_mut().zip(delta) {
                            *out += delta;
                        }
                    }
                });
            });
    }
}

impl Change {
    /// The first cell of every changed pixel, and of the pixel that it comes from, if it is not cut out.
    fn pixels(&self, frame: Frame, mut f: impl FnMut(usize, Option<usize>)) {
        let source = |at: usize, by: isize, side: usize| {
            let at = (at as isize).saturating_sub(by).max(0) as usize;
            at.min(side - 1)
        };
        let within = |at: usize, [begin, end]: [usize; 2]| (begin..end).contains(&at);
        for y in 0..frame.height {
            let row = source(y, self.down, frame.height) * frame.width;
            let cut = within(y, self.rows);
            for x in 0..frame.width {
                let from = (row + source(x, self.right, frame.width)) * frame.channels;
                let left = !(cut && within(x, self.columns));
                f((y * frame.width + x) * frame.channels, left.then_some(from));
            }
        }
    }
}
