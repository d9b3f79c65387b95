"""Independent counts against ours: what is the gap, and why? Arithmetic on records.

A counter's rules are a convention like any other. The gap between our MACs and a counter's figure is
explained by the difference of the two conventions, function by function; whatever the counter then says
otherwise than its own rules predict is unexplained.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vggcost.cost.conventions import CONVENTIONS
from vggcost.cost.functions import flops_of, function_of
from vggcost.cost.macs import macs_of
from vggcost.cost.ops import group_of
from vggcost.records import FORWARD, Convention, CostTable, FunctionRecord, OpRecord, Published, Recount, RunInfo, Trace

__all__ = ["Check", "Gap", "Verification", "check_counter", "check_params", "check_published"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a difference: how often, by how much, why; `modules` are those it comes from."""

    operator: str
    calls: int
    ours: int
    theirs: int
    reason: str
    modules: tuple[str, ...]

    @property
    def gap(self) -> int:
        """What the other count has more."""
        return self.theirs - self.ours


@dataclass(frozen=True, slots=True)
class Check:
    """One independent count against ours.

    Attributes:
        name: who counted.
        unit: what was counted.
        ours: our figure.
        theirs: the other's; None: it could not count.
        printed: the other's figure as it was printed, if it is not exact.
        explained: the parts of the gap that have a reason.
        unexplained: those that have none.
        note: how it was counted, or why it could not.
    """

    name: str
    unit: str
    ours: int
    theirs: int | None
    printed: str = ""
    explained: tuple[Gap, ...] = ()
    unexplained: tuple[Gap, ...] = ()
    note: str = ""

    @property
    def gap(self) -> int | None:
        """What the other count has more; 0 if ours rounds to what was printed."""
        if self.theirs is None:
            return None
        return 0 if self.printed and not self.unexplained else self.theirs - self.ours


@dataclass(frozen=True, slots=True)
class Verification:
    """All independent counts of one model against ours."""

    run: RunInfo
    checks: tuple[Check, ...]

    @property
    def unexplained(self) -> tuple[Gap, ...]:
        """The gaps without a reason; none where everything agrees or is explained."""
        return tuple(gap for check in self.checks for gap in check.unexplained)


# How the other counters count, as conventions; fvcore's is a preset.
_RULES = {
    "fvcore": CONVENTIONS["fvcore"],
    "FlopCounterMode": Convention(
        name="FlopCounterMode",
        flops_per_mac=2,
        sentence="2 per multiply-accumulate of the ops that torch.utils.flop_counter.flop_registry has a formula for.",
        function_prices=(("*", "flop registry"), ("lstm", "nothing")),
    ),
}
_NOTES = {
    "fvcore": "FlopCountAnalysis on real tensors on the CPU; torch's fast path of attention layers is off, as it hides their work",
    "FlopCounterMode": "torch.utils.flop_counter on real tensors on the CPU; 2 per multiply-accumulate; torch's fast path of attention layers is off",
}

# Why a counter differs from 1 (or 2) per multiply-accumulate, by function; anything else is not known to it.
_REASONS = {
    "fvcore": {
        "batch_norm": "BatchNorm: 2 per element (1 without scale; 5 and 4 with the batch's own statistics), ours 0",
        "layer_norm": "LayerNorm: 5 per element (4 without scale), ours 0",
        "group_norm": "GroupNorm: 5 per element (4 without scale), ours 0",
        "instance_norm": "InstanceNorm: 5 per element (4 without scale), ours 0",
        "adaptive_avg_pool2d": "adaptive average pooling: 1 per input element, ours 0",
        "interpolate": "upsampling: 1 per output element (nearest) or 4 (bilinear), ours 0",
        "grid_sample": "grid sampling: 4 per output element, ours 0",
        "grid_sampler": "grid sampling: 4 per output element, ours 0",
        "multi_head_attention_forward": "nn.MultiheadAttention with a mask uses baddbmm, which is not known to it: 0",
        "matmul": "matmul: the elements of the first operand times the columns of the second, broadcasting left out",
        "einsum": "einsum: half of NumPy's FLOP count for the best order, which NumPy prints to four digits",
        **dict.fromkeys(
            ("conv1d", "conv2d", "conv3d"), "convolution with padding='same' or 'valid' is not known to it: 0"
        ),
    },
    "FlopCounterMode": {
        "scaled_dot_product_attention": "the CPU's kernel of scaled_dot_product_attention has no formula in it: 0",
        "lstm": "the CPU's kernel of LSTM has no formula in it: 0",
    },
}

