//! `isolation_forest`: how easily random cuts part a row from the others.
//!
//! What is gathered are the distinct rows and how often each was seen or, of a larger table, those with the
//! smallest hashes of their values. Each tree is grown on a sample of these that its number and the seed
//! choose, so that the forest does not depend on the order of rows or on who saw which.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Float64Type, UInt32Type};
use datafusion_common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use rand::Rng;
use rand_xoshiro::SplitMix64;

use crate::arrays::float_type;
use crate::fitted::numbers::{Reader, of_group, present_in};
use crate::fitted::table::Table;
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::random::key;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "isolation_forest",
    stage: Stage::Clean,
    kind: Kind::Fitted,
    summary: "How anomalous a row is among all, from 0 to 1: about 0.5 or less for an ordinary row, towards 1 for one \
        that random cuts soon part from the others. A row with NULL or NaN gives NULL and is not learnt from; one with an infinity is \
        scored, and not learnt from. Of more than 65,536 distinct rows as many, chosen by their hash, stand for all.",
    params: &[
        Param::data(
            "x",
            "a number. Scales do not matter; NULL may be filled first: impute(x, 'median') OVER ()",
        ),
        Param::option("trees", "100", "the number of trees, from 1 to 10000"),
        Param::option(
            "sample",
            "256",
            "the number of rows each tree is grown on, from 2 to 65536",
        ),
        Param::option("seed", "0", "another seed grows other trees"),
    ],
    variadic: true,
    examples: &[
        Example {
            sql: "SELECT id FROM (SELECT id, isolation_forest(x, y) OVER () AS score FROM \
                  (SELECT i AS id, i % 10 AS x, i % 7 AS y FROM generate_series(1, 500) AS t(i) UNION ALL VALUES (501, 40, -30))) \
                  ORDER BY score DESC LIMIT 1",
            result: "501",
        },
        Example {
            sql: "SELECT isolation_forest(x) OVER () FROM (VALUES (1), (NULL)) AS t(x)",
            result: "0.5\n",
        },
    ],
    source: "Liu, Ting and Zhou, Isolation Forest (2008); as in scikit-learn's IsolationForest a cut is of a column that \
        is not constant, and the score is that one's -score_samples",
    also: &[
        "sklearn.ensemble.IsolationForest",
        "pyod.models.iforest.IForest",
        "ML.DETECT_ANOMALIES",
    ],
};

/// The most distinct rows that are kept.
const MOST: usize = 65_536;
/// Rows that go down the trees together.
const TOGETHER: usize = 256;

/// The distinct rows with the smallest hashes, and how often each was seen.
#[derive(Debug)]
pub struct Rows {
    width: usize,
    /// Where the row with a hash lies.
    places: Table<i64>,
    hashes: Vec<u64>,
    counts: Vec<u64>,
    /// Row by row.
    values: Vec<f64>,
    /// Rows with larger hashes are not kept.
    limit: u64,
}

impl Rows {
    fn new(width: usize) -> Self {
        Self {
            width,
            places: Table::default(),
            hashes: Vec::new(),
            counts: Vec::new(),
            values: Vec::new(),
            limit: u64::MAX,
        }
    }

    #[inline]
    fn add(&mut self, hash: u64, count: u64, values: impl Iterator<Item = f64>) {
        if hash > self.limit {
            return;
        }
        if let Some(place) = self.places.get(hash.cast_signed()) {
            self.counts[place as usize] += count;
            return;
        }
        self.places
            .add(hash.cast_signed(), self.hashes.len() as u64);
        self.hashes.push(hash);
        self.counts.push(count);
        self.values.extend(values);
        if self.hashes.len() >= 2 * MOST {
            self.keep_most();
        }
    }

    /// Keeps the rows with the smallest hashes, in their order.
    fn keep_most(&mut self) {
        let mut order: Vec<(u64, usize)> = self.hashes.iter().copied().zip(0..).collect();
        order.sort_unstable();
        if order.len() >= MOST {
            order.truncate(MOST);
            self.limit = order.last().map_or(u64::MAX, |(hash, _)| *hash);
        }
        let old = std::mem::replace(self, Self::new(self.width));
        self.limit = old.limit;
        self.values.reserve_exact(order.len() * self.width);
        for (hash, at) in order {
            let values = &old.values[at * self.width..(at + 1) * self.width];
            self.places
                .add(hash.cast_signed(), self.hashes.len() as u64);
            self.hashes.push(hash);
            self.counts.push(old.counts[at]);
            self.values.extend_from_slice(values);
        }
    }

    fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Option<()> {
        let mut values = Vec::with_capacity(self.width);
        for _ in 0..input.u64()? {
            let (hash, count) = (input.u64()?, input.u64()?);
            values.clear();
            for _ in 0..self.width {
                values.push(input.f64()?);
            }
            self.add(hash, count, values.iter().copied());
        }
        Some(())
    }
}

impl State for Rows {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = floats(values)?;
        let nulls = complete(values);
        let n = values.first().map_or(0, |v| v.len());
        let mut hashes = vec![key::start(SPEC.name); n];
        for column in &columns {
            key::fold(&mut hashes, column)?;
        }
        let columns: Vec<&[f64]> = columns.iter().map(slice).collect();
        for (row, hash) in hashes.iter().enumerate() {
            if *hash <= self.limit
                && nulls.as_ref().is_none_or(|n| n.is_valid(row))
                && columns.iter().all(|c| c[row].is_finite())
            {
                // -0.0 and 0.0 have one hash
                self.add(*hash, 1, columns.iter().map(|c| c[row] + 0.0));
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        for (at, (hash, count)) in other.hashes.iter().zip(&other.counts).enumerate() {
            self.add(*hash, *count, other.row(at).iter().copied());
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.reserve(8 + self.hashes.len() * (16 + 8 * self.width));
        out.extend((self.hashes.len() as u64).to_le_bytes());
        for (at, (hash, count)) in self.hashes.iter().zip(&self.counts).enumerate() {
            out.extend(hash.to_le_bytes());
            out.extend(count.to_le_bytes());
            out.extend(self.row(at).iter().flat_map(|v| v.to_le_bytes()));
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        match self.read(&mut Reader(bytes)) {
            Some(()) => Ok(()),
            None => internal_err!(
                "isolation_forest: rows of {} bytes cannot be read",
                bytes.len()
            ),
        }
    }

    fn size(&self) -> usize {
        let numbers = self.hashes.capacity() + self.counts.capacity() + self.values.capacity();
        size_of::<Self>() + self.places.bytes() + 8 * numbers
    }
}

/// The columns as DOUBLE.
fn floats(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values
        .iter()
        .map(|v| Ok(cast(v, &DataType::Float64)?))
        .collect()
}

fn slice(column: &ArrayRef) -> &[f64] {
    column.as_primitive::<Float64Type>().values()
}

/// The rows that have a number in each column.
fn complete(values: &[ArrayRef]) -> Option<NullBuffer> {
    values.iter().fold(None, |nulls, column| {
        NullBuffer::union(nulls.as_ref(), present_in(column).as_ref())
    })
}

/// The average number of cuts that part one of `n` rows from the others in a tree of random cuts: c(n).
#[expect(clippy::cast_precision_loss, reason = "an average")]
fn average_path(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let n = n as f64;
            2.0 * ((n - 1.0).ln() + EULER) - 2.0 * (n - 1.0) / n
        }
    }
}

/// A cut, or a leaf: a cut that leads to itself.
#[derive(Debug, Clone, Copy)]
struct Node {
    threshold: f64,
    feature: u32,
    /// Where rows not above the threshold go; those above it go to the next.
    child: u32,
}

/// Trees side by side.
#[derive(Debug, Default)]
pub struct Forest {
    nodes: Vec<Node>,
    /// Of each leaf, the cuts above it and those that would part its rows.
    paths: Vec<f64>,
    roots: Vec<u32>,
    /// The most cuts above a leaf.
    height: u32,
    /// The rows each tree was grown on.
    sample: usize,
}

impl Forest {
    /// Grows trees on rows that are in the order of their hashes.
    fn grow(rows: &Rows, trees: usize, sample: usize, seed: i64) -> Result<Option<Self>> {
        let ends: Vec<u64> = rows
            .counts
            .iter()
            .scan(0, |end, n| {
                *end += n;
                Some(*end)
            })
            .collect();
        let Some(total) = ends.last().copied() else {
            return Ok(None);
        };
        let sample = usize::try_from(total).unwrap_or(usize::MAX).min(sample);
        let mut forest = Self {
            height: sample.max(2).next_power_of_two().ilog2(),
            sample,
            ..Self::default()
        };
        let mut start = [key::start(SPEC.name)];
        key::fold(&mut start, &ScalarValue::from(seed).to_array()?)?;
        let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values((0u32..).take(trees)));
        let mut hashes = vec![start[0]; trees];
        key::fold(&mut hashes, &numbers)?;
        for hash in hashes {
            let mut rng = key::rng(hash);
            let mut chosen: Vec<u32> = choose(&mut rng, total, sample)
                .into_iter()
                .map(|at| ends.partition_point(|end| *end <= at) as u32)
                .collect();
            let root = forest.leaf();
            forest.roots.push(root);
            forest.split(rows, &mut chosen, root, 0, &mut rng);
        }
        Ok(Some(forest))
    }

