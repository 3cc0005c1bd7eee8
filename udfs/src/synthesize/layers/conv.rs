//! Convolutions over pictures: those that make them smaller, and transposed ones, which make them larger.
//!
//! A convolution's pixel is the product of a window with the weight; a transposed one's pixels are the sum
//! of the windows that input pixels times the weight give, so each is the other's backward pass. A window
//! of 4 pixels that moves by 2 halves or doubles the sides: it is what nearest upsampling and a window
//! of 3 would give, with less than half of the products and with every weight free.

use super::matrix::{Matrix, add_to, sum_rows};
use super::patches::{Frame, Patches, Window};
use super::{Axis, Init, Parameter};

#[derive(Debug, Clone)]
pub struct Conv {
    patches: Patches,
    transposed: bool,
    /// Cells of a window of the wide pictures, by channels of the narrow ones.
    weight: Parameter,
    bias: Parameter,
}

impl Conv {
    /// From pictures to as many pixels as the window finds places.
    pub fn new(name: &str, window: Window, input: Frame, channels: usize, seed: u64) -> Self {
        let patches = Patches::new(window, input, channels);
        Self::of(name, patches, false, patches.depth(), seed)
    }

    /// To pictures, from as many pixels as the window finds places in them.
    pub fn transposed(
        name: &str,
        window: Window,
        channels: usize,
        output: Frame,
        seed: u64,
    ) -> Self {
        let patches = Patches::new(window, output, channels);
        // Each output pixel is in so many windows.
        let windows = (window.side / window.stride.max(1)).max(1).pow(2);
        Self::of(name, patches, true, windows * channels, seed)
    }

    /// He et al.'s start, under which what comes out varies as what went in.
    fn of(name: &str, patches: Patches, transposed: bool, inputs: usize, seed: u64) -> Self {
        let bound = (6.0 / inputs.max(1) as f32).sqrt();
        let parameter = |part: &str, shape, init| {
            let name = format!("{name}.{part}");
            Parameter::fresh(name, shape, [Axis::Units; 2], init, seed)
        };
        let narrow = patches.narrow().channels;
        let outputs = match transposed {
            true => patches.wide().channels,
            false => narrow,
        };
        Self {
            weight: parameter("weight", [patches.depth(), narrow], Init::Uniform(bound)),
            bias: parameter("bias", [1, outputs], Init::Constant(0.0)),
            patches,
            transposed,
        }
    }

    pub fn input(&self) -> Frame {
        match self.transposed {
            true => self.patches.narrow(),
            false => self.patches.wide(),
        }
    }

    pub fn output(&self) -> Frame {
        match self.transposed {
            true => self.patches.wide(),
            false => self.patches.narrow(),
        }
    }

    /// A batch of pictures from one of the input's.
    pub fn forward(&self, x: &[f32], out: &mut Matrix) {
        self.apply(x, Some(&self.bias.values), out);
    }

    /// The same without the bias: the change of what comes out with a change of what goes in.
    pub fn tangent(&self, x: &[f32], out: &mut Matrix) {
        self.apply(x, None, out);
    }

    fn apply(&self, x: &[f32], bias: Option<&[f32]>, out: &mut Matrix) {
        let pictures = x.len() / self.input().cells().max(1);
        let frame = self.output();
        out.reshape(pictures * frame.pixels(), frame.channels);
        let (weight, out) = (self.weight.view(), out.cells_mut());
        match self.transposed {
            true => self.patches.scatter(x, weight, bias, out),
            false => self.patches.gather(x, weight, bias, out),
        }
    }

    /// The gradients of the parameters, of the gradient `delta` of what came out. The bias sees the first
    /// `pictures` pictures alone.
    pub fn backward(&mut self, x: &[f32], delta: &[f32], pictures: usize) {
        let frame = self.output();
        if self.weight.learns {
            let gradient = self.weight.gradient_mut();
            match self.transposed {
                true => self.patches.outer(delta, x, gradient),
                false => self.patches.outer(x, delta, gradient),
            }
        }
        if self.bias.learns {
            let width = frame.channels;
            let sums = sum_rows(pictures * frame.pixels(), width, |row, sums| {
                add_to(sums, &delta[row * width..(row + 1) * width]);
            });
            self.bias.gradient_mut().copy_from_slice(&sums);
        }
    }

    /// The gradient of what went in.
    pub fn inputs_gradient(&self, delta: &[f32], out: &mut Matrix) {
        let frame = self.input();
        let pictures = delta.len() / self.output().cells().max(1);
        out.reshape(pictures * frame.pixels(), frame.channels);
        let (weight, out) = (self.weight.view(), out.cells_mut());
        match self.transposed {
            true => self.patches.gather(delta, weight, None, out),
            false => self.patches.scatter(delta, weight, None, out),
        }
    }

    /// Keeps weight and bias as they are.
    pub fn freeze(&mut self) {
        self.weight.learns = false;
        self.bias.learns = false;
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        [&self.weight, &self.bias].into_iter()
    }

    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        [&mut self.weight, &mut self.bias].into_iter()
    }
}

#[cfg(test)]
mod tests;
