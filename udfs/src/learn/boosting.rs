//! Gradient-boosted trees over histograms, as XGBoost's `hist` and LightGBM grow them.
//!
//! A column becomes at most 255 bins, by quantiles or by category, and one of what is missing, whose side is learnt at
//! every split. Categories are put in the order of their gradients, and a split takes a beginning of that order. Gradients
//! are summed as whole numbers, so that a model depends neither on the order of rows nor on the number of threads.

mod saved;

use datafusion_common::{Result, exec_datafusion_err};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::logistic::softmax;
use crate::fitted::counts::MISSING;
use crate::fitted::quantiles::{of_order_key, order_key};

/// Bins of a column besides that of what is missing.
const BINS: usize = 255;
/// Categories that the smaller side of a split may name, as in XGBoost: more would be learnt by heart.
const MOST_NAMED: usize = 64;
/// A gain that is no more than this is rounding.
const LEAST_GAIN: f64 = 1e-6;
/// One, as gradients are counted.
const ONE: f64 = (1u64 << 30) as f64;
/// Rows that a thread predicts at once.
const CHUNK: usize = 4096;

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// NaN is missing.
    Numbers(Vec<f64>),
    /// Codes; [`MISSING`] is missing.
    Categories(Vec<u32>),
}

impl Column {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Categories(codes) => codes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of some rows.
    pub fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::Numbers(values) => {
                Self::Numbers(rows.iter().map(|r| values[*r as usize]).collect())
            }
            Self::Categories(codes) => {
                Self::Categories(rows.iter().map(|r| codes[*r as usize]).collect())
            }
        }
    }
}

/// What is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// A number.
    Squared,
    /// Whether the target is 1.
    Logistic,
    /// Which of so many classes the target is.
    Softmax(usize),
}

impl Objective {
    /// Scores that a row has.
    fn width(self) -> usize {
        match self {
            Self::Squared | Self::Logistic => 1,
            Self::Softmax(classes) => classes,
        }
    }
}

/// How trees are grown; the defaults are XGBoost's.
#[derive(Debug, Clone)]
pub struct Settings {
    pub rounds: usize,
    pub depth: usize,
    /// How much of a tree's answer is taken.
    pub rate: f64,
    /// The L2 penalty of a leaf.
    pub penalty: f64,
    /// The least sum of second derivatives of a side of a split.
    pub least_weight: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rounds: 100,
            depth: 6,
            rate: 0.3,
            penalty: 1.0,
            least_weight: 1.0,
        }
    }
}

/// How a column becomes bins; bin 0 is what is missing, or a category that has no bin.
#[derive(Debug, Clone)]
enum Binning {
    /// The largest number of each bin but the last.
    Cuts(Vec<f64>),
    /// The bin of each category.
    Places(Vec<u8>),
}

impl Binning {
    fn of(column: &Column) -> Self {
        match column {
            Column::Numbers(values) => Self::Cuts(cuts(values)),
            Column::Categories(codes) => Self::Places(places(codes)),
        }
    }

    fn apply(&self, column: &Column) -> Vec<u8> {
        match (self, column) {
            (Self::Cuts(cuts), Column::Numbers(values)) => values
                .iter()
                .map(|x| match x.is_nan() {
                    true => 0,
                    false => 1 + cuts.partition_point(|cut| cut < x) as u8,
                })
                .collect(),
            (Self::Places(places), Column::Categories(codes)) => codes
                .iter()
                .map(|code| places.get(*code as usize).copied().unwrap_or(0))
                .collect(),
            // a column of another kind has nothing that was learnt from
            (_, other) => vec![0; other.len()],
        }
    }

    /// How many bins there are, that of what is missing among them.
    fn many(&self) -> usize {
        match self {
            Self::Cuts(cuts) => cuts.len() + 2,
            Self::Places(places) => places.iter().copied().max().map_or(1, |p| p as usize + 1),
        }
    }
}

