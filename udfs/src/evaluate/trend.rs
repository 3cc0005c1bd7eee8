//! How pairs of columns go together in two tables.

use datafusion_common::Result;

use super::Table;
use super::shape::extent;
use super::tables::Tables;
use crate::fitted::counts::MISSING;
use crate::learn::boosting::Column;
use crate::table::{Stop, in_parallel};

/// Bins of numbers: of the same width where shares are compared, of as many rows where information is measured.
const BINS: usize = 10;
/// Cells of a pair that are counted in a table; more are sorted.
const MOST_CELLS: usize = 1 << 16;

/// What is told of a pair of columns.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pair {
    /// Whether both are numbers, so that their correlations are compared.
    pub correlated: bool,
    pub similarity: Option<f64>,
    /// How strongly they go together in the first and in the second table: Pearson's correlation of numbers, Cramér's V else.
    pub association: [Option<f64>; 2],
    /// The normalised mutual information in the first and in the second table.
    pub information: [f64; 2],
}

/// All pairs of columns, the first ones' after another.
pub fn places(columns: usize) -> Vec<(usize, usize)> {
    (0..columns)
        .flat_map(|a| (a + 1..columns).map(move |b| (a, b)))
        .collect()
}

/// What is told of all pairs, in the order of [`places`].
pub fn pairs(
    tables: &Tables,
    real: &Table,
    synthetic: &Table,
    threads: usize,
    stop: &Stop,
) -> Result<Vec<Pair>> {
    let coded = |equal_width: bool| {
        let columns = (0..tables.shared.len()).collect();
        in_parallel(columns, threads, move |at: usize| {
            let many = tables.many(at) as u32;
            Ok(Coded::of(
                &real.columns[at],
                &synthetic.columns[at],
                many,
                equal_width,
            ))
        })
    };
    let (widths, deciles) = (coded(true)?, coded(false)?);
    in_parallel(places(tables.shared.len()), threads, |(a, b)| {
        stop.check()?;
        let shares = Cells::of(&widths[a], &widths[b]);
        let numbers = [real, synthetic].map(|t| match (&t.columns[a], &t.columns[b]) {
            (Column::Numbers(x), Column::Numbers(y)) => Some(pearson(x, y)),
            _ => None,
        });
        let (correlated, similarity, association) = match numbers {
            [Some(real), Some(synthetic)] => {
                let both = real.zip(synthetic);
                let similarity = both.map(|(r, s)| 1.0 - (r - s).abs() / 2.0);
                (true, similarity, [real, synthetic])
            }
            _ => (false, shares.similarity(), shares.cramers_v()),
        };
        Ok(Pair {
            correlated,
            similarity,
            association,
            information: Cells::of(&deciles[a], &deciles[b]).information(),
        })
    })
}

/// The differences of the normalised mutual information, weighted by the sum of both.
pub fn wnmis(pairs: &[Pair]) -> Option<f64> {
    let (mut apart, mut all) = (0.0, 0.0);
    for [a, b] in pairs.iter().map(|p| p.information) {
        apart += (a - b).abs() * (a + b);
        all += a + b;
    }
    (all > 0.0).then(|| apart / all)
}

/// A column's values as codes, in both tables; the last code is what is missing.
struct Coded {
    codes: [Vec<u32>; 2],
    many: u32,
}

impl Coded {
    fn of(real: &Column, synthetic: &Column, categories: u32, equal_width: bool) -> Self {
        match (real, synthetic) {
            (Column::Numbers(real), Column::Numbers(synthetic)) => {
                let cuts = match equal_width {
                    true => equal_widths(real),
                    false => deciles(real),
                };
                let missing = cuts.len() as u32 + 1;
                let code = |x: &f64| match x.is_nan() {
                    true => missing,
                    false => cuts.partition_point(|cut| cut <= x) as u32,
                };
                Self {
                    codes: [real, synthetic].map(|values| values.iter().map(code).collect()),
                    many: missing + 1,
                }
            }
            (real, synthetic) => {
                let codes = [real, synthetic].map(|column| match column {
                    Column::Categories(codes) => {
                        let code = |c: &u32| if *c == MISSING { categories } else { *c };
                        codes.iter().map(code).collect()
                    }
                    Column::Numbers(_) => Vec::new(),
                });
                Self {
                    codes,
                    many: categories + 1,
                }
            }
        }
    }
}

