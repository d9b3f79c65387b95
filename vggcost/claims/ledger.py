"""The ledger of published statements: each is recomputed, and the verdict comes from the computation.

`ledger.csv` holds what a source says and how the same quantity is computed (`measure`), never a
verdict. The verdicts:

- `exact`: equal, or right in all of four or more printed digits;
- `rounds`: right in the two or three digits that are printed;
- `matches`: right if it is read in a way that the note names (a convention, a protocol);
- `wrong`: no reading gives it; `computed` is the true value.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files

from vggcost.claims.measures import Analyze, Candidate, Context, measure
from vggcost.claims.numbers import Printed, agrees, digits, read_number
from vggcost.errors import InputError, ModelError
from vggcost.units import did_you_mean, exact, human_bytes
from vggcost.zoo import find

__all__ = ["Claim", "Finding", "about", "check", "ledger"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement as its source prints it."""

    id: str
    source: str
    model: str
    quantity: str
    value: str
    unit: str
    measure: str
    note: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim and what the computation says of it."""

    claim: Claim
    verdict: str
    computed: str
    note: str


def ledger() -> tuple[Claim, ...]:
    """Read the ledger that comes with the package."""
    text = files("vggcost.claims").joinpath("ledger.csv").read_text(encoding="utf-8")
    return tuple(Claim(**row) for row in csv.DictReader(text.splitlines()))


def about(model: str | None = None, source: str | None = None) -> tuple[Claim, ...]:
    """Choose from the ledger.

    Args:
        model: a net of the zoo by any of its names; None: all.
        source: part of a source's name; None: all.

    Raises:
        ModelError: there are no such claims.
    """
    found = ledger()
    if model is not None:
        variant = find(model)
        name = variant.name if variant else model.lower()
        known = sorted({claim.model for claim in found})
        found = tuple(claim for claim in found if claim.model == name)
        if not found:
            raise ModelError(
                f"no claims about {model!r}{did_you_mean(name, known)}; there are some about {', '.join(known)}"
            )
    if source is not None:
        sources = sorted({claim.source for claim in found})
        found = tuple(claim for claim in found if source.lower() in claim.source.lower())
        if not found:
            raise ModelError(f"no claims from a source like {source!r}; sources: {'; '.join(sources)}")
    return found


def check(claims: tuple[Claim, ...], analyze: Analyze) -> list[Finding]:
    """Recompute claims.

    Args:
        claims: lines of the ledger.
        analyze: runs a model by name, as `vggcost.analyze` does.

    Returns:
        A finding for each, in order.
    """
    context = Context(analyze)
    return [_finding(claim, measure(claim.measure, claim.model, context)) for claim in claims]


def _finding(claim: Claim, candidates: list[Candidate]) -> Finding:
    for candidate in candidates:
        verdict, reading = _judged(claim, candidate)
        if verdict:
            notes = [reading, candidate.reading, claim.note]
            verdict = "matches" if candidate.reading else verdict
            return Finding(
                claim, verdict, _text(candidate.value, claim.unit), "; ".join(note for note in notes if note)
            )
    return Finding(claim, "wrong", _text(candidates[0].value, claim.unit), claim.note)


def _judged(claim: Claim, candidate: Candidate) -> tuple[str, str]:
    """Return `exact`, `rounds` or nothing, and how the unit must be read."""
    if isinstance(candidate.value, str):
        return ("exact" if candidate.value == claim.value else ""), ""
    printed = _printed(claim)
    if printed is None:
        return "", ""
    for scale, unit in printed.scales():
        if agrees(candidate.value, printed, scale):
            equal = printed.value * scale == Decimal(str(candidate.value))
            return ("exact" if equal or digits(printed) >= 4 else "rounds"), (
                f"{unit}, printed as {claim.unit}" if unit else ""
            )
    return "", ""


def _printed(claim: Claim) -> Printed | None:
    """The printed number; a unit such as MB stands in the unit's column."""
    scale = {"MB": "MB", "GB": "GB", "M": "M", "G": "G", "GMACs": "GMACs", "MActs": "M"}.get(claim.unit, "")
    try:
        return read_number(f"{claim.value} {scale}")
    except InputError:
        return None


def _text(value: int | float | str, unit: str) -> str:
    """Write a computed value: integers in full, bytes in MiB too."""
    if isinstance(value, str):
        return value
    if value != int(value):
        return f"{value:g}"
    return f"{exact(int(value))} = {human_bytes(int(value))}" if unit in ("MB", "GB") else exact(int(value))
