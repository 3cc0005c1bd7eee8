//! Between a table's columns and the numbers a model learns, for every kind of table model.
//!
//! Every column becomes a *state* (an index) and, for numeric columns, a *value*. A categorical column's
//! states are its categories; a numeric column's are `ordinary`, its inflated values (points that hold
//! far more rows than their neighbours, such as 0 in a column of capital gains), and for both NULL is one
//! more state where the column has NULLs. The value, of a numeric column in the ordinary state, is
//! standard normal: a number goes through the column's quantiles to a probability, and on to the normal's
//! quantile. Decoding goes back and restores type, step, bounds and NULLs. NaN and infinities are missing.

mod categorical;
mod numeric;

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use datafusion_common::{Result, exec_err, plan_err};

use super::{Accepts, Data, ModelFile, OptionSpec, Options, nearest};
use categorical::Categories;
use numeric::Quantiles;

/// Integers of at most this many different values are categories, unless told otherwise.
const CATEGORICAL_INTEGERS: usize = 50;

/// Fractional numbers of at most this many different values, each seen ten times on average, too.
const CATEGORICAL_FLOATS: usize = 10;

/// The options every kind of table model shares.
pub fn options() -> Vec<OptionSpec> {
    vec![
        OptionSpec {
            name: "categorical",
            accepts: Accepts::Columns,
            help: "columns to treat as categories whatever their type",
        },
        OptionSpec {
            name: "numeric",
            accepts: Accepts::Columns,
            help: "columns to treat as numbers though they have few different values",
        },
    ]
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
    /// Whether NULL is a state.
    nullable: bool,
}

#[derive(Debug, Clone)]
enum Coder {
    Categorical(Categories),
    Numeric(Quantiles),
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
    /// The value of every row, 0 where the state carries none; empty for a categorical column.
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
        self.own_states() + usize::from(self.nullable)
    }

    /// Whether the first state carries a value.
    pub fn has_value(&self) -> bool {
        matches!(self.coder, Coder::Numeric(_))
    }

    /// How many states, from the first, carry a value.
    pub fn carriers(&self) -> usize {
        usize::from(self.has_value())
    }

    fn own_states(&self) -> usize {
        match &self.coder {
            Coder::Categorical(categories) => categories.len(),
            Coder::Numeric(quantiles) => 1 + quantiles.inflated().len(),
        }
    }
}

