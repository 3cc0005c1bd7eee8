#!/usr/bin/env python3
"""Rows a second and peak memory of the flights preparation without DISTINCT, as the rows grow 1x, 10x, 30x."""

import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "flights"))

from run import WORK, arguments, make, measure, seedbed  # noqa: E402

FLIGHTS = 336_776


def main():
    options = arguments(__doc__).parse_args()
    print(f"{'rows':>12}{'seconds':>10}{'rows/s':>14}{'peak GB':>10}   ({options.threads} threads, median of {options.runs})")
    for times in (1, 10, 30):
        rows = FLIGHTS * times
        source = WORK / f"flights_{rows}_{'unique' if options.unique else 'copies'}.parquet"
        target, log = WORK / "scaling.parquet", WORK / "scaling.log"
        make(options, rows, source)
        runs = []
        for _ in range(options.runs):
            target.unlink(missing_ok=True)
            seconds, memory, status = measure(seedbed(options, HERE / "seedbed.sql", source, target), log)
            if status != 0:
                sys.exit(f"seedbed failed with status {status}:\n{log.read_text()}")
            runs.append((seconds, memory))
        seconds, memory = (statistics.median(figure) for figure in zip(*runs))
        print(f"{rows:>12,}{seconds:>10.2f}{rows / seconds:>14,.0f}{memory / 1e9:>10.2f}")


if __name__ == "__main__":
    main()
