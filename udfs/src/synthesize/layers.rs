//! The layers networks are made of, written out in forward operations whose gradients candle knows.
//!
//! candle's own dropout and initialisation draw from the thread's generator, its fused softmax and
//! normalisations drop gradients, and its `gumbel_softmax` is an argmax; none of them is used.

use std::collections::BTreeMap;

use candle_core::{D, Device, Error, Result, Tensor, Var};

use super::rng;

/// The parameters of a network: fresh ones to be trained, or those of a saved model.
#[derive(Debug)]
pub struct Parameters {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Fresh {
        seed: u64,
        vars: BTreeMap<String, Entry>,
    },
    Saved(BTreeMap<String, Tensor>),
}

#[derive(Debug)]
struct Entry {
    var: Var,
    trainable: bool,
}

/// How a fresh parameter begins.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    Constant(f32),
    /// Uniform in plus or minus the bound.
    Uniform(f32),
}

impl Parameters {
    /// Parameters to be trained; each one's start depends on the seed and its name.
    pub fn fresh(seed: u64) -> Self {
        Self {
            source: Source::Fresh {
                seed,
                vars: BTreeMap::new(),
            },
        }
    }

    /// The parameters of a trained network.
    pub fn saved(tensors: BTreeMap<String, Tensor>) -> Self {
        Self {
            source: Source::Saved(tensors),
        }
    }

    /// A parameter that gradients move.
    pub fn weight(&mut self, name: String, shape: &[usize], init: Init) -> Result<Tensor> {
        self.parameter(name, shape, init, true)
    }

    /// A parameter that is set, not learnt, such as running statistics.
    pub fn buffer(&mut self, name: String, shape: &[usize], init: Init) -> Result<Tensor> {
        self.parameter(name, shape, init, false)
    }

    fn parameter(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
        trainable: bool,
    ) -> Result<Tensor> {
        match &mut self.source {
            Source::Fresh { seed, vars } => {
                let values = match init {
                    Init::Constant(value) => Tensor::full(value, shape, &Device::Cpu)?,
                    Init::Uniform(bound) => {
                        rng::tensor(rng::stream(*seed, &name, 0), shape, |stream| {
                            bound * (2.0 * rng::uniform(stream) - 1.0)
                        })?
                    }
                };
                let var = Var::from_tensor(&values)?;
                let tensor = var.as_tensor().clone();
                vars.insert(name, Entry { var, trainable });
                Ok(tensor)
            }
            Source::Saved(tensors) => match tensors.get(&name) {
                Some(tensor) if tensor.dims() == shape => Ok(tensor.clone()),
                Some(tensor) => Err(Error::Msg(format!(
                    "the model file is damaged: {name} has shape {:?}, not {shape:?}",
                    tensor.dims()
                ))),
                None => Err(Error::Msg(format!(
                    "the model file is damaged: {name} is missing"
                ))),
            },
        }
    }

    /// What an optimiser moves, in the order of the names.
    pub fn trainable(&self) -> Vec<Var> {
        match &self.source {
            Source::Fresh { vars, .. } => vars
                .values()
                .filter(|entry| entry.trainable)
                .map(|entry| entry.var.clone())
                .collect(),
            Source::Saved(_) => Vec::new(),
        }
    }

    /// How many numbers all parameters are.
    pub fn count(&self) -> usize {
        match &self.source {
            Source::Fresh { vars, .. } => vars.values().map(|entry| entry.var.elem_count()).sum(),
            Source::Saved(tensors) => tensors.values().map(Tensor::elem_count).sum(),
        }
    }

    /// A copy of all parameters as they are now.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        match &self.source {
            Source::Fresh { vars, .. } => vars
                .iter()
                .map(|(name, entry)| Ok((name.clone(), entry.var.as_detached_tensor().copy()?)))
                .collect(),
            Source::Saved(tensors) => Ok(tensors.clone()),
        }
    }
}

/// `x W + b`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let init = Init::Uniform(bound);
        Ok(Self {
            weight: parameters.weight(format!("{name}.weight"), &[inputs, outputs], init)?,
            bias: parameters.weight(format!("{name}.bias"), &[outputs], init)?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)? + each_row(&self.bias, x.dim(0)?)?
    }
}

/// Batch normalisation (Ioffe and Szegedy, 2015) with the running statistics that sampling needs.
#[derive(Debug)]
pub struct BatchNorm {
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
}

/// Keeps a constant feature's deviation away from 0.
const BATCH_NORM_EPSILON: f64 = 1e-5;

impl BatchNorm {
    pub fn new(parameters: &mut Parameters, name: &str, width: usize) -> Result<Self> {
        let (zero, one) = (Init::Constant(0.0), Init::Constant(1.0));
        Ok(Self {
            scale: parameters.weight(format!("{name}.scale"), &[width], one)?,
            shift: parameters.weight(format!("{name}.shift"), &[width], zero)?,
            mean: parameters.buffer(format!("{name}.mean"), &[width], zero)?,
            variance: parameters.buffer(format!("{name}.variance"), &[width], one)?,
        })
    }

