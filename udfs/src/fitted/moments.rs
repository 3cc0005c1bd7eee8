//! Count, mean and variance, exactly: the sum and the sum of squares are kept as whole numbers in units of
//! the smallest float (and of its square), so that no addition rounds and no order of rows matters.
//! Mean, variance and deviation are rounded once, when they are read.

use std::cell::RefCell;
use std::cmp::Ordering;

use super::numbers::{Numbers, Reader};

/// The power of two of the unit of sums: all floats are whole multiples of it.
pub(super) const UNIT: i64 = -1074;
/// Smaller slices than this are added number by number, larger ones through the bins.
const FEW: usize = 16;
/// Rows whose integer squares, of up to 40 bits, add up to less than 2^53.
pub(super) const INTEGER_ROWS: usize = 4096;
pub(super) const INTEGER_MAX: f64 = 1_048_576.0;
/// 1.5 * 2^52: adding and taking it away again rounds to a whole number.
pub(super) const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Rows after which the bins might overflow: squares have 106 of 128 bits.
pub(super) const BIN_ROWS: usize = 1 << 20;

/// Count, exact sum and exact sum of squares of the finite numbers seen.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    count: u64,
    positive: Natural,
    negative: Natural,
    squares: Natural,
}

impl Moments {
    /// How many finite numbers were seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean, correctly rounded; `None` if nothing was seen.
    pub fn mean(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let (sign, sum, low) = self.sum();
        let quotient = Quotient::new(sum, UNIT + 64 * low, &[self.count]);
        Some(sign * quotient.to_f64())
    }

    /// The variance with divisor `count - ddof`, correctly rounded; `None` unless the divisor is positive.
    pub fn variance(&self, ddof: u64) -> Option<f64> {
        self.exact_variance(ddof).map(|v| v.to_f64())
    }

    /// The square root of the variance; right even where the variance is beyond the range of floats.
    pub fn deviation(&self, ddof: u64) -> Option<f64> {
        self.exact_variance(ddof).map(|v| v.sqrt())
    }

    /// The mean, and what to divide by for a deviation of 1: the deviation, or 1 for a constant, as one value is
    /// where `ddof` leaves it none.
    pub fn mean_and_scale(&self, ddof: u64) -> Option<[f64; 2]> {
        let mean = self.mean()?;
        let deviation = self.deviation(ddof).filter(|_| !self.is_constant());
        Some([mean, deviation.unwrap_or(1.0)])
    }

    /// Takes whole numbers by how many they are, their sum and the sum of their squares.
    pub fn add_sums(&mut self, count: u64, sum: i64, squares: u64) {
        self.count += count;
        self.add_exact(i128::from(sum), -UNIT, u128::from(squares), -2 * UNIT);
    }

    /// Whether the deviation is within what rounding makes of a constant, by scikit-learn's bound.
    pub fn is_constant(&self) -> bool {
        let (Some(mean), Some(deviation)) = (self.mean(), self.deviation(0)) else {
            return true;
        };
        #[expect(clippy::cast_precision_loss, reason = "the bound is a rough one")]
        let slack = self.count as f64 * f64::EPSILON;
        // var <= n eps var + (n mean eps)^2, by its root, which does not overflow
        deviation * (1.0 - slack).max(0.0).sqrt() <= mean.abs() * slack
    }

    /// (n Σx² - (Σx)²) / (n (n - ddof)).
    pub(super) fn exact_variance(&self, ddof: u64) -> Option<Quotient> {
        let divisor = self.count.checked_sub(ddof).filter(|d| *d > 0)?;
        let (_, sum, low) = self.sum();
        let square_low = 2 * low;
        let squared = multiply(&sum, &sum);
        let mut scaled = multiply(&self.squares.limbs, &[self.count]);
        let scaled_low = i64::from(self.squares.low);
        // a common unit: the lower of the two
        let base = if squared.is_empty() {
            scaled_low
        } else {
            square_low.min(scaled_low)
        };
        shift_limbs(&mut scaled, scaled_low - base);
        let mut squared = squared;
        shift_limbs(&mut squared, square_low - base);
        subtract(&mut scaled, &squared);
        Some(Quotient::new(
            scaled,
            2 * UNIT + 64 * base,
            &[self.count, divisor],
        ))
    }

