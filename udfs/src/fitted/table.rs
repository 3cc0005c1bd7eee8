//! A hash table from small fixed-size keys to numbers: what counting values comes down to.

use std::hash::{BuildHasherDefault, Hasher};

/// A key that fits a register or two.
pub trait Key: Copy + Eq + Ord + std::fmt::Debug + Send + Sync + 'static {
    /// How a slot holds it: as the key, but aligned as a number beside it is.
    type Held: Copy + Eq + std::fmt::Debug + Send + Sync + 'static;

    /// Marks an empty slot; as a key it is kept apart.
    const EMPTY: Self;

    fn held(self) -> Self::Held;

    fn of_held(held: Self::Held) -> Self;

    /// Its bits, mixed.
    fn mix(self) -> u64;

    /// Appends it to an encoded state.
    fn write(self, out: &mut Vec<u8>);
}

/// 2^64 / golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Key for i64 {
    type Held = Self;

    const EMPTY: Self = Self::MIN;

    #[inline]
    fn held(self) -> Self {
        self
    }

    #[inline]
    fn of_held(held: Self) -> Self {
        held
    }

    #[inline]
    fn mix(self) -> u64 {
        let bits = self as u64;
        (bits ^ (bits >> 32)).wrapping_mul(GOLDEN)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl Key for u128 {
    type Held = [u64; 2];

    const EMPTY: Self = Self::MAX;

    #[inline]
    fn held(self) -> [u64; 2] {
        [self as u64, (self >> 64) as u64]
    }

    #[inline]
    fn of_held([low, high]: [u64; 2]) -> Self {
        Self::from(low) | Self::from(high) << 64
    }

    #[inline]
    fn mix(self) -> u64 {
        let product = u128::from(self as u64 ^ GOLDEN)
            * u128::from((self >> 64) as u64 ^ 0xd6e8_feb8_6659_fd93);
        ((product as u64) ^ (product >> 64) as u64).wrapping_mul(GOLDEN)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

/// Slots of a table that fits a cache.
const SMALL: usize = 16_384;
/// Slots that are walked in a row.
const BLOCK: usize = 64;

/// Open addressing with linear probing, at most five eighths full.
#[derive(Debug, Clone)]
pub struct Table<K: Key> {
    slots: Vec<(K::Held, u64)>,
    used: usize,
    /// 64 less the bits of a slot's number.
    shift: u32,
    /// The number of the key that marks empty slots.
    empty: Option<u64>,
}

impl<K: Key> Default for Table<K> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            used: 0,
            shift: 64,
            empty: None,
        }
    }
}

