//! Numbers and moments: their grid, their inflated values, and one of two forms of the ordinary ones:
//! through the column's quantiles to a standard normal, or by the modes of a mixture.

use std::collections::HashSet;
use std::f64::consts::SQRT_2;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, Float64Array, Int64Array,
    make_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float16Type, Float32Type, Float64Type,
    Int64Type, TimeUnit,
};
use arrow::util::display::array_value_to_string;
use candle_core::cpu::erf::{erfc_f64, erfc_inv};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use super::EncodedColumn;
use super::mixture::{Mixture, Mode};
use crate::synthesize::{ModelFile, rng};

/// One reference quantile for this many rows.
const ROWS_PER_QUANTILE: usize = 30;
/// Tables of fewer rows than this get a reference a row.
const SMALL: usize = 100;
const MOST_QUANTILES: usize = 1000;

/// An inflated value holds at least this share of the rows ...
const INFLATED_SHARE: f64 = 0.05;
/// ... and this many times the rows of its neighbours, on average.
const INFLATED_RATIO: f64 = 5.0;
/// How many distinct values on each side are its neighbours.
const NEIGHBOURS: usize = 3;

/// Fractional digits looked for: what is finer is a continuous number.
pub const MOST_DECIMALS: u8 = 6;

/// A column's numbers; NULL, NaN and infinities are missing.
#[derive(Debug)]
pub struct Numbers {
    values: Values,
}

/// Whole numbers where all are: integers, moments, and decimals in units of their last digit.
#[derive(Debug)]
pub enum Values {
    Integers(Vec<Option<i64>>),
    Floats {
        values: Vec<Option<f64>>,
        /// Whether they have no more than the digits of 32 bits.
        single: bool,
    },
}

impl Numbers {
    /// Whether a type's values are numbers or moments.
    pub fn supports(data_type: &DataType) -> bool {
        data_type.is_numeric()
            || matches!(
                data_type,
                DataType::Date32
                    | DataType::Date64
                    | DataType::Time32(_)
                    | DataType::Time64(_)
                    | DataType::Timestamp(..)
                    | DataType::Duration(_)
            )
    }

    pub fn read(array: &ArrayRef) -> Result<Self> {
        let values = match to_int64(array)? {
            Some(array) => Values::Integers(array.as_primitive::<Int64Type>().iter().collect()),
            None => {
                let single = matches!(array.data_type(), DataType::Float16 | DataType::Float32);
                let array = cast(array, &DataType::Float64)?;
                Values::Floats {
                    values: array
                        .as_primitive::<Float64Type>()
                        .iter()
                        .map(|value| value.filter(|value| value.is_finite()))
                        .collect(),
                    single,
                }
            }
        };
        Ok(Self { values })
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// How many are not missing.
    pub fn present(&self) -> usize {
        match &self.values {
            Values::Integers(values) => values.iter().flatten().count(),
            Values::Floats { values, .. } => values.iter().flatten().count(),
        }
    }

    /// How many different values there are, counted up to a limit.
    pub fn distinct(&self, limit: usize) -> usize {
        let mut seen = HashSet::new();
        let bits: Box<dyn Iterator<Item = u64> + '_> = match &self.values {
            Values::Integers(values) => Box::new(values.iter().flatten().map(|&x| x as u64)),
            // Adding 0 makes the negative zero the usual one.
            Values::Floats { values, .. } => {
                Box::new(values.iter().flatten().map(|x| (x + 0.0).to_bits()))
            }
        };
        for bits in bits {
            seen.insert(bits);
            if seen.len() >= limit {
                break;
            }
        }
        seen.len()
    }
}

/// The grid that all of a column's numbers lie on: `(origin + k step) / 10^decimals`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grid {
    origin: i64,
    step: u64,
    decimals: u8,
    /// Whether it is of the type's own units, which are whole numbers.
    whole: bool,
}

impl Grid {
    fn fit(numbers: &Numbers) -> Option<Self> {
        match &numbers.values {
            Values::Integers(values) => Self::through(values.iter().flatten().copied(), 0, true),
            Values::Floats { values, single } => {
                let decimals = (0..=MOST_DECIMALS).find(|&decimals| {
                    let mut present = values.iter().flatten();
                    present.all(|&value| has_decimals(value, decimals, *single))
                })?;
                let power = 10f64.powi(i32::from(decimals));
                let integers = values.iter().flatten().map(|x| (x * power).round() as i64);
                Self::through(integers, decimals, false)
            }
        }
    }

