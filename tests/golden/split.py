#!/usr/bin/env python3
"""Golden values of the split stage: counts and shares by their definitions and by imbalanced-learn.

Which row goes where is a matter of our hash; how many go where, and how random numbers are distributed, is not.
"""

import math
from collections import Counter

import imblearn
import numpy as np
from golden import Golden
from imblearn.over_sampling import RandomOverSampler

IMBLEARN = f"imbalanced-learn {imblearn.__version__}"
ROWS = 100_000


def shares():
    """Shares and moments over 100,000 keys, each asked to be within five standard errors."""
    golden = Golden("split_shares", "the definition: a share or a moment within five standard errors", {"x": ("BIGINT", [0])})
    keys = f"generate_series(1, {ROWS}) AS s(k)"

    def within(what, expected, error):
        golden.sql(f"SELECT abs({what} - {expected!r}) < {5 * error / math.sqrt(ROWS)!r} AS y FROM {keys}", [True])

    def share(expression, expected):
        within(f"avg(CASE WHEN {expression} THEN 1.0 ELSE 0.0 END)", expected, math.sqrt(expected * (1 - expected)))

    for seed in (0, 7):
        key = f"random_key({seed}, k)"
        share(f"split({key}) = 'test'", 0.2)
        for test in (0.1, 0.5):
            share(f"split({key}, test => {test}) = 'test'", test)
        share(f"split({key}, test => 0.2, validation => 0.1) = 'validation'", 0.1)
        share(f"split({key}, test => 0.2, validation => 0.1) = 'test'", 0.2)
        share(f"split({key}, test => 0.2, validation => 0.1) = 'train'", 0.7)
        share(f"split(k, test => 0.3, seed => {seed}) = 'test'", 0.3)
        uniform = f"random_uniform(-1, 3, {key})"
        within(f"avg({uniform})", 1.0, 4 / math.sqrt(12))
        within(f"var_pop({uniform})", 16 / 12, 16 * math.sqrt(1 / 180))
        share(f"{uniform} < 0", 0.25)
        normal = f"random_normal(10, 2, {key})"
        within(f"avg({normal})", 10.0, 2.0)
        within(f"var_pop({normal})", 4.0, 4 * math.sqrt(2))
        share(f"{normal} < 8", 0.15865525393145707)
        share(f"{normal} > 13.919927969080109", 0.025)
    share("(split(random_key(1, k)) = 'test') = (split(random_key(2, k)) = 'test')", 0.2**2 + 0.8**2)
    within("avg(random_normal(0, 1, random_key(1, k)) * random_normal(0, 1, random_key(2, k)))", 0.0, 1.0)
    within("avg(random_normal(0, 1, random_key(1, k)) * random_uniform(-1, 1, random_key(1, k)))", 0.0, math.sqrt(1 / 3))
    golden.sql(f"SELECT count(DISTINCT random_key(42, k)) AS y FROM {keys}", [ROWS])
    golden.sql(
        f"SELECT count(*) AS y FROM {keys} WHERE split(random_key(3, k)) IN ('train', 'test')", [ROWS], note="no third part unasked"
    )
    golden.sql(
        f"SELECT min(random_uniform(2, 3, random_key(5, k))) >= 2 AND max(random_uniform(2, 3, random_key(5, k))) < 3 AS y FROM {keys}",
        [True],
    )
    golden.sql(
        f"SELECT count(*) AS y FROM {keys} WHERE random_normal(0, 1, random_key(9, k)) <> random_normal(0, 1, random_key(9, k))", [0]
    )
    golden.write()


def classes():
    """Balanced samples, oversampling and batches: how many rows of each class."""
    generator = np.random.default_rng(20130401)
    counts = {"common": 61, "middling": 27, "rare": 5}
    labels = [str(v) for v in generator.permutation([k for k, n in counts.items() for _ in range(n)])]
    n = len(labels)
    table = {"y": ("VARCHAR", labels), "x": ("DOUBLE", [None if at % 17 == 3 else v for at, v in enumerate(generator.normal(0, 1, n))])}
    golden = Golden("split_classes", "the definition", table)
    names = sorted(counts)

    def count(relation, *columns, **options):
        golden.sql(f"SELECT y, count(*) AS n FROM {relation} GROUP BY y ORDER BY y", names, *columns, **options)

    query = "(SELECT * FROM t)"
    count(f"balanced_sample({query}, label => 'y', n => 4, seed => 1)", [4, 4, 4])
    count(f"balanced_sample({query}, label => 'y', n => 40, replace => true, seed => 1)", [40, 40, 40])
    golden.sql(
        f"SELECT count(DISTINCT id) AS n FROM balanced_sample({query}, label => 'y', n => 5, replace => false, seed => 3)",
        [15],
        note="without replacement no row comes twice",
    )
    _, resampled = RandomOverSampler(random_state=0).fit_resample(np.zeros((n, 1)), labels)
    after = Counter(str(v) for v in resampled)
    count(f"oversample({query}, label => 'y', seed => 0)", [after[k] for k in names], authority=IMBLEARN)
    golden.sql(
        f"SELECT y, sum(CASE WHEN is_synthetic THEN 1 ELSE 0 END) AS n FROM oversample({query}, label => 'y', seed => 0) GROUP BY y ORDER BY y",
        names,
        [after[k] - counts[k] for k in names],
        authority=IMBLEARN,
    )
    golden.sql(
        f"SELECT id FROM oversample({query}, label => 'y', seed => 0) WHERE NOT is_synthetic ORDER BY id",
        list(range(n)),
        authority=IMBLEARN,
        note="all rows that were there stay",
    )
    for size in (10, 31, 93, 1000):
        sizes = [min(size, n - at) for at in range(0, n, size)]
        golden.sql(
            f"SELECT count(*) AS n FROM batches({query}, size => {size}, seed => 2) GROUP BY batch ORDER BY batch", sizes
        )
    golden.sql(
        f"SELECT count(*) AS n FROM batches({query}, size => 10, drop_last => true, seed => 2) GROUP BY batch ORDER BY batch", [10] * 9
    )
    golden.sql(f"SELECT id FROM batches({query}, size => 10, shuffle => true, seed => 2) ORDER BY id", list(range(n)))
    golden.write()


if __name__ == "__main__":
    shares()
    classes()
