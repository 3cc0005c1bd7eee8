//! Sinks: what `COPY ... TO` writes for a training loop, beside Parquet, CSV, JSON and Arrow.
//!
//! A format is one file here: what becomes of a batch, on any thread that is free, and how that is put into files,
//! one batch after the other. `sink` runs all of them; files get their names only when they are complete.

mod appended;
mod array;
mod images;
mod json;
mod npy;
mod npz;
mod options;
mod pictures;
mod png;
mod shards;
mod sink;
mod staging;
mod tfrecord;
mod webdataset;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{GetExt, Result, Statistics, not_impl_err, plan_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory, file_type_to_format};
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileSinkConfig, FileSource, JsonSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use object_store::{ObjectMeta, ObjectStore};

use crate::load::did_you_mean;
use options::Options;

pub use json::as_json;
pub use staging::Staging;

/// A kind of files that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Images,
    Npy,
    Npz,
    Png,
    TfRecord,
    WebDataset,
}

/// What DataFusion itself writes.
const THEIRS: [&str; 4] = ["parquet", "csv", "json", "arrow"];

impl Kind {
    const ALL: [Self; 6] = [
        Self::Npy,
        Self::Npz,
        Self::TfRecord,
        Self::WebDataset,
        Self::Images,
        Self::Png,
    ];

    /// What stands behind STORED AS.
    fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Png => "png",
            Self::TfRecord => "tfrecord",
            Self::WebDataset => "webdataset",
        }
    }

    /// Endings of paths that call for it, beside its name.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::TfRecord => &["tfrecords"],
            Self::WebDataset => &["tar"],
            _ => &[],
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Npy | Self::Png => &[],
            Self::Npz => &["compress"],
            Self::TfRecord => &["shards", "shard_rows"],
            Self::WebDataset => &["key", "label", "shards", "shard_rows"],
            Self::Images => &["key", "label", "overwrite"],
        }
    }
}

/// All formats that are ours, to be registered in a session.
pub fn formats() -> impl Iterator<Item = Arc<dyn FileFormatFactory>> {
    Kind::ALL.into_iter().flat_map(|kind| {
        let names = std::iter::once(kind.name()).chain(kind.endings().iter().copied());
        names.map(move |name| Arc::new(Factory { kind, name }) as Arc<dyn FileFormatFactory>)
    })
}

/// Whether a COPY writes one of our formats: those see to it themselves that files are whole.
pub fn is_ours(copy: &CopyTo) -> bool {
    file_type_to_format(&copy.file_type).is_ok_and(|factory| factory.is::<Factory>())
}

/// An error if a COPY names no format that there is. DataFusion takes an unknown one for none, and goes by the path.
pub fn check(ctx: &SessionContext, statement: &Statement) -> Result<()> {
    let copy = match statement {
        Statement::Explain(explain) => return check(ctx, &explain.statement),
        Statement::CopyTo(copy) => copy,
        _ => return Ok(()),
    };
    let state = ctx.state_ref();
    let state = state.read();
    // that one is read alone
    let written = |name: &str| !name.eq_ignore_ascii_case("avro");
    let known = |name: &str| written(name) && state.get_file_format_factory(name).is_some();
    let names = || THEIRS.into_iter().chain(Kind::ALL.map(Kind::name));
    let formats = || names().collect::<Vec<_>>().join(", ");
    let target = &copy.target;
    let ending = Path::new(target).extension().and_then(|e| e.to_str());
    match (copy.stored_as.as_deref(), ending) {
        (Some(name), _) | (None, Some(name)) if known(name) => Ok(()),
        (Some(name), _) => {
            let name = name.to_lowercase();
            plan_err!(
                "COPY: there is no format '{name}'{} The formats are {}",
                did_you_mean(&name, names()),
                formats()
            )
        }
        (None, Some(ending)) => plan_err!(
            "COPY: no format has files that end with '.{ending}'{} Write the format behind the path, as in COPY ... TO \
             '{target}' STORED AS csv. The formats are {}",
            did_you_mean(ending, names()),
            formats()
        ),
        (None, None) => plan_err!(
            "COPY: '{target}' has no ending that tells the format. Write it behind the path, as in COPY ... TO \
             '{target}' STORED AS parquet. The formats are {}",
            formats()
        ),
    }
}

/// A format under one of its names.
#[derive(Debug)]
struct Factory {
    kind: Kind,
    name: &'static str,
}

impl GetExt for Factory {
    fn get_ext(&self) -> String {
        self.name.to_string()
    }
}

impl FileFormatFactory for Factory {
    fn create(
        &self,
        _: &dyn Session,
        given: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        let options = Options::new(self.kind.name(), self.kind.options(), given)?;
        let kind = self.kind;
        Ok(Arc::new(Export { kind, options }))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(Export {
            kind: self.kind,
            options: Options::none(self.kind.name()),
        })
    }
}

/// A format with its options.
#[derive(Debug)]
struct Export {
    kind: Kind,
    options: Options,
}

impl Export {
    /// The local path of a COPY.
    fn target(&self, config: &FileSinkConfig) -> Result<PathBuf> {
        let name = self.kind.name();
        if !config.table_partition_cols.is_empty() {
            return plan_err!(
                "{name}: PARTITIONED BY is not for this format. Write a COPY for each part, with WHERE"
            );
        }
        let url = &config.original_url;
        let path = url.strip_prefix("file://").unwrap_or(url);
        if path.contains("://") {
            return plan_err!(
                "{name}: '{url}' is not a local path. Write to one, and copy from there"
            );
        }
        Ok(PathBuf::from(path))
    }

    fn writer(
        &self,
        input: Arc<dyn ExecutionPlan>,
        config: &FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let target = self.target(config)?;
        let schema = input.schema();
        let options = &self.options;
        Ok(match self.kind {
            Kind::Images => {
                sink::plan(images::Folder::new(&schema, options)?, target, input, order)
            }
            Kind::Npy => sink::plan(npy::Npy::new(&schema)?, target, input, order),
            Kind::Npz => sink::plan(npz::Npz::new(&schema, options)?, target, input, order),
            Kind::Png => sink::plan(png::Png::new(&schema)?, target, input, order),
            Kind::TfRecord => {
                let format = tfrecord::TfRecord::new(&schema, options)?;
                sink::plan(format, target, input, order)
            }
            Kind::WebDataset => {
                let format = webdataset::WebDataset::new(&schema, options)?;
                sink::plan(format, target, input, order)
            }
        })
    }

    /// What is asked of a format that is only written.
    fn unread<T>(&self) -> Result<T> {
        not_impl_err!(
            "{} is written by COPY; what is read has functions, such as read_npy and read_images",
            self.kind.name()
        )
    }
}

#[async_trait]
impl FileFormat for Export {
    fn get_ext(&self) -> String {
        self.kind.name().to_string()
    }

    fn get_ext_with_compression(&self, _: &FileCompressionType) -> Result<String> {
        Ok(self.get_ext())
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        self.unread()
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        self.unread()
    }

    async fn create_physical_plan(
        &self,
        _: &dyn Session,
        _: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.unread()
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        _: &dyn Session,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.writer(input, &config, order)
    }

    /// The trait wants one; it is not asked for rows, since no table has this format.
    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(JsonSource::new(schema))
    }
}
