//! `hash_bucket(x, n)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};

use crate::options::Options;
use crate::random::key;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "hash_bucket",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "A bucket, 0 to n - 1, by the hash of a value: categories too many to list, without learning them first.",
    params: &[
        Param::data(
            "x",
            "a value of any type; equal numbers are equal in all types (5 as INT, BIGINT or DOUBLE). NULL gives NULL",
        ),
        Param::required("n", "how many buckets; different values may share one"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT hash_bucket('a', 100) = hash_bucket('a', 100), hash_bucket('a', 1), hash_bucket(NULL, 10)",
        result: "true,0,",
    }],
    source: "XXH64 of the value, times n, divided by 2^64: the same in all versions and on all machines",
    also: &["ML.HASH_BUCKETIZE", "tf.keras.layers.Hashing"],
};

#[derive(Debug)]
pub struct HashBucket;

fn buckets(options: &Options) -> Result<i64> {
    options.integer("n", 1)
}

impl RowWise for HashBucket {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        key::check_type(&SPEC, "x", &types[0])?;
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn check(&self, options: &Options) -> Result<()> {
        buckets(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let n = buckets(&args.options()?)?;
        let x = args.array(0)?;
        let hashes = key::hashes(SPEC.name, &x)?;
        let buckets: Vec<i64> = hashes.iter().map(|hash| key::below(*hash, n)).collect();
        Ok(Arc::new(Int64Array::new(buckets.into(), x.logical_nulls())))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::Int64Type;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, text_forms};

    fn bucket(x: ColumnarValue, n: i64) -> Result<ArrayRef> {
        call(HashBucket, &[x, constant(n)])
    }

    #[test]
    fn buckets_are_even_and_the_type_does_not_count() -> Result<()> {
        let wide = bucket(column(Int64Array::from_iter_values(0..100_000)), 10)?;
        let narrow = bucket(column(Int32Array::from_iter_values(0..100_000)), 10)?;
        assert_eq!(&wide, &narrow);
        let buckets = wide.as_primitive::<Int64Type>().values();
        for b in 0..10 {
            let n = buckets.iter().filter(|v| **v == b).count();
            // four standard deviations of a binomial are 380
            assert!(n.abs_diff(10_000) < 450, "{b}: {n}");
        }
        Ok(())
    }

    #[test]
    fn texts_nulls_and_nothing() -> Result<()> {
        let buckets = text_forms(&[Some("a"), None, Some("é"), Some("")])
            .into_iter()
            .map(|form| bucket(form, i64::MAX))
            .collect::<Result<Vec<_>>>()?;
        assert!(buckets.iter().all(|b| b == &buckets[0]));
        assert!(buckets[0].is_null(1) && buckets[0].null_count() == 1);
        assert_eq!(bucket(null(), 5)?.null_count(), 1);
        assert!(bucket(empty(&DataType::Utf8), 5)?.is_empty());
        Ok(())
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message = error(bucket(constant(1), 0));
        assert!(
            message.contains("hash_bucket: n must be a whole number of at least 1, not 0"),
            "{message}"
        );
    }
}
