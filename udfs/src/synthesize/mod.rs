//! Models: what every kind of model is, the kinds there are, and those that draw rows.
//!
//! A [`Kind`] learns from [`Data`] and gives a [`Model`]; a model draws rows, or predicts a label ([`crate::predict`]). Table models share the
//! [`codec`]; neural ones share [`layers`], [`optim`], [`training`] and what a trained network does. Running a training or a sampling
//! as part of a query is the engine's part, not ours. A new kind is one file and one line in [`kinds`].

mod adversarial;
mod auto;
mod circuit;
pub mod codec;
mod complete_udf;
mod condition;
mod constraints;
mod copula;
mod ctgan;
mod data;
mod file;
mod gan;
pub mod layers;
mod neural;
pub mod optim;
mod options;
mod pictures;
mod quality;
pub mod rng;
mod sample_udf;
mod symbols;
mod trained;
pub mod training;
mod training_by_sampling;
mod tvae;
mod wgan_gp;
mod wrapped;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::{DataFusionError, Result, plan_err};

pub use codec::Codec;
pub use complete_udf::CompleteUdf;
pub use condition::{Condition, Draw, Evidence, Given, Test};
use constraints::Layer;
pub use data::Data;
pub use file::ModelFile;
pub use options::{Accepts, OptionSpec, Options, Value, column, integer, number, widths};
pub use sample_udf::SampleUdf;
pub use training::History;
use wrapped::Wrapped;

use crate::predict::{self, Classifier};

/// Rows are drawn in blocks of this many, aligned on the row number: every row is computed in the same
/// place of a block of the same shape, whatever batch it was asked for in, so its bits never differ.
pub const BLOCK: u64 = 256;

/// A way to learn a model from rows.
pub trait Kind: Debug + Send + Sync {
    /// The name after `USING`.
    fn name(&self) -> &'static str;

    /// One line for a list of kinds.
    fn summary(&self) -> &'static str;

    /// What can stand in `OPTIONS (...)`.
    fn options(&self) -> Vec<OptionSpec>;

    /// Whether its models predict a label; otherwise they draw rows.
    fn predicts(&self) -> bool {
        false
    }

    /// Checks what options say of columns against those of the training query.
    fn check(&self, options: &Options, schema: &Schema) -> Result<()> {
        codec::check_columns(schema, options)?;
        constraints::check(schema, options)
    }

    /// Learns. Same data, options and seed: same model, to the bit.
    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>>;

    /// Goes on with the training of a model of this kind, on the columns it has.
    fn resume(
        &self,
        _base: &dyn Model,
        _data: &Data,
        _options: &Options,
        _watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        plan_err!(
            "a {0} is learnt at once: there is nothing to go on with; write USING {0} AS SELECT ...",
            self.name()
        )
    }

    /// Takes a trained model of this kind to another table: what both tables share keeps its weights.
    fn transfer(
        &self,
        _base: &dyn Model,
        _data: &Data,
        _options: &Options,
        _watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        plan_err!(
            "a {} cannot start from a trained model; leave FROM out",
            self.name()
        )
    }

    /// Reads back what [`Model::to_bytes`] wrote.
    fn load(&self, file: &ModelFile) -> Result<Arc<dyn Model>>;
}

/// A trained model.
pub trait Model: Debug + Send + Sync {
    /// The name of its kind.
    fn kind(&self) -> &'static str;

    /// The columns it was trained on, and draws if it does.
    fn schema(&self) -> &SchemaRef;

    /// How many rows it was trained on.
    fn trained_on(&self) -> u64;

    /// The query that gave those rows, if it is known.
    fn query(&self) -> Option<&str> {
        None
    }

    /// The options it was trained with, those of a kind that can go on with a training.
    fn options(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Those of them that a model started from this one must share.
    fn architecture(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The model that this one stands around.
    fn inner(&self) -> Option<&dyn Model> {
        None
    }

    /// How its columns are encoded; kinds that are not for tables have none.
    fn codec(&self) -> Option<&Codec> {
        None
    }

    /// The model as one that predicts a label, if it does; it draws no rows then.
    fn classifier(&self) -> Option<&Classifier> {
        None
    }

    /// One row a key; a row depends on its key alone. `columns` picks columns by index and order.
    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch>;

    /// Rows `rows` of the endless table that a seed stands for.
    fn sample(
        &self,
        rows: Range<u64>,
        seed: u64,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        block_aligned(rows, seed, |keys| self.draw(keys, columns))
    }

    /// The model's distribution given conditions; nothing where the model can only draw and check.
    /// [`Given`] does what is right for any model.
    ///
    /// # Errors
    /// If the model knows that no row can meet the conditions.
    fn given(&self, _conditions: &[Condition]) -> Result<Option<Arc<dyn Draw>>> {
        Ok(None)
    }

    /// Whether the model can continue rows.
    fn completes(&self) -> bool {
        false
    }

    /// Partial rows continued: every column of the model that is not in `rows` is drawn given those that
    /// are; with `Fill::Nulls` the NULLs in `rows` are drawn as well, and never as NULL. Columns of `rows`
    /// have the model's names and types; a row depends on what it holds and on its key.
    fn complete(
        &self,
        _rows: &RecordBatch,
        _fill: Fill,
        _keys: &[u64],
        _columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        plan_err!(
            "a model of kind {} cannot continue rows; one of kind circuit can: write CREATE MODEL ... USING circuit",
            self.kind()
        )
    }

    /// What DESCRIBE MODEL shows: item and value.
    fn describe(&self) -> Vec<(String, String)>;

    /// The losses, epoch by epoch; empty for kinds that are not trained in epochs.
    fn history(&self) -> &History;

    /// The model as a safetensors file; [`load`] reads it back.
    fn to_bytes(&self) -> Result<Vec<u8>>;
}

/// What of partial rows is to be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fill {
    /// The columns that are absent; a NULL stays as it is.
    Absent,
    /// The columns that are absent, and NULLs.
    Nulls,
}

/// Rows `rows` of the endless table that a seed stands for, drawn in whole blocks.
fn block_aligned(
    rows: Range<u64>,
    seed: u64,
    draw: impl Fn(&[u64]) -> Result<RecordBatch>,
) -> Result<RecordBatch> {
    if rows.is_empty() {
        return draw(&[]);
    }
    let first = rows.start / BLOCK * BLOCK;
    let last = rows.end.div_ceil(BLOCK) * BLOCK;
    let keys: Vec<u64> = (first..last).map(|row| rng::key(seed, row)).collect();
    let block = draw(&keys)?;
    Ok(block.slice(
        (rows.start - first) as usize,
        (rows.end - rows.start) as usize,
    ))
}

/// Who looks on while a model trains.
pub trait Watch: Send + Sync {
    /// An epoch has ended; `detail` gives the losses.
    fn epoch(&self, done: u64, total: u64, detail: &str);

