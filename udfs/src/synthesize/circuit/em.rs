//! The circuit's parameters, its likelihood, and expectation maximisation.
//!
//! With `u` a column's message (how likely each of its hidden states makes the column and all below it)
//! and `m = T u` the message to its parent, the upward pass gives the likelihood, the downward pass the
//! posterior `g` of every hidden state, and `T[i,j] sum_rows g_parent[i] / m[i] u[j]` counts how often state
//! `i` was followed by `j`. Three products of matrices an edge, in portions of rows of one size, each on
//! one thread: the sums have one order, and the same bits come out on any number of threads.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::tree::Tree;

/// Rows of a portion.
pub const PORTION: usize = 256;

/// A symbol that is not known.
pub const UNKNOWN: u32 = u32::MAX;

/// Smaller is 0 to 32-bit floats that are divided by.
const TINY: f32 = 1e-30;

/// A hidden Chow-Liu tree: `p(root) prod p(hidden | parent's hidden) prod p(symbol | hidden)`.
#[derive(Debug, Clone)]
pub struct Circuit {
    /// How many hidden states a column has.
    pub states: usize,
    pub tree: Tree,
    /// The probability of each state of the root.
    pub root: Vec<f32>,
    /// A column's states by those of its parent, a row a parent's state; nothing for the root.
    pub edges: Vec<Vec<f32>>,
    /// A column's symbols by its states, a row a symbol.
    pub leaves: Vec<Vec<f32>>,
}

/// How often hidden states were met: what the parameters are made of.
#[derive(Debug, Clone)]
pub struct Counts {
    root: Vec<f32>,
    edges: Vec<Vec<f32>>,
    leaves: Vec<Vec<f32>>,
}

/// How much of what is known of all rows is mixed into what each hidden state has seen.
#[derive(Debug, Clone)]
pub struct Smoothing {
    /// Rows added to every state's symbols, distributed as the column's symbols are.
    pub leaf: f32,
    /// Rows added to every state's followers, distributed as the column's states are.
    pub edge: f32,
    /// The share of each symbol in each column.
    pub marginals: Vec<Vec<f32>>,
}

/// The messages of one portion of rows: for each column a row of states for every row.
#[derive(Debug, Default)]
pub struct Messages {
    rows: usize,
    up: Vec<Vec<f32>>,
    /// What a column sends to its parent; in the downward pass the parent's posterior divided by it.
    sent: Vec<Vec<f32>>,
    posterior: Vec<Vec<f32>>,
    /// Each row's log-likelihood.
    pub logs: Vec<f64>,
}

/// `out = a b`, or `out += a b`; all are row after row, `a` has `inner` columns, or that many rows if it is
/// to be transposed.
fn product(out: &mut [f32], a: &[f32], transposed: bool, b: &[f32], inner: usize, add: Accum) {
    let (rows, width) = (a.len() / inner.max(1), b.len() / inner.max(1));
    let a = match transposed {
        false => MatRef::from_row_major_slice(a, rows, inner),
        true => MatRef::from_row_major_slice(a, inner, rows).transpose(),
    };
    let b = MatRef::from_row_major_slice(b, inner, width);
    let out = MatMut::from_row_major_slice_mut(out, rows, width);
    matmul(out, add, a, b, 1.0, Par::Seq);
}

impl Messages {
    /// The upward pass; `rows` picks rows of the columns of symbols.
    pub fn upward(&mut self, circuit: &Circuit, columns: &[Vec<u32>], rows: &[u32]) {
        let states = circuit.states;
        let size = rows.len() * states;
        self.rows = rows.len();
        self.logs.clear();
        self.logs.resize(rows.len(), 0.0);
        for buffers in [&mut self.up, &mut self.sent, &mut self.posterior] {
            buffers.resize_with(columns.len(), Vec::new);
            for buffer in buffers {
                buffer.resize(size, 0.0);
            }
        }
        for &column in circuit.tree.order.iter().rev() {
            let mut up = std::mem::take(&mut self.up[column]);
            let leaves = &circuit.leaves[column];
            for (message, &row) in up.chunks_exact_mut(states).zip(rows) {
                let symbol = columns[column][row as usize] as usize;
                message.copy_from_slice(&leaves[symbol * states..][..states]);
            }
            rescale(&mut up, states, &mut self.logs);
            for &child in &circuit.tree.children[column] {
                for (message, sent) in up.iter_mut().zip(&self.sent[child]) {
                    *message *= sent;
                }
                rescale(&mut up, states, &mut self.logs);
            }
            if circuit.tree.parents[column].is_some() {
                // sent = up T', in the form of the product that takes the transposed side first
                let edge = MatRef::from_row_major_slice(&circuit.edges[column], states, states);
                let up = MatRef::from_row_major_slice(&up, rows.len(), states);
                let sent =
                    MatMut::from_row_major_slice_mut(&mut self.sent[column], rows.len(), states);
                matmul(sent, Accum::Replace, up, edge.transpose(), 1.0, Par::Seq);
            } else {
                for (message, log) in up.chunks_exact(states).zip(&mut self.logs) {
                    let sum: f32 = message.iter().zip(&circuit.root).map(|(u, p)| u * p).sum();
                    *log += f64::from(sum).ln();
                }
            }
            self.up[column] = up;
        }
    }

