//! The nearest rows, exactly: a k-d tree whose leaves are searched eight rows at a time.
//!
//! With few columns the boxes of the tree keep most rows out. With many they do not, and the search is that of
//! all rows: then it is the leaves that must be fast. So queries go down the tree in blocks, a leaf is looked
//! at by all of a block while it is in the cache, and eight rows are given up together once the first of their columns
//! (the widest come first) put all of them too far away. They are looked at in single precision first.
//!
//! What is left out changes nothing: a float's rounding is monotone, so the distance to a box, and a distance over some of the
//! columns, computed in the same order as the distance itself, are never above it. In single precision, rows are given up
//! only beyond all that its rounding may have added.

use super::rows::Rows;

/// Rows whose distances are computed together.
const LANES: usize = 8;
/// Rows of a leaf.
const LEAF: usize = 64;
/// Queries that go down the tree together.
const BLOCK: usize = 32;
/// Columns after which rows may be given up.
const STRIDE: usize = 4;

/// What a search gathers for one query.
pub trait Collect {
    /// The largest squared distance that is still of interest.
    fn bound(&self) -> f64;

    /// Takes a row at a squared distance within the bound: its rank, and its place in the index.
    fn offer(&mut self, distance: f64, rank: u32, slot: u32);
}

/// The nearest rows; of those at the same distance the ones of lower rank.
#[derive(Debug, Clone)]
pub struct Nearest {
    k: usize,
    except: u32,
    /// Squared distance, rank, place in the index.
    pub found: Vec<(f64, u32, u32)>,
}

impl Nearest {
    /// At most `k` rows.
    pub fn new(k: usize) -> Self {
        Self::except(k, u32::MAX)
    }

    /// At most `k` rows, and not the one of that rank.
    pub fn except(k: usize, rank: u32) -> Self {
        Self {
            k,
            except: rank,
            found: Vec::with_capacity(k.min(64)),
        }
    }
}

impl Collect for Nearest {
    #[inline]
    fn bound(&self) -> f64 {
        match self.found.last() {
            Some(last) if self.found.len() >= self.k => last.0,
            _ if self.k == 0 => -1.0,
            _ => f64::INFINITY,
        }
    }

    #[inline]
    fn offer(&mut self, distance: f64, rank: u32, slot: u32) {
        if rank == self.except {
            return;
        }
        let after = |row: &(f64, u32, u32)| (row.0, row.1) > (distance, rank);
        if self.found.len() >= self.k {
            if !self.found.last().is_some_and(after) {
                return;
            }
            self.found.pop();
        }
        let mut at = self.found.len();
        while at > 0 && after(&self.found[at - 1]) {
            at -= 1;
        }
        self.found.insert(at, (distance, rank, slot));
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The right child; the left one is the next node. 0 for a leaf.
    right: u32,
    /// Of a leaf: the first of its tiles of [`LANES`] rows.
    tile: u32,
    /// Of a leaf: how many rows it has.
    rows: u32,
    /// Whether a row lacks a number.
    gaps: bool,
}

/// Rows made ready to be searched.
#[derive(Debug)]
pub struct Index {
    numbers: usize,
    categories: usize,
    /// What a category that differs adds to a squared distance.
    mismatch: f64,
    /// The columns of numbers in the order of the tiles.
    order: Vec<usize>,
    /// Where in that order each column is.
    places: Vec<usize>,
    nodes: Vec<Node>,
    /// The least and the largest of each number of each node; without bounds where a row lacks it.
    boxes: Vec<[f64; 2]>,
    /// A tile has the numbers of [`LANES`] rows, one column after the other.
    tiles: Vec<[f64; LANES]>,
    /// The same in single precision, as distances from the middle of the column.
    screens: Vec<[f32; LANES]>,
    /// The middle of each column of the tiles, and how far from it a number is at most.
    middles: Vec<[f64; 2]>,
    codes: Vec<[u32; LANES]>,
    ranks: Vec<u32>,
}

/// Rows whose neighbours are searched, as an [`Index`] wants them.
#[derive(Debug, Default)]
pub struct Queries {
    values: Vec<f64>,
    codes: Vec<u32>,
    scales: Vec<f64>,
    gaps: Vec<bool>,
    screens: Vec<f32>,
    /// By how much rounding to single precision may change a distance.
    slacks: Vec<f64>,
}

impl Queries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Forgets them; the memory is used again.
    pub fn clear(&mut self) {
        self.values.clear();
        self.codes.clear();
        self.scales.clear();
        self.gaps.clear();
        self.screens.clear();
        self.slacks.clear();
    }
}

