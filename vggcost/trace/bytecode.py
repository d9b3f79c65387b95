"""What becomes of a value that code has just read: which outcomes of its branches, and of no other use, it has a say in.

Only a value is followed all of whose uses are understood: truth values, comparisons, local names, what is returned.
"""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

__all__ = ["Flow", "Use", "flow_of", "name_called", "uses"]

_RETURNS = ("RETURN_VALUE", "RETURN_CONST")
_ENDS = (*_RETURNS, "YIELD_VALUE")
_RAISES = ("RAISE_VARARGS", "RERAISE")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NOTHING = ("NOP", "CACHE", "PRECALL", "EXTENDED_ARG", "NOT_TAKEN", "KW_NAMES", "RESUME")
_LOADS = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW")
_NAMED = (*_LOADS, "STORE_FAST", "DELETE_FAST")
_POPS = {
    **dict.fromkeys((*_LOADS, *_NOTHING, "LOAD_CONST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLOSURE",
                     "PUSH_NULL", "LOAD_ASSERTION_ERROR", "LOAD_SMALL_INT"), 0),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "UNARY_NOT", "UNARY_NEGATIVE", "UNARY_INVERT", "TO_BOOL",
                     "FORMAT_SIMPLE", "FORMAT_VALUE", "CONVERT_VALUE", "MAKE_FUNCTION"), 1),
    **dict.fromkeys(("SET_FUNCTION_ATTRIBUTE", "FORMAT_WITH_SPEC", "BINARY_OP", "BINARY_SUBSCR", "COMPARE_OP", "IS_OP", "CONTAINS_OP"), 2),
}  # fmt: skip
"""How many values the instructions of an expression take from the stack; that of a call depends on its arguments."""
_CONSTANTS: dict[object, bool] = {("return", "False"): False, ("return", "True"): True}
_CALLS = ("CALL", "CALL_KW", "CALL_FUNCTION_EX")
_BUILDS = ("BUILD_TUPLE", "BUILD_LIST", "BUILD_SLICE", "BUILD_STRING")
_CHECKS = {"_assert": 0, "_check": 0, "_check_with": 1} | dict.fromkeys(
    ("_check_index", "_check_value", "_check_type", "_check_not_implemented"), 0
)
"""Functions of torch that raise where this argument is false."""


class Use(NamedTuple):
    """One use of a value: its truth (`bool`), or its comparison as the left side, and with what outcome nothing is raised.

    One that is `returned` is not judged yet: the caller gets it, or its opposite; or with this outcome a `constant`.
    """

    how: str
    wanted: bool
    returned: bool = False
    constant: bool | None = None


class Flow(NamedTuple):
    """The instructions of some code, and from which of them it can go on to its end without an error."""

    code: tuple[dis.Instruction, ...]
    places: dict[int, int]
    handlers: tuple[tuple[int, int, int], ...]
    ending: frozenset[int]

    def place(self, offset: int) -> int:
        """Return which instruction runs there: while Python calls Python, the offset may be one of its caches."""
        return self.places[max(start for start in self.places if start <= offset)]

    def caught(self, offset: int) -> bool:
        """Whether an error raised there can be caught here."""
        return any(start <= offset < end and self.places[to] in self.ending for start, end, to in self.handlers)

    def after(self, at: int) -> set[int]:
        """Return where the code can go from an instruction."""
        instruction = self.code[at]
        name, found = instruction.opname, set[int]()
        if name in _ENDS:
            return found
        if name in _RAISES:
            return {self.places[to] for start, end, to in self.handlers if start <= instruction.offset < end}
        jumps = _jumps(instruction)
        suppressing = any(i.opname == "WITH_EXCEPT_START" for i in self.code[max(0, at - 2) : at])
        if jumps and not suppressing:  # that a context manager swallows an error is not expected
            found.add(self.places[instruction.argval])
        if not (jumps and name.startswith("JUMP") and "_IF_" not in name):
            found.add(at + 1)
        return found

    def exit(self, at: int) -> object:
        """Tell apart where ways end up: that of a jump is its target's, and equal ones return the same constant."""
        for _ in self.code:
            name, argument = self.code[at].opname, self.code[at].argval
            if name == "RETURN_CONST":
                return "return", repr(argument)
            if name == "LOAD_CONST" and self.code[at + 1].opname == "RETURN_VALUE":
                return "return", repr(argument)
            if name in _NOTHING:
                at += 1
            elif name.startswith("JUMP") and "_IF_" not in name:
                at = self.places[argument]
            else:
                break
        return at


