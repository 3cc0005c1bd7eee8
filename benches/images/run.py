#!/usr/bin/env python3
"""Functions of images beside Pillow, albumentations and torchvision: images a second, one thread, the same pictures.

Small pictures are 28 x 28 and grey, as MNIST's; large ones 500 x 375 and coloured, as ImageNet's. Seedbed runs a
statement over a table in memory and counts the results; the peers run a loop over pictures in memory, torchvision
over tensors. The last column is Seedbed's figure as a multiple of the best peer's, and its geometric mean.
"""

import argparse
import functools
import io
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("Pillow", "albumentations", "torchvision")
BILINEAR = Image.Resampling.BILINEAR
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def functions(large, size, only):
    """Of each name: Seedbed's call of an image `i` and a key `k`, and what each peer calls; missing where it has none."""
    peers = {}

    def function(name, call, pillow=None, albumentations=None, torchvision=None):
        if not only or name in only:
            peers[name] = (call, {"Pillow": pillow, "albumentations": albumentations, "torchvision": torchvision})

    a, v2, f = modules()
    albu = lambda make: a and (lambda transform: lambda image: transform(image=image))(make(a))
    torch = lambda make: v2 and make(v2, f)
    w, h = size
    bilinear = {"interpolation": v2.InterpolationMode.BILINEAR} if v2 else {}
    mean, std = IMAGENET if large else (0.5, 0.2)
    listed = lambda x: x if isinstance(x, list) else [x]

    function(
        "flip", "image_flip(i)", ImageOps.mirror,
        albu(lambda a: a.HorizontalFlip(p=1)), torch(lambda v, f: f.horizontal_flip),
    )
    function(
        "rotate", "random_rotate(i, 45, k)", lambda p: p.rotate(33, BILINEAR),
        albu(lambda a: a.Rotate(limit=45, p=1)), torch(lambda v, f: v.RandomRotation(45, **bilinear)),
    )
    function(
        "affine", "random_affine(i, 20, 0.1, 10, 0.2, k)",
        lambda p: p.transform(p.size, Image.Transform.AFFINE, (1.1, 0.2, 3, -0.1, 0.9, 2), BILINEAR),
        albu(lambda a: a.Affine(scale=(0.8, 1.2), translate_percent=(-0.1, 0.1), rotate=(-20, 20), shear=(-10, 10), p=1)),
        torch(lambda v, f: v.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 10, **bilinear)),
    )
    function(
        "random_resized_crop", f"random_resized_crop(i, {w}, {h}, k)", None,
        albu(lambda a: a.RandomResizedCrop(size=(h, w), p=1)),
        torch(lambda v, f: v.RandomResizedCrop((h, w), antialias=True)),
    )
    function(
        "color_jitter", "color_jitter(i, 0.2, 0.2, 0.2, 0.05, k)", None,
        albu(lambda a: a.ColorJitter(brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.8, 1.2), hue=(-0.05, 0.05), p=1)),
        torch(lambda v, f: v.ColorJitter(0.2, 0.2, 0.2, 0.05)),
    )
    function(
        "blur", "image_blur(i, 1)", lambda p: p.filter(ImageFilter.GaussianBlur(1)),
        albu(lambda a: a.GaussianBlur(sigma_limit=(1, 1), blur_limit=(7, 7), p=1)),
        torch(lambda v, f: functools.partial(f.gaussian_blur, kernel_size=7, sigma=1.0)),
    )
    function(
        "brightness", "image_brightness(i, 1.3)", lambda p: ImageEnhance.Brightness(p).enhance(1.3),
        albu(lambda a: a.RandomBrightnessContrast(brightness_limit=(0.3, 0.3), contrast_limit=(0, 0), p=1)),
        torch(lambda v, f: functools.partial(f.adjust_brightness, brightness_factor=1.3)),
    )
    function(
        "normalize", f"image_normalize(i, {mean}, {std})", None,
        albu(lambda a: a.Normalize(mean=mean, std=std, p=1)),
        torch(lambda v, f: lambda t: f.normalize(f.to_dtype(t, v.torch.float32, scale=True), listed(mean), listed(std))),
    )
    function(
        "elastic", "random_elastic(i, 30, 6, k)", None,
        albu(lambda a: a.ElasticTransform(alpha=30, sigma=6, p=1)),
        torch(lambda v, f: v.ElasticTransform(30.0, 6.0)),
    )
    if large:
        function(
            "decode_resize_jpeg", f"image_resize(bytes, {w}, {h})",
            lambda b: Image.open(io.BytesIO(b)).convert("RGB").resize((w, h), BILINEAR),
            albu(lambda a: decoded_by_opencv(a.Resize(h, w, p=1))),
            torch(lambda v, f: lambda b: f.resize(v.decode_jpeg(b), [h, w], antialias=True)),
        )
    # beyond what is asked for, and so not part of the mean
    function(
        "resize", f"image_resize(i, {w}, {h})", lambda p: p.resize((w, h), BILINEAR),
        albu(lambda a: a.Resize(h, w, p=1)), torch(lambda v, f: functools.partial(f.resize, size=[h, w], antialias=True)),
    )
    function("equalize", "image_equalize(i)", ImageOps.equalize, albu(lambda a: a.Equalize(p=1)), torch(lambda v, f: f.equalize))
    function("invert", "image_invert(i)", ImageOps.invert, albu(lambda a: a.InvertImg(p=1)), torch(lambda v, f: f.invert))
    function("noise", "random_noise(i, 10, k)", None, albu(lambda a: a.GaussNoise(std_range=(0.04, 0.04), p=1)))
    function("rand_augment", "rand_augment(i, 2, 9, k)", None, None, torch(lambda v, f: v.RandAugment(2, 9, 31, **bilinear)))
    function("auto_augment", "auto_augment(i, k)", None, None, torch(lambda v, f: v.AutoAugment(**bilinear)))
    function("encode_png", "image_encode(i)", None)
    return peers


