"""What an op of the user's own costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vggcost.cost.custom import register
from vggcost.cost.ops import is_known
from vggcost.errors import OptionError
from vggcost.records import OpRecord

__all__ = ["register_cost"]


def register_cost(
    op: Any,
    macs: Callable[[OpRecord], int] | None = None,
    price: Callable[[OpRecord], int] | None = None,
    shape: Callable[..., Any] | None = None,
) -> None:
    """Say what an op costs that vggcost does not know, so that tables count it rather than list it as unknown.

    Call it where the op is defined: a model named as `./file.py:factory` has its file imported before
    it is run. A second call for the same op replaces the first.

    Args:
        op: `"mylib::myop"`, or the op itself (`torch.ops.mylib.myop`, or what torch.library.custom_op made).
        macs: multiply-accumulates of one call, from its record: `input_shapes` and `output_shapes` (of
            its tensors, in order), `get(name)` for a plain argument by its name in the op's schema.
        price: FLOPs besides those of the MACs, which the convention `full` counts.
        shape: for an op that cannot run on meta tensors: takes the op's arguments and returns its outputs
            on meta. torch.library.register_fake does the same for the whole of torch.

    Raises:
        OptionError: the op is torch's own and counted already, or nothing is stated.

    Example:
        >>> register_cost("mylib::myop", macs=lambda op: op.input_shapes[0][0] * 64)
    """
    name = _name(op)
    if is_known(name):
        raise OptionError(f"register_cost: {name.replace('.', '::', 1)} is an op that vggcost counts already")
    if macs is None and price is None and shape is None:
        raise OptionError(f"register_cost: say what {name.replace('.', '::', 1)} costs: macs=, price= or shape=")
    for word, function in (("macs", macs), ("price", price), ("shape", shape)):
        if function is not None and not callable(function):
            raise OptionError(f"register_cost: {word} must be a function, not {type(function).__name__}")
    register(name, macs, price)
    if shape is not None:
        from vggcost.trace import register_shape

        register_shape(name, shape)


def _name(op: Any) -> str:
    """The name as records have it: `mylib.myop`, without the overload."""
    name = op
    for attribute in ("_qualname", "_qualified_op_name", "_name"):  # custom_op's, a packet's, an overload's
        name = getattr(op, attribute, name) if name is op else name
    if not isinstance(name, str) or name.count("::") != 1:
        raise OptionError(f"register_cost: name the op as mylib::myop, or give the op itself; got {op!r}")
    space, _, rest = name.partition("::")
    return f"{space}.{rest.partition('.')[0]}"
