//! What boosted trees make of the tables: whether they tell synthetic rows from real ones, and what a model learnt from
//! synthetic rows is worth on real ones.

use datafusion_common::Result;
use rayon::ThreadPool;

use super::Table;
use super::scores::{accuracy, auc, f1, regression};
use super::tables::{Tables, chosen, mixed};
use crate::fitted::counts::MISSING;
use crate::fitted::quantiles::order_key;
use crate::learn::boosting::{Boosted, Column, Objective, Settings};
use crate::learn::largest;
use crate::table::Stop;

/// Folds of the test that tells real from synthetic rows.
const FOLDS: u64 = 3;
/// Different whole numbers up to which a target is a class.
const MOST_WHOLE_CLASSES: usize = 20;
/// Classes that a target may have.
pub const MOST_CLASSES: usize = 100;

/// What learning runs on.
pub struct Learner<'a> {
    pub pool: &'a ThreadPool,
    pub stop: &'a Stop,
    /// Rows of a table that are learnt from at most.
    pub rows: usize,
    pub seed: u64,
}

impl Learner<'_> {
    /// 1 where real and synthetic rows cannot be told apart, 0 where all can; `None` of fewer than 10 rows each.
    ///
    /// Of each fold 1 - (2 max(0.5, AUC) - 1), as SDMetrics' LogisticDetection, but by boosted trees.
    pub fn c2st(&self, real: &Table, synthetic: &Table) -> Result<Option<f64>> {
        let n = real.rows.min(synthetic.rows).min(self.rows);
        if n < 10 {
            return Ok(None);
        }
        let chosen = [(real, 1u64), (synthetic, 2)].map(|(table, hash)| {
            let rows = chosen(table.rows, n, mixed(self.seed, hash));
            // each table's rows go round the folds in an order drawn for it
            let mut order: Vec<(u64, usize)> = (0..n)
                .map(|i| (mixed(mixed(self.seed, hash + 2), i as u64), i))
                .collect();
            order.sort_unstable();
            let mut folds = vec![0; n];
            for (fold, (_, row)) in (0..FOLDS).cycle().zip(order) {
                folds[row] = fold;
            }
            (table.take(&rows), folds)
        });
        let [(real, mut folds), (synthetic, of_synthetic)] = chosen;
        folds.extend(of_synthetic);
        let all = real.and(&synthetic);
        let mut sum = 0.0;
        for fold in 0..FOLDS {
            let rows = |inside: bool| -> Vec<u32> {
                let rows = (0..2 * n).filter(|i| (folds[*i] == fold) == inside);
                rows.map(|i| i as u32).collect()
            };
            let (train, test) = (rows(false), rows(true));
            let is_synthetic: Vec<f64> = train
                .iter()
                .map(|i| f64::from(u8::from(*i as usize >= n)))
                .collect();
            let model = self.fit(
                &all.take(&train).columns,
                &is_synthetic,
                Objective::Logistic,
            )?;
            let told = model.predict(&all.take(&test).columns, self.pool);
            let is: Vec<bool> = test.iter().map(|i| *i as usize >= n).collect();
            sum += 2.0 - 2.0 * auc(&is, &told).unwrap_or(0.5).max(0.5);
        }
        Ok(Some(sum / FOLDS as f64))
    }

    fn fit(&self, columns: &[Column], target: &[f64], objective: Objective) -> Result<Boosted> {
        Boosted::fit(
            columns,
            target,
            objective,
            &Settings::default(),
            self.pool,
            &|| self.stop.check(),
        )
    }

    /// What a model that learns `goal` from one table is worth on another.
    pub fn utility(&self, goal: &Goal, train: &Table, test: &Table) -> Result<Utility> {
        let part = |table: &Table, at_most: usize| {
            let rows: Vec<u32> = chosen(table.rows, at_most, mixed(self.seed, 5));
            let targets = goal.targets(table);
            let there = rows.into_iter().filter(|r| !targets[*r as usize].is_nan());
            let there: Vec<u32> = there.collect();
            let mut columns = table.take(&there).columns;
            columns.remove(goal.column);
            let targets: Vec<f64> = there.iter().map(|r| targets[*r as usize]).collect();
            (columns, targets)
        };
        let (columns, targets) = part(train, self.rows);
        let (test_columns, test_targets) = part(test, usize::MAX);
        if targets.is_empty() || test_targets.is_empty() {
            return Ok(Utility::default());
        }
        // with no other column there is only the target's own distribution to learn
        let predict = |model: &Boosted| match test_columns.is_empty() {
            true => model.predict(
                &[Column::Categories(vec![MISSING; test_targets.len()])],
                self.pool,
            ),
            false => model.predict(&test_columns, self.pool),
        };
        match goal.classes.len() {
            0 => {
                // in units in which squares are floats
                let unit = targets.iter().fold(0.0f64, |most, y| most.max(y.abs()));
                let unit = if unit > 0.0 { unit } else { 1.0 };
                let scaled: Vec<f64> = targets.iter().map(|y| y / unit).collect();
                let told = predict(&self.fit(&columns, &scaled, Objective::Squared)?);
                let is: Vec<f64> = test_targets.iter().map(|y| y / unit).collect();
                let (r2, rmse) = regression(&is, &told);
                Ok(Utility([r2, rmse.map(|e| e * unit), None]))
            }
            classes => {
                let is: Vec<u32> = test_targets.iter().map(|y| *y as u32).collect();
                if classes == 2 {
                    let chance = predict(&self.fit(&columns, &targets, Objective::Logistic)?);
                    let told: Vec<u32> = chance.iter().map(|p| u32::from(*p > 0.5)).collect();
                    let yes: Vec<bool> = is.iter().map(|y| *y == 1).collect();
                    return Ok(Utility([
                        auc(&yes, &chance),
                        accuracy(&is, &told),
                        Some(f1(&is, &told, goal.positive)),
                    ]));
                }
                let chances =
                    predict(&self.fit(&columns, &targets, Objective::Softmax(classes))?);
                let told: Vec<u32> = chances
                    .chunks_exact(classes)
                    .map(|p| largest(p) as u32)
                    .collect();
                let of_class = |class: usize| {
                    let yes: Vec<bool> = is.iter().map(|y| *y as usize == class).collect();
                    let chance: Vec<f64> = chances
                        .iter()
                        .skip(class)
                        .step_by(classes)
                        .copied()
                        .collect();
                    auc(&yes, &chance)
                };
                let seen = |class: &u32| is.contains(class) || told.contains(class);
                let seen: Vec<u32> = (0..classes as u32).filter(seen).collect();
                Ok(Utility([
                    mean((0..classes).map(of_class)),
                    accuracy(&is, &told),
                    mean(seen.iter().map(|class| Some(f1(&is, &told, *class)))),
                ]))
            }
        }
    }
}

