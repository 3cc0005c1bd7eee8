//! `uniform_bucketize`: bins of one width.

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Fields};
use datafusion_common::Result;

use super::bins::{self, Bins, Output};
use crate::arrays::{float_type, only};
use crate::fitted::extent::Extent;
use crate::fitted::numbers::{list_field, write_lists};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "uniform_bucketize",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "Cuts a number into n bins of one width between the smallest and the largest value; a constant has one \
        bin. NULL and NaN give NULL; infinite values take no part in the statistics. Values beyond those fitted fall \
        into the outer bins.",
    params: &[
        Param::data("x", "a number"),
        Param::option("n", "10", "the number of bins, at least 2"),
        Param::option("output", "'index'", bins::OUTPUT),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT uniform_bucketize(x, 4) OVER (), uniform_bucketize(x, 4, output => 'range') OVER () FROM (VALUES (0), (1), (6), (8), (NULL)) AS t(x)",
        result: "0,\"(-inf, 2)\"\n0,\"(-inf, 2)\"\n3,\"[6, +inf)\"\n3,\"[6, +inf)\"\n,",
    }],
    source: "scikit-learn's KBinsDiscretizer(strategy='uniform')",
    also: &[
        "sklearn.preprocessing.KBinsDiscretizer",
        "pandas.cut",
        "WIDTH_BUCKET",
        "feature_engine.discretisation.EqualWidthDiscretiser",
    ],
};

/// `uniform_bucketize(x, n => 10, output => 'index') OVER (...)`.
#[derive(Debug, Clone)]
pub struct UniformBucketize {
    n: u32,
    output: Output,
}

impl Fitted for UniformBucketize {
    type State = Extent;
    type Prepared = Vec<Option<Bins>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            n: bins::count(options)?,
            output: Output::of(options.choice("output", &Output::CHOICES)?),
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

    fn state(&self, _types: &[DataType]) -> Result<Extent> {
        Ok(Extent::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Extent>) -> Result<Vec<ArrayRef>> {
        let edges = states.iter().map(|state| {
            let (min, max) = state.range()?;
            Some(if min == max {
                vec![min, max]
            } else {
                bins::evenly(min, max, self.n)
            })
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
    fn one_width() {
        let x = floats([Some(0.0), Some(2.5), Some(2.4), None, Some(9.9), Some(10.0)]);
        let y = fit_apply::<UniformBucketize>(&[("n", 4.into())], &[x]);
        let expected = [Some(0), Some(1), Some(0), None, Some(3), Some(3)];
        assert_eq!(&y, &ints(expected));
    }

    #[test]
    fn beyond_the_edges() {
        let fit = floats([Some(1.0), Some(3.0), Some(f64::INFINITY), Some(f64::NAN)]);
        let far = [f64::NEG_INFINITY, 0.0, 2.0, 9.0, f64::INFINITY].map(Some);
        let y = apply_to::<UniformBucketize>(&[("n", 2.into())], &[fit], &[floats(far)]);
        assert_eq!(&y, &ints([0, 0, 1, 1, 1].map(Some)));
    }

    #[test]
    fn constants_missing_and_extremes() {
        let y = fit_apply::<UniformBucketize>(&[], &[floats([Some(5.0), Some(5.0), None])]);
        assert_eq!(&y, &ints([Some(0), Some(0), None]));
        let y = fit_apply::<UniformBucketize>(&[], &[floats([None, Some(f64::NAN)])]);
        assert_eq!(&y, &ints([None, None]));
        let x = floats([Some(-f64::MAX), Some(f64::MAX), Some(-1.0), Some(1.0)]);
        let y = fit_apply::<UniformBucketize>(&[("n", 2.into())], &[x]);
        assert_eq!(&y, &ints([0, 1, 0, 1].map(Some)));
    }

    #[test]
    fn names_by_group() {
        let x = floats([Some(1.0), Some(2.0), Some(3.0), Some(4.0), None]);
        let options = [("n", 2.into()), ("output", "range".into())];
        let y = grouped::<UniformBucketize>(&options, &[x], &[0, 0, 1, 1, 2]);
        let names: Vec<_> = y.as_string_view().iter().collect();
        let expected = ["(-inf, 1.5)", "[1.5, +inf)", "(-inf, 3.5)", "[3.5, +inf)"].map(Some);
        assert_eq!(names[..4], expected);
        assert_eq!(names[4], None);
    }

    #[test]
    fn wrong_numbers_of_bins() {
        let error = bind_error::<UniformBucketize>(&[("n", 1.into())]);
        assert!(error.contains("whole number of at least 2"), "{error}");
        let error = bind_error::<UniformBucketize>(&[("n", 100_001.into())]);
        assert!(error.contains("from 2 to 100000, not 100001"), "{error}");
    }
}
