"""Modules in a form of their own: lazy, scripted, parallel, sharded, observed, nested deeply, or without inputs."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import command, python
from tests.ops import BOTH
from vggcost import VggcostError, analyze, memory

X = torch.randn(4, 16)
MACS, PARAMS = 4 * (16 * 8 + 8 * 3), 16 * 8 + 8 + 8 * 3 + 3


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


# Lazy layers


def lazy() -> nn.Sequential:
    return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))


def state(model: nn.Module) -> list[Any]:
    return [
        (type(m), id(m), sorted(vars(m)), {k: id(v) for k, v in m._parameters.items()}, list(m._forward_pre_hooks))
        for m in model.modules()
    ]


@pytest.mark.parametrize("mode", BOTH)
def test_lazy_layers_get_their_shapes_and_are_lazy_again(mode: str) -> None:
    model = lazy()
    before = state(model)
    table = analyze(model, (X,), mode=mode)
    assert (table.totals.macs, table.totals.params) == (MACS, PARAMS)
    assert table.run.note == "its lazy layers have the shapes that this input gives them"
    assert [row.kind for row in table.layers][:3] == ["Linear", "ReLU", "Linear"]
    assert state(model) == before
    assert model(torch.randn(2, 5)).shape == (2, 3)  # another width than the one that was counted


def test_lazy_convolutions_and_norms_are_those_of_their_input() -> None:
    made = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(5))
    usual = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))
    x, before = torch.randn(2, 3, 8, 8), state(made)
    for mode in BOTH:
        assert analyze(made, (x,), mode=mode).totals == analyze(usual, (x,), mode=mode).totals
    assert memory(made, (x,)).totals == memory(usual, (x,)).totals
    with pytest.raises(VggcostError):
        analyze(made, (torch.randn(2, 3, 2, 2),))  # smaller than a window
    assert state(made) == before


def test_a_lazy_layer_that_is_not_reached_is_named() -> None:
    model = lazy()
    model.register_module("spare", nn.ModuleDict({"one": nn.LazyLinear(2)}))
    model.forward = lambda x: model[2](model[1](model[0](x)))  # type: ignore[method-assign]
    with pytest.raises(VggcostError, match=r"spare\.one\.weight is a lazy parameter without a shape"):
        analyze(model, (X,))


# TorchScript


class Holds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scripted, self.last = script(nn.Linear(16, 8)), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(torch.relu(self.scripted(x)))


def script(module: nn.Module) -> Any:
    return torch.jit.script(module)


@pytest.mark.filterwarnings("ignore:.torch.jit")  # which torch deprecates
@pytest.mark.parametrize("form", ["script", "trace", "inside"])
def test_a_module_of_torchscript_is_one_layer(form: str) -> None:
    model = {"script": lambda: script(net()), "trace": lambda: torch.jit.trace(net(), X), "inside": Holds}[form]()
    weights = [(name, id(p), p.device, p.requires_grad) for name, p in model.named_parameters()]
    children = [(name, id(child)) for name, child in model.named_modules()] if form == "inside" else []
    expected = analyze(net(), (X,), mode="training")
    for mode in BOTH:
        table = analyze(model, (X,), mode=mode)
        assert (table.totals.macs, table.totals.params) == (MACS, PARAMS)
        assert table.run.note == "a module of TorchScript is one layer: it does not show those inside"
    assert table.totals.backward_macs == expected.totals.backward_macs
    assert [(name, id(p), p.device, p.requires_grad) for name, p in model.named_parameters()] == weights
    assert not children or [(name, id(child)) for name, child in model.named_modules()] == children
    assert model(X).shape == (4, 3)


# Parallel and sharded modules

PARALLEL = """
import os, sys, torch, vggcost, warnings
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

warnings.simplefilter("ignore")
store = dist.FileStore(sys.argv[1], 1)
dist.init_process_group("gloo", store=store, rank=0, world_size=1)
x = torch.randn(4, 16)

def net():
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))

class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
    def forward(self, x):
        return self.inner(x)

def sharded():
    model, mesh = net(), init_device_mesh("cpu", (1,))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    return model

for name, model in (
    ("ddp", nn.parallel.DistributedDataParallel(net())),
    ("ddp inside", Around(nn.parallel.DistributedDataParallel(net()))),
    ("fsdp", sharded()),
    ("fsdp inside", Around(sharded())),
):
    kinds = [type(module) for module in model.modules()]
    for mode in ("inference", "training"):
        table = vggcost.analyze(model, (x,), mode=mode)
        assert (table.totals.macs, table.totals.params) == (608, 163), (name, mode, table.totals)
        assert "not counted" in table.run.note, (name, table.run.note)
    assert vggcost.memory(model, (x,)).totals.gradient_bytes == 163 * 4
    assert [type(module) for module in model.modules()] == kinds
    for _ in range(2):  # it trains as before
        model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters()), name
