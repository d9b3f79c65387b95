"""What an architecture costs, known before anyone runs it.

`analyze` runs a model once on meta tensors (shapes without data) and returns a `CostTable`:
parameters, multiply-accumulates, FLOPs and activation memory, layer by layer, exact.
Importing this package imports no torch.
"""

from typing import TYPE_CHECKING

from vggcost.errors import VggcostError
from vggcost.records import CostTable, LayerCost, Totals

if TYPE_CHECKING:
    from vggcost._analyze import analyze

__version__ = "0.1.0"

__all__ = ["CostTable", "LayerCost", "Totals", "VggcostError", "__version__", "analyze"]


def __getattr__(name: str) -> object:
    if name == "analyze":
        from vggcost._analyze import analyze

        return analyze
    raise AttributeError(f"module 'vggcost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
