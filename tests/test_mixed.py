"""Tensors that a model makes without naming a device: recurrent states, masks, places to write into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Variable

from tests.ops import BOTH
from tests.real import Does, real_macs
from vggcost import CostTable, analyze, memory

RNN = {"LSTM": 4, "GRU": 3, "RNN": 1}  # products of the input and of the state
STATES: dict[str, Callable[..., torch.Tensor]] = {
    "zeros": torch.zeros,
    "numbers drawn": torch.randn,
    "a variable of old": lambda *shape: Variable(torch.zeros(shape)),
    "a tensor by its type": lambda *shape: torch.FloatTensor(*shape).zero_(),
    "an array": lambda *shape: torch.from_numpy(np.zeros(shape, dtype=np.float32)),
}


class Recurrent(nn.Module):
    def __init__(self, kind: str, make: Callable[..., torch.Tensor], **options: Any):
        super().__init__()
        self.kind, self.make = kind, make
        self.layer = getattr(nn, kind)(16, 8, 2, batch_first=True, **options)
        self.size = options.get("proj_size", 8)

    def forward(self, x: torch.Tensor) -> Any:
        state: Any = self.make(2, x.size(0), self.size)
        if self.kind == "LSTM":
            state = (state, self.make(2, x.size(0), 8))
        return self.layer(x, state)[0]


def total(table: CostTable) -> int:
    return table.totals.macs + (table.totals.backward_macs or 0)


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("kind", RNN)
def test_a_state_may_be_made_anywhere(kind: str, name: str) -> None:
    x = torch.randn(3, 5, 16)
    for mode in BOTH:
        table = analyze(Recurrent(kind, STATES[name]), (x,), mode=mode)
        assert table.totals.macs == 3 * 5 * RNN[kind] * (16 * 8 + 3 * 8 * 8)
        there = analyze(Recurrent(kind, lambda *shape: x.new_zeros(shape, device="meta")), (x,), mode=mode)
        assert table.totals.backward_macs == there.totals.backward_macs


def test_a_state_of_ones_own_in_training_costs_what_one_of_torchs_does() -> None:
    x = torch.randn(3, 5, 16)
    for kind in RNN:
        given = memory(Recurrent(kind, torch.zeros), (x,))
        torchs = memory(Does(lambda f, x: f(x)[0], Recurrent(kind, torch.zeros).layer), (x,))
        assert given.totals.backward_macs == torchs.totals.backward_macs
        assert given.totals.saved_bytes == torchs.totals.saved_bytes
        assert given.totals.peak_bytes == torchs.totals.peak_bytes


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # which says what the CPU's library lacks
def test_states_of_other_forms() -> None:
    x = torch.randn(3, 5, 16)
    projected = Recurrent("LSTM", torch.zeros, proj_size=4)
    for mode in BOTH:
        assert total(analyze(projected, (x,), mode=mode)) == real_macs(projected, x, mode=mode)

    def packed(layer: Any, x: torch.Tensor) -> Any:
        sequence = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 1], batch_first=True)
        return layer(sequence, torch.zeros(1, 3, 8))[0].data

    table = analyze(Does(packed, nn.GRU(16, 8, batch_first=True)), (x,))
    assert table.totals.macs == (5 + 3 + 1) * 3 * (16 * 8 + 8 * 8)


# Places to write into


def each_step(layer: Any, x: torch.Tensor) -> Any:
    made = torch.zeros(3, 5, 4)
    for step in range(x.size(1)):
        made[:, step] = layer(x[:, step])
    return made


def added(layer: Any, x: torch.Tensor) -> Any:
    made = torch.zeros(3, 4)
    for step in range(x.size(1)):
        made += layer(x[:, step])
    return made


def into_a_view(layer: Any, x: torch.Tensor) -> Any:
    made = torch.zeros(3, 5, 4)
    for step in range(x.size(1)):
        made[:, step].copy_(layer(x[:, step]))
    return made


def scattered(layer: Any, x: torch.Tensor) -> Any:
    return torch.zeros(3, 5, 4).scatter_add_(1, torch.zeros(3, 5, 4, dtype=torch.long), layer(x))


def indexed(layer: Any, x: torch.Tensor) -> Any:
    made = torch.zeros(5, 4)
    made[torch.arange(3)] = layer(x[0, :3])
    return F.normalize(made)


def masked(layer: Any, x: torch.Tensor) -> Any:
    made = torch.full((3, 5, 4), 2.0)
    made[made > 1] = 0.0  # its values are known here
    made[:, :2] = layer(x)[:, :2]
    return made.relu_()


def with_another_view(layer: Any, x: torch.Tensor) -> Any:
    made = torch.zeros(3, 5, 4)
    first = made[:, 0]
    made[:, 1] = layer(x[:, 1])
    return made.sum(1) + first


PLACES = {f.__name__: f for f in (each_step, added, into_a_view, scattered, indexed, masked)}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_is_written_into_may_be_made_anywhere(name: str, mode: str) -> None:
    model, x = (
        Does(lambda f, x: f[1](torch.tanh(PLACES[name](f[0], x))), nn.Sequential(nn.Linear(16, 4), nn.Linear(4, 3))),
        torch.randn(3, 5, 16),
    )
    truth = real_macs(model, x, mode=mode)
    for _ in range(3):  # from memory too
        assert total(analyze(model, (x,), mode=mode)) == truth > 0


def test_a_place_is_one_storage_from_its_beginning() -> None:
    x = torch.randn(3, 5, 16)
    here = Does(each_step, nn.Linear(16, 4))

    def there(layer: Any, x: torch.Tensor) -> Any:
        made = x.new_zeros(3, 5, 4)
        for step in range(x.size(1)):
            made[:, step] = layer(x[:, step])
        return made

    found, expected = memory(here, (x,)), memory(Does(there, nn.Linear(16, 4)), (x,))
    assert found.totals == expected.totals


def test_numbers_to_start_a_gradient_from() -> None:
    def pulled(layer: Any, x: torch.Tensor) -> Any:
        x = x.detach().requires_grad_()
        y = layer(x)
        y.backward(torch.ones(3, 5, 4), retain_graph=True)
        return torch.autograd.grad(y, x, torch.ones(3, 5, 4))[0]

    model, x = Does(torch.enable_grad()(pulled), nn.Linear(16, 4)), torch.randn(3, 5, 16)
    assert analyze(model, (x,)).totals.macs == real_macs(model, x) == 4 * 15 * 16 * 4
