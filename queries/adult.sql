-- UCI Adult: the files as published to clean, normalised, split and balanced training tables.
--   cargo run --release -- run queries/adult.sql
-- Writes train.parquet, validation.parquet and test.parquet to ${out:-out}.

-- 1. Load: no header, spaces after commas, ? for missing; a stray first line and dots after the labels of
--    the test file. `row_id` makes the order of the files a column, so that later steps can refer to it.
CREATE OR REPLACE TABLE raw_train AS
SELECT * FROM read_csv('tests/data/adult/adult.data.gz', header => false, row_id => true, nulls => [],
  names => ['age', 'workclass', 'fnlwgt', 'education', 'education_num', 'marital_status', 'occupation', 'relationship',
            'race', 'sex', 'capital_gain', 'capital_loss', 'hours_per_week', 'native_country', 'income']);

CREATE OR REPLACE TABLE raw_test AS
SELECT * FROM read_csv('tests/data/adult/adult.test.gz', header => false, row_id => true, nulls => [], on_error => 'skip',
  names => ['age', 'workclass', 'fnlwgt', 'education', 'education_num', 'marital_status', 'occupation', 'relationship',
            'race', 'sex', 'capital_gain', 'capital_loss', 'hours_per_week', 'native_country', 'income']);

-- 2. Clean: ? and blanks to NULL, the label to 0 or 1, exact duplicates dropped; the first of each stays.
CREATE OR REPLACE VIEW labelled AS
SELECT 'train' AS file, * FROM raw_train
UNION ALL
SELECT 'test' AS file, * FROM raw_test;

CREATE OR REPLACE TABLE clean AS
SELECT
  file, row_id, age, null_if(workclass) AS workclass, fnlwgt, null_if(education) AS education, education_num,
  null_if(marital_status) AS marital_status, null_if(occupation) AS occupation, null_if(relationship) AS relationship,
  null_if(race) AS race, null_if(sex) AS sex, capital_gain, capital_loss, hours_per_week,
  null_if(native_country) AS native_country,
  CAST(CASE rtrim(clean_text(income), '.') WHEN '>50K' THEN 1 WHEN '<=50K' THEN 0 END AS TINYINT) AS income
FROM deduplicate((SELECT * FROM labelled),
  by => [file, age, workclass, fnlwgt, education, education_num, marital_status, occupation, relationship, race, sex,
         capital_gain, capital_loss, hours_per_week, native_country, income],
  order_by => 'row_id');

-- 3. Hold out a tenth of the training file by key: a row's part depends on its own id alone.
CREATE OR REPLACE TABLE parts AS
SELECT
  CASE WHEN file = 'test' THEN 'test'
       ELSE replace(split(random_key(42, row_id), test => 0.1), 'test', 'validation')
  END AS part, *, false AS is_synthetic
FROM clean;

-- 4. Fit on the training rows: the median by sex, the most frequent value, scaling, categories.
CREATE OR REPLACE TRANSFORM prep AS
SELECT
  row_id,
  standard_scale(age) OVER ()                AS age,
  one_hot(workclass) OVER ()                 AS workclass,
  standard_scale(fnlwgt) OVER ()             AS fnlwgt,
  min_max_scale(education_num) OVER ()       AS education_num,
  one_hot(marital_status) OVER ()            AS marital_status,
  one_hot(occupation) OVER ()                AS occupation,
  one_hot(relationship) OVER ()              AS relationship,
  one_hot(race) OVER ()                      AS race,
  ordinal_encode(sex) OVER ()                AS sex,
  standard_scale(capital_gain) OVER ()       AS capital_gain,
  standard_scale(capital_loss) OVER ()       AS capital_loss,
  robust_scale(hours_per_week) OVER ()       AS hours_per_week,
  ordinal_encode(native_country, handle_unknown => '-1') OVER () AS native_country,
  is_synthetic,
  income
FROM (
  SELECT
    row_id,
    impute(age, 'median') OVER (PARTITION BY sex)            AS age,
    impute(workclass, 'mode') OVER ()                        AS workclass,
    impute(fnlwgt, 'median') OVER (PARTITION BY sex)         AS fnlwgt,
    impute(education_num, 'median') OVER (PARTITION BY sex)  AS education_num,
    impute(marital_status, 'mode') OVER ()                   AS marital_status,
    impute(occupation, 'mode') OVER ()                       AS occupation,
    impute(relationship, 'mode') OVER ()                     AS relationship,
    impute(race, 'mode') OVER ()                             AS race,
    impute(sex, 'mode') OVER ()                              AS sex,
    ln(1 + capital_gain)                                     AS capital_gain,
    ln(1 + capital_loss)                                     AS capital_loss,
    impute(hours_per_week, 'median') OVER (PARTITION BY sex) AS hours_per_week,
    impute(native_country, 'mode') OVER ()                   AS native_country,
    is_synthetic,
    income
  FROM parts WHERE part = 'train'
) AS filled;

