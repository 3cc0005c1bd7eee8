//! `target_encode`: categories to the mean of a target, out of fold on the rows they are learnt from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion_common::{Result, internal_err, plan_err};

use super::category_values::{Unknown, handle_unknown};
use super::ordinal_encode::{list_of, lists, unknown};
use crate::arrays::{float_type, is_text};
use crate::fitted::counts::{Lookup, MISSING, Numbering, UNKNOWN, category_type, listed_type};
use crate::fitted::moments::Moments;
use crate::fitted::numbers::{Numbers, Reader, of_group};
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::random::key;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "target_encode",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "The mean of the target over the rows of the row's category, drawn towards the mean of all the more the \
        fewer rows it has. A row's own target takes no part: the rows fall into folds by the hash of their key, and \
        each gets what the other folds say. A transform gives what all rows say, and needs neither target nor key: \
        apply it to other rows, and train on the call itself. NULL and NaN give NULL.",
    params: &[
        Param::data("x", "a text, number, boolean, date or time"),
        Param::data(
            "y",
            "the target, a number or boolean; rows where it or x is missing, or it is infinite, are not learnt from. Of a target of \
             several classes, encode each: target_encode(x, y = 'class', key)",
        ),
        Param::data(
            "key",
            "what identifies a row, of any type: the same key always falls into the same fold. A row whose key is NULL \
             gets what all rows say, itself included: train on no such rows",
        ),
        Param::option(
            "smoothing",
            "'auto'",
            "how many rows of the mean of all are added to each category; 'auto': as many as the ratio of the target's \
             variance within the category to that of all (empirical Bayes)",
        ),
        Param::option("folds", "5", "the number of folds, from 2 to 100"),
        handle_unknown(
            "what a category that was not there when fitting becomes: 'value' (the target's mean), 'null' or 'error'",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT x, round(target_encode(x, y, NULL, smoothing => 1) OVER (), 4) FROM (VALUES ('a', 1), ('a', 1), ('b', 0), ('b', 1), ('c', 0)) AS t(x, y)",
            result: "a,0.8667\na,0.8667\nb,0.5333\nb,0.5333\nc,0.3",
        },
        Example {
            sql: "SELECT id, city, target_encode(city, price, id, smoothing => 0) OVER () FROM \
                  (VALUES (1, 'x', 10), (2, 'x', 20), (3, 'x', 60), (4, 'y', 5), (5, 'y', 7)) AS t(id, city, price) ORDER BY id",
            result: "1,x,40.0\n2,x,35.0\n3,x,15.0\n4,y,7.0\n5,y,5.0",
        },
    ],
    source: "scikit-learn's TargetEncoder (binary and continuous targets), folds by hash in place of a shuffle, missing \
        values left missing; Micci-Barreca 2001",
    also: &[
        "sklearn.preprocessing.TargetEncoder",
        "category_encoders.TargetEncoder",
        "mean encoding",
    ],
};

/// Whole targets up to this size are summed as integers: their squares do not overflow before 2^34 rows.
const WHOLE: f64 = 32_767.0;

/// Count, sum and sum of squares of the whole targets of one category and fold.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    count: u64,
    sum: i64,
    squares: u64,
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn less(&self, other: &Self) -> Self {
        Self {
            count: self.count - other.count,
            sum: self.sum - other.sum,
            squares: self.squares - other.squares,
        }
    }
}

/// A row of a category that has few.
#[derive(Debug, Clone, Copy)]
struct Row {
    category: u32,
    fold: u8,
    target: f64,
}

/// From so many rows on a category gets a cell a fold; below, its rows take less memory.
const MANY: u8 = 8;
/// As many rows are kept as they come before those of categories of many are looked for.
const UNSETTLED: usize = 4096;
/// A category that has no cells.
const NO_CELLS: u32 = u32::MAX;

/// The targets of each category, fold by fold, exactly; the last fold is that of rows without a key.
#[derive(Debug)]
pub struct Targets {
    folds: usize,
    categories: Numbering,
    few: Vec<Row>,
    /// How many rows there may be in `few` before they are looked through.
    unsettled: usize,
    /// Of each category its place among those that have cells, or [`NO_CELLS`], as of those beyond the end.
    places: Vec<u32>,
    cells: Vec<Cell>,
    /// The targets that no cell holds; as many as cells, or none where there are none such.
    reals: Vec<Option<Box<Moments>>>,
    /// Bytes of the moments.
    bytes: usize,
}

/// A target that a cell holds.
#[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
fn whole(target: f64) -> Option<Cell> {
    let is_whole = target.abs() <= WHOLE && target.fract() == 0.0;
    is_whole.then(|| Cell {
        count: 1,
        sum: target as i64,
        squares: (target as i64).unsigned_abs().pow(2),
    })
}

impl Targets {
    fn width(&self) -> usize {
        self.folds + 1
    }

