"""What a training step needs: the whole way from a name to a memory report, and what fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vggcost._analyze import DTYPES, Inputs, Loss, prepared, uncollected
from vggcost.cost import convention as find_convention
from vggcost.cost.allocator import CONTEXT, simulate
from vggcost.cost.memory import layer_memory, peak_of, step_totals, timeline
from vggcost.cost.step import Fit, MemoryReport
from vggcost.errors import InputError, OptionError, TraceError
from vggcost.load import GivenLoss, Loaded, loss_of, to_arguments, with_batch, with_side
from vggcost.load.given_back import given_back
from vggcost.load.nested import apart
from vggcost.records import Arguments, Convention, RunInfo, Step
from vggcost.units import exact, human_bytes, told_apart
from vggcost.zoo import find

if TYPE_CHECKING:
    from torch import nn

__all__ = ["fit", "memory", "simulated"]


@apart
@given_back()
def memory(
    model_or_name: str | nn.Module,
    inputs: Inputs = None,
    *,
    batch: int = 1,
    optimizer: str = "sgd",
    optimizer_options: dict[str, Any] | None = None,
    freeze: Sequence[str] = (),
    dtype: str = "",
    accumulate: int = 1,
    device: str = "cpu",
    context: int | None = None,
    attention: str = "auto",
    threads: int = 2,
    loss: Loss = None,
    convention: str = "torch",
    assume: Mapping[str, int] | None = None,
    **options: Any,
) -> MemoryReport:
    """Simulate a training step on meta tensors and say what is alive when.

    zero_grad, forward, loss, backward and the optimizer's step run twice; the second is reported.

    Args:
        model_or_name: as for `analyze`.
        inputs: as for `analyze`.
        batch: N, for inputs given as text or not at all.
        optimizer: its name in torch in lower case, or `sgd-momentum`; not LBFGS, which runs the model as often as the data
            say, nor SparseAdam.
        optimizer_options: keyword arguments of the optimizer; on `cuda` it works on all tensors at once (`foreach`), as torch
            does there, unless `fused` or `foreach` is given.
        freeze: shell patterns of parameters or modules that are not trained.
        dtype: of parameters, buffers and floating inputs; empty: as the model has them.
        accumulate: backward passes before the optimizer steps.
        device: whose defaults the optimizer and attention take: `cpu` or `cuda`.
        context: bytes that the CUDA context takes on the device; None: 426 MiB, as measured (`vggcost.cost.allocator`).
        loss: as for `analyze`.
        convention: as for `analyze`; the optimizer's FLOPs are by `full` whichever it is, since others leave them out.
        attention: the kernel of scaled-dot-product attention: `auto`, `math`, `flash` or `efficient`.
        threads: of the CPU, whose convolutions take memory for each; 0: leave out what its library takes.
        assume: as for `analyze`.
        options: keyword arguments of the model's factory.

    Returns:
        The report.

    Raises:
        VggcostError: as for `analyze`, and where the model cannot be trained.

    Example:
        >>> memory("vgg16", optimizer="sgd-momentum").totals.optimizer_bytes
        553430176
    """
    if dtype and dtype not in DTYPES:
        raise OptionError(f"unknown dtype {dtype!r} for training; choose one of: {', '.join(DTYPES)}")
    if not 1 <= accumulate <= 10_000:  # each pass is traced
        raise InputError(f"accumulate must be from 1 to 10,000, not {accumulate!r:.60}")
    if device not in ("cpu", "cuda"):
        raise OptionError(f"unknown device {device!r}; choose cpu or cuda")
    if context is not None and (isinstance(context, bool) or not isinstance(context, int) or context < 0):
        raise OptionError(f"the context must be a number of bytes, not {context!r}")
    if context is not None and device == "cpu":
        raise OptionError("a context is taken on a CUDA device alone; give --device cuda with it")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 0:
        raise OptionError(f"threads must be a whole number of 0 or more, not {threads!r}")
    rule, criterion = find_convention(convention), loss_of(loss)
    loaded, run, arguments = prepared(model_or_name, inputs, batch, "training", (), options)
    step = Step(
        optimizer, tuple(sorted((optimizer_options or {}).items())), tuple(freeze), dtype, accumulate, device, attention,
        threads,
    )  # fmt: skip
    found = simulated(loaded, run, step, arguments, {**loaded.assume, **(assume or {})}, criterion, rule)
    taken = CONTEXT if context is None else context
    return replace(found, context_bytes=taken) if device == "cuda" else found


@uncollected
def simulated(
    loaded: Loaded,
    run: RunInfo,
    step: Step,
    arguments: Arguments,
    assume: Mapping[str, int],
    loss: GivenLoss | None = None,
    rule: Convention | None = None,
) -> MemoryReport:
    """Do what `memory` says, with a model that is loaded."""
    from vggcost.trace.step import check_trainable, trace_step

    rule = rule or find_convention("torch")
    trace = trace_step(loaded.model, run, step, criterion=loss, arguments=arguments, assume=assume)
    check_trainable(trace)
    line = timeline(trace)
    peak = peak_of(trace, line)
    return MemoryReport(
        run=trace.run,
        step=step,
        totals=step_totals(trace, peak.bytes, rule),
        peak=peak,
        timeline=line,
        layers=layer_memory(trace),
        allocator=simulate(trace),
        attention=trace.attention,
        convention=rule,
        assumed=trace.assumed,
    )


_LARGEST = {"batch": 2**20, "resolution": 2**15}


@apart
@given_back()
def fit(model_or_name: str | nn.Module, budget: int, vary: str = "batch", inputs: Inputs = None, **options: Any) -> Fit:
    """Find the largest batch, or the largest side of a square image, whose training step fits a memory.

    Every candidate is traced; nothing is assumed to be linear. The answer fits, by the same figure as `memory` prints, and the
    next does not.

    Args:
        model_or_name: as for `memory`.
        budget: bytes that a step may take at most: its live tensors, or with device `cuda` what the allocator reserves and
            the context.
        vary: `batch` or `resolution`.
        inputs: as for `memory`; where they have a whole shape, its first size is 1 for the batch to take its place.
        options: as for `memory`.

    Returns:
        The answer with the peaks at it and just above it.

    Raises:
        OptionError: not even a batch (or a side) of 1 fits; the message says what is too large.
    """
    if vary not in _LARGEST:
        raise OptionError(f"cannot vary {vary!r}; choose batch or resolution")
    if vary == "resolution" and "batch" not in options:
        options["batch"] = 1
    given = None if inputs is None else to_arguments(inputs, 1 if vary == "batch" else options["batch"])
    options["loss"] = loss_of(options.get("loss"))  # found once
    known: dict[int, MemoryReport | None] = {}

    def report(size: int) -> MemoryReport | None:
        if size not in known:
            known[size] = _at(model_or_name, vary, size, given, options)
        return known[size]

    start = 1 if vary == "batch" else _smallest_side(report)
    first = report(start)
    assert first is not None
    held = first.totals.param_bytes + first.totals.optimizer_bytes + first.totals.gradient_bytes
    if first.needed_bytes > budget:
        available, needed = told_apart(budget, first.needed_bytes)
        raise OptionError(
            f"{available} is too little: {vary} {start} needs {needed}, of which parameters, gradients and optimizer states are "
            f"{human_bytes(held)} (parameters alone {human_bytes(first.totals.param_bytes)}"
            + (f"), the CUDA context {human_bytes(first.context_bytes)}" if first.context_bytes else ")")
        )
    low, largest = _largest(report, budget, start, vary)
    high = low + 1
    at, above = report(low), report(high)
    assert at is not None
    if above is None:
        raise OptionError(
            f"{vary} {exact(low)} fits ({human_bytes(at.needed_bytes)}), but {exact(high)} does not run through this model, "
            "so memory is not what binds; give its input with -i and vary the batch"
        )
    role, nbytes = max(above.peak.by_role, key=lambda item: item[1])
    where = f"at {above.peak.op} of {above.peak.layer or 'the optimizer'}"
    binds = f"{role} ({human_bytes(nbytes)} of {human_bytes(above.peak.bytes)}) {where}"
    return Fit(
        vary, budget, low, at.totals.peak_bytes, high, above.totals.peak_bytes, binds, len(known),
        at.step.device, at.context_bytes, at.needed_bytes, above.needed_bytes, largest,
        max(size for size, found in known.items() if found is not None and found.least_bytes <= budget),
    )  # fmt: skip


_Report = Callable[[int], MemoryReport | None]
_TRIED = 64
"""Sizes that are tried one by one, since what is reserved does not grow evenly."""


def _largest(report: _Report, budget: int, start: int, vary: str) -> tuple[int, bool]:
    """Find the largest size that fits, and whether it is known that none above does.

    Live tensors grow with the size, and the allocator reserves no less: that bounds the search. Below the bound what is
    reserved goes up and down with the sizes of blocks, so that the sizes are tried from there on down.
    """

    def live(size: int) -> bool:
        found = report(size)
        return found is not None and found.totals.peak_bytes + found.context_bytes <= budget

    def fits(size: int) -> bool:
        found = report(size)
        return found is not None and found.needed_bytes <= budget

    high = 2 * start
    while live(high):
        if high >= _LARGEST[vary]:
            raise OptionError(f"{human_bytes(budget)} holds any {vary} up to {exact(high)}; give a smaller memory")
        high *= 2
    bound = _last(live, high // 2, high)
    lowest = max(start, bound - _TRIED)
    for size in range(bound, lowest, -1):
        if fits(size):
            return size, True
    return (start, True) if lowest == start else (_last(fits, start, lowest + 1), False)


def _last(true: Callable[[int], bool], low: int, high: int) -> int:
    """Halve the way from a size of which something is true to one of which it is not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if true(middle) else (low, middle)
    return low


def _at(model: Any, vary: str, size: int, given: Arguments | None, options: dict[str, Any]) -> MemoryReport | None:
    """Trace one candidate; None where the net cannot take an image of this side."""
    if vary == "batch":
        return memory(model, given and with_batch(given, size), **{**options, "batch": size})
    images = with_side(given or to_arguments("3x1x1", options["batch"]), size)
    chosen = dict(options)
    if isinstance(model, str) and (variant := find(model)) is not None and variant.kind == "chain":
        chosen["image_size"] = size  # fc6 is built for the image
    try:
        return memory(model, images, **chosen)
    except (TraceError, InputError):
        return None


def _smallest_side(report: Any) -> int:
    for side in range(1, 1025):
        if report(side) is not None:
            return side
    raise OptionError(
        "no square image of up to 1,024 pixels runs through this model; give its input with -i and vary the batch"
    )
