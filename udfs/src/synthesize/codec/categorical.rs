//! Categories: a column's distinct values in their order, each an index.
//!
//! Where there are more than a model should have states for, the frequent ones have a state each, and all
//! others share the first state and are told apart by its value: the cumulative shares of the rest, in the order of
//! the values, divide a standard normal. A category is so drawn by its frequency, near ones are near in model space,
//! and a column of any number of categories is as wide as one of few.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion_common::{Result, exec_err};

use super::EncodedColumn;
use super::numeric::{normal_probability, normal_quantile};
use crate::synthesize::{ModelFile, rng};

/// Rows converted at once: bounds the memory that the bytes of long texts take.
const CHUNK: usize = 8192;

/// A category of fewer rows than one in this many is never called frequent where there are too many.
const RARE: u64 = 2000;

/// Whether a column of this type can be categories: text, booleans, numbers, moments.
pub fn supports(data_type: &DataType) -> bool {
    data_type.is_primitive()
        || matches!(
            data_type,
            DataType::Null
                | DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
        )
}

/// The distinct values of a column.
#[derive(Debug, Clone)]
pub struct Categories {
    values: ArrayRef,
    /// Made when first asked for: drawing does not need it.
    index: Arc<OnceLock<HashMap<Box<[u8]>, u32>>>,
    shared: Option<Shared>,
}

/// Which categories share the first state.
#[derive(Debug, Clone)]
struct Shared {
    /// The categories with a state of their own: the second, the third ...
    frequent: Vec<u32>,
    /// The others, in the order of their values ...
    rest: Vec<u32>,
    /// ... and the share of the rest's rows up to and including each.
    upto: Vec<f64>,
    /// Of every category: its state, or its place among the rest.
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    State(u32),
    Rest(u32),
}

impl Categories {
    /// The distinct values of an array, in ascending order; NULL is none of them. They have at most `most` states.
    pub fn fit(array: &ArrayRef, most: usize) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())])?;
        let mut counts: HashMap<Box<[u8]>, u64> = HashMap::new();
        for begin in (0..array.len()).step_by(CHUNK) {
            let chunk = array.slice(begin, CHUNK.min(array.len() - begin));
            let nulls = chunk.logical_nulls();
            let rows = converter.convert_columns(&[chunk])?;
            for (i, row) in rows.iter().enumerate() {
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
                    continue;
                }
                match counts.get_mut(row.data()) {
                    Some(count) => *count += 1,
                    None => {
                        counts.insert(row.data().into(), 1);
                    }
                }
            }
        }
        let mut distinct: Vec<(Box<[u8]>, u64)> = counts.into_iter().collect();
        distinct.sort_unstable();
        let parser = converter.parser();
        let values = converter.convert_rows(distinct.iter().map(|(row, _)| parser.parse(row)))?;
        let shared = (distinct.len() > most.max(1)).then(|| {
            let counts: Vec<u64> = distinct.iter().map(|(_, count)| *count).collect();
            Shared::fit(&counts, most.max(1))
        });
        Ok(Self {
            values: Arc::clone(&values[0]),
            index: Arc::default(),
            shared,
        })
    }

    /// How many categories there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// How many states they have.
    pub fn states(&self) -> usize {
        match &self.shared {
            Some(shared) => 1 + shared.frequent.len(),
            None => self.len(),
        }
    }

    /// Whether the first state is that of several categories, told apart by its value.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    pub fn describe(&self) -> String {
        match (&self.shared, self.len()) {
            (_, 0) => "nothing but NULL".to_string(),
            (_, 1) => "constant".to_string(),
            (None, count) => format!("categorical, {count} values"),
            (Some(shared), count) => format!(
                "categorical, {count} values: {} with a state each, {} that share one by frequency",
                shared.frequent.len(),
                shared.rest.len()
            ),
        }
    }

    fn index(&self, converter: &RowConverter) -> Result<&HashMap<Box<[u8]>, u32>> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let rows = converter.convert_columns(&[Arc::clone(&self.values)])?;
        let index = rows
            .iter()
            .enumerate()
            .map(|(i, row)| (row.data().into(), i as u32))
            .collect();
        Ok(self.index.get_or_init(|| index))
    }

    /// The state of every value, `null` for NULL; nothing if a value (or NULL) is not among them.
    pub fn encode(
        &self,
        array: &ArrayRef,
        null: Option<u32>,
        seed: u64,
        name: &str,
    ) -> Result<Option<EncodedColumn>> {
        let converter = RowConverter::new(vec![SortField::new(self.values.data_type().clone())])?;
        let index = self.index(&converter)?;
        let mut encoded = EncodedColumn {
            states: Vec::with_capacity(array.len()),
            values: Vec::new(),
        };
        let mut stream = rng::stream(rng::hash(seed, name.as_bytes()), "share", 0);
        for begin in (0..array.len()).step_by(CHUNK) {
            let chunk = array.slice(begin, CHUNK.min(array.len() - begin));
            let nulls = chunk.logical_nulls();
            let rows = converter.convert_columns(&[chunk])?;
            for (i, row) in rows.iter().enumerate() {
                let state = match &nulls {
                    Some(nulls) if nulls.is_null(i) => null,
                    _ => index.get(row.data()).copied(),
                };
                let Some(state) = state else { return Ok(None) };
                let Some(shared) = &self.shared else {
                    encoded.states.push(state);
                    continue;
                };
                let offset = f64::from(rng::uniform(&mut stream));
                let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(i));
                let (state, value) = match shared.places.get(state as usize) {
                    Some(Place::Rest(place)) if !is_null => (0, shared.value(*place, offset)),
                    Some(Place::State(state)) if !is_null => (*state, 0.0),
                    _ => (state, 0.0),
                };
                encoded.states.push(state);
                encoded.values.push(value);
            }
        }
        Ok(Some(encoded))
    }

    /// The values of states; a state past the last category is NULL.
    pub fn decode(&self, encoded: &EncodedColumn) -> Result<ArrayRef> {
        let count = self.len() as u32;
        let indices: UInt32Array = match &self.shared {
            None => encoded
                .states
                .iter()
                .map(|&state| (state < count).then_some(state))
                .collect(),
            Some(shared) => encoded
                .states
                .iter()
                .zip(&encoded.values)
                .map(|(&state, &value)| match state.checked_sub(1) {
                    None => Some(shared.category(value)),
                    Some(frequent) => shared.frequent.get(frequent as usize).copied(),
                })
                .collect(),
        };
        Ok(take(&self.values, &indices, None)?)
    }

    pub fn save(&self, prefix: &str, file: &mut ModelFile) -> Result<()> {
        file.set_column(format!("{prefix}.categories"), &self.values)?;
        if let Some(shared) = &self.shared {
            let frequent: Vec<f64> = shared.frequent.iter().map(|&i| f64::from(i)).collect();
            file.set_numbers(format!("{prefix}.frequent"), &frequent)?;
            file.set_numbers(format!("{prefix}.shares"), &shared.upto)?;
        }
        Ok(())
    }

    pub fn load(prefix: &str, file: &ModelFile) -> Result<Self> {
        let values = file.column(&format!("{prefix}.categories"))?;
        let shared = match file.numbers(&format!("{prefix}.frequent")) {
            Err(_) => None,
            Ok(frequent) => {
                let frequent: Vec<u32> = frequent.iter().map(|&i| i as u32).collect();
                let upto = file.numbers(&format!("{prefix}.shares"))?;
                let count = values.len();
                let known = frequent.iter().all(|&i| (i as usize) < count);
                let mut sorted = frequent.clone();
                sorted.sort_unstable();
                sorted.dedup();
                if !known || sorted.len() + upto.len() != count || upto.is_empty() {
                    return exec_err!("the model file is damaged: {prefix}.frequent");
                }
                Some(Shared::new(frequent, upto, count))
            }
        };
        Ok(Self {
            values,
            index: Arc::default(),
            shared,
        })
    }
}

