//! `random_choice(list, key, weights)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::ColumnarValue;
use rand::Rng;

use super::key;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "random_choice",
    stage: Stage::Random,
    kind: Kind::RowWise,
    summary: "An item of a list, chosen at random. NULL items can be chosen too; an empty list gives NULL.",
    params: &[
        Param::data("list", "a list of any type, as in ['a', 'b'] or a column"),
        Param::optional_data(
            "key",
            "fresh_key()",
            "chooses the same for the same key: random_key(seed, id); left out, every run draws afresh. A NULL key \
             gives NULL",
        ),
        Param::option(
            "weights",
            "NULL",
            "a list of numbers, one an item, in proportion to which items are chosen; left out, all are as likely",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT random_choice(['a', 'b', 'c'], random_key(42, i)) FROM generate_series(1, 4) AS t(i)",
            result: "b\nb\nb\na",
        },
        Example {
            sql: "SELECT v, round(count(*) / 1000.0) FROM (SELECT random_choice(['x', 'y', 'z'], i, weights => [3, 0, 1]) AS v \
                  FROM generate_series(1, 100000) AS t(i)) GROUP BY v ORDER BY v",
            result: "x,75.0\nz,25.0",
        },
    ],
    source: "the hash of the key times the number of items, divided by 2^64; with weights, 53 random bits of SplitMix64 \
        at the hash among their running sums",
    also: &["random.choices", "numpy.random.Generator.choice"],
};

#[derive(Debug)]
pub struct RandomChoice;

/// The running sums of weights.
struct Weights(Vec<f64>);

impl Weights {
    fn new(options: &Options) -> Result<Option<Self>> {
        if options.is_null("weights") {
            return Ok(None);
        }
        let weights = options.floats("weights")?;
        let sums: Vec<f64> = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let total = sums.last().copied().unwrap_or(0.0);
        if weights.iter().any(|w| !w.is_finite() || *w < 0.0) || !total.is_finite() || total <= 0.0
        {
            return options.wrong(
                "weights",
                "a list of finite numbers not below 0, of which one is above 0",
            );
        }
        Ok(Some(Self(sums)))
    }

    /// The item at a place from 0 to 1.
    fn at(&self, place: f64) -> u64 {
        let total = self.0.last().copied().unwrap_or(0.0);
        let reached = |x: f64| self.0.partition_point(|sum| *sum <= x);
        // rounding may reach the total, which is beyond the last item of any weight
        reached((place * total).min(total.next_down())) as u64
    }

    fn check(&self, items: usize) -> Option<String> {
        (items != self.0.len()).then(|| {
            format!(
                "random_choice: weights has {} numbers, but the list has {items} items. Write one weight an item",
                self.0.len()
            )
        })
    }
}

/// How many items a list has, if that is known.
fn known_length(t: &DataType, literal: Option<&ScalarValue>) -> Option<usize> {
    match (t, literal?) {
        (_, value) if value.is_null() => None,
        (_, ScalarValue::List(list)) => Some(list.value(0).len()),
        (_, ScalarValue::LargeList(list)) => Some(list.value(0).len()),
        (DataType::FixedSizeList(_, n), _) => usize::try_from(*n).ok(),
        _ => None,
    }
}

