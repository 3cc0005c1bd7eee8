//! `copula`: the Gaussian copula (Nelsen, 2006) with the table's own marginals.
//!
//! A row is a normal vector `z = L e` whose entries are turned, column by column, into uniform numbers and
//! on into values by the column's distribution; a category is an interval of the uniform numbers, and so
//! are NULL and inflated values. `L L'` is the correlation matrix of the columns' latent normals: of normal
//! scores, each the mean of the normal over the value's interval, made up for what the intervals blur.
//!
//! Given conditions, the columns concerned come first: each is drawn within what it is allowed given
//! those before, and the whole is kept as often as the later ones were likely. That is exact.

use std::f64::consts::SQRT_2;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use candle_core::cpu::erf::{erfc_f64, erfc_inv};
use candle_core::{Device, Tensor};
use datafusion_common::{DataFusionError, Result, exec_err};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use super::codec::{self, Encoded, EncodedColumn};
use super::symbols::{Alphabet, probability, with_few_values_as_categories};
use super::training::History;
use super::{
    Accepts, Codec, Condition, Data, Draw, Evidence, Kind, Model, ModelFile, OptionSpec, Options,
    Test, Watch, parse_options, rng, tensor_error,
};
use crate::learn::eigen::eigen;

const NAME: &str = "copula";

/// Rows whose products are taken at once.
const PORTION: usize = 4096;
/// The least eigenvalue of a correlation matrix, and the largest correlation.
const LEAST_EIGENVALUE: f64 = 1e-6;
const MOST_CORRELATION: f64 = 0.9999;
/// Draws for a row before conditions are given up.
const MOST_DRAWS: u64 = 100_000;

/// The kind `copula`.
#[derive(Debug, Clone, Copy)]
pub struct CopulaKind;

impl Kind for CopulaKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Gaussian copula with the table's own marginals, for tables; takes seconds"
    }

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = vec![OptionSpec {
            name: "seed",
            accepts: Accepts::Integer {
                default: 0,
                min: 0,
                max: i64::MAX,
            },
            help: "keys the spreading of integers over their steps",
        }];
        specs.extend(codec::options());
        specs
    }

    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>> {
        let codec = Codec::fit(data, &with_few_values_as_categories(self, data, options)?)?;
        let encoded = codec.encode(data.rows(), options.word("seed")?)?;
        let mut margins = Vec::with_capacity(encoded.columns.len());
        let mut columns = Vec::with_capacity(encoded.columns.len());
        for (i, encoded) in encoded.columns.iter().enumerate() {
            let (margin, symbols) = Margin::fit(&codec, i, encoded)?;
            margins.push(margin);
            columns.push(symbols);
            if watch.cancelled() {
                return exec_err!("the training was cancelled");
            }
        }
        drop(encoded);
        let correlation = correlation(&margins, &columns, data.num_rows())?;
        let about = About {
            options: options.clone(),
            codec,
            rows: data.num_rows() as u64,
        };
        Ok(Arc::new(Copula::new(about, margins, correlation)?))
    }

    fn load(&self, file: &ModelFile) -> Result<Arc<dyn Model>> {
        let given: Vec<(String, String)> = file.json("options")?;
        let about = About {
            options: parse_options(self, &given)?,
            codec: Codec::load(file)?,
            rows: file.json("rows")?,
        };
        let columns = about.codec.columns();
        let margins = columns
            .iter()
            .enumerate()
            .map(|(i, column)| Margin::load(column, i, file))
            .collect::<Result<Vec<_>>>()?;
        let values = file.numbers("copula.correlation")?;
        let count = margins.len();
        if values.len() != count * count || values.iter().any(|x| !x.is_finite()) {
            return exec_err!("the model file is damaged: copula.correlation");
        }
        let correlation = Mat::from_fn(count, count, |i, j| values[i * count + j]);
        Ok(Arc::new(Copula::new(about, margins, correlation)?))
    }
}

/// A column's symbols as intervals of a uniform number.
#[derive(Debug, Clone)]
struct Margin {
    alphabet: Alphabet,
    /// The symbols in the order of their intervals.
    order: Vec<u32>,
    /// Where each interval ends, the last at 1.
    ends: Vec<f64>,
    /// How many rows each symbol has, by symbol.
    counts: Vec<f64>,
}

