#!/usr/bin/env python3
"""The preparation in DuckDB: run_duckdb.py flights.parquet out.parquet THREADS"""

import sys

import duckdb

source, target, threads = sys.argv[1:]
db = duckdb.connect(config={"threads": int(threads)})
db.execute("SET preserve_insertion_order = false")

# Everything below reads the distinct rows several times, so they are kept; only the columns still needed are.
db.execute(f"""
    CREATE TEMP TABLE flights AS
    SELECT dep_time, dep_delay, arr_delay, air_time, month, day, sched_dep_time, carrier, flight, origin, dest
    FROM (SELECT DISTINCT * FROM read_parquet('{source}'))
""")


def categories(column):
    return [value for (value,) in db.execute(f"SELECT DISTINCT {column} FROM flights ORDER BY 1").fetchall()]


def one_hot(column):
    return ",\n".join(
        f"({column} = '{value}')::TINYINT AS {column}_{value.lower()}" for value in categories(column)
    )


# Small statistics as tables of their own: one long WITH took a third longer and twice the memory.
db.execute("""
    CREATE TEMP TABLE medians AS
    SELECT carrier, median(dep_time) AS dep_time, median(dep_delay) AS dep_delay,
           median(arr_delay) AS arr_delay, median(air_time) AS air_time
    FROM flights GROUP BY carrier
""")
db.execute("""
    CREATE TEMP VIEW imputed AS
    SELECT coalesce(f.dep_time, m.dep_time) AS dep_time, coalesce(f.dep_delay, m.dep_delay) AS dep_delay,
           coalesce(f.arr_delay, m.arr_delay) AS arr_delay, coalesce(f.air_time, m.air_time) AS air_time,
           f.month, f.day, f.sched_dep_time, f.carrier, f.flight, f.origin, f.dest
    FROM flights f JOIN medians m ON f.carrier IS NOT DISTINCT FROM m.carrier
""")
db.execute("""
    CREATE TEMP TABLE stats AS
    SELECT avg(dep_delay) AS mean, stddev_pop(dep_delay) AS std,
           min(air_time) AS lo, max(air_time) - min(air_time) AS range,
           quantile_cont(arr_delay, [0.01, 0.25, 0.5, 0.75, 0.99]) AS arr,
           quantile_cont(dep_delay, [0.01, 0.99]) AS dep,
           quantile_cont(dep_time, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) AS deciles
    FROM imputed
""")
db.execute("""
    CREATE TEMP TABLE dests AS
    SELECT dest, row_number() OVER (ORDER BY dest) - 1 AS code FROM (SELECT DISTINCT dest FROM flights)
""")

deciles = " + ".join(f"(dep_time >= s.deciles[{at}])::TINYINT" for at in range(1, 10))
db.execute(f"""
    COPY (
        SELECT (dep_delay - s.mean) / s.std AS dep_delay_standard,
               (arr_delay - s.arr[3]) / (s.arr[4] - s.arr[2]) AS arr_delay_robust,
               (air_time - s.lo) / s.range AS air_time_min_max,
               greatest(least(dep_delay, s.dep[2]), s.dep[1]) AS dep_delay_winsorized,
               greatest(least(arr_delay, s.arr[5]), s.arr[1]) AS arr_delay_winsorized,
               {one_hot("carrier")},
               {one_hot("origin")},
               d.code AS dest,
               {deciles} AS dep_time_decile,
               sin(2 * pi() * month / 12) AS month_sin,
               cos(2 * pi() * month / 12) AS month_cos,
               CASE WHEN hash(month, day, sched_dep_time, carrier, flight, origin, 42) % 100 < 20
                    THEN 'test' ELSE 'train' END AS part
        FROM imputed i CROSS JOIN stats s JOIN dests d ON i.dest IS NOT DISTINCT FROM d.dest
    ) TO '{target}' (FORMAT parquet, COMPRESSION snappy)
""")
