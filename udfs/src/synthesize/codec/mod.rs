//! Between a table's columns and the numbers a model learns, for every kind of table model.
//!
//! Every column becomes a *state* (an index) and, for some, a *value*. A categorical column's states are
//! its categories; where there are too many, rare ones share the first state and the value tells them
//! apart. A numeric column's states are those of its ordinary values, which carry a value, then its
//! inflated values (points that hold far more rows than their neighbours, such as 0 in a column of capital
//! gains). NULL is one more state, the last, where the column has NULLs. The states that carry a value
//! come first: one whose value is standard normal (a number goes through the column's quantiles to a
//! probability, and on to the normal's quantile), or with `form 'gmm'` one a mode of a mixture of normals,
//! whose value is a quarter of the deviations from the mode's mean. Decoding goes back and restores type, step, bounds
//! and NULLs. NaN and infinities are missing.

mod categorical;
mod mixture;
mod numeric;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Result, exec_err, plan_err};
use rayon::prelude::*;

use super::{Accepts, Data, ModelFile, OptionSpec, Options, nearest};
use categorical::Categories;
use numeric::{FormName, Numeric};
pub(super) use numeric::{MOST_DECIMALS, Numbers, Values, has_decimals, of_float64, of_int64};

/// Integers of at most this many different values are categories, unless told otherwise.
const CATEGORICAL_INTEGERS: usize = 50;

/// Fractional numbers of at most this many different values, each seen ten times on average, too.
const CATEGORICAL_FLOATS: usize = 10;

/// The options every kind of table model shares, with numbers by their quantiles.
pub fn options() -> Vec<OptionSpec> {
    options_with_form("quantile")
}

/// The options every kind of table model shares, for a kind whose numbers are in this form by default.
pub fn options_with_form(form: &'static str) -> Vec<OptionSpec> {
    let columns = |name, help| OptionSpec {
        name,
        accepts: Accepts::Columns,
        help,
    };
    vec![
        columns(
            "categorical",
            "columns to treat as categories whatever their type",
        ),
        columns(
            "numeric",
            "columns to treat as numbers though they have few different values",
        ),
        columns(
            "datetime",
            "columns of dates or times to treat as moments though they have few different values, or of texts that are all dates or times",
        ),
        OptionSpec {
            name: "form",
            accepts: Accepts::Choice {
                default: form,
                among: &["quantile", "gmm"],
            },
            help: "how numbers stand in the model: by their quantiles, or by the modes of a mixture of normals",
        },
        columns(
            "quantile",
            "columns whose form is quantile whatever form says",
        ),
        columns("gmm", "columns whose form is gmm whatever form says"),
        OptionSpec {
            name: "max_categories",
            accepts: Accepts::Integer {
                default: 500,
                min: 2,
                max: 100_000,
            },
            help: "most states of a column of categories; the rare ones beyond share one and are drawn by their frequency",
        },
        OptionSpec {
            name: "identifiers",
            accepts: Accepts::Choice {
                default: "generate",
                among: &["generate", "learn"],
            },
            help: "whether columns that are keys (all different, of one pattern) are made anew or learnt like others",
        },
        OptionSpec {
            name: "constraints",
            accepts: Accepts::Text,
            help: "what holds in every row: (a <= b, a < b, combination (a, b), unique (a), pattern (a, 'C-#####'))",
        },
    ]
}

/// Checks that the columns which options name are there.
pub fn check_columns(schema: &Schema, options: &Options) -> Result<()> {
    let mut seen: Vec<(&str, &String)> = Vec::new();
    for (of, alone) in [
        ("categorical", true),
        ("numeric", true),
        ("datetime", true),
        ("quantile", false),
        ("gmm", false),
    ] {
        if !options.has(of) {
            continue;
        }
        for name in options.columns(of)? {
            if schema.index_of(name).is_err() {
                let names = schema.fields().iter().map(|field| field.name().as_str());
                return plan_err!(
                    "option {of}: the training query has no column {name}{}",
                    nearest(name, names)
                );
            }
            let kinds = |other: &str| ["categorical", "numeric", "datetime"].contains(&other);
            let clash = seen
                .iter()
                .find(|(other, known)| *known == name && kinds(other) == alone);
            if let Some((other, _)) = clash {
                return plan_err!("column {name} cannot be both {other} and {of}");
            }
            seen.push((of, name));
        }
    }
    Ok(())
}

