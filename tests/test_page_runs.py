"""How often a page runs its model: no more than its figures need, and they are the figures of runs of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import vggcost
from vggcost import _page
from vggcost._analyze import Said
from vggcost._page import page_of
from vggcost.trace import step as trace_step


class Once(nn.Module):
    """Has a large tensor in its first run alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.seen = nn.Linear(4, 4), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.seen is None:
            self.seen = x.new_ones(len(x), 5000).sum()  # type: ignore[assignment]
        return self.fc(x)


class Recurrent(nn.Module):
    """A training step runs it by another function than a run that is only counted."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]  # type: ignore[no-any-return]


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the training steps that are taken."""
    taken: list[str] = []
    original = trace_step._gradients

    def counted(*arguments: Any) -> Any:
        taken.append("step")
        return original(*arguments)

    monkeypatch.setattr(trace_step, "_gradients", counted)
    return taken


@pytest.mark.parametrize(
    ("make", "inputs", "most"),
    [(plain, "4", 10), (Once, "4", 17), (Recurrent, "5x4", 12)],
    ids=("plain", "once", "recurrent"),
)
def test_figures_at_another_batch_are_those_of_a_run_of_their_own(
    make: Callable[[], nn.Module], inputs: str, most: int, steps: list[str]
) -> None:
    model = make()
    table, beside = page_of(model, inputs, Said(saved=True))
    assert len(steps) <= most
    for dtype in ("float32", "float16"):
        own = vggcost.memory(model, inputs, batch=3, dtype=dtype, optimizer="none", threads=0)
        variant = beside.scaling.dtypes[dtype]
        peak = None if make is Recurrent else own.totals.peak_bytes  # the memory that oneDNN takes grows in steps
        assert beside.needs["peak"].value(3, variant) == peak
        other = vggcost.analyze(model, inputs, batch=3, dtype=dtype, saved=True)
        for row, (line, base) in enumerate(zip(other.memory, table.memory, strict=True)):
            assert beside.scaling.value(("memory", row, "bytes"), base.bytes or 0, 3, dtype) == line.bytes


def test_a_step_that_does_as_the_one_before_is_taken_once(steps: list[str]) -> None:
    page_of(plain(), "4", Said(saved=True))
    few = len(steps)
    page_of(Once(), "4", Said(saved=True))
    assert len(steps) - few > few


def test_a_model_of_many_ops_is_run_once_which_its_page_says(monkeypatch: pytest.MonkeyPatch, steps: list[str]) -> None:
    monkeypatch.setattr(_page, "MOST_OPS", 3)
    table, beside = page_of(plain(), "4", Said(saved=True))
    assert len(steps) == 2  # those of the step that the page shows
    assert (
        beside.scaling.no_batch
        == beside.scaling.no_dtype
        == "it has 5 ops, and one of more than 3 is run once for a page"
    )
    peak = vggcost.memory(plain(), "4", optimizer="none", threads=0).totals.peak_bytes
    assert beside.needs["peak"].bytes == peak
    assert beside.needs["peak"].value(3, 0) is None
    assert table == vggcost.analyze(plain(), "4", saved=True)
