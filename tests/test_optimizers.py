"""Every optimizer that is listed: its states and temporaries as in reality, its work whatever way torch batches it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import command
from tests.reality import real_step
from vggcost import VggcostError, memory
from vggcost.records import Step
from vggcost.trace.optimizers import OPTIMIZERS, optimizer_of

SIZES = (8 * 16, 16 * 4)
FUSED = ("sgd", "sgd-momentum", "adagrad", "adam", "adamw")
TENSORS = len(SIZES)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False))


def flops(optimizer: str, device: str = "cpu", **options: Any) -> int:
    return memory(net(), "8", optimizer=optimizer, device=device, optimizer_options=options).totals.optimizer_flops


# By the formulas in torch.optim's documentation: operations for each element of a parameter, and for each tensor.
WORK: dict[str, tuple[int, int]] = {
    "none": (0, 0),
    "sgd": (1, 0),  # θ + a·g
    "sgd-momentum": (3, 0),  # μ·b, + g, θ + a·b
    "adadelta": (11, 1),  # ρ·v, + a·g·g; v + ε, √; u + ε, √, / and · g; ρ·u, + a·Δ·Δ; θ + a·Δ; the step
    "adagrad": (4, 1),  # s + g·g; √, + ε; θ + a·g/d
    "adam": (7, 1),  # m; β·v, + a·g·g; √, /, + ε; θ + a·m/d
    "adamw": (8, 1),  # decay, and the same
    "adamax": (6, 1),  # m; β·u; |g|, + ε; max; θ + a·m/u
    "asgd": (2, 1),  # decay, θ + a·g; the average starts after a million steps
    "nadam": (8, 2),  # as Adam, with one more term of θ; the step, and the product of momenta
    "radam": (12, 1),  # m; β·v, + a·g·g; m/c; · lr; √, + ε, 1/, · c; · l, · r; θ −
    "rmsprop": (5, 1),  # α·v, + a·g·g; √, + ε; θ + a·g/d
    "rprop": (10, 1),  # g·p, sign, >, <, ==, ==; η·, clamp; sign of g; θ + a·s·η
}


def closed_form(optimizer: str) -> int:
    if optimizer == "muon":
        return sum(muon(16, 8, 5) if size == 128 else muon(4, 16, 5) for size in SIZES)
    if optimizer == "adafactor":
        return adafactor(16, 8) + adafactor(4, 16)
    each, once = WORK[optimizer]
    return each * sum(SIZES) + once * TENSORS


def muon(rows: int, columns: int, iterations: int) -> int:
    """Two moving averages, norm and division, decay and update; X·Xᵀ, A·A and B·X with their sums; the clamp."""
    r, c = min(rows, columns), max(rows, columns)
    products = 2 * (r * c * r + r * r * r + r * r * c) + r * r + r * c
    return 6 * r * c + iterations * products + 1


def adafactor(rows: int, columns: int) -> int:
    """Moving averages of the squares of rows and columns, their outer product over its mean, and the clipped update."""
    n = rows * columns
    averages = 2 * n + 3 * (rows + columns)  # norms; their squares, divided, averaged
    estimate = 2 * n + rows + 1 + n  # r·cᵀ; the mean of r, bounded from below, divides it
    update = 4 * n  # bounded, 1/√, · g; θ + a·u
    return 1 + averages + estimate + update + 2 * n  # the step; ‖θ‖ and ‖u‖


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_that_is_listed_runs_and_its_work_is_known(name: str, device: str) -> None:
    assert flops(name, device) == closed_form(name)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("none", "muon")])
def test_how_torch_batches_tensors_does_not_change_the_work(name: str) -> None:
    options: list[dict[str, Any]] = [{}, {"maximize": True}, {"weight_decay": 0.1}]
    options += [{"amsgrad": True}] if name in ("adam", "adamw") else []
    options += [{"nesterov": True}] if name == "sgd-momentum" else []
    options += [{"centered": True, "momentum": 0.9}] if name == "rmsprop" else []
    options = [each for each in options if not (name == "rprop" and "weight_decay" in each)]
    for each in options:
        wanted = flops(name, **each)
        assert flops(name, "cuda", **each) == flops(name, "cuda", foreach=False, **each) == wanted
        assert flops(name, foreach=True, **each) == wanted
        if name in FUSED:
            assert flops(name, "cuda", fused=True, **each) == flops(name, fused=True, **each) == wanted


def test_adamw_of_resnet_50() -> None:
    params, tensors = 25_557_032, 161
    for device in ("cpu", "cuda"):
        assert memory("resnet-50", optimizer="adamw", device=device).totals.optimizer_flops == 8 * params + tensors


def real(name: str, parameters: Any, **options: Any) -> Any:
    step = Step(name, options=tuple(options.items()))
    return optimizer_of(step, {str(i): p for i, p in enumerate(parameters)})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_states_are_those_of_a_real_optimizer(name: str) -> None:
    model = net()
    stepper = real(name, model.parameters())
    for _ in range(2):
        model(torch.rand(2, 8)).square().sum().backward()
        stepper.step()
    held = [t for state in stepper.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    report = memory(net(), "8", optimizer=name)
    assert report.totals.optimizer_bytes == sum(t.untyped_storage().nbytes() for t in held)
    assert sum(layer.optimizer_bytes for layer in report.layers) == report.totals.optimizer_bytes


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(256, 512, bias=False), nn.ReLU(), nn.Linear(512, 256, bias=False))


WAYS = [
    (name, way)
    for name in OPTIMIZERS
    for way in ({}, {"foreach": True}, {"fused": True})
    if name not in ("none", "muon") and ("fused" not in way or name in FUSED)  # oneDNN reorders what muon multiplies
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "way"), WAYS)
def test_a_real_step_takes_what_is_predicted(name: str, way: dict[str, bool]) -> None:
    guess = memory(wide(), "256", batch=4, optimizer=name, optimizer_options=way).totals.peak_bytes
    # the eighth, since some do less in their first steps
    found = real_step(
        wide, lambda: (torch.rand(4, 256),), optimizer=lambda parameters: real(name, parameters, **way), steps=8
    ).peak
    assert abs(guess / found - 1) < 0.002, f"predicted {guess:,}, measured {found:,}"


def test_a_fused_step_needs_no_temporaries_and_one_of_many_tensors_has_them_all_at_once() -> None:
    def temporary(**options: Any) -> int:
        report = memory(wide(), "256", optimizer="adam", device="cuda", optimizer_options=options)
        line = report.timeline
        during = [i for i, phase in enumerate(line.phases) if phase == "optimizer"]
        return max(line.bytes["temporary"][i] for i in during)

    one = 4 * 256 * 512
    assert temporary(fused=True) == 0
    assert temporary(foreach=False) == 3 * one  # √v, its quotient, and that of the tensor before
    assert temporary() == 2 * one  # √v of both tensors, divided in place


def test_a_graph_of_kernels_can_be_captured_on_cuda_alone() -> None:
    for name in ("adam", "adamw", "adamax", "asgd", "radam", "nadam", "rmsprop", "rprop", "adadelta"):
        states = memory(net(), "8", optimizer=name, device="cuda", optimizer_options={"capturable": True}).totals
        assert states.optimizer_bytes == memory(net(), "8", optimizer=name, device="cuda").totals.optimizer_bytes
        with pytest.raises(VggcostError, match=rf"^optimizer {name}: If capturable=True, .* supported devices"):
            memory(net(), "8", optimizer=name, optimizer_options={"capturable": True})


def test_torch_is_given_back_as_it_was() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith("torch.optim")]
    names = ("_get_fused_kernels_supported_devices", "_get_capturable_supported_devices")
    before = [vars(module)[name] for module in modules for name in names if name in vars(module)]
    assert len(before) > 3, "another torch, where these are called otherwise"
    for options in ({"fused": True}, {"fused": True, "capturable": True}, {"capturable": "?"}):
        memory(net(), "8", optimizer="adam", device="cuda", optimizer_options=options)
    with pytest.raises(VggcostError):
        memory(net(), "8", optimizer="adam", optimizer_options={"capturable": True})
    assert before == [vars(module)[name] for module in modules for name in names if name in vars(module)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("lbfgs", "optimizer lbfgs cannot be simulated: it runs the model as often as its line search asks"),
        (
            "sparseadam",
            "optimizer sparseadam: SparseAdam does not support dense gradients, please consider Adam instead",
        ),
        (
            "muon",
            "optimizer muon takes matrices only, unlike 0.bias (5), 2.bias (6), 4.bias (7) and 1 more; freeze them",
        ),
        ("adam fused=true foreach=true", "optimizer adam: `fused` and `foreach` cannot be `True` together"),
        ("adam fused=true differentiable=true", "optimizer adam: `fused` does not support `differentiable`"),
        ("rmsprop fused=true", "optimizer rmsprop: RMSprop.__init__() got an unexpected keyword argument 'fused'"),
        ("adam capturable=true", "optimizer adam: If capturable=True"),
        ("sgd lr=fast", "optimizer sgd: '<' not supported"),
        ("adam differentiable=true", "optimizer adam: "),
    ],
)
def test_what_an_optimizer_refuses_is_one_line(line: str, says: str, tmp_path: Any) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make(): return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 7), nn.ReLU(), "
        "nn.Linear(7, 8))\n",
        encoding="utf-8",
    )
    name, *options = line.split()
    words = [word for option in options for word in ("--optimizer-option", option)]
    done = command("memory", "./net.py:make", "-i", "4", "--optimizer", name, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


def test_muon_trains_matrices_and_the_rest_is_frozen() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4))
    with pytest.raises(
        VggcostError, match=r"takes matrices only, unlike 0\.bias \(16\), 1\.weight \(16\), 1\.bias \(16\)"
    ):
        memory(model, "8", optimizer="muon")
    found = memory(model, "8", optimizer="muon", freeze=("*.bias", "1"))
    assert found.totals.optimizer_flops == closed_form("muon")
    assert found.totals.gradient_bytes == found.totals.optimizer_bytes == 4 * sum(SIZES)