impl<K: Key> Table<K> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.used + usize::from(self.empty.is_some())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held on the heap.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<(K::Held, u64)>()
    }

    /// Keys and numbers, in no order: blocks of slots come scattered. In the order of the slots, which is that of
    /// the hashes, a table that they are added to would have them all in one corner, where each is looked for past
    /// all others.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        let blocks = self.slots.len().div_ceil(BLOCK);
        let scatter = move |i: usize| i.wrapping_mul(GOLDEN as usize) & (blocks - 1);
        let slots = (0..blocks).flat_map(move |i| {
            let start = scatter(i) * BLOCK;
            let end = (start + BLOCK).min(self.slots.len());
            self.slots[start..end].iter()
        });
        let empty = K::EMPTY.held();
        let filled = slots.filter(move |(k, _)| *k != empty);
        filled
            .map(|(k, n)| (K::of_held(*k), *n))
            .chain(self.empty.map(|n| (K::EMPTY, n)))
    }

    /// Keys, as they are held, and numbers, in no order, where the slots are.
    pub fn into_entries(self) -> Vec<(K::Held, u64)> {
        let mut entries = self.slots;
        let empty = K::EMPTY.held();
        entries.retain(|(k, _)| *k != empty);
        entries.extend(self.empty.map(|n| (empty, n)));
        entries
    }

    /// Keys and numbers in the order of the keys.
    pub fn sorted(&self) -> Vec<(K, u64)> {
        let mut sorted: Vec<_> = self.iter().collect();
        sorted.sort_unstable();
        sorted
    }

    /// Adds to a key's number, which starts at 0.
    #[inline]
    pub fn add(&mut self, key: K, n: u64) {
        if key == K::EMPTY {
            self.empty = Some(self.empty.unwrap_or(0) + n);
            return;
        }
        if !self.slots.is_empty() {
            let (held, empty) = (key.held(), K::EMPTY.held());
            let mask = self.slots.len() - 1;
            let mut at = (key.mix() >> self.shift) as usize;
            loop {
                let slot = &mut self.slots[at & mask];
                if slot.0 == held {
                    slot.1 += n;
                    return;
                }
                if slot.0 == empty {
                    break;
                }
                at += 1;
            }
        }
        self.insert(key, n);
    }

    #[cold]
    fn insert(&mut self, key: K, n: u64) {
        if self.used >= Self::room(self.slots.len()) {
            self.resize((2 * self.slots.len()).max(8));
        }
        self.place(key, n);
        self.used += 1;
    }

    /// How many keys so many slots take.
    fn room(slots: usize) -> usize {
        match slots {
            // small tables are kept emptier: a collision costs more than the memory
            ..=SMALL => slots / 4,
            _ => slots / 8 * 5,
        }
    }

    fn place(&mut self, key: K, n: u64) {
        let empty = K::EMPTY.held();
        let mask = self.slots.len() - 1;
        let mut at = (key.mix() >> self.shift) as usize & mask;
        while self.slots[at].0 != empty {
            at = (at + 1) & mask;
        }
        self.slots[at] = (key.held(), n);
    }

    /// A key's number.
    #[inline]
    pub fn get(&self, key: K) -> Option<u64> {
        if key == K::EMPTY {
            return self.empty;
        }
        if self.slots.is_empty() {
            return None;
        }
        let (held, empty) = (key.held(), K::EMPTY.held());
        let mask = self.slots.len() - 1;
        let mut at = (key.mix() >> self.shift) as usize;
        loop {
            let slot = &self.slots[at & mask];
            if slot.0 == held {
                return Some(slot.1);
            }
            if slot.0 == empty {
                return None;
            }
            at += 1;
        }
    }

    /// Makes room for `keys` keys in all.
    pub fn reserve(&mut self, keys: usize) {
        let mut slots = self.slots.len().max(8);
        while Self::room(slots) < keys {
            slots *= 2;
        }
        if keys > 0 && slots > self.slots.len() {
            self.resize(slots);
        }
    }

    fn resize(&mut self, size: usize) {
        let empty = K::EMPTY.held();
        let old = std::mem::replace(&mut self.slots, vec![(empty, 0); size]);
        self.shift = 64 - size.trailing_zeros();
        for (key, n) in old.into_iter().filter(|(k, _)| *k != empty) {
            self.place(K::of_held(key), n);
        }
    }

    /// Adds all of another table's numbers.
    pub fn absorb(&mut self, other: &Self) {
        self.reserve(other.len());
        for (key, n) in other.iter() {
            self.add(key, n);
        }
    }

    /// Appends keys and numbers to `out`, after how many there are.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.len() as u64).to_le_bytes());
        for (key, n) in self.iter() {
            key.write(out);
            out.extend(n.to_le_bytes());
        }
    }
}

/// A hasher of short byte strings, eight bytes at a time.
#[derive(Debug, Default, Clone, Copy)]
pub struct FastHasher(u64);

/// Makes [`FastHasher`]s.
pub type FastState = BuildHasherDefault<FastHasher>;

impl FastHasher {
    #[inline]
    fn take(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ GOLDEN) * u128::from(0xd6e8_feb8_6659_fd93_u64);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.take(u64::from_le_bytes(last));
        }
        self.take(bytes.len() as u64);
    }

    fn write_usize(&mut self, n: usize) {
        self.take(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(GOLDEN)
    }
}
