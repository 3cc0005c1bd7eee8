#!/usr/bin/env python3
"""Golden values of models that predict: logistic regression and the scores of predictions by scikit-learn."""

import numpy as np
import sklearn
from golden import Golden
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support, roc_auc_score

SKLEARN = f"scikit-learn {sklearn.__version__}"
COLORS = ["red", "green", "blue"]


def table(rows, classes, seed):
    generator = np.random.default_rng(seed)
    size = generator.normal(50, 12, rows)
    weight = generator.gamma(2.0, 3.0, rows)
    missing = generator.random(rows) < 0.15
    color = generator.choice([*COLORS, None], rows, p=[0.4, 0.3, 0.2, 0.1])
    owner = generator.random(rows) < 0.4
    score = size / 12 + 0.8 * (color == "red") - 0.6 * owner + 0.3 * weight * ~missing + generator.normal(0, 1.2, rows)
    cuts = np.quantile(score, np.arange(1, classes) / classes)
    label = np.searchsorted(cuts, score)
    return {
        "size": ("DOUBLE", [float(x) for x in size]),
        "weight": ("DOUBLE", [None if m else float(x) for x, m in zip(weight, missing)]),
        "color": ("VARCHAR", [None if c is None else str(c) for c in color]),
        "owner": ("BOOLEAN", [bool(x) for x in owner]),
        "part": ("VARCHAR", ["test" if u < 0.3 else "train" for u in generator.random(rows)]),
        "kind": ("VARCHAR", [f"k{x}" for x in label]),
    }


def features(columns, train):
    """Standardised numbers, the mean and an indicator where they are missing, and each category as a number."""
    parts = []
    for name in ("size", "weight"):
        values = np.array([np.nan if x is None else x for x in columns[name][1]])
        learnt = values[train]
        if np.isnan(learnt).any():
            parts.append(np.isnan(values).astype(float))
        scaled = (values - np.nanmean(learnt)) / np.nanstd(learnt)
        parts.append(np.where(np.isnan(scaled), 0.0, scaled))
    for category in [*COLORS, None]:
        parts.append(np.array([float(x == category) for x in columns["color"][1]]))
    for value in (False, True):
        parts.append(np.array([float(x == value) for x in columns["owner"][1]]))
    return np.column_stack(parts)


def model(name, classes, c, seed):
    columns = table(240, classes, seed)
    golden = Golden(name, SKLEARN, columns)
    train = np.array([part == "train" for part in columns["part"][1]])
    label = np.array(columns["kind"][1])
    x = features(columns, train)
    fitted = LogisticRegression(C=c, tol=1e-12, max_iter=100_000).fit(x[train], label[train])
    told = fitted.predict_proba(x[~train])
    is_, names = label[~train], [str(k) for k in fitted.classes_]
    predicted = np.array(names)[told.argmax(axis=1)]
    create = (
        f"CREATE OR REPLACE MODEL m USING logistic OPTIONS (label 'kind', c {c}) AS "
        "SELECT size, weight, color, owner, kind FROM t WHERE part = 'train'; "
    )
    listed = ", ".join(f"probabilities['{k}']" for k in names)
    golden.sql(
        f"{create} SELECT prediction, probability, {listed} FROM predict('m', (SELECT id, size, weight, color, owner FROM t "
        "WHERE part = 'test')) ORDER BY id",
        predicted,
        told.max(axis=1),
        *told.T,
        tolerance=1e-6,
    )
    evaluated = f"{create} SELECT value FROM evaluate('m', (SELECT * FROM t WHERE part = 'test'))"
    area = roc_auc_score(is_, told[:, 1]) if classes == 2 else roc_auc_score(is_, told, multi_class="ovr")
    macro = precision_recall_fscore_support(is_, predicted, average="macro")
    by_class = precision_recall_fscore_support(is_, predicted, labels=names)
    golden.sql(
        f"{evaluated} WHERE class IS NULL",
        [len(is_), accuracy_score(is_, predicted), log_loss(is_, told), area, *macro[:3]],
        tolerance=1e-6,
        note="rows, accuracy, log_loss, auc, precision, recall, f1",
    )
    for metric, values in zip(("precision", "recall", "f1", "support"), by_class):
        golden.sql(f"{evaluated} WHERE metric = '{metric}' AND class IS NOT NULL ORDER BY class", values)
    if classes > 2:
        areas = [roc_auc_score(is_ == k, told[:, i]) for i, k in enumerate(names)]
        golden.sql(f"{evaluated} WHERE metric = 'auc' AND class IS NOT NULL ORDER BY class", areas)
    golden.sql(
        f"{evaluated} WHERE metric = 'confusion' ORDER BY class, predicted",
        confusion_matrix(is_, predicted, labels=names).ravel(),
    )
    golden.write()


if __name__ == "__main__":
    model("predict_two", 2, 1.0, 1)
    model("predict_four", 4, 0.3, 2)