/// Numbers between which bins of about as many rows lie.
fn cuts(values: &[f64]) -> Vec<f64> {
    let mut keys: Vec<i64> = values
        .iter()
        .filter(|x| !x.is_nan())
        .map(|x| order_key(*x))
        .collect();
    keys.sort_unstable();
    let runs: Vec<(f64, usize)> = keys
        .chunk_by(|a, b| a == b)
        .map(|run| (of_order_key(run[0]), run.len()))
        .collect();
    let every = runs.len() <= BINS;
    let (mut cuts, mut seen, mut next) = (Vec::new(), 0, 1);
    for pair in runs.windows(2) {
        let ((a, n), (b, _)) = (pair[0], pair[1]);
        seen += n;
        if every || seen * BINS >= next * keys.len() {
            next = seen * BINS / keys.len() + 1;
            let middle = a / 2.0 + b / 2.0;
            // neighbouring floats and infinities have none between them
            let between = middle > a && middle < b && middle.is_finite();
            cuts.push(if between { middle } else { a });
        }
    }
    cuts.truncate(BINS - 1);
    cuts
}

/// A bin for each of the most frequent categories.
fn places(codes: &[u32]) -> Vec<u8> {
    let many = codes.iter().filter(|c| **c != MISSING).max();
    let mut counts = vec![0u32; many.map_or(0, |c| *c as usize + 1)];
    for code in codes.iter().filter(|c| **c != MISSING) {
        counts[*code as usize] += 1;
    }
    let mut order: Vec<u32> = (0..counts.len() as u32)
        .filter(|c| counts[*c as usize] > 0)
        .collect();
    order.sort_by_key(|c| std::cmp::Reverse(counts[*c as usize]));
    let mut places = vec![0; counts.len()];
    for (code, place) in order.iter().take(BINS).zip(1..=u8::MAX) {
        places[*code as usize] = place;
    }
    places
}

/// A set of bins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bins([u64; 4]);

impl Bins {
    fn add(&mut self, bin: usize) {
        self.0[bin / 64] |= 1 << (bin % 64);
    }

    #[inline]
    fn has(&self, bin: u8) -> bool {
        self.0[usize::from(bin / 64)] >> (bin % 64) & 1 == 1
    }
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(f64),
    /// Rows whose bin is in the set go to the node `left`, others to the next.
    Split {
        feature: u32,
        bins: Bins,
        left: u32,
    },
}

/// Boosted trees.
#[derive(Debug, Clone)]
pub struct Boosted {
    objective: Objective,
    binnings: Vec<Binning>,
    /// Each score before any tree.
    base: Vec<f64>,
    /// One tree a score and round.
    trees: Vec<Vec<Node>>,
}

/// Sums of the first and of the second derivatives of rows.
type Sums = [i64; 2];

/// What the rows of a leaf to be come to, and where they stand.
struct Open {
    node: usize,
    begin: usize,
    end: usize,
    sums: Sums,
}

/// The best split of a node by one feature.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    gain: f64,
    bins: Bins,
    left: Sums,
}

/// The rows a model is learnt from.
struct Rows {
    features: Vec<Feature>,
    settings: Settings,
}

struct Feature {
    bins: Vec<u8>,
    many: usize,
    categorical: bool,
}

