//! `kmeans_bucketize`: bins around the centres of one-dimensional k-means.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Fields};
use datafusion_common::Result;

use super::bins::{self, Bins, Output};
use crate::arrays::{float_type, only};
use crate::fitted::numbers::{list_field, write_lists};
use crate::fitted::quantiles::Quantiles;
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "kmeans_bucketize",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "Cuts a number into n bins, each around a centre of k-means, so that the values of a bin are near each \
        other; where there are fewer distinct values than bins, each has its own. NULL and NaN give NULL; infinite \
        values take no part in the statistics. Values beyond those fitted fall into the outer bins.",
    params: &[
        Param::data("x", "a number"),
        Param::option("n", "10", "the number of bins, at least 2"),
        Param::option("output", "'index'", bins::OUTPUT),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT kmeans_bucketize(x, 2) OVER (), kmeans_bucketize(x, 2, output => 'range') OVER () FROM (VALUES (1), (2), (3), (10), (12), (NULL)) AS t(x)",
        result: "0,\"(-inf, 6.5)\"\n0,\"(-inf, 6.5)\"\n0,\"(-inf, 6.5)\"\n1,\"[6.5, +inf)\"\n1,\"[6.5, +inf)\"\n,",
    }],
    source: "scikit-learn's KBinsDiscretizer(strategy='kmeans'), which starts Lloyd's algorithm from bins of one width; \
        bins that are narrow but not empty stay",
    also: &["sklearn.preprocessing.KBinsDiscretizer"],
};

/// Rounds after which scikit-learn's KMeans gives up.
const ROUNDS: usize = 300;
/// Its tolerance: centres that move by less of the variance have come to rest.
const TOLERANCE: f64 = 1e-4;

/// `kmeans_bucketize(x, n => 10, output => 'index') OVER (...)`.
#[derive(Debug, Clone)]
pub struct KMeansBucketize {
    n: u32,
    output: Output,
}

impl Fitted for KMeansBucketize {
    type State = Quantiles;
    type Prepared = Vec<Option<Bins>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            n: bins::count(options)?,
            output: Output::of(options.choice("output", &Output::CHOICES)?),
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.output.data_type())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![list_field("edges")]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Quantiles> {
        Ok(Quantiles::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Quantiles>) -> Result<Vec<ArrayRef>> {
        let edges = states.into_iter().map(|state| {
            let mut values = state.values();
            values.retain(|(x, _)| x.is_finite());
            edges(&values, self.n)
        });
        Ok(vec![write_lists(edges)])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        bins::read(params, self.output)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        bins::cut(&args[0], prepared, groups, self.output)
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        bins::sql(&args[0], fit, self.output)
    }
}

/// The extremes of distinct sorted values, and between them the middles of neighbouring centres.
fn edges(values: &[(f64, u64)], n: u32) -> Option<Vec<f64>> {
    let (min, max) = (values.first()?.0, values.last()?.0);
    let centers = if values.len() <= n as usize {
        values.iter().map(|(x, _)| *x).collect()
    } else {
        centers(values, min, max, n)
    };
    let mut edges = vec![min];
    edges.extend(centers.windows(2).map(|c| middle(c[0], c[1])));
    edges.push(max);
    if edges.len() > 2 {
        edges.dedup();
    }
    Some(edges)
}

fn middle(a: f64, b: f64) -> f64 {
    a * 0.5 + b * 0.5
}

/// The centres in order.
fn centers(values: &[(f64, u64)], min: f64, max: f64, n: u32) -> Vec<f64> {
    // counted from the minimum, and by a power of two so that no square overflows: both exact
    let exponent = (max * 0.5 - min * 0.5)
        .log2()
        .floor()
        .clamp(-1000.0, 1023.0);
    let scale = (-exponent).exp2();
    let origin = min * scale;
    let lloyd = Lloyd::new(values.iter().map(|(x, n)| (x * scale - origin, *n)));
    let start: Vec<f64> = bins::evenly(min, max, n)
        .windows(2)
        .map(|e| middle(e[0], e[1]) * scale - origin)
        .collect();
    let mut centers = lloyd.run(start);
    centers.sort_by(f64::total_cmp);
    for c in &mut centers {
        *c = ((*c + origin) / scale).clamp(min, max);
    }
    centers
}

