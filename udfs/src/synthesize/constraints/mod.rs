//! What holds in every row that is drawn, for every kind of table model: a layer between the table and the
//! model.
//!
//! The model learns other columns than the table has, from which the table's are made so that the
//! constraints cannot but hold: of `a <= b` it learns a and the gap b - a; of a combination the index of the
//! combination, as one column of categories; of keys nothing, since row i's is made from the seed and i.
//! Columns that look like keys are made anew as well, rather than copied from the table.

mod key;
mod parse;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, UInt32Array,
};
use arrow::compute::{TakeOptions, cast, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use datafusion_common::{Result, exec_err, plan_err};
use serde::{Deserialize, Serialize};

use super::codec::{self, Numbers, Values, of_float64, of_int64, plain, plain_type};
use super::{Data, ModelFile, Options, rng};
use key::Key;
use parse::{Constraint, parse};

/// Which rows are drawn.
#[derive(Debug, Clone)]
pub enum Places<'a> {
    /// Rows of the table of a seed.
    Rows(Range<u64>, u64),
    /// Rows of keys.
    Keys(&'a [u64]),
}

impl Places<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Rows(rows, _) => (rows.end - rows.start) as usize,
            Self::Keys(keys) => keys.len(),
        }
    }

    fn seed(&self, name: &str) -> u64 {
        let seed = match self {
            Self::Rows(_, seed) => *seed,
            Self::Keys(_) => 0,
        };
        rng::hash(seed, name.as_bytes())
    }

    /// The rows' numbers; their keys where they have none.
    fn numbers(&self) -> Box<dyn Iterator<Item = Result<u64, u64>> + '_> {
        match self {
            Self::Rows(rows, _) => Box::new(rows.clone().map(Ok)),
            Self::Keys(keys) => Box::new(keys.iter().map(|key| Err(*key))),
        }
    }
}

/// Between a table's columns and those that a model learns.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The table's.
    schema: SchemaRef,
    /// How each column is made.
    sources: Vec<Source>,
    /// The combinations there are, by the model's column that holds their index.
    combinations: BTreeMap<usize, RecordBatch>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Source {
    /// The model's column of this index.
    Learnt(usize),
    Key(Key),
    /// The n-th column of the combination whose index the model's column holds.
    Combined {
        index: usize,
        column: usize,
    },
    Above(Above),
    /// Texts that are all dates or times, learnt as such.
    Moment(usize),
}

/// A column that is at least others.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Above {
    /// The table's columns it is compared with, and whether it is greater than each.
    lows: Vec<(usize, bool)>,
    /// The model's column of what it is more than the largest of them.
    gap: usize,
    /// The model's column of its value where all of them are missing; nothing where that does not occur.
    alone: Option<usize>,
    /// Whether it was NULL in some rows itself.
    nulls: bool,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Bounds {
    Whole {
        low: i64,
        high: i64,
    },
    /// As bits: JSON has no way to write all of them.
    Real {
        low: u64,
        high: u64,
        decimals: Option<i32>,
    },
}

/// What is not learnt as it is, and the columns that the model learns.
#[derive(Debug)]
struct Learnt {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    /// Those that are categories whatever their type.
    categorical: Vec<String>,
}

impl Learnt {
    /// Adds a column under a name that no other has; gives its index.
    fn add(&mut self, taken: &Schema, name: String, array: ArrayRef) -> usize {
        let mut free = name;
        let used = |name: &str, fields: &[Field]| {
            taken.index_of(name).is_ok() || fields.iter().any(|field| field.name() == name)
        };
        while used(&free, &self.fields) {
            free.push('_');
        }
        let field = Field::new(free, array.data_type().clone(), array.null_count() > 0);
        self.push(field, array)
    }

    fn push(&mut self, field: Field, array: ArrayRef) -> usize {
        self.fields.push(field);
        self.arrays.push(array);
        self.fields.len() - 1
    }
}

