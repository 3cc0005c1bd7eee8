#!/usr/bin/env python3
"""Golden values of further fitted functions, from scikit-learn and scipy, and of powers from arithmetic of 50 digits."""

import warnings

import mpmath
import numpy as np
import scipy
import sklearn
from golden import Golden, floats, per_value, present
from scipy import stats
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

SKLEARN = f"scikit-learn {sklearn.__version__}"
SCIPY = f"scipy {scipy.__version__}"
NUMPY = f"numpy {np.__version__}"
MPMATH = f"mpmath {mpmath.__version__}, 50 digits"
SINGLE = 1e-6
# how near scikit-learn's search comes to the best power
SEARCHED = 1e-6

warnings.filterwarnings("ignore")
mpmath.mp.dps = 50


def with_holes(generator, values, holes):
    values = list(values)
    for at in generator.choice(len(values), holes, replace=False):
        values[at] = None
    return values


def back(values, results):
    """Results of the present values, each in its row."""
    results = iter(results)
    return [None if v is None or v != v else next(results) for v in values]


def fit(estimator, values):
    """scikit-learn on the present values of one column; a column without any stays missing."""
    have = floats(present(values)).reshape(-1, 1)
    return back(values, estimator.fit_transform(have)[:, 0]) if len(have) else [None] * len(values)


def quantile(values, **options):
    return fit(QuantileTransformer(subsample=None, **options), values)


def bins(values, n, strategy):
    have = floats(present(values))
    if strategy == "kmeans" and len(set(have)) > n:
        # With an empty bin at first, which row scikit-learn gives it hangs on a rounding.
        assert np.histogram(have, n)[0].all(), f"an empty bin of {n}"
    estimator = KBinsDiscretizer(n, encode="ordinal", strategy=strategy, subsample=None)
    return [None if v is None else int(v) for v in fit(estimator, values)]


def spline(values, n_knots, degree):
    have = floats(values).reshape(-1, 1)
    return list(SplineTransformer(n_knots, degree=degree, extrapolation="constant").fit_transform(have))


def best_power(values, method):
    """The power of greatest likelihood."""
    x = [mpmath.mpf(v) for v in present(values)]
    n = len(x)

    def power(u, p):
        return u if p == 0 else mpmath.expm1(u * p) / p

    if method == "box-cox":
        logs = [mpmath.log(v) for v in x]
        transform = lambda p: [power(u, p) for u in logs]
    else:
        logs = [mpmath.sign(v) * mpmath.log1p(abs(v)) for v in x]
        transform = lambda p: [power(u, p) if u >= 0 else -power(-u, 2 - p) for u in logs]
    total = sum(logs)

    def likelihood(p):
        y = transform(p)
        mean = sum(y) / n
        return p * total - n * mpmath.log(sum((v - mean) ** 2 for v in y) / n) / 2

    start = stats.boxcox(floats(present(values)))[1] if method == "box-cox" else stats.yeojohnson_normmax(floats(present(values)))
    best = mpmath.findroot(lambda p: mpmath.diff(likelihood, p), (start, start + 1e-4), tol=1e-40)
    y = transform(best)
    mean = sum(y) / n
    deviation = mpmath.sqrt(sum((v - mean) ** 2 for v in y) / n)
    return back(values, [float((v - mean) / deviation) for v in y]), back(values, [float(v) for v in y])


def fences(values, method, k):
    have = floats(present(values))
    if method == "iqr":
        low, high = np.quantile(have, [0.25, 0.75])
        return low - k * (high - low), high + k * (high - low)
    if method == "zscore":
        return have.mean() - k * have.std(), have.mean() + k * have.std()
    reach = k * stats.median_abs_deviation(have) / 0.6745
    return np.median(have) - reach, np.median(have) + reach


def robust(values):
    have = floats(present(values))
    return per_value(values, lambda v: 0.6745 * (v - np.median(have)) / stats.median_abs_deviation(have))


