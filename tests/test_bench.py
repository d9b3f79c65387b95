"""The benchmark's own arithmetic, and that its pages show what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from benchmarks import peers
from benchmarks.bench import PARTS, RESULTS
from benchmarks.speed import document
from benchmarks.speed.measure import Row, alternating, exponent, forked, peak_rss, process, ratio
from tests.conftest import ROOT
from vggcost import CostTable, analyze


def test_the_pages_show_what_was_measured() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results) <= set(PARTS)
    for name, text in document.pages(results).items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"{name}: python -m benchmarks.bench --docs"


def test_a_power_is_fitted() -> None:
    sizes = [10.0, 100.0, 1000.0]
    assert exponent(sizes, [3 * size for size in sizes]) == pytest.approx(1)
    assert exponent(sizes, [size**2 / 7 for size in sizes]) == pytest.approx(2)


def test_ratios_are_of_the_same_round() -> None:
    assert ratio([1, 10, 3], [2, 10, 3]) == 1  # the ratios are 0.5, 1 and 1


def test_a_goal_is_met_at_its_bound() -> None:
    assert Row("a", 0.25, most=0.25).met is True
    assert Row("a", 0.26, most=0.25).met is False
    assert Row("a", 3.9, least=4).met is False
    assert Row("a", 3.9).met is None
    assert (Row("a", 0.123, "s", most=0.25).goal, Row("a", 0.123, "s").measured) == ("≤ 0.25 s", "0.12 s")


def test_ways_are_timed_in_alternating_order() -> None:
    called: list[str] = []
    found = alternating({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2)
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 2, "b": 2}
    assert called == ["a", "b", "b", "a", "a", "b"]


def test_processes_are_weighed_and_forks_answer() -> None:
    held = b"1" * 200_000_000  # by this process, which does not count
    ran = process(["-c", "x = b'1' * 50_000_000; print(len(x))"])
    assert ran.output == "50000000\n"
    assert 50_000_000 < ran.rss < len(held) < peak_rss()
    with pytest.raises(RuntimeError, match="ended with 3"):
        process(["-c", "raise SystemExit(3)"])
    assert forked(lambda: [1, "two"]) == [1, "two"]


def test_the_truth_on_paper_is_that_of_the_zoo(zoo_table: Callable[..., CostTable]) -> None:
    assert peers.TRUTH["vgg16"] == zoo_table("vgg16").totals.macs


@pytest.mark.parametrize(
    ("name", "package"), [("resnet152", "torchvision"), ("vit_l_16", "torchvision"), ("gpt2", "transformers")]
)
def test_the_truth_on_paper_is_what_is_counted(name: str, package: str) -> None:
    pytest.importorskip(package)
    from benchmarks.speed.nets import NETS

    assert analyze(NETS[name].build(), NETS[name].input()).totals.macs == peers.TRUTH[name]


def test_a_figure_is_right_near_or_wrong() -> None:
    assert [peers.verdict(macs, 1000) for macs in (1000, 1004, 1006, None)] == ["right", "near", "wrong", "cannot"]
