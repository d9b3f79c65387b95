"""What the model is run on: from `3x224x224`, or from tensors, to inputs on meta."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vggcost.errors import InputError
from vggcost.records import InputRecord
from vggcost.units import did_you_mean

__all__ = ["DTYPES", "parse_inputs", "read_inputs"]

DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
_FORM = "write the shape without the batch, such as 3x224x224, and the batch as -b 8"
_LARGEST = 2**62  # bytes that torch can still address


def parse_inputs(text: str, batch: int = 1) -> tuple[InputRecord, ...]:
    """Read an input as written on the command line.

    Args:
        text: sizes without the batch joined by `x`, then optionally `:dtype`: `3x224x224`,
            `128:int64`.
        batch: N, put before the sizes.

    Returns:
        One record; its shape is `(N, ...)`.

    Raises:
        InputError: the text is malformed, a size or the batch is below 1, or the dtype is unknown.

    Example:
        >>> parse_inputs("3x224x224", 2)[0].shape
        (2, 3, 224, 224)
    """
    if batch < 1:
        raise InputError(f"the batch must be 1 or more, not {batch}")
    sizes, _, dtype = text.strip().partition(":")
    dtype = dtype or "float32"
    if dtype not in DTYPES:
        raise InputError(
            f"unknown dtype {dtype!r} in input {text!r}{did_you_mean(dtype, DTYPES)}; known: {', '.join(DTYPES)}"
        )
    if not re.fullmatch(r"\d+([x×*]\d+)*", sizes.lower()):
        raise InputError(f"cannot read the input {text!r}; {_FORM}")
    shape = (batch, *(int(size) for size in re.split(r"[x×*]", sizes.lower())))
    if 0 in shape:
        raise InputError(f"the input {text!r} has a size of 0; {_FORM}")
    elements = 1
    for size in shape:
        elements *= size
    if elements * 8 > _LARGEST:
        raise InputError(f"the input {text!r} at batch {batch} has more elements than torch can address")
    return (InputRecord("input", shape, dtype),)


def read_inputs(inputs: Any) -> tuple[tuple[InputRecord, ...], int]:
    """Describe tensors given to the API.

    Args:
        inputs: a tensor, a sequence of tensors, or a mapping of keyword arguments to tensors.

    Returns:
        The records, and the batch: the first size of the first tensor.

    Raises:
        InputError: something among them is not a tensor.
    """
    import torch

    if isinstance(inputs, torch.Tensor):
        named: list[tuple[str, Any]] = [("input", inputs)]
    elif isinstance(inputs, Mapping):
        named = [(str(key), value) for key, value in inputs.items()]
    elif isinstance(inputs, Sequence):
        named = [(f"input{position}", value) for position, value in enumerate(inputs)]
    else:
        named = [("input", inputs)]
    if not named:
        raise InputError("no inputs given; give a tensor, a tuple of tensors, a dict, or a string such as '3x224x224'")
    records = []
    for name, value in named:
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"{name} is a {type(value).__name__}; inputs are a tensor, a tuple of tensors, "
                "a dict of keyword arguments, or a string such as '3x224x224'"
            )
        records.append(InputRecord(name, tuple(value.shape), str(value.dtype).removeprefix("torch.")))
    return tuple(records), (records[0].shape or (1,))[0]
