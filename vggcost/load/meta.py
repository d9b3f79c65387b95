"""Build a model on meta: parameters without data, the constructor's own arithmetic real.

Uninitialised, random and large constant tensors become meta, and so does every parameter; `arange`,
`tensor`, `linspace` and what follows from them stay real, so that a constructor may read their values.
Where real tensors meet meta ones, the real ones are moved over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vggcost.load.aside import drew
from vggcost.load.layouts import sparse_meta
from vggcost.load.replaced import replaced
from vggcost.records import MOST_NUMBERS

__all__ = ["SMALL", "constant", "is_whole", "meta_like", "on_meta", "to_meta", "without_device"]

SMALL = 2**20
"""Elements up to which a constant tensor is real: 8 MiB at most."""

_UNINITIALISED = {
    torch.empty, torch.empty_strided, torch.empty_like, torch.rand, torch.rand_like, torch.randn, torch.randn_like,
    torch.normal, torch.Tensor.new_empty, torch.Tensor.new_empty_strided,
}  # fmt: skip
_CONSTANT = {torch.zeros, torch.ones, torch.full, torch.eye}
_SHAPE_KEPT = frozenset(
    "normal_ uniform_ zero_ fill_ copy_ mul_ add_ sub_ div_ clamp_ clip_ erfinv_ bernoulli_ exponential_ "
    "log_normal_ cauchy_ geometric_ random_".split()
)
_INIT = {id(value) for name, value in vars(nn.init).items() if name.endswith("_") and callable(value)}


def meta_like(tensor: torch.Tensor) -> torch.Tensor:
    """Return a meta tensor of the same shape, strides and dtype; of a sparse one, with as many entries."""
    if tensor.layout is not torch.strided:
        return sparse_meta(tensor)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def to_meta(value: Any, numbers: bool = False) -> Any:
    """Move the real tensors in nested arguments to meta; numbers (0-d), which torch lets through, if asked."""
    if isinstance(value, torch.Tensor):
        return value if value.is_meta or (value.dim() == 0 and not numbers) else meta_like(value)
    if isinstance(value, (tuple, list)):
        return type(value)([to_meta(item, numbers) for item in value])
    if isinstance(value, dict):
        return {key: to_meta(item, numbers) for key, item in value.items()}
    return value


COUNTS = frozenset(
    f"aten.{name}" for name in ("arange", "linspace", "scalar_tensor", "tril_indices", "triu_indices", "ones", "eye")
)
FILLS = frozenset(f"aten.{name}" for name in ("full", "zeros", "empty"))


def constant(op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether what an op makes stays real, for control flow to read, though it was to go to meta.

    A small table of numbers does, and so does a copy of real whole numbers or of a few others, and ones, which are masks
    that a model may read. A table filled with another real number does not: it holds data to come.
    """
    if op == "aten._to_copy":
        few = args[0].numel() <= MOST_NUMBERS
        return not args[0].is_meta and (few or any(map(is_whole, (args[0].dtype, kwargs.get("dtype")))))
    sizes = args * 2 if op == "aten.eye" and len(args) == 1 else args
    return (op in COUNTS or (op in FILLS and is_whole(kwargs.get("dtype")))) and _small(sizes)


def is_whole(dtype: torch.dtype | None) -> bool:
    """Whether a tensor of this type holds whole numbers or truth values."""
    return dtype is not None and not dtype.is_floating_point and not dtype.is_complex


def _small(args: tuple[Any, ...]) -> bool:
    """Whether a constant made with these arguments is small enough to be real."""
    product = 1.0
    for value in args:
        for size in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(size, (int, float)) and not isinstance(size, bool):
                product *= max(1.0, abs(size))
    return product <= SMALL


def without_device(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Change the arguments of `torch.tensor` so that what it makes of plain values is real."""
    if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
        data = args[0] if args else kwargs.get("data")
        if torch.device(kwargs["device"]).type == "meta" and not isinstance(data, torch.Tensor):
            return {**kwargs, "device": "cpu"}
    return kwargs


@contextmanager
def on_meta() -> Iterator[None]:
    """Send what a constructor makes to meta, while the context lasts.

    Example:
        >>> with on_meta():
        ...     layer = nn.Linear(4096, 4096)
        >>> layer.weight.is_meta
        True
    """
    places = (nn.Parameter, "__new__", _parameter), (nn.Module, "register_parameter", _registered)
    with replaced(*places), _Mixing(), _Making():  # type: ignore[no-untyped-call]
        yield


def _parameter(make: Callable[..., Any]) -> Callable[..., Any]:
    def parameter(cls: type, data: Any = None, requires_grad: bool = True) -> Any:
        real = isinstance(data, torch.Tensor) and not data.is_meta
        return make(cls, meta_like(data.detach()) if real else data, requires_grad)

    return parameter


def _registered(register: Callable[..., Any]) -> Callable[..., Any]:
    def registered(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if isinstance(param, nn.Parameter) and type(param) is nn.Parameter and not param.is_meta:
            param = nn.Parameter(param.data, param.requires_grad)
        register(module, name, param)

    return registered


class _Making(TorchFunctionMode):
    """Which new tensors are meta."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _UNINITIALISED or (func in _CONSTANT and _elements(args, kwargs) > SMALL):
            return func(*args, **{**kwargs, "device": "meta", "pin_memory": False})
        name = getattr(func, "__name__", "")
        if name in _SHAPE_KEPT and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return args[0]
        if id(func) in _INIT and isinstance(tensor := args[0] if args else kwargs.get("tensor"), torch.Tensor):
            return tensor if tensor.is_meta else func(*args, **kwargs)
        return func(*args, **without_device(func, args, kwargs))


def _elements(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    size = args[0] if args and isinstance(args[0], (tuple, list)) else kwargs.get("size") or args
    return prod(n for n in size if isinstance(n, int))


class _Mixing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Moves real tensors over where they meet meta ones."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise every op imports torch's compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        devices = {t.is_meta for t in _tensors((args, kwargs))}
        if len(devices) == 2:
            args, kwargs = to_meta(args), to_meta(kwargs)
        if kwargs.get("device") is not None:
            stays = True not in devices and constant(func._schema.name.replace("::", "."), args, kwargs)
            place = "meta" if True in devices else "cpu" if stays else kwargs["device"]
            kwargs = {**kwargs, "device": torch.device(place)}
        if torch.Tag.nondeterministic_seeded in func.tags:
            drew()
        return func(*args, **kwargs)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
