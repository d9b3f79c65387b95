"""Where results are kept: one line a result, appended as it comes, so that a kill costs at most the line being written."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from vggcost.errors import FileError, TableError
from vggcost.files import replace_file
from vggcost.inert import csv_lines, csv_text_of, json_line
from vggcost.reading import loads, read_file
from vggcost.schema import check, decimal, either, maybe, named, number, text
from vggcost.sweeps.rows import COLUMNS, Row, key_of

__all__ = ["FORMS", "Store", "read_rows"]


def _json_line(row: Row) -> str:
    return json_line({name: row[name] for name in COLUMNS}, separators=(",", ":"))


def _json_rows(text: str) -> Iterator[Row]:
    for line in text.removesuffix("\n").split("\n"):  # splitlines() would split at signs inside of text
        yield _checked(loads(line))


def _csv_line(row: Row) -> str:
    return csv_lines([[row[name] for name in COLUMNS]]).removesuffix("\n")


def _csv_rows(text: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    if list(reader.fieldnames or ()) != list(COLUMNS):
        raise ValueError("the first line does not name the columns of a sweep")
    for given in reader:
        yield _checked({name: _plain(given[name], kind) for name, kind in COLUMNS.items()})


def _plain(text: str | None, kind: type) -> Any:
    if text is None:
        raise ValueError("too few columns")
    return csv_text_of(text) if kind is str else kind(text) if text else None


def _checked(row: Any) -> Row:
    """Refuse what is no result: other columns, or other kinds of values in them."""
    if not isinstance(row, dict) or set(row) != set(COLUMNS):
        raise ValueError("not the columns of a sweep")
    for name, kind in COLUMNS.items():
        value = row[name]
        check({name: value}, _NULLED[kind])
    return row


def _parquet_rows(path: Path) -> list[Row]:
    return [
        _checked({name: _int(value) for name, value in row.items()})
        for row in _pyarrow().read_table(io.BytesIO(read_file(path, 2**31))).to_pylist()
    ]


def _int(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, float, int)) else int(value)  # of a decimal


def _parquet(rows: Iterable[Row]) -> bytes:
    import pyarrow as pa

    parquet, rows, out = _pyarrow(), list(rows), io.BytesIO()
    plain = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns = {}
    for name, kind in COLUMNS.items():
        values = [row[name] for row in rows]
        wide = kind is int and any(value is not None and abs(value) >= 2**63 for value in values)
        columns[name] = pa.array(values, pa.decimal128(38, 0) if wide else plain[kind])
    parquet.write_table(pa.table(columns), out)
    return out.getvalue()


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise FileError(
            "parquet needs pyarrow, which is not installed; pip install 'vggcost[sweep]', or write .csv or .jsonl"
        ) from None
    return pyarrow.parquet


_NULLED = {str: named(maybe(text)), int: named(maybe(number())), float: named(maybe(either(decimal, number())))}
_HEADER = ",".join(COLUMNS) + "\n"
# ending: what a row becomes, what rows are read back, and what stands first
_LINES: dict[str, tuple[Callable[[Row], str], Callable[[str], Iterator[Row]], str]] = {
    ".jsonl": (_json_line, _json_rows, ""),
    ".csv": (_csv_line, _csv_rows, _HEADER),
}
FORMS = (".parquet", *_LINES)
"""Endings of the files that hold results."""


def read_rows(path: str | Path) -> list[Row]:
    """Read the results of a sweep.

    Args:
        path: ends in one of `FORMS`; a line that a kill left unfinished is left out.

    Raises:
        FileError: it cannot be read, or has another ending.
        TableError: it does not hold the results of a sweep.
    """
    file = Path(path)
    ending = _ending(file)
    try:
        if ending == ".parquet":
            return _parquet_rows(file)
        text = read_file(file, 2**31)
        whole = text[: text.rfind(b"\n") + 1].decode("utf-8")
        begins = (_LINES[ending][2] or '{"model":').encode()
        if not whole and text[: len(begins)] != begins[: len(text)]:
            raise ValueError("it does not begin as such a file does")
        return list(_LINES[ending][1](whole)) if whole else []
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise TableError(f"{path} does not hold the results of a sweep: {error}") from None


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in FORMS:
        raise FileError(f"cannot tell the form of {path}; name a file that ends in {', '.join(FORMS)}")
    return ending


class Store:
    """The results in a file, which is open for more of them.

    A parquet file cannot be appended to: its results go to a journal beside it, `results.parquet.jsonl`, and the file
    is written anew when the store is closed.

    Args:
        path: of the results; those that are there already are kept.

    Raises:
        FileError: it cannot be read or written, or another sweep is writing it.
        TableError: there is a file, and it holds something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._parquet = _ending(self.path) == ".parquet"
        if self._parquet:
            _pyarrow()  # better now than after hours
        self.journal = Path(f"{path}.jsonl") if self._parquet else self.path
        self._line, _, first = _LINES[self.journal.suffix.lower()]
        self._new = not self.journal.exists()
        before = self.journal if self.journal.exists() and self.journal.stat().st_size else self.path
        rows = read_rows(before) if before.exists() else []
        self._rows = {key_of(row): row for row in rows}
        self._file = self._opened(first)

    def _opened(self, first: str) -> BinaryIO:
        try:
            file = open(self.journal, "ab")  # noqa: SIM115
        except OSError as error:
            raise FileError(
                f"cannot write {self.journal}: {error.strerror or error}; choose another path with -o"
            ) from None
        _lock(file, self.path)
        size, text = self.journal.stat().st_size, self.journal.read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < size:  # what a kill left unfinished
            os.truncate(self.journal, whole)
        if not whole:
            data = first + "".join(f"{self._line(row)}\n" for row in self._rows.values())
            file.write(data.encode())
            file.flush()
        return file

    @property
    def rows(self) -> list[Row]:
        """All results, in the order in which they came."""
        return list(self._rows.values())

    def __contains__(self, key: tuple[Any, ...]) -> bool:
        return key in self._rows

    def get(self, key: tuple[Any, ...]) -> Row | None:
        """Return a result."""
        return self._rows.get(key)

    def add(self, row: Row) -> bool:
        """Append a result, unless it is there already; say whether it was new."""
        key = key_of(row)
        if key in self._rows:
            return False
        self._rows[key] = row
        self._file.write(f"{self._line(row)}\n".encode("utf-8", "backslashreplace"))
        self._file.flush()
        return True

    def drop(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """Forget results, to have them made again."""
        gone = set(keys)
        if not gone & self._rows.keys():
            return
        self._rows = {key: row for key, row in self._rows.items() if key not in gone}
        first = _LINES[self.journal.suffix.lower()][2]
        data = first + "".join(f"{self._line(row)}\n" for row in self._rows.values())
        self._file.close()
        replace_file(self.journal, data.encode("utf-8", "backslashreplace"))
        self._file = self._opened(first)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._parquet and self._rows:
                replace_file(self.path, _parquet(self._rows.values()))
        finally:
            self._file.close()
            if self._new and not self._rows:  # refused before the first result
                self.journal.unlink()


def _lock(file: BinaryIO, path: Path) -> None:
    """Let no other sweep write the same file; the system forgets the lock with the process."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows has none
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise FileError(f"another sweep is writing {path}; wait for it, or choose another file with -o") from None