-- 5. Balance: a GAN learns the rows of the rare class; as many are drawn as the other class has more.
CREATE OR REPLACE MODEL rich USING gan OPTIONS (epochs ${epochs:-30}, seed 42) AS
SELECT age, workclass, fnlwgt, education_num, marital_status, occupation, relationship, race, sex, capital_gain,
       capital_loss, hours_per_week, native_country
FROM parts WHERE part = 'train' AND income = 1;

CREATE OR REPLACE TABLE drawn AS
SELECT i, gan_sample('rich', random_key(42, i)) AS s
FROM (
  SELECT unnest(range(0, wanted)) AS i
  FROM (SELECT count(*) - 2 * sum(income) AS wanted FROM parts WHERE part = 'train')
);

CREATE OR REPLACE VIEW balanced AS
SELECT row_id, age, workclass, fnlwgt, education_num, marital_status, occupation, relationship, race, sex, capital_gain,
       capital_loss, hours_per_week, native_country, is_synthetic, income
FROM parts WHERE part = 'train'
UNION ALL
SELECT -1 - i, s['age'], s['workclass'], s['fnlwgt'], s['education_num'], s['marital_status'], s['occupation'],
       s['relationship'], s['race'], s['sex'], s['capital_gain'], s['capital_loss'], s['hours_per_week'],
       s['native_country'], true, 1
FROM drawn;

-- 6. Export. What was learnt from the training rows is replayed on all three; nothing is fitted again.
COPY (SELECT * FROM transform('prep', (SELECT * FROM balanced)) ORDER BY row_id)
  TO '${out:-out}/train.parquet';
COPY (SELECT * FROM transform('prep', (SELECT * FROM parts WHERE part = 'validation')) ORDER BY row_id)
  TO '${out:-out}/validation.parquet';
COPY (SELECT * FROM transform('prep', (SELECT * FROM parts WHERE part = 'test')) ORDER BY row_id)
  TO '${out:-out}/test.parquet';

-- 7. Summary: rows in and out.
SELECT 'read from adult.data' AS rows, count(*) AS n FROM raw_train
UNION ALL SELECT 'read from adult.test', count(*) FROM raw_test
UNION ALL SELECT 'refused (see the last table)', count(*) FROM rejects
UNION ALL SELECT 'after dropping duplicates', count(*) FROM clean
UNION ALL SELECT 'synthetic', count(*) FROM drawn
UNION ALL SELECT 'train.parquet', count(*) FROM '${out:-out}/train.parquet'
UNION ALL SELECT 'validation.parquet', count(*) FROM '${out:-out}/validation.parquet'
UNION ALL SELECT 'test.parquet', count(*) FROM '${out:-out}/test.parquet';

-- Missing values before and after, by column: a column that is not listed never had any.
WITH before AS (
  SELECT count(*) - count(workclass) AS workclass, count(*) - count(occupation) AS occupation,
         count(*) - count(native_country) AS native_country
  FROM clean
), after AS (
  SELECT count(*) - count(workclass_private) AS workclass, count(*) - count(occupation_sales) AS occupation,
         count(*) - count(native_country) AS native_country
  FROM (SELECT * FROM '${out:-out}/train.parquet' UNION ALL SELECT * FROM '${out:-out}/validation.parquet'
        UNION ALL SELECT * FROM '${out:-out}/test.parquet')
)
SELECT 'workclass' AS column, before.workclass AS missing_before, after.workclass AS missing_after FROM before, after
UNION ALL SELECT 'occupation', before.occupation, after.occupation FROM before, after
UNION ALL SELECT 'native_country', before.native_country, after.native_country FROM before, after;

-- Class balance before and after.
SELECT 'before' AS training_rows, income, count(*) AS n FROM parts WHERE part = 'train' GROUP BY income
UNION ALL
SELECT 'after', income, count(*) FROM '${out:-out}/train.parquet' GROUP BY income
ORDER BY training_rows DESC, income;

-- What was refused, and why.
SELECT line, "column", value, reason FROM rejects;
