"""Values that are read only to raise an error do not stop a run, and are listed; any other branch does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vggcost import analyze
from vggcost.errors import TraceError


class Net(nn.Module):
    def __init__(self, check: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.check = nn.Linear(8, 8), check

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) if self.check(x) is None else x


def isnan(x: torch.Tensor) -> None:
    if x.isnan().any():
        raise ValueError("not a number")


def asserts(x: torch.Tensor) -> None:
    assert torch.isfinite(x).all(), "not finite"


def compares(x: torch.Tensor) -> None:
    if x.max() >= 5:
        message = f"too large: {x.max()}"
        raise ValueError(message)


def either(x: torch.Tensor) -> None:
    if x.min() < 0 or x.max() > 1:
        raise ValueError("none of 0 to 1")


def items(x: torch.Tensor) -> None:
    with torch.no_grad():
        if not (x >= 0).all().item():
            raise ValueError("below 0")


def torch_asserts(x: torch.Tensor) -> None:
    torch._assert(x.sum() > 0, "none above 0")


def distribution(x: torch.Tensor) -> None:
    torch.distributions.Normal(x, x.exp()).log_prob(x)


@pytest.mark.parametrize("check", [isnan, asserts, compares, either, items, torch_asserts, distribution])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_check_is_taken_as_passed_and_listed(check: Callable[[torch.Tensor], Any], mode: str) -> None:
    table = analyze(Net(check), "8", mode=mode)
    assert table.totals.macs == 64
    assert all(item.op == "check" and "taken as passed: " in item.text for item in table.coverage.assumed)
    assert table.coverage.assumed


def branch(x: torch.Tensor) -> Any:
    return None if x.sum() > 0 else x


def caught(x: torch.Tensor) -> Any:
    try:
        isnan(x)
    except ValueError:
        return x
    return None


def returned(x: torch.Tensor) -> Any:
    if x.sum() > 0:
        return x
    return None


@pytest.mark.parametrize("check", [branch, caught, returned])
def test_a_branch_of_the_model_is_never_taken_silently(check: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(TraceError, match=r"aten\.item"):
        analyze(Net(check), "8")


def test_an_assumed_value_may_be_below_zero() -> None:
    def below(x: torch.Tensor) -> Any:
        return None if x.sum().item() < 0 else x

    assert analyze(Net(below), "8", assume={"item": -1}).totals.macs == 64
    assert analyze(Net(below), "8", assume={"item": 1}).totals.macs == 0


def test_a_loop_that_an_assumed_value_never_ends_is_ended() -> None:
    def endless(x: torch.Tensor) -> None:
        while x.sum().item() > 0:
            x = x - 1

    with pytest.raises(TraceError, match=r"assumed with item=1 was read more than 20,000 times"):
        analyze(Net(endless), "8", assume={"item": 1})
    assert analyze(Net(endless), "8", assume={"item": 0}).totals.macs == 64
