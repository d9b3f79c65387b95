"""The loss of a training step: the user's, the model's own in every form it is returned in, or a stated one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from tests.conftest import command
from vggcost import VggcostError, analyze, memory

Tensor = torch.Tensor


class Named(NamedTuple):
    logits: Tensor
    loss: Tensor


@dataclass
class Fields:
    logits: Tensor
    loss: Tensor


def of_transformers(loss: Tensor, logits: Tensor) -> Any:
    from transformers.modeling_outputs import ImageClassifierOutput

    return ImageClassifierOutput(loss, logits)


class Net(nn.Module):
    """A loss from the first layer alone, and an output of both."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second, self.form = nn.Linear(4, 8, bias=False), nn.Linear(8, 3, bias=False), form

    def forward(self, x: Tensor) -> Any:
        middle = self.first(x)
        return self.form(middle.square().mean(), self.second(middle))


BATCH = 2
LOSS_ALONE = BATCH * 4 * 8  # dW of the first layer
ALL = LOSS_ALONE + 2 * BATCH * 8 * 3  # dW and dx of the second one, too

OWN: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "mapping": lambda loss, logits: {"logits": logits, "loss": loss},
    "named tuple": lambda loss, logits: Named(logits, loss),
    "dataclass": lambda loss, logits: Fields(logits, loss),
    "output of transformers": of_transformers,
    "attribute": lambda loss, logits: SimpleNamespace(logits=logits, loss=loss),
    "inside a tuple": lambda loss, logits: (logits, {"loss": loss}),
    "inside a mapping": lambda loss, logits: {"out": Fields(logits, loss), "logits": logits},
    "outermost": lambda loss, logits: {"loss": loss, "part": {"loss": logits.sum()}},
    "of one number": lambda loss, logits: {"logits": logits, "loss": loss.reshape(1)},
}


@pytest.mark.parametrize("form", OWN)
def test_what_is_called_loss_is_the_loss_and_the_rest_is_not(form: str) -> None:
    if OWN[form] is of_transformers:
        pytest.importorskip("transformers")
    step = memory(Net(OWN[form]), "4", batch=BATCH)
    table = analyze(Net(OWN[form]), "4", batch=BATCH, mode="training")
    assert step.run.loss == table.run.loss == "the model's own"
    assert step.totals.backward_macs == table.totals.backward_macs == LOSS_ALONE


@pytest.mark.parametrize(
    "form",
    [
        lambda loss, logits: {"loss_box_reg": loss, "loss_classifier": logits.mean()},  # as torchvision's detectors
        lambda loss, logits: {"loss": {"box": loss, "class": logits.mean()}, "logits": logits},
        lambda loss, logits: [{"loss": loss}, {"loss": logits.mean()}],
    ],
)
def test_several_losses_are_added_up(form: Callable[[Tensor, Tensor], Any]) -> None:
    table = analyze(Net(form), "4", batch=BATCH, mode="training")
    assert table.run.loss == "the sum of the model's own"
    assert table.totals.backward_macs == ALL


@pytest.mark.parametrize(
    ("form", "loss"),
    [
        (lambda loss, logits: logits, "cross_entropy"),
        (lambda loss, logits: (logits,), "sum"),
        (lambda loss, logits: {"loss": None, "logits": logits}, "sum"),  # there was no target to make one
        (lambda loss, logits: (loss, logits), "sum"),  # without a name nothing says which is the loss
    ],
)
def test_without_a_loss_of_its_own_a_stated_one_is_taken(form: Callable[[Tensor, Tensor], Any], loss: str) -> None:
    table = analyze(Net(form), "4", batch=BATCH, mode="training")
    assert table.run.loss == loss
    assert table.totals.backward_macs == ALL


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (lambda loss, logits: {"loss": logits}, r"it is a tensor of \(1, 3\); give one with --loss"),
        (lambda loss, logits: {"loss": loss.detach(), "x": logits}, r"it is a tensor of \(\) without a gradient; give"),
        (lambda loss, logits: {"loss": {"a": loss, "b": logits}}, r"it is a tensor of \(1, 3\); give one with --loss"),
    ],
)
def test_a_loss_that_is_not_one_number_with_a_gradient_is_refused(
    form: Callable[[Tensor, Tensor], Any], says: str
) -> None:
    for run in (memory, lambda *given: analyze(*given, mode="training")):
        with pytest.raises(VggcostError, match=says):
            run(Net(form), "4")


