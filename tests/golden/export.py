"""What COPY writes for training loops, read by NumPy, TensorFlow, Pillow and webdataset.

Arrays are to have the bytes that numpy.save writes, examples those of TensorFlow's TFRecordWriter. What has been
checked is kept in export.zip, and the tests of the project compare with it.

pip install numpy tensorflow Pillow webdataset
SEEDBED=target/release/seedbed python tests/golden/export.py
"""

import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import webdataset
from PIL import Image

HERE = Path(__file__).parent
N = 20
IDS = np.arange(N, dtype=np.int64)


def floats():
    x = (IDS - 7) / 8.0
    x[3:6] = [np.nan, np.inf, -np.inf]
    return x


def text(i):
    return ["", f"é{i}", f"a 😀{i}"][i % 3]


X = floats()
S = [text(i) for i in range(N)]
PARITY = ["even" if i % 2 == 0 else "odd" for i in range(N)]
V = np.stack([IDS, IDS / 4.0], axis=1).astype(np.float32)
GRAY = np.stack([np.arange(i, i + 6, dtype=np.uint8).reshape(2, 3) for i in range(N)])
RGB = np.stack([np.arange(i * 7, i * 7 + 12, dtype=np.uint8).reshape(2, 2, 3) for i in range(N)])
RAGGED = [list(range(i % 4)) for i in range(N)]
COUNTS = [i * i - 100 if i % 4 else None for i in range(N)]

ARRAYS = {
    "b1": IDS % 3 == 0,
    "i1": (IDS - 9).astype(np.int8),
    "i2": (IDS * -1000).astype(np.int16),
    "i4": (IDS * 100000000).astype(np.int32),
    "i8": IDS * -100000000000000,
    "u1": (IDS * 13).astype(np.uint8),
    "u2": (IDS * 3000).astype(np.uint16),
    "u4": (IDS * 200000000).astype(np.uint32),
    "u8": IDS.astype(np.uint64),
    "f2": (IDS / 8.0).astype(np.float16),
    "f4": X.astype(np.float32),
    "f8": X,
    "text": np.array(S),
    "day": np.datetime64("1969-12-29") + IDS.astype("m8[D]"),
    "at": np.datetime64(-3, "us") + (IDS * 1500001).astype("m8[us]"),
    "vector": V,
    "list": np.stack([IDS, IDS * 2, -IDS], axis=1),
    "lists": np.array([[[i, 1], [2, i], [0, 0]] for i in range(N)], dtype=np.int64),
    "texts": np.array([[s, p] for s, p in zip(S, PARITY)]),
    "gray": GRAY,
    "rgb": RGB[::-1],
    "encoded": RGB[::-1],
    "empty": np.zeros(0),
    "empty_vector": np.zeros((0, 2), dtype=np.float32),
    "empty_text": np.array([], dtype=str),
}


def check_arrays(out):
    for name, array in ARRAYS.items():
        saved = io.BytesIO()
        np.save(saved, np.ascontiguousarray(array), allow_pickle=False)
        assert (out / f"{name}.npy").read_bytes() == saved.getvalue(), name
        np.testing.assert_array_equal(np.load(out / f"{name}.npy"), array)
    archives = {
        "all": {"image": RGB, "label": IDS, "parity": np.array(PARITY), "x": X, "v": V},
        "small": {"gray": GRAY, "v": V},
    }
    for name, arrays in archives.items():
        assert zipfile.ZipFile(out / f"{name}.npz").testzip() is None
        loaded = np.load(out / f"{name}.npz")
        assert list(loaded) == list(arrays), name
        for key, array in arrays.items():
            assert loaded[key].dtype == array.dtype, key
            np.testing.assert_array_equal(loaded[key], array)


def example(**columns):
    made = tf.train.Example()
    for name, value in columns.items():
        if value is None:
            continue
        feature = made.features.feature[name]
        values = value if isinstance(value, list) else [value]
        if name in ("id", "n", "ragged", "even"):
            feature.int64_list.value.extend(values)
            feature.int64_list.SetInParent()
        elif name in ("x", "v"):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(v.encode() if isinstance(v, str) else v for v in values)
    return made.SerializeToString(deterministic=True)


def check_records(path, examples):
    """The file is what TensorFlow writes, and TensorFlow reads it."""
    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            for record in examples:
                writer.write(record)
        assert path.read_bytes() == Path(file.name).read_bytes(), path
    assert [r.numpy() for r in tf.data.TFRecordDataset(str(path))] == examples, path


