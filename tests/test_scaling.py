"""How a page finds out what follows its controls: by runs, and what they do not agree on is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.browser import browser, opened
from tests.test_page_figures import t5
from vggcost import analyze
from vggcost._analyze import Said
from vggcost._page import page_of
from vggcost.cli.report import report
from vggcost.records import CostTable
from vggcost.report.dtypes import listed, offered, size_of
from vggcost.report.html import html
from vggcost.report.lines import at, fitted, highest
from vggcost.report.scaling import figures_of
from vggcost.units import human_bytes, human_count, percent

__all__ = ["browser"]


# Lines


@given(st.integers(-9, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 5, 64]))
def test_a_line_is_found_whether_or_not_batch_1_is_on_it(p: int, q: int, one: int, shown: int) -> None:
    found = fitted(lambda n: [p + q * n if n > 1 else one, 7], {shown, 4096})
    assert found is not None
    apart = one != p + q
    assert found.apart == apart
    assert [at(line, 9) for line in found.lines if line] == [p + 9 * q, 7]


@given(st.integers(3, 60), st.sampled_from([1, 2, 64]))
def test_what_changes_between_the_runs_is_no_line(threshold: int, shown: int) -> None:
    assert fitted(lambda n: [3 * n + (100 if n >= threshold else 0)], {shown, 64}) is None
    assert fitted(lambda n: [n * n + n], {shown, 64}) is None
    assert fitted(lambda n: [n] * (1 + (n >= threshold)), {shown, 64}) is None  # another number of ops
    assert fitted(lambda n: None if n >= threshold else [n], {shown, 64}) is None  # it does not run


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), min_size=1, max_size=8), st.integers(1, 99))
def test_the_highest_lines_are_enough(lines: list[tuple[int, int]], batch: int) -> None:
    assert max(at(line, batch) for line in highest(lines)) == max(at(line, batch) for line in lines)


# Dtypes


@pytest.mark.parametrize("dtype", [kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)], ids=str)
def test_the_size_of_an_element_is_torchs(dtype: torch.dtype) -> None:
    name = str(dtype).removeprefix("torch.")
    if not name.startswith("bits"):  # which count theirs in eights or more
        assert size_of(name) == dtype.itemsize


def test_the_dtypes_of_parameters_and_buffers_are_known_and_saved() -> None:
    model = nn.Sequential(nn.Embedding(9, 4, dtype=torch.bfloat16), nn.BatchNorm1d(5, dtype=torch.float64))
    run = analyze(model.bfloat16(), "tokens:1x5").run
    assert (run.param_dtypes, run.buffer_dtypes) == (("bfloat16",), ("bfloat16", "int64"))
    assert offered(run) == ("bfloat16", "float32", "float16")
    table = analyze(nn.Linear(4, 4), "4", dtype="float16")
    assert CostTable.from_json(table.to_json()).run.param_dtypes == ("float16",)
    assert listed(table.run) == "float16"


def test_a_table_saved_before_dtypes_were_has_none(browser: Any, tmp_path: Path) -> None:
    text = analyze(nn.Embedding(4, 4), "tokens:3x5").to_json()
    old = CostTable.from_json(text.replace('"param_dtypes": [\n   "float32"\n  ]', '"param_dtypes": []'))
    path = tmp_path / "old.html"
    path.write_text(html(old), encoding="utf-8")
    with opened(browser, path, "#n=5&dtype=float16") as found:
        assert found.text("[data-card=params] .small") == "16; 64 B"
        assert found.text("[data-card=activations] .small") == "60 distinct outputs; a batch of 3"
        assert found.text("#recomputed") == ""
        assert found.text("#wrong") == ""
        assert found.page.input_value("[data-state=n]") == "3"


# Models


class Large(nn.Module):
    """Another kernel, with memory of its own, from a batch of 20 on."""

    def forward(self, x):  # type: ignore[no-untyped-def]
        return x * (2 * x if len(x) < 20 else (2 * x).float().to(x.dtype) + 1)


class OneByOne(nn.Module):
    def forward(self, x):  # type: ignore[no-untyped-def]
        return torch.stack([(2 * item).relu() for item in x])


class OnlyWide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return F.linear(x, self.fc.weight.float(), self.fc.bias)


class Checking(nn.Module):
    """A value is read only to raise an error, whatever the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):  # type: ignore[no-untyped-def]
        y = self.fc(x)
        if torch.isnan(y).any():
            raise ValueError("not a number")
        return y