def _jumps(instruction: dis.Instruction) -> bool:
    return instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs


def _plain(instruction: dis.Instruction) -> tuple[dis.Instruction, ...]:
    """Take apart what Python makes one instruction of two local names."""
    parts = instruction.opname.replace("_FAST_", "_FAST ").split()
    if len(parts) == 1 or not isinstance(instruction.argval, tuple):
        return (instruction,)
    parts = [part.removesuffix("_BORROW") for part in parts]
    return tuple(
        instruction._replace(opname=part, opcode=dis.opmap[part], arg=0, argval=name)
        for part, name in zip(parts, instruction.argval, strict=True)
    )


@lru_cache(512)
def flow_of(code: CodeType) -> Flow:
    """Read some code."""
    instructions = tuple(part for instruction in dis.get_instructions(code) for part in _plain(instruction))
    places: dict[int, int] = {}
    for at, instruction in enumerate(instructions):
        places.setdefault(instruction.offset, at)
    entries = [(entry.start, entry.end, entry.target) for entry in dis.Bytecode(code).exception_entries]  # type: ignore[attr-defined]
    flow = Flow(instructions, places, tuple(entries), frozenset())
    before: dict[int, set[int]] = {}
    for at in range(len(instructions)):
        for to in flow.after(at):
            before.setdefault(to, set()).add(at)
    waiting = [at for at, instruction in enumerate(instructions) if instruction.opname in _ENDS]
    ending = set(waiting)
    for at in waiting:  # which grows
        new = before.get(at, set()) - ending
        ending |= new
        waiting += new
    return flow._replace(ending=frozenset(ending))


def name_called(flow: Flow, at: int) -> tuple[str, str]:
    """Return the name of what a call calls, and of what that is an attribute of; empty where it has none.

    It is the last that is evaluated where the source of the call begins.
    """
    start = _start(flow.code[at])
    if flow.code[at].opname in ("LOAD_ATTR", "LOAD_METHOD"):  # a property
        return str(flow.code[at].argval), ""
    before = range(at - 1, -1, -1)
    skipped = (*_NOTHING, "PUSH_NULL")
    found = (i for i in before if _start(flow.code[i]) == start and flow.code[i].opname not in skipped)
    last = next(found, None)
    if start is None or last is None or not flow.code[last].opname.startswith("LOAD_"):
        return "", ""
    of = flow.code[last - 1] if flow.code[last].opname in ("LOAD_ATTR", "LOAD_METHOD") else None
    return str(flow.code[last].argval), str(of.argval) if of is not None and of.opname == "LOAD_GLOBAL" else ""


def _start(instruction: dis.Instruction) -> tuple[int, int] | None:
    where = instruction.positions
    if where is None or where.lineno is None or where.col_offset is None:
        return None
    return where.lineno, where.col_offset


@lru_cache(4096)
def uses(code: CodeType, at: int, how: str, torchs: bool) -> frozenset[Use] | None:
    """Return all uses of the value on top of the stack; None if it has one that is not a check.

    Args:
        code: which has it.
        at: the next instruction.
        how: `bool` for a truth value, empty for a number.
        torchs: whether the code is torch's own.
    """
    return _followed(_Following(code, flow_of(code), torchs, set()), at, how, True)


class _Following(NamedTuple):
    code: CodeType
    flow: Flow
    torchs: bool
    names: set[tuple[str, str, bool]]


def _followed(known: _Following, at: int, how: str, straight: bool) -> frozenset[Use] | None:
    """Follow a value through an expression; `straight` is false of its opposite."""
    flow, above = known.flow, 0  # how many values lie above it
    while True:
        instruction = flow.code[at]
        name, argument, count = instruction.opname, instruction.argval, instruction.arg or 0
        if name == "COMPARE_OP" and above < 2:
            if how:
                return None
            operator = str(argument).removeprefix("bool(").removesuffix(")")
            how, above = operator if above else _MIRRORED[operator], 0
        elif name == "CALL" and above < count:
            called, of = name_called(flow, at)
            place = count - 1 - above
            if called == "bool" and count == 1 and not of:
                how, above = how or "bool", 0
            elif (
                _CHECKS.get(called) == place and (of == "torch" or known.torchs) and not flow.caught(instruction.offset)
            ):
                return frozenset((Use(how or "bool", straight),))
            else:
                return None
        elif name == "CALL" and above > count + 1:
            above -= count + 1
        elif above == 0 and name in ("TO_BOOL", "UNARY_NOT"):
            how, straight = how or "bool", straight ^ (name == "UNARY_NOT")
        elif above == 0 and name not in _POPS:
            return _ended(known, at, how, straight)
        elif name in _NOTHING:
            pass
        else:
            taken = count if name in _BUILDS else _POPS.get(name)
            if taken is None or above < taken:
                return None
            above += dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        at += 1


