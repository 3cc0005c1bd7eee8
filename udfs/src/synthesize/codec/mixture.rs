//! Mode-specific normalisation: a variational mixture of normals, as in CTGAN (Xu et al., 2019).
//!
//! The mixture is the Bayesian one with a stick-breaking (Dirichlet process) prior on the weights, whose
//! surplus components starve by themselves; the updates and priors are those of scikit-learn's
//! `BayesianGaussianMixture` with one feature. It starts from Lloyd's algorithm on quantiles, so nothing is random,
//! and runs over at most [`POINTS`] weighted points, so its time does not grow with the rows.

/// Components the mixture starts with.
const COMPONENTS: usize = 10;
/// A component of less weight is dropped.
const LEAST_WEIGHT: f64 = 0.005;
/// The concentration of the prior on the weights: small, so that few components remain.
const CONCENTRATION: f64 = 0.001;
const ITERATIONS: usize = 200;
/// The iterations end when no component gains or loses more than this share of the rows.
const TOLERANCE: f64 = 1e-5;
/// More values than this are gathered in equally many points.
const POINTS: usize = 2000;
/// Added to every variance, that of all values being 1.
const LEAST_VARIANCE: f64 = 1e-6;
/// A value is this many deviations from its mode when it is 1 in model space.
const DEVIATIONS: f64 = 4.0;

/// A normal of the mixture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mode {
    pub weight: f64,
    pub mean: f64,
    pub deviation: f64,
}

impl Mode {
    /// How many deviations a value is from the mean; of quarters, whose differences do not overflow.
    fn deviations(&self, x: f64) -> f64 {
        (0.25 * x - 0.25 * self.mean) / (0.25 * self.deviation)
    }
}

/// The mixture of a column's ordinary values, by ascending mean; at least one mode.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    modes: Vec<Mode>,
}

impl Mixture {
    /// Learns from values in ascending order.
    pub fn fit(sorted: &[f64]) -> Self {
        let largest = sorted.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let n = sorted.len().max(1) as f64;
        // Scaled first: neither the sum nor the squares of huge numbers overflow.
        let mean = sorted.iter().map(|x| x / scale).sum::<f64>() / n;
        let squares = sorted.iter().map(|x| (x / scale - mean).powi(2));
        let deviation = (squares.sum::<f64>() / n).sqrt();
        if deviation <= 0.0 {
            let mode = Mode {
                weight: 1.0,
                mean: mean * scale,
                deviation: 0.0,
            };
            return Self { modes: vec![mode] };
        }
        let points = gather(sorted, |x| (x / scale - mean) / deviation);
        let mut modes: Vec<Mode> = variational(&points)
            .into_iter()
            .filter(|mode| mode.weight > LEAST_WEIGHT)
            .map(|mode| Mode {
                weight: mode.weight,
                mean: (mode.mean * deviation + mean) * scale,
                deviation: mode.deviation * deviation * scale,
            })
            .collect();
        modes.sort_by(|a, b| a.mean.total_cmp(&b.mean));
        let total: f64 = modes.iter().map(|mode| mode.weight).sum();
        for mode in &mut modes {
            mode.weight /= total;
        }
        Self { modes }
    }

    /// Modes that a file holds; nothing if they are no mixture.
    pub fn new(modes: Vec<Mode>) -> Option<Self> {
        let sound =
            |mode: &Mode| mode.weight.is_finite() && mode.mean.is_finite() && mode.deviation >= 0.0;
        let sound = (1..=COMPONENTS).contains(&modes.len()) && modes.iter().all(sound);
        sound.then_some(Self { modes })
    }

    pub fn modes(&self) -> &[Mode] {
        &self.modes
    }

    /// The mode's state, drawn from the probabilities of each given the value, and the value within it.
    pub fn encode(&self, x: f64, uniform: f64) -> (u32, f32) {
        let mut logs = [f64::NEG_INFINITY; COMPONENTS];
        for (log, mode) in logs.iter_mut().zip(&self.modes) {
            *log = match mode.deviation > 0.0 {
                true => {
                    let z = mode.deviations(x);
                    mode.weight.ln() - mode.deviation.ln() - 0.5 * z * z
                }
                false => 0.0,
            };
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|log| (log - most).exp()).sum();
        let mut left = uniform * total;
        let mut chosen = self.modes.len() - 1;
        for (k, log) in logs[..self.modes.len()].iter().enumerate() {
            left -= (log - most).exp();
            if left < 0.0 {
                chosen = k;
                break;
            }
        }
        let mode = self.modes[chosen];
        let value = match mode.deviation > 0.0 {
            true => (mode.deviations(x) / DEVIATIONS).clamp(-1.0, 1.0),
            false => 0.0,
        };
        (chosen as u32, value as f32)
    }

    /// The value of a mode's state.
    pub fn decode(&self, state: usize, value: f32) -> f64 {
        let mode = self.modes[state.min(self.modes.len() - 1)];
        let far = f64::from(value) * mode.deviation;
        (DEVIATIONS * (mode.mean / DEVIATIONS + far)).clamp(f64::MIN, f64::MAX)
    }
}