def columns():
    generator = np.random.default_rng(20130501)
    n = 100
    not_numbers = with_holes(generator, generator.normal(0, 3, n), 10)
    for at in (3, 41, 77):
        not_numbers[at] = float("nan")
    return {
        "a": ("DOUBLE", generator.normal(50, 12, n)),
        "b": ("DOUBLE", with_holes(generator, generator.lognormal(2, 1, n), 12)),
        "n": ("DOUBLE", not_numbers),
        "i": ("BIGINT", with_holes(generator, generator.integers(-40, 100, n), 9)),
        "s": ("SMALLINT", generator.integers(1, 12, n)),
        "f": ("REAL", with_holes(generator, generator.normal(-7, 2, n).astype(np.float32), 8)),
        "d": ("DECIMAL(12,2)", [f"{v:.2f}" for v in generator.uniform(-900, 900, n)]),
        "o": ("BOOLEAN", with_holes(generator, generator.random(n) < 0.3, 7)),
        "c": ("DOUBLE", [0.1] * n),
        "m": ("DOUBLE", [None] * n),
        "neg": ("DOUBLE", -generator.gamma(2, 3, n) - 0.5),
        "far": ("DOUBLE", 20 + generator.gamma(2, 30, n)),
        "two": ("DOUBLE", np.where(generator.random(n) < 0.4, generator.normal(0, 2, n), generator.normal(9, 3, n))),
    }


def scales(table):
    golden = Golden("fitted_scales", SKLEARN, table)
    of = {name: values for name, (_, values) in table.items()}
    for name, values in of.items():
        tolerance = SINGLE if name == "f" else 1e-12
        golden.case(f"max_abs_scale({name}) OVER () AS y", fit(MaxAbsScaler(), values), tolerance=tolerance)
        golden.case(f"quantile_transform({name}) OVER () AS y", quantile(values), tolerance=tolerance)
        golden.case(
            f"quantile_transform({name}, output => 'normal') OVER () AS y", quantile(values, output_distribution="normal"), tolerance=tolerance
        )
        if name not in ("m", "c"):
            golden.case(f"zscore({name}) OVER () AS y", back(values, stats.zscore(floats(present(values)))), tolerance=tolerance, authority=SCIPY)
    for name in ("a", "b", "i", "s"):
        for n in (1, 2, 10, 37):
            golden.case(f"quantile_transform({name}, n_quantiles => {n}) OVER () AS y", quantile(of[name], n_quantiles=n))
        golden.case(
            f"quantile_transform({name}, 'normal', 10) OVER () AS y", quantile(of[name], n_quantiles=10, output_distribution="normal")
        )
        golden.case(f"zscore({name}, ddof => 1) OVER () AS y", back(of[name], stats.zscore(floats(present(of[name])), ddof=1)), authority=SCIPY)
    for name in ("a", "b", "n", "i", "s"):
        golden.case(f"robust_zscore({name}) OVER () AS y", robust(of[name]), authority=SCIPY)
        for method, ks in (("iqr", (0, 0.5, 1.5)), ("zscore", (1, 3)), ("mad", (1, 3.5))):
            for k in ks:
                low, high = fences(of[name], method, k)
                golden.case(
                    f"clip_outliers({name}, method => '{method}', k => {k}) OVER () AS y",
                    per_value(of[name], lambda v: np.clip(v, low, high)),
                    authority=f"{NUMPY}, {SCIPY}",
                )
    golden.write()


def powers(table):
    golden = Golden("fitted_powers", SKLEARN, table)
    of = {name: values for name, (_, values) in table.items()}
    for name, values in of.items():
        constant = len(set(present(values))) < 2
        golden.case(f"power_transform({name}) OVER () AS y", [None if v is None else 0.0 for v in values] if constant else fit(PowerTransformer(), values), tolerance=SEARCHED)
        positive = not constant and min(floats(present(values))) > 0
        if positive:
            golden.case(f"power_transform({name}, method => 'box-cox') OVER () AS y", fit(PowerTransformer(method="box-cox"), values), tolerance=SEARCHED)
        if constant or name == "f":
            continue
        for method in ("yeo-johnson", "box-cox") if positive else ("yeo-johnson",):
            standard, raw = best_power([None if v is None else float(v) for v in values], method)
            golden.case(f"power_transform({name}, '{method}') OVER () AS y", standard, tolerance=1e-10, authority=MPMATH)
            golden.case(f"power_transform({name}, '{method}', standardize => false) OVER () AS y", raw, tolerance=1e-9, authority=MPMATH)
    golden.write()


