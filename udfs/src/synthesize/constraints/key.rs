//! Keys, made anew: by numbering on, as a permutation of a range, or by a pattern.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{Result, exec_err, plan_err};
use serde::{Deserialize, Serialize};

use super::Places;
use crate::synthesize::codec::{of_int64, plain, plain_type};
use crate::synthesize::rng;

/// Fewer rows than this tell nothing about what is a key.
const LEAST_ROWS: usize = 20;

/// How a column's keys are made. No two rows of a table get the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Key {
    /// `prefix` and a whole number that counts on from the last.
    Numbered {
        prefix: String,
        next: i64,
        step: u64,
    },
    /// The whole numbers from `low` to `high` in an order that the seed shuffles.
    Shuffled { low: i64, high: i64 },
    /// Texts of a pattern in an order that the seed shuffles.
    Pattern(Pattern),
}

/// Letters that are as they are, and letters of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    letters: Vec<Letter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Letter {
    Is(char),
    Of(Set),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Set {
    Digit,
    Upper,
    Lower,
    Hex,
}

impl Set {
    const ALL: [Self; 4] = [Self::Digit, Self::Upper, Self::Lower, Self::Hex];

    fn letters(self) -> &'static str {
        match self {
            Self::Digit => "0123456789",
            Self::Upper => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            Self::Lower => "abcdefghijklmnopqrstuvwxyz",
            Self::Hex => "0123456789abcdef",
        }
    }

    /// How it is written in a pattern.
    fn sign(self) -> char {
        match self {
            Self::Digit => '#',
            Self::Upper => '@',
            Self::Lower => '&',
            Self::Hex => '~',
        }
    }
}

impl Pattern {
    /// Reads `C-#####`: `#` a digit, `@` a capital, `&` a small letter, `~` a hexadecimal digit; a backslash makes
    /// the next letter stand for itself.
    pub fn parse(text: &str) -> Result<Self> {
        let mut letters = Vec::new();
        let mut rest = text.chars();
        while let Some(letter) = rest.next() {
            let set = Set::ALL.into_iter().find(|set| set.sign() == letter);
            letters.push(match (letter, set) {
                ('\\', _) => Letter::Is(rest.next().unwrap_or('\\')),
                (_, Some(set)) => Letter::Of(set),
                (_, None) => Letter::Is(letter),
            });
        }
        let pattern = Self { letters };
        if pattern.count() < 2 {
            return plan_err!(
                "option constraints: pattern '{text}' gives one key alone; write # for a digit, @ for a \
                 capital, & for a small letter, ~ for a hexadecimal digit, as in 'C-#####'"
            );
        }
        Ok(pattern)
    }

    /// The narrowest pattern of all texts, if they are of one length.
    fn infer(texts: &StringArray) -> Option<Self> {
        let first: Vec<char> = texts.iter().flatten().next()?.chars().collect();
        if first.is_empty() || first.len() > 64 {
            return None;
        }
        let mut letters: Vec<Option<Letter>> = first.iter().map(|&c| Some(Letter::Is(c))).collect();
        for text in texts.iter().flatten() {
            let mut count = 0;
            for (i, letter) in text.chars().enumerate() {
                let place = letters.get_mut(i)?;
                *place = widen((*place)?, letter);
                count += 1;
            }
            if count != letters.len() {
                return None;
            }
        }
        let mut letters: Vec<Letter> = letters.into_iter().collect::<Option<_>>()?;
        // A number's leading zeros are digits like the rest of it.
        for i in (1..letters.len()).rev() {
            let digit = matches!(letters[i - 1], Letter::Is(c) if c.is_ascii_digit());
            if digit && letters[i] == Letter::Of(Set::Digit) {
                letters[i - 1] = Letter::Of(Set::Digit);
            }
        }
        let pattern = Self { letters };
        // Letters seen before a place became hexadecimal may be beyond f.
        let sound = texts.iter().flatten().all(|text| pattern.matches(text));
        sound.then_some(pattern)
    }

    fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        self.letters
            .iter()
            .all(|letter| match (letter, rest.next()) {
                (Letter::Is(a), Some(b)) => *a == b,
                (Letter::Of(set), Some(b)) => set.letters().contains(b),
                (_, None) => false,
            })
            && rest.next().is_none()
    }

    /// How many texts it has.
    fn count(&self) -> u128 {
        self.letters.iter().fold(1, |count, letter| match letter {
            Letter::Is(_) => count,
            Letter::Of(set) => count.saturating_mul(set.letters().len() as u128),
        })
    }

    /// Its n-th text.
    fn text(&self, mut n: u128) -> String {
        let mut text: Vec<char> = Vec::with_capacity(self.letters.len());
        for letter in self.letters.iter().rev() {
            text.push(match letter {
                Letter::Is(letter) => *letter,
                Letter::Of(set) => {
                    let letters = set.letters().as_bytes();
                    let base = letters.len() as u128;
                    let digit = letters[(n % base) as usize];
                    n /= base;
                    char::from(digit)
                }
            });
        }
        text.iter().rev().collect()
    }

    fn shown(&self) -> String {
        let mut text = String::new();
        for letter in &self.letters {
            match letter {
                Letter::Is(letter) => {
                    if *letter == '\\' || Set::ALL.iter().any(|set| set.sign() == *letter) {
                        text.push('\\');
                    }
                    text.push(*letter);
                }
                Letter::Of(set) => text.push(set.sign()),
            }
        }
        text
    }
}

/// What covers a place and one more letter; nothing if no set does.
fn widen(place: Letter, letter: char) -> Option<Letter> {
    match place {
        Letter::Is(known) if known == letter => Some(place),
        Letter::Of(set) if set.letters().contains(letter) => Some(place),
        _ => {
            let covers = |set: Set| {
                set.letters().contains(letter)
                    && match place {
                        Letter::Is(known) => set.letters().contains(known),
                        Letter::Of(known) => {
                            known.letters().chars().all(|c| set.letters().contains(c))
                        }
                    }
            };
            // Two letters from a to f may be of either set: hexadecimal digits, where digits occur as well.
            Set::ALL
                .into_iter()
                .find(|set| covers(*set))
                .map(Letter::Of)
                .or_else(|| {
                    let hex = Set::Hex.letters();
                    let small = place == Letter::Of(Set::Lower) && hex.contains(letter);
                    small.then_some(Letter::Of(Set::Hex))
                })
        }
    }
}

impl Key {
    /// How to make more keys like a column's, if it looks like one of keys: all different, none missing,
    /// and whole numbers whose name says so, or texts that are numbered or of one pattern.
    pub fn detect(name: &str, array: &ArrayRef) -> Result<Option<Self>> {
        if array.len() < LEAST_ROWS || array.null_count() > 0 {
            return Ok(None);
        }
        let array = plain(array)?;
        if array.data_type().is_integer() {
            if !says_key(name) {
                return Ok(None);
            }
            return Ok(whole(&array)?
                .filter(distinct)
                .map(|numbers| Self::of_numbers(&numbers)));
        }
        match texts(&array)? {
            Some(texts) if is_distinct(texts.iter().flatten()) => Ok(Self::of_texts(&texts)),
            _ => Ok(None),
        }
    }

    /// How to make more keys like a column's that is said to be one.
    pub fn unique(name: &str, array: &ArrayRef) -> Result<Self> {
        let array = plain(array)?;
        complete(name, &array)?;
        if let Some(numbers) = whole(&array)? {
            let different: HashSet<i64> = numbers.values().iter().copied().collect();
            repeated(name, different.len(), numbers.len())?;
            return Ok(Self::of_numbers(&numbers));
        }
        let Some(texts) = texts(&array)? else {
            return plan_err!(
                "option constraints: unique ({name}) is for texts and whole numbers, not {}",
                array.data_type()
            );
        };
        let different: HashSet<&str> = texts.iter().flatten().collect();
        repeated(name, different.len(), texts.len())?;
        match Self::of_texts(&texts) {
            Some(key) => Ok(key),
            None => plan_err!(
                "option constraints: unique ({name}): its texts have no pattern in common by which more \
                 could be made. Write pattern ({name}, 'C-#####'), or leave {name} out of the query"
            ),
        }
    }

