"""Pages: one file, no reference to any host, readable without JavaScript, the same bytes every run."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from markupsafe import Markup

from vggcost.records import CostTable
from vggcost.report.bars import bars
from vggcost.report.document import context
from vggcost.report.templates import environment, text

__all__ = ["fragment", "html", "page"]


def page(template: str, **values: Any) -> str:
    """Render a page with its style, which the content security policy allows by its hash."""
    style = text("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        environment()
        .get_template(template)
        .render(
            **values,
            style=Markup(style),
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        )
    )


def html(table: CostTable, depth: int | None = None) -> str:
    """Write the page of one model."""
    return page("report.html.j2", **context(table, depth), bars=Markup(bars(table, depth)))


def fragment(table: CostTable) -> str:
    """Write the report's body for a notebook, styled by the notebook."""
    part = environment().get_template("body.html.j2")
    return part.render(**context(table, None), bars=Markup(bars(table)))
