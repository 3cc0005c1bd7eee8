-- Titanic: a passenger list with missing ages, titles inside names and one class that is none, to tables to train on.
--   cargo run --release -- run queries/titanic.sql
-- Writes train.parquet and test.parquet to ${out:-out}.

-- 1. Load. Names are "Surname, Title First names"; three names occur twice, so the place in the file is the key.
CREATE OR REPLACE TABLE raw AS
SELECT * FROM read_csv('${data:-tests/data/titanic_all.csv}', row_id => true);

-- 2. Clean: what must hold is said, and what breaks it stops the run. Class * becomes NULL; titles of the same
--    meaning become one word, and a name in the place of a title becomes NULL: it is filled below.
CREATE OR REPLACE TABLE clean AS
SELECT
  row_id,
  lower(trim(split_part(name, ',', 1)))                     AS surname,
  CASE
    WHEN title IN ('Mr', 'Sir', 'Jonkheer')                 THEN 'mr'
    WHEN title IN ('Mrs', 'Madame', 'Lady', 'the')          THEN 'mrs'
    WHEN title IN ('Miss', 'Ms', 'Mlle')                    THEN 'miss'
    WHEN title = 'Master'                                   THEN 'master'
    WHEN title IN ('Rev', 'Dr', 'Major', 'Colonel', 'Col', 'Captain') THEN lower(title)
  END                                                       AS title,
  null_if(class, ['*'])                                     AS class,
  sex,
  age,
  CAST(survived AS TINYINT)                                 AS survived
FROM (
  -- two names lack the comma
  SELECT *, coalesce(regexp_match(name, ',\s*(\S+)')[1], split_part(name, ' ', 2)) AS title
  FROM expect((SELECT * FROM raw),
    rule => 'survived IN (0, 1) AND sex IN (''male'', ''female'') AND (age IS NULL OR age BETWEEN 0 AND 100)')
);

-- 3. Features of a row's surroundings: the passengers of the same surname and class are taken for a family.
--    They are counted on the whole list, which is known before anyone is known to have survived.
CREATE OR REPLACE TABLE features AS
SELECT
  *,
  count(*) OVER (PARTITION BY surname, class) AS family_size
FROM clean;

-- 4. Split: a fifth of those who survived and a fifth of those who did not. The same seed gives the same parts.
CREATE OR REPLACE TABLE parts AS
SELECT *, stratified_split(survived, row_id, test => 0.2, seed => 42) OVER () AS part
FROM features;

-- 5. Fit on the training rows alone. The inner SELECT fills titles and classes, the most frequent one, since ages are
--    filled by them: with the median age of those of the same title and class, or of all where these have none.
CREATE OR REPLACE TRANSFORM titanic AS
SELECT
  row_id,
  one_hot(title, min_frequency => 10) OVER ()      AS title,
  one_hot(class, drop => 'first') OVER ()          AS class,
  ordinal_encode(sex) OVER ()                      AS sex,
  standard_scale(
    impute(impute(age, 'median') OVER (PARTITION BY title, class), 'median') OVER ()
  ) OVER ()                                        AS age,
  missing_indicator(age)                           AS age_missing,
  robust_scale(log_transform(family_size)) OVER () AS family_size,
  survived
FROM (
  SELECT
    row_id,
    impute(title, 'mode') OVER (PARTITION BY sex)  AS title,
    impute(class, 'mode') OVER ()                  AS class,
    sex,
    age,
    family_size,
    survived
  FROM parts WHERE part = 'train'
);

-- 6. Check and export: nothing may be missing any more. On the test rows, what was learnt is replayed.
COPY (
  SELECT * FROM expect((SELECT * FROM transform('titanic', (SELECT * FROM parts WHERE part = 'train'))),
    rule => 'age IS NOT NULL AND family_size IS NOT NULL AND title_mr + title_mrs + title_miss + title_master <= 1')
  ORDER BY row_id
) TO '${out:-out}/train.parquet';
COPY (
  SELECT * FROM expect((SELECT * FROM transform('titanic', (SELECT * FROM parts WHERE part = 'test'))),
    rule => 'age IS NOT NULL AND family_size IS NOT NULL AND title_mr + title_mrs + title_miss + title_master <= 1')
  ORDER BY row_id
) TO '${out:-out}/test.parquet';

-- 7. Summary: rows and the share of survivors, which the split keeps.
SELECT 'all' AS rows, count(*) AS n, round(avg(survived), 3) AS survived FROM parts
UNION ALL SELECT 'train.parquet', count(*), round(avg(survived), 3) FROM '${out:-out}/train.parquet'
UNION ALL SELECT 'test.parquet', count(*), round(avg(survived), 3) FROM '${out:-out}/test.parquet'
ORDER BY n DESC;
