"""One run on meta tensors, and what was seen."""

from vggcost.trace.borrow import unwrapped
from vggcost.trace.run import trace_model

__all__ = ["trace_model", "unwrapped"]
