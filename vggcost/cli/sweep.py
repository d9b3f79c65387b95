"""`vggcost sweep`: what many models cost, in one file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import rich_click as click

from vggcost.cli.files import complain, say
from vggcost.cli.options import convention_option, factory_options
from vggcost.errors import OptionError
from vggcost.units import exact, read_bytes

if TYPE_CHECKING:
    from vggcost.sweeps import Tally

__all__ = ["sweep"]

Told = Callable[["Tally"], None]


@click.command()
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN...")
@click.option("-o", "--output", metavar="FILE", required=True, help="Results: a .parquet, .csv or .jsonl file.")
@click.option("-b", "--batch", "batches", default="1", show_default=True, metavar="N,…", help="Batch sizes: 1,8,32.")
@click.option(
    "-i", "--input", "inputs", default="", metavar="INPUT,…",
    help="Inputs, each run on its own: 3x224x224,3x384x384.  [default: what a model is made for]",
)  # fmt: skip
@click.option(
    "--mode", "modes", default="inference", show_default=True, metavar="MODE,…", help="inference, training, or both."
)
@convention_option
@click.option("--dtype", default="", help="float32, float16, bfloat16 or float64.  [default: as a model has it]")
@factory_options
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N",
    help="How many run at once.  [default: 1; all that a cluster has]",
)  # fmt: skip
@click.option("--backend", default="loky", show_default=True, help="loky: this machine; dask or ray: a cluster.")
@click.option("--scheduler", metavar="ADDRESS", default="", help="Of Dask's scheduler, or of Ray's head.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=300.0, show_default=True, metavar="SECONDS",
    help="What one model may take.",
)  # fmt: skip
@click.option("--memory", metavar="BYTES", help="Resident memory that tracing one model may take: 4GB.")
@click.option("--retry", is_flag=True, help="Trace again what failed before.")
@click.option("--strict", is_flag=True, help="Exit with status 1 if a model failed.")
def sweep(
    patterns: tuple[str, ...],
    output: str,
    batches: str,
    inputs: str,
    modes: str,
    convention: str,
    dtype: str,
    options: tuple[str, ...],
    jobs: int | None,
    backend: str,
    scheduler: str,
    timeout: float,
    memory: str | None,
    retry: bool,
    strict: bool,
) -> int:
    """Say what all models cost whose names match PATTERN: 'timm:*', 'torchvision:resnet*', 'vgg*', or a name.

    Each result is appended to FILE as it comes; the same command goes on where it was stopped. A model that fails,
    hangs or takes too much memory does not stop the others.
    """
    from vggcost._analyze import DTYPES
    from vggcost.cli.report import read_options
    from vggcost.cost import convention as find_convention
    from vggcost.sweeps import Limits, Store, jobs_of, models_of, resident_bytes, run_jobs

    find_convention(convention)
    if dtype and dtype not in DTYPES:
        raise OptionError(f"unknown dtype {dtype!r}; choose one of: {', '.join(DTYPES)}")
    most = read_bytes(memory) if memory is not None else None
    if most is not None and resident_bytes(os.getpid()) is None:
        raise OptionError("--memory needs Linux, which says what a process takes; leave it out here")
    wanted = jobs_of(
        models_of(patterns), _inputs(inputs), _numbers(batches), modes.split(","),
        convention=convention, dtype=dtype, options=read_options(options),
    )  # fmt: skip
    limits = Limits(timeout, most, os.getcwd())
    with Store(output) as store, _progress() as told:
        tally = run_jobs(
            wanted, store, limits, workers=jobs, backend=backend, scheduler=scheduler, retry=retry, told=told
        )
    say(f"{output}: {exact(len(store.rows))} rows", *tally.lines())
    return 1 if strict and tally.failed else 0


def _inputs(text: str) -> list[str]:
    found = text.split(",")
    if text and not all(found):
        raise click.UsageError(f"an input of --input {text!r} is empty; write it as --input 3x224x224,3x384x384")
    return found


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"cannot read --batch {text!r}; write it as --batch 1,8,32") from None


@contextmanager
def _progress() -> Iterator[Told]:
    """Say on standard error how far it is: a bar on a terminal, a line for each tenth elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task, begun = progress.add_task("", total=None), monotonic()

        def told(tally: Tally) -> None:
            progress.update(
                task, total=tally.asked, completed=len(tally.known) + len(tally.new), description=_pace(tally, begun)
            )

        yield told


def _pace(tally: Tally, begun: float) -> str:
    """Say how fast it goes: `4.1/s, 2 failed`."""
    seconds = monotonic() - begun
    rate = f"{len(tally.new) / seconds:.1f}/s" if tally.new and seconds else "starting"
    return rate + (f", {exact(len(tally.failed))} failed" if tally.failed else "")


def _lines() -> Told:
    begun, said = monotonic(), [0]

    def told(tally: Tally) -> None:
        done = len(tally.known) + len(tally.new)
        tenth = 10 * done // tally.asked
        if tally.new and tenth > said[0]:
            said[0] = tenth
            complain(f"vggcost: {exact(done)} of {exact(tally.asked)}, {_pace(tally, begun)}")

    return told