/// Where bins of the same width begin, but the first.
fn equal_widths(values: &[f64]) -> Vec<f64> {
    let finite: Vec<f64> = values.iter().filter(|x| x.is_finite()).copied().collect();
    let Some([low, high]) = extent(&finite) else {
        return Vec::new();
    };
    // as numpy's histogram_bin_edges, which widens what has no width
    let [low, high] = if low == high {
        [low - 0.5, high + 0.5]
    } else {
        [low, high]
    };
    let width = high - low;
    let edge = |i: usize| match width.is_finite() {
        true => low + width / BINS as f64 * i as f64,
        false => {
            let t = i as f64 / BINS as f64;
            low * (1.0 - t) + high * t
        }
    };
    (1..BINS).map(edge).collect()
}

/// The nine numbers between tenths of the rows; fewer where some are the same.
fn deciles(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().filter(|x| !x.is_nan()).copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut cuts: Vec<f64> = (1..BINS)
        .filter_map(|i| sorted.get(sorted.len() * i / BINS).copied())
        .collect();
    cuts.dedup();
    // nothing is below the least
    cuts.retain(|cut| sorted.first().is_some_and(|least| cut > least));
    cuts
}

/// How often each pair of values is there: in the first and in the second table.
struct Cells {
    /// The pair, and its rows in both tables; pairs that none has may be among them.
    counts: Vec<(u32, u32, [u64; 2])>,
    many: [u32; 2],
    rows: [u64; 2],
}

impl Cells {
    fn of(a: &Coded, b: &Coded) -> Self {
        let rows = [0, 1].map(|t| a.codes[t].len() as u64);
        let many = [a.many, b.many];
        let cells = a.many as usize * b.many as usize;
        let counts = if cells <= MOST_CELLS {
            let mut counts = vec![[0u64; 2]; cells];
            for (table, (left, right)) in a.codes.iter().zip(&b.codes).enumerate() {
                for (x, y) in left.iter().zip(right) {
                    counts[(*x * b.many + *y) as usize][table] += 1;
                }
            }
            let places = (0..a.many).flat_map(|x| (0..b.many).map(move |y| (x, y)));
            places.zip(counts).map(|((x, y), n)| (x, y, n)).collect()
        } else {
            let mut all: Vec<(u32, u32, usize)> = (0..2)
                .flat_map(|t| (a.codes[t].iter().zip(&b.codes[t])).map(move |(x, y)| (*x, *y, t)))
                .collect();
            all.sort_unstable();
            all.chunk_by(|p, q| (p.0, p.1) == (q.0, q.1))
                .map(|run| {
                    let first = run.iter().filter(|p| p.2 == 0).count() as u64;
                    (run[0].0, run[0].1, [first, run.len() as u64 - first])
                })
                .collect()
        };
        Self { counts, many, rows }
    }

    /// 1 less half the sum of the differences of the shares, as SDMetrics' ContingencySimilarity.
    fn similarity(&self) -> Option<f64> {
        let [n, m] = self.rows.map(|n| n as f64);
        let apart = self
            .counts
            .iter()
            .map(|(_, _, [x, y])| (*x as f64 / n - *y as f64 / m).abs());
        (n > 0.0 && m > 0.0).then(|| 1.0 - apart.sum::<f64>() / 2.0)
    }

    /// How often each value of the one and of the other column is there.
    fn margins(&self, table: usize) -> [Vec<u64>; 2] {
        let mut margins = self.many.map(|many| vec![0; many as usize]);
        for (x, y, n) in &self.counts {
            margins[0][*x as usize] += n[table];
            margins[1][*y as usize] += n[table];
        }
        margins
    }

    /// Cramér's V, not corrected for bias; `None` if a column is constant.
    fn cramers_v(&self) -> [Option<f64>; 2] {
        [0, 1].map(|table| {
            let [a, b] = self.margins(table);
            let n = self.rows[table] as f64;
            let least = [&a, &b].map(|m| m.iter().filter(|n| **n > 0).count());
            let least = least[0].min(least[1]);
            // chi2 / n = sum of O^2 / (row * column) - 1
            let terms = self
                .counts
                .iter()
                .filter(|(.., n)| n[table] > 0)
                .map(|(x, y, n)| {
                    let o = n[table] as f64;
                    o * o / (a[*x as usize] as f64 * b[*y as usize] as f64)
                });
            let chi2 = terms.sum::<f64>() - 1.0;
            (n > 0.0 && least > 1).then(|| (chi2 / (least - 1) as f64).clamp(0.0, 1.0).sqrt())
        })
    }

