"""One run on meta tensors, and what was seen."""

from vggcost.trace.borrow import unwrapped
from vggcost.trace.kernels import register_shape
from vggcost.trace.run import outputs_of, trace_model

__all__ = ["outputs_of", "register_shape", "trace_model", "unwrapped"]
