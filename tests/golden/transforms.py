"""Golden values of fitted transforms: undone, by scikit-learn; written as plain SQL, by DuckDB.

The second needs the binary: SEEDBED=target/release/seedbed python tests/golden/transforms.py
"""

import csv
import json
import os
import subprocess
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import sklearn
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from golden import HERE, Golden

SKLEARN = f"scikit-learn {sklearn.__version__}"
DUCKDB = f"DuckDB {duckdb.__version__}"
N = 90


def column(values):
    return np.array([np.nan if v is None else v for v in values], dtype=float).reshape(-1, 1)


def back(estimator, values, given):
    estimator.fit(column(values))
    undone = estimator.inverse_transform(column(given)).ravel()
    return [None if g is None else float(u) for g, u in zip(given, undone)]


def undone():
    generator = np.random.default_rng(11)
    x = [float(v) for v in generator.normal(38, 13, N)]
    p = [float(v) for v in generator.gamma(2, 30, N)]
    for at in (3, 30, 77):
        x[at] = None
        p[at] = None
    # what a model may give: beyond what was seen, too
    z = [float(v) for v in np.concatenate([generator.normal(0, 1.5, N - 3), [-6.0, 6.0, 0.0]])]
    u = [float(v) for v in np.concatenate([generator.uniform(0, 1, N - 2), [0.0, 1.0]])]
    c = [["a", "b", "c", "d"][k] for k in generator.integers(0, 4, N)]
    k = [int(v) for v in generator.integers(0, 4, N)]
    z[5] = u[5] = None
    table = {
        "x": ("DOUBLE", x),
        "p": ("DOUBLE", p),
        "z": ("DOUBLE", z),
        "u": ("DOUBLE", u),
        "c": ("VARCHAR", c),
        "k": ("BIGINT", k),
    }
    golden = Golden("transforms_undone", SKLEARN, table)

    def case(call, name, given, expected, tolerance=1e-12):
        golden.sql(
            f"CREATE OR REPLACE TRANSFORM g AS SELECT id, {call} AS y FROM t; "
            f"SELECT {name} FROM inverse_transform('g', (SELECT id, {given} AS y FROM t)) ORDER BY id",
            expected,
            tolerance=tolerance,
        )

    for call, estimator in [
        ("standard_scale(x) OVER ()", StandardScaler()),
        ("standard_scale(x, with_mean => false) OVER ()", StandardScaler(with_mean=False)),
        ("min_max_scale(x) OVER ()", MinMaxScaler()),
        ("min_max_scale(x, lo => -2, hi => 5) OVER ()", MinMaxScaler((-2, 5))),
        ("max_abs_scale(x) OVER ()", MaxAbsScaler()),
        ("robust_scale(x) OVER ()", RobustScaler()),
        ("robust_scale(x, q_lo => 0.1, q_hi => 0.9) OVER ()", RobustScaler(quantile_range=(10, 90))),
    ]:
        case(call, "x", "z", back(estimator, x, z))
    transformer = QuantileTransformer(n_quantiles=20, subsample=None)
    case("quantile_transform(x, n_quantiles => 20) OVER ()", "x", "u", back(transformer, x, u))
    transformer = QuantileTransformer(n_quantiles=20, subsample=None, output_distribution="normal")
    case(
        "quantile_transform(x, output => 'normal', n_quantiles => 20) OVER ()",
        "x",
        "z",
        back(transformer, x, z),
        tolerance=1e-11,
    )
    # an optimiser finds the power: it agrees to some digits; the ends may be beyond all powers
    inner = [None if v is None else max(-1.4, min(1.4, v)) for v in z]
    case(
        "power_transform(p) OVER ()",
        "p",
        "CASE WHEN z < -1.4 THEN -1.4 WHEN z > 1.4 THEN 1.4 ELSE z END",
        back(PowerTransformer(), p, inner),
        tolerance=1e-6,
    )
    case(
        "power_transform(p, method => 'box-cox') OVER ()",
        "p",
        "CASE WHEN z < -1.4 THEN -1.4 WHEN z > 1.4 THEN 1.4 ELSE z END",
        back(PowerTransformer("box-cox"), p, inner),
        tolerance=1e-6,
    )
    codes = OrdinalEncoder().fit(np.array(c).reshape(-1, 1))
    texts = [str(v) for v in codes.inverse_transform(np.array(k).reshape(-1, 1)).ravel()]
    case("ordinal_encode(c) OVER ()", "c", "k", texts)
    for drop, call in [(None, "one_hot(c) OVER ()"), ("first", "one_hot(c, drop => 'first') OVER ()")]:
        encoder = OneHotEncoder(drop=drop).fit(np.array(c).reshape(-1, 1))
        texts = [str(v) for v in encoder.inverse_transform(encoder.transform(np.array(c).reshape(-1, 1))).ravel()]
        golden.sql(
            f"CREATE OR REPLACE TRANSFORM g AS SELECT id, {call} AS c FROM t; "
            "SELECT c FROM inverse_transform('g', (SELECT * FROM transform('g', (SELECT * FROM t)))) ORDER BY id",
            texts,
        )
    golden.write()


PENGUINS = {
    "Culmen Length (mm)": ("bill", "DOUBLE"),
    "Body Mass (g)": ("mass", "BIGINT"),
    "Sex": ("sex", "VARCHAR"),
    "Island": ("island", "VARCHAR"),
    "Delta 15 N (o/oo)": ("nitrogen", "DOUBLE"),
    "Species": ("species", "VARCHAR"),
}

