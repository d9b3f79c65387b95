"""How the figures of a page follow the controls, as the data of its script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vggcost.records import CostTable
from vggcost.report.dtypes import listed
from vggcost.report.needs import Need
from vggcost.report.scaling import Place, Scaling
from vggcost.report.script import safe_number

__all__ = ["following"]

_PLACES = ("layer", "memory", "shape", "input")
_LINE = ("elements", "bytes")


def following(table: CostTable, scaling: Scaling, needs: Mapping[str, Need], columns: Sequence[str]) -> dict[str, Any]:
    """Write what `templates/js/costs.js` recomputes the page from.

    Args:
        table: what is shown.
        scaling: how its figures follow the batch and the dtype.
        needs: what is needed at most.
        columns: the columns of the layers' figures.
    """
    run = table.run
    dtypes = [[dtype, variant, listed(run, True, dtype)] for dtype, variant in scaling.dtypes.items()]
    return {
        "least": scaling.least,
        "most": scaling.most,
        "dtypes": dtypes if len(dtypes) > 1 else [[listed(run), 0, listed(run, True)]],
        "sizes": [variant.size for variant in scaling.variants] or [1],
        "lines": _written(((place, sum(lines, ())) for place, lines in scaling.lines.items()), columns),
        "first": _written(scaling.first.items(), columns),
        "needs": {
            name: {
                "value": safe_number(need.bytes),
                "lines": [[[safe_number(part) for part in line] for line in lines] for lines in need.lines],
                "first": [_number(value) for value in need.first],
            }
            for name, need in needs.items()
        },
    }


def _written(found: Iterable[tuple[Place, Sequence[int | None]]], columns: Sequence[str]) -> list[list[Any]]:
    """The places by their numbers, each with its values; columns that the page does not have are left out."""
    return [
        [_PLACES.index(kind), row, _column(kind, name, columns), *map(_number, values)]
        for (kind, row, name), values in sorted(found)
        if kind != "layer" or name in columns
    ]


def _column(kind: str, name: str, columns: Sequence[str]) -> int:
    if kind == "layer":
        return columns.index(name)
    return _LINE.index(name) if kind == "memory" else int(name)


def _number(value: int | None) -> int | str | None:
    return None if value is None else safe_number(value)
