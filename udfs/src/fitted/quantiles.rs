//! Exact quantiles, by numpy's linear interpolation or as values that were seen.
//!
//! Whole numbers within a narrow range are counted in an array, other values in a hash table while the
//! distinct ones are few, so that the number of rows does not matter; beyond that, further values are kept
//! as they are. Which value went where depends on the order of the rows, what is read from the whole does not.

use datafusion_common::Result;

use super::numbers::{Numbers, Reader};
use super::table::Table;
use crate::options::Options;
use crate::spec::Param;

/// Distinct values that are counted; a table of so many has 2 MiB.
const COUNTED: usize = 65_536;

/// Rows after which almost only new values mean that counting them does not pay.
const TRIED: u64 = 8192;
/// Values looked at together.
const CHUNK: usize = 1024;
/// 1.5 * 2^52: adding and taking it away again rounds to a whole number.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// The option that says what a quantile between two values is.
pub const QUANTILE_METHOD: Param = Param::option(
    "quantile_method",
    "'linear'",
    "what a quantile between two values is: 'linear': in proportion between them; 'inverted_cdf': the smallest value \
     that so many values do not exceed, as in BigQuery",
);

/// What a quantile between two values is, by numpy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    #[default]
    Linear,
    InvertedCdf,
}

impl Method {
    /// Reads the option [`QUANTILE_METHOD`].
    pub fn new(options: &Options) -> Result<Self> {
        let choice = options.choice(QUANTILE_METHOD.name, &["linear", "inverted_cdf"])?;
        Ok(match choice {
            "inverted_cdf" => Self::InvertedCdf,
            _ => Self::Linear,
        })
    }
}

/// All numbers seen but NaN, as counts of values; an infinity is one beyond all others.
#[derive(Debug, Clone, Default)]
pub struct Quantiles {
    whole: Whole,
    counted: Table<i64>,
    /// Rows in `counted`.
    rows: u64,
    /// Values seen after `counted` was full.
    plain: Vec<i64>,
    full: bool,
}

/// How often each whole number of a range was seen.
#[derive(Debug, Clone, Default)]
struct Whole {
    low: i32,
    counts: Vec<u64>,
    rows: u64,
}

impl Whole {
    /// Takes the values if all are whole numbers and the range, as wide as it then is, is worth its memory.
    fn add(&mut self, values: &[f64]) -> bool {
        const LANES: usize = 8;
        let mut low = [f64::INFINITY; LANES];
        let mut high = [f64::NEG_INFINITY; LANES];
        let mut whole = [true; LANES];
        let mut look = |i: usize, x: f64| {
            whole[i] &= (x + ROUNDER) - ROUNDER == x;
            low[i] = if x < low[i] { x } else { low[i] };
            high[i] = if x > high[i] { x } else { high[i] };
        };
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (i, x) in chunk.iter().enumerate() {
                look(i, *x);
            }
        }
        for (i, x) in rest.iter().enumerate() {
            look(i, *x);
        }
        let low = low.into_iter().fold(f64::INFINITY, f64::min);
        let high = high.into_iter().fold(f64::NEG_INFINITY, f64::max);
        if whole.contains(&false) || !self.open(low, high, values.len() as u64) {
            return false;
        }
        for x in values {
            #[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
            let at = (*x as i32 - self.low) as usize;
            self.counts[at] += 1;
        }
        self.rows += values.len() as u64;
        true
    }

    /// Makes room for a range of values of so many rows; false if they are too few for it.
    fn open(&mut self, low: f64, high: f64, rows: u64) -> bool {
        let limit = f64::from(i32::MAX / 4);
        if !(low >= -limit && high <= limit) {
            return false;
        }
        #[expect(clippy::cast_possible_truncation, reason = "within the limit")]
        let (mut low, mut high) = (low as i32, high as i32);
        if !self.counts.is_empty() {
            low = low.min(self.low);
            high = high.max(self.low + self.counts.len() as i32 - 1);
        }
        let size = (high - low) as usize + 1;
        if size == self.counts.len() {
            return true;
        }
        if size > COUNTED || size as u64 > 4 * (self.rows + rows) {
            return false;
        }
        if self.counts.is_empty() {
            self.low = low;
        }
        let before = (self.low - low) as usize;
        self.counts.splice(0..0, std::iter::repeat_n(0, before));
        self.counts.resize(size, 0);
        self.low = low;
        true
    }

    /// Keys and counts, in order.
    fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        (self.low..)
            .zip(&self.counts)
            .filter(|(_, n)| **n > 0)
            .map(|(x, n)| (order_key(f64::from(x)), *n))
    }
}

