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

__all__ = ["Settings", "settings"]

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
        ConfigError: a file cannot be read, or is not TOML.
    """
    start = (folder or Path.cwd()).resolve()
    for place in (start, *start.parents):
        for name, tables in _FILES.items():
            found = _read(place / name, tables) if os.path.isfile(place / name) else None
            if found is not None:
                yield Settings(place / name, tables, found)


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
