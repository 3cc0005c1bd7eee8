//! How columns go together, pair by pair: the kernel of `correlations`.
//!
//! Of a number its value and its rank are kept, 12 bytes a row; of a category its code, 4 bytes a row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion_common::{Result, resources_err};

use crate::fitted::comoments::Products;
use crate::fitted::counts::for_each_valid;
use crate::fitted::moments::Moments;
use crate::fitted::numbers::Numbers;
use crate::fitted::quantiles::order_key;
use crate::fitted::table::{FastState, Table};
use crate::table::{Host, Rows, TableFunction, TableKernel, in_parallel};

/// Different texts of a column beyond which it is no category.
pub const MOST_CATEGORIES: usize = 65_536;
/// The rank or code of what is missing.
const MISSING: u32 = u32::MAX;
/// Different numbers that are ranked by a table, not by sorting all rows.
const FEW: usize = 4096;

/// A row a pair of columns. The input's types say how a column is taken: `Float64` is a number, `Utf8View` a
/// category, `Boolean` both; of all others only matters whether a value is there.
#[derive(Debug, Clone)]
pub struct Correlations {
    names: Arc<[String]>,
    types: Arc<[DataType]>,
    schema: SchemaRef,
}

impl Correlations {
    /// Of the columns of the input, by name and type.
    pub fn new(columns: Vec<(String, DataType)>) -> Self {
        let (names, types): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let schema = Schema::new(vec![
            text("column_a"),
            text("column_b"),
            Field::new("rows", DataType::Int64, true),
            number("pearson"),
            number("spearman"),
            number("cramers_v"),
            number("mutual_information"),
            text("note"),
        ]);
        Self {
            names: names.into(),
            types: types.into(),
            schema: Arc::new(schema),
        }
    }
}

impl TableFunction for Correlations {
    fn name(&self) -> &'static str {
        "correlations"
    }

    fn describe(&self) -> String {
        self.names.join(", ")
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        Ok(Box::new(Kernel {
            function: self.clone(),
            columns: self.types.iter().map(Gathered::new).collect(),
            rows: 0,
        }))
    }
}

struct Kernel {
    function: Correlations,
    columns: Vec<Gathered>,
    rows: usize,
}

