//! Sources: files become tables.
//!
//! A reader opens in one synchronous step, in which it looks at the files and settles the schema;
//! its table provider then reads in partitions, as a stream. What cannot be read is never lost: see
//! [`Rejects`]. Only local files are read.

mod args;
mod arrays;
mod csv;
mod files;
mod hive;
mod images;
mod json;
mod leaf;
mod path;
mod rejects;
mod rows;
mod shown;
mod source;
mod stored;
mod types;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::catalog::TableProvider;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::session_state::SessionState;

use crate::session::Progress;

pub use args::{Param, did_you_mean, texts};
pub use arrays::{IDX_PARAMS, NPY_PARAMS};
pub use csv::{CSV_PARAMS, CsvOptions, CsvTable};
pub use files::{ARROW_PARAMS, AVRO_PARAMS, PARQUET_PARAMS};
pub use images::IMAGES_PARAMS;
pub use json::{JSON_PARAMS, JsonOptions, JsonTable};
pub use path::{Reader, expand, looks_like_path};
pub use rejects::{Reject, Rejects};

/// What readers need of the session they open in.
#[derive(Clone)]
pub struct LoadEnv {
    pub state: SessionState,
    pub rejects: Rejects,
    pub progress: Progress,
    pub notices: Notices,
}

/// Warnings to be shown, oldest first. Cheap to clone; clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Notices {
    inner: Arc<Mutex<Vec<String>>>,
}

impl Notices {
    pub fn push(&self, notice: impl Into<String>) {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(notice.into());
    }

    /// As [`Self::push`], unless the same is there already: rows that are read twice say everything twice.
    pub fn push_once(&self, notice: String) {
        let mut all = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&notice) {
            all.push(notice);
        }
    }

    /// The warnings since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What happens to a row or a cell that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnError {
    /// The statement fails and says where.
    #[default]
    Fail,
    /// The cell is NULL, and in the table `rejects`.
    Null,
    /// The row is left out, and in the table `rejects`.
    Skip,
}

impl OnError {
    const CHOICES: [&'static str; 3] = ["fail", "null", "skip"];

    fn from_args(args: &args::Args) -> Result<Self> {
        Ok(match args.choice("on_error", &Self::CHOICES)? {
            Some("null") => Self::Null,
            Some("skip") => Self::Skip,
            _ => Self::Fail,
        })
    }
}

/// The arguments of a reader, for its documentation.
pub fn params(reader: Reader) -> &'static [Param] {
    match reader {
        Reader::Csv => CSV_PARAMS,
        Reader::Json => JSON_PARAMS,
        Reader::Parquet => PARQUET_PARAMS,
        Reader::Arrow => ARROW_PARAMS,
        Reader::Avro => AVRO_PARAMS,
        Reader::Images => IMAGES_PARAMS,
        Reader::Idx => IDX_PARAMS,
        Reader::Npy | Reader::Npz => NPY_PARAMS,
    }
}

/// Opens what a path, a glob or a directory stands for with the reader its name or content calls for.
///
/// DataFusion's own formats are inferred on the current runtime: call it within one.
pub fn open_path(path: &str, env: &LoadEnv) -> Result<Arc<dyn TableProvider>> {
    let files = expand(path, None)?;
    let Some(first) = files.first() else {
        return plan_err!("no file matches '{path}'");
    };
    let reader = Reader::of(first)?;
    for file in &files {
        let other = Reader::of(file)?;
        if other != reader {
            return plan_err!(
                "'{path}' has files of two kinds: '{}' is for {} and '{}' for {}; name one kind, as '{path}/*.{}'",
                first.display(),
                reader.function(),
                file.display(),
                other.function(),
                reader.extensions()[0]
            );
        }
    }
    open_files(reader, files, &[], env)
}

/// Opens the files of one or more paths, globs or directories with a given reader.
pub fn open(
    reader: Reader,
    paths: &[String],
    args: &[(String, ScalarValue)],
    env: &LoadEnv,
) -> Result<Arc<dyn TableProvider>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        for file in expand(path, Some(reader))? {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return plan_err!(
            "{0} wants a path; write {0}('file.{1}')",
            reader.function(),
            reader.extensions()[0]
        );
    }
    open_files(reader, files, args, env)
}

fn open_files(
    reader: Reader,
    files: Vec<PathBuf>,
    args: &[(String, ScalarValue)],
    env: &LoadEnv,
) -> Result<Arc<dyn TableProvider>> {
    Ok(match reader {
        Reader::Csv => Arc::new(CsvTable::open(&files, &CsvOptions::from_args(args)?, env)?),
        Reader::Json => Arc::new(JsonTable::open(
            &files,
            &JsonOptions::from_args(args)?,
            env,
        )?),
        Reader::Parquet | Reader::Arrow | Reader::Avro => files::open(reader, files, args, env)?,
        Reader::Images => Arc::new(images::Images::open(files, args, env)?),
        Reader::Idx | Reader::Npy | Reader::Npz => {
            Arc::new(arrays::Arrays::open(reader, files, args, env)?)
        }
    })
}

/// A number for a way of reading, to tell its rejects from others'.
fn rules(description: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    description.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
