//! `parse_bool(x)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::arrays::{is_number, is_text};
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "parse_bool",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "true or false out of yes/no, y/n, true/false, t/f, on/off, 1/0; NULL out of anything else.",
    params: &[Param::data(
        "x",
        "text, without regard to case and the blanks around it, or a number: 1 or 0",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT parse_bool('Yes'), parse_bool(' off '), parse_bool('maybe'), parse_bool(1)",
        result: "true,false,,true",
    }],
    source: "PostgreSQL's input of type boolean",
    also: &[
        "pandas.read_csv(true_values=, false_values=)",
        "SAFE_CAST(x AS BOOL)",
    ],
};

#[derive(Debug)]
pub struct ParseBool;

impl RowWise for ParseBool {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![match &types[0] {
            t if is_text(t) => DataType::Utf8View,
            DataType::Boolean => DataType::Boolean,
            t if is_number(t) => DataType::Float64,
            t => return plan_err!("parse_bool: x must be text, a number or a boolean, not {t}"),
        }])
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let x = args.array(0)?;
        let parsed: BooleanArray = match x.data_type() {
            DataType::Boolean => return Ok(x),
            DataType::Utf8View => x
                .as_string_view()
                .iter()
                .map(|text| text.and_then(parse))
                .collect(),
            _ => cast(&x, &DataType::Float64)?
                .as_primitive::<Float64Type>()
                .iter()
                .map(|number| match number {
                    Some(1.0) => Some(true),
                    Some(0.0) => Some(false),
                    _ => None,
                })
                .collect(),
        };
        Ok(Arc::new(parsed))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

fn parse(text: &str) -> Option<bool> {
    let text = text.trim();
    let is = |words: [&str; 6]| words.iter().any(|w| w.eq_ignore_ascii_case(text));
    if is(["1", "true", "yes", "t", "y", "on"]) {
        Some(true)
    } else if is(["0", "false", "no", "f", "n", "off"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float64Array, Int64Array};

    use super::*;
    use crate::testing::{call, column, empty, error, null, text_forms};

    #[test]
    fn words() -> Result<()> {
        let values = [
            "yes", "Y", "TRUE", "t", "on", " 1 ", "no", "N", "False", "f", "OFF", "0", "", "2",
            "ja", "10",
        ];
        let forms = text_forms(&values.map(Some));
        let expected: BooleanArray = (0..values.len())
            .map(|i| match i {
                0..6 => Some(true),
                6..12 => Some(false),
                _ => None,
            })
            .collect();
        for form in forms {
            assert_eq!(call(ParseBool, &[form])?.as_boolean(), &expected);
        }
        Ok(())
    }

    #[test]
    fn numbers_and_booleans() -> Result<()> {
        let x = Float64Array::from(vec![Some(1.0), Some(-0.0), Some(0.5), Some(f64::NAN), None]);
        let expected = BooleanArray::from(vec![Some(true), Some(false), None, None, None]);
        assert_eq!(call(ParseBool, &[column(x)])?.as_boolean(), &expected);
        let x = Int64Array::from(vec![1, 0, 2]);
        let expected = BooleanArray::from(vec![Some(true), Some(false), None]);
        assert_eq!(call(ParseBool, &[column(x)])?.as_boolean(), &expected);
        let x = BooleanArray::from(vec![Some(true), None]);
        assert_eq!(call(ParseBool, &[column(x.clone())])?.as_boolean(), &x);
        assert!(call(ParseBool, &[empty(&DataType::Utf8)])?.is_empty());
        assert_eq!(call(ParseBool, &[null()])?.null_count(), 1);
        let message = error(call(ParseBool, &[column(Date32Array::from(vec![0]))]));
        assert!(message.contains("x must be text"), "{message}");
        Ok(())
    }
}
