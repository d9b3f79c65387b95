"""`vggcost draw`: an architecture as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from vggcost.cli.options import assume_option, batch_option, cache_option, factory_options, inputs_option, mode_option
from vggcost.cli.sources import table_of
from vggcost.errors import OptionError

__all__ = ["draw"]


@click.command()
@click.argument("model")
@inputs_option
@assume_option
@batch_option
@factory_options
@mode_option
@cache_option
@click.option(
    "--cost", default="macs", show_default=True, metavar="COLUMN",
    help="What colour shows: params, macs, activation_bytes, or of --mode training saved_bytes.",
)  # fmt: skip
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to write; its ending says how: .svg, .png or .pdf.  [default: MODEL.svg]",
)
def draw(
    model: str,
    inputs: Any,
    assume: dict[str, int],
    batch: int,
    options: tuple[str, ...],
    mode: str,
    cached: bool,
    cost: str,
    output: str | None,
) -> None:
    """Draw MODEL to scale: a volume for each layer or block, as high as its map, its cost as its colour.

    MODEL is a name as for report, or a table saved as FILE.json (this needs no torch).
    """
    from vggcost.cli.files import file_name, write
    from vggcost.cli.report import read_options
    from vggcost.report.drawing import COSTS, PICTURES, picture
    from vggcost.units import did_you_mean

    target = output or f"{file_name(model.removesuffix('.json'))}.svg"
    form = "svg" if target == "-" else Path(target).suffix.lower().removeprefix(".")
    if form not in PICTURES:
        raise OptionError(f"cannot draw {target!r}; its name must end in .svg, .png or .pdf")
    if cost not in COSTS:
        raise OptionError(f"unknown cost {cost!r}{did_you_mean(cost, COSTS)}; choose one of: {', '.join(COSTS)}")
    table = table_of(model, inputs, batch=batch, mode=mode, assume=assume, cached=cached, **read_options(options))
    write(target, picture(table, form, cost))
