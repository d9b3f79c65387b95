"""Sparse tensors: their parts, and such ones on meta, which keep their number of entries."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["COMPRESSED", "entries", "is_sparse", "nbytes", "parts", "sparse_meta", "swapped"]

_ROWS = frozenset((torch.sparse_csr, torch.sparse_bsr))
_COLUMNS = frozenset((torch.sparse_csc, torch.sparse_bsc))
COMPRESSED = _ROWS | _COLUMNS
"""Layouts that compress the indices of one axis."""
_past = torch._C._DisableTorchDispatch


def is_sparse(tensor: torch.Tensor) -> bool:
    """Whether a tensor keeps its entries alone, each with its place."""
    return tensor.layout is torch.sparse_coo or tensor.layout in COMPRESSED


def parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the dense tensors that a sparse one is made of, its entries first; a dense one is its own part."""
    if tensor.layout is torch.strided:
        return (tensor,)
    with _past(), torch.no_grad(), torch._C.DisableTorchFunction():
        if tensor.layout is torch.sparse_coo:
            return tensor._values(), tensor._indices()
        if tensor.layout in _ROWS:
            return tensor.values(), tensor.crow_indices(), tensor.col_indices()
        return tensor.values(), tensor.ccol_indices(), tensor.row_indices()


def entries(tensor: torch.Tensor) -> int:
    """Return how many values a sparse tensor has.

    Example:
        >>> entries(torch.eye(3).to_sparse())
        3
    """
    return parts(tensor)[0].numel()


def nbytes(tensor: torch.Tensor) -> int:
    """Return the bytes of a tensor; of a sparse one, of its entries and indices."""
    return sum(part.nbytes for part in parts(tensor))


def swapped(layout: torch.layout) -> torch.layout:
    """Return the layout of a matrix that is transposed."""
    pairs = ((torch.sparse_csr, torch.sparse_csc), (torch.sparse_bsr, torch.sparse_bsc))
    return {a: b for one, other in pairs for a, b in ((one, other), (other, one))}.get(layout, layout)


def sparse_meta(
    like: torch.Tensor,
    *,
    size: Any = None,
    count: int | None = None,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
    room: int = 0,
) -> torch.Tensor:
    """Make a sparse tensor on meta.

    Args:
        like: a sparse tensor that it is like in all else.
        size: its size.
        count: the number of its entries; of whole rows or blocks, where these are dense.
        dtype: of its entries.
        layout: how it is kept.
        room: for how many entries there is memory; 0: for those that it has.

    Example:
        >>> made = sparse_meta(torch.eye(3).to_sparse(), dtype=torch.float16)
        >>> made.device.type, made._nnz(), made.dtype
        ('meta', 3, torch.float16)
    """
    values, *indices = parts(like)
    size = tuple(like.shape if size is None else size)
    layout = like.layout if layout is None else layout
    count = values.shape[0 if like.layout is torch.sparse_coo else indices[0].dim() - 1] if count is None else count
    options: dict[str, Any] = {"dtype": like.dtype if dtype is None else dtype, "device": "meta"}
    whole: dict[str, Any] = {"dtype": indices[0].dtype, "device": "meta"}
    with _past(), torch._C.DisableTorchFunction():
        if layout is torch.sparse_coo:
            axes = like.sparse_dim() if like.layout is torch.sparse_coo else len(size)
            return torch.sparse_coo_tensor(
                torch.empty(axes, max(count, room), dtype=torch.int64, device="meta")[:, :count],
                torch.empty(max(count, room), *size[axes:], **options)[:count],
                size, is_coalesced=like.layout is not torch.sparse_coo or like.is_coalesced(), check_invariants=False, **options,
            )  # fmt: skip
        block = tuple(values.shape[indices[0].dim() :]) if like.layout in COMPRESSED else ()
        batch = tuple(size[:-2])
        lines = size[-2] if layout in _ROWS else size[-1]
        lines //= block[0 if layout in _ROWS else 1] if block else 1
        return torch.sparse_compressed_tensor(
            torch.empty(*batch, lines + 1, **whole), torch.empty(*batch, count, **whole),
            torch.empty(*batch, count, *block, **options), size, layout=layout, check_invariants=False, **options,
        )  # fmt: skip
