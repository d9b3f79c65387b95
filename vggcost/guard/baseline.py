"""The baseline: what each model cost when it was accepted, one line a layer, committed beside the code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vggcost.errors import BaselineError, ConfigError, FileError, TableError
from vggcost.files import encoded, replace_file
from vggcost.guard.config import Spec, read_spec
from vggcost.inert import json_line
from vggcost.reading import loads, read_file
from vggcost.records import SUMMED, CostTable, Coverage, Totals, absent
from vggcost.saved import from_data, to_data
from vggcost.schema import check, maybe, number

__all__ = ["SCHEMA", "Baseline", "Entry", "dump_baseline", "is_baseline", "kept", "read_baseline", "update_baseline"]

SCHEMA = 1
"""Version of the file. 1: first release."""

Baseline = dict[str, "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one model costs, and how that was found; `peak_bytes` is of a training step, None where nobody asked."""

    spec: Spec
    table: CostTable
    peak_bytes: int | None = None

    def get(self, metric: str) -> int | None:
        """Return a total by the name of its metric."""
        found: int | None = self.peak_bytes if metric == "peak_bytes" else getattr(self.table.totals, metric)
        return found


def kept(entry: Entry) -> Entry:
    """Leave out what a baseline does not hold: what changes with versions, and the arithmetic in words."""
    table = entry.table
    return replace(
        entry,
        table=replace(
            table,
            run=replace(table.run, command="", versions=()),
            layers=tuple(layer._replace(working="") for layer in table.layers),
            memory=(),
            coverage=Coverage((), (), table.coverage.unknown, table.coverage.assumed),
        ),
    )


# Writing

_LAYER: dict[str, Any] = dict.fromkeys(SUMMED, 0) | {
    "call": 1, "output_shape": [], "receptive_field": None, "jump": None, "working": "", "attributes": {},
}  # fmt: skip
"""What a layer's line leaves out."""


def dump_baseline(entries: Iterable[Entry]) -> str:
    """Write a baseline: keys sorted, one line a layer, a total, or what else belongs together."""
    models = {entry.spec.name: _entry(kept(entry)) for entry in entries}
    blocks = [f"  {_line(name)}: {_block(_fields(models[name]), 2)}" for name in sorted(models)]
    return f'{{\n "models": {_block(blocks, 1)},\n "schema": {SCHEMA}\n}}\n'


def _entry(entry: Entry) -> dict[str, Any]:
    data = to_data(entry.table)
    coverage = {key: value for key, value in data.pop("coverage").items() if value}
    unknown = dict.fromkeys(absent(entry.table.run.mode))
    layers = [[layer.pop("path"), _without(layer, {**_LAYER, **unknown})] for layer in data.pop("layers")]
    totals = _without(data.pop("totals"), unknown)
    spec = {item.name: getattr(entry.spec, item.name) for item in fields(Spec) if item.name != "name"}
    spec |= {"options": dict(entry.spec.options), "assume": dict(entry.spec.assume)}
    peak = {} if entry.peak_bytes is None else {"peak_bytes": entry.peak_bytes}
    run = _without(
        data.pop("run"), {"command": "", "versions": {}, "note": "", "loss": "", "aliases": (), "device": "meta"}
    )
    return {
        **{key: data[key] for key in ("containers", "convention", "weight_layers")},
        **peak, "totals": totals, "coverage": coverage, "layers": layers, "run": run, "spec": _without(spec, {"assume": {}, "loss": ""}),
    }  # fmt: skip


