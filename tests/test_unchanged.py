"""A module that is passed in, and the process around it, are after any run what they were before it."""

from __future__ import annotations

import logging
import os
import random
import socket
import sys
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch
import torch._dynamo  # which sets a variable of the environment, the first time an op needs it
import torch.nn.functional as F
from torch import nn
from torch._ops import HigherOrderOperator
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrizations

from vggcost import VggcostError, analyze, memory, verify
from vggcost.trace.borrow import borrowed
from vggcost.trace.held import inside
from vggcost.trace.run import switch

# Modules of (N, 4) → (N, 4), that write to all they can get hold of


class Helper:
    """No module, and yet part of one."""

    def __init__(self) -> None:
        self.table, self.count = torch.ones(4), 0
        self.me = self


class Writes(nn.Module):
    """Changes in its forward whatever a module can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4)
        self.frozen.requires_grad_(False)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("gone", torch.ones(2), persistent=False)
        self.scale = torch.full((4,), 2.0)
        self.tables = [torch.arange(4.0), [torch.ones(4)], (torch.zeros(4), "name")]
        self.cache: dict[Any, Any] = {"inner": {"x": torch.ones(4)}, "list": deque([torch.ones(4)], maxlen=2)}
        self.ordered = OrderedDict(a=1, b=torch.ones(1))
        self.names = {"one"}
        self.hidden = [nn.Linear(4, 4)]  # not registered
        self.helper = Helper()
        self.calls = 0
        self.lazy = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.steps += 1
        self.lazy = self.lazy or torch.ones(4, device=x.device)
        with torch.no_grad():
            for tensor in (
                self.layer.weight, self.frozen.bias, self.scale, self.tables[0], self.tables[1][0], self.tables[2][0],
                self.cache["inner"]["x"], self.cache["list"][0], self.ordered["b"], self.hidden[0].weight, self.helper.table,
            ):  # fmt: skip
                tensor.add_(1)
        self.tables.append(x)
        self.tables[1].clear()
        self.cache["new"] = self.cache["inner"]["y"] = x
        self.cache["list"].append(x)
        self.ordered.move_to_end("a")
        self.names.add("two")
        self.helper.count, self.helper.kept = 7, x
        self.layer.bias = None
        self.frozen.weight = nn.Parameter(torch.empty_like(self.frozen.weight))
        self.register_buffer("fresh", torch.ones(3))
        del self.gone
        self.register_forward_hook(lambda *_: None)
        self.frozen.train(not self.frozen.training)
        self.frozen.requires_grad_(True)
        self.extra = nn.Linear(4, 4)
        return self.norm(self.layer(x)) * self.scale + self.frozen(x)


def writes() -> nn.Module:
    model = Writes()
    model.layer.weight.grad = torch.ones(4, 4)
    model.norm.eval()
    return model


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 4))
    model[0].register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    model[0].register_forward_hook(lambda module, args, output: setattr(module, "last", output))
    model[2].register_full_backward_hook(lambda *_: None)
    model[2].weight.register_hook(lambda grad: grad * 2)
    return model


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    model.alias = model[0].weight  # registered here too
    model.append(model[0])
    model[1].bias.requires_grad_(False)
    return model


def parametrized() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = nn.utils.weight_norm(nn.Linear(4, 4))
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(4, 4)), parametrizations.spectral_norm(nn.Linear(4, 4)), old
    )


def half() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).half()


class Half(nn.Module):
    """Half precision inside, so that a float input fits."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.half()).float()


class Seeds(nn.Module):
    """Draws and sets what belongs to the process."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        random.seed(5)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(not torch.is_grad_enabled())
        torch.set_grad_enabled(not torch.is_grad_enabled())
        return F.dropout(x, 0.5) + random.random()


def attention() -> nn.Module:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x[None])[0]

    return Attends()


def compiled() -> nn.Module:
    return torch.compile(tied(), backend="eager")


MODELS: dict[str, Callable[[], nn.Module]] = {
    "writes": writes, "hooked": hooked, "tied": tied, "parametrized": parametrized, "half": Half, "seeds": Seeds,
    "attention": attention, "compiled": compiled,
}  # fmt: skip


# What goes wrong


class Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        raise ValueError("in backward")


class Last(nn.Module):
    """Passes on what it gets, or fails."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.layer = nn.Linear(4 if kind != "shape" else 5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        match self.kind:
            case "raises":
                raise ValueError("in forward")
            case "data" if x.sum() > 0:
                return x
            case "backward":
                x = Failing.apply(x)
            case "interrupt":
                raise KeyboardInterrupt
            case "exit":
                sys.exit(3)
        return self.layer(x)

    def fuse(self) -> nn.Module:
        self.layer.weight.data.zero_()
        if self.kind == "fuse":
            raise ValueError("in fuse")
        return nn.Identity()


FAILURES = ("", "raises", "data", "shape", "dtype", "backward", "interrupt", "exit", "fuse")


# The kinds of runs

