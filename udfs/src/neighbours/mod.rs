//! Rows that are near each other: what SMOTE, Tomek links, edited nearest neighbours and the k-nearest-neighbours
//! imputation share.
//!
//! Rows are gathered ([`Gather`]), put in order by what they hold ([`Rows`]), and searched by an [`Index`]. A row's
//! rank in that order decides between neighbours at the same distance, so nothing depends on the order in which
//! rows arrive. Here are no plans and no streams: the engine hands over batches and takes arrays.
//!
//! Distances are nan-euclidean, as in scikit-learn: over the numbers that both rows have, scaled up to the number
//! of columns. NULL, NaN and the infinities are missing numbers; a NULL category is a category.

mod edit;
mod impute;
mod index;
mod rows;
mod synthetic;

pub use edit::{Classes, Editing, Editor, Rule};
pub use impute::{Imputer, Imputing};
pub use index::{Collect, Index, Nearest, Queries};
pub use rows::{Gather, Gathered, Rows, Shape, can_tell_apart};
pub use synthetic::{Borderline, Method, Oversampling, Synthetic, typed};

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion_common::{Result, exec_datafusion_err, exec_err};

/// Rows that are looked at between two looks at whether the query was cancelled.
const CHUNK: usize = 128;

/// What `f` gives for all of `0..n`, in order, computed on several threads a chunk at a time.
///
/// # Errors
/// Where `f` fails, and where `cancelled` is set.
fn in_parallel<T: Send>(
    n: usize,
    threads: usize,
    cancelled: &AtomicBool,
    f: impl Fn(Range<usize>, &mut Vec<T>) + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            let begin = chunk.saturating_mul(CHUNK);
            if begin >= n || cancelled.load(Ordering::Relaxed) {
                return done;
            }
            let mut out = Vec::new();
            f(begin..n.min(begin + CHUNK), &mut out);
            done.push((chunk, out));
        }
    };
    let threads = threads.clamp(1, n.div_ceil(CHUNK).max(1));
    let mut chunks = std::thread::scope(|scope| {
        let spawned: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut chunks = work();
        for thread in spawned {
            match thread.join() {
                Ok(more) => chunks.extend(more),
                Err(_) => return Err(exec_datafusion_err!("a search of neighbours broke off")),
            }
        }
        Ok(chunks)
    })?;
    stop_if(cancelled)?;
    chunks.sort_unstable_by_key(|(chunk, _)| *chunk);
    Ok(chunks.into_iter().flat_map(|(_, out)| out).collect())
}

fn stop_if(cancelled: &AtomicBool) -> Result<()> {
    if cancelled.load(Ordering::Relaxed) {
        return exec_err!("the search of neighbours was cancelled");
    }
    Ok(())
}

#[cfg(test)]
mod testing {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use datafusion_common::Result;

    use super::{Gather, Gathered, Shape};

    pub fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(values))
    }

    pub fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    pub fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }

    pub fn gathered(
        numbers: usize,
        categories: usize,
        label: bool,
        wanted: bool,
        columns: &[ArrayRef],
    ) -> Result<Gathered> {
        let shape = Shape {
            numbers,
            categories,
            label,
            wanted,
        };
        let mut gather = Gather::new(shape, true);
        gather.add(columns, columns.first().map_or(0, |c| c.len()))?;
        Gathered::new(shape, vec![gather])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_in_order_from_any_number_of_threads() -> Result<()> {
        let going = AtomicBool::new(false);
        for n in [0, 1, CHUNK, CHUNK + 1, 1000] {
            for threads in [0, 1, 3, 64] {
                let squares = in_parallel(n, threads, &going, |range, out| {
                    out.extend(range.map(|i| i * i));
                })?;
                assert_eq!(squares, (0..n).map(|i| i * i).collect::<Vec<_>>());
            }
        }
        let cancelled = AtomicBool::new(true);
        assert!(in_parallel(10, 2, &cancelled, |_, _: &mut Vec<u8>| ()).is_err());
        Ok(())
    }
}