    /// Where the cells of a category begin, if it has any.
    #[inline]
    fn start(&self, category: u32) -> Option<usize> {
        let place = *self.places.get(category as usize)?;
        (place != NO_CELLS).then(|| place as usize * self.width())
    }

    /// Gives a category cells, if it has none; gives where they begin.
    fn open(&mut self, category: u32) -> usize {
        if let Some(start) = self.start(category) {
            return start;
        }
        let start = self.cells.len();
        self.places.resize(self.categories.len(), NO_CELLS);
        // there are fewer places than categories
        self.places[category as usize] = (start / self.width()) as u32;
        self.cells.resize(start + self.width(), Cell::default());
        if !self.reals.is_empty() {
            self.reals.resize_with(self.cells.len(), || None);
        }
        start
    }

    fn add(&mut self, row: Row) {
        match self.start(row.category) {
            Some(start) => self.add_to_cell(start + usize::from(row.fold), row.target),
            None => self.few.push(row),
        }
    }

    fn add_to_cell(&mut self, cell: usize, target: f64) {
        match whole(target) {
            Some(target) => self.cells[cell].add(&target),
            None => self.real(cell, |m| m.add(&[target])),
        }
    }

    fn real(&mut self, cell: usize, add: impl FnOnce(&mut Moments)) {
        if self.reals.is_empty() {
            self.reals.resize_with(self.cells.len(), || None);
        }
        let moments = self.reals[cell].get_or_insert_default();
        let before = if moments.count() == 0 {
            0
        } else {
            moments.bytes()
        };
        add(moments);
        self.bytes += moments.bytes() - before;
    }

    /// Puts the rows of categories that have many, or cells, into cells.
    fn settle(&mut self) {
        let mut rows = vec![0u8; self.categories.len()];
        for row in &self.few {
            let rows = &mut rows[row.category as usize];
            *rows = rows.saturating_add(1);
        }
        let few = std::mem::take(&mut self.few);
        let is_few = |of: &Self, row: &Row| {
            rows[row.category as usize] < MANY && of.start(row.category).is_none()
        };
        let kept = few.iter().filter(|row| is_few(self, row)).count();
        if kept == few.len() {
            self.few = few;
        } else {
            let mut still = Vec::with_capacity(kept);
            for row in few {
                if is_few(self, &row) {
                    still.push(row);
                } else {
                    let start = self.open(row.category);
                    self.add_to_cell(start + usize::from(row.fold), row.target);
                }
            }
            self.few = still;
        }
        // a look costs as much as there are rows and categories
        let more = self.few.len().max(self.categories.len() / 4);
        self.unsettled = self.few.len() + more.max(UNSETTLED);
    }

    fn settle_if_many(&mut self) {
        if self.few.len() >= self.unsettled {
            self.settle();
        }
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Option<()> {
        self.categories.read(input)?;
        let categories = u32::try_from(self.categories.len()).ok()?;
        let width = self.width();
        let category = |input: &mut Reader<'_>| input.u32().filter(|c| *c < categories);
        let rows = input.length()?;
        self.few.reserve_exact(rows.min(input.0.len() / ROW_BYTES));
        for _ in 0..rows {
            self.few.push(Row {
                category: category(input)?,
                fold: input.u8().filter(|fold| usize::from(*fold) < width)?,
                target: input.f64()?,
            });
        }
        for _ in 0..input.u64()? {
            let start = self.open(category(input)?);
            for cell in &mut self.cells[start..start + width] {
                *cell = Cell {
                    count: input.u64()?,
                    sum: input.u64()?.cast_signed(),
                    squares: input.u64()?,
                };
            }
        }
        for _ in 0..input.u64()? {
            let cell = input.length().filter(|at| *at < self.cells.len())?;
            let moments = Moments::read(input)?;
            self.real(cell, |m| m.absorb(moments));
        }
        Some(())
    }

    /// Categories that have cells, in the order of these.
    fn with_cells(&self) -> Vec<u32> {
        let mut categories = vec![0; self.cells.len() / self.width()];
        for (category, place) in (0u32..).zip(&self.places) {
            if let Some(at) = categories.get_mut(*place as usize) {
                *at = category;
            }
        }
        categories
    }
}

impl Targets {
    /// The statistics of the rows of all categories, and, in `without`, of those of all folds but each.
    fn all(&self, without: &mut Vec<Option<Stats>>) -> Option<Stats> {
        let width = self.width();
        let mut all = vec![Cell::default(); width];
        for cells in self.cells.chunks(width) {
            all.iter_mut()
                .zip(cells)
                .for_each(|(sum, cell)| sum.add(cell));
        }
        let mut reals: Vec<Option<Box<Moments>>> = vec![None; width];
        for (cell, moments) in self.reals.iter().enumerate() {
            if let Some(moments) = moments {
                let sum = reals[cell % width].get_or_insert_default();
                sum.absorb(moments.as_ref().clone());
            }
        }
        // many at once take less time each
        let mut waiting = vec![Vec::new(); width];
        for row in &self.few {
            let fold = usize::from(row.fold);
            match whole(row.target) {
                Some(target) => all[fold].add(&target),
                None => waiting[fold].push(row.target),
            }
            if waiting[fold].len() == UNSETTLED {
                reals[fold].get_or_insert_default().add(&waiting[fold]);
                waiting[fold].clear();
            }
        }
        for (sum, targets) in reals.iter_mut().zip(&waiting) {
            if !targets.is_empty() {
                sum.get_or_insert_default().add(targets);
            }
        }
        all_and_without_each(&all, &reals, without)
    }
}

/// Bytes of an encoded [`Row`].
const ROW_BYTES: usize = 13;

impl State for Targets {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [x, y, keys] = values else {
            return internal_err!("target_encode: {} columns", values.len());
        };
        let codes = self.categories.number(x)?;
        let folds = folds(keys, self.folds)?;
        let y: &Float64Array = y.as_primitive();
        for (row, code) in codes.iter().enumerate() {
            let target = y.value(row);
            if *code == MISSING || y.is_null(row) || !target.is_finite() {
                continue;
            }
            let fold = folds.of(row).unwrap_or(self.folds);
            self.add(Row {
                category: *code,
                // there are at most 101
                fold: fold as u8,
                target,
            });
        }
        self.settle_if_many();
        Ok(())
    }

