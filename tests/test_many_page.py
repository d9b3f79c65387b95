"""The page of a sweep: thousands of rows in one small file, and every control in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import html5lib
import pytest

from tests.browser import browser, opened
from tests.conftest import command
from tests.test_report import Texts
from vggcost.errors import FileError, OptionError, TableError
from vggcost.report.many import FIGURES, many, render_many
from vggcost.sweeps import COLUMNS, Row
from vggcost.sweeps.store import Store

__all__ = ["browser"]

FAILED = {"failed: <b>no</b> MODEL": ["timm:<i>", "timm:b"]}


def rows_of(count: int) -> list[Row]:
    random = Random(5)
    found = []
    for n in range(count):
        params = random.randrange(10**5, 10**9)
        figures = {
            "params": params, "macs": int(params * random.uniform(5, 200)), "activations": random.randrange(10**5, 10**8),
            "weight_layers": random.randrange(3, 200), "batch": 1, "rows": 3, "ops": 4,
        }  # fmt: skip
        figures |= {
            "flops": 2 * figures["macs"],
            "activation_bytes": 4 * figures["activations"],
            "param_bytes": 4 * params,
        }
        texts = {
            "model": f"timm:net{n}",
            "mode": "inference",
            "convention": "torch",
            "status": "ok",
            "shapes": "1x3x8x8",
        }
        empty = {name: "" if kind is str else None for name, kind in COLUMNS.items()}
        found.append(empty | figures | texts)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("many")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return rows_of(3000)


@pytest.fixture(scope="module")
def page(folder: Path, rows: list[Row]) -> Path:
    path = folder / "many.html"
    path.write_text(render_many(many(rows, FAILED), "html"), encoding="utf-8")
    return path


def best(rows: list[Row], x: str, y: str) -> set[str]:
    return {
        row["model"] for row in rows
        if not any(o[x] <= row[x] and o[y] <= row[y] and (o[x], o[y]) != (row[x], row[y]) for o in rows)
    }  # fmt: skip


# What is found


def test_the_front_is_of_the_rows_that_nothing_beats() -> None:
    some = rows_of(300)
    for x, y in (("macs", "activation_bytes"), ("params", "macs")):
        found = many(some, {}, x=x, y=y)
        assert {found.rows[at]["model"] for at in found.front} == best(some, x, y)


def test_with_errors_it_is_of_what_does_its_work_best() -> None:
    some = rows_of(300)
    random = Random(3)
    errors = {row["model"]: random.uniform(10, 40) for row in some[:200]}
    found = many(some, {}, errors=errors)
    known = [{**row, "error": errors[row["model"]]} for row in some[:200]]
    assert {found.rows[at]["model"] for at in found.front} == best(known, "macs", "error")
    assert found.columns[-1] == "error"


def test_rows_of_one_model_are_told_apart_by_what_differs() -> None:
    one = rows_of(1)[0]
    found = many([one, one | {"batch": 8}, one | {"batch": 8, "mode": "training"}], {})
    assert found.names == (
        "timm:net0 · N=1 · inference", "timm:net0 · N=8 · inference", "timm:net0 · N=8 · training",
    )  # fmt: skip


def test_every_form_has_every_row(rows: list[Row]) -> None:
    found = many(rows, FAILED, columns=tuple(FIGURES), sort="-params")
    read = list(csv.DictReader(io.StringIO(render_many(found, "csv"))))
    assert [int(row["params"]) for row in read] == sorted((row["params"] for row in rows), reverse=True)
    data = json.loads(render_many(found, "json"))
    assert [row["macs"] for row in data["rows"]] == [int(row["macs"]) for row in read]
    assert sum(row["front"] for row in data["rows"]) == sum(int(row["front"]) for row in read) == len(found.front)
    assert render_many(found, "markdown").count("\n| ") == len(rows) + 1
    assert render_many(found, "table").count("timm:net") == len(rows)


def test_what_makes_no_sense_is_refused(rows: list[Row]) -> None:
    for options in ({"sort": "size"}, {"x": "size"}, {"columns": ("macs", "size")}):
        with pytest.raises(OptionError, match="no column 'size'"):
            many(rows, {}, **options)
    with pytest.raises(OptionError, match="no model of this sweep ran"):
        many([row | {"status": "failed"} for row in rows], {})


def test_from_the_command_line(tmp_path: Path) -> None:
    some = rows_of(30)
    with Store(tmp_path / "out.csv") as store:
        for row in some:
            store.add(row)
        store.add(some[0] | {"model": "timm:gone", "status": "failed", "reason": "timm:gone failed: no more"})
    (tmp_path / "results.csv").write_text("model,top1\nnet0.a1_in1k,81.5\nnet1,70\n", encoding="utf-8")
    done = command("compare", "--from", "out.csv", "--errors", "results.csv", "--format", "json", cwd=tmp_path)
    data = json.loads(done.stdout)
    assert {row["model"]: row["error"] for row in data["rows"] if row["error"]} == {"timm:net0": 18.5, "timm:net1": 30}
    assert data["failed"] == {"failed: no more": ["timm:gone"]}
    done = command("compare", "--from", "out.csv", "--html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "out.html\n")
    for words in (
        ("--from", "out.csv", "vgg16"), ("--from", "none.csv"), ("--from", "results.csv"), ("--axes", "macs,params"),
        ("--from", "out.csv", "--errors", "out.csv"), ("--from", "out.csv", "--format", "latex"),
        ("--from", "out.csv", "--axes", "macs,size"),
    ):  # fmt: skip
        done = command("compare", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), words


def test_errors_of_a_file(tmp_path: Path) -> None:
    from vggcost.cli.compare_sweep import read_errors

    path = tmp_path / "errors.csv"
    path.write_text("model,top1_error\nvgg16,28.4\n", encoding="utf-8")
    assert read_errors(str(path))["vgg16"] == 28.4
    path.write_text("model,top1\nvgg16,much\n", encoding="utf-8")
    with pytest.raises(TableError, match="not a number"):
        read_errors(str(path))
    with pytest.raises(FileError):
        read_errors(str(tmp_path / "none.csv"))


# The form


def test_one_small_valid_file(page: Path, rows: list[Row]) -> None:
    text = page.read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(text)
    assert len(text.encode()) <= 500_000
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}
    found = Texts(text)
    assert not [key for key, _ in found.attributes if key in {"style", "src"} or key.startswith("on")]
    identifiers = [value for key, value in found.attributes if key == "id"]
    assert len(identifiers) == len(set(identifiers))
    assert "default-src &#39;none&#39;" in text
    assert "unsafe" not in text
    assert "<b>no</b>" not in text
    assert render_many(many(rows, FAILED), "html") == text


def test_it_grows_with_the_rows_and_no_faster() -> None:
    sizes = [len(render_many(many(rows_of(n), {}), "html")) for n in (2000, 4000, 8000)]
    assert sizes[2] - sizes[1] < 2.2 * (sizes[1] - sizes[0])


# Reading it


def shown(found: Any) -> list[str]:
    return found.page.eval_on_selector_all(  # type: ignore[no-any-return]
        "table.summary tbody tr[data-row] th", "cells => cells.map(c => c.textContent)"
    )


def test_sorting_filtering_and_the_front(browser: Any, page: Path, rows: list[Row]) -> None:
    with opened(browser, page) as found:
        assert found.text("#shown") == "3,000 of 3,000 shown"
        assert len(shown(found)) < 200  # drawn as they are seen
        found.page.click("button[data-sort=macs]")
        ordered = sorted(rows, key=lambda row: row["macs"], reverse=True)
        assert [name.removeprefix("◆ ") for name in shown(found)[:20]] == [row["model"] for row in ordered[:20]]
        assert found.fragment() == "sort=-macs"
        found.page.eval_on_selector(".scroll.tall", "e => { e.scrollTop = 1500 * 27; }")
        found.page.wait_for_function(f"document.body.textContent.includes('{ordered[1500]['model']}')")
        found.choose("q", "net29 -net290")
        wanted = [row["model"] for row in rows if "net29" in row["model"] and "net290" not in row["model"]]
        assert found.text("#shown") == f"{len(wanted)} of 3,000 shown"
        assert found.page.eval_on_selector("svg .crowd", "e => e.getAttribute('d').split('M').length - 1") == len(
            wanted
        )
        found.choose("q", "")
        found.choose("show", "front")
        assert {name.removeprefix("◆ ") for name in shown(found)} == best(rows, "macs", "activation_bytes")


def test_figures_are_those_of_the_rows_to_the_digit(browser: Any, page: Path, rows: list[Row]) -> None:
    with opened(browser, page, "#num=exact&q=net77&sort=model") as found:
        cells = found.page.eval_on_selector_all(
            "table.summary tbody tr[data-row]", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
        )
        by_name = {row["model"]: row for row in rows}
        assert cells[0][0].endswith("timm:net77")
        for name, *values in cells:
            row = by_name[name.removeprefix("◆ ")]
            names = ("params", "macs", "flops", "activations", "activation_bytes")
            assert values == [f"{row[name]:,}" for name in names]


def test_keys_and_selection(browser: Any, page: Path, rows: list[Row]) -> None:
    with opened(browser, page) as found:
        found.page.keyboard.press("j")
        assert "model=timm%3Anet0" in found.fragment()
        found.page.keyboard.press("j")
        found.page.keyboard.press("k")
        assert found.page.locator("tr.selected").count() == 1
        assert found.page.eval_on_selector("svg .ring", "e => e.getAttribute('d')") != "M0 0"
        for key, words in (("f", "show=front"), ("e", "num=exact"), ("b", "bytes=MB")):
            found.page.keyboard.press(key)
            assert words in found.fragment()
        found.page.click("[data-do=reset]")
        assert found.fragment() == ""
        found.page.keyboard.press("/")
        assert found.page.evaluate("document.activeElement.id") == "filter"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(browser: Any, page: Path, scheme: str, width: int) -> None:
    with opened(browser, page, color_scheme=scheme, viewport={"width": width, "height": 900}) as found:
        assert found.violations() == []
        assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found.shot(f"many-{scheme}-{width}")


def test_without_a_script_the_front_is_there(browser: Any, page: Path, rows: list[Row]) -> None:
    with opened(browser, page, java_script_enabled=False) as found:
        text = found.page.locator("table.summary").inner_text()
        assert all(name in text for name in best(rows, "macs", "activation_bytes"))
        assert "needs a script" in found.page.content() or "shown by a script" in found.page.content()
