//! Arrays cut off, and with bits that are not as they were: rows or an error, never a panic, and no memory for what a
//! header only claims.

use std::io::Write;

use zip::write::SimpleFileOptions;

use super::pictures::{idx, npy};
use super::*;

/// A number that looks random, by its place in a sequence.
fn scattered(i: usize) -> usize {
    (i as u64 + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29) as usize
}

/// Every beginning of a file, and the file with one, two or eight of its bits turned.
fn damages(whole: &[u8], turned: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..whole.len()).map(|n| whole[..n].to_vec()).collect();
    for i in 0..turned {
        let mut file = whole.to_vec();
        for bit in 0..[1, 2, 8][i % 3] {
            let at = scattered(8 * i + bit) % (8 * whole.len());
            file[at / 8] ^= 1 << (at % 8);
        }
        all.push(file);
    }
    all
}

/// Reads each damaged file; gives how many could be.
fn read(reader: Reader, ending: &str, whole: &[u8], turned: usize) -> usize {
    let fixture = Fixture::with(2, 4);
    let mut readable = 0;
    for file in damages(whole, turned) {
        let path = fixture.write(&format!("damaged.{ending}"), &file);
        // no more rows than there could be: a header may claim any number of rows without bytes
        let rows = fixture
            .open(reader, &path, &[])
            .and_then(|table| fixture.select(table, None, Some(100)));
        readable += usize::from(rows.is_ok());
    }
    readable
}

#[test]
fn damaged_arrays() {
    let floats: Vec<u8> = (0..12).flat_map(|v| (v as f32).to_le_bytes()).collect();
    let vectors = npy("<f4", "(6, 2)", &floats);
    // a bit of a number is one of another number
    assert!(read(Reader::Npy, "npy", &vectors, 2000) > 100);
    let pictures = npy("|u1", "(3, 2, 2, 3)", &[7; 36]);
    read(Reader::Npy, "npy", &pictures, 2000);
    let mut zipped = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [("x.npy", &vectors), ("y.npy", &npy("|i1", "(6,)", &[1; 6]))] {
        zipped
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        zipped.write_all(content).unwrap();
    }
    let zipped = zipped.finish().unwrap().into_inner();
    read(Reader::Npz, "npz", &zipped, 2000);
    let images = idx(8, &[3, 2, 2], &[7; 12]);
    assert!(read(Reader::Idx, "idx", &images, 2000) > 100);
    read(Reader::Idx, "idx", &idx(13, &[3, 1], &floats[..12]), 2000);
}

#[test]
fn headers_that_claim_too_much() {
    let fixture = Fixture::with(2, 4);
    let read = |ending: &str, file: Vec<u8>| {
        let path = fixture.write(&format!("wrong.{ending}"), file);
        let reader = if ending == "npy" {
            Reader::Npy
        } else {
            Reader::Idx
        };
        let rows = fixture
            .open(reader, &path, &[])
            .and_then(|table| fixture.rows(table));
        rows.unwrap_err().to_string()
    };
    let huge = u64::MAX;
    for shape in [
        format!("({huge},)"),
        format!("({huge}, 2)"),
        format!("(2, {huge})"),
        format!("(2, {huge}, {huge}, 0)"),
        format!("({}, 1000000)", 1_u64 << 62),
        "(99999999999999999999999999,)".to_string(),
        "(-1,)".to_string(),
    ] {
        read("npy", npy("<f8", &shape, &[0; 64]));
        read("npy", npy("|u1", &shape, &[0; 64]));
    }
    for brackets in ["(", "[", "{", "{'a': (", "([{"] {
        let message = read("npy", npy("<f4", &brackets.repeat(5000), &[]));
        assert!(message.contains("too many brackets"), "{message}");
    }
    let mut long = npy("<f4", "(1,)", &[0; 4]);
    long[6] = 2;
    long.splice(8..10, u32::MAX.to_le_bytes());
    let message = read("npy", long);
    assert!(message.contains("header is too long"), "{message}");
    read("idx", idx(14, &[u32::MAX; 255], &[0; 64]));
    read("idx", idx(8, &[u32::MAX, 1], &[0; 64]));
}
