//! How good synthetic tables are: kernels that compare a synthetic table with the real one and with rows held out of it.
//!
//! All tables come in as one, a first column telling them apart ([`Tables::read`]). What is measured on a sample draws it
//! by a hash of a row's place in the order of what the rows hold.

pub mod histograms;
mod learnt;
mod pictures;
mod privacy;
pub(crate) mod scores;
mod shape;
mod tables;
mod trend;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Result, exec_err};
use rayon::ThreadPool;

use crate::learn::boosting::{Column, pool};
use crate::random::key;
use crate::table::{Host, Rows, Stop, TableFunction, TableKernel, Whole, in_parallel};
use learnt::{Goal, Learner, MOST_CLASSES, Utility, mean};
use privacy::{Points, Scale, copies, nearest, quantile, share_nearer};
use tables::{chosen, mixed};

pub use pictures::EvaluatePictures;
pub use tables::{Shared, Table, Tables};

/// A family of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    Shape,
    Trend,
    Wnmis,
    C2st,
    Tstr,
    Privacy,
    Coverage,
}

impl Metric {
    /// All of them and the names they are asked for by.
    pub const ALL: [(&'static str, Self); 7] = [
        ("shape", Self::Shape),
        ("trend", Self::Trend),
        ("wnmis", Self::Wnmis),
        ("c2st", Self::C2st),
        ("tstr", Self::Tstr),
        ("privacy", Self::Privacy),
        ("coverage", Self::Coverage),
    ];
}

/// What there are rows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// The tables as wholes.
    Summary,
    /// Also each column.
    Columns,
    /// Also each pair of columns.
    Pairs,
}

/// What is to be evaluated, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub columns: Vec<Shared>,
    pub holdout: bool,
    pub target: Option<usize>,
    pub metrics: Vec<Metric>,
    pub detail: Detail,
    /// Whether the same is told of the three controls.
    pub controls: bool,
    /// Rows of a table that are learnt from, and whose nearest are looked for, at most.
    pub rows: usize,
    pub seed: i64,
}

/// A row a metric, of a synthetic table.
#[derive(Debug, Clone)]
pub struct EvaluateSynthesis {
    plan: Arc<Plan>,
    schema: SchemaRef,
}

impl EvaluateSynthesis {
    /// Of tables of these columns.
    pub fn new(plan: Plan) -> Self {
        let controls: &[&str] = match plan.controls {
            true => &["independent", "copied", "held_out"],
            false => &[],
        };
        Self {
            plan: Arc::new(plan),
            schema: answer_schema(controls),
        }
    }
}

