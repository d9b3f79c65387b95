"""Where a command's tables come from: a saved file, a baseline, or a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggcost.errors import BaselineError, TableError
from vggcost.reading import read_file, read_stdin
from vggcost.records import CostTable
from vggcost.units import did_you_mean

if TYPE_CHECKING:
    from vggcost.guard import Entry, Spec

__all__ = ["entries_of", "is_saved", "read_table", "table_of", "tables_of"]


def read_table(path: str) -> CostTable:
    """Read a saved table; `-` is standard input.

    Raises:
        FileError: the file cannot be read.
        TableError: it is no table; the message names the file.
    """
    return _table(read_text(path), path)


def read_text(path: str) -> str:
    """Read what may be a table or a baseline; `-` is standard input.

    Raises:
        FileError: the file cannot be read.
        TableError: it is not text.
    """
    try:
        return (read_stdin() if path == "-" else read_file(path)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TableError(f"{path}: not text; give a file written by 'vggcost report --format json'") from None


def _table(text: str, path: str) -> CostTable:
    try:
        return CostTable.from_json(text)
    except TableError as error:
        raise TableError(f"{path}: {error}") from None


def table_of(
    name: str,
    inputs: Any = None,
    *,
    batch: int = 1,
    mode: str = "inference",
    convention: str = "torch",
    assume: Mapping[str, int] | None = None,
    cached: bool = False,
    **options: Any,
) -> CostTable:
    """Return the table of a model's name, or of a saved file (`-` or `*.json`), which needs no torch."""
    if is_saved(name):
        return read_table(name)
    from vggcost._analyze import Said
    from vggcost.cli.cached import run_cached

    return run_cached(name, inputs, Said(batch, mode, convention, True, dict(assume or {}), options=options), cached)


def is_saved(name: str) -> bool:
    """Whether this names a saved file rather than a model."""
    return name == "-" or name.partition("#")[0].endswith(".json")


def tables_of(name: str) -> tuple[dict[str, CostTable], bool]:
    """Read a saved file: the tables of a baseline by the names of their models, or its only table; which one it is.

    `FILE#MODEL` is one model of a baseline.

    Raises:
        FileError: it cannot be read.
        TableError: it is no table.
        BaselineError: it is a baseline that is damaged, or does not hold the model.
    """
    from vggcost.guard import is_baseline
    from vggcost.guard.baseline import parse_baseline

    path, _, model = name.partition("#")
    text = read_text(path)
    if not is_baseline(text):
        table = _table(text, path)
        return {table.run.model: table}, False
    found = {key: entry.table for key, entry in parse_baseline(text, Path(path)).items()}
    if model and model not in found:
        raise BaselineError(f"{path}: no model {model!r}{did_you_mean(model, found)}; models: {', '.join(found)}")
    return ({model: found[model]}, False) if model else (found, True)


def entries_of(file: str, before: Mapping[str, Entry], models: Iterable[Spec], name: str = "") -> list[Entry]:
    """Read a saved table or a baseline as fresh figures; `name` says which model of the project a table is of.

    Raises:
        BaselineError: a table could be of several models of the project.
    """
    from vggcost.guard import Entry, Spec, is_baseline
    from vggcost.guard.baseline import parse_baseline

    text = read_text(file)
    if is_baseline(text):
        entries = parse_baseline(text, Path(file))
        if name and name not in entries:
            raise BaselineError(f"{file}: no model {name!r}{did_you_mean(name, entries)}; models: {', '.join(entries)}")
        return [entries[name]] if name else list(entries.values())
    table = _table(text, file)
    specs = {key: entry.spec for key, entry in before.items()} | {spec.name: spec for spec in models}
    made = (table.run.model, *table.run.aliases)
    fitting = [key for key, spec in specs.items() if key in made or spec.source in made]
    fitting = [key for key in fitting if key in made] or fitting
    if not name and len(fitting) > 1:
        raise BaselineError(f"{file} could be {' or '.join(fitting)}; write NAME={file} to say which")
    key = name or (fitting[0] if fitting else table.run.model)
    return [Entry(specs.get(key, Spec(key, table.run.model)), table)]