impl Boosted {
    /// Learns a target: a number, 0 or 1, or a class. `round` is called before every round; an error of it ends the
    /// learning.
    pub fn fit(
        columns: &[Column],
        target: &[f64],
        objective: Objective,
        settings: &Settings,
        pool: &ThreadPool,
        round: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let (n, width) = (target.len(), objective.width());
        let (binnings, features): (Vec<_>, Vec<_>) = pool.install(|| {
            columns
                .par_iter()
                .map(|column| {
                    let binning = Binning::of(column);
                    let feature = Feature {
                        bins: binning.apply(column),
                        many: binning.many(),
                        categorical: matches!(column, Column::Categories(_)),
                    };
                    (binning, feature)
                })
                .unzip()
        });
        let rows = Rows {
            features,
            settings: settings.clone(),
        };
        let base = base(target, objective);
        let mut scores: Vec<f64> = Vec::with_capacity(n * width);
        for _ in 0..n {
            scores.extend_from_slice(&base);
        }
        let mut gradients = vec![[0i32; 2]; n];
        let mut chances = vec![0.0; if width > 1 { n * width } else { 0 }];
        let mut trees = Vec::with_capacity(settings.rounds * width);
        for _ in 0..settings.rounds {
            round()?;
            if width > 1 {
                chances.copy_from_slice(&scores);
                chances.chunks_exact_mut(width).for_each(|scores| {
                    softmax(scores);
                });
            }
            for class in 0..width {
                let unit = match objective {
                    Objective::Squared => {
                        let far = target.iter().zip(&scores).map(|(y, s)| (s - y).abs());
                        let far = far.fold(0.0, f64::max);
                        // a power of two, so that nothing is rounded twice
                        let unit = if far > 0.0 {
                            far.log2().ceil().exp2()
                        } else {
                            1.0
                        };
                        for ((gradient, y), s) in gradients.iter_mut().zip(target).zip(&scores) {
                            *gradient = counted((s - y) / unit, 1.0);
                        }
                        unit
                    }
                    Objective::Logistic => {
                        for ((gradient, y), s) in gradients.iter_mut().zip(target).zip(&scores) {
                            let p = logistic(*s);
                            *gradient = counted(p - y, p * (1.0 - p));
                        }
                        1.0
                    }
                    Objective::Softmax(_) => {
                        let of_class = chances.iter().skip(class).step_by(width);
                        for ((gradient, y), p) in gradients.iter_mut().zip(target).zip(of_class) {
                            let is = if *y == class as f64 { 1.0 } else { 0.0 };
                            *gradient = counted(p - is, 2.0 * p * (1.0 - p));
                        }
                        1.0
                    }
                };
                let tree = pool.install(|| {
                    rows.grow(&gradients, unit, |row, value| {
                        scores[row as usize * width + class] += value;
                    })
                });
                trees.push(tree);
            }
        }
        Ok(Self {
            objective,
            binnings,
            base,
            trees,
        })
    }

    /// What rows of other columns come to, row by row: a number, the chance of 1, or of each class.
    pub fn predict(&self, columns: &[Column], pool: &ThreadPool) -> Vec<f64> {
        pool.install(|| self.told(columns))
    }

    /// As [`Self::predict`], on the threads there are.
    pub fn told(&self, columns: &[Column]) -> Vec<f64> {
        let n = columns.first().map_or(0, Column::len);
        let width = self.objective.width();
        let bins: Vec<Vec<u8>> = (self.binnings.par_iter())
            .zip(columns)
            .map(|(binning, column)| binning.apply(column))
            .collect();
        let mut out = vec![0.0; n * width];
        out.par_chunks_mut(CHUNK * width)
            .enumerate()
            .for_each(|(chunk, out)| {
                let first = chunk * CHUNK;
                for (i, scores) in out.chunks_exact_mut(width).enumerate() {
                    scores.copy_from_slice(&self.base);
                    for (tree, nodes) in self.trees.iter().enumerate() {
                        scores[tree % width] += answer(nodes, &bins, first + i);
                    }
                    match self.objective {
                        Objective::Squared => {}
                        Objective::Logistic => scores[0] = logistic(scores[0]),
                        Objective::Softmax(_) => {
                            softmax(scores);
                        }
                    }
                }
            });
        out
    }
}

/// The leaf that a row falls into.
#[inline]
fn answer(nodes: &[Node], bins: &[Vec<u8>], row: usize) -> f64 {
    let mut at = 0;
    loop {
        match &nodes[at] {
            Node::Leaf(value) => return *value,
            Node::Split {
                feature,
                bins: set,
                left,
            } => at = *left as usize + usize::from(!set.has(bins[*feature as usize][row])),
        }
    }
}

/// Threads for [`Boosted`] to work on.
pub fn pool(threads: usize) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| exec_datafusion_err!("no threads to be had: {error}"))
}