    fn merge(&mut self, mut other: Self) -> Result<()> {
        if other.categories.len() > self.categories.len() {
            std::mem::swap(self, &mut other);
        }
        let numbers = self.categories.absorb(&other.categories)?;
        let here = |category: u32| numbers[category as usize];
        for row in &other.few {
            self.add(Row {
                category: here(row.category),
                ..*row
            });
        }
        let width = self.width();
        let categories = other.with_cells();
        let mut reals = other.reals;
        for (place, category) in categories.into_iter().enumerate() {
            let start = self.open(here(category));
            for fold in 0..width {
                let (from, to) = (place * width + fold, start + fold);
                self.cells[to].add(&other.cells[from]);
                if let Some(moments) = reals.get_mut(from).and_then(Option::take) {
                    self.real(to, |m| m.absorb(*moments));
                }
            }
        }
        self.settle_if_many();
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.categories.encode(out)?;
        out.reserve_exact(32 + self.few.len() * ROW_BYTES + 28 * self.cells.len());
        out.extend((self.few.len() as u64).to_le_bytes());
        for row in &self.few {
            out.extend(row.category.to_le_bytes());
            out.push(row.fold);
            out.extend(row.target.to_le_bytes());
        }
        let categories = self.with_cells();
        out.extend((categories.len() as u64).to_le_bytes());
        for (category, cells) in categories.iter().zip(self.cells.chunks(self.width())) {
            out.extend(category.to_le_bytes());
            for cell in cells {
                out.extend(cell.count.to_le_bytes());
                out.extend(cell.sum.to_le_bytes());
                out.extend(cell.squares.to_le_bytes());
            }
        }
        let reals = self.reals.iter().enumerate();
        let reals = reals.filter_map(|(i, m)| m.as_ref().map(|m| (i, m)));
        out.extend((reals.clone().count() as u64).to_le_bytes());
        for (cell, moments) in reals {
            out.extend((cell as u64).to_le_bytes());
            moments.write(out);
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        match self.read(&mut Reader(bytes)) {
            Some(()) => Ok(()),
            None => internal_err!(
                "target_encode: a state of {} bytes cannot be read",
                bytes.len()
            ),
        }
    }

    /// With the numbers that it finishes as.
    fn size(&self) -> usize {
        size_of::<Self>()
            + self.categories.size()
            + self.few.capacity() * size_of::<Row>()
            + self.places.capacity() * size_of::<u32>()
            + self.cells.capacity() * size_of::<Cell>()
            + self.reals.capacity() * size_of::<Option<Box<Moments>>>()
            + self.bytes
            + self.categories.len() * self.width() * size_of::<f64>()
    }
}

/// The folds of rows, by the hashes of their keys.
struct Folds {
    hashes: Vec<u64>,
    present: Option<NullBuffer>,
    folds: i64,
}

fn folds(keys: &ArrayRef, folds: usize) -> Result<Folds> {
    let present = keys.logical_nulls();
    let none = present.as_ref().is_some_and(|n| n.null_count() == n.len());
    Ok(Folds {
        hashes: if none {
            Vec::new()
        } else {
            key::hashes(SPEC.name, keys)?
        },
        present,
        folds: i64::try_from(folds).unwrap_or(i64::MAX),
    })
}

impl Folds {
    /// The fold of a row that has a key.
    #[inline]
    fn of(&self, row: usize) -> Option<usize> {
        if self.present.as_ref().is_some_and(|n| n.is_null(row)) {
            return None;
        }
        let fold = key::below(self.hashes[row], self.folds);
        Some(fold.unsigned_abs() as usize)
    }
}

/// What is known of the targets of some rows.
#[derive(Debug, Clone, Copy)]
struct Stats {
    count: f64,
    mean: f64,
    /// With divisor `count`.
    variance: f64,
}

#[expect(clippy::cast_precision_loss, reason = "means are floats")]
impl Stats {
    fn of_whole(cell: &Cell) -> Option<Self> {
        if cell.count == 0 {
            return None;
        }
        let count = cell.count as f64;
        let scaled = i128::from(cell.count) * i128::from(cell.squares)
            - i128::from(cell.sum) * i128::from(cell.sum);
        Some(Self {
            count,
            mean: cell.sum as f64 / count,
            variance: scaled as f64 / (count * count),
        })
    }

