//! Cuts bytes into records and fields. Nothing is copied: a field is a range of the buffer.
//!
//! Sixty-four bytes at a time become bit masks of the characters that matter, and only those are
//! looked at. A record whose quotes do not work out is one bad line: the lines after it are read
//! as if it were not there, so that a stray quote never swallows the rest of a file.

/// A quoted field that runs over this is taken for one that was never closed.
pub const MAX_RECORD: usize = 16 << 20;

/// Bytes that must follow a buffer's contents, so that masks can be taken at its end.
pub const PADDING: usize = 64;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dialect {
    pub delimiter: u8,
    pub quote: Option<u8>,
    /// What makes the next character of a quoted field literal; a doubled quote always stands for one.
    pub escape: Option<u8>,
    /// `\n`, which takes a `\r` before it along, or `\r` for files that have no other.
    pub terminator: u8,
    pub comment: Option<u8>,
    /// Whether blanks around a field are no part of it.
    pub trim: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            terminator: b'\n',
            comment: None,
            trim: true,
        }
    }
}

/// A field's bytes, by their place in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    start: u32,
    end: u32,
}

impl Field {
    const QUOTED: u32 = 1 << 31;
    const ESCAPED: u32 = 1 << 30;
    const PLACE: u32 = Self::ESCAPED - 1;
    /// A cell that a short row does not have.
    pub const MISSING: Self = Self {
        start: u32::MAX,
        end: 0,
    };

    // Buffers hold one record beyond their size at most, far below 2^30 bytes.
    #[allow(clippy::cast_possible_truncation)]
    fn new(start: usize, end: usize, flags: u32) -> Self {
        Self {
            start: start as u32,
            end: end as u32 | flags,
        }
    }

    pub fn is_missing(self) -> bool {
        self.start == u32::MAX
    }

    pub fn is_quoted(self) -> bool {
        self.end & Self::QUOTED != 0
    }

    pub fn is_escaped(self) -> bool {
        self.end & Self::ESCAPED != 0
    }

    /// The bytes between the delimiters or the quotes, as they stand in the file.
    pub fn bytes(self, buffer: &[u8]) -> &[u8] {
        let (start, end) = (self.start as usize, (self.end & Self::PLACE) as usize);
        buffer.get(start..end).unwrap_or_default()
    }

    /// The same without blanks around it, unless they are quoted.
    pub fn trimmed(self, buffer: &[u8], trim: bool) -> &[u8] {
        let bytes = self.bytes(buffer);
        if trim && !self.is_quoted() {
            trim_blanks(bytes)
        } else {
            bytes
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Without spaces and tabs around it.
pub fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_blank(*first) {
            break;
        }
        bytes = rest;
    }
    while let [rest @ .., last] = bytes {
        if !is_blank(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The line it starts on, counted from the first of this call.
    pub line: u32,
    /// Its number among the records, counted from the first of this call.
    pub record: u32,
    /// Its first field.
    pub first: u32,
    /// How many fields it has.
    pub fields: u32,
    pub start: u32,
    pub end: u32,
}

/// What is wrong with a record before any value is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fewer or more fields than columns.
    Ragged,
    /// A quote opens a field and no other closes it.
    UnclosedQuote,
    /// Text between a closing quote and the next delimiter.
    TextAfterQuote,
}

/// A record that is not as it should be.
#[derive(Debug, Clone, Copy)]
pub struct Odd {
    pub fault: Fault,
    pub row: Row,
}

/// Records as they come out of the tokenizer: fields row after row.
#[derive(Debug, Default)]
pub struct Records {
    pub fields: Vec<Field>,
    pub rows: Vec<Row>,
    pub odd: Vec<Odd>,
    /// All records seen, those that are not kept too.
    pub records: u32,
    /// All line ends passed.
    pub lines: u32,
}

impl Records {
    pub fn clear(&mut self) {
        self.fields.clear();
        self.rows.clear();
        self.odd.clear();
        self.records = 0;
        self.lines = 0;
    }
}

/// What the tokenizer does with the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nothing: records and lines are counted only.
    Counts,
    /// As many as there are.
    Any,
    /// This many in every row: short rows are filled with [`Field::MISSING`], long ones cut.
    Width(usize),
    /// The same; rows with another number are dropped.
    Exactly(usize),
}

/// The part of a buffer to cut.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: usize,
    /// The end of what is in the buffer; [`PADDING`] bytes more can be read.
    pub end: usize,
    /// No record starts here or after.
    pub stop: usize,
    /// Whether the input ends where the buffer does.
    pub last: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a field without quotes, or before one.
    Plain,
    Quoted,
    /// After a quote in a quoted field.
    Closed,
}

