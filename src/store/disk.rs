//! Tables on disk: a directory of Parquet files each.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{
    Result, SchemaExt, exec_datafusion_err, exec_err, internal_err, not_impl_err, plan_err,
};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::cache::TableScopedPath;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use futures::{FutureExt, TryStreamExt};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tempfile::{TempDir, TempPath};

use super::folder::{
    Directory, TEMPORARY, cannot, check_length, clear_temporaries, decode, encode, entries,
    remove_any, sync_directory, temporary_file,
};
use super::tables::{conform, join_all};

/// The ending of a table that is being replaced; one without its successor is put back.
const REPLACED: &str = "old";

/// A row group is written out when it has grown to this, whatever its number of rows.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// The tables of a directory.
#[derive(Debug)]
pub(super) struct Tables {
    dir: PathBuf,
    /// One directory is moved at a time.
    moving: Mutex<()>,
}

impl Tables {
    pub(super) fn open(dir: Directory) -> Result<Self> {
        if dir.alone {
            for path in entries(&dir.path)? {
                if path.extension() != Some(OsStr::new(REPLACED)) {
                    continue;
                }
                // a crash between the two renames of a replacement
                let place = path.with_extension("");
                if place.exists() {
                    remove_any(&path)?;
                } else {
                    fs::rename(&path, &place).map_err(|error| cannot("write", &place, &error))?;
                }
            }
            for path in entries(&dir.path)? {
                if path.is_dir() {
                    clear_temporaries(&path)?;
                }
            }
        }
        Ok(Self {
            dir: dir.path,
            moving: Mutex::default(),
        })
    }

    /// Writes the partitions side by side, a file each, and puts the whole in place.
    pub(super) async fn create(
        self: Arc<Self>,
        name: String,
        streams: Vec<SendableRecordBatchStream>,
        schema: SchemaRef,
        task: Arc<TaskContext>,
    ) -> Result<(Arc<dyn TableProvider>, u64)> {
        check_length(&name)?;
        check_types(&name, &schema)?;
        // removes itself when the statement fails or is cancelled
        let temporary = tempfile::Builder::new()
            .suffix(&format!(".{TEMPORARY}"))
            .tempdir_in(&self.dir)
            .map_err(|error| cannot("write", &self.dir, &error))?;
        let writing = streams.into_iter().enumerate().map(|(index, stream)| {
            let reservation = MemoryConsumer::new(format!("CREATE TABLE {name}[{index}]"))
                .register(task.memory_pool());
            let path = temporary.path().join(part(index));
            let open = move || create_file(&path);
            write(stream, open, Arc::clone(&schema), reservation).boxed()
        });
        let rows = join_all(writing).await?.iter().sum();
        let place = self.dir.join(encode(&name));
        let tables = Arc::clone(&self);
        let goal = place.clone();
        let columns = Arc::clone(&schema);
        blocking(move || {
            if entries(temporary.path())?.is_empty() {
                // the file that tells the columns
                let file = create_file(&temporary.path().join(part(0)))?;
                finish(writer(file, columns)?)?;
            }
            tables.put(temporary, &goal)
        })
        .await?;
        let table = DiskTable::open(name, place, schema)?;
        table.forget_listing(&task);
        Ok((Arc::new(table), rows))
    }

    /// Moves a finished directory to its place; a table there makes room.
    fn put(&self, temporary: TempDir, place: &Path) -> Result<()> {
        share(temporary.path()).map_err(|error| cannot("write", temporary.path(), &error))?;
        sync_directory(temporary.path()).map_err(|error| cannot("write", place, &error))?;
        let replaced = place.with_extension(REPLACED);
        let _moving = self.moving.lock();
        let replaces = place.exists();
        if replaces {
            remove_any(&replaced)?;
            fs::rename(place, &replaced).map_err(|error| cannot("replace", place, &error))?;
        }
        if let Err(error) = fs::rename(temporary.path(), place) {
            if replaces {
                // back as it was; should that fail too, the next opening does it
                let _ = fs::rename(&replaced, place);
            }
            return Err(cannot("write", place, &error));
        }
        // it has moved: nothing is left to remove
        let _ = temporary.keep();
        sync_directory(&self.dir).map_err(|error| cannot("write", &self.dir, &error))?;
        remove_any(&replaced)
    }