impl Index {
    /// An index of the rows of some ranks. Of rows that hold the same, no more than `copies` are of use.
    /// `mismatch` is what a category that differs adds to a squared distance.
    pub fn new(rows: &Rows, ranks: std::ops::Range<u32>, copies: usize, mismatch: f64) -> Self {
        let mut kept: Vec<u32> = Vec::with_capacity(ranks.len());
        let mut same = 0;
        for rank in ranks {
            let again = kept.last().is_some_and(|last| rows.same(*last, rank));
            same = if again { same + 1 } else { 1 };
            if same <= copies {
                kept.push(rank);
            }
        }
        let (numbers, categories) = (rows.number_columns(), rows.category_columns());
        let tiles = kept.len().div_ceil(LANES);
        let order = widest_first(rows, &kept);
        let mut places = vec![0; numbers];
        for (place, column) in order.iter().enumerate() {
            places[*column] = place;
        }
        let middles = middles(rows, &kept, &order);
        let mut index = Self {
            numbers,
            categories,
            mismatch,
            order,
            places,
            nodes: Vec::new(),
            boxes: Vec::new(),
            tiles: Vec::with_capacity(tiles * numbers),
            screens: Vec::with_capacity(tiles * numbers),
            middles,
            codes: Vec::with_capacity(tiles * categories),
            ranks: Vec::with_capacity(tiles * LANES),
        };
        if !kept.is_empty() {
            index.grow(rows, &mut kept);
        }
        index
    }

    /// Adds a node for these rows, and those below it; says which it is.
    fn grow(&mut self, rows: &Rows, ranks: &mut [u32]) -> u32 {
        let id = self.nodes.len();
        self.nodes.push(Node {
            right: 0,
            tile: 0,
            rows: 0,
            gaps: false,
        });
        let begin = self.boxes.len();
        self.boxes
            .resize(begin + self.numbers, [f64::INFINITY, f64::NEG_INFINITY]);
        let mut gaps = vec![false; self.numbers];
        for rank in ranks.iter() {
            let values = rows.numbers(*rank);
            let columns = self.boxes[begin..].iter_mut().zip(&mut gaps);
            for (([lo, hi], gap), column) in columns.zip(&self.order) {
                let x = values[*column];
                *lo = if x < *lo { x } else { *lo };
                *hi = if x > *hi { x } else { *hi };
                *gap |= x.is_nan();
            }
        }
        let spread = |[lo, hi]: &[f64; 2]| hi - lo;
        let widest = self.boxes[begin..]
            .iter()
            .zip(&self.order)
            .max_by(|a, b| spread(a.0).total_cmp(&spread(b.0)))
            .map(|(_, column)| *column);
        for (bounds, gap) in self.boxes[begin..].iter_mut().zip(&gaps) {
            if *gap {
                *bounds = [f64::NEG_INFINITY, f64::INFINITY];
            }
        }
        self.nodes[id].gaps = gaps.contains(&true);
        if ranks.len() <= LEAF {
            self.nodes[id].tile = (self.ranks.len() / LANES) as u32;
            self.nodes[id].rows = ranks.len() as u32;
            self.pack(rows, ranks);
            return id as u32;
        }
        // all leaves are full but the last
        let middle = ranks.len().div_ceil(LEAF) / 2 * LEAF;
        if let Some(column) = widest {
            let value = |rank: u32| rows.numbers(rank)[column];
            ranks.select_nth_unstable_by(middle, |a, b| {
                value(*a).total_cmp(&value(*b)).then(a.cmp(b))
            });
        }
        let (left, right) = ranks.split_at_mut(middle);
        self.grow(rows, left);
        self.nodes[id].right = self.grow(rows, right);
        id as u32
    }

