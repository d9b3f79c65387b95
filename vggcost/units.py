"""The only place where numbers become text, and text numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from vggcost.errors import InputError

if TYPE_CHECKING:
    from vggcost.records import InputRecord

__all__ = [
    "MOST",
    "UNITS",
    "described",
    "did_you_mean",
    "exact",
    "human_bytes",
    "human_count",
    "in_unit",
    "joined",
    "percent",
    "product",
    "read_bytes",
    "read_count",
    "shape",
]

MOST = 10**30
"""No count of a model is as large."""

_COUNT_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_BYTE_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def exact(value: int) -> str:
    """Write an integer in full with thousands separators.

    Example:
        >>> exact(13547520)
        '13,547,520'
    """
    return f"{value:,}"


def human_count(value: int, unit: str = "") -> str:
    """Write a count with a decimal prefix and two decimals (k = 10³, M = 10⁶, G = 10⁹).

    Args:
        value: the count.
        unit: a word such as `MACs`, joined to the prefix.

    Example:
        >>> human_count(15470264320, "MACs")
        '15.47 GMACs'
        >>> human_count(999999)
        '1.00 M'
        >>> human_count(640, "FLOPs")
        '640 FLOPs'
    """
    return _scaled(value, _COUNT_UNITS, unit)


def human_bytes(value: int) -> str:
    """Write a number of bytes with a binary prefix and two decimals (MiB = 2²⁰ bytes).

    Example:
        >>> human_bytes(54190080)
        '51.68 MiB'
        >>> human_bytes(4000)
        '3.91 KiB'
        >>> human_bytes(12)
        '12 B'
    """
    return _scaled(value, _BYTE_UNITS, "") if abs(value) >= 1024 else f"{value} B"


def told_apart(*values: int) -> list[str]:
    """Write numbers of bytes as `human_bytes` does, with digits enough that different ones look different.

    Example:
        >>> told_apart(2**34, 2**34 + 1000, 2**35)
        ['16.000000 GiB', '16.000001 GiB', '32.000000 GiB']
    """
    for digits in range(2, 13):
        texts = [_scaled(value, _BYTE_UNITS, "", digits) if abs(value) >= 1024 else f"{value} B" for value in values]
        if len(set(texts)) == len(set(values)):
            return texts
    return [f"{exact(value)} B" for value in values]


def _scaled(value: int, units: tuple[tuple[int, str], ...], suffix: str, digits: int = 2) -> str:
    for factor, prefix in units:
        step = 1024 if prefix.endswith("iB") else 1000
        if _rounded(100 * step * abs(value), factor) >= 100 * step:  # the smaller unit would print 1000.00
            parts = 10**digits
            rounded = _rounded(parts * abs(value), factor)
            return f"{'-' * (value < 0)}{rounded // parts}.{rounded % parts:0{digits}} {prefix}{suffix}"
    return f"{value} {suffix}".rstrip()


def _rounded(value: int, factor: int) -> int:
    """Divide whole numbers and round to the nearest, halves to the even one, as the pages' script does.

    Example:
        >>> _rounded(101_500_000, 10**6), _rounded(100_500_000, 10**6)
        (102, 100)
    """
    quotient, rest = divmod(value, factor)
    return quotient + (2 * rest > factor or (2 * rest == factor and quotient % 2))


UNITS = {prefix: factor for factor, prefix in (*_COUNT_UNITS, *_BYTE_UNITS)}
"""The prefixes that a figure may be written with, and what they stand for."""


def in_unit(value: int, unit: str, digits: int = 2) -> str:
    """Write a figure in a unit of choice, one of `UNITS`.

    Example:
        >>> in_unit(138357544, "M")
        '138.36 M'
        >>> in_unit(553430176, "MiB", 1)
        '527.8 MiB'
    """
    scaled = Decimal(value) / UNITS[unit]
    return f"{scaled:,.{digits}f} {unit}"


def read_bytes(text: str) -> int:
    """Read an amount of memory: `24GiB`, `512 MiB`, `12GB` (10⁹ bytes), or plain bytes.

    Raises:
        InputError: it cannot be read.

    Example:
        >>> read_bytes("1.5GiB")
        1610612736
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]i?)?[bB]?\s*", text)
    if found is None:
        raise InputError(f"cannot read {text!r} as an amount of memory; write 24GiB, 512MiB, 12GB or plain bytes")
    prefixes = {"K": 1, "M": 2, "G": 3, "T": 4}
    unit = (found[2] or "").upper()
    base = 1024 if unit.endswith("I") else 1000
    return int(Decimal(found[1]) * base ** prefixes.get(unit[:1], 0))


