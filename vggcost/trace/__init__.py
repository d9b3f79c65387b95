"""One run on meta tensors, and what was seen."""

from vggcost.trace.borrow import unwrapped
from vggcost.trace.kernels import register_shape
from vggcost.trace.run import trace_model

__all__ = ["register_shape", "trace_model", "unwrapped"]
