#!/usr/bin/env python3
"""Golden values of relation functions: profile, correlations and drift by pandas and scipy, undersample by imbalanced-learn."""

import math
from collections import Counter

import imblearn
import numpy as np
import pandas
import scipy
from golden import Golden, floats, present
from imblearn.under_sampling import RandomUnderSampler
from scipy import stats
from scipy.spatial.distance import jensenshannon

PANDAS = f"pandas {pandas.__version__}"
SCIPY = f"scipy {scipy.__version__}"
IMBLEARN = f"imbalanced-learn {imblearn.__version__}"
COLORS = ["red", "green", "blue", None, "violet"]


def table(rows, seed):
    """Columns of all kinds: ties, missing values, a constant; `late` parts the rows in two."""
    generator = np.random.default_rng(seed)
    late = [bool(v) for v in generator.random(rows) < 0.4]
    x = generator.normal(0, 1, rows) + np.array(late) * 0.6
    whole = generator.integers(-3, 4, rows)
    color = [COLORS[int(v)] for v in generator.integers(0, 4 + np.array(late), rows)]
    return {
        "late": ("BOOLEAN", late),
        "x": ("DOUBLE", [None if at % 11 == 2 else math.nan if at % 13 == 5 else float(v) for at, v in enumerate(x)]),
        "y": ("DOUBLE", [float(v) for v in np.exp(x) + generator.normal(0, 0.5, rows)]),
        "n": ("BIGINT", [None if at % 7 == 0 else int(v) for at, v in enumerate(whole)]),
        "f": ("REAL", [float(np.float32(v)) for v in np.round(generator.normal(1000, 3, rows), 1)]),
        "color": ("VARCHAR", color),
        "shape": ("VARCHAR", [None if at % 9 == 0 else "round" if c in ("red", "blue") and at % 3 else "flat" for at, c in enumerate(color)]),
        "k": ("INTEGER", [5] * rows),
        "nothing": ("DOUBLE", [None] * rows),
    }


def number(columns, name):
    return floats(columns[name][1])


def profiles(golden, columns):
    names = [n for n in columns if columns[n][0] != "BOOLEAN"]
    numbers = [n for n in columns if columns[n][0] != "VARCHAR"]
    query = f"profile((SELECT {', '.join(columns)} FROM t))"
    counts = {n: [v for v in columns[n][1] if v is not None and v == v] for n in names}
    golden.sql(
        f'SELECT column_name, missing, "distinct", frequency FROM {query} WHERE column_name <> \'late\' ORDER BY column_name',
        sorted(names),
        [golden.rows - len(counts[n]) for n in sorted(names)],
        [len(set(counts[n])) for n in sorted(names)],
        [max(Counter(counts[n]).values(), default=None) for n in sorted(names)],
    )
    series = {n: pandas.Series(number(columns, n)) for n in sorted(numbers)}
    for statistic, function in {
        "mean": lambda s: s.mean(),
        "std": lambda s: s.std(ddof=0),
        "q25": lambda s: s.quantile(0.25),
        "median": lambda s: s.quantile(0.5),
        "q75": lambda s: s.quantile(0.75),
    }.items():
        for name, values in series.items():
            golden.sql(f"SELECT {statistic} FROM {query} WHERE column_name = '{name}'", [function(values)])
    texts = {n: pandas.Series(columns[n][1]).dropna() for n in ("color", "shape")}
    golden.sql(
        f"SELECT min, max, most_frequent FROM {query} WHERE column_name IN ('color', 'shape') ORDER BY column_name",
        *[[function(texts[n]) for n in ("color", "shape")] for function in (min, max, lambda s: s.mode()[0])],
    )
    for name in ("x", "y", "n", "f"):
        heights, _ = np.histogram(present(list(series[name])), bins=10)
        bars = "".join("▁▂▃▄▅▆▇█"[max(math.ceil(8 * h / max(heights)), 1) - 1] for h in heights)
        if name != "f":  # bounds of bins fall on values
            golden.sql(f"SELECT histogram FROM {query} WHERE column_name = '{name}'", [bars], authority=f"numpy {np.__version__}")


