"""Weights that are kept otherwise than as numbers of their shape: packed by torch.ao, in a tensor's subclass, in fewer bits.

Their parameters are the numbers that they stand for; their bytes are those that are held: whole numbers, scales,
zero points. An op of torch.ao is given an object that no mode can look into: here it has a stand-in for each tensor
in it, so that the op's shapes, and the storages that it reads, are those of a layer that is not packed.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from vggcost.load.given_back import owing
from vggcost.load.layouts import nbytes
from vggcost.records import ParamRecord
from vggcost.trace.held import Modules

if TYPE_CHECKING:
    from vggcost.trace.recorder import Recorder

__all__ = [
    "Held",
    "Part",
    "held_in",
    "hold",
    "is_wrapper",
    "note_packed",
    "noted_weights",
    "parts_of",
    "record_of",
    "standing",
    "stands_for",
]

_HELD = "stands_for_held"
_past = torch._C._DisableTorchDispatch
Packed: Any = torch.ScriptObject


class Held(NamedTuple):
    """What a parameter is: the shape and dtype of its numbers, and the bytes that keep them."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    nbytes: int


class Part(NamedTuple):
    """A tensor in a packed object; its bytes are with its scales and zero points."""

    name: str
    held: Held


_known: dict[int, tuple[Any, tuple[Part, ...]]] = {}
_run = threading.local()


def parts_of(packed: Any) -> tuple[Part, ...]:
    """Say what a packed object holds: a weight and a bias, or those of a recurrent cell; nothing if it is none."""
    key = hash(packed)  # of the object of C++, which an op is given as another of Python
    found = _known.get(key)
    if found is not None and found[0]() is not None:
        return found[1]
    with _past(), torch.no_grad(), torch._C.DisableTorchFunction():
        parts = tuple(_parts(packed))
    _known[key] = weakref.ref(packed, lambda _: _known.pop(key, None)), parts
    return parts


def _parts(packed: Any) -> Iterator[Part]:
    if packed._has_method("unpack"):
        made = packed.unpack()
        weight, *rest = made if isinstance(made, tuple) else (made,)
        yield _weight(weight)
        for bias in rest[:1]:
            if isinstance(bias, torch.Tensor):
                yield Part("bias", Held(tuple(bias.shape), bias.dtype, bias.nbytes))
    elif packed._has_method("__getstate__"):
        for inner, suffix in zip(_objects(packed.__getstate__()), ("_ih", "_hh"), strict=False):
            yield from [part._replace(name=part.name + suffix) for part in _parts(inner)]


def _objects(state: Any) -> list[Any]:
    """List the packed objects in the state of another."""
    if isinstance(state, Packed):
        return [state] if state._has_method("unpack") else []
    return [found for item in state for found in _objects(item)] if isinstance(state, (tuple, list)) else []


def _weight(weight: torch.Tensor) -> Part:
    """Describe an unpacked weight: one that has floating-point numbers is kept in half precision.

    A row, or the whole, has a scale and a zero point: 4 bytes each, 2 where two numbers share a byte.

    Source: pytorch, aten/src/ATen/native/quantized/cpu/fbgemm_utils.h, qembeddingbag_prepack.cpp.
    """
    shape = tuple(weight.shape)
    if not weight.is_quantized:
        return Part("weight", Held(shape, torch.float16, 2 * weight.numel()))
    rows = 1 if weight.qscheme() is torch.per_tensor_affine else weight.q_per_channel_scales().numel()
    each = 4 if weight.dtype is torch.quint4x2 else 8
    return Part("weight", Held(shape, weight.dtype, weight.untyped_storage().nbytes() + each * rows))


def packed_in(modules: Modules) -> list[tuple[Any, list[str]]]:
    """List the packed objects that modules hold, each once, with all the paths before the names of its parts."""
    found: dict[int, tuple[Any, list[str]]] = {}
    for path, module in modules:
        for name, value in vars(module).items():
            if isinstance(value, Packed) and parts_of(value):
                suffix = name.partition("weight")[2]  # `_packed_weight_ih` of a cell
                found.setdefault(hash(value), (value, []))[1].append(
                    f"{path}.{{}}{suffix}" if path else f"{{}}{suffix}"
                )
    return list(found.values())


_KEPT_IN = {torch.qint8: torch.int8, torch.quint8: torch.uint8, torch.quint4x2: torch.uint8, torch.qint32: torch.int32}


@contextmanager
def standing(modules: Modules, real: bool) -> Iterator[None]:
    """Let the tensors in packed objects have stand-ins while the context lasts."""
    with owing(partial(setattr, _run, "tensors", getattr(_run, "tensors", None))):
        _run.tensors = {hash(packed): (packed, _stand_ins(packed, real)) for packed, _ in packed_in(modules)}
        _run.real = real
        yield


def _stand_ins(packed: Any, real: bool) -> tuple[torch.Tensor, ...]:
    made = []
    for _, held in parts_of(packed):
        dtype = _KEPT_IN.get(held.dtype, held.dtype)
        if real:  # nobody reads its numbers
            tensor = torch.zeros(1, dtype=dtype).as_strided(held.shape, [0] * len(held.shape))
        else:
            tensor = torch.empty(held.shape, dtype=dtype, device="meta")
        made.append(hold(tensor, held))
    return tuple(made)


