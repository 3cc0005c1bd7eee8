//! Exact quantiles, by numpy's linear interpolation or as values that were seen.
//!
//! Whole numbers within a narrow range are counted in an array. Other values are kept as they are until it shows
//! whether they repeat; if they do, they are counted in a hash table while the distinct ones are few, so that the
//! number of rows does not matter. Which value went where depends on the order of the rows, what is read from the
//! whole does not.

use datafusion_common::Result;
use rayon::slice::ParallelSliceMut;

use super::numbers::{Numbers, Reader};
use super::table::Table;
use crate::options::Options;
use crate::spec::Param;

/// Distinct values that are counted; a table of so many has 2 MiB.
const COUNTED: usize = 65_536;

/// Rows after which values are counted if at least half of them were there before.
const FIRST_TRY: usize = 256;
/// Rows after which almost only new values mean that counting them does not pay.
const LAST_TRY: usize = 8192;
/// Values kept in one piece of memory, so that many are never moved to a larger one.
const PIECE: usize = 65_536;
/// Values below which a piece is copied rather than kept as a piece.
const SMALL_PIECE: usize = 1024;
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
    /// Values that are not counted: those seen before it showed that they repeat, or after `counted` was full.
    plain: Pieces,
    /// Whether it was tried to count the values, in vain.
    tried: bool,
    full: bool,
}

/// Values in pieces of memory.
#[derive(Debug, Clone, Default)]
struct Pieces {
    pieces: Vec<Vec<i64>>,
    len: usize,
    /// Values there is memory for.
    capacity: usize,
}

impl Pieces {
    fn of(piece: Vec<i64>) -> Self {
        Self {
            len: piece.len(),
            capacity: piece.capacity(),
            pieces: vec![piece],
        }
    }

    fn iter(&self) -> impl Iterator<Item = i64> {
        self.pieces.iter().flatten().copied()
    }

    /// Takes values, as many as there are.
    fn extend(&mut self, mut values: impl ExactSizeIterator<Item = i64>) {
        self.len += values.len();
        while values.len() > 0 {
            let room = match self.pieces.last() {
                Some(piece) => PIECE.saturating_sub(piece.len()),
                None => 0,
            };
            if room == 0 {
                // the first one grows, since there may be few values
                let size = if self.pieces.is_empty() { 0 } else { PIECE };
                self.pieces.push(Vec::with_capacity(size));
                self.capacity += size;
                continue;
            }
            if let Some(piece) = self.pieces.last_mut() {
                let before = piece.capacity();
                piece.extend(values.by_ref().take(room));
                self.capacity += piece.capacity() - before;
            }
        }
    }

    fn absorb(&mut self, other: Self) {
        for piece in other.pieces {
            if piece.len() < SMALL_PIECE && !self.pieces.is_empty() {
                self.extend(piece.into_iter());
            } else {
                self.len += piece.len();
                self.capacity += piece.capacity();
                self.pieces.push(piece);
            }
        }
    }

    /// All values as one piece.
    fn joined(mut self) -> Vec<i64> {
        if self.pieces.len() < 2 {
            return self.pieces.pop().unwrap_or_default();
        }
        let mut all = Vec::with_capacity(self.len);
        for piece in self.pieces {
            all.extend_from_slice(&piece);
        }
        all
    }

