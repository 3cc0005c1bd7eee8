//! `quantile_transform`: to the uniform or the normal distribution.

use std::sync::LazyLock;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Fields};
use datafusion_common::Result;

use crate::arrays::{float_type, only};
use crate::fitted::numbers::{list_field, map_floats, read_lists, write_lists};
use crate::fitted::quantiles::Quantiles;
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{self, Arg, Bind, case, null, number, polynomial, rounded};

const SPEC: Spec = Spec {
    name: "quantile_transform",
    stage: Stage::Normalize,
    kind: Kind::Fitted,
    summary: "Gives a number the share of values below it, from 0 to 1, or the number of the normal distribution that \
        has that share below it, clipped to +-5.199; between quantiles in proportion. A constant becomes the least of \
        these. NULL and NaN take no part in the statistics and give NULL; an infinity counts as beyond all other values.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option(
            "output",
            "'uniform'",
            "the distribution to get: 'uniform' or 'normal'",
        ),
        Param::option(
            "n_quantiles",
            "1000",
            "how many quantiles are taken, at least 1; no more than there are values",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT quantile_transform(x) OVER () FROM (VALUES (1), (2), (30), (400), (5000), (NULL)) AS t(x)",
            result: "0.0\n0.25\n0.5\n0.75\n1.0\n",
        },
        Example {
            sql: "SELECT round(quantile_transform(x, output => 'normal') OVER (), 4) FROM (VALUES (1), (2), (30), (400), (5000)) AS t(x)",
            result: "-5.1993\n-0.6745\n0.0\n0.6745\n5.1993",
        },
    ],
    source: "scikit-learn's QuantileTransformer(subsample=None), but the number of quantiles is limited by the values that \
        are there, and only values at the outer quantiles or beyond, not those within 1e-7 of them, are brought to the \
        ends; quantiles are exact. The normal distribution by Wichura's algorithm AS 241 (1988)",
    also: &[
        "sklearn.preprocessing.QuantileTransformer",
        "rank-based inverse normal transform",
        "PERCENT_RANK",
    ],
};

/// `quantile_transform(x, output => 'uniform', n_quantiles => 1000) OVER (...)`.
#[derive(Debug, Clone)]
pub struct QuantileTransform {
    normal: bool,
    quantiles: u64,
}

impl Fitted for QuantileTransform {
    type State = Quantiles;
    type Prepared = Vec<Option<Vec<f64>>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            normal: options.choice("output", &["uniform", "normal"])? == "normal",
            quantiles: options.integer("n_quantiles", 1)?.unsigned_abs(),
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![list_field("quantiles")]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Quantiles> {
        Ok(Quantiles::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Quantiles>) -> Result<Vec<ArrayRef>> {
        let lists = states.into_iter().map(|mut state| {
            let n = self.quantiles.min(state.total());
            // in percent first: so come scikit-learn's fractions about, to the bit
            let fractions: Vec<f64> = (0..n).map(|i| share(i, n) * 100.0 / 100.0).collect();
            let quantiles = state.quantiles(&fractions)?;
            let finite = quantiles[0].is_finite() && quantiles[quantiles.len() - 1].is_finite();
            if finite || n < state.total() {
                return Some(quantiles);
            }
            // a place that is rounded to just beside an infinity is infinite too; all values are their own quantiles
            let repeat = |(x, n): (f64, u64)| (0..n).map(move |_| x);
            Some(state.values().into_iter().flat_map(repeat).collect())
        });
        Ok(vec![write_lists(lists)])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let lists = read_lists(params)?;
        Ok(lists
            .into_iter()
            .map(|list| list.filter(|quantiles| !quantiles.is_empty()))
            .collect())
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        if self.normal {
            let ends = *ENDS;
            map_floats(&args[0], prepared, groups, |x, quantiles| {
                normal_quantile(share_below(x, quantiles), ends)
            })
        } else {
            map_floats(&args[0], prepared, groups, |x, quantiles| {
                // one quantile has no share above it
                if quantiles.len() == 1 {
                    0.0
                } else {
                    share_below(x, quantiles)
                }
            })
        }
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, bind: &mut Bind<'_>) -> Result<Option<String>> {
        let t = &args[0].data_type;
        let quantiles = read_lists(fit)?.pop().flatten().unwrap_or_default();
        if quantiles.is_empty() {
            return Ok(Some(null(t)));
        }
        let x = bind(args[0].number());
        // one quantile has no share above it
        if quantiles.len() == 1 && !self.normal {
            let least = [(format!("{x} IS NOT NULL"), number(0.0))];
            return Ok(Some(rounded(case(least, None), t)));
        }
        let Some(share) = share_sql(&x, &quantiles) else {
            return Ok(None);
        };
        let transformed = if self.normal {
            normal_quantile_sql(&share, bind)
        } else {
            share
        };
        Ok(Some(rounded(transformed, t)))
    }

    fn inverse(&self, types: &[DataType]) -> Option<DataType> {
        Some(types[0].clone())
    }

    fn invert(
        &self,
        values: &ArrayRef,
        _params: &StructArray,
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        map_floats(values, prepared, groups, |y, quantiles| {
            at_share(if self.normal { share_of_normal(y) } else { y }, quantiles)
        })
    }
}

/// The share that the `i`th of `n` quantiles has below it, as numpy.linspace gives it.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn share(i: u64, n: u64) -> f64 {
    match n {
        0 | 1 => 0.0,
        _ if i + 1 == n => 1.0,
        _ => i as f64 * (1.0 / (n - 1) as f64),
    }
}

