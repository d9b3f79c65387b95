"""What a training step needs: the whole way from a name to a memory report, and what fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vggcost._analyze import Inputs, prepared
from vggcost.cost.allocator import AllocatorPeak, simulate
from vggcost.cost.memory import LayerMemory, Peak, StepTotals, Timeline, layer_memory, peak_of, step_totals, timeline
from vggcost.errors import InputError, OptionError
from vggcost.records import RunInfo, Step

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MemoryReport", "memory"]

DTYPES = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What one training step needs, in its steady state."""

    run: RunInfo
    step: Step
    totals: StepTotals
    peak: Peak
    timeline: Timeline
    layers: tuple[LayerMemory, ...]
    allocator: AllocatorPeak
    attention: bool


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
    **options: Any,
) -> MemoryReport:
    """Simulate a training step on meta tensors and say what is alive when.

    zero_grad, forward, loss, backward and the optimizer's step run twice; the second is reported.

    Args:
        model_or_name: as for `analyze`.
        inputs: as for `analyze`.
        batch: N, for inputs given as a string or not at all.
        optimizer: its name in torch in lower case, or `sgd-momentum`.
        optimizer_options: keyword arguments of the optimizer.
        freeze: shell patterns of parameters or modules that are not trained.
        dtype: of parameters, buffers and floating inputs; empty: as the model has them.
        accumulate: backward passes before the optimizer steps.
        device: whose defaults the optimizer takes: `cpu` or `cuda`.
        options: keyword arguments of the model's factory.

    Returns:
        The report.

    Raises:
        VggcostError: as for `analyze`, and where the model cannot be trained.

    Example:
        >>> memory("vgg16", optimizer="sgd-momentum").totals.optimizer_bytes
        553430176
    """
    from vggcost.trace.step import check_trainable, trace_step

    if dtype and dtype not in DTYPES:
        raise OptionError(f"unknown dtype {dtype!r} for training; choose one of: {', '.join(DTYPES)}")
    if accumulate < 1:
        raise InputError(f"accumulate must be 1 or more, not {accumulate}")
    if device not in ("cpu", "cuda"):
        raise OptionError(f"unknown device {device!r}; choose cpu or cuda")
    loaded, run, keywords = prepared(model_or_name, inputs, batch, "training", "torch", options)
    step = Step(optimizer, tuple(sorted((optimizer_options or {}).items())), tuple(freeze), dtype, accumulate, device)
    trace = trace_step(loaded.model, run, step, keywords=keywords)
    check_trainable(trace)
    line = timeline(trace)
    peak = peak_of(trace, line)
    return MemoryReport(
        run=trace.run,
        step=step,
        totals=step_totals(trace, peak.bytes),
        peak=peak,
        timeline=line,
        layers=layer_memory(trace),
        allocator=simulate(trace),
        attention=any(
            "softmax" in op.op and op.module >= 0 and "ttention" in trace.modules[op.module].kind for op in trace.ops
        ),
    )