    fn bytes(&self) -> usize {
        8 * self.capacity + size_of::<Vec<i64>>() * self.pieces.capacity()
    }
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
        if values
            .first()
            .is_some_and(|x| (x + ROUNDER) - ROUNDER != *x)
        {
            return false;
        }
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
        if counted == 0 && self.plain.len == 0 {
            return None;
        }
        if self.plain.len == 0 {
            return Some(of_counted(&self.sorted(), counted, fractions, method));
        }
        if counted <= self.plain.len as u64 {
            self.expand();
            return Some(of_plain(&mut self.plain, fractions, method));
        }
        // a full table that stands for many rows: counting all of it is cheaper than writing it out
        let mut plain = std::mem::take(&mut self.plain).joined();
        plain.sort_unstable();
        let mut all = self.sorted();
        all.extend(
            plain
                .chunk_by(|a, b| a == b)
                .map(|run| (run[0], run.len() as u64)),
        );
        all.sort_unstable();
        let total = counted + plain.len() as u64;
        self.plain = Pieces::of(plain);
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
            rows: self.whole.rows + self.rows,
            ..Self::default()
        };
        for piece in &self.plain.pieces {
            let keys = piece.iter().map(|key| distance(*key));
            distances.plain.extend(keys);
        }
        for (key, n) in self.whole.iter().chain(self.counted.iter()) {
            distances.counted.add(distance(key), n);
        }
        distances.quantiles(&[0.5]).map(|q| q[0])
    }

    /// How many numbers were seen.
    pub fn total(&self) -> u64 {
        self.whole.rows + self.rows + self.plain.len as u64
    }

    /// The distinct values in order, and how often each was seen.
    pub fn values(&self) -> Vec<(f64, u64)> {
        let mut sorted = self.sorted();
        if self.plain.len > 0 {
            sorted.extend(self.plain.iter().map(|key| (key, 1)));
            sorted.sort_unstable();
        }
        sorted
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| (of_order_key(run[0].0), run.iter().map(|(_, n)| n).sum()))
            .collect()
    }

    /// The distinct values in order and how often each was seen, without pairs where nearly all are different.
    pub fn into_distinct(mut self) -> Distinct {
        if self.whole.rows + self.rows > self.plain.len as u64 {
            let (values, counts) = self.values().into_iter().unzip();
            return Distinct {
                values,
                counts: Some(counts),
            };
        }
        self.expand();
        let mut keys = self.plain.joined();
        keys.par_sort_unstable();
        let different = keys.windows(2).all(|pair| pair[0] != pair[1]);
        let counts = (!different).then(|| {
            let runs = keys.chunk_by(|a, b| a == b);
            runs.map(|run| run.len() as u64).collect()
        });
        keys.dedup();
        Distinct {
            values: keys.into_iter().map(of_order_key).collect(),
            counts,
        }
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
        if self.counted.is_empty() || self.full {
            if values.iter().fold(false, |nan, x| nan | x.is_nan()) {
                let keys: Vec<i64> = present.map(|x| order_key(*x)).collect();
                self.plain.extend(keys.into_iter());
            } else {
                self.plain.extend(values.iter().map(|x| order_key(*x)));
            }
            let enough = if self.tried { LAST_TRY } else { FIRST_TRY };
            if !self.full && self.plain.len >= enough {
                self.try_counting();
            }
            return;
        }
        for x in present {
            self.count(order_key(*x), 1);
        }
        self.full = self.counted.len() > COUNTED;
    }

    /// Counts the plain values if enough of them repeat; gives counting up when there are many that do not.
    fn try_counting(&mut self) {
        let floats: Vec<f64> = self.plain.iter().map(of_order_key).collect();
        if self.whole.add(&floats) {
            self.plain = Pieces::default();
            return;
        }
        let rows = self.plain.len;
        let mut table = Table::default();
        for key in self.plain.iter() {
            table.add(key, 1);
        }
        let distinct = table.len();
        let last = rows >= LAST_TRY;
        self.tried = true;
        self.full = last && 10 * distinct > 9 * rows;
        if distinct <= COUNTED && !self.full && (last || 2 * distinct <= rows) {
            self.counted = table;
            self.rows = rows as u64;
            self.plain = Pieces::default();
        }
    }
}

