//! `is_outlier`: whether a value is far from the others.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type};
use datafusion_common::{Result, internal_err};

use super::spread::{self, MAD_FACTOR, Method, modified_z};
use crate::arrays::{float_type, only};
use crate::fitted::any::AnyState;
use crate::fitted::numbers::{of_group, read_params, write_params};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind, null, number};

const SPEC: Spec = Spec {
    name: "is_outlier",
    stage: Stage::Clean,
    kind: Kind::Fitted,
    summary: "Whether a number is far from the others. Where the others do not spread at all, any other value is an \
        outlier. NULL and NaN take no part in the statistics and give NULL; an infinity counts as beyond all other \
        values, but not for the mean and deviation of 'zscore'.",
    params: &[
        Param::data("x", "a number"),
        Param::option("method", "'iqr'", spread::METHOD),
        Param::option("k", "NULL", spread::K),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT x, is_outlier(x) OVER () FROM (VALUES (1), (2), (3), (4), (1000), (NULL)) AS t(x)",
        result: "1,false\n2,false\n3,false\n4,false\n1000,true\n,",
    }],
    source: "Tukey (1977) for 'iqr'; Iglewicz and Hoaglin (1993) for 'mad'",
    also: &["scipy.stats.zscore", "box plot whiskers"],
};

/// `is_outlier(x, method => 'iqr', k => NULL) OVER (...)`.
#[derive(Debug, Clone)]
pub struct IsOutlier {
    method: Method,
    k: f64,
}

impl Fitted for IsOutlier {
    type State = AnyState;
    type Prepared = Vec<Option<[f64; 2]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let (method, k) = spread::method(options)?;
        Ok(Self { method, k })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        let names = match self.method {
            Method::Iqr => ["lower", "upper"],
            Method::ZScore => ["mean", "deviation"],
            Method::Mad => ["median", "mad"],
        };
        Ok(names
            .map(|name| Field::new(name, DataType::Float64, true))
            .into_iter()
            .collect())
    }

    fn state(&self, _types: &[DataType]) -> Result<AnyState> {
        Ok(self.method.state())
    }

    fn finish(&self, _types: &[DataType], states: Vec<AnyState>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<_> = states
            .into_iter()
            .map(|state| {
                let measures = self.method.measure(state)?;
                Some(match self.method {
                    Method::Iqr => self.method.fences(measures, self.k),
                    Method::ZScore | Method::Mad => measures,
                })
            })
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
        let k = self.k;
        // 0 / 0 is NaN, which is not above k
        match self.method {
            Method::Iqr => judge(&args[0], prepared, groups, |x, [lower, upper]| {
                x < *lower || x > *upper
            }),
            Method::ZScore => judge(&args[0], prepared, groups, |x, [mean, deviation]| {
                (x - mean).abs() / deviation > k
            }),
            Method::Mad => judge(&args[0], prepared, groups, |x, measures| {
                modified_z(x, *measures).abs() > k
            }),
        }
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        let x = args[0].number();
        let [Some([a, b])] = read_params::<2>(fit)?[..] else {
            return Ok(Some(null(&DataType::Boolean)));
        };
        let k = number(self.k);
        Ok(Some(match self.method {
            Method::Iqr => {
                let fences = [(a, "<"), (b, ">")]
                    .into_iter()
                    .filter(|(f, _)| !f.is_nan());
                let beyond: Vec<_> = fences
                    .map(|(fence, sign)| format!("{x} {sign} {}", number(fence)))
                    .collect();
                if beyond.is_empty() {
                    format!("{x} <> {x}")
                } else {
                    beyond.join(" OR ")
                }
            }
            // any distance is too far where there is no spread
            Method::ZScore | Method::Mad if b == 0.0 => format!("{x} <> {}", number(a)),
            Method::ZScore => format!("ABS({x} - {}) / {} > {k}", number(a), number(b)),
            Method::Mad if b.is_infinite() => return Ok(None),
            Method::Mad => format!(
                "ABS({} * ({x} - {}) / {}) > {k}",
                number(MAD_FACTOR),
                number(a),
                number(b)
            ),
        }))
    }
}

