//! FarmHash's Fingerprint64, the hash behind BigQuery's FARM_FINGERPRINT.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// Eight bytes from a place on; what is beyond the end counts as 0.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => 0,
    }
}

/// Four bytes from a place on.
fn half(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(four) => u64::from(u32::from_le_bytes(*four)),
        None => 0,
    }
}

#[inline]
fn folded(x: u64) -> u64 {
    x ^ (x >> 47)
}

#[inline]
fn mixed(u: u64, v: u64, mul: u64) -> u64 {
    let a = folded((u ^ v).wrapping_mul(mul));
    folded((v ^ a).wrapping_mul(mul)).wrapping_mul(mul)
}

/// The sum of all.
#[inline]
fn sum<const N: usize>(all: [u64; N]) -> u64 {
    all.into_iter().fold(0, u64::wrapping_add)
}

/// FarmHash's Fingerprint64.
pub(crate) fn fingerprint64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0..=16 => up_to_16(bytes),
        17..=32 => up_to_32(bytes),
        33..=64 => up_to_64(bytes),
        _ => beyond_64(bytes),
    }
}

fn up_to_16(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let length = len as u64;
    let mul = K2.wrapping_add(2 * length);
    match bytes {
        [] => K2,
        [first, ..] if len < 4 => {
            let y = u64::from(*first) + (u64::from(bytes[len / 2]) << 8);
            let z = length + (u64::from(bytes[len - 1]) << 2);
            folded(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
        }
        _ if len < 8 => mixed(length + (half(bytes, 0) << 3), half(bytes, len - 4), mul),
        _ => {
            let a = word(bytes, 0).wrapping_add(K2);
            let b = word(bytes, len - 8);
            let c = b.rotate_right(37).wrapping_mul(mul).wrapping_add(a);
            let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(mul);
            mixed(c, d, mul)
        }
    }
}

fn up_to_32(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let mul = K2.wrapping_add(2 * len as u64);
    let a = word(bytes, 0).wrapping_mul(K1);
    let b = word(bytes, 8);
    let c = word(bytes, len - 8).wrapping_mul(mul);
    let d = word(bytes, len - 16).wrapping_mul(K2);
    let u = sum([a.wrapping_add(b).rotate_right(43), c.rotate_right(30), d]);
    let v = sum([a, b.wrapping_add(K2).rotate_right(18), c]);
    mixed(u, v, mul)
}

fn up_to_64(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let mul = K2.wrapping_add(2 * len as u64);
    let a = word(bytes, 0).wrapping_mul(K2);
    let b = word(bytes, 8);
    let c = word(bytes, len - 8).wrapping_mul(mul);
    let d = word(bytes, len - 16).wrapping_mul(K2);
    let y = sum([a.wrapping_add(b).rotate_right(43), c.rotate_right(30), d]);
    let z = mixed(y, sum([a, b.wrapping_add(K2).rotate_right(18), c]), mul);
    let e = word(bytes, 16).wrapping_mul(mul);
    let f = word(bytes, 24);
    let g = y.wrapping_add(word(bytes, len - 32)).wrapping_mul(mul);
    let h = z.wrapping_add(word(bytes, len - 24)).wrapping_mul(mul);
    let u = sum([e.wrapping_add(f).rotate_right(43), g.rotate_right(30), h]);
    let v = sum([e, f.wrapping_add(a).rotate_right(18), g]);
    mixed(u, v, mul)
}

/// What is known after some blocks of 64 bytes.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// Takes a block; `weight` is 1 but for the last.
    #[inline]
    fn take(&mut self, block: &[u8], mul: u64, weight: u64) {
        let Self { x, y, z, v, w } = self;
        let turned = |all: u64, by: u32| all.rotate_right(by).wrapping_mul(mul);
        *x = turned(sum([*x, *y, v.0, word(block, 8)]), 37);
        *y = turned(sum([*y, v.1, word(block, 48)]), 42);
        *x ^= w.1.wrapping_mul(weight);
        *y = sum([*y, v.0.wrapping_mul(weight), word(block, 40)]);
        *z = turned(z.wrapping_add(w.0), 33);
        *v = quarter(block, 0, v.1.wrapping_mul(mul), x.wrapping_add(w.0));
        let second = y.wrapping_add(word(block, 16));
        *w = quarter(block, 32, z.wrapping_add(w.1), second);
        std::mem::swap(x, z);
    }
}

/// Two numbers mixed with 32 bytes.
#[inline]
fn quarter(block: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let last = word(block, at + 24);
    let a = a.wrapping_add(word(block, at));
    let b = sum([b, a, last]).rotate_right(21);
    let c = sum([a, word(block, at + 8), word(block, at + 16)]);
    let d = b.wrapping_add(c.rotate_right(44));
    (c.wrapping_add(last), d.wrapping_add(a))
}

fn beyond_64(bytes: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let mut state = State {
        x: SEED.wrapping_mul(K2).wrapping_add(word(bytes, 0)),
        y,
        z: folded(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2),
        v: (0, 0),
        w: (0, 0),
    };
    // the last block, of 1 to 64 bytes, is taken with what comes before it
    let rest = (bytes.len() - 1) % 64;
    let (blocks, _) = bytes[..bytes.len() - 1 - rest].as_chunks::<64>();
    for block in blocks {
        state.take(block, K1, 1);
    }
    let mul = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add(rest as u64);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.take(&bytes[bytes.len() - 64..], mul, 9);
    let State { x, y, z, v, w } = state;
    let first = sum([mixed(v.0, w.0, mul), folded(y).wrapping_mul(K0), z]);
    mixed(first, mixed(v.1, w.1, mul).wrapping_add(x), mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(fingerprint64(b""), K2);
        assert_eq!(fingerprint64(b"a"), 12_917_804_110_809_363_939);
        assert_eq!(fingerprint64(b"python"), 2_065_202_487_608_477_923);
    }

    /// Each length takes another way through the function: the sum of all, by Google's own code.
    #[test]
    fn all_lengths() {
        let text: Vec<u8> = (0..300u32).map(|i| (33 + i * 7 % 90) as u8).collect();
        let sum = (0..text.len()).fold(0u64, |sum, n| {
            sum.wrapping_mul(31).wrapping_add(fingerprint64(&text[..n]))
        });
        assert_eq!(sum, 15_868_837_334_366_082_454);
    }
}
