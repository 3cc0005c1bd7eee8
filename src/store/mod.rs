//! What persists: models, transforms, views and tables, in a directory or in memory only.
//!
//! The directory is made to be read by other tools too:
//! ```text
//! models/NAME.safetensors   transforms/NAME.arrow   views/NAME.sql   tables/NAME/*.parquet
//! ```
//! Everything is written beside its place and renamed into it, so a crash leaves the old or the new.

mod disk;
mod folder;
mod memory;
mod models;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::future::BoxFuture;
use seedbed_udfs::options::nearest;
use seedbed_udfs::synthesize::Model;

use crate::plan::ModelSink;
pub(crate) use folder::replace_file;
use folder::{Folder, Root};
use models::Models;
use tables::Tables;

/// What a session keeps. Cheap to clone; clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    models: Models,
    transforms: Folder,
    views: Folder,
    tables: Tables,
    /// Held as long as the store, so that nobody clears away what we are writing.
    root: Option<Root>,
}

impl Store {
    /// Opens a directory, made if it is not there; without one everything is gone with the store.
    pub fn open(dir: Option<PathBuf>) -> Result<Self> {
        let Some(dir) = dir else {
            return Ok(Self::default());
        };
        let root = Root::open(dir)?;
        let inner = Inner {
            models: Models::on_disk(root.folder("models", "safetensors")?),
            transforms: root.folder("transforms", "arrow")?,
            views: root.folder("views", "sql")?,
            tables: Tables::on_disk(root.directory("tables")?)?,
            root: Some(root.share()),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whether what is put here is still there when the directory is opened again.
    pub fn persists(&self) -> bool {
        self.inner.root.is_some()
    }

    /// Keeps a model, in place of one of the same name if there is one.
    pub fn put_model(&self, name: &str, model: Arc<dyn Model>) -> Result<()> {
        self.inner.models.put(name, model)
    }

    /// The model of a name, or an error that says what there is.
    pub fn model(&self, name: &str) -> Result<Arc<dyn Model>> {
        match self.inner.models.get(name)? {
            Some(model) => Ok(model),
            None => unknown("model", name, &self.model_names()),
        }
    }

    /// The names of all models, sorted.
    pub fn model_names(&self) -> Vec<String> {
        self.inner.models.names()
    }

    /// Forgets a model; an unknown one is an error unless `if_exists`.
    pub fn drop_model(&self, name: &str, if_exists: bool) -> Result<()> {
        if self.inner.models.remove(name)? || if_exists {
            return Ok(());
        }
        unknown("model", name, &self.model_names())
    }

    /// Keeps a transform, in place of one of the same name if there is one.
    pub fn put_transform(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.inner.transforms.write(name, bytes)
    }

    /// The transform of a name, or an error that says what there is.
    pub fn transform(&self, name: &str) -> Result<Arc<Vec<u8>>> {
        match self.inner.transforms.read(name)? {
            Some(bytes) => Ok(bytes),
            None => unknown("transform", name, &self.transform_names()),
        }
    }

    /// The names of all transforms, sorted.
    pub fn transform_names(&self) -> Vec<String> {
        self.inner.transforms.names()
    }

    /// Forgets a transform; an unknown one is an error unless `if_exists`.
    pub fn drop_transform(&self, name: &str, if_exists: bool) -> Result<()> {
        if self.inner.transforms.remove(name)? || if_exists {
            return Ok(());
        }
        unknown("transform", name, &self.transform_names())
    }

    /// Keeps a view's statement, in place of one of the same name if there is one.
    pub fn put_view(&self, name: &str, sql: &str) -> Result<()> {
        self.inner.views.write(name, sql.as_bytes().to_vec())
    }

    /// Forgets a view, if there is one.
    pub fn drop_view(&self, name: &str) -> Result<()> {
        self.inner.views.remove(name).map(|_| ())
    }

    /// All views with their statements, sorted by name.
    pub fn views(&self) -> Result<Vec<(String, String)>> {
        let mut views = Vec::new();
        for name in self.inner.views.names() {
            // gone between the listing and now: dropped by another session
            let Some(bytes) = self.inner.views.read(&name)? else {
                continue;
            };
            match String::from_utf8(bytes.to_vec()) {
                Ok(sql) => views.push((name, sql)),
                Err(_) => {
                    return exec_err!(
                        "the stored view {name} is not UTF-8 text; replace or delete its file in {}",
                        self.inner.views.place()
                    );
                }
            }
        }
        Ok(views)
    }

    /// Makes a table of the rows of some partitions, in place of one of the same name if there is one;
    /// gives it and its number of rows. On disk the table is there only when all rows are.
    pub fn create_table(
        &self,
        name: String,
        streams: Vec<SendableRecordBatchStream>,
        schema: SchemaRef,
        task: Arc<TaskContext>,
    ) -> BoxFuture<'static, Result<(Arc<dyn TableProvider>, u64)>> {
        self.inner.tables.create(name, streams, schema, task)
    }

    /// The tables on disk, sorted by name; those in memory are known to the catalog alone.
    pub fn tables(&self) -> Result<Vec<(String, Arc<dyn TableProvider>)>> {
        self.inner.tables.all()
    }

    /// Forgets a table, if there is one.
    pub fn drop_table(&self, name: &str) -> Result<()> {
        self.inner.tables.remove(name)
    }
}

impl ModelSink for Store {
    fn exists(&self, name: &str) -> bool {
        self.inner.models.contains(name)
    }

    fn model(&self, name: &str) -> Result<Arc<dyn Model>> {
        self.model(name)
    }

    fn register(&self, name: &str, model: Arc<dyn Model>) -> Result<()> {
        self.put_model(name, model)
    }
}

/// The error for a name that nothing has.
fn unknown<T>(what: &str, name: &str, names: &[String]) -> Result<T> {
    let list = format!("SHOW {}S", what.to_uppercase());
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => exec_err!(
            "there is no {what} {name}; did you mean {near}? {list} lists those there are"
        ),
        None if names.is_empty() => exec_err!(
            "there is no {what} {name}, and no other: CREATE {} makes one",
            what.to_uppercase()
        ),
        None => exec_err!("there is no {what} {name}; {list} lists those there are"),
    }
}

#[cfg(test)]
mod tests;
