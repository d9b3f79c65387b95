"""What a saved document may hold: for each field a kind, which says what fits and how that is called. Standard library only."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vggcost.units import MOST

__all__ = [
    "MOST",
    "Kind",
    "check",
    "decimal",
    "each",
    "either",
    "fields_of",
    "maybe",
    "named",
    "number",
    "one_of",
    "text",
    "truth",
]

Parts = Iterable[tuple[Any, Any, "Kind"]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    Attributes:
        words: what it is called, for messages.
        fits: whether a value is of this kind, what is inside of it left aside.
        parts: gives what is inside of a value that fits: its place, itself, its kind.
    """

    words: str
    fits: Callable[[Any], bool]
    parts: Callable[[Any], Parts] | None = None


class _Wrong(Exception):
    """A value is not of its kind; on the way out each level adds its place."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.places: list[Any] = []


def check(value: Any, kind: Kind) -> None:
    """Refuse a value that is not of a kind.

    Raises:
        ValueError: the message says where, what should be there, and what is.

    Example:
        >>> check({"shape": [1, "x"]}, fields_of({"shape": each(number())}))
        Traceback (most recent call last):
        ...
        ValueError: shape[1] must be a whole number from 0 to 10^30, not 'x'
    """
    try:
        _check(value, kind)
    except _Wrong as wrong:
        names = [f"[{place}]" if isinstance(place, int) else f".{place:.60}" for place in reversed(wrong.places)]
        raise ValueError(f"{''.join(names).lstrip('.') or 'all of it'} {wrong.message}") from None


def _check(value: Any, kind: Kind) -> None:
    if not kind.fits(value):
        raise _Wrong(f"must be {kind.words}, not {reprlib.repr(value)}")
    for place, part, expected in kind.parts(value) if kind.parts is not None else ():
        try:
            _check(part, expected)
        except _Wrong as wrong:
            wrong.places.append(place)
            raise


def _done(value: Any, kind: Kind) -> bool:
    """Whether a value is of its kind and has nothing inside, as most are."""
    return kind.parts is None and kind.fits(value)


def number(least: int = 0, most: int = MOST) -> Kind:
    """Return the kind of whole numbers in a range."""
    low, high = (f"{'-' * (n < 0)}10^30" if abs(n) == MOST else f"{n:,}" for n in (least, most))
    return Kind(f"a whole number from {low} to {high}", lambda value: type(value) is int and least <= value <= most)


def one_of(*words: str) -> Kind:
    """Return the kind of a few words."""
    return Kind(" or ".join(words), lambda value: isinstance(value, str) and value in words)


text = Kind("text", lambda value: isinstance(value, str))
truth = Kind("true or false", lambda value: isinstance(value, bool))
decimal = Kind("a number", lambda value: isinstance(value, float) and value - value == 0)


def maybe(kind: Kind) -> Kind:
    """Return the kind that may be null too."""
    fits, inside = kind.fits, kind.parts

    def parts(value: Any) -> Parts:
        return inside(value) if inside is not None and value is not None else ()

    words = f"{kind.words}, or null"
    return Kind(words, lambda value: value is None or fits(value), parts if inside is not None else None)


def either(*kinds: Kind) -> Kind:
    """Return the kind of what fits one of several, the first that does."""

    tests = [kind.fits for kind in kinds]

    def fits(value: Any) -> bool:
        for test in tests:  # noqa: SIM110 - faster than any()
            if test(value):
                return True
        return False

    def parts(value: Any) -> Parts:
        found = next(kind for kind in kinds if kind.fits(value)).parts
        return found(value) if found is not None else ()

    words = ", or ".join(kind.words for kind in kinds)
    return Kind(words, fits, parts if any(kind.parts is not None for kind in kinds) else None)


def each(kind: Kind) -> Kind:
    """Return the kind of lists of one kind."""
    return Kind(
        "a list",
        lambda value: isinstance(value, (list, tuple)),
        lambda value: [(at, item, kind) for at, item in enumerate(value) if not _done(item, kind)],
    )


def named(kind: Kind) -> Kind:
    """Return the kind of objects with any names and values of one kind."""
    return Kind(
        "an object",
        lambda value: isinstance(value, Mapping),
        lambda value: [(key, item, kind) for key, item in value.items() if not _done(item, kind)],
    )


def fields_of(required: Mapping[str, Kind], optional: Mapping[str, Kind] | None = None) -> Kind:
    """Return the kind of objects with these names, of which some may be missing."""
    known = {**required, **(optional or {})}

    def parts(value: Mapping[str, Any]) -> Parts:
        if not required.keys() <= value.keys():
            raise _Wrong(f"has no {next(name for name in required if name not in value)!r}")
        if not value.keys() <= known.keys():
            raise _Wrong(
                f"has {next(name for name in value if name not in known)!r:.60}, which this version does not know"
            )
        return [(name, item, known[name]) for name, item in value.items() if not _done(item, known[name])]

    return Kind("an object", lambda value: isinstance(value, Mapping), parts)