def check_examples(out):
    found = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(out / "one.tfrecord"))]
    images = [parsed.features.feature["image"].bytes_list.value[0] for parsed in found]
    for i, image in enumerate(images):
        assert image[:4] == b"\x89PNG"
        np.testing.assert_array_equal(tf.io.decode_png(image), RGB[i])
    examples = [
        example(
            id=i,
            x=float(X[i]),
            n=COUNTS[i],
            s=S[i],
            v=V[i].tolist(),
            ragged=RAGGED[i],
            words=[S[i], PARITY[i]],
            even=int(i % 2 == 0),
            image=images[i],
        )
        for i in range(N)
    ]
    check_records(out / "one.tfrecord", examples)
    for shard in range(3):
        path = out / f"many-{shard:05}-of-00003.tfrecord"
        check_records(path, [example(id=i, long=S[i] * 60) for i in range(shard, N, 3)])
        path = out / f"rows-{shard:05}-of-00003.tfrecord"
        check_records(path, [example(id=i) for i in range(N)[shard * 8 : shard * 8 + 8]])
    check_records(out / "empty.tfrecord", [])


def samples(paths):
    dataset = webdataset.WebDataset([str(p) for p in paths], shardshuffle=False)
    return list(dataset.decode("rgb8"))


def check_samples(out):
    found = samples([out / "samples.tar"])
    assert [s["__key__"] for s in found] == [f"{i:08}" for i in range(N)]
    for i, sample in enumerate(found):
        assert {k for k in sample if k[0] != "_"} == {"png", "cls", "txt", "ragged.npy", "v.npy", "json"}
        np.testing.assert_array_equal(sample["png"], RGB[i])
        assert sample["cls"] == i and sample["txt"] == S[i]
        assert sample["v.npy"].dtype == np.float32 and sample["ragged.npy"].dtype == np.int64
        np.testing.assert_array_equal(sample["v.npy"], V[i])
        assert sample["ragged.npy"].tolist() == RAGGED[i]
        x = float(X[i]) if np.isfinite(X[i]) else None
        assert sample["json"] == {"x": x, "parity": PARITY[i], "n": COUNTS[i]}, sample["json"]
    paths = [out / f"shards-{i:06}.tar" for i in range(3)]
    found = samples(paths)
    assert [s["__key__"] for s in found] == [f"{PARITY[i]}/{'long' * 30}{i}" for i in range(N)]
    for i, sample in enumerate(found):
        assert {k for k in sample if k[0] != "_"} == {"image.png", "mask.png", "cls"}
        np.testing.assert_array_equal(sample["image.png"], RGB[i])
        np.testing.assert_array_equal(sample["mask.png"][..., 0], GRAY[i])
        assert sample["cls"] == i
    for path in paths + [out / "samples.tar"]:
        for member in tarfile.open(path):
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)


def check_images(out):
    names = sorted(str(p.relative_to(out / "folder")) for p in (out / "folder").rglob("*.*"))
    assert names == sorted(f"{PARITY[i]}/{i:08}.png" for i in range(N))
    for i in range(N):
        file = out / "folder" / PARITY[i] / f"{i:08}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(file)), RGB[i])
        file = out / "flat" / f"{PARITY[i]}{i}.bmp"
        np.testing.assert_array_equal(np.asarray(Image.open(file).convert("L")), GRAY[i])
    grid = np.asarray(Image.open(out / "grid.png"))
    for i in range(N):
        y, x = (i // 5) * 4, (i % 5) * 5
        np.testing.assert_array_equal(grid[y : y + 2, x : x + 3], GRAY[i])
    np.testing.assert_array_equal(np.asarray(Image.open(out / "one.png")), RGB[19])


def main():
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        command = [os.environ["SEEDBED"], "run", str(HERE / "export.sql"), "-D", f"out={out}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        check_arrays(out)
        check_examples(out)
        check_samples(out)
        check_images(out)
        files = sorted(p for p in out.rglob("*") if p.is_file())
        with zipfile.ZipFile(HERE / "export.zip", "w", zipfile.ZIP_DEFLATED) as kept:
            for path in files:
                # of one date, so that the same files make the same archive
                kept.writestr(zipfile.ZipInfo(str(path.relative_to(out))), path.read_bytes(), zipfile.ZIP_DEFLATED)
        print(f"{len(files)} files are right")


main()
