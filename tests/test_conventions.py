"""What is counted as a FLOP: fvcore's rules against fvcore, timm's against its tables, one's own from a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.conftest import command
from vggcost import CostTable, analyze
from vggcost.cost import CONVENTIONS, convention
from vggcost.errors import ConventionError, VggcostError


class Net(nn.Module):
    """A function of modules and inputs."""

    def __init__(self, function: Callable[..., Any], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*self.parts, *inputs)


def fvcore_total(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    from fvcore.nn import FlopCountAnalysis

    counted = FlopCountAnalysis(model.eval(), inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        return int(counted.total())
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def layer(module: nn.Module) -> nn.Module:
    return Net(lambda part, *x: part(*x), module)


def attention(**options: Any) -> nn.Module:
    return Net(lambda part, x: part(x, x, x, **options)[0], nn.MultiheadAttention(8, 2))


class Squared(torch.autograd.Function):
    """An autograd function of one's own: to a tracer one node, whatever it computes."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x @ x

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad


def standardised(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """A convolution whose weights are normalised by BatchNorm, as in timm's StdConv2d."""
    weight = F.batch_norm(conv.weight.reshape(1, conv.out_channels, -1), None, None, training=True)
    return F.conv2d(x, weight.reshape_as(conv.weight))


# net, input shapes, and fvcore's figure on paper
SMALL: dict[str, tuple[nn.Module, list[tuple[int, ...]], int]] = {
    "grouped": (layer(nn.Conv2d(4, 6, 3, groups=2)), [(2, 4, 8, 8)], 2 * 6 * 36 * 9 * 2),
    "transposed": (layer(nn.ConvTranspose2d(4, 6, 3, 2)), [(1, 4, 5, 5)], 25 * 4 * 6 * 9),
    "padding same": (layer(nn.Conv2d(3, 4, 3, padding="same")), [(1, 3, 8, 8)], 0),
    "1-d and 3-d": (
        Net(lambda a, b, x, y: (a(x), b(y)), nn.Conv1d(2, 3, 3), nn.Conv3d(1, 2, 2)),
        [(1, 2, 9), (1, 1, 4, 4, 4)],
        7 * 3 * 6 + 27 * 2 * 8,
    ),
    "unbatched": (layer(nn.Conv2d(3, 4, 3)), [(3, 8, 8)], 36 * 4 * 27),
    "standardised weights": (Net(standardised, nn.Conv2d(3, 4, 3)), [(1, 3, 8, 8)], 36 * 4 * 27 + 4 * 4 * 27),
    "linear on a vector": (layer(nn.Linear(4, 3)), [(4,)], 12),
    "matmul": (Net(lambda x, y: x @ y), [(3, 2, 4), (4, 5)], 120),
    "matmul, broadcast": (Net(torch.matmul), [(2, 4), (3, 4, 5)], 2 * 4 * 5),
    "bmm, mm, addmm": (
        Net(lambda x, y: (torch.bmm(x, y), torch.mm(x[0], y[0]), torch.addmm(x[0, 0, :1], x[0], y[0]))),
        [(3, 2, 4), (3, 4, 5)],
        120 + 40 + 40,
    ),
    "products it does not know": (
        Net(lambda x, y: (
            torch.baddbmm(x[..., :1], x, y), torch.tensordot(x, y[0], 1), torch.dot(x[0, 0], x[0, 1]),
            torch.mv(x[0], x[0, 0]), torch.inner(x, x),
        )),
        [(3, 2, 4), (3, 4, 5)],
        0,
    ),
    "einsum, four digits": (Net(lambda x, y: torch.einsum("bij,jk->bik", x, y)), [(3, 22, 47), (47, 53)], 164_400),
    "einsum, exact form": (Net(lambda x, y: torch.einsum("bij, bik -> bjk", x, y)), [(3, 22, 47), (3, 22, 53)], 164_406),
    "norms": (
        Net(lambda a, b, c, d, x: (a(x), b(x), c(x), d(x)), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False),
            nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)),
        [(2, 4, 5, 5)],
        200 * (2 + 1 + 5 + 4),
    ),
    "norms of rows": (
        Net(lambda a, b, c, x: (a(x), b(x), c(x)), nn.BatchNorm1d(6), nn.LayerNorm(6, bias=False),
            nn.LayerNorm(6, elementwise_affine=False)),
        [(3, 6)],
        18 * (2 + 5 + 4),
    ),
    "norm with kept statistics": (layer(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), [(2, 4, 5, 5)], 1000),
    "RMS norm": (layer(nn.RMSNorm(6)), [(3, 6)], 0),
    "pooling": (
        Net(lambda a, b, c, x: (a(x), b(x), c(x[0])), nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(3),
            nn.AdaptiveAvgPool1d(1)),
        [(2, 4, 7, 7)],
        2 * 392,
    ),
    "means of one's own": (Net(lambda x: (x.mean((-1, -2), keepdim=True), x.mean((2, 3)))), [(2, 4, 7, 7)], 0),
    "upsampling": (
        Net(lambda x: [F.interpolate(x, scale_factor=2, mode=m) for m in ("nearest", "bilinear", "bicubic")]),
        [(1, 2, 5, 5)],
        200 * (1 + 4),
    ),
    "upsampling by area": (Net(lambda x: F.interpolate(x, size=(2, 2), mode="area")), [(2, 4, 7, 7)], 392),
    "grid": (
        Net(lambda x: F.grid_sample(x, F.affine_grid(x.new_ones(2, 2, 3), [2, 3, 8, 8], False), align_corners=False)),
        [(2, 3, 9, 9)],
        4 * 2 * 3 * 64,
    ),
    "recurrent": (Net(lambda a, b, x: (a(x)[0], b(x)[0]), nn.LSTM(4, 5), nn.GRU(4, 5)), [(3, 2, 4)], 0),
    "recurrent cells": (
        Net(lambda a, b, x: (a(x)[0], b(x)), nn.LSTMCell(4, 5), nn.GRUCell(4, 5)),
        [(2, 4)],
        2 * 20 * 9 + 2 * 15 * 9,
    ),
    "attention, fused": (attention(need_weights=False), [(5, 2, 8)], 10 * 8 * 32),
    "attention, with weights": (attention(), [(5, 2, 8)], 10 * 8 * 32 + 2 * 2 * 25 * 8),
    "attention, masked": (attention(attn_mask=torch.zeros(5, 5)), [(5, 2, 8)], 10 * 8 * 32 + 2 * 25 * 8),
    "attention by the function": (Net(lambda x: F.scaled_dot_product_attention(x, x, x)), [(2, 3, 5, 8)], 0),
    "an autograd function": (Net(lambda x: Squared.apply(x @ x)), [(4, 4)], 64),
    "bilinear": (layer(nn.Bilinear(3, 4, 5)), [(2, 3), (2, 4)], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_fvcore_is_fvcore(name: str) -> None:
    model, shapes, paper = SMALL[name]
    inputs = tuple(torch.randn(shape) for shape in shapes)
    assert fvcore_total(model, inputs) == paper
    assert analyze(model, inputs, convention="fvcore").totals.flops == paper


LARGE = [
    ("resnet18", 224), ("vit_b_16", 224), ("swin_t", 224), ("swin_v2_t", 256), ("convnext_tiny", 224), ("maxvit_t", 224),
    ("mobilenet_v3_small", 224), ("deeplabv3_mobilenet_v3_large", 96),
]  # fmt: skip


@pytest.mark.parametrize(("name", "side"), LARGE)
def test_fvcore_is_fvcore_on_the_nets_of_torchvision(name: str, side: int) -> None:
    models = pytest.importorskip("torchvision").models
    options = {"weights_backbone": None} if "deeplab" in name else {}
    net = models.get_model(name, weights=None, **options).eval()
    x = torch.randn(1, 3, side, side)
    table = analyze(net, x, convention="fvcore")
    assert table.totals.flops == fvcore_total(net, (x,))


@pytest.mark.parametrize("name", ["resnetv2_50x1_bit", "xcit_nano_12_p8_224", "mvitv2_tiny"])
def test_fvcore_is_fvcore_on_nets_of_timm(name: str) -> None:
    net = pytest.importorskip("timm").create_model(name).eval()
    x = torch.randn(1, 3, 224, 224)
    assert analyze(net, x, convention="fvcore").totals.flops == fvcore_total(net, (x,))


# timm results, benchmark-infer-amp-nchw-pt291-cu130-5090.csv: model, img_size, GMACs
TIMM = [
    ("resnet50", 224, "4.11"), ("convnext_tiny", 288, "7.39"), ("mixer_s32_224", 224, "1.00"), ("nfnet_f0", 192, "7.21"),
    ("deit_base_patch16_224", 224, "17.58"), ("pit_ti_224", 224, "0.70"), ("hiera_tiny_224", 224, "4.91"),
    ("mobilevit_xs", 256, "1.05"), ("coatnet_pico_rw_224", 224, "2.05"), ("nest_tiny", 224, "5.83"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "side", "gmacs"), TIMM)
def test_timm_prints_these_gmacs(name: str, side: int, gmacs: str) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        net = timm.create_model(name)
    table = analyze(net, f"3x{side}x{side}", convention="timm")
    assert f"{table.totals.flops / 1e9:.2f}" == gmacs


def test_timm_is_fvcore_and_the_products_of_attention() -> None:
    net = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    tables = {name: analyze(net, "10x64", batch=2, convention=name).totals for name in ("torch", "fvcore", "timm")}
    assert tables["timm"].flops - tables["fvcore"].flops == 2 * 2 * 10 * 10 * 64
    assert tables["timm"].flops == tables["torch"].macs + 2 * 5 * 2 * 10 * 64  # two norms
    assert tables["fvcore"].macs == tables["torch"].macs  # MACs are no matter of convention


def test_coverage_says_that_attention_is_free_under_fvcore() -> None:
    net = nn.MultiheadAttention(8, 2)
    x = torch.randn(5, 2, 8)
    found = {name: analyze(Net(lambda part, x: part(x, x, x, need_weights=False), net), (x,), convention=name) for name in
             ("fvcore", "timm")}  # fmt: skip
    op = "aten._scaled_dot_product_flash_attention_for_cpu"
    assert op in dict(found["fvcore"].coverage.free)
    assert op in dict(found["timm"].coverage.counted)


def test_backward_follows_what_the_forward_counts() -> None:
    net = Net(lambda x: F.scaled_dot_product_attention(x, x, x))
    x = torch.randn(2, 3, 5, 8)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.scale = net, nn.Parameter(torch.ones(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x * self.scale)

    table = analyze(Scaled(), (x,), mode="training", convention="fvcore")
    assert table.totals.backward_macs > 0
    assert table.totals.backward_flops == 0


# One's own


OWN = """
[conventions.mine]
base = "full"
sentence = "One per multiply-accumulate outside of the classifier, three per activation."
flops_per_mac = 1
bias = false
prices = { activation = 3, max_pool = "window" }
excluded = ["linear"]
"""


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))


