//! Whole transforms: what `SHOW TRANSFORM ... AS SQL` writes is run by DataFusion as it comes, without our functions.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::catalog::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;

use super::Transform;
use crate::{Answer, Options, Seedbed};

fn open() -> Seedbed {
    Seedbed::open(Options {
        threads: Some(1),
        ..Options::default()
    })
    .unwrap()
}

async fn rows(seedbed: &Seedbed, sql: &str) -> RecordBatch {
    let statements = seedbed.split(sql).unwrap();
    match seedbed.run(&statements[0]).await {
        Ok(Answer::Rows { schema, rows }) => {
            let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
            concat_batches(&schema, &batches).unwrap()
        }
        Ok(Answer::Done { message }) => panic!("no rows: {message}"),
        Err(error) => panic!("{sql}: {error}"),
    }
}

async fn plainly(table: &RecordBatch, sql: &str) -> RecordBatch {
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let provider = MemTable::try_new(table.schema(), vec![vec![table.clone()]]).unwrap();
    ctx.register_table("titanic", Arc::new(provider)).unwrap();
    let state = ctx.state();
    let statement = state.sql_to_statement(sql, &datafusion::config::Dialect::Generic);
    let statement = statement.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let plan = seedbed_boundary::statement_to_plan(state.clone(), statement).await;
    let plan = plan.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let physical = seedbed_boundary::physical_plan(state.clone(), plan)
        .await
        .unwrap();
    let schema = physical.schema();
    let batches = seedbed_boundary::collect(physical, state.task_ctx()).await;
    let batches = batches.unwrap_or_else(|e| panic!("{sql}: {e}"));
    concat_batches(&schema, &batches).unwrap()
}

fn assert_same(ours: &RecordBatch, plain: &RecordBatch, sql: &str) {
    assert_eq!(ours.num_rows(), plain.num_rows());
    for (field, a) in ours.schema().fields().iter().zip(ours.columns()) {
        let name = field.name();
        let b = plain.column_by_name(name).unwrap();
        let number = a.data_type().is_numeric();
        let to = if number {
            DataType::Float64
        } else {
            DataType::Utf8
        };
        let (a, b) = (cast(a, &to).unwrap(), cast(b, &to).unwrap());
        for row in 0..a.len() {
            assert_eq!(a.is_null(row), b.is_null(row), "{name}, row {row}: {sql}");
            if a.is_null(row) {
                continue;
            }
            if number {
                let of = |x: &dyn Array| x.as_primitive::<Float64Type>().value(row);
                let (a, b) = (of(a.as_ref()), of(b.as_ref()));
                let near =
                    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(1.0);
                assert!(near, "{name}, row {row}: {a} and {b}: {sql}");
            } else {
                let of = |x: &dyn Array| x.as_string::<i32>().value(row).to_string();
                assert_eq!(of(a.as_ref()), of(b.as_ref()), "{name}, row {row}: {sql}");
            }
        }
    }
}

const TABLE: &str = "CREATE TABLE titanic AS
    SELECT name, class, sex, survived, age, CAST(age AS FLOAT) AS narrow, CAST(age AS BIGINT) AS years,
      CASE WHEN age > 60 THEN CAST('NaN' AS DOUBLE) WHEN age > 55 THEN CAST('inf' AS DOUBLE) ELSE age - 30 END AS odd,
      DATE '1912-04-10' + CAST(coalesce(age, 0) AS INT) AS day, survived = 1 AS alive
    FROM (SELECT name, class, sex, CAST(survived AS BIGINT) AS survived, CAST(age AS DOUBLE) AS age
          FROM read_csv('tests/data/titanic_all.csv')) AS t";

