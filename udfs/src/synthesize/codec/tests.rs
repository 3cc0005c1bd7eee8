use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int8Array, Int64Array, LargeStringArray, ListArray, NullArray, StringArray,
    StringViewArray, Time32SecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Int8Type, Int32Type};

use arrow::compute::kernels::cmp::not_distinct;

use super::*;

fn fit(batch: &RecordBatch, given: &[(&str, &str)]) -> Result<(Codec, RecordBatch)> {
    let given: Vec<(String, String)> = given
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let options = Options::parse("test", &options(), &given)?;
    check_columns(&batch.schema(), &options)?;
    let data = Data::new(&batch.schema(), std::slice::from_ref(batch))?;
    Ok((Codec::fit(&data, &options)?, data.rows().clone()))
}

/// Encoding and decoding a column's own rows gives back at least this share of them; a file between
/// changes nothing.
fn round_trip_share(array: ArrayRef, share: f64) -> (Codec, Encoded) {
    let batch = RecordBatch::try_from_iter_with_nullable([("x", array, true)]).unwrap();
    let (codec, rows) = fit(&batch, &[]).unwrap();
    let encoded = codec.encode(&rows, 7).unwrap();
    let decoded = codec.decode(&encoded, rows.num_rows(), None).unwrap();
    assert_eq!(decoded.schema(), rows.schema());
    let same = not_distinct(decoded.column(0), rows.column(0)).unwrap();
    let same = same.true_count() as f64 / rows.num_rows() as f64;
    assert!(same >= share, "{same} of {rows:?}");
    let mut file = ModelFile::default();
    codec.save(&mut file).unwrap();
    let read = Codec::load(&ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap()).unwrap();
    assert_eq!(read.schema(), codec.schema());
    let again = read.decode(&encoded, rows.num_rows(), None).unwrap();
    assert_eq!(again, decoded);
    (codec, encoded)
}

fn round_trip(array: ArrayRef) -> (Codec, Encoded) {
    round_trip_share(array, 1.0)
}

/// At the ends, where half a row lies outside, a number may move to its neighbour.
fn numbers_round_trip(array: ArrayRef) -> (Codec, Encoded) {
    round_trip_share(array, 0.99)
}

#[test]
fn categories_come_back_whatever_the_type() {
    let texts = vec![Some("b"), None, Some("a"), Some(""), Some("b")];
    round_trip(Arc::new(StringArray::from(texts.clone())));
    round_trip(Arc::new(LargeStringArray::from(texts.clone())));
    round_trip(Arc::new(StringViewArray::from(texts.clone())));
    let dictionary: DictionaryArray<Int8Type> = texts.into_iter().collect();
    round_trip(Arc::new(dictionary));
    round_trip(Arc::new(BooleanArray::from(vec![
        Some(true),
        None,
        Some(false),
    ])));
    round_trip(Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)])));
    round_trip(Arc::new(NullArray::new(4)));
    round_trip(Arc::new(Float64Array::from(vec![2.5; 3])));
    round_trip(Arc::new(Int64Array::from(vec![None::<i64>, None])));
    round_trip(Arc::new(StringArray::from(vec!["one"])));
}

#[test]
fn numbers_on_a_grid_come_back_on_it() {
    let n = 3000;
    numbers_round_trip(Arc::new(Int64Array::from_iter(
        (0..n).map(|i| (i % 9 != 0).then_some(i * i % 811)),
    )));
    numbers_round_trip(Arc::new(Int64Array::from_iter_values(
        (0..n).map(|i| i * 25 - 40_000),
    )));
    numbers_round_trip(Arc::new(UInt64Array::from_iter_values(
        (0..n as u64).map(|i| i * 3),
    )));
    numbers_round_trip(Arc::new(Date32Array::from_iter_values(
        (0..n as i32).map(|i| i % 700 + 15_000),
    )));
    numbers_round_trip(Arc::new(Time32SecondArray::from_iter_values(
        (0..n as i32).map(|i| i * 20),
    )));
    let hour = 3_600_000_000_000;
    numbers_round_trip(Arc::new(
        TimestampNanosecondArray::from_iter_values(
            (0..n).map(|i| 1_700_000_000_000_000_000 + i * hour),
        )
        .with_timezone("Europe/Berlin"),
    ));
    numbers_round_trip(Arc::new(Float64Array::from_iter_values(
        (0..n).map(|i| (i % 631) as f64 / 10.0),
    )));
    numbers_round_trip(Arc::new(Float32Array::from_iter_values(
        (0..n).map(|i| (i % 631) as f32 / 10.0),
    )));
    let decimals = Decimal128Array::from_iter_values((0..i128::from(n)).map(|i| i * 7 - 9000));
    numbers_round_trip(Arc::new(decimals.with_precision_and_scale(12, 2).unwrap()));
    let ends = [i64::MIN, i64::MAX].into_iter().chain(0..100);
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values(ends));
    let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
    let (codec, rows) = fit(&batch, &[]).unwrap();
    let encoded = codec.encode(&rows, 7).unwrap();
    assert_eq!(codec.decode(&encoded, 102, None).unwrap().num_rows(), 102);
    let large = (0..100).map(|i| u64::MAX - i);
    let array: ArrayRef = Arc::new(UInt64Array::from_iter_values(large));
    let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
    let (codec, rows) = fit(&batch, &[]).unwrap();
    let encoded = codec.encode(&rows, 7).unwrap();
    assert_eq!(
        codec
            .decode(&encoded, 100, None)
            .unwrap()
            .column(0)
            .null_count(),
        0
    );
}

