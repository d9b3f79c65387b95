"""Models that are nested deep: each picture is that of a look at every depth, without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import vggcost
from tests.test_load import each
from vggcost.records import CostTable
from vggcost.report import bars, jupyter, volumes
from vggcost.report.nesting import Blocks, cut, deepest_of, deepest_that, shared
from vggcost.report.view import fold

NAMES = st.lists(st.sampled_from(["a", "b", "ab", "1"]), min_size=1, max_size=5).map(".".join)


class Joined(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


LAYERS = st.sampled_from([lambda: nn.Linear(4, 4), nn.ReLU, nn.Tanh, lambda: nn.LayerNorm(4)])
TREES: Any = st.recursive(
    LAYERS.map(lambda make: ("layer", make)),
    lambda inner: st.tuples(st.sampled_from([nn.Sequential, Joined]), st.lists(inner, min_size=1, max_size=4)),
    max_leaves=14,
)


def built(tree: Any) -> nn.Module:
    kind, parts = tree
    if kind == "layer":
        return parts()  # type: ignore[no-any-return]
    inner = nn.Sequential(*map(built, parts))
    return inner if kind is nn.Sequential else Joined(inner)


def table_of(model: nn.Module) -> CostTable:
    with torch.device("meta"):
        return vggcost.analyze(model, "4")


def chained(count: int) -> nn.Module:
    """Each container holds a layer and the next."""
    with torch.device("meta"):
        model: nn.Module = nn.Linear(4, 4)
        for _ in range(count):
            model = nn.Sequential(nn.Linear(4, 4), model)
    return model


@given(NAMES, NAMES, st.integers(1, 6))
def test_what_paths_have_in_common(one: str, other: str, depth: int) -> None:
    parts = one.split("."), other.split(".")
    alike = next((i for i, (a, b) in enumerate(zip(*parts, strict=False)) if a != b), min(map(len, parts)))
    assert shared(one, other) == alike
    assert cut(one, depth) == ".".join(parts[0][:depth])


@given(st.lists(NAMES, max_size=6), NAMES)
def test_the_outermost_block_around_a_path(paths: list[str], path: str) -> None:
    parts = path.split(".")
    above = [".".join(parts[: i + 1]) for i in range(len(parts))]
    assert Blocks(paths).around(path) == next((name for name in above if name in paths), "")


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_deepest_depth_that_fits(last: int, deepest: int) -> None:
    assert deepest_that(lambda depth: depth <= last, deepest) == min(last, deepest)


@settings(max_examples=60, deadline=None)
@given(TREES, st.integers(1, 6))
def test_the_boxes_are_those_of_a_look_at_every_depth(tree: Any, most: int) -> None:
    table = table_of(nn.Sequential(built(tree)))
    blocks = volumes._blocks(table)
    looks = (list(volumes._volumes(table, level, blocks)) for level in range(deepest_of(table), 0, -1))
    fitting = next((tuple(found) for found in looks if len(found) <= most), None)
    found = volumes.volumes(table, most)
    assert found == fitting if fitting is not None else len(found) <= most


@settings(max_examples=40, deadline=None)
@given(TREES, st.integers(1, 5))
def test_fewer_rows_the_less_deep_they_are_folded(tree: Any, most: int) -> None:
    table = table_of(nn.Sequential(built(tree), nn.Linear(4, 4)))
    rows = [len(fold(table, depth)) for depth in range(1, deepest_of(table) + 1)]
    bars_ = [sum(map(bars._costs, fold(table, depth))) for depth in range(1, deepest_of(table) + 1)]
    assert (rows, bars_) == (sorted(rows), sorted(bars_))  # what finds a depth by halves rests on it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bars, "_MOST_ROWS", most)
        fitting = [depth for depth, count in enumerate(bars_, 1) if count <= most]
        assert bars._chosen(table, None)[2] == max(fitting, default=1)


@pytest.mark.parametrize("what", [bars.bars, volumes.volumes, jupyter.note], ids=lambda what: what.__name__)
def test_the_work_of_a_picture_does_not_grow_as_the_depth_by_the_layers(what: Any) -> None:
    tables = {count: table_of(chained(count)) for count in (40, 80, 160)}
    assert each(lambda count: lambda: what(tables[count]), 40, 160) < 1.5
