"""What a run without data cannot know: sizes and values that depend on it, and the bounds taken instead.

An op whose output size depends on the data (`nonzero`, a boolean mask, `unique`, `nms`) gets the largest
size it can have, or the one that the user states; the trace says so. An op that reads a value out of a
tensor has no bound: it stops the run, unless the user states the value.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch

from vggcost.load.meta import to_meta, without_device
from vggcost.records import CHECK, Assumption
from vggcost.trace.checks import Checked, passing, uncertain
from vggcost.units import exact

__all__ = ["ASSUMABLE", "READERS", "Assumed", "Endless", "Unknowable", "read", "reads"]


class Unknowable(Exception):
    """An op reads a value that a run on meta does not have; with a key, the user can state it."""

    def __init__(self, op: str, key: str) -> None:
        super().__init__(op)
        self.op, self.key = op, key


MOST_READS = 20_000
"""How often an assumed value may be read in a run: a loop that it never ends is ended then."""


class Endless(Exception):
    """A loop goes on as long as an assumed value says."""


@dataclass
class Assumed:
    """What is assumed in one run.

    Attributes:
        limits: what the user states: the elements that `nonzero`, `unique` or `nms` return, the number
            that `item` reads, the length that `repeat_interleave` makes; for one layer as `layer:nonzero`.
        where: tells the path of the layer that runs.
        kind: tells its class.
        real: whether all tensors of the run have values.
        unknown: storages of real tensors that a meta tensor was written into, so that they hold no
            value any more.
        read: whether the model has read values that are known, so that they control what it does.
    """

    limits: Mapping[str, int] = field(default_factory=dict)
    where: Callable[[], str] = str
    kind: Callable[[], str] = str
    real: bool = False
    unknown: set[int] = field(default_factory=set)
    read: bool = False
    reads: int = 0
    calls: dict[tuple[str, str], int] = field(default_factory=dict)

    kept: list[torch.UntypedStorage] = field(default_factory=list)
    values: dict[int, tuple[weakref.ref[Any], int]] = field(default_factory=dict)

    def distinct(self, tensor: torch.Tensor) -> int | None:
        """Return how many distinct values an integer tensor can hold; None if that is not known."""
        if tensor.is_floating_point():
            return None
        if not tensor.is_meta:
            return None if tensor.untyped_storage()._cdata in self.unknown else torch.unique(tensor).numel()
        storage, count = self.values.get(tensor.untyped_storage()._cdata, (None, 0))
        return count if storage is not None and storage() is not None else None

    def selected(self, mask: torch.Tensor) -> int | None:
        """Return how many elements a mask selects; None if its values are not known."""
        if mask.is_meta or mask.untyped_storage()._cdata in self.unknown:
            return None
        self.read = True
        return int(mask.count_nonzero())

    def follow(self, op: str, args: tuple[Any, ...], result: torch.Tensor) -> None:
        """Note how many distinct values the integers can hold that an op makes of others."""
        if result.is_floating_point():
            return
        if op in FILLED:
            count: int | None = 1
        else:
            parts = args[0] if op == "aten.cat" else args[:1]
            counts = [self.distinct(part) for part in parts]
            count = None if None in counts else sum(n for n in counts if n is not None)
        if count is not None:
            storage = result.untyped_storage()
            self.values[storage._cdata] = weakref.ref(storage), count

    def forget(self, tensor: torch.Tensor) -> None:
        """Note that a real tensor no longer holds a value that is known."""
        storage = tensor.untyped_storage()
        self.unknown.add(storage._cdata)
        self.kept.append(storage)  # or its address would be another's; the tensor may get another storage

    def note(self, op: str, text: str) -> None:
        """Count one more call for which something was assumed."""
        self.calls[op, text] = self.calls.get((op, text), 0) + 1

    def count(self, op: str, key: str, most: int, whole: str) -> int:
        """Return the number of elements an op is taken to return: what the user states, or the most."""
        stated = self.limit(key)
        if stated is None:
            self.note(op, whole)
            return most
        self.note(op, f"{exact(stated)} {'element' if stated == 1 else 'elements'}, as stated")
        return min(stated, most)

    def value(self, op: str, key: str) -> int:
        """Return the number that the user states.

        Raises:
            Unknowable: there is none.
        """
        stated = self.limit(key)
        if stated is None:
            raise Unknowable(op, key)
        self.note(op, f"{exact(stated)}, as stated")
        return stated

    def number(self, dtype: torch.dtype) -> bool | int | float:
        """Return the number that `item` is stated to read, as one of this type."""
        found = self.check(_kind(dtype))
        if found is not None:
            return found
        if self.limit("item") is None and self.kind() in OBSERVERS:
            self.note("aten.item", "no, for observers that have seen data before")
            return False if dtype is torch.bool else 0
        value = self.value("aten.item", "item")
        self.reads += 1
        if self.reads > MOST_READS:
            raise Endless(
                f"the value assumed with item={value} was read more than {exact(MOST_READS)} times, as by a loop that it "
                "never ends; assume another one, of one layer as --assume LAYER:item=NUMBER"
            )
        return bool(value) if dtype is torch.bool else float(value) if dtype.is_floating_point else value

    def check(self, kind: type) -> bool | int | float | None:
        """Return a value with which the check passes that reads it now; None if it is read for more than a check."""
        found = passing(kind) if self.limit("item") is None else None
        if found is None:
            return None
        value, where = found
        self.note(CHECK, f"taken as passed: {where}")
        return value

    def compared(self, tensor: torch.Tensor) -> Checked | None:
        """Return what stands for a number that is only compared by checks, where none is known with which they pass."""
        kind = _kind(tensor.dtype)
        if not tensor.is_meta or kind is bool or self.limit("item") is not None:
            return None
        return Checked(self._answer) if passing(kind) is None and uncertain() else None

    def _answer(self) -> bool:
        found = self.check(bool)
        if found is None:
            raise Unknowable("aten.item", "item")
        return bool(found)

    def limit(self, key: str) -> int | None:
        """Return what the user states for an op here: of its layer or of one around it, or of all layers."""
        path = self.where()
        while path:
            for pattern, value in self.limits.items():
                layer, _, name = pattern.rpartition(":")
                if name == key and layer and fnmatchcase(path, layer):
                    return value
            path = path.rpartition(".")[0]
        return self.limits.get(key)

    def records(self) -> tuple[Assumption, ...]:
        """Freeze what was assumed."""
        return tuple(Assumption(op, calls, text) for (op, text), calls in sorted(self.calls.items()))


def _kind(dtype: torch.dtype) -> type:
    return bool if dtype is torch.bool else float if dtype.is_floating_point else int


def _meta(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


_ALL = "every element, the most there can be"
_DISTINCT = "every element distinct, the most there can be"
_MASK = "every element of the mask, the most there can be"


def _nonzero(assumed: Assumed, x: torch.Tensor) -> torch.Tensor:
    count = assumed.count("aten.nonzero", "nonzero", x.numel(), _ALL)
    return _meta(max(x.dim(), 0), count).t()


def _masked_select(assumed: Assumed, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    most = torch.broadcast_shapes(x.shape, mask.shape).numel()  # type: ignore[no-untyped-call]
    known = assumed.selected(mask)
    if known is not None:
        return _meta(known * most // max(1, mask.numel()), dtype=x.dtype)
    return _meta(assumed.count("aten.masked_select", "nonzero", most, _MASK), dtype=x.dtype)


def _unique(assumed: Assumed, x: torch.Tensor, inverse: bool = False, counts: bool = False) -> tuple[torch.Tensor, ...]:
    values = assumed.distinct(x)
    if values is not None and values < x.numel():
        count = assumed.count("aten.unique", "unique", values, "every value of the table it was looked up in")
    else:
        count = assumed.count("aten.unique", "unique", x.numel(), _DISTINCT)
    return _meta(count, dtype=x.dtype), _meta(*(x.shape if inverse else (0,))), _meta(count if counts else 0)


def _unique2(
    assumed: Assumed,
    x: torch.Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> Any:
    return _unique(assumed, x, return_inverse, return_counts)


def _unique_consecutive(
    assumed: Assumed, x: torch.Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    return _unique_dim(assumed, x, 0 if dim is None else dim, True, return_inverse, return_counts, flat=dim is None)


def _unique_dim(
    assumed: Assumed,
    x: torch.Tensor,
    dim: int,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    flat: bool = False,
) -> Any:
    if flat:
        return _unique(assumed, x, return_inverse, return_counts)
    most = x.shape[dim]
    count = assumed.count("aten.unique", "unique", most, _DISTINCT)
    shape = list(x.shape)
    shape[dim] = count
    return _meta(*shape, dtype=x.dtype), _meta(most if return_inverse else 0), _meta(count if return_counts else 0)


def _nms(assumed: Assumed, boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    return _meta(assumed.count("torchvision.nms", "nms", boxes.shape[0], "every box kept, the most there can be"))


def _item(assumed: Assumed, x: torch.Tensor) -> bool | int | float:
    return assumed.number(x.dtype)


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.stride(), tensor.dtype


def _equal(assumed: Assumed, a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if _place(a) == _place(b):
        if a.is_floating_point():
            assumed.note("aten.equal", "a tensor equals itself, since it holds no NaN")
        return True
    found = assumed.check(bool)
    return bool(assumed.value("aten.equal", "item") if found is None else found)


def _allclose(assumed: Assumed, a: torch.Tensor, b: torch.Tensor, *limits: float, **named: Any) -> bool:
    torch.broadcast_shapes(a.shape, b.shape)  # type: ignore[no-untyped-call]
    found = assumed.check(bool)
    return bool(assumed.value("aten.allclose", "item") if found is None else found)


def _repeat_interleave(assumed: Assumed, repeats: torch.Tensor, output_size: int | None = None) -> torch.Tensor:
    if output_size is None:
        output_size = assumed.value("aten.repeat_interleave", "repeat_interleave")
    return _meta(output_size)


def _bincount(assumed: Assumed, x: torch.Tensor, weights: torch.Tensor | None = None, minlength: int = 0) -> Any:
    size = max(minlength, assumed.value("aten.bincount", "bincount"))
    return _meta(size, dtype=torch.int64 if weights is None else weights.dtype)


BOUNDS: dict[str, Callable[..., Any]] = {
    "aten.nonzero": _nonzero,
    "aten.masked_select": _masked_select,
    "aten._unique2": _unique2,
    "aten._unique": lambda assumed, x, sorted=True, return_inverse=False: _unique(assumed, x, return_inverse)[:2],
    "aten.unique_consecutive": _unique_consecutive,
    "aten.unique_dim": _unique_dim,
    "torchvision.nms": _nms,
    "aten._local_scalar_dense": _item,
    "aten.equal": _equal,
    "aten.allclose": _allclose,
    "aten.repeat_interleave": _repeat_interleave,
    "aten.bincount": _bincount,
}
"""Ops whose output depends on the data: what their outputs are taken to be."""

OBSERVERS = frozenset(
    f"{kind}{name}"
    for name in ("MinMaxObserver", "PerChannelMinMaxObserver", "AverageMinMaxObserver", "AveragePerChannelMinMaxObserver",
                 "FakeQuantize", "MovingAvgObsFakeQuantize")
    for kind in ("", "Moving", "Fused")
)  # fmt: skip
"""Layers of torch.ao that keep the range of what passes; they ask whether it is still infinite, or the wrong way round."""

ASSUMABLE = ("nonzero", "unique", "nms", "item", "repeat_interleave", "bincount")
"""What `--assume` takes."""

FILLED = ("aten.full_like", "aten.zeros_like", "aten.ones_like")
FOLLOWED = frozenset(
    (*FILLED, *(f"aten.{name}" for name in ("index", "index_select", "gather", "take", "clone", "_to_copy", "cat")))
)
MASKS = (torch.bool, torch.uint8)
INDEXED = ("aten.index", "aten.index_put", "aten.index_put_", "aten._unsafe_index", "aten._unsafe_index_put")


def without_masks(assumed: Assumed, op: str, indices: Any) -> Any:
    """Replace boolean masks among the indices of an op by as many integer indices as they select."""
    plain: list[torch.Tensor | None] = []
    for index in indices:
        if isinstance(index, torch.Tensor) and index.dtype in MASKS:
            known = assumed.selected(index)
            count = assumed.count(op, "nonzero", index.numel(), _MASK) if known is None else known
            plain += [_meta(count)] * index.dim()
        else:
            plain.append(to_meta(index, numbers=True))
    return plain


_ARRAYS = (torch.Tensor.numpy, torch.Tensor.__array__)
_OF_META = (torch.Tensor.new_tensor, torch.Tensor.new_ones, torch.ones_like, torch.Tensor.tolist)
_OUT = (*_ARRAYS, torch.Tensor.tolist)
READERS = frozenset((*_ARRAYS, *_OF_META, torch.tensor, torch.as_tensor))
"""Functions that make a tensor of plain values, or plain values of a tensor."""


def reads(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether one of `READERS` reads the values of a real tensor."""
    return func in _OUT and not args[0].is_meta


def read(number: Callable[[torch.Tensor], Any], func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call one of `READERS` so that what a model makes of plain values stays real: the dispatcher may not see it.

    Args:
        number: says what every element of a meta tensor is stated to be, where a model reads all of them.
        func: the function.
        args: what it is called with.
        kwargs: the same, by name.
    """
    if func in _ARRAYS and args[0].is_meta:
        raise Unknowable("Tensor.numpy", "")
    if func in _OF_META and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
        if func is torch.Tensor.tolist:
            return _nested(tuple(args[0].shape), number(args[0]))
        kwargs = {"dtype": args[0].dtype, **kwargs}
        if func is torch.Tensor.new_tensor:
            func, args = torch.tensor, args[1:]
        elif func is torch.Tensor.new_ones:
            func, args, kwargs = torch.ones, args[1:], {"device": "meta", **kwargs}
        elif not kwargs["dtype"].is_floating_point and not kwargs["dtype"].is_complex:
            func, args, kwargs = torch.ones, (args[0].shape,), {"device": "meta", **kwargs}
    return func(*args, **without_device(func, args, kwargs))


def _nested(shape: tuple[int, ...], number: bool | int | float) -> Any:
    return [_nested(shape[1:], number) for _ in range(shape[0])] if shape else number
