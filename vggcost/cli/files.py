"""Where a command's text goes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from vggcost.files import encoded, replace_file

__all__ = ["file_name", "write"]


def write(target: str, content: str | bytes) -> None:
    """Write text, or a picture, to a file, whole or not at all, and print its path; `-` is standard output.

    Raises:
        FileError: the target cannot be written.
    """
    data = content if isinstance(content, bytes) else encoded(content)
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    plain = path.is_file() or not path.exists()
    replace_file(target, data, "name a file with -o" if path.is_dir() else "choose another path with -o")
    if plain:
        print(target)


def file_name(model: str) -> str:
    """Turn a model's name into a file's: `./net.py:make` becomes `net-make`."""
    name = model.replace(".py:", ":").lower() if ":" not in model else model.replace(".py:", ":")
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "model"