    /// Keys of a given pattern, which the column's texts must have.
    pub fn pattern(name: &str, pattern: &str, array: &ArrayRef) -> Result<Self> {
        let parsed = Pattern::parse(pattern)?;
        let array = plain(array)?;
        complete(name, &array)?;
        let Some(texts) = texts(&array)? else {
            return plan_err!(
                "option constraints: pattern ({name}, ...) is for texts, not {}",
                array.data_type()
            );
        };
        let other: Vec<&str> = texts
            .iter()
            .flatten()
            .filter(|text| !parsed.matches(text))
            .collect();
        if let Some(first) = other.first() {
            return exec_err!(
                "constraint pattern ({name}, '{pattern}') does not hold in {} of {} rows; the first is '{first}'",
                other.len(),
                texts.len()
            );
        }
        let different: HashSet<&str> = texts.iter().flatten().collect();
        repeated(name, different.len(), texts.len())?;
        Ok(Self::Pattern(parsed))
    }

    fn of_numbers(numbers: &Int64Array) -> Self {
        let mut sorted = numbers.values().to_vec();
        sorted.sort_unstable();
        let (low, high) = (
            sorted.first().copied().unwrap_or(0),
            sorted.last().copied().unwrap_or(0),
        );
        let step = sorted
            .windows(2)
            .map(|pair| pair[1].abs_diff(pair[0]))
            .min()
            .unwrap_or(1)
            .max(1);
        let even = sorted
            .windows(2)
            .all(|pair| pair[1].abs_diff(pair[0]) == step);
        match (
            even,
            i64::try_from(step)
                .ok()
                .and_then(|step| high.checked_add(step)),
        ) {
            (true, Some(next)) => Self::Numbered {
                prefix: String::new(),
                next,
                step,
            },
            _ => Self::Shuffled { low, high },
        }
    }

    fn of_texts(texts: &StringArray) -> Option<Self> {
        if let Some(pattern) = Pattern::infer(texts)
            && pattern.count() >= 2 * texts.len() as u128
        {
            return Some(Self::Pattern(pattern));
        }
        // `user1` to `user1000`.
        let first = texts.iter().flatten().next()?;
        let prefix = first.trim_end_matches(|c: char| c.is_ascii_digit());
        let mut last = 0;
        for text in texts.iter().flatten() {
            let number = text.strip_prefix(prefix)?;
            let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
            last = last.max(
                number
                    .parse::<i64>()
                    .ok()
                    .filter(|_| plain || number == "0")?,
            );
        }
        Some(Self::Numbered {
            prefix: prefix.to_string(),
            next: last.checked_add(1)?,
            step: 1,
        })
    }

    /// How many keys there are.
    fn count(&self, data_type: &DataType) -> u128 {
        match self {
            Self::Numbered { next, step, prefix } => {
                let most = match prefix.is_empty() {
                    true => largest(plain_type(data_type)),
                    false => i128::from(i64::MAX),
                };
                let left = (most - i128::from(*next)).max(-1) + 1;
                (left.unsigned_abs()).div_ceil(u128::from(*step).max(1))
            }
            Self::Shuffled { low, high } => {
                (i128::from(*high) - i128::from(*low)).unsigned_abs() + 1
            }
            Self::Pattern(pattern) => pattern.count(),
        }
    }

