#!/usr/bin/env python3
"""Writes the rows to work on: make_rows.py KIND out.parquet ROWS

`rare`: 20 columns of numbers and a class that 1 % of the rows have. `holes`: 20 columns of which 2 % of the numbers are missing.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

kind, target, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
WIDTH = 20
generator = np.random.default_rng(7)
x = generator.normal(size=(rows, WIDTH)) @ generator.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH)
columns = {}
if kind == "rare":
    y = (generator.random(rows) < 0.01).astype(np.int64)
    x[y == 1] += 0.7
    columns = {f"x{at}": x[:, at] for at in range(WIDTH)} | {"y": y}
else:
    gone = generator.random(x.shape) < 0.02
    columns = {f"x{at}": pa.array(x[:, at], mask=gone[:, at]) for at in range(WIDTH)}
pq.write_table(pa.table(columns), target, compression="snappy")
