use std::collections::HashMap;

use arrow::array::{Float64Array, Int64Array, NullArray, StringArray};
use arrow::compute::concat_batches;

use super::em::{Counts, Smoothing, Workspace};
use super::*;
use crate::synthesize::{Given, Test, Unwatched, load, rng};

/// A tiny circuit of random parameters: a tree of four columns of 3, 2, 4 and 2 symbols.
fn tiny(states: usize) -> (Circuit, Vec<usize>) {
    let sizes = vec![3, 2, 4, 2];
    let parents = vec![Some(2), Some(2), None, Some(0)];
    let mut stream = rng::stream(5, "tiny", 0);
    let mut distribution = |size: usize| -> Vec<f32> {
        let weights: Vec<f32> = (0..size)
            .map(|_| rng::uniform(&mut stream) + 0.05)
            .collect();
        let total: f32 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    };
    let root = distribution(states);
    let edges = parents
        .iter()
        .map(|parent: &Option<usize>| match parent {
            None => Vec::new(),
            Some(_) => (0..states).flat_map(|_| distribution(states)).collect(),
        })
        .collect();
    let leaves = sizes
        .iter()
        .map(|&size| {
            let by_state: Vec<Vec<f32>> = (0..states).map(|_| distribution(size)).collect();
            let rows = (0..size).flat_map(|s| by_state.iter().map(move |row| row[s]));
            rows.collect()
        })
        .collect();
    let circuit = Circuit {
        states,
        tree: Tree::of_parents(parents).unwrap(),
        root,
        edges,
        leaves,
    };
    (circuit, sizes)
}

/// All rows there are, as columns.
fn all_rows(sizes: &[usize]) -> Vec<Vec<u32>> {
    let count: usize = sizes.iter().product();
    let mut every = 1;
    sizes
        .iter()
        .map(|&size| {
            let column = (0..count).map(|row| (row / every % size) as u32).collect();
            every *= size;
            column
        })
        .collect()
}

/// A row's probability as the sum over all hidden states.
fn enumerated(circuit: &Circuit, row: &[u32]) -> f64 {
    let (states, columns) = (circuit.states, row.len());
    (0..states.pow(columns as u32))
        .map(|code| {
            let hidden = |column: usize| code / states.pow(column as u32) % states;
            (0..columns)
                .map(|column| {
                    let prior = match circuit.tree.parents[column] {
                        None => circuit.root[hidden(column)],
                        Some(parent) => {
                            circuit.edges[column][hidden(parent) * states + hidden(column)]
                        }
                    };
                    let leaf =
                        circuit.leaves[column][row[column] as usize * states + hidden(column)];
                    f64::from(prior) * f64::from(leaf)
                })
                .product::<f64>()
        })
        .sum()
}

fn row_of(columns: &[Vec<u32>], row: usize) -> Vec<u32> {
    columns.iter().map(|column| column[row]).collect()
}

#[test]
fn likelihood_is_the_sum_over_all_hidden_states() {
    let (circuit, sizes) = tiny(3);
    let columns = all_rows(&sizes);
    let rows: Vec<u32> = (0..columns[0].len() as u32).collect();
    let logs = circuit.log_likelihood(&columns, &rows);
    let mut total = 0.0;
    for (row, log) in logs.iter().enumerate() {
        let exact = enumerated(&circuit, &row_of(&columns, row));
        assert!(
            (log.exp() / exact - 1.0).abs() < 1e-5,
            "{log} {}",
            exact.ln()
        );
        total += log.exp();
    }
    assert!((total - 1.0).abs() < 1e-5, "{total}");
}

/// Rows with structure: one hidden cause.
fn caused(rows: usize, sizes: &[usize]) -> Vec<Vec<u32>> {
    let mut stream = rng::stream(9, "caused", 0);
    let mut columns = vec![Vec::new(); sizes.len()];
    for _ in 0..rows {
        let cause = rng::uniform(&mut stream);
        for (column, &size) in columns.iter_mut().zip(sizes) {
            let x = 0.7 * cause + 0.3 * rng::uniform(&mut stream);
            column.push(((x * size as f32) as u32).min(size as u32 - 1));
        }
    }
    columns
}

