//! `woe_encode`: categories to their weight of evidence.

use arrow::array::{ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Fields, Float64Type};
use datafusion_common::{Result, exec_err, internal_err, plan_err};

use super::category_values::{Known, Unknown, handle_unknown};
use crate::arrays::{float_type, is_text};
use crate::fitted::counts::{Counts, Lookup, category_type};
use crate::fitted::numbers::Reader;
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind};

const SPEC: Spec = Spec {
    name: "woe_encode",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "The weight of evidence of the row's category: the logarithm of its share of the rows where y is 1 over \
        its share of those where y is 0; above 0 where y is 1 more often than on the whole. NULL and NaN give NULL.",
    params: &[
        Param::data("x", "a text, number, boolean, date or time"),
        Param::data(
            "y",
            "the target, a boolean, or 0 and 1; rows where it is missing are not learnt from",
        ),
        Param::option(
            "regularization",
            "1.0",
            "added to the rows of each category with either target, and twice to those of all categories",
        ),
        handle_unknown(
            "what a category that was not there when fitting becomes: 'value' (0: no evidence), 'null' or 'error'",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT x, round(woe_encode(x, y) OVER (), 4) FROM (VALUES ('a', 1), ('a', 1), ('b', 0), ('b', 1), ('c', 0)) AS t(x, y)",
        result: "a,0.8755\na,0.8755\nb,-0.2231\nb,-0.2231\nc,0.0",
    }],
    source: "category_encoders' WOEEncoder, missing values left missing; as there, a category of one row gives 0",
    also: &["category_encoders.WOEEncoder", "woebin (scorecard)"],
};

/// The rows of each category, and those of them whose target is 1.
#[derive(Debug)]
pub struct Evidence {
    all: Counts,
    positive: Counts,
}

impl State for Evidence {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [x, y] = values else {
            return internal_err!("woe_encode: {} columns", values.len());
        };
        let y = y.as_primitive::<Float64Type>();
        let target = |y: Option<f64>| y.filter(|y| !y.is_nan());
        if let Some(wrong) = y
            .iter()
            .find_map(|y| target(y).filter(|y| *y != 0.0 && *y != 1.0))
        {
            return exec_err!(
                "woe_encode: y must be 0 or 1, not {wrong}. Write woe_encode(x, y > ...) to make two classes of it"
            );
        }
        let present: BooleanArray = y.iter().map(|y| Some(target(y).is_some())).collect();
        let positive: BooleanArray = y.iter().map(|y| Some(y == Some(1.0))).collect();
        self.all.update(&[filter(x, &present)?])?;
        self.positive.update(&[filter(x, &positive)?])
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.all.merge(other.all)?;
        self.positive.merge(other.positive)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut all = Vec::new();
        self.all.encode(&mut all)?;
        out.extend((all.len() as u64).to_le_bytes());
        out.extend(all);
        self.positive.encode(out)
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader(bytes);
        let all = reader.length().and_then(|n| reader.bytes(n));
        let Some(all) = all else {
            return internal_err!(
                "woe_encode: a state of {} bytes cannot be read",
                bytes.len()
            );
        };
        self.all.decode(all)?;
        self.positive.decode(reader.0)
    }

    fn size(&self) -> usize {
        self.all.size() + self.positive.size()
    }
}

impl Evidence {
    /// The categories and the weight of evidence of each.
    #[expect(clippy::cast_precision_loss, reason = "weights are floats")]
    fn weights(&self, regularization: f64) -> Result<(ArrayRef, Vec<f64>)> {
        let (categories, counts) = self.all.sorted()?;
        let (with_positive, positives) = self.positive.sorted()?;
        let codes: Vec<u32> = (0u32..).take(categories.len()).collect();
        let lookup = Lookup::new(&categories, &codes)?;
        let mut positive = vec![0u64; categories.len()];
        for (code, n) in lookup.codes(&with_positive)?.iter().zip(&positives) {
            if let Some(positive) = positive.get_mut(*code as usize) {
                *positive = *n;
            }
        }
        let ones: u64 = positives.iter().sum();
        let zeros = counts.iter().sum::<u64>() - ones;
        let share =
            |n: u64, of: u64| (n as f64 + regularization) / (of as f64 + 2.0 * regularization);
        let weights = counts
            .iter()
            .zip(&positive)
            .map(|(n, positive)| match n {
                1 => 0.0,
                n => (share(*positive, ones) / share(n - positive, zeros)).ln(),
            })
            .collect();
        Ok((categories, weights))
    }
}

/// `woe_encode(x, y, regularization => 1.0, handle_unknown => 'value') OVER (...)`.
#[derive(Debug, Clone)]
pub struct WoeEncode {
    regularization: f64,
    unknown: Unknown,
}

