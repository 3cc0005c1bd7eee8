//! Learning a circuit: where it begins, how it steps, when it stops.
//!
//! Stepwise expectation maximisation (Cappé and Moulines, 2009): each mini-batch moves running counts
//! towards its own by a step that grows smaller. Every hidden state begins as one row of the table, half
//! forgotten. The parameters kept are those most likely for rows held out; a last step over all rows, those
//! held out as well, makes the circuit's marginals those of the table.

use datafusion_common::{Result, exec_err};

use super::em::{Circuit, Counts, Smoothing, Workspace};
use super::tree::Tree;
use crate::synthesize::training::History;
use crate::synthesize::{Options, Watch, rng};

/// Rows a hidden state has, at least and on average.
const ROWS_PER_STATE: usize = 10;
/// An epoch sees no more rows than this: very many rows need fewer passes.
const MOST_EPOCH_ROWS: usize = 131_072;
/// Tables of fewer rows have none to hold out.
const LEAST_HELD_OUT: usize = 20;
const MOST_HELD_OUT: usize = 20_000;
/// Bytes that the messages of a mini-batch may take.
const MESSAGE_BYTES: usize = 256 << 20;
/// The share of its own row that a hidden state forgets, for the table's in its place.
const FORGOTTEN: f32 = 0.5;
/// What a held-out row's likelihood must gain to count as progress.
const PROGRESS: f64 = 1e-3;

/// The settings, by the names of the options.
#[derive(Debug, Clone)]
pub struct Config {
    pub states: usize,
    pub epochs: usize,
    pub batch_size: usize,
    pub first_step: f64,
    pub last_step: f64,
    pub leaf_smoothing: f64,
    pub edge_smoothing: f64,
    pub holdout: f64,
    pub patience: usize,
    pub seed: u64,
}

impl Config {
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            states: options.integer("states")?,
            epochs: options.integer("epochs")?,
            batch_size: options.integer("batch_size")?,
            first_step: options.number("first_step")?,
            last_step: options.number("last_step")?,
            leaf_smoothing: options.number("leaf_smoothing")?,
            edge_smoothing: options.number("edge_smoothing")?,
            holdout: options.number("holdout")?,
            patience: options.integer("patience")?,
            seed: options.word("seed")?,
        })
    }
}

/// Columns of symbols.
#[derive(Debug)]
pub struct Table {
    pub columns: Vec<Vec<u32>>,
    /// How many symbols each column has.
    pub sizes: Vec<usize>,
    /// Whether a column's symbols have an order.
    pub ordered: Vec<bool>,
}

impl Table {
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// The share of each symbol; a hundredth of a row for those that no row has.
    fn marginals(&self) -> Vec<Vec<f32>> {
        let rows = self.rows() as f64;
        self.columns
            .iter()
            .zip(&self.sizes)
            .map(|(column, &size)| {
                let mut counts = vec![0.01f64; size];
                for &symbol in column {
                    counts[symbol as usize] += 1.0;
                }
                let total = rows + 0.01 * size as f64;
                counts.iter().map(|count| (count / total) as f32).collect()
            })
            .collect()
    }
}

/// Every hidden state begins as one row.
pub fn begin(tree: Tree, table: &Table, marginals: &[Vec<f32>], rows: &[u32]) -> Circuit {
    let states = rows.len();
    let leaves = table
        .columns
        .iter()
        .zip(marginals)
        .map(|(column, marginal)| {
            let mut leaf = Vec::with_capacity(marginal.len() * states);
            for share in marginal {
                leaf.resize(leaf.len() + states, share * FORGOTTEN);
            }
            for (state, &row) in rows.iter().enumerate() {
                leaf[column[row as usize] as usize * states + state] += 1.0 - FORGOTTEN;
            }
            leaf
        })
        .collect();
    let any = FORGOTTEN / states as f32;
    let edges = tree
        .parents
        .iter()
        .map(|parent| match parent {
            None => Vec::new(),
            Some(_) => (0..states * states)
                .map(|i| match i / states == i % states {
                    true => any + 1.0 - FORGOTTEN,
                    false => any,
                })
                .collect(),
        })
        .collect();
    Circuit {
        states,
        tree,
        root: vec![1.0 / states as f32; states],
        edges,
        leaves,
    }
}

