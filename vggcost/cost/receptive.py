"""Receptive field and jump, followed from op to op.

A map knows how far each of its positions sees (`field`) and how far apart two neighbours look
(`jump`), both in input pixels. Where a net mixes positions in a way that has no window (attention,
resampling, a matrix product over something else than channels or the whole map) the answer is
unknown, and so is everything after it.

Source: Araujo, Norris & Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
Distill, equations 1 and 2; `r ← r + (k − 1)·j`, `j ← j·s`, with `k` the dilated kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from vggcost.cost.ops import group_of
from vggcost.records import Extent, OpRecord

__all__ = ["Geometry", "extent", "geometries"]


class Geometry(NamedTuple):
    """Receptive field and jump per axis, and the shape (C, H, W) of the map they belong to."""

    field: tuple[int, ...]
    jump: tuple[int, ...]
    map: tuple[int, ...]


def extent(values: tuple[int, ...] | None) -> Extent:
    """Give one number when all axes agree, one per axis otherwise, None for no map."""
    if not values:
        return None
    return values[0] if values.count(values[0]) == len(values) else values


_WINDOWS = frozenset(("aten.convolution", "aten._convolution", "aten.cudnn_convolution"))
_SAME = ("activation", "elementwise", "batch_norm", "norm", "softmax", "move")
# Moves that keep every element at its place; the others shuffle positions.
_KEEPS = (
    "cat clone copy _to_copy where masked_fill stack empty_like zeros_like ones_like full_like bernoulli bernoulli_"
)
_KEEPS_PLACE = {f"aten.{name}" for name in _KEEPS.split()} | {"aten.copy_", "aten.constant_pad_nd"}


def geometries(ops: Sequence[OpRecord], inputs: dict[int, tuple[int, ...]]) -> dict[int, Geometry]:
    """Follow the forward ops from the inputs.

    Args:
        ops: those of a run's forward pass in order, without views.
        inputs: for each input storage, its shape `(N, C, H, W)` (1 to 3 axes after the channels).

    Returns:
        The geometry of each storage that is a map of the input.
    """
    known: dict[int, Geometry] = {}
    for storage, shape in inputs.items():
        if len(shape) >= 3:
            ones = (1,) * (len(shape) - 2)
            known[storage] = Geometry(ones, ones, shape[1:])
    tainted: set[int] = set()
    for op in ops:
        sources = [known[i] for i in op.inputs if i in known]
        lost = not tainted.isdisjoint(op.inputs)
        if not sources and not lost:
            continue
        result = None if lost else _next(op, sources)
        for output in op.outputs:
            if result is None:
                known.pop(output, None)
                tainted.add(output)
            else:
                known[output] = result
    return known


def _next(op: OpRecord, sources: list[Geometry]) -> Geometry | None:
    first, out = sources[0], op.output_shapes[0]
    if op.op in _WINDOWS:
        kernel = op.input_shapes[1][2:]
        if op.get("transposed") or len(kernel) != len(first.field):
            return None
        return _window(first, out, *_steps(kernel, (1,), op.attributes))
    group = group_of(op)
    if group in ("max_pool", "avg_pool"):
        kernel = _last(op.get("kernel_size", (1,)), len(first.field))
        return _window(first, out, *_steps(kernel, kernel, op.attributes))
    if group == "adaptive_pool" or op.op == "aten.mean":
        return _reduced(op, first, out)
    if op.op in ("aten.mm", "aten.addmm"):
        return _product(op, first)
    if group in _SAME and (group != "move" or op.op in _KEEPS_PLACE):
        if group == "softmax" and op.get("dim") not in (1, -len(op.input_shapes[0]) + 1, None):
            return None
        if len(sources) == 1 and out[1:] == first.map:
            return first
        widest = max(sources, key=lambda g: g.field)
        jump = max(sources, key=lambda g: g.jump).jump if len({len(g.jump) for g in sources}) == 1 else widest.jump
        same = prod(out[1:]) == prod(widest.map) or len(out) != len(widest.map) + 1
        return Geometry(widest.field, jump, widest.map if same else out[1:])
    return None


def _last(values: Sequence[int], axes: int) -> tuple[int, ...]:
    """The last `axes` values; one value stands for all (LRN pools over channels as a third axis)."""
    return tuple(values) * axes if len(values) == 1 else tuple(values[-axes:])


@lru_cache(maxsize=4096)
def _steps(kernel: tuple[int, ...], otherwise: tuple[int, ...], attributes: Any) -> tuple[tuple[int, ...], ...]:
    """How many positions a window adds to what it sees, and how far it moves; `otherwise` where no stride is given."""
    given, axes = dict(attributes), len(kernel)
    dilation = _last(given.get("dilation", (1,)), axes)
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return reach, _last(given.get("stride") or otherwise, axes)


def _window(g: Geometry, out: tuple[int, ...], reach: tuple[int, ...], stride: tuple[int, ...]) -> Geometry:
    field = tuple([r + n * j for r, n, j in zip(g.field, reach, g.jump, strict=True)])
    jump = tuple([j * s for j, s in zip(g.jump, stride, strict=True)])
    return Geometry(field, jump, out[1:] if len(out) == len(g.field) + 2 else g.map)


def _whole(g: Geometry) -> tuple[int, ...]:
    """What a layer that looks at the whole map sees: as a convolution of the map's size would."""
    return tuple(r + (n - 1) * j for r, n, j in zip(g.field, g.map[-len(g.field) :], g.jump, strict=True))


def _reduced(op: OpRecord, g: Geometry, out: tuple[int, ...]) -> Geometry | None:
    axes = len(g.field)
    rank = len(op.input_shapes[0])
    if op.op == "aten.mean":
        dims = {d % rank for d in op.get("dim", ())} or set(range(rank))
        spatial = set(range(rank - axes, rank))
        if not spatial <= dims:
            return g if not spatial & dims else None
        return Geometry(_whole(g), g.jump, (g.map[0], *(1,) * axes))
    if any(size != 1 for size in out[-axes:]):
        return None
    return Geometry(_whole(g), g.jump, out[1:])


def _product(op: OpRecord, g: Geometry) -> Geometry | None:
    """A linear layer: over the channels of each position, or over the whole map."""
    contracted, made = op.input_shapes[-1]
    axes = len(g.field)
    if contracted == prod(g.map):
        return Geometry(_whole(g), g.jump, (made, *(1,) * axes))
    if contracted == g.map[0]:
        return Geometry(g.field, g.jump, (made, *g.map[1:]))
    return None