/// Cuts records off the front of a span, `limit` at most, into `out`. Gives where it stopped: the start of
/// a record that is not complete yet, or that was not wanted.
pub fn tokenize(
    dialect: &Dialect,
    want: Want,
    buffer: &[u8],
    span: Span,
    limit: usize,
    out: &mut Records,
) -> usize {
    let mut cutter = Cutter {
        dialect,
        want,
        buffer,
        span,
        limit,
        out,
        state: State::Plain,
        record_start: span.start,
        record_line: 0,
        first: 0,
        start: span.start,
        close: 0,
        flags: 0,
        count: 0,
        literal: usize::MAX,
    };
    cutter.record_line = cutter.out.lines;
    cutter.first = cutter.out.fields.len();
    cutter.run()
}

struct Cutter<'a> {
    dialect: &'a Dialect,
    want: Want,
    buffer: &'a [u8],
    span: Span,
    limit: usize,
    out: &'a mut Records,
    state: State,
    record_start: usize,
    record_line: u32,
    /// Index of the record's first field.
    first: usize,
    /// Where the field starts, behind its quote if it has one.
    start: usize,
    /// The quote that may have closed it.
    close: usize,
    flags: u32,
    /// Fields of the record so far.
    count: u32,
    /// A byte that an escape before it makes literal.
    literal: usize,
}

