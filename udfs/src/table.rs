//! Functions of a whole table: a kernel takes all rows, in whatever order they come, and then gives rows.
//!
//! What is given depends on the set of rows alone, never on their order or on how they were batched.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion_common::{Result, exec_err, plan_err, resources_err};

use crate::spec::Spec;

/// A function of a whole table with its options and the columns it is to find.
pub trait TableFunction: Debug + Send + Sync + 'static {
    /// The name it is called by.
    fn name(&self) -> &'static str;

    /// All that makes it differ from another call of the same name, for people and to tell them apart.
    fn describe(&self) -> String;

    /// The columns it gives.
    fn schema(&self) -> SchemaRef;

    /// A kernel that has seen nothing.
    fn kernel(&self) -> Result<Box<dyn TableKernel>>;
}

/// What a run gives.
pub type Rows = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// One run of a [`TableFunction`].
pub trait TableKernel: Send {
    /// Takes rows.
    fn push(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Bytes held.
    fn size(&self) -> usize;

    /// Computes, after the last row; the host's memory covers [`Self::size`].
    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows>;
}

/// What a kernel runs on.
pub trait Host: Send {
    /// Sets how many bytes the run holds in all; an error if they are not to be had.
    fn resize(&mut self, bytes: usize) -> Result<()>;

    /// How many threads may work at once, at least one.
    fn threads(&self) -> usize;

    /// Whether anyone still waits for the result.
    fn stop(&self) -> Arc<Stop>;
}

/// Whether a run was cancelled.
#[derive(Debug, Default)]
pub struct Stop(std::sync::atomic::AtomicBool);

impl Stop {
    /// Cancels the run.
    pub fn set(&self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// An error if the run was cancelled.
    pub fn check(&self) -> Result<()> {
        if self.0.load(std::sync::atomic::Ordering::Relaxed) {
            return exec_err!("cancelled");
        }
        Ok(())
    }
}

/// Calls `f` with each item, on so many threads at once; the results come in the order of the items.
pub fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    threads: usize,
    f: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.into_iter().map(f).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while let Some((at, item)) = next() {
            done.push((at, f(item)?));
        }
        Ok(done)
    };
    let parts: Vec<Result<Vec<(usize, R)>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .map(|h| h.join().unwrap_or_else(|_| exec_err!("a thread broke off")))
            .collect()
    });
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    all.sort_unstable_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, r)| r).collect())
}

/// All rows of a table.
#[derive(Debug, Default)]
pub struct Whole {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Whole {
    /// Takes rows.
    pub fn push(&mut self, batch: &RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        self.bytes += bytes_of(batch);
        self.batches.push(batch.clone());
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// The rows in the order of what they hold, so that their places depend on nothing else; `None` if there
    /// are none.
    pub fn in_order(self, host: &mut dyn Host) -> Result<Option<RecordBatch>> {
        let Some(first) = self.batches.first() else {
            return Ok(None);
        };
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        if u32::try_from(rows).is_err() {
            return resources_err!("{rows} rows are too many to be held at once");
        }
        // the rows as they came, one after another, as keys to sort by, and in order
        host.resize(4 * self.bytes + 40 * rows)?;
        let schema = first.schema();
        let all = concat_batches(&schema, &self.batches)?;
        drop(self.batches);
        let fields = schema.fields().iter();
        let fields = fields.map(|f| SortField::new(f.data_type().clone()));
        let keys = RowConverter::new(fields.collect())?.convert_columns(all.columns())?;
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_unstable_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        drop(keys);
        let ordered = take_record_batch(&all, &UInt32Array::from(order))?;
        drop(all);
        host.resize(ordered.get_array_memory_size())?;
        Ok(Some(ordered))
    }

    /// An error if rows with columns of a type cannot be put in order.
    pub fn check_type(spec: &Spec, column: &str, data_type: &DataType) -> Result<()> {
        if RowConverter::supports_fields(&[SortField::new(data_type.clone())]) {
            return Ok(());
        }
        plan_err!(
            "{0}: rows cannot be put in order by {column}, which is a {data_type}. Leave it out: {0}((SELECT * EXCEPT ({column}) FROM ...), ...)",
            spec.name
        )
    }
}

/// What the rows of a batch take; the buffers they lie in may be larger, and shared with other batches.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|c| {
            let data = c.to_data();
            let beside = c
                .as_string_view_opt()
                .map_or(0, |texts| texts.total_buffer_bytes_used());
            let slice = data.get_slice_memory_size();
            slice.map_or_else(|_| data.get_array_memory_size(), |slice| slice + beside)
        })
        .sum()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A host that gives all memory asked for.
    #[derive(Debug, Default)]
    pub struct Free(Arc<Stop>);

    impl Host for Free {
        fn resize(&mut self, _: usize) -> Result<()> {
            Ok(())
        }

        fn threads(&self) -> usize {
            2
        }

        fn stop(&self) -> Arc<Stop> {
            Arc::clone(&self.0)
        }
    }

    /// What a function gives of batches.
    pub fn run(function: &dyn TableFunction, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let mut kernel = function.kernel()?;
        for batch in batches {
            kernel.push(batch)?;
        }
        let rows = kernel
            .finish(&mut Free::default())?
            .collect::<Result<Vec<_>>>()?;
        Ok(arrow::compute::concat_batches(&function.schema(), &rows)?)
    }

    /// What a function gives of a batch, which must be the same for any batches and order of rows.
    pub fn run_any_way(function: &dyn TableFunction, batch: &RecordBatch) -> RecordBatch {
        let whole = run(function, std::slice::from_ref(batch)).unwrap();
        let mut pieces: Vec<RecordBatch> = (0..batch.num_rows())
            .step_by(7)
            .map(|from| batch.slice(from, 7.min(batch.num_rows() - from)))
            .collect();
        assert_eq!(run(function, &pieces).unwrap().num_rows(), whole.num_rows());
        pieces.reverse();
        let other = run(function, &pieces).unwrap();
        assert_eq!(sorted(&whole), sorted(&other));
        whole
    }

    /// The rows as texts, in order.
    pub fn sorted(batch: &RecordBatch) -> Vec<String> {
        let options = arrow::util::display::FormatOptions::new().with_null("NULL");
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &options).unwrap())
            .collect();
        let mut rows: Vec<String> = (0..batch.num_rows())
            .map(|row| {
                let values: Vec<String> =
                    columns.iter().map(|c| c.value(row).to_string()).collect();
                values.join("|")
            })
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn parallel_keeps_the_order() {
        let doubled = in_parallel((0..100).collect(), 3, |x| Ok(2 * x)).unwrap();
        assert_eq!(doubled, (0..100).map(|x| 2 * x).collect::<Vec<_>>());
        assert!(in_parallel(vec![1, 2, 3], 2, |_| exec_err!("no") as Result<()>).is_err());
    }
}
