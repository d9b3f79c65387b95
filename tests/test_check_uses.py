"""However a value reaches the `raise`, a check is taken as passed; any other use of it stops the run as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests import checking
from tests.checking import BRANCHES, CHECKS
from vggcost import analyze
from vggcost.errors import TraceError
from vggcost.trace import bytecode, checks


class Net(nn.Module):
    def __init__(self, check: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.check = nn.Linear(8, 8), check

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.check(x)
        return self.layer(x)


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_is_taken_as_passed_and_listed(check: Callable[[torch.Tensor], Any]) -> None:
    table = analyze(Net(check), "8")
    linear = next(row for row in table.layers if row.path == "layer")
    assert linear.macs == 64
    assert table.coverage.assumed
    assert all(item.op == "check" and "taken as passed: " in item.text for item in table.coverage.assumed)


def test_the_ops_of_a_check_are_those_of_a_run_that_passes_it() -> None:
    """With `and`, the first part decides; with `or`, all do."""

    def seen(check: Callable[[torch.Tensor], Any]) -> set[str]:
        coverage = analyze(Net(check), "8").coverage
        return {op for op, _ in (*coverage.counted, *coverage.free, *coverage.unknown)}

    assert "aten.max" not in seen(checking.both)
    assert {"aten.max", "aten.min"} <= seen(checking.after_a_plain_one)


@pytest.mark.parametrize("check", BRANCHES)
def test_no_other_use_is_decided(check: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(TraceError, match="depends on data"):
        analyze(Net(check), "8")


def _bad(name: str, of: str) -> str:
    return "bad" if name == "any" else name


def _refuses(check: Callable[[torch.Tensor], Any]) -> bool:
    bytecode.uses.cache_clear()
    try:
        analyze(Net(check), "8")
    except TraceError as error:
        return "depends on data" in str(error)
    return False


@pytest.mark.parametrize(
    ("where", "name", "replacement", "case"),
    [
        (bytecode, "_only_checks", lambda flow, start, good: True, checking.branches),
        (bytecode, "name_called", lambda flow, at: ("bool", ""), checking.through_another),
        (checks, "name_called", lambda flow, at: (_bad(*bytecode.name_called(flow, at)), ""), checking.mapped),
        (checks, "_outer", lambda frame: iter(()), checking.caught_outside),
        (bytecode, "_stored", lambda *given: frozenset((bytecode.Use("bool", True),)), checking.named_and_chosen),
    ],
)
def test_the_cases_catch_a_reader_that_takes_less_care(
    where: Any, name: str, replacement: Any, case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _refuses(case)
    monkeypatch.setattr(where, name, replacement)
    refused = _refuses(case)
    bytecode.uses.cache_clear()
    assert not refused
