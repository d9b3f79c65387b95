"""What a convolution takes on the CPU besides its tensors: by oneDNN, or by torch itself."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from vggcost.trace.scratch import columns, onednn, onednn_last
from vggcost.trace.scratch.geometry import Geometry, backward_geometry, beyond, forward_geometry
from vggcost.trace.scratch.onednn import Kernel

__all__ = ["backward_scratch", "forward_scratch", "uses_onednn"]

_SMALL = 20_480  # elements of an image; torch runs one that is no larger itself


def uses_onednn(g: Geometry) -> bool:
    """Whether torch gives a convolution on the CPU to oneDNN.

    Source: pytorch, aten/src/ATen/native/Convolution.cpp, ConvParams::use_mkldnn.
    """
    if g.transposed and any(o >= s for o, s in zip(g.output_padding, g.stride, strict=True)):
        return False
    if g.itemsize != 4:
        return g.itemsize == 2
    channels, size = (g.outputs, g.target) if g.transposed else (g.inputs, g.source)
    wide = min(g.kernel[-2:]) > 3
    moved = g.strided or g.dilated or g.batch >= 16 or g.kernel[-2:] != (1, 1) or g.threads > 1
    return moved and (g.groups > 1 or wide or g.batch > 1 or g.batch * channels * prod(size[:2]) > _SMALL)


def _given(g: Geometry, kernel: Kernel, source: bool) -> int:
    """The copy of a tensor that goes in; none where the kernel takes it as it is."""
    plain = kernel.plain or (source and kernel.source_plain) or (kernel.last and _same(g, source))
    return 0 if plain else kernel.source if source else kernel.target


def _made(g: Geometry, kernel: Kernel, source: bool) -> tuple[int, ...]:
    """How a result leaves the layout of its kernel: by one copy, or by two where the channels were last."""
    inner, plain = (kernel.source, g.source_bytes) if source else (kernel.target, g.target_bytes)
    return (plain, plain, -plain, -inner) if kernel.last and not _same(g, source) else (plain, -inner)


def _same(g: Geometry, source: bool) -> bool:
    """Whether a tensor lies in memory alike with its channels first and last."""
    channels, size = (g.inputs, g.source) if source else (g.outputs, g.target)
    return channels == 1 or prod(size) == 1


def _pass(g: Geometry, kernel: Kernel, source: bool) -> tuple[int, ...]:
    """Allocations and frees of a kernel that makes the source, or the target."""
    given = _given(g, kernel, not source)
    weight = 0 if kernel.plain else kernel.weight
    inner = kernel.source if source else kernel.target
    if g.channels_last:  # the tensors are taken as they are, and only the weights copied
        made, weight = g.source_bytes if source else g.target_bytes, 0 if kernel.name == "product" else kernel.weight
        return made, weight, kernel.spare, -kernel.spare, -weight
    return given, weight, kernel.spare, inner, -kernel.spare, -weight, -given, *_made(g, kernel, source)


@lru_cache(maxsize=4096)
def _forward(g: Geometry) -> int:
    if not uses_onednn(g):
        return g.copies + columns.forward(g)
    kernels = onednn_last if g.channels_last else onednn
    kernel = kernels.data_kernel(g) if g.transposed else kernels.forward_kernel(g)
    return g.copies + beyond(*_pass(g, kernel, g.transposed))


@lru_cache(maxsize=4096)
def _backward(g: Geometry, source: bool, weights: bool) -> int:
    if not uses_onednn(g):
        return g.copies + columns.backward(g, source, weights)
    kernels = onednn_last if g.channels_last else onednn
    steps: list[int] = []
    if source:
        kernel = kernels.forward_kernel(g) if g.transposed else kernels.data_kernel(g)
        steps += _pass(g, kernel, not g.transposed)
    if weights:
        kernel = kernels.weight_kernel(g)
        copies = 0 if g.channels_last else _given(g, kernel, True) + _given(g, kernel, False)
        made, bias, plain = kernel.weight, g.bias_bytes, g.weight_bytes
        again = plain if g.channels_last or kernel.name == "product" else 0
        steps += [copies, made, kernel.spare, bias, -kernel.spare, -copies, bias, plain, again, -again, -made, -bias]
    return g.copies + beyond(*steps)


def forward_scratch(threads: int, *args: Any) -> int:
    """Bytes that live only inside `aten.convolution`."""
    return _forward(forward_geometry(threads, *args))


def backward_scratch(threads: int, *args: Any) -> int:
    """Bytes that live only inside `aten.convolution_backward`."""
    source, weights, bias = args[-1]
    return _backward(backward_geometry(threads, *args), source, weights or bias)
