//! `random_normal(mu, sigma, key)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_err};
use rand::Rng;
use rand_distr::StandardNormal;

use super::{draw, key};
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "random_normal",
    stage: Stage::Random,
    kind: Kind::RowWise,
    summary: "A random number of the normal distribution.",
    params: &[
        Param::data("mu", "the mean"),
        Param::data("sigma", "the standard deviation, not below 0"),
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
            sql: "SELECT random_normal(0, 1, random_key(42, 1)), random_normal(100, 15, random_key(42, 2))",
            result: "0.021623132760839825,94.22683794188929",
        },
        Example {
            sql: "SELECT round(avg(x)), round(stddev(x)) FROM (SELECT random_normal(100, 15, i) AS x FROM generate_series(1, 100000) AS t(i))",
            result: "100.0,15.0",
        },
    ],
    source: "the ziggurat method (Doornik 2005) over SplitMix64 (Steele, Lea and Flood 2014) at the hash of the key",
    also: &[
        "numpy.random.Generator.normal",
        "pyspark.sql.functions.randn",
    ],
};

#[derive(Debug)]
pub struct RandomNormal;

impl RowWise for RandomNormal {
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
        draw::each(&SPEC, args, |mu, sigma, hash| {
            if sigma < 0.0 {
                return exec_err!(
                    "random_normal: sigma must not be below 0, but is {sigma}. Write abs(...) of it if its sign has no meaning"
                );
            }
            let standard: f64 = key::rng(hash).sample(StandardNormal);
            Ok(mu + sigma * standard)
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Float32Array, Int64Array, UInt64Array};
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::testing::{call, column, constant, empty, error};

    fn keys(n: i64) -> Int64Array {
        Int64Array::from_iter_values(0..n)
    }

    /// Must never change.
    #[test]
    fn golden() -> Result<()> {
        let keys = UInt64Array::from(vec![16_558_740_267_870_300_399, 11_283_862_940_551_401_008]);
        let result = call(RandomNormal, &[constant(0), constant(1), column(keys)])?;
        let result = result.as_primitive::<Float64Type>().values();
        assert_eq!(result, &[0.021623132760839825, -0.38487747054071386]);
        Ok(())
    }

    #[test]
    fn is_normal() -> Result<()> {
        let args = [constant(0), constant(1), column(keys(200_000))];
        let result = call(RandomNormal, &args)?;
        let values = result.as_primitive::<Float64Type>().values().to_vec();
        let n = values.len() as f64;
        let moment = |k: i32| values.iter().map(|v| v.powi(k)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.01);
        assert!((moment(2) - 1.0).abs() < 0.02);
        assert!(moment(3).abs() < 0.05);
        assert!((moment(4) - 3.0).abs() < 0.1);
        let within = values.iter().filter(|v| v.abs() < 1.959_964).count() as f64 / n;
        assert!((within - 0.95).abs() < 0.003, "{within}");
        Ok(())
    }

    #[test]
    fn a_batch_may_be_cut_anywhere() -> Result<()> {
        let bound = [constant(0), constant(1)];
        let all = call(RandomNormal, &[&bound[..], &[column(keys(10))]].concat())?;
        for cut in 0..=10 {
            let parts = [keys(10).slice(0, cut), keys(10).slice(cut, 10 - cut)]
                .map(|k| call(RandomNormal, &[&bound[..], &[column(k)]].concat()));
            let [a, b] = parts;
            assert_eq!(&arrow::compute::concat(&[&a?, &b?])?, &all);
        }
        Ok(())
    }

    #[test]
    fn edges() -> Result<()> {
        let mu = Float32Array::from(vec![Some(1.5), None, Some(f32::INFINITY)]);
        let sigma = Float32Array::from(vec![0.0, 1.0, 1.0]);
        let result = call(RandomNormal, &[column(mu), column(sigma), column(keys(3))])?;
        let expected = Float32Array::from(vec![Some(1.5), None, Some(f32::INFINITY)]);
        assert_eq!(result.as_ref(), &expected as &dyn Array);
        let none = empty(&DataType::Int64);
        assert!(call(RandomNormal, &[constant(0), constant(1), none])?.is_empty());
        let message = error(call(
            RandomNormal,
            &[constant(0), constant(-1), constant(1)],
        ));
        assert!(
            message.contains("sigma must not be below 0, but is -1"),
            "{message}"
        );
        Ok(())
    }
}