impl TableKernel for Kernel {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        // ranks are doubled
        if self.rows > (i32::MAX as usize) {
            return resources_err!(
                "correlations: at most {} rows; take a sample of the rows",
                i32::MAX
            );
        }
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.push(array);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.columns.iter().map(Gathered::size).sum()
    }

    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows> {
        let Self {
            function,
            columns,
            rows,
        } = *self;
        let threads = host.threads().min(columns.len()).max(1);
        let held: usize = columns.iter().map(Gathered::size).sum();
        // ranks and codes of all columns; what sorting takes on each thread; then the cells of a pair, or
        // what counts ranks
        host.resize(held + rows * (8 * columns.len() + 24 * threads))?;
        let columns = in_parallel(columns, threads, |c| Ok(Column::of(c, rows)))?;
        let pairs: Vec<(usize, usize)> = (0..columns.len())
            .flat_map(|a| (a + 1..columns.len()).map(move |b| (a, b)))
            .collect();
        let stop = host.stop();
        let told = in_parallel(pairs.clone(), host.threads(), |(a, b)| {
            stop.check()?;
            Ok(Told::of(&columns[a], &columns[b], rows))
        })?;
        let names = &function.names;
        let name = |of: fn(&(usize, usize)) -> usize| -> ArrayRef {
            let names = pairs.iter().map(|p| Some(names[of(p)].as_str()));
            Arc::new(names.collect::<StringArray>())
        };
        let number = |of: fn(&Told) -> Option<f64>| -> ArrayRef {
            Arc::new(told.iter().map(of).collect::<Float64Array>())
        };
        let notes = pairs.iter().map(|(a, b)| {
            let many = [*a, *b].into_iter().filter(|c| columns[*c].too_many);
            let many: Vec<&str> = many.map(|c| names[c].as_str()).collect();
            (!many.is_empty()).then(|| {
                format!(
                    "more than {MOST_CATEGORIES} categories: {}",
                    many.join(", ")
                )
            })
        });
        let arrays: Vec<ArrayRef> = vec![
            name(|p| p.0),
            name(|p| p.1),
            Arc::new(told.iter().map(|t| Some(t.rows)).collect::<Int64Array>()),
            number(|t| t.pearson),
            number(|t| t.spearman),
            number(|t| t.cramers_v),
            number(|t| t.mutual_information),
            Arc::new(notes.collect::<StringArray>()),
        ];
        let batch = RecordBatch::try_new(function.schema(), arrays)?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

/// A column's values while rows come in.
#[derive(Debug)]
enum Gathered {
    /// NaN is missing.
    Numbers(Vec<f64>),
    /// Codes in the order of appearance.
    Categories(Vec<u32>, Box<Coder>),
    /// 0, 1 or missing.
    Booleans(Vec<u32>),
    /// 0 or missing.
    Presence(Vec<u32>),
}

impl Gathered {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Float64 => Self::Numbers(Vec::new()),
            DataType::Utf8View => Self::Categories(Vec::new(), Box::default()),
            DataType::Boolean => Self::Booleans(Vec::new()),
            _ => Self::Presence(Vec::new()),
        }
    }

    fn push(&mut self, array: &ArrayRef) {
        let rows = array.len();
        let nulls = array.logical_nulls();
        match self {
            Self::Numbers(floats) => {
                let values = array.as_primitive::<Float64Type>().values();
                let from = floats.len();
                match nulls.filter(|n| n.null_count() > 0) {
                    None => floats.extend_from_slice(values),
                    Some(nulls) => {
                        floats.resize(from + rows, f64::NAN);
                        for (start, end) in nulls.valid_slices() {
                            floats[from + start..from + end].copy_from_slice(&values[start..end]);
                        }
                    }
                }
            }
            Self::Categories(codes, coder) => coder.push(array.as_string_view(), codes),
            Self::Booleans(codes) => {
                let from = codes.len();
                codes.resize(from + rows, MISSING);
                let values = array.as_boolean().values();
                for_each_valid(rows, nulls.as_ref(), |i| {
                    codes[from + i] = u32::from(values.value(i));
                });
            }
            Self::Presence(codes) => {
                let from = codes.len();
                codes.resize(from + rows, MISSING);
                for_each_valid(rows, nulls.as_ref(), |i| codes[from + i] = 0);
            }
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Numbers(floats) => 8 * floats.capacity(),
                Self::Categories(codes, coder) => 4 * codes.capacity() + coder.size(),
                Self::Booleans(codes) | Self::Presence(codes) => 4 * codes.capacity(),
            }
    }
}

/// The codes of texts.
#[derive(Debug, Default)]
struct Coder {
    short: Table<u128>,
    long: HashMap<Box<[u8]>, u32, FastState>,
    /// Bytes of the long texts.
    bytes: usize,
    /// There were too many texts: all have code 0 from now on.
    too_many: bool,
}

impl Coder {
    fn push(&mut self, texts: &StringViewArray, codes: &mut Vec<u32>) {
        let from = codes.len();
        codes.resize(from + texts.len(), MISSING);
        let codes = &mut codes[from..];
        let views = texts.views();
        for_each_valid(texts.len(), texts.nulls(), |i| {
            if self.too_many {
                codes[i] = 0;
                return;
            }
            let next = (self.short.len() + self.long.len()) as u32;
            let view = views[i];
            let known = if view as u32 <= 12 {
                self.short.get(view).map(|code| code as u32)
            } else {
                self.long.get(texts.value(i).as_bytes()).copied()
            };
            codes[i] = known.unwrap_or_else(|| {
                if view as u32 <= 12 {
                    self.short.add(view, u64::from(next));
                } else {
                    let text = texts.value(i).as_bytes();
                    self.bytes += text.len();
                    self.long.insert(text.into(), next);
                }
                next
            });
            if self.short.len() + self.long.len() > MOST_CATEGORIES {
                *self = Self {
                    too_many: true,
                    ..Self::default()
                };
            }
        });
    }

