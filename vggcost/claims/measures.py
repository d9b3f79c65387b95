"""What a claim is about, and how that is computed: one small function a verb.

A measure is a line such as `layer conv1_1 weights` or `total flops`; the first word names the
function below, the others are its arguments. Each returns the candidates for the true value: the
usual reading first, other readings (another convention, another protocol) after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Any

from vggcost.cost.stack import output_size, stack_form
from vggcost.records import CostTable, LayerCost, told
from vggcost.units import shape
from vggcost.zoo import VARIANTS
from vggcost.zoo.facts import AT_256, facts_of
from vggcost.zoo.variants import DEEP

__all__ = ["Candidate", "Context", "measure"]

Analyze = Callable[..., CostTable]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value a claim may mean, and how it must be read to mean it (empty: the usual reading)."""

    value: int | float | str
    reading: str = ""


@dataclass
class Context:
    """Runs models, each once."""

    analyze: Analyze
    known: dict[tuple[str, str], CostTable] = field(default_factory=dict)

    def table(self, model: str, convention: str = "torch") -> CostTable:
        """Return a model's table."""
        key = (model, convention)
        if key not in self.known:
            self.known[key] = self.analyze(model, convention=convention)
        return self.known[key]

    def layer(self, model: str, path: str) -> LayerCost:
        """Return a layer by its path."""
        return next(layer for layer in self.table(model).layers if layer.path == path)


def measure(line: str, model: str, context: Context) -> list[Candidate]:
    """Compute a measure of a model."""
    verb, *arguments = line.split()
    return list(_VERBS[verb](context, model, *arguments))


def _input(context: Context, model: str) -> Iterator[Candidate]:
    yield Candidate(prod(context.table(model).run.inputs[0].shape))


def _layer(context: Context, model: str, path: str, what: str) -> Iterator[Candidate]:
    layer = context.layer(model, path)
    attributes: dict[str, Any] = dict(layer.attributes)
    if what == "chw":
        yield Candidate(shape(layer.output_shape[1:]).replace("×", "x"))
    elif what == "hwc":
        channels, *sizes = layer.output_shape[1:]
        yield Candidate(shape((*sizes, channels)).replace("×", "x"))
    elif what == "inputs":
        yield Candidate(attributes["in_features"])
    elif what in ("kernel", "kernel+pad"):
        size = shape((*attributes["kernel_size"], attributes["in_channels"])).replace("×", "x")
        text = f"{attributes['out_channels']}@{size}, stride {attributes['stride'][0]}"
        yield Candidate(text + (f", pad {attributes['padding'][0]}" if what == "kernel+pad" else ""))
    else:
        yield Candidate(getattr(layer, what))


def _total(context: Context, model: str, what: str) -> Iterator[Candidate]:
    yield Candidate(getattr(context.table(model).totals, what))


_CONVENTIONS = ("torch", "fvcore", "convnet-burden", "full")


def _flops(context: Context, model: str) -> Iterator[Candidate]:
    """A "FLOPs" figure: what each convention gives, the default first."""
    table = context.table(model)
    yield Candidate(told(table.totals.flops))
    yield Candidate(told(table.totals.macs), "as MACs: a multiply-accumulate counts once")
    for name in _CONVENTIONS[1:]:
        yield Candidate(told(context.table(model, name).totals.flops), f"under convention {name}")
    convs = sum(told(layer.macs) for layer in table.layers if layer.conv_activations)
    yield Candidate(convs, "as MACs of the convolutions alone")


def _products(context: Context, model: str) -> Iterator[Candidate]:
    """Output elements of convolutions and linear layers, which timm calls activations."""
    yield Candidate(sum(told(layer.activations) for layer in context.table(model).layers if layer.macs))


def _memory(context: Context, model: str, line: str) -> Iterator[Candidate]:
    yield Candidate(context.table(model).memory[int(line)].bytes or 0)


def _image(context: Context, model: str, what: str) -> Iterator[Candidate]:
    """A note's sum over the input and the outputs of convolutions, pools and linear layers."""
    table = context.table(model)
    kinds = ("Conv2d", "MaxPool2d", "Linear")
    elements = prod(table.run.inputs[0].shape) + sum(told(x.activations) for x in table.layers if x.kind in kinds)
    yield Candidate(elements * (4 if what == "bytes" else 1))


def _depth(context: Context, model: str) -> Iterator[Candidate]:
    if model in {variant.name for variant in VARIANTS}:
        yield Candidate(told(context.table(model).weight_layers))
    else:
        yield from _fact(context, model, "weight_layers")


def _layers(context: Context, model: str, kind: str) -> Iterator[Candidate]:
    yield Candidate(sum(layer.kind == kind for layer in context.table(model).layers))


def _window(context: Context, model: str, kind: str) -> Iterator[Candidate]:
    found = {
        f"{a['kernel_size']}x{a['kernel_size']}, {a['stride']}"
        for a in (dict(x.attributes) for x in context.table(model).layers if x.kind == kind)
    }
    yield Candidate(" and ".join(sorted(found)))


def _widths(context: Context, model: str, kind: str) -> Iterator[Candidate]:
    yield Candidate(", ".join(str(x.output_shape[1]) for x in context.table(model).layers if x.kind == kind))


