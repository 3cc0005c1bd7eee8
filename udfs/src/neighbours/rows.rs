//! Rows as flat numbers and codes, gathered from batches and put in order by what they hold.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use crate::fitted::moments::Moments;
use crate::fitted::numbers::Numbers;

/// How many columns of which kind rows have, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub struct Shape {
    pub numbers: usize,
    pub categories: usize,
    /// Whether a class follows.
    pub label: bool,
    /// Whether the number of rows that the class is to get follows.
    pub wanted: bool,
}

impl Shape {
    fn columns(&self) -> usize {
        self.numbers + self.categories + usize::from(self.label) + usize::from(self.wanted)
    }

    /// Bytes that a row takes.
    pub fn row_bytes(&self) -> usize {
        size_of::<f64>() * self.numbers + size_of::<u32>() * (self.categories + 1)
    }
}

/// Whether values of a type can be categories.
pub fn can_tell_apart(t: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(t.clone())])
}

/// A column as numbers: what is NULL, NaN or infinite is NaN, and there is one zero.
pub(super) fn numbers(array: &ArrayRef) -> Result<Vec<f64>> {
    let array = cast(array, &DataType::Float64)?;
    let array = array.as_primitive::<Float64Type>();
    let plain = |x: f64| if x.is_finite() { x + 0.0 } else { f64::NAN };
    Ok(match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => (array.values().iter().zip(nulls))
            .map(|(x, valid)| if valid { plain(*x) } else { f64::NAN })
            .collect(),
        _ => array.values().iter().map(|x| plain(*x)).collect(),
    })
}

/// Writes columns side by side, a row after the other, at the end of `out`.
pub(super) fn interleave<T: Copy + Default>(columns: &[Vec<T>], rows: usize, out: &mut Vec<T>) {
    let width = columns.len();
    let begin = out.len();
    out.resize(begin + rows * width, T::default());
    for (at, column) in columns.iter().enumerate() {
        for (row, value) in out[begin..].chunks_exact_mut(width).zip(column) {
            row[at] = *value;
        }
    }
}

/// Numbers the distinct values of a column as they come.
#[derive(Debug, Default)]
struct Interner {
    data_type: Option<DataType>,
    codes: HashMap<Box<[u8]>, u32>,
    bytes: usize,
}

impl Interner {
    fn add(&mut self, array: &ArrayRef) -> Result<Vec<u32>> {
        let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(array))?;
        self.data_type
            .get_or_insert_with(|| array.data_type().clone());
        let mut out = Vec::with_capacity(array.len());
        for row in &rows {
            let code = match self.codes.get(row.as_ref()) {
                Some(code) => *code,
                None => {
                    let code = u32::try_from(self.codes.len())
                        .map_err(|_| exec_datafusion_err!("a column has too many categories"))?;
                    self.bytes += row.as_ref().len() + 64;
                    self.codes.insert(row.as_ref().into(), code);
                    code
                }
            };
            out.push(code);
        }
        Ok(out)
    }
}

/// The distinct values of a column, smallest first: a value's code is its place.
#[derive(Debug, Clone)]
pub struct Values {
    pub values: ArrayRef,
    codes: HashMap<Box<[u8]>, u32>,
}

impl Values {
    /// Merges what was numbered apart; gives how each one's codes are to be written.
    fn merge(interners: Vec<Interner>) -> Result<(Self, Vec<Vec<u32>>)> {
        let data_type = interners.iter().find_map(|i| i.data_type.clone());
        let data_type = data_type.unwrap_or(DataType::Null);
        let mut all: Vec<&[u8]> = interners
            .iter()
            .flat_map(|i| i.codes.keys().map(|k| &**k))
            .collect();
        all.sort_unstable();
        all.dedup();
        let converter = RowConverter::new(vec![SortField::new(data_type)])?;
        let parser = converter.parser();
        let rows = all.iter().map(|bytes| parser.parse(bytes));
        let values = converter.convert_rows(rows)?.swap_remove(0);
        let codes: HashMap<Box<[u8]>, u32> =
            all.iter().map(|bytes| Box::from(*bytes)).zip(0..).collect();
        let written = interners
            .iter()
            .map(|interner| {
                let mut to = vec![0; interner.codes.len()];
                for (bytes, code) in &interner.codes {
                    to[*code as usize] = codes.get(bytes).copied().unwrap_or_default();
                }
                to
            })
            .collect();
        Ok((Self { values, codes }, written))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The codes of an array's values; `u32::MAX` for what was not seen before.
    pub fn codes_of(&self, array: &ArrayRef) -> Result<Vec<u32>> {
        let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(array))?;
        let code = |bytes: &[u8]| self.codes.get(bytes).copied().unwrap_or(u32::MAX);
        Ok(rows.iter().map(|row| code(row.as_ref())).collect())
    }
}

