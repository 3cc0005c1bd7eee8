//! Rows that are taken out for where they are: Tomek links, and rows that their neighbours contradict.
//!
//! Whether a row stays depends on its numbers, its class and all rows of the table, so rows that hold the same
//! stay or go together.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion_common::{Result, internal_err};

use super::index::{Collect, Index, Nearest, Queries};
use super::rows::{Gathered, Values, interleave, numbers};
use super::{CHUNK, stop_if};

/// Which rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum Rule {
    /// Those in a Tomek link.
    Tomek,
    /// Those that have a row of another class among the nearest `k`.
    All { k: usize },
    /// Those that are not of the class that is the most frequent among the nearest `k`.
    Mode { k: usize },
}

/// Rows of which classes may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum Classes {
    NotMinority,
    Majority,
    All,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub struct Editing {
    pub rule: Rule,
    pub classes: Classes,
}

/// Decides about rows.
#[derive(Debug)]
pub struct Editor {
    rule: Rule,
    index: Index,
    labels: Values,
    /// The class of each rank.
    classes: Vec<u32>,
    /// Whether rows of a class may go.
    edited: Vec<bool>,
}

impl Editor {
    /// An editor by all rows of a table.
    pub fn new(task: &Editing, gathered: Gathered) -> Result<Self> {
        let Gathered {
            rows,
            labels: Some(labels),
            ..
        } = gathered
        else {
            return internal_err!("the rows have no class");
        };
        let k = match task.rule {
            Rule::Tomek => 1,
            Rule::All { k } | Rule::Mode { k } => k,
        };
        let counts: Vec<usize> = (0..labels.len() as u32)
            .map(|class| rows.of_class(class).len())
            .collect();
        let first = |count: Option<&usize>| counts.iter().position(|c| Some(c) == count);
        let smallest = first(counts.iter().min());
        let largest = first(counts.iter().max());
        let edited = (0..counts.len())
            .map(|class| match task.classes {
                Classes::NotMinority => Some(class) != smallest,
                Classes::Majority => Some(class) == largest,
                Classes::All => true,
            })
            .collect();
        // one more: a row finds itself
        let index = Index::new(&rows, 0..rows.len() as u32, k.saturating_add(1), 0.0);
        Ok(Self {
            rule: task.rule,
            index,
            labels,
            classes: rows.into_classes(),
            edited,
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + size_of_val(&*self.classes)
    }

    /// Which rows of a batch stay, by their columns of numbers and their class.
    pub fn keeps(
        &self,
        columns: &[ArrayRef],
        label: &ArrayRef,
        cancelled: &AtomicBool,
    ) -> Result<BooleanArray> {
        let classes = self.labels.codes_of(label)?;
        let columns = columns.iter().map(numbers).collect::<Result<Vec<_>>>()?;
        let width = columns.len();
        let mut values = Vec::new();
        interleave(&columns, classes.len(), &mut values);
        let may_go = |class: u32| self.edited.get(class as usize).is_some_and(|e| *e);
        let asked: Vec<usize> = (0..classes.len())
            .filter(|row| may_go(classes[*row]))
            .collect();
        let mut keep = vec![true; classes.len()];
        let mut queries = Queries::default();
        for chunk in asked.chunks(CHUNK) {
            stop_if(cancelled)?;
            queries.clear();
            for row in chunk {
                let numbers = &values[row * width..][..width];
                self.index.query(&mut queries, numbers, &[]);
            }
            let row = |i: usize| &values[chunk[i] * width..][..width];
            let class = |i: usize| classes[chunk[i]];
            match self.rule {
                Rule::Tomek => {
                    let linked = self.linked(&queries, chunk.len(), row, class);
                    for (row, linked) in chunk.iter().zip(linked) {
                        keep[*row] = !linked;
                    }
                }
                Rule::All { k } => {
                    let near = self.others(&queries, chunk.len(), k, row, class);
                    for (i, near) in near.into_iter().enumerate() {
                        keep[chunk[i]] = near.iter().all(|c| *c == class(i));
                    }
                }
                Rule::Mode { k } => {
                    let near = self.others(&queries, chunk.len(), k, row, class);
                    for (i, mut near) in near.into_iter().enumerate() {
                        keep[chunk[i]] = mode(&mut near).is_none_or(|c| c == class(i));
                    }
                }
            }
        }
        Ok(BooleanArray::from(keep))
    }

    /// Whether the row at a place is the one asked about, or one that holds the same.
    fn is_same(&self, rank: u32, slot: u32, numbers: &[f64], class: u32) -> bool {
        let mut columns = numbers.iter().enumerate();
        self.classes[rank as usize] == class
            && columns.all(|(i, x)| self.index.number(slot, i).to_bits() == x.to_bits())
    }

    /// The classes of the nearest `k` rows to each query, itself left out.
    fn others<'a>(
        &self,
        queries: &Queries,
        n: usize,
        k: usize,
        row: impl Fn(usize) -> &'a [f64],
        class: impl Fn(usize) -> u32,
    ) -> Vec<Vec<u32>> {
        let mut nearest = vec![Nearest::new(k.saturating_add(1)); n];
        self.index.search(queries, &mut nearest);
        nearest
            .into_iter()
            .enumerate()
            .map(|(i, nearest)| {
                let mut found = nearest.found;
                // it is at distance 0, if not among the nearest then behind others that are
                let itself = found
                    .iter()
                    .position(|f| self.is_same(f.1, f.2, row(i), class(i)));
                match itself {
                    Some(at) => _ = found.remove(at),
                    None => found.truncate(k),
                }
                found.iter().map(|f| self.classes[f.1 as usize]).collect()
            })
            .collect()
    }

    /// Whether each query is in a Tomek link: there is a row of another class, and none is nearer to either of
    /// the two than they are to each other.
    fn linked<'a>(
        &self,
        queries: &Queries,
        n: usize,
        row: impl Fn(usize) -> &'a [f64],
        class: impl Fn(usize) -> u32,
    ) -> Vec<bool> {
        let mut nearest = vec![Nearest::new(2); n];
        self.index.search(queries, &mut nearest);
        let mut partners: Vec<Partners> = nearest
            .iter()
            .enumerate()
            .map(|(i, nearest)| {
                let found = &nearest.found;
                let itself = found
                    .iter()
                    .position(|f| self.is_same(f.1, f.2, row(i), class(i)));
                let other = match itself {
                    Some(0) => found.get(1),
                    _ => found.first(),
                };
                Partners {
                    at: other.map_or(-1.0, |f| f.0),
                    class: class(i),
                    classes: &self.classes,
                    found: Vec::new(),
                }
            })
            .collect();
        self.index.search(queries, &mut partners);
        let mut asked = Queries::default();
        partners
            .iter()
            .map(|partners| {
                if partners.found.is_empty() || partners.at == 0.0 {
                    return !partners.found.is_empty();
                }
                asked.clear();
                let mut spheres = Vec::with_capacity(partners.found.len());
                for (rank, slot) in &partners.found {
                    let numbers: Vec<f64> = (0..row(0).len())
                        .map(|column| self.index.number(*slot, column))
                        .collect();
                    self.index.query(&mut asked, &numbers, &[]);
                    spheres.push(Sphere {
                        radius: partners.at,
                        except: *rank,
                        empty: true,
                    });
                }
                self.index.search(&asked, &mut spheres);
                spheres.iter().any(|sphere| sphere.empty)
            })
            .collect()
    }
}

