"""Real tensors among meta ones where torch compares devices before its dispatcher is asked.

A tensor that a model makes without naming a device is real. Ops take it as they find it (`kernels`); the
recurrent layers and autograd do not, so that they are given a stand-in of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from vggcost.load.meta import meta_like

if TYPE_CHECKING:
    from vggcost.trace.recorder import Recorder

__all__ = ["Mixing", "mixing"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Mixing = Callable[["Recorder", tuple[Any, ...], dict[str, Any]], Arguments]
_TENSOR: Any = torch.Tensor
_TOGETHER = frozenset(
    (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu, torch.autograd.grad, torch.autograd.backward,
     _TENSOR.backward)
)  # fmt: skip
_past = torch._C._DisableTorchDispatch


def mixing(func: Any) -> Mixing | None:
    """Return what to do with the arguments of a function before it runs, if they may be real and meta ones."""
    if func in _TOGETHER:
        return _together
    name = getattr(func, "__name__", "")
    inplace = name == "__setitem__" or (name.startswith("__i") and name != "__init__")
    return _written if inplace or (name.endswith("_") and not name.startswith("_")) else None


def _together(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Give the floating-point tensors of a call stand-ins on meta, where some are there already."""
    tensors = _floats((args, kwargs))
    if len({t.is_meta for t in tensors}) < 2:
        return args, kwargs
    with _past():
        stand_ins = {id(t): t.detach().to("meta") for t in tensors if not t.is_meta}
    for tensor in tensors:
        if not tensor.is_meta:
            recorder.alias(tensor, stand_ins[id(tensor)])
    return _exchanged(args, stand_ins), _exchanged(kwargs, stand_ins)


def _holders(tensor: Any) -> int:
    """How many hold a tensor: its variable, and each of its views."""
    return int(tensor._use_count())


def _written(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Make a real tensor meta before something is written into it that is differentiated and has no values.

    Autograd takes a tensor's gradient to be where the tensor is. What the tensor held is of no use any more.
    """
    target: Any = args[0] if args else None
    if not torch.is_grad_enabled() or type(target) is not torch.Tensor or target.is_meta or target.requires_grad:
        return args, kwargs
    if not any(t.is_meta and t.requires_grad for t in _floats((args[1:], kwargs))):
        return args, kwargs
    base: Any = target._base
    if _holders(target) > 1 or (base is not None and (_holders(base) > 2 or base.requires_grad)):
        return args, kwargs  # it has other views
    with _past():
        if base is None:
            _become(recorder, target, meta_like(target))
            return args, kwargs
        size, stride, offset = target.size(), target.stride(), target.storage_offset()
        _swap(target, meta_like(target))  # else it would hold the base as it was
        _become(recorder, base, meta_like(base))
        _swap(target, base.as_strided(size, stride, offset))
    return args, kwargs


def _become(recorder: Recorder, tensor: torch.Tensor, other: torch.Tensor) -> None:
    """Make a tensor the other one, in every place that holds it."""
    recorder.move(tensor, other)
    recorder.assumed.forget(tensor)  # views of it that are still about hold no values either
    _swap(tensor, other)


def _swap(tensor: torch.Tensor, other: torch.Tensor) -> None:
    torch._C._swap_tensor_impl(tensor, other)


def _floats(value: Any) -> list[torch.Tensor]:
    """List the tensors of plain arguments that can have gradients."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    return [tensor for item in value for tensor in _floats(item)]


def _exchanged(value: Any, others: dict[int, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return others.get(id(value), value)
    if isinstance(value, (tuple, list)):
        return type(value)([_exchanged(item, others) for item in value])
    return {key: _exchanged(item, others) for key, item in value.items()} if isinstance(value, dict) else value
