//! Minimum and maximum.

use super::numbers::{Numbers, Reader};

/// The least and the greatest of the finite numbers seen.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    min: f64,
    max: f64,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Extent {
    /// Minimum and maximum; `None` if nothing was seen. Zero has no sign here.
    pub fn range(&self) -> Option<(f64, f64)> {
        // -0.0 and 0.0 are equal, so which of them came first must not show
        (self.min <= self.max).then_some((self.min + 0.0, self.max + 0.0))
    }

    /// The greatest absolute value.
    pub fn max_abs(&self) -> Option<f64> {
        self.range().map(|(min, max)| min.abs().max(max.abs()))
    }
}

impl Numbers for Extent {
    fn add(&mut self, values: &[f64]) {
        const LANES: usize = 8;
        let mut min = [self.min; LANES];
        let mut max = [self.max; LANES];
        let mut take = |i: usize, x: f64| {
            let finite = x.abs() < f64::INFINITY;
            min[i] = if finite && x < min[i] { x } else { min[i] };
            max[i] = if finite && x > max[i] { x } else { max[i] };
        };
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (i, x) in chunk.iter().enumerate() {
                take(i, *x);
            }
        }
        for (i, x) in rest.iter().enumerate() {
            take(i, *x);
        }
        self.min = min.into_iter().fold(self.min, f64::min);
        self.max = max.into_iter().fold(self.max, f64::max);
    }

    fn absorb(&mut self, other: Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.min.to_le_bytes());
        out.extend(self.max.to_le_bytes());
    }

    fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            min: bytes.f64()?,
            max: bytes.f64()?,
        })
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{order_independent, random_floats};

    #[test]
    fn finite_numbers_only() {
        let mut extent = Extent::default();
        assert_eq!(extent.range(), None);
        assert_eq!(extent.max_abs(), None);
        extent.add(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!(extent.range(), None);
        let mut values = vec![3.0; 20];
        values[13] = -7.5;
        values[2] = f64::NAN;
        extent.add(&values);
        assert_eq!(extent.range(), Some((-7.5, 3.0)));
        assert_eq!(extent.max_abs(), Some(7.5));
    }

    #[test]
    fn no_order_matters() {
        let mut values = random_floats(3000, 3);
        values.extend([0.0, -0.0]);
        let read = |e: &mut Extent| e.range().map(|(a, b)| (a.to_bits(), b.to_bits()));
        order_independent::<Extent, _>(&values, read);
        order_independent::<Extent, _>(&[0.0, -0.0, 0.0], read);
    }
}
