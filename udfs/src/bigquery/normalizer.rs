//! `ML.NORMALIZER(list, p)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::arrays::is_number;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "ml_normalizer",
    stage: Stage::BigQuery,
    kind: Kind::RowWise,
    summary: "A list of numbers divided by its p-norm, as a list of DOUBLE; one whose norm is 0 stays.",
    params: &[
        Param::data("list", "a list of numbers; a NULL in it stays"),
        Param::option("p", "2", "the norm: 0, or from 1 to infinity"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ML.NORMALIZER([3, 4]), ML.NORMALIZER([3, 5], 1.0), ML.NORMALIZER([3, 4], CAST('+INF' AS DOUBLE))",
        result: "\"[0.6, 0.8]\",\"[0.375, 0.625]\",\"[0.75, 1.0]\"",
    }],
    source: "BigQuery ML's documentation",
    also: &[],
};

#[derive(Debug)]
pub struct Normalizer;

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float64, true))
}

fn degree(options: &Options) -> Result<f64> {
    let p = match options.get("p").cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(p))) => p,
        _ => f64::NAN,
    };
    if p == 0.0 || p >= 1.0 {
        Ok(p)
    } else {
        options.wrong("p", "0, or a number of at least 1")
    }
}

/// The norm of the numbers that are not NULL; scaled by the largest, so that powers neither over- nor underflow.
fn norm(values: impl Iterator<Item = f64> + Clone, p: f64) -> f64 {
    let largest = values.clone().fold(0.0, |max: f64, x| max.max(x.abs()));
    if values.clone().any(f64::is_nan) {
        return f64::NAN;
    }
    if p == 0.0 {
        return values.map(|x| f64::from(u8::from(x != 0.0))).sum();
    }
    if p.is_infinite() || largest == 0.0 || largest.is_infinite() {
        return largest;
    }
    let scaled = values.map(|x| x.abs() / largest);
    largest
        * if p == 1.0 {
            scaled.sum()
        } else if p == 2.0 {
            scaled.map(|x| x * x).sum::<f64>().sqrt()
        } else {
            scaled.map(|x| x.powf(p)).sum::<f64>().powf(p.recip())
        }
}

impl RowWise for Normalizer {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = match &types[0] {
            DataType::Null => DataType::List(item()),
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _)
                if is_number(field.data_type()) =>
            {
                DataType::List(item())
            }
            t => return plan_err!("ml_normalizer: list must be a list of numbers, not {t}"),
        };
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn check(&self, options: &Options) -> Result<()> {
        degree(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let p = degree(&args.options()?)?;
        let array = args.array(0)?;
        let lists = array.as_list::<i32>();
        let numbers = lists.values().as_primitive::<Float64Type>();
        let mut values = numbers.values().to_vec();
        for ends in lists.offsets().windows(2) {
            let row = ends[0] as usize..ends[1] as usize;
            let present = row.clone().filter(|i| numbers.is_valid(*i));
            let norm = norm(present.map(|i| numbers.value(i)), p);
            if norm != 0.0 {
                values[row].iter_mut().for_each(|x| *x /= norm);
            }
        }
        let values = Float64Array::new(values.into(), numbers.nulls().cloned());
        Ok(Arc::new(ListArray::try_new(
            item(),
            lists.offsets().clone(),
            Arc::new(values),
            lists.nulls().cloned(),
        )?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;

    use super::*;
    use crate::testing::{call, constant, error, list, null};

    fn of(values: Vec<Option<f64>>, p: f64) -> Result<Vec<Option<f64>>> {
        let args = [list(Float64Array::from(values)), constant(p)];
        let result = call(Normalizer, &args)?;
        let first = result.as_list::<i32>().value(0);
        Ok(first.as_primitive::<Float64Type>().iter().collect())
    }

    #[test]
    fn norms() -> Result<()> {
        let x = vec![Some(3.0), None, Some(-4.0), Some(0.0)];
        let by = |n: f64| vec![Some(3.0 / n), None, Some(-4.0 / n), Some(0.0)];
        assert_eq!(of(x.clone(), 2.0)?, by(5.0));
        assert_eq!(of(x.clone(), 1.0)?, by(7.0));
        assert_eq!(of(x.clone(), 0.0)?, by(2.0));
        assert_eq!(of(x.clone(), f64::INFINITY)?, by(4.0));
        let cube = of(x, 3.0)?[0].unwrap_or_default();
        assert!((cube - 3.0 / 91f64.cbrt()).abs() < 1e-15);
        Ok(())
    }

    #[test]
    fn zeros_extremes_and_nothing() -> Result<()> {
        assert_eq!(of(vec![Some(0.0), Some(0.0)], 2.0)?, [Some(0.0); 2]);
        assert_eq!(of(vec![], 2.0)?, []);
        assert_eq!(of(vec![None], 2.0)?, [None]);
        let half = 0.5f64.sqrt();
        for huge in [1e300, 1e-300] {
            let found = of(vec![Some(huge), Some(huge)], 2.0)?[0].unwrap_or_default();
            assert!((found - half).abs() < 1e-15, "{found}");
        }
        let infinite = of(vec![Some(1.0), Some(f64::INFINITY)], 2.0)?;
        assert_eq!(infinite[0], Some(0.0));
        assert!(infinite[1].is_some_and(f64::is_nan));
        assert!(of(vec![Some(1.0), Some(f64::NAN)], 2.0)?[0].is_some_and(f64::is_nan));
        assert_eq!(call(Normalizer, &[null(), constant(2)])?.null_count(), 1);
        Ok(())
    }

    #[test]
    fn wrong_arguments() {
        let numbers = list(Int32Array::from(vec![1, 2]));
        for p in [-1.0, 0.5, f64::NAN] {
            let message = error(call(Normalizer, &[numbers.clone(), constant(p)]));
            assert!(
                message.contains("p must be 0, or a number of at least 1"),
                "{message}"
            );
        }
        let message = error(call(Normalizer, &[constant(1), constant(2)]));
        assert!(
            message.contains("list must be a list of numbers"),
            "{message}"
        );
    }
}
