"""Runs that do not affect each other: one after another, one inside another, one beside another thread's."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import ROOT, python, scrubbed
from vggcost import analyze, memory
from vggcost.trace.kernels import _plans


def normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.lstm = nn.GRU(8, 8, bidirectional=True), nn.LSTM(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(self.gru(x)[0])[0]


def forgotten() -> None:
    """As in a process that has not run anything."""
    for plan in _plans.values():
        plan.memory.clear()


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize(
    ("make", "shape"), [(normalised, "3x8x8"), (Recurrent, "5x8"), (lambda: "googlenet", None), (lambda: "vgg-f", None)]
)
def test_every_call_in_a_process_tells_the_same(make: Any, shape: str | None, mode: str) -> None:
    forgotten()
    tables = [analyze(make(), shape, mode=mode) for _ in range(3)]
    assert scrubbed(tables[0]) == scrubbed(tables[1]) == scrubbed(tables[2])


def test_the_first_call_of_a_process_tells_the_same() -> None:
    """torch imports what computes BatchNorm's gradients on meta then, and autograd copied a gradient that was held."""
    done = python(
        "-c",
        "from vggcost import analyze\n"
        "from tests.test_alike import normalised\n"
        "tables = [analyze(normalised(), '3x8x8', mode='training') for _ in range(2)]\n"
        "print(tables[0].coverage == tables[1].coverage, 'aten.copy_' in dict(tables[0].coverage.free))",
        cwd=ROOT,
    )
    assert done.stdout.split() == ["True", "False"], done.stderr


FOUND: list[Any] = []
"""What runs tell: a list that a closure of theirs held would be given back as it was."""


def test_an_analysis_inside_another_is_a_run_of_its_own() -> None:
    inner_alone, alone = analyze(normalised(), "3x8x8"), analyze(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), "8")
    FOUND.clear()
    other = normalised()
    outer = nn.Sequential(nn.Linear(8, 8), nn.ReLU())

    def look(*_: object) -> None:
        FOUND.append(analyze(other, "3x8x8"))
        FOUND.append(analyze("vgg-f"))

    outer[0].register_forward_hook(look)
    table = analyze(outer, "8")
    assert scrubbed(table) == scrubbed(alone)
    assert scrubbed(FOUND[0]) == scrubbed(inner_alone)
    assert FOUND[1].totals == analyze("vgg-f").totals


def test_a_forward_may_analyse_itself_and_attention() -> None:
    class Attending(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    class Curious(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.linear = Attending(), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shape = "x".join(map(str, x.shape[1:]))
            FOUND.append((analyze(self.attention, shape).totals.macs, memory(self.linear, "8").peak.bytes))
            return self.attention(x)

    FOUND.clear()
    table = analyze(Curious(), "2x6x4")
    macs = 2 * 2 * 6 * 6 * 4
    assert table.totals.macs == macs
    assert [(macs, memory(nn.Linear(8, 8), "8").peak.bytes)] == FOUND


def test_layers_that_run_in_another_thread_are_not_of_the_model() -> None:
    alone = analyze(normalised(), "3x8x8")
    other, stop, failed = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), threading.Event(), []

    def ordinary() -> None:
        x = torch.ones(2, 4)
        while not stop.is_set():
            if other(x).shape != (2, 4) or torch.autograd.Function.apply is None:
                failed.append("shape")

    thread = threading.Thread(target=ordinary)
    thread.start()
    try:
        tables = [analyze(normalised(), "3x8x8") for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    assert not failed
    for table in tables:
        assert replace(scrubbed(table), run=scrubbed(alone).run) == scrubbed(alone)
