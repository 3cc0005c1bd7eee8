//! `count_encode` and `frequency_encode`: how often a row's category is there, as a number and as a share.

use arrow::array::{ArrayRef, ArrowPrimitiveType, StructArray};
use arrow::datatypes::{DataType, Fields, Float64Type, Int64Type};
use datafusion_common::Result;

use super::category_values::{Known, Unknown, handle_unknown};
use crate::arrays::only;
use crate::fitted::counts::{Counts, category_type};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const X: Param = Param::data("x", "a text, number, boolean, date or time");
const UNKNOWN: Param = handle_unknown(
    "what a category that was not there when fitting becomes: 'value' (0), 'null' or 'error'",
);

const COUNT: Spec = Spec {
    name: "count_encode",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "The number of rows that have the row's category, as BIGINT. NULL and NaN give NULL.",
    params: &[X, UNKNOWN],
    variadic: false,
    examples: &[Example {
        sql: "SELECT count_encode(x) OVER () FROM (VALUES ('b'), ('a'), (NULL), ('a')) AS t(x)",
        result: "1\n2\n\n2",
    }],
    source: "category_encoders' CountEncoder, missing values left missing",
    also: &[
        "category_encoders.CountEncoder",
        "x.map(x.value_counts()) (pandas)",
    ],
};

const FREQUENCY: Spec = Spec {
    name: "frequency_encode",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "The share of rows that have the row's category, among the rows that are not missing. NULL and NaN give \
        NULL.",
    params: &[X, UNKNOWN],
    variadic: false,
    examples: &[Example {
        sql: "SELECT frequency_encode(x) OVER () FROM (VALUES ('b'), ('a'), (NULL), ('a'), ('a')) AS t(x)",
        result: "0.25\n0.75\n\n0.75\n0.75",
    }],
    source: "category_encoders' CountEncoder with normalize=True, missing values left missing",
    also: &[
        "category_encoders.CountEncoder(normalize=True)",
        "x.map(x.value_counts(normalize=True)) (pandas)",
    ],
};

/// What a count becomes.
pub trait Measure: std::fmt::Debug + Clone + Copy + Send + Sync + 'static {
    type Type: ArrowPrimitiveType;
    const SPEC: &'static Spec;
    fn of(count: u64, total: u64) -> <Self::Type as ArrowPrimitiveType>::Native;
}

/// The number of rows.
#[derive(Debug, Clone, Copy)]
pub struct Number;

impl Measure for Number {
    type Type = Int64Type;
    const SPEC: &'static Spec = &COUNT;

    fn of(count: u64, _total: u64) -> i64 {
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

/// The share of rows.
#[derive(Debug, Clone, Copy)]
pub struct Share;

impl Measure for Share {
    type Type = Float64Type;
    const SPEC: &'static Spec = &FREQUENCY;

    #[expect(clippy::cast_precision_loss, reason = "a share is a float")]
    fn of(count: u64, total: u64) -> f64 {
        count as f64 / total as f64
    }
}

/// `count_encode(x, handle_unknown => 'value') OVER (...)`, or `frequency_encode` of the same arguments.
#[derive(Debug, Clone)]
pub struct Encode<M> {
    unknown: Unknown,
    measure: std::marker::PhantomData<M>,
}

pub type CountEncode = Encode<Number>;
pub type FrequencyEncode = Encode<Share>;

impl<M: Measure> Fitted for Encode<M> {
    type State = Counts;
    type Prepared = Vec<Option<Known<M::Type>>>;

    fn spec() -> &'static Spec {
        M::SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            unknown: Unknown::new(options)?,
            measure: std::marker::PhantomData,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![category_type(M::SPEC, "x", only(M::SPEC, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(M::Type::DATA_TYPE)
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Ok(Known::<M::Type>::params(&types[0]))
    }

    fn state(&self, types: &[DataType]) -> Result<Counts> {
        Counts::new(&types[0])
    }

    fn finish(&self, types: &[DataType], states: Vec<Counts>) -> Result<Vec<ArrayRef>> {
        let groups = states
            .into_iter()
            .map(|state| {
                let (values, counts) = state.into_sorted()?;
                let total = counts.iter().sum();
                let measures = counts.iter().map(|n| M::of(*n, total)).collect();
                Ok((values, measures))
            })
            .collect::<Result<_>>()?;
        Known::<M::Type>::finish(&types[0], groups)
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Known::prepare(M::SPEC, params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        Known::apply(M::SPEC, &args[0], prepared, groups, self.unknown)
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        Known::<M::Type>::sql(&args[0], fit, self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, BooleanArray};
    use arrow::compute::cast;

    use super::*;
    use crate::fitted::testing::{
        apply_to, assert_floats, fit_apply, floats, grouped, texts, try_apply_to,
    };

    fn counts(array: &ArrayRef) -> Vec<Option<i64>> {
        array.as_primitive::<Int64Type>().iter().collect()
    }

    #[test]
    fn texts_and_dictionaries() {
        let long = "a category of more than twelve bytes";
        let x = texts([Some("b"), Some(""), None, Some(long), Some("b")]);
        let expected = [Some(2), Some(1), None, Some(1), Some(2)];
        let shares = [Some(0.5), Some(0.25), None, Some(0.25), Some(0.5)];
        let of = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for x in [cast(&x, &of).expect("a dictionary"), x] {
            let x = [x];
            assert_eq!(counts(&fit_apply::<CountEncode>(&[], &x)), expected);
            assert_floats(&fit_apply::<FrequencyEncode>(&[], &x), &shares);
        }
    }

    #[test]
    fn numbers_and_booleans() {
        let x = floats([Some(-0.0), Some(0.0), Some(f64::NAN), Some(f64::INFINITY)]);
        let expected = [Some(2), Some(2), None, Some(1)];
        assert_eq!(counts(&fit_apply::<CountEncode>(&[], &[x])), expected);
        let x: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
        assert_floats(&fit_apply::<FrequencyEncode>(&[], &[x]), &[Some(1.0), None]);
    }

    #[test]
    fn unknown_categories() {
        let fit = [texts([Some("a"), Some("b")])];
        let other = [texts([Some("new"), None, Some("a")])];
        let y = apply_to::<CountEncode>(&[], &fit, &other);
        assert_eq!(counts(&y), [Some(0), None, Some(1)]);
        let given = [("handle_unknown", "null".into())];
        let y = apply_to::<FrequencyEncode>(&given, &fit, &other);
        assert_floats(&y, &[None, None, Some(0.5)]);
        let given = [("handle_unknown", "error".into())];
        let error = try_apply_to::<CountEncode>(&given, &fit, &other);
        let error = error.expect_err("an error").to_string();
        assert!(
            error.contains("count_encode: unknown category 'new'"),
            "{error}"
        );
    }

    #[test]
    fn by_group_and_all_missing() {
        let x = texts([Some("a"), Some("a"), Some("b"), Some("a"), None]);
        let y = grouped::<CountEncode>(&[], &[x], &[0, 0, 0, 1, 2]);
        assert_eq!(counts(&y), [Some(2), Some(2), Some(1), Some(1), None]);
        let y = fit_apply::<FrequencyEncode>(&[], &[texts([None, None])]);
        assert_floats(&y, &[None, None]);
    }
}