/// Distinct values in order.
#[derive(Debug, Default)]
pub struct Distinct {
    pub values: Vec<f64>,
    /// How often each was seen; `None`: once.
    pub counts: Option<Vec<u64>>,
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

fn of_plain(values: &mut Pieces, fractions: &[f64], method: Method) -> Vec<f64> {
    let places: Vec<_> = fractions
        .iter()
        .map(|fraction| place(values.len as u64, *fraction, method))
        .collect();
    let mut ranks: Vec<usize> = places
        .iter()
        .flat_map(|(lower, upper, _)| [*lower as usize, *upper as usize])
        .collect();
    ranks.sort_unstable();
    ranks.dedup();
    let chosen = if values.len <= PIECE {
        let mut joined = std::mem::take(values).joined();
        select(&mut joined, 0, &ranks);
        let chosen = ranks.iter().map(|rank| joined[*rank]).collect();
        *values = Pieces::of(joined);
        chosen
    } else {
        select_many(&values.pieces, &ranks)
    };
    let value = |rank: u64| {
        let at = ranks.partition_point(|r| (*r as u64) < rank);
        of_order_key(chosen[at])
    };
    places
        .iter()
        .map(|(lower, upper, t)| between(value(*lower), value(*upper), *t))
        .collect()
}

/// Slots of equal width among which many values are counted.
const SLOTS: usize = 65_536;

/// The values of some ranks, in order: values are counted by slots, and only those of a slot that has a rank are looked
/// at closely.
fn select_many(pieces: &[Vec<i64>], ranks: &[usize]) -> Vec<i64> {
    let mut low = i64::MAX;
    let mut high = i64::MIN;
    for piece in pieces {
        low = piece.iter().fold(low, |low, key| low.min(*key));
        high = piece.iter().fold(high, |high, key| high.max(*key));
    }
    let range = high.abs_diff(low);
    let shift = (u64::BITS - range.leading_zeros()).saturating_sub(SLOTS.trailing_zeros());
    let slot = |key: i64| (key.abs_diff(low) >> shift) as usize;
    let mut counts = vec![0usize; SLOTS];
    for piece in pieces {
        for key in piece {
            counts[slot(*key)] += 1;
        }
    }
    // the slots that have a rank: the first rank in each, how many values are below it, and a place for its values
    let mut wanted = Vec::new();
    let mut place_of = vec![0u32; SLOTS];
    let mut below = 0;
    let mut next = 0;
    for (slot, count) in counts.iter().enumerate() {
        let first = next;
        while next < ranks.len() && ranks[next] < below + count {
            next += 1;
        }
        if first < next {
            wanted.push((first..next, below, Vec::with_capacity(*count)));
            place_of[slot] = wanted.len() as u32;
        }
        below += count;
    }
    for piece in pieces {
        for key in piece {
            let place = place_of[slot(*key)] as usize;
            if place > 0 {
                wanted[place - 1].2.push(*key);
            }
        }
    }
    let mut chosen = Vec::with_capacity(ranks.len());
    for (of_ranks, below, mut keys) in wanted {
        select(&mut keys, below, &ranks[of_ranks.clone()]);
        chosen.extend(ranks[of_ranks].iter().map(|rank| keys[rank - below]));
    }
    chosen
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
        if self.rows + self.whole.rows == 0 && self.plain.len == 0 {
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
        self.plain.absorb(other.plain);
        self.tried |= other.tried;
        self.full |= other.full || self.counted.len() > COUNTED;
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.full) | u8::from(self.tried) << 1);
        self.counted.write(out);
        let whole = self.whole.iter().count();
        out.reserve(16 + 12 * whole + 8 * self.plain.len);
        out.extend((whole as u64).to_le_bytes());
        for (x, n) in (self.whole.low..)
            .zip(&self.whole.counts)
            .filter(|(_, n)| **n > 0)
        {
            out.extend(x.to_le_bytes());
            out.extend(n.to_le_bytes());
        }
        out.extend((self.plain.len as u64).to_le_bytes());
        for piece in &self.plain.pieces {
            out.extend(piece.iter().flat_map(|key| key.to_le_bytes()));
        }
    }

    fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        let flags = bytes.u8()?;
        let mut state = Self {
            full: flags & 1 != 0,
            tried: flags & 2 != 0,
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
        let plain: Vec<i64> = plain.iter().map(|key| i64::from_le_bytes(*key)).collect();
        if !plain.is_empty() {
            state.plain = Pieces::of(plain);
        }
        Some(state)
    }

    fn bytes(&self) -> usize {
        let whole = 8 * self.whole.counts.capacity();
        size_of::<Self>() + whole + self.counted.bytes() + self.plain.bytes()
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
        let mut plain = Quantiles::default();
        plain.add_reals(&[4.0, 1.0, -3.0, 2.0, 5.0, 3.0]);
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
