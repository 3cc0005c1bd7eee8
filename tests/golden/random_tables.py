#!/usr/bin/env python3
"""Random tables, and what scikit-learn's pipelines make of their last rows after fitting on the first.

Writes random_tables.parquet; tests/random_tables.rs runs each table as a CREATE TRANSFORM and a transform(). A row of the file is
a column: of the rows that are fitted on ('fit'), of the rest ('rest'), or of what is expected of the rest ('expected': `sql` is the
expression, and one that gives several columns has them one after another in `numbers`).

Where scikit-learn is not asked as it is:
- All missing: SimpleImputer drops such a column; ours stays missing, as it does in the scalers.
- Tiny and huge numbers (1e-300, 1e300): their squares under- or overflow in scikit-learn, whose StandardScaler then takes the column
  for a constant or gives NaN. It is given the numbers times a power of two, which changes none of their digits and none of the results.
- QuantileTransformer takes as many quantiles as there are rows, those counted whose value is missing; ours as many as there are
  values, so that missing ones take no part. It is fitted on the values that are there.
- KBinsDiscretizer joins quantiles nearer than 1e-8, whatever the column's magnitude; ours only equal ones. Columns over many
  magnitudes are left out. In the first step of k-means the least and the largest value are equally far from their centres: which
  of them a cluster without values takes is a matter of rounding, and in scikit-learn of the order of the rows. Left out, too.
- PowerTransformer: columns of at least 8 values that are not constant, of ordinary magnitude; its search is only as near as it is.
- Infinite values: no scaler, transformer or discretizer of scikit-learn takes them.
"""

import math
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from golden import HERE

TABLES = 200
LIMIT = 600_000
WORDS = ["", "a", "b", "A", " ", "é", "ß", "日本", "Zürich", "straße", "e\u0301", "🙂", "a b", "it's", 'say "x"', "10", "9", "NULL", "NaN", "a category of many bytes"]

# name: (type, scale by a power of two, values)
KINDS = {
    "normal": ("DOUBLE", 0, lambda rng, n: rng.normal(rng.normal() * 10, 3, n)),
    "skewed": ("DOUBLE", 0, lambda rng, n: rng.lognormal(0, 1.5, n)),
    "far": ("DOUBLE", 0, lambda rng, n: 1e4 + rng.normal(0, 1, n)),
    "tiny": ("DOUBLE", 990, lambda rng, n: rng.normal(0, 1, n) * 1e-300),
    "huge": ("DOUBLE", -990, lambda rng, n: rng.normal(0, 1, n) * 1e300),
    "wide": ("DOUBLE", 0, lambda rng, n: rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-12, 12, n)),
    "few": ("DOUBLE", 0, lambda rng, n: rng.choice([-1.5, 0.0, 0.1, 2.0], n)),
    "constant": ("DOUBLE", 0, lambda rng, n: np.full(n, rng.choice([0.0, -7.25, 1e6]))),
    "whole": ("BIGINT", 0, lambda rng, n: rng.integers(-50, 50, n).astype(float)),
    "boolean": ("BOOLEAN", 0, lambda rng, n: rng.integers(0, 2, n).astype(float)),
    "missing": ("DOUBLE", 0, lambda rng, n: np.full(n, np.nan)),
}


class Bins(KBinsDiscretizer):
    """KBinsDiscretizer that numbers the bins of a column."""

    def __init__(self, strategy, quantile_method="linear"):
        super().__init__(n_bins=4, encode="ordinal", strategy=strategy, quantile_method=quantile_method, subsample=None)


