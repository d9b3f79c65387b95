"""The parts of a zip archive, read by one reader that takes no archive which two could read differently.

What stands in such a file is told three times: in the directory at its end, before each part, and after it. The
readers of this world believe one or another of these, so an archive is taken only if all agree, the parts lie one
after another from the first byte to the directory, and nothing is packed: then there is but one way to read it,
and nothing in it is larger than the file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

__all__ = ["Archive", "ArchiveError"]

_LOCAL, _ENTRY = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I")
_END, _END64, _LOCATOR = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
_FULL, _FULL16 = 0xFFFF_FFFF, 0xFFFF
_TRAILED, _UTF8, _ZIP64 = 0x0008, 0x0800, 1
_PADDING = 0x4246  # what torch puts before a part, for its alignment
_DIRECTORY, _PARTS, _NAME = 1 << 26, 1 << 19, 1 << 10
"""The most bytes of a directory, parts of an archive, and bytes of a name."""


class ArchiveError(ValueError):
    """The file is no archive, or one that could be read in two ways."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part lies, as the directory tells."""

    name: str
    raw: bytes
    flags: int
    check: int
    size: int
    start: int


class Archive:
    """An archive of unpacked parts, opened once; parts are read when they are asked for.

    Example:
        >>> import io, zipfile
        >>> file = io.BytesIO()
        >>> with zipfile.ZipFile(file, "w") as made:
        ...     made.writestr("net/a", "one")
        >>> archive = Archive(file)
        >>> dict(archive.sizes), archive.read("net/a", 9)
        ({'net/a': 3}, b'one')
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the directory, and compare it with what stands before and after each part.

        Raises:
            ArchiveError: it is no such archive; the message says what is wrong.
        """
        self._file = file
        start, count, end = _directory(file)
        parts = _entries(_bytes(file, start, end - start), count)
        self._data = _positions(file, parts, start)
        self._parts = {part.name: part for part in parts}
        if len({part.name.casefold() for part in parts}) < len(parts):
            raise ArchiveError("two parts of it have one name")
        self.sizes: Mapping[str, int] = {part.name: part.size for part in parts}

    @classmethod
    def open(cls, path: str | Path) -> Archive:
        """Open a file, and keep it open.

        Raises:
            ArchiveError: it is no such archive.
            OSError: it cannot be read.
        """
        file = Path(path).open("rb")  # noqa: SIM115
        try:
            return cls(file)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def read(self, name: str, most: int) -> bytes:
        """Read a part of at most so many bytes.

        Raises:
            ArchiveError: it is missing, larger, or not what was written.
        """
        part = self._parts.get(name)
        if part is None:
            raise ArchiveError(f"it has no {name[:80]!r}")
        if part.size > most:
            raise ArchiveError(f"{name[:80]!r} in it has {part.size:,} bytes, and at most {most:,} are read")
        data = _bytes(self._file, self._data[name], part.size)
        if zlib.crc32(data) != part.check:
            raise ArchiveError(f"{name[:80]!r} in it is damaged: its checksum differs")
        return data