    fn through(
        values: impl Iterator<Item = i64> + Clone,
        decimals: u8,
        whole: bool,
    ) -> Option<Self> {
        let origin = values.clone().min()?;
        let mut step = 0;
        for value in values {
            step = gcd(step, value.wrapping_sub(origin) as u64);
            if step == 1 {
                break;
            }
        }
        Some(Self {
            origin,
            step: step.max(1),
            decimals,
            whole,
        })
    }

    fn power(&self) -> f64 {
        10f64.powi(i32::from(self.decimals))
    }
}

fn on_grid(value: f64, power: f64, single: bool) -> bool {
    let nearest = (value * power).round();
    let back = nearest / power;
    let same = match single {
        true => back as f32 == value as f32,
        false => back == value,
    };
    same && nearest.abs() < (1u64 << 52) as f64
}

/// Whether a number has no more than so many decimals; `single`: of those that its 32 bits hold.
pub fn has_decimals(value: f64, decimals: u8, single: bool) -> bool {
    on_grid(value, 10f64.powi(i32::from(decimals)), single)
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// How the ordinary values of a numeric column stand in model space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormName {
    Quantile,
    Gmm,
}

#[derive(Debug, Clone)]
enum Form {
    Quantile(Quantiles),
    Gmm(Mixture),
}

/// A numeric column. Everything but the grid itself is in the grid's steps, where there is one.
#[derive(Debug, Clone)]
pub struct Numeric {
    grid: Option<Grid>,
    form: Form,
    inflated: Vec<f64>,
    low: f64,
    high: f64,
}

impl Numeric {
    pub fn fit(numbers: &Numbers, form: FormName) -> Self {
        let grid = Grid::fit(numbers);
        let mut sorted: Vec<f64> = positions(numbers, grid).into_iter().flatten().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let low = sorted.first().copied().unwrap_or(0.0);
        let high = sorted.last().copied().unwrap_or(0.0);
        let inflated = find_inflated(&sorted);
        sorted.retain(|value| !contains(&inflated, *value));
        if grid.is_some() {
            let mut stream = rng::stream(0, "dequantise", 0);
            for value in &mut sorted {
                *value += f64::from(rng::uniform(&mut stream)) - 0.5;
            }
            sorted.sort_unstable_by(f64::total_cmp);
        }
        Self {
            grid,
            form: match form {
                FormName::Quantile => Form::Quantile(Quantiles::fit(&sorted)),
                FormName::Gmm => Form::Gmm(Mixture::fit(&sorted)),
            },
            inflated,
            low,
            high,
        }
    }

    /// How many states carry a value: one, or a mode each. They come first, the inflated values after them.
    pub fn carriers(&self) -> usize {
        match &self.form {
            Form::Quantile(_) => 1,
            Form::Gmm(mixture) => mixture.modes().len(),
        }
    }

    pub fn inflated(&self) -> &[f64] {
        &self.inflated
    }

    /// Nothing if a number is missing where none was in training.
    pub fn encode(
        &self,
        numbers: &Numbers,
        null: Option<u32>,
        seed: u64,
        name: &str,
    ) -> Option<EncodedColumn> {
        let positions = positions(numbers, self.grid);
        let mut encoded = EncodedColumn {
            states: Vec::with_capacity(positions.len()),
            values: Vec::with_capacity(positions.len()),
        };
        let carriers = self.carriers() as u32;
        // The rows come in the order of their content, so a stream for all of them is enough.
        let key = rng::hash(seed, name.as_bytes());
        let mut stream = rng::stream(key, "dequantise", 1);
        let mut modes = rng::stream(key, "modes", 1);
        for position in positions {
            let offset = f64::from(rng::uniform(&mut stream));
            let (state, value) = match position {
                None => (null?, 0.0),
                Some(x) => match (
                    self.inflated.iter().position(|&value| value == x),
                    &self.form,
                ) {
                    (Some(i), _) => (i as u32 + carriers, 0.0),
                    (None, Form::Quantile(quantiles)) => {
                        (0, quantiles.to_normal(x, offset, self.grid.is_some()))
                    }
                    (None, Form::Gmm(mixture)) => {
                        let x = if self.grid.is_some() {
                            x + offset - 0.5
                        } else {
                            x
                        };
                        mixture.encode(x, f64::from(rng::uniform(&mut modes)))
                    }
                },
            };
            encoded.states.push(state);
            encoded.values.push(value);
        }
        Some(encoded)
    }

