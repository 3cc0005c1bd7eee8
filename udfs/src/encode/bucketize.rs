//! `bucketize(x, splits, output)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, ScalarValue, plan_err};

use super::bins::Output;
use crate::arrays::float_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::Arg;

const SPEC: Spec = Spec {
    name: "bucketize",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The bucket of a number between given splits: each holds its lower end, not its upper.",
    params: &[
        Param::data("x", "a number; NULL and NaN are in no bucket"),
        Param::required(
            "splits",
            "ascending numbers: n of them make n + 1 buckets, the outer two without an end",
        ),
        Param::option(
            "output",
            "'index'",
            "'index': 0 for below the first split; 'label': 'bin_1' for it; 'range': '(-inf, 10)'; 'json': '{\"start\": \"-Infinity\", \"end\": \"10\"}'",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT bucketize(x, [18, 65]) FROM (VALUES (17), (18), (64.5), (65), (NULL)) AS t(x)",
            result: "0\n1\n1\n2\n",
        },
        Example {
            sql: "SELECT bucketize(3, [1, 2, 4], output => 'range'), bucketize(3, [1, 2, 4], output => 'label')",
            result: "\"[2, 4)\",bin_3",
        },
    ],
    source: "BigQuery ML's ML.BUCKETIZE, whose labels are taken over",
    also: &[
        "ML.BUCKETIZE",
        "pandas.cut(right=False)",
        "numpy.digitize",
        "pyspark.ml.feature.Bucketizer",
    ],
};

/// The bucket of each number: how many splits are not above it. NULL and NaN are in none.
fn buckets(x: &ArrayRef, splits: &[f64]) -> Result<Int64Array> {
    let x = cast(x, &DataType::Float64)?;
    Ok(x.as_primitive::<Float64Type>().unary_opt(|x| {
        let bucket = splits.partition_point(|split| *split <= x);
        (!x.is_nan()).then_some(bucket as i64)
    }))
}

#[derive(Debug)]
pub struct Bucketize;

fn output(options: &Options) -> Result<Output> {
    Ok(Output::of(options.choice("output", &Output::CHOICES)?))
}

fn splits(options: &Options) -> Result<Vec<f64>> {
    let splits = options.floats("splits")?;
    if splits.is_empty() {
        return options.wrong("splits", "a list of at least one number, as in [18, 65]");
    }
    if splits.iter().any(|s| !s.is_finite()) {
        return options.wrong(
            "splits",
            "finite numbers (the outer buckets have no ends of themselves)",
        );
    }
    if !splits.is_sorted_by(|a, b| a < b) {
        let mut sorted = splits;
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        return options.wrong("splits", format!("ascending, as in {sorted:?}"));
    }
    Ok(splits)
}

