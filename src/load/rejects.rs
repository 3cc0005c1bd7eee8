//! What a load could not use. A rejected row or cell is never lost: it is kept here, with its place
//! and the reason, and counted even where it is one too many to keep.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, StringViewBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// Rows kept whole; beyond it they are only counted.
const KEPT_ROWS: usize = 10_000;
/// Bytes of a rejected text that are kept.
const KEPT_BYTES: usize = 1024;

/// One rejected row or cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub file: Arc<str>,
    /// The line it starts on, from 1.
    pub line: u64,
    /// The column's name; the whole row where there is none.
    pub column: Option<Arc<str>>,
    /// The text as it stands in the file.
    pub value: String,
    pub reason: Arc<str>,
}

/// A session's rejected rows. Cheap to clone; clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Rejects {
    inner: Arc<Mutex<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    rows: Vec<Reject>,
    /// Which of the kept rows are there already: a table read twice rejects the same rows twice.
    seen: HashSet<(Arc<str>, u64, Option<Arc<str>>)>,
    /// How many were rejected, by where they come from. A second reading of the same place counts
    /// the same ones again, so a count is never added to: it is raised to the larger one.
    counts: BTreeMap<Place, u64>,
}

/// A part of a file as one reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    file: Arc<str>,
    /// Tells apart readings of the same file by other rules.
    rules: u64,
    start: u64,
    column: Option<Arc<str>>,
}

impl Rejects {
    /// A place to write the rejects of one part of a file to.
    pub fn writer(&self, file: Arc<str>, rules: u64, start: u64) -> Writer {
        Writer {
            rejects: self.clone(),
            file,
            rules,
            start,
            counts: BTreeMap::new(),
        }
    }

    /// How many rows and cells were rejected, kept or not.
    pub fn count(&self) -> u64 {
        self.store().counts.values().sum()
    }

    /// How many by file and column, in that order.
    pub fn summary(&self) -> Vec<(Arc<str>, Option<Arc<str>>, u64)> {
        let mut sums: BTreeMap<(Arc<str>, Option<Arc<str>>), u64> = BTreeMap::new();
        for (place, count) in &self.store().counts {
            *sums
                .entry((Arc::clone(&place.file), place.column.clone()))
                .or_default() += count;
        }
        sums.into_iter().map(|((f, c), n)| (f, c, n)).collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.store() = Store::default();
    }

    /// The kept rows, by file and line.
    pub fn rows(&self) -> Vec<Reject> {
        let mut rows = self.store().rows.clone();
        rows.sort_by(|a, b| (&a.file, a.line, &a.column).cmp(&(&b.file, b.line, &b.column)));
        rows
    }

    /// The table `rejects`: what is kept, by file and line, then a row for what is only counted.
    pub fn batch(&self) -> Result<RecordBatch> {
        let rows = self.rows();
        let left_out = self.count().saturating_sub(rows.len() as u64);
        let mut file = StringViewBuilder::new();
        let mut line = UInt64Builder::new();
        let mut column = StringViewBuilder::new();
        let mut value = StringViewBuilder::new();
        let mut reason = StringViewBuilder::new();
        for row in &rows {
            file.append_value(&row.file);
            line.append_value(row.line);
            column.append_option(row.column.as_deref());
            value.append_value(&row.value);
            reason.append_value(&row.reason);
        }
        if left_out > 0 {
            file.append_null();
            line.append_null();
            column.append_null();
            value.append_null();
            reason.append_value(format!(
                "{left_out} more were rejected; the first {} are kept",
                rows.len()
            ));
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(file.finish()),
            Arc::new(line.finish()),
            Arc::new(column.finish()),
            Arc::new(value.finish()),
            Arc::new(reason.finish()),
        ];
        Ok(RecordBatch::try_new(rejects_schema(), columns)?)
    }

    /// A table that shows the rejects as they are whenever it is read.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(RejectsTable {
            rejects: self.clone(),
            schema: rejects_schema(),
        })
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the rejects of one part of a file.
#[derive(Debug)]
pub struct Writer {
    rejects: Rejects,
    file: Arc<str>,
    rules: u64,
    start: u64,
    counts: BTreeMap<Option<Arc<str>>, u64>,
}

impl Writer {
    /// Keeps or counts one. `value` is made only when it is kept.
    pub fn add(
        &mut self,
        line: u64,
        column: Option<&Arc<str>>,
        reason: &Arc<str>,
        value: impl FnOnce() -> String,
    ) {
        let column = column.cloned();
        let count = self.counts.entry(column.clone()).or_default();
        *count += 1;
        let place = Place {
            file: Arc::clone(&self.file),
            rules: self.rules,
            start: self.start,
            column: column.clone(),
        };
        let mut store = self.rejects.store();
        let total = store.counts.entry(place).or_default();
        *total = (*total).max(*count);
        if store.rows.len() < KEPT_ROWS
            && store
                .seen
                .insert((Arc::clone(&self.file), line, column.clone()))
        {
            let value = shortened(value());
            store.rows.push(Reject {
                file: Arc::clone(&self.file),
                line,
                column,
                value,
                reason: Arc::clone(reason),
            });
        }
    }
}

/// A text cut to what is worth keeping.
pub fn shortened(mut text: String) -> String {
    if text.len() > KEPT_BYTES {
        let mut end = KEPT_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

fn rejects_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("file", DataType::Utf8View, true),
        Field::new("line", DataType::UInt64, true),
        Field::new("column", DataType::Utf8View, true),
        Field::new("value", DataType::Utf8View, true),
        Field::new("reason", DataType::Utf8View, true),
    ]))
}

#[derive(Debug)]
struct RejectsTable {
    rejects: Rejects,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for RejectsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let now = MemTable::try_new(self.schema(), vec![vec![self.rejects.batch()?]])?;
        now.scan(state, projection, filters, limit).await
    }
}
