//! `power_transform`: to a distribution as near to the normal one as a power gets.

use std::ops::Range;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, exec_err};
use rayon::prelude::*;

use crate::arrays::{float_type, only};
use crate::fitted::numbers::{map_floats, read_params, with_floats, write_params};
use crate::fitted::quantiles::{Distinct, Quantiles};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, Bind, case, null, number, rounded};

const SPEC: Spec = Spec {
    name: "power_transform",
    stage: Stage::Normalize,
    kind: Kind::Fitted,
    summary: "Takes the power that makes the column most like a normal distribution, then brings it to mean 0 and \
        standard deviation 1; a constant becomes 0. NULL, NaN and infinite values take no part in the statistics; NULL \
        and NaN give NULL, an infinity the limit of the power.",
    params: &[
        Param::data("x", "a number; FLOAT stays FLOAT, all else gives DOUBLE"),
        Param::option(
            "method",
            "'yeo-johnson'",
            "'yeo-johnson' takes all numbers, 'box-cox' numbers above 0; another number is an error then",
        ),
        Param::option(
            "standardize",
            "true",
            "whether the mean is brought to 0 and the standard deviation to 1",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT round(power_transform(x) OVER (), 3) FROM (VALUES (1), (2), (4), (8), (100), (NULL)) AS t(x)",
            result: "-1.318\n-0.692\n-0.067\n0.48\n1.597\n",
        },
        Example {
            sql: "SELECT round(power_transform(x, method => 'box-cox', standardize => false) OVER (), 3) FROM (VALUES (1), (10), (100)) AS t(x)",
            result: "0.0\n2.303\n4.605",
        },
    ],
    source: "scikit-learn's PowerTransformer: Box and Cox (1964), Yeo and Johnson (2000). The power is where the derivative \
        of the likelihood is 0, to 1e-10; scikit-learn's own search ends within about 1e-7 of it. As \
        there, a column so far from 0 that its power has no digits left becomes 0: subtract its minimum first",
    also: &[
        "sklearn.preprocessing.PowerTransformer",
        "scipy.stats.yeojohnson",
        "scipy.stats.boxcox",
    ],
};

/// `power_transform(x, method => 'yeo-johnson', standardize => true) OVER (...)`.
#[derive(Debug, Clone)]
pub struct PowerTransform {
    method: Method,
    standardize: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    YeoJohnson,
    BoxCox,
}