/// A float that is not NaN as an integer of the same order; -0.0 is 0.0.
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
        self.quantiles_by(fractions, Method::Linear)
    }

    /// [`Self::quantiles`] by a method.
    pub fn quantiles_by(&mut self, fractions: &[f64], method: Method) -> Option<Vec<f64>> {
        let counted = self.whole.rows + self.rows;
        if counted == 0 && self.plain.is_empty() {
            return None;
        }
        if self.plain.is_empty() {
            return Some(of_counted(&self.sorted(), counted, fractions, method));
        }
        if counted <= self.plain.len() as u64 {
            self.expand();
            return Some(of_plain(&mut self.plain, fractions, method));
        }
        // a full table that stands for many rows: counting all of it is cheaper than writing it out
        self.plain.sort_unstable();
        let mut all = self.sorted();
        all.extend(
            self.plain
                .chunk_by(|a, b| a == b)
                .map(|run| (run[0], run.len() as u64)),
        );
        all.sort_unstable();
        let total = counted + self.plain.len() as u64;
        Some(of_counted(&all, total, fractions, method))
    }

    /// The median of the distances from `center`: the MAD, if `center` is the median.
    pub fn median_distance(&mut self, center: f64) -> Option<f64> {
        let distance = |key: i64| {
            let x = of_order_key(key);
            // an infinity has no distance from itself
            order_key(if x == center { 0.0 } else { (x - center).abs() })
        };
        let mut distances = Self {
            plain: self.plain.iter().map(|key| distance(*key)).collect(),
            rows: self.whole.rows + self.rows,
            ..Self::default()
        };
        for (key, n) in self.whole.iter().chain(self.counted.iter()) {
            distances.counted.add(distance(key), n);
        }
        distances.quantiles(&[0.5]).map(|q| q[0])
    }

    /// How many numbers were seen.
    pub fn total(&self) -> u64 {
        self.whole.rows + self.rows + self.plain.len() as u64
    }

    /// The distinct values in order, and how often each was seen.
    pub fn values(&self) -> Vec<(f64, u64)> {
        let mut sorted = self.sorted();
        if !self.plain.is_empty() {
            sorted.extend(self.plain.iter().map(|key| (*key, 1)));
            sorted.sort_unstable();
        }
        sorted
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| (of_order_key(run[0].0), run.iter().map(|(_, n)| n).sum()))
            .collect()
    }

    /// The counted values in order; a value may come twice.
    fn sorted(&self) -> Vec<(i64, u64)> {
        let mut sorted: Vec<_> = self.whole.iter().chain(self.counted.iter()).collect();
        sorted.sort_unstable();
        sorted
    }

    /// Moves the counted values to the plain ones.
    fn expand(&mut self) {
        let counted = std::mem::take(&mut self.counted);
        let whole = std::mem::take(&mut self.whole);
        self.rows = 0;
        for (key, n) in whole.iter().chain(counted.iter()) {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            self.plain.extend(std::iter::repeat_n(key, n));
        }
    }

    fn count(&mut self, key: i64, n: u64) {
        self.counted.add(key, n);
        self.rows += n;
    }

    /// Takes numbers that are not all whole ones of a narrow range.
    fn add_reals(&mut self, values: &[f64]) {
        let present = values.iter().filter(|x| !x.is_nan());
        if self.full {
            if !values.iter().fold(false, |nan, x| nan | x.is_nan()) {
                self.plain.extend(values.iter().map(|x| order_key(*x)));
            } else {
                self.plain.extend(present.map(|x| order_key(*x)));
            }
            return;
        }
        for x in present {
            self.count(order_key(*x), 1);
        }
        let distinct = self.counted.len();
        let tried = (TRIED..2 * TRIED).contains(&self.rows);
        self.full = distinct > COUNTED || (tried && 10 * distinct as u64 > 9 * self.rows);
    }
}

/// The two neighbours of the place of a quantile among `n` sorted values, and how far it is between them.
pub(crate) fn place(n: u64, fraction: f64, method: Method) -> (u64, u64, f64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "numpy computes it in floats too"
    )]
    let at = match method {
        Method::Linear => (n - 1) as f64 * fraction,
        Method::InvertedCdf => ((n as f64 * fraction).ceil() - 1.0).max(0.0),
    };
    let below = at.floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to n - 1"
    )]
    let lower = (below as u64).min(n - 1);
    (lower, (lower + 1).min(n - 1), at - below)
}