    fn of_real(moments: &Moments) -> Option<Self> {
        Some(Self {
            count: moments.count() as f64,
            mean: moments.mean()?,
            variance: moments.variance(0)?,
        })
    }
}

/// Of some rows, cell by cell: the statistics of all of them, and, in `without`, of those of all folds but each.
fn all_and_without_each(
    cells: &[Cell],
    reals: &[Option<Box<Moments>>],
    without: &mut Vec<Option<Stats>>,
) -> Option<Stats> {
    let folds = cells.len() - 1;
    without.clear();
    if reals.iter().all(Option::is_none) {
        let mut total = Cell::default();
        cells.iter().for_each(|cell| total.add(cell));
        let each = cells[..folds].iter();
        without.extend(each.map(|cell| Stats::of_whole(&total.less(cell))));
        return Stats::of_whole(&total);
    }
    let each: Vec<Moments> = cells
        .iter()
        .enumerate()
        .map(|(i, cell)| {
            let real = reals.get(i).and_then(Option::as_deref);
            let mut moments = real.cloned().unwrap_or_default();
            moments.add_sums(cell.count, cell.sum, cell.squares);
            moments
        })
        .collect();
    let sum = |without: usize| {
        let mut total = Moments::default();
        let others = each.iter().enumerate().filter(|(i, _)| *i != without);
        others.for_each(|(_, moments)| total.absorb(moments.clone()));
        Stats::of_real(&total)
    };
    let total = sum(cells.len());
    without.extend((0..folds).map(|fold| match each[fold].count() {
        0 => total,
        _ => sum(fold),
    }));
    total
}

/// The same of a category of few rows; `cells` are empty, and so they are left.
fn of_few(rows: &[Row], cells: &mut [Cell], without: &mut Vec<Option<Stats>>) -> Option<Stats> {
    let folds = cells.len() - 1;
    if let [row] = rows {
        let one = Some(Stats {
            count: 1.0,
            // not the negative zero, which sums do not give
            mean: row.target + 0.0,
            variance: 0.0,
        });
        without.clear();
        without.resize(folds, one);
        if let Some(own) = without.get_mut(usize::from(row.fold)) {
            *own = None;
        }
        return one;
    }
    let mut reals: Vec<Option<Box<Moments>>> = Vec::new();
    for row in rows {
        let fold = usize::from(row.fold);
        match whole(row.target) {
            Some(target) => cells[fold].add(&target),
            None => {
                reals.resize_with(cells.len(), || None);
                reals[fold].get_or_insert_default().add(&[row.target]);
            }
        }
    }
    let total = all_and_without_each(cells, &reals, without);
    cells.fill(Cell::default());
    total
}

/// How the mean of a category is drawn towards that of all.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Smoothing {
    Auto,
    /// As if it had so many more rows, of the mean of all.
    Rows(f64),
}

impl Smoothing {
    fn new(options: &Options) -> Result<Self> {
        let must = "'auto', or a number not below 0";
        if let Some(Some(text)) = options.get("smoothing").try_as_str() {
            return if text.eq_ignore_ascii_case("auto") {
                Ok(Self::Auto)
            } else {
                options.wrong("smoothing", must)
            };
        }
        match options.float("smoothing") {
            Ok(rows) if rows >= 0.0 => Ok(Self::Rows(rows)),
            _ => options.wrong("smoothing", must),
        }
    }

    fn encode(self, category: Option<Stats>, all: Stats) -> f64 {
        let Some(category) = category else {
            return all.mean;
        };
        match self {
            Self::Rows(rows) => {
                (rows * all.mean + category.count * category.mean) / (rows + category.count)
            }
            Self::Auto => {
                let between = all.variance * category.count;
                let weight = between / (between + category.variance);
                if weight.is_nan() {
                    all.mean
                } else {
                    weight * category.mean + (1.0 - weight) * all.mean
                }
            }
        }
    }
}

/// What is learnt of one group.
#[derive(Debug)]
pub struct Encoding {
    lookup: Lookup,
    /// Of each category.
    values: ScalarBuffer<f64>,
    mean: f64,
    /// Of each category and fold.
    fold_values: ScalarBuffer<f64>,
    fold_means: ScalarBuffer<f64>,
}

