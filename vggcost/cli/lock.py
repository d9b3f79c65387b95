"""`vggcost lock`: what models cost now is the baseline."""

from __future__ import annotations

import os
from typing import Any

import rich_click as click

from vggcost.cli.chosen import baseline_path, chosen, needs_peak, spec_options, stored
from vggcost.cli.files import complain, say
from vggcost.errors import VggcostError

__all__ = ["lock"]


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@spec_options
@click.option("--peak", is_flag=True, help="Keep peak_bytes of runs in inference, too.")
@click.option(
    "--baseline", metavar="FILE", help="The baseline.  [default: that of the configuration, or vggcost.lock.json]"
)
def lock(models: tuple[str, ...], given: dict[str, Any], peak: bool, baseline: str | None) -> int:
    """Take what MODELs cost now for the baseline that check compares with.

    MODEL is a name of the configuration, or a model as for report. Without one: all of the configuration, or else
    all of the baseline.
    """
    from vggcost.guard import read_project, update_baseline

    project = read_project()
    path = baseline_path(project, baseline)
    before = stored(path)
    specs = chosen(models, project, before, given)
    from vggcost._guard import measure

    entries, failed = [], 0
    for spec in specs:
        known = before.get(spec.name)
        wanted = peak or needs_peak(spec, project.limits) or (known is not None and known.peak_bytes is not None)
        try:
            entry = measure(spec, peak=wanted, folder=project.folder)
        except VggcostError as error:
            complain(f"vggcost: {spec.name}: {error}")
            failed += 1
            continue
        entries.append(entry)
        for op, _ in entry.table.coverage.unknown:
            complain(f"vggcost: {spec.name}: {op} is unknown to convention {spec.convention}, counted as 0")
    names = {spec.name for spec in specs}
    stale = [] if models or not project.models else [n for n, e in before.items() if e.spec.source and n not in names]
    for name in stale:
        complain(f"vggcost: {name} is not in {project.file}, and no more in the baseline")
    changed = update_baseline(path, entries, stale) if entries or stale else False
    if not failed:
        say(f"{baseline or os.path.relpath(path)}: {', '.join(sorted(names))}{'' if changed else ' (unchanged)'}")
    return 2 if failed else 0
