//! Scores of predictions, as scikit-learn defines them.

use crate::fitted::quantiles::order_key;

/// The area under the ROC curve; `None` if there is but one class.
pub fn auc(is: &[bool], score: &[f64]) -> Option<f64> {
    let mut order: Vec<(i64, bool)> = score
        .iter()
        .map(|s| order_key(*s))
        .zip(is.iter().copied())
        .collect();
    order.sort_unstable();
    let yes = is.iter().filter(|is| **is).count() as u64;
    let no = is.len() as u64 - yes;
    // twice the number of pairs in the right order; ties count half
    let (mut pairs, mut below) = (0u128, 0u64);
    for run in order.chunk_by(|a, b| a.0 == b.0) {
        let yes = run.iter().filter(|(_, is)| *is).count() as u64;
        let no = run.len() as u64 - yes;
        pairs += u128::from(yes) * u128::from(2 * below + no);
        below += no;
    }
    (yes > 0 && no > 0).then(|| pairs as f64 / 2.0 / (yes as f64 * no as f64))
}

/// The share of rows that were told right.
pub fn accuracy(is: &[u32], told: &[u32]) -> Option<f64> {
    let right = is.iter().zip(told).filter(|(a, b)| a == b).count();
    (!is.is_empty()).then(|| right as f64 / is.len() as f64)
}

/// The harmonic mean of precision and recall of a class; 0 where nothing of it was told right.
pub fn f1(is: &[u32], told: &[u32], class: u32) -> f64 {
    let count = |which: &dyn Fn(u32, u32) -> bool| {
        is.iter().zip(told).filter(|(a, b)| which(**a, **b)).count() as f64
    };
    let both = count(&|a, b| a == class && b == class);
    let either = count(&|a, _| a == class) + count(&|_, b| b == class);
    if either > 0.0 {
        2.0 * both / either
    } else {
        0.0
    }
}

/// The coefficient of determination and the root of the mean squared error; R2 is `None` of a constant.
pub fn regression(is: &[f64], told: &[f64]) -> (Option<f64>, Option<f64>) {
    if is.is_empty() {
        return (None, None);
    }
    let n = is.len() as f64;
    let mean = is.iter().map(|y| y / n).sum::<f64>();
    let left: f64 = is.iter().zip(told).map(|(y, t)| (y - t) * (y - t)).sum();
    let all: f64 = is.iter().map(|y| (y - mean) * (y - mean)).sum();
    (
        (all > 0.0).then(|| 1.0 - left / all),
        Some((left / n).sqrt()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let is = [false, false, true, true];
        assert_eq!(auc(&is, &[0.1, 0.4, 0.35, 0.8]), Some(0.75));
        assert_eq!(auc(&is, &[0.0; 4]), Some(0.5));
        assert_eq!(auc(&[true, true], &[0.1, 0.2]), None);
        assert_eq!(auc(&[], &[]), None);
        assert_eq!(accuracy(&[0, 1, 2], &[0, 1, 1]), Some(2.0 / 3.0));
        assert_eq!(f1(&[1, 1, 0], &[1, 0, 0], 1), 2.0 / 3.0);
        assert_eq!(f1(&[0], &[0], 1), 0.0);
        let (r2, rmse) = regression(&[3.0, -0.5, 2.0, 7.0], &[2.5, 0.0, 2.0, 8.0]);
        assert!((r2.unwrap() - 0.948_608_137_044_967_9).abs() < 1e-12);
        assert!((rmse.unwrap() - 0.375f64.sqrt()).abs() < 1e-12);
        assert_eq!(regression(&[1.0, 1.0], &[1.0, 1.0]), (None, Some(0.0)));
    }
}
