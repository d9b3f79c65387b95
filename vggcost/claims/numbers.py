"""Numbers as people print them: a value, the precision it claims, and the unit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from vggcost.errors import InputError

__all__ = ["Printed", "agrees", "digits", "read_number", "readings"]

_SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12,
           "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip
_WORDS = {"thousand": "k", "million": "m", "mn": "m", "billion": "b", "bn": "b", "trillion": "t", "tn": "t"}
_FORM = re.compile(
    r"\s*(?P<number>\d[\d,]*\.?\d*(?:e[-+]?\d+)?)\s*"
    r"(?P<scale>thousand|million|billion|trillion|mn|bn|tn|[kmgt]i|[kmgbt])?\s*"
    r"(?P<unit>bytes?|B|macs?|mult-adds?|flops?|params?|parameters?|weights|elements|activations|images|%)?\s*$",
    re.IGNORECASE,
)
_KINDS = {"b": "bytes", "byte": "bytes", "bytes": "bytes", "%": "%", "mac": "macs", "macs": "macs", "mult-add": "macs",
          "mult-adds": "macs", "flop": "flops", "flops": "flops", "param": "params", "params": "params",
          "parameter": "params", "parameters": "params", "activations": "elements"}  # fmt: skip
_FORMS = "accepted forms: 15.3G, 15.5 GFLOPs, 7.6 GMACs, 138.3M, 8B, 7bn params, 51.68MB, 57.6 MiB, 13547520"


@dataclass(frozen=True, slots=True)
class Printed:
    """A printed number: `value` and `step` (one unit of its last digit) without the scale."""

    text: str
    value: Decimal
    step: Decimal
    scale: int
    unit: str

    def scales(self) -> list[tuple[int, str]]:
        """The factors that the scale can mean: MB is 10⁶ bytes to some and 2²⁰ to others."""
        binary = {10**3: (2**10, "KiB"), 10**6: (2**20, "MiB"), 10**9: (2**30, "GiB"), 10**12: (2**40, "TiB")}
        both = [(self.scale, "")]
        if self.unit == "bytes" and self.scale in binary:
            both.append(binary[self.scale])
        return both


def read_number(text: str) -> Printed:
    """Read a number with its precision, scale and unit; of several readings the first.

    Raises:
        InputError: it cannot be read; the message shows accepted forms.

    Example:
        >>> printed = read_number("51.68MB")
        >>> printed.value, printed.step, printed.scale, printed.unit
        (Decimal('51.68'), Decimal('0.01'), 1000000, 'bytes')
    """
    return readings(text)[0]


def readings(text: str) -> tuple[Printed, ...]:
    """Read a number in every way that it can be meant: a B alone is a billion to some and bytes to others.

    Raises:
        InputError: it cannot be read; the message shows accepted forms.

    Example:
        >>> [(printed.scale, printed.unit) for printed in readings("8B")]
        [(1000000000, ''), (1, 'bytes')]
        >>> [(printed.scale, printed.unit) for printed in readings("1.5B")]
        [(1000000000, '')]
    """
    found = _FORM.match(text)
    if found is None:
        raise InputError(f"cannot read {text!r} as a number; {_FORMS}")
    value = Decimal(found["number"].replace(",", ""))
    exponent = value.as_tuple().exponent
    step = Decimal(1).scaleb(exponent) if isinstance(exponent, int) else Decimal(1)
    scale, unit = (found["scale"] or "").lower(), (found["unit"] or "").lower()
    scale = _SCALES[_WORDS.get(scale, scale)]
    printed = Printed(text.strip(), value, step, scale, _KINDS.get(unit, unit))
    alone = found["scale"] == "B" and not unit
    return (printed, replace(printed, scale=1, unit="bytes")) if alone and step >= 1 else (printed,)


def agrees(value: int | float | Decimal, printed: Printed, scale: int) -> bool:
    """Whether a value, at a scale, rounds to what is printed (either way at a half)."""
    return abs(Decimal(str(value)) / scale - printed.value) <= printed.step / 2


def digits(printed: Printed) -> int:
    """How many significant digits are printed."""
    return len(printed.value.as_tuple().digits)
