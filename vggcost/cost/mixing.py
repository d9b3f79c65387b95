"""What becomes of a tensor's geometry in an op that computes: windows slide, products and sums add up over whole axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from vggcost.cost.geometry import Geometry, Window, contracted, is_plain, joined, moved, plain, regrouped, settled, slid
from vggcost.cost.macs import PACKED, first_operand
from vggcost.cost.ops import tabled
from vggcost.records import OpRecord

__all__ = ["UNSEEN", "mixed"]

Sources = Sequence[Geometry | None]
"""One for each tensor of an op; None for one that does not depend on the inputs."""
Rule = Callable[[OpRecord, Sources], Geometry | None]


def mixed(op: OpRecord, sources: Sources) -> Geometry | None:
    """Return the geometry of an op's first output; None where a position has no window, or nothing is known of the op.

    Args:
        op: an op that makes a tensor.
        sources: the geometries of its tensors, None for one that does not depend on the inputs.
    """
    rule = _rule(op.op, op.nature)
    return None if rule is None or 0 in op.output_shapes[0] else rule(op, sources)


def _each(values: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """One value for each axis; one stands for all."""
    found = (values,) if isinstance(values, int) else tuple(values)
    return found * axes if len(found) == 1 else found


@lru_cache(maxsize=4096)
def _windows(attributes: Any, kernel: tuple[int, ...], otherwise: tuple[int, ...]) -> tuple[Window, ...]:
    """The windows of a kernel; `otherwise` is the stride where none is given."""
    given, axes = dict(attributes), len(kernel)
    steps = (_each(given.get("stride") or otherwise, axes), _each(given.get("dilation", 1), axes))
    paddings = _each(given.get("padding", 0), axes)
    return tuple([Window(d * (k - 1), s, p) for k, s, d, p in zip(kernel, *steps, paddings, strict=True)])


def _alone(sources: Sources, position: int = 0) -> Geometry | None:
    """The one tensor that depends on the inputs, if it is this one."""
    others = any(g is not None for i, g in enumerate(sources) if i != position)
    return None if others else sources[position]


def _pointwise(op: OpRecord, sources: Sources) -> Geometry | None:
    found = [g for g in sources if g is not None]
    if len(found) == 1 and op.input_shapes[sources.index(found[0])] == op.output_shapes[0]:
        return found[0]
    return joined(found, op.output_shapes[0])


def _convolution(op: OpRecord, sources: Sources) -> Geometry | None:
    x, kernel, out = _alone(sources), op.input_shapes[1][2:], op.output_shapes[0]
    if x is None or op.get("transposed") or len(x.axes) != len(kernel) + 2:
        return None
    g = settled(x, x.axes[1], window=True)
    if g is not None and not is_plain(g.axes[1]):  # a group of channels sees a part of what they hold
        g = contracted(g, (1,)) if op.get("groups", 1) == 1 else None
    if g is None:
        return None
    spans, axes = g.spans, (g.axes[0], plain(out[1]), *g.axes[2:])
    return slid(Geometry(spans, axes, g.settled), _windows(op.attributes, kernel, (1,)), out)


def _pool(op: OpRecord, sources: Sources) -> Geometry | None:
    x, axes = _alone(sources), _dimensions(op.op)
    kernel = _each(op.get("kernel_size", 1), axes)
    return x and slid(x, _windows(op.attributes, kernel, kernel), op.output_shapes[0])


def _adaptive_pool(op: OpRecord, sources: Sources) -> Geometry | None:
    """A window that divides its axis is one of a stride as long; one that does not has no single size."""
    g, axes = _alone(sources), _dimensions(op.op)
    before, after = op.input_shapes[0], op.output_shapes[0]
    for i in range(len(before) - axes, len(before)):
        if g is None or before[i] == after[i]:
            continue
        if after[i] == 1:
            g = contracted(g, (i,))
        elif before[i] % after[i]:
            return None
        else:
            step = before[i] // after[i]
            still = [Window(0, 1, 0)] * (len(before) - i - 1)
            g = slid(g, [Window(step - 1, step, 0), *still], after)
    return g


def _dimensions(name: str) -> int:
    """How many axes a pool has, as its name says: `max_pool2d_with_indices`."""
    return int(next(digit for digit in name if digit.isdigit()))


def _product(op: OpRecord, sources: Sources) -> Geometry | None:
    """A product with weights adds up over the last axis of the first factor, or the last but one of the second."""
    first, out = first_operand(op), op.output_shapes[0]
    g, position = _alone(sources, first), len(op.input_shapes[first]) - 1
    if g is None:
        g, position = _alone(sources, first + 1), max(len(op.input_shapes[first + 1]) - 2, 0)
    g = g and settled(g, g.axes[position], window=False)
    g = g and contracted(g, (position,))
    return g and g._replace(
        axes=(*g.axes[:position], *map(plain, out[position : position + 1]), *g.axes[position + 1 :])
    )


def _reduced(op: OpRecord, sources: Sources) -> Geometry | None:
    """A sum, a mean, an extreme over whole axes; of two tensors it is pointwise."""
    if len(op.input_shapes) > 1:
        return _pointwise(op, sources)
    (x,) = sources
    if x is None or not x.axes:
        return x
    rank = len(x.axes)
    given = op.get("dim")
    dims = {d % rank for d in ((given,) if isinstance(given, int) else given or range(rank))}
    g = contracted(x, dims)
    if g is None or len(op.output_shapes[0]) == rank:
        return g
    return g._replace(axes=tuple([axis for i, axis in enumerate(g.axes) if i not in dims]))


def _across(op: OpRecord, sources: Sources) -> Geometry | None:
    """What mixes the positions of one axis, and keeps them: pointwise over channels, unknown along a map."""
    g = _pointwise(op, sources)
    return g if g and (not g.axes or is_plain(g.axes[op.get("dim", -1)])) else None


def _gated(op: OpRecord, sources: Sources) -> Geometry | None:
    """GLU: one half of an axis times a function of the other."""
    (x,), dim = sources, op.get("dim", -1)
    if x is None or not is_plain(x.axes[dim]):
        return None
    return moved(x, dim % len(x.axes), 0, 1, op.output_shapes[0][dim])


def _concatenated(op: OpRecord, sources: Sources) -> Geometry | None:
    out = op.output_shapes[0]
    found = [g for g in sources if g is not None]
    dim = op.get("dim", 0) % len(out)
    if op.op == "aten.stack":
        found = [g._replace(axes=(*g.axes[:dim], plain(1), *g.axes[dim:])) for g in found]
    return joined(found, out, dim) if all(len(g.axes) == len(out) for g in found) else None


def _padded(op: OpRecord, sources: Sources) -> Geometry | None:
    """Padding lists (before, after) from the last axis on; what it puts there, zeros or mirrored values, is no window."""
    g, out = _alone(sources), op.output_shapes[0]
    pads = op.get("pad") or op.get("padding") or ()
    for i, before in enumerate(pads[::2], 1):
        at = len(out) - i
        if g is not None and (before or out[at] != op.input_shapes[0][at]):
            g = moved(g, at, -before, 1, out[at])
    return g


def _overwritten(op: OpRecord, sources: Sources) -> Geometry | None:
    """`copy_(target, source)`: nothing is left of the target."""
    source = sources[1]
    return source and joined([source], op.output_shapes[0])


def _restrided(op: OpRecord, sources: Sources) -> Geometry | None:
    """`as_strided_` where torch only tidies up the strides of axes with one position."""
    shape, steps, expected = op.output_shapes[0], op.get("stride", ()), 1
    for size, step in zip(reversed(shape), reversed(steps), strict=True):
        if size > 1 and step != expected:
            return None
        expected *= size
    return sources[0] if shape == op.input_shapes[0] and not op.get("storage_offset") else None


def _shuffled(op: OpRecord, sources: Sources) -> Geometry | None:
    g = _alone(sources)
    return g if g and is_plain(g.axes[1]) else None


def _unshuffled(op: OpRecord, sources: Sources) -> Geometry | None:
    """Squares of `r` by `r` positions become channels: as two views and a permutation between them."""
    g, factor = _alone(sources), op.get("downscale_factor", 1)
    if g is None:
        return None
    *ahead, rows, columns = op.input_shapes[0]
    cut = regrouped(g.axes, (*ahead, rows // factor, factor, columns // factor, factor))
    ordered = (*cut[:-4], cut[-3], cut[-1], cut[-4], cut[-2])
    return g._replace(axes=regrouped(ordered, op.output_shapes[0]))


_RULES: dict[Rule, str] = {
    _convolution: """
        convolution _convolution cudnn_convolution mkldnn_convolution convolution_overrideable _conv_depthwise2d
        mkldnn._convolution_pointwise
    """,
    _product: "mm bmm addmm baddbmm _addmm_activation _int_mm _scaled_mm mv addmv dot",
    _reduced: """
        mean sum amax amin max min prod std var std_mean var_mean logsumexp nansum nanmean all any aminmax
        linalg_vector_norm norm count_nonzero
    """,
    _across: "cumsum cumprod cummax cummin logcumsumexp",
    _gated: "glu",
    _concatenated: "cat stack",
    _padded: """
        constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
        replication_pad3d
    """,
    _overwritten: "copy_",
    _pointwise: "clone copy _to_copy where masked_fill",
    _restrided: "as_strided",
    _shuffled: "channel_shuffle native_channel_shuffle",
    _unshuffled: "pixel_unshuffle",
}
_BY_NAME: dict[str, Rule] = {
    **{name if "." in name else f"aten.{name}": rule for rule, names in _RULES.items() for name in names.split()},
    **dict.fromkeys(PACKED, _product),
}
_BY_GROUP: dict[str, Rule] = {
    "activation": _pointwise,
    "elementwise": _pointwise,
    "batch_norm": _pointwise,
    "norm": _pointwise,
    "softmax": _across,
    "max_pool": _pool,
    "avg_pool": _pool,
    "adaptive_pool": _adaptive_pool,
}
_NO_WINDOW = frozenset(("aten.fractional_max_pool2d", "aten.fractional_max_pool3d"))
_LIKE = """
    empty_like zeros_like ones_like full_like rand_like randn_like randint_like new_empty new_empty_strided new_zeros
    new_ones new_full
"""
UNSEEN = frozenset(f"aten.{name}" for name in _LIKE.split())
"""Ops that take nothing of a tensor but its looks."""


@cache
def _rule(name: str, nature: str) -> Rule | None:
    """The rule of an op, by its name or else by its group, whatever a user says that it costs."""
    if name in _NO_WINDOW:
        return None
    return _BY_NAME.get(name) or _BY_NAME.get(name.rstrip("_")) or _BY_GROUP.get(tabled(name, nature) or "")
