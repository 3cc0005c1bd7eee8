//! `quantile_bucketize`: bins of equally many rows.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Fields};
use datafusion_common::Result;

use super::bins::{self, Bins, Output};
use crate::arrays::{float_type, only};
use crate::fitted::numbers::{list_field, write_lists};
use crate::fitted::quantiles::{Method, QUANTILE_METHOD, Quantiles};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "quantile_bucketize",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "Cuts a number into n bins of about equally many rows, at its quantiles; edges that are equal become one, \
        so that there may be fewer bins. NULL and NaN give NULL; an infinity counts as beyond all other values. Values \
        beyond those fitted fall into the outer bins.",
    params: &[
        Param::data("x", "a number"),
        Param::option("n", "10", "the number of bins, at least 2"),
        Param::option("output", "'index'", bins::OUTPUT),
        QUANTILE_METHOD,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT quantile_bucketize(x, 2) OVER () FROM (VALUES (1), (2), (3), (1000), (NULL)) AS t(x)",
            result: "0\n0\n1\n1\n",
        },
        Example {
            sql: "SELECT quantile_bucketize(x, n => 2, output => 'range') OVER () FROM (VALUES (1), (2), (3), (1000)) AS t(x)",
            result: "\"(-inf, 2.5)\"\n\"(-inf, 2.5)\"\n\"[2.5, +inf)\"\n\"[2.5, +inf)\"",
        },
    ],
    source: "scikit-learn's KBinsDiscretizer(strategy='quantile', quantile_method='linear' or 'inverted_cdf'); quantiles are exact",
    also: &[
        "sklearn.preprocessing.KBinsDiscretizer",
        "pandas.qcut",
        "ML.QUANTILE_BUCKETIZE (BigQuery)",
        "QuantileDiscretizer (Spark ML)",
        "NTILE",
    ],
};

/// `quantile_bucketize(x, n => 10, output => 'index', quantile_method => 'linear') OVER (...)`.
#[derive(Debug, Clone)]
pub struct QuantileBucketize {
    n: u32,
    output: Output,
    method: Method,
}

impl Fitted for QuantileBucketize {
    type State = Quantiles;
    type Prepared = Vec<Option<Bins>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let Ok(n) = u32::try_from(options.integer("n", 2)?) else {
            return options.wrong("n", "below 2^32");
        };
        Ok(Self {
            n,
            output: Output::of(options.choice("output", &Output::CHOICES)?),
            method: Method::new(options)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.output.data_type())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![list_field("edges")]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Quantiles> {
        Ok(Quantiles::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Quantiles>) -> Result<Vec<ArrayRef>> {
        // in percent first: so come numpy's fractions about, to the bit
        let step = 100.0 / f64::from(self.n);
        let mut fractions: Vec<f64> = (0..self.n).map(|i| f64::from(i) * step / 100.0).collect();
        fractions.push(1.0);
        let edges = states.into_iter().map(|mut state| {
            let mut edges = state.quantiles_by(&fractions, self.method)?;
            edges.dedup();
            Some(edges)
        });
        Ok(vec![write_lists(edges)])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        bins::read(params, self.output)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        bins::cut(&args[0], prepared, groups, self.output)
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        bins::sql(&args[0], fit, self.output)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};

    use super::*;
    use crate::fitted::testing::{apply_to, bind_error, fit_apply, floats, grouped};

    fn ints(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
        Arc::new(values.into_iter().collect::<Int64Array>())
    }

    #[test]
    fn deciles() {
        let x = floats((0..100).map(|i| Some(f64::from(i))));
        let y = fit_apply::<QuantileBucketize>(&[], &[x]);
        // the edges are 9.9, 19.8, ...
        let edges: Vec<f64> = (1..10).map(|i| f64::from(i) * 9.9).collect();
        let expected =
            (0..100).map(|i| Some(edges.iter().filter(|e| f64::from(i) >= **e).count() as i64));
        assert_eq!(&y, &ints(expected));
    }

    #[test]
    fn equal_edges_become_one() {
        let x = floats([
            Some(1.0),
            Some(1.0),
            Some(1.0),
            Some(2.0),
            None,
            Some(f64::NAN),
        ]);
        let y = fit_apply::<QuantileBucketize>(&[("n", 4.into())], &[x]);
        // quantiles 1, 1, 1, 1.25, 2
        assert_eq!(&y, &ints([Some(0), Some(0), Some(0), Some(1), None, None]));
        let y = fit_apply::<QuantileBucketize>(&[], &[floats([Some(5.0), Some(5.0)])]);
        assert_eq!(&y, &ints([Some(0), Some(0)]));
    }

    #[test]
    fn beyond_the_edges() {
        let fit = floats([Some(1.0), Some(2.0), Some(3.0)]);
        let other = floats([
            Some(f64::NEG_INFINITY),
            Some(0.0),
            Some(9.0),
            Some(f64::INFINITY),
        ]);
        let y = apply_to::<QuantileBucketize>(&[("n", 2.into())], &[fit], &[other]);
        assert_eq!(&y, &ints([Some(0), Some(0), Some(1), Some(1)]));
    }

    #[test]
    fn names() {
        let x = floats([Some(1.0), Some(2.0), Some(3.0), Some(4.0), None]);
        let options = [("n", 2.into()), ("output", "range".into())];
        let y = fit_apply::<QuantileBucketize>(&options, std::slice::from_ref(&x));
        let names: Vec<_> = y.as_string_view().iter().collect();
        let (low, high) = (Some("(-inf, 2.5)"), Some("[2.5, +inf)"));
        assert_eq!(names, [low, low, high, high, None]);
        let options = [("n", 2.into()), ("output", "label".into())];
        let y = grouped::<QuantileBucketize>(&options, &[x], &[0, 0, 1, 1, 2]);
        let names: Vec<_> = y.as_string_view().iter().collect();
        let (low, high) = (Some("bin_1"), Some("bin_2"));
        assert_eq!(names, [low, high, low, high, None]);
    }

    #[test]
    fn one_bin_is_refused() {
        let error = bind_error::<QuantileBucketize>(&[("n", 1.into())]);
        assert!(
            error.contains("n must be a whole number of at least 2"),
            "{error}"
        );
    }
}
