//! The named arguments of the readers: names and values checked, with errors that tell what to write.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};

/// An argument of a reader: its name, its default and what it does.
pub type Param = (&'static str, &'static str, &'static str);

/// What other tools call our arguments, to point at ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("sep", "delimiter"),
    ("delim", "delimiter"),
    ("nullstr", "nulls"),
    ("na_values", "nulls"),
    ("null_values", "nulls"),
    ("null_strings", "nulls"),
    ("null_if", "nulls"),
    ("skip", "skip_rows"),
    ("skiprows", "skip_rows"),
    ("columns", "types"),
    ("dtypes", "types"),
    ("dtype", "types"),
    ("schema", "types"),
    ("quotechar", "quote"),
    ("escapechar", "escape"),
    ("sample_size", "sample_rows"),
    ("hive_partitioning", "hive"),
    ("ignore_errors", "on_error"),
    ("row_number", "row_id"),
    ("file_name", "filename"),
];

/// The nearest of some names, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    names
        .into_iter()
        .map(|candidate| {
            let near = strsim::jaro_winkler(&lower, &candidate.to_lowercase());
            (near, candidate)
        })
        .filter(|(near, _)| *near > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The end of a sentence about a name that does not exist: `; did you mean 'x'?`, or a full stop.
pub fn did_you_mean<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, names) {
        Some(near) => format!("; did you mean '{near}'?"),
        None => ".".to_string(),
    }
}

/// One call's named arguments.
pub struct Args<'a> {
    function: &'a str,
    values: &'a [(String, ScalarValue)],
}

impl<'a> Args<'a> {
    /// Checks the names.
    pub fn new(
        function: &'a str,
        params: &[Param],
        values: &'a [(String, ScalarValue)],
    ) -> Result<Self> {
        for (i, (name, _)) in values.iter().enumerate() {
            if !params.iter().any(|p| p.0 == name) {
                let known = || params.iter().map(|p| p.0);
                let hint = match SYNONYMS.iter().find(|(theirs, _)| theirs == name) {
                    Some((_, ours)) if known().any(|p| p == *ours) => {
                        format!("; did you mean '{ours}'?")
                    }
                    _ => did_you_mean(name, known()),
                };
                return plan_err!(
                    "{function} has no argument '{name}'{hint} Its arguments are {}",
                    known().collect::<Vec<_>>().join(", ")
                );
            }
            if values[..i].iter().any(|(earlier, _)| earlier == name) {
                return plan_err!("{function}: argument '{name}' is given twice");
            }
        }
        Ok(Self { function, values })
    }

    /// The value of an argument; NULL is as good as not given.
    fn get(&self, name: &str) -> Option<&'a ScalarValue> {
        self.values
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    fn wrong<T>(&self, name: &str, value: &ScalarValue, wanted: &str) -> Result<T> {
        plan_err!(
            "{}: argument '{name}' is {}; write {wanted}",
            self.function,
            shown(value)
        )
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(ScalarValue::Boolean(value)) => Ok(*value),
            Some(other) => self.wrong(name, other, &format!("{name} => true or {name} => false")),
        }
    }

    /// A count, 0 or more.
    pub fn count(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let wanted = format!("a whole number from 0 up, as {name} => 10");
        if !value.data_type().is_integer() {
            return self.wrong(name, value, &wanted);
        }
        match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(n)) if n >= 0 => Ok(Some(n.unsigned_abs())),
            _ => self.wrong(name, value, &wanted),
        }
    }

    /// A whole number; -1 often stands for "all".
    pub fn integer(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let wanted = format!("a whole number, as {name} => 1000");
        if !value.data_type().is_integer() {
            return self.wrong(name, value, &wanted);
        }
        match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(n) => Ok(n),
            _ => self.wrong(name, value, &wanted),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.try_as_str() {
                Some(text) => Ok(text),
                None => self.wrong(name, value, &format!("a text, as {name} => '...'")),
            },
        }
    }

    /// One of some words, in any case.
    pub fn choice(&self, name: &str, choices: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match choices.iter().find(|c| c.eq_ignore_ascii_case(text)) {
            Some(choice) => Ok(Some(choice)),
            None => plan_err!(
                "{}: argument '{name}' has no value '{text}'{} Its values are {}",
                self.function,
                did_you_mean(text, choices.iter().copied()),
                choices
                    .iter()
                    .map(|c| format!("'{c}'"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }

    /// One character, of one byte; an empty text stands for "none".
    pub fn byte(&self, name: &str) -> Result<Option<Option<u8>>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let spelled = match text {
            "\\t" | "tab" | "TAB" => "\t",
            "space" => " ",
            other => other,
        };
        match *spelled.as_bytes() {
            [] => Ok(Some(None)),
            [byte] if byte.is_ascii() && byte != b'\n' && byte != b'\r' => Ok(Some(Some(byte))),
            _ => plan_err!(
                "{}: argument '{name}' is '{text}'; it is one ASCII character, as ',' or '\\t'",
                self.function
            ),
        }
    }

    /// A list of texts; one text is a list of one.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match texts(value)? {
            Some(list) => Ok(Some(list)),
            None => self.wrong(
                name,
                value,
                &format!("a list of texts, as {name} => ['a', 'b']"),
            ),
        }
    }

    /// Texts by name, written `{'a': 'x', 'b': 'y'}` or `map {...}`; a list gives empty names.
    pub fn pairs(&self, name: &str) -> Result<Option<Vec<(String, String)>>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let pairs = match value {
            ScalarValue::Struct(row) => {
                let mut pairs = Vec::with_capacity(row.num_columns());
                for (field, column) in row.fields().iter().zip(row.columns()) {
                    match column_texts(column)?.pop() {
                        Some(text) => pairs.push((field.name().clone(), text)),
                        None => return self.wrong(name, value, "texts in it, none of them NULL"),
                    }
                }
                pairs
            }
            ScalarValue::Map(row) if row.len() == 1 => {
                let entries = row.value(0);
                let keys = column_texts(entries.column(0))?;
                let values = column_texts(entries.column(1))?;
                keys.into_iter().zip(values).collect()
            }
            _ => match texts(value)? {
                Some(list) => list.into_iter().map(|t| (String::new(), t)).collect(),
                None => {
                    return self.wrong(
                        name,
                        value,
                        &format!("{name} => {{'a': '...', 'b': '...'}}"),
                    );
                }
            },
        };
        Ok(Some(pairs))
    }
}

/// A value in the words of an error message.
fn shown(value: &ScalarValue) -> String {
    match value.try_as_str() {
        Some(Some(text)) => format!("'{text}'"),
        _ => value.to_string(),
    }
}

/// The texts of a list value, or of a single text; `None` for anything else.
pub fn texts(value: &ScalarValue) -> Result<Option<Vec<String>>> {
    if let Some(Some(text)) = value.try_as_str() {
        return Ok(Some(vec![text.to_string()]));
    }
    let items = match value {
        ScalarValue::List(list) if list.len() == 1 => list.value(0),
        ScalarValue::LargeList(list) if list.len() == 1 => list.value(0),
        ScalarValue::FixedSizeList(list) if list.len() == 1 => list.value(0),
        _ => return Ok(None),
    };
    column_texts(&items).map(Some)
}

/// The values of an array that are not NULL, as texts.
fn column_texts(array: &ArrayRef) -> Result<Vec<String>> {
    let texts = cast(array, &DataType::Utf8).map_err(|_| {
        plan_datafusion_err!("a text is wanted where {} is given", array.data_type())
    })?;
    Ok(texts
        .as_string::<i32>()
        .iter()
        .flatten()
        .map(str::to_string)
        .collect())
}
