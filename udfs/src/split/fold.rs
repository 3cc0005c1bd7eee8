//! `fold(key, k, seed)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};

use crate::options::Options;
use crate::random::key;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "fold",
    stage: Stage::Split,
    kind: Kind::RowWise,
    summary: "A fold of cross-validation, 0 to k - 1, by the hash of a key: the same key always falls into the same fold.",
    params: &[
        Param::data(
            "key",
            "what identifies a row, of any type; rows of one key stay together. NULL gives NULL: write \
             random_key(0, a, b) for several columns or where keys are missing",
        ),
        Param::option(
            "k",
            "5",
            "how many folds, each of about the same number of keys",
        ),
        Param::option("seed", "0", "another seed gives other folds"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT f, round(count(*) / 1000.0) FROM (SELECT fold(i, k => 4) AS f \
              FROM generate_series(1, 100000) AS t(i)) GROUP BY f ORDER BY f",
        result: "0,25.0\n1,25.0\n2,25.0\n3,25.0",
    }],
    source: "XXH64 of the key, times k, divided by 2^64",
    also: &[
        "sklearn.model_selection.KFold",
        "sklearn.model_selection.GroupKFold",
    ],
};

#[derive(Debug)]
pub struct Fold;

fn settings(options: &Options) -> Result<(i64, i64)> {
    Ok((options.integer("k", 2)?, options.integer("seed", 0)?))
}

impl RowWise for Fold {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        key::check_type(&SPEC, "key", &types[0])?;
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn check(&self, options: &Options) -> Result<()> {
        settings(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let (k, seed) = settings(&args.options()?)?;
        let keys = args.array(0)?;
        let mut start = [key::start(SPEC.name)];
        key::fold(&mut start, &ScalarValue::from(seed).to_array()?)?;
        let mut hashes = vec![start[0]; keys.len()];
        key::fold(&mut hashes, &keys)?;
        let folds: Vec<i64> = hashes.iter().map(|hash| key::below(*hash, k)).collect();
        Ok(Arc::new(Int64Array::new(
            folds.into(),
            keys.logical_nulls(),
        )))
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

    fn fold(key: ColumnarValue, k: i64, seed: i64) -> Result<ArrayRef> {
        call(Fold, &[key, constant(k), constant(seed)])
    }

    #[test]
    fn folds_are_even() -> Result<()> {
        let folds = fold(column(Int64Array::from_iter_values(0..100_000)), 5, 0)?;
        let folds = folds.as_primitive::<Int64Type>().values();
        for f in 0..5 {
            let n = folds.iter().filter(|v| **v == f).count();
            // four standard deviations of a binomial are 506
            assert!(n.abs_diff(20_000) < 600, "{f}: {n}");
        }
        Ok(())
    }

    #[test]
    fn the_key_counts_not_its_type_and_the_seed_does() -> Result<()> {
        let wide = fold(column(Int64Array::from_iter_values(0..100)), 5, 0)?;
        let narrow = fold(column(Int32Array::from_iter_values(0..100)), 5, 0)?;
        assert_eq!(&wide, &narrow);
        let other = fold(column(Int64Array::from_iter_values(0..100)), 5, 1)?;
        assert_ne!(&wide, &other);
        Ok(())
    }

    #[test]
    fn texts_nulls_and_nothing() -> Result<()> {
        let folds = text_forms(&[Some("a"), None, Some("é"), Some("")])
            .into_iter()
            .map(|form| fold(form, 3, 0))
            .collect::<Result<Vec<_>>>()?;
        assert!(folds.iter().all(|f| f == &folds[0]));
        assert!(folds[0].is_null(1) && folds[0].null_count() == 1);
        assert_eq!(fold(null(), 5, 0)?.null_count(), 1);
        assert!(fold(empty(&DataType::Utf8), 5, 0)?.is_empty());
        Ok(())
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message = error(fold(constant(1), 1, 0));
        assert!(
            message.contains("fold: k must be a whole number of at least 2, not 1"),
            "{message}"
        );
    }
}
