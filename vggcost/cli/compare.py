"""`vggcost compare`: several models side by side."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import rich_click as click

from vggcost.cli.options import (
    batch_option,
    cache_option,
    convention_option,
    inputs_option,
    mode_option,
    template_option,
)
from vggcost.cli.sources import is_saved, table_of
from vggcost.zoo import FAMILIES
from vggcost.zoo import family as members

__all__ = ["compare"]

_FORMATS = ("table", "markdown", "csv", "json", "latex", "html")
_TEMPLATES = ("html", "latex")


@click.command()
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--family", help=f"A family of the zoo: {', '.join(FAMILIES)}.")
@inputs_option
@batch_option
@mode_option
@convention_option
@click.option("--columns", metavar="A,B,…", help="Columns, in order; 'all' for all of them.")
@click.option("--sort", metavar="COLUMN", help="Sort by a column; -COLUMN puts the largest first.")
@click.option("--baseline", metavar="MODEL", help="Give ratios to this model.")
@click.option(
    "--allow-different-inputs", is_flag=True, help="Give ratios although inputs, modes or conventions differ."
)
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="Form of the comparison.  [default: table]")
@click.option("--html", "as_html", is_flag=True, help="Short for --format html -o NAME.html.")
@template_option
@cache_option
@click.option(
    "--from", "swept", metavar="FILE", help="The results of vggcost sweep: thousands of rows in place of MODELs."
)
@click.option(
    "--axes",
    metavar="X,Y",
    help="With --from: the figures whose front is looked for.  [default: macs,error or macs,activation_bytes]",
)
@click.option(
    "--errors", metavar="FILE.csv", help="With --from: published errors; columns model and top1_error, or top1 in %."
)
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output.  [default: -]")
def compare(
    models: tuple[str, ...],
    family: str | None,
    inputs: Any,
    batch: int,
    mode: str,
    convention: str,
    columns: str | None,
    sort: str | None,
    baseline: str | None,
    allow_different_inputs: bool,
    format_: str | None,
    as_html: bool,
    template_dir: str | None,
    cached: bool,
    swept: str | None,
    axes: str | None,
    errors: str | None,
    output: str | None,
) -> None:
    """Put MODELs side by side: names as for report, or tables saved as FILE.json (these need no torch)."""
    names = [*(members(family) if family is not None else ()), *models]
    if swept is not None:
        from vggcost.cli.compare_sweep import compare_sweep

        others = {
            "MODEL": names, "--input": inputs, "--baseline": baseline, "--template-dir": template_dir,
            "--format latex": format_ == "latex",
        }  # fmt: skip
        if wrong := [name for name, value in others.items() if value]:
            raise click.UsageError(f"--from shows the rows of a sweep; {', '.join(wrong)} does not go with it")
        compare_sweep(swept, columns, sort, axes, errors, "html" if as_html else format_ or "table", as_html, output)
        return
    if axes or errors:
        raise click.UsageError("--axes and --errors go with --from")
    if not names:
        raise click.UsageError("give models to compare, --family, or --from FILE")
    if as_html and format_ not in (None, "html"):
        raise click.UsageError(f"--html and --format {format_} contradict each other; give one of them")
    form = "html" if as_html else format_ or "table"
    if template_dir is not None and form not in _TEMPLATES:
        raise click.UsageError(f"no template makes the format {form}; --template-dir goes with {', '.join(_TEMPLATES)}")
    from vggcost.cli.files import file_name, write
    from vggcost.report.compare_text import render_comparison
    from vggcost.report.comparison import COLUMNS, DEFAULT_COLUMNS
    from vggcost.report.comparison import compare as side_by_side
    from vggcost.report.templates import templates_from

    chosen = list(COLUMNS) if columns == "all" else columns.split(",") if columns else DEFAULT_COLUMNS
    # A wrong column is found before anything is traced.
    side_by_side([], chosen, sort)
    tables = [table_of(name, inputs, batch=batch, mode=mode, convention=convention, cached=cached) for name in names]
    result = side_by_side(tables, chosen, sort, baseline, allow_different_inputs)
    if inputs is None and not any(map(is_saved, names)):
        given = {
            "--family": family, "--batch": batch if batch > 1 else None, "--mode": mode if mode != "inference" else None,
            "--convention": convention if convention != "torch" else None, "--columns": columns, "--sort": sort,
            "--baseline": baseline,
        }  # fmt: skip
        options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        flags = ["--allow-different-inputs"] if allow_different_inputs else []
        result = replace(result, command=shlex.join(["vggcost", "compare", *models, *options, *flags]))
    default = f"{family or '-'.join(file_name(name) for name in names[:4])}.html" if as_html else "-"
    with templates_from(template_dir):
        text = render_comparison(result, form)
    write(output or default, text)
