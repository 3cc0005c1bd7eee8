//! `multi_hot`, `bag_of_words` and `tf_idf`: lists to vectors with a place for each item that was seen.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, ListArray, StructArray,
    UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{filter, take};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion_common::{Result, exec_err, internal_err, plan_err};

use super::ordinal_encode::{list_of, lists, unknown};
use crate::arrays::{is_text, only};
use crate::fitted::counts::{Counts, Lookup, UNKNOWN, category_type, listed_type};
use crate::fitted::numbers::{Reader, of_group};
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const TOKENS: Param = Param::data(
    "tokens",
    "a list of texts; a NULL among them is passed over, and of those that were not there when fitting nothing is seen",
);
const MAX_TERMS: Param = Param::option(
    "max_terms",
    "NULL",
    "at most so many terms: the most frequent, of equally frequent ones the first of the alphabet",
);
const MIN_DF: Param = Param::option(
    "min_df",
    "1",
    "terms of fewer rows (or, below 1, of a smaller fraction of the rows that are not NULL) are left out",
);

const MULTI_HOT: Spec = Spec {
    name: "multi_hot",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "A vector with a 1 for each item that is in the row's list and 0 elsewhere, the items in ascending order, \
        as a list of FLOAT. NULL gives NULL.",
    params: &[
        Param::data(
            "list",
            "a list of texts, numbers, booleans, dates or times; a NULL in it is passed over",
        ),
        Param::option(
            "handle_unknown",
            "'ignore'",
            "what an item that was not there when fitting becomes: 'ignore': nothing is seen of it; 'error'",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT multi_hot(x) OVER () FROM (VALUES (['red', 'big']), (['red']), (NULL)) AS t(x)",
        result: "\"[1.0, 1.0]\"\n\"[0.0, 1.0]\"\n",
    }],
    source: "scikit-learn's MultiLabelBinarizer",
    also: &[
        "sklearn.preprocessing.MultiLabelBinarizer",
        "ML.MULTI_HOT_ENCODER (BigQuery)",
    ],
};

const BAG_OF_WORDS: Spec = Spec {
    name: "bag_of_words",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "How often each term is in the row's list of tokens, the terms in alphabetical order, as a list of FLOAT. \
        NULL gives NULL.",
    params: &[TOKENS, MAX_TERMS, MIN_DF],
    variadic: false,
    examples: &[Example {
        sql: "SELECT bag_of_words(x) OVER () FROM (VALUES (['to', 'be', 'or', 'to']), (['be'])) AS t(x)",
        result: "\"[1.0, 1.0, 2.0]\"\n\"[1.0, 0.0, 0.0]\"",
    }],
    source: "scikit-learn's CountVectorizer on given tokens",
    also: &[
        "sklearn.feature_extraction.text.CountVectorizer",
        "ML.BAG_OF_WORDS (BigQuery)",
        "CountVectorizer (Spark ML)",
    ],
};

const TF_IDF: Spec = Spec {
    name: "tf_idf",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "How often each term is in the row's list of tokens, times ln((1 + rows) / (1 + rows that have it)) + 1, \
        scaled to length 1; the terms in alphabetical order, as a list of FLOAT. NULL gives NULL.",
    params: &[TOKENS, MAX_TERMS, MIN_DF],
    variadic: false,
    examples: &[Example {
        sql: "SELECT tf_idf(x) OVER () FROM (VALUES (['b', 'a']), (['a', 'b', 'b', 'a']), ([]::VARCHAR[])) AS t(x)",
        result: "\"[0.70710677, 0.70710677]\"\n\"[0.70710677, 0.70710677]\"\n\"[0.0, 0.0]\"",
    }],
    source: "scikit-learn's TfidfVectorizer on given tokens, with its defaults",
    also: &[
        "sklearn.feature_extraction.text.TfidfVectorizer",
        "ML.TF_IDF (BigQuery)",
        "IDF (Spark ML)",
    ],
};