#[test]
fn continuous_numbers_are_normal_in_model_space_and_come_back_nearly() {
    // Exponential: nothing like a normal.
    let n = 20_000i32;
    let array =
        Float64Array::from_iter_values((0..n).map(|i| -((f64::from(i) + 0.5) / f64::from(n)).ln()));
    let batch = RecordBatch::try_from_iter([("x", Arc::new(array) as ArrayRef)]).unwrap();
    let (codec, rows) = fit(&batch, &[]).unwrap();
    let encoded = codec.encode(&rows, 0).unwrap();
    let values = &encoded.columns[0].values;
    let mean = values.iter().map(|&z| f64::from(z)).sum::<f64>() / f64::from(n);
    let variance = values.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>() / f64::from(n);
    assert!(
        mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02,
        "{mean} {variance}"
    );
    let decoded = codec.decode(&encoded, n as usize, None).unwrap();
    let (a, b) = (decoded.column(0), rows.column(0));
    let pairs = a
        .as_primitive::<arrow::datatypes::Float64Type>()
        .values()
        .iter();
    for (a, b) in pairs.zip(b.as_primitive::<arrow::datatypes::Float64Type>().values()) {
        assert!((a - b).abs() < 1e-2 * b.max(1.0), "{a} {b}");
    }
}

#[test]
fn inflated_values_and_nulls_are_states() {
    let array = Int64Array::from_iter((0..2000).map(|i| match i % 10 {
        0 => None,
        1..=7 => Some(0),
        _ => Some(1000 + i * 37 % 5000),
    }));
    let (codec, encoded) = numbers_round_trip(Arc::new(array));
    assert_eq!(codec.columns()[0].states(), 3);
    assert!(
        codec.describe()[0]
            .1
            .contains("inflated at 0, 10.00 % NULL"),
        "{:?}",
        codec.describe()
    );
    let count = |state| {
        encoded.columns[0]
            .states
            .iter()
            .filter(|&&s| s == state)
            .count()
    };
    assert_eq!([count(0), count(1), count(2)], [400, 1400, 200]);
}

#[test]
fn nan_and_infinities_are_missing() {
    let values = (0..300).map(|i| match i % 5 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        _ => f64::from(i).sqrt(),
    });
    let array: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
    let batch = RecordBatch::try_from_iter_with_nullable([("x", array, false)]).unwrap();
    let (codec, rows) = fit(&batch, &[]).unwrap();
    let encoded = codec.encode(&rows, 0).unwrap();
    let decoded = codec.decode(&encoded, 300, None).unwrap();
    assert_eq!(decoded.column(0).null_count(), 180);
    let few: ArrayRef = Arc::new(Float32Array::from(vec![f32::NAN, 1.0, -0.0, 0.0]));
    let batch = RecordBatch::try_from_iter([("x", few)]).unwrap();
    let (codec, rows) = fit(&batch, &[("categorical", "x")]).unwrap();
    assert_eq!(codec.columns()[0].states(), 3);
    let encoded = codec.encode(&rows, 0).unwrap();
    assert_eq!(
        codec
            .decode(&encoded, 4, None)
            .unwrap()
            .column(0)
            .null_count(),
        1
    );
}

