"""Values that a model reads only to raise an error: which outcome lets the run go on.

The code that reads is looked at: where one way from its next branch does nothing but raise, for nobody to catch, the
other one is taken. Any other branch is one of the model, which is never chosen silently.
"""

from __future__ import annotations

import dis
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import torch

__all__ = ["passing"]

_HERE = str(Path(__file__).parent.parent)
_TORCH = str(Path(torch.__file__).parent)
_GLUE = tuple(f"{_TORCH}/{name}" for name in ("_ops.py", "overrides.py", "utils/_python_dispatch.py"))
_ENDS = ("RETURN_VALUE", "RETURN_CONST", "YIELD_VALUE")
_RAISES = ("RAISE_VARARGS", "RERAISE")
_SAME = ("TO_BOOL", "NOP", "CACHE", "PRECALL", "EXTENDED_ARG", "NOT_TAKEN", "CALL")


def passing() -> tuple[bool, str] | None:
    """Return the outcome of the truth value that is read now under which nothing is raised, and where that is.

    None: no outcome raises at once, or what is raised is caught.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_HERE, *_GLUE)):
        frame = frame.f_back
    if frame is None:
        return None
    wanted = _wanted(frame.f_code, frame.f_lasti)
    outer = frame.f_back
    while wanted is not None and outer is not None and not outer.f_code.co_filename.startswith(_HERE):
        if _flow(outer.f_code).caught(outer.f_lasti):
            return None
        outer = outer.f_back
    return None if wanted is None else (wanted, f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}")


class _Flow(NamedTuple):
    """The instructions of some code, and from which of them it can go on to its end without an error."""

    code: tuple[dis.Instruction, ...]
    places: dict[int, int]
    handlers: tuple[tuple[int, int, int], ...]
    ending: frozenset[int]

    def caught(self, offset: int) -> bool:
        """Whether an error raised there can be caught here."""
        return any(start <= offset < end and self.places[to] in self.ending for start, end, to in self.handlers)


@lru_cache(512)
def _flow(code: CodeType) -> _Flow:
    instructions = tuple(dis.get_instructions(code))
    places = {instruction.offset: at for at, instruction in enumerate(instructions)}
    entries = [(entry.start, entry.end, entry.target) for entry in dis.Bytecode(code).exception_entries]  # type: ignore[attr-defined]
    before: dict[int, set[int]] = {}
    ending: set[int] = set()
    for at, instruction in enumerate(instructions):
        name, after = instruction.opname, set[int]()
        if name in _ENDS:
            ending.add(at)
        elif name in _RAISES:
            covered = [to for start, end, to in entries if start <= instruction.offset < end]
            after = {places[to] for to in covered}
        else:
            jumps = instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs
            suppressing = any(i.opname == "WITH_EXCEPT_START" for i in instructions[max(0, at - 2) : at])
            if jumps and not suppressing:  # that a context manager swallows an error is not expected
                after.add(places[instruction.argval])
            if not (jumps and name.startswith("JUMP") and "_IF_" not in name):
                after.add(at + 1)
        for to in after:
            before.setdefault(to, set()).add(at)
    waiting = list(ending)
    for at in waiting:  # which grows
        new = before.get(at, set()) - ending
        ending |= new
        waiting += new
    return _Flow(instructions, places, tuple(entries), frozenset(ending))


@lru_cache(4096)
def _wanted(code: CodeType, offset: int) -> bool | None:
    """Return the truth value with which the branch after a place does not raise, if it does with the other one."""
    flow = _flow(code)
    at, flipped = flow.places[offset], False
    while flow.code[at].opname in (*_SAME, "UNARY_NOT"):
        flipped ^= flow.code[at].opname == "UNARY_NOT"
        at += 1
    jump = flow.code[at]
    if not jump.opname.startswith("POP_JUMP") or not jump.opname.endswith(("IF_TRUE", "IF_FALSE")):
        return None
    jumping, going = flow.places[jump.argval] in flow.ending, at + 1 in flow.ending
    if jumping == going:
        return None
    on_true = jump.opname.endswith("IF_TRUE")
    return (on_true if jumping else not on_true) ^ flipped
