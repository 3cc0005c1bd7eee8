#!/usr/bin/env python3
"""KNNImputer of scikit-learn: run_impute.py in.parquet out.parquet THREADS DONORS

With as many donors as there are rows it is fitted on all, else on that many drawn.
"""

import os
import sys

source, target, threads, donors = sys.argv[1:]
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = threads

import pandas as pd  # noqa: E402  the number of threads is read when numpy is imported
from sklearn.impute import KNNImputer  # noqa: E402

rows = pd.read_parquet(source)
imputer = KNNImputer(n_neighbors=5).fit(rows.sample(min(int(donors), len(rows)), random_state=7))
filled = pd.DataFrame(imputer.transform(rows), columns=rows.columns)
filled.to_parquet(target, compression="snappy", index=False)
