//! Columns as symbols of a finite alphabet, for models whose leaves are tables of probabilities.
//!
//! A symbol is a state of the codec. The values of a numeric column are divided into bins of equal
//! probability, each a symbol; where a column has very many categories, the rare ones share symbols and are
//! told apart by their frequency. Within its symbol a row is drawn independently of everything else.

use std::collections::HashSet;
use std::f64::consts::SQRT_2;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use candle_core::cpu::erf::{erfc_f64, erfc_inv};
use datafusion_common::{Result, exec_err, plan_err};

use super::codec::{Column, EncodedColumn};
use super::condition::Evidence;
use super::{Data, Kind, ModelFile, Options, parse_options};

/// Numbers of at most this many different values ...
const MOST_VALUES: usize = 1024;
/// ... each seen this often on average are taken one by one: what a bin would blur stays as it is.
const ROWS_PER_VALUE: usize = 20;
/// A column of more states than this has symbols that several states share.
const MOST_SYMBOLS: usize = 1024;
/// So many of them are for the states that share.
const SHARED_SYMBOLS: usize = 256;
/// Rows a bin holds, on average, and how many bins there are at most.
const ROWS_PER_BIN: usize = 20;
const MOST_BINS: usize = 128;

/// Options in which numeric columns of few different values are categorical.
///
/// # Errors
/// If they want numbers in another form than by their quantiles, of which symbols are made.
pub fn with_few_values_as_categories(
    kind: &dyn Kind,
    data: &Data,
    options: &Options,
) -> Result<Options> {
    let schema = data.schema();
    if options.choice("form")? != "quantile" || !options.columns("gmm")?.is_empty() {
        return plan_err!(
            "USING {}: numbers are learnt by their quantiles; leave out OPTIONS form and gmm",
            kind.name()
        );
    }
    let numeric = options.columns("numeric")?;
    let moments = options.columns("datetime")?;
    let mut categorical = options.columns("categorical")?.to_vec();
    for (field, array) in schema.fields().iter().zip(data.rows().columns()) {
        if !numeric.contains(field.name())
            && !moments.contains(field.name())
            && !categorical.contains(field.name())
            && has_few_values(array)?
        {
            categorical.push(field.name().clone());
        }
    }
    let value = super::Value::Columns(categorical).to_string();
    let given: Vec<(String, String)> = options
        .pairs()
        .into_iter()
        .map(|(name, text)| match name.as_str() {
            "categorical" => (name, value.clone()),
            _ => (name, text),
        })
        .collect();
    parse_options(kind, &given)
}

fn has_few_values(array: &ArrayRef) -> Result<bool> {
    let mut seen: HashSet<u64> = HashSet::new();
    let mut present = 0;
    let mut few = |bits: u64| {
        present += 1;
        seen.insert(bits);
        seen.len() <= MOST_VALUES
    };
    let all = match array.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let floats = cast(array, &DataType::Float64)?;
            let finite = floats.as_primitive::<Float64Type>().iter().flatten();
            finite
                .filter(|x| x.is_finite())
                .map(|x| (x + 0.0).to_bits())
                .all(&mut few)
        }
        data_type if data_type.is_integer() => {
            let integers = cast(array, &DataType::Int64)?;
            let values = integers.as_primitive::<Int64Type>().iter().flatten();
            values.map(|x| x as u64).all(&mut few)
        }
        _ => false,
    };
    Ok(all && present >= ROWS_PER_VALUE * seen.len())
}

/// The symbols of one column.
#[derive(Debug, Clone)]
pub struct Alphabet {
    symbols: Symbols,
}

#[derive(Debug, Clone)]
enum Symbols {
    /// One a state.
    States(usize),
    /// Several states to a symbol.
    Shared(Shared),
    /// One a bin of the first state's values, and one for each of the other states.
    Binned {
        bins: usize,
        states: usize,
        /// The pieces of each bin that may be drawn; none where all may.
        pieces: Option<Vec<Vec<Piece>>>,
    },
}

#[derive(Debug, Clone)]
struct Shared {
    symbol_of: Vec<u32>,
    counts: Vec<f64>,
    /// Where the members of each symbol begin, and where those of the last end.
    begins: Vec<usize>,
    members: Vec<u32>,
    /// The share of a symbol's rows up to and including each member.
    cumulative: Vec<f64>,
}

/// A span of values, and the probability from which on and to which it goes.
#[derive(Debug, Clone, Copy)]
struct Piece {
    probability: (f64, f64),
    value: (f32, f32),
}

