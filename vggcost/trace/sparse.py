"""Ops on sparse tensors: real ones are computed; without data, each has a rule, since torch has few.

A sparse tensor keeps its number of entries on meta. Where duplicates may fall together, or where the entries
depend on data, there are as many as there can be, or as many as the user states, which is an assumption.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from math import prod
from typing import Any

import torch

from vggcost.load.layouts import entries, is_sparse, parts, sparse_meta, swapped
from vggcost.load.meta import SMALL, to_meta
from vggcost.trace.bounds import Assumed
from vggcost.trace.custom import Refusal

__all__ = ["MADE", "MAKERS", "RULES", "compute", "facts", "new", "shape_of"]

Rule = Callable[..., Any]
_node = torch._C._current_autograd_node
_DISTINCT = "every index distinct, the most there can be"
_ALL = "every element kept, the most there can be"


def compute(
    name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor],
    valueless: bool, assumed: Assumed,
) -> Any:  # fmt: skip
    """Run an op that is given sparse tensors, or makes one of data.

    Args:
        name: of the op.
        func: the op.
        args: what it is called with.
        kwargs: the same, by name.
        tensors: those among them.
        valueless: whether some of the real ones hold no value that is known.
        assumed: what is assumed in the run.

    Raises:
        Refusal: it has no rule.
    """
    rule = RULES.get(name.removeprefix("aten.").rstrip("_"))
    moved, named = to_meta(args, numbers=True), to_meta(kwargs, numbers=True)
    meta = valueless or any(t.is_meta for t in tensors)
    if not meta and (assumed.real or _small(rule, moved, named)):
        return func(*args, **kwargs)
    if name in MAKERS:
        return _from_parts(assumed, func(*moved, **named), args[MAKERS[name]])
    if rule is None:
        try:
            return func(*moved, **named)
        except (NotImplementedError, RuntimeError) as error:
            raise Refusal(
                f"uses {name.replace('.', '::', 1)} on a sparse tensor, which is not known without data; convert it first "
                "(tensor.to_dense(), sparse=False in an embedding), or run with --fallback cpu"
            ) from error
    made = rule(assumed, *moved, **named)
    if not name.endswith("_"):
        return made
    if rule is _add and is_sparse(args[0]) and args[0].is_meta:
        args[0].data = made  # a new place for what it holds
    return args[0]


def _small(rule: Rule | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether what an op makes of real tensors may be real."""
    if rule is None or rule in _SPARSE:
        return True
    try:
        return bool(rule(Assumed(), *args, **kwargs).numel() <= SMALL)
    except Refusal:  # its size depends on the values, which are there
        return True