    /// The keys of rows.
    pub fn make(&self, name: &str, places: &Places<'_>, data_type: &DataType) -> Result<ArrayRef> {
        let count = self.count(data_type);
        let seed = places.seed(name);
        let mut numbers: Vec<u128> = Vec::with_capacity(places.len());
        for place in places.numbers() {
            match place {
                // Rows of a table, of which each has a number.
                Ok(row) if u128::from(row) < count => numbers.push(match self {
                    Self::Numbered { .. } => u128::from(row),
                    _ => shuffled(row, count, seed),
                }),
                Ok(row) => {
                    return exec_err!(
                        "column {name} has {count} different keys, and row {row} needs one more; draw fewer rows"
                    );
                }
                // Rows that are drawn by keys of their own: these are all there is to tell them apart.
                Err(key) if count == 0 => numbers.push(u128::from(key % 2)),
                Err(key) => numbers.push(shuffled(key, count, seed)),
            }
        }
        let array: ArrayRef = match self {
            Self::Numbered { prefix, next, step } => {
                let at = |n: u128| {
                    let n = i128::try_from(n).unwrap_or(i128::MAX);
                    let steps = n.saturating_mul(i128::from(*step));
                    let number = i128::from(*next).saturating_add(steps);
                    number.min(i128::from(i64::MAX)) as i64
                };
                let numbers = numbers.into_iter().map(at);
                match data_type.is_integer() {
                    true => of_int64(&Int64Array::from_iter_values(numbers), data_type)?,
                    false => Arc::new(StringArray::from_iter_values(
                        numbers.map(|number| format!("{prefix}{number}")),
                    )),
                }
            }
            Self::Shuffled { low, .. } => {
                let at = |n: u128| (i128::from(*low) + i128::try_from(n).unwrap_or(0)) as i64;
                let numbers = Int64Array::from_iter_values(numbers.into_iter().map(at));
                of_int64(&numbers, plain_type(data_type))?
            }
            Self::Pattern(pattern) => Arc::new(StringArray::from_iter_values(
                numbers.into_iter().map(|n| pattern.text(n)),
            )),
        };
        Ok(cast(&array, data_type)?)
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Self::Numbered { prefix, next, step } => {
                format!("key, made anew: from {prefix}{next} on, in steps of {step}")
            }
            Self::Shuffled { low, high } => {
                format!("key, made anew: {low} to {high} shuffled, each at most once")
            }
            Self::Pattern(pattern) => {
                format!(
                    "key, made anew: of the pattern '{}', each at most once",
                    pattern.shown()
                )
            }
        }
    }
}

fn largest(data_type: &DataType) -> i128 {
    match data_type {
        DataType::Int8 => i128::from(i8::MAX),
        DataType::Int16 => i128::from(i16::MAX),
        DataType::Int32 => i128::from(i32::MAX),
        DataType::UInt8 => i128::from(u8::MAX),
        DataType::UInt16 => i128::from(u16::MAX),
        DataType::UInt32 => i128::from(u32::MAX),
        _ => i128::from(i64::MAX),
    }
}

/// Whether a name is that of a key: `id`, `user_id`, `userId`, `key`, `row_number`, `index`.
fn says_key(name: &str) -> bool {
    let lower = name.to_lowercase();
    let camel = name.ends_with("Id") || name.ends_with("ID");
    let last = lower
        .rsplit(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default();
    camel
        || [
            "id", "key", "uuid", "guid", "index", "rowid", "rownum", "pk",
        ]
        .contains(&last)
        || lower == "row_number"
}

fn whole(array: &ArrayRef) -> Result<Option<Int64Array>> {
    if !array.data_type().is_integer() {
        return Ok(None);
    }
    let numbers = cast(array, &DataType::Int64)?;
    // What does not fit has become NULL.
    Ok((numbers.null_count() == 0).then(|| numbers.as_primitive::<Int64Type>().clone()))
}

fn texts(array: &ArrayRef) -> Result<Option<StringArray>> {
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(Some(
            cast(array, &DataType::Utf8)?.as_string::<i32>().clone(),
        )),
        _ => Ok(None),
    }
}

fn distinct(numbers: &Int64Array) -> bool {
    is_distinct(numbers.values().iter())
}

/// Ends at the first that was seen before.
fn is_distinct<T: std::hash::Hash + Eq>(mut values: impl Iterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    values.all(|value| seen.insert(value))
}

