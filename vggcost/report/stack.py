"""The argument of 3×3 filters against a larger one, as text, Markdown, JSON and a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from markupsafe import Markup

from vggcost.cost.stack import Side, StackComparison, break_even, output_size, side_of, stack_form, symbolic
from vggcost.inert import as_json
from vggcost.report.curves import curves
from vggcost.report.grid import Grid
from vggcost.report.html import page
from vggcost.report.script import json_text
from vggcost.report.stack_drawing import drawing
from vggcost.units import exact, human_count

__all__ = ["STACK_FORMATS", "on_paper", "render_stack", "stack_grid", "stack_values"]

_TITLES = {
    "weights": "weights", "params": "params", "macs": "MACs", "activations": "activations",
    "saved_bytes": "saved bytes", "receptive_field": "receptive field", "nonlinearities": "non-linearities",
    "output_size": "output side",
}  # fmt: skip


def _names(found: StackComparison) -> tuple[str, str]:
    kernel, layers = found.form.kernel, found.form.layers
    return f"one {kernel}×{kernel}", f"{layers} × 3×3"


def _rows(found: StackComparison) -> list[tuple[str, str, str, str]]:
    rows = []
    for item in fields(Side):
        single, stack = getattr(found.single, item.name), getattr(found.stack, item.name)
        ratio = f"×{stack / single:.2f}" if single else ""
        rows.append((_TITLES[item.name], exact(single), exact(stack), ratio))
    return rows


def _setting(found: StackComparison) -> str:
    padding = "padded to the same size" if found.same else "without padding"
    bias = "with bias" if found.bias else "biases left out"
    relu = "a ReLU in place after each layer" if found.relu else "no ReLU"
    ends = (
        f"{exact(found.in_channels)} → {exact(found.channels)} channels"
        if found.in_channels != found.channels
        else f"{exact(found.channels)} channels"
    )
    how = "traced, and equal to the closed form" if found.experiments else "by the closed form"
    return f"{ends}, input {found.size}×{found.size}, {padding}, {bias}, {relu}; float32, one image; {how}."


def _sentences(found: StackComparison) -> list[str]:
    kernel, layers, size = found.form.kernel, found.form.layers, found.size
    one, many = output_size(size, kernel, 1, False), output_size(size, 3, layers, False)
    steps = f"(n − {kernel})/1 + 1 = n − {kernel - 1}, and {layers} steps of (n − 3)/1 + 1 = n − {2 * layers}"
    sentences = [
        f"Weights: {symbolic(kernel)}.",
        f"Output without padding: {steps}" + (f": {one} and {many} for n = {size}." if one > 0 else "."),
        f"The price: the stack makes {layers} maps where the single layer makes one, so at equal map size it has {layers} times "
        "the activations and keeps as many times the bytes for the backward pass.",
    ]
    ratio = break_even(kernel)
    if ratio is not None:
        sentences.append(
            f"Where the widths differ: the stack stops being cheaper in weights when C_out/C_in reaches {ratio} "
            f"= {float(ratio):.2f}; here it is {found.channels / found.in_channels:.2f}."
        )
    return sentences


def _tried(found: StackComparison) -> list[tuple[str, str, str, str, str]]:
    """The paper's own nets: name, conv params, MACs, published error, what was changed."""
    return [(e.title, human_count(e.conv_params), human_count(e.macs), e.top1_error, e.note) for e in found.experiments]


def _table(found: StackComparison) -> str:
    single, stack = _names(found)
    out = [_setting(found), "", f"{'':<16}{single:>18}{stack:>18}{'ratio':>9}"]
    out += [f"{name:<16}{a:>18}{b:>18}{ratio:>9}" for name, a, b, ratio in _rows(found)]
    out += ["", *_sentences(found), "", "What the paper tried (arXiv:1409.1556):"]
    out += [
        f"  {name:<16}{params:>11}{macs:>11}  {error:<18}{note}" for name, params, macs, error, note in _tried(found)
    ]
    return "\n".join(out) + "\n"


def stack_grid(found: StackComparison) -> Grid:
    """Lay the two sides out as text, with what they mean under them."""
    return Grid(("", *_names(found), "ratio"), tuple(_rows(found)), (_setting(found), *_sentences(found)))


def _markdown(found: StackComparison) -> str:
    single, stack = _names(found)
    rows = [f"| {name} | {a} | {b} | {ratio} |" for name, a, b, ratio in _rows(found)]
    head = [_setting(found), "", f"| | {single} | {stack} | ratio |", "|:--|--:|--:|--:|"]
    tried = [f"| {' | '.join(cells)} |" for cells in _tried(found)]
    table = ["| what the paper tried | conv params | MACs | top-1 error | |", "|:--|--:|--:|--:|:--|", *tried]
    return "\n".join([*head, *rows, "", *(f"- {text}" for text in _sentences(found)), "", *table]) + "\n"


