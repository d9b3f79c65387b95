"""`vggcost docs`: tables and figures in documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click

from vggcost.cli.files import complain, say, write
from vggcost.errors import DocumentErrors, FileError, VggcostError

if TYPE_CHECKING:
    from vggcost.guard.documents import Outcome

__all__ = ["docs"]

Command = Callable[..., Any]


@click.group()
def docs() -> None:
    """Keep tables and figures in Markdown and reStructuredText as they are computed.

    A table stands between <!-- vggcost:begin compare models="vgg11,vgg16" --> and <!-- vggcost:end -->, a figure
    between <!-- vggcost:value vgg16.params format="M" --> and <!-- /vggcost -->; docs/tables.md shows all of them.
    """


def _options(function: Command) -> Command:
    for option in (
        click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
        click.option("--diff", is_flag=True, help="Show what differs as a unified diff."),
        click.option(
            "--allow-code", is_flag=True, help="Let a document name ./file.py:factory and package.module:factory."
        ),
    ):
        function = option(function)
    return function


@docs.command()
@_options
@click.option("--force", is_flag=True, help="Overwrite what was edited by hand, too.")
def sync(paths: tuple[str, ...], diff: bool, allow_code: bool, force: bool) -> int:
    """Write the tables and figures of documents anew; PATH is a document or a folder of them.

    What was edited by hand is reported and left as it is (exit status 1) unless --force is given.
    """
    from vggcost.guard.documents import save

    outcomes, problems = _worked_out(paths, allow_code)
    for outcome in outcomes:
        text = outcome.text if force else outcome.kept
        if text == outcome.document.text:
            continue
        if diff:
            write("-", f"{outcome.diff(text)}\n")
        try:
            save(outcome.document, text)
        except FileError as error:
            problems.append(str(error))
        else:
            say(outcome.document.name)
    left = 0 if force else _say(outcomes, "edited", "edited by hand, left as it is; --force overwrites it")
    return _status(problems, left)


@docs.command()
@_options
def check(paths: tuple[str, ...], diff: bool, allow_code: bool) -> int:
    """Say which tables and figures of documents are not what is computed now; exit status 1 if any.

    PATH is a document or a folder of them. Where all models are saved tables or in the baseline, this needs no torch.
    """
    outcomes, problems = _worked_out(paths, allow_code)
    for outcome in outcomes:
        if diff and outcome.text != outcome.document.text:
            write("-", f"{outcome.diff(outcome.text)}\n")
    wrong = _say(outcomes, "stale", "stale; 'vggcost docs sync' writes it anew")
    wrong += _say(outcomes, "edited", "edited by hand; undo that, or 'vggcost docs sync --force' overwrites it")
    found = Counter(finding.state for outcome in outcomes for finding in outcome.findings)
    counts = ", ".join(f"{found[state]} {text}" for state, text in _STATES.items() if found[state])
    if outcomes or not problems:
        say(f"{len(outcomes)} document{'s' * (len(outcomes) != 1)}: {counts or 'nothing of vggcost in them'}")
    return _status(problems, wrong)


_STATES = {"current": "current", "stale": "stale", "edited": "edited by hand"}


def _worked_out(paths: tuple[str, ...], allow_code: bool) -> tuple[list[Outcome], list[str]]:
    """Work out every document; one that cannot be read or understood does not keep the others from it."""
    from vggcost.guard.documents import find_documents, work_out
    from vggcost.guard.figures import Figures

    figures = Figures(_analyze, _compare_stack, allow_code)
    outcomes, problems = [], []
    for path in find_documents(paths):
        try:
            outcomes.append(work_out(path, figures))
        except DocumentErrors as error:
            problems += error.messages
        except VggcostError as error:
            problems.append(str(error))
    return outcomes, problems


def _analyze(*arguments: Any, **options: Any) -> Any:
    from vggcost import analyze

    return analyze(*arguments, **options)


def _compare_stack(**options: Any) -> Any:
    from vggcost._stack import compare_stack

    return compare_stack(**options)


def _say(outcomes: list[Outcome], state: str, text: str) -> int:
    found = [(outcome.document.name, finding) for outcome in outcomes for finding in outcome.findings]
    chosen = [(name, finding) for name, finding in found if finding.state == state]
    for name, finding in chosen:
        complain(f"{name}:{finding.line}: {finding.what}: {text}")
    return len(chosen)


def _status(problems: list[str], wrong: int) -> int:
    for text in problems:
        complain(f"vggcost: {text}")
    return 2 if problems else 1 if wrong else 0