impl Cutter<'_> {
    fn run(&mut self) -> usize {
        let mut at = self.span.start;
        loop {
            match self.cut(at) {
                Cut::Stopped(at) => return at,
                // A record went wrong: go on at the next line.
                Cut::Restart(next) => {
                    at = next;
                    if self.done(at) {
                        return at;
                    }
                }
            }
        }
    }

    fn done(&self, at: usize) -> bool {
        at >= self.span.stop || at >= self.span.end || self.out.records as usize >= self.limit
    }

    fn cut(&mut self, from: usize) -> Cut {
        if self.done(from) {
            return Cut::Stopped(from);
        }
        let Dialect {
            delimiter,
            quote,
            escape,
            terminator,
            ..
        } = *self.dialect;
        let mut base = from;
        while base < self.span.end {
            let Some(block) = self.buffer[base..].first_chunk::<64>() else {
                break;
            };
            let valid = match self.span.end - base {
                n if n < 64 => (1_u64 << n) - 1,
                _ => u64::MAX,
            };
            let lines = mask(block, terminator) & valid;
            let delimiters = mask(block, delimiter) & valid;
            let quotes = quote.map_or(0, |quote| mask(block, quote) & valid);
            let escapes = escape.map_or(0, |escape| mask(block, escape) & valid);
            if quotes == 0 && self.state == State::Plain {
                let mut bits = lines | delimiters;
                while bits != 0 {
                    let i = bits.trailing_zeros();
                    bits &= bits - 1;
                    let at = base + i as usize;
                    if lines >> i & 1 == 0 {
                        self.field(at);
                    } else {
                        self.out.lines += 1;
                        if self.end_record(at) {
                            return Cut::Stopped(at + 1);
                        }
                    }
                }
            } else {
                let mut bits = lines | delimiters | quotes | escapes;
                while bits != 0 {
                    let i = bits.trailing_zeros();
                    bits &= bits - 1;
                    let at = base + i as usize;
                    let is_line = lines >> i & 1 == 1;
                    if is_line {
                        self.out.lines += 1;
                    }
                    if at == self.literal {
                        continue;
                    }
                    let is_quote = quotes >> i & 1 == 1;
                    let is_delimiter = delimiters >> i & 1 == 1;
                    match self.state {
                        State::Plain if is_line => {
                            if self.end_record(at) {
                                return Cut::Stopped(at + 1);
                            }
                        }
                        State::Plain if is_delimiter => self.field(at),
                        State::Plain if is_quote => {
                            let opens = at == self.start
                                || (self.dialect.trim
                                    && trim_blanks(&self.buffer[self.start..at]).is_empty());
                            if opens && !self.in_comment() {
                                self.state = State::Quoted;
                                self.start = at + 1;
                                self.flags = Field::QUOTED;
                            }
                        }
                        State::Plain => {}
                        State::Quoted if escapes >> i & 1 == 1 && escape != quote => {
                            self.literal = at + 1;
                            self.flags |= Field::ESCAPED;
                        }
                        State::Quoted if is_quote => {
                            if self.too_long(at) {
                                return self.fail(Fault::UnclosedQuote);
                            }
                            self.state = State::Closed;
                            self.close = at;
                        }
                        State::Quoted => {}
                        State::Closed if is_quote && at == self.close + 1 => {
                            self.state = State::Quoted;
                            self.flags |= Field::ESCAPED;
                        }
                        State::Closed if is_line || is_delimiter => {
                            if !self.closes_before(at) {
                                return self.fail(Fault::TextAfterQuote);
                            }
                            if is_delimiter {
                                self.field(at);
                            } else if self.end_record(at) {
                                return Cut::Stopped(at + 1);
                            }
                        }
                        State::Closed if is_quote => return self.fail(Fault::TextAfterQuote),
                        State::Closed => {}
                    }
                }
            }
            base += 64;
        }
        self.end_of_buffer()
    }

    fn end_of_buffer(&mut self) -> Cut {
        let end = self.span.end;
        if !self.span.last {
            if self.state == State::Quoted && self.too_long(end) {
                return self.fail(Fault::UnclosedQuote);
            }
            // To be looked at again when there is more of it.
            self.out.fields.truncate(self.first);
            self.out.lines = self.record_line;
            return Cut::Stopped(self.record_start);
        }
        match self.state {
            State::Quoted => return self.fail(Fault::UnclosedQuote),
            State::Closed if !self.closes_before(end) => return self.fail(Fault::TextAfterQuote),
            _ => {}
        }
        if self.record_start < end {
            self.end_record(end);
        }
        Cut::Stopped(end)
    }

    /// Whether nothing but blanks stands between the closing quote and `at`.
    fn closes_before(&self, at: usize) -> bool {
        let rest = &self.buffer[self.close + 1..at];
        trim_blanks(rest.strip_suffix(b"\r").unwrap_or(rest)).is_empty()
    }

    fn in_comment(&self) -> bool {
        self.dialect.comment.is_some()
            && self.buffer.get(self.record_start).copied() == self.dialect.comment
    }

    #[inline]
    fn field(&mut self, at: usize) {
        if self.want != Want::Counts {
            let field = if self.state == State::Plain {
                Field::new(self.start, at, 0)
            } else {
                Field::new(self.start, self.close, self.flags)
            };
            self.out.fields.push(field);
        }
        self.count += 1;
        self.start = at + 1;
        self.state = State::Plain;
        self.flags = 0;
    }

    /// The record ends before `at`. True when no more are wanted.
    #[inline]
    fn end_record(&mut self, at: usize) -> bool {
        let mut end = at;
        if self.dialect.terminator == b'\n'
            && end > self.record_start
            && self.buffer[end - 1] == b'\r'
        {
            end -= 1;
        }
        // A blank line is no record, and neither is a comment.
        let blank = self.count == 0
            && self.state == State::Plain
            && trim_blanks(&self.buffer[self.record_start..end]).is_empty();
        if blank || self.in_comment() {
            self.out.fields.truncate(self.first);
        } else {
            self.field(end);
            self.keep(end);
        }
        self.begin(at + 1);
        self.done(at + 1)
    }

    /// Whether a quoted field that is open at `at` belongs to a record too long to be one.
    fn too_long(&self, at: usize) -> bool {
        at - self.record_start > MAX_RECORD
    }

    #[allow(clippy::cast_possible_truncation)]
    fn row(&self, end: usize) -> Row {
        Row {
            line: self.record_line,
            record: self.out.records,
            first: self.first as u32,
            fields: self.count,
            start: self.record_start as u32,
            end: end as u32,
        }
    }

    #[inline]
    fn keep(&mut self, end: usize) {
        let row = self.row(end);
        let (width, drop) = match self.want {
            Want::Counts => {
                self.out.records += 1;
                return;
            }
            Want::Any => (self.count as usize, false),
            Want::Width(width) => (width, false),
            Want::Exactly(width) => (width, true),
        };
        if self.count as usize != width {
            self.ragged(row, width, drop);
        } else {
            self.out.rows.push(row);
        }
        self.out.records += 1;
    }

    #[cold]
    fn ragged(&mut self, row: Row, width: usize, drop: bool) {
        // Delimiters at the end of a line are no fields: many writers leave one.
        let extra = self.first + width.min(self.count as usize);
        let empty = self.out.fields[extra..]
            .iter()
            .all(|f| !f.is_quoted() && f.trimmed(self.buffer, true).is_empty());
        let fault = self.count as usize <= width || !empty;
        if fault && drop {
            self.out.fields.truncate(self.first);
        } else {
            self.out.fields.resize(self.first + width, Field::MISSING);
        }
        if fault {
            self.out.odd.push(Odd {
                fault: Fault::Ragged,
                row,
            });
        }
        if !fault || !drop {
            self.out.rows.push(row);
        }
    }

    /// The record is its first line, and no good.
    #[cold]
    fn fail(&mut self, fault: Fault) -> Cut {
        self.out.fields.truncate(self.first);
        let rest = &self.buffer[self.record_start..self.span.end];
        let length = rest
            .iter()
            .position(|b| *b == self.dialect.terminator)
            .unwrap_or(rest.len());
        let mut row = self.row(self.record_start + length);
        row.fields = 0;
        self.out.odd.push(Odd { fault, row });
        self.out.records += 1;
        let ended = length < rest.len();
        self.out.lines = self.record_line + u32::from(ended);
        let next = self.record_start + length + usize::from(ended);
        self.begin(next);
        Cut::Restart(next)
    }

    fn begin(&mut self, at: usize) {
        self.record_start = at;
        self.record_line = self.out.lines;
        self.first = self.out.fields.len();
        self.start = at;
        self.count = 0;
        self.state = State::Plain;
        self.flags = 0;
        self.literal = usize::MAX;
    }
}

