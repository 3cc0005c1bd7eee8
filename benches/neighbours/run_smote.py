#!/usr/bin/env python3
"""SMOTE in imbalanced-learn: run_smote.py in.parquet out.parquet THREADS"""

import os
import sys

source, target, threads = sys.argv[1:]
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = threads

import pandas as pd  # noqa: E402  the number of threads is read when numpy is imported
from imblearn.over_sampling import SMOTE  # noqa: E402

rows = pd.read_parquet(source)
before = len(rows)
x, y = SMOTE(random_state=7).fit_resample(rows.drop(columns="y"), rows["y"])
x["y"] = y
x["is_synthetic"] = x.index >= before
x.to_parquet(target, compression="snappy", index=False)
