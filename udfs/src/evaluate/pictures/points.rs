//! How sets of points lie to each other, each the features of a picture: Fréchet distance, precision and recall,
//! nearest neighbours.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rayon::prelude::*;

use crate::learn::eigen::eigen;

/// Points of so many numbers, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    pub width: usize,
    pub numbers: &'a [f32],
}

impl<'a> Points<'a> {
    pub fn len(&self) -> usize {
        self.numbers.len() / self.width.max(1)
    }

    fn iter(&self) -> impl Iterator<Item = &'a [f32]> {
        self.numbers.chunks_exact(self.width.max(1))
    }

    /// Their mean, and their covariance with divisor n - 1.
    fn moments(&self) -> (Vec<f64>, Mat<f64>) {
        let (n, width) = (self.len().max(2) as f64, self.width);
        let mut mean = vec![0.0; width];
        for point in self.iter() {
            for (mean, x) in mean.iter_mut().zip(point) {
                *mean += f64::from(*x) / self.len() as f64;
            }
        }
        let centred = Mat::from_fn(self.len(), width, |i, j| {
            f64::from(self.numbers[i * width + j]) - mean[j]
        });
        let mut covariance = Mat::zeros(width, width);
        let (left, right) = (centred.transpose(), centred.as_ref());
        matmul(
            covariance.as_mut(),
            Accum::Replace,
            left,
            right,
            1.0 / (n - 1.0),
            Par::Seq,
        );
        (mean, covariance)
    }
}

/// The Fréchet distance of the normal distributions of two sets' means and covariances (Heusel et al., 2017):
/// |m - m'|² + tr(C + C' - 2 (C C')^½). `None` of fewer than two points.
pub fn frechet(a: Points<'_>, b: Points<'_>) -> Option<f64> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let ((mean_a, a), (mean_b, b)) = (a.moments(), b.moments());
    let width = mean_a.len();
    let apart = mean_a.iter().zip(&mean_b).map(|(a, b)| (a - b) * (a - b));
    let traces: f64 = (0..width).map(|i| a[(i, i)] + b[(i, i)]).sum();
    // tr (C C')^½ is that of (R C' R)^½, which is symmetric, where R is the root of C
    let (values, vectors) = eigen(a.as_ref())?;
    let scaled = Mat::from_fn(width, width, |i, j| {
        vectors[(i, j)] * values[j].max(0.0).sqrt()
    });
    let product = |left: &Mat<f64>, right: &Mat<f64>| {
        let mut out = Mat::zeros(width, width);
        let (left, right) = (left.as_ref(), right.as_ref());
        matmul(out.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
        out
    };
    let root = product(&scaled, &vectors.transpose().to_owned());
    let inner = product(&product(&root, &b), &root);
    let (values, _) = eigen(inner.as_ref())?;
    let shared: f64 = values.iter().map(|value| value.max(0.0).sqrt()).sum();
    Some((apart.sum::<f64>() + traces - 2.0 * shared).max(0.0))
}

/// Precision and recall of Kynkäänniemi et al. (2019): the share of synthetic points that lie in the ball around a real
/// one up to its k-th nearest other real one, and the same the other way round. `None` of no more than k points.
pub fn precision_and_recall(
    real: Points<'_>,
    synthetic: Points<'_>,
    k: usize,
) -> Option<(f64, f64)> {
    if real.len() <= k || synthetic.len() <= k {
        return None;
    }
    let share = |balls: Points<'_>, points: Points<'_>| {
        let radii = radii(balls, k);
        let points: Vec<&[f32]> = points.iter().collect();
        let within = points.par_iter().filter(|point| {
            let mut balls = balls.iter().zip(&radii);
            balls.any(|(centre, radius)| square(centre, point) <= *radius)
        });
        within.count() as f64 / points.len() as f64
    };
    Some((share(real, synthetic), share(synthetic, real)))
}

