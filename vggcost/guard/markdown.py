"""Verdicts as Markdown: a comment on a pull request, or the summary of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from vggcost.guard.check import Checked, Verdict
from vggcost.guard.limits import human
from vggcost.guard.places import Place
from vggcost.guard.words import acceptance, change_text, counted, figures
from vggcost.report.markdown import code, escape
from vggcost.units import exact

__all__ = ["COMMENT_BYTES", "MARKER", "comment", "document"]

MARKER = "<!-- vggcost:check -->"
"""First line of a comment, not shown; by it the comment is found and written anew."""

COMMENT_BYTES = 64 * 1024 - 1
"""GitHub refuses longer comments: 65,536 characters, of which none has less than a byte."""

_SIGNS = {"pass": "✅", "improved": "🎉", "fail": "❌", "not comparable": "⚠️", "error": "💥"}


def comment(checked: Sequence[Checked], places: Mapping[str, Place]) -> str:
    """Write the body of a comment, short enough for GitHub, with a hidden marker to find it again."""
    return f"{MARKER}\n{document(checked, COMMENT_BYTES - len(MARKER) - 1)}"


def document(checked: Sequence[Checked], most_bytes: int) -> str:
    """Write a table of all verdicts, then what is responsible, as far as the bytes go."""
    blocks = chain([_overview(checked)], *(_details(model) for model in checked))
    room = most_bytes - 200  # for the sentence below
    taken, left_out = [], 0
    for block in blocks:
        size = len(block.encode())
        if size <= room:
            taken.append(block)
            room -= size
        else:
            left_out += 1
    text = "".join(taken)
    if left_out:
        text += f"\n{exact(left_out)} parts are left out, which GitHub would not take; 'vggcost check' shows all.\n"
    return text


_MOST_ROWS = 100


def _overview(checked: Sequence[Checked]) -> str:
    lines = [f"### vggcost: {escape(counted(checked))}", ""]
    # What did not pass comes first: it is what a reader looks for, and what a length limit must not take.
    rows = sorted(
        ((model, verdict) for model in checked for verdict in model.verdicts), key=lambda row: row[1].outcome == "pass"
    )
    if rows:
        lines += ["| model | metric | before → now | change | limit | |", "|:--|:--|--:|--:|:--|:--|"]
        lines += [_row(verdict) for _, verdict in rows[:_MOST_ROWS]]
    if len(rows) > _MOST_ROWS:
        lines += ["", f"{exact(len(rows) - _MOST_ROWS)} more rows are not shown."]
    lines += [
        f"\n**{escape(model.model)}**: {_SIGNS['error']} {escape(model.error)}" for model in checked if model.error
    ]
    return "\n".join([*lines, ""])


def _row(verdict: Verdict) -> str:
    where = f" of {verdict.layers}" if verdict.layers else ""
    cells = [verdict.model, verdict.metric + where, figures(verdict), change_text(verdict), verdict.limit]
    outcome = f"{_SIGNS[verdict.outcome]} {verdict.outcome}"
    return f"| {' | '.join(map(escape, cells))} | {outcome} |"


def _details(model: Checked) -> Sequence[str]:
    """The parts of what is said of one model; each may be left out."""
    parts = [f"\n**{escape(model.model)}**: {escape(note)}\n" for note in model.notes]
    reasons = dict.fromkeys(verdict.reason for verdict in model.verdicts if verdict.reason)
    parts += [f"\n**{escape(model.model)}**: {escape(reason)}\n" for reason in reasons]
    for verdict in model.verdicts:
        if verdict.causes:
            parts.append(_layers(verdict))
    return [f"\nTo accept **{escape(model.model)}**: {code(way)}\n" for way in acceptance(model)] + parts


_MOST_LAYERS = 200


def _layers(verdict: Verdict) -> str:
    total = human(verdict.metric, sum(cause.change for cause in verdict.causes))[0]
    lines = [
        f"\n<details><summary>{escape(verdict.model)}: the layers responsible for {escape(total)} of {verdict.metric}</summary>",
        "", "| layer | change | what differs |", "|:--|--:|:--|",
    ]  # fmt: skip
    for cause in verdict.causes[:_MOST_LAYERS]:
        change = exact(cause.change) if cause.how == "has" else f"{cause.change:+,}"
        how = ", ".join(cause.what) if cause.how in ("changed", "has") else f"{cause.how} {', '.join(cause.what)}"
        lines.append(f"| {escape(cause.path)} | {change} | {escape(how)} |")
    if len(verdict.causes) > _MOST_LAYERS:
        lines.append(f"| {exact(len(verdict.causes) - _MOST_LAYERS)} more | | |")
    return "\n".join([*lines, "", "</details>", ""])
