"""Values that a model reads only to raise an error: which outcome lets the run go on.

The code that reads is looked at: where all that it does with a value is to choose between going on and raising, for
nobody to catch, it goes on. Any other branch is one of the model, which is never chosen silently.
"""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable, Iterator
from math import inf, nan
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from vggcost.trace.bytecode import Use, flow_of, name_called, uses

__all__ = ["Checked", "passing", "uncertain"]

_HERE = str(Path(__file__).parent.parent)
_TORCH = str(Path(torch.__file__).parent)
_GLUE = tuple(f"{_TORCH}/{name}" for name in ("_ops.py", "overrides.py", "utils/_python_dispatch.py"))
_READING = ("bool", "int", "float", "item", "is_nonzero", "equal", "allclose")
"""Calls whose result is what they read."""
_INTERNAL = {"istft": False}
"""Functions of torch that raise, and do no more, where what they read is not so."""
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "bool": lambda value, _: bool(value),
}  # fmt: skip
_FAR = 2**62
_NUMBERS: dict[type, tuple[bool | int | float, ...]] = {
    bool: (True, False),
    int: (_FAR, -_FAR),
    float: (nan, inf, -inf),
}
"""Numbers of which it is known how they compare with any other."""

_DISTRIBUTIONS = {
    (f"{_TORCH}/distributions/constraints.py", "check"): "constraint",
    (f"{_TORCH}/distributions/distribution.py", "__init__"): "raises",
    (f"{_TORCH}/distributions/distribution.py", "_validate_sample"): "raises",
}

Passed = tuple[bool | int | float, str]


def passing(kind: type) -> Passed | None:
    """Return the value that is read now, of this type, under which nothing is raised, and where that is.

    None: no value is known to be one, or what is raised is caught.
    """
    found = _read(kind is bool)
    if found is None:
        return None
    where, called, asked = found
    tried = _NUMBERS[int if called == "int" else kind]
    if all(use.how == "bool" for use in asked):
        tried = (*tried, False)
    elif kind is bool:
        return None
    fitting = (value for value in tried if all(_OPERATORS[use.how](value, 0) is use.wanted for use in asked))
    value = next(fitting, None)
    return None if value is None else (value, where)


def uncertain() -> bool:
    """Whether the number that is read now is only compared so as to raise an error, but no known number passes."""
    return _read(False) is not None


class Checked:
    """A number that is only compared so as to raise an error, each time as the run goes on.

    Args:
        answer: gives the outcome of a comparison.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, answer: Callable[[], bool]) -> None:
        self._answer = answer

    def __bool__(self) -> bool:
        return self._answer()

    def _compared(self, other: object) -> bool:
        return self._answer()

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _compared


def _read(truth: bool) -> tuple[str, str, frozenset[Use]] | None:
    """Return where a value is read, by which call, and all of its uses, which are checks; None if some are not."""
    frame = _reader()
    if frame is None or any(flow_of(outer.f_code).caught(outer.f_lasti) for outer in _outer(frame)):
        return None
    where = f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
    flow = flow_of(frame.f_code)
    at = flow.place(frame.f_lasti)
    name, called = flow.code[at].opname, ""
    if name.startswith("CALL"):
        called, _ = name_called(flow, at)
        if called in _INTERNAL:
            return where, called, frozenset((Use("bool", _INTERNAL[called]),))
        if called not in _READING:
            return None
        at += 1
    elif _tells_a_distribution(frame):
        return where, called, frozenset((Use("bool", True),))
    elif name != "COMPARE_OP" and flow.code[at - 1].opname == "COPY":  # one of and, or
        at -= 1
    elif name == "COMPARE_OP":  # which asks for the truth of what it returns, or is asked by a `Checked`
        truth, at = True, at + 1
    found = _followed(frame, at, "bool" if truth else "")
    return None if not found else (where, called, found)


def _followed(frame: FrameType, at: int, how: str) -> frozenset[Use] | None:
    """Follow a value in a frame, and where it is returned in those that called it."""
    code = frame.f_code
    found = uses(code, at, how, code.co_filename.startswith(_TORCH))
    if found is None or not any(use.returned for use in found):
        return found
    outer = frame.f_back
    if outer is None or code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return None
    flow = flow_of(outer.f_code)
    call = flow.place(outer.f_lasti)
    if not flow.code[call].opname.startswith(("CALL", "LOAD_ATTR")) or name_called(flow, call)[0] != code.co_name:
        return None
    whole = {use for use in found if not use.returned}
    for use in found - whole:
        further = _followed(outer, call + 1, use.how if use.constant is None else "bool")
        if further is None:
            return None
        if use.constant is None:
            whole |= {each._replace(wanted=each.wanted is use.wanted) for each in further}
        elif all(each == Use("bool", not use.constant) for each in further):  # which raises there
            whole.add(Use(use.how, not use.wanted))
        else:
            return None
    return frozenset(whole)


def _tells_a_distribution(frame: FrameType) -> bool:
    """Whether a constraint of torch's asks if a tensor holds what it returns at once if not, to a distribution that raises."""
    names = [_DISTRIBUTIONS.get((f.f_code.co_filename, f.f_code.co_name)) for f in (frame, *_outer(frame))]
    return bool(names) and names[0] == "constraint" and next(n for n in (*names, None) if n != "constraint") == "raises"


def _reader() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_HERE, *_GLUE)):
        frame = frame.f_back
    return frame


def _outer(frame: FrameType) -> Iterator[FrameType]:
    outer = frame.f_back
    while outer is not None and not outer.f_code.co_filename.startswith(_HERE):
        yield outer
        outer = outer.f_back
