//! What looks at pictures: (convolution of window 4 and stride 2, LeakyReLU 0.2) onto twice the channels,
//! once more than a generator doubles.

use super::generator::{HALVING, channels, halvings};
use crate::synthesize::layers::{Activation, Conv, Frame, Matrix, Parameter};

const LEAKY: Activation = Activation::Leaky(0.2);

#[derive(Debug, Clone)]
pub struct Trunk {
    layers: Vec<Conv>,
    /// Numbers that it sees in a picture.
    pub features: usize,
}

/// What a forward pass leaves; buffers to be used again.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// The pictures, and then every layer's output.
    h: Vec<Matrix>,
    /// The gradients of the layers' sums.
    deltas: Vec<Matrix>,
    chain: Matrix,
}

impl Pass {
    /// Room for so many pictures, to be written one after the other.
    pub fn input(&mut self, pictures: usize, frame: Frame) -> &mut [f32] {
        if self.h.is_empty() {
            self.h.push(Matrix::default());
        }
        self.h[0].reshape(pictures, frame.cells());
        self.h[0].cells_mut()
    }

    /// The features of all pictures.
    pub fn features(&self) -> &Matrix {
        &self.h[self.h.len() - 1]
    }
}

impl Trunk {
    /// `width` channels after the first layer.
    pub fn new(name: &str, frame: Frame, width: usize, seed: u64) -> Self {
        let mut input = frame;
        let layers: Vec<Conv> = (0..=halvings(frame))
            .map(|i| {
                let name = format!("{name}.{i}");
                let layer = Conv::new(&name, HALVING, input, channels(width, i), seed);
                input = layer.output();
                layer
            })
            .collect();
        Self {
            layers,
            features: input.cells(),
        }
    }

    /// How many weights it has, but for biases.
    pub fn count(frame: Frame, width: usize) -> usize {
        let outputs = (0..=halvings(frame)).map(|i| channels(width, i));
        let mut inputs = frame.channels;
        outputs
            .map(|outputs| 16 * std::mem::replace(&mut inputs, outputs) * outputs)
            .sum()
    }

    /// The features of the pass's pictures, one picture a row.
    pub fn forward(&self, pass: &mut Pass) {
        let h = &mut pass.h;
        let pictures = h[0].rows();
        h.resize_with(self.layers.len() + 1, Matrix::default);
        for (i, layer) in self.layers.iter().enumerate() {
            let (seen, given) = h.split_at_mut(i + 1);
            layer.forward(seen[i].cells(), &mut given[0]);
            LEAKY.forward(given[0].cells_mut());
        }
        h[self.layers.len()].reshape(pictures, self.features);
    }

    /// The gradients of all layers' sums. `write` writes the gradient of the features.
    pub fn backward(&self, pass: &mut Pass, write: impl FnOnce(&mut Matrix)) {
        let Pass { h, deltas, .. } = pass;
        let last = self.layers.len();
        deltas.resize_with(last, Matrix::default);
        write(&mut deltas[last - 1]);
        for i in (0..last).rev() {
            if i + 1 < last {
                let (below, above) = deltas.split_at_mut(i + 1);
                self.layers[i + 1].inputs_gradient(above[0].cells(), &mut below[i]);
            }
            LEAKY.backward(h[i + 1].cells(), deltas[i].cells_mut());
        }
    }

    /// The gradient of the pictures from `from` on, after [`Trunk::backward`].
    pub fn pictures_gradient(&self, pass: &Pass, from: usize, out: &mut Matrix) {
        let first = &self.layers[0];
        let delta = &pass.deltas[0].cells()[from * first.output().cells()..];
        first.inputs_gradient(delta, out);
    }

    /// Puts changes in the place of the pictures from `from` on, and in that of all that follows from them
    /// the changes there.
    pub fn tangent(&self, pass: &mut Pass, from: usize, changes: &[f32]) {
        let Pass { h, chain, .. } = pass;
        let begin = h[0].cells().len() - changes.len();
        h[0].cells_mut()[begin..].copy_from_slice(changes);
        for (i, layer) in self.layers.iter().enumerate() {
            layer.tangent(&h[i].cells()[from * layer.input().cells()..], chain);
            let out = &mut h[i + 1].cells_mut()[from * layer.output().cells()..];
            LEAKY.backward(out, chain.cells_mut());
            out.copy_from_slice(chain.cells());
        }
    }

    /// The gradients of the parameters; biases see the first `pictures` pictures alone.
    pub fn gradients(&mut self, pass: &Pass, pictures: usize) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.backward(pass.h[i].cells(), pass.deltas[i].cells(), pictures);
        }
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.layers.iter().flat_map(Conv::parameters)
    }

    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.layers.iter_mut().flat_map(Conv::parameters_mut)
    }
}
