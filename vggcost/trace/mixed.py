"""Real tensors in a run on meta, where torch compares devices before its dispatcher is asked.

What was given, what a model makes of it, and what it makes without naming a device is real. Such tensors keep their
values for the model to read, but take no part in its work as such: where numbers with a fraction meet data that is not
there, or go into a function of torch.nn.functional, a stand-in on meta goes in. Where such data is written into a
real tensor, or it is differentiated by, it loses its values itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch._functorch import eager_transforms
from torch._functorch import vmap as vmapping

from vggcost.load.meta import is_whole, meta_like
from vggcost.load.replaced import replaced
from vggcost.trace.signature import PLAIN_TYPES

if TYPE_CHECKING:
    from vggcost.trace.recorder import Recorder

__all__ = ["Mixing", "mixing", "together", "transformed"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Mixing = Callable[["Recorder", tuple[Any, ...], dict[str, Any]], Arguments]
_TENSOR: Any = torch.Tensor
_TOGETHER = frozenset(
    (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu, torch.autograd.grad, torch.autograd.backward,
     _TENSOR.backward)
)  # fmt: skip
_BY = (_TENSOR.requires_grad_, _TENSOR.requires_grad.__set__)
_LIKE = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as", "broadcast_tensors"})
"""Functions that only ask what another tensor looks like."""
_VALUES = frozenset({"pad", "one_hot", "pad_sequence"})
_READING = frozenset({"__init__", "__int__", "__index__", "__iter__", "__invert__"})
_past = torch._C._DisableTorchDispatch
_outside = torch._C._DisableFuncTorch
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor


def mixing(func: Any) -> Mixing | None:
    """Return what to do with the real tensors among the arguments of a function before it runs.

    Example:
        >>> mixing(torch.add) is mixing(torch.lstm), mixing(torch.Tensor.expand_as)
        (False, None)
    """
    if func in _TOGETHER:
        return together
    if func in _BY:
        return _differentiated
    name = getattr(func, "__name__", "")
    inplace = name == "__setitem__" or (name.startswith("__i") and name not in _READING)
    if inplace or (name.endswith("_") and not name.startswith("_")):
        return _written
    if name in _LIKE:
        return None
    if func is torch._VF._make_dual:  # a stand-in has no tangent
        return _working
    of_layers = getattr(func, "__module__", None) in ("torch.nn.functional", "torch._C._nn")
    return _working if of_layers and name not in _VALUES else _met


def together(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Give the floating-point tensors of a call stand-ins on meta, where some are there already."""
    tensors = _floats((args, kwargs))
    if len({t.is_meta for t in tensors}) < 2:
        return args, kwargs
    real = [tensor for tensor in tensors if not (tensor.is_meta or _is_wrapped(tensor))]
    return _stood_in(recorder, real, args, kwargs)


def _met(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any], work: bool = False) -> Arguments:
    """Give them where other tensors have no values; a number without axes stays, which torch lets through."""
    if not (_some_real(args) or (kwargs and _some_real(kwargs.values()))):  # of most calls
        return args, kwargs
    tensors = _tensors((args, kwargs))
    real = [t for t in tensors if _has_values(t)]
    if not real or not (work or any(t.is_meta for t in tensors)):
        return args, kwargs
    return _stood_in(recorder, real, args, kwargs)


def _working(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Give them in any case: on no values does a layer do less."""
    return _met(recorder, args, kwargs, work=True)


def _stood_in(
    recorder: Recorder, tensors: list[torch.Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Arguments:
    with _past(), _outside():
        stand_ins = {id(t): meta_like(t) for t in tensors}
    for tensor in {id(t): t for t in tensors}.values():
        recorder.alias(tensor, stand_ins[id(tensor)])
    return _exchanged(args, stand_ins), _exchanged(kwargs, stand_ins)


def _some_real(values: Iterable[Any]) -> bool:
    for value in values:
        kind = type(value)
        if kind in PLAIN_TYPES:
            if not value.is_meta:
                return True
        elif (kind is tuple or kind is list) and _some_real(value):
            return True
    return False


def _has_values(tensor: torch.Tensor) -> bool:
    if tensor.is_meta or type(tensor) not in PLAIN_TYPES or is_whole(tensor.dtype) or not tensor.dim():
        return False
    return not (_is_wrapped(tensor) or tensor.requires_grad) and tensor.layout is torch.strided


def _differentiated(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Make a real tensor meta before it is differentiated by: its gradient will be there."""
    target: Any = args[0]
    plain = type(target) is torch.Tensor and not (target.is_meta or target.requires_grad or _is_wrapped(target))
    if plain and target._base is None and _holders(target) == 1:
        with _past():
            _become(recorder, target, meta_like(target))
    return args, kwargs


@contextmanager
def transformed(recorder: Recorder) -> Iterator[None]:
    """Let torch.func's transforms wrap stand-ins, while the context lasts: they hide what is real."""

    def standing(wrap: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(tensor: Any, *args: Any) -> Any:
            if type(tensor) in PLAIN_TYPES and _has_values(tensor):
                ((tensor,), _) = _stood_in(recorder, [tensor], (tensor,), {})
            return wrap(tensor, *args)

        return wrapped

    if recorder.assumed.real:
        yield
        return
    with replaced((eager_transforms, "_wrap_for_grad", standing), (vmapping, "_add_batch_dim", standing)):
        yield


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


def _tensors(value: Any) -> list[torch.Tensor]:
    """List the tensors of plain arguments."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    return [tensor for item in value for tensor in _tensors(item)]


def _floats(value: Any) -> list[torch.Tensor]:
    """List those that can have gradients."""
    return [tensor for tensor in _tensors(value) if tensor.is_floating_point()]


def _exchanged(value: Any, others: dict[int, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return others.get(id(value), value)
    if isinstance(value, (tuple, list)):
        return getattr(value, "_make", type(value))([_exchanged(item, others) for item in value])
    return {key: _exchanged(item, others) for key, item in value.items()} if isinstance(value, dict) else value
