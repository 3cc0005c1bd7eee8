//! How far a sample is from the rows that were learnt, for the looks of a training at itself.
//!
//! Columns are coarsened to a few levels: tenths of the values, and the most frequent states. The
//! difference is the share of the joint distribution of two levels that is elsewhere in the sample
//! (half the sum of the absolute differences), on average over pairs of columns. A small sample has some
//! of it by chance, so the figure compares epochs, not models.

use super::codec::{Codec, Encoded, EncodedColumn};
use super::training::Judge;

/// Levels of a column's values.
const TENTHS: usize = 10;

/// Levels of a column; rarer states share the last.
const LEVELS: usize = 16;

/// Rows that the learnt distribution is taken from.
const ROWS: usize = 20_000;

/// Columns up to this many are compared each with each, those of wider tables each with so many.
const PARTNERS: usize = 20;

/// A column whose most frequent level holds less than this share has values that a sample must show.
const VARIED: f64 = 0.9;

/// The levels of every column, and what the learnt rows have of them.
#[derive(Debug)]
pub struct Differences {
    columns: Vec<Levels>,
    pairs: Vec<Pair>,
    rows: usize,
}

#[derive(Debug)]
struct Levels {
    name: String,
    /// Between the tenths of the values; empty where states are all there is.
    cuts: Vec<f32>,
    of_state: Vec<u8>,
    /// The share of the most frequent level.
    most: f64,
}

/// Two columns' joint distribution.
#[derive(Debug)]
struct Pair {
    columns: [usize; 2],
    shares: Vec<f32>,
}

impl Differences {
    /// Looks at encoded rows, which come in an order that has nothing to do with what they hold.
    pub fn new(codec: &Codec, encoded: &Encoded, rows: usize) -> Self {
        let seen = rows.min(ROWS);
        let mut columns: Vec<Levels> = (codec.columns().iter().zip(codec.schema().fields()))
            .zip(&encoded.columns)
            .map(|((column, field), encoded)| {
                let valued = column.carriers() == 1;
                Levels::new(field.name(), column.states(), valued, encoded, seen)
            })
            .collect();
        let coded: Vec<Vec<u8>> = (columns.iter().zip(&encoded.columns))
            .map(|(levels, column)| levels.code(column, seen))
            .collect();
        for (levels, coded) in columns.iter_mut().zip(&coded) {
            let mut counts = [0usize; 256];
            for &level in coded {
                counts[usize::from(level)] += 1;
            }
            let most = counts.iter().max().copied().unwrap_or(0);
            levels.most = most as f64 / seen.max(1) as f64;
        }
        let pairs = pairs(columns.len())
            .into_iter()
            .map(|[a, b]| Pair {
                columns: [a, b],
                shares: joint(&coded[a], &coded[b]),
            })
            .collect();
        Self {
            columns,
            pairs,
            rows: rows.clamp(500, 2000),
        }
    }
}

impl Judge for Differences {
    type Sample = Encoded;

    fn rows(&self) -> usize {
        self.rows
    }

    /// The mean difference of two columns' joint distribution, 0 to 1.
    fn difference(&self, sample: &Encoded) -> f32 {
        let coded: Vec<Vec<u8>> = (self.columns.iter().zip(&sample.columns))
            .map(|(levels, column)| levels.code(column, column.states.len()))
            .collect();
        let total: f64 = self
            .pairs
            .iter()
            .map(|pair| {
                let [a, b] = pair.columns;
                let shares = joint(&coded[a], &coded[b]);
                let apart = shares.iter().zip(&pair.shares).map(|(x, y)| (x - y).abs());
                f64::from(apart.sum::<f32>() / 2.0)
            })
            .sum();
        (total / self.pairs.len().max(1) as f64) as f32
    }

    /// A column of which the sample shows one level alone, though the rows have many.
    fn collapsed(&self, sample: &Encoded) -> Option<String> {
        let one_level = |(levels, column): (&Levels, &EncodedColumn)| {
            let coded = levels.code(column, column.states.len());
            coded.windows(2).all(|pair| pair[0] == pair[1])
        };
        let (levels, _) = self
            .columns
            .iter()
            .zip(&sample.columns)
            .filter(|(levels, _)| levels.most < VARIED)
            .find(|pair| one_level(*pair))?;
        Some(format!(
            "column {} came out with one value alone, though the rows have many; train for more epochs, with a larger \
             pac, or with lower rates",
            levels.name
        ))
    }
}

impl Levels {
    fn new(name: &str, states: usize, valued: bool, column: &EncodedColumn, rows: usize) -> Self {
        let mut cuts = Vec::new();
        let mut of_state = vec![0u8; states.max(1)];
        if valued {
            let ordinary = column.states[..rows].iter().zip(&column.values);
            let mut values: Vec<f32> = ordinary
                .filter(|(state, _)| **state == 0)
                .map(|(_, value)| *value)
                .collect();
            values.sort_unstable_by(f32::total_cmp);
            if !values.is_empty() {
                cuts = (1..TENTHS)
                    .map(|i| values[i * values.len() / TENTHS])
                    .collect();
            }
            for (state, level) in of_state.iter_mut().enumerate().skip(1) {
                *level = (TENTHS + state - 1).min(LEVELS - 1) as u8;
            }
        } else {
            let mut counts = vec![0usize; states.max(1)];
            for &state in &column.states[..rows] {
                counts[state as usize] += 1;
            }
            let mut order: Vec<usize> = (0..counts.len()).collect();
            order.sort_by_key(|&state| (std::cmp::Reverse(counts[state]), state));
            for (rank, state) in order.into_iter().enumerate() {
                of_state[state] = rank.min(LEVELS - 1) as u8;
            }
        }
        Self {
            name: name.to_string(),
            cuts,
            of_state,
            most: 1.0,
        }
    }

    fn code(&self, column: &EncodedColumn, rows: usize) -> Vec<u8> {
        let level = |row: usize| match column.states[row] {
            0 if !self.cuts.is_empty() => {
                let value = column.values[row];
                self.cuts.partition_point(|cut| *cut <= value) as u8
            }
            state => self.of_state.get(state as usize).copied().unwrap_or(0),
        };
        (0..rows.min(column.states.len())).map(level).collect()
    }
}

/// The shares of all pairs of levels.
fn joint(a: &[u8], b: &[u8]) -> Vec<f32> {
    let mut counts = [0u32; LEVELS * LEVELS];
    for (a, b) in a.iter().zip(b) {
        counts[usize::from(*a) * LEVELS + usize::from(*b)] += 1;
    }
    let share = 1.0 / a.len().max(1) as f32;
    counts.iter().map(|&count| count as f32 * share).collect()
}

fn pairs(columns: usize) -> Vec<[usize; 2]> {
    if columns == 1 {
        return vec![[0, 0]];
    }
    let partners = PARTNERS / 2;
    let mut pairs = Vec::new();
    for a in 0..columns {
        match columns <= PARTNERS {
            true => pairs.extend((a + 1..columns).map(|b| [a, b])),
            false => pairs.extend((1..=partners).map(|i| [a, (a + i) % columns])),
        }
    }
    pairs
}
