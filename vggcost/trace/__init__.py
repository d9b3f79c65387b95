"""One run on meta tensors, and what was seen."""

from vggcost.trace.kernels import register_shape
from vggcost.trace.listed import list_parameters, runs
from vggcost.trace.run import outputs_of, trace_model
from vggcost.trace.wrapped import noted, unwrapped

__all__ = ["list_parameters", "noted", "outputs_of", "register_shape", "runs", "trace_model", "unwrapped"]
