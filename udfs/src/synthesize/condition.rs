//! Conditions on columns: what a filter over drawn rows says, and drawing rows of which it holds.
//!
//! A model that knows how gives a [`Draw`] of its distribution given the conditions; of the others rows
//! are drawn until one passes. Every row is checked at the end, so the conditions hold to the letter.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Datum, RecordBatch, RecordBatchOptions, Scalar, UInt32Array,
};
use arrow::compute::kernels::cmp;
use arrow::compute::{
    and, cast, interleave_record_batch, is_not_null, is_null, not, or, prep_null_mask_filter,
};
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err, plan_err};

use super::codec::{Codec, Encoded, EncodedColumn};
use super::{BLOCK, Model, block_aligned, rng};
use crate::options::display;

/// Draws for each row before the conditions are given up ...
const MOST_DRAWS: u64 = 10_000;
/// ... and before they are where no row has passed at all.
const FIRST_DRAWS: u64 = 100;

/// The largest magnitude of a value in model space that is told apart from infinity.
const FARTHEST: f32 = 40.0;

/// What a row must hold in one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The column's index.
    pub column: usize,
    /// The type its values are compared in, where that is not their own.
    pub compared_as: Option<DataType>,
    pub test: Test,
}

/// A test of a value. NULL passes none but [`Test::Null`].
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of the items of an array.
    In(ArrayRef),
    /// None of the items of an array.
    NotIn(ArrayRef),
    /// Not less than a single item; greater, unless equality will do.
    AtLeast(ArrayRef, bool),
    /// Not more than a single item; less, unless equality will do.
    AtMost(ArrayRef, bool),
    Null,
    NotNull,
}

impl Condition {
    /// Which of a column's values pass.
    pub fn holds(&self, values: &ArrayRef) -> Result<BooleanArray> {
        let compared = match &self.compared_as {
            Some(data_type) => cast(values, data_type)?,
            None => Arc::clone(values),
        };
        let single = |item: &ArrayRef| Scalar::new(Arc::clone(item));
        let known = match &self.test {
            Test::In(items) => among(&compared, items)?,
            Test::NotIn(items) => not(&among(&compared, items)?)?,
            Test::AtLeast(item, true) => cmp::gt_eq(&compared, &single(item))?,
            Test::AtLeast(item, false) => cmp::gt(&compared, &single(item))?,
            Test::AtMost(item, true) => cmp::lt_eq(&compared, &single(item))?,
            Test::AtMost(item, false) => cmp::lt(&compared, &single(item))?,
            Test::Null => is_null(&compared)?,
            Test::NotNull => is_not_null(&compared)?,
        };
        Ok(match known.null_count() {
            0 => known,
            _ => prep_null_mask_filter(&known),
        })
    }

    /// The condition as one would write it.
    pub fn display(&self, codec: Option<&Codec>) -> String {
        let column = match codec {
            Some(codec) if self.column < codec.schema().fields().len() => {
                codec.schema().field(self.column).name().clone()
            }
            _ => format!("column {}", self.column + 1),
        };
        format!("{column} {}", self.test)
    }
}

fn among(values: &ArrayRef, items: &ArrayRef) -> Result<BooleanArray> {
    let mut found: Option<BooleanArray> = None;
    for i in 0..items.len() {
        let equal = cmp::eq(values, &Scalar::new(items.slice(i, 1)) as &dyn Datum)?;
        found = Some(match found {
            Some(found) => or(&found, &equal)?,
            None => equal,
        });
    }
    Ok(found.unwrap_or_else(|| BooleanArray::from(vec![false; values.len()])))
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = |items: &ArrayRef, i: usize| {
            datafusion_common::ScalarValue::try_from_array(items, i)
                .map_or_else(|_| "?".to_string(), |value| display(&value))
        };
        let list = |items: &ArrayRef| {
            let shown: Vec<String> = (0..items.len()).map(|i| item(items, i)).collect();
            shown.join(", ")
        };
        match self {
            Test::In(items) if items.len() == 1 => write!(f, "= {}", item(items, 0)),
            Test::In(items) => write!(f, "IN ({})", list(items)),
            Test::NotIn(items) if items.len() == 1 => write!(f, "<> {}", item(items, 0)),
            Test::NotIn(items) => write!(f, "NOT IN ({})", list(items)),
            Test::AtLeast(items, true) => write!(f, ">= {}", item(items, 0)),
            Test::AtLeast(items, false) => write!(f, "> {}", item(items, 0)),
            Test::AtMost(items, true) => write!(f, "<= {}", item(items, 0)),
            Test::AtMost(items, false) => write!(f, "< {}", item(items, 0)),
            Test::Null => write!(f, "IS NULL"),
            Test::NotNull => write!(f, "IS NOT NULL"),
        }
    }
}

