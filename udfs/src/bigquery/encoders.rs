//! `ML.ONE_HOT_ENCODER`, `ML.LABEL_ENCODER`, `ML.MULTI_HOT_ENCODER`, `ML.BAG_OF_WORDS` and `ML.TF_IDF`: a
//! vocabulary in alphabetical order, numbered from 1; 0 is what is missing or not in it.

use std::cmp::Reverse;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StructArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion_common::{Result, exec_err, internal_err};

use crate::arrays::only;
use crate::encode::ordinal_encode::{list_of, lists};
use crate::encode::terms::{Items, coerce, item_codes, item_type};
use crate::fitted::counts::{Counts, Lookup, category_type, listed_type};
use crate::fitted::numbers::{Reader, of_group};
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const CATEGORY: Param = Param::data("x", "a text, number, boolean, date or time");
const LIST: Param = Param::data("list", "a list of texts, numbers, booleans, dates or times");
const TOKENS: Param = Param::data("tokens", "a list of texts");
const TOP_K: Param = Param::option(
    "top_k",
    "32000",
    "the size of the vocabulary: the most frequent, of equally frequent ones the first of the alphabet",
);
const FREQUENCY_THRESHOLD: Param = Param::option(
    "frequency_threshold",
    "5",
    "what fewer rows have is not in the vocabulary",
);

const SOURCE: &str = "BigQuery ML's documentation";

const ONE_HOT_ENCODER: Spec = Spec {
    name: "ml_one_hot_encoder",
    stage: Stage::BigQuery,
    kind: Kind::Fitted,
    summary: "The number of a category and 1, as a list of one structure; what is missing or unknown has number 0.",
    params: &[
        CATEGORY,
        Param::option(
            "drop",
            "'none'",
            "'most_frequent': the most frequent category has value 0 in the place of 1",
        ),
        TOP_K,
        FREQUENCY_THRESHOLD,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ML.ONE_HOT_ENCODER(x, 'most_frequent', 10, 0) OVER () FROM (VALUES ('a'), ('b'), ('b'), (NULL)) AS t(x)",
        result: "\"[{index: 1, value: 1.0}]\"\n\"[{index: 2, value: 0.0}]\"\n\"[{index: 2, value: 0.0}]\"\n\"[{index: 0, value: 1.0}]\"",
    }],
    source: SOURCE,
    also: &[],
};

const LABEL_ENCODER: Spec = Spec {
    name: "ml_label_encoder",
    stage: Stage::BigQuery,
    kind: Kind::Fitted,
    summary: "The number of a category, as BIGINT; 0 for what is missing or unknown.",
    params: &[CATEGORY, TOP_K, FREQUENCY_THRESHOLD],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ML.LABEL_ENCODER(x, 10, 2) OVER () FROM (VALUES ('a'), ('b'), ('b'), ('c'), ('c'), (NULL)) AS t(x)",
        result: "0\n1\n1\n2\n2\n0",
    }],
    source: SOURCE,
    also: &[],
};

const MULTI_HOT_ENCODER: Spec = Spec {
    name: "ml_multi_hot_encoder",
    stage: Stage::BigQuery,
    kind: Kind::Fitted,
    summary: "The numbers of the items of a list, each with 1 and once, in the order in which they come in it.",
    params: &[LIST, TOP_K, FREQUENCY_THRESHOLD],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ML.MULTI_HOT_ENCODER(x, 10, 1) OVER () FROM (VALUES (['b', 'a', 'b']), (['a', NULL])) AS t(x)",
        result: "\"[{index: 2, value: 1.0}, {index: 1, value: 1.0}]\"\n\"[{index: 1, value: 1.0}, {index: 0, value: 1.0}]\"",
    }],
    source: SOURCE,
    also: &[],
};

