"""`vggcost memory`: what a training step needs."""

from __future__ import annotations

from typing import Any

import rich_click as click

from vggcost.cli.options import batch_option, convention_option, factory_options, inputs_option
from vggcost.cli.step_options import step_options

__all__ = ["memory"]


@click.command()
@click.argument("model")
@inputs_option
@batch_option
@factory_options
@step_options
@convention_option
@click.option(
    "--format", "format_", type=click.Choice(("table", "markdown", "json", "html")), help="Form.  [default: table]"
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Of the CPU, whose convolutions take memory for each; 0 leaves out what its library takes.",
)
@click.option("--html", "as_html", is_flag=True, help="Short for --format html -o MODEL-memory.html.")
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output.  [default: -]")
def memory(
    model: str,
    inputs: Any,
    batch: int,
    options: tuple[str, ...],
    step: dict[str, Any],
    convention: str,
    threads: int,
    format_: str | None,
    as_html: bool,
    output: str | None,
) -> None:
    """Say what a training step of MODEL needs: the peak of live bytes, where it is, and what is alive then."""
    if as_html and format_ not in (None, "html"):
        raise click.UsageError(f"--html and --format {format_} contradict each other; give one of them")
    from vggcost import memory as simulate
    from vggcost.cli.files import file_name, write
    from vggcost.cli.report import read_options
    from vggcost.report.memory import render_memory

    found = simulate(
        model, inputs, batch=batch, convention=convention, threads=threads, **step, **read_options(options)
    )
    target = output or (f"{file_name(model)}-memory.html" if as_html else "-")
    write(target, render_memory(found, "html" if as_html else format_ or "table"))
