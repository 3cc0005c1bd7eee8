//! The kinds of pictures as one uses them, and their networks.

mod networks;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use datafusion_common::Result;

use super::*;
use crate::images::value::{Collect, Output, Shape as Size, field};
use crate::synthesize::{
    Given, Start as From, Test, Unwatched, kind, load, parse_options, rng, train,
};

const KINDS: [&str; 2] = ["conv_gan", "conv_vae"];

/// Small networks, and few epochs.
const QUICK: [(&str, &str); 5] = [
    ("epochs", "2"),
    ("width", "2"),
    ("batch_size", "16"),
    ("seed", "5"),
    ("keep", "last"),
];

/// Pictures, each with a bright square whose place the row gives.
fn images(rows: usize, size: Size) -> ArrayRef {
    let mut images = Output::new(rows, rows * size.bytes());
    for row in 0..rows {
        let pixels = images.push(size).unwrap();
        for (i, byte) in pixels.iter_mut().enumerate() {
            let (y, x) = (i / size.stride(), i % size.stride() / size.channels);
            let (top, left) = (row % 3, row / 3 % 3);
            let within = (top..top + 3).contains(&y) && (left..left + 3).contains(&x);
            *byte = if within { 230 } else { (row % 20) as u8 };
        }
    }
    images.finish().unwrap()
}

const GREY: Size = Size {
    height: 7,
    width: 8,
    channels: 1,
};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| match array.as_struct_opt() {
            Some(_) => field(name),
            None => Field::new(*name, array.data_type().clone(), true),
        })
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn letters(rows: usize) -> ArrayRef {
    let names = ["a", "b", "b", "c"];
    Arc::new(StringArray::from_iter_values(
        (0..rows).map(|i| names[i % 4]),
    ))
}

fn labelled(rows: usize) -> RecordBatch {
    batch(vec![
        ("image", images(rows, GREY)),
        ("class", letters(rows)),
    ])
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = given.iter();
    pairs
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

/// Trains as the statement would, which gives the options of the model to start from.
fn train_from(
    name: &str,
    batches: &[RecordBatch],
    given: &[(&str, &str)],
    start: From<'_>,
) -> Result<Arc<dyn Model>> {
    let kind = kind(name)?;
    let mut given = pairs(given);
    let inherited = match start {
        From::Fresh => Vec::new(),
        From::Resume(base) => base.options(),
        From::Transfer(base) => base.architecture(),
    };
    for (name, value) in inherited {
        if !given.iter().any(|(known, _)| *known == name) {
            given.push((name, value));
        }
    }
    let options = parse_options(kind.as_ref(), &given)?;
    kind.check(&options, &batches[0].schema())?;
    let data = Data::new(&batches[0].schema(), batches)?;
    train(kind.as_ref(), &data, &options, start, &Unwatched)
}

fn quick(name: &str, batch: &RecordBatch) -> Arc<dyn Model> {
    train_from(name, std::slice::from_ref(batch), &QUICK, From::Fresh).unwrap()
}

#[test]
fn pictures_and_labels_come_back_in_their_types() {
    for name in KINDS {
        let model = quick(name, &labelled(60));
        let drawn = model.sample(0..40, 3, None).unwrap();
        assert_eq!(drawn.schema(), *model.schema());
        assert_eq!(drawn.schema().field(0), &field("image"));
        assert_eq!(drawn.schema().field(1).name(), "class");
        let parts = drawn.column(0).as_struct();
        let heights = parts
            .column(0)
            .as_primitive::<arrow::datatypes::UInt32Type>();
        assert!(heights.values().iter().all(|&height| height == 7));
        let pixels = parts.column(3).as_binary::<i32>();
        assert!((0..40).all(|i| pixels.value(i).len() == 56));
        assert_ne!(pixels.value(0), pixels.value(1));
        assert_eq!(model.history().epochs.len(), 2);
        let described = model.describe();
        let column = |name: &str| {
            let item = described.iter().find(|(item, _)| item == name);
            item.unwrap().1.clone()
        };
        assert_eq!(column("column image"), "picture, 8 x 7 grey");
        assert_eq!(column("column class"), "label of 3 classes: a, b, c");
    }
}

#[test]
fn any_number_of_threads_and_any_batches_give_the_same_bits() {
    for name in KINDS {
        let whole = labelled(50);
        let parts = [whole.slice(30, 20), whole.slice(0, 30)];
        let mut files: Vec<Vec<u8>> = [1, 2, 8]
            .into_iter()
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                let model = pool.build().unwrap().install(|| quick(name, &whole));
                model.to_bytes().unwrap()
            })
            .collect();
        let model = train_from(name, &parts, &QUICK, From::Fresh).unwrap();
        files.push(model.to_bytes().unwrap());
        assert!(files.iter().all(|file| *file == files[0]), "{name}");
        // Rows are the same in whatever portions they are asked for, from the file as well.
        let loaded = load(&files[0]).unwrap();
        let all = model.sample(0..300, 9, None).unwrap();
        let portions = [0..7, 7..255, 255..300].map(|rows| loaded.sample(rows, 9, None).unwrap());
        assert_eq!(concat_batches(&all.schema(), &portions).unwrap(), all);
        let labels = loaded.sample(0..300, 9, Some(&[1])).unwrap();
        assert_eq!(labels.column(0), all.column(1));
        // A row depends on its key alone.
        let keys: Vec<u64> = (0..45).map(rng::mix).collect();
        let turned: Vec<u64> = keys.iter().rev().copied().collect();
        let (one, other) = (
            model.draw(&keys, None).unwrap(),
            model.draw(&turned, None).unwrap(),
        );
        for i in 0..45 {
            assert_eq!(one.slice(i, 1), other.slice(44 - i, 1));
        }
        assert_eq!(model.draw(&[], None).unwrap().num_rows(), 0);
    }
}