/// What was learnt about each column.
#[derive(Debug, Clone)]
pub struct Codec {
    schema: SchemaRef,
    columns: Vec<Column>,
}

/// One column's coder.
#[derive(Debug, Clone)]
pub struct Column {
    coder: Coder,
    /// The share of the rows that are NULL; NULL is a state where it is not 0.
    nulls: f64,
    /// Whether no two rows of many have the same category: what is drawn is then some row's own.
    all_different: bool,
}

#[derive(Debug, Clone)]
enum Coder {
    Categorical(Categories),
    Numeric(Numeric),
}

/// Rows in model space, column by column.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    pub columns: Vec<EncodedColumn>,
}

/// One column in model space.
#[derive(Debug, Clone, Default)]
pub struct EncodedColumn {
    /// The state of every row.
    pub states: Vec<u32>,
    /// The value of every row, 0 where the state carries none; empty for a column without values.
    pub values: Vec<f32>,
}

impl Encoded {
    /// No rows of so many columns.
    pub fn empty(columns: usize) -> Self {
        Self {
            columns: vec![EncodedColumn::default(); columns],
        }
    }

    /// Adds rows at the end.
    pub fn append(&mut self, rows: Self) {
        for (column, rows) in self.columns.iter_mut().zip(rows.columns) {
            column.states.extend(rows.states);
            column.values.extend(rows.values);
        }
    }
}

impl Column {
    /// How many states the column has, NULL included.
    pub fn states(&self) -> usize {
        self.own_states() + usize::from(self.nullable())
    }

    /// Whether any state carries a value.
    pub fn has_value(&self) -> bool {
        self.carriers() > 0
    }

    /// How many states carry a value; they come first.
    pub fn carriers(&self) -> usize {
        match &self.coder {
            Coder::Categorical(categories) => usize::from(categories.is_shared()),
            Coder::Numeric(numeric) => numeric.carriers(),
        }
    }

    fn nullable(&self) -> bool {
        self.nulls > 0.0
    }

    /// The state that is NULL.
    pub fn null_state(&self) -> Option<u32> {
        self.nullable().then_some(self.own_states() as u32)
    }

    fn own_states(&self) -> usize {
        match &self.coder {
            Coder::Categorical(categories) => categories.states(),
            Coder::Numeric(numeric) => numeric.carriers() + numeric.inflated().len(),
        }
    }

    /// What it is taken for, in words.
    fn describe(&self, data_type: &DataType) -> String {
        let mut what = match &self.coder {
            Coder::Categorical(categories) => categories.describe(),
            Coder::Numeric(numeric) => numeric.describe(data_type),
        };
        if self.all_different {
            what.push_str(", all different: those drawn are copies from the training rows");
        }
        if self.nullable() && self.own_states() > 0 {
            what.push_str(&format!(", {:.2} % NULL", 100.0 * self.nulls));
        }
        what
    }
}

