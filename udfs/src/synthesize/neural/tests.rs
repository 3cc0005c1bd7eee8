use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;

use super::*;
use crate::synthesize::{Given, Test, Unwatched, kind, load, parse_options};

/// Every kind whose rows a network makes.
const KINDS: [&str; 4] = ["gan", "wgan_gp", "ctgan", "tvae"];

/// Two clouds: text and numbers depend on each other, some values are missing.
fn table(rows: usize) -> RecordBatch {
    let mut stream = rng::stream(11, "table", 0);
    let mut names = Vec::new();
    let mut ages = Vec::new();
    let mut incomes = Vec::new();
    for i in 0..rows {
        let rich = rng::uniform(&mut stream) < 0.3;
        names.push((i % 17 != 0).then_some(if rich { "rich" } else { "poor" }));
        let age = 40.0 + 10.0 * rng::normal(&mut stream) + if rich { 15.0 } else { 0.0 };
        ages.push(age.round() as i64);
        incomes.push((i % 11 != 0).then(|| f64::from(rng::normal(&mut stream))));
    }
    RecordBatch::try_from_iter([
        ("class", Arc::new(StringArray::from(names)) as ArrayRef),
        ("age", Arc::new(Int64Array::from(ages)) as ArrayRef),
        ("income", Arc::new(Float64Array::from(incomes)) as ArrayRef),
    ])
    .unwrap()
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = given.iter();
    pairs
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn train_on(name: &str, batches: &[RecordBatch], given: &[(&str, &str)]) -> Result<Arc<dyn Model>> {
    let kind = kind(name)?;
    let options = parse_options(kind.as_ref(), &pairs(given))?;
    let data = Data::new(&batches[0].schema(), batches)?;
    kind.train(&data, &options, &Unwatched)
}

/// Goes on with a model, or takes it to another table; the options as the statement would make them.
fn train_from(
    base: &Arc<dyn Model>,
    resume: bool,
    batch: &RecordBatch,
    given: &[(&str, &str)],
) -> Result<Arc<dyn Model>> {
    let kind = kind(base.kind())?;
    let mut given = pairs(given);
    let inherited = if resume {
        base.options()
    } else {
        base.architecture()
    };
    for (name, value) in inherited {
        if !given.iter().any(|(known, _)| *known == name) {
            given.push((name, value));
        }
    }
    let options = parse_options(kind.as_ref(), &given)?;
    let data = Data::new(&batch.schema(), std::slice::from_ref(batch))?;
    match resume {
        true => kind.resume(base.as_ref(), &data, &options, &Unwatched),
        false => kind.transfer(base.as_ref(), &data, &options, &Unwatched),
    }
}

const QUICK: [(&str, &str); 2] = [("epochs", "2"), ("seed", "5")];

fn file(model: &Arc<dyn Model>) -> ModelFile {
    ModelFile::from_bytes(&model.to_bytes().unwrap()).unwrap()
}

fn values(file: &ModelFile, name: &str) -> Vec<f32> {
    let flat = file.tensor(name).unwrap().flatten_all().unwrap();
    flat.to_vec1::<f32>().unwrap()
}

#[test]
fn the_model_does_not_depend_on_the_order_of_rows() {
    let all = table(600);
    let parts = [all.slice(400, 200), all.slice(0, 100), all.slice(100, 300)];
    for name in KINDS {
        let first = train_on(name, std::slice::from_ref(&all), &QUICK).unwrap();
        let second = train_on(name, &parts, &QUICK).unwrap();
        assert_eq!(first.to_bytes().unwrap(), second.to_bytes().unwrap());
        let given = [("epochs", "2"), ("seed", "6")];
        let other = train_on(name, std::slice::from_ref(&all), &given).unwrap();
        assert_ne!(first.to_bytes().unwrap(), other.to_bytes().unwrap());
    }
}

/// Run in a process of its own by the test below: the number of threads is read from the environment.
#[test]
#[ignore = "prints hashes for another test"]
fn print_model_hashes() {
    let hashes = KINDS.map(|name| {
        let model = train_on(name, &[table(2000)], &QUICK).unwrap();
        let bytes = model.to_bytes().unwrap();
        let rows = model.sample(0..1000, 1, None).unwrap();
        let rows = format!("{rows:?}");
        format!(
            "{:x} {:x}",
            rng::hash(0, &bytes),
            rng::hash(0, rows.as_bytes())
        )
    });
    println!("hash={}", hashes.join(" "));
}

#[test]
fn the_model_does_not_depend_on_the_number_of_threads() {
    let hash = |threads: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--test-threads", "1"])
            .args(["--exact", "synthesize::neural::tests::print_model_hashes"])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let at = text
            .find("hash=")
            .unwrap_or_else(|| panic!("no hash in {text}"));
        text[at..].lines().next().unwrap().to_string()
    };
    let one = hash("1");
    assert_eq!(one, hash("2"));
    assert_eq!(one, hash("7"));
}

