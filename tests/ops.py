"""What the tests of single ops share: modules that run an op on tensors with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vggcost import CostTable, analyze

BOTH = ("inference", "training")


class Of(nn.Module):
    """A function, or a layer, of tensors that can be differentiated: parameters of these shapes."""

    def __init__(self, function: Callable[..., Any], *shapes: tuple[int, ...], dtype: torch.dtype | None = None):
        super().__init__()
        self.function = function
        operands = [nn.Parameter(torch.empty(shape, dtype=dtype, device="meta")) for shape in shapes]
        self.operands = nn.ParameterList(operands)

    def forward(self, _: torch.Tensor) -> Any:
        return self.function(*self.operands)


class First(nn.Module):
    """A layer that returns more than its output."""

    def __init__(self, layer: nn.Module, **options: Any):
        super().__init__()
        self.layer, self.options = layer, options

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(*inputs, **self.options)[0]  # type: ignore[no-any-return]


def run(model: nn.Module, inputs: Any = "1", mode: str = "inference", convention: str = "full") -> CostTable:
    return analyze(model, inputs, mode=mode, convention=convention)


class Self(nn.Module):
    """Self-attention."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, **options: Any) -> Any:
        return self.layer(x, x, x, **options)


class Looked(nn.Module):
    def __init__(self, table: nn.Module):
        super().__init__()
        self.table = table

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.table(whole(2, 4))  # type: ignore[no-any-return]


def meta(*shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def whole(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64, device="meta")