EXTRA = ("resize", "equalize", "invert", "noise", "rand_augment", "auto_augment", "encode_png")


@functools.cache
def modules():
    """albumentations, torchvision's transforms and its functions; None for what is not installed."""
    try:
        import albumentations
        import cv2
        cv2.setNumThreads(1)
    except ImportError:
        albumentations = None
    try:
        import torch
        from torchvision.io import decode_jpeg
        from torchvision.transforms import v2
        torch.set_num_threads(1)
        v2.torch, v2.decode_jpeg = torch, decode_jpeg
        return albumentations, v2, v2.functional
    except ImportError:
        return albumentations, None, None


def decoded_by_opencv(resize):
    import cv2
    return lambda image: resize(image=cv2.cvtColor(cv2.imdecode(image, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def pictures(size):
    """Smooth pictures with some noise."""
    random = np.random.default_rng(0)
    height, width, channels = size
    y, x = np.mgrid[:height, :width]
    made = []
    for i in range(16):
        planes = [128 + 90 * np.sin(x / (9 + i) + c) * np.cos(y / 13) + random.normal(0, 8, (height, width)) for c in range(channels)]
        made.append(np.clip(np.stack(planes, axis=-1).squeeze(), 0, 255).astype(np.uint8))
    return made


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=90)
    return file.getvalue()


def as_peer_takes(peer, images, encoded):
    """The pictures, or their JPEG files, in the form a peer works on."""
    if encoded:
        files = [jpeg(image) for image in images]
        if peer == "Pillow":
            return files
        arrays = [np.frombuffer(file, np.uint8) for file in files]
        return arrays if peer == "albumentations" else [modules()[1].torch.from_numpy(array.copy()) for array in arrays]
    if peer == "Pillow":
        return [Image.fromarray(image) for image in images]
    if peer == "albumentations":
        return images
    torch = modules()[1].torch
    return [torch.from_numpy(image[..., None] if image.ndim == 2 else image).permute(2, 0, 1).contiguous() for image in images]


def loop(f, images, seconds):
    """Images a second."""
    for image in images[:2]:
        f(image)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for image in images:
            f(image)
        done += len(images)
    return done / (time.perf_counter() - start)


def seedbed(options, folder, expression, count):
    """Images a second, by the statement's own time."""
    read = f"SELECT bytes, random_key(0, path) AS k FROM read_images('{folder}')"
    if "bytes" not in expression:
        read = f"SELECT image_decode(bytes) AS i, k FROM ({read})"
    commands = [f"CREATE TABLE t AS {read}", f"SELECT count(y) FROM (SELECT {expression} AS y FROM t)"]
    command = [options.seedbed, "--threads", str(options.threads), "--timing"]
    for sql in commands:
        command += ["-c", sql]

    def seconds():
        log = subprocess.run(command, check=True, capture_output=True, text=True)
        value, unit = re.findall(r"([\d.]+) (ms|s)\b", log.stdout + log.stderr)[-1]
        return float(value) / (1000 if unit == "ms" else 1)

    return count / max(min(seconds() for _ in range(options.runs)), 1e-6)


def measured(options, kind):
    """Prints a line a function; gives Seedbed's multiples of the best peer."""
    large = kind == "large"
    shape, count, size = ((375, 500, 3), 300, (224, 224)) if large else ((28, 28, 1), 20000, (20, 20))
    images = pictures(shape)
    folders = {False: (options.folder / kind, "bmp"), True: (options.folder / "jpeg", "jpg")}
    for encoded, (folder, end) in folders.items():
        if not folder.exists() and (large or not encoded):
            folder.mkdir(parents=True)
            for i in range(count):
                image = images[i % len(images)]
                file = folder / f"{i}.{end}"
                file.write_bytes(jpeg(image)) if encoded else Image.fromarray(image).save(file)
    print(f"\n{kind}, images a second, {options.threads} thread(s) of Seedbed")
    print(f"{'':22}{'seedbed':>12}" + "".join(f"{peer:>16}" for peer in PEERS) + f"{'of the best':>14}")
    multiples = {}
    for name, (call, peers) in functions(large, size, options.only).items():
        encoded = "bytes" in call
        own = seedbed(options, folders[encoded][0], call, count)
        line, best = f"{name:22}{own:>12.0f}", 0.0
        for peer, f in peers.items():
            try:
                figure = loop(f, as_peer_takes(peer, images, encoded), options.seconds) if f else 0.0
            except (ValueError, TypeError):
                # not of grey pictures
                figure = 0.0
            best = max(best, figure)
            line += f"{figure:>16.0f}" if figure else f"{'-':>16}"
        if best:
            multiples[name] = own / best
            line += f"{own / best:>13.2f}x"
        print(line, flush=True)
    asked = [m for name, m in multiples.items() if name not in EXTRA]
    if asked:
        print(f"{'geometric mean':22}{math.exp(sum(map(math.log, asked)) / len(asked)):>74.2f}x   without {', '.join(EXTRA)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/seedbed-benches/images"))
    parser.add_argument("--runs", type=int, default=3, help="runs of Seedbed, of which the fastest counts")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long a peer's loop runs")
    parser.add_argument("--threads", type=int, default=1, help="of Seedbed alone: two show how it scales")
    parser.add_argument("--only", type=lambda names: names.split(","), default=[])
    parser.add_argument("--sizes", default="small,large")
    options = parser.parse_args()
    for kind in options.sizes.split(","):
        measured(options, kind)


if __name__ == "__main__":
    sys.exit(main())
