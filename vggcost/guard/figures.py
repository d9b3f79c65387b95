"""Where the figures of a document come from: the baseline, a saved table, or one run of a model that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vggcost.errors import DocumentError, FileError, TableError
from vggcost.guard.baseline import read_baseline
from vggcost.guard.config import BASELINE, read_project
from vggcost.reading import read_file, resolved
from vggcost.records import CostTable
from vggcost.settings import nearest
from vggcost.units import did_you_mean
from vggcost.zoo import find
from vggcost.zoo.names import known_names

__all__ = ["LIBRARIES", "RUN", "Figures", "saved_table"]

RUN = ("input", "batch", "mode", "convention")
"""Attributes that say how a model is run."""

LIBRARIES = ("torchvision:", "timm:", "hf:")


@dataclass
class Figures:
    """Finds tables by the names that a document uses; what was found once is not computed again.

    Nothing that a document says is imported or executed: it may name a net of the zoo, a library's model, a saved
    table, or a model of the baseline.

    Attributes:
        analyze: runs a model by name, as `vggcost.analyze` does; None: no model is run.
        compare_stack: as `vggcost.compare_stack`; None: no model is run.
        allow_code: let a document name `./file.py:factory`, `package.module:factory` and `./model.pt2`.
        files: the saved tables and the baselines that were read.
    """

    analyze: Callable[..., CostTable] | None = None
    compare_stack: Callable[..., Any] | None = None
    allow_code: bool = False
    files: set[Path] = field(default_factory=set)
    _known: dict[Any, Any] = field(default_factory=dict)

    def table(self, name: str, folder: Path, run: Mapping[str, str] | None = None, *, whole: bool = False) -> CostTable:
        """Return the table of a model.

        Args:
            name: as a document has it.
            folder: the document's.
            run: attributes of `RUN`; with one of them the model is run.
            whole: something is shown that a baseline leaves out; a model that can be run is run for it.

        Raises:
            VggcostError: the name is not known or not allowed, or the model cannot be had.
        """
        given = dict(run or {})
        if name.endswith(".json") and not name.startswith(LIBRARIES):
            if given:
                raise DocumentError(f"{name} is a saved table, how it was run is in it; leave {', '.join(given)} away")
            return self._table(("saved", folder / name), lambda: self._saved(folder / name, name))
        published = name.startswith(LIBRARIES) or find(name) is not None
        locked = None if given else self._locked(folder).get(name)
        if locked is not None and not (whole and published and self.analyze):
            return locked
        if not published and not self.allow_code:
            raise DocumentError(self._refusal(name, folder))
        if self.analyze is None:
            raise DocumentError(
                f"{name!r} is not in the baseline, and no model is run here; 'vggcost lock {name}' puts it there, "
                "or name the file of a saved table"
            )
        return self.run(name, **_arguments(given), saved=True)

    def run(self, name: str, *inputs: Any, **options: Any) -> CostTable:
        """Run a model, once for the same options."""
        analyze = self.analyze
        assert analyze is not None
        key = ("run", name, inputs, tuple(sorted(options.items())))
        return self._table(key, lambda: analyze(name, *inputs, **options))

    def stack(self, **options: Any) -> Any:
        """Compare a convolution with its stack, once for the same options."""
        compare = self.compare_stack
        if compare is None:
            raise DocumentError("a stack is traced, and no model is run here; show it with 'vggcost docs sync' instead")
        return self._once(("stack", tuple(sorted(options.items()))), lambda: compare(**options))

    def _table(self, key: Any, make: Callable[[], CostTable]) -> CostTable:
        found: CostTable = self._once(key, make)
        return found

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _saved(self, path: Path, name: str) -> CostTable:
        self.files.add(path)
        return saved_table(path, name)

    def _locked(self, folder: Path) -> dict[str, CostTable]:
        """The baseline's tables by name."""
        path: Path = self._once(("project", folder), lambda: _baseline(resolved(folder)))
        self.files.add(path)
        entries = self._once(("baseline", path), lambda: read_baseline(path) if os.path.exists(path) else {})
        return {name: entry.table for name, entry in entries.items()}

    def _refusal(self, name: str, folder: Path) -> str:
        if ":" in name or name.endswith(".pt2"):
            return (
                f"{name} would run code that a document names; lock it under a name of its own or save its table as "
                "JSON and name that, or trust the document with --allow-code"
            )
        hint = did_you_mean(name, [*self._locked(folder), *known_names()])
        return (
            f"unknown model {name!r}{hint}; a document names a net of the zoo, torchvision:, timm: or hf:NAME, a saved "
            "table (FILE.json, seen from the document), or a model of the baseline ('vggcost lock' puts it there)"
        )


def _baseline(folder: Path) -> Path:
    """Where the baseline is: as the nearest configuration says, or else the nearest one, here or in a parent."""
    project = read_project(folder)
    if project.file is not None:
        return project.baseline
    return nearest(BASELINE, folder) or folder / BASELINE


def saved_table(path: Path, name: str) -> CostTable:
    """Read a saved table; `name` is for messages.

    Raises:
        FileError: it cannot be read.
        TableError: it is no table.
    """
    try:
        return CostTable.from_json(read_file(path).decode("utf-8-sig"))
    except FileError as error:
        said = str(error).replace(str(path), name)
        raise FileError(f"{said}; paths start at the document") from None
    except UnicodeDecodeError:
        raise TableError(f"{name}: not text; give a file written by 'vggcost report --format json'") from None
    except TableError as error:
        raise TableError(f"{name}: {error}") from None


def _arguments(run: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {key: run[key] for key in ("mode", "convention") if key in run}
    if "input" in run:
        found["inputs"] = tuple(run["input"].split())
    if "batch" in run:
        if not run["batch"].isdigit():
            raise DocumentError(f"batch must be a whole number of 1 or more, not {run['batch']!r}")
        found["batch"] = int(run["batch"])
    return found