impl RowWise for RandomChoice {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = match &types[0] {
            DataType::Null => DataType::new_list(DataType::Null, true),
            DataType::List(item) | DataType::ListView(item) => DataType::List(Arc::clone(item)),
            DataType::LargeList(item) | DataType::LargeListView(item) => {
                DataType::LargeList(Arc::clone(item))
            }
            t @ DataType::FixedSizeList(..) => t.clone(),
            t => {
                return plan_err!(
                    "random_choice: list must be a list, as in ['a', 'b'], not {t}. Write random_choice([...], key)"
                );
            }
        };
        if let Some(key) = types.get(1) {
            key::check_type(&SPEC, "key", key)?;
        }
        Ok(coerced)
    }

    fn return_type(
        &self,
        types: &[DataType],
        literals: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        if let (Some(items), Some(Some(weights))) =
            (known_length(&types[0], literals[0]), literals.get(2))
        {
            let options = Options::new(&SPEC, vec![(*weights).clone()])?;
            let weights = Weights::new(&options)?;
            if let Some(error) = weights.and_then(|w| w.check(items)) {
                return plan_err!("{error}");
            }
        }
        match &types[0] {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                Ok(item.data_type().clone())
            }
            t => plan_err!("random_choice: list must be a list, not {t}"),
        }
    }

    fn check(&self, options: &Options) -> Result<()> {
        Weights::new(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let weights = Weights::new(&args.options()?)?;
        // a constant list is not repeated
        let (lists, constant) = match args.value(0)? {
            ColumnarValue::Scalar(list) => (list.to_array()?, true),
            ColumnarValue::Array(lists) => (Arc::clone(lists), false),
        };
        let (items, ends): (&ArrayRef, Vec<(u64, u64)>) = match lists.data_type() {
            DataType::List(_) => {
                let lists = lists.as_list::<i32>();
                let ends = lists.value_offsets().windows(2);
                let ends = ends.map(|w| (w[0].unsigned_abs().into(), w[1].unsigned_abs().into()));
                (lists.values(), ends.collect())
            }
            DataType::LargeList(_) => {
                let lists = lists.as_list::<i64>();
                let ends = lists.value_offsets().windows(2);
                let ends = ends.map(|w| (w[0].unsigned_abs(), w[1].unsigned_abs()));
                (lists.values(), ends.collect())
            }
            DataType::FixedSizeList(_, n) => {
                let n = u64::from(n.unsigned_abs());
                let ends = (0..lists.len() as u64).map(|i| (i * n, (i + 1) * n));
                (lists.as_fixed_size_list().values(), ends.collect())
            }
            other => return exec_err!("random_choice: list must be a list, not {other}"),
        };
        let keys = args.array(1)?;
        let nulls = keys.logical_nulls();
        let hashes = key::hashes(SPEC.name, &keys)?;
        let chosen = (0..args.rows())
            .map(|row| {
                let list = if constant { 0 } else { row };
                let (start, end) = ends[list];
                if start == end
                    || lists.is_null(list)
                    || nulls.as_ref().is_some_and(|n| n.is_null(row))
                {
                    return Ok(None);
                }
                let n = end - start;
                let item = match &weights {
                    None => {
                        key::below(hashes[row], i64::try_from(n).unwrap_or(i64::MAX)).unsigned_abs()
                    }
                    Some(weights) => {
                        if let Some(error) = weights.check(usize::try_from(n).unwrap_or(0)) {
                            return exec_err!("{error}");
                        }
                        weights.at(key::rng(hashes[row]).random())
                    }
                };
                Ok(Some(start + item))
            })
            .collect::<Result<UInt64Array>>()?;
        if items.is_empty() {
            return Ok(new_null_array(items.data_type(), chosen.len()));
        }
        Ok(take(items, &chosen, None)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{
        FixedSizeListArray, Float64Array, Int64Array, LargeListArray, ListArray, StringArray,
    };
    use arrow::datatypes::{Float64Type, Int64Type};

    use super::*;
    use crate::testing::{call, column, constant, empty, error, list, null, texts};

    fn keys(n: i64) -> ColumnarValue {
        column(Int64Array::from_iter_values(0..n))
    }

    fn abc() -> ColumnarValue {
        list(StringArray::from(vec!["a", "b", "c"]))
    }

    fn weights(weights: &[f64]) -> ColumnarValue {
        list(Float64Array::from(weights.to_vec()))
    }

    fn counts(array: &ArrayRef) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for text in array.as_string::<i32>().iter().flatten() {
            *counts.entry(text.to_string()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn all_items_are_as_likely() -> Result<()> {
        let result = call(RandomChoice, &[abc(), keys(30_000), null()])?;
        let counts = counts(&result);
        assert_eq!(counts.len(), 3);
        // five standard deviations are below 410
        assert!(counts.values().all(|n| n.abs_diff(10_000) < 410));
        Ok(())
    }

    #[test]
    fn weights_count() -> Result<()> {
        let given = weights(&[3.0, 0.0, 1.0]);
        let counts = counts(&call(RandomChoice, &[abc(), keys(40_000), given])?);
        assert_eq!(counts.len(), 2);
        assert!(counts["a"].abs_diff(30_000) < 440, "{counts:?}");
        let sums = |weights: &[f64]| Weights(weights.to_vec());
        // an item without a weight is never chosen, not even at the ends
        assert_eq!(sums(&[0.0, 1.0, 1.0]).at(0.0), 1);
        assert_eq!(sums(&[0.0, 1.0, 1.0]).at(1.0), 1);
        assert_eq!(sums(&[5e-324, 1e-323]).at(1.0f64.next_down()), 1);
        Ok(())
    }

    #[test]
    fn kinds_of_lists() -> Result<()> {
        let rows = [
            Some(vec![Some(9)]),
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ];
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(rows.clone());
        let result = call(RandomChoice, &[column(lists.slice(0, 4)), keys(4), null()])?;
        let small = result.as_primitive::<Int64Type>();
        assert_eq!(small.value(0), 9);
        assert!(small.is_null(2) && small.is_null(3));
        let large = LargeListArray::from_iter_primitive::<Int64Type, _, _>(rows);
        assert_eq!(
            &call(RandomChoice, &[column(large), keys(4), null()])?,
            &result
        );
        let tail = column(lists.slice(1, 2));
        let cut = column(Int64Array::from(vec![1, 2]));
        let tail = call(RandomChoice, &[tail, cut, null()])?;
        assert_eq!(&tail, &result.slice(1, 2));
        let fixed = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(
            [
                Some(vec![Some(1.0), Some(1.0)]),
                None,
                Some(vec![Some(3.0), Some(3.0)]),
            ],
            2,
        );
        let two = call(
            RandomChoice,
            &[column(fixed.slice(1, 2)), keys(2), weights(&[1.0, 1.0])],
        )?;
        let two = two.as_primitive::<Float64Type>();
        assert!(two.is_null(0) && two.value(1) == 3.0);
        // as many draws as there are rows: None of NULL stays NULL
        let nulls = list(Int64Array::from(vec![None, Some(5)]));
        let some = call(RandomChoice, &[nulls, keys(1000), null()])?;
        assert!(some.null_count().abs_diff(500) < 80);
        Ok(())
    }

    #[test]
    fn nulls_and_nothing() -> Result<()> {
        let none = call(RandomChoice, &[null(), keys(2), null()])?;
        assert_eq!(none.logical_null_count(), 2);
        let none = call(RandomChoice, &[abc(), null(), null()])?;
        assert_eq!(none.null_count(), 1);
        let none = call(RandomChoice, &[abc(), empty(&DataType::Utf8), null()])?;
        assert!(none.is_empty());
        let nothing = list(Int64Array::from(Vec::<i64>::new()));
        assert_eq!(
            call(RandomChoice, &[nothing, keys(2), null()])?.null_count(),
            2
        );
        Ok(())
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message = error(call(RandomChoice, &[texts([Some("a")]), keys(1), null()]));
        assert!(message.contains("list must be a list"), "{message}");
        for wrong in [
            &[0.0, 0.0, 0.0][..],
            &[1.0, -1.0, 1.0],
            &[f64::INFINITY; 3],
            &[],
        ] {
            let message = error(call(RandomChoice, &[abc(), keys(1), weights(wrong)]));
            assert!(message.contains("weights must be a list"), "{message}");
        }
        let message = error(call(RandomChoice, &[abc(), keys(1), weights(&[1.0])]));
        assert!(
            message.contains("weights has 1 numbers, but the list has 3 items"),
            "{message}"
        );
        let rows = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(9)])]);
        let message = error(call(
            RandomChoice,
            &[column(rows), constant(1), weights(&[1.0, 1.0])],
        ));
        assert!(message.contains("the list has 1 items"), "{message}");
    }
}
