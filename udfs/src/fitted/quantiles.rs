//! Exact quantiles, by numpy's linear interpolation.
//!
//! While the distinct values are few they are counted in a table, and the number of rows does not matter;
//! beyond that, further values are kept as they are. Which value went where depends on the order of the
//! rows, what is read from the whole does not.

use super::numbers::{Numbers, Reader};
use super::table::Table;

/// Distinct values that are counted; a table of so many has 2 MiB.
const COUNTED: usize = 65_536;

/// All finite numbers seen, as counts of values.
#[derive(Debug, Clone, Default)]
pub struct Quantiles {
    counted: Table<i64>,
    /// Values seen after `counted` was full.
    plain: Vec<i64>,
    full: bool,
}

/// A finite float as an integer of the same order; -0.0 is 0.0.
#[inline]
pub fn order_key(x: f64) -> i64 {
    let bits = (x + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The float of an [`order_key`].
#[inline]
pub fn of_order_key(key: i64) -> f64 {
    let bits = key ^ ((key >> 63).cast_unsigned() >> 1).cast_signed();
    f64::from_bits(bits.cast_unsigned())
}

impl Quantiles {
    /// The quantiles at `fractions`, each within 0..=1; `None` if nothing was seen.
    pub fn quantiles(&mut self, fractions: &[f64]) -> Option<Vec<f64>> {
        if self.counted.len() == 0 && self.plain.is_empty() {
            return None;
        }
        let counted: u64 = self.counted.iter().map(|(_, n)| n).sum();
        if self.plain.is_empty() {
            let sorted = self.counted.sorted();
            return Some(of_counted(&sorted, counted, fractions));
        }
        if counted <= self.plain.len() as u64 {
            self.expand();
            return Some(of_plain(&mut self.plain, fractions));
        }
        // a full table that stands for many rows: counting all of it is cheaper than writing it out
        self.plain.sort_unstable();
        let mut all = self.counted.sorted();
        all.extend(
            self.plain
                .chunk_by(|a, b| a == b)
                .map(|run| (run[0], run.len() as u64)),
        );
        all.sort_unstable();
        let total = counted + self.plain.len() as u64;
        Some(of_counted(&all, total, fractions))
    }

    /// The median of the distances from `center`: the MAD, if `center` is the median.
    pub fn median_distance(&mut self, center: f64) -> Option<f64> {
        let distance = |key: i64| order_key((of_order_key(key) - center).abs());
        let mut distances = Self {
            counted: Table::default(),
            plain: self.plain.iter().map(|key| distance(*key)).collect(),
            full: true,
        };
        for (key, n) in self.counted.iter() {
            distances.counted.add(distance(key), n);
        }
        distances.quantiles(&[0.5]).map(|q| q[0])
    }

    /// Moves the counted values to the plain ones.
    fn expand(&mut self) {
        for (key, n) in self.counted.iter() {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            self.plain.extend(std::iter::repeat_n(key, n));
        }
        self.counted = Table::default();
    }
}

/// The two neighbours of the place of a quantile among `n` sorted values, and how far it is between them.
fn place(n: u64, fraction: f64) -> (u64, u64, f64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "numpy computes it in floats too"
    )]
    let at = (n - 1) as f64 * fraction;
    let below = at.floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to n - 1"
    )]
    let lower = (below as u64).min(n - 1);
    (lower, (lower + 1).min(n - 1), at - below)
}

/// numpy's interpolation, which never leaves the two values' range.
fn between(a: f64, b: f64, t: f64) -> f64 {
    let difference = b - a;
    if difference.is_infinite() {
        a * (1.0 - t) + b * t
    } else if t >= 0.5 {
        b - difference * (1.0 - t)
    } else {
        a + difference * t
    }
}

fn of_counted(sorted: &[(i64, u64)], total: u64, fractions: &[f64]) -> Vec<f64> {
    let ends: Vec<u64> = sorted
        .iter()
        .scan(0, |end, (_, n)| {
            *end += n;
            Some(*end)
        })
        .collect();
    let value = |rank: u64| of_order_key(sorted[ends.partition_point(|end| *end <= rank)].0);
    fractions
        .iter()
        .map(|fraction| {
            let (lower, upper, t) = place(total, *fraction);
            between(value(lower), value(upper), t)
        })
        .collect()
}

fn of_plain(values: &mut [i64], fractions: &[f64]) -> Vec<f64> {
    let places: Vec<_> = fractions
        .iter()
        .map(|fraction| place(values.len() as u64, *fraction))
        .collect();
    let mut ranks: Vec<usize> = places
        .iter()
        .flat_map(|(lower, upper, _)| [*lower as usize, *upper as usize])
        .collect();
    ranks.sort_unstable();
    ranks.dedup();
    select(values, 0, &ranks);
    places
        .iter()
        .map(|(lower, upper, t)| {
            let value = |rank: u64| of_order_key(values[rank as usize]);
            between(value(*lower), value(*upper), *t)
        })
        .collect()
}

/// Brings the values of some ranks to their places; `values` begin at rank `first`.
fn select(values: &mut [i64], first: usize, ranks: &[usize]) {
    let Some(rank) = ranks.get(ranks.len() / 2) else {
        return;
    };
    let (left, _, right) = values.select_nth_unstable(rank - first);
    select(left, first, &ranks[..ranks.len() / 2]);
    select(right, rank + 1, &ranks[ranks.len() / 2 + 1..]);
}

