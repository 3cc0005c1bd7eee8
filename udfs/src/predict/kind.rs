//! A learner as a kind of model.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Schema;
use datafusion_common::{DataFusionError, Result, exec_err, plan_err};

use super::labels::{self, Labels};
use super::{Classifier, Learner, Task};
use crate::fitted::counts::MISSING;
use crate::synthesize::{Data, Kind, Model, ModelFile, OptionSpec, Options, Watch, core, integer};

/// What a [`Learner`] is to `CREATE MODEL`.
#[derive(Debug)]
pub struct Predicting<L>(pub L);

impl<L: Learner> Kind for Predicting<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn summary(&self) -> &'static str {
        L::SUMMARY
    }

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = vec![labels::option()];
        specs.extend(self.0.options());
        specs.push(integer(
            "seed",
            0,
            0..=i64::MAX,
            "same seed, same data: same model",
        ));
        specs
    }

    fn predicts(&self) -> bool {
        true
    }

    fn check(&self, options: &Options, schema: &Schema) -> Result<()> {
        let label = labels::find(L::NAME, options, schema)?;
        labels::class_type(schema.field(label))?;
        let others = (0..schema.fields().len()).filter(|i| *i != label);
        let inputs: Vec<_> = others.map(|i| schema.field(i)).collect();
        if inputs.is_empty() {
            return plan_err!(
                "the training query has no column but the label {}: add columns that it is predicted by",
                schema.field(label).name()
            );
        }
        self.0.check(&inputs)
    }

    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>> {
        self.learn(data, options, None, watch)
    }

    /// With the weights that the training ended with.
    fn resume(
        &self,
        base: &dyn Model,
        data: &Data,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        self.transfer(base, data, options, watch)
    }

    fn transfer(
        &self,
        base: &dyn Model,
        data: &Data,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        if L::ARCHITECTURE.is_empty() {
            return plan_err!(
                "a {0} is learnt from the rows alone and cannot start from a trained model: write USING {0} AS SELECT ...",
                L::NAME
            );
        }
        let base = core(base);
        if base.kind() != L::NAME {
            return plan_err!(
                "a {} cannot start from a {}: they have nothing in common",
                L::NAME,
                base.kind()
            );
        }
        let file = ModelFile::from_bytes(&base.to_bytes()?)?;
        self.learn(data, options, Some(&file), watch)
    }

    fn load(&self, file: &ModelFile) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(Classifier::load(self, file.clone())?))
    }
}

impl<L: Learner> Predicting<L> {
    fn learn(
        &self,
        data: &Data,
        options: &Options,
        base: Option<&ModelFile>,
        watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        let (rows, schema) = (data.rows(), data.schema());
        self.check(options, &schema)?;
        if rows.num_rows() == 0 {
            return exec_err!("the training query gives no rows: there is nothing to learn from");
        }
        let at = labels::find(L::NAME, options, &schema)?;
        let labels = Labels::fit(schema.field(at), rows.column(at))?;
        let (inputs, codes) = labelled(rows, at, &labels)?;
        let mut file = ModelFile::default();
        let history = self.0.fit(
            &Task {
                inputs: &inputs,
                labels: &codes,
                classes: labels.names(),
                options,
                base,
                watch,
            },
            &mut file,
        )?;
        let json = |error: serde_json::Error| DataFusionError::External(Box::new(error));
        file.set_text("kind", L::NAME);
        file.set_text("rows", codes.len().to_string());
        file.set_text("unlabelled", (rows.num_rows() - codes.len()).to_string());
        file.set_text("label", schema.field(at).name());
        let pairs = serde_json::to_string(&options.pairs()).map_err(json)?;
        file.set_text("options", pairs);
        if let Some(query) = data.query() {
            file.set_text("query", query);
        }
        file.set_schema("schema", &schema)?;
        labels.save(&mut file)?;
        history.save(&mut file)?;
        // The same way as from a file, so a saved model cannot differ from a fresh one.
        let model = Classifier::load(self, file)?;
        Ok(Arc::new(model.trained_for(history.seconds)))
    }
}

/// The rows that have a label, without it, and the places of their classes.
fn labelled(rows: &RecordBatch, label: usize, labels: &Labels) -> Result<(RecordBatch, Vec<u32>)> {
    let mut codes = labels.codes(rows.column(label))?;
    let others: Vec<usize> = (0..rows.num_columns()).filter(|i| *i != label).collect();
    let mut inputs = rows.project(&others)?;
    if codes.contains(&MISSING) {
        let kept = (0..codes.len() as u32).filter(|row| codes[*row as usize] != MISSING);
        inputs = take_record_batch(&inputs, &kept.collect::<UInt32Array>())?;
        codes.retain(|code| *code != MISSING);
    }
    Ok((inputs, codes))
}