/// `target_encode(x, y, key, smoothing => 'auto', folds => 5, handle_unknown => 'value') OVER (...)`.
#[derive(Debug, Clone)]
pub struct TargetEncode {
    smoothing: Smoothing,
    folds: usize,
    unknown: Unknown,
}

impl TargetEncode {
    /// The parameters of a finished state: the categories, then all that are numbers.
    fn learnt(&self, mut state: Targets) -> Result<(ArrayRef, [Vec<f64>; 4])> {
        state.settle();
        let width = state.width();
        let mut without = Vec::with_capacity(width);
        let all = state.all(&mut without);
        let all_but = without.clone();
        let Targets {
            categories,
            mut few,
            places,
            cells,
            reals,
            ..
        } = state;
        let n = categories.len();
        let (mut categories, numbers) = categories.into_sorted()?;
        few.sort_unstable_by_key(|row| row.category);
        // where the rows of each category end
        let mut ends = vec![0; n];
        for (end, row) in (1usize..).zip(&few) {
            ends[row.category as usize] = end;
        }
        let rows_of = |category: usize| {
            let end = ends[category];
            let rows = few[..end].iter().rev();
            let rows = rows.take_while(|row| row.category as usize == category);
            &few[end - rows.count()..end]
        };
        let mut kept: Vec<u32> = Vec::with_capacity(n);
        let mut values = Vec::with_capacity(n);
        let mut fold_values = Vec::with_capacity(n.saturating_mul(self.folds));
        let value = |category: Option<Stats>, all: &Option<Stats>| {
            all.map_or(f64::NAN, |all| self.smoothing.encode(category, all))
        };
        let mut scratch = vec![Cell::default(); width];
        for (at, number) in (0u32..).zip(numbers) {
            let number = number as usize;
            let place = places.get(number).filter(|place| **place != NO_CELLS);
            let total = match place {
                Some(place) => {
                    let start = *place as usize * width;
                    let reals = reals.get(start..start + width).unwrap_or_default();
                    all_and_without_each(&cells[start..start + width], reals, &mut without)
                }
                None => of_few(rows_of(number), &mut scratch, &mut without),
            };
            // a value of a dictionary that no row has, or none with a target
            if total.is_none() {
                continue;
            }
            kept.push(at);
            values.push(value(total, &all));
            let each = without.iter().zip(&all_but);
            fold_values.extend(each.map(|(category, all)| value(*category, all)));
        }
        if kept.len() < n {
            categories = take(&categories, &UInt32Array::from(kept), None)?;
        }
        let mean = |stats: &Option<Stats>| stats.map_or(f64::NAN, |s| s.mean);
        let fold_means = all_but.iter().map(mean).collect();
        Ok((
            categories,
            [values, vec![mean(&all)], fold_values, fold_means],
        ))
    }
}

impl Fitted for TargetEncode {
    type State = Targets;
    type Prepared = Vec<Option<Encoding>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let folds = match usize::try_from(options.integer("folds", 2)?) {
            Ok(folds) if folds <= 100 => folds,
            _ => return options.wrong("folds", "a whole number from 2 to 100"),
        };
        Ok(Self {
            smoothing: Smoothing::new(options)?,
            folds,
            unknown: Unknown::new(options)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [x, y, key] = types else {
            return plan_err!(
                "target_encode: three columns expected, {} given. Write {}",
                types.len(),
                SPEC.syntax()
            );
        };
        if *y != DataType::Null && is_text(y) {
            return plan_err!(
                "target_encode: y must be a number or a boolean, not text. Write target_encode(x, y = '...', key) for a class"
            );
        }
        float_type(&SPEC, "y", y)?;
        key::check_type(&SPEC, "key", key)?;
        Ok(vec![
            category_type(&SPEC, "x", x)?,
            DataType::Float64,
            key.clone(),
        ])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        let floats = |name: &str| Field::new(name, list_of(&DataType::Float64), true);
        Ok(Fields::from(vec![
            Field::new("categories", list_of(&listed_type(&types[0])), true),
            floats("values"),
            Field::new("mean", DataType::Float64, true),
            floats("fold_values"),
            floats("fold_means"),
        ]))
    }

    fn state(&self, types: &[DataType]) -> Result<Targets> {
        Ok(Targets {
            folds: self.folds,
            categories: Numbering::new(&types[0])?,
            few: Vec::new(),
            unsettled: UNSETTLED,
            places: Vec::new(),
            cells: Vec::new(),
            reals: Vec::new(),
            bytes: 0,
        })
    }

    fn fit_args() -> &'static [usize] {
        &[1, 2]
    }