fn complete(name: &str, array: &ArrayRef) -> Result<()> {
    match array.null_count() {
        0 => Ok(()),
        nulls => exec_err!(
            "column {name} is to be a key, but {nulls} of {} rows have none (NULL)",
            array.len()
        ),
    }
}

fn repeated(name: &str, different: usize, rows: usize) -> Result<()> {
    match rows - different {
        0 => Ok(()),
        repeated => exec_err!(
            "column {name} is to be a key, but {repeated} of {rows} rows repeat another's value"
        ),
    }
}

/// The place of `n` in an order of `0..count` that the seed decides: a bijection for `n` below `count`.
fn shuffled(n: u64, count: u128, seed: u64) -> u128 {
    let Ok(count) = u64::try_from(count) else {
        // More than 64 bits: a bijection of the low ones, and any high ones.
        let high = rng::key(seed, n);
        return (u128::from(high) << 64 | u128::from(rng::mix(n ^ seed))) % count;
    };
    let n = n % count.max(1);
    // A Feistel network over the least even number of bits that hold count; what falls outside goes round again.
    let bits = (64 - count.saturating_sub(1).leading_zeros())
        .max(2)
        .next_multiple_of(2);
    let half = bits / 2;
    let mask = u64::MAX >> (64 - half);
    let mut place = n;
    loop {
        let (mut left, mut right) = (place >> half, place & mask);
        for round in 0..4 {
            let mixed = rng::key(seed ^ round, right) & mask;
            (left, right) = (right, left ^ mixed);
        }
        place = left << half | right;
        if place < count {
            return u128::from(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::Int32Array;

    use super::*;

    #[test]
    fn a_shuffle_holds_every_number_once() {
        for count in [1u64, 2, 3, 10, 1000, 4096] {
            let seen: BTreeSet<u128> = (0..count)
                .map(|n| shuffled(n, u128::from(count), 5))
                .collect();
            assert_eq!(seen.len() as u64, count);
            assert!(seen.iter().all(|n| *n < u128::from(count)));
        }
        assert_ne!(shuffled(1, 1000, 5), shuffled(1, 1000, 6));
    }

    #[test]
    fn patterns_are_read_written_and_counted() {
        let pattern = Pattern::parse("C-##@\\#").unwrap();
        assert_eq!(pattern.count(), 2600);
        assert_eq!(pattern.shown(), "C-##@\\#");
        assert_eq!(pattern.text(0), "C-00A#");
        assert_eq!(pattern.text(2599), "C-99Z#");
        assert!(
            pattern.matches("C-17Q#") && !pattern.matches("C-17q#") && !pattern.matches("C-17Q#1")
        );
        assert!(Pattern::parse("C-1").is_err());
    }

    fn detect(texts: impl Iterator<Item = String>) -> Option<String> {
        let array: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        Key::detect("x", &array).unwrap().map(|key| key.describe())
    }

    #[test]
    fn keys_are_told_from_other_columns() {
        let zeros = detect((1..100).map(|i| format!("C-{i:05}"))).unwrap();
        assert!(zeros.contains("'C-#####'"), "{zeros}");
        let numbered = detect((1..100).map(|i| format!("user{i}"))).unwrap();
        assert!(numbered.contains("from user100 on"), "{numbered}");
        let hex = |i: u64| format!("{:016x}", rng::mix(i));
        let hex = detect((1..100).map(hex)).unwrap();
        assert!(hex.contains("'~~~~~~~~~~~~~~~~'"), "{hex}");
        assert_eq!(detect((1..100).map(|i| format!("{}", i % 50))), None);
        assert_eq!(detect((1..100).map(|i| "x".repeat(i))), None);
        assert_eq!(detect((1..10).map(|i| format!("C-{i:05}"))), None);
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(1..100));
        assert_eq!(Key::detect("age", &numbers).unwrap(), None);
        assert!(Key::detect("person_id", &numbers).unwrap().is_some());
        let nothing: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
        assert_eq!(Key::detect("id", &nothing).unwrap(), None);
    }
}
