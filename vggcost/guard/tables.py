"""What a document may show: each kind of table, and single figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vggcost.claims import about, check
from vggcost.errors import DocumentError, VggcostError
from vggcost.guard.figures import RUN, Figures
from vggcost.records import OF_TRAINING, CostTable, Totals
from vggcost.report.compare_text import comparison_grid
from vggcost.report.comparison import COLUMNS, DEFAULT_COLUMNS, compare
from vggcost.report.grid import LAYER_COLUMNS, Grid, layers_grid, totals_grid
from vggcost.units import UNITS, did_you_mean, exact, human_bytes, human_count, in_unit
from vggcost.zoo import family

__all__ = ["KINDS", "METRICS", "figure", "grid"]

Words = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table: how it is made, and the attributes it takes."""

    make: Callable[[Words, Figures, Path], Grid]
    words: tuple[str, ...]
    required: tuple[str, ...] = ()


def grid(kind: str, words: Words, figures: Figures, folder: Path, where: str) -> Grid:
    """Make the table that a marker asks for.

    Args:
        kind: one of `KINDS`.
        words: the marker's attributes.
        figures: where tables come from.
        folder: the document's, where relative paths start.
        where: file and line, for messages.

    Raises:
        DocumentError: it asks for something that is not known or not allowed.
    """
    with _told(where):
        if kind not in KINDS:
            raise DocumentError(f"no table {kind!r}{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}")
        _only(words, KINDS[kind].words, kind)
        for name in KINDS[kind].required:
            if name not in words:
                raise DocumentError(f'{kind} needs {name}="…"')
        return KINDS[kind].make(words, figures, folder)