/// The type a list is cast to, its items as categories.
pub(crate) fn coerce(spec: &Spec, types: &[DataType], text: bool) -> Result<Vec<DataType>> {
    let param = spec.params[0].name;
    let item = |t: &DataType| {
        if text && !is_text(t) {
            return plan_err!(
                "{}: {param} must be a list of texts, not of {t}. Write {}(CAST({param} AS VARCHAR[]), ...)",
                spec.name,
                spec.name
            );
        }
        category_type(spec, param, t)
    };
    let field = |t: &DataType| {
        Ok::<_, datafusion_common::DataFusionError>(Arc::new(Field::new_list_field(item(t)?, true)))
    };
    let t = match only(spec, types)? {
        DataType::List(f) | DataType::FixedSizeList(f, _) => DataType::List(field(f.data_type())?),
        DataType::LargeList(f) => DataType::LargeList(field(f.data_type())?),
        DataType::Null => DataType::List(field(&DataType::Null)?),
        t if is_text(t) => {
            return plan_err!(
                "{}: {param} must be a list, not {t}. Write {}(string_to_array({param}, ' '), ...)",
                spec.name,
                spec.name
            );
        }
        t => return plan_err!("{}: {param} must be a list, not {t}", spec.name),
    };
    Ok(vec![t])
}

/// The type of a list's items.
pub(crate) fn item_type(list: &DataType) -> Result<&DataType> {
    match list {
        DataType::List(f) | DataType::LargeList(f) => Ok(f.data_type()),
        other => internal_err!("lists are expected, not {other}"),
    }
}

/// The items of a column of lists, side by side.
pub(crate) struct Items {
    pub(crate) items: ArrayRef,
    /// Where the items of each row end; a NULL row has none.
    pub(crate) ends: Vec<usize>,
    pub(crate) nulls: Option<NullBuffer>,
}

impl Items {
    pub(crate) fn of(array: &ArrayRef) -> Result<Self> {
        let nulls = array.nulls().filter(|n| n.null_count() > 0).cloned();
        let (items, offsets): (_, Vec<usize>) = match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let offsets = lists.offsets().iter().map(|o| *o as usize);
                (lists.values(), offsets.collect())
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                let offsets = lists.offsets().iter().map(|o| *o as usize);
                (lists.values(), offsets.collect())
            }
            other => return internal_err!("lists are expected, not {other}"),
        };
        let (first, last) = match (offsets.first(), offsets.last()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => (0, 0),
        };
        let mut items = items.slice(first, last - first);
        let mut ends: Vec<usize> = offsets.iter().skip(1).map(|end| end - first).collect();
        // what lies under a NULL is no item
        if let Some(nulls) = &nulls {
            let mut keep = Vec::with_capacity(items.len());
            let mut start = 0;
            let mut kept = 0;
            for (row, end) in ends.iter_mut().enumerate() {
                let n = *end - start;
                start = *end;
                keep.resize(keep.len() + n, nulls.is_valid(row));
                kept += if nulls.is_valid(row) { n } else { 0 };
                *end = kept;
            }
            if kept < items.len() {
                items = filter(&items, &BooleanArray::from(keep))?;
            }
        }
        Ok(Self { items, ends, nulls })
    }

    fn valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|n| n.is_valid(row))
    }

    /// The first occurrence in its row of each item that is not missing.
    pub(crate) fn distinct(&self) -> Result<ArrayRef> {
        let mut seen = Counts::new(self.items.data_type())?;
        seen.update(&[Arc::clone(&self.items)])?;
        let (values, _) = seen.sorted()?;
        let numbers: Vec<u32> = (0u32..).take(values.len()).collect();
        let codes = Lookup::new(&values, &numbers)?.codes(&self.items)?;
        let mut last_row = vec![usize::MAX; values.len()];
        let mut first = Vec::new();
        let mut start = 0;
        for (row, end) in self.ends.iter().enumerate() {
            for (item, code) in (start..*end).zip(&codes[start..*end]) {
                if let Some(last) = last_row.get_mut(*code as usize)
                    && *last != row
                {
                    *last = row;
                    first.push(item as u64);
                }
            }
            start = *end;
        }
        let first = arrow::array::UInt64Array::from(first);
        Ok(take(&self.items, &first, None)?)
    }
}

