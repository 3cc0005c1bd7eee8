//! `random_uniform(lo, hi, key)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_err};
use rand::Rng;

use super::{draw, key};
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "random_uniform",
    stage: Stage::Random,
    kind: Kind::RowWise,
    summary: "A random number of [lo, hi), each equally likely.",
    params: &[
        Param::data("lo", "the smallest number"),
        Param::data("hi", "the number that all are below, unless it equals lo"),
        Param::optional_data(
            "key",
            "fresh_key()",
            "draws the same number for the same key: random_key(seed, id), or a column; left out, every \
             run draws afresh. A NULL key gives NULL",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT random_uniform(0, 10, random_key(42, 1)), random_uniform(0, 10, random_key(42, 2))",
            result: "8.57209415081767,8.846361844155009",
        },
        Example {
            sql: "SELECT min(u) >= -1 AND max(u) < 1 FROM (SELECT random_uniform(-1, 1) AS u FROM generate_series(1, 100))",
            result: "true",
        },
    ],
    source: "53 random bits of SplitMix64 (Steele, Lea and Flood 2014) at the hash of the key",
    also: &[
        "numpy.random.Generator.uniform",
        "pyspark.sql.functions.rand",
        "RAND",
    ],
};

#[derive(Debug)]
pub struct RandomUniform;

impl RowWise for RandomUniform {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        draw::coerce(&SPEC, types)
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        draw::return_type(types)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let float32 = args.return_type() == &DataType::Float32;
        draw::each(&SPEC, args, |lo, hi, hash| {
            if lo > hi {
                return exec_err!(
                    "random_uniform: lo must not be above hi, but lo is {lo} and hi is {hi}. \
                     Write random_uniform({hi}, {lo}, ...)"
                );
            }
            let unit: f64 = key::rng(hash).random();
            let value = lo + unit * (hi - lo);
            // rounding must not reach hi
            let end = if float32 {
                f64::from((hi as f32).next_down())
            } else {
                hi.next_down()
            };
            Ok(if lo < hi { value.min(end) } else { value })
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Float32Array, Float64Array, Int64Array, UInt64Array};
    use arrow::datatypes::{Float32Type, Float64Type};

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, texts};

    fn keys(n: i64) -> Int64Array {
        Int64Array::from_iter_values(0..n)
    }

    /// Made with Python's xxhash and a SplitMix64 of one's own; must never change.
    #[test]
    fn golden() -> Result<()> {
        let keys = UInt64Array::from(vec![16_558_740_267_870_300_399, 11_283_862_940_551_401_008]);
        let result = call(RandomUniform, &[constant(0), constant(10), column(keys)])?;
        let result = result.as_primitive::<Float64Type>().values();
        assert_eq!(result, &[8.57209415081767, 8.846361844155009]);
        Ok(())
    }

    #[test]
    fn is_uniform() -> Result<()> {
        let args = [constant(-2), constant(4), column(keys(100_000))];
        let result = call(RandomUniform, &args)?;
        let values = result.as_primitive::<Float64Type>().values().to_vec();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((variance - 3.0).abs() < 0.05, "{variance}");
        assert!(values.iter().all(|v| (-2.0..4.0).contains(v)));
        Ok(())
    }

    #[test]
    fn a_batch_may_be_cut_anywhere() -> Result<()> {
        let bound = [constant(0), constant(1)];
        let all = call(RandomUniform, &[&bound[..], &[column(keys(10))]].concat())?;
        for cut in 0..=10 {
            let parts = [keys(10).slice(0, cut), keys(10).slice(cut, 10 - cut)]
                .map(|k| call(RandomUniform, &[&bound[..], &[column(k)]].concat()));
            let [a, b] = parts;
            let joined = arrow::compute::concat(&[&a?, &b?])?;
            assert_eq!(&joined, &all);
        }
        Ok(())
    }

    #[test]
    fn the_key_counts_not_its_type() -> Result<()> {
        let bound = [constant(0), constant(1)];
        let a = call(RandomUniform, &[&bound[..], &[column(keys(3))]].concat())?;
        let unsigned = UInt64Array::from(vec![0, 1, 2]);
        let b = call(RandomUniform, &[&bound[..], &[column(unsigned)]].concat())?;
        assert_eq!(&a, &b);
        Ok(())
    }

    #[test]
    fn nulls_and_edges() -> Result<()> {
        let lo = Float64Array::from(vec![Some(1.0), None, Some(1.0), Some(f64::NAN)]);
        let key = Int64Array::from(vec![Some(1), Some(1), None, Some(1)]);
        let result = call(RandomUniform, &[column(lo), constant(1.0), column(key)])?;
        let result = result.as_primitive::<Float64Type>();
        assert_eq!(result.value(0), 1.0);
        assert!(result.is_null(1) && result.is_null(2) && result.value(3).is_nan());
        let none = call(RandomUniform, &[constant(0), constant(1), null()])?;
        assert_eq!(none.null_count(), 1);
        let none = call(
            RandomUniform,
            &[constant(0), constant(1), empty(&DataType::Utf8)],
        )?;
        assert!(none.is_empty());
        Ok(())
    }

    #[test]
    fn float32_stays_and_stays_below_hi() -> Result<()> {
        let lo = Float32Array::from(vec![16_777_215.0; 1000]);
        let hi = Float32Array::from(vec![16_777_216.0; 1000]);
        let result = call(RandomUniform, &[column(lo), column(hi), column(keys(1000))])?;
        let result = result.as_primitive::<Float32Type>();
        assert!(result.values().iter().all(|v| *v < 16_777_216.0));
        Ok(())
    }

    #[test]
    fn errors_say_what_to_write() {
        let message = error(call(
            RandomUniform,
            &[constant(2), constant(1), constant(1)],
        ));
        assert!(
            message.contains("lo is 2 and hi is 1. Write random_uniform(1, 2"),
            "{message}"
        );
        let message = error(call(
            RandomUniform,
            &[texts([Some("a")]), constant(1), constant(1)],
        ));
        assert!(message.contains("lo must be a number"), "{message}");
    }
}