impl Codec {
    /// Learns every column of the data.
    pub fn fit(data: &Data, options: &Options) -> Result<Self> {
        let schema = data.schema();
        let categorical = options.columns("categorical")?;
        let numeric = options.columns("numeric")?;
        for name in categorical.iter().chain(numeric) {
            if schema.index_of(name).is_err() {
                let names = schema.fields().iter().map(|field| field.name().as_str());
                return plan_err!(
                    "the training query has no column {name}{}",
                    nearest(name, names)
                );
            }
        }
        if let Some(name) = categorical.iter().find(|name| numeric.contains(name)) {
            return plan_err!("column {name} cannot be both categorical and numeric");
        }
        if schema.fields().is_empty() {
            return plan_err!("the training query has no columns");
        }
        if data.num_rows() == 0 {
            return exec_err!("the training query gives no rows: there is nothing to learn from");
        }
        let columns: Vec<Column> = schema
            .fields()
            .iter()
            .zip(data.rows().columns())
            .map(|(field, array)| {
                let wish = if categorical.contains(field.name()) {
                    Wish::Categorical
                } else if numeric.contains(field.name()) {
                    Wish::Numeric
                } else {
                    Wish::Infer
                };
                Column::fit(field, array, wish)
            })
            .collect::<Result<_>>()?;
        // A NaN comes back as NULL, also where the table itself had none.
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| {
                let nullable = field.is_nullable() || column.nullable;
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
            .iter()
            .zip(self.schema.fields())
            .zip(rows.columns())
            .map(|((column, field), array)| column.encode(field, array, seed))
            .collect::<Result<_>>()?;
        Ok(Encoded { columns })
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
                let mut what = match &column.coder {
                    Coder::Categorical(categories) if categories.len() == 1 => {
                        "constant".to_string()
                    }
                    Coder::Categorical(categories) if categories.len() == 0 => {
                        "nothing but NULL".to_string()
                    }
                    Coder::Categorical(categories) => {
                        format!("categorical, {} values", categories.len())
                    }
                    Coder::Numeric(quantiles) => quantiles.describe(),
                };
                if column.nullable && column.own_states() > 0 {
                    what.push_str(", NULLs");
                }
                (field.name().clone(), what)
            })
            .collect()
    }

    /// Writes the codec into a model file.
    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        file.set_blob("codec.schema", &to_ipc(&self.schema, &[])?)?;
        for (i, column) in self.columns.iter().enumerate() {
            let nullable = f64::from(u8::from(column.nullable));
            file.set_numbers(format!("codec.{i}.nullable"), &[nullable])?;
            match &column.coder {
                Coder::Categorical(categories) => {
                    let values = categories.values();
                    let field = Field::new("category", values.data_type().clone(), true);
                    let schema = Arc::new(Schema::new(vec![field]));
                    let batch =
                        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(values)])?;
                    file.set_blob(format!("codec.{i}.categories"), &to_ipc(&schema, &[batch])?)?;
                }
                Coder::Numeric(quantiles) => quantiles.save(&format!("codec.{i}"), file)?,
            }
        }
        Ok(())
    }

    /// Reads the codec from a model file.
    pub fn load(file: &ModelFile) -> Result<Self> {
        let (schema, _) = from_ipc(file.blob("codec.schema")?)?;
        let columns = (0..schema.fields().len())
            .map(|i| {
                let categories = format!("codec.{i}.categories");
                let coder = if file.tensor(&categories).is_ok() {
                    let (_, batches) = from_ipc(file.blob(&categories)?)?;
                    let Some(batch) = batches.first().filter(|batch| batch.num_columns() == 1)
                    else {
                        return exec_err!("the model file is damaged: {categories} is empty");
                    };
                    Coder::Categorical(Categories::new(Arc::clone(batch.column(0)))?)
                } else {
                    Coder::Numeric(Quantiles::load(&format!("codec.{i}"), file)?)
                };
                let nullable = file.numbers(&format!("codec.{i}.nullable"))?;
                Ok(Column {
                    coder,
                    nullable: nullable.first().is_some_and(|&flag| flag != 0.0),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { schema, columns })
    }
}

/// What the user wants a column to be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wish {
    Infer,
    Categorical,
    Numeric,
}

impl Column {
    fn fit(field: &Field, array: &ArrayRef, wish: Wish) -> Result<Self> {
        let array = plain(array)?;
        let data_type = array.data_type();
        let number = numeric::Numbers::supports(data_type);
        if wish == Wish::Numeric && !number {
            return plan_err!(
                "column {} has type {data_type} and cannot be numeric",
                field.name()
            );
        }
        if number && wish != Wish::Categorical {
            let numbers = numeric::Numbers::read(&array)?;
            let distinct = numbers.distinct(CATEGORICAL_INTEGERS + 1);
            let few = match data_type {
                _ if distinct <= 1 => true,
                _ if wish == Wish::Numeric => false,
                data_type if data_type.is_integer() => distinct <= CATEGORICAL_INTEGERS,
                DataType::Float16
                | DataType::Float32
                | DataType::Float64
                | DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Decimal256(..) => {
                    distinct <= CATEGORICAL_FLOATS && numbers.present() >= 10 * distinct
                }
                _ => false,
            };
            if !few {
                return Ok(Self {
                    nullable: numbers.present() < array.len(),
                    coder: Coder::Numeric(Quantiles::fit(&numbers)),
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
        Ok(Self {
            nullable: array.logical_null_count() > 0,
            coder: Coder::Categorical(Categories::fit(&array)?),
        })
    }

    fn encode(&self, field: &Field, array: &ArrayRef, seed: u64) -> Result<EncodedColumn> {
        let array = plain(array)?;
        let null = self.nullable.then_some(self.own_states() as u32);
        let encoded = match &self.coder {
            Coder::Categorical(categories) => {
                let array = numeric::nan_to_null(&array)?;
                categories
                    .encode(&array, null)?
                    .map(|states| EncodedColumn {
                        states,
                        values: Vec::new(),
                    })
            }
            Coder::Numeric(quantiles) => {
                let numbers = numeric::Numbers::read(&array)?;
                quantiles.encode(&numbers, null, seed, field.name())
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
            Coder::Categorical(categories) => categories.decode(&encoded.states)?,
            Coder::Numeric(quantiles) => {
                let plain = match field.data_type() {
                    DataType::Dictionary(_, values) => values.as_ref(),
                    other => other,
                };
                quantiles.decode(encoded, plain)?
            }
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
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => Ok(cast(array, values)?),
        _ => Ok(Arc::clone(array)),
    }
}

fn to_ipc(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut writer = FileWriter::try_new(Vec::new(), schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?)
}

fn from_ipc(bytes: Vec<u8>) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let reader = FileReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok((schema, batches))
}

#[cfg(test)]
mod tests;
