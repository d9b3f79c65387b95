"""`vggcost cache`: what is kept of earlier runs."""

from __future__ import annotations

import rich_click as click

from vggcost.cache import LIMIT, cache_of_user
from vggcost.cli.files import say
from vggcost.errors import OptionError
from vggcost.units import exact, human_bytes

__all__ = ["cache"]


@click.command()
@click.argument("action", type=click.Choice(("info", "clear")), default="info")
def cache(action: str) -> None:
    """Say what is kept of earlier runs (info), or remove it (clear).

    The tables that report, compare, diff and draw have traced are kept as JSON in $VGGCOST_CACHE, or else in the user's
    cache directory; VGGCOST_CACHE=off keeps none.
    """
    kept = cache_of_user()
    if kept is None:
        raise OptionError("VGGCOST_CACHE=off: nothing is kept")
    found = kept.clear() if action == "clear" else kept.kept()
    amount = f"{exact(found.entries)} tables, {human_bytes(found.nbytes)}"
    say(f"{found.folder}: " + (f"{amount} removed" if action == "clear" else f"{amount} of {human_bytes(LIMIT)}"))
