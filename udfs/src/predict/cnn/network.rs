//! LeNet (LeCun et al., 1998) with rectifiers and max pooling: convolutions that halve a picture's sides, then dense
//! layers, the last of which is the head.

use crate::synthesize::layers::{
    Activation, Axis, Conv, Frame, Matrix, MaxPool, Mlp, MlpShape, Network, Parameter, Statistics,
    Tape, Window,
};

/// The plain rectifier.
const RECTIFIER: Activation = Activation::Leaky(0.0);
/// Pixels of a pooling window's side.
const POOL: usize = 2;

/// What a network looks like.
#[derive(Debug, Clone)]
pub struct Shape {
    pub input: Frame,
    /// The channels that each convolution gives.
    pub channels: Vec<usize>,
    /// A convolution's window is a square of so many pixels.
    pub window: usize,
    /// The widths of the dense layers before the head.
    pub hidden: Vec<usize>,
    pub classes: usize,
}

impl Shape {
    /// What the last convolution leaves of a picture, for the dense layers; no pixels of one that is too small.
    pub fn last(&self) -> Frame {
        let window = self.window();
        self.channels
            .iter()
            .fold(self.input, |frame, channels| Frame {
                height: window.places(frame.height) / POOL,
                width: window.places(frame.width) / POOL,
                channels: *channels,
            })
    }

    /// Of an odd side it finds as many places as there are pixels.
    fn window(&self) -> Window {
        Window {
            side: self.window,
            stride: 1,
            padding: self.window / 2,
        }
    }

    /// How many weights there are, but for biases.
    pub fn count(&self) -> usize {
        let mut before = self.input.channels;
        let mut count = 0;
        for channels in &self.channels {
            count += self.window * self.window * before * channels;
            before = *channels;
        }
        count + self.dense().count()
    }

    fn dense(&self) -> MlpShape<'_> {
        MlpShape {
            name: "dense",
            inputs: (self.last().cells(), Axis::Units),
            hidden: &self.hidden,
            outputs: (self.classes, Axis::Units),
            conditions: 0,
            norm: false,
            residual: false,
        }
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct LeNet {
    stages: Vec<Stage>,
    dense: Mlp,
    frozen: bool,
}

#[derive(Debug, Clone)]
struct Stage {
    conv: Conv,
    pool: MaxPool,
}

/// What a forward pass leaves for the backward pass; buffers to be used again.
#[derive(Debug, Default)]
pub struct Passes {
    /// The pictures.
    pub input: Vec<f32>,
    /// What each number that the dense layers see is multiplied by: 0 of those that are dropped. Empty drops none.
    pub mask: Vec<f32>,
    stages: Vec<Passed>,
    dense: Tape,
    delta: Matrix,
    before: Matrix,
}

#[derive(Debug, Default)]
struct Passed {
    /// What the convolution gave, rectified.
    sums: Matrix,
    pooled: Matrix,
    places: Vec<u32>,
}

impl LeNet {
    pub fn new(shape: &Shape, seed: u64) -> Self {
        let window = shape.window();
        let mut frame = shape.input;
        let mut stages = Vec::with_capacity(shape.channels.len());
        for (i, channels) in shape.channels.iter().enumerate() {
            let conv = Conv::new(&format!("conv.{i}"), window, frame, *channels, seed);
            let pool = MaxPool::new(conv.output(), POOL);
            frame = pool.output();
            stages.push(Stage { conv, pool });
        }
        Self {
            stages,
            dense: Mlp::new(&shape.dense(), seed),
            frozen: false,
        }
    }

    /// Keeps everything but the head as it is.
    pub fn freeze_features(&mut self) {
        self.stages.iter_mut().for_each(|stage| stage.conv.freeze());
        self.dense.freeze_hidden();
        self.frozen = true;
    }

    /// How many numbers the dense layers see.
    pub fn dense_inputs(&self) -> usize {
        self.dense.inputs()
    }

    /// How many numbers the head sees.
    pub fn features(&self) -> usize {
        self.dense.features()
    }

    /// Whether a parameter is of the head.
    pub fn is_head(parameter: &Parameter) -> bool {
        parameter.name.starts_with("dense.output.")
    }