    pub fn decode(&self, encoded: &EncodedColumn, data_type: &DataType) -> Result<ArrayRef> {
        let carriers = self.carriers();
        let position = |(&state, &value): (&u32, &f32)| match (state as usize).checked_sub(carriers)
        {
            Some(inflated) => self.inflated.get(inflated).copied(),
            None => Some(self.ordinary(state as usize, value)),
        };
        let positions = encoded.states.iter().zip(&encoded.values).map(position);
        self.restore(positions, data_type)
    }

    /// An ordinary value: on the grid, and within the bounds.
    fn ordinary(&self, state: usize, value: f32) -> f64 {
        let x = match &self.form {
            Form::Quantile(quantiles) => quantiles.of_normal(value).unwrap_or(self.low),
            Form::Gmm(mixture) => mixture.decode(state, value),
        };
        let x = self.at_grid(x);
        // A bound and no NaN, which a sum of infinities would be.
        x.max(self.low).min(self.high)
    }

    fn at_grid(&self, x: f64) -> f64 {
        match self.grid {
            Some(_) => x.round(),
            None => x,
        }
    }

    /// Positions as values of the column's type.
    fn restore(
        &self,
        positions: impl Iterator<Item = Option<f64>>,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        match self.grid {
            Some(grid) if grid.whole => {
                let integers: Int64Array = positions
                    .map(|x| {
                        x.map(|x| {
                            let steps = (x as i128).saturating_mul(i128::from(grid.step));
                            let whole = i128::from(grid.origin).saturating_add(steps);
                            whole.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
                        })
                    })
                    .collect();
                of_int64(&integers, data_type)
            }
            Some(grid) => {
                let floats: Float64Array = positions
                    .map(|x| x.map(|x| (grid.origin as f64 + x * grid.step as f64) / grid.power()))
                    .collect();
                of_float64(floats, data_type)
            }
            None => of_float64(positions.collect(), data_type),
        }
    }

    /// What it is, in words: kind, bounds, step, form, inflated values.
    pub fn describe(&self, data_type: &DataType) -> String {
        let shown = |x: f64| {
            let array = self.restore(std::iter::once(Some(x)), data_type);
            let text = array.and_then(|array| Ok(array_value_to_string(&array, 0)?));
            text.unwrap_or_else(|_| x.to_string())
        };
        let mut text = format!(
            "{}, {} to {}",
            kind(data_type),
            shown(self.low),
            shown(self.high)
        );
        if let Some(grid) = self.grid {
            text.push_str(&format!(", in steps of {}", step(grid, data_type)));
        }
        match &self.form {
            Form::Quantile(quantiles) => {
                text.push_str(&format!(", by {} quantiles", quantiles.references.len()));
            }
            Form::Gmm(mixture) => {
                let modes: Vec<String> = mixture
                    .modes()
                    .iter()
                    .map(|mode| {
                        format!(
                            "{} ({:.1} %)",
                            shown(self.at_grid(mode.mean)),
                            100.0 * mode.weight
                        )
                    })
                    .collect();
                text.push_str(&format!(
                    ", by a mixture of {}: {}",
                    modes.len(),
                    modes.join(", ")
                ));
            }
        }
        if !self.inflated.is_empty() {
            let values: Vec<String> = self.inflated.iter().map(|&x| shown(x)).collect();
            text.push_str(&format!(", inflated at {}", values.join(", ")));
        }
        text
    }

