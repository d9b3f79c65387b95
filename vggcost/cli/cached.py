"""A command's table: that of an earlier run where nothing has changed since, or a new one, which is kept."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggcost.cache import cache_of_user, digests, imported_files, own_code
from vggcost.cli.files import complain
from vggcost.errors import FileError, TableError
from vggcost.origin import LIBRARIES, digest, is_editable, leads_to
from vggcost.records import CostTable
from vggcost.zoo.names import find

if TYPE_CHECKING:
    from vggcost._analyze import Said

__all__ = ["run_cached"]

_PACKAGES = ("torch", *LIBRARIES.values(), "numpy")
_ENVIRONMENT = ("TIMM_", "TORCH", "PYTORCH_", "TRANSFORMERS_", "HF_", "CUDA_", "PYTHONPATH")


def run_cached(model: str, inputs: Any, said: Said, cached: bool) -> CostTable:
    """Do as `run_once`, or return what it returned before.

    Kept is what a later run would find again by itself: the table of a name, run on inputs that are written out. Of the
    user's own code every module that was imported must be as it was. What is run on real tensors, or with a library
    that is worked on (installed as editable), is not kept.

    Args:
        model: a name, as for `analyze`.
        inputs: as for `analyze`.
        said: the other arguments of `analyze`.
        cached: whether to look at all.
    """
    from vggcost._analyze import run_once

    kept = cache_of_user() if cached and _written_out(inputs) and all(map(_told_apart, _names(model, said))) else None
    if kept is None:
        return run_once(model, inputs, said)
    key, began = _key(model, inputs, said), time.time()
    text = kept.get(key)
    if text is not None:
        try:
            return CostTable.from_json(text)
        except TableError:  # of an entry that was tampered with: traced again
            pass
    table = run_once(model, inputs, said)
    files = sorted({file for name in _names(model, said) for file in _files(name)})
    if table.run.device == "meta" and not any(_changed_since(began, file) for file in files):
        try:
            kept.put(key, table.to_json(), digests(files))
        except FileError as error:
            complain(f"vggcost: not kept for the next time: {error} (--no-cache, or set VGGCOST_CACHE)")
    return table


def _names(model: str, said: Said) -> list[str]:
    """List what may lead to the user's own code: the model, and the loss that is given."""
    return [model, said.loss] if isinstance(said.loss, str) and said.loss else [model]


def _written_out(inputs: Any) -> bool:
    return inputs is None or (isinstance(inputs, (tuple, list)) and all(isinstance(text, str) for text in inputs))


def _told_apart(name: str) -> bool:
    """Whether it is known by what the figures of a name change: a file that is found, or a library's version."""
    place, colon, _ = name.partition(":")
    library = LIBRARIES.get(place) if colon else None
    if any(is_editable(package) for package in ("torch", library) if package is not None):
        return False
    return library is not None or find(name) is not None or leads_to(name, sys.path) is not None


def _key(model: str, inputs: Any, said: Said) -> dict[str, Any]:
    """Collect all that the table follows from, but for the user's files."""
    from vggcost.cost import convention

    environment = [(name, value) for name, value in sorted(os.environ.items()) if name.startswith(_ENVIRONMENT)]
    return {
        "model": model,
        "inputs": None if inputs is None else list(inputs),
        "said": {**asdict(said), "options": repr(sorted(said.options.items()))},
        "convention": repr(convention(said.convention)),
        "folder": os.getcwd() if any(leads_to(name, sys.path) is not None for name in _names(model, said)) else "",
        "python": sys.version,
        "platform": sys.platform,
        "packages": {package: _installed(package) for package in _PACKAGES},
        "vggcost": own_code(),
        "environment": digest(repr(environment).encode()),  # some of it is secret
    }


def _installed(package: str) -> list[Any]:
    """Say which build of a library would be imported, without importing it."""
    spec = PathFinder.find_spec(package)
    try:
        return [version(package), spec.origin, os.stat(spec.origin).st_mtime_ns] if spec and spec.origin else []
    except (PackageNotFoundError, OSError):
        return [""]


def _files(name: str) -> list[str]:
    """List the files that the run just done has read of the user's; those of its data are not known."""
    first = leads_to(name, sys.path)
    if first is None:
        return []
    place = name.rpartition(":")[0]
    package = "" if place.endswith(".py") or os.sep in place else place.partition(".")[0]
    code = imported_files(package) if first.suffix not in (".pt2", ".json") else []
    return sorted({str(first), *code})


def _changed_since(moment: float, file: str) -> bool:
    """Whether a file may be another one than the run has read."""
    try:
        return Path(file).stat().st_mtime >= moment
    except OSError:
        return True