/// The columns of an answer, a number of each control among them.
fn answer_schema(controls: &[&str]) -> SchemaRef {
    let mut fields = vec![
        Field::new("metric", DataType::Utf8, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
    ];
    let number = |name: &&str| Field::new(*name, DataType::Float64, true);
    fields.extend(controls.iter().map(number));
    fields.push(Field::new("meaning", DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

impl TableFunction for EvaluateSynthesis {
    fn name(&self) -> &'static str {
        "evaluate_synthesis"
    }

    fn describe(&self) -> String {
        let plan = &self.plan;
        let names: Vec<&str> = plan.columns.iter().map(|c| c.name.as_str()).collect();
        format!(
            "{}; holdout={}, target={:?}, metrics={:?}, detail={:?}, controls={}, rows={}, seed={}",
            names.join(", "),
            plan.holdout,
            plan.target.map(|t| names[t]),
            plan.metrics,
            plan.detail,
            plan.controls,
            plan.rows,
            plan.seed
        )
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        Ok(Box::new(Kernel {
            function: self.clone(),
            rows: Whole::default(),
        }))
    }
}

struct Kernel {
    function: EvaluateSynthesis,
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
        let plan = &function.plan;
        let Some(batch) = rows.in_order(host)? else {
            return exec_err!("evaluate_synthesis: the tables have no rows");
        };
        let (rows, width) = (batch.num_rows(), plan.columns.len());
        let held = batch.get_array_memory_size();
        host.resize(held + rows * 8 * width + held)?;
        let tables = Tables::read(&plan.columns, &batch, plan.holdout)?;
        drop(batch);
        // a control's columns; codes of pairs, or bins and histograms of trees, or distances
        let table = tables.bytes() + rows * 8 * width;
        host.resize(
            table + rows * (24 * width + 128) + width * (1 << 18) + host.threads() * (1 << 22),
        )?;
        let threads = host.threads();
        let stop = host.stop();
        let evaluation = Evaluation {
            plan,
            tables: &tables,
            goal: plan.target.and_then(|target| Goal::of(&tables, target)),
            pool: &pool(threads)?,
            threads,
            stop: &stop,
            seed: mixed(key::start("evaluate_synthesis"), plan.seed.cast_unsigned()),
        };
        let told = evaluation.of(&tables.synthetic, Of::Synthetic)?;
        let mut controls = Vec::new();
        if plan.controls {
            let independent = tables.real.independent(evaluation.seed);
            controls.push(evaluation.of(&independent, Of::Independent)?);
            drop(independent);
            controls.push(evaluation.of(&tables.real, Of::Copied)?);
            controls.push(match &tables.holdout {
                Some(holdout) => evaluation.of(holdout, Of::HeldOut)?,
                None => Vec::new(),
            });
        }
        let numbers = |told: &[Told], rows: usize| -> ArrayRef {
            let values = (0..rows).map(|i| told.get(i).and_then(|t| t.value));
            Arc::new(
                values
                    .map(|v| v.filter(|v| !v.is_nan()))
                    .collect::<Float64Array>(),
            )
        };
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(told.iter().map(|t| Some(t.metric)).collect::<StringArray>()),
            Arc::new(
                told.iter()
                    .map(|t| t.column.as_deref())
                    .collect::<StringArray>(),
            ),
            numbers(&told, told.len()),
        ];
        arrays.extend(controls.iter().map(|control| numbers(control, told.len())));
        let meanings = told.iter().map(|t| Some(t.meaning.as_str()));
        arrays.push(Arc::new(meanings.collect::<StringArray>()));
        let batch = RecordBatch::try_new(function.schema(), arrays)?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

/// What stands in the synthetic table's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Synthetic,
    /// The real columns, each drawn for itself.
    Independent,
    /// The real table.
    Copied,
    /// The holdout; what is tested on it cannot be learnt from it.
    HeldOut,
}

/// A row of the answer.
#[derive(Debug)]
struct Told {
    metric: &'static str,
    column: Option<String>,
    value: Option<f64>,
    meaning: String,
}

struct Evaluation<'a> {
    plan: &'a Plan,
    tables: &'a Tables,
    goal: Option<Goal>,
    pool: &'a ThreadPool,
    threads: usize,
    stop: &'a Stop,
    seed: u64,
}

impl Evaluation<'_> {
    /// All metrics; the rows are the same whatever stands in the synthetic table's place.
    fn of(&self, synthetic: &Table, of: Of) -> Result<Vec<Told>> {
        let mut told = Answer {
            detail: self.plan.detail,
            told: Vec::new(),
        };
        let wanted = |metric| self.plan.metrics.contains(&metric);
        if wanted(Metric::Shape) {
            self.shape(synthetic, &mut told)?;
        }
        if wanted(Metric::Trend) || wanted(Metric::Wnmis) {
            self.trend(synthetic, &mut told)?;
        }
        if wanted(Metric::C2st) {
            self.c2st(synthetic, &mut told)?;
        }
        if wanted(Metric::Tstr) && self.plan.target.is_some() {
            self.tstr(synthetic, of, &mut told)?;
        }
        if wanted(Metric::Privacy) {
            self.privacy(synthetic, of, &mut told)?;
        }
        if wanted(Metric::Coverage) {
            self.coverage(synthetic, &mut told);
        }
        Ok(told.told)
    }

    fn learner(&self) -> Learner<'_> {
        Learner {
            pool: self.pool,
            stop: self.stop,
            rows: self.plan.rows,
            seed: self.seed,
        }
    }

    fn name(&self, column: usize) -> &str {
        &self.tables.shared[column].name
    }

    fn shape(&self, synthetic: &Table, told: &mut Answer) -> Result<()> {
        let real = &self.tables.real;
        let columns = (0..real.columns.len()).collect();
        let shapes = in_parallel(columns, self.threads, |at: usize| {
            self.stop.check()?;
            Ok(match (&real.columns[at], &synthetic.columns[at]) {
                (Column::Numbers(a), Column::Numbers(b)) => shape::ks_complement(a, b),
                (Column::Categories(a), Column::Categories(b)) => {
                    shape::tv_complement(a, b, self.tables.many(at))
                }
                _ => None,
            })
        })?;
        told.all(
            "shape",
            mean(shapes.iter().copied()),
            "how alike the distributions of each column's values are, the mean of the columns; 1 is the same",
        );
        for (at, value) in shapes.into_iter().enumerate() {
            let (metric, meaning) = match self.tables.shared[at].is_number {
                true => (
                    "ks_complement",
                    "1 - the largest difference of the distribution functions",
                ),
                false => (
                    "tv_complement",
                    "1 - half the sum of the differences of the categories' shares",
                ),
            };
            told.column(metric, self.name(at), value, meaning);
        }
        Ok(())
    }

    fn trend(&self, synthetic: &Table, told: &mut Answer) -> Result<()> {
        let pairs = trend::pairs(
            self.tables,
            &self.tables.real,
            synthetic,
            self.threads,
            self.stop,
        )?;
        let places = trend::places(self.tables.shared.len());
        if self.plan.metrics.contains(&Metric::Trend) {
            told.all(
                "trend",
                mean(pairs.iter().map(|p| p.similarity)),
                "how alike pairs of columns go together, the mean of all pairs; 1 is the same",
            );
            for at in 0..self.tables.shared.len() {
                let of = places
                    .iter()
                    .zip(&pairs)
                    .filter(|((a, b), _)| *a == at || *b == at);
                let value = mean(of.map(|(_, pair)| pair.similarity));
                told.column(
                    "trend",
                    self.name(at),
                    value,
                    "the mean of the pairs that the column is of",
                );
            }
            for ((a, b), pair) in places.iter().zip(&pairs) {
                let (metric, meaning) = match pair.correlated {
                    true => (
                        "correlation_similarity",
                        "1 - half the difference of Pearson's correlations",
                    ),
                    false => (
                        "contingency_similarity",
                        "1 - half the sum of the differences of the shares of pairs of values, numbers in 10 bins of the \
                         real table's range",
                    ),
                };
                let names = format!("{}, {}", self.name(*a), self.name(*b));
                told.pair(metric, &names, pair.similarity, meaning);
                let measure = match pair.correlated {
                    true => "Pearson's correlation",
                    false => "Cramér's V",
                };
                for (metric, table, value) in [
                    ("association_real", "real", pair.association[0]),
                    ("association_synthetic", "synthetic", pair.association[1]),
                ] {
                    told.pair(
                        metric,
                        &names,
                        value,
                        &format!("{measure} in the {table} table"),
                    );
                }
            }
        }
        if self.plan.metrics.contains(&Metric::Wnmis) {
            told.all(
                "wnmis",
                trend::wnmis(&pairs),
                "how far the normalised mutual information of pairs of columns, numbers by their tenths, has moved, weighted by \
                 how much of it there is; 0 is the same",
            );
        }
        Ok(())
    }

    /// What is said of a metric that looks at fewer rows than there are.
    fn sampled(&self, rows: usize) -> String {
        match rows > self.plan.rows {
            true => format!("; of {} rows drawn from {rows}", self.plan.rows),
            false => String::new(),
        }
    }

    fn c2st(&self, synthetic: &Table, told: &mut Answer) -> Result<()> {
        let value = self.learner().c2st(&self.tables.real, synthetic)?;
        let rows = self.tables.real.rows.max(synthetic.rows);
        let meaning = match value {
            Some(_) => format!(
                "how badly boosted trees tell synthetic rows from as many real ones, over 3 folds: 1 cannot, 0 always can{}",
                self.sampled(rows)
            ),
            None => "NULL: fewer than 10 rows in a table".to_string(),
        };
        told.all("c2st", value, &meaning);
        Ok(())
    }

    fn tstr(&self, synthetic: &Table, of: Of, told: &mut Answer) -> Result<()> {
        let target = self.plan.target.unwrap_or(0);
        let column = self.name(target);
        let Some(goal) = &self.goal else {
            told.of(
                "tstr",
                column,
                None,
                "NULL: the target has no values in the real table",
            );
            return Ok(());
        };
        if goal.classes() > MOST_CLASSES {
            let meaning = format!("NULL: the target has more than {MOST_CLASSES} classes");
            told.of("tstr", column, None, &meaning);
            return Ok(());
        }
        let (test, where_) = match &self.tables.holdout {
            Some(holdout) => (holdout, "the holdout"),
            None => (&self.tables.real, "the real table, as there is no holdout"),
        };
        let learner = self.learner();
        let utility = match of {
            Of::HeldOut => Utility::default(),
            _ => learner.utility(goal, synthetic, test)?,
        };
        let real = match (of, &self.tables.holdout) {
            (Of::Synthetic, Some(holdout)) => learner.utility(goal, &self.tables.real, holdout)?,
            _ => Utility::default(),
        };
        let class = goal.class(self.tables);
        let names: Vec<(&str, &str, String)> = match goal.classes() {
            0 => vec![
                ("tstr_r2", "trtr_r2", "R2".into()),
                (
                    "tstr_rmse",
                    "trtr_rmse",
                    "root of the mean squared error".into(),
                ),
            ],
            2 => vec![
                ("tstr_auc", "trtr_auc", "area under the ROC curve".into()),
                ("tstr_accuracy", "trtr_accuracy", "accuracy".into()),
                ("tstr_f1", "trtr_f1", format!("F1 of {class}")),
            ],
            _ => vec![
                (
                    "tstr_auc",
                    "trtr_auc",
                    "area under the ROC curve, the mean of each class against the others".into(),
                ),
                ("tstr_accuracy", "trtr_accuracy", "accuracy".into()),
                ("tstr_f1", "trtr_f1", "F1, the mean of the classes".into()),
            ],
        };
        for ((name, _, what), value) in names.iter().zip(utility.0) {
            let sampled = self.sampled(synthetic.rows);
            let meaning = format!(
                "{what} on {where_} of boosted trees learnt from the synthetic table{sampled}"
            );
            told.of(name, column, value, &meaning);
        }
        for ((_, name, what), value) in names.iter().zip(real.0) {
            let meaning = match &self.tables.holdout {
                Some(_) => format!(
                    "{what} on {where_} of boosted trees learnt from the real table: what is to be reached{}",
                    self.sampled(self.tables.real.rows)
                ),
                None => "NULL: write holdout => (SELECT ...), rows that no model has learnt from"
                    .to_string(),
            };
            told.of(name, column, value, &meaning);
        }
        Ok(())
    }

    fn privacy(&self, synthetic: &Table, of: Of, told: &mut Answer) -> Result<()> {
        let real = &self.tables.real;
        let no_holdout = "NULL: write holdout => (SELECT ...), rows that no model has learnt from";
        let at_most = self.plan.rows;
        let compared = self
            .tables
            .holdout
            .as_ref()
            .map_or(real.rows, |h| h.rows.min(real.rows))
            .min(at_most);
        let part = |table: &Table, rows: usize, hash: u64| {
            table.take(&chosen(table.rows, rows, mixed(self.seed, hash)))
        };
        let scale = Scale::of(real);
        let train = scale.rows(&part(real, compared, 6));
        let points = scale.rows(&part(synthetic, at_most, 7));
        let search =
            |points: &Points, others: &Points| nearest(points, others, self.threads, self.stop);
        let mut to_train = match of {
            Of::HeldOut => Vec::new(),
            _ => search(&points, &train)?,
        };
        let mut of_holdout = Vec::new();
        let mut share = None;
        if let Some(holdout) = &self.tables.holdout {
            let holdout = scale.rows(&part(holdout, compared, 8));
            if of != Of::HeldOut {
                share = share_nearer(&to_train, &search(&points, &holdout)?);
            }
            if of == Of::Synthetic {
                of_holdout = search(&holdout, &train)?;
            }
        }
        let rows = format!(
            "; {} synthetic rows, {compared} each of the real table{}",
            synthetic.rows.min(at_most),
            if self.tables.holdout.is_some() {
                " and of the holdout"
            } else {
                ""
            }
        );
        let with_holdout = |meaning: String| match self.tables.holdout {
            Some(_) => meaning,
            None => no_holdout.to_string(),
        };
        told.all(
            "dcr_share",
            share,
            &with_holdout(format!(
                "the share of synthetic rows that are nearer to a real row than to a row of the holdout: 0.5 is ideal, more is \
                 learnt by heart{rows}"
            )),
        );
        let copied = match of {
            Of::HeldOut => None,
            _ => copies(synthetic, real),
        };
        told.all(
            "copies",
            copied,
            "the share of synthetic rows that the real table has to the letter",
        );
        let copied = match (of, &self.tables.holdout) {
            (Of::Synthetic, Some(holdout)) => copies(holdout, real),
            _ => None,
        };
        told.all(
            "copies_holdout",
            copied,
            &with_holdout("the share of rows of the holdout that the real table has to the letter: what comes by chance".into()),
        );
        for (name, q, which) in [
            ("distance_5", 0.05, "the nearest twentieth"),
            ("distance_50", 0.5, "half"),
        ] {
            let value = quantile(&mut to_train, q);
            let meaning = format!(
                "{which} of the synthetic rows are no farther than this from a real row{rows}"
            );
            told.all(name, value, &meaning);
        }
        for (name, q, which) in [
            ("distance_5_holdout", 0.05, "the nearest twentieth"),
            ("distance_50_holdout", 0.5, "half"),
        ] {
            let value = quantile(&mut of_holdout, q);
            let meaning = format!(
                "{which} of the rows of the holdout are no farther than this from a real row: synthetic rows should not be nearer"
            );
            told.all(name, value, &with_holdout(meaning));
        }
        Ok(())
    }

    fn coverage(&self, synthetic: &Table, told: &mut Answer) {
        let real = &self.tables.real;
        let columns = || real.columns.iter().zip(&synthetic.columns).enumerate();
        let numbers = |f: fn(&[f64], &[f64]) -> Option<f64>| -> Vec<(usize, Option<f64>)> {
            columns()
                .filter_map(|(at, pair)| match pair {
                    (Column::Numbers(a), Column::Numbers(b)) => Some((at, f(a, b))),
                    _ => None,
                })
                .collect()
        };
        let (covered, adherent): (Vec<_>, Vec<_>) = columns()
            .filter_map(|(at, pair)| match pair {
                (Column::Categories(a), Column::Categories(b)) => {
                    let (covered, adherent) = shape::categories(a, b, self.tables.many(at));
                    Some(((at, covered), (at, adherent)))
                }
                _ => None,
            })
            .unzip();
        let missing = columns().map(|(at, (a, b))| (at, shape::missing_similarity(a, b)));
        for (metric, values, meaning) in [
            (
                "range_coverage",
                numbers(shape::range_coverage),
                "how much of the range of the real values the synthetic ones cover",
            ),
            (
                "boundary_adherence",
                numbers(shape::boundary_adherence),
                "the share of synthetic values in the range of the real ones",
            ),
            (
                "category_coverage",
                covered,
                "the share of the real categories that are among the synthetic ones",
            ),
            (
                "category_adherence",
                adherent,
                "the share of synthetic values that are of a real category",
            ),
            (
                "missing_similarity",
                missing.collect(),
                "1 - the difference of the shares of missing values",
            ),
        ] {
            if values.is_empty() {
                continue;
            }
            let all = format!("{meaning}, the mean of the columns");
            told.all(metric, mean(values.iter().map(|v| v.1)), &all);
            for (at, value) in values {
                told.column(metric, self.name(at), value, meaning);
            }
        }
    }
}

