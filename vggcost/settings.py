"""A project's configuration: found in a folder or its parents, read as TOML. Standard library only."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggcost.errors import ConfigError, FileError
from vggcost.reading import CONFIG, not_deep, read_file

__all__ = ["Settings", "nearest", "settings"]

# file: the tables that lead to what is vggcost's; in one folder the first file goes first
_FILES = {"vggcost.toml": (), "pyproject.toml": ("tool", "vggcost")}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one file says to vggcost."""

    path: Path
    tables: tuple[str, ...]
    data: dict[str, Any]

    def name(self, *keys: str) -> str:
        """Name a table as the file has it.

        Example:
            >>> Settings(Path("pyproject.toml"), ("tool", "vggcost"), {}).name("models")
            'tool.vggcost.models'
        """
        return ".".join((*self.tables, *keys))


def settings(folder: Path | None = None) -> Iterator[Settings]:
    """Read the configuration files of a folder and its parents that say anything to vggcost, the nearest first.

    That is all of vggcost.toml, and `[tool.vggcost]` of pyproject.toml.

    Args:
        folder: where to begin; None: the working directory.

    Raises:
        ConfigError: a file cannot be read, is not TOML, or belongs to another user.
    """
    start = (folder or Path.cwd()).resolve()
    for place in _places(start):
        for name, tables in _FILES.items():
            path = place / name
            found = _read(path, tables) if _ours(path, start) else None
            if found is not None:
                yield Settings(path, tables, found)


def nearest(name: str, start: Path) -> Path | None:
    """Find a file of a project in a resolved folder or its parents, as far up as settings are looked for.

    Raises:
        ConfigError: it belongs to another user.
    """
    return next((path for place in _places(start) if _ours(path := place / name, start)), None)


def _places(start: Path) -> Iterator[Path]:
    """List where the files of a project are looked for: a folder, and its parents up to the project's root.

    That is the root of the repository, or the user's home. A folder in which others can put files, such as the one
    for temporary files, ends the list: what they put there would rule everyone below.
    """
    home = _home()
    for place in (start, *start.parents):
        if place != start and (_shared(place) or _owner(place) not in _trusted(start)):
            return
        yield place
        if place == home or os.path.exists(place / ".git"):
            return


def _ours(path: Path, start: Path) -> bool:
    """Whether there is a file, put there by the user, by root, or by the owner of the folder they work in.

    Raises:
        ConfigError: another put it there, in a folder that is not everyone's.
    """
    if not os.path.isfile(path):
        return False
    if {_owner(path), _owner(path, link=True)} <= _trusted(start):
        return True
    if _shared(path.parent):
        return False
    raise ConfigError(f"{path} belongs to another user and is not read; remove it, or work in another folder")


def _trusted(start: Path) -> set[int | None]:
    return {os.geteuid(), 0, _owner(start)} - {None} if _UNIX else {0}  # elsewhere every file has 0


def _owner(path: Path, link: bool = False) -> int | None:
    """Who a file, or a link to it, belongs to; None where that cannot be told."""
    try:
        return os.stat(path, follow_symlinks=not link).st_uid
    except OSError:
        return None


def _shared(place: Path) -> bool:
    """Whether everyone can put files in a folder."""
    try:
        return _UNIX and bool(place.stat().st_mode & 0o002)
    except OSError:
        return True


_UNIX = hasattr(os, "geteuid")


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):
        return None


def _read(path: Path, tables: tuple[str, ...]) -> dict[str, Any] | None:
    try:
        data: Any = tomllib.loads(read_file(path, CONFIG).decode("utf-8-sig"))
        not_deep(data)
    except FileError as error:
        raise ConfigError(str(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: {error}; save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply to be a configuration") from None
    except ValueError as error:  # TOML's errors are such, and so is a number with too many digits
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for table in tables:
        if not isinstance(data, dict) or table not in data:
            return None
        data = data[table]
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: {'.'.join(tables)} must be a table, not {data!r:.60}")
    return data
