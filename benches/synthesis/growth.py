#!/usr/bin/env python3
"""Seconds and peak memory of training a model and of drawing as many rows, as the rows of a wide table grow.

The table is made in SQL: 30 columns, of them 14 numbers that depend on each other, one with holes, eleven texts of 3 to
1,000 categories, two dates, a flag, a whole number, and one text of 300,000 categories, Zipf-like.
"""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "flights"))

from run import ROOT, measure  # noqa: E402

NUMBERS = ", ".join(f"z + random_normal(0, {1 + at % 3}, random_key({at}, id)) AS x{at}" for at in range(14))
SIZES = [3, 5, 8, 10, 16, 20, 40, 64, 100, 300, 1000]
TEXTS = ", ".join(
    f"'c' || CAST(floor({size} * power(random_uniform(0, 1, random_key({100 + at}, id)), 2)) AS BIGINT) AS c{at}"
    for at, size in enumerate(SIZES)
)
TABLE = f"""
CREATE TABLE wide AS
SELECT {NUMBERS}, CASE WHEN id % 10 < 7 THEN z * z END AS holes, {TEXTS},
  arrow_cast(18000 + CAST(1000 * random_uniform(0, 1, random_key(200, id)) AS INTEGER), 'Date32') AS day,
  z > 0 AS flag, CAST(100 * random_uniform(0, 1, random_key(201, id)) AS BIGINT) AS n,
  'item ' || CAST(floor(300000 * power(random_uniform(0, 1, random_key(202, id)), 3)) AS BIGINT) AS item
FROM (SELECT value AS id, random_normal(0, 1, random_key(1, value)) AS z FROM generate_series(1, {{rows}}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="circuit,ctgan")
    parser.add_argument("--options", default="ctgan: epochs 1", help="OPTIONS of kinds, as 'ctgan: epochs 1; circuit: states 64'")
    parser.add_argument("--rows", default="33333,333333,1000000", help="rows of the tables")
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    given = dict(part.split(":", 1) for part in options.options.split(";") if part.strip())
    given = {kind.strip(): text.strip() for kind, text in given.items()}
    print("| kind | rows | train s | train GB | sample s | sample GB |")
    print("|---|---|---|---|---|---|")
    for rows in options.rows.split(","):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            command = [options.seedbed, "--db", f"{folder}/db", "--threads", str(options.threads), "--quiet", "-c"]

            def run(sql):
                seconds, memory, status = measure([*command, sql], log)
                if status != 0:
                    sys.exit(f"{sql}\n{log.read_text()}")
                return f"{seconds:.1f} | {memory / 1e9:.2f}"

            run(TABLE.format(rows=rows))
            for kind in options.kinds.split(","):
                text = f" OPTIONS ({given[kind]})" if kind in given else ""
                train = run(f"CREATE OR REPLACE MODEL m USING {kind}{text} AS SELECT * FROM wide")
                draw = run(f"COPY (SELECT * FROM sample('m', {rows})) TO '{folder}/drawn.parquet'")
                print(f"| `{kind}` | {int(rows):,} | {train} | {draw} |", flush=True)


if __name__ == "__main__":
    main()