def stands_for(packed: Any) -> tuple[torch.Tensor, ...]:
    """Return the stand-ins of a packed object; of one that the run has made, new ones."""
    known = getattr(_run, "tensors", None)
    if known is None or not parts_of(packed):
        return ()
    if hash(packed) not in known:
        with _past():
            known[hash(packed)] = packed, _stand_ins(packed, _run.real)
    return known[hash(packed)][1]  # type: ignore[no-any-return]


# Tensors that hold other numbers than they show


def is_wrapper(tensor: torch.Tensor) -> bool:
    """Whether a tensor of a class of its own is kept in others; a shard of a tensor is run whole, and is none."""
    if type(tensor) in (torch.Tensor, torch.nn.Parameter) or tensor.layout is not torch.strided:
        return False
    return bool(is_traceable_wrapper_subclass(tensor)) and not type(tensor).__module__.startswith("torch.distributed")


def hold(tensor: torch.Tensor, held: Held) -> torch.Tensor:
    """Say that a stand-in stands for what is held otherwise than its shape and dtype tell."""
    storage: Any = tensor.untyped_storage()
    setattr(storage, _HELD, held)
    return tensor


def held_in(tensor: torch.Tensor) -> Held | None:
    """Say what a parameter holds; None where it is the numbers that it shows.

    A wrapper is kept in the tensors inside it, its type is that of the largest. Numbers of fewer bits than eight lie
    several to a byte; the shape that they make is known to an attribute of the tensor, whose own tensors (scales,
    tables) belong to the parameter too.
    """
    if is_wrapper(tensor):
        inner = list(_inner(tensor))
        return Held(tuple(tensor.shape), max(inner, key=nbytes).dtype, sum(map(nbytes, inner)))
    for state in vars(tensor).values():
        shape = _told(state, tensor)
        if shape is not None:
            return Held(shape, tensor.dtype, tensor.nbytes + sum(map(nbytes, _tensors(state).values())))
    return None


def record_of(tensor: torch.Tensor, paths: list[str]) -> ParamRecord:
    """Describe a parameter, or the stand-in of one."""
    held = getattr(tensor.untyped_storage(), _HELD, None) if tensor.layout is torch.strided else None
    shape, dtype, size = held or (tuple(tensor.shape), tensor.dtype, nbytes(tensor))
    return ParamRecord(tuple(paths), shape, str(dtype).removeprefix("torch."), size, tensor.requires_grad)


def note_packed(recorder: Recorder) -> list[ParamRecord]:
    """Note the stand-ins of packed objects as parameters, and describe them."""
    found = []
    for packed, places in packed_in(recorder.modules):
        for (name, _), tensor in zip(parts_of(packed), stands_for(packed), strict=True):
            paths = [place.format(name) for place in places]
            recorder.storages[recorder.register(tensor, "param")].name = paths[0]
            found.append(record_of(tensor, paths))
    return found


def _inner(tensor: Any) -> Iterator[torch.Tensor]:
    if not is_wrapper(tensor):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        part = getattr(tensor, name)
        if part is not None:
            yield from _inner(part)


def _told(state: Any, tensor: torch.Tensor) -> tuple[int, ...] | None:
    """Return the shape that an attribute tells of a tensor's numbers, if so many fit its bytes in a few bits each."""
    shape: Any = state if isinstance(state, torch.Size) else getattr(state, "shape", None)
    whole = isinstance(shape, (tuple, list)) and bool(shape) and all(type(n) is int and n > 0 for n in shape)
    if isinstance(state, torch.Tensor) or not whole:
        return None
    count = prod(shape)
    return tuple(shape) if any(ceil(count * bits / 8) == tensor.nbytes for bits in range(1, 8)) else None


def _tensors(state: Any, depth: int = 3) -> dict[int, torch.Tensor]:
    """Find the tensors that an object holds, and the objects in it, each once."""
    found: dict[int, torch.Tensor] = {}
    for value in getattr(state, "__dict__", {}).values():
        if isinstance(value, torch.Tensor):
            found[id(value)] = value
        elif depth and hasattr(value, "__dict__") and not isinstance(value, type):
            found |= _tensors(value, depth - 1)
    return found


def noted_weights(modules: Modules) -> Iterator[str]:
    """Say what a reader must know of the weights of a model: which are packed, wrapped, or of an unknown number."""
    if packed_in(modules):
        yield (
            "packed weights: params are the numbers that they hold, bytes those of whole numbers (or half-precision "
            "ones), scales, zero points and biases"
        )
    tensors = [t for _, module in modules for t in module._parameters.values() if t is not None]
    wrappers = sorted({type(t).__name__ for t in tensors if is_wrapper(t)})
    if wrappers:
        yield (
            f"weights of {' and '.join(wrappers)} run as plain ones of their shape; their bytes are those of the tensors "
            "inside, and what converts them is not counted"
        )
    others = [t for t in tensors if not is_wrapper(t) and not isinstance(t, UninitializedTensorMixin)]
    told = [t for t in others if held_in(t) is not None]
    if told:
        yield "params of several to a byte are as many as their own shape says, bytes with their scales and tables"
    stored = sorted(
        {
            str(t.dtype).removeprefix("torch.")
            for t in others
            if not (t.is_floating_point() or t.is_complex()) and all(t is not other for other in told)
        }
    )
    if stored:
        yield f"params of {' and '.join(stored)} are counted as they are stored: what is packed in them is not known"