/// Lloyd's algorithm over sorted distinct values: a cluster is a run of them.
struct Lloyd {
    values: Vec<(f64, u64)>,
    /// How many rows, and their sum in two floats, before each value.
    before: Vec<(u64, f64, f64)>,
    tolerance: f64,
}

impl Lloyd {
    fn new(values: impl Iterator<Item = (f64, u64)>) -> Self {
        let values: Vec<_> = values.collect();
        let mut before = Vec::with_capacity(values.len() + 1);
        let (mut rows, mut sum, mut rest) = (0, 0.0, 0.0);
        before.push((rows, sum, rest));
        for (x, n) in &values {
            let add = x * *n as f64;
            let next: f64 = sum + add;
            let rounded = next - sum;
            rest += (sum - (next - rounded)) + (add - rounded);
            sum = next;
            rows += n;
            before.push((rows, sum, rest));
        }
        let mean = (sum + rest) / rows as f64;
        let squares: f64 = values
            .iter()
            .map(|(x, n)| (x - mean) * (x - mean) * *n as f64)
            .sum();
        Self {
            values,
            before,
            tolerance: TOLERANCE * squares / rows as f64,
        }
    }

    fn run(&self, mut centers: Vec<f64>) -> Vec<f64> {
        let mut last: Vec<Range<usize>> = Vec::new();
        for _ in 0..ROUNDS {
            let clusters = self.clusters(&centers);
            let next = self.means(&centers, &clusters);
            let moved: f64 = next
                .iter()
                .zip(&centers)
                .map(|(a, b)| (a - b) * (a - b))
                .sum();
            centers = next;
            if clusters == last || moved <= self.tolerance {
                break;
            }
            last = clusters;
        }
        centers
    }

    /// The values nearest to each centre; of centres equally near, the first in the list.
    fn clusters(&self, centers: &[f64]) -> Vec<Range<usize>> {
        let mut order: Vec<usize> = (0..centers.len()).collect();
        order.sort_by(|a, b| centers[*a].total_cmp(&centers[*b]).then(a.cmp(b)));
        order.dedup_by(|b, a| centers[*a] == centers[*b]);
        let mut clusters = vec![0..0; centers.len()];
        let mut start = 0;
        for (i, cluster) in order.iter().enumerate() {
            let end = order.get(i + 1).map_or(self.values.len(), |next| {
                let middle = middle(centers[*cluster], centers[*next]);
                self.values[start..]
                    .partition_point(|(x, _)| *x < middle || (*x == middle && cluster < next))
                    + start
            });
            clusters[*cluster] = start..end;
            start = end;
        }
        clusters
    }

    /// The mean of each cluster. One without values takes the row that is farthest from its centre, the next
    /// such one the second farthest.
    fn means(&self, centers: &[f64], clusters: &[Range<usize>]) -> Vec<f64> {
        let mut sums: Vec<(u64, f64)> = clusters
            .iter()
            .map(|c| {
                let (from, to) = (self.before[c.start], self.before[c.end]);
                (to.0 - from.0, (to.1 - from.1) + (to.2 - from.2))
            })
            .collect();
        let empty: Vec<usize> = (0..clusters.len()).filter(|c| sums[*c].0 == 0).collect();
        if !empty.is_empty() {
            for (to, (value, from)) in
                empty
                    .iter()
                    .zip(self.farthest(centers, clusters, empty.len()))
            {
                let x = self.values[value].0;
                sums[from] = (sums[from].0 - 1, sums[from].1 - x);
                sums[*to] = (1, x);
            }
        }
        let mean = |(rows, sum): (u64, f64)| sum / rows as f64;
        // as scikit-learn does: a cluster that stays empty lies where the largest is
        let largest = sums
            .iter()
            .rev()
            .max_by_key(|s| s.0)
            .map_or(0.0, |s| mean(*s));
        sums.iter()
            .map(|s| if s.0 == 0 { largest } else { mean(*s) })
            .collect()
    }

