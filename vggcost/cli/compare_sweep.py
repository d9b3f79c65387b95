"""`vggcost compare --from`: the rows of a sweep, and the models that nothing beats."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from vggcost.errors import FileError, OptionError, TableError
from vggcost.reading import read_file

__all__ = ["compare_sweep", "read_errors"]


def compare_sweep(
    file: str, columns: str | None, sort: str | None, axes: str | None, errors: str | None, form: str, named: bool,
    output: str | None,
) -> None:  # fmt: skip
    """Write the rows of a sweep in a form, to standard output or, `named`, to a file of the sweep's name."""
    from vggcost.cli.files import write
    from vggcost.report.many import FIGURES, many, render_many
    from vggcost.sweeps import read_rows
    from vggcost.sweeps.run import reasons

    x, _, y = (axes or "macs").partition(",")
    rows = read_rows(file)
    found = many(
        rows,
        reasons([row for row in rows if row["status"] != "ok"]),
        columns=tuple(FIGURES) if columns == "all" else columns.split(",") if columns else (),
        sort=sort,
        x=x,
        y=y,
        errors=read_errors(errors) if errors is not None else None,
    )
    write(output or (f"{Path(file).stem}.html" if named else "-"), render_many(found, form))


def read_errors(path: str) -> dict[str, float]:
    """Read published errors in percent by model; a name without its library, or with the tag of weights, is known too.

    Raises:
        FileError: the file cannot be read.
        TableError: it has not the columns, or a value is no number.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_file(path).decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"cannot read {path}: {error}") from None
    known = set(rows[0]) if rows else set()
    column = next((name for name in ("top1_error", "top1_err", "top1") if name in known), None)
    if "model" not in known or column is None:
        raise TableError(f"{path} has no columns model and top1_error (or top1, which is counted from 100)")
    found: dict[str, float] = {}
    for row in rows:
        try:
            value = float(row[column])
            if not 0 <= value <= 100:
                raise ValueError
        except (TypeError, ValueError):
            raise TableError(
                f"{path}: the {column} of {row['model']!r} is {row[column]!r}, not a number from 0 to 100"
            ) from None
        wrong = round(100 - value, 6) if column == "top1" else value
        name = row["model"] or ""
        for known_as in (name, f"timm:{name}", f"timm:{name.partition('.')[0]}"):
            found[known_as] = min(wrong, found.get(known_as, wrong))
    if not found:
        raise OptionError(f"{path} names no model")
    return found
