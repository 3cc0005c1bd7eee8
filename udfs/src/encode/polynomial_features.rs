//! `polynomial_features(a, b, ..., degree, interaction_only, include_bias)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};

use crate::arrays::float_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "polynomial_features",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The numbers and their products up to a degree, as a fixed-size list: a, b, a*a, a*b, b*b. NULL if any of \
        them is NULL.",
    params: &[
        Param::data(
            "x",
            "a number; where all are FLOAT the items are FLOAT, else DOUBLE",
        ),
        Param::option(
            "degree",
            "2",
            "the most factors of a product, at least 1; products are in order of their number of factors, then of the \
             arguments",
        ),
        Param::option(
            "interaction_only",
            "false",
            "whether no number is multiplied by itself",
        ),
        Param::option("include_bias", "false", "whether a 1 stands in front"),
    ],
    variadic: true,
    examples: &[
        Example {
            sql: "SELECT polynomial_features(2, 3), polynomial_features(2, 3, 5, interaction_only => true, include_bias => true)",
            result: "\"[2.0, 3.0, 4.0, 6.0, 9.0]\",\"[1.0, 2.0, 3.0, 5.0, 6.0, 10.0, 15.0]\"",
        },
        Example {
            sql: "SELECT polynomial_features(2, degree => 4), polynomial_features(2, NULL)",
            result: "\"[2.0, 4.0, 8.0, 16.0]\",",
        },
    ],
    source: "scikit-learn's PolynomialFeatures, whose include_bias is true",
    also: &[
        "sklearn.preprocessing.PolynomialFeatures",
        "pyspark.ml.feature.PolynomialExpansion",
        "ML.POLYNOMIAL_EXPAND",
    ],
};

/// The most products.
const MOST: usize = 10_000;
/// Parameters that are options.
const OPTIONS: usize = 3;

#[derive(Debug)]
pub struct PolynomialFeatures;

struct Settings {
    degree: i64,
    interaction_only: bool,
    include_bias: bool,
}

impl Settings {
    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            degree: options.integer("degree", 1)?,
            interaction_only: options.bool("interaction_only")?,
            include_bias: options.bool("include_bias")?,
        })
    }

    /// The products of `n` numbers.
    fn terms(&self, n: usize) -> Result<Vec<Term>> {
        let too_many = || {
            plan_err!(
                "polynomial_features: {n} numbers to degree {} give more than {MOST} products. Lower degree, or write interaction_only => true",
                self.degree
            )
        };
        if n > MOST {
            return too_many();
        }
        let mut terms: Vec<Term> = (0..n).map(|factor| Term { factor, by: None }).collect();
        // where the products of the last degree that begin with each number begin
        let mut starts: Vec<usize> = (0..n).collect();
        for _ in 1..self.degree {
            let end = terms.len();
            let mut next = Vec::with_capacity(n);
            for factor in 0..n {
                let first = factor + usize::from(self.interaction_only);
                let from = starts.get(first).copied().unwrap_or(end);
                next.push(terms.len());
                if terms.len() + (end - from) > MOST {
                    return too_many();
                }
                terms.extend((from..end).map(|by| Term {
                    factor,
                    by: Some(by),
                }));
            }
            if terms.len() == end {
                break;
            }
            starts = next;
        }
        Ok(terms)
    }
}

/// A number times an earlier product.
#[derive(Debug, Clone, Copy)]
struct Term {
    factor: usize,
    by: Option<usize>,
}

