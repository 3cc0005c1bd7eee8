//! Labels that are likely wrong: the kernel of `label_issues`.
//!
//! Confident learning (Northcutt, Jiang and Chuang, 2021), with cleanlab's definitions to the rounding of counts.
//! The probabilities are given, or those of a logistic regression for rows that it was not learnt from.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion_common::{Result, exec_err};

use super::largest;
use super::logistic::{Logistic, Settings};
use crate::fitted::State;
use crate::fitted::counts::{Counts, Lookup, MISSING, listed_type};
use crate::predict::features::{Feature, Features, MOST_CATEGORIES};
use crate::random::key;
use crate::table::{Host, Rows, TableFunction, TableKernel, Whole, in_parallel};

/// Classes that a label may have.
pub const MOST_CLASSES: usize = 256;
/// What cleanlab takes for rounding.
const SLACK: f64 = 1e-6;

/// Which rows with a label are taken for issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterBy {
    NoiseRate,
    Class,
    Both,
    ConfidentLearning,
    Predicted,
}

/// Where the probabilities are from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Columns, one a class in the order of the classes.
    Columns(Vec<usize>),
    /// A model of these columns.
    Model {
        features: Vec<(usize, Feature)>,
        folds: usize,
        seed: i64,
        /// The inverse of the penalty.
        c: f64,
    },
}

/// A table's rows with what is told of their labels.
#[derive(Debug, Clone)]
pub struct LabelIssues {
    /// The label's place, and the type it is counted in.
    label: (usize, DataType),
    source: Source,
    filter_by: FilterBy,
    schema: SchemaRef,
}

