//! `split(key, test, validation, seed)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, UInt8Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::options::Options;
use crate::random::key;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "split",
    stage: Stage::Split,
    kind: Kind::RowWise,
    summary: "'train', 'test' or 'validation', by the hash of a key: the same key always falls into the same part.",
    params: &[
        Param::data(
            "key",
            "what identifies a row, of any type; rows of one key stay together (give a customer's id to \
             keep a customer's rows in one part). NULL gives NULL: write random_key(0, a, b) for several \
             columns or where keys are missing",
        ),
        Param::option("test", "0.2", "the fraction of keys in 'test'"),
        Param::option(
            "validation",
            "0",
            "the fraction of keys in 'validation'; it is taken from 'train', 'test' does not change",
        ),
        Param::option("seed", "0", "another seed gives another split"),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT split(7), split(8), split(9), split(NULL)",
            result: "train,test,train,",
        },
        Example {
            sql: "SELECT split(i, test => 0.2, validation => 0.1) AS part, round(count(*) / 1000.0) \
                  FROM generate_series(1, 100000) AS t(i) GROUP BY part ORDER BY part",
            result: "test,20.0\ntrain,70.0\nvalidation,10.0",
        },
    ],
    source: "a threshold on XXH64 of the key, as BigQuery's documentation does with FARM_FINGERPRINT",
    also: &[
        "sklearn.model_selection.train_test_split",
        "DATA_SPLIT_METHOD",
        "randomSplit",
    ],
};

#[derive(Debug)]
pub struct Split;

/// The hashes below which a row is in 'test' and, if not, in 'validation'.
pub(super) struct Thresholds {
    test: u128,
    validation: u128,
    seed: i64,
}

impl Thresholds {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let (test, validation) = shares(options)?;
        // a power of two: the product is exact
        let of_all = |fraction: f64| (fraction * 2f64.powi(64)) as u128;
        Ok(Self {
            test: of_all(test),
            validation: of_all(test) + of_all(validation),
            seed: options.integer("seed", 0)?,
        })
    }
}

/// The fractions of 'test' and 'validation'.
pub(super) fn shares(options: &Options) -> Result<(f64, f64)> {
    let test = options.float_in("test", 0.0, 1.0)?;
    let validation = options.float_in("validation", 0.0, 1.0)?;
    // 0.7 + 0.3 may round to a little above 1
    if test + validation > 1.0 + 1e-9 {
        return plan_err!(
            "{}: test and validation together must not be above 1, but {test} + {validation} is {}. \
             What is left is 'train'",
            options.spec().name,
            test + validation
        );
    }
    Ok((test, validation))
}

/// The names of the parts: 0 is 'test', 1 'validation', 2 'train'.
pub(super) fn named(parts: &dyn Array) -> Result<ArrayRef> {
    let names: ArrayRef = Arc::new(StringViewArray::from(vec!["test", "validation", "train"]));
    Ok(take(&names, parts, None)?)
}

/// The part of each row, by the hash of its key.
pub(super) fn parts(spec: &Spec, args: &Args<'_>) -> Result<ArrayRef> {
    let thresholds = Thresholds::new(&args.options()?)?;
    let keys = args.array(0)?;
    let mut start = [key::start(spec.name)];
    key::fold(&mut start, &ScalarValue::from(thresholds.seed).to_array()?)?;
    let mut hashes = vec![start[0]; keys.len()];
    key::fold(&mut hashes, &keys)?;
    let parts: Vec<u8> = hashes
        .iter()
        .map(|hash| {
            let hash = u128::from(*hash);
            u8::from(hash >= thresholds.test) + u8::from(hash >= thresholds.validation)
        })
        .collect();
    named(&UInt8Array::new(parts.into(), keys.logical_nulls()))
}

impl RowWise for Split {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        key::check_type(&SPEC, "key", &types[0])?;
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn check(&self, options: &Options) -> Result<()> {
        Thresholds::new(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        parts(&SPEC, args)
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, Int64Array};
    use arrow::compute::concat;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, text_forms};

    fn options(test: f64, validation: f64, seed: i64) -> [ColumnarValue; 3] {
        [constant(test), constant(validation), constant(seed)]
    }

