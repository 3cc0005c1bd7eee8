#!/usr/bin/env python3
"""Golden values of what is told of columns, texts and labels: mutual information by scikit-learn, similar texts by rapidfuzz,
label issues by cleanlab."""

import itertools

import cleanlab
import numpy as np
import rapidfuzz
import sklearn
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from golden import Golden
from rapidfuzz.distance import JaroWinkler
from sklearn.metrics import mutual_info_score

SKLEARN = f"scikit-learn {sklearn.__version__}"
RAPIDFUZZ = f"rapidfuzz {rapidfuzz.__version__}"
CLEANLAB = f"cleanlab {cleanlab.__version__}"
FIRST = ["Anna", "Jon", "John", "Maria", "Mary", "José", "Jose", "Björn", "Wei", "Olga"]
LAST = ["Smith", "Smyth", "Müller", "Muller", "García", "Garcia-López", "O'Neill", "Li", "Nowak", "van der Berg"]


def columns(rows, seed):
    generator = np.random.default_rng(seed)
    shade = [None if v == 0 else f"s{v}" for v in generator.integers(0, 6, rows)]
    tone = [None if v == 0 else "other" if s is None else f"t{(int(s[1]) + v // 4) % 4}" for v, s in zip(generator.integers(0, 7, rows), shade)]
    names = [f"{generator.choice(FIRST)} {generator.choice(LAST)}" for _ in range(rows)]
    for at in range(0, rows, 3):
        cut = int(generator.integers(0, len(names[at])))
        names[at] = names[at][:cut] + str(generator.choice(list("aexz -"))) + names[at][cut + 1 :]
    return {
        "shade": ("VARCHAR", shade),
        "tone": ("VARCHAR", tone),
        "even": ("BOOLEAN", [bool(v) for v in generator.random(rows) < 0.5]),
        "name": ("VARCHAR", [None if at % 17 == 0 else name for at, name in enumerate(names)]),
    }


def information(golden, table):
    expected = []
    for a, b in (("shade", "tone"), ("shade", "even"), ("tone", "even")):
        both = [(x, y) for x, y in zip(table[a][1], table[b][1]) if x is not None and y is not None]
        expected.append(mutual_info_score([x for x, _ in both], [y for _, y in both]))
    golden.sql("SELECT mutual_information FROM correlations((SELECT shade, tone, even FROM t))", expected, authority=SKLEARN)


def similar(golden, table):
    names = sorted({n for n in table["name"][1] if n is not None}, key=lambda n: n.encode())
    for threshold in (0.75, 0.9):
        pairs = [(a, b, JaroWinkler.similarity(a, b)) for a, b in itertools.combinations(names, 2)]
        pairs = [p for p in pairs if p[2] >= threshold]
        query = f"fuzzy_duplicates((SELECT name FROM t), column => name, threshold => {threshold}"
        golden.sql(
            f"SELECT value_a, value_b, similarity FROM {query}, output => 'pairs') ORDER BY value_a, value_b",
            *zip(*pairs),
            authority=RAPIDFUZZ,
        )
        parent = {n: n for n in names}

        def root(n):
            while parent[n] != n:
                n = parent[n]
            return n

        for a, b, _ in pairs:
            parent[root(b)] = root(a)
        golden.sql(
            f"SELECT count(DISTINCT cluster_id) AS n FROM {query})", [len({root(n) for n in names})], authority=RAPIDFUZZ
        )


def issues(name, rows, classes, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    scores = generator.normal(0, 1, (rows, classes))
    scores[np.arange(rows), labels] += 1.2
    given = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    if classes == 4:
        # a class that is hardly ever predicted
        given[:, 3] *= 0.2
        given /= given.sum(axis=1, keepdims=True)
    table = {"label": ("VARCHAR", [f"c{v}" for v in labels])}
    table |= {f"p{k}": ("DOUBLE", [float(v) for v in given[:, k]]) for k in range(classes)}
    golden = Golden(name, CLEANLAB, table)
    listed = ", ".join(f"p{k}" for k in range(classes))
    query = f"label_issues((SELECT * FROM t), label => label, probabilities => [{listed}]"
    golden.sql(
        f"SELECT label_quality, suggested_label FROM {query}) ORDER BY id",
        get_label_quality_scores(labels, given),
        [f"c{v}" for v in given.argmax(axis=1)],
    )
    for filter_by in ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given"):
        found = find_label_issues(labels, given, filter_by=filter_by, n_jobs=1)
        golden.sql(f"SELECT is_issue FROM {query}, filter_by => '{filter_by}') ORDER BY id", [bool(v) for v in found])
    golden.write()


if __name__ == "__main__":
    table = columns(240, 5)
    golden = Golden("doubts", SKLEARN, table)
    information(golden, table)
    similar(golden, table)
    golden.write()
    issues("doubts_two", 150, 2, 1)
    issues("doubts_four", 300, 4, 2)
