//! A trained model that predicts a label.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, StructArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion_common::{Result, exec_err, plan_err};

use super::kind::Predicting;
use super::labels::Labels;
use super::{About, Learner, Scorer};
use crate::learn::largest;
use crate::synthesize::{History, Model, ModelFile, Options, parse_options};

/// A trained model of any kind that predicts.
#[derive(Debug)]
pub struct Classifier {
    kind: &'static str,
    architecture: &'static [&'static str],
    file: ModelFile,
    options: Options,
    schema: SchemaRef,
    inputs: SchemaRef,
    labels: Labels,
    rows: u64,
    unlabelled: u64,
    history: History,
    scorer: Box<dyn Scorer>,
    outputs: Fields,
}

impl Classifier {
    /// Reads a model's file.
    pub fn load<L: Learner>(kind: &Predicting<L>, file: ModelFile) -> Result<Self> {
        let given: Vec<(String, String)> = file.json("options")?;
        let options = parse_options(kind, &given)?;
        let schema = file.schema("schema")?;
        let Ok(at) = schema.index_of(file.text("label")?) else {
            return exec_err!("the model file is damaged: it has no label");
        };
        let labels = Labels::load(schema.field(at), &file)?;
        let others = (0..schema.fields().len()).filter(|i| *i != at);
        let inputs: Vec<Field> = others.map(|i| schema.field(i).clone()).collect();
        let inputs = Arc::new(Schema::new(inputs));
        let scorer = kind.0.load(
            &About {
                inputs: &inputs,
                classes: labels.values().len(),
                options: &options,
            },
            &file,
        )?;
        Ok(Self {
            kind: L::NAME,
            architecture: L::ARCHITECTURE,
            outputs: outputs(&labels),
            rows: file.json("rows")?,
            unlabelled: file.json("unlabelled")?,
            history: History::load(&file)?,
            options,
            schema,
            inputs,
            labels,
            scorer,
            file,
        })
    }

    /// The same, with how many seconds its training took.
    pub fn trained_for(mut self, seconds: f64) -> Self {
        self.history.seconds = seconds;
        self
    }

    /// The columns it predicts by.
    pub fn inputs(&self) -> &SchemaRef {
        &self.inputs
    }

    /// What it predicts: the name of the label, and the type of predictions.
    pub fn label(&self) -> &Field {
        self.labels.field()
    }

    /// The classes as texts, in their order.
    pub fn classes(&self) -> &[String] {
        self.labels.names()
    }

    /// What [`Self::predict`] gives: `prediction`, `probability`, and `probabilities`, which has a field a class.
    pub fn outputs(&self) -> &Fields {
        &self.outputs
    }

    /// The most probable class of each row, its probability, and those of all classes; NULL of a row that cannot be
    /// looked at. `inputs` are the columns of [`Self::inputs`].
    pub fn predict(&self, inputs: &[ArrayRef], rows: usize) -> Result<StructArray> {
        let classes = self.classes().len();
        let told = self.scorer.probabilities(inputs, rows)?;
        let told: Vec<&[f64]> = told.chunks_exact(classes).collect();
        let valid: Vec<bool> = told
            .iter()
            .map(|row| !row.iter().any(|p| p.is_nan()))
            .collect();
        let nulls = valid
            .contains(&false)
            .then(|| NullBuffer::from(valid.clone()));
        let best: Vec<usize> = told.iter().map(|row| largest(row)).collect();
        let places: UInt32Array = best
            .iter()
            .zip(&valid)
            .map(|(best, valid)| valid.then_some(*best as u32))
            .collect();
        let column = |value: &dyn Fn(usize) -> f64| -> ArrayRef {
            let values: Vec<f64> = (0..rows).map(value).collect();
            Arc::new(Float64Array::new(values.into(), nulls.clone()))
        };
        let of_classes = (0..classes).map(|class| column(&|row| told[row][class]));
        let DataType::Struct(fields) = self.outputs[2].data_type() else {
            return exec_err!("the probabilities are no struct");
        };
        let probabilities = StructArray::try_new_with_length(
            fields.clone(),
            of_classes.collect(),
            nulls.clone(),
            rows,
        )?;
        let columns: Vec<ArrayRef> = vec![
            take(self.labels.values(), &places, None)?,
            column(&|row| told[row][best[row]]),
            Arc::new(probabilities),
        ];
        Ok(StructArray::try_new_with_length(
            self.outputs.clone(),
            columns,
            None,
            rows,
        )?)
    }
}

fn outputs(labels: &Labels) -> Fields {
    let probability = |name: &str| Field::new(name, DataType::Float64, true);
    let classes: Vec<Field> = labels.names().iter().map(|n| probability(n)).collect();
    let classes = DataType::Struct(Fields::from(classes));
    Fields::from(vec![
        Field::new("prediction", labels.field().data_type().clone(), true),
        probability("probability"),
        Field::new("probabilities", classes, true),
    ])
}

impl Model for Classifier {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
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

    fn draw(&self, _: &[u64], _: Option<&[usize]>) -> Result<RecordBatch> {
        plan_err!("a {} predicts, it draws no rows", self.kind)
    }

    fn classifier(&self) -> Option<&Classifier> {
        Some(self)
    }

    fn describe(&self) -> Vec<(String, String)> {
        let item = |name: &str, value: String| (name.to_string(), value);
        let mut items = vec![
            item("kind", self.kind.to_string()),
            item("rows", self.rows.to_string()),
            item("label", self.label().name().clone()),
            item("classes", self.classes().join(", ")),
        ];
        if self.unlabelled > 0 {
            items.push(item(UNLABELLED, self.unlabelled.to_string()));
        }
        if let Some(last) = self.history.epochs.last() {
            let epochs = self.history.epochs.len();
            items.push(item("epochs trained", epochs.to_string()));
            for (name, figure) in self.history.names.iter().zip(last) {
                items.push((format!("{name} loss"), format!("{figure:.4}")));
            }
        }
        for (name, value) in self.options.pairs() {
            items.push((format!("option {name}"), value));
        }
        match self.scorer.describe() {
            Ok(more) => items.extend(more),
            Err(error) => items.push(item("features", error.message().to_string())),
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

/// The item of [`Model::describe`] that counts rows left out, if any were.
pub const UNLABELLED: &str = "rows without a label";