const BAG_OF_WORDS: Spec = Spec {
    name: "ml_bag_of_words",
    stage: Stage::BigQuery,
    kind: Kind::Fitted,
    summary: "The numbers of the terms of a list of tokens, in order, and how often each is in it.",
    params: &[TOKENS, TOP_K, FREQUENCY_THRESHOLD],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ML.BAG_OF_WORDS(x, 32, 2) OVER () FROM (VALUES (['a', 'b', 'b', 'c']), (['a', 'c'])) AS t(x)",
        result: "\"[{index: 0, value: 2.0}, {index: 1, value: 1.0}, {index: 2, value: 1.0}]\"\n\"[{index: 1, value: 1.0}, {index: 2, value: 1.0}]\"",
    }],
    source: SOURCE,
    also: &[],
};

const TF_IDF: Spec = Spec {
    name: "ml_tf_idf",
    stage: Stage::BigQuery,
    kind: Kind::Fitted,
    summary: "The numbers of the terms of a list of tokens, in order, each with its share of the list, times \
        ln(1 + rows / (1 + rows that have it)); for unknown terms the mean of these logarithms.",
    params: &[TOKENS, TOP_K, FREQUENCY_THRESHOLD],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ML.TF_IDF(x, 32, 1) OVER () FROM (VALUES (['a']), (['a', 'b'])) AS t(x)",
        result: "\"[{index: 1, value: 0.5108256237659906}]\"\n\"[{index: 1, value: 0.2554128118829953}, {index: 2, value: 0.34657359027997264}]\"",
    }],
    source: "BigQuery ML's documentation; the weight of unknown terms is what its example shows",
    also: &[],
};

/// Which categories are in a vocabulary.
#[derive(Debug, Clone, Copy)]
struct Choice {
    top_k: usize,
    frequency_threshold: u64,
}

impl Choice {
    fn new(options: &Options) -> Result<Self> {
        let top_k = match options.integer("top_k", 1)? {
            k if k <= 1 << 20 => usize::try_from(k).unwrap_or_default(),
            _ => return options.wrong("top_k", "a whole number from 1 to 1048576"),
        };
        Ok(Self {
            top_k,
            frequency_threshold: options.integer("frequency_threshold", 0)?.unsigned_abs(),
        })
    }

    /// The places of the chosen among all, in order.
    fn of(self, counts: &[u64]) -> UInt64Array {
        let mut chosen: Vec<u64> = (0u64..)
            .zip(counts)
            .filter(|(_, n)| **n >= self.frequency_threshold)
            .map(|(i, _)| i)
            .collect();
        // the sort keeps the alphabet among equals
        chosen.sort_by_key(|i| Reverse(counts[*i as usize]));
        chosen.truncate(self.top_k);
        chosen.sort_unstable();
        UInt64Array::from(chosen)
    }
}

fn sparse_fields() -> Fields {
    Fields::from(vec![
        Field::new("index", DataType::Int64, true),
        Field::new("value", DataType::Float64, true),
    ])
}

/// The type of a list of indices and values.
fn sparse_type() -> DataType {
    list_of(&DataType::Struct(sparse_fields()))
}

/// Lists of indices and values.
#[derive(Debug, Default)]
pub struct Sparse {
    indices: Vec<i64>,
    values: Vec<f64>,
    lengths: Vec<usize>,
}

impl Sparse {
    fn push(&mut self, index: u32, value: f64) {
        self.indices.push(i64::from(index));
        self.values.push(value);
    }

    /// Ends the list of a row; it began after `before` values.
    fn end(&mut self, before: usize) {
        self.lengths.push(self.values.len() - before);
    }

    fn finish(self, spec: &Spec, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        if i32::try_from(self.values.len()).is_err() {
            return exec_err!("{}: more than {} items in one batch", spec.name, i32::MAX);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.indices)),
            Arc::new(Float64Array::from(self.values)),
        ];
        let structs = StructArray::try_new(sparse_fields(), columns, None)?;
        Ok(Arc::new(ListArray::try_new(
            Arc::new(Field::new_list_field(structs.data_type().clone(), true)),
            OffsetBuffer::from_lengths(self.lengths),
            Arc::new(structs),
            nulls,
        )?))
    }
}