    /// A leaf, and where it lies.
    fn leaf(&mut self) -> u32 {
        let at = self.nodes.len() as u32;
        self.nodes.push(Node {
            threshold: f64::INFINITY,
            feature: 0,
            child: at,
        });
        self.paths.push(0.0);
        at
    }

    /// Makes a tree of a leaf, on some rows.
    fn split(
        &mut self,
        rows: &Rows,
        chosen: &mut [u32],
        at: u32,
        depth: u32,
        rng: &mut SplitMix64,
    ) {
        let extent = |feature: usize| {
            let values = chosen.iter().map(|i| rows.row(*i as usize)[feature]);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
                (low.min(x), high.max(x))
            })
        };
        let mut cut = None;
        if depth < self.height && chosen.len() > 1 {
            // columns in random order, up to one that is not constant
            let mut features: Vec<usize> = (0..rows.width).collect();
            while !features.is_empty() && cut.is_none() {
                let i = below(rng, features.len() as u64) as usize;
                let feature = features.swap_remove(i);
                let (low, high) = extent(feature);
                if low < high {
                    cut = Some((feature, low, high));
                }
            }
        }
        let Some((feature, low, high)) = cut else {
            self.paths[at as usize] = f64::from(depth) + average_path(chosen.len());
            return;
        };
        let part: f64 = rng.random();
        let threshold = low * (1.0 - part) + high * part;
        // rounding must leave rows on both sides
        let threshold = if threshold >= low && threshold < high {
            threshold
        } else {
            low
        };
        let mut left = 0;
        for i in 0..chosen.len() {
            if rows.row(chosen[i] as usize)[feature] <= threshold {
                chosen.swap(left, i);
                left += 1;
            }
        }
        let child = self.leaf();
        let other = self.leaf();
        self.nodes[at as usize] = Node {
            threshold,
            feature: feature as u32,
            child,
        };
        let (below, above) = chosen.split_at_mut(left);
        self.split(rows, below, child, depth + 1, rng);
        self.split(rows, above, other, depth + 1, rng);
    }

    /// The scores of rows that lie one after another in `values`.
    #[expect(clippy::cast_precision_loss, reason = "a mean of few trees")]
    fn score(&self, values: &[f64], width: usize, at: &mut Vec<u32>, scores: &mut [f64]) {
        scores.fill(0.0);
        for root in &self.roots {
            at.clear();
            at.resize(scores.len(), *root);
            for _ in 0..self.height {
                for (node, row) in at.iter_mut().zip(values.chunks_exact(width)) {
                    let cut = self.nodes[*node as usize];
                    *node = cut.child + u32::from(row[cut.feature as usize] > cut.threshold);
                }
            }
            for (score, leaf) in scores.iter_mut().zip(&*at) {
                *score += self.paths[*leaf as usize];
            }
        }
        let average = average_path(self.sample);
        for score in scores {
            let path = *score / self.roots.len() as f64;
            // of a single row there is nothing to say
            *score = if average == 0.0 {
                0.5
            } else {
                (-path / average).exp2()
            };
        }
    }
}

/// A whole number below `n`.
fn below(rng: &mut SplitMix64, n: u64) -> u64 {
    key::below(rng.random(), i64::try_from(n).unwrap_or(i64::MAX)).unsigned_abs()
}

