#!/usr/bin/env python3
"""Golden values of the comparison of real and synthetic tables: by SDMetrics, scikit-learn, numpy and XGBoost."""

import itertools
import warnings

import numpy as np
import pandas as pd
import sdmetrics
import sklearn
import xgboost
from golden import HERE, Golden
from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
from sdmetrics.single_column import (
    BoundaryAdherence,
    CategoryAdherence,
    CategoryCoverage,
    KSComplement,
    MissingValueSimilarity,
    RangeCoverage,
    TVComplement,
)
from sklearn.metrics import accuracy_score, f1_score, normalized_mutual_info_score, r2_score, roc_auc_score, root_mean_squared_error

warnings.filterwarnings("ignore")
SDMETRICS = f"SDMetrics {sdmetrics.__version__}"
SKLEARN = f"scikit-learn {sklearn.__version__}"
XGBOOST = f"XGBoost {xgboost.__version__}"
NUMBERS, TEXTS = ["x", "y", "n"], ["shade", "even"]
COLUMNS = [*NUMBERS, *TEXTS]
NAMES = "age workclass fnlwgt education education_num marital_status occupation relationship race sex capital_gain capital_loss hours_per_week native_country income".split()


def rows(count, seed, moved):
    """Rows in which columns depend on each other; `moved` says how far they are from those of 0."""
    generator = np.random.default_rng(seed)
    x = generator.normal(moved, 1 + moved, count).round(3)
    y = (0.7 * x + generator.normal(0, 0.6, count)).round(3)
    n = np.clip(np.round(y * 2 + 5), 0, 14 - 4 * moved)
    shade = np.where(x > 0.5, "light", np.where(x < -0.8, "dark", "grey")).astype(object)
    shade[generator.random(count) < 0.08] = "ärmlich" if moved else "odd"
    frame = pd.DataFrame({"x": x, "y": y, "n": n, "shade": shade, "even": (generator.random(count) < 0.4 + 0.1 * (y > 0)).astype(bool)})
    for column, share in (("x", 0.05), ("n", 0.1 - 0.05 * moved), ("shade", 0.07)):
        frame[column] = frame[column].astype(object)
        frame.loc[generator.random(count) < share, column] = None
    return frame


def select(part, columns=COLUMNS):
    return f"(SELECT {', '.join(columns)} FROM t WHERE part = '{part}')"


def query(metric, order, **options):
    options = "".join(f", {name} => {value}" for name, value in options.items())
    call = f"evaluate_synthesis({select('real')}, {select('synthetic')}{options})"
    return f"SELECT column, value FROM {call} WHERE metric = '{metric}' AND column IS NOT NULL ORDER BY {order}"


def floats(frame):
    return frame.assign(**{c: pd.to_numeric(frame[c]) for c in NUMBERS})


def by_column(golden, real, synthetic):
    for metric, authority, columns in (
        ("ks_complement", KSComplement, NUMBERS),
        ("tv_complement", TVComplement, TEXTS),
        ("range_coverage", RangeCoverage, NUMBERS),
        ("boundary_adherence", BoundaryAdherence, NUMBERS),
        ("category_coverage", CategoryCoverage, TEXTS),
        ("category_adherence", CategoryAdherence, TEXTS),
        ("missing_similarity", MissingValueSimilarity, COLUMNS),
    ):
        ordered = sorted(columns)
        # what is missing is no value
        kept = [(real[c], synthetic[c]) if metric == "missing_similarity" else (real[c].dropna(), synthetic[c].dropna()) for c in ordered]
        values = [authority.compute(a, b) for a, b in kept]
        # SDMetrics gives categories that the real table lacks a share of 1e-6 rows
        tolerance = 1e-7 if metric == "tv_complement" else 1e-12
        golden.sql(query(metric, "column"), ordered, values, authority=SDMETRICS, tolerance=tolerance)


