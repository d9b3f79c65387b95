"""From a trace to a cost table: one row for each call of a layer."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from functools import lru_cache, partial
from math import prod
from typing import Any

from vggcost.cost.custom import is_stated
from vggcost.cost.functions import NOTHING, function_of, row_flops, rule_of
from vggcost.cost.macs import CONVOLUTIONS, macs_of, working_of
from vggcost.cost.ops import is_product, status_of
from vggcost.cost.receptive import fields_of
from vggcost.records import (
    FORWARD,
    OF_RUN,
    PARAMETERS,
    Convention,
    CostTable,
    Coverage,
    Extent,
    FunctionRecord,
    LayerCost,
    MemoryLine,
    ModuleRecord,
    OpRecord,
    ParamRecord,
    Totals,
    Trace,
    told,
)
from vggcost.units import exact, product

__all__ = ["cost_table", "with_saved"]

_HELD = ("param", "buffer", "input")
OUTSIDE = -1
_REMEMBERED = 1000  # ops of a row that is remembered; the key of more would take longer than the row
_LIMIT = 20_000  # remembered rows of a convention; far more than any model has of different ones


def cost_table(trace: Trace, convention: Convention, training: Trace | None = None, untrainable: str = "") -> CostTable:
    """Price a trace under a convention.

    A row is a call of a layer: a module without children, or the own work of a module with
    children (a residual addition, say). Parameters are counted at the first call that owns them.

    Args:
        trace: what a run did.
        convention: what counts.
        training: a trace of a training step of the same model, which answers "saved for backward"
            in the memory section of an inference run.
        untrainable: why there is no such trace, if it was tried.

    Returns:
        The table; its totals are the sums of its rows.
    """
    made = [op for op in trace.ops if op.phase == "forward" and op.nature != "view"]
    layers, distinct = _layers(trace, made, convention)
    ran = trace.run.mode != PARAMETERS
    if not ran:
        layers = tuple(layer._replace(**dict.fromkeys(OF_RUN)) for layer in layers)  # type: ignore[arg-type]
    totals = Totals.of(layers, trace.run.mode)
    containers = {m.path: m.kind for m in trace.modules if m.children}
    return CostTable(
        run=trace.run,
        convention=convention,
        layers=layers,
        containers=tuple(sorted(containers.items())),
        totals=totals,
        memory=_memory(trace, totals, distinct, trace if trace.run.mode == "training" else training, untrainable) if ran else (),
        coverage=_coverage(trace, convention),
        weight_layers=_weight_layers(trace, made) if ran else None,
    )  # fmt: skip


def _coverage(trace: Trace, convention: Convention) -> Coverage:
    kinds = [*(module.kind for module in trace.modules), ""]  # the last one is found at OUTSIDE
    named = bool(convention.function_prices)
    alike: dict[tuple[str, str, str, str], OpRecord] = {}
    counts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for op in trace.ops:
        key = op.op, op.nature, kinds[op.module], function_of(op, trace.functions).name if named else ""
        alike[key] = op
        counts[key] += 1
    found: dict[str, Counter[str]] = {"counted": Counter(), "free": Counter(), "unknown": Counter()}
    for (name, nature, kind, function), calls in counts.items():
        status = status_of(alike[name, nature, kind, function], kind, convention)
        if status == "counted" and rule_of(function, convention) == NOTHING:
            status = "free"
        found[status][name] += calls
    counted, free, unknown = (tuple(sorted(found[status].items())) for status in ("counted", "free", "unknown"))
    return Coverage(counted, free, unknown, trace.assumed)


def _weight_layers(trace: Trace, made: list[OpRecord]) -> int:
    """The depth as papers give it: the most products with parameters on one path through the forward pass."""
    depth = [0] * len(trace.storages)
    weights = {i for i, storage in enumerate(trace.storages) if storage.role == "param"}
    for op in made:
        level = max([depth[i] for i in op.inputs], default=0)
        if is_product(op.op) and not weights.isdisjoint(op.inputs):
            level += 1
        for output in op.outputs:
            depth[output] = max(depth[output], level)
    return max(depth, default=0)


def _layers(trace: Trace, made: list[OpRecord], convention: Convention) -> tuple[tuple[LayerCost, ...], list[int]]:
    """Make the rows, and list the distinct storages of their outputs."""
    storages = trace.storages
    own: dict[int, list[OpRecord]] = defaultdict(list)
    for op in trace.ops:
        own[op.module].append(op)
    params, uncalled = _owners(trace)
    saved: dict[int, int] = defaultdict(int)
    for storage in storages:
        if storage.saved_by >= 0:
            saved[storage.saved_by] += storage.nbytes
    fields = fields_of((op for op in trace.ops if op.phase in FORWARD), _input_storages(trace))
    training = trace.run.mode == "training"
    functions = trace.functions if convention.function_prices else ()
    row = partial(_row, convention, functions, training, _known(convention, training))
    seen = bytearray(storage.role in _HELD for storage in storages)
    distinct: list[int] = []
    rows = []
    for position, module in enumerate(trace.modules):
        ops = own.get(position, [])
        held = params.get(position, [])
        saved_bytes = saved.get(position, 0)
        # A model without children and without torch's own attributes is code, not a layer.
        atomic = module.children == 0 and (module.parent != OUTSIDE or bool(module.attributes))
        if not (atomic or held or saved_bytes or any(op.nature != "view" for op in ops)):
            continue
        whole = atomic or module.kind == trace.run.loss
        new = []
        for i in module.outputs if whole else (op.outputs[0] for op in ops if _is_output(op)):
            if not seen[i]:
                seen[i] = True
                new.append(i)
        distinct += new
        field, jump = (
            fields.of(position, module.outputs[0], module.output_shapes[0]) if module.outputs else (None, None)
        )
        rows.append(
            row(
                module, ops, held, whole,
                activation_bytes=sum([storages[i].nbytes for i in new]),
                saved_bytes=saved_bytes,
                receptive_field=field,
                jump=jump,
            )
        )  # fmt: skip
    for path, found in uncalled.items():
        rows.append(row(_placeholder(path, "(not called)"), [], found))
    outside = row(_placeholder("(outside)", ""), own.get(OUTSIDE, []), [])
    if outside.flops or outside.backward_flops:  # work that no module call caused
        rows.append(outside)
    return tuple(rows), distinct


def _placeholder(path: str, kind: str) -> ModuleRecord:
    """A row that stands for no module call."""
    return ModuleRecord(path, kind, 0, (), OUTSIDE, 0, (), (), (), ())


def _input_storages(trace: Trace) -> dict[int, tuple[int, ...]]:
    """The storages of the inputs, each with its shape, which is empty where no axis of it is the batch.

    The inputs are registered in their order, before a loss adds its target.
    """
    inputs = [i for i, storage in enumerate(trace.storages) if storage.role == "input"]
    return {i: () if record.is_item else record.shape for i, record in zip(inputs, trace.run.inputs, strict=False)}


def _owners(trace: Trace) -> tuple[dict[int, list[ParamRecord]], dict[str, list[ParamRecord]]]:
    """Give every parameter to one row: the first call of a module that holds it.

    A parameter of a module that was never called belongs to the layer above it if that layer uses
    its children's weights itself (as attention layers do), and to a row "not called" otherwise.
    """
    first: dict[str, int] = {}
    for position, module in enumerate(trace.modules):
        for path in (module.path, *module.aliases):
            first.setdefault(path, position)
    params: dict[int, list[ParamRecord]] = defaultdict(list)
    uncalled: dict[str, list[ParamRecord]] = defaultdict(list)
    for param in trace.params:
        holders = [path.rpartition(".")[0] for path in param.paths]
        called = [first[path] for path in holders if path in first]
        if not called:
            called = [p for path in holders if (p := _user(path, first, trace.modules)) is not None]
        if called:
            params[min(called)].append(param)
        else:
            uncalled[holders[0]].append(param)
    return params, uncalled


def _user(path: str, first: dict[str, int], modules: tuple[ModuleRecord, ...]) -> int | None:
    while path:
        path = path.rpartition(".")[0]
        if path in first:
            position = first[path]
            return position if modules[position].children == 0 else None
    return None


def _is_output(op: OpRecord) -> bool:
    """Whether an op in a module's own code is a layer of its own, by its first output."""
    return op.phase in FORWARD and op.nature != "view" and bool(op.outputs)