#[test]
fn rows_do_not_depend_on_how_they_are_asked_for() {
    for name in KINDS {
        let model = train_on(name, &[table(600)], &QUICK).unwrap();
        let all = model.sample(0..1000, 9, None).unwrap();
        let cuts = [0, 1, 7, 255, 256, 300, 777, 1000];
        let parts: Vec<RecordBatch> = cuts
            .windows(2)
            .map(|cut| model.sample(cut[0]..cut[1], 9, None).unwrap())
            .collect();
        assert_eq!(concat_batches(&all.schema(), &parts).unwrap(), all);
        let some = model.sample(0..1000, 9, Some(&[2, 0])).unwrap();
        assert_eq!(some, all.project(&[2, 0]).unwrap());
        assert_eq!(model.sample(5..5, 9, None).unwrap().num_rows(), 0);
        assert_eq!(model.sample(0..5, 9, Some(&[])).unwrap().num_rows(), 5);
        assert_ne!(model.sample(0..1000, 10, None).unwrap(), all);
        // A key's row does not depend on its place.
        let keys: Vec<u64> = (0..600).map(rng::mix).collect();
        let all = model.draw(&keys, None).unwrap();
        for (place, key) in keys.iter().enumerate().step_by(7) {
            let one = model.draw(&[*key], None).unwrap();
            assert_eq!(one, all.slice(place, 1), "{name}");
        }
    }
}

#[test]
fn a_saved_model_is_the_same_model() {
    for name in KINDS {
        let model = train_on(name, &[table(600)], &QUICK).unwrap();
        let bytes = model.to_bytes().unwrap();
        let read = load(&bytes).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!(read.describe(), model.describe());
        assert_eq!(
            read.sample(0..500, 3, None).unwrap(),
            model.sample(0..500, 3, None).unwrap()
        );
    }
}

