//! Covariance and Pearson's coefficient of two columns, of exact sums: as [`super::moments`], no addition rounds and no
//! order of rows matters. They are rounded in their last step alone.

use std::cell::RefCell;

use super::moments::{
    BIN_ROWS, EXPONENTS, INTEGER_MAX, INTEGER_ROWS, Moments, Natural, Quotient, ROUNDER, UNIT,
    difference, multiply, parts,
};
use super::numbers::Reader;

/// The exact sum of the products of two columns' numbers, row by row; all are finite.
#[derive(Debug, Clone, Default)]
pub struct Products {
    positive: Natural,
    negative: Natural,
}

/// Exponents of two numbers added, and the bits of a sum of so many products that all fit.
const SUMS: usize = 2 * EXPONENTS;

thread_local! {
    /// A sum an exponent, all zero between calls.
    static BINS: RefCell<Vec<i128>> = RefCell::new(vec![0; SUMS]);
}

impl Products {
    /// Takes rows.
    pub fn add(&mut self, x: &[f64], y: &[f64]) {
        for (x, y) in x.chunks(INTEGER_ROWS).zip(y.chunks(INTEGER_ROWS)) {
            if !self.add_integers(x, y) {
                for (x, y) in x.chunks(BIN_ROWS).zip(y.chunks(BIN_ROWS)) {
                    self.add_many(x, y);
                }
            }
        }
    }

    fn add_exact(&mut self, sum: i128, shift: i64) {
        if sum < 0 {
            self.negative.add(sum.unsigned_abs(), shift);
        } else if sum > 0 {
            self.positive.add(sum.unsigned_abs(), shift);
        }
    }

    /// Whole numbers of moderate size: their sums are exact in floats, many rows at once.
    fn add_integers(&mut self, x: &[f64], y: &[f64]) -> bool {
        const LANES: usize = 8;
        let mut sums = [0.0f64; LANES];
        let mut whole = [true; LANES];
        let mut take = |i: usize, x: f64, y: f64| {
            sums[i] += x * y;
            whole[i] &= (x + ROUNDER) - ROUNDER == x && x.abs() <= INTEGER_MAX;
            whole[i] &= (y + ROUNDER) - ROUNDER == y && y.abs() <= INTEGER_MAX;
        };
        let (chunks_x, rest_x) = x.as_chunks::<LANES>();
        let (chunks_y, rest_y) = y.as_chunks::<LANES>();
        for (x, y) in chunks_x.iter().zip(chunks_y) {
            for i in 0..LANES {
                take(i, x[i], y[i]);
            }
        }
        for (i, (x, y)) in rest_x.iter().zip(rest_y).enumerate() {
            take(i, *x, *y);
        }
        if whole.contains(&false) {
            return false;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let sum = sums.iter().sum::<f64>() as i64;
        self.add_exact(i128::from(sum), -2 * UNIT);
        true
    }

    fn add_many(&mut self, x: &[f64], y: &[f64]) {
        BINS.with_borrow_mut(|bins| {
            let (mut lowest, mut highest) = (SUMS, 0);
            for (x, y) in x.iter().zip(y) {
                let (a, shift_a) = parts(*x);
                let (b, shift_b) = parts(*y);
                let negative = -i128::from((x.to_bits() ^ y.to_bits()) >> 63);
                let product = (u128::from(a) * u128::from(b)).cast_signed();
                let shift = (shift_a + shift_b) as usize;
                // two's complement by the sign
                bins[shift] += (product ^ negative) - negative;
                lowest = lowest.min(shift);
                highest = highest.max(shift);
            }
            if lowest > highest {
                return;
            }
            for (shift, bin) in (lowest..).zip(&mut bins[lowest..=highest]) {
                self.add_exact(*bin, shift as i64);
                *bin = 0;
            }
        });
    }

    /// Takes a sum of products that is a whole number.
    pub fn add_whole(&mut self, sum: i64) {
        self.add_exact(i128::from(sum), -2 * UNIT);
    }

    /// Takes what another has gathered.
    pub fn absorb(&mut self, other: &Self) {
        self.positive.absorb(&other.positive);
        self.negative.absorb(&other.negative);
    }

    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.positive.write(out);
        self.negative.write(out);
    }

