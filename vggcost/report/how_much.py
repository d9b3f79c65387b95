"""The memory section of a model's page: what is needed at most, the definitions, and why they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from markupsafe import Markup

from vggcost.claims import Finding
from vggcost.records import CostTable
from vggcost.report.dtypes import size_of
from vggcost.report.figure import Figure, marked
from vggcost.report.needs import Need
from vggcost.units import exact, human_bytes

__all__ = ["KEYS", "between", "memory_lines", "need_sentences"]

KEYS = {"distinct output storages": "outputs", "saved for backward": "saved"}
"""Lines of the memory section that the four figures above are made of."""

_NOTED = ("Conv2d", "MaxPool2d", "Linear")
"""Kinds of layers whose outputs course notes add up."""


def need_sentences(needs: Mapping[str, Need]) -> Iterator[tuple[str, Markup, str]]:
    """How much memory a run and a training step need: a name, a sentence, and the needs that it names."""
    for name, parts in (
        ("Inference", ["weights ", "held", " + the most that is alive at once besides ", "live", " = ", "whole", "."]),
        (
            "A training step",
            [
                "peak ",
                "peak",
                " without an optimizer and the scratch space of the CPU’s library; Adam would keep two states a parameter, ",
                "states",
                " more.",
            ],
        ),
    ):
        known = [part for part in parts if part in needs]
        if not known:
            continue
        values = {key: need.bytes for key, need in needs.items()} | {"whole": sum(needs[key].bytes for key in known)}
        written = (Figure(part, "bytes", values[part]) if part in values else part for part in parts)
        yield name, marked(written), " ".join(known)


def between(table: CostTable, findings: Sequence[Finding]) -> list[str | Figure]:
    """Say why the outputs of the convolutions and all distinct outputs are two figures; nothing where they are one.

    Example:
        Of VGG-16: 51.68 MiB are the 13 convolutions' outputs, 57.56 MiB all distinct ones; pools and linear layers make
        the 5.88 MiB between them.
    """
    at = _position(table, "outputs")
    if at is None:
        return []
    convolutions, outputs = table.memory[0].bytes or 0, table.memory[at].bytes or 0
    if not 0 < convolutions < outputs:
        return []
    layers = [layer for layer in table.layers if layer.conv_activations]
    alone = all(layer.kind.startswith("Conv") for layer in layers)
    number = f"{exact(len(layers))} " if alone else ""
    once = ", ReLU in place once with what it changes" if "in place" in table.memory[at].definition else ""
    rest = Counter[str]()
    for layer in table.layers:
        if not layer.conv_activations and layer.activation_bytes:
            rest[layer.kind] += layer.activation_bytes
    kinds = [kind for kind, _ in rest.most_common() if kind]
    known = alone and sum(rest.values()) == outputs - convolutions and len(kinds) == len(rest) <= 6
    whose = f"{_listed(kinds)} layers" if known else "other layers"
    return [
        Figure("m0", "bytes", convolutions), f" counts the outputs of the {number}convolutions only",
        _quoted(findings, "memory 0"), "; ", Figure(f"m{at}", "bytes", outputs),
        f" counts every distinct output once{once}", _quoted(findings, "total activation_bytes"), "; the ",
        Figure(f"m{at}-m0", "bytes", outputs - convolutions), f" between them are the outputs of {whose}. Courses and "
        "papers write both as “MB”, so that a figure alone does not say which is meant.",
    ]  # fmt: skip


def _quoted(findings: Sequence[Finding], measure: str) -> str:
    """How a quantity is printed in what was published of one image, if it is right."""
    right = [
        f.claim
        for f in findings
        if f.claim.measure == measure and f.claim.unit in ("MB", "GB") and f.verdict != "wrong"
    ]
    said = dict.fromkeys(f"{claim.value} {claim.unit}" for claim in right)
    return f" (of one image in float32 quoted as {_listed(list(said))})" if said else ""


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _position(table: CostTable, key: str) -> int | None:
    keys = [KEYS.get(line.definition.partition(" (")[0], "") for line in table.memory]
    return keys.index(key) if key in keys else None


def _with_input(table: CostTable) -> str:
    """Say what notes that list the image as a layer leave out, so that their sum is a little lower."""
    if not table.totals.conv_activations:
        return "with what goes in as the first layer"
    others = {layer.kind for layer in table.layers if layer.activation_bytes and layer.kind not in _NOTED}
    less = f"; such notes leave {_listed(sorted(others))} out" if 0 < len(others) <= 3 else ""
    if len(others) > 3:
        less = "; such notes add up convolutions, pools and linear layers alone"
    return f"with the image as the first layer, as some notes list it{less}"


def memory_lines(table: CostTable) -> list[dict[str, Any]]:
    """The definitions of memory, and those that add them to the input and to the parameters."""
    lines: list[dict[str, Any]] = [
        {
            "key": KEYS.get(line.definition.partition(" (")[0], ""),
            "base": [line.elements, line.bytes],
            "cells": _cells(line.definition, line.elements, line.bytes, line.note),
        }
        for line in table.memory
    ]
    at = {line.definition.partition(" (")[0]: number for number, line in enumerate(table.memory)}
    held = table.totals.param_bytes
    inputs = sum(prod(record.shape) * size_of(record.dtype) for record in table.run.inputs)
    outputs, saved = at.get("distinct output storages"), at.get("saved for backward")
    sums: list[tuple[str, list[str | int], int | None, str]] = []
    if outputs is not None:
        sums.append(("the same and the input", [outputs, "input"], inputs, _with_input(table)))
    sums.append(("parameters", ["param_bytes"], held, "in their own dtype"))
    if saved is not None and lines[saved]["base"][1] is not None and table.totals.trainable == table.totals.params:
        note = "as if all lived at once; gradients come while what was saved goes, so that the peak is a little lower"
        sums.append(
            ("parameters, gradients and saved for backward", ["param_bytes", "param_bytes", saved], 2 * held, note)
        )
    found = []
    for definition, parts, total, note in sums:
        more = sum(lines[part]["base"][1] or 0 for part in parts if isinstance(part, int))
        value = (total or 0) + more
        found.append({"key": "", "parts": parts, "base": [None, value], "cells": _cells(definition, None, value, note)})
    after = outputs + 1 if outputs is not None else len(lines)
    # The script finds a line by its position: those that are added up come last in the data, and where they belong here.
    for number, line in enumerate([*lines, *found]):
        line["at"] = number
    return [*lines[:after], *found[:1], *lines[after:], *found[1:]] if outputs is not None else [*lines, *found]


def _cells(definition: str, elements: int | None, nbytes: int | None, note: str) -> tuple[str, str, str, str]:
    if nbytes is None:
        return definition, "unknown", "unknown", note
    human = human_bytes(nbytes)
    size = human if nbytes < 1024 else f"{exact(nbytes)} = {human}"
    return definition, "" if elements is None else exact(elements), size, note