const SELECTS: [&str; 12] = [
    "standard_scale(age) OVER () AS a, standard_scale(narrow, with_mean => false) OVER () AS b, standard_scale(years) OVER () AS c,
     standard_scale(odd) OVER () AS d, min_max_scale(odd, lo => -1, clip => true) OVER () AS e, max_abs_scale(odd) OVER () AS f,
     robust_scale(age) OVER () AS g, zscore(years, ddof => 1) OVER () AS h, robust_zscore(odd) OVER () AS i",
    "quantile_transform(age, n_quantiles => 30) OVER () AS a, quantile_transform(narrow, output => 'normal', n_quantiles => 30) OVER () AS b,
     quantile_transform(years, output => 'normal') OVER () AS c, power_transform(age) OVER () AS d, power_transform(age - 30) OVER () AS e,
     power_transform(age + 1, method => 'box-cox', standardize => false) OVER () AS f, quantile_transform(odd, n_quantiles => 1) OVER () AS g",
    "impute(age) OVER () AS a, impute(odd, 'median') OVER () AS b, impute(narrow, 'zero') OVER () AS c, impute(class, 'mode') OVER () AS d,
     impute(null_if(sex, ['Male']), 'constant', value => 'it''s') OVER () AS e, impute(day, 'min') OVER () AS f,
     impute(alive, 'mode') OVER () AS g, impute(years, 'max') OVER () AS h",
    "winsorize(age, 0.1, 0.9) OVER () AS a, winsorize(odd) OVER () AS b, clip_outliers(narrow) OVER () AS c,
     clip_outliers(odd, 'mad') OVER () AS d, is_outlier(odd) OVER () AS e, is_outlier(age, 'zscore', 1) OVER () AS f,
     is_outlier(odd, 'mad', 1) OVER () AS g, is_outlier(survived, 'zscore') OVER () AS h",
    "one_hot(class) OVER (), one_hot(sex, drop => 'first') OVER (), one_hot(years, max_categories => 5) OVER (),
     one_hot(day, min_frequency => 40, handle_unknown => 'infrequent') OVER (), one_hot(class, handle_unknown => 'error') OVER () AS strict",
    "ordinal_encode(class) OVER () AS a, ordinal_encode(years, min_frequency => 20, handle_unknown => -1) OVER () AS b,
     ordinal_encode(odd, handle_unknown => 'null') OVER () AS c, ordinal_encode(day, handle_unknown => 'null') OVER () AS d,
     ordinal_encode(alive) OVER () AS e",
    "count_encode(class) OVER () AS a, frequency_encode(years) OVER () AS b, woe_encode(class, survived) OVER () AS c,
     count_encode(day, handle_unknown => 'null') OVER () AS d",
    "quantile_bucketize(age, 4) OVER () AS a, quantile_bucketize(odd, 4, 'range') OVER () AS b, uniform_bucketize(years, 5, 'label') OVER () AS c,
     kmeans_bucketize(age, 4) OVER () AS d, bucketize(odd, [0, 18.5, 65], 'range') AS e, bucketize(years, [18, 65]) AS f",
    "missing_indicator(odd) AS a, missing_indicator(class) AS b, log_transform(age) AS c, log_transform(odd) AS d, signed_log(odd) AS e,
     signed_log(narrow) AS f, cyclic(age, 12), null_if(class, ['?', '1ST']) AS g, null_if(years, [22, 30]) AS h, null_if(odd, [0]) AS i,
     date_parts(day)",
    "standard_scale(age) OVER (PARTITION BY sex) AS a, impute(age, 'median') OVER (PARTITION BY class, sex) AS b,
     ordinal_encode(class, handle_unknown => 'null') OVER (PARTITION BY alive) AS c, quantile_transform(age, n_quantiles => 5) OVER (PARTITION BY class) AS d,
     power_transform(odd) OVER (PARTITION BY sex) AS e",
    "standard_scale(impute(winsorize(age, 0.05, 0.95) OVER (), 'median') OVER (PARTITION BY class)) OVER () * 2 + 1 AS a,
     one_hot(impute(null_if(class, ['1st']), 'mode') OVER ()) OVER () AS b, power_transform(ln(1 + age)) OVER () AS c,
     standard_scale(coalesce(age, years, 0)) OVER () / 2 AS d",
    "CASE WHEN class = '1st' AND alive THEN standard_scale(age) OVER () WHEN age IS NULL THEN -1 END AS a, CAST(age AS BIGINT) AS b,
     years / 7 AS c, years % 7 AS d, abs(odd) > 3 AS e, age BETWEEN 3 AND 30 AS f, class IN ('1st', '2nd') AS g, upper(sex) || 'x' AS h,
     NOT alive AS i, name LIKE '%Miss%' AS j, CAST(years AS VARCHAR) AS k",
];