#[test]
fn the_user_decides_and_is_told_what_is_wrong() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..900).map(|i| i % 30)));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"; 900]));
    let batch = RecordBatch::try_from_iter([("number", numbers), ("text", texts)]).unwrap();
    let what =
        |given: &[(&str, &str)]| fit(&batch, given).map(|(codec, _)| codec.describe()[0].1.clone());
    assert_eq!(what(&[]).unwrap(), "categorical, 30 values");
    assert!(
        what(&[("numeric", "number")])
            .unwrap()
            .starts_with("integer, 0 to 29, in steps of 1, by ")
    );
    let error = |given: &[(&str, &str)]| what(given).unwrap_err().to_string();
    assert!(error(&[("numeric", "numbers")]).contains("did you mean number?"));
    assert!(error(&[("numeric", "text")]).contains("cannot be numeric"));
    assert!(error(&[("numeric", "number"), ("categorical", "number")]).contains("both"));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), None]);
    let batch = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
    let error = fit(&batch, &[]).unwrap_err().to_string();
    assert!(error.contains("column l has type List"), "{error}");
}

fn described(array: ArrayRef, given: &[(&str, &str)]) -> String {
    let batch = RecordBatch::try_from_iter_with_nullable([("x", array, true)]).unwrap();
    fit(&batch, given).unwrap().0.describe()[0].1.clone()
}

#[test]
fn describe_says_bounds_steps_and_form() {
    let hours = TimestampNanosecondArray::from_iter_values(
        (0..900).map(|i| 1_700_006_400_000_000_000 + i * 6 * 3_600_000_000_000),
    );
    let what = described(Arc::new(hours), &[]);
    let begin = "datetime, 2023-11-15T00:00:00 to 2024-06-26T18:00:00, in steps of 6 hours, by 100 quantiles";
    assert_eq!(what, begin);
    let weeks: ArrayRef = Arc::new(Date32Array::from_iter_values((0..90).map(|i| i * 7)));
    let what = described(Arc::clone(&weeks), &[]);
    assert!(
        what.contains("1970-01-01 to 1971-09-16, in steps of 7 days"),
        "{what}"
    );
    let cents = Decimal128Array::from_iter_values((0..900).map(|i| i * 25));
    let cents: ArrayRef = Arc::new(cents.with_precision_and_scale(30, 2).unwrap());
    let what = described(Arc::clone(&cents), &[]);
    assert!(
        what.starts_with("numeric, 0.00 to 224.75, in steps of 0.25, by"),
        "{what}"
    );
    let tenths = Float64Array::from_iter_values((0..900).map(|i| f64::from(i) / 10.0));
    let what = described(Arc::new(tenths), &[("gmm", "x")]);
    assert!(
        what.contains("0.0 to 89.9, in steps of 0.1, by a mixture of"),
        "{what}"
    );
    let few: ArrayRef = Arc::new(Date32Array::from_iter_values((0..90).map(|i| i % 3)));
    let what = described(few, &[("datetime", "x")]);
    assert!(
        what.starts_with("datetime, 1970-01-01 to 1970-01-03, in steps of 1 day"),
        "{what}"
    );
}

#[test]
fn decimals_of_any_width_come_back_exactly() {
    for precision in [9u8, 18] {
        let units = (0..3000i128).map(|i| i * 3 + 100_000);
        let wide = Decimal128Array::from_iter_values(units)
            .with_precision_and_scale(38, 4)
            .unwrap();
        let narrow = match precision {
            9 => DataType::Decimal32(9, 4),
            _ => DataType::Decimal64(18, 4),
        };
        numbers_round_trip(cast(&wide, &narrow).unwrap());
        numbers_round_trip(cast(&wide, &DataType::Decimal256(70, 4)).unwrap());
    }
    // More digits than 64 bits hold: no longer to the digit, but of the type and within the bounds.
    let huge = Decimal128Array::from_iter_values((1..900).map(|i| i128::MAX / 2 / i));
    let huge: ArrayRef = Arc::new(huge.with_precision_and_scale(38, 10).unwrap());
    let batch = RecordBatch::try_from_iter([("x", huge)]).unwrap();
    let (codec, rows) = fit(&batch, &[]).unwrap();
    let encoded = codec.encode(&rows, 7).unwrap();
    let decoded = codec.decode(&encoded, 899, None).unwrap();
    assert_eq!(decoded.column(0).null_count(), 0);
}

