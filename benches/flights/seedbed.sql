-- The preparation as one statement: seedbed run seedbed.sql -D input=flights.parquet -D output=out.parquet
COPY (
  SELECT
    standard_scale(dep_delay) OVER () AS dep_delay_standard,
    robust_scale(arr_delay) OVER () AS arr_delay_robust,
    min_max_scale(air_time) OVER () AS air_time_min_max,
    winsorize(dep_delay, 0.01, 0.99) OVER () AS dep_delay_winsorized,
    winsorize(arr_delay, 0.01, 0.99) OVER () AS arr_delay_winsorized,
    one_hot(carrier) OVER () AS carrier,
    one_hot(origin) OVER () AS origin,
    ordinal_encode(dest) OVER () AS dest,
    quantile_bucketize(dep_time, 10) OVER () AS dep_time_decile,
    cyclic(month, 12) AS month,
    split(random_key(42, month, day, sched_dep_time, carrier, flight, origin), test => 0.2) AS part
  FROM (
    SELECT
      impute(dep_time, 'median') OVER (PARTITION BY carrier) AS dep_time,
      impute(dep_delay, 'median') OVER (PARTITION BY carrier) AS dep_delay,
      impute(arr_delay, 'median') OVER (PARTITION BY carrier) AS arr_delay,
      impute(air_time, 'median') OVER (PARTITION BY carrier) AS air_time,
      month, day, sched_dep_time, carrier, flight, origin, dest
    FROM (SELECT DISTINCT * FROM '${input}')
  )
) TO '${output}' STORED AS PARQUET OPTIONS (compression 'snappy');
