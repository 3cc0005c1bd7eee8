#!/usr/bin/env python3
"""Golden values of images that are drawn, mixed and standardised: torchvision, numpy by Keras' formulas, scikit-learn.

What our functions draw by their keys is drawn here too, by its definition; what is done with it is torchvision's.

pip install Pillow scikit-learn torch torchvision xxhash
"""

import base64
import io
import math
from unittest import mock

import numpy as np
import PIL
import sklearn
import torch
import torchvision
from features import hashed, split_mix, start, unit
from golden import Golden
from PIL import Image
from sklearn.decomposition import PCA
from torchvision.transforms import InterpolationMode, autoaugment, v2
from torchvision.transforms import functional as F

TORCHVISION = f"torchvision {torchvision.__version__}"
NUMPY = f"numpy {np.__version__}, by the formulas of Keras' ImageDataGenerator"
random = np.random.default_rng(5)


def picture(height, width, channels, phase):
    y, x = np.mgrid[:height, :width]
    planes = [
        128 + 80 * np.sin(x / (2 + c) + phase) * np.cos(y / (3 + c / 2) - phase) + random.normal(0, 20, (height, width))
        for c in range(channels)
    ]
    return Image.fromarray(np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8).squeeze())


def png(image):
    file = io.BytesIO()
    image.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def flat(image):
    return np.asarray(image).ravel().tolist()


IMAGES = [picture(9, 11, 3, phase) for phase in range(8)]
GREYS = [picture(5, 4, 1, phase / 3) for phase in range(8)]
OF = "(SELECT id, image_decode(decode(png, 'base64')) AS i, image_decode(decode(grey, 'base64')) AS g FROM t)"


class Draw:
    """The numbers of a row's hash, one after another."""

    def __init__(self, hash):
        self.numbers = split_mix(hash)

    def unit(self):
        return unit(next(self.numbers))

    def up_to(self, n):
        return next(self.numbers) * (n + 1) >> 64

    def sign(self):
        return -1.0 if self.unit() < 0.5 else 1.0


NUDGE = 1.0


def apply(image, name, magnitude, signed, draw):
    # a shear goes to the other side
    sign = -draw.sign() if name.startswith("Shear") else draw.sign()
    magnitude = magnitude * sign * NUDGE if signed else magnitude
    if name == "Solarize":
        magnitude += 300 * (NUDGE - 1)
    return autoaugment._apply_op(image, name, magnitude, InterpolationMode.BILINEAR, None)


def stable(augment):
    """Whether operations that are a little stronger or weaker give much the same: no pixel lies on an edge or a threshold, where
    the last digit decides."""
    global NUDGE
    made = []
    for NUDGE in (0.99, 0.995, 0.998, 1.002, 1.005, 1.01, 1.0):
        made.append(np.asarray(augment()).astype(int))
    # tolerances are in parts of the greatest value: dark images would have little
    return made[-1].max() >= 128 and all(np.abs(other - made[-1]).max() <= 4 for other in made)


def auto_augment(image, key, policy):
    """The image, and how many operations were done to it in which pair."""
    transform = autoaugment.AutoAugment(autoaugment.AutoAugmentPolicy(policy), InterpolationMode.BILINEAR)
    space = transform._augmentation_space(10, (image.height, image.width))
    draw = Draw(hashed(start("auto_augment"), key))
    pair, done = draw.up_to(24), 0
    for name, chance, strength in transform.policies[pair]:
        if draw.unit() < chance:
            magnitudes, signed = space[name]
            magnitude = float(magnitudes[strength].item()) if strength is not None else 0.0
            image = apply(image, name, magnitude, signed, draw)
            done += 1
    return image, pair, done


def rand_augment(image, key, n, magnitude):
    transform = autoaugment.RandAugment(n, magnitude)
    space = transform._augmentation_space(31, (image.height, image.width))
    draw = Draw(hashed(start("rand_augment"), key))
    for _ in range(n):
        name = list(space)[draw.up_to(13)]
        magnitudes, signed = space[name]
        strength = float(magnitudes[magnitude].item()) if magnitudes.ndim > 0 else 0.0
        image = apply(image, name, strength, signed, draw)
    return image


