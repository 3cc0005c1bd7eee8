#!/usr/bin/env python3
"""Golden values of the normalize stage, from scikit-learn and, where it loses digits, from exact arithmetic."""

import numpy as np
import sklearn
from golden import Golden, exact_mean, exact_quantile, exact_std, floats, per_value, present
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

SKLEARN = f"scikit-learn {sklearn.__version__}"
NUMPY = f"numpy {np.__version__}"
EXACT = "exact rational arithmetic, rounded once to the statistic, then in doubles"
SINGLE = 1e-6


def fit(scaler, values):
    """scikit-learn on the present values of one column; a column without any stays missing."""
    x = floats(values).reshape(-1, 1)
    if np.isnan(x).all():
        return [None] * len(values)
    scaled = scaler.fit_transform(x)[:, 0]
    if isinstance(scaler, StandardScaler) and len(set(present(values))) == 1 and scaler.with_mean:
        # scikit-learn's mean of many equal values may be off by a bit; the rule is 0.
        scaled = scaled * 0
    return scaled


def with_holes(generator, values, holes):
    values = list(values)
    for at in generator.choice(len(values), holes, replace=False):
        values[at] = None
    return values


def ordinary():
    """Ordinary columns of every numeric type."""
    generator = np.random.default_rng(20130101)
    n = 100
    not_numbers = with_holes(generator, generator.normal(0, 3, n), 10)
    for at in (3, 41, 77):
        not_numbers[at] = float("nan")
    table = {
        "a": ("DOUBLE", generator.normal(50, 12, n)),
        "b": ("DOUBLE", with_holes(generator, generator.lognormal(2, 1, n), 12)),
        "n": ("DOUBLE", not_numbers),
        "i": ("BIGINT", with_holes(generator, generator.integers(-40, 100, n), 9)),
        "s": ("SMALLINT", generator.integers(0, 12, n)),
        "f": ("REAL", with_holes(generator, generator.normal(-7, 2, n).astype(np.float32), 8)),
        "d": ("DECIMAL(12,2)", [f"{v:.2f}" for v in generator.uniform(-900, 900, n)]),
        "o": ("BOOLEAN", with_holes(generator, generator.random(n) < 0.3, 7)),
        "c": ("DOUBLE", [0.1] * n),
        "ci": ("INTEGER", with_holes(generator, [7] * n, 5)),
        "m": ("DOUBLE", [None] * n),
        "mi": ("BIGINT", [None] * n),
    }
    golden = Golden("normalize_ordinary", SKLEARN, table)
    # scikit-learn computes float32 columns in float32; we compute in doubles and round once.
    columns = {name: values for name, (_, values) in table.items()}
    for name, values in columns.items():
        tolerance = SINGLE if name == "f" else 1e-12
        for call, scaler in [
            (f"standard_scale({name})", StandardScaler()),
            (f"min_max_scale({name})", MinMaxScaler()),
            (f"robust_scale({name})", RobustScaler()),
        ]:
            golden.case(f"{call} OVER () AS y", fit(scaler, values), tolerance=tolerance)
    for name in ("a", "b", "i"):
        values = columns[name]
        for call, scaler in [
            (f"standard_scale({name}, with_mean => false)", StandardScaler(with_mean=False)),
            (f"standard_scale({name}, with_std => false)", StandardScaler(with_std=False)),
            (f"standard_scale({name}, with_mean => false, with_std => false)", StandardScaler(with_mean=False, with_std=False)),
            (f"min_max_scale({name}, lo => -1, hi => 1)", MinMaxScaler((-1, 1))),
            (f"min_max_scale({name}, -2.5, 10)", MinMaxScaler((-2.5, 10))),
            (f"min_max_scale({name}, clip => true)", MinMaxScaler(clip=True)),
            (f"robust_scale({name}, q_lo => 0.1, q_hi => 0.9)", RobustScaler(quantile_range=(10, 90))),
            (f"robust_scale({name}, 0.05, 0.95)", RobustScaler(quantile_range=(5, 95))),
            (f"robust_scale({name}, with_centering => false)", RobustScaler(with_centering=False)),
            (f"robust_scale({name}, with_scaling => false)", RobustScaler(with_scaling=False)),
        ]:
            golden.case(f"{call} OVER () AS y", fit(scaler, values))
        x = floats(values)
        golden.case(
            f"standard_scale({name}, ddof => 1) OVER () AS y",
            (x - np.nanmean(x)) / np.nanstd(x, ddof=1),
            authority=NUMPY,
        )
    for name in ("c", "ci"):
        golden.case(f"standard_scale({name}, ddof => 1) OVER () AS y", fit(StandardScaler(), columns[name]))
        golden.case(f"min_max_scale({name}, lo => 2, hi => 3) OVER () AS y", fit(MinMaxScaler((2, 3)), columns[name]))
    golden.case(
        "standard_scale(a) OVER () AS a, min_max_scale(b) OVER () AS b, robust_scale(i) OVER () AS i",
        fit(StandardScaler(), columns["a"]),
        fit(MinMaxScaler(), columns["b"]),
        fit(RobustScaler(), columns["i"]),
        note="three fits of one query",
    )
    golden.write()


