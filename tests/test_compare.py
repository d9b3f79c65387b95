"""Models side by side: figures, ratios, errors with their protocol, differences, and the page."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import html5lib
import pytest
from torch import nn

from tests.conftest import ROOT, command, published, python
from tests.test_report import Texts, scrubbed
from vggcost import CostTable, VggcostError, analyze
from vggcost.report.blocks import blocks_of, heading
from vggcost.report.compare_text import COMPARE_FORMATS, render_comparison
from vggcost.report.comparison import COLUMNS, compare
from vggcost.report.difference import DIFF_FORMATS, METRICS, difference, render_difference
from vggcost.zoo import FAMILIES

GetTable = Callable[..., CostTable]
TOTALS = {row["net"].lower(): row for row in published("vgg_totals_224.csv")}


@pytest.fixture(scope="module")
def family(zoo_table: GetTable) -> list[CostTable]:
    return [scrubbed(zoo_table(name, saved=True)) for name in FAMILIES["vgg"]]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_of_the_zoo(name: str, zoo_table: GetTable) -> None:
    result = compare([zoo_table(model) for model in FAMILIES[name]])
    assert [row.model for row in result.rows] == list(FAMILIES[name])
    for row in result.rows:
        if row.model in TOTALS:
            assert row.values["params"] == int(TOTALS[row.model]["params"])
            assert row.values["macs"] == int(TOTALS[row.model]["total_macs"])
        conv, fc, params = (row.values[key] for key in ("conv_params", "fc_params", "params"))
        assert isinstance(conv, int)
        assert isinstance(fc, int)
        assert isinstance(params, int)
        assert conv + fc <= params


def test_sorting_and_ratios(family: list[CostTable]) -> None:
    result = compare(family, ["macs"], sort="-macs", baseline="vgg_f")
    macs = [row.values["macs"] for row in result.rows]
    assert macs == sorted(macs, reverse=True)
    assert result.rows[0].ratios["macs"] == 19_632_062_464 / 724_005_632
    assert result.baseline == "VGG-F"


def test_errors_carry_their_protocol(family: list[CostTable]) -> None:
    result = compare(family, ["top5_error"])
    notes = dict(result.footnotes)
    by_model = {row.model: row for row in result.rows}
    assert by_model["vgg-d"].values["top5_error"] == 8.8
    assert "S=256, Q=256" in notes[by_model["vgg-d"].mark]
    assert "one central crop" in notes[by_model["vgg-f"].mark]
    crop = compare([table for table in family if table.run.model in ("vgg-f", "vgg-d")], ["top5_error"])
    assert len(crop.footnotes) == 1  # a protocol that all share is preferred
    assert crop.rows[1].values["top5_error"] == 9.9


def test_different_inputs_are_said_and_give_no_ratio(zoo_table: GetTable) -> None:
    tables = [zoo_table("alexnet"), zoo_table("vgg16")]
    assert "inputs differ: 1×3×227×227 for AlexNet" in compare(tables).notes[0]
    with pytest.raises(VggcostError, match="--allow-different-inputs"):
        compare(tables, baseline="alexnet")
    assert compare(tables, baseline="alexnet", allow_different_inputs=True).rows[1].ratios["macs"] > 21
    mixed = [zoo_table("vgg16"), zoo_table("vgg16", convention="full")]
    assert "conventions differ" in compare(mixed).notes[0]


def test_blocks_add_up_to_the_net(family: list[CostTable]) -> None:
    for table in family:
        blocks = blocks_of(table)
        assert sum(block.macs for block in blocks.values()) == table.totals.macs
        assert sum(block.params for block in blocks.values()) == table.totals.params
    blocks = blocks_of(next(t for t in family if t.run.model == "vgg-c"))
    assert blocks["4"].layers == ("conv3-256", "conv3-256", "conv1-256")


@pytest.mark.parametrize("format_", COMPARE_FORMATS)
def test_comparisons_are_the_same_every_time_and_from_saved_tables(format_: str, family: list[CostTable]) -> None:
    text = render_comparison(compare(family, list(COLUMNS), baseline="vgg-f"), format_)
    again = [CostTable.from_json(table.to_json()) for table in family]
    assert render_comparison(compare(again, list(COLUMNS), baseline="vgg-f"), format_) == text


def test_machine_formats(family: list[CostTable]) -> None:
    result = compare(family, ["params", "macs", "top5_error"], baseline="vgg-f")
    data = json.loads(render_comparison(result, "json"))
    assert data["rows"][7]["values"] == {"params": 138_357_544, "macs": 15_470_264_320, "top5_error": 8.8}
    assert "Table 3" in data["rows"][7]["errors_from"]
    rows = list(csv.DictReader(io.StringIO(render_comparison(result, "csv"))))
    assert rows[7]["macs"] == "15470264320"
    assert float(rows[7]["macs_ratio"]) > 21


def test_the_page(family: list[CostTable]) -> None:
    page = render_comparison(compare(family), "html")
    html5lib.HTMLParser(strict=True).parse(page)
    found = Texts(page)
    assert found.tags.count("script") == 3  # the theme, the data, the page's own
    assert not [name for name, _ in found.attributes if name == "style"]  # the policy forbids inline styles
    assert found.tags.count("svg") == 4 + 7 + 1  # charts, a drawing for each kernel, weights against the kernel
    identifiers = [value for name, value in found.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))
    references = {value[1:] for name, value in found.attributes if name == "href" and value}
    assert references <= set(identifiers)
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}
    for text in ("ZFNet", "ResNet-152", "Images per second", "conv1-512", "15.47 G"):
        assert text in page
    assert len(page.encode()) < 400_000


# Differences


def test_m_to_s_in_the_words_of_a_reader(zoo_table: GetTable) -> None:
    text = render_difference(difference(zoo_table("vgg-m"), zoo_table("vgg-s")), "table")
    assert text.startswith(
        "VGG-M → VGG-S: +961,536,000 MACs; conv4 +283,115,520, conv5 +283,115,520, conv2 +253,747,200, "
        "conv3 +141,557,760; what differs: pool1 3/3 for 3/2, conv2 stride 1 for 2 and padding 0 for 1, "
        "pool2 2/2 for 3/2, pool5 3/3 for 3/2; only in VGG-M: lrn2\n"
    )


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("vgg-f", "vgg-m", "conv1 out_channels 96 for 64 and kernel_size 7 for 11 and stride 2 for 4"),
        ("vgg-d", "vgg-e", "only in VGG-E (19): conv3_4, relu3_4, conv4_4"),
        ("vgg-c", "vgg-d", "conv3_3 kernel_size 3 for 1"),
        ("vgg16", "vgg16", "the same MACs, 15,470,264,320"),
        ("resnet-152", "resnet-152-v1.5", "conv3_1.conv1 stride 1 for 2"),
        ("vgg16", "googlenet", "only in VGG-D (16)"),
    ],
)
def test_what_differs_is_named(before: str, after: str, says: str, zoo_table: GetTable) -> None:
    assert says in render_difference(difference(zoo_table(before), zoo_table(after)), "table")


@pytest.mark.parametrize(("before", "after"), [("vgg-m", "vgg-s"), ("vgg16", "resnet-50"), ("vgg-f", "vgg-d-bn")])
def test_the_layers_account_for_the_whole_difference(before: str, after: str, zoo_table: GetTable) -> None:
    found = difference(zoo_table(before), zoo_table(after))
    for metric in METRICS:
        data = json.loads(render_difference(found, "json"))["metrics"][metric]
        old, new = (getattr(table.totals, metric) for table in (found.before, found.after))
        if old is None:  # a run in inference does not tell it
            assert (new, data["change"]) == (None, None)
            continue
        change = new - old
        assert sum(c.change(metric) for c in found.changes) == change
        assert data["change"] == change == sum(layer["change"] for layer in data["layers"])


def test_nets_without_common_names_are_aligned_by_kind() -> None:
    a = analyze(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), "4")
    b = analyze(_named(), "4")
    changes = difference(a, b).changes
    assert [(change.path, change.change("macs")) for change in changes if change.change("macs")] == [
        ("first (for 0)", 8), ("last (for 2)", 4),
    ]  # fmt: skip


def _named() -> nn.Module:
    net = nn.Sequential()
    for name, layer in (("first", nn.Linear(4, 10)), ("act", nn.ReLU()), ("last", nn.Linear(10, 2))):
        net.add_module(name, layer)
    return net


def test_every_diff_format(zoo_table: GetTable) -> None:
    found = difference(zoo_table("vgg-m"), zoo_table("vgg-s"))
    for format_ in DIFF_FORMATS:
        assert "conv4" in render_difference(found, format_)


# The commands


def test_saved_tables_need_no_torch(tmp_path: Path) -> None:
    for name in ("vgg-m", "vgg-s"):
        text = command("report", name, "--format", "json").stdout
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    for arguments in (
        ["compare", "vgg-m.json", "vgg-s.json", "--format", "json"],
        ["diff", "vgg-m.json", "vgg-s.json"],
    ):
        code = (
            "import sys; from vggcost.cli import main\n"
            f"try: main({arguments!r})\n"
            "finally: assert not {'torch', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules)"
        )
        done = python("-c", code, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert {"compare": '"macs": 2637708320', "diff": "+961,536,000 MACs"}[arguments[0]] in done.stdout
    piped = command(
        "diff", "-", "vgg-s.json", cwd=tmp_path, stdin=(tmp_path / "vgg-m.json").read_text(encoding="utf-8")
    )
    assert piped.stdout.startswith("VGG-M → VGG-S: +961,536,000 MACs")


def test_the_family_page_is_written(tmp_path: Path) -> None:
    done = command("compare", "--family", "vgg", "--html", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "vgg.html\n", "")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("compare", "give models to compare, --family, or --from FILE"),
        ("compare --family vggg", "did you mean vgg"),
        ("compare vgg16 vgg61", "did you mean"),
        ("compare vgg16 --columns parms", "did you mean params"),
        ("compare vgg16 --sort -mac", "did you mean macs"),
        ("compare vgg16 vgg19 --baseline vgg11", "not among the models"),
        ("compare alexnet vgg16 --baseline alexnet", "inputs differ"),
        ("compare missing.json", "No such file"),
        ("diff vgg16", "Missing argument"),
        ("diff - -", "only one of the two"),
        ("diff vgg16 missing.json", "No such file"),
        ("stack --kernel 6", "an even kernel (6×6) has no equal"),
        ("stack --kernel 1", "odd and between 3 and"),
        ("stack --kernel 7 --size 5 --padding valid", "too small for 7×7"),
        ("stack --channels 0", "--channels must be 1 or more"),
        ("claims vgg61", "no claims about"),
        ("claims --source nobody", "no claims from a source"),
        ("explain vgg16 apples", "accepted forms"),
        ("explain vgg61 15.3G", "did you mean"),
    ],
)
def test_bad_input(line: str, says: str, tmp_path: Path) -> None:
    done = command(*line.split(), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_examples_run(tmp_path: Path) -> None:
    done = python(str(ROOT / "examples" / "family.py"), str(tmp_path / "family.html"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"VGG-D \(16\)\s+138.36 M \(×2.27\)\s+15.47 G \(×21.37\)", done.stdout)
    assert "Blocks side by side" in (tmp_path / "family.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # what is tested here, whatever is installed
    notebook = nbformat.read(ROOT / "examples" / "family.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit notebooks without their outputs"
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = json.dumps([cell.get("outputs") for cell in notebook.cells])
    assert "138357544" in shown
    assert "VGG-F (CNN-F)" in shown


def test_published_errors_are_those_of_the_published_net() -> None:
    columns = ["macs", "top5_error"]
    for model, options, inputs, known in (
        ("vgg16", {}, None, True),
        ("vgg16", {}, "3x224x224", True),
        ("alexnet", {}, None, True),
        ("vgg16", {"classes": 10}, None, False),
        ("vgg16", {"features": True}, "3x64x64", False),
    ):
        (row,) = compare([analyze(model, inputs, **options)], columns).rows
        assert (row.values["top5_error"] is not None) is known, (model, options, inputs)


def test_conv_and_fc_params_are_those_of_convolutions_and_linear_layers() -> None:
    deformable = pytest.importorskip("torchvision").ops.DeformConv2d

    class Gates(nn.LSTM):
        pass

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offsets, self.deformed = nn.Conv2d(4, 18, 1), deformable(4, 8, 3, padding=1)
            self.up, self.norm = nn.ConvTranspose2d(8, 64, 1), nn.BatchNorm2d(64)
            self.gates, self.cell = Gates(64, 64, batch_first=True), nn.GRUCell(64, 64)
            self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
            self.head = nn.Linear(64, 10)

        def forward(self, x):
            x = self.norm(self.up(self.deformed(x, self.offsets(x)))).flatten(2).transpose(1, 2)
            x, _ = self.gates(x)
            x, _ = self.attention(x, x, x)
            return self.head(self.cell(self.head(x).new_zeros(x.shape[0], 64) + x[:, 0]))

    table = analyze(Mixed(), "4x8x8")
    row = compare([table]).rows[0].values
    # filters and biases on paper: 1×1, 3×3 deformable, transposed 1×1
    assert row["conv_params"] == (18 * 4 + 18) + (8 * 4 * 9 + 8) + (8 * 64 + 64)
    # Q, K, V and output projections with biases, the head once though it is called twice; no gates, no norm
    assert row["fc_params"] == (4 * 64 * 64 + 4 * 64) + (64 * 10 + 10)
    recurrent = 4 * (64 * 64 + 64 * 64 + 64 + 64) + 3 * (64 * 64 + 64 * 64 + 64 + 64)
    assert row["params"] == row["conv_params"] + row["fc_params"] + recurrent + 2 * 64
    blocks = blocks_of(table)
    assert list(blocks) == ["1", "other", "recurrent", "fc"]
    assert (blocks["recurrent"].params, blocks["recurrent"].layers) == (recurrent, ("Gates-64", "GRUCell-64"))
    assert [heading(name) for name in blocks] == ["stride 1", "no stride", "recurrent", "fully connected"]


def test_an_lstm_is_not_fully_connected() -> None:
    row = compare([analyze(nn.LSTM(64, 64, batch_first=True), "7x64")]).rows[0].values
    assert (row["params"], row["fc_params"], row["conv_params"]) == (33_280, 0, 0)
