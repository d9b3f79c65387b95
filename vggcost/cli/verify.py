"""`vggcost verify`: count again by independent ways."""

from __future__ import annotations

import rich_click as click

__all__ = ["verify"]


@click.command()
@click.argument("model")
@click.option("-i", "--input", "shape", metavar="SHAPE", help="Input without the batch, such as 3x224x224.")
@click.option("-b", "--batch", type=int, default=1, show_default=True, help="Batch size N.")
@click.option(
    "-k", "options", metavar="KEY=VALUE", multiple=True, help="Option of the model's factory; may be repeated."
)
@click.option("--format", "format_", type=click.Choice(("table", "markdown", "json")), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
def verify(model: str, shape: str | None, batch: int, options: tuple[str, ...], format_: str, output: str) -> int:
    """Count MODEL again by independent ways and explain every gap, until nothing is left over.

    fvcore and torch's FlopCounterMode count it on real tensors on the CPU; the model's own parameters and
    published figures are compared too. Exit status 1 if a gap is left unexplained.
    """
    from vggcost import verify as check
    from vggcost.cli.files import write
    from vggcost.cli.report import read_options
    from vggcost.report.verify import render_verify

    found = check(model, shape, batch=batch, **read_options(options))
    write(output, render_verify(found, format_))
    return 1 if found.unexplained else 0
