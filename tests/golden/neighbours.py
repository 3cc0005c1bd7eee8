#!/usr/bin/env python3
"""Golden values of the functions of nearest neighbours: imbalanced-learn and scikit-learn.

What is drawn at random has no golden values. Instead: how many rows each class gets, from which rows they start, and that each
of them lies between a row and one of the neighbours that scikit-learn finds.
"""

import warnings
from collections import Counter

import imblearn
import numpy as np
import sklearn
from golden import Golden, floats
from imblearn.over_sampling import ADASYN, SMOTE, SMOTENC, BorderlineSMOTE
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks
from sklearn.impute import KNNImputer
from sklearn.neighbors import NearestNeighbors

SKLEARN = f"scikit-learn {sklearn.__version__}"
IMBLEARN = f"imbalanced-learn {imblearn.__version__}"
STRATEGIES = ["auto", "majority", "all"]


def table(rows, seed, width, shares, single):
    """Classes that overlap; `single` numbers are REAL."""
    generator = np.random.default_rng(seed)
    y = generator.choice(["common", "rare", "some"], rows, p=shares)
    kind = "REAL" if single else "DOUBLE"
    columns = {}
    for at in range(width):
        values = generator.normal(0, 1 + at, rows) + (y == "rare") * 1.5 + (y == "some") * (at % 2) * 2
        columns[f"x{at}"] = (kind, [float(np.float32(v)) if single else float(v) for v in values])
    columns["y"] = ("VARCHAR", [str(v) for v in y])
    columns["c"] = ("VARCHAR", [None if at % 17 == 3 else "pqr"[int(v)] for at, v in enumerate(generator.integers(0, 3, rows))])
    return columns, [f"x{at}" for at in range(width)]


def matrix(columns, names):
    return np.column_stack([floats(columns[name][1]) for name in names])


def edited(golden, x, y, listed):
    for strategy in STRATEGIES:
        samplers = {f"tomek_links((SELECT id, {listed}, y FROM t), label => y, strategy => '{strategy}'": TomekLinks(sampling_strategy=strategy)}
        for k in (1, 3, 7):
            for kind in ("all", "mode"):
                sampler = EditedNearestNeighbours(sampling_strategy=strategy, n_neighbors=k, kind_sel=kind)
                call = f"edited_nearest_neighbours((SELECT id, {listed}, y FROM t), label => y, k => {k}, kind => '{kind}', strategy => '{strategy}'"
                samplers[call] = sampler
        for call, sampler in samplers.items():
            labels = np.unique(y, return_inverse=True)[1]  # scipy's mode takes numbers only
            sampler.fit_resample(x, labels)
            golden.sql(
                f"SELECT id FROM {call}, columns => [{listed}]) ORDER BY id", sorted(int(i) for i in sampler.sample_indices_)
            )


def between(listed, synthetic, rows, pairs):
    """SQL for the number of synthetic rows that lie on none of the segments between a row and its neighbours."""
    points = ", ".join(f"s.{n} AS s_{n}, a.{n} AS a_{n}, b.{n} AS b_{n}" for n in listed)
    dot = " + ".join(f"(s_{n} - a_{n}) * (b_{n} - a_{n})" for n in listed)
    length = " + ".join(f"(b_{n} - a_{n}) * (b_{n} - a_{n})" for n in listed)
    off = ", ".join(f"abs(s_{n} - a_{n} - step * (b_{n} - a_{n}))" for n in listed)
    numbers = ", ".join(listed)
    return (
        f"WITH s AS (SELECT row_number() OVER () AS n, {numbers}, y FROM {synthetic} WHERE is_synthetic),"
        f" p AS (SELECT unnest({pairs[0]}) AS a, unnest({pairs[1]}) AS b),"
        f" near AS (SELECT n, min(greatest({off}, -step, step - 1)) AS off FROM ("
        f" SELECT n, ({dot}) / ({length}) AS step, * EXCEPT (n) FROM (SELECT s.n, {points} FROM s JOIN {rows} AS a ON s.y = a.y JOIN p ON p.a = a.id JOIN {rows} AS b ON b.id = p.b))"
        " GROUP BY n)"
        " SELECT count(*), count(*) FILTER (WHERE off > 1e-5) FROM near"
    )


def pairs_of(bases, within, x, k):
    """The ids of each base and its k nearest rows within some."""
    near = NearestNeighbors(n_neighbors=k + 1).fit(x[within]).kneighbors(x[bases], return_distance=False)
    a, b = [], []
    for base, found in zip(bases, near):
        others = [int(within[f]) for f in found if within[f] != base][:k]
        a += [int(base)] * len(others)
        b += others
    return a, b


