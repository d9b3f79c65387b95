"""Memory of the convolutions that torch does itself: images unrolled to columns for a matrix product.

These run where no library takes the convolution: small images one at a time, float64, and paddings of the
output that reach beyond the stride.

Source: pytorch, aten/src/ATen/native: ConvolutionMM2d.cpp, ConvolutionMM3d.cpp, NaiveDilatedConvolution.cpp,
NaiveConvolutionTranspose2d.cpp, NaiveConvolutionTranspose3d.cpp; Convolution.cpp (groups one by one, then joined).
"""

from __future__ import annotations

from math import prod

from vggcost.trace.scratch.geometry import Geometry

__all__ = ["backward", "forward"]

_WHOLE, _ONE, _NONE = "batch", "image", ""
_HELD = {  # by kind and axes: whose columns are held in forward, for the gradient of the source, of the weights
    ("plain", 2): (_WHOLE, _NONE, _WHOLE),
    ("plain", 3): (_WHOLE, _WHOLE, _WHOLE),
    ("dilated", 2): (_ONE, _ONE, _ONE),
    ("dilated", 3): (_ONE, _ONE, _ONE),
    ("transposed", 2): (_WHOLE, _ONE, _ONE),
    ("transposed", 3): (_ONE, _ONE, _ONE),
}
_ALWAYS = {
    ("plain", 3, 1),
    ("transposed", 2, 0),
    ("transposed", 3, 0),
    *(("dilated", n, i) for n in (2, 3) for i in range(3)),
}
"""Where columns are made even of a kernel that has one element and could do without."""


def _columns(g: Geometry, position: int) -> int:
    """Bytes of the columns of one group."""
    kind = "transposed" if g.transposed else "dilated" if g.dilated else "plain"
    axes = len(g.kernel)
    held = _HELD[kind, axes][position]
    if held == _NONE or (g.pointwise and not g.strided and (kind, axes, position) not in _ALWAYS):
        return 0
    images = g.batch if held == _WHOLE else 1
    return g.itemsize * images * g.inputs // _one_by_one(g) * prod(g.kernel) * prod(g.target)


def _one_by_one(g: Geometry) -> int:
    """The groups that are run one after another; the plain kernel of three axes takes them all at once."""
    return 1 if len(g.kernel) == 3 and not g.transposed and not g.dilated else g.groups


def _slices(g: Geometry, *sides: int) -> int:
    """Bytes of the tensors of one group, copied unless there is one image, of which a group is a part already."""
    return sum(sides) // g.groups if g.batch > 1 else 0


def forward(g: Geometry) -> int:
    """Bytes that live only in the forward pass."""
    columns = _columns(g, 0)
    if g.transposed and len(g.kernel) == 3 and g.bias:
        columns += g.itemsize * prod(g.source)  # a map of ones
    if _one_by_one(g) == 1:
        return columns
    given, made = (g.target_bytes, g.source_bytes) if g.transposed else (g.source_bytes, g.target_bytes)
    return max(made, _slices(g, given) + columns)


def backward(g: Geometry, source: bool, weights: bool) -> int:
    """Bytes that live only in the backward pass."""
    columns = max(_columns(g, 1) if source else 0, _columns(g, 2) if weights else 0)
    if _one_by_one(g) == 1:
        return columns
    given = g.target_bytes if g.transposed else g.source_bytes
    made = (given if source else 0) + (g.weight_bytes + g.bias_bytes if weights else 0)
    return max(made, _slices(g, g.source_bytes, g.target_bytes) + columns)
