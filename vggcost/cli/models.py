"""`vggcost models`: what the zoo and the libraries hold."""

from __future__ import annotations

import rich_click as click

from vggcost import zoo
from vggcost.cli.files import say
from vggcost.errors import ModelError

__all__ = ["models"]


@click.command()
@click.argument("pattern", default="*")
def models(pattern: str) -> None:
    """List the models whose name matches PATTERN.

    A pattern such as 'vgg16*' or bn is of the zoo's names and aliases; with a library in front it is of that
    library's: 'timm:*resnet*', 'torchvision:*', 'hf:llama'.
    """
    if ":" in pattern:
        from vggcost.load import matching

        names = matching(pattern)
        if not names:
            place = pattern.partition(":")[0]
            raise ModelError(f"no model matches {pattern!r}; 'vggcost models {place}:' lists all of {place}")
        say(*names)
        return
    found = zoo.matching(pattern)
    if not found:
        raise ModelError(f"no model of the zoo matches {pattern!r}; 'vggcost models' lists all of them")
    width = max(len(variant.name) for variant in found)
    also = [f"; also {', '.join(variant.aliases)}" if variant.aliases else "" for variant in found]
    say(*(f"{v.name:<{width}}  {v.title}; {v.paper}{names}" for v, names in zip(found, also, strict=True)))