    /// Sign, magnitude and lowest limb of the sum.
    pub(super) fn sum(&self) -> (f64, Vec<u64>, i64) {
        difference(&self.positive, &self.negative)
    }

    /// Whole numbers of moderate size: their sums are exact in floats, many rows at once.
    fn add_integers(&mut self, values: &[f64]) -> bool {
        const LANES: usize = 8;
        let mut sums = [0.0f64; LANES];
        let mut squares = [0.0f64; LANES];
        let mut whole = [true; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for i in 0..LANES {
                let x = chunk[i];
                sums[i] += x;
                squares[i] += x * x;
                whole[i] &= (x + ROUNDER) - ROUNDER == x && x.abs() <= INTEGER_MAX;
            }
        }
        for (i, x) in rest.iter().enumerate() {
            sums[i] += x;
            squares[i] += x * x;
            whole[i] &= (x + ROUNDER) - ROUNDER == *x && x.abs() <= INTEGER_MAX;
        }
        if whole.contains(&false) {
            return false;
        }
        self.count += values.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let sum = sums.iter().sum::<f64>() as i64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to 2^53"
        )]
        let square = squares.iter().sum::<f64>() as u64;
        self.add_exact(i128::from(sum), -UNIT, u128::from(square), -2 * UNIT);
        true
    }

    fn add_exact(&mut self, sum: i128, sum_shift: i64, square: u128, square_shift: i64) {
        if sum < 0 {
            self.negative.add(sum.unsigned_abs(), sum_shift);
        } else if sum > 0 {
            self.positive.add(sum.unsigned_abs(), sum_shift);
        }
        if square > 0 {
            self.squares.add(square, square_shift);
        }
    }

    fn add_few(&mut self, values: &[f64]) {
        for x in values.iter().filter(|x| x.is_finite()) {
            self.count += 1;
            let (mantissa, shift) = parts(*x);
            if mantissa != 0 {
                let square = u128::from(mantissa) * u128::from(mantissa);
                let sum = i128::from(mantissa);
                let sum = if x.is_sign_negative() { -sum } else { sum };
                self.add_exact(sum, shift, square, 2 * shift);
            }
        }
    }

    fn add_many(&mut self, values: &[f64]) {
        BINS.with_borrow_mut(|bins| {
            let mut lowest = EXPONENTS;
            let mut highest = 0;
            let mut count = 0;
            for x in values {
                let bits = x.to_bits();
                let exponent = (bits >> 52) as usize & (EXPONENTS - 1);
                if exponent == EXPONENTS - 1 {
                    continue;
                }
                count += 1;
                lowest = lowest.min(exponent);
                highest = highest.max(exponent);
                let hidden = u64::from(exponent != 0) << 52;
                let mantissa = (bits & ((1 << 52) - 1)) | hidden;
                let negative = -i128::from(bits >> 63);
                let bin = &mut bins[exponent];
                // two's complement by the sign
                bin.sum += (i128::from(mantissa) ^ negative) - negative;
                bin.squares += u128::from(mantissa) * u128::from(mantissa);
            }
            self.count += count;
            if count == 0 {
                return;
            }
            for (exponent, bin) in bins[lowest..=highest].iter_mut().enumerate() {
                let shift = ((lowest + exponent).max(1) - 1) as i64;
                self.add_exact(bin.sum, shift, bin.squares, 2 * shift);
                *bin = Bin::default();
            }
        });
    }
}