/// The squared distance of each point to its k-th nearest other one.
fn radii(points: Points<'_>, k: usize) -> Vec<f64> {
    let all: Vec<&[f32]> = points.iter().collect();
    all.par_iter()
        .enumerate()
        .map(|(i, point)| {
            let others = all.iter().enumerate().filter(|(j, _)| *j != i);
            let mut far: Vec<f64> = others.map(|(_, other)| square(point, other)).collect();
            let (_, radius, _) = far.select_nth_unstable_by(k - 1, f64::total_cmp);
            *radius
        })
        .collect()
}

fn square(a: &[f32], b: &[f32]) -> f64 {
    // in four sums, which the processor adds at once
    let mut sums = [0.0; 4];
    let (pairs, rest) = (a.chunks_exact(4).zip(b.chunks_exact(4)), a.len() / 4 * 4);
    for (a, b) in pairs {
        for i in 0..4 {
            let apart = f64::from(a[i]) - f64::from(b[i]);
            sums[i] += apart * apart;
        }
    }
    for (a, b) in a[rest..].iter().zip(&b[rest..]) {
        let apart = f64::from(*a) - f64::from(*b);
        sums[0] += apart * apart;
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// The squared distance of each picture to the nearest of others, or, without others, to the nearest of its own kind.
/// Pictures are bytes of one length, one after the other.
pub fn nearest(pictures: &[u8], others: Option<&[u8]>, cells: usize) -> Vec<u64> {
    let apart = |a: &[u8], b: &[u8]| -> u64 {
        let squares = a.iter().zip(b).map(|(a, b)| {
            let apart = a.abs_diff(*b);
            u32::from(apart) * u32::from(apart)
        });
        u64::from(squares.sum::<u32>())
    };
    let all: Vec<&[u8]> = others.unwrap_or(pictures).chunks_exact(cells).collect();
    pictures
        .par_chunks_exact(cells)
        .enumerate()
        .map(|(i, picture)| {
            let others_than = |j: usize| others.is_some() || j != i;
            let all = all.iter().enumerate().filter(|(j, _)| others_than(*j));
            all.map(|(_, other)| apart(picture, other))
                .min()
                .unwrap_or(u64::MAX)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn points(value: &Value) -> (usize, Vec<f32>) {
        let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
        (rows[0].len(), rows.concat())
    }

    /// What numpy and scipy say of the same points: `tests/golden/pictures.py`.
    #[test]
    fn golden_values() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/layers/pictures.json"
        );
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let ((width, real), (_, synthetic)) =
                (points(&case["real"]), points(&case["synthetic"]));
            let of = |numbers| Points { width, numbers };
            let (real, synthetic) = (of(&real[..]), of(&synthetic[..]));
            let close = |name: &str, value: f64| {
                let expected = case[name].as_f64().unwrap();
                assert!(
                    (value - expected).abs() < 1e-6 * expected.abs().max(1.0),
                    "{name}: {value} {expected}"
                );
            };
            close("frechet", frechet(real, synthetic).unwrap());
            let (precision, recall) = precision_and_recall(real, synthetic, 3).unwrap();
            close("precision", precision);
            close("recall", recall);
        }
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself() {
        let numbers: Vec<f32> = (0..60u8).map(|i| f32::from(i * 37 % 61)).collect();
        let points = Points {
            width: 3,
            numbers: &numbers,
        };
        assert!(frechet(points, points).unwrap() < 1e-6);
        assert_eq!(precision_and_recall(points, points, 3), Some((1.0, 1.0)));
        let one = Points {
            width: 3,
            numbers: &numbers[..3],
        };
        assert_eq!(frechet(one, points), None);
        assert_eq!(precision_and_recall(one, points, 3), None);
    }

    #[test]
    fn the_nearest_picture_is_another_one() {
        let pictures = [0, 0, 3, 4, 200, 200];
        assert_eq!(nearest(&pictures, None, 2), [25, 25, 197 * 197 + 196 * 196]);
        assert_eq!(nearest(&[3, 5], Some(&pictures), 2), [1]);
        assert_eq!(nearest(&[3, 5], None, 2), [u64::MAX]);
    }
}
