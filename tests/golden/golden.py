"""What the scripts share: tables, cases, and statistics in exact arithmetic."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
LIMIT = 300_000


def plain(value):
    """A value as JSON holds it."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


class Golden:
    """One golden file: a table and its cases."""

    def __init__(self, name, authority, table):
        """`table` maps a column's name to its SQL type and values."""
        self.path = HERE / f"{name}.json"
        self.authority = authority
        rows = {len(values) for _, values in table.values()}
        assert len(rows) == 1, f"{name}: columns of different lengths"
        self.rows = rows.pop()
        self.table = {"id": ("BIGINT", list(range(self.rows))), **table}
        self.cases = []

    def sql(self, sql, *columns, tolerance=1e-12, authority=None, names=None, note=None):
        """A whole query and the columns of its answer."""
        lengths = {len(column) for column in columns}
        assert len(lengths) == 1, f"{sql}: columns of different lengths"
        case = {"sql": sql, "columns": [[missing(v) for v in column] for column in columns], "tolerance": tolerance}
        case |= {"names": names} if names else {}
        case |= {"authority": authority} if authority else {}
        case |= {"note": note} if note else {}
        self.cases.append(case)

    def case(self, expression, *columns, **options):
        """An expression over the table, row by row."""
        assert all(len(column) == self.rows for column in columns), expression
        self.sql(f"SELECT {expression} FROM t ORDER BY id", *columns, **options)

    def write(self):
        columns = [
            {"name": name, "type": kind, "values": [given(kind, plain(v)) for v in values]}
            for name, (kind, values) in self.table.items()
        ]
        # A line a column or a case: a change of one shows as one.
        lines = ",\n".join(json.dumps(column, ensure_ascii=False, allow_nan=False) for column in columns)
        cases = ",\n".join(json.dumps(case, ensure_ascii=False, allow_nan=False) for case in self.cases)
        text = (
            f'{{"authority": {json.dumps(self.authority)},\n'
            f'"table": {{"columns": [\n{lines}\n]}},\n"cases": [\n{cases}\n]}}\n'
        )
        assert len(text.encode()) < LIMIT, f"{self.path.name}: {len(text.encode())} bytes"
        json.loads(text)
        self.path.write_text(text)
        print(f"{self.path.name}: {len(self.cases)} cases, {len(text.encode())} bytes")


def given(kind, value):
    """A value of the table: floats as text, since not every reader of JSON takes their last digit seriously."""
    return str(value) if kind in ("DOUBLE", "REAL") and value is not None else value


def missing(value):
    """An expected value: NaN of an authority that has no NULL is NULL."""
    if isinstance(value, (float, np.floating)) and math.isnan(value):
        return None
    return plain(value)


def floats(values):
    """A column as numpy holds it: NULL is NaN."""
    return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)


def present(values):
    """The values that are not missing."""
    return [v for v in values if v is not None and v == v]


def per_value(values, function):
    """Applies a function to what is not missing."""
    return [None if v is None or v != v else function(v) for v in values]


def exact_mean(values):
    values = [Fraction(v) for v in present(values)]
    return float(sum(values) / len(values))


def root(square):
    """The square root of a fraction, correctly rounded also where the fraction is no double."""
    digits = 1100
    return float(Fraction(math.isqrt((square.numerator << (2 * digits)) // square.denominator), 1 << digits))


def exact_std(values, ddof=0):
    values = [Fraction(v) for v in present(values)]
    mean = sum(values) / len(values)
    return root(sum((v - mean) ** 2 for v in values) / (len(values) - ddof))


def exact_quantile(values, q):
    """numpy's linear interpolation, rounded once."""
    values = sorted(Fraction(v) for v in present(values))
    at = Fraction(q).limit_denominator(1_000_000) * (len(values) - 1)
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return float(values[low] + (values[high] - values[low]) * (at - low))