    fn finish(&self, types: &[DataType], states: Vec<Targets>) -> Result<Vec<ArrayRef>> {
        let mut categories = Vec::with_capacity(states.len());
        let mut numbers: [Vec<ArrayRef>; 3] = Default::default();
        let mut means = Vec::with_capacity(states.len());
        for state in states {
            let (of_group, [values, mean, fold_values, fold_means]) = self.learnt(state)?;
            categories.push(of_group);
            means.push(mean.first().copied().filter(|m| !m.is_nan()));
            for (column, list) in numbers.iter_mut().zip([values, fold_values, fold_means]) {
                column.push(Arc::new(Float64Array::from(list)));
            }
        }
        let [values, fold_values, fold_means] = &numbers;
        Ok(vec![
            lists(&listed_type(&types[0]), &categories)?,
            lists(&DataType::Float64, values)?,
            Arc::new(Float64Array::from(means)),
            lists(&DataType::Float64, fold_values)?,
            lists(&DataType::Float64, fold_means)?,
        ])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let [categories, values, mean, fold_values, fold_means] = params.columns() else {
            return internal_err!("target_encode: {} parameters", params.num_columns());
        };
        let list = |column: &ArrayRef| -> Result<ListArray> {
            match column.as_list_opt::<i32>() {
                Some(list) => Ok(list.clone()),
                None => internal_err!("target_encode: parameters of another type"),
            }
        };
        let (categories, mean) = (list(categories)?, mean.as_primitive_opt::<Float64Type>());
        let numbers = [list(values)?, list(fold_values)?, list(fold_means)?];
        let Some(mean) = mean else {
            return internal_err!("target_encode: no mean");
        };
        let floats = |list: &ListArray, row: usize| -> Result<ScalarBuffer<f64>> {
            match list.value(row).as_primitive_opt::<Float64Type>() {
                Some(floats) => Ok(floats.values().clone()),
                None => internal_err!("target_encode: values of another type"),
            }
        };
        (0..params.len())
            .map(|row| {
                if params.is_null(row) || mean.is_null(row) {
                    return Ok(None);
                }
                Ok(Some(Encoding {
                    lookup: Lookup::of(&categories.value(row), |i| i as u32)?,
                    values: floats(&numbers[0], row)?,
                    mean: mean.value(row),
                    fold_values: floats(&numbers[1], row)?,
                    fold_means: floats(&numbers[2], row)?,
                }))
            })
            .collect()
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let x = &args[0];
        let lookups: Vec<_> = prepared
            .iter()
            .map(|p| p.as_ref().map(|p| &p.lookup))
            .collect();
        let codes = Lookup::codes_by_group(&lookups, x, groups)?;
        if self.unknown == Unknown::Error
            && let Some(row) = codes.iter().position(|c| *c == UNKNOWN)
        {
            return unknown(&SPEC, x, row, "y, key, handle_unknown => 'null'");
        }
        let folds = folds(&args[2], self.folds)?;
        let encoded = codes
            .iter()
            .enumerate()
            .map(|(row, code)| {
                let Some(learnt) = of_group(prepared, groups, row)? else {
                    return Ok(None);
                };
                let code = match *code {
                    MISSING => return Ok(None),
                    UNKNOWN if self.unknown == Unknown::Null => return Ok(None),
                    UNKNOWN => None,
                    code => Some(code as usize),
                };
                let value = match (folds.of(row), code) {
                    (None, None) => Some(learnt.mean),
                    (None, Some(code)) => learnt.values.get(code).copied(),
                    (Some(fold), None) => learnt.fold_means.get(fold).copied(),
                    (Some(fold), Some(code)) => {
                        learnt.fold_values.get(code * self.folds + fold).copied()
                    }
                };
                // there are no other folds than that of the row
                Ok(value.filter(|v| !v.is_nan()))
            })
            .collect::<Result<Float64Array>>()?;
        Ok(Arc::new(encoded))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int64Array, StringViewArray, new_null_array};
    use arrow::compute::cast;
    use datafusion_common::ScalarValue;

    use super::*;
    use crate::fitted::testing::{
        apply_to, assert_floats, bind_error, coerce_error, fit_apply, floats, grouped, texts,
        try_apply_to,
    };