impl RowWise for PolynomialFeatures {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        let numbers = types.len().saturating_sub(OPTIONS);
        if numbers == 0 {
            return plan_err!(
                "polynomial_features: no number given. Write {}",
                SPEC.syntax()
            );
        }
        for (i, t) in coerced[..numbers].iter_mut().enumerate() {
            *t = float_type(&SPEC, &format!("argument {}", i + 1), t)?;
        }
        if coerced[..numbers].contains(&DataType::Float64) {
            coerced[..numbers].fill(DataType::Float64);
        }
        Ok(coerced)
    }

    fn return_type(
        &self,
        types: &[DataType],
        literals: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        let numbers = types.len().saturating_sub(OPTIONS);
        let options: Option<Vec<ScalarValue>> = literals[numbers..]
            .iter()
            .map(|value| value.cloned())
            .collect();
        let Some(options) = options else {
            return plan_err!(
                "polynomial_features: degree, interaction_only and include_bias must be constants, as in degree => 2"
            );
        };
        let settings = Settings::new(&Options::new(&SPEC, options)?)?;
        let width = settings.terms(numbers)?.len() + usize::from(settings.include_bias);
        let item = Arc::new(Field::new_list_field(types[0].clone(), true));
        match i32::try_from(width) {
            Ok(width) => Ok(DataType::FixedSizeList(item, width)),
            Err(_) => plan_err!("polynomial_features: {width} products are too many"),
        }
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let DataType::FixedSizeList(item, width) = args.return_type() else {
            return exec_err!("polynomial_features: {} is no vector", args.return_type());
        };
        let settings = Settings::new(&args.options()?)?;
        let arrays = args
            .data()?
            .iter()
            .map(|a| Ok(cast(a, &DataType::Float64)?))
            .collect::<Result<Vec<_>>>()?;
        let nulls = arrays.iter().fold(None, |nulls, array| {
            NullBuffer::union(nulls.as_ref(), array.nulls())
        });
        let columns: Vec<&[f64]> = arrays
            .iter()
            .map(|a| a.as_primitive::<Float64Type>().values().as_ref())
            .collect();
        let terms = settings.terms(columns.len())?;
        let bias = usize::from(settings.include_bias);
        let rows = args.rows();
        let mut products = vec![1.0; rows * (terms.len() + bias)];
        for (row, vector) in products.chunks_exact_mut(terms.len() + bias).enumerate() {
            let vector = &mut vector[bias..];
            for (i, term) in terms.iter().enumerate() {
                let x = columns[term.factor][row];
                vector[i] = match term.by {
                    Some(by) => x * vector[by],
                    None => x,
                };
            }
        }
        let products: ArrayRef = Arc::new(Float64Array::from(products));
        Ok(Arc::new(FixedSizeListArray::try_new_with_length(
            Arc::clone(item),
            *width,
            cast(&products, item.data_type())?,
            nulls,
            rows,
        )?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int64Array};
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, texts};

    fn features(
        numbers: &[ColumnarValue],
        degree: i64,
        interaction_only: bool,
        include_bias: bool,
    ) -> Result<ArrayRef> {
        let options = [
            constant(degree),
            constant(interaction_only),
            constant(include_bias),
        ];
        call(PolynomialFeatures, &[numbers, &options[..]].concat())
    }

    fn first(array: &ArrayRef) -> Vec<f64> {
        let list = array.as_fixed_size_list().value(0);
        list.as_primitive::<Float64Type>().values().to_vec()
    }

    #[test]
    fn in_scikit_learns_order() -> Result<()> {
        let numbers = [constant(2.0), constant(3.0), constant(5.0)];
        let cubes = [
            2.0, 3.0, 5.0, 4.0, 6.0, 10.0, 9.0, 15.0, 25.0, 8.0, 12.0, 20.0, 18.0, 30.0, 50.0,
            27.0, 45.0, 75.0, 125.0,
        ];
        assert_eq!(first(&features(&numbers, 3, false, false)?), cubes);
        assert_eq!(
            first(&features(&numbers, 3, true, true)?),
            [1.0, 2.0, 3.0, 5.0, 6.0, 10.0, 15.0, 30.0]
        );
        // no further products than that of all
        assert_eq!(
            first(&features(&numbers, 1_000_000_000, true, false)?).len(),
            7
        );
        assert_eq!(
            first(&features(&numbers, 1, false, false)?),
            [2.0, 3.0, 5.0]
        );
        Ok(())
    }

    #[test]
    fn rows_nulls_and_floats() -> Result<()> {
        let a = column(Float32Array::from(vec![Some(2.0), None, Some(f32::NAN)]));
        let b = column(Float32Array::from(vec![Some(1.5), Some(1.0), Some(1.0)]));
        let result = features(&[a.clone(), b], 2, false, false)?;
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        assert_eq!(result.data_type(), &DataType::FixedSizeList(item, 5));
        assert!(result.is_valid(0) && result.is_null(1) && result.is_valid(2));
        let values = result.as_fixed_size_list().value(0);
        assert_eq!(
            values.as_ref(),
            &Float32Array::from(vec![2.0, 1.5, 4.0, 3.0, 2.25]) as &dyn Array
        );
        let result = features(
            &[a, column(Int64Array::from(vec![1, 2, 3]))],
            2,
            false,
            false,
        )?;
        assert_eq!(first(&result), [2.0, 1.0, 4.0, 2.0, 1.0]);
        assert_eq!(features(&[null()], 2, false, false)?.null_count(), 1);
        assert!(features(&[empty(&DataType::Int8)], 2, false, false)?.is_empty());
        Ok(())
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message = error(features(&[constant(1)], 0, false, false));
        assert!(
            message.contains("degree must be a whole number of at least 1"),
            "{message}"
        );
        let many = vec![constant(1); 40];
        for degree in [4, i64::MAX] {
            let message = error(features(&many, degree, false, false));
            assert!(message.contains("more than 10000 products"), "{message}");
        }
        let message = error(features(&[texts([Some("a")])], 2, false, false));
        assert!(message.contains("argument 1 must be a number"), "{message}");
        let message = error(call(
            PolynomialFeatures,
            &[
                constant(1),
                column(Int64Array::from(vec![2])),
                constant(false),
                constant(false),
            ],
        ));
        assert!(message.contains("must be constants"), "{message}");
    }
}