def _row(
    convention: Convention,
    functions: tuple[FunctionRecord, ...],
    training: bool,
    known: dict[Any, dict[str, Any]],
    module: ModuleRecord,
    ops: list[OpRecord],
    params: list[ParamRecord],
    whole: bool = True,
    activation_bytes: int = 0,
    saved_bytes: int = 0,
    receptive_field: Extent = None,
    jump: Extent = None,
) -> LayerCost:
    key = _signature(module, ops, params, whole, functions) if len(ops) <= _REMEMBERED else None
    work = known.get(key)
    if work is None:
        work = _work(module, ops, params, whole, convention, functions, training)
        if key is not None:
            known[key] = work
    return LayerCost(
        path=module.path,
        call=module.call,
        activation_bytes=activation_bytes,
        saved_bytes=saved_bytes if training else None,
        receptive_field=receptive_field,
        jump=jump,
        attributes=module.attributes,
        **work,
    )


def _signature(
    module: ModuleRecord,
    ops: list[OpRecord],
    params: list[ParamRecord],
    whole: bool,
    functions: tuple[FunctionRecord, ...],
) -> Any:
    """What a row's work follows from; the functions where they have prices."""
    called: tuple[Any, ...] = ()
    if functions:
        first = min((op.function for op in ops if op.function >= 0), default=0)
        called = tuple([(op.function - first, functions[op.function]) if op.function >= 0 else None for op in ops])
    return (
        module.kind,
        module.output_shapes,
        whole,
        tuple([(op.op, op.phase, op.nature, op.input_shapes, op.output_shapes, op.attributes) for op in ops]),
        tuple([(p.shape, p.nbytes, p.trainable, p.paths[0].rpartition(".")[2]) for p in params]),
        called,
    )


