"""`vggcost explain`: which definition gives this number?"""

from __future__ import annotations

from typing import Any

import rich_click as click

from vggcost.cli.options import inputs_option

__all__ = ["explain"]


@click.command()
@click.argument("model")
@click.argument("number")
@inputs_option
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
def explain(model: str, number: str, inputs: Any, format_: str, output: str) -> None:
    """Find the definitions of MODEL's figures that give NUMBER, to its printed precision, simplest first.

    NUMBER is as printed: 15.3G, "15.5 GFLOPs", 51.68MB, 138.3M, 8B. Of what can be read in two ways (8B is 8 billion,
    or 8 bytes) both are tried.
    """
    from functools import partial

    from vggcost.claims.numbers import read_number

    read_number(number)  # a number that cannot be read is said before torch is loaded
    from vggcost import analyze
    from vggcost.claims.explain import explain as find
    from vggcost.cli.files import write
    from vggcost.report.claims import render_explanation

    write(output, render_explanation(find(model, number, partial(analyze, inputs=inputs)), format_))
