"""What a model holds: every dict, list and set that can be reached from it, to be put back after a run."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import is_
from typing import Any, NamedTuple

import torch
from torch import nn

__all__ = ["Held", "kept", "swap"]

Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]

_KINDS = (dict, list, set, deque)
_EMPTIED = frozenset({dict, OrderedDict, list, set, deque})
_TENSORS = frozenset({torch.Tensor, nn.Parameter})
_PLAIN = frozenset({type(None), bool, int, float, str})
_OTHERS = frozenset({"torch", *sys.stdlib_module_names})
"""Whose objects belong to the process (loggers, threads, graphs of torch), unless they are modules."""


@dataclass(slots=True)
class _Held:
    """A container and what was in it; of one without keys, the values are its keys too."""

    container: Container
    keys: list[Any]
    values: Sequence[Any]


class Held(NamedTuple):
    """The containers of a model that hold tensors; `registered` are the addresses of modules' parameters and buffers."""

    containers: list[Container]
    registered: set[int]


@contextmanager
def kept(model: nn.Module) -> Iterator[Held]:
    """List the containers of a model that hold tensors, and give every container its content back afterwards.

    The same objects come back in the same order. The attributes of a module are a container, as are those of a plain
    object that the model uses.

    Example:
        >>> model = nn.Identity()
        >>> model.cache = []
        >>> with kept(model):
        ...     model.cache.append(1)
        >>> model.cache
        []
    """
    found, empty, held = _containers(model)
    try:
        yield held
    finally:
        for before in found:
            if not _unchanged(before):
                _restore(before)
        for container in empty if any(empty) else ():
            container.clear()


def swap(container: Container, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put other tensors in the place of those that a container holds, in tuples too."""
    if isinstance(container, dict):
        for key, value in list(container.items()):
            if type(value) not in _PLAIN:
                container[key] = _changed(value, change)
        return
    values = list(container)
    changed = [_changed(value, change) for value in values]
    if not all(map(is_, values, changed)):
        _restore(_Held(container, changed, changed))


def _containers(model: nn.Module) -> tuple[list[_Held], list[Container], Held]:
    """List the containers with something in them, the empty ones (a module has a dozen), and those with tensors."""
    found: list[_Held] = []
    empty: list[Container] = []
    tensors, registered = held = Held([], set())
    known: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        value = waiting.pop()
        if id(value) in known:
            continue
        known.add(id(value))
        inner: list[Any] | tuple[Any, ...] = ()
        container = isinstance(value, _KINDS)
        if container:
            inner = list(value.values() if isinstance(value, dict) else value)
            found.append(_Held(value, list(value), inner))
        elif isinstance(value, tuple):
            inner = value
        elif isinstance(value, (str, int, float, torch.Tensor)):
            continue
        some = False
        for item in inner:
            kind = type(item)
            if kind in _PLAIN:
                continue
            if kind in _TENSORS:
                some = True
            elif kind in _EMPTIED and not item:
                empty.append(item)
            elif not (kind is tuple and _PLAIN.issuperset(map(type, item))):
                some = some or isinstance(item, (torch.Tensor, tuple))
                waiting.append(item)
        if container and some:
            tensors.append(value)
        if _holds(value):
            attributes = vars(value)
            waiting.append(attributes)
            if isinstance(value, nn.Module):
                registered |= {id(attributes.get("_parameters")), id(attributes.get("_buffers"))}
    return found, empty, held


def _holds(value: Any) -> bool:
    """Whether this is an object with attributes, of the model's own making."""
    if type(value) in _EMPTIED:
        return False
    ours = isinstance(value, nn.Module) or type(value).__module__.partition(".")[0] not in _OTHERS
    return ours and not isinstance(value, type) and isinstance(getattr(value, "__dict__", None), dict)


def _unchanged(held: _Held) -> bool:
    """Whether a container holds the same objects, in the same order."""
    container = held.container
    if len(container) != len(held.keys) or not all(map(is_, container, held.keys)):
        return False
    return not isinstance(container, dict) or all(map(is_, container.values(), held.values))


def _restore(held: _Held) -> None:
    container = held.container
    container.clear()
    if isinstance(container, dict):
        container.update(zip(held.keys, held.values, strict=True))
    elif isinstance(container, set):
        container.update(held.values)
    else:
        container.extend(held.values)


def _changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if not isinstance(value, tuple):
        return value
    items = [_changed(item, change) for item in value]
    if all(map(is_, value, items)):
        return value
    return value._make(items) if hasattr(value, "_make") else tuple(items)