/// What conditions leave of one column, in the codec's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Whether each state is allowed; the first state of a column with values, as far as `values` says.
    pub states: Vec<bool>,
    /// The allowed values: disjoint spans in ascending order, both ends included.
    pub values: Vec<(f32, f32)>,
}

impl Evidence {
    /// What the conditions leave of each column; nothing for a column without conditions.
    ///
    /// # Errors
    /// If the conditions leave nothing of a column.
    pub fn of(codec: &Codec, conditions: &[Condition]) -> Result<Vec<Option<Self>>> {
        (0..codec.columns().len())
            .map(|i| {
                let own: Vec<&Condition> = conditions.iter().filter(|c| c.column == i).collect();
                if own.is_empty() {
                    return Ok(None);
                }
                let evidence = Self::of_column(codec, i, &own)?;
                if evidence.states.contains(&true) {
                    return Ok(Some(evidence));
                }
                let said: Vec<String> = own.iter().map(|c| c.display(Some(codec))).collect();
                plan_err!(
                    "the model never draws {}: nothing it learnt from is so",
                    said.join(" AND ")
                )
            })
            .collect()
    }

    fn of_column(codec: &Codec, column: usize, conditions: &[&Condition]) -> Result<Self> {
        let coder = &codec.columns()[column];
        let states = coder.states();
        let all = decoded(
            codec,
            column,
            (0..states as u32).collect(),
            vec![0.0; states],
        )?;
        let mut allowed = vec![true; states];
        for condition in conditions {
            let holds = condition.holds(&all)?;
            for (allowed, holds) in allowed.iter_mut().zip(holds.values().iter()) {
                *allowed &= holds;
            }
        }
        let mut values = Vec::new();
        if coder.has_value() {
            values.push((-FARTHEST, FARTHEST));
            for condition in conditions {
                let spans = Spans {
                    codec,
                    column,
                    condition,
                };
                values = intersect(&values, &spans.of_test()?);
            }
            if let Some(first) = allowed.first_mut() {
                *first = !values.is_empty();
            }
        }
        Ok(Self {
            states: allowed,
            values,
        })
    }
}

/// A column's values for states and values in model space.
fn decoded(codec: &Codec, column: usize, states: Vec<u32>, values: Vec<f32>) -> Result<ArrayRef> {
    let rows = states.len();
    let mut encoded = Encoded::empty(codec.columns().len());
    encoded.columns[column] = EncodedColumn { states, values };
    let batch = codec.decode(&encoded, rows, Some(&[column]))?;
    Ok(Arc::clone(batch.column(0)))
}

/// Finds the values in model space that pass a test: decoding never turns the order round.
struct Spans<'a> {
    codec: &'a Codec,
    column: usize,
    condition: &'a Condition,
}

