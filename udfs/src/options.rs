//! A call's constant arguments, read with errors that name the function, the argument and what would be right.

use std::fmt::Display;
use std::hash::{Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::spec::Spec;

/// The values of a call's options, by the names of its [`Spec`].
#[derive(Debug, Clone)]
pub struct Options {
    spec: &'static Spec,
    values: Vec<(&'static str, ScalarValue)>,
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && self.values == other.values
    }
}

impl Eq for Options {}

impl Hash for Options {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
        self.values.hash(state);
    }
}

impl Options {
    /// Pairs the values, in order, with the spec's option parameters.
    pub fn new(spec: &'static Spec, values: Vec<ScalarValue>) -> Result<Self> {
        let names: Vec<_> = spec.params.iter().filter(|p| p.option).collect();
        if names.len() != values.len() {
            return plan_err!(
                "{}: {} options expected, {} given. Write {}",
                spec.name,
                names.len(),
                values.len(),
                spec.syntax()
            );
        }
        let values = names.iter().map(|p| p.name).zip(values).collect();
        Ok(Self { spec, values })
    }

    /// The function's declaration.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    /// All options and their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &ScalarValue)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    /// The value as given; a name the spec lacks reads as NULL.
    pub fn get(&self, name: &str) -> &ScalarValue {
        self.values
            .iter()
            .find(|(n, _)| *n == name)
            .map_or(&ScalarValue::Null, |(_, value)| value)
    }

    /// Whether the option is NULL: left out, where NULL is the default.
    pub fn is_null(&self, name: &str) -> bool {
        self.get(name).is_null()
    }

    /// An error about one option: `impute: strategy must be ..., not 'x'`.
    pub fn wrong<T>(&self, name: &str, must: impl Display) -> Result<T> {
        plan_err!(
            "{}: {name} must be {must}, not {}",
            self.spec.name,
            display(self.get(name))
        )
    }

    fn cast(&self, name: &str, to: &DataType, must: &str) -> Result<ArrayRef> {
        let array = self.get(name).to_array()?;
        if array.is_null(0) || array.data_type() == &DataType::Null {
            return self.wrong(name, must);
        }
        match cast(&array, to) {
            Ok(array) if array.is_valid(0) => Ok(array),
            _ => self.wrong(name, must),
        }
    }

    /// A finite number.
    pub fn float(&self, name: &str) -> Result<f64> {
        if is_text(self.get(name)) {
            return self.wrong(name, "a number");
        }
        let value = self.cast(name, &DataType::Float64, "a number")?;
        let value = value.as_primitive::<Float64Type>().value(0);
        if value.is_finite() {
            Ok(value)
        } else {
            self.wrong(name, "a finite number")
        }
    }

    /// A number within `[lo, hi]`.
    pub fn float_in(&self, name: &str, lo: f64, hi: f64) -> Result<f64> {
        let value = self.float(name)?;
        if (lo..=hi).contains(&value) {
            Ok(value)
        } else {
            self.wrong(name, format!("between {lo} and {hi}"))
        }
    }

    /// A whole number of at least `min`.
    pub fn integer(&self, name: &str, min: i64) -> Result<i64> {
        let must = format!("a whole number of at least {min}");
        let float = match self.float(name) {
            Ok(value) => value,
            Err(_) => return self.wrong(name, must),
        };
        if float.fract() != 0.0 {
            return self.wrong(name, must);
        }
        let value = self.cast(name, &DataType::Int64, &must)?;
        let value = value.as_primitive::<Int64Type>().value(0);
        if value >= min {
            Ok(value)
        } else {
            self.wrong(name, must)
        }
    }

    /// `true` or `false`.
    pub fn bool(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            ScalarValue::Boolean(Some(value)) => Ok(*value),
            _ => self.wrong(name, "true or false"),
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<String> {
        match self.get(name).try_as_str() {
            Some(Some(text)) => Ok(text.to_string()),
            _ => self.wrong(name, "a text"),
        }
    }

    /// One of a few words; the error names the nearest.
    pub fn choice(&self, name: &str, choices: &[&'static str]) -> Result<&'static str> {
        let listed = || {
            let quoted: Vec<_> = choices.iter().map(|c| format!("'{c}'")).collect();
            format!("one of {}", quoted.join(", "))
        };
        let Some(Some(text)) = self.get(name).try_as_str() else {
            return self.wrong(name, listed());
        };
        if let Some(found) = choices.iter().find(|c| c.eq_ignore_ascii_case(text)) {
            return Ok(found);
        }
        match nearest(text, choices.iter().copied()) {
            Some(near) => self.wrong(name, format!("{} (did you mean '{near}'?)", listed())),
            None => self.wrong(name, listed()),
        }
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        let items = self.list(name, &DataType::Utf8, "a list of texts, as in ['a', 'b']")?;
        Ok(items
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_string)
            .collect())
    }

    /// A list of numbers.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>> {
        let must = "a list of numbers, as in [1, 2.5]";
        let items = self.list(name, &DataType::Float64, must)?;
        Ok(items.as_primitive::<Float64Type>().values().to_vec())
    }

    /// The items of a list, of the type they have; a single value is a list of one.
    pub fn items(&self, name: &str) -> Result<ArrayRef> {
        match self.get(name) {
            value if value.is_null() => self.wrong(name, "a list, as in ['a', 'b'] or [1, 2]"),
            ScalarValue::List(list) => Ok(list.value(0)),
            ScalarValue::LargeList(list) => Ok(list.value(0)),
            ScalarValue::FixedSizeList(list) => Ok(list.value(0)),
            value => value.to_array(),
        }
    }

    fn list(&self, name: &str, of: &DataType, must: &str) -> Result<ArrayRef> {
        let Ok(items) = self.items(name) else {
            return self.wrong(name, must);
        };
        match cast(&items, of) {
            Ok(cast) if cast.null_count() == 0 => Ok(cast),
            _ => self.wrong(name, must),
        }
    }
}

fn is_text(value: &ScalarValue) -> bool {
    value.try_as_str().is_some()
}

/// A constant as one would type it.
pub fn display(value: &ScalarValue) -> String {
    match value.try_as_str() {
        Some(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        _ if value.is_null() => "NULL".to_string(),
        _ => value.to_string(),
    }
}

/// The nearest of some names, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    names
        .into_iter()
        .filter_map(|n| {
            let candidate = n.to_lowercase();
            let score = strsim::jaro_winkler(&lower, &candidate);
            // one slip of the finger in a short word scores low: 'irq' for 'iqr'
            let slip = lower.len() > 2 && strsim::osa_distance(&lower, &candidate) == 1;
            (score > 0.78 || slip).then_some((score, n))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, n)| n)
}
