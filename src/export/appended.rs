//! A file that grows. It is open only while it is written to, so there may be more of them than can be open at once.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use datafusion::common::Result;

use super::staging::refused;

/// What is gathered in memory before it is written.
const BUFFER_BYTES: usize = 1 << 16;

#[derive(Debug)]
pub struct Appended {
    path: PathBuf,
    buffer: Vec<u8>,
}

impl Appended {
    pub fn new(path: PathBuf) -> Self {
        let buffer = Vec::new();
        Self { path, buffer }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let gathered = self.buffer.len() + bytes.len();
        if gathered <= BUFFER_BYTES {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        self.append(bytes)
    }

    /// Writes what is in memory, and frees it.
    pub fn flush(&mut self) -> Result<()> {
        self.append(&[])?;
        self.buffer = Vec::new();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let write = || -> io::Result<()> {
            let mut file = File::options().create(true).append(true).open(&self.path)?;
            file.write_all(&self.buffer)?;
            file.write_all(bytes)
        };
        write().map_err(refused(&self.path))?;
        self.buffer.clear();
        Ok(())
    }
}