/// The mean of what there is.
pub fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (n, sum) = values
        .flatten()
        .fold((0, 0.0), |(n, sum), x| (n + 1, sum + x));
    (n > 0).then(|| sum / f64::from(n))
}

/// AUC, accuracy and F1 of classes; R2 and the root of the mean squared error of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Utility(pub [Option<f64>; 3]);

/// What is to be learnt.
#[derive(Debug, Clone)]
pub struct Goal {
    pub column: usize,
    /// The classes, by code or by number in order; none of a number.
    classes: Vec<i64>,
    /// The rarer one of two classes.
    positive: u32,
}

impl Goal {
    /// A column of the real table: of classes if it has categories or few different whole numbers. `None` if it has no values.
    pub fn of(tables: &Tables, column: usize) -> Option<Self> {
        let mut counts = std::collections::BTreeMap::<i64, usize>::new();
        match &tables.real.columns[column] {
            Column::Categories(codes) => {
                for code in codes.iter().filter(|c| **c != MISSING) {
                    *counts.entry(i64::from(*code)).or_default() += 1;
                }
            }
            Column::Numbers(values) => {
                for x in values.iter().filter(|x| !x.is_nan()) {
                    *counts.entry(order_key(*x)).or_default() += 1;
                    if x.fract() != 0.0 || counts.len() > MOST_WHOLE_CLASSES {
                        return Some(Self {
                            column,
                            classes: Vec::new(),
                            positive: 0,
                        });
                    }
                }
            }
        }
        let classes: Vec<i64> = counts.keys().copied().collect();
        let positive = match counts.into_values().collect::<Vec<_>>()[..] {
            [a, b] => u32::from(b <= a),
            _ => 0,
        };
        (!classes.is_empty()).then_some(Self {
            column,
            classes,
            positive,
        })
    }

    /// How many classes there are; 0 of a number.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// A class as text.
    pub fn class(&self, tables: &Tables) -> String {
        let class = self
            .classes
            .get(self.positive as usize)
            .copied()
            .unwrap_or(0);
        match &tables.categories[self.column] {
            Some(values) => values.value(class as usize).to_string(),
            None => crate::fitted::quantiles::of_order_key(class).to_string(),
        }
    }

    /// Of each row the class or the number; NaN where there is none, or one that the real table lacks.
    fn targets(&self, table: &Table) -> Vec<f64> {
        let place = |class: i64| match self.classes.binary_search(&class) {
            Ok(place) => place as f64,
            Err(_) => f64::NAN,
        };
        match &table.columns[self.column] {
            Column::Categories(codes) => codes.iter().map(|c| place(i64::from(*c))).collect(),
            Column::Numbers(values) if self.classes.is_empty() => values
                .iter()
                .map(|x| if x.is_finite() { *x } else { f64::NAN })
                .collect(),
            Column::Numbers(values) => (values.iter())
                .map(|x| {
                    if x.is_nan() {
                        f64::NAN
                    } else {
                        place(order_key(*x))
                    }
                })
                .collect(),
        }
    }
}
