//! What COPY's OPTIONS say, with errors that tell what to write.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::Schema;
use datafusion::common::{Result, plan_err};

use crate::load::did_you_mean;

/// The options of one COPY: texts by name.
#[derive(Debug, Clone)]
pub struct Options {
    format: &'static str,
    values: BTreeMap<String, String>,
}

impl Options {
    pub fn none(format: &'static str) -> Self {
        Self {
            format,
            values: BTreeMap::new(),
        }
    }

    /// Checks the names.
    pub fn new(
        format: &'static str,
        known: &[&'static str],
        given: &HashMap<String, String>,
    ) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (name, value) in given {
            // the planner puts this before names without a point
            let name = name.strip_prefix("format.").unwrap_or(name);
            if !known.contains(&name) {
                let hint = did_you_mean(name, known.iter().copied());
                let known = match known {
                    [] => "It has none".to_string(),
                    known => format!("Its options are {}", known.join(", ")),
                };
                return plan_err!("{format} has no option '{name}'{hint} {known}");
            }
            values.insert(name.to_string(), value.clone());
        }
        Ok(Self { format, values })
    }

    pub fn format(&self) -> &'static str {
        self.format
    }

    /// A count from 1 up to the most.
    pub fn count(&self, name: &str, most: u64) -> Result<Option<u64>> {
        let Some(text) = self.values.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(count) if (1..=most).contains(&count) => Ok(Some(count)),
            _ => plan_err!(
                "{}: option {name} is '{text}'; write a whole number from 1 to {most}, as in OPTIONS ({name} 4)",
                self.format
            ),
        }
    }

    pub fn boolean(&self, name: &str) -> Result<bool> {
        match self.values.get(name).map(|v| v.to_lowercase()).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => plan_err!(
                "{}: option {name} is '{other}'; write OPTIONS ({name} true)",
                self.format
            ),
        }
    }

    /// The place of the column that an option names.
    pub fn column(&self, name: &str, schema: &Schema) -> Result<Option<usize>> {
        let Some(wanted) = self.values.get(name) else {
            return Ok(None);
        };
        let fields = schema.fields();
        let exact = fields.iter().position(|f| f.name() == wanted);
        let place = exact.or_else(|| {
            let same = |f: &str| f.eq_ignore_ascii_case(wanted);
            fields.iter().position(|f| same(f.name()))
        });
        match place {
            Some(place) => Ok(Some(place)),
            None => plan_err!(
                "{}: option {name} names a column '{wanted}' that the query does not have{} Its columns are {}",
                self.format,
                did_you_mean(wanted, fields.iter().map(|f| f.name().as_str())),
                fields
                    .iter()
                    .map(|f| f.name().as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }
}
