"""Trace + convention → cost table: arithmetic on records, without torch."""

from vggcost.cost.conventions import CONVENTIONS, convention
from vggcost.cost.table import cost_table, with_saved

__all__ = ["CONVENTIONS", "convention", "cost_table", "with_saved"]
