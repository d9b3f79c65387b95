"""Verdicts as documents. Renderers return text; only the command line writes files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module

from vggcost.guard.check import Checked, status_of
from vggcost.guard.places import Place
from vggcost.guard.words import counted, failure_text
from vggcost.inert import as_json, inert

__all__ = ["CHECK_FORMATS", "render_check"]

Renderer = Callable[[Sequence[Checked], Mapping[str, Place]], str]


def _table(checked: Sequence[Checked], places: Mapping[str, Place]) -> str:
    return "\n".join([*map(failure_text, checked), counted(checked)]) + "\n"


def _json(checked: Sequence[Checked], places: Mapping[str, Place]) -> str:
    models = [{**asdict(model), "outcome": model.outcome} for model in checked]
    data = {"schema": 1, "status": status_of(checked), "models": models}
    return as_json(data)


def _of(module: str, function: str) -> Renderer:
    def render(checked: Sequence[Checked], places: Mapping[str, Place]) -> str:
        renderer: Renderer = getattr(import_module(f"vggcost.guard.{module}"), function)
        return renderer(checked, places)

    return render


_RENDERERS: dict[str, Renderer] = {
    "table": _table,
    "json": _json,
    "markdown": _of("markdown", "comment"),
    "github": _of("github", "commands"),
    "junit": _of("machines", "junit"),
    "customSmallerIsBetter": _of("machines", "benchmark"),
}
CHECK_FORMATS = tuple(_RENDERERS)


def render_check(checked: Sequence[Checked], format: str, places: Mapping[str, Place] | None = None) -> str:
    """Write verdicts in one of `CHECK_FORMATS`; `places` say where a model stands in the project's files."""
    if format == "json":
        return _RENDERERS[format](checked, {})
    return _RENDERERS[format](inert(list(checked)), inert(dict(places or {})))
