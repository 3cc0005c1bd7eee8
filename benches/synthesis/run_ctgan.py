#!/usr/bin/env python3
"""Trains the ctgan package's CTGAN on a Parquet file and draws rows; prints seconds as JSON. For `peers.py`."""

import json
import sys
import time

import numpy as np
import pandas as pd
import torch
from ctgan import CTGAN


def main():
    source, epochs, rows, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    np.random.seed(0)
    table = pd.read_parquet(source)
    discrete = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    model = CTGAN(epochs=epochs, enable_gpu=False)
    begin = time.monotonic()
    model.fit(table, discrete)
    trained = time.monotonic()
    model.sample(rows)
    print(json.dumps({"train": trained - begin, "sample": time.monotonic() - trained}))


if __name__ == "__main__":
    main()
