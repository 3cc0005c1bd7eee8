#!/usr/bin/env python3
"""Functions of images beside Pillow and albumentations: images a second, one thread, the same decoded pictures.

Small pictures are 28 x 28 and grey, as MNIST's; large ones 500 x 375 and coloured, as ImageNet's. Seedbed runs a
statement over a table in memory and counts the results; the peers run a loop over pictures in memory.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

ROOT = Path(__file__).resolve().parents[2]

# name: Seedbed's call of `i` and `k`, Pillow's of `p`, albumentations' transform (of large pictures where the two differ)
FUNCTIONS = {
    "flip": ("image_flip(i)", ImageOps.mirror, lambda a, s: a.HorizontalFlip(p=1)),
    "rotate": (
        "random_rotate(i, 45, k)",
        lambda p: p.rotate(33, Image.Resampling.BILINEAR),
        lambda a, s: a.Rotate(limit=45, p=1),
    ),
    "affine": (
        "random_affine(i, 20, 0.1, 10, 0.2, k)",
        lambda p: p.transform(p.size, Image.Transform.AFFINE, (1.1, 0.2, 3, -0.1, 0.9, 2), Image.Resampling.BILINEAR),
        lambda a, s: a.Affine(scale=(0.8, 1.2), translate_percent=(-0.1, 0.1), rotate=(-20, 20), shear=(-10, 10), p=1),
    ),
    "resize": (
        "image_resize(i, {w}, {h})",
        lambda p: p.resize((20, 20) if p.width < 100 else (224, 224), Image.Resampling.BILINEAR),
        lambda a, s: a.Resize(*s, p=1),
    ),
    "random_resized_crop": (
        "random_resized_crop(i, {w}, {h}, k)",
        None,
        lambda a, s: a.RandomResizedCrop(size=s, p=1),
    ),
    "color_jitter": (
        "color_jitter(i, 0.2, 0.2, 0.2, 0.05, k)",
        None,
        lambda a, s: a.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, p=1),
    ),
    "brightness": (
        "image_brightness(i, 1.3)",
        lambda p: ImageEnhance.Brightness(p).enhance(1.3),
        lambda a, s: a.RandomBrightnessContrast(brightness_limit=(0.3, 0.3), contrast_limit=(0, 0), p=1),
    ),
    "blur": (
        "image_blur(i, 1)",
        lambda p: p.filter(ImageFilter.GaussianBlur(1)),
        lambda a, s: a.GaussianBlur(sigma_limit=(1, 1), blur_limit=(7, 7), p=1),
    ),
    "equalize": ("image_equalize(i)", ImageOps.equalize, lambda a, s: a.Equalize(p=1)),
    "invert": ("image_invert(i)", ImageOps.invert, lambda a, s: a.InvertImg(p=1)),
    "noise": ("random_noise(i, 10, k)", None, lambda a, s: a.GaussNoise(std_range=(0.04, 0.04), p=1)),
    "elastic": (
        "random_elastic(i, 30, 6, k)",
        None,
        lambda a, s: a.ElasticTransform(alpha=30, sigma=6, p=1),
    ),
    "rand_augment": ("rand_augment(i, 2, 9, k)", None, None),
    "tensor": ("image_tensor(i, mean => 0.5, std => 0.2)", None, lambda a, s: a.Normalize(mean=0.5, std=0.2, p=1)),
    "encode_png": ("image_encode(i)", None, None),
}


def pictures(size, count):
    """Smooth pictures with some noise; as many as asked for, of which a few differ."""
    random = np.random.default_rng(0)
    height, width, channels = size
    y, x = np.mgrid[:height, :width]
    made = []
    for i in range(min(count, 16)):
        planes = [128 + 90 * np.sin(x / (9 + i) + c) * np.cos(y / 13) + random.normal(0, 8, (height, width)) for c in range(channels)]
        made.append(np.clip(np.stack(planes, axis=-1).squeeze(), 0, 255).astype(np.uint8))
    return [made[i % len(made)] for i in range(count)]


def loop(f, images, seconds=1.5):
    """Images a second."""
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for image in images[:32]:
            f(image)
        done += 32
    return done / (time.perf_counter() - start)


def seedbed(options, folder, expression, count):
    """Images a second, by the statement's own time."""
    def seconds(expression):
        commands = [
            f"CREATE TABLE t AS SELECT image_decode(bytes) AS i, random_key(0, path) AS k FROM read_images('{folder}')",
            f"SELECT count(y) FROM (SELECT {expression} AS y FROM t)",
        ]
        command = [options.seedbed, "--threads", "1", "--timing"]
        for sql in commands:
            command += ["-c", sql]
        log = subprocess.run(command, check=True, capture_output=True, text=True)
        # the statement's own figure
        found = re.findall(r"([\d.]+) (ms|s)\b", log.stdout + log.stderr)
        value, unit = found[-1]
        return float(value) / (1000 if unit == "ms" else 1)
    return count / max(min(seconds(expression) for _ in range(options.runs)), 1e-6)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--folder", default="/tmp/seedbed-benches/images")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--only", default=",".join(FUNCTIONS))
    parser.add_argument("--sizes", default="small,large")
    options = parser.parse_args()
    try:
        import albumentations
        import cv2
        cv2.setNumThreads(1)
    except ImportError:
        albumentations = None
    for kind in options.sizes.split(","):
        size, count, to = ((28, 28, 1), 20000, (20, 20)) if kind == "small" else ((375, 500, 3), 300, (224, 224))
        folder = Path(options.folder) / kind
        images = pictures(size, count)
        if not folder.exists():
            folder.mkdir(parents=True)
            for i, image in enumerate(images):
                Image.fromarray(image).save(folder / f"{i}.bmp")
        print(f"{kind}, images a second")
        print(f"{'':22}{'seedbed':>12}{'Pillow':>12}{'albumentations':>16}")
        for name in options.only.split(","):
            call, pillow, albu = FUNCTIONS[name]
            line = f"{name:22}{seedbed(options, folder, call.format(w=to[0], h=to[1]), count):>12.0f}"
            line += f"{loop(pillow, [Image.fromarray(i) for i in images[:32]]):>12.0f}" if pillow else f"{'-':>12}"
            if albumentations and albu:
                transform = albu(albumentations, to)
                try:
                    line += f"{loop(lambda i: transform(image=i), images):>16.0f}"
                except (ValueError, TypeError):
                    # not of grey pictures
                    line += f"{'-':>16}"
            else:
                line += f"{'-':>16}"
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