#[test]
fn a_label_is_drawn_by_its_shares_and_as_conditions_say() {
    let model = quick("conv_gan", &labelled(80));
    let drawn = model.sample(0..1000, 1, Some(&[1])).unwrap();
    let count = |batch: &RecordBatch, wanted: &str| {
        let labels = batch.column_by_name("class").unwrap().as_string::<i32>();
        labels.iter().filter(|label| *label == Some(wanted)).count()
    };
    assert!((450..550).contains(&count(&drawn, "b")));
    let given = |test| {
        let condition = Condition {
            column: 1,
            compared_as: None,
            test,
        };
        Given::new(&model, vec![condition])
    };
    let items = |names: &[&str]| Arc::new(StringArray::from(names.to_vec())) as ArrayRef;
    let rows = given(Test::In(items(&["c", "a", "z"]))).unwrap();
    let drawn = rows.sample(0..200, 1, None).unwrap();
    let found = ["a", "b", "c"].map(|name| count(&drawn, name));
    assert!(found[0] > 60 && found[1] == 0 && found[2] > 60, "{found:?}");
    let error = given(Test::In(items(&["z"]))).unwrap_err().to_string();
    assert!(
        error.contains("the model never draws class = 'z'"),
        "{error}"
    );
}

#[test]
fn a_training_goes_on_as_if_it_had_never_stopped() {
    for name in KINDS {
        let rows = labelled(50);
        let base = quick(name, &rows);
        let more = [("epochs", "1")];
        let batches = std::slice::from_ref(&rows);
        let resumed = train_from(name, batches, &more, From::Resume(base.as_ref())).unwrap();
        let mut longer = QUICK;
        longer[0] = ("epochs", "3");
        let straight = train_from(name, batches, &longer, From::Fresh).unwrap();
        assert_eq!(resumed.history().epochs, straight.history().epochs);
        let sample = |model: &Arc<dyn Model>| model.sample(0..50, 2, None).unwrap();
        assert_eq!(sample(&resumed), sample(&straight));
        let other = batch(vec![("image", images(50, GREY)), ("kind", letters(50))]);
        let error = train_from(name, &[other], &more, From::Resume(base.as_ref()));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("goes on with the columns it began with"),
            "{error}"
        );
    }
}

#[test]
fn a_model_is_taken_to_other_classes_with_its_trunk_as_it_is() {
    for name in KINDS {
        let base = quick(name, &labelled(60));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..40).map(|i| ["b", "x"][i % 2]),
        ));
        let rows = batch(vec![("image", images(40, GREY)), ("class", names)]);
        let given = [("freeze", "trunk"), ("epochs", "2"), ("batch_size", "16")];
        let start = From::Transfer(base.as_ref());
        let taken = train_from(name, std::slice::from_ref(&rows), &given, start).unwrap();
        let file =
            |model: &Arc<dyn Model>| ModelFile::from_bytes(&model.to_bytes().unwrap()).unwrap();
        let (before, after) = (file(&base), file(&taken));
        let numbers = |file: &ModelFile, name: &str| {
            let flat = file.tensor(name).unwrap().flatten_all().unwrap();
            flat.to_vec1::<f32>().unwrap()
        };
        let network = if name == "conv_gan" {
            "generator"
        } else {
            "decoder"
        };
        for part in [
            "start.weight",
            "start.bias",
            "doubling.0.weight",
            "norm.1.mean",
            "norm.0.scale",
        ] {
            let part = format!("{network}.{part}");
            assert_eq!(numbers(&before, &part), numbers(&after, &part), "{part}");
        }
        let classes = format!("{network}.start.condition");
        let width = numbers(&before, &classes).len() / 3;
        assert_eq!(numbers(&after, &classes).len(), 2 * width);
        let labels = taken.sample(0..50, 1, Some(&[1])).unwrap();
        let labels = labels.column(0).as_string::<i32>().clone();
        assert!(labels.iter().all(|label| matches!(label, Some("b" | "x"))));
        let smaller = batch(vec![
            ("image", images(40, Size { height: 6, ..GREY })),
            ("class", letters(40)),
        ]);
        let error = train_from(name, &[smaller], &given, start)
            .unwrap_err()
            .to_string();
        assert!(error.contains("write image_resize(image, 8, 7)"), "{error}");
    }
}