impl Numbers for Moments {
    fn add(&mut self, values: &[f64]) {
        if values.len() < FEW {
            return self.add_few(values);
        }
        let mut rest = values;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(INTEGER_ROWS));
            if !self.add_integers(chunk) {
                break;
            }
            rest = after;
        }
        for chunk in rest.chunks(BIN_ROWS) {
            self.add_many(chunk);
        }
    }

    fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.positive.absorb(&other.positive);
        self.negative.absorb(&other.negative);
        self.squares.absorb(&other.squares);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.count.to_le_bytes());
        self.positive.write(out);
        self.negative.write(out);
        self.squares.write(out);
    }

    fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            count: bytes.u64()?,
            positive: Natural::read(bytes)?,
            negative: Natural::read(bytes)?,
            squares: Natural::read(bytes)?,
        })
    }

    fn bytes(&self) -> usize {
        let limbs = self.positive.limbs.capacity()
            + self.negative.limbs.capacity()
            + self.squares.limbs.capacity();
        size_of::<Self>() + 8 * limbs
    }
}

pub(super) const EXPONENTS: usize = 2048;

/// What was seen of the numbers of one exponent.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    sum: i128,
    squares: u128,
}

thread_local! {
    /// A bin an exponent, all zero between calls: mantissas are added as whole numbers, and moved into
    /// the wide sums once a batch.
    static BINS: RefCell<Vec<Bin>> = RefCell::new(vec![Bin::default(); EXPONENTS]);
}

/// A finite number's mantissa, and how many times it is to be doubled, in the unit of sums.
pub(super) fn parts(x: f64) -> (u64, i64) {
    let bits = x.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 {
        (fraction, 0)
    } else {
        (fraction | (1 << 52), exponent as i64 - 1)
    }
}

/// A whole number of which the limbs below `low` are zero and not kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Natural {
    pub(super) low: u16,
    pub(super) limbs: Vec<u64>,
}

impl Natural {
    /// Adds `value * 2^shift`.
    pub(super) fn add(&mut self, value: u128, shift: i64) {
        let (limb, bit) = (shift as usize / 64, shift as u32 % 64);
        let low = (value << bit) as u64;
        let middle = ((value << bit) >> 64) as u64;
        let high = if bit == 0 {
            0
        } else {
            (value >> (128 - bit)) as u64
        };
        let start = self.open(limb, limb + if high == 0 { 2 } else { 3 });
        let mut carry = false;
        for (i, part) in [low, middle, high].into_iter().enumerate() {
            if i == 2 && high == 0 {
                break;
            }
            let limb = &mut self.limbs[start + i];
            let (sum, over) = limb.carrying(part, carry);
            *limb = sum;
            carry = over;
        }
        let next = start + if high == 0 { 2 } else { 3 };
        self.carry(next, carry);
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        if other.limbs.is_empty() {
            return;
        }
        let low = usize::from(other.low);
        let start = self.open(low, low + other.limbs.len());
        let mut carry = false;
        for (limb, part) in self.limbs[start..].iter_mut().zip(&other.limbs) {
            let (sum, over) = limb.carrying(*part, carry);
            *limb = sum;
            carry = over;
        }
        self.carry(start + other.limbs.len(), carry);
    }

    /// Makes room for the limbs `from..to`; gives where `from` lies.
    fn open(&mut self, from: usize, to: usize) -> usize {
        if self.limbs.is_empty() {
            self.low = from as u16;
        }
        let low = usize::from(self.low);
        if from < low {
            self.limbs.splice(0..0, std::iter::repeat_n(0, low - from));
            self.low = from as u16;
        }
        let start = from - usize::from(self.low);
        let end = start + (to - from);
        if self.limbs.len() < end {
            self.limbs.resize(end, 0);
        }
        start
    }

