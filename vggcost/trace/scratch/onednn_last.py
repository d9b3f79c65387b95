"""Memory inside oneDNN's convolutions of images whose channels come last, as after a permute.

Such images are taken as they are; the weights are copied to the layout of the kernel, which pads the
channels of each group to a block. Source: as for `vggcost.trace.scratch.onednn`, whose kernels these are.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from vggcost.trace.scratch import onednn
from vggcost.trace.scratch.geometry import Geometry, rounded
from vggcost.trace.scratch.onednn import PAGE, SIMD, Kernel, booked
from vggcost.trace.scratch.threads import split_weights

__all__ = ["data_kernel", "forward_kernel", "weight_kernel"]


def _kernel(g: Geometry, name: str, weight: int, spare: int = 0) -> Kernel:
    return Kernel(name, g.source_bytes, weight, g.target_bytes, spare)


def _padded(g: Geometry, outputs: int, inputs: int) -> int:
    """Bytes of the weights with the channels of each group rounded up to a block; a block of 1 leaves them."""
    rows, columns = rounded(g.outputs // g.groups, outputs), rounded(g.inputs // g.groups, inputs)
    return g.itemsize * g.groups * rows * columns * prod(g.kernel)


def _block(g: Geometry) -> int:
    """Block of a grouped kernel: 16, or less where each group has few channels that fit a smaller one."""
    inputs, outputs = g.inputs // g.groups, g.outputs // g.groups
    if g.groups > 1 and max(inputs, outputs) < SIMD:
        return next((block for block in (8, 4) if inputs % block == outputs % block == 0), SIMD)
    return SIMD


def _batch(g: Geometry) -> int:
    """The list of matrices that each thread multiplies."""
    return booked(g.threads * rounded(40 * prod(g.kernel), PAGE), PAGE)


def _depthwise(g: Geometry) -> int:
    return g.itemsize * rounded(g.groups, SIMD) * prod(g.kernel)


def forward_kernel(g: Geometry) -> Kernel:
    """Pick the kernel of a forward pass."""
    if g.depthwise:
        return _kernel(g, "depthwise", _depthwise(g))
    if g.groups == 1:
        return _kernel(g, "brgemm", _padded(g, SIMD, 1), _batch(g))
    return _kernel(g, "direct", _padded(g, _block(g), _block(g)))


def data_kernel(g: Geometry) -> Kernel:
    """Pick the kernel of the gradient of the source."""
    kernel = _data_kernel(g)
    even = all(n % s == 0 for n, s in zip(g.source, g.stride, strict=True))
    if g.transposed and g.bias and (kernel.name in ("depthwise", "gemm") or not even):
        return replace(kernel, spare=kernel.spare + booked(g.source_bytes))
    return kernel


def _data_kernel(g: Geometry) -> Kernel:
    if g.strided and not g.dilated and (g.groups == 1 or g.outputs // g.groups > SIMD):
        return _kernel(g, "strided", *onednn.strided_sizes(g, SIMD))
    if g.depthwise and not g.dilated:
        return _kernel(g, "depthwise", _depthwise(g))
    if g.strided and g.dilated:
        return _kernel(g, "gemm", g.weight_bytes, booked(g.itemsize * onednn.column_elements(g)))
    if g.groups == 1:
        return _kernel(g, "brgemm", _padded(g, 1, SIMD), _batch(g))
    return _kernel(g, "direct", _padded(g, _block(g), _block(g)))


def weight_kernel(g: Geometry) -> Kernel:
    """Pick the kernel of the gradients of the weights and the bias."""
    plain = onednn.weight_kernel(g)
    if plain.name == "depthwise":
        weight = _depthwise(g)
        spare = booked((g.threads - 1) * weight) + booked((g.threads - 1) * g.itemsize * g.groups * g.bias)
        return _kernel(g, "depthwise", weight, spare)
    if plain.name == "1x1" or not onednn.fits_direct(g):
        return plain
    first = g.groups == 1 and g.inputs < SIMD
    shares, threads = split_weights(g, first)
    weight = _padded(g, SIMD, 1 if first else SIMD)
    bias = onednn.summed_bias(replace(g, bias=g.bias and not g.transposed), SIMD, threads)
    return _kernel(g, "direct", weight, onednn.summed(shares, weight) + bias)
