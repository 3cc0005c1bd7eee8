//! Multinomial logistic regression with an L2 penalty, by L-BFGS over all rows (Nocedal and Wright, Numerical
//! Optimization, ch. 7): scikit-learn's `LogisticRegression` with its defaults.
//!
//! Sums go through parts of the rows in their order, so the same rows in the same order give the same model on any
//! number of threads.

use datafusion_common::Result;
use rayon::prelude::*;

/// Rows of a part at least, and the parts at most: what is summed at once.
const PART: usize = 4096;
const PARTS: usize = 32;

/// The code of a category that is none of a column's features.
pub const NO_FEATURE: u32 = u32::MAX;

/// Rows as a model sees them: numbers, and categories of which each is a feature that is 1 or 0.
#[derive(Debug, Clone, Default)]
pub struct Design {
    pub rows: usize,
    /// A row's numbers one after another, row by row.
    pub numbers: Vec<f64>,
    /// How many numbers a row has.
    pub width: usize,
    /// A row's categories, row by row: each the number of a feature after the numbers.
    pub codes: Vec<u32>,
    /// How many categories a row has.
    pub categorical: usize,
    /// Features in all.
    pub features: usize,
}

impl Design {
    /// A row's numbers.
    pub fn numbers(&self, row: usize) -> &[f64] {
        &self.numbers[row * self.width..][..self.width]
    }

    /// The features of a row's categories.
    pub fn codes(&self, row: usize) -> impl Iterator<Item = usize> {
        let codes = &self.codes[row * self.categorical..][..self.categorical];
        let codes = codes.iter().filter(|c| **c != NO_FEATURE);
        codes.map(|c| self.width + *c as usize)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        8 * self.numbers.capacity() + 4 * self.codes.capacity()
    }
}

/// How a model is learnt.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Half of it times the squares of all weights but the intercepts is added to the sum of the rows' losses.
    pub penalty: f64,
    pub most_steps: usize,
    /// The largest slope of the mean loss at which learning stops.
    pub tolerance: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            penalty: 1.0,
            most_steps: 1000,
            tolerance: 1e-8,
        }
    }
}

/// A learnt model.
#[derive(Debug, Clone)]
pub struct Logistic {
    classes: usize,
    /// Scores that are learnt: of two classes only that of the second.
    scores: usize,
    /// The weights of each feature, one a score, then the intercepts.
    weights: Vec<f64>,
}

impl Logistic {
    /// A model of weights that [`Self::weights`] gave; `None` if they cannot be those of so many features.
    pub fn new(classes: usize, features: usize, weights: Vec<f64>) -> Option<Self> {
        let scores = if classes == 2 { 1 } else { classes };
        let fits = weights.len() == scores * (features + 1);
        let model = Self {
            classes,
            scores,
            weights,
        };
        (fits && model.weights.iter().all(|w| w.is_finite())).then_some(model)
    }

