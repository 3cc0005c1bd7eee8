//! `swap_noise(x, p, key)`: values in the places of others of their column.
//!
//! What is learnt are the values of all rows or, of a larger table, of a sample: the rows with the smallest
//! hashes of key and value, which do not depend on the order of rows or on who saw which.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, UInt32Array, new_empty_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::{concat, interleave, nullif, take};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion_common::{Result, exec_err, internal_err, plan_err};
use rand::Rng;

use super::{draw, key};
use crate::arrays::float_type;
use crate::fitted::numbers::{Reader, of_group, present_in};
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "swap_noise",
    stage: Stage::Random,
    kind: Kind::Fitted,
    summary: "The value, or with probability p that of a row chosen at random, so that the column's distribution stays. \
        NULL and NaN are not chosen, and give NULL. Of more than 65,536 rows a random sample of so many is drawn from.",
    params: &[
        Param::data("x", "a value of any type"),
        Param::data(
            "p",
            "the probability of another row's value, from 0 to 1; 0.15 is usual",
        ),
        Param::data(
            "key",
            "draws the same for the same key: random_key(seed, id), or a column that tells rows apart. Columns with one \
             key are swapped together, from rows of their own: write random_key(seed, id, 'column') to swap each by \
             itself. A NULL key gives NULL",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT swap_noise(x, 0, i) OVER () FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS t(i, x)",
            result: "a\nb\n",
        },
        Example {
            sql: "SELECT round(avg(CASE WHEN y <> x THEN 1.0 ELSE 0.0 END), 2), round(avg(y)) FROM \
                  (SELECT i % 1000 AS x, swap_noise(i % 1000, 0.15, random_key(42, i)) OVER () AS y FROM generate_series(1, 50000) AS t(i))",
            result: "0.15,499.0",
        },
    ],
    source: "swap noise as in Jahrer's denoising autoencoders (Porto Seguro's Safe Driver Prediction, 2017); the sample \
        is bottom-k by hash (Cohen and Kaplan 2007)",
    also: &["swap noise (denoising autoencoders)"],
};

/// The most rows of a sample.
const MOST: usize = 65_536;

/// A sample of the values of a column: those of the rows with the smallest hashes.
#[derive(Debug)]
pub struct Sample {
    data_type: DataType,
    /// The hash of a row and its value, as Arrow's row format has it; up to twice the sample.
    rows: Vec<(u64, Box<[u8]>)>,
    /// Bytes of the values.
    bytes: usize,
    /// Rows with larger hashes are not in the sample.
    limit: u64,
}

impl Sample {
    fn converter(&self) -> Result<RowConverter> {
        Ok(RowConverter::new(vec![SortField::new(
            self.data_type.clone(),
        )])?)
    }

    fn add(&mut self, hash: u64, value: &[u8]) {
        if hash > self.limit {
            return;
        }
        self.bytes += value.len();
        self.rows.push((hash, value.into()));
        if self.rows.len() >= 2 * MOST {
            self.shrink();
        }
    }

    /// Keeps the rows of the sample, if there are more.
    fn shrink(&mut self) {
        if self.rows.len() <= MOST {
            return;
        }
        let (_, last, _) = self.rows.select_nth_unstable(MOST - 1);
        self.limit = last.0;
        self.rows.truncate(MOST);
        self.bytes = self.rows.iter().map(|(_, value)| value.len()).sum();
    }