impl RowWise for Bucketize {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        // splits are doubles, and comparing with them is exact for floats of 32 bits
        float_type(&SPEC, "x", &types[0])?;
        coerced[0] = DataType::Float64;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], literals: &[Option<&ScalarValue>]) -> Result<DataType> {
        let given = match literals.get(2) {
            Some(Some(output)) => (*output).clone(),
            _ => {
                return plan_err!(
                    "bucketize: output must be 'index', 'label', 'range' or 'json', not a column"
                );
            }
        };
        let options = Options::new(&SPEC, vec![ScalarValue::Null, given])?;
        Ok(match output(&options)? {
            Output::Index => DataType::Int64,
            Output::Label | Output::Range | Output::Json => DataType::Utf8View,
        })
    }

    fn check(&self, options: &Options) -> Result<()> {
        splits(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let options = args.options()?;
        let splits = splits(&options)?;
        let buckets = buckets(&args.array(0)?, &splits)?;
        match output(&options)? {
            Output::Index => Ok(Arc::new(buckets)),
            output => Ok(take(&output.names(&splits), &buckets, None)?),
        }
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }

    fn sql(&self, args: &[Arg], options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        let output = output(options)?;
        Ok(Some(output.sql(&args[0].number(), &splits(options)?)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array, StringArray,
        StringViewArray,
    };
    use arrow::datatypes::Int32Type;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, list, null, texts};

    fn by(splits: &[f64], x: ColumnarValue, output: &str) -> Result<ArrayRef> {
        let splits = list(Float64Array::from(splits.to_vec()));
        call(Bucketize, &[x, splits, constant(output)])
    }

    #[test]
    fn buckets_hold_their_lower_end() -> Result<()> {
        let x = Float64Array::from(vec![
            Some(f64::NEG_INFINITY),
            Some(0.9),
            Some(1.0),
            Some(1.5),
            Some(2.0),
            Some(f64::INFINITY),
            Some(f64::NAN),
            None,
        ]);
        let result = by(&[1.0, 2.0], column(x.clone()), "index")?;
        let expected = vec![
            Some(0),
            Some(0),
            Some(1),
            Some(1),
            Some(2),
            Some(2),
            None,
            None,
        ];
        assert_eq!(result.as_ref(), &Int64Array::from(expected) as &dyn Array);
        let result = by(&[1.0, 2.5], column(x), "range")?;
        let result: Vec<_> = result.as_string_view().iter().collect();
        let (low, middle, high) = (Some("(-inf, 1)"), Some("[1, 2.5)"), Some("[2.5, +inf)"));
        assert_eq!(result, [low, low, middle, middle, middle, high, None, None]);
        Ok(())
    }

    #[test]
    fn ends_as_json() -> Result<()> {
        let x = Float64Array::from(vec![Some(0.0), Some(1.0), Some(3.0), None]);
        let result = by(&[1.0, 2.5], column(x), "json")?;
        let result: Vec<_> = result.as_string_view().iter().collect();
        let low = Some(r#"{"start": "-Infinity", "end": "1"}"#);
        let middle = Some(r#"{"start": "1", "end": "2.5"}"#);
        let high = Some(r#"{"start": "2.5", "end": "Infinity"}"#);
        assert_eq!(result, [low, middle, high, None]);
        Ok(())
    }

    #[test]
    fn numbers_of_all_types() -> Result<()> {
        let label = |x| by(&[0.5], x, "label");
        let expected: ArrayRef = Arc::new(StringViewArray::from(vec!["bin_1", "bin_2"]));
        assert_eq!(&label(column(Int32Array::from(vec![0, 1])))?, &expected);
        let decimals = Decimal128Array::from(vec![49, 50]).with_precision_and_scale(5, 2)?;
        assert_eq!(&label(column(decimals))?, &expected);
        let keys = Int32Array::from(vec![1, 0]);
        let values = Arc::new(Float64Array::from(vec![0.5, 0.4]));
        let dictionary = DictionaryArray::<Int32Type>::try_new(keys, values)?;
        assert_eq!(&label(column(dictionary))?, &expected);
        assert_eq!(label(null())?.null_count(), 1);
        assert!(label(empty(&DataType::Boolean))?.is_empty());
        Ok(())
    }

    #[test]
    fn wrong_options() {
        let wrong = |splits: &[f64], output: &str| error(by(splits, constant(1), output));
        let message = wrong(&[2.0, 1.0, 2.0], "index");
        assert!(message.contains("ascending, as in [1.0, 2.0]"), "{message}");
        assert!(wrong(&[], "index").contains("at least one number"));
        assert!(wrong(&[f64::NEG_INFINITY, 1.0], "index").contains("finite"));
        assert!(wrong(&[1.0], "labels").contains("did you mean 'label'?"));
        let splits = list(StringArray::from(vec!["a"]));
        let message = error(call(Bucketize, &[constant(1), splits, constant("index")]));
        assert!(
            message.contains("splits must be a list of numbers"),
            "{message}"
        );
        assert!(error(by(&[1.0], texts([Some("a")]), "index")).contains("parse_number"));
    }
}
