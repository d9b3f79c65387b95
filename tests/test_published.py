"""The figures against what others published, to the integer or to the printed digit."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from tests.closed_form import vgg_deep
from tests.conftest import PUBLISHED, published
from vggcost import CostTable, LayerCost, analyze
from vggcost.zoo import VARIANTS, facts_of, find
from vggcost.zoo.facts import FACTS

TOTALS = {row["net"].lower(): row for row in published("vgg_totals_224.csv")}
LAYERS = published("vgg_layers_224.csv")
PAPER = json.loads((PUBLISHED / "vgg_paper.json").read_text(encoding="utf-8"))
GetTable = Callable[..., CostTable]


def by_path(table: CostTable) -> dict[str, LayerCost]:
    return {layer.path: layer for layer in table.layers}


@pytest.mark.parametrize("net", TOTALS)
def test_totals(net: str, zoo_table: GetTable) -> None:
    totals, row = zoo_table(net).totals, TOTALS[net]
    assert totals.params == int(row["params"])
    assert totals.macs == int(row["total_macs"])
    assert totals.flops == int(row["total_2xmacs"])
    # convnet-burden counts the same variables: outputs once, ReLU in place, no input.
    assert totals.activation_bytes == int(row["burden_m_rule_feat_bytes"])


@pytest.mark.parametrize("net", TOTALS)
@pytest.mark.parametrize("mode", ["ceil", "floor"])
def test_every_layer(net: str, mode: str, zoo_table: GetTable) -> None:
    layers = by_path(zoo_table(net, ceil_mode=mode == "ceil"))
    rows = [row for row in LAYERS if row["net"].lower() == net]
    assert rows
    for row in rows:
        layer = layers[row["layer"]]
        shape = (*layer.output_shape, 1, 1)[:4]
        assert "x".join(map(str, shape[1:])) == row[f"out_chw_{mode}"], row
        assert (layer.params, layer.macs) == (int(row[f"params_{mode}"]), int(row[f"macs_{mode}"])), row


@pytest.mark.parametrize("net", sorted(PAPER["table1"].keys() - {"all"}))
def test_table_1_of_the_paper(net: str, zoo_table: GetTable) -> None:
    layers = by_path(zoo_table(f"vgg-{net}"))
    expected = vgg_deep(PAPER["table1"][net]["blocks"])
    assert expected.keys() <= layers.keys()
    for name, (shape, params, macs) in expected.items():
        assert (layers[name].output_shape[1:], layers[name].params, layers[name].macs) == (shape, params, macs), name
    weight_layers = [layer for layer in layers.values() if layer.params]
    assert len(weight_layers) == PAPER["table1"][net]["weight_layers"]


def test_the_names_of_the_papers(zoo_table: GetTable) -> None:
    names = [layer.path for layer in zoo_table("vgg16").layers]
    assert names[:5] == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1"]
    assert names[-8:] == ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8", "prob"]


def test_vgg_16_in_full(zoo_table: GetTable) -> None:
    totals = zoo_table("vgg16").totals
    assert (totals.params, totals.weights, totals.biases) == (138_357_544, 138_344_128, 13_416)
    assert totals.conv_activations == 13_547_520
    step = zoo_table("vgg16", mode="training").totals
    assert step.flops + step.backward_flops == 92_648_177_664
    assert step.backward_flops == 61_707_649_024
    # conv1_1 needs no gradient of the image, everything else twice its forward
    assert step.backward_macs == 2 * step.macs - 86_704_128


def test_four_definitions_of_memory(zoo_table: GetTable) -> None:
    conv, both, distinct, saved = zoo_table("vgg16", saved=True).memory
    assert (conv.elements, conv.bytes) == (13_547_520, 54_190_080)
    assert both.bytes == 108_380_160
    assert distinct.bytes == 60_352_320
    # ReLU and pool outputs once, the image, pool indices (int64), two dropout masks, loss: on paper
    relu = 13_547_520 + 2 * 4096
    pool = 802_816 + 401_408 + 200_704 + 100_352 + 25_088
    dropped = 2 * 4096
    image, masks, loss = 150_528, 2 * 4096, 1000 + 1
    assert saved.bytes == 4 * (relu + pool + dropped + image + masks + loss) + 8 * pool + 8


@pytest.mark.parametrize(("name", "field", "jump"), [("pool5", 212, 32), ("conv5_3", 196, 16), ("fc6", 404, 32)])
def test_receptive_field(name: str, field: int, jump: int, zoo_table: GetTable) -> None:
    # pool5 212, jump 32: Araujo, Norris & Sim 2019, Distill, Table 1 (VGG-16)
    layer = by_path(zoo_table("vgg16"))[name]
    assert (layer.receptive_field, layer.jump) == (field, jump)


@pytest.mark.parametrize("row", published("torchvision_vgg.csv"), ids=lambda row: row["arch"])
def test_torchvision(row: dict[str, str], zoo_table: GetTable) -> None:
    totals = zoo_table(row["arch"]).totals
    assert totals.params == int(row["num_params"])
    assert f"{totals.macs / 1e9:.3f}" == f"{float(row['gmacs']):.3f}"


@pytest.mark.parametrize("row", published("timm_vgg.csv"), ids=lambda row: row["model"])
def test_timm(row: dict[str, str], zoo_table: GetTable) -> None:
    table = zoo_table(row["model"])
    assert f"{table.totals.params / 1e6:.2f}" == f"{float(row['params_m']):.2f}"
    # fvcore's table adds 2 per element of BatchNorm and 1 per input element of the adaptive pool (25,088)
    norm = sum(2 * layer.activations for layer in table.layers if layer.kind == "BatchNorm2d")
    assert f"{(table.totals.macs + norm + 25_088) / 1e9:.2f}" == f"{float(row['gmacs']):.2f}"


@pytest.mark.parametrize("net", PAPER["table2_params_millions"])
def test_facts_are_those_of_the_paper(net: str, zoo_table: GetTable) -> None:
    facts = facts_of(f"vgg-{net.lower()}")
    (params,) = [fact for fact in facts if fact.quantity == "params"]
    assert params.value == str(PAPER["table2_params_millions"][net])
    assert round(zoo_table(f"vgg-{net}").totals.params / 1e6) == int(params.value)
    for table in ("table3_single_scale", "table4_multi_scale"):
        for row in PAPER[table]:
            if row["net"] == net:
                found = {
                    f.quantity: f.value for f in facts if f.protocol == f"dense evaluation, S={row['S']}, Q={row['Q']}"
                }
                assert found == {"top-1 error": str(row["top1"]), "top-5 error": str(row["top5"])}


@pytest.mark.parametrize(
    ("typed", "name"),
    [("VGG16", "vgg-d"), ("vgg_16", "vgg-d"), ("vgg11", "vgg-a"), ("Vgg-13-BN", "vgg-b-bn"), ("vgg19_bn", "vgg-e-bn"),
     ("CNN-F", "vgg-f"), ("cnn_m_128", "vgg-m-128"), ("vgg-a-lrn", "vgg-a-lrn"), ("VGG_C", "vgg-c")],
)  # fmt: skip
def test_aliases(typed: str, name: str) -> None:
    found = find(typed)
    assert found is not None
    assert found.name == name


def test_no_name_means_two_nets() -> None:
    names = [name for v in VARIANTS for name in (v.name, *v.aliases)]
    assert len(names) == len({name.replace("-", "") for name in names})


def test_options(zoo_table: GetTable) -> None:
    ten = by_path(zoo_table("vgg16", classes=10))
    assert ten["fc8"].params == 40_970
    small = by_path(zoo_table("vgg16", inputs="3x32x32", image_size=32))
    assert small["fc6"].params == 512 * 4096 + 4096


BURDEN_NAMES = {"vgg-vd-16": "vgg-d", "vgg-vd-19": "vgg-e"}


@pytest.mark.parametrize(
    "row", published("convnet_burden_vgg.csv"), ids=lambda r: f"{r['model']}-{r['side']}-{r['field']}"
)
def test_convnet_burden(row: dict[str, str], zoo_table: GetTable) -> None:
    name, side, batch = BURDEN_NAMES.get(row["model"], row["model"]), row["side"], int(row["batch"])
    # the features are those of the released nets, which pool in ceil mode
    options = {"features": True, "ceil_mode": True} if row["kind"] == "features" else {}
    table = zoo_table(name, inputs=f"3x{side}x{side}", batch=batch, convention="convnet-burden", **options)
    totals = table.totals
    assert (totals.flops if row["field"] == "flops" else totals.activation_bytes) == int(row["exact"])
    assert table.coverage.unknown == ()


def rounds_to(value: int, printed: str) -> bool:
    """Whether a figure rounds to what was printed, such as 11.3G."""
    if printed.isdigit():
        return value == int(printed)
    number, scale = printed[:-1], {"M": 10**6, "G": 10**9}[printed[-1]]
    decimals = len(number.partition(".")[2])
    return f"{value / scale:.{decimals}f}" == number


@pytest.mark.parametrize("row", published("classic.csv"), ids=lambda row: row["model"])
def test_classic_nets(row: dict[str, str], zoo_table: GetTable) -> None:
    table = zoo_table(row["model"])
    if row["model"] == "googlenet":
        assert table.totals.params == 6_998_552  # the source cuts off after two digits
    elif row["params"]:
        assert rounds_to(table.totals.params, row["params"])
    assert rounds_to(table.totals.macs, row["macs"])
    assert table.weight_layers == int(row["weight_layers"])


def test_depth_computed_is_depth_published(zoo_table: GetTable) -> None:
    known = {variant.name for variant in VARIANTS}
    facts = [fact for fact in FACTS if fact.quantity == "weight layers" and fact.model in known]
    assert len(facts) >= 4
    for fact in facts:
        assert zoo_table(fact.model).weight_layers == int(fact.value)


@pytest.mark.parametrize(("name", "field"), [("resnet-50", 483), ("resnet-101", 1027), ("resnet-152", 1507)])
def test_receptive_field_of_branching_nets(name: str, field: int, zoo_table: GetTable) -> None:
    # Araujo, Norris & Sim 2019, Distill, table of ConvNet architectures
    last = [layer for layer in zoo_table(name).layers if layer.conv_activations][-1]
    assert last.receptive_field == field


def test_fvcore_convention_equals_fvcore(zoo_table: GetTable) -> None:
    from fvcore.nn import FlopCountAnalysis
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.GroupNorm(2, 8),
        nn.BatchNorm2d(8, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 5),
    ).eval()  # fmt: skip
    counted = FlopCountAnalysis(net, torch.zeros(2, 3, 12, 12)).unsupported_ops_warnings(False)
    assert analyze(net, "3x12x12", batch=2, convention="fvcore").totals.flops == counted.total()
