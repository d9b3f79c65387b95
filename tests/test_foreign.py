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
