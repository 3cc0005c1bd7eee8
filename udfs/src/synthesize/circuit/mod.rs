//! `circuit`: a hidden Chow-Liu tree (Liu and Van den Broeck, 2021), a probabilistic circuit for tables.
//!
//! Columns hang on a Chow-Liu tree. Each has a hidden state of `states` values that depends on its
//! parent's, and a table of the probabilities of its symbols given its state. Likelihood, conditioning and
//! drawing are exact: sums over hidden states along the tree. NULL is a symbol like any other.
//!
//! `em` has the parameters and their updates, `learn` the training, `draw` what is drawn of them.

mod draw;
mod em;
mod learn;
mod tree;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, filter, is_null, not, or};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use candle_core::{Device, Tensor};
use datafusion_common::{DataFusionError, Result, exec_err, plan_err};

use self::draw::{Completer, Sampler};
use self::em::{Circuit, UNKNOWN};
use self::learn::{Config, Table, learn};
use self::tree::Tree;
use super::codec;
use super::symbols::{Alphabet, with_few_values_as_categories};
use super::training::History;
use super::{
    Accepts, Codec, Condition, Data, Draw, Evidence, Fill, Kind, Model, ModelFile, OptionSpec,
    Options, Watch, parse_options, tensor_error,
};

const NAME: &str = "circuit";

/// The kind `circuit`.
#[derive(Debug, Clone, Copy)]
pub struct CircuitKind;

impl Kind for CircuitKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "hidden Chow-Liu tree, exact under conditions, for tables"
    }

    fn options(&self) -> Vec<OptionSpec> {
        let integer = |name, default, min, max, help| OptionSpec {
            name,
            accepts: Accepts::Integer { default, min, max },
            help,
        };
        let number = |name, default, min, max, help| OptionSpec {
            name,
            accepts: Accepts::Number { default, min, max },
            help,
        };
        let mut specs = vec![
            integer(
                "states",
                128,
                1,
                1024,
                "hidden states a column; fewer for tables of few rows",
            ),
            integer(
                "epochs",
                20,
                1,
                100_000,
                "passes over the rows, or over 131072 of them, at most",
            ),
            integer("batch_size", 1024, 1, 100_000, "rows a mini-batch"),
            number(
                "first_step",
                0.3,
                0.001,
                1.0,
                "how far the second mini-batch moves the running counts to its own",
            ),
            number(
                "last_step",
                0.03,
                0.001,
                1.0,
                "how far the last ones do; steps shrink evenly",
            ),
            number(
                "leaf_smoothing",
                0.8,
                0.0001,
                1e6,
                "rows of the whole table added to what each hidden state has seen: more remembers less",
            ),
            number(
                "edge_smoothing",
                4.0,
                0.0001,
                1e6,
                "rows of the whole table added to what has followed each hidden state",
            ),
            number(
                "holdout",
                0.1,
                0.0,
                0.5,
                "share of the rows that say when to stop; they are learnt from in the last step",
            ),
            integer(
                "patience",
                4,
                1,
                100_000,
                "epochs without progress on the rows held out before training stops",
            ),
            integer("seed", 0, 0, i64::MAX, "same seed, same data: same model"),
        ];
        specs.extend(codec::options());
        specs
    }

    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>> {
        let config = Config::new(options)?;
        let codec = Codec::fit(data, &with_few_values_as_categories(self, data, options)?)?;
        let encoded = codec.encode(data.rows(), config.seed)?;
        let alphabets: Vec<Alphabet> = codec
            .columns()
            .iter()
            .zip(&encoded.columns)
            .map(|(column, encoded)| Alphabet::fit(column, encoded))
            .collect();
        let columns = alphabets.iter().zip(&encoded.columns);
        let table = Table {
            columns: columns.map(|(a, encoded)| a.symbols(encoded)).collect(),
            sizes: alphabets.iter().map(Alphabet::len).collect(),
            ordered: codec
                .schema()
                .fields()
                .iter()
                .map(|field| field.data_type().is_numeric() || field.data_type().is_temporal())
                .collect(),
        };
        drop(encoded);
        let (circuit, history) = learn(&config, &table, watch)?;
        let model = CircuitModel::new(
            About {
                options: options.clone(),
                codec,
                rows: data.num_rows() as u64,
                history,
            },
            alphabets,
            circuit,
        )?;
        Ok(Arc::new(model))
    }

    fn load(&self, file: &ModelFile) -> Result<Arc<dyn Model>> {
        let given: Vec<(String, String)> = file.json("options")?;
        let losses: Vec<f32> = file
            .tensor("history")?
            .to_vec1::<f32>()
            .map_err(tensor_error)?;
        let names: Vec<String> = file.json("history_names")?;
        let about = About {
            options: parse_options(self, &given)?,
            codec: Codec::load(file)?,
            rows: file.json("rows")?,
            history: History {
                epochs: losses
                    .chunks(names.len().max(1))
                    .map(<[f32]>::to_vec)
                    .collect(),
                names,
                seconds: 0.0,
            },
        };
        let alphabets = about
            .codec
            .columns()
            .iter()
            .enumerate()
            .map(|(i, column)| Alphabet::load(column, &format!("alphabet.{i}"), file))
            .collect::<Result<Vec<_>>>()?;
        let circuit = load_circuit(file, &alphabets)?;
        Ok(Arc::new(CircuitModel::new(about, alphabets, circuit)?))
    }
}

