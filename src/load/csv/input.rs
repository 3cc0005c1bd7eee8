//! The bytes of one file in a buffer that slides over it, and where its records start.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};

use crate::load::source::{Source, read_full};
use crate::session::Progress;

use super::tokenize::{Dialect, PADDING, Records, Span, Want, tokenize};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// A line longer than this is no line of a table.
const LONGEST_LINE: usize = 256 << 20;

/// A sliding buffer over a file.
pub struct Input {
    reader: Box<dyn Read + Send>,
    name: Arc<str>,
    pub buffer: Vec<u8>,
    /// What is used up.
    pub at: usize,
    /// What is there.
    pub end: usize,
    /// Where the buffer's first byte is in the file.
    offset: u64,
    /// Whether the file ends where the buffer does.
    pub last: bool,
}

impl Input {
    pub fn open(source: &Source, offset: u64, progress: Option<Progress>) -> Result<Self> {
        Ok(Self {
            reader: source.read(offset, progress)?,
            name: Arc::clone(&source.name),
            buffer: vec![0; CHUNK + PADDING],
            at: 0,
            end: 0,
            offset,
            last: false,
        })
    }

    /// Bytes that are in memory already.
    pub fn of_bytes(name: Arc<str>, bytes: &[u8]) -> Self {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + PADDING, 0);
        Self {
            reader: Box::new(std::io::empty()),
            name,
            buffer,
            at: 0,
            end: bytes.len(),
            offset: 0,
            last: true,
        }
    }

    /// Where in the file what comes next is.
    pub fn position(&self) -> u64 {
        self.offset + self.at as u64
    }

    /// Reads more behind what is not used yet.
    pub fn fill(&mut self) -> Result<()> {
        if self.last {
            return Ok(());
        }
        self.buffer.copy_within(self.at..self.end, 0);
        self.offset += self.at as u64;
        self.end -= self.at;
        self.at = 0;
        if self.end * 2 > self.buffer.len() {
            if self.end > LONGEST_LINE {
                return exec_err!(
                    "'{}' has a line of more than {} MiB at byte {}: it is no table of text, or its quotes are not what quote => '...' says",
                    self.name,
                    LONGEST_LINE >> 20,
                    self.offset
                );
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = self.buffer.len() - PADDING;
        let n = read_full(&mut self.reader, &mut self.buffer[self.end..room])
            .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", self.name))?;
        self.last = self.end + n < room;
        self.end += n;
        Ok(())
    }

    /// Skips a byte order mark and some lines; gives how many lines.
    pub fn skip(&mut self, lines: u64, terminator: u8) -> Result<u64> {
        if self.end == self.at {
            self.fill()?;
        }
        if self.buffer[self.at..self.end].starts_with("\u{feff}".as_bytes()) {
            self.at += 3;
        }
        for skipped in 0..lines {
            loop {
                let rest = &self.buffer[self.at..self.end];
                if let Some(n) = rest.iter().position(|b| *b == terminator) {
                    self.at += n + 1;
                    break;
                }
                if self.last {
                    self.at = self.end;
                    return Ok(skipped);
                }
                self.fill()?;
            }
        }
        Ok(lines)
    }

    /// Cuts records that start before `stop`, up to `limit`. False when there are no more.
    pub fn records(
        &mut self,
        dialect: &Dialect,
        want: Want,
        stop: u64,
        limit: usize,
        out: &mut Records,
    ) -> Result<bool> {
        out.clear();
        loop {
            if self.position() >= stop {
                return Ok(false);
            }
            let within = usize::try_from(stop - self.offset).unwrap_or(usize::MAX);
            let span = Span {
                start: self.at,
                end: self.end,
                stop: within,
                last: self.last,
            };
            let to = tokenize(dialect, want, &self.buffer, span, limit, out);
            let moved = to > self.at;
            self.at = to;
            if out.records > 0 {
                return Ok(true);
            }
            if self.last && self.at >= self.end {
                return Ok(false);
            }
            if !moved || self.at >= self.end {
                // Lines without records have been passed: they count for the next call too.
                self.fill()?;
            }
        }
    }
}

/// Where a part of a file starts, and what is before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub offset: u64,
    pub lines: u64,
    /// Records, the header among them.
    pub records: u64,
}

/// A part of a file, counted.
#[derive(Debug, Clone, Copy)]
struct Count {
    from: u64,
    end: Start,
}