/// A bit for every byte of the block that is the wanted one.
#[cfg(target_arch = "x86_64")]
#[inline]
fn mask(block: &[u8; 64], byte: u8) -> u64 {
    // SAFETY: every x86_64 processor has SSE2.
    unsafe { mask_sse2(block, byte) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn mask_sse2(block: &[u8; 64], byte: u8) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let wanted = _mm_set1_epi8(byte.cast_signed());
    let (lanes, _) = block.as_chunks::<8>();
    let mut mask = 0;
    for (i, lane) in lanes.chunks_exact(2).enumerate() {
        let lane = _mm_set_epi64x(i64::from_le_bytes(lane[1]), i64::from_le_bytes(lane[0]));
        let found = _mm_movemask_epi8(_mm_cmpeq_epi8(lane, wanted));
        mask |= u64::from(found.cast_unsigned()) << (16 * i);
    }
    mask
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn mask(block: &[u8; 64], byte: u8) -> u64 {
    mask_portable(block, byte)
}

/// Eight bytes at a time in a 64-bit word.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn mask_portable(block: &[u8; 64], byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let wanted = u64::from_le_bytes([byte; 8]);
    let (words, _) = block.as_chunks::<8>();
    let mut mask = 0;
    for (i, word) in words.iter().enumerate() {
        let x = u64::from_le_bytes(*word) ^ wanted;
        // The high bit of every byte that is zero, and of no other.
        let zeros = !(((x & LOW) + LOW) | x | LOW);
        let bits = (zeros >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (8 * i);
    }
    mask
}

enum Cut {
    Stopped(usize),
    Restart(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_agree() {
        let mut block = [0_u8; 64];
        for (i, byte) in block.iter_mut().enumerate() {
            *byte = u8::try_from(i * 37 % 256).unwrap();
        }
        block[3] = b',';
        block[63] = b',';
        block[17] = b',' ^ 0x80;
        for byte in 0..=u8::MAX {
            let expected = (0..64).fold(0, |m, i| m | u64::from(block[i] == byte) << i);
            assert_eq!(mask(&block, byte), expected);
            assert_eq!(mask_portable(&block, byte), expected);
        }
    }
}