    fn carry(&mut self, mut at: usize, mut carry: bool) {
        while carry {
            if at == self.limbs.len() {
                self.limbs.push(1);
                return;
            }
            let (sum, over) = self.limbs[at].overflowing_add(1);
            self.limbs[at] = sum;
            carry = over;
            at += 1;
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let used = self
            .limbs
            .iter()
            .rposition(|l| *l != 0)
            .map_or(0, |i| i + 1);
        out.extend(self.low.to_le_bytes());
        out.extend((used as u16).to_le_bytes());
        for limb in &self.limbs[..used] {
            out.extend(limb.to_le_bytes());
        }
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        let low = bytes.u16()?;
        let limbs = (0..bytes.u16()?)
            .map(|_| bytes.u64())
            .collect::<Option<Vec<_>>>()?;
        Some(Self { low, limbs })
    }
}

/// Sign, magnitude and lowest limb of a difference.
pub(super) fn difference(p: &Natural, n: &Natural) -> (f64, Vec<u64>, i64) {
    if n.limbs.is_empty() {
        return (1.0, p.limbs.clone(), i64::from(p.low));
    }
    if p.limbs.is_empty() {
        return (-1.0, n.limbs.clone(), i64::from(n.low));
    }
    let base = p.low.min(n.low);
    let mut a = p.limbs.clone();
    let mut b = n.limbs.clone();
    shift_limbs(&mut a, i64::from(p.low - base));
    shift_limbs(&mut b, i64::from(n.low - base));
    if compare(&a, &b) == Ordering::Less {
        subtract(&mut b, &a);
        (-1.0, b, i64::from(base))
    } else {
        subtract(&mut a, &b);
        (1.0, a, i64::from(base))
    }
}

trait Carrying: Sized {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool);
}

impl Carrying for u64 {
    #[inline]
    fn carrying(self, other: Self, carry: bool) -> (Self, bool) {
        let (sum, a) = self.overflowing_add(other);
        let (sum, b) = sum.overflowing_add(Self::from(carry));
        (sum, a | b)
    }
}

fn trim(limbs: &mut Vec<u64>) {
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
}

/// Multiplies by 2^(64 n), n >= 0.
pub(super) fn shift_limbs(limbs: &mut Vec<u64>, n: i64) {
    if n > 0 && !limbs.is_empty() {
        limbs.splice(0..0, std::iter::repeat_n(0, n as usize));
    }
}

pub(super) fn compare(a: &[u64], b: &[u64]) -> Ordering {
    let used = |x: &[u64]| x.iter().rposition(|l| *l != 0).map_or(0, |i| i + 1);
    let (m, n) = (used(a), used(b));
    m.cmp(&n)
        .then_with(|| a[..m].iter().rev().cmp(b[..n].iter().rev()))
}

/// `a -= b`, where `a >= b`.
pub(super) fn subtract(a: &mut Vec<u64>, b: &[u64]) {
    let mut borrow = false;
    let parts = b.iter().copied().chain(std::iter::repeat(0));
    for (limb, part) in a.iter_mut().zip(parts) {
        let (d, x) = limb.overflowing_sub(part);
        let (d, y) = d.overflowing_sub(u64::from(borrow));
        *limb = d;
        borrow = x | y;
    }
    trim(a);
}

pub(super) fn multiply(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut out = vec![0u64; a.len() + b.len()];
    for (i, x) in a.iter().enumerate() {
        let mut carry = 0u128;
        for (j, y) in b.iter().enumerate() {
            let sum = u128::from(*x) * u128::from(*y) + u128::from(out[i + j]) + carry;
            out[i + j] = sum as u64;
            carry = sum >> 64;
        }
        out[i + b.len()] = carry as u64;
    }
    trim(&mut out);
    out
}

/// Divides in place; whether something remained.
fn divide(limbs: &mut Vec<u64>, by: u64) -> bool {
    let mut rest = 0u128;
    for limb in limbs.iter_mut().rev() {
        let part = (rest << 64) | u128::from(*limb);
        *limb = (part / u128::from(by)) as u64;
        rest = part % u128::from(by);
    }
    trim(limbs);
    rest != 0
}

