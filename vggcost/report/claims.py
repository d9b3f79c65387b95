"""Findings of the ledger, and explanations, as text, Markdown and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

from vggcost.claims import Explanation, Finding, Match
from vggcost.inert import as_json, inert
from vggcost.report.grid import Grid, markdown
from vggcost.units import exact, human_bytes, human_count

__all__ = ["CLAIM_FORMATS", "EXPLAIN_FORMATS", "claims_grid", "render_claims", "render_explanation"]


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{counts[v]} {v}" for v in ("exact", "rounds", "matches", "wrong") if counts[v]) or "no claims"


def _said(finding: Finding) -> str:
    return f"{finding.claim.value} {finding.claim.unit}".strip()


def _says(finding: Finding) -> str:
    return f"wrong: the value is {finding.computed}" if finding.verdict == "wrong" else finding.verdict


def _table(findings: Sequence[Finding]) -> str:
    lines = []
    source = None
    for finding in findings:
        if finding.claim.source != source:
            source = finding.claim.source
            lines.append(f"\n{source}")
        note = f"  ({finding.note})" if finding.note else ""
        what = f"{finding.claim.model} {finding.claim.quantity}"
        lines.append(f"  {finding.claim.id:<8}{what}: {_said(finding)}  {_says(finding)}{note}")
    return "\n".join([*lines, "", f"{len(findings)} claims: {_summary(findings)}"]).lstrip("\n") + "\n"


def claims_grid(findings: Sequence[Finding]) -> Grid:
    """Lay the findings out as text, one row a claim, with the counts under them."""
    titles = ("source", "model", "quantity", "printed", "verdict", "computed", "note")
    rows = [
        (f.claim.source, f.claim.model, f.claim.quantity, _said(f), f.verdict, f.computed, f.note) for f in findings
    ]
    return Grid(titles, tuple(rows), (f"{len(findings)} claims: {_summary(findings)}",), left=(0, 1, 2, 4, 6))


def _markdown(findings: Sequence[Finding]) -> str:
    return markdown(claims_grid(findings))


def _json(findings: Sequence[Finding]) -> str:
    claims = [
        {
            "id": f.claim.id,
            "source": f.claim.source,
            "model": f.claim.model,
            "quantity": f.claim.quantity,
            "value": f.claim.value,
            "unit": f.claim.unit,
            "verdict": f.verdict,
            "computed": f.computed,
            "note": f.note,
        }
        for f in findings
    ]
    return as_json({"claims": claims})


_CLAIMS: dict[str, Callable[[Sequence[Finding]], str]] = {"table": _table, "markdown": _markdown, "json": _json}
CLAIM_FORMATS = tuple(_CLAIMS)


def render_claims(findings: Sequence[Finding], format: str) -> str:
    """Write findings in one of `CLAIM_FORMATS`."""
    return _CLAIMS[format](findings if format == "json" else inert(findings))


def _value(match: Match) -> str:
    people = human_bytes(match.value) if match.kind == "bytes" else human_count(match.value)
    return f"{exact(match.value)} = {people}"


def _line(match: Match) -> str:
    return f"{match.definition}: {_value(match)}" + (f" ({match.unit} printed as MB)" if match.unit else "")


def _explained(found: Explanation) -> str:
    ways = " or ".join(f"{exact(value)} {unit}".strip() for value, unit in found.readings)
    number = f"{found.number} ({ways})" if len(found.readings) > 1 else found.number
    if found.matches:
        head = f"{number} of {found.model}: {len(found.matches)} definition{'s' * (len(found.matches) > 1)}, simplest first"
        return "\n".join([head, *(f"  {_line(match)}" for match in found.matches)]) + "\n"
    head = f"{number} of {found.model}: no definition gives it to its printed precision; the nearest are"
    return "\n".join([head, *(f"  {100 * match.off:.1f}% off: {_line(match)}" for match in found.near)]) + "\n"


def _explained_json(found: Explanation) -> str:
    data = {
        "schema": 1,
        "model": found.model,
        "number": found.number,
        "readings": [{"value": value, "unit": unit} for value, unit in found.readings],
        "matches": [asdict(match) for match in found.matches],
        "nearest": asdict(found.nearest) if found.nearest else None,
    }
    return as_json(data)


_EXPLAIN: dict[str, Callable[[Explanation], str]] = {"table": _explained, "json": _explained_json}
EXPLAIN_FORMATS = tuple(_EXPLAIN)


def render_explanation(found: Explanation, format: str) -> str:
    """Write an explanation in one of `EXPLAIN_FORMATS`."""
    return _EXPLAIN[format](found if format == "json" else inert(found))
