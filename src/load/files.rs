//! `read_parquet`, `read_arrow` and `read_avro`: DataFusion's own formats, over the files we found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue, Statistics, plan_datafusion_err, plan_err};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::LoadEnv;
use super::args::{Args, Param};
use super::hive::Hive;
use super::path::Reader;

const HIVE: Param = (
    "hive",
    "found out",
    "whether directories named key=value are columns",
);

/// What `read_parquet` takes beside the path.
pub const PARQUET_PARAMS: &[Param] = &[HIVE];
/// What `read_arrow` takes beside the path.
pub const ARROW_PARAMS: &[Param] = &[HIVE];
/// What `read_avro` takes beside the path.
pub const AVRO_PARAMS: &[Param] = &[HIVE];

/// Opens Parquet, Arrow or Avro files as one table.
pub fn open(
    reader: Reader,
    paths: Vec<PathBuf>,
    args: &[(String, ScalarValue)],
    env: &LoadEnv,
) -> Result<Arc<dyn TableProvider>> {
    let args = Args::new(reader.function(), super::params(reader), args)?;
    for path in &paths {
        let found = Reader::by_content(path)?;
        if reader != Reader::Arrow && found != Some(reader) {
            let instead = match found {
                Some(other) => other.function(),
                None => "read_csv",
            };
            return plan_err!(
                "{}: '{1}' is not such a file; perhaps write {instead}('{1}')",
                reader.function(),
                path.display()
            );
        }
    }
    let format: Arc<dyn FileFormat> = match reader {
        Reader::Arrow => Arc::new(ArrowFormat),
        Reader::Avro => Arc::new(AvroFormat),
        _ => Arc::new(
            ParquetFormat::default().with_options(env.state.table_options().parquet.clone()),
        ),
    };
    let metas = paths
        .iter()
        .map(|path| meta(path))
        .collect::<Result<Vec<_>>>()?;
    let file_schema = {
        let (format, state, metas) = (Arc::clone(&format), env.state.clone(), metas.clone());
        let url = ObjectStoreUrl::local_filesystem();
        let store = env.state.runtime_env().object_store(&url)?;
        wait(Box::pin(async move {
            format.infer_schema(&state, &store, &metas).await
        }))?
        .map_err(|e| e.context(format!("reading '{}'", paths[0].display())))?
    };
    let hive = Hive::find(reader.function(), args.boolean("hive")?, &paths, |key| {
        file_schema.field_with_name(key).is_ok()
    })?;
    let partitions: Vec<FieldRef> = hive
        .columns
        .iter()
        .map(|(name, data_type)| Arc::new(Field::new(name, data_type.clone(), true)))
        .collect();
    let files = metas.into_iter().zip(hive.values).collect();
    let table_schema = TableSchema::builder(file_schema)
        .with_table_partition_cols(partitions)
        .build();
    let fields: Vec<FieldRef> = table_schema
        .file_schema()
        .fields()
        .iter()
        .chain(table_schema.table_partition_cols().iter())
        .map(Arc::clone)
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(
        fields,
        table_schema.file_schema().metadata().clone(),
    ));
    Ok(Arc::new(FilesTable {
        format,
        files,
        table_schema,
        schema,
    }))
}

/// What an object store knows of a local file.
fn meta(path: &Path) -> Result<ObjectMeta> {
    let failed = |e: &dyn std::fmt::Display| plan_datafusion_err!("'{}': {e}", path.display());
    let absolute = std::fs::canonicalize(path).map_err(|e| failed(&e))?;
    let metadata = std::fs::metadata(&absolute).map_err(|e| failed(&e))?;
    let modified = metadata
        .modified()
        .map_or(DateTime::UNIX_EPOCH, DateTime::from);
    Ok(ObjectMeta {
        location: object_store::path::Path::from_absolute_path(&absolute)
            .map_err(|e| failed(&e))?,
        last_modified: modified,
        size: metadata.len(),
        e_tag: None,
        version: None,
    })
}

/// Runs a future to its end from synchronous code, within a runtime or without.
fn wait<T: Send + 'static>(future: BoxFuture<'static, T>) -> Result<T> {
    if let Ok(handle) = Handle::try_current()
        && handle.runtime_flavor() == RuntimeFlavor::MultiThread
    {
        return Ok(tokio::task::block_in_place(|| handle.block_on(future)));
    }
    // A runtime with one thread cannot wait for itself.
    let done = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok::<_, std::io::Error>(runtime.block_on(future))
    })
    .join();
    match done {
        Ok(result) => Ok(result?),
        Err(_) => plan_err!("looking at the files failed"),
    }
}

/// Files of one of DataFusion's formats as a table.
#[derive(Debug)]
struct FilesTable {
    format: Arc<dyn FileFormat>,
    /// The files and the values of their Hive partitions.
    files: Vec<(ObjectMeta, Vec<ScalarValue>)>,
    table_schema: TableSchema,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let url = ObjectStoreUrl::local_filesystem();
        let store = state.runtime_env().object_store(&url)?;
        let mut files = Vec::with_capacity(self.files.len());
        let mut all = Vec::with_capacity(self.files.len());
        for (meta, values) in &self.files {
            let file_schema = Arc::clone(self.table_schema.file_schema());
            let statistics = self
                .format
                .infer_stats(state, &store, file_schema, meta)
                .await?;
            let statistics = Arc::new(statistics);
            files.push(
                PartitionedFile::new_from_meta(meta.clone())
                    .with_partition_values(values.clone())
                    .with_statistics(Arc::clone(&statistics)),
            );
            all.push(statistics);
        }
        let file_schema = self.table_schema.file_schema();
        let mut statistics =
            Statistics::try_merge_iter(all.iter().map(AsRef::as_ref), file_schema)?;
        let unknown = Statistics::new_unknown(&self.schema);
        statistics.column_statistics.extend(
            unknown
                .column_statistics
                .into_iter()
                .skip(file_schema.fields().len()),
        );
        let groups: Vec<FileGroup> =
            FileGroup::new(files).split_files(state.config().target_partitions().max(1));
        let source = self.format.file_source(self.table_schema.clone());
        let config = FileScanConfigBuilder::new(url, source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        self.format.create_physical_plan(state, config).await
    }
}
