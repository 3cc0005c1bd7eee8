#!/usr/bin/env python3
"""One function at a time over a Parquet file of numbers and categories, in Seedbed and its peers.

Seedbed and DuckDB read the columns they need from the file and add up the result; scikit-learn and Polars find
the columns in memory, so that their seconds are those of the function alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "flights"))

from run import ROOT, WORK, measure  # noqa: E402

# name: Seedbed's expression of x, c, k and its result's type; the same in DuckDB, where one would write it by hand
FUNCTIONS = {
    "standard_scale": ("standard_scale(x) OVER ()", "(x - avg(x) OVER ()) / stddev_pop(x) OVER ()"),
    "min_max_scale": ("min_max_scale(x) OVER ()", "(x - min(x) OVER ()) / (max(x) OVER () - min(x) OVER ())"),
    "robust_scale": (
        "robust_scale(x) OVER ()",
        "(x - median(x) OVER ()) / (quantile_cont(x, 0.75) OVER () - quantile_cont(x, 0.25) OVER ())",
    ),
    "impute_median": ("impute(h, 'median') OVER ()", "coalesce(h, median(h) OVER ())"),
    "impute_median_by_group": ("impute(h, 'median') OVER (PARTITION BY c)", "coalesce(h, median(h) OVER (PARTITION BY c))"),
    "winsorize": (
        "winsorize(x, 0.01, 0.99) OVER ()",
        "greatest(least(x, quantile_cont(x, 0.99) OVER ()), quantile_cont(x, 0.01) OVER ())",
    ),
    "quantile_bucketize": ("quantile_bucketize(x, 10) OVER ()", "ntile(10) OVER (ORDER BY x)"),
    "quantile_transform": ("quantile_transform(x) OVER ()", None),
    "power_transform": ("power_transform(x) OVER ()", None),
    "spline_features": ("spline_features(x) OVER ()", None),
    "ordinal_encode": ("ordinal_encode(c) OVER ()", "dense_rank() OVER (ORDER BY c)"),
    "count_encode": ("count_encode(c) OVER ()", "count(*) OVER (PARTITION BY c)"),
    "one_hot": ("one_hot(c, output => 'vector') OVER ()", None),
    "target_encode": ("target_encode(c, x, k) OVER ()", None),
    "missing_indicator": ("missing_indicator(h)", "CAST(h IS NULL AS INT)"),
    "fill_forward": (
        "fill_forward(h) OVER (PARTITION BY c ORDER BY k)",
        "last_value(h IGNORE NULLS) OVER (PARTITION BY c ORDER BY k ROWS UNBOUNDED PRECEDING)",
    ),
    "rolling_mean": (
        "rolling(x, 7) OVER (PARTITION BY c ORDER BY k)",
        "avg(x) OVER (PARTITION BY c ORDER BY k ROWS 6 PRECEDING)",
    ),
}


def make(options):
    """x normal, h a tenth of it missing, c of 1,000 categories, k a key."""
    path = WORK / f"functions_{options.rows}.parquet"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        sql = f"""COPY (SELECT k, x, CASE WHEN random_uniform(0, 1, random_key(3, k)) > 0.1 THEN x END AS h,
            'c' || CAST(floor(random_uniform(0, 1000, random_key(2, k))) AS INT) AS c
            FROM (SELECT value AS k, random_normal(10, 3, random_key(1, value)) AS x
            FROM generate_series(1, {options.rows}))) TO '{path}'"""
        subprocess.run([options.seedbed, "-c", sql, "--quiet"], check=True)
    return path


# of vectors the first place is looked at: to compare ten million lists takes longer than to make them
VECTORS = {"spline_features", "one_hot"}


def query(name, expression, source):
    """A statement that computes the expression for all rows and gives a row."""
    y = "y[1]" if name in VECTORS else "y"
    return f"SELECT count(y), max({y}) FROM (SELECT {expression} AS y FROM '{source}')"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="a Python with requirements.txt installed")
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", default=",".join(FUNCTIONS))
    parser.add_argument("--tools", default="seedbed,duckdb,sklearn,polars")
    options = parser.parse_args()
    source = make(options)
    tools = options.tools.split(",")
    names = options.only.split(",")
    print(f"{'':24}" + "".join(f"{tool + ' s':>12}{'GB':>7}" for tool in tools))
    for name in names:
        ours, duck = FUNCTIONS[name]
        figures = {tool: [] for tool in tools}
        for _ in range(options.runs):
            for tool in tools:
                log = WORK / f"functions_{tool}.log"
                if tool == "seedbed":
                    command = [options.seedbed, "-c", query(name, ours, source), "--threads", options.threads]
                elif tool == "duckdb":
                    if duck is None:
                        continue
                    command = [options.python, HERE / "peers.py", "duckdb", source, options.threads, query(name, duck, source)]
                else:
                    command = [options.python, HERE / "peers.py", tool, source, options.threads, name]
                seconds, memory, status = measure([str(word) for word in command], log)
                if status == 3:
                    continue
                if status != 0:
                    sys.exit(f"{name}, {tool} failed with status {status}:\n{log.read_text()}")
                if tool != "seedbed":
                    seconds = json.loads(log.read_text().splitlines()[-1])["seconds"]
                figures[tool].append((seconds, memory / 1e9))
        line = f"{name:24}"
        for tool in tools:
            if figures[tool]:
                seconds, memory = (statistics.median(values) for values in zip(*figures[tool]))
                line += f"{seconds:>12.2f}{memory:>7.2f}"
            else:
                line += f"{'-':>12}{'-':>7}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
