//! A hash table from texts to numbers: the texts side by side in one buffer, and a table of their places.

use std::hash::{BuildHasher, Hash};

use super::table::FastState;

/// Texts, each with a number.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<u64>,
    numbers: Vec<u64>,
    /// Open addressing: a text's place and one more in the lower half, the upper half of its hash above; 0 is empty.
    slots: Vec<u64>,
}

/// What the upper half of a slot is compared by.
const TAG: u64 = !0 << 32;

fn hash(text: &[u8]) -> u64 {
    FastState::default().hash_one(Bytes(text))
}

/// Hashed without the length that slices are hashed after.
struct Bytes<'a>(&'a [u8]);

impl Hash for Bytes<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl Texts {
    /// More texts than this have no place.
    pub const MOST: usize = u32::MAX as usize - 1;

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Bytes of all texts.
    pub fn text_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes held on the heap.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity()
            + 8 * (self.ends.capacity() + self.numbers.capacity() + self.slots.capacity())
    }

    /// A text.
    pub fn text(&self, place: usize) -> &[u8] {
        let start = match place {
            0 => 0,
            place => self.ends[place - 1],
        };
        &self.bytes[start as usize..self.ends[place] as usize]
    }

    /// The number of the text at a place.
    pub fn number(&self, place: usize) -> u64 {
        self.numbers[place]
    }

    /// Texts and numbers, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        (0..self.len()).map(|place| (self.text(place), self.numbers[place]))
    }

    /// The slot of a text, or the empty one where it belongs; there is an empty one.
    #[inline]
    fn find(&self, text: &[u8], hash: u64) -> (usize, Option<usize>) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return (at, None);
            }
            let place = (slot & !TAG) as usize - 1;
            if (slot ^ hash) & TAG == 0 && self.text(place) == text {
                return (at, Some(place));
            }
            at = (at + 1) & mask;
        }
    }

    /// A text's number.
    #[inline]
    pub fn get(&self, text: &[u8]) -> Option<u64> {
        if self.slots.is_empty() {
            return None;
        }
        let (_, place) = self.find(text, hash(text));
        place.map(|place| self.numbers[place])
    }

    /// A text's number, which is `new` for one that is not there yet.
    #[inline]
    pub fn entry(&mut self, text: &[u8], new: u64) -> &mut u64 {
        if 8 * self.len() >= 5 * self.slots.len() {
            self.resize((2 * self.slots.len()).max(16));
        }
        let hash = hash(text);
        let (slot, place) = self.find(text, hash);
        let place = place.unwrap_or_else(|| {
            let place = self.len();
            self.bytes.extend_from_slice(text);
            self.ends.push(self.bytes.len() as u64);
            self.numbers.push(new);
            self.slots[slot] = (hash & TAG) | (place as u64 + 1);
            place
        });
        &mut self.numbers[place]
    }

    /// Makes room for so many texts, in all, of so many bytes.
    pub fn reserve(&mut self, texts: usize, bytes: usize) {
        let mut slots = self.slots.len().max(16);
        while slots / 8 * 5 < texts {
            slots *= 2;
        }
        if texts > 0 && slots > self.slots.len() {
            self.resize(slots);
        }
        let missing = |wanted: usize, there: usize| wanted.saturating_sub(there);
        self.ends.reserve(missing(texts, self.ends.len()));
        self.numbers.reserve(missing(texts, self.numbers.len()));
        self.bytes.reserve(missing(bytes, self.bytes.len()));
    }

    fn resize(&mut self, size: usize) {
        self.slots = vec![0; size];
        let mask = size - 1;
        for place in 0..self.len() {
            let hash = hash(self.text(place));
            let mut at = hash as usize & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = (hash & TAG) | (place as u64 + 1);
        }
    }

    /// Places in the order of the texts' bytes.
    pub fn sorted(&self) -> Vec<u32> {
        // most texts are told apart by their first bytes
        let start = |text: &[u8]| {
            let mut first = [0; 8];
            let n = text.len().min(8);
            first[..n].copy_from_slice(&text[..n]);
            u64::from_be_bytes(first)
        };
        let texts = self.iter().zip(0u32..);
        let mut order: Vec<(u64, u32)> = texts.map(|((text, _), i)| (start(text), i)).collect();
        order.sort_unstable_by(|(a, i), (b, j)| {
            a.cmp(b)
                .then_with(|| self.text(*i as usize).cmp(self.text(*j as usize)))
        });
        order.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_and_sorted() {
        let mut texts = Texts::default();
        assert_eq!(texts.get(b"a"), None);
        let names: Vec<String> = (0..5000)
            .map(|i| format!("text {}", i * 7 % 5000))
            .collect();
        for (name, n) in names.iter().zip(0..) {
            *texts.entry(name.as_bytes(), n) += 1;
        }
        for name in &names {
            *texts.entry(name.as_bytes(), 0) += 1;
        }
        assert_eq!(texts.len(), 5000);
        for (name, n) in names.iter().zip(0..) {
            assert_eq!(texts.get(name.as_bytes()), Some(n + 2));
        }
        assert_eq!(texts.get(b"text"), None);
        let mut expected = names;
        expected.sort_unstable();
        let sorted = texts.sorted();
        let sorted = sorted.iter().map(|place| texts.text(*place as usize));
        assert!(sorted.eq(expected.iter().map(String::as_bytes)));
        assert!(texts.bytes() > texts.text_bytes() + 5000 * 24);
    }
}
