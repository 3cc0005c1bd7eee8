//! Rows between neighbours: SMOTE and what came of it.
//!
//! A synthetic row starts from a row of a rare class and goes part of the way to one of its neighbours. Which row, which
//! neighbour and how far is drawn from a key of the seed, the class and the number of the draw (see
//! [`crate::random::key`]), and rows are told by their rank: nothing else has a say.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, Float64Array, Int64Array, UInt32Array, new_null_array};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err, internal_err};
use rand::RngCore;

use super::index::{Index, Nearest, Queries};
use super::rows::{Gathered, Rows, Values};
use super::{in_parallel, stop_if};
use crate::random::key;

/// What Borderline-SMOTE draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum Borderline {
    /// Neighbours of the same class.
    One,
    /// All neighbours; to those of another class it is less than half of the way.
    Two,
}

/// Which rows of a class the synthetic ones start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum Method {
    /// All of them.
    Smote,
    /// Those of which at least half of the nearest `m` rows, but not all, are of other classes.
    Borderline { m: usize, kind: Borderline },
    /// All of them, in proportion to how many of the nearest `k` rows are of other classes.
    Adasyn,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub struct Oversampling {
    /// The SQL function, for its draws and its errors.
    pub name: &'static str,
    pub method: Method,
    pub k: usize,
    pub seed: i64,
}

/// The synthetic rows, before they are drawn.
#[derive(Debug)]
pub struct Synthetic {
    rows: Rows,
    categories: Vec<Values>,
    labels: ArrayRef,
    parts: Vec<Part>,
}

/// Those of one class.
#[derive(Debug)]
struct Part {
    class: u32,
    /// The key of the class.
    hash: u64,
    /// How many rows come before these.
    before: u64,
    drawn: u64,
    /// The rows to start from.
    bases: Vec<u32>,
    /// Where a number of rows is fixed for each base: that of all up to and with it.
    ends: Option<Vec<u64>>,
    /// The neighbours of each base, nearest first, filled up with [`NONE`].
    neighbours: Vec<u32>,
    width: usize,
    /// Whether neighbours may be of another class.
    mixed: bool,
}

const NONE: u32 = u32::MAX;

impl Synthetic {
    /// Finds the neighbours.
    pub fn new(
        task: &Oversampling,
        gathered: Gathered,
        threads: usize,
        cancelled: &AtomicBool,
    ) -> Result<Self> {
        let Gathered {
            rows,
            categories,
            labels: Some(labels),
            wanted,
            ..
        } = gathered
        else {
            return internal_err!("{}: the rows have no class", task.name);
        };
        let mut hashes = vec![key::start(task.name); labels.len()];
        let seed: ArrayRef = Arc::new(Int64Array::from(vec![task.seed; labels.len()]));
        key::fold(&mut hashes, &seed)?;
        key::fold(&mut hashes, &labels.values)?;
        let m = match task.method {
            Method::Smote => 0,
            Method::Borderline { m, .. } => m,
            Method::Adasyn => task.k,
        };
        // in it a row is found that is to be left out
        let all = (m > 0).then(|| {
            let copies = m.max(task.k).saturating_add(1);
            Index::new(&rows, 0..rows.len() as u32, copies, 0.0)
        });
        let search = Neighbourhood {
            rows: &rows,
            threads,
            cancelled,
        };
        let mut synthetic_rows = 0;
        let mut parts = Vec::new();
        for (class, (wanted, hash)) in (0..).zip(wanted.iter().zip(hashes)) {
            let members = rows.of_class(class);
            let Ok(mut drawn) = u64::try_from(*wanted) else {
                continue;
            };
            if drawn == 0 || members.is_empty() {
                continue;
            }
            stop_if(cancelled)?;
            let mut bases: Vec<u32> = members.clone().collect();
            let mut ends = None;
            match (&all, task.method) {
                (Some(all), Method::Borderline { .. }) => {
                    let others = search.others(all, &bases, class, m)?;
                    let in_danger = |(others, of): &(u32, u32)| 2 * others >= *of && others < of;
                    let mut others = others.iter();
                    bases.retain(|_| others.next().is_some_and(in_danger));
                }
                (Some(all), Method::Adasyn) => {
                    let others = search.others(all, &bases, class, m)?;
                    let counts = proportional(&others, drawn);
                    let Some(counts) = counts else {
                        let label = labels.values.slice(class as usize, 1);
                        let label = arrow::util::display::array_value_to_string(&label, 0)?;
                        return exec_err!(
                            "{}: no row of class {label} has one of another class among its {m} nearest, so none is hard to learn. \
                             Write smote(...), or a larger k",
                            task.name
                        );
                    };
                    let mut kept = counts.iter();
                    bases.retain(|_| kept.next().is_some_and(|n| *n > 0));
                    let running = counts.iter().filter(|n| **n > 0).scan(0, |end, n| {
                        *end += n;
                        Some(*end)
                    });
                    let running: Vec<u64> = running.collect();
                    drawn = running.last().copied().unwrap_or(0);
                    ends = Some(running);
                }
                _ => {}
            }
            if bases.is_empty() || drawn == 0 {
                continue;
            }
            let mixed = matches!(
                task.method,
                Method::Borderline {
                    kind: Borderline::Two,
                    ..
                }
            );
            let own;
            let within = match &all {
                Some(all) if mixed => all,
                _ => {
                    let spread = if categories.is_empty() {
                        0.0
                    } else {
                        median_deviation(&rows, members.clone())
                    };
                    let copies = task.k.saturating_add(1);
                    own = Index::new(&rows, members.clone(), copies, spread * spread);
                    &own
                }
            };
            let width = task.k.min(rows.len());
            parts.push(Part {
                class,
                hash,
                before: synthetic_rows,
                drawn,
                neighbours: search.nearest(within, &bases, width)?,
                bases,
                ends,
                width,
                mixed,
            });
            synthetic_rows += drawn;
        }
        Ok(Self {
            rows,
            categories,
            labels: labels.values,
            parts,
        })
    }