impl Alphabet {
    /// Divides a column's states and values.
    pub fn fit(column: &Column, encoded: &EncodedColumn) -> Self {
        let states = column.states();
        let symbols = if column.has_value() {
            let rows = encoded.states.iter().filter(|&&state| state == 0).count();
            Symbols::Binned {
                bins: (rows / ROWS_PER_BIN).clamp(1, MOST_BINS),
                states,
                pieces: None,
            }
        } else if states > MOST_SYMBOLS {
            let mut counts = vec![0.0; states];
            for &state in &encoded.states {
                counts[state as usize] += 1.0;
            }
            Symbols::Shared(Shared::fit(counts))
        } else {
            Symbols::States(states)
        };
        Self { symbols }
    }

    /// A symbol a state.
    #[cfg(test)]
    pub fn states(states: usize) -> Self {
        let symbols = Symbols::States(states);
        Self { symbols }
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        match &self.symbols {
            Symbols::States(states) => *states,
            Symbols::Shared(shared) => shared.begins.len() - 1,
            Symbols::Binned { bins, states, .. } => bins + states - 1,
        }
    }

    /// The symbol of a state and its value.
    pub fn symbol(&self, state: u32, value: f32) -> u32 {
        match &self.symbols {
            Symbols::States(_) => state,
            Symbols::Shared(shared) => shared.symbol_of[state as usize],
            Symbols::Binned { bins, .. } => match state {
                0 => bin_of(probability(value), *bins) as u32,
                _ => *bins as u32 + state - 1,
            },
        }
    }

    /// The symbols of a column's rows.
    pub fn symbols(&self, encoded: &EncodedColumn) -> Vec<u32> {
        let values = encoded.values.iter().copied();
        let values = values.chain(std::iter::repeat(0.0));
        let rows = encoded.states.iter().zip(values);
        rows.map(|(&state, value)| self.symbol(state, value))
            .collect()
    }

    /// A state and its value, drawn from those of a symbol by a uniform number.
    pub fn draw(&self, symbol: u32, uniform: f64) -> (u32, f32) {
        match &self.symbols {
            Symbols::States(_) => (symbol, 0.0),
            Symbols::Shared(shared) => (shared.draw(symbol as usize, uniform), 0.0),
            Symbols::Binned { bins, pieces, .. } => {
                let bin = symbol as usize;
                if bin >= *bins {
                    return ((bin - bins) as u32 + 1, 0.0);
                }
                let value = match pieces {
                    None => normal((bin as f64 + uniform) / *bins as f64),
                    Some(pieces) => draw_piece(&pieces[bin], uniform),
                };
                (0, value)
            }
        }
    }

    /// What evidence leaves of the alphabet, and the share of each symbol that it leaves.
    pub fn given(&self, evidence: &Evidence) -> (Self, Vec<f64>) {
        let share = |state: usize| match evidence.states.get(state) {
            Some(true) => 1.0,
            _ => 0.0,
        };
        match &self.symbols {
            Symbols::States(states) => (self.clone(), (0..*states).map(share).collect()),
            Symbols::Shared(shared) => {
                let (shared, shares) = shared.given(&evidence.states);
                let symbols = Symbols::Shared(shared);
                (Self { symbols }, shares)
            }
            Symbols::Binned { bins, states, .. } => {
                let pieces = pieces_of(&evidence.values, *bins);
                let width = |pieces: &Vec<Piece>| -> f64 { pieces.iter().map(Piece::width).sum() };
                let mut shares: Vec<f64> = pieces
                    .iter()
                    .map(|p| (width(p) * *bins as f64).min(1.0))
                    .collect();
                shares.extend((1..*states).map(share));
                let symbols = Symbols::Binned {
                    bins: *bins,
                    states: *states,
                    pieces: Some(pieces),
                };
                (Self { symbols }, shares)
            }
        }
    }

    /// The uniform numbers, as spans from 0 to 1, by which [`Self::draw`] draws what evidence allows of
    /// each symbol.
    pub fn allowed(&self, evidence: &Evidence) -> Vec<Vec<(f64, f64)>> {
        let whole = |state: usize| match evidence.states.get(state) {
            Some(true) => vec![(0.0, 1.0)],
            _ => Vec::new(),
        };
        match &self.symbols {
            Symbols::States(states) => (0..*states).map(whole).collect(),
            Symbols::Shared(shared) => (0..self.len())
                .map(|symbol| {
                    let members = shared.begins[symbol]..shared.begins[symbol + 1];
                    let first = members.start;
                    members
                        .filter(|&at| {
                            evidence.states.get(shared.members[at] as usize) == Some(&true)
                        })
                        .map(|at| match at == first {
                            true => (0.0, shared.cumulative[at]),
                            false => (shared.cumulative[at - 1], shared.cumulative[at]),
                        })
                        .collect()
                })
                .collect(),
            Symbols::Binned { bins, states, .. } => {
                let local = |bin: usize, p: f64| (p * *bins as f64 - bin as f64).clamp(0.0, 1.0);
                let pieces = pieces_of(&evidence.values, *bins).into_iter().enumerate();
                pieces
                    .map(|(bin, pieces)| {
                        let ends = pieces.iter().map(|piece| piece.probability);
                        ends.map(|(a, b)| (local(bin, a), local(bin, b))).collect()
                    })
                    .chain((1..*states).map(whole))
                    .collect()
            }
        }
    }