class Picking(Checking):
    """It checks as well, yet how many rows go on depends on data."""

    def forward(self, x):  # type: ignore[no-untyped-def]
        return super().forward(x[x[:, 0] > 0])


class FromTwo(nn.Module):
    """A training step needs a batch of 2, as that of Inception v3 does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.norm(self.fc(x))


class Gathered(nn.Module):
    def forward(self, ids, table):  # type: ignore[no-untyped-def]
        return table[ids]


def follows(model: nn.Module, inputs: Any, **said: Any) -> Any:
    return page_of(model, inputs, Said(saved=True, **said))[1].scaling


def test_only_batches_up_to_which_runs_agree_are_offered(browser: Any, tmp_path: Path) -> None:
    table, beside = page_of(Large(), "4", Said(convention="full"))
    assert (beside.scaling.least, beside.scaling.most, beside.scaling.no_batch) == (1, 8, "")
    path = tmp_path / "large.html"
    path.write_text(html(table, None, beside), encoding="utf-8")
    with opened(browser, path, "#n=9") as found:
        assert found.text("#wrong") == "batch: a whole number from 1 to 8; still showing batch 1"
        assert found.text("#recomputed") == ""
        found.choose("n", "8")
        assert found.text("#wrong") == ""
        assert found.text("#recomputed") == "Recomputed for a batch of 8 in float32."


def test_a_model_that_goes_through_its_batch_is_not_run_for_a_large_one() -> None:
    scaling = follows(OneByOne(), "4")
    assert (scaling.least, scaling.most) == (1, 64)


def test_a_dtype_in_which_a_model_is_another_is_left_out() -> None:
    scaling = follows(t5(), ("input_ids=tokens:1x12", "decoder_input_ids=tokens:1x5"))
    assert list(scaling.dtypes) == ["float32", "bfloat16"]  # T5 cuts off infinities in float16
    assert scaling.no_dtype == "no float16 (the layers that run are others in float16)"
    only = follows(OnlyWide(), "4")
    assert list(only.dtypes) == ["float32"]
    assert only.no_dtype.startswith("no float16 (it does not run in float16: ")
    assert "; no bfloat16 (it does not run in bfloat16: " in only.no_dtype
    assert only.no_batch == ""


def test_given_tensors_keep_their_batch_and_may_have_another_dtype() -> None:
    scaling = follows(nn.Linear(4, 4), torch.ones(3, 4))
    assert scaling.no_batch == "its inputs were given with their batch"
    assert (scaling.least, scaling.most) == (3, 3)
    assert list(scaling.dtypes) == ["float32", "float16", "bfloat16"]
    there = analyze(nn.Linear(4, 4), torch.ones(3, 4), dtype="float16")
    assert scaling.value(("layer", 0, "activation_bytes"), 48, 3, "float16") == there.totals.activation_bytes == 24


def test_shapes_given_whole_take_another_batch_if_all_start_with_theirs() -> None:
    model = nn.Embedding(9, 4)
    scaling = follows(model, "tokens:4x5")
    assert (scaling.no_batch, scaling.no_dtype, scaling.batch) == ("", "", 4)
    there = analyze(model, "tokens:7x5", dtype="float16")
    assert scaling.value(("layer", 0, "activation_bytes"), 320, 7, "float16") == there.totals.activation_bytes == 280
    several = follows(nn.Bilinear(5, 3, 2), ("input1=4x5", "input2=4x3"))
    assert several.no_batch == ""
    other = follows(Gathered(), ("tokens:4x5", "table=9x3"))
    assert "already starts with 4, so that a batch of " in other.no_batch
    assert list(other.dtypes) == ["float32", "float16", "bfloat16"]


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_what_checks_read_does_not_stop_the_controls(mode: str) -> None:
    said = Said(mode=mode, saved=True)
    table, beside = page_of(Checking(), "4", said)
    scaling = beside.scaling
    assert [item.op for item in table.coverage.assumed] == ["check"]
    assert (scaling.no_batch, scaling.no_dtype, list(scaling.dtypes)) == ("", "", ["float32", "float16", "bfloat16"])
    there = figures_of(analyze(Checking(), "4", batch=7, dtype="float16", mode=mode, saved=True))
    assert {
        place: scaling.value(place, base, 7, "float16") for place, base in figures_of(table).items() if base is not None
    } == {place: value for place, value in there.items() if value is not None}


def test_sizes_that_depend_on_data_stop_the_controls() -> None:
    assert follows(Picking(), "4").no_batch == "sizes of it depend on data"


def test_rows_until_a_run_stopped_are_those_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "stops.py").write_text(
        "from torch import nn\n\n\nclass Stops(nn.Linear):\n    def forward(self, x):\n"
        "        y = super().forward(x)\n        return y * int(y.sum())\n\n\ndef make():\n    return Stops(4, 4)\n"
    )
    page = tmp_path / "stops.html"
    arguments = [f"{tmp_path}/stops.py:make", "-i", "4", "--partial", "--html", "-o", str(page)]
    assert CliRunner().invoke(report, arguments, standalone_mode=False).return_value == 2
    said = "Batch and dtype are as they were run: the run stopped before its end."
    assert said in page.read_text(encoding="utf-8")


def test_what_batch_1_cannot_tell_is_unknown_there(browser: Any, tmp_path: Path) -> None:
    table, beside = page_of(FromTwo(), "4", Said(saved=True, batch=2))
    assert beside.scaling.first["memory", 3, "bytes"] == (None, None)
    path = tmp_path / "two.html"
    path.write_text(html(table, None, beside), encoding="utf-8")
    with opened(browser, path, "#n=1") as found:
        assert found.text("[data-card=saved] .big") == "unknown"
        assert found.text("[data-memory='3'] td:nth-child(3)") == "unknown"
        assert found.text("[data-memory='6'] td:nth-child(3)") == "unknown"  # of which it is a part
        assert found.page.locator(".needs .stamp:visible").all_inner_texts() == [
            "For batch 2, float32: does not follow the controls."
        ]
        found.choose("n", "3")
        saved = analyze(FromTwo(), "4", batch=3, saved=True).memory[3].bytes
        assert saved is not None
        assert found.text("[data-card=saved] .big") == human_bytes(saved)
        assert found.page.locator(".needs .stamp:visible").count() == 0


# Text


def test_figures_are_rounded_as_in_the_page(browser: Any, tmp_path: Path) -> None:
    """Halves go to the even digit, whatever binary fractions make of them; here and in the script alike."""
    path = tmp_path / "half.html"
    path.write_text(html(analyze(nn.Linear(1014, 1000), "1014")), encoding="utf-8")
    assert '<p class="big">1.02 M</p>' in path.read_text(encoding="utf-8")
    with opened(browser, path) as found:
        assert found.text("[data-card=params] .big") == "1.02 M"
    assert (human_count(1_015_000), human_count(1_005_000)) == ("1.02 M", "1.00 M")
    assert (percent(7, 2000), percent(1, 16), percent(1, 10**6)) == ("0.4%", "6.2%", "<0.1%")
    assert human_count(999_999) == "1.00 M"
    assert human_bytes(-3 * 2**20) == "-3.00 MiB"
