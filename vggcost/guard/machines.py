"""Verdicts for other programs: JUnit XML, and the JSON of github-action-benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from xml.etree import ElementTree

from vggcost.guard.check import Checked, Verdict
from vggcost.guard.places import Place
from vggcost.guard.words import acceptance, causes_lines, sentence
from vggcost.inert import as_json

__all__ = ["benchmark", "junit"]

_FOREIGN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


def junit(checked: Sequence[Checked], places: Mapping[str, Place]) -> str:
    """Write a suite a model and a case a limit; a model that does not build is an error."""
    root = ElementTree.Element("testsuites", name="vggcost")
    for model in checked:
        failed = sum(verdict.outcome in ("fail", "not comparable") for verdict in model.verdicts)
        suite = ElementTree.SubElement(
            root, "testsuite", name=_plain(model.model), tests=str(len(model.verdicts) + bool(model.error)),
            failures=str(failed), errors=str(int(bool(model.error))), skipped="0",
        )  # fmt: skip
        place = places.get(model.model)
        for verdict in model.verdicts:
            case = _case(suite, model, verdict.limit, place)
            if verdict.outcome in ("fail", "not comparable"):
                found = ElementTree.SubElement(
                    case, "failure", message=_plain(sentence(verdict)), type=verdict.outcome.replace(" ", "-")
                )
                found.text = _plain(_text(verdict, model))
            elif verdict.outcome == "improved":
                ElementTree.SubElement(case, "system-out").text = _plain(_text(verdict, model))
        if model.error:
            ElementTree.SubElement(
                _case(suite, model, "builds", place), "error", message=_plain(model.error), type="error"
            )
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, model: Checked, name: str, place: Place | None) -> ElementTree.Element:
    where = {"file": _plain(place.file), "line": str(place.line)} if place is not None else {}
    return ElementTree.SubElement(suite, "testcase", {"classname": _plain(model.model), "name": _plain(name), **where})


def _text(verdict: Verdict, model: Checked) -> str:
    ways = acceptance(replace(model, verdicts=(verdict,)))
    return "\n".join([sentence(verdict), *causes_lines(verdict), *(f"to accept: {way}" for way in ways)])


def _plain(text: str) -> str:
    return _FOREIGN.sub("�", text)


def benchmark(checked: Sequence[Checked], places: Mapping[str, Place]) -> str:
    """Write the present figures for `tool: customSmallerIsBetter` of github-action-benchmark."""
    figures: dict[str, dict[str, str | int]] = {}
    for model in checked:
        for verdict in model.verdicts:
            name = " ".join(filter(None, (model.model, verdict.layers, verdict.metric)))
            if verdict.after is not None:
                unit = "bytes" if verdict.metric.endswith("_bytes") else verdict.metric
                figures[name] = {"name": name, "unit": unit, "value": verdict.after, "extra": sentence(verdict)}
    return as_json(list(figures.values()), sort_keys=False)
