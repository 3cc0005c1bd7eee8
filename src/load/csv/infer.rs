//! What a file does not say about itself: delimiter, header, types. Inferred from a sample spread
//! over the whole file, because the first lines of a file are seldom like the rest of it.

use std::io::{Read, Seek, SeekFrom};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, exec_datafusion_err};

use super::column::{Block, Reading};
use super::input::Input;
use super::tokenize::{Dialect, Records, Row, Want, trim_blanks};
use super::value;
use crate::load::source::{Source, read_full};

/// Files up to this size are looked at from end to end.
const WHOLE: u64 = 4 << 20;
/// The same where every row is asked for; beyond it a sample must do, or the sample would not fit in memory.
const EVERY: u64 = 512 << 20;
/// The beginning of a larger one.
const HEAD: usize = 256 << 10;
/// Pieces of a larger one after its beginning, spread evenly.
const PIECES: u64 = 32;
/// How far into compressed text to look: it cannot be read from its middle.
const STREAM: u64 = 64 << 20;

/// Parts of a file's text. The first is its beginning; the others may begin and end within a line.
pub struct Sample {
    pub pieces: Vec<Vec<u8>>,
    /// Whether the first piece is all of the file.
    pub whole: bool,
}

/// Takes a sample worth `rows` rows, or everything.
pub fn sample(source: &Source, rows: Option<u64>) -> Result<Sample> {
    let failed = |e: std::io::Error| exec_datafusion_err!("cannot read '{}': {e}", source.name);
    let mut reader = source.peek()?;
    let first = if rows.is_none() { EVERY } else { WHOLE };
    let seekable = source.seekable();
    let head = if rows.is_some() && seekable && source.size > WHOLE {
        HEAD
    } else {
        usize::try_from(first).unwrap_or(usize::MAX)
    };
    let mut text = Vec::new();
    reader
        .by_ref()
        .take(head as u64)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() < head {
        return Ok(Sample {
            pieces: vec![text],
            whole: true,
        });
    }
    let lines = text.iter().filter(|b| matches!(b, b'\n' | b'\r')).count();
    let average = text.len() / lines.max(1) + 1;
    let wanted = usize::try_from(rows.unwrap_or(u64::MAX))
        .unwrap_or(usize::MAX)
        .saturating_mul(average);
    // A long line needs more room, or a piece would hold no whole one.
    let piece = (wanted / usize::try_from(PIECES).unwrap_or(1))
        .max(4 * average)
        .clamp(1 << 10, 1 << 20);
    let mut pieces = vec![text];
    if seekable {
        let mut file = std::fs::File::open(&source.path).map_err(failed)?;
        let room = source.size.saturating_sub((head + piece) as u64);
        for i in 0..PIECES {
            // The last piece ends where the file does.
            let at = head as u64 + room * i / (PIECES - 1);
            file.seek(SeekFrom::Start(at)).map_err(failed)?;
            let mut text = vec![0; piece];
            let n = read_full(&mut file, &mut text).map_err(failed)?;
            text.truncate(n);
            pieces.push(text);
        }
    } else {
        let step = STREAM / PIECES;
        let mut seen = head as u64;
        let mut text = vec![0; usize::try_from(step).unwrap_or(1 << 20)];
        while seen < STREAM {
            let n = read_full(&mut reader, &mut text).map_err(failed)?;
            if n == 0 {
                break;
            }
            pieces.push(text[..n.min(piece)].to_vec());
            seen += n as u64;
        }
    }
    Ok(Sample {
        pieces,
        whole: false,
    })
}

/// The records of a sample.
pub struct Sampled {
    /// Each piece with its records; those of the first are complete from the first record on.
    pieces: Vec<(Vec<u8>, Records)>,
    /// How many lines of the beginning were skipped.
    pub skipped: u64,
}

