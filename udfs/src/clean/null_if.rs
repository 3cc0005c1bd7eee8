//! `null_if(x, values)`.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, Scalar,
};
use arrow::compute::kernels::cmp::{eq, not_distinct};
use arrow::compute::{cast, nullif, or};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::arrays::is_text;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, literal, text};

const SPEC: Spec = Spec {
    name: "null_if",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "NULL where a value stands for a missing one: '?', 'NA', -999; other values stay as they are.",
    params: &[
        Param::data("x", "texts, numbers, dates or timestamps"),
        Param::option(
            "values",
            "['', '?', 'NA', 'N/A', 'NaN', 'null', 'none', '-', '.']",
            "what means missing. Texts are compared without the blanks around them and without regard to \
             case; numbers and dates by value",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT null_if(' ? '), null_if('n/a'), null_if('unknown', ['Unknown']), null_if('Nancy')",
            result: ",,,Nancy",
        },
        Example {
            sql: "SELECT null_if(x, [-1, 999]) FROM (VALUES (-1), (37), (999)) AS t(x)",
            result: "\n37\n",
        },
    ],
    source: "pandas.read_csv's na_values, as a function of a column",
    also: &["pandas.Series.replace", "NULLIF", "naniar::replace_with_na"],
};

#[derive(Debug)]
pub struct NullIf;

impl RowWise for NullIf {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let t = &types[0];
        if is_text(t) || t.is_numeric() || t.is_temporal() || t == &DataType::Boolean {
            Ok(types.to_vec())
        } else {
            plan_err!("null_if: x must be text, a number, a date or a timestamp, not {t}")
        }
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn check(&self, options: &Options) -> Result<()> {
        let items = options.items("values")?;
        if is_text(items.data_type()) || items.data_type().is_primitive() {
            Ok(())
        } else {
            options.wrong("values", "a list of texts or numbers, as in ['?', 'NA']")
        }
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let x = args.array(0)?;
        let values = args.options()?.items("values")?;
        let missing = match x.data_type() {
            DataType::Null => return Ok(x),
            t if is_text(t) => missing_texts(&x, &values)?,
            DataType::Float32 => missing_floats::<Float32Type>(x.as_primitive(), &values)?,
            DataType::Float64 => missing_floats::<Float64Type>(x.as_primitive(), &values)?,
            _ => missing_exact(&x, &values)?,
        };
        Ok(nullif(&x, &missing)?)
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }

    fn sql(&self, args: &[Arg], options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        let x = &args[0];
        let values = options.items("values")?;
        let mut same = Vec::with_capacity(values.len());
        if is_text(&x.data_type) {
            let texts = cast(&values, &DataType::Utf8View)?;
            for value in texts.as_string_view().iter().flatten() {
                same.push(text(&value.trim().to_lowercase()));
            }
            let x = &x.sql;
            let list = same.join(", ");
            return Ok(Some(if same.is_empty() {
                x.clone()
            } else {
                format!("CASE WHEN LOWER(TRIM({x})) NOT IN ({list}) THEN {x} END")
            }));
        }
        let given = trimmed(&values)?;
        let Ok(values) = cast(&given, &x.data_type) else {
            return Ok(None);
        };
        let exact = match given.data_type() {
            t if t.is_numeric() => Some(not_distinct(&cast(&values, t)?, &given)?),
            _ => None,
        };
        for i in 0..values.len() {
            let floats = x.data_type.is_floating();
            if values.is_null(i) || !floats && exact.as_ref().is_some_and(|e| !e.value(i)) {
                continue;
            }
            match literal(&ScalarValue::try_from_array(&values, i)?)? {
                Some(value) => same.push(value),
                None => return Ok(None),
            }
        }
        let x = &x.sql;
        Ok(Some(same.iter().rev().fold(x.clone(), |inner, value| {
            format!("NULLIF({inner}, {value})")
        })))
    }
}

fn missing_texts(x: &ArrayRef, values: &ArrayRef) -> Result<BooleanArray> {
    let values = cast(values, &DataType::Utf8View)?;
    let values: Vec<String> = values
        .as_string_view()
        .iter()
        .flatten()
        .map(|v| v.trim().to_lowercase())
        .collect();
    let x = cast(x, &DataType::Utf8View)?;
    Ok(BooleanArray::from_unary(
        x.as_string_view(),
        |text: &str| {
            let text = text.trim();
            if text.is_ascii() {
                values.iter().any(|v| v.eq_ignore_ascii_case(text))
            } else {
                // most values are longer than any that means missing
                let lower = text.to_lowercase();
                values.contains(&lower)
            }
        },
    ))
}

/// Floats are compared by IEEE's rules, so that 0 is -0, but a NaN is every NaN.
fn missing_floats<T: ArrowPrimitiveType>(
    x: &PrimitiveArray<T>,
    values: &ArrayRef,
) -> Result<BooleanArray>
where
    T::Native: PartialOrd,
{
    let values = cast(&trimmed(values)?, &T::DATA_TYPE)?;
    let values: Vec<_> = values.as_primitive::<T>().iter().flatten().collect();
    #[allow(clippy::eq_op)] // what NaN is not
    let is_nan = |v: T::Native| v != v;
    Ok(BooleanArray::from_unary(x, |x| {
        values.iter().any(|v| *v == x || is_nan(*v) && is_nan(x))
    }))
}