impl Codec {
    /// Learns every column of the data.
    pub fn fit(data: &Data, options: &Options) -> Result<Self> {
        let schema = data.schema();
        check_columns(&schema, options)?;
        if schema.fields().is_empty() {
            return plan_err!("the training query has no columns");
        }
        if data.num_rows() == 0 {
            return exec_err!("the training query gives no rows: there is nothing to learn from");
        }
        let columns: Vec<Column> = schema
            .fields()
            .par_iter()
            .zip(data.rows().columns())
            .map(|(field, array)| Column::fit(field, array, Wish::of(field.name(), options)?))
            .collect::<Result<_>>()?;
        // A NaN comes back as NULL, also where the table itself had none.
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| {
                let nullable = field.is_nullable() || column.nullable();
                field.as_ref().clone().with_nullable(nullable)
            })
            .collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Ok(Self { schema, columns })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Brings rows into model space; `seed` keys the spreading of integers over their steps.
    pub fn encode(&self, rows: &RecordBatch, seed: u64) -> Result<Encoded> {
        let columns = self
            .columns
            .par_iter()
            .zip(self.schema.fields().par_iter())
            .zip(rows.columns())
            .map(|((column, field), array)| column.encode(field, array, seed))
            .collect::<Result<_>>()?;
        Ok(Encoded { columns })
    }

    /// Brings one column's rows into model space, as [`Self::encode`].
    pub fn encode_column(
        &self,
        column: usize,
        array: &ArrayRef,
        seed: u64,
    ) -> Result<EncodedColumn> {
        self.columns[column].encode(self.schema.field(column), array, seed)
    }

    /// Brings rows back from model space; `wanted` picks columns by index and order.
    pub fn decode(
        &self,
        encoded: &Encoded,
        rows: usize,
        wanted: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let all: Vec<usize>;
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => {
                all = (0..self.columns.len()).collect();
                &all
            }
        };
        let schema = Arc::new(self.schema.project(wanted)?);
        let arrays = wanted
            .iter()
            .map(|&i| self.columns[i].decode(self.schema.field(i), &encoded.columns[i]))
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    /// One line a column: what it is taken for.
    pub fn describe(&self) -> Vec<(String, String)> {
        self.schema
            .fields()
            .iter()
            .zip(&self.columns)
            .map(|(field, column)| {
                (
                    field.name().clone(),
                    column.describe(plain_type(field.data_type())),
                )
            })
            .collect()
    }

