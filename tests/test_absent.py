"""What a run does not tell is nothing, and not 0: in Python, in JSON and CSV, in tables, differences and baselines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from torch import nn

from tests.conftest import ROOT
from vggcost import CostTable, VggcostError, analyze
from vggcost._guard import measure
from vggcost.guard.baseline import dump_baseline, parse_baseline
from vggcost.guard.check import figure
from vggcost.guard.config import Spec
from vggcost.records import OF_TRAINING
from vggcost.report import render
from vggcost.report.difference import difference, render_difference
from vggcost.report.view import fold


@pytest.fixture(scope="module")
def tables() -> dict[str, CostTable]:
    net = nn.Sequential(nn.Linear(4, 3), nn.Identity(), nn.Linear(3, 2))
    return {mode: analyze(net, "4", mode=mode) for mode in ("inference", "training")}


@pytest.mark.parametrize("name", OF_TRAINING)
def test_inference_does_not_tell_what_a_training_step_does(name: str, tables: dict[str, CostTable]) -> None:
    table, step = tables["inference"], tables["training"]
    assert getattr(table.totals, name) is None
    assert {getattr(layer, name) for layer in table.layers} == {None}
    assert getattr(fold(table, 0)[0], name) is None
    assert (getattr(step.totals, name), getattr(fold(step, 0)[0], name)) == (
        sum(getattr(layer, name) for layer in step.layers),
        sum(getattr(layer, name) for layer in step.layers),
    )
    # an Identity was traced, and has none: 0
    assert next(getattr(layer, name) for layer in step.layers if layer.kind == "Identity") == 0


def test_on_paper(tables: dict[str, CostTable]) -> None:
    step = tables["training"].totals
    # gradients of both weights and of the second layer's input
    assert step.backward_macs == 4 * 3 + 2 * 3 * 2
    assert step.step_flops == step.flops + 2 * step.backward_macs
    assert tables["inference"].totals.step_flops is None


@pytest.mark.parametrize("name", OF_TRAINING)
def test_machines_get_null_and_an_empty_cell(name: str, tables: dict[str, CostTable]) -> None:
    table = tables["inference"]
    data = json.loads(render(table, "json"))
    assert data["totals"][name] is None
    assert {layer[name] for layer in data["layers"]} == {None}
    assert {json.loads(line)[name] for line in render(table, "jsonl").splitlines()[1:]} == {None}
    assert {row[name] for row in csv.DictReader(io.StringIO(render(table, "csv")))} == {""}
    assert {row[name] for row in csv.DictReader(io.StringIO(render(tables["training"], "csv")))} > {"0"}
    assert table.to_frame()[name].isna().all()
    assert CostTable.from_json(table.to_json()) == table


def test_tables_that_wrote_0_are_read(tables: dict[str, CostTable]) -> None:
    table = tables["inference"]
    data = json.loads(table.to_json())
    for line in (data["totals"], *data["layers"]):
        line.update(dict.fromkeys(OF_TRAINING, 0))
    assert CostTable.from_json(json.dumps(data)) == table
    data["layers"][0]["saved_bytes"] = 8
    with pytest.raises(VggcostError, match="saved_bytes of a run that does not tell it"):
        CostTable.from_json(json.dumps(data))


def test_a_difference_says_what_both_runs_tell(tables: dict[str, CostTable]) -> None:
    step, table = tables["training"], tables["inference"]
    metrics = json.loads(render_difference(difference(table, step), "json"))["metrics"]
    assert metrics["saved_bytes"] == {"before": None, "after": step.totals.saved_bytes, "change": None, "layers": []}
    metrics = json.loads(render_difference(difference(step, step), "json"))["metrics"]
    assert metrics["saved_bytes"]["change"] == 0


def test_a_baseline_leaves_it_out_and_reads_older_ones() -> None:
    entry = measure(Spec("mine", ""), nn.Linear(4, 3), "4")
    text = dump_baseline([entry])
    assert not any(name in text for name in OF_TRAINING)
    older = text.replace(
        '"activation_bytes"', '"saved_bytes": 0, "backward_macs": 0, "backward_flops": 0, "activation_bytes"'
    )
    for written in (text, older):
        found = parse_baseline(written, Path("lock.json"))["mine"]
        assert found.table.totals == entry.table.totals
        assert (figure(found, "saved_bytes"), figure(found, "saved_bytes", "*")) == (None, None)
        assert dump_baseline([found]) == text


def test_the_saved_tables_of_the_docs_are_read() -> None:
    for path in (ROOT / "docs" / "saved").glob("*.json"):
        table = CostTable.from_json(path.read_text(encoding="utf-8"))
        assert (table.totals.saved_bytes is None) == (table.run.mode == "inference")