/// `k` distinct numbers below `n`, all sets as likely (Floyd's algorithm), in ascending order.
fn choose(rng: &mut SplitMix64, n: u64, k: usize) -> Vec<u64> {
    let mut chosen = HashSet::with_capacity(k);
    for last in n - k as u64..n {
        if !chosen.insert(below(rng, last + 1)) {
            chosen.insert(last);
        }
    }
    let mut chosen: Vec<u64> = chosen.into_iter().collect();
    chosen.sort_unstable();
    chosen
}

/// `isolation_forest(x, ..., trees => 100, sample => 256, seed => 0) OVER (...)`.
#[derive(Debug, Clone)]
pub struct IsolationForest {
    trees: usize,
    sample: usize,
    seed: i64,
}

fn damaged<T>() -> Result<T> {
    internal_err!("isolation_forest: these are no trees")
}

fn limited(options: &Options, name: &str, least: i64, most: usize) -> Result<usize> {
    match usize::try_from(options.integer(name, least)?) {
        Ok(n) if n <= most => Ok(n),
        _ => options.wrong(name, format!("a whole number from {least} to {most}")),
    }
}

fn column<T: Array + 'static>(
    items: T,
    lengths: impl IntoIterator<Item = usize>,
) -> Result<ArrayRef> {
    if i32::try_from(items.len()).is_err() {
        return exec_err!(
            "isolation_forest: the trees of all groups have {} nodes, which are too many. Write fewer trees",
            items.len()
        );
    }
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(item, offsets, Arc::new(items), None)?;
    Ok(Arc::new(list))
}

