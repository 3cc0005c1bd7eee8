-- Flights from New York in 2013: which will arrive late? Dates, delays, many destinations, and a split by time.
--   cargo run --release -- run queries/flights.sql
-- Reads a sample, every 40th flight; all of them with -D data=flights.csv.gz. Writes train.parquet and test.parquet
-- to ${out:-out}.

-- 1. Load: NA is missing, and columns get the type of what is left. `row_id` is the place in the file.
CREATE OR REPLACE TABLE raw AS
SELECT * FROM read_csv('${data:-tests/data/flights_sample.csv.gz}', nulls => ['NA'], row_id => true);

-- 2. Features that are known before a flight: when it is to leave (517 is 5:17), and how late the last three at the
--    same airport left that day. The first of a day has none before it.
CREATE OR REPLACE TABLE features AS
SELECT
  row_id,
  make_date(year, month, day)                        AS date,
  sched_dep_time / 100 + sched_dep_time % 100 / 60.0 AS departure,
  sched_arr_time / 100 + sched_arr_time % 100 / 60.0 AS arrival,
  carrier,
  origin,
  dest,
  distance,
  avg(dep_delay) OVER (
    PARTITION BY origin, month, day ORDER BY sched_dep_time, row_id
    ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING
  )                                                  AS recent_delay,
  arr_delay
FROM raw;

-- 3. The label: late is more than a quarter of an hour. A flight that was cancelled or diverted did not arrive, so it
--    has none; it has served its purpose as one of the three before.
CREATE OR REPLACE TABLE labelled AS
SELECT * EXCLUDE (arr_delay), CAST(CASE WHEN arr_delay > 15 THEN 1 ELSE 0 END AS TINYINT) AS late
FROM expect((SELECT * FROM features),
  rule => 'departure BETWEEN 0 AND 24 AND distance > 0 AND carrier IS NOT NULL')
WHERE arr_delay IS NOT NULL;

-- 4. Split by time: the model is asked about days after those it learnt from.
CREATE OR REPLACE VIEW train AS SELECT * FROM labelled WHERE date < DATE '2013-10-01';
CREATE OR REPLACE VIEW test AS SELECT * FROM labelled WHERE date >= DATE '2013-10-01';

-- 5. Fit on the training days. Hours and days go round; delays have a long tail, which is cut before the gaps are
--    filled by carrier. A hundred destinations would be a hundred columns: each becomes how frequent it is, and one
--    of 16 buckets. Carriers of less than a hundredth of the flights share a column.
CREATE OR REPLACE TRANSFORM flights AS
SELECT
  row_id,
  cyclic(departure, 24)                       AS departure,
  cyclic(arrival, 24)                         AS arrival,
  cyclic(date_parts(date).weekday, 7)         AS weekday,
  date_parts(date).is_weekend                 AS is_weekend,
  one_hot(carrier, min_frequency => 0.01) OVER () AS carrier,
  one_hot(origin) OVER ()                     AS origin,
  frequency_encode(dest) OVER ()              AS dest_frequency,
  hash_bucket(dest, 16)                       AS dest_bucket,
  standard_scale(log_transform(distance)) OVER () AS distance,
  missing_indicator(recent_delay)             AS recent_delay_missing,
  robust_scale(
    impute(winsorize(recent_delay, 0.01, 0.99) OVER (), 'median') OVER (PARTITION BY carrier)
  ) OVER ()                                   AS recent_delay,
  late
FROM train;

-- 6. Check and export. On the later days what was learnt is replayed; nothing is fitted again.
COPY (
  SELECT * FROM expect((SELECT * FROM transform('flights', (SELECT * FROM train))),
    rule => 'recent_delay IS NOT NULL AND abs(departure_sin) <= 1 AND dest_frequency BETWEEN 0 AND 1')
  ORDER BY row_id
) TO '${out:-out}/train.parquet';
COPY (
  SELECT * FROM expect((SELECT * FROM transform('flights', (SELECT * FROM test))),
    rule => 'recent_delay IS NOT NULL AND abs(departure_sin) <= 1 AND dest_frequency BETWEEN 0 AND 1')
  ORDER BY row_id
) TO '${out:-out}/test.parquet';

-- 7. Summary: rows, and how many of them are late.
SELECT 'read' AS rows, count(*) AS n, NULL AS late FROM raw
UNION ALL SELECT 'with a label', count(*), round(avg(late), 3) FROM labelled
UNION ALL SELECT 'train.parquet', count(*), round(avg(late), 3) FROM '${out:-out}/train.parquet'
UNION ALL SELECT 'test.parquet', count(*), round(avg(late), 3) FROM '${out:-out}/test.parquet'
ORDER BY n DESC;
