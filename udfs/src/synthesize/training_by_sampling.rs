//! CTGAN's conditional vector and its training by sampling.
//!
//! A condition is one category of one categorical column. In training the column is drawn uniformly and
//! the category by the logarithm of its frequency, so that rare ones are seen too, and the real row is one
//! of those that fulfil it; the generator is punished where its row does not. Rows are sampled under
//! conditions drawn by the categories' true frequencies, which gives the table's distribution back.

use datafusion_common::{Result, exec_err};
use rand::RngCore;

use super::codec::{Codec, Encoded};
use super::layers::Heads;
use super::{Evidence, ModelFile, rng};

/// The categorical columns.
#[derive(Debug, Clone)]
pub struct Conditions {
    columns: Vec<Column>,
    width: usize,
}

#[derive(Debug, Clone)]
struct Column {
    /// Its index in the table.
    index: usize,
    /// Its first cell in the conditional vector, and in a row.
    begin: usize,
    cell: usize,
    /// How many rows have each state or one before it.
    cumulative: Vec<f64>,
}

/// Some conditions of one column.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its place among the categorical columns.
    column: usize,
    /// As [`Column::cumulative`], of the states that are wanted.
    cumulative: Vec<f64>,
}

/// Conditions of several rows.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    /// Each row's cell in the conditional vector; empty where there are no categorical columns.
    pub vector: Vec<u32>,
    /// Each row's cell that is asked for.
    pub cells: Vec<u32>,
}

impl Drawn {
    pub fn clear(&mut self) {
        self.vector.clear();
        self.cells.clear();
    }
}

impl Conditions {
    /// No conditions, for generators that take none.
    pub fn none() -> Self {
        Self {
            columns: Vec::new(),
            width: 0,
        }
    }

    /// Of the rows that are learnt.
    pub fn fit(codec: &Codec, heads: &Heads, encoded: &Encoded) -> Self {
        Self::new(codec, heads, |index, states| {
            let mut counts = vec![0.0; states];
            for &state in &encoded.columns[index].states {
                counts[state as usize] += 1.0;
            }
            Ok(counts)
        })
        .unwrap_or_else(|_| Self::none())
    }

    fn new(
        codec: &Codec,
        heads: &Heads,
        counts: impl Fn(usize, usize) -> Result<Vec<f64>>,
    ) -> Result<Self> {
        let (mut columns, mut begin) = (Vec::new(), 0);
        for (index, head) in heads.columns().iter().enumerate() {
            let states = head.states.len();
            if states == 0 || codec.columns()[index].has_value() {
                continue;
            }
            let mut total = 0.0;
            let cumulative: Vec<f64> = counts(index, states)?
                .iter()
                .map(|count| {
                    total += count;
                    total
                })
                .collect();
            columns.push(Column {
                index,
                begin,
                cell: head.states.start,
                cumulative,
            });
            begin += states;
        }
        Ok(Self {
            columns,
            width: begin,
        })
    }

    /// Cells of the conditional vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The conditional vector's cells as cells of a row.
    pub fn cells(&self) -> Vec<usize> {
        let columns = self.columns.iter();
        columns
            .flat_map(|column| (column.cell..).take(column.cumulative.len()))
            .collect()
    }

    /// A condition drawn by the true frequencies, a function of the key; of those that are `wanted`, if
    /// any are.
    pub fn draw(&self, key: u64, wanted: Option<&Wanted>, drawn: &mut Drawn) {
        let mut stream = rng::stream(key, "condition", 0);
        let (at, cumulative) = match wanted {
            Some(wanted) => (wanted.column, Some(&wanted.cumulative)),
            None => (below(&mut stream, self.columns.len()), None),
        };
        let Some(column) = self.columns.get(at) else {
            return;
        };
        let state = choose(cumulative.unwrap_or(&column.cumulative), &mut stream);
        drawn.vector.push((column.begin + state) as u32);
        drawn.cells.push((column.cell + state) as u32);
    }

