"""What goes into a model: tensors by their shapes, and plain values. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Arguments", "FilledRecord", "InputRecord", "Shape"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One tensor that goes into the model, with its whole shape; the name is dotted inside lists and dicts."""

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
class FilledRecord(InputRecord):
    """A tensor whose numbers are known: a mask of ones, the grid of an image's patches, tokens that stand for an image.

    Attributes:
        values: the numbers along the last axis; the last of them goes on to its end.

    Example:
        >>> FilledRecord("attention_mask", (1, 128), "int64", (1,)).row()[:3]
        (1, 1, 1)
    """

    values: tuple[int, ...]

    def row(self) -> tuple[int, ...]:
        """Return the numbers of the last axis."""
        size = self.shape[-1] if self.shape else 1
        return (*self.values[:size], *self.values[-1:] * (size - len(self.values)))


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a model's forward is called with: tensors, as records, and plain values, nested in tuples, lists and dicts.

    Example:
        >>> image = InputRecord("images.0", (3, 800, 600), "float32")
        >>> Arguments(([image],), {"flag": True}).inputs == (image,)
        True
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[InputRecord, ...]:
        """The tensors, in order, without their values."""
        found: list[InputRecord] = []
        self.map(lambda record: found.append(InputRecord(record.name, record.shape, record.dtype)))
        return tuple(found)

    def map(self, change: Callable[[InputRecord], Any]) -> Arguments:
        """Put something else in the place of every tensor, in order; the containers are made anew."""
        return Arguments(
            tuple(_mapped(value, change) for value in self.args),
            {name: _mapped(value, change) for name, value in self.kwargs.items()},
        )


def _mapped(value: Any, change: Callable[[InputRecord], Any]) -> Any:
    if isinstance(value, InputRecord):
        return change(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return value