/// A file cut into parts that can be read at once.
///
/// Where a part really starts depends on the quotes before it. Each part is therefore counted from
/// the line after its nominal start, all at once; where the part before ends somewhere else, a
/// quoted line break was there, and the part is counted again from the right place. So the parts are
/// the same whatever the number of readers, and lines and records have their true numbers.
#[derive(Debug)]
pub struct Parts {
    source: Source,
    dialect: Dialect,
    skip_lines: u64,
    /// Where the parts nominally start.
    bounds: Vec<u64>,
    counts: Vec<OnceLock<Result<Count, Arc<DataFusionError>>>>,
    starts: Vec<OnceLock<Result<Start, Arc<DataFusionError>>>>,
}

impl Parts {
    /// `bounds` begins with 0.
    pub fn new(source: Source, dialect: Dialect, skip_lines: u64, bounds: Vec<u64>) -> Self {
        Self {
            source,
            dialect,
            skip_lines,
            counts: bounds.iter().map(|_| OnceLock::new()).collect(),
            starts: bounds.iter().map(|_| OnceLock::new()).collect(),
            bounds,
        }
    }

    pub fn len(&self) -> usize {
        self.bounds.len()
    }

    /// Where the records of a part stop to start.
    pub fn stop(&self, part: usize) -> u64 {
        self.bounds.get(part + 1).copied().unwrap_or(u64::MAX)
    }

    /// Where a part starts. Blocks until what is before it is counted, by others or here.
    pub fn start(&self, part: usize) -> Result<Start> {
        if part == 0 {
            return Ok(Start {
                offset: 0,
                lines: 0,
                records: 0,
            });
        }
        // Mine first, so that readers that begin at once share the work.
        if part < self.len() {
            self.count(part)?;
        }
        for before in 0..part {
            self.end(before)?;
        }
        self.end(part - 1)
    }

    /// The number of records of the whole file.
    pub fn total(&self) -> Result<u64> {
        Ok(self.start(self.len())?.records)
    }

    /// Where a part ends: `starts[part]` is the start of the part after it.
    fn end(&self, part: usize) -> Result<Start> {
        shared(self.starts[part].get_or_init(|| {
            let start = if part == 0 {
                Start {
                    offset: 0,
                    lines: 0,
                    records: 0,
                }
            } else {
                self.end(part - 1).map_err(Arc::new)?
            };
            let guess = self.count(part).map_err(Arc::new)?;
            let count = if guess.from == start.offset {
                guess
            } else {
                self.counted(part, start.offset).map_err(Arc::new)?
            };
            Ok(Start {
                offset: count.end.offset,
                lines: start.lines + count.end.lines,
                records: start.records + count.end.records,
            })
        }))
    }

    fn count(&self, part: usize) -> Result<Count> {
        shared(self.counts[part].get_or_init(|| {
            let from = if part == 0 {
                0
            } else {
                self.line_start(self.bounds[part]).map_err(Arc::new)?
            };
            self.counted(part, from).map_err(Arc::new)
        }))
    }

    /// The start of the first line at or after a byte.
    fn line_start(&self, at: u64) -> Result<u64> {
        let mut input = Input::open(&self.source, at - 1, None)?;
        loop {
            input.fill()?;
            let rest = &input.buffer[input.at..input.end];
            if let Some(n) = rest.iter().position(|b| *b == self.dialect.terminator) {
                return Ok(input.position() + n as u64 + 1);
            }
            input.at = input.end;
            if input.last {
                return Ok(input.position());
            }
        }
    }

    fn counted(&self, part: usize, from: u64) -> Result<Count> {
        let mut input = Input::open(&self.source, from, None)?;
        let mut lines = 0;
        if part == 0 {
            lines += input.skip(self.skip_lines, self.dialect.terminator)?;
        }
        let (mut out, mut records) = (Records::default(), 0);
        loop {
            let more = input.records(
                &self.dialect,
                Want::Counts,
                self.stop(part),
                usize::MAX,
                &mut out,
            )?;
            lines += u64::from(out.lines);
            records += u64::from(out.records);
            if !more {
                break;
            }
        }
        Ok(Count {
            from,
            end: Start {
                offset: input.position(),
                lines,
                records,
            },
        })
    }
}

fn shared<T: Copy>(result: &Result<T, Arc<DataFusionError>>) -> Result<T> {
    match result {
        Ok(value) => Ok(*value),
        Err(e) => Err(DataFusionError::Shared(Arc::clone(e))),
    }
}