    pub(super) fn all(&self) -> Result<Vec<(String, Arc<dyn TableProvider>)>> {
        let mut tables = Vec::new();
        for path in entries(&self.dir)? {
            let name = path.file_name().and_then(OsStr::to_str).and_then(decode);
            let Some(name) = name.filter(|_| path.is_dir()) else {
                continue;
            };
            let Some(schema) = schema(&path)? else {
                continue;
            };
            let table = DiskTable::open(name.clone(), path, schema)?;
            tables.push((name, Arc::new(table) as Arc<dyn TableProvider>));
        }
        tables.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(tables)
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let place = self.dir.join(encode(name));
        let _moving = self.moving.lock();
        if !place.exists() {
            return Ok(());
        }
        // moved out of the way first: a crash must not leave half a table
        let temporary = tempfile::Builder::new()
            .suffix(&format!(".{TEMPORARY}"))
            .tempdir_in(&self.dir)
            .map_err(|error| cannot("write", &self.dir, &error))?;
        fs::rename(&place, temporary.path().join("table"))
            .map_err(|error| cannot("delete", &place, &error))?;
        sync_directory(&self.dir).map_err(|error| cannot("write", &self.dir, &error))?;
        temporary
            .close()
            .map_err(|error| cannot("delete", &place, &error))
    }
}

/// Refuses columns that no Parquet file can hold, before anything is computed.
fn check_types(table: &str, schema: &Schema) -> Result<()> {
    for field in schema.fields() {
        if let Some(unfit) = not_for_parquet(field.data_type()) {
            return plan_err!(
                "column {} of table {table} has the type {unfit}, which a Parquet file cannot hold; \
                 write CAST({} AS VARCHAR), or leave it out",
                field.name(),
                field.name()
            );
        }
    }
    Ok(())
}

/// The part of a type that Parquet has nothing for.
fn not_for_parquet(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano) => Some(data_type),
        DataType::Struct(fields) if fields.is_empty() => Some(data_type),
        DataType::Struct(fields) => fields
            .iter()
            .find_map(|field| not_for_parquet(field.data_type())),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => not_for_parquet(field.data_type()),
        DataType::Dictionary(_, value) => not_for_parquet(value),
        _ => None,
    }
}

/// Runs file work off the async workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => exec_err!("the session ended while a table was being written"),
    }
}

/// Lets others read a directory that was made private.
#[cfg(unix)]
fn share(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // as the directory it goes to
    let parent = dir.parent().unwrap_or(dir);
    let mode = fs::metadata(parent)?.permissions().mode();
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn share(_dir: &Path) -> std::io::Result<()> {
    Ok(())
}

type Writer = ArrowWriter<BufWriter<File>>;

/// The name of a table's file.
fn part(index: usize) -> String {
    format!("part-{index:05}.parquet")
}

fn create_file(path: &Path) -> Result<File> {
    File::create_new(path).map_err(|error| cannot("write", path, &error))
}

fn writer(file: File, schema: SchemaRef) -> Result<Writer> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    Ok(ArrowWriter::try_new(
        BufWriter::new(file),
        schema,
        Some(properties),
    )?)
}

/// Writes what is left, down to the disk.
fn finish(writer: Writer) -> Result<()> {
    let file = writer.into_inner()?;
    let file = file
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(())
}

/// Writes a stream to a file, which is not opened for one without rows; gives the number of rows.
async fn write(
    mut stream: SendableRecordBatchStream,
    open: impl FnOnce() -> Result<File>,
    schema: SchemaRef,
    reservation: MemoryReservation,
) -> Result<u64> {
    let mut rows = 0;
    let mut open = Some(open);
    let mut file = None;
    while let Some(batch) = stream.try_next().await? {
        if batch.num_rows() == 0 {
            continue;
        }
        if let Some(open) = open.take() {
            file = Some(writer(open()?, Arc::clone(&schema))?);
        }
        let Some(file) = &mut file else {
            return internal_err!("the file of a table was not opened");
        };
        rows += batch.num_rows() as u64;
        file.write(&conform(batch, &schema)?)?;
        if reservation.try_resize(file.memory_size()).is_err() {
            // a smaller row group rather than no table
            file.flush()?;
            reservation.try_resize(file.memory_size())?;
        }
    }
    if let Some(file) = file {
        blocking(move || finish(file)).await?;
    }
    Ok(rows)
}

