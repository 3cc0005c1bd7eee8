//! Drawing from a circuit: down the tree, a state given its parent's, a symbol given its state.

use std::sync::Arc;

use datafusion_common::{Result, plan_err};

use super::em::{Circuit, UNKNOWN};
use crate::synthesize::codec::{Encoded, EncodedColumn};
use crate::synthesize::symbols::Alphabet;
use crate::synthesize::{Evidence, rng};

/// A circuit's probabilities summed up, for drawing: given evidence, or given nothing.
#[derive(Debug)]
pub struct Sampler {
    circuit: Arc<Circuit>,
    root: Vec<f32>,
    /// For each column, a row of states for each state of its parent.
    edges: Vec<Vec<f32>>,
    /// For each column, a row of symbols for each state.
    leaves: Vec<Vec<f32>>,
    alphabets: Vec<Alphabet>,
}

/// What a uniform number is for; each use of each column has its own.
#[derive(Debug, Clone, Copy)]
enum Use {
    State,
    Symbol,
    Value,
}

fn bits(key: u64, column: usize, what: Use) -> u64 {
    rng::key(key, 3 * column as u64 + what as u64)
}

/// In [0, 1), of 24 bits.
fn single(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1u64 << 24) as f32
}

/// In [0, 1), of 53 bits.
fn double(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The index that a uniform number falls on; never one of no probability.
fn choose(cumulative: &[f32], uniform: f32) -> usize {
    let at = cumulative.partition_point(|&sum| sum <= uniform);
    at.min(cumulative.len().saturating_sub(1))
}

/// Sums up weights to end at 1.
fn accumulate(weights: impl Iterator<Item = f64> + Clone, out: &mut Vec<f32>) {
    let total: f64 = weights.clone().sum();
    let begin = out.len();
    let (mut sum, mut last) = (0.0, begin);
    for weight in weights {
        sum += weight;
        if weight > 0.0 {
            last = out.len();
        }
        out.push((sum / total.max(f64::MIN_POSITIVE)) as f32);
    }
    // Rounding neither leaves a rest at the end nor reaches it too early.
    for share in &mut out[begin..last] {
        *share = share.min(1.0 - f32::EPSILON / 2.0);
    }
    out[last..].fill(1.0);
}

impl Sampler {
    /// Of the circuit as it is.
    pub fn new(circuit: &Arc<Circuit>, alphabets: &[Alphabet]) -> Result<Self> {
        let none = vec![None; alphabets.len()];
        Self::given(circuit, alphabets, &none)
    }

    /// Of the circuit given evidence on columns: messages are passed up the tree once, and what is left
    /// is a circuit of the same form.
    ///
    /// # Errors
    /// If the evidence has no probability.
    pub fn given(
        circuit: &Arc<Circuit>,
        alphabets: &[Alphabet],
        evidence: &[Option<Evidence>],
    ) -> Result<Self> {
        let states = circuit.states;
        let columns = alphabets.len();
        let mut restricted = Vec::with_capacity(columns);
        let mut shares = Vec::with_capacity(columns);
        for (alphabet, evidence) in alphabets.iter().zip(evidence) {
            let (alphabet, share) = match evidence {
                Some(evidence) => {
                    let (alphabet, share) = alphabet.given(evidence);
                    (alphabet, Some(share))
                }
                None => (alphabet.clone(), None),
            };
            restricted.push(alphabet);
            shares.push(share);
        }
        let mut up = vec![vec![1f64; states]; columns];
        let mut leaves = vec![Vec::new(); columns];
        let mut edges = vec![Vec::new(); columns];
        let mut root = Vec::with_capacity(states);
        for &column in circuit.tree.order.iter().rev() {
            let table = &circuit.leaves[column];
            let weight = |symbol: usize| shares[column].as_ref().map_or(1.0, |s| s[symbol]);
            let symbols = table.len() / states;
            leaves[column].reserve(table.len());
            for state in 0..states {
                let weights =
                    (0..symbols).map(|s| f64::from(table[s * states + state]) * weight(s));
                if shares[column].is_some() {
                    up[column][state] *= weights.clone().sum::<f64>();
                }
                accumulate(weights, &mut leaves[column]);
            }
            let largest = up[column].iter().copied().fold(0.0, f64::max);
            if largest <= 0.0 || !largest.is_finite() {
                return plan_err!("no row that the model knows of has all of this");
            }
            up[column].iter_mut().for_each(|u| *u /= largest);
            let Some(parent) = circuit.tree.parents[column] else {
                let weights = circuit.root.iter().zip(&up[column]);
                accumulate(weights.map(|(&p, u)| f64::from(p) * u), &mut root);
                continue;
            };
            edges[column].reserve(states * states);
            let rows = circuit.edges[column].chunks_exact(states);
            let (below, above) = match column < parent {
                true => {
                    let (low, high) = up.split_at_mut(parent);
                    (&low[column], &mut high[0])
                }
                false => {
                    let (low, high) = up.split_at_mut(column);
                    (&high[0], &mut low[parent])
                }
            };
            for (row, above) in rows.zip(above.iter_mut()) {
                let weights = row.iter().zip(below).map(|(&p, u)| f64::from(p) * u);
                *above *= weights.clone().sum::<f64>();
                accumulate(weights, &mut edges[column]);
            }
            let largest = above.iter().copied().fold(0.0, f64::max);
            if largest > 0.0 {
                above.iter_mut().for_each(|u| *u /= largest);
            }
        }
        Ok(Self {
            circuit: Arc::clone(circuit),
            root,
            edges,
            leaves,
            alphabets: restricted,
        })
    }

    /// Draws a row a key, in the codec's terms; only the columns that are wanted.
    pub fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Encoded {
        let tree = &self.circuit.tree;
        let states = self.circuit.states;
        let count = self.alphabets.len();
        let mut wanted = vec![columns.is_none(); count];
        for &column in columns.unwrap_or_default() {
            wanted[column] = true;
        }
        // A column's states are needed where its symbols are, or a child's states.
        let mut needed = wanted.clone();
        for &column in tree.order.iter().rev() {
            if let (true, Some(parent)) = (needed[column], tree.parents[column]) {
                needed[parent] = true;
            }
        }
        let mut hidden: Vec<Vec<u32>> = vec![Vec::new(); count];
        let mut encoded = Encoded::empty(count);
        for &column in tree.order.iter().filter(|&&column| needed[column]) {
            let uniform = |key: u64, what: Use| single(bits(key, column, what));
            let drawn: Vec<u32> = match tree.parents[column] {
                None => keys
                    .iter()
                    .map(|&key| choose(&self.root, uniform(key, Use::State)) as u32)
                    .collect(),
                Some(parent) => {
                    let above = keys.iter().zip(&hidden[parent]);
                    let row = |state: u32| &self.edges[column][state as usize * states..][..states];
                    above
                        .map(|(&key, &state)| choose(row(state), uniform(key, Use::State)) as u32)
                        .collect()
                }
            };
            if wanted[column] {
                let symbols = self.leaves[column].len() / states;
                let row = |state: u32| &self.leaves[column][state as usize * symbols..][..symbols];
                let symbols: Vec<u32> = keys
                    .iter()
                    .zip(&drawn)
                    .map(|(&key, &state)| choose(row(state), uniform(key, Use::Symbol)) as u32)
                    .collect();
                encoded.columns[column] = self.values(column, &symbols, keys);
            }
            hidden[column] = drawn;
        }
        encoded
    }

    /// States and values for a column's symbols.
    fn values(&self, column: usize, symbols: &[u32], keys: &[u64]) -> EncodedColumn {
        let alphabet = &self.alphabets[column];
        let (states, values) = symbols
            .iter()
            .zip(keys)
            .map(|(&symbol, &key)| alphabet.draw(symbol, double(bits(key, column, Use::Value))))
            .unzip();
        EncodedColumn { states, values }
    }
}

/// Continues partial rows: messages are passed up for each row, and states are drawn on the way down.
#[derive(Debug)]
pub struct Completer {
    /// What unknown symbols are drawn from.
    sampler: Sampler,
    /// Each edge with the child's states first.
    transposed: Vec<Vec<f32>>,
    /// How likely each state is to have a symbol that an unknown one may be; nothing where it may be any.
    open: Vec<Option<Vec<f32>>>,
}

impl Completer {
    /// `evidence` is what is known of unknown symbols all the same: that they are not NULL, say.
    pub fn new(
        circuit: &Arc<Circuit>,
        alphabets: &[Alphabet],
        evidence: &[Option<Evidence>],
    ) -> Result<Self> {
        let states = circuit.states;
        let open = alphabets
            .iter()
            .zip(evidence)
            .zip(&circuit.leaves)
            .map(|((alphabet, evidence), leaf)| {
                let (_, shares) = alphabet.given(evidence.as_ref()?);
                let mut open = vec![0f32; states];
                for (row, share) in leaf.chunks_exact(states).zip(&shares) {
                    for (open, p) in open.iter_mut().zip(row) {
                        *open += p * *share as f32;
                    }
                }
                Some(open)
            })
            .collect();
        let transposed = circuit
            .edges
            .iter()
            .map(|edge| {
                (0..edge.len())
                    .map(|i| edge[i % states * states + i / states])
                    .collect()
            })
            .collect();
        Ok(Self {
            sampler: Sampler::given(circuit, alphabets, evidence)?,
            transposed,
            open,
        })
    }

    /// Draws every unknown symbol, given the known ones of its row; a row depends on what it holds and on
    /// its key alone.
    pub fn complete(&self, known: &[Vec<u32>], keys: &[u64]) -> Encoded {
        let circuit = &self.sampler.circuit;
        let states = circuit.states;
        let columns = known.len();
        let mut symbols: Vec<Vec<u32>> = known.to_vec();
        let mut up = vec![vec![0f32; states]; columns];
        let mut sent = vec![0f32; states];
        let mut speaks = vec![false; columns];
        let mut hidden = vec![0usize; columns];
        for (row, &key) in keys.iter().enumerate() {
            speaks.fill(false);
            for &column in circuit.tree.order.iter().rev() {
                let symbol = known[column][row];
                let own = match &self.open[column] {
                    _ if symbol != UNKNOWN => {
                        Some(&circuit.leaves[column][symbol as usize * states..][..states])
                    }
                    Some(open) => Some(open.as_slice()),
                    None => None,
                };
                // `up` holds what the children have sent, if any has said anything.
                match (own, speaks[column]) {
                    (Some(own), true) => multiply(&mut up[column], own),
                    (Some(own), false) => up[column].copy_from_slice(own),
                    (None, true) => {}
                    (None, false) => continue,
                }
                speaks[column] = true;
                scale(&mut up[column]);
                let Some(parent) = circuit.tree.parents[column] else {
                    continue;
                };
                sent.fill(0.0);
                let rows = self.transposed[column].chunks_exact(states);
                for (row, &u) in rows.zip(&up[column]) {
                    for (sent, p) in sent.iter_mut().zip(row) {
                        *sent += p * u;
                    }
                }
                match speaks[parent] {
                    true => multiply(&mut up[parent], &sent),
                    false => up[parent].copy_from_slice(&sent),
                }
                speaks[parent] = true;
                scale(&mut up[parent]);
            }
            for &column in &circuit.tree.order {
                let prior = match circuit.tree.parents[column] {
                    None => &circuit.root,
                    Some(parent) => &circuit.edges[column][hidden[parent] * states..][..states],
                };
                let uniform = single(bits(key, column, Use::State));
                let message = speaks[column].then_some(up[column].as_slice());
                hidden[column] = choose_weighted(prior, message, uniform);
                if known[column][row] == UNKNOWN {
                    let leaf = &self.sampler.leaves[column];
                    let size = leaf.len() / states;
                    let leaf = &leaf[hidden[column] * size..][..size];
                    let uniform = single(bits(key, column, Use::Symbol));
                    symbols[column][row] = choose(leaf, uniform) as u32;
                }
            }
        }
        let columns = symbols.iter().enumerate();
        Encoded {
            columns: columns
                .map(|(column, symbols)| self.sampler.values(column, symbols, keys))
                .collect(),
        }
    }
}

fn multiply(message: &mut [f32], by: &[f32]) {
    message.iter_mut().zip(by).for_each(|(m, b)| *m *= b);
}

fn scale(message: &mut [f32]) {
    let largest = message.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    message.iter_mut().for_each(|m| *m /= largest);
}

/// The index that a uniform number falls on when 0..1 is divided by prior times message.
fn choose_weighted(prior: &[f32], message: Option<&[f32]>, uniform: f32) -> usize {
    let weight = |i: usize| prior[i] * message.map_or(1.0, |message| message[i]);
    let total: f32 = (0..prior.len()).map(weight).sum();
    let mut left = uniform * total;
    let mut last = 0;
    for i in 0..prior.len() {
        let weight = weight(i);
        if weight > 0.0 {
            last = i;
            if left < weight {
                break;
            }
        }
        left -= weight;
    }
    last
}
