//! What is in each column: the kernel of `profile`.
//!
//! Values are counted, so all statistics are exact and no order of rows matters. While a column has few different
//! values the memory does not grow with the rows; beyond that it is 8 bytes a row, or what the different texts take.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion_common::{Result, exec_err};

use crate::fitted::State;
use crate::fitted::counts::{BatchKeys, Counts, for_each_valid, of_small_keys};
use crate::fitted::moments::Moments;
use crate::fitted::quantiles::{Method, between, place};
use crate::fitted::table::Table;
use crate::table::{Host, Rows, TableFunction, TableKernel, in_parallel};

/// Bins of a histogram.
const BINS: usize = 10;
/// Different values that are counted before they are kept as they are.
const COUNTED: usize = 65_536;
/// Rows after which almost only new values mean that counting them does not pay.
const TRIED: u64 = 8192;
/// Values looked at together.
const CHUNK: usize = 1024;

/// A column to be profiled; the input has its values in the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileColumn {
    pub name: String,
    /// The type to be shown.
    pub shown: String,
    /// The type of the input's values.
    pub data_type: DataType,
    pub values: ProfileValues,
    /// Whether a value may name a row: a float may be different in each row and name none.
    pub names_rows: bool,
}

/// What is told of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileValues {
    /// All.
    Number,
    /// Counts and extremes.
    Ordered,
    /// Counts alone; the input has a key that tells values apart.
    Opaque,
}

/// A row a column.
#[derive(Debug, Clone)]
pub struct Profile {
    columns: Arc<[ProfileColumn]>,
    schema: SchemaRef,
}

impl Profile {
    /// Of these columns of the input.
    pub fn new(columns: Vec<ProfileColumn>) -> Self {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let whole = |name: &str| Field::new(name, DataType::Int64, true);
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let schema = Schema::new(vec![
            text("column_name"),
            text("type"),
            whole("rows"),
            whole("missing"),
            whole("distinct"),
            text("min"),
            text("max"),
            number("mean"),
            number("std"),
            number("q25"),
            number("median"),
            number("q75"),
            text("most_frequent"),
            whole("frequency"),
            text("histogram"),
            text("warning"),
        ]);
        Self {
            columns: columns.into(),
            schema: Arc::new(schema),
        }
    }
}

impl TableFunction for Profile {
    fn name(&self) -> &'static str {
        "profile"
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        names.join(", ")
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        let columns = self.columns.iter().map(Seen::new).collect::<Result<_>>()?;
        Ok(Box::new(Kernel {
            function: self.clone(),
            columns,
            rows: 0,
        }))
    }
}

struct Kernel {
    function: Profile,
    columns: Vec<Seen>,
    rows: u64,
}

impl TableKernel for Kernel {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for (seen, array) in self.columns.iter_mut().zip(batch.columns()) {
            seen.push(array)?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.columns.iter().map(Seen::size).sum()
    }

    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows> {
        // a value, its count, and the value as a float
        let sorted: usize = self.columns.iter().map(|c| 48 * c.at_most()).sum();
        let texts: usize = self.columns.iter().map(Seen::texts).sum();
        host.resize(self.size() + sorted + texts)?;
        let Self {
            function,
            columns,
            rows,
        } = *self;
        let seen: Vec<_> = columns.into_iter().zip(function.columns.iter()).collect();
        let told = in_parallel(seen, host.threads(), |(seen, column)| {
            Told::of(seen, column, rows)
        })?;
        let text = |of: fn(&Told) -> Option<&str>| -> ArrayRef {
            Arc::new(told.iter().map(of).collect::<StringArray>())
        };
        let whole = |of: fn(&Told) -> Option<u64>| -> ArrayRef {
            let values = told.iter().map(|t| of(t).map(u64::cast_signed));
            Arc::new(values.collect::<Int64Array>())
        };
        let number = |of: fn(&Told) -> Option<f64>| -> ArrayRef {
            Arc::new(told.iter().map(of).collect::<Float64Array>())
        };
        let names = function.columns.iter().map(|c| Some(c.name.as_str()));
        let types = function.columns.iter().map(|c| Some(c.shown.as_str()));
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(names.collect::<StringArray>()),
            Arc::new(types.collect::<StringArray>()),
            whole(|t| Some(t.rows)),
            whole(|t| Some(t.rows - t.present)),
            whole(|t| Some(t.distinct)),
            text(|t| t.min.as_deref()),
            text(|t| t.max.as_deref()),
            number(|t| t.mean),
            number(|t| t.std),
            number(|t| t.quartiles.map(|q| q[0])),
            number(|t| t.quartiles.map(|q| q[1])),
            number(|t| t.quartiles.map(|q| q[2])),
            text(|t| t.mode.as_deref()),
            whole(|t| t.frequency),
            text(|t| t.histogram.as_deref()),
            text(|t| t.warning.as_deref()),
        ];
        let batch = RecordBatch::try_new(function.schema(), arrays)?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

/// What was seen of a column.
#[derive(Debug)]
enum Seen {
    /// Values that are no longer than 8 bytes, and the moments of those that are numbers.
    Keys(Keys, Option<Moments>),
    Counts(Counts, Option<Moments>),
    /// The untyped NULL.
    Nothing,
}

impl Seen {
    fn new(column: &ProfileColumn) -> Result<Self> {
        let moments = (column.values == ProfileValues::Number).then(Moments::default);
        Ok(match &column.data_type {
            DataType::Null => Self::Nothing,
            DataType::Utf8View | DataType::Decimal128(..) | DataType::Dictionary(..) => {
                Self::Counts(Counts::new(&column.data_type)?, moments)
            }
            _ => Self::Keys(Keys::default(), moments),
        })
    }