/// The place of a number among ascending quantiles; of equal quantiles the middle.
#[inline]
fn share_below(x: f64, quantiles: &[f64]) -> f64 {
    let last = quantiles.len() - 1;
    // a number that is both the least and the greatest is the least
    if x <= quantiles[0] || x.is_nan() {
        return 0.0;
    }
    if x >= quantiles[last] {
        return 1.0;
    }
    let of = |i: usize| share(i as u64, quantiles.len() as u64);
    let above = quantiles.partition_point(|q| *q <= x);
    let (low, high) = (quantiles[above - 1], quantiles[above]);
    if low == x {
        let first = quantiles.partition_point(|q| *q < x);
        return 0.5 * (of(first) + of(above - 1));
    }
    let (from, to) = (of(above - 1), of(above));
    let part = match high - low {
        width if width.is_finite() => (x - low) / width,
        // two far ends of the floats, or an infinity, from which every distance is the whole one
        _ if low.is_finite() && high.is_finite() => {
            (x * 0.5 - low * 0.5) / (high * 0.5 - low * 0.5)
        }
        _ => match (low.is_finite(), high.is_finite()) {
            (true, _) => 0.0,
            (_, true) => 1.0,
            _ => 0.5,
        },
    };
    from + (to - from) * part
}

/// What scikit-learn clips to: the quantiles of 1e-7 and of 1 - 1e-7, but for a last bit.
static ENDS: LazyLock<[f64; 2]> = LazyLock::new(|| {
    let tail = 1e-7 - f64::EPSILON;
    [tail, 1.0 - tail].map(|p| normal_quantile(p, [f64::NEG_INFINITY, f64::INFINITY]))
});

