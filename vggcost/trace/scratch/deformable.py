"""Memory inside a deformable convolution: the sampled columns, which are a tensor on every device.

Source: torchvision, csrc/ops/cpu/deform_conv2d_kernel.cpp, and csrc/ops/cuda/deform_conv2d_kernel.cu alike.
"""

from __future__ import annotations

from math import prod
from typing import Any

from vggcost.trace.scratch.geometry import beyond

__all__ = ["backward", "forward"]

_MOST = 32  # images that are unrolled together


def _bytes(tensor: Any) -> int:
    return int(tensor.element_size() * prod(tensor.shape))


def _together(batch: int) -> int:
    """The images that are unrolled together: the largest divisor of the batch up to 32."""
    return next(count for count in range(min(_MOST, batch), 0, -1) if batch % count == 0)


def _columns(x: Any, weight: Any, offset: Any) -> int:
    """Bytes of the columns: every channel at every place of the kernel, for the places of the output."""
    places = prod(offset.shape[2:]) * _together(x.shape[0])
    return int(x.element_size() * x.shape[1] * prod(weight.shape[2:]) * places)


def forward(x: Any, weight: Any, offset: Any, *rest: Any) -> int:
    """Bytes that live only in the forward pass: the columns, the product, and the same in the order of the images."""
    if not x.shape[0]:
        return 0
    made = int(x.element_size() * x.shape[0] * weight.shape[0] * prod(offset.shape[2:]))
    return _columns(x, weight, offset) + 2 * made


def backward(gradient: Any, x: Any, weight: Any, offset: Any, mask: Any, bias: Any, *options: Any) -> int:
    """Bytes that live only in the backward pass."""
    if not x.shape[0]:
        return 0
    groups = options[6]
    columns, given, weights = _columns(x, weight, offset), _bytes(gradient), _bytes(weight)
    part, share, ends = given * _together(x.shape[0]) // x.shape[0] // groups, weights // groups, 3 * [_bytes(bias)]
    return beyond(
        _bytes(x), _bytes(offset), _bytes(mask), columns, part, -part, -columns,
        weights, given, columns, share, share, -share, -share, -columns, -given, *ends, -ends[0], -ends[0],
    )  # fmt: skip
