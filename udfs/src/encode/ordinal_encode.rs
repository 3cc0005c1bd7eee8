//! `ordinal_encode`: categories to numbers, in their order.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, UInt64Array,
    new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, filter, take};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion_common::{Result, ScalarValue, exec_err, internal_err};

use super::category_values::category_sql;
use crate::arrays::only;
use crate::fitted::counts::{Counts, Lookup, MISSING, UNKNOWN, category_type, listed_type, rare};
use crate::fitted::{Fitted, Groups};
use crate::options::{Options, display};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind, literal, null};

const SPEC: Spec = Spec {
    name: "ordinal_encode",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "Numbers the categories from 0, in ascending order, as BIGINT. NULL and NaN give NULL.",
    params: &[
        Param::data("x", "a text, number, boolean, date or time"),
        Param::option(
            "handle_unknown",
            "'error'",
            "what a category that was not there when fitting becomes: 'error', 'null', or a number such as -1",
        ),
        Param::option(
            "min_frequency",
            "NULL",
            "categories of fewer rows (or, below 1, of a smaller fraction of the rows that are not NULL) share one \
             number, after the last",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT ordinal_encode(x) OVER () FROM (VALUES ('b'), ('a'), (NULL), ('c'), ('a')) AS t(x)",
            result: "1\n0\n\n2\n0",
        },
        Example {
            sql: "SELECT ordinal_encode(x, min_frequency => 2) OVER () FROM (VALUES ('a'), ('b'), ('b'), ('c'), ('d'), ('d')) AS t(x)",
            result: "2\n0\n0\n2\n1\n1",
        },
    ],
    source: "scikit-learn's OrdinalEncoder",
    also: &[
        "sklearn.preprocessing.OrdinalEncoder",
        "ML.LABEL_ENCODER (BigQuery)",
        "StringIndexer (Spark ML)",
        "pandas.factorize(sort=True)",
    ],
};

/// What becomes of a category that was not there when fitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Error,
    Null,
    Code(i64),
}

/// `ordinal_encode(x, handle_unknown => 'error', min_frequency => NULL) OVER (...)`.
#[derive(Debug, Clone)]
pub struct OrdinalEncode {
    unknown: Unknown,
    min_frequency: Option<f64>,
}

/// Reads `min_frequency`: a count of at least 1, or a fraction.
pub(super) fn min_frequency(options: &Options) -> Result<Option<f64>> {
    if options.is_null("min_frequency") {
        return Ok(None);
    }
    let min = options.float("min_frequency")?;
    if min <= 0.0 || (min > 1.0 && min.fract() != 0.0) {
        return options.wrong(
            "min_frequency",
            "a whole number of rows, or a fraction between 0 and 1",
        );
    }
    // 1 is a count, and no category has less; written 1.0 it may have been meant as a fraction
    Ok(Some(min))
}

