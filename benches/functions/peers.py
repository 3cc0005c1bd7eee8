#!/usr/bin/env python3
"""The peers of run.py: TOOL SOURCE THREADS WHAT; prints the seconds, or ends with status 3 if the tool has no such function."""

import json
import os
import sys
import time

tool, source, threads, what = sys.argv[1:]
os.environ["OMP_NUM_THREADS"] = threads
os.environ["POLARS_MAX_THREADS"] = threads


def timed(work):
    start = time.perf_counter()
    work()
    print(json.dumps({"seconds": time.perf_counter() - start}))


def duckdb():
    import duckdb as db

    connection = db.connect()
    connection.execute(f"SET threads = {threads}")
    timed(lambda: connection.execute(what).fetchall())


def sklearn():
    import numpy as np
    import pandas as pd
    from sklearn import impute, preprocessing

    columns = {"impute_median": ["h"], "impute_median_by_group": ["h", "c"], "missing_indicator": ["h"], "fill_forward": ["h", "c", "k"]}
    categories = {"ordinal_encode", "count_encode", "one_hot"}
    wanted = columns.get(what, ["c"] if what in categories else ["x"])
    wanted = {"target_encode": ["c", "x"], "rolling_mean": ["x", "c", "k"]}.get(what, wanted)
    frame = pd.read_parquet(source, columns=wanted)
    one = frame[wanted[:1]]
    transformers = {
        "standard_scale": preprocessing.StandardScaler,
        "min_max_scale": preprocessing.MinMaxScaler,
        "robust_scale": preprocessing.RobustScaler,
        "impute_median": lambda: impute.SimpleImputer(strategy="median"),
        "quantile_bucketize": lambda: preprocessing.KBinsDiscretizer(10, encode="ordinal", subsample=None),
        "quantile_transform": lambda: preprocessing.QuantileTransformer(subsample=None),
        "power_transform": preprocessing.PowerTransformer,
        "spline_features": preprocessing.SplineTransformer,
        "ordinal_encode": preprocessing.OrdinalEncoder,
        "one_hot": preprocessing.OneHotEncoder,
        "missing_indicator": lambda: impute.MissingIndicator(features="all"),
    }
    others = {
        "impute_median_by_group": lambda: frame.h.fillna(frame.groupby("c").h.transform("median")),
        "winsorize": lambda: np.clip(frame.x, *np.quantile(frame.x, [0.01, 0.99])),
        "count_encode": lambda: frame.c.map(frame.c.value_counts()),
        "target_encode": lambda: preprocessing.TargetEncoder(target_type="continuous").fit_transform(frame[["c"]], frame.x),
        "fill_forward": lambda: frame.sort_values("k").groupby("c").h.ffill(),
        "rolling_mean": lambda: frame.sort_values("k").groupby("c").x.rolling(7).mean(),
    }
    if what in transformers:
        values = one if what in categories else one.to_numpy()
        timed(lambda: transformers[what]().fit_transform(values))
    else:
        timed(others[what])


def polars():
    import polars as pl

    x, h, c = pl.col("x"), pl.col("h"), pl.col("c")
    expressions = {
        "standard_scale": (x - x.mean()) / x.std(ddof=0),
        "min_max_scale": (x - x.min()) / (x.max() - x.min()),
        "robust_scale": (x - x.median()) / (x.quantile(0.75, "linear") - x.quantile(0.25, "linear")),
        "impute_median": h.fill_null(h.median()),
        "impute_median_by_group": h.fill_null(h.median().over("c")),
        "winsorize": x.clip(x.quantile(0.01, "linear"), x.quantile(0.99, "linear")),
        "quantile_bucketize": x.qcut(10),
        "ordinal_encode": c.rank("dense"),
        "count_encode": pl.len().over("c"),
        "missing_indicator": h.is_null().cast(pl.Int8),
        "fill_forward": h.forward_fill().over("c", order_by="k"),
        "rolling_mean": x.rolling_mean(7).over("c", order_by="k"),
    }
    if what not in expressions:
        sys.exit(3)
    frame = pl.read_parquet(source)
    timed(lambda: frame.select(expressions[what].alias("y")))


{"duckdb": duckdb, "sklearn": sklearn, "polars": polars}[tool]()