/// Learns a circuit, and gives the losses: the mean negative log-likelihood of a row.
pub fn learn(config: &Config, table: &Table, watch: &dyn Watch) -> Result<(Circuit, History)> {
    let start = std::time::Instant::now();
    let count = table.rows();
    let mut order = rng::permutation(count, config.seed, "hold out", 0);
    let held_out = ((count as f64 * config.holdout) as usize).min(MOST_HELD_OUT);
    let held_out = match held_out >= LEAST_HELD_OUT {
        true => order.split_off(count - held_out),
        false => Vec::new(),
    };
    let states = config
        .states
        .min(order.len().div_ceil(ROWS_PER_STATE))
        .max(1);
    let smoothing = Smoothing {
        leaf: config.leaf_smoothing as f32,
        edge: config.edge_smoothing as f32,
        marginals: table.marginals(),
    };
    let tree = Tree::fit(&table.columns, &table.sizes, &table.ordered);
    let mut circuit = begin(tree, table, &smoothing.marginals, &order[..states]);
    let mut counts = Counts::none(&circuit);
    let mut workspace = Workspace::default();

    let row_bytes = 12 * states * table.columns.len();
    let batch = config
        .batch_size
        .min(order.len().div_ceil(8))
        .min(MESSAGE_BYTES / row_bytes)
        .max(16)
        .min(order.len());
    let batches = (order.len().min(MOST_EPOCH_ROWS) / batch).max(1);
    let steps = (batches * config.epochs) as f64;
    let mut history = History {
        names: vec!["training".to_string(), "held out".to_string()],
        ..History::default()
    };
    let mut best: Option<(f64, Circuit)> = None;
    let mut idle = 0;
    let mut step = 0.0;
    for epoch in 0..config.epochs {
        let shuffle = rng::permutation(order.len(), config.seed, "epoch", epoch as u64);
        let mut sum = 0.0;
        for places in shuffle.chunks_exact(batch).take(batches) {
            if watch.cancelled() {
                return exec_err!("the training was cancelled in epoch {}", epoch + 1);
            }
            let rows: Vec<u32> = places.iter().map(|&at| order[at as usize]).collect();
            // The first mini-batch has nothing to be weighed against.
            let size = match step {
                0.0 => 1.0,
                _ => (config.first_step * (1.0 - step / steps)).max(config.last_step),
            };
            let weight = size * order.len() as f64 / batch as f64;
            let sizes = ((1.0 - size) as f32, weight as f32);
            sum += circuit.count(&table.columns, &rows, &mut counts, sizes, &mut workspace);
            circuit.maximise(&counts, &smoothing);
            step += 1.0;
        }
        let training = -sum / (batches * batch) as f64;
        let judged = match held_out.is_empty() {
            true => training,
            false => {
                let logs = circuit.log_likelihood(&table.columns, &held_out);
                -logs.iter().sum::<f64>() / held_out.len() as f64
            }
        };
        if !(training.is_finite() && judged.is_finite()) {
            return exec_err!(
                "the training came apart: a row's log-likelihood is {judged} in epoch {}; \
                 raise leaf_smoothing and edge_smoothing",
                epoch + 1
            );
        }
        history.epochs.push(vec![training as f32, judged as f32]);
        let detail = format!("training {training:.3}, held out {judged:.3}");
        watch.epoch(epoch as u64 + 1, config.epochs as u64, &detail);
        let gain = best
            .as_ref()
            .map_or(f64::INFINITY, |(best, _)| best - judged);
        idle = if gain > PROGRESS { 0 } else { idle + 1 };
        if gain > 0.0 {
            best = Some((judged, circuit.clone()));
        }
        if idle >= config.patience {
            break;
        }
    }
    if let Some((_, best)) = best {
        circuit = best;
    }

    order.extend(&held_out);
    let mut counts = Counts::none(&circuit);
    for rows in order.chunks(batch) {
        if watch.cancelled() {
            return exec_err!("the training was cancelled in the last step");
        }
        circuit.count(
            &table.columns,
            rows,
            &mut counts,
            (1.0, 1.0),
            &mut workspace,
        );
    }
    circuit.maximise(&counts, &smoothing);
    history.seconds = start.elapsed().as_secs_f64();
    Ok((circuit, history))
}
