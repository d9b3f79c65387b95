"""The argument of 3×3 filters against a larger one, as text, Markdown, JSON and a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields

from markupsafe import Markup

from vggcost.cost.stack import Side, StackComparison, break_even, output_size, stack_form, symbolic
from vggcost.report.charts import PALETTE, lines
from vggcost.report.grid import Grid
from vggcost.report.html import page
from vggcost.units import exact, human_count

__all__ = ["STACK_FORMATS", "drawing", "render_stack", "stack_grid"]

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
    return f"{ends}, input {found.size}×{found.size}, {padding}, {bias}, {relu}; float32, one image; traced, and equal to the closed form."


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
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def drawing(kernel: int, cell: int = 15) -> str:
    """Draw how the receptive field of one output position grows: 3, 5, 7, … input pixels, layer by layer.

    Returns:
        An `<svg>` element.
    """
    layers = stack_form(kernel).layers
    shown = min(layers, 5)
    side = 2 * shown + 1
    gap, top = 34, 26
    width, height = (shown + 1) * (side * cell + gap) - gap + 2, top + side * cell + 24
    title = f"The receptive field of a stack of 3×3 grows by 2 a layer: 1, {', '.join(str(2 * n + 1) for n in range(1, shown + 1))}"
    parts = [
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{title}</title>",
    ]
    for layer in range(shown + 1):
        x0, half = layer * (side * cell + gap) + 1, shown - layer
        field = 2 * half + 1
        name = "input" if layer == 0 else f"after {layer} of {shown}" if layer < shown else "output"
        parts.append(f'<text class="ink" x="{x0}" y="12" fill="#444">{name}: {field}×{field}</text>')
        for row in range(side):
            for column in range(side):
                seen = abs(row - shown) <= half and abs(column - shown) <= half
                step = abs(row - shown) <= 1 + half - 1 and seen
                fill = PALETTE[0] if seen and step else "none"
                ring = max(abs(row - shown), abs(column - shown))
                opacity = f' fill-opacity="{1 - 0.75 * ring / max(half, 1):.2f}"' if seen and half else ""
                parts.append(
                    f'<rect x="{x0 + column * cell}" y="{top + row * cell}" width="{cell}" height="{cell}" '
                    f'fill="{fill}"{opacity} stroke="#999" stroke-width="0.6"/>'
                )
        if layer < shown:
            x = x0 + side * cell + 7
            y = top + side * cell / 2
            parts.append(f'<text class="ink" x="{x}" y="{y + 4}" fill="#444">→</text>')
    parts.append("</svg>")
    return "\n".join(parts)


def _html(found: StackComparison) -> str:
    kernels = [3, 5, 7, 9, 11, 13, 15]
    forms = [stack_form(k) for k in kernels]
    by_kernel = lines(
        [
            ("one k×k", kernels, [form.single for form in forms]),
            ("stack of 3×3", kernels, [form.stack for form in forms]),
        ],
        "Weights in C² against the kernel",
        "k",
        "weights, C²",
    )
    kernel = found.form.kernel
    ratio = break_even(kernel)
    by_width = ""
    if ratio is not None:
        layers = found.form.layers
        points = [float(ratio) * n / 10 for n in range(1, 21)]
        by_width = lines(
            [
                (f"one {kernel}×{kernel}", points, [kernel * kernel * r for r in points]),
                (f"{layers} × 3×3", points, [9 * r + 9 * (layers - 1) * r * r for r in points]),
            ],
            f"Where the stack stops being cheaper: C_out/C_in = {ratio}",
            "C_out / C_in",
            "weights, C_in²",
        )
    single, stack = _names(found)
    return page(
        "stack.html.j2",
        title=f"{stack} against {single}",
        setting=_setting(found),
        single=single,
        stack=stack,
        rows=_rows(found),
        sentences=_sentences(found),
        tried=_tried(found),
        figures=[Markup(drawing(kernel)), *(Markup(svg) for svg in (by_kernel, by_width) if svg)],
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