/// Takes in batches of rows. Several of them, filled in parallel, make one [`Gathered`].
#[derive(Debug)]
pub struct Gather {
    shape: Shape,
    rows: usize,
    values: Vec<f64>,
    /// Categories and class of each row, as numbered by `interners`.
    codes: Vec<u32>,
    interners: Vec<Interner>,
    /// Of each class.
    wanted: Vec<i64>,
    moments: Option<Vec<Moments>>,
}

impl Gather {
    /// Nothing so far. `with_means`: the exact means of the numbers are wanted too.
    pub fn new(shape: Shape, with_means: bool) -> Self {
        let coded = shape.categories + usize::from(shape.label);
        Self {
            shape,
            rows: 0,
            values: Vec::new(),
            codes: Vec::new(),
            interners: (0..coded).map(|_| Interner::default()).collect(),
            wanted: Vec::new(),
            moments: with_means.then(|| vec![Moments::default(); shape.numbers]),
        }
    }

    /// Takes the columns of a batch, in the order of the [`Shape`].
    pub fn add(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if columns.len() != self.shape.columns() {
            return exec_err!(
                "{} columns instead of {}",
                columns.len(),
                self.shape.columns()
            );
        }
        let (number_columns, rest) = columns.split_at(self.shape.numbers);
        let values = number_columns
            .iter()
            .map(numbers)
            .collect::<Result<Vec<_>>>()?;
        if let Some(moments) = &mut self.moments {
            for (moments, values) in moments.iter_mut().zip(&values) {
                moments.add(values);
            }
        }
        if !values.is_empty() {
            interleave(&values, rows, &mut self.values);
        }
        let coded = self
            .interners
            .iter_mut()
            .zip(rest)
            .map(|(interner, array)| interner.add(array))
            .collect::<Result<Vec<_>>>()?;
        if !coded.is_empty() {
            interleave(&coded, rows, &mut self.codes);
        }
        if self.shape.wanted
            && let (Some(classes), Some(wanted)) = (coded.last(), rest.last())
        {
            let wanted = cast(wanted, &DataType::Int64)?;
            for (class, wanted) in classes.iter().zip(wanted.as_primitive::<Int64Type>()) {
                let class = *class as usize;
                if self.wanted.len() <= class {
                    self.wanted.resize(class + 1, 0);
                }
                self.wanted[class] = wanted.unwrap_or(0);
            }
        }
        self.rows += rows;
        Ok(())
    }

    /// Bytes of the values that were found to be distinct.
    pub fn interned_bytes(&self) -> usize {
        self.interners.iter().map(|i| i.bytes).sum()
    }
}

/// All that was gathered.
#[derive(Debug)]
pub struct Gathered {
    pub rows: Rows,
    /// The values of the categories.
    pub categories: Vec<Values>,
    /// The classes, where rows have one.
    pub labels: Option<Values>,
    /// How many rows each class is to get.
    pub wanted: Vec<i64>,
    /// The mean of each number, where asked for.
    pub means: Vec<Option<f64>>,
}

