//! `ML.HASH_BUCKETIZE(x, n)`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};

use crate::arrays::text_type;
use crate::encode::farm_fingerprint::fingerprints;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "ml_hash_bucketize",
    stage: Stage::BigQuery,
    kind: Kind::RowWise,
    summary: "The remainder of a text's fingerprint.",
    params: &[
        Param::data("x", "text. NULL gives NULL"),
        Param::required(
            "hash_bucket_size",
            "how many buckets; 0: the fingerprint itself",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ML.HASH_BUCKETIZE(x, 3) FROM (VALUES ('a'), ('b'), ('c'), ('d'), (NULL)) AS t(x)",
        result: "0\n1\n1\n2\n",
    }],
    source: "BigQuery ML's documentation",
    also: &[],
};

#[derive(Debug)]
pub struct HashBucketize;

fn buckets(options: &Options) -> Result<u64> {
    Ok(options.integer("hash_bucket_size", 0)?.unsigned_abs())
}

impl RowWise for HashBucketize {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = text_type(&SPEC, "x", &types[0])?;
        Ok(coerced)
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
        Ok(Arc::new(match n {
            0 => fingerprints(&x, u64::cast_signed),
            n => fingerprints(&x, |hash| (hash % n).cast_signed()),
        }))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::testing::{call, constant, error, text_forms};

    #[test]
    fn remainders() -> Result<()> {
        for form in text_forms(&[Some("a"), Some("b"), None, Some("d")]) {
            let found = call(HashBucketize, &[form.clone(), constant(3)])?;
            let found: Vec<_> = found.as_primitive::<Int64Type>().iter().collect();
            assert_eq!(found, [Some(0), Some(1), None, Some(2)]);
            let all = call(HashBucketize, &[form, constant(0)])?;
            let first = all.as_primitive::<Int64Type>().value(0);
            assert_eq!(first, -5_528_939_962_900_187_677);
            assert!(all.is_null(2));
        }
        let message = error(call(HashBucketize, &[constant("a"), constant(-1)]));
        assert!(
            message.contains("a whole number of at least 0"),
            "{message}"
        );
        let message = error(call(HashBucketize, &[constant(1), constant(3)]));
        assert!(message.contains("CAST(x AS VARCHAR)"), "{message}");
        Ok(())
    }
}
