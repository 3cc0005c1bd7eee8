//! `farm_fingerprint(x)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, plan_err};

use super::farm_hash::fingerprint64;
use crate::arrays::is_text;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "farm_fingerprint",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The fingerprint of a text or of bytes that BigQuery computes, a BIGINT: splits and buckets made with it \
        there are the same here.",
    params: &[Param::data("x", "text or bytes. NULL gives NULL")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT farm_fingerprint('python'), abs(farm_fingerprint('a')) % 10 < 8 AS is_train",
        result: "2065202487608477923,true",
    }],
    source: "FarmHash's Fingerprint64, as a signed number",
    also: &["FARM_FINGERPRINT (BigQuery)"],
};

#[derive(Debug)]
pub struct FarmFingerprint;

/// The fingerprint of each value of a `Utf8View` or `BinaryView` array, as `of` makes it a number.
pub(crate) fn fingerprints(x: &ArrayRef, of: impl Fn(u64) -> i64) -> Int64Array {
    let of_bytes = |bytes: &[u8]| of(fingerprint64(bytes));
    let values = match x.as_string_view_opt() {
        Some(texts) => texts
            .iter()
            .map(|t| of_bytes(t.unwrap_or_default().as_bytes()))
            .collect::<Vec<_>>(),
        None => x
            .as_binary_view()
            .iter()
            .map(|b| of_bytes(b.unwrap_or_default()))
            .collect(),
    };
    Int64Array::new(values.into(), x.nulls().cloned())
}

impl RowWise for FarmFingerprint {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match &types[0] {
            t if is_text(t) => Ok(vec![DataType::Utf8View]),
            t if t.is_binary() => Ok(vec![DataType::BinaryView]),
            t => plan_err!(
                "farm_fingerprint: x must be text or bytes, not {t}. Write farm_fingerprint(CAST(x AS VARCHAR))"
            ),
        }
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        Ok(Arc::new(fingerprints(&args.array(0)?, u64::cast_signed)))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::BinaryArray;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, text_forms};

    #[test]
    fn texts_bytes_and_nulls() -> Result<()> {
        let expected = Int64Array::from(vec![
            Some(-5_528_939_962_900_187_677),
            None,
            Some(-7_286_425_919_675_154_353),
        ]);
        for form in text_forms(&[Some("a"), None, Some("")]) {
            let found = call(FarmFingerprint, &[form])?;
            assert_eq!(found.as_primitive::<Int64Type>(), &expected);
        }
        let bytes = BinaryArray::from_opt_vec(vec![Some(b"a"), None, Some(b"")]);
        let found = call(FarmFingerprint, &[column(bytes)])?;
        assert_eq!(found.as_primitive::<Int64Type>(), &expected);
        assert_eq!(call(FarmFingerprint, &[null()])?.null_count(), 1);
        assert!(call(FarmFingerprint, &[empty(&DataType::Utf8)])?.is_empty());
        assert!(error(call(FarmFingerprint, &[constant(1)])).contains("CAST(x AS VARCHAR)"));
        Ok(())
    }
}
