//! Pictures and arrays: of folders, of archives, cut off and of the wrong kind.

use std::io::Write;

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, UInt32Type};
use zip::write::SimpleFileOptions;

use super::*;

/// A grey picture of a row of pixels.
fn pgm(pixels: &[u8]) -> Vec<u8> {
    let mut file = format!("P5 {} 1 255\n", pixels.len()).into_bytes();
    file.extend_from_slice(pixels);
    file
}

fn ppm() -> Vec<u8> {
    [&b"P6 1 2 255\n"[..], &[1, 2, 3, 4, 5, 6]].concat()
}

/// The rows of a table as text, without the names of its columns.
fn body(rows: &RecordBatch) -> Vec<String> {
    lines(rows).into_iter().skip(1).collect()
}

/// The rows without the directory's own name.
fn texts(fixture: &Fixture, table: Arc<dyn TableProvider>, columns: Vec<usize>) -> Vec<String> {
    let rows = fixture.select(table, Some(columns), None).unwrap();
    let here = format!("{}/", fixture.directory.path().display());
    let texts = body(&rows).into_iter();
    texts.map(|line| line.replace(&here, "")).collect()
}

#[test]
fn pictures_of_a_folder() {
    let fixture = Fixture::with(2, 2);
    fixture.write("d/cat/1.pgm", pgm(&[1, 2, 3]));
    fixture.write("d/cat/2.png", "no picture");
    fixture.write("d/dog/3.ppm", ppm());
    fixture.write("d/dog/notes.txt", "no picture either");
    let path = fixture.path("d");
    let open = |args: &[(&str, ScalarValue)]| fixture.open(Reader::Images, &path, args);
    let found = texts(&fixture, open(&[]).unwrap(), vec![0, 1, 3, 4, 5]);
    assert_eq!(
        found,
        [
            "d/cat/1.pgm|cat|3|1|1",
            "d/cat/2.png|cat|∅|∅|∅",
            "d/dog/3.ppm|dog|1|2|3"
        ]
    );
    assert_eq!(fixture.env.rejects.count(), 1);
    let skip = open(&[("on_error", "skip".into())]).unwrap();
    assert_eq!(texts(&fixture, skip, vec![1]), ["cat", "dog"]);
    let fail = open(&[("on_error", "fail".into())]).unwrap();
    let message = fixture.rows(fail).unwrap_err().to_string();
    assert!(
        message.contains("2.png' is no image that can be read"),
        "{message}"
    );
    let bytes = fixture
        .select(open(&[]).unwrap(), Some(vec![2]), Some(1))
        .unwrap();
    // one of each partition
    assert_eq!(bytes.num_rows(), 2);
    assert_eq!(bytes.column(0).as_binary_view().value(0), pgm(&[1, 2, 3]));
    // nothing but names is wanted: nothing is opened
    std::fs::write(fixture.path("d/cat/2.png"), "").unwrap();
    assert_eq!(
        texts(&fixture, open(&[]).unwrap(), vec![1]),
        ["cat", "cat", "dog"]
    );
}

#[test]
fn pictures_of_archives() {
    let fixture = Fixture::with(3, 8192);
    let mut zipped = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [
        ("cat/1.pgm", pgm(&[9])),
        ("readme.md", vec![1]),
        ("2.ppm", ppm()),
    ] {
        zipped
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        zipped.write_all(&content).unwrap();
    }
    let zipped = zipped.finish().unwrap().into_inner();
    fixture.write("a.zip", &zipped);
    let mut tarred = tar::Builder::new(Vec::new());
    for (name, content) in [("dog/1.pgm", pgm(&[7, 8])), ("dog/._1.pgm", vec![0; 9])] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tarred
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    let tarred = tarred.into_inner().unwrap();
    fixture.write("b.tar", &tarred);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&tarred).unwrap();
    fixture.write("c.tar.gz", packed.finish().unwrap());
    let open = |path: &str| {
        fixture
            .open(Reader::Images, &fixture.path(path), &[])
            .unwrap()
    };
    assert_eq!(
        texts(&fixture, open("*"), vec![0, 1, 3, 4]),
        [
            "a.zip/cat/1.pgm|cat|1|1",
            "a.zip/2.ppm|a.zip|1|2",
            "b.tar/dog/1.pgm|dog|2|1",
            "c.tar.gz/dog/1.pgm|dog|2|1"
        ]
    );
    // cut off anywhere, an archive is an error and no more
    for length in (0..zipped.len()).step_by(7) {
        fixture.write("cut.zip", &zipped[..length]);
        assert!(fixture.rows(open("cut.zip")).is_err());
    }
    for length in (0..tarred.len()).step_by(111) {
        fixture.write("cut.tar", &tarred[..length]);
        let _ = fixture.rows(open("cut.tar"));
    }
}