    /// Reads what [`Self::write`] wrote; `None` if it is something else.
    pub fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            positive: Natural::read(bytes)?,
            negative: Natural::read(bytes)?,
        })
    }

    /// Bytes held, itself included.
    pub fn bytes(&self) -> usize {
        let limbs = self.positive.limbs.capacity() + self.negative.limbs.capacity();
        size_of::<Self>() + 8 * limbs
    }

    /// The covariance of the columns whose products these are, with the count as divisor; `None` if there are no rows.
    pub fn covariance(&self, x: &Moments, y: &Moments) -> Option<f64> {
        if x.count() == 0 {
            return None;
        }
        let (sign, size) = self.exact_covariance(x, y);
        Some(sign * size.to_f64())
    }

    /// (n Σxy - Σx Σy) / n², its sign and its size.
    fn exact_covariance(&self, x: &Moments, y: &Moments) -> (f64, Quotient) {
        let n = x.count();
        // by what is added and what is taken away
        let (sign, products, low) = difference(&self.positive, &self.negative);
        let (sign_x, sum_x, low_x) = x.sum();
        let (sign_y, sum_y, low_y) = y.sum();
        let mut added = Natural::default();
        let mut taken = Natural::default();
        for (positive, limbs, low) in [
            (sign > 0.0, multiply(&products, &[n]), low),
            (
                sign_x * sign_y < 0.0,
                multiply(&sum_x, &sum_y),
                low_x + low_y,
            ),
        ] {
            let side = if positive { &mut added } else { &mut taken };
            side.absorb(&Natural {
                low: low as u16,
                limbs,
            });
        }
        let (sign, limbs, low) = difference(&added, &taken);
        (sign, Quotient::new(limbs, 2 * UNIT + 64 * low, &[n, n]))
    }

    /// Pearson's coefficient of the columns whose products these are; `None` if there are no rows or one of
    /// the columns is constant.
    pub fn correlation(&self, x: &Moments, y: &Moments) -> Option<f64> {
        let variances = [x, y].map(|m| m.exact_variance(0).filter(|v| v.top != 0));
        let [Some(xx), Some(yy)] = variances else {
            return None;
        };
        let (sign, covariance) = self.exact_covariance(x, y);
        // one square root of the product, so that a column and its multiple give 1 exactly
        let power = xx.exponent + yy.exponent;
        let odd = power.rem_euclid(2);
        let root = (mantissa(xx) * mantissa(yy) * if odd == 1 { 2.0 } else { 1.0 }).sqrt();
        let exponent = covariance.exponent - (power - odd) / 2;
        // it is at most 1, so a power far below zero is all that may be
        let scale = 2f64.powi(exponent.clamp(-1100, 2) as i32);
        let value = sign * (mantissa(covariance) / root) * scale;
        Some(value.clamp(-1.0, 1.0))
    }
}

/// The number without its power of two: from 1 to 2, or 0.
fn mantissa(q: Quotient) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "rounded once")]
    let top = q.top as f64;
    top / 2f64.powi(63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::numbers::Numbers;
    use crate::fitted::testing::random_floats;

    fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
        let [mut a, mut b] = [Moments::default(), Moments::default()];
        a.add(x);
        b.add(y);
        let mut products = Products::default();
        products.add(x, y);
        products.correlation(&a, &b)
    }

    #[test]
    fn by_definition() {
        let x: Vec<f64> = (0..5000)
            .map(|i| f64::from(i * 7919 % 5003) / 7.0)
            .collect();
        let y: Vec<f64> = (0..5000).map(|i| f64::from(i * 31 % 977).sqrt()).collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let (a, b) = (mean(&x), mean(&y));
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            x.iter().zip(&y).map(|(x, y)| f(x - a, y - b)).sum()
        };
        let expected = sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
        let found = pearson(&x, &y).unwrap();
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }

    #[test]
    fn straight_lines() {
        for scale in [1.0, 0.1, -3.0, 1e-200, 1e150] {
            let x: Vec<f64> = (0..100).map(|i| f64::from(i * i % 37) + 1e6).collect();
            let y: Vec<f64> = x.iter().map(|x| x * scale).collect();
            let r = pearson(&x, &y).unwrap();
            assert!((r - scale.signum()).abs() < 1e-15, "{scale} {r}");
            let whole: Vec<f64> = x.iter().map(|x| 5.0 - 2.0 * x).collect();
            assert_eq!(pearson(&x, &whole), Some(-1.0));
        }
        assert_eq!(pearson(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(pearson(&[1.0], &[3.0]), None);
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!(pearson(&[f64::MAX, -f64::MAX], &[1.0, 5e-324]), Some(1.0));
    }

    #[test]
    fn no_order_matters() {
        let x = random_floats(3000, 3);
        let y = random_floats(3000, 4);
        let finite: Vec<(f64, f64)> = x
            .into_iter()
            .zip(y)
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect();
        let (x, y): (Vec<f64>, Vec<f64>) = finite.iter().copied().unzip();
        let (u, v): (Vec<f64>, Vec<f64>) = finite.iter().rev().copied().unzip();
        assert_eq!(
            pearson(&x, &y).map(f64::to_bits),
            pearson(&u, &v).map(f64::to_bits)
        );
        assert!(pearson(&x, &y).is_some());
    }
}
