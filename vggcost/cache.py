"""Tables of earlier runs, kept as JSON in the user's cache directory. Standard library only.

An entry is one file: a checksum of all that follows, what the table depends on, and the table. It is written whole or
not at all, so that two processes never read half of one, and one that is damaged is taken for none.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vggcost.errors import FileError
from vggcost.files import replace_file
from vggcost.origin import digest
from vggcost.reading import loads, read_file

__all__ = ["LIMIT", "Cache", "Kept", "cache_of_user", "imported_files", "own_code"]

LIMIT = 256 * 10**6
"""Bytes that all entries together may take; beyond them those that were not used for longest are dropped."""

_BASES = {"win32": ("LOCALAPPDATA", "AppData/Local"), "darwin": ("", "Library/Caches")}
_XDG = ("XDG_CACHE_HOME", ".cache")


def cache_of_user() -> Cache | None:
    """Return the cache that the environment names: `$VGGCOST_CACHE`, or that of the user; None if it is `off`.

    The user's is `vggcost` in `$XDG_CACHE_HOME` or `~/.cache`, on macOS in `~/Library/Caches`, on Windows in
    `%LOCALAPPDATA%`.
    """
    given = os.environ.get("VGGCOST_CACHE", "")
    if given.lower() in ("off", "0"):
        return None
    if given:
        return Cache(Path(given))
    variable, below_home = _BASES.get(sys.platform, _XDG)
    base = os.environ.get(variable, "")
    home = os.path.expanduser("~")
    if not os.path.isabs(base) and not os.path.isabs(home):  # a user whom the system does not know
        return None
    return Cache((Path(base) if os.path.isabs(base) else Path(home) / below_home) / "vggcost")


@dataclass(frozen=True, slots=True)
class Kept:
    """How much a cache holds."""

    folder: Path
    entries: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of entries.

    Example:
        >>> import tempfile
        >>> kept = Cache(Path(tempfile.mkdtemp()))
        >>> kept.put({"model": "vgg16"}, "a table", {})
        >>> kept.get({"model": "vgg16"}), kept.get({"model": "vgg19"})
        ('a table', None)
    """

    folder: Path
    limit: int = LIMIT

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self.folder / "tables" / f"{digest(_text(key).encode())}.json"

    def get(self, key: Mapping[str, Any]) -> str | None:
        """Return what was kept under a key, unless it is damaged or a file it depends on has changed since."""
        path = self._path(key)
        try:
            checksum, _, rest = read_file(path).partition(b"\n")
            head, _, body = rest.partition(b"\n")
            if checksum.decode() != digest(rest):
                raise ValueError("damaged")
            found = loads(head.decode("utf-8"))
            if found["key"] != json.loads(_text(key)) or found["depends"] != digests(found["depends"]):
                return None
            text = body.decode("utf-8")
        except (FileError, ValueError, KeyError, TypeError):
            return None
        with suppress(OSError):
            os.utime(path)  # it was used now
        return text

    def put(self, key: Mapping[str, Any], text: str, depends: Mapping[str, str]) -> None:
        """Keep a text under a key, and drop what was not used for longest where all is too much.

        Args:
            key: all that the text follows from, as plain values.
            text: what to keep.
            depends: files that it follows from as well, with their fingerprints.

        Raises:
            FileError: it cannot be written.
        """
        path = self._path(key)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make {path.parent}: {error.strerror or error}") from None
        head = _text({"key": key, "depends": depends})
        rest = f"{head}\n{text}".encode("utf-8", "backslashreplace")
        replace_file(path, digest(rest).encode() + b"\n" + rest)
        self._shrink(path)

    def _shrink(self, newest: Path) -> None:
        files = sorted(self._files(), key=lambda item: item[1].st_mtime)
        total = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if total <= self.limit:
                break
            if path != newest:
                with suppress(OSError):  # another process was faster
                    path.unlink()
                total -= stat.st_size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """List the entries, and what an interrupted write left."""
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder / "tables") as found:
            for item in found:
                with suppress(OSError):
                    if ".json" in item.name and item.is_file(follow_symlinks=False):
                        yield Path(item.path), item.stat()

    def kept(self) -> Kept:
        """Say how much there is."""
        files = list(self._files())
        return Kept(self.folder, len(files), sum(stat.st_size for _, stat in files))

    def clear(self) -> Kept:
        """Remove all entries, and say how much that was; other files in the folder are left alone.

        Raises:
            FileError: one cannot be removed.
        """
        before = self.kept()
        for path, _ in list(self._files()):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise FileError(f"cannot remove {path}: {error.strerror or error}") from None
        return before


def _text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def digests(paths: Mapping[str, Any] | list[str]) -> dict[str, str]:
    """Return the fingerprints of files; that of one which cannot be read is empty."""
    found = {}
    for path in paths:
        try:
            found[path] = digest(read_file(path))
        except FileError:
            found[path] = ""
    return found


@cache
def own_code() -> str:
    """Return a fingerprint of this package's files by size and time, so that a checkout never gets old figures."""
    root = Path(__file__).parent
    found = [(str(path.relative_to(root)), path.stat()) for path in sorted(root.rglob("*.py"))]
    return digest(repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]).encode())


def imported_files(package: str) -> list[str]:
    """List the files of the user's own modules that are imported now: neither of Python, nor installed, nor vggcost's.

    Args:
        package: the first part of a name of a package, whose modules are listed wherever they are.
    """
    not_own = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    not_own = [f"{place}{os.sep}" for place in [*not_own, str(Path(__file__).parent)]]
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not os.path.isabs(file) or name == "__main__":
            continue
        installed = file.startswith(tuple(not_own)) or {"site-packages", "dist-packages"} & set(Path(file).parts)
        if not installed or (package and name.partition(".")[0] == package):
            found.add(file)
    return sorted(found)