    /// Adds the tiles of a leaf.
    fn pack(&mut self, rows: &Rows, ranks: &[u32]) {
        for ranks in ranks.chunks(LANES) {
            for (column, [middle, _]) in self.order.iter().zip(&self.middles) {
                let mut tile = [f64::NAN; LANES];
                for (x, rank) in tile.iter_mut().zip(ranks) {
                    *x = rows.numbers(*rank)[*column];
                }
                self.tiles.push(tile);
                self.screens.push(tile.map(|x| (x - middle) as f32));
            }
            for column in 0..self.categories {
                let mut tile = [0; LANES];
                for (code, rank) in tile.iter_mut().zip(ranks) {
                    *code = rows.categories(*rank)[column];
                }
                self.codes.push(tile);
            }
            self.ranks.extend_from_slice(ranks);
            self.ranks
                .resize(self.ranks.len() + LANES - ranks.len(), u32::MAX);
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.nodes)
            + size_of_val(&*self.boxes)
            + size_of_val(&*self.tiles)
            + size_of_val(&*self.screens)
            + size_of_val(&*self.codes)
            + size_of_val(&*self.ranks)
    }

    /// A number of the row at a slot.
    #[inline]
    pub fn number(&self, slot: u32, column: usize) -> f64 {
        let slot = slot as usize;
        self.tiles[slot / LANES * self.numbers + self.places[column]][slot % LANES]
    }

    /// How many rows have a number in a column.
    pub fn count(&self, column: usize) -> usize {
        let columns = self.tiles.iter().skip(self.places[column]);
        let columns = columns.step_by(self.numbers.max(1));
        columns.flatten().filter(|x| !x.is_nan()).count()
    }

    /// Adds a row to the queries.
    pub fn query(&self, queries: &mut Queries, numbers: &[f64], categories: &[u32]) {
        let begin = queries.values.len();
        let ordered = self.order.iter().map(|column| numbers[*column]);
        queries.values.extend(ordered);
        let missing = queries.values[begin..].iter().filter(|x| x.is_nan());
        let missing = missing.count();
        queries.codes.extend_from_slice(categories);
        queries.scales.push(self.scale(self.numbers - missing));
        queries.gaps.push(missing > 0);
        let mut slack = 0.0;
        for (x, [middle, farthest]) in queries.values[begin..].iter().zip(&self.middles) {
            let apart = x - middle;
            queries.screens.push(apart as f32);
            let rounding = HALF_UNIT * (farthest + if apart.is_nan() { 0.0 } else { apart.abs() });
            slack += rounding * rounding;
        }
        queries.slacks.push(slack.sqrt());
    }

    /// No sum of squares in single precision is above this for a row within the bound.
    #[inline]
    fn limit(&self, queries: &Queries, q: usize, bound: f64) -> f32 {
        let root = (bound / queries.scales[q]).sqrt() + queries.slacks[q];
        (root * root * (1.0 + 4.0 * HALF_UNIT * (self.numbers + 8) as f64)) as f32
    }

    /// What a sum over some numbers is to be multiplied with, to be as one over all columns.
    #[inline]
    fn scale(&self, present: usize) -> f64 {
        let all = (self.numbers + self.categories) as f64;
        all / (present + self.categories) as f64
    }