impl Fitted for OrdinalEncode {
    type State = Counts;
    type Prepared = Vec<Option<Lookup>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let must = "'error', 'null', or a whole number such as -1";
        let unknown = match options.get("handle_unknown").try_as_str() {
            Some(Some(text)) => match text.to_lowercase().as_str() {
                "error" => Unknown::Error,
                "null" => Unknown::Null,
                text => match text.trim().parse() {
                    Ok(code) => Unknown::Code(code),
                    Err(_) => return options.wrong("handle_unknown", must),
                },
            },
            _ => match options.integer("handle_unknown", i64::MIN) {
                Ok(code) => Unknown::Code(code),
                Err(_) => return options.wrong("handle_unknown", must),
            },
        };
        Ok(Self {
            unknown,
            min_frequency: min_frequency(options)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![category_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        let list = list_of(&listed_type(&types[0]));
        Ok(Fields::from(vec![
            Field::new("categories", list.clone(), true),
            Field::new("infrequent", list, true),
        ]))
    }

    fn state(&self, types: &[DataType]) -> Result<Counts> {
        Counts::new(&types[0])
    }

    fn finish(&self, types: &[DataType], states: Vec<Counts>) -> Result<Vec<ArrayRef>> {
        let mut frequent = Vec::with_capacity(states.len());
        let mut infrequent = Vec::with_capacity(states.len());
        for state in states {
            let (values, counts) = state.into_sorted()?;
            if self.min_frequency.is_none() {
                infrequent.push(values.slice(0, 0));
                frequent.push(values);
                continue;
            }
            let rare = rare(&counts, self.min_frequency, None);
            let is_rare = BooleanArray::from(rare.clone());
            let is_frequent: BooleanArray = rare.iter().map(|r| Some(!r)).collect();
            frequent.push(filter(&values, &is_frequent)?);
            infrequent.push(filter(&values, &is_rare)?);
        }
        let t = listed_type(&types[0]);
        Ok(vec![lists(&t, &frequent)?, lists(&t, &infrequent)?])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let columns: Option<Vec<&ListArray>> = params
            .columns()
            .iter()
            .map(|c| c.as_list_opt::<i32>())
            .collect();
        let Some([frequent, infrequent]) = columns.as_deref() else {
            return internal_err!("ordinal_encode: no categories");
        };
        (0..params.len())
            .map(|row| {
                if params.is_null(row) || frequent.is_null(row) {
                    return Ok(None);
                }
                let frequent = frequent.value(row);
                let infrequent = infrequent.value(row);
                let last = u32::try_from(frequent.len()).unwrap_or(UNKNOWN);
                let all = match infrequent.is_empty() {
                    true => frequent,
                    false => concat(&[frequent.as_ref(), infrequent.as_ref()])?,
                };
                Ok(Some(Lookup::of(&all, |i| last.min(i as u32))?))
            })
            .collect()
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let lookups: Vec<_> = prepared.iter().map(Option::as_ref).collect();
        let codes = Lookup::codes_by_group(&lookups, &args[0], groups)?;
        if self.unknown == Unknown::Error
            && let Some(row) = codes.iter().position(|c| *c == UNKNOWN)
        {
            return unknown(&SPEC, &args[0], row, "handle_unknown => 'null'");
        }
        let unknown = match self.unknown {
            Unknown::Code(code) => Some(code),
            Unknown::Error | Unknown::Null => None,
        };
        let encoded: Int64Array = codes
            .iter()
            .map(|code| match *code {
                MISSING => None,
                UNKNOWN => unknown,
                code => Some(i64::from(code)),
            })
            .collect();
        Ok(Arc::new(encoded))
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        let [frequent, infrequent] = fit.columns() else {
            return internal_err!("ordinal_encode: no categories");
        };
        let frequent = frequent.as_list::<i32>();
        if fit.is_null(0) || frequent.is_null(0) {
            return Ok(Some(null(&DataType::Int64)));
        }
        let (frequent, infrequent) = (frequent.value(0), infrequent.as_list::<i32>().value(0));
        let last = frequent.len();
        let codes = (0..last + infrequent.len()).map(|i| i.min(last).to_string());
        let all = concat(&[frequent.as_ref(), infrequent.as_ref()])?;
        let unknown = match self.unknown {
            Unknown::Code(code) => literal(&code.into())?,
            Unknown::Error | Unknown::Null => None,
        };
        category_sql(&args[0], &all, codes.collect(), unknown)
    }

    fn inverse(&self, types: &[DataType]) -> Option<DataType> {
        Some(listed_type(&types[0]))
    }

    /// A code that several rare categories share, or that no category has, gives NULL.
    fn invert(
        &self,
        values: &ArrayRef,
        params: &StructArray,
        _prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let [frequent, infrequent] = params.columns() else {
            return internal_err!("ordinal_encode: no categories");
        };
        // where each group's categories begin among those of all
        let mut first = Vec::with_capacity(params.len());
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(2 * params.len());
        let mut rows = 0;
        for row in 0..params.len() {
            let fitted = params.is_valid(row) && frequent.is_valid(row);
            let part = |list: &ArrayRef| {
                let items = list.as_list::<i32>().value(row);
                if fitted { items } else { items.slice(0, 0) }
            };
            let rare = part(infrequent);
            let rare = if rare.len() == 1 {
                rare
            } else {
                rare.slice(0, 0)
            };
            let common = part(frequent);
            first.push((rows, common.len() + rare.len()));
            rows += common.len() + rare.len();
            parts.extend([common, rare]);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let all = concat(&parts)?;
        let codes = values.as_primitive::<Int64Type>();
        let places: UInt64Array = codes
            .iter()
            .enumerate()
            .map(|(row, code)| {
                let code = usize::try_from(code?).ok()?;
                let (first, n) = first.get(groups.of(row)).copied()?;
                (code < n).then_some((first + code) as u64)
            })
            .collect();
        Ok(take(&all, &places, None)?)
    }
}

/// The error about a category that was not there when fitting.
pub(super) fn unknown<T>(spec: &Spec, array: &ArrayRef, row: usize, instead: &str) -> Result<T> {
    let value = ScalarValue::try_from_array(array, row)?;
    let value = match &value {
        ScalarValue::Dictionary(_, value) => value.as_ref(),
        plain => plain,
    };
    exec_err!(
        "{}: unknown category {}, which was not there when fitting. Write {}(x, {instead}) to allow such, or fit on rows that have it",
        spec.name,
        display(value),
        spec.name
    )
}

/// A list type whose items may be NULL.
pub(crate) fn list_of(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item.clone(), true)))
}

