"""The boxes of a drawing: layers grouped so that a reader sees the architecture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sys import maxsize

from vggcost.records import CostTable, Shape, told
from vggcost.report.nesting import Blocks, cut, deepest_of, shared

__all__ = ["Volume", "cost_of", "source_of", "volumes"]

_MOST = 60


@dataclass(frozen=True, slots=True)
class Volume:
    """A box of the drawing.

    Attributes:
        name: of its layer or block.
        kind: of it.
        rows: positions of its layers in the table.
        channels: of the output.
        height: of the map; 1 for a vector, the length for a sequence.
        width: as height.
        joins: whether branches join in it.
    """

    name: str
    kind: str
    rows: tuple[int, ...]
    channels: int
    height: int
    width: int
    joins: bool = False


def volumes(table: CostTable, most: int = _MOST) -> tuple[Volume, ...]:
    """Group the layers of a net into the boxes of a drawing.

    A block that repeats and has work of its own, such as the addition of a residual one, is a box. Around it goes the
    deepest nesting that gives no more than `most` boxes.

    Example:
        Of VGG-11 the first three are `conv1_1`, `pool1` and `conv2_1`: each ReLU belongs to its convolution.
    """
    blocks = _blocks(table)
    found: list[Volume] = []
    for level in range(_start(table, blocks, most), 0, -1):
        found = list(_volumes(table, level, blocks))
        if len(found) <= most:
            return tuple(found)
    size = -(-len(found) // most)
    return tuple(_joined(found[i : i + size]) for i in range(0, len(found), size))


def _blocks(table: CostTable) -> Blocks:
    """Name the outermost containers that repeat and join branches, by work of their own."""
    kinds = dict(table.containers)
    working = {layer.path for layer in table.layers if layer.path in kinds and layer.activations}
    repeated = Counter((path.rpartition(".")[0], kinds[path]) for path in working)
    return Blocks(path for path in working if path and repeated[path.rpartition(".")[0], kinds[path]] > 1)


def _start(table: CostTable, blocks: Blocks, most: int) -> int:
    """Return the deepest level at which there may be as few boxes: a layer that multiplies is in one with none before it.

    Such layers are in one box at most as deep as all that lie between them begin alike.
    """
    alike: list[int] = []
    before, least = None, maxsize
    for layer in table.layers:
        if before is not None:
            least = min(least, _alike(before, layer.path, blocks))
        if layer.macs:
            alike.append(least)
            least = maxsize
        before = layer.path
    alike = sorted(alike[1:])  # nothing lies before the first
    return min(deepest_of(table), max(1, alike[most - 1]) if len(alike) >= most else maxsize)


def _alike(before: str, path: str, blocks: Blocks) -> int:
    """Count the names with which two paths begin alike; a block is one, as deep as it may be."""
    one, other = blocks.around(before), blocks.around(path)
    if one or other:
        return maxsize if one == other else 0
    return maxsize if before == path else shared(before, path)


def _volumes(table: CostTable, level: int, blocks: Blocks) -> Iterator[Volume]:
    kinds = dict(table.containers)
    previous: Volume | None = None
    for name, rows in _groups(table, level, blocks):
        layers = [table.layers[row] for row in rows]
        own = next((layer for layer in layers if layer.path == name and name in kinds), None)
        sizes = _sizes((own or layers[-1]).output_shape)
        kind = kinds.get(name, layers[0].kind)
        volume = Volume(
            name, kind, rows, *sizes, joins=len(layers) > 1 and own is not None and told(own.activations) > 0
        )
        # a normalisation has up to four numbers a channel
        idle = not any(layer.macs or layer.params > 4 * sizes[0] for layer in layers)
        if previous is not None and idle and sizes == (previous.channels, previous.height, previous.width):
            previous = Volume(previous.name, previous.kind, previous.rows + rows, *sizes, joins=previous.joins)
            continue
        if previous is not None:
            yield previous
        previous = volume
    if previous is not None:
        yield previous


def _groups(table: CostTable, level: int, blocks: Blocks) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Rows that follow one another below one container of a depth, or in one block."""
    name = ""
    rows: list[int] = []
    for position, layer in enumerate(table.layers):
        path = blocks.around(layer.path) or cut(layer.path, level)
        if rows and (path != name or (layer.path == path != table.layers[rows[0]].path and layer.call > 1)):
            yield name, tuple(rows)
            rows = []
        name = path
        rows.append(position)
    if rows:
        yield name, tuple(rows)


def _joined(found: Sequence[Volume]) -> Volume:
    first, last = found[0], found[-1]
    name = first.name if len(found) == 1 else f"{first.name} … {last.name}"
    rows = tuple(row for volume in found for row in volume.rows)
    return Volume(name, first.kind if len(found) == 1 else "", rows, last.channels, last.height, last.width)


def _sizes(sizes: Shape) -> tuple[int, int, int]:
    """Channels, height and width of an output `(N, C, H, W)`, `(N, H, W, C)` of a square map, `(N, L, C)` or `(N, C)`."""
    rest = sizes[1:]
    if len(rest) == 3 and rest[0] == rest[1] != rest[2]:
        return rest[2], rest[0], rest[1]
    if len(rest) >= 3:
        return rest[0], rest[-2], rest[-1]
    if len(rest) == 2:
        return rest[1], rest[0], 1
    return (rest[0] if rest else 1), 1, 1


def source_of(table: CostTable) -> tuple[int, int, int]:
    """The sizes of what goes in; token ids have one channel."""
    if not table.run.inputs:
        return 1, 1, 1
    record = table.run.inputs[0]
    sizes = record.sizes(table.run.batch) or record.shape[1:]
    return (1, sizes[0], 1) if len(sizes) == 1 and "int" in record.dtype else _sizes((1, *sizes))


def cost_of(table: CostTable, volume: Volume, name: str) -> int:
    """Add up a cost over the layers of a volume."""
    return sum(int(getattr(table.layers[row], name)) for row in volume.rows)