/// Derivatives as whole numbers; both are at most 1.
fn counted(first: f64, second: f64) -> [i32; 2] {
    let whole = |x: f64| (x * ONE).round_ties_even().clamp(-ONE, ONE) as i32;
    [whole(first), whole(second).max(1)]
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What is best told without looking at a row.
fn base(target: &[f64], objective: Objective) -> Vec<f64> {
    let n = target.len().max(1) as f64;
    let share = |count: usize| (count as f64 / n).clamp(1e-6, 1.0 - 1e-6);
    let of = |class: f64| share(target.iter().filter(|y| **y == class).count());
    match objective {
        Objective::Squared => {
            // by values in order, so that the sum does not depend on that of the rows
            let mut sorted = target.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            vec![sorted.iter().map(|y| y / n).sum()]
        }
        Objective::Logistic => {
            let p = of(1.0);
            vec![(p / (1.0 - p)).ln()]
        }
        Objective::Softmax(classes) => (0..classes).map(|c| of(c as f64).ln()).collect(),
    }
}

impl Rows {
    /// One tree; `tell` is called with each row and what is added to its score.
    fn grow(&self, gradients: &[[i32; 2]], unit: f64, mut tell: impl FnMut(u32, f64)) -> Vec<Node> {
        let mut rows: Vec<u32> = (0..gradients.len() as u32).collect();
        let mut ordered = gradients.to_vec();
        let mut nodes = vec![Node::Leaf(0.0)];
        let mut open = vec![Open {
            node: 0,
            begin: 0,
            end: rows.len(),
            sums: total(&ordered),
        }];
        // of each feature, the histograms of the nodes whose children are open
        let mut histograms: Vec<Vec<Vec<Sums>>> = vec![Vec::new(); self.features.len()];
        // beside rows and gradients, so that a part of a node keeps its order
        let mut aside = (Vec::new(), Vec::new());
        for depth in 0..=self.settings.depth {
            let best: Vec<Vec<Option<Candidate>>> = match depth < self.settings.depth {
                true => (self.features.par_iter().zip(&mut histograms))
                    .map(|(feature, histograms)| {
                        self.best_splits(feature, histograms, &open, &rows, &ordered, unit)
                    })
                    .collect(),
                false => Vec::new(),
            };
            let mut next = Vec::new();
            let mut kept: Vec<bool> = Vec::with_capacity(open.len());
            for (at, leaf) in open.iter().enumerate() {
                let mut chosen: Option<(usize, Candidate)> = None;
                for (feature, candidates) in best.iter().enumerate() {
                    if let Some(candidate) = candidates[at]
                        && chosen.is_none_or(|(_, best)| candidate.gain > best.gain)
                    {
                        chosen = Some((feature, candidate));
                    }
                }
                kept.push(chosen.is_some());
                let Some((feature, candidate)) = chosen else {
                    let value = self.settings.rate * self.weight(leaf.sums, unit);
                    nodes[leaf.node] = Node::Leaf(value);
                    rows[leaf.begin..leaf.end]
                        .iter()
                        .for_each(|r| tell(*r, value));
                    continue;
                };
                let bins = &self.features[feature].bins;
                let middle = part(
                    &mut rows,
                    &mut ordered,
                    leaf.begin..leaf.end,
                    &mut aside,
                    |r| candidate.bins.has(bins[r as usize]),
                );
                let left = nodes.len();
                nodes[leaf.node] = Node::Split {
                    feature: feature as u32,
                    bins: candidate.bins,
                    left: left as u32,
                };
                nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
                next.push(Open {
                    node: left,
                    begin: leaf.begin,
                    end: middle,
                    sums: candidate.left,
                });
                next.push(Open {
                    node: left + 1,
                    begin: middle,
                    end: leaf.end,
                    sums: [0, 1].map(|i| leaf.sums[i] - candidate.left[i]),
                });
            }
            for of_feature in &mut histograms {
                let mut keep = kept.iter();
                of_feature.retain(|_| keep.next().copied().unwrap_or(false));
            }
            open = next;
            if open.is_empty() {
                break;
            }
        }
        nodes
    }

    /// The best split of each open node by a feature. `histograms` are those of the parents, and become those of the nodes.
    fn best_splits(
        &self,
        feature: &Feature,
        histograms: &mut Vec<Vec<Sums>>,
        open: &[Open],
        rows: &[u32],
        ordered: &[[i32; 2]],
        unit: f64,
    ) -> Vec<Option<Candidate>> {
        let histogram = |node: &Open| {
            let mut sums = vec![[0i64; 2]; feature.many];
            let range = node.begin..node.end;
            for (row, [g, h]) in rows[range.clone()].iter().zip(&ordered[range]) {
                let [first, second] = &mut sums[usize::from(feature.bins[*row as usize])];
                *first += i64::from(*g);
                *second += i64::from(*h);
            }
            sums
        };
        let parents = std::mem::take(histograms);
        match open {
            [root] => histograms.push(histogram(root)),
            _ => {
                for (pair, parent) in open.chunks_exact(2).zip(parents) {
                    // the smaller one is counted, the other is what is left
                    let left_is_smaller =
                        pair[0].end - pair[0].begin <= pair[1].end - pair[1].begin;
                    let small = histogram(&pair[usize::from(!left_is_smaller)]);
                    let mut other = parent;
                    for (other, small) in other.iter_mut().zip(&small) {
                        *other = [other[0] - small[0], other[1] - small[1]];
                    }
                    match left_is_smaller {
                        true => histograms.extend([small, other]),
                        false => histograms.extend([other, small]),
                    }
                }
            }
        }
        open.iter()
            .zip(histograms.iter())
            .map(|(node, sums)| match feature.categorical {
                true => self.by_category(sums, node.sums, unit),
                false => self.by_number(sums, node.sums, unit),
            })
            .collect()
    }

    fn by_number(&self, sums: &[Sums], all: Sums, unit: f64) -> Option<Candidate> {
        let missing = sums[0];
        let mut best: Option<(f64, usize, bool, Sums)> = None;
        let mut left = [0, 0];
        for (bin, sum) in sums.iter().enumerate().skip(1) {
            left = [left[0] + sum[0], left[1] + sum[1]];
            if sum[1] == 0 {
                continue;
            }
            let with = [left[0] + missing[0], left[1] + missing[1]];
            for (side, with_missing) in [(left, false), (with, true)] {
                if with_missing && missing[1] == 0 {
                    continue;
                }
                if let Some(gain) = self.gain(side, all, unit)
                    && best.is_none_or(|(most, ..)| gain > most)
                {
                    best = Some((gain, bin, with_missing, side));
                }
            }
        }
        let (gain, last, mut with_missing, left) = best?;
        if missing[1] == 0 {
            // what never was missing goes where most rows go
            with_missing = left[1] > all[1] - left[1];
        }
        let mut bins = Bins::default();
        (1..=last).for_each(|bin| bins.add(bin));
        if with_missing {
            bins.add(0);
        }
        Some(Candidate { gain, bins, left })
    }

    fn by_category(&self, sums: &[Sums], all: Sums, unit: f64) -> Option<Candidate> {
        let mut order: Vec<(f64, usize)> = (0..sums.len())
            .filter(|bin| sums[*bin][1] > 0)
            .map(|bin| (-self.weight(sums[bin], unit), bin))
            .collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut best: Option<(f64, usize, Sums)> = None;
        let mut left = [0, 0];
        for (at, (_, bin)) in order.iter().enumerate() {
            left = [left[0] + sums[*bin][0], left[1] + sums[*bin][1]];
            let named = (at + 1).min(order.len() - at - 1);
            if named > MOST_NAMED {
                continue;
            }
            if let Some(gain) = self.gain(left, all, unit)
                && best.is_none_or(|(most, ..)| gain > most)
            {
                best = Some((gain, at, left));
            }
        }
        let (gain, last, left) = best?;
        let mut bins = Bins::default();
        order[..=last].iter().for_each(|(_, bin)| bins.add(*bin));
        // categories that this node has not seen go where most rows go
        if left[1] > all[1] - left[1] {
            (0..sums.len())
                .filter(|bin| sums[*bin][1] == 0)
                .for_each(|bin| bins.add(bin));
            if sums[0][1] == 0 {
                bins.add(0);
            }
        }
        Some(Candidate { gain, bins, left })
    }

    /// What a split gains; `None` if it gains nothing or a side is too small.
    fn gain(&self, left: Sums, all: Sums, unit: f64) -> Option<f64> {
        let right = [all[0] - left[0], all[1] - left[1]];
        let least = self.settings.least_weight * ONE;
        if (left[1] as f64) < least || (right[1] as f64) < least {
            return None;
        }
        let score = |sums: Sums| {
            let g = sums[0] as f64 / ONE * unit;
            g * g / (sums[1] as f64 / ONE + self.settings.penalty)
        };
        let whole = score(all);
        let gain = score(left) + score(right) - whole;
        (gain > LEAST_GAIN && gain > whole * 1e-12).then_some(gain)
    }

    /// The best answer of a leaf.
    fn weight(&self, sums: Sums, unit: f64) -> f64 {
        let (g, h) = (sums[0] as f64 / ONE * unit, sums[1] as f64 / ONE);
        -g / (h + self.settings.penalty)
    }
}

fn total(gradients: &[[i32; 2]]) -> Sums {
    gradients.iter().fold([0, 0], |[g, h], [first, second]| {
        [g + i64::from(*first), h + i64::from(*second)]
    })
}

/// Brings the rows that go left to the front, both sides in the order they had; where the right side begins.
fn part(
    rows: &mut [u32],
    ordered: &mut [[i32; 2]],
    range: std::ops::Range<usize>,
    aside: &mut (Vec<u32>, Vec<[i32; 2]>),
    left: impl Fn(u32) -> bool,
) -> usize {
    let (aside_rows, aside_ordered) = aside;
    aside_rows.clear();
    aside_ordered.clear();
    let mut middle = range.start;
    for at in range.clone() {
        let (row, gradient) = (rows[at], ordered[at]);
        if left(row) {
            rows[middle] = row;
            ordered[middle] = gradient;
            middle += 1;
        } else {
            aside_rows.push(row);
            aside_ordered.push(gradient);
        }
    }
    rows[middle..range.end].copy_from_slice(aside_rows);
    ordered[middle..range.end].copy_from_slice(aside_ordered);
    middle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize, k: u64) -> f64 {
        let x = (i as u64 * 7 + k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x >> 11) as f64 / (1u64 << 53) as f64
    }

    fn fit(columns: &[Column], target: &[f64], objective: Objective, threads: usize) -> Vec<f64> {
        let pool = pool(threads).unwrap();
        let settings = Settings::default();
        let round = || Ok(());
        let model = Boosted::fit(columns, target, objective, &settings, &pool, &round).unwrap();
        model.predict(columns, &pool)
    }

    fn table(n: usize) -> Vec<Column> {
        let missing = |i: usize| i % 11 == 3;
        vec![
            Column::Numbers(
                (0..n)
                    .map(|i| {
                        if missing(i) {
                            f64::NAN
                        } else {
                            (noise(i, 0) * 100.0).floor() / 100.0
                        }
                    })
                    .collect(),
            ),
            Column::Categories((0..n).map(|i| (noise(i, 1) * 9.0) as u32).collect()),
            Column::Numbers(
                (0..n)
                    .map(|i| {
                        if i % 50 == 0 {
                            f64::INFINITY
                        } else {
                            noise(i, 2)
                        }
                    })
                    .collect(),
            ),
        ]
    }

    fn target(columns: &[Column]) -> Vec<f64> {
        let (Column::Numbers(x), Column::Categories(c)) = (&columns[0], &columns[1]) else {
            panic!("other columns");
        };
        x.iter()
            .zip(c)
            .map(|(x, c)| match (x.is_nan(), c % 3 == 1) {
                (true, _) => 2.0,
                (false, odd) => {
                    if odd == (*x > 0.5) {
                        1.0
                    } else {
                        0.0
                    }
                }
            })
            .collect()
    }

    #[test]
    fn it_learns_what_depends_on_two_columns_and_on_what_is_missing() {
        let columns = table(3000);
        let y = target(&columns);
        let p = fit(&columns, &y, Objective::Softmax(3), 2);
        for (y, p) in y.iter().zip(p.chunks(3)) {
            assert!(p[*y as usize] > 0.9, "{y} {p:?}");
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        let told = fit(&columns, &y, Objective::Squared, 2);
        assert!(y.iter().zip(&told).all(|(y, t)| (y - t).abs() < 0.2));
        let is: Vec<f64> = y.iter().map(|y| f64::from(u8::from(*y == 1.0))).collect();
        let told = fit(&columns, &is, Objective::Logistic, 2);
        assert!(is.iter().zip(&told).all(|(y, t)| (y - t).abs() < 0.1));
    }

    #[test]
    fn neither_threads_nor_the_order_of_rows_matter() {
        let columns = table(1000);
        let y: Vec<f64> = (0..1000).map(|i| noise(i, 3)).collect();
        let one = fit(&columns, &y, Objective::Squared, 1);
        assert_eq!(one, fit(&columns, &y, Objective::Squared, 5));
        let back: Vec<u32> = (0..1000).rev().collect();
        let turned: Vec<Column> = columns.iter().map(|c| c.take(&back)).collect();
        let y: Vec<f64> = y.into_iter().rev().collect();
        let mut other = fit(&turned, &y, Objective::Squared, 2);
        other.reverse();
        assert_eq!(one, other);
    }

    #[test]
    fn nothing_to_learn_from() {
        for n in [0, 1, 2] {
            let columns = table(n);
            let y = vec![1.0; n];
            for objective in [
                Objective::Squared,
                Objective::Logistic,
                Objective::Softmax(2),
            ] {
                let told = fit(&columns, &y, objective, 2);
                assert!(told.iter().all(|p| p.is_finite()));
            }
        }
        assert!(fit(&[], &[], Objective::Logistic, 1).is_empty());
        let constant = [
            Column::Numbers(vec![f64::NAN; 9]),
            Column::Categories(vec![MISSING; 9]),
        ];
        let told = fit(&constant, &[1e300; 9], Objective::Squared, 1);
        assert!(told.iter().all(|x| (x / 1e300 - 1.0).abs() < 1e-9));
    }

    #[test]
    fn bins_hold_about_as_many_rows_each() {
        let values: Vec<f64> = (0..100_000).map(|i| noise(i, 9).powi(3)).collect();
        let binning = Binning::of(&Column::Numbers(values.clone()));
        let mut counts = [0; 256];
        for bin in binning.apply(&Column::Numbers(values)) {
            counts[usize::from(bin)] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|n| (300..500).contains(n)));
        // one value in most rows does not use up the bins of the others
        let values = (0..100_000).map(|i| if i % 10 > 0 { 0.0 } else { noise(i, 9) });
        let Binning::Cuts(cuts) = Binning::of(&Column::Numbers(values.collect())) else {
            panic!("no numbers");
        };
        assert!(cuts.len() > 20);
        let extreme = [
            f64::NEG_INFINITY,
            f64::MIN,
            -0.0,
            0.0,
            5e-324,
            f64::MAX,
            f64::INFINITY,
        ];
        let bins = Binning::of(&Column::Numbers(extreme.to_vec()))
            .apply(&Column::Numbers(extreme.to_vec()));
        assert_eq!(bins, [1, 2, 3, 3, 4, 5, 6]);
    }

    #[test]
    fn rare_categories_beyond_the_bins_are_as_missing() {
        let codes: Vec<u32> = (0..1000)
            .flat_map(|c| vec![c; 1 + usize::from(c < 300)])
            .collect();
        let bins = Binning::of(&Column::Categories(codes))
            .apply(&Column::Categories(vec![0, 254, 255, 999, 5000, MISSING]));
        assert_eq!(bins, [1, 255, 0, 0, 0, 0]);
    }
}
