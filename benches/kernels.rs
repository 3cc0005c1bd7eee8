//! The functions, one by one, each as a query over a million rows in memory.
//!
//! Every figure contains the query around the function; `baseline` is that query alone.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::datasource::MemTable;
use futures::StreamExt;
use seedbed::{Answer, Options, Seedbed};
use tokio::runtime::Runtime;

const ROWS: usize = 1 << 20;
const BATCH: usize = 8192;
const PARTITIONS: usize = 8;

/// What is measured: a name and the SELECT list of a query over `t`.
const QUERIES: &[(&str, &str)] = &[
    ("baseline", "x"),
    ("bucketize", "bucketize(x, [-1, -0.5, 0, 0.5, 1])"),
    ("clean_text", "clean_text(word)"),
    ("count_encode", "count_encode(category) OVER ()"),
    ("cyclic", "cyclic(i, 12)"),
    ("fingerprint", "fingerprint(word)"),
    ("hash_bucket", "hash_bucket(category, 100)"),
    ("impute_mean", "impute(x, 'mean') OVER ()"),
    ("impute_median", "impute(x, 'median') OVER ()"),
    (
        "impute_median_by_group",
        "impute(x, 'median') OVER (PARTITION BY category)",
    ),
    ("impute_mode", "impute(category, 'mode') OVER ()"),
    ("is_outlier_mad", "is_outlier(x, 'mad') OVER ()"),
    ("kmeans_bucketize", "kmeans_bucketize(x, 5) OVER ()"),
    ("log_transform", "log_transform(x)"),
    ("min_max_scale", "min_max_scale(x) OVER ()"),
    ("missing_indicator", "missing_indicator(x)"),
    ("null_if", "null_if(word)"),
    ("one_hot", "one_hot(category) OVER ()"),
    ("ordinal_encode", "ordinal_encode(category) OVER ()"),
    ("parse_bool", "parse_bool(truth)"),
    ("parse_date", "parse_date(date)"),
    ("parse_number", "parse_number(number)"),
    ("power_transform", "power_transform(x) OVER ()"),
    ("quantile_bucketize", "quantile_bucketize(x, 10) OVER ()"),
    ("quantile_transform", "quantile_transform(x) OVER ()"),
    ("random_key", "random_key(42, i)"),
    ("random_normal", "random_normal(0, 1, random_key(42, i))"),
    ("random_uniform", "random_uniform(0, 1, random_key(42, i))"),
    ("robust_scale", "robust_scale(x) OVER ()"),
    ("split", "split(random_key(42, i), test => 0.2)"),
    ("standard_scale", "standard_scale(x) OVER ()"),
    ("stratified_split", "stratified_split(category, i) OVER ()"),
    ("tokenize", "tokenize(word)"),
    ("vectorize", "vectorize(x, i, missing => 'nan')"),
    ("winsorize", "winsorize(x, 0.01, 0.99) OVER ()"),
];

/// A number that looks random, from one that counts (the finaliser of SplitMix64).
fn scramble(n: usize) -> u64 {
    let mut z = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A tenth of the numbers is missing; categories are 16 words; texts are as dirty as real ones.
fn batch(first: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let rows = first..first + BATCH;
    let x: Float64Array = rows
        .clone()
        .map(|i| {
            let bits = scramble(i);
            let unit = |bits: u64| (bits & 0xffff) as f64 / 65536.0;
            let sum = unit(bits) + unit(bits >> 16) + unit(bits >> 32);
            (bits >> 48 >= 6553).then_some(sum - 1.5)
        })
        .collect();
    let i: Int64Array = rows.clone().map(|i| Some(i as i64)).collect();
    let text = |of: &dyn Fn(u64) -> String| {
        let texts: StringArray = rows.clone().map(|i| Some(of(scramble(i)))).collect();
        Arc::new(texts) as ArrayRef
    };
    Ok(RecordBatch::try_from_iter([
        ("i", Arc::new(i) as ArrayRef),
        ("x", Arc::new(x) as ArrayRef),
        ("category", text(&|r| format!("category {}", r % 16))),
        (
            "word",
            text(&|r| match r % 4 {
                0 => " ? ".to_string(),
                1 => format!("  Self-emp   inc {} ", r % 1000),
                2 => format!("caf\u{e9} \u{ff21}{}", r % 1000),
                _ => format!("plain words {}", r % 1000),
            }),
        ),
        (
            "number",
            text(&|r| match r % 3 {
                0 => format!("${},{:03}.{:02}", r % 1000, r % 997, r % 100),
                1 => format!("({})", r % 100_000),
                _ => format!(" {}.{} ", r % 10_000, r % 100),
            }),
        ),
        (
            "date",
            text(&|r| {
                format!(
                    "{}-{:02}-{:02}",
                    1990 + r % 40,
                    1 + r % 12,
                    1 + (r >> 8) % 28
                )
            }),
        ),
        (
            "truth",
            text(&|r| ["yes", "No", "TRUE", " f "][(r % 4) as usize].to_string()),
        ),
    ])?)
}

fn table() -> Result<MemTable, Box<dyn Error>> {
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for (at, first) in (0..ROWS).step_by(BATCH).enumerate() {
        partitions[at % PARTITIONS].push(batch(first)?);
    }
    let schema = partitions[0][0].schema();
    Ok(MemTable::try_new(schema, partitions)?)
}

/// Runs one query to its end; gives the rows it gave.
async fn run(seedbed: &Seedbed, sql: &str) -> Result<usize, Box<dyn Error>> {
    let mut count = 0;
    for statement in seedbed.split(sql)? {
        if let Answer::Rows { mut rows, .. } = seedbed.run(&statement).await? {
            while let Some(batch) = rows.next().await {
                count += black_box(batch?).num_rows();
            }
        }
    }
    Ok(count)
}

fn kernels(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new()?;
    let seedbed = Seedbed::open(Options::default())?;
    seedbed.context().register_table("t", Arc::new(table()?))?;
    let mut group = criterion.benchmark_group("kernels");
    group
        .throughput(Throughput::Elements(ROWS as u64))
        .sample_size(10);
    for (name, select) in QUERIES {
        let sql = format!("SELECT {select} FROM t");
        // Once before measuring: a wrong query is an error here, not a fast answer below.
        let rows = runtime.block_on(run(&seedbed, &sql))?;
        if rows != ROWS {
            return Err(format!("{name}: {rows} rows").into());
        }
        group.bench_function(*name, |bencher| {
            bencher.iter(|| runtime.block_on(run(&seedbed, &sql)));
        });
    }
    group.finish();
    Ok(())
}

fn all(criterion: &mut Criterion) {
    if let Err(error) = kernels(criterion) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
