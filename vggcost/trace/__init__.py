"""One run on meta tensors, and what was seen."""

from vggcost.trace.run import trace_model

__all__ = ["trace_model"]
