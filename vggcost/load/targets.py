"""The functions that an exported program may call: torch's own, on tensors and sizes, that touch nothing else."""

from __future__ import annotations

import re
from functools import lru_cache

from vggcost.load.expressions import Refused

__all__ = ["makes", "target"]

_PYTHON = "eq ne le ge lt gt neg pos mul add sub floordiv mod pow truediv and_ or_ lshift rshift getitem"
_TORCH = "sym_not sym_int sym_float sym_ite sym_max sym_min sym_sqrt"
_SIZES = frozenset(
    ["math.trunc", *(f"_operator.{name}" for name in _PYTHON.split()), *(f"torch.{name}" for name in _TORCH.split())]
)
_HIGHER = frozenset(
    "cond while_loop while_loop_stack_output map_impl scan associative_scan wrap_with_set_grad_enabled out_dtype "
    "wrap_with_autocast flex_attention flex_attention_backward invoke_subgraph hints_wrapper strict_mode "
    "tag_activation_checkpoint auto_functionalized auto_functionalized_v2".split()
)
"""Operators that call other operators: those that run nothing but the graphs they are given."""

_OPS = {
    "aten": r"(?!from_file|_print$|_cufft|_test|set_data|record_stream|_pin_memory|pin_memory|_nested_tensor_storage)\w+",
    "prims": r"\w+",
    "quantized_decomposed": r"\w+",
    "torchvision": r"nms|roi_align|roi_pool|ps_roi_align|ps_roi_pool|deform_conv2d",
}
"""The ops of each library: none that reads or writes files, prints, or changes the process."""


@lru_cache(maxsize=4096)
def target(name: str) -> str:
    """Return the name of a function that a program may call.

    Raises:
        Refused: it is another, or there is none of this name.

    Example:
        >>> target("_operator.add")
        '_operator.add'
    """
    if name in _SIZES or (name.startswith("torch.ops.higher_order.") and name.split(".", 3)[3] in _HIGHER):
        return name
    match = re.fullmatch(r"torch\.ops\.(\w+)\.(\w+)\.(\w+)", name, re.ASCII)
    library, op, form = match.groups() if match else ("", "", "")
    if not re.fullmatch(_OPS.get(library, "(?!)"), op) or (op.startswith("__") and op.strip("_") not in _INFIX):
        raise Refused(f"the target {name[:60]!r} in it is none of torch's functions on tensors: it could be code")
    if not _exists(library, op, form):
        raise Refused(f"this torch has no {name[:80]!r}; import the package that adds it, or another version of torch")
    return name


_INFIX = {f"{sign}{name}" for name in ("and", "or", "xor", "lshift", "rshift") for sign in ("", "i")}


def _exists(library: str, op: str, form: str) -> bool:
    """Whether torch's dispatcher knows the op, rather than the interpreter of scripts, whose ops reach files."""
    import torch

    name = f"{library}::{op}" if form == "default" else f"{library}::{op}.{form}"
    if not torch._C._dispatch_has_kernel(name):
        return False
    found = getattr(getattr(getattr(torch.ops, library), op, None), form, None)
    return isinstance(found, torch._ops.OpOverload)


@lru_cache(maxsize=4096)
def makes(name: str) -> bool | None:
    """Whether a function that a program may call makes a tensor of its own sizes; None: it is not told where."""
    import torch

    library, op, form = name.removeprefix("torch.ops.").split(".") if name.count(".") == 4 else ("", "", "")
    if library not in _OPS:
        return None
    given = getattr(getattr(getattr(torch.ops, library), op), form)._schema.arguments
    if not any(one.name == "device" for one in given):
        return None
    return op.startswith("new_") or not any("Tensor" in str(one.type) for one in given)
