"""Outputs whose work begins when they are asked: generators and other iterators are run, coroutines refused."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from vggcost import VggcostError, analyze, memory, verify
from vggcost._memory import fit
from vggcost.trace import recorder as noting


class Yields(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(10, 10, bias=False) for _ in range(6))

    def forward(self, x: torch.Tensor) -> Any:
        for layer in self.layers:
            x = layer(x)
            yield x


class Pair(NamedTuple):
    first: Any
    second: Any


class In(nn.Module):
    """A model that gives its generators in a container."""

    def __init__(self, container: Any) -> None:
        super().__init__()
        self.net, self.container = Yields(), container

    def forward(self, x: torch.Tensor) -> Any:
        return self.container(self.net, x)


HELD = {
    "itself": lambda net, x: net(x),
    "list": lambda net, x: [net(x), net.layers[0](x)],
    "tuple": lambda net, x: (net(x), None),
    "named tuple": lambda net, x: Pair(net(x), "text"),
    "dict": lambda net, x: {"a": net(x), "b": 1},
    "ordered dict": lambda net, x: OrderedDict(a=[net(x)]),
    "generator of generators": lambda net, x: (net(x) for _ in range(1)),
    "map": lambda net, x: map(nn.Module.__call__, net.layers, itertools.repeat(x)),
    "chain": lambda net, x: itertools.chain(net(x), [x]),
}
MACS = {"list": 700}


@pytest.mark.parametrize("name", HELD)
def test_a_forward_that_is_a_generator_is_run(name: str) -> None:
    model, macs = In(HELD[name]), MACS.get(name, 600)
    assert analyze(model, "10").totals.macs == macs
    step = analyze(model, "10", mode="training").totals
    chained = name not in ("map",)
    first = 1 if chained else 6  # layers that are given the input, which needs no gradient
    first += name == "list"
    assert (step.macs, step.backward_macs) == (macs, 2 * macs - first * 100)
    assert [check.theirs for check in verify(model, "10").checks if check.name == "FlopCounterMode"] == [2 * macs]


class Returns(Yields):
    """The same work without a generator."""

    def forward(self, x: torch.Tensor) -> Any:
        return tuple(super().forward(x))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_step_holds_what_it_yields(optimizer: str) -> None:
    found, same = (memory(model, "10", batch=7, optimizer=optimizer) for model in (Yields(), Returns()))
    assert found.peak == same.peak
    assert found.peak.bytes > 4 * (600 + 6 * 7 * 10)
    sizes = [fit(model, 100_000, inputs="10", optimizer=optimizer).answer for model in (Yields(), Returns())]
    assert sizes[0] == sizes[1] > 1


def test_layers_that_learn_their_shapes_in_a_generator() -> None:
    model = In(lambda net, x: map(nn.Module.__call__, net.layers, itertools.repeat(x)))
    model.net.layers[3] = nn.LazyLinear(5)
    assert analyze(model, "10").totals.macs == 550


def test_on_the_cpu_too() -> None:
    class Reads(Yields):
        def forward(self, x: torch.Tensor) -> Any:
            yield from super().forward(x) if float(x.sum()) > -1 else ()

    table = analyze(Reads(), "10", fallback="cpu")
    assert (table.run.device, table.totals.macs) == ("cpu", 600)


def test_its_work_is_its_own() -> None:
    class Own(nn.Module):
        """Work of the body itself, and what others make of it."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(10, 10))
            self.fc = nn.Linear(10, 5)

        def forward(self, x: torch.Tensor) -> Any:
            for _ in range(3):
                x = yield x @ self.weight
            return self.fc(x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = Own(), Own(), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> Any:
            x = self.run(self.a(x))
            return self.head(x), self.b(torch.zeros(10)).__next__()

        def run(self, body: Any) -> Any:
            x = next(body)
            while True:
                try:
                    x = body.send(x)
                except StopIteration as end:
                    return end.value

    for mode in ("inference", "training"):
        table = analyze(Net(), "10", mode=mode)
        rows = {row.path: (row.params, row.macs, row.activations) for row in table.layers if row.kind != "sum"}
        assert {path: row for path, row in rows.items() if any(row)} == {
            "a": (100, 300, 30),
            "a.fc": (55, 50, 5),
            "b": (100 + 55, 100, 10),  # and what its layer holds, which was not called
            "": (0, 0, 10),
            "head": (12, 10, 2),
        }


def test_its_work_is_not_its_own_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that the test above catches: work of whoever asks."""
    monkeypatch.setattr(noting, "resumed", lambda recorder, position, output: output)
    with pytest.raises(AssertionError):
        test_its_work_is_its_own()


TOLD: list[str] = []
"""What a run tells: a list that a closure of its held would be given back as it was."""


def test_a_generator_is_closed_and_told_of_errors_as_usual() -> None:
    TOLD.clear()

    class Body(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            try:
                yield x
            except ValueError:
                TOLD.append("error")
                yield x + 1
            finally:
                TOLD.append("closed")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fc = Body(), nn.Linear(10, 2)

        def forward(self, x: torch.Tensor) -> Any:
            body = self.body(x)
            next(body)
            x = body.throw(ValueError())
            body.close()
            return self.fc(x)

    assert analyze(Net(), "10").totals.macs == 20
    assert TOLD == ["error", "closed"]


def test_what_does_not_end_is_ended() -> None:
    model = In(lambda net, x: (net.layers[0](x) for _ in itertools.count()))
    with pytest.raises(VggcostError, match=r"still goes on after 10,000 items; give a model that ends it"):
        analyze(model, "10")


async def _later(net: nn.Module, x: torch.Tensor) -> Any:
    return net(x)


async def _several(net: nn.Module, x: torch.Tensor) -> Any:
    yield net(x)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("forward", [_later, _several, lambda net, x: [_later(net, x)]])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_coroutine_is_refused_in_one_line(forward: Any, mode: str) -> None:
    with pytest.raises(VggcostError, match=r"In returns a coroutine \(async def\), .*asyncio.run for instance$"):
        analyze(In(forward), "10", mode=mode)