    /// How many bins there are, for a column with values.
    pub fn bins(&self) -> Option<usize> {
        match &self.symbols {
            Symbols::Binned { bins, .. } => Some(*bins),
            _ => None,
        }
    }

    /// Writes the alphabet into a model file.
    pub fn save(&self, prefix: &str, file: &mut ModelFile) -> Result<()> {
        match &self.symbols {
            Symbols::States(_) => Ok(()),
            Symbols::Binned { bins, .. } => {
                file.set_numbers(format!("{prefix}.bins"), &[*bins as f64])
            }
            Symbols::Shared(shared) => file.set_numbers(format!("{prefix}.counts"), &shared.counts),
        }
    }

    /// Reads a column's alphabet from a model file.
    pub fn load(column: &Column, prefix: &str, file: &ModelFile) -> Result<Self> {
        let states = column.states();
        let symbols = if column.has_value() {
            let bins = file.numbers(&format!("{prefix}.bins"))?;
            match bins[..] {
                [bins] if bins >= 1.0 && bins <= MOST_BINS as f64 => Symbols::Binned {
                    bins: bins as usize,
                    states,
                    pieces: None,
                },
                _ => return exec_err!("the model file is damaged: {prefix}.bins"),
            }
        } else if states > MOST_SYMBOLS {
            let counts = file.numbers(&format!("{prefix}.counts"))?;
            if counts.len() != states || counts.iter().any(|&x| !(x.is_finite() && x >= 0.0)) {
                return exec_err!("the model file is damaged: {prefix}.counts");
            }
            Symbols::Shared(Shared::fit(counts))
        } else {
            Symbols::States(states)
        };
        Ok(Self { symbols })
    }
}

impl Shared {
    /// The most frequent states have a symbol each; the others share, neighbours in order with each
    /// other and about as many rows to a symbol.
    fn fit(counts: Vec<f64>) -> Self {
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by(|&a, &b| counts[b].total_cmp(&counts[a]).then(a.cmp(&b)));
        let own = MOST_SYMBOLS - SHARED_SYMBOLS;
        let mut rest = order.split_off(own.min(order.len()));
        rest.sort_unstable();
        let total: f64 = rest.iter().map(|&state| counts[state]).sum();
        let mut symbol_of = vec![0; counts.len()];
        for (symbol, &state) in order.iter().enumerate() {
            symbol_of[state] = symbol as u32;
        }
        let mut before = 0.0;
        let (mut symbol, mut last) = (order.len(), None);
        for &state in &rest {
            let wanted = (before / total.max(1.0) * SHARED_SYMBOLS as f64) as usize;
            // Symbols are numbered without gaps, also where one state is as frequent as several symbols.
            if last.is_some_and(|last| last != wanted) {
                symbol += 1;
            }
            last = Some(wanted);
            symbol_of[state] = symbol as u32;
            before += counts[state];
        }
        let symbols = symbol_of.iter().max().map_or(0, |&last| last as usize + 1);
        let (mut shared, _) = Self {
            symbol_of,
            counts,
            begins: vec![0; symbols + 1],
            members: Vec::new(),
            cumulative: Vec::new(),
        }
        .given(&[]);
        shared.counts.shrink_to_fit();
        shared
    }

    /// Only the allowed states, all if none is named, and the share of each symbol's rows that they have.
    fn given(&self, allowed: &[bool]) -> (Self, Vec<f64>) {
        let symbols = self.begins.len() - 1;
        let mut all = vec![0.0; symbols];
        let mut left = vec![0.0; symbols];
        let mut begins = vec![0; symbols + 1];
        let is_allowed = |state: usize| allowed.is_empty() || allowed.get(state) == Some(&true);
        for (state, &symbol) in self.symbol_of.iter().enumerate() {
            all[symbol as usize] += self.counts[state];
            if is_allowed(state) {
                left[symbol as usize] += self.counts[state];
                begins[symbol as usize + 1] += 1;
            }
        }
        for i in 0..symbols {
            begins[i + 1] += begins[i];
        }
        let mut next = begins.clone();
        let mut members = vec![0; begins[symbols]];
        let mut cumulative = vec![0.0; begins[symbols]];
        let mut sums = vec![0.0; symbols];
        for (state, &symbol) in self.symbol_of.iter().enumerate() {
            if is_allowed(state) {
                let symbol = symbol as usize;
                sums[symbol] += self.counts[state];
                members[next[symbol]] = state as u32;
                cumulative[next[symbol]] = sums[symbol] / left[symbol].max(f64::MIN_POSITIVE);
                next[symbol] += 1;
            }
        }
        let shares = left.iter().zip(&all);
        let shares = shares.map(|(left, all)| left / all.max(1.0)).collect();
        let shared = Self {
            symbol_of: self.symbol_of.clone(),
            counts: self.counts.clone(),
            begins,
            members,
            cumulative,
        };
        (shared, shares)
    }