/// How many lists there were, how often each item was in them, and in how many of them.
#[derive(Debug)]
pub struct Terms {
    rows: u64,
    occurrences: Counts,
    lists: Counts,
}

impl Terms {
    fn new(list: &DataType) -> Result<Self> {
        let item = item_type(list)?;
        Ok(Self {
            rows: 0,
            occurrences: Counts::new(item)?,
            lists: Counts::new(item)?,
        })
    }

    fn read(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
        let mut reader = Reader(bytes);
        let rows = reader.u64()?;
        let n = reader.length()?;
        Some((rows, reader.bytes(n)?, reader.0))
    }
}

impl State for Terms {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let items = Items::of(&values[0])?;
        self.rows += (values[0].len() - values[0].null_count()) as u64;
        self.lists.update(&[items.distinct()?])?;
        self.occurrences.update(&[items.items])
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.rows += other.rows;
        self.occurrences.merge(other.occurrences)?;
        self.lists.merge(other.lists)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut occurrences = Vec::new();
        self.occurrences.encode(&mut occurrences)?;
        out.extend(self.rows.to_le_bytes());
        out.extend((occurrences.len() as u64).to_le_bytes());
        out.extend(occurrences);
        self.lists.encode(out)
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((rows, occurrences, lists)) = Self::read(bytes) else {
            return internal_err!("terms of {} bytes cannot be read", bytes.len());
        };
        self.rows = rows;
        self.occurrences.decode(occurrences)?;
        self.lists.decode(lists)
    }

    fn size(&self) -> usize {
        size_of::<u64>() + self.occurrences.size() + self.lists.size()
    }
}

/// The items that are seen, in ascending order.
#[derive(Debug, Clone)]
struct Choice {
    max_terms: Option<usize>,
    min_df: f64,
}

impl Choice {
    fn new(options: &Options) -> Result<Self> {
        let max_terms = match options.is_null("max_terms") {
            true => None,
            false => Some(options.integer("max_terms", 1)?),
        };
        let min_df = options.float("min_df")?;
        if min_df < 0.0 || (min_df > 1.0 && min_df.fract() != 0.0) {
            return options.wrong(
                "min_df",
                "a whole number of rows, or a fraction between 0 and 1",
            );
        }
        Ok(Self {
            max_terms: max_terms.and_then(|n| usize::try_from(n).ok()),
            min_df,
        })
    }

    /// The terms, and in how many lists each is.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts are compared with a float"
    )]
    fn of(&self, state: &Terms) -> Result<(ArrayRef, Vec<u64>)> {
        let (terms, occurrences) = state.occurrences.sorted()?;
        // the same items, in the same order
        let (_, lists) = state.lists.sorted()?;
        let least = match self.min_df {
            fraction if fraction < 1.0 => fraction * state.rows as f64,
            count => count,
        };
        let mut chosen: Vec<usize> = (0..lists.len())
            .filter(|i| lists[*i] as f64 >= least)
            .collect();
        if let Some(max) = self.max_terms {
            chosen.sort_by_key(|i| std::cmp::Reverse(occurrences[*i]));
            chosen.truncate(max);
            chosen.sort_unstable();
        }
        let rows: UInt32Array = chosen.iter().map(|i| u32::try_from(*i).ok()).collect();
        let lists = chosen.iter().map(|i| lists[*i]).collect();
        Ok((take(&terms, &rows, None)?, lists))
    }
}

/// The places of the items, and the weight of each where they have one.
#[derive(Debug)]
pub struct Vocabulary {
    lookup: Lookup,
    width: usize,
    weights: Option<Float64Array>,
}

impl Vocabulary {
    fn params(list: &DataType, weights: bool) -> Result<Fields> {
        let terms = list_of(&listed_type(item_type(list)?));
        let mut fields = vec![Field::new("terms", terms, true)];
        if weights {
            fields.push(Field::new("weights", list_of(&DataType::Float64), true));
        }
        Ok(Fields::from(fields))
    }