/// The rows of the answer so far.
struct Answer {
    detail: Detail,
    told: Vec<Told>,
}

impl Answer {
    /// Of the tables as wholes.
    fn all(&mut self, metric: &'static str, value: Option<f64>, meaning: &str) {
        self.told.push(Told {
            metric,
            column: None,
            value,
            meaning: meaning.to_string(),
        });
    }

    /// Of the tables as wholes by way of a column.
    fn of(&mut self, metric: &'static str, column: &str, value: Option<f64>, meaning: &str) {
        self.told.push(Told {
            metric,
            column: Some(column.to_string()),
            value,
            meaning: meaning.to_string(),
        });
    }

    fn column(&mut self, metric: &'static str, column: &str, value: Option<f64>, meaning: &str) {
        if self.detail >= Detail::Columns {
            self.of(metric, column, value, meaning);
        }
    }

    fn pair(&mut self, metric: &'static str, columns: &str, value: Option<f64>, meaning: &str) {
        if self.detail >= Detail::Pairs {
            self.of(metric, columns, value, meaning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::{run, run_any_way};
    use arrow::array::{Array, AsArray, Int64Array};
    use arrow::datatypes::Float64Type;

    /// Real rows, synthetic ones like them, and a holdout: `n` each.
    fn batch(n: usize) -> RecordBatch {
        let draw = |i: usize, k: u64| mixed(k, i as u64) % 1000;
        let part: Int64Array = (0..3 * n).map(|i| Some((i % 3) as i64)).collect();
        let x: Float64Array = (0..3 * n)
            .map(|i| (draw(i, 1) > 50).then(|| draw(i, 2) as f64 / 10.0))
            .collect();
        let kind: StringArray = (0..3 * n)
            .map(|i| match draw(i, 3) {
                0..100 => None,
                100..500 => Some("ä"),
                _ => Some("b"),
            })
            .collect();
        let y: Float64Array = (0..3 * n)
            .map(|i| Some(f64::from(u8::from(draw(i, 2) + draw(i, 4) > 1000))))
            .collect();
        RecordBatch::try_from_iter_with_nullable([
            ("part", Arc::new(part) as ArrayRef, true),
            ("x", Arc::new(x) as ArrayRef, true),
            ("kind", Arc::new(kind) as ArrayRef, true),
            ("y", Arc::new(y) as ArrayRef, true),
        ])
        .unwrap()
    }

    fn function(controls: bool) -> EvaluateSynthesis {
        let column = |name: &str, is_number| Shared {
            name: name.to_string(),
            is_number,
        };
        EvaluateSynthesis::new(Plan {
            columns: vec![column("x", true), column("kind", false), column("y", true)],
            holdout: true,
            target: Some(2),
            metrics: Metric::ALL.map(|(_, m)| m).to_vec(),
            detail: Detail::Pairs,
            controls,
            rows: 50_000,
            seed: 0,
        })
    }

    fn value(told: &RecordBatch, metric: &str, column: usize) -> Option<f64> {
        let metrics = told.column(0).as_string::<i32>();
        let at = (0..told.num_rows())
            .find(|i| metrics.value(*i) == metric)
            .unwrap();
        let values = told.column(column).as_primitive::<Float64Type>();
        values.is_valid(at).then(|| values.value(at))
    }

    #[test]
    fn rows_like_the_real_ones_and_the_controls() {
        let told = run(&function(true), &[batch(600)]).unwrap();
        let of = |metric, column| value(&told, metric, column).unwrap();
        assert!(of("shape", 2) > 0.9 && of("trend", 2) > 0.8);
        assert!(of("c2st", 2) > 0.7);
        assert!((of("dcr_share", 2) - 0.5).abs() < 0.1);
        assert!(of("tstr_auc", 2) > 0.65 && of("trtr_auc", 2) > 0.65);
        // drawn for itself, a column tells nothing of another
        assert!(of("shape", 3) > 0.9);
        assert!((of("tstr_auc", 3) - 0.5).abs() < 0.15);
        assert!(of("wnmis", 3) > of("wnmis", 2));
        // a copy is alike, and has learnt by heart
        assert_eq!(
            (of("shape", 4), of("trend", 4), of("copies", 4)),
            (1.0, 1.0, 1.0)
        );
        assert!(of("dcr_share", 4) > 0.9);
        assert_eq!((of("distance_50", 4), of("wnmis", 4)), (0.0, 0.0));
        assert_eq!(
            (value(&told, "tstr_auc", 5), value(&told, "dcr_share", 5)),
            (None, None)
        );
        assert!(of("shape", 5) > 0.9);
    }

    #[test]
    fn the_same_in_any_order() {
        run_any_way(&function(false), &batch(40));
    }

    #[test]
    fn few_rows() {
        for n in [1, 2, 5] {
            let told = run(&function(true), &[batch(n)]).unwrap();
            assert_eq!(value(&told, "c2st", 2), None);
        }
        assert!(run(&function(false), &[batch(0)]).is_err());
        // no synthetic rows at all
        let real: Vec<u32> = (0..30).filter(|i| i % 3 != 1).collect();
        let rows = arrow::array::UInt32Array::from(real);
        let real = arrow::compute::take_record_batch(&batch(10), &rows).unwrap();
        let told = run(&function(true), &[real]).unwrap();
        for metric in [
            "shape",
            "trend",
            "c2st",
            "tstr_auc",
            "dcr_share",
            "copies",
            "range_coverage",
        ] {
            assert_eq!(value(&told, metric, 2), None, "{metric}");
        }
    }
}