impl Fitted for IsolationForest {
    type State = Rows;
    type Prepared = Vec<Option<Forest>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            trees: limited(options, "trees", 1, 10_000)?,
            sample: limited(options, "sample", 2, MOST)?,
            seed: options.integer("seed", 0)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.is_empty() {
            return plan_err!("isolation_forest: no number given. Write {}", SPEC.syntax());
        }
        types
            .iter()
            .enumerate()
            .map(|(i, t)| float_type(&SPEC, &format!("argument {}", i + 1), t))
            .collect()
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        let list =
            |name: &str, item: DataType| Field::new(name, DataType::new_list(item, true), true);
        Ok(Fields::from(vec![
            list("roots", DataType::UInt32),
            list("features", DataType::UInt32),
            list("thresholds", DataType::Float64),
            list("children", DataType::UInt32),
            list("paths", DataType::Float64),
            Field::new("height", DataType::UInt32, true),
            Field::new("sample", DataType::UInt32, true),
        ]))
    }

    fn state(&self, types: &[DataType]) -> Result<Rows> {
        Ok(Rows::new(types.len()))
    }

    fn finish(&self, _types: &[DataType], states: Vec<Rows>) -> Result<Vec<ArrayRef>> {
        let mut forests = Vec::with_capacity(states.len());
        for mut rows in states {
            rows.keep_most();
            let forest = Forest::grow(&rows, self.trees, self.sample, self.seed)?;
            forests.push(forest.unwrap_or_default());
        }
        let roots = forests.iter().flat_map(|f| f.roots.iter().copied());
        let nodes = || forests.iter().flat_map(|f| &f.nodes);
        let paths = forests.iter().flat_map(|f| f.paths.iter().copied());
        let sizes = || forests.iter().map(|f| f.nodes.len());
        Ok(vec![
            column(
                UInt32Array::from_iter_values(roots),
                forests.iter().map(|f| f.roots.len()),
            )?,
            column(
                UInt32Array::from_iter_values(nodes().map(|n| n.feature)),
                sizes(),
            )?,
            column(
                Float64Array::from_iter_values(nodes().map(|n| n.threshold)),
                sizes(),
            )?,
            column(
                UInt32Array::from_iter_values(nodes().map(|n| n.child)),
                sizes(),
            )?,
            column(Float64Array::from_iter_values(paths), sizes())?,
            Arc::new(UInt32Array::from_iter_values(
                forests.iter().map(|f| f.height),
            )),
            Arc::new(UInt32Array::from_iter_values(
                forests.iter().map(|f| f.sample as u32),
            )),
        ])
    }

    fn prepare(&self, types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let [roots, features, thresholds, children, paths, height, sample] = params.columns()
        else {
            return damaged();
        };
        let lists = [roots, features, thresholds, children, paths].map(|c| c.as_list_opt::<i32>());
        let [
            Some(roots),
            Some(features),
            Some(thresholds),
            Some(children),
            Some(paths),
        ] = lists
        else {
            return damaged();
        };
        let numbers = (
            height.as_primitive_opt::<UInt32Type>(),
            sample.as_primitive_opt::<UInt32Type>(),
        );
        let (Some(height), Some(sample)) = numbers else {
            return damaged();
        };
        let whole = |list: &ListArray, row: usize| {
            let list = list.value(row);
            list.as_primitive_opt::<UInt32Type>()
                .map(|v| v.values().to_vec())
        };
        let real = |list: &ListArray, row: usize| {
            let list = list.value(row);
            list.as_primitive_opt::<Float64Type>()
                .map(|v| v.values().to_vec())
        };
        (0..params.len())
            .map(|row| {
                if params.is_null(row) || height.is_null(row) || height.value(row) == 0 {
                    return Ok(None);
                }
                let parts = (
                    whole(roots, row),
                    whole(features, row),
                    real(thresholds, row),
                    whole(children, row),
                    real(paths, row),
                );
                let (Some(roots), Some(features), Some(thresholds), Some(children), Some(paths)) =
                    parts
                else {
                    return damaged();
                };
                let nodes: Vec<Node> = features
                    .iter()
                    .zip(thresholds)
                    .zip(children)
                    .map(|((feature, threshold), child)| Node {
                        threshold,
                        feature: *feature,
                        child,
                    })
                    .collect();
                let ends = |at: u32, width: u32| at as usize + (width as usize) < nodes.len();
                let right = paths.len() == nodes.len()
                    && roots.iter().all(|root| ends(*root, 0))
                    && nodes.iter().all(|n| {
                        let leaf = n.threshold == f64::INFINITY;
                        (n.feature as usize) < types.len() && ends(n.child, u32::from(!leaf))
                    });
                if !right {
                    return damaged();
                }
                Ok(Some(Forest {
                    nodes,
                    paths,
                    roots,
                    height: height.value(row),
                    sample: sample.value(row) as usize,
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
        let n = args.first().map_or(0, |a| a.len());
        let columns = floats(args)?;
        let nulls = complete(args);
        let columns: Vec<&[f64]> = columns.iter().map(slice).collect();
        let width = columns.len();
        // rows of a group go down its trees together
        let mut order: Vec<usize> = (0..n)
            .filter(|row| nulls.as_ref().is_none_or(|n| n.is_valid(*row)))
            .collect();
        if let Groups::Each(_) = groups {
            order.sort_by_key(|row| groups.of(*row));
        }
        let mut scored = vec![0.0; n];
        let mut valid = vec![false; n];
        let mut values = Vec::with_capacity(TOGETHER * width);
        let mut scores = Vec::with_capacity(TOGETHER);
        let mut at = Vec::with_capacity(TOGETHER);
        for of_one in order.chunk_by(|a, b| groups.of(*a) == groups.of(*b)) {
            let Some(forest) = of_group(prepared, groups, of_one[0])? else {
                continue;
            };
            for rows in of_one.chunks(TOGETHER) {
                values.clear();
                for row in rows {
                    values.extend(columns.iter().map(|c| c[*row]));
                }
                scores.resize(rows.len(), 0.0);
                forest.score(&values, width, &mut at, &mut scores);
                for (row, score) in rows.iter().zip(&scores) {
                    scored[*row] = *score;
                    valid[*row] = true;
                }
            }
        }
        let nulls = NullBuffer::new(BooleanBuffer::from(valid));
        Ok(Arc::new(Float64Array::try_new(
            scored.into(),
            Some(nulls).filter(|n| n.null_count() > 0),
        )?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float32Array;

    use super::*;
    use crate::fitted::testing::{
        apply_to, assert_floats, bind_error, coerce_error, fit, fit_apply, floats, grouped,
    };

    fn scores(array: &ArrayRef) -> Vec<f64> {
        array
            .as_primitive::<Float64Type>()
            .iter()
            .map(|v| v.unwrap_or(f64::NAN))
            .collect()
    }

    /// A cloud of points around 0, as sums of uniform numbers, and then the points given.
    fn cloud(n: usize, beside: &[[f64; 2]]) -> [ArrayRef; 2] {
        let mut rng = key::rng(7);
        let mut point = || (0..6).map(|_| rng.random::<f64>() - 0.5).sum::<f64>();
        let mut points: Vec<[f64; 2]> = (0..n).map(|_| [point(), point()]).collect();
        points.extend(beside);
        [0, 1].map(|i| floats(points.iter().map(|p| Some(p[i]))))
    }

    #[test]
    fn average_paths() {
        // 2 H(n - 1) - 2 (n - 1) / n
        assert_eq!([0, 1, 2].map(average_path), [0.0, 0.0, 1.0]);
        let exact = |n: usize| {
            let harmonic: f64 = (1..n).map(|i| 1.0 / i as f64).sum();
            2.0 * harmonic - 2.0 * (n as f64 - 1.0) / n as f64
        };
        for n in [3, 10, 256, 10_000] {
            let off = (average_path(n) - exact(n)).abs();
            assert!(off < 1.1 / (n as f64 - 1.0), "{n}: {off}");
        }
        assert!((average_path(256) - 10.244_770_920_119_917).abs() < 1e-12);
    }

    #[test]
    fn outliers_stand_out() {
        let far = [[8.0, 8.0], [-9.0, 0.0], [0.0, 12.0]];
        let points = cloud(600, &far);
        let result = scores(&fit_apply::<IsolationForest>(&[], &points));
        let (ordinary, outliers) = result.split_at(600);
        let most = ordinary.iter().fold(0.0, |m: f64, s| m.max(*s));
        assert!(
            outliers.iter().all(|s| *s > most && *s > 0.7),
            "{outliers:?}"
        );
        assert!(result.iter().all(|s| *s > 0.0 && *s < 1.0));
        let mean = ordinary.iter().sum::<f64>() / 600.0;
        assert!((0.35..0.5).contains(&mean), "{mean}");
        let other = scores(&fit_apply::<IsolationForest>(
            &[("seed", 1.into())],
            &points,
        ));
        assert_ne!(result, other);
        let few = [("trees", 10.into()), ("sample", 16.into())];
        let few = scores(&fit_apply::<IsolationForest>(&few, &points));
        assert!(few[600] > 0.6, "{:?}", &few[600..]);
    }

    #[test]
    fn scales_do_not_matter() {
        let [x, y] = cloud(300, &[[9.0, 9.0]]);
        let result = fit_apply::<IsolationForest>(&[("trees", 20.into())], &[x.clone(), y.clone()]);
        let scaled = floats(
            x.as_primitive::<Float64Type>()
                .iter()
                .map(|v| v.map(|v| v * 1024.0)),
        );
        let other = fit_apply::<IsolationForest>(&[("trees", 200.into())], &[scaled, y]);
        let (a, b) = (scores(&result), scores(&other));
        assert!((a[300] - b[300]).abs() < 0.1);
    }

    #[test]
    fn larger_tables_are_thinned_whatever_the_order() {
        let n = 300_000i64;
        let all: Vec<f64> = (0..n).map(|i| (i * 7919 % n / 2) as f64).collect();
        let part = |rows: &[f64]| [floats(rows.iter().copied().map(Some))];
        let mut whole = Rows::new(1);
        whole.update(&part(&all)).expect("an update");
        let mut merged = Rows::new(1);
        for rows in all.rchunks(40_000) {
            let mut one = Rows::new(1);
            for rows in rows.chunks(8192) {
                one.update(&part(rows)).expect("an update");
            }
            let mut bytes = Vec::new();
            one.encode(&mut bytes).expect("an encoding");
            let mut decoded = Rows::new(1);
            assert!(decoded.decode(&bytes[..bytes.len() - 1]).is_err());
            let mut decoded = Rows::new(1);
            decoded.decode(&bytes).expect("a decoding");
            merged.merge(decoded).expect("a merge");
        }
        assert!(whole.size() < 10_000_000);
        whole.keep_most();
        merged.keep_most();
        assert_eq!(whole.hashes.len(), MOST);
        // each was there twice
        assert!(whole.counts.iter().all(|n| *n == 2));
        assert_eq!(whole.hashes, merged.hashes);
        assert_eq!(whole.counts, merged.counts);
        assert_eq!(whole.values, merged.values);
    }

    #[test]
    fn samples_of_distinct_rows() {
        let mut rng = key::rng(1);
        for (n, k) in [(1, 1), (10, 10), (1000, 10), (u64::MAX / 4, 100)] {
            let chosen = choose(&mut rng, n, k);
            assert_eq!(chosen.len(), k);
            assert!(chosen.windows(2).all(|w| w[0] < w[1]));
            assert!(chosen.iter().all(|i| *i < n));
        }
        let mut seen = [0; 5];
        for _ in 0..5000 {
            for i in choose(&mut rng, 5, 2) {
                seen[i as usize] += 1;
            }
        }
        assert!(
            seen.iter().all(|n: &i32| n.abs_diff(2000) < 180),
            "{seen:?}"
        );
    }

    #[test]
    fn missing_constant_and_huge() {
        let x = floats([
            Some(1.0),
            None,
            Some(f64::NAN),
            Some(2.0),
            Some(f64::INFINITY),
        ]);
        let y = floats([Some(1.0), Some(1.0), Some(1.0), Some(2.0), Some(1.0)]);
        let result = fit_apply::<IsolationForest>(&[("trees", 3.into())], &[x, y]);
        // two rows, one cut: c(2) is 1
        assert_floats(&result, &[Some(0.5), None, None, Some(0.5), Some(0.5)]);
        let same = fit_apply::<IsolationForest>(&[], &[floats([Some(7.0); 40])]);
        assert!(scores(&same).iter().all(|s| (s - 0.5).abs() < 1e-12));
        let one = fit_apply::<IsolationForest>(&[], &[floats([Some(7.0)])]);
        assert_floats(&one, &[Some(0.5)]);
        let none = fit_apply::<IsolationForest>(&[], &[floats([None, Some(f64::INFINITY)])]);
        assert_floats(&none, &[None, None]);
        assert_eq!(fit_apply::<IsolationForest>(&[], &[floats([])]).len(), 0);
        let huge = floats([-f64::MAX, f64::MAX, 0.0, 5e-324, -0.0].map(Some));
        let result = scores(&fit_apply::<IsolationForest>(&[], &[huge]));
        assert!(result.iter().all(|s| s.is_finite()), "{result:?}");
        assert_eq!(result[2], result[4]);
        let single: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0]));
        let result = fit_apply::<IsolationForest>(&[], &[single]);
        assert_floats(&result, &[Some(0.5), Some(0.5)]);
    }

    #[test]
    fn by_group_and_other_rows() {
        let [x, y] = cloud(60, &[]);
        let groups: Vec<u32> = (0..60).map(|i| i % 3).collect();
        grouped::<IsolationForest>(&[("trees", 5.into())], &[x.clone(), y.clone()], &groups);
        let far = [
            floats([Some(100.0), Some(0.0)]),
            floats([Some(100.0), Some(0.0)]),
        ];
        let result = scores(&apply_to::<IsolationForest>(&[], &[x, y], &far));
        assert!(result[0] > 0.65 && result[1] < 0.5, "{result:?}");
    }

    #[test]
    fn damaged_trees_are_errors() {
        let types = [DataType::Float64];
        let options = [("trees", 2.into()), ("sample", 4.into())];
        let params = fit::<IsolationForest>(&options, &[floats([1.0, 2.0, 3.0].map(Some))]);
        let forest = IsolationForest {
            trees: 2,
            sample: 4,
            seed: 0,
        };
        assert!(forest.prepare(&types, &params).is_ok());
        let (fields, mut columns, _) = params.into_parts();
        let nodes = columns[1].as_list::<i32>().values().len();
        columns[3] = column(UInt32Array::from(vec![99; nodes]), [nodes]).expect("a list");
        let params = StructArray::new(fields, columns, None);
        assert!(forest.prepare(&types, &params).is_err());
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (name, wrong, message) in [
            ("trees", 0, "at least 1"),
            ("trees", 10_001, "from 1 to 10000"),
            ("sample", 1, "at least 2"),
            ("sample", 65_537, "from 2 to 65536"),
        ] {
            let error = bind_error::<IsolationForest>(&[(name, wrong.into())]);
            assert!(error.contains(message), "{error}");
        }
        let types = [DataType::Float64, DataType::Utf8];
        let error = coerce_error::<IsolationForest>(&[], &types);
        assert!(error.contains("argument 2 must be a number"), "{error}");
    }
}