    /// Reads the parameters: a column of terms and perhaps one of weights.
    fn prepare(spec: &Spec, params: &StructArray) -> Result<Vec<Option<Self>>> {
        let columns: Option<Vec<&ListArray>> = params
            .columns()
            .iter()
            .map(|c| c.as_list_opt::<i32>())
            .collect();
        let Some(([terms], weights)) = columns.as_deref().and_then(|c| c.split_first_chunk())
        else {
            return internal_err!("{}: no terms", spec.name);
        };
        (0..params.len())
            .map(|row| {
                if params.is_null(row) || terms.is_null(row) {
                    return Ok(None);
                }
                let terms = terms.value(row);
                let codes: Vec<u32> = (0u32..).take(terms.len()).collect();
                let weights = weights
                    .first()
                    .map(|w| w.value(row).as_primitive::<Float64Type>().clone());
                Ok(Some(Self {
                    lookup: Lookup::new(&terms, &codes)?,
                    width: terms.len(),
                    weights,
                }))
            })
            .collect()
    }
}

/// The vector of each row: `fill` is given the zeros of a row and the places of its items, of which some are
/// beyond it: missing and unknown ones.
fn vectors(
    spec: &Spec,
    items: &Items,
    codes: &[u32],
    vocabularies: &[Option<Vocabulary>],
    groups: Groups<'_>,
    fill: impl Fn(&mut [f32], &[u32], &Vocabulary),
) -> Result<ArrayRef> {
    let rows = items.ends.len();
    let mut lengths = Vec::with_capacity(rows);
    let mut present = Vec::with_capacity(rows);
    for row in 0..rows {
        let vocabulary = of_group(vocabularies, groups, row)?;
        let width = vocabulary.as_ref().map(|v| v.width);
        let width = width.filter(|_| items.valid(row));
        present.push(width.is_some());
        lengths.push(width.unwrap_or(0));
    }
    let total = lengths.iter().fold(0usize, |sum, n| sum.saturating_add(*n));
    if i32::try_from(total).is_err() {
        return exec_err!(
            "{}: vectors of {} numbers are too wide for {rows} rows at once. Keep fewer items, as with max_terms => 1000",
            spec.name,
            lengths.iter().max().unwrap_or(&0)
        );
    }
    let mut values = vec![0f32; total];
    let (mut at, mut start) = (0, 0);
    for (row, end) in items.ends.iter().enumerate() {
        if let Some(vocabulary) = of_group(vocabularies, groups, row)?
            && present[row]
        {
            let vector = &mut values[at..at + lengths[row]];
            fill(vector, &codes[start..*end], vocabulary);
        }
        at += lengths[row];
        start = *end;
    }
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let values = Arc::new(Float32Array::from(values));
    let nulls = Some(NullBuffer::from(present)).filter(|n| n.null_count() > 0);
    Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
}

/// The place of each item.
fn places(
    items: &Items,
    vocabularies: &[Option<Vocabulary>],
    groups: Groups<'_>,
) -> Result<Vec<u32>> {
    let lookups: Vec<_> = vocabularies
        .iter()
        .map(|v| v.as_ref().map(|v| &v.lookup))
        .collect();
    item_codes(items, &lookups, groups)
}

/// The code of each item by the look-up of its row's group.
pub(crate) fn item_codes(
    items: &Items,
    lookups: &[Option<&Lookup>],
    groups: Groups<'_>,
) -> Result<Vec<u32>> {
    match groups {
        Groups::One => Lookup::codes_by_group(lookups, &items.items, groups),
        Groups::Each(index) => {
            let mut of_items = Vec::with_capacity(items.items.len());
            for (end, group) in items.ends.iter().zip(index) {
                of_items.resize(*end, *group);
            }
            Lookup::codes_by_group(lookups, &items.items, Groups::Each(&of_items))
        }
    }
}

/// Adds 1 at the place of each item.
fn count(vector: &mut [f32], places: &[u32]) {
    for place in places {
        if let Some(n) = vector.get_mut(*place as usize) {
            *n += 1.0;
        }
    }
}

/// `multi_hot(list, handle_unknown => 'ignore') OVER (...)`.
#[derive(Debug, Clone)]
pub struct MultiHot {
    error: bool,
}

impl Fitted for MultiHot {
    type State = ListItems;
    type Prepared = Vec<Option<Vocabulary>>;

