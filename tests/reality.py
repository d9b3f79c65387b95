"""A real training step on the CPU, weighed by the profiler's memory events."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Weighed", "cross_entropy", "real_step"]


class Weighed(NamedTuple):
    """The most bytes alive in a step, all the bytes that it allocated one after the other, and its sums in place."""

    peak: int
    volume: int
    sums: int = 0


def cross_entropy(output: torch.Tensor) -> torch.Tensor:
    target = torch.zeros((output.shape[0], *output.shape[2:]), dtype=torch.int64, device=output.device)
    return F.cross_entropy(output, target)


def real_step(
    make: Callable[[], nn.Module],
    inputs: Callable[[], tuple[torch.Tensor, ...]],
    loss: Callable[[Any], torch.Tensor] = cross_entropy,
    optimizer: Callable[[Any], Any] | None = None,
    accumulate: int = 1,
    steps: int = 2,
) -> Weighed:
    """Take some real steps after one that warms up, and weigh the last.

    All is made under the profiler, which does not see the end of what was there before it.
    """

    def step(model: nn.Module, given: tuple[torch.Tensor, ...], stepper: Any) -> None:
        model.zero_grad(set_to_none=True)
        for _ in range(accumulate):
            output = model(*given)
            criterion = loss(output)
            criterion.backward()  # type: ignore[no-untyped-call]
        if stepper is not None:
            stepper.step()

    step(make().train(), inputs(), None)
    gc.collect()
    with torch.autograd.profiler.profile(profile_memory=True, use_kineto=True) as profile:
        model, given = make().train(), inputs()
        stepper = optimizer(model.parameters()) if optimizer is not None else None
        for _ in range(steps - 1):
            step(model, given, stepper)
        with torch.autograd.profiler.record_function("the step"):
            step(model, given, stepper)
        with torch.autograd.profiler.record_function("the end"):
            pass
    events = profile.kineto_results.events()  # type: ignore[union-attr]
    begin, end = (next(e.start_ns() for e in events if e.name() == name) for name in ("the step", "the end"))
    live = most = volume = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        live += event.nbytes()
        if begin <= event.start_ns() <= end:
            most, volume = max(most, live), volume + max(0, event.nbytes())
    sums = sum(e.name() == "aten::add_" and begin <= e.start_ns() <= end for e in events)
    return Weighed(most, volume, sums)
