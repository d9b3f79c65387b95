"""What is known of a training step, and of what fits: the records that the reports are made from."""

from __future__ import annotations

from dataclasses import dataclass

from vggcost.cost.allocator import AllocatorPeak
from vggcost.cost.memory import LayerMemory, Peak, StepTotals, Timeline
from vggcost.records import Assumption, Convention, RunInfo, Step

__all__ = ["Fit", "MemoryReport"]


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What one training step needs, in its steady state; `context_bytes` are those of the CUDA context, 0 on the CPU."""

    run: RunInfo
    step: Step
    totals: StepTotals
    peak: Peak
    timeline: Timeline
    layers: tuple[LayerMemory, ...]
    allocator: AllocatorPeak
    attention: tuple[str, ...]
    convention: Convention
    context_bytes: int = 0
    assumed: tuple[Assumption, ...] = ()

    @property
    def least_bytes(self) -> int:
        """The least it still runs with; on CUDA the allocator gives cached blocks back before it fails."""
        return self.totals.peak_bytes if self.step.device == "cpu" else self.allocator.least + self.context_bytes

    @property
    def needed_bytes(self) -> int:
        """The bytes that must fit; on the CPU the peak of live tensors, on CUDA what the allocator reserves, and the context."""
        return self.totals.peak_bytes if self.step.device == "cpu" else self.allocator.reserved + self.context_bytes


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest batch or image side whose training step fits, confirmed by a trace at it and at the next.

    What must fit, `needed_bytes`, is that of `MemoryReport`. `largest` is whether no larger one fits: what an allocator
    reserves goes up and down, and not all sizes are tried where it is far from the live tensors. `runs` is the largest size tried that still runs where
    the allocator gives cached blocks back before it fails, as torch's does, which takes time.
    """

    vary: str
    budget: int
    answer: int
    peak_bytes: int
    next: int
    next_peak_bytes: int
    binds: str
    traces: int
    device: str
    context_bytes: int
    needed_bytes: int
    next_needed_bytes: int
    largest: bool
    runs: int
