#!/usr/bin/env python3
"""Golden values of the encode stage, from scikit-learn and numpy."""

import math

import numpy as np
import pandas as pd
import sklearn
from golden import Golden, floats, per_value, present
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder

SKLEARN = f"scikit-learn {sklearn.__version__}"
PANDAS = f"pandas {pd.__version__}, get_dummies"
NUMPY = f"numpy {np.__version__}"
WORDS = ["apple", "Banana", "", "cherry", "Äpfel", "état", "日本", "zebra", "10", "9", "an apple"]


def with_holes(generator, values, holes):
    values = list(values)
    for at in generator.choice(len(values), holes, replace=False):
        values[at] = None
    return values


def column(values):
    return np.array([[v] for v in values], dtype=object)


def one_hot(values, **options):
    """OneHotEncoder on the present rows. A missing value has no category and 0 in all columns, as in pandas' get_dummies."""
    have = present(values)
    encoder = OneHotEncoder(sparse_output=False, dtype=np.int64, **options)
    hot = iter(encoder.fit_transform(column(have)).tolist())
    width = len(encoder.get_feature_names_out())
    rows = [[0] * width if v is None or v != v else next(hot) for v in values]
    return [list(c) for c in zip(*rows)]


def ordinal(values, **options):
    """OrdinalEncoder on the present rows; the rest stays missing."""
    have = present(values)
    if not have:
        return [None] * len(values)
    codes = iter(OrdinalEncoder(dtype=np.int64, **options).fit_transform(column(have))[:, 0])
    return [None if v is None or v != v else next(codes) for v in values]


def skewed(generator, counts):
    """Words with exact counts, shuffled: no ties to break at the border of the rare."""
    return list(generator.permutation([word for word, count in counts.items() for _ in range(count)]))


def categories():
    generator = np.random.default_rng(20130301)
    counts = {"a": 40, "b": 25, "c": 14, "d": 9, "e": 5, "f": 3, "g": 2, "h": 2}
    n = sum(counts.values())
    table = {
        "w": ("VARCHAR", [WORDS[k] for k in generator.integers(0, len(WORDS), n)]),
        "wn": ("VARCHAR", with_holes(generator, [WORDS[k] for k in generator.integers(0, len(WORDS), n)], 11)),
        "r": ("VARCHAR", [str(v) for v in skewed(generator, counts)]),
        "i": ("BIGINT", [int(v) for v in generator.choice([-7, 0, 3, 10, 200], n)]),
        "x": ("DOUBLE", with_holes(generator, generator.choice([-1.5, 0.25, 1e10, 3.0], n), 9)),
        "o": ("BOOLEAN", with_holes(generator, generator.random(n) < 0.4, 6)),
        "bit": ("BOOLEAN", [bool(v) for v in generator.random(n) < 0.4]),
        "two": ("VARCHAR", [["no", "yes"][k] for k in generator.integers(0, 2, n)]),
        "c": ("VARCHAR", ["only"] * n),
        "m": ("VARCHAR", [None] * n),
    }
    x = table["x"][1]
    x[[v is not None for v in x].index(True)] = float("nan")
    columns = {name: values for name, (_, values) in table.items()}
    golden = Golden("encode_categories", SKLEARN, table)
    for name in ("w", "wn", "r", "i", "x", "o", "bit", "two", "c", "m"):
        golden.case(f"ordinal_encode({name}) OVER () AS y", ordinal(columns[name]))
    for kind in ("Dictionary(Int32, Utf8)", "Utf8View", "LargeUtf8"):
        golden.case(f"ordinal_encode(arrow_cast(wn, '{kind}')) OVER () AS y", ordinal(columns["wn"]))
    for least in (3, 6, 10, 20):
        golden.case(f"ordinal_encode(r, min_frequency => {least}) OVER () AS y", ordinal(columns["r"], min_frequency=least))
    golden.case("ordinal_encode(w, handle_unknown => 'null') OVER () AS y", ordinal(columns["w"]))

    for name in ("wn", "o", "x"):
        dummies = pd.get_dummies(pd.Series(columns[name], dtype="object" if name == "wn" else "boolean" if name == "o" else "float"))
        assert dummies.astype(int).to_numpy().T.tolist() == one_hot(columns[name])
        golden.case(f"one_hot({name}) OVER () AS y", *one_hot(columns[name]), authority=PANDAS)
    for name in ("w", "r", "i", "bit", "two", "c"):
        golden.case(f"one_hot({name}) OVER () AS y", *one_hot(columns[name]))
        golden.case(f"one_hot({name}, drop => 'if_binary') OVER () AS y", *one_hot(columns[name], drop="if_binary"))
    for name in ("w", "r", "i", "two"):
        golden.case(f"one_hot({name}, drop => 'first') OVER () AS y", *one_hot(columns[name], drop="first"))
    for kind in ("Dictionary(Int32, Utf8)", "Utf8View", "LargeUtf8"):
        golden.case(f"one_hot(arrow_cast(w, '{kind}')) OVER () AS y", *one_hot(columns["w"]))
    for least in (3, 6, 10):
        golden.case(
            f"one_hot(r, min_frequency => {least}) OVER () AS y",
            *one_hot(columns["r"], min_frequency=least),
            note="the last column holds the rare categories",
        )
    for most in (3, 5, 6):
        golden.case(
            f"one_hot(r, max_categories => {most}) OVER () AS y",
            *one_hot(columns["r"], max_categories=most),
            note="the last column holds the rare categories",
        )
    golden.case("one_hot(r, handle_unknown => 'error') OVER () AS y", *one_hot(columns["r"]))
    golden.case(
        "one_hot(two) OVER () AS two, ordinal_encode(w) OVER () AS w, one_hot(i) OVER () AS i",
        *one_hot(columns["two"]),
        ordinal(columns["w"]),
        *one_hot(columns["i"]),
        note="columns come where the call stands",
    )
    golden.write()