impl Sampled {
    pub fn new(sample: &Sample, source: &Source, dialect: &Dialect, skip: u64) -> Result<Self> {
        let mut pieces = Vec::with_capacity(sample.pieces.len());
        let mut skipped = 0;
        for (i, piece) in sample.pieces.iter().enumerate() {
            let mut input = Input::of_bytes(source.name.clone(), piece);
            skipped += input.skip(if i == 0 { skip } else { 1 }, dialect.terminator)?;
            // What ends within a line is not a record.
            input.last = i == 0 && sample.whole;
            let mut records = Records::default();
            // One call cuts what there is.
            let span = super::tokenize::Span {
                start: input.at,
                end: input.end,
                stop: usize::MAX,
                last: input.last,
            };
            super::tokenize::tokenize(
                dialect,
                Want::Any,
                &input.buffer,
                span,
                usize::MAX,
                &mut records,
            );
            pieces.push((input.buffer, records));
        }
        Ok(Self { pieces, skipped })
    }

    /// The records of the beginning.
    pub fn head(&self) -> &[Row] {
        self.pieces
            .first()
            .map_or(&[], |(_, records)| records.rows.as_slice())
    }

    fn rows(&self) -> impl Iterator<Item = (&[u8], &Records, &Row)> {
        self.pieces.iter().flat_map(|(buffer, records)| {
            records
                .rows
                .iter()
                .map(move |row| (buffer.as_slice(), records, row))
        })
    }

    /// The number of fields most records have.
    pub fn width(&self) -> usize {
        let mut counts = std::collections::BTreeMap::new();
        for (_, _, row) in self.rows() {
            *counts.entry(row.fields).or_insert(0_u64) += 1;
        }
        counts
            .into_iter()
            .max_by_key(|(fields, count)| (*count, *fields))
            .map_or(0, |(fields, _)| fields as usize)
    }

    /// Mean bytes a record.
    pub fn record_bytes(&self) -> f64 {
        let (mut bytes, mut records) = (0_u64, 0_u64);
        for (_, _, row) in self.rows() {
            bytes += u64::from(row.end - row.start) + 1;
            records += 1;
        }
        #[allow(clippy::cast_precision_loss)]
        let mean = bytes as f64 / records.max(1) as f64;
        mean
    }

    /// The texts of one record of the beginning.
    pub fn texts(&self, record: usize, reading: &Reading) -> Vec<String> {
        let Some((buffer, records)) = self.pieces.first() else {
            return Vec::new();
        };
        let Some(row) = records.rows.get(record) else {
            return Vec::new();
        };
        let block = Block {
            buffer,
            records,
            width: 1,
            reading,
        };
        let mut scratch = Vec::new();
        fields(records, row)
            .iter()
            .map(|field| {
                let text = block.text(*field, &mut scratch).unwrap_or_default();
                String::from_utf8_lossy(trim_blanks(text)).into_owned()
            })
            .collect()
    }

    /// What the fields of `width`-wide records are, without the first `skip` of the beginning.
    pub fn kinds(&self, width: usize, skip: usize, reading: &Reading) -> Vec<Kinds> {
        let mut kinds = vec![Kinds::default(); width];
        let mut scratch = Vec::new();
        for (piece, (buffer, records)) in self.pieces.iter().enumerate() {
            let block = Block {
                buffer,
                records,
                width: 1,
                reading,
            };
            let skip = if piece == 0 { skip } else { 0 };
            for row in records.rows.iter().skip(skip) {
                if row.fields as usize != width {
                    continue;
                }
                for (kind, field) in kinds.iter_mut().zip(fields(records, row)) {
                    // Text stays text, so it is not looked at any more.
                    if kind.is_text() {
                        continue;
                    }
                    let text = block.text(*field, &mut scratch).unwrap_or_default();
                    let null = (reading.nulls.quoted || !field.is_quoted())
                        && reading.nulls.contains(trim_blanks(text));
                    if !null {
                        kind.add(trim_blanks(text));
                    }
                }
            }
        }
        kinds
    }

