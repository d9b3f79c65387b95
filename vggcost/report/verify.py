"""A verification as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from vggcost.cost.verify import Check, Gap, Verification
from vggcost.inert import as_json, inert
from vggcost.report.markdown import escape
from vggcost.units import exact, shape

__all__ = ["VERIFY_FORMATS", "render_verify"]


def _setting(found: Verification) -> str:
    run = found.run
    inputs = ", ".join(f"{shape(i.shape)} {i.dtype}" for i in run.inputs)
    return f"{run.title}, {inputs}; {', '.join(f'{name} {version}' for name, version in run.versions)}"


def _signed(value: int) -> str:
    return f"{'+' if value > 0 else ''}{exact(value)}" if value else "0"


def _verdict(check: Check) -> str:
    if check.theirs is None:
        return "not counted"
    if check.unexplained:
        return "UNEXPLAINED"
    return "explained" if check.gap else "agrees"


def _figures(check: Check) -> list[str]:
    theirs = check.printed or (exact(check.theirs) if check.theirs is not None else "—")
    gap = _signed(check.gap) if check.gap is not None else "—"
    return [check.name, check.unit, exact(check.ours), theirs, gap, _verdict(check)]


def _parts(check: Check) -> list[tuple[str, str]]:
    """The parts of a gap: signed, and why."""
    rows = [(_signed(gap.gap), f"{_calls(gap)} {gap.reason}") for gap in check.explained]
    for gap in check.unexplained:
        module = f" of {gap.modules[0]}" if gap.modules[0] else ""
        rows.append(
            (
                _signed(gap.gap),
                f"{gap.operator}{module}: {gap.reason}: {exact(gap.ours)} expected, {exact(gap.theirs)} found",
            )
        )
    return rows


def _calls(gap: Gap) -> str:
    return f"{exact(gap.calls)} call{'s' if gap.calls != 1 else ''}:"


def _summary(found: Verification) -> str:
    if found.unexplained:
        count = len(found.unexplained)
        return f"{count} gap{'s are' if count != 1 else ' is'} unexplained"
    missing = [check.name for check in found.checks if check.theirs is None]
    tail = f"; {' and '.join(missing)} could not count" if missing else ""
    return f"every gap is explained, nothing is left over{tail}"


_HEAD = ("counted by", "unit", "ours", "theirs", "gap", "verdict")


def _table(found: Verification) -> str:
    rows = [_figures(check) for check in found.checks]
    widths = [max(len(row[i]) for row in (list(_HEAD), *rows)) for i in range(len(_HEAD))]

    def line(cells: list[str]) -> str:
        left = [cells[0].ljust(widths[0]), cells[1].ljust(widths[1])]
        return "  ".join([*left, *(cells[i].rjust(widths[i]) for i in (2, 3, 4)), cells[5]]).rstrip()

    out = [_setting(found), "", line(list(_HEAD))]
    for check, row in zip(found.checks, rows, strict=True):
        out.append(line(row))
        parts = _parts(check)
        width = max((len(gap) for gap, _ in parts), default=0)
        out += [f"    {gap:>{width}}  {why}" for gap, why in parts]
        out += [f"    {check.note}"] if check.note else []
    return "\n".join([*out, "", _summary(found)]) + "\n"


def _markdown(found: Verification) -> str:
    out = [f"# {escape(found.run.title)}, counted again", "", escape(_setting(found)) + ".", ""]
    out += [f"| {' | '.join(_HEAD)} |", "|:--|:--|--:|--:|--:|:--|"]
    out += [f"| {' | '.join(escape(cell) for cell in _figures(check))} |" for check in found.checks]
    for check in found.checks:
        parts = _parts(check)
        if parts or check.note:
            out += ["", f"**{escape(check.name)}**" + (f": {escape(check.note)}." if check.note else "")]
        if parts:
            out += ["", "| gap | why |", "|--:|:--|", *(f"| {escape(gap)} | {escape(why)} |" for gap, why in parts)]
    return "\n".join([*out, "", _summary(found) + "."]) + "\n"


def _json(found: Verification) -> str:
    run = {**asdict(found.run), "versions": dict(found.run.versions)}
    checks = [{**asdict(check), "gap": check.gap} for check in found.checks]
    data = {"schema": 1, "run": run, "checks": checks, "unexplained": len(found.unexplained)}
    return as_json(data)


_RENDERERS: dict[str, Callable[[Verification], str]] = {"table": _table, "markdown": _markdown, "json": _json}
VERIFY_FORMATS = tuple(_RENDERERS)


def render_verify(found: Verification, format: str) -> str:
    """Write a verification in one of `VERIFY_FORMATS`."""
    return _RENDERERS[format](found if format == "json" else inert(found))