def _doubling(context: Context, model: str) -> Iterator[Candidate]:
    """The width that the convolutions reach, if it doubles at each new block until it stays."""
    widths = list(dict.fromkeys(x.output_shape[1] for x in context.table(model).layers if x.conv_activations))
    doubles = widths == [widths[0] * 2**step for step in range(len(widths))]
    yield Candidate(widths[-1] if doubles else "they do not double")


def _kernels(context: Context, model: str, count: str) -> Iterator[Candidate]:
    convs = [dict(x.attributes) for x in context.table(model).layers if x.conv_activations]
    yield Candidate(", ".join(str(a["kernel_size"][0]) for a in convs[: int(count)]))


def _configurations(context: Context, model: str) -> Iterator[Candidate]:
    """The configurations that the paper itself defines: those of its Table 2."""
    yield Candidate(sum(any(f.quantity == "params" for f in facts_of(v.name)) for v in VARIANTS if v.paper == DEEP))


def _towers(context: Context, model: str) -> Iterator[Candidate]:
    """Whether the convolutions of a net's members are split into groups."""
    nets = [v.name for v in VARIANTS if v.name.startswith(model) and v.paper == DEEP]
    split = any(dict(x.attributes).get("groups", 1) > 1 for n in nets for x in context.table(n).layers)
    yield Candidate("parallel" if split else "single path")


def _fact(context: Context, model: str, quantity: str, complement: str = "") -> Iterator[Candidate]:
    """Published facts; where they differ by protocol, each must be named."""
    facts = [f for f in facts_of(model) if f.quantity == quantity.replace("_", " ")]
    several = len({f.value for f in facts}) > 1
    for fact in facts:
        value = float(fact.value) if "." in fact.value or "e" in fact.value else int(fact.value)
        if complement:
            value = float(Fraction(100) - Fraction(fact.value))
        reading = f"{fact.protocol}; {_others(facts, fact)}" if several else ""
        yield Candidate(value, reading)


def _others(facts: list[Any], fact: Any) -> str:
    others = {f.protocol: f.value for f in facts if f.value != fact.value}
    if len(others) > 2:
        return f"{len(others)} other protocols give {min(others.values())} to {max(others.values())}"
    return ", ".join(f"{value} with {protocol}" for protocol, value in others.items())


def _monotone(context: Context, model: str) -> Iterator[Candidate]:
    """Whether the published error falls with every step of the family, at one scale."""
    protocol = AT_256
    nets = ("vgg-a", "vgg-a-lrn", "vgg-b", "vgg-c", "vgg-d", "vgg-e")
    errors = [
        float(f.value) for n in nets for f in facts_of(n) if f.quantity == "top-1 error" and f.protocol == protocol
    ]
    falls = all(b < a for a, b in pairwise(errors))
    yield Candidate("monotone" if falls else "top-1 " + ", ".join(map(str, errors)))


def _stack(context: Context, model: str, what: str, kernel: str) -> Iterator[Candidate]:
    form = stack_form(int(kernel))
    sizes = {output_size(n, form.kernel, 1, False) - output_size(n, 3, form.layers, False) for n in range(15, 300)}
    values: dict[str, int | str] = {
        "weights": f"{form.stack}C^2",
        "single": f"{form.single}C^2",
        "saved": f"{form.saved}C^2",
        "pair": form.stack,
        "single-pair": form.single,
        "size": f"(n-{form.kernel})/1+1" if sizes == {0} else "different sizes",
        "same": "same" if sizes == {0} else "different sizes",
    }
    yield Candidate(values[what])


def _smaller(context: Context, model: str) -> Iterator[Candidate]:
    """Whether a smaller kernel at the same stride costs more: conv1 of F at 11×11 and at 7×7, by the closed form."""
    a = dict(context.layer(model, "conv1").attributes)
    side = context.table(model).run.inputs[0].shape[2]

    def macs(kernel: int) -> int:
        positions = (side - kernel) // a["stride"][0] + 1
        return int(positions**2 * a["out_channels"] * kernel**2 * a["in_channels"])

    yield Candidate("more" if macs(7) > macs(11) else f"less: {macs(7):,} MACs at 7×7 against {macs(11):,} at 11×11")


def _largest(context: Context, model: str, other: str) -> Iterator[Candidate]:
    """The layer that contributes most to the difference in MACs of two nets with the same layer names."""
    before = {x.path: told(x.macs) for x in context.table(model).layers}
    change = {x.path: abs(told(x.macs) - before.get(x.path, 0)) for x in context.table(other).layers}
    most = max(change.values())
    yield Candidate(" and ".join(path for path, value in change.items() if value == most) + f" ({most:,} MACs)")


_VERBS: dict[str, Callable[..., Iterator[Candidate]]] = {
    "input": _input,
    "layer": _layer,
    "total": _total,
    "flops": _flops,
    "products": _products,
    "memory": _memory,
    "image": _image,
    "depth": _depth,
    "layers": _layers,
    "window": _window,
    "widths": _widths,
    "doubling": _doubling,
    "kernels": _kernels,
    "configurations": _configurations,
    "towers": _towers,
    "fact": _fact,
    "monotone": _monotone,
    "stack": _stack,
    "smaller": _smaller,
    "largest": _largest,
}
