"""The blocks of memory of one run: when each was made, what for, and when it was let go."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from vggcost.load.layouts import parts
from vggcost.records import OpRecord
from vggcost.trace.spared import Spared

__all__ = ["OUTSIDE", "Storage", "Storages"]

OUTSIDE = -1


@dataclass(slots=True)
class Storage:
    """A storage while the run lasts; `ref` tells when it is let go."""

    module: int
    role: str
    numel: int
    nbytes: int
    born: int
    died: int = -1
    saved_by: int = OUTSIDE
    name: str = ""
    ref: Any = None


class _Reuse(NamedTuple):
    """An op that is done in place if the storage of its first operand is let go before the next op."""

    storage: Storage
    position: int
    next_op: int
    storages: list[Storage]


@dataclass
class Storages:
    """What is known of every storage of a run: `ids` finds it by torch's address while it is there."""

    ops: list[OpRecord] = field(default_factory=list, init=False)
    storages: list[Storage] = field(default_factory=list, init=False)
    stack: list[int] = field(default_factory=lambda: [OUTSIDE], init=False)
    ids: dict[int, int] = field(default_factory=dict, init=False)
    spared: Spared = field(default_factory=Spared, init=False)
    _kept: list[Any] = field(default_factory=list, init=False)
    _reuse: list[_Reuse] = field(default_factory=list, init=False)

    def register(self, tensor: torch.Tensor, role: str, keep: bool = True) -> int:
        """Note a tensor that existed before the run, and keep it alive unless the run may free it."""
        if not keep:
            return self._storage(tensor, OUTSIDE, role)
        if tensor.layout is not torch.strided:
            self._kept.append(tensor)
            return self._sparse(tensor, OUTSIDE, role)
        storage = tensor.untyped_storage()
        self._kept += (tensor, storage)  # the model may give the tensor another one
        key = storage._cdata
        position = self.ids.get(key)
        if position is None:
            position = self.ids[key] = len(self.storages)
            nbytes = storage.nbytes()
            count, held = nbytes // tensor.element_size(), getattr(storage, "stands_for_held", None)
            nbytes = held.nbytes if held is not None else nbytes
            self.storages.append(Storage(OUTSIDE, role, count, nbytes, len(self.ops)))
        return position

    def mark(self, tensor: torch.Tensor, role: str, path: str) -> None:
        """Say what a tensor of the run turned out to be: a gradient, a state of the optimizer."""
        record = self.storages[self._storage(tensor, OUTSIDE, role)]
        record.role, record.name = role, path
        if role == "input":  # the loss's target is there before the step, though its shape is known only here
            record.born = 0

    def _storage(self, tensor: torch.Tensor, module: int, role: str) -> int:
        if tensor.layout is not torch.strided:
            return self._sparse(tensor, module, role)
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self.ids.get(key)
        if known is not None:
            return known
        position = len(self.storages)
        nbytes = storage.nbytes()
        record = Storage(module, role, nbytes // tensor.element_size(), nbytes, len(self.ops))
        self.ids[key] = position
        record.ref = weakref.ref(storage, self._death(key, record))
        self.storages.append(record)
        return position

    def _foreign(self, tensor: torch.Tensor, module: int) -> int:
        """Note a tensor that was there before the run, though nobody handed it over."""
        self.spared.foreign.add(tensor.untyped_storage()._cdata)
        return self._storage(tensor, module, "buffer")

    def _sparse(self, tensor: torch.Tensor, module: int, role: str) -> int:
        """Note a sparse tensor as the storage of its entries, to which its indices belong if they are new."""
        values, *indices = parts(tensor)
        position = self._storage(values, module, role)
        record = self.storages[position]
        for part in indices:
            storage: Any = part.untyped_storage()
            if storage._cdata not in self.ids:
                other = getattr(storage, "stands_for", None)
                known = self.ids.get(other._cdata) if other is not None else None
                self.ids[storage._cdata] = position if known is None else known
                weakref.finalize(storage, self.ids.pop, storage._cdata, None)
                record.nbytes += storage.nbytes() if known is None else 0
        return position

    def _fresh(self, tensor: torch.Tensor, module: int, role: str, numel: int, nbytes: int) -> int:
        """Note the storage of a tensor that was just made from memory, of these elements and bytes."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        position = self.ids[key] = len(self.storages)
        record = Storage(module, role, numel, nbytes, len(self.ops))
        record.ref = weakref.ref(storage, self._death(key, record))
        self.storages.append(record)
        return position

    def alias(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Note that another tensor stands for one, which is there as long as either of them."""
        storage: Any = other.untyped_storage()
        self.ids[storage._cdata] = self._storage(tensor, self.stack[-1], "activation")
        storage.stands_for = tensor.untyped_storage()
        weakref.finalize(storage, self.ids.pop, storage._cdata, None)

    def move(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Note that a tensor is about to be in the storage of another, which is new."""
        position = self._storage(tensor, self.stack[-1], "activation")
        storage, record = other.untyped_storage(), self.storages[position]
        del self.ids[tensor.untyped_storage()._cdata]
        self.ids[storage._cdata] = position
        record.ref = weakref.ref(storage, self._death(storage._cdata, record))

    def made(self, tensor: torch.Tensor | None, module: int, numel: int, nbytes: int, born: int, died: int) -> int:
        """Note the storage of a tensor that a call returned, or of one that died in it."""
        position = len(self.storages)
        record = Storage(module, "activation", numel, nbytes, born, died)
        if tensor is not None:
            storage = tensor.untyped_storage()
            key = storage._cdata
            self.ids[key] = position
            record.ref = weakref.ref(storage, self._death(key, record))
        self.storages.append(record)
        return position

    def extend(self, inside: int, held: int) -> None:
        """Note bytes that live only inside the last op, and that the storage of its result has so many, if any."""
        now = len(self.ops)
        if inside:
            self.storages.append(Storage(self.stack[-1], "temporary", inside // 4, inside, now - 1, now))
        if held:
            self.storages[self.ops[-1].outputs[0]].nbytes = held

    def reuse(self) -> None:
        """Note that the last op is one in place if its first operand's storage is let go before the next."""
        position = self.ops[-1].inputs[0]
        self._reuse[:] = [_Reuse(self.storages[position], position, len(self.ops), self.storages)]

    def _death(self, key: int, record: Storage) -> Callable[[Any], None]:
        return _death(self.ids, self.ops, self._reuse, key, record)


def _death(
    ids: dict[int, int], ops: list[OpRecord], reuse: list[_Reuse], key: int, record: Storage
) -> Callable[[Any], None]:
    """Return what to do when a storage is let go; it knows no recorder, which a circle would keep alive."""

    def died(_: Any) -> None:
        ids.pop(key, None)
        if reuse and reuse[0].storage is record and reuse[0].next_op == len(ops):
            _, position, _, storages = reuse.pop()
            storage = storages.pop().ref()
            ids[storage._cdata] = position
            record.ref = weakref.ref(storage, _death(ids, ops, reuse, storage._cdata, record))
            ops[-1] = ops[-1]._replace(op=f"{ops[-1].op}_", outputs=(position,))
        else:
            record.died, record.ref = len(ops), None

    return died
