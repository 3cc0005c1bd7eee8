#!/usr/bin/env python3
"""Golden values of the clean stage, from scikit-learn, pandas, numpy and the standard library."""

import datetime
import sys
import unicodedata

import numpy as np
import pandas as pd
import sklearn
from golden import Golden, exact_mean, exact_quantile, floats, per_value, present
from sklearn.impute import SimpleImputer

SKLEARN = f"scikit-learn {sklearn.__version__}"
NUMPY = f"numpy {np.__version__}"
PANDAS = f"pandas {pd.__version__}"
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}'s standard library, unicodedata {unicodedata.unidata_version}"
SINGLE = 1e-6


def with_holes(generator, values, holes):
    values = list(values)
    for at in generator.choice(len(values), holes, replace=False):
        values[at] = None
    return values


def impute(values, strategy, constant=None):
    """SimpleImputer, with a column's own minimum and maximum and pandas' fillna for what it does not have."""
    have = present(values)
    if strategy in ("constant", "zero"):
        fill = 0 if strategy == "zero" else constant
    elif not have:
        return [None] * len(values)
    elif strategy in ("min", "max"):
        fill = min(have) if strategy == "min" else max(have)
    elif strategy == "mode" and isinstance(have[0], (str, bool, np.bool_)):
        column = np.array([[v] for v in values], dtype=object)
        return list(SimpleImputer(missing_values=None, strategy="most_frequent").fit_transform(column)[:, 0])
    else:
        name = {"mode": "most_frequent"}.get(strategy, strategy)
        return list(SimpleImputer(strategy=name).fit_transform(floats(values).reshape(-1, 1))[:, 0])
    return [fill if v is None or v != v else v for v in values]


def winsorize(values, lo, hi):
    x = floats(values)
    if np.isnan(x).all():
        return [None] * len(values)
    low, high = np.quantile(x[~np.isnan(x)], [lo, hi])
    return np.clip(x, low, high)


def is_outlier(values, method, k):
    """What each method's definition says; a column without spread has no outliers."""
    x = floats(values)
    if np.isnan(x).all():
        return [None] * len(values)
    if method == "zscore":
        spread = np.nanstd(x)
        out = np.abs(x - np.nanmean(x)) > k * spread if spread > 0 else x != x
    elif method == "iqr":
        q1, q3 = np.nanquantile(x, [0.25, 0.75])
        out = (x < q1 - k * (q3 - q1)) | (x > q3 + k * (q3 - q1))
    else:
        distance = np.abs(x - np.nanmedian(x))
        mad = np.nanmedian(distance)
        out = 0.6745 * distance / mad > k if mad > 0 else x != x
    return [None if np.isnan(v) else bool(o) for v, o in zip(x, out)]


