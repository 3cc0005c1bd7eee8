//! One file, or the rows dealt out to several.

use std::fs;
use std::path::PathBuf;

use datafusion::common::{Result, plan_err};

use super::appended::Appended;
use super::options::Options;
use super::staging::{Staging, above, refused};

/// How rows are dealt out.
#[derive(Debug, Clone, Copy)]
pub enum Shards {
    One,
    /// To so many files in turn.
    Number(u64),
    /// So many rows to a file, and then to the next.
    Rows(u64),
}

impl Shards {
    pub fn new(options: &Options) -> Result<Self> {
        let number = options.count("shards", 10_000)?;
        let rows = options.count("shard_rows", u64::MAX)?;
        match (number, rows) {
            (None, None) => Ok(Self::One),
            (Some(number), None) => Ok(Self::Number(number)),
            (None, Some(rows)) => Ok(Self::Rows(rows)),
            (Some(_), Some(_)) => plan_err!(
                "{}: options shards and shard_rows are two ways of saying the same. Write one of them",
                options.format()
            ),
        }
    }

    /// The number of a row's file.
    pub fn of(self, row: u64) -> usize {
        let shard = match self {
            Self::One => 0,
            Self::Number(n) => row % n,
            Self::Rows(rows) => row / rows,
        };
        usize::try_from(shard).unwrap_or(usize::MAX)
    }
}

/// Rows as bytes.
#[derive(Debug, Default)]
pub struct Records {
    pub first: u64,
    pub bytes: Vec<u8>,
    /// Where each row ends.
    pub ends: Vec<usize>,
}

/// How a shard is called, by its number and that of all: what stands between the name and its ending.
pub type Numbered = fn(usize, usize) -> String;

/// The files that are being written.
pub struct ShardFiles {
    shards: Shards,
    folder: PathBuf,
    files: Vec<Appended>,
}

impl ShardFiles {
    pub fn create(shards: Shards, staging: &Staging) -> Self {
        let mut files = Self {
            shards,
            folder: staging.named(""),
            files: Vec::new(),
        };
        files.make(match shards {
            Shards::Number(n) => usize::try_from(n).unwrap_or(usize::MAX),
            Shards::One | Shards::Rows(_) => 1,
        });
        files
    }

    fn make(&mut self, number: usize) {
        while self.files.len() < number {
            let path = self.folder.join(self.files.len().to_string());
            self.files.push(Appended::new(path));
        }
    }

    pub fn write(&mut self, records: &Records) -> Result<()> {
        let mut begin = 0;
        for (row, end) in (records.first..).zip(&records.ends) {
            let shard = self.shards.of(row);
            if shard >= self.files.len() {
                if let Some(last) = self.files.last_mut() {
                    last.flush()?;
                }
                self.make(shard + 1);
            }
            self.files[shard].write(&records.bytes[begin..*end])?;
            begin = *end;
        }
        Ok(())
    }

    /// Ends all files and names them. Those of an earlier COPY with other numbers are to go.
    pub fn finish(self, end: &[u8], numbered: Numbered, staging: &mut Staging) -> Result<()> {
        let all = self.files.len();
        let target = staging.target().to_path_buf();
        let stem = target.file_stem().unwrap_or_default().to_string_lossy();
        let ending = target
            .extension()
            .map(|e| format!(".{}", e.to_string_lossy()));
        let ending = ending.unwrap_or_default();
        let one = matches!(self.shards, Shards::One);
        for (i, mut shard) in self.files.into_iter().enumerate() {
            shard.write(end)?;
            shard.flush()?;
            let path = match one {
                true => staging.path(),
                false => staging.named(format!("{stem}-{}{ending}", numbered(i, all))),
            };
            fs::rename(shard.path(), path).map_err(refused(&target))?;
        }
        if one {
            return Ok(());
        }
        for entry in fs::read_dir(above(&target)).map_err(refused(&target))? {
            let path = entry.map_err(refused(&target))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix(&format!("{stem}-"));
            let number = number.and_then(|rest| rest.strip_suffix(&ending));
            if number.is_some_and(|number| is_number(number, numbered)) {
                staging.outdate(path);
            }
        }
        Ok(())
    }
}

/// Whether a text is the number of a shard.
fn is_number(text: &str, numbered: Numbered) -> bool {
    let numbers: Vec<Option<usize>> = text.split("-of-").map(|n| n.parse().ok()).collect();
    match numbers[..] {
        [Some(i)] => numbered(i, 0) == text,
        [Some(i), Some(all)] => numbered(i, all) == text,
        _ => false,
    }
}