def correlated(golden, columns):
    names = ["x", "y", "n", "f", "k"]
    frame = pandas.DataFrame({n: number(columns, n) for n in names})
    pearson, spearman = frame.corr(), frame.corr(method="spearman")
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    golden.sql(
        f"SELECT column_a, column_b, rows, pearson, spearman, cramers_v FROM correlations((SELECT {', '.join(names)} FROM t))"
        " ORDER BY strpos('xynfk', column_a), strpos('xynfk', column_b)",
        [a for a, _ in pairs],
        [b for _, b in pairs],
        [int((frame[a].notna() & frame[b].notna()).sum()) for a, b in pairs],
        [pearson.loc[a, b] for a, b in pairs],
        [spearman.loc[a, b] for a, b in pairs],
        [None for _ in pairs],
        authority=PANDAS,
    )
    names = ["late", "color", "shape"]
    pairs = [("late", "color"), ("late", "shape"), ("color", "shape")]
    expected = []
    for a, b in pairs:
        counts = pandas.crosstab(pandas.Series(columns[a][1]), pandas.Series(columns[b][1])).to_numpy()
        expected.append(stats.contingency.association(counts, method="cramer") if min(counts.shape) > 1 else None)
    golden.sql(
        "SELECT column_a, column_b, cramers_v FROM correlations((SELECT late, color, shape FROM t))"
        " ORDER BY column_a DESC, column_b",
        [a for a, _ in pairs],
        [b for _, b in pairs],
        expected,
        authority=SCIPY,
    )


def shares(a, b):
    return np.array(a) / sum(a), np.array(b) / sum(b)


def stability(p, q):
    p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    return float(np.sum((q - p) * np.log(q / p)))


def drifted(golden, columns):
    late = np.array(columns["late"][1])
    names = ["color", "f", "n", "shape", "x", "y"]
    measures = {"psi": [], "jensen_shannon": [], "kolmogorov_smirnov": [], "wasserstein": [], "l_infinity": []}
    for name in names:
        if columns[name][0] == "VARCHAR":
            a, b = (Counter(v for v, l in zip(columns[name][1], late) if v is not None and l == side) for side in (False, True))
            both = sorted(set(a) | set(b))
            p, q = shares([a[v] for v in both], [b[v] for v in both])
            values = [None, None, float(np.max(np.abs(p - q)))]
        else:
            values = number(columns, name)
            a, b = (values[(late == side) & ~np.isnan(values)] for side in (False, True))
            cuts = np.quantile(a, np.arange(1, 10) / 10)
            p, q = shares(*(np.bincount(np.searchsorted(cuts, v, side="right"), minlength=10) for v in (a, b)))
            values = [stats.ks_2samp(a, b).statistic, stats.wasserstein_distance(a, b), None]
        divergence = jensenshannon(p, q, base=2) ** 2
        for measure, value in zip(measures.values(), [stability(p, q), divergence, *values]):
            measure.append(value)
    listed = ", ".join(names)
    golden.sql(
        f"SELECT column_name, {', '.join(measures)}, verdict"
        f" FROM drift((SELECT {listed} FROM t WHERE NOT late), (SELECT {listed} FROM t WHERE late)) ORDER BY column_name",
        names,
        *measures.values(),
        ["drift" if v >= 0.25 else "warn" if v >= 0.1 else "ok" for v in measures["psi"]],
        tolerance=1e-11,
        authority=SCIPY,
    )


def undersampled(golden, columns):
    labels = [str(v) for v in columns["color"][1]]
    _, left = RandomUnderSampler(random_state=0).fit_resample(np.zeros((len(labels), 1)), labels)
    after = Counter(str(v) for v in left)
    golden.sql(
        "SELECT color, count(*) AS n, count(DISTINCT id) AS different FROM undersample((SELECT id, color FROM t), label => 'color', seed => 3)"
        " GROUP BY color ORDER BY color NULLS FIRST",
        [None if v == "None" else v for v in sorted(after)],
        *[[after[v] for v in sorted(after)]] * 2,
        authority=IMBLEARN,
    )


if __name__ == "__main__":
    for name, rows, seed in (("relations", 400, 7), ("relations_small", 23, 11)):
        columns = table(rows, seed)
        golden = Golden(name, PANDAS, columns)
        profiles(golden, columns)
        correlated(golden, columns)
        drifted(golden, columns)
        undersampled(golden, columns)
        golden.write()
