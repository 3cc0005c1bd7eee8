//! A trained network that draws rows, whatever way it was trained: its file, and drawing from it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::{DataFusionError, Result, exec_err, plan_err};
use rayon::prelude::*;

use super::codec::Encoded;
use super::layers::{Heads, Mapping, Mlp, NO_CONDITION, Network, Statistics, Tape};
use super::training::{Common, Done, History};
use super::training_by_sampling::{Conditions, Drawn, Wanted};
use super::{
    BLOCK, Codec, Condition, Data, Draw, Evidence, Kind, Model, ModelFile, OptionSpec, Options,
    Watch, codec, nearest, parse_options, rng, tensor_error,
};

/// The most numbers that networks may have: four of single precision each, 1.6 GB while they are trained.
const MOST_PARAMETERS: usize = 100_000_000;

/// A kind of model whose rows a network makes from noise.
pub trait NeuralKind: Debug + Send + Sync + 'static {
    const NAME: &'static str;
    const SUMMARY: &'static str;

    /// The options beside those of the codec.
    fn own_options(&self) -> Vec<OptionSpec>;

    /// Options that a model must share with the one it is started from.
    fn architecture(&self) -> &'static [&'static str];

    /// How numbers stand in the model if nothing is said.
    fn form(&self) -> &'static str {
        "quantile"
    }

    /// Whether the network sees conditions.
    fn conditional(&self) -> bool {
        false
    }

    /// The network that rows are drawn with; how much noise it begins with.
    fn generator(
        &self,
        options: &Options,
        heads: &Heads,
        conditions: usize,
    ) -> Result<(Mlp, usize)>;

    /// Trains networks on a table.
    fn fit(&self, task: Task<'_>) -> Result<Trained>;
}

impl<K: NeuralKind> Kind for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn summary(&self) -> &'static str {
        K::SUMMARY
    }

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = self.own_options();
        specs.extend(codec::options_with_form(self.form()));
        specs
    }

    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>> {
        train(self, data, options, watch)
    }

    fn resume(
        &self,
        base: &dyn Model,
        data: &Data,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        resume(self, base, data, options, watch)
    }

    fn transfer(
        &self,
        base: &dyn Model,
        data: &Data,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        transfer(self, base, data, options, watch)
    }

    fn load(&self, file: &ModelFile) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(Neural::new(self, file.clone())?))
    }
}

/// What a training is given.
pub struct Task<'a> {
    pub options: &'a Options,
    pub common: &'a Common,
    pub heads: &'a Heads,
    pub conditions: &'a Conditions,
    pub codec: &'a Codec,
    pub encoded: &'a Encoded,
    pub rows: usize,
    pub start: Start<'a>,
    pub watch: &'a dyn Watch,
}

/// Where weights begin.
#[derive(Debug)]
pub enum Start<'a> {
    Fresh,
    /// As another training left them, its optimiser's moments included.
    Resume {
        file: &'a ModelFile,
        done: Done,
    },
    /// As those of a model of another table, where there is a place for them.
    Transfer {
        file: &'a ModelFile,
        mapping: Mapping,
    },
}

impl Task<'_> {
    /// How far an earlier training has come.
    pub fn done(&self) -> Done {
        match self.start {
            Start::Resume { done, .. } => done,
            _ => Done::default(),
        }
    }

    /// Makes sure that the networks fit into memory, before there are any.
    pub fn check_size(&self, parameters: usize) -> Result<()> {
        if parameters > MOST_PARAMETERS {
            return exec_err!(
                "the networks would have {parameters} weights, more than the {MOST_PARAMETERS} \
                 allowed: leave out columns of many categories, or write narrower layers"
            );
        }
        // Weights, gradients and two moments.
        self.watch.reserve(parameters.saturating_mul(16))
    }

    /// Weights as the start has them. `saved` is the prefix of those that are sampled from, `training` of
    /// those that were trained.
    pub fn begin(&self, network: &mut impl Network, saved: &str, training: &str) -> Result<()> {
        match &self.start {
            Start::Fresh => Ok(()),
            Start::Resume { file, .. } => {
                network.restore(training, file)?;
                network.restore_moments(training, file)
            }
            Start::Transfer { file, mapping } => {
                let tensors = file.tensors(saved);
                let bare = tensors
                    .into_iter()
                    .filter_map(|(name, tensor)| {
                        Some((name.strip_prefix(saved)?.to_string(), tensor))
                    })
                    .collect();
                mapping.adopt(network, &bare)
            }
        }
    }
}

/// What a training gives.
#[derive(Debug)]
pub struct Trained {
    /// Weights and what is needed to go on.
    pub file: ModelFile,
    pub history: History,
    pub done: Done,
}

