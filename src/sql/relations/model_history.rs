//! `model_history('m')`: the losses of a model's training.

use std::sync::Arc;

use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::MemTable;
use datafusion::common::Result;
use seedbed_udfs::spec::{Kind, Param, Spec, Stage};

use crate::sql::relation::{Call, Expansion, Relation};

const SPEC: Spec = Spec {
    name: "model_history",
    stage: Stage::Synthesize,
    kind: Kind::Relation,
    summary: "A row an epoch and loss of a model's training; none for kinds that are not trained in epochs.",
    params: &[Param::required(
        "model",
        "the model's name, as SHOW MODELS lists it. EXPORT MODEL HISTORY m TO 'loss.svg' draws the same",
    )],
    variadic: false,
    examples: &[],
    source: "epochs count from 1; a value is the mean of the loss over the epoch's mini-batches",
    also: &[
        "ML.TRAINING_INFO (BigQuery ML)",
        "History.history (Keras)",
        "get_loss_values (SDV)",
    ],
};

#[derive(Debug)]
pub struct ModelHistory;

impl Relation for ModelHistory {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let model = call.env().store()?.model(&call.options().text("model")?)?;
        let history = model.history();
        let (mut epochs, mut losses, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (of_epoch, epoch) in history.epochs.iter().zip(1i64..) {
            for (name, value) in history.names.iter().zip(of_epoch) {
                epochs.push(epoch);
                losses.push(name.as_str());
                values.push(f64::from(*value));
            }
        }
        let schema = Arc::new(Schema::new(vec![
            Field::new("epoch", DataType::Int64, false),
            Field::new("loss", DataType::Utf8, false),
            Field::new("value", DataType::Float64, false),
        ]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(Int64Array::from(epochs)),
                Arc::new(StringArray::from(losses)),
                Arc::new(Float64Array::from(values)),
            ],
        )?;
        let table = MemTable::try_new(schema, vec![vec![batch]])?;
        Ok(Expansion::Table(Arc::new(table)))
    }
}
