"""The expressions of dynamic shapes: what a shape needs, and nothing else.

torch gives them to sympy, which evaluates them as Python. So each is read here as a tree, checked against the list
of what computes sizes, bounded, and written anew from the tree.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["Refused", "expression", "is_symbol"]

_LOGIC = "And Or Not Eq Ne Lt Le Gt Ge Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan"
_SIZES = (
    "Add Mul Max Min Mod PythonMod FloorDiv CeilDiv CleanDiv ModularIndexing Where Identity IntTrueDiv FloatTrueDiv "
    "ToFloat TruncToInt TruncToFloat CeilToInt FloorToInt RoundToInt IsNonOverlappingAndDenseIndicator"
)
_PLAIN = frozenset(f"{_LOGIC} {_SIZES}".split())
_POWERS = {"Pow": 64, "PowByNatural": 64, "FloatPow": 64, "LShift": 64, "RShift": 64, "RoundDecimal": 64}
"""Functions whose second argument is a small number, and the most that it may be."""
_NUMBERS = {"Integer": 1, "Rational": 2}
_SIGNS = {ast.Add: 1, ast.Sub: 1, ast.Mult: 1, ast.FloorDiv: 1, ast.Mod: 1}
_CONSTANTS = {"true", "false", "oo"}
_ASSUMPTIONS = {
    "integer", "positive", "negative", "nonnegative", "nonpositive", "nonzero", "zero", "real", "finite", "rational",
    "commutative", "even", "odd",
}  # fmt: skip
_LENGTH, _DEPTH, _NODES, _BITS = 100_000, 60, 5_000, 4_096


class Refused(ValueError):
    """A part of a program that is not read; the message says which, and why."""


def is_symbol(name: str) -> bool:
    """Whether a name is that of a size, as torch names them: s0, u12, zuf3."""
    return re.fullmatch(r"[a-z]{1,4}\d{1,5}", name) is not None


@lru_cache(maxsize=4096)
def expression(text: str) -> str:
    """Return an expression of sizes, written anew.

    Raises:
        Refused: it could do more than compute a size, or could be too large a number.

    Example:
        >>> expression("Add(Mul(Integer(2),  Symbol('s0', integer=True)), Integer(1))")
        "Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(1))"
    """
    try:
        if len(text) > _LENGTH:
            raise _Unfit
        tree = ast.parse(text, mode="eval").body
        for n, (_, depth) in enumerate(_walk(tree)):
            if n >= _NODES or depth > _DEPTH:
                raise _Unfit
        if _bits(tree) > _BITS:
            raise _Unfit
    except (SyntaxError, ValueError, RecursionError, MemoryError, _Unfit):
        raise Refused(f"the expression {text[:60]!r} in it is none of sizes: it could be code, or never end") from None
    return ast.unparse(tree)


class _Unfit(Exception):
    """An expression that is not read."""


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _bits(node: ast.expr) -> int:
    """Bound the bits that the value of an expression can have.

    Raises:
        _Unfit: it is none of sizes.
    """
    match node:
        case ast.Constant(value=int() as value) if type(value) is int and value < 1 << 64:
            return max(value.bit_length(), 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _bits(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(left, right, 64)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS:
            return _bits(left) + _bits(right)
        case ast.Name(id=name) if name in _CONSTANTS or is_symbol(name):
            return 64
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str() as name)], keywords=keywords):
            return _symbol(name, keywords)
        case ast.Call(func=ast.Name(id="Float"), args=[ast.Constant(value=str() as text)], keywords=keywords):
            return _float(text, keywords)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _call(name, args)
    raise _Unfit


def _call(name: str, args: list[ast.expr]) -> int:
    if name in _NUMBERS and len(args) == _NUMBERS[name]:
        return sum(abs(_number(value)).bit_length() + 1 for value in args)
    if name in _POWERS and len(args) == 2:
        return _power(args[0], args[1], _POWERS[name])
    if name in _PLAIN and args:
        return sum(map(_bits, args))
    raise _Unfit


def _power(base: ast.expr, exponent: ast.expr, most: int) -> int:
    """Bound a power: its exponent is a number, never a size, which could be any."""
    match exponent:
        case ast.Call(func=ast.Name(id="Integer"), args=[value], keywords=[]):
            power = abs(_number(value))
        case ast.Call(func=ast.Name(id="Rational"), args=[over, under], keywords=[]) if _number(under):
            power = abs(_number(over)) // abs(_number(under)) + 1
        case _:
            power = abs(_number(exponent))
    if power > most:
        raise _Unfit
    return _bits(base) * max(power, 1)


def _number(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int() as value) if type(value) is int and value < 1 << 64:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand)
    raise _Unfit


def _symbol(name: str, keywords: list[ast.keyword]) -> int:
    for keyword in keywords:
        value = keyword.value
        if keyword.arg not in _ASSUMPTIONS or not (isinstance(value, ast.Constant) and isinstance(value.value, bool)):
            raise _Unfit
    if not is_symbol(name):
        raise _Unfit
    return 64


def _float(text: str, keywords: list[ast.keyword]) -> int:
    for keyword in keywords:
        if keyword.arg != "precision" or not 1 <= _number(keyword.value) <= 128:
            raise _Unfit
    if re.fullmatch(r"-?\d{1,40}(\.\d{0,60})?(e[+-]?\d{1,3})?", text) is None:
        raise _Unfit
    return 64