def _known(convention: Convention, training: bool) -> dict[Any, dict[str, Any]]:
    """What rows of earlier tables cost, by their signatures; nothing while a user states costs, which may change."""
    known = {} if is_stated() else _remembered(convention, training)
    if len(known) > _LIMIT:
        known.clear()
    return known


@lru_cache(maxsize=16)
def _remembered(convention: Convention, training: bool) -> dict[Any, dict[str, Any]]:
    return {}


def _work(
    module: ModuleRecord,
    ops: list[OpRecord],
    params: list[ParamRecord],
    whole: bool,
    convention: Convention,
    functions: tuple[FunctionRecord, ...],
    training: bool,
) -> dict[str, Any]:
    """What follows for a row from its ops and parameters.

    A layer's outputs are what it returns. In a module's own code every op that is no view is a
    layer of its own, by its first output.
    """
    macs = backward_macs = conv_activations = 0
    products = []
    flops = row_flops(module, ops, functions, convention)
    for op in ops:
        if op.phase not in FORWARD:
            backward_macs += macs_of(op)
            continue
        macs += macs_of(op)
        if is_product(op.op):
            products.append(op)
            if op.op in CONVOLUTIONS:
                conv_activations += prod(op.output_shapes[0])
    outputs = module.output_shapes if whole else [op.output_shapes[0] for op in ops if _is_output(op)]
    count = sum(prod(p.shape) for p in params)
    biases = sum(prod(p.shape) for p in params if _is_bias(p.paths[0]))
    return {
        "kind": module.kind,
        "output_shape": module.output_shapes[0] if module.output_shapes else (),
        "params": count,
        "weights": count - biases,
        "biases": biases,
        "trainable": sum(prod(p.shape) for p in params if p.trainable),
        "param_bytes": sum(p.nbytes for p in params),
        "macs": macs,
        "flops": flops[0],
        "backward_macs": backward_macs if training else None,
        "backward_flops": flops[1] if training else None,
        "activations": sum(map(prod, outputs)),
        "conv_activations": conv_activations,
        "working": _working(params, products, macs),
    }


