"""`vggcost memory`: what a training step needs."""

from __future__ import annotations

from typing import Any

import rich_click as click

from vggcost.cli.options import (
    assume_option,
    batch_option,
    convention_option,
    factory_options,
    inputs_option,
    loss_option,
)

__all__ = ["memory"]


@click.command()
@click.argument("model")
@inputs_option
@assume_option
@batch_option
@factory_options
@click.option(
    "--optimizer",
    default="sgd",
    show_default=True,
    help="sgd, sgd-momentum, adam, adamw, rmsprop, …: any of torch.optim but LBFGS and SparseAdam, or none.",
)
@click.option(
    "--optimizer-option",
    "optimizer_options",
    metavar="KEY=VALUE",
    multiple=True,
    help="Argument of the optimizer, such as fused=true.",
)
@click.option(
    "--freeze", metavar="PATTERN", multiple=True, help="Parameters or modules that are not trained, such as 'conv*'."
)
@click.option("--dtype", default="", help="float32, float16, bfloat16 or float64.  [default: as the model has it]")
@click.option(
    "--accumulate", type=int, default=1, show_default=True, help="Backward passes before the optimizer steps."
)
@click.option("--device", default="cpu", show_default=True, help="Whose defaults the optimizer takes: cpu or cuda.")
@loss_option
@convention_option
@click.option(
    "--attention", default="auto", show_default=True, help="Kernel of attention: auto, math, flash or efficient."
)
@click.option(
    "--format", "format_", type=click.Choice(("table", "markdown", "json", "html")), help="Form.  [default: table]"
)
@click.option("--html", "as_html", is_flag=True, help="Short for --format html -o MODEL-memory.html.")
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output.  [default: -]")
def memory(
    model: str,
    inputs: Any,
    assume: dict[str, int],
    batch: int,
    options: tuple[str, ...],
    optimizer: str,
    optimizer_options: tuple[str, ...],
    freeze: tuple[str, ...],
    dtype: str,
    accumulate: int,
    device: str,
    loss: str | None,
    convention: str,
    attention: str,
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
        model,
        inputs,
        batch=batch,
        optimizer=optimizer,
        optimizer_options=read_options(optimizer_options),
        freeze=freeze,
        dtype=dtype,
        accumulate=accumulate,
        device=device,
        attention=attention,
        assume=assume,
        loss=loss,
        convention=convention,
        **read_options(options),
    )
    target = output or (f"{file_name(model)}-memory.html" if as_html else "-")
    write(target, render_memory(found, "html" if as_html else format_ or "table"))