    fn spec() -> &'static Spec {
        &MULTI_HOT
    }

    fn new(options: &Options) -> Result<Self> {
        let unknown = options.choice("handle_unknown", &["ignore", "error"])?;
        Ok(Self {
            error: unknown == "error",
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&MULTI_HOT, types, false)
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(list_of(&DataType::Float32))
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Vocabulary::params(&types[0], false)
    }

    fn state(&self, types: &[DataType]) -> Result<ListItems> {
        Ok(ListItems(Counts::new(item_type(&types[0])?)?))
    }

    fn finish(&self, types: &[DataType], states: Vec<ListItems>) -> Result<Vec<ArrayRef>> {
        let items = states
            .iter()
            .map(|state| Ok(state.0.sorted()?.0))
            .collect::<Result<Vec<_>>>()?;
        Ok(vec![lists(&listed_type(item_type(&types[0])?), &items)?])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Vocabulary::prepare(&MULTI_HOT, params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let items = Items::of(&args[0])?;
        let codes = places(&items, prepared, groups)?;
        if self.error
            && let Some(item) = codes.iter().position(|c| *c == UNKNOWN)
        {
            let instead = "handle_unknown => 'ignore'";
            return unknown(&MULTI_HOT, &items.items, item, instead);
        }
        vectors(
            &MULTI_HOT,
            &items,
            &codes,
            prepared,
            groups,
            |vector, places, _| {
                for place in places {
                    if let Some(hot) = vector.get_mut(*place as usize) {
                        *hot = 1.0;
                    }
                }
            },
        )
    }
}

/// The items of lists.
#[derive(Debug)]
pub struct ListItems(Counts);

impl State for ListItems {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update(&[Items::of(&values[0])?.items])
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.0.merge(other.0)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.0.encode(out)
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.decode(bytes)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// `bag_of_words(tokens, max_terms => NULL, min_df => 1) OVER (...)`.
#[derive(Debug, Clone)]
pub struct BagOfWords(Choice);

impl Fitted for BagOfWords {
    type State = Terms;
    type Prepared = Vec<Option<Vocabulary>>;

    fn spec() -> &'static Spec {
        &BAG_OF_WORDS
    }

    fn new(options: &Options) -> Result<Self> {
        Choice::new(options).map(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&BAG_OF_WORDS, types, true)
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(list_of(&DataType::Float32))
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Vocabulary::params(&types[0], false)
    }

    fn state(&self, types: &[DataType]) -> Result<Terms> {
        Terms::new(&types[0])
    }

    fn finish(&self, _types: &[DataType], states: Vec<Terms>) -> Result<Vec<ArrayRef>> {
        let terms = states
            .iter()
            .map(|state| Ok(self.0.of(state)?.0))
            .collect::<Result<Vec<_>>>()?;
        Ok(vec![lists(&DataType::Utf8, &terms)?])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Vocabulary::prepare(&BAG_OF_WORDS, params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let items = Items::of(&args[0])?;
        let codes = places(&items, prepared, groups)?;
        vectors(
            &BAG_OF_WORDS,
            &items,
            &codes,
            prepared,
            groups,
            |vector, places, _| count(vector, places),
        )
    }
}

/// `tf_idf(tokens, max_terms => NULL, min_df => 1) OVER (...)`.
#[derive(Debug, Clone)]
pub struct TfIdf(Choice);

impl Fitted for TfIdf {
    type State = Terms;
    type Prepared = Vec<Option<Vocabulary>>;

    fn spec() -> &'static Spec {
        &TF_IDF
    }

    fn new(options: &Options) -> Result<Self> {
        Choice::new(options).map(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&TF_IDF, types, true)
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(list_of(&DataType::Float32))
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Vocabulary::params(&types[0], true)
    }

    fn state(&self, types: &[DataType]) -> Result<Terms> {
        Terms::new(&types[0])
    }

    #[expect(clippy::cast_precision_loss, reason = "weights are floats")]
    fn finish(&self, _types: &[DataType], states: Vec<Terms>) -> Result<Vec<ArrayRef>> {
        let mut terms = Vec::with_capacity(states.len());
        let mut weights: Vec<ArrayRef> = Vec::with_capacity(states.len());
        for state in states {
            let (of_state, rows_with) = self.0.of(&state)?;
            let rows = 1.0 + state.rows as f64;
            let idf = |with: &u64| (rows / (1.0 + *with as f64)).ln() + 1.0;
            terms.push(of_state);
            weights.push(Arc::new(Float64Array::from_iter_values(
                rows_with.iter().map(idf),
            )));
        }
        Ok(vec![
            lists(&DataType::Utf8, &terms)?,
            lists(&DataType::Float64, &weights)?,
        ])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Vocabulary::prepare(&TF_IDF, params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let items = Items::of(&args[0])?;
        let codes = places(&items, prepared, groups)?;
        vectors(
            &TF_IDF,
            &items,
            &codes,
            prepared,
            groups,
            |vector, places, vocabulary| {
                count(vector, places);
                let Some(weights) = &vocabulary.weights else {
                    return;
                };
                let weighted = |n: f32, weight: f64| f64::from(n) * weight;
                let squares = vector.iter().zip(weights.values());
                let length = squares
                    .map(|(n, w)| weighted(*n, *w).powi(2))
                    .sum::<f64>()
                    .sqrt();
                if length > 0.0 {
                    for (n, w) in vector.iter_mut().zip(weights.values()) {
                        *n = (weighted(*n, *w) / length) as f32;
                    }
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListBuilder, StringBuilder};
    use arrow::compute::cast;
    use arrow::datatypes::{Float32Type, Int64Type};

    use super::*;
    use crate::fitted::testing::{
        Given, apply_to, bind_error, coerce_error, fit_apply, grouped, try_apply_to,
    };

    type Row = Option<Vec<f32>>;

    fn tokens(rows: &[Option<&[Option<&str>]>]) -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for row in rows {
            for token in row.unwrap_or_default() {
                builder.values().append_option(*token);
            }
            builder.append(row.is_some());
        }
        Arc::new(builder.finish())
    }

    fn words(rows: &[&str]) -> ArrayRef {
        let split: Vec<Vec<Option<&str>>> = rows
            .iter()
            .map(|row| row.split_whitespace().map(Some).collect())
            .collect();
        let rows: Vec<_> = split.iter().map(|row| Some(row.as_slice())).collect();
        tokens(&rows)
    }

    fn rows(vectors: &ArrayRef) -> Vec<Row> {
        vectors
            .as_list::<i32>()
            .iter()
            .map(|v| v.map(|v| v.as_primitive::<Float32Type>().values().to_vec()))
            .collect()
    }

    fn fit<F: Fitted>(given: Given<'_>, array: &ArrayRef) -> Vec<Row> {
        rows(&fit_apply::<F>(given, std::slice::from_ref(array)))
    }

    #[test]
    fn multi_hot_of_all_list_types() {
        let long = "an item of more than twelve bytes";
        let x = tokens(&[
            Some(&[Some("b"), Some("a"), Some("b"), None]),
            None,
            Some(&[]),
            Some(&[Some(long)]),
        ]);
        let expected = vec![
            Some(vec![1.0, 0.0, 1.0]),
            None,
            Some(vec![0.0; 3]),
            Some(vec![0.0, 1.0, 0.0]),
        ];
        assert_eq!(fit::<MultiHot>(&[], &x), expected);
        let item = |t| Arc::new(Field::new_list_field(t, true));
        for t in [
            DataType::LargeList(item(DataType::LargeUtf8)),
            DataType::List(item(DataType::Utf8View)),
        ] {
            let x = cast(&x, &t).expect("a list");
            assert_eq!(fit::<MultiHot>(&[], &x), expected);
            assert_eq!(fit::<MultiHot>(&[], &x.slice(1, 3))[2], Some(vec![1.0]));
        }
        let numbers = [Some([Some(3), Some(-1)]), Some([Some(3), None]), None];
        let numbers = numbers.map(|row| row.map(|row| row.to_vec()));
        let numbers =
            arrow::array::FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(numbers, 2);
        let numbers: ArrayRef = Arc::new(numbers);
        let expected = vec![Some(vec![1.0, 1.0]), Some(vec![0.0, 1.0]), None];
        assert_eq!(fit::<MultiHot>(&[], &numbers), expected);
    }

    #[test]
    fn unknown_items() {
        let (seen, other) = ([words(&["a b"])], [words(&["c b", ""])]);
        let y = apply_to::<MultiHot>(&[], &seen, &other);
        assert_eq!(rows(&y), [Some(vec![0.0, 1.0]), Some(vec![0.0, 0.0])]);
        let given = [("handle_unknown", "error".into())];
        let error = try_apply_to::<MultiHot>(&given, &seen, &other);
        let error = error.expect_err("an error").to_string();
        assert!(error.contains("multi_hot: unknown category 'c'"), "{error}");
    }

    #[test]
    fn counts_of_words() {
        let x = words(&["to be or not to be", "be", "", "é to"]);
        // be, not, or, to, é
        let expected = vec![
            Some(vec![2.0, 1.0, 1.0, 2.0, 0.0]),
            Some(vec![1.0, 0.0, 0.0, 0.0, 0.0]),
            Some(vec![0.0; 5]),
            Some(vec![0.0, 0.0, 0.0, 1.0, 1.0]),
        ];
        assert_eq!(fit::<BagOfWords>(&[], &x), expected);
        for given in [
            ("min_df", 2.into()),
            ("min_df", 0.5.into()),
            ("max_terms", 2.into()),
        ] {
            let be_to = fit::<BagOfWords>(&[given], &x);
            assert_eq!(be_to[0], Some(vec![2.0, 2.0]));
            assert_eq!(be_to[3], Some(vec![0.0, 1.0]));
        }
        // of not, or and é, each there once, the first of the alphabet
        let three = fit::<BagOfWords>(&[("max_terms", 3.into())], &x);
        assert_eq!(three[0], Some(vec![2.0, 1.0, 2.0]));
        let error = bind_error::<BagOfWords>(&[("min_df", 1.5.into())]);
        assert!(error.contains("min_df must be"), "{error}");
    }

    #[test]
    fn weights_of_words() {
        let x = words(&["a b b", "a", ""]);
        let idf = |rows_with: f64| (4.0 / (1.0 + rows_with)).ln() + 1.0;
        let (a, b): (f64, f64) = (idf(2.0), 2.0 * idf(1.0));
        let length = a.hypot(b);
        let y = fit::<TfIdf>(&[], &x);
        assert_eq!(y[1..], [Some(vec![1.0, 0.0]), Some(vec![0.0, 0.0])]);
        let first = y[0].as_ref().expect("a vector");
        assert!((f64::from(first[0]) - a / length).abs() < 1e-6);
        assert!((f64::from(first[1]) - b / length).abs() < 1e-6);
    }

    #[test]
    fn by_group() {
        let x = words(&["a b", "b", "c", "c d e"]);
        let y = grouped::<BagOfWords>(&[], std::slice::from_ref(&x), &[0, 0, 1, 1]);
        assert_eq!(rows(&y)[1], Some(vec![0.0, 1.0]));
        assert_eq!(rows(&y)[2], Some(vec![1.0, 0.0, 0.0]));
        grouped::<TfIdf>(&[], std::slice::from_ref(&x), &[1, 0, 1, 0]);
        grouped::<MultiHot>(&[], &[x], &[1, 0, 1, 0]);
    }

    #[test]
    fn nothing_and_wrong_types() {
        let nulls = tokens(&[None, None]);
        assert_eq!(fit::<TfIdf>(&[], &nulls), [None, None]);
        let missing = tokens(&[Some(&[None, None])]);
        assert_eq!(fit::<BagOfWords>(&[], &missing), [Some(vec![])]);
        let error = coerce_error::<BagOfWords>(&[], &[DataType::Utf8]);
        assert!(error.contains("string_to_array(tokens, ' ')"), "{error}");
        let number = Int64Array::from(vec![1]).data_type().clone();
        let error = coerce_error::<TfIdf>(&[], &[list_of(&number)]);
        assert!(error.contains("must be a list of texts"), "{error}");
        let error = coerce_error::<MultiHot>(&[], &[number]);
        assert!(error.contains("list must be a list"), "{error}");
    }
}
