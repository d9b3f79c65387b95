"""From a name to a model on meta, and its inputs."""

from vggcost.load.inputs import parse_inputs, read_inputs
from vggcost.load.names import Loaded, load, load_function

__all__ = ["Loaded", "load", "load_function", "parse_inputs", "read_inputs"]