/// Checks the option against the columns of the training query.
pub fn check(schema: &Schema, options: &Options) -> Result<()> {
    let constraints = parse(options.text("constraints"), schema)?;
    Plan::new(schema, &constraints).map(|_| ())
}

/// What is to be done with each column.
#[derive(Debug, Default)]
struct Plan {
    combinations: Vec<Vec<usize>>,
    lows: BTreeMap<usize, Vec<(usize, bool)>>,
    keys: BTreeMap<usize, Option<String>>,
}

impl Plan {
    fn new(schema: &Schema, constraints: &[Constraint]) -> Result<Self> {
        let mut plan = Self::default();
        let name = |column: usize| schema.field(column).name();
        for constraint in constraints {
            match constraint {
                Constraint::AtMost { low, high, strict } => {
                    let (a, b) = (schema.field(*low), schema.field(*high));
                    comparable(a, b)?;
                    let lows = plan.lows.entry(*high).or_default();
                    match lows.iter_mut().find(|(known, _)| known == low) {
                        Some((_, known)) => *known |= strict,
                        None => lows.push((*low, *strict)),
                    }
                }
                Constraint::Combination(columns) => plan.combinations.push(columns.clone()),
                Constraint::Unique(column) => {
                    plan.keys.entry(*column).or_default();
                }
                Constraint::Pattern { column, pattern } => {
                    key::Pattern::parse(pattern)?;
                    if let Some(Some(other)) = plan.keys.insert(*column, Some(pattern.clone())) {
                        return plan_err!(
                            "option constraints: column {} has two patterns, '{other}' and '{pattern}'",
                            name(*column)
                        );
                    }
                }
            }
        }
        let mut made: BTreeSet<usize> = BTreeSet::new();
        let combined = plan.combinations.iter().flatten();
        for column in combined.chain(plan.lows.keys()).chain(plan.keys.keys()) {
            if !made.insert(*column) {
                return plan_err!(
                    "option constraints: column {} is made by two constraints: a combination, a key, or the greater \
                     of a comparison; leave one of them out",
                    name(*column)
                );
            }
        }
        for (high, lows) in &plan.lows {
            for (low, _) in lows {
                if plan.keys.contains_key(low) {
                    return plan_err!(
                        "option constraints: column {} is a key, which nothing can be compared with",
                        name(*low)
                    );
                }
                if plan.depends(*low, *high) {
                    return plan_err!(
                        "option constraints: columns {} and {} are each to be at most the other",
                        name(*low),
                        name(*high)
                    );
                }
            }
        }
        Ok(plan)
    }

    /// Whether a column is made from another.
    fn depends(&self, column: usize, on: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut todo = vec![column];
        while let Some(column) = todo.pop() {
            if column == on {
                return true;
            }
            if seen.insert(column) {
                let lows = self.lows.get(&column).into_iter().flatten();
                todo.extend(lows.map(|(low, _)| *low));
            }
        }
        false
    }
}

/// An error unless differences of the two columns can be taken exactly.
fn comparable(low: &Field, high: &Field) -> Result<()> {
    let (a, b) = (plain_type(low.data_type()), plain_type(high.data_type()));
    let same = match (a, b) {
        (DataType::Float16, _) => false,
        _ if a.is_integer() => b.is_integer(),
        _ => Numbers::supports(a) && a == b,
    };
    if same {
        return Ok(());
    }
    plan_err!(
        "option constraints: columns {} of type {a} and {} of type {b} cannot be compared; cast both to \
         the same type of number, date or time in the query",
        low.name(),
        high.name()
    )
}

