"""`vggcost models`: what the zoo holds."""

from __future__ import annotations

import rich_click as click

from vggcost import zoo
from vggcost.errors import ModelError

__all__ = ["models"]


@click.command()
@click.argument("pattern", default="*")
def models(pattern: str) -> None:
    """List the models of the zoo whose name or alias matches PATTERN, such as 'vgg16*' or bn."""
    found = zoo.matching(pattern)
    if not found:
        raise ModelError(f"no model of the zoo matches {pattern!r}; 'vggcost models' lists all of them")
    width = max(len(variant.name) for variant in found)
    for variant in found:
        also = f"; also {', '.join(variant.aliases)}" if variant.aliases else ""
        print(f"{variant.name:<{width}}  {variant.title}; {variant.paper}{also}")
