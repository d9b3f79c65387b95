"""Attributes of a model whose classes answer no question: they are left alone."""

from __future__ import annotations

import torch
from torch import nn

from vggcost import analyze


class Closed(tuple):  # as e3nn's pairs of multiplicity and irrep
    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self):
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        raise NotImplementedError

    __hash__ = None  # type: ignore[assignment]


def test_an_attribute_without_length_iteration_or_equality() -> None:
    net = nn.Linear(4, 3)
    net.irreps, net.several = Closed((1, 2)), [Closed((torch.ones(2),))]
    for mode in ("inference", "training"):
        assert analyze(net, "4", mode=mode).totals.params == 15
    assert type(net.irreps) is type(net.several[0]) is Closed


class Yields(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(10, 10, bias=False) for _ in range(6))

    def forward(self, x: torch.Tensor):
        for layer in self.layers:
            x = layer(x)
            yield x


def test_a_forward_that_is_a_generator_is_run() -> None:
    assert analyze(Yields(), "10").totals.macs == 6 * 100
    step = analyze(Yields(), "10", mode="training").totals
    assert (step.macs, step.backward_macs) == (600, 600 + 500)