    /// Offers each query's collector the rows within its bound, no matter in which order.
    pub fn search<C: Collect>(&self, queries: &Queries, collectors: &mut [C]) {
        if self.nodes.is_empty() {
            return;
        }
        let mut home = Vec::with_capacity(BLOCK);
        let mut active = Vec::new();
        for begin in (0..queries.len().min(collectors.len())).step_by(BLOCK) {
            let end = (begin + BLOCK).min(queries.len()).min(collectors.len());
            home.clear();
            // the leaf that each would be in gives it a bound to keep others out
            for (q, collector) in (begin..end).zip(&mut collectors[begin..end]) {
                let leaf = self.leaf_of(queries, q);
                self.look(queries, q, leaf, collector);
                home.push(leaf);
            }
            active.clear();
            active.extend(begin..end);
            let mut search = Search {
                index: self,
                queries,
                collectors: &mut *collectors,
                first: begin,
                home: &home,
                active: &mut active,
            };
            search.visit(0, 0);
        }
    }

    fn leaf_of(&self, queries: &Queries, q: usize) -> usize {
        let mut node = 0;
        loop {
            let right = self.nodes[node].right as usize;
            if right == 0 {
                return node;
            }
            let to_right = self.bound(queries, q, right) < self.bound(queries, q, node + 1);
            node = if to_right { right } else { node + 1 };
        }
    }

    /// No row of a node is nearer than this.
    #[inline]
    fn bound(&self, queries: &Queries, q: usize, node: usize) -> f64 {
        let query = &queries.values[q * self.numbers..][..self.numbers];
        let bounds = &self.boxes[node * self.numbers..][..self.numbers];
        let mut sum = 0.0;
        for (x, [lo, hi]) in query.iter().zip(bounds) {
            let below = if x < lo { lo - x } else { 0.0 };
            let gap = if x > hi { x - hi } else { below };
            sum += gap * gap;
        }
        sum * queries.scales[q]
    }

    /// Offers the rows of a leaf.
    #[inline]
    fn look<C: Collect>(&self, queries: &Queries, q: usize, leaf: usize, collector: &mut C) {
        let Node {
            tile, rows, gaps, ..
        } = self.nodes[leaf];
        let query = &queries.values[q * self.numbers..][..self.numbers];
        let screen = &queries.screens[q * self.numbers..][..self.numbers];
        let gaps = gaps || queries.gaps[q];
        let rows = rows as usize;
        let mut bound = collector.bound();
        let mut limit = self.limit(queries, q, bound);
        for at in 0..rows.div_ceil(LANES) {
            let tile = tile as usize + at;
            let columns = &self.screens[tile * self.numbers..][..self.numbers];
            let far = match gaps {
                true => all_far::<true>(screen, columns, limit),
                false => all_far::<false>(screen, columns, limit),
            };
            if far {
                continue;
            }
            let columns = &self.tiles[tile * self.numbers..][..self.numbers];
            let distances = if gaps {
                self.over_gaps(query, columns, queries.scales[q], bound)
            } else {
                over_all(query, columns, bound)
            };
            let Some((mut sums, counts)) = distances else {
                continue;
            };
            if self.categories > 0 {
                let query = &queries.codes[q * self.categories..][..self.categories];
                let columns = &self.codes[tile * self.categories..][..self.categories];
                let mut differ = [0.0; LANES];
                for (code, column) in query.iter().zip(columns) {
                    for (differ, c) in differ.iter_mut().zip(column) {
                        *differ += if c == code { 0.0 } else { 1.0 };
                    }
                }
                for (sum, differ) in sums.iter_mut().zip(differ) {
                    *sum += self.mismatch * differ;
                }
            }
            if let Some(counts) = counts {
                let all = (self.numbers + self.categories) as f64;
                let categories = self.categories as f64;
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum *= all / (count + categories);
                }
            }
            let lanes = (rows - at * LANES).min(LANES);
            for (lane, distance) in sums.iter().enumerate().take(lanes) {
                if *distance <= collector.bound() {
                    let slot = tile * LANES + lane;
                    collector.offer(*distance, self.ranks[slot], slot as u32);
                }
            }
            if collector.bound() < bound {
                bound = collector.bound();
                limit = self.limit(queries, q, bound);
            }
        }
    }

    /// Sums over the numbers that both have, and how many these are.
    #[inline]
    fn over_gaps(
        &self,
        query: &[f64],
        columns: &[[f64; LANES]],
        scale: f64,
        bound: f64,
    ) -> Option<(Sums, Option<Sums>)> {
        let mut sums = [0.0; LANES];
        let mut counts = [0.0; LANES];
        for (query, columns) in query.chunks(STRIDE).zip(columns.chunks(STRIDE)) {
            for (x, column) in query.iter().zip(columns) {
                for lane in 0..LANES {
                    let apart = column[lane] - x;
                    let present = !apart.is_nan();
                    sums[lane] += if present { apart * apart } else { 0.0 };
                    counts[lane] += if present { 1.0 } else { 0.0 };
                }
            }
            if sums
                .iter()
                .fold(true, |far, sum| far & (sum * scale > bound))
            {
                return None;
            }
        }
        Some((sums, Some(counts)))
    }
}

