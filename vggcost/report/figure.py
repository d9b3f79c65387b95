"""A figure in a sentence: text for those without a script, and what the page's script keeps up to date."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from vggcost.units import exact, human_bytes, human_count

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Figure", "Inputs", "marked"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A whole number and how it is written.

    Attributes:
        name: what it is, as `templates/js/figures.js` finds it: a column's total (`macs`), the bytes of a line of the
            memory section (`m0`, `m2-m0`), a need (`peak`), or the number itself.
        form: `exact`, `count`, `bytes`, or the unit of a count, such as `MACs`.
        value: the number as it was run.

    Example:
        >>> str(Figure("macs", "MACs", 15470264320))
        '15.47 GMACs'
        >>> Figure("macs", "MACs", 15470264320).__html__()
        '<span data-f="macs MACs">15.47 GMACs</span>'
    """

    name: str
    form: str
    value: int

    def __str__(self) -> str:
        if self.form == "exact":
            return exact(self.value)
        if self.form == "bytes":
            return human_bytes(self.value)
        return human_count(self.value, "" if self.form == "count" else self.form)

    def __html__(self) -> str:
        return f'<span data-f="{escape(self.name)} {escape(self.form)}">{escape(str(self))}</span>'


class Inputs(str):
    """What goes in, in words that follow the controls."""

    __slots__ = ()

    def __html__(self) -> str:
        return f"<span data-goes>{escape(self)}</span>"


def marked(parts: Iterable[str | Figure]) -> Markup:
    """Put a sentence together; its words are escaped, its figures follow the controls."""
    from markupsafe import Markup

    return Markup("").join(parts)
