"""`vggcost fit`: the largest batch or image whose training step fits a memory."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import rich_click as click

from vggcost.cli.options import factory_options, inputs_option, loss_option

__all__ = ["fit"]


@click.command()
@click.argument("model")
@click.option(
    "--memory", "budget", required=True, metavar="SIZE", help="What may be taken: 24GiB, 512MiB, 12GB, or bytes."
)
@click.option("--vary", default="batch", show_default=True, help="What is made larger: batch or resolution.")
@inputs_option
@click.option("-b", "--batch", type=int, default=1, show_default=True, help="Batch size N, when the resolution varies.")
@factory_options
@click.option("--optimizer", default="sgd", show_default=True, help="As for memory.")
@click.option("--freeze", metavar="PATTERN", multiple=True, help="As for memory.")
@click.option("--dtype", default="", help="As for memory.")
@click.option("--device", default="cpu", show_default=True, help="As for memory.")
@loss_option
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", help="Form.")
def fit(
    model: str,
    budget: str,
    vary: str,
    inputs: Any,
    batch: int,
    options: tuple[str, ...],
    optimizer: str,
    freeze: tuple[str, ...],
    dtype: str,
    device: str,
    loss: str | None,
    format_: str,
) -> None:
    """Find the largest batch (or image side) of MODEL whose training step fits into --memory.

    Every candidate is traced; the answer is confirmed by the traces at it and just above it. The figure is
    the peak of live tensors: a device needs its context and workspaces besides.
    """
    from vggcost.cli.report import read_options
    from vggcost.units import exact, human_bytes, read_bytes

    size = read_bytes(budget)
    from vggcost._memory import fit as search

    chosen = {
        "optimizer": optimizer,
        "freeze": freeze,
        "dtype": dtype,
        "device": device,
        "loss": loss,
        **read_options(options),
    }
    if vary == "resolution":
        chosen["batch"] = batch
    found = search(model, size, vary, inputs, **chosen)
    if format_ == "json":
        print(json.dumps({"schema": 1, "model": model, **asdict(found)}, indent=1, sort_keys=True, ensure_ascii=False))
        return
    print(f"{model}: {found.vary} {exact(found.answer)} is the largest that fits {human_bytes(found.budget)}")
    for size, peak in ((found.answer, found.peak_bytes), (found.next, found.next_peak_bytes)):
        says = "fits" if peak <= found.budget else "does not"
        print(f"  {found.vary} {exact(size)}: peak {exact(peak)} bytes = {human_bytes(peak)}, {says}")
    print(f"  what binds: {found.binds}; {found.traces} sizes traced")