/// Trains a model of a kind from nothing.
fn train(
    kind: &impl NeuralKind,
    data: &Data,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Arc<dyn Model>> {
    if Common::new(options)?.freeze {
        return plan_err!(
            "freeze keeps what another model has learnt: write CREATE MODEL ... USING {} FROM model",
            kind.name()
        );
    }
    let codec = Codec::fit(data, options)?;
    run(
        kind,
        data,
        options,
        watch,
        codec,
        |_, _, _| Ok(Start::Fresh),
        None,
    )
}

/// Goes on with a model on the same columns.
fn resume(
    kind: &impl NeuralKind,
    base: &dyn Model,
    data: &Data,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Arc<dyn Model>> {
    let file = ModelFile::from_bytes(&base.to_bytes()?)?;
    let codec = Codec::load(&file)?;
    let (known, given) = (base.schema(), data.schema());
    let alike = known.fields().len() == given.fields().len()
        && known
            .fields()
            .iter()
            .zip(given.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
    if !alike {
        let names: Vec<&str> = known.fields().iter().map(|f| f.name().as_str()).collect();
        return plan_err!(
            "a training goes on with the columns it began with: {}; for another table write \
             CREATE MODEL ... USING {} FROM model",
            names.join(", "),
            kind.name()
        );
    }
    let done: Done = file.json("done")?;
    let before = base.history().clone();
    let start = |_: &Codec, _: &Heads, _: &Conditions| Ok(Start::Resume { file: &file, done });
    run(kind, data, options, watch, codec, start, Some(before))
}

/// Takes a model to another table.
fn transfer(
    kind: &impl NeuralKind,
    base: &dyn Model,
    data: &Data,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Arc<dyn Model>> {
    if !base.kind().eq_ignore_ascii_case(kind.name()) {
        return plan_err!(
            "a {} cannot start from a {}: their networks have nothing in common",
            kind.name(),
            base.kind()
        );
    }
    let given = options.pairs();
    for (name, value) in architecture(kind, base) {
        if let Some((_, other)) = given.iter().find(|(n, v)| *n == name && *v != value) {
            return plan_err!(
                "option {name} is {value} in the model to start from and cannot be {other}; \
                 leave it out"
            );
        }
    }
    let file = ModelFile::from_bytes(&base.to_bytes()?)?;
    let codec = Codec::fit(data, options)?;
    let start = |codec: &Codec, heads: &Heads, conditions: &Conditions| {
        let mapping = mapping(kind, base, &file, codec, heads, conditions)?;
        Ok(Start::Transfer {
            file: &file,
            mapping,
        })
    };
    run(kind, data, options, watch, codec, start, None)
}

/// The options that a model of the kind must share with this one.
fn architecture(kind: &impl NeuralKind, model: &dyn Model) -> Vec<(String, String)> {
    let shared = kind.architecture();
    let options = model.options().into_iter();
    options
        .filter(|(name, _)| shared.contains(&name.as_str()))
        .collect()
}

/// Which of the new table's cells the old table has too: states of one column name and one value.
fn mapping(
    kind: &impl NeuralKind,
    base: &dyn Model,
    file: &ModelFile,
    codec: &Codec,
    heads: &Heads,
    conditions: &Conditions,
) -> Result<Mapping> {
    let old_codec = Codec::load(file)?;
    let old_heads = Heads::new(&old_codec);
    let old_conditions = match kind.conditional() {
        true => Conditions::load(&old_codec, &old_heads, file)?,
        false => Conditions::none(),
    };
    let mut cells = vec![None; heads.width()];
    let mut shared = 0;
    for (i, field) in codec.schema().fields().iter().enumerate() {
        let Ok(old) = base.schema().index_of(field.name()) else {
            continue;
        };
        let (head, old_head) = (&heads.columns()[i], &old_heads.columns()[old]);
        let kinds = [codec, &old_codec].map(|codec| codec.columns());
        if kinds[0][i].has_value() != kinds[1][old].has_value() {
            continue;
        }
        shared += 1;
        if let (Some(value), Some(old)) = (head.value, old_head.value) {
            cells[value] = Some(old);
        }
        let names = state_names(codec, i, head.states.len())?;
        let old_names = state_names(&old_codec, old, old_head.states.len())?;
        let at: BTreeMap<&String, usize> = old_names.iter().zip(old_head.states.clone()).collect();
        for (name, cell) in names.iter().zip(head.states.clone()) {
            cells[cell] = at.get(name).copied();
        }
    }
    if shared == 0 {
        let names = codec.schema().fields().iter().map(|f| f.name().as_str());
        let first = base.schema().fields().first().map_or("", |f| f.name());
        return plan_err!(
            "the query shares no column with the model to start from{}",
            nearest(first, names)
        );
    }
    let old_places: BTreeMap<usize, usize> = (old_conditions.cells().into_iter().enumerate())
        .map(|(place, cell)| (cell, place))
        .collect();
    let place = |cell: usize| cells[cell].and_then(|old| old_places.get(&old).copied());
    Ok(Mapping {
        conditions: conditions.cells().into_iter().map(place).collect(),
        old_conditions: old_conditions.width(),
        old_cells: old_heads.width(),
        cells,
    })
}

/// What a column's states stand for, as text: those that carry a value by their number.
fn state_names(codec: &Codec, column: usize, states: usize) -> Result<Vec<String>> {
    let known = &codec.columns()[column];
    let mut encoded = Encoded::empty(codec.columns().len());
    encoded.columns[column].states = (0..states as u32).collect();
    if known.has_value() {
        encoded.columns[column].values = vec![0.0; states];
    }
    let decoded = codec.decode(&encoded, states, Some(&[column]))?;
    let formatter = arrow::util::display::FormatOptions::default().with_null("");
    let texts =
        arrow::util::display::ArrayFormatter::try_new(decoded.column(0).as_ref(), &formatter)?;
    (0..states)
        .map(|state| {
            let null = arrow::array::Array::is_null(decoded.column(0), state);
            Ok(match state < known.carriers() {
                true => format!("value {state}"),
                false if null => "null".to_string(),
                false => format!("is {}", texts.value(state).try_to_string()?),
            })
        })
        .collect()
}

fn run<'a>(
    kind: &impl NeuralKind,
    data: &Data,
    options: &Options,
    watch: &dyn Watch,
    codec: Codec,
    start: impl FnOnce(&Codec, &Heads, &Conditions) -> Result<Start<'a>>,
    before: Option<History>,
) -> Result<Arc<dyn Model>> {
    let common = Common::new(options)?;
    let heads = Heads::new(&codec);
    let encoded = codec.encode(data.rows(), common.seed)?;
    let conditions = match kind.conditional() {
        true => Conditions::fit(&codec, &heads, &encoded),
        false => Conditions::none(),
    };
    let rows = data.num_rows();
    let start = start(&codec, &heads, &conditions)?;
    let trained = kind.fit(Task {
        options,
        common: &common,
        heads: &heads,
        conditions: &conditions,
        codec: &codec,
        encoded: &encoded,
        rows,
        start,
        watch,
    })?;
    let Trained {
        mut file,
        mut history,
        done,
    } = trained;
    if let Some(before) = before.filter(|before| before.names == history.names) {
        history.epochs.splice(0..0, before.epochs);
    }
    let json = |error: serde_json::Error| DataFusionError::External(Box::new(error));
    file.set_text("kind", kind.name());
    file.set_text("rows", rows.to_string());
    file.set_text("done", serde_json::to_string(&done).map_err(json)?);
    let pairs = serde_json::to_string(&options.pairs()).map_err(json)?;
    file.set_text("options", pairs);
    history.save(&mut file)?;
    if let Some(query) = data.query() {
        file.set_text("query", query);
    }
    codec.save(&mut file)?;
    conditions.save(&mut file)?;
    // The same way as from a file, so a saved model cannot differ from a fresh one.
    let mut model = Neural::new(kind, file)?;
    model.history.seconds = history.seconds;
    Ok(Arc::new(model))
}

/// A trained network.
#[derive(Debug)]
struct Neural {
    kind: &'static str,
    architecture: &'static [&'static str],
    file: ModelFile,
    options: Options,
    rows: u64,
    history: History,
    sampler: Arc<Sampler>,
}

/// What rows are drawn with.
#[derive(Debug)]
struct Sampler {
    codec: Codec,
    heads: Heads,
    conditions: Conditions,
    generator: Mlp,
    noise: usize,
    /// What each value varies by beside what the network says; empty for none.
    spread: Vec<f32>,
}

/// Rows drawn under some of the conditions that the network was trained with.
#[derive(Debug)]
struct Steered {
    sampler: Arc<Sampler>,
    wanted: Wanted,
}

impl Neural {
    fn new(kind: &impl NeuralKind, file: ModelFile) -> Result<Self> {
        let given: Vec<(String, String)> = file.json("options")?;
        let options = parse_options(kind, &given)?;
        let codec = Codec::load(&file)?;
        let heads = Heads::new(&codec);
        let conditions = match kind.conditional() {
            true => Conditions::load(&codec, &heads, &file)?,
            false => Conditions::none(),
        };
        let (mut generator, noise) = kind.generator(&options, &heads, conditions.width())?;
        generator.restore("", &file)?;
        let spread = match file.tensor("spread") {
            Ok(spread) => spread.flatten_all().and_then(|s| s.to_vec1::<f32>()),
            Err(_) => Ok(Vec::new()),
        };
        let sampler = Sampler {
            generator: generator.folded(),
            spread: spread.map_err(tensor_error)?,
            codec,
            heads,
            conditions,
            noise,
        };
        Ok(Self {
            kind: kind.name(),
            architecture: kind.architecture(),
            rows: file.json("rows")?,
            options,
            history: History::load(&file)?,
            sampler: Arc::new(sampler),
            file,
        })
    }
}

impl Sampler {
    /// At most a block of rows, computed in a block's shape whatever their number; under the conditions
    /// that are wanted, if any are.
    fn draw_block(&self, tape: &mut Tape, keys: &[u64], wanted: Option<&Wanted>) -> Encoded {
        let rows = BLOCK as usize;
        let mut drawn = Drawn::default();
        for &key in keys {
            self.conditions.draw(key, wanted, &mut drawn);
        }
        if self.conditions.width() > 0 {
            drawn.vector.resize(rows, NO_CONDITION);
        }
        let (cells, stride) = tape.input(&self.generator, rows);
        let cells = cells.chunks_exact_mut(stride);
        for (i, row) in cells.enumerate() {
            let noise = &mut row[..self.noise];
            match keys.get(i) {
                Some(&key) => {
                    let mut stream = rng::stream(key, "noise", 0);
                    noise.fill_with(|| rng::normal(&mut stream));
                }
                None => noise.fill(0.0),
            }
        }
        self.generator
            .forward(tape, &drawn.vector, Statistics::Running);
        self.heads
            .draw(&tape.output, keys, &drawn.cells, &self.spread)
    }

    fn draw(
        &self,
        keys: &[u64],
        columns: Option<&[usize]>,
        wanted: Option<&Wanted>,
    ) -> Result<RecordBatch> {
        let blocks: Vec<Encoded> = keys
            .par_chunks(BLOCK as usize)
            .map_init(Tape::default, |tape, keys| {
                self.draw_block(tape, keys, wanted)
            })
            .collect();
        let mut drawn = Encoded::empty(self.codec.columns().len());
        for block in blocks {
            drawn.append(block);
        }
        self.codec.decode(&drawn, keys.len(), columns)
    }
}

impl Draw for Steered {
    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        self.sampler.draw(keys, columns, Some(&self.wanted))
    }
}

impl Model for Neural {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn schema(&self) -> &SchemaRef {
        self.sampler.codec.schema()
    }

    fn trained_on(&self) -> u64 {
        self.rows
    }

    fn query(&self) -> Option<&str> {
        self.file.text("query").ok()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.options.pairs()
    }

    fn architecture(&self) -> Vec<(String, String)> {
        let mut options = self.options.pairs();
        options.retain(|(name, _)| self.architecture.contains(&name.as_str()));
        options
    }

    fn codec(&self) -> Option<&Codec> {
        Some(&self.sampler.codec)
    }

    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        self.sampler.draw(keys, columns, None)
    }

    /// The conditional vector asks for one column's categories; what else is said is left to be checked.
    fn given(&self, conditions: &[Condition]) -> Result<Option<Arc<dyn Draw>>> {
        let evidence = Evidence::of(&self.sampler.codec, conditions)?;
        let wanted = self.sampler.conditions.wanted(&evidence);
        Ok(wanted.map(|wanted| {
            let sampler = Arc::clone(&self.sampler);
            Arc::new(Steered { sampler, wanted }) as Arc<dyn Draw>
        }))
    }

    fn describe(&self) -> Vec<(String, String)> {
        let item = |name: &str, value: String| (name.to_string(), value);
        let mut items = vec![
            item("kind", self.kind.to_string()),
            item("rows", self.rows.to_string()),
            item("columns", self.schema().fields().len().to_string()),
            item(
                "generator parameters",
                self.sampler.generator.count().to_string(),
            ),
        ];
        if let Some(last) = self.history.epochs.last() {
            items.push(item(
                "epochs trained",
                self.history.epochs.len().to_string(),
            ));
            for (name, figure) in self.history.names.iter().zip(last) {
                let name = match name.as_str() {
                    "difference" => name.clone(),
                    name => format!("{name} loss"),
                };
                items.push((name, format!("{figure:.4}")));
            }
        }
        for (name, value) in self.options.pairs() {
            items.push((format!("option {name}"), value));
        }
        for (name, what) in self.sampler.codec.describe() {
            items.push((format!("column {name}"), what));
        }
        items
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.file.to_bytes()
    }
}

#[cfg(test)]
mod tests;
