"""Values that are given as numbers nested in lists: their shape, their dtype, and the batch. Standard library only."""

from __future__ import annotations

import json
from typing import Any

from vggcost.errors import InputError
from vggcost.records import GivenRecord
from vggcost.units import exact
from vggcost.units import shape as shape_text

__all__ = ["first_size", "given", "read_json_prefix"]

_RANGES = {f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)} | {"uint8": (0, 255)}


def read_json_prefix(text: str, what: str) -> tuple[Any, str]:
    """Read the JSON that a text begins with; return its value and what is left of the text.

    Raises:
        InputError: it does not begin with JSON.

    Example:
        >>> read_json_prefix("[5, 3]:int32", "the input")
        ([5, 3], ':int32')
    """
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"cannot read {what}: not JSON ({error})") from None
    return value, text[end:].strip()


def given(values: Any, what: str, dtype: str = "", shape: tuple[int, ...] | None = None, batch: int = 1) -> GivenRecord:
    """Describe a tensor of given values, which has no name yet.

    Args:
        values: a number, or numbers nested in lists.
        what: what messages call it.
        dtype: of the tensor; empty: int64 for whole numbers, bool for truth values, float32 otherwise.
        shape: the whole shape; None: that of the values.
        batch: N; what the values say of one example is said of all.

    Raises:
        InputError: the values are no regular nesting of numbers, do not fit the shape, the dtype or the batch.

    Example:
        >>> given([[1, 1, 0]], "mask", batch=8).shape
        (8, 3)
    """
    sizes, kinds = _sizes(values, what), _kinds(values)
    whole = kinds <= {bool, int}
    dtype = dtype or ("bool" if kinds == {bool} else "int64" if whole and kinds else "float32")
    if dtype in (*_RANGES, "bool") and not whole:
        raise InputError(f"{what}: {dtype} takes whole numbers, and there are others among the values")
    low, high = _RANGES.get(dtype, (0, 0))
    if low < high and not all(low <= number <= high for number in _numbers(values)):
        raise InputError(f"{what}: a value is none of {dtype}, which goes from {exact(low)} to {exact(high)}")
    if shape is None:
        shape = _batched(sizes, batch, what)
    elif not _fits(sizes, shape):
        raise InputError(
            f"{what}: values of shape {shape_text(sizes)} are not those of a tensor of {shape_text(shape)}"
        )
    return GivenRecord("", shape, dtype, values)


def first_size(values: Any, axes: int) -> int:
    """Return how many examples values are of, in a tensor of so many axes: 1 where they do not say.

    Example:
        >>> first_size([[1, 0], [1, 1]], 2), first_size([1, 0], 2)
        (2, 1)
    """
    sizes = tuple(values.shape) if hasattr(values, "shape") else _sizes(values, "values")
    return sizes[0] if len(sizes) == axes else 1


def _fits(sizes: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether values of these sizes make a tensor of a shape; none make an empty one."""
    if sizes == (0,):
        return 0 in shape
    return len(sizes) <= len(shape) and all(n in (1, size) for n, size in zip(sizes[::-1], shape[::-1], strict=False))


def _batched(sizes: tuple[int, ...], batch: int, what: str) -> tuple[int, ...]:
    if batch == 1 or sizes[:1] in ((), (batch,)):
        return sizes
    if sizes[0] != 1:
        raise InputError(
            f"{what} has values for {exact(sizes[0])} along its first axis, which are none of a batch of {exact(batch)}; "
            "give those of one example, or of each, or leave the batch out"
        )
    return (batch, *sizes[1:])


def _sizes(values: Any, what: str) -> tuple[int, ...]:
    """Return the shape of nested lists of numbers."""
    if not isinstance(values, list):
        if isinstance(values, (bool, int, float)):
            return ()
        raise InputError(f"{what}: values are numbers, true or false, nested in lists, not {json.dumps(values):.60}")
    inner = {_sizes(item, what) for item in values}
    if len(inner) > 1:
        raise InputError(f"{what}: the lists of values must be of equal lengths, {json.dumps(values):.60} are not")
    return (len(values), *(inner.pop() if inner else ()))


def _numbers(values: Any) -> list[Any]:
    return [n for item in values for n in _numbers(item)] if isinstance(values, list) else [values]


def _kinds(values: Any) -> set[type]:
    return set(map(type, _numbers(values)))
