//! `jitter_scaled(x, sigma, key)`: noise in proportion to how much a column spreads.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, exec_err, plan_err};
use rand::Rng;
use rand_distr::StandardNormal;

use super::{draw, key};
use crate::fitted::moments::Moments;
use crate::fitted::numbers::{of_group, present, read_params, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "jitter_scaled",
    stage: Stage::Random,
    kind: Kind::Fitted,
    summary: "Adds normal noise whose standard deviation is sigma times that of the column; a constant stays. NULL, NaN \
        and infinite values take no part in the statistics; NULL and NaN give NULL, an infinity stays.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::data(
            "sigma",
            "the noise, in standard deviations of x, not below 0",
        ),
        Param::data(
            "key",
            "draws the same noise for the same key: random_key(seed, id), or a column. A NULL key gives NULL",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT jitter_scaled(x, 0, random_key(42, x)) OVER () FROM (VALUES (1), (2), (NULL)) AS t(x)",
            result: "1.0\n2.0\n",
        },
        Example {
            sql: "SELECT round(stddev(y - x), 1) FROM (SELECT x, jitter_scaled(x, 0.5, random_key(42, i)) OVER () AS y FROM (SELECT i, (i % 2) * 20 AS x FROM generate_series(1, 10000) AS t(i)))",
            result: "5.0",
        },
    ],
    source: "normal noise by the ziggurat method (Doornik 2005) over SplitMix64 at the hash of the key; the deviation is \
        exact and rounded once",
    also: &[
        "Gaussian noise injection",
        "torchvision.transforms.v2.GaussianNoise",
    ],
};

/// `jitter_scaled(x, sigma, key) OVER (...)`.
#[derive(Debug, Clone)]
pub struct JitterScaled;

impl Fitted for JitterScaled {
    type State = Moments;
    type Prepared = Vec<Option<[f64; 1]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(_options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != SPEC.params.len() {
            return plan_err!(
                "jitter_scaled: {} arguments given. Write {}",
                types.len(),
                SPEC.syntax()
            );
        }
        draw::coerce(&SPEC, types)
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        let deviation = Field::new("deviation", DataType::Float64, true);
        Ok(Fields::from(vec![deviation]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Moments> {
        Ok(Moments::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Moments>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .iter()
            .map(|state| state.deviation(0).map(|deviation| [deviation]))
            .collect();
        Ok(write_params(&rows))
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        read_params(params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let x = cast(&args[0], &DataType::Float64)?;
        let x: &Float64Array = x.as_primitive();
        let sigma = cast(&args[1], &DataType::Float64)?;
        let sigma: &Float64Array = sigma.as_primitive();
        let keys = &args[2];
        let hashes = key::hashes(SPEC.name, keys)?;
        let mut deviations = Vec::with_capacity(x.len());
        for row in 0..x.len() {
            deviations.push(*of_group(prepared, groups, row)?);
        }
        let fitted = BooleanBuffer::collect_bool(x.len(), |row| deviations[row].is_some());
        let nulls = NullBuffer::union(present(x).as_ref(), Some(&NullBuffer::new(fitted)));
        let nulls = NullBuffer::union(nulls.as_ref(), sigma.nulls());
        let nulls = NullBuffer::union(nulls.as_ref(), keys.logical_nulls().as_ref())
            .filter(|n| n.null_count() > 0);
        let mut values = Vec::with_capacity(x.len());
        for row in 0..x.len() {
            let present = nulls.as_ref().is_none_or(|n| n.is_valid(row));
            values.push(match deviations[row] {
                Some([deviation]) if present => {
                    let sigma = sigma.value(row);
                    if sigma < 0.0 {
                        return exec_err!(
                            "jitter_scaled: sigma must not be below 0, but is {sigma}. Write abs(...) of it if its sign has no meaning"
                        );
                    }
                    let standard: f64 = key::rng(hashes[row]).sample(StandardNormal);
                    x.value(row) + sigma * deviation * standard
                }
                _ => 0.0,
            });
        }
        let jittered: ArrayRef = Arc::new(Float64Array::try_new(values.into(), nulls)?);
        Ok(cast(&jittered, args[0].data_type())?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int64Array};
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::fitted::testing::{
        assert_floats, coerce_error, fit_apply, floats, grouped, texts, try_apply_to,
    };

    fn keys(n: i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(0..n))
    }

    #[test]
    fn noise_in_deviations() {
        let n = 50_000;
        let x = floats((0..n).map(|i| Some(f64::from(i % 2) * 20.0)));
        let sigma = floats((0..n).map(|_| Some(0.5)));
        let y = fit_apply::<JitterScaled>(&[], &[Arc::clone(&x), sigma, keys(i64::from(n))]);
        let noise: Vec<f64> = y
            .as_primitive::<Float64Type>()
            .values()
            .iter()
            .zip(x.as_primitive::<Float64Type>().values())
            .map(|(y, x)| y - x)
            .collect();
        let mean = noise.iter().sum::<f64>() / f64::from(n);
        let deviation = (noise.iter().map(|d| d * d).sum::<f64>() / f64::from(n)).sqrt();
        assert!(mean.abs() < 0.1, "{mean}");
        assert!((deviation - 5.0).abs() < 0.1, "{deviation}");
    }

    #[test]
    fn constants_missing_and_floats() {
        let sigma = || floats([Some(1.0), Some(1.0), Some(1.0)]);
        let y = fit_apply::<JitterScaled>(
            &[],
            &[floats([Some(0.1), None, Some(0.1)]), sigma(), keys(3)],
        );
        assert_floats(&y, &[Some(0.1), None, Some(0.1)]);
        let y = fit_apply::<JitterScaled>(
            &[],
            &[floats([None, Some(f64::NAN), None]), sigma(), keys(3)],
        );
        assert_floats(&y, &[None, None, None]);
        let x = floats([Some(1.0), Some(f64::INFINITY), Some(5.0)]);
        let none: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), None]));
        let y = fit_apply::<JitterScaled>(&[], &[x, sigma(), none]);
        assert_floats(&y, &[None, Some(f64::INFINITY), None]);
        let x: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0]));
        let y = fit_apply::<JitterScaled>(&[], &[x, sigma(), keys(3)]);
        assert_eq!(y.data_type(), &DataType::Float32);
    }

    #[test]
    fn by_group() {
        let x = floats([Some(1.0), Some(5.0), Some(3.0), None]);
        let sigma = floats([Some(0.0), Some(2.0), Some(0.0), Some(1.0)]);
        let y = grouped::<JitterScaled>(&[], &[x, sigma, keys(4)], &[0, 1, 0, 2]);
        assert_floats(&y, &[Some(1.0), Some(5.0), Some(3.0), None]);
    }

    #[test]
    fn wrong_arguments() {
        let args = [floats([Some(1.0)]), floats([Some(-1.0)]), keys(1)];
        let error = try_apply_to::<JitterScaled>(&[], &args, &args).expect_err("an error");
        assert!(
            error
                .to_string()
                .contains("sigma must not be below 0, but is -1"),
            "{error}"
        );
        let types = [texts([]), floats([]), keys(0)].map(|a| a.data_type().clone());
        let error = coerce_error::<JitterScaled>(&[], &types);
        assert!(error.contains("x must be a number, not text"), "{error}");
    }
}
