"""Where a command's tables come from: a saved file, or a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from vggcost.errors import FileError, TableError
from vggcost.records import CostTable

__all__ = ["read_table", "table_of"]


def read_table(path: str) -> CostTable:
    """Read a saved table; `-` is standard input.

    Raises:
        FileError: the file cannot be read.
        TableError: it is no table; the message names the file.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return CostTable.from_json(data.decode("utf-8"))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TableError(f"{path}: not text; give a file written by 'vggcost report --format json'") from None
    except TableError as error:
        raise TableError(f"{path}: {error}") from None


def table_of(name: str, inputs: Any = None, **options: Any) -> CostTable:
    """Return the table of a model's name, or of a saved file (`-` or `*.json`), which needs no torch."""
    if name == "-" or name.endswith(".json"):
        return read_table(name)
    from vggcost import analyze

    return analyze(name, inputs, saved=True, **options)
