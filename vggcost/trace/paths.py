"""What a module is called: its class and attributes, and its path, of which a shared module has several."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from vggcost.trace.held import Modules
from vggcost.trace.signature import asked, is_frozen, is_plain, plain

__all__ = ["Paths", "attributes_of", "kind_of"]


class Paths:
    """The paths of the modules of a model, in the order of its walk.

    Example:
        >>> shared = nn.ReLU()
        >>> model = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared))
        >>> paths = Paths([("", model), ("0", model[0]), ("0.0", shared), ("1", model[1]), ("1.0", shared)])
        >>> paths.of(shared, ["1", ""])
        ('1.0', ('0.0',))
    """

    def __init__(self, modules: Modules) -> None:
        self._paths: dict[int, list[str]] = {}
        for path, module in modules:
            self._paths.setdefault(id(module), []).append(path)

    def of(self, module: nn.Module, running: Iterable[str]) -> tuple[str, tuple[str, ...]] | None:
        """Return the path that a module is called by, and its others; None for one that the model does not hold.

        Args:
            module: that is called.
            running: the paths of the module calls that run, the innermost first.
        """
        paths = self._paths.get(id(module))
        if paths is None:
            return None
        if len(paths) == 1:
            return paths[0], ()
        path = _nearest(paths, running)
        return path, tuple([other for other in paths if other != path])


def _nearest(paths: list[str], running: Iterable[str]) -> str:
    """Return the path below the innermost call that has one below it; of several there the least deep."""
    for around in running:
        below = [path for path in paths if path.startswith(f"{around}.")] if around else paths
        if below:
            return min(below, key=lambda path: path.count("."))
    return paths[0]


def kind_of(module: nn.Module) -> str:
    """Name a module's class; an exported program says what its modules were."""
    if type(module).__module__ == "torch.export.unflatten":
        return str(module.type_name() or type(module).__name__).rpartition(".")[2]  # type: ignore[operator]
    return str(module.original_name) if isinstance(module, torch.jit.ScriptModule) else type(module).__name__


def attributes_of(module: nn.Module, known: dict[type, list[str]]) -> tuple[tuple[str, Any], ...]:
    """Read what a layer of torch says of itself: kernel_size, stride, in_features and so on.

    Args:
        module: any.
        known: the names that classes list; those of a new class are put there.
    """
    kind, held = type(module), vars(module)
    names = known.get(kind)
    if names is None:
        names = known[kind] = asked(lambda: sorted(set(getattr(kind, "__constants__", ()))), [])
    found = []
    for name in names:
        value = held[name] if name in held else asked(partial(getattr, module, name, None))
        if is_frozen(value):
            found.append((name, value))
        elif is_plain(value):
            found.append((name, plain(value)))
    return tuple(found)