    fn size(&self) -> usize {
        let entry = size_of::<(Box<[u8]>, u32)>() + 1;
        size_of::<Self>() + self.short.bytes() + self.long.capacity() * 8 / 7 * entry + self.bytes
    }

    /// Where each code stands in the order of the texts.
    fn places(&self) -> Vec<u32> {
        let short: Vec<([u8; 16], u32)> = self
            .short
            .iter()
            .map(|(view, code)| (view.to_le_bytes(), code as u32))
            .collect();
        let mut texts: Vec<(&[u8], u32)> = short
            .iter()
            .map(|(view, code)| (&view[4..4 + usize::from(view[0])], *code))
            .chain(self.long.iter().map(|(text, code)| (text.as_ref(), *code)))
            .collect();
        texts.sort_unstable();
        let mut places = vec![0; texts.len()];
        for (place, (_, code)) in (0..).zip(&texts) {
            places[*code as usize] = place;
        }
        places
    }
}

/// A column as its pairs want it.
#[derive(Debug, Default)]
struct Column {
    floats: Option<Vec<f64>>,
    /// Twice the mean rank among the column's own values, from 2.
    ranks: Option<Vec<u32>>,
    /// Codes in the order of the values, and how many there are.
    codes: Option<(Vec<u32>, usize)>,
    /// Which rows have a value, where some do not.
    present: Option<BooleanBuffer>,
    /// What all values come to, if they are numbers and none is missing.
    moments: Option<Moments>,
    infinite: bool,
    too_many: bool,
}

impl Column {
    fn of(gathered: Gathered, rows: usize) -> Self {
        match gathered {
            Gathered::Numbers(floats) => Self::of_numbers(floats, None),
            Gathered::Booleans(codes) => {
                let floats = codes.iter().map(|c| match *c {
                    MISSING => f64::NAN,
                    c => f64::from(c),
                });
                Self::of_numbers(floats.collect(), Some((codes, 2)))
            }
            Gathered::Categories(mut codes, coder) => {
                let places = coder.places();
                if !coder.too_many {
                    for code in codes.iter_mut().filter(|c| **c != MISSING) {
                        *code = places[*code as usize];
                    }
                }
                Self {
                    present: presence(rows, |i| codes[i] != MISSING),
                    too_many: coder.too_many,
                    codes: (!coder.too_many).then_some((codes, places.len())),
                    ..Self::default()
                }
            }
            Gathered::Presence(codes) => Self {
                present: presence(rows, |i| codes[i] != MISSING),
                ..Self::default()
            },
        }
    }

    fn of_numbers(floats: Vec<f64>, codes: Option<(Vec<u32>, usize)>) -> Self {
        let present = presence(floats.len(), |i| !floats[i].is_nan());
        let infinite = floats.iter().any(|x| x.is_infinite());
        let moments = (present.is_none() && !infinite).then(|| {
            let mut moments = Moments::default();
            moments.add(&floats);
            moments
        });
        Self {
            ranks: Some(ranks(&floats)),
            present,
            infinite,
            moments,
            floats: Some(floats),
            codes,
            too_many: false,
        }
    }
}

/// Which rows have a value; `None` if all have.
fn presence(rows: usize, has: impl Fn(usize) -> bool) -> Option<BooleanBuffer> {
    let present = BooleanBuffer::collect_bool(rows, has);
    (present.count_set_bits() < rows).then_some(present)
}

