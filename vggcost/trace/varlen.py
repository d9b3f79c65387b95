"""Attention over sequences that lie one after the other: how many pairs of a query and a key there are.

The lengths are values. Where these are known (given, or computed of what is given) the pairs are counted; otherwise
every query is taken to meet as many keys as the longest sequence has, which is the most there can be, and is said.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

from vggcost.trace.bounds import Assumed
from vggcost.trace.custom import Refusal

__all__ = ["VARLEN", "pairs"]

VARLEN = frozenset(
    (
        *(f"torch_attn._varlen_attn{name}" for name in ("", "_out", "_backward")),
        *(
            f"aten._{kind}_attention_{way}"
            for kind in ("flash", "efficient", "cudnn")
            for way in ("forward", "backward")
        ),
        "aten._flash_attention_forward_no_dropout_inplace",
    )
)
"""Ops that take where each sequence begins."""
_BEGIN_Q = ("cu_seq_q", "cum_seq_q", "cu_seqlens_q")
_BEGIN_K = ("cu_seq_k", "cum_seq_k", "cu_seqlens_k")
_USED_K = ("seqused_k", "seqlen_k")
_LONGEST_K = ("max_k", "max_seqlen_k")
_MOST = "every query meets as many keys as the longest sequence has, the most there can be"


def pairs(
    assumed: Assumed, op: str, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[str, Any], ...]:
    """Return the pairs of a head as an attribute of the op; none where the sequences lie in a table.

    Args:
        assumed: what is assumed in the run.
        op: its name.
        names: of its arguments.
        args: those as they were given, real ones with their values.
        kwargs: the same, by name.

    Raises:
        Refusal: there can be no such sequences.
    """
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    begins = _first(given, _BEGIN_Q)
    if begins is None:
        return ()
    query, key, table = given["query"], given["key"], given.get("block_table")
    queries = _lengths(assumed, op, begins, query.shape[-3])
    keys = _keys(assumed, op, given, None if table is not None else key.shape[-3])
    if queries is not None and keys is not None:
        if len(queries) != len(keys):
            raise Refusal(
                f"gives {op} {len(queries)} sequences of queries and {len(keys)} of keys; give as many of both"
            )
        assumed.read = True
        return (("pairs", sum(q * k for q, k in zip(queries, keys, strict=True))),)
    assumed.note(op, _MOST)
    longest = _first(given, _LONGEST_K)
    there = longest if table is not None else key.shape[-3]
    return (("pairs", query.shape[-3] * (there if longest is None else min(longest, there))),)


def _first(given: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def _keys(assumed: Assumed, op: str, given: dict[str, Any], there: int | None) -> list[int] | None:
    """Return how many keys each sequence has; of a cache, those in use."""
    begins, used = _first(given, _BEGIN_K), _first(given, _USED_K)
    room = None if begins is None else _lengths(assumed, op, begins, there)
    if used is None:
        return room
    known = _values(assumed, used)
    if known is None or begins is None:
        return known
    return None if room is None else [min(pair) for pair in zip(known, room, strict=False)]


def _lengths(assumed: Assumed, op: str, begins: torch.Tensor, there: int | None) -> list[int] | None:
    values = _values(assumed, begins)
    if values is None:
        return None
    if values != sorted(values) or min(values, default=0) < 0 or (there is not None and max(values, default=0) > there):
        most = "" if there is None else f" to at most {there}"
        raise Refusal(
            f"gives {op} sequences whose beginnings do not rise from 0{most}; give the cumulative sum of their lengths, "
            "with a 0 before it"
        )
    return [after - before for before, after in pairwise(values)]


def _values(assumed: Assumed, tensor: torch.Tensor) -> list[int] | None:
    """Return the numbers in a tensor of one axis; None if they are not known."""
    if tensor.is_meta or tensor.untyped_storage()._cdata in assumed.unknown:
        return None
    with torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():
        return [int(value) for value in tensor.tolist()]