impl LabelIssues {
    /// Of a table of these columns.
    pub fn new(
        columns: &[Field],
        label: (usize, DataType),
        source: Source,
        filter_by: FilterBy,
    ) -> Self {
        let mut fields = columns.to_vec();
        fields.push(Field::new("label_quality", DataType::Float64, true));
        fields.push(Field::new("suggested_label", listed_type(&label.1), true));
        fields.push(Field::new("is_issue", DataType::Boolean, true));
        Self {
            label,
            source,
            filter_by,
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

impl TableFunction for LabelIssues {
    fn name(&self) -> &'static str {
        "label_issues"
    }

    fn describe(&self) -> String {
        let label = self.schema.field(self.label.0).name();
        format!(
            "label={label}, filter_by={:?}, {:?}",
            self.filter_by, self.source
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
    function: LabelIssues,
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
        let Some(table) = rows.in_order(host)? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let (at, label_type) = &function.label;
        let label = cast(table.column(*at), label_type)?;
        let mut seen = Counts::new(label_type)?;
        seen.update(std::slice::from_ref(&label))?;
        let (values, counts) = seen.sorted()?;
        drop(seen);
        let classes = values.len();
        if classes > MOST_CLASSES {
            return exec_err!(
                "label_issues: the label has {classes} different values, more than {MOST_CLASSES}. Write bucketize(...) to \
                 make classes of numbers"
            );
        }
        let codes: Vec<u32> = (0..classes as u32).collect();
        let labels = Lookup::new(&values, &codes)?.codes(&label)?;
        let held = table.get_array_memory_size();
        let n = table.num_rows();
        let given = match &function.source {
            Source::Columns(columns) => {
                host.resize(held + n * (24 * columns.len() + 32))?;
                of_columns(&table, columns, &values, &counts)?
            }
            Source::Model {
                features,
                folds,
                seed,
                c,
            } => {
                let learning = Learning {
                    labels: &labels,
                    classes,
                    folds: *folds,
                    seed: *seed,
                    c: *c,
                };
                learning.probabilities(&table, features, held, host)?
            }
        };
        let judged = Judged::of(&labels, &given, classes, function.filter_by);
        let mut columns = table.columns().to_vec();
        columns.push(Arc::new(judged.quality));
        let best = take(&values, &judged.best, None)?;
        columns.push(best);
        columns.push(Arc::new(judged.issues));
        let batch = RecordBatch::try_new(function.schema(), columns)?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

/// The rows' probabilities from columns, row by row; NaN where one is missing.
fn of_columns(
    table: &RecordBatch,
    columns: &[usize],
    values: &ArrayRef,
    counts: &[u64],
) -> Result<Vec<f64>> {
    let classes = counts.len();
    if classes != columns.len() {
        let shown = cast(&values.slice(0, classes.min(10)), &DataType::Utf8)?;
        let shown: Vec<&str> = shown.as_string::<i32>().iter().flatten().collect();
        return exec_err!(
            "label_issues: probabilities has {} columns, but the label has {classes} different values, {}. Write one column a \
             value, in this order",
            columns.len(),
            shown.join(", ")
        );
    }
    let mut given = vec![f64::NAN; table.num_rows() * classes];
    for (class, column) in columns.iter().enumerate() {
        let array = cast(table.column(*column), &DataType::Float64)?;
        for (row, p) in array.as_primitive::<Float64Type>().iter().enumerate() {
            match p {
                Some(p) if !(0.0..=1.0).contains(&p) && !p.is_nan() => {
                    return exec_err!(
                        "label_issues: {} has {p}, which is no probability: it must be from 0 to 1",
                        table.schema().field(*column).name()
                    );
                }
                Some(p) => given[row * classes + class] = p,
                None => {}
            }
        }
    }
    Ok(given)
}

/// What the model is to learn.
struct Learning<'a> {
    labels: &'a [u32],
    classes: usize,
    folds: usize,
    seed: i64,
    c: f64,
}

impl Learning<'_> {
    /// The probabilities of each row by a model of the rows of other folds, row by row; NaN without a label.
    fn probabilities(
        &self,
        table: &RecordBatch,
        features: &[(usize, Feature)],
        held: usize,
        host: &mut dyn Host,
    ) -> Result<Vec<f64>> {
        let n = table.num_rows();
        if self.classes == 0 {
            return Ok(Vec::new());
        }
        let numbers = features
            .iter()
            .filter(|(_, f)| matches!(f, Feature::Number(_)));
        let numbers = numbers.count();
        // a number may have an indicator of its own; while a column is read it is there in full
        let design = n * (16 * numbers + 4 * (features.len() - numbers));
        host.resize(held + design + n * (8 * self.classes + 64))?;
        let folds = self.folds(table, features)?;
        let columns: Vec<ArrayRef> = features
            .iter()
            .map(|(column, _)| Arc::clone(table.column(*column)))
            .collect();
        let taken = columns
            .iter()
            .zip(features.iter().map(|(_, feature)| feature));
        let design = Features::fit(taken, MOST_CATEGORIES)?.design(&columns)?;
        let settings = Settings {
            penalty: 1.0 / self.c,
            ..Settings::default()
        };
        let weights = 8 * self.classes * (design.features + 1) * 30 * host.threads();
        let parts = 12 * n * host.threads() + 16 * n * self.classes;
        host.resize(held + design.bytes() + weights + parts + 16 * n)?;
        let stop = host.stop();
        let parts = in_parallel((0..self.folds as u32).collect(), host.threads(), |fold| {
            let train: Vec<u32> = (0..n as u32)
                .filter(|i| folds[*i as usize] != fold && folds[*i as usize] != MISSING)
                .collect();
            let test: Vec<u32> = (0..n as u32)
                .filter(|i| folds[*i as usize] == fold)
                .collect();
            if test.is_empty() {
                return Ok((test, Vec::new()));
            }
            // classes that no row is of have no probability
            let mut place = vec![MISSING; self.classes];
            for i in &train {
                place[self.labels[*i as usize] as usize] = 0;
            }
            let seen: Vec<usize> = (0..self.classes).filter(|c| place[*c] == 0).collect();
            for (at, class) in (0..).zip(&seen) {
                place[*class] = at;
            }
            let labels: Vec<u32> = self
                .labels
                .iter()
                .map(|l| place.get(*l as usize).copied().unwrap_or(MISSING))
                .collect();
            let model = Logistic::fit(&design, &train, &labels, seen.len(), &settings, &|| {
                stop.check()
            })?;
            let mut of_seen = vec![0.0; seen.len()];
            let mut all = vec![0.0; test.len() * self.classes];
            for (row, all) in test.iter().zip(all.chunks_mut(self.classes)) {
                if !seen.is_empty() {
                    model.predict(&design, *row as usize, &mut of_seen);
                }
                for (class, p) in seen.iter().zip(&of_seen) {
                    all[*class] = *p;
                }
            }
            Ok((test, all))
        })?;
        let mut given = vec![f64::NAN; n * self.classes];
        for (rows, all) in parts {
            for (row, p) in rows.iter().zip(all.chunks(self.classes)) {
                given[*row as usize * self.classes..][..self.classes].copy_from_slice(p);
            }
        }
        Ok(given)
    }

    /// The fold of each row: those of a class go round, in the order of a hash of what they hold.
    fn folds(&self, table: &RecordBatch, features: &[(usize, Feature)]) -> Result<Vec<u32>> {
        let n = table.num_rows();
        let mut hash = [key::start("label_issues")];
        let seed: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![self.seed]));
        key::fold(&mut hash, &seed)?;
        let mut hashes = vec![hash[0]; n];
        for (column, _) in features {
            key::fold(&mut hashes, table.column(*column))?;
        }
        let mut order: Vec<(u32, u64, u32)> = (0..n)
            .filter(|i| self.labels[*i] != MISSING)
            .map(|i| (self.labels[i], hashes[i], i as u32))
            .collect();
        order.sort_unstable();
        let mut folds = vec![MISSING; n];
        let mut next = 0;
        for (_, _, row) in order {
            folds[row as usize] = next;
            next = (next + 1) % self.folds as u32;
        }
        Ok(folds)
    }
}

/// What is told of the rows.
struct Judged {
    quality: Float64Array,
    best: UInt32Array,
    issues: BooleanArray,
}

impl Judged {
    /// Of labels and probabilities; a row without the one or the other is not judged.
    fn of(labels: &[u32], given: &[f64], classes: usize, filter_by: FilterBy) -> Self {
        let rows: Vec<usize> = (0..labels.len())
            .filter(|i| {
                labels[*i] != MISSING && !given[i * classes..][..classes].iter().any(|p| p.is_nan())
            })
            .collect();
        let chosen = Chosen {
            labels: rows.iter().map(|i| labels[*i] as usize).collect(),
            given: rows
                .iter()
                .map(|i| &given[i * classes..][..classes])
                .collect(),
            classes,
        };
        let found = chosen.issues(filter_by);
        let mut issues = vec![None; labels.len()];
        let mut quality = vec![None; labels.len()];
        let mut best = vec![None; labels.len()];
        for (i, row) in rows.iter().enumerate() {
            issues[*row] = Some(found[i]);
            quality[*row] = Some(chosen.given[i][chosen.labels[i]]);
            best[*row] = Some(largest(chosen.given[i]) as u32);
        }
        Self {
            quality: quality.into(),
            best: best.into(),
            issues: issues.into(),
        }
    }
}

/// The rows that are judged.
struct Chosen<'a> {
    labels: Vec<usize>,
    given: Vec<&'a [f64]>,
    classes: usize,
}