type Sums = [f64; LANES];

/// Half of the distance between 1 and the next number of single precision: what rounding changes at most.
const HALF_UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// Whether all rows of a tile are beyond the limit.
#[inline]
fn all_far<const GAPS: bool>(query: &[f32], columns: &[[f32; LANES]], limit: f32) -> bool {
    if limit == f32::INFINITY {
        return false;
    }
    let mut sums = [0.0; LANES];
    for (query, columns) in query.chunks(STRIDE).zip(columns.chunks(STRIDE)) {
        for (x, column) in query.iter().zip(columns) {
            for (sum, y) in sums.iter_mut().zip(column) {
                let apart = y - x;
                *sum += if GAPS && apart.is_nan() {
                    0.0
                } else {
                    apart * apart
                };
            }
        }
        if !sums.iter().fold(false, |near, sum| near | (*sum <= limit)) {
            return true;
        }
    }
    false
}

/// The middle of what rows have in each column, and how far from it they are at most.
fn middles(rows: &Rows, ranks: &[u32], order: &[usize]) -> Vec<[f64; 2]> {
    let mut bounds = vec![[f64::INFINITY, f64::NEG_INFINITY]; order.len()];
    for rank in ranks {
        let values = rows.numbers(*rank);
        for ([lo, hi], column) in bounds.iter_mut().zip(order) {
            *lo = lo.min(values[*column]);
            *hi = hi.max(values[*column]);
        }
    }
    let middle = |[lo, hi]: [f64; 2]| {
        let middle = lo / 2.0 + hi / 2.0;
        match middle.is_nan() {
            true => [0.0, 0.0],
            false => [middle, (hi - middle).max(middle - lo)],
        }
    };
    bounds.into_iter().map(middle).collect()
}

/// Sums where nothing is missing.
#[inline]
fn over_all(query: &[f64], columns: &[[f64; LANES]], bound: f64) -> Option<(Sums, Option<Sums>)> {
    let mut sums = [0.0; LANES];
    for (query, columns) in query.chunks(STRIDE).zip(columns.chunks(STRIDE)) {
        for (x, column) in query.iter().zip(columns) {
            for (sum, y) in sums.iter_mut().zip(column) {
                let apart = y - x;
                *sum += apart * apart;
            }
        }
        // the rows that fill up a tile are NaN, and never near
        if !sums.iter().fold(false, |near, sum| near | (*sum <= bound)) {
            return None;
        }
    }
    Some((sums, None))
}

