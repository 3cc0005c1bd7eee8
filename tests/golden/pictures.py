#!/usr/bin/env python3
"""Golden values of what is told of generated pictures by their features: the Fréchet distance by scipy's matrix root, precision and
recall by all distances in numpy. And what a LeNet of PyTorch's says of pictures, whose weights are then read as ours."""

import json
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

K = 3


def frechet(a, b):
    apart = a.mean(axis=0) - b.mean(axis=0)
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(apart @ apart + np.trace(one + other - 2 * np.real(sqrtm(one @ other))))


def covered(balls, points):
    radii = np.sort(cdist(balls, balls), axis=1)[:, K]
    return float((cdist(points, balls) <= radii).any(axis=1).mean())


def case(rows, width, moved, scale, seed):
    generator = np.random.default_rng(seed)
    mixed = generator.normal(0, 1, (width, width))
    real = (generator.normal(0, 1, (rows, width)) @ mixed).astype(np.float32).round(3)
    synthetic = (generator.normal(moved, scale, (rows // 2, width)) @ mixed).astype(np.float32).round(3)
    a, b = real.astype(float), synthetic.astype(float)
    return {
        "real": [[float(f"{x:.3f}") for x in row] for row in a],
        "synthetic": [[float(f"{x:.3f}") for x in row] for row in b],
        "frechet": frechet(a, b),
        "precision": covered(a, b),
        "recall": covered(b, a),
    }


def lenet():
    torch.manual_seed(1)
    layers = {
        "conv.0": torch.nn.Conv2d(2, 3, 3, padding=1),
        "conv.1": torch.nn.Conv2d(3, 4, 3, padding=1),
        "dense.0": torch.nn.Linear(2 * 2 * 4, 5),
        "dense.output": torch.nn.Linear(5, 3),
    }
    pictures = torch.randn(3, 2, 9, 8)
    x = pictures
    for name in ("conv.0", "conv.1"):
        x = torch.nn.functional.max_pool2d(torch.relu(layers[name](x)), 2)
    x = torch.relu(layers["dense.0"](torch.flatten(x, 1)))
    state = {f"{name}.{part}": value for name, layer in layers.items() for part, value in layer.state_dict().items()}
    return {
        # channels last, as images are
        "pictures": pictures.permute(0, 2, 3, 1).reshape(3, -1).tolist(),
        "scores": layers["dense.output"](x).tolist(),
        "weights": {name: {"shape": list(value.shape), "values": value.flatten().tolist()} for name, value in state.items()},
    }


if __name__ == "__main__":
    cases = [case(60, 4, 0.5, 1.2, 1), case(40, 6, 0.0, 1.0, 2), case(50, 2, 3.0, 0.3, 3)]
    path = Path(__file__).resolve().parent / "layers/pictures.json"
    path.parent.mkdir(exist_ok=True)
    authority = f"numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__}"
    path.write_text(json.dumps({"authority": authority, "cases": cases, "lenet": lenet()}) + "\n")
