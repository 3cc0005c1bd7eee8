//! Optimisers, and the running average of weights that generators sample from.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};

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

/// Adam (Kingma and Ba, 2015).
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    slots: Vec<Slot>,
    steps: i32,
}

#[derive(Debug)]
struct Slot {
    var: Var,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    pub fn new(vars: Vec<Var>, config: AdamConfig) -> Self {
        let slots = vars
            .into_iter()
            .map(|var| Slot {
                first: vec![0.0; var.elem_count()],
                second: vec![0.0; var.elem_count()],
                var,
            })
            .collect();
        Self {
            config,
            slots,
            steps: 0,
        }
    }

    /// One step down the gradients; variables without one stay as they are.
    pub fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps = self.steps.saturating_add(1);
        let AdamConfig {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            l2,
        } = self.config;
        let rate = learning_rate / (1.0 - beta1.powi(self.steps));
        let correction = (1.0 / (1.0 - beta2.powi(self.steps))) as f32;
        let (rate, beta1, beta2) = (rate as f32, beta1 as f32, beta2 as f32);
        let (epsilon, l2) = (epsilon as f32, l2 as f32);
        for slot in &mut self.slots {
            let Some(gradient) = gradients.get(&slot.var) else {
                continue;
            };
            let gradient = flat(gradient)?;
            let mut weights = flat(&slot.var)?;
            let moments = slot.first.iter_mut().zip(&mut slot.second);
            for ((weight, gradient), (first, second)) in
                weights.iter_mut().zip(&gradient).zip(moments)
            {
                let gradient = gradient + l2 * *weight;
                *first = beta1 * *first + (1.0 - beta1) * gradient;
                *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                *weight -= rate * *first / ((correction * *second).sqrt() + epsilon);
            }
            set(&slot.var, weights)?;
        }
        Ok(())
    }
}

/// An exponential running average of weights: what a GAN's generator is sampled from, since its last
/// weights circle around the equilibrium.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    steps: u32,
    slots: Vec<(Var, Vec<f32>)>,
}

impl Average {
    pub fn new(vars: Vec<Var>, decay: f64) -> Result<Self> {
        let slots = vars
            .into_iter()
            .map(|var| flat(&var).map(|values| (var, values)))
            .collect::<Result<_>>()?;
        Ok(Self {
            decay,
            steps: 0,
            slots,
        })
    }

    /// Takes in the present weights. Early on the average is over fewer steps, to forget the start.
    pub fn update(&mut self) -> Result<()> {
        self.steps = self.steps.saturating_add(1);
        let early = f64::from(self.steps) / (f64::from(self.steps) + 10.0);
        let decay = self.decay.min(early) as f32;
        for (var, average) in &mut self.slots {
            for (average, weight) in average.iter_mut().zip(flat(var)?) {
                *average += (1.0 - decay) * (weight - *average);
            }
        }
        Ok(())
    }

    /// Puts the average in the weights' place.
    pub fn apply(self) -> Result<()> {
        for (var, average) in self.slots {
            set(&var, average)?;
        }
        Ok(())
    }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1::<f32>()
}

fn set(var: &Var, values: Vec<f32>) -> Result<()> {
    var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_takes_the_papers_steps() {
        // The first step is the learning rate times the gradient's sign, whatever its size.
        let var = Var::from_slice(&[1f32, -2.0], 2, &Device::Cpu).unwrap();
        let config = AdamConfig {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            ..AdamConfig::default()
        };
        let mut adam = Adam::new(vec![var.clone()], config);
        let loss = || var.sqr().unwrap().sum_all().unwrap();
        adam.step(&loss().backward().unwrap()).unwrap();
        let after = var.to_vec1::<f32>().unwrap();
        assert!((after[0] - 0.9).abs() < 1e-6 && (after[1] + 1.9).abs() < 1e-6);
        for _ in 0..500 {
            adam.step(&loss().backward().unwrap()).unwrap();
        }
        assert!(loss().to_scalar::<f32>().unwrap() < 1e-3);
    }

    #[test]
    fn l2_pulls_a_weight_without_gradient_to_zero() {
        let var = Var::from_slice(&[1f32], 1, &Device::Cpu).unwrap();
        let config = AdamConfig {
            learning_rate: 0.01,
            l2: 1.0,
            ..AdamConfig::default()
        };
        let mut adam = Adam::new(vec![var.clone()], config);
        for _ in 0..300 {
            let loss = (var.sum_all().unwrap() * 1e-12).unwrap();
            adam.step(&loss.backward().unwrap()).unwrap();
        }
        assert!(var.to_vec1::<f32>().unwrap()[0].abs() < 0.1);
    }
}