impl Layer {
    /// Learns how to make the columns; gives the data that the model is to learn, and its options. Nothing
    /// where every column is learnt as it is.
    pub fn fit(data: &Data, options: &Options) -> Result<Option<(Self, Data, Options)>> {
        let schema = data.schema();
        let rows = data.rows();
        let plan = Plan::new(&schema, &parse(options.text("constraints"), &schema)?)?;
        if rows.num_rows() == 0 || schema.fields().is_empty() {
            return Ok(None);
        }
        let moments = moments(rows, options)?;
        let mut keys: BTreeMap<usize, Key> = BTreeMap::new();
        for (&column, pattern) in &plan.keys {
            let (name, array) = (schema.field(column).name(), rows.column(column));
            let key = match pattern {
                Some(pattern) => Key::pattern(name, pattern, array)?,
                None => Key::unique(name, array)?,
            };
            keys.insert(column, key);
        }
        let detected = detect_keys(rows, options, &plan)?;
        // A table of nothing but keys is learnt as it is.
        if keys.len() + detected.len() < schema.fields().len() {
            keys.extend(detected);
        }
        if keys.is_empty()
            && plan.lows.is_empty()
            && plan.combinations.is_empty()
            && moments.is_empty()
        {
            return Ok(None);
        }
        if keys.len() == schema.fields().len() {
            return plan_err!(
                "option constraints: every column is a key, so there is nothing to learn; add other columns to the query"
            );
        }
        let mut learnt = Learnt {
            fields: Vec::new(),
            arrays: Vec::new(),
            categorical: Vec::new(),
        };
        let mut combinations = BTreeMap::new();
        let mut combined: HashMap<usize, Source> = HashMap::new();
        for columns in &plan.combinations {
            let names: Vec<&str> = columns
                .iter()
                .map(|&c| schema.field(c).name().as_str())
                .collect();
            let (index, batch) = combine(&rows.project(columns)?)?;
            let at = learnt.add(&schema, names.join(", "), index);
            learnt.categorical.push(learnt.fields[at].name().clone());
            for (column, &of) in columns.iter().enumerate() {
                combined.insert(of, Source::Combined { index: at, column });
            }
            combinations.insert(at, batch);
        }
        let mut sources = Vec::with_capacity(schema.fields().len());
        for (i, field) in schema.fields().iter().enumerate() {
            let array = rows.column(i);
            sources.push(if let Some(key) = keys.remove(&i) {
                Source::Key(key)
            } else if let Some(source) = combined.remove(&i) {
                source
            } else if let Some(lows) = plan.lows.get(&i) {
                Source::Above(Above::fit(rows, i, lows, &mut learnt)?)
            } else if let Some(moment) = moments.get(&i) {
                let field = field
                    .as_ref()
                    .clone()
                    .with_data_type(moment.data_type().clone());
                Source::Moment(learnt.push(field, Arc::clone(moment)))
            } else {
                Source::Learnt(learnt.push(field.as_ref().clone(), Arc::clone(array)))
            });
        }
        let gone: Vec<String> = schema
            .fields()
            .iter()
            .zip(&sources)
            .filter(|(_, source)| !matches!(source, Source::Learnt(_) | Source::Moment(_)))
            .map(|(field, _)| field.name().clone())
            .collect();
        let options = options
            .clone()
            .without_columns(&gone)
            .with_columns("categorical", learnt.categorical);
        let modelled = Arc::new(Schema::new(learnt.fields));
        let batch = RecordBatch::try_new(Arc::clone(&modelled), learnt.arrays)?;
        let layer = Self {
            schema,
            sources,
            combinations,
        };
        let learnt = Data::new(&modelled, &[batch])?.of_query(data.query().map(str::to_string));
        Ok(Some((layer, learnt, options)))
    }

    /// The table's columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The table's schema, given the model's: where the model draws NULLs, the table has them.
    pub fn with_nulls(mut self, model: &Schema) -> Self {
        let fields: Vec<Field> = self
            .schema
            .fields()
            .iter()
            .zip(&self.sources)
            .map(|(field, source)| {
                let nulls = match source {
                    Source::Learnt(at) | Source::Moment(at) => model.field(*at).is_nullable(),
                    Source::Above(above) => above.nulls,
                    Source::Key(_) | Source::Combined { .. } => false,
                };
                let nullable = field.is_nullable() || nulls;
                field.as_ref().clone().with_nullable(nullable)
            })
            .collect();
        let metadata = self.schema.metadata().clone();
        self.schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        self
    }