fn judge(
    array: &ArrayRef,
    prepared: &[Option<[f64; 2]>],
    groups: Groups<'_>,
    far: impl Fn(f64, &[f64; 2]) -> bool,
) -> Result<ArrayRef> {
    let rows = array.len();
    if rows == 0 {
        return Ok(std::sync::Arc::new(BooleanArray::new_null(0)));
    }
    let floats: Vec<f64>;
    let values: &[f64] = match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().values(),
        DataType::Float32 => {
            let narrow = array.as_primitive::<Float32Type>().values();
            floats = narrow.iter().map(|x| f64::from(*x)).collect();
            &floats
        }
        other => return internal_err!("floats are expected, not {other}"),
    };
    let (far, present) = match groups {
        Groups::One => match of_group(prepared, groups, 0)? {
            None => return Ok(std::sync::Arc::new(BooleanArray::new_null(rows))),
            Some(p) => (
                BooleanBuffer::collect_bool(rows, |i| far(values[i], p)),
                BooleanBuffer::collect_bool(rows, |i| !values[i].is_nan()),
            ),
        },
        Groups::Each(index) => {
            let of_row = |i: usize| prepared.get(index[i] as usize).and_then(Option::as_ref);
            (
                BooleanBuffer::collect_bool(rows, |i| of_row(i).is_some_and(|p| far(values[i], p))),
                BooleanBuffer::collect_bool(rows, |i| !values[i].is_nan() && of_row(i).is_some()),
            )
        }
    };
    let present = NullBuffer::new(present);
    let nulls = NullBuffer::union(array.nulls(), Some(&present)).filter(|n| n.null_count() > 0);
    Ok(std::sync::Arc::new(BooleanArray::new(far, nulls)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{assert_bools, bind_error, fit_apply, floats, grouped};

    fn sample() -> ArrayRef {
        floats([
            Some(1.0),
            Some(2.0),
            Some(3.0),
            Some(4.0),
            None,
            Some(30.0),
            Some(f64::NAN),
            Some(3.0),
        ])
    }

    #[test]
    fn tukey() {
        // quartiles 2.25 and 3.75: the fences are 0 and 6
        let y = fit_apply::<IsOutlier>(&[], &[sample()]);
        let (t, f) = (Some(true), Some(false));
        assert_bools(&y, &[f, f, f, f, None, t, None, f]);
        let y = fit_apply::<IsOutlier>(&[("k", 18.into())], &[sample()]);
        assert_bools(&y, &[f, f, f, f, None, f, None, f]);
    }

    #[test]
    fn modified_z() {
        // median 3, MAD 1: 30 has 0.6745 * 27 = 18.2, 1 has 1.349
        let (t, f) = (Some(true), Some(false));
        let y = fit_apply::<IsOutlier>(&[("method", "mad".into())], &[sample()]);
        assert_bools(&y, &[f, f, f, f, None, t, None, f]);
        let options = [("method", "MAD".into()), ("k", 1.3.into())];
        let y = fit_apply::<IsOutlier>(&options, &[sample()]);
        assert_bools(&y, &[t, f, f, f, None, t, None, f]);
    }

    #[test]
    fn z_score() {
        let (t, f) = (Some(true), Some(false));
        // mean 7.17, deviation 10.25
        let options = [("method", "zscore".into()), ("k", 1.9.into())];
        let y = fit_apply::<IsOutlier>(&options, &[sample()]);
        assert_bools(&y, &[f, f, f, f, None, t, None, f]);
        let y = fit_apply::<IsOutlier>(&[("method", "zscore".into())], &[sample()]);
        assert_bools(&y, &[f, f, f, f, None, f, None, f]);
    }

    #[test]
    fn infinities_are_far() {
        let (t, f) = (Some(true), Some(false));
        let high = Some(f64::INFINITY);
        for method in ["iqr", "mad", "zscore"] {
            let x = floats([Some(1.0), Some(2.0), Some(3.0), Some(4.0), high, Some(2.0)]);
            let y = fit_apply::<IsOutlier>(&[("method", method.into())], &[x]);
            assert_bools(&y, &[f, f, f, f, t, f]);
        }
    }

    #[test]
    fn without_spread_the_others_are_far() {
        let (t, f) = (Some(true), Some(false));
        for method in ["iqr", "mad"] {
            let x = floats([Some(5.0), Some(5.0), Some(5.0), Some(5.0), Some(5.1)]);
            let y = fit_apply::<IsOutlier>(&[("method", method.into())], &[x]);
            assert_bools(&y, &[f, f, f, f, t]);
        }
        let x = floats([Some(5.0), Some(5.0), None]);
        let y = fit_apply::<IsOutlier>(&[("method", "zscore".into())], &[x]);
        assert_bools(&y, &[f, f, None]);
        let y = fit_apply::<IsOutlier>(&[], &[floats([None, Some(f64::NAN)])]);
        assert_bools(&y, &[None, None]);
    }

    #[test]
    fn by_group() {
        let x = floats([Some(1.0), Some(1.0), Some(9.0), Some(1.0), Some(1.0), None]);
        let y = grouped::<IsOutlier>(&[], &[x], &[0, 0, 0, 0, 0, 1]);
        let (t, f) = (Some(true), Some(false));
        assert_bools(&y, &[f, f, t, f, f, None]);
    }

    #[test]
    fn wrong_options() {
        let error = bind_error::<IsOutlier>(&[("method", "zscor".into())]);
        assert!(error.contains("did you mean 'zscore'?"), "{error}");
        let error = bind_error::<IsOutlier>(&[("k", (-1).into())]);
        assert!(
            error.contains("k must be a number of at least 0"),
            "{error}"
        );
    }
}
