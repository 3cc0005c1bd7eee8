#!/usr/bin/env python3
"""Golden values of vectors, target encoding, splits by time and anomalies, from scikit-learn; and of random values, by their definition."""

import numpy as np
import sklearn
import xxhash
from golden import Golden
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import Normalizer, PolynomialFeatures, TargetEncoder

SKLEARN = f"scikit-learn {sklearn.__version__}"
HASHES = f"xxhash {xxhash.VERSION} (XXH64), SplitMix64 by its definition"
WHOLE, TEXT = 2, 6
WORDS = ["apple", "Banana", "", "cherry", "Äpfel", "日本", "a fruit of many letters", "10"]


def hashed(start, value):
    """Takes a value into a key's hash."""
    if isinstance(value, int):
        return xxhash.xxh64_intdigest(value.to_bytes(8, "little", signed=True), (start + WHOLE) % 2**64)
    return xxhash.xxh64_intdigest(value.encode(), (start + TEXT) % 2**64)


def start(function):
    return xxhash.xxh64_intdigest(function.encode(), 0)


def split_mix(state):
    """The numbers of SplitMix64."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = state
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        yield mixed ^ (mixed >> 31)


def unit(number):
    return (number >> 11) * 2.0**-53


def vectors():
    generator = np.random.default_rng(20140101)
    n = 60
    columns = {
        "a": np.round(generator.normal(0, 2, n), 4),
        "b": np.round(generator.exponential(5, n), 4),
        "c": generator.integers(-3, 4, n).astype(float),
    }
    columns["c"][3] = columns["a"][3] = columns["b"][3] = 0.0
    matrix = np.column_stack(list(columns.values()))
    table = {name: ("DOUBLE", [float(v) for v in values]) for name, values in columns.items()}
    table["i"] = ("BIGINT", [int(v) for v in columns["c"]])
    golden = Golden("features_vectors", SKLEARN, table)
    for norm in ("l1", "l2", "max"):
        expected = Normalizer(norm=norm).fit_transform(matrix).tolist()
        golden.case(f"normalize([a, b, c], norm => '{norm}') AS y", expected)
        golden.case(f"normalize(vectorize(a, b, c), '{norm}') AS y", expected, tolerance=1e-6)
    for given in ({}, {"degree": 3}, {"degree": 4, "interaction_only": True}, {"degree": 2, "interaction_only": True}, {"degree": 1}):
        for bias in (False, True):
            expected = PolynomialFeatures(include_bias=bias, **given).fit_transform(matrix).tolist()
            options = "".join(f", {name} => {str(value).lower()}" for name, value in (given | {"include_bias": bias}).items())
            golden.case(f"polynomial_features(a, b, c{options}) AS y", expected, tolerance=1e-12)
            golden.case(f"polynomial_features(a, b, i{options}) AS y", expected, tolerance=1e-12)
    single = PolynomialFeatures(degree=5, include_bias=False).fit_transform(matrix[:, :1]).tolist()
    golden.case("polynomial_features(a, degree => 5) AS y", single)
    golden.write()


class ByHash:
    """A cross-validation splitter whose folds are those of the hashes of keys."""

    def __init__(self, keys, folds):
        self.folds = np.array([hashed(start("target_encode"), key) * folds >> 64 for key in keys])
        self.count = folds

    def split(self, X, y=None, groups=None):
        for fold in range(self.count):
            test = np.flatnonzero(self.folds == fold)
            if len(test):
                yield np.flatnonzero(self.folds != fold), test

    def get_n_splits(self, X=None, y=None, groups=None):
        return len(set(self.folds))


def targets():
    generator = np.random.default_rng(20140102)
    n = 160
    share = np.arange(1, len(WORDS) + 1) ** 2.0
    words = [WORDS[k] for k in generator.choice(len(WORDS), n, p=share / share.sum())]
    words[17] = "only once"
    effect = {word: 3.0 * k - 8 for k, word in enumerate(sorted(set(words)))}
    table = {
        "w": ("VARCHAR", words),
        "n": ("BIGINT", [int(v) for v in generator.integers(0, 9, n)]),
        "k": ("BIGINT", [int(v) for v in generator.permutation(10 * n)[:n]]),
        "price": ("DOUBLE", [float(v) for v in np.round(1000 + np.array([effect[w] for w in words]) + generator.normal(0, 4, n), 3)]),
        "stars": ("BIGINT", [int(v) for v in generator.integers(1, 6, n)]),
        "won": ("BOOLEAN", [bool(v) for v in generator.random(n) < 0.35]),
        "class": ("VARCHAR", [["red", "green", "blue"][k] for k in generator.integers(0, 3, n)]),
        # rows that are not learnt from, of which some have categories that no other row has
        "later": ("VARCHAR", [w if k < 130 else [w, "new", "newer"][k % 3] for k, w in enumerate(words)]),
    }
    prices = table["price"][1]
    table["known"] = ("DOUBLE", [p if k < 130 else None for k, p in enumerate(prices)])
    golden = Golden("features_targets", SKLEARN, table)
    kinds = {"price": "continuous", "stars": "continuous", "won": "binary"}
    for name in ("w", "n"):
        x = np.array(table[name][1], dtype=object).reshape(-1, 1)
        for target, kind in kinds.items():
            y = np.array(table[target][1])
            for smooth in ("auto", 0.0, 10.0):
                for folds in (2, 5):
                    encoder = TargetEncoder(target_type=kind, smooth=smooth, cv=ByHash(table["k"][1], folds))
                    smoothing = f"smoothing => {smooth!r}"
                    out_of_fold = encoder.fit_transform(x, y)[:, 0]
                    golden.case(f"target_encode({name}, {target}, k, {smoothing}, folds => {folds}) OVER () AS y", out_of_fold)
                full = TargetEncoder(target_type=kind, smooth=smooth).fit(x, y).transform(x)[:, 0]
                golden.case(f"target_encode({name}, {target}, NULL, {smoothing}) OVER () AS y", full)
    # several classes: one column each
    x, y = np.array(words, dtype=object).reshape(-1, 1), np.array(table["class"][1])
    encoder = TargetEncoder(cv=ByHash(table["k"][1], 5))
    encoded = encoder.fit_transform(x, y)
    for at, name in enumerate(encoder.classes_):
        golden.case(f"target_encode(w, class = '{name}', k) OVER () AS y", encoded[:, at])
    x = np.array(table["later"][1], dtype=object).reshape(-1, 1)
    for smooth in ("auto", 3.0):
        encoder = TargetEncoder(target_type="continuous", smooth=smooth).fit(x[:130], np.array(prices[:130]))
        golden.case(f"target_encode(later, known, NULL, smoothing => {smooth!r}) OVER () AS y", encoder.transform(x)[:, 0])
    golden.write()


def times():
    """The last rows of a sorted table; the definition, by counting."""
    generator = np.random.default_rng(20140103)
    n = 300
    days = [int(v) for v in generator.permutation(n)]
    hours = [None if k % 29 == 3 else int(v) for k, v in enumerate(generator.integers(0, 12, n))]
    golden = Golden("features_times", "the definition, by counting", {"d": ("BIGINT", days), "h": ("BIGINT", hours)})

    def first(values, wanted):
        """The first value of the part whose number of rows is nearest to the wanted; of two, the larger part."""
        starts = [(abs(sum(v >= at for v in values) - wanted), at) for at in sorted(set(values))] + [(wanted, 10**9)]
        return min(starts)[1]

    for name, values in (("d", days), ("h", hours)):
        have = [v for v in values if v is not None]
        for test, validation in ((0.2, 0.0), (0.25, 0.15), (0.05, 0.0), (0.0, 0.1), (1.0, 0.0)):
            last = first(have, len(have) * test)
            middle = first(have, len(have) * (test + validation))
            parts = [None if v is None else "test" if v >= last else "validation" if v >= middle else "train" for v in values]
            golden.case(f"time_split({name}, test => {test}, validation => {validation}) OVER () AS y", parts)
            dated = f"DATE '2020-01-01' + CAST({name} || ' days' AS INTERVAL)"
            golden.case(f"time_split({dated}, test => {test}, validation => {validation}) OVER () AS y", parts)
    golden.write()


def anomalies():
    """Trees differ by chance: what is compared is the order of the rows, and how well it finds the planted ones."""
    generator = np.random.default_rng(20140104)
    clusters = np.vstack([generator.normal((0, 0, 0), (1, 2, 0.5), (350, 3)), generator.normal((6, -4, 2), (0.7, 0.7, 1.5), (200, 3))])
    planted = generator.uniform((-8, -14, -7), (14, 10, 9), (25, 3))
    points = np.round(np.vstack([clusters, planted]), 4)
    score = np.zeros(len(points))
    for seed in range(5):
        score += -IsolationForest(n_estimators=200, random_state=seed).fit(points).score_samples(points) / 5
    is_planted = [False] * len(clusters) + [True] * len(planted)
    auc = roc_auc_score(is_planted, score)
    table = {name: ("DOUBLE", [float(v) for v in points[:, k]]) for k, name in enumerate("xyz")}
    table |= {"s": ("DOUBLE", [float(v) for v in np.round(score, 6)]), "planted": ("BOOLEAN", is_planted)}
    golden = Golden("features_anomalies", f"{SKLEARN}, IsolationForest: the mean score of five forests of 200 trees", table)
    for seed in (0, 1, 2):
        scored = f"(SELECT s, planted, isolation_forest(x, y, z, trees => 200, seed => {seed}) OVER () AS score FROM t)"
        ranked = f"(SELECT planted, rank() OVER (ORDER BY s) AS a, rank() OVER (ORDER BY score) AS b FROM {scored})"
        golden.sql(f"SELECT corr(a, b) > 0.97 AS y FROM {ranked}", [True], note="Spearman's rank correlation")
        golden.sql(f"SELECT avg(abs(score - s)) < 0.012 AND abs(avg(score - s)) < 0.01 AS y FROM {scored}", [True])
        positive, negative = len(planted), len(clusters)
        area = f"(sum(CASE WHEN planted THEN b ELSE 0 END) - {positive * (positive + 1) / 2}) / {positive * negative}.0"
        golden.sql(f"SELECT {area} > {auc - 0.01:.4f} AS y FROM {ranked}", [True], note=f"the authority's area under the ROC curve is {auc:.4f}")
    golden.write()


def draws():
    generator = np.random.default_rng(20140105)
    n = 200
    keys = [int(v) for v in generator.permutation(10 * n)[:n]]
    values = [None if k % 17 == 5 else WORDS[v] for k, v in enumerate(generator.integers(0, len(WORDS), n))]
    golden = Golden("features_draws", HASHES, {"k": ("BIGINT", keys), "w": ("VARCHAR", values)})

    def rows(function):
        return [split_mix(hashed(start(function), key)) for key in keys]

    for p in (0.0, 0.3, 0.8):
        kept = [None if unit(next(numbers)) < p else value for numbers, value in zip(rows("dropout_value"), values)]
        golden.case(f"dropout_value(w, {p}, k) AS y", kept)
    chosen = [WORDS[hashed(start("random_choice"), key) * 5 >> 64] for key in keys]
    words = ", ".join(f"'{w}'" for w in WORDS[:5])
    golden.case(f"random_choice([{words}], k) AS y", chosen)
    sums = [0.5, 0.5, 3.5, 4.5, 4.75]
    places = [unit(next(numbers)) * sums[-1] for numbers in rows("random_choice")]
    weighted = [WORDS[next(i for i, end in enumerate(sums) if place < end)] for place in places]
    golden.case(f"random_choice([{words}], k, weights => [0.5, 0, 3, 1, 0.25]) AS y", weighted)
    # the values of all rows that have one, in the order of the hash of key and value
    pool = [(hashed(hashed(start("swap_noise"), key), value), value) for key, value in zip(keys, values) if value is not None]
    pool = [value for _, value in sorted(pool)]
    for p in (0.15, 1.0):
        swapped = []
        for numbers, value in zip(rows("swap_noise"), values):
            swaps = unit(next(numbers)) < p
            other = pool[next(numbers) * len(pool) >> 64]
            swapped.append(None if value is None else other if swaps else value)
        golden.case(f"swap_noise(w, {p}, k) OVER () AS y", swapped)
    golden.write()


if __name__ == "__main__":
    vectors()
    targets()
    times()
    anomalies()
    draws()