impl Shared {
    fn fit(counts: &[u64], most: usize) -> Self {
        let total: u64 = counts.iter().sum();
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(counts[i as usize]));
        order.truncate(most - 1);
        order.retain(|&i| counts[i as usize].saturating_mul(RARE) >= total);
        let mut is_frequent = vec![false; counts.len()];
        for &i in &order {
            is_frequent[i as usize] = true;
        }
        let rest = || counts.iter().zip(&is_frequent).filter(|(_, f)| !**f);
        let rows: u64 = rest().map(|(count, _)| *count).sum();
        let mut seen = 0;
        let upto = rest()
            .map(|(count, _)| {
                seen += count;
                seen as f64 / rows as f64
            })
            .collect();
        Self::new(order, upto, counts.len())
    }

    fn new(frequent: Vec<u32>, upto: Vec<f64>, count: usize) -> Self {
        let mut places = vec![Place::Rest(0); count];
        for (state, &category) in frequent.iter().enumerate() {
            places[category as usize] = Place::State(state as u32 + 1);
        }
        let mut rest = Vec::with_capacity(upto.len());
        for (category, place) in places.iter_mut().enumerate() {
            if let Place::Rest(place) = place {
                *place = rest.len() as u32;
                rest.push(category as u32);
            }
        }
        Self {
            frequent,
            rest,
            upto,
            places,
        }
    }

    /// The value of a category of the rest, spread over its share by `offset`, uniform in 0..1.
    fn value(&self, place: u32, offset: f64) -> f32 {
        let place = place as usize;
        let high = self.upto[place];
        let low = place.checked_sub(1).map_or(0.0, |before| self.upto[before]);
        // Away from the ends, where the quantile is infinite, and from the borders, where rounding shows.
        let p = low + (0.01 + 0.98 * offset) * (high - low);
        normal_quantile(p.clamp(1e-12, 1.0 - 1e-12))
    }

    fn category(&self, value: f32) -> u32 {
        let p = normal_probability(value);
        let place = self.upto.partition_point(|&upto| upto <= p);
        self.rest[place.min(self.rest.len() - 1)]
    }
}
