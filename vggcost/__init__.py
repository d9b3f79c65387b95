"""What an architecture costs, known before anyone runs it.

`analyze` runs a model once on meta tensors (shapes without data) and returns a `CostTable`:
parameters, multiply-accumulates, FLOPs and activation memory, layer by layer, exact.
Importing this package imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vggcost.errors import VggcostError
from vggcost.records import CostTable, LayerCost, Totals

if TYPE_CHECKING:
    from vggcost._analyze import analyze
    from vggcost._memory import memory
    from vggcost._register import register_cost
    from vggcost._stack import compare_stack
    from vggcost._sweep import sweep
    from vggcost._verify import verify

__version__ = "0.1.0"

__all__ = [
    "CostTable",
    "LayerCost",
    "Totals",
    "VggcostError",
    "__version__",
    "analyze",
    "compare_stack",
    "memory",
    "register_cost",
    "sweep",
    "verify",
]


_LAZY = {
    "analyze": "vggcost._analyze",
    "compare_stack": "vggcost._stack",
    "sweep": "vggcost._sweep",
    "memory": "vggcost._memory",
    "verify": "vggcost._verify",
    "register_cost": "vggcost._register",
}  # these import torch when they run


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vggcost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