#[test]
fn expectation_maximisation_never_lowers_the_likelihood() {
    let (mut circuit, sizes) = tiny(4);
    let columns = caused(2000, &sizes);
    let rows: Vec<u32> = (0..2000).collect();
    let smoothing = Smoothing {
        leaf: 0.0,
        edge: 0.0,
        marginals: sizes.iter().map(|&size| vec![1.0; size]).collect(),
    };
    let mut workspace = Workspace::default();
    let mut last = f64::NEG_INFINITY;
    for _ in 0..40 {
        let mut counts = Counts::none(&circuit);
        let sum = circuit.count(&columns, &rows, &mut counts, (1.0, 1.0), &mut workspace);
        // The share of states that no row uses is kept above 0: that costs a little.
        assert!(sum >= last - 0.02, "{sum} after {last}");
        last = sum;
        circuit.maximise(&counts, &smoothing);
    }
    let (begin, _) = tiny(4);
    let first: f64 = begin.log_likelihood(&columns, &rows).iter().sum();
    assert!(last > first + 500.0, "{first} {last}");
}

#[test]
fn a_step_over_all_rows_gives_their_marginals() {
    let (mut circuit, sizes) = tiny(4);
    let columns = caused(3000, &sizes);
    let rows: Vec<u32> = (0..3000).collect();
    let smoothing = Smoothing {
        leaf: 0.0,
        edge: 0.0,
        marginals: sizes.iter().map(|&size| vec![1.0; size]).collect(),
    };
    let mut counts = Counts::none(&circuit);
    circuit.count(
        &columns,
        &rows,
        &mut counts,
        (1.0, 1.0),
        &mut Workspace::default(),
    );
    circuit.maximise(&counts, &smoothing);
    let all = all_rows(&sizes);
    for column in 0..sizes.len() {
        let mut model = vec![0.0; sizes[column]];
        for row in 0..all[0].len() {
            let row = row_of(&all, row);
            model[row[column] as usize] += enumerated(&circuit, &row);
        }
        for (symbol, model) in model.iter().enumerate() {
            let data = columns[column]
                .iter()
                .filter(|&&s| s as usize == symbol)
                .count();
            let data = data as f64 / 3000.0;
            assert!(
                (model - data).abs() < 1e-5,
                "{column} {symbol}: {model} {data}"
            );
        }
    }
}

