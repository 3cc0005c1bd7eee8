#!/usr/bin/env python3
"""Golden values of logarithms by numpy, of buckets and folds by the xxHash library, and the moments of noise."""

import math

import numpy as np
import xxhash
from golden import Golden

NUMBERS = [None, 0.0, 1.0, -0.5, 1e-300, 1e-12, 3.25, 1e6, 1.7e308]
SIGNED = [None, 0.0, -1.0, 1.0, -2.5, -1e-300, -1e-12, 1e6, -1.7e308]
KEYS = list(range(-3, 13))
TEXTS = ["a", "b", "", "é", "Straße", "数据", "a longer text than fits a view", None] * 2
WHOLE, TEXT = 2, 6


def logarithms():
    golden = Golden("numeric_logarithms", f"numpy {np.__version__}", {"x": ("DOUBLE", NUMBERS), "s": ("DOUBLE", SIGNED)})
    x, s = (np.array([np.nan if v is None else v for v in values]) for values in (NUMBERS, SIGNED))
    golden.case("log_transform(x) AS y", np.log1p(x))
    golden.case("signed_log(s) AS y", np.sign(s) * np.log1p(np.abs(s)))
    golden.write()


def hashed(start, value):
    """One step of the hash of a key."""
    if isinstance(value, int):
        return xxhash.xxh64_intdigest(value.to_bytes(8, "little", signed=True), (start + WHOLE) % 2**64)
    return xxhash.xxh64_intdigest(value.encode(), (start + TEXT) % 2**64)


def below(start, values, n):
    return [None if v is None else (hashed(start, v) * n) >> 64 for v in values]


def buckets():
    """These values must never change: what people have stored depends on them."""
    authority = f"xxhash {xxhash.VERSION} (XXH64)"
    golden = Golden("numeric_buckets", authority, {"k": ("BIGINT", KEYS), "s": ("VARCHAR", TEXTS)})
    for n in (1, 2, 7, 1000, 2**63 - 1):
        start = xxhash.xxh64_intdigest(b"hash_bucket", 0)
        golden.case(f"hash_bucket(k, {n}) AS b", below(start, KEYS, n))
        golden.case(f"hash_bucket(s, {n}) AS b", below(start, TEXTS, n))
    for k, seed in ((5, 0), (2, 0), (10, 7)):
        start = hashed(xxhash.xxh64_intdigest(b"fold", 0), seed)
        golden.case(f"fold(k, k => {k}, seed => {seed}) AS f", below(start, KEYS, k))
        golden.case(f"fold(s, k => {k}, seed => {seed}) AS f", below(start, TEXTS, k))
    golden.write()


def noise():
    """Moments over 100,000 keys, each asked to be within five standard errors."""
    rows = 100_000
    golden = Golden("numeric_noise", "the definition: a moment within five standard errors", {"x": ("BIGINT", [0])})

    def within(what, expected, error):
        limit = 5 * error / math.sqrt(rows)
        golden.sql(f"SELECT abs({what} - {expected!r}) < {limit!r} AS y FROM generate_series(1, {rows}) AS s(k)", [True])

    within("avg(jitter(10, 2, k))", 10.0, 2.0)
    within("var_pop(jitter(10, 2, k))", 4.0, 4 * math.sqrt(2))
    within("avg(jitter(0, 1, k) * random_normal(0, 1, k))", 0.0, 1.0)
    within("avg(jitter(0, 1, random_key(0, k, 'a')) * jitter(0, 1, random_key(0, k, 'b')))", 0.0, 1.0)
    golden.write()


if __name__ == "__main__":
    logarithms()
    buckets()
    noise()