SELECTS = {
    "scales": """standard_scale(bill) OVER () AS a, standard_scale(mass, ddof => 1) OVER () AS b,
        min_max_scale(mass) OVER () AS c, min_max_scale(bill, lo => -1, hi => 1, clip => true) OVER () AS d,
        max_abs_scale(nitrogen) OVER () AS e, robust_scale(mass) OVER () AS f, zscore(bill) OVER () AS g,
        robust_zscore(bill) OVER () AS h""",
    "distributions": """quantile_transform(bill, n_quantiles => 25) OVER () AS a,
        quantile_transform(mass, output => 'normal', n_quantiles => 25) OVER () AS b, power_transform(mass) OVER () AS c,
        power_transform(nitrogen, method => 'box-cox') OVER () AS d, log_transform(mass) AS e, signed_log(bill - 40) AS f""",
    "missing": """impute(bill) OVER () AS a, impute(mass, 'median') OVER () AS b, impute(sex, 'mode') OVER () AS c,
        impute(island, 'constant', value => 'none') OVER () AS d, missing_indicator(nitrogen) AS e, null_if(sex, ['.', 'na']) AS f,
        coalesce(mass, 0) AS g, winsorize(mass, 0.05, 0.95) OVER () AS h, clip_outliers(bill) OVER () AS i,
        is_outlier(mass, 'zscore', 1) OVER () AS j, is_outlier(bill, 'mad', 1) OVER () AS k, is_outlier(bill) OVER () AS l""",
    "categories": """one_hot(island) OVER () AS a, one_hot(sex, min_frequency => 20, handle_unknown => 'infrequent') OVER () AS b,
        ordinal_encode(sex, handle_unknown => -1) OVER () AS c, ordinal_encode(island, min_frequency => 60) OVER () AS d,
        count_encode(island) OVER () AS e, frequency_encode(sex) OVER () AS f, woe_encode(island, mass > 4200) OVER () AS g""",
    "bins": """quantile_bucketize(bill, 4) OVER () AS a, quantile_bucketize(mass, 5, 'range') OVER () AS b,
        uniform_bucketize(mass, 6) OVER () AS c, kmeans_bucketize(bill, 3, 'label') OVER () AS d,
        bucketize(mass, [3500, 4500]) AS e, get_field(cyclic(mass, 500), 'sin') AS f, get_field(cyclic(mass, 500), 'cos') AS g""",
    "groups": """standard_scale(bill) OVER (PARTITION BY island) AS a, impute(mass, 'median') OVER (PARTITION BY sex, island) AS b,
        ordinal_encode(sex, handle_unknown => 'null') OVER (PARTITION BY island) AS c""",
    "layers": """standard_scale(ln(impute(mass, 'median') OVER (PARTITION BY island))) OVER () AS a,
        min_max_scale(winsorize(impute(bill) OVER (), 0.1, 0.9) OVER ()) OVER () * 2 - 1 AS b,
        CASE WHEN sex = 'MALE' THEN zscore(mass) OVER () ELSE -1.5 END AS c, CAST(nitrogen AS BIGINT) / 7 + mass / 9 AS d,
        upper(species) || '/' || coalesce(sex, '?') AS e""",
}


def as_sql():
    binary = os.environ.get("SEEDBED")
    if not binary:
        print("SEEDBED is not set: the golden values of DuckDB are left as they are")
        return
    with open(HERE.parent / "data" / "penguins-raw.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    table = {}
    for name, (short, kind) in PENGUINS.items():
        values = [row[name] for row in rows]
        values = [None if v == "NA" else v for v in values]
        if kind == "BIGINT":
            values = [None if v is None else int(v) for v in values]
        if kind == "DOUBLE":
            values = [None if v is None else float(v) for v in values]
        table[short] = (kind, values)
    # what has no value in another way
    table["bill"][1][7] = float("nan")
    golden = Golden("transforms_as_sql", f"{DUCKDB} on SHOW TRANSFORM AS SQL", table)
    ducks = duckdb.connect()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(golden.table)
            for row in zip(*(values for _, values in golden.table.values())):
                writer.writerow(["" if v is None else v for v in row])
        types = {name: kind for name, (kind, _) in golden.table.items()}
        ducks.execute(f"CREATE TABLE t AS SELECT * FROM read_csv('{path}', columns = {types}, header = true, nullstr = '')")
        casts = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in types.items())
        for select in SELECTS.values():
            create = f"CREATE OR REPLACE TRANSFORM g AS SELECT id, {' '.join(select.split())} FROM t"
            command = (
                f"CREATE TABLE t AS SELECT {casts} FROM read_csv('{path}', nulls => ['']); {create}; SHOW TRANSFORM g AS SQL"
            )
            shown = subprocess.run([binary, "--format", "json", "-c", command], capture_output=True, text=True, check=True)
            sql = json.loads(shown.stdout.strip().splitlines()[-1])
            sql = (sql[0] if isinstance(sql, list) else sql)["sql"]
            answer = ducks.execute(f"SELECT * FROM ({sql}) ORDER BY id").fetchall()
            names = [d[0] for d in ducks.description]
            golden.sql(
                f"{create}; SELECT * FROM transform('g', (SELECT * FROM t)) ORDER BY id",
                *[list(values) for values in zip(*answer)],
                names=names,
                tolerance=1e-9,
            )
    golden.write()


if __name__ == "__main__":
    undone()
    as_sql()