    /// Learns from some rows, of which each has one of `classes` classes. `stop` is asked at every pass over them; an
    /// error of it ends the learning.
    pub fn fit(
        design: &Design,
        rows: &[u32],
        labels: &[u32],
        classes: usize,
        settings: &Settings,
        stop: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Self> {
        let scores = if classes == 2 { 1 } else { classes };
        let mut model = Self {
            classes,
            scores,
            weights: vec![0.0; scores * (design.features + 1)],
        };
        if classes < 2 {
            return Ok(model);
        }
        let penalized = scores * design.features;
        let n = rows.len().max(1) as f64;
        let part = |weights: &[f64], rows: &[u32]| {
            let mut values = vec![0.0; scores];
            let mut slope = vec![0.0; weights.len()];
            let mut sum = 0.0;
            for row in rows {
                let row = *row as usize;
                let label = labels[row] as usize;
                score(design, weights, scores, row, &mut values);
                sum += if scores == 1 {
                    two(&mut values, label)
                } else {
                    many(&mut values, label)
                };
                for (feature, x) in design.numbers(row).iter().enumerate() {
                    let slope = &mut slope[feature * scores..][..scores];
                    for (s, v) in slope.iter_mut().zip(&values) {
                        *s += x * v;
                    }
                }
                for feature in design.codes(row).chain([design.features]) {
                    let slope = &mut slope[feature * scores..][..scores];
                    for (s, v) in slope.iter_mut().zip(&values) {
                        *s += v;
                    }
                }
            }
            (sum, slope)
        };
        let size = rows.len().div_ceil(PARTS).max(PART);
        let loss = |weights: &[f64], slope: &mut [f64]| -> Result<f64> {
            stop()?;
            let parts: Vec<(f64, Vec<f64>)> = rows
                .par_chunks(size)
                .map(|rows| part(weights, rows))
                .collect();
            slope.fill(0.0);
            let mut sum = 0.0;
            for (of_part, slope_of_part) in parts {
                sum += of_part;
                for (s, v) in slope.iter_mut().zip(slope_of_part) {
                    *s += v;
                }
            }
            let mut squares = 0.0;
            for (s, w) in slope[..penalized].iter_mut().zip(weights) {
                *s += settings.penalty * w;
                squares += w * w;
            }
            slope.iter_mut().for_each(|s| *s /= n);
            Ok((sum + settings.penalty / 2.0 * squares) / n)
        };
        minimize(loss, &mut model.weights, settings)?;
        Ok(model)
    }

    /// A row's probabilities of the classes.
    pub fn predict(&self, design: &Design, row: usize, probabilities: &mut [f64]) {
        if self.classes < 2 {
            probabilities.fill(1.0);
        } else if self.scores == 1 {
            let mut value = [0.0];
            score(design, &self.weights, 1, row, &mut value);
            let second = sigmoid(value[0]);
            probabilities[0] = 1.0 - second;
            probabilities[1] = second;
        } else {
            let probabilities = &mut probabilities[..self.classes];
            score(design, &self.weights, self.scores, row, probabilities);
            softmax(probabilities);
        }
    }

    /// The weights of each feature, one a score, then the intercepts.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The weight of a feature in a score; that after the last is the intercept.
    pub fn weight(&self, score: usize, feature: usize) -> f64 {
        self.weights[feature * self.scores + score]
    }
}

/// The scores of a row.
fn score(design: &Design, weights: &[f64], scores: usize, row: usize, out: &mut [f64]) {
    out.copy_from_slice(&weights[design.features * scores..][..scores]);
    for (feature, x) in design.numbers(row).iter().enumerate() {
        for (o, w) in out.iter_mut().zip(&weights[feature * scores..][..scores]) {
            *o += x * w;
        }
    }
    for feature in design.codes(row) {
        for (o, w) in out.iter_mut().zip(&weights[feature * scores..][..scores]) {
            *o += w;
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Scores become probabilities; gives the logarithm of the sum of the scores' exponentials.
pub(crate) fn softmax(values: &mut [f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for v in values.iter_mut() {
        *v = (*v - highest).exp();
        sum += *v;
    }
    values.iter_mut().for_each(|v| *v /= sum);
    highest + sum.ln()
}

/// The loss of a row with one score, which becomes the loss's slope.
fn two(score: &mut [f64], label: usize) -> f64 {
    let x = score[0];
    score[0] = sigmoid(x) - label as f64;
    // ln(1 + e^x) - label x
    x.max(0.0) + (-x.abs()).exp().ln_1p() - label as f64 * x
}

/// The loss of a row with a score a class, which become the loss's slopes.
fn many(scores: &mut [f64], label: usize) -> f64 {
    let own = scores[label];
    let all = softmax(scores);
    scores[label] -= 1.0;
    all - own
}

/// Steps that the curvature is told by.
const REMEMBERED: usize = 10;

/// Finds where a convex function is lowest; it gives its value and writes its slope.
fn minimize(
    mut f: impl FnMut(&[f64], &mut [f64]) -> Result<f64>,
    x: &mut Vec<f64>,
    settings: &Settings,
) -> Result<()> {
    let mut slope = vec![0.0; x.len()];
    let mut value = f(x, &mut slope)?;
    // steps, changes of slope, and one over their product, the oldest first
    let mut steps: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    let mut tried = vec![0.0; x.len()];
    let mut tried_slope = vec![0.0; x.len()];
    for _ in 0..settings.most_steps {
        let steepest = slope.iter().fold(0.0f64, |m, s| m.max(s.abs()));
        // a slope that is NaN does not get better
        if steepest.is_nan() || steepest <= settings.tolerance {
            break;
        }
        let mut direction = direction(&steps, &slope);
        let mut descent = dot(&direction, &slope);
        if descent.is_nan() || descent >= 0.0 {
            // rounding has spoilt the curvature: steepest descent
            steps.clear();
            direction = slope.iter().map(|s| -s).collect();
            descent = -dot(&slope, &slope);
        }
        let mut length = if steps.is_empty() {
            (1.0 / dot(&slope, &slope).sqrt()).min(1.0)
        } else {
            1.0
        };
        let mut lower = false;
        for _ in 0..40 {
            for ((t, x), d) in tried.iter_mut().zip(&*x).zip(&direction) {
                *t = x + length * d;
            }
            let found = f(&tried, &mut tried_slope)?;
            let bound = value + 1e-4 * length * descent;
            // near the lowest place the values differ by rounding alone, and the slope says more
            let flat = (found - value).abs() <= 1e-14 * value.abs()
                && dot(&tried_slope, &direction).abs() <= 0.9 * descent.abs();
            if found <= bound || flat {
                value = found;
                lower = true;
                break;
            }
            // the lowest place of the parabola through what is known, if it is within reason
            let curve = 2.0 * (found - value - descent * length);
            let next = -descent * length * length / curve;
            length = if next.is_finite() {
                next.clamp(0.1 * length, 0.5 * length)
            } else {
                0.1 * length
            };
        }
        if !lower {
            break;
        }
        let step: Vec<f64> = tried.iter().zip(&*x).map(|(t, x)| t - x).collect();
        let change: Vec<f64> = tried_slope.iter().zip(&slope).map(|(t, s)| t - s).collect();
        let product = dot(&step, &change);
        std::mem::swap(x, &mut tried);
        std::mem::swap(&mut slope, &mut tried_slope);
        if product > 0.0 {
            if steps.len() == REMEMBERED {
                steps.remove(0);
            }
            steps.push((step, change, 1.0 / product));
        }
    }
    Ok(())
}

/// Downhill, by the curvature that the last steps showed.
fn direction(steps: &[(Vec<f64>, Vec<f64>, f64)], slope: &[f64]) -> Vec<f64> {
    let mut q: Vec<f64> = slope.iter().map(|s| -s).collect();
    let mut shares = Vec::with_capacity(steps.len());
    for (step, change, rho) in steps.iter().rev() {
        let share = rho * dot(step, &q);
        for (q, c) in q.iter_mut().zip(change) {
            *q -= share * c;
        }
        shares.push(share);
    }
    if let Some((_, change, rho)) = steps.last() {
        let scale = 1.0 / (rho * dot(change, change));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((step, change, rho), share) in steps.iter().zip(shares.iter().rev()) {
        let other = rho * dot(change, &q);
        for (q, s) in q.iter_mut().zip(step) {
            *q += (share - other) * s;
        }
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of three numbers and a category, with no randomness but what multiplication makes.
    fn design(n: usize) -> Design {
        let fraction = |i: usize, k: usize| {
            let x = (i as u64 * 31 + k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (x >> 11) as f64 / (1u64 << 53) as f64
        };
        Design {
            rows: n,
            numbers: (0..n)
                .flat_map(|i| (0..3).map(move |k| 4.0 * fraction(i, k) - 2.0))
                .collect(),
            width: 3,
            codes: (0..n)
                .map(|i| {
                    if i % 7 == 0 {
                        NO_FEATURE
                    } else {
                        (i % 3) as u32
                    }
                })
                .collect(),
            categorical: 1,
            features: 6,
        }
    }

    fn labels(design: &Design, classes: u32) -> Vec<u32> {
        (0..design.rows)
            .map(|i| {
                let x = design.numbers(i);
                let score = x[0] + 0.5 * x[1] + if i % 3 == 1 { 0.7 } else { 0.0 };
                ((score + x[2] * 1.5 + 3.0).max(0.0) as u32) % classes
            })
            .collect()
    }

    #[test]
    fn slopes_vanish_at_the_end() {
        for classes in [2u32, 3, 4] {
            let design = design(400);
            let labels = labels(&design, classes);
            let rows: Vec<u32> = (0..400).collect();
            let classes = classes as usize;
            let model = Logistic::fit(
                &design,
                &rows,
                &labels,
                classes,
                &Settings::default(),
                &|| Ok(()),
            )
            .unwrap();
            // sum over rows of (p - y) x + w = 0, for each class and feature
            let mut p = vec![0.0; classes];
            for score in 0..model.scores {
                let class = if classes == 2 { 1 } else { score };
                for feature in 0..3 {
                    let mut slope = model.weight(score, feature);
                    for (i, label) in labels.iter().enumerate() {
                        model.predict(&design, i, &mut p);
                        let y = f64::from(u8::from(*label as usize == class));
                        slope += (p[class] - y) * design.numbers(i)[feature];
                    }
                    assert!(slope.abs() < 1e-4, "{classes} {score} {feature} {slope}");
                }
            }
            model.predict(&design, 5, &mut p);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn one_class_and_no_rows() {
        let design = design(20);
        let fit = |rows: &[u32]| {
            let settings = Settings::default();
            Logistic::fit(&design, rows, &[0; 20], 1, &settings, &|| Ok(())).unwrap()
        };
        let mut p = [0.0];
        for model in [fit(&[]), fit(&[1, 2, 3])] {
            model.predict(&design, 0, &mut p);
            assert_eq!(p, [1.0]);
        }
    }

    /// The weights that scikit-learn 1.9 finds with `LogisticRegression(tol=1e-12, max_iter=100000)`.
    #[test]
    fn as_scikit_learn() {
        let n = 60usize;
        let a = |i: usize| (i * 37 % 60) as f64 / 10.0 - 3.0;
        let b = |i: usize| (i * 23 % 60) as f64 / 12.0 - 2.5;
        let design = Design {
            rows: n,
            numbers: (0..n).flat_map(|i| [a(i), b(i)]).collect(),
            width: 2,
            codes: (0..n).map(|i| (i % 3) as u32).collect(),
            categorical: 1,
            features: 5,
        };
        let two = [[
            -0.38514299816009306,
            -0.2841094957796186,
            0.0731591818000102,
            -0.04274539717709226,
            -0.03041374825691306,
            0.04401566479041821,
        ]];
        let three = [
            [
                0.030860101408336896,
                0.2486491375773472,
                -0.2902255672598186,
                -0.05977725839418588,
                0.3500035181414877,
                -0.04554770615777456,
            ],
            [
                -0.1883261289967214,
                -0.524133294828446,
                -0.11650467413899986,
                0.2017042070175484,
                -0.08519992410238783,
                -0.05248213777572784,
            ],
            [
                0.1574660275883857,
                0.27548415725109804,
                0.4067302413988185,
                -0.14192694862336258,
                -0.2648035940390999,
                0.09802984393350202,
            ],
        ];
        let first_of_two = vec![0.1210124202569356, 0.8789875797430644];
        let first_of_three = vec![
            0.054873116816322336,
            0.8637857701475824,
            0.08134111303609522,
        ];
        let expected = [
            (2, two.to_vec(), first_of_two),
            (3, three.to_vec(), first_of_three),
        ];
        let rows: Vec<u32> = (0..n as u32).collect();
        for (classes, weights, first) in expected {
            let labels: Vec<u32> = (0..n)
                .map(|i| {
                    let category = if i % 3 == 1 { 0.8 } else { 0.0 };
                    let score = a(i) + 0.5 * b(i) + category + (i * 29 % 7) as f64 / 3.0 + 6.0;
                    score.floor() as u32 % classes as u32
                })
                .collect();
            let settings = Settings::default();
            let model =
                Logistic::fit(&design, &rows, &labels, classes, &settings, &|| Ok(())).unwrap();
            for (score, weights) in weights.iter().enumerate() {
                for (feature, w) in weights.iter().enumerate() {
                    let found = model.weight(score, feature);
                    assert!(
                        (found - w).abs() < 1e-6,
                        "{classes} {score} {feature} {found} {w}"
                    );
                }
            }
            let mut p = vec![0.0; classes];
            model.predict(&design, 0, &mut p);
            for (found, expected) in p.iter().zip(first) {
                assert!((found - expected).abs() < 1e-7);
            }
        }
    }
}
