"""`vggcost diff`: which layers account for the difference between two models."""

from __future__ import annotations

import rich_click as click

__all__ = ["diff"]


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("-i", "--input", "shape", metavar="SHAPE", help="Input without the batch, for both models.")
@click.option("-b", "--batch", type=int, default=1, show_default=True, help="Batch size N.")
@click.option("--mode", default="inference", show_default=True, help="inference or training.")
@click.option("--convention", default="torch", show_default=True, help="What counts as a FLOP.")
@click.option("--format", "format_", type=click.Choice(("table", "markdown", "json")), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
def diff(
    before: str, after: str, shape: str | None, batch: int, mode: str, convention: str, format_: str, output: str
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
    found = difference(table_of(before, shape, **options), table_of(after, shape, **options))
    write(output, render_difference(found, format_))