impl Spans<'_> {
    fn of_test(&self) -> Result<Vec<(f32, f32)>> {
        let whole = vec![(-FARTHEST, FARTHEST)];
        let span = |low: Option<f32>, high: Option<f32>| match (low, high) {
            (Some(low), Some(high)) if low <= high => vec![(low, high)],
            _ => Vec::new(),
        };
        Ok(match &self.condition.test {
            Test::Null => Vec::new(),
            Test::NotNull => whole,
            Test::AtLeast(..) => span(self.first(|c| c.test.clone())?, Some(FARTHEST)),
            Test::AtMost(item, equal) => {
                let beyond = Test::AtLeast(Arc::clone(item), !equal);
                let end = self
                    .first(|_| beyond.clone())?
                    .map_or(FARTHEST, f32::next_down);
                span(Some(-FARTHEST), Some(end))
            }
            Test::In(items) => self.points(items)?,
            Test::NotIn(items) => complement(&self.points(items)?),
        })
    }

    fn points(&self, items: &ArrayRef) -> Result<Vec<(f32, f32)>> {
        let mut spans = Vec::with_capacity(items.len());
        for i in 0..items.len() {
            let item = items.slice(i, 1);
            let begin = self.first(|_| Test::AtLeast(Arc::clone(&item), true))?;
            let Some(begin) = begin else { continue };
            let end = self
                .first(|_| Test::AtLeast(Arc::clone(&item), false))?
                .map_or(FARTHEST, f32::next_down);
            if begin <= end {
                spans.push((begin, end));
            }
        }
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        spans.dedup();
        Ok(spans)
    }

    /// The least value whose decoded form passes a test that holds from some point on.
    fn first(&self, test: impl Fn(&Condition) -> Test) -> Result<Option<f32>> {
        let condition = Condition {
            test: test(self.condition),
            ..self.condition.clone()
        };
        let passes = |value: f32| -> Result<bool> {
            let array = decoded(self.codec, self.column, vec![0], vec![value])?;
            Ok(condition.holds(&array)?.value(0))
        };
        if !passes(FARTHEST)? {
            return Ok(None);
        }
        let (mut below, mut above) = (ordinal(-FARTHEST) - 1, ordinal(FARTHEST));
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            match passes(of_ordinal(middle))? {
                true => above = middle,
                false => below = middle,
            }
        }
        Ok(Some(of_ordinal(above)))
    }
}

/// Numbers the floats in ascending order; both zeros are 0.
fn ordinal(x: f32) -> i64 {
    let bits = i64::from((x.to_bits() & 0x7fff_ffff) as i32);
    if x < 0.0 { -bits } else { bits }
}

fn of_ordinal(ordinal: i64) -> f32 {
    let magnitude = f32::from_bits(ordinal.unsigned_abs() as u32);
    if ordinal < 0 { -magnitude } else { magnitude }
}

fn intersect(a: &[(f32, f32)], b: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut common = Vec::new();
    for &(a_begin, a_end) in a {
        for &(b_begin, b_end) in b {
            let (begin, end) = (a_begin.max(b_begin), a_end.min(b_end));
            if begin <= end {
                common.push((begin, end));
            }
        }
    }
    common
}

fn complement(spans: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut rest = Vec::with_capacity(spans.len() + 1);
    let mut begin = -FARTHEST;
    for &(low, high) in spans {
        if begin < low {
            rest.push((begin, low.next_down()));
        }
        begin = high.next_up();
    }
    if begin <= FARTHEST {
        rest.push((begin, FARTHEST));
    }
    rest
}

/// What rows are drawn from: a model, or a model's distribution given conditions.
pub trait Draw: fmt::Debug + Send + Sync {
    /// As [`Model::draw`].
    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch>;
}

/// All that a model draws.
#[derive(Debug)]
struct Unconditional(Arc<dyn Model>);

impl Draw for Unconditional {
    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        self.0.draw(keys, columns)
    }
}

/// A model's rows given conditions.
#[derive(Debug)]
pub struct Given {
    model: Arc<dyn Model>,
    conditions: Vec<Condition>,
    source: Arc<dyn Draw>,
}