    fn push(&mut self, array: &ArrayRef) -> Result<()> {
        let moments = match self {
            Self::Nothing => return Ok(()),
            Self::Keys(keys, moments) => {
                let BatchKeys::Small(values, nulls) = BatchKeys::of(array)? else {
                    return exec_err!("profile: a {} has no small keys", array.data_type());
                };
                keys.add(&values, nulls.as_ref());
                moments
            }
            Self::Counts(counts, moments) => {
                counts.update(std::slice::from_ref(array))?;
                moments
            }
        };
        if let Some(moments) = moments {
            moments.update(&[cast(array, &DataType::Float64)?])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Nothing => 0,
                Self::Keys(keys, _) => keys.bytes(),
                Self::Counts(counts, _) => counts.size(),
            }
    }

    /// At least as many as there are different values, where they are kept by key.
    fn at_most(&self) -> usize {
        match self {
            Self::Keys(keys, _) => keys.table.len() + keys.plain.len(),
            _ => 0,
        }
    }

    /// Bytes of the sorted values, where they are not kept by key.
    fn texts(&self) -> usize {
        match self {
            Self::Counts(counts, _) => counts.size(),
            _ => 0,
        }
    }

    /// The different values in order, how often each was seen, and the moments.
    fn sorted(self, data_type: &DataType) -> Result<(ArrayRef, Vec<u64>, Option<Moments>)> {
        Ok(match self {
            Self::Nothing => (new_empty_array(data_type), Vec::new(), None),
            Self::Counts(counts, moments) => {
                let (values, counts) = counts.sorted()?;
                (values, counts, moments)
            }
            Self::Keys(keys, moments) => {
                let (keys, counts): (Vec<_>, Vec<_>) = keys.sorted().into_iter().unzip();
                (of_small_keys(data_type, &keys)?, counts, moments)
            }
        })
    }
}

/// How often each key was seen: counted in a table while they are few, kept as they are when it is full.
#[derive(Debug, Default)]
struct Keys {
    table: Table<i64>,
    /// Rows in the table.
    rows: u64,
    plain: Vec<i64>,
    full: bool,
}

impl Keys {
    fn add(&mut self, keys: &[i64], nulls: Option<&NullBuffer>) {
        let nulls = nulls.filter(|n| n.null_count() > 0);
        for from in (0..keys.len()).step_by(CHUNK) {
            let chunk = &keys[from..keys.len().min(from + CHUNK)];
            if self.full {
                match nulls {
                    None => self.plain.extend_from_slice(chunk),
                    Some(nulls) => {
                        let nulls = nulls.slice(from, chunk.len());
                        for (start, end) in nulls.valid_slices() {
                            self.plain.extend_from_slice(&chunk[start..end]);
                        }
                    }
                }
                continue;
            }
            let nulls = nulls.map(|n| n.slice(from, chunk.len()));
            let mut added = 0;
            for_each_valid(chunk.len(), nulls.as_ref(), |i| {
                self.table.add(chunk[i], 1);
                added += 1;
            });
            self.rows += added;
            let distinct = self.table.len();
            let tried = (TRIED..2 * TRIED).contains(&self.rows);
            self.full = distinct > COUNTED || (tried && 10 * distinct as u64 > 9 * self.rows);
        }
    }

    fn bytes(&self) -> usize {
        self.table.bytes() + 8 * self.plain.capacity()
    }

