"""What a model holds: every dict, list and set that can be reached from it, to be put back after a run."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import Any

import torch
from torch import nn

__all__ = ["kept", "swap"]

Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]

Content = tuple[list[Any], list[Any]]

_EMPTY: Content = ([], [])
_KINDS = (dict, list, set, deque)
_ATOMS = frozenset({type(None), bool, int, float, str, torch.Tensor, nn.Parameter})
_OTHERS = frozenset({"torch", *sys.stdlib_module_names})
"""Whose objects belong to the process (loggers, threads, graphs of torch), unless they are modules."""


@contextmanager
def kept(model: nn.Module) -> Iterator[list[Container]]:
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
    found = _containers(model)
    before = [_content(container) for container in found]
    try:
        yield [container for container, (_, values) in zip(found, before, strict=True) if _has_tensors(values)]
    finally:
        for container, content in zip(found, before, strict=True):
            if not _unchanged(container, content):
                _fill(container, content)


def swap(container: Container, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put other tensors in the place of those that a container holds, in tuples too."""
    keys, values = _content(container)
    changed = [_changed(value, change) for value in values]
    if not all(map(is_, values, changed)):
        _fill(container, (keys, changed))


def _containers(model: nn.Module) -> list[Container]:
    found: list[Container] = []
    known: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        value = waiting.pop()
        if type(value) in _ATOMS or isinstance(value, (str, int, float, torch.Tensor)) or id(value) in known:
            continue
        known.add(id(value))
        if isinstance(value, _KINDS):
            found.append(value)
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, tuple):
            waiting += value
        if _holds(value):
            waiting.append(vars(value))
    return found


def _holds(value: Any) -> bool:
    """Whether this is an object with attributes, of the model's own making."""
    ours = isinstance(value, nn.Module) or type(value).__module__.partition(".")[0] not in _OTHERS
    return ours and not isinstance(value, type) and isinstance(getattr(value, "__dict__", None), dict)


def _content(container: Container) -> Content:
    """List the keys and the values of a container; without keys, the values twice."""
    if not container:
        return _EMPTY
    if isinstance(container, dict):
        return list(container), list(container.values())
    values = list(container)
    return values, values


def _has_tensors(values: list[Any]) -> bool:
    return any(isinstance(value, (torch.Tensor, tuple)) for value in values)


def _unchanged(container: Container, before: Content) -> bool:
    """Whether a container holds the same objects, in the same order."""
    keys, values = before
    if len(container) != len(keys) or not all(map(is_, container, keys)):
        return False
    return not isinstance(container, dict) or all(map(is_, container.values(), values))


def _fill(container: Container, content: Content) -> None:
    container.clear()
    if isinstance(container, dict):
        container.update(zip(*content, strict=True))
    elif isinstance(container, set):
        container.update(content[1])
    else:
        container.extend(content[1])


def _changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if not isinstance(value, tuple):
        return value
    items = [_changed(item, change) for item in value]
    if all(map(is_, value, items)):
        return value
    return value._make(items) if hasattr(value, "_make") else tuple(items)
