"""Every figure of a page, at the batches and dtypes that its controls offer, is that of a run made there.

A page is set to a batch and a dtype, and all that is to be read on it must be what a page of a new run says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.browser import browser, opened
from vggcost import analyze, memory
from vggcost._analyze import Said, prepared
from vggcost._page import page_of
from vggcost.cost.memory import gradient_bytes, timeline
from vggcost.records import CostTable, Step
from vggcost.report.dtypes import listed
from vggcost.report.html import html
from vggcost.report.memory import where
from vggcost.report.model_page import Beside
from vggcost.report.needs import Need
from vggcost.report.scaling import SAVED, figures_of
from vggcost.trace import trace_model
from vggcost.trace.step import trace_step
from vggcost.units import human_bytes

__all__ = ["browser"]


# The models


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


class Packed(nn.Module):
    """Time before the batch, and numbers that do not grow with it: shapes and figures that follow no column's rule."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 12, num_layers=2)
        self.bias = nn.Parameter(torch.ones(12))
        self.out = nn.Linear(12, 5)

    def forward(self, x):  # type: ignore[no-untyped-def]
        found, _ = self.lstm(x.transpose(0, 1))
        return self.out(found[-1] * (self.bias * 2))


class Mixed(nn.Module):
    """Layers of three dtypes, counts that are whole numbers, and one that is complex."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16, dtype=torch.bfloat16)
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 4, dtype=torch.float16)
        self.register_buffer("table", torch.zeros(16, dtype=torch.int8))
        self.register_buffer("turn", torch.ones(32, dtype=torch.complex64))

    def forward(self, ids):  # type: ignore[no-untyped-def]
        x = self.up((self.embed(ids) + self.table).float())
        return self.down((x * self.turn).real.half())


class Windows(nn.Module):
    """A view of one item that is a copy of several, as in Swin: batch 1 is another matter."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.fc(x.transpose(0, 1).reshape(-1, 8)).relu()


class Normed(nn.Module):
    """Statistics in float32 whatever comes in, so that a half run has ops of its own; the loss is one number."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.gain = nn.Parameter(torch.ones(8))

    def forward(self, x):  # type: ignore[no-untyped-def]
        y = self.fc(x)
        wide = y.float()
        return self.gain * (wide * wide.pow(2).mean(-1, keepdim=True).rsqrt()).to(y.dtype)


class Turned(nn.Module):
    """A complex parameter, which no dtype of the controls changes."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.ones(6, dtype=torch.complex64))
        self.fc = nn.Linear(6, 6)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.fc((x.float() * self.turn).real.to(x.dtype))