def _without(data: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    plain = json.loads(json.dumps(data))
    return {key: value for key, value in plain.items() if key not in defaults or value != _plain(defaults[key])}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fields(data: Mapping[str, Any]) -> Iterator[str]:
    for key, value in sorted(data.items()):
        if key == "layers":
            text = _block(("    " + _line(layer) for layer in value), 3, "[]")
        elif key == "totals":
            text = _block((f"    {_line(name)}: {value[name]}" for name in sorted(value)), 3)
        else:
            text = _line(value)
        yield f"   {_line(key)}: {text}"


def _block(lines: Iterable[str], indent: int, brackets: str = "{}") -> str:
    """Put lines between brackets, of which the last one is indented."""
    return f"{brackets[0]}\n" + ",\n".join(lines) + f"\n{' ' * indent}{brackets[1]}"


def _line(value: Any) -> str:
    return json_line(value, sort_keys=True)


# Reading


def is_baseline(text: str) -> bool:
    """Whether a text is meant to be a baseline rather than a saved table."""
    return re.match(r'\s*\{\s*"models"', text) is not None


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        FileError: the file cannot be read.
        BaselineError: it is no baseline, of another schema, cut off, edited by hand, in conflict, or names a model twice.
    """
    try:
        if not os.path.exists(path):
            raise FileError(f"there is no baseline {path}; 'vggcost lock MODEL' writes one")
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BaselineError(f"{path}: not text; {_restore(path)}") from None
    return parse_baseline(text, path)


def parse_baseline(text: str, path: Path) -> Baseline:
    """Read the text of a baseline; `path` is for messages.

    Raises:
        BaselineError: as for `read_baseline`.
    """
    conflict = re.search(r"^(<{7}|>{7}|\|{7})( |$)", text, flags=re.MULTILINE)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise BaselineError(
            f"{path}: line {line}: a merge left its conflict markers; take either side, such as with "
            f"'git checkout --ours {path.name}', then run 'vggcost lock'"
        )
    try:
        data = loads(text, lambda pairs: _once(pairs, path))
    except ValueError as error:
        cut = getattr(error, "pos", 0) >= len(text.rstrip()) or "Unterminated" in str(error)
        what = "cut off" if cut else "not JSON"
        raise BaselineError(f"{path}: {what} ({error}); {_restore(path)}") from None
    if not isinstance(data, dict) or not isinstance(data.get("models"), dict) or type(data.get("schema")) is not int:
        raise BaselineError(f"{path}: JSON, but not a baseline; 'vggcost lock' writes one")
    if data["schema"] != SCHEMA:
        newer = data["schema"] > SCHEMA
        raise BaselineError(
            f"{path}: written with schema {data['schema']}, this vggcost reads schema {SCHEMA}; "
            + ("install a newer vggcost" if newer else "delete it and run 'vggcost lock' to write it anew")
        )
    return {name: _read(name, value, path) for name, value in data["models"].items()}


def _once(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    names = [key for key, _ in pairs]
    twice = next((key for key in names if names.count(key) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise BaselineError(f"{path}: the name {twice!r} is there twice (after a merge?); {_restore(path)}")
    return dict(pairs)


def _restore(path: Path) -> str:
    return f"restore it, such as with 'git checkout -- {path.name}', or delete it and run 'vggcost lock'"


def _read(name: str, value: Any, path: Path) -> Entry:
    where = f"{path}: {name}: "
    try:
        data = dict(value)
        spec = dict(data.pop("spec"))
        source = spec.pop("source")
        peak = data.pop("peak_bytes", None)
        check(peak, maybe(number()))
        data["layers"] = [{**_LAYER, **layer, "path": at} for at, layer in data["layers"]]
        data["run"] = {"command": "", "versions": {}, "aliases": (), **data["run"]}
        data["coverage"] = {"counted": {}, "free": {}, "unknown": {}, **data["coverage"]}
        table = from_data({**data, "memory": [], "schema": SCHEMA})
        found = Entry(
            replace(read_spec({"name": name, "source": source or name, **spec}, where), source=source), table, peak
        )
    except (KeyError, TypeError, ValueError, AttributeError, TableError, ConfigError) as error:
        text = str(error).removeprefix(where)
        raise BaselineError(
            f"{where}damaged or edited by hand ({type(error).__name__}: {text}); {_restore(path)}"
        ) from None
    sums = Totals.of(table.layers, table.run.mode)
    wrong = [key for key in SUMMED if getattr(sums, key) != getattr(table.totals, key)]
    if wrong:
        given, real = getattr(table.totals, wrong[0]), getattr(sums, wrong[0])
        raise BaselineError(
            f"{where}edited by hand: the total of {wrong[0]} is {given}, its layers add up to {real}; {_restore(path)}"
        )
    return found


# Changing


def update_baseline(path: Path, entries: Iterable[Entry], remove: Iterable[str] = ()) -> bool:
    """Put entries into a baseline and keep those that it has of other models.

    The file is read again under a lock that other processes respect, so that two that write at once lose nothing
    of each other's; it is replaced as a whole, so that a run that is killed leaves the old file or the new one.

    Args:
        path: the baseline; it is made if there is none.
        entries: what to put there.
        remove: names to take out.

    Returns:
        Whether that changed the file.

    Raises:
        FileError: it cannot be written.
        BaselineError: what is there cannot be read.
    """
    with _locked(path.parent):
        before = read_baseline(path) if os.path.exists(path) else {}
        gone = set(remove)
        after = {name: entry for name, entry in before.items() if name not in gone}
        after |= {entry.spec.name: entry for entry in entries}
        data = encoded(dump_baseline(after.values()))
        if os.path.exists(path) and read_file(path) == data:
            return False
        replace_file(path, data, "make it writable, or name another with --baseline")
        return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change files of a folder; the system lets go of the lock of one that is killed.

    Where there is no fcntl (on Windows) nothing is locked.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except ImportError:
        yield
        return
    except OSError as error:
        raise FileError(f"cannot write into {folder}: {error.strerror or error}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
