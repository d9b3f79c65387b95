"""Lazy layers: a run on meta tells their shapes, and they are lazy again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from vggcost.errors import TraceError
from vggcost.load.given_back import owing
from vggcost.trace.held import Modules, kept
from vggcost.trace.signature import is_plain

__all__ = ["LEARNED", "learned", "shaped"]

LEARNED = "its lazy layers have the shapes that this input gives them"
_HELD = ("_parameters", "_buffers")
_HANDLES = ("_initialize_hook", "_load_hook")


class _Shape(NamedTuple):
    """What a lazy layer is after a run: its class, its plain attributes, and its tensors' shapes."""

    kind: type
    attributes: dict[str, Any]
    tensors: dict[str, dict[str, tuple[torch.Size, torch.dtype]]]


def _is_lazy(module: nn.Module) -> bool:
    return any(isinstance(t, UninitializedTensorMixin) for held in _HELD for t in vars(module).get(held, {}).values())


def learned(modules: Modules) -> dict[int, _Shape]:
    """Collect what lazy layers became in a run."""
    lazy = {id(m): m for _, m in modules if isinstance(m, nn.Module) and not _is_lazy(m)}
    return {
        key: _Shape(
            type(module),
            {name: value for name, value in vars(module).items() if is_plain(value)},
            {
                held: {name: (t.shape, t.dtype) for name, t in vars(module)[held].items() if t is not None}
                for held in _HELD
            },
        )
        for key, module in lazy.items()
        if all(isinstance(vars(module).get(held), dict) for held in _HELD)
    }


@contextmanager
def shaped(modules: Modules, real: bool, run: Callable[[], dict[int, _Shape]]) -> Iterator[bool]:
    """Give lazy layers the shapes that a run gives them, while the context lasts; yield whether there are any.

    Raises:
        TraceError: a layer is not lazy in torch's way, or the run does not reach it.
    """
    lazy = [(path, module) for path, module in modules if _is_lazy(module)]
    if not lazy:
        yield False
        return
    classes = [(module, type(module)) for _, module in lazy]

    def undo() -> None:
        for module, kind in classes:
            module.__class__ = kind

    with kept([module for _, module in modules]), owing(undo):
        with owing(undo):
            shapes = run()
        for path, module in lazy:
            if id(module) not in shapes:
                name = next(n for held in _HELD for n, t in vars(module)[held].items() if _uninitialised(t))
                raise TraceError(
                    f"{path}.{name}".lstrip(".") + " is a lazy parameter without a shape, and the run does not reach "
                    "it; give its layer the size, or run the model once on real data"
                )
            _become(module, shapes[id(module)], "cpu" if real else "meta")
        yield True


def unshaped(modules: Modules) -> str:
    """Name the first lazy parameter or buffer that has no shape; empty: there is none."""
    named = ((path, n, t) for path, module in modules for held in _HELD for n, t in vars(module)[held].items())
    return next((f"{path}.{name}".lstrip(".") for path, name, tensor in named if _uninitialised(tensor)), "")


def _uninitialised(tensor: Any) -> bool:
    return isinstance(tensor, UninitializedTensorMixin)


def _become(module: nn.Module, shape: _Shape, device: str) -> None:
    for name in _HANDLES if isinstance(module, LazyModuleMixin) else ():
        if name in vars(module):
            vars(module).pop(name).remove()
    for held, tensors in shape.tensors.items():
        for name, (size, dtype) in tensors.items():
            if _uninitialised(vars(module)[held][name]):
                made: torch.Tensor = torch.zeros(size, dtype=dtype, device=device)
                trained = vars(module)[held][name].requires_grad
                vars(module)[held][name] = nn.Parameter(made, trained) if held == "_parameters" else made
    vars(module).update(shape.attributes)
    module.__class__ = shape.kind
