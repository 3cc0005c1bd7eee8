//! `jitter(x, sigma, key)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_err};
use rand::Rng;
use rand_distr::StandardNormal;

use super::{draw, key};
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "jitter",
    stage: Stage::Random,
    kind: Kind::RowWise,
    summary: "The number with normal noise added, for training on more rows than there are.",
    params: &[
        Param::data("x", "a number"),
        Param::data("sigma", "the noise's standard deviation, in the units of x"),
        Param::optional_data(
            "key",
            "fresh_key()",
            "draws the same noise for the same key: random_key(seed, id); left out, every run draws afresh. \
             Columns jittered by one key get the same noise: write random_key(seed, id, 'column') for noise \
             of their own. A NULL key gives NULL",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT jitter(5, 0, 1), jitter(5, 1, 1) = jitter(5, 1, 1), jitter(NULL, 1, 1)",
        result: "5.0,true,",
    }],
    source: "x + sigma * z, z standard normal at the hash of the key (as random_normal, independent of it)",
    also: &["tf.keras.layers.GaussianNoise"],
};

#[derive(Debug)]
pub struct Jitter;

impl RowWise for Jitter {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        draw::coerce(&SPEC, types)
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        draw::each(&SPEC, args, |x, sigma, hash| {
            if sigma < 0.0 {
                return exec_err!(
                    "jitter: sigma must not be below 0, but is {sigma}. Write abs(...) of it if its sign has no meaning"
                );
            }
            let standard: f64 = key::rng(hash).sample(StandardNormal);
            Ok(x + sigma * standard)
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Float32Array, Int64Array};
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null};

    #[test]
    fn noise_has_the_moments() -> Result<()> {
        let keys = Int64Array::from_iter_values(0..100_000);
        let y = call(Jitter, &[constant(10), constant(2), column(keys)])?;
        let y = y.as_primitive::<Float64Type>().values();
        let mean = y.iter().sum::<f64>() / 1e5;
        let variance = y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
        // five standard errors
        assert!((mean - 10.0).abs() < 0.032, "{mean}");
        assert!((variance - 4.0).abs() < 0.09, "{variance}");
        Ok(())
    }

    #[test]
    fn nulls_nothing_and_float32() -> Result<()> {
        let x = Float32Array::from(vec![Some(1.5), None]);
        let y = call(Jitter, &[column(x), constant(0.0), constant(1)])?;
        assert_eq!(y.data_type(), &DataType::Float32);
        assert!(y.is_valid(0) && y.is_null(1));
        let none = call(Jitter, &[constant(1), constant(1), null()])?;
        assert_eq!(none.null_count(), 1);
        assert!(call(Jitter, &[empty(&DataType::Int8), constant(1), constant(1)])?.is_empty());
        Ok(())
    }

    #[test]
    fn a_negative_sigma_is_an_error() {
        let message = error(call(Jitter, &[constant(1), constant(-1), constant(1)]));
        assert!(
            message.contains("jitter: sigma must not be below 0"),
            "{message}"
        );
    }
}
