"""`vggcost stack`: one k×k convolution against a stack of 3×3."""

from __future__ import annotations

import rich_click as click

__all__ = ["stack"]


@click.command()
@click.option("--kernel", type=int, default=7, show_default=True, help="k, odd.")
@click.option("--channels", type=int, default=512, show_default=True, help="C, output channels of every layer.")
@click.option("--in-channels", type=int, help="Input channels.  [default: C]")
@click.option("--size", type=int, default=14, show_default=True, help="Side of the input map.")
@click.option("--bias/--no-bias", default=False, show_default=True, help="Layers with or without bias.")
@click.option("--relu/--no-relu", default=True, show_default=True, help="A ReLU after each layer.")
@click.option(
    "--padding", type=click.Choice(("same", "valid")), default="same", show_default=True, help="same, or none."
)
@click.option(
    "--format", "format_", type=click.Choice(("table", "markdown", "json", "html")), help="Form.  [default: table]"
)
@click.option("--html", "as_html", is_flag=True, help="Short for --format html -o stack.html.")
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output.  [default: -]")
def stack(
    kernel: int,
    channels: int,
    in_channels: int | None,
    size: int,
    bias: bool,
    relu: bool,
    padding: str,
    format_: str | None,
    as_html: bool,
    output: str | None,
) -> None:
    """Set one k×k convolution against the stack of 3×3 that sees as far, on paper and traced."""
    if as_html and format_ not in (None, "html"):
        raise click.UsageError(f"--html and --format {format_} contradict each other; give one of them")
    from vggcost.cost.stack import stack_form

    stack_form(kernel)  # a wrong kernel is said before torch is loaded
    from vggcost._stack import compare_stack
    from vggcost.cli.files import write
    from vggcost.report.stack import render_stack

    found = compare_stack(kernel, channels, in_channels, size, bias=bias, relu=relu, same=padding == "same")
    write(output or ("stack.html" if as_html else "-"), render_stack(found, "html" if as_html else format_ or "table"))