/// The coefficients of Wichura's algorithm: of numerator and denominator, from the highest power down.
#[expect(clippy::excessive_precision, reason = "the digits as published")]
const NEAR: [(f64, f64); 8] = [
    (2.509_080_928_730_122_672_7e3, 5.226_495_278_852_854_561_0e3),
    (3.343_057_558_358_812_810_5e4, 2.872_908_573_572_194_267_4e4),
    (6.726_577_092_700_870_085_3e4, 3.930_789_580_009_271_061_0e4),
    (4.592_195_393_154_987_145_7e4, 2.121_379_430_158_659_586_7e4),
    (1.373_169_376_550_946_112_5e4, 5.394_196_021_424_751_107_7e3),
    (1.971_590_950_306_551_442_7e3, 6.871_870_074_920_579_083_0e2),
    (1.331_416_678_917_843_774_5e2, 4.231_333_070_160_091_125_2e1),
    (3.387_132_872_796_366_608_0, 1.0),
];
/// The same, for shares near 0 and 1.
#[expect(clippy::excessive_precision, reason = "the digits as published")]
const FAR: [(f64, f64); 8] = [
    (
        7.745_450_142_783_414_076_40e-4,
        1.050_750_071_644_416_843_24e-9,
    ),
    (
        2.272_384_498_926_918_458_33e-2,
        5.475_938_084_995_344_946_00e-4,
    ),
    (
        2.417_807_251_774_506_117_70e-1,
        1.519_866_656_361_645_719_66e-2,
    ),
    (
        1.270_458_252_452_368_382_58,
        1.481_039_764_274_800_745_90e-1,
    ),
    (
        3.647_848_324_763_204_605_04,
        6.897_673_349_851_000_045_50e-1,
    ),
    (5.769_497_221_460_691_405_50, 1.676_384_830_183_803_849_40),
    (4.630_337_846_156_545_295_90, 2.053_191_626_637_758_821_87),
    (1.423_437_110_749_683_577_34, 1.0),
];

/// The share of the standard normal distribution below a number, by the series of Marsaglia (2004).
/// Beyond the ends that [`normal_quantile`] clips to it is 0 or 1, as scikit-learn has it.
fn share_of_normal(z: f64) -> f64 {
    const TAIL: f64 = 1e-7;
    if z.abs() > 8.0 {
        return if z > 0.0 { 1.0 } else { 0.0 };
    }
    let square = z * z;
    let (mut sum, mut term, mut odd) = (z, z, 1.0);
    loop {
        odd += 2.0;
        term *= square / odd;
        let next = sum + term;
        if next == sum || next.is_nan() {
            break;
        }
        sum = next;
    }
    let density = (-0.5 * square).exp() / std::f64::consts::TAU.sqrt();
    match 0.5 + sum * density {
        share if share < TAIL => 0.0,
        share if share > 1.0 - TAIL => 1.0,
        share => share,
    }
}

/// The number that has a share of the values below it; between quantiles in proportion.
fn at_share(share: f64, quantiles: &[f64]) -> f64 {
    let last = quantiles.len() - 1;
    if share <= 0.0 {
        return quantiles[0];
    }
    if share >= 1.0 {
        return quantiles[last];
    }
    let of = |i: usize| self::share(i as u64, quantiles.len() as u64);
    let below = ((share * last as f64) as usize).min(last.saturating_sub(1));
    let above = (below + 1).min(last);
    let (low, high) = (quantiles[below], quantiles[above]);
    if low == high {
        return low;
    }
    let part = (share - of(below)) / (of(above) - of(below));
    low + (high - low) * part
}

/// Plain SQL of [`share_below`]; infinite quantiles have none.
fn share_sql(x: &str, quantiles: &[f64]) -> Option<String> {
    let n = quantiles.len() as u64;
    let (low, high) = (*quantiles.first()?, *quantiles.last()?);
    if !(high - low).is_finite() {
        return None;
    }
    let mut branches = vec![(format!("{x} <= {}", number(low)), number(0.0))];
    let mut from = 0;
    for run in quantiles.chunk_by(|a, b| a == b) {
        let (first, last) = (from, from + run.len() - 1);
        from += run.len();
        let value = run[0];
        let (of_first, of_last) = (share(first as u64, n), share(last as u64, n));
        if first > 0 {
            let (low, of_low) = (quantiles[first - 1], share(first as u64 - 1, n));
            branches.push((
                format!("{x} < {}", number(value)),
                format!(
                    "{} + {} * (({x} - {}) / {})",
                    number(of_low),
                    number(of_first - of_low),
                    number(low),
                    number(value - low)
                ),
            ));
        }
        if first > 0 && from < quantiles.len() {
            let middle = 0.5 * (of_first + of_last);
            branches.push((format!("{x} = {}", number(value)), number(middle)));
        }
    }
    branches.push((format!("{x} >= {}", number(high)), number(1.0)));
    Some(case(branches, None))
}

