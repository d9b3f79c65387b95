"""The dtypes of a run: which there are, how large an element of each is, and which of them a page offers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vggcost.records import RunInfo
from vggcost.units import exact

__all__ = ["OFFERED", "as_run", "floating", "listed", "of_inputs", "offered", "size_of", "why_not_offered"]

OFFERED = ("float32", "float16", "bfloat16")
"""What a page shows a model in, if all of its floating-point tensors are of one dtype."""


def size_of(dtype: str) -> int:
    """Return the bytes of an element.

    Example:
        >>> size_of("bfloat16"), size_of("complex64"), size_of("bool"), size_of("float8_e4m3fn")
        (2, 8, 1, 1)
    """
    bits = re.search(r"\d+", dtype)
    return max(1, int(bits[0]) // 8) if bits else 1


def floating(dtypes: Iterable[str]) -> tuple[str, ...]:
    """Keep the real floating-point dtypes, each once: those that `--dtype` changes.

    Example:
        >>> floating(["int64", "bfloat16", "float32", "bfloat16"])
        ('bfloat16', 'float32')
    """
    return tuple(dict.fromkeys(dtype for dtype in dtypes if dtype.startswith(("float", "bfloat"))))


def of_inputs(run: RunInfo) -> tuple[str, ...]:
    """List the dtypes of what goes in."""
    return tuple(dict.fromkeys(record.dtype for record in run.inputs))


def _all(run: RunInfo) -> tuple[str, ...]:
    return floating((*run.param_dtypes, *run.buffer_dtypes, *of_inputs(run)))


def listed(run: RunInfo, params: bool = False, dtype: str = "") -> str:
    """Write in what a model was run, or what its parameters are; with a dtype, as if it were run in that.

    Example:
        >>> run = RunInfo("net", "net", (), "object", "", (), 1, "inference", param_dtypes=("int8", "bfloat16"))
        >>> listed(run), listed(run, params=True), listed(run, params=True, dtype="float32")
        ('bfloat16', 'int8 and bfloat16', 'int8 and float32')
    """
    found = run.param_dtypes if params else _all(run)
    changed = (dtype if dtype and floating([each]) else each for each in found)
    return " and ".join(dict.fromkeys(changed))


def as_run(run: RunInfo) -> str:
    """Say for what batch and dtype a run was.

    Example:
        Of VGG-16 it is `batch 1, float32`.
    """
    return ", ".join(part for part in (f"batch {exact(run.batch)}", listed(run)) if part)


def offered(run: RunInfo) -> tuple[str, ...]:
    """List the dtypes to show a model in: first its own, alone unless it is the only one in the model.

    Example:
        >>> run = RunInfo("net", "net", (), "object", "", (), 1, "inference", param_dtypes=("bfloat16",))
        >>> offered(run)
        ('bfloat16', 'float32', 'float16')
    """
    own = _all(run)
    return own + tuple(dtype for dtype in OFFERED if dtype not in own) if len(own) == 1 else (listed(run),)


def why_not_offered(run: RunInfo) -> str:
    """Say why a model is shown in its own dtypes alone; nothing where it is not."""
    if len(_all(run)) == 1:
        return ""
    parts = (("parameters", run.param_dtypes), ("buffers", run.buffer_dtypes), ("inputs", of_inputs(run)))
    kinds = [f"{what} {' and '.join(found)}" for what, dtypes in parts if (found := floating(dtypes))]
    return f"the model has several ({', '.join(kinds)})" if kinds else "nothing in it is a floating-point number"
