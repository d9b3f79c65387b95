"""Published statements, recomputed: a ledger with verdicts, and which definition gives a number."""

from vggcost.claims.explain import Explanation, Match, explain
from vggcost.claims.ledger import Claim, Finding, check, ledger

__all__ = ["Claim", "Explanation", "Finding", "Match", "check", "explain", "ledger"]