/// A positive number of at least 64 leading bits, and whether something non-zero follows them:
/// `top * 2^(exponent - 63)` and a bit more, the highest bit of `top` set (or all zero).
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotient {
    pub(super) top: u64,
    more: bool,
    pub(super) exponent: i64,
}

impl Quotient {
    /// `limbs * 2^exponent / (divisors...)`.
    pub(super) fn new(mut limbs: Vec<u64>, exponent: i64, divisors: &[u64]) -> Self {
        trim(&mut limbs);
        let zero = Self {
            top: 0,
            more: false,
            exponent: 0,
        };
        if limbs.is_empty() {
            return zero;
        }
        // so many bits more that 64 are left after the divisions
        let extra = divisors.len() as i64 + 1;
        shift_limbs(&mut limbs, extra);
        let exponent = exponent - 64 * extra;
        let mut more = false;
        for divisor in divisors {
            more |= divide(&mut limbs, *divisor);
        }
        let Some((last, below)) = limbs.split_last() else {
            return zero;
        };
        let zeros = last.leading_zeros();
        let next = below.last().copied().unwrap_or(0);
        let top = if zeros == 0 {
            *last
        } else {
            (last << zeros) | (next >> (64 - zeros))
        };
        more |= if zeros == 0 {
            next != 0
        } else {
            next << zeros != 0
        };
        more |= below.iter().rev().skip(1).any(|l| *l != 0);
        Self {
            top,
            more,
            exponent: exponent + 64 * below.len() as i64 + 63 - i64::from(zeros),
        }
    }

    /// The nearest float, ties to even.
    pub(super) fn to_f64(self) -> f64 {
        if self.top == 0 {
            return 0.0;
        }
        // floats below 2^-1022 have fewer bits
        let bits = if self.exponent >= -1022 {
            53
        } else {
            53 - (-1022 - self.exponent)
        };
        if bits < 0 {
            return 0.0;
        }
        let drop = 64 - bits as u32;
        let (kept, rest) = if drop == 64 {
            (0, self.top)
        } else {
            (self.top >> drop, self.top & ((1 << drop) - 1))
        };
        let half = 1u64 << (drop - 1);
        let up = rest > half || (rest == half && (self.more || kept & 1 == 1));
        let kept = kept + u64::from(up);
        if self.exponent < -1022 {
            return f64::from_bits(kept);
        }
        if self.exponent > 1023 {
            return f64::INFINITY;
        }
        // a carry out of the mantissa goes into the exponent, and from the largest float to infinity
        let biased = (self.exponent + 1023) as u64;
        f64::from_bits((biased << 52) + (kept - (1 << 52)))
    }

