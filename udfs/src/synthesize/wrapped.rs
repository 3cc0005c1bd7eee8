//! A trained model with what stands around it: the layer that keeps constraints, and why its kind was chosen.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::{DataFusionError, Result, plan_err};

use super::constraints::{Layer, Places};
use super::{Codec, Condition, Draw, Fill, History, Model, ModelFile};

/// The text of a file that says why the kind was chosen.
const CHOSEN: &str = "chosen";

/// The text of a file that holds the options of the training, those of constraints among them.
const GIVEN: &str = "given";

/// Draws what the inner model draws, through the layer if there is one.
#[derive(Debug)]
pub struct Wrapped {
    inner: Arc<dyn Model>,
    layer: Option<Layer>,
    /// The options that were given, where there is a layer: the inner model's are of other columns.
    given: Vec<(String, String)>,
    chosen: Option<String>,
}

impl Wrapped {
    /// A model that learnt the columns of a layer, with the options that were given.
    pub fn constrained(layer: Layer, inner: Arc<dyn Model>, given: Vec<(String, String)>) -> Self {
        Self {
            layer: Some(layer.with_nulls(inner.schema())),
            inner,
            given,
            chosen: None,
        }
    }

    /// A model whose kind was chosen for this reason.
    pub fn chosen(inner: Arc<dyn Model>, reason: String) -> Self {
        Self {
            inner,
            layer: None,
            given: Vec::new(),
            chosen: Some(reason),
        }
    }

    /// The model of a file, in what the file says stands around it.
    pub fn load(file: &ModelFile, mut model: Arc<dyn Model>) -> Result<Arc<dyn Model>> {
        if let Ok(reason) = file.text(CHOSEN) {
            model = Arc::new(Self::chosen(model, reason.to_string()));
        }
        if let Some(layer) = Layer::load(file, model.schema())? {
            model = Arc::new(Self {
                inner: model,
                layer: Some(layer),
                given: match file.text(GIVEN) {
                    Ok(_) => file.json(GIVEN)?,
                    Err(_) => Vec::new(),
                },
                chosen: None,
            });
        }
        Ok(model)
    }

    fn restore(
        &self,
        layer: &Layer,
        columns: Option<&[usize]>,
        places: &Places<'_>,
        draw: impl FnOnce(&[usize]) -> Result<RecordBatch>,
    ) -> Result<RecordBatch> {
        let all: Vec<usize>;
        let wanted = match columns {
            Some(columns) => columns,
            None => {
                all = (0..self.schema().fields().len()).collect();
                &all
            }
        };
        let needed = layer.needed(wanted);
        let drawn = draw(&needed)?;
        layer.restore(wanted, &needed, &drawn, places)
    }
}

impl Model for Wrapped {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn schema(&self) -> &SchemaRef {
        match &self.layer {
            Some(layer) => layer.schema(),
            None => self.inner.schema(),
        }
    }

    fn trained_on(&self) -> u64 {
        self.inner.trained_on()
    }

    fn inner(&self) -> Option<&dyn Model> {
        Some(self.inner.as_ref())
    }

    fn query(&self) -> Option<&str> {
        self.inner.query()
    }

    fn options(&self) -> Vec<(String, String)> {
        match &self.layer {
            Some(_) => self.given.clone(),
            None => self.inner.options(),
        }
    }

    fn architecture(&self) -> Vec<(String, String)> {
        self.inner.architecture()
    }

    /// Nothing behind a layer: rows are drawn and checked, since the conditions are of other columns.
    fn given(&self, conditions: &[Condition]) -> Result<Option<Arc<dyn Draw>>> {
        match &self.layer {
            Some(_) => Ok(None),
            None => self.inner.given(conditions),
        }
    }

    fn completes(&self) -> bool {
        self.inner.completes()
    }

    fn complete(
        &self,
        rows: &RecordBatch,
        fill: Fill,
        keys: &[u64],
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        match &self.layer {
            Some(_) => plan_err!(
                "a model that makes keys or keeps constraints cannot continue rows; train one without them: leave keys out \
                 of the query, or write OPTIONS (identifiers 'learn')"
            ),
            None => self.inner.complete(rows, fill, keys, columns),
        }
    }

    /// None behind a layer: the inner model's codec is of other columns.
    fn codec(&self) -> Option<&Codec> {
        match &self.layer {
            Some(_) => None,
            None => self.inner.codec(),
        }
    }

    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        match &self.layer {
            None => self.inner.draw(keys, columns),
            Some(layer) => self.restore(layer, columns, &Places::Keys(keys), |needed| {
                self.inner.draw(keys, Some(needed))
            }),
        }
    }

    fn sample(
        &self,
        rows: Range<u64>,
        seed: u64,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        match &self.layer {
            None => self.inner.sample(rows, seed, columns),
            Some(layer) => {
                let places = Places::Rows(rows.clone(), seed);
                self.restore(layer, columns, &places, |needed| {
                    self.inner.sample(rows, seed, Some(needed))
                })
            }
        }
    }

    fn describe(&self) -> Vec<(String, String)> {
        let mut items = self.inner.describe();
        if let Some(reason) = &self.chosen {
            let at = items.len().min(1);
            items.insert(at, (CHOSEN.to_string(), reason.clone()));
        }
        let Some(layer) = &self.layer else {
            return items;
        };
        let made = layer.describe(self.inner.schema());
        if let Some((_, count)) = items.iter_mut().find(|(item, _)| item == "columns") {
            *count = made.len().to_string();
        }
        for (column, what) in made {
            let Some(what) = what else { continue };
            let item = format!("column {column}");
            // What was learnt of a text's moments, or of a column that is compared with others.
            match items.iter_mut().find(|(known, _)| *known == item) {
                Some((_, known)) => *known = format!("{what}: {known}"),
                None => items.push((item, what)),
            }
        }
        items
    }

    fn history(&self) -> &History {
        self.inner.history()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut file = ModelFile::from_bytes(&self.inner.to_bytes()?)?;
        if let Some(reason) = &self.chosen {
            file.set_text(CHOSEN, reason);
        }
        if let Some(layer) = &self.layer {
            layer.save(&mut file)?;
            let given = serde_json::to_string(&self.given)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            file.set_text(GIVEN, &given);
        }
        file.to_bytes()
    }
}
