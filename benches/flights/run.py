#!/usr/bin/env python3
"""Runs the flights preparation in Seedbed and its peers; prints time and peak memory side by side."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "bench"


def measure(command, log):
    """Seconds, peak bytes and exit status of one process, waited for alone."""
    start = time.monotonic()
    with open(log, "w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - start, usage.ru_maxrss * unit, child.returncode


def make(options, rows, path):
    """Prepares the input once; later runs find it."""
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        print(f"preparing {path}", file=sys.stderr)
        unique = ["--unique"] if options.unique else []
        subprocess.run(
            [options.python, HERE / "make_flights.py", options.csv, path, "--rows", str(rows), *unique], check=True
        )


def seedbed(options, script, source, target):
    return [
        options.seedbed, "run", script, "-D", f"input={source}", "-D", f"output={target}",
        "--threads", str(options.threads), "--quiet",
    ]  # fmt: skip


def arguments(about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--csv", required=True, help="flights.csv or flights.csv.gz")
    parser.add_argument("--python", default=sys.executable, help="a Python with requirements.txt installed")
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--unique", action="store_true", help="nearly all rows distinct, instead of copies")
    return parser


def main():
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", help="some of seedbed,duckdb,polars,pandas")
    options = parser.parse_args()
    kind = "unique" if options.unique else "copies"
    source = WORK / f"flights_{options.rows}_{kind}.parquet"
    make(options, options.rows, source)

    tools = options.only.split(",") if options.only else ["seedbed", "duckdb", "polars", "pandas"]
    figures = {tool: [] for tool in tools}
    for run in range(options.runs):
        for tool in tools:
            target = WORK / f"{tool}.parquet"
            if tool == "seedbed":
                command = seedbed(options, HERE / "seedbed.sql", source, target)
            else:
                command = [options.python, HERE / f"run_{tool}.py", source, target, str(options.threads)]
            log = WORK / f"{tool}.log"
            target.unlink(missing_ok=True)
            seconds, memory, status = measure([str(word) for word in command], log)
            if status != 0:
                sys.exit(f"{tool} failed with status {status}:\n{log.read_text()}")
            figures[tool].append((seconds, memory))
            print(f"run {run + 1}: {tool:8} {seconds:7.2f} s {memory / 1e9:6.2f} GB", file=sys.stderr)

    print(f"{options.rows:,} rows ({kind}), {options.threads} threads, median of {options.runs}")
    print(f"{'':10}{'seconds':>10}{'fastest':>10}{'peak GB':>10}")
    for tool, runs in figures.items():
        seconds, memory = zip(*runs)
        print(
            f"{tool:10}{statistics.median(seconds):>10.2f}{min(seconds):>10.2f}{statistics.median(memory) / 1e9:>10.2f}"
        )
    outputs = [str(WORK / f"{tool}.parquet") for tool in tools]
    sys.exit(subprocess.run([options.python, HERE / "check.py", *outputs]).returncode)


if __name__ == "__main__":
    main()
