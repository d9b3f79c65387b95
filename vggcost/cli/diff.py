"""`vggcost diff`: which layers account for the difference between two models."""

from __future__ import annotations

from typing import Any

import rich_click as click

from vggcost.cli.options import batch_option, convention_option, inputs_option, mode_option

__all__ = ["diff"]


@click.command()
@click.argument("before")
@click.argument("after")
@inputs_option
@batch_option
@mode_option
@convention_option
@click.option("--format", "format_", type=click.Choice(("table", "markdown", "json")), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
def diff(
    before: str, after: str, inputs: Any, batch: int, mode: str, convention: str, format_: str, output: str
) -> None:
    """Say which layers account for the difference from BEFORE to AFTER, largest first.

    Both are names as for report, or tables saved as FILE.json; - is one on standard input.
    """
    if before == after == "-":
        raise click.UsageError("only one of the two can be standard input")
    from vggcost.cli.files import write
    from vggcost.cli.sources import table_of
    from vggcost.report.difference import difference, render_difference

    options = {"batch": batch, "mode": mode, "convention": convention}
    found = difference(table_of(before, inputs, **options), table_of(after, inputs, **options))
    write(output, render_difference(found, format_))