def by_pair(golden, real, synthetic):
    correlations, contingencies = {}, {}
    for a, b in itertools.combinations(COLUMNS, 2):
        numbers = [c for c in (a, b) if c in NUMBERS]
        if len(numbers) == 2:
            correlations[f"{a}, {b}"] = CorrelationSimilarity.compute(real[[a, b]], synthetic[[a, b]])
        else:
            parts = [frame[[a, b]].assign(**{c: frame[c].fillna("(missing)") for c in (a, b) if c not in NUMBERS}) for frame in (real, synthetic)]
            contingencies[f"{a}, {b}"] = ContingencySimilarity.compute(*parts, continuous_column_names=numbers)
    for metric, values in (("correlation_similarity", correlations), ("contingency_similarity", contingencies)):
        names = sorted(values)
        golden.sql(query(metric, "column", detail="'pairs'"), names, [values[n] for n in names], authority=SDMETRICS)
    mean = np.mean([*correlations.values(), *contingencies.values()])
    golden.sql(f"SELECT value FROM evaluate_synthesis({select('real')}, {select('synthetic')}, detail => 'summary') WHERE metric = 'trend'", [mean], authority=SDMETRICS)


def information(golden, real, synthetic):
    """Tenths of the real values as bins, what is missing as one of its own."""

    def coded(frame, column):
        if column not in NUMBERS:
            return frame[column].fillna("(missing)").astype(str).to_numpy()
        values = np.sort(real[column].dropna().to_numpy())
        cuts = np.unique([values[len(values) * i // 10] for i in range(1, 10)])
        return np.where(frame[column].isna(), -1, np.digitize(frame[column], cuts[cuts > values[0]]))

    apart = total = 0
    for a, b in itertools.combinations(COLUMNS, 2):
        r, s = (normalized_mutual_info_score(coded(frame, a), coded(frame, b)) for frame in (real, synthetic))
        apart += abs(r - s) * (r + s)
        total += r + s
    golden.sql(
        f"SELECT value FROM evaluate_synthesis({select('real')}, {select('synthetic')}, metrics => [wnmis])",
        [apart / total],
        authority=SKLEARN,
        tolerance=1e-9,
    )


def distances(golden, real, synthetic, holdout):
    """All rows against all, by numpy."""
    low, high = real[NUMBERS].min(), real[NUMBERS].max()

    def nearest(a, b):
        sums = np.zeros((len(a), len(b)))
        for column in COLUMNS:
            if column in NUMBERS:
                x, y = (((f[column] - low[column]) / (high[column] - low[column])).to_numpy(float) for f in (a, b))
                apart = np.minimum(np.abs(x[:, None] - y[None, :]), 1)
                apart[np.isnan(x)[:, None] ^ np.isnan(y)[None, :]] = 1
                sums += np.nan_to_num(apart)
            else:
                x, y = (f[column].fillna("(missing)").astype(str).to_numpy() for f in (a, b))
                sums += 2.0 * (x[:, None] != y[None, :])
        return sums.min(axis=1)

    # as many rows of the real table as of the holdout: the test has the same number of both
    to_real, to_holdout = nearest(synthetic, real), nearest(synthetic, holdout)
    share = np.mean(to_real < to_holdout - 1e-6) + 0.5 * np.mean(np.abs(to_real - to_holdout) <= 1e-6)
    expected = [share, *np.quantile(to_real, [0.05, 0.5]), *np.quantile(nearest(holdout, real), [0.05, 0.5])]
    names = ["dcr_share", "distance_5", "distance_50", "distance_5_holdout", "distance_50_holdout"]
    call = f"evaluate_synthesis({select('real')}, {select('synthetic')}, holdout => {select('holdout')}, metrics => [privacy])"
    golden.sql(
        f"SELECT value FROM {call} WHERE metric IN ({', '.join(repr(n) for n in names)})",
        expected,
        authority=f"numpy {np.__version__}",
        tolerance=1e-6,
    )


def adult(file):
    path = HERE.parent / "data" / "adult" / f"adult.{file}.gz"
    frame = pd.read_csv(path, header=None, names=NAMES, skipinitialspace=True, na_values="?", comment="|")
    frame["income"] = frame["income"].str.rstrip(".")
    return frame.dropna(subset=["income"])


def boosting(golden):
    """Trees learnt from the first 8,000 rows of Adult's training file, tested on the first 8,000 of the other."""
    train, test = (adult(file).head(8000) for file in ("data", "test"))
    both = pd.concat([train, test])
    for column in both.columns[both.dtypes != np.int64]:
        both[column] = both[column].astype("category")
    table = {}
    for file in ("data", "test"):
        table[file] = (
            f"(SELECT * EXCEPT (row_id, income), rtrim(clean_text(income), '.') AS income FROM read_csv('tests/data/adult/adult.{file}.gz', header => false, "
            f"row_id => true, nulls => ['?'], on_error => 'skip', names => [{', '.join(repr(n) for n in NAMES)}]) ORDER BY row_id LIMIT 8000)"
        )

    def expected(target):
        data = both.drop(columns=[target])
        y = both[target].cat.codes.to_numpy() if both[target].dtype == "category" else both[target].to_numpy()
        kind = xgboost.XGBClassifier if both[target].dtype == "category" else xgboost.XGBRegressor
        model = kind(tree_method="hist", enable_categorical=True, n_jobs=1).fit(data[:8000], y[:8000])
        if kind is xgboost.XGBRegressor:
            told = model.predict(data[8000:])
            return {"trtr_r2": r2_score(y[8000:], told), "trtr_rmse": root_mean_squared_error(y[8000:], told)}
        chances, told = model.predict_proba(data[8000:]), model.predict(data[8000:])
        many = chances.shape[1] > 2
        return {
            "trtr_auc": roc_auc_score(y[8000:], chances, multi_class="ovr") if many else roc_auc_score(y[8000:], chances[:, 1]),
            "trtr_accuracy": accuracy_score(y[8000:], told),
            "trtr_f1": f1_score(y[8000:], told, average="macro" if many else "binary"),
        }

    for target, tolerance in (("income", 0.006), ("relationship", 0.01), ("age", 0.03)):
        values = expected(target)
        for metric, value in values.items():
            print(f"{target} {metric} {value:.4f}")
        call = f"evaluate_synthesis({table['data']}, {table['data']}, holdout => {table['test']}, target => {target}, metrics => [tstr])"
        # each value by itself: how far it may be off is a share of it
        cases = " UNION ALL ".join(f"SELECT '{m}' AS metric, {v!r} AS expected" for m, v in ((m, float(v)) for m, v in values.items()))
        golden.sql(
            f"SELECT abs(value / expected - 1) < {2 * tolerance} AS near FROM {call} AS e JOIN ({cases}) AS x USING (metric) ORDER BY metric",
            [True] * len(values),
            authority=XGBOOST,
            note="AUC, accuracy, F1, R2 and error of boosted trees, the relative difference",
        )


def main():
    real, synthetic, holdout = rows(240, 1, 0), rows(200, 2, 0.5), rows(240, 3, 0)
    together = pd.concat([real, synthetic, holdout])
    plain = lambda values: [None if v is None or v != v else v for v in values]
    table = {
        "part": ("VARCHAR", ["real"] * 240 + ["synthetic"] * 200 + ["holdout"] * 240),
        "x": ("DOUBLE", plain(together["x"])),
        "y": ("DOUBLE", plain(together["y"])),
        "n": ("BIGINT", [None if v is None else int(v) for v in plain(together["n"])]),
        "shade": ("VARCHAR", plain(together["shade"])),
        "even": ("BOOLEAN", [bool(v) for v in together["even"]]),
    }
    golden = Golden("evaluate", SDMETRICS, table)
    real, synthetic, holdout = floats(real), floats(synthetic), floats(holdout)
    by_column(golden, real, synthetic)
    by_pair(golden, real, synthetic)
    information(golden, real, synthetic)
    distances(golden, real, synthetic, holdout)
    boosting(golden)
    golden.write()


if __name__ == "__main__":
    main()