def _is_bias(path: str) -> bool:
    """Whether a parameter is a bias by its name: bias, bias_ih_l0, in_proj_bias."""
    name = path.rpartition(".")[2]
    return name == "bias" or name.startswith("bias_") or name.endswith("_bias")


def _working(params: list[ParamRecord], ops: list[OpRecord], macs: int) -> str:
    """The arithmetic of a row as a person would write it."""
    lines = []
    if params:
        terms = [_param_term(p.shape) for p in params]
        total = exact(sum(prod(p.shape) for p in params))
        lines.append(f"params: {' + '.join(terms)} = {total}")
    if len(ops) == 1:
        lines.append(f"MACs: {working_of(ops[0])}")
    elif ops:
        counts = Counter(working_of(op).rpartition(" = ")[0] or exact(macs_of(op)) for op in ops)
        text = " + ".join(f"{count} × {term}" if count > 1 else term for term, count in counts.items())
        lines.append(f"MACs: {text} = {exact(macs)}")
    return "; ".join(lines)


def _param_term(shape: tuple[int, ...]) -> str:
    if len(shape) >= 3:  # filters: (k·k·C_in)·C_out
        return f"({product((*shape[2:], shape[1]))})·{exact(shape[0])}"
    if len(shape) == 2:  # linear: in·out
        return product((shape[1], shape[0]))
    return product(shape) if shape else "1"


def _memory(
    trace: Trace, totals: Totals, distinct: list[int], training: Trace | None, untrainable: str
) -> tuple[MemoryLine, ...]:
    """Name the usual definitions of "how much memory is that?" side by side."""
    conv = [op for op in trace.ops if op.op in CONVOLUTIONS and op.phase == "forward"]
    conv_bytes = sum(trace.storages[i].nbytes for i in {op.outputs[0] for op in conv})
    inplace = any(value for m in trace.modules for key, value in m.attributes if key == "inplace")
    lines = [
        MemoryLine("outputs of the convolutions", totals.conv_activations, conv_bytes, "as worked by hand in courses"),
        MemoryLine(
            "the same with their gradients, forward and backward",
            2 * told(totals.conv_activations),
            2 * conv_bytes,
            "each activation and its gradient",
        ),
        MemoryLine(
            "distinct output storages" + (" (ReLU in place)" if inplace else ""),
            sum(trace.storages[i].numel for i in distinct),
            totals.activation_bytes,
            "every layer's output once; an in-place layer adds nothing",
        ),
    ]
    return (*lines, _saved(training, untrainable))


def _saved(training: Trace | None, untrainable: str) -> MemoryLine:
    if training is None:
        note = untrainable or "not traced; a training step tells: --mode training"
        return MemoryLine("saved for backward", None, None, note)
    saved = [s for s in training.storages if s.saved_by >= 0]
    loss = f", loss {training.run.loss}" if training.run.loss else ""
    note = f"what autograd keeps in a training step, parameters and buffers left out{loss}"
    return MemoryLine("saved for backward", sum(s.numel for s in saved), sum(s.nbytes for s in saved), note)


def with_saved(table: CostTable, training: Trace | None, untrainable: str) -> CostTable:
    """Answer "saved for backward" in the table of an inference run; the arguments are those of `cost_table`."""
    return replace(table, memory=(*table.memory[:-1], _saved(training, untrainable)))
