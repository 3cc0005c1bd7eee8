-- UCI Adult: a model of the training file, and how good its rows are, beside the three controls.
--   cargo run --release -- run queries/evaluate_adult.sql -D kind=gan -D options='epochs 20'
-- Writes synthetic.parquet and evaluation.csv to ${out:-out}.

-- 1. Load, as the figures in papers have it: ? is a category, and the label loses the dot of the test file.
CREATE OR REPLACE TABLE train AS
SELECT * EXCEPT (income), rtrim(income, '.') AS income
FROM read_csv('tests/data/adult/adult.data.gz', header => false, nulls => [],
  names => ['age', 'workclass', 'fnlwgt', 'education', 'education_num', 'marital_status', 'occupation', 'relationship',
            'race', 'sex', 'capital_gain', 'capital_loss', 'hours_per_week', 'native_country', 'income']);

CREATE OR REPLACE TABLE holdout AS
SELECT * EXCEPT (income), rtrim(income, '.') AS income
FROM read_csv('tests/data/adult/adult.test.gz', header => false, nulls => [], on_error => 'skip',
  names => ['age', 'workclass', 'fnlwgt', 'education', 'education_num', 'marital_status', 'occupation', 'relationship',
            'race', 'sex', 'capital_gain', 'capital_loss', 'hours_per_week', 'native_country', 'income']);

-- 2. Learn, and draw as many rows.
CREATE OR REPLACE MODEL people USING ${kind:-gan} OPTIONS (${options:-epochs 2}) AS SELECT * FROM train;

CREATE OR REPLACE TABLE synthetic AS SELECT * FROM sample('people', seed => 7);

COPY synthetic TO '${out:-out}/synthetic.parquet';

-- 3. Evaluate. The controls say what a figure is worth: columns drawn each for itself have perfect shapes and no trend, a copy
--    of the training table has all but privacy, and rows that were held out are as good as rows can be.
CREATE OR REPLACE TABLE evaluation AS
SELECT * FROM evaluate_synthesis(train, synthetic, holdout => holdout, target => income, controls => true);

COPY evaluation TO '${out:-out}/evaluation.csv';

SELECT metric, value, independent, copied, held_out FROM evaluation WHERE column IS NULL OR metric LIKE 't%r_%';