/// Columns by their variance, largest first.
fn widest_first(rows: &Rows, ranks: &[u32]) -> Vec<usize> {
    let numbers = rows.number_columns();
    let mut sums = vec![(0.0, 0.0); numbers];
    for rank in ranks {
        for ((sum, count), x) in sums.iter_mut().zip(rows.numbers(*rank)) {
            if !x.is_nan() {
                *sum += x;
                *count += 1.0;
            }
        }
    }
    let mut squares = vec![0.0; numbers];
    for rank in ranks {
        let columns = squares.iter_mut().zip(&sums).zip(rows.numbers(*rank));
        for ((square, (sum, count)), x) in columns {
            let apart = x - sum / count;
            *square += if apart.is_nan() { 0.0 } else { apart * apart };
        }
    }
    let mut order: Vec<usize> = (0..numbers).collect();
    order.sort_by(|a, b| squares[*b].total_cmp(&squares[*a]).then(a.cmp(b)));
    order
}

struct Search<'a, C> {
    index: &'a Index,
    queries: &'a Queries,
    collectors: &'a mut [C],
    /// The first query of the block.
    first: usize,
    /// The leaf that each query has seen already.
    home: &'a [usize],
    /// A stack: the queries that look into a node are on top while it is visited.
    active: &'a mut Vec<usize>,
}