    /// The model's columns that some of the table's are made from, in order.
    pub fn needed(&self, wanted: &[usize]) -> Vec<usize> {
        let mut needed = BTreeSet::new();
        let mut todo = wanted.to_vec();
        while let Some(column) = todo.pop() {
            match &self.sources[column] {
                Source::Learnt(at) | Source::Moment(at) => {
                    needed.insert(*at);
                }
                Source::Combined { index, .. } => {
                    needed.insert(*index);
                }
                Source::Above(above) => {
                    needed.insert(above.gap);
                    needed.extend(above.alone);
                    todo.extend(above.lows.iter().map(|(low, _)| *low));
                }
                Source::Key(_) => {}
            }
        }
        needed.into_iter().collect()
    }

    /// The table's rows from the model's, of which `drawn` has the needed columns.
    pub fn restore(
        &self,
        wanted: &[usize],
        needed: &[usize],
        drawn: &RecordBatch,
        places: &Places<'_>,
    ) -> Result<RecordBatch> {
        let mut restorer = Restorer {
            layer: self,
            needed,
            drawn,
            places,
            done: HashMap::new(),
        };
        let arrays = wanted
            .iter()
            .map(|&column| restorer.column(column))
            .collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(self.schema.project(wanted)?);
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    /// What is said of the columns that are not learnt as they are.
    pub fn describe(&self, model: &Schema) -> Vec<(String, Option<String>)> {
        let name = |column: usize| self.schema.field(column).name().as_str();
        self.schema
            .fields()
            .iter()
            .zip(&self.sources)
            .map(|(field, source)| {
                let what = match source {
                    Source::Learnt(_) => None,
                    Source::Moment(_) => Some("text, learnt as moments".to_string()),
                    Source::Key(key) => Some(key.describe()),
                    Source::Combined { index, .. } => Some(format!(
                        "one of {} combinations of ({})",
                        self.combinations
                            .get(index)
                            .map_or(0, RecordBatch::num_rows),
                        model.field(*index).name()
                    )),
                    Source::Above(above) => {
                        let lows: Vec<String> = above
                            .lows
                            .iter()
                            .map(|(low, strict)| {
                                format!("{} {}", if *strict { ">" } else { ">=" }, name(*low))
                            })
                            .collect();
                        let gap = model.field(above.gap).name();
                        Some(format!("{}, learnt as {gap}", lows.join(" and ")))
                    }
                };
                (field.name().clone(), what)
            })
            .collect()
    }

    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        let sources = serde_json::to_string(&self.sources)
            .map_err(|error| datafusion_common::DataFusionError::External(Box::new(error)))?;
        file.set_text("constraints.sources", sources);
        file.set_schema("constraints.schema", &self.schema)?;
        for (index, batch) in &self.combinations {
            file.set_batch(format!("constraints.combination.{index}"), batch)?;
        }
        Ok(())
    }

    /// The layer of a file that has one, over a model of these columns.
    pub fn load(file: &ModelFile, model: &Schema) -> Result<Option<Self>> {
        let Ok(sources) = file.text("constraints.sources") else {
            return Ok(None);
        };
        let damaged = |what: &str| exec_err!("the model file is damaged: constraints.{what}");
        let Ok(sources) = serde_json::from_str::<Vec<Source>>(sources) else {
            return damaged("sources");
        };
        let schema = file.schema("constraints.schema")?;
        let columns = model.fields().len();
        let mut combinations = BTreeMap::new();
        for source in &sources {
            if let Source::Combined { index, column } = source {
                let batch = file.batch(&format!("constraints.combination.{index}"))?;
                if *column >= batch.num_columns() || batch.num_rows() == 0 {
                    return damaged("combination");
                }
                combinations.insert(*index, batch);
            }
        }
        let sound = sources.iter().enumerate().all(|(i, source)| match source {
            Source::Learnt(at) | Source::Moment(at) => *at < columns,
            Source::Combined { index, .. } => *index < columns,
            Source::Above(above) => {
                above.gap < columns
                    && above.alone.is_none_or(|alone| alone < columns)
                    && above
                        .lows
                        .iter()
                        .all(|(low, _)| *low < sources.len() && *low != i)
            }
            Source::Key(_) => true,
        });
        if !sound || sources.len() != schema.fields().len() || is_cyclic(&sources) {
            return damaged("sources");
        }
        Ok(Some(Self {
            schema,
            sources,
            combinations,
        }))
    }
}

