//! Bytes of a local file: compression and text encoding undone, progress counted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use crate::session::Progress;

/// Bytes a read-ahead thread hands over at once.
const BLOCK: usize = 1 << 20;

/// How the bytes of a text file spell characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Utf8,
    /// Windows-1252, of which ISO-8859-1 is a part.
    Latin1,
    Utf16Le,
    Utf16Be,
}

/// A file to read.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    /// The path in messages and in the table `rejects`.
    pub name: Arc<str>,
    /// Bytes on disk.
    pub size: u64,
    pub compression: FileCompressionType,
    pub encoding: Encoding,
}

impl Source {
    /// Looks at a file's first bytes. `encoding` is for files without a byte order mark.
    pub fn open(path: &Path, encoding: Encoding) -> Result<Self> {
        let name: Arc<str> = path.to_string_lossy().into();
        let failed = |e: io::Error| exec_datafusion_err!("cannot read '{name}': {e}");
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut magic = [0; 6];
        let n = read_full(&mut file, &mut magic).map_err(failed)?;
        let compression = match &magic[..n] {
            [0x1f, 0x8b, ..] => FileCompressionType::GZIP,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => FileCompressionType::BZIP2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => FileCompressionType::XZ,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => FileCompressionType::ZSTD,
            _ => FileCompressionType::UNCOMPRESSED,
        };
        let mut source = Self {
            path: path.to_path_buf(),
            name: Arc::clone(&name),
            size,
            compression,
            encoding: Encoding::Utf8,
        };
        let mut mark = [0; 2];
        let mut reader = source.raw(0, None)?;
        let n = read_full(&mut reader, &mut mark).map_err(failed)?;
        source.encoding = match &mark[..n] {
            [0xff, 0xfe] => Encoding::Utf16Le,
            [0xfe, 0xff] => Encoding::Utf16Be,
            _ => encoding,
        };
        Ok(source)
    }

    /// Whether a reader can start in the middle.
    pub fn seekable(&self) -> bool {
        !self.compression.is_compressed() && self.encoding == Encoding::Utf8
    }

    /// The text as UTF-8 from a byte on; only a seekable source takes another byte than 0.
    ///
    /// Compressed input is undone on a thread of its own, so that parsing runs beside it.
    pub fn read(&self, offset: u64, progress: Option<Progress>) -> Result<Box<dyn Read + Send>> {
        let raw = self.raw(offset, progress)?;
        let text: Box<dyn Read + Send> = match self.encoding {
            Encoding::Utf8 => raw,
            Encoding::Latin1 => Box::new(Transcoded::new(raw, Latin1)),
            Encoding::Utf16Le => Box::new(Transcoded::new(raw, Utf16::new(u16::from_le_bytes))),
            Encoding::Utf16Be => Box::new(Transcoded::new(raw, Utf16::new(u16::from_be_bytes))),
        };
        if self.compression.is_compressed() {
            Ok(Box::new(ReadAhead::new(text)))
        } else {
            Ok(text)
        }
    }

    /// As [`Self::read`] without the thread: for a look at the beginning.
    pub fn peek(&self) -> Result<Box<dyn Read + Send>> {
        let raw = self.raw(0, None)?;
        Ok(match self.encoding {
            Encoding::Utf8 => raw,
            Encoding::Latin1 => Box::new(Transcoded::new(raw, Latin1)),
            Encoding::Utf16Le => Box::new(Transcoded::new(raw, Utf16::new(u16::from_le_bytes))),
            Encoding::Utf16Be => Box::new(Transcoded::new(raw, Utf16::new(u16::from_be_bytes))),
        })
    }

    fn raw(&self, offset: u64, progress: Option<Progress>) -> Result<Box<dyn Read + Send>> {
        let name = &self.name;
        let failed = |e: io::Error| exec_datafusion_err!("cannot read '{name}': {e}");
        let mut file = File::open(&self.path).map_err(failed)?;
        if offset > 0 {
            if self.compression.is_compressed() {
                return exec_err!("'{name}' is compressed and cannot be read from its middle");
            }
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        }
        let counted = Counted { file, progress };
        if self.compression.is_compressed() {
            self.compression
                .convert_read(BufReader::with_capacity(1 << 16, counted))
        } else {
            Ok(Box::new(counted))
        }
    }
}

