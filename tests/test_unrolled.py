"""nn.GRU and nn.RNN as torch runs them on the CPU, and linear layers on what is not contiguous."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.reality import real_step
from tests.test_accumulated import WIDTH, Layers, check, step_of, x
from vggcost import memory


class Recurrent(nn.Module):
    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.view(4, 16, WIDTH))[0].flatten(0, 1)  # type: ignore[no-any-return]


RECURRENT: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "GRU": (nn.GRU, {}),
    "GRU, the batch first": (nn.GRU, {"batch_first": True}),
    "GRU both ways, two layers": (nn.GRU, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "GRU with dropout": (nn.GRU, {"num_layers": 2, "dropout": 0.2}),
    "GRU without biases": (nn.GRU, {"bias": False}),
    "RNN": (nn.RNN, {}),
    "RNN of ReLU, both ways": (nn.RNN, {"num_layers": 2, "nonlinearity": "relu", "bidirectional": True, "bias": False}),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer_allocates_what_it_does_on_the_cpu(name: str) -> None:
    kind, options = RECURRENT[name]

    def make() -> nn.Module:
        return Recurrent(kind(WIDTH, WIDTH, **options))

    check(step_of(make()), real_step(make, lambda: (x(),)))


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_a_long_sequence_read_both_ways_holds_its_products_until_both_are_joined(kind: type[nn.RNNBase]) -> None:
    """The peak of the GRU is there, in the forward pass: what is let go one op too early is missing."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = kind(16, 32, 2, bidirectional=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)[0][-1]  # type: ignore[no-any-return]

    given = torch.zeros(64, 16, 16)
    report = memory(Last(), given, optimizer="none")
    if kind is nn.GRU:
        assert report.peak.phase == "forward"
    real = real_step(Last, lambda: (given.clone(),))
    assert 0 <= report.totals.peak_bytes - real.peak <= 8 * 16  # the targets, which the profiler does not see made


def test_the_products_are_as_many_as_one_step_at_a_time() -> None:
    steps, batch, gates = 4, 16, 3 * WIDTH
    macs = steps * batch * gates * 2 * WIDTH
    for device in ("cpu", "cuda"):
        report = memory(Recurrent(nn.GRU(WIDTH, WIDTH)), x(), optimizer="none", device=device)
        assert report.totals.forward_macs == macs
        # of the input no gradient is wanted, nor of the first state
        assert report.totals.backward_macs == macs + steps * batch * gates * WIDTH - batch * gates * WIDTH


def test_the_input_is_multiplied_once_on_the_cpu_alone() -> None:
    def products(device: str) -> int:
        line = memory(Recurrent(nn.GRU(WIDTH, WIDTH)), x(), optimizer="none", device=device).timeline
        return sum(op == "aten.addmm" for op, phase in zip(line.ops, line.phases, strict=True) if phase == "forward")

    assert (products("cpu"), products("cuda")) == (1 + 4, 2 * 4)


def test_a_packed_sequence_runs_as_before() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(WIDTH, WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x.view(4, 16, WIDTH), torch.full((16,), 4))
            return self.layer(packed)[0].data  # type: ignore[no-any-return]

    assert memory(Packed(), x(), optimizer="none").totals.forward_macs == 4 * 16 * 3 * WIDTH * 2 * WIDTH


def swapped(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    return layers[1](layers[0](x).view(4, 16, WIDTH).transpose(0, 1)).flatten(0, 1)  # type: ignore[no-any-return]


def four_axes(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    return layers[1](layers[0](x).view(4, 2, 8, WIDTH).transpose(1, 2)).flatten(0, 2)  # type: ignore[no-any-return]


def by_hand(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    first: Any = layers[0]
    return x @ first.weight + first.bias  # type: ignore[no-any-return]


@pytest.mark.parametrize(("function", "in_place"), [(swapped, 1), (four_axes, 1), (by_hand, 0)])
def test_a_bias_is_added_in_place_by_a_linear_layer_alone(function: Callable[..., torch.Tensor], in_place: int) -> None:
    trace = step_of(Layers(function, 2))
    check(trace, real_step(lambda: Layers(function, 2), lambda: (x(),)))
    assert sum(op.op == "aten.add_" for op in trace.ops if op.phase == "forward") == in_place
