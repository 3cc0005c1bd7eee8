use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;

use super::*;
use crate::synthesize::{Given, Unwatched, load};

/// `x` and `y` of correlation 0.8, a class that `y` decides, and a number with NULLs and many zeros.
fn table(rows: usize) -> RecordBatch {
    let mut stream = rng::stream(3, "table", 0);
    let (mut xs, mut ys, mut classes, mut gains) = (vec![], vec![], vec![], vec![]);
    for i in 0..rows {
        let x = f64::from(rng::normal(&mut stream));
        let y = 0.8 * x + 0.6 * f64::from(rng::normal(&mut stream));
        xs.push(x);
        ys.push(y.exp());
        classes.push(if y > 0.5 { "high" } else { "low" });
        gains.push(match i % 5 {
            0 => None,
            1 | 2 => Some(0.0),
            _ => Some(100.0 * x.abs()),
        });
    }
    RecordBatch::try_from_iter_with_nullable([
        ("x", Arc::new(Float64Array::from(xs)) as ArrayRef, true),
        ("y", Arc::new(Float64Array::from(ys)) as ArrayRef, true),
        (
            "class",
            Arc::new(StringArray::from(classes)) as ArrayRef,
            true,
        ),
        (
            "gain",
            Arc::new(Float64Array::from(gains)) as ArrayRef,
            true,
        ),
    ])
    .unwrap()
}

fn train_on(batches: &[RecordBatch]) -> Arc<dyn Model> {
    let options = parse_options(&CopulaKind, &[]).unwrap();
    let data = Data::new(&batches[0].schema(), batches).unwrap();
    CopulaKind.train(&data, &options, &Unwatched).unwrap()
}

fn floats(rows: &RecordBatch, column: usize) -> &[f64] {
    rows.column(column).as_primitive::<Float64Type>().values()
}

fn correlation_of(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let mean = |x: &[f64]| x.iter().sum::<f64>() / n;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
    };
    sum(a, ma, b, mb) / (sum(a, ma, a, ma) * sum(b, mb, b, mb)).sqrt()
}

#[test]
fn marginals_and_correlations_are_the_tables() {
    let data = table(8000);
    let model = train_on(std::slice::from_ref(&data));
    let drawn = model.sample(0..20_000, 1, None).unwrap();
    let logs = |rows: &RecordBatch| floats(rows, 1).iter().map(|y| y.ln()).collect::<Vec<_>>();
    let rho = correlation_of(floats(&drawn, 0), &logs(&drawn));
    assert!((rho - 0.8).abs() < 0.03, "{rho}");
    let share = |rows: &RecordBatch| {
        let classes = rows.column(2).as_string::<i32>();
        classes.iter().flatten().filter(|c| *c == "high").count() as f64 / rows.num_rows() as f64
    };
    assert!((share(&drawn) - share(&data)).abs() < 0.02);
    let nulls = drawn.column(3).null_count() as f64 / 20_000.0;
    assert!((nulls - 0.2).abs() < 0.02, "{nulls}");
    let zeros = drawn.column(3).as_primitive::<Float64Type>();
    let zeros = zeros.iter().flatten().filter(|x| *x == 0.0).count() as f64 / 20_000.0;
    assert!((zeros - 0.4).abs() < 0.02, "{zeros}");
    // The class, whose threshold is known, goes with y.
    let classes = drawn.column(2).as_string::<i32>();
    let high: Vec<f64> = classes
        .iter()
        .map(|c| f64::from(u8::from(c == Some("high"))))
        .collect();
    let ours = correlation_of(&high, &logs(&drawn));
    let classes = data.column(2).as_string::<i32>();
    let high: Vec<f64> = classes
        .iter()
        .map(|c| f64::from(u8::from(c == Some("high"))))
        .collect();
    let theirs = correlation_of(&high, &logs(&data));
    assert!((ours - theirs).abs() < 0.06, "{ours} {theirs}");
}

#[test]
fn the_same_bits_from_any_parts() {
    let data = table(2000);
    let first = train_on(std::slice::from_ref(&data));
    let second = train_on(&[data.slice(500, 1500), data.slice(0, 500)]);
    let bytes = first.to_bytes().unwrap();
    assert_eq!(bytes, second.to_bytes().unwrap());
    let whole = first.sample(0..700, 7, None).unwrap();
    let parts = [0..3, 3..650, 650..700].map(|range| first.sample(range, 7, None).unwrap());
    assert_eq!(concat_batches(&whole.schema(), &parts).unwrap(), whole);
    assert_eq!(
        load(&bytes).unwrap().sample(0..700, 7, None).unwrap(),
        whole
    );
    let part = first.sample(0..700, 7, Some(&[3, 0])).unwrap();
    assert_eq!(part.column(1), whole.column(0));
}

#[test]
fn conditions_give_the_filtered_joint() {
    let model = train_on(&[table(6000)]);
    let condition = |column, test| Condition {
        column,
        compared_as: None,
        test,
    };
    let number = |x: f64| Arc::new(Float64Array::from(vec![x])) as ArrayRef;
    let high = Arc::new(StringArray::from(vec!["high"])) as ArrayRef;
    let whole = model.sample(0..60_000, 1, None).unwrap();
    for conditions in [
        vec![condition(2, Test::In(high))],
        vec![
            condition(1, Test::AtLeast(number(2.0), true)),
            condition(3, Test::In(number(0.0))),
        ],
        vec![
            condition(0, Test::AtMost(number(-0.5), false)),
            condition(1, Test::AtLeast(number(0.7), true)),
            condition(3, Test::NotNull),
        ],
    ] {
        let given = Given::new(&model, conditions.clone()).unwrap();
        let drawn = given.sample(0..6000, 5, None).unwrap();
        let mut passes = BooleanArray::from(vec![true; whole.num_rows()]);
        for condition in &conditions {
            let holds = condition.holds(drawn.column(condition.column)).unwrap();
            assert_eq!(holds.true_count(), 6000);
            let holds = condition.holds(whole.column(condition.column)).unwrap();
            passes = arrow::compute::and(&passes, &holds).unwrap();
        }
        let filtered = arrow::compute::filter_record_batch(&whole, &passes).unwrap();
        let mean = |rows: &RecordBatch| {
            let xs = floats(rows, 0);
            xs.iter().sum::<f64>() / xs.len() as f64
        };
        let spread = 1.0 / (filtered.num_rows() as f64).sqrt() + 1.0 / 6000f64.sqrt();
        let (ours, theirs) = (mean(&drawn), mean(&filtered));
        assert!(
            (ours - theirs).abs() < 3.5 * spread,
            "{}: {ours} {theirs}",
            given.describe()
        );
    }
}