def ordinary():
    generator = np.random.default_rng(20130201)
    n = 101
    not_numbers = with_holes(generator, generator.normal(0, 3, n), 10)
    for at in (3, 41, 77):
        not_numbers[at] = float("nan")
    outliers = generator.normal(50, 5, n)
    outliers[[5, 50, 95]] = [500.0, -300.0, 90.0]
    words = ["", "Private", "Self-emp", "federal", "État", "état", "日本", "Ωmega"]
    table = {
        "a": ("DOUBLE", with_holes(generator, generator.lognormal(2, 1, n), 12)),
        "n": ("DOUBLE", not_numbers),
        "x": ("DOUBLE", with_holes(generator, outliers, 6)),
        "i": ("BIGINT", with_holes(generator, generator.integers(-20, 20, n), 11)),
        "s": ("SMALLINT", with_holes(generator, generator.integers(0, 5, n), 6)),
        "f": ("REAL", with_holes(generator, generator.normal(-7, 2, n).astype(np.float32), 8)),
        "o": ("BOOLEAN", with_holes(generator, generator.random(n) < 0.3, 7)),
        "w": ("VARCHAR", with_holes(generator, [words[k] for k in generator.integers(0, len(words), n)], 9)),
        "c": ("DOUBLE", with_holes(generator, [0.1] * n, 4)),
        "m": ("DOUBLE", [None] * n),
        "mw": ("VARCHAR", [None] * n),
    }
    golden = Golden("clean_fitted", SKLEARN, table)
    columns = {name: values for name, (_, values) in table.items()}
    for name in ("a", "n", "x", "i", "s", "f", "c", "m"):
        for strategy in ("mean", "median", "mode", "min", "max", "zero"):
            golden.case(
                f"impute({name}, '{strategy}') OVER () AS y",
                impute(columns[name], strategy),
                tolerance=SINGLE if name == "f" else 1e-12,
                authority=f"{PANDAS}, fillna" if strategy in ("min", "max", "zero") else None,
            )
    for name in ("o", "w", "mw"):
        golden.case(f"impute({name}, 'mode') OVER () AS y", impute(columns[name], "mode"))
    for kind in ("Dictionary(Int32, Utf8)", "Utf8View", "LargeUtf8"):
        golden.case(f"impute(arrow_cast(w, '{kind}'), 'mode') OVER () AS y", impute(columns["w"], "mode"))
    golden.case("impute(i, 'constant', 7) OVER () AS y", impute(columns["i"], "constant", 7))
    golden.case("impute(a, 'constant', value => -1.5) OVER () AS y", impute(columns["a"], "constant", -1.5))
    golden.case("impute(w, 'constant', 'unknown') OVER () AS y", impute(columns["w"], "constant", "unknown"))
    golden.case("impute(m, 'constant', 2) OVER () AS y", impute(columns["m"], "constant", 2.0))
    golden.case("impute(mw, strategy => 'constant', value => '') OVER () AS y", impute(columns["mw"], "constant", ""))
    for name in ("a", "n", "x", "i", "c", "m"):
        for lo, hi in ((0.01, 0.99), (0.05, 0.9), (0, 1), (0.25, 0.75)):
            golden.case(f"winsorize({name}, {lo}, {hi}) OVER () AS y", winsorize(columns[name], lo, hi), authority=NUMPY)
    golden.case("winsorize(f, 0.05, 0.95) OVER () AS y", winsorize(columns["f"], 0.05, 0.95), authority=NUMPY, tolerance=SINGLE)
    golden.case("winsorize(a, lo => 0.1, hi => 0.8) OVER () AS y", winsorize(columns["a"], 0.1, 0.8), authority=NUMPY)
    for name in ("a", "n", "x", "i", "c", "m"):
        for method, k, other in (("zscore", 3, 1), ("iqr", 1.5, 0.5), ("mad", 3.5, 2)):
            golden.case(f"is_outlier({name}, '{method}') OVER () AS y", is_outlier(columns[name], method, k), authority=NUMPY)
            golden.case(
                f"is_outlier({name}, '{method}', k => {other}) OVER () AS y",
                is_outlier(columns[name], method, other),
                authority=NUMPY,
            )
    for name in ("a", "i", "o", "w", "m"):
        golden.case(f"missing_indicator({name}) AS y", [int(v is None) for v in columns[name]], authority=PANDAS)
    golden.write()


