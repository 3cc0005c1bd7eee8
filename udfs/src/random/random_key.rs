//! `random_key(seed, a, b, ...)`: the key of a row. How values become keys is written in [`super::key`].

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::ColumnarValue;

use super::key;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "random_key",
    stage: Stage::Random,
    kind: Kind::RowWise,
    summary: "A 64-bit key, the same for the same values on any machine and any number of threads, for functions that draw at random.",
    params: &[
        Param::data("seed", "another seed gives other keys; usually a number"),
        Param::data(
            "value",
            "what tells rows apart, of any type: an id, a copy's number. NULL is a value like others, \
             and equal numbers are equal in all types (5 as INT, BIGINT or DOUBLE)",
        ),
    ],
    variadic: true,
    examples: &[
        Example {
            sql: "SELECT random_key(42, 1), random_key(42, 2), random_key(42, NULL)",
            result: "16558740267870300399,11283862940551401008,1651873640953306047",
        },
        Example {
            sql: "SELECT random_key(7, 1, 'a') = random_key(7, 1.0, 'a'), random_key(7, 1, 'a') = random_key(7, 'a', 1)",
            result: "true,false",
        },
    ],
    source: "XXH64 (Collet, xxHash specification 0.1.1) over the values, one after another",
    also: &["pyspark.sql.functions.xxhash64", "FARM_FINGERPRINT"],
};

#[derive(Debug)]
pub struct RandomKey;

impl RowWise for RandomKey {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        for (i, t) in types.iter().enumerate() {
            key::check_type(&SPEC, &format!("argument {}", i + 1), t)?;
        }
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let mut start = key::start(SPEC.name);
        let mut done = 0;
        // constants in front, the seed above all, are taken in once
        while done < args.len()
            && let ColumnarValue::Scalar(value) = args.value(done)?
        {
            let mut hash = [start];
            key::fold(&mut hash, &value.to_array()?)?;
            [start] = hash;
            done += 1;
        }
        let mut keys = vec![start; args.rows()];
        for i in done..args.len() {
            key::fold(&mut keys, &args.array(i)?)?;
        }
        Ok(Arc::new(UInt64Array::from(keys)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int8Array, Int64Array, LargeStringArray, ListArray, StructArray, TimestampMicrosecondArray,
        TimestampSecondArray, UInt64Array,
    };
    use arrow::compute::concat;
    use arrow::datatypes::{Field, Int64Type, UInt64Type};
    use datafusion_common::Result;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, text_forms, texts};

    fn keys(args: &[ColumnarValue]) -> Result<Vec<u64>> {
        let result = call(RandomKey, args)?;
        assert_eq!(result.null_count(), 0);
        Ok(result.as_primitive::<UInt64Type>().values().to_vec())
    }

    fn key_of(array: impl Array + 'static) -> Result<Vec<u64>> {
        keys(&[constant(0), column(array)])
    }

    /// These must never change: stored splits and samples depend on them. Made with Python's xxhash.
    #[test]
    fn golden() -> Result<()> {
        let ids = Int64Array::from(vec![Some(1), Some(2), None]);
        let expected = [
            16_558_740_267_870_300_399,
            11_283_862_940_551_401_008,
            1_651_873_640_953_306_047,
        ];
        assert_eq!(keys(&[constant(42), column(ids)])?, expected);
        Ok(())
    }

    #[test]
    fn equal_values_of_any_type_are_equal() -> Result<()> {
        let expected = key_of(Int64Array::from(vec![Some(0), Some(1), None]))?;
        assert_eq!(
            key_of(Int8Array::from(vec![Some(0), Some(1), None]))?,
            expected
        );
        assert_eq!(
            key_of(UInt64Array::from(vec![Some(0), Some(1), None]))?,
            expected
        );
        assert_eq!(
            key_of(Float32Array::from(vec![Some(-0.0), Some(1.0), None]))?,
            expected
        );
        assert_eq!(
            key_of(Float64Array::from(vec![Some(0.0), Some(1.0), None]))?,
            expected
        );
        assert_eq!(
            key_of(BooleanArray::from(vec![Some(false), Some(true), None]))?,
            expected
        );
        let decimals = Decimal128Array::from(vec![Some(0), Some(100), None]);
        assert_eq!(key_of(decimals.with_precision_and_scale(10, 2)?)?, expected);
        Ok(())
    }