    fn sorted(mut self) -> Vec<(i64, u64)> {
        let counted = self.table.sorted();
        if self.plain.is_empty() {
            return counted;
        }
        self.plain.sort_unstable();
        let mut all = Vec::with_capacity(counted.len() + self.plain.len());
        let mut counted = counted.into_iter().peekable();
        for run in self.plain.chunk_by(|a, b| a == b) {
            let key = run[0];
            let mut n = run.len() as u64;
            while let Some(entry) = counted.next_if(|(k, _)| *k <= key) {
                if entry.0 == key {
                    n += entry.1;
                } else {
                    all.push(entry);
                }
            }
            all.push((key, n));
        }
        all.extend(counted);
        all
    }
}

/// What is told of a column.
#[derive(Debug, Default)]
struct Told {
    rows: u64,
    present: u64,
    distinct: u64,
    min: Option<String>,
    max: Option<String>,
    mean: Option<f64>,
    std: Option<f64>,
    quartiles: Option<[f64; 3]>,
    mode: Option<String>,
    frequency: Option<u64>,
    histogram: Option<String>,
    warning: Option<String>,
}

impl Told {
    fn of(seen: Seen, column: &ProfileColumn, rows: u64) -> Result<Self> {
        let (values, counts, moments) = seen.sorted(&column.data_type)?;
        let present: u64 = counts.iter().sum();
        let mut told = Self {
            rows,
            present,
            distinct: counts.len() as u64,
            ..Self::default()
        };
        told.warning = told.warned(column.names_rows);
        let Some(last) = counts.len().checked_sub(1) else {
            return Ok(told);
        };
        // the first, which is the smallest, of the most frequent
        let frequency = counts.iter().max().copied();
        let mode = counts.iter().position(|n| Some(*n) == frequency);
        told.frequency = frequency;
        if column.values == ProfileValues::Opaque {
            return Ok(told);
        }
        let text = |at: usize| -> Result<Option<String>> {
            let text = cast(&values.slice(at, 1), &DataType::Utf8)?;
            let text = text.as_string::<i32>();
            Ok(text.is_valid(0).then(|| text.value(0).to_string()))
        };
        told.min = text(0)?;
        told.max = text(last)?;
        told.mode = text(mode.unwrap_or(0))?;
        if column.values == ProfileValues::Number {
            let floats = cast(&values, &DataType::Float64)?;
            let floats = floats.as_primitive::<Float64Type>().values();
            told.of_numbers(floats, &counts, &moments.unwrap_or_default());
        }
        Ok(told)
    }

    /// Of numbers in order and how often each was seen.
    fn of_numbers(&mut self, values: &[f64], counts: &[u64], moments: &Moments) {
        let (Some(low), Some(high)) = (values.first(), values.last()) else {
            return;
        };
        let mean = match (*low == f64::NEG_INFINITY, *high == f64::INFINITY) {
            (false, false) => moments.mean(),
            (true, true) => None,
            (true, false) => Some(f64::NEG_INFINITY),
            (false, true) => Some(f64::INFINITY),
        };
        self.mean = mean;
        // an infinity has no distance from the mean
        self.std = moments
            .deviation(0)
            .filter(|_| mean.is_some_and(f64::is_finite));
        let ends: Vec<u64> = counts
            .iter()
            .scan(0, |end, n| {
                *end += n;
                Some(*end)
            })
            .collect();
        let value = |rank: u64| values[ends.partition_point(|end| *end <= rank)];
        self.quartiles = Some([0.25, 0.5, 0.75].map(|q| {
            let (lower, upper, t) = place(self.present, q, Method::Linear);
            between(value(lower), value(upper), t)
        }));
        self.histogram = histogram(values, counts);
    }

