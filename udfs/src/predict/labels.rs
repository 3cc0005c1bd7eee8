//! The classes that a label has.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{Result, exec_err, plan_err};

use crate::fitted::State;
use crate::fitted::counts::{Counts, Lookup, listed_type};
use crate::options::nearest;
use crate::synthesize::{ModelFile, OptionSpec, Options, column};

/// Classes that a label may have.
const MOST_CLASSES: usize = 1000;

/// A label's classes, in their order.
#[derive(Debug, Clone)]
pub struct Labels {
    field: Field,
    /// The type that values are counted in.
    by: DataType,
    values: ArrayRef,
    names: Vec<String>,
    lookup: Lookup,
}

/// The option that names the label.
pub fn option() -> OptionSpec {
    column(
        "label",
        "the column that is predicted by the others, of text, booleans or whole numbers; rows where it is NULL are \
         left out and counted",
    )
}

/// The place of the label that the options name.
///
/// # Errors
/// If none is named or there is no such column: names the nearest.
pub fn find(kind: &str, options: &Options, schema: &Schema) -> Result<usize> {
    let name = options.text("label");
    let names = || schema.fields().iter().map(|f| f.name().as_str());
    let all = || names().collect::<Vec<_>>().join(", ");
    if name.is_empty() {
        return plan_err!(
            "a {kind} learns to tell a label by the other columns. Write OPTIONS (label 'column'), one of {}",
            all()
        );
    }
    let alike = || names().position(|other| other.eq_ignore_ascii_case(name));
    match names().position(|other| other == name).or_else(alike) {
        Some(at) => Ok(at),
        None => {
            let near = nearest(name, names()).map(|n| format!(" Did you mean {n}?"));
            plan_err!(
                "option label: the training query has no column {name}.{} It has {}",
                near.unwrap_or_default(),
                all()
            )
        }
    }
}

/// The type that a label's values are counted in.
///
/// # Errors
/// If they are no classes: says what makes classes of them.
pub fn class_type(label: &Field) -> Result<DataType> {
    let plain = match label.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    match plain {
        DataType::Boolean => Ok(DataType::Boolean),
        plain if crate::arrays::is_text(plain) => Ok(DataType::Utf8View),
        plain if plain.is_integer() => Ok(plain.clone()),
        _ => plan_err!(
            "option label: {0} is a {1}, which has no classes: a label is text, a boolean or a whole number. Write \
             bucketize({0}, ...) to make classes of numbers, or CAST({0} AS BIGINT) or CAST({0} AS VARCHAR)",
            label.name(),
            label.data_type()
        ),
    }
}

impl Labels {
    /// The classes of a column.
    pub fn fit(label: &Field, array: &ArrayRef) -> Result<Self> {
        let by = class_type(label)?;
        let mut counts = Counts::new(&by)?;
        counts.update(&[cast(array, &by)?])?;
        let (values, _) = counts.sorted()?;
        match values.len() {
            0 => exec_err!(
                "the label {} is NULL in all rows: there is nothing to learn",
                label.name()
            ),
            1 => exec_err!(
                "the label {} is {} in all rows that have one: there is nothing to tell apart",
                label.name(),
                names(&values)?.concat()
            ),
            many if many > MOST_CLASSES => exec_err!(
                "the label {0} has {many} different values, more than {MOST_CLASSES}. Write bucketize({0}, ...) to make \
                 classes of numbers",
                label.name()
            ),
            _ => Self::new(label, by, values),
        }
    }

    fn new(label: &Field, by: DataType, values: ArrayRef) -> Result<Self> {
        Ok(Self {
            field: Field::new(label.name(), listed_type(&by), true),
            lookup: Lookup::of(&values, |place| place as u32)?,
            names: names(&values)?,
            by,
            values,
        })
    }

    /// The label's name, and the type that predictions are of.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The classes.
    pub fn values(&self) -> &ArrayRef {
        &self.values
    }

    /// The classes as texts.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The place of each row's class; [`crate::fitted::counts::MISSING`] where it is NULL.
    pub fn codes(&self, array: &ArrayRef) -> Result<Vec<u32>> {
        self.lookup.codes(&cast(array, &self.by)?)
    }

    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        file.set_column("classes", &self.values)
    }

    pub fn load(label: &Field, file: &ModelFile) -> Result<Self> {
        let values = file.column("classes")?;
        let by = class_type(label)?;
        if values.len() < 2 || values.null_count() > 0 || *values.data_type() != listed_type(&by) {
            return exec_err!("the model file is damaged: classes");
        }
        Self::new(label, by, values)
    }
}

fn names(values: &ArrayRef) -> Result<Vec<String>> {
    let texts = cast(values, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>().iter().flatten();
    Ok(texts.map(str::to_string).collect())
}
