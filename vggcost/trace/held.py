"""What a model holds: every dict, list and set that can be reached from it, to be put back after a run."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["kept", "swap"]

Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]

_KINDS = (dict, list, set, deque)
_OTHERS = frozenset({"torch", *sys.stdlib_module_names})
"""Whose objects belong to the process (loggers, threads, graphs of torch), unless they are modules."""


@contextmanager
def kept(model: nn.Module) -> Iterator[list[Container]]:
    """List the containers of a model, and give each its content back afterwards: the same objects in the same order.

    The attributes of a module are one of them, as are those of a plain object that the model uses.

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
        yield found
    finally:
        for container, content in zip(found, before, strict=True):
            if not _same(_content(container), content):
                _fill(container, content)


def swap(container: Container, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put other tensors in the place of those that a container holds, in tuples too."""
    content = _content(container)
    if isinstance(container, dict):
        changed: list[Any] = [(key, _changed(value, change)) for key, value in content]
    else:
        changed = [_changed(value, change) for value in content]
    if not _same(content, changed):
        _fill(container, changed)


def _containers(model: nn.Module) -> list[Container]:
    found: list[Container] = []
    known: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (str, int, float, torch.Tensor)) or value is None or id(value) in known:
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


def _content(container: Container) -> list[Any]:
    return list(container.items()) if isinstance(container, dict) else list(container)


def _same(one: list[Any], other: list[Any]) -> bool:
    """Whether two contents are the same objects; items of a dict are pairs."""
    if len(one) != len(other):
        return False
    return all(
        a is b or (type(a) is type(b) is tuple and len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True)))
        for a, b in zip(one, other, strict=True)
    )


def _fill(container: Container, content: list[Any]) -> None:
    container.clear()
    if isinstance(container, (dict, set)):
        container.update(content)
    else:
        container.extend(content)


def _changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if not isinstance(value, tuple):
        return value
    items = [_changed(item, change) for item in value]
    if _same(list(value), items):
        return value
    return value._make(items) if hasattr(value, "_make") else tuple(items)