/// Twice the mean rank of each number, from 2; NaN has none.
fn ranks(floats: &[f64]) -> Vec<u32> {
    let mut ranks = vec![MISSING; floats.len()];
    let mut counts = Table::<i64>::default();
    for x in floats.iter().filter(|x| !x.is_nan()) {
        counts.add(order_key(*x), 1);
        if counts.len() > FEW {
            break;
        }
    }
    if counts.len() <= FEW {
        let mut by_key = Table::<i64>::default();
        let mut before = 0;
        for (key, n) in counts.sorted() {
            by_key.add(key, 2 * before + n + 1);
            before += n;
        }
        for (rank, x) in ranks.iter_mut().zip(floats).filter(|(_, x)| !x.is_nan()) {
            *rank = by_key.get(order_key(*x)).unwrap_or_default() as u32;
        }
        return ranks;
    }
    let mut sorted: Vec<(i64, u32)> = (0..)
        .zip(floats)
        .filter(|(_, x)| !x.is_nan())
        .map(|(row, x)| (order_key(*x), row))
        .collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    let mut before = 0;
    for run in sorted.chunk_by(|a, b| a.0 == b.0) {
        for (_, row) in run {
            ranks[*row as usize] = (2 * before + run.len() + 1) as u32;
        }
        before += run.len();
    }
    ranks
}

/// What is told of a pair.
#[derive(Debug, Default)]
struct Told {
    rows: i64,
    pearson: Option<f64>,
    spearman: Option<f64>,
    cramers_v: Option<f64>,
    mutual_information: Option<f64>,
}

impl Told {
    fn of(a: &Column, b: &Column, rows: usize) -> Self {
        let both = match (&a.present, &b.present) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (Some(a), Some(b)) => Some(a & b),
        };
        let both = both.as_ref();
        let mut told = Self {
            rows: both.map_or(rows, BooleanBuffer::count_set_bits) as i64,
            ..Self::default()
        };
        if let (Some(x), Some(y)) = (&a.floats, &b.floats) {
            told.pearson = pearson(x, y, [a, b], both);
        }
        if let (Some(x), Some(y)) = (&a.ranks, &b.ranks) {
            told.spearman = match both {
                None => spearman(x, y),
                Some(both) => {
                    let x = ranks_within(&chosen(x, both), 2 * rows);
                    let y = ranks_within(&chosen(y, both), 2 * rows);
                    spearman(&x, &y)
                }
            };
        }
        if let (Some((x, many_x)), Some((y, many_y))) = (&a.codes, &b.codes) {
            let cells = cells(x, y, *many_x, *many_y, both);
            [told.cramers_v, told.mutual_information] = contingency(&cells, *many_x, *many_y);
        }
        told
    }
}

/// The values of the rows that are set, side by side.
fn chosen<T: Copy>(values: &[T], rows: &BooleanBuffer) -> Vec<T> {
    let mut out = Vec::with_capacity(rows.count_set_bits());
    for (start, end) in rows.set_slices() {
        out.extend_from_slice(&values[start..end]);
    }
    out
}

/// Pearson's coefficient over the rows that both have.
fn pearson(
    x: &[f64],
    y: &[f64],
    columns: [&Column; 2],
    both: Option<&BooleanBuffer>,
) -> Option<f64> {
    let mut products = Products::default();
    if let ([Some(a), Some(b)], None) = (columns.map(|c| c.moments.as_ref()), both) {
        products.add(x, y);
        return products.correlation(a, b);
    }
    let (x, y) = match both {
        Some(both) => (chosen(x, both), chosen(y, both)),
        None => (x.to_vec(), y.to_vec()),
    };
    // an infinity has no distance from the mean
    if columns.iter().any(|c| c.infinite) && x.iter().chain(&y).any(|x| x.is_infinite()) {
        return None;
    }
    let [mut a, mut b] = [Moments::default(), Moments::default()];
    a.add(&x);
    b.add(&y);
    products.add(&x, &y);
    products.correlation(&a, &b)
}

/// The doubled ranks of values that are known by their ranks, of at most `highest`, among more values.
fn ranks_within(ranks: &[u32], highest: usize) -> Vec<u32> {
    let mut doubled = vec![0u32; highest + 1];
    for rank in ranks {
        doubled[*rank as usize] += 1;
    }
    let mut before = 0;
    for n in doubled.iter_mut().filter(|n| **n > 0) {
        let count = *n;
        *n = 2 * before + count + 1;
        before += count;
    }
    ranks.iter().map(|r| doubled[*r as usize]).collect()
}

