//! Texts that are nearly the same: the kernel of `fuzzy_duplicates`.
//!
//! The different values are put in order first, so nothing depends on the order of rows. Which pairs are looked at:
//! all of them while the values are few, else those that agree in a band of MinHash values of their character
//! n-grams (Broder, 1997; Leskovec et al., Mining of Massive Datasets, ch. 3). Every pair that is looked at is
//! checked by its similarity itself, after bounds that are cheaper to compute.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Result, resources_err};

use crate::fitted::State;
use crate::fitted::counts::Counts;
use crate::table::{Host, Rows, Stop, TableFunction, TableKernel, in_parallel};

/// Up to so many different values all pairs are looked at.
pub const ALL_PAIRS: usize = 20_000;
/// In a band, a value is compared with so many that follow it in order among those that agree.
pub const NEIGHBOURS: usize = 256;
/// Ranges that all pairs are divided into.
const PARTS: usize = 64;
/// Pairs found that are gathered before they are put together.
const GATHERED: usize = 1 << 20;

/// How the similarity of two texts is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Jaro's, raised by a common prefix of up to four characters (Winkler, 1990).
    JaroWinkler,
    /// The share of character n-grams that both have.
    Jaccard,
}

/// Pairs or clusters of texts that are nearly the same.
#[derive(Debug, Clone)]
pub struct FuzzyDuplicates {
    pub threshold: f64,
    pub method: Method,
    /// Characters of an n-gram.
    pub ngram: usize,
    pub bands: usize,
    /// MinHash values of a band.
    pub band_size: usize,
    /// Whether pairs are given; else a row a value.
    pub pairs: bool,
}

impl TableFunction for FuzzyDuplicates {
    fn name(&self) -> &'static str {
        "fuzzy_duplicates"
    }

    fn describe(&self) -> String {
        format!(
            "threshold={}, method={:?}, ngram={}, bands={}x{}, pairs={}",
            self.threshold, self.method, self.ngram, self.bands, self.band_size, self.pairs
        )
    }

    fn schema(&self) -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let whole = |name: &str| Field::new(name, DataType::Int64, true);
        let similarity = Field::new("similarity", DataType::Float64, true);
        Arc::new(Schema::new(if self.pairs {
            vec![text("value_a"), text("value_b"), similarity]
        } else {
            vec![
                text("value"),
                whole("cluster_id"),
                whole("cluster_size"),
                text("canonical"),
                similarity,
            ]
        }))
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        Ok(Box::new(Kernel {
            function: self.clone(),
            counts: Counts::new(&DataType::Utf8View)?,
        }))
    }
}

struct Kernel {
    function: FuzzyDuplicates,
    counts: Counts,
}

impl TableKernel for Kernel {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.counts.update(&batch.columns()[..1])
    }

    fn size(&self) -> usize {
        self.counts.size()
    }

    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows> {
        host.resize(2 * self.counts.size())?;
        let Self { function, counts } = *self;
        let sorted = counts.sorted()?;
        drop(counts);
        let (values, counts) = sorted;
        let texts = Texts::new(values.as_string::<i32>(), &function, host)?;
        let batch = if function.pairs {
            let pairs = texts.find(host, &Mutex::default(), true)?;
            texts.pairs(function.schema(), &pairs)?
        } else {
            let parts = Mutex::new(Vec::new());
            texts.find(host, &parts, false)?;
            let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
            texts.clusters(function.schema(), &counts, parts)?
        };
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

/// What bounds the similarity of a text with others.
#[derive(Debug, Clone, Copy)]
struct Outline {
    /// A bit a character, of those that are the same in the last six bits.
    letters: u64,
    /// The first four bytes, where all of the text is ASCII.
    prefix: u32,
    /// Characters, or n-grams where they are compared.
    length: u32,
    place: u32,
    ascii: bool,
}

/// The different values in order, ready to be compared.
struct Texts<'a> {
    values: &'a StringArray,
    function: &'a FuzzyDuplicates,
    outlines: Vec<Outline>,
    /// The hashed n-grams of all values one after another, each value's in order and without repetition.
    grams: Vec<u32>,
    /// Where each value's n-grams begin.
    starts: Vec<usize>,
    /// By the length of the common prefix, what the Jaro similarity must be.
    needed: [f64; 5],
}

