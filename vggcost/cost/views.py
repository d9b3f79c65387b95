"""What becomes of a tensor's geometry in a view of it, by the view's name."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from vggcost.cost.geometry import Geometry, Part, is_plain, lost, moved, plain, regrouped
from vggcost.records import OpRecord

__all__ = ["viewed"]


def viewed(op: OpRecord, g: Geometry, which: int) -> Geometry | None:
    """Return the geometry of one of a view's outputs; None for a view that is not known.

    Args:
        op: a view, such as `aten.permute`, or `aten.split`, which has several outputs.
        g: the geometry of what it views.
        which: the position of the output.
    """
    rule = _VIEWS.get(op.op)
    return None if rule is None or 0 in op.input_shapes[0] else rule(op, g, which)


def _same(op: OpRecord, g: Geometry, which: int) -> Geometry:
    return g


def _regrouped(op: OpRecord, g: Geometry, which: int) -> Geometry | None:
    before, shape = op.input_shapes[0], op.output_shapes[which]
    if before == shape:
        return g
    return g._replace(axes=regrouped(g.axes, shape)) if prod(shape) == prod(before) else None


def _permuted(op: OpRecord, g: Geometry, which: int) -> Geometry:
    rank = len(g.axes)
    if rank < 2:
        return g
    order = list(op.get("dims", range(rank)))
    if op.op in ("aten.transpose", "aten.transpose_", "aten.t"):
        first, second = (op.get("dim0", 0), op.get("dim1", 1)) if op.op != "aten.t" else (0, rank - 1)
        order = list(range(rank))
        order[first], order[second] = order[second], order[first]
    return g._replace(axes=tuple([g.axes[i] for i in order]))


def _expanded(op: OpRecord, g: Geometry, which: int) -> Geometry:
    before, after = op.input_shapes[0], op.output_shapes[which]
    axes = (*map(plain, after[: len(after) - len(before)]), *g.axes)
    same = (*after[: len(after) - len(before)], *before)
    axes = tuple([axis if a == b else plain(b) for axis, a, b in zip(axes, same, after, strict=True)])
    return g._replace(axes=axes)


def _sliced(op: OpRecord, g: Geometry, which: int) -> Geometry:
    dim = op.get("dim", 0)
    size, first = op.input_shapes[0][dim], op.get("start") or 0
    first = min(max(first + size if first < 0 else first, 0), size)
    return moved(g, dim % len(g.axes), first, op.get("step", 1), op.output_shapes[which][dim])


def _split(op: OpRecord, g: Geometry, which: int) -> Geometry:
    dim = op.get("dim", 0)
    first = sum(shape[dim] for shape in op.output_shapes[:which])
    return moved(g, dim % len(g.axes), first, 1, op.output_shapes[which][dim])


def _selected(op: OpRecord, g: Geometry, which: int) -> Geometry | None:
    dim = op.get("dim", 0) % len(g.axes)
    index = op.get("index", which)  # unbind selects each
    one = moved(g, dim, index % op.input_shapes[0][dim], 1, 1)
    if one.axes[dim] == lost(1):
        return None
    return one._replace(axes=one.axes[:dim] + one.axes[dim + 1 :])


def _unfolded(op: OpRecord, g: Geometry, which: int) -> Geometry | None:
    """Windows of `size` every `step` positions: where they lie stays an axis, what is in them becomes the last."""
    if not g.axes:
        return None
    dim, (*_, size) = op.get("dimension") % len(g.axes), op.output_shapes[which]
    axis, count = g.axes[dim], op.output_shapes[which][dim]
    if is_plain(axis):
        windows, inside = plain(count), plain(size)
    elif len(axis) == 1 and axis[0].of > 0:
        windows = (Part(axis[0].of, count, axis[0].jump * op.get("step")),)
        inside = (Part(axis[0].of, size, axis[0].jump),)
    else:
        return None
    return g._replace(axes=(*g.axes[:dim], windows, *g.axes[dim + 1 :], inside))


_RULES: dict[Callable[[OpRecord, Geometry, int], Geometry | None], str] = {
    _same: "alias detach lift_fresh _conj _neg_view",
    _regrouped: "view _unsafe_view reshape _reshape_alias squeeze unsqueeze flatten unflatten",
    _permuted: "permute transpose t",
    _expanded: "expand",
    _sliced: "slice narrow",
    _split: "split split_with_sizes chunk tensor_split",
    _selected: "select unbind",
    _unfolded: "unfold",
}
_VIEWS = {f"aten.{name}": rule for rule, names in _RULES.items() for name in names.split()}