    /// The conditions of one column that evidence allows: of the column of which it leaves least.
    /// Nothing if it says nothing of any.
    pub fn wanted(&self, evidence: &[Option<Evidence>]) -> Option<Wanted> {
        let mut least: Option<(f64, Wanted)> = None;
        for (at, column) in self.columns.iter().enumerate() {
            let Some(Some(evidence)) = evidence.get(column.index) else {
                continue;
            };
            let (mut before, mut left) = (0.0, 0.0);
            let allowed = evidence.states.iter().zip(&column.cumulative);
            let cumulative: Vec<f64> = allowed
                .map(|(&allowed, &sum)| {
                    left += if allowed { sum - before } else { 0.0 };
                    before = sum;
                    left
                })
                .collect();
            let share = left / before;
            if share > 0.0 && least.as_ref().is_none_or(|(least, _)| share < *least) {
                let column = at;
                least = Some((share, Wanted { column, cumulative }));
            }
        }
        least.map(|(_, wanted)| wanted)
    }

    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        for column in &self.columns {
            let name = format!("conditions.{}", column.index);
            file.set_numbers(name, &column.cumulative)?;
        }
        Ok(())
    }

    pub fn load(codec: &Codec, heads: &Heads, file: &ModelFile) -> Result<Self> {
        Self::new(codec, heads, |index, states| {
            let name = format!("conditions.{index}");
            let mut counts = file.numbers(&name)?;
            let rising = counts.windows(2).all(|pair| pair[0] <= pair[1]);
            if counts.len() != states || !rising {
                return exec_err!("the model file is damaged: {name}");
            }
            for i in (1..states).rev() {
                counts[i] -= counts[i - 1];
            }
            Ok(counts)
        })
    }
}

/// Conditions by log-frequency, and rows that fulfil them.
#[derive(Debug)]
pub struct TrainingBySampling<'a> {
    conditions: &'a Conditions,
    rows: usize,
    columns: Vec<Sampled>,
}

#[derive(Debug)]
struct Sampled {
    /// The states' sums of log-frequencies.
    cumulative: Vec<f64>,
    /// The rows, state by state.
    order: Vec<u32>,
    /// Where each state's rows begin; one more at the end.
    begins: Vec<u32>,
}

impl<'a> TrainingBySampling<'a> {
    pub fn new(conditions: &'a Conditions, encoded: &Encoded, rows: usize) -> Self {
        let columns = conditions.columns.iter().map(|column| {
            let states = &encoded.columns[column.index].states;
            let mut begins = vec![0u32; column.cumulative.len() + 1];
            for &state in states {
                begins[state as usize + 1] += 1;
            }
            let mut total = 0.0;
            let cumulative = begins[1..]
                .iter()
                .map(|&count| {
                    total += (f64::from(count) + 1.0).ln();
                    total
                })
                .collect();
            for i in 1..begins.len() {
                begins[i] += begins[i - 1];
            }
            let mut next = begins.clone();
            let mut order = vec![0u32; states.len()];
            for (row, &state) in states.iter().enumerate() {
                let place = &mut next[state as usize];
                order[*place as usize] = row as u32;
                *place += 1;
            }
            Sampled {
                cumulative,
                order,
                begins,
            }
        });
        Self {
            conditions,
            rows,
            columns: columns.collect(),
        }
    }

    /// So many conditions, and a row for each.
    pub fn draw(&self, count: usize, key: u64, drawn: &mut Drawn, rows: &mut Vec<u32>) {
        drawn.clear();
        rows.clear();
        let mut stream = rng::stream(key, "conditions", 0);
        for _ in 0..count {
            if self.columns.is_empty() {
                rows.push(below(&mut stream, self.rows) as u32);
                continue;
            }
            let i = below(&mut stream, self.columns.len());
            let (column, sampled) = (&self.conditions.columns[i], &self.columns[i]);
            let state = choose(&sampled.cumulative, &mut stream);
            drawn.vector.push((column.begin + state) as u32);
            drawn.cells.push((column.cell + state) as u32);
            let (begin, end) = (sampled.begins[state], sampled.begins[state + 1]);
            let at = begin as usize + below(&mut stream, (end - begin) as usize);
            rows.push(sampled.order.get(at).copied().unwrap_or(0));
        }
    }
}

/// Uniform in `0..n`, by multiply-shift: the bias, n in 2^64, is far below anything that could be seen.
fn below(stream: &mut rng::Stream, n: usize) -> usize {
    ((u128::from(stream.next_u64()) * n as u128) >> 64) as usize
}

/// The index whose share of the last sum a uniform falls on; never one without a share.
fn choose(cumulative: &[f64], stream: &mut rng::Stream) -> usize {
    let total = cumulative.last().copied().unwrap_or(0.0);
    let uniform = (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let at = cumulative.partition_point(|sum| *sum <= uniform * total);
    at.min(cumulative.len().saturating_sub(1))
}
