"""What fits: the figure is that of `memory`, on the CPU the peak, on CUDA what is reserved and the context."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.conftest import command
from vggcost import VggcostError, memory
from vggcost._memory import fit
from vggcost.cost.allocator import CONTEXT, Allocator
from vggcost.cost.step import MemoryReport
from vggcost.report.memory import MEMORY_FORMATS, render_memory
from vggcost.units import told_apart

MIB = 2**20


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 24, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24 * 15 * 15, 10))


@cache
def memory_of(batch: int, device: str = "cuda", context: int | None = None) -> MemoryReport:
    return memory(net(), "3x32x32", batch=batch, device=device, context=context)


def needed(batch: int, device: str, context: int | None = None) -> int:
    return memory_of(batch, device, context).needed_bytes


@settings(max_examples=12)
@given(st.integers(2, 90), st.integers(0, 2 * MIB), st.sampled_from(("cpu", "cuda")), st.sampled_from((0, 77 * MIB)))
def test_the_answer_fits_by_memorys_own_figure_and_the_next_does_not(
    batch: int, more: int, device: str, context: int
) -> None:
    given_context = context if device == "cuda" else None
    budget = needed(batch, device, given_context) + more
    found = fit(net(), budget, inputs="3x32x32", device=device, context=given_context)
    assert found.needed_bytes == needed(found.answer, device, given_context) <= budget
    assert found.next_needed_bytes == needed(found.answer + 1, device, given_context) > budget
    assert found.next == found.answer + 1
    assert found.answer >= batch  # which fits
    assert found.largest
    assert found.runs >= found.answer
    assert found.runs == found.answer or device == "cuda"


def test_what_is_reserved_goes_up_and_down_and_the_largest_is_found_all_the_same() -> None:
    sizes = range(1, 60)
    assert any(needed(n + 1, "cuda") < needed(n, "cuda") for n in sizes)
    for budget in (CONTEXT + 34 * MIB, CONTEXT + 60 * MIB):
        largest = max(n for n in range(1, 260) if needed(n, "cuda") <= budget)
        assert fit(net(), budget, inputs="3x32x32", device="cuda").answer == largest


def test_blocks_are_given_back_before_the_allocator_fails() -> None:
    def run(limit: int | None) -> int:
        allocator = Allocator(limit=limit)
        first, kept = allocator.allocate(12 * MIB), allocator.allocate(2 * MIB)
        allocator.free(first)
        allocator.free(allocator.allocate(19 * MIB))  # which fits neither into the 12 nor into the 18 that are free
        allocator.free(kept)
        return allocator.reserved

    assert run(None) == (12 + 20 + 20) * MIB
    assert run(40 * MIB) == (20 + 20) * MIB  # the 12 went back; not the 20, of which 2 are taken
    with pytest.raises(MemoryError):
        run(39 * MIB)
    found = memory(net(), "3x32x32", batch=40, device="cuda").allocator
    assert found.allocated <= found.least <= found.reserved


def test_what_still_runs_is_said() -> None:
    found = fit("vgg-f", 2**31, device="cuda")
    at, above = (memory("vgg-f", batch=n, device="cuda").least_bytes for n in (found.runs, found.runs + 1))
    assert found.answer < found.runs
    assert at <= 2**31 < above


def test_what_must_fit() -> None:
    cpu = memory(net(), "3x32x32", batch=8)
    assert (cpu.needed_bytes, cpu.context_bytes) == (cpu.totals.peak_bytes, 0)
    cuda = memory(net(), "3x32x32", batch=8, device="cuda")
    assert cuda.needed_bytes == cuda.allocator.reserved + 426 * MIB
    stated = memory(net(), "3x32x32", batch=8, device="cuda", context=500 * MIB)
    assert stated.needed_bytes == cuda.allocator.reserved + 500 * MIB
    for report in (cpu, cuda, stated):
        for form in MEMORY_FORMATS:
            text = render_memory(report, form)
            if form == "json":
                assert json.loads(text)["needed_bytes"] == report.needed_bytes
            else:
                assert f"({report.needed_bytes:,} bytes)" in text
    assert "as measured on an RTX 6000 Ada" in render_memory(cuda, "table")
    assert "524,288,000 bytes of context, as given" in render_memory(stated, "table")


def test_the_two_commands_print_the_same_figure() -> None:
    words = "--device cuda --optimizer adamw --optimizer-option fused=true --accumulate 2 --context 300MiB".split()
    found = json.loads(command("fit", "vgg-f", "--memory", "2GiB", *words, "--format", "json").stdout)
    printed = command("fit", "vgg-f", "--memory", "2GiB", *words).stdout
    for key, size in (("needed_bytes", found["answer"]), ("next_needed_bytes", found["next"])):
        report = command("memory", "vgg-f", "-b", str(size), *words).stdout
        assert f"{found[key]:,} bytes" in report
        assert f"batch {size}: needs {found[key]:,} bytes" in printed
    assert found["needed_bytes"] <= 2**31 < found["next_needed_bytes"]
    assert "314,572,800 bytes of context, as given" in printed


def test_figures_that_differ_look_different() -> None:
    assert told_apart(2**34, 2**34 + 1000) == ["16.000000 GiB", "16.000001 GiB"]
    assert told_apart(2**34, 2**34) == ["16.00 GiB", "16.00 GiB"]
    assert len(set(told_apart(2**60, 2**60 + 1))) == 2
    most = needed(5, "cpu")
    with pytest.raises(VggcostError) as refused:
        fit(net(), needed(1, "cpu") - 1, inputs="3x32x32")
    budget, is_needed = str(refused.value).split(" is too little: batch 1 needs ")
    assert budget != is_needed.partition(",")[0]
    found = fit(net(), most, inputs="3x32x32")
    assert (found.answer, found.needed_bytes) == (5, most)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("memory vgg-f --context 1GiB", "a context is taken on a CUDA device alone; give --device cuda"),
        ("fit vgg-f --memory 2GiB --context 1GiB", "a context is taken on a CUDA device alone"),
        ("memory vgg-f --device cuda --context lots", "cannot read 'lots' as an amount of memory"),
        ("fit vgg-f --memory 2GiB --device cuda --context -1", "cannot read '-1' as an amount of memory"),
        ("fit vgg-f --memory 500MiB --device cuda", "batch 1 needs 910.00 MiB"),
        ("fit vgg-f --memory 2GiB --attention flas", "unknown attention kernel"),
    ],
)
def test_what_makes_no_sense_is_one_line(line: str, says: str, tmp_path: Path) -> None:
    done = command(*line.split(), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert says in done.stderr
