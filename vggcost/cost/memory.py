"""What is alive when: the bytes of live tensors over the ops of a training step, and its peak."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vggcost.cost.conventions import convention
from vggcost.cost.functions import flops_of, row_flops
from vggcost.cost.macs import macs_of
from vggcost.records import FORWARD, Convention, OpRecord, StorageRecord, Trace

__all__ = ["ROLES", "LayerMemory", "Peak", "StepTotals", "TensorLine", "Timeline", "events", "gradient_bytes",
           "layer_memory", "peak_of", "role_of", "step_totals", "timeline"]  # fmt: skip

ROLES = ("param", "buffer", "optimizer", "input", "gradient", "saved", "activation", "temporary", "scratch")


@dataclass(frozen=True, slots=True)
class Timeline:
    """Live bytes by role during each op; `bytes[role][op]`."""

    ops: tuple[str, ...]
    phases: tuple[str, ...]
    bytes: dict[str, tuple[int, ...]]

    @property
    def total(self) -> tuple[int, ...]:
        """Live bytes of all roles during each op."""
        return tuple(map(sum, zip(*self.bytes.values(), strict=True)))


@dataclass(frozen=True, slots=True)
class TensorLine:
    """A tensor that is alive at the peak."""

    role: str
    layer: str
    nbytes: int
    born: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment at which most bytes are alive."""

    bytes: int
    op_index: int
    op: str
    phase: str
    layer: str
    by_role: tuple[tuple[str, int], ...]
    by_layer: tuple[tuple[str, int], ...]
    largest: tuple[TensorLine, ...]


@dataclass(frozen=True, slots=True)
class StepTotals:
    """What one training step costs.

    FLOPs are by the report's convention, as `analyze` has them, whose backward pass holds what is recomputed.
    `optimizer_flops` are those of the optimizer's loop over the tensors, by convention `full`: 1 per output element of an
    elementwise op, 2 per MAC. How torch batches the tensors (`foreach`, `fused`) does not change them.
    """

    forward_macs: int
    backward_macs: int
    recompute_macs: int
    forward_flops: int
    backward_flops: int
    recompute_flops: int
    optimizer_flops: int
    param_bytes: int
    buffer_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    input_bytes: int
    saved_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """What a layer keeps: for the backward pass, as gradients, as states of the optimizer."""

    path: str
    kind: str
    param_bytes: int
    saved_bytes: int
    gradient_bytes: int
    optimizer_bytes: int


def step_flops(trace: Trace, convention: Convention) -> tuple[int, int, int]:
    """Return the FLOPs of the forward and the backward pass, and of what is computed again for it, as a table adds them."""
    own: dict[int, list[OpRecord]] = defaultdict(list)
    for op in trace.ops:
        if op.phase != "optimizer":
            own[op.module].append(op)
    found = [flops_of(own.pop(-1, []), trace.functions, convention)]
    again = 0
    for position, module in enumerate(trace.modules):
        if position in own or not module.children:
            ops = own[position]
            found.append(row_flops(module, ops, trace.functions, convention))
            recomputed = [op for op in ops if op.phase == "recompute"]
            again += row_flops(module, recomputed, trace.functions, convention)[1]
    forward, other = map(sum, zip(*found, strict=True))
    return forward, other - again, again


def gradient_bytes(trace: Trace) -> int:
    """Return the bytes of the gradients of parameters at the end of a step."""
    return sum(s.nbytes for s in trace.storages if s.role == "gradient" and s.died < 0)


def step_totals(trace: Trace, peak: int, rule: Convention) -> StepTotals:
    """Add up a training step; its FLOPs by a convention."""
    macs: Counter[str] = Counter()
    for op in trace.ops:
        macs[op.phase] += macs_of(op)
    flops = step_flops(trace, rule)
    kept: Counter[str] = Counter()
    for storage in trace.storages:
        role = role_of(storage)
        # Gradients of the step before, and states that were replaced, are gone at the end.
        if storage.died < 0 or role == "saved":
            kept[role] += storage.nbytes
    return StepTotals(
        forward_macs=sum(macs[phase] for phase in FORWARD),
        backward_macs=macs["backward"],
        recompute_macs=macs["recompute"],
        forward_flops=flops[0],
        backward_flops=flops[1],
        recompute_flops=flops[2],
        optimizer_flops=flops_of(trace.update, (), convention("full"))[1],
        param_bytes=kept["param"],
        buffer_bytes=kept["buffer"],
        gradient_bytes=gradient_bytes(trace),
        optimizer_bytes=kept["optimizer"],
        input_bytes=kept["input"],
        saved_bytes=kept["saved"] + sum(s.nbytes for s in trace.storages if s.role == "input" and s.saved_by >= 0),
        peak_bytes=peak,
    )