    /// Whether a text occurs in a column after the first `skip` records of the beginning.
    fn occurs(&self, column: usize, text: &str, skip: usize) -> bool {
        self.rows()
            .skip(skip)
            .take(10_000)
            .any(|(buffer, records, row)| {
                fields(records, row)
                    .get(column)
                    .is_some_and(|f| trim_blanks(f.bytes(buffer)) == text.as_bytes())
            })
    }

    /// Which record of the beginning is the header, if any.
    pub fn header(
        &self,
        width: usize,
        names: Option<&[String]>,
        reading: &Reading,
    ) -> Option<usize> {
        let candidate = self
            .head()
            .iter()
            .take(100)
            .position(|row| row.fields as usize == width)?;
        let cells = self.texts(candidate, reading);
        if let Some(names) = names {
            let same = names.len() == cells.len()
                && names
                    .iter()
                    .zip(&cells)
                    .all(|(name, cell)| name.eq_ignore_ascii_case(cell));
            if same {
                return Some(candidate);
            }
        }
        let below = self.kinds(width, candidate + 1, reading);
        let mut against = false;
        for (cell, kind) in cells.iter().zip(&below) {
            if reading.nulls.contains(cell.as_bytes()) {
                continue;
            }
            let own = Kinds::of(cell.as_bytes());
            if own.is_text() && !kind.is_text() && !kind.is_empty() {
                // It cannot be a value of its column.
                return Some(candidate);
            }
            against |= !own.is_text();
        }
        if against || names.is_some() {
            return None;
        }
        // All text: names differ from each other and from what is below them.
        let distinct = cells.iter().collect::<std::collections::HashSet<_>>().len();
        let blank = cells.iter().filter(|cell| cell.is_empty()).count();
        let names = blank <= 1
            && distinct == cells.len()
            && cells.iter().enumerate().all(|(column, cell)| {
                cell.len() <= 128 && !self.occurs(column, cell, candidate + 1)
            });
        names.then_some(candidate)
    }
}

fn fields<'a>(records: &'a Records, row: &Row) -> &'a [super::tokenize::Field] {
    let first = row.first as usize;
    records
        .fields
        .get(first..first + row.fields as usize)
        .unwrap_or_default()
}

/// The delimiter under which the lines of a text are most alike.
pub fn delimiter(sample: &Sample, source: &Source, dialect: Dialect, skip: u64) -> Result<u8> {
    let Some(first) = sample.pieces.first() else {
        return Ok(b',');
    };
    let short = first.len() > HEAD / 4;
    let head = Sample {
        pieces: vec![first[..first.len().min(HEAD / 4)].to_vec()],
        whole: sample.whole && !short,
    };
    let mut best = (0.0, b',');
    for delimiter in [b',', b'\t', b';', b'|'] {
        let dialect = Dialect {
            delimiter,
            ..dialect
        };
        let sampled = Sampled::new(&head, source, &dialect, skip)?;
        let rows = sampled.head();
        let width = sampled.width();
        if width < 2 || rows.is_empty() {
            continue;
        }
        let alike = rows.iter().filter(|r| r.fields as usize == width).count();
        #[allow(clippy::cast_precision_loss)]
        let mut score = alike as f64 / rows.len() as f64;
        // The header has no decimal commas and no punctuation.
        if rows[0].fields as usize == width {
            score += 0.5;
        }
        // Commas are in numbers and sentences; the others are rarely there by chance.
        if delimiter != b',' && alike == rows.len() && rows.len() >= 3 {
            score += 0.1;
        }
        #[allow(clippy::cast_precision_loss)]
        let width = (width.min(1000)) as f64 / 100_000.0;
        if score + width > best.0 {
            best = (score + width, delimiter);
        }
    }
    Ok(best.1)
}