impl Gathered {
    /// Puts the rows in order.
    pub fn new(shape: Shape, mut gathers: Vec<Gather>) -> Result<Self> {
        let total: usize = gathers.iter().map(|g| g.rows).sum();
        // ranks are u32, and the last one stands for none
        if u32::try_from(total).is_err() || total == u32::MAX as usize {
            return exec_err!("{total} rows are too many to be searched for neighbours");
        }
        let coded = shape.categories + usize::from(shape.label);
        let mut values_of = Vec::with_capacity(coded);
        let mut wanted = Vec::new();
        let mut written = vec![Vec::with_capacity(coded); gathers.len()];
        for at in 0..coded {
            let interners = gathers
                .iter_mut()
                .map(|g| std::mem::take(&mut g.interners[at]))
                .collect();
            let (values, to) = Values::merge(interners)?;
            for (written, to) in written.iter_mut().zip(to) {
                written.push(to);
            }
            values_of.push(values);
        }
        if shape.wanted
            && let Some(classes) = values_of.last()
        {
            wanted = vec![0; classes.len()];
            for (gather, written) in gathers.iter().zip(&written) {
                let to = written.last().into_iter().flatten();
                for (to, n) in to.zip(&gather.wanted) {
                    wanted[*to as usize] = *n;
                }
            }
        }
        let mut means = vec![None; shape.numbers];
        let mut moments: Option<Vec<Moments>> = None;
        let mut values = Vec::new();
        let mut codes = Vec::new();
        for (gather, written) in gathers.into_iter().zip(&written) {
            moments = match (moments, gather.moments) {
                (Some(mut all), Some(more)) => {
                    for (all, more) in all.iter_mut().zip(more) {
                        all.absorb(more);
                    }
                    Some(all)
                }
                (all, more) => all.or(more),
            };
            let mut more = gather.codes;
            if coded > 0 {
                for row in more.chunks_exact_mut(coded) {
                    for (code, to) in row.iter_mut().zip(written) {
                        *code = to[*code as usize];
                    }
                }
            }
            if values.is_empty() {
                values = gather.values;
            } else {
                values.extend(gather.values);
            }
            codes.extend(more);
        }
        for (mean, moments) in means.iter_mut().zip(moments.iter().flatten()) {
            *mean = moments.mean();
        }
        let rows = Rows::sorted(shape, total, values, &codes);
        let labels = if shape.label { values_of.pop() } else { None };
        Ok(Self {
            rows,
            categories: values_of,
            labels,
            wanted,
            means,
        })
    }
}

/// Rows in the order of what they hold: by class, numbers, categories. A row's place is its rank.
#[derive(Debug, Default)]
pub struct Rows {
    numbers: usize,
    categories: usize,
    values: Vec<f64>,
    codes: Vec<u32>,
    classes: Vec<u32>,
}

impl Rows {
    fn sorted(shape: Shape, total: usize, values: Vec<f64>, codes: &[u32]) -> Self {
        let (numbers, categories) = (shape.numbers, shape.categories);
        let coded = categories + usize::from(shape.label);
        let value = |row: u32| &values[row as usize * numbers..][..numbers];
        let code = |row: u32| &codes[row as usize * coded..][..categories];
        let class = |row: u32| match shape.label {
            true => codes[row as usize * coded + categories],
            false => 0,
        };
        // the key is as the floats in total order; most rows are told apart by it
        let key = |x: f64| {
            let bits = x.to_bits();
            let flip = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
            bits ^ flip
        };
        let mut order: Vec<(u32, u64, u32)> = (0u32..)
            .take(total)
            .map(|row| {
                let first = value(row).first().map_or(0, |x| key(*x));
                (class(row), first, row)
            })
            .collect();
        order.sort_unstable_by(|a, b| {
            (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| {
                let numbers = value(a.2).iter().zip(value(b.2)).skip(1);
                let numbers = numbers
                    .map(|(a, b)| a.total_cmp(b))
                    .find(|o| *o != Ordering::Equal);
                numbers.unwrap_or_else(|| code(a.2).cmp(code(b.2)))
            })
        });
        let mut sorted = Self {
            numbers,
            categories,
            values: Vec::with_capacity(total * numbers),
            codes: Vec::with_capacity(total * categories),
            classes: Vec::with_capacity(total),
        };
        for (class, _, row) in order {
            sorted.values.extend_from_slice(value(row));
            sorted.codes.extend_from_slice(code(row));
            sorted.classes.push(class);
        }
        sorted
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// How many numbers a row has.
    pub fn number_columns(&self) -> usize {
        self.numbers
    }

    /// How many categories a row has.
    pub fn category_columns(&self) -> usize {
        self.categories
    }

    /// A row's numbers; NaN where missing.
    pub fn numbers(&self, rank: u32) -> &[f64] {
        &self.values[rank as usize * self.numbers..][..self.numbers]
    }

    /// The codes of a row's categories.
    pub fn categories(&self, rank: u32) -> &[u32] {
        &self.codes[rank as usize * self.categories..][..self.categories]
    }

    /// A row's class.
    pub fn class(&self, rank: u32) -> u32 {
        self.classes[rank as usize]
    }

    /// The ranks of a class.
    pub fn of_class(&self, class: u32) -> Range<u32> {
        let begin = self.classes.partition_point(|c| *c < class);
        let end = self.classes.partition_point(|c| *c <= class);
        begin as u32..end as u32
    }

    /// Whether two rows hold the same.
    pub fn same(&self, a: u32, b: u32) -> bool {
        let (x, y) = (self.numbers(a), self.numbers(b));
        self.class(a) == self.class(b)
            && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits())
            && self.categories(a) == self.categories(b)
    }

