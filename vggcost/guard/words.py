"""What a verdict says, in the words that all formats share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from vggcost.guard.check import Cause, Checked, Verdict
from vggcost.guard.limits import human
from vggcost.report.difference import signed
from vggcost.units import exact

__all__ = [
    "acceptance",
    "cause_text",
    "causes_lines",
    "change_text",
    "counted",
    "failure_text",
    "figures",
    "headline",
    "sentence",
]

MOST = 12
"""Layers that a text lists; JSON holds all."""


def figures(verdict: Verdict) -> str:
    """Write a figure before and after, in full where the two would look the same.

    Example:
        >>> figures(Verdict("a", "params", "", "params:0", 1_000_000, 1_000_001, None, "fail"))
        '1,000,000 → 1,000,001'
    """
    known = [value for value in (verdict.before, verdict.after) if value is not None]
    return (
        " → ".join(human(verdict.metric, *known)) if len(set(known)) > 1 else exact(known[-1]) if known else "unknown"
    )


def change_text(verdict: Verdict) -> str:
    """Write by how much a figure changed.

    Example:
        >>> change_text(Verdict("a", "params", "", "params:0", 2000, 2010, None, "fail"))
        '+10, +0.50%'
    """
    if verdict.before is None or verdict.after is None or verdict.before == verdict.after:
        return ""
    change = verdict.after - verdict.before
    if not verdict.before:
        return signed(change)
    share = f"{100 * change / verdict.before:+.2f}%"
    return f"{signed(change)}, {share}" if share not in ("+0.00%", "-0.00%") else signed(change)


def sentence(verdict: Verdict) -> str:
    """Say what a verdict is about: the metric, before and after, the change, the limit."""
    what = f"{verdict.metric} of {verdict.layers}" if verdict.layers else verdict.metric
    if verdict.outcome == "not comparable":
        return f"{what}: not comparable: {verdict.reason} (limit {verdict.limit})"
    change = change_text(verdict)
    text = f"{what} {figures(verdict)}" + (f" ({change})" if change else "")
    over = ""
    if verdict.outcome == "fail" and verdict.most is not None and verdict.most != verdict.before:
        over = f", which allows {human(verdict.metric, verdict.most, verdict.after or 0)[0]}"
    return f"{text}, limit {verdict.limit}{over}"


def cause_text(cause: Cause) -> str:
    """Name a layer, its change and what differs of it.

    Example:
        >>> cause_text(Cause("conv5", 4608, "changed", ("out_channels 512 → 528",)))
        'conv5 +4,608: out_channels 512 → 528'
    """
    if cause.how == "has":
        return f"{cause.path} has {exact(cause.change)}: {cause.what[0]}"
    what = ", ".join(cause.what)
    how = f"{cause.how} {what}" if cause.how != "changed" else what
    return f"{cause.path} {signed(cause.change)}" + (f": {how}" if how else "")


def causes_lines(verdict: Verdict, most: int = MOST) -> Iterator[str]:
    """List the layers responsible, and the sum of those that are left out."""
    yield from map(cause_text, islice(verdict.causes, most))
    rest = verdict.causes[most:]
    if rest:
        yield f"{exact(len(rest))} more {signed(sum(cause.change for cause in rest))}"


def headline(checked: Checked) -> str:
    """Say in a line how one model fares."""
    if checked.error:
        return f"{checked.model}: error: {checked.error}"
    if checked.outcome == "pass":
        names = dict.fromkeys(v.metric + (f" of {v.layers}" if v.layers else "") for v in checked.verdicts)
        return f"{checked.model}: pass ({', '.join(names) or 'no limit is of this model'})"
    return f"{checked.model}: {checked.outcome}"


def counted(checked: Sequence[Checked]) -> str:
    """Say how all models fare.

    Example:
        >>> counted([Checked("a", (), ""), Checked("b", (), "", error="it does not build")])
        '2 models checked: 1 error, 1 pass'
    """
    outcomes = [model.outcome for model in checked]
    parts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(sorted(outcomes)))
    return f"{len(checked)} model{'s' if len(checked) != 1 else ''} checked" + (f": {parts}" if parts else "")


def failure_text(checked: Checked, most: int = MOST) -> str:
    """Say all there is to say of one model: what failed, the layers responsible, the command that accepts it."""
    lines = [headline(checked)]
    for verdict in checked.verdicts:
        if verdict.outcome != "pass" or verdict.before not in (None, verdict.after):
            mark = "" if verdict.outcome in (checked.outcome, "not comparable") else f"{verdict.outcome}: "
            lines.append(f"  {mark}{sentence(verdict)}")
            lines += [f"    {line}" for line in causes_lines(verdict, most)]
    lines += [f"  note: {note}" for note in checked.notes]
    lines += [f"  to accept: {how}" for how in acceptance(checked)]
    return "\n".join(lines)


def acceptance(checked: Checked) -> list[str]:
    """Say how what did not pass is accepted: a new baseline, or another ceiling."""
    bad = [verdict for verdict in checked.verdicts if verdict.outcome in ("fail", "not comparable")]
    ways = [checked.accept] if any(verdict.lockable for verdict in bad) else []
    over = [verdict.limit for verdict in bad if verdict.outcome == "fail" and not verdict.lockable]
    return ways + ([f"another limit than {', '.join(over)}"] if over else [])