def figure(subject: str, words: Words, figures: Figures, folder: Path, where: str) -> str:
    """Write the single figure that a marker asks for: `vgg16.params` with `format` and `digits`.

    Raises:
        DocumentError: as for `grid`.
    """
    with _told(where):
        _only(words, ("format", "digits", *RUN), "a value")
        model, _, metric = subject.rpartition(".")
        if metric not in METRICS:
            raise DocumentError(f"no figure {metric!r}{did_you_mean(metric, METRICS)}; there are {', '.join(METRICS)}")
        table = figures.table(model, folder, _run(words), whole=metric == "saved_bytes")
        value = METRICS[metric](table)
        if not isinstance(value, int):
            more = '; run it with mode="training"' if metric in OF_TRAINING else ""
            raise DocumentError(f"the table of {model} does not hold {metric}{more}")
        return _written(value, metric, words)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Say where in a document an error is."""
    try:
        yield
    except VggcostError as error:
        raise DocumentError(f"{where}: {error}") from error


# Tables


def _compare(words: Words, figures: Figures, folder: Path) -> Grid:
    names = [*(family(words["family"]) if "family" in words else ()), *_list(words.get("models", ""))]
    if not names:
        raise DocumentError('compare needs models="…" or family="…"')
    columns = _columns(words, DEFAULT_COLUMNS, COLUMNS)
    compare([], columns, words.get("sort"))  # a wrong column is found before anything is run
    tables = [figures.table(name, folder, _run(words), whole="saved_bytes" in columns) for name in names]
    return comparison_grid(compare(tables, columns, words.get("sort"), words.get("baseline")))


def _layers(words: Words, figures: Figures, folder: Path) -> Grid:
    columns = _columns(words, (), LAYER_COLUMNS)
    depth = _number(words, "depth") if "depth" in words else None
    table = figures.table(words["model"], folder, _run(words), whole="working" in columns)
    if "working" in columns and not any(layer.working for layer in table.layers):
        raise DocumentError(f"the table of {words['model']} does not hold working; leave this column away")
    return layers_grid(table, columns, depth)


def _totals(words: Words, figures: Figures, folder: Path) -> Grid:
    return totals_grid(figures.table(words["model"], folder, _run(words)))


def _stack(words: Words, figures: Figures, folder: Path) -> Grid:
    from vggcost.report.stack import stack_grid

    numbers = {
        name.replace("-", "_"): _number(words, name)
        for name in ("kernel", "channels", "in-channels", "size")
        if name in words
    }
    flags = {name: _choice(words, name, {"true": True, "false": False}) for name in ("bias", "relu") if name in words}
    same = {"same": _choice(words, "padding", {"same": True, "valid": False})} if "padding" in words else {}
    return stack_grid(figures.stack(**numbers, **flags, **same))


def _claims(words: Words, figures: Figures, folder: Path) -> Grid:
    from vggcost.report.claims import claims_grid

    if figures.analyze is None:
        raise DocumentError(
            "claims are recomputed, and no model is run here; show them with 'vggcost docs sync' instead"
        )
    return claims_grid(check(about(words.get("model"), words.get("source")), figures.run))


KINDS = {
    "compare": Kind(_compare, ("models", "family", "columns", "sort", "baseline", *RUN)),
    "layers": Kind(_layers, ("model", "columns", "depth", *RUN), ("model",)),
    "totals": Kind(_totals, ("model", *RUN), ("model",)),
    "stack": Kind(_stack, ("kernel", "channels", "in-channels", "size", "bias", "relu", "padding")),
    "claims": Kind(_claims, ("model", "source")),
}
"""The tables that a document may show."""


# Attributes


def _only(words: Words, known: Iterable[str], what: str) -> None:
    for name in words:
        if name not in known:
            raise DocumentError(f"{what} takes no {name}{did_you_mean(name, known)}; it takes {', '.join(known)}")


def _run(words: Words) -> dict[str, str]:
    return {name: words[name] for name in RUN if name in words}


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _columns(words: Words, default: Iterable[str], known: Mapping[str, Any]) -> list[str]:
    chosen = list(known) if words.get("columns") == "all" else _list(words.get("columns", "")) or list(default)
    for name in chosen:
        if name not in known:
            raise DocumentError(f"no column {name!r}{did_you_mean(name, known)}; columns: {', '.join(known)}")
    return chosen


def _number(words: Words, name: str) -> int:
    if not words[name].isdigit() or not int(words[name]):
        raise DocumentError(f"{name} must be a whole number of 1 or more, not {words[name]!r}")
    return int(words[name])


def _choice(words: Words, name: str, known: Mapping[str, bool]) -> bool:
    if words[name] not in known:
        raise DocumentError(f"{name} must be {' or '.join(known)}, not {words[name]!r}")
    return known[words[name]]


# Single figures


def _total(name: str) -> Callable[[CostTable], Any]:
    return lambda table: getattr(table.totals, name)


_WORDS_OF_OTHERS = ("top1_error", "top5_error", "images_per_s")  # published, not computed
METRICS: dict[str, Callable[[CostTable], Any]] = {
    **{item.name: _total(item.name) for item in fields(Totals)},
    **{name: column.value for name, column in COLUMNS.items() if name not in _WORDS_OF_OTHERS},
}
"""What may stand behind the dot of `model.metric`."""
_PLAIN = ("weight_layers", "receptive_field")
_FORMATS: dict[str, Callable[[int], str]] = {"exact": exact, "int": str}


def _written(value: int, metric: str, words: Words) -> str:
    bytes_ = metric.endswith("_bytes")
    form = words.get("format", "")
    if form and form not in (*_FORMATS, *UNITS):
        raise DocumentError(f"no format {form!r}{did_you_mean(form, UNITS)}; formats: {', '.join((*_FORMATS, *UNITS))}")
    if form.endswith("iB") and not bytes_:
        raise DocumentError(f"{metric} is a count, {form} is for bytes; write it in k, M, G, T or exact")
    digits = words.get("digits", "2")
    if not (digits.isdigit() and len(digits) == 1) or ("digits" in words and form not in UNITS):
        raise DocumentError(
            f'digits is one of 0 to 9 and goes with a unit, such as format="M" digits="1", not {digits!r}'
        )
    if form in UNITS:
        return in_unit(value, form, int(digits))
    return (_FORMATS.get(form) or (exact if metric in _PLAIN else human_bytes if bytes_ else human_count))(value)