RUNS: dict[str, Callable[[nn.Module, str], Any]] = {
    "inference": lambda model, given: analyze(model, given, batch=3),
    "saved": lambda model, given: analyze(model, given, batch=3, saved=True),
    "training": lambda model, given: analyze(model, given, batch=3, mode="training"),
    "memory": lambda model, given: memory(model, given, batch=3, optimizer="adam", freeze=("*bias",), dtype="bfloat16"),
    "verify": lambda model, given: verify(model, given, batch=3),
    "fuse": lambda model, given: analyze(model, given, batch=3, fuse=True),
    "fallback": lambda model, given: analyze(model, given, batch=3, fallback="cpu"),
    "assume": lambda model, given: analyze(model, given, batch=3, assume={"item": 0}),
}


def described(value: Any, known: dict[int, int]) -> Any:
    """Tell everything about a value that a run could change; an object that came before by its place."""
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = len(known)
    if isinstance(value, torch.Tensor):
        bits = value.detach().clone().contiguous().view(torch.uint8) if value.dim() else value.detach().clone()
        facts = value.dtype, value.device, value.stride(), value.requires_grad, value._version, value.data_ptr()
        return id(value), facts, bits.tolist(), described(value.grad, known) if value.is_leaf else None
    if isinstance(value, dict):
        inner: Any = [(key, described(item, known)) for key, item in value.items()]
    elif isinstance(value, (list, tuple, deque)):
        inner = [described(item, known) for item in value]
    elif isinstance(value, (set, frozenset)):
        inner = sorted(map(str, value))
    elif isinstance(value, (nn.Module, Helper)):
        inner = described(vars(value), known)
    else:
        inner = value if isinstance(value, (str, int, float, bool)) else None
    return id(value) if not isinstance(value, (int, float, str)) else None, inner


def process() -> dict[str, Any]:
    """Everything around a module that a run lays hands on."""
    hooks = {key: dict(value) for key, value in vars(torch_module).items() if key.startswith("_global") and value}
    return {
        "random": (torch.get_rng_state().tolist(), random.getstate()),
        "defaults": (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
        "modes": (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()),
        "hooks": hooks,
        "saved tensors": torch._C._autograd._top_saved_tensors_default_hooks(True),
        "functions": (
            F.scaled_dot_product_attention, nn.Parameter.__dict__["__new__"].__func__, nn.Module.register_parameter,
            nn.Module.load_state_dict, HigherOrderOperator.__call__, torch.compile, torch._VF.lstm,
            torch.autograd.Function.__dict__["apply"], socket.getaddrinfo, "connect" in vars(socket.socket),
        ),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, logging.root.manager.disable, list(logging.root.handlers)),
        "python": (sys.stdout, sys.stderr, list(sys.path), sys.getrecursionlimit()),
    }  # fmt: skip


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    around = process()
    before, alive = described(model, {}), list(model.modules())
    yield
    same = described(model, {}) == before
    assert same  # the two would fill pages
    assert all(a is b for a, b in zip(alive, model.modules(), strict=True))
    after = process()
    assert [key for key in around if after[key] != around[key]] == []


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", MODELS)
def test_a_run_leaves_no_trace(name: str, run: str, failure: str) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(MODELS[name](), Last(failure))
    model.train()
    model[1].eval()
    RUNS["inference"](nn.Linear(4, 4), "4")  # what torch sets up once, such as lazily made generators
    with unchanged(model):
        if failure == "interrupt":
            with suppress(KeyboardInterrupt, VggcostError):
                RUNS[run](model, "4")
        else:
            with suppress(VggcostError):
                RUNS[run](model, "4:int64" if failure == "dtype" else "4")


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_stand_in_looks_like_what_it_stands_for(device: str, grad: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4)).to(device)
    model[0].weight = nn.Parameter(torch.empty(4, 4, device=device).t())
    model[1].weight = nn.Parameter(torch.empty(1, 4, device=device).expand(4, 4), requires_grad=False)

    def looks() -> list[Any]:
        tensors = [*model.parameters(), *model.buffers()]
        return [(type(t), t.shape, t.stride(), t.dtype, t.requires_grad, t.is_leaf) for t in tensors]

    before, storages = looks(), {p.untyped_storage()._cdata for p in model.parameters()}
    with torch.set_grad_enabled(grad), borrowed(inside(model)):
        assert looks() == before
        twins = {p.untyped_storage()._cdata for p in model.parameters()}
        assert all(p.is_meta and p._version == 0 for p in model.parameters())
    assert len(twins) == len(storages)
    assert not twins & storages


def test_a_module_that_trains_in_a_way_of_its_own_is_asked() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    object.__setattr__(model[1], "train", lambda mode=True: model[1])  # as libraries freeze a part
    switch(inside(model), training=False)
    assert [module.training for module in model.modules()] == [False, False, True, True]


def test_a_module_inside_itself_is_named() -> None:
    model = nn.Sequential(nn.Sequential())
    model[0].add_module("again", model)
    with pytest.raises(VggcostError, match=r"^0\.again is a module around itself"):
        inside(model)
