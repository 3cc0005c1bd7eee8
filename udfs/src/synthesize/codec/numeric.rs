//! Numbers and moments: through the column's quantiles to a standard normal, and back.

use std::collections::HashSet;
use std::f64::consts::SQRT_2;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, make_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Int64Type, TimeUnit};
use candle_core::cpu::erf::{erfc_f64, erfc_inv};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use super::EncodedColumn;
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
const MOST_DECIMALS: u8 = 6;

/// A column's numbers; NULL, NaN and infinities are missing.
#[derive(Debug)]
pub struct Numbers {
    values: Values,
}

#[derive(Debug)]
enum Values {
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
}

impl Grid {
    fn fit(numbers: &Numbers) -> Option<Self> {
        match &numbers.values {
            Values::Integers(values) => Self::through(values.iter().flatten().copied(), 0),
            Values::Floats { values, single } => {
                let decimals = (0..=MOST_DECIMALS).find(|&decimals| {
                    let power = 10f64.powi(i32::from(decimals));
                    values
                        .iter()
                        .flatten()
                        .all(|&value| on_grid(value, power, *single))
                })?;
                let power = 10f64.powi(i32::from(decimals));
                let integers = values.iter().flatten().map(|x| (x * power).round() as i64);
                Self::through(integers, decimals)
            }
        }
    }

    fn through(values: impl Iterator<Item = i64> + Clone, decimals: u8) -> Option<Self> {
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

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A numeric column. Everything but the grid itself is in the grid's steps, where there is one.
#[derive(Debug, Clone)]
pub struct Quantiles {
    grid: Option<Grid>,
    /// The quantiles at equidistant probabilities from 0 to 1, of the ordinary values.
    references: Vec<f64>,
    inflated: Vec<f64>,
    low: f64,
    high: f64,
    /// How many ordinary values the quantiles were learnt from.
    count: f64,
}

impl Quantiles {
    pub fn fit(numbers: &Numbers) -> Self {
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
        let count = sorted.len();
        let references = match count {
            0 => Vec::new(),
            _ => {
                let wanted = (count / ROWS_PER_QUANTILE).clamp(count.min(SMALL), MOST_QUANTILES);
                let last = wanted.max(2) - 1;
                (0..=last)
                    .map(|i| lerp(&sorted, i as f64 / last as f64))
                    .collect()
            }
        };
        Self {
            grid,
            references,
            inflated,
            low,
            high,
            count: count as f64,
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
        // The rows come in the order of their content, so a stream for all of them is enough.
        let mut stream = rng::stream(rng::hash(seed, name.as_bytes()), "dequantise", 1);
        for position in positions {
            let offset = f64::from(rng::uniform(&mut stream));
            let (state, value) = match position {
                None => (null?, 0.0),
                Some(x) => match self.inflated.iter().position(|&value| value == x) {
                    Some(i) => (i as u32 + 1, 0.0),
                    None => (0, self.to_normal(x, offset)),
                },
            };
            encoded.states.push(state);
            encoded.values.push(value);
        }
        Some(encoded)
    }

    pub fn decode(&self, encoded: &EncodedColumn, data_type: &DataType) -> Result<ArrayRef> {
        let position = |(&state, &value): (&u32, &f32)| match state {
            0 => Some(self.of_normal(value)),
            _ => self.inflated.get(state as usize - 1).copied(),
        };
        let positions = encoded.states.iter().zip(&encoded.values).map(position);
        match self.grid {
            Some(grid) if is_integer_like(data_type) => {
                let integers: Int64Array = positions
                    .map(|x| {
                        x.map(|x| {
                            let whole = i128::from(grid.origin) + x as i128 * i128::from(grid.step);
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

    pub fn describe(&self) -> String {
        let number = |x: f64| match self.grid {
            Some(grid) => {
                let value = (grid.origin as f64 + x * grid.step as f64) / grid.power();
                format!("{value:.*}", usize::from(grid.decimals))
            }
            None => format!("{x:.6}"),
        };
        let mut text = format!(
            "numeric, {} to {}, {} quantiles",
            number(self.low),
            number(self.high),
            self.references.len()
        );
        if !self.inflated.is_empty() {
            let values: Vec<String> = self.inflated.iter().map(|&x| number(x)).collect();
            text.push_str(&format!(", inflated at {}", values.join(", ")));
        }
        text
    }

    pub fn save(&self, prefix: &str, file: &mut ModelFile) -> Result<()> {
        if let Some(grid) = self.grid {
            file.set_text(
                &format!("{prefix}.grid"),
                format!("{} {} {}", grid.origin, grid.step, grid.decimals),
            );
        }
        file.set_numbers(format!("{prefix}.quantiles"), &self.references)?;
        file.set_numbers(format!("{prefix}.inflated"), &self.inflated)?;
        file.set_numbers(
            format!("{prefix}.range"),
            &[self.low, self.high, self.count],
        )
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
        Ok(Self {
            grid,
            references: file.numbers(&format!("{prefix}.quantiles"))?,
            inflated: file.numbers(&format!("{prefix}.inflated"))?,
            low,
            high,
            count,
        })
    }

    /// `offset`, uniform in 0..1, spreads a value over its step, or over the probability of a point
    /// that holds several quantiles.
    fn to_normal(&self, x: f64, offset: f64) -> f32 {
        let last = self.references.len().saturating_sub(1);
        if last == 0 {
            return 0.0;
        }
        let x = match self.grid {
            Some(_) => x + offset - 0.5,
            None => x,
        };
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
        let p = (place / last as f64).clamp(margin, 1.0 - margin);
        (-SQRT_2 * erfc_inv(2.0 * p)) as f32
    }

    fn of_normal(&self, z: f32) -> f64 {
        if self.references.is_empty() {
            return self.low;
        }
        let p = 0.5 * erfc_f64(-f64::from(z) / SQRT_2);
        let x = lerp(&self.references, p.clamp(0.0, 1.0));
        let x = match self.grid {
            Some(_) => x.round(),
            None => x,
        };
        x.clamp(self.low, self.high)
    }
}

fn parse_grid(text: &str) -> Option<Grid> {
    let mut parts = text.split(' ');
    Some(Grid {
        origin: parts.next()?.parse().ok()?,
        step: parts.next()?.parse().ok()?,
        decimals: parts.next()?.parse().ok()?,
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

fn is_integer_like(data_type: &DataType) -> bool {
    !data_type.is_floating()
        && !matches!(
            data_type,
            DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Decimal256(..)
        )
}

/// Integers and moments as 64-bit integers; nothing for the others, and for what does not fit.
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
        _ => return Ok(None),
    };
    // Casting turns what does not fit (large unsigned integers) into NULL.
    Ok((integers.null_count() == array.null_count()).then_some(integers))
}

fn of_int64(integers: &Int64Array, data_type: &DataType) -> Result<ArrayRef> {
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
        _ => Ok(cast(&integers, data_type)?),
    }
}

fn of_float64(floats: Float64Array, data_type: &DataType) -> Result<ArrayRef> {
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
