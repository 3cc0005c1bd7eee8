//! Tables on disk: a directory of Parquet files each.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::execution::cache::TableScopedPath;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::{FutureExt, TryStreamExt};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::folder::{
    Directory, TEMPORARY, cannot, check_length, decode, encode, entries, remove_any, sync_directory,
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
            // a crash between the two renames of a replacement
            for path in entries(&dir.path)? {
                if path.extension() != Some(OsStr::new(REPLACED)) {
                    continue;
                }
                let place = path.with_extension("");
                if place.exists() {
                    remove_any(&path)?;
                } else {
                    fs::rename(&path, &place).map_err(|error| cannot("write", &place, &error))?;
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
        // removes itself when the statement fails or is cancelled
        let temporary = tempfile::Builder::new()
            .suffix(&format!(".{TEMPORARY}"))
            .tempdir_in(&self.dir)
            .map_err(|error| cannot("write", &self.dir, &error))?;
        let writing = streams.into_iter().enumerate().map(|(index, stream)| {
            let reservation = MemoryConsumer::new(format!("CREATE TABLE {name}[{index}]"))
                .register(task.memory_pool());
            let path = temporary.path().join(format!("part-{index:05}.parquet"));
            write(stream, path, Arc::clone(&schema), reservation).boxed()
        });
        let rows = join_all(writing).await?.iter().sum();
        let place = self.dir.join(encode(&name));
        let tables = Arc::clone(&self);
        let goal = place.clone();
        let empty = Arc::clone(&schema);
        blocking(move || {
            if entries(temporary.path())?.is_empty() {
                // the file that tells the columns
                finish(writer(&temporary.path().join("part-00000.parquet"), empty)?)?;
            }
            tables.put(temporary, &goal)
        })
        .await?;
        let url = url(&place)?;
        if let Some(cache) = task.runtime_env().cache_manager.get_list_files_cache() {
            // the files of the table that was there before
            let key = TableScopedPath {
                table: None,
                path: url.prefix().clone(),
            };
            let _ = cache.remove(&key);
        }
        Ok((provider(url, schema)?, rows))
    }

    /// Moves a finished directory to its place; a table there makes room.
    fn put(&self, temporary: tempfile::TempDir, place: &Path) -> Result<()> {
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
            tables.push((name, provider(url(&path)?, schema)?));
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

fn writer(path: &Path, schema: SchemaRef) -> Result<Writer> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    let file = File::create_new(path).map_err(|error| cannot("write", path, &error))?;
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

/// Writes one partition, no file for one without rows; gives the number of rows.
async fn write(
    mut stream: SendableRecordBatchStream,
    path: PathBuf,
    schema: SchemaRef,
    reservation: MemoryReservation,
) -> Result<u64> {
    let mut rows = 0;
    let mut file = None;
    while let Some(batch) = stream.try_next().await? {
        if batch.num_rows() == 0 {
            continue;
        }
        let file = match &mut file {
            Some(file) => file,
            None => file.insert(writer(&path, Arc::clone(&schema))?),
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

fn provider(url: ListingTableUrl, schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
    let config = ListingTableConfig::new(url)
        .with_listing_options(options.with_file_extension(".parquet"))
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}
