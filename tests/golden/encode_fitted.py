#!/usr/bin/env python3
"""Golden values of the encoders that count, and of stratified splits: scikit-learn, category_encoders, counting."""

import category_encoders
import numpy as np
import pandas as pd
import sklearn
from category_encoders import CountEncoder, WOEEncoder
from golden import Golden
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import MultiLabelBinarizer

SKLEARN = f"scikit-learn {sklearn.__version__}"
ENCODERS = f"category_encoders {category_encoders.__version__}"
WORDS = ["apple", "Banana", "cherry", "Äpfel", "état", "日本", "zebra", "10", "9", "an-apple-of-many-bytes"]


def counted():
    generator = np.random.default_rng(20130601)
    n = 150
    draw = generator.integers(0, 40, n)
    words = [WORDS[k] if k < len(WORDS) else f"word {k % 13}" for k in draw]
    words[-1] = "only once"
    numbers = [int(v) for v in generator.integers(-3, 4, n)]
    target = [int(v) for v in generator.integers(0, 2, n)]
    holes = [None if k % 11 == 4 else w for k, w in enumerate(words)]
    golden = Golden(
        "encode_fitted_counts",
        ENCODERS,
        {"w": ("VARCHAR", words), "n": ("BIGINT", numbers), "h": ("VARCHAR", holes), "y": ("BIGINT", target)},
    )
    for name, values in (("w", words), ("n", numbers), ("h", holes)):
        have = [k for k, v in enumerate(values) if v is not None]
        frame = pd.DataFrame({"x": pd.Series([values[k] for k in have], dtype=object)})
        y = pd.Series([target[k] for k in have])

        def spread(encoder):
            encoded = iter(encoder.fit_transform(frame, y)["x"])
            return [None if v is None else next(encoded) for v in values]

        golden.case(f"count_encode({name}) OVER () AS y", spread(CountEncoder(cols=["x"])))
        golden.case(f"frequency_encode({name}) OVER () AS y", spread(CountEncoder(cols=["x"], normalize=True)))
        golden.case(f"woe_encode({name}, y) OVER () AS y", spread(WOEEncoder(cols=["x"])))
        golden.case(
            f"woe_encode({name}, y = 1, regularization => 0.25) OVER () AS y",
            spread(WOEEncoder(cols=["x"], regularization=0.25)),
        )
    golden.write()


def texts():
    generator = np.random.default_rng(20130602)
    # word i comes with a frequency of its own, so that no two are tied
    share = np.arange(1, len(WORDS) + 1) ** 2.0
    texts = []
    for _ in range(60):
        size = int(generator.integers(0, 9))
        texts.append(" ".join(WORDS[k] for k in generator.choice(len(WORDS), size, p=share / share.sum())))
    golden = Golden("encode_fitted_texts", SKLEARN, {"s": ("VARCHAR", texts)})
    split = str.split
    tokens = "CASE WHEN s = '' THEN []::VARCHAR[] ELSE string_to_array(s, ' ') END"

    def vectors(expression, rows):
        golden.case(f"{expression} AS y", [[float(v) for v in row] for row in rows], tolerance=1e-6)

    vectors(f"multi_hot({tokens}) OVER ()", MultiLabelBinarizer().fit_transform([split(t) for t in texts]))
    for options, given in (
        ("", {}),
        (", min_df => 12", {"min_df": 12}),
        (", min_df => 0.25", {"min_df": 0.25}),
        (", max_terms => 4", {"max_features": 4}),
        (", max_terms => 5, min_df => 2", {"max_features": 5, "min_df": 2}),
    ):
        given = {"tokenizer": split, "token_pattern": None, "lowercase": False} | given
        vectors(f"bag_of_words({tokens}{options}) OVER ()", CountVectorizer(**given).fit_transform(texts).toarray())
        vectors(f"tf_idf({tokens}{options}) OVER ()", TfidfVectorizer(**given).fit_transform(texts).toarray())
    golden.write()


def stratified():
    counts = {"common": 161, "middling": 47, "rare": 5, "single": 1}
    generator = np.random.default_rng(20130603)
    labels = [str(v) for v in generator.permutation([k for k, n in counts.items() for _ in range(n)])]
    golden = Golden("encode_fitted_strata", "the definition: exact to one row a class", {"y": ("VARCHAR", labels)})
    names = sorted(counts)
    for test in (0.1, 0.2, 0.5, 0.75):
        golden.sql(
            f"SELECT y, abs(sum(CASE WHEN p = 'test' THEN 1 ELSE 0 END) - {test} * count(*)) <= 0.5 AS ok "
            f"FROM (SELECT y, stratified_split(y, id, test => {test}) OVER () AS p FROM t) GROUP BY y ORDER BY y",
            names,
            [True] * len(names),
        )
    for k in (2, 3, 5, 10):
        golden.sql(
            "SELECT y, max(n) - min(n) <= 1 AS ok FROM (SELECT l.y, f.f, sum(CASE WHEN s.y = l.y AND s.f = f.f THEN 1 ELSE 0 END) AS n "
            f"FROM (SELECT y, stratified_fold(y, id, k => {k}, seed => 3) OVER () AS f FROM t) AS s "
            f"CROSS JOIN (SELECT DISTINCT y FROM t) AS l CROSS JOIN (SELECT value AS f FROM generate_series(0, {k - 1})) AS f "
            "GROUP BY l.y, f.f) GROUP BY y ORDER BY y",
            names,
            [True] * len(names),
        )
    golden.write()


if __name__ == "__main__":
    counted()
    texts()
    stratified()
