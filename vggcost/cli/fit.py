"""`vggcost fit`: the largest batch or image whose training step fits a memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import rich_click as click

from vggcost.cli.files import say, write
from vggcost.cli.options import factory_options, inputs_option
from vggcost.cli.step_options import step_options
from vggcost.inert import as_json

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
@step_options
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", help="Form.")
def fit(
    model: str,
    budget: str,
    vary: str,
    inputs: Any,
    batch: int,
    options: tuple[str, ...],
    step: dict[str, Any],
    format_: str,
) -> None:
    """Find the largest batch (or image side) of MODEL whose training step fits into --memory.

    Every candidate is traced; the answer is confirmed by the traces at it and just above it. What must fit is what
    memory says: with --device cpu the peak of live tensors, with --device cuda what CUDA's caching allocator reserves,
    and the context.
    """
    from vggcost.cli.report import read_options
    from vggcost.units import exact, read_bytes, told_apart

    size = read_bytes(budget)
    from vggcost._memory import fit as search
    from vggcost.cost.allocator import context_text

    chosen = {**step, **read_options(options)}
    if vary == "resolution":
        chosen["batch"] = batch
    found = search(model, size, vary, inputs, **chosen)
    if format_ == "json":
        write("-", as_json({"schema": 1, "model": model, **asdict(found)}))
        return
    given, *sizes = told_apart(found.budget, found.needed_bytes, found.next_needed_bytes)
    say(
        f"{model}: {found.vary} {exact(found.answer)} {'is the largest that' if found.largest else 'is a size that'} fits {given}"
    )
    tried = (
        (found.answer, found.peak_bytes, found.needed_bytes, sizes[0], "fits"),
        (found.next, found.next_peak_bytes, found.next_needed_bytes, sizes[1], "does not"),
    )
    for size, peak, needed, text, says in tried:
        if found.device == "cpu":
            say(f"  {found.vary} {exact(size)}: peak {exact(peak)} bytes = {text}, {says}")
        else:
            say(f"  {found.vary} {exact(size)}: needs {exact(needed)} bytes = {text}, {says}; peak {exact(peak)} bytes")
    say(f"  what binds: {found.binds}; {found.traces} sizes traced")
    if found.device == "cuda":
        say(f"  needed: what the allocator reserves, and {context_text(found.context_bytes)}")
    if found.runs > found.answer:
        say(
            f"  {found.vary} {exact(found.runs)} still runs: torch gives cached blocks back before it fails, which takes time"
        )