/// A value and how many rows it stands for.
#[derive(Debug, Clone, Copy)]
struct Point {
    x: f64,
    rows: f64,
}

/// Neighbouring values as one point: their mean.
fn gather(sorted: &[f64], standard: impl Fn(f64) -> f64) -> Vec<Point> {
    let chunk = sorted.len().div_ceil(POINTS).max(1);
    sorted
        .chunks(chunk)
        .map(|values| {
            let rows = values.len() as f64;
            let x = values.iter().map(|&x| standard(x)).sum::<f64>() / rows;
            Point { x, rows }
        })
        .collect()
}

/// The sums over the points that the updates need, of one component.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    rows: f64,
    x: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, point: Point, share: f64) {
        let rows = point.rows * share;
        self.rows += rows;
        self.x += rows * point.x;
        self.squares += rows * point.x * point.x;
    }
}

/// One component's posterior.
#[derive(Debug, Clone, Copy, Default)]
struct Component {
    mean: f64,
    /// How many observations the mean counts for; the degrees of freedom of the variance are the same.
    precision: f64,
    variance: f64,
    log_weight: f64,
    weight: f64,
}

fn variational(points: &[Point]) -> Vec<Mode> {
    let n: f64 = points.iter().map(|point| point.rows).sum();
    let mut sums = lloyd(points);
    let mut components = maximise(&sums);
    for _ in 0..ITERATIONS {
        let mut next = vec![Sums::default(); components.len()];
        let mut logs = vec![0.0; components.len()];
        for &point in points {
            for (log, c) in logs.iter_mut().zip(&components) {
                let z = (point.x - c.mean).powi(2) / c.variance;
                // E log N(x | m, v) under the posterior of both; what all components share is left out.
                *log = c.log_weight - 0.5 * (z + c.variance.ln()) - 0.5 * c.precision.ln()
                    + 0.5 * (digamma(0.5 * c.precision) - 1.0 / c.precision);
            }
            let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logs.iter().map(|log| (log - most).exp()).sum();
            for (sums, log) in next.iter_mut().zip(&logs) {
                sums.add(point, (log - most).exp() / total);
            }
        }
        let moved = sums
            .iter()
            .zip(&next)
            .map(|(a, b)| (a.rows - b.rows).abs())
            .fold(0.0, f64::max);
        sums = next;
        components = maximise(&sums);
        if moved < TOLERANCE * n {
            break;
        }
    }
    components
        .iter()
        .map(|c| Mode {
            weight: c.weight,
            mean: c.mean,
            deviation: c.variance.sqrt(),
        })
        .collect()
}

/// Hard groups around centres that begin at quantiles.
fn lloyd(points: &[Point]) -> Vec<Sums> {
    let count = COMPONENTS.min(points.len());
    let mut centres: Vec<f64> = (0..count)
        .map(|k| points[(2 * k + 1) * points.len() / (2 * count)].x)
        .collect();
    let mut sums = Vec::new();
    for _ in 0..20 {
        sums = vec![Sums::default(); count];
        for &point in points {
            let distance = |k: &usize| (point.x - centres[*k]).abs();
            let nearest = (0..count).min_by(|a, b| distance(a).total_cmp(&distance(b)));
            sums[nearest.unwrap_or(0)].add(point, 1.0);
        }
        for (centre, sums) in centres.iter_mut().zip(&sums) {
            if sums.rows > 0.0 {
                *centre = sums.x / sums.rows;
            }
        }
    }
    sums
}

/// The posteriors given how the points are shared. The values have mean 0 and variance 1, which are the
/// priors of means and variances.
fn maximise(sums: &[Sums]) -> Vec<Component> {
    let mut after: f64 = sums.iter().map(|sums| sums.rows).sum();
    // The expected logarithm, and the expectation, of the part of the stick that is left.
    let (mut log_left, mut left) = (0.0, 1.0);
    sums.iter()
        .map(|sums| {
            after = (after - sums.rows).max(0.0);
            let (a, b) = (1.0 + sums.rows, CONCENTRATION + after);
            let all = digamma(a + b);
            let log_weight = digamma(a) - all + log_left;
            let weight = left * a / (a + b);
            log_left += digamma(b) - all;
            left *= b / (a + b);
            let rows = sums.rows + 10.0 * f64::EPSILON;
            let mean = sums.x / rows;
            let spread = (sums.squares / rows - mean * mean).max(0.0) + LEAST_VARIANCE;
            let precision = 1.0 + rows;
            let variance = (1.0 + rows * (spread + mean * mean / precision)) / precision;
            Component {
                mean: sums.x / precision,
                precision,
                variance,
                log_weight,
                weight,
            }
        })
        .collect()
}