    pub fn save(&self, prefix: &str, file: &mut ModelFile) -> Result<()> {
        if let Some(grid) = self.grid {
            file.set_text(
                &format!("{prefix}.grid"),
                format!(
                    "{} {} {} {}",
                    grid.origin, grid.step, grid.decimals, grid.whole
                ),
            );
        }
        let mut count = 0.0;
        match &self.form {
            Form::Quantile(quantiles) => {
                count = quantiles.count;
                file.set_numbers(format!("{prefix}.quantiles"), &quantiles.references)?;
            }
            Form::Gmm(mixture) => {
                let numbers: Vec<f64> = mixture
                    .modes()
                    .iter()
                    .flat_map(|mode| [mode.weight, mode.mean, mode.deviation])
                    .collect();
                file.set_numbers(format!("{prefix}.modes"), &numbers)?;
            }
        }
        file.set_numbers(format!("{prefix}.inflated"), &self.inflated)?;
        file.set_numbers(format!("{prefix}.range"), &[self.low, self.high, count])
    }

    pub fn load(prefix: &str, file: &ModelFile) -> Result<Self> {
        let grid = match file.text(&format!("{prefix}.grid")) {
            Err(_) => None,
            Ok(text) => Some(parse_grid(text).ok_or_else(|| {
                exec_datafusion_err!("the model file is damaged: {prefix}.grid is {text}")
            })?),
        };
        let range = file.numbers(&format!("{prefix}.range"))?;
        let [low, high, count] = range[..] else {
            return exec_err!("the model file is damaged: {prefix}.range");
        };
        let form = match file.numbers(&format!("{prefix}.modes")) {
            Ok(numbers) => {
                let modes = numbers.chunks_exact(3).map(|mode| Mode {
                    weight: mode[0],
                    mean: mode[1],
                    deviation: mode[2],
                });
                Form::Gmm(Mixture::new(modes.collect()).ok_or_else(|| {
                    exec_datafusion_err!("the model file is damaged: {prefix}.modes")
                })?)
            }
            Err(_) => Form::Quantile(Quantiles {
                references: file.numbers(&format!("{prefix}.quantiles"))?,
                count,
            }),
        };
        Ok(Self {
            grid,
            form,
            inflated: file.numbers(&format!("{prefix}.inflated"))?,
            low,
            high,
        })
    }
}

/// A column's quantiles, by which its values become normal.
#[derive(Debug, Clone)]
struct Quantiles {
    /// The quantiles at equidistant probabilities from 0 to 1, of the ordinary values.
    references: Vec<f64>,
    /// How many ordinary values they were learnt from.
    count: f64,
}

impl Quantiles {
    fn fit(sorted: &[f64]) -> Self {
        let count = sorted.len();
        let references = match count {
            0 => Vec::new(),
            _ => {
                let wanted = (count / ROWS_PER_QUANTILE).clamp(count.min(SMALL), MOST_QUANTILES);
                let last = wanted.max(2) - 1;
                (0..=last)
                    .map(|i| lerp(sorted, i as f64 / last as f64))
                    .collect()
            }
        };
        Self {
            references,
            count: count as f64,
        }
    }

    /// `offset`, uniform in 0..1, spreads a value over its step, or over the probability of a point
    /// that holds several quantiles.
    fn to_normal(&self, x: f64, offset: f64, on_grid: bool) -> f32 {
        let last = self.references.len().saturating_sub(1);
        if last == 0 {
            return 0.0;
        }
        let x = if on_grid { x + offset - 0.5 } else { x };
        let below = self.references.partition_point(|&q| q < x);
        let through = self.references.partition_point(|&q| q <= x);
        let place = if through > below {
            below as f64 + offset * (through - 1 - below) as f64
        } else if below == 0 {
            0.0
        } else if below > last {
            last as f64
        } else {
            let (a, b) = (self.references[below - 1], self.references[below]);
            (below - 1) as f64 + (x - a) / (b - a)
        };
        // Half a row stays outside at both ends: no value lies at infinity.
        let margin = 0.5 / self.count.max(1.0);
        normal_quantile((place / last as f64).clamp(margin, 1.0 - margin))
    }

    /// Nothing where there were no values to learn from.
    fn of_normal(&self, z: f32) -> Option<f64> {
        (!self.references.is_empty()).then(|| lerp(&self.references, normal_probability(z)))
    }
}

/// The standard normal's quantile.
pub fn normal_quantile(p: f64) -> f32 {
    (-SQRT_2 * erfc_inv(2.0 * p)) as f32
}