def standard(values, ddof=0):
    mean, std = exact_mean(values), exact_std(values, ddof)
    return per_value(values, lambda v: (v - mean) / std if std else 0.0)


def robust(values):
    middle = exact_quantile(values, 0.5)
    spread = exact_quantile(values, 0.75) - exact_quantile(values, 0.25)
    return per_value(values, lambda v: (v - middle) / (spread or 1.0))


def min_max(values, lo=0.0, hi=1.0):
    least, most = min(present(values)), max(present(values))
    return per_value(values, lambda v: (v - least) / (most - least) * (hi - lo) + lo)


def hard():
    """Columns on which naive sums lose their digits. 256 rows: see README.md."""
    generator = np.random.default_rng(20130102)
    n = 256
    cancel = np.concatenate([generator.normal(0, 1, n // 2) * 1e16, np.zeros(n // 2)])
    cancel[n // 2 :] = -cancel[: n // 2] + generator.integers(-64, 64, n // 2)
    columns = {
        "billion": 1e9 + generator.random(n),
        "quadrillion": 1e15 + generator.integers(0, 1000, n),
        "negative": -1e12 - generator.normal(0, 0.5, n),
        "tiny": 1e-150 * generator.normal(3, 1, n),
        "vanishing": 1e-300 * generator.normal(3, 1, n),
        "magnitudes": generator.normal(0, 1, n) * 10.0 ** generator.integers(-10, 10, n),
        "cancelling": generator.permutation(cancel),
        "one_off": np.array([1e8] * (n - 1) + [1e8 + 1e-6]),
    }
    columns = {name: [float(v) for v in values] for name, values in columns.items()}
    golden = Golden("normalize_hard_sums", EXACT, {name: ("DOUBLE", values) for name, values in columns.items()})
    for name, values in columns.items():
        if name != "one_off":
            golden.case(f"standard_scale({name}) OVER () AS y", standard(values))
        golden.case(f"min_max_scale({name}) OVER () AS y", min_max(values))
    mean = exact_mean(columns["one_off"])
    golden.case(
        "standard_scale(one_off) OVER () AS y",
        [v - mean for v in columns["one_off"]],
        authority=SKLEARN,
        note="scikit-learn's rule: a spread within the rounding of the mean is none, so it is only centred",
    )
    golden.case("standard_scale(billion, ddof => 1) OVER () AS y", standard(columns["billion"], 1))
    golden.case("standard_scale(quadrillion, ddof => 1) OVER () AS y", standard(columns["quadrillion"], 1))
    golden.write()

    n = 257
    columns = {
        "billion": 1e9 + generator.random(n),
        "quadrillion": 1e15 + generator.integers(0, 1000, n),
        "vanishing": 1e-300 * generator.normal(3, 1, n),
        "huge": 1e300 * generator.normal(3, 1, n),
        "magnitudes": generator.normal(0, 1, n) * 10.0 ** generator.integers(-10, 10, n),
        "ties": generator.integers(0, 4, n),
        # more than three quarters alike: no spread, so only centred
        "mostly": np.where(generator.random(n) < 0.9, 5.0, generator.normal(0, 100, n)),
    }
    columns = {name: [float(v) for v in values] for name, values in columns.items()}
    golden = Golden("normalize_hard_quantiles", EXACT, {name: ("DOUBLE", values) for name, values in columns.items()})
    for name, values in columns.items():
        golden.case(f"robust_scale({name}) OVER () AS y", robust(values))
        golden.case(f"min_max_scale({name}, lo => -1, hi => 1) OVER () AS y", min_max(values, -1.0, 1.0))
    golden.case("robust_scale(huge, with_scaling => false) OVER () AS y", per_value(columns["huge"], lambda v: v - exact_quantile(columns["huge"], 0.5)))
    golden.write()


def small():
    """No row, one row, two rows."""
    calls = [("standard_scale", StandardScaler), ("min_max_scale", MinMaxScaler), ("robust_scale", RobustScaler)]
    golden = Golden("normalize_empty", SKLEARN, {"x": ("DOUBLE", []), "i": ("BIGINT", [])})
    for call, _ in calls:
        golden.case(f"{call}(x) OVER () AS y", [])
        golden.case(f"{call}(i) OVER () AS y", [])
    golden.write()
    for name, x, i in [("one", [42.5], [3]), ("two", [1.0, 4.0], [None, -3])]:
        golden = Golden(f"normalize_{name}", SKLEARN, {"x": ("DOUBLE", x), "i": ("BIGINT", i)})
        for call, scaler in calls:
            golden.case(f"{call}(x) OVER () AS y", fit(scaler(), x))
            golden.case(f"{call}(i) OVER () AS y", fit(scaler(), i))
        golden.write()


def groups():
    """A fit for each group; NULL keys are a group of their own."""
    generator = np.random.default_rng(20130103)
    n = 120
    keys = [[None, "", "a", "b", "ä", "gone", "same"][k] for k in generator.integers(0, 7, n)]
    keys[17] = "alone"
    x = with_holes(generator, generator.normal(10, 4, n), 15)
    x[60] = float("nan")
    x = [None if k == "gone" else 2.5 if k == "same" and v is not None else v for k, v in zip(keys, x)]
    x[17] = 6.25
    j = with_holes(generator, generator.integers(0, 3, n), 20)
    table = {"g": ("VARCHAR", keys), "j": ("INTEGER", j), "x": ("DOUBLE", x), "i": ("BIGINT", generator.integers(-50, 50, n))}
    golden = Golden("normalize_groups", SKLEARN, table)

    def by(columns, scaler, name):
        rows = list(zip(*(table[c][1] for c in columns)))
        values = table[name][1]
        out = [None] * n
        for key in dict.fromkeys(rows):
            at = [r for r in range(n) if rows[r] == key]
            for r, v in zip(at, fit(scaler(), [values[r] for r in at])):
                out[r] = v
        return out

    for call, scaler in [("standard_scale", StandardScaler), ("min_max_scale", MinMaxScaler), ("robust_scale", RobustScaler)]:
        for columns in (["g"], ["j"], ["g", "j"]):
            for name in ("x", "i"):
                golden.case(f"{call}({name}) OVER (PARTITION BY {', '.join(columns)}) AS y", by(columns, scaler, name))
    golden.case(
        "standard_scale(x) OVER (PARTITION BY g) AS a, standard_scale(x) OVER (PARTITION BY j) AS b, standard_scale(x) OVER () AS c",
        by(["g"], StandardScaler, "x"),
        by(["j"], StandardScaler, "x"),
        fit(StandardScaler(), x),
        note="three groupings of one query",
    )
    golden.write()


if __name__ == "__main__":
    ordinary()
    hard()
    small()
    groups()
