#!/usr/bin/env python3
"""Golden values by pandas of timestamps and of rows dropped, and of FarmHash by its own library."""

import farmhash
import pandas as pd
from golden import Golden

TIMES = ["2024-02-29T23:59:59", "2024-02-29 00:00:01", "1969-12-31 23:59:58", "2024-06-01", "2024-13-01", "soon", None]
TEXTS = ["", "a", "abc", "é", "数据", "x" * 17, "y" * 33, "z" * 65, "w" * 128, "v" * 192, "u" * 300, None]


def timestamps():
    golden = Golden("rest_times", f"pandas {pd.__version__}", {"s": ("VARCHAR", TIMES)})
    parsed = [pd.to_datetime(t, errors="coerce") for t in TIMES]
    golden.case(
        "CAST(date_part('epoch', parse_timestamp(s)) AS BIGINT) AS y",
        [None if t is None or pd.isna(t) else int(t.timestamp()) for t in parsed],
    )
    golden.write()


def rows():
    frame = pd.DataFrame({"g": ["a", "b", "a", None, "b", None, "c"], "x": [3, 1, 2, 5, 1, 4, -6]})
    frame["id"] = frame.index
    golden = Golden("rest_rows", f"pandas {pd.__version__}", {"g": ("VARCHAR", frame.g.tolist()), "x": ("BIGINT", frame.x.tolist())})
    for keep in ("first", "last"):
        kept = frame.drop_duplicates("g", keep=keep).sort_values("id")
        golden.sql(
            f"SELECT id, x FROM deduplicate(TABLE t, by => g, keep => '{keep}', order_by => id) ORDER BY id",
            kept.id.tolist(),
            kept.x.tolist(),
        )
    kept = frame.drop_duplicates(["g", "x"]).sort_values("id")
    golden.sql("SELECT id FROM deduplicate(TABLE t, by => [g, x], order_by => id) ORDER BY id", kept.id.tolist())
    kept = frame.query("x > 1")
    golden.sql("SELECT id FROM expect(TABLE t, rule => 'x > 1', on_violation => 'drop') ORDER BY id", kept.id.tolist())
    golden.write()


def hashes():
    golden = Golden("rest_hashes", "pyfarmhash", {"s": ("VARCHAR", TEXTS)})
    signed = lambda h: h - 2**64 if h >= 2**63 else h
    golden.case("CAST(farm_fingerprint(s) AS VARCHAR) AS y", [None if t is None else str(signed(farmhash.fingerprint64(t))) for t in TEXTS])
    golden.write()


timestamps()
rows()
hashes()
