"""Counting again by independent ways, until every gap has its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.conftest import command
from vggcost import verify
from vggcost._analyze import prepared
from vggcost.cost.verify import Check, Verification, check_counter, check_params, check_published
from vggcost.records import Published, Recount
from vggcost.report.verify import VERIFY_FORMATS, render_verify
from vggcost.trace import trace_model
from vggcost.trace.recount import recount


class Small(nn.Module):
    """A net that the counters disagree on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8)
        self.pool, self.attention = nn.AdaptiveAvgPool2d(4), nn.MultiheadAttention(8, 2, batch_first=True)
        self.lstm, self.fc = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 5)
        self.twice = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        x = self.twice(self.twice(x))
        x = self.attention(x, x, x, need_weights=False)[0]
        return self.fc(self.lstm(x)[0][:, -1])


def adds_up(found: Verification) -> None:
    """What is explained and what is not make up the whole gap."""
    for check in found.checks:
        if check.theirs is not None and not check.printed:
            gaps = [*check.explained, *check.unexplained]
            assert check.ours + sum(gap.gap for gap in gaps) == check.theirs, check.name


def by_name(found: Verification) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def test_every_gap_of_a_small_net_on_paper() -> None:
    found = verify(Small(), "3x10x10", batch=2)
    assert found.unexplained == ()
    adds_up(found)
    check = by_name(found)["fvcore"]
    conv, linear, products = 2 * 100 * 8 * 27, 2 * 16 * 64, 2 * 16 * 16 * 8 * 2
    lstm = 2 * 16 * 4 * 6 * (8 + 6)
    assert check.ours == conv + 2 * linear + 4 * linear + products + lstm + 2 * 6 * 5
    assert {gap.operator: gap.gap for gap in check.explained} == {
        "conv2d": -conv,
        "batch_norm": 2 * 2 * 8 * 100,
        "adaptive_avg_pool2d": 2 * 8 * 100,
        "scaled_dot_product_attention": -products,
        "lstm": -lstm,
    }
    counter = by_name(found)["FlopCounterMode"]
    assert {gap.operator: gap.gap for gap in counter.explained} == {
        "scaled_dot_product_attention": -2 * products,
        "lstm": -2 * lstm,
    }


def test_vgg16() -> None:
    found = verify("vgg16")
    assert found.unexplained == ()
    assert [(c.theirs, c.gap) for c in found.checks[:3]] == [(15_470_264_320, 0), (30_940_528_640, 0), (138_357_544, 0)]
    published = found.checks[3]
    assert (published.printed, published.gap) == ("138 M", 0)
    assert "arXiv:1409.1556" in published.name


@pytest.mark.parametrize(
    "name", ["vit_b_16", "swin_t", "convnext_tiny", "mobilenet_v3_small", "shufflenet_v2_x1_0", "efficientnet_b0"]
)
def test_nets_of_torchvision(name: str) -> None:
    net = pytest.importorskip("torchvision").models.get_model(name, weights=None)
    found = verify(net, "3x224x224")
    assert found.unexplained == ()
    assert all(check.theirs is not None for check in found.checks)
    adds_up(found)


@pytest.mark.parametrize("name", ["resnet50", "nest_tiny", "edgenext_xx_small"])
def test_nets_of_timm(name: str) -> None:
    found = verify(pytest.importorskip("timm").create_model(name), "3x224x224")
    assert found.unexplained == ()
    adds_up(found)


def test_vit_on_paper() -> None:
    net = pytest.importorskip("torchvision").models.vit_b_16()
    check = by_name(verify(net, "3x224x224"))["fvcore"]
    gaps = {gap.operator: gap.gap for gap in check.explained}
    assert gaps == {"layer_norm": 25 * 5 * 197 * 768, "scaled_dot_product_attention": -12 * 2 * 197 * 197 * 768}
    assert check.theirs == 17_563_828_224 + sum(gaps.values())  # torchvision prints 17.564 GMACs
    assert "fast path" in check.note


