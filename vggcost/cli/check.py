"""`vggcost check`: does any model cost more than the baseline and the limits allow?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from vggcost.cli.chosen import baseline_path, chosen, known_targets, lock_command, needs_peak, spec_options, stored
from vggcost.errors import BaselineError, FileError, VggcostError
from vggcost.guard import CHECK_FORMATS

if TYPE_CHECKING:
    from vggcost.guard import Baseline, Checked, Limit, Project, Spec

__all__ = ["check"]


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--fail-on", metavar="LIMIT", multiple=True,
    help="metric:tolerance, such as macs:+1%, flops:<=16G, mine/features.*=params:0; in the place of the "
    "configuration's. May be repeated.",
)  # fmt: skip
@spec_options
@click.option(
    "--baseline", metavar="FILE", help="The baseline.  [default: that of the configuration, or vggcost.lock.json]"
)
@click.option(
    "--from", "saved", metavar="FILE", multiple=True,
    help="Check a table saved as JSON, or another baseline, instead of running a model; NAME=FILE says whose it is. "
    "Needs no torch.",
)  # fmt: skip
@click.option("--format", "format_", type=click.Choice(CHECK_FORMATS), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
@click.option("--comment", metavar="FILE", help="Write the Markdown of a comment on a pull request, too.")
def check(
    models: tuple[str, ...],
    fail_on: tuple[str, ...],
    given: dict[str, Any],
    baseline: str | None,
    saved: tuple[str, ...],
    format_: str,
    output: str,
    comment: str | None,
) -> int:
    """Compare what MODELs cost now with the baseline: exit status 1 if one costs more than its limits allow.

    MODEL is a name of the configuration or of the baseline, or a model as for report. Without one: all of the
    configuration, or else all of the baseline.
    """
    from vggcost.guard import read_limits, read_project
    from vggcost.guard.places import places_of
    from vggcost.guard.render import render_check

    limits = read_limits(fail_on) if fail_on else None
    project = read_project()
    limits = limits if limits is not None else project.limits
    path = baseline_path(project, baseline)
    if not os.path.exists(path) and (limits is None or any(limit.tolerance.kind != "ceiling" for limit in limits)):
        raise FileError(
            f"there is no baseline {path}; 'vggcost lock' writes one, limits such as params:<=26M need none"
        )
    before = stored(path)

    def accept(spec: Spec) -> str:
        return lock_command(spec, baseline, project, before, limits)

    if saved:
        if models or given:
            raise click.UsageError("--from takes the place of MODELs and of how they are run; give one of the two")
        checked = list(_saved(saved, project, before, limits, accept))
    else:
        checked = list(_fresh(models, given, project, before, limits, accept))
    root = os.environ.get("GITHUB_WORKSPACE")
    places = places_of([model.model for model in checked], project, path, Path(root) if root else None)
    from vggcost.cli.files import complain, write
    from vggcost.guard import status_of

    write(output, render_check(checked, format_, places), commands=format_ == "github")
    for model in checked:
        if model.error:
            complain(f"vggcost: {model.model}: {model.error}")
    if comment is not None:
        from vggcost.files import encoded, replace_file

        replace_file(comment, encoded(render_check(checked, "markdown", places)), "choose another path for --comment")
    if format_ == "github":
        _summarise(checked)
    return status_of(checked)


def _fresh(
    models: Sequence[str],
    given: dict[str, Any],
    project: Project,
    before: Baseline,
    limits: Sequence[Limit] | None,
    accept: Callable[[Spec], str],
) -> Iterator[Checked]:
    """Run each model; one that fails does not keep the others from being checked."""
    from vggcost.guard import broken, check_model

    specs = chosen(models, project, before, given)
    known_targets(limits, [*(spec.name for spec in (*specs, *project.models)), *before])
    peaks = {spec.name: needs_peak(spec, limits) for spec in specs}  # a limit that makes no sense is said at once
    from vggcost._guard import measure

    for spec in specs:
        try:
            entry = measure(spec, peak=peaks[spec.name], folder=project.folder)
        except VggcostError as error:
            yield broken(spec.name, spec.source, " ".join(str(error).split()))
        else:
            yield check_model(before.get(spec.name), entry, limits, accept(spec))


def _saved(
    files: Sequence[str],
    project: Project,
    before: Baseline,
    limits: Sequence[Limit] | None,
    accept: Callable[[Spec], str],
) -> Iterator[Checked]:
    from vggcost.cli.sources import entries_of
    from vggcost.guard import check_model

    entries = {}
    for text in files:
        name, equals, file = text.rpartition("=")
        for entry in entries_of(file, before, project.models, name if equals else ""):
            if entry.spec.name in entries:
                raise BaselineError(f"two files of {entry.spec.name!r}; write NAME=FILE to say whose each is")
            entries[entry.spec.name] = entry
    known_targets(limits, [*entries, *(spec.name for spec in project.models), *before])
    for name, entry in entries.items():
        yield check_model(before.get(name), entry, limits, accept(entry.spec))


def _summarise(checked: Sequence[Checked]) -> None:
    """Append to the summary of GitHub's job, where there is one."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    from vggcost.files import encoded
    from vggcost.guard.github import summary

    path = Path(target)
    try:
        used = path.stat().st_size if os.path.exists(path) else 0
        with path.open("ab") as file:
            file.write(encoded(summary(checked, used)))
    except (OSError, ValueError) as error:
        raise FileError(f"cannot write the job summary {target}: {getattr(error, 'strerror', None) or error}") from None
