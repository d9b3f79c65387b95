"""What the script of a comparison works on, and the layers of two models side by side for readers without one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vggcost.records import CostTable, LayerCost
from vggcost.report.comparison import COLUMNS, Comparison
from vggcost.report.difference import Change, attribute_text, difference
from vggcost.report.script import safe_number
from vggcost.report.view import layer_name
from vggcost.units import exact, shape

__all__ = ["data_of", "mode_of", "pair_of", "pair_rows", "titles"]

FIGURES = ("params", "macs", "flops", "activation_bytes")
_MOST = 2000
"""Layers of a net that are aligned in the page's text; the script aligns larger ones."""


def titles(names: Sequence[str]) -> list[str]:
    """Tell models of one name apart.

    Example:
        >>> titles(["VGG-S", "VGG-M", "VGG-S"])
        ['VGG-S', 'VGG-M', 'VGG-S (2)']
    """
    found: list[str] = []
    for name in names:
        unique, count = name, 1
        while unique in found:
            count += 1
            unique = f"{name} ({count})"
        found.append(unique)
    return found


def mode_of(tables: Sequence[CostTable]) -> str:
    """Say how the models were run; empty where they were not run alike."""
    found = {f"{t.run.mode}, input {', '.join(shape(i.shape) for i in t.run.inputs)}" for t in tables}
    return found.pop() if len(found) == 1 else ""


def pair_of(comparison: Comparison) -> tuple[int, int]:
    """Choose the two models that stand side by side first: the baseline, or the first, and the next."""
    base = next((at for at, row in enumerate(comparison.rows) if row.title == comparison.baseline), 0)
    return base, base + 1 if base + 1 < len(comparison.rows) else max(base - 1, 0)


def data_of(comparison: Comparison, tables: Sequence[CostTable], names: Sequence[str]) -> dict[str, Any]:
    """Collect models, columns and layers.

    Layers repeat, within a net and from net to net: each sort of layer is listed once, each path once, and a model is a list
    of pairs of positions in these two lists.
    """
    paths: dict[str, int] = {}
    sorts: dict[tuple[Any, ...], int] = {}
    kinds: dict[str, int] = {}
    attributes: dict[tuple[tuple[str, str], ...], int] = {}
    identities = titles([row.model for row in comparison.rows])
    models = []
    for row, table, name, identity in zip(comparison.rows, tables, names, identities, strict=True):
        layers: list[int] = []
        for layer in table.layers:
            sort = (
                kinds.setdefault(layer.kind, len(kinds)),
                attributes.setdefault(_attributes(layer), len(attributes)),
                _shape(layer),
                *(safe_number(getattr(layer, figure)) for figure in FIGURES),
            )
            layers += [paths.setdefault(layer_name(layer), len(paths)), sorts.setdefault(sort, len(sorts))]
        models.append(
            {
                "id": identity,
                "names": list(dict.fromkeys((*table.run.aliases, row.model, name))),
                "title": name,
                "mark": row.mark,
                "values": [_value(row.values[column]) for column in COLUMNS],
                "layers": layers,
            }
        )
    return {
        "columns": [
            {"name": name, "title": column.title, "form": _form(name), "ratio": column.ratio}
            for name, column in COLUMNS.items()
        ],
        "shown": list(comparison.columns),
        "base": next(
            (i for i, row in zip(identities, comparison.rows, strict=True) if row.title == comparison.baseline), ""
        ),
        "differ": bool(comparison.notes),
        "figures": FIGURES,
        "kinds": list(kinds),
        "attributes": list(attributes),
        "paths": list(paths),
        "sorts": list(sorts),
        "models": models,
    }


def _form(name: str) -> str:
    if name.endswith("_bytes"):
        return "bytes"
    if name.endswith("_error"):
        return "error"
    return "count" if COLUMNS[name].ratio else "plain"


def _value(value: Any) -> Any:
    return safe_number(value) if isinstance(value, int) else value


def _attributes(layer: LayerCost) -> tuple[tuple[str, str], ...]:
    return tuple((name, attribute_text(value)) for name, value in layer.attributes)


def _shape(layer: LayerCost) -> str:
    sizes = layer.output_shape
    return shape(sizes[1:] if len(sizes) > 1 else sizes)


def pair_rows(before: CostTable, after: CostTable) -> list[tuple[str, list[str], list[str], str, str]]:
    """Set the layers of two models side by side.

    Returns:
        For each pair of layers a mark (`≠` made differently, `~` made alike, on another input, `+` only in the second, `−` only
        in the first, nothing where they are alike), the two sides (name, output, params, MACs), what differs, and by how many
        MACs. Empty for very large models.
    """
    if max(len(before.layers), len(after.layers)) > _MOST:
        return []
    return [_row(change) for change in difference(before, after).changes]


def _row(change: Change) -> tuple[str, list[str], list[str], str, str]:
    a, b = change.before, change.after
    grows = change.change("macs")
    if a is None or b is None:
        mark = "+" if a is None else "−"
    else:
        mark = "≠" if change.attributes else "~" if _figures(a) != _figures(b) else ""
    what = _WORDS.get(mark, ", ".join(change.attributes))
    return mark, _side(a), _side(b), what, f"{grows:+,}".replace("-", "−") if grows else ""


_WORDS = {"−": "only on the left", "+": "only on the right", "~": "follows from before"}


def _figures(layer: LayerCost) -> tuple[Any, ...]:
    return (_shape(layer), *(getattr(layer, figure) for figure in FIGURES))


def _side(layer: LayerCost | None) -> list[str]:
    if layer is None:
        return ["", "", "", ""]
    return [layer_name(layer), _shape(layer), *_counts((layer.params, layer.macs))]


def _counts(values: Iterable[int | None]) -> list[str]:
    return [exact(value) if value else "" for value in values]
