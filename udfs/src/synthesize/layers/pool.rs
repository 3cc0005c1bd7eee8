//! Max pooling: of every window of pixels the largest, channel by channel.

use rayon::prelude::*;

use super::matrix::Matrix;
use super::patches::Frame;

/// Windows that lie side by side; pixels that fill none are left out.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool {
    input: Frame,
    side: usize,
}

impl MaxPool {
    pub fn new(input: Frame, side: usize) -> Self {
        let side = side.max(1);
        Self { input, side }
    }

    pub fn output(&self) -> Frame {
        Frame {
            height: self.input.height / self.side,
            width: self.input.width / self.side,
            channels: self.input.channels,
        }
    }

    /// The largest numbers, and in `places` which cell of its picture each is; of equal ones the first.
    pub fn forward(&self, x: &[f32], out: &mut Matrix, places: &mut Vec<u32>) {
        let (input, output) = (self.input, self.output());
        let pictures = x.len() / input.cells().max(1);
        out.reshape(pictures * output.pixels(), output.channels);
        places.resize(out.cells().len(), 0);
        if output.cells() == 0 {
            return;
        }
        x.par_chunks_exact(input.cells())
            .zip(out.cells_mut().par_chunks_exact_mut(output.cells()))
            .zip(places.par_chunks_exact_mut(output.cells()))
            .for_each(|((x, out), places)| {
                let pixels = out
                    .chunks_exact_mut(output.channels)
                    .zip(places.chunks_exact_mut(output.channels));
                for (pixel, (out, places)) in pixels.enumerate() {
                    let (y, left) = (pixel / output.width, pixel % output.width);
                    out.fill(f32::NEG_INFINITY);
                    for row in y * self.side..(y + 1) * self.side {
                        for column in left * self.side..(left + 1) * self.side {
                            let at = (row * input.width + column) * input.channels;
                            let seen = x[at..at + input.channels].iter();
                            let largest = out.iter_mut().zip(places.iter_mut());
                            for (i, (seen, (out, place))) in seen.zip(largest).enumerate() {
                                // A number that is none passes, to be noticed by the loss.
                                if *seen > *out || seen.is_nan() {
                                    *out = *seen;
                                    *place = (at + i) as u32;
                                }
                            }
                        }
                    }
                }
            });
    }

    /// The gradient of what went in: each goes to the place its number came from.
    pub fn backward(&self, places: &[u32], delta: &[f32], out: &mut Matrix) {
        let (input, output) = (self.input, self.output());
        let pictures = places.len() / output.cells().max(1);
        out.reshape(pictures * input.pixels(), input.channels);
        out.cells_mut().fill(0.0);
        if output.cells() == 0 {
            return;
        }
        out.cells_mut()
            .par_chunks_exact_mut(input.cells())
            .zip(places.par_chunks_exact(output.cells()))
            .zip(delta.par_chunks_exact(output.cells()))
            .for_each(|((out, places), delta)| {
                for (place, delta) in places.iter().zip(delta) {
                    out[*place as usize] += delta;
                }
            });
    }
}