    fn draw(&self, symbol: usize, uniform: f64) -> u32 {
        let range = self.begins[symbol]..self.begins[symbol + 1];
        let members = &self.members[range.clone()];
        let at = self.cumulative[range].partition_point(|&share| share <= uniform);
        members
            .get(at)
            .or(members.last())
            .copied()
            .unwrap_or_default()
    }
}

impl Piece {
    /// Not nothing even where both ends are the same value.
    fn width(&self) -> f64 {
        (self.probability.1 - self.probability.0).max(1e-12)
    }
}

fn pieces_of(spans: &[(f32, f32)], bins: usize) -> Vec<Vec<Piece>> {
    let mut pieces = vec![Vec::new(); bins];
    for &value in spans {
        let (begin, end) = (probability(value.0), probability(value.1));
        for (bin, pieces) in pieces
            .iter_mut()
            .enumerate()
            .take(bin_of(end, bins) + 1)
            .skip(bin_of(begin, bins))
        {
            let low = begin.max(bin as f64 / bins as f64);
            let high = end.min((bin + 1) as f64 / bins as f64);
            pieces.push(Piece {
                probability: (low, high.max(low)),
                value,
            });
        }
    }
    pieces
}

fn draw_piece(pieces: &[Piece], uniform: f64) -> f32 {
    let total: f64 = pieces.iter().map(Piece::width).sum();
    let mut left = uniform * total;
    for piece in pieces {
        let width = piece.width();
        if left < width {
            let value = normal(piece.probability.0 + left);
            return value.clamp(piece.value.0, piece.value.1);
        }
        left -= width;
    }
    pieces.last().map_or(0.0, |piece| piece.value.1)
}

fn bin_of(probability: f64, bins: usize) -> usize {
    ((probability * bins as f64) as usize).min(bins - 1)
}

/// The standard normal's distribution function.
pub fn probability(value: f32) -> f64 {
    0.5 * erfc_f64(-f64::from(value) / SQRT_2)
}

/// The standard normal's quantile.
pub fn normal(probability: f64) -> f32 {
    let probability = probability.clamp(1e-15, 1.0 - 1e-15);
    (-SQRT_2 * erfc_inv(2.0 * probability)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_states_share_symbols_and_are_drawn_by_their_frequency() {
        let counts: Vec<f64> = (0..5000).map(|i| f64::from(5000 - i % 2500)).collect();
        let alphabet = Alphabet {
            symbols: Symbols::Shared(Shared::fit(counts)),
        };
        assert!(alphabet.len() <= MOST_SYMBOLS, "{}", alphabet.len());
        for state in 0..5000 {
            let symbol = alphabet.symbol(state, 0.0);
            let drawn: HashSet<u32> = (0..200)
                .map(|i| alphabet.draw(symbol, f64::from(i) / 200.0).0)
                .collect();
            assert!(drawn.contains(&state), "{state}");
            assert!(
                drawn
                    .iter()
                    .all(|&other| alphabet.symbol(other, 0.0) == symbol)
            );
        }
        let mut states = vec![false; 5000];
        states[4999] = true;
        let (one, shares) = alphabet.given(&Evidence {
            states,
            values: Vec::new(),
        });
        let symbol = alphabet.symbol(4999, 0.0);
        assert_eq!(one.draw(symbol, 0.3), (4999, 0.0));
        let with_rows = shares.iter().filter(|&&share| share > 0.0).count();
        assert_eq!(with_rows, 1);
        assert!(shares[symbol as usize] < 1.0);
    }

    #[test]
    fn evidence_cuts_bins_to_their_share() {
        let alphabet = Alphabet {
            symbols: Symbols::Binned {
                bins: 10,
                states: 2,
                pieces: None,
            },
        };
        let spans = vec![(normal(0.05), normal(0.25)), (normal(0.9), 40.0)];
        let (cut, shares) = alphabet.given(&Evidence {
            states: vec![true, false],
            values: spans.clone(),
        });
        let wanted = [0.5, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        for (share, wanted) in shares.iter().zip(wanted) {
            assert!((share - wanted).abs() < 1e-5, "{shares:?}");
        }
        for i in 0..100 {
            let (state, value) = cut.draw(2, f64::from(i) / 100.0);
            assert_eq!(state, 0);
            assert!((spans[0].0..=spans[0].1).contains(&value), "{value}");
        }
    }
}
