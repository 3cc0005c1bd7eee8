//! How well a model predicts: the kernel of `evaluate`, with scikit-learn's definitions.
//!
//! It counts; only AUC needs the probabilities of all rows, and only where it is asked for are they held. Sums are
//! exact, so that nothing depends on the order of rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion_common::{Result, exec_err};

use crate::evaluate::scores::auc;
use crate::fitted::moments::Moments;
use crate::fitted::numbers::Numbers;
use crate::learn::largest;
use crate::table::{Host, Rows, TableFunction, TableKernel, in_parallel};

/// What is told of a model's predictions. The input has two columns: the label as text, and the probabilities, a
/// struct with a field a class.
#[derive(Debug, Clone)]
pub struct Evaluate {
    model: String,
    classes: Vec<String>,
    auc: bool,
    schema: SchemaRef,
}

impl Evaluate {
    /// Of a model of this name and these classes; `auc` says whether AUC is told as well.
    pub fn new(model: impl Into<String>, classes: &[String], auc: bool) -> Self {
        let fields = vec![
            Field::new("metric", DataType::Utf8, false),
            Field::new("class", DataType::Utf8, true),
            Field::new("predicted", DataType::Utf8, true),
            Field::new("value", DataType::Float64, true),
        ];
        Self {
            model: model.into(),
            classes: classes.to_vec(),
            auc,
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

impl TableFunction for Evaluate {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn describe(&self) -> String {
        format!("model={}, auc={}", self.model, self.auc)
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        Ok(Box::new(Kernel {
            confusion: Confusion::new(&self.classes),
            function: self.clone(),
            losses: Moments::default(),
            unlabelled: 0,
            untold: 0,
            is: Vec::new(),
            told: vec![Vec::new(); self.classes.len()],
        }))
    }
}

/// How often each class was taken for each.
#[derive(Debug)]
struct Confusion {
    /// The model's classes, then classes of the rows that it does not know.
    classes: BTreeMap<String, usize>,
    /// By the true class, then by the predicted one.
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    fn new(classes: &[String]) -> Self {
        Self {
            classes: classes.iter().cloned().zip(0..).collect(),
            counts: vec![vec![0; classes.len()]; classes.len()],
        }
    }

    /// The place of a class, a new one if it is not known.
    fn place(&mut self, class: &str) -> usize {
        if let Some(place) = self.classes.get(class) {
            return *place;
        }
        let place = self.counts.len();
        self.classes.insert(class.to_string(), place);
        self.counts.push(vec![0; self.counts[0].len()]);
        place
    }
}

struct Kernel {
    function: Evaluate,
    confusion: Confusion,
    losses: Moments,
    unlabelled: u64,
    /// Rows that the model has no probabilities for.
    untold: u64,
    /// Of each row the class, and of each class the rows' probabilities; empty without AUC.
    is: Vec<u32>,
    told: Vec<Vec<f64>>,
}

impl TableKernel for Kernel {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let labels = cast(batch.column(0), &DataType::Utf8)?;
        let labels = labels.as_string::<i32>();
        let Some(told) = batch.column(1).as_struct_opt() else {
            return exec_err!("evaluate: the probabilities are no struct");
        };
        let told: Vec<&Float64Array> = told
            .columns()
            .iter()
            .map(|column| column.as_primitive::<Float64Type>())
            .collect();
        let mut row_told = vec![0.0; told.len()];
        let mut losses = Vec::with_capacity(batch.num_rows());
        for (row, label) in labels.iter().enumerate() {
            let Some(label) = label else {
                self.unlabelled += 1;
                continue;
            };
            if told.iter().any(|column| column.is_null(row)) {
                self.untold += 1;
                continue;
            }
            for (p, column) in row_told.iter_mut().zip(&told) {
                *p = column.value(row);
            }
            let class = self.confusion.place(label);
            self.confusion.counts[class][largest(&row_told)] += 1;
            let own = row_told.get(class).copied().unwrap_or(0.0);
            losses.push(-own.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln());
            if self.function.auc {
                self.is.push(class as u32);
                for (all, p) in self.told.iter_mut().zip(&row_told) {
                    all.push(*p);
                }
            }
        }
        self.losses.add(&losses);
        Ok(())
    }

    fn size(&self) -> usize {
        let told: usize = self.told.iter().map(Vec::capacity).sum();
        8 * told + 4 * self.is.capacity()
    }

    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows> {
        // a class at a time on each thread: its probabilities with their keys, in order
        host.resize(self.size() + 40 * self.is.len() * host.threads())?;
        let areas = match self.function.auc {
            true => self.areas(host.threads())?,
            false => Vec::new(),
        };
        let answer = self.answer(&areas);
        let texts = |text: &dyn Fn(&Told) -> Option<String>| -> ArrayRef {
            Arc::new(answer.iter().map(text).collect::<StringArray>())
        };
        let values: Float64Array = answer.iter().map(|told| told.value).collect();
        let columns = vec![
            texts(&|told| Some(told.metric.to_string())),
            texts(&|told| told.class.clone()),
            texts(&|told| told.predicted.clone()),
            Arc::new(values),
        ];
        let batch = RecordBatch::try_new(self.function.schema(), columns)?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

/// A row of the answer.
struct Told {
    metric: &'static str,
    class: Option<String>,
    predicted: Option<String>,
    value: Option<f64>,
}

impl Told {
    fn all(metric: &'static str, value: Option<f64>) -> Self {
        Self {
            metric,
            class: None,
            predicted: None,
            value,
        }
    }
}

impl Kernel {
    /// Of each class the area under its ROC curve against all others; of two classes that of the second alone.
    fn areas(&self, threads: usize) -> Result<Vec<Option<f64>>> {
        let first = if self.told.len() == 2 { 1 } else { 0 };
        in_parallel((first..self.told.len()).collect(), threads, |class| {
            let is: Vec<bool> = self.is.iter().map(|is| *is as usize == class).collect();
            Ok(auc(&is, &self.told[class]))
        })
    }

    fn answer(&self, areas: &[Option<f64>]) -> Vec<Told> {
        let Confusion { classes, counts } = &self.confusion;
        let known = self.function.classes.len();
        let mut names = vec![""; counts.len()];
        for (name, place) in classes {
            names[*place] = name;
        }
        // in the order of the model's classes, then others by name
        names[known..].sort_unstable();
        let counts: Vec<&Vec<u64>> = names.iter().map(|name| &counts[classes[*name]]).collect();
        let support: Vec<u64> = counts.iter().map(|row| row.iter().sum()).collect();
        let rows: u64 = support.iter().sum();
        let share = |part: u64, of: u64| if of > 0 { part as f64 / of as f64 } else { 0.0 };
        let right: u64 = (0..known).map(|class| counts[class][class]).sum();
        let some = |value: f64| (rows > 0).then_some(value);
        let mut by_class = Vec::new();
        let mut means = [0.0; 3];
        // as scikit-learn: classes that neither are nor were told do not count
        let mut counted = 0.0;
        for (class, name) in names.iter().enumerate() {
            let hits = counts[class].get(class).copied().unwrap_or(0);
            let told: u64 = match class < known {
                true => counts.iter().map(|row| row[class]).sum(),
                false => 0,
            };
            let figures = [
                ("precision", share(hits, told)),
                ("recall", share(hits, support[class])),
                ("f1", share(2 * hits, told + support[class])),
            ];
            if told + support[class] > 0 {
                counted += 1.0;
                for (mean, (_, value)) in means.iter_mut().zip(figures) {
                    *mean += value;
                }
            }
            let support = ("support", support[class] as f64);
            for (metric, value) in figures.into_iter().chain([support]) {
                by_class.push(Told {
                    class: Some(name.to_string()),
                    ..Told::all(metric, Some(value))
                });
            }
            if let (Some(area), true) = (areas.get(class), known > 2) {
                by_class.push(Told {
                    class: Some(name.to_string()),
                    ..Told::all("auc", *area)
                });
            }
        }
        let mut answer = vec![Told::all("rows", Some(rows as f64))];
        for (metric, count) in [
            ("rows_without_label", self.unlabelled),
            ("rows_without_prediction", self.untold),
        ] {
            if count > 0 {
                answer.push(Told::all(metric, Some(count as f64)));
            }
        }
        answer.push(Told::all("accuracy", some(share(right, rows))));
        answer.push(Told::all("log_loss", self.losses.mean()));
        if self.function.auc {
            let there: Option<Vec<f64>> = areas.iter().copied().collect();
            let mean = there.map(|areas| areas.iter().sum::<f64>() / areas.len() as f64);
            answer.push(Told::all("auc", mean));
        }
        for (metric, sum) in ["precision", "recall", "f1"].into_iter().zip(means) {
            answer.push(Told::all(metric, some(sum / counted)));
        }
        answer.extend(by_class);
        for (name, row) in names.iter().zip(counts) {
            for (predicted, count) in self.function.classes.iter().zip(row) {
                answer.push(Told {
                    metric: "confusion",
                    class: Some(name.to_string()),
                    predicted: Some(predicted.clone()),
                    value: Some(*count as f64),
                });
            }
        }
        answer
    }
}
