"""The convolutions of each block side by side, as in Table 1 of the VGG paper, with the cost under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vggcost.cost.families import is_recurrent
from vggcost.records import CostTable, LayerCost, told
from vggcost.report.comparison import block_of
from vggcost.units import human_count

__all__ = ["Block", "blocks_of", "grid", "heading", "shares"]


@dataclass(frozen=True, slots=True)
class Block:
    """The layers of a net that work at one stride: `conv3-64` is a 3×3 convolution with 64 filters."""

    layers: tuple[str, ...]
    params: int
    macs: int


def blocks_of(table: CostTable) -> dict[str, Block]:
    """Group a net's layers with weights: convolutions by the stride of their map, then recurrent and fully connected."""
    found: dict[str, list[LayerCost]] = {}
    for layer in table.layers:
        block = block_of(layer)
        if block is not None:
            found.setdefault(block, []).append(layer)
    return {
        name: Block(
            tuple(_entry(layer) for layer in layers), sum(x.params for x in layers), sum(told(x.macs) for x in layers)
        )
        for name, layers in found.items()
    }


def _entry(layer: LayerCost) -> str:
    attributes: dict[str, Any] = dict(layer.attributes)
    out = layer.output_shape[1] if len(layer.output_shape) > 1 else 0
    kernel = attributes.get("kernel_size")
    if not isinstance(kernel, tuple) or not kernel:
        return f"{layer.kind}-{attributes.get('hidden_size', out)}" if is_recurrent(layer) else f"FC-{out}"
    size = str(kernel[0]) if len(set(kernel)) == 1 else "×".join(map(str, kernel))
    groups = attributes.get("groups", 1)
    return f"conv{size}-{out}" + (f" ({groups} groups)" if isinstance(groups, int) and groups > 1 else "")


_HEADINGS = {"other": "no stride", "recurrent": "recurrent", "fc": "fully connected"}


def order(names: Sequence[str]) -> list[str]:
    """Strides by size, then what has none, then the recurrent and the fully connected layers."""
    last = list(_HEADINGS)
    return sorted(names, key=lambda n: (last.index(n) + 1, 0) if n in last else (0, int(n)))


def heading(name: str) -> str:
    """Write the name of a block for people.

    Example:
        >>> heading("16"), heading("fc")
        ('stride 16', 'fully connected')
    """
    return _HEADINGS.get(name, f"stride {name}")


def grid(tables: Sequence[CostTable]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return for each block its cells, one a model: the layers, their params and MACs."""
    nets = [blocks_of(table) for table in tables]
    rows = []
    for name in order(list({name for net in nets for name in net})):
        cells = []
        for net in nets:
            block = net.get(name)
            cells.append(
                {"layers": _folded(block.layers), "params": human_count(block.params), "macs": human_count(block.macs)}
                if block
                else {"layers": [], "params": "", "macs": ""}
            )
        rows.append((heading(name), cells))
    return rows


def _folded(layers: tuple[str, ...], limit: int = 8) -> list[str]:
    """The layers in order; long blocks are summed up, by layer or, where these are many, by kernel."""
    if len(layers) <= limit:
        return list(layers)
    if len(set(layers)) <= limit:
        return [f"{layers.count(entry)} × {entry}" for entry in dict.fromkeys(layers)]
    widths: dict[str, list[int]] = {}
    for entry in layers:
        kernel, _, width = entry.partition("-")
        widths.setdefault(kernel, []).append(int(width.split()[0]))
    return [f"{len(found)} × {kernel}-{min(found)}…{max(found)}" for kernel, found in sorted(widths.items())]


def shares(tables: Sequence[CostTable], what: str) -> tuple[list[str], list[list[int]]]:
    """Return the blocks' names and for each model its cost by block."""
    nets = [blocks_of(table) for table in tables]
    names = order(list({name for net in nets for name in net}))
    return names, [[getattr(net[name], what) if name in net else 0 for name in names] for net in nets]