impl Given {
    /// # Errors
    /// If the model knows that no row can pass.
    pub fn new(model: &Arc<dyn Model>, conditions: Vec<Condition>) -> Result<Self> {
        let source = match model.given(&conditions)? {
            Some(source) => source,
            None => Arc::new(Unconditional(Arc::clone(model))),
        };
        Ok(Self {
            model: Arc::clone(model),
            conditions,
            source,
        })
    }

    /// The conditions as one would write them.
    pub fn describe(&self) -> String {
        let codec = self.model.codec();
        let said: Vec<String> = self.conditions.iter().map(|c| c.display(codec)).collect();
        said.join(" AND ")
    }

    /// Rows `rows` of the endless table that a seed stands for, as [`Model::sample`].
    pub fn sample(
        &self,
        rows: Range<u64>,
        seed: u64,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        block_aligned(rows, seed, |keys| self.draw(keys, columns))
    }

    /// One row a key: the first that passes of an endless row of draws.
    pub fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        let count = self.model.schema().fields().len();
        let mut drawn: Vec<usize> = match columns {
            Some(columns) => columns.to_vec(),
            None => (0..count).collect(),
        };
        let wanted = drawn.len();
        for condition in &self.conditions {
            if !drawn.contains(&condition.column) {
                drawn.push(condition.column);
            }
        }
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut places = vec![(0, 0); keys.len()];
        let mut pending: Vec<usize> = (0..keys.len()).collect();
        let mut draws = 0u64;
        while !pending.is_empty() {
            let passed = keys.len() - pending.len();
            if draws >= MOST_DRAWS || (draws >= FIRST_DRAWS && passed == 0) {
                return exec_err!(
                    "almost no row that the model draws has {}: {passed} of {} were found in {draws} draws for each. \
                     Ask for less, or train a model of kind circuit, which draws such rows directly",
                    self.describe(),
                    keys.len()
                );
            }
            // A block costs the same however few rows of it are wanted: few rows draw several times.
            let turns = match draws {
                0 => 1,
                _ => (BLOCK / pending.len() as u64).clamp(1, FIRST_DRAWS),
            };
            let turn_keys: Vec<u64> = pending
                .iter()
                .flat_map(|&i| (0..turns).map(move |turn| (i, draws + turn)))
                .map(|(i, turn)| match turn {
                    0 => keys[i],
                    _ => rng::key(keys[i], turn),
                })
                .collect();
            let batch = self.source.draw(&turn_keys, Some(&drawn))?;
            let passes = self.check(&batch, &drawn)?;
            let mut kept: Vec<u32> = Vec::with_capacity(pending.len());
            pending = pending
                .iter()
                .enumerate()
                .filter_map(|(at, &i)| {
                    let begin = at * turns as usize;
                    let found = (begin..begin + turns as usize).find(|&row| passes.value(row));
                    let Some(row) = found else { return Some(i) };
                    places[i] = (batches.len(), kept.len());
                    kept.push(row as u32);
                    None
                })
                .collect();
            let columns: Vec<usize> = (0..wanted).collect();
            let batch = batch.project(&columns)?;
            if draws == 0 && pending.is_empty() {
                return Ok(batch);
            }
            batches.push(arrow::compute::take_record_batch(
                &batch,
                &UInt32Array::from(kept),
            )?);
            draws += turns;
        }
        if wanted == 0 || batches.is_empty() {
            let schema = Arc::new(self.model.schema().project(&drawn[..wanted])?);
            if wanted > 0 {
                return Ok(RecordBatch::new_empty(schema));
            }
            let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
            return Ok(RecordBatch::try_new_with_options(schema, vec![], &options)?);
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        Ok(interleave_record_batch(&batches, &places)?)
    }

    fn check(&self, batch: &RecordBatch, drawn: &[usize]) -> Result<BooleanArray> {
        let mut passes = BooleanArray::from(vec![true; batch.num_rows()]);
        for condition in &self.conditions {
            if let Some(at) = drawn.iter().position(|&column| column == condition.column) {
                passes = and(&passes, &condition.holds(batch.column(at))?)?;
            }
        }
        Ok(passes)
    }
}
