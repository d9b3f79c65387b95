"""Costs on paper: formulas written from the definitions, without torch and without vggcost.

A layer is a plain tuple; `walk` returns for each layer its output shape, parameters and MACs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor


def out_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, up: bool = False) -> int:
    """Positions of a window along one axis; rounded up, the last one must start inside the input or left padding."""
    steps = (size + 2 * padding - dilation * (kernel - 1) - 1) / stride
    count = (ceil(steps) if up else floor(steps)) + 1
    if up and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def conv(
    channels: int, side: int, out: int, kernel: int, stride: int, padding: int, dilation: int, groups: int, bias: bool
):
    """Return output side, params and MACs of a square convolution on one image."""
    made = out_size(side, kernel, stride, padding, dilation)
    filter_weights = kernel * kernel * (channels // groups)
    return made, filter_weights * out + (out if bias else 0), made * made * out * filter_weights


def linear(inputs: int, outputs: int, bias: bool = True) -> tuple[int, int]:
    return inputs * outputs + (outputs if bias else 0), inputs * outputs


def vgg_deep(
    blocks: Sequence[Sequence[str]], side: int = 224, classes: int = 1000
) -> dict[str, tuple[tuple[int, ...], int, int]]:
    """Walk a configuration written as in the paper's Table 1 (`conv3-64`, `conv1-256`, `LRN`)."""
    layers: dict[str, tuple[tuple[int, ...], int, int]] = {}
    channels = 3
    for number, block in enumerate(blocks, 1):
        position = 0
        for entry in block:
            if entry == "LRN":
                layers[f"lrn{number}"] = ((channels, side, side), 0, 0)
                continue
            position += 1
            kernel, out = (int(part) for part in entry.removeprefix("conv").split("-"))
            side, params, macs = conv(channels, side, out, kernel, 1, kernel // 2, 1, 1, True)
            channels = out
            layers[f"conv{number}_{position}"] = ((channels, side, side), params, macs)
        side //= 2
        layers[f"pool{number}"] = ((channels, side, side), 0, 0)
    width = channels * side * side
    for name, out in (("fc6", 4096), ("fc7", 4096), ("fc8", classes)):
        layers[name] = ((out,), *linear(width, out))
        width = out
    return layers