def layer_memory(trace: Trace) -> tuple[LayerMemory, ...]:
    """Say for each layer what it keeps; a layer that is called twice is one line."""
    found: dict[str, Counter[str]] = {}
    kinds: dict[str, str] = {}
    for module in trace.modules:
        found.setdefault(module.path, Counter())
        kinds.setdefault(module.path, module.kind)
    for storage in trace.storages:
        if storage.saved_by >= 0:
            found[trace.modules[storage.saved_by].path]["saved"] += storage.nbytes
        elif storage.name and storage.died < 0:
            path = storage.name.rpartition(".")[0]
            kinds.setdefault(path, "")
            found.setdefault(path, Counter())[storage.role] += storage.nbytes
    return tuple(
        LayerMemory(path, kinds[path], c["param"], c["saved"], c["gradient"], c["optimizer"])
        for path, c in found.items()
        if sum(c.values())
    )


def role_of(storage: StorageRecord) -> str:
    """Name what a storage is for: an activation that autograd keeps is `saved`."""
    return "saved" if storage.saved_by >= 0 and storage.role == "activation" else storage.role


def span(storage: StorageRecord, end: int) -> tuple[int, int]:
    """Return the first and the last op during which a storage is alive."""
    return storage.born, end if storage.died < 0 else storage.died - 1


def timeline(trace: Trace) -> Timeline:
    """Add up the live bytes during every op of a trace, by role."""
    count = len(trace.ops)
    changes: dict[str, list[int]] = {role: [0] * (count + 1) for role in ROLES}
    for storage in trace.storages:
        first, last = span(storage, count - 1)
        if last >= first:
            changes[role_of(storage)][first] += storage.nbytes
            changes[role_of(storage)][last + 1] -= storage.nbytes
    return Timeline(
        tuple(op.op for op in trace.ops),
        tuple(op.phase for op in trace.ops),
        {role: tuple(_running(values[:count])) for role, values in changes.items()},
    )


def _running(values: Sequence[int]) -> Iterator[int]:
    total = 0
    for value in values:
        total += value
        yield total


def peak_of(trace: Trace, line: Timeline, most: int = 10) -> Peak:
    """Find the moment at which most bytes are alive, and what they are."""
    total = line.total
    index = max(range(len(total)), key=total.__getitem__)
    end = len(trace.ops) - 1
    alive = [s for s in trace.storages if (life := span(s, end))[0] <= index <= life[1]]
    by_role: Counter[str] = Counter()
    by_layer: dict[str, int] = defaultdict(int)
    for storage in alive:
        by_role[role_of(storage)] += storage.nbytes
        by_layer[layer_of(trace, storage)] += storage.nbytes
    largest = sorted(alive, key=lambda s: (-s.nbytes, s.born))[:most]
    op = trace.ops[index]
    return Peak(
        bytes=total[index],
        op_index=index,
        op=op.op,
        phase=op.phase,
        layer=trace.modules[op.module].path if op.module >= 0 else "",
        by_role=tuple((role, by_role[role]) for role in ROLES),
        by_layer=tuple(sorted(by_layer.items(), key=lambda item: (-item[1], item[0]))),
        largest=tuple(TensorLine(role_of(s), layer_of(trace, s), s.nbytes, s.born) for s in largest),
    )


def layer_of(trace: Trace, storage: StorageRecord) -> str:
    """Name the layer a storage belongs to: the call that made it, or the parameter's module."""
    if storage.module >= 0:
        return trace.modules[storage.module].path or "(model)"
    if storage.name:
        return storage.name.rpartition(".")[0] or "(model)"
    return f"({storage.role})"


def events(trace: Trace) -> Iterator[tuple[int, int, int]]:
    """Yield allocations and frees in order: `(op, +1 or -1, storage)`; frees come after an op's allocations."""
    count = len(trace.ops)
    order = []
    for position, storage in enumerate(trace.storages):
        first, last = span(storage, count - 1)
        if last < first:  # freed before the first op, as the gradients of the step before are
            continue
        order.append((first, 0, position))
        if storage.died >= 0:
            order.append((last, 1, position))
    for op, kind, position in sorted(order):
        yield op, 1 if kind == 0 else -1, position
