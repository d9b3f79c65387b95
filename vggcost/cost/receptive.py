"""Receptive field and jump, followed from op to op.

A map knows how far each of its positions sees (`field`) and how far apart two neighbours look
(`jump`), both in input pixels. Where a net mixes positions in a way that has no window (attention,
resampling, a sum over positions that lost their order) the answer is unknown, and so is everything
after it. Normalisations count as pointwise, whatever their statistics are taken over.

Source: Araujo, Norris & Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
Distill, equations 1 and 2; `r ← r + (k − 1)·j`, `j ← j·s`, with `k` the dilated kernel. Where branches meet
a position sees from the least start to the largest end of theirs, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vggcost.cost.geometry import Geometry, joined, look, of_input
from vggcost.cost.mixing import UNSEEN, mixed
from vggcost.cost.views import viewed
from vggcost.records import Extent, OpRecord, Shape

__all__ = ["Fields", "extent", "fields_of"]

Key = tuple[Shape, Any]
"""Which view of a storage a tensor is: its shape, and its strides where it is not contiguous."""


def extent(values: tuple[int, ...] | None) -> Extent:
    """Give one number when all axes agree, one per axis otherwise, None for no map."""
    if not values:
        return None
    return values[0] if values.count(values[0]) == len(values) else values


class Fields:
    """What is known of each storage, by the views of it; several geometries of one view cannot be told apart."""

    def __init__(self) -> None:
        self._views: dict[int, dict[Key, tuple[Geometry | None, ...]]] = {}
        self._made: dict[tuple[int, int, Shape], Geometry | None] = {}

    def of(self, module: int, storage: int, shape: Shape) -> tuple[Extent, Extent]:
        """Return the receptive field and the jump of a module's output; None, None where there is none."""
        geometry = self.geometry(module, storage, shape)
        field, jump = geometry.extents if geometry is not None else ((), ())
        return extent(field), extent(jump)

    def geometry(self, module: int, storage: int, shape: Shape) -> Geometry | None:
        """Return what a module's output is: as an op of its own made it, or as it is known in the end."""
        if (module, storage, shape) in self._made:
            return self._made[module, storage, shape]
        found = {g for (size, _), known in self._views.get(storage, {}).items() if size == shape for g in known}
        return found.pop() if len({g and g.spans for g in found}) == 1 else None

    def start(self, storage: int, shape: Shape) -> None:
        """Begin at an input."""
        self._views[storage] = {(shape, None): (of_input(shape),)}

    def follow(self, op: OpRecord) -> None:
        """Follow one op."""
        if self._views.keys().isdisjoint(op.inputs) or op.op in UNSEEN or not op.outputs:
            return
        strides = op.attributes[-1][1] if op.attributes and op.attributes[-1][0] == "strides" else ()
        if op.nature == "view":
            self._view(op, strides)
            return
        sources = self._sources(op, strides)
        shapes, made = op.output_shapes, mixed(op, sources) if sources is not None else None
        for i, (storage, shape) in enumerate(zip(op.outputs, shapes, strict=True)):
            geometry = made if shape == shapes[0] else None  # a second output of another shape is no map
            key, views = (shape, strides[len(op.inputs) + i] if strides else None), self._views.get(storage)
            kept = {k: g for k, g in views.items() if geometry and _see_alike(geometry, g)} if views else {}
            self._views[storage] = {
                **kept,
                key: (geometry,),
            }  # a write tells what the other views are only if they see as far
            self._made[op.module, storage, shape] = geometry

    def _view(self, op: OpRecord, strides: Sequence[Any]) -> None:
        """Note a view beside the others of its storage."""
        views = self._views.get(op.inputs[0], {})
        seen = views.get((op.input_shapes[0], strides[0] if strides else None), (None,))
        for i, shape in enumerate(op.output_shapes):
            key = shape, strides[1 + i] if strides else None
            found = [*views.get(key, ()), *[g and viewed(op, g, i) for g in seen]]
            views[key] = tuple({g and look(g): g for g in reversed(found)}.values()) if len(found) > 1 else (found[0],)
            self._made[op.module, op.outputs[i], shape] = views[key][0] if len(views[key]) == 1 else None

    def _sources(self, op: OpRecord, strides: Sequence[Any]) -> list[Geometry | None] | None:
        """Return what an op's tensors are, None for each that depends on no input; none at all where one is not known."""
        found: list[Geometry | None] = []
        for i, storage in enumerate(op.inputs):
            views = self._views.get(storage)
            if views is None:
                found.append(None)
                continue
            geometries = views.get((op.input_shapes[i], strides[i] if strides else None), (None,))
            known = geometries[0]
            if len(geometries) > 1:  # slices of one shape, unless an op takes them all, to put them together again
                together = op.inputs.count(storage) == len(geometries) and None not in geometries
                known = joined(geometries, op.input_shapes[i]) if together else None  # type: ignore[arg-type]
            if known is None:
                return None
            found.append(known)
        return found


def _see_alike(geometry: Geometry, others: Sequence[Geometry | None]) -> bool:
    return all(other is not None and other.spans == geometry.spans for other in others)


def fields_of(ops: Iterable[OpRecord], inputs: Mapping[int, Shape]) -> Fields:
    """Follow the forward ops from the inputs.

    Args:
        ops: those of a run's forward pass in order, with views.
        inputs: for each input storage, its shape `(N, C, H, W)` (1 to 3 axes after the channels).

    Returns:
        The geometry of each tensor that is a map of the input.
    """
    fields = Fields()
    for storage, shape in inputs.items():
        if len(shape) >= 3:
            fields.start(storage, shape)
    for op in ops:
        fields.follow(op)
    return fields
