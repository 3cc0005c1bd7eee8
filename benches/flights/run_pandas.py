#!/usr/bin/env python3
"""The preparation in pandas and scikit-learn: run_pandas.py flights.parquet out.parquet THREADS"""

import os
import sys

source, target, threads = sys.argv[1:]
os.environ["OMP_NUM_THREADS"] = threads

import numpy as np  # noqa: E402  the number of threads is read when it is imported
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
from sklearn.preprocessing import (  # noqa: E402
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

pa.set_cpu_count(int(threads))
IMPUTED = ["dep_time", "dep_delay", "arr_delay", "air_time"]
KEY = ["month", "day", "sched_dep_time", "carrier", "flight", "origin"]

flights = pd.read_parquet(source).drop_duplicates()[[*IMPUTED, *KEY, "dest"]]
for name in IMPUTED:
    flights[name] = flights[name].fillna(flights.groupby("carrier", dropna=False)[name].transform("median"))

out = pd.DataFrame(index=flights.index)
out["dep_delay_standard"] = StandardScaler().fit_transform(flights[["dep_delay"]])
out["arr_delay_robust"] = RobustScaler().fit_transform(flights[["arr_delay"]])
out["air_time_min_max"] = MinMaxScaler().fit_transform(flights[["air_time"]])
for name in ["dep_delay", "arr_delay"]:
    lo, hi = flights[name].quantile([0.01, 0.99])
    out[f"{name}_winsorized"] = flights[name].clip(lo, hi)
encoder = OneHotEncoder(sparse_output=False, dtype=np.int8)
hot = encoder.fit_transform(flights[["carrier", "origin"]])
names = [name.lower() for name in encoder.get_feature_names_out()]
out = pd.concat([out, pd.DataFrame(hot, columns=names, index=out.index)], axis=1)
out["dest"] = OrdinalEncoder(dtype=np.int64).fit_transform(flights[["dest"]])
bins = KBinsDiscretizer(10, encode="ordinal", strategy="quantile", quantile_method="linear", subsample=None)
out["dep_time_decile"] = bins.fit_transform(flights[["dep_time"]]).astype(np.int8)
angle = flights["month"] * (2 * np.pi / 12)
out["month_sin"] = np.sin(angle)
out["month_cos"] = np.cos(angle)
key = pd.util.hash_pandas_object(flights[KEY], index=False, hash_key="seedbed, flights")
out["part"] = np.where(key % 100 < 20, "test", "train")
out.to_parquet(target, compression="snappy", index=False)