    /// The scores of the pictures that are the passes' input.
    pub fn forward<'a>(&self, passes: &'a mut Passes) -> &'a Matrix {
        self.convolve(passes);
        let last = match passes.stages.last() {
            Some(last) => last.pooled.cells(),
            None => &passes.input,
        };
        let pictures = self.pictures(&passes.input);
        let width = last.len() / pictures.max(1);
        let (cells, stride) = passes.dense.input(&self.dense, pictures);
        for (cells, last) in cells.chunks_exact_mut(stride).zip(last.chunks_exact(width)) {
            cells[..width].copy_from_slice(last);
        }
        let masks = passes.mask.chunks_exact(width.max(1));
        for (cells, mask) in cells.chunks_exact_mut(stride).zip(masks) {
            multiply(&mut cells[..width], mask);
        }
        self.dense
            .forward(&mut passes.dense, &[], Statistics::Batch);
        &passes.dense.output
    }

    /// The gradients of all parameters that learn, of the gradient of the scores.
    pub fn backward(&mut self, passes: &mut Passes, scores: &Matrix) {
        let pictures = self.pictures(&passes.input);
        let through = !self.frozen && !self.stages.is_empty();
        self.dense.backward(&mut passes.dense, &[], scores, through);
        if !through {
            return;
        }
        let Passes {
            input,
            mask,
            stages,
            dense,
            delta,
            before,
        } = passes;
        let width = stages.last().map_or(0, |last| last.pooled.cells().len()) / pictures.max(1);
        before.reshape(pictures, width);
        let rows = before.cells_mut().chunks_exact_mut(width.max(1));
        for (row, gradient) in rows.zip(dense.input_gradients()) {
            row.copy_from_slice(gradient);
        }
        multiply(before.cells_mut(), mask);
        for (i, stage) in self.stages.iter_mut().enumerate().rev() {
            let (earlier, passed) = stages.split_at(i);
            let passed = &passed[0];
            stage.pool.backward(&passed.places, before.cells(), delta);
            RECTIFIER.backward(passed.sums.cells(), delta.cells_mut());
            let x = earlier.last().map_or(&input[..], |p| p.pooled.cells());
            stage.conv.backward(x, delta.cells(), pictures);
            if i > 0 {
                stage.conv.inputs_gradient(delta.cells(), before);
            }
        }
    }

    /// The scores of the one picture that is the passes' input, and what the last layer before the head says of it.
    /// Their bits depend on nothing but the picture.
    pub fn look(&self, passes: &mut Passes, room: &mut Vec<f32>, scores: &mut [f32]) {
        self.convolve(passes);
        let last = match passes.stages.last() {
            Some(last) => last.pooled.cells(),
            None => &passes.input,
        };
        self.dense.row(last, room, scores);
    }

    fn convolve(&self, passes: &mut Passes) {
        passes
            .stages
            .resize_with(self.stages.len(), Passed::default);
        let mut x = &passes.input[..];
        for (stage, passed) in self.stages.iter().zip(&mut passes.stages) {
            let Passed {
                sums,
                pooled,
                places,
            } = passed;
            stage.conv.forward(x, sums);
            RECTIFIER.forward(sums.cells_mut());
            stage.pool.forward(sums.cells(), pooled, places);
            x = pooled.cells();
        }
    }

    fn pictures(&self, input: &[f32]) -> usize {
        let cells = self
            .stages
            .first()
            .map_or(self.dense.inputs(), |stage| stage.conv.input().cells());
        input.len() / cells.max(1)
    }
}

/// Nothing where there are no factors.
fn multiply(numbers: &mut [f32], factors: &[f32]) {
    for (number, factor) in numbers.iter_mut().zip(factors) {
        *number *= factor;
    }
}

impl Network for LeNet {
    fn parameters(&self) -> Vec<&Parameter> {
        let convs = self.stages.iter().flat_map(|stage| stage.conv.parameters());
        convs.chain(self.dense.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let convs = self.stages.iter_mut();
        let convs = convs.flat_map(|stage| stage.conv.parameters_mut());
        convs.chain(self.dense.parameters_mut()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::network::cross_entropy;
    use crate::synthesize::layers::tests::check_parameters;
    use crate::synthesize::rng;

    fn shape() -> Shape {
        Shape {
            input: Frame {
                height: 9,
                width: 8,
                channels: 2,
            },
            channels: vec![3, 4],
            window: 3,
            hidden: vec![6, 5],
            classes: 3,
        }
    }

    fn pictures(count: usize) -> Vec<f32> {
        let mut stream = rng::stream(3, "pictures", 0);
        let cells = shape().input.cells();
        (0..count * cells)
            .map(|_| rng::normal(&mut stream))
            .collect()
    }

    #[test]
    fn the_loss_has_its_gradients() {
        let mut network = LeNet::new(&shape(), 5);
        let mut passes = Passes {
            input: pictures(4),
            mask: (0..4 * network.dense_inputs())
                .map(|i| [1.5, 0.0, 1.5][i % 3])
                .collect(),
            ..Passes::default()
        };
        let loss = |network: &LeNet, passes: &mut Passes| {
            let mut scores = network.forward(passes).clone();
            let labels = [0, 2, 1, 2];
            (cross_entropy(&mut scores, labels.into_iter()), scores)
        };
        let (_, gradient) = loss(&network, &mut passes);
        network.backward(&mut passes, &gradient);
        check_parameters(&mut network, |network| loss(network, &mut passes).0);
    }

    #[test]
    fn a_picture_gives_the_same_bits_whatever_stands_beside_it() {
        let network = LeNet::new(&shape(), 5);
        let (all, cells) = (pictures(5), shape().input.cells());
        let mut room = Vec::new();
        let mut look = |picture: &[f32], passes: &mut Passes| {
            passes.input = picture.to_vec();
            let mut scores = vec![0.0; 3];
            network.look(passes, &mut room, &mut scores);
            scores.iter().map(|s| s.to_bits()).collect::<Vec<u32>>()
        };
        let mut used = Passes::default();
        for picture in all.chunks_exact(cells) {
            let fresh = look(picture, &mut Passes::default());
            assert_eq!(look(picture, &mut used), fresh);
        }
        // and nearly those of a batch
        let mut passes = Passes {
            input: all.clone(),
            ..Passes::default()
        };
        let scores = network.forward(&mut passes).cells().to_vec();
        for (picture, scores) in all.chunks_exact(cells).zip(scores.chunks_exact(3)) {
            for (bits, score) in look(picture, &mut used).iter().zip(scores) {
                assert!((f32::from_bits(*bits) - score).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn frozen_features_have_no_gradients() {
        let mut network = LeNet::new(&shape(), 5);
        network.freeze_features();
        let mut passes = Passes {
            input: pictures(4),
            ..Passes::default()
        };
        let gradient = network.forward(&mut passes).clone();
        network.backward(&mut passes, &gradient);
        for parameter in network.parameters() {
            assert_eq!(parameter.gradient.is_empty(), !LeNet::is_head(parameter));
        }
    }
}