impl<'a> Texts<'a> {
    fn new(
        values: &'a StringArray,
        function: &'a FuzzyDuplicates,
        host: &mut dyn Host,
    ) -> Result<Self> {
        let n = values.len();
        if u32::try_from(n).is_err() {
            return resources_err!("fuzzy_duplicates: {n} different values are too many");
        }
        let bytes = values.value_data().len();
        let threads = host.threads();
        // outlines and starts, n-grams, and on each thread a band and the clusters
        let found = n * (size_of::<Outline>() + 8 + 28 * threads) + 4 * bytes;
        let lists = values.get_array_memory_size() + 8 * n;
        host.resize(lists + found)?;
        let mut texts = Self {
            values,
            function,
            outlines: Vec::with_capacity(n),
            grams: Vec::with_capacity(bytes),
            starts: Vec::with_capacity(n + 1),
            needed: [0, 1, 2, 3, 4].map(|prefix| needed(function.threshold, prefix)),
        };
        let mut chars = Vec::new();
        texts.starts.push(0);
        for (place, text) in (0..).zip((0..n).map(|i| values.value(i))) {
            let from = texts.grams.len();
            grams(text, function.ngram, &mut chars, &mut texts.grams);
            sort_from(&mut texts.grams, from);
            texts.starts.push(texts.grams.len());
            let mut letters = 0u64;
            let mut length = 0;
            for c in text.chars() {
                letters |= 1 << (c as u32 & 63);
                length += 1;
            }
            if function.method == Method::Jaccard {
                length = (texts.grams.len() - from) as u32;
            }
            let mut prefix = [0; 4];
            for (to, from) in prefix.iter_mut().zip(text.bytes()) {
                *to = from;
            }
            texts.outlines.push(Outline {
                letters,
                prefix: u32::from_le_bytes(prefix),
                length,
                place,
                ascii: text.is_ascii(),
            });
        }
        Ok(texts)
    }

    fn grams_of(&self, place: usize) -> &[u32] {
        &self.grams[self.starts[place]..self.starts[place + 1]]
    }

    /// Looks at pairs. Those that are similar are given, in order, or else united in sets, of which each thread's
    /// are left in `sets`.
    fn find(&self, host: &mut dyn Host, sets: &Mutex<Vec<Sets>>, give: bool) -> Result<Vec<u64>> {
        let n = self.outlines.len();
        let tasks: Vec<usize> = if n <= ALL_PAIRS {
            (0..PARTS).collect()
        } else {
            (0..self.function.bands).collect()
        };
        let threads = host.threads();
        let stop = host.stop();
        let held = self.values.get_array_memory_size()
            + n * (size_of::<Outline>() + 16 + 28 * threads)
            + 4 * self.grams.capacity();
        let found = Mutex::new(Found {
            pairs: Vec::new(),
            held,
            host,
        });
        in_parallel(tasks, threads, |task| {
            let last = sets.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut search = Search {
                texts: self,
                pattern: Pattern::default(),
                sets: last.unwrap_or_else(|| Sets::new(if give { 0 } else { n })),
                pairs: Vec::new(),
                give,
                found: &found,
            };
            if n <= ALL_PAIRS {
                let size = n.div_ceil(PARTS);
                for i in (task * size).min(n)..((task + 1) * size).min(n) {
                    stop.check()?;
                    search.compare(&self.outlines[i], &self.outlines[i + 1..])?;
                }
            } else {
                search.band(task, &stop)?;
            }
            search.hand_over()?;
            sets.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(search.sets);
            Ok(())
        })?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(found.pairs)
    }