def discretize(values, n):
    """KBinsDiscretizer with numpy's linear quantiles; bins without width are dropped. Infinity has the outermost bin."""
    x = floats(values)
    have = x[~np.isnan(x)]
    if not len(have):
        return [None] * len(values)
    if have.min() == have.max():
        return per_value(values, lambda v: 0)
    bins = KBinsDiscretizer(n, encode="ordinal", strategy="quantile", quantile_method="linear", subsample=None)
    codes = iter(bins.fit_transform(have.reshape(-1, 1))[:, 0].astype(int))
    return [None if np.isnan(v) else next(codes) for v in x]


def buckets():
    generator = np.random.default_rng(20130302)
    n = 120
    table = {
        "a": ("DOUBLE", generator.normal(50, 12, n)),
        "b": ("DOUBLE", with_holes(generator, generator.lognormal(2, 1, n), 12)),
        # 112 values: no quantile falls on one of them, where a rounding of its position would decide the bucket
        "i": ("BIGINT", with_holes(generator, generator.integers(0, 2400, n), 8)),
        "ties": ("SMALLINT", generator.integers(0, 6, n)),
        "zeros": ("DOUBLE", np.where(generator.random(n) < 0.7, 0.0, generator.random(n))),
        "f": ("REAL", generator.normal(-7, 2, n).astype(np.float32)),
        "billion": ("DOUBLE", 1e9 + generator.random(n)),
        "c": ("DOUBLE", [0.1] * n),
        "m": ("DOUBLE", [None] * n),
        "month": ("BIGINT", with_holes(generator, generator.integers(1, 13, n), 5)),
        "hour": ("DOUBLE", generator.uniform(-5, 30, n)),
        "edge": ("DOUBLE", [None, math.inf, -math.inf, -1e-300, 0.0, 1e-300, 9.999999999999998, 10.0, 20.0, 20.000000000000004] * 12),
    }
    columns = {name: [None if v is None else v for v in values] for name, (_, values) in table.items()}
    golden = Golden("encode_buckets", SKLEARN, table)
    for name in ("a", "b", "i", "ties", "zeros", "f", "billion", "c", "m"):
        for bins in (2, 4, 10):
            golden.case(f"quantile_bucketize({name}, {bins}) OVER () AS y", discretize(columns[name], bins))
    golden.case("quantile_bucketize(a, n => 100) OVER () AS y", discretize(columns["a"], 100))

    for name, splits in [
        ("a", [30, 45.5, 60]),
        ("b", [1, 5, 10, 50]),
        ("i", [600, 1200, 1800]),
        ("ties", [0, 2, 2.5, 5]),
        ("edge", [0, 10, 20]),
        ("edge", [0]),
        ("m", [1, 2]),
    ]:
        golden.case(
            f"bucketize({name}, [{', '.join(map(str, splits))}]) AS y",
            per_value(columns[name], lambda v: int(np.digitize(float(v), splits))),
            authority=f"{NUMPY}, digitize",
        )
    golden.case(
        "bucketize(a, splits => [30, 60]) AS y",
        per_value(columns["a"], lambda v: int(np.digitize(v, [30, 60]))),
        authority=f"{NUMPY}, digitize",
    )
    for name, period in (("month", 12), ("hour", 24), ("a", 7.5)):
        angle = 2 * np.pi * floats(columns[name]) / period
        for call in (f"cyclic({name}, {period})", f"cyclic({name}, period => {period})"):
            golden.case(f"{call} AS y", np.sin(angle), np.cos(angle), authority=NUMPY)
    single = [[np.float32(v) for v in row] for row in zip(table["a"][1], table["ties"][1], table["billion"][1], table["f"][1])]
    golden.case("vectorize(a, ties, billion, f) AS y", single, authority=f"{NUMPY}, astype(float32)")
    golden.case("vectorize(c) AS y", [[np.float32(0.1)]] * n, authority=f"{NUMPY}, astype(float32)")
    golden.write()


