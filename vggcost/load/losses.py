"""The loss that a user gives: a function, or where it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vggcost.errors import OptionError
from vggcost.load.aside import aside
from vggcost.load.given_back import IMPORTED, given_back
from vggcost.load.user import load_function

__all__ = ["GivenLoss", "loss_of"]


@dataclass(frozen=True, slots=True)
class GivenLoss:
    """A function from a model's output to its loss; `text` is how a command names it, empty where none can."""

    function: Callable[[Any], Any]
    text: str = ""

    @property
    def __name__(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def __call__(self, output: Any) -> Any:
        """Compute the loss of a model's output."""
        return self.function(output)


@given_back(IMPORTED)
def loss_of(given: Any) -> GivenLoss | None:
    """Find the loss that is meant; None where none was given.

    Args:
        given: a function, its place as `./file.py:function` or `package.module:function`, or nothing.

    Raises:
        ModelError: the place leads nowhere.
        OptionError: it is neither.

    Example:
        >>> loss_of(abs).text, loss_of("math:sqrt").text, loss_of("")
        ('', 'math:sqrt', None)
    """
    if given is None or given == "":
        return None
    if isinstance(given, GivenLoss):
        return given
    if isinstance(given, str):
        with aside():
            return GivenLoss(load_function(given), given)
    if not callable(given):
        raise OptionError(f"the loss must be a function or its place ./file.py:function, not a {type(given).__name__}")
    return GivenLoss(given)
