//! `feature_cross(a, b, ...)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::arrays::{is_number, is_text};
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "feature_cross",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The combination of categories as one category: their texts, joined by '_'. NULL if any of them is NULL.",
    params: &[
        Param::data(
            "a",
            "a text, number, boolean, date or time, which is written as CAST(a AS VARCHAR) writes it",
        ),
        Param::data(
            "b",
            "the category to cross it with. Texts that hold '_' may give the same cross in two ways: 'a_b' with 'c' \
             is 'a' with 'b_c'",
        ),
    ],
    variadic: true,
    examples: &[
        Example {
            sql: "SELECT feature_cross('US', 'mobile'), feature_cross('a', 1, true), feature_cross('a', NULL)",
            result: "US_mobile,a_1_true,",
        },
        Example {
            sql: "SELECT country, device, ordinal_encode(feature_cross(country, device)) OVER () \
                  FROM (VALUES ('US', 'mobile'), ('US', 'desktop'), ('CA', 'mobile')) AS t(country, device)",
            result: "US,mobile,2\nUS,desktop,1\nCA,mobile,0",
        },
    ],
    source: "BigQuery's ML.FEATURE_CROSS, one cross a call; it says nothing of NULL",
    also: &[
        "ML.FEATURE_CROSS",
        "tf.keras.layers.HashedCrossing",
        "tf.feature_column.crossed_column",
    ],
};

#[derive(Debug)]
pub struct FeatureCross;

impl RowWise for FeatureCross {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        for (i, t) in types.iter().enumerate() {
            let plain = match t {
                DataType::Dictionary(_, value) => value.as_ref(),
                t => t,
            };
            if !is_text(plain) && !is_number(plain) && !plain.is_temporal() {
                return plan_err!(
                    "feature_cross: argument {} must be text, a number, a boolean, a date or a time, not {t}. \
                     Write CAST(... AS VARCHAR)",
                    i + 1
                );
            }
        }
        Ok(vec![DataType::Utf8View; types.len()])
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let arrays = args.data()?;
        let nulls = arrays.iter().fold(None, |nulls, array| {
            NullBuffer::union(nulls.as_ref(), array.nulls())
        });
        let columns: Vec<_> = arrays.iter().map(|a| a.as_string_view()).collect();
        let mut crosses = StringViewBuilder::with_capacity(args.rows());
        let mut cross = String::new();
        for row in 0..args.rows() {
            if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                crosses.append_null();
                continue;
            }
            cross.clear();
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    cross.push('_');
                }
                cross.push_str(column.value(row));
            }
            crosses.try_append_value(&cross)?;
        }
        Ok(Arc::new(crosses.finish()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Date32Array, Float64Array, Int64Array};
    use arrow::datatypes::Field;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, list, null, text_forms, texts};

    fn crosses(args: &[ColumnarValue]) -> Result<Vec<Option<String>>> {
        let result = call(FeatureCross, args)?;
        let texts = result.as_string_view().iter();
        Ok(texts.map(|t| t.map(str::to_string)).collect())
    }

    #[test]
    fn texts_and_nulls() -> Result<()> {
        let expected = [
            Some("a_x".to_string()),
            None,
            None,
            Some("_".to_string()),
            Some("é日_a text that no view holds".to_string()),
        ];
        let b = [
            Some("x"),
            Some("y"),
            None,
            Some(""),
            Some("a text that no view holds"),
        ];
        for a in text_forms(&[Some("a"), None, Some("c"), Some(""), Some("é日")]) {
            for b in text_forms(&b) {
                assert_eq!(crosses(&[a.clone(), b])?, expected);
            }
        }
        Ok(())
    }

    #[test]
    fn other_types() -> Result<()> {
        let args = [
            column(Int64Array::from(vec![Some(-1), Some(2)])),
            column(Float64Array::from(vec![1.5, f64::NAN])),
            column(BooleanArray::from(vec![true, false])),
            column(Date32Array::from(vec![0, 1])),
            constant("k"),
        ];
        let expected = ["-1_1.5_true_1970-01-01_k", "2_NaN_false_1970-01-02_k"];
        assert_eq!(crosses(&args)?, expected.map(|text| Some(text.to_string())));
        Ok(())
    }

    #[test]
    fn nothing_and_errors() -> Result<()> {
        assert_eq!(crosses(&[null(), constant("a")])?, [None]);
        assert!(crosses(&[empty(&DataType::Utf8), constant("a")])?.is_empty());
        let message = error(call(FeatureCross, &[texts([Some("a")])]));
        assert!(
            message.contains("Write feature_cross(a, b, ...)"),
            "{message}"
        );
        let lists = list(Int64Array::from(vec![1]));
        let message = error(call(FeatureCross, &[constant("a"), lists]));
        assert!(message.contains("argument 2 must be text"), "{message}");
        let field = Field::new("x", DataType::Utf8, true);
        let structs = DataType::Struct(vec![field].into());
        let message = error(call(FeatureCross, &[empty(&structs), constant("a")]));
        assert!(message.contains("argument 1 must be text"), "{message}");
        Ok(())
    }
}