def _bytes(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    data = file.read(count)
    if len(data) < count:
        raise ArchiveError("it ends too early")
    return data


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """Find the directory: where it begins, how many parts it lists, and where it ends."""
    size = file.seek(0, 2)
    if size < _END.size:
        raise ArchiveError("it is no zip file")
    end = size - _END.size
    sign, disk, first, here, count, length, start, comment = _END.unpack(_bytes(file, end, _END.size))
    if sign != b"PK\x05\x06" or comment:
        raise ArchiveError("it is no zip file, or something follows its directory")
    if disk or first or here != count:
        raise ArchiveError("its directory tells of other files")
    place = end - _LOCATOR.size
    locator = _bytes(file, place, _LOCATOR.size) if place >= _END64.size else b""
    if locator[:4] == b"PK\x06\x07":
        end = place - _END64.size
        if _LOCATOR.unpack(locator) != (b"PK\x06\x07", 0, end, 1):
            raise ArchiveError("its second directory's end is not where it is said to be")
        sign, left, _, _, disk, first, here, total, long, begin = _END64.unpack(_bytes(file, end, _END64.size))
        if sign != b"PK\x06\x06" or left != _END64.size - 12 or disk or first or here != total:
            raise ArchiveError("its second directory's end is not what it should be")
        for short, full, value in ((count, _FULL16, total), (length, _FULL, long), (start, _FULL, begin)):
            if short not in (value, full):
                raise ArchiveError("the two ends of its directory differ")
        count, length, start = total, long, begin
    if start + length != end:
        raise ArchiveError("its directory is not where it is said to be: something stands before, within or after it")
    if count > _PARTS or length > _DIRECTORY:
        raise ArchiveError(f"it has {count:,} parts, and a directory of {length:,} bytes: more than is read")
    return start, count, end


def _entries(data: bytes, count: int) -> list[Part]:
    """Read the directory."""
    parts, at = [], 0
    for _ in range(count):
        if at + _ENTRY.size > len(data):
            raise ArchiveError("its directory ends too early")
        entry = _ENTRY.unpack_from(data, at)
        sign, made, _, flags, method, _, _, check, packed, size, named, extra, comment, disk, _, outer, start = entry
        at += _ENTRY.size
        raw, more = data[at : at + named], data[at + named : at + named + extra]
        at += named + extra
        if sign != b"PK\x01\x02" or comment or disk or at > len(data):
            raise ArchiveError("an entry of its directory is not what it should be")
        size, packed, start = _wide(more, (size, packed, start))
        name = _name(raw)
        _plain(name, flags, method, size, packed)
        if (made >> 8 == 3 and outer >> 28 not in (0, 8)) or outer & 0x10:  # made on Unix: the kind of file
            raise ArchiveError(f"{name[:80]!r} in it is a link or a folder, not a file")
        parts.append(Part(name, raw, flags, check, size, start))
    if at != len(data):
        raise ArchiveError("its directory holds more than it says")
    return parts


def _positions(file: BinaryIO, parts: list[Part], end: int) -> dict[str, int]:
    """Find the data of each part; nothing lies between the parts, or before the first."""
    if not parts:
        raise ArchiveError("it lists none of its parts")
    found: dict[str, int] = {}
    ordered = sorted(parts, key=lambda part: part.start)
    if ordered[0].start:
        raise ArchiveError("something stands before its first part")
    for part, after in zip(ordered, [*(part.start for part in ordered[1:]), end], strict=True):
        header = _LOCAL.unpack(_bytes(file, part.start, _LOCAL.size))
        sign, _, flags, method, _, _, check, packed, size, named, extra = header
        rest = _bytes(file, part.start + _LOCAL.size, named + extra)
        if sign != b"PK\x03\x04" or rest[:named] != part.raw or flags != part.flags or method:
            raise ArchiveError(f"{part.name[:80]!r} in it has another name or form where it stands")
        size, packed = _wide(rest[named:], (size, packed))
        told, later = (check, packed, size), bool(flags & _TRAILED)
        if told != (part.check, part.size, part.size) and not (later and told == (0, 0, 0)):
            raise ArchiveError(f"{part.name[:80]!r} in it has another size or checksum where it stands")
        begin = part.start + _LOCAL.size + named + extra
        left = after - begin - part.size
        if later and left in (16, 24):
            form = "<4s3I" if left == 16 else "<4sI2Q"
            tail = struct.unpack(form, _bytes(file, begin + part.size, left))
            left = 0 if tail == (b"PK\x07\x08", part.check, part.size, part.size) else left
        if left:
            raise ArchiveError(f"{part.name[:80]!r} in it overlaps another part, or something stands after it")
        found[part.name] = begin
    return found


def _wide(extra: bytes, values: tuple[int, ...]) -> tuple[int, ...]:
    """Take the numbers that did not fit from what follows a name; the other extra there is padding."""
    at, wide = 0, None
    while at < len(extra):
        if at + 4 > len(extra):
            raise ArchiveError("what follows a name in it is not what it should be")
        kind, length = struct.unpack_from("<2H", extra, at)
        field, at = extra[at + 4 : at + 4 + length], at + 4 + length
        if at > len(extra) or kind not in (_ZIP64, _PADDING) or (kind == _ZIP64 and wide is not None):
            raise ArchiveError("what follows a name in it is not what it should be")
        wide = field if kind == _ZIP64 else wide
    missing = sum(value == _FULL for value in values)
    if len(wide or b"") != 8 * missing:
        raise ArchiveError("the sizes of a part of it are told twice, or not at all")
    numbers = iter(struct.unpack(f"<{missing}Q", wide or b""))
    return tuple(next(numbers) if value == _FULL else value for value in values)


def _name(raw: bytes) -> str:
    """Read a name: a relative path that stays inside."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    inside = {"", ".", ".."}.isdisjoint(name.split("/"))
    if not inside or not name.isprintable() or "\\" in name or len(raw) > _NAME:
        raise ArchiveError(f"a part of it has a name that is no plain path: {raw[:60]!r}")
    return name


def _plain(name: str, flags: int, method: int, size: int, packed: int) -> None:
    if flags & ~(_TRAILED | _UTF8):
        raise ArchiveError(f"{name[:80]!r} in it is encrypted, or of a form that torch does not write")
    if method or size != packed:
        raise ArchiveError(f"{name[:80]!r} in it is packed, which torch never does")