def test_ones_own_convention(net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vggcost.toml").write_text(OWN, encoding="utf-8")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    table = analyze(net, "3x8x8", convention="mine")
    assert table.totals.flops == 36 * 8 * 27 + 3 * 36 * 8 + 4 * 72
    assert table.totals.macs == 36 * 8 * 27 + 720
    monkeypatch.chdir("/")
    assert CostTable.from_json(table.to_json()) == table  # without the configuration
    with pytest.raises(ConventionError, match="unknown convention 'mine'"):
        convention("mine")


def test_pyproject_and_the_nearest_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vggcost.toml").write_text(OWN, encoding="utf-8")
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    (inner / "pyproject.toml").write_text('[project]\nname = "x"\n', encoding="utf-8")  # says nothing of conventions
    assert convention("mine").flops_per_mac == 1
    text = '[tool.vggcost.conventions.mine]\nsentence = "Another."\nflops_per_mac = 3\n'
    (inner / "pyproject.toml").write_text(text, encoding="utf-8")
    assert convention("mine").flops_per_mac == 3
    assert convention("mine").sentence == "Another."


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('flops = 2\nsentence = "x"', "unknown key 'flops'"),
        ("bias = true", "sentence is missing"),
        ("sentence = 3", "must be text"),
        ('sentence = "x"\nbase = "ful"', "base: no preset 'ful' (did you mean full?); known: torch, full, fvcore"),
        ('sentence = "x"\nflops_per_mac = 0', "whole number of 1 or more"),
        ('sentence = "x"\nflops_per_mac = true', "whole number of 1 or more"),
        ('sentence = "x"\nbias = 1', "true or false"),
        ('sentence = "x"\nprices = 3', "must be a table"),
        ('sentence = "x"\nprices = { activations = 1 }', "did you mean activation?"),
        ('sentence = "x"\nprices = { activation = 1.5 }', "prices.activation: 1.5 is no whole number"),
        ('sentence = "x"\nprices = { activation = "ones" }', "nor one of 'one'"),
        ('sentence = "x"\nexcluded = "lstm"', "must be a list"),
        ('sentence = "x"\nexcluded = ["lsmt"]', "did you mean lstm?"),
    ],
)
def test_every_mistake_is_one_line(body: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vggcost.toml").write_text(f"[conventions.mine]\n{body}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConventionError) as caught:
        convention("mine")
    assert says in str(caught.value)
    assert f"{tmp_path / 'vggcost.toml'}: [conventions.mine]" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert convention("torch") is CONVENTIONS["torch"]  # a preset does not read the file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[conventions", "is not TOML"),
        ("conventions = 3", "must be a table"),
        ('[conventions.full]\nsentence = "x"', "full is a preset"),
        ("[conventions]\nmine = 3", "must be a table with a sentence"),
    ],
)
def test_a_broken_file(text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vggcost.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VggcostError, match=says):
        convention("mine")


def test_ones_own_convention_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "vggcost.toml").write_text(OWN, encoding="utf-8")
    done = command("report", "alexnet", "--convention", "mine", "--format", "json", cwd=tmp_path)
    saved = json.loads(done.stdout)
    assert saved["convention"]["sentence"].startswith("One per multiply-accumulate")
    assert saved["convention"]["function_prices"] == {"linear": "nothing"}
    (tmp_path / "t.json").write_text(done.stdout, encoding="utf-8")
    (tmp_path / "vggcost.toml").unlink()
    shown = command("report", "--from", "t.json", cwd=tmp_path)
    assert "convention mine: One per multiply-accumulate" in shown.stdout
    missing = command("report", "alexnet", "--convention", "mien", cwd=tmp_path)
    assert missing.returncode == 2
    assert "[tool.vggcost.conventions.NAME]" in missing.stderr


def test_nothing_of_torch_stays_replaced() -> None:
    before = F.scaled_dot_product_attention, torch.autograd.Function.__dict__["apply"]
    with pytest.raises(Exception, match="failed"):
        analyze(Net(lambda x: Squared.apply(x).no_such_method()), (torch.zeros(4, 4),))
    assert (F.scaled_dot_product_attention, torch.autograd.Function.__dict__["apply"]) == before
