"""What GitHub Actions shows: annotations on lines of files, and the summary of a job.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands and its limits: 10
annotations of a kind in a step, 1 MiB of summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vggcost.guard.check import Checked
from vggcost.guard.markdown import document
from vggcost.guard.places import Place
from vggcost.guard.words import counted, failure_text
from vggcost.inert import inert
from vggcost.units import exact

__all__ = ["commands", "summary"]

_MOST = 9
_SUMMARY_BYTES = 1_000_000
_LEVELS = {"error": "error", "fail": "error", "not comparable": "error", "improved": "notice"}


def commands(checked: Sequence[Checked], places: Mapping[str, Place]) -> str:
    """Write one annotation a model that did not just pass, at most nine, and one that counts the others."""
    # The worst come first, so that a notice never takes the place of an error.
    told = sorted((m for m in checked if m.outcome in _LEVELS), key=lambda m: _LEVELS[m.outcome] != "error")
    lines = [_annotation(model, places.get(model.model)) for model in told[:_MOST]]
    rest = told[_MOST:]
    if rest:
        level = _LEVELS[rest[0].outcome]
        names = ", ".join(model.model for model in rest[:20])
        lines.append(f"::{level} title=vggcost::{_data(f'+{exact(len(rest))} more: {names}')}")
    return "\n".join([*lines, counted(checked)]) + "\n"


def _annotation(model: Checked, place: Place | None) -> str:
    where = f"file={_property(place.file)},line={place.line}," if place is not None else ""
    title = _property(f"vggcost: {model.model}: {model.outcome}")
    return f"::{_LEVELS[model.outcome]} {where}title={title}::{_data(failure_text(model, most=5))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary(checked: Sequence[Checked], used: int = 0) -> str:
    """Write the summary of a job; `used` bytes of what it may hold are taken already."""
    return document(inert(list(checked)), max(_SUMMARY_BYTES - used, 0))
