//! The network that tells real pictures from drawn ones, with its backward pass and its penalty's.
//!
//! D: a [`Trunk`], then one number, `D(x, y) = f(x) (w + e_y) + b`, which a vector a class turns towards
//! what its pictures have in common (projection, Miyato and Koyama, 2018).
//!
//! The penalty is `lambda / 2 E |grad D(x)|^2` on real pictures (R1, Mescheder et al., 2018), and its
//! derivative takes the way that the discriminator of tables describes: with `r` its gradient by
//! `grad D(x)`, the change that `r` would make takes the place of each layer's input where the weights'
//! gradients are formed.

use super::trunk::{Pass, Trunk};
use crate::synthesize::layers::{Axis, Frame, Init, Matrix, Network, Parameter, add_to};

#[derive(Debug, Clone)]
pub struct Discriminator {
    trunk: Trunk,
    weight: Parameter,
    bias: Parameter,
    classes: Option<Parameter>,
}

/// What a forward pass leaves; buffers to be used again.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    pass: Pass,
    /// The class of every picture, where there are any.
    pub classes: Vec<u32>,
    answers: Vec<f32>,
    /// The answers' gradients.
    given: Vec<f32>,
    /// The gradient of the pictures.
    gradient: Matrix,
}

impl Judgement {
    /// Room for so many pictures, to be written one after the other.
    pub fn input(&mut self, pictures: usize, frame: Frame) -> &mut [f32] {
        self.pass.input(pictures, frame)
    }

    /// D's answers, one a picture.
    pub fn answers(&self) -> &[f32] {
        &self.answers
    }

    /// The gradient of the pictures, as [`Discriminator::pictures_gradient`] gave it.
    pub fn gradient(&self) -> &[f32] {
        self.gradient.cells()
    }
}

impl Discriminator {
    /// `width` channels after the first layer.
    pub fn new(frame: Frame, classes: usize, width: usize, seed: u64) -> Self {
        let trunk = Trunk::new("discriminator", frame, width, seed);
        let features = trunk.features;
        let parameter = |name: &str, shape, axes, init| {
            Parameter::fresh(format!("discriminator.{name}"), shape, axes, init, seed)
        };
        let (units, of_classes) = ([Axis::Units; 2], [Axis::Conditions, Axis::Units]);
        let bound = 1.0 / (features.max(1) as f32).sqrt();
        let zero = Init::Constant(0.0);
        Self {
            trunk,
            weight: parameter("output.weight", [1, features], units, Init::Uniform(bound)),
            bias: parameter("output.bias", [1, 1], units, zero),
            classes: (classes > 0)
                .then(|| parameter("output.classes", [classes, features], of_classes, zero)),
        }
    }

    /// `w + e_y`.
    fn direction(&self, class: Option<&u32>) -> Vec<f32> {
        let mut direction = self.weight.values.clone();
        if let (Some(classes), Some(&class)) = (&self.classes, class) {
            let begin = class as usize * classes.columns;
            let own = classes.values.get(begin..begin + classes.columns);
            add_to(&mut direction, own.unwrap_or_default());
        }
        direction
    }

    /// Judges what is in the judgement's input.
    pub fn forward(&self, judgement: &mut Judgement) {
        self.trunk.forward(&mut judgement.pass);
        let features = judgement.pass.features().cells();
        let pictures = features.chunks_exact(self.trunk.features).enumerate();
        judgement.answers.clear();
        judgement.answers.extend(pictures.map(|(i, features)| {
            let direction = self.direction(judgement.classes.get(i));
            let products = features.iter().zip(&direction).map(|(f, d)| f * d);
            self.bias.values[0] + products.sum::<f32>()
        }));
    }

    /// The gradients of all layers' sums, of the gradients of the answers.
    pub fn backward(&self, judgement: &mut Judgement, answers: &[f32]) {
        let Judgement {
            pass,
            classes,
            given,
            ..
        } = judgement;
        given.clear();
        given.extend_from_slice(answers);
        let width = self.trunk.features;
        self.trunk.backward(pass, |delta| {
            delta.reshape(answers.len(), width);
            let rows = delta.cells_mut().chunks_exact_mut(width).zip(answers);
            for (i, (row, answer)) in rows.enumerate() {
                let direction = self.direction(classes.get(i));
                for (cell, direction) in row.iter_mut().zip(&direction) {
                    *cell = answer * direction;
                }
            }
        });
    }

    /// The gradient of the pictures from `from` on, after [`Discriminator::backward`].
    pub fn pictures_gradient(&self, judgement: &mut Judgement, from: usize) {
        let Judgement { pass, gradient, .. } = judgement;
        self.trunk.pictures_gradient(pass, from, gradient);
    }

    /// The penalty of the pictures from `from` on, whose answers' gradients were 1. Afterwards
    /// [`Discriminator::gradients`] gives the penalty's gradient with the loss's.
    pub fn penalise(&self, judgement: &mut Judgement, from: usize, lambda: f32) -> f32 {
        self.pictures_gradient(judgement, from);
        let pictures = judgement.answers.len() - from;
        let share = lambda / pictures.max(1) as f32;
        let gradient = judgement.gradient.cells_mut();
        let squares: f32 = gradient.iter().map(|g| g * g).sum();
        for gradient in gradient {
            *gradient *= share;
        }
        let Judgement { pass, gradient, .. } = judgement;
        self.trunk.tangent(pass, from, gradient.cells());
        0.5 * share * squares
    }

    /// The gradients of the parameters; the pictures from `penalised` on are those of the penalty.
    pub fn gradients(&mut self, judgement: &Judgement, penalised: usize) {
        let Judgement {
            pass,
            classes,
            given,
            ..
        } = judgement;
        self.trunk.gradients(pass, penalised);
        let width = self.trunk.features;
        let by_weight = self.weight.gradient_mut();
        by_weight.fill(0.0);
        let mut by_class = self.classes.as_mut().map(Parameter::gradient_mut);
        if let Some(by_class) = &mut by_class {
            by_class.fill(0.0);
        }
        let features = pass.features().cells().chunks_exact(width);
        for (i, (features, answer)) in features.zip(given).enumerate() {
            let add = |sums: &mut [f32]| {
                for (sum, feature) in sums.iter_mut().zip(features) {
                    *sum += answer * feature;
                }
            };
            add(by_weight);
            if let (Some(by_class), Some(&class)) = (&mut by_class, classes.get(i)) {
                let begin = class as usize * width;
                by_class.get_mut(begin..begin + width).map(add);
            }
        }
        self.bias.gradient_mut()[0] = given[..penalised].iter().sum();
    }
}

impl Network for Discriminator {
    fn parameters(&self) -> Vec<&Parameter> {
        let output = [&self.weight, &self.bias].into_iter().chain(&self.classes);
        self.trunk.parameters().chain(output).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let output = [&mut self.weight, &mut self.bias].into_iter();
        let output = output.chain(&mut self.classes);
        self.trunk.parameters_mut().chain(output).collect()
    }
}