#[test]
fn tiny_and_odd_tables_are_learnt() {
    let constant: ArrayRef = Arc::new(StringArray::from(vec!["a"; 5]));
    let nothing: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>; 5]));
    let odd = [f64::INFINITY, f64::NAN, f64::NEG_INFINITY, 1e308, -1e308];
    let infinite: ArrayRef = Arc::new(Float64Array::from(odd.repeat(10)));
    for name in KINDS {
        let columns = [("c", Arc::clone(&constant)), ("n", Arc::clone(&nothing))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let model = train_on(name, std::slice::from_ref(&batch), &QUICK).unwrap();
        assert_eq!(model.sample(0..5, 0, None).unwrap(), batch);
        let read = load(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(read.sample(0..5, 0, None).unwrap(), batch);
        for rows in [1, 2, 3, 30] {
            let model = train_on(name, &[table(rows)], &QUICK).unwrap();
            assert_eq!(model.sample(0..10, 0, None).unwrap().num_rows(), 10);
        }
        let batch = RecordBatch::try_from_iter([("x", Arc::clone(&infinite))]).unwrap();
        let model = train_on(name, &[batch], &QUICK).unwrap();
        assert_eq!(model.sample(0..10, 0, None).unwrap().num_rows(), 10);
        let error = train_on(name, &[table(0)], &QUICK).unwrap_err().to_string();
        assert!(error.contains("gives no rows"), "{error}");
    }
}

#[test]
fn wide_tables_are_learnt() {
    let columns = (0..1000i64).map(|i| {
        let cells = (0..60).map(move |row| (row * 31 + i * 7) % (3 + i % 20));
        let array: ArrayRef = Arc::new(Int64Array::from_iter_values(cells));
        (format!("c{i}"), array)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for name in ["ctgan", "tvae"] {
        let given = [
            ("epochs", "1"),
            ("generator", "[32]"),
            ("discriminator", "[32]"),
        ];
        let given = if name == "ctgan" {
            &given[..]
        } else {
            &given[..1]
        };
        let model = train_on(name, std::slice::from_ref(&batch), given).unwrap();
        assert_eq!(model.sample(0..10, 0, None).unwrap().num_columns(), 1000);
    }
}

#[test]
fn both_losses_train() {
    for loss in ["minimax", "non_saturating"] {
        let given = [("epochs", "3"), ("loss", loss)];
        let model = train_on("gan", &[table(1000)], &given).unwrap();
        assert_eq!(model.history().epochs.len(), 3);
    }
}

#[test]
fn weights_that_are_no_numbers_are_no_model() {
    let mut network = train_network();
    network.parameters_mut()[0].values[0] = f32::NAN;
    let error = network.save("", &mut ModelFile::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("came apart: generator.0.weight"), "{error}");
}

fn train_network() -> Mlp {
    Mlp::new(
        &crate::synthesize::layers::MlpShape {
            name: "generator",
            inputs: (2, crate::synthesize::layers::Axis::Units),
            hidden: &[2],
            outputs: (2, crate::synthesize::layers::Axis::Cells),
            conditions: 0,
            norm: true,
            residual: false,
        },
        0,
    )
}

#[test]
fn networks_beyond_the_memory_say_what_to_do() {
    let given = [("generator", "[8192, 8192, 8192]")];
    let error = train_on("ctgan", &[table(50)], &given)
        .unwrap_err()
        .to_string();
    assert!(error.contains("narrower layers"), "{error}");
}

#[test]
fn many_categories_are_learnt_and_drawn() {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..7000).map(|i| format!("name {}", i % 3000)),
    ));
    let batch = RecordBatch::try_from_iter([("name", names)]).unwrap();
    let given = [("epochs", "2"), ("max_categories", "20")];
    let model = train_on("gan", &[batch], &given).unwrap();
    let drawn = model.sample(0..500, 0, None).unwrap();
    let drawn = drawn.column(0).as_string::<i32>();
    let different: std::collections::HashSet<_> = drawn.iter().flatten().collect();
    assert!(different.len() > 100, "{}", different.len());
}

#[test]
fn cancelling_ends_the_training() {
    struct Soon(AtomicU64);
    impl Watch for Soon {
        fn epoch(&self, _: u64, _: u64, _: &str) {}
        fn cancelled(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) > 3
        }
    }
    let batch = table(600);
    let data = Data::new(&batch.schema(), &[batch]).unwrap();
    for name in KINDS {
        let kind = kind(name).unwrap();
        let options = parse_options(kind.as_ref(), &[]).unwrap();
        let result = kind.train(&data, &options, &Soon(AtomicU64::new(0)));
        assert!(result.unwrap_err().to_string().contains("cancelled"));
    }
}

#[test]
fn a_training_in_two_parts_is_the_training_in_one() {
    let batch = table(600);
    for name in KINDS {
        let given = [("epochs", "4"), ("seed", "5"), ("keep", "last")];
        let whole = train_on(name, std::slice::from_ref(&batch), &given).unwrap();
        let given = [("epochs", "2"), ("seed", "5"), ("keep", "last")];
        let half = train_on(name, std::slice::from_ref(&batch), &given).unwrap();
        let half = load(&half.to_bytes().unwrap()).unwrap();
        let both = train_from(&half, true, &batch, &[("epochs", "2")]).unwrap();
        assert_eq!(both.history().epochs, whole.history().epochs);
        assert_eq!(
            both.sample(0..300, 1, None).unwrap(),
            whole.sample(0..300, 1, None).unwrap(),
            "{name}"
        );
        let other = batch.project(&[0, 1]).unwrap();
        let error = train_from(&half, true, &other, &[]).unwrap_err();
        assert!(error.to_string().contains("class, age, income"), "{error}");
    }
}

