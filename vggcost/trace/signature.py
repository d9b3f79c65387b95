"""What an op or a function is called with: its tensors, its plain values, and a key of both to remember it by."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from vggcost.trace.custom import DENSE, Refusal
from vggcost.trace.packed import stands_for

__all__ = [
    "ATOMS",
    "PLAIN_TYPES",
    "Sparse",
    "consumed",
    "is_frozen",
    "is_plain",
    "part_of",
    "plain",
    "signature_of",
    "tensors_in",
]

PLAIN_TYPES = {torch.Tensor, nn.Parameter, nn.Buffer}
_STRIDED = torch.strided
_NUMBERS = frozenset({type(None), bool, int, float, str})
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
    if kind in PLAIN_TYPES or isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            if type(item) in PLAIN_TYPES:
                found.append(item)
            else:
                _collect(item, found)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)
    elif hasattr(value, "__dataclass_fields__"):
        for field in fields(value):  # not what it is made with alone
            _collect(getattr(value, field.name, None), found)


def consumed(output: Any) -> Any:
    """Run generators that a model returns, whose work begins when they are asked, and give what they yield."""
    if isinstance(output, Generator):
        return tuple([consumed(item) for item in output])
    if type(output) in (list, tuple):
        return type(output)([consumed(item) for item in output])
    return {key: consumed(item) for key, item in output.items()} if type(output) is dict else output


def is_frozen(value: Any) -> bool:
    """Whether a value is a number, a text or a tuple of them."""
    kind = type(value)
    return kind in _NUMBERS or (kind is tuple and _NUMBERS.issuperset(map(type, value)))


def is_plain(value: Any) -> bool:
    """Whether a value is plain data, and no tensor or object of torch."""
    if type(value) in _NUMBERS:
        return True
    if isinstance(value, (list, tuple)):
        return _NUMBERS.issuperset(map(type, value)) or all(is_plain(item) for item in value)
    return isinstance(value, (bool, int, float, str))


def plain(value: Any) -> Any:
    """Turn lists into tuples, so that a record can be frozen."""
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(value) if _NUMBERS.issuperset(map(type, value)) else tuple([plain(item) for item in value])


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
        return (kinds, tuple(value)) if ATOMS.issuperset(kinds) else tuple([part_of(item, tensors) for item in value])
    if kind is slice:
        return slice, part_of(value.start, tensors), part_of(value.stop, tensors), part_of(value.step, tensors)
    if kind is dict:
        return tuple([(key, part_of(value[key], tensors)) for key in sorted(value)])
    try:
        hash(value)
    except TypeError:
        return object()  # equal to nothing, so never found again
    return kind, value