/// Whether a column is made from itself.
fn is_cyclic(sources: &[Source]) -> bool {
    let mut made = vec![false; sources.len()];
    loop {
        let before = made.iter().filter(|made| **made).count();
        for (i, source) in sources.iter().enumerate() {
            made[i] = match source {
                Source::Above(above) => above.lows.iter().all(|(low, _)| made[*low]),
                _ => true,
            };
        }
        let after = made.iter().filter(|made| **made).count();
        if after == before {
            return after < sources.len();
        }
    }
}

/// The columns that look like keys, and that no option speaks of.
fn detect_keys(rows: &RecordBatch, options: &Options, plan: &Plan) -> Result<BTreeMap<usize, Key>> {
    let mut keys = BTreeMap::new();
    if !options.has("identifiers") || options.choice("identifiers")? == "learn" {
        return Ok(keys);
    }
    let mut named: BTreeSet<usize> = plan.combinations.iter().flatten().copied().collect();
    named.extend(plan.keys.keys());
    for (high, lows) in &plan.lows {
        named.insert(*high);
        named.extend(lows.iter().map(|(low, _)| *low));
    }
    for (i, field) in rows.schema().fields().iter().enumerate() {
        let mut spoken_of = named.contains(&i);
        for option in ["categorical", "numeric", "datetime", "quantile", "gmm"] {
            spoken_of |= options.columns(option)?.contains(field.name());
        }
        if spoken_of {
            continue;
        }
        if let Some(key) = Key::detect(field.name(), rows.column(i))? {
            keys.insert(i, key);
        }
    }
    Ok(keys)
}

/// Columns of texts that option `datetime` names, as moments.
fn moments(rows: &RecordBatch, options: &Options) -> Result<BTreeMap<usize, ArrayRef>> {
    let mut moments = BTreeMap::new();
    if !options.has("datetime") {
        return Ok(moments);
    }
    for name in options.columns("datetime")? {
        let (Ok(i), Some(array)) = (rows.schema().index_of(name), rows.column_by_name(name)) else {
            continue;
        };
        let array = plain(array)?;
        let is_text = matches!(
            array.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        );
        if !is_text {
            continue;
        }
        let candidates = [
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Time64(TimeUnit::Microsecond),
        ];
        let read = candidates.iter().find_map(|moment| {
            let read = cast(&array, moment).ok()?;
            let back = cast(&read, array.data_type()).ok()?;
            let same = arrow::compute::kernels::cmp::not_distinct(&back, &array).ok()?;
            (same.false_count() == 0).then_some(read)
        });
        match read {
            Some(read) => moments.insert(i, read),
            None => {
                return exec_err!(
                    "option datetime: not all texts of column {name} are dates (2024-01-31), times (12:30:00) or \
                     timestamps (2024-01-31T12:30:00) of one form; parse them in the query"
                );
            }
        };
    }
    Ok(moments)
}