#[test]
fn bytes_colours_and_no_label_are_learnt_as_well() {
    let colour = Size {
        height: 9,
        width: 6,
        channels: 3,
    };
    for name in KINDS {
        let decoded = batch(vec![("photo", images(30, colour))]);
        let model = quick(name, &decoded);
        let drawn = model.sample(0..5, 1, None).unwrap();
        assert_eq!(
            drawn
                .column(0)
                .as_struct()
                .column(3)
                .as_binary::<i32>()
                .value(0)
                .len(),
            162
        );
        // The same pictures as files.
        let parts = decoded.column(0).as_struct();
        let pixels = parts.column(3).as_binary::<i32>();
        let files = pixels.iter().map(|pixels| {
            let mut file = std::io::Cursor::new(Vec::new());
            let picture = image::RgbImage::from_raw(6, 9, pixels.unwrap().to_vec()).unwrap();
            picture
                .write_to(&mut file, image::ImageFormat::Png)
                .unwrap();
            file.into_inner()
        });
        let files: ArrayRef = Arc::new(BinaryArray::from_iter_values(files));
        let encoded = quick(name, &batch(vec![("photo", files)]));
        assert_eq!(encoded.schema(), model.schema());
        assert_eq!(encoded.sample(0..5, 1, None).unwrap().num_columns(), 1);
    }
}

#[test]
fn nulls_are_a_class_and_one_row_is_learnt() {
    let labels: ArrayRef = Arc::new(Int64Array::from_iter(
        (0..40).map(|i| (i % 2 == 0).then_some(i % 4)),
    ));
    let model = quick(
        "conv_gan",
        &batch(vec![("class", labels), ("image", images(40, GREY))]),
    );
    let drawn = model.sample(0..100, 1, Some(&[0])).unwrap();
    assert!((20..80).contains(&drawn.column(0).null_count()));
    let given = Given::new(
        &model,
        vec![Condition {
            column: 0,
            compared_as: None,
            test: Test::NotNull,
        }],
    )
    .unwrap();
    let drawn = given.sample(0..100, 1, None).unwrap();
    assert_eq!(drawn.column_by_name("class").unwrap().null_count(), 0);
    for name in KINDS {
        let one = quick(name, &labelled(1));
        assert_eq!(one.sample(0..3, 1, None).unwrap().num_rows(), 3);
    }
}

#[test]
fn what_cannot_be_learnt_is_an_error_that_says_what_to_write() {
    let error = |columns: Vec<(&str, ArrayRef)>, given: &[(&str, &str)]| {
        let mut all = given.to_vec();
        all.extend(
            QUICK
                .iter()
                .filter(|(name, _)| given.iter().all(|(own, _)| own != name)),
        );
        let result = train_from("conv_gan", &[batch(columns)], &all, From::Fresh);
        result.unwrap_err().to_string()
    };
    let has = |error: String, what: &str| assert!(error.contains(what), "{error}");
    let grey = || ("image", images(20, GREY));
    let of = |size: Size| images(20, size);
    let class = || ("class", letters(20));
    has(error(vec![class()], &[]), "the query has no column of them");
    has(
        error(vec![grey(), ("other", of(GREY))], &[]),
        "the query has image, other; leave all but one out",
    );
    has(
        error(vec![grey(), class(), ("id", letters(20))], &[]),
        "has class, id beside the pictures",
    );
    has(
        error(
            vec![grey(), class(), ("id", letters(20))],
            &[("label", "'class'")],
        ),
        "leave id out of the query",
    );
    has(
        error(vec![grey(), class()], &[("label", "clas")]),
        "did you mean class?",
    );
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 20]));
    has(
        error(vec![grey(), ("x", numbers)], &[]),
        "Write CAST(x AS INT) AS x",
    );
    has(
        error(vec![grey(), class()], &[("width", "0")]),
        "it is an integer, 1 to 512",
    );
    has(
        error(vec![grey(), class()], &[("freeze", "trunk")]),
        "USING conv_gan FROM model",
    );
    has(
        error(
            vec![(
                "image",
                of(Size {
                    channels: 4,
                    ..GREY
                }),
            )],
            &[],
        ),
        "image_convert(image, 'rgb')",
    );
    has(
        error(vec![("image", of(Size { height: 3, ..GREY }))], &[]),
        "image_resize(image, 32, 32)",
    );
    let mixed = concat_batches(
        &batch(vec![grey()]).schema(),
        &[
            batch(vec![grey()]),
            batch(vec![("image", of(Size { width: 9, ..GREY }))]),
        ],
    );
    has(
        error(vec![("image", Arc::clone(mixed.unwrap().column(0)))], &[]),
        "pictures of one size",
    );
    let broken: ArrayRef = Arc::new(BinaryArray::from_iter_values(
        (0..20).map(|_| b"no picture"),
    ));
    has(
        error(vec![("image", broken)], &[]),
        "20 of 20 rows have no picture in image",
    );
    has(error(vec![("image", images(0, GREY))], &[]), "gave no rows");
}