impl Fitted for WoeEncode {
    type State = Evidence;
    type Prepared = Vec<Option<Known<Float64Type>>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let regularization = options.float("regularization")?;
        if regularization <= 0.0 {
            return options.wrong(
                "regularization",
                "above 0 (a category may have rows of one target only)",
            );
        }
        Ok(Self {
            regularization,
            unknown: Unknown::new(options)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [x, y] = types else {
            return plan_err!(
                "woe_encode: two columns expected, {} given. Write {}",
                types.len(),
                SPEC.syntax()
            );
        };
        if *y != DataType::Null && is_text(y) {
            return plan_err!(
                "woe_encode: y must be a boolean, or 0 and 1, not text. Write woe_encode(x, y = '...')"
            );
        }
        float_type(&SPEC, "y", y)?;
        Ok(vec![category_type(&SPEC, "x", x)?, DataType::Float64])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Ok(Known::<Float64Type>::params(&types[0]))
    }

    fn state(&self, types: &[DataType]) -> Result<Evidence> {
        Ok(Evidence {
            all: Counts::new(&types[0])?,
            positive: Counts::new(&types[0])?,
        })
    }

    fn fit_args() -> &'static [usize] {
        &[1]
    }

    fn finish(&self, types: &[DataType], states: Vec<Evidence>) -> Result<Vec<ArrayRef>> {
        let groups = states
            .iter()
            .map(|state| state.weights(self.regularization))
            .collect::<Result<_>>()?;
        Known::<Float64Type>::finish(&types[0], groups)
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Known::prepare(&SPEC, params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        Known::apply(&SPEC, &args[0], prepared, groups, self.unknown)
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, _bind: &mut Bind<'_>) -> Result<Option<String>> {
        Known::<Float64Type>::sql(&args[0], fit, self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fitted::testing::{
        apply_to, assert_floats, bind_error, coerce_error, fit_apply, floats, grouped, texts,
    };

    fn columns() -> [ArrayRef; 2] {
        let x = ["a", "a", "b", "b", "c"].map(Some);
        let x = x.into_iter().chain([None, Some("d")]);
        let y = [1.0, 1.0, 0.0, 1.0, 0.0, 1.0].map(Some);
        let y = y.into_iter().chain([None]);
        [texts(x), floats(y)]
    }

    #[test]
    fn by_hand() {
        // 3 rows of 1 and 2 of 0: a has 2 and 0, b has 1 and 1
        let a = (3.0 / 5.0_f64 / (1.0 / 4.0)).ln();
        let b = (2.0 / 5.0_f64 / (2.0 / 4.0)).ln();
        let y = fit_apply::<WoeEncode>(&[], &columns());
        let (a, b, c, d) = (Some(a), Some(b), Some(0.0), Some(0.0));
        assert_floats(&y, &[a, a, b, b, c, None, d]);
        let y = grouped::<WoeEncode>(&[], &columns(), &[0, 1, 0, 1, 0, 1, 2]);
        assert_floats(&y, &[c, c, c, c, c, None, c]);
    }

    #[test]
    fn booleans_and_options() {
        let x = texts(["a", "a", "b", "b"].map(Some));
        let y: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true]));
        let half = |n: f64| n + 0.5;
        let a = (half(1.0) / half(3.5) / (half(1.0) / half(1.5))).ln();
        let b = (half(2.0) / half(3.5) / (half(0.0) / half(1.5))).ln();
        let given = [("regularization", 0.5.into())];
        let woe = fit_apply::<WoeEncode>(&given, &[x, y]);
        assert_floats(&woe, &[Some(a), Some(a), Some(b), Some(b)]);
        let error = bind_error::<WoeEncode>(&[("regularization", 0.into())]);
        assert!(error.contains("regularization must be above 0"), "{error}");
    }

    #[test]
    fn others() {
        let other = [texts([Some("new"), None]), floats([None, None])];
        let y = apply_to::<WoeEncode>(&[], &columns(), &other);
        assert_floats(&y, &[Some(0.0), None]);
        let given = [("handle_unknown", "null".into())];
        let y = apply_to::<WoeEncode>(&given, &columns(), &other);
        assert_floats(&y, &[None, None]);
    }

    #[test]
    fn targets_of_two_classes() {
        let error = coerce_error::<WoeEncode>(&[], &[DataType::Utf8, DataType::Utf8]);
        assert!(error.contains("Write woe_encode(x, y = '...')"), "{error}");
        let fitted = WoeEncode {
            regularization: 1.0,
            unknown: Unknown::Zero,
        };
        let types = [DataType::Utf8View, DataType::Float64];
        let mut state = fitted.state(&types).expect("a state");
        let error = state.update(&[texts([Some("a")]), floats([Some(2.0)])]);
        let error = error.expect_err("an error").to_string();
        assert!(error.contains("y must be 0 or 1, not 2"), "{error}");
    }

    #[test]
    fn one_class_and_nothing() {
        let x = texts([Some("a"), Some("a"), None]);
        let y = fit_apply::<WoeEncode>(&[], &[Arc::clone(&x), floats([Some(1.0); 3])]);
        let weight = (3.0 / 4.0_f64 / (1.0 / 2.0)).ln();
        assert_floats(&y, &[Some(weight), Some(weight), None]);
        let y = fit_apply::<WoeEncode>(&[], &[x, floats([None; 3])]);
        assert_floats(&y, &[Some(0.0), Some(0.0), None]);
    }
}