    /// How many rows are drawn.
    pub fn len(&self) -> u64 {
        self.parts.last().map_or(0, |p| p.before + p.drawn)
    }

    /// Whether none is drawn.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Some of the rows: the columns of numbers as `Float64`, those of categories, the class.
    pub fn draw(&self, range: Range<u64>) -> Result<Vec<ArrayRef>> {
        let n = range.end.saturating_sub(range.start) as usize;
        let mut numbers = vec![Vec::with_capacity(n); self.rows.number_columns()];
        let mut categories = vec![Vec::with_capacity(n); self.categories.len()];
        let mut classes = Vec::with_capacity(n);
        let mut counts = Vec::new();
        for part in &self.parts {
            let begin = range.start.max(part.before) - part.before;
            let end = range.end.min(part.before + part.drawn);
            let end = end.saturating_sub(part.before);
            if begin >= end {
                continue;
            }
            let draws = Int64Array::from_iter_values((begin..end).map(|draw| draw as i64));
            let mut hashes = vec![part.hash; draws.len()];
            key::fold(&mut hashes, &(Arc::new(draws) as ArrayRef))?;
            for (draw, hash) in (begin..end).zip(hashes) {
                self.draw_one(part, draw, hash, &mut numbers, &mut categories, &mut counts);
                classes.push(part.class);
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(numbers.len() + categories.len() + 1);
        for values in numbers {
            // mostly none is missing
            let missing = values.iter().any(|x| x.is_nan());
            let present = missing.then(|| values.iter().map(|x| !x.is_nan()).collect());
            columns.push(Arc::new(Float64Array::new(values.into(), present)));
        }
        for (codes, values) in categories.into_iter().zip(&self.categories) {
            columns.push(take(&values.values, &UInt32Array::from(codes), None)?);
        }
        columns.push(take(&self.labels, &UInt32Array::from(classes), None)?);
        Ok(columns)
    }

    fn draw_one(
        &self,
        part: &Part,
        draw: u64,
        hash: u64,
        numbers: &mut [Vec<f64>],
        categories: &mut [Vec<u32>],
        counts: &mut Vec<(u32, u32)>,
    ) {
        let mut rng = key::rng(hash);
        let mut below = |n: usize| key::below(rng.next_u64(), n as i64) as usize;
        let base = match &part.ends {
            Some(ends) => ends.partition_point(|end| *end <= draw),
            None => below(part.bases.len()),
        };
        let neighbours = &part.neighbours[base * part.width..][..part.width];
        let found = neighbours.iter().position(|n| *n == NONE);
        let neighbours = &neighbours[..found.unwrap_or(part.width)];
        let base = part.bases[base];
        // a row that is alone is repeated
        let other = match neighbours {
            [] => base,
            _ => neighbours[below(neighbours.len())],
        };
        let mut unit = || (below(1 << 53) as f64) / (1u64 << 53) as f64;
        let mut step = unit();
        if part.mixed && self.rows.class(other) != part.class {
            step *= 0.5 * unit();
        }
        let pairs = self.rows.numbers(base).iter().zip(self.rows.numbers(other));
        for (column, (x, y)) in numbers.iter_mut().zip(pairs) {
            column.push(between(*x, *y, step));
        }
        for (at, column) in categories.iter_mut().enumerate() {
            let codes = neighbours.iter().map(|n| self.rows.categories(*n)[at]);
            column.push(match most_frequent(codes, counts) {
                0 => self.rows.categories(base)[at],
                1 => counts[0].0,
                ties => counts[below(ties)].0,
            });
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| {
            let ends = part.ends.as_deref().map_or(0, size_of_val);
            ends + size_of_val(&*part.bases) + size_of_val(&*part.neighbours)
        });
        let row = size_of::<f64>() * self.rows.number_columns()
            + size_of::<u32>() * (self.categories.len() + 1);
        parts.sum::<usize>() + self.rows.len() * row
    }
}

/// The value part of the way from one to another; where one of them is missing, what is at the nearer end.
fn between(x: f64, y: f64, step: f64) -> f64 {
    let apart = y - x;
    if apart.is_finite() {
        x + step * apart
    } else if x.is_nan() || y.is_nan() {
        if step < 0.5 { x } else { y }
    } else {
        // they are further apart than the largest float
        x * (1.0 - step) + y * step
    }
}

/// Counts codes; those that are the most frequent are then in front of `counts`, in order. Says how many.
fn most_frequent(codes: impl Iterator<Item = u32>, counts: &mut Vec<(u32, u32)>) -> usize {
    counts.clear();
    for code in codes {
        match counts.iter_mut().find(|(c, _)| *c == code) {
            Some((_, count)) => *count += 1,
            None => counts.push((code, 1)),
        }
    }
    let most = counts.iter().map(|c| c.1).max().unwrap_or(0);
    counts.retain(|c| c.1 == most);
    counts.sort_unstable();
    counts.len()
}

/// ADASYN's numbers of rows: `n` in proportion to the share of others among the nearest, each rounded.
/// `None` where no row has others near it.
fn proportional(others: &[(u32, u32)], n: u64) -> Option<Vec<u64>> {
    let share = |(others, of): &(u32, u32)| f64::from(*others) / f64::from((*of).max(1));
    let sum: f64 = others.iter().map(share).sum();
    (sum > 0.0).then(|| {
        let counts = others.iter().map(|o| share(o) / sum * n as f64);
        counts.map(|c| c.round_ties_even() as u64).collect()
    })
}

/// The median of the standard deviations of the numbers.
fn median_deviation(rows: &Rows, ranks: Range<u32>) -> f64 {
    let mut deviations: Vec<f64> = (0..rows.number_columns())
        .filter_map(|column| {
            let values = || {
                let values = ranks.clone().map(|rank| rows.numbers(rank)[column]);
                values.filter(|x| !x.is_nan())
            };
            let n = values().count() as f64;
            let mean = values().sum::<f64>() / n;
            let variance = values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            (n > 0.0).then(|| variance.sqrt())
        })
        .collect();
    deviations.sort_unstable_by(f64::total_cmp);
    let middle = deviations.len() / 2;
    match (deviations.get(middle), deviations.len() % 2) {
        (None, _) => 0.0,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => (deviations[middle - 1] + upper) / 2.0,
    }
}

/// Searches for many rows at once.
struct Neighbourhood<'a> {
    rows: &'a Rows,
    threads: usize,
    cancelled: &'a AtomicBool,
}

impl Neighbourhood<'_> {
    fn search<T: Send>(
        &self,
        index: &Index,
        bases: &[u32],
        k: usize,
        f: impl Fn(&Nearest, &mut Vec<T>) + Sync,
    ) -> Result<Vec<T>> {
        in_parallel(bases.len(), self.threads, self.cancelled, |range, out| {
            let mut queries = Queries::default();
            let bases = &bases[range];
            for base in bases {
                let (numbers, categories) = (self.rows.numbers(*base), self.rows.categories(*base));
                index.query(&mut queries, numbers, categories);
            }
            let mut nearest: Vec<_> = bases.iter().map(|b| Nearest::except(k, *b)).collect();
            index.search(&queries, &mut nearest);
            for nearest in &nearest {
                f(nearest, out);
            }
        })
    }

