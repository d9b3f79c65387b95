"""`vggcost report`: a model's cost as a document."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import rich_click as click

from vggcost.cli.options import (
    assume_option,
    batch_option,
    cache_option,
    convention_option,
    factory_options,
    inputs_option,
    loss_option,
    mode_option,
    template_option,
)
from vggcost.cli.sources import read_table
from vggcost.errors import OptionError, TraceError

__all__ = ["read_options", "report"]

_FORMATS = ("table", "html", "markdown", "csv", "json", "jsonl", "latex")
_TEMPLATES = ("html", "markdown", "latex")


@click.command()
@click.argument("model", required=False)
@inputs_option
@assume_option
@batch_option
@factory_options
@click.option("--dense", is_flag=True, help="Fully connected layers of a zoo net as convolutions: -k dense=true.")
@click.option("--fuse", is_flag=True, help="First call the model's own fuse, reparameterize or switch_to_deploy.")
@click.option(
    "--fallback", metavar="cpu", default="", help="Where the model cannot run on meta, run it on real CPU tensors."
)
@click.option("--dtype", default="", help="float32, float16, bfloat16 or float64.  [default: as the model has it]")
@click.option("--partial", is_flag=True, help="Where the run stops, report the rows until there; exit status 2.")
@mode_option
@loss_option
@convention_option
@click.option("--depth", type=click.IntRange(1, 10**6), help="Fold layers nested deeper than this.")
@click.option(
    "--format", "format_", type=click.Choice(_FORMATS), default=None, help="Form of the report.  [default: table]"
)
@click.option("--html", "as_html", is_flag=True, help="Short for --format html -o MODEL.html.")
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output.  [default: -]")
@click.option(
    "--from", "saved", metavar="FILE", help="Render a table saved as JSON (- is standard input); needs no torch."
)
@click.option(
    "--charts", "with_charts", is_flag=True, help="With --format markdown -o FILE: the charts as SVG beside it, linked."
)
@template_option
@cache_option
@click.option("--strict", is_flag=True, help="Exit with status 1 if an op is unknown to the convention.")
def report(
    model: str | None,
    inputs: Any,
    assume: dict[str, int],
    batch: int,
    options: tuple[str, ...],
    dense: bool,
    fuse: bool,
    fallback: str,
    dtype: str,
    partial: bool,
    mode: str,
    loss: str | None,
    convention: str,
    depth: int | None,
    format_: str | None,
    as_html: bool,
    output: str | None,
    saved: str | None,
    with_charts: bool,
    template_dir: str | None,
    cached: bool,
    strict: bool,
) -> int:
    """Say what MODEL costs, layer by layer.

    MODEL is a name of the zoo (vggcost models), torchvision:NAME, timm:NAME, hf:NAME, hf:./config.json,
    ./file.py:factory, package.module:factory or ./model.pt2.

    vggcost report vgg16 --html writes vgg16.html and prints its path.
    """
    if (model is None) == (saved is None):
        raise click.UsageError("give one of MODEL and --from FILE")
    if as_html and format_ not in (None, "html"):
        raise click.UsageError(f"--html and --format {format_} contradict each other; give one of them")
    stopped, beside = "", None
    form = "html" if as_html else format_ or "table"
    if with_charts and (form != "markdown" or output in (None, "-")):
        raise click.UsageError("--charts writes files beside a Markdown file; give --format markdown -o FILE with it")
    if template_dir is not None and form not in _TEMPLATES:
        raise click.UsageError(f"no template makes the format {form}; --template-dir goes with {', '.join(_TEMPLATES)}")
    if saved is not None:
        table = read_table(saved)
    else:
        from vggcost._analyze import Said
        from vggcost.cli.cached import run_cached

        assert model is not None
        given = read_options((*options, "dense=true") if dense else options)
        said = Said(batch, mode, convention, True, assume, fuse, fallback, dtype, given, loss)
        try:
            if form == "html":
                from vggcost._page import page_of

                table, beside = page_of(model, inputs, said)
            else:
                table = run_cached(model, inputs, said, cached)
        except TraceError as error:
            if not partial or error.table is None:
                raise
            table, stopped = error.table, str(error)
    from vggcost.cli.files import complain, file_name, write
    from vggcost.report import render
    from vggcost.report.html import html
    from vggcost.report.markdown import charts, markdown
    from vggcost.report.templates import templates_from

    name = model if model is not None else table.run.model
    target = output or (f"{file_name(name)}.html" if as_html else "-")
    drawn = charts(table, Path(target).stem, depth) if with_charts else ()
    with templates_from(template_dir):
        if with_charts:
            text = markdown(table, depth, drawn)
        else:
            text = html(table, depth, beside, stopped=bool(stopped)) if form == "html" else render(table, form, depth)
    for chart in drawn:
        write(str(Path(target).with_name(chart.file)), chart.svg)
    write(target, text)
    if stopped:
        complain(f"vggcost: only the rows until the run stopped: {stopped}")
    unknown = table.coverage.unknown
    if unknown:
        ops = ", ".join(op for op, _ in unknown)
        complain(f"vggcost: {len(unknown)} unknown to convention {table.convention.name}, counted as 0: {ops}")
    return 2 if stopped else 1 if strict and unknown else 0


def read_options(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read `key=value` pairs: Python literals, true, false and none; anything else is text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not all(part.isidentifier() for part in key.split(".")):
            raise OptionError(f"cannot read -k {pair!r}; write it as -k key=value, such as -k classes=10")
        literals = {"true": True, "false": False, "none": None}
        try:
            options[key] = literals[value.lower()] if value.lower() in literals else ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            options[key] = value
    words = {
        "assume",
        "fuse",
        "fallback",
        "model_or_name",
        "inputs",
        "batch",
        "mode",
        "convention",
        "saved",
        "optimizer",
        "optimizer_options",
        "freeze",
    }
    clash = (words | {"dtype", "accumulate", "device", "context", "attention", "loss"}) & options.keys()
    if clash:
        raise OptionError(f"-k {clash.pop()} is vggcost's own word; a factory's argument cannot have this name")
    return options