/// numpy's interpolation, which never leaves the two values' range. Where it has no answer, between two
/// infinities, that of the nearer.
pub(crate) fn between(a: f64, b: f64, t: f64) -> f64 {
    let difference = b - a;
    if t == 0.0 || a == b {
        a
    } else if a == f64::NEG_INFINITY && b == f64::INFINITY {
        if t < 0.5 { a } else { b }
    } else if difference.is_infinite() {
        a * (1.0 - t) + b * t
    } else if t >= 0.5 {
        b - difference * (1.0 - t)
    } else {
        a + difference * t
    }
}

fn of_counted(sorted: &[(i64, u64)], total: u64, fractions: &[f64], method: Method) -> Vec<f64> {
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
            let (lower, upper, t) = place(total, *fraction, method);
            between(value(lower), value(upper), t)
        })
        .collect()
}

fn of_plain(values: &mut [i64], fractions: &[f64], method: Method) -> Vec<f64> {
    let places: Vec<_> = fractions
        .iter()
        .map(|fraction| place(values.len() as u64, *fraction, method))
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
        for chunk in values.chunks(CHUNK) {
            if !self.whole.add(chunk) {
                self.add_reals(chunk);
            }
        }
    }

    fn absorb(&mut self, mut other: Self) {
        if self.rows + self.whole.rows == 0 && self.plain.is_empty() {
            *self = other;
            return;
        }
        if self.counted.len() < other.counted.len() {
            std::mem::swap(self, &mut other);
        }
        for (key, n) in other.counted.iter() {
            self.count(key, n);
        }
        let low = f64::from(other.whole.low);
        let high = low + other.whole.counts.len() as f64 - 1.0;
        if other.whole.counts.is_empty() {
            // nothing to take
        } else if self.whole.open(low, high, other.whole.rows) {
            let at = (other.whole.low - self.whole.low) as usize;
            for (count, n) in self.whole.counts[at..].iter_mut().zip(&other.whole.counts) {
                *count += n;
            }
            self.whole.rows += other.whole.rows;
        } else {
            for (key, n) in other.whole.iter() {
                self.count(key, n);
            }
        }
        if self.plain.is_empty() {
            self.plain = other.plain;
        } else {
            self.plain.extend(other.plain);
        }
        self.full |= other.full || self.counted.len() > COUNTED;
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.full));
        self.counted.write(out);
        let whole = self.whole.iter().count();
        out.reserve(16 + 12 * whole + 8 * self.plain.len());
        out.extend((whole as u64).to_le_bytes());
        for (x, n) in (self.whole.low..)
            .zip(&self.whole.counts)
            .filter(|(_, n)| **n > 0)
        {
            out.extend(x.to_le_bytes());
            out.extend(n.to_le_bytes());
        }
        out.extend((self.plain.len() as u64).to_le_bytes());
        for key in &self.plain {
            out.extend(key.to_le_bytes());
        }
    }

    fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        let mut state = Self {
            full: bytes.u8()? != 0,
            ..Self::default()
        };
        for _ in 0..bytes.u64()? {
            state.count(bytes.u64()?.cast_signed(), bytes.u64()?);
        }
        let entries = bytes.length()?.checked_mul(12)?;
        let (entries, _) = bytes.bytes(entries)?.as_chunks::<12>();
        let entries: Vec<(i32, u64)> = entries
            .iter()
            .map(|[a, b, c, d, n @ ..]| {
                (i32::from_le_bytes([*a, *b, *c, *d]), u64::from_le_bytes(*n))
            })
            .collect();
        if let (Some((low, _)), Some((high, _))) = (entries.first(), entries.last()) {
            state.whole.low = *low;
            // written in order, and no wider than what was gathered
            let size = usize::try_from(high.checked_sub(*low)?).ok()? + 1;
            if size > COUNTED {
                return None;
            }
            state.whole.counts = vec![0; size];
            for (x, n) in &entries {
                let at = usize::try_from(x.checked_sub(*low)?).ok()?;
                *state.whole.counts.get_mut(at)? += n;
                state.whole.rows += n;
            }
        }
        let plain = bytes.length()?.checked_mul(8)?;
        let (plain, _) = bytes.bytes(plain)?.as_chunks::<8>();
        state.plain = plain.iter().map(|key| i64::from_le_bytes(*key)).collect();
        Some(state)
    }

    fn bytes(&self) -> usize {
        let whole = 8 * self.whole.counts.capacity();
        size_of::<Self>() + whole + self.counted.bytes() + 8 * self.plain.capacity()
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
        let mut q = of(&[3.0, 1.0, f64::NAN, 2.0, 10.0]);
        let quantiles = q.quantiles(&[0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(quantiles, Some(vec![1.0, 1.75, 2.5, 4.75, 10.0]));
        assert_eq!(of(&[]).quantiles(&[0.5]), None);
        assert_eq!(of(&[f64::NAN]).quantiles(&[0.5]), None);
        assert_eq!(of(&[7.0]).quantiles(&FRACTIONS), Some(vec![7.0; 7]));
        let wide = of(&[-f64::MAX, f64::MAX]).quantiles(&[0.5]);
        assert_eq!(wide, Some(vec![0.0]));
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut q = of(&[high, 1.0, low, 3.0, 2.0]);
        let quantiles = q.quantiles(&[0.0, 0.1, 0.5, 0.6, 0.75, 0.8, 1.0]);
        assert_eq!(quantiles, Some(vec![low, low, 2.0, 2.4, 3.0, high, high]));
        assert_eq!(q.median_distance(2.0), Some(1.0));
        assert_eq!(
            of(&[low, high]).quantiles(&[0.25, 0.5]),
            Some(vec![low, high])
        );
        assert_eq!(of(&[high, high, 1.0]).median_distance(high), Some(0.0));
    }

    #[test]
    fn inverted_cdf() {
        // numpy.quantile(x, q, method="inverted_cdf")
        let fractions = [0.0, 0.25, 0.3, 0.5, 0.75, 1.0];
        let expected = Some(vec![-3.0, 1.0, 1.0, 2.0, 4.0, 5.0]);
        let mut whole = of(&[4.0, 1.0, -3.0, 2.0, 5.0, 3.0]);
        assert_eq!(
            whole.quantiles_by(&fractions, Method::InvertedCdf),
            expected
        );
        let mut plain = Quantiles {
            plain: [4.0, 1.0, -3.0, 2.0, 5.0, 3.0].map(order_key).to_vec(),
            ..Quantiles::default()
        };
        assert_eq!(
            plain.quantiles_by(&fractions, Method::InvertedCdf),
            expected
        );
        let mut one = of(&[7.5]);
        let all = Some(vec![7.5; 6]);
        assert_eq!(one.quantiles_by(&fractions, Method::InvertedCdf), all);
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
        let mut skewed: Vec<f64> = (0..300_000u64)
            .map(|i| (i * i % 66_037) as f64 * 0.1)
            .collect();
        skewed.extend((0..40_000).map(|i| f64::from(i) * 0.01 - 0.005));
        let mut mixed: Vec<f64> = (-500..500).map(f64::from).collect();
        mixed.extend(&few);
        mixed.extend((0..5000).map(|i| f64::from(i * i)));
        for values in [few, many, skewed, mixed] {
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
    fn values_and_how_often() {
        let q = of(&[2.5, 1.0, f64::NAN, 2.5, -0.0, 0.0, f64::INFINITY]);
        let values = vec![(0.0, 2), (1.0, 1), (2.5, 2), (f64::INFINITY, 1)];
        assert_eq!((q.total(), q.values()), (6, values));
        assert_eq!((of(&[]).total(), of(&[]).values()), (0, Vec::new()));
        // some counted as whole numbers, some in the table, some as they are
        let mut many: Vec<f64> = (0..2000).map(|i| f64::from(i % 100)).collect();
        many.extend((0..100_000).map(|i| f64::from(i) / 8.0));
        let q = of(&many);
        assert_eq!(q.total(), 102_000);
        let values = q.values();
        assert_eq!(values.len(), 100_000);
        assert_eq!(values[..2], [(0.0, 21), (0.125, 1)]);
        order_independent::<Quantiles, _>(&random_floats(3000, 7), |q| q.values());
    }

    #[test]
    fn no_order_matters() {
        let mut values = random_floats(3000, 2);
        values.extend([0.0, -0.0]);
        order_independent::<Quantiles, _>(&values, |q| bits(q.quantiles(&FRACTIONS)));
        order_independent::<Quantiles, _>(&[0.0, -0.0], |q| bits(q.quantiles(&FRACTIONS)));
        let values: Vec<f64> = (0..3000)
            .map(|i| f64::from(i * 7919 % 5003 - 900) * if i % 50 == 0 { 0.5 } else { 1.0 })
            .collect();
        order_independent::<Quantiles, _>(&values, |q| bits(q.quantiles(&FRACTIONS)));
    }

    #[test]
    fn few_values_take_little_memory() {
        let values: Vec<f64> = (0..1_000_000).map(|i| f64::from(i % 1000)).collect();
        assert!(of(&values).bytes() < 64 * 1024);
        let halves: Vec<f64> = values.iter().map(|x| x + 0.5).collect();
        assert!(of(&halves).bytes() < 128 * 1024);
        let distinct: Vec<f64> = (0..100_000).map(|i| f64::from(i) + 0.5).collect();
        assert!(of(&distinct).bytes() >= 8 * 100_000);
    }
}