def trivial_augment(image, key):
    space = autoaugment.TrivialAugmentWide()._augmentation_space(31)
    draw = Draw(hashed(start("trivial_augment"), key))
    name = list(space)[draw.up_to(13)]
    magnitudes, signed = space[name]
    at = draw.up_to(30)
    strength = float(magnitudes[at].item()) if magnitudes.ndim > 0 else 0.0
    return apply(image, name, strength, signed, draw)


def policies():
    table = {"png": ("VARCHAR", [png(i) for i in IMAGES]), "grey": ("VARCHAR", [png(i) for i in GREYS])}
    golden = Golden("augment_policies", TORCHVISION, table)

    def cases(call, made, levels):
        """Our call with many keys, and what torchvision makes of the same image with what the keys draw."""
        keys = ", ".join(f"({key})" for key, _ in made)
        golden.sql(
            f"SELECT image_tensor({call}, scale => 1) FROM {OF} CROSS JOIN (VALUES {keys}) AS v(key) WHERE id = 0 ORDER BY key",
            [flat(image) for _, image in made],
            tolerance=levels * 1.001 / min(max(flat(image)) for _, image in made),
        )

    for policy in ("imagenet", "cifar10", "svhn"):
        best = {}
        for key in range(2000):
            made, pair, done = auto_augment(IMAGES[0], key, policy)
            if done > best.get(pair, (0, -1, None))[1] and stable(lambda: auto_augment(IMAGES[0], key, policy)[0]):
                best[pair] = (key, done, made)
        assert len(best) == 25
        cases(f"auto_augment(i, key, '{policy}')", sorted((key, made) for key, _, made in best.values()), 2)
    for call, f in (
        ("rand_augment(i, 2, 9, key)", lambda key: rand_augment(IMAGES[0], key, 2, 9)),
        ("rand_augment(i, 1, 25, key)", lambda key: rand_augment(IMAGES[0], key, 1, 25)),
        ("trivial_augment(i, key)", lambda key: trivial_augment(IMAGES[0], key)),
    ):
        cases(call, [(key, f(key)) for key in range(40) if stable(lambda: f(key))], 2)
    golden.write()


# ---- pairs of rows


def open01(number):
    return (number >> 12) * 2.0**-52 + 2.0**-53


def beta_1(numbers):
    """A number of Beta(1, 1): Cheng's algorithm BC (1978), as it is written for any parameters."""
    alpha, kappa1, kappa2 = 2.0, (1 / 72 + 3 / 72) / (1 - 14 / 18), 0.25 + 0.75
    while True:
        u1, u2 = open01(next(numbers)), open01(next(numbers))
        if u1 < 0.5:
            y = u1 * u2
            z = u1 * y
            if 0.25 * u2 + z - y >= kappa1:
                continue
        else:
            z = u1 * u1 * u2
            if z <= 0.25:
                v = math.log(u1 / (1 - u1))
                w = math.exp(v)
                break
            if z >= kappa2:
                continue
        v = math.log(u1 / (1 - u1))
        w = math.exp(v)
        if not alpha * (math.log(alpha / (1 + w)) + v) - math.log(4) < math.log(z):
            break
    return w / (1 + w)


def key(name, *values):
    hash = start(name)
    for value in values:
        hash = hashed(hash, value)
    return hash


