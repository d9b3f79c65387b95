"""Pages: one file, no reference to any host, readable without JavaScript, the same bytes every run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from vggcost.inert import inert
from vggcost.records import PARAMETERS, CostTable
from vggcost.report.document import context
from vggcost.report.script import bundle
from vggcost.report.templates import environment, text

if TYPE_CHECKING:
    from vggcost.report.model_page import Beside

__all__ = ["html", "page"]


def page(template: str, *, modules: Sequence[str] = (), styles: Sequence[str] = ("report.css",), **values: Any) -> str:
    """Render a page with its styles and its scripts, which the content security policy allows by their hashes."""
    style = "".join(map(text, styles))
    scripts = [bundle(name) for name in modules]
    policy = ["default-src 'none'", f"style-src {_hash(style)}"]
    policy += [f"script-src {' '.join(map(_hash, scripts))}"] if scripts else []
    return (
        environment()
        .get_template(template)
        .render(
            **values,
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            policy="; ".join([*policy, "base-uri 'none'", "form-action 'none'"]),
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def html(table: CostTable, depth: int | None = None, beside: Beside | None = None, *, stopped: bool = False) -> str:
    """Write the page of one model.

    Args:
        table: its costs.
        depth: fold the bars, and the rows that a reader without a script sees, below this depth.
        beside: what else is known of the model; None: nothing.
        stopped: whether the run stopped before its end, so that nothing else is known.
    """
    if table.run.mode == PARAMETERS:
        return page("parameters.html.j2", **context(inert(table), depth))
    from vggcost.report.model_page import Beside, model_page
    from vggcost.report.scaling import SAVED, STOPPED

    values = model_page(inert(table), depth, inert(beside) or Beside(STOPPED if stopped else SAVED))
    return page("report.html.j2", modules=("theme", "report"), **values)
