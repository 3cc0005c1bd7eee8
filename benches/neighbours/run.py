#!/usr/bin/env python3
"""SMOTE and the imputation by nearest neighbours, in Seedbed and its peers; prints time and peak memory side by side."""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "flights"))

from run import ROOT, WORK, measure  # noqa: E402


def make(options, kind, rows):
    """Prepares the input once; later runs find it."""
    path = WORK / f"neighbours_{kind}_{rows}.parquet"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        subprocess.run([options.python, HERE / "make_rows.py", kind, path, str(rows)], check=True)
    return path


def smote(options):
    source = make(options, "rare", options.rows)
    query = f"SELECT * FROM smote((SELECT * FROM '{source}'), label => y, seed => 7)"
    return {"seedbed": query, "imblearn": ["run_smote.py", source]}


def impute(options):
    rows = options.impute_rows
    source = make(options, "holes", rows)
    given = f", donors => {options.donors}" if options.donors < rows else ""
    columns = ", ".join(f"x{at}" for at in range(20))
    query = f"SELECT * FROM impute_knn((SELECT * FROM '{source}'), columns => [{columns}], seed => 7{given})"
    return {"seedbed": query, "sklearn": ["run_impute.py", source]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="a Python with requirements.txt installed")
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="for smote")
    parser.add_argument("--impute-rows", type=int, default=1_000_000)
    parser.add_argument("--donors", type=int, default=10_000)
    parser.add_argument("--only", default="smote,impute", help="some of smote,impute")
    parser.add_argument("--tools", default="seedbed,imblearn,sklearn", help="some of seedbed,imblearn,sklearn")
    options = parser.parse_args()
    for name in options.only.split(","):
        tools = {"smote": smote, "impute": impute}[name](options)
        tools = {tool: what for tool, what in tools.items() if tool in options.tools.split(",")}
        figures = {tool: [] for tool in tools}
        for run in range(options.runs):
            for tool, what in tools.items():
                target = WORK / f"neighbours_{tool}.parquet"
                target.unlink(missing_ok=True)
                if tool == "seedbed":
                    copy = f"COPY ({what}) TO '{target}' OPTIONS (compression 'snappy')"
                    command = [options.seedbed, "-c", copy, "--threads", options.threads, "--quiet"]
                else:
                    script, source = what
                    command = [options.python, HERE / script, source, target, options.threads]
                    command += [options.donors] if tool == "sklearn" else []
                log = WORK / f"neighbours_{tool}.log"
                seconds, memory, status = measure([str(word) for word in command], log)
                if status != 0:
                    sys.exit(f"{tool} failed with status {status}:\n{log.read_text()}")
                figures[tool].append((seconds, memory))
                print(f"run {run + 1}: {tool:8} {seconds:7.2f} s {memory / 1e9:6.2f} GB", file=sys.stderr)
        print(f"{name}, {options.threads} threads, median of {options.runs}")
        print(f"{'':10}{'seconds':>10}{'fastest':>10}{'peak GB':>10}")
        for tool, runs in figures.items():
            seconds, memory = zip(*runs)
            peak = statistics.median(memory) / 1e9
            print(f"{tool:10}{statistics.median(seconds):>10.2f}{min(seconds):>10.2f}{peak:>10.2f}")


if __name__ == "__main__":
    main()
