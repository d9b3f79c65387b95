"""What an op or a function is called with: its tensors, its plain values, and a key of both to remember it by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from vggcost.trace.custom import DENSE, Refusal
from vggcost.trace.packed import stands_for

__all__ = [
    "ATOMS",
    "PLAIN_TYPES",
    "Sparse",
    "asked",
    "is_frozen",
    "is_plain",
    "part_of",
    "parts_of",
    "plain",
    "signature_of",
    "tensors_in",
]

PLAIN_TYPES = {torch.Tensor, nn.Parameter, nn.Buffer}
_STRIDED = torch.strided
_HOLDERS: dict[type, Callable[[Any], Iterable[Any]]] = {
    tuple: tuple.__iter__,
    list: list.__iter__,
    dict: dict.values,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
}
_NUMBERS = frozenset({type(None), bool, int, float, str})
_PLAIN: dict[type, Callable[[Any], Any]] = {int: int.__int__, float: float.__float__, str: str.__str__}
_BY_IDENTITY: tuple[Any, Any] = (object.__hash__, object.__eq__)
_VALUES = frozenset({torch.Size, complex, range, bytes})
ATOMS = frozenset({*_NUMBERS, torch.dtype, torch.device, torch.layout, torch.memory_format})


class Sparse(Exception):
    """An argument is sparse: nothing is remembered of the call."""


def tensors_in(value: Any) -> list[torch.Tensor]:
    """List the tensors in nested tuples, lists, dicts and the dict-like outputs of other libraries."""
    if type(value) in PLAIN_TYPES:
        return [value]
    found: list[torch.Tensor] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[torch.Tensor]) -> None:
    kind = type(value)
    if kind in ATOMS:
        return
    if kind in PLAIN_TYPES or issubclass(kind, torch.Tensor):
        found.append(value)
        return
    for item in parts_of(value):
        if type(item) in PLAIN_TYPES:
            found.append(item)
        else:
            _collect(item, found)


def parts_of(value: Any) -> list[Any]:
    """List what a container or dataclass holds, without asking a class of its own, which may answer otherwise or raise.

    Example:
        >>> parts_of({"a": 1, "b": (2,)}), parts_of("text")
        ([1, (2,)], [])
    """
    kind = type(value)
    for base, each in _HOLDERS.items():
        if issubclass(kind, base):
            return list(each(value))
    if issubclass(kind, Mapping):
        return list(asked(lambda: list(value.values()), ()))
    if is_dataclass(kind):  # not what it is made with alone
        return [asked(partial(getattr, value, field.name)) for field in fields(kind)]
    return []


def asked(question: Callable[[], Any], otherwise: Any = None) -> Any:
    """Return what an object of anybody's answers; what it refuses to tell us is not for us to fail at.

    Example:
        >>> asked(lambda: [].missing, 0)
        0
    """
    try:
        return question()
    except Exception:
        return otherwise


def is_frozen(value: Any) -> bool:
    """Whether a value is a number, a text or a tuple of them."""
    kind = type(value)
    return kind in _NUMBERS or (kind is tuple and _NUMBERS.issuperset(map(type, value)))


def is_plain(value: Any) -> bool:
    """Whether a value is plain data, and no tensor or object of torch."""
    kind = type(value)
    if kind in _NUMBERS:
        return True
    if issubclass(kind, (list, tuple)):
        return all(map(is_plain, parts_of(value)))
    return issubclass(kind, tuple(_PLAIN))


def plain(value: Any) -> Any:
    """Turn lists into tuples, so that a record can be frozen, and numbers and texts of classes of their own into usual ones.

    Example:
        >>> plain([1, [2.0, "three"]])
        (1, (2.0, 'three'))
    """
    kind = type(value)
    if kind in _NUMBERS:
        return value
    if issubclass(kind, (list, tuple)):
        return tuple(map(plain, parts_of(value)))
    return next((read(value) for base, read in _PLAIN.items() if issubclass(kind, base)), value)


def signature_of(args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> tuple[Any, ...]:
    """Make a hashable key of an op's arguments, collecting the tensors in order."""
    parts: list[Any] = []
    for value in args:
        kind = type(value)
        if kind in PLAIN_TYPES and value.layout is _STRIDED and not value.is_nested:
            tensors.append(value)
            parts.append((value.shape, value.stride(), value.dtype, value.is_meta or value.device.type))
        else:
            parts.append((kind, value) if kind in ATOMS else part_of(value, tensors))
    for key in sorted(kwargs):
        parts.append(key)
        parts.append(part_of(kwargs[key], tensors))
    return tuple(parts)


def part_of(value: Any, tensors: list[torch.Tensor]) -> Any:
    """Make the part of a key that stands for one argument, collecting its tensors.

    Raises:
        Refusal: it is nested.
        Sparse: it is sparse.
    """
    kind = type(value)
    if kind in PLAIN_TYPES or isinstance(value, torch.Tensor):
        if value.is_nested:
            raise Refusal(f"takes a nested tensor; only dense ones can be counted: {DENSE}")
        if value.layout is not torch.strided:
            raise Sparse
        tensors.append(value)
        return value.shape, value.stride(), value.dtype, value.is_meta or value.device.type
    if kind in ATOMS:
        return kind, value  # 1, 1.0 and True are different arguments
    if kind is torch.ScriptObject:
        found = stands_for(value)
        tensors += found
        return tuple([(t.shape, t.dtype) for t in found]) if found else object()
    if kind is tuple or kind is list:
        kinds = tuple(map(type, value))
        same = ATOMS.issuperset(kinds)
        return kind, kinds, tuple(value) if same else tuple([part_of(item, tensors) for item in value])
    if kind is slice:
        return slice, part_of(value.start, tensors), part_of(value.stop, tensors), part_of(value.step, tensors)
    if kind is dict:
        return dict, tuple([(part_of(key, tensors), part_of(item, tensors)) for key, item in value.items()])
    if kind in _VALUES or (kind.__hash__, kind.__eq__) == _BY_IDENTITY:
        return kind, value
    return object()  # equal to nothing, so never found again