impl Fitted for PowerTransform {
    type State = Quantiles;
    type Prepared = Vec<Option<[f64; 3]>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let method = match options.choice("method", &["yeo-johnson", "box-cox"])? {
            "box-cox" => Method::BoxCox,
            _ => Method::YeoJohnson,
        };
        Ok(Self {
            method,
            standardize: options.bool("standardize")?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![float_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![
            Field::new("lambda", DataType::Float64, true),
            Field::new("mean", DataType::Float64, true),
            Field::new("scale", DataType::Float64, true),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Quantiles> {
        Ok(Quantiles::default())
    }

    fn finish(&self, _types: &[DataType], states: Vec<Quantiles>) -> Result<Vec<ArrayRef>> {
        let rows = states
            .into_iter()
            .map(|state| {
                let mut sample = Sample::new(state.into_distinct());
                if let Some(x) = sample.least {
                    self.method.check(x)?;
                }
                if sample.values.is_empty() {
                    return Ok(None);
                }
                let [lambda, mean, deviation] =
                    most_likely(self.method, &mut sample, self.standardize);
                if !self.standardize {
                    return Ok(Some([lambda, 0.0, 1.0]));
                }
                let scale = if sample.is_constant(mean, deviation) {
                    1.0
                } else {
                    deviation
                };
                Ok(Some([lambda, mean, scale]))
            })
            .collect::<Result<Vec<_>>>()?;
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
        if self.method == Method::BoxCox {
            // NaN is not less
            let least = with_floats(&args[0], |x| {
                x.iter().copied().fold(f64::INFINITY, f64::min)
            })?;
            self.method.check(least)?;
        }
        map_floats(&args[0], prepared, groups, |x, [lambda, mean, scale]| {
            (self.method.apply(x, *lambda) - mean) / scale
        })
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, bind: &mut Bind<'_>) -> Result<Option<String>> {
        let t = &args[0].data_type;
        let [Some([lambda, mean, scale])] = read_params::<3>(fit)?[..] else {
            return Ok(Some(null(t)));
        };
        let x = bind(args[0].number());
        let power = |u: &str, lambda: f64| {
            if lambda.abs() < f64::EPSILON {
                u.to_string()
            } else {
                let lambda = number(lambda);
                format!("(EXP({u} * {lambda}) - 1e0) / {lambda}")
            }
        };
        let powered = match self.method {
            Method::BoxCox => power(&format!("LN({x})"), lambda),
            Method::YeoJohnson => case(
                [
                    (
                        format!("{x} >= 0e0"),
                        power(&format!("LN(1e0 + {x})"), lambda),
                    ),
                    (
                        format!("{x} < 0e0"),
                        format!("-({})", power(&format!("LN(1e0 - {x})"), 2.0 - lambda)),
                    ),
                ],
                None,
            ),
        };
        let scaled = format!("({powered} - {}) / {}", number(mean), number(scale));
        Ok(Some(rounded(scaled, t)))
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
        map_floats(values, prepared, groups, |y, [lambda, mean, scale]| {
            self.method.undo(y * scale + mean, *lambda)
        })
    }
}

impl Method {
    /// An error if a number has no power.
    fn check(self, x: f64) -> Result<()> {
        if self == Self::BoxCox && x <= 0.0 {
            return exec_err!(
                "power_transform: 'box-cox' takes numbers above 0, but x is {x} in some row. Write method => 'yeo-johnson'"
            );
        }
        Ok(())
    }

    #[inline]
    fn apply(self, x: f64, lambda: f64) -> f64 {
        match self {
            Self::BoxCox => power(x.ln(), lambda),
            Self::YeoJohnson if x >= 0.0 => power(x.ln_1p(), lambda),
            Self::YeoJohnson => -power((-x).ln_1p(), 2.0 - lambda),
        }
    }

    /// The number that [`Self::apply`] gives `y` for; NaN if it gives it for none.
    fn undo(self, y: f64, lambda: f64) -> f64 {
        match self {
            Self::BoxCox => unpower(y, lambda).exp(),
            Self::YeoJohnson if y >= 0.0 => unpower(y, lambda).exp_m1(),
            Self::YeoJohnson => -unpower(-y, 2.0 - lambda).exp_m1(),
        }
    }
}

/// `(e^(u lambda) - 1) / lambda`: `u` where lambda is 0.
#[inline]
fn power(u: f64, lambda: f64) -> f64 {
    if lambda.abs() < f64::EPSILON {
        u
    } else {
        (u * lambda).exp_m1() / lambda
    }
}

/// The `u` of [`power`].
fn unpower(power: f64, lambda: f64) -> f64 {
    if lambda.abs() < f64::EPSILON {
        power
    } else {
        (power * lambda).ln_1p() / lambda
    }
}

/// The finite values of a column.
struct Sample {
    /// The distinct ones in order, later what became of them.
    values: Vec<f64>,
    counts: Option<Vec<u64>>,
    count: f64,
    /// The least value, be it finite or not.
    least: Option<f64>,
}

/// Values that are added up at once; the sums of so many are added in order.
const BLOCK: usize = 65_536;

impl Sample {
    fn new(of: Distinct) -> Self {
        let Distinct {
            mut values,
            mut counts,
        } = of;
        let least = values.first().copied();
        let from = values.partition_point(|x| *x == f64::NEG_INFINITY);
        let to = values.partition_point(|x| *x < f64::INFINITY).max(from);
        values.truncate(to);
        values.drain(..from);
        if let Some(counts) = &mut counts {
            counts.truncate(to);
            counts.drain(..from);
        }
        let count = match &counts {
            None => values.len() as f64,
            Some(counts) => counts.iter().map(|n| *n as f64).sum(),
        };
        Self {
            values,
            counts,
            count,
            least,
        }
    }

    /// How often the value of a place was seen.
    #[inline]
    fn weight(&self, at: usize) -> f64 {
        self.counts.as_ref().map_or(1.0, |counts| counts[at] as f64)
    }

    /// The mean of what a function gives of the values.
    fn average(&self, f: impl Fn(f64) -> f64 + Sync) -> f64 {
        let sums: Vec<f64> = (0..self.values.len().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let from = block * BLOCK;
                let values = self.values[from..].iter().take(BLOCK).enumerate();
                values.map(|(i, x)| f(*x) * self.weight(from + i)).sum()
            })
            .collect();
        sums.iter().sum::<f64>() / self.count
    }

    /// Mean and standard deviation.
    fn moments(&self) -> (f64, f64) {
        let largest = self.values.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        if largest == 0.0 {
            return (0.0, 0.0);
        }
        let unit = power_of_two(largest);
        let rough = self.average(|x| x / unit);
        let mean = rough + self.average(|x| x / unit - rough);
        let variance = self.average(|x| (x / unit - mean) * (x / unit - mean));
        (mean * unit, variance.sqrt() * unit)
    }

    /// Whether the deviation is within what rounding makes of a constant, by scikit-learn's bound.
    fn is_constant(&self, mean: f64, deviation: f64) -> bool {
        let slack = self.count * f64::EPSILON;
        let rounding = mean.abs() * slack;
        self.values.len() == 1 || deviation * (1.0 - slack).max(0.0).sqrt() <= rounding
    }
}

/// The power of two below a number, by which to divide is exact, so that no square is beyond the floats.
fn power_of_two(largest: f64) -> f64 {
    largest.log2().floor().clamp(-1022.0, 1023.0).exp2()
}

/// The most likely power, 1, which changes nothing, for a constant; and mean and deviation of the powers, if they are
/// wanted. The sample's values are used up.
fn most_likely(method: Method, sample: &mut Sample, standardize: bool) -> [f64; 3] {
    let (mean, deviation) = sample.moments();
    let likelihood = (!sample.is_constant(mean, deviation)).then(|| {
        let bounds = bounds(method, &sample.values);
        let in_cells = sample.values.len() > CELLS;
        let mut likelihood = Likelihood::new(method, sample, in_cells);
        (lambda(&mut likelihood, bounds), likelihood)
    });
    let (lambda, likelihood) = match likelihood {
        None => (1.0, None),
        Some((lambda, likelihood)) => (lambda, Some(likelihood)),
    };
    if !standardize {
        return [lambda, 0.0, 1.0];
    }
    let (mean, deviation) = match likelihood {
        Some(mut likelihood) if likelihood.in_cells => likelihood.moments(lambda),
        _ => {
            for x in &mut sample.values {
                *x = method.apply(*x, lambda);
            }
            sample.moments()
        }
    };
    [lambda, mean, deviation]
}

/// The most likely power within bounds.
fn lambda(likelihood: &mut Likelihood, (low, high): (f64, f64)) -> f64 {
    let mut slope = |lambda| likelihood.slope(lambda);
    // the likelihood has one maximum, before which its slope is above 0
    let mut near = 1.0f64.clamp(low, high);
    let mut at_near = slope(near);
    let mut step = at_near.signum();
    loop {
        let far = (near + step).clamp(low, high);
        if at_near == 0.0 || far == near {
            return near;
        }
        let at_far = slope(far);
        if (at_far > 0.0) != (at_near > 0.0) {
            return root(slope, (near, at_near), (far, at_far));
        }
        (near, at_near) = (far, at_far);
        step *= 2.0;
    }
}

/// A power above which, or below the negative of which, none is looked for.
const LIMIT: f64 = 1e15;

/// The powers with which nothing overflows: scipy's for Yeo-Johnson, and for Box-Cox alike.
fn bounds(method: Method, values: &[f64]) -> (f64, f64) {
    let least = values.first().copied().unwrap_or(0.0);
    let largest = values.last().copied().unwrap_or(0.0);
    // half the exponents of floats, so that squares do not overflow either
    let low = 0.5 * (f64::MIN_POSITIVE.ln() - f64::EPSILON.ln());
    let high = 0.5 * (f64::MAX.ln() + f64::EPSILON.ln());
    if method == Method::BoxCox {
        let widest = least.ln().abs().max(largest.ln().abs());
        return ((low / widest).max(-LIMIT), (high / widest).min(LIMIT));
    }
    let widest = least.abs().max(largest.abs());
    // values up to 20 times as large as those seen
    let widest = if widest < 1e300 {
        (20.0 * widest).ln_1p()
    } else {
        widest.ln() + 20f64.ln()
    };
    let (low, high) = ((low / widest).max(-LIMIT), (high / widest).min(LIMIT));
    if largest < 0.0 {
        (2.0 - high, 2.0 - low)
    } else if least < 0.0 {
        let (low, high) = (low.max(2.0 - high), high.min(2.0 - low));
        // of huge values of both signs no power is safe
        if low <= high { (low, high) } else { (1.0, 1.0) }
    } else {
        (low, high)
    }
}

/// The likelihood of powers.
///
/// With `u` the logarithm of x (Box-Cox) or 1 + |x| (Yeo-Johnson), the transform is `T(u) = (e^(u p) - 1) / p` for
/// `p = lambda`, below zero `-T(u)` for `p = 2 - lambda`; the log-likelihood is the sum of `u` (below zero of `-u`) times
/// lambda, less half the count times the logarithm of the transform's variance. Where all values have one sign, the
/// same is true of `u` less a constant: so values far from zero keep their digits.
///
/// Many values are gathered in narrow cells of `u`. At a distance `d` from the middle `c` of a cell
/// `T(c + d) = T(c) + e^(c p) E(d)` with `E(d) = (e^(d p) - 1) / p`, a series of powers of `d`, so that the sums of these
/// powers over the values of a cell are all there is to know of them.
struct Likelihood {
    cells: Vec<Cell>,
    /// Whether a cell may have several values.
    in_cells: bool,
    /// Half a cell's width, at zero and above and below zero.
    half: [f64; 2],
    /// What was taken from all logarithms.
    center: f64,
    count: f64,
    sum: f64,
    /// What the cells' transforms are for the lambda looked at.
    transforms: Vec<Transform>,
}

/// More distinct values than that are gathered in as many cells of either sign.
const CELLS: usize = 8192;
/// The highest power of the distance that is summed: with no safe lambda is what lies beyond above 1e-17 of the whole.
const POWERS: usize = 9;

/// Values of nearly the same logarithm.
struct Cell {
    /// The logarithm in the middle.
    log: f64,
    negative: bool,
    /// The sums of the powers of the distance from the middle, in halves of a cell's width; the first is the count.
    powers: [f64; POWERS + 1],
}

/// The sums, over the values of a cell, of what a lambda makes of their distance from the middle.
#[derive(Clone, Copy)]
struct Transform {
    /// The transform in the middle, and its derivative by lambda.
    middle: (f64, f64),
    /// Of `E(d)` and its derivative by p, times `e^(c p)`.
    first: (f64, f64),
    /// Of the square of the first, and of the product of both.
    second: (f64, f64),
}

/// The factors of the sums of powers in those of [`Transform`], for half a cell's width and a power p.
struct Series([[f64; POWERS + 1]; 4]);

impl Series {
    fn new(half: f64, p: f64) -> Self {
        let q = half * p;
        let mut series = [[0.0; POWERS + 1]; 4];
        let [first, derived, squared, product] = &mut series;
        // q^(k - 1) / k! and 2^k; and q^(k - 2) / (k - 1)! and so on, 0 before the first
        let (mut term, mut double) = (1.0, 2.0);
        let (mut before, mut two_before) = (0.0, 0.0);
        let sums = first.iter_mut().zip(derived).zip(squared).zip(product);
        for (k, (((first, derived), squared), product)) in sums.enumerate().skip(1) {
            let n = k as f64;
            *first = half * term;
            *derived = half * half * (n - 1.0) * before / n;
            *squared = half * half * (double - 2.0) * before / n;
            if k > 2 {
                let factor = 0.5 * (n - 2.0) * (double - 2.0) / (n * (n - 1.0));
                *product = half * half * half * factor * two_before;
            }
            (two_before, before) = (before, term);
            term *= q / (n + 1.0);
            double *= 2.0;
        }
        Self(series)
    }

    fn sums(&self, cell: &Cell) -> [f64; 4] {
        self.0
            .map(|factors| factors.iter().zip(&cell.powers).map(|(a, b)| a * b).sum())
    }
}

impl Likelihood {
    /// Of the values of a sample, which are overwritten if they are gathered in cells.
    fn new(method: Method, sample: &mut Sample, in_cells: bool) -> Self {
        let values = &sample.values;
        let middle = values[values.len() / 2].abs();
        let one_sign = values[0] >= 0.0 || values[values.len() - 1] < 0.0;
        let one = if method == Method::BoxCox { 0.0 } else { 1.0 };
        let log = |x: f64| {
            if !one_sign {
                return x.ln_1p();
            }
            let ratio = (x - middle) / (one + middle);
            if ratio.abs() < 0.5 {
                ratio.ln_1p()
            } else if one == 0.0 {
                x.ln() - middle.ln()
            } else {
                x.ln_1p() - middle.ln_1p()
            }
        };
        let center = match (one_sign, method) {
            (false, _) => 0.0,
            (true, Method::BoxCox) => middle.ln(),
            (true, Method::YeoJohnson) => middle.ln_1p(),
        };
        let below = values.partition_point(|x| *x < 0.0);
        let mut half = [0.0; 2];
        let cells: Vec<Cell> = if in_cells {
            let signed = |x: &mut f64| *x = if *x < 0.0 { -log(x.abs()) } else { log(*x) };
            sample.values.par_iter_mut().for_each(signed);
            let mut cells = Vec::with_capacity(2 * CELLS);
            for (negative, part) in [(true, 0..below), (false, below..sample.values.len())] {
                if !part.is_empty() {
                    half[usize::from(negative)] = gather(sample, part, negative, &mut cells);
                }
            }
            cells
        } else {
            let cell = |(at, x): (usize, &f64)| {
                let mut powers = [0.0; POWERS + 1];
                powers[0] = sample.weight(at);
                Cell {
                    log: log(x.abs()),
                    negative: at < below,
                    powers,
                }
            };
            values.iter().enumerate().map(cell).collect()
        };
        let sum = |cell: &Cell| {
            let half = half[usize::from(cell.negative)];
            let sum = cell.log * cell.powers[0] + half * cell.powers[1];
            if cell.negative { -sum } else { sum }
        };
        Self {
            in_cells,
            half,
            center,
            count: sample.count,
            sum: cells.iter().map(sum).sum(),
            transforms: Vec::with_capacity(cells.len()),
            cells,
        }
    }

    /// Works out the cells' transforms; gives the means of the transform and of its derivative.
    fn transform(&mut self, lambda: f64) -> (f64, f64) {
        let power = |negative: bool| if negative { 2.0 - lambda } else { lambda };
        let series = [false, true].map(|negative| {
            let half = self.half[usize::from(negative)];
            Series::new(half, power(negative))
        });
        let in_cells = self.in_cells;
        let transform = |cell: &Cell| {
            let (u, p) = (cell.log, power(cell.negative));
            let (f, g) = growth(u * p);
            // below zero the transform changes its sign, and its derivative does so once more
            let sign = if cell.negative { -1.0 } else { 1.0 };
            let middle = (sign * (u * f), u * u * g);
            if !in_cells {
                return Transform {
                    middle,
                    first: (0.0, 0.0),
                    second: (0.0, 0.0),
                };
            }
            let [e, derived, squared, product] = series[usize::from(cell.negative)].sums(cell);
            let grown = (u * p).exp();
            Transform {
                middle,
                first: (sign * grown * e, grown * (u * e + derived)),
                second: (
                    grown * grown * squared,
                    sign * grown * grown * (u * squared + product),
                ),
            }
        };
        self.transforms.clear();
        self.transforms.extend(self.cells.iter().map(transform));
        let counted = || self.transforms.iter().zip(&self.cells);
        let mean = counted().map(|(t, cell)| t.middle.0 * cell.powers[0] + t.first.0);
        let slope = counted().map(|(t, cell)| t.middle.1 * cell.powers[0] + t.first.1);
        (
            mean.sum::<f64>() / self.count,
            slope.sum::<f64>() / self.count,
        )
    }

    /// The derivative of the log-likelihood by lambda; 0 where floats do not tell.
    fn slope(&mut self, lambda: f64) -> f64 {
        let (mean, slope) = self.transform(lambda);
        let (mut squares, mut products) = (0.0, 0.0);
        for (t, cell) in self.transforms.iter().zip(&self.cells) {
            let (a, b) = (t.middle.0 - mean, t.middle.1 - slope);
            squares += a * a * cell.powers[0] + (2.0 * a * t.first.0 + t.second.0);
            products += a * b * cell.powers[0] + (a * t.first.1 + b * t.first.0 + t.second.1);
        }
        let result = self.sum - self.count * (products / squares);
        if result.is_finite() { result } else { 0.0 }
    }

    /// Mean and standard deviation of the transforms.
    fn moments(&mut self, lambda: f64) -> (f64, f64) {
        let (mean, _) = self.transform(lambda);
        let farthest = |m: f64, t: &Transform| m.max((t.middle.0 - mean).abs());
        let unit = match self.transforms.iter().fold(0.0, farthest) {
            0.0 => 1.0,
            farthest => power_of_two(farthest),
        };
        let square = |(t, cell): (&Transform, &Cell)| {
            let a = (t.middle.0 - mean) / unit;
            a * a * cell.powers[0] + (2.0 * a * (t.first.0 / unit) + t.second.0 / unit / unit)
        };
        let squares: f64 = self.transforms.iter().zip(&self.cells).map(square).sum();
        let deviation = (squares / self.count).max(0.0).sqrt() * unit;
        let negative = self.cells.iter().all(|cell| cell.negative);
        let p = if negative { 2.0 - lambda } else { lambda };
        let shift = power(self.center, p);
        let grown = (self.center * p).exp();
        let mean = grown * mean + if negative { -shift } else { shift };
        (mean, grown * deviation)
    }
}

/// Gathers a part of a sample, signed logarithms in order, in cells; gives half a cell's width.
fn gather(sample: &Sample, part: Range<usize>, negative: bool, cells: &mut Vec<Cell>) -> f64 {
    let logs = &sample.values[part.clone()];
    let (low, high) = (logs[0], logs[logs.len() - 1]);
    let width = (high - low) / CELLS as f64;
    let half = 0.5 * width;
    let mut ranges = Vec::with_capacity(CELLS);
    let mut from = 0;
    for i in 0..CELLS {
        let to = if i + 1 == CELLS {
            logs.len()
        } else {
            let bound = low + (i + 1) as f64 * width;
            from + logs[from..].partition_point(|v| *v < bound)
        };
        if from < to {
            ranges.push((low + (i as f64 + 0.5) * width, from..to));
        }
        from = to;
    }
    cells.par_extend(ranges.into_par_iter().map(|(middle, range)| {
        let mut powers = [0.0; POWERS + 1];
        let scale = if half > 0.0 { 1.0 / half } else { 0.0 };
        let scale = if negative { -scale } else { scale };
        for at in range {
            let distance = (logs[at] - middle) * scale;
            let mut power = sample.weight(part.start + at);
            for sum in &mut powers {
                *sum += power;
                power *= distance;
            }
        }
        Cell {
            log: if negative { -middle } else { middle },
            negative,
            powers,
        }
    }));
    half
}

/// `(e^t - 1) / t`, and its derivative `(t e^t - e^t + 1) / t^2`.
fn growth(t: f64) -> (f64, f64) {
    if t.abs() > 0.1 {
        let grown = t.exp_m1();
        return (grown / t, (t * (grown + 1.0) - grown) / (t * t));
    }
    // sums of t^k / (k + 1)! and of t^k / (k! (k + 2))
    let (mut f, mut g, mut term) = (0.0, 0.0, 1.0);
    for k in 0..11 {
        let k = f64::from(k);
        f += term / (k + 1.0);
        g += term / (k + 2.0);
        term *= t / (k + 1.0);
    }
    (f, g)
}

/// Where a function between two points on either side of 0 is 0: Brent's method.
fn root(
    mut f: impl FnMut(f64) -> f64,
    (mut a, mut fa): (f64, f64),
    (mut b, mut fb): (f64, f64),
) -> f64 {
    let (mut c, mut fc) = (a, fa);
    let mut step = b - a;
    let mut last = step;
    for _ in 0..200 {
        if (fb > 0.0) == (fc > 0.0) {
            (c, fc) = (a, fa);
            step = b - a;
            last = step;
        }
        if fc.abs() < fb.abs() {
            (a, fa) = (b, fb);
            (b, fb) = (c, fc);
            (c, fc) = (a, fa);
        }
        let tolerance = 2.0 * f64::EPSILON * b.abs() + 1e-13;
        let half = 0.5 * (c - b);
        if half.abs() <= tolerance || fb == 0.0 {
            break;
        }
        let mut next = None;
        if last.abs() >= tolerance && fa.abs() > fb.abs() {
            let s = fb / fa;
            let (p, q) = if a == c {
                (2.0 * half * s, 1.0 - s)
            } else {
                let (q, r) = (fa / fc, fb / fc);
                let p = s * (2.0 * half * q * (q - r) - (b - a) * (r - 1.0));
                (p, (q - 1.0) * (r - 1.0) * (s - 1.0))
            };
            let (p, q) = if p > 0.0 { (p, -q) } else { (-p, q) };
            if 2.0 * p < (3.0 * half * q - (tolerance * q).abs()).min((last * q).abs()) {
                next = Some(p / q);
            }
        }
        (last, step) = match next {
            Some(next) => (step, next),
            None => (half, half),
        };
        (a, fa) = (b, fb);
        b += if step.abs() > tolerance {
            step
        } else {
            tolerance.copysign(half)
        };
        fb = f(b);
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_undone() {
        for method in [Method::YeoJohnson, Method::BoxCox] {
            for lambda in [-1.5, 0.0, 0.3, 1.0, 2.0, 2.7] {
                for x in [-4.0, -0.1, 0.0, 1e-9, 0.5, 3.0] {
                    if method == Method::BoxCox && x < 0.1 {
                        continue;
                    }
                    let back = method.undo(method.apply(x, lambda), lambda);
                    assert!(
                        (back - x).abs() <= 1e-12 * x.abs().max(1.0),
                        "{method:?} {lambda} {x} {back}"
                    );
                }
            }
        }
        // no number has this power
        assert!(Method::YeoJohnson.undo(10.0, -1.0).is_nan());
    }
    use crate::fitted::numbers::Numbers;
    use crate::fitted::testing::{
        assert_floats, bind_error, fit, fit_apply, floats, grouped, order_independent,
        random_floats, try_apply_to,
    };
    use arrow::array::{AsArray, Float64Array};
    use arrow::datatypes::Float64Type;

    fn counted(values: &[f64]) -> Sample {
        let mut state = Quantiles::default();
        state.add(values);
        Sample::new(state.into_distinct())
    }

    fn lambda_of(method: Method, values: &[f64]) -> f64 {
        most_likely(method, &mut counted(values), false)[0]
    }

    /// The log-likelihood by its definition.
    fn likelihood(method: Method, values: &[f64], lambda: f64) -> f64 {
        let n = values.len() as f64;
        let y: Vec<f64> = values.iter().map(|x| method.apply(*x, lambda)).collect();
        let mean = y.iter().sum::<f64>() / n;
        let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / n;
        let logs = values.iter().map(|x| match method {
            Method::BoxCox => x.ln(),
            Method::YeoJohnson => x.abs().ln_1p().copysign(*x),
        });
        (lambda - 1.0) * logs.sum::<f64>() - n / 2.0 * variance.ln()
    }

    #[test]
    fn the_slope_is_that_of_the_likelihood() {
        let mixed: Vec<f64> = (0..60).map(|i| f64::from(i * i % 47) - 11.5).collect();
        let positive: Vec<f64> = mixed.iter().map(|x| x + 12.0).collect();
        let negative: Vec<f64> = positive.iter().map(|x| -x).collect();
        for (method, values) in [
            (Method::YeoJohnson, &mixed),
            (Method::YeoJohnson, &positive),
            (Method::YeoJohnson, &negative),
            (Method::BoxCox, &positive),
        ] {
            let mut fast = Likelihood::new(method, &mut counted(values), false);
            for lambda in [-2.0, -0.5, 0.0, 1e-3, 0.7, 1.0, 2.0, 3.5] {
                let h = 1e-5;
                let likely = |l| likelihood(method, values, l);
                let plain = (likely(lambda + h) - likely(lambda - h)) / (2.0 * h);
                let slope = fast.slope(lambda);
                assert!(
                    (slope - plain).abs() < 1e-4,
                    "{slope} instead of {plain} at {lambda}"
                );
            }
        }
    }

    #[test]
    fn growth_has_no_seam() {
        for t in [0.1f64, -0.1] {
            let (a, b) = (growth(t), growth(t * 1.000_000_1));
            assert!((a.0 - b.0).abs() < 1e-7 && (a.1 - b.1).abs() < 1e-7);
            let exact = (t.exp_m1() / t, (t * t.exp() - t.exp_m1()) / (t * t));
            assert!((a.0 - exact.0).abs() < 1e-15 && (a.1 - exact.1).abs() < 1e-14);
        }
        assert_eq!(growth(0.0), (1.0, 0.5));
    }

    #[test]
    fn of_powers_of_ten_the_logarithm() {
        let x = floats([Some(1.0), Some(100.0), None, Some(10.0), Some(f64::NAN)]);
        let options = [("method", "box-cox".into()), ("standardize", false.into())];
        let params = fit::<PowerTransform>(&options, std::slice::from_ref(&x));
        let lambda = params.column(0).as_primitive::<Float64Type>().value(0);
        assert!(lambda.abs() < 1e-12, "{lambda}");
        let y = fit_apply::<PowerTransform>(&[("method", "box-cox".into())], &[x]);
        let y: &Float64Array = y.as_primitive();
        let expected = 1.5f64.sqrt();
        assert!((y.value(0) + expected).abs() < 1e-12 && (y.value(1) - expected).abs() < 1e-12);
        assert!(y.value(3).abs() < 1e-12);
    }

    #[test]
    fn yeo_johnson_mirrors() {
        let values = [0.0, 1.0, 2.5, 7.0, 30.0, 31.0, 100.0];
        let a = lambda_of(Method::YeoJohnson, &values);
        let mirrored = values.map(|x| -x);
        let b = lambda_of(Method::YeoJohnson, &mirrored);
        assert!((a + b - 2.0).abs() < 1e-11, "{a} and {b}");
        let shifted = values.map(|x| x + 1.0);
        let c = lambda_of(Method::BoxCox, &shifted);
        assert!((a - c).abs() < 1e-11, "{a} and {c}");
    }

    #[test]
    fn constants_and_missing() {
        for method in ["yeo-johnson", "box-cox"] {
            let options = [("method", method.into())];
            let y = fit_apply::<PowerTransform>(&options, &[floats([Some(0.1), Some(0.1), None])]);
            assert_floats(&y, &[Some(0.0), Some(0.0), None]);
            let y = fit_apply::<PowerTransform>(&options, &[floats([Some(f64::MAX)])]);
            assert_floats(&y, &[Some(0.0)]);
            let y = fit_apply::<PowerTransform>(&options, &[floats([None, Some(f64::NAN)])]);
            assert_floats(&y, &[None, None]);
        }
        let y = fit_apply::<PowerTransform>(
            &[("standardize", false.into())],
            &[floats([Some(-3.5), Some(-3.5)])],
        );
        assert_floats(&y, &[Some(-3.5), Some(-3.5)]);
    }

    #[test]
    fn extreme_units_do_not_matter() {
        let values = [0.5, 1.0, 3.0, -2.0, 8.0];
        let (mean, deviation) = counted(&values).moments();
        for unit in [f64::MIN_POSITIVE, 1e-300, 1e307] {
            let scaled = values.map(|x| x * unit);
            let (m, d) = counted(&scaled).moments();
            assert!((m / unit - mean).abs() < 1e-14 && (d / unit - deviation).abs() < 1e-14);
        }
        // too small for a power to change more than the unit
        let y = fit_apply::<PowerTransform>(&[], &[floats(values.map(|x| Some(x * 1e-300)))]);
        assert_floats(&y, &values.map(|x| Some((x - mean) / deviation)));
    }

    #[test]
    fn wild_columns_stay_finite() {
        let wild = random_floats(400, 17);
        let near: Vec<f64> = (0..100).map(|i| 1e9 + f64::from(i * i % 31)).collect();
        let tiny: Vec<f64> = (1..100).map(|i| 1e-300 * f64::from(i * i)).collect();
        let ends = vec![-f64::MAX, f64::MAX, 0.0];
        let huge = vec![f64::MAX, f64::MAX / 3.0, 1e290];
        for values in [wild, near, tiny, ends, huge] {
            let positive: Vec<f64> = values.iter().map(|x| x.abs() + f64::MIN_POSITIVE).collect();
            for (method, values) in [(Method::YeoJohnson, &values), (Method::BoxCox, &positive)] {
                let lambda = lambda_of(method, values);
                assert!(lambda.is_finite());
                assert!(
                    counted(values)
                        .values
                        .iter()
                        .all(|x| method.apply(*x, lambda).is_finite())
                );
            }
        }
    }

    #[test]
    fn no_order_matters() {
        let values: Vec<f64> = random_floats(1000, 3).iter().map(|x| x.ln_1p()).collect();
        order_independent::<Quantiles, _>(&values, |q| {
            let mut sample = Sample::new(q.clone().into_distinct());
            most_likely(Method::YeoJohnson, &mut sample, true).map(f64::to_bits)
        });
        // so many that they are gathered in cells, some of them more than once
        let mut values: Vec<f64> = (0..12_000)
            .map(|i| f64::from(i * 37 % 9001) * 0.01)
            .collect();
        values.extend([-3.5, -3.5, -7.25, 0.0]);
        let whole = most_likely(Method::YeoJohnson, &mut counted(&values), true).map(f64::to_bits);
        for parts in [2, 5] {
            let mut merged = Quantiles::default();
            for part in 0..parts {
                let mut state = Quantiles::default();
                let of_part = values.iter().copied().skip(part).step_by(parts);
                state.add(&of_part.collect::<Vec<_>>());
                merged.absorb(state);
            }
            let mut sample = Sample::new(merged.into_distinct());
            let again = most_likely(Method::YeoJohnson, &mut sample, true);
            assert_eq!(again.map(f64::to_bits), whole, "in {parts} parts");
        }
    }

    #[test]
    fn cells_are_as_good_as_single_values() {
        let mixed: Vec<f64> = (0..10_000)
            .map(|i| f64::from(i * i % 4799) * 0.02 - 31.0)
            .collect();
        let positive: Vec<f64> = mixed.iter().map(|x| x + 31.5).collect();
        let negative: Vec<f64> = positive.iter().map(|x| -x).collect();
        let far: Vec<f64> = mixed.iter().map(|x| x + 1e7).collect();
        for (method, values) in [
            (Method::YeoJohnson, &mixed),
            (Method::YeoJohnson, &positive),
            (Method::YeoJohnson, &negative),
            (Method::YeoJohnson, &far),
            (Method::BoxCox, &positive),
            (Method::BoxCox, &far),
        ] {
            let mut single = Likelihood::new(method, &mut counted(values), false);
            let mut gathered = Likelihood::new(method, &mut counted(values), true);
            for lambda in [-2.0, -0.5, 0.0, 0.3, 1.0, 2.0, 2.7] {
                let (a, b) = (single.slope(lambda), gathered.slope(lambda));
                assert!(
                    (a - b).abs() <= 1e-11 * single.count * (1.0 + lambda.abs()),
                    "{a} and {b} at {lambda}"
                );
                let (mean, deviation) = gathered.moments(lambda);
                let mut sample = counted(values);
                for x in &mut sample.values {
                    *x = method.apply(*x, lambda);
                }
                let (m, d) = sample.moments();
                assert!(
                    (mean - m).abs() <= 1e-12 * (d + m.abs()),
                    "{mean} and {m} at {lambda}"
                );
                assert!(
                    (deviation - d).abs() <= 1e-8 * d + 1e-13 * m.abs(),
                    "{deviation} and {d} at {lambda}"
                );
            }
        }
    }

    #[test]
    fn by_group() {
        let x = floats([Some(1.0), Some(5.0), Some(3.0), None, Some(9.0)]);
        let y = grouped::<PowerTransform>(&[], &[x], &[0, 1, 0, 2, 0]);
        let y: &Float64Array = y.as_primitive();
        assert!(y.value(0) < y.value(2) && y.value(2) < y.value(4));
        assert_eq!(y.value(1), 0.0);
    }

    #[test]
    fn box_cox_of_zero_is_refused() {
        let options = [("method", "box-cox".into())];
        let good = floats([Some(1.0), Some(2.0)]);
        let bad = floats([Some(1.0), Some(0.0)]);
        let error =
            try_apply_to::<PowerTransform>(&options, &[good], &[bad]).expect_err("an error");
        assert!(
            error.to_string().contains("Write method => 'yeo-johnson'"),
            "{error}"
        );
        let error = bind_error::<PowerTransform>(&[("method", "boxcox".into())]);
        assert!(error.contains("did you mean 'box-cox'?"), "{error}");
    }
}