def _json(found: StackComparison) -> str:
    form = found.form
    data = {
        "schema": 1,
        "kernel": form.kernel,
        "channels": found.channels,
        "in_channels": found.in_channels,
        "size": found.size,
        "bias": found.bias,
        "relu": found.relu,
        "padding": "same" if found.same else "valid",
        "single": asdict(found.single),
        "stack": asdict(found.stack),
        "experiments": [asdict(experiment) for experiment in found.experiments],
        "closed_form": {
            "layers": form.layers,
            "single": f"{form.single}C^2",
            "stack": f"{form.stack}C^2",
            "saved": f"{form.saved}C^2",
            "percent_more": form.percent_more,
            "break_even_out_over_in": None if found.break_even is None else str(break_even(form.kernel)),
        },
    }
    return as_json(data)


def on_paper(kernel: int = 7, channels: int = 512, size: int = 14) -> StackComparison:
    """Compare by the closed forms alone, without biases, with ReLUs, padded to the same size."""
    form = stack_form(kernel)
    sides = [
        side_of(k, layers, channels, channels, size, bias=False, relu=True, same=True)
        for k, layers in ((kernel, 1), (3, form.layers))
    ]
    return StackComparison(form, channels, channels, size, False, True, True, sides[0], sides[1], ())


_KERNELS = (3, 5, 7, 9, 11, 13, 15)


def stack_values(found: StackComparison, widths: bool = False) -> dict[str, Any]:
    """Collect what the section of a page shows, and where its script starts.

    Args:
        found: the comparison.
        widths: whether it also shows how the bargain follows the widths at the two ends.
    """
    kernel = found.form.kernel
    kernels = sorted({*_KERNELS, kernel})
    single, stack = _names(found)
    start = {
        "kernels": kernels, "kernel": kernel, "channels": found.channels, "in_channels": found.in_channels,
        "size": found.size, "bias": found.bias, "relu": found.relu, "same": found.same, "setting": _setting(found),
    }  # fmt: skip
    return {
        "start": start,
        "bargain": {
            "single": single,
            "stack": stack,
            "setting": _setting(found),
            "rows": _rows(found),
            "sentences": _sentences(found),
            "drawings": [(k, Markup(drawing(k)), k == kernel) for k in kernels],
            "by_kernel": Markup(_by_kernel([k for k in kernels if k <= max(_KERNELS)])),
            "by_width": [(k, Markup(_by_width(k)), k == kernel) for k in kernels if k > 3] if widths else [],
            "last": len(kernels) - 1,
            "at": kernels.index(kernel),
            "channels": found.channels,
            "size": found.size,
        },
    }


def _by_kernel(kernels: list[int]) -> str:
    forms = [stack_form(k) for k in kernels]
    both = [
        ("one k×k", kernels, [form.single for form in forms]),
        ("stack of 3×3", kernels, [form.stack for form in forms]),
    ]
    return curves(both, "Weights in C² against the kernel", "k", "weights, C²", kernels)


def _by_width(kernel: int) -> str:
    ratio, layers = break_even(kernel), stack_form(kernel).layers
    assert ratio is not None  # only a kernel of 3 has none
    points = [float(ratio) * n / 10 for n in range(1, 21)]
    both = [
        (f"one {kernel}×{kernel}", points, [kernel * kernel * r for r in points]),
        (f"{layers} × 3×3", points, [9 * r + 9 * (layers - 1) * r * r for r in points]),
    ]
    title = f"Where the stack stops being cheaper: C_out/C_in = {ratio}"
    return curves(both, title, "C_out / C_in", "weights, C_in²")


def _html(found: StackComparison) -> str:
    single, stack = _names(found)
    values = stack_values(found, widths=True)
    return page(
        "stack.html.j2",
        modules=("theme", "stack_page"),
        styles=("report.css", "compare.css"),
        title=f"{stack} against {single}",
        sentences=_sentences(found),
        tried=_tried(found),
        data=Markup(json_text({"stack": values["start"]})),
        bargain=values["bargain"],
    )


_RENDERERS: dict[str, Callable[[StackComparison], str]] = {
    "table": _table,
    "markdown": _markdown,
    "json": _json,
    "html": _html,
}
STACK_FORMATS = tuple(_RENDERERS)


def render_stack(found: StackComparison, format: str) -> str:
    """Write the comparison in one of `STACK_FORMATS`."""
    return _RENDERERS[format](found)