_OF_A_GRAPH = ("fvcore",)
_UNUSED = "its result is not used, and a traced graph leaves out what is not"

_FAMILIES = {
    "convolution": "conv convolution _convolution convolution_overrideable cudnn_convolution",
    "product": "linear mm addmm bmm baddbmm matmul einsum",
    "normalisation": "batch_norm group_norm layer_norm instance_norm",
    "pooling": "adaptive_avg_pool2d",
    "interpolation": "upsample_nearest2d upsample_bilinear2d grid_sampler",
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names.split()}
_FAMILY_OF_GROUP = {
    "batch_norm": "normalisation",
    "norm": "normalisation",
    "adaptive_pool": "pooling",
    "reduce": "pooling",
    "move": "interpolation",
    "interpolate": "interpolation",
}


def check_counter(trace: Trace, recount: Recount) -> Check:
    """Compare another counter's figures with ours, module by module and function by function.

    Args:
        trace: the run on meta tensors, in inference.
        recount: what the counter said of the same model on the same inputs.
    """
    rules = _RULES[recount.counter]
    unit = f"{rules.flops_per_mac} per MAC" if rules.flops_per_mac > 1 else "MACs"
    calls = _calls(trace)
    ours = sum(rules.flops_per_mac * macs_of(op) for _, _, ops in calls for op in ops)
    if recount.total is None:
        return Check(recount.counter, unit, ours, None, note=f"could not count: {recount.failure}")
    reasons, names = _REASONS[recount.counter], _first_names(trace)
    explained: dict[tuple[str, str], list[tuple[str, int, int]]] = defaultdict(list)
    expected: Counter[tuple[str, str]] = Counter()
    unused = _unused(trace) if recount.counter in _OF_A_GRAPH else set()
    for path, function, ops in calls:
        macs = sum(rules.flops_per_mac * macs_of(op) for op in ops)
        price = flops_of(ops, trace.functions, rules)[0]
        if price and all(id(op) in unused for op in ops):
            explained[_UNUSED, _operator(function)].append((path, macs, 0))
            continue
        if price:
            expected[names.get(path, path), _family(function, ops)] += price
        if price != macs:
            operator = _operator(function)
            reason = reasons.get(operator, f"{operator} is not known to it: 0")
            explained[reason, operator].append((path, macs, price))
    return Check(
        name=recount.counter,
        unit=unit,
        ours=ours,
        theirs=recount.total,
        explained=tuple(_gap(operator, reason, found) for (reason, operator), found in explained.items()),
        unexplained=_unexplained(expected, recount, names),
        note=_NOTES[recount.counter],
    )


def _unused(trace: Trace) -> set[int]:
    """Find the ops whose results go neither into the output nor into another op that does."""
    read = {storage for module in trace.modules[:1] for storage in module.outputs}
    unused = set()
    for op in reversed(trace.ops):
        if read.isdisjoint(op.outputs):
            unused.add(id(op))
        else:
            read.update(op.inputs)
    return unused


def _calls(trace: Trace) -> list[tuple[str, FunctionRecord, list[OpRecord]]]:
    """The forward pass as calls of functions: module, function, ops."""
    found: dict[tuple[int, int], list[OpRecord]] = defaultdict(list)
    for number, op in enumerate(trace.ops):
        if op.phase in FORWARD:
            found[op.module, op.function if op.function >= 0 else -1 - number].append(op)
    return [
        (trace.modules[module].path if module >= 0 else "", function_of(ops[0], trace.functions), ops)
        for (module, _), ops in found.items()
    ]