print("done")
dist.destroy_process_group()
"""


def test_parallel_and_sharded_modules_are_counted_without_and_train_as_before(tmp_path: Any) -> None:
    (tmp_path / "run.py").write_text(PARALLEL, encoding="utf-8")
    done = python(str(tmp_path / "run.py"), str(tmp_path / "store"), cwd=tmp_path)
    assert done.stdout.strip() == "done", done.stderr[-2000:]


def test_data_parallel_is_its_module() -> None:
    table = analyze(nn.DataParallel(net()), (X,))
    assert (table.run.model, table.totals.macs, table.totals.params) == ("Sequential", MACS, PARAMS)
    assert table.run.note.startswith("run without the wrapper DataParallel")


@pytest.mark.parametrize("mode", BOTH)
def test_a_norm_over_processes_is_one_of_one_process(mode: str) -> None:
    usual = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    table = analyze(nn.SyncBatchNorm.convert_sync_batchnorm(usual), (torch.randn(2, 3, 8, 8),), mode=mode)
    assert table.totals == analyze(usual, (torch.randn(2, 3, 8, 8),), mode=mode).totals
    assert table.run.note == "SyncBatchNorm runs as in one process: what it exchanges is not counted"


# Observers


@pytest.mark.filterwarnings("ignore")  # torch.ao says that torchao comes after it
@pytest.mark.parametrize("mode", BOTH)
def test_what_is_quantised_in_training_is_counted(mode: str) -> None:
    import torch.ao.quantization as ao

    for observer in (ao.MovingAverageMinMaxObserver, ao.MinMaxObserver):
        model = nn.Sequential(ao.FakeQuantize(observer), *net())
        table = analyze(model, (X,), mode=mode)
        assert (table.totals.macs, table.totals.params) == (MACS, PARAMS)
        texts = [a.text for a in table.coverage.assumed]
        assert all(text.startswith(("no, for observers that have seen data", "taken as passed")) for text in texts)
    whole = net().train()
    whole.qconfig = ao.get_default_qat_qconfig("x86")  # type: ignore[assignment]
    assert analyze(ao.prepare_qat(whole), (X,), mode=mode).totals.macs == MACS


# What cannot be trained, and why


class Gives(nn.Module):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.layer, self.what = nn.Linear(16, 3), what

    def forward(self, x: torch.Tensor) -> Any:
        return self.what(self.layer(x))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.BatchNorm1d(16, affine=False), "it has no parameters"),
        (nn.ReLU(), "it has no parameters"),
        (nn.Linear(16, 3).requires_grad_(False), "all its parameters are frozen"),
        (Gives(lambda y: y.argmax(-1)), "its outputs are int64, which have no gradient"),
        (Gives(lambda y: y.detach()), "in a way that is differentiated"),
        (Gives(lambda y: None), "its forward returns no tensor but nothing"),
    ],
)
def test_the_reason_why_a_net_cannot_be_trained_is_one_line(model: nn.Module, reason: str) -> None:
    with pytest.raises(VggcostError, match=f"cannot be trained: .*{reason}") as error:
        analyze(model, (X,), mode="training")
    assert "\n" not in str(error.value)
    table = analyze(model, (X,), saved=True)  # and the memory section says so
    assert reason in next(line.note for line in table.memory if line.definition == "saved for backward")


def test_a_norm_without_parameters_does_not_keep_a_net_from_training() -> None:
    x = torch.randn(2, 3, 8, 8)
    table = analyze(nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 4, 3)), (x,), mode="training")
    assert table.totals.backward_macs == table.totals.macs == 2 * 36 * 27 * 4
    with pytest.raises(VggcostError, match="nothing is left to train: it has no parameters"):
        memory(nn.BatchNorm2d(3, affine=False), (x,))
    with pytest.raises(VggcostError, match="nothing is left to train: every parameter is frozen"):
        memory(nn.Linear(16, 3).requires_grad_(False), (X,))


def test_what_is_saved_does_not_need_the_backward_pass() -> None:
    whole = analyze(net(), (X,), mode="training").totals.saved_bytes
    table = analyze(net(), (X,), saved=True)
    assert next(line.bytes for line in table.memory if line.definition == "saved for backward") == whole


# No inputs


class Alone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seed, self.layer = nn.Parameter(torch.randn(4, 16)), nn.Linear(16, 3)

    def forward(self) -> Any:
        return self.layer(self.seed)


def test_a_forward_that_takes_nothing_needs_no_inputs(tmp_path: Any) -> None:
    for inputs in (None, (), {}):
        for mode in BOTH:
            table = analyze(Alone(), inputs, mode=mode)
            assert (table.totals.macs, table.totals.params) == (4 * 16 * 3, 64 + 51)
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\nclass Alone(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.seed, self.layer = nn.Parameter(torch.randn(4, 16)), nn.Linear(16, 3)\n"
        "    def forward(self):\n        return self.layer(self.seed)\n",
        encoding="utf-8",
    )
    done = command("report", "./net.py:Alone", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "115 parameters; 192 MACs" in done.stdout


# Modules in modules


def deep(count: int) -> nn.Module:
    model: nn.Module = nn.Linear(4, 4)
    for _ in range(count):
        model = nn.Sequential(model)
    return model


def test_what_torch_can_run_needs_no_more_room_here() -> None:
    limit, x = sys.getrecursionlimit(), torch.randn(2, 4)
    reached = 200
    for count in (50, 200, 240):
        try:
            deep(count)(x)
        except RecursionError:
            break
        reached = count
        assert analyze(deep(count), (x,)).totals.macs == 32
        assert analyze(deep(count), (x,), mode="training").totals.macs == 32
    assert reached >= 50
    assert sys.getrecursionlimit() == limit


def test_what_torch_cannot_run_is_said_in_a_line() -> None:
    with pytest.raises(VggcostError, match="its modules lie 1,999 deep in each other") as error:
        analyze(deep(2000), (torch.randn(2, 4),))
    assert len(str(error.value)) < 300
    held = nn.Module()
    held.layer, held.spare = nn.Linear(4, 4), deep(2000)  # deep, and never called
    held.forward = held.layer.forward  # type: ignore[method-assign]
    assert analyze(held, (torch.randn(2, 4),)).totals.params == 2 * 20
