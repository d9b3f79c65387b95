"""Drawings: what becomes a volume, to what scale, and the files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import html5lib
import pytest
from torch import nn

from tests.conftest import command
from vggcost import CostTable, VggcostError, analyze
from vggcost.report.drawing import COSTS, PICTURES, drawing, picture
from vggcost.report.volumes import volumes

GetTable = Callable[..., CostTable]


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "googlenet", "resnet-50", "resnet-152"])
def test_every_layer_is_in_one_volume(name: str, zoo_table: GetTable) -> None:
    table = zoo_table(name)
    rows = [row for volume in volumes(table) for row in volume.rows]
    assert rows == list(range(len(table.layers)))
    assert len(volumes(table)) <= 60
    assert [row for volume in volumes(table, 7) for row in volume.rows] == rows


def test_a_chain_and_a_net_of_blocks(zoo_table: GetTable) -> None:
    vgg = volumes(zoo_table("vgg16"))
    convolutions = [f"conv{block}_{i}" for block, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, count + 1)]
    assert [v.name for v in vgg] == [
        name for n in range(1, 6) for name in (*[c for c in convolutions if c[4] == str(n)], f"pool{n}")
    ] + ["fc6", "fc7", "fc8"]
    assert (vgg[0].channels, vgg[0].height, vgg[0].width) == (64, 224, 224)
    assert not any(volume.joins for volume in vgg)
    blocks = [v for v in volumes(zoo_table("resnet-50")) if v.joins]
    assert [v.kind for v in blocks] == ["Bottleneck"] * 16
    assert [v.channels for v in blocks] == [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    inception = [v for v in volumes(zoo_table("googlenet")) if v.joins]
    assert [v.channels for v in inception] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]


def test_the_scale(zoo_table: GetTable) -> None:
    svg = drawing(zoo_table("vgg16"))
    faces = re.findall(r'<path class="q\d"[^>]* d="M[\d.]+ [\d.]+v([\d.]+)h([\d.]+)l', svg)
    wide = [float(w) for _, w in faces]
    high = [float(h) for h, _ in faces]
    found = volumes(zoo_table("vgg16"))
    assert len(faces) == len(found) + 1  # and the input
    for volume, h, w in zip(found, high[1:], wide[1:], strict=True):
        assert h == pytest.approx(max(3.0, volume.height * high[1] / 224), abs=0.1)
        assert w == pytest.approx(max(6.0, volume.channels**0.5 * wide[-1] / 1000**0.5), abs=0.1)


def test_channels_that_come_last_and_sequences() -> None:
    class Last(nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return x.permute(0, 2, 3, 1) + 1

    (volume,) = volumes(analyze(nn.Sequential(Last()), "3x8x8"))
    assert (volume.channels, volume.height, volume.width) == (3, 8, 8)
    (volume,) = volumes(analyze(nn.Sequential(nn.Linear(16, 32)), "10x16"))
    assert (volume.channels, volume.height, volume.width) == (32, 10, 1)


def test_the_darkest_has_most(zoo_table: GetTable) -> None:
    table = zoo_table("vgg16")
    for cost in ("params", "macs", "activation_bytes"):
        most = max(volumes(table), key=lambda v: sum(getattr(table.layers[row], cost) for row in v.rows))
        darkest = re.findall(
            r'<a class="volume" href="#layer=(\w+)"[^>]*>\n<title>[^<]*</title>\n<path class="q5"', drawing(table, cost)
        )
        assert most.name in darkest
    with pytest.raises(VggcostError, match="unknown cost 'saved_bytes'"):
        drawing(table, "saved_bytes")
    assert "q5" in drawing(zoo_table("vgg16", mode="training"), "saved_bytes")
    assert set(COSTS) == {"params", "macs", "activation_bytes", "saved_bytes"}


@pytest.mark.parametrize("form", PICTURES)
def test_files(form: str, tmp_path: Path) -> None:
    for run in ("one", "two"):
        done = command("draw", "vgg11", "-o", f"{run}.{form}", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{run}.{form}\n", "")
    data = (tmp_path / f"one.{form}").read_bytes()
    assert data == (tmp_path / f"two.{form}").read_bytes()  # the same bytes every run
    assert data.startswith({"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[form])


def test_a_saved_table_is_drawn_too(tmp_path: Path, zoo_table: GetTable) -> None:
    (tmp_path / "net.json").write_text(zoo_table("vgg11").to_json(), encoding="utf-8")
    assert command("draw", "net.json", cwd=tmp_path).stdout == "net.svg\n"
    assert (tmp_path / "net.svg").read_bytes() == picture(zoo_table("vgg11"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("vgg11 -o net.gif", "cannot draw 'net.gif'; its name must end in .svg, .png or .pdf"),
        ("vgg11 --cost parms", "unknown cost 'parms' (did you mean params?)"),
        ("vgg11 --cost saved_bytes", "unknown cost 'saved_bytes'"),
        ("vgg61", "vgg61"),
    ],
)
def test_bad_input(line: str, says: str, tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = command("draw", *line.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_are_text() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in ("<script>alert(1)</script>", "a\"'&", "$x^{2$", "x" * 500, "مرحبا\u202e"):
                self.add_module(name, nn.Linear(4, 4))

        def forward(self, x):  # type: ignore[no-untyped-def]
            for layer in self.children():
                x = layer(x)
            return x

    table = analyze(Chain(), "4")
    html5lib.HTMLParser(strict=True).parse(f"<!DOCTYPE html><title>x</title>{drawing(table)}")
    assert "<script>" not in drawing(table)
    assert picture(table, "pdf").startswith(b"%PDF")