/// A list a group.
pub(crate) fn lists(t: &DataType, items: &[ArrayRef]) -> Result<ArrayRef> {
    let total: usize = items.iter().map(|i| i.len()).sum();
    if i32::try_from(total).is_err() {
        return exec_err!(
            "{total} values were learnt of the categories, and no more than 2^31 fit. Bring them to fewer with hash_bucket(...)"
        );
    }
    let offsets = OffsetBuffer::from_lengths(items.iter().map(|i| i.len()));
    let parts: Vec<&dyn Array> = items.iter().map(AsRef::as_ref).collect();
    let values = match items {
        [] => new_empty_array(t),
        [one] => Arc::clone(one),
        _ => concat(&parts)?,
    };
    let item = Arc::new(Field::new_list_field(t.clone(), true));
    Ok(Arc::new(ListArray::try_new(item, offsets, values, None)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, DictionaryArray};
    use arrow::compute::cast;
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::fitted::testing::{
        apply_to, bind_error, fit_apply, floats, grouped, texts, try_apply_to,
    };

    fn codes(array: &ArrayRef) -> Vec<Option<i64>> {
        array
            .as_primitive::<arrow::datatypes::Int64Type>()
            .iter()
            .collect()
    }

    #[test]
    fn texts_in_order() {
        let long = "a category of more than twelve bytes";
        let x = texts([Some("b"), Some(""), None, Some("é"), Some(long), Some("b")]);
        let expected = [Some(2), Some(0), None, Some(3), Some(1), Some(2)];
        assert_eq!(
            codes(&fit_apply::<OrdinalEncode>(&[], std::slice::from_ref(&x))),
            expected
        );
        let of = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let x = cast(&x, &of).expect("a dictionary");
        assert_eq!(codes(&fit_apply::<OrdinalEncode>(&[], &[x])), expected);
    }

    #[test]
    fn numbers_booleans_and_dates_in_order() {
        let x = floats([
            Some(10.0),
            Some(-0.0),
            Some(0.0),
            Some(f64::NAN),
            Some(f64::NEG_INFINITY),
            Some(9.0),
        ]);
        let expected = [Some(3), Some(1), Some(1), None, Some(0), Some(2)];
        assert_eq!(codes(&fit_apply::<OrdinalEncode>(&[], &[x])), expected);
        let x: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        assert_eq!(
            codes(&fit_apply::<OrdinalEncode>(&[], &[x])),
            [Some(1), None, Some(0)]
        );
        let x: ArrayRef = Arc::new(Date32Array::from(vec![Some(3), Some(-2), None]));
        assert_eq!(
            codes(&fit_apply::<OrdinalEncode>(&[], &[x])),
            [Some(1), Some(0), None]
        );
        let x: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN, 0, i64::MIN]));
        let expected = [Some(2), Some(0), Some(1), Some(0)];
        assert_eq!(codes(&fit_apply::<OrdinalEncode>(&[], &[x])), expected);
    }

    #[test]
    fn unknown_categories() {
        let fit = texts([Some("a"), Some("b")]);
        let other = texts([Some("b"), Some("it's new"), None]);
        let error = try_apply_to::<OrdinalEncode>(
            &[],
            std::slice::from_ref(&fit),
            std::slice::from_ref(&other),
        );
        let error = error.expect_err("an error").to_string();
        assert!(error.contains("unknown category 'it''s new'"), "{error}");
        assert!(error.contains("handle_unknown => 'null'"), "{error}");
        let y = apply_to::<OrdinalEncode>(
            &[("handle_unknown", "null".into())],
            std::slice::from_ref(&fit),
            std::slice::from_ref(&other),
        );
        assert_eq!(codes(&y), [Some(1), None, None]);
        for code in [ScalarValue::from(-1i64), ScalarValue::from("-1")] {
            let y = apply_to::<OrdinalEncode>(
                &[("handle_unknown", code)],
                std::slice::from_ref(&fit),
                std::slice::from_ref(&other),
            );
            assert_eq!(codes(&y), [Some(1), Some(-1), None]);
        }
        let error = bind_error::<OrdinalEncode>(&[("handle_unknown", "ignore".into())]);
        assert!(error.contains("must be 'error', 'null'"), "{error}");
    }

    #[test]
    fn rare_categories_share_a_code() {
        let x = texts(["a", "b", "b", "c", "d", "d", "d", "d"].map(Some));
        let y =
            fit_apply::<OrdinalEncode>(&[("min_frequency", 2.into())], std::slice::from_ref(&x));
        let expected = [2, 0, 0, 2, 1, 1, 1, 1].map(Some);
        assert_eq!(codes(&y), expected);
        let y = fit_apply::<OrdinalEncode>(&[("min_frequency", 0.25.into())], &[x]);
        assert_eq!(codes(&y), expected);
    }

    #[test]
    fn undone() {
        let x = texts(["b", "a", "b", "c", "a", "d"].map(Some));
        let codes: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(2), Some(-1)]));
        let rare = [("min_frequency", 2.into())];
        let back =
            crate::fitted::testing::undo::<OrdinalEncode>(&rare, std::slice::from_ref(&x), &codes);
        // c and d share a code
        let expected: ArrayRef = texts([Some("b"), None, None, None]);
        assert_eq!(
            back.as_ref(),
            cast(&expected, back.data_type()).expect("texts").as_ref()
        );
        let back = crate::fitted::testing::undo::<OrdinalEncode>(&[], &[x], &codes);
        let expected = texts([Some("b"), None, Some("c"), None]);
        assert_eq!(
            back.as_ref(),
            cast(&expected, back.data_type()).expect("texts").as_ref()
        );
    }

    #[test]
    fn by_group_and_by_dictionary() {
        let values = texts([Some("b"), Some("a"), Some("unused")]);
        let keys = arrow::array::Int32Array::from(vec![Some(0), Some(1), None, Some(0), Some(0)]);
        let x: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
        let y = grouped::<OrdinalEncode>(&[], &[x], &[0, 0, 0, 1, 2]);
        assert_eq!(codes(&y), [Some(1), Some(0), None, Some(0), Some(0)]);
    }

    #[test]
    fn all_missing() {
        let y = fit_apply::<OrdinalEncode>(&[], &[texts([None, None])]);
        assert_eq!(codes(&y), [None, None]);
    }
}