    /// The square root, in floats: of a number in [1, 4), then scaled by a power of two.
    fn sqrt(self) -> f64 {
        let odd = self.exponent.rem_euclid(2);
        let reduced = Self {
            exponent: odd,
            ..self
        };
        let root = reduced.to_f64().sqrt();
        let power = (self.exponent - odd) / 2;
        // in two steps, since 2^-1074 is no normal float
        let half = power / 2;
        root * 2f64.powi(half as i32) * 2f64.powi((power - half) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::State;
    use crate::fitted::testing::{order_independent, random_floats};

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        moments.add(values);
        moments
    }

    fn read(m: &mut Moments) -> [Option<u64>; 4] {
        [m.mean(), m.variance(0), m.variance(1), m.deviation(0)].map(|x| x.map(f64::to_bits))
    }

    #[test]
    fn sums_are_exact() {
        assert_eq!(moments(&[1e16, 1.0, -1e16, 1.0]).mean(), Some(0.5));
        assert_eq!(moments(&[0.1; 1000]).mean(), Some(0.1));
        assert_eq!(moments(&[0.1; 1000]).variance(0), Some(0.0));
        assert_eq!(moments(&[f64::MAX, f64::MAX]).mean(), Some(f64::MAX));
        assert_eq!(moments(&[f64::MAX, -f64::MAX]).mean(), Some(0.0));
        assert_eq!(moments(&[5e-324, 1.5e-323]).mean(), Some(1e-323));
        assert_eq!(moments(&[]).mean(), None);
        assert_eq!(moments(&[]).variance(0), None);
        assert_eq!(moments(&[3.0]).variance(1), None);
        let passed_over = [f64::NAN, 2.0, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(moments(&passed_over).mean(), Some(2.0));
        assert_eq!(moments(&passed_over).count(), 1);
    }

    #[test]
    fn variance_keeps_its_digits_at_any_offset_and_scale() {
        for offset in [0.0, 1e9, -1e9, 1e15] {
            let values: Vec<f64> = (1..=100).map(|i| offset + f64::from(i)).collect();
            assert_eq!(moments(&values).variance(0), Some(833.25));
            assert_eq!(moments(&values).variance(1), Some(841.666_666_666_666_6));
            assert_eq!(moments(&values).mean(), Some(offset + 50.5));
        }
        for scale in [1e-300, 1e-100, 1e100, 1e300] {
            let deviation = moments(&[scale, 3.0 * scale]).deviation(0);
            let error = deviation.map(|d| (d / scale - 1.0).abs());
            assert!(error.is_some_and(|e| e < 1e-15), "{deviation:?}");
        }
        assert_eq!(moments(&[1e300, 3e300]).variance(0), Some(f64::INFINITY));
        // 2/3, rounded once
        let third = moments(&[1.0, 2.0, 3.0]);
        assert_eq!(third.variance(0), Some(2.0 / 3.0));
        assert_eq!(third.deviation(0), Some((2.0f64 / 3.0).sqrt()));
    }

    #[test]
    fn agrees_with_whole_numbers() {
        // multiples of 2^-10 below 2^30: all sums fit 128 bits
        let whole: Vec<i128> = random_floats(5000, 7)
            .iter()
            .map(|x| i128::from(x.to_bits() % (1 << 40)) - (1 << 39))
            .collect();
        let values: Vec<f64> = whole.iter().map(|x| *x as f64 / 1024.0).collect();
        let m = moments(&values);
        let n = whole.len() as i128;
        let sum: i128 = whole.iter().sum();
        let squares: i128 = whole.iter().map(|x| x * x).sum();
        let mean = sum as f64 / n as f64 / 1024.0;
        let variance = (n * squares - sum * sum) as f64 / (n * n) as f64 / 1024.0 / 1024.0;
        let near = |a: Option<f64>, b: f64| a.is_some_and(|a| (a / b - 1.0).abs() < 4e-16);
        assert!(near(m.mean(), mean) && near(m.variance(0), variance));
    }

    #[test]
    fn no_order_matters() {
        let wild = random_floats(3000, 1);
        let whole: Vec<f64> = (0..3000)
            .map(|i| f64::from(i * 37 % 1001) - 300.0)
            .collect();
        let half: Vec<f64> = whole.iter().map(|x| x * 0.5 + 1e6).collect();
        for values in [wild, whole, half] {
            order_independent::<Moments, _>(&values, read);
        }
    }

    #[test]
    fn small_and_compact() {
        let values: Vec<f64> = (0..100_000).map(|i| f64::from(i) * 0.37).collect();
        let m = moments(&values);
        assert!(m.size() < 256, "{}", m.size());
        let mut bytes = Vec::new();
        m.write(&mut bytes);
        assert!(bytes.len() < 100, "{}", bytes.len());
        let mut broken = Moments::default();
        assert!(broken.decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn constants_by_rounding() {
        assert!(moments(&[0.1 + 0.2, 0.3, 0.3]).is_constant());
        assert!(!moments(&[1.0, 1.0 + 1e-9]).is_constant());
        assert!(!moments(&[1e-300, 2e-300]).is_constant());
        assert!(moments(&[0.0, -0.0]).is_constant());
    }
}
