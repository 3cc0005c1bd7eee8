#!/usr/bin/env python3
"""Golden values of the functions of ordered rows by pandas."""

import numpy as np
import pandas as pd
from golden import Golden

ROWS = 60
STATS = ("mean", "sum", "min", "max", "std", "var", "median", "count")


def table():
    random = np.random.default_rng(11)
    order = random.permutation(ROWS)
    values = random.normal(100.0, 30.0, ROWS)
    values[random.random(ROWS) < 0.35] = np.nan
    values[[3, 17]] = [1e12, -1e12]
    groups = random.choice(["a", "b", "c"], ROWS)
    groups[groups == "c"] = np.where(random.random((groups == "c").sum()) < 0.2, "d", "c")
    return pd.DataFrame({"t": order, "g": groups, "x": values, "at": order * 1.5 + (order % 3) * 0.4})


def answers(frame, compute, keys=()):
    """What `compute` gives of the ordered rows, of each group by itself, in the order of the table."""
    ordered = frame.sort_values("t")
    parts = [part for _, part in ordered.groupby(list(keys))] if keys else [ordered]
    return pd.concat([compute(part) for part in parts]).loc[frame.index].tolist()


def main():
    frame = table()
    golden = Golden(
        "series",
        f"pandas {pd.__version__}",
        {
            "t": ("BIGINT", frame.t.tolist()),
            "g": ("VARCHAR", frame.g.tolist()),
            "x": ("DOUBLE", [None if np.isnan(v) and i % 2 else v for i, v in enumerate(frame.x)]),
            "at": ("DOUBLE", frame["at"].tolist()),
        },
    )
    for keys, over in (((), "ORDER BY t"), (("g",), "PARTITION BY g ORDER BY t")):
        window = f"OVER ({over})"
        golden.case(f"fill_forward(x) {window} AS y", answers(frame, lambda p: p.x.ffill(), keys))
        golden.case(f"fill_backward(x) {window} AS y", answers(frame, lambda p: p.x.bfill(), keys))
        golden.case(f"fill_forward(x, limit => 1) {window} AS y", answers(frame, lambda p: p.x.ffill(limit=1), keys))
        golden.case(f"fill_backward(x, limit => 2) {window} AS y", answers(frame, lambda p: p.x.bfill(limit=2), keys))
        golden.case(f"interpolate(x) {window} AS y", answers(frame, lambda p: p.x.interpolate(), keys))
        by_place = lambda p: p.set_index("at").x.interpolate(method="index").set_axis(p.index)
        golden.case(f"interpolate(x, at => at) {window} AS y", answers(frame, by_place, keys), tolerance=1e-9)
        for n in (1, 3):
            golden.case(f"lags(x, {n}) {window}", answers(frame, lambda p: p.x.shift(n), keys))
        golden.case(f"lags(x, -2) {window}", answers(frame, lambda p: p.x.shift(-2), keys))
    for stat in STATS:
        for size, least in ((1, 0), (3, 1), (5, 2), (4, 4), (100, 1)):
            # a count needs no values to be there
            rolled = lambda p: getattr(p.x.rolling(size, min_periods=0 if stat == "count" else least), stat)()
            golden.case(
                f"rolling(x, {size}, '{stat}', min_periods => {least}) OVER (PARTITION BY g ORDER BY t) AS y",
                answers(frame, rolled, ("g",)),
                # pandas slides its sums along, and the two huge values take digits with them
                tolerance=1e-6,
            )
    golden.case("rolling(x, 3) OVER (ORDER BY t) AS y", answers(frame, lambda p: p.x.rolling(3).mean()), tolerance=1e-6)
    golden.case(
        "rolling(x, 4, 'std', min_periods => 2, ddof => 0) OVER (ORDER BY t) AS y",
        answers(frame, lambda p: p.x.rolling(4, min_periods=2).std(ddof=0)),
        tolerance=1e-6,
    )
    golden.write()


main()