    /// The values of the sample in the order of their hashes.
    fn values(mut self) -> Result<ArrayRef> {
        self.shrink();
        self.rows.sort_unstable();
        let converter = self.converter()?;
        let parser = converter.parser();
        let rows = self.rows.iter().map(|(_, value)| parser.parse(value));
        match converter.convert_rows(rows)?.as_slice() {
            [values] => Ok(Arc::clone(values)),
            columns => internal_err!("swap_noise: {} columns", columns.len()),
        }
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Option<()> {
        for _ in 0..input.u64()? {
            let hash = input.u64()?;
            let length = input.length()?;
            self.add(hash, input.bytes(length)?);
        }
        Some(())
    }
}

impl State for Sample {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [x, _, keys] = values else {
            return internal_err!("swap_noise: {} columns", values.len());
        };
        if x.data_type().is_null() {
            return Ok(());
        }
        let mut hashes = key::hashes(SPEC.name, keys)?;
        key::fold(&mut hashes, x)?;
        let nulls = present_in(x);
        let chosen: UInt32Array = (0u32..)
            .zip(&hashes)
            .filter(|(row, hash)| {
                **hash <= self.limit && nulls.as_ref().is_none_or(|n| n.is_valid(*row as usize))
            })
            .map(|(row, _)| Some(row))
            .collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let rows = self
            .converter()?
            .convert_columns(&[take(x, &chosen, None)?])?;
        for (row, at) in rows.iter().zip(chosen.values()) {
            self.add(hashes[*at as usize], row.as_ref());
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        for (hash, value) in other.rows {
            self.add(hash, &value);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.reserve(8 + 16 * self.rows.len() + self.bytes);
        out.extend((self.rows.len() as u64).to_le_bytes());
        for (hash, value) in &self.rows {
            out.extend(hash.to_le_bytes());
            out.extend((value.len() as u64).to_le_bytes());
            out.extend_from_slice(value);
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        match self.read(&mut Reader(bytes)) {
            Some(()) => Ok(()),
            None => internal_err!("a sample of {} bytes cannot be read", bytes.len()),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.rows.capacity() * size_of::<(u64, Box<[u8]>)>() + self.bytes
    }
}

/// The samples of all groups, and where each lies.
#[derive(Debug)]
pub struct Pools {
    values: ArrayRef,
    ranges: Vec<Option<(usize, i64)>>,
}

/// `swap_noise(x, p, key) OVER (...)`.
#[derive(Debug, Clone)]
pub struct SwapNoise;

impl Fitted for SwapNoise {
    type State = Sample;
    type Prepared = Pools;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(_options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [x, p, key] = types else {
            return plan_err!(
                "swap_noise: {} arguments given. Write {}",
                types.len(),
                SPEC.syntax()
            );
        };
        let x = match x {
            DataType::Dictionary(_, value) => value.as_ref(),
            x => x,
        };
        key::check_type(&SPEC, "x", x)?;
        key::check_type(&SPEC, "key", key)?;
        if !RowConverter::supports_fields(&[SortField::new(x.clone())]) {
            return plan_err!("swap_noise: x cannot be a {x}. Write CAST(x AS VARCHAR)");
        }
        Ok(vec![x.clone(), float_type(&SPEC, "p", p)?, key.clone()])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        let values = DataType::new_list(types[0].clone(), true);
        Ok(Fields::from(vec![Field::new("values", values, true)]))
    }

    fn state(&self, types: &[DataType]) -> Result<Sample> {
        Ok(Sample {
            data_type: types[0].clone(),
            rows: Vec::new(),
            bytes: 0,
            limit: u64::MAX,
        })
    }

    fn finish(&self, types: &[DataType], states: Vec<Sample>) -> Result<Vec<ArrayRef>> {
        let samples = states
            .into_iter()
            .map(Sample::values)
            .collect::<Result<Vec<_>>>()?;
        let total: usize = samples.iter().map(|s| s.len()).sum();
        if i32::try_from(total).is_err() {
            return exec_err!(
                "swap_noise: the samples of all groups have {total} values, which are too many"
            );
        }
        let offsets = OffsetBuffer::from_lengths(samples.iter().map(|s| s.len()));
        let parts: Vec<&dyn Array> = samples.iter().map(AsRef::as_ref).collect();
        let values = if parts.is_empty() {
            new_empty_array(&types[0])
        } else {
            concat(&parts)?
        };
        let item = Arc::new(Field::new_list_field(types[0].clone(), true));
        Ok(vec![Arc::new(ListArray::try_new(
            item, offsets, values, None,
        )?)])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Pools> {
        let Some(lists) = params
            .columns()
            .first()
            .and_then(|c| c.as_list_opt::<i32>())
        else {
            return internal_err!("swap_noise: no values");
        };
        let offsets = lists.value_offsets();
        let ranges = (0..params.len())
            .map(|row| {
                let (start, end) = (offsets[row], offsets[row + 1]);
                let fitted = params.is_valid(row) && lists.is_valid(row) && end > start;
                fitted.then(|| (start.unsigned_abs() as usize, i64::from(end - start)))
            })
            .collect();
        Ok(Pools {
            values: Arc::clone(lists.values()),
            ranges,
        })
    }

    fn apply(&self, args: &[ArrayRef], prepared: &Pools, groups: Groups<'_>) -> Result<ArrayRef> {
        let x = &args[0];
        if x.data_type().is_null() {
            return Ok(Arc::clone(x));
        }
        let p = draw::probabilities(&SPEC, &args[1])?;
        let keys = &args[2];
        let hashes = key::hashes(SPEC.name, keys)?;
        let nulls = NullBuffer::union(present_in(x).as_ref(), p.nulls());
        let nulls = NullBuffer::union(nulls.as_ref(), keys.logical_nulls().as_ref());
        let mut missing = vec![false; x.len()];
        let mut places = Vec::with_capacity(x.len());
        for row in 0..x.len() {
            let pool = of_group(&prepared.ranges, groups, row)?;
            let mut place = (0, row);
            match pool {
                Some((start, n)) if nulls.as_ref().is_none_or(|n| n.is_valid(row)) => {
                    let mut rng = key::rng(hashes[row]);
                    if rng.random::<f64>() < p.value(row) {
                        let chosen = key::below(rng.random(), *n).unsigned_abs();
                        place = (1, start + usize::try_from(chosen).unwrap_or(0));
                    }
                }
                _ => missing[row] = true,
            }
            places.push(place);
        }
        let swapped = interleave(&[x.as_ref(), prepared.values.as_ref()], &places)?;
        if !missing.contains(&true) {
            return Ok(swapped);
        }
        let missing = BooleanArray::new(BooleanBuffer::from(missing), None);
        Ok(nullif(&swapped, &missing)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{Int64Array, new_null_array};
    use arrow::compute::cast;
    use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
    use datafusion_common::ScalarValue;

    use super::*;
    use crate::fitted::testing::{
        apply_to, coerce_error, fit, fit_apply, floats, grouped, texts, try_apply_to,
    };

    fn keys(n: i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(0..n))
    }

    fn constant(p: f64, n: usize) -> ArrayRef {
        floats(vec![Some(p); n])
    }

    fn swap(x: ArrayRef, p: f64) -> ArrayRef {
        let n = x.len();
        let keys = keys(i64::try_from(n).expect("few"));
        fit_apply::<SwapNoise>(&[], &[x, constant(p, n), keys])
    }

    #[test]
    fn a_share_is_swapped_and_the_distribution_stays() {
        let n = 20_000usize;
        let x: ArrayRef = Arc::new(Int64Array::from_iter_values(
            (0..20_000).map(|i| i * i % 100),
        ));
        let args = [Arc::clone(&x), constant(0.3, n), keys(20_000)];
        let fitted = fit_apply_once(&args);
        let (before, after) = (
            x.as_primitive::<Int64Type>().values(),
            fitted.as_primitive::<Int64Type>().values(),
        );
        let changed = before.iter().zip(after).filter(|(a, b)| a != b).count();
        // of 100 values, about 1 of 22 draws is of the same
        let same: f64 = {
            let mut counts: HashMap<i64, f64> = HashMap::new();
            for v in before {
                *counts.entry(*v).or_default() += 1.0 / 20_000.0;
            }
            counts.values().map(|share| share * share).sum()
        };
        let expected = 20_000.0 * 0.3 * (1.0 - same);
        assert!((changed as f64 - expected).abs() < 350.0, "{changed}");
        let mean = |v: &[i64]| v.iter().sum::<i64>() as f64 / 20_000.0;
        assert!((mean(before) - mean(after)).abs() < 1.5);
    }

    /// `fit_apply` without a merge a row, which takes long for many rows.
    fn fit_apply_once(args: &[ArrayRef]) -> ArrayRef {
        let types: Vec<_> = args.iter().map(|a| a.data_type().clone()).collect();
        let mut state = SwapNoise.state(&types).expect("a state");
        state.update(args).expect("an update");
        let columns = SwapNoise.finish(&types, vec![state]).expect("values");
        let fields = SwapNoise.params(&types).expect("fields");
        let params = StructArray::new(fields, columns, None);
        let prepared = SwapNoise.prepare(&types, &params).expect("pools");
        SwapNoise
            .apply(args, &prepared, Groups::One)
            .expect("values")
    }

    #[test]
    fn larger_tables_are_sampled_whatever_the_order() {
        let n = 300_000;
        let all: Vec<i64> = (0..n).map(|i| i * 7919 % n).collect();
        let types = [DataType::Int64, DataType::Float64, DataType::Int64];
        let part = |rows: &[i64]| {
            let x: ArrayRef = Arc::new(Int64Array::from(rows.to_vec()));
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r + 1)));
            [x, constant(0.5, rows.len()), keys]
        };
        let mut whole = SwapNoise.state(&types).expect("a state");
        whole.update(&part(&all)).expect("an update");
        let mut merged = SwapNoise.state(&types).expect("a state");
        for rows in all.rchunks(40_000) {
            let mut one = SwapNoise.state(&types).expect("a state");
            for rows in rows.chunks(8192) {
                one.update(&part(rows)).expect("an update");
            }
            let mut bytes = Vec::new();
            one.encode(&mut bytes).expect("an encoding");
            let mut decoded = SwapNoise.state(&types).expect("a state");
            assert!(decoded.decode(&bytes[..bytes.len() - 1]).is_err());
            let mut decoded = SwapNoise.state(&types).expect("a state");
            decoded.decode(&bytes).expect("a decoding");
            merged.merge(decoded).expect("a merge");
        }
        assert!(whole.size() < 10_000_000);
        let whole = whole.values().expect("values");
        assert_eq!(&merged.values().expect("values"), &whole);
        assert_eq!(whole.len(), MOST);
        let mean = whole
            .as_primitive::<Int64Type>()
            .iter()
            .flatten()
            .sum::<i64>() as f64
            / MOST as f64;
        // five standard errors are below 1700
        assert!((mean - 150_000.0).abs() < 1700.0, "{mean}");
    }

    #[test]
    fn any_type() {
        let x = texts([Some("a"), None, Some("longer than twelve bytes"), Some("é")]);
        assert_eq!(&swap(Arc::clone(&x), 0.0), &x);
        let all = swap(Arc::clone(&x), 1.0);
        assert!(all.is_null(1) && all.null_count() == 1);
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let encoded = cast(&x, &dictionary).expect("a dictionary");
        let decoded = swap(encoded, 1.0);
        assert_eq!(&cast(&decoded, &DataType::Utf8View).expect("texts"), &all);
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        let lists: ArrayRef = Arc::new(lists);
        assert_eq!(&swap(Arc::clone(&lists), 0.0), &lists);
        assert_eq!(swap(lists, 1.0).null_count(), 1);
        let null: ArrayRef = new_null_array(&DataType::Null, 2);
        assert_eq!(swap(null, 0.5).logical_null_count(), 2);
    }

    #[test]
    fn missing_values() {
        let x = floats([Some(1.0), Some(f64::NAN), None, Some(f64::INFINITY)]);
        let y = swap(x, 1.0);
        let y = y.as_primitive::<Float64Type>();
        assert!(y.is_null(1) && y.is_null(2) && y.null_count() == 2);
        assert!(y.iter().flatten().all(|v| v == 1.0 || v == f64::INFINITY));
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(2)]));
        let p = floats([Some(0.0), Some(0.0), None]);
        let x = floats([Some(1.0); 3]);
        let y = fit_apply::<SwapNoise>(&[], &[x, p, keys]);
        assert!(y.is_valid(0) && y.is_null(1) && y.is_null(2));
        assert_eq!(swap(new_empty_array(&DataType::Utf8View), 0.5).len(), 0);
        // nothing was learnt
        let one = || [floats([Some(1.0)]), constant(0.5, 1), self::keys(1)];
        let none = [floats([None]), constant(0.5, 1), self::keys(1)];
        assert_eq!(apply_to::<SwapNoise>(&[], &none, &one()).null_count(), 1);
    }