impl Numbers for Quantiles {
    fn add(&mut self, values: &[f64]) {
        let mut rest = values.iter();
        if !self.full {
            for x in rest.by_ref() {
                if x.is_finite() {
                    self.counted.add(order_key(*x), 1);
                    if self.counted.len() > COUNTED {
                        self.full = true;
                        break;
                    }
                }
            }
        }
        self.plain
            .extend(rest.filter(|x| x.is_finite()).map(|x| order_key(*x)));
    }

    fn absorb(&mut self, mut other: Self) {
        if self.counted.len() == 0 && self.plain.is_empty() {
            *self = other;
            return;
        }
        if self.counted.len() < other.counted.len() {
            std::mem::swap(self, &mut other);
        }
        self.counted.absorb(&other.counted);
        if self.plain.is_empty() {
            self.plain = other.plain;
        } else {
            self.plain.extend(other.plain);
        }
        self.full |= other.full || self.counted.len() > COUNTED;
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.reserve(24 + 16 * self.counted.len() + 8 * self.plain.len());
        out.push(u8::from(self.full));
        self.counted.write(out);
        out.extend((self.plain.len() as u64).to_le_bytes());
        for key in &self.plain {
            out.extend(key.to_le_bytes());
        }
    }

    fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        let full = bytes.u8()? != 0;
        let mut counted = Table::default();
        for _ in 0..bytes.u64()? {
            counted.add(bytes.u64()?.cast_signed(), bytes.u64()?);
        }
        let plain = bytes.length()?.checked_mul(8)?;
        let (plain, _) = bytes.bytes(plain)?.as_chunks::<8>();
        Some(Self {
            counted,
            plain: plain.iter().map(|key| i64::from_le_bytes(*key)).collect(),
            full,
        })
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.counted.bytes() + 8 * self.plain.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{order_independent, random_floats};

    const FRACTIONS: [f64; 7] = [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0];

    fn of(values: &[f64]) -> Quantiles {
        let mut quantiles = Quantiles::default();
        quantiles.add(values);
        quantiles
    }

    /// By definition, of all values sorted.
    fn plainly(values: &[f64], fraction: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() - 1) as f64 * fraction;
        let (below, t) = (at.floor() as usize, at.fract());
        let above = (below + 1).min(sorted.len() - 1);
        between(sorted[below], sorted[above], t)
    }

    fn bits(quantiles: Option<Vec<f64>>) -> Option<Vec<u64>> {
        quantiles.map(|q| q.iter().map(|x| x.to_bits()).collect())
    }

    #[test]
    fn linear_interpolation() {
        let mut q = of(&[3.0, 1.0, f64::NAN, 2.0, f64::INFINITY, 10.0]);
        let quantiles = q.quantiles(&[0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(quantiles, Some(vec![1.0, 1.75, 2.5, 4.75, 10.0]));
        assert_eq!(of(&[]).quantiles(&[0.5]), None);
        assert_eq!(of(&[f64::NAN]).quantiles(&[0.5]), None);
        assert_eq!(of(&[7.0]).quantiles(&FRACTIONS), Some(vec![7.0; 7]));
        let wide = of(&[-f64::MAX, f64::MAX]).quantiles(&[0.5]);
        assert_eq!(wide, Some(vec![0.0]));
    }

    #[test]
    fn keys_keep_the_order() {
        let mut values = random_floats(1000, 5);
        values.sort_by(f64::total_cmp);
        assert!(values.is_sorted_by_key(|x| order_key(*x)));
        assert!(values.iter().all(|x| of_order_key(order_key(*x)) == *x));
        assert_eq!(order_key(-0.0), order_key(0.0));
    }

    #[test]
    fn counted_and_plain_agree_with_the_definition() {
        let few: Vec<f64> = (0..10_000)
            .map(|i| f64::from(i * 7919 % 1009) / 8.0)
            .collect();
        let many: Vec<f64> = (0..200_000u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as f64)
            .collect();
        // a full table that stands for more rows than are plain
        let mut skewed: Vec<f64> = (0..300_000).map(|i| f64::from(i % 66_000)).collect();
        skewed.extend((0..1000).map(|i| f64::from(i) - 0.5));
        for values in [few, many, skewed] {
            let expected: Vec<f64> = FRACTIONS.iter().map(|f| plainly(&values, *f)).collect();
            assert_eq!(of(&values).quantiles(&FRACTIONS), Some(expected.clone()));
            let (a, b) = values.split_at(values.len() / 3);
            let mut merged = of(a);
            merged.absorb(of(b));
            let mut bytes = Vec::new();
            merged.write(&mut bytes);
            let mut read = Quantiles::read(&mut Reader(&bytes));
            let quantiles = read.as_mut().and_then(|q| q.quantiles(&FRACTIONS));
            assert_eq!(quantiles, Some(expected));
            let median = plainly(&values, 0.5);
            let distances: Vec<f64> = values.iter().map(|x| (x - median).abs()).collect();
            let mad = of(&values).median_distance(median);
            assert_eq!(mad, Some(plainly(&distances, 0.5)));
        }
    }

    #[test]
    fn no_order_matters() {
        let mut values = random_floats(3000, 2);
        values.extend([0.0, -0.0]);
        order_independent::<Quantiles, _>(&values, |q| bits(q.quantiles(&FRACTIONS)));
        order_independent::<Quantiles, _>(&[0.0, -0.0], |q| bits(q.quantiles(&FRACTIONS)));
    }

    #[test]
    fn few_values_take_little_memory() {
        let values: Vec<f64> = (0..1_000_000).map(|i| f64::from(i % 1000)).collect();
        assert!(of(&values).bytes() < 64 * 1024);
        let distinct: Vec<f64> = (0..100_000).map(f64::from).collect();
        assert!(of(&distinct).bytes() >= 16 * COUNTED);
    }
}
