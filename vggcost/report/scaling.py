"""How the figures of a table follow the batch and the dtype.

Most follow the rule of their column: MACs are a multiple of the batch, bytes of the batch and of an element's size. For
the others the page has a line over the batch, one for each group of dtypes that cost the same. All are found from runs
(see `vggcost._scaled`), and what is not found is not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vggcost.records import CostTable, Shape, absent
from vggcost.report.lines import Line, at

__all__ = ["COLUMNS", "LARGEST", "SAVED", "STOPPED", "Place", "Scaling", "Variant", "columns_of", "figures_of", "ruled", "shown_axes"]  # fmt: skip

LARGEST = 999_999_999
"""The largest batch that a page takes."""

Place = tuple[str, int, str]
"""`layer`, `memory`, `shape` or `input`; the row's position; its column or axis."""

_COUNTS = ("macs", "flops", "backward_macs", "backward_flops", "activations", "conv_activations")
_BYTES = ("activation_bytes", "saved_bytes")
_LINE = ("elements", "bytes")

COLUMNS = ("params", "weights", "biases", "trainable", "param_bytes", *_COUNTS, *_BYTES)


@dataclass(frozen=True, slots=True)
class Variant:
    """Dtypes in which a model costs the same, and the bytes of an element in them."""

    dtypes: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a table's figures follow the batch and the dtype.

    Attributes:
        batch: N of the table.
        variants: what dtypes there are to choose; the first of the first is that of the table.
        least: the smallest batch that the figures are known for.
        most: the largest; both are N where the batch cannot be chosen.
        lines: for each variant, of those figures that do not follow the rule of their column.
        first: what they are at batch 1, where that is another matter; None: not known.
        no_batch: why the batch cannot be chosen.
        no_dtype: why a dtype cannot be chosen, as far as it cannot.
    """

    batch: int
    variants: tuple[Variant, ...] = ()
    least: int = 0
    most: int = 0
    lines: Mapping[Place, tuple[Line, ...]] = field(default_factory=dict)
    first: Mapping[Place, tuple[int | None, ...]] = field(default_factory=dict)
    no_batch: str = ""
    no_dtype: str = ""

    @property
    def dtypes(self) -> dict[str, int]:
        """The dtypes to choose from, each with the position of its variant; empty: none."""
        return {dtype: number for number, variant in enumerate(self.variants) for dtype in variant.dtypes}

    @classmethod
    def unknown(cls, reason: str, batch: int = 1) -> Scaling:
        """Say why nothing is known."""
        return cls(batch, least=batch, most=batch, no_batch=reason, no_dtype=reason)

    def value(self, place: Place, base: int, batch: int, dtype: str) -> int | None:
        """Return a figure for a batch and a dtype, as the page's script does; None: not known.

        Args:
            place: which.
            base: what it is in the table.
            batch: N, from `least` to `most`.
            dtype: one of `dtypes`.
        """
        variant = self.dtypes[dtype]
        if batch == 1 and place in self.first:
            return self.first[place][variant]
        if place in self.lines:
            return at(self.lines[place][variant], batch)
        then, now = (self.batch, self.variants[0].size), (batch, self.variants[variant].size)
        return ruled(base, place, then, now)


SAVED = Scaling.unknown("the page was made from a saved table")
"""That of a page without a model."""

STOPPED = Scaling.unknown("the run stopped before its end")


def columns_of(name: str) -> int:
    """Return what a column is a multiple of, as a rule: 0 nothing, 1 the batch, 2 an element's size, 3 both.

    Example:
        >>> columns_of("macs"), columns_of("param_bytes"), columns_of("saved_bytes")
        (1, 2, 3)
    """
    if name in _COUNTS or name == "elements":
        return 1
    return 2 if name == "param_bytes" else 3 if name in _BYTES or name == "bytes" else 0


def ruled(value: int, place: Place, then: tuple[int, int], now: tuple[int, int]) -> int | None:
    """Return a figure that follows the rule of its column; None: it would not be whole.

    Args:
        value: what it was.
        place: where it is.
        then: the batch and the bytes of an element for which it was.
        now: those for which it is asked.

    Example:
        >>> ruled(1280, ("layer", 0, "activation_bytes"), (2, 4), (3, 2))
        960
    """
    kind = columns_of(place[2])
    divisor, factor = ((1, 1), (then[0], now[0]), (then[1], now[1]), (then[0] * then[1], now[0] * now[1]))[kind]
    return None if value % divisor else value // divisor * factor


def shown_axes(shape: Shape) -> range:
    """The axes of an output that a page shows: all but the first, which nearly always is the batch, if there are more."""
    return range(1 if len(shape) > 1 else 0, len(shape))


def figures_of(table: CostTable) -> dict[Place, int | None]:
    """List the figures of a table that may follow the batch or the dtype."""
    found: dict[Place, int | None] = {}
    told = [name for name in COLUMNS if name not in absent(table.run.mode)]
    for row, layer in enumerate(table.layers):
        for name in told:
            found["layer", row, name] = getattr(layer, name)
        for axis in shown_axes(layer.output_shape):
            found["shape", row, str(axis)] = layer.output_shape[axis]
    for row, line in enumerate(table.memory):
        found |= {("memory", row, name): getattr(line, name) for name in _LINE}
    for row, record in enumerate(table.run.inputs):
        found |= {("input", row, str(axis)): size for axis, size in enumerate(record.shape)}
    return found
