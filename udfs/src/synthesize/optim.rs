//! Optimisers, and the running average of weights that generators sample from.

use rayon::prelude::*;

use super::layers::Network;

/// Numbers that are worth another core.
const PIECE: usize = 16_384;

/// Adam's settings; `l2` adds `l2 * weight` to the gradient, as in the papers (AdamW does not).
#[derive(Debug, Clone, Copy)]
pub struct AdamConfig {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub l2: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2e-4,
            beta1: 0.5,
            beta2: 0.9,
            epsilon: 1e-8,
            l2: 0.0,
        }
    }
}

/// Adam (Kingma and Ba, 2015); its moments stand beside the parameters.
#[derive(Debug, Clone)]
pub struct Adam {
    config: AdamConfig,
    /// Steps taken so far.
    pub steps: u64,
}

impl Adam {
    pub fn new(config: AdamConfig) -> Self {
        Self { config, steps: 0 }
    }

    /// One step down the gradients that the last backward pass left.
    pub fn step(&mut self, network: &mut impl Network) {
        self.steps = self.steps.saturating_add(1);
        let AdamConfig {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            l2,
        } = self.config;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let rate = (learning_rate / (1.0 - beta1.powi(steps))) as f32;
        let correction = (1.0 / (1.0 - beta2.powi(steps))) as f32;
        let (beta1, beta2) = (beta1 as f32, beta2 as f32);
        let (epsilon, l2) = (epsilon as f32, l2 as f32);
        for parameter in network.parameters_mut() {
            if !parameter.learns || parameter.gradient.is_empty() {
                continue;
            }
            let count = parameter.values.len();
            parameter.first.resize(count, 0.0);
            parameter.second.resize(count, 0.0);
            parameter
                .values
                .par_chunks_mut(PIECE)
                .zip(parameter.gradient.par_chunks(PIECE))
                .zip(parameter.first.par_chunks_mut(PIECE))
                .zip(parameter.second.par_chunks_mut(PIECE))
                .for_each(|(((values, gradient), first), second)| {
                    let moments = first.iter_mut().zip(second);
                    for ((value, gradient), (first, second)) in
                        values.iter_mut().zip(gradient).zip(moments)
                    {
                        let gradient = gradient + l2 * *value;
                        *first = beta1 * *first + (1.0 - beta1) * gradient;
                        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                        *value -= rate * *first / ((correction * *second).sqrt() + epsilon);
                    }
                });
        }
    }
}

/// An exponential running average of weights: what a GAN's generator is sampled from, since its last
/// weights circle around the equilibrium.
#[derive(Debug, Clone)]
pub struct Average {
    decay: f64,
    /// Weights taken in so far.
    pub steps: u64,
    values: Vec<Vec<f32>>,
}

impl Average {
    pub fn new(network: &impl Network, decay: f64) -> Self {
        let values = network.parameters().into_iter().map(|p| p.values.clone());
        Self {
            decay,
            steps: 0,
            values: values.collect(),
        }
    }

    /// Takes in the present weights. Early on the average is over fewer steps, to forget the start.
    pub fn update(&mut self, network: &impl Network) {
        self.steps = self.steps.saturating_add(1);
        let early = self.steps as f64 / (self.steps as f64 + 10.0);
        let share = 1.0 - self.decay.min(early) as f32;
        for (average, parameter) in self.values.iter_mut().zip(network.parameters()) {
            for (average, value) in average.iter_mut().zip(&parameter.values) {
                *average += share * (value - *average);
            }
        }
    }

    /// Puts the average in the weights' place.
    pub fn apply(&self, network: &mut impl Network) {
        for (average, parameter) in self.values.iter().zip(network.parameters_mut()) {
            parameter.values.copy_from_slice(average);
        }
    }

    /// Goes on from a network that holds the average.
    pub fn restore(&mut self, network: &impl Network, steps: u64) {
        *self = Self {
            steps,
            ..Self::new(network, self.decay)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesize::layers::{Axis, Init, Parameter};

    #[derive(Debug)]
    struct One(Parameter);

    impl Network for One {
        fn parameters(&self) -> Vec<&Parameter> {
            vec![&self.0]
        }

        fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
            vec![&mut self.0]
        }
    }

    fn one(values: &[f32]) -> One {
        let (shape, axes) = ([1, values.len()], [Axis::Units; 2]);
        let mut parameter = Parameter::fresh("x".to_string(), shape, axes, Init::Constant(0.0), 0);
        parameter.values.copy_from_slice(values);
        One(parameter)
    }

    #[test]
    fn adam_takes_the_papers_steps() {
        // The first step is the learning rate times the gradient's sign, whatever its size.
        let mut network = one(&[1.0, -2.0]);
        let mut adam = Adam::new(AdamConfig {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            ..AdamConfig::default()
        });
        let mut step = |network: &mut One| {
            network.0.gradient = network.0.values.iter().map(|x| 2.0 * x).collect();
            adam.step(network);
        };
        step(&mut network);
        let after = &network.0.values;
        assert!((after[0] - 0.9).abs() < 1e-6 && (after[1] + 1.9).abs() < 1e-6);
        for _ in 0..500 {
            step(&mut network);
        }
        assert!(network.0.values.iter().map(|x| x * x).sum::<f32>() < 1e-3);
    }

    #[test]
    fn l2_pulls_a_weight_without_gradient_to_zero() {
        let mut network = one(&[1.0]);
        network.0.gradient = vec![0.0];
        let mut adam = Adam::new(AdamConfig {
            l2: 0.1,
            ..AdamConfig::default()
        });
        adam.step(&mut network);
        assert!(network.0.values[0] < 1.0);
        // What does not learn stays.
        network.0.learns = false;
        let before = network.0.values.clone();
        adam.step(&mut network);
        assert_eq!(network.0.values, before);
    }

    #[test]
    fn the_average_lags_and_forgets_its_start() {
        let mut network = one(&[100.0]);
        let mut average = Average::new(&network, 0.9);
        network.0.values = vec![1.0];
        for _ in 0..100 {
            average.update(&network);
        }
        network.0.values = vec![2.0];
        average.update(&network);
        average.apply(&mut network);
        assert!((network.0.values[0] - 1.1).abs() < 0.02);
    }
}