#[test]
fn another_table_takes_what_it_shares_and_keeps_what_is_frozen() {
    let first = table(600);
    let cities = StringArray::from_iter_values((0..400).map(|i| ["x", "y", "z"][i % 3]));
    let shared = table(400);
    let classes = StringArray::from_iter((0..400).map(|i| match i % 4 {
        0 => None,
        1 => Some("rich"),
        2 => Some("new"),
        _ => Some("poor"),
    }));
    let second = RecordBatch::try_from_iter([
        ("city", Arc::new(cities) as ArrayRef),
        ("class", Arc::new(classes) as ArrayRef),
        ("income", Arc::clone(shared.column(2))),
    ])
    .unwrap();
    for name in KINDS {
        let base = train_on(name, std::slice::from_ref(&first), &QUICK).unwrap();
        let given = [("epochs", "2"), ("freeze", "trunk")];
        let taken = train_from(&base, false, &second, &given).unwrap();
        let (old, new) = (file(&base), file(&taken));
        let network = if name == "tvae" {
            "decoder"
        } else {
            "generator"
        };
        let frozen: Vec<String> = old
            .tensors(&format!("{network}."))
            .into_keys()
            .filter(|name| !name.contains("output") && !name.ends_with("condition"))
            .collect();
        assert!(frozen.len() >= 4);
        for part in &frozen {
            let bits = |file| -> Vec<u32> {
                values(file, part)
                    .iter()
                    .map(|value| value.to_bits())
                    .collect()
            };
            assert_eq!(bits(&old), bits(&new), "{name} {part}");
        }
        let free = train_from(&base, false, &second, &[("epochs", "2")]).unwrap();
        let part = format!("{network}.0.weight");
        assert_ne!(values(&old, &part), values(&file(&free), &part));
        let error = train_on(name, std::slice::from_ref(&second), &given).unwrap_err();
        assert!(error.to_string().contains("FROM model"), "{error}");
    }
    let base = train_on("gan", std::slice::from_ref(&first), &QUICK).unwrap();
    let error = train_from(&base, false, &second, &[("noise", "7")]).unwrap_err();
    assert!(error.to_string().contains("option noise is 64"), "{error}");
    let nothing = second.project(&[0]).unwrap();
    let error = train_from(&base, false, &nothing, &[]).unwrap_err();
    assert!(error.to_string().contains("shares no column"), "{error}");
}

#[test]
fn cells_of_one_column_and_value_are_the_same() {
    let given = [("epochs", "2"), ("form", "quantile")];
    let base = train_on("ctgan", &[table(600)], &given).unwrap();
    let file = file(&base);
    let batch = table(300).project(&[2, 0]).unwrap();
    let given = [("form".to_string(), "quantile".to_string())];
    let options = parse_options(kind("ctgan").unwrap().as_ref(), &given).unwrap();
    let data = Data::new(&batch.schema(), &[batch]).unwrap();
    let codec = Codec::fit(&data, &options).unwrap();
    let heads = Heads::new(&codec);
    let encoded = codec.encode(data.rows(), 0).unwrap();
    let conditions = Conditions::fit(&codec, &heads, &encoded);
    let kind = crate::synthesize::ctgan::CtganKind;
    let mapping = mapping(&kind, base.as_ref(), &file, &codec, &heads, &conditions).unwrap();
    // The old cells: the values of age and income; the classes poor, rich and NULL; then income's states.
    assert_eq!(
        mapping.cells,
        [Some(1), Some(5), Some(6), Some(2), Some(3), Some(4)]
    );
    assert_eq!(mapping.conditions, [Some(0), Some(1), Some(2)]);
}

/// Ages of rows of a table's classes, ascending.
fn ages_of(rows: &RecordBatch, classes: &[&str]) -> Vec<i64> {
    let class = rows.column(0).as_string::<i32>();
    let age = rows.column(1).as_primitive::<Int64Type>();
    let of = |i: &usize| class.is_valid(*i) && classes.contains(&class.value(*i));
    let mut ages: Vec<i64> = (0..rows.num_rows())
        .filter(of)
        .map(|i| age.value(i))
        .collect();
    ages.sort_unstable();
    ages
}

/// The Kolmogorov-Smirnov distance of two ascending samples.
fn distance(a: &[i64], b: &[i64]) -> f64 {
    let below =
        |ages: &[i64], age| ages.partition_point(|&other| other <= age) as f64 / ages.len() as f64;
    let of = |&age: &i64| (below(a, age) - below(b, age)).abs();
    a.iter().chain(b).map(of).fold(0.0, f64::max)
}

