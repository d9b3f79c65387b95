"""Published statements, recomputed: a ledger with verdicts, and which definition gives a number."""

from vggcost.claims.explain import Explanation, Match, explain
from vggcost.claims.ledger import Claim, Finding, about, check, ledger

__all__ = ["Claim", "Explanation", "Finding", "Match", "about", "check", "explain", "ledger"]
