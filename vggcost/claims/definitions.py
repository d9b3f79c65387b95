"""Definitions of a model's figures, composed of choices, so that all of them can be tried.

A definition is a base (which layers, which pass, what is summed) with a number of departures from
the plainest reading; `cost` counts those departures, and the simplest match is named first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

from vggcost.cost.families import is_convolution, is_fully_connected
from vggcost.records import CostTable, LayerCost, told

__all__ = ["Definition", "definitions"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A way to arrive at a number: its words, its exact value, its kind, how far from plain it is."""

    words: str
    value: int
    kind: str
    cost: int


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of several readings of a part of a definition."""

    words: str
    chosen: Callable[[LayerCost], bool]
    cost: int


_LAYERS = (
    _Choice("all layers", lambda layer: True, 0),
    _Choice("the convolutions alone", is_convolution, 1),
    _Choice("the fully connected layers alone", is_fully_connected, 2),
)
_OUTPUTS = (
    _Choice("convolutions", is_convolution, 0),
    _Choice("convolutions and fully connected layers", lambda layer: told(layer.macs) > 0, 1),
    _Choice("convolutions and pools", lambda layer: is_convolution(layer) or "Pool" in layer.kind, 2),
    _Choice("convolutions, pools and fully connected layers", lambda x: told(x.macs) > 0 or "Pool" in x.kind, 2),
    _Choice("all layers, ReLU, dropout and softmax as tensors of their own", lambda layer: True, 2),
)


def definitions(tables: dict[str, CostTable], step: CostTable) -> Iterator[Definition]:
    """Yield every definition of a model's figures.

    Args:
        tables: the model's table under each convention, inference.
        step: its table for a training step.
    """
    plain = tables["torch"]
    yield from _work(plain, step)
    for name, table in tables.items():
        if name != "torch":
            yield Definition(f"FLOPs, convention {name}", told(table.totals.flops), "flops", 3)
            yield from _extras(name, table)
    yield from _sizes(plain)
    yield from _activations(plain, tables["convnet-burden"])
    saved = step.totals.saved_bytes
    if saved is not None:
        yield Definition("saved for the backward pass in a training step", saved, "bytes", 2)


def _work(plain: CostTable, step: CostTable) -> Iterator[Definition]:
    passes: tuple[tuple[str, CostTable, Callable[[LayerCost], int], int], ...] = (
        ("forward", plain, lambda x: told(x.macs), 0),
        ("forward and backward", step, lambda x: told(x.macs) + (x.backward_macs or 0), 1),
        ("backward", step, lambda x: x.backward_macs or 0, 2),
    )
    for which, table, of, away in passes:
        for layers in _LAYERS:
            macs = sum(of(layer) for layer in table.layers if layers.chosen(layer))
            where = "" if layers.cost == 0 else f" of {layers.words}"
            yield Definition(f"MACs{where}, {which}", macs, "macs", away + layers.cost)
            yield Definition(f"FLOPs{where}, {which}, 2 per MAC", 2 * macs, "flops", away + layers.cost)
        if which == "forward":
            for per, word in ((1, "MACs"), (2, "FLOPs")):
                biases = sum(told(x.activations) for x in table.layers if x.biases and x.macs)
                yield Definition(
                    f"{word}, forward, and an addition for each bias",
                    per * told(table.totals.macs) + biases,
                    "flops",
                    2,
                )


def _extras(name: str, table: CostTable) -> Iterator[Definition]:
    """What a convention counts, without the layers that people leave out."""
    parts: tuple[tuple[str, Callable[[LayerCost], bool]], ...] = (
        ("pooling", lambda x: "Pool" in x.kind),
        ("ReLU", lambda x: x.kind == "ReLU"),
        ("the fully connected layers", is_fully_connected),
    )
    for words, left_out in parts:
        flops = sum(told(x.flops) for x in table.layers if not left_out(x))
        if flops != table.totals.flops:
            yield Definition(f"FLOPs, convention {name}, without {words}", flops, "flops", 4)


def _sizes(table: CostTable) -> Iterator[Definition]:
    parts: tuple[tuple[str, Callable[[LayerCost], int], int], ...] = (
        ("params", lambda x: x.params, 0),
        ("params without biases", lambda x: x.weights, 1),
        ("biases", lambda x: x.biases, 2),
    )
    for words, of, away in parts:
        for layers in _LAYERS:
            count = sum(of(layer) for layer in table.layers if layers.chosen(layer))
            where = "" if layers.cost == 0 else f" of {layers.words}"
            cost = away + layers.cost
            yield Definition(f"{words}{where}", count, "params", cost)
            for dtype, size, far in (("float32", 4, 0), ("float16", 2, 2), ("float64", 8, 3)):
                yield Definition(f"bytes of the {words}{where} in {dtype}", size * count, "bytes", cost + far)


def _activations(table: CostTable, burden: CostTable) -> Iterator[Definition]:
    image = sum(prod(record.shape) for record in table.run.inputs)
    distinct = told(burden.totals.activation_bytes)
    sets = [
        (choice.words, sum(told(x.activations) for x in table.layers if choice.chosen(x)), choice.cost)
        for choice in _OUTPUTS
    ]
    sets.append(("all layers, each output storage once (ReLU in place), as convnet-burden has it", distinct // 4, 0))
    for words, count, cost in sets:
        for added, suffix, far in ((0, "", 0), (image, " and the input", 1)):
            yield Definition(f"outputs of {words}{suffix}, elements", count + added, "elements", cost + far)
            for dtype, size, away in (("float32", 4, 0), ("float16", 2, 2), ("float64", 8, 3)):
                base = size * (count + added)
                text = f"outputs of {words}{suffix} in {dtype}"
                yield Definition(f"{text}, forward", base, "bytes", cost + far + away)
                yield Definition(
                    f"{text}, forward and backward (each with its gradient)", 2 * base, "bytes", cost + far + away + 1
                )
                total = table.totals.params * size + base
                yield Definition(f"{text}, and the params", total, "bytes", cost + far + away + 2)
