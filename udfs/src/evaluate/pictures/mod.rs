//! How good generated pictures are, by what a small network says of them: the kernel of `evaluate_synthesis` where the
//! tables have pictures.
//!
//! The network, a `cnn` of the default size, learns the label from the real pictures; what its last layer but one says
//! of a picture are the picture's features. Copies are looked for among the pixels themselves.

mod points;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Float64Type, SchemaRef};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use super::Told;
use super::tables::{chosen, mixed};
use crate::fitted::counts::{MISSING, UNKNOWN};
use crate::predict::{Labels, Looker, Pictures};
use crate::random::key;
use crate::synthesize::Watch;
use crate::table::{Host, Rows, Stop, TableFunction, TableKernel, Whole};
use points::{Points, frechet, nearest, precision_and_recall};

/// Neighbours that a ball reaches to, as in the paper.
const NEIGHBOURS: usize = 3;
/// Of so many training pictures one is as near to another as a copy is to be.
const COPIES: usize = 20;

/// What is to be evaluated. The input's columns are the part (0 real, 1 synthetic, 2 held out), the picture and the
/// label.
#[derive(Debug, Clone)]
pub struct EvaluatePictures {
    pub target: String,
    pub holdout: bool,
    /// Pictures of a table that are looked at, at most.
    pub rows: usize,
    pub seed: i64,
}

impl TableFunction for EvaluatePictures {
    fn name(&self) -> &'static str {
        "evaluate_synthesis"
    }

    fn describe(&self) -> String {
        format!(
            "pictures; target={}, holdout={}, rows={}, seed={}",
            self.target, self.holdout, self.rows, self.seed
        )
    }

    fn schema(&self) -> SchemaRef {
        super::answer_schema(&[])
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        Ok(Box::new(Kernel {
            function: self.clone(),
            rows: Whole::default(),
        }))
    }
}

struct Kernel {
    function: EvaluatePictures,
    rows: Whole,
}

impl TableKernel for Kernel {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows.push(batch);
        Ok(())
    }

    fn size(&self) -> usize {
        self.rows.size()
    }

    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows> {
        let Self { function, rows } = *self;
        let Some(batch) = rows.in_order(host)? else {
            return exec_err!("evaluate_synthesis: the tables have no rows");
        };
        let tables = function.tables(&batch)?;
        let held = batch.get_array_memory_size();
        drop(batch);
        let pixels: usize = tables.iter().flatten().map(|t| t.pictures.bytes()).sum();
        let rows: usize = tables.iter().flatten().map(|t| t.labels.len()).sum();
        // the pictures, their features, distances of a picture to all others on each thread, and a network
        host.resize(held + pixels + rows * (1 << 10) + (host.threads() + 1) * (1 << 25))?;
        let stop = host.stop();
        let told = function.told(&tables, &stop)?;
        let texts = |text: &dyn Fn(&Told) -> Option<String>| -> ArrayRef {
            Arc::new(told.iter().map(text).collect::<StringArray>())
        };
        let values: Float64Array = told.iter().map(|told| told.value).collect();
        let columns: Vec<ArrayRef> = vec![
            texts(&|told| Some(told.metric.to_string())),
            texts(&|told| told.column.clone()),
            Arc::new(values),
            texts(&|told| Some(told.meaning.clone())),
        ];
        let batch = RecordBatch::try_new(function.schema(), columns)?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

/// The pictures of a table that have a label which the real table has.
struct Table {
    pictures: Pictures,
    labels: Vec<u32>,
}

/// A training that ends with the run.
struct Running<'a>(&'a Stop);

impl Watch for Running<'_> {
    fn epoch(&self, _: u64, _: u64, _: &str) {}

    fn cancelled(&self) -> bool {
        self.0.check().is_err()
    }
}

impl EvaluatePictures {
    /// The real, the synthetic and the held-out pictures.
    fn tables(&self, batch: &RecordBatch) -> Result<[Option<Table>; 3]> {
        let parts = cast(batch.column(0), &DataType::Float64)?;
        let parts = parts.as_primitive::<Float64Type>().values();
        let begin = |part: f64| parts.partition_point(|p| *p < part);
        let ends = [0, begin(1.0), begin(2.0), batch.num_rows()];
        let seed = mixed(key::start("pictures"), self.seed.cast_unsigned());
        let field = Field::new(&self.target, batch.column(2).data_type().clone(), true);
        let labels = Labels::fit(&field, &batch.column(2).slice(0, ends[1]))?;
        let mut frame = None;
        let mut tables = [None, None, None];
        for (at, name) in ["real", "synthetic", "holdout"].into_iter().enumerate() {
            if name == "holdout" && !self.holdout {
                continue;
            }
            let rows = ends[at + 1] - ends[at];
            let taken = chosen(rows, self.rows, mixed(seed, at as u64));
            let taken = UInt32Array::from(taken);
            let column = |column: usize| {
                let column = batch.column(column).slice(ends[at], rows);
                take(&column, &taken, None)
            };
            let codes = labels.codes(&column(2)?)?;
            let known = (0..codes.len() as u32)
                .filter(|row| codes[*row as usize] != MISSING && codes[*row as usize] != UNKNOWN);
            let known = known.collect::<UInt32Array>();
            let pictures = take(&column(1)?, &known, None)?;
            let read = Pictures::read(&pictures, frame);
            let (pictures, rows) = read.map_err(|error| {
                exec_datafusion_err!("evaluate_synthesis: {name}: {}", error.message())
            })?;
            frame = Some(pictures.frame);
            let label = |row: &u32| codes[known.value(*row as usize) as usize];
            tables[at] = Some(Table {
                labels: rows.iter().map(label).collect(),
                pictures,
            });
        }
        Ok(tables)
    }