impl<C: Collect> Search<'_, C> {
    fn visit(&mut self, node: usize, begin: usize) {
        let end = self.active.len();
        let right = self.index.nodes[node].right as usize;
        if right == 0 {
            for i in begin..end {
                let q = self.active[i];
                if self.home[q - self.first] != node {
                    self.index
                        .look(self.queries, q, node, &mut self.collectors[q]);
                }
            }
            return;
        }
        let bound = |child| self.index.bound(self.queries, self.active[begin], child);
        let children = match bound(right) < bound(node + 1) {
            true => [right, node + 1],
            false => [node + 1, right],
        };
        for child in children {
            for i in begin..end {
                let q = self.active[i];
                if self.index.bound(self.queries, q, child) <= self.collectors[q].bound() {
                    self.active.push(q);
                }
            }
            if self.active.len() > end {
                self.visit(child, end);
            }
            self.active.truncate(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion_common::Result;
    use rand::RngCore;

    use super::super::rows::Gathered;
    use super::super::testing::{floats, gathered, integers};
    use super::*;
    use crate::random::key;

    /// Coarse numbers, so that distances tie, some of them missing.
    fn table(
        n: usize,
        numbers: usize,
        categories: usize,
        missing: u64,
        coarse: bool,
    ) -> Result<Gathered> {
        let mut rng = key::rng(n as u64 + 7 * numbers as u64 + missing);
        let mut columns = Vec::new();
        for _ in 0..numbers {
            columns.push(floats((0..n).map(|_| match rng.next_u64() % 100 {
                percent if percent < missing => f64::NAN,
                _ if coarse => (rng.next_u64() % 7) as f64 - 3.0,
                _ => (rng.next_u64() % 1_000_000) as f64 * 1e-3,
            })));
        }
        for _ in 0..categories {
            columns.push(integers((0..n).map(|_| (rng.next_u64() % 3) as i64)));
        }
        gathered(numbers, categories, false, false, &columns)
    }

    /// Distances as they are defined, one by one.
    fn all(index: &Index, rows: &Rows, a: u32, b: u32) -> f64 {
        let (mut sum, mut count) = (0.0, index.categories);
        for column in &index.order {
            let apart = rows.numbers(a)[*column] - rows.numbers(b)[*column];
            if !apart.is_nan() {
                sum += apart * apart;
                count += 1;
            }
        }
        let differ = rows.categories(a).iter().zip(rows.categories(b));
        sum += index.mismatch * differ.filter(|(x, y)| x != y).count() as f64;
        sum * ((index.numbers + index.categories) as f64 / count as f64)
    }

    #[test]
    fn the_same_as_by_looking_at_all() -> Result<()> {
        for (n, numbers, categories, missing, coarse) in [
            (0, 2, 0, 0, true),
            (1, 1, 0, 0, true),
            (3, 2, 1, 50, true),
            (700, 1, 0, 0, false),
            (700, 3, 0, 0, true),
            (700, 2, 0, 30, true),
            (900, 9, 2, 10, false),
            (900, 20, 0, 0, false),
            (500, 4, 1, 100, true),
        ] {
            let Gathered { rows, .. } = table(n, numbers, categories, missing, coarse)?;
            compare(&rows);
        }
        Ok(())
    }

    #[test]
    fn single_precision_is_not_enough_and_no_harm() -> Result<()> {
        let mut rng = key::rng(5);
        let mut column = |offset: f64, step: f64, outlier: f64| {
            let mut values: Vec<f64> = (0..600)
                .map(|_| offset + (rng.next_u64() % 1000) as f64 * step)
                .collect();
            values[77] = outlier;
            floats(values)
        };
        let columns = [
            column(1e9, 1e-3, 1e9),
            column(-1e12, 0.01, f64::NAN),
            column(0.0, 1e-30, 0.0),
            column(0.0, 1.0, 1e30),
        ];
        for n in 1..=columns.len() {
            let Gathered { rows, .. } = gathered(n, 0, false, false, &columns[..n])?;
            compare(&rows);
        }
        Ok(())
    }

    fn compare(rows: &Rows) {
        let ranks = 0..rows.len() as u32;
        let index = Index::new(rows, ranks.clone(), usize::MAX, 2.5);
        for k in [1, 5, 100] {
            let mut queries = Queries::default();
            for rank in ranks.clone() {
                index.query(&mut queries, rows.numbers(rank), rows.categories(rank));
            }
            let mut nearest: Vec<_> = ranks.clone().map(|r| Nearest::except(k, r)).collect();
            index.search(&queries, &mut nearest);
            for (rank, nearest) in ranks.clone().zip(&nearest).step_by(13) {
                let others = ranks.clone().filter(|r| *r != rank);
                let mut expected: Vec<(f64, u32)> =
                    others.map(|r| (all(&index, rows, rank, r), r)).collect();
                expected.retain(|e| !e.0.is_nan());
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                expected.truncate(k);
                let found: Vec<_> = nearest.found.iter().map(|f| (f.0, f.1)).collect();
                let shape = (rows.len(), rows.number_columns());
                assert_eq!(found, expected, "{shape:?} rows and numbers, row {rank}");
            }
        }
    }

    #[test]
    fn of_rows_that_are_the_same_some_are_enough() -> Result<()> {
        let column = floats((0..100_000).map(|i| f64::from(u8::from(i == 70_000))));
        let Gathered { rows, .. } = gathered(1, 0, false, false, &[column])?;
        let index = Index::new(&rows, 0..100_000, 4, 0.0);
        assert!(index.bytes() < 1000);
        assert_eq!((index.count(0), index.number(0, 0)), (5, 0.0));
        let mut queries = Queries::default();
        index.query(&mut queries, rows.numbers(50_000), &[]);
        let mut nearest = [Nearest::new(5)];
        index.search(&queries, &mut nearest);
        let found: Vec<_> = nearest[0].found.iter().map(|f| (f.0, f.1)).collect();
        assert_eq!(
            found,
            [(0.0, 0), (0.0, 1), (0.0, 2), (0.0, 3), (1.0, 99_999)]
        );
        Ok(())
    }

    #[test]
    fn huge_numbers_are_no_harm() -> Result<()> {
        let column = floats([f64::MAX, f64::MIN, 0.0, f64::MIN_POSITIVE]);
        let Gathered { rows, .. } = gathered(1, 0, false, false, &[column])?;
        let index = Index::new(&rows, 0..4, 9, 0.0);
        let mut queries = Queries::default();
        index.query(&mut queries, rows.numbers(0), &[]);
        let mut nearest = [Nearest::except(9, 0)];
        index.search(&queries, &mut nearest);
        assert_eq!(nearest[0].found.len(), 3);
        assert!(nearest[0].found.iter().all(|f| f.0 == f64::INFINITY));
        Ok(())
    }
}
