"""Modules that torch wraps for a way to run: compiled, parallel, sharded, scripted; what they compute is run without it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from vggcost.load.given_back import lock, owing
from vggcost.trace.claimed import claimed
from vggcost.trace.held import Modules, inside, kept
from vggcost.trace.packed import noted_weights

__all__ = ["nested", "noted", "plain", "unwrapped"]

_PARALLEL = (nn.parallel.DistributedDataParallel, nn.DataParallel)
_SCRIPTED = torch.jit.ScriptModule


def _is_sharded(module: nn.Module) -> bool:
    """Whether torch.distributed.fsdp.fully_shard was called on a module."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(module, getattr(fsdp, "FSDPModule", ()))


_WAYS: tuple[tuple[Callable[[nn.Module], bool], str], ...] = (
    (
        lambda module: isinstance(module, _PARALLEL),
        "run without the wrapper {}: what goes between devices, and its buffers, are not counted",
    ),
    (
        _is_sharded,
        "run unsharded in one process: what goes between processes, and each one's share, are not counted",
    ),
    (
        lambda module: isinstance(module, nn.SyncBatchNorm),
        "{} runs as in one process: what it exchanges is not counted",
    ),
    (
        lambda module: isinstance(module, _SCRIPTED),
        "a module of TorchScript is one layer: it does not show those inside",
    ),
)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside the wrappers of torch.compile, DataParallel and DistributedDataParallel."""
    while True:
        inner = model.module if isinstance(model, _PARALLEL) else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def noted(model: nn.Module) -> str:
    """Say what a reader of the figures must know of the wrappers in a model; nothing if there are none."""
    found: dict[str, None] = {}
    modules = [module for _, module in inside(model)]
    for is_one, text in _WAYS:
        kinds = sorted({type(module).__name__ for module in modules if is_one(module)})
        if kinds:
            found[text.format(" and ".join(kinds))] = None
    return "; ".join([*found, *noted_weights(inside(model))])


def nested(modules: Modules) -> int:
    """Return how deep modules lie inside each other."""
    return max(path.count(".") for path, _ in modules)


@contextmanager
def plain(model: nn.Module) -> Iterator[Modules]:
    """Yield a model and all that is in it as modules that run by themselves, and put everything back afterwards.

    Python's limit of calls within calls is raised by as much as the hooks of a run take.
    """
    model = unwrapped(model)
    if isinstance(model, _SCRIPTED):
        model = _cloned(model)
    modules = inside(model)
    with _room(nested(modules)), claimed(modules) as waited, _opened(inside(model) if waited else modules) as opened:
        yield opened


@contextmanager
def _opened(modules: Modules) -> Iterator[Modules]:
    """Let modules run by themselves while the context lasts."""
    each = list({id(module): module for _, module in modules}.values())
    odd = [m for m in each if isinstance(m, (*_PARALLEL, _SCRIPTED)) or _is_sharded(m)]
    if not odd:
        yield modules
        return
    classes = [(module, type(module)) for module in odd if _is_sharded(module)]

    def undo() -> None:
        for module, kind in classes:
            module.__class__ = kind

    with kept([module for module in each if not isinstance(module, _SCRIPTED)]), owing(undo):
        for module in each:
            _open(module)
        yield inside(modules[0][1])


def _open(module: nn.Module) -> None:
    """Take off what makes a module run in another way."""
    if isinstance(module, _SCRIPTED):
        return
    if isinstance(module, _PARALLEL):
        vars(module)["forward"] = module.module
    if _is_sharded(module):
        hooks = (module._forward_pre_hooks, module._forward_hooks)
        for held in hooks:
            for key, hook in list(held.items()):
                if type(getattr(hook, "__self__", None)).__name__ == "FSDPState":
                    del held[key]
        module.__class__ = type(module).__mro__[2]
    for name, child in module._modules.items():
        if isinstance(child, _SCRIPTED) and not isinstance(module, _SCRIPTED):
            module._modules[name] = _cloned(child)


def _cloned(module: Any) -> nn.Module:
    """Return a copy of a module of TorchScript, which holds its tensors where nothing can give them back."""
    with torch.no_grad():  # else it is differentiated
        made = copy.deepcopy(module)
    for parameter, original in zip(made.parameters(), module.parameters(), strict=True):
        parameter.requires_grad_(original.requires_grad)
    return made  # type: ignore[no-any-return]


@contextmanager
def _room(depth: int) -> Iterator[None]:
    """Let calls nest as deep as torch's own can without the hooks of a run: each module takes one call more."""
    if depth < 40:
        yield
        return
    token = object()
    with owing(partial(_leave, token)):
        with lock:
            if not _rooms:
                _limit[:] = [sys.getrecursionlimit()]
            _rooms[token] = 2 * depth + 200
            sys.setrecursionlimit(_limit[0] + max(_rooms.values()))
        yield


_rooms: dict[object, int] = {}
_limit: list[int] = []
"""Python's limit before the first of the analyses that overlap."""


def _leave(token: object) -> None:
    with lock:
        if _limit and sys.getrecursionlimit() == _limit[0] + max(_rooms.values(), default=0):
            sys.setrecursionlimit(
                _limit[0] + max([room for one, room in _rooms.items() if one is not token], default=0)
            )
        _rooms.pop(token, None)
