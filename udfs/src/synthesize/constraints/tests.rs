use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampSecondArray,
};
use arrow::compute::concat_batches;
use arrow::compute::kernels::cmp::{gt_eq, lt};
use arrow::datatypes::Int32Type;

use crate::synthesize::{Data, Model, Start, Unwatched, kind, load, parse_options, rng, train};
use datafusion_common::Result;

fn fit(batch: &RecordBatch, given: &[(&str, &str)]) -> Result<Arc<dyn Model>> {
    let mut given: Vec<(String, String)> = given
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    given.push(("epochs".to_string(), "2".to_string()));
    let kind = kind("gan")?;
    let options = parse_options(kind.as_ref(), &given)?;
    kind.check(&options, &batch.schema())?;
    let data = Data::new(&batch.schema(), std::slice::from_ref(batch))?;
    train(kind.as_ref(), &data, &options, Start::Fresh, &Unwatched)
}

/// Journeys: from one place to another, begun before they end, with a price and a code.
fn journeys(rows: usize) -> RecordBatch {
    let mut stream = rng::stream(3, "journeys", 0);
    let mut uniform = || f64::from(rng::uniform(&mut stream));
    let places = [
        ("Bern", "CH"),
        ("Basel", "CH"),
        ("Rome", "IT"),
        ("Oslo", "NO"),
    ];
    let (mut city, mut country, mut start, mut stop) = (vec![], vec![], vec![], vec![]);
    let (mut low, mut high, mut day, mut seen, mut price, mut paid) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for i in 0..rows {
        let place = places[(uniform() * 4.0) as usize];
        city.push(place.0);
        country.push((i % 13 != 0).then_some(place.1));
        let begin = (uniform() * 1e6) as i64;
        start.push((i % 7 != 0).then_some(begin));
        stop.push((i % 5 != 0).then_some(begin + 1 + (uniform() * 1e4) as i64));
        let x = (uniform() * 1000.0).round() / 10.0;
        low.push(x);
        high.push((x * 10.0 + (uniform() * 100.0).round()).round() / 10.0);
        day.push((uniform() * 1000.0) as i32);
        seen.push(day[i] + (uniform() * 3.0) as i32);
        price.push((uniform() * 1e5) as i128);
        paid.push(price[i] + (uniform() * 1e3) as i128);
    }
    let decimal = |values: Vec<i128>| {
        let array = Decimal128Array::from(values);
        Arc::new(array.with_precision_and_scale(12, 2).unwrap()) as ArrayRef
    };
    let city: DictionaryArray<Int32Type> = city.into_iter().collect();
    RecordBatch::try_from_iter_with_nullable([
        ("city", Arc::new(city) as ArrayRef, true),
        ("country", Arc::new(StringArray::from(country)), true),
        ("start", Arc::new(TimestampSecondArray::from(start)), true),
        ("stop", Arc::new(TimestampSecondArray::from(stop)), true),
        ("low", Arc::new(Float64Array::from(low)), false),
        ("high", Arc::new(Float64Array::from(high)), false),
        ("day", Arc::new(Date32Array::from(day)), false),
        ("seen", Arc::new(Date32Array::from(seen)), false),
        ("price", decimal(price), false),
        ("paid", decimal(paid), false),
        (
            "code",
            Arc::new(StringArray::from_iter_values(
                (0..rows).map(|i| format!("C-{i:05}")),
            )),
            false,
        ),
        (
            "row_id",
            Arc::new(Int64Array::from_iter_values(
                (0..rows as i64).map(|i| 10 * i),
            )),
            false,
        ),
    ])
    .unwrap()
}

const ALL: &str = "(start < stop, low <= high, seen >= day, paid >= price, combination (city, country), pattern (code, 'C-#####'))";

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).unwrap()
}