# expression of ours, imputation before it, scikit-learn's estimator, tolerance
NUMERIC = [
    ("standard_scale({})", None, StandardScaler, 1e-9),
    ("min_max_scale({})", None, MinMaxScaler, 1e-9),
    ("max_abs_scale({})", None, MaxAbsScaler, 1e-9),
    ("robust_scale({})", None, RobustScaler, 1e-9),
    ("standard_scale({})", "mean", StandardScaler, 1e-9),
    ("min_max_scale({}, -1, 3)", "median", lambda: MinMaxScaler((-1, 3)), 1e-9),
    ("robust_scale({}, 0.1, 0.9)", "mean", lambda: RobustScaler(quantile_range=(10, 90)), 1e-9),
    ("max_abs_scale({})", "median", MaxAbsScaler, 1e-9),
    ("quantile_transform({})", "median", QuantileTransformer, 1e-9),
    ("quantile_transform({}, 'normal')", None, lambda: QuantileTransformer(output_distribution="normal"), 1e-9),
    ("quantile_transform({}, n_quantiles => 5)", None, lambda: QuantileTransformer(n_quantiles=5), 1e-9),
    ("power_transform({})", None, PowerTransformer, 1e-4),
    ("power_transform({})", "mean", PowerTransformer, 1e-4),
    ("uniform_bucketize({}, 4)", "mean", lambda: Bins("uniform"), 0.0),
    ("quantile_bucketize({}, 4)", "median", lambda: Bins("quantile"), 0.0),
    ("quantile_bucketize({}, 4, quantile_method => 'inverted_cdf')", "mean", lambda: Bins("quantile", "inverted_cdf"), 0.0),
    ("kmeans_bucketize({}, 4)", "mean", lambda: Bins("kmeans"), 0.0),
]


def numeric(rng, n):
    """A column of numbers, some of them missing."""
    kind = rng.choice(list(KINDS))
    sql, power, make = KINDS[kind]
    values = make(rng, n)
    values = values if kind in ("tiny", "huge") else np.round(values, 4) if kind != "wide" else values
    missing = rng.random(n) < rng.choice([0.0, 0.0, 0.2, 0.6])
    # some of what is missing is NaN, the rest NULL
    nan = (rng.random(n) < 0.3) & (sql == "DOUBLE")
    plain = [None if m and not x else math.nan if m or math.isnan(v) else v for v, m, x in zip(values, missing, nan)]
    floats = np.array([math.nan if v is None else v for v in plain])
    return kind, sql, power, plain, floats


def tied(values):
    """Whether k-means first fills a cluster without values with one of several that are equally far from their centres."""
    edges = np.linspace(values.min(), values.max(), 5)
    distances = np.abs(values[:, None] - ((edges[1:] + edges[:-1]) / 2)[None])
    empty = 4 - len(set(distances.argmin(axis=1)))
    far = np.sort(distances.min(axis=1))[::-1]
    return empty > 0 and bool(np.isclose(far[empty - 1], far[empty], rtol=1e-9, atol=0))


def expected(kind, power, imputed, make, fit, rest):
    """What scikit-learn gives for the rest, or None if it is not asked."""
    known = fit[~np.isnan(fit)]
    if not len(known):
        return np.full(len(rest), np.nan)
    # a constant is only subtracted, which the power of two would change
    if power and len(set(known)) == 1:
        return None
    estimator = make()
    if isinstance(estimator, PowerTransformer) and (kind in ("tiny", "huge", "wide", "far") or len(known) < 8 or len(set(known)) < 4):
        return None
    if isinstance(estimator, Bins) and estimator.strategy == "quantile" and kind == "wide":
        return None
    # a bin of a missing value is none: scikit-learn refuses them
    assert imputed or not isinstance(estimator, Bins)
    scaled = [np.ldexp(part, power) for part in (fit, rest)]
    pipeline = make_pipeline(SimpleImputer(strategy=imputed), estimator) if imputed else estimator
    if isinstance(estimator, Bins) and estimator.strategy == "kmeans":
        filled = SimpleImputer(strategy=imputed).fit_transform(scaled[0].reshape(-1, 1)).ravel()
        if len(set(filled)) < 4 or tied(filled):
            return None
    if isinstance(estimator, QuantileTransformer) and not imputed:
        scaled[0] = np.ldexp(known, power)
    pipeline.fit(scaled[0].reshape(-1, 1))
    return pipeline.transform(scaled[1].reshape(-1, 1)).ravel()


