"""Analyses in several threads at once, beside threads that know nothing of them, and analyses inside others."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.test_unchanged import described, process, unchanged
from vggcost import CostTable, VggcostError, analyze, memory, verify
from vggcost.trace import claimed


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * 2


class Attends(nn.Module):
    """(N, 6, 8): attention, a region of autocast, a function of its own, warnings and print."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.lstm = nn.Linear(8, 8), nn.LSTM(8, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        warnings.warn("unheard", stacklevel=1)
        print("unseen")
        with torch.autocast("cpu", torch.bfloat16):
            x = self.layer(x)
        x = F.mish(Own.apply(x.float()))
        out: torch.Tensor = self.lstm(F.scaled_dot_product_attention(x, x, x))[0]
        return out


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))


def chain() -> nn.Module:
    inner: nn.Module = nn.Linear(8, 8)
    for _ in range(50):  # so deep that it needs room
        inner = nn.Sequential(inner, nn.Linear(8, 8))
    return inner


Job = Callable[[nn.Module], CostTable]
JOBS: list[tuple[Callable[[], nn.Module], Job]] = [
    (convolutions, lambda model: analyze(model, "3x8x8", mode="training")),
    (Attends, lambda model: analyze(model, "6x8", saved=True)),
    (chain, lambda model: analyze(model, "8")),
    (Attends, lambda model: analyze(model, "6x8", mode="training")),
    (convolutions, lambda model: analyze("tests.test_threads:convolutions", "3x8x8")),
]


@contextlib.contextmanager
def often() -> Iterator[None]:
    """Let threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def ordinary(weights: list[torch.Tensor], port: int) -> None:
    """What a thread does that knows nothing of analyses: all of it has to be as if there were none."""
    torch.manual_seed(3)
    layer, attention = nn.Linear(8, 8), nn.MultiheadAttention(8, 2, batch_first=True)
    own = nn.Parameter(torch.ones(8))
    assert not any(p.is_meta for p in (*layer.parameters(), *attention.parameters(), own))
    assert all(map(torch.equal, layer.parameters(), weights))
    x = torch.arange(48.0).reshape(1, 6, 8)
    y = Own.apply(layer(x)) + own
    assert torch.allclose(y, 2 * (x @ layer.weight.T + layer.bias) + 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
    F.scaled_dot_product_attention(y, y, y).sum().backward()
    assert layer.weight.grad is not None
    layer.load_state_dict(layer.state_dict())
    assert torch.zeros(2).device.type == "cpu"
    assert torch.is_grad_enabled()
    assert nn.Linear(2, 2)(torch.ones(1, 2)).shape == (1, 2)
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    print("seen")


@pytest.fixture
def server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=500) as listening:
        yield listening.getsockname()[1]


def test_two_threads_analyse_beside_one_that_does_not(server: int, capsys: pytest.CaptureFixture[str]) -> None:
    models = [[make() for make, _ in JOBS] for _ in range(2)]
    alone = [job(model) for model, (_, job) in zip(models[0], JOBS, strict=True)]
    torch.manual_seed(3)
    weights = [*nn.Linear(8, 8).parameters()]
    before, around = [described(each, {}) for each in models], process()
    ended, turns = threading.Event(), []

    def analysing(thread: int) -> list[CostTable]:
        return [JOBS[at][1](models[thread][at]) for turn in range(3) for at in range(len(JOBS))]

    def others() -> None:
        while not ended.is_set():
            ordinary(weights, server)
            turns.append(1)

    with often(), warnings.catch_warnings(), ThreadPoolExecutor(3) as pool:
        warnings.simplefilter("error")
        capsys.readouterr()
        beside = pool.submit(others)
        found = [pool.submit(analysing, thread) for thread in range(2)]
        try:
            tables = [each.result() for each in found]
        finally:
            ended.set()
        beside.result()
    assert tables == [alone * 3] * 2
    assert [described(each, {}) for each in models] == before
    after = process()
    assert [key for key in around if after[key] != around[key] and key != "random"] == []
    assert turns
    printed = capsys.readouterr()
    assert (printed.out, "unseen" in printed.err) == ("seen\n" * len(turns), True)


def test_one_model_in_several_threads() -> None:
    """Each waits for the other, since the run has the model's parameters to itself."""
    model = convolutions()
    expected = analyze(model, "3x8x8"), memory(model, "3x8x8")
    with unchanged(model), often(), ThreadPoolExecutor(3) as pool:
        found = [pool.submit(lambda: (analyze(model, "3x8x8"), memory(model, "3x8x8"))) for _ in range(9)]
        assert [each.result() for each in found] == [expected] * 9


class Asks(nn.Module):
    """Analyses another model in its forward, in a thread of its own if so asked."""

    def __init__(self, inner: nn.Module | str | None, pool: bool) -> None:
        super().__init__()
        self.layer, self.pool = nn.Linear(8, 8), pool
        self.ask = [inner]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def ask() -> CostTable:
            return analyze(self.ask[0] or self.layer, "8")

        if self.pool:
            with ThreadPoolExecutor(1) as pool:
                FOUND.append(pool.submit(ask).result())
        else:
            FOUND.append(ask())
        out: torch.Tensor = self.layer(x)
        return out


FOUND: list[CostTable] = []


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize(
    ("inner", "pool"),
    [("another", False), ("another", True), ("by name", False), ("by name", True), ("a layer of it", False)],
)
def test_an_analysis_inside_a_forward(inner: str, pool: bool, mode: str) -> None:
    other = {"another": nn.Linear(8, 3), "by name": "tests.test_threads:small"}.get(inner)
    model = Asks(other, pool)
    FOUND.clear()
    with unchanged(model):
        outer = analyze(model, "8", mode=mode)
    assert (outer.totals.params, outer.totals.macs) == (72, 64)
    assert {table.totals.params for table in FOUND} == {72 if inner == "a layer of it" else 27}


def small() -> nn.Module:
    return nn.Linear(8, 3)


def test_a_model_that_asks_about_a_layer_of_its_own_in_a_thread_of_its_own_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claimed, "PATIENCE", 0.2)
    model = Asks(None, pool=True)
    with unchanged(model), pytest.raises(VggcostError, match="in another thread"):
        analyze(model, "8")


def test_verify_in_several_threads() -> None:
    models = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3)]
    expected = verify(models[0], "6x8")
    with unchanged(nn.ModuleList(models)), often(), ThreadPoolExecutor(3) as pool:
        found = [pool.submit(verify, model, "6x8") for model in (*models, models[0])]
        assert [each.result() for each in found] == [expected] * 4