    /// The mutual information over the mean of the entropies, as scikit-learn's; 0 if a column is constant.
    fn information(&self) -> [f64; 2] {
        [0, 1].map(|table| {
            let n = self.rows[table] as f64;
            let margins = self.margins(table);
            let entropy = |counts: &[u64]| {
                let shares = counts.iter().filter(|n| **n > 0).map(|c| *c as f64 / n);
                shares.map(|p| -p * p.ln()).sum::<f64>()
            };
            let mean = (entropy(&margins[0]) + entropy(&margins[1])) / 2.0;
            let terms = self
                .counts
                .iter()
                .filter(|(.., n)| n[table] > 0)
                .map(|(x, y, count)| {
                    let joint = count[table] as f64;
                    let (x, y) = (
                        margins[0][*x as usize] as f64,
                        margins[1][*y as usize] as f64,
                    );
                    joint / n * (joint * n / (x * y)).ln()
                });
            let mutual: f64 = terms.sum();
            if mean > 0.0 {
                (mutual / mean).clamp(0.0, 1.0)
            } else {
                0.0
            }
        })
    }
}

/// Pearson's correlation over the rows where both are finite; `None` if one is constant there.
fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let both = || {
        x.iter()
            .zip(y)
            .filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    // by the largest, so that squares are floats
    let [wide, tall] = both().fold([0.0f64; 2], |[a, b], (x, y)| {
        [a.max(x.abs()), b.max(y.abs())]
    });
    let scaled = || both().map(|(x, y)| (x / wide, y / tall));
    let n = both().count() as f64;
    let (sum_x, sum_y) = scaled().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let [xx, xy, yy] = scaled().fold([0.0; 3], |[xx, xy, yy], (x, y)| {
        let (x, y) = (x - mean_x, y - mean_y);
        [xx + x * x, xy + x * y, yy + y * y]
    });
    // of a constant the mean is off by what rounding leaves
    let spread = |squares: f64| squares > n * 1e-28;
    (spread(xx) && spread(yy)).then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation() {
        let x = [1.0, 2.0, 3.0, f64::NAN, 5.0];
        let is_one = |r: Option<f64>| r.is_some_and(|r| (r - 1.0).abs() < 1e-12);
        assert!(is_one(pearson(&x, &[2.0, 4.0, 6.0, 0.0, 10.0])));
        assert!(is_one(pearson(&[1e308, -1e308], &[1e-308, -1e-308])));
        assert_eq!(pearson(&x, &[0.1; 5]), None);
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!(pearson(&[f64::INFINITY, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn cells_counted_and_sorted_are_the_same() {
        let column = |n: usize, many: u32, step: usize| Coded {
            codes: [0, 7].map(|shift| (0..n).map(|i| ((i + shift) * step) as u32 % 10).collect()),
            many,
        };
        let told = |many: u32| {
            let cells = Cells::of(&column(500, many, 3), &column(500, many, 7));
            (cells.similarity(), cells.cramers_v(), cells.information())
        };
        assert_eq!(told(10), told(5000));
        let (_, v, information) = told(10);
        assert!(v.iter().all(|v| (v.unwrap() - 1.0).abs() < 1e-12));
        assert!(information.iter().all(|i| (i - 1.0).abs() < 1e-12));
    }

    #[test]
    fn bins() {
        let cuts = equal_widths(&[0.0, 10.0, f64::INFINITY, f64::NAN]);
        assert_eq!(cuts, (1..10).map(f64::from).collect::<Vec<_>>());
        assert_eq!(equal_widths(&[f64::NAN]), Vec::<f64>::new());
        assert!(
            equal_widths(&[f64::MIN, f64::MAX])
                .iter()
                .all(|x| x.is_finite())
        );
        assert_eq!(
            deciles(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0]),
            [1.0, 2.0]
        );
        assert_eq!(deciles(&[7.0; 4]), Vec::<f64>::new());
    }
}