    /// The value and the cluster of the rows farthest from their centres, `n` of them.
    fn farthest(
        &self,
        centers: &[f64],
        clusters: &[Range<usize>],
        n: usize,
    ) -> Vec<(usize, usize)> {
        let mut far: Vec<(f64, usize, usize)> = Vec::with_capacity(self.values.len());
        for (cluster, range) in clusters.iter().enumerate() {
            far.extend(range.clone().map(|value| {
                let distance = self.values[value].0 - centers[cluster];
                (distance * distance, value, cluster)
            }));
        }
        far.retain(|(distance, ..)| *distance > 0.0);
        let order = |a: &(f64, usize, usize), b: &(f64, usize, usize)| -> Ordering {
            b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
        };
        if far.len() > n {
            far.select_nth_unstable_by(n - 1, order);
            far.truncate(n);
        }
        far.sort_by(order);
        far.into_iter()
            .flat_map(|(_, value, cluster)| {
                let rows = usize::try_from(self.values[value].1).unwrap_or(n).min(n);
                std::iter::repeat_n((value, cluster), rows)
            })
            .take(n)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;
    use crate::fitted::testing::{bind_error, fit_apply, floats, grouped, random_floats};

    fn ints(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
        Arc::new(values.into_iter().collect::<Int64Array>())
    }

    #[test]
    fn bins_around_centres() {
        let x = floats([
            Some(1.0),
            Some(2.0),
            None,
            Some(3.0),
            Some(10.0),
            Some(12.0),
            Some(f64::NAN),
            Some(f64::INFINITY),
        ]);
        let y = fit_apply::<KMeansBucketize>(&[("n", 2.into())], &[x]);
        let (low, high) = (Some(0), Some(1));
        assert_eq!(&y, &ints([low, low, None, low, high, high, None, high]));
    }

    #[test]
    fn few_values_have_a_bin_each() {
        let x = floats([Some(7.0), Some(1.0), Some(7.0), Some(2.0), None]);
        let y = fit_apply::<KMeansBucketize>(&[], &[x]);
        assert_eq!(&y, &ints([Some(2), Some(0), Some(2), Some(1), None]));
        let y = fit_apply::<KMeansBucketize>(&[], &[floats([Some(0.1), Some(0.1)])]);
        assert_eq!(&y, &ints([Some(0), Some(0)]));
        let y = fit_apply::<KMeansBucketize>(&[], &[floats([None, Some(f64::NAN)])]);
        assert_eq!(&y, &ints([None, None]));
    }

    #[test]
    fn empty_clusters_take_what_is_far() {
        // KBinsDiscretizer(4, strategy='kmeans'): two of the bins of one width are empty at first
        let values: Vec<_> = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 1000.0]
            .map(|x| (x, 1))
            .into();
        let edges = edges(&values, 4).unwrap_or_default();
        let expected = [0.0, 23.0 / 12.0, 17.0 / 3.0, 504.0, 1000.0];
        assert_eq!(edges.len(), expected.len());
        for (a, b) in edges.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{edges:?} instead of {expected:?}");
        }
    }

    #[test]
    fn no_scale_matters() {
        let values: Vec<_> = (0..50).map(|i| (f64::from(i * i), 1 + i % 3)).collect();
        let values: Vec<_> = values.iter().map(|(x, n)| (*x, *n as u64)).collect();
        let expected = edges(&values, 5).unwrap_or_default();
        assert_eq!(expected.len(), 6);
        for exponent in [-1060, -500, 500, 1012] {
            let scale = f64::from(exponent).exp2();
            let scaled: Vec<_> = values.iter().map(|(x, n)| (x * scale, *n)).collect();
            let edges = edges(&scaled, 5).unwrap_or_default();
            let same = edges.iter().zip(&expected).all(|(a, b)| {
                let b = b * scale;
                (a - b).abs() <= 1e-9 * b.abs().max(f64::MIN_POSITIVE)
            });
            assert!(same, "{edges:?} instead of {expected:?} by {scale}");
        }
        let wild = random_floats(500, 11);
        for n in [2, 7, 100] {
            let mut state = Quantiles::default();
            crate::fitted::numbers::Numbers::add(&mut state, &wild);
            let edges = edges(&state.values(), n).unwrap_or_default();
            assert!(edges.is_sorted() && edges.iter().all(|e| e.is_finite()));
        }
    }

    #[test]
    fn by_group() {
        let x = floats([Some(1.0), Some(2.0), Some(30.0), Some(9.0), Some(4.0), None]);
        let y = grouped::<KMeansBucketize>(&[("n", 2.into())], &[x], &[0, 0, 0, 1, 1, 2]);
        assert_eq!(
            &y,
            &ints([Some(0), Some(0), Some(1), Some(1), Some(0), None])
        );
    }

    #[test]
    fn one_bin_is_refused() {
        let error = bind_error::<KMeansBucketize>(&[("n", 1.into())]);
        assert!(error.contains("whole number of at least 2"), "{error}");
    }
}
