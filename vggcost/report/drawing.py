"""An architecture drawn to scale, as SVG: a volume for each layer or block, its cost as its colour.

A volume is as high as its map, and as wide as the root of its number of channels, each to one scale over the whole
drawing: channels grow eightfold and more while maps shrink, and their root keeps both ends of a net legible. Layers that
keep the shape and cost nothing (ReLU, dropout) belong to the volume before. A block whose branches join in it, such as a
residual one, is one volume with an arc over it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from vggcost.records import CostTable, Shape
from vggcost.units import exact, human_bytes, human_count, percent, shape

__all__ = ["COSTS", "Volume", "drawing", "shade", "volumes"]

COSTS = {
    "params": ("parameters", human_count, ("#deebf7", "#9ecae1", "#6baed6", "#3182bd", "#08519c")),
    "macs": ("MACs", human_count, ("#feedde", "#fdbe85", "#fd8d3c", "#e6550d", "#a63603")),
    "activation_bytes": ("activation bytes", human_bytes, ("#e5f5e0", "#a1d99b", "#74c476", "#31a354", "#006d2c")),
    "saved_bytes": ("saved bytes", human_bytes, ("#f2f0f7", "#cbc9e2", "#9e9ac8", "#756bb1", "#54278f")),
}
"""What may be shown by colour, and its five shades, light to dark: Brewer's sequential schemes (colorbrewer2.org)."""

_NOTHING = "#f4f4f2"
_MOST = 60
_HIGH, _WIDE, _GAP, _SLANT = 150.0, 940.0, 11.0, 0.14
_TOP, _LEFT = 34.0, 14.0
_LEAST = 6.0


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
    deepest = max((layer.path.count(".") + 1 for layer in table.layers), default=1)
    found: list[Volume] = []
    blocks = _blocks(table)
    for level in range(deepest, 0, -1):
        found = list(_volumes(table, level, blocks))
        if len(found) <= most:
            return tuple(found)
    size = -(-len(found) // most)
    return tuple(_joined(found[i : i + size]) for i in range(0, len(found), size))


def _blocks(table: CostTable) -> frozenset[str]:
    """Name the outermost containers that repeat and join branches, by work of their own."""
    kinds = dict(table.containers)
    working = {layer.path for layer in table.layers if layer.path in kinds and layer.activations}
    repeated = Counter((path.rpartition(".")[0], kinds[path]) for path in working)
    blocks = {path for path in working if path and repeated[path.rpartition(".")[0], kinds[path]] > 1}
    return frozenset(path for path in blocks if not any(above in blocks for above in _above(path)))


def _above(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[:i]) for i in range(1, len(parts)))


def _volumes(table: CostTable, level: int, blocks: frozenset[str]) -> Iterator[Volume]:
    kinds = dict(table.containers)
    previous: Volume | None = None
    for name, rows in _groups(table, level, blocks):
        layers = [table.layers[row] for row in rows]
        own = next((layer for layer in layers if layer.path == name and name in kinds), None)
        sizes = _sizes((own or layers[-1]).output_shape)
        kind = kinds.get(name, layers[0].kind)
        volume = Volume(name, kind, rows, *sizes, joins=len(layers) > 1 and own is not None and own.activations > 0)
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


