//! Generative models: what every kind of model is, and the kinds there are.
//!
//! A [`Kind`] learns from [`Data`] and gives a [`Model`]; a model draws rows. Table models share the
//! [`codec`]; neural ones share [`layers`], [`optim`], [`training`] and what a trained network does. Running a training or a sampling
//! as part of a query is the engine's part, not ours. A new kind is one file and one line in [`kinds`].

mod adversarial;
pub mod codec;
mod conditions;
mod ctgan;
mod data;
mod file;
mod gan;
pub mod layers;
mod neural;
pub mod optim;
mod options;
mod quality;
pub mod rng;
mod sample_udf;
pub mod training;
mod tvae;
mod wgan_gp;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::{DataFusionError, Result, plan_err};

pub use codec::Codec;
pub use data::Data;
pub use file::ModelFile;
pub use options::{Accepts, OptionSpec, Options, Value};
pub use sample_udf::SampleUdf;
pub use training::History;

/// Rows are drawn in blocks of this many, aligned on the row number: every row is computed in the same
/// place of a block of the same shape, whatever batch it was asked for in, so its bits never differ.
pub const BLOCK: u64 = 256;

/// A way to learn a generator from rows.
pub trait Kind: Debug + Send + Sync {
    /// The name after `USING`.
    fn name(&self) -> &'static str;

    /// One line for a list of kinds.
    fn summary(&self) -> &'static str;

    /// What can stand in `OPTIONS (...)`.
    fn options(&self) -> Vec<OptionSpec>;

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

/// A trained generator.
pub trait Model: Debug + Send + Sync {
    /// The name of its kind.
    fn kind(&self) -> &'static str;

    /// The columns it was trained on, and draws.
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

    /// How its columns are encoded; kinds that are not for tables have none.
    fn codec(&self) -> Option<&Codec> {
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
        if rows.is_empty() {
            return self.draw(&[], columns);
        }
        let first = rows.start / BLOCK * BLOCK;
        let last = rows.end.div_ceil(BLOCK) * BLOCK;
        let keys: Vec<u64> = (first..last).map(|row| rng::key(seed, row)).collect();
        let block = self.draw(&keys, columns)?;
        Ok(block.slice(
            (rows.start - first) as usize,
            (rows.end - rows.start) as usize,
        ))
    }

    /// What DESCRIBE MODEL shows: item and value.
    fn describe(&self) -> Vec<(String, String)>;

    /// The losses, epoch by epoch; empty for kinds that are not trained in epochs.
    fn history(&self) -> &History;

    /// The model as a safetensors file; [`load`] reads it back.
    fn to_bytes(&self) -> Result<Vec<u8>>;
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
    vec![
        Arc::new(gan::GanKind),
        Arc::new(wgan_gp::WganGpKind),
        Arc::new(ctgan::CtganKind),
        Arc::new(tvae::TvaeKind),
    ]
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

/// Reads a model of any kind.
pub fn load(bytes: &[u8]) -> Result<Arc<dyn Model>> {
    let file = ModelFile::from_bytes(bytes)?;
    kind(file.text("kind")?)?.load(&file)
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