/// What the values of a column have been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    const INTEGER: u8 = 1;
    const FLOAT: u8 = 2;
    const BOOLEAN: u8 = 4;
    const DATE: u8 = 8;
    const TIMESTAMP: u8 = 16;
    const TEXT: u8 = 32;
    /// Whole numbers beyond 64 bits: numbers among decimals, identifiers where they are alone.
    const HUGE: u8 = 64;

    fn of(text: &[u8]) -> Self {
        let mut kinds = Self::default();
        kinds.add(text);
        kinds
    }

    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn add(&mut self, text: &[u8]) {
        self.0 |= Self::kind(text);
    }

    fn kind(text: &[u8]) -> u8 {
        let digits = match text {
            [b'-' | b'+', rest @ ..] => rest,
            _ => text,
        };
        match digits {
            // `007` is a code, and so is `+47`.
            [b'0', b'0'..=b'9', ..] if !digits.contains(&b'-') || digits.len() < 10 => {
                return Self::TEXT;
            }
            [b'0'..=b'9' | b'.', ..] => {}
            _ => {
                let word = |word: &[u8]| text.eq_ignore_ascii_case(word);
                return if word(b"true") || word(b"false") {
                    Self::BOOLEAN
                } else if word(b"inf") || word(b"-inf") || word(b"nan") {
                    Self::FLOAT
                } else {
                    Self::TEXT
                };
            }
        }
        if digits.iter().all(u8::is_ascii_digit) {
            return if text.first() == Some(&b'+') {
                Self::TEXT
            } else if value::integer(text).is_some() {
                Self::INTEGER
            } else {
                Self::HUGE
            };
        }
        if value::float(text).is_some() {
            Self::FLOAT
        } else if value::date(text).is_some() {
            Self::DATE
        } else if value::timestamp(text).is_some() {
            Self::TIMESTAMP
        } else {
            Self::TEXT
        }
    }

    fn is_text(self) -> bool {
        self.data_type() == DataType::Utf8View && self.0 != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The narrowest type that holds them all; text where nothing is known.
    pub fn data_type(self) -> DataType {
        let has = |kind: u8| self.0 & kind != 0;
        let only = |kinds: u8| self.0 != 0 && self.0 & !kinds == 0;
        if only(Self::INTEGER) {
            DataType::Int64
        } else if only(Self::INTEGER | Self::FLOAT | Self::HUGE) && has(Self::FLOAT) {
            DataType::Float64
        } else if only(Self::BOOLEAN) {
            DataType::Boolean
        } else if only(Self::DATE) {
            DataType::Date32
        } else if only(Self::DATE | Self::TIMESTAMP) {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        } else {
            DataType::Utf8View
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(texts: &[&str]) -> DataType {
        let mut kinds = Kinds::default();
        for text in texts {
            kinds.add(text.as_bytes());
        }
        kinds.data_type()
    }

    #[test]
    fn types() {
        assert_eq!(inferred(&["1", "-2"]), DataType::Int64);
        assert_eq!(inferred(&["1", "2.5", "1e3"]), DataType::Float64);
        assert_eq!(inferred(&["007"]), DataType::Utf8View);
        assert_eq!(inferred(&["+4712345678"]), DataType::Utf8View);
        assert_eq!(inferred(&["0", "0.5"]), DataType::Float64);
        assert_eq!(inferred(&["12345678901234567890"]), DataType::Utf8View);
        assert_eq!(inferred(&["TRUE", "false"]), DataType::Boolean);
        assert_eq!(inferred(&["true", "1"]), DataType::Utf8View);
        assert_eq!(inferred(&["2013-01-31"]), DataType::Date32);
        assert_eq!(
            inferred(&["2013-01-31", "0999-01-01 10:00"]),
            DataType::Timestamp(TimeUnit::Microsecond, None)
        );
        assert_eq!(inferred(&["2013-02-31"]), DataType::Utf8View);
        assert_eq!(inferred(&[]), DataType::Utf8View);
    }
}
