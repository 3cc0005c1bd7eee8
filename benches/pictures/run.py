#!/usr/bin/env python3
"""A step of conv_gan in Seedbed and of the same networks in PyTorch, in turn, on the same digits and as many threads.

A step: the generator draws a batch; the discriminator learns from real and drawn pictures, with the penalty on its gradients at the
real ones; the generator learns from what it then says. A training of one epoch and one of more give a step's time as their
difference. PyTorch leaves out what only Seedbed's steps have: the random changes of pictures, the average of the weights, and the
look at a sample after every epoch.
"""

import argparse
import csv
import gzip
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "tests" / "data" / "mnist" / "mnist_4k.csv.gz"
BATCH = 64


def ours(options, folder, epochs):
    pictures = f"SELECT image_from_pixels(columns('p[0-9]+'), width => 28, height => 28) AS image, label FROM '{DIGITS}'"
    sql = f"CREATE MODEL m USING conv_gan OPTIONS (epochs {epochs}, batch_size {BATCH}) AS {pictures}"
    command = [options.seedbed, "--threads", str(options.threads), "--quiet", "-c", sql]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return time.monotonic() - begin


def pytorch(threads, epochs):
    """Seconds of so many epochs, after one that is not counted."""
    import numpy
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with gzip.open(DIGITS, "rt") as file:
        rows = [[int(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    cells = torch.tensor(numpy.array(rows, dtype=numpy.float32))
    pixels, labels = cells[:, 1:-1].reshape(-1, 1, 28, 28) / 127.5 - 1, cells[:, -1].long()

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.start, self.classes = nn.Linear(64, 7 * 7 * 128), nn.Embedding(10, 7 * 7 * 128)
            self.rest = nn.Sequential(
                nn.BatchNorm2d(128), nn.ReLU(), nn.ConvTranspose2d(128, 64, 4, 2, 1),
                nn.BatchNorm2d(64), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1),
                nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 1, 3, 1, 1), nn.Tanh(),
            )

        def forward(self, noise, classes):
            return self.rest((self.start(noise) + self.classes(classes)).reshape(-1, 128, 7, 7))

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            leaky = nn.LeakyReLU(0.2)
            self.trunk = nn.Sequential(
                nn.Conv2d(1, 32, 4, 2, 1), leaky, nn.Conv2d(32, 64, 4, 2, 1), leaky, nn.Conv2d(64, 128, 4, 2, 1), leaky,
                nn.Flatten(),
            )
            self.output, self.classes = nn.Linear(3 * 3 * 128, 1), nn.Embedding(10, 3 * 3 * 128)

        def forward(self, pictures, classes):
            features = self.trunk(pictures)
            return self.output(features).squeeze(1) + (features * self.classes(classes)).sum(1)

    generator, discriminator = Generator(), Discriminator()
    of_generator = torch.optim.Adam(generator.parameters(), 5e-4, (0.5, 0.99))
    of_discriminator = torch.optim.Adam(discriminator.parameters(), 5e-4, (0.5, 0.99))

    def epoch():
        for rows in torch.randperm(len(pixels)).split(BATCH)[: len(pixels) // BATCH]:
            real, classes = pixels[rows].requires_grad_(), labels[rows]
            drawn = generator(torch.randn(BATCH, 64), classes)
            answers = discriminator(torch.cat([real, drawn.detach()]), classes.repeat(2))
            loss = functional.softplus(-answers[:BATCH]).mean() + functional.softplus(answers[BATCH:]).mean()
            (slope,) = torch.autograd.grad(answers[:BATCH].sum(), real, create_graph=True)
            of_discriminator.zero_grad()
            (loss + 0.05 * slope.square().sum([1, 2, 3]).mean()).backward()
            of_discriminator.step()
            of_generator.zero_grad()
            functional.softplus(-discriminator(drawn, classes)).mean().backward()
            of_generator.step()

    epoch()
    begin = time.monotonic()
    for _ in range(epochs):
        epoch()
    return time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="a Python with torch installed")
    parser.add_argument("--seedbed", default=str(ROOT / "target" / "release" / "seedbed"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="of the longer training")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(pytorch(options.threads, options.epochs - 1))
        return
    steps = (options.epochs - 1) * (4000 // BATCH)
    figures = {"Seedbed": [], "PyTorch": []}
    peer = [options.python, __file__, "--peer", "--threads", options.threads, "--epochs", options.epochs]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs):
            figures["Seedbed"].append((ours(options, folder, options.epochs) - ours(options, folder, 1)) / steps)
            done = subprocess.run([str(word) for word in peer], capture_output=True, text=True, check=True)
            figures["PyTorch"].append(float(done.stdout) / steps)
    for tool, seconds in figures.items():
        print(f"{tool}: {1000 * statistics.median(seconds):.1f} ms a step (median of {options.runs})")


if __name__ == "__main__":
    main()
