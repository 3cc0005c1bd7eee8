//! `impute`: fills what is missing.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, Scalar,
    StructArray, UInt32Array, new_empty_array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue, exec_err, internal_err, plan_err};

use crate::arrays::{float_type, is_number, only};
use crate::fitted::any::AnyState;
use crate::fitted::counts::{Counts, category_type, listed_type};
use crate::fitted::extreme::Extreme;
use crate::fitted::moments::Moments;
use crate::fitted::quantiles::Quantiles;
use crate::fitted::{Fitted, Groups};
use crate::options::{Options, display};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind, literal};

const SPEC: Spec = Spec {
    name: "impute",
    stage: Stage::Clean,
    kind: Kind::Fitted,
    summary: "Fills NULL and NaN with a statistic of the values that are there, or with a constant. A column, or \
        group, that is all missing stays missing. Infinite values stay, and count for the median only.",
    params: &[
        Param::data(
            "x",
            "a number; for 'mode', 'min', 'max' and 'constant' also a text, boolean, date or time",
        ),
        Param::option(
            "strategy",
            "'mean'",
            "'mean', 'median' (both give DOUBLE, or FLOAT for a FLOAT), 'mode' (or 'most_frequent'; of equally frequent \
             values the smallest), 'min', 'max', 'constant' or 'zero' (these keep the type)",
        ),
        Param::option(
            "value",
            "NULL",
            "what to fill with, for strategy 'constant'",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT impute(x) OVER () FROM (VALUES (1), (NULL), (5)) AS t(x)",
            result: "1.0\n3.0\n5.0",
        },
        Example {
            sql: "SELECT impute(x, 'mode') OVER () FROM (VALUES ('b'), (NULL), ('b'), ('a')) AS t(x)",
            result: "b\nb\nb\na",
        },
        Example {
            sql: "SELECT impute(x, 'constant', 'unknown') OVER () FROM (VALUES ('b'), (NULL)) AS t(x)",
            result: "b\nunknown",
        },
        Example {
            sql: "SELECT impute(x, 'median') OVER (PARTITION BY k) AS y FROM (VALUES ('a', 1.0), ('a', 2.0), ('a', 9.0), ('a', NULL), ('b', 4.0), ('b', NULL)) AS t(k, x) ORDER BY k, y",
            result: "1.0\n2.0\n2.0\n9.0\n4.0\n4.0",
        },
    ],
    source: "scikit-learn's SimpleImputer",
    also: &[
        "sklearn.impute.SimpleImputer",
        "ML.IMPUTER (BigQuery)",
        "Imputer (Spark ML)",
        "DataFrame.fillna (pandas)",
    ],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Mean,
    Median,
    Mode,
    Min,
    Max,
    Constant,
    Zero,
}

/// `impute(x, strategy => 'mean', value => NULL) OVER (...)`.
#[derive(Debug, Clone)]
pub struct Impute {
    strategy: Strategy,
    value: ScalarValue,
}