    /// Normalises by the running statistics.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let centred = (x - each_row(&self.mean, x.dim(0)?)?)?;
        self.normalise(&centred, &self.variance)
    }

    /// Normalises by the batch's own statistics, and moves the running ones by `momentum` to them.
    pub fn forward_train(&self, x: &Tensor, momentum: f64) -> Result<Tensor> {
        let rows = x.dim(0)? as f64;
        let mean = column_means(x)?;
        let centred = (x - each_row(&mean, x.dim(0)?)?)?;
        let variance = column_means(&centred.sqr()?)?;
        // The running variance is the unbiased one, as for any estimate of a population's.
        let unbiased = (variance.detach() * (rows / (rows - 1.0).max(1.0)))?;
        for (running, batch) in [(&self.mean, mean.detach()), (&self.variance, unbiased)] {
            let moved = ((running.detach() * (1.0 - momentum))? + (batch * momentum)?)?;
            Var::from_tensor(running)?.set(&moved)?;
        }
        self.normalise(&centred, &variance)
    }

    fn normalise(&self, centred: &Tensor, variance: &Tensor) -> Result<Tensor> {
        let rows = centred.dim(0)?;
        let deviation = (variance + BATCH_NORM_EPSILON)?.sqrt()?;
        let scale = each_row(&(&self.scale / deviation)?, rows)?;
        (centred * scale)? + each_row(&self.shift, rows)?
    }
}

/// A vector in each of so many rows. The outer product with ones is a broadcast whose gradient is a
/// matrix product too; candle's own sums over rows go element by element.
fn each_row(vector: &Tensor, rows: usize) -> Result<Tensor> {
    let ones = Tensor::ones((rows, 1), vector.dtype(), vector.device())?;
    ones.matmul(&vector.unsqueeze(0)?)
}

/// The mean of every column.
fn column_means(x: &Tensor) -> Result<Tensor> {
    let rows = x.dim(0)?;
    let shares = Tensor::full(1.0 / rows as f32, (1, rows), x.device())?;
    shares.matmul(x)?.squeeze(0)
}

/// `max(x, slope x)`.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    // relu(x) (1 - slope) + slope x: two operations with plain gradients.
    (x.relu()? * (1.0 - slope))? + (x * slope)?
}

/// Sets a share of the activations to 0 and scales the rest up; the mask is the stream's.
pub fn dropout(x: &Tensor, rate: f64, stream: rng::Stream) -> Result<Tensor> {
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    let rate = rate as f32;
    let kept = 1.0 / (1.0 - rate);
    let mask = rng::tensor(stream, x.dims(), |stream| {
        if rng::uniform(stream) < rate {
            0.0
        } else {
            kept
        }
    })?;
    x * mask
}

/// `log(1 + exp(x))` without overflow: `-log D` is the softplus of minus the discriminator's logit.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// Softmax within groups of neighbouring columns, for any number of groups in a handful of operations.
#[derive(Debug)]
pub struct GroupedSoftmax {
    groups: Vec<std::ops::Range<usize>>,
    /// columns x groups, 1 where the column belongs to the group.
    member: Tensor,
}

impl GroupedSoftmax {
    /// Groups of these sizes, side by side.
    pub fn new(sizes: &[usize]) -> Result<Self> {
        let width: usize = sizes.iter().sum();
        let mut groups = Vec::with_capacity(sizes.len());
        let mut member = vec![0f32; width * sizes.len()];
        let mut begin = 0;
        for (group, size) in sizes.iter().enumerate() {
            for column in begin..begin + size {
                member[column * sizes.len() + group] = 1.0;
            }
            groups.push(begin..begin + size);
            begin += size;
        }
        Ok(Self {
            groups,
            member: Tensor::from_vec(member, (width, sizes.len()), &Device::Cpu)?,
        })
    }

    pub fn groups(&self) -> &[std::ops::Range<usize>] {
        &self.groups
    }

    pub fn forward(&self, logits: &Tensor) -> Result<Tensor> {
        // Softmax does not see a shift of its group, so the maxima are constants to the gradient.
        let powers = (logits - self.maxima(logits)?)?.exp()?;
        let sums = powers.matmul(&self.member)?.matmul(&self.member.t()?)?;
        powers / sums
    }

