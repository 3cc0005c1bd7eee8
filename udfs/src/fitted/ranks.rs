//! The values of a column of numbers, dates or times in their order, and how often each was seen.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion_common::{Result, internal_err};

use super::State;
use super::counts::{BatchKeys, for_each_valid, of_small_keys};
use super::numbers::Reader;

/// Values that are gathered before they are counted.
const GATHERED: usize = 65_536;

/// Counts of values, each an integer of the same order. NULL and NaN are passed over.
#[derive(Debug, Default)]
pub struct Ranks {
    /// In ascending order.
    counted: Vec<(i64, u64)>,
    plain: Vec<i64>,
}

/// Two ascending lists of counts as one.
fn merged(a: &[(i64, u64)], b: &[(i64, u64)]) -> Vec<(i64, u64)> {
    let mut out: Vec<(i64, u64)> = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (first, n) = match x.0.cmp(&y.0) {
            std::cmp::Ordering::Less => (x.0, x.1),
            std::cmp::Ordering::Greater => (y.0, y.1),
            std::cmp::Ordering::Equal => (x.0, x.1 + y.1),
        };
        i += usize::from(x.0 == first);
        j += usize::from(y.0 == first);
        out.push((first, n));
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out.shrink_to_fit();
    out
}

impl Ranks {
    /// The values in ascending order and how often each was seen.
    pub fn ascending(mut self) -> Vec<(i64, u64)> {
        self.settle();
        self.counted
    }

    fn settle(&mut self) {
        self.plain.sort_unstable();
        let counts: Vec<(i64, u64)> = self
            .plain
            .chunk_by(|a, b| a == b)
            .map(|run| (run[0], run.len() as u64))
            .collect();
        self.counted = merged(&self.counted, &counts);
        self.plain.clear();
    }

    /// Counts what was gathered, once it is as much as what was counted: no value is moved often.
    fn settle_if_many(&mut self) {
        if self.plain.len() >= self.counted.len().max(GATHERED) {
            self.settle();
        }
    }

    fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        let mut state = Self::default();
        for _ in 0..bytes.u64()? {
            let value = bytes.u64()?.cast_signed();
            state.counted.push((value, bytes.u64()?));
        }
        for _ in 0..bytes.u64()? {
            state.plain.push(bytes.u64()?.cast_signed());
        }
        Some(state)
    }
}

impl State for Ranks {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (keys, nulls) = keys(&values[0])?;
        for_each_valid(keys.len(), nulls.as_ref(), |i| self.plain.push(keys[i]));
        self.settle_if_many();
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.counted = merged(&self.counted, &other.counted);
        self.plain.extend(other.plain);
        self.settle_if_many();
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.reserve(16 + 16 * self.counted.len() + 8 * self.plain.len());
        out.extend((self.counted.len() as u64).to_le_bytes());
        for (value, n) in &self.counted {
            out.extend(value.to_le_bytes());
            out.extend(n.to_le_bytes());
        }
        out.extend((self.plain.len() as u64).to_le_bytes());
        for value in &self.plain {
            out.extend(value.to_le_bytes());
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        match Self::read(&mut Reader(bytes)) {
            Some(state) => {
                *self = state;
                Ok(())
            }
            None => internal_err!("ranks of {} bytes cannot be read", bytes.len()),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + 16 * self.counted.capacity() + 8 * self.plain.capacity()
    }
}

/// The values of an array as integers of the same order, and which of them are there.
pub fn keys(array: &ArrayRef) -> Result<(Vec<i64>, Option<NullBuffer>)> {
    match BatchKeys::of(array)? {
        BatchKeys::Small(keys, nulls) => Ok((keys, nulls.filter(|n| n.null_count() > 0))),
        _ => internal_err!("a {} is no number of 64 bits", array.data_type()),
    }
}

/// The array of a type of which [`keys`] are given; `None` is NULL.
pub fn of_keys(t: &DataType, keys: &[Option<i64>]) -> Result<ArrayRef> {
    let values: Vec<i64> = keys.iter().flatten().copied().collect();
    let mut next = 0..;
    let rows: UInt32Array = keys.iter().map(|k| k.and_then(|_| next.next())).collect();
    Ok(take(&of_small_keys(t, &values)?, &rows, None)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array};

    use super::*;

    #[test]
    fn counts_in_any_order_and_pieces() {
        let values: Vec<i64> = (0..300_000i64).map(|i| i * i % 100_003).collect();
        let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
        for value in &values {
            *expected.entry(*value).or_default() += 1;
        }
        let expected: Vec<(i64, u64)> = expected.into_iter().collect();
        for size in [1000, 70_000, 300_000] {
            let mut whole = Ranks::default();
            let mut after = Ranks::default();
            let mut before = Ranks::default();
            for piece in values.chunks(size) {
                let array: ArrayRef = Arc::new(Int64Array::from(piece.to_vec()));
                whole.update(&[Arc::clone(&array)]).expect("an update");
                let mut part = Ranks::default();
                part.update(&[array]).expect("an update");
                let mut bytes = Vec::new();
                part.encode(&mut bytes).expect("an encoding");
                let mut decoded = Ranks::default();
                assert!(decoded.decode(&bytes[..bytes.len() - 1]).is_err());
                decoded.decode(&bytes).expect("a decoding");
                after.merge(decoded).expect("a merge");
                part.merge(before).expect("a merge");
                before = part;
            }
            assert!(whole.size() > 16 * 100);
            for state in [whole, after, before] {
                assert!(state.ascending() == expected, "pieces of {size}");
            }
        }
    }

    #[test]
    fn keys_and_back() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(-1.5),
            None,
            Some(f64::INFINITY),
            Some(f64::NAN),
        ]));
        let (keys, nulls) = keys(&floats).expect("keys");
        let nulls = nulls.expect("nulls");
        let keys: Vec<Option<i64>> = (0..4).map(|i| nulls.is_valid(i).then(|| keys[i])).collect();
        let back = of_keys(&DataType::Float64, &keys).expect("floats");
        let expected = Float64Array::from(vec![Some(-1.5), None, Some(f64::INFINITY), None]);
        assert_eq!(back.as_ref(), &expected as &dyn Array);
    }
}