/// Values that the type of `x` does not hold exactly (1.5 among integers) mean nothing there.
fn missing_exact(x: &ArrayRef, values: &ArrayRef) -> Result<BooleanArray> {
    let given = trimmed(values)?;
    let Ok(values) = cast(&given, x.data_type()) else {
        return plan_err!(
            "null_if: values must be a list of {}, as x is, not of {}",
            x.data_type(),
            given.data_type()
        );
    };
    let exact = match given.data_type() {
        t if t.is_numeric() => Some(not_distinct(&cast(&values, t)?, &given)?),
        _ => None,
    };
    let mut missing = BooleanArray::new(arrow::buffer::BooleanBuffer::new_unset(x.len()), None);
    for i in 0..values.len() {
        if values.is_valid(i) && exact.as_ref().is_none_or(|e| e.value(i)) {
            missing = or(&missing, &eq(x, &Scalar::new(values.slice(i, 1)))?)?;
        }
    }
    Ok(missing)
}

/// Texts without the blanks around them; other types as they are.
fn trimmed(values: &ArrayRef) -> Result<ArrayRef> {
    if !is_text(values.data_type()) {
        return Ok(ArrayRef::clone(values));
    }
    let values = cast(values, &DataType::Utf8View)?;
    let trimmed: arrow::array::StringViewArray = values
        .as_string_view()
        .iter()
        .map(|v| v.map(str::trim))
        .collect();
    Ok(std::sync::Arc::new(trimmed))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    };
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, list, null, text_forms, texts};

    fn default() -> ColumnarValue {
        list(StringArray::from(vec![
            "", "?", "NA", "N/A", "NaN", "null", "none", "-", ".",
        ]))
    }

    #[test]
    fn texts_of_all_forms() -> Result<()> {
        let values = [
            Some(" ? "),
            Some("nA"),
            Some(""),
            Some("\t\u{a0}"),
            None,
            Some("NULL"),
            Some(" kept "),
            Some("数据"),
            Some("--"),
        ];
        let expected = [
            None,
            None,
            None,
            None,
            None,
            None,
            Some(" kept "),
            Some("数据"),
            Some("--"),
        ];
        for form in text_forms(&values) {
            let result = cast(&call(NullIf, &[form, default()])?, &DataType::Utf8View)?;
            assert_eq!(result.as_string_view().iter().collect::<Vec<_>>(), expected);
        }
        Ok(())
    }

    #[test]
    fn the_type_stays() -> Result<()> {
        let result = call(NullIf, &[column(StringArray::from(vec!["a"])), default()])?;
        assert_eq!(result.data_type(), &DataType::Utf8);
        assert!(call(NullIf, &[empty(&DataType::LargeUtf8), default()])?.is_empty());
        let nulls = call(NullIf, &[null(), default()])?;
        assert_eq!(nulls.logical_null_count(), 1);
        Ok(())
    }

    #[test]
    fn other_scripts_ignore_case_too() -> Result<()> {
        let result = call(
            NullIf,
            &[
                texts([Some("НЕТ"), Some("да")]),
                list(StringArray::from(vec!["нет"])),
            ],
        )?;
        assert_eq!(result.null_count(), 1);
        Ok(())
    }

    #[test]
    fn numbers_by_value() -> Result<()> {
        let x = Int32Array::from(vec![Some(-1), Some(1), Some(999), None]);
        let expected = Int32Array::from(vec![None, Some(1), None, None]);
        for values in [
            list(Int64Array::from(vec![
                Some(-1),
                Some(999),
                None,
                Some(1 << 40),
            ])),
            list(Float64Array::from(vec![-1.0, 999.0, 1.5])),
            list(StringArray::from(vec!["?", " -1 ", "999"])),
        ] {
            let result = call(NullIf, &[column(x.clone()), values])?;
            assert_eq!(result.as_ref(), &expected as &dyn Array);
        }
        let x = Float64Array::from(vec![-0.0, -f64::NAN, 2.5, f64::INFINITY]);
        let values = list(StringArray::from(vec!["NaN", "0", "?"]));
        let result = call(NullIf, &[column(x), values])?;
        let expected = Float64Array::from(vec![None, None, Some(2.5), Some(f64::INFINITY)]);
        assert_eq!(result.as_ref(), &expected as &dyn Array);
        let x = Decimal128Array::from(vec![100, 250]).with_precision_and_scale(10, 2)?;
        let result = call(NullIf, &[column(x), list(Int64Array::from(vec![1]))])?;
        assert!(result.is_null(0) && result.is_valid(1));
        Ok(())
    }

    #[test]
    fn dates_and_single_values() -> Result<()> {
        let x = Date32Array::from(vec![0, 1]);
        let result = call(NullIf, &[column(x), constant("1970-01-01")])?;
        assert!(result.is_null(0) && result.is_valid(1));
        Ok(())
    }

    #[test]
    fn wrong_values() {
        let message = error(call(NullIf, &[texts([Some("a")]), null()]));
        assert!(
            message.contains("null_if: values must be a list"),
            "{message}"
        );
    }
}