#[test]
fn constraints_hold_in_every_row() {
    let real = journeys(600);
    let model = fit(&real, &[("constraints", ALL)]).unwrap();
    assert_eq!(model.schema(), &real.schema());
    let drawn = model.sample(0..3000, 5, None).unwrap();
    let none = |broken: arrow::array::BooleanArray| assert_eq!(broken.true_count(), 0, "{drawn:?}");
    none(gt_eq(column(&drawn, "start"), column(&drawn, "stop")).unwrap());
    none(lt(column(&drawn, "high"), column(&drawn, "low")).unwrap());
    none(lt(column(&drawn, "seen"), column(&drawn, "day")).unwrap());
    none(lt(column(&drawn, "paid"), column(&drawn, "price")).unwrap());
    // NULLs on either side come out, also where there is nothing to compare with.
    let starts = column(&drawn, "start");
    let stops = column(&drawn, "stop");
    let kinds = |start: bool, stop: bool| {
        (0..3000).any(|i| starts.is_null(i) == start && stops.is_null(i) == stop)
    };
    assert!(kinds(true, false) && kinds(false, true) && kinds(false, false));
    // Decimals stay: 0.3 and not 0.30000000000000004.
    let highs = column(&drawn, "high").as_primitive::<arrow::datatypes::Float64Type>();
    assert!(
        highs
            .values()
            .iter()
            .all(|x| (x * 10.0).round() / 10.0 == *x)
    );
    let pairs = |batch: &RecordBatch| {
        let city = column(batch, "city").as_dictionary::<Int32Type>();
        let city = city.downcast_dict::<StringArray>().unwrap();
        let country = column(batch, "country").as_string::<i32>();
        let pairs = city.into_iter().zip(country);
        pairs
            .map(|(a, b)| format!("{a:?} {b:?}"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(pairs(&drawn).is_subset(&pairs(&real)));
    let codes: std::collections::HashSet<_> = column(&drawn, "code")
        .as_string::<i32>()
        .iter()
        .flatten()
        .collect();
    assert_eq!(codes.len(), 3000);
    let ids = column(&drawn, "row_id").as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(ids.value(0), 6000);
    assert_eq!(ids.value(2999), 6000 + 10 * 2999);
}

#[test]
fn a_row_is_a_function_of_seed_and_number() {
    let model = fit(&journeys(300), &[("constraints", ALL)]).unwrap();
    let all = model.sample(0..900, 9, None).unwrap();
    let cuts = [0, 1, 255, 256, 300, 900];
    let parts: Vec<RecordBatch> = cuts
        .windows(2)
        .map(|cut| model.sample(cut[0]..cut[1], 9, None).unwrap())
        .collect();
    assert_eq!(concat_batches(&all.schema(), &parts).unwrap(), all);
    for columns in [&[3][..], &[10, 1], &[5, 5, 0], &[], &[11]] {
        let some = model.sample(0..900, 9, Some(columns)).unwrap();
        assert_eq!(some, all.project(columns).unwrap());
    }
    let keys: Vec<u64> = (0..300).map(rng::mix).collect();
    let drawn = model.draw(&keys, None).unwrap();
    for i in [0, 17, 299] {
        assert_eq!(model.draw(&keys[i..=i], None).unwrap(), drawn.slice(i, 1));
    }
}

#[test]
fn a_saved_model_is_the_same_model() {
    let model = fit(&journeys(300), &[("constraints", ALL)]).unwrap();
    let bytes = model.to_bytes().unwrap();
    let read = load(&bytes).unwrap();
    assert_eq!(read.to_bytes().unwrap(), bytes);
    assert_eq!(read.describe(), model.describe());
    let rows = |model: &dyn Model| model.sample(0..300, 3, None).unwrap();
    assert_eq!(rows(read.as_ref()), rows(model.as_ref()));
}

#[test]
fn the_model_does_not_depend_on_the_order_of_rows() {
    let real = journeys(300);
    let parts = [real.slice(200, 100), real.slice(0, 200)];
    let turned = concat_batches(&real.schema(), &parts).unwrap();
    let bytes = |batch| {
        fit(batch, &[("constraints", ALL)])
            .unwrap()
            .to_bytes()
            .unwrap()
    };
    assert_eq!(bytes(&real), bytes(&turned));
}

#[test]
fn describe_says_what_is_made_how() {
    let model = fit(&journeys(300), &[("constraints", ALL)]).unwrap();
    let items = model.describe();
    let what = |column: &str| {
        let item = format!("column {column}");
        items
            .iter()
            .find(|(known, _)| *known == item)
            .map(|(_, value)| value.as_str())
            .unwrap_or("")
    };
    assert!(
        what("stop").starts_with("> start, learnt as stop - start"),
        "{}",
        what("stop")
    );
    assert!(
        what("city").starts_with("one of 7 combinations of (city, country)")
            || what("city").starts_with("one of 8")
    );
    assert!(what("code").contains("'C-#####'"), "{}", what("code"));
    assert!(
        what("row_id").contains("from 3000 on, in steps of 10"),
        "{}",
        what("row_id")
    );
    assert!(items.contains(&("columns".to_string(), "12".to_string())));
}

#[test]
fn rows_that_break_a_constraint_are_counted() {
    let real = journeys(300);
    let error = |constraints: &str| {
        fit(&real, &[("constraints", constraints)])
            .unwrap_err()
            .to_string()
    };
    let broken = error("high < low");
    assert!(
        broken.contains("constraint high < low does not hold in") && broken.contains("of 300 rows"),
        "{broken}"
    );
    assert!(error("unique (price)").contains("unique (price) is for texts"));
    assert!(
        error("unique (city)").contains("296 of 300 rows repeat"),
        "{}",
        error("unique (city)")
    );
    assert!(error("pattern (code, 'D-#####')").contains("does not hold in 300 of 300 rows"));
    assert!(error("pattern (country, 'AA')").contains("gives one key alone"));
    assert!(error("unique (start)").contains("have none (NULL)"));
    assert!(error("low <= day").contains("cannot be compared"));
    assert!(error("low <= high, high <= low").contains("each to be at most the other"));
    assert!(error("unique (code), combination (code, city)").contains("made by two constraints"));
    assert!(error("row_id <= code").contains("cannot be compared"));
}

#[test]
fn chains_and_several_bounds_hold() {
    let n = 400;
    let a = Int32Array::from_iter((0..n).map(|i| (i % 9 != 0).then_some(i * 7919 % 1000)));
    let b = Int64Array::from_iter(
        (0..n).map(|i| (i % 11 != 0).then_some(i64::from(i * 7919 % 1000 + i * 31 % 60))),
    );
    let c = Int64Array::from_iter_values(
        (0..n).map(|i| i64::from(i * 7919 % 1000 + 61 + i * 17 % 500)),
    );
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("a", Arc::new(a) as ArrayRef, true),
        ("b", Arc::new(b) as ArrayRef, true),
        ("c", Arc::new(c) as ArrayRef, false),
    ])
    .unwrap();
    let model = fit(&batch, &[("constraints", "a <= b, b < c, a < c")]).unwrap();
    let drawn = model.sample(0..2000, 1, None).unwrap();
    for i in 0..2000 {
        let at = |name: &str| {
            let column =
                arrow::compute::cast(column(&drawn, name), &arrow::datatypes::DataType::Int64)
                    .unwrap();
            let column = column.as_primitive::<arrow::datatypes::Int64Type>();
            column.is_valid(i).then(|| column.value(i))
        };
        let (a, b, c) = (at("a"), at("b"), at("c"));
        assert!(a.zip(b).is_none_or(|(a, b)| a <= b), "{a:?} {b:?}");
        assert!(b.zip(c).is_none_or(|(b, c)| b < c), "{b:?} {c:?}");
        assert!(a.zip(c).is_none_or(|(a, c)| a < c), "{a:?} {c:?}");
    }
}

#[test]
fn strict_floats_of_32_bits_stay_strict() {
    let n = 300;
    let low = Float32Array::from_iter_values((0..n).map(|i| 1e6 + i as f32));
    let high = Float32Array::from_iter_values((0..n).map(|i| (1e6 + i as f32).next_up()));
    let batch = RecordBatch::try_from_iter([
        ("low", Arc::new(low) as ArrayRef),
        ("high", Arc::new(high) as ArrayRef),
    ])
    .unwrap();
    let model = fit(&batch, &[("constraints", "low < high")]).unwrap();
    let drawn = model.sample(0..1000, 1, None).unwrap();
    let broken = gt_eq(column(&drawn, "low"), column(&drawn, "high")).unwrap();
    assert_eq!(broken.true_count(), 0);
}

#[test]
fn keys_run_out_with_an_error() {
    let keys = StringArray::from_iter_values((0..40).map(|i| format!("{i:02}")));
    let batch = RecordBatch::try_from_iter([
        ("key", Arc::new(keys) as ArrayRef),
        (
            "x",
            Arc::new(Float64Array::from_iter_values((0..40).map(f64::from))) as ArrayRef,
        ),
    ])
    .unwrap();
    let model = fit(&batch, &[("constraints", "pattern (key, '##')")]).unwrap();
    let drawn = model.sample(0..100, 1, None).unwrap();
    let keys: std::collections::HashSet<_> = drawn
        .column(0)
        .as_string::<i32>()
        .iter()
        .flatten()
        .collect();
    assert_eq!(keys.len(), 100);
    let error = model
        .sample(90..101, 1, Some(&[0]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("column key has 100 different keys"),
        "{error}"
    );
    assert_eq!(model.sample(90..101, 1, Some(&[1])).unwrap().num_rows(), 11);
}

#[test]
fn identifiers_can_be_learnt() {
    let real = journeys(300).project(&[10, 4]).unwrap();
    let model = fit(&real, &[("identifiers", "learn")]).unwrap();
    let what = &model
        .describe()
        .iter()
        .find(|(item, _)| item == "column code")
        .unwrap()
        .1
        .clone();
    assert_eq!(
        what,
        "categorical, 300 values, all different: those drawn are copies from the training rows"
    );
    let alone = real.project(&[0]).unwrap();
    assert_eq!(
        fit(&alone, &[])
            .unwrap()
            .sample(0..5, 0, None)
            .unwrap()
            .num_rows(),
        5
    );
}

#[test]
fn texts_of_moments_are_learnt_as_moments() {
    let n = 500;
    let days = StringArray::from_iter((0..n).map(|i| {
        (i % 10 != 0).then(|| format!("20{:02}-{:02}-{:02}", i % 30, i % 12 + 1, i % 28 + 1))
    }));
    let batch = RecordBatch::try_from_iter([
        ("day", Arc::new(days) as ArrayRef),
        (
            "x",
            Arc::new(Float64Array::from_iter_values((0..n).map(f64::from))) as ArrayRef,
        ),
    ])
    .unwrap();
    let model = fit(&batch, &[("datetime", "day")]).unwrap();
    let what = model
        .describe()
        .iter()
        .find(|(item, _)| item == "column day")
        .unwrap()
        .1
        .clone();
    assert!(
        what.starts_with("text, learnt as moments: datetime, 2001-02-02 to 2029-"),
        "{what}"
    );
    let drawn = model.sample(0..50, 0, None).unwrap();
    assert!(
        drawn
            .column(0)
            .as_string::<i32>()
            .iter()
            .flatten()
            .all(|day| day.len() == 10)
    );
    let error = fit(&batch, &[("datetime", "x")]).unwrap_err().to_string();
    assert!(error.contains("cannot be datetime"), "{error}");
}

#[test]
fn damaged_models_are_errors_and_never_panic() {
    let bytes = fit(&journeys(300), &[("constraints", ALL)])
        .unwrap()
        .to_bytes()
        .unwrap();
    for end in (0..bytes.len()).step_by(1024) {
        assert!(load(&bytes[..end]).is_err(), "{end}");
    }
    let mut stream = rng::stream(1, "flips", 0);
    for _ in 0..200 {
        let mut changed = bytes.clone();
        let place = (rng::uniform(&mut stream) * bytes.len() as f32) as usize % bytes.len();
        changed[place] ^= 1 << (place % 8);
        assert!(load(&changed).is_err(), "{place}");
    }
}

/// Files whose checksum is right and whose content is not: an error, or a model that draws.
#[test]
fn files_of_ill_will_do_not_panic() {
    use crate::synthesize::ModelFile;
    let bytes = fit(&journeys(300), &[("constraints", ALL)])
        .unwrap()
        .to_bytes()
        .unwrap();
    let file = ModelFile::from_bytes(&bytes).unwrap();
    let mut stream = rng::stream(2, "ill", 0);
    let mut try_it = |file: &ModelFile| {
        if let Ok(model) = load(&file.to_bytes().unwrap()) {
            let seed = u64::from(rng::uniform(&mut stream) < 0.5);
            let _ = model.sample(0..300, seed, None);
            let _ = model.describe();
        }
    };
    for (name, tensor) in file.tensors("") {
        if name.starts_with("codec.") && tensor.dtype() == candle_core::DType::F64 {
            let numbers = file.numbers(&name).unwrap();
            for wrong in [f64::NAN, f64::INFINITY, -1.0, 1e300, 0.0] {
                let mut file = file.clone();
                file.set_numbers(&name, &vec![wrong; numbers.len()])
                    .unwrap();
                try_it(&file);
                file.set_numbers(&name, &numbers[..numbers.len() / 2])
                    .unwrap();
                try_it(&file);
                file.set_numbers(&name, &[]).unwrap();
                try_it(&file);
            }
        }
    }
    let sources = file.text("constraints.sources").unwrap().to_string();
    for (from, to) in [
        ("0", "99"),
        ("1", "0"),
        ("2", "1"),
        ("5", "-1"),
        ("\"", ""),
        ("]", ""),
    ] {
        let mut file = file.clone();
        file.set_text("constraints.sources", sources.replace(from, to));
        try_it(&file);
    }
}
