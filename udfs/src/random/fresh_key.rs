//! `fresh_key()`: a key no one has had before, in each row. What random functions use when no key is given.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Volatility;
use rand::Rng;

use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Spec, Stage};

const SPEC: Spec = Spec {
    name: "fresh_key",
    stage: Stage::Random,
    kind: Kind::RowWise,
    summary: "A new random key in each row and each run: the default of functions that take a key.",
    params: &[],
    variadic: false,
    examples: &[Example {
        sql: "SELECT fresh_key() = fresh_key(), random_uniform(5, 6, fresh_key()) >= 5",
        result: "false,true",
    }],
    source: "the operating system's randomness, through ChaCha12 (the rand crate's thread generator)",
    also: &["random()", "numpy.random.default_rng()"],
};

#[derive(Debug)]
pub struct FreshKey;

impl RowWise for FreshKey {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn volatility(&self) -> Volatility {
        Volatility::Volatile
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let mut keys = vec![0; args.rows()];
        rand::rng().fill(&mut keys[..]);
        Ok(Arc::new(UInt64Array::from(keys)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arrow::array::AsArray;
    use arrow::datatypes::UInt64Type;

    use super::*;
    use crate::testing::{call_rows, error, null};

    #[test]
    fn each_row_and_each_call_has_its_own() -> Result<()> {
        let a = call_rows(FreshKey, &[], 1000)?;
        let b = call_rows(FreshKey, &[], 1000)?;
        let distinct: HashSet<u64> = [a, b]
            .iter()
            .flat_map(|keys| keys.as_primitive::<UInt64Type>().values().to_vec())
            .collect();
        assert_eq!(distinct.len(), 2000);
        assert_eq!(call_rows(FreshKey, &[], 0)?.len(), 0);
        Ok(())
    }

    #[test]
    fn takes_no_arguments() {
        let message = error(call_rows(FreshKey, &[null()], 1));
        assert!(message.contains("Write fresh_key()"), "{message}");
    }
}
