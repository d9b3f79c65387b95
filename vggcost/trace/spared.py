"""Tensors that nobody gave to a run, and that it writes to all the same: of a module's file, of a class."""

from __future__ import annotations

import weakref
from collections.abc import Container, Iterable, Sequence
from functools import partial
from typing import Any

import torch

from vggcost.load.given_back import owe
from vggcost.trace.signature import tensors_in

__all__ = ["Spared"]

_past = torch._C._DisableTorchDispatch
_set_versions: Any = torch._C._autograd._unsafe_set_version_counter


class Spared:
    """Keep what such tensors held before they are written to for the first time.

    Attributes:
        foreign: the storages that were seen in an op before anybody said what they are.
    """

    def __init__(self) -> None:
        self.foreign: set[int] = set()
        self._storages: dict[int, weakref.ref[Any]] = {}

    def before(
        self,
        writes: Iterable[int],
        names: Sequence[str],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        known: Container[int],
    ) -> None:
        """Look at what an op is about to write to.

        Args:
            writes: the positions of the arguments that it writes to.
            names: of all its arguments.
            args: what it is given.
            kwargs: the same, by name.
            known: the storages that the run was given or has made.
        """
        for at in writes:
            value = args[at] if at < len(args) else kwargs.get(names[at])
            for tensor in tensors_in(value):
                if not tensor.is_meta and tensor.layout is torch.strided:
                    self._spare(tensor, known)

    def _spare(self, tensor: torch.Tensor, known: Container[int]) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if (key in known and key not in self.foreign) or (key in self._storages and self._storages[key]() is storage):
            return
        self._storages[key] = weakref.ref(storage)
        with _past(), torch.no_grad():
            values = _bytes(storage).clone()
        shown = tensor if tensor._base is None else tensor._base
        owe(partial(_give_back, weakref.ref(shown), shown._version, self._storages[key], values))


def _bytes(storage: Any) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _give_back(tensor: Any, version: int, storage: Any, values: torch.Tensor) -> None:
    """Let a storage hold the values again that it did, if anybody still has it."""
    found, held = tensor(), storage()
    if held is not None:
        with _past(), torch._C.DisableTorchFunction(), torch.no_grad():
            _bytes(held).copy_(values)
    if found is not None:
        _set_versions((found,), (version,))