/// The vocabulary of a group: the look-up gives indices from 1.
#[derive(Debug)]
pub struct Vocabulary {
    lookup: Lookup,
    size: u32,
    /// By index, with that of the unknown ones first; or the index of the category that is dropped.
    weights: Vec<f64>,
}

impl Vocabulary {
    fn fields(item: &DataType) -> Fields {
        Fields::from(vec![
            Field::new("vocabulary", list_of(&listed_type(item)), true),
            Field::new("weights", list_of(&DataType::Float64), true),
        ])
    }

    /// The columns of the parameters: the vocabulary and the weights of each group.
    fn finish(item: &DataType, groups: Vec<(ArrayRef, Vec<f64>)>) -> Result<Vec<ArrayRef>> {
        let (terms, weights): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let weights: Vec<ArrayRef> = weights
            .into_iter()
            .map(|w| Arc::new(Float64Array::from(w)) as ArrayRef)
            .collect();
        Ok(vec![
            lists(&listed_type(item), &terms)?,
            lists(&DataType::Float64, &weights)?,
        ])
    }

    fn prepare(params: &StructArray) -> Result<Vec<Option<Self>>> {
        let columns: Option<Vec<&ListArray>> = params
            .columns()
            .iter()
            .map(|c| c.as_list_opt::<i32>())
            .collect();
        let Some([terms, weights]) = columns.as_deref() else {
            return internal_err!("a vocabulary and weights are expected");
        };
        (0..params.len())
            .map(|row| {
                if params.is_null(row) || terms.is_null(row) {
                    return Ok(None);
                }
                let terms = terms.value(row);
                let indices: Vec<u32> = (1u32..).take(terms.len()).collect();
                let weights = weights.value(row);
                Ok(Some(Self {
                    lookup: Lookup::new(&terms, &indices)?,
                    size: u32::try_from(terms.len()).unwrap_or_default(),
                    weights: weights.as_primitive::<Float64Type>().values().to_vec(),
                }))
            })
            .collect()
    }

    /// The index of a code.
    fn index(&self, code: u32) -> u32 {
        if code <= self.size { code } else { 0 }
    }
}

fn lookups(vocabularies: &[Option<Vocabulary>]) -> Vec<Option<&Lookup>> {
    vocabularies
        .iter()
        .map(|v| v.as_ref().map(|v| &v.lookup))
        .collect()
}

/// `ML.ONE_HOT_ENCODER(x, drop, top_k, frequency_threshold) OVER (...)`.
#[derive(Debug, Clone)]
pub struct OneHotEncoder {
    drop: bool,
    choice: Choice,
}

impl Fitted for OneHotEncoder {
    type State = Counts;
    type Prepared = Vec<Option<Vocabulary>>;