/// The index of every row among the distinct rows, which are in their order.
fn combine(rows: &RecordBatch) -> Result<(ArrayRef, RecordBatch)> {
    let arrays = rows
        .columns()
        .iter()
        .map(plain)
        .collect::<Result<Vec<_>>>()?;
    let fields: Vec<SortField> = arrays
        .iter()
        .map(|array| SortField::new(array.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields)?;
    let converted = converter.convert_columns(&arrays)?;
    let mut first: BTreeMap<&[u8], u32> = BTreeMap::new();
    for (i, row) in converted.iter().enumerate() {
        first.entry(row.data()).or_insert(i as u32);
    }
    let indices: HashMap<&[u8], i32> = first
        .keys()
        .enumerate()
        .map(|(index, row)| (*row, index as i32))
        .collect();
    let index = converted.iter().map(|row| indices.get(row.data()).copied());
    let index: Int32Array = index.collect();
    let distinct = UInt32Array::from_iter_values(first.values().copied());
    Ok((Arc::new(index), take_record_batch(rows, &distinct)?))
}

impl Above {
    fn fit(
        rows: &RecordBatch,
        column: usize,
        lows: &[(usize, bool)],
        learnt: &mut Learnt,
    ) -> Result<Self> {
        let schema = rows.schema();
        let field = schema.field(column);
        let arrays: Vec<&ArrayRef> = lows.iter().map(|(low, _)| rows.column(*low)).collect();
        check_holds(rows, column, lows)?;
        let lows_read = arrays
            .iter()
            .map(|array| Numbers::read(&plain(array)?))
            .collect::<Result<Vec<_>>>()?;
        let high = Numbers::read(&plain(rows.column(column))?)?;
        let names: Vec<&str> = lows
            .iter()
            .map(|(low, _)| schema.field(*low).name().as_str())
            .collect();
        let gap_name = match names[..] {
            [one] => format!("{} - {one}", field.name()),
            _ => format!("{} - greatest({})", field.name(), names.join(", ")),
        };
        let (gap, bounds): (ArrayRef, Bounds) = match high.values() {
            Values::Integers(high) => {
                let mut gaps = Vec::with_capacity(high.len());
                for (i, high) in high.iter().enumerate() {
                    let base = lows_read.iter().filter_map(|low| whole_at(low, i)).max();
                    gaps.push(match (base, high) {
                        (Some(base), Some(high)) => match high.checked_sub(base) {
                            Some(gap) => Some(gap),
                            None => {
                                return exec_err!(
                                    "option constraints: {gap_name} is beyond 64 bits in some rows"
                                );
                            }
                        },
                        _ => None,
                    });
                }
                let present = || high.iter().flatten().copied();
                let bounds = Bounds::Whole {
                    low: present().min().unwrap_or(0),
                    high: present().max().unwrap_or(0),
                };
                (Arc::new(Int64Array::from(gaps)), bounds)
            }
            Values::Floats { values, .. } => {
                let decimals = decimals(lows_read.iter().chain([&high]));
                let gaps: Float64Array = values
                    .iter()
                    .enumerate()
                    .map(|(i, high)| {
                        let base = lows_read.iter().filter_map(|low| real_at(low, i));
                        let base = base.reduce(f64::max)?;
                        Some(rounded((*high)? - base, decimals))
                    })
                    .collect();
                let present = || values.iter().flatten().copied();
                let bounds = Bounds::Real {
                    low: present().reduce(f64::min).unwrap_or(0.0).to_bits(),
                    high: present().reduce(f64::max).unwrap_or(0.0).to_bits(),
                    decimals,
                };
                (Arc::new(gaps), bounds)
            }
        };
        let at = learnt.add(&schema, gap_name, gap);
        let missing = (0..rows.num_rows()).any(|i| lows_read.iter().all(|low| is_missing(low, i)));
        let alone = missing.then(|| learnt.push(field.clone(), Arc::clone(rows.column(column))));
        Ok(Self {
            lows: lows.to_vec(),
            gap: at,
            alone,
            nulls: (0..rows.num_rows()).any(|i| is_missing(&high, i)),
            bounds,
        })
    }

    /// The column from those it is compared with, the gap, and its value where there is nothing to compare with.
    fn restore(
        &self,
        lows: &[ArrayRef],
        gap: &ArrayRef,
        alone: Option<&ArrayRef>,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        let lows = lows
            .iter()
            .zip(&self.lows)
            .map(|(array, (_, strict))| Ok((Numbers::read(&plain(array)?)?, *strict)))
            .collect::<Result<Vec<_>>>()?;
        let alone = alone
            .map(|array| Numbers::read(&plain(array)?))
            .transpose()?;
        let target = plain_type(data_type);
        let array = match self.bounds {
            Bounds::Whole { low, high } => {
                let gap = gap.as_primitive_opt::<Int64Type>();
                let values = (0..gap.map_or(0, Array::len)).map(|i| {
                    let present = || {
                        lows.iter()
                            .filter_map(|(low, strict)| Some((whole_at(low, i)?, *strict)))
                    };
                    let alone = || alone.as_ref().and_then(|alone| whole_at(alone, i));
                    let Some(base) = present().map(|(low, _)| low).max() else {
                        return alone();
                    };
                    let value = match gap.filter(|gap| gap.is_valid(i)) {
                        Some(gap) => base.saturating_add(gap.value(i)),
                        None if self.nulls => return None,
                        None => alone()?,
                    };
                    let least = present()
                        .map(|(low, strict)| low.saturating_add(i64::from(strict)))
                        .max()
                        .unwrap_or(base);
                    Some(value.min(high).max(low).max(least))
                });
                of_int64(&values.collect(), target)?
            }
            Bounds::Real {
                low,
                high,
                decimals,
            } => {
                let (low, high) = (f64::from_bits(low), f64::from_bits(high));
                let single = !matches!(target, DataType::Float64);
                let gap = gap.as_primitive_opt::<Float64Type>();
                let values = (0..gap.map_or(0, Array::len)).map(|i| {
                    let present = || {
                        lows.iter()
                            .filter_map(|(low, strict)| Some((real_at(low, i)?, *strict)))
                    };
                    let alone = || alone.as_ref().and_then(|alone| real_at(alone, i));
                    let Some(base) = present().map(|(low, _)| low).reduce(f64::max) else {
                        return alone();
                    };
                    let value = match gap.filter(|gap| gap.is_valid(i)) {
                        Some(gap) => rounded(base + gap.value(i), decimals),
                        None if self.nulls => return None,
                        None => alone()?,
                    };
                    let least = present()
                        .map(|(low, strict)| match (strict, single) {
                            (false, _) => low,
                            (true, false) => low.next_up(),
                            (true, true) => f64::from((low as f32).next_up()),
                        })
                        .reduce(f64::max)
                        .unwrap_or(base);
                    Some(value.min(high).max(low).max(least))
                });
                of_float64(values.collect(), target)?
            }
        };
        Ok(cast(&array, data_type)?)
    }
}

/// An error that counts the rows in which a comparison does not hold.
fn check_holds(rows: &RecordBatch, column: usize, lows: &[(usize, bool)]) -> Result<()> {
    let schema = rows.schema();
    let high_array = plain(rows.column(column))?;
    let high = Numbers::read(&high_array)?;
    for (low, strict) in lows {
        let low_array = plain(rows.column(*low))?;
        let low_read = Numbers::read(&low_array)?;
        for (of, numbers) in [(*low, &low_read), (column, &high)] {
            let field = schema.field(of);
            let whole = matches!(numbers.values(), Values::Integers(_));
            if !whole && !plain_type(field.data_type()).is_floating() {
                return exec_err!(
                    "option constraints: column {} holds numbers beyond 64 bits, which cannot be compared",
                    field.name()
                );
            }
        }
        let wrong: Vec<usize> = (0..rows.num_rows())
            .filter(|&i| {
                let order = match (whole_at(&low_read, i), whole_at(&high, i)) {
                    (Some(low), Some(high)) => Some(low.cmp(&high)),
                    _ => match (real_at(&low_read, i), real_at(&high, i)) {
                        (Some(low), Some(high)) => Some(low.total_cmp(&(high + 0.0))),
                        _ => None,
                    },
                };
                order.is_some_and(|order| order.is_gt() || (*strict && order.is_eq()))
            })
            .collect();
        let Some(&first) = wrong.first() else {
            continue;
        };
        let shown = |array: &ArrayRef| array_value_to_string(array, first).unwrap_or_default();
        return exec_err!(
            "constraint {} {} {} does not hold in {} of {} rows; the first has {} and {}. Correct the \
             rows, or leave them or the constraint out",
            schema.field(*low).name(),
            if *strict { "<" } else { "<=" },
            schema.field(column).name(),
            wrong.len(),
            rows.num_rows(),
            shown(&low_array),
            shown(&high_array)
        );
    }
    Ok(())
}

fn is_missing(numbers: &Numbers, i: usize) -> bool {
    whole_at(numbers, i).is_none() && real_at(numbers, i).is_none()
}

fn whole_at(numbers: &Numbers, i: usize) -> Option<i64> {
    match numbers.values() {
        Values::Integers(values) => values[i],
        Values::Floats { .. } => None,
    }
}

fn real_at(numbers: &Numbers, i: usize) -> Option<f64> {
    match numbers.values() {
        // The negative zero is zero.
        Values::Floats { values, .. } => values[i].map(|value| value + 0.0),
        Values::Integers(_) => None,
    }
}

/// The decimals that all numbers of some columns have at most; nothing where they have many.
fn decimals<'a>(columns: impl Iterator<Item = &'a Numbers>) -> Option<i32> {
    let mut most = 0;
    for column in columns {
        if let Values::Floats { values, single } = column.values() {
            for value in values.iter().flatten() {
                while most <= codec::MOST_DECIMALS && !codec::has_decimals(*value, most, *single) {
                    most += 1;
                }
                if most > codec::MOST_DECIMALS {
                    return None;
                }
            }
        }
    }
    Some(i32::from(most))
}