#[tokio::test]
async fn plain_sql_gives_the_same() {
    let seedbed = open();
    seedbed.sql(TABLE).await.unwrap();
    let table = rows(&seedbed, "SELECT * FROM titanic").await;
    for select in SELECTS {
        let create = format!("CREATE OR REPLACE TRANSFORM t AS SELECT {select} FROM titanic");
        seedbed
            .sql(&create)
            .await
            .unwrap_or_else(|e| panic!("{select}: {e}"));
        let shown = rows(&seedbed, "SHOW TRANSFORM t AS SQL").await;
        let sql = shown.column(0).as_string::<i32>().value(0).to_string();
        let ours = rows(
            &seedbed,
            "SELECT * FROM transform('t', (SELECT * FROM titanic))",
        )
        .await;
        let plain = plainly(&table, &sql).await;
        assert_eq!(
            ours.schema()
                .fields()
                .iter()
                .map(|f| f.name().clone())
                .collect::<Vec<_>>(),
            plain
                .schema()
                .fields()
                .iter()
                .map(|f| f.name().clone())
                .collect::<Vec<_>>()
        );
        assert_same(&ours, &plain, &sql);
    }
}

#[tokio::test]
async fn what_has_no_plain_sql_is_named() {
    let seedbed = open();
    seedbed.sql(TABLE).await.unwrap();
    for (select, name) in [
        ("hash_bucket(class, 7) AS h", "hash_bucket"),
        ("spline_features(years) OVER () AS h", "spline_features"),
        (
            "random_normal(0, 1, random_key(1, name)) AS h",
            "random_key",
        ),
    ] {
        let create =
            format!("CREATE OR REPLACE TRANSFORM t AS SELECT years, {select} FROM titanic");
        seedbed.sql(&create).await.unwrap();
        let error = match seedbed.sql("SHOW TRANSFORM t AS SQL").await {
            Ok(_) => panic!("{name} was written"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(&format!("column h: {name}")), "{error}");
    }
}

#[tokio::test]
async fn files_hold_all_of_a_transform() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json").display().to_string();
    let seedbed = open();
    seedbed.sql(TABLE).await.unwrap();
    seedbed
        .sql("CREATE TABLE dim AS SELECT class, count(*) AS passengers FROM titanic GROUP BY class")
        .await
        .unwrap();
    let join = "standard_scale(age + d.passengers) OVER () AS a FROM titanic AS t LEFT JOIN dim AS d ON t.class = d.class";
    let selects = SELECTS.map(|s| format!("{s} FROM titanic"));
    for select in selects.iter().map(String::as_str).chain([join]) {
        let create = format!("CREATE OR REPLACE TRANSFORM t AS SELECT {select}");
        seedbed
            .sql(&create)
            .await
            .unwrap_or_else(|e| panic!("{select}: {e}"));
        let before = Transform::load(&seedbed.env, "t").unwrap();
        seedbed
            .sql(&format!("EXPORT TRANSFORM t TO '{path}'"))
            .await
            .unwrap();
        seedbed
            .sql(&format!("IMPORT OR REPLACE TRANSFORM u FROM '{path}'"))
            .await
            .unwrap_or_else(|e| panic!("{select}: {e}"));
        let after = Transform::load(&seedbed.env, "u").unwrap();
        assert_eq!(before.fits, after.fits, "{select}");
        assert_eq!(before.tables, after.tables, "{select}");
        assert_eq!(before.inputs, after.inputs, "{select}");
        assert_eq!(before.about.sql, after.about.sql, "{select}");
    }
}

#[tokio::test]
async fn files_of_earlier_versions_are_read() {
    let seedbed = open();
    seedbed.sql(TABLE).await.unwrap();
    seedbed
        .sql("CREATE TRANSFORM t AS SELECT standard_scale(age) OVER () AS age FROM titanic")
        .await
        .unwrap();
    let mut old = Transform::load(&seedbed.env, "t").unwrap();
    let bytes = old.to_bytes().unwrap();
    // nothing was counted, and sources had no names
    old.about.facts.clear();
    old.about.source = None;
    let text = serde_json::to_value(&old.about).unwrap();
    let kept: serde_json::Map<_, _> = ["written", "sql", "rows"]
        .map(|k| (k.to_string(), text[k].clone()))
        .into_iter()
        .collect();
    let about = serde_json::from_value(serde_json::Value::Object(kept)).unwrap();
    old.about = about;
    assert!(old.to_bytes().unwrap().len() < bytes.len());
    let store = seedbed.env.store().unwrap();
    store.put_transform("old", old.to_bytes().unwrap()).unwrap();
    let described = rows(&seedbed, "DESCRIBE TRANSFORM old").await;
    assert_eq!(described.num_rows(), 1);
    let shown = rows(&seedbed, "SHOW TRANSFORM old AS SQL").await;
    assert!(
        shown
            .column(0)
            .as_string::<i32>()
            .value(0)
            .ends_with("FROM input")
    );
}