impl Chosen<'_> {
    fn issues(&self, filter_by: FilterBy) -> Vec<bool> {
        let (joint, off_diagonal) = self.confident_joint();
        let mut issues = match filter_by {
            FilterBy::ConfidentLearning => off_diagonal,
            FilterBy::Predicted => vec![true; self.labels.len()],
            FilterBy::NoiseRate => self.prune_by_noise_rate(&self.to_prune(&joint)),
            FilterBy::Class => self.prune_by_class(&self.to_prune(&joint)),
            FilterBy::Both => {
                let prune = self.to_prune(&joint);
                let classes = self.prune_by_class(&prune);
                let rates = self.prune_by_noise_rate(&prune);
                classes.iter().zip(rates).map(|(a, b)| *a && b).collect()
            }
        };
        for (issue, (given, label)) in issues.iter_mut().zip(self.given.iter().zip(&self.labels)) {
            // what the model predicts, or nearly so, is no issue
            let mut raised = given.to_vec();
            raised[*label] += SLACK;
            *issue &= largest(&raised) != *label;
        }
        issues
    }

    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        self.labels.iter().for_each(|l| counts[*l] += 1);
        counts
    }

    /// The mean probability of their own label over the rows of each class.
    fn thresholds(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.classes];
        for (given, label) in self.given.iter().zip(&self.labels) {
            sums[*label] += given[*label];
        }
        sums.iter()
            .zip(self.counts())
            .map(|(sum, n)| match n {
                // no probability reaches it
                0 => 2.0,
                n => (sum / n as f64).max(2.0 * SLACK),
            })
            .collect()
    }

    /// How many rows of each label (a row) are confidently of each class (a column), brought to the labels' counts;
    /// and which rows are confidently of another class.
    fn confident_joint(&self) -> (Vec<Vec<f64>>, Vec<bool>) {
        let thresholds = self.thresholds();
        let mut joint = vec![vec![0.0f64; self.classes]; self.classes];
        let mut off_diagonal = vec![false; self.labels.len()];
        for (i, (given, label)) in self.given.iter().zip(&self.labels).enumerate() {
            let confident = |c: &usize| given[*c] >= thresholds[*c] - SLACK;
            let mut classes = (0..self.classes).filter(confident);
            let Some(first) = classes.next() else {
                continue;
            };
            let class = match classes.next() {
                Some(_) => largest(given),
                None => first,
            };
            joint[*label][class] += 1.0;
            off_diagonal[i] = class != *label;
        }
        for (class, row) in joint.iter_mut().enumerate() {
            row[class] = row[class].max(1.0);
        }
        for (row, n) in joint.iter_mut().zip(self.counts()) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|x| *x = *x / sum * n as f64);
        }
        let all: f64 = joint.iter().flatten().sum();
        let rows = self.labels.len() as f64;
        for row in &mut joint {
            row.iter_mut()
                .for_each(|x| *x = *x / all.max(1e-100) * rows);
            round_to_sum(row);
        }
        (joint, off_diagonal)
    }

    /// How many rows of each label (a column) are to be pruned as those of each class (a row), and on the diagonal
    /// how many are to stay: at least one.
    fn to_prune(&self, joint: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let k = self.classes;
        let mut prune: Vec<Vec<f64>> = (0..k)
            .map(|class| (0..k).map(|label| joint[label][class]).collect())
            .collect();
        for label in 0..k {
            let lacking = prune[label][label].max(1.0) - prune[label][label];
            let filled = prune.iter().filter(|row| row[label] != 0.0).count();
            let others = (filled as f64 - 1.0).max(1.0);
            for row in &mut prune {
                row[label] = (row[label] - lacking / others).max(0.0);
            }
            prune[label][label] = joint[label][label].max(1.0);
        }
        for row in &mut prune {
            row.iter_mut().for_each(|x| *x = x.trunc());
            round_to_sum(row);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of rows"
        )]
        let whole = |row: Vec<f64>| row.into_iter().map(|x| x.max(0.0) as usize).collect();
        prune.into_iter().map(whole).collect()
    }

    /// The rows of a label.
    fn of(&self, label: usize) -> Vec<usize> {
        (0..self.labels.len())
            .filter(|i| self.labels[*i] == label)
            .collect()
    }

    /// Of each label and other class, the rows that are most of the class and least of their label.
    fn prune_by_noise_rate(&self, prune: &[Vec<usize>]) -> Vec<bool> {
        let mut issues = vec![false; self.labels.len()];
        for label in 0..self.classes {
            let mut rows = self.of(label);
            if rows.len() <= 1 {
                continue;
            }
            for (class, prune) in prune.iter().enumerate().filter(|(c, _)| *c != label) {
                let n = prune[label].min(rows.len());
                if n > 0 {
                    let margin = |i: &usize| self.given[*i][class] - self.given[*i][label];
                    rows.sort_by(|a, b| margin(b).total_cmp(&margin(a)).then(a.cmp(b)));
                    rows[..n].iter().for_each(|i| issues[*i] = true);
                }
            }
        }
        issues
    }

    /// Of each label, the rows that are least of it.
    fn prune_by_class(&self, prune: &[Vec<usize>]) -> Vec<bool> {
        let mut issues = vec![false; self.labels.len()];
        for (label, prune) in prune.iter().enumerate() {
            let mut rows = self.of(label);
            if rows.len() <= 1 {
                continue;
            }
            let n = rows.len().saturating_sub(prune[label]);
            let own = |i: &usize| self.given[*i][label];
            rows.sort_by(|a, b| own(a).total_cmp(&own(b)).then(a.cmp(b)));
            rows[..n].iter().for_each(|i| issues[*i] = true);
        }
        issues
    }
}