def hard():
    """Columns on which naive sums lose their digits, and infinities where the result is defined."""
    generator = np.random.default_rng(20130202)
    n = 256
    holes = generator.choice(n, 16, replace=False)

    def column(values):
        return [None if at in set(holes) else float(v) for at, v in enumerate(values)]

    infinite = generator.normal(0, 1, n)
    infinite[[10, 20]] = np.inf, -np.inf
    table = {
        "billion": ("DOUBLE", column(1e9 + generator.random(n))),
        "quadrillion": ("DOUBLE", column(1e15 + generator.integers(0, 1000, n))),
        "vanishing": ("DOUBLE", column(1e-300 * generator.normal(3, 1, n))),
        "huge": ("DOUBLE", column(1e300 * generator.normal(3, 1, n))),
        "magnitudes": ("DOUBLE", column(generator.normal(0, 1, n) * 10.0 ** generator.integers(-10, 10, n))),
        "infinite": ("DOUBLE", [None if at in (30, 31) else float(v) for at, v in enumerate(infinite)]),
    }
    golden = Golden("clean_hard", "exact rational arithmetic, rounded once", table)
    for name, (_, values) in table.items():
        if name != "infinite":
            mean = exact_mean(values)
            golden.case(f"impute({name}, 'mean') OVER () AS y", [mean if v is None else v for v in values])
            middle = exact_quantile(values, 0.5)
            lo, hi = exact_quantile(values, 0.01), exact_quantile(values, 0.99)
            golden.case(f"winsorize({name}, 0.01, 0.99) OVER () AS y", per_value(values, lambda v: min(max(v, lo), hi)))
        else:
            middle = float(np.nanmedian(floats(values)))
            golden.case(f"winsorize({name}, 0.01, 0.99) OVER () AS y", winsorize(values, 0.01, 0.99), authority=NUMPY)
            for method, k in (("iqr", 1.5), ("mad", 3.5)):
                golden.case(f"is_outlier({name}, '{method}') OVER () AS y", is_outlier(values, method, k), authority=NUMPY)
        golden.case(f"impute({name}, 'median') OVER () AS y", [middle if v is None else v for v in values])
    golden.write()


def small():
    calls = ["impute({}, 'median')", "impute({}, 'mode')", "winsorize({}, 0.01, 0.99)", "is_outlier({}, 'zscore')"]
    golden = Golden("clean_empty", SKLEARN, {"x": ("DOUBLE", []), "i": ("BIGINT", []), "w": ("VARCHAR", [])})
    for call in calls:
        golden.case(f"{call.format('x')} OVER () AS y", [])
        golden.case(f"{call.format('i')} OVER () AS y", [])
    golden.case("impute(w, 'mode') OVER () AS y", [])
    golden.write()
    golden = Golden("clean_one", SKLEARN, {"x": ("DOUBLE", [42.5]), "i": ("BIGINT", [None])})
    for call in calls[:3]:
        golden.case(f"{call.format('x')} OVER () AS y", [42.5])
        golden.case(f"{call.format('i')} OVER () AS y", [None])
    for method in ("zscore", "iqr", "mad"):
        golden.case(f"is_outlier(x, '{method}') OVER () AS y", [False], authority=NUMPY)
    golden.write()


def groups():
    """A fit for each group; NULL keys are a group of their own."""
    generator = np.random.default_rng(20130203)
    n = 140
    keys = [[None, "", "a", "b", "ä", "gone"][k] for k in generator.integers(0, 6, n)]
    keys[17] = "alone"
    x = with_holes(generator, generator.normal(10, 4, n), 25)
    x[60] = float("nan")
    x = [None if k == "gone" else v for k, v in zip(keys, x)]
    w = with_holes(generator, [["red", "green", "blue"][k] for k in generator.integers(0, 3, n)], 20)
    w = [None if k == "gone" else v for k, v in zip(keys, w)]
    j = with_holes(generator, generator.integers(0, 3, n), 20)
    table = {
        "g": ("VARCHAR", keys),
        "j": ("INTEGER", j),
        "x": ("DOUBLE", x),
        "i": ("BIGINT", with_holes(generator, generator.integers(-50, 50, n), 20)),
        "w": ("VARCHAR", w),
    }
    golden = Golden("clean_groups", f"{PANDAS}, groupby(dropna=False).transform", table)
    # keys as text: pandas would make floats of integers beside NULL
    frame = pd.DataFrame({"g": [repr(v) for v in keys], "j": [repr(v) for v in j], "x": floats(x), "i": floats(table["i"][1])})
    for columns in (["g"], ["j"], ["g", "j"]):
        over = f"OVER (PARTITION BY {', '.join(columns)}) AS y"
        for name in ("x", "i"):
            grouped = frame.groupby(columns)[name]
            for strategy in ("mean", "median", "min", "max"):
                golden.case(f"impute({name}, '{strategy}') {over}", frame[name].fillna(grouped.transform(strategy)))
            golden.case(
                f"winsorize({name}, 0.1, 0.9) {over}",
                grouped.transform(lambda v: v.clip(v.quantile(0.1), v.quantile(0.9))),
            )
            golden.case(
                f"is_outlier({name}, 'iqr', k => 0.5) {over}",
                by_group(frame, columns, name, lambda v: is_outlier(v, "iqr", 0.5)),
                authority=NUMPY,
            )
        rows = list(zip(*(table[c][1] for c in columns)))
        golden.case(f"impute(w, 'mode') {over}", modes(rows, w))
    golden.write()