def pairs(name, seed, rows, n):
    """Of each new row: the two rows, the share of the first, and the numbers drawn beside it."""
    for i in range(n):
        order = [sorted(range(rows), key=lambda row: key(name, seed, side, i // rows, row)) for side in (0, 1)]
        share = beta_1(split_mix(key(name, seed, 2, i)))
        yield order[0][i % rows], order[1][i % rows], share, Draw(key(name, seed, 3, i))


def mixed(name, images, one, other, share, draw):
    """The image, and the share of the first."""
    batch = torch.stack([torch.from_numpy(np.asarray(images[row]).copy()).permute(2, 0, 1) for row in (one, other)])
    share = torch.tensor(share, dtype=torch.float64)
    params = {"labels": None, "batch_size": 2}
    if name == "mixup_images":
        batch = batch.double()
        made = v2.MixUp(alpha=1.0, num_classes=2).transform(batch, params | {"lam": float(share)})[0]
        return torch.floor(made + 0.5).permute(1, 2, 0), float(share)
    cut = v2.CutMix(alpha=1.0, num_classes=2)
    drawn = lambda n, size: torch.tensor([draw.up_to(n - 1)])
    with mock.patch.object(cut._dist, "sample", lambda _: share), mock.patch.object(torch, "randint", drawn):
        params |= cut.make_params([batch])
    return cut.transform(batch, params)[0].permute(1, 2, 0), params["lam_adjusted"]


def mixes():
    small = [image.resize((7, 6)) for image in IMAGES]
    x = [round(float(v), 3) for v in random.normal(0, 1, 8)]
    table = {"png": ("VARCHAR", [png(i) for i in small]), "x": ("DOUBLE", x)}
    golden = Golden("augment_pairs", TORCHVISION, table)
    for seed, ratio in ((0, 1), (7, 2)):
        n = 8 * ratio
        drawn = list(pairs("mixup", seed, 8, n))
        golden.sql(
            f"SELECT id_a, id_b, lambda, x FROM mixup((SELECT id, x FROM t), label => id, alpha => 1, ratio => {ratio}, "
            f"seed => {seed}) ORDER BY lambda",
            *zip(*sorted(((a, b, s, s * x[a] + (1 - s) * x[b]) for a, b, s, _ in drawn), key=lambda row: row[2])),
            authority="numpy",
        )
        for name in ("mixup_images", "cutmix_images"):
            made = []
            for one, other, share, draw in pairs(name, seed, 8, n):
                image, share = mixed(name, small, one, other, share, draw)
                made.append((one, other, share, flat(image)))
            made.sort(key=lambda row: row[:3])
            columns = list(zip(*made))
            query = (
                f"FROM {name}((SELECT id, image_decode(decode(png, 'base64')) AS image FROM t), label => id, alpha => 1, "
                f"ratio => {ratio}, seed => {seed}) ORDER BY id_a, id_b, lambda"
            )
            golden.sql(f"SELECT id_a, id_b, lambda {query}", *columns[:3])
            # where a half is rounded is left to the last digit
            levels = 1.001 / 255 if name == "mixup_images" else 0.0
            golden.sql(f"SELECT image_tensor(image, scale => 1) {query}", columns[3], tolerance=levels)
    golden.write()


# ---- fitted and own means


def standardized():
    images = [image.resize((6, 4)) for image in IMAGES]
    table = {"png": ("VARCHAR", [png(i) for i in images]), "grey": ("VARCHAR", [png(i) for i in GREYS])}
    golden = Golden("augment_standardize", NUMPY, table)
    colored = np.stack([np.asarray(i, dtype=np.float64) for i in images])
    greys = np.stack([np.asarray(i, dtype=np.float64)[..., None] for i in GREYS])

    def over(call, expected, tolerance=1e-6, **options):
        golden.sql(f"SELECT {call} FROM {OF} ORDER BY id", [flat(row) for row in expected], tolerance=tolerance, **options)

    def featurewise(x, axes, epsilon=1e-6):
        return (x - x.mean(axis=axes, keepdims=True)) / (x.std(axis=axes, keepdims=True) + epsilon)

    over("image_standardize(i) OVER ()", featurewise(colored, (0, 1, 2)))
    over("image_standardize(g, epsilon => 3) OVER ()", featurewise(greys, (0, 1, 2), 3))
    over("image_standardize(i, 'pixel') OVER ()", featurewise(colored, 0))
    over(
        "image_standardize(i, 'pixel', layout => 'chw', width => 6, height => 4, channels => 3) OVER ()",
        featurewise(colored, 0).transpose(0, 3, 1, 2),
    )
    over("image_standardize(i, with_std => false) OVER ()", colored - colored.mean(axis=(0, 1, 2)))
    over("image_standardize(i, with_mean => false) OVER ()", colored / (colored.std(axis=(0, 1, 2)) + 1e-6))
    parts = np.concatenate([featurewise(greys[k::2], 0) for k in (0, 1)])[[0, 4, 1, 5, 2, 6, 3, 7]]
    over("image_standardize(g, 'pixel') OVER (PARTITION BY id % 2)", parts)

    own = lambda x, axes: (x - x.mean(axis=axes, keepdims=True)) / x.std(axis=axes, keepdims=True)
    over("image_normalize(i)", own(colored, (1, 2, 3)))
    over("image_normalize(i, 'channel', 'channel', 'chw')", own(colored, (1, 2)).transpose(0, 3, 1, 2))
    over("image_normalize(g, mean => 'image', std => 1)", (greys - greys.mean(axis=(1, 2, 3), keepdims=True)) / 255)
    imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    expected = [F.normalize(F.to_tensor(i), *imagenet).permute(1, 2, 0) for i in images]
    over(f"image_normalize(i, {imagenet[0]}, {imagenet[1]})", expected, authority=TORCHVISION)
    histograms = [np.reshape(i.histogram(), (3, 256)) for i in images]
    for bins in (256, 16):
        golden.sql(
            f"SELECT image_histogram(i, {bins}) FROM {OF} WHERE id < 2 ORDER BY id",
            [h.reshape(3, bins, -1).sum(axis=2).tolist() for h in histograms[:2]],
            tolerance=0.0,
            authority=f"Pillow {PIL.__version__}",
        )
    golden.write()


def whiten(x, epsilon):
    x = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(x.T @ x / len(x))
    return x @ (u / np.sqrt(s + epsilon)) @ u.T


def whitened():
    n = 40
    turn = random.normal(0, 1, (4, 4))
    x = np.round(random.normal(0, 1, (n, 4)) @ turn + [5, -3, 100, 0], 3)
    whole = random.integers(-20, 20, (n, 3)).astype(float)
    images = [picture(4, 5, 1, phase / 2) for phase in range(n)]
    table = {name: ("DOUBLE", x[:, i].tolist()) for i, name in enumerate("abcd")}
    table |= {name: ("BIGINT", whole[:, i].astype(int).tolist()) for i, name in enumerate("uvw")}
    table["png"] = ("VARCHAR", [png(i) for i in images])
    golden = Golden("augment_whiten", NUMPY, table)
    call = lambda of, more="": f"zca_whiten({of}{more}) OVER () AS z"
    for epsilon in (1e-6, 0.5):
        golden.case(call("[a, b, c, d]", f", {epsilon}"), whiten(x, epsilon).tolist(), tolerance=1e-10)
    golden.case(call("[u, v, w]"), whiten(whole, 1e-6).tolist(), tolerance=1e-10)
    # a row of numbers that are not whole among those that are
    mixed = whole.copy()
    mixed[7, 1] += 0.1
    golden.case(call("[u, v + CASE WHEN id = 7 THEN 0.1 ELSE 0 END, w]"), whiten(mixed, 1e-6).tolist(), tolerance=1e-10)
    pca = PCA(whiten=True).fit(x)
    turned = pca.transform(x) @ pca.components_ * math.sqrt(n / (n - 1))
    golden.case(call("[a, b, c, d]", ", epsilon => 0"), turned.tolist(), tolerance=1e-10, authority=f"scikit-learn {sklearn.__version__}")
    flat_images = np.stack([np.asarray(i, dtype=np.float64).ravel() for i in images]) / 255
    for epsilon in (1e-6, 0.1):
        golden.case(call("decode(png, 'base64')", f", {epsilon}"), whiten(flat_images, epsilon).tolist(), tolerance=1e-5)
    golden.write()


if __name__ == "__main__":
    policies()
    mixes()
    standardized()
    whitened()