    fn split(key: ColumnarValue, options: [ColumnarValue; 3]) -> Result<ArrayRef> {
        call(Split, &[&[key], &options[..]].concat())
    }

    fn count(parts: &ArrayRef, part: &str) -> usize {
        let parts = parts.as_string_view();
        parts.iter().filter(|p| *p == Some(part)).count()
    }

    fn keys(n: i64) -> Int64Array {
        Int64Array::from_iter_values(0..n)
    }

    /// Made with Python's xxhash; must never change.
    #[test]
    fn golden() -> Result<()> {
        let parts = split(column(keys(12).slice(1, 11)), options(0.2, 0.0, 0))?;
        let test: Vec<_> = parts
            .as_string_view()
            .iter()
            .map(|p| p == Some("test"))
            .collect();
        assert_eq!(test.iter().position(|t| *t), Some(7));
        assert_eq!(count(&parts, "train"), 10);
        Ok(())
    }

    #[test]
    fn fractions_hold() -> Result<()> {
        let parts = split(column(keys(100_000)), options(0.2, 0.1, 0))?;
        for (part, expected) in [("test", 20_000), ("validation", 10_000), ("train", 70_000)] {
            let n = count(&parts, part);
            // four standard deviations of a binomial are below 600
            assert!(n.abs_diff(expected) < 600, "{part}: {n}");
        }
        for (test, validation, part) in [
            (0.0, 0.0, "train"),
            (1.0, 0.0, "test"),
            (0.0, 1.0, "validation"),
        ] {
            let parts = split(column(keys(1000)), options(test, validation, 0))?;
            assert_eq!(count(&parts, part), 1000);
        }
        Ok(())
    }

    #[test]
    fn test_rows_stay_test_rows() -> Result<()> {
        let small = split(column(keys(1000)), options(0.2, 0.0, 5))?;
        for more in [options(0.2, 0.3, 5), options(0.4, 0.1, 5)] {
            let large = split(column(keys(1000)), more)?;
            for (a, b) in small.as_string_view().iter().zip(large.as_string_view()) {
                assert!(a != Some("test") || b == Some("test"));
            }
        }
        let other = split(column(keys(1000)), options(0.2, 0.0, 6))?;
        assert_ne!(&small, &other);
        Ok(())
    }

    #[test]
    fn a_batch_may_be_cut_anywhere_and_the_type_does_not_count() -> Result<()> {
        let all = split(column(keys(20)), options(0.5, 0.2, 1))?;
        for cut in 0..=20 {
            let a = split(column(keys(20).slice(0, cut)), options(0.5, 0.2, 1))?;
            let b = split(column(keys(20).slice(cut, 20 - cut)), options(0.5, 0.2, 1))?;
            assert_eq!(&concat(&[&a, &b])?, &all);
        }
        let narrow = Int32Array::from_iter_values(0..20);
        assert_eq!(&split(column(narrow), options(0.5, 0.2, 1))?, &all);
        Ok(())
    }

    #[test]
    fn all_forms_of_text_agree() -> Result<()> {
        let values = [
            Some("a"),
            None,
            Some("é"),
            Some(""),
            Some("a longer key than fits a view"),
        ];
        let parts = text_forms(&values)
            .into_iter()
            .map(|form| split(form, options(0.5, 0.0, 0)))
            .collect::<Result<Vec<_>>>()?;
        assert!(parts.iter().all(|p| p == &parts[0]));
        assert!(parts[0].is_null(1) && parts[0].null_count() == 1);
        Ok(())
    }

    #[test]
    fn nothing_and_null() -> Result<()> {
        assert!(split(empty(&DataType::Utf8), options(0.2, 0.0, 0))?.is_empty());
        assert_eq!(split(null(), options(0.2, 0.0, 0))?.null_count(), 1);
        Ok(())
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message = error(split(constant(1), options(0.8, 0.3, 0)));
        assert!(
            message.contains("must not be above 1, but 0.8 + 0.3"),
            "{message}"
        );
        let message = error(split(constant(1), options(20.0, 0.0, 0)));
        assert!(
            message.contains("test must be between 0 and 1, not 20"),
            "{message}"
        );
    }
}