/// The derivative of the logarithm of the gamma function, for positive arguments.
fn digamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 6.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    sum + x.ln()
        - 0.5 / x
        - square * (1.0 / 12.0 - square * (1.0 / 120.0 - square * (1.0 / 252.0 - square / 240.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesize::rng;

    #[test]
    fn digamma_is_its_known_values() {
        for (x, y) in [
            (1.0, -0.577_215_664_901_532_9),
            (0.5, -1.963_510_026_021_423_5),
            (0.001, -1_000.575_571_931_810_3),
            (30.0, 3.384_438_132_685_756),
        ] {
            assert!(
                (digamma(x) - y).abs() < 1e-8 * y.abs(),
                "{x}: {}",
                digamma(x)
            );
        }
    }

    #[test]
    fn separate_clouds_are_found_with_their_weights() {
        let mut stream = rng::stream(1, "clouds", 0);
        let mut values: Vec<f64> = (0..20_000)
            .map(|i| {
                let z = f64::from(rng::normal(&mut stream));
                match i % 10 {
                    0 => 1e6 + 1e3 * z,
                    1..=3 => -50.0 + z,
                    _ => 3.0 * z,
                }
            })
            .collect();
        values.sort_by(f64::total_cmp);
        let mixture = Mixture::fit(&values[..]);
        let far: Vec<_> = mixture.modes().iter().filter(|m| m.mean > 5e5).collect();
        let weight: f64 = far.iter().map(|mode| mode.weight).sum();
        assert!((weight - 0.1).abs() < 0.01, "{:?}", mixture.modes());
        let mut values: Vec<f64> = values.into_iter().filter(|x| *x < 5e5).collect();
        values.sort_by(f64::total_cmp);
        let mixture = Mixture::fit(&values);
        let weight: f64 = mixture
            .modes()
            .iter()
            .filter(|mode| (mode.mean + 50.0).abs() < 2.0)
            .map(|mode| mode.weight)
            .sum();
        assert!((weight - 1.0 / 3.0).abs() < 0.01, "{:?}", mixture.modes());
        assert!(mixture.modes().len() < COMPONENTS);
    }

    /// An exponential and two normals: `BayesianGaussianMixture(10, weight_concentration_prior=0.001,
    /// tol=1e-5, max_iter=1000)` of scikit-learn keeps four components above 0.005, at 0.79, 2.8, 20.00 and
    /// 39.97 with deviations 0.76, 1.8, 2.03 and 1.07, and a mean log-likelihood of -2.5302 to -2.5311 over seeds.
    #[test]
    fn it_is_as_likely_as_scikit_learns() {
        let exponential = (0..3000).map(|i| -((f64::from(i) + 0.5) / 3000.0).ln());
        let normal = |n: i32, mean: f64, deviation: f64| {
            (0..n).map(move |i| {
                let p = (f64::from(i) + 0.5) / f64::from(n);
                mean + deviation * f64::from(crate::synthesize::codec::numeric::normal_quantile(p))
            })
        };
        let values = exponential
            .chain(normal(2000, 20.0, 2.0))
            .chain(normal(1000, 40.0, 0.5));
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let mixture = Mixture::fit(&values);
        let density = |x: f64| -> f64 {
            let densities = mixture.modes().iter().map(|mode| {
                let z = (x - mode.mean) / mode.deviation;
                mode.weight * (-0.5 * z * z).exp() / (mode.deviation * std::f64::consts::TAU.sqrt())
            });
            densities.sum()
        };
        let likelihood = values.iter().map(|&x| density(x).ln()).sum::<f64>() / 6000.0;
        assert!(likelihood > -2.54, "{likelihood} {mixture:?}");
        let near = |mean: f64| {
            let mode = mixture
                .modes()
                .iter()
                .find(|m| (m.mean - mean).abs() < 0.05);
            mode.copied().unwrap_or_else(|| panic!("{mixture:?}"))
        };
        assert!(
            (near(20.0).weight - 0.333).abs() < 0.003 && (near(20.0).deviation - 2.03).abs() < 0.03
        );
        assert!(
            (near(39.97).weight - 0.167).abs() < 0.003
                && (near(39.97).deviation - 1.07).abs() < 0.03
        );
    }

    #[test]
    fn odd_columns_have_a_mixture() {
        let huge = [f64::MIN, -1.0, 0.0, 1.0, f64::MAX];
        let columns: [&[f64]; 5] = [&[], &[3.0], &[2.0, 2.0], &[0.0, 1.0], &huge];
        for values in columns {
            let mixture = Mixture::fit(values);
            assert!(!mixture.modes().is_empty());
            for &x in values {
                let (state, value) = mixture.encode(x, 0.5);
                let back = mixture.decode(state as usize, value);
                // a value is told as a share of its mode's deviation
                let width = mixture.modes()[state as usize].deviation;
                let gap = (0.25 * back - 0.25 * x).abs();
                let near = gap <= 0.25e-5 * x.abs().max(1.0).max(width);
                assert!(near, "{x} {back} {mixture:?}");
            }
        }
    }
}
