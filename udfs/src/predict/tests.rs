//! Models that predict as wholes: the same whatever the order of rows, the same from a file, and transfer.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::take_record_batch;

use crate::images::value::{Collect, Output, Shape};
use crate::synthesize::{
    Data, Model, ModelFile, Start, Unwatched, kind, load, parse_options, train,
};

/// A table of numbers, a text and a label.
fn table() -> RecordBatch {
    let n = 300;
    let number = |i: i64, k: i64| (i * 37 + k * 11) % 101;
    let x: ArrayRef = Arc::new(Float64Array::from_iter(
        (0..n).map(|i| (i % 9 != 4).then(|| number(i, 1) as f64 / 7.0)),
    ));
    let y: ArrayRef = Arc::new(Int64Array::from_iter_values((0..n).map(|i| number(i, 5))));
    let word: ArrayRef =
        Arc::new(StringArray::from_iter((0..n).map(|i| {
            (i % 13 != 2).then(|| ["a", "b", "c"][(number(i, 3) % 3) as usize])
        })));
    let label: ArrayRef = Arc::new(StringArray::from_iter((0..n).map(|i| {
        let score = number(i, 1) + number(i, 5) / 2 + number(i, 3) % 3 * 20;
        (i % 17 != 0).then(|| ["low", "high", "higher"][(score / 70).min(2) as usize])
    })));
    RecordBatch::try_from_iter([("x", x), ("y", y), ("word", word), ("label", label)]).unwrap()
}

/// Pictures of a square somewhere, whose shade is the label.
fn pictures(shades: &[u8]) -> RecordBatch {
    let n = 120;
    let shape = Shape {
        height: 8,
        width: 8,
        channels: 1,
    };
    let mut images = Output::new(n, n * shape.bytes());
    for i in 0..n {
        let pixels = images.push(shape).unwrap();
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let (row, column) = (at / 8, at % 8);
            let inside = (i % 5..i % 5 + 3).contains(&row) && (i % 4..i % 4 + 3).contains(&column);
            *pixel = if inside { shades[i % shades.len()] } else { 0 };
        }
    }
    let label = (0..n).map(|i| i64::from(shades[i % shades.len()]));
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values(label));
    RecordBatch::try_from_iter([("image", images.finish().unwrap()), ("label", label)]).unwrap()
}

fn trained(
    name: &str,
    options: &[(&str, &str)],
    rows: &[RecordBatch],
    start: Start<'_>,
) -> Arc<dyn Model> {
    let kind = kind(name).unwrap();
    let mut given = vec![("label".to_string(), "label".to_string())];
    given.extend(
        options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string())),
    );
    let options = parse_options(kind.as_ref(), &given).unwrap();
    let data = Data::new(&rows[0].schema(), rows).unwrap();
    train(kind.as_ref(), &data, &options, start, &Unwatched).unwrap()
}

const SMALL: [(&str, &str); 5] = [
    ("channels", "[3, 4]"),
    ("window", "3"),
    ("hidden", "[8]"),
    ("epochs", "3"),
    ("batch_size", "16"),
];

/// What a model says of rows, as bits.
fn told(model: &dyn Model, rows: &RecordBatch) -> Vec<u64> {
    let classifier = model.classifier().unwrap();
    let names = classifier.inputs().fields().iter();
    let inputs: Vec<ArrayRef> = names
        .map(|f| rows.column_by_name(f.name()).unwrap().clone())
        .collect();
    let told = classifier.predict(&inputs, rows.num_rows()).unwrap();
    let probabilities = told.column(2).as_struct();
    let columns = probabilities.columns().iter();
    columns
        .flat_map(|c| {
            c.as_primitive::<arrow::datatypes::Float64Type>()
                .values()
                .iter()
        })
        .map(|p| p.to_bits())
        .collect()
}

/// A kind, its options and rows that it learns.
type Case = (&'static str, Vec<(&'static str, &'static str)>, RecordBatch);

fn kinds() -> Vec<Case> {
    vec![
        ("logistic", Vec::new(), table()),
        ("boosting", vec![("rounds", "8")], table()),
        ("mlp", vec![("hidden", "[9, 5]"), ("epochs", "4")], table()),
        ("cnn", SMALL.to_vec(), pictures(&[60, 150, 250])),
    ]
}

#[test]
fn a_model_depends_on_the_rows_and_not_on_their_order() {
    for (name, options, rows) in kinds() {
        let one = trained(name, &options, std::slice::from_ref(&rows), Start::Fresh);
        let n = rows.num_rows() as u32;
        let order: arrow::array::UInt32Array = (0..n).map(|i| (i * 7 + 3) % n).collect();
        let other = take_record_batch(&rows, &order).unwrap();
        let pieces = [other.slice(0, 50), other.slice(50, other.num_rows() - 50)];
        let other = trained(name, &options, &pieces, Start::Fresh);
        assert_eq!(one.to_bytes().unwrap(), other.to_bytes().unwrap(), "{name}");
    }
}

#[test]
fn a_model_is_the_same_from_a_file_and_for_any_batches() {
    for (name, options, rows) in kinds() {
        let model = trained(name, &options, std::slice::from_ref(&rows), Start::Fresh);
        let read = load(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(
            read.to_bytes().unwrap(),
            model.to_bytes().unwrap(),
            "{name}"
        );
        let all = told(read.as_ref(), &rows);
        assert_eq!(all, told(model.as_ref(), &rows), "{name}");
        let classes = read.classifier().unwrap().classes().len();
        for size in [1, 7, 100] {
            for begin in (0..rows.num_rows()).step_by(size) {
                let part = rows.slice(begin, size.min(rows.num_rows() - begin));
                let bits = told(read.as_ref(), &part);
                for class in 0..classes {
                    for row in 0..part.num_rows() {
                        let whole = all[class * rows.num_rows() + begin + row];
                        assert_eq!(bits[class * part.num_rows() + row], whole, "{name} {size}");
                    }
                }
            }
        }
        assert!(told(read.as_ref(), &rows.slice(0, 0)).is_empty());
        // what is cut off is known before anything is read
        let bytes = model.to_bytes().unwrap();
        assert!(load(&bytes[..bytes.len() - 9]).is_err(), "{name}");
    }
}

#[test]
fn frozen_features_stay_to_the_bit_and_the_head_is_new() {
    let base = trained("cnn", &SMALL, &[pictures(&[60, 150, 250])], Start::Fresh);
    let other = [pictures(&[100, 150, 200, 255])];
    let file = |model: &Arc<dyn Model>| ModelFile::from_bytes(&model.to_bytes().unwrap()).unwrap();
    let values = |file: &ModelFile, name: &str| {
        let tensor = file.tensor(name).unwrap().flatten_all().unwrap();
        tensor.to_vec1::<f32>().unwrap()
    };
    let moved = |freeze: &'static str| {
        let mut options = SMALL.to_vec();
        options.push(("freeze", freeze));
        file(&trained(
            "cnn",
            &options,
            &other,
            Start::Transfer(base.as_ref()),
        ))
    };
    let (before, frozen, free) = (file(&base), moved("features"), moved("none"));
    for name in [
        "conv.0.weight",
        "conv.1.bias",
        "dense.0.weight",
        "dense.0.bias",
    ] {
        assert_eq!(values(&frozen, name), values(&before, name), "{name}");
        assert_ne!(values(&free, name), values(&before, name), "{name}");
    }
    assert_eq!(
        frozen.numbers("input.scale").unwrap(),
        before.numbers("input.scale").unwrap()
    );
    assert_eq!(values(&frozen, "dense.output.weight").len(), 8 * 4);
}