fn load_circuit(file: &ModelFile, alphabets: &[Alphabet]) -> Result<Circuit> {
    let numbers = |name: &str, length: usize| -> Result<Vec<f32>> {
        let values = file
            .tensor(name)?
            .flatten_all()
            .and_then(|tensor| tensor.to_vec1::<f32>())
            .map_err(tensor_error)?;
        match values.len() == length && values.iter().all(|p| (0.0..=1.1).contains(p)) {
            true => Ok(values),
            false => exec_err!("the model file is damaged: {name}"),
        }
    };
    let columns = alphabets.len();
    let parents: Vec<Option<usize>> = file
        .numbers("circuit.parents")?
        .iter()
        .map(|&parent| (parent >= 0.0).then_some(parent as usize))
        .collect();
    let Some(tree) = Tree::of_parents(parents).filter(|tree| tree.parents.len() == columns) else {
        return exec_err!("the model file is damaged: circuit.parents");
    };
    let states = file.tensor("circuit.root")?.elem_count();
    if states == 0 {
        return exec_err!("the model file is damaged: circuit.root");
    }
    Ok(Circuit {
        states,
        root: numbers("circuit.root", states)?,
        edges: (0..columns)
            .map(|i| match tree.parents[i] {
                None => Ok(Vec::new()),
                Some(_) => numbers(&format!("circuit.edge.{i}"), states * states),
            })
            .collect::<Result<_>>()?,
        leaves: alphabets
            .iter()
            .enumerate()
            .map(|(i, a)| numbers(&format!("circuit.leaf.{i}"), a.len() * states))
            .collect::<Result<_>>()?,
        tree,
    })
}

/// What a model knows beside its parameters.
#[derive(Debug)]
struct About {
    options: Options,
    codec: Codec,
    rows: u64,
    history: History,
}

/// A trained circuit.
#[derive(Debug)]
struct CircuitModel {
    about: About,
    alphabets: Vec<Alphabet>,
    circuit: Arc<Circuit>,
    sampler: Sampler,
    /// Made when first asked for.
    completers: [OnceLock<Arc<Completer>>; 2],
}

impl CircuitModel {
    fn new(about: About, alphabets: Vec<Alphabet>, circuit: Circuit) -> Result<Self> {
        let circuit = Arc::new(circuit);
        let sampler = Sampler::new(&circuit, &alphabets)?;
        Ok(Self {
            about,
            alphabets,
            circuit,
            sampler,
            completers: Default::default(),
        })
    }

    fn completer(&self, fill: Fill) -> Result<Arc<Completer>> {
        let cell = &self.completers[usize::from(fill == Fill::Nulls)];
        if let Some(completer) = cell.get() {
            return Ok(Arc::clone(completer));
        }
        let evidence: Vec<Option<Evidence>> = self
            .about
            .codec
            .columns()
            .iter()
            .map(|column| {
                let null = column.null_state().filter(|_| fill == Fill::Nulls)? as usize;
                // A column of nothing but NULL has nothing to be filled with.
                (column.states() > 1).then(|| Evidence {
                    states: (0..column.states()).map(|state| state != null).collect(),
                    values: vec![(f32::MIN, f32::MAX)],
                })
            })
            .collect();
        let completer = Arc::new(Completer::new(&self.circuit, &self.alphabets, &evidence)?);
        Ok(Arc::clone(cell.get_or_init(|| completer)))
    }