    fn told(&self, tables: &[Option<Table>; 3], stop: &Stop) -> Result<Vec<Told>> {
        let [Some(real), Some(synthetic), holdout] = tables else {
            return exec_err!("evaluate_synthesis: a table has no pictures");
        };
        let classes = real
            .labels
            .iter()
            .max()
            .map_or(0, |most| *most as usize + 1);
        let running = Running(stop);
        let learn = |table: &Table| {
            Looker::learn(&table.pictures, &table.labels, classes, self.seed, &running)
        };
        let of_real = learn(real)?;
        let look = |looker: &Looker, table: &Table| looker.look(&table.pictures);
        let (features, _) = look(&of_real, real);
        let (of_synthetic, _) = look(&of_real, synthetic);
        let of_holdout = holdout.as_ref().map(|table| look(&of_real, table));
        let points = |numbers| Points {
            width: of_real.features(),
            numbers,
        };
        let real_points = points(&features);
        let synthetic_points = points(&of_synthetic);
        let holdout_points = of_holdout.as_ref().map(|(numbers, _)| points(numbers));
        let mut told = Vec::new();
        let mut tell = |metric, column: Option<&str>, value: Option<f64>, meaning: &str| {
            told.push(Told {
                metric,
                column: column.map(str::to_string),
                value: value.filter(|value| value.is_finite()),
                meaning: meaning.to_string(),
            });
        };
        tell(
            "frechet_distance",
            None,
            frechet(real_points, synthetic_points),
            "the Fréchet distance of the features of real and of synthetic pictures; 0 is the same",
        );
        if let Some(held) = holdout_points {
            tell(
                "frechet_floor",
                None,
                frechet(real_points, held),
                "the same of the real pictures and those held out: what real pictures would have",
            );
        }
        let near = precision_and_recall(real_points, synthetic_points, NEIGHBOURS);
        tell(
            "precision",
            None,
            near.map(|near| near.0),
            "the share of synthetic pictures among the real ones, by their 3rd nearest neighbour: are they real?",
        );
        tell(
            "recall",
            None,
            near.map(|near| near.1),
            "the share of real pictures among the synthetic ones: do they show all there is?",
        );
        if let Some(held) = holdout_points {
            let near = precision_and_recall(real_points, held, NEIGHBOURS);
            tell(
                "precision_held_out",
                None,
                near.map(|near| near.0),
                "precision of the pictures held out",
            );
            tell(
                "recall_held_out",
                None,
                near.map(|near| near.1),
                "recall of the pictures held out",
            );
        }
        stop.check()?;
        let (test, where_) = match holdout {
            Some(holdout) => (holdout, "those held out"),
            None => (real, "the real ones, as there is no holdout"),
        };
        let accuracy = |looker: &Looker| {
            let (_, told) = look(looker, test);
            super::scores::accuracy(&test.labels, &told)
        };
        let on_synthetic = match synthetic.labels.len() {
            0 => None,
            _ => accuracy(&learn(synthetic)?),
        };
        let target = Some(self.target.as_str());
        tell(
            "tstr_accuracy",
            target,
            on_synthetic,
            &format!("accuracy of a network that learnt synthetic pictures alone, on {where_}"),
        );
        tell(
            "trtr_accuracy",
            target,
            accuracy(&of_real),
            &format!(
                "accuracy of a network that learnt the real pictures, on {where_}: the ceiling"
            ),
        );
        let cells = real.pictures.frame.cells();
        let mut near = nearest(real.pictures.pixels(), None, cells);
        near.sort_unstable();
        // as near as the nearest twentieth of the real pictures are to each other
        let bound = near.get(near.len() / COPIES).copied().unwrap_or(0);
        let copies = |table: &Table| {
            let near = nearest(table.pictures.pixels(), Some(real.pictures.pixels()), cells);
            let copies = near.iter().filter(|near| **near <= bound).count();
            Some(copies as f64 / near.len().max(1) as f64)
        };
        tell(
            "copies",
            None,
            copies(synthetic),
            "the share of synthetic pictures whose pixels are as near to a real one's as those of the nearest 5 % of real \
             pictures are to another's",
        );
        if let Some(holdout) = holdout {
            tell(
                "copies_held_out",
                None,
                copies(holdout),
                "the same of the pictures held out: what no copying gives",
            );
        }
        Ok(told)
    }
}
