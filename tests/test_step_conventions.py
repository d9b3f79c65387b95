"""A training step's FLOPs follow the convention, as a table's do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.conftest import command
from vggcost import analyze, memory
from vggcost.cost.conventions import CONVENTIONS
from vggcost.report.memory import MEMORY_FORMATS, render_memory


class Again(nn.Module):
    """Two blocks that are computed again for the backward pass, around a product of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = checkpoint(block, x @ x.mT, use_reentrant=False)
        return x.flatten(1)


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.LocalResponseNorm(5), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(8 * 7 * 7, 4),
    )  # fmt: skip


def encoder() -> nn.Module:
    return nn.Sequential(nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), nn.Flatten())


MODELS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "convolutions": (conv, "3x16x16"),
    "attention": (encoder, "8x16"),
    "checkpoints": (Again, "8x8"),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_a_steps_flops_are_those_of_the_table(name: str, convention: str) -> None:
    make, shape = MODELS[name]
    table = analyze(make(), shape, batch=2, mode="training", convention=convention).totals
    for times in (1, 3):
        step = memory(make(), shape, batch=2, convention=convention, accumulate=times).totals
        assert step.forward_flops == times * table.flops
        added = (times - 1) * table.params if convention == "full" else 0  # to the gradients of the passes before
        assert step.backward_flops + step.recompute_flops == times * table.backward_flops + added
        assert (step.recompute_flops > 0) == (name == "checkpoints")


def test_one_linear_layer_by_each_convention() -> None:
    # 2 images, 8 inputs, 4 classes: 64 MACs forward and for dW; the bias is 8 additions, its gradient the sum of 8
    for name, forward in (("torch", 128), ("fvcore", 64), ("convnet-burden", 64 + 8)):
        totals = memory(nn.Linear(8, 4), "8", batch=2, convention=name, loss=torch.sum).totals
        assert (totals.forward_macs, totals.forward_flops) == (64, forward)
        assert totals.backward_flops == (128 if name == "torch" else 64)
        assert totals.optimizer_flops == 36  # θ + a·g, in every convention
    full = memory(nn.Linear(8, 4), "8", batch=2, convention="full", loss=torch.sum).totals
    assert (full.forward_flops, full.backward_flops) == (128 + 8 + 8, 128 + 8)  # with the loss's sum


@pytest.mark.parametrize("format_", MEMORY_FORMATS)
def test_every_form_names_the_convention(format_: str) -> None:
    text = render_memory(memory(nn.Linear(8, 4), "8", convention="fvcore"), format_)
    if format_ == "json":
        assert json.loads(text)["convention"]["name"] == "fvcore"
    else:
        assert "er step, convention fvcore" in text
        assert "FLOPs by convention fvcore: As fvcore" in text


def test_the_commands(tmp_path: Path) -> None:
    done = command("memory", "vgg-f", "--convention", "convnet-burden", "--format", "json", cwd=tmp_path)
    assert (
        json.loads(done.stdout)["totals"]["forward_flops"] == analyze("vgg-f", convention="convnet-burden").totals.flops
    )
    done = command("train", "vgg-f", "--convention", "fvcore", cwd=tmp_path)
    assert "(forward and backward, convention fvcore)" in done.stdout
    once = json.loads(command("train", "vgg-f", "--convention", "fvcore", "--format", "json", cwd=tmp_path).stdout)
    twice = json.loads(command("train", "vgg-f", "--format", "json", cwd=tmp_path).stdout)
    assert (once["convention"], twice["convention"]) == ("fvcore", "torch")
    assert twice["step_flops"] == 2 * once["step_flops"]
    for words in ("memory vgg-f", "train vgg-f"):
        done = command(*words.split(), "--convention", "fulll", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "did you mean full" in done.stderr