    #[test]
    fn by_group() {
        let x = floats((0..60).map(|i| Some(f64::from(i % 2) * 100.0 + f64::from(i))));
        let groups: Vec<u32> = (0..60).map(|i| i % 2).collect();
        let args = [x, constant(1.0, 60), keys(60)];
        let y = grouped::<SwapNoise>(&[], &args, &groups);
        for (y, group) in y.as_primitive::<Float64Type>().iter().zip(groups) {
            assert_eq!(y.expect("a value") >= 100.0, group == 1);
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let args = [floats([Some(1.0)]), constant(2.0, 1), keys(1)];
        let error = try_apply_to::<SwapNoise>(&[], &args, &args).expect_err("an error");
        let error = error.to_string();
        assert!(
            error.contains("swap_noise: p must be between 0 and 1"),
            "{error}"
        );
        let types = [DataType::Int64, DataType::Utf8, DataType::Int64];
        let error = coerce_error::<SwapNoise>(&[], &types);
        assert!(error.contains("p must be a number"), "{error}");
        let params = fit::<SwapNoise>(&[], &[floats([Some(1.0)]), constant(0.0, 1), keys(1)]);
        let values = ScalarValue::try_from_array(params.column(0), 0).expect("a list");
        assert_eq!(values.to_string(), "[1.0]");
    }
}
