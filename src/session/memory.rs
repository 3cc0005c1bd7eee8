//! The memory that statements may use, which can be changed while they run.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use parking_lot::Mutex;

/// How much memory there is, in bytes. Clones are the same limit.
#[derive(Debug, Clone)]
pub struct Limit(Arc<AtomicUsize>);

impl Limit {
    /// A limit of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl PartialEq for Limit {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Limit {}

impl fmt::Display for Limit {
    /// As [`parse_size`] reads it; `none` for no limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            usize::MAX => f.write_str("none"),
            bytes if bytes.is_multiple_of(1_000_000_000) => {
                write!(f, "{}GB", bytes / 1_000_000_000)
            }
            bytes if bytes >= 1_000_000 => write!(f, "{}MB", bytes / 1_000_000),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

/// Shares memory as DataFusion's `FairSpillPool` does: who can go to disk gets an equal part of what the
/// others leave. Unlike that one's, its limit can change.
#[derive(Debug)]
pub struct Pool {
    limit: Limit,
    used: Mutex<Used>,
}

/// Bytes, by whether their users can go to disk.
#[derive(Debug, Default)]
struct Used {
    spillers: usize,
    spillable: usize,
    unspillable: usize,
}

impl Used {
    fn of(&mut self, reservation: &MemoryReservation) -> &mut usize {
        match reservation.consumer().can_spill() {
            true => &mut self.spillable,
            false => &mut self.unspillable,
        }
    }
}

impl Pool {
    /// A pool of nothing used yet.
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            used: Mutex::default(),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.limit)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "fair"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.used.lock().spillers += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            let mut used = self.used.lock();
            used.spillers = used.spillers.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.used.lock().of(reservation) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut used = self.used.lock();
        let used = used.of(reservation);
        *used = used.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut used = self.used.lock();
        let for_spillers = self.limit.bytes().saturating_sub(used.unspillable);
        let (available, wanted) = match reservation.consumer().can_spill() {
            true => (
                for_spillers / used.spillers.max(1),
                reservation.size().saturating_add(additional),
            ),
            false => (for_spillers.saturating_sub(used.spillable), additional),
        };
        if wanted > available {
            return Err(resources_datafusion_err!(
                "{} wants {additional} bytes more than its {}, and {} of the limit of {} are left for it",
                reservation.consumer().name(),
                reservation.size(),
                available.saturating_sub(wanted - additional),
                self.limit
            ));
        }
        *used.of(reservation) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used.lock();
        used.spillable + used.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit.bytes())
    }
}

/// Bytes, in decimal units as disks are sold by (`4GB`), or binary ones when written so (`4GiB`).
///
/// # Errors
/// If it is not a number and a unit, or less than a byte: says what to write.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let factor: f64 = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => {
            return Err(format!(
                "'{unit}' is not a unit: use KB, MB, GB, TB or KiB, MiB, GiB, TiB"
            ));
        }
    };
    let number: f64 = number
        .replace('_', "")
        .parse()
        .map_err(|_| "write a number and a unit, as 4GB or 512MiB".to_string())?;
    let bytes = (number * factor).round();
    if bytes < 1.0 {
        return Err("at least 1 byte is needed".to_string());
    }
    // A float beyond the range becomes the largest number there is: no limit, as was asked for.
    Ok(bytes as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shared_and_can_change() {
        let limit = Limit::new(1000);
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(limit.clone()));
        let table = MemoryConsumer::new("table").register(&pool);
        let sort = |name: &str| {
            MemoryConsumer::new(name)
                .with_can_spill(true)
                .register(&pool)
        };
        let (a, b) = (sort("a"), sort("b"));
        table.try_grow(400).unwrap();
        // 600 are left, 300 for each
        a.try_grow(300).unwrap();
        let error = a.try_grow(1).unwrap_err().to_string();
        assert!(
            error.contains("a wants 1 bytes more than its 300"),
            "{error}"
        );
        assert!(table.try_grow(301).is_err());
        assert_eq!(pool.reserved(), 700);
        limit.set(1400);
        a.try_grow(200).unwrap();
        limit.set(500);
        assert!(table.try_grow(1).is_err() && b.try_grow(51).is_err());
        drop(a);
        b.try_grow(100).unwrap();
        drop((table, b));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_limit_is_written_as_it_is_read() {
        for text in ["4GB", "1500MB", "999B"] {
            assert_eq!(Limit::new(parse_size(text).unwrap()).to_string(), text);
        }
        assert_eq!(Limit::default().to_string(), "none");
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4GB"), Ok(4_000_000_000));
        assert_eq!(parse_size("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(parse_size("512m"), Ok(512_000_000));
        assert_eq!(parse_size("100"), Ok(100));
        assert!(parse_size("4 parsecs").is_err());
        assert!(parse_size("GB").is_err());
        assert!(parse_size("0").is_err());
    }
}
