"""Objects whose classes answer no question: attributes, arguments and outputs of that kind pass through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from vggcost import analyze
from vggcost.trace.signature import is_plain, part_of, plain, tensors_in


def refuses(self: Any, *_: Any) -> Any:
    raise NotImplementedError


QUESTIONS = "__len__ __iter__ __bool__ __eq__ __ne__ __hash__ __getitem__ __contains__ __repr__ __str__".split()


def closed(base: type, **more: Any) -> Any:
    """A class that answers no question, as e3nn's irreps do not."""
    return type(f"Closed{base.__name__}", (base,), {**dict.fromkeys(QUESTIONS, refuses), **more})


class Bare:
    """Where each attribute that is not there is an error of another kind."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@dataclass(eq=False)
class Half:
    """A dataclass that cannot be read whole."""

    x: Any
    unread: int = field(init=False)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def objects(x: Any) -> dict[str, Any]:
    return {
        "tuple": closed(tuple)((x, 2)),
        "list": closed(list)([x]),
        "dict": closed(dict, values=refuses, items=refuses, keys=refuses)(x=x),
        "set": closed(set)({x}),
        "frozenset": closed(frozenset)({x}),
        "nested": [closed(tuple)((closed(tuple)((x,)),))],
        "dataclass": Half(x),
    }


OTHERS = {
    "object": closed(object)(),
    "bare": closed(Bare)(),
    "number": closed(int, __int__=refuses, __index__=refuses)(3),
    "text": closed(str)("text"),
    "mapping": closed(Mapping)(),  # type: ignore[type-abstract]
}


@pytest.mark.parametrize("kind", [*objects(1), *OTHERS])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_what_answers_nothing_passes_through(kind: str, mode: str) -> None:
    class Inner(nn.Module):
        __constants__ = ("held", "raises")

        def __init__(self) -> None:
            super().__init__()
            self.held, self.fc = {**objects(torch.ones(2)), **OTHERS}[kind], nn.Linear(4, 3)

        @property
        def raises(self) -> int:
            raise RuntimeError

        def forward(self, x: torch.Tensor, other: Any, by_name: Any) -> Any:
            return self.fc(x), other, by_name

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> Any:
            given = {**objects(x), **OTHERS}[kind]
            out, *same = self.inner(x, given, by_name=given)
            assert all(one is given for one in same)
            return out, given

    net = Net()
    held = net.inner.held
    for _ in range(3):
        assert analyze(net, "4", mode=mode, batch=2).totals.macs == 2 * 12
    assert net.inner.held is held


@pytest.mark.parametrize("kind", objects(1))
def test_its_tensors_are_found(kind: str) -> None:
    x = torch.ones(2)
    (found,) = tensors_in(objects(x)[kind])
    assert found is x


def test_what_is_noted_of_it_answers_again() -> None:
    irreps = closed(tuple)((closed(tuple)((8, closed(tuple)((1, -1)))), OTHERS["number"], OTHERS["text"]))
    assert is_plain(irreps)
    noted = plain(irreps)
    assert noted == ((8, (1, -1)), 3, "text")
    assert {type(item) for item in noted} == {tuple, int, str}


def test_a_key_asks_nothing() -> None:
    for value in (*objects(1).values(), *OTHERS.values(), {closed(object, __hash__=object.__hash__)(): 1, "a": 2}):
        key, again = part_of(value, []), part_of(value, [])
        assert len({key, again}) in (1, 2)
    assert part_of([1, 2], []) != part_of((1, 2), []) == part_of((1, 2), [])
    assert part_of({1: 2, "a": 3}, []) == part_of({1: 2, "a": 3}, [])


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_module_twice() -> None:
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3)))
    assert [analyze(net, "10").totals.macs for _ in range(3)] == [10 * 20 + 20 * 3] * 3


def test_a_loss_is_read_of_what_can_be_read() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(10, 2)

        def forward(self, x: torch.Tensor) -> Any:
            return SimpleNamespace(loss=self.fc(x).sum()), Bare(), closed(dict)(x=1)

    assert analyze(Net(), "10", mode="training").run.loss == "the model's own"
