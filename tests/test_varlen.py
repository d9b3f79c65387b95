"""Attention over sequences that lie one after the other: the pairs of each, where the lengths are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import python
from vggcost import analyze
from vggcost.cost import attention, table
from vggcost.errors import TraceError
from vggcost.trace import kernels
from vggcost.trace import varlen as rule
from vggcost.trace.bounds import Assumed

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
UNKNOWN = torch.empty(4, dtype=torch.int32, device="meta")
OPTIONS: list[dict[str, Any]] = [{}, {"kv_heads": 2}, {"window": (2, 0)}, {"window": (-1, 0)}]
KNOWN = ([3, 5, 2], [9, 1], [10], [5, 0, 5])


def pairs(lengths: list[int]) -> int:
    return sum(length * length for length in lengths)


@pytest.mark.parametrize("lengths", KNOWN)
@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "grouped", "window", "causal"])
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
    assert analyze(net, (X, T([3, 7]))).totals.macs == 2 * net.own + (58 + 100) * HEADS * 2 * WIDTH


def test_lengths_that_are_not_known_are_the_longest_and_said() -> None:
    net = Begins()
    found = analyze(net, (X, UNKNOWN))
    assert found.totals.macs == net.own + TOKENS * 5 * HEADS * 2 * WIDTH
    (said,) = found.coverage.assumed
    assert said.op == "torch_attn._varlen_attn"
    assert "the most there can be" in said.text


def test_a_longest_sequence_is_no_longer_than_what_there_is() -> None:
    class Long(Net):
        def forward(self, x: torch.Tensor, begins: torch.Tensor) -> Any:
            return varlen.varlen_attn(*self.split(x), begins, begins, 1000, 1000)

    net = Long()
    found = analyze(net, (X, UNKNOWN))
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


class Called(nn.Module):
    """A function of queries and keys of 8 and values of 6, made by one projection."""

    def __init__(self, function: Callable[..., torch.Tensor], value: int = 6) -> None:
        super().__init__()
        self.function, self.value = function, value
        self.project = nn.Linear(32, HEADS * (2 * WIDTH + value), bias=False)

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> Any:
        parts = self.project(x).split([HEADS * WIDTH, HEADS * WIDTH, HEADS * self.value], -1)
        return self.function(*[part.unflatten(-1, (HEADS, -1)) for part in parts], *others)

    def counted(self, *others: torch.Tensor, **options: Any) -> Any:
        """What is counted without the projection: forward, backward, and what is assumed."""
        found = analyze(self, (X, *others), **options)
        own = TOKENS * self.project.weight.numel()
        back = found.totals.backward_macs
        return found.totals.macs - own, None if back is None else back - own, found.coverage.assumed


def efficient(q: Any, k: Any, v: Any, begins: Any, used: Any = None) -> Any:
    q, k, v = q[None], k[None], v[None]
    return aten._efficient_attention_forward(q, k, v, None, begins, begins, 5, 5, 0.0, 0, True, seqlen_k=used)[0]


def into(q: Any, k: Any, v: Any, begins: Any) -> Any:
    return varlen.varlen_attn_out(torch.empty_like(q), q, k, v, begins, begins, 5, 5)


def test_values_of_another_width() -> None:
    net = Called(efficient)
    for begins, number, ops in ((T([0, 3, 8, 10]).int(), 38, 0), (UNKNOWN, TOKENS * 5, 2)):
        forward, backward, assumed = net.counted(begins, mode="training")
        assert forward == number * HEADS * (WIDTH + 6)
        assert backward == number * HEADS * (3 * WIDTH + 2 * 6)
        assert len(assumed) == ops


def test_keys_in_use_of_the_efficient_kernel() -> None:
    forward, _, assumed = Called(efficient).counted(T([0, 5, 10]).int(), T([2, 3]).int())
    assert forward == (5 * 2 + 5 * 3) * HEADS * (WIDTH + 6)
    assert not assumed


def test_a_result_that_is_written_into() -> None:
    net = Called(into, WIDTH)
    assert net.counted(T([0, 3, 8, 10]).int())[0] == 38 * HEADS * 2 * WIDTH
    forward, _, (said,) = net.counted(UNKNOWN)
    assert forward == TOKENS * 5 * HEADS * 2 * WIDTH
    assert said.op == "torch_attn._varlen_attn_out"


def like_query(q: torch.Tensor, *rest: Any, **options: Any) -> tuple[Any, ...]:
    none = q.new_empty(0)
    return torch.empty_like(q), none, none, none, 5, 5, none, none, none


def test_the_kernel_of_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says not how its result looks; heads come before steps where nothing is packed."""
    op = "aten._cudnn_attention_forward"
    monkeypatch.setitem(kernels.SHAPES, op, like_query)

    def dense(q: Any, k: Any, v: Any, *none: Any) -> Any:
        q, k, v = (x.reshape(1, TOKENS, HEADS, WIDTH).transpose(1, 2) for x in (q, k, v))
        return aten._cudnn_attention_forward(q, k, v, None, None, None, TOKENS, TOKENS, True)[0]

    def packed(q: Any, k: Any, v: Any, begins: Any) -> Any:
        return aten._cudnn_attention_forward(q, k, v, None, begins, begins, 5, 5, True)[0]

    assert Called(dense, WIDTH).counted()[0] == TOKENS * TOKENS * HEADS * 2 * WIDTH
    assert Called(packed, WIDTH).counted(T([0, 3, 8, 10]).int())[0] == 38 * HEADS * 2 * WIDTH


