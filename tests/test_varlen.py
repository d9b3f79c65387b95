"""Attention over sequences that lie one after the other: the pairs of each, where the lengths are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import command
from vggcost import analyze

varlen = pytest.importorskip("torch.nn.attention.varlen", reason="this torch has none")
aten = torch.ops.aten
WIDTH, HEADS, TOKENS = 8, 4, 10
T = torch.tensor


class Net(nn.Module):
    """One projection to queries, keys and values, and their attention."""

    def __init__(self, kv_heads: int = HEADS, window: tuple[int, int] = (-1, -1)) -> None:
        super().__init__()
        self.kv_heads, self.window = kv_heads, window
        self.project = nn.Linear(32, (HEADS + 2 * kv_heads) * WIDTH, bias=False)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        q, k, v = self.split(x)
        begins = nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
        longest = int(lengths.max())
        gqa = self.kv_heads != HEADS
        return varlen.varlen_attn(q, k, v, begins, begins, longest, longest, window_size=self.window, enable_gqa=gqa)

    def split(self, x: torch.Tensor) -> list[torch.Tensor]:
        widths = [heads * WIDTH for heads in (HEADS, self.kv_heads, self.kv_heads)]
        return [part.unflatten(-1, (-1, WIDTH)) for part in self.project(x).split(widths, -1)]

    @property
    def own(self) -> int:
        """MACs of the projection."""
        return TOKENS * self.project.weight.numel()


class Begins(Net):
    """The same where the model is given where the sequences begin."""

    def forward(self, x: torch.Tensor, begins: torch.Tensor) -> Any:
        return varlen.varlen_attn(*self.split(x), begins, begins, 5, 5)


class Cache(Net):
    """Queries of two sequences against keys of which not all are in use."""

    def forward(self, x: torch.Tensor, begins: torch.Tensor, used: torch.Tensor) -> Any:
        q, k, v = self.split(x)
        return varlen.varlen_attn(q[:2], k, v, T([0, 1, 2]).to(torch.int32), begins, 1, 5, seqused_k=used)


class Kernel(Net):
    """The kernel of torch, called by its name."""

    def forward(self, x: torch.Tensor, begins: torch.Tensor) -> Any:
        q, k, v = self.split(x)
        return aten._flash_attention_forward(q, k, v, begins, begins, 5, 5, 0.0, False, False)[0]


X = torch.zeros(TOKENS, 32)
KNOWN = ([3, 5, 2], [9, 1], [10], [5, 0, 5])


def pairs(lengths: list[int]) -> int:
    return sum(length * length for length in lengths)


@pytest.mark.parametrize("lengths", KNOWN)
@pytest.mark.parametrize("options", [{}, {"kv_heads": 2}, {"window": (2, 0)}], ids=["plain", "grouped", "window"])
def test_each_sequence_meets_itself_alone(lengths: list[int], options: dict[str, Any]) -> None:
    """Twice the width for each pair of each query head; twice and a half that backward, as of any such kernel."""
    net = Net(**options)
    found = analyze(net, (X, T(lengths)), mode="training")
    attention = pairs(lengths) * HEADS * 2 * WIDTH
    assert found.totals.macs == net.own + attention
    assert found.totals.backward_macs == net.own + attention * 5 // 2  # the input asks for no gradient
    assert not found.coverage.assumed
    assert analyze(net, (X, T(lengths))).totals.macs == net.own + attention


def test_one_call_does_not_remember_the_lengths_of_another() -> None:
    net = Net()
    found = [analyze(net, (X, T(lengths))).totals.macs - net.own for lengths in KNOWN]
    assert found == [pairs(lengths) * HEADS * 2 * WIDTH for lengths in KNOWN]


def test_two_calls_in_one_run() -> None:
    class Twice(Net):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
            return super().forward(x, lengths), super().forward(x, T([10]))

    net = Twice()
    assert analyze(net, (X, T([5, 5]))).totals.macs == 2 * net.own + (50 + 100) * HEADS * 2 * WIDTH


def test_lengths_that_are_not_known_are_the_longest_and_said() -> None:
    net = Begins()
    found = analyze(net, (X, torch.empty(4, dtype=torch.int32, device="meta")))
    assert found.totals.macs == net.own + TOKENS * 5 * HEADS * 2 * WIDTH
    (said,) = found.coverage.assumed
    assert said.op == "torch_attn._varlen_attn"
    assert "the most there can be" in said.text


def test_a_longest_sequence_is_no_longer_than_what_there_is() -> None:
    class Long(Net):
        def forward(self, x: torch.Tensor, begins: torch.Tensor) -> Any:
            return varlen.varlen_attn(*self.split(x), begins, begins, 1000, 1000)

    net = Long()
    found = analyze(net, (X, torch.empty(4, dtype=torch.int32, device="meta")))
    assert found.totals.macs == net.own + TOKENS * TOKENS * HEADS * 2 * WIDTH


@pytest.mark.parametrize("kind", [Begins, Kernel])
def test_where_they_begin_is_given(kind: type[Net]) -> None:
    net = kind()
    found = analyze(net, (X, T([0, 3, 8, 10], dtype=torch.int32)))
    assert found.totals.macs == net.own + (9 + 25 + 4) * HEADS * 2 * WIDTH
    assert not found.coverage.assumed


def test_keys_of_a_cache_that_are_in_use() -> None:
    net = Cache()
    begins = T([0, 5, 10], dtype=torch.int32)
    for used, keys in (([2, 4], 6), ([5, 5], 10), ([1, 9], 6)):
        found = analyze(net, (X, begins, T(used, dtype=torch.int32)))
        assert found.totals.macs == net.own + keys * HEADS * 2 * WIDTH, used


def test_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "packed.py"
    file.write_text(
        "import torch\nfrom torch import nn\nfrom torch.nn.attention.varlen import varlen_attn\n\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.p = nn.Linear(32, 96, bias=False)\n\n"
        "    def forward(self, x, begins):\n"
        "        q, k, v = (part.unflatten(-1, (4, 8)) for part in self.p(x).split(32, -1))\n"
        "        return varlen_attn(q, k, v, begins.int(), begins.int(), 5, 5)\n"
    )
    done = command(
        "report", f"{file}:Net", "-i", "x=10x32", "-i", "begins=[0,3,8,10]", "--format", "json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert f'"macs": {30720 + 38 * 64}' in done.stdout