impl Fitted for Impute {
    type State = AnyState;
    /// What each group is filled with.
    type Prepared = ArrayRef;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let choices = [
            "mean",
            "median",
            "mode",
            "most_frequent",
            "min",
            "max",
            "constant",
            "zero",
        ];
        let strategy = match options.choice("strategy", &choices)? {
            "mean" => Strategy::Mean,
            "median" => Strategy::Median,
            "min" => Strategy::Min,
            "max" => Strategy::Max,
            "constant" => Strategy::Constant,
            "zero" => Strategy::Zero,
            _ => Strategy::Mode,
        };
        let value = options.get("value").clone();
        match (strategy, value.is_null()) {
            (Strategy::Constant, true) => plan_err!(
                "impute: strategy 'constant' needs a value. Write impute(x, 'constant', value => ...)"
            ),
            (Strategy::Constant, false) | (_, true) => Ok(Self { strategy, value }),
            (_, false) => plan_err!(
                "impute: value is for strategy 'constant' only. Write impute(x, 'constant', value => {})",
                display(&value)
            ),
        }
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let t = match only(&SPEC, types)? {
            DataType::Dictionary(_, value) => value.as_ref(),
            plain => plain,
        };
        let coerced = match self.strategy {
            Strategy::Mean | Strategy::Median => match float_type(&SPEC, "x", t) {
                Err(_) if !is_number(t) => {
                    return plan_err!(
                        "impute: x must be a number for its mean or median, not {t}. Write impute(x, 'mode'), or impute(parse_number(x)) to read numbers out of text"
                    );
                }
                other => other?,
            },
            Strategy::Zero if t == &DataType::Null => DataType::Float64,
            Strategy::Zero if !is_number(t) => {
                return plan_err!(
                    "impute: x must be a number for strategy 'zero', not {t}. Write impute(x, 'constant', value => ...)"
                );
            }
            _ => category_type(&SPEC, "x", t)?,
        };
        if self.strategy == Strategy::Constant {
            self.constant(&coerced)?;
        }
        Ok(vec![coerced])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![Field::new(
            "value",
            listed_type(&types[0]),
            true,
        )]))
    }

    fn state(&self, types: &[DataType]) -> Result<AnyState> {
        Ok(match self.strategy {
            Strategy::Mean => AnyState::Moments(Moments::default()),
            Strategy::Median => AnyState::Quantiles(Quantiles::default()),
            Strategy::Mode => AnyState::Counts(Counts::new(&types[0])?),
            Strategy::Min => AnyState::Extreme(Extreme::new(&types[0], false)),
            Strategy::Max => AnyState::Extreme(Extreme::new(&types[0], true)),
            Strategy::Constant | Strategy::Zero => AnyState::Nothing,
        })
    }

    fn finish(&self, types: &[DataType], states: Vec<AnyState>) -> Result<Vec<ArrayRef>> {
        let t = listed_type(&types[0]);
        let values = states
            .into_iter()
            .map(|state| {
                let value = match state {
                    AnyState::Moments(moments) => ScalarValue::Float64(moments.mean()),
                    AnyState::Quantiles(mut quantiles) => {
                        ScalarValue::Float64(quantiles.quantiles(&[0.5]).map(|q| q[0]))
                    }
                    AnyState::Counts(counts) => mode(&counts)?,
                    AnyState::Extreme(extreme) => extreme.value()?,
                    AnyState::Nothing if self.strategy == Strategy::Zero => {
                        ScalarValue::new_zero(&t)
                            .or_else(|_| ScalarValue::Int64(Some(0)).cast_to(&t))?
                    }
                    AnyState::Nothing => self.constant(&t)?,
                };
                value.cast_to(&t)
            })
            .collect::<Result<Vec<_>>>()?;
        if values.is_empty() {
            return Ok(vec![new_empty_array(&t)]);
        }
        Ok(vec![ScalarValue::iter_to_array(values)?])
    }

    fn prepare(&self, types: &[DataType], params: &StructArray) -> Result<ArrayRef> {
        let Some(values) = params.columns().first() else {
            return internal_err!("impute: no parameters");
        };
        let values = cast(values, &types[0])?;
        if params.null_count() == 0 {
            return Ok(values);
        }
        // a group without a fit
        let rows: UInt32Array = (0u32..)
            .take(params.len())
            .map(|i| params.is_valid(i as usize).then_some(i))
            .collect();
        Ok(take(&values, &rows, None)?)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &ArrayRef,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let array = &args[0];
        if array.is_empty() {
            return Ok(Arc::clone(array));
        }
        match array.data_type() {
            DataType::Float64 => fill_floats::<Float64Type>(array, prepared, groups),
            DataType::Float32 => fill_floats::<Float32Type>(array, prepared, groups),
            _ => match array.nulls().filter(|n| n.null_count() > 0) {
                None => Ok(Arc::clone(array)),
                Some(nulls) => fill(array, nulls, prepared, groups),
            },
        }
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        let fill = match fit.columns().first() {
            Some(values) if fit.is_valid(0) => ScalarValue::try_from_array(values, 0)?,
            _ => ScalarValue::Null,
        };
        let x = args[0].present();
        if fill.is_null() {
            return Ok(Some(x));
        }
        Ok(literal(&fill)?.map(|fill| format!("COALESCE({x}, {fill})")))
    }

    fn inverse(&self, types: &[DataType]) -> Option<DataType> {
        Some(types[0].clone())
    }

    /// What was filled in stays: that it was missing is not known.
    fn invert(
        &self,
        values: &ArrayRef,
        _params: &StructArray,
        _prepared: &ArrayRef,
        _groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        Ok(Arc::clone(values))
    }
}

impl Impute {
    /// The constant in the type of the column.
    fn constant(&self, t: &DataType) -> Result<ScalarValue> {
        let refuse = || {
            plan_err!(
                "impute: value must be a constant of x's type, {t}, not {}. Write impute(CAST(x AS ...), 'constant', value => {}) for another type",
                display(&self.value),
                display(&self.value)
            )
        };
        let Ok(value) = self.value.cast_to(t) else {
            return refuse();
        };
        // what a cast makes of 2.5 for an integer is not what was asked for
        let exact = !self.value.data_type().is_numeric()
            || t.is_floating()
            || !is_number(t)
            || value
                .cast_to(&DataType::Float64)
                .and_then(|v| Ok(v == self.value.cast_to(&DataType::Float64)?))
                .unwrap_or(false);
        if value.is_null() || !exact {
            return refuse();
        }
        Ok(value)
    }
}