/// The probability of a standard normal to be at most `z`.
pub fn normal_probability(z: f32) -> f64 {
    (0.5 * erfc_f64(-f64::from(z) / SQRT_2)).clamp(0.0, 1.0)
}

/// Whole numbers, fractional ones, or moments.
fn kind(data_type: &DataType) -> &'static str {
    match data_type {
        _ if data_type.is_integer() => "integer",
        _ if data_type.is_numeric() => "numeric",
        _ => "datetime",
    }
}

/// Units of time in nanoseconds.
const UNITS: [(u128, &str); 7] = [
    (86_400_000_000_000, "days"),
    (3_600_000_000_000, "hours"),
    (60_000_000_000, "minutes"),
    (1_000_000_000, "seconds"),
    (1_000_000, "milliseconds"),
    (1000, "microseconds"),
    (1, "nanoseconds"),
];

/// A grid's step as one would say it.
fn step(grid: Grid, data_type: &DataType) -> String {
    let unit = match data_type {
        DataType::Date32 => 86_400_000_000_000,
        DataType::Date64 => 1_000_000,
        DataType::Timestamp(unit, _)
        | DataType::Time32(unit)
        | DataType::Time64(unit)
        | DataType::Duration(unit) => match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1000,
            TimeUnit::Nanosecond => 1,
        },
        _ => {
            let decimals = match grid.whole {
                true => scale_of(data_type),
                false => usize::from(grid.decimals),
            };
            let step = grid.step as f64 / 10f64.powi(decimals as i32);
            return format!("{step:.decimals$}");
        }
    };
    let nanoseconds = u128::from(grid.step) * unit;
    let (length, name) = UNITS
        .into_iter()
        .find(|(length, _)| nanoseconds.is_multiple_of(*length))
        .unwrap_or((1, "nanoseconds"));
    let count = nanoseconds / length;
    match count {
        1 => format!("1 {}", name.trim_end_matches('s')),
        _ => format!("{count} {name}"),
    }
}

/// The digits after the point that a type's whole numbers stand for.
fn scale_of(data_type: &DataType) -> usize {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => usize::from(scale.unsigned_abs()),
        _ => 0,
    }
}

fn parse_grid(text: &str) -> Option<Grid> {
    let mut parts = text.split(' ');
    Some(Grid {
        origin: parts.next()?.parse().ok()?,
        step: parts.next()?.parse().ok().filter(|step| *step > 0)?,
        decimals: parts
            .next()?
            .parse()
            .ok()
            .filter(|decimals| *decimals <= MOST_DECIMALS)?,
        whole: parts.next()?.parse().ok()?,
    })
}

/// The numbers in the grid's steps from its origin; as they are without a grid.
fn positions(numbers: &Numbers, grid: Option<Grid>) -> Vec<Option<f64>> {
    match (&numbers.values, grid) {
        (Values::Integers(values), Some(grid)) => values
            .iter()
            .map(|value| {
                let distance = i128::from((*value)?) - i128::from(grid.origin);
                Some((distance / i128::from(grid.step)) as f64)
            })
            .collect(),
        (Values::Floats { values, .. }, Some(grid)) => values
            .iter()
            .map(|value| {
                let whole = ((*value)? * grid.power()).round() - grid.origin as f64;
                Some(whole / grid.step as f64)
            })
            .collect(),
        (Values::Integers(values), None) => values
            .iter()
            .map(|value| value.map(|value| value as f64))
            .collect(),
        (Values::Floats { values, .. }, None) => values.clone(),
    }
}

/// Points that hold far more rows than their neighbours.
fn find_inflated(sorted: &[f64]) -> Vec<f64> {
    let mut runs: Vec<(f64, usize)> = Vec::new();
    for &value in sorted {
        match runs.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => runs.push((value, 1)),
        }
    }
    let least = (INFLATED_SHARE * sorted.len() as f64).max(2.0);
    (0..runs.len())
        .filter(|&i| {
            let count = runs[i].1 as f64;
            let around = i.saturating_sub(NEIGHBOURS)..(i + NEIGHBOURS + 1).min(runs.len());
            let neighbours = around.len() - 1;
            let rows: usize = runs[around].iter().map(|run| run.1).sum();
            let mean = (rows - runs[i].1) as f64 / neighbours.max(1) as f64;
            count >= least && count >= INFLATED_RATIO * mean
        })
        .map(|i| runs[i].0)
        .collect()
}

