"""`vggcost diff`: which layers account for the difference between two models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rich_click as click

from vggcost.cli.options import batch_option, cache_option, convention_option, inputs_option, mode_option
from vggcost.errors import BaselineError
from vggcost.records import CostTable

__all__ = ["diff"]


@click.command()
@click.argument("before")
@click.argument("after")
@inputs_option
@batch_option
@mode_option
@convention_option
@cache_option
@click.option("--format", "format_", type=click.Choice(("table", "markdown", "json")), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
def diff(
    before: str,
    after: str,
    inputs: Any,
    batch: int,
    mode: str,
    convention: str,
    cached: bool,
    format_: str,
    output: str,
) -> None:
    """Say which layers account for the difference from BEFORE to AFTER, largest first.

    Both are names as for report, tables saved as FILE.json, or baselines, whose models are compared one by one
    (FILE.json#MODEL is one of them); - is one on standard input. Saved files need no torch.
    """
    if before == after == "-":
        raise click.UsageError("only one of the two can be standard input")
    from vggcost.cli.files import write
    from vggcost.cli.sources import is_saved, table_of, tables_of
    from vggcost.report.difference import difference, render_difference, render_differences

    options: dict[str, Any] = {"batch": batch, "mode": mode, "convention": convention, "cached": cached}
    sides = [
        tables_of(name) if is_saved(name) else ({"": table_of(name, inputs, **options)}, False)
        for name in (before, after)
    ]
    (old, many), (new, many_new) = sides
    if many and many_new:
        pairs = {name: difference(old[name], new[name]) for name in old if name in new}
        removed, added = ([name for name in a if name not in b] for a, b in ((old, new), (new, old)))
        write(output, render_differences(pairs, removed, added, format_))
        return
    one = _only(old, new, before) if many else next(iter(old.values()))
    other = _only(new, old, after) if many_new else next(iter(new.values()))
    write(output, render_difference(difference(one, other), format_))


def _only(models: Mapping[str, CostTable], single: Mapping[str, CostTable], file: str) -> CostTable:
    """Find the model of a baseline that another table is of, or the only one there is."""
    wanted = {table.run.model for table in single.values()}
    found = [table for table in models.values() if table.run.model in wanted] or list(models.values())
    if len(found) != 1:
        raise BaselineError(f"{file} holds {', '.join(models) or 'no model'}; write {file}#MODEL to say which is meant")
    return found[0]