fn rounded(value: f64, decimals: Option<i32>) -> f64 {
    match decimals {
        Some(decimals) => {
            let power = 10f64.powi(decimals);
            let rounded = (value * power).round() / power;
            if rounded.is_finite() { rounded } else { value }
        }
        None => value,
    }
}

/// Makes columns, each once.
struct Restorer<'a> {
    layer: &'a Layer,
    needed: &'a [usize],
    drawn: &'a RecordBatch,
    places: &'a Places<'a>,
    done: HashMap<usize, ArrayRef>,
}

impl Restorer<'_> {
    fn learnt(&self, at: usize) -> Result<&ArrayRef> {
        match self.needed.iter().position(|needed| *needed == at) {
            Some(place) if place < self.drawn.num_columns() => Ok(self.drawn.column(place)),
            _ => exec_err!("the model did not draw its column {at}"),
        }
    }

    fn column(&mut self, column: usize) -> Result<ArrayRef> {
        if let Some(done) = self.done.get(&column) {
            return Ok(Arc::clone(done));
        }
        let layer = self.layer;
        let field = layer.schema.field(column);
        let data_type = field.data_type();
        let array = match &layer.sources[column] {
            Source::Learnt(at) => Arc::clone(self.learnt(*at)?),
            Source::Moment(at) => cast(self.learnt(*at)?, data_type)?,
            Source::Key(key) => key.make(field.name(), self.places, data_type)?,
            Source::Combined { index, column } => {
                let Some(batch) = layer.combinations.get(index) else {
                    return exec_err!("the model has no combination {index}");
                };
                let index = cast(self.learnt(*index)?, &DataType::UInt32)?;
                let checked = TakeOptions { check_bounds: true };
                take(batch.column(*column), &index, Some(checked))?
            }
            Source::Above(above) => {
                let lows = above
                    .lows
                    .iter()
                    .map(|(low, _)| self.column(*low))
                    .collect::<Result<Vec<_>>>()?;
                let gap = self.learnt(above.gap)?;
                let alone = above.alone.map(|alone| self.learnt(alone)).transpose()?;
                above.restore(&lows, gap, alone, data_type)?
            }
        };
        self.done.insert(column, Arc::clone(&array));
        Ok(array)
    }
}

#[cfg(test)]
mod tests;