pub fn idx(kind: u8, sides: &[u32], values: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, kind, sides.len() as u8];
    sides
        .iter()
        .for_each(|s| file.extend_from_slice(&s.to_be_bytes()));
    file.extend_from_slice(values);
    file
}

#[test]
fn idx_files() {
    let fixture = Fixture::with(2, 2);
    let values: Vec<u8> = (0..12).collect();
    let images = fixture.write("images.idx", idx(8, &[3, 2, 2], &values));
    let labels = fixture.write("labels.idx", idx(8, &[3], &[5, 6, 7]));
    let args = [("labels", labels.as_str().into())];
    let table = fixture.open(Reader::Idx, &images, &args).unwrap();
    assert_eq!(
        table.schema().field(1).extension_type_name(),
        Some("seedbed.image")
    );
    let rows = fixture.rows(Arc::clone(&table)).unwrap();
    assert_eq!(
        body(
            &fixture
                .select(Arc::clone(&table), Some(vec![0, 2]), None)
                .unwrap()
        ),
        ["0|5", "1|6", "2|7"]
    );
    let image = rows.column(1).as_struct();
    assert_eq!(image.column(0).as_primitive::<UInt32Type>().value(2), 2);
    assert_eq!(image.column(3).as_binary::<i32>().value(2), &values[8..]);
    assert_eq!(
        fixture
            .select(table, Some(vec![0]), Some(1))
            .unwrap()
            .num_rows(),
        1
    );
    let cut = idx(8, &[3, 2, 2], &values[..11]);
    let path = fixture.write("cut.idx", &cut);
    let message = fixture
        .open(Reader::Idx, &path, &[])
        .unwrap_err()
        .to_string();
    assert!(message.contains("is cut off"), "{message}");
    // of a compressed file it is seen when it is read
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&cut).unwrap();
    let path = fixture.write("cut.idx.gz", packed.finish().unwrap());
    let table = fixture.open(Reader::Idx, &path, &[]).unwrap();
    let message = fixture.rows(table).unwrap_err().to_string();
    assert!(message.contains("ends before its 3 rows do"), "{message}");
    let floats: Vec<u8> = [1.5_f32, -2.0]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    let floats = fixture.write("floats.idx", idx(13, &[1, 2], &floats));
    let table = fixture.open(Reader::Idx, &floats, &[]).unwrap();
    assert_eq!(body(&fixture.rows(table).unwrap()), ["0|[1.5, -2.0]"]);
    for wrong in [
        vec![],
        vec![0, 0],
        vec![1, 2, 3, 4, 5],
        idx(8, &[], &[]),
        idx(8, &[1, u32::MAX, u32::MAX], &[]),
    ] {
        let path = fixture.write("wrong.idx", wrong);
        assert!(fixture.open(Reader::Idx, &path, &[]).is_err());
    }
}

pub fn npy(of: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{of}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&(header.len() as u16).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(values);
    file
}

#[test]
fn arrays_of_numpy() {
    let fixture = Fixture::with(2, 2);
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let vectors = npy("<f4", "(3, 2)", &bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let path = fixture.write("x.npy", &vectors);
    let table = fixture.open(Reader::Npy, &path, &[]).unwrap();
    let rows = fixture.rows(Arc::clone(&table)).unwrap();
    let list = rows.column(1).as_fixed_size_list();
    assert_eq!(list.values().as_primitive::<Float32Type>().value(5), 6.0);
    assert_eq!(body(&fixture.rows(table).unwrap())[2], "2|[5.0, 6.0]");
    let pictures = fixture.write("p.npy", npy("|u1", "(2, 1, 2, 3)", &[0; 12]));
    let table = fixture.open(Reader::Npy, &pictures, &[]).unwrap();
    assert_eq!(table.schema().field(1).name(), "image");
    assert_eq!(fixture.rows(table).unwrap().num_rows(), 2);
    let mut zipped = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let labels = npy(
        "<i8",
        "(3,)",
        &[1_i64, 2, -3]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>(),
    );
    for (name, content) in [("x.npy", &vectors), ("y.npy", &labels)] {
        zipped
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        zipped.write_all(content).unwrap();
    }
    let path = fixture.write("both.npz", zipped.finish().unwrap().into_inner());
    let table = fixture.open(Reader::Npz, &path, &[]).unwrap();
    assert_eq!(
        body(&fixture.rows(table).unwrap()),
        ["0|[1.0, 2.0]|1", "1|[3.0, 4.0]|2", "2|[5.0, 6.0]|-3"]
    );
    for wrong in [
        b"no array".to_vec(),
        npy("<f2", "(3,)", &[0; 6]),
        npy("<U3", "(3,)", &[0; 36]),
        npy("<f4", "()", &[0; 4]),
    ] {
        let path = fixture.write("wrong.npy", wrong);
        assert!(fixture.open(Reader::Npy, &path, &[]).is_err());
    }
}
