"""What is known of a training step, and of what fits: the records that the reports are made from."""

from __future__ import annotations

from dataclasses import dataclass

from vggcost.cost.allocator import AllocatorPeak
from vggcost.cost.memory import LayerMemory, Peak, StepTotals, Timeline
from vggcost.records import Convention, RunInfo, Step

__all__ = ["Fit", "MemoryReport"]


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
    attention: tuple[str, ...]
    convention: Convention


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest batch or image side whose training step fits, confirmed by a trace at it and at the next."""

    vary: str
    budget: int
    answer: int
    peak_bytes: int
    next: int
    next_peak_bytes: int
    binds: str
    traces: int
