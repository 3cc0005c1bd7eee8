#!/usr/bin/env python3
"""Nearly equal names: how long fuzzy_duplicates takes, and how many of the pairs it finds that rapidfuzz finds by comparing all.

rapidfuzz compares a sample of the names with all others; what all with all would take is that, in proportion.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rapidfuzz.distance import JaroWinkler
from rapidfuzz.process import cdist

SYLLABLES = "an ber ca da el fri ga ha in jo ka li ma ne or pa qui ra sa to ul vi wen xa yo zi mar son ler sch tein ova ski ez".split()


def words(generator, n, longest):
    found = set()
    while len(found) < n:
        found.add("".join(generator.choice(SYLLABLES, generator.integers(2, longest + 1))).capitalize())
    return np.array(sorted(found))


def names(rows, seed=0):
    """First and last names, some far more frequent than others; every fourth has a typing error or two."""
    generator = np.random.default_rng(seed)
    first, last = words(generator, 3000, 3), words(generator, 40000, 4)

    def drawn(of):
        weights = 1 / np.arange(20, len(of) + 20)
        return of[generator.choice(len(of), rows, p=weights / weights.sum())]

    texts = np.char.add(np.char.add(drawn(first), " "), drawn(last)).tolist()
    letters = "abcdefghijklmnopqrstuvwxyz -"
    for at in range(0, rows, 4):
        text = texts[at]
        for _ in range(generator.integers(1, 3)):
            cut = int(generator.integers(0, len(text)))
            kind = generator.integers(0, 4)
            letter = letters[int(generator.integers(0, len(letters)))]
            if kind == 0:
                text = text[:cut] + letter + text[cut + 1 :]
            elif kind == 1:
                text = text[:cut] + text[cut + 1 :]
            elif kind == 2:
                text = text[:cut] + letter + text[cut:]
            else:
                text = text[:cut] + text[cut + 1 : cut + 2] + text[cut : cut + 1] + text[cut + 2 :]
        texts[at] = text
    return texts


def run(seedbed, sql, threads):
    before = time.perf_counter()
    process = subprocess.Popen([seedbed, "--threads", str(threads), "-c", sql], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{sql}: status {status}")
    return time.perf_counter() - before, usage.ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seedbed", default="target/release/seedbed")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--options", default="", help="more arguments, as ', bands => 60'")
    parser.add_argument("--folder", default="target/bench/fuzzy")
    args = parser.parse_args()
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    source, pairs = folder / f"names_{args.rows}.parquet", folder / "pairs.parquet"
    if not source.exists():
        pq.write_table(pa.table({"name": names(args.rows)}), source)
    texts = pq.read_table(source)["name"].unique().to_pylist()
    call = f"fuzzy_duplicates((SELECT name FROM '{source}'), column => name, threshold => {args.threshold}{args.options}"
    seconds, megabytes = run(args.seedbed, f"COPY (SELECT count(*) AS n, count(DISTINCT cluster_id) AS clusters FROM {call})) TO '{folder}/clusters.parquet'", args.threads)
    clusters = pq.read_table(folder / "clusters.parquet").to_pylist()[0]["clusters"]
    print(f"{args.rows} names, {len(texts)} different: {clusters} clusters in {seconds:.1f} s, {megabytes:.0f} MB")
    seconds, megabytes = run(args.seedbed, f"COPY (SELECT * FROM {call}, output => 'pairs')) TO '{pairs}'", args.threads)
    table = pq.read_table(pairs)
    print(f"{table.num_rows} pairs in {seconds:.1f} s, {megabytes:.0f} MB")

    found = set(zip(table["value_a"].to_pylist(), table["value_b"].to_pylist()))
    generator = np.random.default_rng(1)
    sample = [texts[i] for i in generator.choice(len(texts), min(args.sample, len(texts)), replace=False)]
    before = time.perf_counter()
    expected = set()
    for at in range(0, len(sample), 100):
        some = sample[at : at + 100]
        scores = cdist(some, texts, scorer=JaroWinkler.similarity, score_cutoff=args.threshold, workers=args.threads, dtype=np.float32)
        for i, j in zip(*np.nonzero(scores)):
            a, b = some[i], texts[j]
            if a != b:
                expected.add((a, b) if a.encode() < b.encode() else (b, a))
    seconds = time.perf_counter() - before
    whole = seconds * len(texts) / len(sample) / 2
    hit = len(expected & found)
    print(f"rapidfuzz: {len(sample)} with all in {seconds:.1f} s, all with all about {whole:.0f} s")
    print(f"recall {hit} of {len(expected)} pairs: {hit / max(len(expected), 1):.4f}")
    print(json.dumps({"recall_by_similarity": {
        f"{low:.2f}": round(float(np.mean([p in found for p in group])), 4)
        for low in np.arange(args.threshold, 1, 0.02)
        if (group := [p for p in expected if low <= JaroWinkler.similarity(*p) < low + 0.02])
    }}))
