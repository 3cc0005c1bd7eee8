//! What trained networks have in common, those of tables and those of pictures: where their weights begin,
//! what a training gives, and what a model's file says of it.

use datafusion_common::{DataFusionError, Result, exec_err, plan_err};

use super::layers::{Mapping, Network};
use super::training::{Common, Done, History};
use super::{Data, Kind, Model, ModelFile, Options, Watch, parse_options};

/// The most numbers that networks may have: four of single precision each, 1.6 GB while they are trained.
const MOST_PARAMETERS: usize = 100_000_000;

/// Where weights begin.
#[derive(Debug)]
pub enum Start<'a> {
    Fresh,
    /// As another training left them, its optimiser's moments included.
    Resume {
        file: &'a ModelFile,
        done: Done,
    },
    /// As those of a model of other rows, where there is a place for them.
    Transfer {
        file: &'a ModelFile,
        mapping: Mapping,
    },
}

impl Start<'_> {
    /// How far an earlier training has come.
    pub fn done(&self) -> Done {
        match self {
            Start::Resume { done, .. } => *done,
            _ => Done::default(),
        }
    }

    /// Weights as the start has them. `saved` is the prefix of those that are sampled from, `training` of
    /// those that were trained.
    pub fn begin(&self, network: &mut impl Network, saved: &str, training: &str) -> Result<()> {
        match self {
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

/// Makes sure that networks fit into memory, before there are any; `advice` says what makes them smaller.
pub fn check_size(parameters: usize, watch: &dyn Watch, advice: &str) -> Result<()> {
    if parameters > MOST_PARAMETERS {
        return exec_err!(
            "the networks would have {parameters} weights, more than the {MOST_PARAMETERS} \
             allowed: {advice}"
        );
    }
    // Weights, gradients and two moments.
    watch.reserve(parameters.saturating_mul(16))
}

/// An error for a fresh training that would keep what nothing has learnt.
pub fn check_fresh(kind: &dyn Kind, options: &Options) -> Result<()> {
    if Common::new(options)?.freeze {
        return plan_err!(
            "freeze keeps what another model has learnt: write CREATE MODEL ... USING {} FROM model",
            kind.name()
        );
    }
    Ok(())
}

/// An error if a model of other rows cannot be started from.
pub fn check_base(kind: &dyn Kind, base: &dyn Model, options: &Options) -> Result<()> {
    if !base.kind().eq_ignore_ascii_case(kind.name()) {
        return plan_err!(
            "a {} cannot start from a {}: their networks have nothing in common",
            kind.name(),
            base.kind()
        );
    }
    let given = options.pairs();
    for (name, value) in base.architecture() {
        if let Some((_, other)) = given.iter().find(|(n, v)| *n == name && *v != value) {
            return plan_err!(
                "option {name} is {value} in the model to start from and cannot be {other}; \
                 leave it out"
            );
        }
    }
    Ok(())
}

/// What a training gives.
#[derive(Debug)]
pub struct Trained {
    /// Weights and what is needed to go on.
    pub file: ModelFile,
    pub history: History,
    pub done: Done,
}

impl Trained {
    /// The file with all that a [`Record`] reads back, and the seconds that the training took, which no
    /// file has. `before` is the history of the training that this one went on with.
    pub fn recorded(
        self,
        kind: &dyn Kind,
        data: &Data,
        options: &Options,
        before: Option<History>,
    ) -> Result<(ModelFile, f64)> {
        let Self {
            mut file,
            mut history,
            done,
        } = self;
        if let Some(before) = before.filter(|before| before.names == history.names) {
            history.epochs.splice(0..0, before.epochs);
        }
        let json = |error: serde_json::Error| DataFusionError::External(Box::new(error));
        file.set_text("kind", kind.name());
        file.set_text("rows", data.num_rows().to_string());
        file.set_text("done", serde_json::to_string(&done).map_err(json)?);
        let pairs = serde_json::to_string(&options.pairs()).map_err(json)?;
        file.set_text("options", pairs);
        history.save(&mut file)?;
        if let Some(query) = data.query() {
            file.set_text("query", query);
        }
        Ok((file, history.seconds))
    }
}

/// What a model's file says of its training.
#[derive(Debug)]
pub struct Record {
    pub kind: &'static str,
    pub file: ModelFile,
    pub options: Options,
    pub rows: u64,
    pub history: History,
    architecture: &'static [&'static str],
}

impl Record {
    /// `architecture` names the options that a model started from this one must share.
    pub fn load(
        kind: &dyn Kind,
        architecture: &'static [&'static str],
        file: ModelFile,
    ) -> Result<Self> {
        let given: Vec<(String, String)> = file.json("options")?;
        Ok(Self {
            kind: kind.name(),
            options: parse_options(kind, &given)?,
            rows: file.json("rows")?,
            history: History::load(&file)?,
            architecture,
            file,
        })
    }

    pub fn query(&self) -> Option<&str> {
        self.file.text("query").ok()
    }

    pub fn architecture(&self) -> Vec<(String, String)> {
        let mut options = self.options.pairs();
        options.retain(|(name, _)| self.architecture.contains(&name.as_str()));
        options
    }

    /// What DESCRIBE MODEL shows of the training.
    pub fn describe(&self, columns: usize, parameters: usize) -> Vec<(String, String)> {
        let item = |name: &str, value: String| (name.to_string(), value);
        let mut items = vec![
            item("kind", self.kind.to_string()),
            item("rows", self.rows.to_string()),
            item("columns", columns.to_string()),
            item("generator parameters", parameters.to_string()),
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
        items
    }
}
