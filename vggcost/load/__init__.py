"""From a name to a model on meta, and its inputs."""

from vggcost.load.inputs import parse_inputs, read_inputs
from vggcost.load.names import Loaded, load

__all__ = ["Loaded", "load", "parse_inputs", "read_inputs"]