    /// Whether to stop; asked at every mini-batch.
    fn cancelled(&self) -> bool;

    /// Accounts for memory that the training will hold; an error where there is not so much.
    fn reserve(&self, _bytes: usize) -> Result<()> {
        Ok(())
    }
}

/// Nobody looks on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn epoch(&self, _done: u64, _total: u64, _detail: &str) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// Every kind of model there is.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    let mut kinds: Vec<Arc<dyn Kind>> = vec![
        Arc::new(circuit::CircuitKind),
        Arc::new(copula::CopulaKind),
        Arc::new(gan::GanKind),
        Arc::new(wgan_gp::WganGpKind),
        Arc::new(ctgan::CtganKind),
        Arc::new(tvae::TvaeKind),
        Arc::new(auto::Auto),
    ];
    kinds.extend(pictures::kinds());
    kinds.extend(predict::kinds());
    kinds
}

/// The kind of a name, or an error that lists them.
pub fn kind(name: &str) -> Result<Arc<dyn Kind>> {
    let kinds = kinds();
    match kinds
        .iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(name))
    {
        Some(kind) => Ok(Arc::clone(kind)),
        None => {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            plan_err!(
                "there is no kind of model {name}{}; the kinds are: {}",
                nearest(name, names.iter().copied()),
                names.join(", ")
            )
        }
    }
}

/// Checks what stands in `OPTIONS (...)` for a kind.
pub fn parse_options(kind: &dyn Kind, given: &[(String, String)]) -> Result<Options> {
    Options::parse(kind.name(), &kind.options(), given)
}

/// Where a training begins.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    Fresh,
    /// With what another training of the same columns ended with.
    Resume(&'a dyn Model),
    /// With a model of another table.
    Transfer(&'a dyn Model),
}

/// Learns, with the options' constraints kept in every row that the model will draw.
pub fn train(
    kind: &dyn Kind,
    data: &Data,
    options: &Options,
    start: Start<'_>,
    watch: &dyn Watch,
) -> Result<Arc<dyn Model>> {
    let learn = |data: &Data, options: &Options| match start {
        Start::Fresh => kind.train(data, options, watch),
        Start::Resume(base) => kind.resume(core(base), data, options, watch),
        Start::Transfer(base) => kind.transfer(core(base), data, options, watch),
    };
    // Constraints are those of tables.
    if !options.has("constraints") {
        return learn(data, options);
    }
    match Layer::fit(data, options)? {
        None => learn(data, options),
        Some((layer, learnt, inner_options)) => {
            let inner = learn(&learnt, &inner_options)?;
            let given = options.changed(&kind.options());
            Ok(Arc::new(Wrapped::constrained(layer, inner, given)))
        }
    }
}

/// An error if a model predicts, and so draws no rows, of the function that asks for some.
pub fn check_draws(function: &str, name: &str, model: &dyn Model) -> Result<()> {
    match model.classifier() {
        None => Ok(()),
        Some(_) => plan_err!(
            "{function}: {name} is a model of kind {}, which predicts and draws no rows. Write SELECT * FROM \
             predict('{name}', (SELECT ...))",
            model.kind()
        ),
    }
}

/// The model within what stands around it.
pub(crate) fn core(model: &dyn Model) -> &dyn Model {
    model.inner().map_or(model, core)
}

/// Reads a model of any kind.
pub fn load(bytes: &[u8]) -> Result<Arc<dyn Model>> {
    let file = ModelFile::from_bytes(bytes)?;
    let model = kind(file.text("kind")?)?.load(&file)?;
    Wrapped::load(&file, model)
}

/// `; did you mean x?`, when a name is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let lower = name.to_lowercase();
    names
        .map(|known| (strsim::jaro_winkler(&lower, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| format!("; did you mean {known}?"))
        .unwrap_or_default()
}

/// An error of the tensor library, which is never the user's fault.
pub(crate) fn tensor_error(error: candle_core::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
