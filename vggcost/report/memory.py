"""A training step's memory as text, Markdown, JSON and a page with the timeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from vggcost.cost.allocator import ASSUMPTIONS, context_text
from vggcost.cost.step import MemoryReport
from vggcost.inert import as_json, inert
from vggcost.report.markdown import escape
from vggcost.report.timeline import timeline_svg
from vggcost.units import exact, human_bytes, human_count, percent, shape

__all__ = ["MEMORY_FORMATS", "render_memory", "where"]

_MEANINGS = {
    "param": "parameters",
    "buffer": "buffers",
    "optimizer": "states of the optimizer",
    "input": "the inputs and the loss's target",
    "gradient": "gradients of parameters",
    "saved": "kept by autograd for the backward pass",
    "activation": "outputs that nothing keeps",
    "temporary": "gradients of activations and other passing tensors",
    "scratch": "inside an op of the CPU",
}


def _setting(found: MemoryReport) -> str:
    step, run = found.step, found.run
    inputs = (f"{i.name} {shape(i.shape)} {i.dtype}" for i in run.inputs)
    parts = [f"{found.run.title}, {', '.join(inputs)}"]
    options = "".join(f", {key}={value}" for key, value in step.options)
    parts.append(f"optimizer {step.optimizer}{options}")
    parts += [f"frozen: {', '.join(step.freeze)}"] if step.freeze else []
    parts += [f"{step.accumulate} backward passes a step"] if step.accumulate > 1 else []
    parts.append(f"loss {run.loss}; the second step, which is the steady state")
    return "; ".join(parts)


def _budget(found: MemoryReport) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for role, nbytes in found.peak.by_role:
        rows.append((role, exact(nbytes), human_bytes(nbytes), percent(nbytes, found.peak.bytes), _MEANINGS[role]))
    return rows


def _totals(found: MemoryReport) -> list[tuple[str, str, str]]:
    rows = []
    for name, value in asdict(found.totals).items():
        human = human_bytes(value) if name.endswith("_bytes") else human_count(value)
        if value or name.endswith("_bytes"):
            rows.append((name.replace("_", " "), exact(value), human))
    return rows


def where(found: MemoryReport) -> str:
    """Say how large the peak is, and where."""
    peak = found.peak
    layer = f" of {peak.layer}" if peak.layer else ""
    return (
        f"The peak is {human_bytes(peak.bytes)} ({exact(peak.bytes)} bytes), during {peak.op}{layer} in the {peak.phase} pass, "
        f"op {peak.op_index + 1} of {len(found.timeline.ops)}."
    ).replace("optimizer pass", "optimizer's step")


def needs(found: MemoryReport) -> str:
    """Say what must fit in memory."""
    text = f"What must fit: {human_bytes(found.needed_bytes)} ({exact(found.needed_bytes)} bytes)"
    if found.step.device == "cpu":
        return f"{text}, the peak."
    reserved = exact(found.allocator.reserved)
    return (
        f"{text} on the device: {reserved} bytes that the allocator reserves, and {context_text(found.context_bytes)}."
    )


def _notes(found: MemoryReport) -> list[str]:
    counted = (
        f"FLOPs by convention {found.convention.name}: {found.convention.sentence.rstrip('.')}",
        "the optimizer's FLOPs are those of its loop over the tensors, by convention full whichever is chosen",
    )
    device = (
        f"CUDA's caching allocator, simulated on this timeline: {human_bytes(found.allocator.allocated)} allocated, "
        f"{human_bytes(found.allocator.reserved)} reserved at most; it gets by with {human_bytes(found.allocator.least)} "
        "where it gives cached blocks back, as torch does before it fails"
    )
    kernels = (
        [f"scaled-dot-product attention is taken as the {' and the '.join(found.attention)} kernel"]
        if found.attention
        else []
    )
    fused = found.step.device == "cpu"
    recurrent = {"GRU", "RNN"} if fused else {"LSTM", "GRU", "RNN"}
    if any(layer.kind in recurrent for layer in found.layers):
        kernels.append(
            "recurrent layers are taken as compositions of their matrix products; a fused kernel keeps a workspace besides"
        )
    if fused and any(layer.kind == "LSTM" for layer in found.layers):
        kernels.append("LSTM is taken as oneDNN's fused kernel, with its workspace")
    live = "live bytes are those of tensors; scratch space inside a kernel is not among them"
    if fused and found.step.threads:
        live = (
            "scratch is what oneDNN takes inside convolutions and LSTMs, as on a CPU with AVX-512 and "
            f"{found.step.threads} threads, in float32; that of other kernels is not among the live bytes"
        )
    assumed = [f"assumed at {a.op}{f' ×{exact(a.calls)}' if a.calls > 1 else ''}: {a.text}" for a in found.assumed]
    noted = [found.run.note] if found.run.note else []
    return [*counted, device, *ASSUMPTIONS, live, *kernels, *assumed, *noted]


def _largest(found: MemoryReport) -> list[tuple[str, str, str]]:
    return [
        (line.layer, line.role, f"{exact(line.nbytes)} = {human_bytes(line.nbytes)}") for line in found.peak.largest
    ]


def _table(found: MemoryReport) -> str:
    out = [_setting(found), where(found), needs(found), "", "alive at the peak"]
    out += [
        f"  {role:<11}{count:>16}  {human:<12}{share:>7}  {meaning}"
        for role, count, human, share, meaning in _budget(found)
    ]
    out += ["", f"per step, convention {found.convention.name}"]
    out += [f"  {name:<17}{count:>18}  {human}" for name, count, human in _totals(found)]
    out += ["", "largest tensors at the peak"]
    out += [f"  {layer:<24} {role:<11}{size}" for layer, role, size in _largest(found)]
    out += ["", *(f"- {note}" for note in _notes(found))]
    return "\n".join(line.rstrip() for line in out) + "\n"


def _markdown(found: MemoryReport) -> str:
    out = [
        f"# Memory of a training step: {escape(found.run.title)}",
        "",
        escape(_setting(found)) + ".",
        "",
        escape(where(found)),
        "",
        escape(needs(found)),
        "",
    ]
    out += ["| alive at the peak | bytes | about | share | what it is |", "|:--|--:|--:|--:|:--|"]
    out += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in _budget(found)]
    out += ["", f"| per step, convention {escape(found.convention.name)} | exact | about |", "|:--|--:|--:|"]
    out += [f"| {' | '.join(row)} |" for row in _totals(found)]
    out += ["", "| largest at the peak | role | bytes |", "|:--|:--|--:|"]
    out += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in _largest(found)]
    out += ["", *(f"- {escape(note)}" for note in _notes(found))]
    return "\n".join(out) + "\n"


def _json(found: MemoryReport) -> str:
    run: dict[str, Any] = asdict(found.run)
    run["versions"] = dict(found.run.versions)
    step = asdict(found.step)
    step["options"] = dict(found.step.options)
    peak = asdict(found.peak)
    for key in ("by_role", "by_layer"):
        peak[key] = dict(peak[key])
    convention = asdict(found.convention)
    for key in ("prices", "layer_prices", "function_prices"):
        convention[key] = dict(convention[key])
    data = {
        "schema": 1,
        "convention": convention,
        "run": run,
        "step": step,
        "totals": asdict(found.totals),
        "peak": peak,
        "layers": [asdict(layer) for layer in found.layers],
        "timeline": {"ops": found.timeline.ops, "phases": found.timeline.phases, "bytes": found.timeline.bytes},
        "context_bytes": found.context_bytes,
        "needed_bytes": found.needed_bytes,
        "allocator": {**asdict(found.allocator), "assumptions": ASSUMPTIONS},
    }
    return as_json(data, indent=None)


def _html(found: MemoryReport) -> str:
    from vggcost.report.html import page

    return page(
        "memory.html.j2",
        modules=("theme",),
        title=f"Memory of a training step: {found.run.title}",
        setting=_setting(found),
        where=where(found),
        needs=needs(found),
        chart=Markup(timeline_svg(found, where(found))),
        budget=_budget(found),
        convention=found.convention.name,
        totals=_totals(found),
        largest=_largest(found),
        layers=[
            (layer.path or "(model)", layer.kind, *(exact(v) if v else "" for v in
             (layer.param_bytes, layer.saved_bytes, layer.gradient_bytes, layer.optimizer_bytes)))
            for layer in found.layers
        ],
        notes=_notes(found),
        versions=", ".join(f"{name} {version}" for name, version in found.run.versions),
    )  # fmt: skip


_RENDERERS: dict[str, Callable[[MemoryReport], str]] = {
    "table": _table,
    "markdown": _markdown,
    "json": _json,
    "html": _html,
}
MEMORY_FORMATS = tuple(_RENDERERS)


def render_memory(found: MemoryReport, format: str) -> str:
    """Write a memory report in one of `MEMORY_FORMATS`."""
    return _RENDERERS[format](found if format == "json" else inert(found))
