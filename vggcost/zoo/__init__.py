"""Published architectures written as tables, with their published facts.

Reading the tables needs no torch; only `vggcost.zoo.network`, which builds them, does.
"""

from vggcost.zoo.facts import Fact, facts_of
from vggcost.zoo.names import family, find, matching
from vggcost.zoo.variants import FAMILIES, VARIANTS, Variant

__all__ = ["FAMILIES", "VARIANTS", "Fact", "Variant", "facts_of", "family", "find", "matching"]