def _operator(function: FunctionRecord) -> str:
    return {"upsample": "interpolate", "linalg_matmul": "matmul"}.get(function.name, function.name)


def _family(function: FunctionRecord, ops: list[OpRecord]) -> str:
    """What kind of work a call does, in words that all counters share."""
    if function.name in _FAMILY_OF:
        return _FAMILY_OF[function.name]
    groups = [group_of(op) for op in ops]
    if "matmul" in groups:
        return "convolution" if any("convolution" in op.op for op in ops) else "product"
    return next((_FAMILY_OF_GROUP[group] for group in groups if group in _FAMILY_OF_GROUP), "other")


def _gap(operator: str, reason: str, found: list[tuple[str, int, int]]) -> Gap:
    return Gap(
        operator=operator,
        calls=len(found),
        ours=sum(macs for _, macs, _ in found),
        theirs=sum(price for _, _, price in found),
        reason=reason,
        modules=tuple(dict.fromkeys(path for path, _, _ in found)),
    )


def _first_names(trace: Trace) -> dict[str, str]:
    """One name for each module that has several: a counter may use any of them."""
    return {path: min(m.path, *m.aliases) for m in trace.modules if m.aliases for path in (m.path, *m.aliases)}


def _unexplained(expected: Counter[tuple[str, str]], recount: Recount, names: Mapping[str, str]) -> tuple[Gap, ...]:
    """What a counter said otherwise than its rules predict, where the work as a whole differs too.

    Which module a counter credits is its own affair, as long as the sum over all modules is right.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for path, operator, count in recount.counts:
        counted[names.get(path, path), _FAMILY_OF.get(operator, operator)] += count
    off: Counter[str] = Counter()
    for key in expected.keys() | counted.keys():
        off[key[1]] += counted[key] - expected[key]
    differing = sorted(key for key in expected.keys() | counted.keys() if off[key[1]] and counted[key] != expected[key])
    gaps = [
        Gap(family, 1, expected[path, family], counted[path, family], "unexplained", (path,))
        for path, family in differing
    ]
    rest = (recount.total or 0) - sum(counted.values())
    if rest:
        gaps.append(Gap("total", 1, 0, rest, "unexplained: its total is not the sum of its modules", ("",)))
    return tuple(gaps)


def check_params(table: CostTable, counted: int) -> Check:
    """Compare our parameters with those of the model itself."""
    return _exact(
        "parameters of the model", "params", table.totals.params, counted, "sum(p.numel() for p in model.parameters())"
    )


def check_published(found: Published, ours: int) -> Check:
    """Compare a figure of ours with a published one, to the digits that were printed.

    Example:
        >>> check_published(Published("params", "138", "M", "the paper"), 138_357_544).gap
        0
    """
    scale = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}[found.unit]
    printed = Decimal(found.value)
    theirs = int(printed * scale)
    digits = max(0, -int(printed.as_tuple().exponent))
    name, unit = f"published, {found.source}", found.quantity
    text = f"{found.value} {found.unit}".rstrip()
    if f"{Decimal(ours) / scale:.{digits}f}" == found.value:
        return Check(name, unit, ours, theirs, text, note="agrees to the printed digits")
    gap = Gap(unit, 1, ours, theirs, "unexplained: not the published figure", ("",))
    return Check(name, unit, ours, theirs, text, unexplained=(gap,))


def _exact(name: str, unit: str, ours: int, theirs: int, note: str) -> Check:
    gaps: Iterable[Gap] = [Gap(unit, 1, ours, theirs, "unexplained", ("",))] if ours != theirs else []
    return Check(name, unit, ours, theirs, unexplained=tuple(gaps), note=note)
