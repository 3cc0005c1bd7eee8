//! How the values of one column are distributed in two tables, and how far the second covers the first.

use crate::fitted::counts::MISSING;
use crate::learn::boosting::Column;

/// 1 less the largest difference of the distribution functions, as SDMetrics' KSComplement; missing values are left out.
pub fn ks_complement(a: &[f64], b: &[f64]) -> Option<f64> {
    let [a, b] = [a, b].map(sorted);
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (n, m) = (a.len(), b.len());
    // the difference times n m, a whole number
    let (mut i, mut j, mut most) = (0, 0, 0u128);
    while i < n && j < m {
        let x = a[i].min(b[j]);
        while i < n && a[i] <= x {
            i += 1;
        }
        while j < m && b[j] <= x {
            j += 1;
        }
        most = most.max((i as u128 * m as u128).abs_diff(j as u128 * n as u128));
    }
    Some(1.0 - most as f64 / (n as u128 * m as u128) as f64)
}

/// 1 less half the sum of the differences of the categories' shares, as SDMetrics' TVComplement; missing values are left out.
pub fn tv_complement(a: &[u32], b: &[u32], many: usize) -> Option<f64> {
    let [(a, n), (b, m)] = [a, b].map(|codes| counts(codes, many));
    if n == 0 || m == 0 {
        return None;
    }
    let apart = a
        .iter()
        .zip(&b)
        .map(|(x, y)| (*x as f64 / n as f64 - *y as f64 / m as f64).abs());
    Some(1.0 - apart.sum::<f64>() / 2.0)
}

/// 1 less the difference of the shares of missing values, as SDMetrics' MissingValueSimilarity.
pub fn missing_similarity(a: &Column, b: &Column) -> Option<f64> {
    let share = |column: &Column| {
        let missing = match column {
            Column::Numbers(values) => values.iter().filter(|x| x.is_nan()).count(),
            Column::Categories(codes) => codes.iter().filter(|c| **c == MISSING).count(),
        };
        (!column.is_empty()).then(|| missing as f64 / column.len() as f64)
    };
    Some(1.0 - (share(a)? - share(b)?).abs())
}

/// How much of the range of the first the second covers, as SDMetrics' RangeCoverage.
pub fn range_coverage(a: &[f64], b: &[f64]) -> Option<f64> {
    let ([low, high], [from, to]) = (extent(a)?, extent(b)?);
    // halves: the width of a range may be no float
    let width = high / 2.0 - low / 2.0;
    let lacking = |apart: f64| (apart / width).max(0.0);
    let covered = 1.0 - lacking(from / 2.0 - low / 2.0) - lacking(high / 2.0 - to / 2.0);
    (width > 0.0 && width.is_finite()).then_some(covered.max(0.0))
}

/// How many values of the second lie in the range of the first, as SDMetrics' BoundaryAdherence.
pub fn boundary_adherence(a: &[f64], b: &[f64]) -> Option<f64> {
    let [low, high] = extent(a)?;
    let there = b.iter().filter(|x| !x.is_nan()).count();
    let within = b.iter().filter(|x| (low..=high).contains(*x)).count();
    (there > 0).then(|| within as f64 / there as f64)
}

/// How many of the categories of the first the second has, as SDMetrics' CategoryCoverage, and how many values of the second
/// are of one of the first, as CategoryAdherence.
pub fn categories(a: &[u32], b: &[u32], many: usize) -> (Option<f64>, Option<f64>) {
    let [(a, _), (b, m)] = [a, b].map(|codes| counts(codes, many));
    let of_first = a.iter().filter(|n| **n > 0).count();
    let both = a.iter().zip(&b).filter(|(x, y)| **x > 0 && **y > 0).count();
    let known: u64 = a
        .iter()
        .zip(&b)
        .filter(|(x, _)| **x > 0)
        .map(|(_, y)| *y)
        .sum();
    (
        (of_first > 0 && m > 0).then(|| both as f64 / of_first as f64),
        (of_first > 0 && m > 0).then(|| known as f64 / m as f64),
    )
}

/// The least and the largest value.
pub fn extent(values: &[f64]) -> Option<[f64; 2]> {
    let there = values.iter().filter(|x| !x.is_nan());
    let [low, high] = there.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| {
        [low.min(*x), high.max(*x)]
    });
    (low <= high).then_some([low, high])
}

/// How often each code is there, and how many are.
pub fn counts(codes: &[u32], many: usize) -> (Vec<u64>, u64) {
    let mut counts = vec![0; many];
    let mut all = 0;
    for code in codes.iter().filter(|c| **c != MISSING) {
        counts[*code as usize] += 1;
        all += 1;
    }
    (counts, all)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().filter(|x| !x.is_nan()).copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: f64 = f64::NAN;

    #[test]
    fn distributions() {
        assert_eq!(
            ks_complement(&[1.0, 2.0, GONE], &[2.0, 1.0, 1.0, 2.0]),
            Some(1.0)
        );
        assert_eq!(ks_complement(&[1.0], &[2.0]), Some(0.0));
        assert_eq!(
            ks_complement(&[f64::NEG_INFINITY, 1.0], &[1.0, f64::INFINITY]),
            Some(0.5)
        );
        assert_eq!(ks_complement(&[GONE], &[1.0]), None);
        assert_eq!(tv_complement(&[0, 0, 0, 1, MISSING], &[0, 2], 3), Some(0.5));
        assert_eq!(tv_complement(&[0], &[MISSING], 1), None);
        let [a, b] = [vec![0, MISSING], vec![0]].map(Column::Categories);
        assert_eq!(missing_similarity(&a, &b), Some(0.5));
        assert_eq!(missing_similarity(&a, &Column::Numbers(vec![])), None);
    }

    #[test]
    fn coverage() {
        assert_eq!(
            range_coverage(&[0.0, 10.0], &[2.5, GONE, 8.75]),
            Some(0.625)
        );
        assert_eq!(range_coverage(&[0.0, 10.0], &[-5.0, 50.0]), Some(1.0));
        assert_eq!(range_coverage(&[0.0, 1.0], &[50.0]), Some(0.0));
        assert_eq!(
            range_coverage(&[f64::MIN, f64::MAX], &[f64::MIN, 0.0]),
            Some(0.5)
        );
        assert_eq!(range_coverage(&[1.0, 1.0], &[1.0]), None);
        assert_eq!(range_coverage(&[1.0, f64::INFINITY], &[1.0]), None);
        assert_eq!(
            boundary_adherence(&[0.0, 1.0], &[0.0, 2.0, GONE, 1.0, -1.0]),
            Some(0.5)
        );
        assert_eq!(
            categories(&[0, 1, 2, MISSING], &[0, 0, 3, 1], 4),
            (Some(2.0 / 3.0), Some(0.75))
        );
        assert_eq!(categories(&[], &[0], 1), (None, None));
    }
}
