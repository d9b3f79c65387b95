"""The options that several commands share, written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click

from vggcost.reading import read_stdin

__all__ = [
    "assume_option",
    "batch_option",
    "cache_option",
    "convention_option",
    "factory_options",
    "inputs_option",
    "loss_option",
    "mode_option",
    "template_option",
]

Command = Callable[..., Any]


def inputs_option(function: Command) -> Command:
    """Add `-i` and `--input-json`; the command gets what was given as `inputs`, in a form that `analyze` takes."""

    @click.option(
        "-i",
        "--input",
        "texts",
        metavar="INPUT",
        multiple=True,
        help="An input; may be repeated. By position without the batch: 3x224x224, 128:int64. By name with every "
        "size: input_ids=1x128:int64. Token ids: tokens:1x128. Values: lengths=[5,3,2], a plain one n=value:3. Alone, none: no run, the parameters only.",
    )
    @click.option(
        "--input-json",
        metavar="FILE",
        help='Inputs as JSON (- is standard input): an object of keyword arguments or a list; {"shape": [1, 128], '
        '"dtype": "int64"} is a tensor, and so is {"values": [5, 3, 2]}.',
    )
    @wraps(function)
    def command(*args: Any, texts: tuple[str, ...], input_json: str | None, **options: Any) -> Any:
        return function(*args, inputs=_inputs(texts, input_json), **options)

    return command


def _inputs(texts: tuple[str, ...], input_json: str | None) -> Any:
    if texts and input_json is not None:
        raise click.UsageError("-i and --input-json both say what goes in; give one of them")
    if input_json is None:
        return texts or None
    if input_json != "-":
        return Path(input_json)
    from vggcost.load import JsonText

    return JsonText.decoded(read_stdin(), "standard input")


def assume_option(function: Command) -> Command:
    """Add `--assume`; the command gets a dict of what was stated."""

    @click.option(
        "--assume",
        "stated",
        metavar="OP=NUMBER",
        multiple=True,
        help="What an outcome that depends on data is taken to be: nonzero=100, unique, nms, item; of one layer as "
        "roi_heads:nonzero=100. May be repeated.  [default: all there can be]",
    )
    @wraps(function)
    def command(*args: Any, stated: tuple[str, ...], **options: Any) -> Any:
        return function(*args, assume=_assumed(stated), **options)

    return command


def _assumed(stated: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for text in stated:
        key, equals, number = text.rpartition("=")
        if not equals or not key or not number.removeprefix("-").isdigit():
            raise click.UsageError(f"cannot read --assume {text!r}; write it as --assume nonzero=100")
        found[key] = int(number)
    return found


batch_option = click.option("-b", "--batch", type=int, default=1, show_default=True, help="Batch size N.")
factory_options = click.option(
    "-k", "options", metavar="KEY=VALUE", multiple=True, help="Option of the model's factory; may be repeated."
)
cache_option = click.option(
    "--no-cache", "cached", is_flag=True, flag_value=False, default=True, help="Trace anew, and keep nothing of it."
)
mode_option = click.option(
    "--mode", default="inference", show_default=True, help="inference, or training: forward, loss and backward."
)
convention_option = click.option(
    "--convention",
    default="torch",
    show_default=True,
    help="What counts as a FLOP: torch, full, fvcore, timm or convnet-burden, or one's own.",
)
loss_option = click.option(
    "--loss",
    metavar="NAME",
    help="Function that maps the output to the loss of a training step: ./file.py:function.  [default: the output's own "
    "loss, cross-entropy of logits, or the sum]",
)
template_option = click.option(
    "--template-dir",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="A folder whose templates go before the shipped ones of the same name; as code, only of people you trust.",
)
