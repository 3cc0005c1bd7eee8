#!/usr/bin/env python3
"""Compares the outputs of the preparation, column by column: check.py out.parquet other.parquet ...

Rows come in any order, so what is compared is the number of rows, the missing values, the minimum, maximum, sum and sum of
squares of each column. Hash functions differ between tools, so of the split only the shares are compared.
"""

import math
import os
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

TOLERANCE = 1e-9


def facts(path):
    """Streams a file (or a folder of them); returns the rows and, for each column, what is compared."""
    data = pyarrow.dataset.dataset(path, format="parquet")
    rows, columns = 0, {}
    for batch in data.to_batches():
        rows += batch.num_rows
        for name, values in zip(batch.schema.names, batch.columns):
            fact = columns.setdefault(name, {"missing": 0, "min": math.inf, "max": -math.inf, "sum": [], "squares": []})
            if pa.types.is_dictionary(values.type):
                values = values.dictionary_decode()
            fact["missing"] += values.null_count
            if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
                fact["test"] = fact.get("test", 0) + (pc.sum(pc.equal(values, "test")).as_py() or 0)
                continue
            values = values.cast(pa.float64()) if not pa.types.is_boolean(values.type) else values.cast(pa.int8()).cast(pa.float64())
            if values.null_count == len(values):
                continue
            extremes = pc.min_max(values).as_py()
            fact["min"] = min(fact["min"], extremes["min"])
            fact["max"] = max(fact["max"], extremes["max"])
            fact["sum"].append(pc.sum(values).as_py())
            fact["squares"].append(pc.sum(pc.multiply(values, values)).as_py())
    for fact in columns.values():
        fact["sum"], fact["squares"] = math.fsum(fact["sum"]), math.fsum(fact["squares"])
    return rows, columns


def differences(name, rows, columns, other, other_rows, other_columns):
    if rows != other_rows:
        yield f"{other}: {other_rows} rows, {name} has {rows}"
    if columns.keys() != other_columns.keys():
        yield f"{other}: columns {sorted(columns.keys() ^ other_columns.keys())} are not in both"
    for column in columns.keys() & other_columns.keys():
        one, two = columns[column], other_columns[column]
        if "test" in one or "test" in two:
            for who, fact, count in ((name, one, rows), (other, two, other_rows)):
                if not 0.19 <= fact.get("test", 0) / count <= 0.21:
                    yield f"{who}: {column} has {fact.get('test', 0)} test rows of {count}"
            continue
        for what in ("missing", "min", "max", "sum", "squares"):
            # A sum of values that cancel is compared on the scale of what was summed.
            scale = max(1.0, abs(one[what]), math.sqrt(one["squares"] * rows) if what == "sum" else 0.0)
            if abs(one[what] - two[what]) > TOLERANCE * scale:
                yield f"{other}: {what} of {column} is {two[what]!r}, {name} has {one[what]!r}"


def main():
    paths = sys.argv[1:]
    name = os.path.basename(paths[0])
    rows, columns = facts(paths[0])
    found = []
    for path in paths[1:]:
        found += differences(name, rows, columns, os.path.basename(path), *facts(path))
    for line in found:
        print(line)
    if found:
        sys.exit(1)
    print(f"{len(paths)} outputs agree: {rows} rows, {len(columns)} columns")


if __name__ == "__main__":
    main()
