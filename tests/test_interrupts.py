"""An interrupt at any instruction of an analysis leaves the model, the thread and the process as they were."""

from __future__ import annotations

import gc
import itertools
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.test_unchanged import unchanged
from vggcost import VggcostError, analyze, memory


class Interrupter:
    """Raise KeyboardInterrupt at an instruction of this thread, the given one in order; 0: none, which counts them."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.seen += 1
            if self.seen == self.at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def interrupted(run: Callable[[], Any], at: int) -> int:
    """Run something with an interrupt at an instruction, and return how many there were."""
    stop, before = Interrupter(at), sys.gettrace()
    sys.settrace(stop)
    try:
        run()
    except KeyboardInterrupt:
        pass
    except VggcostError as error:
        assert isinstance(error.__cause__, KeyboardInterrupt), error
    finally:
        sys.settrace(before)
    return stop.seen


class Net(nn.Module):
    """(N, 3, 8, 8) → (N, 2): layers, attention, a cache, a region of autocast, a transform."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.scale, self.cache = torch.ones(4), {"tables": [torch.arange(4)]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x)).flatten(2).transpose(1, 2)
        with torch.autocast("cpu", torch.bfloat16):
            x = F.mish(F.scaled_dot_product_attention(x, x, x) @ self.scale.diag())
        self.cache["last"] = [x]
        x = torch.vmap(lambda row: row * 2)(x.float())
        out: torch.Tensor = self.out(x.mean(1))
        return out


RUNS: dict[str, Callable[[nn.Module], Any]] = {
    "forward": lambda model: analyze(model, "3x8x8"),
    "backward": lambda model: analyze(model, "3x8x8", mode="training"),
    "step": lambda model: memory(model, "3x8x8", optimizer="adam"),
    "loading": lambda model: analyze("tests.test_interrupts:Net", "3x8x8"),
}


@pytest.mark.parametrize("run", RUNS)
def test_an_interrupt_at_any_instruction_leaves_nothing(run: str) -> None:
    model = Net()
    model.train()
    for _ in range(3):
        RUNS[run](model)
    count = interrupted(lambda: RUNS[run](model), 0)
    draw = random.Random(run)
    for at in [*(draw.randrange(count) for _ in range(60))]:
        with unchanged(model):
            interrupted(lambda: RUNS[run](model), at)


class Closing(Interrupter):
    """The same, at an instruction with which modes that were taken off are put on again."""

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        outer = frame.f_back
        closes = frame.f_code.co_name == "__exit__" and outer is not None and outer.f_code.co_name == "_past_modes"
        return super().__call__(frame, event, arg) if closes else self


def test_an_interrupt_is_not_hidden_by_what_cannot_be_closed_after_it() -> None:
    """Where it hits what puts modes on again, those that are taken off next fail: the interrupt is what is raised.

    What it left open is closed at once, and not when the error, which a prompt keeps for the user, is let go.
    """
    model, told = Net(), analyze(Net(), "3x8x8")
    for at in itertools.count(1):
        stop, kept = Closing(at), []
        sys.settrace(stop)
        try:
            analyze(model, "3x8x8")
        except KeyboardInterrupt as interrupt:
            kept.append(interrupt)
        finally:
            sys.settrace(None)
        if stop.seen < at:
            break
        assert kept, at
        kept.clear()
        gc.collect()
        assert torch._C._len_torch_dispatch_stack() == torch._C._len_torch_function_stack() == 0, at
    assert at > 20
    assert analyze(model, "3x8x8").layers == told.layers
