"""A Sphinx extension: tables and figures of the baseline and of saved tables, so that a docs build needs no torch.

With `extensions = ["vggcost.sphinx"]` in conf.py there is a directive and a role, in reStructuredText

    .. vggcost:: compare
       :models: mine, tables/vgg16.json
       :columns: params, macs

    It has :vggcost:`mine.params format="M"` parameters.

and in MyST the same as {vggcost}. They take what the markers of `vggcost docs` take. No model is run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from vggcost import __version__
from vggcost.errors import VggcostError
from vggcost.guard.figures import Figures
from vggcost.guard.markers import read_words
from vggcost.guard.tables import KINDS, figure, grid
from vggcost.inert import inert
from vggcost.report.grid import Grid

__all__ = ["setup"]

_WORDS = sorted({word for kind in KINDS.values() for word in kind.words})


class _Table(SphinxDirective):
    """A table that is made anew at each build."""

    optional_arguments = 1
    option_spec: dict[str, Callable[[str], Any]] = dict.fromkeys(_WORDS, directives.unchanged_required)

    def run(self) -> list[nodes.Node]:
        """Make the table, or an error at this line."""
        figures = _figures(self)
        kind = self.arguments[0] if self.arguments else "compare"
        try:
            made = grid(kind, self.options, figures, _folder(self), "vggcost")
        except VggcostError as error:
            raise self.error(str(error)) from None
        finally:
            _depends_on(self, figures)
        return _nodes(made)


class _Figure(SphinxRole):
    """A single figure inside a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Write the figure, or an error at this line."""
        figures = _figures(self)
        try:
            subject, words = read_words(self.text, "vggcost")
            text = figure(subject, words, figures, _folder(self), "vggcost")
            return [nodes.inline("", text, classes=["vggcost"])], []
        except VggcostError as error:
            message = self.inliner.reporter.error(str(error), line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        finally:
            _depends_on(self, figures)


def _folder(place: _Table | _Figure) -> Path:
    return Path(place.env.doc2path(place.env.docname)).parent


def _figures(place: _Table | _Figure) -> Figures:
    """What was read for this document so far."""
    found: Figures = place.env.temp_data.setdefault("vggcost", Figures())
    return found


def _depends_on(place: _Table | _Figure, figures: Figures) -> None:
    """Read the document again when a table or the baseline changes."""
    for path in figures.files:
        place.env.note_dependency(str(path.resolve()))


def _nodes(made: Grid) -> list[nodes.Node]:
    """Lay a grid out as a table with what stands under it."""
    made = inert(made)
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in made.titles), cols=len(made.titles))
    group += nodes.thead("", _row(made.titles, made.left))
    group += nodes.tbody("", *(_row(row, made.left) for row in made.rows))
    notes = nodes.line_block("", *(nodes.line("", note) for note in made.notes))
    return [nodes.table("", group, classes=["vggcost"]), *([notes] if made.notes else [])]


def _row(cells: tuple[str, ...], left: tuple[int, ...]) -> nodes.row:
    return nodes.row(
        "",
        *(
            nodes.entry("", nodes.paragraph("", text), classes=[] if place in left else ["text-right"])
            for place, text in enumerate(cells)
        ),
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive and the role; Sphinx calls this."""
    app.add_directive("vggcost", _Table)
    app.add_role("vggcost", _Figure())
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}
