"""What a model holds: every dict, list and set that can be reached from it, to be put back after a run."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import is_
from types import CellType, FunctionType
from typing import Any

import torch
from torch import nn

from vggcost.errors import TraceError
from vggcost.load.given_back import owing
from vggcost.trace.places import ClassPlace, Place, classes_of, is_ours, parts_of, places_of, restorer, slots_of

__all__ = ["TENSORS", "Modules", "inside", "kept", "swap"]

Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any] | Place | ClassPlace
Content = dict[Any, Any] | list[Any]
Modules = list[tuple[str, nn.Module]]

_KINDS = (dict, list, set, deque)
_PLACES = frozenset({Place, ClassPlace})
_COMMON = frozenset({dict, OrderedDict, list, set, deque})
TENSORS = frozenset({torch.Tensor, nn.Parameter})
_PLAIN = frozenset({type(None), bool, int, float, str})


def inside(model: nn.Module) -> Modules:
    """List a model and all modules in it by their paths, a shared one once for each.

    Raises:
        TraceError: a module is inside itself.

    Example:
        >>> [path for path, _ in inside(nn.Sequential(nn.ReLU(), nn.ReLU()))]
        ['', '0', '1']
    """
    found: Modules = [("", model)]
    around = {id(model)}
    walking = [
        ("", model, iter(model._modules.items()))
    ]  # and no calls of itself: models nest deeper than Python's may
    while walking:
        path, module, children = walking[-1]
        for name, child in children:
            if child is None:
                continue
            inner = f"{path}.{name}" if path else name
            if id(child) in around:
                raise TraceError(
                    f"{inner} is a module around itself, so that torch cannot walk through the model; break the circle"
                )
            found.append((inner, child))
            if child._modules:
                around.add(id(child))
                walking.append((inner, child, iter(child._modules.items())))
                break
        else:
            around.discard(id(module))
            walking.pop()
    return found


@contextmanager
def kept(modules: Sequence[nn.Module]) -> Iterator[list[Container]]:
    """List the containers of modules that hold tensors, and give every container its content back afterwards.

    The same objects come back in the same order. The attributes of a module are a container, as are those and the slots
    of a plain object that it uses, the variables of a closure and the attributes of a class. Arrays and generators of
    random numbers get their values back.

    Example:
        >>> model = nn.Identity()
        >>> model.cache = []
        >>> with kept([model]):
        ...     model.cache.append(1)
        >>> model.cache
        []
    """
    held = _containers(modules)

    def undo() -> None:
        for container, content in held.found:
            _fill(container, content)
        if any(held.empty):
            for container in held.empty:
                container.clear()
        for restore in held.restorers:
            restore()

    with owing(undo):
        yield held.tensors


def swap(container: Container, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put other tensors in the place of those that a container holds, in tuples too."""
    content = _content(container)
    if isinstance(content, dict):
        _fill(container, {_changed(key, change): _changed(value, change) for key, value in content.items()})
    else:
        _fill(container, [_changed(value, change) for value in content])


@dataclass(slots=True)
class _Held:
    """The containers with what is in them, the empty ones (a module has a dozen), those with tensors, and the rest."""

    known: set[int]
    found: list[tuple[Container, Content]] = field(default_factory=list)
    empty: list[Any] = field(default_factory=list)
    tensors: list[Container] = field(default_factory=list)
    restorers: list[Callable[[], None]] = field(default_factory=list)
    kinds: dict[type, None] = field(default_factory=dict)


def _containers(modules: Sequence[nn.Module]) -> _Held:
    waiting: list[Any] = list(map(vars, modules))
    held = _Held({*map(id, modules), *map(id, waiting)})
    held.kinds.update(dict.fromkeys(map(type, modules)))
    slotted = [kind for kind in held.kinds if slots_of(kind)]
    if slotted:
        waiting.extend(place for module in modules if type(module) in slotted for place in places_of(module))
    _walk(waiting, held)
    tensors = len(held.tensors)
    owners = {owner: None for kind in held.kinds for owner in classes_of(kind)}
    _walk(list(map(ClassPlace, owners)), held)
    del held.tensors[tensors:]  # what belongs to a class is of all its objects
    return held


def _walk(waiting: list[Any], held: _Held) -> None:
    known, empty = held.known, held.empty
    for value in waiting:  # which grows
        content = _content(value)
        some = False
        for item in content.values() if isinstance(content, dict) else content:
            kind = type(item)
            if kind in _PLAIN or (kind is tuple and _PLAIN.issuperset(map(type, item))):
                continue
            if kind in TENSORS:
                some = True
            elif kind in _COMMON:
                if not item:
                    empty.append(item)
                elif id(item) not in known:
                    known.add(id(item))
                    waiting.append(item)
            else:
                some = some or isinstance(item, (torch.Tensor, tuple))
                if id(item) not in known:
                    known.add(id(item))
                    waiting += _parts(item, held)
        if not isinstance(value, tuple):
            held.found.append((value, content))
            if some or (content and isinstance(content, dict) and type(next(iter(content))) in TENSORS):
                held.tensors.append(value)


def _parts(value: Any, held: _Held) -> list[Any]:
    """Return what there is to look into: a container or tuple itself, and the attributes of an object of the model's."""
    parts: list[Any] = [value] if isinstance(value, (*_KINDS, tuple)) else []
    if isinstance(value, (type, str, int, float, torch.Tensor)):
        return parts
    if isinstance(value, FunctionType):
        return list(map(tuple, filter(None, [parts_of(value)])))
    more = parts_of(value)
    if more:
        parts.append(tuple(more))
    restore = restorer(value)
    if restore is not None:
        held.restorers.append(restore)
    ours = isinstance(value, nn.Module) or is_ours(value)
    if ours:
        held.kinds[type(value)] = None
    if ours or isinstance(value, CellType):
        parts += places_of(value)
    attributes = getattr(value, "__dict__", None) if ours else None
    if isinstance(attributes, dict) and id(attributes) not in held.known:
        held.known.add(id(attributes))
        parts.append(attributes)
    return parts


def _kind(container: Any) -> Any:
    """Return whose methods to use: a class of its own may say otherwise, or refuse to tell its length."""
    kind = type(container)
    return kind if kind in _COMMON else next(base for base in (OrderedDict, *_KINDS, tuple) if issubclass(kind, base))


def _content(container: Any) -> Content:
    if type(container) is dict:
        return container.copy()
    if type(container) in _PLACES:
        return dict(container.content())
    kind = _kind(container)
    return dict(kind.items(container)) if issubclass(kind, dict) else list(kind.__iter__(container))


def _fill(container: Any, content: Content) -> None:
    """Give a container this content and no other."""
    if type(container) in _PLACES:
        container.fill(content)
        return
    kind = _kind(container)
    same = kind.__len__(container) == len(content) and all(map(is_, kind.__iter__(container), content))
    if not same:
        kind.clear(container)
    elif isinstance(content, list) or (
        type(container) is not dict and all(map(is_, kind.values(container), content.values()))
    ):
        return
    if kind is OrderedDict:
        for key, value in content.items():  # type: ignore[union-attr]
            kind.__setitem__(container, key, value)
    else:
        (kind.extend if kind in (list, deque) else kind.update)(container, content)


def _changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if not isinstance(value, tuple):
        return value
    before = list(tuple.__iter__(value))
    items = [_changed(item, change) for item in before]
    if all(map(is_, before, items)):
        return value
    return value._make(items) if hasattr(value, "_make") else tuple(items)