def test_pages_of_a_cache() -> None:
    def paged(q: Any, k: Any, v: Any, used: Any) -> Any:
        k, v = (x[:8].reshape(4, 2, HEADS, WIDTH) for x in (k, v))
        table, begins = torch.zeros(2, 3, dtype=torch.int32), T([0, 1, 2]).int()
        return varlen.varlen_attn(q[:2], k, v, begins, None, 1, 6, seqused_k=used, block_table=table)

    net = Called(paged, WIDTH)
    assert net.counted(T([2, 4]).int())[0] == (2 + 4) * HEADS * 2 * WIDTH
    forward, _, (said,) = net.counted(UNKNOWN[:2])
    assert forward == 2 * 6 * HEADS * 2 * WIDTH
    assert "the most there can be" in said.text


def test_numbers_that_are_all_known_need_no_kernel_of_the_cpu() -> None:
    def constant(q: Any, k: Any, v: Any, begins: Any) -> Any:
        ones = torch.ones(TOKENS, HEADS, WIDTH)
        return q + varlen.varlen_attn(ones, ones, ones, begins, begins, 5, 5)

    assert Called(constant, WIDTH).counted(T([0, 3, 8, 10]).int())[0] == 38 * HEADS * 2 * WIDTH


@pytest.mark.parametrize("begins", [[3, 5, 2], [0, 8, 3, 10], [0, 5, 11], [-1, 4]], ids=str)
def test_sequences_that_cannot_be(begins: list[int]) -> None:
    with pytest.raises(TraceError, match="beginnings do not rise from 0 to at most 10; give the cumulative sum"):
        analyze(Begins(), (X, T(begins).int()))


def test_as_many_sequences_of_keys_as_of_queries() -> None:
    def uneven(q: Any, k: Any, v: Any, begins: Any) -> Any:
        return varlen.varlen_attn(q, k, v, begins, T([0, 10]).int(), 5, 10)

    with pytest.raises(TraceError, match="3 sequences of queries and 1 of keys; give as many of both"):
        Called(uneven, WIDTH).counted(T([0, 3, 8, 10]).int())


FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Linear(32, 96, bias=False)

    def forward(self, x, begins):
        q, k, v = (part.unflatten(-1, (4, 8)) for part in self.p(x).split(32, -1))
        begins = begins.int()
        return {call}