/// Plain SQL of [`normal_quantile`].
fn normal_quantile_sql(share: &str, bind: &mut Bind<'_>) -> String {
    let [min, max] = *ENDS;
    let ratio = |r: &str, terms: &[(f64, f64); 8]| {
        let above = polynomial(r, terms.iter().map(|t| t.0));
        let below = polynomial(r, terms.iter().map(|t| t.1));
        format!("{above} / {below}")
    };
    let p = bind(share.to_string());
    // the ends are clipped: there the logarithm has no value
    let tail = bind(case(
        [(
            format!("{p} > 0e0 AND {p} < 1e0"),
            format!("SQRT(-LN(CASE WHEN {p} < 5e-1 THEN {p} ELSE 1e0 - {p} END))"),
        )],
        None,
    ));
    let near = bind(format!("1.80625e-1 - ({p} - 5e-1) * ({p} - 5e-1)"));
    let far = bind(format!("{tail} - 1.6e0"));
    let sign = case([(format!("{p} < 5e-1"), "(-1e0)".to_string())], Some("1e0"));
    let z = bind(case(
        [
            (format!("{p} <= 0e0"), number(min)),
            (format!("{p} >= 1e0"), number(max)),
            (
                format!("ABS({p} - 5e-1) <= 4.25e-1"),
                format!("({p} - 5e-1) * {}", ratio(&near, &NEAR)),
            ),
            (
                format!("{p} IS NOT NULL"),
                format!("{sign} * {}", ratio(&far, &FAR)),
            ),
        ],
        None,
    ));
    sql::clamp(&z, min, max)
}

