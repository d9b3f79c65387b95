"""`vggcost claims`: published statements, recomputed."""

from __future__ import annotations

import rich_click as click

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
    from vggcost.claims.ledger import about

    found = about(model, source)
    from vggcost import analyze
    from vggcost.claims.ledger import check
    from vggcost.cli.files import write
    from vggcost.report.claims import render_claims

    write(output, render_claims(check(found, analyze), format_))