/// Pearson's coefficient of doubled ranks: their mean is n + 1, and all sums are whole.
fn spearman(x: &[u32], y: &[u32]) -> Option<f64> {
    let mean = x.len() as i64 + 1;
    let (mut xx, mut yy, mut xy) = (0i128, 0i128, 0i128);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (i64::from(*x) - mean, i64::from(*y) - mean);
        xx += i128::from(dx * dx);
        yy += i128::from(dy * dy);
        xy += i128::from(dx * dy);
    }
    if xx == 0 || yy == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "rounded once each")]
    let (xx, yy, xy) = (xx as f64, yy as f64, xy as f64);
    Some((xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// How often each pair of codes occurs, in the order of the codes.
fn cells(
    x: &[u32],
    y: &[u32],
    many_x: usize,
    many_y: usize,
    both: Option<&BooleanBuffer>,
) -> Vec<(u32, u32, u64)> {
    let each = |f: &mut dyn FnMut(u32, u32)| match both {
        None => x.iter().zip(y).for_each(|(x, y)| f(*x, *y)),
        Some(both) => {
            for (start, end) in both.set_slices() {
                let rows = x[start..end].iter().zip(&y[start..end]);
                rows.for_each(|(x, y)| f(*x, *y));
            }
        }
    };
    if many_x * many_y <= x.len().max(1024) {
        let mut counts = vec![0u64; many_x * many_y];
        each(&mut |x, y| counts[x as usize * many_y + y as usize] += 1);
        let cells = counts.iter().enumerate().filter(|(_, n)| **n > 0);
        return cells
            .map(|(at, n)| ((at / many_y) as u32, (at % many_y) as u32, *n))
            .collect();
    }
    let mut keys = Vec::with_capacity(both.map_or(x.len(), BooleanBuffer::count_set_bits));
    each(&mut |x, y| keys.push((u64::from(x) << 32) | u64::from(y)));
    keys.sort_unstable();
    keys.chunk_by(|a, b| a == b)
        .map(|run| ((run[0] >> 32) as u32, run[0] as u32, run.len() as u64))
        .collect()
}

/// Cramér's V, the root of chi square over its largest value, and the mutual information in nats.
fn contingency(cells: &[(u32, u32, u64)], many_x: usize, many_y: usize) -> [Option<f64>; 2] {
    if cells.is_empty() {
        return [None, None];
    }
    let mut sums_x = vec![0u64; many_x];
    let mut sums_y = vec![0u64; many_y];
    let mut total = 0;
    for (x, y, n) in cells {
        sums_x[*x as usize] += n;
        sums_y[*y as usize] += n;
        total += n;
    }
    let total = total as f64;
    let (mut squares, mut information) = (0.0, 0.0);
    for (x, y, n) in cells {
        let n = *n as f64;
        let expected = sums_x[*x as usize] as f64 * sums_y[*y as usize] as f64;
        squares += n * n / expected;
        information += n / total * (n * total / expected).ln();
    }
    let seen = |sums: &[u64]| sums.iter().filter(|n| **n > 0).count();
    let freedom = seen(&sums_x).min(seen(&sums_y)) - 1;
    let v = (freedom > 0).then(|| ((squares - 1.0) / freedom as f64).clamp(0.0, 1.0).sqrt());
    [v, Some(information.max(0.0))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::{run, run_any_way, sorted};
    use arrow::array::BooleanArray;

    fn of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let fields = batch.schema();
        let columns = fields.fields().iter();
        let columns = columns.map(|f| (f.name().clone(), f.data_type().clone()));
        run_any_way(&Correlations::new(columns.collect()), &batch)
    }

    fn float(batch: &RecordBatch, column: usize, row: usize) -> Option<f64> {
        let column = batch.column(column).as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    }

    #[test]
    fn numbers() {
        let x = vec![
            Some(1.0),
            Some(2.0),
            Some(f64::NAN),
            Some(4.0),
            Some(3.0),
            None,
        ];
        let y = vec![
            Some(2.0),
            Some(2.0),
            Some(9.0),
            Some(8.0),
            Some(5.0),
            Some(1.0),
        ];
        let told = of(vec![
            ("x", Arc::new(Float64Array::from(x)) as ArrayRef),
            ("y", Arc::new(Float64Array::from(y)) as ArrayRef),
        ]);
        assert_eq!(
            told.column(2)
                .as_primitive::<arrow::datatypes::Int64Type>()
                .value(0),
            4
        );
        // of (1, 2), (2, 2), (4, 8), (3, 5)
        let pearson = float(&told, 3, 0).unwrap();
        assert!(
            (pearson - 10.5 / (5.0f64 * 24.75).sqrt()).abs() < 1e-15,
            "{pearson}"
        );
        let spearman = float(&told, 4, 0).unwrap();
        assert!(
            (spearman - 4.5 / (5.0f64 * 4.5).sqrt()).abs() < 1e-15,
            "{spearman}"
        );
        assert_eq!(float(&told, 5, 0), None);
    }

    #[test]
    fn categories() {
        let a = StringViewArray::from(vec![Some("x"), Some("x"), Some("a long category"), None]);
        let b = BooleanArray::from(vec![Some(true), Some(true), Some(false), Some(false)]);
        let told = of(vec![
            ("a", Arc::new(a) as ArrayRef),
            ("b", Arc::new(b) as ArrayRef),
        ]);
        assert_eq!((float(&told, 3, 0), float(&told, 5, 0)), (None, Some(1.0)));
        let entropy = -(2.0f64 / 3.0) * (2.0f64 / 3.0).ln() - (1.0f64 / 3.0) * (1.0f64 / 3.0).ln();
        assert!((float(&told, 6, 0).unwrap() - entropy).abs() < 1e-15);
    }

    #[test]
    fn infinities_constants_and_nothing() {
        let floats = |v: Vec<f64>| Arc::new(Float64Array::from(v)) as ArrayRef;
        let told = of(vec![
            ("a", floats(vec![1.0, f64::INFINITY, 3.0])),
            ("b", floats(vec![1.0, 2.0, 3.0])),
            ("c", floats(vec![0.0, -0.0, 0.0])),
        ]);
        assert_eq!(float(&told, 3, 0), None);
        assert_eq!(float(&told, 4, 0), Some(0.5));
        assert_eq!((float(&told, 3, 2), float(&told, 4, 2)), (None, None));
        let empty = Correlations::new(vec![
            ("a".into(), DataType::Float64),
            ("b".into(), DataType::Utf8View),
        ]);
        assert_eq!(
            sorted(&run(&empty, &[]).unwrap()),
            ["a|b|0|NULL|NULL|NULL|NULL|NULL"]
        );
    }

    #[test]
    fn many_values_and_many_categories() {
        let n = 70_000u32;
        let x: Float64Array = (0..n).map(|i| Some(f64::from(i * 7 % n))).collect();
        let texts: Vec<String> = (0..n).map(|i| format!("t{i}")).collect();
        let batch = RecordBatch::try_from_iter([
            ("x", Arc::new(x.clone()) as ArrayRef),
            ("y", Arc::new(x) as ArrayRef),
            (
                "t",
                Arc::new(StringViewArray::from_iter_values(&texts)) as ArrayRef,
            ),
            (
                "u",
                Arc::new(StringViewArray::from_iter_values(
                    texts.iter().map(|t| &t[..3.min(t.len())]),
                )) as ArrayRef,
            ),
        ])
        .unwrap();
        let types = [
            DataType::Float64,
            DataType::Float64,
            DataType::Utf8View,
            DataType::Utf8View,
        ];
        let names = ["x", "y", "t", "u"].map(str::to_string);
        let f = Correlations::new(names.into_iter().zip(types).collect());
        let told = run(&f, &[batch]).unwrap();
        assert_eq!(
            (float(&told, 3, 0), float(&told, 4, 0)),
            (Some(1.0), Some(1.0))
        );
        let notes = told.column(7).as_string::<i32>();
        assert!(notes.is_null(0));
        assert_eq!(notes.value(5), "more than 65536 categories: t");
        assert_eq!(float(&told, 5, 5), None);
    }
}