def new(original: Any) -> Callable[..., Any]:
    """Stand for `Tensor.new`, by which SparseAdam makes a sparse tensor of its parts; torch has none without data."""

    def made(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not (tensor.is_meta and tensor.layout is torch.sparse_coo and len(args) > 1):
            return original(tensor, *args, **kwargs)
        return torch.sparse_coo_tensor(*args, device="meta")

    return made


def shape_of(tensor: torch.Tensor, op: str) -> tuple[int, ...]:
    """Return the shape that an op works on: of the entries, other than in a product."""
    whole = RULES.get(op.removeprefix("aten.").rstrip("_")) in (_mm, _addmm)
    return tuple(tensor.shape if whole or not is_sparse(tensor) else parts(tensor)[0].shape)


def facts(tensors: list[torch.Tensor]) -> tuple[tuple[str, Any], ...]:
    """Return how many entries each tensor has, -1 for a dense one, and the products of two that are known."""
    stored = tuple(entries(t) if is_sparse(t) else -1 for t in tensors)
    pair = [t for t in tensors if is_sparse(t) and t.dim() == 2]
    if len(pair) != 2 or any(t.is_meta for t in pair) or pair[0].shape[1] != pair[1].shape[0]:
        return (("stored", stored),)
    columns, rows = (t.to_sparse()._indices()[axis] for t, axis in zip(pair, (1, 0), strict=True))
    meet = columns.bincount(minlength=pair[0].shape[1]) * rows.bincount(minlength=pair[0].shape[1])
    return ("stored", stored), ("products", int(meet.sum()))


# How many entries are left


def _from_parts(assumed: Assumed, made: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Note how many places the entries of a new tensor have, where its indices are known or were looked up."""
    if indices.dim() == 2 and indices.shape[0] > 1 and not indices.is_meta:
        distinct: int | None = torch.unique(indices, dim=1).shape[1]
    else:
        distinct = assumed.distinct(indices) if indices.dim() == 1 or indices.shape[0] == 1 else None
    if not is_sparse(made):
        return made
    if not indices.is_meta:
        places: Any = parts(made)[1].untyped_storage()
        places.stands_for = indices.untyped_storage()
    if distinct is not None:
        storage = parts(made)[0].untyped_storage()
        assumed.values[storage._cdata] = weakref.ref(storage), distinct
    return made


def _coalesce(assumed: Assumed, x: torch.Tensor) -> torch.Tensor:
    if x.is_coalesced():
        return x
    places = prod(x.shape[: x.sparse_dim()])
    storage, known = assumed.values.get(parts(x)[0].untyped_storage()._cdata, (None, 0))
    if storage is not None and storage() is not None:
        count = known
    else:
        count = assumed.count("aten.coalesce", "unique", min(x._nnz(), places), _DISTINCT)
    return sparse_meta(x, count=count)._coalesced_(True)


def _to_sparse(assumed: Assumed, x: torch.Tensor, dims: int | None = None, **options: Any) -> torch.Tensor:
    axes = x.dim() if not isinstance(dims, int) else dims
    if is_sparse(x):
        return sparse_meta(x, layout=options.get("layout") or torch.sparse_coo)
    layout = options.get("layout") or torch.sparse_coo
    count = assumed.count("aten.to_sparse", "nonzero", prod(x.shape[:axes]), _ALL)
    row = torch.sparse_coo_tensor(
        torch.empty(axes, 1, dtype=torch.int64, device="meta"), x.new_empty(1, *x.shape[axes:]), x.shape
    )
    return sparse_meta(row, count=count, layout=layout)


def _compressed(layout: torch.layout) -> Rule:
    return lambda assumed, x, *rest, **options: _to_sparse(assumed, x, layout=layout)


# Shapes


def _dense(x: torch.Tensor, *shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=x.dtype, device="meta")


def _mm(assumed: Assumed, a: torch.Tensor, b: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    if is_sparse(a) and is_sparse(b):
        raise Refusal(
            "multiplies two sparse tensors, and how many entries that makes depends on their places; convert one first "
            "(tensor.to_dense()), or run with --fallback cpu"
        )
    return _dense(a, *a.shape[:-1], *b.shape[a.dim() - 1 :])


def _addmm(assumed: Assumed, start: Any, a: torch.Tensor, b: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    return _mm(assumed, a, b)


def _to_dense(assumed: Assumed, x: torch.Tensor, dtype: torch.dtype | None = None, *rest: Any) -> torch.Tensor:
    return torch.empty(x.shape, dtype=dtype or x.dtype, device="meta")


def _transpose(assumed: Assumed, x: torch.Tensor, one: int = 0, other: int = 1) -> torch.Tensor:
    size = list(x.shape)
    size[one], size[other] = size[other], size[one]
    return sparse_meta(x, size=size, layout=swapped(x.layout))


def _like(assumed: Assumed, x: Any, *others: Any, dtype: torch.dtype | None = None, **options: Any) -> torch.Tensor:
    """An op that works on each entry."""
    first = x if is_sparse(x) else next(t for t in others if isinstance(t, torch.Tensor) and is_sparse(t))
    return sparse_meta(first, dtype=dtype)


def _clone(assumed: Assumed, x: torch.Tensor, **options: Any) -> torch.Tensor:
    """A copy; autograd takes a new gradient as it is where nobody else holds it, which a mode that watches does.

    Source: torch/csrc/autograd/functions/accumulate_grad.h, accumulateGrad.
    """
    node = _node()
    taken = node is not None and node.name().endswith("AccumulateGrad")
    if taken and x.layout is torch.sparse_coo and all(part.is_contiguous() for part in parts(x)):
        values, indices = parts(x)
        return torch.sparse_coo_tensor(indices, values, x.shape, check_invariants=False, is_coalesced=x.is_coalesced())
    return sparse_meta(x)


def _masked(assumed: Assumed, x: torch.Tensor, mask: torch.Tensor, *rest: Any) -> torch.Tensor:
    return sparse_meta(mask, dtype=x.dtype)


def _add(assumed: Assumed, x: torch.Tensor, y: Any, *rest: Any, **options: Any) -> torch.Tensor:
    """Two sparse ones are merged into room for the entries of both, which stays as large."""
    if not (is_sparse(x) and is_sparse(y)):
        return torch.empty_like(y if is_sparse(x) else x)
    room, count = x._nnz() + y._nnz(), 0
    if x.layout is torch.sparse_coo and x.is_coalesced() and y.is_coalesced():
        count = min(room, prod(x.shape[: x.sparse_dim()]))
    count = assumed.count("aten.add", "unique", count or room, _DISTINCT)
    return sparse_meta(x, count=count, room=room)


def _sum(assumed: Assumed, x: torch.Tensor, dims: Any = None, **options: Any) -> torch.Tensor:
    axes = x.sparse_dim()
    gone = {d % x.dim() for d in dims} if dims else set(range(x.dim()))
    left = [size for axis, size in enumerate(x.shape) if axis not in gone]
    if gone >= set(range(axes)):
        return _dense(x, *left)
    rows = sum(axis not in gone for axis in range(axes))
    row = torch.sparse_coo_tensor(
        torch.empty(rows, 1, dtype=torch.int64, device="meta"), _dense(x, 1, *left[rows:]), left
    )
    count = assumed.count("aten._sparse_sum", "unique", min(x._nnz(), prod(left[:rows])), _DISTINCT)
    return sparse_meta(row, count=count)


_EACH = """
    mul div neg abs sqrt pow exp expm1 log1p sin tan sinh tanh asin atan asinh atanh sign sgn relu relu6 erf ceil floor
    round trunc square rad2deg deg2rad threshold_backward _to_copy _sparse_softmax _sparse_log_softmax
    _sparse_softmax_backward_data _sparse_log_softmax_backward_data
"""
RULES: dict[str, Rule] = {
    **dict.fromkeys(_EACH.split(), _like),
    "clone": _clone, "mm": _mm, "bmm": _mm, "mv": _mm, "_sparse_mm": _mm, "_sparse_sparse_matmul": _mm, "addmm": _addmm, "_sparse_addmm": _addmm, "addmv": _addmm,
    "baddbmm": _addmm, "_to_dense": _to_dense, "t": _transpose, "transpose": _transpose, "coalesce": _coalesce,
    "_coalesce": _coalesce, "add": _add, "sub": _add, "sparse_mask": _masked, "_sparse_sum": _sum, "_to_sparse": _to_sparse,
    "_to_sparse_csr": _compressed(torch.sparse_csr), "_to_sparse_csc": _compressed(torch.sparse_csc),
    "zeros_like": lambda assumed, x, **options: sparse_meta(x, count=0),
}  # fmt: skip
"""What each op makes of tensors on meta, by its name."""
MADE = frozenset(("aten._to_sparse", "aten._to_sparse_csr", "aten._to_sparse_csc"))
"""Ops that make a sparse tensor of the values of a dense one."""
MAKERS = {"aten._sparse_coo_tensor_with_dims_and_tensors": 3, "aten._embedding_bag_backward": 1}
"""Ops that make a sparse tensor of dense ones, and which of their arguments are the places of its entries."""
_SPARSE = (_clone, _like, _transpose, _coalesce, _masked, _sum)
"""Rules of ops that make no more than they are given, so that real ones stay real whatever their size."""