    /// The downward pass, after the upward one.
    fn downward(&mut self, circuit: &Circuit) {
        let states = circuit.states;
        for &column in &circuit.tree.order {
            let mut posterior = std::mem::take(&mut self.posterior[column]);
            match circuit.tree.parents[column] {
                None => {
                    let up = self.up[column].chunks_exact(states);
                    for (posterior, up) in posterior.chunks_exact_mut(states).zip(up) {
                        let mut sum = 0.0;
                        for ((p, u), root) in posterior.iter_mut().zip(up).zip(&circuit.root) {
                            *p = u * root;
                            sum += *p;
                        }
                        let scale = 1.0 / sum.max(TINY);
                        posterior.iter_mut().for_each(|p| *p *= scale);
                    }
                }
                Some(parent) => {
                    let above = &self.posterior[parent];
                    for (sent, above) in self.sent[column].iter_mut().zip(above) {
                        *sent = above / sent.max(TINY);
                    }
                    product(
                        &mut posterior,
                        &self.sent[column],
                        false,
                        &circuit.edges[column],
                        states,
                        Accum::Replace,
                    );
                    for (posterior, up) in posterior.iter_mut().zip(&self.up[column]) {
                        *posterior *= up;
                    }
                }
            }
            self.posterior[column] = posterior;
        }
    }
}