impl Margin {
    fn fit(codec: &Codec, column: usize, encoded: &EncodedColumn) -> Result<(Self, Vec<u32>)> {
        let coder = &codec.columns()[column];
        let alphabet = Alphabet::fit(coder, encoded);
        let symbols = alphabet.symbols(encoded);
        let mut counts = vec![0.0; alphabet.len()];
        for &symbol in &symbols {
            counts[symbol as usize] += 1.0;
        }
        let field = codec.schema().field(column);
        let places: Vec<f64> = match alphabet.bins() {
            Some(bins) => (0..alphabet.len())
                .map(|symbol| match symbol.checked_sub(bins) {
                    None => Ok(symbol as f64),
                    // An inflated value stands before the bin that its value would fall into.
                    Some(other) => Ok(place(codec, column, other as u32 + 1)? * bins as f64 - 0.5),
                })
                .collect::<Result<_>>()?,
            None if field.data_type().is_numeric() || field.data_type().is_temporal() => {
                (0..alphabet.len()).map(|symbol| symbol as f64).collect()
            }
            None => counts.iter().map(|count| -count).collect(),
        };
        let mut order: Vec<u32> = (0..alphabet.len() as u32).collect();
        order.sort_by(|&a, &b| {
            let (a_place, b_place) = (places[a as usize], places[b as usize]);
            a_place.total_cmp(&b_place).then(a.cmp(&b))
        });
        Ok((Self::new(alphabet, order, counts), symbols))
    }

    fn new(alphabet: Alphabet, order: Vec<u32>, counts: Vec<f64>) -> Self {
        let total: f64 = counts.iter().sum();
        let mut sum = 0.0;
        let ends = order
            .iter()
            .map(|&symbol| {
                sum += counts[symbol as usize];
                sum / total.max(1.0)
            })
            .collect();
        Self {
            alphabet,
            order,
            ends,
            counts,
        }
    }

    fn save(&self, column: usize, file: &mut ModelFile) -> Result<()> {
        self.alphabet.save(&format!("alphabet.{column}"), file)?;
        let order: Vec<f64> = self.order.iter().map(|&symbol| f64::from(symbol)).collect();
        file.set_numbers(format!("copula.{column}.order"), &order)?;
        file.set_numbers(format!("copula.{column}.counts"), &self.counts)
    }

    fn load(coder: &codec::Column, column: usize, file: &ModelFile) -> Result<Self> {
        let alphabet = Alphabet::load(coder, &format!("alphabet.{column}"), file)?;
        let order: Vec<u32> = file
            .numbers(&format!("copula.{column}.order"))?
            .iter()
            .map(|&symbol| symbol as u32)
            .collect();
        let counts = file.numbers(&format!("copula.{column}.counts"))?;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..alphabet.len() as u32)
            || counts.len() != order.len()
            || counts
                .iter()
                .any(|&count| !(count.is_finite() && count >= 0.0))
        {
            return exec_err!("the model file is damaged: copula.{column}");
        }
        Ok(Self::new(alphabet, order, counts))
    }

    fn begin(&self, at: usize) -> f64 {
        match at.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0.0,
        }
    }

    /// The mean of the normal over each symbol's interval, by symbol.
    fn scores(&self) -> Vec<f64> {
        let mut scores = vec![0.0; self.order.len()];
        for (at, &symbol) in self.order.iter().enumerate() {
            let (begin, end) = (self.begin(at), self.ends[at]);
            if end > begin {
                let densities = density(quantile(begin)) - density(quantile(end));
                scores[symbol as usize] = densities / (end - begin);
            }
        }
        scores
    }

    /// The state and value at a uniform number.
    fn at(&self, uniform: f64) -> (u32, f32) {
        let at = self.ends.partition_point(|&end| end <= uniform);
        let at = at.min(self.order.len().saturating_sub(1));
        let Some(&symbol) = self.order.get(at) else {
            return (0, 0.0);
        };
        let (begin, end) = (self.begin(at), self.ends[at]);
        let within = (uniform - begin) / (end - begin).max(f64::MIN_POSITIVE);
        self.alphabet
            .draw(symbol, within.clamp(0.0, 1.0 - f64::EPSILON))
    }

    /// The spans of the latent normal that evidence allows, in ascending order.
    fn allowed(&self, evidence: &Evidence) -> Vec<(f64, f64)> {
        let by_symbol = self.alphabet.allowed(evidence);
        let mut spans: Vec<(f64, f64)> = Vec::new();
        for (at, &symbol) in self.order.iter().enumerate() {
            let (begin, width) = (self.begin(at), self.ends[at] - self.begin(at));
            for (low, high) in &by_symbol[symbol as usize] {
                let (low, high) = (begin + low * width, begin + high * width);
                match spans.last_mut() {
                    Some(last) if last.1 >= low => last.1 = last.1.max(high),
                    _ if high > low => spans.push((low, high)),
                    _ => {}
                }
            }
        }
        let normal = |(low, high)| (quantile(low), quantile(high));
        spans.into_iter().map(normal).collect()
    }
}

