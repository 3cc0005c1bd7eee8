//! Hive partitions: columns whose values are in the names of directories, `year=2013/month=1/`.

use std::path::PathBuf;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};

use super::path::hive_values;

/// Partition columns, and their values for every file.
#[derive(Debug, Clone, Default)]
pub struct Hive {
    pub columns: Vec<(String, DataType)>,
    /// A row of values a file.
    pub values: Vec<Vec<ScalarValue>>,
}

impl Hive {
    /// Finds the partitions of some files. Not asked for and not forbidden, they are taken when all
    /// files have the same ones. Columns that `taken` says are in the files already are left out.
    pub fn find(
        function: &str,
        wanted: Option<bool>,
        files: &[PathBuf],
        taken: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let none = Self {
            columns: Vec::new(),
            values: vec![Vec::new(); files.len()],
        };
        let all: Vec<_> = files.iter().map(|file| hive_values(file)).collect();
        let Some(first) = all.first().filter(|_| wanted != Some(false)) else {
            return Ok(none);
        };
        let keys = |i: usize| all[i].iter().map(|(key, _)| key).collect::<Vec<_>>();
        if let Some(other) = (0..all.len()).find(|i| keys(*i) != keys(0)) {
            if wanted == Some(true) {
                return plan_err!(
                    "{function}: '{}' and '{}' have different partitions ({:?} and {:?}); write hive => false",
                    files[0].display(),
                    files[other].display(),
                    keys(0),
                    keys(other)
                );
            }
            return Ok(none);
        }
        let mut hive = none;
        for (i, (key, _)) in first.iter().enumerate() {
            if taken(key) || hive.columns.iter().any(|(name, _)| name == key) {
                continue;
            }
            let texts: Vec<Option<&str>> = all
                .iter()
                .map(|values| values.get(i).and_then(|(_, value)| value.as_deref()))
                .collect();
            let data_type = narrowest(&texts);
            for (values, text) in hive.values.iter_mut().zip(&texts) {
                values.push(match text {
                    Some(text) => ScalarValue::try_from_string((*text).to_string(), &data_type)?,
                    None => ScalarValue::try_from(&data_type)?,
                });
            }
            hive.columns.push((key.clone(), data_type));
        }
        Ok(hive)
    }
}

/// Whole numbers and dates are read as such; `01` stays text.
fn narrowest(texts: &[Option<&str>]) -> DataType {
    let all = |f: &dyn Fn(&str) -> bool| {
        texts.iter().any(Option::is_some) && texts.iter().flatten().all(|t| f(t))
    };
    if all(&|t| t.parse::<i64>().is_ok_and(|n| n.to_string() == t)) {
        DataType::Int64
    } else if all(&|t| super::csv::is_date(t)) {
        DataType::Date32
    } else {
        DataType::Utf8View
    }
}