class Whole(nn.Module):
    """Weights that are whole numbers, scaled by floating-point ones."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 8, dtype=torch.int8), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(8))
        self.register_buffer("zero", torch.zeros(8, dtype=torch.int8))

    def forward(self, x):  # type: ignore[no-untyped-def]
        return x @ (self.weight - self.zero).to(x.dtype).T * self.scale


def huggingface(kind: str, dtype: torch.dtype = torch.float32, **sizes: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(**sizes)
    names = {"ViT": "ViTForImageClassification", "GPT2": "GPT2LMHeadModel", "Llama": "LlamaForCausalLM"}
    names |= {"T5": "T5ForConditionalGeneration", "Mamba": "MambaForCausalLM"}
    names |= {"Whisper": "WhisperForConditionalGeneration"}
    with torch.device("meta"):
        return getattr(transformers, names[kind])._from_config(config, dtype=dtype)  # type: ignore[no-any-return]


def llama() -> nn.Module:
    return huggingface(
        "Llama", torch.bfloat16, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=101, max_position_embeddings=64,
    )  # fmt: skip


def t5() -> nn.Module:
    return huggingface("T5", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=101)


def gpt2() -> nn.Module:
    return huggingface("GPT2", n_embd=32, n_layer=2, n_head=4, vocab_size=101, n_positions=64)


def vit() -> nn.Module:
    return huggingface(
        "ViT", hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32,
        patch_size=8, num_labels=7,
    )  # fmt: skip


STAMPED = frozenset({"What a training step holds, and when", "What is counted"})


def whisper() -> nn.Module:
    return huggingface(
        "Whisper", d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_ffn_dim=24, vocab_size=101, num_mel_bins=8, max_source_positions=20,
        max_target_positions=20, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3,
    )  # fmt: skip


def mamba() -> nn.Module:
    return huggingface("Mamba", hidden_size=16, num_hidden_layers=1, vocab_size=101, state_size=4)


@dataclass(frozen=True)
class Case:
    """A page, the points at which it is looked at, and what is stamped there."""

    make: Callable[[], nn.Module]
    inputs: Any
    points: tuple[tuple[int, str], ...]
    said: Said = Said(saved=True)  # noqa: RUF009
    stamped: frozenset[str] = STAMPED


FLOATS = ((1, "float16"), (2, "float32"), (5, "bfloat16"), (64, "float16"), (1000, "float32"), (1, "float32"))
KEPT = ((2, ""), (8, ""), (64, ""), (1000, ""))
TIME = STAMPED | {"The architecture, to scale", "A training step:"}
"""An LSTM whose time comes before the batch: drawn as it is run, with a workspace in whole pages of memory."""

CASES = {
    "cnn": Case(cnn, "3x20x20", FLOATS),
    "cnn of 8": Case(cnn, "3x20x20", FLOATS, Said(saved=True, batch=8)),
    "cnn, a step": Case(cnn, "3x20x20", FLOATS, Said(saved=True, mode="training", batch=2)),
    "cnn, all ops": Case(cnn, "3x20x20", FLOATS, Said(saved=True, convention="full")),
    "cnn in half": Case(lambda: cnn().half(), "3x20x20:float16", FLOATS),
    "cnn in double": Case(lambda: cnn().double(), "3x20x20:float64", ((4, "float64"), (4, "float16"), (9, "float32"))),
    "vit": Case(vit, "3x32x32", FLOATS),
    "vit asked in float16": Case(vit, "3x32x32", FLOATS, Said(saved=True, dtype="float16")),
    "gpt2": Case(gpt2, "tokens:1x20", FLOATS),
    "gpt2, a step": Case(gpt2, "tokens:1x20", FLOATS, Said(saved=True, mode="training")),
    "llama in bfloat16": Case(llama, "tokens:1x20", KEPT),
    "llama in bfloat16, a step": Case(llama, "tokens:1x20", KEPT, Said(saved=True, mode="training")),
    "llama asked in bfloat16": Case(llama, "tokens:1x20", FLOATS, Said(saved=True, dtype="bfloat16")),
    "t5": Case(t5, ("input_ids=tokens:1x12", "decoder_input_ids=tokens:1x5"), ((3, "bfloat16"), (64, "float32"))),
    "lstm": Case(Packed, "9x8", FLOATS, stamped=TIME),
    "lstm, a step": Case(Packed, "9x8", FLOATS, Said(saved=True, mode="training", batch=3), TIME),
    "mixed": Case(Mixed, "tokens:1x7", KEPT),
    "turned": Case(Turned, "6", FLOATS),
    "whole": Case(Whole, "8", FLOATS),
    "whisper": Case(whisper, ("input_features=1x8x40", "decoder_input_ids=tokens:1x5"), FLOATS),
    "mamba": Case(mamba, "tokens:1x6", ((2, "float32"), (64, "float32"))),  # other layers run in the others
    "windows": Case(Windows, "6x8", FLOATS),
    "windows of 3": Case(Windows, "6x8", FLOATS, Said(saved=True, batch=3)),
    "normed": Case(Normed, "8", FLOATS, Said(saved=True, convention="full")),
}  # fmt: skip


@cache
def paged(name: str) -> tuple[CostTable, Beside]:
    case = CASES[name]
    return page_of(case.make(), case.inputs, case.said)


def there(name: str, batch: int, dtype: str) -> tuple[CostTable, Beside]:
    """Run a model anew, by what is public; what is needed at most is taken from the traces themselves."""
    case, model = CASES[name], CASES[name].make()
    asked = {"batch": batch, "dtype": dtype}
    table = analyze(
        model, case.inputs, mode=case.said.mode, convention=case.said.convention, saved=case.said.saved, **asked
    )
    step = memory(model, case.inputs, optimizer="none", threads=0, **asked)
    loaded, run, arguments = prepared(model, case.inputs, batch, "inference", (), {})
    line = timeline(trace_model(loaded.model, run, arguments=arguments, dtype=dtype))
    held = max(a + b for a, b in zip(line.bytes["param"], line.bytes["buffer"], strict=True))
    live = max(a - b - c for a, b, c in zip(line.total, line.bytes["param"], line.bytes["buffer"], strict=True))
    trace = trace_step(loaded.model, run, Step("none", dtype=dtype, threads=0), arguments=arguments)
    needs = {
        "held": held,
        "live": live,
        "peak": step.totals.peak_bytes,
        "states": 2 * gradient_bytes(trace),
    }
    return table, Beside(SAVED, (), step, where(step), {key: Need(value) for key, value in needs.items()})


# By the data


@pytest.mark.parametrize("name", CASES)
def test_figures_are_those_of_a_run_made_there(name: str) -> None:
    table, beside = paged(name)
    scaling = beside.scaling
    assert scaling.no_batch == ""
    for batch, dtype in CASES[name].points:
        label = dtype or listed(table.run)
        assert label in scaling.dtypes, scaling.no_dtype
        other, needs = there(name, batch, dtype)
        found = figures_of(other)
        for place, value in figures_of(table).items():
            if value is not None:
                assert scaling.value(place, value, batch, label) == found[place], (place, batch, dtype)
        for key, need in beside.needs.items():
            told = need.value(batch, scaling.dtypes[label])
            assert told == needs.needs[key].bytes or (
                told is None and key == "peak" and "A training step:" in CASES[name].stamped
            ), (key, batch, dtype)


def test_a_llama_of_8_billion_weighs_what_it_holds() -> None:
    """Two bytes a parameter at every batch, and no more when it is trained; 14.96 GiB, where float32 would be 29.92.

    Source: Llama 3 8B's config.json; by hand, 2·128,256·4,096 + 32·(2·4,096² + 2·4,096·1,024 + 3·4,096·14,336 +
    2·4,096) + 4,096 parameters, and the 64 frequencies of the rotation in float32, held twice.
    """
    model = huggingface(
        "Llama", torch.bfloat16, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, vocab_size=128256,
        num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192,
    )  # fmt: skip
    table, beside = page_of(model, "tokens:1x16", Said(saved=True))
    params = 2 * 128256 * 4096 + 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096) + 4096
    assert table.totals.params == params == 8_030_261_248
    assert table.totals.param_bytes == 2 * params
    assert human_bytes(2 * params) == "14.96 GiB"
    (dtype,) = beside.scaling.dtypes.values()
    for batch in (1, 8):
        assert beside.needs["held"].value(batch, dtype) == 2 * params + 2 * 64 * 4


# In the browser

READ = """() => {
    for (const title of document.querySelectorAll("title, desc")) title.textContent += "\\n";
    const found = {};
    const put = (element, text) => {
        const place = element.closest(".needs li, section, aside, .work, .toolbar");
        if (element.closest("[hidden], [data-script], dialog, [data-stamp]") || place?.matches(".work, .toolbar")) return;
        const key = place?.querySelector("h2, strong")?.textContent ?? "";
        (found[key] ??= []).push(text.replace(/\\s+/g, " ").trim());
    };
    const texts = "h1, h2, p, li, td, th, caption, dt, dd, svg text, svg title, svg desc";
    for (const element of document.querySelectorAll(texts)) if (!element.querySelector("[data-stamp]")) put(element, element.textContent);
    for (const element of document.querySelectorAll(".needs li")) put(element, element.innerText);
    for (const element of document.querySelectorAll("svg.bars rect")) put(element, "as wide as " + element.getAttribute("width"));
    for (const element of document.querySelectorAll("[title]")) put(element, element.title);
    const shown = [...document.querySelectorAll("[data-stamp]:not([hidden])")];
    const stamped = shown.map(e => e.closest(".needs li, section").querySelector("h2, strong").textContent);
    return [found, stamped];
}"""
"""All that is to be read on a page, by the heading it stands below, and the headings of what is stamped."""


def read(browser: Any, path: Path, fragment: str, layer: str) -> tuple[dict[str, list[str]], list[str]]:
    columns = "params,weights,biases,trainable,param_bytes,macs,flops,backward_macs,backward_flops,activations,"
    columns += "conv_activations,activation_bytes,saved_bytes,receptive_field,jump"
    with opened(browser, path, f"#view=flat&cols={columns}&layer={layer}{fragment}") as found:
        return tuple(found.page.evaluate(READ))


@pytest.mark.parametrize("name", CASES)
def test_a_page_reads_as_one_of_a_run_made_there(name: str, browser: Any, tmp_path: Path) -> None:
    table, beside = paged(name)
    page = tmp_path / "page.html"
    page.write_text(html(table, None, beside), encoding="utf-8")
    layer = max(table.layers, key=lambda row: row.macs).path
    for batch, dtype in CASES[name].points[:3]:
        new = tmp_path / "new.html"
        new.write_text(html(there(name, batch, dtype)[0], None, there(name, batch, dtype)[1]), encoding="utf-8")
        chosen = f"&n={batch}" + (f"&dtype={dtype}" if dtype else "")
        here, stamped = read(browser, page, chosen, layer)
        expected, none = read(browser, new, "", layer)
        assert none == []
        assert set(stamped) <= CASES[name].stamped
        assert here.keys() == expected.keys()
        for key in here.keys() - set(stamped):
            assert here[key] == expected[key], (key, batch, dtype)


def test_a_figure_that_is_off_by_one_is_seen(browser: Any, tmp_path: Path) -> None:
    table, beside = paged("gpt2")
    text = html(table, None, beside)
    here, wrong = tmp_path / "page.html", tmp_path / "wrong.html"
    here.write_text(text, encoding="utf-8")
    p, q = beside.scaling.lines["memory", 3, "elements"][0]
    assert text.count(f"[1,3,0,{p},{q},") == 1
    wrong.write_text(text.replace(f"[1,3,0,{p},{q},", f"[1,3,0,{p + 1},{q},"), encoding="utf-8")
    found, expected = (read(browser, path, "&n=2", "lm_head")[0] for path in (wrong, here))
    differ = {key for key in found if found[key] != expected[key]}
    assert differ == {"How much memory is that?"}
