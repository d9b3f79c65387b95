"""Where a model stands in the project's files: the line that a message about it belongs to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vggcost.errors import FileError
from vggcost.guard.config import Project
from vggcost.inert import json_line
from vggcost.reading import read_file, resolved

__all__ = ["Place", "places_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; its path as the reader of the message counts it."""

    file: str
    line: int


def places_of(names: Iterable[str], project: Project, baseline: Path, root: Path | None = None) -> dict[str, Place]:
    """Find each model's line: in the baseline, or else in the configuration.

    Args:
        names: of models.
        project: whose configuration may name them.
        baseline: whose text may hold them.
        root: where paths begin, such as the checkout of a forge; None: the working directory.
    """
    start = resolved(root or Path.cwd())
    texts = [(path, _read(path)) for path in (baseline, project.file) if path is not None]
    found = {}
    for name in names:
        written = re.escape(json_line(name))
        for path, text in texts:
            key = rf"^  {written}: {{$" if path == baseline else rf"^\s*name\s*=\s*(?:{written}|'{re.escape(name)}')"
            at = re.search(key, text, flags=re.MULTILINE)
            if at is not None:
                line = text.count("\n", 0, at.end()) + 1
                found[name] = Place(Path(os.path.relpath(resolved(path), start)).as_posix(), line)
                break
    return found


def _read(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8")
    except (FileError, UnicodeDecodeError):
        return ""  # it is no baseline, or there is none, and whoever needs it has said so
