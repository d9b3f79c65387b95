"""One run on meta tensors, and what was seen."""

from vggcost.trace.kernels import register_shape
from vggcost.trace.run import outputs_of, trace_model
from vggcost.trace.wrapped import noted, unwrapped

__all__ = ["noted", "outputs_of", "register_shape", "trace_model", "unwrapped"]