/// Rounds to whole numbers whose sum is that of the numbers, rounded.
fn round_to_sum(values: &mut [f64]) {
    let floats = values.to_vec();
    let sum = floats.iter().sum::<f64>().round_ties_even();
    values.iter_mut().for_each(|x| *x = x.round_ties_even());
    loop {
        let difference = (sum - values.iter().sum::<f64>()).round_ties_even();
        if difference == 0.0 || values.is_empty() {
            return;
        }
        let step = difference.signum();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| (floats[*a] - values[*a]).total_cmp(&(floats[*b] - values[*b])));
        if step > 0.0 {
            order.reverse();
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no more than there are values"
        )]
        let changes = (difference.abs() as usize).min(values.len());
        for i in &order[..changes] {
            values[*i] += step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::{run, run_any_way};
    use arrow::array::{Float64Array, StringArray};

    fn fields(batch: &RecordBatch) -> Vec<Field> {
        let schema = batch.schema();
        schema.fields().iter().map(|f| f.as_ref().clone()).collect()
    }

    /// Two clouds of points; every 17th label is of the other cloud.
    fn clouds(n: usize) -> RecordBatch {
        let noise = |i: usize, k: u64| {
            let x = (i as u64 * 2 + k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (x >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let side = |i: usize| if i.is_multiple_of(2) { 2.0 } else { -2.0 };
        let x: Float64Array = (0..n)
            .map(|i| (i % 13 != 5).then(|| side(i) + noise(i, 0)))
            .collect();
        let y: Float64Array = (0..n).map(|i| Some(side(i) + noise(i, 1))).collect();
        let kind: StringArray = (0..n)
            .map(|i| (i % 5 != 0).then_some(if i % 3 == 0 { "p" } else { "q" }))
            .collect();
        let label: StringArray = (0..n)
            .map(|i| match (i % 17 == 3, i % 2 == 0) {
                _ if i == 8 => None,
                (true, even) => Some(if even { "low" } else { "high" }),
                (false, even) => Some(if even { "high" } else { "low" }),
            })
            .collect();
        RecordBatch::try_from_iter([
            ("x", Arc::new(x) as ArrayRef),
            ("y", Arc::new(y) as ArrayRef),
            ("kind", Arc::new(kind) as ArrayRef),
            ("label", Arc::new(label) as ArrayRef),
        ])
        .unwrap()
    }

    fn of_model(batch: &RecordBatch, filter_by: FilterBy) -> LabelIssues {
        let source = Source::Model {
            features: vec![
                (0, Feature::Number(None)),
                (1, Feature::Number(None)),
                (2, Feature::Category(DataType::Utf8View)),
            ],
            folds: 5,
            seed: 0,
            c: 1.0,
        };
        LabelIssues::new(&fields(batch), (3, DataType::Utf8View), source, filter_by)
    }

    #[test]
    fn wrong_labels_are_found() {
        let batch = clouds(170);
        for filter_by in [
            FilterBy::NoiseRate,
            FilterBy::Both,
            FilterBy::ConfidentLearning,
        ] {
            let judged = run_any_way(&of_model(&batch, filter_by), &batch);
            let issues = judged.column(6).as_boolean();
            assert_eq!(issues.null_count(), 1);
            let labels = judged.column(3).as_string::<i32>();
            let best = judged.column(5).as_string::<i32>();
            let y = judged.column(1).as_primitive::<Float64Type>();
            for i in 0..170 {
                if issues.is_null(i) {
                    continue;
                }
                let right = if y.value(i) > 0.0 { "high" } else { "low" };
                assert!(
                    !issues.value(i) || labels.value(i) != right,
                    "{filter_by:?} {i}"
                );
                assert_eq!(best.value(i), right);
            }
            // of ten: how many are pruned is an estimate
            assert!((8..=10).contains(&issues.true_count()), "{filter_by:?}");
        }
    }

    #[test]
    fn few_rows() {
        for n in [0, 1, 2, 3] {
            let batch = clouds(n);
            let judged = run(&of_model(&batch, FilterBy::NoiseRate), &[batch]).unwrap();
            assert_eq!(judged.num_rows(), n);
        }
        let one = clouds(40).slice(9, 1);
        let judged = run(&of_model(&one, FilterBy::Class), &[one]).unwrap();
        assert!(!judged.column(6).as_boolean().value(0));
    }

    #[test]
    fn sums_survive_rounding() {
        let mut values = [1.4, 1.4, 1.4, 0.8];
        round_to_sum(&mut values);
        assert_eq!(values.iter().sum::<f64>(), 5.0);
        let mut values = [0.5, 1.5, 2.5, 3.5];
        round_to_sum(&mut values);
        assert_eq!(values, [0.0, 2.0, 2.0, 4.0]);
        round_to_sum(&mut []);
    }
}