/// Divides each row by its largest entry and notes the logarithm.
fn rescale(messages: &mut [f32], states: usize, logs: &mut [f64]) {
    for (message, log) in messages.chunks_exact_mut(states).zip(logs) {
        let largest = message.iter().fold(0f32, |a, &b| if b > a { b } else { a });
        let largest = largest.max(f32::MIN_POSITIVE);
        *log += f64::from(largest).ln();
        let scale = 1.0 / largest;
        if scale.is_finite() {
            message.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

impl Counts {
    /// Counts of nothing.
    pub fn none(circuit: &Circuit) -> Self {
        let zeros = |parameters: &Vec<Vec<f32>>| -> Vec<Vec<f32>> {
            parameters.iter().map(|p| vec![0.0; p.len()]).collect()
        };
        Self {
            root: vec![0.0; circuit.root.len()],
            edges: zeros(&circuit.edges),
            leaves: zeros(&circuit.leaves),
        }
    }
}

/// What a step of expectation maximisation works in.
#[derive(Debug, Default)]
pub struct Workspace {
    portions: Vec<Messages>,
    /// For each column the products of one step.
    products: Vec<Vec<f32>>,
}

impl Circuit {
    /// The log-likelihood of each row.
    pub fn log_likelihood(&self, columns: &[Vec<u32>], rows: &[u32]) -> Vec<f64> {
        let logs: Vec<Vec<f64>> = rows
            .par_chunks(PORTION)
            .map_init(Messages::default, |messages, rows| {
                messages.upward(self, columns, rows);
                std::mem::take(&mut messages.logs)
            })
            .collect();
        logs.concat()
    }

    /// Counts hidden states over rows: `counts = keep * counts + weight * theirs`. Gives the sum of the
    /// rows' log-likelihoods.
    pub fn count(
        &self,
        columns: &[Vec<u32>],
        rows: &[u32],
        counts: &mut Counts,
        (keep, weight): (f32, f32),
        workspace: &mut Workspace,
    ) -> f64 {
        let states = self.states;
        let portions: Vec<&[u32]> = rows.chunks(PORTION).collect();
        if workspace.portions.len() < portions.len() {
            workspace
                .portions
                .resize_with(portions.len(), Messages::default);
        }
        workspace.products.resize_with(columns.len(), Vec::new);
        workspace
            .portions
            .par_iter_mut()
            .zip(&portions)
            .for_each(|(messages, rows)| {
                messages.upward(self, columns, rows);
                messages.downward(self);
            });
        let messages = &workspace.portions[..portions.len()];
        counts
            .edges
            .par_iter_mut()
            .zip(&mut counts.leaves)
            .zip(&mut workspace.products)
            .enumerate()
            .for_each(|(column, ((edge, leaf), sums))| {
                if !edge.is_empty() {
                    sums.resize(states * states, 0.0);
                    for (i, portion) in messages.iter().enumerate() {
                        let add = if i == 0 { Accum::Replace } else { Accum::Add };
                        let (above, below) = (&portion.sent[column], &portion.up[column]);
                        product(sums, above, true, below, portion.rows, add);
                    }
                    for ((count, sum), t) in edge.iter_mut().zip(&*sums).zip(&self.edges[column]) {
                        *count = keep * *count + weight * (sum * t);
                    }
                }
                leaf.iter_mut().for_each(|count| *count *= keep);
                for (portion, rows) in messages.iter().zip(&portions) {
                    let posterior = portion.posterior[column].chunks_exact(states);
                    for (posterior, &row) in posterior.zip(*rows) {
                        let symbol = columns[column][row as usize] as usize;
                        let counts = &mut leaf[symbol * states..][..states];
                        for (count, p) in counts.iter_mut().zip(posterior) {
                            *count += weight * p;
                        }
                    }
                }
            });
        if let Some(&root) = self.tree.order.first() {
            counts.root.iter_mut().for_each(|count| *count *= keep);
            for portion in messages {
                for posterior in portion.posterior[root].chunks_exact(states) {
                    for (count, p) in counts.root.iter_mut().zip(posterior) {
                        *count += weight * p;
                    }
                }
            }
        }
        messages.iter().flat_map(|portion| &portion.logs).sum()
    }

    /// The parameters that make the counts most likely, smoothed.
    pub fn maximise(&mut self, counts: &Counts, smoothing: &Smoothing) {
        let states = self.states;
        let total: f32 = counts.root.iter().sum();
        for (p, count) in self.root.iter_mut().zip(&counts.root) {
            *p = (count + smoothing.edge / states as f32) / (total + smoothing.edge);
        }
        self.edges
            .par_iter_mut()
            .zip(&mut self.leaves)
            .enumerate()
            .for_each(|(column, (edge, leaf))| {
                if !edge.is_empty() {
                    maximise_edge(edge, &counts.edges[column], states, smoothing.edge);
                }
                let marginal = &smoothing.marginals[column];
                maximise_leaf(
                    leaf,
                    &counts.leaves[column],
                    states,
                    smoothing.leaf,
                    marginal,
                );
            });
    }
}

fn maximise_edge(edge: &mut [f32], counts: &[f32], states: usize, smoothing: f32) {
    let mut prior = vec![0f32; states];
    for counts in counts.chunks_exact(states) {
        for (sum, count) in prior.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let total: f32 = prior.iter().sum();
    // A tenth for all states alike: one that no row uses any more can still be found again.
    for share in &mut prior {
        *share = 0.9 * (*share / total.max(TINY)) + 0.1 / states as f32;
    }
    for (edge, counts) in edge
        .chunks_exact_mut(states)
        .zip(counts.chunks_exact(states))
    {
        let total: f32 = counts.iter().sum();
        let scale = 1.0 / (total + smoothing).max(TINY);
        for ((p, count), prior) in edge.iter_mut().zip(counts).zip(&prior) {
            *p = (count + smoothing * prior) * scale;
        }
    }
}

fn maximise_leaf(
    leaf: &mut [f32],
    counts: &[f32],
    states: usize,
    smoothing: f32,
    marginal: &[f32],
) {
    let mut totals = vec![0f32; states];
    for counts in counts.chunks_exact(states) {
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += count;
        }
    }
    for total in &mut totals {
        *total = 1.0 / (*total + smoothing).max(TINY);
    }
    let rows = leaf
        .chunks_exact_mut(states)
        .zip(counts.chunks_exact(states));
    for ((leaf, counts), share) in rows.zip(marginal) {
        for ((p, count), scale) in leaf.iter_mut().zip(counts).zip(&totals) {
            *p = (count + smoothing * share) * scale;
        }
    }
}