def categories(rng, n):
    words = rng.choice(WORDS, rng.integers(1, 7), replace=False)
    weights = rng.random(len(words)) ** 2 + 0.01
    values = rng.choice(words, n, p=weights / weights.sum())
    missing = rng.random(n) < rng.choice([0.0, 0.2, 1.0], p=[0.5, 0.4, 0.1])
    return [None if m else str(v) for v, m in zip(values, missing)]


def main():
    rng = np.random.default_rng(2013)
    columns = {name: [] for name in ("table", "role", "name", "type", "sql", "tolerance", "numbers", "texts")}

    def add(**row):
        for name in columns:
            columns[name].append(row.get(name))

    for table in range(TABLES):
        rest_rows = int(rng.integers(1, 21))
        n = rest_rows + int(rng.integers(2, 41))
        parts = {"fit": slice(0, n - rest_rows), "rest": slice(n - rest_rows, n)}
        for i in range(int(rng.integers(1, 4))):
            name = f"x{i}"
            kind, sql, power, plain, floats = numeric(rng, n)
            for role, part in parts.items():
                add(table=table, role=role, name=name, type=sql, numbers=plain[part])
            for at in sorted(rng.choice(len(NUMERIC), 5, replace=False)):
                expression, imputed, make, tolerance = NUMERIC[at]
                values = expected(kind, power, imputed, make, floats[parts["fit"]], floats[parts["rest"]])
                if values is None:
                    continue
                x = f"impute({name}, '{imputed}') OVER ()" if imputed else name
                add(table=table, role="expected", name=kind, sql=expression.format(x) + " OVER ()", tolerance=tolerance, numbers=list(values))
        for i in range(int(rng.integers(0, 3))):
            name = f"c{i}"
            values = categories(rng, n)
            for role, part in parts.items():
                add(table=table, role=role, name=name, type="VARCHAR", texts=values[part])
            fit, rest = (np.array(values[part], dtype=object).reshape(-1, 1) for part in parts.values())
            known = np.array([v for v in fit.ravel() if v is not None], dtype=object).reshape(-1, 1)
            if not len(known):
                continue
            # our encoders see no category in NULL: one_hot gives zeros, ordinal_encode gives NULL
            hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(known).transform(rest)
            add(table=table, role="expected", name="text", sql=f"one_hot({name}) OVER ()", tolerance=0.0, numbers=list(hot.T.ravel()))
            ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(known).transform(rest).ravel()
            ordinal = [None if v[0] is None else o for v, o in zip(rest, ordinal)]
            add(table=table, role="expected", name="text", sql=f"ordinal_encode({name}, '-1') OVER ()", tolerance=0.0, numbers=ordinal)
            imputer = SimpleImputer(strategy="most_frequent", missing_values=None)
            hot = make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore", sparse_output=False)).fit(fit).transform(rest)
            add(table=table, role="expected", name="text", sql=f"one_hot(impute({name}, 'mode') OVER ()) OVER ()", tolerance=0.0, numbers=list(hot.T.ravel()))
    types = {"table": pa.int32(), "tolerance": pa.float64(), "numbers": pa.list_(pa.float64()), "texts": pa.list_(pa.string())}
    arrays = [pa.array(values, types.get(name, pa.string()), from_pandas=False) for name, values in columns.items()]
    path = HERE / "random_tables.parquet"
    pq.write_table(pa.table(arrays, list(columns)), path, compression="zstd", compression_level=19)
    size = path.stat().st_size
    assert size < LIMIT, f"{size} bytes"
    print(path.name, size, sum(role == "expected" for role in columns["role"]), "expectations")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