    /// The ranks of the nearest `k` rows to each base.
    fn nearest(&self, index: &Index, bases: &[u32], k: usize) -> Result<Vec<u32>> {
        self.search(index, bases, k, |nearest, out| {
            let end = out.len() + k;
            out.extend(nearest.found.iter().map(|f| f.1));
            out.resize(end, NONE);
        })
    }

    /// How many of the nearest `m` rows to each base are of another class, and how many rows these were.
    fn others(
        &self,
        index: &Index,
        bases: &[u32],
        class: u32,
        m: usize,
    ) -> Result<Vec<(u32, u32)>> {
        self.search(index, bases, m, |nearest, out| {
            let found = &nearest.found;
            let others = found.iter().filter(|f| self.rows.class(f.1) != class);
            out.push((others.count() as u32, found.len() as u32));
        })
    }
}

/// Numbers in the type of the column they are for: rounded where it holds whole numbers.
pub fn typed(numbers: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    let whole = |lo: f64, hi: f64| -> Result<ArrayRef> {
        let numbers = numbers.as_primitive::<Float64Type>();
        let rounded: Float64Array = numbers.unary(|x| x.round().max(lo).min(hi));
        Ok(cast(&rounded, to)?)
    };
    match to {
        DataType::Null => Ok(new_null_array(to, numbers.len())),
        DataType::Dictionary(_, value) => Ok(cast(&typed(numbers, value)?, to)?),
        // the largest floats that these types hold
        DataType::Int64 => whole(-9_223_372_036_854_775_808.0, 9_223_372_036_854_774_784.0),
        DataType::UInt64 => whole(0.0, 18_446_744_073_709_549_568.0),
        t if t.is_integer() || t == &DataType::Boolean => whole(f64::MIN, f64::MAX),
        _ => Ok(cast(numbers, to)?),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Decimal128Array};
    use arrow::datatypes::{Float64Type, Int64Type};

    use super::super::testing::{floats, gathered, integers, texts};
    use super::*;

    const SMOTE: Oversampling = Oversampling {
        name: "smote",
        method: Method::Smote,
        k: 2,
        seed: 0,
    };

    fn synthetic(task: Oversampling, categories: usize, columns: &[ArrayRef]) -> Result<Synthetic> {
        let numbers = columns.len() - categories - 2;
        let gathered = gathered(numbers, categories, true, true, columns)?;
        Synthetic::new(&task, gathered, 2, &AtomicBool::new(false))
    }

    #[test]
    fn rows_are_between_neighbours() -> Result<()> {
        let x = floats([1.0, 2.0, 3.0, 100.0, 101.0, 50.0]);
        let y = texts(["b", "b", "b", "b", "b", "a"]);
        let wanted = integers([400, 400, 400, 400, 400, 0]);
        let made = synthetic(SMOTE, 0, &[x, y, wanted])?;
        assert_eq!(made.len(), 400);
        let all = made.draw(0..400)?;
        let x = all[0].as_primitive::<Float64Type>();
        // 100 and 101 have 3 for their second neighbour, 1 to 3 none above 3
        let between =
            |lo: f64, hi: f64| x.values().iter().filter(|x| (lo..=hi).contains(x)).count();
        assert!(between(1.0, 3.0) > 200 && between(100.0, 101.0) > 30);
        assert!(between(3.1, 99.9) > 30 && between(1.0, 101.0) == 400);
        // in whatever parts they are drawn
        let mut parts = made.draw(0..7)?;
        for begin in (7..400).step_by(131) {
            let more = made.draw(begin..400.min(begin + 131))?;
            for (part, more) in parts.iter_mut().zip(more) {
                *part = arrow::compute::concat(&[part, &more])?;
            }
        }
        assert_eq!(parts, all);
        let seed = Oversampling { seed: 1, ..SMOTE };
        let x = floats([1.0, 2.0, 3.0, 100.0, 101.0, 50.0]);
        let y = texts(["b", "b", "b", "b", "b", "a"]);
        let other = synthetic(seed, 0, &[x, y, integers([400, 400, 400, 400, 400, 0])])?;
        assert_ne!(other.draw(0..400)?, all);
        Ok(())
    }

    #[test]
    fn rows_alone_and_missing_numbers() -> Result<()> {
        let x = floats([5.0, 7.0, f64::NAN, f64::NAN]);
        let z = floats([f64::NAN, 1.0, 1.0, f64::NAN]);
        let y = texts(["alone", "two", "two", "none"]);
        let made = synthetic(SMOTE, 0, &[x, z, y, integers([3, 50, 50, 2])])?;
        let all = made.draw(0..made.len())?;
        let (x, z) = (
            all[0].as_primitive::<Float64Type>(),
            all[1].as_primitive::<Float64Type>(),
        );
        let y = all[2].as_string::<i32>();
        let mut missing = 0;
        for row in 0..x.len() {
            match y.value(row) {
                "alone" => assert!(x.value(row) == 5.0 && z.is_null(row)),
                "two" => {
                    missing += usize::from(x.is_null(row));
                    assert!(z.value(row) == 1.0 && (x.is_null(row) || x.value(row) == 7.0));
                }
                _ => assert!(x.is_null(row) && z.is_null(row)),
            }
        }
        assert!((10..40).contains(&missing), "{missing}");
        Ok(())
    }

    #[test]
    fn categories_are_the_most_frequent_of_the_neighbours() -> Result<()> {
        let x = floats([1.0, 2.0, 3.0, 4.0, 90.0]);
        let c = texts(["p", "p", "p", "q", "r"]);
        let y = texts(["b", "b", "b", "b", "a"]);
        let task = Oversampling { k: 3, ..SMOTE };
        let made = synthetic(task, 1, &[x, c, y, integers([200, 200, 200, 200, 0])])?;
        let all = made.draw(0..200)?;
        assert!(all[1].as_string::<i32>().iter().all(|c| c == Some("p")));
        let constant = floats([1.0, 1.0, 1.0, 1.0]);
        let made = synthetic(
            task,
            1,
            &[
                constant,
                texts(["p", "p", "q", "q"]),
                texts(["b"; 4]),
                integers([100; 4]),
            ],
        )?;
        let all = made.draw(0..100)?;
        let q = all[1].as_string::<i32>().iter().filter(|c| *c == Some("q"));
        assert!((20..80).contains(&q.count()));
        Ok(())
    }

    #[test]
    fn danger_and_hardness() -> Result<()> {
        // of 7 and 8 one of the two nearest is of the other class; 6 has both
        let x = || floats([5.0, 5.5, 5.6, 6.0, 6.5, 7.0, 8.0, 8.5, 9.0]);
        let y = || texts(["a", "a", "a", "b", "a", "b", "b", "b", "b"]);
        let wanted = || integers([0, 0, 0, 10, 0, 10, 10, 10, 10]);
        let method = Method::Borderline {
            m: 2,
            kind: Borderline::One,
        };
        let task = Oversampling { method, ..SMOTE };
        let made = synthetic(task, 0, &[x(), y(), wanted()])?;
        let bases = made.parts[0].bases.iter();
        let bases: Vec<f64> = bases.map(|b| made.rows.numbers(*b)[0]).collect();
        // 6.5 and 8 are equally far from 7 as 6 is; 6.5 nearer
        assert_eq!(bases, [7.0]);
        let task = Oversampling {
            method: Method::Adasyn,
            ..SMOTE
        };
        let made = synthetic(task, 0, &[x(), y(), wanted()])?;
        // shares of others 2/2, 1/2, 0, 0, 0 of ten rows
        assert_eq!(made.parts[0].ends.as_deref(), Some(&[7, 10][..]));
        let apart = [
            floats([0.0, 1.0, 2.0, 90.0, 91.0, 92.0]),
            texts(["a", "a", "a", "b", "b", "b"]),
        ];
        let [x, y] = apart;
        let error = synthetic(task, 0, &[x, y, integers([0, 0, 0, 4, 4, 4])]);
        let error = error.map(|_| ()).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("none is hard to learn. Write smote(...)")));
        Ok(())
    }

    #[test]
    fn numbers_come_in_the_types_of_their_columns() -> Result<()> {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(1.5),
            Some(-0.4),
            None,
            Some(9.3e18),
        ]));
        let longs = typed(&numbers, &DataType::Int64)?;
        let expected = [Some(2), Some(0), None, Some(9_223_372_036_854_774_784)];
        assert!(longs.as_primitive::<Int64Type>().iter().eq(expected));
        let flags = typed(&numbers, &DataType::Boolean)?;
        assert_eq!(flags.as_boolean().iter().nth(1), Some(Some(false)));
        let money = typed(&numbers, &DataType::Decimal128(20, 1))?;
        let money = money.as_any().downcast_ref::<Decimal128Array>();
        assert_eq!(money.map(|m| m.value(0)), Some(15));
        let coded = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Int32));
        assert_eq!(typed(&numbers, &coded)?.data_type(), &coded);
        assert_eq!(typed(&numbers, &DataType::Null)?.len(), 4);
        Ok(())
    }
}