    #[test]
    fn different_values_are_different() -> Result<()> {
        let mut all = vec![];
        all.extend(key_of(Int64Array::from(vec![
            i64::MIN,
            -1,
            0,
            1,
            i64::MAX,
        ]))?);
        all.extend(key_of(UInt64Array::from(vec![u64::MAX, 1 << 63]))?);
        all.extend(key_of(Float64Array::from(vec![
            0.5,
            f64::NAN,
            f64::INFINITY,
        ]))?);
        all.extend(key_of(Date32Array::from(vec![0, 1]))?);
        all.extend(key_of(TimestampSecondArray::from(vec![0, 1]))?);
        all.extend(keys(&[
            constant(0),
            texts([Some(""), Some("0"), Some("1"), None]),
        ])?);
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n);
        Ok(())
    }

    #[test]
    fn units_and_text_types_do_not_count() -> Result<()> {
        let seconds = TimestampSecondArray::from(vec![-1, 0, 1_700_000_000]);
        let micros = TimestampMicrosecondArray::from(vec![-1_000_000, 0, 1_700_000_000_000_000]);
        assert_eq!(key_of(seconds)?, key_of(micros)?);
        let nan = Float64Array::from(vec![f64::NAN, -f64::NAN]);
        let nan = key_of(nan)?;
        assert_eq!(nan[0], nan[1]);
        let values = [
            Some("a"),
            None,
            Some("数据"),
            Some(""),
            Some("thirty-two bytes, and then some more"),
        ];
        let forms = text_forms(&values)
            .into_iter()
            .map(|form| keys(&[constant(0), form]))
            .collect::<Result<Vec<_>>>()?;
        assert!(forms.iter().all(|f| f == &forms[0]));
        Ok(())
    }

    #[test]
    fn order_and_place_count() -> Result<()> {
        let ab = keys(&[constant(0), constant("a"), constant("b")])?;
        assert_ne!(ab, keys(&[constant(0), constant("b"), constant("a")])?);
        assert_ne!(ab, keys(&[constant(0), constant("ab"), constant("")])?);
        assert_ne!(ab, keys(&[constant(1), constant("a"), constant("b")])?);
        let null_first = keys(&[constant(0), null(), constant(1)])?;
        assert_ne!(null_first, keys(&[constant(0), constant(1), null()])?);
        Ok(())
    }

    #[test]
    fn nested_values() -> Result<()> {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), None]),
            Some(vec![Some(1)]),
            Some(vec![]),
            None,
            Some(vec![Some(1)]),
        ]);
        let hashes = key_of(lists.clone())?;
        assert_eq!(hashes[1], hashes[4]);
        let tail = key_of(lists.slice(3, 2))?;
        assert_eq!(hashes[3..], tail);
        let mut distinct = hashes[..4].to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 4);
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let two: ArrayRef = Arc::new(Int64Array::from(vec![2]));
        let a = StructArray::from(vec![
            (field("a"), Arc::clone(&one)),
            (field("b"), Arc::clone(&two)),
        ]);
        let b = StructArray::from(vec![(field("a"), two), (field("b"), one)]);
        assert_ne!(key_of(a)?, key_of(b)?);
        Ok(())
    }

    #[test]
    fn constants_are_columns_and_batches_may_be_cut() -> Result<()> {
        let ids = Int64Array::from_iter_values(0..10);
        let fast = call(
            RandomKey,
            &[constant(5), constant("x"), column(ids.clone())],
        )?;
        let slow = call(
            RandomKey,
            &[
                column(Int64Array::from(vec![5; 10])),
                column(LargeStringArray::from(vec!["x"; 10])),
                column(ids.clone()),
            ],
        )?;
        assert_eq!(&fast, &slow);
        for cut in 0..=10 {
            let a = call(
                RandomKey,
                &[constant(5), constant("x"), column(ids.slice(0, cut))],
            )?;
            let b = call(
                RandomKey,
                &[constant(5), constant("x"), column(ids.slice(cut, 10 - cut))],
            )?;
            assert_eq!(&concat(&[&a, &b])?, &fast);
        }
        assert!(call(RandomKey, &[constant(5), empty(&DataType::Utf8)])?.is_empty());
        Ok(())
    }

    #[test]
    fn needs_something_to_tell_rows_apart() {
        let message = error(call(RandomKey, &[constant(5)]));
        assert!(
            message.contains("Write random_key(seed, value, ...)"),
            "{message}"
        );
    }
}
