"""The saved table: a cost table as JSON, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from vggcost.errors import TableError
from vggcost.inert import as_json
from vggcost.reading import loads
from vggcost.records import (
    OF_RUN,
    OF_TRAINING,
    SCHEMA,
    SUMMED,
    Assumption,
    Convention,
    CostTable,
    Coverage,
    InputRecord,
    LayerCost,
    MemoryLine,
    RunInfo,
    Shape,
    Totals,
    absent,
)
from vggcost.schema import MOST, check, decimal, each, either, fields_of, maybe, named, number, one_of, text, truth

__all__ = ["dump", "from_data", "read", "to_data"]


def dump(table: CostTable) -> str:
    """Write a table: integers raw, keys sorted, the same bytes every run."""
    return as_json(to_data(table))


def to_data(table: CostTable) -> dict[str, Any]:
    """Turn a table into what JSON can hold."""
    data = asdict(replace(table, layers=()))
    data["layers"] = [layer._asdict() for layer in table.layers]
    for place, key in _PAIRS:
        holder = _at(data, place)
        for item in holder if isinstance(holder, (list, tuple)) else (holder,):
            item[key] = dict(item[key])
    return data


def read(given: str) -> CostTable:
    """Read a table that `dump` wrote.

    Raises:
        TableError: the text is not JSON, not a table, of another schema, or its totals are not the sums
            of its layers.
    """
    try:
        data = loads(given)
    except ValueError as error:
        raise TableError(f"not JSON ({error}); give a file written by 'vggcost report --format json'") from None
    if not isinstance(data, dict) or "schema" not in data or "layers" not in data:
        raise TableError("JSON, but not a vggcost table; 'vggcost report --format json' writes one")
    if data["schema"] != SCHEMA:
        raise TableError(
            f"written with schema {data['schema']!r:.60}, this vggcost reads schema {SCHEMA}; "
            "make the file again with this version, or install the one that wrote it"
        )
    table = from_data(data)
    if table.totals != Totals.of(table.layers, table.run.mode):
        raise TableError("the totals are not the sums of the layers (edited by hand?); make the file again")
    return table


def from_data(data: Mapping[str, Any]) -> CostTable:
    """Build a table from what `to_data` made of it; whether its totals are the sums is not looked at.

    Raises:
        TableError: something in it is missing, foreign or of a wrong type.
    """
    try:
        check(data, TABLE)
        return _read(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TableError(f"a damaged vggcost table ({_said(error)}); make it again") from None


def _said(error: Exception) -> str:
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


# What a table may hold.

_COUNT, _TEXTS = number(), each(text)
_PLAIN = either(number(-MOST), text, truth, decimal, maybe(text))
_EXTENT = either(_COUNT, each(_COUNT), maybe(_COUNT))
_TOTALS = dict.fromkeys(SUMMED, maybe(_COUNT))
_PRICES = named(text)
_TOLD_BY_RUNS = (*OF_RUN, *OF_TRAINING)

TABLE = fields_of(
    {
        "schema": number(),
        "weight_layers": maybe(_COUNT),
        "run": fields_of(
            {
                **dict.fromkeys(("model", "title", "source", "command"), text), "aliases": _TEXTS, "versions": named(text),
                "inputs": each(fields_of({"name": text, "shape": each(_COUNT), "dtype": text})), "batch": number(1),
                "mode": one_of("inference", "training", "parameters"),
            },
            dict.fromkeys(("loss", "note", "device"), text) | dict.fromkeys(("param_dtypes", "buffer_dtypes"), _TEXTS),
        ),
        "convention": fields_of(
            {"name": text, "flops_per_mac": _COUNT, "sentence": text},
            dict.fromkeys(("bias", "exhaustive"), truth)
            | dict.fromkeys(("prices", "layer_prices", "function_prices"), _PRICES),
        ),
        "layers": each(
            fields_of(
                {
                    **_TOTALS, **dict.fromkeys(("path", "kind", "working"), text), "call": _COUNT,
                    "output_shape": each(_COUNT), "receptive_field": _EXTENT, "jump": _EXTENT,
                    "attributes": named(either(_PLAIN, each(either(_PLAIN, each(_PLAIN))))),
                }
            )
        ),
        "containers": named(text),
        "totals": fields_of(
            {name: kind for name, kind in _TOTALS.items() if name not in _TOLD_BY_RUNS},
            dict.fromkeys(_TOLD_BY_RUNS, maybe(_COUNT)),
        ),
        "memory": each(
            fields_of({"definition": text, "elements": maybe(_COUNT), "bytes": maybe(_COUNT), "note": text})
        ),
        "coverage": fields_of(
            dict.fromkeys(("counted", "free", "unknown"), named(_COUNT)),
            {"assumed": each(fields_of({"op": text, "calls": _COUNT, "text": text}))},
        ),
    }
)  # fmt: skip
"""The kind of a saved table."""


# Where tuples of pairs become JSON objects.
_PAIRS = (
    ("run", "versions"),
    ("convention", "prices"),
    ("convention", "layer_prices"),
    ("convention", "function_prices"),
    ("layers", "attributes"),
    ("", "containers"),
    ("coverage", "counted"),
    ("coverage", "free"),
    ("coverage", "unknown"),
)


def _at(data: dict[str, Any], place: str) -> Any:
    return data[place] if place else data


def _read(data: Mapping[str, Any]) -> CostTable:
    """Build the records again; a missing, foreign or wrongly typed value raises."""
    run = dict(data["run"])
    run["inputs"] = tuple(InputRecord(str(i["name"]), _ints(i["shape"]), str(i["dtype"])) for i in run["inputs"])
    run["aliases"] = tuple(run["aliases"])
    run["versions"] = _pairs(run["versions"])
    for key in ("param_dtypes", "buffer_dtypes"):  # which came after the first tables
        run[key] = tuple(map(str, run.get(key, ())))
    convention = dict(data["convention"])
    for key in ("prices", "layer_prices", "function_prices"):
        convention[key] = _pairs(convention.get(key, {}))  # function_prices came after the first tables
    unknown = absent(str(run["mode"]))
    coverage = dict(data["coverage"])
    assumed = tuple(Assumption(str(a["op"]), _int(a["calls"]), str(a["text"])) for a in coverage.pop("assumed", ()))
    coverage = {key: _pairs(value) for key, value in coverage.items()}
    return CostTable(
        run=RunInfo(**run),
        convention=Convention(**convention),
        layers=tuple(_read_layer(layer, unknown) for layer in data["layers"]),
        containers=_pairs(data["containers"]),
        totals=Totals(**_figures(data["totals"], unknown)),  # type: ignore[arg-type]
        memory=tuple(MemoryLine(**line) for line in data["memory"]),
        coverage=Coverage(**coverage, assumed=assumed),
        weight_layers=None if data["weight_layers"] is None else _int(data["weight_layers"]),
        schema=_int(data["schema"]),
    )


def _figures(data: Mapping[str, Any], unknown: Collection[str]) -> dict[str, int | None]:
    """Read what adds up; what the run did not tell is nothing, and was 0 in the first tables."""
    found: dict[str, int | None] = {name: _int(value) for name, value in data.items() if name not in unknown}
    wrong = [name for name in unknown if data.get(name)]
    if wrong:
        raise ValueError(f"{wrong[0]} of a run that does not tell it")
    return found | dict.fromkeys(unknown)


def _read_layer(data: Mapping[str, Any], unknown: Collection[str]) -> LayerCost:
    layer = {**data, **_figures({name: data[name] for name in SUMMED}, unknown)}
    layer["output_shape"] = _ints(layer["output_shape"])
    for name in ("receptive_field", "jump"):
        layer[name] = _ints(layer[name]) if isinstance(layer[name], list) else layer[name]
    layer["attributes"] = tuple((key, _as_tuple(value)) for key, value in sorted(layer["attributes"].items()))
    return LayerCost(**layer)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _pairs(data: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(data.items()))


def _ints(values: list[Any]) -> Shape:
    return tuple(_int(value) for value in values)


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an integer")
    return value
