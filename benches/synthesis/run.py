#!/usr/bin/env python3
"""Trains models on a table with several seeds and prints what their rows are worth, beside the three controls.

Everything is done by the seedbed binary, in SQL: training, sampling and evaluating, each statement in a process of its own
whose time is taken. Errors are in %, figures are mean and spread over the seeds.

    benches/synthesis/run.py --kinds gan,circuit --seeds 5
    benches/synthesis/run.py --table flights --csv flights.csv.gz --kinds circuit --options "circuit: states 128"
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
ADULT = "age workclass fnlwgt education education_num marital_status occupation relationship race sex capital_gain capital_loss hours_per_week native_country income"

# Each gives the tables `real`, `holdout` and the target that models are to predict.
TABLES = {
    # '?' is a category of its own, as in the published figures
    "adult": (
        "income",
        """
CREATE OR REPLACE TABLE {name} AS
SELECT * EXCEPT (row_id, income), rtrim(income, '.') AS income
FROM read_csv('{data}/adult/adult.{file}.gz', header => false, row_id => true, nulls => [], on_error => 'skip', names => [{names}])
{drawn}
""",
    ),
    "flights": (
        "arr_delay",
        """
CREATE OR REPLACE TABLE {name} AS
SELECT month, day, dep_time, sched_dep_time, dep_delay, sched_arr_time, arr_delay, carrier, origin, dest, air_time, distance
FROM read_csv('{csv}', row_id => true, nulls => ['NA'])
WHERE split(random_key(42, row_id), test => 0.33) = '{part}'
{drawn}
""",
    ),
    "penguins": (
        "species",
        """
CREATE OR REPLACE TABLE {name} AS
SELECT split_part("Species", ' ', 1) AS species, "Island" AS island, "Clutch Completion" AS clutch_completion, "Date Egg" AS date_egg,
  "Culmen Length (mm)" AS culmen_length, "Culmen Depth (mm)" AS culmen_depth, "Flipper Length (mm)" AS flipper_length,
  "Body Mass (g)" AS body_mass, "Sex" AS sex, "Delta 15 N (o/oo)" AS delta_15_n, "Delta 13 C (o/oo)" AS delta_13_c
FROM read_csv('{data}/penguins-raw.csv', row_id => true, nulls => ['NA'])
WHERE split(random_key(42, row_id), test => 0.33) = '{part}'
{drawn}
""",
    ),
}
METRICS = ["shape", "trend", "c2st", "tstr", "dcr_share", "copies"]
HEAD = ["shape err", "trend err", "c2st", "tstr", "dcr share", "copies", "train s", "sample s"]


class Seedbed:
    """The binary on a directory of its own."""

    def __init__(self, binary, folder, threads):
        self.command = [binary, "--db", folder, "--threads", str(threads), "--quiet"]

    def run(self, sql, *flags):
        """The seconds a statement takes, and what it prints."""
        start = time.monotonic()
        done = subprocess.run([*self.command, *flags, "-c", sql], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{sql}\n{done.stderr}")
        return time.monotonic() - start, done.stdout

    def rows(self, sql):
        seconds, text = self.run(sql, "--format", "json")
        return seconds, json.loads(text)


def prepare(seedbed, options):
    target, sql = TABLES[options.table]
    for name, file, part in (("real", "data", "train"), ("holdout", "test", "test")):
        names = ", ".join(f"'{n}'" for n in ADULT.split())
        drawn = f"ORDER BY random_key(1, row_id) LIMIT {options.rows}" if options.rows else ""
        seedbed.run(sql.format(name=name, file=file, part=part, data=DATA, csv=options.csv, names=names, drawn=drawn))
    (count,) = seedbed.rows("SELECT count(*) AS n FROM real")[1]
    return target, count["n"]


def evaluate(seedbed, synthetic, target, seed, controls=False):
    """A metric's values by the name of the column they are in."""
    flag = ", controls => true" if controls else ""
    call = f"evaluate_synthesis(real, {synthetic}, holdout => holdout, target => {target}, detail => 'summary', seed => {seed}{flag})"
    seconds, rows = seedbed.rows(f"SELECT * EXCEPT (meaning) FROM {call}")
    return seconds, {row["metric"]: row for row in rows}


def figures(found, column):
    """In the order of METRICS; shape and trend as errors in %."""
    out = []
    for metric in METRICS:
        names = ["tstr_auc", "tstr_r2"] if metric == "tstr" else [metric]
        value = next((found[n].get(column) for n in names if n in found), None)
        out.append(100 * (1 - value) if metric in ("shape", "trend") and value is not None else value)
    return out


def shown(values, digits):
    values = [v for v in values if v is not None]
    if not values:
        return ""
    text = f"{statistics.mean(values):.{digits}f}"
    return f"{text} ±{statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


def line(name, runs):
    digits = [2, 2, 3, 3, 3, 4, 1, 2]
    cells = [shown(column, d) for column, d in zip(zip(*runs), digits)]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="", help="kinds of models, as gan,circuit; none for the controls alone")
    parser.add_argument("--options", action="append", default=[], help="OPTIONS of a kind, as 'gan: epochs 20, batch_size 200'")
    parser.add_argument("--table", choices=TABLES, default="adult")
    parser.add_argument("--csv", help="for flights: the file flights.csv of nycflights13, gzipped or not")
    parser.add_argument("--rows", type=int, help="at most so many rows to learn from, and held out, drawn from those there are")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    options = parser.parse_args()
    if options.table == "flights" and not options.csv:
        parser.error("flights wants --csv flights.csv.gz")
    given = dict(o.split(":", 1) for o in options.options)
    with tempfile.TemporaryDirectory() as folder:
        seedbed = Seedbed(options.seedbed, folder, options.threads)
        target, rows = prepare(seedbed, options)
        print(f"{options.table}: {rows} rows to learn from, target {target}\n")
        print("| | " + " | ".join(HEAD) + " |")
        print("|---" * (len(HEAD) + 1) + "|")
        for kind in filter(None, options.kinds.split(",")):
            runs = []
            for seed in range(options.seeds):
                more = f", {given[kind].strip()}" if kind in given else ""
                train, _ = seedbed.run(f"CREATE OR REPLACE MODEL m USING {kind} OPTIONS (seed {seed}{more}) AS SELECT * FROM real")
                draw, _ = seedbed.run(f"CREATE OR REPLACE TABLE synthetic AS SELECT * FROM sample('m', {rows}, seed => {seed})")
                _, found = evaluate(seedbed, "synthetic", target, seed)
                runs.append([*figures(found, "value"), train, draw])
            line(kind, runs)
        # of the controls nothing is trained; the real table stands for a model that has learnt it by heart
        found = [evaluate(seedbed, "real", target, seed, controls=True) for seed in range(options.seeds)]
        for name, column in (("columns each by itself", "independent"), ("copy of the table", "copied"), ("real holdout", "held_out")):
            line(name, [[*figures(f, column), None, None] for _, f in found])
        learnt = [f.get("trtr_auc", f.get("trtr_r2"))["value"] for _, f in found]
        print(f"\ntrained on real rows: {shown(learnt, 3)}; evaluated with all controls in {shown([s for s, _ in found], 1)} s")


if __name__ == "__main__":
    main()