def oversampled(golden, x, y, names, wanted):
    numbers = ", ".join(names)
    query = f"(SELECT {numbers}, y FROM t)"
    classes = sorted(set(y))
    samplers = {
        "smote": (SMOTE(random_state=1, k_neighbors=4), "k => 4"),
        "borderline_smote": (BorderlineSMOTE(random_state=1, k_neighbors=4, m_neighbors=6), "k => 4, m => 6"),
        "adasyn": (ADASYN(random_state=1, n_neighbors=4), "k => 4"),
    }
    for name, (sampler, given) in samplers.items():
        _, after = sampler.fit_resample(x, y)
        call = f"{name}({query}, label => y, {given}"
        counts = Counter(after)
        golden.sql(f"SELECT y, count(*) FROM {call}) GROUP BY y ORDER BY y", classes, [counts[c] for c in classes])
        _, after = sampler.__class__(**{**sampler.get_params(), "sampling_strategy": {"rare": wanted}}).fit_resample(x, y)
        made = Counter(after)["rare"]
        golden.sql(f"SELECT count(*) FROM {call}, strategy => {wanted}) WHERE y = 'rare'", [made])

    # each synthetic row lies between a row that it may start from and one of its neighbours
    everything = np.arange(len(y))
    ids = {c: np.flatnonzero(y == c) for c in classes}
    sampler = BorderlineSMOTE(random_state=1, k_neighbors=4, m_neighbors=6)
    sampler.fit_resample(x, y)
    danger = sampler.in_danger_indices
    near = NearestNeighbors(n_neighbors=5).fit(x)
    hard = {}
    for c in ("rare", "some"):
        found = near.kneighbors(x[ids[c]], return_distance=False)[:, 1:]
        share = (y[found] != c).mean(axis=1)
        made = np.rint(share / share.sum() * (Counter(y)["common"] - len(ids[c]))).astype(int)
        hard[c] = ids[c][made > 0]
    starts = {"smote": ids, "borderline_smote": danger, "adasyn": hard}
    for name, bases in starts.items():
        a, b = [], []
        for c in ("rare", "some"):
            more = pairs_of(bases[c], ids[c], x, 4)
            a, b = a + more[0], b + more[1]
        sampler, given = samplers[name]
        _, after = sampler.fit_resample(x, y)
        golden.sql(
            between(names, f"{name}({query}, label => y, {given}, seed => 3)", "t", (a, b)), [len(after) - len(y)], [0]
        )
        if name == "borderline_smote":
            a, b = [], []
            for c in ("rare", "some"):
                more = pairs_of(danger[c], everything, x, 4)
                a, b = a + more[0], b + more[1]
            call = f"{name}({query}, label => y, {given}, kind => 'borderline-2')"
            golden.sql(between(names, call, "t", (a, b)), [len(after) - len(y)], [0])


def mixed(golden, columns, x, y, names):
    """SMOTE-NC: neighbours by the distances that imbalanced-learn's encoded table has."""
    c = np.array(["none" if v is None else v for v in columns["c"][1]], dtype=object)
    data = np.column_stack([x.astype(object), c])
    sampler = SMOTENC(categorical_features=[x.shape[1]], random_state=1, k_neighbors=4)
    _, after = sampler.fit_resample(data, y)
    query = f"(SELECT {', '.join(names)}, c, y FROM t)"
    a, b = [], []
    for label, spread in sampler.median_std_.items():
        ids = np.flatnonzero(y == label)
        hot = np.column_stack([c[ids] == v for v in ("none", "p", "q", "r")]) * spread / np.sqrt(2)
        whole = np.zeros((len(y), x.shape[1] + 4))
        whole[ids] = np.column_stack([x[ids], hot])
        more = pairs_of(ids, ids, whole, 4)
        a, b = a + more[0], b + more[1]
    golden.sql(between(names, f"smote_nc({query}, label => y, k => 4, seed => 5)", "t", (a, b)), [len(after) - len(y)], [0])


def imputed(golden, columns, names):
    listed = ", ".join(names)
    for k in (1, 5, 1000):
        for weights in ("uniform", "distance"):
            imputer = KNNImputer(n_neighbors=k, weights=weights, keep_empty_features=True)
            filled = imputer.fit_transform(matrix(columns, names))
            empty = [i for i, n in enumerate(names) if all(v is None for v in columns[n][1])]
            answer = [[None] * golden.rows if at in empty else list(filled[:, at]) for at in range(len(names))]
            golden.sql(
                f"SELECT {listed} FROM impute_knn(TABLE t, columns => [{listed}], k => {k}, weights => '{weights}') ORDER BY id",
                *answer,
                tolerance=1e-12 if weights == "uniform" else 1e-9,  # scikit-learn's distances lose digits
            )


def holes(rows, seed, width):
    generator = np.random.default_rng(seed)
    columns = {}
    for at in range(width):
        gone = generator.random(rows) < 0.25
        values = generator.normal(0, 1 + at, rows)
        columns[f"x{at}"] = ("DOUBLE", [(None if i % 2 else float("nan")) if g else float(v) for i, (g, v) in enumerate(zip(gone, values))])
    # all different: of rows at the same distance scikit-learn takes any
    columns["n"] = ("BIGINT", [None if v % 5 == 0 else int(v) for v in generator.permutation(rows)])
    columns["few"] = ("DOUBLE", [float(i) if i < 3 else None for i in range(rows)])
    columns["nothing"] = ("DOUBLE", [None] * rows)
    return columns, list(columns)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name, rows, seed, width, single in (("neighbours", 300, 3, 3, False), ("neighbours_wide", 200, 5, 18, True)):
        columns, names = table(rows, seed, width, [0.6, 0.15, 0.25], single)
        x, y = matrix(columns, names), np.array(columns["y"][1])
        golden = Golden(name, IMBLEARN, columns)
        edited(golden, x, y, ", ".join(names))
        oversampled(golden, x, y, names, 90)
        mixed(golden, columns, x, y, names)
        golden.write()
    columns, names = holes(120, 9, 4)
    golden = Golden("neighbours_missing", SKLEARN, columns)
    imputed(golden, columns, names)
    golden.write()
