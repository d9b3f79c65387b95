"""What a tensor's positions see of the input: which of its axes run along which axes of the input, and how far each sees.

An axis of a tensor is a product of parts, outermost first: after `flatten(2)` the tokens of a map are its rows and its
columns. A part runs along an axis of the input, with a step (`jump`) in input pixels, or along none (channels, the batch),
or it did once and lost the order (a class token among the tokens). To add up over parts is to see all that they see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

__all__ = [
    "Axis",
    "Geometry",
    "Part",
    "Span",
    "contracted",
    "joined",
    "moved",
    "of_input",
    "plain",
    "regrouped",
    "slid",
]

PLAIN, LOST, SOME = -1, -2, -3
_CHANNELS = 1


class Part(NamedTuple):
    """One factor of an axis: the input's axis that it runs along, its size, its step in pixels.

    `of` is `PLAIN` for none, `LOST` for positions out of order, and `SOME` for positions along the input's second axis,
    in whatever order, while it is not known whether these are channels.
    """

    of: int
    size: int
    jump: int


Axis = tuple[Part, ...]


class Span(NamedTuple):
    """What a position sees of one axis of the input: from where (for the first position), how far, and the steps between."""

    of: int
    start: int
    field: int
    jump: int


class Geometry(NamedTuple):
    """The spans of a tensor and its axes; it is settled once a product has told which of the input's axes are channels."""

    spans: tuple[Span, ...]
    axes: tuple[Axis, ...]
    settled: bool

    @property
    def extents(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Receptive field and jump along the axes that are no channels."""
        spans = self.spans if self.settled else [span for span in self.spans if span.of != _CHANNELS]
        return tuple([span.field for span in spans]), tuple([span.jump for span in spans])


@lru_cache(maxsize=4096)
def plain(size: int) -> Axis:
    """Make an axis that runs along none of the input's."""
    return (Part(PLAIN, size, 0),)


@lru_cache(maxsize=4096)
def along(of: int, size: int, jump: int) -> Axis:
    """Make an axis that runs along one of the input's, with this step."""
    return (Part(of, size, jump),)


def lost(size: int) -> Axis:
    """Make an axis along which positions no longer have an order."""
    return (Part(LOST, size, 0),)


def look(g: Geometry) -> Geometry:
    """Return what two geometries have in common that differ in axes of one position alone."""
    return g._replace(axes=tuple([plain(1) if axis[0].size == 1 else axis for axis in g.axes]))


def of_input(shape: Sequence[int]) -> Geometry:
    """Return the geometry of an input `(N, C, …)`: every position sees itself.

    Example:
        >>> of_input((2, 3, 224, 224)).extents
        ((1, 1), (1, 1))
    """
    followed = [i for i, size in enumerate(shape) if i > (size == 1)]  # one channel is none
    axes = tuple([(Part(i, size, 1),) if i in followed else plain(size) for i, size in enumerate(shape)])
    return Geometry(tuple([Span(i, 0, 1, 1) for i in followed]), axes, settled=False)


@lru_cache(maxsize=4096)
def is_plain(axis: Axis) -> bool:
    """Whether an axis runs along none of the input's."""
    return all(part.of == PLAIN for part in axis)


def settled(g: Geometry, parts: Sequence[Part], window: bool) -> Geometry | None:
    """Let the first product tell which axes of the input are channels: those that it adds up over.

    A convolution (`window`) may add up over any. A matrix product must add up over the input's own channels, if it has
    more than one: one over another axis alone (the features of a sequence, the columns of an image) makes no map.
    """
    if g.settled:
        return g
    over = {_CHANNELS if part.of == SOME else part.of for part in parts if part.of > 0 or part.of == SOME}
    several = any(span.of == _CHANNELS for span in g.spans)
    if _CHANNELS in over or (over and not (window or several)):
        return without(g, {_CHANNELS})
    if not window:
        return None if over else g
    known = any(part.of in (_CHANNELS, SOME) for axis in g.axes for part in axis)
    return without(g, over or (set() if known else {_CHANNELS}))


def without(g: Geometry, channels: set[int]) -> Geometry:
    """Take some of the input's axes for its channels, and follow the others."""

    def part(old: Part) -> Part:
        of = _CHANNELS if old.of == SOME else old.of
        return Part(PLAIN, old.size, 0) if of in channels else Part(LOST, old.size, 0) if old.of == SOME else old

    axes = tuple([tuple([part(p) for p in axis]) for axis in g.axes])
    return Geometry(tuple([span for span in g.spans if span.of not in channels]), axes, settled=True)


def contracted(g: Geometry, positions: Collection[int]) -> Geometry | None:
    """Add up over whole axes, which keep one position: it sees all that they see; None where one has lost its order.

    Example:
        >>> contracted(of_input((2, 3, 224, 224)), (2, 3)).extents
        ((224, 224), (1, 1))
    """
    axes, further = list(g.axes), dict[int, int]()
    for position in positions:
        for part in axes[position]:
            if part.of in (LOST, SOME):
                return None
            if part.of > 0:
                further[part.of] = further.get(part.of, 0) + (part.size - 1) * part.jump
        axes[position] = plain(1)
    if not further:
        return g._replace(axes=tuple(axes))
    left = {span.of: [part.jump for axis in axes for part in axis if part.of == span.of] for span in g.spans}
    spans = [Span(s.of, s.start, s.field + further.get(s.of, 0), min(left[s.of], default=s.jump)) for s in g.spans]
    return Geometry(tuple(spans), tuple(axes), g.settled)


class Window(NamedTuple):
    """A window along one axis: how many positions beyond the first it sees, its stride, and the padding before."""

    reach: int
    stride: int
    padding: int


def slid(g: Geometry, windows: Sequence[Window], out: Sequence[int]) -> Geometry | None:
    """Slide windows along the last axes; None where one of them has no order, or runs along two axes of the input."""
    axes, spans = list(g.axes), g.spans
    for i, (reach, stride, padding) in enumerate(windows, -len(windows)):
        axis = axes[i]
        if (reach, stride, padding) == (0, 1, 0):
            continue
        if is_plain(axis):
            axes[i] = plain(out[i])
            continue
        of, _, jump = axis[0]
        if len(axis) > 1 or of < 0:
            return None
        axes[i] = along(of, out[i], jump * stride)
        spans = tuple([
            Span(of, s.start - padding * jump, s.field + reach * jump, jump * stride) if s.of == of else s for s in spans
        ])  # fmt: skip
    return Geometry(spans, tuple(axes), g.settled)


def moved(g: Geometry, position: int, first: int, step: int, size: int) -> Geometry:
    """Keep every `step`-th position of an axis from the `first` on (before the beginning, for padding)."""
    axes, spans = list(g.axes), g.spans
    (of, _, jump), *others = axes[position]
    if others or of < 0 or (of == _CHANNELS and not g.settled):
        axes[position] = _out_of_order(axes[position : position + 1], size, g.settled)
    else:
        axes[position] = along(of, size, jump * step)
        spans = tuple([
            s._replace(start=s.start + first * jump, jump=jump * step) if s.of == of else s for s in spans
        ])  # fmt: skip
    return Geometry(spans, tuple(axes), g.settled)


def _out_of_order(axes: Sequence[Axis], size: int, known: bool) -> Axis:
    """An axis made of some positions of these; `known` if the channels are."""
    found = {part.of for axis in axes for part in axis}
    maybe = not known and found <= {PLAIN, SOME, _CHANNELS}
    return plain(size) if found <= {PLAIN} else (Part(SOME if maybe else LOST, size, 0),)


def regrouped(axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Axis, ...]:
    """Cut the same positions, in the same order, into other axes, as a view of another shape does.

    Example:
        >>> rows, columns = (Part(2, 14, 16),), (Part(3, 14, 16),)
        >>> tokens = regrouped((rows, columns), (196,))
        >>> regrouped(tokens, (14, 14)) == (rows, columns)
        True
    """
    parts = _merged([part for axis in axes for part in axis])
    found: list[Axis] = []
    for size in shape:
        axis: list[Part] = []
        left = size
        while left > 1:
            if not parts:
                return tuple(lost(n) for n in shape)
            cut = _cut(parts, left)
            axis.append(cut)
            left //= cut.size
        found.append(tuple(_merged(axis)) or plain(1))
    return tuple(found)


def _cut(parts: list[Part], left: int) -> Part:
    """Take the first part, or as much of it as an axis of this size has room for."""
    of, size, jump = parts[0]
    if left % size == 0:
        return parts.pop(0)
    if size % left == 0:
        parts[0] = Part(of, size // left, jump)
        return Part(of, left, jump * (size // left))
    rest = prod(part.size for part in parts)  # the cut goes through the middle of positions
    known = PLAIN if all(part.of == PLAIN for part in parts) else LOST
    parts[:] = [Part(known, rest // left, 0)]
    return Part(known, left, 0)


def _merged(parts: Iterable[Part]) -> list[Part]:
    """Join neighbours that together run along one axis in equal steps; what has one position is left out."""
    found: list[Part] = []
    for part in parts:
        if part.size == 1:
            continue
        last = found[-1] if found else None
        if last is not None and last.of == part.of and (part.of < 0 or last.jump == part.size * part.jump):
            found[-1] = Part(part.of, last.size * part.size, part.jump)
        else:
            found.append(part)
    return found


def joined(sources: Sequence[Geometry], out: Sequence[int], along: int | None = None) -> Geometry | None:
    """Return the geometry of what is made position by position, or by concatenation `along` an axis.

    A position sees all that its sources see. None where they do not run along the same axes of the input.
    """
    first, *others = sources = _settled(sources)
    labels = [span.of for span in first.spans]
    if any([span.of for span in g.spans] != labels for g in others):
        return None
    axes: list[Axis] = []
    alike = True
    for i, size in enumerate(out, -len(out)):
        found = [g.axes[i] for g in sources if len(g.axes) >= -i]
        axis: Axis | None = found[0] if found else None
        if i + len(out) == along:
            axis = _out_of_order(found, size, first.settled)
        elif axis is None or found.count(axis) < len(sources) or _size(axis) != size:
            axis, alike = _ordered(found, size), False
        if axis is None:
            return None
        axes.append(axis)
    spans: list[Span] = []
    for several in zip(*[g.spans for g in sources], strict=True):
        union = _union(several, None if alike else sources)
        if union is None:
            return None
        spans.append(union)
    return Geometry(tuple(spans), tuple(axes), first.settled)


def _settled(sources: Sequence[Geometry]) -> Sequence[Geometry]:
    """Take the channels that some know of for channels in all."""
    known = [g for g in sources if g.settled]
    if len(known) in (0, len(sources)):
        return sources
    others = {span.of for g in sources for span in g.spans} - {span.of for g in known for span in g.spans}
    return [g if g.settled else without(g, others) for g in sources]


def _ordered(axes: Sequence[Axis], size: int) -> Axis | None:
    """The one axis of this size among several that runs along any of the input's; None where they differ."""
    found = {axis for axis in axes if not is_plain(axis) and _size(axis) == size}
    if len(found) > 1:
        return lost(size) if any(part.of in (LOST, SOME) for axis in found for part in axis) else None
    return found.pop() if found else plain(size)


def _union(spans: Sequence[Span], sources: Sequence[Geometry] | None) -> Span | None:
    """What a position sees that sees all this; None where all positions see one place, such as the first, beside their own.

    Among `sources` some may be the same for all positions, as the mean of a map is: these must see about all that the
    positions of the others see together.
    """
    of, start, jump = spans[0].of, min([span.start for span in spans]), max([span.jump for span in spans])
    ends = [span.start + span.field for span in spans]
    reaches = [_reach(g.axes, of) for g in sources] if sources else [0]
    reach = max(reaches)
    if min(reaches) < reach:
        if any(r < reach and span.field <= reach for r, span in zip(reaches, spans, strict=True)):
            return None
        ends = [end + reach if r == reach else end for r, end in zip(reaches, ends, strict=True)]
    return Span(of, start, max(ends) - start, jump)


def _reach(axes: Sequence[Axis], of: int) -> int:
    """How far the last position looks from the first, along an axis of the input."""
    return sum([(part.size - 1) * part.jump for axis in axes for part in axis if part.of == of])


def _size(axis: Axis) -> int:
    return axis[0].size if len(axis) == 1 else prod([part.size for part in axis])