    /// The similarity of two values; the first is before the second in order.
    fn similarity(&self, a: usize, b: usize, pattern: &mut Pattern) -> f64 {
        if a == b {
            return 1.0;
        }
        match self.function.method {
            Method::Jaccard => jaccard(self.grams_of(a), self.grams_of(b)),
            Method::JaroWinkler => {
                pattern.set(self.values.value(a));
                let jaro = pattern.jaro(self.values.value(b));
                winkler(jaro, self.values.value(a), self.values.value(b))
            }
        }
    }

    fn pairs(&self, schema: SchemaRef, pairs: &[u64]) -> Result<RecordBatch> {
        let values: ArrayRef = Arc::new(self.values.clone());
        let [a, b] = [32, 0].map(|shift| -> UInt32Array {
            pairs.iter().map(|p| Some((*p >> shift) as u32)).collect()
        });
        let mut pattern = Pattern::default();
        let similarity: Float64Array = pairs
            .iter()
            .map(|p| {
                let (a, b) = ((*p >> 32) as usize, *p as u32 as usize);
                Some(self.similarity(a, b, &mut pattern))
            })
            .collect();
        let columns: Vec<ArrayRef> = vec![
            take(&values, &a, None)?,
            take(&values, &b, None)?,
            Arc::new(similarity),
        ];
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// A row a value: its set, numbered in the order of the smallest values, and what is told of it.
    fn clusters(&self, schema: SchemaRef, counts: &[u64], parts: Vec<Sets>) -> Result<RecordBatch> {
        let n = self.outlines.len();
        let mut sets = Sets::new(n);
        for mut part in parts {
            for i in 0..n as u32 {
                let root = part.root(i);
                sets.unite(i, root);
            }
        }
        let mut cluster = vec![0u32; n];
        // of each cluster the most frequent value, of these the smallest, and its rows
        let mut canonical: Vec<u32> = Vec::new();
        let mut rows: Vec<u64> = Vec::new();
        for i in 0..n {
            // the root is the smallest of its set
            let root = sets.root(i as u32) as usize;
            if root == i {
                cluster[i] = canonical.len() as u32;
                canonical.push(i as u32);
                rows.push(0);
            } else {
                cluster[i] = cluster[root];
            }
            let c = cluster[i] as usize;
            rows[c] += counts[i];
            if counts[i] > counts[canonical[c] as usize] {
                canonical[c] = i as u32;
            }
        }
        let of = |i: usize| canonical[cluster[i] as usize];
        let chosen: UInt32Array = (0..n).map(|i| Some(of(i))).collect();
        let mut pattern = Pattern::default();
        let similarity: Float64Array = (0..n)
            .map(|i| {
                let c = of(i) as usize;
                Some(self.similarity(i.min(c), i.max(c), &mut pattern))
            })
            .collect();
        let values: ArrayRef = Arc::new(self.values.clone());
        let canonical = take(&values, &chosen, None)?;
        let numbers: Int64Array = cluster.iter().map(|c| Some(i64::from(*c))).collect();
        let sizes: Int64Array = cluster
            .iter()
            .map(|c| Some(rows[*c as usize].cast_signed()))
            .collect();
        let columns: Vec<ArrayRef> = vec![
            values,
            Arc::new(numbers),
            Arc::new(sizes),
            canonical,
            Arc::new(similarity),
        ];
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// The pairs that all threads have found, in order and without repetition, and the memory they take.
struct Found<'a> {
    pairs: Vec<u64>,
    held: usize,
    host: &'a mut dyn Host,
}

/// What a thread works with.
struct Search<'a, 'b> {
    texts: &'a Texts<'a>,
    pattern: Pattern,
    sets: Sets,
    pairs: Vec<u64>,
    give: bool,
    found: &'a Mutex<Found<'b>>,
}

impl Search<'_, '_> {
    /// Looks at the values that agree in a band.
    fn band(&mut self, band: usize, stop: &Stop) -> Result<()> {
        let texts = self.texts;
        let size = texts.function.band_size;
        let functions: Vec<(u32, u32)> = (band * size..(band + 1) * size)
            .map(|k| {
                let random = mix(k as u64 + 1);
                (random as u32, (random >> 32) as u32 | 1)
            })
            .collect();
        let mut keys: Vec<(u64, u32)> = (0..texts.outlines.len())
            .map(|i| {
                let grams = texts.grams_of(i);
                let key = functions.iter().fold(0, |key, (add, times)| {
                    let hashes = grams.iter().map(|g| (g ^ add).wrapping_mul(*times));
                    let smallest = hashes.min().unwrap_or(u32::MAX);
                    mix(key ^ u64::from(smallest))
                });
                (key, i as u32)
            })
            .collect();
        stop.check()?;
        keys.sort_unstable();
        let mut bucket: Vec<Outline> = Vec::new();
        for run in keys.chunk_by(|a, b| a.0 == b.0).filter(|r| r.len() > 1) {
            stop.check()?;
            bucket.clear();
            bucket.extend(run.iter().map(|(_, i)| texts.outlines[*i as usize]));
            for i in 0..bucket.len() - 1 {
                let end = bucket.len().min(i + 1 + NEIGHBOURS);
                self.compare(&bucket[i], &bucket[i + 1..end])?;
            }
        }
        Ok(())
    }

    /// Compares a value with others that are after it in order.
    fn compare(&mut self, a: &Outline, others: &[Outline]) -> Result<()> {
        let texts = self.texts;
        let threshold = texts.function.threshold;
        let first = texts.values.value(a.place as usize);
        let mut set = false;
        for b in others {
            let similar = match texts.function.method {
                Method::Jaccard => {
                    let (small, large) = (a.length.min(b.length), a.length.max(b.length));
                    // no more n-grams are common than the smaller set has
                    if f64::from(small) < threshold * f64::from(large) || self.united(a, b) {
                        continue;
                    }
                    let [a, b] = [a, b].map(|o| texts.grams_of(o.place as usize));
                    jaccard(a, b) >= threshold
                }
                Method::JaroWinkler => {
                    if bound(a, b) < texts.needed[prefix(a, b)] || self.united(a, b) {
                        continue;
                    }
                    if !set {
                        self.pattern.set(first);
                        set = true;
                    }
                    let second = texts.values.value(b.place as usize);
                    winkler(self.pattern.jaro(second), first, second) >= threshold
                }
            };
            if !similar {
                continue;
            }
            if self.give {
                self.pairs
                    .push((u64::from(a.place) << 32) | u64::from(b.place));
            } else {
                self.sets.unite(a.place, b.place);
            }
        }
        if self.pairs.len() >= GATHERED {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Whether looking at the pair could change nothing.
    fn united(&mut self, a: &Outline, b: &Outline) -> bool {
        !self.give && self.sets.root(a.place) == self.sets.root(b.place)
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // what is sorted, and what is given in the end: two texts, two places and a number
        let pairs = found.pairs.len() + self.pairs.len();
        let bytes = found.held + 80 * pairs;
        found.host.resize(bytes)?;
        found.pairs.append(&mut self.pairs);
        found.pairs.sort_unstable();
        found.pairs.dedup();
        Ok(())
    }
}

/// Disjoint sets of places; the root of a set is its smallest place.
#[derive(Debug)]
struct Sets(Vec<u32>);

impl Sets {
    fn new(n: usize) -> Self {
        Self((0..n as u32).collect())
    }

    fn root(&mut self, mut i: u32) -> u32 {
        while self.0[i as usize] != i {
            let above = self.0[i as usize];
            self.0[i as usize] = self.0[above as usize];
            i = above;
        }
        i
    }

    fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}

/// Appends the hashed n-grams of a text; a text that is shorter than one is one.
fn grams(text: &str, n: usize, chars: &mut Vec<u32>, out: &mut Vec<u32>) {
    chars.clear();
    chars.extend(text.chars().map(u32::from));
    if chars.len() <= n {
        out.push(gram(chars));
    } else {
        out.extend(chars.windows(n).map(gram));
    }
}

/// Up to four characters of ASCII have a hash of their own.
fn gram(chars: &[u32]) -> u32 {
    let ascii = chars.len() <= 4 && chars.iter().all(|c| *c < 128);
    let mut h = if ascii {
        chars.iter().fold(0, |h, c| (h << 8) | (c + 1))
    } else {
        mix(chars.iter().fold(1, |h, c| mix(h ^ u64::from(*c)))) as u32
    };
    // the finaliser of MurmurHash3, which maps no two numbers to one
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// The finaliser of splitmix64.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Sorts the end of a vector and drops repetitions there.
fn sort_from(values: &mut Vec<u32>, from: usize) {
    values[from..].sort_unstable();
    let mut kept = from;
    for at in from..values.len() {
        if kept == from || values[kept - 1] != values[at] {
            values[kept] = values[at];
            kept += 1;
        }
    }
    values.truncate(kept);
}

/// The share of two sets that both have.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        both += u32::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let all = (a.len() + b.len()) as f64 - f64::from(both);
    f64::from(both) / all
}

/// The Jaro similarity that a common prefix raises to a threshold, less what rounding may take.
fn needed(threshold: f64, prefix: usize) -> f64 {
    let share = 0.1 * prefix as f64;
    // a similarity of at most 0.7 is not raised
    let raised = ((threshold - share) / (1.0 - share)).max(0.7);
    threshold.min(raised) - 1e-9
}

/// The length of the common prefix, or more; at most 4.
fn prefix(a: &Outline, b: &Outline) -> usize {
    if !(a.ascii && b.ascii) {
        return 4;
    }
    ((a.prefix ^ b.prefix).trailing_zeros() / 8).min(4) as usize
}

/// What the Jaro similarity cannot exceed: a letter that the other lacks matches nothing.
fn bound(a: &Outline, b: &Outline) -> f64 {
    let lacking = |a: &Outline, b: &Outline| (a.letters & !b.letters).count_ones();
    let matches =
        (a.length - lacking(a, b).min(a.length)).min(b.length - lacking(b, a).min(b.length));
    if matches == 0 {
        return 0.0;
    }
    let matches = f64::from(matches);
    (matches / f64::from(a.length) + matches / f64::from(b.length) + 1.0) / 3.0
}

/// Raises a Jaro similarity above 0.7 by a tenth of what it lacks for each character of a common prefix.
fn winkler(jaro: f64, a: &str, b: &str) -> f64 {
    if jaro <= 0.7 {
        return jaro;
    }
    let prefix = a.chars().zip(b.chars()).take(4).take_while(|(a, b)| a == b);
    jaro + 0.1 * prefix.count() as f64 * (1.0 - jaro)
}

/// A text that others are compared with.
#[derive(Debug)]
struct Pattern {
    /// Where each ASCII character stands, a bit a place, if the text is ASCII and no longer than 64.
    places: Box<[u64; 128]>,
    /// The text, in characters where it is not that simple.
    bytes: Vec<u8>,
    simple: bool,
    chars: Vec<char>,
    others: Vec<char>,
    matched: Vec<bool>,
    order: Vec<char>,
}

impl Default for Pattern {
    fn default() -> Self {
        Self {
            places: Box::new([0; 128]),
            bytes: Vec::new(),
            simple: true,
            chars: Vec::new(),
            others: Vec::new(),
            matched: Vec::new(),
            order: Vec::new(),
        }
    }
}

impl Pattern {
    fn set(&mut self, text: &str) {
        for byte in self.bytes.drain(..) {
            self.places[usize::from(byte & 127)] = 0;
        }
        self.simple = text.len() <= 64 && text.is_ascii();
        self.chars.clear();
        self.chars.extend(text.chars());
        if self.simple {
            self.bytes.extend_from_slice(text.as_bytes());
            for (place, byte) in self.bytes.iter().enumerate() {
                self.places[usize::from(*byte)] |= 1 << place;
            }
        }
    }

    /// The Jaro similarity with another text: each of its characters in turn is matched with the first free
    /// equal one near it.
    fn jaro(&mut self, other: &str) -> f64 {
        if self.simple && other.len() <= 64 && other.is_ascii() {
            self.jaro_of_bytes(other.as_bytes())
        } else {
            self.jaro_of_chars(other)
        }
    }

    fn jaro_of_bytes(&self, other: &[u8]) -> f64 {
        let (m, n) = (self.bytes.len(), other.len());
        let range = (m.max(n) / 2).saturating_sub(1);
        let (mut mine, mut theirs) = (0u64, 0u64);
        for (j, byte) in other.iter().enumerate() {
            let (low, high) = (j.saturating_sub(range), (j + range).min(63));
            if low > 63 {
                break;
            }
            let near = (u64::MAX >> (63 - high)) & (u64::MAX << low);
            let free = self.places[usize::from(*byte)] & near & !mine;
            // the lowest of the bits
            mine |= free & free.wrapping_neg();
            theirs |= u64::from(free != 0) << j;
        }
        let matches = mine.count_ones();
        let mut transposed = 0;
        while mine != 0 {
            let a = self.bytes[mine.trailing_zeros() as usize];
            let b = other[theirs.trailing_zeros() as usize];
            transposed += u32::from(a != b);
            mine &= mine - 1;
            theirs &= theirs - 1;
        }
        similarity(matches, transposed, m, n)
    }

    fn jaro_of_chars(&mut self, other: &str) -> f64 {
        self.others.clear();
        self.others.extend(other.chars());
        let (m, n) = (self.chars.len(), self.others.len());
        let range = (m.max(n) / 2).saturating_sub(1);
        self.matched.clear();
        self.matched.resize(m, false);
        self.order.clear();
        for (j, c) in self.others.iter().enumerate() {
            let (low, high) = (j.saturating_sub(range), (j + range + 1).min(m));
            let near = low.min(high)..high;
            if let Some(i) = near
                .into_iter()
                .find(|i| !self.matched[*i] && self.chars[*i] == *c)
            {
                self.matched[i] = true;
                self.order.push(*c);
            }
        }
        let mine = self.chars.iter().zip(&self.matched).filter(|(_, m)| **m);
        let transposed = mine.zip(&self.order).filter(|((a, _), b)| a != b).count();
        similarity(self.order.len() as u32, transposed as u32, m, n)
    }
}

/// Jaro's similarity of two lengths, by their matches and how many of these stand elsewhere.
fn similarity(matches: u32, transposed: u32, m: usize, n: usize) -> f64 {
    if matches == 0 {
        return 0.0;
    }
    let in_order = f64::from(matches - transposed / 2);
    let matches = f64::from(matches);
    (matches / m as f64 + matches / n as f64 + in_order / matches) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::{run, run_any_way, sorted};
    use arrow::array::StringViewArray;

    fn function(pairs: bool) -> FuzzyDuplicates {
        FuzzyDuplicates {
            threshold: 0.9,
            method: Method::JaroWinkler,
            ngram: 2,
            bands: 32,
            band_size: 3,
            pairs,
        }
    }

    fn batch(texts: Vec<Option<&str>>) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringViewArray::from(texts));
        RecordBatch::try_from_iter([("x", texts)]).unwrap()
    }

    /// Texts of few letters, so that all cases of matching occur.
    fn random_texts(n: u64, letters: &[char], longest: u64) -> Vec<String> {
        (0..n)
            .map(|i| {
                let length = mix(i) % (longest + 1);
                (0..length)
                    .map(|j| letters[(mix(mix(i) ^ j) % letters.len() as u64) as usize])
                    .collect()
            })
            .collect()
    }

    #[test]
    fn jaro_winkler_as_elsewhere() {
        for (letters, longest) in [("abc", 12), ("abcdefgh ", 64), ("äbc", 12), ("ab", 90)] {
            let letters: Vec<char> = letters.chars().collect();
            let texts = random_texts(300, &letters, longest);
            let mut pattern = Pattern::default();
            for a in &texts {
                pattern.set(a);
                for b in &texts {
                    if a == b {
                        continue;
                    }
                    let found = winkler(pattern.jaro(b), a, b);
                    let expected = strsim::jaro_winkler(b, a);
                    assert!((found - expected).abs() < 1e-12, "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn bounds_hold() {
        let letters: Vec<char> = "abcdeé".chars().collect();
        let texts = random_texts(400, &letters, 10);
        let mut values: Vec<&str> = texts.iter().map(String::as_str).collect();
        values.sort_unstable();
        values.dedup();
        let rows = batch(values.iter().map(|v| Some(*v)).collect());
        for threshold in [0.5, 0.7, 0.75, 0.9, 1.0] {
            let f = FuzzyDuplicates {
                threshold,
                ..function(true)
            };
            let mut expected = 0;
            let mut pattern = Pattern::default();
            for (i, a) in values.iter().enumerate() {
                pattern.set(a);
                for b in &values[i + 1..] {
                    expected += usize::from(winkler(pattern.jaro(b), a, b) >= threshold);
                }
            }
            assert_eq!(
                run(&f, std::slice::from_ref(&rows)).unwrap().num_rows(),
                expected
            );
        }
    }

    #[test]
    fn clusters_and_pairs() {
        let texts = vec![
            Some("martha"),
            Some("marhta"),
            Some("dwayne"),
            Some("duane"),
            None,
            Some("marhta"),
            Some(""),
            Some("Straße"),
            Some("Strasse"),
        ];
        let told = sorted(&run_any_way(&function(false), &batch(texts.clone())));
        assert_eq!(
            told,
            [
                "Strasse|1|2|Strasse|1.0",
                "Straße|1|2|Strasse|0.9095238095238095",
                "duane|2|1|duane|1.0",
                "dwayne|3|1|dwayne|1.0",
                "marhta|4|3|marhta|1.0",
                "martha|4|3|marhta|0.9611111111111111",
                "|0|1||1.0",
            ]
        );
        let pairs = sorted(&run_any_way(&function(true), &batch(texts)));
        assert_eq!(
            pairs,
            [
                "Strasse|Straße|0.9095238095238095",
                "marhta|martha|0.9611111111111111"
            ]
        );
        assert_eq!(run(&function(true), &[]).unwrap().num_rows(), 0);
        assert_eq!(run(&function(false), &[]).unwrap().num_rows(), 0);
    }

    #[test]
    fn jaccard_of_ngrams() {
        let f = FuzzyDuplicates {
            threshold: 0.5,
            method: Method::Jaccard,
            ngram: 3,
            ..function(true)
        };
        // 4 of 6 trigrams
        let pairs = sorted(&run_any_way(
            &f,
            &batch(vec![Some("abcdefg"), Some("abcdefx"), Some("ab")]),
        ));
        assert_eq!(pairs, ["abcdefg|abcdefx|0.6666666666666666"]);
    }

    #[test]
    fn bands_find_what_is_near() {
        let n = ALL_PAIRS as u64 + 2000;
        let letters: Vec<char> = ('a'..='z').collect();
        let mut texts: Vec<String> = (0..n)
            .map(|i| {
                (0..14)
                    .map(|j| letters[(mix(mix(i) ^ j) % 26) as usize])
                    .collect()
            })
            .collect();
        for i in 0..500 {
            let mut near = texts[i].clone();
            near.replace_range(6..7, "-");
            texts.push(near);
        }
        let texts: Vec<Option<&str>> = texts.iter().map(|t| Some(t.as_str())).collect();
        let rows = batch(texts);
        let found = run(&function(true), std::slice::from_ref(&rows)).unwrap();
        assert!(found.num_rows() >= 495, "{}", found.num_rows());
        let clusters = run(&function(false), &[rows]).unwrap();
        let sizes = clusters
            .column(2)
            .as_primitive::<arrow::datatypes::Int64Type>();
        let twos = sizes.values().iter().filter(|s| **s >= 2).count();
        assert!(twos >= 990, "{twos}");
    }
}
