#!/usr/bin/env python3
"""ctgan in Seedbed and in the ctgan package (PyTorch), in turn: what comes before the first epoch, an epoch, and 100,000 rows drawn.

The same table (Adult's 32,561 rows), networks, batch size and number of threads. A training of one epoch and one of more give
the time of an epoch as their difference; what is left is reading the table, fitting its columns and whatever else there is.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from run import ADULT, DATA, ROOT, Seedbed

HERE = Path(__file__).resolve().parent
HEAD = ["before the first epoch, s", "an epoch, s", "rows drawn, s"]


def ours(options, seedbed, epochs):
    train, _ = seedbed.run(f"CREATE OR REPLACE MODEL m USING ctgan OPTIONS (epochs {epochs}, keep 'last') AS SELECT * FROM adult")
    nothing, _ = seedbed.run("SELECT * FROM sample('m', 1)", "--format", "json")
    # ANALYZE draws and decodes all rows, and prints none
    sample, _ = seedbed.run(f"EXPLAIN ANALYZE SELECT * FROM sample('m', {options.rows}, seed => {epochs})")
    return train, max(sample - nothing, 0)


def peer(options, source, epochs):
    command = [options.python, HERE / "run_ctgan.py", source, epochs, options.rows, options.threads]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    seconds = json.loads(done.stdout.splitlines()[-1])
    return seconds["train"], seconds["sample"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="a Python with the package ctgan installed")
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="of the longer training")
    parser.add_argument("--rows", type=int, default=100_000, help="to draw")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs must be 2 at least")
    names = ", ".join(f"'{name}'" for name in ADULT.split())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "adult.parquet"
        seedbed = Seedbed(options.seedbed, str(Path(folder) / "db"), options.threads)
        read = f"read_csv('{DATA}/adult/adult.data.gz', header => false, nulls => [], on_error => 'skip', names => [{names}])"
        seedbed.run(f"CREATE TABLE adult AS SELECT * FROM {read}; COPY adult TO '{source}'")
        figures = {"Seedbed": [], "ctgan": []}
        for _ in range(options.runs):
            for tool, call in (("Seedbed", lambda n: ours(options, seedbed, n)), ("ctgan", lambda n: peer(options, source, n))):
                (one, drawn), (more, again) = call(1), call(options.epochs)
                epoch = (more - one) / (options.epochs - 1)
                figures[tool].append((one - epoch, epoch, min(drawn, again)))
    print(f"Adult, {options.rows} rows drawn, {options.threads} threads, median of {options.runs}\n")
    print("| | " + " | ".join(HEAD) + " |")
    print("|---" * (len(HEAD) + 1) + "|")
    for tool, runs in figures.items():
        print(f"| {tool} | " + " | ".join(f"{statistics.median(column):.2f}" for column in zip(*runs)) + " |")


if __name__ == "__main__":
    main()