/// The number that a share `p` of the standard normal distribution is below, clipped. Meant for the shares
/// between 1.4e-11 and 1 less that; beyond them it is the end.
fn normal_quantile(p: f64, [min, max]: [f64; 2]) -> f64 {
    let ratio = |r: f64, terms: &[(f64, f64); 8]| {
        let sum = |(a, b): (f64, f64), (c, d): &(f64, f64)| (a * r + c, b * r + d);
        let (above, below) = terms.iter().fold((0.0, 0.0), sum);
        above / below
    };
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return (q * ratio(0.180_625 - q * q, &NEAR)).clamp(min, max);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-tail.ln()).sqrt();
    if r > 5.0 {
        return if q < 0.0 { min } else { max };
    }
    ratio(r - 1.6, &FAR).copysign(q).clamp(min, max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{apply_to, assert_floats, bind_error, fit_apply, floats, grouped};

    #[test]
    fn shares() {
        let x = floats([Some(10.0), None, Some(30.0), Some(f64::NAN), Some(20.0)]);
        let y = fit_apply::<QuantileTransform>(&[], std::slice::from_ref(&x));
        assert_floats(&y, &[Some(0.0), None, Some(1.0), None, Some(0.5)]);
        let other = floats([Some(-5.0), Some(12.0), Some(29.0), Some(1e9)]);
        let y = apply_to::<QuantileTransform>(&[], &[x], &[other]);
        assert_floats(&y, &[Some(0.0), Some(0.1), Some(0.95), Some(1.0)]);
    }

    #[test]
    fn equal_values_get_the_middle() {
        let x = floats([Some(1.0), Some(2.0), Some(2.0), Some(2.0), Some(3.0)]);
        let y = fit_apply::<QuantileTransform>(&[], &[x]);
        assert_floats(&y, &[Some(0.0), Some(0.5), Some(0.5), Some(0.5), Some(1.0)]);
        // two quantiles are the extremes
        let x = floats([Some(1.0), Some(2.0), Some(2.0), Some(1.5)]);
        let y = fit_apply::<QuantileTransform>(&[("n_quantiles", 2.into())], &[x]);
        assert_floats(&y, &[Some(0.0), Some(1.0), Some(1.0), Some(0.5)]);
    }

    #[test]
    fn shares_of_the_normal_distribution() {
        // scipy.stats.norm.cdf
        for (z, share) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.96, 0.024_997_895_148_220_43),
            (-4.753_424_308_822_899, 1e-6),
            (-6.0, 0.0),
            (6.0, 1.0),
            (f64::INFINITY, 1.0),
        ] {
            let found = share_of_normal(z);
            assert!((found - share).abs() < 1e-15, "{found} instead of {share}");
        }
        assert!(share_of_normal(f64::NAN).is_nan());
    }

    #[test]
    fn undone() {
        let x = floats([0.0, 1.0, 4.0, 10.0].map(Some));
        let y = floats([
            Some(-1.0),
            Some(0.0),
            Some(0.5),
            None,
            Some(1.0),
            Some(f64::NAN),
        ]);
        let back = crate::fitted::testing::undo::<QuantileTransform>(&[], &[x], &y);
        assert_floats(
            &back,
            &[Some(0.0), Some(0.0), Some(2.5), None, Some(10.0), None],
        );
    }

    #[test]
    fn normal_quantiles() {
        // scipy.stats.norm.ppf
        for (p, z) in [
            (0.5, 0.0),
            (0.1, -1.281_551_565_544_600_4),
            (0.25, -0.674_489_750_196_081_7),
            (0.975, 1.959_963_984_540_054),
            (1e-3, -3.090_232_306_167_813),
            (1e-6, -4.753_424_308_822_899),
        ] {
            let found = normal_quantile(p, *ENDS);
            assert!(
                (found - z).abs() <= 1e-15 * z.abs(),
                "{found} instead of {z}"
            );
        }
        let [min, max] = *ENDS;
        assert!((min + 5.199_337_582_605_575).abs() < 1e-14, "{min}");
        assert!((max - 5.199_337_582_702_823).abs() < 1e-9, "{max}");
        for (p, z) in [(0.0, min), (1e-12, min), (1.0, max), (1.0 - 1e-12, max)] {
            assert_eq!(normal_quantile(p, *ENDS), z);
        }
    }

    #[test]
    fn constants_missing_and_infinities() {
        let y = fit_apply::<QuantileTransform>(&[], &[floats([Some(5.0), Some(5.0), None])]);
        assert_floats(&y, &[Some(0.0), Some(0.0), None]);
        let normal = [("output", "normal".into())];
        let y = fit_apply::<QuantileTransform>(&normal, &[floats([Some(5.0), None])]);
        assert_floats(&y, &[Some(ENDS[0]), None]);
        let y = fit_apply::<QuantileTransform>(&normal, &[floats([None, Some(f64::NAN)])]);
        assert_floats(&y, &[None, None]);
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let x = floats([low, 1.0, 2.0, high].map(Some));
        let y = fit_apply::<QuantileTransform>(&[], std::slice::from_ref(&x));
        assert_floats(&y, &[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0].map(Some));
        let other = floats([-1e300, 1.5, 1e300].map(Some));
        let y = apply_to::<QuantileTransform>(&[], &[x], &[other]);
        assert_floats(&y, &[1.0 / 3.0, 0.5, 2.0 / 3.0].map(Some));
        let x = floats([-f64::MAX, f64::MAX].map(Some));
        let y = apply_to::<QuantileTransform>(&[], &[x], &[floats([Some(0.0)])]);
        assert_floats(&y, &[Some(0.5)]);
    }

    #[test]
    fn by_group() {
        let x = floats([Some(0.0), Some(5.0), Some(2.0), Some(1.0), None]);
        let y = grouped::<QuantileTransform>(&[], &[x], &[0, 1, 0, 0, 2]);
        assert_floats(&y, &[Some(0.0), Some(0.0), Some(1.0), Some(0.5), None]);
    }

    #[test]
    fn wrong_options() {
        let error = bind_error::<QuantileTransform>(&[("output", "norml".into())]);
        assert!(error.contains("did you mean 'normal'?"), "{error}");
        let error = bind_error::<QuantileTransform>(&[("n_quantiles", 0.into())]);
        assert!(
            error.contains("n_quantiles must be a whole number of at least 1"),
            "{error}"
        );
    }
}
