"""The witness of other people's models: what it calls agreement, and that its page leaves nothing unexplained."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.strangers import WITHIN, counted, document, measured, predicted, reasons, verdicts
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "strangers.md"


def row(**changes: Any) -> dict[str, Any]:
    known = {"model": "net", "package": "torch", "version": "2", "trains": True, "numel": 10, "params": 10, "macs": 20}
    return {**known, "counted": 20, "predicted": 100, "measured": 100, **changes}


@pytest.mark.parametrize(
    ("changes", "column"),
    [({"params": 11}, "params"), ({"macs": 40}, "macs"), ({"predicted": 103}, "peak"), ({"measured": 103}, "peak")],
)
def test_a_figure_that_is_off_does_not_agree(changes: dict[str, int], column: str) -> None:
    assert all(verdicts(row()).values())
    found = verdicts(row(**changes))
    assert found.pop(column) is False
    assert all(found.values())


def test_a_model_that_does_not_run_or_train_says_so() -> None:
    failed = row(problem="no")
    for name in ("params", "macs", "predicted"):
        del failed[name]
    assert verdicts(failed) == {"runs": False, "params": None, "macs": None, "trains": False, "peak": None}


def test_a_row_without_a_reason_is_seen() -> None:
    assert document([row()]).count("no reason found yet") == 0
    assert document([row(macs=40), row(predicted=50)]).count("no reason found yet") == 2


def test_the_counter_knows_vectors_complex_numbers_and_fused_kernels() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> Any:
            pairs = torch.complex(x[0], x[0])  # (5, 8)
            attended = nn.functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])
            return self.lstm(x)[0], x[0] @ x[0, 0], pairs @ pairs.T, attended

    recurrent = 2 * 5 * (4 * 4) * (8 + 4)
    assert counted(Net(), (torch.rand(2, 5, 8),)) == recurrent + 5 * 8 + 4 * 5 * 8 * 5 + 2 * 2 * 5 * 5 * 8


def test_a_step_is_measured_and_predicted_alike() -> None:
    def make() -> Any:
        return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64)), (torch.rand(512, 64),)

    assert predicted(*make(), {}) == pytest.approx(measured(make), rel=0.01)


def test_the_page_is_wide_and_leaves_nothing_without_a_reason() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("## What does not agree")[0]
    lines = [line for line in table.splitlines() if re.match(r"\| (?!model|:)", line)]
    assert len(lines) >= 30
    assert len({line.split(" | ")[1].rpartition(" ")[0] for line in lines}) >= 25
    assert "no reason found yet" not in text
    near, compared = map(int, re.search(rf"within {WITHIN:.0%} of the measured: (\d+) of (\d+)", text).groups())  # type: ignore[union-attr]
    assert near >= 0.9 * compared


def test_no_reason_is_kept_for_what_agrees_now() -> None:
    explained = set(
        re.findall(r"^\| ([^|]+) \| (runs|params|macs|trains|peak) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    )
    assert set(reasons()) == explained