#[test]
fn the_mixture_form_has_a_state_a_mode() {
    let mut stream = crate::synthesize::rng::stream(2, "modes", 0);
    let values = (0..5000).map(|i| {
        let z = f64::from(crate::synthesize::rng::normal(&mut stream));
        match i % 10 {
            0 => None,
            1..=3 => Some(-40.0 + z),
            4..=5 => Some(7.0),
            _ => Some(100.0 + 10.0 * z),
        }
    });
    let array: ArrayRef = Arc::new(Float64Array::from_iter(values));
    let batch = RecordBatch::try_from_iter_with_nullable([("x", array, true)]).unwrap();
    let (codec, rows) = fit(&batch, &[("form", "gmm")]).unwrap();
    let column = &codec.columns()[0];
    assert!(column.carriers() >= 2 && column.carriers() <= 10);
    assert_eq!(column.states(), column.carriers() + 2);
    let encoded = codec.encode(&rows, 0).unwrap();
    let values = &encoded.columns[0].values;
    assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
    let decoded = codec.decode(&encoded, 5000, None).unwrap();
    let pairs = decoded
        .column(0)
        .as_primitive::<arrow::datatypes::Float64Type>();
    let real = rows
        .column(0)
        .as_primitive::<arrow::datatypes::Float64Type>();
    for (a, b) in pairs.iter().zip(real) {
        assert_eq!(a.is_some(), b.is_some());
        if let (Some(a), Some(b)) = (a, b) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
    let mut file = ModelFile::default();
    codec.save(&mut file).unwrap();
    let read = Codec::load(&ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap()).unwrap();
    assert_eq!(read.decode(&encoded, 5000, None).unwrap(), decoded);
    assert_eq!(read.describe(), codec.describe());
}

#[test]
fn numbers_on_a_grid_come_back_in_the_mixture_form_too() {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values((0..3000).map(|i| i * i % 811)));
    let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
    let (codec, rows) = fit(&batch, &[("gmm", "x")]).unwrap();
    let encoded = codec.encode(&rows, 7).unwrap();
    let decoded = codec.decode(&encoded, 3000, None).unwrap();
    let same = not_distinct(decoded.column(0), rows.column(0)).unwrap();
    assert!(same.true_count() > 2970, "{}", same.true_count());
}

#[test]
fn many_categories_share_a_state_by_frequency() {
    // Few frequent words, and thousands of rare ones of which some come ten times as often.
    let word = |i: usize| match i % 4 {
        0 => Some(format!("often {}", i % 3)),
        1 if i % 16 == 1 => None,
        _ => Some(format!(
            "rare {:05}",
            (i * 7919) % 30_011 / if i.is_multiple_of(2) { 10 } else { 1 }
        )),
    };
    let array: ArrayRef = Arc::new(StringArray::from_iter((0..60_000).map(word)));
    let batch = RecordBatch::try_from_iter_with_nullable([("x", array, true)]).unwrap();
    let (codec, rows) = fit(&batch, &[("max_categories", "10")]).unwrap();
    let column = &codec.columns()[0];
    assert!(
        column.states() <= 10 && column.carriers() == 1,
        "{}",
        column.states()
    );
    assert!(
        codec.describe()[0].1.contains("3 with a state each"),
        "{:?}",
        codec.describe()
    );
    let encoded = codec.encode(&rows, 3).unwrap();
    let decoded = codec.decode(&encoded, 60_000, None).unwrap();
    assert_eq!(decoded.column(0), rows.column(0));
    // Draws from the normal come out at the categories' rates.
    let mut stream = crate::synthesize::rng::stream(5, "draws", 0);
    let drawn = EncodedColumn {
        states: vec![0; 100_000],
        values: (0..100_000)
            .map(|_| crate::synthesize::rng::normal(&mut stream))
            .collect(),
    };
    let drawn = Encoded {
        columns: vec![drawn],
    };
    let drawn = codec.decode(&drawn, 100_000, None).unwrap();
    let low = |batch: &RecordBatch| {
        let column = batch.column(0).as_string::<i32>();
        let words = column
            .iter()
            .flatten()
            .filter(|word| word.starts_with("rare"));
        let (low, all) = words.fold((0, 0), |(low, all), word| {
            (low + usize::from(word < "rare 03000"), all + 1)
        });
        f64::from(low as u32) / f64::from(all as u32)
    };
    assert!(
        (low(&drawn) - low(&rows)).abs() < 0.01,
        "{} {}",
        low(&drawn),
        low(&rows)
    );
    let mut file = ModelFile::default();
    codec.save(&mut file).unwrap();
    let read = Codec::load(&ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap()).unwrap();
    assert_eq!(read.decode(&encoded, 60_000, None).unwrap(), decoded);
    assert_eq!(
        read.encode(&rows, 3).unwrap().columns[0].values,
        encoded.columns[0].values
    );
}
