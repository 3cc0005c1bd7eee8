#!/usr/bin/env python3
"""The preparation in Polars: run_polars.py flights.parquet out.parquet THREADS"""

import math
import os
import sys

source, target, threads = sys.argv[1:]
os.environ["POLARS_MAX_THREADS"] = threads

import polars as pl  # noqa: E402  the number of threads is read when it is imported

IMPUTED = ["dep_time", "dep_delay", "arr_delay", "air_time"]
KEY = ["month", "day", "sched_dep_time", "carrier", "flight", "origin"]

# Everything below reads the distinct rows several times, so they are kept; only the columns still needed are.
flights = (
    pl.scan_parquet(source)
    .unique(maintain_order=False)
    .select(*IMPUTED, *KEY, "dest")
    .collect(engine="streaming")
)
medians = flights.group_by("carrier").agg(pl.col(IMPUTED).median().name.suffix("_median"))
imputed = (
    flights.lazy()
    .join(medians.lazy(), on="carrier", how="left", nulls_equal=True)
    .with_columns(pl.col(name).cast(pl.Float64).fill_null(pl.col(f"{name}_median")) for name in IMPUTED)
    .select(*IMPUTED, *KEY, "dest")
    .collect(engine="streaming")
)
del flights


def quantiles(column, at):
    return [pl.col(column).quantile(q, "linear").alias(f"{column}_{q}") for q in at]


deciles = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
stats = imputed.select(
    pl.col("dep_delay").mean().alias("mean"),
    pl.col("dep_delay").std(ddof=0).alias("std"),
    pl.col("air_time").min().alias("lo"),
    (pl.col("air_time").max() - pl.col("air_time").min()).alias("range"),
    *quantiles("dep_delay", [0.01, 0.99]),
    *quantiles("arr_delay", [0.01, 0.25, 0.5, 0.75, 0.99]),
    *quantiles("dep_time", deciles),
).row(0, named=True)
edges = pl.Series([stats[f"dep_time_{q}"] for q in deciles])


def categories(column):
    return imputed.get_column(column).unique().sort().to_list()


def one_hot(column):
    return [
        (pl.col(column) == value).cast(pl.Int8).alias(f"{column}_{value.lower()}")
        for value in categories(column)
    ]


dests = categories("dest")
angle = pl.col("month") * (2 * math.pi / 12)
imputed.lazy().select(
    ((pl.col("dep_delay") - stats["mean"]) / stats["std"]).alias("dep_delay_standard"),
    ((pl.col("arr_delay") - stats["arr_delay_0.5"]) / (stats["arr_delay_0.75"] - stats["arr_delay_0.25"])).alias(
        "arr_delay_robust"
    ),
    ((pl.col("air_time") - stats["lo"]) / stats["range"]).alias("air_time_min_max"),
    pl.col("dep_delay").clip(stats["dep_delay_0.01"], stats["dep_delay_0.99"]).alias("dep_delay_winsorized"),
    pl.col("arr_delay").clip(stats["arr_delay_0.01"], stats["arr_delay_0.99"]).alias("arr_delay_winsorized"),
    *one_hot("carrier"),
    *one_hot("origin"),
    pl.col("dest").replace_strict(dests, range(len(dests)), return_dtype=pl.Int64),
    pl.lit(edges).search_sorted(pl.col("dep_time"), side="right").alias("dep_time_decile"),
    angle.sin().alias("month_sin"),
    angle.cos().alias("month_cos"),
    pl.when(pl.struct(KEY).hash(42) % 100 < 20).then(pl.lit("test")).otherwise(pl.lit("train")).alias("part"),
).sink_parquet(target, compression="snappy", engine="streaming")