/// The rows of another class at exactly the distance of the nearest row.
struct Partners<'a> {
    at: f64,
    class: u32,
    classes: &'a [u32],
    /// Ranks and places.
    found: Vec<(u32, u32)>,
}

impl Collect for Partners<'_> {
    fn bound(&self) -> f64 {
        // one at distance 0 is enough: none is nearer
        match (self.at, self.found.is_empty()) {
            (0.0, false) => -1.0,
            (at, _) => at,
        }
    }

    fn offer(&mut self, distance: f64, rank: u32, slot: u32) {
        if distance == self.at && self.classes[rank as usize] != self.class {
            self.found.push((rank, slot));
        }
    }
}

/// Whether there is another row within a radius.
struct Sphere {
    radius: f64,
    except: u32,
    empty: bool,
}

impl Collect for Sphere {
    fn bound(&self) -> f64 {
        if self.empty { self.radius } else { -1.0 }
    }

    fn offer(&mut self, distance: f64, rank: u32, _: u32) {
        if rank != self.except && distance < self.radius {
            self.empty = false;
        }
    }
}

/// The most frequent class; of several the first.
fn mode(classes: &mut [u32]) -> Option<u32> {
    classes.sort_unstable();
    let mut best: Option<(Range<usize>, u32)> = None;
    let mut begin = 0;
    for run in classes.chunk_by(|a, b| a == b) {
        let range = begin..begin + run.len();
        begin = range.end;
        if best.as_ref().is_none_or(|(b, _)| range.len() > b.len()) {
            best = Some((range, run[0]));
        }
    }
    best.map(|(_, class)| class)
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::super::testing::{floats, gathered, texts};
    use super::*;

    fn keeps(rule: Rule, classes: Classes, x: &[f64], y: &[&str]) -> Result<Vec<bool>> {
        let (x, y) = (floats(x.iter().copied()), texts(y.iter().copied()));
        let task = Editing { rule, classes };
        let gathered = gathered(1, 0, true, false, &[x.clone(), y.clone()])?;
        let editor = Editor::new(&task, gathered)?;
        assert!(editor.bytes() > 0 || x.is_empty());
        let going = AtomicBool::new(false);
        let keep = editor.keeps(std::slice::from_ref(&x), &y, &going)?;
        let mut parts = Vec::new();
        for row in 0..x.len() {
            let one = editor.keeps(&[x.slice(row, 1)], &y.slice(row, 1), &going)?;
            parts.extend(one.values().iter());
        }
        assert_eq!(keep.values().iter().collect::<Vec<_>>(), parts);
        Ok(parts)
    }

    #[test]
    fn links() -> Result<()> {
        let y = ["a", "a", "a", "b", "b"];
        let x = [1.0, 2.0, 4.0, 4.5, 9.0];
        let keep = keeps(Rule::Tomek, Classes::All, &x, &y)?;
        assert_eq!(keep, [true, true, false, false, true]);
        let keep = keeps(Rule::Tomek, Classes::NotMinority, &x, &y)?;
        assert_eq!(keep, [true, true, false, true, true]);
        // both of those at the same distance are linked
        let keep = keeps(
            Rule::Tomek,
            Classes::All,
            &[0.0, 1.0, 2.0],
            &["a", "b", "a"],
        )?;
        assert_eq!(keep, [false; 3]);
        // rows that are the same go together, and hide each other from those farther off
        let keep = keeps(Rule::Tomek, Classes::All, &[1.0; 4], &["a", "b", "b", "b"])?;
        assert_eq!(keep, [false; 4]);
        let keep = keeps(
            Rule::Tomek,
            Classes::All,
            &[1.0, 1.0, 2.0],
            &["a", "a", "b"],
        )?;
        assert_eq!(keep, [true; 3]);
        let keep = keeps(Rule::Tomek, Classes::All, &[f64::NAN, 1.0], &["a", "b"])?;
        assert_eq!(keep, [true; 2]);
        assert!(keeps(Rule::Tomek, Classes::All, &[], &[])?.is_empty());
        Ok(())
    }

    #[test]
    fn contradicted_rows() -> Result<()> {
        let y = ["a", "a", "a", "a", "b", "b"];
        let x = [1.0, 2.0, 3.0, 8.0, 9.0, 10.0];
        let keep = keeps(Rule::All { k: 2 }, Classes::NotMinority, &x, &y)?;
        assert_eq!(keep, [true, true, true, false, true, true]);
        let keep = keeps(Rule::Mode { k: 3 }, Classes::All, &x, &y)?;
        assert_eq!(keep, [true, true, true, false, false, false]);
        let keep = keeps(Rule::All { k: 2 }, Classes::Majority, &x, &y)?;
        assert_eq!(keep, [true, true, true, false, true, true]);
        // many that are the same, of both classes
        let keep = keeps(Rule::Mode { k: 3 }, Classes::All, &[5.0; 6], &y)?;
        assert_eq!(keep, [true, true, true, true, false, false]);
        let keep = keeps(Rule::All { k: 3 }, Classes::All, &[5.0], &["a"])?;
        assert_eq!(keep, [true]);
        Ok(())
    }

    #[test]
    fn the_most_frequent_class() {
        assert_eq!(mode(&mut [3, 1, 3, 1, 2]), Some(1));
        assert_eq!(mode(&mut []), None);
    }
}