/// The chi-square statistic's excess over its degrees of freedom, in standard deviations.
fn excess(observed: &[f64], expected: &[f64]) -> f64 {
    let parts: Vec<f64> = observed
        .iter()
        .zip(expected)
        .filter(|(_, expected)| **expected > 5.0)
        .map(|(o, e)| (o - e) * (o - e) / e)
        .collect();
    let freedom = parts.len() as f64 - 1.0;
    (parts.iter().sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn rows_are_drawn_from_the_joint_filtered_by_the_evidence() {
    let (circuit, sizes) = tiny(3);
    let circuit = Arc::new(circuit);
    let alphabets: Vec<Alphabet> = sizes.iter().map(|&size| Alphabet::states(size)).collect();
    let evidence = vec![
        Some(Evidence {
            states: vec![true, false, true],
            values: Vec::new(),
        }),
        None,
        Some(Evidence {
            states: vec![false, true, true, false],
            values: Vec::new(),
        }),
        None,
    ];
    let all = all_rows(&sizes);
    let allowed = |row: &[u32]| matches!(row[0], 0 | 2) && matches!(row[2], 1 | 2);
    let probability: Vec<f64> = (0..all[0].len())
        .map(|row| row_of(&all, row))
        .map(|row| {
            if allowed(&row) {
                enumerated(&circuit, &row)
            } else {
                0.0
            }
        })
        .collect();
    let total: f64 = probability.iter().sum();
    let keys: Vec<u64> = (0..40_000).map(rng::mix).collect();
    let sampler = Sampler::given(&circuit, &alphabets, &evidence).unwrap();
    let drawn = sampler.draw(&keys, None);
    let mut observed = vec![0.0; probability.len()];
    for i in 0..keys.len() {
        let states = drawn.columns.iter().map(|column| column.states[i] as usize);
        let place = states
            .zip(&sizes)
            .rev()
            .fold(0, |at, (s, size)| at * size + s);
        observed[place] += 1.0;
    }
    let expected: Vec<f64> = probability.iter().map(|p| p / total * 40_000.0).collect();
    let outside = observed
        .iter()
        .zip(&expected)
        .filter(|(o, e)| **e == 0.0 && **o > 0.0);
    assert_eq!(outside.count(), 0);
    let excess = excess(&observed, &expected);
    assert!(excess < 4.0, "{excess}");
    // A projection draws the same values.
    let part = sampler.draw(&keys[..100], Some(&[3]));
    assert_eq!(part.columns[3].states, drawn.columns[3].states[..100]);
}

#[test]
fn partial_rows_are_continued_from_the_joint_given_what_they_hold() {
    let (circuit, sizes) = tiny(3);
    let circuit = Arc::new(circuit);
    let alphabets: Vec<Alphabet> = sizes.iter().map(|&size| Alphabet::states(size)).collect();
    let completer = Completer::new(&circuit, &alphabets, &[None, None, None, None]).unwrap();
    let keys: Vec<u64> = (0..30_000).map(rng::mix).collect();
    let known = vec![
        vec![UNKNOWN; keys.len()],
        vec![1; keys.len()],
        vec![UNKNOWN; keys.len()],
        vec![0; keys.len()],
    ];
    let drawn = completer.complete(&known, &keys);
    let mut observed = vec![0.0; 12];
    for i in 0..keys.len() {
        assert_eq!(
            (drawn.columns[1].states[i], drawn.columns[3].states[i]),
            (1, 0)
        );
        observed[drawn.columns[0].states[i] as usize + 3 * drawn.columns[2].states[i] as usize] +=
            1.0;
    }
    let probability: Vec<f64> = (0..12)
        .map(|at| enumerated(&circuit, &[at % 3, 1, at / 3, 0]))
        .collect();
    let total: f64 = probability.iter().sum();
    let expected: Vec<f64> = probability.iter().map(|p| p / total * 30_000.0).collect();
    let excess = excess(&observed, &expected);
    assert!(excess < 4.0, "{excess}");
}

/// Text, numbers and NULLs that depend on each other.
fn table(rows: usize) -> RecordBatch {
    let mut stream = rng::stream(11, "table", 0);
    let (mut names, mut ages, mut incomes) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..rows {
        let rich = rng::uniform(&mut stream) < 0.3;
        names.push((i % 17 != 0).then_some(if rich { "rich" } else { "poor" }));
        let age = 40.0 + 5.0 * rng::normal(&mut stream) + if rich { 20.0 } else { 0.0 };
        ages.push(age.round() as i64);
        let income = f64::from(rng::normal(&mut stream)) + if rich { 6.0 } else { 0.0 };
        incomes.push((i % 11 != 0).then_some(income));
    }
    RecordBatch::try_from_iter([
        ("class", Arc::new(StringArray::from(names)) as ArrayRef),
        ("age", Arc::new(Int64Array::from(ages)) as ArrayRef),
        ("income", Arc::new(Float64Array::from(incomes)) as ArrayRef),
    ])
    .unwrap()
}

fn train_on(batches: &[RecordBatch], given: &[(&str, &str)]) -> Result<Arc<dyn Model>> {
    let given: Vec<(String, String)> = given
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let options = parse_options(&CircuitKind, &given)?;
    let data = Data::new(&batches[0].schema(), batches)?;
    CircuitKind.train(&data, &options, &Unwatched)
}

const QUICK: [(&str, &str); 3] = [("epochs", "4"), ("states", "8"), ("batch_size", "128")];

#[test]
fn the_model_depends_on_no_order_of_rows_and_no_number_of_threads() {
    let all = table(900);
    let train = |batches: &[RecordBatch], threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let model = pool.unwrap().install(|| train_on(batches, &QUICK).unwrap());
        model.to_bytes().unwrap()
    };
    let first = train(std::slice::from_ref(&all), 1);
    let parts = [all.slice(400, 500), all.slice(0, 100), all.slice(100, 300)];
    assert_eq!(first, train(&parts, 3));
    let read = load(&first).unwrap();
    assert_eq!(read.to_bytes().unwrap(), first);
    let model = train_on(&[all], &QUICK).unwrap();
    let whole = model.sample(0..1000, 7, None).unwrap();
    assert_eq!(read.sample(0..1000, 7, None).unwrap(), whole);
    let parts =
        [0..100, 100..101, 101..777, 777..1000].map(|range| model.sample(range, 7, None).unwrap());
    assert_eq!(concat_batches(&whole.schema(), &parts).unwrap(), whole);
}

#[test]
fn conditions_hold_in_every_row_and_keep_the_shares() {
    let model = train_on(&[table(3000)], &[("epochs", "10"), ("states", "16")]).unwrap();
    let one = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let number = |x: f64| Arc::new(Float64Array::from(vec![x])) as ArrayRef;
    let condition = |column, test| Condition {
        column,
        compared_as: None,
        test,
    };
    let whole = model.sample(0..40_000, 1, None).unwrap();
    for conditions in [
        vec![condition(0, Test::In(one("rich")))],
        vec![condition(0, Test::Null)],
        vec![
            condition(2, Test::AtLeast(number(1.5), true)),
            condition(2, Test::AtMost(number(5.0), false)),
        ],
        vec![
            condition(2, Test::Null),
            condition(0, Test::NotIn(one("rich"))),
        ],
        vec![condition(
            1,
            Test::AtMost(Arc::new(Int64Array::from(vec![35])), true),
        )],
    ] {
        let given = Given::new(&model, conditions.clone()).unwrap();
        let drawn = given.sample(0..8000, 2, None).unwrap();
        let parts = [
            given.sample(0..3, 2, None).unwrap(),
            given.sample(3..8000, 2, None).unwrap(),
        ];
        assert_eq!(concat_batches(&drawn.schema(), &parts).unwrap(), drawn);
        let mut passes = BooleanArray::from(vec![true; whole.num_rows()]);
        for condition in &conditions {
            let holds = condition.holds(drawn.column(condition.column)).unwrap();
            assert_eq!(holds.true_count(), 8000, "{}", given.describe());
            let holds = condition.holds(whole.column(condition.column)).unwrap();
            passes = arrow::compute::and(&passes, &holds).unwrap();
        }
        // The ages of the rows drawn are those of the rows that pass.
        let filtered = arrow::compute::filter_record_batch(&whole, &passes).unwrap();
        let shares = |rows: &RecordBatch| {
            let mut counts: HashMap<i64, f64> = HashMap::new();
            for age in rows
                .column(1)
                .as_primitive::<arrow::datatypes::Int64Type>()
                .values()
            {
                *counts.entry(age / 10).or_default() += 1.0 / rows.num_rows() as f64;
            }
            counts
        };
        let (ours, theirs) = (shares(&drawn), shares(&filtered));
        for (age, share) in &theirs {
            let spread = (share / filtered.num_rows() as f64 + share / 8000.0).sqrt();
            let difference = ours.get(age).copied().unwrap_or_default() - share;
            assert!(
                difference.abs() < 4.5 * spread + 1e-3,
                "{}: {age} {difference}",
                given.describe()
            );
        }
    }
    let error = Given::new(&model, vec![condition(0, Test::In(one("typo")))]).unwrap_err();
    assert!(
        error.to_string().contains("never draws class = 'typo'"),
        "{error}"
    );
}

#[test]
fn missing_values_are_filled_given_the_rest() {
    let model = train_on(&[table(3000)], &[("epochs", "10"), ("states", "16")]).unwrap();
    let rows = RecordBatch::try_from_iter_with_nullable([
        (
            "class",
            Arc::new(StringArray::from(vec![None::<&str>; 400])) as ArrayRef,
            true,
        ),
        (
            "income",
            Arc::new(
                (0..400)
                    .map(|i| match i % 4 {
                        0 => Some(-1.0),
                        1 => Some(7.0),
                        2 => None,
                        _ => Some(f64::NAN),
                    })
                    .collect::<Float64Array>(),
            ) as ArrayRef,
            true,
        ),
    ])
    .unwrap();
    let keys: Vec<u64> = (0..400).map(rng::mix).collect();
    let filled = model
        .complete(&rows, Fill::Nulls, &keys, Some(&[0, 2]))
        .unwrap();
    let (classes, incomes) = (filled.column(0).as_string::<i32>(), filled.column(1));
    assert_eq!(classes.null_count() + incomes.null_count(), 0);
    let incomes = incomes.as_primitive::<Float64Type>();
    let rich = |rest: usize| {
        (0..400)
            .filter(|i| i % 4 == rest && classes.value(*i) == "rich")
            .count()
    };
    assert!(rich(0) < 15 && rich(1) > 85, "{} {}", rich(0), rich(1));
    assert!((15..50).contains(&rich(2)) && (15..50).contains(&rich(3)));
    assert!((0..400).all(|i| !incomes.value(i).is_nan()));
    assert!((0..400).step_by(4).all(|i| incomes.value(i) == -1.0));
    // A row depends on itself and on its key, never on its batch.
    let part = model
        .complete(
            &rows.slice(100, 50),
            Fill::Nulls,
            &keys[100..150],
            Some(&[0, 2]),
        )
        .unwrap();
    assert_eq!(part, filled.slice(100, 50));
    let continued = model.complete(&rows, Fill::Absent, &keys, None).unwrap();
    assert_eq!(continued.column(0).null_count(), 400);
    assert_eq!(continued.column(1).null_count(), 0);
    // What was never seen is unknown, not an error.
    let odd = RecordBatch::try_from_iter([(
        "class",
        Arc::new(StringArray::from(vec!["odd"])) as ArrayRef,
    )])
    .unwrap();
    let continued = model.complete(&odd, Fill::Absent, &[1], None).unwrap();
    assert_eq!(continued.column(0).as_string::<i32>().value(0), "odd");
}

#[test]
fn nasty_tables_give_a_model_or_an_error() {
    let floats = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let texts: Vec<String> = (0..300).map(|i| format!("key {i}")).collect();
    let wide: Vec<(String, ArrayRef)> = (0..60)
        .map(|i| {
            let values = (0..40).map(|row| Some(f64::from(row * i % 7))).collect();
            (format!("c{i}"), floats(values))
        })
        .collect();
    for columns in [
        vec![("a".to_string(), floats(vec![None; 30]))],
        vec![("a".to_string(), Arc::new(NullArray::new(5)) as ArrayRef)],
        vec![("a".to_string(), floats(vec![Some(1.0); 50]))],
        vec![("a".to_string(), floats(vec![Some(1.5)]))],
        vec![
            ("a".to_string(), floats(vec![Some(1.0), Some(2.0)])),
            (
                "b".to_string(),
                Arc::new(StringArray::from(vec![Some("x"), None])) as ArrayRef,
            ),
        ],
        vec![(
            "a".to_string(),
            Arc::new(StringArray::from(texts)) as ArrayRef,
        )],
        vec![(
            "a".to_string(),
            floats(
                (0..200)
                    .map(|i| {
                        Some(match i % 5 {
                            0 => f64::INFINITY,
                            1 => f64::NEG_INFINITY,
                            2 => f64::NAN,
                            3 => f64::MAX,
                            _ => f64::from(i) * 1e-300,
                        })
                    })
                    .collect(),
            ),
        )],
        vec![(
            "a".to_string(),
            floats(
                (0..500)
                    .map(|i| Some((f64::from(i) * 0.37).exp()))
                    .collect(),
            ),
        )],
        wide,
    ] {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        for kind in [
            &CircuitKind as &dyn Kind,
            &crate::synthesize::copula::CopulaKind,
        ] {
            let options = parse_options(kind, &[]).unwrap();
            let data = Data::new(&batch.schema(), std::slice::from_ref(&batch)).unwrap();
            let model = kind.train(&data, &options, &Unwatched).unwrap();
            let drawn = model.sample(0..300, 3, None).unwrap();
            assert_eq!(
                (drawn.num_rows(), drawn.num_columns()),
                (300, batch.num_columns())
            );
            let bytes = model.to_bytes().unwrap();
            let read = load(&bytes).unwrap();
            assert_eq!(read.sample(0..300, 3, None).unwrap(), drawn);
            assert!(load(&bytes[..bytes.len() - 1]).is_err());
            let null = Condition {
                column: 0,
                compared_as: None,
                test: Test::NotNull,
            };
            if let Ok(given) = Given::new(&model, vec![null]) {
                assert_eq!(
                    given
                        .sample(0..10, 1, None)
                        .unwrap()
                        .column(0)
                        .logical_null_count(),
                    0
                );
            }
        }
    }
    let empty = table(0);
    assert!(train_on(&[empty], &[]).is_err());
}