/// The columns of a table, as one of its files tells them; none where there is no file.
fn schema(dir: &Path) -> Result<Option<SchemaRef>> {
    let mut files = entries(dir)?;
    files.retain(|path| path.extension() == Some(OsStr::new("parquet")));
    let Some(path) = files.into_iter().min() else {
        return Ok(None);
    };
    let file = File::open(&path).map_err(|error| cannot("read", &path, &error))?;
    let metadata =
        ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|error| {
            exec_datafusion_err!(
                "{} is not a readable Parquet file: {error}; move it away and open again",
                path.display()
            )
        })?;
    Ok(Some(Arc::clone(metadata.schema())))
}

/// A directory as a URL: given as a path, some characters in it would be taken for a pattern.
fn url(dir: &Path) -> Result<ListingTableUrl> {
    let Some(path) = dir.to_str() else {
        return exec_err!(
            "the path {} is not UTF-8; open a directory whose path is, with --db DIR",
            dir.display()
        );
    };
    let path: Vec<String> = path.split(std::path::MAIN_SEPARATOR).map(encode).collect();
    ListingTableUrl::parse(format!("file://{}/", path.join("/")))
}

/// A table's files as DataFusion reads them, with a way of our own to add to them.
#[derive(Debug)]
struct DiskTable {
    name: String,
    dir: PathBuf,
    files: ListingTable,
}

impl DiskTable {
    fn open(name: String, dir: PathBuf, schema: SchemaRef) -> Result<Self> {
        let options =
            ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
        let config = ListingTableConfig::new(url(&dir)?)
            .with_listing_options(options)
            .with_schema(schema);
        Ok(Self {
            name,
            dir,
            files: ListingTable::try_new(config)?,
        })
    }

    /// To be called when files have come or gone.
    fn forget_listing(&self, task: &TaskContext) {
        for url in self.files.table_paths() {
            forget_listing(url, task);
        }
    }
}

fn forget_listing(url: &ListingTableUrl, task: &TaskContext) {
    if let Some(cache) = task.runtime_env().cache_manager.get_list_files_cache() {
        let key = TableScopedPath {
            table: url.get_table_ref().clone(),
            path: url.prefix().clone(),
        };
        let _ = cache.remove(&key);
    }
}

#[async_trait]
impl TableProvider for DiskTable {
    fn schema(&self) -> SchemaRef {
        self.files.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.files.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.files.scan(state, projection, filters, limit).await
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.schema()
            .logically_equivalent_names_and_types(&input.schema())?;
        if insert_op != InsertOp::Append {
            return not_impl_err!(
                "{insert_op} into table {}; write CREATE OR REPLACE TABLE {} AS ... instead",
                self.name,
                self.name
            );
        }
        let sink = DiskSink {
            name: self.name.clone(),
            dir: self.dir.clone(),
            urls: self.files.table_paths().clone(),
            schema: self.schema(),
        };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }
}

/// Adds a file to a table, whole or not at all, after those there are.
#[derive(Debug)]
struct DiskSink {
    name: String,
    dir: PathBuf,
    urls: Vec<ListingTableUrl>,
    schema: SchemaRef,
}

impl DisplayAs for DiskSink {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "table={}", self.name)
    }
}

#[async_trait]
impl DataSink for DiskSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(
        &self,
        data: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let (file, temporary) = temporary_file(&self.dir)
            .map_err(|error| cannot("write", &self.dir, &error))?
            .into_parts();
        let reservation = MemoryConsumer::new(format!("INSERT INTO {}", self.name))
            .register(context.memory_pool());
        let rows = write(data, || Ok(file), Arc::clone(&self.schema), reservation).await?;
        if rows > 0 {
            let dir = self.dir.clone();
            blocking(move || append(temporary, &dir)).await?;
            for url in &self.urls {
                forget_listing(url, context);
            }
        }
        Ok(rows)
    }
}

/// Gives a finished file the next name of a table's files.
fn append(mut temporary: TempPath, dir: &Path) -> Result<()> {
    let last = entries(dir)?
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.strip_prefix("part-"))
        .filter_map(|rest| rest.strip_suffix(".parquet")?.parse::<usize>().ok())
        .max();
    let mut next = last.map_or(0, |last| last + 1);
    // another insert may have taken the name
    while let Err(error) = temporary.persist_noclobber(dir.join(part(next))) {
        if error.error.kind() != std::io::ErrorKind::AlreadyExists {
            return Err(cannot("write", dir, &error.error));
        }
        temporary = error.path;
        next += 1;
    }
    sync_directory(dir).map_err(|error| cannot("write", dir, &error))
}