/// The share of the column's ordinary values below the value of another of its states; all for NULL.
fn place(codec: &Codec, column: usize, state: u32) -> Result<f64> {
    let mut encoded = Encoded::empty(codec.columns().len());
    encoded.columns[column] = EncodedColumn {
        states: vec![state],
        values: vec![0.0],
    };
    let value = codec.decode(&encoded, 1, Some(&[column]))?;
    if codec.columns()[column].null_state() == Some(state) {
        return Ok(2.0);
    }
    let condition = Condition {
        column,
        compared_as: None,
        test: Test::AtLeast(Arc::clone(value.column(0)), true),
    };
    let evidence = Evidence::of(codec, &[condition])?;
    let spans = evidence.into_iter().flatten().next();
    let first = spans.and_then(|evidence| evidence.values.first().copied());
    Ok(first.map_or(1.0, |(low, _)| probability(low)))
}

/// The correlations of the latent normals.
fn correlation(margins: &[Margin], columns: &[Vec<u32>], rows: usize) -> Result<Mat<f64>> {
    let count = margins.len();
    let scores: Vec<Vec<f64>> = margins.iter().map(Margin::scores).collect();
    // Mean 0 and the variance below, by their construction.
    let variances: Vec<f64> = margins
        .iter()
        .zip(&scores)
        .map(|(margin, scores)| {
            let squares = margin.counts.iter().zip(scores);
            squares.map(|(n, s)| n * s * s).sum::<f64>() / rows.max(1) as f64
        })
        .collect();
    let mut products = Mat::<f64>::zeros(count, count);
    for begin in (0..rows).step_by(PORTION) {
        let size = PORTION.min(rows - begin);
        let portion = Mat::from_fn(size, count, |i, j| {
            scores[j][columns[j][begin + i] as usize]
        });
        let (left, right) = (portion.transpose(), portion.as_ref());
        matmul(products.as_mut(), Accum::Add, left, right, 1.0, Par::Seq);
    }
    // To the first order, cov(E[x | interval], E[y | interval]) is the correlation times both variances.
    let mut matrix = Mat::from_fn(count, count, |i, j| {
        let scale = variances[i] * variances[j];
        match i == j {
            true => 1.0,
            false if scale < 1e-12 => 0.0,
            false => {
                let share = products[(i.max(j), i.min(j))] / rows.max(1) as f64 / scale;
                share.clamp(-MOST_CORRELATION, MOST_CORRELATION)
            }
        }
    });
    make_positive(&mut matrix)?;
    Ok(matrix)
}

