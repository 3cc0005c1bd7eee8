//! Tables turned so that each value is a row, for statistics of every column in one pass.

use datafusion::arrow::datatypes::DataType;

use super::super::relation::{Call, quoted};

/// What a column's values are to a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Numbers, booleans among them.
    Number,
    /// Dates and timestamps: they have distances, but no unit.
    Time,
    /// Texts, and what is written as one.
    Category,
    /// Lists, structs, bytes: they are the same or not.
    Opaque,
}

impl Values {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Boolean => Self::Number,
            other if other.is_numeric() => Self::Number,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Self::Time,
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Time32(_)
            | DataType::Time64(_) => Self::Category,
            _ => Self::Opaque,
        }
    }
}

/// A column and SQL for its values.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its name as an identifier.
    pub quoted: String,
    pub data_type: DataType,
    pub values: Values,
}

impl Column {
    /// The columns of a table argument, in order.
    pub fn of(call: &Call<'_>, table: usize) -> Vec<Self> {
        let fields = call.schema(table).fields().iter();
        fields
            .map(|field| Self {
                name: field.name().clone(),
                quoted: quoted(field.name()),
                data_type: field.data_type().clone(),
                values: Values::of(field.data_type()),
            })
            .collect()
    }

    fn is_float(&self) -> bool {
        match &self.data_type {
            DataType::Dictionary(_, values) => values.is_floating(),
            other => other.is_floating(),
        }
    }

    /// The value as DOUBLE, NULL where it is missing; a time is in seconds.
    pub fn number(&self) -> String {
        let x = &self.quoted;
        match self.values {
            Values::Number if self.is_float() => {
                format!(
                    "CASE WHEN NOT isnan(CAST({x} AS DOUBLE)) THEN CAST({x} AS DOUBLE) + 0.0 END"
                )
            }
            Values::Number => format!("CAST({x} AS DOUBLE)"),
            Values::Time => format!("CAST(date_part('epoch', {x}) AS DOUBLE)"),
            Values::Category | Values::Opaque => "CAST(NULL AS DOUBLE)".to_string(),
        }
    }

    /// The value as text, NULL where it is missing. Of what is no text, a key that tells values apart.
    pub fn text(&self) -> String {
        let x = &self.quoted;
        if self.is_float() {
            format!(
                "CASE WHEN isnan(CAST({x} AS DOUBLE)) THEN NULL WHEN {x} = 0 THEN '0.0' ELSE CAST({x} AS VARCHAR) END"
            )
        } else if self.values == Values::Opaque {
            format!("CASE WHEN {x} IS NOT NULL THEN CAST(random_key(0, {x}) AS VARCHAR) END")
        } else {
            format!("CAST({x} AS VARCHAR)")
        }
    }
}

/// A text as SQL.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `unnest([...])`: a row an item.
pub fn unnest<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    format!("unnest([{}])", items.join(", "))
}

/// Names, quoted, for a template's WITH: a name of the statement around it may not be taken twice.
pub fn with_names<const N: usize>(call: &Call<'_>, names: [&str; N]) -> [String; N] {
    let table = call.table(0).trim_matches('"');
    names.map(|name| quoted(&format!("{table}_{name}")))
}

/// The value below and the value above a quantile, by numpy's linear interpolation.
///
/// Rows are distinct values `v` in order; `up_to` counts the values so far, `n` all of them.
pub fn around(up_to: &str, n: &str, q: f64) -> [String; 2] {
    ["floor", "ceil"]
        .map(|side| format!("min(v) FILTER (WHERE {up_to} > {side}({q:?} * ({n} - 1)))"))
}

/// The quantile between two values that [`around`] gave.
pub fn between(low: &str, high: &str, n: &str, q: f64) -> String {
    let at = format!("{q:?} * ({n} - 1)");
    // infinities have no difference
    format!(
        "CASE WHEN {low} = {high} THEN {low} ELSE {low} + ({high} - {low}) * ({at} - floor({at})) END"
    )
}

/// A sum over the rows so far. The last is the whole sum, added in the order of the values, which is the
/// same for any number of partitions.
pub fn running(what: &str, group: &str, order: &str) -> String {
    format!(
        "sum({what}) OVER (PARTITION BY {group} ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
}
