"""Axes of the charts: marks at round values, places in a picture, and how wide a text will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

__all__ = ["Axis", "axis", "marks", "number", "width_of"]


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values to places between two pixels, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = (log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def marks(self) -> list[float]:
        """List the round values on the axis."""
        return marks(self.low, self.high, self.log)


def axis(values: Sequence[float], start: float, end: float, *, log: bool = False, room: float = 0.07) -> Axis:
    """Make the axis on which all values have a place, with some room at both ends."""
    low, high = min(values), max(values)
    if log:
        factor = (high / low) ** room if high > low else 1.5
        return Axis(low / factor, high * factor, start, end, log=True)
    space = (high - low) * room or abs(high) * 0.1 or 1.0
    return Axis(low - space, high + space, start, end, log=False)


def marks(low: float, high: float, log: bool = False) -> list[float]:
    """List round values between two: steps of 1, 2 or 5 times a power of ten, or these themselves on a logarithmic axis.

    Example:
        >>> marks(0, 23)
        [0.0, 5.0, 10.0, 15.0, 20.0]
        >>> marks(0.7, 25, log=True)
        [1.0, 2.0, 5.0, 10.0, 20.0]
    """
    if log:
        powers = range(floor(log10(low)), ceil(log10(high)) + 1)
        found = [
            factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high
        ]
        if 3 <= len(found) <= 10:
            return found
        if len(found) > 10:
            return [value for value in found if str(value / 10.0 ** floor(log10(value) + 1e-9))[0] == "1"]
    step = 10.0 ** floor(log10((high - low) / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    first = ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, floor(high / step + 1e-9) + 1)]


_PREFIXES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1, ""))


def number(value: float) -> str:
    """Write a mark of an axis in short.

    Example:
        >>> number(2e9), number(5e5), number(7.5), number(0)
        ('2 G', '500 k', '7.5', '0')
    """
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor:
            return f"{value / factor:.4g}{prefix}"
    return f"{value:.3g}"


def width_of(text: str, size: float = 11) -> float:
    """Estimate how wide a text is in a wide sans-serif, in pixels; other fonts need less."""
    return size * sum(_width(sign) for sign in text)


def _width(sign: str) -> float:
    if sign in " .,:;'|()[]-ijlI1tfr":
        return 0.42
    return 0.95 if sign in "mwMW@%" else 0.76 if sign.isupper() else 0.66