def test_a_loss_of_the_users_goes_before_the_models_own() -> None:
    def squares(output: Any) -> Tensor:
        return output["logits"].square().sum()

    net = Net(OWN["mapping"])
    for found in (
        memory(net, "4", batch=BATCH, loss=squares),
        analyze(net, "4", batch=BATCH, mode="training", loss=squares),
    ):
        assert (found.run.loss, found.totals.backward_macs) == ("squares", ALL)
    with pytest.raises(VggcostError, match="the loss must be a function or its place"):
        analyze(net, "4", loss=3)  # type: ignore[arg-type]


LOSS = "def mean(out): return out.mean()\n"


def test_the_commands_take_a_loss(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(LOSS, encoding="utf-8")
    done = command("report", "vgg-f", "--mode", "training", "--loss", "./own.py:mean", "--format", "json", cwd=tmp_path)
    run = json.loads(done.stdout)["run"]
    assert run["loss"] == "mean"
    assert run["command"] == "vggcost report vgg-f --mode training --loss ./own.py:mean"
    (tmp_path / "own.py").write_text("print('found')\n" + LOSS, encoding="utf-8")
    for words in ("memory vgg-f", "fit vgg-f --memory 1GiB", "train vgg-f"):
        done = command(*words.split(), "--loss", "./own.py:mean", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("found")) == (0, 1), done.stderr  # read once, whatever is tried
    (tmp_path / "own.py").write_text(LOSS, encoding="utf-8")
    for words in ("report vgg-f", "memory vgg-f", "fit vgg-f --memory 1GiB", "train vgg-f"):
        done = command(*words.split(), "--loss", "./own.py:maen", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "did you mean mean" in done.stderr


def test_the_guard_keeps_the_loss(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(LOSS, encoding="utf-8")
    (tmp_path / "vggcost.toml").write_text(
        '[[models]]\nname = "vgg-f"\nmode = "training"\nloss = "./own.py:mean"\n', encoding="utf-8"
    )
    folder = tmp_path / "below"
    folder.mkdir()
    assert command("lock", cwd=folder).returncode == 0
    data = json.loads((tmp_path / "vggcost.lock.json").read_text(encoding="utf-8"))["models"]["vgg-f"]
    assert (data["spec"]["loss"], data["run"]["loss"]) == ("./own.py:mean", "mean")
    assert command("check", cwd=folder).returncode == 0
    given = command("lock", "vgg-m", "--mode", "training", "--loss", "../own.py:mean", cwd=folder)
    assert given.returncode == 0, given.stderr
    data = json.loads((tmp_path / "vggcost.lock.json").read_text(encoding="utf-8"))["models"]["vgg-m"]
    assert data["spec"]["loss"] == "./own.py:mean"
    (tmp_path / "vggcost.toml").write_text('[[models]]\nname = "vgg-f"\nloss = 3\n', encoding="utf-8")
    done = command("check", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "loss must be the place of a function" in done.stderr


def test_a_page_reads_the_file_of_a_loss_once(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("print('found')\n" + LOSS, encoding="utf-8")
    done = command("report", "vgg-f", "--html", "-o", "page.html", "--loss", "./own.py:mean", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("found")) == (0, 1), done.stderr
    assert "loss mean" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_loss_without_a_place_makes_no_command() -> None:
    assert analyze("vgg-f").run.command
    assert not analyze("vgg-f", loss=torch.sum).run.command
