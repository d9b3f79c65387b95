"""Numbers as people print them: a value, the precision it claims, and the unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from vggcost.errors import InputError

__all__ = ["Printed", "agrees", "digits", "read_number"]

_SCALES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12,
           "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip
_FORM = re.compile(
    r"\s*(?P<number>\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?)\s*"
    r"(?P<scale>billion|million|thousand|Ki|Mi|Gi|Ti|[kKMGTB])?\s*"
    r"(?P<unit>bytes?|B|MACs?|mult-adds?|FLOPs?|FLOPS|params?|parameters|weights|elements|activations|images|%)?\s*$"
)
_WORDS = {"thousand": "k", "million": "M", "billion": "G"}
_FORMS = "accepted forms: 15.3G, 15.5 GFLOPs, 7.6 GMACs, 138.3M, 51.68MB, 57.6 MiB, 13547520"


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
    """Read a number with its precision, scale and unit.

    Raises:
        InputError: it cannot be read; the message shows accepted forms.

    Example:
        >>> printed = read_number("51.68MB")
        >>> printed.value, printed.step, printed.scale, printed.unit
        (Decimal('51.68'), Decimal('0.01'), 1000000, 'bytes')
    """
    found = _FORM.match(text)
    if found is None:
        raise InputError(f"cannot read {text!r} as a number; {_FORMS}")
    number, scale, unit = found["number"].replace(",", ""), found["scale"] or "", found["unit"] or ""
    scale = _WORDS.get(scale, scale)
    if scale == "B" and not unit:  # "5 B": bytes; "7 B params" has a unit
        scale, unit = "", "B"
    value = Decimal(number)
    exponent = value.as_tuple().exponent
    step = Decimal(1).scaleb(exponent) if isinstance(exponent, int) else Decimal(1)
    kinds = {"B": "bytes", "byte": "bytes", "bytes": "bytes", "%": "%", "FLOPS": "flops", "mult-add": "macs", "mult-adds": "macs",
             "parameters": "params", "param": "params", "activations": "elements"}  # fmt: skip
    kind = kinds.get(unit) or kinds.get(unit.rstrip("s")) or unit.lower()
    kind = {"mac": "macs", "flop": "flops"}.get(kind, kind)
    return Printed(text.strip(), value, step, _SCALES[scale], kind)


def agrees(value: int | float | Decimal, printed: Printed, scale: int) -> bool:
    """Whether a value, at a scale, rounds to what is printed (either way at a half)."""
    return abs(Decimal(str(value)) / scale - printed.value) <= printed.step / 2


def digits(printed: Printed) -> int:
    """How many significant digits are printed."""
    return len(printed.value.as_tuple().digits)