/// Reads until the buffer is full or the input ends.
pub fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// A file whose bytes count as progress.
struct Counted {
    file: File,
    progress: Option<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        if let Some(progress) = &self.progress {
            progress.advance(n as u64);
        }
        Ok(n)
    }
}

/// Reads on a thread of its own, a few blocks ahead.
struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    used: usize,
}

impl ReadAhead {
    fn new(mut reader: Box<dyn Read + Send>) -> Self {
        let (send, blocks) = sync_channel(2);
        std::thread::spawn(move || {
            loop {
                let mut block = vec![0; BLOCK];
                let result = read_full(&mut reader, &mut block).map(|n| {
                    block.truncate(n);
                    block
                });
                let last = !matches!(&result, Ok(block) if block.len() == BLOCK);
                // The other end is gone when the query needs no more.
                if send.send(result).is_err() || last {
                    break;
                }
            }
        });
        Self {
            blocks,
            block: Vec::new(),
            used: 0,
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.block.len() {
            match self.blocks.recv() {
                Ok(block) => self.block = block?,
                Err(_) => return Ok(0),
            }
            self.used = 0;
        }
        let n = buffer.len().min(self.block.len() - self.used);
        buffer[..n].copy_from_slice(&self.block[self.used..self.used + n]);
        self.used += n;
        Ok(n)
    }
}

/// Turns bytes into characters.
trait Decode: Send {
    fn decode(&mut self, input: &[u8], last: bool, output: &mut String);
}

struct Transcoded<D> {
    reader: Box<dyn Read + Send>,
    decoder: D,
    input: Vec<u8>,
    output: String,
    used: usize,
    ended: bool,
}

impl<D: Decode> Transcoded<D> {
    fn new(reader: Box<dyn Read + Send>, decoder: D) -> Self {
        Self {
            reader,
            decoder,
            input: vec![0; 1 << 16],
            output: String::new(),
            used: 0,
            ended: false,
        }
    }
}

impl<D: Decode> Read for Transcoded<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.output.len() {
            if self.ended {
                return Ok(0);
            }
            let n = self.reader.read(&mut self.input)?;
            self.ended = n == 0;
            self.output.clear();
            self.used = 0;
            self.decoder
                .decode(&self.input[..n], self.ended, &mut self.output);
        }
        let n = buffer.len().min(self.output.len() - self.used);
        buffer[..n].copy_from_slice(&self.output.as_bytes()[self.used..self.used + n]);
        self.used += n;
        Ok(n)
    }
}

struct Latin1;

impl Decode for Latin1 {
    fn decode(&mut self, input: &[u8], _last: bool, output: &mut String) {
        output.extend(input.iter().map(|byte| match byte {
            0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
            _ => char::from(*byte),
        }));
    }
}

/// What Windows-1252 has where ISO-8859-1 has control characters.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

struct Utf16 {
    unit: fn([u8; 2]) -> u16,
    /// Bytes that wait for the rest of their character.
    pending: Vec<u8>,
}

impl Utf16 {
    fn new(unit: fn([u8; 2]) -> u16) -> Self {
        Self {
            unit,
            pending: Vec::new(),
        }
    }
}

impl Decode for Utf16 {
    fn decode(&mut self, input: &[u8], last: bool, output: &mut String) {
        self.pending.extend_from_slice(input);
        let mut units: Vec<u16> = self
            .pending
            .chunks_exact(2)
            .map(|pair| (self.unit)([pair[0], pair[1]]))
            .collect();
        // Half of a surrogate pair waits for the other.
        if !last && units.last().is_some_and(|u| (0xd800..0xdc00).contains(u)) {
            units.pop();
        }
        self.pending.drain(..units.len() * 2);
        output.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
}