    /// Writes the codec into a model file.
    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        file.set_schema("codec.schema", &self.schema)?;
        for (i, column) in self.columns.iter().enumerate() {
            let prefix = format!("codec.{i}");
            let different = f64::from(u8::from(column.all_different));
            file.set_numbers(format!("{prefix}.nulls"), &[column.nulls, different])?;
            match &column.coder {
                Coder::Categorical(categories) => categories.save(&prefix, file)?,
                Coder::Numeric(numeric) => numeric.save(&prefix, file)?,
            }
        }
        Ok(())
    }

    /// Reads the codec from a model file.
    pub fn load(file: &ModelFile) -> Result<Self> {
        let schema = file.schema("codec.schema")?;
        let columns = (0..schema.fields().len())
            .map(|i| {
                let prefix = format!("codec.{i}");
                let coder = if file.tensor(&format!("{prefix}.range")).is_err() {
                    Coder::Categorical(Categories::load(&prefix, file)?)
                } else {
                    Coder::Numeric(Numeric::load(&prefix, file)?)
                };
                let nulls = file.numbers(&format!("{prefix}.nulls"))?;
                let [nulls, different] = nulls[..] else {
                    return exec_err!("the model file is damaged: {prefix}.nulls");
                };
                Ok(Column {
                    coder,
                    nulls,
                    all_different: different != 0.0,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { schema, columns })
    }
}

/// What the user wants a column to be.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wish {
    kind: WishedKind,
    form: FormName,
    max_categories: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum WishedKind {
    Infer,
    Categorical,
    Numeric,
    Datetime,
}

impl Wish {
    fn of(name: &String, options: &Options) -> Result<Self> {
        let lists =
            |of| Ok::<_, datafusion_common::DataFusionError>(options.columns(of)?.contains(name));
        Ok(Self {
            kind: if lists("categorical")? {
                WishedKind::Categorical
            } else if lists("numeric")? {
                WishedKind::Numeric
            } else if lists("datetime")? {
                WishedKind::Datetime
            } else {
                WishedKind::Infer
            },
            form: if lists("gmm")? {
                FormName::Gmm
            } else if lists("quantile")? || options.choice("form")? == "quantile" {
                FormName::Quantile
            } else {
                FormName::Gmm
            },
            max_categories: options.integer("max_categories")?,
        })
    }
}

impl Column {
    fn fit(field: &Field, array: &ArrayRef, wish: Wish) -> Result<Self> {
        let array = plain(array)?;
        let data_type = array.data_type();
        let number = Numbers::supports(data_type);
        let named = match wish.kind {
            WishedKind::Numeric if !number => Some("numeric"),
            WishedKind::Datetime if !number || data_type.is_numeric() => Some("datetime"),
            _ => None,
        };
        if let Some(named) = named {
            return plan_err!(
                "column {} has type {data_type} and cannot be {named}",
                field.name()
            );
        }
        let share = |missing: usize| missing as f64 / array.len().max(1) as f64;
        if number && wish.kind != WishedKind::Categorical {
            let numbers = Numbers::read(&array)?;
            let distinct = numbers.distinct(CATEGORICAL_INTEGERS + 1);
            let few = match data_type {
                _ if distinct <= 1 => true,
                _ if wish.kind != WishedKind::Infer => false,
                data_type if data_type.is_integer() => distinct <= CATEGORICAL_INTEGERS,
                data_type if data_type.is_numeric() => {
                    distinct <= CATEGORICAL_FLOATS && numbers.present() >= 10 * distinct
                }
                _ => false,
            };
            if !few {
                return Ok(Self {
                    nulls: share(array.len() - numbers.present()),
                    all_different: false,
                    coder: Coder::Numeric(Numeric::fit(&numbers, wish.form)),
                });
            }
        }
        if !categorical::supports(data_type) {
            return exec_err!(
                "column {} has type {data_type}, which a table model cannot learn; \
                 leave it out of the query, or turn it into numbers or text",
                field.name()
            );
        }
        let array = numeric::nan_to_null(&array)?;
        let missing = array.logical_null_count();
        let most = wish.max_categories - usize::from(missing > 0);
        let categories = Categories::fit(&array, most)?;
        Ok(Self {
            nulls: share(missing),
            all_different: categories.len() > CATEGORICAL_INTEGERS
                && categories.len() == array.len() - missing,
            coder: Coder::Categorical(categories),
        })
    }

    fn encode(&self, field: &Field, array: &ArrayRef, seed: u64) -> Result<EncodedColumn> {
        let array = plain(array)?;
        let null = self.nullable().then_some(self.own_states() as u32);
        let encoded = match &self.coder {
            Coder::Categorical(categories) => {
                let array = numeric::nan_to_null(&array)?;
                categories.encode(&array, null, seed, field.name())?
            }
            Coder::Numeric(numeric) => {
                numeric.encode(&Numbers::read(&array)?, null, seed, field.name())
            }
        };
        match encoded {
            Some(encoded) => Ok(encoded),
            None => exec_err!(
                "column {} holds a value the model has not seen in training",
                field.name()
            ),
        }
    }

    fn decode(&self, field: &Field, encoded: &EncodedColumn) -> Result<ArrayRef> {
        let array = match &self.coder {
            Coder::Categorical(categories) => categories.decode(encoded)?,
            Coder::Numeric(numeric) => numeric.decode(encoded, plain_type(field.data_type()))?,
        };
        if array.data_type() == field.data_type() {
            return Ok(array);
        }
        if field.data_type() == &DataType::Null {
            return Ok(new_null_array(&DataType::Null, array.len()));
        }
        Ok(cast(&array, field.data_type())?)
    }
}

/// A dictionary's values laid out; any other array as it is.
pub(super) fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => Ok(cast(array, values)?),
        _ => Ok(Arc::clone(array)),
    }
}

/// The type of a dictionary's values; any other type as it is.
pub(super) fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

#[cfg(test)]
mod tests;
