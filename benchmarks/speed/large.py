"""Large models, made by `vggcost report ./benchmarks/speed/large.py:NAME -i 8 -k n=COUNT`."""

from __future__ import annotations

import sys

import torch
from torch import nn

__all__ = ["chain", "loop", "nested"]


def chain(n: int) -> nn.Module:
    """Make a chain of so many layers, linear ones and activations in turn."""
    return nn.Sequential(*(layer for _ in range(n // 2) for layer in (nn.Linear(8, 8), nn.ReLU())))


def nested(n: int) -> nn.Module:
    """Make containers inside each other; each holds a layer and the next."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10 * n + 1000))  # torch's own calls need it
    model: nn.Module = nn.Linear(8, 8)
    for _ in range(n):
        model = nn.Sequential(nn.Linear(8, 8), model)
    return model


class Loop(nn.Module):
    """As many ops in one forward."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.last = count, nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.count):
            x = x + 1
        return self.last(x)  # type: ignore[no-any-return]


def loop(n: int) -> nn.Module:
    return Loop(n)