    /// The symbols of a column's values; unknown where there is none for a value, and where `unknown`.
    fn known(
        &self,
        column: usize,
        array: &ArrayRef,
        unknown: Option<&BooleanArray>,
        keys: &[u64],
    ) -> Result<Vec<u32>> {
        let codec = &self.about.codec;
        let coder = &codec.columns()[column];
        let alphabet = &self.alphabets[column];
        let missing = is_null(array)?;
        let null = coder.null_state();
        let null = null.map_or(UNKNOWN, |null| alphabet.symbol(null, 0.0));
        let mut symbols = vec![null; array.len()];
        if let Some(unknown) = unknown {
            for (symbol, unknown) in symbols.iter_mut().zip(unknown.values()) {
                if unknown {
                    *symbol = UNKNOWN;
                }
            }
        }
        let present = not(&match unknown {
            Some(unknown) => or(&missing, unknown)?,
            None => missing,
        })?;
        let places: Vec<usize> = present.values().set_indices().collect();
        let values = filter(array, &present)?;
        // A value among several bins falls into one of them by the row's key, not by its place.
        if !coder.has_value()
            && let Ok(encoded) = codec.encode_column(column, &values, 0)
        {
            for (&place, symbol) in places.iter().zip(alphabet.symbols(&encoded)) {
                symbols[place] = symbol;
            }
            return Ok(symbols);
        }
        for (i, &place) in places.iter().enumerate() {
            let encoded = codec.encode_column(column, &values.slice(i, 1), keys[place]);
            symbols[place] = match encoded {
                Ok(encoded) => alphabet
                    .symbols(&encoded)
                    .first()
                    .copied()
                    .unwrap_or(UNKNOWN),
                Err(_) => UNKNOWN,
            };
        }
        Ok(symbols)
    }

    /// The conditions as evidence.
    fn evidence(&self, conditions: &[Condition]) -> Result<Vec<Option<Evidence>>> {
        Evidence::of(&self.about.codec, conditions)
    }
}

/// NULL and NaN.
fn missing(array: &ArrayRef) -> Result<BooleanArray> {
    let null = is_null(array)?;
    if !array.data_type().is_floating() {
        return Ok(null);
    }
    let floats = cast(array, &DataType::Float64)?;
    let nan: BooleanArray = floats
        .as_primitive::<Float64Type>()
        .values()
        .iter()
        .map(|x| Some(x.is_nan()))
        .collect();
    Ok(or(&null, &nan)?)
}

/// The circuit given conditions.
#[derive(Debug)]
struct Conditioned {
    codec: Codec,
    sampler: Sampler,
}

impl Draw for Conditioned {
    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        let encoded = self.sampler.draw(keys, columns);
        self.codec.decode(&encoded, keys.len(), columns)
    }
}