def groups():
    generator = np.random.default_rng(20130303)
    n = 120
    keys = [[None, "a", "b", "gone"][k] for k in generator.integers(0, 4, n)]
    keys[17] = "alone"
    x = with_holes(generator, generator.normal(10, 4, n), 15)
    x = [None if k == "gone" else v for k, v in zip(keys, x)]
    x[17] = 3.0
    w = [None if k == "gone" else f"{k}{v}" for k, v in zip(keys, generator.integers(0, 5, n))]
    golden = Golden("encode_groups", SKLEARN, {"g": ("VARCHAR", keys), "x": ("DOUBLE", x), "w": ("VARCHAR", w)})

    def by(values, function):
        out = [None] * n
        for key in dict.fromkeys(keys):
            at = [r for r in range(n) if keys[r] == key]
            for r, v in zip(at, function([values[r] for r in at])):
                out[r] = v
        return out

    golden.case("ordinal_encode(w) OVER (PARTITION BY g) AS y", by(w, ordinal))
    for bins in (4, 8):
        golden.case(f"quantile_bucketize(x, {bins}) OVER (PARTITION BY g) AS y", by(x, lambda v: discretize(v, bins)))
    golden.write()


def small():
    golden = Golden("encode_empty", SKLEARN, {"x": ("DOUBLE", []), "w": ("VARCHAR", [])})
    for call in ("ordinal_encode(w) OVER ()", "quantile_bucketize(x, 4) OVER ()", "bucketize(x, [1, 2])", "vectorize(x)"):
        golden.case(f"{call} AS y", [])
    golden.case("cyclic(x, 12) AS y", [], [])
    golden.write()
    golden = Golden("encode_one", SKLEARN, {"x": ("DOUBLE", [3.5]), "w": ("VARCHAR", ["only"])})
    golden.case("ordinal_encode(w) OVER () AS y", ordinal(["only"]))
    golden.case("one_hot(w) OVER () AS y", *one_hot(["only"]))
    golden.case("quantile_bucketize(x, 4) OVER () AS y", discretize([3.5], 4))
    golden.write()


if __name__ == "__main__":
    categories()
    buckets()
    groups()
    small()