    /// The class of each row, without what else the rows hold.
    pub fn into_classes(self) -> Vec<u32> {
        self.classes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};

    use super::*;

    const SHAPE: Shape = Shape {
        numbers: 2,
        categories: 1,
        label: true,
        wanted: true,
    };

    fn batch(from: usize, to: usize) -> Vec<ArrayRef> {
        let x = Float64Array::from(vec![
            Some(2.0),
            Some(-0.0),
            None,
            Some(f64::INFINITY),
            Some(2.0),
        ]);
        let flag = BooleanArray::from(vec![true, false, true, true, false]);
        let text = StringArray::from(vec![Some("b"), None, Some("a"), Some("数"), Some("b")]);
        let label = StringArray::from(vec![Some("z"), Some("y"), Some("z"), None, Some("y")]);
        let wanted = Int64Array::from(vec![3, 4, 3, 5, 4]);
        let all: Vec<ArrayRef> = vec![
            Arc::new(x),
            Arc::new(flag),
            Arc::new(text),
            Arc::new(label),
            Arc::new(wanted),
        ];
        all.iter().map(|a| a.slice(from, to - from)).collect()
    }

    #[test]
    fn order_is_by_content() -> Result<()> {
        let mut shown = Vec::new();
        for cuts in [vec![0, 5], vec![0, 2, 5], vec![0, 1, 2, 3, 4, 5]] {
            for backwards in [false, true] {
                let mut gathers = Vec::new();
                for cut in cuts.windows(2) {
                    let mut gather = Gather::new(SHAPE, true);
                    gather.add(&batch(cut[0], cut[1]), cut[1] - cut[0])?;
                    gathers.push(gather);
                }
                if backwards {
                    gathers.reverse();
                }
                let all = Gathered::new(SHAPE, gathers)?;
                assert_eq!(all.wanted, [5, 4, 3]);
                assert_eq!(all.means, [Some(4.0 / 3.0), Some(0.6)]);
                let labels = all.labels.clone().map(|l| l.values);
                assert_eq!(labels.map(|l| l.null_count()), Some(1));
                assert_eq!(all.rows.of_class(1), 1..3);
                assert_eq!(
                    all.categories[0].codes_of(&batch(0, 5)[2])?,
                    [2, 0, 1, 3, 2]
                );
                shown.push(format!("{:?}", all.rows));
            }
        }
        assert!(shown.iter().all(|s| s == &shown[0]), "{shown:?}");
        Ok(())
    }

    #[test]
    fn nothing_gathered() -> Result<()> {
        for gathers in [vec![], vec![Gather::new(SHAPE, true)]] {
            let none = Gathered::new(SHAPE, gathers)?;
            assert!(none.rows.is_empty());
            assert_eq!(none.means, [None, None]);
            assert!(none.labels.is_some_and(|l| l.is_empty()));
        }
        Ok(())
    }
}