impl Model for CircuitModel {
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
        let encoded = self.sampler.draw(keys, columns);
        self.about.codec.decode(&encoded, keys.len(), columns)
    }

    fn given(&self, conditions: &[Condition]) -> Result<Option<Arc<dyn Draw>>> {
        let evidence = self.evidence(conditions)?;
        let sampler = Sampler::given(&self.circuit, &self.alphabets, &evidence)?;
        Ok(Some(Arc::new(Conditioned {
            codec: self.about.codec.clone(),
            sampler,
        })))
    }

    fn completes(&self) -> bool {
        true
    }

    fn complete(
        &self,
        rows: &RecordBatch,
        fill: Fill,
        keys: &[u64],
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let fields = self.schema().fields();
        let mut known = vec![vec![UNKNOWN; keys.len()]; fields.len()];
        let mut given: HashMap<usize, (&ArrayRef, Option<BooleanArray>)> = HashMap::new();
        for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
            let Ok(column) = self.schema().index_of(field.name()) else {
                return plan_err!("the model has no column {}", field.name());
            };
            let drawn = match fill {
                Fill::Nulls => Some(missing(array)?),
                Fill::Absent => None,
            };
            known[column] = self.known(column, array, drawn.as_ref(), keys)?;
            given.insert(column, (array, drawn));
        }
        let encoded = self.completer(fill)?.complete(&known, keys);
        let wanted: Vec<usize> = match columns {
            Some(columns) => columns.to_vec(),
            None => (0..fields.len()).collect(),
        };
        let drawn = self
            .about
            .codec
            .decode(&encoded, keys.len(), Some(&wanted))?;
        let arrays = wanted
            .iter()
            .zip(drawn.columns())
            .map(|(column, drawn)| match given.get(column) {
                None => Ok(Arc::clone(drawn)),
                Some((array, None)) => Ok(Arc::clone(array)),
                Some((array, Some(missing))) => Ok(zip(missing, drawn, *array)?),
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let fields: Vec<Field> = wanted
            .iter()
            .map(|&column| fields[column].as_ref().clone().with_nullable(true))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
        let schema = Arc::new(Schema::new(fields));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    fn describe(&self) -> Vec<(String, String)> {
        let item = |name: &str, value: String| (name.to_string(), value);
        let circuit = &self.circuit;
        let parameters = circuit.root.len()
            + circuit.edges.iter().map(Vec::len).sum::<usize>()
            + circuit.leaves.iter().map(Vec::len).sum::<usize>();
        let mut items = vec![
            item("kind", NAME.to_string()),
            item("rows", self.about.rows.to_string()),
            item("columns", self.schema().fields().len().to_string()),
            item("hidden states", circuit.states.to_string()),
            item("parameters", parameters.to_string()),
        ];
        // The epoch whose parameters were kept.
        let best = self.about.history.epochs.iter().reduce(|best, epoch| {
            match epoch.last() < best.last() {
                true => epoch,
                false => best,
            }
        });
        for (name, loss) in self
            .about
            .history
            .names
            .iter()
            .zip(best.into_iter().flatten())
        {
            items.push(item(
                &format!("log-likelihood a row, {name}"),
                format!("{:.4}", -loss),
            ));
        }
        for (name, value) in self.about.options.pairs() {
            items.push((format!("option {name}"), value));
        }
        let names = self.schema().fields();
        for ((name, what), parent) in self
            .about
            .codec
            .describe()
            .into_iter()
            .zip(&circuit.tree.parents)
        {
            let hangs = match parent {
                Some(parent) => format!("{what}; hangs on {}", names[*parent].name()),
                None => format!("{what}; the root of the tree"),
            };
            items.push((format!("column {name}"), hangs));
        }
        items
    }

    fn history(&self) -> &History {
        &self.about.history
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = |error: serde_json::Error| DataFusionError::External(Box::new(error));
        let tensor = |values: &[f32]| {
            Tensor::from_slice(values, values.len(), &Device::Cpu).map_err(tensor_error)
        };
        let mut file = ModelFile::default();
        file.set_text("kind", NAME);
        file.set_text("rows", self.about.rows.to_string());
        let options = serde_json::to_string(&self.about.options.pairs()).map_err(json)?;
        file.set_text("options", options);
        let names = serde_json::to_string(&self.about.history.names).map_err(json)?;
        file.set_text("history_names", names);
        file.set_tensor("history", tensor(&self.about.history.epochs.concat())?);
        self.about.codec.save(&mut file)?;
        for (i, alphabet) in self.alphabets.iter().enumerate() {
            alphabet.save(&format!("alphabet.{i}"), &mut file)?;
        }
        let circuit = &self.circuit;
        let parents: Vec<f64> = circuit
            .tree
            .parents
            .iter()
            .map(|parent| parent.map_or(-1.0, |parent| parent as f64))
            .collect();
        file.set_numbers("circuit.parents", &parents)?;
        file.set_tensor("circuit.root", tensor(&circuit.root)?);
        for (i, edge) in circuit.edges.iter().enumerate() {
            if !edge.is_empty() {
                file.set_tensor(format!("circuit.edge.{i}"), tensor(edge)?);
            }
        }
        for (i, leaf) in circuit.leaves.iter().enumerate() {
            file.set_tensor(format!("circuit.leaf.{i}"), tensor(leaf)?);
        }
        file.to_bytes()
    }
}

#[cfg(test)]
mod tests;
