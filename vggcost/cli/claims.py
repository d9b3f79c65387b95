"""`vggcost claims`: published statements, recomputed."""

from __future__ import annotations

import rich_click as click

from vggcost.errors import ModelError
from vggcost.units import did_you_mean

__all__ = ["claims"]


@click.command()
@click.argument("model", required=False)
@click.option("--source", metavar="TEXT", help="Only sources whose name contains this.")
@click.option("--format", "format_", type=click.Choice(("table", "markdown", "json")), default="table", help="Form.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write; - is standard output.")
def claims(model: str | None, source: str | None, format_: str, output: str) -> None:
    """Recompute the published statements of the ledger, all or those about MODEL, and give each a verdict.

    exact, rounds (to what is printed), matches (read in the way that is named), or wrong.
    """
    from vggcost.claims.ledger import ledger
    from vggcost.zoo import find

    found = ledger()
    if model is not None:
        variant = find(model)
        name = variant.name if variant else model.lower()
        known = sorted({claim.model for claim in found})
        found = tuple(claim for claim in found if claim.model == name)
        if not found:
            raise ModelError(
                f"no claims about {model!r}{did_you_mean(name, known)}; there are some about {', '.join(known)}"
            )
    if source is not None:
        sources = sorted({claim.source for claim in found})
        found = tuple(claim for claim in found if source.lower() in claim.source.lower())
        if not found:
            raise ModelError(f"no claims from a source like {source!r}; sources: {'; '.join(sources)}")
    from vggcost import analyze
    from vggcost.claims.ledger import check
    from vggcost.cli.files import write
    from vggcost.report.claims import render_claims

    write(output, render_claims(check(found, analyze), format_))
