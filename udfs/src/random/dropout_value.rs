//! `dropout_value(x, p, key)`.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use rand::Rng;

use super::{draw, key};
use crate::arrays::float_type;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "dropout_value",
    stage: Stage::Random,
    kind: Kind::RowWise,
    summary: "The value, or with probability p NULL, so that a model learns to do without it.",
    params: &[
        Param::data("x", "a value of any type"),
        Param::data("p", "the probability of NULL, from 0 to 1"),
        Param::optional_data(
            "key",
            "fresh_key()",
            "drops the same rows for the same key: random_key(seed, id); left out, every run draws afresh. Columns \
             with one key are dropped together: write random_key(seed, id, 'column') to drop each by itself. A NULL \
             key gives NULL",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT dropout_value('a', 0, 1), dropout_value('a', 1, 1), dropout_value(NULL, 0, 1)",
            result: "a,,",
        },
        Example {
            sql: "SELECT round(count(dropout_value(i, 0.3, random_key(42, i))) / 1000.0) FROM generate_series(1, 100000) AS t(i)",
            result: "70.0",
        },
    ],
    source: "a Bernoulli draw of 53 random bits of SplitMix64 (Steele, Lea and Flood 2014) at the hash of the key",
    also: &["torch.nn.Dropout", "masking noise (denoising autoencoders)"],
};

#[derive(Debug)]
pub struct DropoutValue;

impl RowWise for DropoutValue {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        if let Some(p) = coerced.get_mut(1) {
            *p = float_type(&SPEC, "p", p)?;
        }
        if let Some(key) = types.get(2) {
            key::check_type(&SPEC, "key", key)?;
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let x = args.array(0)?;
        let p = draw::probabilities(&SPEC, &args.array(1)?)?;
        let keys = args.array(2)?;
        let hashes = key::hashes(SPEC.name, &keys)?;
        if x.data_type().is_null() {
            return Ok(x);
        }
        let present = NullBuffer::union(p.nulls(), keys.logical_nulls().as_ref());
        let dropped = BooleanBuffer::collect_bool(x.len(), |row| {
            present.as_ref().is_some_and(|n| n.is_null(row))
                || key::rng(hashes[row]).random::<f64>() < p.value(row)
        });
        Ok(nullif(&x, &BooleanArray::new(dropped, None))?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, ListArray, UInt64Array};
    use arrow::compute::concat;
    use arrow::datatypes::Int64Type;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, text_forms, texts};

    fn keys(n: i64) -> Int64Array {
        Int64Array::from_iter_values(0..n)
    }

    /// Made with Python's xxhash and a SplitMix64 of one's own; must never change.
    #[test]
    fn golden() -> Result<()> {
        let keys = UInt64Array::from_iter_values(0..10);
        let result = call(
            DropoutValue,
            &[column(keys.clone()), constant(0.5), column(keys)],
        )?;
        let kept: Vec<u64> = result
            .as_primitive::<arrow::datatypes::UInt64Type>()
            .iter()
            .flatten()
            .collect();
        assert_eq!(kept, [0, 1, 4, 6, 8, 9]);
        Ok(())
    }

    #[test]
    fn a_share_is_dropped_the_rest_stays() -> Result<()> {
        let x = column(keys(100_000));
        let result = call(DropoutValue, &[x.clone(), constant(0.3), x.clone()])?;
        // four standard deviations are 580
        assert!(result.null_count().abs_diff(30_000) < 600);
        let values = result.as_primitive::<Int64Type>();
        for (row, value) in (0i64..).zip(values) {
            assert!(value.is_none_or(|v| v == row));
        }
        assert_eq!(
            call(DropoutValue, &[x.clone(), constant(0), x.clone()])?.null_count(),
            0
        );
        assert_eq!(
            call(DropoutValue, &[x.clone(), constant(1), x])?.null_count(),
            100_000
        );
        Ok(())
    }

    #[test]
    fn a_batch_may_be_cut_anywhere() -> Result<()> {
        let drop = |keys: Int64Array| {
            let keys = column(keys);
            call(DropoutValue, &[keys.clone(), constant(0.5), keys])
        };
        let all = drop(keys(20))?;
        for cut in 0..=20 {
            let a = drop(keys(20).slice(0, cut))?;
            let b = drop(keys(20).slice(cut, 20 - cut))?;
            assert_eq!(&concat(&[&a, &b])?, &all);
        }
        Ok(())
    }

    #[test]
    fn any_type() -> Result<()> {
        let key = column(keys(3));
        for x in text_forms(&[Some("a"), None, Some("é")]) {
            let result = call(DropoutValue, &[x, constant(0), key.clone()])?;
            assert!(result.is_valid(0) && result.is_null(1) && result.is_valid(2));
        }
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1)]),
            None,
            Some(vec![]),
        ]);
        let result = call(
            DropoutValue,
            &[column(lists.clone()), constant(0), key.clone()],
        )?;
        assert_eq!(result.as_ref(), &lists as &dyn Array);
        let dropped = call(DropoutValue, &[column(lists), constant(1), key.clone()])?;
        assert_eq!(dropped.null_count(), 3);
        let nothing = call(DropoutValue, &[null(), constant(0.5), key])?;
        assert_eq!(nothing.logical_null_count(), 3);
        Ok(())
    }

    #[test]
    fn nulls_nothing_and_errors() -> Result<()> {
        let x = column(keys(3));
        let p = column(Float64Array::from(vec![Some(0.0), None, Some(0.0)]));
        let key = column(Int64Array::from(vec![Some(1), Some(1), None]));
        let result = call(DropoutValue, &[x.clone(), p, key])?;
        assert!(result.is_valid(0) && result.is_null(1) && result.is_null(2));
        let none: ColumnarValue = empty(&DataType::Utf8);
        assert!(call(DropoutValue, &[none, constant(0.5), constant(1)])?.is_empty());
        for wrong in [1.5, -0.1, f64::NAN] {
            let message = error(call(
                DropoutValue,
                &[x.clone(), constant(wrong), constant(1)],
            ));
            assert!(
                message.contains("dropout_value: p must be between 0 and 1"),
                "{message}"
            );
        }
        let message = error(call(DropoutValue, &[x, texts([Some("a")]), constant(1)]));
        assert!(message.contains("p must be a number"), "{message}");
        Ok(())
    }
}
