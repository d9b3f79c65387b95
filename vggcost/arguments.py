"""What goes into a model: tensors by their shapes, values that were given, and plain ones. Standard library only."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from math import prod
from types import SimpleNamespace
from typing import Any

__all__ = ["MOST_NUMBERS", "MOST_WHOLE", "Arguments", "GivenRecord", "InputRecord", "Shape", "rebuilt"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One tensor that goes into the model, with its whole shape; the name is dotted inside lists, dicts and objects."""

    name: str
    shape: Shape
    dtype: str

    @property
    def is_item(self) -> bool:
        """Whether it lies in a list of single things, as a detection model's images do; no axis of it is the batch.

        Example:
            >>> InputRecord("images.0", (3, 800, 600), "float32").is_item
            True
        """
        return len(self.shape) <= 3 and any(part.isdigit() for part in self.name.split("."))

    def sizes(self, batch: int) -> Shape:
        """Return the shape without the batch, or the whole shape where it does not start with it.

        Example:
            >>> InputRecord("input", (8, 3, 224, 224), "float32").sizes(8)
            (3, 224, 224)
        """
        batched = self.shape[:1] == (batch,) and not self.is_item
        return self.shape[1:] if batched else self.shape


@dataclass(frozen=True, slots=True)
class GivenRecord(InputRecord):
    """A tensor whose numbers are known: a mask, lengths, boxes, the grid of an image's patches.

    Attributes:
        values: numbers nested in lists, or a tensor, which is never written to; they are repeated along the axes that
            they do not have, or have once. A row of a mask is that of all examples.
        usual: whether nobody gave them, and they are what such a tensor mostly holds.

    Example:
        >>> GivenRecord("attention_mask", (8, 4), "int64", [1, 1, 1, 0]).shape
        (8, 4)
    """

    values: Any
    usual: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether the values are there in a run on meta too; larger tensors go without, as images and features do.

        Example:
            >>> image = GivenRecord("image", (1, 3, 224, 224), "float32", 0.5)
            >>> image.is_kept, GivenRecord("boxes", (100, 4), "float32", 0.5).is_kept
            (False, True)
        """
        return prod(self.shape) <= (MOST_NUMBERS if self.dtype.startswith(_BROKEN) else MOST_WHOLE)


MOST_WHOLE, MOST_NUMBERS = 2**24, 2**12
"""Elements up to which given values are kept on meta: of whole numbers and booleans, and of others."""
_BROKEN = ("float", "bfloat", "complex")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a model's forward is called with: tensors, as records, and plain values, nested in containers and objects.

    Example:
        >>> image = InputRecord("images.0", (3, 800, 600), "float32")
        >>> Arguments(([image],), {"flag": True}).inputs == (image,)
        True
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def records(self) -> tuple[InputRecord, ...]:
        """The tensors, in order."""
        found: list[InputRecord] = []
        self.map(found.append)
        return tuple(found)

    @property
    def inputs(self) -> tuple[InputRecord, ...]:
        """The tensors, in order, without their values."""
        return tuple(InputRecord(record.name, record.shape, record.dtype) for record in self.records)

    def map(self, change: Callable[[InputRecord], Any]) -> Arguments:
        """Put something else in the place of every tensor, in order; what they are nested in is made anew."""

        def leaf(value: Any, path: str, inside: bool) -> Any:
            return change(value) if isinstance(value, InputRecord) else value

        known: dict[int, Any] = {}
        return Arguments(
            tuple(rebuilt(value, leaf, known=known) for value in self.args),
            {name: rebuilt(value, leaf, known=known) for name, value in self.kwargs.items()},
        )


Leaf = Callable[[Any, str, bool], Any]


def rebuilt(value: Any, leaf: Leaf, path: str = "", inside: bool = False, known: dict[int, Any] | None = None) -> Any:
    """Make a nesting anew: the same kinds of containers and objects, with other things in the place of what is in them.

    Opened are lists, tuples, named tuples, dicts, dataclasses and other objects of anybody's but Python and torch.

    Args:
        value: what is nested.
        leaf: is given each thing that is not opened, its dotted path, and whether it lies in an object; returns what
            takes its place.
        path: that of `value`.
        inside: whether `value` lies in an object.
        known: what was made anew already, by identity, so that circles end.

    Example:
        >>> rebuilt({"a": [1, (2,)]}, lambda value, path, inside: (path, value), "x")
        {'a': [('x.a.0', 1), (('x.a.1.0', 2),)]}
    """
    known = {} if known is None else known
    if id(value) in known:
        return known[id(value)]

    def inner(item: Any, name: Any, of_object: bool = inside) -> Any:
        return rebuilt(item, leaf, f"{path}.{name}", of_object, known)

    if isinstance(value, (InputRecord, *_PLAIN)):
        return leaf(value, path, inside)
    if isinstance(value, tuple):
        names = getattr(value, "_fields", range(len(value)))
        return getattr(value, "_make", type(value))(
            [inner(item, name) for name, item in zip(names, value, strict=True)]
        )
    if isinstance(value, (list, deque, dict)):
        made: Any = copy(value)
        known[id(value)] = made
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            made[key] = inner(item, key)
        return made
    if not _is_opened(value):
        return leaf(value, path, inside)
    try:
        made = known[id(value)] = copy(value)
    except Exception:  # it holds something of the process, or will not be copied
        return leaf(value, path, inside)
    for name, item in _attributes(value):
        changed = inner(item, name, True)
        if name in getattr(made, "__dict__", ()):
            made.__dict__[name] = changed
        else:
            object.__setattr__(made, name, changed)
    return made


_PLAIN = (bool, int, float, complex, str, bytes, type(None), type, Enum)
_CLOSED = frozenset({*sys.stdlib_module_names, "numpy"})


def _is_opened(value: Any) -> bool:
    """Whether this is an object to look into: neither of Python's own nor a tensor or module of torch."""
    kind = type(value)
    if kind in (SimpleNamespace, Namespace) or is_dataclass(value):
        return True
    of_torch = any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__)
    return not of_torch and kind.__module__.partition(".")[0] not in _CLOSED


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    held: Mapping[str, Any] = getattr(value, "__dict__", {})
    yield from list(held.items())
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and name not in held and hasattr(value, name):
                yield name, getattr(value, name)
