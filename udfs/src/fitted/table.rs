//! A hash table from small fixed-size keys to numbers: what counting values comes down to.

use std::hash::{BuildHasherDefault, Hasher};

/// A key that fits a register or two.
pub trait Key: Copy + Eq + Ord + std::fmt::Debug + Send + Sync + 'static {
    /// Marks an empty slot; as a key it is kept apart.
    const EMPTY: Self;

    /// Its bits, mixed.
    fn mix(self) -> u64;

    /// Appends it to an encoded state.
    fn write(self, out: &mut Vec<u8>);
}

/// 2^64 / golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Key for i64 {
    const EMPTY: Self = Self::MIN;

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
    const EMPTY: Self = Self::MAX;

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

/// Open addressing with linear probing, at most half full.
#[derive(Debug, Clone)]
pub struct Table<K> {
    slots: Vec<(K, u64)>,
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
        self.slots.capacity() * size_of::<(K, u64)>()
    }

    /// Keys and numbers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        let slots = self.slots.iter().copied().filter(|(k, _)| *k != K::EMPTY);
        slots.chain(self.empty.map(|n| (K::EMPTY, n)))
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
            let mask = self.slots.len() - 1;
            let mut at = (key.mix() >> self.shift) as usize;
            loop {
                let slot = &mut self.slots[at & mask];
                if slot.0 == key {
                    slot.1 += n;
                    return;
                }
                if slot.0 == K::EMPTY {
                    break;
                }
                at += 1;
            }
        }
        self.insert(key, n);
    }

    #[cold]
    fn insert(&mut self, key: K, n: u64) {
        // small tables are kept emptier: a collision costs more than the memory
        let room = if self.slots.len() <= SMALL { 4 } else { 2 };
        if room * (self.used + 1) > self.slots.len() {
            self.resize((2 * self.slots.len()).max(8));
        }
        self.place(key, n);
        self.used += 1;
    }

    fn place(&mut self, key: K, n: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (key.mix() >> self.shift) as usize & mask;
        while self.slots[at].0 != K::EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = (key, n);
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
        let mask = self.slots.len() - 1;
        let mut at = (key.mix() >> self.shift) as usize;
        loop {
            let slot = &self.slots[at & mask];
            if slot.0 == key {
                return Some(slot.1);
            }
            if slot.0 == K::EMPTY {
                return None;
            }
            at += 1;
        }
    }

    /// Makes room for `keys` keys in all. Keys that come in the order of another table are to be added to a table
    /// that has room for them: they are in the order of their hashes, and one that grows as they come would have
    /// them all in one corner, where each is looked for past all others.
    pub fn reserve(&mut self, keys: usize) {
        if 2 * keys > self.slots.len() {
            self.resize((2 * keys).next_power_of_two().max(8));
        }
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.slots, vec![(K::EMPTY, 0); size]);
        self.shift = 64 - size.trailing_zeros();
        for (key, n) in old.into_iter().filter(|(k, _)| *k != K::EMPTY) {
            self.place(key, n);
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
