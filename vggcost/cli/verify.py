"""`vggcost verify`: count again by independent ways."""

from __future__ import annotations

from typing import Any

import rich_click as click

from vggcost.cli.options import assume_option, batch_option, factory_options, inputs_option

__all__ = ["verify"]


@click.command()
@click.argument("model")
@inputs_option
@assume_option
@batch_option
@factory_options
@click.option("--format", "format_", type=click.Choice(("table", "markdown", "json")), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
def verify(
    model: str,
    inputs: Any,
    assume: dict[str, int],
    batch: int,
    options: tuple[str, ...],
    format_: str,
    output: str,
) -> int:
    """Count MODEL again by independent ways and explain every gap, until nothing is left over.

    fvcore and torch's FlopCounterMode count it on real tensors on the CPU; the model's own parameters and
    published figures are compared too. Exit status 1 if a gap is left unexplained.
    """
    from vggcost import verify as check
    from vggcost.cli.files import write
    from vggcost.cli.report import read_options
    from vggcost.report.verify import render_verify

    found = check(model, inputs, batch=batch, assume=assume, **read_options(options))
    write(output, render_verify(found, format_))
    return 1 if found.unexplained else 0