def by_group(frame, columns, name, function):
    out = [None] * len(frame)
    for at in frame.groupby(columns).indices.values():
        for row, value in zip(at, function(list(frame[name].iloc[at]))):
            out[row] = value
    return out


def modes(rows, values):
    out = list(values)
    for key in dict.fromkeys(rows):
        at = [r for r, row in enumerate(rows) if row == key]
        for row, value in zip(at, impute([values[r] for r in at], "mode")):
            out[row] = value
    return out


def text():
    """Functions of one text."""
    texts = [
        "  plain  ", "two\t\twords", "line\r\nbreak", "\u00a0no-break\u00a0space\u00a0", "", "   ", None,
        "bell\u0007 and delete\u007f", "one\u0001two", "ＦＵＬＬ　ｗｉｄｔｈ", "ﬁne ﬂow", "①②③", "½ cup", "㎏ and ㎡",
        "e\u0301te\u0301", "été", "\u1112\u1161\u11ab\u1100\u1173\u11af", "A\u030angstro\u0308m", "Å", "x²", "™", "ℌ", "Ⅷ",
        "日本語", "emoji 🙂 stays", "\u2003em space\u2003", "a\u0085b", "ｶﾞ", "Straße", "ΑΒΓ", "q\u0323\u0307", "q\u0307\u0323", "İ", "…",
    ]  # fmt: skip

    def clean(value):
        value = unicodedata.normalize("NFKC", value)
        value = "".join(c for c in value if unicodedata.category(c) != "Cc" or c.isspace())
        return " ".join(value.split())

    golden = Golden("clean_text", PYTHON, {"w": ("VARCHAR", texts)})
    cleaned = per_value(texts, clean)
    golden.case("clean_text(w) AS y", cleaned)
    for kind in ("Utf8View", "LargeUtf8", "Dictionary(Int32, Utf8)"):
        golden.case(f"clean_text(arrow_cast(w, '{kind}')) AS y", cleaned)
    golden.case("clean_text(clean_text(w)) AS y", cleaned, note="cleaning is idempotent")
    golden.write()

    texts = [
        "?", " ? ", "NA", "na", "N/A", "n/a", "NaN", "nan", "null", "NULL", "Null", "none", "None", "-", ".", "", "   ",
        "x", "NAN ", " nothing", "--", "..", "N A", "0", None, "Private", "NAb", "ナ",
    ]  # fmt: skip
    missing = {"", "?", "na", "n/a", "nan", "null", "none", "-", "."}
    golden = Golden("clean_null_if", "pandas' na_values, written out", {"w": ("VARCHAR", texts)})
    golden.case("null_if(w) AS y", per_value(texts, lambda v: None if v.strip().lower() in missing else v))
    golden.case("null_if(w, ['?']) AS y", per_value(texts, lambda v: None if v.strip() == "?" else v))
    golden.case(
        "null_if(w, ['Private', '--', '0']) AS y",
        per_value(texts, lambda v: None if v.strip() in ("Private", "--", "0") else v),
    )
    golden.case(
        "null_if(arrow_cast(w, 'Dictionary(Int32, Utf8)')) AS y",
        per_value(texts, lambda v: None if v.strip().lower() in missing else v),
    )
    golden.write()

    numbers = [
        ("1", 1.0), ("-1", -1.0), ("+2", 2.0), (" 42 ", 42.0), ("3.25", 3.25), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0),
        ("-2.5E-3", -0.0025), ("$1,234.50", 1234.5), ("1,234,567", 1234567.0), ("(12)", -12.0), ("($1,000.25)", -1000.25),
        ("-$5.00", -5.0), ("€99.90", 99.9), ("£7", 7.0), ("0", 0.0), ("007", 7.0), ("123456789012345678", 123456789012345678.0),
        ("0.1", 0.1), ("1e-300", 1e-300), ("2.2250738585072014e-308", 2.2250738585072014e-308), ("9007199254740993", 9007199254740992.0),
        ("", None), ("   ", None), ("abc", None), ("1.2.3", None), ("$", None), ("()", None), ("-", None), (None, None),
        ("12 apples", None), ("1e", None),
    ]  # fmt: skip
    for written, value in numbers:
        if value is not None and not set(written) & set("$€£,("):
            assert float(written) == value
    golden = Golden("clean_parse_number", "Python's float() after currency, thousands and brackets are taken off by hand", {"w": ("VARCHAR", [t for t, _ in numbers])})
    golden.case("parse_number(w) AS y", [v for _, v in numbers])
    golden.case("parse_number(arrow_cast(w, 'Utf8View')) AS y", [v for _, v in numbers])
    golden.write()
    numbers = [("1.234,5", 1234.5), ("1.234.567,89", 1234567.89), ("0,5", 0.5), ("-3,25", -3.25), ("€ 1.000", 1000.0), ("(2,5)", -2.5), ("12", 12.0), ("", None), ("x", None), (None, None)]
    golden = Golden("clean_parse_number_de", "Python's float() after German separators are exchanged by hand", {"w": ("VARCHAR", [t for t, _ in numbers])})
    golden.case("parse_number(w, 'de') AS y", [v for _, v in numbers])
    golden.case("parse_number(w, locale => 'de') AS y", [v for _, v in numbers])
    golden.write()

    dates = [
        "2024-02-29", "2023-02-29", "1999-12-31", "1970-01-01", "1969-12-31", "2000-02-29", "1900-02-29", "2024-13-01", "2024-00-10",
        "2024-04-31", " 2024-01-05 ", "0001-01-01", "9999-12-31", "", "yesterday", "03.04.2024", "25/04/2024", "03/04/2024", "4 Mar 2024", None,
    ]  # fmt: skip

    def parse(value, *formats):
        for form in formats:
            try:
                return datetime.datetime.strptime(value.strip(), form).date().isoformat()
            except ValueError:
                continue
        return None

    golden = Golden("clean_parse_date", f"{PYTHON}, strptime", {"w": ("VARCHAR", dates)})
    for formats in (["%Y-%m-%d"], ["%d.%m.%Y"], ["%m/%d/%Y", "%d/%m/%Y"], ["%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d"], ["%d %b %Y"]):
        listed = ", ".join(f"'{form}'" for form in formats)
        golden.case(f"CAST(parse_date(w, [{listed}]) AS VARCHAR) AS y", per_value(dates, lambda v: parse(v, *formats)))
    iso = [v if v is None or v[:1] in " 0129" and "/" not in v and v != "03.04.2024" else "" for v in dates]
    golden.write()
    golden = Golden("clean_parse_date_iso", f"{PYTHON}, date.fromisoformat", {"w": ("VARCHAR", iso)})
    golden.case("CAST(parse_date(w) AS VARCHAR) AS y", per_value(iso, lambda v: parse(v, "%Y-%m-%d")))
    golden.write()

    words = ["yes", "no", "y", "n", "true", "false", "t", "f", "1", "0", "on", "off"]
    truths = [w in ("yes", "y", "true", "t", "1", "on") for w in words]
    texts = words + [w.upper() for w in words] + [f" {w.title()} " for w in words] + ["", "maybe", "2", "yess", "yes no", None]
    golden = Golden("clean_parse_bool", "the list of accepted words", {"w": ("VARCHAR", texts)})
    golden.case("parse_bool(w) AS y", truths * 3 + [None] * 6)
    golden.case("parse_bool(arrow_cast(w, 'Dictionary(Int32, Utf8)')) AS y", truths * 3 + [None] * 6)
    golden.write()


if __name__ == "__main__":
    ordinary()
    hard()
    small()
    groups()
    text()