/// The most frequent value, of equally frequent ones the smallest.
fn mode(counts: &Counts) -> Result<ScalarValue> {
    let (values, counts) = counts.sorted()?;
    let finite: Option<BooleanArray> = values.data_type().is_floating().then(|| {
        let floats = cast(&values, &DataType::Float64).ok();
        floats
            .iter()
            .flat_map(|f| f.as_primitive::<Float64Type>().values().iter())
            .map(|x| Some(x.is_finite()))
            .collect()
    });
    let mut best: Option<usize> = None;
    for (i, n) in counts.iter().enumerate() {
        let counts_here = finite.as_ref().is_none_or(|f| f.value(i));
        if counts_here && best.is_none_or(|b| counts[b] < *n) {
            best = Some(i);
        }
    }
    match best {
        Some(i) => ScalarValue::try_from_array(&values, i),
        None => ScalarValue::try_new_null(values.data_type()),
    }
}

fn fill_floats<T>(array: &ArrayRef, fills: &ArrayRef, groups: Groups<'_>) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType<Native: Into<f64>>,
{
    let floats: &PrimitiveArray<T> = array.as_primitive();
    let values = floats.values();
    let is_nan = |x: T::Native| -> bool { Into::<f64>::into(x).is_nan() };
    // without a way out in the middle, so that many are looked at at once
    let nan = values.iter().fold(false, |nan, x| nan | is_nan(*x));
    if floats.null_count() == 0 && !nan {
        return Ok(Arc::clone(array));
    }
    if let Groups::One = groups
        && fills.len() == 1
        && fills.is_valid(0)
    {
        let fill = fills.as_primitive::<T>().value(0);
        let filled: Vec<T::Native> = match floats.nulls().filter(|n| n.null_count() > 0) {
            None => values
                .iter()
                .map(|x| if is_nan(*x) { fill } else { *x })
                .collect(),
            Some(nulls) => values
                .iter()
                .zip(nulls.iter())
                .map(|(x, valid)| if valid && !is_nan(*x) { *x } else { fill })
                .collect(),
        };
        return Ok(Arc::new(PrimitiveArray::<T>::new(filled.into(), None)));
    }
    if let Groups::Each(index) = groups {
        let fills = fills.as_primitive::<T>();
        let nulls = floats.nulls().filter(|n| n.null_count() > 0);
        let missing = |row: usize| is_nan(values[row]) || nulls.is_some_and(|n| n.is_null(row));
        let has_fill = |row: usize| {
            let group = index[row] as usize;
            group < fills.len() && fills.is_valid(group)
        };
        let mut unfilled = false;
        let filled: Vec<T::Native> = (0..values.len())
            .map(|row| {
                if !missing(row) {
                    return values[row];
                }
                if !has_fill(row) {
                    unfilled = true;
                    return values[row];
                }
                fills.value(index[row] as usize)
            })
            .collect();
        let there = unfilled.then(|| {
            let there = |row| !missing(row) || has_fill(row);
            NullBuffer::new(BooleanBuffer::collect_bool(values.len(), there))
        });
        return Ok(Arc::new(PrimitiveArray::<T>::new(filled.into(), there)));
    }
    let present = BooleanBuffer::collect_bool(values.len(), |i| !is_nan(values[i]));
    let present = NullBuffer::new(present);
    match NullBuffer::union(floats.nulls(), Some(&present)) {
        Some(present) => fill(array, &present, fills, groups),
        None => Ok(Arc::clone(array)),
    }
}

/// Takes the values where they are present, and what their group is filled with elsewhere.
fn fill(
    array: &ArrayRef,
    present: &NullBuffer,
    fills: &ArrayRef,
    groups: Groups<'_>,
) -> Result<ArrayRef> {
    let present = BooleanArray::new(present.inner().clone(), None);
    match groups {
        Groups::One if fills.is_empty() => exec_err!("impute: nothing was fitted"),
        Groups::One => Ok(zip(&present, array, &Scalar::new(fills.slice(0, 1)))?),
        Groups::Each(index) => {
            // one more, for rows of a group that has no fit
            let none = new_null_array(fills.data_type(), 1);
            let fills = concat(&[fills.as_ref(), none.as_ref()])?;
            let last = u32::try_from(fills.len() - 1).unwrap_or(u32::MAX);
            let index: UInt32Array = index
                .iter()
                .map(|i| (*i).min(last))
                .collect::<Vec<_>>()
                .into();
            Ok(zip(&present, array, &take(&fills, &index, None)?)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float32Array, Int64Array, StringViewArray};

    use super::*;
    use crate::fitted::testing::{
        apply_to, assert_floats, bind_error, coerce_error, fit_apply, floats, grouped, texts,
    };

    #[test]
    fn mean_and_median() {
        let x = floats([Some(1.0), None, Some(2.0), Some(f64::NAN), Some(9.0)]);
        let y = fit_apply::<Impute>(&[], std::slice::from_ref(&x));
        assert_floats(&y, &[Some(1.0), Some(4.0), Some(2.0), Some(4.0), Some(9.0)]);
        let y = fit_apply::<Impute>(&[("strategy", "median".into())], &[x]);
        assert_floats(&y, &[Some(1.0), Some(2.0), Some(2.0), Some(2.0), Some(9.0)]);
    }

    #[test]
    fn float32_stays() {
        let x: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.0), None, Some(2.0)]));
        let y = fit_apply::<Impute>(&[], &[x]);
        let expected = Float32Array::from(vec![1.0, 1.5, 2.0]);
        assert_eq!(y.as_primitive::<Float32Type>(), &expected);
    }

    #[test]
    fn mode_keeps_the_type_and_breaks_ties_by_the_smallest() {
        let x = texts([Some("b"), None, Some("a"), Some("a"), Some("b"), Some("c")]);
        let y = fit_apply::<Impute>(&[("strategy", "mode".into())], &[x]);
        let expected = StringViewArray::from(vec!["b", "a", "a", "a", "b", "c"]);
        assert_eq!(y.as_string_view(), &expected);
        let x: ArrayRef = Arc::new(Int64Array::from(vec![
            Some(3),
            None,
            Some(i64::MIN),
            Some(3),
        ]));
        let y = fit_apply::<Impute>(&[("strategy", "most_frequent".into())], &[x]);
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![3, 3, i64::MIN, 3]));
        assert_eq!(&y, &expected);
    }

    #[test]
    fn extremes_of_dates_and_texts() {
        let x: ArrayRef = Arc::new(Date32Array::from(vec![Some(5), None, Some(-3)]));
        let y = fit_apply::<Impute>(&[("strategy", "min".into())], &[x]);
        let expected: ArrayRef = Arc::new(Date32Array::from(vec![5, -3, -3]));
        assert_eq!(&y, &expected);
        let x = texts([Some("a text longer than a view"), None, Some("b")]);
        let y = fit_apply::<Impute>(&[("strategy", "max".into())], &[x]);
        let expected = StringViewArray::from(vec!["a text longer than a view", "b", "b"]);
        assert_eq!(y.as_string_view(), &expected);
        let x = floats([Some(f64::INFINITY), None, Some(2.0), Some(f64::NAN)]);
        let y = fit_apply::<Impute>(&[("strategy", "max".into())], &[x]);
        assert_floats(&y, &[Some(f64::INFINITY), Some(2.0), Some(2.0), Some(2.0)]);
    }

    #[test]
    fn constants() {
        let x: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
        let constant = |value: ScalarValue| [("strategy", "constant".into()), ("value", value)];
        let y = fit_apply::<Impute>(&constant(7.0.into()), &[Arc::clone(&x)]);
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![3, 7]));
        assert_eq!(&y, &expected);
        let error = coerce_error::<Impute>(&constant(2.5.into()), &[DataType::Int64]);
        assert!(
            error.contains("value must be a constant of x's type"),
            "{error}"
        );
        let error = coerce_error::<Impute>(&constant("?".into()), &[DataType::Int64]);
        assert!(error.contains("not '?'"), "{error}");
        let error = bind_error::<Impute>(&[("strategy", "constant".into())]);
        assert!(error.contains("needs a value"), "{error}");
        let error = bind_error::<Impute>(&[("value", 1.into())]);
        assert!(error.contains("for strategy 'constant' only"), "{error}");
        let y = fit_apply::<Impute>(&[("strategy", "zero".into())], &[x]);
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![3, 0]));
        assert_eq!(&y, &expected);
    }

    #[test]
    fn all_missing_stays_missing() {
        for strategy in ["mean", "median", "mode", "min", "max"] {
            let y = fit_apply::<Impute>(
                &[("strategy", strategy.into())],
                &[floats([None, Some(f64::NAN)])],
            );
            assert_floats(&y, &[None, None]);
        }
        let other = floats([Some(1.0), None]);
        let y = apply_to::<Impute>(&[], &[floats([None])], &[other]);
        assert_floats(&y, &[Some(1.0), None]);
    }

    #[test]
    fn by_group() {
        let x = floats([Some(1.0), None, Some(3.0), None, Some(5.0), None]);
        let y = grouped::<Impute>(&[], &[x], &[0, 0, 0, 1, 1, 2]);
        let expected = [Some(1.0), Some(2.0), Some(3.0), Some(5.0), Some(5.0), None];
        assert_floats(&y, &expected);
    }

    #[test]
    fn text_has_no_mean() {
        let error = coerce_error::<Impute>(&[], &[DataType::Utf8]);
        assert!(error.contains("Write impute(x, 'mode')"), "{error}");
        let error = bind_error::<Impute>(&[("strategy", "medain".into())]);
        assert!(error.contains("did you mean 'median'?"), "{error}");
    }
}
