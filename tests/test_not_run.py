"""A model that is not run: its parameters alone, and nothing that needs a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vggcost import analyze, memory
from vggcost.cli.main import main
from vggcost.errors import InputError, TraceError
from vggcost.records import OF_RUN, OF_TRAINING, CostTable
from vggcost.report import FORMATS, notebook, render


class Two(nn.Module):
    """A shared layer, a buffer, another dtype, and inputs that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4))
        self.shared = self.body[0]
        self.head = nn.Linear(4, 2, bias=False).half()
        self.head.requires_grad_(False)

    def forward(self, x, y):  # type: ignore[no-untyped-def]
        return self.head(self.body(x).half()) + y


class Tabled(nn.Module):
    """It takes nothing, so that it is simply run."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Linear(3, 4)

    def forward(self):  # type: ignore[no-untyped-def]
        return self.table(torch.ones(2, 3))


class Called(nn.ModuleList):
    """A list that its class makes callable."""

    def __call__(self, x):  # type: ignore[no-untyped-def]
        return self[0](x)


def parts(model: nn.Module) -> dict[str, tuple[int, int]]:
    """What each module holds itself, from its own tensors, a shared one at its first path."""
    return {
        path: (sum(p.numel() for p in own), sum(p.nbytes for p in own))
        for path, module in model.named_modules()
        if (own := list(module.parameters(recurse=False)))
    }


CONTAINERS = [
    nn.ModuleList([nn.Linear(3, 4), nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())]),
    nn.ModuleDict({"encoder": nn.Linear(2, 2), "decoder": nn.GRU(2, 3)}),
    nn.ParameterList([nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))]),
    nn.ParameterDict({"scale": nn.Parameter(torch.ones(5))}),
    nn.Module(),
]


@pytest.mark.parametrize(
    ("model", "inputs"), [(Two(), "none"), (Two(), ["none"]), *((model, None) for model in CONTAINERS)]
)
def test_parameters_are_those_that_the_modules_hold(model: nn.Module, inputs: Any) -> None:
    table = analyze(model, inputs)
    assert {row.path: (row.params, row.param_bytes) for row in table.layers if row.params} == parts(model)
    assert table.totals.params == sum(p.numel() for p in model.parameters())
    assert table.totals.param_bytes == sum(p.nbytes for p in model.parameters())
    assert table.totals.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    for figures in (table.totals, *table.layers):
        assert {getattr(figures, name) for name in (*OF_RUN, *OF_TRAINING)} == {None}
    assert (table.weight_layers, table.memory, table.run.inputs) == (None, (), ())
    assert table.run.note.endswith(
        "parameters only" if inputs is None else "parameters only; give what goes in with -i"
    )
    assert CostTable.from_json(table.to_json()) == table


def test_dtypes_of_parameters_and_buffers_are_told() -> None:
    table = analyze(Two(), "none")
    assert (table.run.param_dtypes, table.run.buffer_dtypes) == (("float32", "float16"), ("float32", "int64"))
    assert analyze(Two(), "none", dtype="float64").totals.param_bytes == 8 * 32


@pytest.mark.parametrize("model", [Two(), *CONTAINERS])
@pytest.mark.parametrize("depth", [None, 1])
@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_shows_such_a_table(format_: str, depth: int | None, model: nn.Module) -> None:
    table = analyze(model, "none" if isinstance(model, Two) else None)
    text = render(table, format_, depth)
    assert format_ == "csv" or "arameters only" in text
    assert "None" not in text
    notebook(table)


def test_the_page_has_the_rows() -> None:
    text = render(analyze(Two(), "none"), "html")
    assert '<th scope="row">body.0</th><td>Linear</td><td>–</td><td class="n">16</td>' in text
    assert '<th scope="row">parameters in</th><td colspan="3">float32, float16</td>' in text
    assert "MACs" not in text


def test_what_can_be_run_is_run() -> None:
    assert analyze(Tabled()).totals.macs == 2 * 3 * 4
    assert analyze(Called([nn.Linear(3, 4)]), "3").totals.macs == 12
    assert analyze("vgg16").totals.macs == 15_470_264_320


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: analyze(Two()), InputError, "-i none lists its parameters alone"),
        (lambda: analyze(Two(), "none", mode="training"), InputError, "this needs a run, and no input was given; give"),
        (lambda: memory(Two(), "none"), InputError, "this needs a run, and no input was given; give what goes in"),
        (lambda: memory(nn.ModuleList()), InputError, "this needs a run, and ModuleList has no forward"),
        (lambda: analyze(nn.LazyLinear(3), "none"), TraceError, "weight is a lazy parameter"),
    ],
)
def test_what_needs_a_run_says_so(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as found:
        call()
    assert "\n" not in str(found.value)


NET = "from torch import nn\n\n\ndef make(n=4):\n    return nn.ModuleList([nn.Linear(3, n), nn.Linear(n, 5)])\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("report NET", 0, "parameters only"),
        ("compare NET vgg16", 0, "VGG-D"),
        ("compare NET vgg16 --html", 2, "or compare the parameters with --format table"),
        ("report NET --html -o page.html", 0, "page.html"),
        ("report vgg16 -i none", 0, "138,357,544"),
        ("diff a.json b.json", 0, "params"),
        ("diff a.json b.json --format markdown", 0, "| layer | params | what differs |"),
        ("diff a.json b.json --format json", 0, '"macs"'),
        ("compare a.json b.json", 0, "–"),
        ("lock NET", 0, "vggcost.lock.json"),
        ("check NET --baseline gone.json", 2, "there is no baseline"),
        ("draw NET", 2, "the model was not run"),
        ("verify NET", 2, "this needs a run"),
    ],
)
def test_commands_work_on_parameters_or_say_why_not(
    words: str,
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "net.py").write_text(NET)
    for name, n in (("a", 4), ("b", 6)):
        table = analyze(nn.ModuleList([nn.Linear(3, n), nn.Linear(n, 5)]))
        (tmp_path / f"{name}.json").write_text(table.to_json())
    with pytest.raises(SystemExit) as ended:
        main(words.replace("NET", "./net.py:make").split())
    assert ended.value.code in (status, None if status == 0 else status)
    shown = capsys.readouterr()
    assert said in (shown.err if status else shown.out)


def test_growth_is_caught_by_parameters_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    codes = []
    for words, n in (("lock", 4), ("check", 4), ("check", 6)):
        (tmp_path / "net.py").write_text(NET.replace("n=4", f"n={n}"))
        with pytest.raises(SystemExit) as ended:
            main([words, "./net.py:make"])
        codes.append(ended.value.code)
    assert codes == [0, 0, 1]
