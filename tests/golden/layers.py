"""Golden values of the layers for pictures: PyTorch's outputs and gradients.

pip install torch

Pictures are written channels last, weights as the matrices they are here: a window's cells, channels last, by the
channels of the smaller picture.
"""

import json
from pathlib import Path

import torch
from torch import nn

FOLDER = Path(__file__).parent / "layers"
torch.manual_seed(0)


def numbers(tensor):
    return [round(float(x), 7) for x in tensor.detach().flatten()]


def last(pictures):
    return pictures.permute(0, 2, 3, 1)


def matrix(weight):
    """(outputs, inputs, y, x), or (inputs, outputs, y, x) of a transposed one: the second is the wider picture's."""
    return weight.permute(2, 3, 1, 0).flatten(0, 2)


def case(layer, module, shape, pictures=2, **settings):
    x = torch.randn(pictures, shape[2], shape[0], shape[1])
    # what is written is what PyTorch is given
    x = x.mul(1e4).round().div(1e4).requires_grad_()
    for parameter in module.parameters():
        parameter.data = torch.randn_like(parameter).mul(1e4).round().div(1e4)
    out = module(x)
    delta = torch.randn_like(out).mul(1e4).round().div(1e4)
    out.backward(delta)
    found = {
        "layer": layer,
        **settings,
        "input": list(shape),
        "output": [out.shape[2], out.shape[3], out.shape[1]],
        "x": numbers(last(x)),
        "delta": numbers(last(delta)),
        "out": numbers(last(out)),
        "gradient": numbers(last(x.grad)),
    }
    if hasattr(module, "layer"):
        module = module.layer
    for name, parameter in module.named_parameters():
        weights = parameter.dim() == 4
        for key, values in [(name, parameter), (f"{name}_gradient", parameter.grad)]:
            found[key] = numbers(matrix(values) if weights else values)
    return found


class NormThenRelu(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(self.layer(x))


def conv(inputs, outputs, side, stride, padding, shape, transposed=False):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    settings = dict(side=side, stride=stride, padding=padding)
    name = "transposed" if transposed else "conv"
    return case(name, kind(inputs, outputs, side, stride, padding), shape, **settings)


cases = [
    conv(2, 3, 4, 2, 1, (5, 6, 2)),
    conv(3, 2, 3, 1, 1, (4, 3, 3)),
    conv(1, 2, 3, 2, 0, (7, 5, 1)),
    conv(3, 2, 4, 2, 1, (3, 2, 3), transposed=True),
    conv(2, 1, 3, 1, 0, (2, 3, 2), transposed=True),
    case("pool", nn.MaxPool2d(2), (5, 4, 2), side=2),
    case("norm", NormThenRelu(3), (3, 4, 3)),
]
golden = {"authority": f"PyTorch {torch.__version__.split('+')[0]}", "cases": cases}
FOLDER.mkdir(exist_ok=True)
(FOLDER / "convolutions.json").write_text(json.dumps(golden) + "\n")