    fn spec() -> &'static Spec {
        &ONE_HOT_ENCODER
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            drop: options.choice("drop", &["none", "most_frequent"])? == "most_frequent",
            choice: Choice::new(options)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let spec = Self::spec();
        Ok(vec![category_type(spec, "x", only(spec, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(sparse_type())
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Ok(Vocabulary::fields(&types[0]))
    }

    fn state(&self, types: &[DataType]) -> Result<Counts> {
        Counts::new(&types[0])
    }

    fn finish(&self, types: &[DataType], states: Vec<Counts>) -> Result<Vec<ArrayRef>> {
        let groups = states.iter().map(|state| {
            let (values, counts) = state.sorted()?;
            let chosen = self.choice.of(&counts);
            let mut weights = vec![1.0; chosen.len() + 1];
            let counts = chosen.values().iter().map(|i| counts[*i as usize]);
            // of equally frequent ones the first
            let dropped = (1usize..)
                .zip(counts)
                .max_by_key(|(i, n)| (*n, Reverse(*i)));
            if let (true, Some((i, _))) = (self.drop, dropped) {
                weights[i] = 0.0;
            }
            Ok((take(&values, &chosen, None)?, weights))
        });
        Vocabulary::finish(&types[0], groups.collect::<Result<_>>()?)
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Vocabulary::prepare(params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let codes = Lookup::codes_by_group(&lookups(prepared), &args[0], groups)?;
        let mut out = Sparse::default();
        for (row, code) in codes.into_iter().enumerate() {
            let vocabulary = of_group(prepared, groups, row)?.as_ref();
            let index = vocabulary.map_or(0, |v| v.index(code));
            let weight = vocabulary.and_then(|v| v.weights.get(index as usize));
            out.push(index, weight.copied().unwrap_or(1.0));
            out.end(row);
        }
        out.finish(Self::spec(), None)
    }
}

/// `ML.LABEL_ENCODER(x, top_k, frequency_threshold) OVER (...)`.
#[derive(Debug, Clone)]
pub struct LabelEncoder(Choice);

impl Fitted for LabelEncoder {
    type State = Counts;
    type Prepared = Vec<Option<Vocabulary>>;

    fn spec() -> &'static Spec {
        &LABEL_ENCODER
    }

    fn new(options: &Options) -> Result<Self> {
        Choice::new(options).map(Self)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let spec = Self::spec();
        Ok(vec![category_type(spec, "x", only(spec, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Ok(Vocabulary::fields(&types[0]))
    }

    fn state(&self, types: &[DataType]) -> Result<Counts> {
        Counts::new(&types[0])
    }

    fn finish(&self, types: &[DataType], states: Vec<Counts>) -> Result<Vec<ArrayRef>> {
        let groups = states.iter().map(|state| {
            let (values, counts) = state.sorted()?;
            let chosen = self.0.of(&counts);
            Ok((take(&values, &chosen, None)?, Vec::new()))
        });
        Vocabulary::finish(&types[0], groups.collect::<Result<_>>()?)
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Vocabulary::prepare(params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let codes = Lookup::codes_by_group(&lookups(prepared), &args[0], groups)?;
        let labels = codes.into_iter().enumerate().map(|(row, code)| {
            let vocabulary = of_group(prepared, groups, row)?.as_ref();
            Ok(i64::from(vocabulary.map_or(0, |v| v.index(code))))
        });
        let labels = labels.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Int64Array::from(labels)))
    }
}

/// How many lists there were, and in how many of them each item was.
#[derive(Debug)]
pub struct Documents {
    rows: u64,
    lists: Counts,
}

impl Documents {
    fn new(list: &DataType) -> Result<Self> {
        Ok(Self {
            rows: 0,
            lists: Counts::new(item_type(list)?)?,
        })
    }

    /// The vocabulary, and in how many lists each of its terms was.
    fn chosen(&self, choice: Choice) -> Result<(ArrayRef, Vec<u64>)> {
        let (terms, counts) = self.lists.sorted()?;
        let chosen = choice.of(&counts);
        let counts = chosen.values().iter().map(|i| counts[*i as usize]);
        let counts = counts.collect();
        Ok((take(&terms, &chosen, None)?, counts))
    }
}

impl State for Documents {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows += (values[0].len() - values[0].null_count()) as u64;
        self.lists.update(&[Items::of(&values[0])?.distinct()?])
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.rows += other.rows;
        self.lists.merge(other.lists)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend(self.rows.to_le_bytes());
        self.lists.encode(out)
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader(bytes);
        let Some(rows) = reader.u64() else {
            return internal_err!("documents of {} bytes cannot be read", bytes.len());
        };
        self.rows = rows;
        self.lists.decode(reader.0)
    }

    fn size(&self) -> usize {
        size_of::<u64>() + self.lists.size()
    }
}

/// What an encoder of lists makes of a list.
pub trait Listed: Debug + Clone + Send + Sync + 'static {
    const SPEC: &'static Spec;
    /// Whether the items are texts alone.
    const TOKENS: bool;
    /// What is kept from row to row.
    type Memory: Default;

    /// The weights by index, that of unknown items first, of a vocabulary whose terms are in so many of the lists.
    fn weights(_lists: u64, _counts: Vec<u64>) -> Vec<f64> {
        Vec::new()
    }

    /// Appends what a row's indices come to.
    fn fill(
        memory: &mut Self::Memory,
        row: usize,
        indices: &mut [u32],
        weights: &[f64],
        out: &mut Sparse,
    );
}

/// An encoder of lists.
#[derive(Debug, Clone)]
pub struct Encoder<L>(Choice, PhantomData<L>);

impl<L: Listed> Fitted for Encoder<L> {
    type State = Documents;
    type Prepared = Vec<Option<Vocabulary>>;

    fn spec() -> &'static Spec {
        L::SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self(Choice::new(options)?, PhantomData))
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(L::SPEC, types, L::TOKENS)
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(sparse_type())
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        Ok(Vocabulary::fields(item_type(&types[0])?))
    }

    fn state(&self, types: &[DataType]) -> Result<Documents> {
        Documents::new(&types[0])
    }

    fn finish(&self, types: &[DataType], states: Vec<Documents>) -> Result<Vec<ArrayRef>> {
        let groups = states.iter().map(|state| {
            let (terms, counts) = state.chosen(self.0)?;
            Ok((terms, L::weights(state.rows, counts)))
        });
        Vocabulary::finish(item_type(&types[0])?, groups.collect::<Result<_>>()?)
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Vocabulary::prepare(params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let items = Items::of(&args[0])?;
        let mut indices = item_codes(&items, &lookups(prepared), groups)?;
        let mut memory = L::Memory::default();
        let mut out = Sparse::default();
        let mut start = 0;
        for (row, end) in items.ends.iter().enumerate() {
            let before = out.values.len();
            let row_indices = &mut indices[start..*end];
            let vocabulary = of_group(prepared, groups, row)?.as_ref();
            for index in row_indices.iter_mut() {
                *index = vocabulary.map_or(0, |v| v.index(*index));
            }
            let weights = vocabulary.map_or(&[][..], |v| &v.weights);
            L::fill(&mut memory, row, row_indices, weights, &mut out);
            out.end(before);
            start = *end;
        }
        out.finish(L::SPEC, items.nulls)
    }
}

/// The indices of a row in order, each once and with how often it comes.
fn counted(indices: &mut [u32]) -> impl Iterator<Item = (u32, usize)> {
    indices.sort_unstable();
    indices
        .chunk_by(|a, b| a == b)
        .map(|run| (run[0], run.len()))
}

/// `ML.MULTI_HOT_ENCODER(list, top_k, frequency_threshold) OVER (...)`.
pub type MultiHotEncoder = Encoder<MultiHot>;

/// `ML.BAG_OF_WORDS(tokens, top_k, frequency_threshold) OVER (...)`.
pub type BagOfWords = Encoder<Bag>;

/// `ML.TF_IDF(tokens, top_k, frequency_threshold) OVER (...)`.
pub type TfIdf = Encoder<Weighted>;

/// Each item once.
#[derive(Debug, Clone)]
pub struct MultiHot;

impl Listed for MultiHot {
    const SPEC: &'static Spec = &MULTI_HOT_ENCODER;
    const TOKENS: bool = false;
    /// By index, the last row that had it, counted from 1.
    type Memory = Vec<usize>;

    fn fill(
        last_row: &mut Vec<usize>,
        row: usize,
        indices: &mut [u32],
        _weights: &[f64],
        out: &mut Sparse,
    ) {
        for index in indices.iter() {
            let at = *index as usize;
            if at >= last_row.len() {
                last_row.resize(at + 1, 0);
            }
            if last_row[at] != row + 1 {
                last_row[at] = row + 1;
                out.push(*index, 1.0);
            }
        }
    }
}

/// Each term and how often it comes.
#[derive(Debug, Clone)]
pub struct Bag;

impl Listed for Bag {
    const SPEC: &'static Spec = &BAG_OF_WORDS;
    const TOKENS: bool = true;
    type Memory = ();

    #[expect(clippy::cast_precision_loss, reason = "the length of a list")]
    fn fill((): &mut (), _row: usize, indices: &mut [u32], _weights: &[f64], out: &mut Sparse) {
        for (index, n) in counted(indices) {
            out.push(index, n as f64);
        }
    }
}

/// Each term and its share of the list, weighted by how few lists have it.
#[derive(Debug, Clone)]
pub struct Weighted;

impl Listed for Weighted {
    const SPEC: &'static Spec = &TF_IDF;
    const TOKENS: bool = true;
    type Memory = ();

    #[expect(clippy::cast_precision_loss, reason = "numbers of rows")]
    fn weights(lists: u64, counts: Vec<u64>) -> Vec<f64> {
        let weight = |n: u64| (1.0 + lists as f64 / (1.0 + n as f64)).ln();
        let known: Vec<f64> = counts.into_iter().map(weight).collect();
        let unknown = match known.len() {
            0 => weight(0),
            n => known.iter().sum::<f64>() / n as f64,
        };
        std::iter::once(unknown).chain(known).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "the length of a list")]
    fn fill((): &mut (), _row: usize, indices: &mut [u32], weights: &[f64], out: &mut Sparse) {
        let size = indices.len() as f64;
        for (index, n) in counted(indices) {
            let weight = weights.get(index as usize).copied();
            out.push(index, n as f64 / size * weight.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ListBuilder, StringViewBuilder};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::fitted::testing::{apply_to, bind_error, coerce_error, fit_apply, grouped, texts};

    /// The tokens of texts, `-` for a missing one; an empty text is an empty list.
    fn tokens(rows: &[Option<&str>]) -> ArrayRef {
        let mut builder = ListBuilder::new(StringViewBuilder::new());
        for row in rows {
            match row {
                Some(row) => {
                    builder.append_value(row.split_whitespace().map(|w| (w != "-").then_some(w)));
                }
                None => builder.append_null(),
            }
        }
        Arc::new(builder.finish())
    }

    /// The lists as text: `1:1.0 3:2.0`.
    fn shown(array: &ArrayRef) -> Vec<Option<String>> {
        let lists = array.as_list::<i32>().iter();
        lists
            .map(|list| {
                let list = list?;
                let list = list.as_struct();
                let indices = list.column(0).as_primitive::<Int64Type>().values();
                let values = list.column(1).as_primitive::<Float64Type>().values();
                let items = indices
                    .iter()
                    .zip(values)
                    .map(|(i, v)| format!("{i}:{v:.3}"));
                Some(items.collect::<Vec<_>>().join(" "))
            })
            .collect()
    }

    fn some(rows: &[&str]) -> Vec<Option<String>> {
        rows.iter().map(|r| Some((*r).to_string())).collect()
    }

    #[test]
    fn categories() {
        let x = texts([
            None,
            Some("a"),
            Some("b"),
            Some("b"),
            Some("c"),
            Some("c"),
            Some("é"),
        ]);
        let options = [("top_k", 2.into()), ("frequency_threshold", 1.into())];
        let y = fit_apply::<LabelEncoder>(&options, std::slice::from_ref(&x));
        let y: Vec<_> = y.as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(y, [0, 0, 1, 1, 2, 2, 0]);
        let y = fit_apply::<OneHotEncoder>(&options, std::slice::from_ref(&x));
        let expected = [
            "0:1.000", "0:1.000", "1:1.000", "1:1.000", "2:1.000", "2:1.000", "0:1.000",
        ];
        assert_eq!(shown(&y), some(&expected));
        let options = [
            ("drop", "most_frequent".into()),
            ("frequency_threshold", 2.into()),
        ];
        let y = fit_apply::<OneHotEncoder>(&options, std::slice::from_ref(&x));
        assert_eq!(shown(&y)[2..5], some(&["1:0.000", "1:0.000", "2:1.000"]));
        // fewer than five rows have any of them
        let y = fit_apply::<LabelEncoder>(&[], &[x]);
        assert_eq!(y.as_primitive::<Int64Type>().values().to_vec(), [0; 7]);
    }

    #[test]
    fn other_rows_and_groups() {
        let one = [("frequency_threshold", 1.into())];
        let fit = texts([Some("a"), Some("b"), None]);
        let other = texts([Some("c"), Some("b"), None]);
        let y = apply_to::<LabelEncoder>(&one, std::slice::from_ref(&fit), &[other]);
        assert_eq!(y.as_primitive::<Int64Type>().values().to_vec(), [0, 2, 0]);
        let y = grouped::<OneHotEncoder>(&one, std::slice::from_ref(&fit), &[0, 1, 1]);
        assert_eq!(shown(&y), some(&["1:1.000", "1:1.000", "0:1.000"]));
        let x = tokens(&[Some("a b"), Some("b"), None, Some("c b c")]);
        let y = grouped::<BagOfWords>(&one, std::slice::from_ref(&x), &[0, 1, 1, 1]);
        let bags = shown(&y);
        assert_eq!(bags[0], Some("1:1.000 2:1.000".into()));
        assert_eq!(bags[1..3], [Some("1:1.000".into()), None]);
        assert_eq!(bags[3], Some("1:1.000 2:2.000".into()));
        grouped::<TfIdf>(&one, std::slice::from_ref(&x), &[1, 0, 1, 0]);
        grouped::<MultiHotEncoder>(&one, &[x], &[1, 0, 1, 0]);
    }

    #[test]
    fn lists_of_items() {
        let x = tokens(&[Some("a b b c -"), Some("c c d d -"), Some(""), None]);
        let options = [("top_k", 3.into()), ("frequency_threshold", 1.into())];
        let y = fit_apply::<MultiHotEncoder>(&options, std::slice::from_ref(&x));
        let expected = ["1:1.000 2:1.000 3:1.000 0:1.000", "3:1.000 0:1.000", ""];
        assert_eq!(shown(&y)[..3], some(&expected));
        assert_eq!(shown(&y)[3], None);
        let y = fit_apply::<BagOfWords>(&options, std::slice::from_ref(&x));
        let expected = ["0:1.000 1:1.000 2:2.000 3:1.000", "0:3.000 3:2.000", ""];
        assert_eq!(shown(&y)[..3], some(&expected));
        let y = fit_apply::<TfIdf>(&[], &[x]);
        // no term is known: ln(1 + 3)
        assert_eq!(shown(&y)[..3], some(&["0:1.386", "0:1.386", ""]));
    }

    #[test]
    fn nothing_and_wrong_arguments() {
        let nulls = tokens(&[None, None]);
        assert_eq!(shown(&fit_apply::<TfIdf>(&[], &[nulls])), [None, None]);
        let y = fit_apply::<OneHotEncoder>(&[], &[texts([None, None])]);
        assert_eq!(shown(&y), some(&["0:1.000", "0:1.000"]));
        for (options, expected) in [
            (
                [("top_k", 0.into())],
                "top_k must be a whole number of at least 1",
            ),
            ([("top_k", 2_000_000.into())], "from 1 to 1048576"),
            ([("frequency_threshold", (-1).into())], "at least 0"),
            ([("drop", "frist".into())], "one of 'none', 'most_frequent'"),
        ] {
            let error = bind_error::<OneHotEncoder>(&options);
            assert!(error.contains(expected), "{error}");
        }
        let error = coerce_error::<BagOfWords>(&[], &[DataType::Utf8]);
        assert!(error.contains("tokens must be a list"), "{error}");
    }
}