"""
VARLEN = (
    'getattr(__import__("torch.nn.attention.varlen", fromlist=["x"]), "varlen_attn")(q, k, v, begins, begins, 5, 5)'
)
FLASH = "torch.ops.aten._flash_attention_forward(q, k, v, begins, begins, 5, 5, 0.0, False, False)[0]"
MAIN = "import sys\n{first}\nfrom vggcost.cli import main\nmain(sys.argv[1:])"


def reported(folder: Path, call: str, begins: str, first: str = "") -> tuple[int, str]:
    """The MACs of the attention of a model in a file, and the report, made on the command line."""
    (folder / "packed.py").write_text(FILE.format(call=call))
    report = ("report", "packed.py:Net", "-i", "x=10x32", "-i", f"begins={begins}", "--format", "json")
    done = python("-c", MAIN.format(first=first), *report, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["totals"]["macs"] - 10 * 32 * 96, done.stdout


def test_from_the_command_line(tmp_path: Path) -> None:
    assert reported(tmp_path, VARLEN, "[0,3,8,10]")[0] == 38 * 64
    assert reported(tmp_path, VARLEN, "[0,5,10]")[0] == 50 * 64
    macs, said = reported(tmp_path, VARLEN, "4:int32")
    assert macs == 10 * 5 * 64
    assert "the most there can be" in said


def test_the_command_line_test_catches_lengths_that_are_not_read(tmp_path: Path) -> None:
    blind = "import vggcost.trace.varlen as rule\nrule._values = lambda *given: None"
    assert reported(tmp_path, VARLEN, "[0,3,8,10]", blind)[0] != 38 * 64


def test_a_torch_that_has_no_such_function(tmp_path: Path) -> None:
    absent = 'sys.modules["torch.nn.attention.varlen"] = None'
    assert reported(tmp_path, FLASH, "[0,3,8,10]", absent)[0] == 38 * 64


def longest(values: list[int]) -> list[tuple[int, int]]:
    most = max(after - before for before, after in pairwise(values))
    return [(0, most)] * (len(values) - 1)


def unchecked(assumed: Any, op: Any, begins: Any, there: Any) -> Any:
    values = rule._values(assumed, begins)
    return None if values is None else [after - before for before, after in pairwise(values)]


def triangle(*given: Any) -> Any:
    return tuple((name, value // 2) for name, value in rule.pairs(*given))


def shared_heads(op: Any, first: int = 0) -> int:
    return int(op.input_shapes[first + 1][-2] * op.get("pairs"))


MUTATIONS: list[tuple[Any, str, Any, Callable[[], None]]] = [
    (rule, "_values", lambda *given: None, lambda: test_where_they_begin_is_given(Kernel)),
    (rule, "_values", lambda *given: None, lambda: test_where_they_begin_is_given(Begins)),
    (rule, "pairwise", longest, lambda: test_each_sequence_meets_itself_alone([3, 5, 2], {})),
    (rule, "pairwise", longest, test_two_calls_in_one_run),
    (kernels, "pairs", triangle, lambda: test_each_sequence_meets_itself_alone([3, 5, 2], {"window": (-1, 0)})),
    (kernels, "pairs", triangle, lambda: test_each_sequence_meets_itself_alone([3, 5, 2], {"window": (2, 0)})),
    (attention, "_packed_scores", shared_heads, lambda: test_each_sequence_meets_itself_alone([9, 1], {"kv_heads": 2})),
    (attention, "_widths", lambda op, first: (16, 32), lambda: test_each_sequence_meets_itself_alone([10], {})),
    (attention, "_widths", lambda op, first: (16, 40), test_values_of_another_width),
    (rule, "_USED_K", (), test_keys_of_a_cache_that_are_in_use),
    (rule, "_USED_K", ("seqused_k",), test_keys_in_use_of_the_efficient_kernel),
    (rule, "_USED_K", (), test_pages_of_a_cache),
    (attention, "_packed_scores_second", lambda op: 0, test_a_result_that_is_written_into),
    (kernels, "VARLEN", frozenset(), test_numbers_that_are_all_known_need_no_kernel_of_the_cpu),
    (Assumed, "note", lambda *given: None, test_lengths_that_are_not_known_are_the_longest_and_said),
    (rule, "min", max, test_a_longest_sequence_is_no_longer_than_what_there_is),
    (rule, "_lengths", unchecked, lambda: test_sequences_that_cannot_be([3, 5, 2])),
    (rule, "_lengths", unchecked, lambda: test_sequences_that_cannot_be([0, 5, 11])),
    (rule, "len", lambda values: 0, test_as_many_sequences_of_keys_as_of_queries),
]


@pytest.mark.parametrize(("where", "name", "replacement", "case"), MUTATIONS)
def test_each_case_catches_a_rule_that_is_wrong(
    where: Any, name: str, replacement: Any, case: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    case()
    table._remembered.cache_clear()  # what was right
    monkeypatch.setattr(where, name, replacement, raising=name not in ("min", "len"))
    try:
        with pytest.raises((AssertionError, TraceError, ValueError, pytest.fail.Exception)):
            case()
    finally:
        table._remembered.cache_clear()  # what was wrong


def test_a_memory_that_mixes_lengths_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = kernels.plan_of(torch.ops.torch_attn._varlen_attn.default)
    monkeypatch.setattr(plan, "remember", "outputs")
    monkeypatch.setattr(plan, "memory", {})
    with pytest.raises(AssertionError):
        test_one_call_does_not_remember_the_lengths_of_another()


def test_steps_of_cudnn_taken_for_heads_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    table._remembered.cache_clear()
    monkeypatch.setattr(attention, "_HEADS_FIRST", "none")
    try:
        with pytest.raises(AssertionError):
            test_the_kernel_of_cudnn(monkeypatch)
    finally:
        table._remembered.cache_clear()