def read_count(text: str) -> int:
    """Read a count with a decimal prefix: `1.28M`, `370K`, `5.1T`.

    Raises:
        InputError: it cannot be read, or is no whole number above 0.

    Example:
        >>> read_count("1.28M")
        1280000
    """
    found = re.fullmatch(r"\s*([\d,]+(?:\.\d+)?)\s*([kKMGT]?)\s*", text)
    if found is None:
        raise InputError(f"cannot read {text!r} as a count; write 1.28M, 370K or 1280000")
    if not found[1].strip(","):
        raise InputError(f"cannot read {text!r} as a count; write 1.28M, 370K or 1280000")
    value = Decimal(found[1].replace(",", "")) * 1000 ** {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}[found[2].upper()]
    if not 1 <= value <= MOST or value != int(value):
        raise InputError(f"{text!r:.60} is no whole number from 1 to 10^30")
    return int(value)


def percent(part: int, whole: int) -> str:
    """Write a share with one decimal; `0%` for nothing, so that empty cells stay quiet.

    Example:
        >>> percent(102764544, 138357544)
        '74.3%'
    """
    if not part or not whole:
        return "0%"
    tenths = _rounded(1000 * part, whole)
    return f"{tenths // 10}.{tenths % 10}%" if tenths else "<0.1%"


def shape(sizes: Iterable[int]) -> str:
    """Write a shape as people do.

    Example:
        >>> shape((64, 224, 224))
        '64×224×224'
    """
    return "×".join(str(size) for size in sizes)


def described(inputs: Sequence[InputRecord], batch: int) -> str:
    """Write what a model is run on: one input without its batch, several by name with their whole shapes.

    Example:
        >>> from vggcost.records import InputRecord
        >>> ids, mask = (InputRecord(name, (1, 128), "int64") for name in ("input_ids", "mask"))
        >>> described([ids], 1)
        '128 int64 values'
        >>> described([ids, mask], 1)
        'input_ids 1×128 int64, mask 1×128 int64'
    """
    if len(inputs) == 1 and not inputs[0].is_item:
        return _sized(inputs[0].sizes(batch), inputs[0].dtype)
    if not inputs:
        return "no tensor"
    listed = [f"{record.name} {_sized(record.shape, record.dtype)}" for record in inputs]
    return ", ".join([*listed[:_MOST], *([f"{len(listed) - _MOST} more"] if len(listed) > _MOST else [])])


_MOST = 4  # inputs that are written out


def _sized(sizes: Sequence[int], dtype: str) -> str:
    kind = "" if dtype == "float32" else f" {dtype}"
    if not sizes:
        return f"a{kind} scalar" if dtype[:1] not in "iu" else f"an{kind} scalar"
    values = "" if len(sizes) > 1 else " values" if sizes[0] != 1 else " value"
    return shape(sizes) + kind + values


def product(factors: Iterable[int]) -> str:
    """Write a product with each factor readable.

    Example:
        >>> product((224, 224, 64))
        '224·224·64'
    """
    return "·".join(exact(factor) for factor in factors)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the closest known words, as the tail of an error message.

    Returns:
        ` (did you mean vgg16, vgg19?)`, or nothing if no word is close.
    """
    import difflib

    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" (did you mean {', '.join(close)}?)" if close else ""


def joined(*notes: str) -> str:
    """Join notes in one line; one that says nothing, or the same again, is left out.

    Example:
        >>> joined("fused; run twice", "", "run twice")
        'fused; run twice'
    """
    return "; ".join(dict.fromkeys(part for note in notes if note for part in note.split("; ")))