fn contains(few: &[f64], value: f64) -> bool {
    few.contains(&value)
}

/// The sorted values' quantile at `p`, interpolated linearly.
fn lerp(sorted: &[f64], p: f64) -> f64 {
    let place = p * (sorted.len() - 1) as f64;
    let below = (place as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    let share = place - below as f64;
    if share <= 0.0 || sorted[below] == sorted[above] {
        return sorted[below];
    }
    // The weighted form does not overflow where the difference would.
    sorted[below] * (1.0 - share) + sorted[above] * share
}

/// Integers, moments and decimals as 64-bit integers; nothing for the others, and for what does not fit.
fn to_int64(array: &ArrayRef) -> Result<Option<ArrayRef>> {
    let same_bits = |width: &DataType| -> Result<ArrayRef> {
        let data = array.to_data().into_builder().data_type(width.clone());
        Ok(make_array(data.build()?))
    };
    let integers = match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => {
            cast(&same_bits(&DataType::Int32)?, &DataType::Int64)?
        }
        DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_) => same_bits(&DataType::Int64)?,
        data_type if data_type.is_integer() => cast(array, &DataType::Int64)?,
        data_type if data_type.is_decimal() => {
            let wide = cast(array, &wide_decimal(data_type))?;
            let units = wide.as_primitive::<Decimal128Type>();
            Arc::new(units.unary_opt::<_, Int64Type>(|units| i64::try_from(units).ok()))
        }
        _ => return Ok(None),
    };
    // Casting turns what does not fit (large unsigned integers) into NULL.
    Ok((integers.null_count() == array.null_count()).then_some(integers))
}

/// The widest decimal of the same scale whose units are 128 bits.
fn wide_decimal(data_type: &DataType) -> DataType {
    let scale = match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    };
    DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale)
}

/// The other way of [`to_int64`].
pub fn of_int64(integers: &Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    let integers: ArrayRef = Arc::new(integers.clone());
    let same_bits = |array: ArrayRef| -> Result<ArrayRef> {
        let data = array.to_data().into_builder().data_type(data_type.clone());
        Ok(make_array(data.build()?))
    };
    match data_type {
        DataType::Date32 | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond) => {
            same_bits(cast(&integers, &DataType::Int32)?)
        }
        DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_) => same_bits(integers),
        _ if data_type.is_decimal() => {
            let units: Decimal128Array = integers
                .as_primitive::<Int64Type>()
                .unary::<_, Decimal128Type>(i128::from);
            let wide: ArrayRef = Arc::new(units.with_data_type(wide_decimal(data_type)));
            Ok(cast(&wide, data_type)?)
        }
        _ => Ok(cast(&integers, data_type)?),
    }
}

pub fn of_float64(floats: Float64Array, data_type: &DataType) -> Result<ArrayRef> {
    let floats = match data_type {
        // The largest number of 53 bits below 2^64, which itself would not fit.
        DataType::UInt64 => floats.unary(|x: f64| x.min(18_446_744_073_709_549_568.0)),
        _ => floats,
    };
    Ok(cast(&(Arc::new(floats) as ArrayRef), data_type)?)
}

/// NaN and infinities as NULL, the negative zero as zero; other types as they are.
pub fn nan_to_null(array: &ArrayRef) -> Result<ArrayRef> {
    fn clean<T: ArrowPrimitiveType>(
        array: &ArrayRef,
        finite: impl Fn(T::Native) -> Option<T::Native>,
    ) -> ArrayRef {
        Arc::new(array.as_primitive::<T>().unary_opt::<_, T>(finite))
    }
    Ok(match array.data_type() {
        DataType::Float64 => clean::<Float64Type>(array, |x| x.is_finite().then_some(x + 0.0)),
        DataType::Float32 => clean::<Float32Type>(array, |x| x.is_finite().then_some(x + 0.0)),
        DataType::Float16 => clean::<Float16Type>(array, |x| x.is_finite().then_some(x)),
        _ => Arc::clone(array),
    })
}