class Detector(nn.Module):
    """A backbone and a transformer with queries, as in DETR."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 16, 16), nn.BatchNorm2d(32))
        self.transformer = nn.Transformer(32, 4, 1, 1, 64, batch_first=True)
        self.queries, self.head = nn.Parameter(torch.zeros(1, 10, 32)), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        return {"logits": self.head(self.transformer(tokens, self.queries.expand(len(x), -1, -1)))}


def test_a_transformer_with_queries_and_a_dict_of_outputs() -> None:
    found = verify(Detector(), "3x64x64")
    assert found.unexplained == ()
    assert all(check.theirs is not None for check in found.checks)
    adds_up(found)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.gru, self.cell = nn.Embedding(50, 8), nn.GRU(8, 6, bidirectional=True), nn.LSTMCell(12, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.cell(self.gru(self.table(tokens))[0][-1])[0]


def test_recurrent_nets_and_inputs_by_name() -> None:
    found = verify(Words(), {"tokens": torch.zeros(7, 3, dtype=torch.int64)})
    assert found.unexplained == ()
    adds_up(found)
    gap, = by_name(found)["fvcore"].explained  # fmt: skip
    assert (gap.operator, gap.modules) == ("gru", ("gru",))
    assert gap.gap == -7 * 3 * 2 * 3 * 6 * (8 + 6)


def test_hugging_face() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_embd=32, n_head=2, vocab_size=50, n_positions=20, bos_token_id=0, eos_token_id=0
    )
    found = verify(transformers.GPT2LMHeadModel(config), "9:int64")
    assert found.unexplained == ()
    assert all(check.theirs is not None for check in found.checks)


def test_a_wrong_count_is_not_explained_away() -> None:
    loaded, run, keywords = prepared(Small(), "3x10x10", 1, "inference", "torch", {})
    trace = trace_model(loaded.model, run, keywords=keywords)
    right = recount(loaded.model, run, keywords)[0]
    assert right.total is not None
    counts = tuple((p, op, n + 7 * (p == "fc")) for p, op, n in right.counts)
    (gap,) = check_counter(trace, replace(right, counts=counts, total=right.total + 7)).unexplained
    assert (gap.operator, gap.modules, gap.gap) == ("product", ("fc",), 7)
    (gap,) = check_counter(trace, replace(right, total=right.total + 3)).unexplained
    assert (gap.operator, gap.gap) == ("total", 3)
    unknown = (*right.counts, ("conv", "fft", 5))
    (gap,) = check_counter(trace, replace(right, counts=unknown, total=right.total + 5)).unexplained
    assert (gap.operator, gap.modules) == ("fft", ("conv",))


def test_a_counter_that_cannot_run_says_why() -> None:
    found = verify(nn.Sequential(nn.LayerNorm(8)), (torch.zeros(8),))  # fvcore wants two sizes or more
    check = by_name(found)["fvcore"]
    assert check.theirs is None
    assert "could not count: AssertionError" in check.note
    assert "fvcore could not count" in render_verify(found, "table")
    with torch.device("meta"):
        net = nn.Linear(3, 4)
    for check in verify(net, "3").checks[:2]:
        assert "real weights on the CPU" in check.note


def test_the_users_module_is_left_as_it_was() -> None:
    net = Small().train()
    net.norm.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    parameters, attributes = list(net.parameters()), [dict(m.__dict__) for m in net.modules()]
    state = torch.get_rng_state()
    fast = torch.backends.mha.get_fastpath_enabled()
    verify(net, "3x10x10")
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    assert all(p.grad is None and p.requires_grad for p in parameters)
    assert [dict(m.__dict__) for m in net.modules()] == attributes
    assert (net.training, net.norm.training) == (True, False)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.backends.mha.get_fastpath_enabled() == fast


@pytest.mark.parametrize(
    ("value", "unit", "ours", "agrees"),
    [
        ("138", "M", 138_357_544, True), ("138", "M", 138_600_000, False), ("15.470", "G", 15_470_264_320, True),
        ("15.471", "G", 15_470_264_320, False), ("138357544", "", 138_357_544, True), ("16", "", 16, True),
    ],
)  # fmt: skip
def test_published_figures_hold_to_the_printed_digits(value: str, unit: str, ours: int, agrees: bool) -> None:
    check = check_published(Published("params", value, unit, "somewhere"), ours)
    assert (check.unexplained == ()) is agrees
    assert (check.gap == 0) is agrees


def test_params_are_those_of_the_model() -> None:
    from vggcost import analyze

    table = analyze(nn.Linear(3, 4), "3")
    assert check_params(table, 16).unexplained == ()
    (gap,) = check_params(table, 17).unexplained
    assert (gap.ours, gap.theirs) == (16, 17)


NET = """
from torch import nn

def make(width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
"""


def test_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    done = command("verify", "./net.py:make", "-i", "3x8x8", "-k", "width=4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "every gap is explained, nothing is left over" in done.stdout
    assert "BatchNorm: 2 per element" in done.stdout
    assert done.stderr == ""
    out = command("verify", "./net.py:make", "-i", "3x8x8", "--format", "json", "-o", "v.json", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    saved = json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))
    assert saved["unexplained"] == 0
    assert [check["name"] for check in saved["checks"]] == ["fvcore", "FlopCounterMode", "parameters of the model"]
    wrong = command("verify", "vgg61", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_status_1_when_something_is_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    import vggcost
    from vggcost.cli.verify import verify as cli_verify

    found = verify(nn.Linear(3, 4), "3")
    bad = replace(found, checks=(check_published(Published("params", "17", "", "a poster"), 16),))
    monkeypatch.setattr(vggcost, "verify", lambda *_, **__: bad, raising=False)
    result = CliRunner().invoke(cli_verify, ["net"], standalone_mode=False)
    assert result.return_value == 1
    assert "UNEXPLAINED" in result.output
    assert "1 gap is unexplained" in result.output


@pytest.mark.parametrize("form", VERIFY_FORMATS)
def test_formats(form: str) -> None:
    text = render_verify(verify(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "3x8x8"), form)
    assert text.endswith("\n")
    assert "BatchNorm" in text


def test_a_recount_without_a_total_is_no_check() -> None:
    loaded, run, keywords = prepared(nn.Linear(3, 4), "3", 1, "inference", "torch", {})
    trace = trace_model(loaded.model, run, keywords=keywords)
    check = check_counter(trace, Recount("fvcore", (), None, "not installed"))
    assert (check.theirs, check.gap, check.unexplained) == (None, None, ())