/// The nearest matrix without eigenvalues below the least, scaled to ones on its diagonal.
fn make_positive(matrix: &mut Mat<f64>) -> Result<()> {
    let count = matrix.nrows();
    let Some((values, vectors)) = eigen(matrix.as_ref()) else {
        return exec_err!("the columns' correlations have no eigenvalues");
    };
    if values.iter().all(|value| *value >= LEAST_EIGENVALUE) {
        return Ok(());
    }
    let scaled = Mat::from_fn(count, count, |i, j| {
        vectors[(i, j)] * values[j].max(LEAST_EIGENVALUE)
    });
    let (left, right) = (scaled.as_ref(), vectors.transpose());
    matmul(matrix.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    let lengths: Vec<f64> = (0..count)
        .map(|i| matrix[(i, i)].max(1e-12).sqrt())
        .collect();
    *matrix = Mat::from_fn(count, count, |i, j| match i == j {
        true => 1.0,
        false => matrix[(i.max(j), i.min(j))] / (lengths[i] * lengths[j]),
    });
    Ok(())
}

/// The lower triangle `L` with `L L'` the matrix, its rows one after the other.
fn cholesky(mut matrix: Mat<f64>) -> Result<Vec<f64>> {
    let count = matrix.nrows();
    let request = factor::cholesky_in_place_scratch::<f64>(count, Par::Seq, Default::default());
    let found = factor::cholesky_in_place(
        matrix.as_mut(),
        Default::default(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(request)),
        Default::default(),
    );
    if found.is_err() {
        return exec_err!("the model file is damaged: copula.correlation");
    }
    let lower = (0..count * count).map(|at| (at / count, at % count));
    Ok(lower
        .map(|(i, j)| if j <= i { matrix[(i, j)] } else { 0.0 })
        .collect())
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn distribution(z: f64) -> f64 {
    0.5 * erfc_f64(-z / SQRT_2)
}

fn quantile(p: f64) -> f64 {
    match p {
        p if p <= 0.0 => f64::NEG_INFINITY,
        p if p >= 1.0 => f64::INFINITY,
        p => -SQRT_2 * erfc_inv(2.0 * p),
    }
}

/// What a model knows beside its parameters.
#[derive(Debug)]
struct About {
    options: Options,
    codec: Codec,
    rows: u64,
}

/// A trained copula.
#[derive(Debug)]
struct Copula {
    about: About,
    history: History,
    correlation: Mat<f64>,
    sampler: Sampler,
}

impl Copula {
    fn new(about: About, margins: Vec<Margin>, correlation: Mat<f64>) -> Result<Self> {
        let sampler = Sampler::new(&about.codec, margins, correlation.as_ref(), &[])?;
        Ok(Self {
            about,
            history: History::default(),
            correlation,
            sampler,
        })
    }
}

/// Draws from the copula, given spans for the first of its columns.
#[derive(Debug)]
struct Sampler {
    codec: Codec,
    margins: Vec<Margin>,
    /// The columns in the order of the triangle's rows.
    order: Vec<usize>,
    lower: Vec<f64>,
    /// The allowed spans of the first columns of the order.
    spans: Vec<Vec<(f64, f64)>>,
}

impl Sampler {
    fn new(
        codec: &Codec,
        margins: Vec<Margin>,
        correlation: MatRef<'_, f64>,
        evidence: &[Option<Evidence>],
    ) -> Result<Self> {
        let (mut order, mut spans) = (Vec::with_capacity(margins.len()), Vec::new());
        for (column, evidence) in evidence.iter().enumerate() {
            if let Some(evidence) = evidence {
                order.push(column);
                spans.push(margins[column].allowed(evidence));
            }
        }
        let rest = (0..margins.len()).filter(|column| !order.contains(column));
        let rest: Vec<usize> = rest.collect();
        order.extend(rest);
        let count = order.len();
        let permuted = Mat::from_fn(count, count, |i, j| correlation[(order[i], order[j])]);
        Ok(Self {
            codec: codec.clone(),
            lower: cholesky(permuted)?,
            margins,
            order,
            spans,
        })
    }

    /// The latent normals of a key, in the order of the columns' places.
    fn latent(&self, key: u64, noise: &mut [f64], latent: &mut [f64]) -> Result<()> {
        let count = noise.len();
        for turn in 0..MOST_DRAWS {
            let mut stream = rng::stream(key, NAME, turn);
            let mut likely = 1.0;
            for noise in noise.iter_mut().skip(self.spans.len()) {
                *noise = f64::from(rng::normal(&mut stream));
            }
            for (at, spans) in self.spans.iter().enumerate() {
                let row = &self.lower[at * count..];
                let mean: f64 = row[..at].iter().zip(&noise[..at]).map(|(l, e)| l * e).sum();
                let spread = row[at].max(f64::MIN_POSITIVE);
                let uniform = f64::from(rng::uniform(&mut stream));
                let fine = f64::from(rng::uniform(&mut stream)) / f64::from(1u32 << 24);
                let (share, drawn) = within(spans, mean, spread, uniform + fine);
                noise[at] = drawn;
                // What the first is allowed is as likely in every row.
                if at > 0 {
                    likely *= share;
                }
            }
            if self.spans.len() < 2 || f64::from(rng::uniform(&mut stream)) < likely {
                for (at, latent) in latent.iter_mut().enumerate() {
                    let row = &self.lower[at * count..][..=at];
                    *latent = row.iter().zip(&*noise).map(|(l, e)| l * e).sum();
                }
                return Ok(());
            }
        }
        exec_err!("almost no row that the model draws has all of this")
    }
}

/// The probability of spans under a normal, and a standardised draw from within them.
fn within(spans: &[(f64, f64)], mean: f64, spread: f64, uniform: f64) -> (f64, f64) {
    let standard = |z: f64| (z - mean) / spread;
    // The upper tail is turned over: differences of probabilities near 1 have no digits.
    let ends = |&(low, high): &(f64, f64)| match standard(low) > 0.0 {
        true => (
            distribution(-standard(high)),
            distribution(-standard(low)),
            true,
        ),
        false => (
            distribution(standard(low)),
            distribution(standard(high)),
            false,
        ),
    };
    let total: f64 = spans.iter().map(ends).map(|(a, b, _)| b - a).sum();
    let mut left = uniform * total;
    for span in spans {
        let (low, high, turned) = ends(span);
        if left < high - low {
            let z = quantile(low + left).clamp(-40.0, 40.0);
            return (total, if turned { -z } else { z });
        }
        left -= high - low;
    }
    let nearest = spans.first().map_or(0.0, |span| standard(span.0));
    (total, nearest.clamp(-40.0, 40.0))
}

impl Draw for Sampler {
    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        let count = self.margins.len();
        let mut wanted = vec![columns.is_none(); count];
        for &column in columns.unwrap_or_default() {
            wanted[column] = true;
        }
        let mut encoded = Encoded::empty(count);
        let (mut noise, mut latent) = (vec![0.0; count], vec![0.0; count]);
        for &key in keys {
            self.latent(key, &mut noise, &mut latent)?;
            for (&column, &z) in self.order.iter().zip(&latent) {
                if wanted[column] {
                    let (state, value) = self.margins[column].at(distribution(z));
                    encoded.columns[column].states.push(state);
                    encoded.columns[column].values.push(value);
                }
            }
        }
        self.codec.decode(&encoded, keys.len(), columns)
    }
}

impl Model for Copula {
    fn kind(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> &SchemaRef {
        self.about.codec.schema()
    }

    fn trained_on(&self) -> u64 {
        self.about.rows
    }

    fn codec(&self) -> Option<&Codec> {
        Some(&self.about.codec)
    }

    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        self.sampler.draw(keys, columns)
    }

    fn given(&self, conditions: &[Condition]) -> Result<Option<Arc<dyn Draw>>> {
        let evidence = Evidence::of(&self.about.codec, conditions)?;
        let sampler = Sampler::new(
            &self.about.codec,
            self.sampler.margins.clone(),
            self.correlation.as_ref(),
            &evidence,
        )?;
        Ok(Some(Arc::new(sampler)))
    }

    fn describe(&self) -> Vec<(String, String)> {
        let item = |name: &str, value: String| (name.to_string(), value);
        let count = self.correlation.nrows();
        let mut items = vec![
            item("kind", NAME.to_string()),
            item("rows", self.about.rows.to_string()),
            item("columns", count.to_string()),
        ];
        let pairs = (0..count).flat_map(|i| (0..i).map(move |j| (i, j)));
        let strongest = pairs.reduce(|best, pair| {
            match self.correlation[pair].abs() > self.correlation[best].abs() {
                true => pair,
                false => best,
            }
        });
        if let Some((i, j)) = strongest {
            let names = self.schema().fields();
            let what = format!(
                "{:.3} between {} and {}",
                self.correlation[(i, j)],
                names[j].name(),
                names[i].name()
            );
            items.push(item("strongest correlation", what));
        }
        for (name, value) in self.about.options.pairs() {
            items.push((format!("option {name}"), value));
        }
        for (name, what) in self.about.codec.describe() {
            items.push((format!("column {name}"), what));
        }
        items
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = |error: serde_json::Error| DataFusionError::External(Box::new(error));
        let mut file = ModelFile::default();
        file.set_text("kind", NAME);
        file.set_text("rows", self.about.rows.to_string());
        let options = serde_json::to_string(&self.about.options.pairs()).map_err(json)?;
        file.set_text("options", options);
        self.about.codec.save(&mut file)?;
        for (i, margin) in self.sampler.margins.iter().enumerate() {
            margin.save(i, &mut file)?;
        }
        let count = self.correlation.nrows();
        let values: Vec<f64> = (0..count * count)
            .map(|at| self.correlation[(at / count, at % count)])
            .collect();
        let tensor =
            Tensor::from_slice(&values, values.len(), &Device::Cpu).map_err(tensor_error)?;
        file.set_tensor("copula.correlation", tensor);
        file.to_bytes()
    }
}

#[cfg(test)]
mod tests;