def _ended(known: _Following, at: int, how: str, straight: bool) -> frozenset[Use] | None:
    """Judge what takes a value off the stack, or leaves it there and goes elsewhere."""
    flow, code = known.flow, known.flow.code
    name, argument = code[at].opname, code[at].argval
    if name.startswith("POP_JUMP") and name.endswith(("IF_TRUE", "IF_FALSE")):
        wanted = _passing(flow, at)
        if wanted is not None:
            return frozenset((Use(how or "bool", wanted is straight),))
        on_true = name.endswith("IF_TRUE")
        outcomes = {on_true: flow.exit(flow.places[argument]), not on_true: flow.exit(at + 1)}
        known_ones = {outcome: _CONSTANTS[end] for outcome, end in outcomes.items() if end in _CONSTANTS}
        if known_ones.get(True) is not known_ones.get(False):
            outcome, constant = known_ones.popitem()
            if known_ones:  # which is to return the value, or its opposite
                return frozenset((Use(how or "bool", (outcome is constant) is straight, returned=True),))
            return frozenset((Use(how or "bool", outcome is straight, True, constant),))
        return None
    if name in ("JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP"):  # one of and, or: as the whole is to be
        return _followed(known, flow.places[argument], how or "bool", straight)
    if name == "COPY" and argument == 1:
        jump = at + 2 if code[at + 1].opname == "TO_BOOL" else at + 1
        if code[jump].opname.startswith("POP_JUMP_IF") and code[jump + 1].opname == "POP_TOP":
            return _followed(known, flow.places[code[jump].argval], how or "bool", straight)
    if name == "SWAP" and [i.opname for i in code[at + 1 : at + 3]] == ["COPY", "COMPARE_OP"] and not how:
        jump = at + 3  # in the middle of a chain of comparisons
        if code[jump].opname.startswith("POP_JUMP"):
            operator = str(code[at + 2].argval).removeprefix("bool(").removesuffix(")")
            return _all((_ended(known, jump, _MIRRORED[operator], straight), _followed(known, jump + 1, "", straight)))
    if name == "RETURN_VALUE":
        return frozenset((Use(how, straight, returned=True),))
    if name == "STORE_FAST":
        return _stored(known, argument, how, straight)
    return None


def _stored(known: _Following, name: str, how: str, straight: bool) -> frozenset[Use] | None:
    """Follow a value from all that read the name it has."""
    if (name, how, straight) in known.names:
        return frozenset()
    known.names.add((name, how, straight))
    of = [(at, i) for at, i in enumerate(known.flow.code) if i.argval == name and "_FAST" in i.opname]
    if any(i.opname not in _NAMED for _, i in of):
        return None
    reading = [at for at, i in of if i.opname in _LOADS and at in known.flow.ending]
    return _all(_followed(known, at + 1, how, straight) for at in reading) or None


def _all(found: object) -> frozenset[Use] | None:
    whole: set[Use] = set()
    for part in found:  # type: ignore[attr-defined]
        if part is None:
            return None
        whole |= part
    return frozenset(whole)


def _passing(flow: Flow, at: int) -> bool | None:
    """Return the truth value with which a branch does not raise, if it does, or may and do nothing else, with the other."""
    there, on_true = flow.places[flow.code[at].argval], flow.code[at].opname.endswith("IF_TRUE")
    jumping, going = there in flow.ending, at + 1 in flow.ending
    if jumping != going:
        return on_true if jumping else not on_true
    if not jumping:
        return None
    if _only_checks(flow, at + 1, flow.exit(there)):
        return on_true
    return not on_true if _only_checks(flow, there, flow.exit(at + 1)) else None


def _only_checks(flow: Flow, start: int, good: object) -> bool:
    """Whether all ways from an instruction do no more than evaluate, and then raise or go on at a given one."""
    waiting, raises = [start], False
    for at in waiting:  # which grows
        if at not in flow.ending:
            raises = True
            continue
        if flow.exit(at) == good:
            continue
        name = flow.code[at].opname
        if name not in _POPS and name not in (*_CALLS, *_BUILDS, "SWAP", "COPY") and not name.startswith("POP_JUMP"):
            return False
        waiting += flow.after(at) - set(waiting)
    return raises
