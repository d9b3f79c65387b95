"""What a convolution looks like to the library that runs it: sizes, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

__all__ = ["Geometry", "backward_geometry", "beyond", "forward_geometry", "rounded"]


def beyond(*steps: int) -> int:
    """The most bytes alive over these allocations and frees, beyond what is left at their end.

    Example:
        >>> beyond(100, 50, -100, 50, -50)
        100
    """
    live = most = 0
    for step in steps:
        live += step
        most = max(most, live)
    return most - live


def rounded(value: int, block: int) -> int:
    """Round up to a multiple."""
    return -(-value // block) * block


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution from `source` to `target`, both without batch and channels.

    A transposed one is written as the convolution whose gradient it computes: what goes in is then
    the target, and what comes out the source. `copies` are bytes of tensors that torch puts in order first.
    """

    itemsize: int
    batch: int
    groups: int
    inputs: int
    outputs: int
    source: tuple[int, ...]
    target: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    transposed: bool
    bias: bool
    channels_last: bool
    copies: int
    threads: int

    @property
    def extent(self) -> tuple[int, ...]:
        """How far the kernel reaches, dilation included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def end_padding(self) -> tuple[int, ...]:
        """The padding at the end of each axis that the target implies; negative where the source has a rest."""
        return tuple(
            (t - 1) * s + e - n - p
            for t, s, e, n, p in zip(self.target, self.stride, self.extent, self.source, self.padding, strict=True)
        )

    @property
    def pointwise(self) -> bool:
        """A kernel of one element, without padding."""
        return prod(self.kernel) == 1 and not any(self.padding)

    @property
    def strided(self) -> bool:
        """Whether any stride is not 1."""
        return any(s != 1 for s in self.stride)

    @property
    def dilated(self) -> bool:
        """Whether any dilation is not 1."""
        return any(d != 1 for d in self.dilation)

    @property
    def depthwise(self) -> bool:
        """One channel in and one out in each group."""
        return self.groups > 1 and self.inputs == self.outputs == self.groups

    @property
    def source_bytes(self) -> int:
        """Bytes of the source."""
        return self.itemsize * self.batch * self.inputs * prod(self.source)

    @property
    def target_bytes(self) -> int:
        """Bytes of the target."""
        return self.itemsize * self.batch * self.outputs * prod(self.target)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return self.itemsize * self.outputs * (self.inputs // self.groups) * prod(self.kernel)

    @property
    def bias_bytes(self) -> int:
        """Bytes of the bias, which belongs to what comes out."""
        return self.itemsize * (self.inputs if self.transposed else self.outputs) * self.bias


def _axes(values: Sequence[int], count: int) -> tuple[int, ...]:
    return tuple(values) * (count if len(values) == 1 else 1)


def _geometry(
    threads: int, tensors: tuple[Any, ...], x: Any, weight: Any, y: Sequence[int], bias: bool, options: tuple[Any, ...]
) -> Geometry:
    stride, padding, dilation, transposed, output_padding, groups = options
    count = len(weight.shape) - 2
    sizes = [tuple(x.shape[2:]), tuple(y[2:]), tuple(weight.shape[2:])]
    steps = [_axes(values, count) for values in (stride, padding, dilation, output_padding)]
    if count == 1:  # torch sees one row of an image
        sizes = [(1, *size) for size in sizes]
        steps = [(first, *step) for first, step in zip((1, 0, 1, 0), steps, strict=True)]
    last = _last(x) or _last(weight)
    here, there = (x.shape[1], sizes[0]), (y[1], sizes[1])
    source, target = (there, here) if transposed else (here, there)
    return Geometry(
        itemsize=x.element_size(), batch=x.shape[0], groups=groups, inputs=source[0], outputs=target[0],
        source=source[1], target=target[1], kernel=sizes[2], stride=steps[0], padding=steps[1], dilation=steps[2],
        output_padding=steps[3], transposed=transposed, bias=bias, channels_last=last,
        copies=sum(t.element_size() * prod(t.shape) for t in tensors if not _ordered(t, last)), threads=threads,
    )  # fmt: skip


def forward_geometry(threads: int, x: Any, weight: Any, bias: Any, *options: Any) -> Geometry:
    """Read the arguments of `aten.convolution`."""
    stride, padding, dilation, transposed, output_padding, _ = options
    count = len(weight.shape) - 2
    steps = zip(*(_axes(values, count) for values in (stride, padding, dilation, output_padding)), strict=True)
    sizes = zip(x.shape[2:], weight.shape[2:], steps, strict=True)
    if transposed:
        shape = [(n - 1) * s - 2 * p + d * (k - 1) + 1 + o for n, k, (s, p, d, o) in sizes]
        channels = weight.shape[1] * options[-1]
    else:
        shape = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, (s, p, d, _) in sizes]
        channels = weight.shape[0]
    made = (x.shape[0], channels, *shape)
    return _geometry(threads, (x, weight), x, weight, made, bias is not None, options)


def backward_geometry(threads: int, gradient: Any, x: Any, weight: Any, bias_sizes: Any, *options: Any) -> Geometry:
    """Read the arguments of `aten.convolution_backward`."""
    mask = options[-1]
    return _geometry(threads, (gradient, x, weight), x, weight, gradient.shape, mask[2], options[:-1])


def _ordered(tensor: Any, last: bool) -> bool:
    """Whether a tensor lies in memory without gaps, in the order that is asked for."""
    axes = range(len(tensor.shape))
    order = (0, *axes[2:], 1) if last and len(tensor.shape) > 3 else axes
    step = 1
    for axis in reversed(order):
        if tensor.shape[axis] != 1:
            if tensor.stride(axis) != step:
                return False
            step *= tensor.shape[axis]
    return True


def _last(tensor: Any) -> bool:
    """Whether an image is stored with its channels last, and only so."""
    return len(tensor.shape) > 3 and _ordered(tensor, last=True) and not _ordered(tensor, last=False)