    fn warned(&self, names_rows: bool) -> Option<String> {
        let mut warnings = Vec::new();
        if self.rows == 0 {
            warnings.push("empty");
        }
        if self.distinct == 1 {
            warnings.push("constant");
        }
        if names_rows && self.distinct == self.rows && self.rows > 1 {
            warnings.push("identifier");
        }
        if self.rows > 0 && self.present == 0 {
            warnings.push("all missing");
        } else if (self.rows - self.present) * 2 > self.rows {
            warnings.push("mostly missing");
        }
        (!warnings.is_empty()).then(|| warnings.join(", "))
    }
}

/// Bins of the same width from the smallest to the largest value, as heights.
fn histogram(values: &[f64], counts: &[u64]) -> Option<String> {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = (values.first()?, values.last()?);
    let width = high - low;
    if !(width > 0.0 && width.is_finite()) {
        return None;
    }
    let mut bins = [0u64; BINS];
    for (value, n) in values.iter().zip(counts) {
        let at = (value - low) / width * BINS as f64;
        bins[(at as usize).min(BINS - 1)] += n;
    }
    let highest = bins.iter().max().copied().unwrap_or(1).max(1);
    let bar = |n: u64| {
        let height = (8.0 * n as f64 / highest as f64).ceil() as usize;
        HEIGHTS[height.clamp(1, 8) - 1]
    };
    Some(bins.into_iter().map(bar).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::{run, run_any_way, sorted};
    use arrow::array::{BooleanArray, StringViewArray, UInt64Array};

    fn column(name: &str, data_type: DataType, values: ProfileValues) -> ProfileColumn {
        ProfileColumn {
            name: name.to_string(),
            shown: data_type.to_string(),
            names_rows: !data_type.is_floating() && values != ProfileValues::Opaque,
            data_type,
            values,
        }
    }

    fn profile(columns: Vec<(&str, ProfileValues, ArrayRef)>) -> Vec<String> {
        let batch = RecordBatch::try_from_iter(columns.iter().map(|(n, _, a)| (*n, Arc::clone(a))));
        let columns = columns
            .iter()
            .map(|(n, v, a)| column(n, a.data_type().clone(), *v))
            .collect();
        sorted(&run_any_way(&Profile::new(columns), &batch.unwrap()))
    }

    #[test]
    fn all_kinds() {
        let told = profile(vec![
            (
                "f",
                ProfileValues::Number,
                Arc::new(Float64Array::from(vec![
                    Some(2.0),
                    None,
                    Some(f64::NAN),
                    Some(4.0),
                    Some(-0.0),
                    Some(0.0),
                ])),
            ),
            (
                "t",
                ProfileValues::Ordered,
                Arc::new(StringViewArray::from(vec![
                    Some("b"),
                    Some("a much longer text"),
                    None,
                    Some("b"),
                    Some(""),
                    Some("ß"),
                ])),
            ),
            (
                "o",
                ProfileValues::Opaque,
                Arc::new(UInt64Array::from(vec![1, 1, 1, 2, u64::MAX, 0])),
            ),
        ]);
        assert_eq!(
            told,
            [
                "f|Float64|6|2|3|0.0|4.0|1.5|1.6583123951777|0.0|1.0|2.5|0.0|2|█▁▁▁▁▄▁▁▁▄|NULL",
                "o|UInt64|6|0|4|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|3|NULL|NULL",
                "t|Utf8View|6|1|4||ß|NULL|NULL|NULL|NULL|NULL|b|2|NULL|NULL",
            ]
        );
    }

    #[test]
    fn infinities_and_large_numbers() {
        let told = profile(vec![
            (
                "f",
                ProfileValues::Number,
                Arc::new(Float64Array::from(vec![1.0, f64::INFINITY])),
            ),
            (
                "i",
                ProfileValues::Number,
                Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX - 1])),
            ),
            (
                "b",
                ProfileValues::Number,
                Arc::new(BooleanArray::from(vec![true, true])),
            ),
        ]);
        assert_eq!(
            told,
            [
                "b|Boolean|2|0|1|true|true|1.0|0.0|1.0|1.0|1.0|true|2|NULL|constant",
                "f|Float64|2|0|2|1.0|inf|inf|NULL|inf|inf|inf|1.0|1|NULL|NULL",
                "i|Int64|2|0|2|9223372036854775806|9223372036854775807|9.223372036854776e18|0.0|9.223372036854776e18|9.223372036854776e18|9.223372036854776e18|9223372036854775806|1|NULL|identifier",
            ]
        );
    }

    #[test]
    fn many_values() {
        let n = 200_000u32;
        let floats: Float64Array = (0..n)
            .map(|i| Some(f64::from(i.wrapping_mul(2_654_435_761) % n) / 8.0))
            .collect();
        let mut expected: Vec<f64> = floats.values().to_vec();
        expected.sort_by(f64::total_cmp);
        expected.dedup();
        let f = Profile::new(vec![column("f", DataType::Float64, ProfileValues::Number)]);
        let batch = RecordBatch::try_from_iter([("f", Arc::new(floats) as ArrayRef)]).unwrap();
        let told = run(&f, &[batch]).unwrap();
        let distinct = told.column(4).as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!(distinct.value(0), expected.len() as i64);
    }

    #[test]
    fn no_rows() {
        let f = Profile::new(vec![
            column("a", DataType::Int64, ProfileValues::Number),
            column("b", DataType::Null, ProfileValues::Opaque),
        ]);
        let told = sorted(&run(&f, &[]).unwrap());
        let nothing = ["NULL"; 9].join("|");
        assert_eq!(
            told,
            [
                format!("a|Int64|0|0|0|{nothing}|NULL|empty"),
                format!("b|Null|0|0|0|{nothing}|NULL|empty")
            ]
        );
    }
}