    fn keys(n: usize) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0i64..).take(n)))
    }

    fn none(n: usize) -> ArrayRef {
        new_null_array(&DataType::Int64, n)
    }

    fn columns() -> [ArrayRef; 2] {
        let x = texts(["a", "a", "b", "b", "c"].map(Some));
        [x, floats([1.0, 1.0, 0.0, 1.0, 0.0].map(Some))]
    }

    #[test]
    fn all_rows_by_hand() {
        let [x, y] = columns();
        let args = [x, y, none(5)];
        // the mean of all is 0.6
        let (a, b, c) = (2.6 / 3.0, 1.6 / 3.0, 0.6 / 2.0);
        let result = fit_apply::<TargetEncode>(&[("smoothing", 1.into())], &args);
        assert_floats(&result, &[a, a, b, b, c].map(Some));
        let result = fit_apply::<TargetEncode>(&[("smoothing", 0.0.into())], &args);
        assert_floats(&result, &[1.0, 1.0, 0.5, 0.5, 0.0].map(Some));
        // of no variance within, the category's own mean; b: 0.24 * 2 / (0.24 * 2 + 0.25)
        let weight = 0.48 / 0.73;
        let b = weight * 0.5 + (1.0 - weight) * 0.6;
        let result = fit_apply::<TargetEncode>(&[], &args);
        assert_floats(&result, &[1.0, 1.0, b, b, 0.0].map(Some));
    }

    /// What each row gets by fitting on the rows of all other folds.
    fn by_fitting(args: &[ArrayRef; 3], folds: usize, smoothing: Option<f64>) -> Vec<Option<f64>> {
        let of = super::folds(&args[2], folds).expect("folds");
        let smoothing = smoothing.map_or("auto".into(), ScalarValue::from);
        let given = [("folds", (folds as i64).into()), ("smoothing", smoothing)];
        (0..args[0].len())
            .map(|row| {
                let others: UInt32Array = (0u32..)
                    .take(args[0].len())
                    .filter(|other| of.of(*other as usize) != of.of(row))
                    .map(Some)
                    .collect();
                let mut train: Vec<ArrayRef> = args
                    .iter()
                    .map(|a| take(a, &others, None).expect("rows"))
                    .collect();
                train[2] = none(others.len());
                let mut one: Vec<ArrayRef> = args.iter().map(|a| a.slice(row, 1)).collect();
                one[2] = none(1);
                let value = apply_to::<TargetEncode>(&given, &train, &one);
                let value = value.as_primitive::<Float64Type>();
                value.is_valid(0).then(|| value.value(0))
            })
            .collect()
    }

    #[test]
    fn out_of_fold_is_a_fit_on_the_other_folds() {
        let names = ["a", "b", "c", "d"];
        let x = texts((0..24).map(|i| Some(names[i * i % 7 % 4])));
        let whole = floats((0..24).map(|i| Some(f64::from(i * 5 % 7))));
        let reals = floats((0..24).map(|i| Some(f64::from(i * 5 % 7) / 3.0 + 1e6)));
        for y in [whole, reals] {
            for smoothing in [None, Some(0.0), Some(2.5)] {
                let args = [Arc::clone(&x), Arc::clone(&y), keys(24)];
                let expected = by_fitting(&args, 3, smoothing);
                let smoothing = smoothing.map_or("auto".into(), ScalarValue::from);
                let given = [("folds", 3.into()), ("smoothing", smoothing)];
                assert_floats(&fit_apply::<TargetEncode>(&given, &args), &expected);
            }
        }
    }

    #[test]
    fn others_need_neither_target_nor_key() {
        let [x, y] = columns();
        let fit = [x, y, keys(5)];
        let others = [
            texts([Some("a"), Some("new"), None]),
            floats([None, None, None]),
            none(3),
        ];
        let given = [("smoothing", 0.into())];
        let result = apply_to::<TargetEncode>(&given, &fit, &others);
        assert_floats(&result, &[Some(1.0), Some(0.6), None]);
        let given = [("smoothing", 0.into()), ("handle_unknown", "null".into())];
        let result = apply_to::<TargetEncode>(&given, &fit, &others);
        assert_floats(&result, &[Some(1.0), None, None]);
        let given = [("handle_unknown", "error".into())];
        let error = try_apply_to::<TargetEncode>(&given, &fit, &others);
        let error = error.expect_err("an error").to_string();
        assert!(error.contains("unknown category 'new'"), "{error}");
        assert_eq!(TargetEncode::fit_args(), [1, 2]);
    }

    #[test]
    fn missing_and_degenerate() {
        let x = texts([Some("a"), None, Some("a"), Some("b"), Some("a")]);
        let y = floats([Some(1.0), Some(9.0), None, Some(f64::INFINITY), Some(2.0)]);
        let given = [("smoothing", 0.into())];
        let result = fit_apply::<TargetEncode>(&given, &[x, y, none(5)]);
        // b has no row with a target: the mean of all
        let all = Some(1.5);
        assert_floats(&result, &[all, None, all, all, all]);
        // a constant target; one row, which has no other folds; nothing at all
        let x = texts([Some("a"), Some("b"), Some("a")]);
        let y = floats([Some(0.1); 3]);
        let result = fit_apply::<TargetEncode>(&[], &[x, y, none(3)]);
        assert_floats(&result, &[Some(0.1); 3]);
        let one = [texts([Some("a")]), floats([Some(1.0)]), keys(1)];
        assert_floats(&fit_apply::<TargetEncode>(&[], &one), &[None]);
        let nothing = [texts([]), floats([]), keys(0)];
        assert_floats(&fit_apply::<TargetEncode>(&[], &nothing), &[]);
        let missing = [texts([Some("a"), None]), floats([None, None]), keys(2)];
        assert_floats(&fit_apply::<TargetEncode>(&[], &missing), &[None, None]);
        // targets whose squares overflow
        let x = texts([Some("a"), Some("b"), Some("a")]);
        let y = floats([Some(1e300), Some(-1e300), Some(1e300)]);
        let result = fit_apply::<TargetEncode>(&[], &[x, y, none(3)]);
        assert_eq!(result.null_count(), 0);
    }

    #[test]
    fn kinds_of_categories_and_targets() {
        let [x, y] = columns();
        let given = [("smoothing", 0.into()), ("folds", 2.into())];
        let expected = fit_apply::<TargetEncode>(&given, &[Arc::clone(&x), y, keys(5)]);
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let x = cast(&x, &dictionary).expect("a dictionary");
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![true, true, false, true, false]));
        let result = fit_apply::<TargetEncode>(&given, &[x, bools.clone(), keys(5)]);
        assert_eq!(&result, &expected);
        let numbers = floats([5.0, 5.0, -0.0, 0.0, f64::NAN].map(Some));
        let result = fit_apply::<TargetEncode>(&given[..1], &[numbers, bools, none(5)]);
        assert_floats(&result, &[Some(1.0), Some(1.0), Some(0.5), Some(0.5), None]);
    }

    /// Categories of few rows and of many, of whole targets and others, whatever comes in which state.
    #[test]
    fn few_rows_and_many() {
        let n = 20_000;
        let target = |i: usize| match i % 3 {
            0 => (i % 5) as f64,
            _ => (i % 11) as f64 / 7.0,
        };
        let category = |i: usize| match i % 4 {
            0 => "many".to_string(),
            1 => format!("category {}", i % 997),
            _ => format!("c{}", i * 7919 % 6000),
        };
        let rows = |range: std::ops::Range<usize>| -> [ArrayRef; 3] {
            let x = StringViewArray::from_iter_values(range.clone().map(category));
            let y: Vec<Option<f64>> = range.clone().map(|i| Some(target(i))).collect();
            let keys = range.map(|i| (i % 13 > 0).then_some(i as i64));
            [
                Arc::new(x),
                floats(y),
                Arc::new(Int64Array::from_iter(keys)),
            ]
        };
        let options =
            Options::new(&SPEC, vec!["auto".into(), 5i64.into(), "value".into()]).expect("options");
        let fitted = TargetEncode::new(&options).expect("a function");
        let types = [DataType::Utf8View, DataType::Float64, DataType::Int64];
        let state = || fitted.state(&types).expect("a state");
        let update = |state: &mut Targets, range| {
            state.update(&rows(range)).expect("an update");
        };
        let mut whole = state();
        update(&mut whole, 0..n);
        whole.settle();
        assert!(!whole.cells.is_empty() && !whole.few.is_empty());
        let expected = fitted.finish(&types, vec![whole]).expect("parameters");
        for step in [700, 9000] {
            let (mut after, mut before) = (state(), state());
            for start in (0..n).step_by(step) {
                let mut part = state();
                update(&mut part, start..(start + step).min(n));
                let mut bytes = Vec::new();
                part.encode(&mut bytes).expect("an encoding");
                let empty = || fitted.state(&types);
                after.merge_encoded(&bytes, empty).expect("a merge");
                part.merge(before).expect("a merge");
                before = part;
            }
            for state in [after, before] {
                let finished = fitted.finish(&types, vec![state]).expect("parameters");
                assert_eq!(finished, expected);
            }
        }
    }

    #[test]
    fn by_group() {
        let [x, y] = columns();
        let given = [("smoothing", 1.into()), ("folds", 2.into())];
        grouped::<TargetEncode>(&given, &[x, y, keys(5)], &[0, 1, 0, 1, 0]);
        let x = texts((0..30).map(|i| Some(["a", "b", "c"][i % 3])));
        let y = floats((0..30).map(|i| Some(f64::from(i % 4) + 0.25)));
        let groups: Vec<u32> = (0..30).map(|i| i % 2).collect();
        grouped::<TargetEncode>(&[], &[x, y, keys(30)], &groups);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for wrong in ["some".into(), (-1).into(), ScalarValue::Null] {
            let error = bind_error::<TargetEncode>(&[("smoothing", wrong)]);
            assert!(error.contains("smoothing must be 'auto'"), "{error}");
        }
        let error = bind_error::<TargetEncode>(&[("folds", 101.into())]);
        assert!(error.contains("from 2 to 100"), "{error}");
        let types = [DataType::Utf8, DataType::Utf8, DataType::Int64];
        let error = coerce_error::<TargetEncode>(&[], &types);
        assert!(error.contains("y = '...'"), "{error}");
        let error = coerce_error::<TargetEncode>(&[], &types[..2]);
        assert!(error.contains("three columns expected"), "{error}");
    }
}