def _groups(table: CostTable, level: int, blocks: frozenset[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Rows that follow one another below one container of a depth, or in one block."""
    name = ""
    rows: list[int] = []
    for position, layer in enumerate(table.layers):
        path = next((above for above in _above(f"{layer.path}.") if above in blocks), "")
        path = path or ".".join(layer.path.split(".")[:level])
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


def shade(value: int, most: int) -> int:
    """Return which of the five shades a share of the largest has; 0: none of it.

    Example:
        >>> [shade(value, 100) for value in (0, 1, 50, 100)]
        [0, 1, 3, 5]
    """
    return 0 if not value or not most else min(5, 1 + 5 * value // most)


def cost_of(table: CostTable, volume: Volume, name: str) -> int:
    """Add up a cost over the layers of a volume."""
    return sum(int(getattr(table.layers[row], name)) for row in volume.rows)


def drawing(table: CostTable, cost: str = "macs") -> str:
    """Draw a net.

    Args:
        table: its costs.
        cost: which of `COSTS` is shown by colour.

    Returns:
        An `<svg>` element without reference to any host; the same text every run.
    """
    found = volumes(table)
    heading, human, shades = COSTS[cost]
    values = [cost_of(table, volume, cost) for volume in found]
    total, most = sum(values), max(values, default=0)
    source = _source(table)
    tallest = max([source[1], *(v.height for v in found)])
    scale = _HIGH / tallest
    roots = sum([source[0] ** 0.5, *(v.channels**0.5 for v in found)])
    thick = min(2.2, max(_WIDE - _GAP * (len(found) + 1), 240.0) / roots)
    parts: list[str] = []
    shown = (-99.0, 0.0)  # where the last percentage stands
    x = _LEFT
    middle = _TOP + _HIGH / 2 + _SLANT * _HIGH / 2
    boxes = [("input", source, -1, "", ()), *(
        (v.name, (v.channels, v.height, v.width), i, v.kind, v.rows) for i, v in enumerate(found)
    )]  # fmt: skip
    for name, (channels, height, width), index, kind, rows in boxes:
        wide, high = max(_LEAST, channels**0.5 * thick), max(3.0, height * scale)
        deep = max(2.0, width * scale) * _SLANT
        value = values[index] if index >= 0 else 0
        colour = shades[shade(value, most) - 1] if value else _NOTHING
        share = percent(value, total) if index >= 0 and total and value * 20 >= total else ""
        text = f"{name or '(model)'}{f' ({kind})' if kind else ''}: {shape(_plain(channels, height, width))}"
        if index >= 0:
            text += f"; {human(value)} {heading}" if human is human_count else f"; {human(value)} of {heading}"
        at = x + (wide + deep) / 2, middle - high / 2 - deep - 7
        if share and (at[0] - shown[0] > 34 or abs(at[1] - shown[1]) > 11):
            shown = at
        else:
            share = ""
        arc = _arc(x, wide + deep, middle - high / 2 - deep) if index >= 0 and found[index].joins else ""
        parts += _box(x, middle - high / 2, wide, high, deep, colour, name, text, share, rows, shade(value, most), arc)
        x += wide + _GAP
    right = x + 0.5 * _SLANT * _HIGH + 30
    bottom = (
        max(middle + max(3.0, v.height * scale) / 2 + 22 + 5.2 * len(_label(v.name)) for v in (*found, found[0]))
        if found
        else middle
    )
    bottom = max(bottom, middle + source[1] * scale / 2 + 50)
    title = f"{table.run.title}, drawn to scale"
    note = (
        f"A volume is as high as its map (the highest {exact(tallest)}) and as wide as the root of its channels; the darker, "
        f"the more {heading}. Percentages are shares of {human(total)}."
    )
    return "\n".join(
        [
            f'<svg class="drawing" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right:.0f} {bottom:.0f}" '
            f'width="{right:.0f}" height="{bottom:.0f}" role="group" aria-label="{escape(title)}" '
            'font-family="system-ui, sans-serif" font-size="11">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(note)}</desc>",
            *parts,
            "</svg>",
        ]
    )


def _label(name: str) -> str:
    """Shorten a path to its last part, or two where that is a number.

    Example:
        >>> _label("features.0.conv"), _label("transformer.h.11"), _label("")
        ('conv', 'h.11', '(model)')
    """
    parts = name.split(".")
    last = ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]
    return "(model)" if not last else last if len(last) <= 18 else "…" + last[-17:]


def _source(table: CostTable) -> tuple[int, int, int]:
    """The sizes of what goes in; token ids have one channel."""
    record = table.run.inputs[0]
    sizes = record.shape
    return (1, sizes[-1], 1) if len(sizes) == 2 and "int" in record.dtype else _sizes(sizes)


def _plain(channels: int, height: int, width: int) -> tuple[int, ...]:
    return (channels,) if height == width == 1 else (channels, height, width)


def _box(
    x: float, y: float, wide: float, high: float, deep: float, colour: str, name: str, text: str, share: str,
    rows: Iterable[int], level: int, arc: str,
) -> list[str]:  # fmt: skip
    """The three faces of a volume, its name below and its share above."""
    listed = _ranges(rows)
    label = _label(name)
    below = y + high + 12
    found = [
        f'<a class="volume" href="#layer={escape(_quoted(name))}" data-rows="{listed}">' if listed else "<g>",
        f"<title>{escape(text)}</title>",
        f'<path class="q{level}" fill="{colour}" stroke="#555" stroke-width=".6" '
        f'd="M{x:.1f} {y:.1f}v{high:.1f}h{wide:.1f}l{deep:.1f} {-deep:.1f}v{-high:.1f}h{-wide:.1f}z"/>',
        f'<path fill="none" stroke="#555" stroke-width=".6" '
        f'd="M{x:.1f} {y:.1f}h{wide:.1f}v{high:.1f}m0 {-high:.1f}l{deep:.1f} {-deep:.1f}"/>',
        arc,
        f'<text class="ink" fill="#444" transform="translate({x + wide / 2 - 3:.1f} {below:.1f}) rotate(58)">'
        f"{escape(label)}</text>",
    ]
    if listed:
        found.append(
            f'<text class="ink share" fill="#222" font-size="10" font-weight="600" '
            f'x="{x + (wide + deep) / 2:.1f}" y="{y - deep - 7:.1f}" text-anchor="middle">{share}</text>'
        )
    found.append("</a>" if listed else "</g>")
    return [part for part in found if part]


def _arc(x: float, wide: float, top: float) -> str:
    """A line over a volume: branches that part before it join in it."""
    return (
        f'<path class="axis" fill="none" stroke="#777" stroke-dasharray="3 2" '
        f'd="M{x - 4:.1f} {top + 6:.1f}C{x:.1f} {top - 12:.1f} {x + wide:.1f} {top - 12:.1f} {x + wide:.1f} {top:.1f}"/>'
    )


def _ranges(rows: Iterable[int]) -> str:
    """Write positions in short.

    Example:
        >>> _ranges((0, 1, 2, 5))
        '0-2 5'
    """
    found: list[list[int]] = []
    for row in rows:
        if found and row == found[-1][1] + 1:
            found[-1][1] = row
        else:
            found.append([row, row])
    return " ".join(f"{a}-{b}" if a < b else str(a) for a, b in found)


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