def cuts(table):
    golden = Golden("fitted_cuts", SKLEARN, table)
    of = {name: values for name, (_, values) in table.items()}
    for name in ("a", "b", "i", "s", "two", "c"):
        for n in (2, 5, 10, 50):
            golden.case(f"uniform_bucketize({name}, {n}) OVER () AS y", bins(of[name], n, "uniform"))
    for name, ns in (("a", (2, 3, 4)), ("b", (2, 3)), ("i", (2, 3, 5, 8)), ("s", (2, 3, 4, 11, 20)), ("two", (2, 3, 5)), ("d", (4, 6)), ("c", (3,))):
        for n in ns:
            golden.case(f"kmeans_bucketize({name}, {n}) OVER () AS y", bins([None if v is None else float(v) for v in of[name]], n, "kmeans"))
    golden.write()


def splines():
    generator = np.random.default_rng(20130502)
    n = 40
    table = {
        "a": ("DOUBLE", generator.normal(50, 12, n)),
        "i": ("BIGINT", generator.integers(-4, 9, n)),
        "f": ("REAL", generator.normal(-7, 2, n).astype(np.float32)),
        "c": ("DOUBLE", [2.5] * n),
    }
    golden = Golden("fitted_splines", SKLEARN, table)
    for name, (_, values) in table.items():
        tolerance = SINGLE if name == "f" else 1e-12
        golden.case(f"spline_features({name}) OVER () AS y", spline(values, 5, 3), tolerance=tolerance)
        for knots, degree in ((2, 1), (4, 0), (3, 2), (8, 4)):
            if degree or name != "c":
                golden.case(
                    f"spline_features({name}, n_knots => {knots}, degree => {degree}) OVER () AS y", spline(values, knots, degree), tolerance=tolerance
                )
    golden.write()


def groups():
    generator = np.random.default_rng(20130503)
    n = 120
    keys = [[None, "a", "b", "gone", "same"][k] for k in generator.integers(0, 5, n)]
    keys[17] = "alone"
    x = with_holes(generator, generator.normal(10, 4, n), 15)
    x = [None if k == "gone" else 2.5 if k == "same" and v is not None else v for k, v in zip(keys, x)]
    x[17] = 6.25
    golden = Golden("fitted_groups", SKLEARN, {"g": ("VARCHAR", keys), "x": ("DOUBLE", x)})

    def by(function):
        out = [None] * n
        for key in dict.fromkeys(keys):
            at = [r for r in range(n) if keys[r] == key]
            have = [x[r] for r in at]
            results = function(have) if present(have) else have
            for r, v in zip(at, results):
                out[r] = v
        return out

    def standard(values):
        constant = len(set(present(values))) == 1
        return per_value(values, lambda v: 0.0) if constant else fit(StandardScaler(), values)

    def power(values):
        constant = len(set(present(values))) == 1
        return per_value(values, lambda v: 0.0) if constant else best_power(values, "yeo-johnson")[0]

    for call, function in [
        ("max_abs_scale(x)", lambda v: fit(MaxAbsScaler(), v)),
        ("quantile_transform(x, 'normal')", lambda v: quantile(v, output_distribution="normal")),
        ("zscore(x)", standard),
        ("uniform_bucketize(x, 4)", lambda v: bins(v, 4, "uniform")),
    ]:
        golden.case(f"{call} OVER (PARTITION BY g) AS y", by(function))
    golden.case("power_transform(x) OVER (PARTITION BY g) AS y", by(power), tolerance=1e-10, authority=MPMATH)
    golden.write()


if __name__ == "__main__":
    scales(columns())
    powers(columns())
    cuts(columns())
    splines()
    groups()