    /// Each logit's place holds its group's largest.
    fn maxima(&self, logits: &Tensor) -> Result<Tensor> {
        let width = logits.dim(D::Minus1)?;
        let mut values = logits.flatten_all()?.to_vec1::<f32>()?;
        for row in values.chunks_exact_mut(width.max(1)) {
            for group in &self.groups {
                let cells = &mut row[group.clone()];
                let largest = cells.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                cells.fill(largest);
            }
        }
        Tensor::from_vec(values, logits.shape(), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32], shape: (usize, usize)) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    /// The gradient of `f` at `x` against central differences.
    fn check_gradient(x: &[f32], shape: (usize, usize), f: impl Fn(&Tensor) -> Result<Tensor>) {
        // A weighted sum, so that no symmetry hides a wrong gradient.
        let weights: Vec<f32> = (0..x.len()).map(|i| 1.0 + i as f32 * 0.37).collect();
        let weights = tensor(&weights, shape);
        let value = |x: &Tensor| (f(x).unwrap() * &weights).unwrap().sum_all().unwrap();
        let var = Var::from_tensor(&tensor(x, shape)).unwrap();
        let gradients = value(var.as_tensor()).backward().unwrap();
        let gradient = gradients.get(&var).unwrap().flatten_all().unwrap();
        let gradient = gradient.to_vec1::<f32>().unwrap();
        for i in 0..x.len() {
            let at = |offset: f32| {
                let mut moved = x.to_vec();
                moved[i] += offset;
                value(&tensor(&moved, shape)).to_scalar::<f32>().unwrap()
            };
            let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (difference - gradient[i]).abs() < 2e-2,
                "{i}: {difference} is not {}",
                gradient[i]
            );
        }
    }

    const X: [f32; 10] = [0.3, -0.8, 1.7, -0.2, 0.9, -1.1, 0.4, 2.0, -0.6, 0.1];

    #[test]
    fn grouped_softmax_sums_to_one_in_each_group_and_has_its_gradient() {
        let softmax = GroupedSoftmax::new(&[2, 3]).unwrap();
        let y = softmax.forward(&tensor(&X, (2, 5))).unwrap();
        for row in y.to_vec2::<f32>().unwrap() {
            assert!((row[0] + row[1] - 1.0).abs() < 1e-6);
            assert!((row[2] + row[3] + row[4] - 1.0).abs() < 1e-6);
        }
        check_gradient(&X, (2, 5), |x| softmax.forward(x));
        // Logits far apart neither overflow nor divide 0 by 0.
        let far = softmax
            .forward(&tensor(&[-3e4, 3e4, 1e4, 0.0, -1e4], (1, 5)))
            .unwrap();
        assert_eq!(far.to_vec2::<f32>().unwrap()[0], [0.0, 1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn batch_norm_has_its_gradient_and_keeps_running_statistics() {
        let mut parameters = Parameters::fresh(1);
        let norm = BatchNorm::new(&mut parameters, "n", 2).unwrap();
        check_gradient(&X, (5, 2), |x| norm.forward_train(x, 0.1));
        let x = tensor(&X, (5, 2));
        for _ in 0..200 {
            norm.forward_train(&x, 0.1).unwrap();
        }
        let (train, sample) = (
            norm.forward_train(&x, 0.1).unwrap(),
            norm.forward(&x).unwrap(),
        );
        // The same but for the unbiased variance: 5 / 4.
        let ratio = (train / sample).unwrap().to_vec2::<f32>().unwrap();
        assert!(
            ratio
                .iter()
                .flatten()
                .all(|r| (r - 1.25f32.sqrt()).abs() < 1e-3)
        );
    }

    #[test]
    fn activations_have_their_gradients() {
        check_gradient(&X, (2, 5), |x| leaky_relu(x, 0.2));
        check_gradient(&X, (2, 5), softplus);
        let far = softplus(&tensor(&[-1000.0, 1000.0], (1, 2))).unwrap();
        assert_eq!(far.to_vec2::<f32>().unwrap()[0], [0.0, 1000.0]);
    }

    #[test]
    fn dropout_keeps_the_mean_and_repeats() {
        let x = Tensor::ones((100, 100), candle_core::DType::F32, &Device::Cpu).unwrap();
        let drop = |index| dropout(&x, 0.5, rng::stream(1, "d", index)).unwrap();
        let mean = drop(0).mean_all().unwrap().to_scalar::<f32>().unwrap();
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        let same = drop(0).to_vec2::<f32>().unwrap();
        assert_eq!(same, drop(0).to_vec2::<f32>().unwrap());
        assert_ne!(same, drop(1).to_vec2::<f32>().unwrap());
    }

    #[test]
    fn fresh_parameters_depend_on_seed_and_name() {
        let weights = |seed, name: &str| {
            let mut parameters = Parameters::fresh(seed);
            let init = Init::Uniform(1.0);
            let weight = parameters.weight(name.to_string(), &[8], init).unwrap();
            weight.to_vec1::<f32>().unwrap()
        };
        assert_eq!(weights(1, "a"), weights(1, "a"));
        assert_ne!(weights(1, "a"), weights(2, "a"));
        assert_ne!(weights(1, "a"), weights(1, "b"));
    }
}