#[test]
fn conditions_give_the_rows_that_the_model_has_of_them() {
    let given = [("epochs", "40"), ("batch_size", "200")];
    let model = train_on("ctgan", &[table(2000)], &given).unwrap();
    let class = |test| Condition {
        column: 0,
        compared_as: None,
        test,
    };
    let texts = |texts: &[&str]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let all = model.sample(0..8000, 3, None).unwrap();
    for wanted in [&["poor"][..], &["rich"], &["rich", "poor"]] {
        let condition = class(Test::In(texts(wanted)));
        // Steered, every draw passes; drawing and checking would leave rows over.
        let draw = model.given(std::slice::from_ref(&condition)).unwrap();
        let keys: Vec<u64> = (0..2000).map(rng::mix).collect();
        let drawn = draw.unwrap().draw(&keys, None).unwrap();
        assert_eq!(condition.holds(drawn.column(0)).unwrap().true_count(), 2000);
        let gap = distance(&ages_of(&drawn, wanted), &ages_of(&all, wanted));
        assert!(gap < 0.1, "{wanted:?}: {gap}");
    }
    // Two classes come out at their rates.
    let rows = Given::new(&model, vec![class(Test::NotNull)]).unwrap();
    let rows = rows.sample(0..4000, 9, None).unwrap();
    let share = |rows: &RecordBatch| {
        let [rich, both] = [&["rich"][..], &["rich", "poor"]].map(|c| ages_of(rows, c).len());
        rich as f64 / both as f64
    };
    assert!((share(&rows) - share(&all)).abs() < 0.03);
    // What the vector cannot ask for is checked: numbers, and a second column.
    let older = Condition {
        column: 1,
        compared_as: None,
        test: Test::AtLeast(Arc::new(Int64Array::from(vec![45])), true),
    };
    let rows = Given::new(&model, vec![class(Test::In(texts(&["rich"]))), older]).unwrap();
    let rows = rows.sample(0..500, 2, None).unwrap();
    assert_eq!(ages_of(&rows, &["rich"]).len(), 500);
    assert!(ages_of(&rows, &["rich"])[0] >= 45);
    // Nobody is both.
    let none = vec![class(Test::In(texts(&["neither"])))];
    let error = Given::new(&model, none).unwrap_err().to_string();
    assert!(error.contains("never draws"), "{error}");
    // A generator that sees no conditions draws and checks.
    let plain = train_on("gan", &[table(200)], &[("epochs", "1")]).unwrap();
    let rich = class(Test::In(texts(&["rich"])));
    assert!(plain.given(&[rich]).unwrap().is_none());
}

#[test]
fn what_is_drawn_resembles_what_was_learnt() {
    let real = table(2000);
    let trained = |name, given: &[(&str, &str)]| {
        let model = train_on(name, std::slice::from_ref(&real), given).unwrap();
        model.sample(0..2000, 1, None).unwrap()
    };
    let samples = [
        trained("gan", &[("epochs", "40")]),
        trained("wgan_gp", &[("epochs", "40"), ("generator_rate", "1e-3")]),
        trained("ctgan", &[("epochs", "80"), ("batch_size", "200")]),
        trained("tvae", &[("epochs", "60"), ("batch_size", "100")]),
    ];
    for (name, drawn) in KINDS.iter().zip(samples) {
        // No collapse: every class and NULL come out at about their rates.
        for class in [Some("rich"), Some("poor"), None] {
            let share = |rows: &RecordBatch| {
                let column = rows.column(0).as_string::<i32>();
                column.iter().filter(|value| *value == class).count() as f64 / 2000.0
            };
            let (drawn, real) = (share(&drawn), share(&real));
            assert!(
                (drawn - real).abs() < 0.1,
                "{name} {class:?}: {drawn}, not {real}"
            );
        }
        let ages = |rows: &RecordBatch| {
            let mut ages = rows.column(1).as_primitive::<Int64Type>().values().to_vec();
            ages.sort_unstable();
            ages
        };
        let (real, drawn) = (ages(&real), ages(&drawn));
        let inside = real[0] <= drawn[0] && drawn[1999] <= real[1999];
        assert!(inside, "{name}: out of bounds");
        let gap = distance(&real, &drawn);
        assert!(gap < 0.2, "{name}: {gap}");
    }
}
