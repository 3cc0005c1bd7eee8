//! `group_split(group, test, validation, seed)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};

use super::split::{Thresholds, parts};
use crate::options::Options;
use crate::random::key;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "group_split",
    stage: Stage::Split,
    kind: Kind::RowWise,
    summary: "'train', 'test' or 'validation', by the hash of a group: all rows of a group fall into one part, so that \
        no patient, customer or document is on both sides.",
    params: &[
        Param::data(
            "group",
            "what the rows that belong together have in common, of any type. NULL gives NULL: write random_key(0, a, b) \
             for groups of several columns",
        ),
        Param::option(
            "test",
            "0.2",
            "the fraction of the groups in 'test'; of the rows it is as much where groups are many and none is large",
        ),
        Param::option(
            "validation",
            "0",
            "the fraction of the groups in 'validation'; it is taken from 'train', 'test' does not change",
        ),
        Param::option("seed", "0", "another seed gives another split"),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT max(parts), round(sum(test) / 100.0) FROM (SELECT count(DISTINCT part) AS parts, \
                  max(CASE WHEN part = 'test' THEN 1 ELSE 0 END) AS test \
                  FROM (SELECT i / 10 AS patient, group_split(i / 10) AS part FROM generate_series(0, 99999) AS t(i)) \
                  GROUP BY patient)",
            result: "1,20.0",
        },
        Example {
            sql: "SELECT group_split('a', test => 1), group_split('a', test => 0), group_split(NULL)",
            result: "test,train,",
        },
    ],
    source: "scikit-learn's GroupShuffleSplit, by a threshold on XXH64 of the group in place of a shuffle",
    also: &[
        "sklearn.model_selection.GroupShuffleSplit",
        "rsample::group_initial_split",
    ],
};

#[derive(Debug)]
pub struct GroupSplit;

impl RowWise for GroupSplit {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        key::check_type(&SPEC, "group", &types[0])?;
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
    use std::collections::HashMap;

    use arrow::array::{Array, AsArray, Int64Array};
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, text_forms};

    fn split(group: ColumnarValue, test: f64, validation: f64, seed: i64) -> Result<ArrayRef> {
        call(
            GroupSplit,
            &[group, constant(test), constant(validation), constant(seed)],
        )
    }

    #[test]
    fn groups_stay_together_and_shares_hold() -> Result<()> {
        let groups = Int64Array::from_iter_values((0..100_000).map(|i| i % 20_000));
        let parts = split(column(groups.clone()), 0.2, 0.1, 0)?;
        let mut of_group: HashMap<i64, &str> = HashMap::new();
        for (group, part) in groups.iter().flatten().zip(parts.as_string_view()) {
            let part = part.expect("a part");
            assert_eq!(*of_group.entry(group).or_insert(part), part);
        }
        for (part, expected) in [("test", 4000usize), ("validation", 2000), ("train", 14_000)] {
            let n = of_group.values().filter(|p| **p == part).count();
            // four standard deviations of a binomial are below 260
            assert!(n.abs_diff(expected) < 260, "{part}: {n}");
        }
        let other = split(column(groups), 0.2, 0.1, 1)?;
        assert_ne!(&parts, &other);
        Ok(())
    }

    #[test]
    fn texts_nothing_and_errors() -> Result<()> {
        let parts = text_forms(&[Some("a"), None, Some("é"), Some("")])
            .into_iter()
            .map(|form| split(form, 0.5, 0.0, 3))
            .collect::<Result<Vec<_>>>()?;
        assert!(parts.iter().all(|p| p == &parts[0]));
        assert!(parts[0].is_null(1) && parts[0].null_count() == 1);
        assert!(split(empty(&DataType::Utf8), 0.5, 0.0, 0)?.is_empty());
        let message = error(split(constant(1), 0.8, 0.3, 0));
        assert!(
            message.contains("group_split: test and validation together"),
            "{message}"
        );
        Ok(())
    }
}
